package latchkey

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
)

// Policy is what a host decides about accounts. The zero Policy is the
// documented behaviour; [StrictPolicy] is the one for hosts that want more
// than that. A policy may change with a restart.
type Policy struct {
	// Disabled are the ways in that are switched off: they answer with
	// [ErrAuthMethodUnsupported]. The server's scope is not concerned.
	Disabled Methods
	// UserLimit is how many users there may be before nobody can sign up, 1 to
	// 10,000; 0 means no limit. The server may make more.
	UserLimit int

	// SessionLimit is how many sessions a user may have, 1 to 100; 0 means
	// 10. One more ends the oldest.
	SessionLimit int
	// SessionLength is how long a session lives, from a minute to a year of
	// 365 days; 0 means a year. Sessions that exist keep the length they were
	// made with.
	SessionLength time.Duration
	// Anonymous, SingleFactor and MultiFactor bound the lives of sessions by
	// what was proven at sign-in, beyond SessionLength. They hold for sessions
	// that exist, too.
	Anonymous, SingleFactor, MultiFactor Lifetime
	// KeepSessionsOnPasswordChange keeps the other sessions of a user whose
	// password changes. Without it they end.
	KeepSessionsOnPasswordChange bool

	// PasswordMin is the least number of characters (code points in Unicode
	// normal form C) of a new password, 8 to 256; 0 means 8.
	PasswordMin int
	// A new password must have an upper-case letter of ASCII, a lower-case one,
	// a digit of ASCII, a sign that is neither letter, digit nor space.
	PasswordUppercase, PasswordLowercase, PasswordNumber, PasswordSymbols bool
	// PasswordDictionary refuses the 10,000 commonest passwords, in whatever
	// case.
	PasswordDictionary bool
	// PasswordPersonalData refuses passwords that contain the user's id,
	// e-mail address, its part before the @, name, or phone number, in whatever
	// case; parts of fewer than four characters are not looked for.
	PasswordPersonalData bool
	// PasswordHistory is how many passwords of a user, the present one among
	// them, may not be set again, up to 20; 0 means that any may. Each costs
	// the time of one hash. Those that were set while it was 0 are not known,
	// but for the present one.
	PasswordHistory int
	// PasswordHash is what a hash costs when Config.Hasher is nil; zero means
	// the default of package hasher.
	PasswordHash hasher.Params

	// FreeFailures is how many wrong passwords in a row are not slowed, 1 to 10;
	// 0 means 10. Behind them the next waits for 30 seconds, and twice as long
	// with each more, up to an hour.
	FreeFailures int
	// DisableAfterFailures is how many wrong passwords in a row disable the
	// password until it is set anew, 20 to 1,000; 0 means never. Until then
	// the answer is [ErrPasswordResetRequired], for known and unknown addresses
	// alike. With it, wrong passwords are remembered for a year instead of a
	// day. At a client from which the user has signed in within 90 days they are
	// counted apart, and for a day.
	DisableAfterFailures int
	// DiscloseAccounts lets [Guest.CreateMagicURLToken] and its like answer with
	// the id of the user who has the address, or the id that a live token has
	// promised to it. Without it every answer names the id that was asked for,
	// and nobody learns who has an account.
	DiscloseAccounts bool
	// MagicURLLength and OTPLength are how long links and codes by e-mail and
	// SMS can be used, a minute to a day; 0 means an hour and 15 minutes.
	MagicURLLength, OTPLength time.Duration
	// EmailVerificationLength and RecoveryLength are how long the links of
	// [Account.CreateEmailVerification] and [Guest.CreateRecovery] can be used, a
	// minute to 30 days, and to a day; 0 means seven days and an hour.
	EmailVerificationLength, RecoveryLength time.Duration
	// SessionAlerts sends a mail to a user who signs in while they are signed in
	// elsewhere: by password, by a code to their phone or by the host's own token. A
	// first session is told to nobody, nor is one that was made by the mailbox
	// itself or by the server.
	SessionAlerts bool
	// DisabledFactors are second factors that are switched off: they cannot be asked
	// for, and none is owed because of them. Recovery codes cannot be.
	DisabledFactors []Factor
	// StepUpWindow is how long a sign-in or an answered challenge is fresh enough for
	// what concerns factors, a minute to a day; 0 means 30 minutes.
	StepUpWindow time.Duration
	// EnrolWithoutStepUp lets sessions of any age enrol factors, switch MFA, and make
	// the first recovery codes.
	EnrolWithoutStepUp bool
	// KeepSecretOnChallenge keeps the secret of a session that answers a challenge,
	// for clients that cannot take a new one.
	KeepSecretOnChallenge bool
	// StrongRecoveryCodes makes ten recovery codes of 120 bits that are kept as
	// digests and shown once, in the place of six of 40 bits that can be read again.
	StrongRecoveryCodes bool
	// PendingLength is how old a session may be that owes a second factor, a minute
	// or more; 0 means as old as any. One that is older when a factor comes to be
	// owed ends.
	PendingLength time.Duration
	// Limits replaces rules of the table of [DefaultLimits], by the name of the
	// operation.
	Limits map[string]ratelimit.Rule
	// PageLimit is the greatest [Limit] of a listing, 25 to 5,000; 0 means
	// 5,000.
	PageLimit int
	// LogLength is how long lines of the audit log are kept, a day to ten
	// years; 0 means 90 days. [Engine.Sweep] deletes what is older.
	LogLength time.Duration
}

