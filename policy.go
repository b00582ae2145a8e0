package latchkey

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
)

// Policy is everything that a host decides about accounts. Each zero field has the default
// that its comment says. [StrictPolicy] is for hosts that want more than the defaults. A
// policy may change with a restart.
type Policy struct {
	// Disabled are the ways in that are switched off: they answer with
	// [ErrAuthMethodUnsupported]. The server's scope may still use them.
	Disabled Methods
	// SignUp says who may become a user.
	SignUp SignUp
	// RequireVerifiedEmail lets only users act who have proven their e-mail address.
	// [Guest.Authenticate] answers with an [*UnverifiedEmailError] until then. It holds for
	// every user and every way in: for those who have signed in by phone, anonymously or by the server
	// and have no address, for JWTs, and for sessions from before the policy. [Users] may mark an
	// address as verified.
	RequireVerifiedEmail bool
	// UserLimit is the number of users after which sign-up is refused, 1 to 10,000; 0
	// means no limit. The server may make more.
	UserLimit int
	// DiscloseAccounts lets [Guest.CreateMagicURLToken] and its like answer with the id
	// of the user who has the address, or the id that a live token has promised to it.
	// Without it every answer holds the id that was asked for, so that callers do not
	// learn which addresses have accounts.
	DiscloseAccounts bool
	// TrustProviderMFA lets a sign-in by an [oauth.Provider] count as two factors, email and
	// oauth2: the host trusts every provider to ask for a second one. Without it, it is one.
	// Sessions keep what they were made with. An identity that a user had before MFA was switched
	// on is one factor until a session of it has proven another one.
	TrustProviderMFA bool
	// KeepProviderTokens keeps the access and refresh tokens of providers, sealed, for
	// [Account.ProviderTokens]. Without it they are dropped once the user is signed in.
	KeepProviderTokens bool
	// PageLimit is the largest [Limit] of a listing, 25 to 5,000; 0 means 5,000.
	PageLimit int
	// LogLength is how long lines of the audit log are kept, a day to ten years; 0 means
	// 90 days. [Engine.Sweep] deletes older ones.
	LogLength time.Duration

	Password PasswordPolicy
	Sessions SessionPolicy
	Factors  FactorPolicy
	Messages MessagePolicy
	Guessing GuessingPolicy

	Addresses AddressPolicy
	// Members is what the members of a team see of one another.
	Members MemberPolicy
}

// SignUp says who may become a user.
type SignUp int

// The ways to become a user.
const (
	// SignUpOpen lets anyone sign up.
	SignUpOpen SignUp = iota
	// SignUpClosed lets no client make a user. Only the server makes users, by [Users] and by
	// guests of [Users.Guest], and so do the owners of teams, by their invitations.
	//
	// Links and codes that sign in are answered as before for every address, and nothing is sent to
	// an address that no user has. [Guest.CreateAccount], [Guest.CreateAnonymousSession] and a
	// sign-in by a provider that would make a user answer with [ErrSignUpClosed], whether the
	// address has an account or not. Anonymous users from before stay anonymous.
	SignUpClosed
)

// PasswordPolicy are the rules for new passwords.
type PasswordPolicy struct {
	// Min is the least number of characters (code points in Unicode normal form C), 8 to
	// 256; 0 means 8.
	Min int
	// Uppercase, Lowercase, Number and Symbols refuse passwords without an upper-case
	// letter of ASCII, a lower-case letter of ASCII, a digit of ASCII, a character that is
	// neither letter, digit nor space.
	Uppercase, Lowercase, Number, Symbols bool
	// Dictionary refuses the 10,000 most common passwords, ignoring case.
	Dictionary bool
	// PersonalData refuses passwords that contain the user's id, e-mail address, its part
	// before the @, name, or phone number, ignoring case. Parts of fewer than four
	// characters are not looked for.
	PersonalData bool
	// History is the number of a user's passwords, including the present one, that may
	// not be set again, up to 20; 0 means that every one may. Each costs the time of one
	// hash. Passwords that were set while it was 0 are not known, except for the present
	// one. While the engine lacks the key of a user's history, changes of their password
	// are a fault: the rule could not be applied.
	History int
	// Hash is the cost of new hashes; zero means that of hasher.Default. It is not used
	// if [Config] has a Hasher.
	Hash hasher.Params
}

