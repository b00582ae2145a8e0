package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

// Delete deletes the account with everything of the user's, as [Users.Delete] does, and ends
// every session. It cannot be undone. No stranger signs up with the id for as long as the log
// is kept (Policy.LogLength); the server may give it to another user. The session must have
// signed in, or answered a challenge, within the window of the policy, whatever
// Policy.Factors.EnrolWithoutStepUp says. If the user has an authenticator, the session must
// have answered a challenge by it, or by a recovery code, within that window. The user gets a
// notice, also at the addresses that are held for them ([Account.ConfirmEmailChange]).
//
// Errors:
//   - [ErrChallengeRequired]: the session is not fresh.
//   - [ErrSessionNotFound]: for a JWT.
//   - [ErrReferenced]: a foreign key of the host's refers to the user.
func (a *Account) Delete(ctx context.Context) (err error) {
	defer a.home().operation(&ctx, "delete account").end(&err)
	_, err = changeFresh(ctx, a, freshSignIn, func(ctx context.Context, tx *txn, user *record.User, s *record.Session) (none, error) {
		if err := tx.requireStrongest(user, s, freshChallenge); err != nil {
			return none{}, err
		}
		tx.noticeTo(notify.AccountDeleted, user)
		if err := tx.noticeFormer(ctx, notify.AccountDeleted, user); err != nil {
			return none{}, err
		}
		return none{}, tx.deleteUser(ctx, user)
	})
	return err
}

// noticeFormer gathers a notice to the addresses that are held for a user: a thief may have taken the
// account from them.
func (tx *txn) noticeFormer(ctx context.Context, kind notify.Kind, user *record.User) error {
	tokens, err := tokensOf(ctx, tx, user.ID)
	for _, t := range tokens {
		if kindOf(t).purpose != restores || !tx.live(t.Created, t.Expire) {
			continue
		}
		former := *user
		by := kindOf(t).by
		by.set(&former, t.Destination)
		by.setVerified(&former, true)
		tx.notice(kind, by, &former)
	}
	return err
}