// Lifetime bounds the life of sessions; 0 means that it is not bounded.
type Lifetime struct {
	// Idle is how long a session lives without [Guest.Authenticate], a minute
	// or more. It is noted after an eighth of Idle, so a session may end that
	// much earlier.
	Idle time.Duration
	// Absolute is how long a session lives, whatever is done with it, from its
	// sign-in or the challenge that it has answered last, a minute or more.
	Absolute time.Duration
}

// Methods is a set of ways in.
type Methods uint

// The ways in that a policy may switch off.
const (
	EmailPassword    Methods = 1 << iota // signing up and in with a password
	AnonymousSession                     // signing in without anything
	MagicURL                             // asking for a link
	EmailOTP                             // asking for a code by e-mail
	Phone                                // asking for a code by SMS, to sign in or to verify the number
	JWT                                  // making a JWT

	allMethods = EmailPassword | AnonymousSession | MagicURL | EmailOTP | Phone | JWT
)

// methodNames names the ways in for a person.
var methodNames = map[Methods]string{
	EmailPassword: "Email and password", AnonymousSession: "Anonymous", MagicURL: "Magic URL", EmailOTP: "Email OTP", Phone: "Phone", JWT: "JWT",
}

// StrictPolicy is what SP 800-63B and ASVS ask of a host with a password as the
// only factor: at least 15 characters, none of the commonest, none with
// personal data, a costlier hash, slowing from the fifth wrong password,
// disabling after 100, 30 sign-ins in ten minutes from one client, sessions of 30
// days at most that end after 14 idle ones, links and codes that end after ten and
// five minutes, links that verify an address after a day,
// ten minutes to answer for a second factor, recovery codes that are shown once, one message a minute, five an hour and ten a day to an address,
// fewer anonymous users, shorter pages.
func StrictPolicy() Policy {
	const day = 24 * time.Hour
	return Policy{
		Anonymous:            Lifetime{Idle: 30 * day, Absolute: 180 * day},
		SingleFactor:         Lifetime{Idle: 14 * day, Absolute: 30 * day},
		MultiFactor:          Lifetime{Idle: time.Hour, Absolute: day},
		PasswordMin:          15,
		PasswordDictionary:   true,
		PasswordPersonalData: true,
		PasswordHash:         hasher.Strict(),
		FreeFailures:         4,
		DisableAfterFailures: 100,
		MagicURLLength:       10 * time.Minute,
		OTPLength:            5 * time.Minute,

		EmailVerificationLength: day,
		RecoveryLength:          10 * time.Minute,

		StepUpWindow:        10 * time.Minute,
		StrongRecoveryCodes: true,
		PendingLength:       10 * time.Minute,
		Limits: map[string]ratelimit.Rule{
			limits[limitMessagesBurst].name:        {Calls: 1, Window: time.Minute},
			limits[limitMessagesFew].name:          perHour(5),
			limits[limitMessagesDay].name:          {Calls: 10, Window: day},
			limits[limitAnonymousSession].name:     perHour(10),
			limits[limitEmailSessionByClient].name: {Calls: 30, Window: 10 * time.Minute},
		},
		PageLimit: 100,
	}
}

