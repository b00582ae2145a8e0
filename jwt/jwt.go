// Package jwt checks the engine's JWTs in another service. It needs the engine's
// public keys and the time, but neither the engine nor its store.
//
//	verifier, err := jwt.NewVerifier("https://app.example.org", keySet) // engine.KeySet(), fetched
//	claims, err := verifier.Verify(token, time.Now())
//
// A token tells what was true when it was made, which may be up to an hour ago. The
// verifier does not see that the user has since signed out, was blocked, changed the
// password or came to owe a second factor. Where that matters, ask the engine
// (latchkey.Guest.AuthenticateJWT), which sees each of these at once, or use tokens
// with a shorter life.
package jwt

import (
	"errors"
	"fmt"
	"time"

	"example.com/latchkey/internal/jws"
)

// Claims are the content of a token: its bearer, and its life.
type Claims struct {
	ID     string // of the token
	UserID string
	// SessionID is the session in which the token was made. It is "" for a token that
	// the server made without a session.
	SessionID        string
	IssuedAt, Expire time.Time
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct{ set *jws.Set }

// NewVerifier returns a verifier for the tokens of an issuer, which is the Issuer of
// latchkey.Config. keySet is the key set that Engine.KeySet returns.
//
// If a token is signed by a key that is not in the set, the engine's keys have
// changed. Then fetch the set again, at most once a minute.
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

// ErrInvalid is the only error of [Verifier.Verify]. It does not tell why a token was
// refused.
var ErrInvalid = errors.New("jwt: not a token that is good now")

// Verify returns the claims of a token that is valid at the time now. With an error
// the claims are empty.
//
// Errors:
//   - [ErrInvalid]
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
