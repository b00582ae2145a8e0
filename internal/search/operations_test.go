package search_test

import (
	"encoding/json"
	"slices"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
)

// operation is what an actor may do in a step. do returns a line of the history, "" if the
// actor has nothing to do it with.
type operation struct {
	name   string // the method of the handle, or "" for several calls
	server bool   // only the server does it
	mail   bool   // it is what a reader of messages does
	weight int    // how often it is picked; 1 with 0
	do     func(w *world, a *actor, s step) string
}

// table has every operation. A method of Guest, Account and Pending that is not here is in
// quiet.
var table = []operation{
	// without a session
	{name: "Guest.CreateAccount", do: signUp},
	{name: "Guest.CreateEmailPasswordSession", weight: 6, do: signIn},
	{name: "Guest.CreateAnonymousSession", do: anonymous},
	{name: "Guest.CreateMagicURLToken", do: askLink},
	{name: "Guest.CreateEmailToken", do: askCode},
	{name: "Guest.CreatePhoneToken", do: askText},
	{name: "Guest.CreateRecovery", do: askRecovery},
	{name: "Guest.CreateSession", weight: 3, do: redeem},
	{name: "Guest.AcceptInvitation", weight: 2, do: acceptInvitation},
	{name: "Account.AcceptInvitation", weight: 2, do: joinTeam},
	{name: "Guest.DeclineInvitation", do: declineInvitation},
	{name: "Guest.ConfirmRecovery", weight: 2, do: confirmRecovery},
	{name: "Guest.ConfirmEmailVerification", weight: 2, do: guestConfirms(notify.EmailVerification)},
	{name: "Guest.ConfirmPhoneVerification", weight: 2, do: guestConfirms(notify.PhoneVerification)},
	{name: "Guest.InspectToken", do: inspect},
	{weight: 3, mail: true, do: then(askLink, redeem)},
	{weight: 2, mail: true, do: then(askCode, redeem)},
	{weight: 2, mail: true, do: then(askText, redeem)},
	{weight: 2, mail: true, do: then(askRecovery, confirmRecovery)},
	{weight: 2, mail: true, do: then(then(askRecovery, confirmRecovery), then(signIn, then(ask, answer)))},
	{weight: 2, mail: true, do: then(then(askLink, redeem), then(ask, answer))},
	{weight: 3, do: then(signIn, then(ask, answer))},
	{do: guess},

	{name: "Guest.FinishOAuth2", weight: 3, do: signInBy(byBrowser)},
	{name: "Guest.CreateIDTokenSession", weight: 2, do: signInBy(byIDToken)},
	{weight: 3, do: then(signInBy(byBrowser), then(ask, answer))},
	{name: "Account.StartOAuth2", weight: 2, do: linkBy},
	{name: "Account.DeleteIdentity", do: unlink},

	// with a session
	{name: "Account.UpdatePassword", weight: 3, do: updatePassword},
	{name: "Account.UpdateEmail", weight: 2, do: updateEmail},
	{name: "Account.UpdatePhone", weight: 2, do: updatePhone},
	{name: "Account.CreateAccount", do: convert},
	{name: "Account.CreateEmailVerification", do: askVerification(true)},
	{name: "Account.CreatePhoneVerification", do: askVerification(false)},
	{name: "Account.ConfirmEmailVerification", weight: 2, do: accountConfirms(notify.EmailVerification)},
	{name: "Account.ConfirmPhoneVerification", weight: 2, do: accountConfirms(notify.PhoneVerification)},
	{weight: 2, do: then(askVerification(true), accountConfirms(notify.EmailVerification))},
	{weight: 2, do: then(askVerification(false), accountConfirms(notify.PhoneVerification))},
	{weight: 2, do: then(askVerification(true), guestConfirms(notify.EmailVerification))},
	{name: "Account.UpdateMFA", weight: 3, do: updateMFA},
	{name: "Account.CreateMFAAuthenticator", do: enrol},
	{name: "Account.VerifyMFAAuthenticator", do: verify},
	{weight: 2, do: then(enrol, verify)},
	{name: "Account.DeleteMFAAuthenticator", weight: 2, do: removeApp},
	{name: "Account.CreateMFARecoveryCodes", weight: 2, do: recoveryCodes("CreateMFARecoveryCodes", (*latchkey.Account).CreateMFARecoveryCodes)},
	{name: "Account.RegenerateMFARecoveryCodes", do: recoveryCodes("RegenerateMFARecoveryCodes", (*latchkey.Account).RegenerateMFARecoveryCodes)},
	{name: "Account.MFARecoveryCodes", do: recoveryCodes("MFARecoveryCodes", (*latchkey.Account).MFARecoveryCodes)},
	{name: "Account.CreateMFAChallenge", do: ask},
	{name: "Account.ConfirmMFAChallenge", do: answer},
	{weight: 10, do: then(ask, answer)},
	{name: "Account.ConfirmPassword", weight: 3, do: confirmPassword},
	{weight: 2, do: then(confirmPassword, updateMFA)},
	{weight: 2, do: then(confirmPassword, then(enrol, verify))},
	{weight: 2, do: then(then(confirmPassword, recoveryCodes("CreateMFARecoveryCodes", (*latchkey.Account).CreateMFARecoveryCodes)), recoveryCodes("MFARecoveryCodes", (*latchkey.Account).MFARecoveryCodes))},

	{name: "Account.CreateEmailChange", weight: 2, do: askChange(false)},
	{name: "Account.CreatePhoneChange", do: askChange(true)},
	{name: "Account.ConfirmEmailChange", weight: 2, do: confirmChange(false)},
	{name: "Account.ConfirmPhoneChange", weight: 2, do: confirmChange(true)},
	{name: "Guest.RestoreAddress", weight: 2, mail: true, do: restore},
	{weight: 4, do: change(false)},
	{weight: 2, do: change(true)},
	{weight: 2, do: then(change(false), change(true))},
	{weight: 2, do: then(change(true), change(false))},
	{weight: 2, do: then(change(false), elsewhere(change(false)))},
	{weight: 2, do: then(change(false), updateEmail)},
	{weight: 2, do: then(change(false), updatePassword)},
	{weight: 2, do: then(change(false), linkBy)},
	{weight: 2, do: then(change(false), updateMFA)},
	{weight: 3, do: then(change(false), byOwner(then(restore, confirmRecovery)))},
	{weight: 2, do: then(change(true), byOwner(restore))},
	{weight: 2, do: then(then(change(false), change(true)), byOwner(earlier(restore)))},
	{weight: 2, do: then(then(change(true), change(false)), byOwner(then(restore, earlier(restore))))},
	{weight: 2, do: then(then(change(false), elsewhere(change(false))), byOwner(then(restore, earlier(restore))))},
	{weight: 2, do: then(then(change(false), elsewhere(change(false))), byOwner(then(earlier(restore), restore)))},
	{weight: 2, do: then(then(change(false), change(true)), then(updateMFA, byOwner(earlier(restore))))},
	{weight: 2, do: then(then(change(false), elsewhere(change(false))), then(byOwner(earlier(restore)), restore))},
	{weight: 2, do: then(then(change(false), linkBy), byOwner(restore))},
	{weight: 2, do: then(then(change(false), signInBy(byBrowser)), byOwner(restore))},
	{do: then(change(false), byOwner(then(lapse, restore)))},
	{weight: 2, mail: true, do: then(restore, confirmRecovery)},
	{weight: 2, mail: true, do: then(then(restore, confirmRecovery), then(signIn, then(ask, answer)))},
	{weight: 2, do: then(byOwner(restore), then(signIn, byOwner(confirmRecovery)))},

	{name: "Guest.StartPasskeySession", do: offer},
	{name: "Guest.FinishPasskeySession", do: enterByKey},
	{name: "Account.StartPasskeyEnrolment", do: startKey(false)},
	{name: "Account.FinishPasskeyEnrolment", do: finishKey},
	{name: "Account.StartPasskeyChallenge", do: askKey},
	{name: "Account.FinishPasskeyChallenge", do: answerKey},
	{name: "Account.RenamePasskey", do: renameKey},
	{name: "Account.DeletePasskey", do: deleteKey},
	{weight: 8, do: signInByKey},
	{weight: 4, do: enrolKey(false)},
	{weight: 2, do: enrolKey(true)},
	{weight: 8, do: showKey},
	{weight: 3, do: then(signIn, showKey)},
	{weight: 2, do: then(signInBy(byBrowser), showKey)},
	{weight: 2, mail: true, do: then(then(askLink, redeem), showKey)},
	{weight: 2, mail: true, do: then(then(askRecovery, confirmRecovery), then(signIn, showKey))},
	{weight: 3, do: then(signInByKey, then(ask, answer))},
	{weight: 3, do: then(showKey, deleteKey)},
	{weight: 2, do: then(signInByKey, then(showKey, deleteKey))},
	{weight: 2, do: then(showKey, byOwner(then(showKey, deleteKey)))},
	{weight: 2, do: then(showKey, updateMFA)},
	{weight: 2, do: then(showKey, enrolKey(false))},
	{weight: 2, do: then(showKey, then(enrol, verify))},
	{weight: 2, do: then(signIn, then(enrolKey(false), updateMFA))},
	{weight: 2, do: then(then(signIn, then(ask, answer)), off(updateMFA))},
	{weight: 2, do: then(showKey, off(updateMFA))},
	{weight: 2, do: then(signInByKey, then(enrolKey(false), updateMFA))},
	{weight: 2, do: then(enrolKey(false), then(updateMFA, signInByKey))},
	{weight: 2, do: then(enrolKey(false), byOwner(then(signIn, updateMFA)))},
	{weight: 2, do: then(enrolKey(false), then(change(false), byOwner(restore)))},
	{weight: 2, do: then(change(false), then(enrolKey(false), byOwner(then(restore, confirmRecovery))))},
	{weight: 2, do: then(signInByKey, then(change(false), byOwner(restore)))},
	{weight: 2, do: then(then(signInByKey, enrolKey(false)), then(then(waits, showKey), then(byOwner(then(signInByKey, then(showKey, deleteKey))), startKey(false))))},
	{weight: 2, do: then(then(signInByKey, enrolKey(false)), then(then(waits, showKey), then(onServer(serverDeletesKey), startKey(false))))},
	{do: then(anonymous, enrolKey(false))},

	{name: "Account.RequireRecent", do: requireRecent},
	{name: "Account.CreateJWT", weight: 3, do: createJWT},
	{name: "Account.ExtendSession", do: extend},
	{name: "Account.RotateSession", do: rotate},
	{name: "Account.DeleteSession", weight: 2, do: signOut},
	{name: "Account.DeleteSessions", do: signOutAll},
	{name: "Account.Block", do: block},
	{name: "Account.UpdateName", do: plain("UpdateName", func(w *world, h *latchkey.Account) error { return kit.Err(h.UpdateName(w.k.Ctx, "Ada")) })},
	{name: "Account.UpdatePrefs", do: plain("UpdatePrefs", func(w *world, h *latchkey.Account) error {
		return kit.Err(h.UpdatePrefs(w.k.Ctx, json.RawMessage(`{"a":1}`)))
	})},
	{name: "Account.User", do: plain("User", func(w *world, h *latchkey.Account) error { return kit.Err(h.User(w.k.Ctx)) })},
	{name: "Account.Sessions", do: plain("Sessions", func(w *world, h *latchkey.Account) error { return kit.Err(h.Sessions(w.k.Ctx)) })},
	{name: "Pending.DeleteSession", do: signOutPending},

	// by the server
	{server: true, weight: 3, do: serverWord},
	{server: true, weight: 3, do: serverMFA},
	{server: true, weight: 2, do: invited},
	{server: true, weight: 2, do: serverStatus},
	{server: true, weight: 2, do: serverAddress},
	{server: true, weight: 3, do: serverVerification},
	{server: true, do: serverReleases},
	{server: true, do: serverRemovesApp},
	{server: true, do: serverDeletesKey},
	{server: true, do: serverCodes},
	{server: true, do: serverSession},
	{server: true, do: serverToken},
	{server: true, weight: 2, do: serverJWT},
	{server: true, do: serverEnds},
	{server: true, do: serverEndsAll},
	{server: true, do: sweep},
	{server: true, do: serverDeletes},
}

