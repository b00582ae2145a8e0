package latchkey

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/store"
)

// Limits of teams.
const (
	maxTeams     = 1_000 // of a user
	maxTeamRoles = 100   // of a membership
	maxUserRoles = 5_000 // of a user in all teams: they are read with each request
)

// TeamOwner is the one role in a team that the engine knows: an owner changes the team and
// its members. All other roles are names of the host's.
const TeamOwner = "owner"

// Team is a group of users.
type Team struct {
	ID        string          `json:"$id"`
	CreatedAt time.Time       `json:"$createdAt"`
	UpdatedAt time.Time       `json:"$updatedAt"` // of the name and the preferences
	Name      string          `json:"name"`
	Total     int             `json:"total"` // number of members
	Prefs     json.RawMessage `json:"prefs"` // an object, shared by the members
}

// Membership is the place of a user in a team, or an open invitation to it.
type Membership struct {
	ID        string    `json:"$id"`
	CreatedAt time.Time `json:"$createdAt"`
	UpdatedAt time.Time `json:"$updatedAt"`
	TeamID    string    `json:"teamId"`
	TeamName  string    `json:"teamName"`
	Roles     []string  `json:"roles"` // in the team
	Invited   time.Time `json:"invited"`
	Joined    time.Time `json:"joined,omitzero"` // zero for an invitation
	Confirm   bool      `json:"confirm"`         // the user is a member; false for an invitation, which gives no roles yet
	Expire    time.Time `json:"expire,omitzero"` // of an invitation; zero for a member
	// UserID is the member. For an invitation to an address it is the id that the person has if
	// a new user is made at its acceptance. It does not tell whether the person has an account,
	// and another user may take it meanwhile: a host keeps nothing under it before Confirm.
	// Policy.Members may hide the fields that follow from other users. The server sees all of
	// them. Those of an invitation are the words of the inviter.
	UserID    string `json:"userId"`
	UserName  string `json:"userName"`
	UserEmail string `json:"userEmail"`
	UserPhone string `json:"userPhone"`
	// MFA says that the member has switched multi-factor authentication on, and has a second
	// factor.
	MFA bool `json:"mfa"`
	// UserAccessedAt is when the member was last seen. Only the server gets it.
	UserAccessedAt time.Time `json:"userAccessedAt,omitzero"`
}

// showTeam returns a team as it is shown.
func showTeam(t *record.Team) *Team {
	return &Team{
		ID: t.ID, CreatedAt: t.Created, UpdatedAt: t.Updated, Name: t.Name, Total: int(t.Total), Prefs: json.RawMessage(t.Prefs),
	}
}

// showMembership returns a membership as the server sees it.
func showMembership(m *record.Membership, team *record.Team, user *record.User) (*Membership, error) {
	roles, err := rolesIn(m)
	return &Membership{
		ID: m.ID, CreatedAt: m.Created, UpdatedAt: m.Updated, TeamID: m.TeamID, TeamName: team.Name, Roles: roles,
		Invited: m.Invited, Joined: m.Joined, Confirm: true,
		UserID: user.ID, UserName: user.Name, UserEmail: user.Email, UserPhone: user.Phone,
		MFA:            user.MFA && (user.TOTP || user.Passkeys != "" || user.EmailVerified || user.PhoneVerified),
		UserAccessedAt: user.Accessed,
	}, err
}

// showInvitation returns an invitation as it is shown. Users see the person as the inviter
// named them, and nothing that the engine knows of them. The secret is never shown.
func showInvitation(m *record.Membership, team *record.Team, server bool) (*Membership, error) {
	roles, err := rolesIn(m)
	shown := &Membership{
		ID: m.ID, CreatedAt: m.Created, UpdatedAt: m.Updated, TeamID: m.TeamID, TeamName: team.Name, Roles: roles,
		Invited: m.Invited, Expire: m.Expire, UserID: m.Subject, UserName: m.Name,
	}
	if server || m.Invitee == "" {
		if contactTo(m.Address) == byEmail {
			shown.UserEmail = m.Address
		} else {
			shown.UserPhone = m.Address
		}
	}
	return shown, err
}

