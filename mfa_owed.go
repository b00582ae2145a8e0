package latchkey

import (
	"errors"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/record"
)

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

// secondFactors are the factors of a user that serve as a second one.
func (e *Engine) secondFactors(user *record.User) []string {
	return slices.DeleteFunc(strings.Fields(factsOf(user).factors), func(f string) bool {
		return f == factorPassword || f == factRecovered || e.policy.factorOff(Factor(f))
	})
}

// checkFactor refuses what is no factor, and what is switched off.
func (e *Engine) checkFactor(factor Factor) error {
	switch factor {
	case FactorTOTP, FactorEmail, FactorPhone, FactorRecoveryCode, FactorCustom:
	default:
		return invalid("factor", errors.New("not totp, email, phone, recoveryCode or custom"))
	}
	if e.policy.factorOff(factor) || factor == FactorCustom && e.custom == nil {
		return ErrAuthMethodUnsupported
	}
	return nil
}

// facts are what the row of a session says of its user.
type facts struct {
	blocked, mustReset, mfa bool
	factors                 string
}

func factsOf(u *record.User) facts {
	var factors []string
	if u.Password != nil {
		factors = append(factors, factorPassword)
	}
	if u.TOTP {
		factors = append(factors, string(FactorTOTP))
	}
	if u.Recovered {
		factors = append(factors, factRecovered)
	}
	if u.EmailVerified {
		factors = append(factors, factorEmail)
	}
	if u.PhoneVerified {
		factors = append(factors, factorPhone)
	}
	return facts{u.Blocked, u.MustReset, u.MFA, strings.Join(factors, " ")}
}

func (f facts) set(s *record.Session) {
	s.UserBlocked, s.UserMustReset, s.UserMFA, s.UserFactors = f.blocked, f.mustReset, f.mfa, f.factors
}

// factsIn is what of a session decides.
func factsIn(s *record.Session) *record.Check {
	return &record.Check{
		ID: s.ID, UserID: s.UserID, Digest: s.Digest, Created: s.Created, Expire: s.Expire, Factors: s.Factors, Challenged: s.Challenged, Touched: s.Touched,
		UserBlocked: s.UserBlocked, UserMustReset: s.UserMustReset, UserMFA: s.UserMFA, UserFactors: s.UserFactors,
	}
}
