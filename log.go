package latchkey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// The audit log's names of events.
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
	logTargetCreate       = "target.create"
	logTargetUpdate       = "target.update"
	logTargetDelete       = "target.delete"
	logUserImpersonate    = "user.impersonate"
	logTeamCreate         = "team.create"
	logTeamUpdate         = "team.update"
	logTeamDelete         = "team.delete"
	logMembershipCreate   = "membership.create"
	logMembershipUpdate   = "membership.update"
	logMembershipDelete   = "membership.delete"
	logMembershipRefuse   = "membership.refuse" // a wrong secret of an invitation
	logIdentityCreate     = "identity.create"
	logIdentityDelete     = "identity.delete"
	logPasskeyCreate      = "passkey.create"
	logPasskeyUpdate      = "passkey.update"
	logPasskeyDelete      = "passkey.delete"
	logPasskeyRefuse      = "passkey.refuse" // an enrolment that failed
	logEndAll             = "sessions.end"   // every session, link, code and JWT of everybody
)

// logOf returns a log row about a user.
func (tx *txn) logOf(event string, user *record.User) *record.Log {
	l := tx.logRow(event, user.ID, user.Key)
	// A user who has put another person's address on their account does not learn from the
	// log where the owner of the address is.
	l.Stranger = tx.by.mode == modeGuest && event != logUserCreate && (user.Email != "" && !user.EmailVerified || user.Phone != "" && !user.PhoneVerified)
	return l
}

// logRow returns a log row about a user, or nobody. The row is kept under the user's key.
func (tx *txn) logRow(event, userID, userKey string) *record.Log {
	l := &record.Log{
		ID: newID(), UserKey: userKey, Created: tx.now, Event: event,
		Actor: tx.by.id, Mode: string(tx.by.mode), IP: tx.client.ip(), Agent: tx.client.UserAgent,
	}
	if userID != "" {
		l.Resource = "user/" + userID
	}
	return l
}

// log records a change of a user, in the transaction that makes it.
func (tx *txn) log(ctx context.Context, event string, user *record.User) error {
	return record.Logs.Insert(ctx, tx, tx.logOf(event, user))
}

// refused is a refusal that is about to be recorded.
type refused struct {
	event  string       // the audit log's name
	user   *record.User // nil if the identifier belongs to no user
	reason *Error
}

// refuse records a refusal and returns it as the error that commits. Refusals of
// one kind, client address, user and minute share one row with a count, so that a flood
// stays small. Refusals about identifiers without a user share one row of the client's
// network: the rows grow with networks and minutes, not with invented identifiers.
func (tx *txn) refuse(ctx context.Context, r refused) error {
	var l *record.Log
	if r.user != nil {
		l = tx.logOf(r.event, r.user)
	} else {
		l = tx.logRow(r.event, "", hex.EncodeToString(tx.ring.Digest("nobody", tx.client.network())))
		l.IP = tx.client.network()
	}
	l.Reason, l.Count = r.reason.Type, 1
	sum := sha256.Sum256(fmt.Append(nil, r.event, "\x00", l.UserKey, "\x00", l.IP, "\x00", l.Actor, "\x00", l.Reason, "\x00",
		tx.now.Unix()/60))
	l.ID = hex.EncodeToString(sum[:16])
	have, err := record.Logs.Find(ctx, tx, record.Logs.Primary(), store.Text(l.ID))
	switch {
	case err != nil:
		return err
	case have == nil:
		err = record.Logs.Insert(ctx, tx, l)
	default:
		have.Count++
		err = record.Logs.Replace(ctx, tx, have)
	}
	if err != nil {
		return err
	}
	return &refusal{r.reason}
}

