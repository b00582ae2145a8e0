package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// RequireRecent is for the host's own sensitive operations: it refuses, with
// [ErrChallengeRequired], a session whose user has neither signed in nor answered
// a challenge ([Account.UpdateMFAChallenge]) within so long. 0 means the window of
// the policy. A JWT is never recent: how old it is tells nothing.
func (a *Account) RequireRecent(ctx context.Context, within time.Duration) error {
	return a.read(ctx, "require recent", func(r store.Reader, now time.Time) error {
		var s record.Check
		if err := a.check(ctx, r, now, &s); err != nil {
			return err
		}
		e := a.engine
		if within == 0 {
			within = e.policy.StepUpWindow
		}
		if a.jwt != nil {
			return ErrChallengeRequired
		}
		return e.fresh(s.Created, s.Challenged, now, provenly, within)
	})
}

// secured changes what concerns factors, by a session that is fresh enough. A JWT
// has no session to be fresh.
func (a *Account) secured(ctx context.Context, op string, need stepUp, fn func(ctx context.Context, tx *txn, user *record.User, s *record.Session) error) error {
	return a.change(ctx, op, func(ctx context.Context, tx *txn, user *record.User) error {
		s, err := a.own(ctx, tx, tx.now, Current)
		if err != nil {
			return err
		}
		if err := tx.engine.fresh(s.Created, s.Challenged, tx.now, need, tx.engine.policy.StepUpWindow); err != nil {
			return err
		}
		if need == challenged && !strongest(user, s) {
			return ErrChallengeRequired
		}
		return fn(ctx, tx, user, s)
	})
}
