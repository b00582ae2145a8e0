// Package preset knows the services by which people sign in: for each the endpoints, the scopes, where
// in its answers the person stands, whose word on an address counts, and its quirks.
//
//	github, err := preset.New("github", preset.Options{ClientID: id, ClientSecret: hidden.New(secret)})
//	engine, err := latchkey.New(store, latchkey.Config{Keys: keys, Providers: []oauth.Provider{github}})
//
// The rows are one table, and docs/providers.md is made of it: how to register the host at each
// service, and which facts could not be confirmed. A service that is not in it is configured by packages
// oauth/oidc and oauth/oauth2.
//
// A provider's word on an address decides whether a person is let into an account that has the
// address. Most services prove no address, or let others than the person write it. For those the word
// does not count unless [Options].Trust says so: their people sign in by the identity alone, and get
// accounts without an address.
package preset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oauth2"
	"example.com/latchkey/oauth/oidc"
)

// Trust says whether a service's word on an address counts.
type Trust int

// The zero Trust is what the table says of the service. Trusted counts an address that the service
// has marked as verified; from a service that marks none, every address. Untrusted counts none.
const (
	ByDefault Trust = iota
	Trusted
	Untrusted
)

// Options configure a provider. A service refuses the settings that it does not have.
type Options struct {
	// Name replaces the name of the provider, for a host with two of one kind: as oauth.Info.Name. ""
	// means the name of the preset.
	Name     string
	ClientID string // required; printable ASCII
	// ClientSecret is required, but for Apple, whose secret is made of Key. It is printable ASCII.
	ClientSecret hidden.Text
	// Public says that the client has no secret: the service must allow that. A host that takes the ID
	// tokens of apps alone needs none either.
	Public bool
	Scopes []string // beside those of the table
	Trust  Trust
	// Offline asks for a refresh token where the service gives one only if it is asked. It is of use
	// with Policy.KeepProviderTokens.
	Offline bool
	// Apps and AppsWithoutNonce are those of oidc.Config, for a service whose SDK gives apps an ID
	// token: those that speak OpenID Connect, and Facebook (Limited Login).
	Apps             []string
	AppsWithoutNonce bool
	// Parameters are added to the authorization address, for example prompt. They come before those of
	// the table, and do not replace those of the flow. Only OpenID Connect has max_age, see oidc.Config.
	Parameters url.Values

	// Domain is where the service is, for one that a host runs or rents: an address of https without a
	// query, or a host name, at most 150 bytes. It is brought into one spelling. auth0, authentik, okta, fusionauth, keycloak and gitea require it. github,
	// gitlab and salesforce have a usual one.
	Domain string
	// Issuer is the address to which /.well-known/openid-configuration is added, at most 150 bytes. oidc
	// requires it.
	Issuer string
	// Application is the slug of the application at authentik, which requires it: at most 100 letters,
	// digits, hyphens and underscores. Those are the bounds of Server too.
	Application string
	// Server is the authorization server at okta; "" means default, and org means the server of the
	// organisation itself.
	Server string
	// Tenant is the directory at microsoft: its id, a domain of it, or common (the usual one),
	// organizations or consumers.
	Tenant string
	Realm  string // at keycloak, which requires it: at most 100 letters, digits and -._~
	// DataCentre is where a sign-in at zoho begins: com (the usual one), eu, in, com.au, jp, sa, uk, ca,
	// com.cn or ae. Each user is sent on to their own.
	DataCentre string
	// Version is that of Facebook's Graph API, for example v27.0; "" means v26.0, which was current when
	// the table was written. Facebook ends each after about two years.
	Version string
	Key     *AppleKey // required at apple

	// BesideLive lets paypalSandbox and tradeshiftBox run in one engine with the live service. Their
	// people are made up.
	BesideLive bool
	Private    bool              // as of oidc.Config
	Transport  http.RoundTripper // as of oidc.Config
	Now        func() time.Time  // as of oidc.Config
}

// Error is the error of [New]: the configuration of a provider cannot be.
type Error struct {
	Provider string // the name of the preset
	Field    string // of [Options], "" for a name that the table does not have
	Reason   string // without any value of the field
}

func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("preset: %.32q: %s", e.Provider, e.Reason)
	}
	return fmt.Sprintf("preset: %s: %s: %s", e.Provider, e.Field, e.Reason)
}

// Names returns the names of all presets, in the order of the alphabet.
func Names() []string {
	names := make([]string, len(table))
	for i, r := range table {
		names[i] = r.name
	}
	return names
}

// Provider signs users in by a service of the table. It implements [oauth.Revoker] and [oauth.Native].
type Provider struct {
	oauth.Provider // an *oidc.Provider or an *oauth2.Provider
	info           oauth.Info
	native         *oidc.Provider // nil for a service without
}

// New returns the provider of a name, or an [*Error]. It makes no call.
func New(name string, o Options) (*Provider, error) {
	i := slices.IndexFunc(table, func(r row) bool { return r.name == name })
	if i < 0 {
		return nil, &Error{Provider: name, Reason: "no preset has the name"}
	}
	r := &table[i]
	if err := r.check(&o); err != nil {
		return nil, err
	}
	p := new(Provider)
	var err error
	if r.kind == openID {
		p.native, err = r.openID(&o)
		p.Provider = p.native
	} else {
		if p.Provider, err = r.plain(&o); err == nil && r.native != nil {
			p.native, err = r.native(r, &o)
		}
	}
	if err != nil { // what the checks of the table have let through
		return nil, &Error{Provider: name, Field: "Options", Reason: err.Error()}
	}
	p.info = p.Provider.Info()
	if r.sandbox != "" && !o.BesideLive {
		p.info.Sandbox = r.sandbox
	}
	return p, nil
}

// Info implements [oauth.Provider].
func (p *Provider) Info() oauth.Info { return p.info }

// Revoke implements [oauth.Revoker].
func (p *Provider) Revoke(ctx context.Context, g *oauth.Grant) error {
	if r, is := p.Provider.(oauth.Revoker); is {
		return r.Revoke(ctx, g)
	}
	return errors.ErrUnsupported
}

// VerifyIDToken implements [oauth.Native].
func (p *Provider) VerifyIDToken(ctx context.Context, t *oauth.IDToken) (*oauth.Verified, error) {
	if p.native == nil {
		return nil, errors.ErrUnsupported
	}
	return p.native.VerifyIDToken(ctx, t)
}

// Close ends readings of the service's documents and closes idle connections. The provider is of no use
// afterwards.
func (p *Provider) Close() error {
	var err error
	if p.native != nil {
		err = p.native.Close()
	}
	if c, is := p.Provider.(io.Closer); is {
		err = errors.Join(err, c.Close())
	}
	return err
}

var (
	_ oauth.Revoker = (*oauth2.Provider)(nil)
	_ oauth.Revoker = (*oidc.Provider)(nil)
)
