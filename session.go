package latchkey

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// Session is a signed-in client.
type Session struct {
	ID        string
	UserID    string
	CreatedAt time.Time
	UpdatedAt time.Time
	Expire    time.Time
	// Provider is how it was made: email, anonymous or server.
	Provider    string
	ProviderUID string // the address, for email
	// Factors are the proofs behind it: password, anonymous or server.
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
	providerServer    = "server"
)

// alerting are the proofs of sign-ins that the user is told of: not those by the
// mailbox that would be told.
var alerting = []string{factorPassword, factorPhone, factorToken}

func (e *Engine) sessionOf(r *record.Session) (*Session, error) {
	device, err := decodeDevice(r.Client)
	if err != nil {
		return nil, err
	}
	return &Session{
		ID: r.ID, UserID: r.UserID, CreatedAt: r.Created, UpdatedAt: r.Updated,
		Expire:   e.policy.last(factsIn(r)),
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
func (e *Engine) newSignIn(ctx context.Context, c Client, provider, providerUID, factors string) *signIn {
	in := &signIn{
		provider: provider, providerUID: providerUID, factors: factors,
		id: newID(), device: e.device(ctx, c).encode(), secret: newSecret(),
	}
	sum, _ := in.secret.digest(sessionLabel)
	in.digest = string(sum[:])
	return in
}

// facts are what the row of a session says of its user.
type facts struct {
	blocked, mustReset, mfa bool
	factors                 string
}

func factsOf(u *record.User) facts {
	var factors []string
	if u.Password != nil {
		factors = append(factors, factorPassword)
	}
	if u.TOTP {
		factors = append(factors, string(FactorTOTP))
	}
	if u.Recovered {
		factors = append(factors, factRecovered)
	}
	if u.EmailVerified {
		factors = append(factors, factorEmail)
	}
	if u.PhoneVerified {
		factors = append(factors, factorPhone)
	}
	return facts{u.Blocked, u.MustReset, u.MFA, strings.Join(factors, " ")}
}

func (f facts) set(s *record.Session) {
	s.UserBlocked, s.UserMustReset, s.UserMFA, s.UserFactors = f.blocked, f.mustReset, f.mfa, f.factors
}

// refreshSessions brings the facts in all sessions of a user up to date.
func (tx *txn) refreshSessions(ctx context.Context, user *record.User) error {
	rows, err := listSessions(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range rows {
		factsOf(user).set(s)
		if err := record.Sessions.Replace(ctx, tx, s); err != nil {
			return err
		}
	}
	return nil
}

// alive reports whether a row is of a session whose life has not ended.
func (e *Engine) alive(s *record.Session, now time.Time) bool {
	return !e.policy.over(factsIn(s), now)
}

// createSession is the one place where sessions are made. It ends those of the
// user that have expired, and the oldest ones over the limit.
func (tx *txn) createSession(ctx context.Context, user *record.User, in *signIn) (*record.Session, error) {
	others, err := tx.makeRoom(ctx, user)
	if err != nil {
		return nil, err
	}
	if others > 0 && tx.engine.policy.SessionAlerts && slices.Contains(alerting, in.factors) {
		tx.notice(notify.SessionAlert, notify.Email, user)
	}
	s := &record.Session{
		ID: in.id, UserID: user.ID, Digest: in.digest,
		Created: tx.now, Updated: tx.now, Touched: tx.now,
		Provider: in.provider, ProviderUID: in.providerUID, Factors: in.factors,
		IP: tx.by.ip(), Client: in.device,
	}
	s.Expire = tx.engine.policy.end(s, tx.now)
	factsOf(user).set(s)
	if err := record.Sessions.Insert(ctx, tx, s); err != nil {
		return nil, err
	}
	if tx.by.mode == "guest" {
		tx.by.become(user)
		if tx.now.Sub(user.Accessed) >= lastSeen {
			user.Accessed = tx.now
			if err := record.Users.Replace(ctx, tx, user); err != nil {
				return nil, err
			}
		}
	}
	return s, tx.logSession(ctx, logSessionCreate, "create", user, s)
}

// logSession records and tells what happened to a session.
func (tx *txn) logSession(ctx context.Context, event, verb string, user *record.User, s *record.Session) error {
	shown, err := tx.engine.sessionOf(s)
	if err != nil {
		return err
	}
	tx.event(user.ID, "sessions."+s.ID+"."+verb, shown)
	return tx.log(ctx, event, user)
}

// factsIn is what of a session decides.
func factsIn(s *record.Session) *record.Check {
	return &record.Check{
		ID: s.ID, UserID: s.UserID, Digest: s.Digest, Created: s.Created, Expire: s.Expire, Factors: s.Factors, Challenged: s.Challenged, Touched: s.Touched,
		UserBlocked: s.UserBlocked, UserMustReset: s.UserMustReset, UserMFA: s.UserMFA, UserFactors: s.UserFactors,
	}
}

// makeRoom ends sessions of a user until one more is within the limit. It
// returns how many there were that had not expired.
func (tx *txn) makeRoom(ctx context.Context, user *record.User) (others int, err error) {
	sessions, err := listSessions(ctx, tx, user.ID)
	if err != nil {
		return 0, err
	}
	var live []*record.Session
	for _, s := range sessions {
		if tx.engine.alive(s, tx.now) {
			live = append(live, s)
		} else if err := record.Sessions.Delete(ctx, tx, store.Text(s.ID)); err != nil {
			return 0, err
		}
	}
	others = len(live)
	// Whoever has the password alone does not sign out who has proven more.
	owing := func(s *record.Session) int {
		if tx.engine.owed(factsIn(s), tx.now) != nil {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(live, func(a, b *record.Session) int { return owing(a) - owing(b) })
	for len(live) >= tx.engine.policy.SessionLimit {
		if err := tx.endSession(ctx, user, live[0]); err != nil {
			return 0, err
		}
		live = live[1:]
	}
	return others, nil
}

// endSession is the one place where a session is ended on purpose.
func (tx *txn) endSession(ctx context.Context, user *record.User, s *record.Session) error {
	if err := record.Sessions.Delete(ctx, tx, store.Text(s.ID)); err != nil {
		return err
	}
	return tx.logSession(ctx, logSessionDelete, "delete", user, s)
}

// endSessions ends the sessions of a user, all but the one whose id is kept.
// Those that had expired go without a word.
func (tx *txn) endSessions(ctx context.Context, user *record.User, kept string) error {
	sessions, err := listSessions(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		switch {
		case s.ID == kept:
		case tx.engine.alive(s, tx.now):
			err = tx.endSession(ctx, user, s)
		default:
			err = record.Sessions.Delete(ctx, tx, store.Text(s.ID))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sessionsOf returns the live sessions of a user, oldest first.
func (e *Engine) sessionsOf(ctx context.Context, r store.Reader, now time.Time, userID, current string) (*SessionList, error) {
	rows, err := listSessions(ctx, r, userID)
	if err != nil {
		return nil, err
	}
	list := &SessionList{Sessions: make([]*Session, 0, len(rows))}
	for _, row := range rows {
		if !e.alive(row, now) {
			continue
		}
		s, err := e.sessionOf(row)
		if err != nil {
			return nil, err
		}
		s.Current = s.ID == current
		list.Sessions = append(list.Sessions, s)
	}
	list.Total = len(list.Sessions)
	return list, nil
}

// getSession returns a live session of a user, or ErrSessionNotFound.
func (e *Engine) getSession(ctx context.Context, r store.Reader, now time.Time, userID, id string) (*record.Session, error) {
	row, err := record.Sessions.Get(ctx, r, record.Sessions.Primary(), store.Text(id))
	if errors.Is(err, store.ErrNotFound) || err == nil && (row.UserID != userID || !e.alive(row, now)) {
		return nil, ErrSessionNotFound
	}
	return row, err
}

// listSessions returns the rows of a user's sessions, expired ones too, oldest
// first. The limit keeps them few.
func listSessions(ctx context.Context, r store.Reader, userID string) ([]*record.Session, error) {
	return record.Sessions.List(ctx, r, store.Query{
		Index: record.Sessions.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit,
	})
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
// cost until the first right sign-in renews it); [ErrUserBlocked], after the
// right password only; a [*ThrottledError] after too many calls for the address,
// and while it is slowed: from the eleventh wrong password in a row, 30 seconds,
// doubling up to an hour, for known and unknown addresses alike;
// [ErrPasswordResetRequired] if the policy disables a password that was guessed
// at too often; [ErrAuthMethodUnsupported]; [ErrBusy] when too many passwords are
// being checked. A client address from which the user has signed in within 90
// days is counted apart, so that strangers cannot keep the user out.
func (g *Guest) CreateEmailPasswordSession(ctx context.Context, email, password string) (*Session, error) {
	session, err := g.signInByPassword(ctx, email, password)
	return session, outward("create e-mail session", err)
}

func (g *Guest) signInByPassword(ctx context.Context, email, password string) (*Session, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	email, err := canon.Email(email)
	if err != nil {
		return nil, invalid("email", err)
	}
	if err := checkPasswordForm(password, passwordMin); err != nil {
		return nil, err
	}
	e, now := g.engine, g.engine.now()
	if err := e.policy.enabled(g.client, EmailPassword, "Email and password"); err != nil {
		return nil, err
	}
	user, guard, err := g.find(ctx, now, email)
	if err != nil {
		return nil, err
	}
	if err := e.limit(ctx, g.client, now, limitEmailSession, guard.key); err != nil {
		return nil, err
	}
	if err := e.limit(ctx, g.client, now, limitEmailSessionByClient, g.client.network()); err != nil {
		return nil, err
	}
	session, err := settled(func() (session *Session, err error) {
		session, err = g.tryPassword(ctx, now, guard, user, email, password)
		if errors.Is(err, errChanged) {
			var changed error
			if user, guard, changed = g.find(ctx, now, email); changed != nil {
				err = changed
			}
		}
		return session, err
	})
	if err == nil {
		e.unlimit(ctx, limitEmailSession, guard.key)
	}
	return session, err
}

// find returns the user with an address, nil for nobody, and the guard of the
// password.
func (g *Guest) find(ctx context.Context, now time.Time, email string) (*record.User, guard, error) {
	user, err := record.Users.Get(ctx, g.engine.store, record.Users.Index("email"), store.Text(email))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, guard{}, err
	}
	guard, err := g.engine.guard(ctx, g.engine.store, now, failPassword, email, user, g.client)
	return user, guard, err
}

func (g *Guest) tryPassword(ctx context.Context, now time.Time, guard guard, user *record.User, email, password string) (*Session, error) {
	e := g.engine
	if _, err := guard.wait(ctx, e.store, now); err != nil {
		return nil, err
	}
	right, outdated, err := e.verifyPassword(ctx, user, password)
	if err != nil {
		return nil, err
	}
	if !right || user.Blocked {
		return nil, g.turnAway(ctx, now, guard, user, right)
	}
	var upgrade newPassword
	if outdated {
		if upgrade, err = e.upgraded(ctx, user, password); err != nil {
			return nil, err
		}
	}
	in := e.newSignIn(ctx, g.client, providerEmail, email, factorPassword)
	var made *record.Session
	err = e.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) (err error) {
		made, err = tx.enter(ctx, guard, user, upgrade, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.session(in, made)
}

// turnAway counts a wrong password, or tells a blocked user of the right one.
// Both are logged.
func (g *Guest) turnAway(ctx context.Context, now time.Time, guard guard, user *record.User, right bool) error {
	reason := ErrInvalidCredentials
	if right {
		reason = ErrUserBlocked
	}
	err := g.engine.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) error {
		if right {
			if _, err := guard.wait(ctx, tx, now); err != nil {
				return err
			}
		} else if err := guard.fail(ctx, tx); err != nil {
			return err
		}
		return tx.refuse(ctx, logSessionRefuse, user, guard.subject, reason)
	})
	if err != nil {
		return err
	}
	return reason
}

// enter makes the session of a user whose password was right, unless the
// user or the delay has changed since they were read.
func (tx *txn) enter(ctx context.Context, guard guard, read *record.User, upgrade newPassword, in *signIn) (*record.Session, error) {
	if err := guard.pass(ctx, tx); err != nil {
		return nil, err
	}
	user, err := unchanged(ctx, tx, read)
	if err != nil {
		return nil, err
	}
	if upgrade.hash != nil {
		user.Password, user.PasswordHistory, user.Updated = upgrade.hash, upgrade.history, tx.now
		if err := record.Users.Replace(ctx, tx, user); err != nil {
			return nil, err
		}
	}
	return tx.createSession(ctx, user, in)
}

// session returns what the caller gets of the session that was made.
func (e *Engine) session(in *signIn, r *record.Session) (*Session, error) {
	s, err := e.sessionOf(r)
	if err != nil {
		return nil, err
	}
	s.Secret, s.Current = in.secret, true
	return s, nil
}

// CreateAnonymousSession makes a user without a name, an address or a password,
// and signs them in. Whoever loses the secret loses the account.
//
// Errors: a [*ThrottledError] after 50 calls from a client address in an hour;
// [ErrUserCountExceeded]; [ErrAuthMethodUnsupported].
func (g *Guest) CreateAnonymousSession(ctx context.Context) (*Session, error) {
	session, err := g.signInAnonymously(ctx)
	return session, outward("create anonymous session", err)
}

func (g *Guest) signInAnonymously(ctx context.Context) (*Session, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	e, now := g.engine, g.engine.now()
	if err := e.policy.enabled(g.client, AnonymousSession, "Anonymous"); err != nil {
		return nil, err
	}
	if err := e.limit(ctx, g.client, now, limitAnonymousSession, g.client.network()); err != nil {
		return nil, err
	}
	user := newUser(newID(), now)
	in := e.newSignIn(ctx, g.client, providerAnonymous, "", factorAnonymous)
	var made *record.Session
	err := e.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) (err error) {
		made = nil
		if err := tx.roomForUser(ctx); err != nil {
			return err
		}
		if _, err := tx.insertUser(ctx, user); err != nil {
			return err
		}
		made, err = tx.createSession(ctx, user, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.session(in, made)
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
