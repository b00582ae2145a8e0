package latchkey

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/ratelimit"
)

// StrictPolicy returns what SP 800-63B and ASVS ask of a host whose only factor is a
// password:
//
//   - passwords of at least 15 characters, not common ones, without personal data, with a
//     costlier hash
//   - slowing from the fifth wrong password, disabling after 100, and 30 sign-ins in ten
//     minutes from one client
//   - sessions that end after 14 idle days and 30 days at most, with two factors after an
//     idle hour and a day at most; that end with a block, and, but for the one that acts,
//     with a change of a proven address or of the authenticator
//   - links and codes that end after ten and five minutes, links that verify an address
//     after a day
//   - ten minutes for a step-up and to answer for a second factor, recovery codes that
//     are shown once
//   - one message a minute, five an hour and ten a day to an address
//   - ten anonymous users an hour from one client, pages of at most 100
func StrictPolicy() Policy {
	return Policy{
		PageLimit: 100,
		Password:  PasswordPolicy{Min: 15, Dictionary: true, PersonalData: true, Hash: hasher.Strict()},
		Sessions: SessionPolicy{
			Anonymous:    Lifetime{Idle: 30 * day, Absolute: 180 * day},
			SingleFactor: Lifetime{Idle: 14 * day, Absolute: 30 * day},
			MultiFactor:  Lifetime{Idle: time.Hour, Absolute: day},
			EndOnChange:  true,
			EndOnBlock:   true,
		},
		Factors: FactorPolicy{StepUpWindow: 10 * time.Minute, StrongRecoveryCodes: true, RefuseClonedPasskeys: true, PendingLength: 10 * time.Minute},
		Messages: MessagePolicy{
			MagicURLLength: 10 * time.Minute, OTPLength: 5 * time.Minute, EmailVerificationLength: day, RecoveryLength: 10 * time.Minute,
		},
		Guessing: GuessingPolicy{
			FreeFailures: 4, DisableAfter: 100,
			Limits: map[string]ratelimit.Rule{
				limits[limitMessagesBurst].name:        {Calls: 1, Window: time.Minute},
				limits[limitMessagesFew].name:          perHour(5),
				limits[limitMessagesDay].name:          {Calls: 10, Window: day},
				limits[limitAnonymousSession].name:     perHour(10),
				limits[limitEmailSessionByClient].name: {Calls: 30, Window: 10 * time.Minute},
			},
		},
	}
}

// filled returns the policy with its defaults, or every fault of it at once.
func (p Policy) filled() (Policy, error) {
	p.PageLimit = cmp.Or(p.PageLimit, maxLimit)
	p.LogLength = cmp.Or(p.LogLength, 90*day)
	var unknown error
	if p.Disabled&^allMethods != 0 {
		unknown = errors.New("latchkey: Policy.Disabled has a method that does not exist")
	}
	err := errors.Join(
		unknown,
		bound("SignUp", int(p.SignUp), int(SignUpOpen), int(SignUpClosed)),
		boundIfSet("UserLimit", p.UserLimit, 1, 10_000),
		bound("PageLimit", p.PageLimit, defaultLimit, maxLimit),
		bound("LogLength", p.LogLength, day, 10*year),
		p.Password.fill(), p.Sessions.fill(), p.Factors.fill(), p.Messages.fill(), p.Guessing.fill(),
		boundIfSet("Members.Limit", p.Members.Limit, 1, 1_000_000),
	)
	return p, err
}

// bound returns the fault of a value that is out of its bounds.
func bound[T int | time.Duration](name string, value, least, most T) error {
	if value < least || value > most {
		return fmt.Errorf("latchkey: Policy.%s is not %v to %v", name, least, most)
	}
	return nil
}

// boundIfSet is bound for a value that may also be 0.
func boundIfSet[T int | time.Duration](name string, value, least, most T) error {
	if value == 0 {
		return nil
	}
	return bound(name, value, least, most)
}

// fill sets the defaults and returns the faults.
func (p *PasswordPolicy) fill() error {
	p.Min = cmp.Or(p.Min, passwordMin)
	return errors.Join(
		bound("Password.Min", p.Min, passwordMin, passwordMax),
		boundIfSet("Password.History", p.History, 1, 20),
	)
}