// rolesIn returns the roles of a membership.
func rolesIn(m *record.Membership) (roles []string, err error) {
	err = json.Unmarshal([]byte(m.Roles), &roles)
	return roles, err
}

// errTooManyRoles says why roles are refused.
var errTooManyRoles = reason.New(reason.TooMany, "more than 100")

// checkTeamRoles returns roles in a team, each once.
func checkTeamRoles(roles []string) ([]string, error) {
	if len(roles) > maxTeamRoles {
		return nil, invalid("roles", errTooManyRoles)
	}
	kept := make([]string, 0, len(roles))
	for _, role := range roles {
		if err := canon.TeamRole(role); err != nil {
			return nil, invalid("roles", err)
		}
		if !slices.Contains(kept, role) {
			kept = append(kept, role)
		}
	}
	return kept, nil
}

// setRoles gives a membership its roles. An invitation is no owner's yet.
func setRoles(m *record.Membership, roles []string) error {
	text, err := json.Marshal(roles)
	m.Roles, m.Owner = string(text), m.Confirm && slices.Contains(roles, TeamOwner)
	return err
}

// checkMembershipID refuses a text that cannot be the id of a membership.
func checkMembershipID(id string) error {
	if checkUserID(id) != nil {
		return invalid("membershipId", canon.ErrID)
	}
	return nil
}

// findTeam returns the row of a team, nil if absent.
func findTeam(ctx context.Context, r store.Reader, id string) (*record.Team, error) {
	return record.Teams.Find(ctx, r, record.Teams.Primary(), store.Text(id))
}

// getTeam returns the row of a team, or ErrTeamNotFound.
func getTeam(ctx context.Context, r store.Reader, id string) (*record.Team, error) {
	team, err := findTeam(ctx, r, id)
	if team == nil && err == nil {
		err = ErrTeamNotFound
	}
	return team, err
}

// findMember returns the membership of a user in a team with the team, nil if absent.
func findMember(ctx context.Context, r store.Reader, teamID string, user *record.User) (*record.Membership, *record.Team, error) {
	var m record.Membership
	team, err := record.MembersOfTeams.Get(ctx, r, &m, store.Text(teamID), store.Text(user.ID))
	if errors.Is(err, store.ErrNotFound) || err == nil && m.UserKey != user.Key { // the next owner of the id
		return nil, nil, nil
	}
	return &m, team, err
}

// membershipsOf returns the memberships of a user, oldest first.
func membershipsOf(ctx context.Context, r store.Reader, user *record.User) ([]*record.Membership, error) {
	if user.Memberships == 0 {
		return nil, nil
	}
	rows, err := record.Memberships.List(ctx, r, record.ListMemberships(user.ID))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(m *record.Membership) bool { return m.UserKey != user.Key }), nil
}

// teamTexts is the search text of a team.
func teamTexts(t *record.Team) []string { return []string{t.ID, t.Name} }

// insertTeam stores a new team.
func (tx *txn) insertTeam(ctx context.Context, team *record.Team) error {
	taken, err := tx.has(ctx, record.Teams.Primary(), team.ID)
	if err == nil && !taken {
		taken, err = tx.isDeleted(ctx, "team", team.ID)
	}
	switch {
	case err != nil:
		return err
	case taken:
		return ErrTeamAlreadyExists
	}
	if err := record.Teams.Insert(ctx, tx, team); err != nil {
		return err
	}
	if err := words.Set(ctx, tx, "teams", team.ID, teamTexts(team)...); err != nil {
		return err
	}
	tx.teamEvent(team.ID, "create", showTeam(team))
	return tx.logTeam(ctx, logTeamCreate, team, nil)
}

