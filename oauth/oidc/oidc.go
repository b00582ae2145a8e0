// Package oidc signs users in by a service that speaks OpenID Connect and has a discovery
// document.
//
//	login, err := oidc.New(oidc.Config{Name: "work", Issuer: "https://login.example.com", ClientID: id, ClientSecret: secret})
//
// It is strict. Claims are decoded once more after their signature was verified: a name that comes
// twice, or in another case, is refused. Keys are fetched at most once a minute for tokens with
// unknown key ids, and no key is trusted for longer than a day after the service has named it last.
package oidc

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/quirk"
	"example.com/latchkey/oauth/internal/web"
)

// Auth is the way in which a client proves to the token endpoint what it is.
type Auth string

// The ways. Discovered takes the first of Basic and Post that the service knows, Basic if it names
// none, and None without a client secret.
const (
	Discovered Auth = ""
	Basic      Auth = "client_secret_basic"
	Post       Auth = "client_secret_post"
	None       Auth = "none"
)

// Config configures a provider.
type Config struct {
	Name         string // as oauth.Info.Name; "" means oidc
	Issuer       string // the address of the service, to which /.well-known/openid-configuration is added
	ClientID     string
	ClientSecret hidden.Text // empty for a public client
	// Scopes are always asked for; nil means openid, profile and email. openid is added.
	Scopes []string
	// TrustEmail lets the claim email_verified count: the host knows who may write addresses at
	// the service. Without it no address of the service opens an account.
	TrustEmail bool
	Auth       Auth
	// Algorithms are those with which ID tokens may be signed: RS256, PS256, ES256, EdDSA and
	// their longer forms. nil means those of RS256, PS256, ES256 and EdDSA that the service names,
	// RS256 if it names none.
	Algorithms []string
	// Audiences may stand beside ClientID in the audience of an ID token, and in azp.
	Audiences []string
	// NoNonce is for a service that does not return the nonce. Then a stolen ID token can be
	// replayed by whoever can also make the service hand it out for a code.
	NoNonce bool
	// Apps are the client ids of the host's apps, as they stand in the audience of the ID tokens that
	// the SDK of the platform gives them: a bundle id for Apple; for Google the id of the web client
	// that the app names as its server, and those of the apps themselves. They may stand in azp too,
	// beside ClientID. Nil means that the provider takes no ID token of an app.
	Apps []string
	// AppsWithoutNonce takes ID tokens from apps without the nonce of the app, for an SDK that cannot send
	// one, or puts one of its own into the token. Such a token is good for whoever reads it first, for ten
	// minutes. A token with a nonce for ClientID is not taken: it may be one of a browser.
	AppsWithoutNonce bool
	// Parameters are added to the authorization address, for example prompt. They do not replace
	// those of the flow. With max_age, a number of seconds, the ID token must say that the user has
	// signed in at the service within that time, and a minute more.
	Parameters url.Values
	// Private allows http, and addresses of loopback and of private networks. Without it the
	// service is called by https at public addresses only, whatever its documents name.
	Private bool
	// Transport makes the calls of the service in the place of our own connections, for a host that
	// reaches the internet by a proxy. Then it is the transport that has to keep calls from addresses
	// of the host's own network. Redirects, sizes and times are bounded as before.
	Transport http.RoundTripper
	// Now is the clock of the ages of keys and documents; nil means time.Now.
	Now func() time.Time
}

// Provider signs users in by a service. It implements [oauth.Revoker] and [oauth.Native].
type Provider struct {
	config Config
	quirk  quirk.OpenID
	client *http.Client
	end    context.CancelFunc
	about  aged[discovery]
	keys   keySet
}

// allowed are the algorithms of ID tokens. HMAC is not among them: its key would be the client
// secret, and an answer that mixes kinds of keys would be a hole.
var allowed = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// usual are the algorithms that need no word of the host.
var usual = []string{"RS256", "PS256", "ES256", "EdDSA"}

// New returns a provider. It makes no call: the documents of the service are read by the first
// sign-in.
func New(c Config) (*Provider, error) { return NewWith(c, quirk.OpenID{}) }

