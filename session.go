package latchkey

import (
	"context"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// Session is a signed-in client.
type Session struct {
	ID        string    `json:"$id"`
	UserID    string    `json:"userId"`
	CreatedAt time.Time `json:"$createdAt"`
	UpdatedAt time.Time `json:"$updatedAt"`
	// AccessedAt is when the session was last used, up to a day late: as of User.AccessedAt.
	// Under Lifetime.Idle it is up to an eighth of that late.
	AccessedAt time.Time `json:"accessedAt"`
	Expire     time.Time `json:"expire"`
	// Provider is the way in: email, anonymous, magic-url, phone, token, passkey, server, or the name of an
	// [oauth.Provider].
	Provider    string `json:"provider"`
	ProviderUID string `json:"providerUid"` // the address, or the subject at the provider, where the way in has one
	// Factors are the proofs: password, email, phone, token, oauth2, totp, recoveryCode,
	// custom, passkey, anonymous or server.
	Factors      []string  `json:"factors"`
	MFAUpdatedAt time.Time `json:"mfaUpdatedAt,omitzero"` // of the last completed challenge; zero without one
	IP           string    `json:"ip"`                    // "" when it was not known
	Device       Device    `json:"device"`
	Current      bool      `json:"current"` // this session made the call
	// Secret is the client's proof. Only the call that makes the session, or gives
	// it a new secret, sets it.
	Secret Secret `json:"-"`
}

// SessionList is a list of sessions, or a page of it. Total is the number of sessions; 0
// with [query.NoTotal].
type SessionList struct {
	Total    int        `json:"total"`
	Sessions []*Session `json:"sessions"`
	Pages
}

// alerting are the proofs of sign-ins that a session alert tells of. A sign-in by
// mail is not among them: the alert would go to the mailbox that made it. Nor is an accepted
// invitation, as documented.
var alerting = []string{factorPassword, factorPhone, factorToken, passkeyVerified, string(FactorPasskey)}

// showSession returns a session as it is shown.
func (e *Engine) showSession(row *record.Session) (*Session, error) {
	device, err := decodeDevice(row.Client)
	if err != nil {
		return nil, err
	}
	return &Session{
		ID: row.ID, UserID: row.UserID, CreatedAt: row.Created, UpdatedAt: row.Updated, AccessedAt: row.Touched,
		Expire:   e.last(checkOf(row)),
		Provider: row.Provider, ProviderUID: row.ProviderUID, Factors: strings.Fields(withoutFactor(row.Factors, factVerified)),
		MFAUpdatedAt: row.Challenged, IP: row.IP, Device: device,
	}, nil
}

// showSessions returns sessions as they are shown. current is the id of the one that makes
// the call.
func (e *Engine) showSessions(rows []*record.Session, current string) (*SessionList, error) {
	list := &SessionList{Total: len(rows), Sessions: make([]*Session, 0, len(rows))}
	for _, row := range rows {
		s, err := e.showSession(row)
		if err != nil {
			return nil, err
		}
		s.Current = s.ID == current
		list.Sessions = append(list.Sessions, s)
	}
	return list, nil
}

// liveSessions returns the rows of the live sessions of a user, oldest first.
func (c *call) liveSessions(ctx context.Context, r store.Reader, userID string) ([]*record.Session, error) {
	rows, err := sessionRows(ctx, r, userID)
	return slices.DeleteFunc(rows, func(s *record.Session) bool { return !c.alive(s) }), err
}

// sessionRows returns the rows of a user's sessions, expired ones too, oldest
// first. The session limit keeps them few.
func sessionRows(ctx context.Context, r store.Reader, userID string) ([]*record.Session, error) {
	return record.Sessions.List(ctx, r, store.Query{
		Index: record.Sessions.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit,
	})
}

// liveSession returns a live session of a user, or ErrSessionNotFound.
func (c *call) liveSession(ctx context.Context, r store.Reader, userID, id string) (*record.Session, error) {
	row, err := record.Sessions.Find(ctx, r, record.Sessions.Primary(), store.Text(id))
	if err == nil && (row == nil || row.UserID != userID || !c.alive(row)) {
		return nil, ErrSessionNotFound
	}
	return row, err
}

// bringBack takes from a session what happened to it while the clock was ahead: it must not be
// good, or lengthen anything, when that time comes. It reports whether there was something.
func (tx *txn) bringBack(s *record.Session) bool {
	was := *s
	for _, t := range []*time.Time{&s.Challenged, &s.Strong, &s.Confirmed} {
		if tx.ahead(*t, tx.now) {
			*t = time.Time{}
		}
	}
	extended := tx.ahead(s.Updated, tx.now) || tx.ahead(s.Touched, tx.now)
	for _, t := range []*time.Time{&s.Updated, &s.Touched} {
		if tx.ahead(*t, tx.now) {
			*t = tx.now
		}
	}
	if end := tx.policy.Sessions.end(s, s.Created); extended && end.Before(s.Expire) {
		s.Expire = end
	}
	return *s != was
}

// mendSession deletes a session that was made while the clock was ahead, and takes from another
// one what happened to it then.
func (tx *txn) mendSession(ctx context.Context, id string) error {
	s, err := record.Sessions.Find(ctx, tx, record.Sessions.Primary(), store.Text(id))
	if err != nil || s == nil {
		return err
	}
	if tx.ahead(s.Created, tx.now) || tx.ahead(s.Owing, tx.now) {
		user, err := getUser(ctx, tx, s.UserID)
		if err != nil {
			return err
		}
		return tx.deleteSession(ctx, user, s)
	}
	if tx.bringBack(s) {
		return record.Sessions.Replace(ctx, tx, s)
	}
	return nil
}

// noteOwing records since when a session owes a second factor.
func (tx *txn) noteOwing(s *record.Session) {
	switch owes := tx.owes(checkOf(s)); {
	case !owes:
		s.Owing = time.Time{}
	case s.Owing.IsZero():
		s.Owing = tx.now
	}
}

// signIn is a session that is about to be made.
type signIn struct {
	provider, providerUID, factors string
	identity                       string        // the id of the identity that signs in
	silent                         bool          // no alert tells of it
	length                         time.Duration // 0 for that of the policy

	id, device string
	secret     Secret
	digest     string
}

// newSignIn draws the random parts of a session, so that a transaction that runs
// again makes the same session.
func (c *call) newSignIn(ctx context.Context, provider, providerUID, factors string) *signIn {
	in := &signIn{
		provider: provider, providerUID: providerUID, factors: factors, length: c.client.SessionLength,
		id: newID(), device: c.device(ctx).encode(), secret: newSecret(),
	}
	in.digest = sessionDigest(in.secret)
	return in
}

// sessionDigest returns the digest of a session's secret, as its row has it.
func sessionDigest(secret Secret) string {
	sum, _ := secretDigest(secret.Reveal(), sessionLabel)
	return string(sum[:])
}

// createSession is the one place where sessions are made. It ends those of the
// user that have expired, and the oldest ones over the limit. It returns the
// session with its secret.
func (tx *txn) createSession(ctx context.Context, user *record.User, in *signIn) (*Session, error) {
	row := &record.Session{
		ID: in.id, UserID: user.ID, Digest: in.digest,
		Created: tx.now, Updated: tx.now, Touched: tx.now,
		Provider: in.provider, ProviderUID: in.providerUID, Factors: in.factors,
		IP: tx.client.ip(), Client: in.device, PasswordEpoch: user.PasswordEpoch, Identity: in.identity,
		Length: int64(in.length / time.Second),
	}
	if hasWord(in.factors, string(FactorPasskey)) {
		row.Strong = tx.now
	}
	if hasWord(in.factors, factVerified) {
		row.Challenged = tx.now // the sign-in was a challenge too
	}
	row.Expire = tx.policy.Sessions.end(row, tx.now)
	userFacts(user).set(row)
	tx.noteOwing(row)
	others, err := tx.enforceSessionLimit(ctx, user, tx.owes(checkOf(row)))
	if err != nil {
		return nil, err
	}
	if others > 0 && !in.silent && tx.policy.Sessions.Alerts && slices.Contains(alerting, in.factors) {
		tx.notice(notify.SessionAlert, byEmail, user)
	}
	if err := record.Sessions.Insert(ctx, tx, row); err != nil {
		return nil, err
	}
	if tx.by.mode == modeGuest {
		tx.by.become(user)
		if tx.now.Sub(user.Accessed) >= lastSeen {
			user.Accessed = tx.now
			if err := record.Users.Replace(ctx, tx, user); err != nil {
				return nil, err
			}
		}
	}
	if err := tx.logSession(ctx, logSessionCreate, user, row); err != nil {
		return nil, err
	}
	tx.seen = append(tx.seen, Observation{What: ObservedSignIn, Name: in.provider, Count: 1}, Observation{What: ObservedSessions, Name: "created", Count: 1})
	shown, err := tx.showSession(row)
	if err != nil {
		return nil, err
	}
	shown.Secret, shown.Current = in.secret, true
	return shown, nil
}

// logSession records a change of a session and gathers its event, which has the
// last part of the log's name.
func (tx *txn) logSession(ctx context.Context, event string, user *record.User, row *record.Session) error {
	shown, err := tx.showSession(row)
	if err != nil {
		return err
	}
	tx.event(user.ID, "sessions."+row.ID+"."+strings.TrimPrefix(event, "session."), shown)
	return tx.log(ctx, event, user)
}

// enforceSessionLimit ends sessions of a user until one more is within the limit. Sessions
// that owe a factor have the same limit of their own, so that an attacker with only the
// password signs no one out. They make room for one another, first those of the same
// client. It returns the number of sessions that were live before.
func (tx *txn) enforceSessionLimit(ctx context.Context, user *record.User, owes bool) (others int, err error) {
	rows, err := sessionRows(ctx, tx, user.ID)
	if err != nil {
		return 0, err
	}
	var alike []*record.Session
	for _, s := range rows {
		if !tx.alive(s) {
			if err := tx.deleteSession(ctx, user, s); err != nil {
				return 0, err
			}
			continue
		}
		others++
		if tx.owes(checkOf(s)) == owes {
			alike = append(alike, s)
		}
	}
	if owes {
		strange := func(s *record.Session) bool { return clientOf(s.IP, "").network() != tx.client.network() }
		slices.SortStableFunc(alike, func(a, b *record.Session) int { return boolCompare(strange(a), strange(b)) })
	}
	for len(alike) >= tx.policy.Sessions.Limit {
		if err := tx.endSession(ctx, user, alike[0]); err != nil {
			return 0, err
		}
		alike = alike[1:]
	}
	return others, nil
}

// boolCompare compares truth values, false before true.
func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// endOldest ends the oldest full sessions of a user over the limit, except one.
func (tx *txn) endOldest(ctx context.Context, user *record.User, except *record.Session) error {
	rows, err := sessionRows(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	full := slices.DeleteFunc(rows, func(s *record.Session) bool { return s.ID == except.ID || tx.owes(checkOf(s)) || !tx.alive(s) })
	for len(full) >= tx.policy.Sessions.Limit {
		if err := tx.endSession(ctx, user, full[0]); err != nil {
			return err
		}
		full = full[1:]
	}
	return nil
}

// deleteSession is the one place where the row of one session is deleted. Its push targets
// go with it.
func (tx *txn) deleteSession(ctx context.Context, user *record.User, s *record.Session) error {
	if err := record.Sessions.Delete(ctx, tx, store.Text(s.ID)); err != nil || !s.Targets {
		return err
	}
	return tx.deleteTargetsOf(ctx, user, s)
}

// endSession is the one place where a session is ended on purpose.
func (tx *txn) endSession(ctx context.Context, user *record.User, s *record.Session) error {
	if err := tx.deleteSession(ctx, user, s); err != nil {
		return err
	}
	tx.seen = append(tx.seen, Observation{What: ObservedSessions, Name: "ended", Count: 1})
	return tx.logSession(ctx, logSessionDelete, user, s)
}

// endSessions ends the sessions of a user, except the one whose id is kept.
// Expired ones are deleted without log and event.
func (tx *txn) endSessions(ctx context.Context, user *record.User, kept string) error {
	rows, err := sessionRows(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range rows {
		switch {
		case s.ID == kept:
		case tx.alive(s):
			err = tx.endSession(ctx, user, s)
		default:
			err = tx.deleteSession(ctx, user, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// endSessionsIf ends the live sessions of a user that end selects.
func (tx *txn) endSessionsIf(ctx context.Context, user *record.User, end func(s *record.Session) bool) error {
	rows, err := sessionRows(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range rows {
		if !tx.alive(s) || !end(s) {
			continue
		}
		if err := tx.endSession(ctx, user, s); err != nil {
			return err
		}
	}
	return nil
}

// refreshSessions brings the facts in all sessions of a user up to date. A session that has
// ended stays ended: it is deleted before its row changes. A session that owed a factor ends
// when the new facts would make it a full one without a proof.
func (tx *txn) refreshSessions(ctx context.Context, user *record.User) error {
	rows, err := sessionRows(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range rows {
		owed := tx.owes(checkOf(s))
		alive := tx.alive(s)
		userFacts(user).set(s)
		tx.noteOwing(s)
		switch {
		case !alive:
			err = tx.deleteSession(ctx, user, s)
		case owed && !tx.owes(checkOf(s)):
			err = tx.endSession(ctx, user, s)
		default:
			err = record.Sessions.Replace(ctx, tx, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// changeFacts stores a user of whom only facts have changed that no one is told of, and
// brings the sessions up to date.
func (tx *txn) changeFacts(ctx context.Context, user *record.User) error {
	if err := record.Users.Replace(ctx, tx, user); err != nil {
		return err
	}
	return tx.refreshSessions(ctx, user)
}

// endOwing ends the sessions of a user that owe a second factor.
func (tx *txn) endOwing(ctx context.Context, user *record.User) error {
	return tx.endSessionsIf(ctx, user, func(s *record.Session) bool { return tx.owes(checkOf(s)) })
}

// factorsOf returns the proofs of a session, that of its sign-in first.
func factorsOf(s *record.Session) []string {
	have := strings.Fields(s.Factors)
	if i := slices.Index(have, factorOAuth2); i > 0 && s.Identity != "" {
		have[0], have[i] = have[i], have[0]
	}
	return have
}

// dropFactors takes factors from the sessions of a user: those that drop selects,
// except the first factor of each. A session that owed a factor ends if it would owe none without them. kept is the id of a
// session that stays as it is.
func (tx *txn) dropFactors(ctx context.Context, user *record.User, kept string, drop func(s *record.Session, factor string) bool) error {
	rows, err := sessionRows(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range rows {
		have := factorsOf(s)
		if s.ID == kept || len(have) < 2 {
			continue
		}
		if !tx.alive(s) { // fewer factors may have longer lives: the session must not revive
			if err := tx.deleteSession(ctx, user, s); err != nil {
				return err
			}
			continue
		}
		left := append(have[:1:1], slices.DeleteFunc(slices.Clone(have[1:]), func(f string) bool { return drop(s, f) })...)
		if len(left) == len(have) {
			continue
		}
		owed := tx.owes(checkOf(s))
		s.Factors, s.Strong = strings.Join(left, " "), time.Time{}
		s.Assumed = strings.Join(slices.DeleteFunc(strings.Fields(s.Assumed), func(f string) bool { return !slices.Contains(left, f) }), " ")
		tx.noteOwing(s)
		if owed && !tx.owes(checkOf(s)) { // without them it would be a full one
			if err := tx.endSession(ctx, user, s); err != nil {
				return err
			}
			continue
		}
		if err := record.Sessions.Replace(ctx, tx, s); err != nil {
			return err
		}
	}
	return nil
}

// forgetFactor takes the proof of an authenticator or of passkeys that are gone from the session that has
// removed them. If the session would owe another factor then, it is only taken to have proven
// one.
func (tx *txn) forgetFactor(ctx context.Context, user *record.User, id string, factor Factor) error {
	s, err := record.Sessions.Find(ctx, tx, record.Sessions.Primary(), store.Text(id))
	if err != nil || s == nil || s.UserID != user.ID {
		return err
	}
	s.Strong = time.Time{}
	without := checkOf(s)
	without.Factors = withoutFactor(s.Factors, string(factor))
	switch {
	case !slices.Contains(strings.Fields(s.Factors), string(factor)):
	case tx.owes(without):
		s.Assumed = strings.TrimSpace(withoutFactor(s.Assumed, string(factor)) + " " + string(factor))
	default:
		s.Factors, s.Assumed = without.Factors, withoutFactor(s.Assumed, string(factor))
	}
	tx.noteOwing(s)
	return record.Sessions.Replace(ctx, tx, s)
}