// logTeam records a change of a team in the log that is kept under the team's key, and a
// change of a member also in the log of theirs.
func (tx *txn) logTeam(ctx context.Context, event string, team *record.Team, member *record.User) error {
	keys := []string{team.Key}
	if member != nil {
		keys = append(keys, member.Key)
	}
	for _, key := range keys {
		l := tx.logRow(event, "", key)
		l.Resource = "team/" + team.ID
		if err := record.Logs.Insert(ctx, tx, l); err != nil {
			return err
		}
	}
	return nil
}

// endTeam deletes a team with its memberships.
func (tx *txn) endTeam(ctx context.Context, team *record.Team) error {
	q := store.Query{Index: record.Memberships.Index("team"), Equal: []store.Value{store.Text(team.ID)}, Limit: batch}
	for members, err := range record.Memberships.Pages(ctx, tx, q) {
		if err != nil {
			return err
		}
		for _, m := range members {
			if err := record.Memberships.Delete(ctx, tx, store.Text(m.ID)); err != nil {
				return err
			}
			if !m.Confirm {
				continue
			}
			user, err := getUser(ctx, tx, m.UserID)
			if err != nil {
				return err
			}
			user.Memberships--
			if err := record.Users.Replace(ctx, tx, user); err != nil {
				return err
			}
			l := tx.logRow(logMembershipDelete, "", user.Key)
			l.Resource = "team/" + team.ID
			if err := record.Logs.Insert(ctx, tx, l); err != nil {
				return err
			}
		}
	}
	if err := words.Set(ctx, tx, "teams", team.ID); err != nil {
		return err
	}
	if err := record.Teams.Delete(ctx, tx, store.Text(team.ID)); err != nil {
		return err
	}
	if err := tx.keepDeleted(ctx, "team", team.ID); err != nil {
		return err
	}
	team.Total = 0
	tx.teamEvent(team.ID, "delete", showTeam(team))
	return tx.logTeam(ctx, logTeamDelete, team, nil)
}

// errTooManyTeams says why a membership is refused.
var errTooManyTeams = reason.New(reason.TooMany, "the user is a member of 1,000 teams")

// errTeamFull says why a membership is refused.
var errTeamFull = reason.New(reason.TooMany, "the team has as many members as the policy allows")

// join makes a user a member of a team. An open invitation to them, or to the address at unless
// that is "", becomes the membership.
func (tx *txn) join(ctx context.Context, team *record.Team, user *record.User, at string, roles []string) (*Membership, error) {
	open, err := invitationsFor(ctx, tx, user, team.ID)
	if err != nil {
		return nil, err
	}
	if at != "" {
		m, err := invitationTo(ctx, tx, at, team.ID, "")
		if err != nil {
			return nil, err
		}
		if m != nil {
			open = append(open, m)
		}
	}
	m := &record.Membership{ID: newID(), TeamID: team.ID, Created: tx.now, Invited: tx.now}
	if len(open) > 0 {
		m = open[len(open)-1]
	}
	if err := tx.admit(ctx, team, user, m, roles); err != nil {
		return nil, err
	}
	return tx.changedMembership(ctx, team, user, m, logMembershipCreate)
}

// errTooManyUserRoles says why a membership is refused.
var errTooManyUserRoles = reason.New(reason.TooMany, "the user would have more than %d roles in all teams", maxUserRoles)

// roomForRoles refuses more roles to a user than are read with each request, counted without the
// membership that they are for.
func (tx *txn) roomForRoles(ctx context.Context, user *record.User, roles int, without string) error {
	if (user.Memberships+1)*maxTeamRoles <= maxUserRoles { // even if each membership has as many as it may
		return nil
	}
	members, err := membershipsOf(ctx, tx, user)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.ID == without {
			continue
		}
		in, err := rolesIn(m)
		if err != nil {
			return err
		}
		roles += len(in)
	}
	if roles > maxUserRoles {
		return invalid("roles", errTooManyUserRoles)
	}
	return nil
}

