package latchkey

import (
	"context"
	"slices"
	"strings"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

// channel is the way by which codes of a factor go.
func (f Factor) channel() notify.Channel {
	if f == FactorPhone {
		return notify.SMS
	}
	return notify.Email
}

// Factor is a proof of who somebody is, beside the first one of a sign-in.
type Factor string

// The factors.
const (
	FactorTOTP         Factor = "totp"         // a code of an authenticator app
	FactorEmail        Factor = "email"        // a code to a verified address
	FactorPhone        Factor = "phone"        // a code to a verified number
	FactorRecoveryCode Factor = "recoveryCode" // one of the codes that a user keeps for the worst case
	FactorCustom       Factor = "custom"       // the host's own, Config.CustomFactor
)

// CustomFactor is a second factor of the host's own: a push to its app, for
// example. It must be safe for concurrent use. It satisfies what is owed, and
// never causes a factor to be owed.
type CustomFactor interface {
	// Begin is called when a user has asked for a challenge, after it was stored.
	Begin(ctx context.Context, userID, challengeID string) error
	// Check reports whether an answer is right. It is called at most five times
	// for a challenge.
	Check(ctx context.Context, userID, challengeID, answer string) (bool, error)
}

// strongest reports whether a session has proven the strongest factor of its user:
// what takes that away asks for it, and not for a mailbox or a number.
func strongest(user *record.User, s *record.Session) bool {
	have := strings.Fields(s.Factors)
	return !user.TOTP || slices.Contains(have, string(FactorTOTP)) || slices.Contains(have, string(FactorRecoveryCode))
}

// unproven is what a session has by a switch, and not by a challenge.
func unproven(s *record.Session, factor string) bool {
	return s.Challenged.IsZero() && slices.Contains([]string{string(FactorTOTP), factorEmail, factorPhone}, factor)
}

// addFactor notes that a session has proven a factor. One counts once.
func addFactor(s *record.Session, factor string) {
	if have := strings.Fields(s.Factors); !slices.Contains(have, factor) {
		s.Factors = strings.Join(append(have, factor), " ")
	}
}

const (
	factorPassword  = "password"
	factorAnonymous = "anonymous"
	factorServer    = "server"
	factorEmail     = "email"
	factorPhone     = "phone"
	factorToken     = "token"
	factRecovered   = "recovered" // no factor: the password proves the mailbox, and no more
)
