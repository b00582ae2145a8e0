package latchkey

import (
	"context"
	"slices"
	"strings"

	"example.com/latchkey/internal/record"
)

// Factor is a proof of identity beside the first one of a sign-in.
type Factor string

// The factors.
const (
	FactorTOTP         Factor = "totp"         // a code of an authenticator app
	FactorEmail        Factor = "email"        // a code to the verified e-mail address
	FactorPhone        Factor = "phone"        // a code to the verified phone number
	FactorRecoveryCode Factor = "recoveryCode" // one of the codes that a user keeps for emergencies
	FactorCustom       Factor = "custom"       // the host's own, Config.CustomFactor or CustomCodes
	FactorPasskey      Factor = "passkey"      // a passkey ([Account.StartPasskeyChallenge])
)

// allFactors are the factors that a user can be challenged for.
var allFactors = []Factor{FactorTOTP, FactorEmail, FactorPhone, FactorRecoveryCode, FactorCustom, FactorPasskey}

// CustomFactor is a second factor of the host's own, for example a push message
// to its app. It must be safe for concurrent use. It can prove a factor that is
// owed, but a user never owes a factor because of it.
type CustomFactor interface {
	// Begin is called after a user has asked for a challenge and it was stored.
	Begin(ctx context.Context, userID, challengeID string) error
	// Check reports whether an answer is right. It is called at most five times
	// for a challenge.
	Check(ctx context.Context, userID, challengeID, answer string) (bool, error)
}

// The proofs, as sessions record them. Second factors are recorded by their
// Factor.
const (
	factorPassword  = "password"
	factorAnonymous = "anonymous"
	factorServer    = "server"
	factorEmail     = string(FactorEmail)
	factorPhone     = string(FactorPhone)
	factorToken     = "token"
	factorOAuth2    = "oauth2"
	byProvider      = factorOAuth2 + ":"               // before the name of a provider by which a user may sign in
	trustedOAuth2   = factorEmail + " " + factorOAuth2 // of a provider that is trusted to ask for two
	factVerified    = "verified"                       // not a factor: the passkey of the session has verified its user, which makes it two
	passkeyVerified = string(FactorPasskey) + " " + factVerified
	factRecovered   = "recovered" // not a factor: the password was set by mail and proves only the mailbox
)

// The ways in, as sessions record them. Those of tokens are in tokenKinds.
const (
	providerEmail     = "email"
	providerAnonymous = "anonymous"
	providerServer    = "server"
)

// The kinds of passkeys that a user has, as the user's row has them: at least one by which they sign in, or only second factors.
const (
	passkeysFirst  = "first"
	passkeysSecond = "second"
)

// contact returns the way by which codes of a factor are sent, nil for factors
// without messages.
func (f Factor) contact() *contact {
	switch f {
	case FactorEmail:
		return byEmail
	case FactorPhone:
		return byPhone
	}
	return nil
}

// assumed reports whether a session is only taken to have proven a factor, because MFA was
// switched on by it.
func assumed(s *record.Session, factor string) bool {
	return slices.Contains(strings.Fields(s.Assumed), factor)
}

// shown returns the factors that a session has proven indeed.
func shown(s *record.Session) []string {
	return slices.DeleteFunc(strings.Fields(s.Factors), func(f string) bool { return assumed(s, f) })
}

// assume takes a session to have proven a factor.
func assume(s *record.Session, factor string) {
	if !slices.Contains(strings.Fields(s.Factors), factor) {
		addFactor(s, factor)
		s.Assumed = strings.TrimSpace(s.Assumed + " " + factor)
	}
}

// withoutFactor returns a list of factors, separated by spaces, without one.
func withoutFactor(factors, factor string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(factors), func(f string) bool { return f == factor }), " ")
}

// addFactor records that a session has proven a factor. Each factor counts once.
func addFactor(s *record.Session, factor string) {
	if have := strings.Fields(s.Factors); !slices.Contains(have, factor) {
		s.Factors = strings.Join(append(have, factor), " ")
	}
}
