package latchkey

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// NewMFAAuthenticator are the parameters of an authenticator. The zero value is the one
// that every app knows: SHA-1, six digits, a seed of 160 bits.
type NewMFAAuthenticator struct {
	Type      Factor // FactorTOTP, or "" for it
	Algorithm string // SHA1, or SHA256 with a seed of 256 bits; "" means SHA1
	Digits    int    // 6 or 8; 0 means 6
}

// check refuses other parameters.
func (n NewMFAAuthenticator) check() error {
	switch {
	case n.Type != "" && n.Type != FactorTOTP:
		return invalid("type", reason.New(reason.Unknown, "not totp"))
	case n.Algorithm != "SHA1" && n.Algorithm != "SHA256":
		return invalid("algorithm", reason.New(reason.Unknown, "not SHA1 or SHA256"))
	case n.Digits != 6 && n.Digits != 8:
		return invalid("digits", reason.New(reason.Unknown, "not 6 or 8"))
	}
	return nil
}

// MFAAuthenticator is the secret of an authenticator app. It is shown once. Package qr
// draws the URI.
type MFAAuthenticator struct {
	Secret Secret `json:"-"` // in base32
	URI    Secret `json:"-"` // otpauth://totp/..., with the secret in it
}

// CreateMFAAuthenticator begins to enrol an authenticator app: it returns the seed for
// the app. The authenticator is no factor until [Account.VerifyMFAAuthenticator] has
// seen a code of it; until then another call replaces it. The seed is not shown again: a page
// that has lost its picture calls CreateMFAAuthenticator anew.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrAuthMethodUnsupported]
//   - [ErrAuthenticatorAlreadyVerified]
//   - [ErrChallengeRequired]: the session has neither signed in nor answered a challenge
//     within the window of the policy; or the user has a passkey, and the session has not proven
//     one, or a recovery code, within that window.
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) CreateMFAAuthenticator(ctx context.Context, n NewMFAAuthenticator) (_ *MFAAuthenticator, err error) {
	defer a.home().operation(&ctx, "create authenticator").end(&err)
	if n.Algorithm == "" {
		n.Algorithm = "SHA1"
	}
	n.Digits = cmp.Or(n.Digits, 6)
	seed := make([]byte, 20)
	if n.Algorithm == "SHA256" {
		seed = make([]byte, 32)
	}
	_, _ = rand.Read(seed) // never fails
	id := newID()
	enrol := func(ctx context.Context, tx *txn, user *record.User, s *record.Session) (*MFAAuthenticator, error) {
		if err := n.check(); err != nil {
			return nil, err
		}
		if err := tx.checkFactor(FactorTOTP); err != nil {
			return nil, err
		}
		old, err := findAuthenticator(ctx, tx, user.ID)
		switch {
		case err != nil:
			return nil, err
		case old != nil && old.Verified:
			return nil, ErrAuthenticatorAlreadyVerified
		}
		if err := tx.requireStrongest(user, s, freshUnlessOff); err != nil { // it stands in for a passkey
			return nil, err
		}
		if old != nil {
			if err := record.Authenticators.Delete(ctx, tx, store.Text(old.ID)); err != nil {
				return nil, err
			}
		}
		row := &record.Authenticator{
			ID: id, UserID: user.ID, Kind: string(FactorTOTP), Algorithm: n.Algorithm, Digits: int64(n.Digits), Created: tx.now, Updated: tx.now,
			Seed: tx.ring.Seal(seal.TOTP, seal.SeedPlace(id, user.ID), seed),
		}
		if err := record.Authenticators.Insert(ctx, tx, row); err != nil {
			return nil, err
		}
		app := totpOf(row, seed)
		made := &MFAAuthenticator{Secret: hide(app.Text()), URI: hide(app.URI(tx.app, labelOf(user)))}
		return made, tx.logFactorsChanged(ctx, user)
	}
	return changeFreshOften(ctx, a, freshUnlessOff, enrol)
}

