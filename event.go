package latchkey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Event says that something has happened. [Config.OnEvent] gets it after the
// transaction that did it has been committed. It holds no secret and no hash.
type Event struct {
	// Name is the documented name with ids in it: users.ID.create,
	// users.ID.update.email, users.ID.sessions.ID.delete. Of nobody is
	// limits.RULE.reached, once a window, when a rule of [DefaultLimits] that is
	// about messages has refused one: somebody floods an address, or sends at the
	// host's cost.
	Name   string
	Time   time.Time
	UserID string // whom it concerns; "" for nobody
	// ActorID is the user who did it; "" for the server, and for a guest.
	ActorID string
	Mode    string // user, guest or server
	Client  Client
	// Payload is what the name speaks of: a *User for users, a *Session for
	// sessions, a *Token without its secret for tokens, a LimitResult for limits,
	// a *MFAChallenge for challenges, a *User for update.mfa, nothing for delete.mfa;
	// as it was, for what is deleted. It is the receiver's own.
	Payload any
}

// Matches reports whether pattern selects the event: its name, with * in the
// place of any id, whole, without its last part, or down to the first id.
// users.*.sessions.*.create, users.*.sessions.* and users.* all select the
// creation of a session.
func (e Event) Matches(pattern string) bool {
	if e.UserID == "" {
		parts, want := strings.Split(e.Name, "."), strings.Split(pattern, ".")
		return len(parts) == len(want) && want[0] == parts[0] && want[2] == parts[2] && (want[1] == parts[1] || want[1] == "*")
	}
	// The id of the user may have periods in it.
	rest, found := strings.CutPrefix(e.Name, "users."+e.UserID)
	if !found {
		return false
	}
	wanted, found := strings.CutPrefix(pattern, "users.*")
	if !found {
		wanted, found = strings.CutPrefix(pattern, "users."+e.UserID)
	}
	name, want := strings.Split(rest, "."), strings.Split(wanted, ".")
	if !found || want[0] != "" || len(want) > 1 && len(want) < len(name)-1 || len(want) > len(name) {
		return false
	}
	for i, part := range want {
		id := i == 2 && len(name) == 4
		if part != name[i] && !(id && part == "*") {
			return false
		}
	}
	return true
}

// The audit log's names of what happened.
const (
	logUserCreate         = "user.create"
	logUserUpdate         = "user.update"
	logUserRefuse         = "user.refuse" // a wrong password for a change
	logUserDelete         = "user.delete"
	logSessionCreate      = "session.create"
	logSessionRefuse      = "session.refuse" // a sign-in that failed
	logSessionUpdate      = "session.update"
	logSessionDelete      = "session.delete"
	logVerificationUpdate = "verification.update"
	logVerificationCreate = "verification.create"
	logVerificationRefuse = "verification.refuse" // a wrong link or code
	logRecoveryCreate     = "recovery.create"
	logRecoveryUpdate     = "recovery.update"
	logRecoveryRefuse     = "recovery.refuse"
	logChallengeCreate    = "challenge.create"
	logChallengeUpdate    = "challenge.update"
	logChallengeRefuse    = "challenge.refuse" // a wrong answer
	logTokenCreate        = "tokens.create"
)

// become says that a guest has proven to be a user.
func (a *actor) become(user *record.User) {
	if a.mode == "guest" {
		a.id, a.mode = user.ID, "user"
	}
}

// txn is one run of a transaction: when, by whom, and what is to be told once
// it has been committed.
type txn struct {
	store.Tx
	engine  *Engine
	now     time.Time
	by      actor
	events  []Event
	notices []notice
}

// update runs fn in a transaction and, after the commit, tells the events and
// sends the notices that it gathered. fn may run again.
func (e *Engine) update(ctx context.Context, now time.Time, by actor, fn func(context.Context, *txn) error) error {
	var events []Event
	var notices []notice
	err := e.store.Update(ctx, func(ctx context.Context, s store.Tx) error {
		tx := &txn{Tx: s, engine: e, now: now, by: by}
		err := fn(ctx, tx)
		events, notices = tx.events, tx.notices
		return err
	})
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the caller may have gone meanwhile
	for _, event := range events {
		e.tell(ctx, event)
	}
	e.sendNotices(ctx, now, by, notices)
	return nil
}

// event notes an event of a user. name is what follows the user's id.
func (tx *txn) event(userID, name string, payload any) {
	if tx.engine.onEvent == nil {
		return
	}
	if user, ok := payload.(*User); ok {
		payload = user.clone() // the caller gets the other
	}
	tx.events = append(tx.events, Event{
		Name: "users." + userID + "." + name, Time: tx.now, UserID: userID,
		ActorID: tx.by.id, Mode: tx.by.mode, Client: tx.by.Client, Payload: payload,
	})
}

