package latchkey

import (
	"cmp"
	"context"
	"time"

	"example.com/latchkey/internal/record"
)

// RequireRecent is for the host's own sensitive operations. It refuses, with
// [ErrChallengeRequired], a session whose user has neither signed in nor answered a
// challenge ([Account.ConfirmMFAChallenge]) nor shown the password again
// ([Account.ConfirmPassword]) within the given time. 0 means the window of
// the policy. A JWT is never recent, because its age says nothing about its user.
func (a *Account) RequireRecent(ctx context.Context, within time.Duration) (err error) {
	defer a.home().operation(&ctx, "require recent").end(&err)
	c, err := a.begin()
	if err != nil {
		return err
	}
	var s record.Check
	if err := a.readCheck(ctx, c, c.store, &s); err != nil {
		return err
	}
	if a.jwt != nil {
		return ErrChallengeRequired
	}
	return c.requireFresh(&s, freshSignIn, cmp.Or(within, c.policy.Factors.StepUpWindow))
}

// freshFn is a change of factors, with the user and the session.
type freshFn[T any] func(ctx context.Context, tx *txn, user *record.User, s *record.Session) (T, error)

// changeFresh runs a change of factors, if the session is fresh enough. A JWT has no
// session that could be fresh.
func changeFresh[T any](ctx context.Context, a *Account, need stepUp, fn freshFn[T]) (T, error) {
	return accountChange(ctx, a, ifFresh(a, need, fn))
}

// changeFreshOften is changeFresh for a change that an account may repeat at will.
func changeFreshOften[T any](ctx context.Context, a *Account, need stepUp, fn freshFn[T]) (T, error) {
	return accountChangeOften(ctx, a, ifFresh(a, need, fn))
}

// ifFresh returns a change that refuses a session that is not fresh enough.
func ifFresh[T any](a *Account, need stepUp, fn freshFn[T]) accountFn[T] {
	return func(ctx context.Context, tx *txn, user *record.User) (T, error) {
		var zero T
		s, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
		if err != nil {
			return zero, err
		}
		if err := tx.requireFresh(checkOf(s), need, tx.policy.Factors.StepUpWindow); err != nil {
			return zero, err
		}
		if need == freshChallenge {
			if err := tx.requireStrongest(user, s, need); err != nil {
				return zero, err
			}
		}
		return fn(ctx, tx, user, s)
	}
}