// labelOf is the name that an app shows for the account of a user.
func labelOf(user *record.User) string {
	for _, name := range []string{user.Email, user.Phone, user.Name} {
		if codes.WithoutColons(name) != "" {
			return name
		}
	}
	return user.ID
}

// totpOf returns an authenticator with its seed, to make and compare codes.
func totpOf(row *record.Authenticator, seed []byte) codes.TOTP {
	return codes.TOTP{Seed: seed, Algorithm: row.Algorithm, Digits: int(row.Digits)}
}

// findAuthenticator returns the authenticator of a user, nil if absent.
func findAuthenticator(ctx context.Context, r store.Reader, userID string) (*record.Authenticator, error) {
	return record.Authenticators.Find(ctx, r, record.Authenticators.Index("user"), store.Text(userID), store.Text(string(FactorTOTP)))
}

// VerifyMFAAuthenticator confirms the authenticator that is being enrolled, by a code of
// it. From then on it is a factor of the user, and this session has proven it. It does not switch MFA
// on: the answer says by User.MFA whether the authenticator is in force, and if it is not,
// [Account.UpdateMFA] puts it in force. A wrong code leaves the enrolment as it is. Recovery codes
// that another session has made are void from then on. The user gets a notice. Wrong codes
// are counted and slowed together with those of challenges. The code is read as by
// [Account.ConfirmMFAChallenge].
//
// Errors:
//   - [ErrAuthenticatorNotFound]
//   - [ErrAuthenticatorAlreadyVerified]
//   - [ErrInvalidToken]: the code is wrong.
//   - [ErrAuthMethodUnsupported]
//   - [ErrChallengeRequired]: as of CreateMFAAuthenticator.
//   - [ErrSessionNotFound]: for a JWT.
//   - [*ThrottledError]
func (a *Account) VerifyMFAAuthenticator(ctx context.Context, otp string) (_ *User, err error) {
	defer a.home().operation(&ctx, "update authenticator").end(&err)
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return changeFresh(ctx, a, freshUnlessOff, func(ctx context.Context, tx *txn, user *record.User, s *record.Session) (*User, error) {
		if err := tx.checkFactor(FactorTOTP); err != nil {
			return nil, err
		}
		row, err := findAuthenticator(ctx, tx, user.ID)
		switch {
		case err != nil:
			return nil, err
		case row == nil:
			return nil, ErrAuthenticatorNotFound
		case row.Verified:
			return nil, ErrAuthenticatorAlreadyVerified
		}
		if err := tx.requireStrongest(user, s, freshUnlessOff); err != nil {
			return nil, err
		}
		g, err := tx.factorGuard(ctx, tx, FactorTOTP, user)
		if err != nil {
			return nil, err
		}
		if err := g.check(ctx, tx); err != nil {
			return nil, err
		}
		right, err := tx.claimTOTP(ctx, user, otp, false)
		if err != nil {
			return nil, err
		}
		if err := g.settle(ctx, tx, user, right, false, errWrongAppCode); err != nil {
			return nil, err
		}
		addFactor(s, string(FactorTOTP))
		s.Assumed = withoutFactor(s.Assumed, string(FactorTOTP)) // the session has shown it now
		s.Strong = tx.now
		tx.noteOwing(s)
		if err := record.Sessions.Replace(ctx, tx, s); err != nil {
			return nil, err
		}
		// The proofs of other sessions by a former authenticator, or by codes of their own,
		// prove nothing of this one.
		former := func(_ *record.Session, f string) bool {
			return f == string(FactorTOTP) || f == string(FactorRecoveryCode)
		}
		if err := tx.dropFactors(ctx, user, s.ID, former); err != nil {
			return nil, err
		}
		if err := tx.voidCodes(ctx, user, s.ID); err != nil {
			return nil, err
		}
		return tx.changeUser(ctx, user, func(u *record.User) error {
			u.TOTP = true
			return nil
		})
	})
}

// factorGuard returns the guard of a factor of a user.
func (c *call) factorGuard(ctx context.Context, r store.Reader, factor Factor, user *record.User) (guard, error) {
	return c.guardFor(ctx, r, failFactor+string(factor), user.Key, user)
}

