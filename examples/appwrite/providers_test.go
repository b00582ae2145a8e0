package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
)

// read reads an environment.
func read(env map[string]string) (config, error) {
	return readConfig(func(name string) string { return env[name] })
}

// Each preset is configured by variables of its own, and a configuration that cannot be ends the start
// with the provider's name and the field.
func TestTheEnvironmentConfiguresProviders(t *testing.T) {
	for _, v := range []struct {
		env  map[string]string
		want string // a part of the error; "" without one
	}{
		{map[string]string{"OAUTH2_PROVIDERS": "github, paypalSandbox", "OAUTH2_GITHUB_CLIENT_ID": "a", "OAUTH2_GITHUB_CLIENT_SECRET": "b", "OAUTH2_PAYPAL_SANDBOX_CLIENT_ID": "c", "OAUTH2_PAYPAL_SANDBOX_CLIENT_SECRET": "d"}, ""},
		{map[string]string{"OAUTH2_PROVIDERS": "microsoft", "OAUTH2_MICROSOFT_CLIENT_ID": "a", "OAUTH2_MICROSOFT_CLIENT_SECRET": "b", "OAUTH2_MICROSOFT_TENANT": "example.com", "OAUTH2_MICROSOFT_TRUST": "trusted", "OAUTH2_MICROSOFT_OFFLINE": "true", "OAUTH2_MICROSOFT_SCOPES": "User.Read"}, ""},
		{map[string]string{"OAUTH2_PROVIDERS": "github", "OAUTH2_GITHUB_CLIENT_ID": "a"}, "github: ClientSecret"},
		{map[string]string{"OAUTH2_PROVIDERS": "zoho", "OAUTH2_ZOHO_CLIENT_ID": "a", "OAUTH2_ZOHO_CLIENT_SECRET": "b", "OAUTH2_ZOHO_DATA_CENTRE": "moon"}, "zoho: DataCentre"},
		{map[string]string{"OAUTH2_PROVIDERS": "gogle"}, `"gogle"`}, {map[string]string{"OAUTH2_PROVIDERS": "google", "OAUTH2_GOOGLE_TRUST": "yes"}, "OAUTH2_GOOGLE_TRUST"}, {map[string]string{"OAUTH2_PROVIDERS": "google", "OAUTH2_GOOGLE_OFFLINE": "perhaps"}, "OAUTH2_GOOGLE_OFFLINE"},
		{map[string]string{"OAUTH2_PROVIDERS": "apple", "OAUTH2_APPLE_CLIENT_ID": "a", "OAUTH2_APPLE_KEY_FILE": filepath.Join(t.TempDir(), "none")}, "OAUTH2_APPLE_KEY_FILE"},
		{map[string]string{"OAUTH2_PROVIDERS": "fusionauth", "OAUTH2_FUSIONAUTH_CLIENT_ID": "a", "OAUTH2_FUSIONAUTH_CLIENT_SECRET": "b", "OAUTH2_FUSIONAUTH_DOMAIN": "http://localhost:9011"}, ""},
		{map[string]string{"OAUTH2_PROVIDERS": "fusionauth", "OAUTH2_FUSIONAUTH_CLIENT_ID": "a", "OAUTH2_FUSIONAUTH_CLIENT_SECRET": "b", "OAUTH2_FUSIONAUTH_DOMAIN": "http://id.example.com"}, "fusionauth: Domain"},
		{map[string]string{"OAUTH2_PROVIDERS": "oidc", "OAUTH2_OIDC_CLIENT_ID": "a", "OAUTH2_OIDC_CLIENT_SECRET": "b", "OAUTH2_OIDC_ISSUER": "http://127.0.0.1:1"}, ""},
		{map[string]string{"OAUTH2_PROVIDERS": "microsoft", "OAUTH2_MICROSOFT_CLIENT_ID": "a", "OAUTH2_MICROSOFT_CLIENT_SECRET": "b", "OAUTH2_MICROSOFT_TENANT": "a/b"}, "microsoft: Tenant"},
		{map[string]string{"OAUTH2_PROVIDERS": "google", "OAUTH2_GOOGLE_CLIENT_ID": "a", "OAUTH2_GOOGLE_CLIENT_SECRET": "b", "OAUTH2_GOOGLE_OFFLINE": "true", "OAUTH2_GOOGLE_BESIDE_LIVE": "true"}, "google: BesideLive"},
		{map[string]string{"OAUTH2_PROVIDERS": "facebook", "OAUTH2_FACEBOOK_CLIENT_ID": "a", "OAUTH2_FACEBOOK_CLIENT_SECRET": "b", "OAUTH2_FACEBOOK_OFFLINE": "true"}, "facebook: Offline"},
		{map[string]string{"OAUTH2_PROVIDERS": "paypalSandbox", "OAUTH2_PAYPAL_SANDBOX_CLIENT_ID": "a", "OAUTH2_PAYPAL_SANDBOX_CLIENT_SECRET": "b", "OAUTH2_PAYPAL_SANDBOX_TRUST": "trusted"}, "paypalSandbox: Trust"},
		{map[string]string{"OAUTH2_PROVIDERS": "paypalSandbox", "OAUTH2_PAYPAL_SANDBOX_CLIENT_ID": "a", "OAUTH2_PAYPAL_SANDBOX_CLIENT_SECRET": "b", "OAUTH2_PAYPAL_SANDBOX_TRUST": "untrusted"}, ""},
		{map[string]string{"OIDC_ISSUER": "no address", "OIDC_CLIENT_ID": "a", "OIDC_CLIENT_SECRET": "hide-me"}, "oidc: Issuer"},
	} {
		c, err := read(v.env)
		if v.want == "" && (err != nil || len(c.providers) != len(strings.Split(v.env["OAUTH2_PROVIDERS"], ","))) {
			t.Errorf("%v: %d providers, %v", v.env, len(c.providers), err)
		}
		if v.want != "" && (err == nil || !strings.Contains(err.Error(), v.want) || strings.Contains(err.Error(), "hide-me")) {
			t.Errorf("%v: %v", v.env, err)
		}
	}
	file := filepath.Join(t.TempDir(), "key.p8")
	if err := os.WriteFile(file, []byte("hide-me"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(map[string]string{"OAUTH2_PROVIDERS": "apple", "OAUTH2_APPLE_CLIENT_ID": "a", "OAUTH2_APPLE_TEAM_ID": "ABCDE12345", "OAUTH2_APPLE_KEY_ID": "KEY1234567", "OAUTH2_APPLE_KEY_FILE": file}); err == nil || !strings.Contains(err.Error(), "apple: Key.PEM") || strings.Contains(err.Error(), "hide-me") {
		t.Errorf("%v", err)
	}
	for _, left := range []string{"OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"} {
		env := map[string]string{"OIDC_ISSUER": "https://id.example.com", "OIDC_CLIENT_ID": "a", "OIDC_CLIENT_SECRET": "b"}
		delete(env, left)
		if c, err := read(env); err != nil || len(c.providers) != 0 {
			t.Errorf("without %s: %d providers, %v", left, len(c.providers), err)
		}
	}
	for _, name := range preset.Names() {
		if v := variables(name); v != strings.ToUpper(v) || strings.Contains(v, "__") {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// A provider of the environment signs a person in, by the addresses of the documents.
func TestAProviderOfTheEnvironmentSignsIn(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	settings := issuer.Settings()
	server, client, h := browser(t, map[string]string{
		"PROJECT_ID": "demo", "RATE_LIMITS": "off", "PUBLIC_URL": "http://127.0.0.1:1", "OAUTH2_PROVIDERS": "fusionauth", "OAUTH2_FUSIONAUTH_DOMAIN": issuer.URL,
		"OAUTH2_FUSIONAUTH_CLIENT_ID": settings.ClientID, "OAUTH2_FUSIONAUTH_CLIENT_SECRET": settings.ClientSecret.Reveal(),
	})
	visit := func(address string) *url.URL {
		t.Helper()
		address = strings.Replace(address, "http://127.0.0.1:1/", server.URL+"/", 1)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		u, err := answer.Location()
		if err != nil {
			t.Fatalf("%s: %d, %v", address, answer.StatusCode, err)
		}
		return u
	}
	start := visit(server.URL + "/v1/account/sessions/oauth2/fusionauth?project=demo")
	target, parameters, err := issuer.Visit(start.String())
	if err != nil {
		t.Fatal(err)
	}
	if want := "http://127.0.0.1:1/v1/account/sessions/oauth2/callback/fusionauth/demo"; target.String() != want {
		t.Errorf("the provider sends the browser to %s, want %s", target, want)
	}
	end := visit(visit(target.String() + "?" + parameters.Encode()).String())
	if end.Path != "/auth/oauth2/success" {
		t.Errorf("the browser ends at %s", end)
	}
	list, err := h.engine.Users().Identities(t.Context())
	if err != nil || len(list.Identities) != 1 || list.Identities[0].Provider != "fusionauth" || list.Identities[0].ProviderEmailVerified {
		t.Errorf("%+v, %v", list, err)
	}
}

// Each variable of a provider is read and has its effect.
func TestEachVariableOfAProviderIsRead(t *testing.T) {
	client := func(name string, more ...string) map[string]string {
		env := map[string]string{"OAUTH2_PROVIDERS": name, variables(name) + "CLIENT_ID": "id", variables(name) + "CLIENT_SECRET": "secret"}
		for i := 0; i < len(more); i += 2 {
			if env[variables(name)+more[i]] = more[i+1]; more[i+1] == "" {
				delete(env, variables(name)+more[i])
			}
		}
		return env
	}
	for _, v := range []struct {
		env    map[string]string
		issuer string
	}{
		{client("oidc", "ISSUER", "https://id.example.com"), "https://id.example.com"},
		{client("authentik", "DOMAIN", "id.example.com", "APPLICATION", "shop"), "https://id.example.com/application/o/shop/"},
		{client("okta", "DOMAIN", "id.example.com", "SERVER", "aus1"), "https://id.example.com/oauth2/aus1"},
		{client("keycloak", "DOMAIN", "id.example.com", "REALM", "shop", "CLIENT_SECRET", "", "PUBLIC", "true"), "https://id.example.com/realms/shop"},
		{map[string]string{"OIDC_ISSUER": "http://localhost:1", "OIDC_CLIENT_ID": "id", "OIDC_CLIENT_SECRET": "secret"}, "http://localhost:1"},
		{map[string]string{"OIDC_ISSUER": "http://[::1]:1", "OIDC_CLIENT_ID": "id", "OIDC_CLIENT_SECRET": "secret"}, "http://[::1]:1"},
		{client("fusionauth", "DOMAIN", "http://127.0.0.1:1"), "http://127.0.0.1:1"},
		{map[string]string{"OIDC_ISSUER": "https://id.example.com", "OIDC_CLIENT_ID": "id"}, ""},
		{map[string]string{"OIDC_ISSUER": "https://id.example.com", "OIDC_CLIENT_SECRET": "secret"}, ""},
		{map[string]string{"OIDC_CLIENT_ID": "id", "OIDC_CLIENT_SECRET": "secret"}, ""},
	} {
		c, err := read(v.env)
		issuer := ""
		if len(c.providers) > 0 {
			issuer = c.providers[0].Info().Issuer
		}
		if err != nil || issuer != v.issuer {
			t.Errorf("%v: %s, %v", v.env, issuer, err)
		}
	}
	for _, v := range []struct {
		env       map[string]string
		has, none string // in the address of the sign-in
	}{
		{client("x", "OFFLINE", "true"), "offline.access", "nothing"}, {client("x"), "users.read", "offline.access"}, {client("github", "SCOPES", "read:org,gist"), "read%3Aorg%20gist", "offline"},
		{client("facebook", "VERSION", "v30.0"), "facebook.com/v30.0/", "v26"}, {client("zoho", "DATA_CENTRE", "eu"), "https://accounts.zoho.eu/", "zoho.com"},
	} {
		c, err := read(v.env)
		if err != nil {
			t.Errorf("%v: %v", v.env, err)
			continue
		}
		address, err := c.providers[0].Authorize(t.Context(), &oauth.Flow{RedirectURL: "https://app.example.org/back", State: hidden.New("state"), Verifier: hidden.New("verifier")})
		if err != nil || !strings.Contains(address, v.has) || strings.Contains(address, v.none) {
			t.Errorf("%v: %s, %v", v.env, address, err)
		}
	}
	for _, env := range []map[string]string{
		client("auth0", "DOMAIN", "http://id.example.com"), client("auth0", "DOMAIN", "http://10.0.0.1"), client("auth0", "DOMAIN", "http://localhost.example.com"), client("auth0", "DOMAIN", "http://127.0.0.1.example.com"),
		client("oidc", "ISSUER", "http://id.example.com"), client("github", "PUBLIC", "true"), client("microsoft", "TENANT", "a/b"), client("google", "CLIENT_SECRET", ""),
	} {
		if c, err := read(env); err == nil {
			t.Errorf("%v: %d providers", env, len(c.providers))
		}
	}
}

// A sandbox is refused beside the live service, unless its variable says so.
func TestASandboxOfTheEnvironment(t *testing.T) {
	env := map[string]string{"OAUTH2_PROVIDERS": "paypal,paypalSandbox"}
	for _, name := range []string{"paypal", "paypalSandbox"} {
		env[variables(name)+"CLIENT_ID"], env[variables(name)+"CLIENT_SECRET"] = "id", "secret"
	}
	for _, beside := range []string{"", "true"} {
		env["OAUTH2_PAYPAL_SANDBOX_BESIDE_LIVE"] = beside
		c, err := read(env)
		if err != nil || len(c.providers) != 2 {
			t.Fatalf("%d providers, %v", len(c.providers), err)
		}
		if live := c.providers[1].Info().Sandbox; (live == "https://www.paypal.com") != (beside == "") {
			t.Errorf("%q: %q", beside, live)
		}
	}
}

// The variable TRUST decides whether an address counts, and the table if it is unset.
func TestTheTrustOfTheEnvironment(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body := `{"id":1,"login":"ada","active":true}`
		if strings.HasSuffix(r.URL.Path, "/emails") {
			body = `[{"email":"ada@example.org","primary":true,"verified":true}]`
		}
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	for name, trusts := range map[string]map[string]bool{
		"gitea": {"": false, "trusted": true, "untrusted": false}, "github": {"": false, "trusted": true, "untrusted": false},
	} {
		for trust, want := range trusts {
			v := variables(name)
			c, err := read(map[string]string{"OAUTH2_PROVIDERS": name, v + "CLIENT_ID": "id", v + "CLIENT_SECRET": "secret", v + "DOMAIN": server.URL, v + "TRUST": trust})
			if err != nil {
				t.Fatal(err)
			}
			who, err := c.providers[0].Profile(t.Context(), &oauth.Flow{}, &oauth.Tokens{Access: hidden.New("access")})
			if err != nil || who.Email != "ada@example.org" || who.EmailVerified != want {
				t.Errorf("%s, %q: %+v, %v", name, trust, who, err)
			}
		}
	}
}

// The provider of OIDC_ISSUER is the host's own, so that its word on an address counts.
func TestTheProviderOfOIDCIsTrusted(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	settings := issuer.Settings()
	c, err := read(map[string]string{"OIDC_ISSUER": issuer.URL, "OIDC_CLIENT_ID": settings.ClientID, "OIDC_CLIENT_SECRET": settings.ClientSecret.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	f := &oauth.Flow{RedirectURL: "https://app.example.org/back", State: hidden.New("state"), Nonce: hidden.New("nonce"), Verifier: hidden.New(strings.Repeat("v", 43)), Now: time.Now()}
	address, err := c.providers[0].Authorize(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	_, back, err := issuer.Visit(address)
	if err != nil {
		t.Fatal(err)
	}
	f.Callback = oauth.Callback{Code: hidden.New(back.Get("code")), Issuer: back.Get("iss")}
	tokens, err := c.providers[0].Exchange(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := c.providers[0].Profile(t.Context(), f, tokens); err != nil || who.Email == "" || !who.EmailVerified {
		t.Errorf("%+v, %v", who, err)
	}
}
