package preset_test

import (
	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
)

// usual are the claims of a service that speaks OpenID Connect as it is written.
const usual = `{"sub":"248289761001","email":"ada@example.org","email_verified":true,"name":"Ada Lovelace"}`

// tokens is the answer of a token endpoint as it is written in RFC 6749.
const tokens = `{"access_token":"an access token","token_type":"Bearer","expires_in":3600,"refresh_token":"a refresh token"}`

// adaAt is the usual person at an issuer.
func adaAt(issuer string, verified bool) oauth.Profile {
	return oauth.Profile{Issuer: issuer, Subject: "248289761001", Email: "ada@example.org", EmailVerified: verified, Name: "Ada Lovelace"}
}

// atHost is a service that a host runs or rents and that speaks OpenID Connect as it is written.
func atHost(issuer string, change func(s *service)) service {
	s := service{
		authorize: issuer + "/authorize", scope: "openid profile email", token: issuer + "/token", refresh: issuer + "/token", revoke: issuer + "/revoke",
		auth: "post", answer: tokens, calls: map[string]string{"GET " + issuer + "/userinfo": usual},
		issuer: issuer, claims: usual, who: adaAt(issuer, false), trusted: true, in: "claims", subject: "sub", email: "email", flag: "email_verified",
	}
	if change != nil {
		change(&s)
	}
	if s.in == "claims" {
		for call := range s.calls {
			s.calls[call] = s.claims
		}
	}
	return s
}