// SessionPolicy bounds sessions.
type SessionPolicy struct {
	// Limit is the number of sessions that a user may have, 1 to 100; 0 means 10. A
	// further one ends the oldest.
	Limit int
	// Length is how long a session lives, a minute to a year of 365 days; 0 means a year.
	// Existing sessions keep the length with which they were made. Client.SessionLength makes
	// single sessions shorter.
	Length time.Duration
	// Anonymous, SingleFactor and MultiFactor bound the lives of sessions by the proofs
	// of their sign-in, beyond Length. They hold for existing sessions too.
	Anonymous, SingleFactor, MultiFactor Lifetime
	// KeepOnPasswordChange keeps the other sessions of a user whose password changes.
	// Without it they end.
	KeepOnPasswordChange bool
	// EndOnChange ends the other sessions of a user whose proven address or number
	// changes, or who gets or loses an authenticator or a passkey. Without it only those end that a
	// link or a code to the old address or number has made, and nothing else; and, while
	// MFA is on, those that come to owe a factor with the one that goes.
	EndOnChange bool
	// EndOnBlock ends the sessions, links and codes of a user who is blocked. Without it they
	// are refused while the block lasts, and live on after it.
	EndOnBlock bool
	// Alerts sends a mail to a user who signs in while they are signed in elsewhere: by
	// password, by a code to their phone, or by the host's own token. There is no alert
	// for a first session, nor for one that was made by the mailbox itself, by an accepted
	// invitation or by the server, nor to an address that the user has not proven.
	Alerts bool
}

// Lifetime bounds the life of sessions. Each bound is a minute to a year of 365 days; 0
// means no bound.
type Lifetime struct {
	// Idle is how long a session lives without [Guest.Authenticate]. The engine records
	// the use of a session after an eighth of Idle, so a session may end that much
	// earlier.
	Idle time.Duration
	// Absolute is how long a session lives in any case, from its sign-in, the last challenge
	// that it has answered, or the last time that its user has shown the password again
	// ([Account.ConfirmPassword]).
	Absolute time.Duration
}

// FactorPolicy are the rules for second factors.
type FactorPolicy struct {
	// Disabled are second factors that are switched off: users cannot be challenged for
	// them, and do not owe a factor because of them. Only FactorTOTP, FactorEmail and
	// FactorPhone can be disabled.
	Disabled []Factor
	// StepUpWindow is how long a sign-in or an answered challenge is fresh enough for
	// changes of factors, a minute to a day; 0 means 30 minutes.
	StepUpWindow time.Duration
	// EnrolWithoutStepUp lets sessions of any age enrol factors, switch MFA, and make the
	// first recovery codes. A stolen session can then plant a factor.
	EnrolWithoutStepUp bool
	// KeepSecretOnChallenge keeps the secret of a session that answers a challenge, or shows its
	// password again, for clients that cannot take a new one. Session.Secret is empty then, and
	// the host leaves its cookie alone.
	KeepSecretOnChallenge bool
	// StrongRecoveryCodes makes ten recovery codes of 120 bits that are kept as digests
	// and shown once, instead of six of 40 bits that can be read again.
	StrongRecoveryCodes bool
	// RefuseClonedPasskeys refuses a passkey of a single device whose count of signatures does not rise: there may be a copy of
	// it. Without it, the user gets a notice, and the passkey is marked (Passkey.ClonedAt).
	RefuseClonedPasskeys bool
	// PendingLength is how long a session may owe a second factor before it ends, a minute
	// to a year of 365 days; 0 means 30 minutes.
	PendingLength time.Duration
}

