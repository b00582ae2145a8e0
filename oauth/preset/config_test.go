package preset_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
)

// New refuses what cannot be, with the provider's name and the field, and shows no value.
func TestNewNamesTheProviderAndTheField(t *testing.T) {
	secret := hidden.New("hide-me")
	good := func(change func(o *preset.Options)) preset.Options {
		o := preset.Options{ClientID: "id", ClientSecret: secret}
		change(&o)
		return o
	}
	key := func(change func(k *preset.AppleKey)) preset.Options {
		k := preset.AppleKey{TeamID: "ABCDE12345", KeyID: "KEY1234567", PEM: hidden.New(applePEM())}
		change(&k)
		return preset.Options{ClientID: "id", Key: &k}
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	as := func(o preset.Options) func(*preset.Options) { return func(p *preset.Options) { *p = o } }
	for _, v := range []struct {
		name, field string
		change      func(o *preset.Options)
	}{
		{"hide-me", "", func(*preset.Options) {}}, {"", "", func(*preset.Options) {}}, {"Google", "", func(*preset.Options) {}},
		{"google", "ClientID", func(o *preset.Options) { o.ClientID = "" }}, {"google", "ClientSecret", func(o *preset.Options) { o.ClientSecret = hidden.Text{} }}, {"etsy", "ClientSecret", func(o *preset.Options) { o.ClientSecret = hidden.Text{} }},
		{"google", "Public", func(o *preset.Options) { o.Public = true }}, {"google", "Public", as(preset.Options{ClientID: "id", Public: true})}, {"github", "Public", as(preset.Options{ClientID: "id", Public: true})},
		{"google", "ClientSecret", func(o *preset.Options) { o.ClientSecret = hidden.New("secret\n") }}, {"github", "Parameters", func(o *preset.Options) { o.Parameters = url.Values{"max_age": {"60"}} }}, {"microsoft", "Tenant", func(o *preset.Options) { o.Tenant = "comon" }}, {"microsoft", "Tenant", func(o *preset.Options) { o.Tenant = "commonx" }},
		{"apple", "Public", as(func() preset.Options { o := key(func(*preset.AppleKey) {}); o.Public = true; return o }())},
		{"keycloak", "Public", func(o *preset.Options) { o.Domain, o.Realm, o.Public = "id.example.com", "x", true }}, {"google", "ClientID", func(o *preset.Options) { o.ClientID = "id\n" }}, {"google", "ClientID", func(o *preset.Options) { o.ClientID = "é" }},
		{"google", "Scopes", func(o *preset.Options) { o.Scopes = []string{"é"} }}, {"google", "Scopes", func(o *preset.Options) { o.Scopes = []string{`a"b`} }}, {"google", "Scopes", func(o *preset.Options) { o.Scopes = []string{`a\b`} }},
		{"authentik", "Application", func(o *preset.Options) { o.Domain, o.Application = "id.example.com", strings.Repeat("x", 101) }}, {"okta", "Server", func(o *preset.Options) { o.Domain, o.Server = "id.example.com", strings.Repeat("x", 101) }}, {"microsoft", "Tenant", func(o *preset.Options) { o.Tenant = strings.Repeat("x", 201) }}, {"keycloak", "Realm", func(o *preset.Options) { o.Domain, o.Realm = "id.example.com", strings.Repeat("x", 101) }},
		{"zoho", "DataCentre", func(o *preset.Options) { o.DataCentre = "eux" }}, {"facebook", "Version", func(o *preset.Options) { o.Version = "xv22.0" }}, {"gitea", "Domain", func(o *preset.Options) { o.Domain = "http://127.0.0.1:3000" }},
		{"apple", "Key.TeamID", as(key(func(k *preset.AppleKey) { k.TeamID = "XABCDE12345" }))}, {"apple", "Key.KeyID", as(key(func(k *preset.AppleKey) { k.KeyID = "KEY12345678" }))},
		{"google", "Trust", func(o *preset.Options) { o.Trust = 3 }}, {"google", "Trust", func(o *preset.Options) { o.Trust = -1 }}, {"paypalSandbox", "Trust", func(o *preset.Options) { o.Trust = preset.Trusted }}, {"tradeshiftBox", "Trust", func(o *preset.Options) { o.Trust = preset.Trusted }},
		{"google", "Scopes", func(o *preset.Options) { o.Scopes = []string{"a b"} }}, {"google", "Scopes", func(o *preset.Options) { o.Scopes = []string{""} }}, {"google", "Scopes", func(o *preset.Options) { o.Scopes = []string{"hide-me\n"} }},
		{"github", "Apps", func(o *preset.Options) { o.Apps = []string{"app"} }}, {"google", "Apps", func(o *preset.Options) { o.Apps = []string{"app", ""} }}, {"google", "AppsWithoutNonce", func(o *preset.Options) { o.AppsWithoutNonce = true }},
		{"facebook", "Offline", func(o *preset.Options) { o.Offline = true }}, {"bitly", "Offline", func(o *preset.Options) { o.Offline = true }}, {"paypal", "BesideLive", func(o *preset.Options) { o.BesideLive = true }},
		{"google", "Domain", func(o *preset.Options) { o.Domain = "example.com" }}, {"google", "Tenant", func(o *preset.Options) { o.Tenant = "common" }}, {"google", "Realm", func(o *preset.Options) { o.Realm = "x" }}, {"google", "Issuer", func(o *preset.Options) { o.Issuer = "https://x.example.com" }}, {"google", "Version", func(o *preset.Options) { o.Version = "v22.0" }}, {"google", "DataCentre", func(o *preset.Options) { o.DataCentre = "eu" }}, {"google", "Application", func(o *preset.Options) { o.Application = "x" }}, {"google", "Server", func(o *preset.Options) { o.Server = "x" }}, {"google", "Key", func(o *preset.Options) { o.Key = &preset.AppleKey{} }},
		{"auth0", "Domain", func(*preset.Options) {}}, {"okta", "Domain", func(*preset.Options) {}}, {"authentik", "Application", func(o *preset.Options) { o.Domain = "id.example.com" }}, {"keycloak", "Realm", func(o *preset.Options) { o.Domain = "id.example.com" }}, {"fusionauth", "Domain", func(*preset.Options) {}}, {"gitea", "Domain", func(*preset.Options) {}}, {"oidc", "Issuer", func(*preset.Options) {}},
		{"auth0", "Domain", func(o *preset.Options) { o.Domain = "http://id.example.com" }}, {"auth0", "Domain", func(o *preset.Options) { o.Domain = "https://id.example.com/?x=1" }}, {"auth0", "Domain", func(o *preset.Options) { o.Domain = "https://hide-me@id.example.com" }}, {"auth0", "Domain", func(o *preset.Options) { o.Domain = "id.example.com/{realm}" }}, {"auth0", "Domain", func(o *preset.Options) { o.Domain = "javascript:alert(1)" }}, {"auth0", "Domain", func(o *preset.Options) { o.Domain = strings.Repeat("x", 200) + ".example.com" }},
		{"oidc", "Issuer", func(o *preset.Options) { o.Issuer = "id.example.com" }}, {"oidc", "Issuer", func(o *preset.Options) { o.Issuer = "https://id.example.com?x" }},
		{"keycloak", "Realm", func(o *preset.Options) { o.Domain, o.Realm = "id.example.com", "a/b" }}, {"keycloak", "Realm", func(o *preset.Options) { o.Domain, o.Realm = "id.example.com", ".." }}, {"authentik", "Application", func(o *preset.Options) { o.Domain, o.Application = "id.example.com", "a/../b" }}, {"okta", "Server", func(o *preset.Options) { o.Domain, o.Server = "id.example.com", "a/b" }},
		{"microsoft", "Tenant", func(o *preset.Options) { o.Tenant = "a/b" }}, {"microsoft", "Tenant", func(o *preset.Options) { o.Tenant = "{tenantid}" }}, {"microsoft", "Tenant", func(o *preset.Options) { o.Tenant = ".." }},
		{"zoho", "DataCentre", func(o *preset.Options) { o.DataCentre = "evil.example.com" }}, {"zoho", "DataCentre", func(o *preset.Options) { o.DataCentre = "EU" }}, {"facebook", "Version", func(o *preset.Options) { o.Version = "22.0" }}, {"facebook", "Version", func(o *preset.Options) { o.Version = "v22.0/../x" }},
		{"apple", "ClientSecret", func(*preset.Options) {}}, {"apple", "Key", as(preset.Options{ClientID: "id"})},
		{"apple", "Key.TeamID", as(key(func(k *preset.AppleKey) { k.TeamID = "hide-me" }))}, {"apple", "Key.KeyID", as(key(func(k *preset.AppleKey) { k.KeyID = "" }))}, {"apple", "Key.PEM", as(key(func(k *preset.AppleKey) { k.PEM = hidden.Text{} }))}, {"apple", "Key.PEM", as(key(func(k *preset.AppleKey) { k.PEM = hidden.New("hide-me") }))},
		{"apple", "Key.PEM", as(key(func(k *preset.AppleKey) { k.PEM = hidden.New(pemOf(other)) }))}, {"apple", "Key.PEM", as(key(func(k *preset.AppleKey) { k.PEM = hidden.New(pemOf(rsaKey)) }))},
	} {
		p, err := preset.New(v.name, good(v.change))
		var refused *preset.Error
		if err == nil {
			t.Errorf("%s takes %+v", v.name, good(v.change))
			continue
		}
		if p != nil || !errors.As(err, &refused) || refused.Field != v.field || refused.Provider != v.name {
			t.Errorf("%s, %s: %v", v.name, v.field, err)
			continue
		}
		if v.name != "hide-me" && strings.Contains(fmt.Sprintf("%+v", err), "hide-me") || v.field != "" && !strings.HasPrefix(err.Error(), "preset: "+v.name+": "+v.field+": ") {
			t.Errorf("%s, %s: %v", v.name, v.field, err)
		}
	}
}

// What New takes is printed nowhere with a secret.
func TestOptionsAndProvidersShowNoSecret(t *testing.T) {
	o := preset.Options{ClientID: "id", Key: &preset.AppleKey{TeamID: "ABCDE12345", KeyID: "KEY1234567", PEM: hidden.New(applePEM())}}
	p, err := preset.New("apple", o)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%+v", o), fmt.Sprintf("%#v", *o.Key), fmt.Sprintf("%+v", p)} {
		if strings.Contains(text, "PRIVATE KEY") {
			t.Error(text)
		}
	}
}

