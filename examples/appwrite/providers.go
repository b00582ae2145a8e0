package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
)

// providers returns the providers that the environment configures: oidc by OIDC_ISSUER,
// OIDC_CLIENT_ID and OIDC_CLIENT_SECRET, and those that OAUTH2_PROVIDERS lists, separated by commas.
// docs/providers.md says how to register the host with each. A listed provider has these variables,
// here of github:
//
//	OAUTH2_GITHUB_CLIENT_ID, OAUTH2_GITHUB_CLIENT_SECRET  (for apple TEAM_ID, KEY_ID and KEY_FILE)
//	OAUTH2_GITHUB_PUBLIC=true       the client has no secret
//	OAUTH2_GITHUB_TRUST             trusted or untrusted; the table of presets decides if it is unset
//	OAUTH2_GITHUB_OFFLINE=true      asks for a refresh token
//	OAUTH2_GITHUB_SCOPES            more scopes, separated by commas
//	OAUTH2_GITHUB_DOMAIN, _ISSUER, _APPLICATION, _SERVER, _TENANT, _REALM, _DATA_CENTRE, _VERSION
//	                                the settings of the providers that have them
//	OAUTH2_GITHUB_BESIDE_LIVE=true  for a sandbox
//
// The name of a provider is in capitals, with an underscore before a capital of its own:
// OAUTH2_PAYPAL_SANDBOX_CLIENT_ID. A provider whose configuration cannot be ends the start with its
// name and the field.
func (r *reader) providers() (all []oauth.Provider) {
	if issuer, id, secret := r.env("OIDC_ISSUER"), r.env("OIDC_CLIENT_ID"), r.env("OIDC_CLIENT_SECRET"); issuer != "" && id != "" && secret != "" {
		all = r.provider(all, "oidc", preset.Options{Issuer: issuer, ClientID: id, ClientSecret: hidden.New(secret), Trust: preset.Trusted})
	}
	for _, name := range r.list("OAUTH2_PROVIDERS") {
		v := variables(name)
		o := preset.Options{
			ClientID: r.env(v + "CLIENT_ID"), ClientSecret: hidden.New(r.env(v + "CLIENT_SECRET")), Public: r.flag(v+"PUBLIC", false), Scopes: r.list(v + "SCOPES"),
			Offline: r.flag(v+"OFFLINE", false), BesideLive: r.flag(v+"BESIDE_LIVE", false), Domain: r.env(v + "DOMAIN"), Issuer: r.env(v + "ISSUER"), Application: r.env(v + "APPLICATION"),
			Server: r.env(v + "SERVER"), Tenant: r.env(v + "TENANT"), Realm: r.env(v + "REALM"), DataCentre: r.env(v + "DATA_CENTRE"), Version: r.env(v + "VERSION"),
		}
		switch trust := r.env(v + "TRUST"); trust {
		case "":
		case "trusted":
			o.Trust = preset.Trusted
		case "untrusted":
			o.Trust = preset.Untrusted
		default:
			r.fail(v+"TRUST", trust)
		}
		if file := r.env(v + "KEY_FILE"); file != "" {
			text, err := os.ReadFile(file)
			if err != nil {
				r.errs = append(r.errs, fmt.Errorf("%sKEY_FILE cannot be read", v))
				continue
			}
			o.Key = &preset.AppleKey{TeamID: r.env(v + "TEAM_ID"), KeyID: r.env(v + "KEY_ID"), PEM: hidden.New(string(text))}
		}
		all = r.provider(all, name, o)
	}
	return all
}

// variables returns the beginning of the names of a provider's variables.
func variables(name string) string {
	var b strings.Builder
	b.WriteString("OAUTH2_")
	for _, c := range name {
		if unicode.IsUpper(c) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(c))
	}
	return b.String() + "_"
}

// provider adds a provider. One on loopback is called there, by http too.
func (r *reader) provider(all []oauth.Provider, name string, o preset.Options) []oauth.Provider {
	o.Private = slices.ContainsFunc([]string{o.Issuer, o.Domain}, onLoopback)
	p, err := preset.New(name, o)
	if err != nil {
		r.errs = append(r.errs, err)
		return all
	}
	return append(all, inRealTime{p})
}

// onLoopback reports whether an address is one of this machine.
func onLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback() || u.Hostname() == "localhost"
}

// inRealTime is a provider whose tokens have the times of the machine's clock, whatever
// CLOCK_OFFSET_FILE says.
type inRealTime struct{ *preset.Provider }

func (p inRealTime) Exchange(ctx context.Context, f *oauth.Flow) (*oauth.Tokens, error) {
	now := *f
	now.Now = time.Now()
	return p.Provider.Exchange(ctx, &now)
}

func (p inRealTime) Profile(ctx context.Context, f *oauth.Flow, t *oauth.Tokens) (*oauth.Profile, error) {
	now := *f
	now.Now = time.Now()
	return p.Provider.Profile(ctx, &now, t)
}