// MessagePolicy bounds the lives of links and codes, and says to which numbers texts go.
type MessagePolicy struct {
	// MagicURLLength is the life of a link that signs in; 0 means an hour. OTPLength is
	// the life of a code by e-mail or SMS that signs in or verifies; 0 means 15 minutes.
	// Both are a minute to a day.
	MagicURLLength, OTPLength time.Duration
	// EmailVerificationLength is the life of a link of [Account.CreateEmailVerification],
	// a minute to 30 days; 0 means seven days. RecoveryLength is the life of a link of
	// [Guest.CreateRecovery], a minute to a day; 0 means an hour.
	EmailVerificationLength, RecoveryLength time.Duration
	// InvitationLength is the life of an invitation to a team, a minute to 30 days; 0 means
	// seven days.
	InvitationLength time.Duration
	// Countries are the country codes of the numbers to which text messages are sent, such
	// as "44" and "1"; none means every country. (1 is shared by the United States, Canada
	// and islands of the Caribbean.) Users cannot set other numbers, and nothing is sent to
	// those that they have: a user whose only second factor is such a number can sign in
	// after the server has changed that. Config.MockNumbers are excepted.
	Countries []string
	// ServiceNumbers also sends texts to the numbers of services: the codes 800, 808, 870,
	// 878, 881, 882, 883, 888 and 979, for free, shared-cost and premium calls, ships,
	// satellites and networks without a country, and the numbers at a premium within a
	// country, such as +1 900, as far as the engine knows them. A text to them can cost many
	// times more than one to a person.
	ServiceNumbers bool
}

// MemberPolicy are the rules for the members of teams.
type MemberPolicy struct {
	// The members of a team see these fields of one another, owners and their own included,
	// unless they are hidden. The server always sees them. Only the server sees when a member
	// was last seen.
	HideName, HideEmail, HidePhone, HideMFA bool
	// Limit is the number of members that a team may have, 1 to 1,000,000; 0 means no limit.
	// Teams that have more already keep them.
	Limit int
}

// AddressPolicy says which e-mail addresses new users may not have. It holds for signing up,
// for [Account.UpdateEmail] and the conversion of an anonymous account, for asking for
// a link or a code that signs in, and, as documented, for [Users.Create] and
// [Users.UpdateEmail] too. Users who have such an address keep it and sign in by
// password. A link or a code is refused to them as to a stranger, so that the answer does not
// tell who has an account; if DiscloseAccounts is on, they get it.
//
// [Config].AddressClassifier decides about an address. An address about which nothing is known
// is not refused. The lists of package mailclass are never complete: they make throwaway
// accounts dearer, and no more.
type AddressPolicy struct {
	// RefuseDisposable refuses addresses for single use, with [ErrEmailDisposable].
	RefuseDisposable bool
	// RefuseAliased refuses addresses that are not in the canonical form of their provider,
	// with [ErrEmailNotCanonical]: sub-addresses such as ada+shop@gmail.com, and dots where
	// they make no difference. It keeps one person from signing up many times with one
	// mailbox. Some people know their address only by such a form.
	RefuseAliased bool
	// RefuseFree refuses addresses that anyone can have for nothing, with [ErrEmailFree].
	RefuseFree bool
	// RefuseNotCorporate refuses all but corporate addresses, with [ErrEmailNotCorporate].
	// With package mailclass these are all that are neither free nor disposable.
	RefuseNotCorporate bool
}

// GuessingPolicy bounds guesses and calls.
type GuessingPolicy struct {
	// FreeFailures is the number of wrong passwords in a row that are not slowed, 1 to
	// 10; 0 means 10. After one more, the next attempt waits 30 seconds, and twice as long after
	// each further one, up to an hour.
	FreeFailures int
	// DisableAfter is the number of wrong passwords in a row that disables the password
	// until it is set anew, 20 to 1,000; 0 means never. Until then the answer is
	// [ErrPasswordResetRequired], for known and unknown addresses alike. With it, wrong
	// passwords are remembered for a year instead of a day. At a client from which the
	// user has signed in within 90 days they are counted apart, and for a day.
	DisableAfter int
	// Limits replaces rules of the table of [DefaultLimits], by the name of the
	// operation: 1 to 2,097,150 calls in a second to 31 days. An operation that it does not
	// name keeps its rule. No rule can be switched off; a great number of calls comes to
	// the same.
	Limits map[string]ratelimit.Rule
}

// Methods is a set of ways in.
type Methods uint

// The ways in that a policy may switch off.
const (
	MethodEmailPassword    Methods = 1 << iota // signing up and in with a password
	MethodAnonymousSession                     // signing in without any proof
	MethodMagicURL                             // asking for a link
	MethodEmailOTP                             // asking for a code by e-mail
	MethodPhone                                // asking for a code by SMS, to sign in or to verify the number
	MethodJWT                                  // making a JWT
	MethodInvitation                           // inviting to a team; open invitations can be accepted
	MethodPasskey                              // signing in by a passkey; second factors and step-ups by one stay

	allMethods = MethodPasskey | MethodEmailPassword | MethodAnonymousSession | MethodMagicURL | MethodEmailOTP | MethodPhone | MethodJWT | MethodInvitation
)

