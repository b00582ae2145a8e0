package latchkey

import (
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
)

// facts are the columns of a session's row that describe its user.
type facts struct {
	blocked, mustReset, mfa bool
	factors                 string
	passwordEpoch           int64
}

// userFacts returns the facts of a user.
func userFacts(u *record.User) facts {
	var factors []string
	if u.Password != nil {
		factors = append(factors, factorPassword)
	}
	if u.TOTP {
		factors = append(factors, string(FactorTOTP))
	}
	if u.RecoveryCodes {
		factors = append(factors, string(FactorRecoveryCode))
	}
	if u.Passkeys != "" {
		factors = append(factors, string(FactorPasskey))
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
	for _, name := range strings.Fields(u.Providers) {
		factors = append(factors, byProvider+name)
	}
	return facts{u.Blocked, u.MustReset, u.MFA, strings.Join(factors, " "), u.PasswordEpoch}
}

// set writes the facts into a session.
func (f facts) set(s *record.Session) {
	s.UserBlocked, s.UserMustReset, s.UserMFA, s.UserFactors, s.UserPasswordEpoch = f.blocked, f.mustReset, f.mfa, f.factors, f.passwordEpoch
}

// checkOf returns the columns of a session that decide about it.
func checkOf(s *record.Session) *record.Check {
	return &record.Check{
		ID: s.ID, UserID: s.UserID, Digest: s.Digest, Created: s.Created, Expire: s.Expire,
		Factors: s.Factors, Challenged: s.Challenged, Touched: s.Touched,
		UserBlocked: s.UserBlocked, UserMustReset: s.UserMustReset, UserMFA: s.UserMFA, UserFactors: s.UserFactors,
		UserPasswordEpoch: s.UserPasswordEpoch, Owing: s.Owing, Confirmed: s.Confirmed,
	}
}

// mayAct returns why a session may not act: its user is blocked, must reset the
// password, owes a second factor, or has not proven the e-mail address. The row and the policy
// decide.
func (e *Engine) mayAct(s *record.Check, now time.Time) error {
	switch {
	case s.UserBlocked:
		return ErrUserBlocked
	case s.UserMustReset:
		return ErrPasswordResetRequired
	case e.owes(s) && e.pendingOver(s, now):
		return ErrUnauthorized
	case e.owes(s):
		return ErrMoreFactorsRequired
	case e.policy.RequireVerifiedEmail && !hasWord(s.UserFactors, factorEmail):
		return ErrEmailVerificationRequired
	}
	return nil
}

// hasWord reports whether a list that is separated by spaces has a word.
func hasWord(list, word string) bool {
	for have := range strings.FieldsSeq(list) {
		if have == word {
			return true
		}
	}
	return false
}

// pendingEnd returns the end of a session that owes a second factor.
func (e *Engine) pendingEnd(s *record.Check) time.Time {
	since := s.Owing
	if since.IsZero() { // it has come to owe one by a change of the policy
		since = s.Created
	}
	return since.Add(e.policy.Factors.PendingLength)
}

// pendingOver reports whether a session has owed a second factor for too long. One that came
// to owe it while the clock was ahead is over too: its end would lie far ahead.
func (e *Engine) pendingOver(s *record.Check, now time.Time) bool {
	return !now.Before(e.pendingEnd(s)) || e.ahead(s.Owing, now)
}

// ended reports whether the life of a session has ended by now, whatever it owes. A session
// that was made while the clock was ahead is not good.
func (e *Engine) ended(s *record.Check, now time.Time) bool {
	if e.ahead(s.Created, now) {
		return true
	}
	if e.ahead(s.Challenged, now) || e.ahead(s.Confirmed, now) || e.ahead(s.Touched, now) { // what happened then does not make its life longer
		bounded := *s
		bounded.Challenged, bounded.Confirmed, bounded.Touched = time.Time{}, time.Time{}, s.Created
		s = &bounded
	}
	return e.policy.Sessions.over(s, now)
}

// over reports whether a session has ended by now.
func (e *Engine) over(s *record.Check, now time.Time) bool {
	return e.ended(s, now) || e.owes(s) && e.pendingOver(s, now)
}

// last returns the latest end of a session.
func (e *Engine) last(s *record.Check) time.Time {
	end := e.policy.Sessions.last(s)
	if e.owes(s) {
		if pending := e.pendingEnd(s); pending.Before(end) {
			return pending
		}
	}
	return end
}

// owes reports whether a session owes a second factor.
func (e *Engine) owes(s *record.Check) bool {
	return s.UserMFA && e.owesFactor(strings.Fields(s.Factors), strings.Fields(s.UserFactors))
}

// owesFactor reports whether a session needs a second proof: it has one, and its
// user has a factor that serves as a second one and can prove two different ones.
func (e *Engine) owesFactor(proven, userFactors []string) bool {
	proven = slices.DeleteFunc(proven, func(f string) bool { return f == factorAnonymous }) // it proves nothing
	second := e.secondFactors(userFactors)
	provider := !slices.Contains(proven, factorOAuth2) && e.hasProvider(userFactors)
	if slices.Contains(userFactors, factRecovered) && slices.Contains(proven, factorPassword) {
		byMail := func(f string) bool { return f == factorEmail }
		others := slices.DeleteFunc(slices.Clone(second), byMail)
		if slices.Contains(userFactors, string(FactorRecoveryCode)) {
			others = append(others, string(FactorRecoveryCode))
		}
		if len(others) > 0 || provider { // the password was set by mail, so password and code by mail prove one mailbox
			proven = slices.DeleteFunc(slices.Clone(proven), byMail)
		}
		if len(others) > 0 {
			second = others
		}
	}
	distinct := len(proven)
	for _, f := range second {
		if !slices.Contains(proven, f) {
			distinct++
		}
	}
	canSignIn := e.policy.Disabled&MethodEmailPassword == 0 // a password that cannot be proven is no factor
	if canSignIn && slices.Contains(userFactors, factorPassword) && !slices.Contains(proven, factorPassword) {
		distinct++
	}
	if provider {
		distinct++
	}
	return len(proven) < 2 && len(second) > 0 && distinct >= 2
}

// hasProvider reports whether a user may sign in by a provider that the host has.
func (e *Engine) hasProvider(userFactors []string) bool {
	return slices.ContainsFunc(userFactors, func(f string) bool {
		name, is := strings.CutPrefix(f, byProvider)
		return is && e.providers[name] != nil
	})
}

// pays reports whether a session that owes a factor would not owe one with a further proof.
func (e *Engine) pays(s *record.Check, factor string) bool {
	with := *s
	with.Factors = s.Factors + " " + factor
	return !hasWord(s.Factors, factor) && !e.owes(&with)
}

// secondFactors returns those of a user's factors that serve as a second one.
func (e *Engine) secondFactors(userFactors []string) []string {
	return slices.DeleteFunc(slices.Clone(userFactors), func(f string) bool {
		return f == factorPassword || strings.HasPrefix(f, byProvider) || f == string(FactorRecoveryCode) || f == factRecovered || e.policy.Factors.off(Factor(f)) || f == string(FactorPasskey) && e.passkeys == nil
	})
}

// stepUp is the proof that an operation on factors asks for beyond a session.
type stepUp int

const (
	freshUnlessOff stepUp = iota + 1 // freshSignIn, unless the policy drops that
	freshSignIn                      // signed in, challenged, or shown the password again within the window
	freshChallenge                   // challenged within the window
)

// requireFresh is the one place where a step-up is decided.
func (c *call) requireFresh(s *record.Check, need stepUp, within time.Duration) error {
	switch {
	case need == freshUnlessOff && c.policy.Factors.EnrolWithoutStepUp,
		need != freshChallenge && (c.recent(s.Created, within) || c.recent(s.Confirmed, within)),
		c.recent(s.Challenged, within):
		return nil
	}
	return ErrChallengeRequired
}

// requireStrongest refuses a session that has not freshly proven the strongest factor of
// its user: the authenticator, a passkey or a recovery code, if the user has one of the first two. What
// takes that factor away asks for it, and so does what stands in for it: a mailbox or a
// number is not enough.
func (c *call) requireStrongest(user *record.User, s *record.Session, need stepUp) error {
	anyAge := need == freshUnlessOff && c.policy.Factors.EnrolWithoutStepUp && !s.Strong.IsZero()
	if !c.hasStrong(user) || anyAge || c.recent(s.Strong, c.policy.Factors.StepUpWindow) {
		return nil
	}
	return ErrChallengeRequired
}

// hasStrong reports whether a user has a factor that stands above a mailbox and a number.
func (e *Engine) hasStrong(user *record.User) bool {
	return user.TOTP || user.Passkeys != "" && e.passkeys != nil
}

// hasCustom reports whether the host has a factor of its own.
func (e *Engine) hasCustom() bool { return e.custom != nil || e.customCodes }

// checkFactor refuses a text that is no factor, and a factor that is switched off.
func (e *Engine) checkFactor(factor Factor) error {
	if factor == FactorPasskey {
		return invalid("factor", reason.New(reason.Unknown, "passkeys have calls of their own"))
	}
	if !slices.Contains(allFactors, factor) {
		return invalid("factor", reason.New(reason.Unknown, "not totp, email, phone, recoveryCode or custom"))
	}
	if e.policy.Factors.off(factor) || factor == FactorCustom && !e.hasCustom() {
		return ErrAuthMethodUnsupported
	}
	return nil
}

// alive reports whether a session has not ended.
func (c *call) alive(s *record.Session) bool { return !c.over(checkOf(s), c.now) }
