package latchkey

import (
	"context"
	"slices"
	"strings"
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

// MFAChallenge is the question for a second factor.
type MFAChallenge struct {
	ID        string
	CreatedAt time.Time
	UserID    string
	Expire    time.Time
}

// Limits of second factors.
const (
	challengeLength   = 15 * time.Minute
	challengeFailures = 5 // that void one
)

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

// owed returns why a session may not act: what its user or it still owes. The
// row and the policy decide.
func (e *Engine) owed(s *record.Check, now time.Time) error {
	switch wait := e.policy.PendingLength; {
	case s.UserBlocked:
		return ErrUserBlocked
	case s.UserMustReset:
		return ErrPasswordResetRequired
	case !s.UserMFA || !e.owesFactor(strings.Fields(s.Factors), strings.Fields(s.UserFactors)):
		return nil
	case wait > 0 && now.Sub(s.Created) >= wait:
		return ErrUnauthorized
	}
	return ErrMoreFactorsRequired
}

// owesFactor reports whether one proof is not enough: if the user has a factor
// that serves as a second one, and can prove two at all.
func (e *Engine) owesFactor(proven, can []string) bool {
	second := slices.DeleteFunc(slices.Clone(can), func(f string) bool {
		return f == factorPassword || f == factRecovered || e.policy.factorOff(Factor(f))
	})
	byMail := func(f string) bool { return f == factorEmail }
	if slices.Contains(can, factRecovered) && slices.Contains(proven, factorPassword) && len(slices.DeleteFunc(slices.Clone(second), byMail)) > 0 {
		proven, second = slices.DeleteFunc(slices.Clone(proven), byMail), slices.DeleteFunc(second, byMail)
	}
	distinct := len(proven)
	for _, f := range second {
		if !slices.Contains(proven, f) {
			distinct++
		}
	}
	if slices.Contains(can, factorPassword) && !slices.Contains(proven, factorPassword) {
		distinct++
	}
	return len(proven) < 2 && len(second) > 0 && distinct >= 2
}

// stepUp is what an operation on factors asks for beyond a session.
type stepUp int

const (
	recently   stepUp = iota + 1 // signed in or challenged within the window, unless the policy drops it
	provenly                     // signed in or challenged within the window
	challenged                   // challenged within the window
)

// fresh is the one place where a step-up is decided.
func (e *Engine) fresh(created, answered, now time.Time, need stepUp, within time.Duration) error {
	switch {
	case need == recently && e.policy.EnrolWithoutStepUp, need != challenged && now.Sub(created) <= within,
		!answered.IsZero() && now.Sub(answered) <= within:
		return nil
	}
	return ErrChallengeRequired
}

// RequireRecent is for the host's own sensitive operations: it refuses, with
// [ErrChallengeRequired], a session whose user has neither signed in nor answered
// a challenge ([Account.UpdateMFAChallenge]) within so long. 0 means the window of
// the policy. A JWT is never recent: how old it is tells nothing.
func (a *Account) RequireRecent(ctx context.Context, within time.Duration) error {
	return a.read(ctx, "require recent", func(r store.Reader, now time.Time) error {
		var s record.Check
		if err := a.check(ctx, r, now, &s); err != nil {
			return err
		}
		e := a.engine
		if within == 0 {
			within = e.policy.StepUpWindow
		}
		if a.jwt != nil {
			return ErrChallengeRequired
		}
		return e.fresh(s.Created, s.Challenged, now, provenly, within)
	})
}

// secured changes what concerns factors, by a session that is fresh enough. A JWT
// has no session to be fresh.
func (a *Account) secured(ctx context.Context, op string, need stepUp, fn func(ctx context.Context, tx *txn, user *record.User, s *record.Session) error) error {
	return a.change(ctx, op, func(ctx context.Context, tx *txn, user *record.User) error {
		s, err := a.own(ctx, tx, tx.now, Current)
		if err != nil {
			return err
		}
		if err := tx.engine.fresh(s.Created, s.Challenged, tx.now, need, tx.engine.policy.StepUpWindow); err != nil {
			return err
		}
		if need == challenged && !strongest(user, s) {
			return ErrChallengeRequired
		}
		return fn(ctx, tx, user, s)
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

// secondFactors are the factors of a user that serve as a second one.
func (e *Engine) secondFactors(user *record.User) []string {
	return slices.DeleteFunc(strings.Fields(factsOf(user).factors), func(f string) bool {
		return f == factorPassword || f == factRecovered || e.policy.factorOff(Factor(f))
	})
}

// dropFactors takes from the sessions of a user what they are taken to have proven
// by a switch, or by an authenticator that is gone, but for the first factor and
// what a challenge has shown. kept is a session that is left as it is.
func (tx *txn) dropFactors(ctx context.Context, user *record.User, kept string, drop func(s *record.Session, factor string) bool) error {
	rows, err := listSessions(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range rows {
		have := strings.Fields(s.Factors)
		if s.ID == kept || len(have) < 2 {
			continue
		}
		left := append(have[:1:1], slices.DeleteFunc(slices.Clone(have[1:]), func(f string) bool { return drop(s, f) })...)
		if len(left) == len(have) {
			continue
		}
		s.Factors = strings.Join(left, " ")
		if err := record.Sessions.Replace(ctx, tx, s); err != nil {
			return err
		}
	}
	return nil
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