// name names a way in for a person.
func (m Methods) name() string {
	switch m {
	case MethodEmailPassword:
		return "Email and password"
	case MethodAnonymousSession:
		return "Anonymous"
	case MethodMagicURL:
		return "Magic URL"
	case MethodEmailOTP:
		return "Email OTP"
	case MethodPhone:
		return "Phone"
	case MethodInvitation:
		return "Invitation"
	case MethodPasskey:
		return "Passkey"
	}
	return "JWT"
}

// The documented bounds that several rooms need.
const (
	passwordMin  = 8
	passwordMax  = 256 // code points
	defaultLimit = 25
	maxLimit     = 5_000

	day  = 24 * time.Hour
	year = 365 * day
)

// enabled refuses a way in that is switched off.
func (p *Policy) enabled(m Methods) error {
	if p.Disabled&m == 0 {
		return nil
	}
	e := *ErrAuthMethodUnsupported
	e.Message = m.name() + " authentication is disabled"
	return &e
}

// allowsTexts reports whether texts may be sent to a number.
func (p *MessagePolicy) allowsTexts(number string) bool {
	code := canon.CallingCode(number)
	return (p.ServiceNumbers || !canon.IsServiceCode(code) && !canon.IsPremium(number)) && (len(p.Countries) == 0 || slices.Contains(p.Countries, code))
}

// nameOf returns the name of a user who is made as a member of a team: the address if none is
// given, and unless the members do not see it.
func (p *Policy) nameOf(name, email, phone string) string {
	if p.Members.HideEmail {
		email = ""
	}
	if p.Members.HidePhone {
		phone = ""
	}
	return cmp.Or(name, email, phone)
}

// off reports whether a factor is switched off.
func (p *FactorPolicy) off(f Factor) bool { return slices.Contains(p.Disabled, f) }

// boundsLives reports whether any sessions have bounds beyond their expiry.
func (p *SessionPolicy) boundsLives() bool {
	return p.Anonymous != Lifetime{} || p.SingleFactor != Lifetime{} || p.MultiFactor != Lifetime{}
}

// lifetime returns the bounds of a session with the given factors.
func (p *SessionPolicy) lifetime(factors string) Lifetime {
	switch proofs := strings.TrimPrefix(factors, factorAnonymous+" "); {
	case proofs == factorAnonymous:
		return p.Anonymous
	case strings.Contains(proofs, " "):
		return p.MultiFactor
	}
	return p.SingleFactor
}

// end returns the expiry of a session that is made or extended now. The bounds of its life are
// looked at by over and last: a later proof moves them.
func (p *SessionPolicy) end(s *record.Session, now time.Time) time.Time {
	length := p.Length
	if s.Length > 0 {
		length = min(length, time.Duration(s.Length)*time.Second)
	}
	return now.Add(length)
}

// over reports whether the life of a session has ended by now.
func (p *SessionPolicy) over(s *record.Check, now time.Time) bool {
	l := p.lifetime(s.Factors)
	return !s.Expire.After(now) ||
		l.Idle > 0 && now.Sub(s.Touched) >= l.Idle ||
		l.Absolute > 0 && now.Sub(lastProof(s)) >= l.Absolute
}

// last returns the latest end of a session. The policy may have changed since the
// session was made.
func (p *SessionPolicy) last(s *record.Check) time.Time {
	if l := p.lifetime(s.Factors); l.Absolute > 0 {
		if end := lastProof(s).Add(l.Absolute); end.Before(s.Expire) {
			return end
		}
	}
	return s.Expire
}

// lastProof returns the time of a session's sign-in, or of its last challenge or password.
func lastProof(s *record.Check) time.Time {
	last := s.Created
	for _, t := range []time.Time{s.Challenged, s.Confirmed} {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// lastSeen is the age at which the last-seen time of a user is written anew.
const lastSeen = day

// lastSeen is the same for a session.
func (p *SessionPolicy) lastSeen(s *record.Check) time.Duration {
	if l := p.lifetime(s.Factors); l.Idle > 0 && s.ID != "" {
		return min(lastSeen, l.Idle/8)
	}
	return lastSeen
}
