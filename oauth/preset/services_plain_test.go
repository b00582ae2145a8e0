package preset_test

import (
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
)

// ada is the person of a service that tells her address.
func ada(issuer, subject string, verified bool) oauth.Profile {
	return oauth.Profile{Issuer: issuer, Subject: subject, Email: "ada@example.org", EmailVerified: verified, Name: "Ada Lovelace"}
}

// profile is a service that tells the person by one call.
func profile(call, body string) (map[string]string, string) {
	return map[string]string{call: body}, call
}

// plainServices are the services that speak OAuth 2.0.
var plainServices = map[string]service{
	"amazon": {
		authorize: "https://www.amazon.com/ap/oa", scope: "profile", token: "https://api.amazon.com/auth/o2/token", refresh: "https://api.amazon.com/auth/o2/token", auth: "post", answer: tokens,
		calls: map[string]string{"GET https://api.amazon.com/user/profile": `{"user_id":"amzn1.account.K2LI23KL2LK2","email":"ada@example.org","name":"Ada Lovelace"}`},
		in:    "GET https://api.amazon.com/user/profile", who: ada("https://www.amazon.com", "amzn1.account.K2LI23KL2LK2", false), trusted: true, subject: "user_id", email: "email",
	},
	"autodesk": {
		authorize: "https://developer.api.autodesk.com/authentication/v2/authorize", scope: "openid user-profile:read", token: "https://developer.api.autodesk.com/authentication/v2/token", refresh: "https://developer.api.autodesk.com/authentication/v2/token",
		auth: "basic", revoke: "https://developer.api.autodesk.com/authentication/v2/revoke", answer: `{"access_token":"ey.a.b","token_type":"Bearer","expires_in":3599,"refresh_token":"a refresh token","id_token":"not read"}`,
		calls: map[string]string{"GET https://api.userprofile.autodesk.com/userinfo": `{"sub":"ABC123","email":"ada@example.org","email_verified":true,"name":"Ada Lovelace"}`},
		in:    "GET https://api.userprofile.autodesk.com/userinfo", who: ada("https://developer.api.autodesk.com", "ABC123", false), trusted: true, subject: "sub", email: "email", flag: "email_verified",
	},
	"bitbucket": {
		authorize: "https://bitbucket.org/site/oauth2/authorize", scope: "account email", token: "https://bitbucket.org/site/oauth2/access_token", refresh: "https://bitbucket.org/site/oauth2/access_token", auth: "basic", revoke: "https://bitbucket.org/site/oauth2/revoke",
		answer: `{"access_token":"an access token","token_type":"bearer","expires_in":7200,"refresh_token":"a refresh token","scopes":"account email","state":"authorization_code"}`,
		calls: map[string]string{
			"GET https://api.bitbucket.org/2.0/user":        `{"uuid":"{0123-45}","account_id":"557058:x","display_name":"Ada Lovelace","nickname":"ada","account_status":"active"}`,
			"GET https://api.bitbucket.org/2.0/user/emails": `{"values":[{"email":"other@example.org","is_primary":false,"is_confirmed":true},{"email":"ada@example.org","is_primary":true,"is_confirmed":true}],"page":1}`,
		},
		in: "GET https://api.bitbucket.org/2.0/user", who: ada("https://bitbucket.org", "{0123-45}", true), trusted: true, subject: "uuid",
	},
	"bitly": {
		authorize: "https://bitly.com/oauth/authorize", token: "https://api-ssl.bitly.com/oauth/access_token", auth: "post",
		answer: "access_token=abc&login=ada", media: "application/x-www-form-urlencoded",
		calls: map[string]string{"GET https://api-ssl.bitly.com/v4/user": `{"login":"ada","name":"Ada Lovelace","is_active":true,"emails":[{"email":"ada@example.org","is_primary":true,"is_verified":true},{"email":"other@example.org","is_primary":false,"is_verified":true}]}`},
		in:    "GET https://api-ssl.bitly.com/v4/user", who: ada("https://bitly.com", "ada", false), trusted: true, subject: "login", email: "emails.0.email", flag: "emails.0.is_verified",
	},
	"box": {
		authorize: "https://account.box.com/api/oauth2/authorize", token: "https://api.box.com/oauth2/token", refresh: "https://api.box.com/oauth2/token", auth: "post", revoke: "https://api.box.com/oauth2/revoke",
		answer: `{"access_token":"an access token","expires_in":4169,"restricted_to":[],"refresh_token":"a refresh token","token_type":"bearer"}`,
		calls:  map[string]string{"GET https://api.box.com/2.0/users/me": `{"type":"user","id":"11446498","name":"Ada Lovelace","login":"ada@example.org","status":"active"}`},
		in:     "GET https://api.box.com/2.0/users/me", who: ada("https://account.box.com", "11446498", false), trusted: true, subject: "id", email: "login",
	},
	"dailymotion": {
		authorize: "https://www.dailymotion.com/oauth/authorize", scope: "userinfo email", token: "https://api.dailymotion.com/oauth/token", refresh: "https://api.dailymotion.com/oauth/token", auth: "post", answer: tokens,
		calls: map[string]string{"GET https://api.dailymotion.com/user/me?fields=id,email,fullname,screenname": `{"id":"x1fz4ii","email":"ada@example.org","fullname":"","screenname":"Ada Lovelace","verified":true}`},
		in:    "GET https://api.dailymotion.com/user/me?fields=id,email,fullname,screenname", who: ada("https://www.dailymotion.com", "x1fz4ii", false), trusted: true, subject: "id", email: "email",
	},
	"discord": {
		authorize: "https://discord.com/oauth2/authorize", scope: "identify email", token: "https://discord.com/api/oauth2/token", refresh: "https://discord.com/api/oauth2/token", auth: "basic", revoke: "https://discord.com/api/oauth2/token/revoke", answer: tokens,
		calls: map[string]string{"GET https://discord.com/api/users/@me": `{"id":"80351110224678912","username":"ada","global_name":"Ada Lovelace","discriminator":"0","verified":true,"email":"ada@example.org","mfa_enabled":true}`},
		in:    "GET https://discord.com/api/users/@me", who: ada("https://discord.com", "80351110224678912", true), trusted: true, subject: "id", email: "email", flag: "verified",
	},
	"disqus": {
		authorize: "https://disqus.com/api/oauth/2.0/authorize/", scope: "read,email", token: "https://disqus.com/api/oauth/2.0/access_token/", refresh: "https://disqus.com/api/oauth/2.0/access_token/", auth: "post", answer: tokens, bearer: "none",
		calls: map[string]string{disqusCall: `{"code":0,"response":{"id":"76","username":"ada","name":"Ada Lovelace","email":"ada@example.org"}}`},
		in:    disqusCall, who: ada("https://disqus.com", "76", false), trusted: true, subject: "response.id", email: "response.email",
	},
	"dropbox": {
		authorize: "https://www.dropbox.com/oauth2/authorize", scope: "account_info.read", token: "https://api.dropboxapi.com/oauth2/token", refresh: "https://api.dropboxapi.com/oauth2/token", auth: "basic",
		answer: `{"access_token":"sl.x","expires_in":14400,"token_type":"bearer","scope":"account_info.read","account_id":"dbid:AAH4","uid":"12345","refresh_token":"a refresh token"}`,
		calls:  map[string]string{"POST https://api.dropboxapi.com/2/users/get_current_account": `{"account_id":"dbid:AAH4f99","name":{"given_name":"Ada","display_name":"Ada Lovelace"},"email":"ada@example.org","email_verified":true,"disabled":false}`},
		in:     "POST https://api.dropboxapi.com/2/users/get_current_account", who: ada("https://www.dropbox.com", "dbid:AAH4f99", true), trusted: true, subject: "account_id", email: "email", flag: "email_verified",
	},
	"etsy": {
		authorize: "https://www.etsy.com/oauth/connect", scope: "email_r", token: "https://api.etsy.com/v3/public/oauth/token", refresh: "https://api.etsy.com/v3/public/oauth/token", auth: "none",
		answer: `{"access_token":"12345678.O1zLuwveeKjpIqCQFfmR","token_type":"Bearer","expires_in":3600,"refresh_token":"12345678.JNGIJtvLmwfDMhlYoOJl"}`, header: "X-Api-Key: " + clientID + ":" + clientSecret,
		calls: map[string]string{"GET https://openapi.etsy.com/v3/application/users/12345678": `{"user_id":12345678,"primary_email":"ada@example.org","first_name":"Ada","last_name":"Lovelace","image_url_75x75":null}`},
		in:    "GET https://openapi.etsy.com/v3/application/users/12345678", who: ada("https://www.etsy.com", "12345678", false), trusted: true, subject: "user_id", email: "primary_email",
	},
	"facebook": {
		options:   preset.Options{Version: "v22.0"},
		authorize: "https://www.facebook.com/v22.0/dialog/oauth", scope: "email", token: "https://graph.facebook.com/v22.0/oauth/access_token", auth: "post", answer: `{"access_token":"EAAB","token_type":"bearer","expires_in":5183944}`,
		calls: map[string]string{facebookCall: `{"id":"10158012345678901","name":"Ada Lovelace","email":"ada@example.org"}`},
		in:    facebookCall, who: ada("https://www.facebook.com", "10158012345678901", false), trusted: true, subject: "id", email: "email",
	},
	"figma": {
		authorize: "https://www.figma.com/oauth", scope: "current_user:read", token: "https://api.figma.com/v1/oauth/token", refresh: "https://api.figma.com/v1/oauth/refresh", auth: "basic",
		answer: `{"user_id":123,"access_token":"figu_1","token_type":"bearer","expires_in":7776000,"refresh_token":"figur_1"}`,
		calls:  map[string]string{"GET https://api.figma.com/v1/me": `{"id":"2602","email":"ada@example.org","handle":"Ada Lovelace","img_url":"https://www.gravatar.com/x"}`},
		in:     "GET https://api.figma.com/v1/me", who: ada("https://www.figma.com", "2602", false), trusted: true, subject: "id", email: "email",
	},
	"gitea": {
		options:   preset.Options{Domain: "https://git.example.com"},
		authorize: "https://git.example.com/login/oauth/authorize", scope: "read:user", token: "https://git.example.com/login/oauth/access_token", refresh: "https://git.example.com/login/oauth/access_token", auth: "post", json: true, answer: tokens, bearer: "token",
		calls: map[string]string{
			"GET https://git.example.com/api/v1/user":        `{"id":7,"login":"ada","full_name":"Ada Lovelace","email":"ada@noreply.example.com","active":true}`,
			"GET https://git.example.com/api/v1/user/emails": `[{"email":"ada@example.org","verified":true,"primary":true},{"email":"other@example.org","verified":true,"primary":false}]`,
		},
		in: "GET https://git.example.com/api/v1/user", who: ada("https://git.example.com", "7", false), trusted: true, subject: "id",
	},
	"github": {
		authorize: "https://github.com/login/oauth/authorize", callback: "iss=https%3A%2F%2Fgithub.com%2Flogin%2Foauth", scope: "read:user user:email", token: "https://github.com/login/oauth/access_token", refresh: "https://github.com/login/oauth/access_token", auth: "post",
		answer: `{"access_token":"gho_16C7","scope":"read:user,user:email","token_type":"bearer","expires_in":28800,"refresh_token":"ghr_1B4a","refresh_token_expires_in":15897600}`,
		calls: map[string]string{
			"GET https://api.github.com/user":        `{"login":"ada","id":9007199254740993,"name":null,"email":"public@example.org"}`,
			"GET https://api.github.com/user/emails": `[{"email":"first@example.org","verified":true,"primary":false},{"email":"ada@example.org","verified":true,"primary":true,"visibility":"private"}]`,
		},
		in: "GET https://api.github.com/user", who: oauth.Profile{Issuer: "https://github.com", Subject: "9007199254740993", Email: "ada@example.org", EmailVerified: true, Name: "ada"}, trusted: true, subject: "id",
	},
	"kick": {
		authorize: "https://id.kick.com/oauth/authorize", callback: "iss=https%3A%2F%2Fa.text.that.is.not.known", scope: "user:read", token: "https://id.kick.com/oauth/token", refresh: "https://id.kick.com/oauth/token", auth: "post",
		answer: `{"access_token":"an access token","token_type":"Bearer","refresh_token":"a refresh token","expires_in":"7200","scope":"user:read"}`,
		calls:  map[string]string{"GET https://api.kick.com/public/v1/users": `{"data":[{"email":"ada@example.org","name":"Ada Lovelace","profile_picture":"https://kick.com/x","user_id":676}],"message":"OK"}`},
		in:     "GET https://api.kick.com/public/v1/users", who: ada("https://kick.com", "676", false), trusted: true, subject: "data.0.user_id", email: "data.0.email",
	},
	"notion": {
		authorize: "https://api.notion.com/v1/oauth/authorize", query: "owner=user", token: "https://api.notion.com/v1/oauth/token", refresh: "https://api.notion.com/v1/oauth/token", auth: "basic", json: true, revoke: "https://api.notion.com/v1/oauth/revoke", accessAlone: true, tokenHeader: "Notion-Version: 2025-09-03",
		answer: `{"access_token":"ntn_1","token_type":"bearer","refresh_token":"nrt_1","bot_id":"b3414d65","workspace_id":"w1","owner":{"type":"user","user":{"object":"user","id":"d40e767c","name":"Ada Lovelace","type":"person","person":{"email":"ada@example.org"}}},"duplicated_template_id":null}`,
		who:    ada("https://www.notion.com", "d40e767c", false), trusted: true, in: "", subject: "owner.user.id", email: "owner.user.person.email",
	},
	"paypal":        paypal("www.paypal.com", "api-m.paypal.com", true),
	"paypalSandbox": paypal("www.sandbox.paypal.com", "api-m.sandbox.paypal.com", false),
	"podio": {
		authorize: "https://podio.com/oauth/authorize", token: "https://api.podio.com/oauth/token/v2", refresh: "https://api.podio.com/oauth/token/v2", auth: "post", json: true, bearer: "OAuth2",
		answer: `{"access_token":"an access token","token_type":"bearer","expires_in":28800,"refresh_token":"a refresh token","ref":{"type":"user","id":1}}`,
		calls:  map[string]string{"GET https://api.podio.com/user/status": `{"user":{"user_id":1,"mail":"ada@example.org","status":"active","locale":"en_US"},"profile":{"profile_id":2,"name":"Ada Lovelace","mail":["other@example.org"]},"inbox_new":3}`},
		in:     "GET https://api.podio.com/user/status", who: ada("https://podio.com", "1", false), trusted: true, subject: "user.user_id", email: "user.mail",
	},
	"spotify": {
		authorize: "https://accounts.spotify.com/authorize", scope: "user-read-email", token: "https://accounts.spotify.com/api/token", refresh: "https://accounts.spotify.com/api/token", auth: "basic", answer: tokens,
		calls: map[string]string{"GET https://api.spotify.com/v1/me": `{"id":"ada","display_name":"Ada Lovelace","email":"ada@example.org","type":"user"}`},
		in:    "GET https://api.spotify.com/v1/me", who: ada("https://accounts.spotify.com", "ada", false), trusted: true, subject: "id", email: "email",
	},
	"stripe": {
		authorize: "https://connect.stripe.com/oauth/authorize", scope: "read_only", token: "https://connect.stripe.com/oauth/token", refresh: "https://connect.stripe.com/oauth/token", auth: "post",
		answer: `{"token_type":"bearer","stripe_publishable_key":"pk_1","scope":"read_only","livemode":true,"stripe_user_id":"acct_1032D82e","refresh_token":"rt_1","access_token":"sk_1"}`,
		calls:  map[string]string{"GET https://api.stripe.com/v1/accounts/acct_1032D82e": `{"id":"acct_1032D82e","object":"account","email":"ada@example.org","business_profile":{"name":null},"settings":{"dashboard":{"display_name":"Ada Lovelace"}}}`},
		in:     "GET https://api.stripe.com/v1/accounts/acct_1032D82e", who: ada("https://connect.stripe.com", "acct_1032D82e", false), trusted: true, subject: "id", email: "email",
	},
	"tradeshift":    tradeshift("api.tradeshift.com", true),
	"tradeshiftBox": tradeshift("api-sandbox.tradeshift.com", false),
	"wordpress": {
		authorize: "https://public-api.wordpress.com/oauth2/authorize", scope: "auth", token: "https://public-api.wordpress.com/oauth2/token", auth: "post", answer: `{"access_token":"an access token","token_type":"bearer","blog_id":"0","blog_url":null,"scope":"auth"}`,
		calls: map[string]string{"GET https://public-api.wordpress.com/rest/v1.1/me": `{"ID":78972699,"display_name":"Ada Lovelace","username":"ada","email":"ada@example.org","email_verified":true,"verified":false}`},
		in:    "GET https://public-api.wordpress.com/rest/v1.1/me", who: ada("https://public-api.wordpress.com", "78972699", true), trusted: true, subject: "ID", email: "email", flag: "email_verified",
	},
	"x": {
		authorize: "https://x.com/i/oauth2/authorize", scope: "users.read users.email tweet.read", token: "https://api.x.com/2/oauth2/token", refresh: "https://api.x.com/2/oauth2/token", auth: "basic", revoke: "https://api.x.com/2/oauth2/revoke",
		answer: `{"token_type":"bearer","expires_in":7200,"access_token":"an access token","scope":"users.read tweet.read","refresh_token":"a refresh token"}`,
		calls:  map[string]string{"GET https://api.x.com/2/users/me?user.fields=confirmed_email": `{"data":{"id":"2244994945","name":"Ada Lovelace","username":"ada","confirmed_email":"ada@example.org"}}`},
		in:     "GET https://api.x.com/2/users/me?user.fields=confirmed_email", who: ada("https://x.com", "2244994945", true), trusted: true, subject: "data.id", email: "data.confirmed_email",
	},
	"yammer": {
		authorize: "https://www.yammer.com/oauth2/authorize", token: "https://www.yammer.com/oauth2/access_token", auth: "post",
		answer: `{"user":{"id":1452,"full_name":"Ada Lovelace"},"access_token":{"user_id":1452,"token":"abcdefghijklmn","view_members":true},"network":{"id":155}}`,
		calls:  map[string]string{"GET https://www.yammer.com/api/v1/users/current.json": `{"type":"user","id":1452,"network_id":155,"full_name":"Ada Lovelace","email":"ada@example.org"}`},
		in:     "GET https://www.yammer.com/api/v1/users/current.json", who: ada("https://www.yammer.com", "1452", false), trusted: true, subject: "id", email: "email",
	},
	"yandex": {
		authorize: "https://oauth.yandex.com/authorize", scope: "login:email login:info", token: "https://oauth.yandex.com/token", refresh: "https://oauth.yandex.com/token", auth: "basic", bearer: "OAuth", answer: tokens,
		calls: map[string]string{"GET https://login.yandex.ru/info?format=json": `{"login":"ada","id":"1000034426","client_id":"x","psuid":"1.AAce","real_name":"Ada Lovelace","display_name":"ada","default_email":"ada@example.org","emails":["ada@example.org"]}`},
		in:    "GET https://login.yandex.ru/info?format=json", who: ada("https://oauth.yandex.com", "1000034426", false), trusted: true, subject: "id", email: "default_email",
	},
	"zoho": {
		authorize: "https://accounts.zoho.com/oauth/v2/auth", scope: "AaaServer.profile.READ", callback: "location=eu&accounts-server=https%3A%2F%2Faccounts.zoho.eu",
		token: "https://accounts.zoho.eu/oauth/v2/token", refresh: "https://accounts.zoho.eu/oauth/v2/token", auth: "post",
		answer: `{"access_token":"1000.x","refresh_token":"1000.y","api_domain":"https://www.zohoapis.eu","token_type":"Bearer","expires_in":3600,"expires_in_sec":3600,"id_token":"not.read.="}`,
		calls:  map[string]string{"GET https://accounts.zoho.eu/oauth/user/info": `{"First_Name":"Ada","Email":"ada@example.org","Last_Name":"Lovelace","Display_Name":"Ada Lovelace","ZUID":20063567123}`},
		in:     "GET https://accounts.zoho.eu/oauth/user/info", who: ada("https://accounts.zoho.eu", "20063567123", false), trusted: true, subject: "ZUID", email: "Email",
	},
	"zoom": {
		authorize: "https://zoom.us/oauth/authorize", scope: "user:read:user", token: "https://zoom.us/oauth/token", refresh: "https://zoom.us/oauth/token", auth: "basic", revoke: "https://zoom.us/oauth/revoke", accessAlone: true, answer: tokens,
		calls: map[string]string{"GET https://api.zoom.us/v2/users/me": `{"id":"KDcuGIm1QgePTO8WbOqwIQ","first_name":"Ada","last_name":"Lovelace","email":"ada@example.org","type":2,"verified":1}`},
		in:    "GET https://api.zoom.us/v2/users/me", who: ada("https://zoom.us", "KDcuGIm1QgePTO8WbOqwIQ", false), trusted: true, subject: "id", email: "email", flag: "verified",
	},
}

