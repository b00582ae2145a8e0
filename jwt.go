package latchkey

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
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

// CreateJWT returns a JWT for a user, bound to a session of theirs: [Recent], or
// "", is the one that was made last among those that owe nothing. If there is none at all, the JWT is bound to
// the user alone: it ends with the next change of the password, recovery, block
// or first proof of an address, and is checked by one read of the user. length is
// as in [Account.CreateJWT].
//
// Errors: [ErrArgumentInvalid]; [ErrSessionNotFound] for a session that is not a
// live one of the user; [ErrUserBlocked]; [ErrPasswordResetRequired];
// [ErrMoreFactorsRequired] for a session that owes a second factor: other services
// could not see it.
func (u *Users) CreateJWT(ctx context.Context, id, sessionID string, length time.Duration) (token Secret, err error) {
	err = u.read(ctx, "create JWT", id, func(r store.Reader, user *record.User) error {
		e, now := u.engine, u.engine.now()
		expire, err := jwtExpire(now, length)
		if err != nil {
			return err
		}
		switch {
		case user.Blocked:
			return ErrUserBlocked
		case user.MustReset:
			return ErrPasswordResetRequired
		}
		c := jws.Claims{UserID: user.ID, IssuedAt: now, Expire: expire}
		session, err := e.sessionFor(ctx, r, now, user.ID, sessionID)
		switch {
		case err != nil:
			return err
		case session == nil:
			c.Epoch, c.Account = user.Epoch, accountOf(user)
		default:
			c.SessionID = session.ID
			if end := e.policy.last(factsIn(session)); end.Before(expire) {
				c.Expire = end
			}
			err = e.owed(factsIn(session), now)
		}
		if err != nil {
			return err
		}
		token, err = e.sign(c)
		return err
	})
	return token, err
}

// sessionFor returns the session that a server names, nil if it names the last
// one and there is none.
func (e *Engine) sessionFor(ctx context.Context, r store.Reader, now time.Time, userID, id string) (*record.Session, error) {
	if id != "" && id != Recent {
		if err := canon.ID(id); err != nil {
			return nil, invalid("sessionId", err)
		}
		return e.getSession(ctx, r, now, userID, id)
	}
	rows, err := listSessions(ctx, r, userID)
	if err != nil {
		return nil, err
	}
	var last *record.Session
	for i := range rows {
		s := rows[len(rows)-1-i]
		if !e.alive(s, now) {
			continue
		}
		if last == nil {
			last = s
		}
		if e.owed(factsIn(s), now) == nil {
			return s, nil
		}
	}
	return last, nil
}

// accountOf names one user among all that ever have the same id.
func accountOf(user *record.User) string {
	sum := sha256.Sum256([]byte("jwt/v1\x00" + user.Key))
	return hex.EncodeToString(sum[:12])
}

// AuthenticateJWT returns the account of whoever shows a JWT of
// [Account.CreateJWT] or [Users.CreateJWT]. It checks the signature and then what
// [Guest.Authenticate] checks, by one read of the store: an ended session, a
// block, a changed password are seen at once.
//
// The account may do what that of the session may, but for three things: it has no
// [Current] session ([ErrSessionNotFound]), it makes no JWTs
// ([ErrJWTCreationDenied]), and it ends with the JWT, with [ErrJWTInvalid]. Its
// SessionID is that of the JWT, "" if it is bound to none.
//
// Errors: [ErrJWTInvalid] for what is no JWT of this engine that is good now;
// [ErrUnauthorized] for one of a session that has ended or a user who is no more;
// [ErrUserBlocked]; [ErrPasswordResetRequired]; a [*MoreFactorsError].
func (g *Guest) AuthenticateJWT(ctx context.Context, token Secret) (*Account, error) {
	account, err := g.authenticateJWT(ctx, token)
	return account, outward("authenticate JWT", err)
}

func (g *Guest) authenticateJWT(ctx context.Context, token Secret) (*Account, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	e, now := g.engine, g.engine.now()
	claims, err := e.jwts.Verify(token.Reveal(), now)
	if err != nil {
		return nil, ErrJWTInvalid
	}
	a := &Account{engine: e, client: g.client, jwt: &claims}
	if err := a.check(ctx, e.store, now, &a.session); err != nil {
		return nil, a.pending(err)
	}
	if now.Sub(a.session.Touched) >= e.policy.lastSeen(&a.session) {
		a.touch(ctx, now)
	}
	return a, nil
}

// checkJWT is check for an account that came by a JWT.
func (a *Account) checkJWT(ctx context.Context, r store.Reader, now time.Time, s *record.Check) error {
	if !a.jwt.Expire.After(now) {
		return ErrJWTInvalid
	}
	if a.jwt.SessionID == "" {
		return a.checkEpoch(ctx, r, now, s)
	}
	err := record.Checks.Get(ctx, r, s, record.Sessions.Primary(), store.Text(a.jwt.SessionID))
	if errors.Is(err, store.ErrNotFound) || err == nil && (s.UserID != a.jwt.UserID || a.engine.policy.over(s, now)) {
		return ErrUnauthorized
	}
	if err != nil {
		return err
	}
	return a.engine.owed(s, now)
}

// checkEpoch checks a JWT without a session: whether its user is the same, and
// whether everything of theirs was ended since.
func (a *Account) checkEpoch(ctx context.Context, r store.Reader, now time.Time, s *record.Check) error {
	user, err := getUser(ctx, r, a.jwt.UserID)
	if errors.Is(err, ErrUserNotFound) {
		return ErrUnauthorized
	}
	if err != nil {
		return err
	}
	f := factsOf(user)
	*s = record.Check{
		UserID: user.ID, Factors: factorServer, Expire: a.jwt.Expire, Touched: user.Accessed,
		UserBlocked: f.blocked, UserMustReset: f.mustReset, // the server vouches for it: nothing else is owed
	}
	if accountOf(user) != a.jwt.Account {
		return ErrUnauthorized
	}
	if err := a.engine.owed(s, now); err != nil {
		return err
	}
	if user.Epoch != a.jwt.Epoch {
		return ErrUnauthorized
	}
	return nil
}