// openIDServices are the services that speak OpenID Connect.
var openIDServices = map[string]service{
	"apple": {
		options:   preset.Options{Key: &preset.AppleKey{TeamID: "ABCDE12345", KeyID: "KEY1234567", PEM: hidden.New(applePEM())}},
		authorize: "https://appleid.apple.com/auth/authorize", scope: "openid name email", query: "response_mode=form_post",
		formPost: `{"name":{"firstName":"Ada","lastName":"Lovelace"},"email":"ada@example.org"}`,
		token:    "https://appleid.apple.com/auth/token", refresh: "https://appleid.apple.com/auth/token", auth: "apple", revoke: "https://appleid.apple.com/auth/revoke",
		answer: `{"access_token":"a.b","token_type":"Bearer","expires_in":3600,"refresh_token":"r.s"}`,
		issuer: "https://appleid.apple.com", claims: `{"sub":"001999.0123abcd.0456","email":"ada@example.org","email_verified":"true","is_private_email":"false","nonce_supported":true}`,
		who:     oauth.Profile{Issuer: "https://appleid.apple.com", Subject: "001999.0123abcd.0456", Email: "ada@example.org", EmailVerified: true},
		trusted: true, in: "claims", subject: "sub", email: "email", flag: "email_verified", texts: true,
	},
	"auth0": atHost("https://example.eu.auth0.com", func(s *service) {
		s.options.Domain, s.issuer, s.who.Issuer = "example.eu.auth0.com", "https://example.eu.auth0.com/", "https://example.eu.auth0.com/"
		s.token, s.refresh, s.revoke = "https://example.eu.auth0.com/oauth/token", "https://example.eu.auth0.com/oauth/token", "https://example.eu.auth0.com/oauth/revoke"
		s.claims = `{"sub":"auth0|248289761001","email":"ada@example.org","email_verified":true,"name":"Ada Lovelace","updated_at":"2026-03-01T12:00:00.000Z"}`
		s.who.Subject = "auth0|248289761001"
	}),
	"authentik": atHost("https://id.example.com/application/o/shop", func(s *service) {
		s.options.Domain, s.options.Application = "https://id.example.com", "shop"
		s.issuer += "/"
		s.who.Issuer += "/"
		s.authorize, s.token, s.refresh = "https://id.example.com/application/o/authorize/", "https://id.example.com/application/o/token/", "https://id.example.com/application/o/token/"
	}),
	"fusionauth": atHost("https://id.example.com", func(s *service) { s.options.Domain = "https://id.example.com" }),
	"gitlab": atHost("https://gitlab.com", func(s *service) {
		s.authorize, s.token, s.refresh, s.revoke, s.auth = "https://gitlab.com/oauth/authorize", "https://gitlab.com/oauth/token", "https://gitlab.com/oauth/token", "https://gitlab.com/oauth/revoke", "basic"
		s.claims = `{"sub":"248289761001","sub_legacy":"x","auth_time":1700000000}` // the address is at the userinfo endpoint
		s.calls = map[string]string{"GET https://gitlab.com/oauth/userinfo": usual}
		s.who.EmailVerified, s.in = true, "GET https://gitlab.com/oauth/userinfo"
	}),
	"google": atHost("https://accounts.google.com", func(s *service) {
		s.authorize, s.scope = "https://accounts.google.com/o/oauth2/v2/auth", "openid email profile"
		s.token, s.refresh, s.revoke = "https://oauth2.googleapis.com/token", "https://oauth2.googleapis.com/token", "https://oauth2.googleapis.com/revoke"
		s.claims = `{"iss":"accounts.google.com","azp":"the client","sub":"248289761001","hd":"example.org","email":"ada@example.org","email_verified":true,"name":"Ada Lovelace","picture":"https://169.254.169.254/x"}`
		s.who.EmailVerified = true
	}),
	"huggingface": atHost("https://huggingface.co", func(s *service) {
		s.authorize, s.token, s.refresh, s.auth = "https://huggingface.co/oauth/authorize", "https://huggingface.co/oauth/token", "https://huggingface.co/oauth/token", "basic"
		s.who.EmailVerified = true
	}),
	"keycloak": atHost("https://id.example.com/auth/realms/shop", func(s *service) {
		s.options.Domain, s.options.Realm = "https://id.example.com/auth/", "shop"
	}),
	"linkedin": atHost("https://www.linkedin.com/oauth", func(s *service) {
		s.authorize, s.token, s.refresh, s.revoke, s.noNonce = "https://www.linkedin.com/oauth/v2/authorization", "https://www.linkedin.com/oauth/v2/accessToken", "https://www.linkedin.com/oauth/v2/accessToken", "", true
		s.noPKCE = true
		s.claims = `{"sub":"248289761001","email":"ada@example.org","email_verified":"true","given_name":"Ada","family_name":"Lovelace","locale":{"country":"US"}}`
		s.who.EmailVerified, s.texts = true, true
	}),
	"microsoft": atHost("https://login.microsoftonline.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee/v2.0", func(s *service) {
		s.document = "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"
		s.discovery = `{"issuer":"https://login.microsoftonline.com/{tenantid}/v2.0","userinfo_endpoint":"https://graph.microsoft.com/oidc/userinfo"}`
		s.authorize, s.token, s.refresh, s.revoke = "https://login.microsoftonline.com/common/oauth2/v2.0/authorize", "https://login.microsoftonline.com/common/oauth2/v2.0/token", "https://login.microsoftonline.com/common/oauth2/v2.0/token", ""
		s.calls = nil
		s.claims = `{"sub":"differs per application","oid":"248289761001","tid":"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee","ver":"2.0","email":"ada@example.org","xms_edov":"1","name":"Ada Lovelace","preferred_username":"ada_example.org#EXT#@x.onmicrosoft.com"}`
		s.subject, s.flag, s.texts = "oid", "xms_edov", true
	}),
	"oidc": atHost("https://id.example.com", func(s *service) { s.options.Issuer, s.auth = "https://id.example.com", "basic" }),
	"okta": atHost("https://example.okta.com/oauth2/default", func(s *service) {
		s.options.Domain, s.auth = "example.okta.com", "basic"
		s.authorize, s.token, s.refresh = "https://example.okta.com/oauth2/default/v1/authorize", "https://example.okta.com/oauth2/default/v1/token", "https://example.okta.com/oauth2/default/v1/token"
	}),
	"salesforce": atHost("https://login.salesforce.com", func(s *service) {
		s.scope = "openid id profile email"
		s.authorize, s.token, s.refresh, s.revoke = "https://login.salesforce.com/services/oauth2/authorize", "https://login.salesforce.com/services/oauth2/token", "https://login.salesforce.com/services/oauth2/token", "https://login.salesforce.com/services/oauth2/revoke"
		s.answer = `{"access_token":"00D!x","token_type":"Bearer","refresh_token":"a refresh token","signature":"x","scope":"openid email","instance_url":"https://x.my.salesforce.com","id":"https://login.salesforce.com/id/00D/005","issued_at":"1700000000000"}`
		s.claims = `{"sub":"https://login.salesforce.com/id/00D000000000001/005000000000001"}`
		s.calls = map[string]string{"GET https://login.salesforce.com/services/oauth2/userinfo": `{"sub":"https://login.salesforce.com/id/00D000000000001/005000000000001","user_id":"005000000000001","organization_id":"00D000000000001","email":"ada@example.org","email_verified":true,"name":"Ada Lovelace"}`}
		s.who.Subject, s.in = "https://login.salesforce.com/id/00D000000000001/005000000000001", "GET https://login.salesforce.com/services/oauth2/userinfo"
	}),
	"slack": atHost("https://slack.com", func(s *service) {
		s.scope = "openid email profile"
		s.authorize, s.token, s.refresh, s.revoke = "https://slack.com/openid/connect/authorize", "https://slack.com/api/openid.connect.token", "https://slack.com/api/openid.connect.token", ""
		s.answer = `{"ok":true,"access_token":"xoxp-1","token_type":"Bearer","refresh_token":"xoxe-1"}`
		s.claims = `{"sub":"U123","https://slack.com/user_id":"U123","https://slack.com/team_id":"T123","email":"ada@example.org","email_verified":true,"name":"Ada Lovelace"}`
		s.who.Subject, s.subject = "T123/U123", "https://slack.com/user_id"
	}),
	"twitch": atHost("https://id.twitch.tv/oauth2", func(s *service) {
		s.calls, s.discovery = nil, `{"userinfo_endpoint":"https://id.twitch.tv/oauth2/userinfo"}` // which tells less
		s.accessAlone = true
		s.scope, s.query = "openid user:read:email", `claims={"id_token":{"email":null,"email_verified":null,"preferred_username":null}}`
		s.answer = `{"access_token":"an access token","token_type":"bearer","expires_in":14124,"refresh_token":"a refresh token","scope":["openid","user:read:email"]}`
		s.claims = `{"azp":"the client","sub":"248289761001","email":"ada@example.org","email_verified":true,"preferred_username":"Ada Lovelace"}`
		s.who.EmailVerified = true
	}),
	"yahoo": atHost("https://api.login.yahoo.com", func(s *service) {
		s.authorize, s.token, s.refresh, s.revoke, s.auth = "https://api.login.yahoo.com/oauth2/request_auth", "https://api.login.yahoo.com/oauth2/get_token", "https://api.login.yahoo.com/oauth2/get_token", "", "basic"
		s.who.EmailVerified = true
	}),
}
