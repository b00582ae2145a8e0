package latchkey

import (
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

// NewRecovery is what a recovery is made of.
type NewRecovery struct {
	Email string
	// URL is where the link leads, as in NewMagicURLToken; it is required.
	URL string
}

// CreateRecovery sends a link to an e-mail address, with which
// [Guest.UpdateRecovery] sets a new password for the user who has it. The link can
// be used once, for an hour unless the policy says otherwise; a new one ends it.
//
// Whether anybody has the address, or is blocked, changes nothing in the answer,
// which names no user. Nothing is sent to a blocked user, nor to an address that
// its user has not proven while they have proven a number: it may be a stranger's.
// If the policy discloses accounts, the answer has the user's id, and there is an
// event of it.
//
// Errors: [ErrArgumentInvalid]; [ErrSMTPDisabled]; a [*ThrottledError] after ten
// calls in an hour for the address or from the client address, or the messages
// that either may have; with a policy that discloses accounts, [ErrUserNotFound]
// and [ErrUserBlocked].
func (g *Guest) CreateRecovery(ctx context.Context, n NewRecovery) (*Token, error) {
	token, err := g.askRecovery(ctx, n)
	return token, outward("create recovery", err)
}

func (g *Guest) askRecovery(ctx context.Context, n NewRecovery) (*Token, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	email, err := canon.Email(n.Email)
	if err != nil {
		return nil, invalid("email", err)
	}
	e, secret := g.engine, newSecret().Reveal()
	link, err := e.linkTo(n.URL, secret)
	if err != nil {
		return nil, err
	}
	return g.ask(ctx, e.now(), request{
		kind: tokenRecovery, message: notify.Recovery, channel: notify.Email, off: ErrSMTPDisabled, limit: limitCreateRecovery, byIP: true,
		logged: logRecoveryCreate, destination: email, life: e.policy.RecoveryLength, secret: secret, link: link,
	})
}

// UpdateRecovery sets a new password by the secret in a link of
// [Guest.CreateRecovery], and proves the address. All sessions of the user end,
// unless the policy keeps them, and so do open links and codes; the user is told.
// Nobody is signed in by it, and a second factor is owed as before: until another
// has been proven, or the password is changed, a code by e-mail is not one for a
// user who has others, since password and code prove the same mailbox. Where none of
// the user's addresses was proven until now, it is the first proof, as in
// [Guest.CreateSession]: what else may have been planted in the account goes.
//
// Errors: [ErrArgumentInvalid], [ErrPasswordPersonalData],
// [ErrPasswordRecentlyUsed] for a password against the rules, after which the link
// can be used still; [ErrInvalidToken], [ErrUserNotFound], [ErrUserBlocked] and a
// [*ThrottledError] as of [Guest.UpdateEmailVerification]; [ErrBusy].
func (g *Guest) UpdateRecovery(ctx context.Context, userID, secret, password string) (*Token, error) {
	token, err := g.recover(ctx, userID, secret, password)
	return token, outward("update recovery", err)
}

func (g *Guest) recover(ctx context.Context, userID, secret, password string) (*Token, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	e, now := g.engine, g.engine.now()
	if err := checkRedeemed(userID, secret); err != nil {
		return nil, err
	}
	if err := e.policy.checkStrength(password); err != nil {
		return nil, err
	}
	if err := g.limitConfirm(ctx, now, recovers, limitUpdateRecovery, userID, secret); err != nil {
		return nil, err
	}
	token, err := settled(func() (*Token, error) { return g.tryRecover(ctx, now, userID, secret, password) })
	if err != nil {
		return nil, g.unlessUnknown(ctx, userID, err)
	}
	return token, nil
}

func (g *Guest) tryRecover(ctx context.Context, now time.Time, userID, secret, password string) (shown *Token, err error) {
	e := g.engine
	read, fresh, err := g.recoverable(ctx, now, userID, secret, password)
	if err != nil {
		return nil, err
	}
	var refused error
	err = e.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) error {
		shown, refused = nil, nil
		t, err := tx.claim(ctx, g.client, recovers, userID, secret, &refused)
		if err != nil || refused != nil {
			return err
		}
		if read == nil {
			return errChanged // there was no such link a moment ago
		}
		user, err := unchanged(ctx, tx, read)
		if err != nil {
			return err
		}
		if _, err := tx.owner(ctx, t, notify.Email); err != nil {
			return err
		}
		tx.by.become(user)
		user, err = tx.proven(ctx, user, notify.Email, func(u *record.User) error {
			err := fresh.set(&e.policy, u, now)
			u.Recovered = true
			return err
		})
		if err != nil {
			return err
		}
		if user == nil {
			return ErrInvalidToken
		}
		if !e.policy.KeepSessionsOnPasswordChange {
			if err := tx.endSessions(ctx, user, ""); err != nil {
				return err
			}
		}
		shown = shownToken(t, user.ID)
		tx.event(user.ID, "recovery."+t.ID+".update", shownToken(t, user.ID))
		return tx.log(ctx, logRecoveryUpdate, user)
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// recoverable returns the user of a link, nil for none, and the password that
// they will have: it is hashed before the transaction, and for nobody else.
func (g *Guest) recoverable(ctx context.Context, now time.Time, userID, secret, password string) (*record.User, newPassword, error) {
	e := g.engine
	t, err := findLink(ctx, e.store, now, []purpose{recovers}, userID, secret)
	if t == nil || err != nil {
		return nil, newPassword{}, err
	}
	user, err := getUser(ctx, e.store, t.UserID)
	switch {
	case errors.Is(err, ErrUserNotFound), err == nil && user.Email != t.Destination:
		return nil, newPassword{}, ErrInvalidToken
	case err != nil:
		return nil, newPassword{}, err
	case user.Blocked:
		return nil, newPassword{}, ErrUserBlocked
	case !mayRecover(user):
		return nil, newPassword{}, ErrInvalidToken
	}
	fresh, err := e.newPassword(ctx, user, password)
	return user, fresh, err
}
