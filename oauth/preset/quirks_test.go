package preset_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/web"
	"example.com/latchkey/oauth/preset"
)

// silent is an internet that never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A service that does not answer is a failure within 20 seconds, at the start and at the end of a
// sign-in, and leaves nothing behind.
func TestAServiceThatIsDownFailsWithinTwentySeconds(t *testing.T) {
	onEachRow(t, func(t *testing.T, name string, s service) {
		synctest.Test(t, func(t *testing.T) {
			w, k := s.on(t, "memory", name, nil)
			cb := w.begin(k, name)
			down := w.provider(name, func(o *preset.Options) { o.Transport = silent{} })
			engine := k.Configured(func(c *latchkey.Config) { c.Providers = []oauth.Provider{down} })
			began := time.Now()
			_, err := engine.Guest(kit.Client).FinishOAuth2(k.Ctx, cb)
			if took := time.Since(began); !errors.Is(err, latchkey.ErrProviderFailed) || took > 20*time.Second || took < time.Second {
				t.Errorf("%v after %v", err, took)
			}
			if s.issuer != "" {
				began = time.Now()
				_, err := engine.Guest(kit.Client).StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: name, RedirectURL: kit.CallbackURL})
				if took := time.Since(began); err != latchkey.ErrProviderFailed || took > 20*time.Second {
					t.Errorf("%v after %v", err, took)
				}
			}
			if rows := k.Rows(); rows["users"]+rows["identities"]+rows["sessions"]+rows["starts"]+rows["addresses"] != 0 {
				t.Errorf("%v", rows)
			}
		})
	})
}

// Zoho's data centre comes through the browser: it is one of the list, or nothing is sent anywhere.
func TestZohosDataCentreIsOneOfTheList(t *testing.T) {
	s := services["zoho"]
	w, k := s.on(t, "memory", "zoho", nil)
	for _, server := range []string{
		"https://evil.example.com", "https://accounts.zoho.eu.evil.example.com", "https://accounts.zoho.eu/", "https://accounts.zoho.eu@evil.example.com", "http://accounts.zoho.eu", "accounts.zoho.eu", "https://accounts.zoho.eu#x", "https://ACCOUNTS.zoho.eu", "https://accounts.zoho.eu:8443", "\n",
	} {
		cb := w.begin(k, "zoho")
		cb.Parameters.Set("accounts-server", server)
		k.RefusesCallback(server, latchkey.ErrProviderFailed, cb)
	}
	cb := w.begin(k, "zoho")
	cb.Parameters["accounts-server"] = []string{"https://accounts.zoho.eu", "https://evil.example.com"}
	k.RefusesCallback("two servers", latchkey.ErrArgumentInvalid, cb)
	if seen := w.took(); len(seen) != 0 {
		t.Errorf("the service has seen %v", seen)
	}
	eu := w.signIn(k, "zoho")
	home := s
	home.callback, home.token, home.refresh = "", "https://accounts.zoho.com/oauth/v2/token", "https://accounts.zoho.com/oauth/v2/token"
	home.calls = map[string]string{"GET https://accounts.zoho.com/oauth/user/info": s.calls[s.in]}
	w.service = &home
	com := w.signIn(k, "zoho")
	if eu.UserID == com.UserID {
		t.Error("the same number in two data centres is one person")
	}
}

// microsoftAt is Microsoft as a host with a tenant sees it.
func microsoftAt(tenant, published string) service {
	s := services["microsoft"]
	s.options.Tenant = tenant
	at := "https://login.microsoftonline.com/" + tenant
	s.document = at + "/v2.0/.well-known/openid-configuration"
	s.discovery = strings.Replace(s.discovery, "{tenantid}", published, 1)
	return s
}

const (
	tenantA  = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
	tenantB  = "bbbbbbbb-bbbb-cccc-dddd-eeeeeeeeeeee"
	personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
)

