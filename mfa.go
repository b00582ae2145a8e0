package latchkey

import (
	"context"
	"strings"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// MFAFactors are the factors that a user has.
type MFAFactors struct {
	TOTP, Email, Phone, RecoveryCode, Custom bool
	// RecoveryCodesLeft is the number of unused recovery codes.
	RecoveryCodesLeft int
}

// showFactors returns the factors of a user.
func (e *Engine) showFactors(ctx context.Context, r store.Reader, user *record.User) (MFAFactors, error) {
	left, err := recoveryCodesOf(ctx, r, user.ID)
	if err != nil {
		return MFAFactors{}, err
	}
	off := e.policy.Factors.off
	return MFAFactors{
		TOTP: user.TOTP && !off(FactorTOTP), Email: user.EmailVerified && !off(FactorEmail), Phone: user.PhoneVerified && !off(FactorPhone),
		RecoveryCode: len(left) > 0, RecoveryCodesLeft: len(left), Custom: e.hasCustom(),
	}, nil
}

// MFAFactors returns the factors of the user. A session that owes one may ask.
func (a *Account) MFAFactors(ctx context.Context) (_ MFAFactors, err error) {
	defer publicError("list factors", &err)
	c, err := a.beginFor()
	if err != nil {
		return MFAFactors{}, err
	}
	return accountReadThen(ctx, c, a, (*Account).mayActOrOwe, func() (MFAFactors, error) {
		user, err := a.user(ctx, c.store)
		if err != nil {
			return MFAFactors{}, err
		}
		return c.showFactors(ctx, c.store, user)
	})
}

// UpdateMFA switches multi-factor authentication on or off. While it is on, and the
// user has a factor that serves as a second one (a verified address or number, a
// confirmed authenticator), every session must prove two. When it is switched on, what other
// sessions have proven beyond their first factor counts no more: they are refused at once with
// a [*MoreFactorsError]. Recovery codes that another session has made are void. The session
// that switches it on is assumed to have proven the user's factors, so that it is not locked
// out. The user gets a notice.
//
// Errors:
//   - [ErrChallengeRequired]: the session has neither signed in nor answered a challenge
//     within the window of the policy; or it switches MFA off, the user has an
//     authenticator, and the session has not answered a challenge by it, or by a recovery
//     code, within that window.
//   - [ErrMoreFactorsRequired]: the session would owe a factor at once, which no challenge
//     asks for: it was made by a link or a code, and the other factor is the password. The
//     user signs in by password first.
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) UpdateMFA(ctx context.Context, on bool) (_ *User, err error) {
	defer publicError("update MFA", &err)
	return changeFreshOften(ctx, a, freshUnlessOff, func(ctx context.Context, tx *txn, user *record.User, s *record.Session) (*User, error) {
		if user.MFA && !on {
			if err := tx.requireStrongest(user, s, freshUnlessOff); err != nil {
				return nil, err
			}
		}
		switchedOn := on && !user.MFA
		shown, err := tx.changeUser(ctx, user, func(u *record.User) error {
			u.MFA, u.MFADemanded = on, false
			return nil
		})
		if err != nil || !switchedOn {
			return shown, err
		}
		if s, err = a.ownSession(ctx, tx.call, tx, CurrentSession); err != nil {
			return nil, err
		}
		for _, f := range tx.secondFactors(strings.Fields(userFacts(user).factors)) {
			assume(s, f)
		}
		if tx.owes(checkOf(s)) { // the password, which no challenge asks for
			return nil, ErrMoreFactorsRequired
		}
		tx.noteOwing(s)
		return shown, record.Sessions.Replace(ctx, tx, s)
	})
}

// MFAFactors is [Account.MFAFactors].
func (p *Pending) MFAFactors(ctx context.Context) (MFAFactors, error) {
	return p.handle().MFAFactors(ctx)
}

// CreateMFAChallenge is [Account.CreateMFAChallenge].
func (p *Pending) CreateMFAChallenge(ctx context.Context, factor Factor) (*MFAChallenge, error) {
	return p.handle().CreateMFAChallenge(ctx, factor)
}

// ConfirmMFAChallenge is [Account.ConfirmMFAChallenge].
func (p *Pending) ConfirmMFAChallenge(ctx context.Context, challengeID, otp string) (*Session, error) {
	return p.handle().ConfirmMFAChallenge(ctx, challengeID, otp)
}

// DeleteSession signs out.
func (p *Pending) DeleteSession(ctx context.Context) (err error) {
	defer publicError("delete session", &err)
	a := p.handle()
	c, err := a.begin()
	if err != nil {
		return err
	}
	_, err = accountUpdate(ctx, c, a, (*Account).standingOrOwing, func(ctx context.Context, tx *txn, user *record.User) (none, error) {
		row, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
		if err != nil {
			return none{}, err
		}
		return none{}, tx.endSession(ctx, user, row)
	})
	return err
}