// The name that a host gives replaces the name of the row, and changes no identity.
func TestAHostMayHaveTwoOfAKind(t *testing.T) {
	var two []oauth.Provider
	for _, realm := range []string{"staff", "pupils"} {
		p, err := preset.New("keycloak", preset.Options{Name: realm, ClientID: "id", Public: true, Domain: "id.example.com", Realm: realm})
		if err != nil {
			t.Fatal(err)
		}
		if info := p.Info(); info.Name != realm || info.Issuer != "https://id.example.com/realms/"+realm {
			t.Errorf("%+v", info)
		}
		two = append(two, p)
	}
	k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
	k.Configured(func(c *latchkey.Config) { c.Providers = two })
}

// A sandbox, whose people are made up, does not run beside the live service unless the host says so.
func TestASandboxDoesNotRunBesideTheLiveService(t *testing.T) {
	k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
	for live, box := range map[string]string{"paypal": "paypalSandbox", "tradeshift": "tradeshiftBox"} {
		for _, beside := range []bool{false, true} {
			var both []oauth.Provider
			for _, name := range []string{live, box} {
				p, err := preset.New(name, preset.Options{ClientID: "id", ClientSecret: hidden.New("secret"), BesideLive: beside && name == box})
				k.Must(err)
				both = append(both, p)
			}
			engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Providers: both})
			if (err == nil) != beside {
				t.Errorf("%s beside %s, %v: %v", box, live, beside, err)
			}
			if engine != nil {
				k.Must(engine.Close())
			}
		}
	}
}