// row returns a log row about a user. It is kept under the user's key.
func (tx *txn) row(event, userID, userKey string) *record.Log {
	l := &record.Log{
		ID: newID(), UserKey: userKey, Created: tx.now, Event: event,
		Actor: tx.by.id, Mode: tx.by.mode, IP: tx.by.ip(), Agent: tx.by.UserAgent,
	}
	if userID != "" {
		l.Resource = "user/" + userID
	}
	return l
}

// log records a change of a user, in the transaction that makes it.
func (tx *txn) log(ctx context.Context, event string, user *record.User) error {
	return record.Logs.Insert(ctx, tx, tx.row(event, user.ID, user.Key))
}

// refuse records a refusal. Those of one kind, client address, identifier and
// minute are one row with a count, so that a flood stays small. Who there is
// nobody of is recorded under a digest of what was asked for.
func (tx *txn) refuse(ctx context.Context, event string, user *record.User, subject []byte, reason *Error) error {
	userID, userKey := "", hex.EncodeToString(subject)
	if user != nil {
		userID, userKey = user.ID, user.Key
	}
	l := tx.row(event, userID, userKey)
	l.Reason, l.Count = reason.Type, 1
	sum := sha256.Sum256(fmt.Append(nil, event, "\x00", userKey, "\x00", l.IP, "\x00", l.Actor, "\x00", l.Reason, "\x00",
		tx.now.Unix()/60))
	l.ID = hex.EncodeToString(sum[:16])
	have, err := record.Logs.Get(ctx, tx, record.Logs.Primary(), store.Text(l.ID))
	if errors.Is(err, store.ErrNotFound) {
		return record.Logs.Insert(ctx, tx, l)
	}
	if err != nil {
		return err
	}
	have.Count++
	return record.Logs.Replace(ctx, tx, have)
}

// Log is one line of the audit log. A line is written in the transaction of
// the change that it records.
type Log struct {
	ID string
	// Event is what happened: user.create, user.update, user.delete,
	// session.create, session.update, session.delete, verification.create,
	// verification.update, recovery.create, recovery.update, challenge.create,
	// challenge.update, tokens.create; or was refused: session.refuse, user.refuse,
	// verification.refuse, recovery.refuse, challenge.refuse.
	Event string
	Time  time.Time
	// Resource is what it happened to: user/ID.
	Resource string
	// UserID, UserName and UserEmail are of the user who did it; "" if that was
	// the server, a guest, or somebody else than the user whose log this is.
	UserID    string
	UserName  string
	UserEmail string
	Mode      string // who did it: user, guest or server
	IP        string // "" when it was not known
	// Device is what the user agent says, read when the log is listed; so is
	// the country.
	Device Device
	// Reason is the type of the error of a refusal, and Count how often it
	// happened in the same minute from the same address, to the same user by the
	// same one; "" and 0 for a change.
	Reason string
	Count  int
}

// LogList is a page of the log. Total is exact up to 5,000, and 5,000 for more.
type LogList struct {
	Total int
	Logs  []*Log
}

// logs returns a page of a user's log, newest first.
func (e *Engine) logs(ctx context.Context, r store.Reader, user *record.User, queries []Query) (*LogList, error) {
	type place struct{ ip, agent string }
	devices := make(map[place]Device)
	page, err := e.policy.page(queries)
	if err != nil {
		return nil, err
	}
	q := store.Query{Index: record.Logs.Index("user"), Equal: []store.Value{store.Text(user.Key)}, Limit: maxTotal}
	list := new(LogList)
	if list.Total, err = r.Count(ctx, q); err != nil {
		return nil, err
	}
	q.Descending, q.Limit, q.Offset = true, page.limit, page.offset
	rows, err := record.Logs.List(ctx, r, q)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		at := place{row.IP, row.Agent}
		device, found := devices[at]
		if !found {
			device = e.device(ctx, clientOf(row.IP, row.Agent))
			devices[at] = device
		}
		l := &Log{
			ID: row.ID, Event: row.Event, Time: row.Created, Resource: row.Resource, Mode: row.Mode, IP: row.IP,
			Reason: row.Reason, Count: int(row.Count), Device: device,
		}
		if row.Actor == user.ID {
			l.UserID, l.UserName, l.UserEmail = user.ID, user.Name, user.Email
		}
		list.Logs = append(list.Logs, l)
	}
	return list, nil
}
