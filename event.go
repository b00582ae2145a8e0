package latchkey

import (
	"strings"
	"time"
)

// Event tells that something has happened. [Config.OnEvent] gets it after the
// commit of the transaction that made it happen. An event holds no secret and no
// hash.
type Event struct {
	// Name is the documented name with ids in it: users.ID.create,
	// users.ID.update.email, users.ID.sessions.ID.delete. One event concerns no
	// user: limits.RULE.reached, once a window, after a rule of [DefaultLimits]
	// for messages has refused one: a client floods an address, or sends at the
	// host's cost.
	Name   string
	Time   time.Time
	UserID string // the user whom the event concerns; "" for limits
	// ActorID is the user who acted; "" for the server and for a guest.
	ActorID string
	Mode    string // user, guest or server
	Client  Client
	// Payload is the subject of the event: a *User for users and update.mfa, a
	// *Session for sessions, a *Token without its secret for tokens, a
	// *MFAChallenge for challenges, a LimitResult for limits, nil for delete.mfa.
	// After a deletion it is the last state. The receiver may keep and change it.
	Payload any
}

// Matches reports whether a pattern selects the event. A pattern is the name of
// an event with * in the place of any id; it may be whole, lack its last part, or
// end with the first id. users.*.sessions.*.create, users.*.sessions.* and
// users.* all select the creation of a session.
func (e Event) Matches(pattern string) bool {
	if e.UserID == "" {
		parts, want := strings.Split(e.Name, "."), strings.Split(pattern, ".")
		return len(parts) == len(want) && want[0] == parts[0] && want[2] == parts[2] && (want[1] == parts[1] || want[1] == "*")
	}
	// A user's id may contain periods.
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
		isID := i == 2 && len(name) == 4
		if part != name[i] && (!isID || part != "*") {
			return false
		}
	}
	return true
}