// A setting of the host changes the addresses, and the issuer under which identities are kept.
func TestSettingsChangeTheAddresses(t *testing.T) {
	for _, v := range []struct {
		name         string
		change       func(o *preset.Options)
		issuer, page string
	}{
		{"okta", func(o *preset.Options) { o.Domain, o.Server = "x.okta.com", "org" }, "https://x.okta.com", ""},
		{"okta", func(o *preset.Options) { o.Domain, o.Server = "x.okta.com", "aus1" }, "https://x.okta.com/oauth2/aus1", ""},
		{"gitlab", func(o *preset.Options) { o.Domain = "https://git.example.com/gitlab/" }, "https://git.example.com/gitlab", ""},
		{"salesforce", func(o *preset.Options) { o.Domain = "shop.my.salesforce.com" }, "https://shop.my.salesforce.com", ""},
		{"microsoft", func(o *preset.Options) { o.Tenant = "example.onmicrosoft.com" }, "https://login.microsoftonline.com", ""},
		{"github", func(o *preset.Options) { o.Domain = "git.example.com" }, "https://git.example.com", "https://git.example.com/login/oauth/authorize"},
		{"facebook", func(o *preset.Options) { o.Version = "v30.0" }, "https://www.facebook.com", "https://www.facebook.com/v30.0/dialog/oauth"},
		{"zoho", func(o *preset.Options) { o.DataCentre = "ca" }, "https://accounts.zoho.com", "https://accounts.zohocloud.ca/oauth/v2/auth"},
	} {
		o := preset.Options{ClientID: "id", ClientSecret: hidden.New("secret"), Scopes: []string{"more"}}
		v.change(&o)
		p, err := preset.New(v.name, o)
		if err != nil {
			t.Fatal(err)
		}
		if info := p.Info(); info.Issuer != v.issuer {
			t.Errorf("%s: %+v", v.name, info)
		}
		if v.page == "" {
			continue
		}
		address, err := p.Authorize(t.Context(), &oauth.Flow{RedirectURL: kit.CallbackURL, State: hidden.New("state"), Verifier: hidden.New("verifier")})
		if page, query, _ := strings.Cut(address, "?"); err != nil || page != v.page || !strings.Contains(query, "more") {
			t.Errorf("%s: %s, %v", v.name, address, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A required field that is missing is said to be missing.
func TestAMissingSettingIsSaidToBeMissing(t *testing.T) {
	for name, field := range map[string]string{"auth0": "Domain", "oidc": "Issuer", "authentik": "Application", "gitea": "Domain"} {
		_, err := preset.New(name, preset.Options{ClientID: "id", ClientSecret: hidden.New("secret"), Domain: map[bool]string{true: "id.example.com"}[name == "authentik"]})
		var refused *preset.Error
		if !errors.As(err, &refused) || refused.Field != field || refused.Reason != "it is missing" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A host may run a service on its own machine.
func TestAServiceOnLoopbackIsPrivate(t *testing.T) {
	for _, name := range []string{"gitea", "fusionauth"} {
		p, err := preset.New(name, preset.Options{ClientID: "id", ClientSecret: hidden.New("secret"), Domain: "http://127.0.0.1:3000", Private: true})
		if err != nil || p.Info().Issuer != "http://127.0.0.1:3000" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
