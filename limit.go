package latchkey

import (
	"errors"
	"time"

	"example.com/latchkey/ratelimit"
)

// ErrLimiterPerProcess is the answer of [New] if several machines may use the store, and the
// limiter counts in the memory of the process: each machine would allow the whole number of
// calls.
var ErrLimiterPerProcess = errors.New("latchkey: several machines may use this store, and the limiter counts in the memory of one process: " +
	"set Config.Limiter to a shared one (package ratelimit/stored or ratelimit/redis), or Config.LimiterPerProcess if there is one process")

// limited is an operation that callers may not repeat at will. The server's scope
// is not limited.
type limited int

// The limited operations: those of the documented table, then those of the engine
// for messages.
const (
	limitCreateAccount limited = iota
	limitEmailSession
	limitEmailSessionByClient
	limitAnonymousSession
	limitUpdateSession
	limitDeleteSession
	limitDeleteSessions
	limitUpdatePassword
	limitConfirmPassword
	limitUpdateEmail
	limitUpdatePhone
	limitMagicURLToken
	limitEmailToken
	limitPhoneToken
	limitStartOAuth2
	limitFinishOAuth2
	limitIDToken
	limitStartPasskey
	limitFinishPasskey
	limitSession
	limitSessionByClient
	limitFailuresByClient
	limitConfirmByClient
	limitSignInsByClient
	limitChanges
	limitCreateJWT
	limitCreateRecovery
	limitUpdateRecovery
	limitCreateEmailVerify
	limitUpdateEmailVerify
	limitCreatePhoneVerify
	limitUpdatePhoneVerify
	limitCreateMembership
	limitCreateChallenge
	limitUpdateChallenge
	limitMessages
	limitMessagesBurst
	limitMessagesFew
	limitMessagesDay
	limitMessagesByPrefix
	limitMessagesTexts
	limitMessagesNumbers
	limitMessagesNumbersBySite
	limitMessagesByClient
	limitMessagesBySite
	limitMessagesReserve
	limitMessagesNotices
)

// limits is the table of limits.
var limits = [...]struct {
	name string
	rule ratelimit.Rule // the zero rule is off unless the policy sets one
	// guesses says that the operation compares a secret: while the limiter fails,
	// it is refused, and the others are let through.
	guesses bool
	// alarms says that the host is told when the rule refuses a message.
	alarms bool
	// quiet says that the host is not told what is left: a call may be given back, or the
	// rule is so wide that it would hide the others.
	quiet bool
}{
	limitCreateAccount:        {name: "createAccount", rule: perHour(10)},
	limitEmailSession:         {name: "createEmailPasswordSession", rule: perHour(10), guesses: true},
	limitEmailSessionByClient: {name: "createEmailPasswordSessionByClient", guesses: true},
	limitAnonymousSession:     {name: "createAnonymousSession", rule: perHour(50)},
	limitUpdateSession:        {name: "updateSession", rule: perHour(10)},
	limitDeleteSession:        {name: "deleteSession", rule: perHour(100)},
	limitDeleteSessions:       {name: "deleteSessions", rule: perHour(100)},
	limitUpdatePassword:       {name: "updatePassword", rule: perHour(10), guesses: true},
	limitConfirmPassword:      {name: "confirmPassword", rule: perHour(10), guesses: true},
	limitUpdateEmail:          {name: "updateEmail", rule: perHour(10), guesses: true},
	limitUpdatePhone:          {name: "updatePhone", rule: perHour(10), guesses: true},
	limitMagicURLToken:        {name: "createMagicURLToken", rule: perHour(60)},
	limitEmailToken:           {name: "createEmailToken", rule: perHour(10)},
	limitPhoneToken:           {name: "createPhoneToken", rule: perHour(10)},
	limitStartOAuth2:          {name: "createOAuth2Session", rule: perHour(50)},
	limitFinishOAuth2:         {name: "finishOAuth2Session", rule: perHour(50)},
	limitIDToken:              {name: "createIDTokenSession", rule: perHour(50)},
	limitStartPasskey:         {name: "createPasskeySession", rule: perHour(300)},
	limitFinishPasskey:        {name: "finishPasskeySession", rule: perHour(300)},
	limitSession:              {name: "createSession", rule: perHour(10), guesses: true},
	limitSessionByClient:      {name: "createSessionByClient", rule: perHour(300), guesses: true},
	limitFailuresByClient:     {name: "failuresByClient", rule: perHour(300), guesses: true, quiet: true},
	limitConfirmByClient:      {name: "confirmByClient", rule: perHour(300)},
	limitSignInsByClient:      {name: "signInsByClient", rule: perHour(3_000), quiet: true},
	limitChanges:              {name: "changes", rule: perHour(600), quiet: true},
	limitCreateJWT:            {name: "createJWT", rule: perHour(100)},
	limitCreateRecovery:       {name: "createRecovery", rule: perHour(10)},
	limitUpdateRecovery:       {name: "updateRecovery", rule: perHour(10), guesses: true},
	limitCreateEmailVerify:    {name: "createEmailVerification", rule: perHour(10)},
	limitUpdateEmailVerify:    {name: "updateEmailVerification", rule: perHour(10), guesses: true},
	limitCreatePhoneVerify:    {name: "createPhoneVerification", rule: perHour(10)},
	limitUpdatePhoneVerify:    {name: "updatePhoneVerification", rule: perHour(10), guesses: true},
	limitCreateMembership:     {name: "createMembership", rule: perHour(10)},
	limitCreateChallenge:      {name: "createMFAChallenge", rule: perHour(10)},
	limitUpdateChallenge:      {name: "updateMFAChallenge", rule: perHour(10), guesses: true},

	limitMessages:              {name: "messages", rule: perHour(60), alarms: true},
	limitMessagesBurst:         {name: "messagesBurst", alarms: true},
	limitMessagesFew:           {name: "messagesFew", alarms: true},
	limitMessagesDay:           {name: "messagesDay", alarms: true},
	limitMessagesByPrefix:      {name: "messagesByPrefix", rule: perHour(100), alarms: true},
	limitMessagesTexts:         {name: "messagesTexts", rule: perHour(3_000), alarms: true},
	limitMessagesNumbers:       {name: "messagesNumbers", rule: perDay(20), alarms: true},
	limitMessagesNumbersBySite: {name: "messagesNumbersBySite", rule: perDay(200), alarms: true},
	limitMessagesByClient:      {name: "messagesByClient", rule: perHour(300), alarms: true},
	limitMessagesBySite:        {name: "messagesBySite", rule: perHour(3_000), alarms: true},
	limitMessagesReserve:       {name: "messagesReserve", rule: perHour(10), alarms: true},
	limitMessagesNotices:       {name: "messagesNotices", rule: perHour(10), alarms: true},
}

