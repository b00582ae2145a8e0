package latchkey

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// Session is a signed-in client.
type Session struct {
	ID        string
	UserID    string
	CreatedAt time.Time
	UpdatedAt time.Time
	Expire    time.Time
	// Provider is how it was made: email or anonymous.
	Provider    string
	ProviderUID string // the address, for email
	// Factors are the proofs behind it: password or anonymous.
	Factors      []string
	MFAUpdatedAt time.Time // of the last completed challenge; zero for none
	IP           string    // "" when it was not known
	Device       Device
	Current      bool // it is the session that asks
	// Secret is what the client proves itself with. It is set by the call
	// that makes the session, and by no other.
	Secret Secret
}

// The ways in and the proofs, as sessions record them.
const (
	providerEmail     = "email"
	providerAnonymous = "anonymous"
	factorPassword    = "password"
	factorAnonymous   = "anonymous"
)

func sessionOf(r *record.Session) (*Session, error) {
	device, err := decodeDevice(r.Client)
	if err != nil {
		return nil, err
	}
	return &Session{
		ID: r.ID, UserID: r.UserID, CreatedAt: r.Created, UpdatedAt: r.Updated, Expire: r.Expire,
		Provider: r.Provider, ProviderUID: r.ProviderUID, Factors: strings.Fields(r.Factors),
		MFAUpdatedAt: r.Challenged, IP: r.IP, Device: device,
	}, nil
}

// signIn is a session that is about to be made.
type signIn struct {
	provider, providerUID, factors string

	id, device string
	secret     Secret
	digest     string
}

// newSignIn draws what is random, so that a transaction that runs again makes
// the same session.
func (g *Guest) newSignIn(provider, providerUID, factors string) *signIn {
	in := &signIn{
		provider: provider, providerUID: providerUID, factors: factors,
		id: newID(), device: g.client.device().encode(), secret: newSecret(),
	}
	sum, _ := in.secret.digest(sessionLabel)
	in.digest = string(sum[:])
	return in
}

// createSession is the one place where sessions are made. It ends those of the
// user that have expired, and the oldest ones over the limit.
func (g *Guest) createSession(ctx context.Context, tx store.Tx, now time.Time, user *record.User, in *signIn) (*record.Session, error) {
	e := g.engine
	if err := g.makeRoom(ctx, tx, now, user); err != nil {
		return nil, err
	}
	s := &record.Session{
		ID: in.id, UserID: user.ID, Digest: in.digest,
		Created: now, Updated: now, Expire: now.Add(e.policy.SessionLength), Touched: now,
		Provider: in.provider, ProviderUID: in.providerUID, Factors: in.factors,
		IP: g.client.ip(), Client: in.device,
		UserBlocked: user.Blocked, UserMustReset: user.MustReset, UserMFA: user.MFA,
	}
	if err := record.Sessions.Insert(ctx, tx, s); err != nil {
		return nil, err
	}
	by := g.actor()
	by.id, by.mode = user.ID, "user"
	return s, e.log(ctx, tx, now, by, logSessionCreate, "user/"+user.ID, user.Key)
}

