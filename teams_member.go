package latchkey

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// CreateMembership makes a user a member of a team, if the server calls it. If no user has the
// address, one is made, without a password and not verified. An open invitation to the user becomes
// the membership. If the fields name different users, it is [ErrUserAlreadyExists].
//
// A user who owns the team invites: the person gets a link, by mail or else by SMS, and nothing is
// made but the invitation. The page of the link accepts it when the person presses a button, since
// programs follow links in mails. It can be accepted once, with [Guest.AcceptInvitation] or
// [Account.AcceptInvitation], for seven days unless the policy says otherwise, and only while the
// inviter is an owner whose user is not blocked. An invitation of the same address to the team, or
// of the same user by id, takes the place of the one before: its link is void, and so are its
// roles. A team has at most 200 open invitations.
//
// The answer to a user does not tell whether an address has a user: the fields beside the one that
// names the person serve only the server, unless the policy discloses accounts. A person who was
// invited by id is shown without address and name. Nothing is sent to a blocked user, to an address
// that is held for another user ([Account.ConfirmEmailChange]), nor to a user by id whose address
// has got as many messages as it may have.
//
// Errors:
//   - [ErrArgumentInvalid]: also for a user with 1,000 teams or with more than 5,000 roles in all
//     of them, for a team with as many members as the policy allows or with 200 open invitations,
//     and for a person without an address.
//   - [ErrUserNotFound]
//   - [ErrUserAlreadyExists]
//   - [ErrMembershipAlreadyConfirmed]: also for an address that a member has proven.
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address of a new user.
//   - [ErrAuthMethodUnsupported]: the policy disables invitations.
//   - [ErrSMTPDisabled], [ErrPhoneDisabled]: nothing can be sent there.
//   - [*ThrottledError]: after ten invitations of a user in an hour, or after the messages that an
//     address or a client address may have.
func (t *Teams) CreateMembership(ctx context.Context, teamID string, n NewMembership) (_ *Membership, err error) {
	defer t.home().operation(&ctx, "create membership").end(&err)
	roles, refused := checkTeamRoles(n.Roles)
	if err := n.check(); err != nil {
		refused = err
	}
	if t != nil && t.account != nil {
		return t.account.invite(ctx, teamID, n, roles, refused)
	}
	c, err := t.begin()
	if err != nil {
		return nil, err
	}
	var notAdmitted error
	if refused == nil {
		notAdmitted = c.admitEmail(ctx, n.Email)
		if n.URL != "" {
			_, refused = c.checkURL(n.URL)
		}
	}
	return teamsOwn(ctx, t, teamID, refused, func(ctx context.Context, tx *txn, in *inTeam) (*Membership, error) {
		user, err := n.find(ctx, tx)
		if err != nil {
			return nil, err
		}
		if user == nil {
			if notAdmitted != nil {
				return nil, notAdmitted
			}
			user = newUser(newID(), tx.now)
			user.Email, user.Phone, user.Name = n.Email, n.Phone, tx.policy.nameOf(n.Name, n.Email, n.Phone)
			if _, err := tx.insertUser(ctx, user); err != nil {
				return nil, err
			}
		}
		return tx.join(ctx, in.team, user, n.address(), roles)
	})
}

// MembershipList is a page of memberships.
type MembershipList struct {
	Total       int           `json:"total"` // as of [UserList]
	Memberships []*Membership `json:"memberships"`
	Pages
}

// memberListing lists the members of a team, or the memberships of a user.
var memberListing = &listing[record.Membership]{
	name: "memberships", rows: record.Memberships,
	texts: func(m *record.Membership) []string { return []string{m.ID, m.Subject} },
	usual: order{attribute: attribute{column: "created", index: record.Memberships.Index("team")}},
	attributes: map[string]attribute{
		query.ID:        {column: "id"},
		query.CreatedAt: {column: "created", index: record.Memberships.Index("team")},
		query.UpdatedAt: {column: "updated"},
		"userId":        {column: "subject"},
		"teamId":        {column: "team_id"},
		"invited":       {column: "invited"},
		"joined":        {column: "joined"},
		"confirm":       {column: "confirm"},
		"roles":         {column: "roles", list: true},
	},
}

