package latchkey

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// NewMembership is the input for a membership. The member is named by UserID, or else by Email,
// or else by Phone.
type NewMembership struct {
	UserID string
	Email  string
	Phone  string
	Name   string // of the user that the call makes; at most 128 characters; "" means the address
	// Roles are at most 100 names in the form of ids, of at most 81 characters.
	Roles []string
}

// errNobody says why a membership is refused.
var errNobody = errors.New("none of userId, email and phone is given")

// CreateMembership makes a user a member of a team. Only the server may add members: a user gets
// [ErrAuthMethodUnsupported]. If no user has the address, one is made, without a password and
// not verified. If the fields name different users, it is [ErrUserAlreadyExists].
//
// Errors:
//   - [ErrArgumentInvalid]: also for a user with 1,000 teams.
//   - [ErrUserNotFound]
//   - [ErrUserAlreadyExists]
//   - [ErrMembershipAlreadyConfirmed]
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address of a new user.
func (t *Teams) CreateMembership(ctx context.Context, teamID string, n NewMembership) (_ *Membership, err error) {
	defer publicError("create membership", &err)
	roles, refused := checkTeamRoles(n.Roles)
	if err := n.check(); err != nil {
		refused = err
	}
	var notAdmitted error
	if refused == nil && t != nil && t.server != nil && t.server.engine != nil {
		notAdmitted = t.server.engine.admitEmail(ctx, n.Email)
	}
	return teamsOwn(ctx, t, teamID, refused, func(ctx context.Context, tx *txn, in *inTeam) (*Membership, error) {
		if in.user != nil {
			return nil, ErrAuthMethodUnsupported
		}
		user, err := n.find(ctx, tx)
		if err != nil {
			return nil, err
		}
		if user == nil {
			if notAdmitted != nil {
				return nil, notAdmitted
			}
			user = newUser(newID(), tx.now)
			user.Email, user.Phone, user.Name = n.Email, n.Phone, cmp.Or(n.Name, n.Email, n.Phone)
			if _, err := tx.insertUser(ctx, user); err != nil {
				return nil, err
			}
		}
		return tx.join(ctx, in.team, user, roles)
	})
}

// check brings the input to its canonical form, or refuses it.
func (n *NewMembership) check() (err error) {
	if n.UserID == "" && n.Email == "" && n.Phone == "" {
		return invalid("userId", errNobody)
	}
	if n.UserID != "" {
		if err := checkUserID(n.UserID); err != nil {
			return err
		}
	}
	if n.Email != "" {
		if n.Email, err = checkEmail(n.Email); err != nil {
			return err
		}
	}
	if n.Phone != "" {
		if n.Phone, err = checkPhone(n.Phone); err != nil {
			return err
		}
	}
	return checkName(n.Name)
}

// find returns the user whom the input names, nil if nobody has the address.
func (n *NewMembership) find(ctx context.Context, r store.Reader) (user *record.User, err error) {
	switch {
	case n.UserID != "":
		user, err = getUser(ctx, r, n.UserID)
	case n.Email != "":
		user, err = record.Users.Find(ctx, r, byEmail.index, store.Text(n.Email))
	default:
		user, err = record.Users.Find(ctx, r, byPhone.index, store.Text(n.Phone))
	}
	if err == nil && user != nil && (n.Email != "" && user.Email != n.Email || n.Phone != "" && user.Phone != n.Phone) {
		return nil, ErrUserAlreadyExists
	}
	return user, err
}

// MembershipList is a page of memberships.
type MembershipList struct {
	Total       int // as of [UserList]
	Memberships []*Membership
	Pages
}

// memberListing lists the members of a team, or the memberships of a user.
var memberListing = &listing[record.Membership]{
	name: "memberships", rows: record.Memberships,
	texts: func(m *record.Membership) []string { return []string{m.ID, m.UserID} },
	usual: order{attribute: attribute{column: "created", index: record.Memberships.Index("team")}},
	attributes: map[string]attribute{
		query.ID:        {column: "id"},
		query.CreatedAt: {column: "created", index: record.Memberships.Index("team")},
		query.UpdatedAt: {column: "updated"},
		"userId":        {column: "user_id"},
		"teamId":        {column: "team_id"},
		"invited":       {column: "invited"},
		"joined":        {column: "joined"},
		"roles":         {column: "roles", list: true},
	},
}

