package latchkey

import (
	"context"
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

// invitationTo returns the invitation of an address to a team, nil if absent.
func invitationTo(ctx context.Context, r store.Reader, address, teamID string) (*record.Membership, error) {
	return firstMembership(ctx, r, "invited", store.Text(address), store.Text(teamID))
}

// invitationOf returns the invitation of a secret's digest, nil if absent.
func invitationOf(ctx context.Context, r store.Reader, digest []byte) (*record.Membership, error) {
	return firstMembership(ctx, r, "digest", store.Bytes(digest))
}

// firstMembership returns the first row with the values of an index, nil if absent.
func firstMembership(ctx context.Context, r store.Reader, index string, values ...store.Value) (*record.Membership, error) {
	rows, err := record.Memberships.List(ctx, r, store.Query{Index: record.Memberships.Index(index), Equal: values, Limit: 1})
	if len(rows) == 0 || err != nil {
		return nil, err
	}
	return rows[0], nil
}

// isInvited reports whether an invitation is a user's: sent to them by their id, or to an address
// that they have proven.
func isInvited(m *record.Membership, user *record.User) bool {
	by := contactTo(m.Address)
	if m.Invitee != "" {
		return m.Invitee == user.Key
	}
	return by.address(user) == m.Address && by.verified(user)
}

// invitationsFor returns the invitations to a user, of one team or, with "", of all.
func invitationsFor(ctx context.Context, r store.Reader, user *record.User, teamID string) (found []*record.Membership, err error) {
	for _, by := range []*contact{byEmail, byPhone} {
		if by.address(user) == "" {
			continue
		}
		q := store.Query{Index: record.Memberships.Index("invited"), Equal: []store.Value{store.Text(by.address(user))}, Limit: store.MaxLimit}
		if teamID != "" {
			q.Equal = append(q.Equal, store.Text(teamID))
		}
		rows, err := record.Memberships.List(ctx, r, q)
		if err != nil {
			return nil, err
		}
		for _, m := range rows {
			if isInvited(m, user) {
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
	for _, m := range rows {
		if err := record.Memberships.Delete(ctx, tx, store.Text(m.ID)); err != nil {
			return err
		}
	}
	return nil
}

// everyInvitation selects every invitation.
func everyInvitation(limit int) store.Query {
	return store.Query{Index: record.Memberships.Index("expire"), From: store.Including(store.Time(time.Unix(0, 0))), Limit: limit}
}

// closeInvitation turns an invitation into the row of a member.
func closeInvitation(m *record.Membership, user *record.User, now time.Time) {
	m.UserID, m.UserKey, m.Subject, m.Joined, m.Updated, m.Confirm = user.ID, user.Key, user.ID, now, now, true
	m.Address, m.Name, m.Invitee, m.Inviter, m.InviterKey, m.Digest, m.Expire = "", "", "", "", "", nil, time.Time{}
}