// Each tenant of Microsoft is an issuer of its own, and only those that the host has configured sign
// people in.
func TestTenantsOfMicrosoft(t *testing.T) {
	for _, v := range []struct {
		tenant, published string
		let               map[string]bool // by tid
	}{
		{"common", "{tenantid}", map[string]bool{tenantA: true, tenantB: true, personal: true}},
		{"organizations", "{tenantid}", map[string]bool{tenantA: true, tenantB: true, personal: false}},
		{"consumers", personal, map[string]bool{tenantA: false, personal: true}},
		{tenantA, tenantA, map[string]bool{tenantA: true, tenantB: false, personal: false}},
		{strings.ToUpper(tenantA), tenantA, map[string]bool{tenantA: true, tenantB: false}},
		{"Common", "{tenantid}", map[string]bool{tenantA: true, personal: true}}, {"Organizations", "{tenantid}", map[string]bool{tenantA: true, personal: false}}, {"CONSUMERS", personal, map[string]bool{tenantA: false, personal: true}},
		{"example.onmicrosoft.com", tenantA, map[string]bool{tenantA: true, tenantB: false}},
	} {
		s := microsoftAt(v.tenant, v.published)
		w, k := s.on(t, "memory", "microsoft", nil)
		users := make(map[string]bool)
		for tid, let := range v.let {
			cb := w.begin(k, "microsoft")
			w.change = func(claims map[string]any) {
				claims["tid"], claims["iss"] = tid, "https://login.microsoftonline.com/"+tid+"/v2.0"
			}
			result, err := k.Visitor.FinishOAuth2(k.Ctx, cb)
			if (err == nil) != let {
				t.Errorf("%s lets %s in: %v", v.tenant, tid, err)
			}
			if err == nil {
				users[result.Session.UserID] = true
				k.Same("the issuer", result.Identity.Issuer, "https://login.microsoftonline.com/"+tid+"/v2.0")
			}
		}
		lets := 0
		for _, let := range v.let {
			if let {
				lets++
			}
		}
		if len(users) != lets {
			t.Errorf("%s: %d users of %d tenants: the same oid in two tenants is two people", v.tenant, len(users), lets)
		}
		for what, change := range map[string]func(claims map[string]any){
			"the tenant of another": func(claims map[string]any) { claims["tid"] = tenantB },
			"no tenant":             func(claims map[string]any) { delete(claims, "tid") },
			"a tenant that is none": func(claims map[string]any) {
				claims["tid"], claims["iss"] = "x/../y", "https://login.microsoftonline.com/x/../y/v2.0"
			},
			"more than a tenant": func(claims map[string]any) {
				claims["tid"], claims["iss"] = tenantA+"x", "https://login.microsoftonline.com/"+tenantA+"x/v2.0"
			},
			"before a tenant": func(claims map[string]any) {
				claims["tid"], claims["iss"] = "x"+tenantA, "https://login.microsoftonline.com/x"+tenantA+"/v2.0"
			},
			"the template": func(claims map[string]any) {
				claims["tid"], claims["iss"] = "{tenantid}", "https://login.microsoftonline.com/{tenantid}/v2.0"
			},
			"another service": func(claims map[string]any) { claims["iss"] = "https://sts.windows.net/" + tenantA + "/" },
		} {
			cb := w.begin(k, "microsoft")
			w.change = change
			k.RefusesCallback(v.tenant+": "+what, latchkey.ErrProviderFailed, cb)
			w.change = nil
		}
	}
	for _, issuer := range []string{"https://evil.example.com/{tenantid}/v2.0", "https://login.microsoftonline.com/{tenantid}/v1.0", "https://login.microsoftonline.com/{tenantid}", "http://login.microsoftonline.com/{tenantid}/v2.0"} {
		s := microsoftAt("common", "{tenantid}")
		s.discovery = `{"issuer":"` + issuer + `"}`
		_, k := s.on(t, "memory", "microsoft", nil)
		if _, err := k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "microsoft", RedirectURL: kit.CallbackURL}); err != latchkey.ErrProviderFailed {
			t.Errorf("the document names %s: %v", issuer, err)
		}
	}
	for _, v := range []struct{ tenant, published string }{
		{"common", tenantA}, {"common", "common"}, {"organizations", personal}, {"consumers", "{tenantid}"}, {tenantA, tenantB}, {tenantA, "{tenantid}"}, {"example.onmicrosoft.com", "{tenantid}"}, {"example.onmicrosoft.com", "x/../y"},
	} {
		s := microsoftAt(v.tenant, v.published)
		_, k := s.on(t, "memory", "microsoft", nil)
		if _, err := k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "microsoft", RedirectURL: kit.CallbackURL}); err != latchkey.ErrProviderFailed {
			t.Errorf("the document of %s names %s: %v", v.tenant, v.published, err)
		}
	}
}

