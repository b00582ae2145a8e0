package latchkey

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
)

// How long a JWT lives.
const (
	jwtLength = 15 * time.Minute
	jwtMost   = jws.MaxLife
)

// Recent is the session of a user that was made last, for [Users.CreateJWT].
const Recent = "recent"

// signer returns what signs JWTs, and what checks them. Keys are checked with as
// long as they are configured.
func signer(ring *seal.Ring, issuer string) (*jws.Key, *jws.Set) {
	var active *jws.Key
	var public []ed25519.PublicKey
	for _, seed := range ring.Seeds(seal.JWT) {
		key := jws.NewKey(seed)
		if active == nil {
			active = key
		}
		public = append(public, key.Public())
	}
	return active, jws.NewSet(issuer, public...)
}

// KeySet returns the public keys with which other services check JWTs of
// [Account.CreateJWT] without asking, by package jwt or any other library: a
// JSON Web Key Set (RFC 7517, RFC 8037), the active key first. They are public:
// hosts serve them, at /.well-known/jwks.json for example.
//
// A host that replaces its key puts the new one into Keys.Old first, waits until
// the others have fetched the set, and makes it the active one then.
func (e *Engine) KeySet() []byte {
	if e == nil || e.jwts == nil {
		return []byte(`{"keys":[]}`)
	}
	return e.jwts.JSON()
}

// CreateJWT returns a token by which the user is known for a short time, to
// [Guest.AuthenticateJWT] and, without asking the engine, to services that have
// [Engine.KeySet]. It is signed with Ed25519 and says iss and aud
// (Config.Issuer), sub (the user's id), sid (the session's), iat, exp and jti, and
// nothing else of the user. It lives a second to an hour, 15 minutes with 0, and
// no longer than the session; with the session it dies.
//
// Errors: [ErrJWTCreationDenied] for an account that came by a JWT itself;
// [ErrArgumentInvalid]; [ErrAuthMethodUnsupported]; a [*ThrottledError] after 100
// calls of the user in an hour.
func (a *Account) CreateJWT(ctx context.Context, length time.Duration) (Secret, error) {
	if a == nil || a.engine == nil {
		return "", ErrUnauthorized
	}
	token, err := a.createJWT(ctx, length)
	return token, outward("create JWT", err)
}

func (a *Account) createJWT(ctx context.Context, length time.Duration) (Secret, error) {
	e := a.engine
	if err := e.open(); err != nil {
		return "", err
	}
	now := e.now()
	var s record.Check
	if err := a.check(ctx, e.store, now, &s); err != nil {
		return "", err
	}
	if a.jwt != nil {
		return "", ErrJWTCreationDenied
	}
	if err := e.policy.enabled(a.client, JWT, "JWT"); err != nil {
		return "", err
	}
	if err := e.limit(ctx, a.client, now, limitCreateJWT, s.UserID); err != nil {
		return "", err
	}
	expire, err := jwtExpire(now, length)
	if err != nil {
		return "", err
	}
	if end := e.policy.last(&s); end.Before(expire) {
		expire = end
	}
	return e.sign(jws.Claims{UserID: s.UserID, SessionID: s.ID, IssuedAt: now, Expire: expire})
}

func jwtExpire(now time.Time, length time.Duration) (time.Time, error) {
	length = orDefault(length, jwtLength)
	if length < time.Second || length > jwtMost {
		return time.Time{}, invalid("duration", fmt.Errorf("not a second to %v", jwtMost))
	}
	return now.Add(length), nil
}

func (e *Engine) sign(c jws.Claims) (Secret, error) {
	c.Issuer, c.ID = e.issuer, newID()
	token, err := e.jwtKey.Sign(c)
	return Secret(token), err
}