// Memberships returns a page of the members of a team, oldest first. It takes the queries of
// [Users.List] over $id, $createdAt, $updatedAt, userId, teamId, invited, joined and roles.
// [query.Search] finds words of the ids of membership and user, among 10,000 members.
//
// Errors: those of [Users.List].
func (t *Teams) Memberships(ctx context.Context, teamID string, queries ...Query) (_ *MembershipList, err error) {
	defer publicError("list memberships", &err)
	return teamsRead(ctx, t, teamID, func(c *call, in *inTeam) (*MembershipList, error) {
		r, err := memberListing.read(&c.policy, queries)
		if err != nil {
			return nil, err
		}
		r.scope, r.over, r.within = in.team.Key, record.Memberships.Index("team"), []store.Value{store.Text(teamID)}
		found, err := memberListing.listWithin(ctx, c, r, func(m *record.Membership) bool { return m.TeamID == teamID })
		if err != nil {
			return nil, err
		}
		list := &MembershipList{Total: found.total, Memberships: make([]*Membership, 0, len(found.rows)), Pages: found.pages}
		for _, m := range found.rows {
			shown, err := in.showMember(ctx, c, c.store, m)
			if err != nil {
				return nil, err
			}
			if shown != nil {
				list.Memberships = append(list.Memberships, shown)
			}
		}
		if err := in.remains(ctx, c.store); err != nil {
			return nil, err
		}
		return list, nil
	})
}

// showMember returns a membership as the caller sees it, nil if its user is gone.
func (in *inTeam) showMember(ctx context.Context, c *call, r store.Reader, m *record.Membership) (*Membership, error) {
	user, err := findUser(ctx, r, m.UserID)
	if err != nil || user == nil || user.Key != m.UserKey {
		return nil, err
	}
	shown, err := showMembership(m, in.team, user)
	if err != nil {
		return nil, err
	}
	return in.hide(c, shown), nil
}

// hide empties the fields of a membership that the policy hides from a user.
func (in *inTeam) hide(c *call, m *Membership) *Membership {
	if in.user == nil {
		return m
	}
	p := &c.policy.Members
	m.UserAccessedAt = time.Time{}
	if p.HideName {
		m.UserName = ""
	}
	if p.HideEmail {
		m.UserEmail = ""
	}
	if p.HidePhone {
		m.UserPhone = ""
	}
	m.MFA = m.MFA && !p.HideMFA
	return m
}

// ownMember returns a membership of the team, or missing.
func (in *inTeam) ownMember(ctx context.Context, r store.Reader, id string, missing error) (*record.Membership, error) {
	if err := checkMembershipID(id); err != nil {
		return nil, err
	}
	m, err := record.Memberships.Find(ctx, r, record.Memberships.Primary(), store.Text(id))
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, missing
	case m.TeamID != in.team.ID:
		return nil, ErrMembershipMismatch
	}
	return m, nil
}

// checkMembershipID refuses a text that cannot be the id of a membership.
func checkMembershipID(id string) error {
	if checkUserID(id) != nil {
		return invalid("membershipId", canon.ErrID)
	}
	return nil
}

// GetMembership returns a member of a team.
//
// Errors:
//   - [ErrMembershipNotFound]
//   - [ErrMembershipMismatch]: the membership is of another team.
func (t *Teams) GetMembership(ctx context.Context, teamID, id string) (_ *Membership, err error) {
	defer publicError("get membership", &err)
	return teamsRead(ctx, t, teamID, func(c *call, in *inTeam) (*Membership, error) {
		m, err := in.ownMember(ctx, c.store, id, ErrMembershipNotFound)
		if err != nil {
			return nil, err
		}
		shown, err := in.showMember(ctx, c, c.store, m)
		if shown == nil && err == nil {
			err = ErrMembershipNotFound
		}
		if err == nil {
			err = in.remains(ctx, c.store)
		}
		if err != nil {
			return nil, err
		}
		return shown, nil
	})
}