// settle passes a right answer for a factor, or counts and refuses a wrong one with an error.
// again says that the session has proven the factor before.
func (g *guard) settle(ctx context.Context, tx *txn, user *record.User, right, again bool, wrong *Error) error {
	switch {
	case right && again:
		return g.passedAgain(ctx, tx)
	case right:
		return g.passed(ctx, tx)
	}
	if err := g.countWrong(ctx, tx); err != nil {
		return err
	}
	return tx.refuse(ctx, refused{logChallengeRefuse, user, wrong})
}

// checkAppCode refuses a text that is not a code of an authenticator app by its length.
func checkAppCode(row *record.Authenticator, typed string) error {
	if totpOf(row, nil).HasForm(typed) {
		return nil
	}
	return invalidToken(fmt.Sprintf("This is not a code of the authenticator app, which has %d digits", row.Digits))
}

// claimTOTP compares a code with those of the steps before, now and after, and claims
// its step. Each step is accepted once, and none before one that was. A text without the
// number of digits is an error and is not counted.
func (tx *txn) claimTOTP(ctx context.Context, user *record.User, code string, confirmed bool) (bool, error) {
	row, err := findAuthenticator(ctx, tx, user.ID)
	if err != nil {
		return false, err
	}
	if row == nil || row.Verified != confirmed {
		return false, ErrInvalidToken
	}
	code = codes.Typed(code)
	if err := checkAppCode(row, code); err != nil {
		return false, err
	}
	seed, err := tx.ring.Open(seal.TOTP, seal.SeedPlace(row.ID, row.UserID), row.Seed)
	if err != nil {
		return false, tx.sealFault(ctx, sealedTOTP, user.ID, err)
	}
	step, err := compare(ctx, func() (int64, error) { return totpOf(row, seed).Match(code, tx.now), nil })
	if err != nil {
		return false, err
	}
	if step <= row.Step {
		return false, nil
	}
	row.Step, row.Updated, row.Verified = step, tx.now, true
	return true, record.Authenticators.Replace(ctx, tx, row)
}

// DeleteMFAAuthenticator removes the authenticator, confirmed or not. The MFA switch
// stays as it is. The user gets a notice.
//
// Errors:
//   - [ErrChallengeRequired]: the session has not answered a challenge within the window
//     of the policy; or the authenticator is confirmed, and the session has not
//     answered one by it, or by a recovery code, within that window.
//   - [ErrAuthenticatorNotFound]
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) DeleteMFAAuthenticator(ctx context.Context) (err error) {
	defer a.home().operation(&ctx, "delete authenticator").end(&err)
	_, err = changeFresh(ctx, a, freshChallenge, func(ctx context.Context, tx *txn, user *record.User, _ *record.Session) (none, error) {
		return none{}, tx.deleteAuthenticator(ctx, user, a.session.ID)
	})
	return err
}

// deleteAuthenticator removes an authenticator, the wrong answers to it, and the factor
// from other sessions. kept is the id of the session that does it, "" without one.
func (tx *txn) deleteAuthenticator(ctx context.Context, user *record.User, kept string) error {
	row, err := findAuthenticator(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	if row == nil {
		return ErrAuthenticatorNotFound
	}
	if err := record.Authenticators.Delete(ctx, tx, store.Text(row.ID)); err != nil {
		return err
	}
	if err := tx.forgetFactorGuesses(ctx, user, FactorTOTP); err != nil {
		return err
	}
	isTOTP := func(_ *record.Session, f string) bool { return f == string(FactorTOTP) }
	if err := tx.dropFactors(ctx, user, kept, isTOTP); err != nil {
		return err
	}
	if user.TOTP {
		_, err = tx.changeUser(ctx, user, func(u *record.User) error {
			u.TOTP = false
			return nil
		})
	} else {
		err = tx.log(ctx, logUserUpdate, user)
	}
	if err != nil {
		return err
	}
	tx.event(user.ID, "delete.mfa", nil)
	return tx.forgetFactor(ctx, user, kept, FactorTOTP)
}
