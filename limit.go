package latchkey

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"example.com/latchkey/ratelimit"
)

// limited is an operation that callers may not repeat at will. The server's
// scope is not limited.
type limited struct {
	name string
	rule ratelimit.Rule
	// guesses says that the operation compares a secret: without a limiter it
	// is refused, others are let through.
	guesses bool
}

// The documented table.
var (
	limitCreateAccount = limited{"createAccount", perHour(10), false}
	limitEmailSession  = limited{"createEmailPasswordSession", perHour(10), true}
	// not among the documented; StrictPolicy sets it
	limitEmailSessionByClient = limited{"createEmailPasswordSessionByClient", ratelimit.Rule{}, true}
	limitAnonymousSession     = limited{"createAnonymousSession", perHour(50), false}
	limitUpdateSession        = limited{"updateSession", perHour(10), false}
	limitDeleteSession        = limited{"deleteSession", perHour(100), false}
	limitDeleteSessions       = limited{"deleteSessions", perHour(100), false}
	limitUpdatePassword       = limited{"updatePassword", perHour(10), true}
	limitMagicURLToken        = limited{"createMagicURLToken", perHour(60), false}
	limitEmailToken           = limited{"createEmailToken", perHour(10), false}
	limitPhoneToken           = limited{"createPhoneToken", perHour(10), false}
	limitSession              = limited{"createSession", perHour(10), true}
	limitMagicURLSession      = limited{"updateMagicURLSession", perHour(10), true}
	limitPhoneSession         = limited{"updatePhoneSession", perHour(10), true}
	limitCreateJWT            = limited{"createJWT", perHour(100), false}
	limitCreateRecovery       = limited{"createRecovery", perHour(10), false}
	limitUpdateRecovery       = limited{"updateRecovery", perHour(10), true}
	limitCreateEmailVerify    = limited{"createEmailVerification", perHour(10), false}
	limitUpdateEmailVerify    = limited{"updateEmailVerification", perHour(10), true}
	limitCreatePhoneVerify    = limited{"createPhoneVerification", perHour(10), false}
	limitUpdatePhoneVerify    = limited{"updatePhoneVerification", perHour(10), true}
	limitCreateChallenge      = limited{"createMFAChallenge", perHour(10), false}
	limitUpdateChallenge      = limited{"updateMFAChallenge", perHour(10), true}
	// messages of all kinds to one address; those behind the first are not
	// among the documented, StrictPolicy sets them
	limitMessages      = limited{"messages", perHour(60), false}
	limitMessagesBurst = limited{"messagesBurst", ratelimit.Rule{}, false}
	limitMessagesFew   = limited{"messagesFew", ratelimit.Rule{}, false}
	limitMessagesDay   = limited{"messagesDay", ratelimit.Rule{}, false}
	// what keeps text messages from being sent at the host's cost, and thefts
	// from being hidden; not among the documented either
	limitMessagesByPrefix = limited{"messagesByPrefix", perHour(100), false}
	limitMessagesNumbers  = limited{"messagesNumbers", ratelimit.Rule{Calls: 20, Window: 24 * time.Hour}, false}
	limitMessagesByClient = limited{"messagesByClient", perHour(300), false}
	limitMessagesNotices  = limited{"messagesNotices", perHour(10), false}
)

func perHour(calls int) ratelimit.Rule { return ratelimit.Rule{Calls: calls, Window: time.Hour} }

// DefaultLimits returns the documented rules by operation: how many calls a
// client address may make in a window that begins with the first; those of
// createEmailPasswordSession are of an e-mail address, or of a user at a client
// from which they have signed in within 90 days, and begin anew when it succeeds.
// IPv6 addresses are counted by their /64. A client whose address is not known
// is not counted by it.
//
// Tokens are counted by where they are sent; createMagicURLToken and
// createPhoneToken by the client address as well. createSession,
// updateMagicURLSession and updatePhoneSession are counted by user id and client
// address together, the first two begin anew when they succeed.
// createRecovery is counted by e-mail and client address, createPhoneVerification
// by user and client address, createEmailVerification and createJWT by user;
// updateRecovery and updateEmailVerification by the user id that is named,
// updatePhoneVerification by that and client address; createMFAChallenge by user, or by user and client address where
// they have proven the factor, updateMFAChallenge by challenge. messages is how
// many messages of all kinds together an address gets, whatever stands behind a +
// in it; messagesNotices is how many notices of one kind, of what has happened to an
// account, its proven address gets beyond those. messagesByClient is how many a
// client address has sent. messagesByPrefix is how many text messages go to the numbers of one
// country (of one area where the country is +1), messagesNumbers how many numbers
// a client address has messages sent to in a day. Where a rule about messages
// refuses one, the host is told by an [Event].
//
// More rules may be set that are not among the documented:
// createEmailPasswordSessionByClient, how often a client address may try to sign
// in, to whatever e-mail address; messagesBurst, messagesFew and messagesDay, with
// which messages to an address can be bounded in more windows than one.
func DefaultLimits() map[string]ratelimit.Rule {
	rules := make(map[string]ratelimit.Rule)
	for _, l := range []limited{
		limitCreateAccount, limitEmailSession, limitAnonymousSession, limitUpdateSession, limitDeleteSession, limitDeleteSessions,
		limitUpdatePassword, limitMagicURLToken, limitEmailToken, limitPhoneToken, limitSession, limitMagicURLSession, limitPhoneSession,
		limitCreateJWT, limitCreateRecovery, limitUpdateRecovery, limitCreateEmailVerify, limitUpdateEmailVerify, limitCreatePhoneVerify,
		limitUpdatePhoneVerify, limitCreateChallenge, limitUpdateChallenge, limitMessages, limitMessagesByPrefix, limitMessagesNumbers, limitMessagesByClient, limitMessagesNotices,
	} {
		rules[l.name] = l.rule
	}
	return rules
}

// filledLimits returns the table with the rules that a policy replaces.
func filledLimits(replaced map[string]ratelimit.Rule, err error) (map[string]ratelimit.Rule, error) {
	rules := DefaultLimits()
	for name, rule := range replaced {
		_, found := rules[name]
		for _, l := range []limited{limitEmailSessionByClient, limitMessagesBurst, limitMessagesFew, limitMessagesDay} {
			found = found || name == l.name
		}
		if !found {
			err = errors.Join(err, fmt.Errorf("latchkey: Policy.Limits has %q, which is not an operation with a limit", name))
		}
		if rule.Calls < 1 || rule.Calls > ratelimit.MaxCalls || rule.Window < time.Second || rule.Window > 31*24*time.Hour {
			err = errors.Join(err, fmt.Errorf("latchkey: Policy.Limits[%q] is not 1 to %d calls in a second to 31 days", name, ratelimit.MaxCalls))
		}
	}
	maps.Copy(rules, replaced)
	return rules, err
}
