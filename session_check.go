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

// Authenticate returns the account of the bearer of a session's secret. It is one read of the
// store, two for a secret that no session has, and is meant to run on every request of the host. An
// ended session is refused at once, on every machine. Once in 24 hours it also writes when the user
// was last seen. If that write fails, the engine logs the failure, and the answer is the same.
//
// Errors:
//   - [ErrUnauthorized]: the text is no secret, or the session does not exist, has ended or has
//     expired.
//   - [ErrSessionRenewed]: the session has got a new secret within the last minute, and this is the
//     former one. Another request has brought the new one to the client.
//   - [ErrUserBlocked]
//   - [ErrPasswordResetRequired]
//   - [*MoreFactorsError]: the session owes a second factor.
//   - [*UnverifiedEmailError]: the policy asks for a proven e-mail address.
func (g *Guest) Authenticate(ctx context.Context, secret string) (_ *Account, err error) {
	defer g.home().operation(&ctx, checkSession).end(&err)
	if err := g.open(); err != nil {
		return nil, err
	}
	digest, ok := secretDigest(secret, sessionLabel)
	if !ok {
		return nil, ErrUnauthorized
	}
	c := g.call() // on the stack: this runs on every request
	return c.authenticate(ctx, g.account(digest))
}

// AuthenticateJWT returns the account of the bearer of a JWT of
// [Account.CreateJWT] or [Users.CreateJWT]. It checks the signature and then
// everything that [Guest.Authenticate] checks: an ended session, a block and a changed
// password take effect at once. That is one read of the store, two for a JWT without a
// session.
//
// The account may do the same as that of the session, with three exceptions. It
// has no [CurrentSession] session ([ErrSessionNotFound]). It makes no JWTs
// ([ErrJWTCreationDenied]). It ends with the JWT ([ErrJWTInvalid]). Its SessionID
// is that of the JWT, "" if the JWT is bound to no session.
//
// Errors:
//   - [ErrJWTInvalid]: the text is no JWT of this engine, or has expired.
//   - [ErrUnauthorized]: the session has ended, or the user is deleted.
//   - [ErrSessionRenewed]: the session has got a new secret since the JWT was made, within the last
//     minute. A new JWT is made with the new secret.
//   - [ErrUserBlocked]
//   - [ErrPasswordResetRequired]
//   - [*MoreFactorsError]: the session owes a second factor.
//   - [*UnverifiedEmailError]: the policy asks for a proven e-mail address.
func (g *Guest) AuthenticateJWT(ctx context.Context, token string) (_ *Account, err error) {
	defer g.home().operation(&ctx, checkJWT).end(&err)
	if err := g.open(); err != nil {
		return nil, err
	}
	c := g.call()
	claims, err := c.jwts.Verify(token, c.now)
	if err != nil {
		return nil, ErrJWTInvalid
	}
	return c.authenticate(ctx, &Account{engine: g.engine, client: g.client, server: g.server, jwt: &claims})
}

// authenticate checks an account, and writes when it was last seen.
func (c *call) authenticate(ctx context.Context, a *Account) (*Account, error) {
	if err := a.readCheck(ctx, c, c.store, &a.session); err != nil {
		return nil, a.unauthenticated(ctx, *c, err)
	}
	a.seen(ctx, c)
	return a, nil
}

// unauthenticated returns the error of an authentication. A session from ahead of the clock, or
// that came to owe a factor then, is deleted: it must not be good when that time has come.
func (a *Account) unauthenticated(ctx context.Context, c call, err error) error {
	ahead := c.ahead(a.session.Created, c.now) || c.ahead(a.session.Owing, c.now)
	if errors.Is(err, ErrUnauthorized) && a.session.ID != "" && ahead {
		failed := c.update(ctx, func(ctx context.Context, tx *txn) error { return tx.mendSession(ctx, a.session.ID) })
		if failed != nil && !isAnswer(failed) {
			c.logger.WarnContext(ctx, "latchkey: a session from ahead of the clock is not deleted")
		}
	}
	return a.lesserError(err)
}

// seen notes when the session was last seen, if that is due.
func (a *Account) seen(ctx context.Context, c *call) {
	if c.now.Sub(a.session.Touched) >= c.policy.Sessions.lastSeen(&a.session) || c.ahead(a.session.Touched, c.now) {
		a.note(ctx, *c) // a copy, so that the call of a check stays off the heap
	}
}

