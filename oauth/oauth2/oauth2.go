// Package oauth2 signs users in by a service that speaks plain OAuth 2.0: its endpoints are
// configured, and a profile endpoint says who the user is.
//
//	git, err := oauth2.New(oauth2.Config{
//		Name: "forge", Issuer: "https://forge.example.com", ClientID: id, ClientSecret: secret,
//		Authorization: "https://forge.example.com/authorize", Token: "https://forge.example.com/token",
//		Profile: "https://forge.example.com/api/user", Mapping: oauth2.Mapping{Subject: "id", Email: "email", Name: "name"},
//	})
//
// Prefer OpenID Connect (package oauth/oidc) where the service has it: here nothing but TLS says
// that a profile is the service's, and nothing that a token was made for this client.
package oauth2

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	lib "golang.org/x/oauth2"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/quirk"
	"example.com/latchkey/oauth/internal/web"
)

// Auth is the way in which a client proves to the token endpoint what it is.
type Auth string

// The ways. The zero Auth is Basic with a client secret, and None without one.
const (
	Basic Auth = "client_secret_basic"
	Post  Auth = "client_secret_post"
	None  Auth = "none"
)

// Config configures a provider.
type Config struct {
	Name string // as oauth.Info.Name
	// Issuer is the service under which identities are kept, for example the address of its home
	// page. It must not change.
	Issuer       string
	ClientID     string
	ClientSecret hidden.Text
	Auth         Auth
	Scopes       []string // always asked for
	// Separator stands between scopes; "" means a space.
	Separator string
	// Authorization, Token and Profile are the endpoints.
	Authorization, Token, Profile string
	Mapping                       Mapping
	// Header is added to calls of the profile endpoint.
	Header http.Header
	// TrustEmail lets Mapping.Verified count.
	TrustEmail bool
	Parameters url.Values // added to the authorization address; they do not replace those of the flow
	// NoPKCE is for a service that refuses the parameters of PKCE. Then a stolen code can be
	// redeemed by any client that has the secret.
	NoPKCE bool
	// Revocation is the endpoint that takes tokens back (RFC 7009); "" if the service takes none back.
	Revocation string
	Private    bool              // as of oidc.Config
	Transport  http.RoundTripper // as of oidc.Config
}

// Mapping says where the facts are in the JSON of the profile endpoint: names of members, with a
// period between those that lie in one another, for example user.id. A number between periods
// counts in a list, from 0.
type Mapping struct {
	// Subject is required: a text, or a whole number, which is taken as it is written.
	Subject string
	Email   string // "" if the service tells none
	// Verified is a truth value: true says that the service has proven the address. "" means that
	// it has not.
	Verified string
	// Name may be several paths: with + between those whose texts are joined by a space, and with |
	// between those of which the first that has a text is taken.
	Name string
}

// Provider signs users in by a service. It implements [oauth.Revoker].
type Provider struct {
	config Config
	client *http.Client
	quirk  quirk.OAuth2
}

// New returns a provider. It makes no call.
func New(c Config) (*Provider, error) { return NewWith(c, quirk.OAuth2{}) }

// NewWith is New for the services that package oauth/preset knows, with their quirks.
func NewWith(c Config, q quirk.OAuth2) (*Provider, error) {
	for _, endpoint := range []string{c.Authorization, at(c.Token, "centre"), at(c.Profile, "centre")} {
		if web.CheckURL(endpoint, c.Private) != nil {
			return nil, errors.New("oauth2: an endpoint is not an address of https")
		}
	}
	switch {
	case c.Name == "" || c.Issuer == "" || c.ClientID == "":
		return nil, errors.New("oauth2: no name, no issuer or no client id")
	case c.Mapping.Subject == "":
		return nil, errors.New("oauth2: the mapping names no subject")
	case !slices.Contains([]Auth{"", Basic, Post, None}, c.Auth):
		return nil, errors.New("oauth2: an unknown way of client authentication")
	case c.ClientSecret.IsZero() && (c.Auth == Basic || c.Auth == Post):
		return nil, errors.New("oauth2: no client secret")
	}
	if c.Separator == "" {
		c.Separator = " "
	}
	if c.Revocation != "" {
		if web.CheckURL(c.Revocation, c.Private) != nil {
			return nil, errors.New("oauth2: the revocation endpoint is not an address of https")
		}
		q.Revocation = c.Revocation
	}
	return &Provider{c, web.NewClient(c.Private, c.Transport), q}, nil
}

