package latchkey

import (
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
)

// Event tells that something has happened. [Config].OnEvent gets it after the
// commit of the transaction that made it happen. An event holds no secret and no
// hash.
type Event struct {
	// ID stays the same when the event is delivered again.
	ID string `json:"id"`
	// Try counts the deliveries to a [Receiver], from 1. No two of them have the same number. One
	// may be missing: the process has died before it. It is 0 for OnEvent.
	Try int `json:"try"`
	// Name is one of these, with ids in the place of ID:
	//
	//   - users.ID.create, users.ID.delete
	//   - users.ID.update.email, and so for impersonator, labels, mfa, name, password, phone,
	//     prefs, status and verification; mfa is any change of second factors
	//   - users.ID.delete.mfa: the authenticator was removed
	//   - users.ID.sessions.ID.create, update and delete
	//   - users.ID.tokens.ID.create: a token of [Users.CreateToken], or one by which a sign-in
	//     by a provider is handed over
	//   - users.ID.verification.ID.create and update: a link or code that verifies was
	//     made, and used
	//   - users.ID.recovery.ID.create and update: a link that recovers was made (only if
	//     the policy discloses accounts), and used; update also for a link that restores an
	//     address
	//   - users.ID.changes.ID.create and update: a link or code that changes an address was
	//     made, and used
	//   - users.ID.challenges.ID.create
	//   - users.ID.targets.ID.create, update and delete
	//   - users.ID.identities.ID.create and delete
	//   - users.ID.passkeys.ID.create, update and delete; update also if there may be a copy of the passkey
	//     (Passkey.ClonedAt), and if it has come to be on several devices
	//   - users.ID.impersonate: another user acts for this one, once an hour
	//   - teams.ID.create, update, update.prefs and delete
	//   - teams.ID.memberships.ID.create, update and delete, also of an open invitation, and
	//     update.status for one that was accepted. The memberships of a team that is deleted
	//     have no events, nor do invitations that end because their inviter owns the team no
	//     more, or because the invited user joins, leaves, has another address or is deleted.
	//   - sessions.all.delete: [Engine.EndAll] has ended everything
	//   - limits.RULE.reached: a rule of [DefaultLimits] for messages has refused one,
	//     because a client floods an address, or sends at the host's cost. It comes once
	//     a window, and concerns no user.
	//   - integrity.VALUE.failed: a sealed value of the user did not open, because it was
	//     changed or moved in the store without the engine, or is damaged. VALUE is password,
	//     history (of passwords), totp, recoverycode, challenge (its code) or provider (a token
	//     of an identity). The operation has failed, and so will later ones that need the
	//     value; only a password's history counts as empty. It comes at most once a minute for
	//     a value, and the audit log has no line of it, because the transaction has rolled
	//     back. [Config].Logger gets every case.
	Name   string    `json:"name"`
	Time   time.Time `json:"time"`
	UserID string    `json:"userId"` // the user whom the event concerns; "" for limits and sessions.all, and for teams
	TeamID string    `json:"teamId"` // the team that the event concerns; "" for users
	// ActorID is the user who acted; "" for the server and for a guest.
	ActorID string `json:"actorId"`
	// Mode is user, guest, server, impersonator for a user who acts for another, or system
	// for the engine's own maintenance and for integrity.
	Mode   string `json:"mode"`
	Client Client `json:"client"`
	// Payload is the subject of the event: a *User for users and update.mfa, a *Session for
	// sessions, a *Token without its secret for tokens, a *MFAChallenge for challenges, a
	// *Target for targets, an *Identity for identities, a *Passkey for passkeys, a *Team for teams, a *Membership for
	// memberships, a LimitResult for limits, nil for delete.mfa, impersonate, integrity and
	// sessions.all. After a deletion it is the last state. The receiver may keep and change it.
	Payload any `json:"payload,omitzero"`
}

