package latchkey

import (
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// CreateEmailPasswordSession signs a user in by e-mail address and password,
// and returns the session with its secret. A user has ten sessions unless the
// policy says otherwise; one more ends the oldest. The session lives a year
// unless the policy says otherwise.
//
// Errors: [ErrArgumentInvalid] for an address that is none and for a password
// of a form that no password has (8 to 256 characters, 1,024 bytes);
// [ErrInvalidCredentials] for an unknown address, a user without a password and
// a wrong password, at the same cost (a hash with older parameters has its own
// cost until the first right sign-in renews it); [ErrUserBlocked], after the
// right password only; a [*ThrottledError] after too many calls for the address,
// and while it is slowed: from the eleventh wrong password in a row, 30 seconds,
// doubling up to an hour, for known and unknown addresses alike;
// [ErrPasswordResetRequired] if the policy disables a password that was guessed
// at too often; [ErrAuthMethodUnsupported]; [ErrBusy] when too many passwords are
// being checked. A client address from which the user has signed in within 90
// days is counted apart, so that strangers cannot keep the user out.
func (g *Guest) CreateEmailPasswordSession(ctx context.Context, email, password string) (*Session, error) {
	session, err := g.signInByPassword(ctx, email, password)
	return session, outward("create e-mail session", err)
}

func (g *Guest) signInByPassword(ctx context.Context, email, password string) (*Session, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	email, err := canon.Email(email)
	if err != nil {
		return nil, invalid("email", err)
	}
	if err := checkPasswordForm(password, passwordMin); err != nil {
		return nil, err
	}
	e, now := g.engine, g.engine.now()
	if err := e.policy.enabled(g.client, EmailPassword, "Email and password"); err != nil {
		return nil, err
	}
	user, guard, err := g.find(ctx, now, email)
	if err != nil {
		return nil, err
	}
	if err := e.limit(ctx, g.client, now, limitEmailSession, guard.key); err != nil {
		return nil, err
	}
	if err := e.limit(ctx, g.client, now, limitEmailSessionByClient, g.client.network()); err != nil {
		return nil, err
	}
	session, err := settled(func() (session *Session, err error) {
		session, err = g.tryPassword(ctx, now, guard, user, email, password)
		if errors.Is(err, errChanged) {
			var changed error
			if user, guard, changed = g.find(ctx, now, email); changed != nil {
				err = changed
			}
		}
		return session, err
	})
	if err == nil {
		e.unlimit(ctx, limitEmailSession, guard.key)
	}
	return session, err
}

// find returns the user with an address, nil for nobody, and the guard of the
// password.
func (g *Guest) find(ctx context.Context, now time.Time, email string) (*record.User, guard, error) {
	user, err := record.Users.Get(ctx, g.engine.store, record.Users.Index("email"), store.Text(email))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, guard{}, err
	}
	guard, err := g.engine.guard(ctx, g.engine.store, now, failPassword, email, user, g.client)
	return user, guard, err
}

func (g *Guest) tryPassword(ctx context.Context, now time.Time, guard guard, user *record.User, email, password string) (*Session, error) {
	e := g.engine
	if _, err := guard.wait(ctx, e.store, now); err != nil {
		return nil, err
	}
	right, outdated, err := e.verifyPassword(ctx, user, password)
	if err != nil {
		return nil, err
	}
	if !right || user.Blocked {
		return nil, g.turnAway(ctx, now, guard, user, right)
	}
	var upgrade newPassword
	if outdated {
		if upgrade, err = e.upgraded(ctx, user, password); err != nil {
			return nil, err
		}
	}
	in := e.newSignIn(ctx, g.client, providerEmail, email, factorPassword)
	var made *record.Session
	err = e.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) (err error) {
		made, err = tx.enter(ctx, guard, user, upgrade, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.session(in, made)
}

// turnAway counts a wrong password, or tells a blocked user of the right one.
// Both are logged.
func (g *Guest) turnAway(ctx context.Context, now time.Time, guard guard, user *record.User, right bool) error {
	reason := ErrInvalidCredentials
	if right {
		reason = ErrUserBlocked
	}
	err := g.engine.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) error {
		if right {
			if _, err := guard.wait(ctx, tx, now); err != nil {
				return err
			}
		} else if err := guard.fail(ctx, tx); err != nil {
			return err
		}
		return tx.refuse(ctx, logSessionRefuse, user, guard.subject, reason)
	})
	if err != nil {
		return err
	}
	return reason
}

// enter makes the session of a user whose password was right, unless the
// user or the delay has changed since they were read.
func (tx *txn) enter(ctx context.Context, guard guard, read *record.User, upgrade newPassword, in *signIn) (*record.Session, error) {
	if err := guard.pass(ctx, tx); err != nil {
		return nil, err
	}
	user, err := unchanged(ctx, tx, read)
	if err != nil {
		return nil, err
	}
	if upgrade.hash != nil {
		user.Password, user.PasswordHistory, user.Updated = upgrade.hash, upgrade.history, tx.now
		if err := record.Users.Replace(ctx, tx, user); err != nil {
			return nil, err
		}
	}
	return tx.createSession(ctx, user, in)
}

// CreateAnonymousSession makes a user without a name, an address or a password,
// and signs them in. Whoever loses the secret loses the account.
//
// Errors: a [*ThrottledError] after 50 calls from a client address in an hour;
// [ErrUserCountExceeded]; [ErrAuthMethodUnsupported].
func (g *Guest) CreateAnonymousSession(ctx context.Context) (*Session, error) {
	session, err := g.signInAnonymously(ctx)
	return session, outward("create anonymous session", err)
}

func (g *Guest) signInAnonymously(ctx context.Context) (*Session, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	e, now := g.engine, g.engine.now()
	if err := e.policy.enabled(g.client, AnonymousSession, "Anonymous"); err != nil {
		return nil, err
	}
	if err := e.limit(ctx, g.client, now, limitAnonymousSession, g.client.network()); err != nil {
		return nil, err
	}
	user := newUser(newID(), now)
	in := e.newSignIn(ctx, g.client, providerAnonymous, "", factorAnonymous)
	var made *record.Session
	err := e.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) (err error) {
		made = nil
		if err := tx.roomForUser(ctx); err != nil {
			return err
		}
		if _, err := tx.insertUser(ctx, user); err != nil {
			return err
		}
		made, err = tx.createSession(ctx, user, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e.session(in, made)
}
