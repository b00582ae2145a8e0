// Package oauth defines how the engine signs users in by another service: the interface
// [Provider], which package oauth/oidc implements for services that speak OpenID Connect, and
// package oauth/oauth2 for those that speak plain OAuth 2.0.
//
//	google, err := oidc.New(oidc.Config{
//		Name: "google", Issuer: "https://accounts.google.com", ClientID: id, ClientSecret: secret,
//		TrustEmail: true,
//	})
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
	// Refresh returns new tokens for a refresh token. The error is ErrRefused if the service does
	// not take that token any more.
	Refresh(ctx context.Context, refresh hidden.Text) (*Tokens, error)
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

// Info is what does not change while a provider lives.
type Info struct {
	// Name is what hosts, sessions and identities call the provider: 1 to 32 of a-z, A-Z, 0-9 and
	// hyphen, the first a letter, and none of the engine's own ways in (email, anonymous,
	// magic-url, phone, token, server). Names of one engine differ.
	Name string
	// Issuer is the service under which identities are kept, as an address: at most 255 bytes.
	// Identities of one issuer never match those of another, so it must not change.
	Issuer string
	// Issuers says that profiles name issuers of their own, of which Issuer is the common place: a
	// service with many tenants.
	Issuers bool
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
}

// Tokens are what a service hands out.
type Tokens struct {
	Access  hidden.Text
	Refresh hidden.Text // zero without one
	ID      hidden.Text // of OpenID Connect; zero without one
	Expire  time.Time   // of Access; zero if it is not known
	Scopes  []string    // that the service names; nil if it names none
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
