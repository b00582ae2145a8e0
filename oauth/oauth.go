// Package oauth defines how the engine signs users in by another service: the interface
// [Provider]. Package oauth/preset implements it for services that are known, and packages
// oauth/oidc and oauth/oauth2 for any other one that speaks OpenID Connect or plain OAuth 2.0.
//
//	google, err := preset.New("google", preset.Options{ClientID: id, ClientSecret: secret})
//	engine, err := latchkey.New(store, latchkey.Config{Keys: keys, Providers: []oauth.Provider{google}})
//
// This package has no transport. A host needs it only to write a provider of its own.
package oauth

import (
	"context"
	"errors"
	"time"

	"example.com/latchkey/hidden"
)

// Provider is another service by which users sign in. It must be safe for concurrent use, and
// keep nothing of one sign-in for another. The engine bounds every call by a context of its own.
//
// An error of a provider may hold anything: the engine shows it to no caller. It logs which call has
// failed, and a [Failure].
type Provider interface {
	// Info returns what does not change while the provider lives.
	Info() Info
	// Authorize returns the address at the service to which the browser is sent.
	Authorize(ctx context.Context, f *Flow) (string, error)
	// Exchange redeems the code of the callback. It refuses a callback whose issuer is missing
	// although the service always names it.
	Exchange(ctx context.Context, f *Flow) (*Tokens, error)
	// Profile returns the person to whom tokens of Exchange belong. It verifies everything that
	// it returns: for OpenID Connect the signature of the ID token, its issuer, audience, times
	// and nonce.
	Profile(ctx context.Context, f *Flow, t *Tokens) (*Profile, error)
	// Refresh returns new tokens for the refresh token of a grant. The error is ErrRefused if the
	// service does not take that token any more.
	Refresh(ctx context.Context, g *Grant) (*Tokens, error)
}

// Revoker is a [Provider] whose service takes tokens back. The engine calls it when an identity was
// unlinked, or its user deleted, if it has kept the tokens (Policy.KeepProviderTokens).
type Revoker interface {
	Provider
	// Revoke ends a grant. The error is [errors.ErrUnsupported] if the service has no way to do it.
	Revoke(ctx context.Context, g *Grant) error
}

// Native is a [Provider] of a platform whose SDK signs users in inside an app, and gives the app an
// ID token.
type Native interface {
	Provider
	// VerifyIDToken returns the person of an ID token, after it has verified everything that
	// Profile verifies, and that the token is one for an app of the host. The error is
	// [errors.ErrUnsupported] if the host has configured no app.
	VerifyIDToken(ctx context.Context, t *IDToken) (*Verified, error)
}

// ErrRefused is the error of [Provider].Refresh for a refresh token that the service does not
// take any more: its user has withdrawn the access, or it was used already.
var ErrRefused = errors.New("oauth: the service refuses the refresh token")

// Failure is an error of a [Provider] that says what went wrong. It holds nothing of an answer of
// the service, and no secret: hosts log it.
type Failure string

func (f Failure) Error() string { return "oauth: " + string(f) }

// ErrSubject is the error of [Provider].Profile for a person whom the service does not name.
const ErrSubject Failure = "the subject is missing, blank or too long"

// ErrIDToken is the error of [Native].VerifyIDToken for a token that is of another service or for
// another app, too old, or has another nonce.
const ErrIDToken Failure = "the ID token is not one of the service for an app of the host, of the last ten minutes, with the nonce"

// Info is what does not change while a provider lives.
type Info struct {
	// Name is what hosts, sessions and identities call the provider: 1 to 32 of a-z, A-Z, 0-9 and
	// hyphen, the first a letter, and none of the engine's own ways in (email, anonymous,
	// magic-url, phone, token, passkey, server). Names of one engine differ.
	Name string
	// Issuer is the service under which identities are kept, as an address: at most 255 bytes.
	// Identities of one issuer never match those of another, so it must not change.
	Issuer string
	// Issuers says that profiles name issuers of their own, of which Issuer is the common place: a
	// service with many tenants.
	Issuers bool
	// ChecksIssuer says that Exchange compares the parameter iss of the callback, because the service
	// names itself there by another text than Issuer, or by one that is not known. Otherwise the engine
	// refuses a callback with another issuer.
	ChecksIssuer bool
	// Sandbox is the issuer of the service of which this is the place for tests: its people are made
	// up. An engine takes only one of the two. "" for a live service.
	Sandbox string
}

// Flow is one sign-in, as it was started. The engine draws State, Nonce and Verifier anew for
// each, and keeps Nonce and Verifier in its store.
type Flow struct {
	RedirectURL string   // the host's callback
	Scopes      []string // beside those that the provider always asks for
	State       hidden.Text
	Nonce       hidden.Text
	Verifier    hidden.Text // of PKCE; the challenge is always S256
	Now         time.Time   // the engine's clock
	Callback    Callback    // zero until the service has sent the browser back
}

// Callback is what the service sends through the browser.
type Callback struct {
	Code   hidden.Text
	Issuer string // parameter iss; "" without one
	// Server is the parameter accounts-server: the data centre of the user, as Zoho says. It comes
	// through the browser, so that it must be looked up in a list. "" without one.
	Server string
}

// Tokens are what a service hands out.
type Tokens struct {
	Access  hidden.Text
	Refresh hidden.Text // zero without one
	ID      hidden.Text // of OpenID Connect; zero without one
	Expire  time.Time   // of Access; zero if it is not known
	Scopes  []string    // that the service names; nil if it names none
	// Answer is the answer of the token endpoint, for Profile. The engine does not keep it.
	Answer hidden.Text
}

// Grant has the tokens of a sign-in that the engine has kept.
type Grant struct {
	Issuer          string // of the identity
	Access, Refresh hidden.Text
}

// IDToken is an ID token that an app has got from the SDK of its platform.
type IDToken struct {
	Token hidden.Text
	// Nonce is the text of which the app has given the SDK the SHA-256 digest, in lower-case hex.
	// Empty without one.
	Nonce hidden.Text
	Now   time.Time // the engine's clock
}

// Verified is the person of an ID token.
type Verified struct {
	Profile
	// Claims are those of the token, as the service has signed them. The engine takes them once.
	Claims hidden.Text
	// Expire is when VerifyIDToken takes the token no more.
	Expire time.Time
}

// Profile is a person at a service.
type Profile struct {
	// Issuer is Info.Issuer, or the issuer of the person's tenant.
	Issuer string
	// Subject names the person at the issuer for ever: 1 to 255 bytes of UTF-8.
	Subject string
	// Email is the person's address, "" without one.
	Email string
	// EmailVerified says that the service has proven that the person reads the mail of the
	// address, and that its word counts here. It decides whether the person is let into an
	// account that has the address.
	EmailVerified bool
	Name          string // as the person or the service wrote it
}
