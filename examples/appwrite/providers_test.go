package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/latchkey/authtest"
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
