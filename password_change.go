package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// reset is a change of an account that asks for its password, or sets one.
type reset struct {
	// current is the password that the account has. An account without one is
	// asked for none.
	current string
	// fresh is the password to set, "" for none, given whether there is one.
	fresh func(has bool) string
	// check refuses the change on sight of the user.
	check func(user *record.User) error
	edit  func(user *record.User)
	// endOthers says that a change of the password ends the other sessions.
	endOthers bool
	limit     *limited // nil for none
}

// reset carries out a change that asks for the password. Wrong answers are
// counted as those of signing in are.
func (a *Account) reset(ctx context.Context, op string, c reset) (*User, error) {
	if a == nil || a.engine == nil {
		return nil, ErrUnauthorized
	}
	err := a.engine.open()
	if err != nil {
		return nil, err
	}
	now := a.engine.now()
	if c.limit != nil {
		if err := a.engine.limit(ctx, a.client, now, *c.limit, a.client.network()); err != nil {
			return nil, err
		}
	}
	user, err := settled(func() (*User, error) { return a.tryReset(ctx, now, c) })
	return user, outward(op, err)
}

func (a *Account) tryReset(ctx context.Context, now time.Time, c reset) (shown *User, err error) {
	e := a.engine
	read, err := a.mayReset(ctx, e.store, now)
	if err != nil {
		return nil, err
	}
	if err := c.check(read); err != nil {
		return nil, err
	}
	has := read.Password != nil
	var guard guard
	if has {
		if guard, err = a.guard(ctx, now, read); err != nil {
			return nil, err
		}
	}
	// The new password is hashed before the present one is compared, so that a
	// right and a wrong one cost the same. Why it may not be set is told only to
	// who knows the present one.
	var password newPassword
	var refused error
	if fresh := c.fresh(has); fresh != "" || !has {
		after := *read
		c.edit(&after)
		password, refused = e.newPassword(ctx, &after, fresh)
	}
	if has {
		if err := a.prove(ctx, now, guard, read, c.current); err != nil {
			return nil, err
		}
	}
	if refused != nil {
		return nil, refused
	}
	err = e.update(ctx, now, a.actor(), func(ctx context.Context, tx *txn) (err error) {
		shown = nil
		if _, err := a.mayReset(ctx, tx, now); err != nil {
			return err
		}
		user, err := unchanged(ctx, tx, read)
		if err != nil {
			return err
		}
		if has {
			if err := guard.pass(ctx, tx); err != nil {
				return err
			}
		}
		shown, err = tx.changeUser(ctx, user, func(user *record.User) error {
			c.edit(user)
			if password.hash == nil {
				return nil
			}
			return password.set(&e.policy, user, now)
		})
		if err == nil && password.hash != nil && c.endOthers && !e.policy.KeepSessionsOnPasswordChange {
			err = tx.endSessions(ctx, user, a.session.ID)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// mayReset checks the session of a reset, which has to be fresh if its user has MFA
// on: what signs in changes by it, and where second factors go.
func (a *Account) mayReset(ctx context.Context, r store.Reader, now time.Time) (*record.User, error) {
	var s record.Check
	if err := a.check(ctx, r, now, &s); err != nil {
		return nil, err
	}
	user, err := a.user(ctx, r)
	if err != nil || !user.MFA {
		return user, err
	}
	p := &a.engine.policy
	if a.jwt != nil && !p.EnrolWithoutStepUp {
		return nil, ErrChallengeRequired
	}
	return user, a.engine.fresh(s.Created, s.Challenged, now, recently, p.StepUpWindow)
}

// guard returns the guard of a signed-in user's password, unless answers have to
// wait.
func (a *Account) guard(ctx context.Context, now time.Time, user *record.User) (guard, error) {
	g, err := a.engine.guard(ctx, a.engine.store, now, failPassword, passwordSubject(user), user, a.client)
	if err == nil {
		_, err = g.wait(ctx, a.engine.store, now)
	}
	return g, err
}

// prove checks the password of a signed-in user, and counts and logs a wrong
// one.
func (a *Account) prove(ctx context.Context, now time.Time, guard guard, user *record.User, password string) error {
	e := a.engine
	right, _, err := e.verifyPassword(ctx, user, password)
	if err != nil || right {
		return err
	}
	err = e.update(ctx, now, a.actor(), func(ctx context.Context, tx *txn) error {
		if err := guard.fail(ctx, tx); err != nil {
			return err
		}
		return tx.refuse(ctx, logUserRefuse, user, guard.subject, ErrInvalidCredentials)
	})
	if err != nil {
		return err
	}
	return ErrInvalidCredentials
}