// Log is one line of the audit log. A line is written in the transaction of the
// change that it records. Event and Reason are names for programs. A page has its own
// words for them: docs/log.md.
type Log struct {
	ID string `json:"$id"`
	// Event is the change: user.create, user.update, user.delete, session.create,
	// session.update, session.delete, verification.create, verification.update,
	// recovery.create, recovery.update, challenge.create, challenge.update,
	// tokens.create, target.create, target.update, target.delete, user.impersonate,
	// membership.create, membership.update, membership.delete, identity.create,
	// identity.delete, passkey.create, passkey.update, passkey.delete, team.create, team.update, team.delete, sessions.end ([Engine.EndAll]);
	// or the refusal: session.refuse, user.refuse,
	// verification.refuse, recovery.refuse, challenge.refuse, membership.refuse, passkey.refuse.
	Event string    `json:"event"`
	Time  time.Time `json:"time"`
	// Resource is the changed thing: user/ID, or team/ID for memberships.
	Resource string `json:"resource"`
	// UserID, UserName and UserEmail are those of the acting user; "" if the server or
	// a guest acted. Of a user who acted for the log's own only the id is known, and only
	// the server sees it.
	UserID    string `json:"userId"`
	UserName  string `json:"userName"`
	UserEmail string `json:"userEmail"`
	Mode      string `json:"mode"` // of the actor: user, guest, impersonator, server, or system for maintenance
	IP        string `json:"ip"`   // "" when it was not known
	// Device is read from the user agent, and the country from the address, when
	// the log is listed.
	Device Device `json:"device"`
	// Reason is the type of the error of a refusal, and Count the number of equal
	// refusals in the same minute, from the same address, to the same user by the
	// same actor; "" and 0 for a change.
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// LogList is a page of the log. Total is exact up to 5,000, and 5,000 beyond; 0 with
// [query.NoTotal].
type LogList struct {
	Total int    `json:"total"`
	Logs  []*Log `json:"logs"`
	Pages
}

// logListing lists the log of a user.
var logListing = &listing[record.Log]{
	name: "logs", rows: record.Logs, plain: true,
	usual: order{attribute: attribute{column: "created", index: record.Logs.Index("user")}, descending: true},
}

// logs returns a page of a user's log, newest first, as the server sees it or the user.
func (c *call) logs(ctx context.Context, user *record.User, queries []Query, own bool) (*LogList, error) {
	return c.logsUnder(ctx, user.Key, queries, func(row *record.Log) {
		if own {
			hideStrangers(row, user.ID)
		}
	}, func(row *record.Log, l *Log) error {
		switch {
		case row.Actor == user.ID:
			l.UserID, l.UserName, l.UserEmail = user.ID, user.Name, user.Email
		case row.Mode == string(modeImpersonator):
			l.UserID = row.Actor
		}
		return nil
	})
}

// logsUnder returns a page of the log that is kept under a key, newest first. hide removes from a
// line the parts that the caller may not see, and name adds the acting user.
func (c *call) logsUnder(ctx context.Context, key string, queries []Query, hide func(*record.Log), name func(*record.Log, *Log) error) (*LogList, error) {
	r, err := logListing.read(&c.policy, queries)
	if err != nil {
		return nil, err
	}
	r.scope, r.within = key, []store.Value{store.Text(key)}
	at, err := logListing.cursor(c, r, func(id string) (*record.Log, error) {
		row, err := logListing.byID(ctx, c)(id)
		if err != nil || row == nil || row.UserKey != key {
			return nil, err
		}
		return row, nil
	})
	if err != nil {
		return nil, err
	}
	found, err := logListing.walkIndex(ctx, c, r, record.Logs.Index("user"), at)
	if err != nil {
		return nil, err
	}
	type place struct{ ip, agent string } // of a client
	devices := make(map[place]Device)
	list := &LogList{Total: found.total, Logs: make([]*Log, 0, len(found.rows)), Pages: found.pages}
	for _, row := range found.rows {
		hide(row)
		at := place{row.IP, row.Agent}
		device, known := devices[at]
		if !known {
			device = c.Engine.device(ctx, clientOf(row.IP, row.Agent))
			devices[at] = device
		}
		l := &Log{
			ID: row.ID, Event: row.Event, Time: row.Created, Resource: row.Resource, Mode: row.Mode, IP: row.IP,
			Reason: row.Reason, Count: int(row.Count), Device: device,
		}
		if err := name(row, l); err != nil {
			return nil, err
		}
		list.Logs = append(list.Logs, l)
	}
	return list, nil
}

// hideStrangers removes from a line of a user's log the ids and addresses of other people: of the
// host's staff, of impersonators, of users who have changed a membership, and of guests at an
// address that the user had not proven.
func hideStrangers(l *record.Log, userID string) {
	hideStaff(l)
	if l.Actor != "" && l.Actor != userID {
		l.Actor, l.IP, l.Agent = "", "", ""
	}
	if l.Stranger {
		l.IP, l.Agent = "", ""
	}
}

// hideStaff removes from a line the ids and addresses of the host's staff and of impersonators.
func hideStaff(l *record.Log) {
	if l.Mode == string(modeServer) || l.Mode == string(modeImpersonator) {
		l.Actor = ""
		l.IP, l.Agent = "", ""
	}
}