// admit gives a user a place in a team: a new row, or that of an invitation. Other invitations
// of the user to the team end.
func (tx *txn) admit(ctx context.Context, team *record.Team, user *record.User, m *record.Membership, roles []string) error {
	have, _, err := findMember(ctx, tx, team.ID, user)
	most := int64(tx.policy.Members.Limit)
	switch {
	case err != nil:
		return err
	case have != nil:
		return ErrMembershipAlreadyConfirmed
	case user.Memberships >= maxTeams:
		return invalid("userId", errTooManyTeams)
	case most > 0 && team.Total >= most:
		return invalid("teamId", errTeamFull)
	}
	if err := tx.roomForRoles(ctx, user, len(roles), ""); err != nil {
		return err
	}
	if m.Address != "" {
		if err := record.Memberships.Delete(ctx, tx, store.Text(m.ID)); err != nil {
			return err
		}
	}
	if err := tx.endInvitations(ctx, user, team.ID); err != nil {
		return err
	}
	closeInvitation(m, user, tx.now)
	if err := setRoles(m, roles); err != nil {
		return err
	}
	if err := record.Memberships.Insert(ctx, tx, m); err != nil {
		return err
	}
	return tx.countMember(ctx, team, user, +1)
}

// countMember counts a member who joins or leaves, in the team and in the user.
func (tx *txn) countMember(ctx context.Context, team *record.Team, user *record.User, by int64) error {
	team.Total, user.Memberships = team.Total+by, user.Memberships+by
	if err := record.Teams.Replace(ctx, tx, team); err != nil {
		return err
	}
	return record.Users.Replace(ctx, tx, user)
}

// changedMembership follows a change of a membership: the event, whose last part is that of
// the log's name, and the log.
func (tx *txn) changedMembership(ctx context.Context, team *record.Team, user *record.User, m *record.Membership, event string) (*Membership, error) {
	return tx.toldMembership(ctx, team, user, m, event, strings.TrimPrefix(event, "membership."))
}

// toldMembership is changedMembership for an event of another name. The user is nil for an
// invitation.
func (tx *txn) toldMembership(ctx context.Context, team *record.Team, user *record.User, m *record.Membership, event, name string) (shown *Membership, err error) {
	if m.Confirm {
		shown, err = showMembership(m, team, user)
	} else {
		shown, err = showInvitation(m, team, true)
	}
	if err != nil {
		return nil, err
	}
	told := *shown
	told.Roles = slices.Clone(shown.Roles)
	tx.teamEvent(team.ID, "memberships."+m.ID+"."+name, &told)
	return shown, tx.logTeam(ctx, event, team, user)
}

// endInvitation ends an open invitation.
func (tx *txn) endInvitation(ctx context.Context, team *record.Team, m *record.Membership) error {
	if err := record.Memberships.Delete(ctx, tx, store.Text(m.ID)); err != nil {
		return err
	}
	_, err := tx.changedMembership(ctx, team, nil, m, logMembershipDelete)
	return err
}

// leave ends a membership. The caller has checked that the team may lose this member. If it was
// the last owner, the ownership is handed over. If it was the last member, and an owner, then
// ends says whether the team ends.
func (tx *txn) leave(ctx context.Context, team *record.Team, user *record.User, m *record.Membership, ends bool) error {
	if err := record.Memberships.Delete(ctx, tx, store.Text(m.ID)); err != nil {
		return err
	}
	if err := tx.endClaimedInvitations(ctx, user, team.ID); err != nil {
		return err
	}
	if m.Owner {
		if err := tx.endInvitationsBy(ctx, team.ID, user.Key); err != nil {
			return err
		}
	}
	if err := tx.countMember(ctx, team, user, -1); err != nil {
		return err
	}
	if _, err := tx.changedMembership(ctx, team, user, m, logMembershipDelete); err != nil {
		return err
	}
	switch {
	case !m.Owner:
		return nil
	case team.Total == 0 && ends:
		return tx.endTeam(ctx, team)
	}
	_, err := tx.handOver(ctx, team, m, true)
	return err
}