// makeRoom ends sessions of a user until one more is within the limit.
func (g *Guest) makeRoom(ctx context.Context, tx store.Tx, now time.Time, user *record.User) error {
	e := g.engine
	sessions, err := listSessions(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	var live []*record.Session
	for _, s := range sessions {
		if s.Expire.After(now) {
			live = append(live, s)
		} else if err := record.Sessions.Delete(ctx, tx, store.Text(s.ID)); err != nil {
			return err
		}
	}
	for len(live) >= e.policy.SessionLimit {
		if err := e.endSession(ctx, tx, now, g.actor(), live[0], user.Key); err != nil {
			return err
		}
		live = live[1:]
	}
	return nil
}

// endSession is the one place where a session is ended on purpose.
func (e *Engine) endSession(ctx context.Context, tx store.Tx, now time.Time, by actor, s *record.Session, userKey string) error {
	if err := record.Sessions.Delete(ctx, tx, store.Text(s.ID)); err != nil {
		return err
	}
	return e.log(ctx, tx, now, by, logSessionDelete, "user/"+s.UserID, userKey)
}

// listSessions returns the rows of a user's sessions, expired ones too, oldest
// first. The limit keeps them few.
func listSessions(ctx context.Context, r store.Reader, userID string) ([]*record.Session, error) {
	return record.Sessions.List(ctx, r, store.Query{
		Index: record.Sessions.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit,
	})
}

// passwordPlace is where the password hash of a user is sealed.
func passwordPlace(userID string) seal.Place {
	return seal.Place{Table: "users", Column: "password", Record: userID, Owner: userID}
}

// hashPassword returns the sealed hash of a user's password.
func (e *Engine) hashPassword(ctx context.Context, userID, password string) ([]byte, error) {
	hash, err := e.hasher.Hash(ctx, password)
	if errors.Is(err, hasher.ErrBusy) {
		err = ErrBusy
	}
	if err != nil {
		return nil, err
	}
	return e.ring.Seal(seal.PasswordHash, passwordPlace(userID), []byte(hash)), nil
}

// verifyPassword compares a password with the one of a user, at the cost of one
// hash whether there is one or not. An outdated hash is answered with a new one.
func (e *Engine) verifyPassword(ctx context.Context, user *record.User, password string) (right bool, upgrade []byte, err error) {
	var hash []byte
	if user != nil && user.Password != nil {
		hash, err = e.ring.Open(seal.PasswordHash, passwordPlace(user.ID), user.Password)
		if err != nil {
			return false, nil, err
		}
	}
	right, err = e.hasher.Verify(ctx, string(hash), password)
	if errors.Is(err, hasher.ErrBusy) {
		err = ErrBusy
	}
	if err != nil || !right || !e.hasher.Outdated(string(hash)) {
		return right, nil, err
	}
	upgrade, err = e.hashPassword(ctx, user.ID, password)
	if errors.Is(err, ErrBusy) {
		return right, nil, nil // another time
	}
	return right, upgrade, err
}

// CreateEmailPasswordSession signs a user in by e-mail address and password,
// and returns the session with its secret. A user has ten sessions unless the
// policy says otherwise; one more ends the oldest. The session lives a year
// unless the policy says otherwise.
//
// Errors: [ErrArgumentInvalid] for an address that is none and for a password
// of a form that no password has (8 to 256 characters, 1,024 bytes);
// [ErrInvalidCredentials] for an unknown address, a user without a password and
// a wrong password, at the same cost (a hash with older parameters has its own
// cost until the first right sign-in renews it); [ErrUserBlocked], after the right password
// only; a [*ThrottledError] while the address is slowed: from the eleventh wrong
// password in a row, 30 seconds, doubling up to an hour, for known and unknown
// addresses alike; [ErrBusy] when too many passwords are being checked.
func (g *Guest) CreateEmailPasswordSession(ctx context.Context, email, password string) (*Session, error) {
	session, err := g.signInByPassword(ctx, email, password)
	return session, outward("create e-mail session", err)
}

// errChanged says that what a decision was based on has changed before the
// transaction that would carry it out.
var errChanged = errors.New("latchkey: the user has changed meanwhile")

func (g *Guest) signInByPassword(ctx context.Context, email, password string) (*Session, error) {
	if err := g.engine.open(); err != nil {
		return nil, err
	}
	email, err := canon.Email(email)
	if err != nil {
		return nil, invalid("email", err)
	}
	if err := checkPasswordForm(password, passwordMin); err != nil {
		return nil, err
	}
	for range 3 {
		session, err := g.tryPassword(ctx, email, password)
		if !errors.Is(err, errChanged) {
			return session, err
		}
	}
	return nil, ErrBusy // the user changes faster than a password is checked
}

func (g *Guest) tryPassword(ctx context.Context, email, password string) (*Session, error) {
	e, now := g.engine, g.engine.now()
	guard := e.guard(failPassword, email)
	before, err := guard.failures(ctx, e.store, now)
	if err != nil {
		return nil, err
	}
	if err := delayed(before, now); err != nil {
		return nil, err
	}
	user, err := record.Users.Get(ctx, e.store, record.Users.Index("email"), store.Text(email))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	right, upgrade, err := e.verifyPassword(ctx, user, password)
	if err != nil {
		return nil, err
	}
	if !right {
		if err := e.update(ctx, func(ctx context.Context, tx store.Tx) error { return guard.fail(ctx, tx, now) }); err != nil {
			return nil, err
		}
		return nil, ErrInvalidCredentials
	}
	if user.Blocked {
		return nil, ErrUserBlocked
	}
	in := g.newSignIn(providerEmail, email, factorPassword)
	var made *record.Session
	err = e.update(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		made, err = g.enter(ctx, tx, now, guard, user, upgrade, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return in.session(made)
}

// enter makes the session of a user whose password was right, unless the
// user or the delay has changed since they were read.
func (g *Guest) enter(ctx context.Context, tx store.Tx, now time.Time, guard guard, read *record.User, upgrade []byte, in *signIn) (*record.Session, error) {
	failures, err := guard.failures(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	if err := delayed(failures, now); err != nil {
		return nil, err
	}
	user, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text(read.ID))
	if errors.Is(err, store.ErrNotFound) {
		return nil, errChanged
	}
	if err != nil {
		return nil, err
	}
	if user.Key != read.Key || user.Email != read.Email || user.Blocked || !bytes.Equal(user.Password, read.Password) {
		return nil, errChanged
	}
	if upgrade != nil {
		user.Password, user.Updated = upgrade, now
		if err := record.Users.Replace(ctx, tx, user); err != nil {
			return nil, err
		}
	}
	if err := guard.clear(ctx, tx); err != nil {
		return nil, err
	}
	return g.createSession(ctx, tx, now, user, in)
}

// session returns what the caller gets of the session that was made.
func (in *signIn) session(r *record.Session) (*Session, error) {
	s, err := sessionOf(r)
	if err != nil {
		return nil, err
	}
	s.Secret, s.Current = in.secret, true
	return s, nil
}

// CreateAnonymousSession makes a user without a name, an address or a password,
// and signs them in. Whoever loses the secret loses the account.
func (g *Guest) CreateAnonymousSession(ctx context.Context) (*Session, error) {
	session, err := g.signInAnonymously(ctx)
	return session, outward("create anonymous session", err)
}

func (g *Guest) signInAnonymously(ctx context.Context) (*Session, error) {
	e := g.engine
	if err := e.open(); err != nil {
		return nil, err
	}
	now := e.now()
	user := newUser(newID(), now)
	in := g.newSignIn(providerAnonymous, "", factorAnonymous)
	var made *record.Session
	err := e.update(ctx, func(ctx context.Context, tx store.Tx) (err error) {
		if err := g.insertUser(ctx, tx, now, user); err != nil {
			return err
		}
		made, err = g.createSession(ctx, tx, now, user, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return in.session(made)
}

// Authenticate returns the account of whoever holds a session's secret. It is
// one read of the store, and is meant to run on every request of the host. An
// ended session is refused at once, on every machine.
//
// Errors: [ErrUnauthorized] for a secret of no session, of one that has ended
// or expired, and for text that is no secret; [ErrUserBlocked];
// [ErrPasswordResetRequired].
func (g *Guest) Authenticate(ctx context.Context, secret Secret) (*Account, error) {
	account, err := g.authenticate(ctx, secret)
	return account, outward("authenticate", err)
}

func (g *Guest) authenticate(ctx context.Context, secret Secret) (*Account, error) {
	if err := g.engine.open(); err != nil {
		return nil, err
	}
	digest, ok := secret.digest(sessionLabel)
	if !ok {
		return nil, ErrUnauthorized
	}
	a := &Account{engine: g.engine, client: g.client, digest: digest}
	s, err := a.live(ctx, g.engine.store, g.engine.now())
	if err != nil {
		return nil, err
	}
	a.sessionID, a.userID = s.ID, s.UserID
	return a, nil
}

// live returns the session of a handle, if it may still act at now. It is one
// read, and everything that decides is in the row.
func (a *Account) live(ctx context.Context, r store.Reader, now time.Time) (*record.Session, error) {
	s, err := record.Sessions.Get(ctx, r, record.Sessions.Cluster(), store.Bytes(a.digest[:]))
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrUnauthorized
	}
	if err != nil {
		return nil, err
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(s.Digest), a.digest[:]) != 1, !s.Expire.After(now):
		return nil, ErrUnauthorized
	case s.UserBlocked:
		return nil, ErrUserBlocked
	case s.UserMustReset:
		return nil, ErrPasswordResetRequired
	}
	return s, nil
}