// Matches reports whether a pattern selects the event. A pattern is the name of
// an event with * in the place of any id, rule or value; it may be whole, lack its last part, or
// end with the first or the second id. users.*.sessions.*.create, users.*.sessions.* and
// users.* all select the creation of a session, teams.* everything about teams, and limits.* every
// rule that was reached. A pattern of another form selects no event.
func (e Event) Matches(pattern string) bool {
	kind, id := "users.", e.UserID
	if e.TeamID != "" {
		kind, id = "teams.", e.TeamID
	}
	if !strings.HasPrefix(e.Name, kind) {
		parts, want := strings.Split(e.Name, "."), strings.Split(pattern, ".")
		return len(parts) == 3 && (len(want) == 2 || len(want) == 3 && want[2] == parts[2]) && want[0] == parts[0] && (want[1] == parts[1] || want[1] == "*")
	}
	// An id may contain periods.
	rest, found := strings.CutPrefix(e.Name, kind+id)
	if !found {
		return false
	}
	wanted, found := strings.CutPrefix(pattern, kind+"*")
	if !found {
		wanted, found = strings.CutPrefix(pattern, kind+id)
	}
	name, want := eventParts(rest), eventParts(wanted)
	if !found || want[0] != "" || len(want) > 1 && len(want) < min(len(name)-1, 3) || len(want) > len(name) {
		return false
	}
	for i, part := range want {
		isID := i == 2 && len(name) >= 4
		if part != name[i] && (!isID || part != "*") {
			return false
		}
	}
	return true
}

// Pattern returns the name of the event with * in the place of each id, rule and value, such as
// users.*.sessions.*.create, limits.*.reached or integrity.*.failed. It selects the event, and
// every event of the same kind. sessions.all.delete is its own pattern.
func (e Event) Pattern() string {
	kind, id := "users.", e.UserID
	if e.TeamID != "" {
		kind, id = "teams.", e.TeamID
	}
	rest, found := strings.CutPrefix(e.Name, kind+id+".")
	if !found {
		parts := strings.Split(e.Name, ".")
		if len(parts) == 3 && (parts[0] == "limits" || parts[0] == "integrity") {
			parts[1] = "*"
		}
		return strings.Join(parts, ".")
	}
	name := eventParts("." + rest)
	if len(name) >= 4 {
		name[2] = "*"
	}
	return kind + "*" + strings.Join(name, ".")
}

// eventParts splits the part of a name after the first id. The id of a target may contain
// periods.
func eventParts(rest string) []string {
	parts := strings.Split(rest, ".")
	if last := len(parts) - 1; last > 3 && parts[1] != "memberships" {
		parts = []string{parts[0], parts[1], strings.Join(parts[2:last], "."), parts[last]}
	}
	return parts
}

// eventNames are the patterns of all events, as in Event.Name.
var eventNames = []string{
	"users.*.create", "users.*.delete", "users.*.delete.mfa", "users.*.impersonate",
	"users.*.update.email", "users.*.update.impersonator", "users.*.update.labels", "users.*.update.mfa", "users.*.update.name",
	"users.*.update.password", "users.*.update.phone", "users.*.update.prefs", "users.*.update.status", "users.*.update.verification",
	"users.*.sessions.*.create", "users.*.sessions.*.update", "users.*.sessions.*.delete",
	"users.*.tokens.*.create",
	"users.*.verification.*.create", "users.*.verification.*.update",
	"users.*.recovery.*.create", "users.*.recovery.*.update",
	"users.*.changes.*.create", "users.*.changes.*.update",
	"users.*.challenges.*.create",
	"users.*.targets.*.create", "users.*.targets.*.update", "users.*.targets.*.delete",
	"users.*.identities.*.create", "users.*.identities.*.delete",
	"users.*.passkeys.*.create", "users.*.passkeys.*.update", "users.*.passkeys.*.delete",
	"teams.*.create", "teams.*.update", "teams.*.update.prefs", "teams.*.delete",
	"teams.*.memberships.*.create", "teams.*.memberships.*.update", "teams.*.memberships.*.update.status", "teams.*.memberships.*.delete",
	"sessions.all.delete", "limits.*.reached", "integrity.*.failed",
}

// selectsAny reports whether there is an event that a pattern selects. Its first id may contain
// periods, so that every split is tried.
func selectsAny(pattern string) bool {
	parts := strings.Split(pattern, ".")
	for n := 2; n <= len(parts); n++ {
		first, second := strings.Join(parts[1:n], "."), "*"
		if first != "*" && canon.ID(first) != nil {
			continue
		}
		if rest := eventParts("." + strings.Join(parts[n:], ".")); len(rest) > 2 {
			second = rest[2]
		}
		for _, name := range eventNames {
			around := strings.SplitN(name, "*", 3)
			e := Event{Name: strings.Join(around, first)}
			if len(around) == 3 {
				e.Name = around[0] + first + around[1] + second + around[2]
			}
			switch {
			case strings.HasPrefix(name, "users."):
				e.UserID = first
			case strings.HasPrefix(name, "teams."):
				e.TeamID = first
			}
			if e.Matches(pattern) {
				return true
			}
		}
	}
	return false
}