// A key of Microsoft signs for the tenants that it names.
func TestKeysOfMicrosoftSignForTheirTenants(t *testing.T) {
	for of, want := range map[string]error{
		"": nil, "https://login.microsoftonline.com/{tenantid}/v2.0": nil, "https://login.microsoftonline.com/" + tenantA + "/v2.0": nil,
		"https://login.microsoftonline.com/" + personal + "/v2.0": latchkey.ErrProviderFailed, "https://login.microsoftonline.com/" + tenantB + "/v2.0": latchkey.ErrProviderFailed, "https://evil.example.com/{tenantid}/v2.0": latchkey.ErrProviderFailed,
	} {
		s := services["microsoft"]
		s.keysOf = of
		w, k := s.on(t, "memory", "microsoft", nil)
		if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, w.begin(k, "microsoft"))); !errors.Is(err, want) {
			t.Errorf("a key of %q: %v", of, err)
		}
	}
}

// An address of Microsoft counts if the host trusts the row, and the service vouches for it or the
// tenant is the host's own.
func TestAddressesOfMicrosoft(t *testing.T) {
	for _, v := range []struct {
		what, tenant, published string
		claims                  map[string]any
		want                    bool
	}{
		{"no word", "common", "{tenantid}", nil, false}, {"owned", "common", "{tenantid}", map[string]any{"xms_edov": true}, true}, {"owned, as a text", "common", "{tenantid}", map[string]any{"xms_edov": "1"}, true}, {"not owned", "common", "{tenantid}", map[string]any{"xms_edov": "0"}, false},
		{"verified", "common", "{tenantid}", map[string]any{"verified_primary_email": []string{"ada@example.org"}}, true}, {"another is verified", "common", "{tenantid}", map[string]any{"verified_primary_email": []string{"bob@example.org"}}, false}, {"verified, as a text", "common", "{tenantid}", map[string]any{"verified_primary_email": "ada@example.org"}, true}, {"an object", "common", "{tenantid}", map[string]any{"verified_primary_email": map[string]any{"x": "ada@example.org"}}, false},
		{"the host's own tenant", tenantA, tenantA, nil, true}, {"a denied one of the host's own tenant", tenantA, tenantA, map[string]any{"xms_edov": false}, false}, {"the tenant of personal accounts", personal, personal, map[string]any{"tid": personal, "iss": "https://login.microsoftonline.com/" + personal + "/v2.0"}, false},
	} {
		for _, trust := range []preset.Trust{preset.ByDefault, preset.Trusted, preset.Untrusted} {
			s := microsoftAt(v.tenant, v.published)
			w, k := s.on(t, "memory", "microsoft", func(o *preset.Options) { o.Trust = trust })
			w.change = func(claims map[string]any) {
				delete(claims, "xms_edov")
				for name, value := range v.claims {
					claims[name] = value
				}
			}
			user, err := k.Users().Get(k.Ctx, w.signIn(k, "microsoft").UserID)
			k.Must(err)
			if want := v.want && trust == preset.Trusted; user.EmailVerification != want {
				t.Errorf("%s, trust %d: %v", v.what, trust, user.EmailVerification)
			}
		}
	}
}

// An account that the service has closed signs nobody in.
func TestAClosedAccountSignsNobodyIn(t *testing.T) {
	for name, member := range map[string]string{"box": "status", "bitbucket": "account_status", "gitea": "active", "podio": "user.status"} {
		s := services[name]
		w, k := s.on(t, "memory", name, nil)
		for _, value := range []any{"inactive", false, 0, "ACTIVE"} {
			cb := w.begin(k, name)
			at(s.in, func(a *answer) { a.body = set(t, a.body, member, value) })(w)
			k.RefusesCallback(name, latchkey.ErrProviderFailed, cb)
			w.hostile = nil
		}
		w.signIn(k, name)
	}
}

