package latchkey

import (
	"cmp"
	"context"
	"errors"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// CreateEmailPasswordSession signs a user in by e-mail address and password, and
// returns the session with its secret. A user has at most ten sessions unless the
// policy says otherwise; a further one ends the oldest. The session lives for a
// year unless the policy says otherwise.
//
// An unknown address, a user without a password and a wrong password get the same
// answer at the same cost. (A hash with older parameters has its own cost until the
// first right sign-in renews it.) A client address from which the user has signed
// in within 90 days is counted apart, so that strangers cannot keep the user out.
//
// Errors:
//   - [ErrArgumentInvalid]: the address is malformed.
//   - [ErrInvalidCredentials]: unknown address, no password, or wrong password. A text that
//     is too short or too long for any password (1 to 256 characters, 1,024 bytes: users may
//     have come from elsewhere with a shorter one than the policy allows) is a wrong one, and is
//     not counted.
//   - [ErrUserBlocked]: only after the right password.
//   - [*ThrottledError]: after too many calls for the address, after 300 failed sign-ins
//     of any kind from the client address in an hour, and while the address
//     is slowed: from the eleventh wrong password in a row, 30 seconds, doubling up
//     to an hour, for known and unknown addresses alike.
//   - [ErrPasswordResetRequired]: the policy disables a password after too many
//     guesses.
//   - [ErrAuthMethodUnsupported]: the policy disables sign-in by password.
//   - [ErrBusy]: too many passwords are being checked. Clients wait in turn, and one
//     client address takes at most half of the places in the queue.
func (g *Guest) CreateEmailPasswordSession(ctx context.Context, email, password string) (_ *Session, err error) {
	defer g.home().operation(&ctx, "create e-mail session").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	if email, err = checkEmail(email); err != nil {
		return nil, err
	}
	if err := c.enabled(MethodEmailPassword); err != nil {
		return nil, err
	}
	if checkPasswordForm(password, 1) != nil { // no guess
		return nil, ErrInvalidCredentials
	}
	s, err := c.readAttempt(ctx, email, password)
	if err != nil {
		return nil, err
	}
	for _, l := range []limited{limitEmailSessionByClient, limitSignInsByClient} {
		if err := c.limitClient(ctx, l); err != nil {
			return nil, err
		}
	}
	own := "" // the client's own calls for the address, of which the host is told
	if network := c.client.network(); network != "" {
		own = "own\n" + network + "\n" + email
	}
	session, err := limitFailures(ctx, c, func() (*Session, error) {
		if err := c.limit(ctx, limitEmailSession, own); err != nil {
			return nil, err
		}
		if err := c.limitQuietly(ctx, limitEmailSession, s.guard.key); err != nil {
			return nil, err
		}
		return retryChanged(func() (*Session, error) {
			session, err := s.try(ctx)
			if errors.Is(err, errChanged) {
				var failed error
				if s, failed = c.readAttempt(ctx, email, password); failed != nil {
					return nil, failed
				}
			}
			return session, err
		})
	})
	if err == nil {
		c.unlimit(ctx, limitEmailSession, s.guard.key)
		c.unlimit(ctx, limitEmailSession, own)
	}
	return session, err
}

// passwordAttempt is one sign-in by password, as far as it was read.
type passwordAttempt struct {
	*call
	email, password string
	user            *record.User // nil if the address has no user
	guard           guard
}

// readAttempt reads the user of an address and the guard of the password.
func (c *call) readAttempt(ctx context.Context, email, password string) (*passwordAttempt, error) {
	user, err := record.Users.Find(ctx, c.store, byEmail.index, store.Text(email))
	if err != nil {
		return nil, err
	}
	g, err := c.guardFor(ctx, c.store, failPassword, email, user)
	if err != nil {
		return nil, err
	}
	return &passwordAttempt{c, email, password, user, g}, nil
}

// try compares the password and signs in, or counts and refuses it.
func (s *passwordAttempt) try(ctx context.Context) (*Session, error) {
	if err := s.guard.check(ctx, s.store); err != nil {
		return nil, err
	}
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	right, outdated, err := s.verifyPassword(ctx, s.user, s.password)
	if err != nil {
		return nil, err
	}
	if !right || s.user.Blocked {
		return nil, s.refuse(ctx, right)
	}
	var upgrade passwordHash
	if outdated {
		if upgrade, err = s.upgraded(ctx, s.user, s.password); err != nil {
			return nil, err
		}
	}
	in := s.newSignIn(ctx, providerEmail, s.email, factorPassword)
	return update(ctx, s.call, func(ctx context.Context, tx *txn) (*Session, error) { return s.enter(ctx, tx, upgrade, in) })
}

// refuse counts a wrong password, or tells a blocked user of the right one. Both
// are logged.
func (s *passwordAttempt) refuse(ctx context.Context, right bool) error {
	return s.update(ctx, func(ctx context.Context, tx *txn) error {
		if right {
			if err := s.guard.check(ctx, tx); err != nil {
				return err
			}
			return tx.refuse(ctx, refused{logSessionRefuse, s.user, ErrUserBlocked})
		}
		if err := s.guard.countWrong(ctx, tx); err != nil {
			return err
		}
		return tx.refuse(ctx, refused{logSessionRefuse, s.user, ErrInvalidCredentials})
	})
}

// enter makes the session of a user whose password was right, unless the user or
// the delay has changed since they were read.
func (s *passwordAttempt) enter(ctx context.Context, tx *txn, upgrade passwordHash, in *signIn) (*Session, error) {
	if err := s.guard.passed(ctx, tx); err != nil {
		return nil, err
	}
	user, err := unchanged(ctx, tx, s.user)
	if err != nil {
		return nil, err
	}
	if upgrade.hash != nil {
		user.Password, user.PasswordHistory, user.Updated = upgrade.hash, upgrade.history, tx.now
	}
	if upgrade.hash != nil || user.Unclaimed {
		user.Unclaimed = false // the password is shown
		if err := record.Users.Replace(ctx, tx, user); err != nil {
			return nil, err
		}
	}
	return tx.createSession(ctx, user, in)
}

// CreateAnonymousSession makes a user without name, address and password, and
// signs them in. A user who loses the secret loses the account.
//
// Errors:
//   - [*ThrottledError]: after 50 calls from a client address in an hour.
//   - [ErrUserCountExceeded]
//   - [ErrSignUpClosed]
//   - [ErrAuthMethodUnsupported]
func (g *Guest) CreateAnonymousSession(ctx context.Context) (_ *Session, err error) {
	defer g.home().operation(&ctx, "create anonymous session").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(c.enabled(MethodAnonymousSession), c.maySignUp()); err != nil {
		return nil, err
	}
	if err := c.limitClient(ctx, limitAnonymousSession); err != nil {
		return nil, err
	}
	drawn := newUser(newID(), c.now)
	in := c.newSignIn(ctx, providerAnonymous, "", factorAnonymous)
	return update(ctx, c, func(ctx context.Context, tx *txn) (*Session, error) {
		if err := tx.checkUserLimit(ctx); err != nil {
			return nil, err
		}
		user := *drawn
		if _, err := tx.insertUser(ctx, &user); err != nil {
			return nil, err
		}
		return tx.createSession(ctx, &user, in)
	})
}