// UpdateMembership replaces the roles of a member: at most 100, each kept once.
//
// The last owner of a team whose user is not blocked keeps the role owner: a user who would take
// it gets [ErrMembershipDowngradeProhibited]. If the server does it, the longest-standing other
// member whose user is not blocked becomes an owner, and it is refused if there is none.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrMembershipNotFound]
//   - [ErrMembershipMismatch]: the membership is of another team.
//   - [ErrMembershipDowngradeProhibited]
func (t *Teams) UpdateMembership(ctx context.Context, teamID, id string, roles []string) (_ *Membership, err error) {
	defer publicError("update membership", &err)
	roles, refused := checkTeamRoles(roles)
	return teamsChange(ctx, t, teamID, refused, func(ctx context.Context, tx *txn, in *inTeam) (*Membership, error) {
		m, err := in.ownMember(ctx, tx, id, ErrMembershipNotFound)
		switch {
		case err != nil:
			return nil, err
		case !in.owns():
			return nil, ErrUserUnauthorized
		}
		user, err := getUser(ctx, tx, m.UserID)
		if err != nil {
			return nil, err
		}
		old := *m
		if err := setRoles(m, roles); err != nil {
			return nil, err
		}
		if same, err := sameRoles(&old, m); same || err != nil {
			shown, err := in.showMember(ctx, tx.call, tx, &old)
			return shown, err
		}
		if old.Owner && !m.Owner && !user.Blocked {
			if err := tx.mayLoseOwner(ctx, in, &old, ErrMembershipDowngradeProhibited); err != nil {
				return nil, err
			}
			if in.user == nil {
				kept, err := tx.handOver(ctx, in.team, &old)
				switch {
				case err != nil:
					return nil, err
				case !kept:
					return nil, ErrMembershipDowngradeProhibited
				}
			}
		}
		m.Updated = tx.now
		if err := record.Memberships.Replace(ctx, tx, m); err != nil {
			return nil, err
		}
		shown, err := tx.changedMembership(ctx, in.team, user, m, logMembershipUpdate)
		if err != nil {
			return nil, err
		}
		return in.hide(tx.call, shown), nil
	})
}

// sameRoles reports whether two states of a membership have the same roles. A database may
// write JSON anew.
func sameRoles(a, b *record.Membership) (bool, error) {
	old, err := rolesIn(a)
	if err != nil {
		return false, err
	}
	roles, err := rolesIn(b)
	return slices.Equal(old, roles), err
}

// mayLoseOwner refuses to a user to take the last owner, whose user is not blocked, from a team.
func (tx *txn) mayLoseOwner(ctx context.Context, in *inTeam, m *record.Membership, refusal error) error {
	if in.user == nil {
		return nil
	}
	other, _, err := tx.firstEnabled(ctx, in.team, true, m)
	if other == nil && err == nil {
		return refusal
	}
	return err
}

// DeleteMembership ends a membership: the user's own, or, by an owner or the server, that of any
// member. The roles that it gave are gone with the next call of the member.
//
// The last owner whose user is not blocked cannot leave while there are other members:
// [ErrMembershipDeletionProhibited]. If the server removes that owner, the longest-standing other
// member whose user is not blocked becomes one. An owner who leaves as the last member ends the
// team.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrInviteNotFound]: there is no such membership.
//   - [ErrMembershipMismatch]: the membership is of another team.
//   - [ErrMembershipDeletionProhibited]
func (t *Teams) DeleteMembership(ctx context.Context, teamID, id string) (err error) {
	defer publicError("delete membership", &err)
	_, err = teamsChange(ctx, t, teamID, nil, func(ctx context.Context, tx *txn, in *inTeam) (none, error) {
		m, err := in.ownMember(ctx, tx, id, ErrInviteNotFound)
		if err != nil {
			return none{}, err
		}
		own := in.own != nil && in.own.ID == m.ID
		if !own && !in.owns() {
			return none{}, ErrUserUnauthorized
		}
		user := in.user
		if !own {
			if user, err = getUser(ctx, tx, m.UserID); err != nil {
				return none{}, err
			}
		}
		if m.Owner && own && in.team.Total > 1 {
			if err := tx.mayLoseOwner(ctx, in, m, ErrMembershipDeletionProhibited); err != nil {
				return none{}, err
			}
		}
		return none{}, tx.leave(ctx, in.team, user, m, own)
	})
	return err
}

// Memberships returns a page of the memberships of a user, oldest first. It takes the queries of
// [Teams.Memberships].
//
// Errors: those of [Users.List].
func (u *Users) Memberships(ctx context.Context, id string, queries ...Query) (_ *MembershipList, err error) {
	defer publicError("list memberships", &err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (*MembershipList, error) {
		rows, err := membershipsOf(ctx, c.store, user)
		if err != nil {
			return nil, err
		}
		found, err := memberListing.listOf(c, user, queries, rows)
		if err != nil {
			return nil, err
		}
		list := &MembershipList{Total: found.total, Memberships: make([]*Membership, 0, len(found.rows)), Pages: found.pages}
		for _, m := range found.rows {
			own, team, err := findMember(ctx, c.store, m.TeamID, user)
			if err != nil {
				return nil, err
			}
			if own == nil {
				continue // it has ended meanwhile
			}
			shown, err := showMembership(m, team, user)
			if err != nil {
				return nil, err
			}
			list.Memberships = append(list.Memberships, shown)
		}
		return list, nil
	})
}
