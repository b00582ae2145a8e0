package latchkey

import (
	"context"
	"errors"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// NewRecovery is the input of [Guest.CreateRecovery].
type NewRecovery struct {
	Email string
	// URL is the page that the link opens, as in NewMagicURLToken. It is required.
	URL string
}

// CreateRecovery sends a link to an e-mail address, with which [Guest.ConfirmRecovery]
// sets a new password for the user of the address. The link can be used once, for an
// hour unless the policy says otherwise. A new one ends it.
//
// The answer is the same whether the address belongs to a user, to nobody, or to a
// blocked user, and it names no user. Nothing is sent to a blocked user, nor to an
// unproven address of a user who has proven a number: it may be a stranger's. If the
// policy discloses accounts, the answer holds the user's id, and there is an event.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrSMTPDisabled]
//   - [*ThrottledError]: after ten calls in an hour for the address or from the client
//     address, or after the messages that either may have. As of CreateMagicURLToken, a
//     known client address has ten more.
//   - [ErrUserNotFound], [ErrUserBlocked]: only if the policy discloses accounts.
func (g *Guest) CreateRecovery(ctx context.Context, n NewRecovery) (_ *Token, err error) {
	defer g.home().operation(&ctx, "create recovery").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	email, err := checkEmail(n.Email)
	if err != nil {
		return nil, err
	}
	secret := newSecret().Reveal()
	link, err := c.requiredLinkMaker(n.URL, secret)
	if err != nil {
		return nil, err
	}
	return c.sendToken(ctx, tokenRequest{kind: kindRecovery, destination: email, secret: secret, link: link})
}

// ConfirmRecovery sets a new password by the secret in a link of
// [Guest.CreateRecovery], and proves the address. All sessions of the user end, unless
// the policy keeps them, and so do open links and codes. The user gets a notice.
//
// The call signs no one in, and a second factor is owed as before. Password and code by
// e-mail prove the same mailbox then, so for a user with other factors a code by e-mail
// is no second factor until another one has been proven, or the password is changed.
// If no address of the user was proven before, this is the first proof, as in
// [Guest.CreateSession]: parts of the account that an attacker may have planted are
// removed.
//
// Errors:
//   - [ErrArgumentInvalid], [ErrPasswordPersonalData], [ErrPasswordRecentlyUsed]: the
//     password is against the rules. The link can still be used; five passwords that were
//     used before end it.
//   - [ErrInvalidToken], [ErrUserNotFound], [ErrUserBlocked], [*ThrottledError]: as of
//     [Guest.ConfirmEmailVerification].
//   - [ErrBusy]
func (g *Guest) ConfirmRecovery(ctx context.Context, userID, secret, password string) (_ *Token, err error) {
	defer g.home().operation(&ctx, "update recovery").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	claim, err := checkRedeemed(userID, secret)
	if err != nil {
		return nil, err
	}
	if err := c.policy.checkStrength(password); err != nil {
		return nil, err
	}
	if err := c.limitConfirm(ctx, recovers, claim); err != nil {
		return nil, err
	}
	token, err := retryChanged(func() (*Token, error) { return c.tryRecover(ctx, claim, password) })
	return token, c.unlessUnknown(ctx, userID, err)
}

// tryRecover sets a new password by a link, once.
func (c *call) tryRecover(ctx context.Context, claim link, password string) (*Token, error) {
	read, fresh, err := c.recoverable(ctx, claim, password)
	if errors.Is(err, ErrPasswordRecentlyUsed) {
		return nil, c.refuseUsed(ctx, claim, err)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return update(ctx, c, func(ctx context.Context, tx *txn) (*Token, error) {
		t, err := tx.claimToken(ctx, recovers, claim)
		if err != nil {
			return nil, err
		}
		if read == nil {
			return nil, errChanged // the link did not exist a moment ago
		}
		user, err := unchanged(ctx, tx, read)
		if err != nil {
			return nil, err
		}
		if _, err := tx.tokenOwner(ctx, t); err != nil {
			return nil, err
		}
		tx.by.become(user)
		user, err = tx.proveAddress(ctx, user, byEmail, func(u *record.User) error {
			err := fresh.set(&tx.policy, u, tx.now)
			u.Recovered = true
			return err
		})
		if err != nil {
			return nil, err
		}
		if user == nil {
			return nil, ErrInvalidToken
		}
		if !tx.policy.Sessions.KeepOnPasswordChange {
			if err := tx.endSessions(ctx, user, ""); err != nil {
				return nil, err
			}
		}
		tx.event(user.ID, "recovery."+t.ID+".update", showToken(t, user.ID))
		return showToken(t, user.ID), tx.log(ctx, logRecoveryUpdate, user)
	})
}

// refuseUsed refuses a password that was used before. The answer tells what one of the
// passwords is, so it is charged to the link like a wrong code: five end the link.
func (c *call) refuseUsed(ctx context.Context, claim link, refused error) error {
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return c.update(ctx, func(ctx context.Context, tx *txn) error {
		t, err := tx.findLink(ctx, tx, claim, recovers)
		if err != nil {
			return err
		}
		if t == nil {
			return errWrongLink
		}
		if t.Failures++; t.Failures >= codeFailures {
			err = record.Tokens.Delete(ctx, tx, store.Text(t.ID))
		} else {
			err = record.Tokens.Replace(ctx, tx, t)
		}
		if err != nil {
			return err
		}
		return &refusal{refused}
	})
}

// recoverable returns the user of a link, nil if absent, and the password that they will
// have. The password is hashed before the transaction, and only for a right link.
func (c *call) recoverable(ctx context.Context, claim link, password string) (*record.User, passwordHash, error) {
	t, err := c.findLink(ctx, c.store, claim, recovers)
	if t == nil || err != nil {
		return nil, passwordHash{}, err
	}
	user, err := findUser(ctx, c.store, t.UserID)
	switch {
	case err != nil:
		return nil, passwordHash{}, err
	case user == nil, user.Email != t.Destination:
		return nil, passwordHash{}, ErrInvalidToken
	case user.Blocked:
		return nil, passwordHash{}, ErrUserBlocked
	case !mayRecover(user, c.now):
		return nil, passwordHash{}, ErrInvalidToken
	}
	fresh, err := c.hashNew(ctx, user, password)
	return user, fresh, err
}