// NewWith is New for the services that package oauth/preset knows, with their quirks.
func NewWith(c Config, q quirk.OpenID) (*Provider, error) {
	if c.Name == "" {
		c.Name = "oidc"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case web.CheckURL(c.Issuer, c.Private) != nil || strings.Contains(c.Issuer, "?"):
		return nil, errors.New("oidc: the issuer is not an address of https without a query")
	case c.ClientID == "":
		return nil, errors.New("oidc: no client id")
	case !slices.Contains([]Auth{Discovered, Basic, Post, None}, c.Auth):
		return nil, errors.New("oidc: an unknown way of client authentication")
	case c.NoNonce && c.AppsWithoutNonce && slices.Contains(c.Apps, c.ClientID):
		return nil, errors.New("oidc: a token without a nonce for ClientID may be one of a browser")
	case !web.IsAge(c.Parameters["max_age"]):
		return nil, errors.New("oidc: max_age is not one number of seconds, at most a year")
	case c.ClientSecret.IsZero() && q.Secret == nil && (c.Auth == Basic || c.Auth == Post):
		return nil, errors.New("oidc: no client secret")
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(allowed, a) {
			return nil, errors.New("oidc: an algorithm that is not one of " + strings.Join(allowed, ", "))
		}
	}
	if c.Scopes == nil {
		c.Scopes = []string{"openid", "profile", "email"}
	}
	if !slices.Contains(c.Scopes, "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}
	c.Apps, c.Audiences, c.Parameters = slices.Clone(c.Apps), slices.Clone(c.Audiences), maps.Clone(c.Parameters)
	p := &Provider{config: c, quirk: q, client: web.NewClient(c.Private, c.Transport)}
	life, end := context.WithCancel(context.Background())
	p.end = end
	p.about = aged[discovery]{life: life, now: c.Now, read: p.discover, turn: make(chan struct{}, 1)}
	p.keys = keySet{provider: p, aged: aged[[]key]{life: life, now: c.Now, read: p.readKeys, turn: make(chan struct{}, 1)}}
	return p, nil
}

// Close ends readings of the service's documents and closes idle connections. The provider is of no use
// afterwards.
func (p *Provider) Close() error {
	p.end()
	p.client.CloseIdleConnections()
	return nil
}

// Info implements [oauth.Provider].
func (p *Provider) Info() oauth.Info {
	return oauth.Info{Name: p.config.Name, Issuer: cmp.Or(p.quirk.Issuer, p.config.Issuer), Issuers: p.quirk.Tenants}
}

// The failures of a sign-in.
const (
	errIssuer   oauth.Failure = "the discovery document is that of another issuer"
	errNoIssuer oauth.Failure = "the callback does not name the issuer, as the service has promised"
	errAnother  oauth.Failure = "the callback names another issuer"
	errSecret   oauth.Failure = "the client secret cannot be made"
)

// tokens returns the token endpoint.
func (p *Provider) tokens() *web.TokenEndpoint {
	return &web.TokenEndpoint{Client: p.client, Form: web.JSON, AccessAlone: p.quirk.AccessAlone}
}

// endpoint returns the client of the library, for the documents of the service.
func (p *Provider) endpoint(d *discovery, redirect string, now time.Time) (*oauth2.Config, error) {
	secret := p.config.ClientSecret
	if p.quirk.Secret != nil {
		var err error
		if secret, err = p.quirk.Secret(now); err != nil {
			return nil, errSecret
		}
	}
	style := oauth2.AuthStyleInHeader
	switch auth := p.config.Auth; {
	case auth == Post, auth == None, secret.IsZero():
		style = oauth2.AuthStyleInParams
	case auth == Discovered && len(d.TokenAuth) > 0 && !slices.Contains(d.TokenAuth, string(Basic)) && slices.Contains(d.TokenAuth, string(Post)):
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: secret.Reveal(), RedirectURL: redirect, Scopes: p.config.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: d.Authorization, TokenURL: d.Token, AuthStyle: style},
	}, nil
}

// Authorize implements [oauth.Provider].
func (p *Provider) Authorize(ctx context.Context, f *oauth.Flow) (string, error) {
	d, err := p.about.get(ctx, false)
	if err != nil {
		return "", err
	}
	endpoint, err := p.endpoint(d, f.RedirectURL, f.Now)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("nonce", f.Nonce.Reveal())}
	if !p.quirk.NoPKCE {
		options = append(options, oauth2.S256ChallengeOption(f.Verifier.Reveal()))
	}
	return web.AuthorizationURL(endpoint, f, p.config.Parameters, " ", options...), nil
}

// Exchange implements [oauth.Provider].
func (p *Provider) Exchange(ctx context.Context, f *oauth.Flow) (*oauth.Tokens, error) {
	d, err := p.about.get(ctx, false)
	if err != nil {
		return nil, err
	}
	switch {
	case f.Callback.Issuer == "" && d.NamesIssuer:
		return nil, errNoIssuer
	case f.Callback.Issuer != "" && f.Callback.Issuer != d.Issuer && !p.quirk.Tenants:
		return nil, errAnother
	}
	endpoint, err := p.endpoint(d, f.RedirectURL, f.Now)
	if err != nil {
		return nil, err
	}
	var options []oauth2.AuthCodeOption
	if !p.quirk.NoPKCE {
		options = append(options, oauth2.VerifierOption(f.Verifier.Reveal()))
	}
	t, err := p.tokens().Redeem(ctx, f.Now, func(ctx context.Context) (*oauth2.Token, error) {
		return endpoint.Exchange(ctx, f.Callback.Code.Reveal(), options...)
	})
	if err != nil {
		return nil, err
	}
	if t.ID.IsZero() {
		return nil, errNoIDToken
	}
	return t, nil
}

// Refresh implements [oauth.Provider].
func (p *Provider) Refresh(ctx context.Context, g *oauth.Grant) (*oauth.Tokens, error) {
	d, err := p.about.get(ctx, false)
	if err != nil {
		return nil, err
	}
	now := p.config.Now()
	endpoint, err := p.endpoint(d, "", now)
	if err != nil {
		return nil, err
	}
	return p.tokens().Redeem(ctx, now, func(ctx context.Context) (*oauth2.Token, error) {
		return endpoint.TokenSource(ctx, &oauth2.Token{RefreshToken: g.Refresh.Reveal()}).Token()
	})
}

// Revoke implements [oauth.Revoker], if the discovery document names the endpoint.
func (p *Provider) Revoke(ctx context.Context, g *oauth.Grant) error {
	d, err := p.about.get(ctx, false)
	if err != nil {
		return err
	}
	address := cmp.Or(d.Revocation, p.quirk.Revocation)
	if address == "" {
		return errors.ErrUnsupported
	}
	endpoint, err := p.endpoint(d, "", p.config.Now())
	if err != nil {
		return err
	}
	return p.tokens().Revoke(ctx, address, endpoint, g)
}