// Memberships returns a page of the members of a team and of the open invitations to it, oldest
// first. It takes the queries of [Users.List] over $id, $createdAt, $updatedAt, userId, teamId,
// invited, joined, confirm and roles. [query.Search] finds words of the ids of membership and user,
// among 10,000 members.
//
// Errors: those of [Users.List].
func (t *Teams) Memberships(ctx context.Context, teamID string, queries ...Query) (_ *MembershipList, err error) {
	defer t.home().operation(&ctx, "list memberships").end(&err)
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
		users, err := usersOf(ctx, c.store, found.rows)
		if err != nil {
			return nil, err
		}
		for _, m := range found.rows {
			shown, err := in.showMember(c, m, users[m.UserID])
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

// usersOf returns the users of some memberships, by their ids.
func usersOf(ctx context.Context, r store.Reader, members []*record.Membership) (map[string]*record.User, error) {
	users := make(map[string]*record.User, len(members))
	for some := range slices.Chunk(members, store.MaxFilterValues) {
		var ids []store.Value
		for _, m := range some {
			if m.Confirm {
				ids = append(ids, store.Text(m.UserID))
			}
		}
		if len(ids) == 0 {
			continue
		}
		rows, err := record.Users.List(ctx, r, store.Query{
			Index: record.Users.Primary(), Where: []store.Filter{store.Where("id", store.OpEqual, ids...)}, Limit: len(ids),
		})
		if err != nil {
			return nil, err
		}
		for _, user := range rows {
			users[user.ID] = user
		}
	}
	return users, nil
}

// findMemberOf returns a membership as the caller sees it, nil if its user is gone.
func (in *inTeam) findMemberOf(ctx context.Context, c *call, r store.Reader, m *record.Membership) (*Membership, error) {
	if !m.Confirm {
		return in.showMember(c, m, nil)
	}
	user, err := findUser(ctx, r, m.UserID)
	if err != nil {
		return nil, err
	}
	return in.showMember(c, m, user)
}

// showMember returns a membership of a user as the caller sees it, nil if the user is gone.
func (in *inTeam) showMember(c *call, m *record.Membership, user *record.User) (*Membership, error) {
	if !m.Confirm {
		shown, err := showInvitation(m, in.team, in.user == nil)
		if err != nil {
			return nil, err
		}
		return in.hide(c, shown), nil
	}
	if user == nil || user.Key != m.UserKey {
		return nil, nil
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

// GetMembership returns a member of a team, or an open invitation to it.
//
// Errors:
//   - [ErrMembershipNotFound]
//   - [ErrMembershipMismatch]: the membership is of another team.
func (t *Teams) GetMembership(ctx context.Context, teamID, id string) (_ *Membership, err error) {
	defer t.home().operation(&ctx, "get membership").end(&err)
	return teamsRead(ctx, t, teamID, func(c *call, in *inTeam) (*Membership, error) {
		m, err := in.ownMember(ctx, c.store, id, ErrMembershipNotFound)
		if err != nil {
			return nil, err
		}
		shown, err := in.findMemberOf(ctx, c, c.store, m)
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

// UpdateMembership replaces the roles of a member, or those of an invitation: at most 100, each
// kept once. An owner who changes an invitation is its inviter from then on.
//
// The last owner of a team whose user is not blocked keeps the role owner: a user who would take
// it gets [ErrMembershipDowngradeProhibited]. If the server does it, the longest-standing other
// member whose user is not blocked becomes an owner, and it is refused if there is none.
//
// Errors:
//   - [ErrArgumentInvalid]: also for a user who would have more than 5,000 roles in all teams.
//   - [ErrMembershipNotFound]
//   - [ErrMembershipMismatch]: the membership is of another team.
//   - [ErrMembershipDowngradeProhibited]
func (t *Teams) UpdateMembership(ctx context.Context, teamID, id string, roles []string) (_ *Membership, err error) {
	defer t.home().operation(&ctx, "update membership").end(&err)
	roles, refused := checkTeamRoles(roles)
	return teamsChange(ctx, t, teamID, refused, func(ctx context.Context, tx *txn, in *inTeam) (*Membership, error) {
		m, err := in.ownMember(ctx, tx, id, ErrMembershipNotFound)
		switch {
		case err != nil:
			return nil, err
		case !in.owns():
			return nil, ErrUserUnauthorized
		}
		var user *record.User
		if m.Confirm {
			if user, err = getUser(ctx, tx, m.UserID); err != nil {
				return nil, err
			}
		}
		old := *m
		if err := setRoles(m, roles); err != nil {
			return nil, err
		}
		if !m.Confirm && in.user != nil {
			m.Inviter, m.InviterKey = in.user.ID, in.user.Key
		}
		if same, err := sameRoles(&old, m); err != nil || same && old.InviterKey == m.InviterKey {
			shown, err := in.findMemberOf(ctx, tx.call, tx, &old)
			return shown, err
		}
		if old.Owner && !m.Owner && !user.Blocked {
			if err := tx.mayLoseOwner(ctx, in, &old, ErrMembershipDowngradeProhibited); err != nil {
				return nil, err
			}
			if in.user == nil {
				kept, err := tx.handOver(ctx, in.team, &old, false)
				switch {
				case err != nil:
					return nil, err
				case !kept:
					return nil, ErrMembershipDowngradeProhibited
				}
			}
		}
		if m.Confirm {
			if err := tx.roomForRoles(ctx, user, len(roles), m.ID); err != nil {
				return nil, err
			}
		}
		if old.Owner && !m.Owner {
			if err := tx.endInvitationsBy(ctx, in.team.ID, m.UserKey); err != nil {
				return nil, err
			}
		}
		m.Updated = tx.now
		if err := record.Memberships.Replace(ctx, tx, m); err != nil {
			return nil, err
		}
		if _, err := tx.changedMembership(ctx, in.team, user, m, logMembershipUpdate); err != nil {
			return nil, err
		}
		return in.findMemberOf(ctx, tx.call, tx, m)
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
	other, _, err := tx.firstMember(ctx, in.team, true, m, false)
	if other == nil && err == nil {
		return refusal
	}
	return err
}

// DeleteMembership ends a membership: the user's own, or, by an owner or the server, that of any
// member. The roles that it gave are gone with the next call of the member. It also ends an
// invitation, for an owner, the server, and the user who was invited by id or has proven the
// address: they decline so without the link.
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
	defer t.home().operation(&ctx, "delete membership").end(&err)
	_, err = teamsUpdate(ctx, t, nil, func(ctx context.Context, tx *txn, user *record.User) (none, error) {
		in, err := enterTeam(ctx, tx, teamID, user)
		if errors.Is(err, ErrTeamNotFound) && user != nil {
			return none{}, tx.declineOwn(ctx, teamID, id, user)
		}
		if err != nil {
			return none{}, err
		}
		return none{}, tx.endMembership(ctx, in, id)
	})
	return err
}

// declineOwn ends an invitation to a user who is no member of its team.
func (tx *txn) declineOwn(ctx context.Context, teamID, id string, user *record.User) error {
	if err := checkMembershipID(id); err != nil {
		return err
	}
	m, err := record.Memberships.Find(ctx, tx, record.Memberships.Primary(), store.Text(id))
	if err != nil {
		return err
	}
	if m == nil || m.Confirm || m.TeamID != teamID || !isInvited(m, user) {
		return ErrTeamNotFound
	}
	team, err := getTeam(ctx, tx, teamID)
	if err != nil {
		return err
	}
	return tx.endInvitation(ctx, team, m)
}

// endMembership ends a membership or an invitation for a caller.
func (tx *txn) endMembership(ctx context.Context, in *inTeam, id string) error {
	m, err := in.ownMember(ctx, tx, id, ErrInviteNotFound)
	if err != nil {
		return err
	}
	own := in.own != nil && in.own.ID == m.ID
	invited := !m.Confirm && in.user != nil && isInvited(m, in.user)
	if !own && !invited && !in.owns() {
		return ErrUserUnauthorized
	}
	if !m.Confirm {
		return tx.endInvitation(ctx, in.team, m)
	}
	user := in.user
	if !own {
		if user, err = getUser(ctx, tx, m.UserID); err != nil {
			return err
		}
	}
	if m.Owner && own && in.team.Total > 1 {
		if err := tx.mayLoseOwner(ctx, in, m, ErrMembershipDeletionProhibited); err != nil {
			return err
		}
	}
	return tx.leave(ctx, in.team, user, m, own)
}

// Memberships returns a page of the memberships of a user, oldest first, with the open invitations
// to them: by id, or to addresses that they have proven. It takes the queries of
// [Teams.Memberships].
//
// Errors: those of [Users.List].
func (u *Users) Memberships(ctx context.Context, id string, queries ...Query) (_ *MembershipList, err error) {
	defer u.home().operation(&ctx, "list memberships").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (*MembershipList, error) {
		rows, err := membershipsOf(ctx, c.store, user)
		if err != nil {
			return nil, err
		}
		open, err := invitationsFor(ctx, c.store, user, "")
		if err != nil {
			return nil, err
		}
		rows = append(rows, open...)
		slices.SortStableFunc(rows, func(a, b *record.Membership) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
		})
		found, err := memberListing.listOf(c, user, queries, rows)
		if err != nil {
			return nil, err
		}
		list := &MembershipList{Total: found.total, Memberships: make([]*Membership, 0, len(found.rows)), Pages: found.pages}
		for _, m := range found.rows {
			shown, err := showOf(ctx, c.store, m, user)
			if err != nil {
				return nil, err
			}
			if shown != nil {
				list.Memberships = append(list.Memberships, shown)
			}
		}
		return list, nil
	})
}

// showOf returns a membership of a user, or an invitation to them, with the present name of its
// team; nil if it has ended meanwhile.
func showOf(ctx context.Context, r store.Reader, m *record.Membership, user *record.User) (*Membership, error) {
	if !m.Confirm {
		team, err := findTeam(ctx, r, m.TeamID)
		if team == nil || err != nil {
			return nil, err
		}
		return showInvitation(m, team, true)
	}
	own, team, err := findMember(ctx, r, m.TeamID, user)
	if own == nil || err != nil {
		return nil, err
	}
	return showMembership(m, team, user)
}