func perHour(calls int) ratelimit.Rule { return ratelimit.Rule{Calls: calls, Window: time.Hour} }

func perDay(calls int) ratelimit.Rule { return ratelimit.Rule{Calls: calls, Window: 24 * time.Hour} }

// DefaultLimits returns the rules by operation: how many calls a window allows, which begins
// with the first call. [Policy].Guessing.Limits replaces them. The names are those of the
// documented API: updateRecovery is [Guest.ConfirmRecovery], updateEmailVerification and
// updatePhoneVerification are [Guest.ConfirmEmailVerification] and
// [Guest.ConfirmPhoneVerification], updateMFAChallenge is [Account.ConfirmMFAChallenge], and
// updateSession is [Account.ExtendSession]. A limit is counted by the client address unless
// this list says otherwise, and a client without a known address is not counted by it. IPv6 is
// counted by its /64. An IPv6 address that holds the client's IPv4 address, as those of
// translators, 6to4 and Teredo do, counts as that. What is counted by client address is counted
// by the /48 of IPv6 too, with ten times the calls.
//
//   - createEmailPasswordSession: by e-mail address, or by user and client address
//     where the user has signed in from there within 90 days; and by e-mail address and
//     client address together, which alone is told to Client.OnLimit. A success resets it.
//   - createMagicURLToken, createPhoneToken: by destination, and by client address.
//   - createEmailToken: by destination.
//   - createSession: by user id and client address together. A success resets it.
//   - createSessionByClient, confirmByClient: all calls of a client address that redeem a
//     link, a code or an invitation, and all that confirm a recovery or an address, for any
//     user id.
//   - createOAuth2Session, finishOAuth2Session: sign-ins by a provider that begin, and calls of
//     its callback.
//   - createPasskeySession, finishPasskeySession: sign-ins by a passkey that begin, and their
//     answers.
//   - failuresByClient: the wrong passwords, links, codes and answers to challenges of a
//     client address, for any user. A try counts while it is compared, so that tries at once
//     do not pass the rule together.
//   - signInsByClient: all sign-ins by password of a client address, right ones too.
//   - changes: changes of name, preferences and factors, and new secrets of a session, by
//     user.
//   - createRecovery: by e-mail address, and by client address.
//   - updateRecovery (with [Guest.RestoreAddress]) and updateEmailVerification (with
//     [Account.ConfirmEmailChange]): by the user id in the call.
//   - createEmailVerification, createJWT: by user.
//   - createMembership: invitations to teams, by the user who invites.
//   - confirmPassword: by user and client address together. A success resets it.
//   - updateEmail, updatePhone: by user, and by client address, with the calls of
//     [Account.CreateEmailChange] and [Account.CreatePhoneChange]. The answer tells whether an
//     address is taken.
//   - createPhoneVerification: by user, and by client address.
//   - updatePhoneVerification: by the user id in the call and client address
//     together, with the calls of [Account.ConfirmPhoneChange].
//   - createMFAChallenge: by user, or by user and client address where the user has
//     proven the factor from there.
//   - updateMFAChallenge: by challenge; answers by a passkey by session.
//   - messages: all messages to an address. In a mailbox the part after a + does not
//     count.
//   - messagesReserve: messages to a proven address after the rules that strangers can use
//     up (those of the address, messagesByPrefix, messagesTexts). They are for challenges, by
//     user, or by user and client address where the user has proven the factor from there;
//     and for links, codes and recoveries from a client address from which the user has
//     signed in within 90 days, by both.
//   - messagesNotices: notices of one kind to an address, after the other rules for messages.
//   - messagesByClient: all messages that a client address has caused, notices included.
//   - messagesByPrefix: text messages to the numbers of one country, or of one area
//     where the country is +1.
//   - messagesTexts: all text messages of the engine. Those that another rule refuses do
//     not count. Those of messagesReserve and messagesNotices are counted apart.
//   - messagesNumbers: different numbers to which a client address has messages
//     sent, in a day.
//   - messagesBySite, messagesNumbersBySite: as messagesByClient and messagesNumbers, by
//     the /48 of an IPv6 address.
//
// When a rule for messages refuses one, the host gets an [Event].
//
// Four more rules are off unless a policy sets them:
// createEmailPasswordSessionByClient counts sign-ins by client address, for all
// e-mail addresses; messagesBurst, messagesFew and messagesDay count messages to an
// address in further windows.
func DefaultLimits() map[string]ratelimit.Rule {
	rules := make(map[string]ratelimit.Rule)
	for _, l := range limits {
		if l.rule != (ratelimit.Rule{}) {
			rules[l.name] = l.rule
		}
	}
	return rules
}