const year = 365 * 24 * time.Hour

// filled returns the policy with its defaults, or why it cannot be.
func (p Policy) filled() (Policy, error) {
	p.SessionLimit = orDefault(p.SessionLimit, 10)
	p.SessionLength = orDefault(p.SessionLength, year)
	p.PasswordMin = orDefault(p.PasswordMin, passwordMin)
	p.FreeFailures = orDefault(p.FreeFailures, 10)
	p.PageLimit = orDefault(p.PageLimit, maxLimit)
	p.LogLength = orDefault(p.LogLength, 90*24*time.Hour)
	p.MagicURLLength = orDefault(p.MagicURLLength, time.Hour)
	p.OTPLength = orDefault(p.OTPLength, 15*time.Minute)
	p.EmailVerificationLength = orDefault(p.EmailVerificationLength, 7*24*time.Hour)
	p.RecoveryLength = orDefault(p.RecoveryLength, time.Hour)
	p.StepUpWindow = orDefault(p.StepUpWindow, 30*time.Minute)
	var err error
	for _, f := range []struct {
		name         string
		value        int
		least, most  int
		zeroIsNotSet bool
	}{
		{"UserLimit", p.UserLimit, 1, 10_000, true},
		{"SessionLimit", p.SessionLimit, 1, 100, false},
		{"PasswordMin", p.PasswordMin, passwordMin, passwordMax, false},
		{"PasswordHistory", p.PasswordHistory, 1, 20, true},
		{"FreeFailures", p.FreeFailures, 1, 10, false},
		{"DisableAfterFailures", p.DisableAfterFailures, 20, 1_000, true},
		{"PageLimit", p.PageLimit, defaultLimit, maxLimit, false},
	} {
		if (f.value < f.least || f.value > f.most) && !(f.value == 0 && f.zeroIsNotSet) {
			err = errors.Join(err, fmt.Errorf("latchkey: Policy.%s is not %d to %d", f.name, f.least, f.most))
		}
	}
	for _, f := range []struct {
		name        string
		value       time.Duration
		least, most time.Duration
		zero        bool
	}{
		{"SessionLength", p.SessionLength, time.Minute, year, false},
		{"MagicURLLength", p.MagicURLLength, time.Minute, 24 * time.Hour, false},
		{"OTPLength", p.OTPLength, time.Minute, 24 * time.Hour, false},
		{"EmailVerificationLength", p.EmailVerificationLength, time.Minute, 30 * 24 * time.Hour, false},
		{"RecoveryLength", p.RecoveryLength, time.Minute, 24 * time.Hour, false},
		{"StepUpWindow", p.StepUpWindow, time.Minute, 24 * time.Hour, false},
		{"PendingLength", p.PendingLength, time.Minute, year, true},
		{"LogLength", p.LogLength, 24 * time.Hour, 10 * year, false},
		{"Anonymous.Idle", p.Anonymous.Idle, time.Minute, year, true},
		{"Anonymous.Absolute", p.Anonymous.Absolute, time.Minute, year, true},
		{"SingleFactor.Idle", p.SingleFactor.Idle, time.Minute, year, true},
		{"SingleFactor.Absolute", p.SingleFactor.Absolute, time.Minute, year, true},
		{"MultiFactor.Idle", p.MultiFactor.Idle, time.Minute, year, true},
		{"MultiFactor.Absolute", p.MultiFactor.Absolute, time.Minute, year, true},
	} {
		if (f.value < f.least || f.value > f.most) && !(f.value == 0 && f.zero) {
			err = errors.Join(err, fmt.Errorf("latchkey: Policy.%s is not %v to %v", f.name, f.least, f.most))
		}
	}
	if p.Disabled&^allMethods != 0 {
		err = errors.Join(err, errors.New("latchkey: Policy.Disabled has a way in that there is not"))
	}
	for _, f := range p.DisabledFactors {
		if f != FactorTOTP && f != FactorEmail && f != FactorPhone {
			err = errors.Join(err, fmt.Errorf("latchkey: Policy.DisabledFactors has %q, which cannot be switched off", f))
		}
	}
	p.Limits, err = filledLimits(p.Limits, err)
	return p, err
}