// fill sets the defaults and returns the faults.
func (p *SessionPolicy) fill() error {
	p.Limit = cmp.Or(p.Limit, 10)
	p.Length = cmp.Or(p.Length, year)
	return errors.Join(
		bound("Sessions.Limit", p.Limit, 1, 100),
		bound("Sessions.Length", p.Length, time.Minute, year),
		p.Anonymous.check("Sessions.Anonymous"),
		p.SingleFactor.check("Sessions.SingleFactor"),
		p.MultiFactor.check("Sessions.MultiFactor"),
	)
}

// check returns the faults.
func (l Lifetime) check(name string) error {
	return errors.Join(
		boundIfSet(name+".Idle", l.Idle, time.Minute, year),
		boundIfSet(name+".Absolute", l.Absolute, time.Minute, year),
	)
}

// fill sets the defaults and returns the faults.
func (p *FactorPolicy) fill() error {
	p.StepUpWindow = cmp.Or(p.StepUpWindow, 30*time.Minute)
	p.PendingLength = cmp.Or(p.PendingLength, 30*time.Minute)
	p.Disabled = slices.Clone(p.Disabled) // the caller may change theirs
	err := errors.Join(
		bound("Factors.StepUpWindow", p.StepUpWindow, time.Minute, day),
		bound("Factors.PendingLength", p.PendingLength, time.Minute, year),
	)
	for _, f := range p.Disabled {
		if f != FactorTOTP && f != FactorEmail && f != FactorPhone {
			err = errors.Join(err, fmt.Errorf("latchkey: Policy.Factors.Disabled has %q, which cannot be disabled", f))
		}
	}
	return err
}

// fill sets the defaults and returns the faults.
func (p *MessagePolicy) fill() error {
	p.MagicURLLength = cmp.Or(p.MagicURLLength, time.Hour)
	p.OTPLength = cmp.Or(p.OTPLength, 15*time.Minute)
	p.EmailVerificationLength = cmp.Or(p.EmailVerificationLength, 7*day)
	p.RecoveryLength = cmp.Or(p.RecoveryLength, time.Hour)
	p.InvitationLength = cmp.Or(p.InvitationLength, 7*day)
	p.Countries = slices.Clone(p.Countries) // the caller may change theirs
	var unknown error
	for _, code := range p.Countries {
		if !canon.IsCallingCode(code) {
			unknown = errors.Join(unknown, fmt.Errorf("latchkey: Policy.Messages.Countries has %q, which is not a country code", code))
		} else if canon.IsServiceCode(code) && !p.ServiceNumbers {
			unknown = errors.Join(unknown, fmt.Errorf("latchkey: Policy.Messages.Countries has %q, which needs ServiceNumbers", code))
		}
	}
	return errors.Join(
		unknown,
		bound("Messages.MagicURLLength", p.MagicURLLength, time.Minute, day),
		bound("Messages.OTPLength", p.OTPLength, time.Minute, day),
		bound("Messages.EmailVerificationLength", p.EmailVerificationLength, time.Minute, 30*day),
		bound("Messages.RecoveryLength", p.RecoveryLength, time.Minute, day),
		bound("Messages.InvitationLength", p.InvitationLength, time.Minute, 30*day),
	)
}

// fill sets the defaults and returns the faults.
func (p *GuessingPolicy) fill() (err error) {
	p.FreeFailures = cmp.Or(p.FreeFailures, 10)
	p.Limits, err = filledLimits(p.Limits)
	return errors.Join(
		bound("Guessing.FreeFailures", p.FreeFailures, 1, 10),
		boundIfSet("Guessing.DisableAfter", p.DisableAfter, 20, 1_000),
		err,
	)
}

// filledLimits returns the default rules with those of a policy in their place, and the
// faults of the policy's rules.
func filledLimits(replaced map[string]ratelimit.Rule) (rules map[string]ratelimit.Rule, err error) {
	known := make(map[string]bool)
	for _, l := range limits {
		known[l.name] = true
	}
	for name, rule := range replaced {
		if !known[name] {
			err = errors.Join(err, fmt.Errorf("latchkey: Policy.Guessing.Limits has %q, which is not an operation with a limit", name))
		}
		if rule.Calls < 1 || rule.Calls > ratelimit.MaxCalls || rule.Window < time.Second || rule.Window > 31*24*time.Hour {
			err = errors.Join(err, fmt.Errorf("latchkey: Policy.Guessing.Limits[%q] is not 1 to %d calls in a second to 31 days", name, ratelimit.MaxCalls))
		}
	}
	rules = DefaultLimits()
	maps.Copy(rules, replaced)
	return rules, err
}
