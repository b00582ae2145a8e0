package latchkey

import (
	"strings"
	"time"
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
