// Package quirk says how a service departs from the standards that packages oauth/oidc and
// oauth/oauth2 speak. Only the presets use it.
package quirk

import (
	"context"
	"net/http"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/web"
)

// OpenID says how a service departs from OpenID Connect.
type OpenID struct {
	// Issuer replaces the issuer of identities, if the service has many tenants: then each person
	// has the issuer of their tenant.
	Issuer string
	// Published tells whether an issuer may stand in the discovery document; nil means
	// Config.Issuer alone.
	Published func(issuer string) bool
	// Named tells whether an ID token may name an issuer, given that of the discovery document, which
	// it may name in any case if there are no Tenants. Nil means that one alone.
	Named func(published, issuer string, claims web.Fields) bool
	// Tenants says that a person has the issuer that their ID token names.
	Tenants bool
	// Keys is the address of the keys. With it the discovery document is not read, and the service
	// signs apps in alone.
	Keys string
	// Revocation is the endpoint that revokes tokens, if the discovery document has no such endpoint.
	Revocation string
	// NoPKCE is for a service that refuses the parameters of PKCE.
	NoPKCE bool
	// Alone says that the ID token has everything, and the userinfo endpoint is not asked.
	Alone bool
	// AccessAlone says that the revocation endpoint takes the access token, without a hint.
	AccessAlone bool
	// Secret makes the client secret of one request.
	Secret func(now time.Time) (hidden.Text, error)
	// Person changes the profile that was read. id are the claims of the ID token, and from those of
	// the object that has told the address.
	Person func(id, from web.Fields, who *oauth.Profile) error
}

// OAuth2 says how a service departs from plain OAuth 2.0.
type OAuth2 struct {
	// Centres are the hosts of a service that keeps each user in one of several places. The first
	// is that of the configuration, and each endpoint has {centre} in the place of one.
	Centres []string
	// Named tells whether the callback may name an issuer; nil means Config.Issuer alone.
	Named func(issuer string) bool
	// AccessAlone says that the revocation endpoint takes the access token, without a hint.
	AccessAlone bool
	// Request changes each request of the token and revocation endpoints.
	Request func(r *http.Request) error
	// Answer changes each answer of the token endpoint.
	Answer func(a *web.Answer) error
	// Refresh is the token endpoint of a refresh; "" means the same.
	Refresh string
	// Revocation is the endpoint that revokes tokens; "" without one.
	Revocation string
	Method     string // of the profile endpoint; "" means GET
	// Ask puts the access token into a request; nil means the header of bearer tokens.
	Ask func(r *http.Request, access string)
	// Check refuses a person by their profile.
	Check func(f web.Fields) error
	// Verified tells whether the service has proven the address; nil means by the mapping.
	Verified func(f web.Fields) bool
	// Person replaces the profile endpoint and the mapping.
	Person func(ctx context.Context, v *Visit) (*oauth.Profile, error)
}

// Visit is one reading of a person.
type Visit struct {
	Access  string
	Answer  web.Fields // of the token endpoint; nil after a form
	Profile string     // the profile endpoint
	// Get asks an endpoint with the access token.
	Get func(ctx context.Context, address string) (web.Fields, error)
}
