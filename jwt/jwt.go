// Package jwt checks the engine's JWTs in another service, without the engine and
// its store: with the public keys that the engine gives, and the clock.
//
//	verifier, err := jwt.NewVerifier("https://app.example.org", keySet) // engine.KeySet(), fetched
//	claims, err := verifier.Verify(token, time.Now())
//
// What it says is what was true when the token was made, and that may be up to an
// hour ago: signing out, a block, a changed password and a second factor that is
// owed since are not seen. Where that matters, ask the engine
// (latchkey.Guest.AuthenticateJWT), which sees all of it at once, or ask for
// tokens that live shorter.
package jwt

import (
	"errors"
	"fmt"
	"time"

	"example.com/latchkey/internal/jws"
)

// Claims are what a token says of whoever shows it.
type Claims struct {
	ID     string // of the token
	UserID string
	// SessionID is the session that it was made in, "" for one of the server's
	// that is bound to no session.
	SessionID        string
	IssuedAt, Expire time.Time
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct{ set *jws.Set }

// NewVerifier returns a verifier for the tokens of an issuer, latchkey.Config's,
// and a key set as Engine.KeySet returns it. When a token is signed by a key that
// the set does not have, the engine's keys have changed: fetch the set again, not
// more often than once a minute.
func NewVerifier(issuer string, keySet []byte) (*Verifier, error) {
	if issuer == "" {
		return nil, errors.New("jwt: no issuer")
	}
	set, err := jws.ParseSet(issuer, keySet)
	if err != nil {
		return nil, fmt.Errorf("jwt: %w", err)
	}
	return &Verifier{set}, nil
}

// ErrInvalid is the answer to whatever is no token of the issuer that is good
// now, for whatever reason.
var ErrInvalid = errors.New("jwt: not a token that is good now")

// Verify returns the claims of a token that is good at now. With an error there
// are none.
func (v *Verifier) Verify(token string, now time.Time) (Claims, error) {
	if v == nil || v.set == nil {
		return Claims{}, ErrInvalid
	}
	c, err := v.set.Verify(token, now)
	if err != nil {
		return Claims{}, ErrInvalid
	}
	return Claims{ID: c.ID, UserID: c.UserID, SessionID: c.SessionID, IssuedAt: c.IssuedAt, Expire: c.Expire}, nil
}