// Close closes idle connections to the service.
func (p *Provider) Close() error {
	p.client.CloseIdleConnections()
	return nil
}

// Info implements [oauth.Provider].
func (p *Provider) Info() oauth.Info {
	return oauth.Info{Name: p.config.Name, Issuer: p.config.Issuer, Issuers: len(p.quirk.Centres) > 0, ChecksIssuer: p.quirk.Named != nil}
}

// The failures of a sign-in.
const (
	errAnother oauth.Failure = "the callback names another issuer"
	errCentre  oauth.Failure = "the callback names a data centre that the service is not known to have"
)

// centre returns the host of the user's data centre, "" for a service that has one place.
func (p *Provider) centre(f *oauth.Flow) (string, error) {
	centres, server := p.quirk.Centres, f.Callback.Server
	switch {
	case len(centres) == 0:
		return "", nil
	case server == "":
		return centres[0], nil
	}
	for _, host := range centres {
		if server == "https://"+host {
			return host, nil
		}
	}
	return "", errCentre
}

// at returns an endpoint of a data centre.
func at(endpoint, centre string) string { return strings.ReplaceAll(endpoint, "{centre}", centre) }

// issuer returns the issuer of the people of a data centre.
func (p *Provider) issuer(centre string) string {
	if centre == "" {
		return p.config.Issuer
	}
	return "https://" + centre
}

// tokens returns the token endpoint.
func (p *Provider) tokens() *web.TokenEndpoint {
	return &web.TokenEndpoint{Client: p.client, Form: web.AnyForm, Request: p.quirk.Request, Answer: p.quirk.Answer, AccessAlone: p.quirk.AccessAlone}
}

// endpoint returns the client of the library.
func (p *Provider) endpoint(redirect, token string) *lib.Config {
	style := lib.AuthStyleInHeader
	if p.config.Auth == Post || p.config.Auth == None || p.config.ClientSecret.IsZero() {
		style = lib.AuthStyleInParams
	}
	return &lib.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret.Reveal(), RedirectURL: redirect, Scopes: p.config.Scopes,
		Endpoint: lib.Endpoint{AuthURL: p.config.Authorization, TokenURL: token, AuthStyle: style},
	}
}

// Authorize implements [oauth.Provider].
func (p *Provider) Authorize(_ context.Context, f *oauth.Flow) (string, error) {
	var options []lib.AuthCodeOption
	if !p.config.NoPKCE {
		options = append(options, lib.S256ChallengeOption(f.Verifier.Reveal()))
	}
	return web.AuthorizationURL(p.endpoint(f.RedirectURL, ""), f, p.config.Parameters, p.config.Separator, options...), nil
}

// Exchange implements [oauth.Provider].
func (p *Provider) Exchange(ctx context.Context, f *oauth.Flow) (*oauth.Tokens, error) {
	if named := f.Callback.Issuer; named != "" {
		ours := named == p.config.Issuer
		if p.quirk.Named != nil {
			ours = p.quirk.Named(named)
		}
		if !ours {
			return nil, errAnother
		}
	}
	centre, err := p.centre(f)
	if err != nil {
		return nil, err
	}
	var options []lib.AuthCodeOption
	if !p.config.NoPKCE {
		options = append(options, lib.VerifierOption(f.Verifier.Reveal()))
	}
	return p.tokens().Redeem(ctx, f.Now, func(ctx context.Context) (*lib.Token, error) {
		return p.endpoint(f.RedirectURL, at(p.config.Token, centre)).Exchange(ctx, f.Callback.Code.Reveal(), options...)
	})
}