// What a service says of a person in two places must be the same person.
func TestAPersonIsTheSameInBothPlaces(t *testing.T) {
	for name, v := range map[string]struct{ call, path string }{
		"etsy": {services["etsy"].in, "user_id"}, "stripe": {services["stripe"].in, "id"},
	} {
		s := services[name]
		w, k := s.on(t, "memory", name, nil)
		cb := w.begin(k, name)
		at(v.call, func(a *answer) { a.body = set(t, a.body, v.path, "1") })(w)
		k.RefusesCallback(name, latchkey.ErrProviderFailed, cb)
	}
	for name, answers := range map[string][]string{
		"etsy":   {`{"access_token":"no period"}`, `{"access_token":".x"}`, `{"access_token":"../1.x"}`, `{"access_token":"12a.x"}`},
		"stripe": {`{"access_token":"sk_1"}`, `{"access_token":"sk_1","stripe_user_id":"../x"}`, `{"access_token":"sk_1","stripe_user_id":""}`, `{"access_token":"sk_1","stripe_user_id":"a?b"}`},
		"notion": {`{"access_token":"x"}`, `{"access_token":"x","owner":{"type":"workspace","workspace":true}}`},
	} {
		for _, body := range answers {
			s := services[name]
			w, k := s.on(t, "memory", name, nil)
			cb := w.begin(k, name)
			at("token", func(a *answer) { a.body = []byte(body) })(w)
			if _, err := k.Visitor.FinishOAuth2(k.Ctx, cb); !isProviderError(err) {
				t.Errorf("%s, %s: %v", name, body, err)
			}
		}
	}
}

// The name of a form post is text, and comes after the one of the service.
func TestTheNameOfAFormPostIsText(t *testing.T) {
	s := services["apple"]
	for form, want := range map[string]string{
		`{"name":{"firstName":"Ada","lastName":"Lovelace"}}`: "Ada Lovelace", `{"name":{"firstName":"<b>Ada\u0000","lastName":"x"}}`: "<b>Ada x", `{"name":{"firstName":"` + strings.Repeat("x", 500) + `","lastName":"y"}}`: strings.Repeat("x", 128), `{"email":"evil@example.org"}`: "", `{"name":{"firstName":"Ada"}}`: "",
	} {
		s.formPost = form
		w, k := s.on(t, "memory", "apple", nil)
		user, err := k.Users().Get(k.Ctx, w.signIn(k, "apple").UserID)
		k.Must(err)
		k.Same(form, []any{user.Name, user.Email}, []any{want, "ada@example.org"})
	}
}

// The scopes and parameters that ask for a refresh token are asked for with Offline alone.
func TestOfflineAsksForARefreshToken(t *testing.T) {
	for name, want := range map[string]url.Values{
		"google": {"access_type": {"offline"}, "prompt": {"consent"}}, "dropbox": {"token_access_type": {"offline"}}, "zoho": {"access_type": {"offline"}, "prompt": {"consent"}},
		"microsoft": {"scope": {"openid profile email offline_access"}}, "auth0": {"scope": {"openid profile email offline_access"}}, "x": {"scope": {"users.read users.email tweet.read offline.access"}}, "tradeshift": {"scope": {"openid offline"}}, "salesforce": {"scope": {"openid id profile email refresh_token"}},
	} {
		s := services[name]
		w, k := s.on(t, "memory", name, func(o *preset.Options) { o.Offline = true })
		start, err := k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: name, RedirectURL: kit.CallbackURL})
		k.Must(err)
		u, err := url.Parse(start.URL)
		k.Must(err)
		for parameter, values := range want {
			k.Same(name+" "+parameter, u.Query()[parameter], values)
		}
		_ = w
	}
}

