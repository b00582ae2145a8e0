package latchkey

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"time"

	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
)

// The lives of JWTs.
const (
	jwtLength = 15 * time.Minute
	jwtMost   = jws.MaxLife
)

// signer returns the key that signs JWTs and the set that checks them. A key is in the
// set as long as it is configured.
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
// [Account.CreateJWT] without asking the engine, by package jwt or any other library: a
// JSON Web Key Set (RFC 7517, RFC 8037), the active key first. Hosts serve it, for
// example at /.well-known/jwks.json.
//
// The set has the keys in Keys.Old too. A host that replaces its key puts the new one
// there first, on every machine, and waits until the services have fetched the set.
// [Keys] has the further steps.
func (e *Engine) KeySet() []byte {
	if e == nil || e.jwts == nil {
		return []byte(`{"keys":[]}`)
	}
	return e.jwts.JSON()
}

// CreateJWT returns a token that identifies the user for a short time, to
// [Guest.AuthenticateJWT] and to services that have [Engine.KeySet], which need not ask
// the engine. It is signed with Ed25519 and holds iss and aud (Config.Issuer), sub (the
// user's id), sid (the session's), iat, exp and jti, and nothing else about the user. It
// lives for a second to an hour, 15 minutes with 0, and no longer than the session. It
// dies with the session and its secret ([Account.RotateSession], an answer to a challenge), and
// with the password that its user has now.
//
// Errors:
//   - [ErrJWTCreationDenied]: the account was authenticated by a JWT.
//   - [ErrArgumentInvalid]
//   - [ErrAuthMethodUnsupported]
//   - [*ThrottledError]: after 100 calls of the user in an hour.
func (a *Account) CreateJWT(ctx context.Context, length time.Duration) (_ Secret, err error) {
	defer a.home().operation(&ctx, "create JWT").end(&err)
	c, err := a.begin()
	if err != nil {
		return Secret{}, err
	}
	var s record.Check
	if err := a.readCheck(ctx, c, c.store, &s); err != nil {
		return Secret{}, err
	}
	if a.jwt != nil {
		return Secret{}, ErrJWTCreationDenied
	}
	if err := c.enabled(MethodJWT); err != nil {
		return Secret{}, err
	}
	if err := c.limit(ctx, limitCreateJWT, s.UserID); err != nil {
		return Secret{}, err
	}
	expire, err := jwtExpire(c.now, length)
	if err != nil {
		return Secret{}, err
	}
	if end := c.policy.Sessions.last(&s); end.Before(expire) {
		expire = end
	}
	return c.sign(jws.Claims{UserID: s.UserID, SessionID: s.ID, IssuedAt: c.now, Expire: expire, Epoch: s.UserPasswordEpoch, Secret: secretName(string((*a.digest)[:]))})
}

// jwtExpire returns the end of a JWT of a length.
func jwtExpire(now time.Time, length time.Duration) (time.Time, error) {
	length = cmp.Or(length, jwtLength)
	if length < time.Second || length > jwtMost {
		return time.Time{}, invalid("duration", reason.New(reason.OutOfRange, "not a second to %v", jwtMost))
	}
	return now.Add(length), nil
}

// sign returns a JWT with claims.
func (e *Engine) sign(claims jws.Claims) (Secret, error) {
	claims.Issuer, claims.ID = e.issuer, newID()
	token, err := e.jwtKey.Sign(claims)
	return hide(token), err
}