// paypal is the service of a kind: its people are made up in the sandbox.
func paypal(page, api string, trusted bool) service {
	s := service{
		authorize: "https://" + page + "/signin/authorize", scope: "openid email", token: "https://" + api + "/v1/oauth2/token", refresh: "https://" + api + "/v1/oauth2/token", auth: "basic",
		answer: `{"access_token":"A21AA","token_type":"Bearer","expires_in":"28800","refresh_token":"R23AA","scope":"openid email","nonce":"x"}`,
		in:     "GET https://" + api + "/v1/identity/oauth2/userinfo?schema=paypalv1.1", who: ada("https://"+page, "mWq6_1sU85v5EG9yHdPxJRrhGHrnMJ-1PQKtX6pcsmA", false), trusted: trusted,
		subject: "user_id", email: "emails.0.value",
	}
	s.calls, s.in = profile(s.in, `{"user_id":"https://www.paypal.com/webapps/auth/identity/user/mWq6_1sU85v5EG9yHdPxJRrhGHrnMJ-1PQKtX6pcsmA","name":"Ada Lovelace","payer_id":"WDJJHEBZ4X2LY","verified_account":"true","emails":[{"value":"ada@example.org","primary":true}]}`)
	return s
}

// tradeshift is the service of a kind: its people are made up in the sandbox.
func tradeshift(host string, trusted bool) service {
	at := "https://" + host + "/tradeshift/"
	s := service{
		authorize: at + "auth/login", scope: "openid", token: at + "auth/token", refresh: at + "auth/token", auth: "basic", answer: tokens,
		who: ada("https://"+host, "ab12-cd34", false), trusted: trusted, subject: "Id", email: "Username",
	}
	s.calls, s.in = profile("GET "+at+"rest/external/account/info/user", `{"Id":"ab12-cd34","CompanyAccountId":"x","Username":"ada@example.org","FirstName":"Ada","LastName":"Lovelace"}`)
	return s
}
