package latchkey

import (
	"bytes"
	"context"
	"errors"

	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// passwordPlace is where the password hash of a user is sealed.
func passwordPlace(userID string) seal.Place {
	return seal.Place{Table: "users", Column: "password", Record: userID, Owner: userID}
}

// hashPassword returns the sealed hash of a user's password.
func (e *Engine) hashPassword(ctx context.Context, userID, password string) ([]byte, error) {
	hash, err := e.hasher.Hash(ctx, password)
	if errors.Is(err, hasher.ErrBusy) {
		err = ErrBusy
	}
	if err != nil {
		return nil, err
	}
	return e.ring.Seal(seal.PasswordHash, passwordPlace(userID), []byte(hash)), nil
}

// verifyPassword compares a password with the one of a user, at the cost of one
// hash whether there is one or not. outdated says that a right one should be
// hashed anew.
func (e *Engine) verifyPassword(ctx context.Context, user *record.User, password string) (right, outdated bool, err error) {
	var hash []byte
	if user != nil && user.Password != nil {
		hash, err = e.ring.Open(seal.PasswordHash, passwordPlace(user.ID), user.Password)
		if err != nil {
			return false, false, err
		}
	}
	right, err = e.hasher.Verify(ctx, string(hash), password)
	if errors.Is(err, hasher.ErrBusy) {
		err = ErrBusy
	}
	return right, right && e.hasher.Outdated(string(hash)), err
}

// errChanged says that what a decision was based on has changed before the
// transaction that would carry it out.
var errChanged = errors.New("latchkey: the user has changed meanwhile")

// settled tries again when the user has changed while a password was hashed.
func settled[T any](try func() (T, error)) (T, error) {
	for range 3 {
		result, err := try()
		if !errors.Is(err, errChanged) {
			return result, err
		}
	}
	var zero T
	return zero, ErrBusy // the user changes faster than a password is hashed
}

// unchanged returns the row of a user as it is now, or errChanged if it is not
// what a password was checked for or hashed for.
func unchanged(ctx context.Context, r store.Reader, read *record.User) (*record.User, error) {
	user, err := record.Users.Get(ctx, r, record.Users.Primary(), store.Text(read.ID))
	if errors.Is(err, store.ErrNotFound) {
		return nil, errChanged
	}
	if err == nil && (user.Key != read.Key || user.Email != read.Email || user.Phone != read.Phone || user.Name != read.Name ||
		user.Blocked != read.Blocked || !bytes.Equal(user.Password, read.Password)) {
		err = errChanged
	}
	return user, err
}

// passwordGuard is the guard of a user's password: the same for signing in and
// for changes that ask for it.
func (e *Engine) passwordGuard(user *record.User) guard {
	if user.Email == "" {
		return e.guard(failPassword, "user/"+user.ID)
	}
	return e.guard(failPassword, user.Email)
}

// reset is a change of an account that asks for its password, or sets one.
type reset struct {
	// current is the password that the account has. An account without one is
	// asked for none.
	current string
	// fresh is the password to set, "" for none, given whether there is one.
	fresh func(has bool) string
	// check refuses the change on sight of the user; it may be nil.
	check func(user *record.User) error
	edit  func(user *record.User)
	// endOthers says that a change of the password ends the other sessions.
	endOthers bool
}

// reset carries out a change that asks for the password. Wrong answers are
// counted as those of signing in are.
func (a *Account) reset(ctx context.Context, op string, c reset) (*User, error) {
	if a == nil || a.engine == nil {
		return nil, ErrUnauthorized
	}
	user, err := settled(func() (*User, error) { return a.tryReset(ctx, c) })
	return user, outward(op, err)
}

func (a *Account) tryReset(ctx context.Context, c reset) (*User, error) {
	e := a.engine
	if err := e.open(); err != nil {
		return nil, err
	}
	now := e.now()
	if err := a.live(ctx, e.store, now); err != nil {
		return nil, err
	}
	read, err := a.user(ctx, e.store)
	if err != nil {
		return nil, err
	}
	if c.check != nil {
		if err := c.check(read); err != nil {
			return nil, err
		}
	}
	has := read.Password != nil
	if has {
		if err := a.prove(ctx, read, c.current); err != nil {
			return nil, err
		}
	}
	var hash []byte
	if fresh := c.fresh(has); fresh != "" || !has {
		if err := e.policy.checkNewPassword(fresh); err != nil {
			return nil, err
		}
		if hash, err = e.hashPassword(ctx, read.ID, fresh); err != nil {
			return nil, err
		}
	}
	var shown *User
	err = e.update(ctx, now, a.actor(), func(ctx context.Context, tx *txn) (err error) {
		shown, err = nil, nil
		if err := a.live(ctx, tx, now); err != nil {
			return err
		}
		user, err := unchanged(ctx, tx, read)
		if err != nil {
			return err
		}
		if has {
			if err := e.passwordGuard(user).pass(ctx, tx); err != nil {
				return err
			}
		}
		shown, err = tx.changeUser(ctx, user, func(user *record.User) error {
			c.edit(user)
			if hash != nil {
				user.Password, user.PasswordUpdated, user.MustReset = hash, now, false
			}
			return nil
		})
		if err == nil && hash != nil && c.endOthers && !e.policy.KeepSessionsOnPasswordChange {
			err = tx.endSessions(ctx, user, a.session.ID)
		}
		return err
	})
	return shown, err
}

// prove checks the password of a signed-in user, and counts and logs a wrong
// one.
func (a *Account) prove(ctx context.Context, user *record.User, password string) error {
	e, now := a.engine, a.engine.now()
	guard := e.passwordGuard(user)
	failures, err := guard.failures(ctx, e.store, now)
	if err == nil {
		err = delayed(failures, now)
	}
	if err != nil {
		return err
	}
	right, _, err := e.verifyPassword(ctx, user, password)
	if err != nil || right {
		return err
	}
	err = e.update(ctx, now, a.actor(), func(ctx context.Context, tx *txn) error {
		if err := guard.fail(ctx, tx, now); err != nil {
			return err
		}
		return tx.refuse(ctx, logUserRefuse, user, guard.subject, ErrInvalidCredentials)
	})
	if err != nil {
		return err
	}
	return ErrInvalidCredentials
}