// note writes when the session was last seen. The check waits a tenth of a second for it, and not
// for the lock of somebody else: after that the note goes on behind the answer. There is one note
// of a session under way.
func (a *Account) note(ctx context.Context, c call) {
	key := a.session.UserID + "\n" + a.session.ID
	if _, under := c.touching.LoadOrStore(key, true); under {
		return
	}
	behind, noted := *a, make(chan struct{}) // the caller goes on with the other
	planned := c.notes.Do(func(ending context.Context) {
		defer close(noted)
		defer c.touching.Delete(key)
		defer c.recovered(ctx, "Store")
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
		defer cancel()
		defer context.AfterFunc(ending, cancel)()
		c.notTouched(ctx, behind.touch(ctx, c))
	})
	if !planned {
		c.touching.Delete(key)
		return
	}
	limit := time.NewTimer(touchTime)
	defer limit.Stop()
	select {
	case <-noted:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// touchTime is how long a check waits for the note of its use, and noteTime how long the note may
// take.
const (
	touchTime = 100 * time.Millisecond
	noteTime  = 15 * time.Second
)

// notTouched logs that a use is not noted.
func (c *call) notTouched(ctx context.Context, err error) {
	if err != nil && !isAnswer(err) {
		c.logger.WarnContext(ctx, "latchkey: last seen is not written", "error", err)
	}
}

// touch writes when session and user were last seen, unless another call did, or
// the session has ended.
func (a *Account) touch(ctx context.Context, c call) error {
	return c.update(ctx, func(ctx context.Context, tx *txn) error {
		tx.call.now = tx.Engine.now() // a session that has ended meanwhile has ended
		user, err := a.standing(ctx, tx.call, tx)
		if err != nil {
			return err
		}
		if a.session.ID != "" {
			s, err := tx.liveSession(ctx, tx, a.session.UserID, a.session.ID)
			if err != nil || tx.now.Sub(s.Touched) < tx.policy.Sessions.lastSeen(&a.session) && !tx.ahead(s.Touched, tx.now) {
				return err
			}
			tx.bringBack(s)
			s.Touched = tx.now
			if err := record.Sessions.Replace(ctx, tx, s); err != nil {
				return err
			}
		}
		if tx.now.Sub(user.Accessed) < lastSeen && !tx.ahead(user.Accessed, tx.now) {
			return nil
		}
		user.Accessed = tx.now
		return record.Users.Replace(ctx, tx, user)
	})
}

// mayAct reports why a handle may not act.
func (a *Account) mayAct(ctx context.Context, c *call, r store.Reader) error {
	if a.acting != nil {
		_, err := a.standing(ctx, c, r)
		return err
	}
	return a.readCheck(ctx, c, r, new(record.Check))
}

// mayActOrOwe is mayAct, for the operations that are open to a session that owes a
// second factor.
func (a *Account) mayActOrOwe(ctx context.Context, c *call, r store.Reader) error {
	err := a.mayAct(ctx, c, r)
	if errors.Is(err, ErrMoreFactorsRequired) && a.acting == nil {
		return nil
	}
	return err
}

// gate decides whether an account may do something, in a transaction or before it.
// It returns the user of the account as of the same moment.
type gate func(a *Account, ctx context.Context, c *call, r store.Reader) (*record.User, error)

// standing is the gate of a handle that may act.
func (a *Account) standing(ctx context.Context, c *call, r store.Reader) (*record.User, error) {
	var s record.Check
	user, err := a.readBoth(ctx, c, r, &s)
	if err != nil {
		return nil, err
	}
	if a.acting != nil {
		return a.actsFor(ctx, r, user)
	}
	return user, nil
}

// standingOrOwing is standing, for the operations that are open to a session that owes a
// second factor.
func (a *Account) standingOrOwing(ctx context.Context, c *call, r store.Reader) (*record.User, error) {
	var s record.Check
	user, err := a.readBoth(ctx, c, r, &s)
	if errors.Is(err, ErrMoreFactorsRequired) {
		return user, nil
	}
	return user, err
}

// readCheck reads the columns that decide about the session of a handle, and
// decides. It is one read, and everything is in the row.
func (a *Account) readCheck(ctx context.Context, c *call, r store.Reader, s *record.Check) error {
	switch {
	case a.jwt == nil:
		err := record.Checks.Get(ctx, r, s, record.Sessions.Cluster(), store.Bytes((*a.digest)[:]))
		return a.judge(ctx, c, r, s, err)
	case a.jwt.SessionID == "":
		_, err := a.readUser(ctx, c, r, s)
		return err
	}
	err := record.Checks.Get(ctx, r, s, record.Sessions.Primary(), store.Text(a.jwt.SessionID))
	return a.judge(ctx, c, r, s, err)
}

// readBoth is readCheck with the user of the session, as of the same moment and in the same
// read. The user comes with [ErrMoreFactorsRequired] too.
func (a *Account) readBoth(ctx context.Context, c *call, r store.Reader, s *record.Check) (*record.User, error) {
	var user *record.User
	var err error
	switch {
	case a.jwt == nil:
		user, err = record.CheckedBySecret.Get(ctx, r, s, store.Bytes((*a.digest)[:]))
	case a.jwt.SessionID == "":
		return a.readUser(ctx, c, r, s)
	default:
		user, err = record.CheckedByID.Get(ctx, r, s, store.Text(a.jwt.SessionID))
	}
	err = a.judge(ctx, c, r, s, err)
	if err != nil && !errors.Is(err, ErrMoreFactorsRequired) {
		user = nil
	}
	return user, err
}

// judge decides about the session of a handle, which was read with an error or without.
func (a *Account) judge(ctx context.Context, c *call, r store.Reader, s *record.Check, err error) error {
	digest := s.Digest
	s.Digest = ""
	if a.jwt != nil {
		if err := a.judgeJWT(c); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound) && a.jwt == nil:
		return c.former(ctx, r, secretName(string((*a.digest)[:])))
	case errors.Is(err, store.ErrNotFound):
		return ErrUnauthorized
	case err != nil:
		return err
	case a.jwt == nil && subtle.ConstantTimeCompare([]byte(digest), (*a.digest)[:]) != 1:
		return ErrUnauthorized
	case c.ended(s, c.now):
		return ErrUnauthorized
	case a.jwt != nil && (s.UserID != a.jwt.UserID || s.UserPasswordEpoch != a.jwt.Epoch):
		return ErrUnauthorized // the password has changed since
	case a.jwt != nil && secretName(digest) != a.jwt.Secret:
		return c.former(ctx, r, a.jwt.Secret)
	}
	err = c.mayAct(s, c.now)
	if a.unproven && errors.Is(err, ErrEmailVerificationRequired) {
		return nil
	}
	return err
}

// judgeJWT decides about the times of a JWT: a handle may be older than the clock.
func (a *Account) judgeJWT(c *call) error {
	if !a.jwt.Expire.After(c.now) || c.ahead(a.jwt.IssuedAt, c.now) {
		return ErrJWTInvalid
	}
	return nil
}

// readUser is readBoth for a JWT without a session: its user must be the same, and
// their epoch must not have changed.
func (a *Account) readUser(ctx context.Context, c *call, r store.Reader, s *record.Check) (*record.User, error) {
	if err := a.judgeJWT(c); err != nil {
		return nil, err
	}
	user, err := findUser(ctx, r, a.jwt.UserID)
	if err != nil {
		return nil, err
	}
	if user == nil || accountOf(user) != a.jwt.Account {
		return nil, ErrUnauthorized
	}
	f := userFacts(user)
	*s = record.Check{
		UserID: user.ID, Factors: factorServer, Expire: a.jwt.Expire, Touched: user.Accessed,
		UserBlocked: f.blocked, UserMustReset: f.mustReset, UserFactors: f.factors, // no factor is owed: the server vouches for the JWT
	}
	err = c.mayAct(s, c.now)
	if err != nil && !(a.unproven && errors.Is(err, ErrEmailVerificationRequired)) {
		return nil, err
	}
	if user.Epoch != a.jwt.Epoch {
		return nil, ErrUnauthorized
	}
	epoch, err := storeEpoch(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case epoch != a.jwt.Store:
		return nil, ErrUnauthorized
	}
	return user, nil
}

// secretName tells the secret of a session from a later one, by its digest.
func secretName(digest string) string {
	sum := sha256.Sum256([]byte("jwt/v1/secret\x00" + digest))
	return hex.EncodeToString(sum[:12])
}

// renewedTime is for how long the former secret of a session is known.
const renewedTime = time.Minute

// renewSecret gives a session another secret, of which digest is the digest. It is the one place where
// secrets change. The former one is known for a while, so that its bearer is told of the new one.
func (tx *txn) renewSecret(ctx context.Context, s *record.Session, digest string) error {
	former := &record.Failure{Purpose: failRenewed, Subject: []byte(secretName(s.Digest)), Last: tx.now, Expire: tx.now.Add(renewedTime)}
	s.Digest, s.Updated, s.Touched = digest, tx.now, tx.now
	return record.Failures.Insert(ctx, tx, former)
}

// former returns why a secret is refused that no session has: it was that of a session a moment ago,
// or it never was or is no more.
func (c *call) former(ctx context.Context, r store.Reader, name string) error {
	row, err := loadFailure(ctx, r, failRenewed, []byte(name))
	switch {
	case err != nil:
		return err
	case c.live(row.Last, row.Expire):
		return ErrSessionRenewed
	}
	return ErrUnauthorized
}

// accountOf names one user among all that ever have the same id.
func accountOf(user *record.User) string {
	sum := sha256.Sum256([]byte("jwt/v1\x00" + user.Key))
	return hex.EncodeToString(sum[:12])
}

// user returns the row of the account's user.
func (a *Account) user(ctx context.Context, r store.Reader) (*record.User, error) {
	user, err := findUser(ctx, r, a.UserID())
	switch {
	case err != nil:
		return nil, err
	case user == nil: // deleted since the session was read
		return nil, ErrUnauthorized
	}
	return user, nil
}

// actsFor returns the user for whom another one acts, if that one still may.
func (a *Account) actsFor(ctx context.Context, r store.Reader, actor *record.User) (*record.User, error) {
	if !actor.Impersonator {
		return nil, ErrUserUnauthorized
	}
	user, err := findUser(ctx, r, a.acting.id)
	switch {
	case err != nil:
		return nil, err
	case user == nil || user.Key != a.acting.key:
		return nil, ErrUserNotFound
	case user.Blocked:
		return nil, ErrUserBlocked
	case user.MustReset:
		return nil, ErrPasswordResetRequired
	case a.engine.policy.RequireVerifiedEmail && !user.EmailVerified:
		return nil, ErrEmailVerificationRequired
	}
	return user, nil
}
