package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
)

// Block blocks the account. From then on every session of the user is refused with
// [ErrUserBlocked], and so is signing in. Only the server can undo it, with
// [Users.UpdateStatus]. The session must be fresh, as for [Account.UpdateMFA]. An address that
// was proven only by a link opened without a session is no longer: the person who made the
// account does not keep the owner of the mailbox out.
//
// Errors:
//   - [ErrChallengeRequired]: the session has neither signed in nor answered a challenge
//     within the window of the policy.
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) Block(ctx context.Context) (_ *User, err error) {
	defer a.home().operation(&ctx, "block").end(&err)
	return changeFresh(ctx, a, freshUnlessOff, func(ctx context.Context, tx *txn, user *record.User, _ *record.Session) (*User, error) {
		return tx.changeUser(ctx, user, func(user *record.User) error {
			user.Blocked = true
			if user.Unclaimed {
				user.EmailVerified, user.PhoneVerified, user.Unclaimed = false, false, false
			}
			return nil
		})
	})
}
