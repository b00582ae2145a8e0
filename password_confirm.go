package latchkey

import (
	"context"
	"strings"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// errNoPassword is the answer to the password of an account that has none.
var errNoPassword = newError(ErrInvalidCredentials.Type, ErrInvalidCredentials.Category, "The account has no password")

// ConfirmPassword takes the password of the account again, before an operation that asks for a
// recent proof. The session has proven the password then, and is as fresh as after a sign-in: for
// [Account.UpdateMFA], [Account.CreateMFAAuthenticator] and their like, and for
// [Account.RequireRecent]. It is returned with a new secret, and the old one is refused from then
// on, as for [Account.ConfirmMFAChallenge].
//
// It is for users without a second factor. While MFA is on and the user has one, the password is
// not enough: the session answers a challenge. An operation that asks for a challenge in any case,
// such as [Account.MFARecoveryCodes], goes on to ask for one.
//
// Errors:
//   - [ErrInvalidCredentials]: wrong password, counted and slowed together with those of
//     [Guest.CreateEmailPasswordSession]; or the account has no password, which is not counted.
//   - [ErrChallengeRequired]: the user has a second factor, and MFA is on.
//   - [ErrSessionNotFound]: for a JWT.
//   - [*ThrottledError]: after ten calls in an hour of the user from the client address; a success
//     resets that. After 300 failed sign-ins of any kind from the client address in an hour, and
//     while the address is slowed.
//   - [ErrPasswordResetRequired]: the policy disables a password after too many guesses.
//   - [ErrBusy]
func (a *Account) ConfirmPassword(ctx context.Context, password string) (_ *Session, err error) {
	defer a.home().operation(&ctx, "confirm password").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if a.jwt != nil {
		return nil, ErrSessionNotFound
	}
	if _, err := a.confirming(ctx, c, c.store); err != nil {
		return nil, err
	}
	key := a.session.UserID + "\n" + c.client.network()
	if err := c.limit(ctx, limitConfirmPassword, key); err != nil {
		return nil, err
	}
	session, err := limitFailures(ctx, c, func() (*Session, error) {
		return retryChanged(func() (*Session, error) { return a.tryConfirm(ctx, c, password) })
	})
	if err == nil {
		c.unlimit(ctx, limitConfirmPassword, key)
	}
	return session, err
}

// confirming is the gate of ConfirmPassword.
func (a *Account) confirming(ctx context.Context, c *call, r store.Reader) (*record.User, error) {
	user, err := a.standing(ctx, c, r)
	switch {
	case err != nil:
		return nil, err
	case user.Password == nil:
		return nil, errNoPassword
	case user.MFA && len(c.secondFactors(strings.Fields(userFacts(user).factors))) > 0:
		return nil, ErrChallengeRequired
	}
	return user, nil
}

// tryConfirm is ConfirmPassword, once.
func (a *Account) tryConfirm(ctx context.Context, c *call, password string) (*Session, error) {
	read, err := a.confirming(ctx, c, c.store)
	if err != nil {
		return nil, err
	}
	g, err := c.guardFor(ctx, c.store, failPassword, passwordSubject(read), read)
	if err != nil {
		return nil, err
	}
	if err := g.checkPassword(ctx, c.store, password); err != nil {
		return nil, err
	}
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := a.provePassword(ctx, &g, (*Account).confirming, read, password); err != nil {
		return nil, err
	}
	secret := newSecret()
	return accountUpdate(ctx, c, a, (*Account).confirming, func(ctx context.Context, tx *txn, _ *record.User) (*Session, error) {
		user, err := unchanged(ctx, tx, read)
		if err != nil {
			return nil, err
		}
		if err := g.passed(ctx, tx); err != nil {
			return nil, err
		}
		if user.Unclaimed {
			user.Unclaimed = false // the password is shown
			if err := tx.changeFacts(ctx, user); err != nil {
				return nil, err
			}
		}
		return a.showedPassword(ctx, tx, user, secret)
	})
}

// showedPassword records that the session has proven the password, and gives it a new secret.
func (a *Account) showedPassword(ctx context.Context, tx *txn, user *record.User, secret Secret) (*Session, error) {
	row, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
	if err != nil {
		return nil, err
	}
	addFactor(row, factorPassword)
	row.Assumed = withoutFactor(row.Assumed, factorPassword)
	row.Confirmed, row.PasswordEpoch, row.Updated, row.Touched = tx.now, user.PasswordEpoch, tx.now, tx.now
	tx.noteOwing(row)
	if tx.policy.Factors.KeepSecretOnChallenge {
		secret = Secret{}
	} else if err := tx.renewSecret(ctx, row, sessionDigest(secret)); err != nil {
		return nil, err
	}
	if err := record.Sessions.Replace(ctx, tx, row); err != nil {
		return nil, err
	}
	if err := tx.logSession(ctx, logSessionUpdate, user, row); err != nil {
		return nil, err
	}
	shown, err := a.showOwn(tx.call, row)
	if err == nil {
		shown.Secret = secret
	}
	return shown, err
}