// centreOf returns the host of the data centre of a grant.
func (p *Provider) centreOf(g *oauth.Grant) (string, error) {
	return p.centre(&oauth.Flow{Callback: oauth.Callback{Server: g.Issuer}})
}

// Refresh implements [oauth.Provider].
func (p *Provider) Refresh(ctx context.Context, g *oauth.Grant) (*oauth.Tokens, error) {
	centre, err := p.centreOf(g)
	if err != nil {
		return nil, err
	}
	endpoint := p.endpoint("", at(cmp.Or(p.quirk.Refresh, p.config.Token), centre))
	return p.tokens().Redeem(ctx, time.Now(), func(ctx context.Context) (*lib.Token, error) {
		return endpoint.TokenSource(ctx, &lib.Token{RefreshToken: g.Refresh.Reveal()}).Token()
	})
}

// Revoke implements [oauth.Revoker].
func (p *Provider) Revoke(ctx context.Context, g *oauth.Grant) error {
	if p.quirk.Revocation == "" {
		return errors.ErrUnsupported
	}
	return p.tokens().Revoke(ctx, p.quirk.Revocation, p.endpoint("", ""), g)
}

// ask asks an endpoint with the access token.
func (p *Provider) ask(ctx context.Context, address, access string) (web.Fields, error) {
	method := cmp.Or(p.quirk.Method, http.MethodGet)
	r, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return nil, web.ErrAddress
	}
	for name, values := range p.config.Header {
		r.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	r.Header.Set("Accept", "application/json")
	if p.quirk.Ask != nil {
		p.quirk.Ask(r, access)
	} else {
		r.Header.Set("Authorization", "Bearer "+access)
	}
	a, err := web.Do(ctx, p.client, r, web.AnswerSize)
	switch {
	case err != nil:
		return nil, err
	case a.Status != http.StatusOK:
		return nil, web.ErrStatus
	case !web.IsJSON(a.Type):
		return nil, web.ErrType
	}
	return web.Read(a.Body)
}

// Profile implements [oauth.Provider].
func (p *Provider) Profile(ctx context.Context, f *oauth.Flow, t *oauth.Tokens) (*oauth.Profile, error) {
	centre, err := p.centre(f)
	if err != nil {
		return nil, err
	}
	v := &quirk.Visit{
		Access: t.Access.Reveal(), Profile: at(p.config.Profile, centre),
		Get: func(ctx context.Context, address string) (web.Fields, error) {
			return p.ask(ctx, address, t.Access.Reveal())
		},
	}
	if v.Answer, err = web.Read([]byte(t.Answer.Reveal())); err != nil {
		v.Answer = nil // it was a form
	}
	person := p.person
	if p.quirk.Person != nil {
		person = p.quirk.Person
	}
	who, err := person(ctx, v)
	if err != nil {
		return nil, err
	}
	who.Issuer = p.issuer(centre)
	who.EmailVerified = who.EmailVerified && p.config.TrustEmail
	return who, nil
}

// person asks the profile endpoint.
func (p *Provider) person(ctx context.Context, v *quirk.Visit) (*oauth.Profile, error) {
	body, err := v.Get(ctx, v.Profile)
	if err != nil {
		return nil, err
	}
	return p.read(body)
}

// read reads a profile by the mapping.
func (p *Provider) read(body web.Fields) (who *oauth.Profile, err error) {
	if p.quirk.Check != nil {
		if err := p.quirk.Check(body); err != nil {
			return nil, err
		}
	}
	m := p.config.Mapping
	who = new(oauth.Profile)
	if who.Subject, err = body.Subject(m.Subject); err != nil {
		return nil, err
	}
	if who.Email, err = body.Text(m.Email); err != nil {
		return nil, err
	}
	if who.Name, err = body.Name(strings.Split(m.Name, "|")...); err != nil {
		return nil, err
	}
	if who.EmailVerified = body.Is(m.Verified, "true"); p.quirk.Verified != nil {
		who.EmailVerified = p.quirk.Verified(body)
	}
	return who, nil
}