// factorOff reports whether a factor is switched off.
func (p *Policy) factorOff(f Factor) bool { return slices.Contains(p.DisabledFactors, f) }

func orDefault[T int | time.Duration](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}

// enabled refuses a way in that is switched off.
func (p *Policy) enabled(m Methods) error {
	if p.Disabled&m == 0 {
		return nil
	}
	e := *ErrAuthMethodUnsupported
	e.Message = methodNames[m] + " authentication is disabled"
	return &e
}

const (
	passwordMin = 8
	passwordMax = 256 // code points
)

const (
	defaultLimit = 25
	maxLimit     = 5_000
)

// boundsLives reports whether the policy bounds the lives of any sessions beyond their
// expiry.
func (p *Policy) boundsLives() bool {
	return p.Anonymous != Lifetime{} || p.SingleFactor != Lifetime{} || p.MultiFactor != Lifetime{}
}

// lifetime returns what bounds a session with those factors.
func (p *Policy) lifetime(factors string) Lifetime {
	switch {
	case factors == factorAnonymous:
		return p.Anonymous
	case strings.Contains(factors, " "):
		return p.MultiFactor
	}
	return p.SingleFactor
}

// end returns when a session ends that is made or extended now.
func (p *Policy) end(s *record.Session, now time.Time) time.Time {
	end := now.Add(p.SessionLength)
	if l := p.lifetime(s.Factors); l.Absolute > 0 && s.Created.Add(l.Absolute).Before(end) {
		return s.Created.Add(l.Absolute)
	}
	return end
}

// over reports whether the life of a session has ended by now.
func (p *Policy) over(s *record.Check, now time.Time) bool {
	l := p.lifetime(s.Factors)
	return !s.Expire.After(now) ||
		l.Idle > 0 && now.Sub(s.Touched) >= l.Idle ||
		l.Absolute > 0 && now.Sub(later(s.Created, s.Challenged)) >= l.Absolute
}

// lastSeen is how old the last-seen time of a user gets before it is written
// anew.
const lastSeen = 24 * time.Hour

// lastSeen returns the same for a session.
func (p *Policy) lastSeen(s *record.Check) time.Duration {
	if l := p.lifetime(s.Factors); l.Idle > 0 && s.ID != "" {
		return min(lastSeen, l.Idle/8)
	}
	return lastSeen
}

// last is when a session ends at the latest: the policy may have changed since it
// was made.
func (p *Policy) last(s *record.Check) time.Time {
	if l := p.lifetime(s.Factors); l.Absolute > 0 {
		if end := later(s.Created, s.Challenged).Add(l.Absolute); end.Before(s.Expire) {
			return end
		}
	}
	return s.Expire
}

// later is when somebody has last proven who they are.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
