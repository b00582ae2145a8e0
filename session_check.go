package latchkey

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func (a *Account) user(ctx context.Context, r store.Reader) (*record.User, error) {
	user, err := getUser(ctx, r, a.session.UserID)
	if errors.Is(err, ErrUserNotFound) {
		err = ErrUnauthorized // deleted since the session was read
	}
	return user, err
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

// Authenticate returns the account of whoever holds a session's secret. It is
// one read of the store, and is meant to run on every request of the host. An
// ended session is refused at once, on every machine. Once in 24 hours it also
// writes when the user was last seen; if that fails, it is logged, and the
// answer is the same.
//
// Errors: [ErrUnauthorized] for a secret of no session, of one that has ended
// or expired, and for text that is no secret; [ErrUserBlocked];
// [ErrPasswordResetRequired]; a [*MoreFactorsError] for a session that owes a second
// factor.
func (g *Guest) Authenticate(ctx context.Context, secret Secret) (*Account, error) {
	account, err := g.authenticate(ctx, secret)
	return account, outward("authenticate", err)
}

func (g *Guest) authenticate(ctx context.Context, secret Secret) (*Account, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	digest, ok := secret.digest(sessionLabel)
	if !ok {
		return nil, ErrUnauthorized
	}
	e, now := g.engine, g.engine.now()
	a := &Account{engine: e, client: g.client, digest: digest}
	if err := a.check(ctx, e.store, now, &a.session); err != nil {
		return nil, a.pending(err)
	}
	if now.Sub(a.session.Touched) >= e.policy.lastSeen(&a.session) {
		a.touch(ctx, now)
	}
	return a, nil
}

// pending gives the handle of a session that owes a second factor.
func (a *Account) pending(err error) error {
	if errors.Is(err, ErrMoreFactorsRequired) {
		return &MoreFactorsError{&Pending{a}}
	}
	return err
}

// touch writes when session and user were last seen, unless somebody else did,
// or the session has ended.
func (a *Account) touch(ctx context.Context, now time.Time) {
	err := a.engine.update(ctx, now, a.actor(), func(ctx context.Context, tx *txn) error {
		if err := a.live(ctx, tx, now); err != nil {
			return err
		}
		user, err := a.user(ctx, tx)
		if err != nil {
			return err
		}
		if a.session.ID != "" {
			s, err := a.engine.getSession(ctx, tx, now, a.session.UserID, a.session.ID)
			if err != nil || now.Sub(s.Touched) < a.engine.policy.lastSeen(&a.session) {
				return err
			}
			s.Touched = now
			if err := record.Sessions.Replace(ctx, tx, s); err != nil {
				return err
			}
		}
		if now.Sub(user.Accessed) < lastSeen {
			return nil
		}
		user.Accessed = now
		return record.Users.Replace(ctx, tx, user)
	})
	var own *Error
	if err != nil && !errors.As(err, &own) {
		a.engine.logger.WarnContext(ctx, "latchkey: last seen is not written", "error", outward("authenticate", err))
	}
}

// live reports why the session of a handle may not act at now.
func (a *Account) live(ctx context.Context, r store.Reader, now time.Time) error {
	return a.check(ctx, r, now, new(record.Check))
}

// check reads what decides about the session of a handle, and decides. It is
// one read, and everything is in the row.
func (a *Account) check(ctx context.Context, r store.Reader, now time.Time, s *record.Check) error {
	if a.jwt != nil {
		return a.checkJWT(ctx, r, now, s)
	}
	err := record.Checks.Get(ctx, r, s, record.Sessions.Cluster(), store.Bytes(a.digest[:]))
	if errors.Is(err, store.ErrNotFound) {
		return ErrUnauthorized
	}
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(s.Digest), a.digest[:]) != 1 || a.engine.policy.over(s, now) {
		return ErrUnauthorized
	}
	return a.engine.owed(s, now)
}

// present is live, for what a session may do that owes a second factor.
func (a *Account) present(ctx context.Context, r store.Reader, now time.Time) error {
	if err := a.live(ctx, r, now); !errors.Is(err, ErrMoreFactorsRequired) {
		return err
	}
	return nil
}