// The host's parameters do not replace those of the flow.
func TestParametersOfTheHostDoNotReplaceTheFlow(t *testing.T) {
	s := services["google"]
	p, err := preset.New("google", preset.Options{ClientID: clientID, ClientSecret: hidden.New(clientSecret), Transport: &world{t: t, service: &s, key: signingKey()}, Parameters: url.Values{
		"prompt": {"select_account"}, "state": {"x"}, "nonce": {"x"}, "code_challenge": {"x"}, "redirect_uri": {"x"}, "client_id": {"x"}, "response_type": {"token"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	address, err := p.Authorize(t.Context(), &oauth.Flow{RedirectURL: kit.CallbackURL, State: hidden.New("state"), Nonce: hidden.New("nonce"), Verifier: hidden.New("verifier")})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range u.Query() {
		if len(values) != 1 || values[0] == "x" || values[0] == "token" {
			t.Errorf("%s is %v", name, values)
		}
	}
	if u.Query().Get("prompt") != "select_account" {
		t.Error(address)
	}
}

// A refresh and a revocation go to the service in the way of the row, and their faults are failures.
func TestRefreshAndRevocationFailCleanly(t *testing.T) {
	oneByOne(t, func(t *testing.T, name string, s service) {
		w, k := s.on(t, "memory", name, nil)
		w.begin(k, name)
		p := w.provider(name, nil)
		grant := &oauth.Grant{Issuer: s.who.Issuer, Access: hidden.New("access"), Refresh: hidden.New("refresh")}
		if s.refresh != "" {
			for what, change := range brokenAnswers {
				at("token", change)(w)
				if tokens, err := p.Refresh(t.Context(), grant); err == nil || tokens != nil {
					t.Errorf("%s: %v, %v", what, tokens, err)
				}
			}
			at("token", func(a *answer) { a.status, a.body = 400, []byte(`{"error":"invalid_grant"}`) })(w)
			if _, err := p.Refresh(t.Context(), grant); err != oauth.ErrRefused {
				t.Errorf("a refused token: %v", err)
			}
		}
		w.hostile = nil
		w.took()
		err := p.Revoke(t.Context(), grant)
		switch seen := w.took(); {
		case s.revoke == "" && (!errors.Is(err, errors.ErrUnsupported) || len(seen) != 0):
			t.Errorf("%v, %v", err, seen)
		case s.revoke != "" && (err != nil || len(seen) != 1 || seen[0] != map[bool]string{false: "revoke refresh", true: "revoke access"}[s.accessAlone]):
			t.Errorf("%v, %v", err, seen)
		case s.revoke == "":
			return
		}
		if err := p.Revoke(t.Context(), &oauth.Grant{Issuer: s.who.Issuer, Access: hidden.New("access")}); err != nil || w.took()[0] != "revoke access" {
			t.Errorf("the access token alone: %v", err)
		}
		if err := p.Revoke(t.Context(), &oauth.Grant{Issuer: s.who.Issuer}); err != nil || len(w.took()) != 0 {
			t.Errorf("no tokens: %v", err)
		}
		for status, ok := range map[int]bool{200: true, 204: true, 201: false, 302: false, 400: false, 503: false} {
			at("revoke", func(a *answer) { a.status = status })(w)
			var failure oauth.Failure
			if err := p.Revoke(t.Context(), grant); (err == nil) != ok || !ok && !errors.As(err, &failure) {
				t.Errorf("status %d: %v", status, err)
			}
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Revoke(over, grant); err == nil {
			t.Error("a context that has ended revokes")
		}
	})
}

// A server of the host's own has addresses of its own, and its word on addresses does not count without
// trust.
func TestAServerOfTheHostsOwn(t *testing.T) {
	own := services["github"]
	own.options.Domain, own.callback = "https://git.example.com", ""
	own.authorize, own.token, own.refresh = "https://git.example.com/login/oauth/authorize", "https://git.example.com/login/oauth/access_token", "https://git.example.com/login/oauth/access_token"
	own.calls = map[string]string{
		"GET https://git.example.com/api/v3/user": services["github"].calls["GET https://api.github.com/user"], "GET https://git.example.com/api/v3/user/emails": services["github"].calls["GET https://api.github.com/user/emails"],
	}
	lab := atHost("https://lab.example.com", func(s *service) { s.options.Domain, s.auth = "https://lab.example.com", "basic" })
	for name, s := range map[string]service{"github": own, "gitlab": lab} {
		for _, trust := range []preset.Trust{preset.ByDefault, preset.Trusted} {
			w, k := s.on(t, "memory", name, func(o *preset.Options) { o.Trust = trust })
			user, err := k.Users().Get(k.Ctx, w.signIn(k, name).UserID)
			k.Must(err)
			if user.EmailVerification != (trust == preset.Trusted) {
				t.Errorf("%s, trust %d: %v", name, trust, user.EmailVerification)
			}
		}
	}
}

// A public client proves itself by nothing, at every endpoint.
func TestAPublicClientSendsNoSecret(t *testing.T) {
	for _, name := range []string{"dropbox", "x", "gitlab", "keycloak"} {
		s := services[name]
		s.auth, s.options.Public = "none", true
		w, k := s.keepingWith(t, name, func(o *preset.Options) { o.ClientSecret = hidden.Text{} })
		k.Must(k.Users().Delete(k.Ctx, w.signIn(k, name).UserID))
		k.Must(k.Close()) // waits for the revocation
	}
}

// A service whose document names no revocation endpoint takes no token back.
func TestNoEndpointTakesNoTokenBack(t *testing.T) {
	for _, name := range []string{"gitlab", "auth0", "google"} {
		s := services[name]
		s.revoke = ""
		w, _ := s.on(t, "memory", name, nil)
		if err := w.provider(name, nil).Revoke(t.Context(), &oauth.Grant{Issuer: s.who.Issuer, Refresh: hidden.New("x")}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An access token is revoked if there is no refresh token.
func TestAnAccessTokenAloneIsRevoked(t *testing.T) {
	s := services["notion"]
	s.answer = string(set(t, []byte(s.answer), "refresh_token", nil))
	w, k := s.keeping(t, "memory", "notion")
	session := w.signIn(k, "notion")
	w.took()
	k.Must(k.Users().Delete(k.Ctx, session.UserID))
	k.Must(k.Close()) // waits for the revocation
	k.Same("revoked", w.took(), []string{"revoke ntn_1"})
}

// A member of no workspace, or of one whose name would be another's, is refused.
func TestAMemberOfNoWorkspaceIsRefused(t *testing.T) {
	s := services["slack"]
	w, k := s.on(t, "memory", "slack", nil)
	for _, team := range []any{"", " ", "T1/U1", nil, 1} {
		cb := w.begin(k, "slack")
		w.change = func(claims map[string]any) { claims["https://slack.com/team_id"] = team }
		if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)); !isProviderError(err) {
			t.Errorf("team %v: %v", team, err)
		}
		w.change = nil
	}
}

// PayPal's id is the last part of an address, and is there.
func TestPayPalsIDIsTheLastPart(t *testing.T) {
	for id, want := range map[string]error{"https://www.paypal.com/user/": latchkey.ErrProviderSubject, "/": latchkey.ErrProviderSubject, "plain": nil} {
		s := services["paypal"]
		w, k := s.on(t, "memory", "paypal", nil)
		cb := w.begin(k, "paypal")
		at(s.in, func(a *answer) { a.body = set(t, a.body, "user_id", id) })(w)
		if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)); !errors.Is(err, want) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// A grant of a place that is none of the list is sent nowhere.
func TestAGrantOfNoDataCentreIsNotRefreshed(t *testing.T) {
	s := services["zoho"]
	w, _ := s.on(t, "memory", "zoho", nil)
	if _, err := w.provider("zoho", nil).Refresh(t.Context(), &oauth.Grant{Issuer: "https://evil.example.com", Refresh: hidden.New("x")}); err == nil || len(w.took()) != 0 {
		t.Errorf("%v", err)
	}
}

// The host's parameters come before those of the table.
func TestParametersOfTheHostReplaceThoseOfTheTable(t *testing.T) {
	s := services["dropbox"]
	w, _ := s.on(t, "memory", "dropbox", nil)
	p := w.provider("dropbox", func(o *preset.Options) {
		o.Offline, o.Parameters = true, url.Values{"token_access_type": {"online"}}
	})
	address, err := p.Authorize(t.Context(), &oauth.Flow{RedirectURL: kit.CallbackURL, State: hidden.New("state"), Verifier: hidden.New("verifier")})
	if err != nil || !strings.Contains(address, "token_access_type=online") || strings.Contains(address, "offline") {
		t.Errorf("%s, %v", address, err)
	}
}

// A token of Etsy that is a number alone names nobody.
func TestATokenOfEtsyHasAPeriod(t *testing.T) {
	s := services["etsy"]
	w, k := s.on(t, "memory", "etsy", nil)
	cb := w.begin(k, "etsy")
	at("token", func(a *answer) { a.body = []byte(`{"access_token":"248289761001"}`) })(w)
	if _, err := k.Visitor.FinishOAuth2(k.Ctx, cb); !isProviderError(err) {
		t.Errorf("%v", err)
	}
	k.Same("seen", w.took(), []string{"code"})
}

// The revocation endpoint of the discovery document is one of https, and comes before that of the table.
func TestTheRevocationOfTheDocument(t *testing.T) {
	brokenDocument(t, "google", services["google"], "discovery", "revocation by http", func(a *answer) {
		a.body = set(t, a.body, "revocation_endpoint", "http://oauth2.googleapis.com/revoke")
	})
	s := services["twitch"]
	s.revoke = "https://elsewhere.example.com/revoke"
	w, k := s.on(t, "memory", "twitch", nil)
	w.begin(k, "twitch")
	k.Must(w.provider("twitch", nil).Revoke(t.Context(), &oauth.Grant{Issuer: s.who.Issuer, Access: hidden.New("access")}))
	k.Same("seen", w.took(), []string{"revoke access"})
}

// Without Private, a row that speaks OAuth 2.0 calls no address of the host's own network.
func TestAPlainRowCallsNoPrivateAddress(t *testing.T) {
	for private, want := range map[bool]error{false: web.ErrAddress, true: web.ErrUnreachable} {
		p, err := preset.New("gitea", preset.Options{ClientID: "id", ClientSecret: hidden.New("secret"), Domain: "https://127.0.0.1:1", Private: private})
		if err != nil {
			t.Fatal(err)
		}
		f := &oauth.Flow{RedirectURL: kit.CallbackURL, Callback: oauth.Callback{Code: hidden.New("code")}, Verifier: hidden.New("verifier")}
		if _, err := p.Exchange(t.Context(), f); !errors.Is(err, want) {
			t.Errorf("private %v: %v", private, err)
		}
	}
}

// A callback of a service that names itself is compared with that text, and one of a service whose text
// is not known with nothing.
func TestTheCallbackNamesTheService(t *testing.T) {
	for _, v := range []struct {
		name, issuer string
		want         error
	}{
		{"github", "https://github.com/login/oauth", nil}, {"github", "https://github.com", latchkey.ErrProviderFailed}, {"github", "https://evil.example.com", latchkey.ErrProviderFailed},
		{"google", "https://accounts.google.com", nil}, {"google", "https://evil.example.com", latchkey.ErrInvalidToken}, {"amazon", "https://any.example.com", nil},
	} {
		s := services[v.name]
		w, k := s.on(t, "memory", v.name, nil)
		cb := w.begin(k, v.name)
		cb.Parameters.Set("iss", v.issuer)
		if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)); !errors.Is(err, v.want) {
			t.Errorf("%s, %s: %v", v.name, v.issuer, err)
		}
	}
}

// A word of PayPal against an address is heard.
func TestAnAddressThatPayPalDeniesDoesNotCount(t *testing.T) {
	s := services["paypal"]
	for flag, want := range map[string]bool{`true`: true, `null`: true, `false`: false, `"false"`: false, `0`: false} {
		w, k := s.on(t, "memory", "paypal", func(o *preset.Options) { o.Trust = preset.Trusted })
		at(s.in, func(a *answer) { a.body = set(t, a.body, "emails.0.confirmed", json.RawMessage(flag)) })(w)
		user, err := k.Users().Get(k.Ctx, w.signIn(k, "paypal").UserID)
		k.Must(err)
		if user.EmailVerification != want {
			t.Errorf("confirmed is %s: %v", flag, user.EmailVerification)
		}
	}
}

// An address of a domain has one spelling.
func TestADomainHasOneSpelling(t *testing.T) {
	for text, want := range map[string]string{
		"git.example.com": "https://git.example.com", "HTTPS://Git.Example.com//": "https://git.example.com", "https://git.example.com:443/": "https://git.example.com", "git.example.com/Forge/": "https://git.example.com/Forge", "https://git.example.com:8443": "https://git.example.com:8443",
		"git.example.com/a/../b": "", "git.example.com//a": "", "git example.com": "", "https://git.example.com/ a": "", "": "",
	} {
		p, err := preset.New("gitea", preset.Options{ClientID: "id", ClientSecret: hidden.New("secret"), Domain: text})
		if (err == nil) != (want != "") || err == nil && p.Info().Issuer != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}

// An app's token must be as fresh as the host asks.
func TestMaxAgeIsAskedOfAppsToo(t *testing.T) {
	s := openIDServices["google"]
	w, k := s.onNative(t, "memory", "google", func(o *preset.Options) { o.Parameters = url.Values{"max_age": {"60"}} })
	for age, want := range map[int64]error{30: nil, 3600: latchkey.ErrInvalidToken, -1: latchkey.ErrInvalidToken} {
		k.Clock.Advance(time.Second)
		_, err := w.enters(k, "google", func(claims map[string]any) {
			if age >= 0 {
				claims["auth_time"] = k.Clock.Now().Unix() - age
			}
		}, nonce)
		if !errors.Is(err, want) {
			t.Errorf("signed in %d seconds ago: %v", age, err)
		}
	}
}
