package latchkey

import (
	"context"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// An invitation is a membership without a user yet. It is bound to a team and to the address to
// which its link went, and to a user too if the inviter named one.

// maxInvitations is the number of open invitations of a team.
const maxInvitations = 200

// contactTo returns the way by which an address is reached.
func contactTo(address string) *contact {
	if strings.Contains(address, "@") {
		return byEmail
	}
	return byPhone
}

// invitationTo returns the invitation of an address to a team that is bound to the address alone or,
// with the key of a user, to that user; nil if absent. Both kinds stand beside each other: if one
// took the place of the other, the inviter would learn whose address it is.
func invitationTo(ctx context.Context, r store.Reader, address, teamID, invitee string) (*record.Membership, error) {
	rows, err := record.Memberships.List(ctx, r, invitedTo(address, teamID))
	for _, m := range rows {
		if m.Invitee == invitee {
			return m, nil
		}
	}
	return nil, err
}

// invitedTo selects the invitations of an address, to one team or, with "", to all.
func invitedTo(address, teamID string) store.Query {
	q := store.Query{Index: record.Memberships.Index("invited"), Equal: []store.Value{store.Text(address)}, Limit: store.MaxLimit}
	if teamID != "" {
		q.Equal = append(q.Equal, store.Text(teamID))
	}
	return q
}

// invitationOf returns the invitation of a secret's digest, nil if absent.
func invitationOf(ctx context.Context, r store.Reader, digest []byte) (*record.Membership, error) {
	rows, err := record.Memberships.List(ctx, r, store.Query{Index: record.Memberships.Index("digest"), Equal: []store.Value{store.Bytes(digest)}, Limit: 1})
	if len(rows) == 0 || err != nil {
		return nil, err
	}
	return rows[0], nil
}

// hasProven reports whether an address is a user's for good: not one that was proven by a link
// which another person may have opened.
func hasProven(user *record.User, by *contact) bool {
	return by.verified(user) && user.Half != by.name && !unclaimed(user)
}

// isInvited reports whether an invitation is a user's: sent to them by their id, or to an address
// that they have proven.
func isInvited(m *record.Membership, user *record.User) bool {
	by := contactTo(m.Address)
	if m.Invitee != "" {
		return m.Invitee == user.Key
	}
	return by.address(user) == m.Address && hasProven(user, by)
}

// invitationsFor returns the invitations to a user, of one team or, with "", of all.
func invitationsFor(ctx context.Context, r store.Reader, user *record.User, teamID string) ([]*record.Membership, error) {
	return invitationsAt(ctx, r, user, teamID, func(m *record.Membership) bool { return isInvited(m, user) })
}

// invitationsAt returns some of the invitations to the addresses of a user.
func invitationsAt(ctx context.Context, r store.Reader, user *record.User, teamID string, some func(*record.Membership) bool) (found []*record.Membership, err error) {
	for _, by := range []*contact{byEmail, byPhone} {
		if by.address(user) == "" {
			continue
		}
		rows, err := record.Memberships.List(ctx, r, invitedTo(by.address(user), teamID))
		if err != nil {
			return nil, err
		}
		for _, m := range rows {
			if some(m) {
				found = append(found, m)
			}
		}
	}
	return found, nil
}

// endInvitations deletes the invitations to a user, of one team or, with "", of all.
func (tx *txn) endInvitations(ctx context.Context, user *record.User, teamID string) error {
	rows, err := invitationsFor(ctx, tx, user, teamID)
	if err != nil {
		return err
	}
	return tx.deleteInvitations(ctx, rows)
}

// endClaimedInvitations deletes the invitations to the addresses of a user who leaves a team,
// proven or not: no invitation brings a former member back.
func (tx *txn) endClaimedInvitations(ctx context.Context, user *record.User, teamID string) error {
	mine := func(m *record.Membership) bool { return m.Invitee == "" || m.Invitee == user.Key }
	rows, err := invitationsAt(ctx, tx, user, teamID, mine)
	if err != nil {
		return err
	}
	return tx.deleteInvitations(ctx, rows)
}

// endInvitationsBy deletes the invitations to a team that a former owner has sent.
func (tx *txn) endInvitationsBy(ctx context.Context, teamID, userKey string) error {
	rows, err := record.Memberships.List(ctx, tx, store.Query{
		Index: record.Memberships.Index("open"), Equal: []store.Value{store.Text(teamID)}, From: anyTime,
		Where: []store.Filter{store.Where("inviter_key", store.OpEqual, store.Text(userKey))}, Limit: store.MaxLimit,
	})
	if err != nil {
		return err
	}
	return tx.deleteInvitations(ctx, rows)
}

// endInvitationsAfter deletes the invitations by id to addresses that their user has left: they
// can be accepted no more.
func (tx *txn) endInvitationsAfter(ctx context.Context, old, user *record.User) error {
	for _, by := range []*contact{byEmail, byPhone} {
		if by.address(old) == "" || by.address(old) == by.address(user) {
			continue
		}
		rows, err := record.Memberships.List(ctx, tx, invitedTo(by.address(old), ""))
		if err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(m *record.Membership) bool { return m.Invitee != user.Key })
		if err := tx.deleteInvitations(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// deleteInvitations deletes invitations without a word of it.
func (tx *txn) deleteInvitations(ctx context.Context, rows []*record.Membership) error {
	for _, m := range rows {
		if err := record.Memberships.Delete(ctx, tx, store.Text(m.ID)); err != nil {
			return err
		}
	}
	return nil
}

// anyTime bounds a range to the rows that have a time: only invitations have an expiry, and only
// members a time of joining.
var anyTime = store.Including(store.Time(time.Unix(0, 0)))

// everyInvitation selects every invitation.
func everyInvitation(limit int) store.Query {
	return store.Query{Index: record.Memberships.Index("expire"), From: anyTime, Limit: limit}
}

// closeInvitation turns an invitation into the row of a member.
func closeInvitation(m *record.Membership, user *record.User, now time.Time) {
	m.UserID, m.UserKey, m.Subject, m.Joined, m.Updated, m.Confirm = user.ID, user.Key, user.ID, now, now, true
	m.Address, m.Name, m.Invitee, m.Inviter, m.InviterKey, m.Digest, m.Expire = "", "", "", "", "", nil, time.Time{}
}
