package latchkey

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

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

// session returns what the caller gets of the session that was made.
func (e *Engine) session(in *signIn, r *record.Session) (*Session, error) {
	s, err := e.sessionOf(r)
	if err != nil {
		return nil, err
	}
	s.Secret, s.Current = in.secret, true
	return s, nil
}

// SessionList is a list of sessions.
type SessionList struct {
	Total    int
	Sessions []*Session
}

// dropFactors takes from the sessions of a user what they are taken to have proven
// by a switch, or by an authenticator that is gone, but for the first factor and
// what a challenge has shown. kept is a session that is left as it is.
func (tx *txn) dropFactors(ctx context.Context, user *record.User, kept string, drop func(s *record.Session, factor string) bool) error {
	rows, err := listSessions(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range rows {
		have := strings.Fields(s.Factors)
		if s.ID == kept || len(have) < 2 {
			continue
		}
		left := append(have[:1:1], slices.DeleteFunc(slices.Clone(have[1:]), func(f string) bool { return drop(s, f) })...)
		if len(left) == len(have) {
			continue
		}
		s.Factors = strings.Join(left, " ")
		if err := record.Sessions.Replace(ctx, tx, s); err != nil {
			return err
		}
	}
	return nil
}
