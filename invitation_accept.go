package latchkey

import (
	"cmp"
	"context"
	"unicode/utf8"

	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// InvitationLink has the parameters teamId, membershipId, userId and secret of the link of an
// invitation.
type InvitationLink struct {
	TeamID       string
	MembershipID string
	UserID       string
	Secret       Secret
}

// check refuses texts that cannot be those of a link.
func (l *InvitationLink) check() error {
	if err := cmp.Or(checkTeamID(l.TeamID), checkMembershipID(l.MembershipID), checkUserID(l.UserID)); err != nil {
		return err
	}
	if secret := l.Secret.Reveal(); secret == "" || len(secret) > maxSecret || !utf8.ValidString(secret) {
		return invalid("secret", reason.New(reason.OutOfRange, "not 1 to %d bytes of UTF-8", maxSecret))
	}
	return nil
}

// Accepted is an invitation that was accepted without a session.
type Accepted struct {
	Membership *Membership `json:"membership"`
	Session    *Session    `json:"session"`
}

// AcceptInvitation makes the reader of an invitation a member of its team, and signs them in. The
// link proves the address to which it was sent, as one of [Guest.CreateSession] does: if no user
// has the address yet, one is made, with the id in the link unless another user has taken it
// since; and if a user has it who has proven no address, the parts of the account that an attacker
// may have planted are removed. A session that owes a second factor owes it here too. A page whose
// reader has a session calls [Account.AcceptInvitation] instead.
//
// Errors:
//   - [ErrArgumentInvalid]: also for a user with 1,000 teams or with more than 5,000 roles in all
//     of them, and for a team with as many members as the policy allows.
//   - [ErrTeamNotFound], [ErrMembershipNotFound]: the invitation was declined, cancelled or swept;
//     the inviter is no owner of the team any more; the user who was invited by id has left the
//     address; or the team was deleted.
//   - [ErrMembershipMismatch]: the invitation is to another team.
//   - [ErrMembershipAlreadyConfirmed]: it was accepted, or the user is a member already. The
//     membership stays as it is.
//   - [ErrTeamInvalidSecret]: the secret is wrong, was replaced or has expired, or the inviter is
//     blocked.
//   - [ErrTeamInviteMismatch]: the id is not that in the link.
//   - [ErrUserBlocked]: only with the right secret.
//   - [*ThrottledError]: after 300 links and codes that a client address redeems in an hour, and
//     after 300 failed ones.
//   - [ErrUserCountExceeded]
func (g *Guest) AcceptInvitation(ctx context.Context, l InvitationLink) (_ *Accepted, err error) {
	defer g.home().operation(&ctx, "update membership status").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	return redeemInvitation(ctx, c, l, func(ctx context.Context) (*Accepted, error) {
		drawn, fresh := c.newSignIn(ctx, "", "", ""), newUser(newID(), c.now)
		return update(ctx, c, func(ctx context.Context, tx *txn) (*Accepted, error) {
			m, team, err := tx.claimInvitation(ctx, l)
			if err != nil {
				return nil, err
			}
			if err := tx.checkInviter(ctx, team, m); err != nil {
				return nil, err
			}
			return tx.enterByInvitation(ctx, team, m, l, *fresh, *drawn)
		})
	})
}

// redeemInvitation counts a call with a link and runs it.
func redeemInvitation[T any](ctx context.Context, c *call, l InvitationLink, do func(ctx context.Context) (T, error)) (T, error) {
	var zero T
	if err := l.check(); err != nil {
		return zero, err
	}
	if err := c.limitClient(ctx, limitSessionByClient); err != nil {
		return zero, err
	}
	return limitFailures(ctx, c, func() (T, error) {
		ctx, cancel, err := settling(ctx)
		if err != nil {
			return zero, err
		}
		defer cancel()
		return do(ctx)
	})
}

// claimInvitation returns the open invitation of a link, with its team. The error for a wrong
// secret commits.
func (tx *txn) claimInvitation(ctx context.Context, l InvitationLink) (*record.Membership, *record.Team, error) {
	m, err := record.Memberships.Find(ctx, tx, record.Memberships.Primary(), store.Text(l.MembershipID))
	if err != nil {
		return nil, nil, err
	}
	if m == nil {
		return nil, nil, ErrMembershipNotFound
	}
	team, err := getTeam(ctx, tx, l.TeamID)
	switch {
	case err != nil:
		return nil, nil, err
	case m.TeamID != team.ID:
		return nil, nil, ErrMembershipMismatch
	case m.Confirm:
		return nil, nil, ErrMembershipAlreadyConfirmed
	}
	var right *record.Membership
	if sum, ok := secretDigest(l.Secret.Reveal(), kindInvitation.label); ok {
		if right, err = invitationOf(ctx, tx, sum[:]); err != nil {
			return nil, nil, err
		}
	}
	if right == nil || right.ID != m.ID || !tx.live(m.Invited, m.Expire) {
		return nil, nil, tx.refuse(ctx, refused{logMembershipRefuse, nil, ErrTeamInvalidSecret})
	}
	return m, team, nil
}

// checkInviter refuses an invitation whose inviter may not invite any more.
func (tx *txn) checkInviter(ctx context.Context, team *record.Team, m *record.Membership) error {
	inviter, err := findUser(ctx, tx, m.Inviter)
	if err != nil {
		return err
	}
	if inviter == nil || inviter.Key != m.InviterKey || inviter.Blocked {
		return ErrTeamInvalidSecret
	}
	own, _, err := findMember(ctx, tx, team.ID, inviter)
	if err == nil && (own == nil || !own.Owner) {
		err = ErrTeamInvalidSecret
	}
	return err
}

// enterByInvitation makes the bearer of a link a member, and their session.
func (tx *txn) enterByInvitation(ctx context.Context, team *record.Team, m *record.Membership, l InvitationLink, fresh record.User, in signIn) (*Accepted, error) {
	kind := kindInvitation
	if contactTo(m.Address) == byPhone {
		kind = kindPhoneInvitation
	}
	t := &record.Token{Kind: kind.name, Slot: m.Address, Destination: m.Address, Alias: m.Subject}
	fresh.Name = tx.nameOfInvited(m)
	user, err := tx.userProvenBy(ctx, t, fresh)
	if err != nil {
		return nil, err
	}
	if l.UserID != m.Subject && l.UserID != user.ID || m.Invitee != "" && user.Key != m.Invitee {
		return nil, ErrTeamInviteMismatch
	}
	session, err := tx.enterAs(ctx, t, user, in)
	if err != nil {
		return nil, err
	}
	membership, err := tx.accept(ctx, team, user, m)
	if err != nil {
		return nil, err
	}
	return &Accepted{membership, session}, nil
}

// accept makes a user the member for whom an invitation was.
func (tx *txn) accept(ctx context.Context, team *record.Team, user *record.User, m *record.Membership) (*Membership, error) {
	roles, err := rolesIn(m)
	if err != nil {
		return nil, err
	}
	if err := tx.admit(ctx, team, user, m, roles); err != nil {
		return nil, err
	}
	shown, err := tx.toldMembership(ctx, team, user, m, logMembershipUpdate, "update.status")
	if err != nil {
		return nil, err
	}
	return (&inTeam{team: team, user: user}).hide(tx.call, shown), nil
}

// nameOfInvited returns the name of the user who is made of an invitation.
func (tx *txn) nameOfInvited(m *record.Membership) string {
	if contactTo(m.Address) == byEmail {
		return tx.policy.nameOf(m.Name, m.Address, "")
	}
	return tx.policy.nameOf(m.Name, "", m.Address)
}

// AcceptInvitation makes the user a member of the team that an invitation is to. The user must
// have the address to which the link was sent. If they have not proven it yet, the link proves it,
// like one of [Guest.ConfirmEmailVerification]. The session stays as it is.
//
// Errors: those of [Guest.AcceptInvitation], and
//   - [ErrTeamInviteMismatch]: the user does not have the address, or another one was invited by
//     id. The invitation stays open.
func (a *Account) AcceptInvitation(ctx context.Context, l InvitationLink) (_ *Membership, err error) {
	defer a.home().operation(&ctx, "update membership status").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := a.mayAct(ctx, c, c.store); err != nil {
		return nil, err
	}
	return redeemInvitation(ctx, c, l, func(ctx context.Context) (*Membership, error) {
		return accountUpdate(ctx, c, a, (*Account).standing, func(ctx context.Context, tx *txn, user *record.User) (*Membership, error) {
			m, team, err := tx.claimInvitation(ctx, l)
			if err != nil {
				return nil, err
			}
			if err := tx.checkInviter(ctx, team, m); err != nil {
				return nil, err
			}
			by := contactTo(m.Address)
			if by.address(user) != m.Address || m.Invitee != "" && m.Invitee != user.Key || l.UserID != m.Subject && l.UserID != user.ID {
				return nil, ErrTeamInviteMismatch
			}
			if !by.verified(user) {
				if _, err := tx.changeUser(ctx, user, func(u *record.User) error {
					openedLink(u, by, tx.now)
					return nil
				}); err != nil {
					return nil, err
				}
			}
			return tx.accept(ctx, team, user, m)
		})
	})
}

// DeclineInvitation ends an invitation by its link. A user who has proven the address can do it
// without the link, with [Teams.DeleteMembership].
//
// Errors: those of [Guest.AcceptInvitation] that are about the link.
func (g *Guest) DeclineInvitation(ctx context.Context, l InvitationLink) (err error) {
	defer g.home().operation(&ctx, "decline invitation").end(&err)
	c, err := g.begin()
	if err != nil {
		return err
	}
	_, err = redeemInvitation(ctx, c, l, func(ctx context.Context) (none, error) {
		return update(ctx, c, func(ctx context.Context, tx *txn) (none, error) {
			m, team, err := tx.claimInvitation(ctx, l)
			if err != nil {
				return none{}, err
			}
			if l.UserID != m.Subject {
				return none{}, ErrTeamInviteMismatch
			}
			return none{}, tx.endInvitation(ctx, team, m)
		})
	})
	return err
}
