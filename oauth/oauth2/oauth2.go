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
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	lib "golang.org/x/oauth2"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
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
	NoPKCE  bool
	Private bool // as of oidc.Config
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
	Name     string
}

// Provider signs users in by a service. It implements [oauth.Provider].
type Provider struct {
	config Config
	client *http.Client
}

// New returns a provider. It makes no call.
func New(c Config) (*Provider, error) {
	for _, endpoint := range []string{c.Authorization, c.Token, c.Profile} {
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
	return &Provider{c, web.NewClient(c.Private)}, nil
}

// Close closes idle connections to the service.
func (p *Provider) Close() error {
	p.client.CloseIdleConnections()
	return nil
}

// Info implements [oauth.Provider].
func (p *Provider) Info() oauth.Info { return oauth.Info{Name: p.config.Name, Issuer: p.config.Issuer} }

// The failures of a sign-in.
const (
	errAnother oauth.Failure = "the callback names another issuer"
	errProfile oauth.Failure = "the profile has a member of another type"
)

// endpoint returns the client of the library.
func (p *Provider) endpoint(redirect string) *lib.Config {
	style := lib.AuthStyleInHeader
	if p.config.Auth == Post || p.config.Auth == None || p.config.ClientSecret.IsZero() {
		style = lib.AuthStyleInParams
	}
	return &lib.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret.Reveal(), RedirectURL: redirect, Scopes: p.config.Scopes,
		Endpoint: lib.Endpoint{AuthURL: p.config.Authorization, TokenURL: p.config.Token, AuthStyle: style},
	}
}

// Authorize implements [oauth.Provider].
func (p *Provider) Authorize(_ context.Context, f *oauth.Flow) (string, error) {
	var options []lib.AuthCodeOption
	if !p.config.NoPKCE {
		options = append(options, lib.S256ChallengeOption(f.Verifier.Reveal()))
	}
	return web.AuthorizationURL(p.endpoint(f.RedirectURL), f, p.config.Parameters, p.config.Separator, options...), nil
}

// Exchange implements [oauth.Provider].
func (p *Provider) Exchange(ctx context.Context, f *oauth.Flow) (*oauth.Tokens, error) {
	if f.Callback.Issuer != "" && f.Callback.Issuer != p.config.Issuer {
		return nil, errAnother
	}
	var options []lib.AuthCodeOption
	if !p.config.NoPKCE {
		options = append(options, lib.VerifierOption(f.Verifier.Reveal()))
	}
	return web.Redeem(ctx, p.client, web.AnyForm, f.Now, func(ctx context.Context) (*lib.Token, error) {
		return p.endpoint(f.RedirectURL).Exchange(ctx, f.Callback.Code.Reveal(), options...)
	})
}

// Refresh implements [oauth.Provider].
func (p *Provider) Refresh(ctx context.Context, refresh hidden.Text) (*oauth.Tokens, error) {
	return web.Redeem(ctx, p.client, web.AnyForm, time.Now(), func(ctx context.Context) (*lib.Token, error) {
		return p.endpoint("").TokenSource(ctx, &lib.Token{RefreshToken: refresh.Reveal()}).Token()
	})
}

// Profile implements [oauth.Provider].
func (p *Provider) Profile(ctx context.Context, _ *oauth.Flow, t *oauth.Tokens) (*oauth.Profile, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.config.Profile, http.NoBody)
	if err != nil {
		return nil, web.ErrAddress
	}
	for name, values := range p.config.Header {
		r.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	r.Header.Set("Authorization", "Bearer "+t.Access.Reveal())
	r.Header.Set("Accept", "application/json")
	a, err := web.Do(ctx, p.client, r, web.AnswerSize)
	switch {
	case err != nil:
		return nil, err
	case a.Status != http.StatusOK:
		return nil, web.ErrStatus
	case !web.IsJSON(a.Type):
		return nil, web.ErrType
	}
	return p.read(a.Body)
}

// read reads a profile by the mapping.
func (p *Provider) read(body []byte) (*oauth.Profile, error) {
	var whole struct{}
	if err := web.Decode(body, &whole); err != nil { // each name once
		return nil, err
	}
	m := p.config.Mapping
	who := &oauth.Profile{Issuer: p.config.Issuer}
	subject, err := at(body, m.Subject)
	if err != nil {
		return nil, err
	}
	if subject == nil {
		return nil, oauth.ErrSubject
	}
	if err := json.Unmarshal(subject, &who.Subject); err != nil { // or a whole number
		n, err := strconv.ParseUint(string(subject), 10, 64)
		if err != nil {
			return nil, errProfile
		}
		who.Subject = strconv.FormatUint(n, 10)
	}
	if strings.TrimSpace(who.Subject) == "" {
		return nil, oauth.ErrSubject
	}
	for _, f := range []struct {
		path string
		to   *string
	}{{m.Email, &who.Email}, {m.Name, &who.Name}} {
		value, err := at(body, f.path)
		if err != nil {
			return nil, err
		}
		if value != nil && json.Unmarshal(value, f.to) != nil {
			return nil, errProfile
		}
	}
	verified, err := at(body, m.Verified)
	who.EmailVerified = p.config.TrustEmail && string(verified) == "true"
	return who, err
}

// at returns the value at a path, or nil. Names are exact.
func at(body json.RawMessage, path string) (json.RawMessage, error) {
	if path == "" {
		return nil, nil
	}
	for _, name := range strings.Split(path, ".") {
		if body == nil {
			return nil, nil
		}
		if n, err := strconv.ParseUint(name, 10, 16); err == nil && strings.HasPrefix(string(body), "[") {
			var list []json.RawMessage
			if json.Unmarshal(body, &list) != nil {
				return nil, errProfile
			}
			if body = nil; n < uint64(len(list)) {
				body = list[n]
			}
			continue
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil {
			return nil, errProfile
		}
		body = object[name]
	}
	if string(body) == "null" {
		return nil, nil
	}
	return body, nil
}