// signInByKey signs in by a passkey, and showKey shows one in a session.
var signInByKey, showKey = then(offer, enterByKey), then(askKey, answerKey)

// robbery is how an attacker takes the one proof.
var robbery = operation{do: rob}

// calm and wild are what the clock does in a round.
var (
	calm = slices.Concat(slices.Repeat([]*operation{{do: advance}}, 10), []*operation{{do: stepBack}})
	wild = slices.Concat(slices.Repeat([]*operation{{do: advance}}, 5), []*operation{{do: stepBack}, {do: leap}, {do: leap}, {do: leap}})
)

// quiet are the methods that change nothing and decide nothing, or are of another handle with
// the same code.
var quiet = []string{
	"Guest.Authenticate", "Guest.AuthenticateJWT", // after every step
	"Guest.Roles", "Guest.Can", "Account.Roles", "Account.Can", "Account.Prefs", "Account.Logs", "Account.GetSession", "Account.MFAFactors", "Account.Identities", "Account.GetIdentity", "Account.ProviderTokens",
	"Account.Passkeys", "Account.PasskeySignals",
	"Guest.StartOAuth2", "Guest.PostOAuth2", "Guest.RedeemOAuth2Token", // as of Guest.FinishOAuth2
	"Account.LinkIDToken", // as of Account.StartOAuth2

	"Account.UserID", "Account.SessionID", "Account.Format", "Pending.UserID", "Pending.SessionID", "Pending.Format", "Pending.MFAFactors",
	"Guest.AuthenticateProfile", "Account.Profile", "Account.ImpersonatorID",
	"Account.Impersonate",                                                              // nobody has the right to it: its rules have tests of their own
	"Account.CreatePushTarget", "Account.UpdatePushTarget", "Account.DeletePushTarget", // they prove nothing
	"Account.Teams", "Account.Delete", // ends the round: its rules have tests of their own
	"Pending.CreateMFAChallenge", "Pending.ConfirmMFAChallenge", "Pending.StartPasskeyChallenge", "Pending.FinishPasskeyChallenge", // as of Account
}