// leaveTeams ends the memberships of a user who is deleted, and the invitations to them.
func (tx *txn) leaveTeams(ctx context.Context, user *record.User) error {
	if err := tx.endInvitations(ctx, user, ""); err != nil {
		return err
	}
	members, err := membershipsOf(ctx, tx, user)
	if err != nil {
		return err
	}
	for _, m := range members {
		team, err := getTeam(ctx, tx, m.TeamID)
		if err != nil {
			return err
		}
		if err := tx.leave(ctx, team, user, m, true); err != nil {
			return err
		}
	}
	return nil
}

// handOverTeams hands over the teams of a user who is blocked and is their last owner. The
// user stays an owner.
func (tx *txn) handOverTeams(ctx context.Context, user *record.User) error {
	members, err := membershipsOf(ctx, tx, user)
	if err != nil {
		return err
	}
	for _, m := range members {
		if !m.Owner {
			continue
		}
		team, err := getTeam(ctx, tx, m.TeamID)
		if err != nil {
			return err
		}
		if _, err := tx.handOver(ctx, team, m, false); err != nil {
			return err
		}
	}
	return nil
}

// handOver makes the longest-standing member whose user is not blocked an owner, if a team has
// no owner besides the membership goes. If all others are blocked, and the membership ends or
// loses its role, a blocked one is the owner: the team has one again once the block is lifted. It
// reports whether the team has an owner who is not blocked then.
func (tx *txn) handOver(ctx context.Context, team *record.Team, goes *record.Membership, forGood bool) (bool, error) {
	owner, _, err := tx.firstMember(ctx, team, true, goes, false)
	if owner != nil || err != nil {
		return owner != nil, err
	}
	heir, user, err := tx.firstMember(ctx, team, false, goes, false)
	if err != nil {
		return false, err
	}
	if heir == nil && forGood {
		if owner, _, err = tx.firstMember(ctx, team, true, goes, true); owner != nil || err != nil {
			return false, err
		}
		if heir, user, err = tx.firstMember(ctx, team, false, goes, true); err != nil {
			return false, err
		}
	}
	if heir == nil {
		return false, nil
	}
	roles, err := rolesIn(heir)
	if err != nil {
		return false, err
	}
	if len(roles) == maxTeamRoles { // the last one gives way
		roles = roles[:maxTeamRoles-1]
	}
	if err := setRoles(heir, append(roles, TeamOwner)); err != nil {
		return false, err
	}
	heir.Updated = tx.now
	if err := record.Memberships.Replace(ctx, tx, heir); err != nil {
		return false, err
	}
	_, err = tx.changedMembership(ctx, team, user, heir, logMembershipUpdate)
	return !user.Blocked, err
}

// firstMember returns the longest-standing member of a team, among its owners or among the
// others, except the membership goes; nil if absent. blocked lets blocked users count.
func (tx *txn) firstMember(ctx context.Context, team *record.Team, owner bool, goes *record.Membership, blocked bool) (*record.Membership, *record.User, error) {
	q := store.Query{
		Index: record.Memberships.Index("owner"), Equal: []store.Value{store.Text(team.ID), store.Bool(owner)}, Limit: 10,
		From: anyTime, // without the invitations
	}
	for members, err := range record.Memberships.Pages(ctx, tx, q) {
		if err != nil {
			return nil, nil, err
		}
		for _, m := range members {
			if m.ID == goes.ID {
				continue
			}
			user, err := getUser(ctx, tx, m.UserID)
			if err != nil {
				return nil, nil, err
			}
			if blocked || !user.Blocked {
				return m, user, nil
			}
		}
	}
	return nil, nil, nil
}
