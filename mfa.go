package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// MFAFactors says which factors a user has.
type MFAFactors struct {
	TOTP, Email, Phone, RecoveryCode, Custom bool
	// RecoveryCodesLeft is how many recovery codes have not been used.
	RecoveryCodesLeft int
}

// MFAFactors is [Account.MFAFactors].
func (p *Pending) MFAFactors(ctx context.Context) (MFAFactors, error) {
	return p.handle().MFAFactors(ctx)
}

// CreateMFAChallenge is [Account.CreateMFAChallenge].
func (p *Pending) CreateMFAChallenge(ctx context.Context, factor Factor) (*MFAChallenge, error) {
	return p.handle().CreateMFAChallenge(ctx, factor)
}

// UpdateMFAChallenge is [Account.UpdateMFAChallenge].
func (p *Pending) UpdateMFAChallenge(ctx context.Context, challengeID, otp string) (*Session, error) {
	return p.handle().UpdateMFAChallenge(ctx, challengeID, otp)
}

// DeleteSession signs out.
func (p *Pending) DeleteSession(ctx context.Context) error {
	a := p.handle()
	return a.changeBy(ctx, "delete session", nil, a.present, func(ctx context.Context, tx *txn, user *record.User) error {
		row, err := a.own(ctx, tx, tx.now, Current)
		if err != nil {
			return err
		}
		return tx.endSession(ctx, user, row)
	})
}

// UpdateMFA switches multi-factor authentication on or off. While it is on, and the
// user has a factor that serves as a second one (a verified address or number, a
// confirmed authenticator), every session has to prove two: other sessions that
// have proven one are refused at once with a [*MoreFactorsError]. The session that
// switches it on is taken to have proven what its user has, so that it is not
// locked out. The user is told.
//
// Errors: [ErrChallengeRequired] for a session that has neither signed in nor
// answered a challenge within the window of the policy, and for one that switches it
// off without having proven the authenticator, or a recovery code, of a user who has
// one; [ErrSessionNotFound] for a JWT.
func (a *Account) UpdateMFA(ctx context.Context, on bool) (shown *User, err error) {
	err = a.secured(ctx, "update MFA", recently, func(ctx context.Context, tx *txn, user *record.User, s *record.Session) error {
		shown = nil
		if user.MFA && !on && !strongest(user, s) {
			return ErrChallengeRequired
		}
		switched := on && !user.MFA
		if shown, err = tx.changeUser(ctx, user, func(u *record.User) error { u.MFA = on; return nil }); err != nil || !switched {
			return err
		}
		if s, err = a.own(ctx, tx, tx.now, Current); err != nil {
			return err
		}
		for _, f := range tx.engine.secondFactors(user) {
			addFactor(s, f)
		}
		return record.Sessions.Replace(ctx, tx, s)
	})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// MFAFactors returns which factors the user has. A session that owes one may ask.
func (a *Account) MFAFactors(ctx context.Context) (factors MFAFactors, err error) {
	err = a.readBy(ctx, "list factors", a.present, func(r store.Reader, _ time.Time) error {
		user, err := a.user(ctx, r)
		if err != nil {
			return err
		}
		factors, err = a.engine.factorsOf(ctx, r, user)
		return err
	})
	if err != nil {
		return MFAFactors{}, err
	}
	return factors, nil
}

func (e *Engine) factorsOf(ctx context.Context, r store.Reader, user *record.User) (MFAFactors, error) {
	codes, err := recoveryCodesOf(ctx, r, user.ID)
	off := e.policy.factorOff
	return MFAFactors{
		TOTP: user.TOTP && !off(FactorTOTP), Email: user.EmailVerified && !off(FactorEmail), Phone: user.PhoneVerified && !off(FactorPhone),
		RecoveryCode: len(codes) > 0, RecoveryCodesLeft: len(codes), Custom: e.custom != nil,
	}, err
}