// last is the number that picks what came last, and the address that the owner has.
const last = 7

// then makes one operation after another. The second uses what came of the first.
func then(first, second func(*world, *actor, step) string) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		line := first(w, a, s)
		if line == "" {
			return ""
		}
		w.settle()
		s.x, s.y = last, last
		if next := second(w, a, s); next != "" {
			line += "; " + next
		}
		return line
	}
}

// address picks an e-mail address: of the owner, or of an attacker.
func address(w *world, a *actor, x int) string {
	switch {
	case x%8 == 0:
		return mailB
	case x%8 == 1 && a.role != owner:
		return a.mailbox
	case x%8 < 4 || w.main == nil || w.main.user.Email == "":
		return mailA
	}
	return w.main.user.Email
}

// number picks a phone number.
func number(w *world, a *actor, x int) string {
	switch {
	case x%8 == 0:
		return callB
	case x%8 == 1 && a.role != owner:
		return a.telephone
	case x%8 < 4 || w.main == nil || w.main.user.Phone == "":
		return callA
	}
	return w.main.user.Phone
}

// aWord picks a password that the actor knows; an invented one if there is none.
func aWord(w *world, a *actor, x int) *word {
	if known, ok := pick(a.words, x); ok {
		return known
	}
	return &word{text: "a guess of the horse"}
}
