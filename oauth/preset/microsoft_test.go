package preset_test

import (
	"errors"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth/preset"
)

// A tenant may be written in capitals, and means the same; the id of a token is exact.
func TestTheTenantOfMicrosoftIsExact(t *testing.T) {
	in := func(tid string) func(claims map[string]any) {
		return func(claims map[string]any) {
			delete(claims, "xms_edov")
			claims["tid"], claims["iss"] = tid, "https://login.microsoftonline.com/"+tid+"/v2.0"
		}
	}
	for _, v := range []struct {
		tenant, published, tid string
		let                    bool
	}{
		{"Common", "{tenantid}", tenantA, true}, {"Organizations", "{tenantid}", tenantA, true}, {"Organizations", "{tenantid}", personal, false}, {"Consumers", personal, personal, true}, {"Consumers", personal, tenantA, false},
		{"common", "{tenantid}", "x/../" + tenantA, false}, {"common", "{tenantid}", tenantA + "/../x", false}, {"common", "{tenantid}", strings.ToUpper(tenantA), false},
	} {
		s := microsoftAt(v.tenant, v.published)
		w, k := s.on(t, "memory", "microsoft", func(o *preset.Options) { o.Trust = preset.Trusted })
		cb := w.begin(k, "microsoft")
		w.change = in(v.tid)
		result, err := k.Visitor.FinishOAuth2(k.Ctx, cb)
		if (err == nil) != v.let {
			t.Errorf("%s, %s: %v", v.tenant, v.tid, err)
		}
		if err == nil {
			user, err := k.Users().Get(k.Ctx, result.Session.UserID)
			k.Must(err)
			k.Same(v.tenant+": the address of a tenant that is not the host's", user.EmailVerification, false)
		}
	}
	for _, v := range []struct{ tenant, published, whole string }{
		{strings.ToUpper(tenantA), tenantB, ""}, {strings.ToUpper(tenantA), personal, ""}, {"example.onmicrosoft.com", "x/../" + tenantA, ""}, {"example.onmicrosoft.com", tenantA + "/../x", ""},
		{"common", "", "{tenantid}"}, {"common", "", "{tenantid}/v2.0"}, {"common", "", "https://login.microsoftonline.com/{tenantid}"}, {tenantA, "", tenantA},
	} {
		s := microsoftAt(v.tenant, v.published)
		if v.whole != "" {
			s.discovery = `{"issuer":"` + v.whole + `"}`
		}
		_, k := s.on(t, "memory", "microsoft", nil)
		if _, err := k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "microsoft", RedirectURL: kit.CallbackURL}); err != latchkey.ErrProviderFailed {
			t.Errorf("the document of %s names %s%s: %v", v.tenant, v.published, v.whole, err)
		}
	}
}

// A callback that names an issuer names the tenant of the token.
func TestTheCallbackOfMicrosoftNamesTheTenantOfTheToken(t *testing.T) {
	at := func(tid string) string { return "https://login.microsoftonline.com/" + tid + "/v2.0" }
	for issuer, want := range map[string]error{
		"": nil, at(tenantA): nil, at(tenantB): latchkey.ErrProviderFailed, at("{tenantid}"): latchkey.ErrProviderFailed, "https://evil.example.com": latchkey.ErrProviderFailed,
	} {
		s := services["microsoft"]
		w, k := s.on(t, "memory", "microsoft", nil)
		cb := w.begin(k, "microsoft")
		if issuer != "" {
			cb.Parameters.Set("iss", issuer)
		}
		if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)); !errors.Is(err, want) {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

// A key whose issuer cannot be read signs for no tenant.
func TestAKeyOfMicrosoftWithAnIssuerThatIsNone(t *testing.T) {
	for _, issuer := range []any{1, true, []string{"https://login.microsoftonline.com/" + tenantB + "/v2.0"}, map[string]any{}} {
		s := services["microsoft"]
		w, k := s.on(t, "memory", "microsoft", nil)
		at("keys", func(a *answer) { a.body = set(t, a.body, "keys.0.issuer", issuer) })(w)
		k.RefusesCallback("the issuer of the key", latchkey.ErrProviderFailed, w.begin(k, "microsoft"))
	}
}

// Microsoft's userinfo endpoint is not asked, also for a person without an address: it knows no tenant.
func TestMicrosoftsUserinfoIsNotAsked(t *testing.T) {
	s := services["microsoft"]
	w, k := s.on(t, "memory", "microsoft", nil)
	cb := w.begin(k, "microsoft")
	w.change = func(claims map[string]any) { delete(claims, "email") }
	if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)); !errors.Is(err, latchkey.ErrUserUnauthorized) {
		t.Errorf("%v", err)
	}
	k.Same("seen", w.took(), []string{"code"})
}

// The issuer of a key means something at a service with tenants alone.
func TestTheIssuerOfAKeyOfAnotherServiceIsNotRead(t *testing.T) {
	s := services["fusionauth"]
	s.keysOf = "https://elsewhere.example.com"
	w, k := s.on(t, "memory", "fusionauth", nil)
	w.signIn(k, "fusionauth")
}
