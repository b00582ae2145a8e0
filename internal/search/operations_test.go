package search_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
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
	{server: true, do: serverCodes},
	{server: true, do: serverSession},
	{server: true, do: serverToken},
	{server: true, weight: 2, do: serverJWT},
	{server: true, do: serverEnds},
	{server: true, do: serverEndsAll},
	{server: true, do: sweep},
	{server: true, do: serverDeletes},
}

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
	"Guest.StartOAuth2", "Guest.PostOAuth2", "Guest.RedeemOAuth2Token", // as of Guest.FinishOAuth2
	"Account.LinkIDToken", // as of Account.StartOAuth2

	"Account.UserID", "Account.SessionID", "Account.Format", "Pending.UserID", "Pending.SessionID", "Pending.Format", "Pending.MFAFactors",
	"Guest.AuthenticateProfile", "Account.Profile", "Account.ImpersonatorID",
	"Account.Impersonate",                                                              // nobody has the right to it: its rules have tests of their own
	"Account.CreatePushTarget", "Account.UpdatePushTarget", "Account.DeletePushTarget", // they prove nothing
	"Account.Teams", "Account.Delete", // ends the round: its rules have tests of their own
	"Pending.CreateMFAChallenge", "Pending.ConfirmMFAChallenge", // as of Account
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

func signUp(w *world, a *actor, s step) string {
	email, wd := address(w, a, s.x), w.newWord(false)
	user, err := w.k.Guest(a.at).CreateAccount(w.k.Ctx, latchkey.NewAccount{Email: email, Password: wd.text})
	if err == nil {
		a.words = append(a.words, wd)
		w.named(user.ID).word = wd
	}
	return fmt.Sprintf("signs up with %s: %s", email, w.told(err))
}

func signIn(w *world, a *actor, s step) string {
	email, wd := address(w, a, s.x), aWord(w, a, s.y)
	made, err := w.k.Guest(a.at).CreateEmailPasswordSession(w.k.Ctx, email, wd.text)
	line := fmt.Sprintf("signs in to %s by %q: ", email, wd.text)
	if err != nil {
		return line + w.told(err)
	}
	acc := w.named(made.UserID)
	if acc.word != wd {
		w.fail("a password signs in that is not the present one")
	}
	acc.wordShown()
	return line + w.entered(a, made, byWord, wd).String()
}

func anonymous(w *world, a *actor, _ step) string {
	made, err := w.k.Guest(a.at).CreateAnonymousSession(w.k.Ctx)
	if err != nil {
		return "asks for an anonymous session: " + w.told(err)
	}
	return "signs in without any proof: " + w.entered(a, made, byNothing, nil).String()
}

func askLink(w *world, a *actor, s step) string {
	email := address(w, a, s.x)
	return fmt.Sprintf("asks for a link to %s: %s", email, w.told(kit.Err(w.k.Guest(a.at).CreateMagicURLToken(w.k.Ctx, latchkey.NewMagicURLToken{Email: email}))))
}

func askCode(w *world, a *actor, s step) string {
	email := address(w, a, s.x)
	return fmt.Sprintf("asks for a code to %s: %s", email, w.told(kit.Err(w.k.Guest(a.at).CreateEmailToken(w.k.Ctx, latchkey.NewEmailToken{Email: email}))))
}

func askText(w *world, a *actor, s step) string {
	phone := number(w, a, s.x)
	return fmt.Sprintf("asks for a code to %s: %s", phone, w.told(kit.Err(w.k.Guest(a.at).CreatePhoneToken(w.k.Ctx, "", phone))))
}

func askRecovery(w *world, a *actor, s step) string {
	email := address(w, a, s.x)
	return fmt.Sprintf("asks for a recovery of %s: %s", email, w.told(kit.Err(w.k.Guest(a.at).CreateRecovery(w.k.Ctx, latchkey.NewRecovery{Email: email, URL: kit.RecoverURL}))))
}

// letter picks a message of some kinds that the actor has.
func letter(a *actor, x int, kinds ...notify.Kind) (*oneTime, bool) {
	return pick(slices.DeleteFunc(slices.Clone(a.mail), func(t *oneTime) bool { return !slices.Contains(kinds, notify.Kind(t.kind)) }), x)
}

// take uses a secret up that was taken.
func (w *world) take(t *oneTime) {
	if why := w.live(t); why != "" {
		w.fail("a %s was taken although it %s", t.kind, why)
	}
	t.over = "was used"
	w.proved = append(w.proved, t.to)
}

const handedOver notify.Kind = "token" // that the server makes

func redeem(w *world, a *actor, s step) string {
	t, ok := letter(a, s.x, notify.MagicURL, notify.EmailOTP, notify.PhoneOTP, handedOver)
	if !ok {
		return ""
	}
	id := t.userID
	if s.z%8 == 0 && w.main != nil {
		id = w.main.id
	}
	before := w.at(t.to)
	made, err := w.k.Guest(a.at).CreateSession(w.k.Ctx, id, t.secret)
	line := fmt.Sprintf("redeems the %s to %s: ", t.kind, t.to)
	if err != nil {
		return line + w.told(err)
	}
	return line + w.entersByAddress(a, t, before, made)
}

// invited has another user invite an address of the owner to a team.
func invited(w *world, _ *actor, s step) string {
	to := []string{mailA, mailB, callA, callB}[s.x%4]
	n := latchkey.NewMembership{Email: to, URL: kit.JoinURL}
	if to == callA || to == callB {
		n.Email, n.Phone = "", to
	}
	err := func() error {
		friend, err := w.k.Users().Create(w.k.Ctx, latchkey.NewUser{})
		if err != nil {
			return err
		}
		session, err := w.k.Users().CreateSession(w.k.Ctx, friend.ID)
		if err != nil {
			return err
		}
		account, err := w.k.Visitor.Authenticate(w.k.Ctx, session.Secret.Reveal())
		if err != nil {
			return err
		}
		team, err := account.Teams().Create(w.k.Ctx, latchkey.NewTeam{Name: "Friends"})
		if err != nil {
			return err
		}
		return kit.Err(account.Teams().CreateMembership(w.k.Ctx, team.ID, n))
	}()
	return fmt.Sprintf("a friend invites %s: %s", to, w.told(err))
}

// acceptInvitation opens an invitation without a session.
func acceptInvitation(w *world, a *actor, s step) string {
	t, ok := letter(a, s.x, notify.Invitation)
	if !ok {
		return ""
	}
	before := w.at(t.to)
	made, err := w.k.Guest(a.at).AcceptInvitation(w.k.Ctx, t.link)
	line := fmt.Sprintf("accepts the invitation to %s: ", t.to)
	if err != nil {
		return line + w.told(err)
	}
	return line + w.entersByAddress(a, t, before, made.Session)
}

// entersByAddress follows a session that the proof of an address has made.
func (w *world) entersByAddress(a *actor, t *oneTime, before *account, made *latchkey.Session) string {
	w.take(t)
	shown, by := byMailbox, true
	switch {
	case t.kind == string(handedOver):
		shown, by = byToken, false
	case !strings.Contains(t.to, "@"):
		shown = byTelephone
	}
	if by && before != nil && before.half == t.to && before.id == made.UserID && !w.vouched(before, t.to) {
		w.fail("an address that is proven by half has signed in to %s", before.id)
	}
	if by && before != nil && before.id == made.UserID && !before.proven() && w.restorable(before) && !w.vouched(before, t.to) {
		w.fail("an address that is not proven, beside one that can be restored, has signed in to %s", before.id)
	}
	if by && before != nil && before.id == made.UserID && (!before.proven() && before.links == 0 || before.loose && !before.user.MFA) {
		w.firstProof(before)
	}
	c := w.entered(a, made, shown, nil)
	w.kept = c.session // what follows from the proof does not end it
	return c.String()
}

// joinTeam opens an invitation in a session.
func joinTeam(w *world, a *actor, s step) string {
	t, ok := letter(a, s.y, notify.Invitation)
	if !ok {
		return ""
	}
	return act(w, a, s, "AcceptInvitation", false, "", func(c *credential, h *latchkey.Account) error {
		err := kit.Err(h.AcceptInvitation(w.k.Ctx, t.link))
		if err == nil {
			if acc := w.at(t.to); acc == nil || acc.id != c.account.id {
				w.fail("an invitation to %s is accepted by %s", t.to, c.account.id)
				return nil
			}
			w.take(t)
			w.loosened(t)
		}
		return err
	})
}

func declineInvitation(w *world, a *actor, s step) string {
	t, ok := letter(a, s.x, notify.Invitation)
	if !ok {
		return ""
	}
	err := w.k.Guest(a.at).DeclineInvitation(w.k.Ctx, t.link)
	if err == nil {
		if why := w.live(t); why != "" {
			w.fail("an invitation is declined although it %s", why)
		}
		t.over = "was declined"
	}
	return fmt.Sprintf("declines the invitation to %s: %s", t.to, w.told(err))
}

func confirmRecovery(w *world, a *actor, s step) string {
	t, ok := letter(a, s.x, notify.Recovery)
	if !ok {
		return ""
	}
	wd, acc := w.newWord(true), w.at(t.to)
	if acc == nil {
		acc = t.account
	}
	err := kit.Err(w.k.Guest(a.at).ConfirmRecovery(w.k.Ctx, t.userID, t.secret, wd.text))
	if err == nil {
		w.take(t)
		a.words = append(a.words, wd)
		if !acc.proven() && !acc.guarded() && acc.links == 0 && w.restorable(acc) {
			w.fail("an address that is not proven, beside one that can be restored, has recovered %s", acc.id)
		}
		if !acc.proven() && !acc.guarded() && acc.links == 0 || acc.proven() && acc.loose && !acc.user.MFA {
			w.firstProof(acc)
		}
		w.setWord(acc, wd, nil, true)
	}
	return fmt.Sprintf("recovers %s with %q: %s", t.to, wd.text, w.told(err))
}

// guestConfirms opens the link of a verification without a session.
func guestConfirms(kind notify.Kind) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		t, ok := letter(a, s.x, kind)
		if !ok {
			return ""
		}
		g := w.k.Guest(a.at)
		confirm := g.ConfirmEmailVerification
		if kind == notify.PhoneVerification {
			confirm = g.ConfirmPhoneVerification
		}
		err := kit.Err(confirm(w.k.Ctx, t.userID, t.secret))
		if err == nil {
			w.take(t)
			w.loosened(t)
		}
		return fmt.Sprintf("opens the %s to %s without a session: %s", t.kind, t.to, w.told(err))
	}
}

// loosened follows a proof of an address that says nothing of who owns the account.
func (w *world) loosened(t *oneTime) {
	acc := w.at(t.to)
	proven, other := acc.user.EmailVerification, acc.user.PhoneVerification
	if t.to == acc.user.Phone {
		proven, other = other, proven
	}
	switch {
	case proven:
	case (other || acc.links > 0 || w.restorable(acc)) && !acc.loose:
		acc.half = t.to
	case acc.word != nil:
		acc.loose = true
	}
}

func inspect(w *world, a *actor, s step) string {
	t, ok := letter(a, s.x, notify.MagicURL, notify.EmailVerification, notify.Recovery, notify.EmailChange, notify.EmailChanged, notify.PhoneChanged)
	if !ok {
		return ""
	}
	err := kit.Err(w.k.Guest(a.at).InspectToken(w.k.Ctx, t.userID, t.secret))
	if err == nil {
		if why := w.live(t); why != "" {
			w.fail("a %s is shown as live although it %s", t.kind, why)
		}
	}
	return fmt.Sprintf("looks at the %s to %s: %s", t.kind, t.to, w.told(err))
}

// guess tries a code that nobody has.
func guess(w *world, a *actor, s step) string {
	if w.main == nil {
		return ""
	}
	return "guesses at a code: " + w.told(kit.Err(w.k.Guest(a.at).CreateSession(w.k.Ctx, w.main.id, fmt.Sprintf("%06d", s.y%1000))))
}

// open picks a credential and enters the account with it, by a handle from before, or by
// authenticating now. full says that the session is a full one now.
func open(w *world, a *actor, s step) (c *credential, h *latchkey.Account, p *latchkey.Pending, full bool) {
	c, ok := pick(a.creds, s.x)
	if !ok {
		return nil, nil, nil, false
	}
	h, p = w.check(c, a.at)
	full = h != nil
	if s.z%3 == 0 && c.handle != nil {
		h = c.handle
	}
	return c, h, p, full
}

// act runs a change of an account, and judges its success. change gets the handle.
func act(w *world, a *actor, s step, name string, off bool, text string, change func(c *credential, h *latchkey.Account) error) string {
	c, h, _, full := open(w, a, s)
	if h == nil {
		return ""
	}
	before := w.demand(name, c, off, text)
	err := change(c, h)
	if err == nil {
		w.kept = c.session
		switch {
		case !full:
			w.fail("%s succeeded by a handle of %v that is no full session", name, c)
		case before != "":
			w.fail("%s succeeded by %v although %s", name, c, before)
		}
	}
	return fmt.Sprintf("%s by %v: %s", name, c, w.told(err))
}

// plain is an operation that asks for nothing but a full session.
func plain(name string, do func(*world, *latchkey.Account) error) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		return act(w, a, s, name, false, "", func(_ *credential, h *latchkey.Account) error { return do(w, h) })
	}
}

func updatePassword(w *world, a *actor, s step) string {
	old, wd := aWord(w, a, s.y), w.newWord(false)
	line := act(w, a, s, "UpdatePassword", false, old.text, func(c *credential, h *latchkey.Account) error {
		err := kit.Err(h.UpdatePassword(w.k.Ctx, latchkey.PasswordUpdate{New: wd.text, Old: old.text}))
		if err == nil {
			first := c.account.word == nil
			c.account.wordShown()
			a.words = append(a.words, wd)
			w.setWord(c.account, wd, c.session, true)
			if first && c.session != nil && !c.jwt {
				w.firstWord(c.session, wd)
			}
		}
		return err
	})
	if line == "" {
		return ""
	}
	return line + fmt.Sprintf(" (%q to %q)", old.text, wd.text)
}

// firstWord follows the first password of an account: its session knows it, if it would owe
// a factor because of that.
func (w *world) firstWord(s *session, wd *word) {
	w.then = func() {
		if w.mayBeFull(s) != "" {
			s.show(byWord)
			s.word = wd
		}
	}
}

// moved follows a change of an address with a password.
func (w *world) moved(a *actor, c *credential, given *word) {
	if c.account.word != nil {
		c.account.wordShown()
		return
	}
	a.words = append(a.words, given)
	w.setWord(c.account, given, c.session, false)
	if c.session != nil && !c.jwt {
		w.firstWord(c.session, given)
	}
}

// given picks the password of a change of an address: a new one where there is none.
func given(w *world, a *actor, s step) *word {
	if c, ok := pick(a.creds, s.x); ok && c.account.word == nil {
		return w.newWord(false)
	}
	return aWord(w, a, s.y)
}

func updateEmail(w *world, a *actor, s step) string {
	email, wd := address(w, a, s.z), given(w, a, s)
	if s.z%2 == 0 {
		email = a.mailbox
	}
	return act(w, a, s, "UpdateEmail", false, wd.text, func(c *credential, h *latchkey.Account) error {
		err := kit.Err(h.UpdateEmail(w.k.Ctx, email, wd.text))
		if err == nil {
			w.moved(a, c, wd)
		}
		return err
	})
}

func updatePhone(w *world, a *actor, s step) string {
	phone, wd := number(w, a, s.z), given(w, a, s)
	return act(w, a, s, "UpdatePhone", false, wd.text, func(c *credential, h *latchkey.Account) error {
		err := kit.Err(h.UpdatePhone(w.k.Ctx, phone, wd.text))
		if err == nil {
			w.moved(a, c, wd)
		}
		return err
	})
}

func convert(w *world, a *actor, s step) string {
	email, wd := address(w, a, s.y), w.newWord(false)
	return act(w, a, s, "CreateAccount", false, wd.text, func(c *credential, h *latchkey.Account) error {
		err := kit.Err(h.CreateAccount(w.k.Ctx, latchkey.NewAccount{Email: email, Password: wd.text}))
		if err == nil {
			w.moved(a, c, wd)
		}
		return err
	})
}

// askVerification asks for a message that proves an address.
func askVerification(mail bool) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		if mail {
			return act(w, a, s, "CreateEmailVerification", false, "", func(_ *credential, h *latchkey.Account) error {
				return kit.Err(h.CreateEmailVerification(w.k.Ctx, kit.VerifyURL))
			})
		}
		return act(w, a, s, "CreatePhoneVerification", false, "", func(_ *credential, h *latchkey.Account) error {
			return kit.Err(h.CreatePhoneVerification(w.k.Ctx))
		})
	}
}

// accountConfirms opens the link of a verification in a session.
func accountConfirms(kind notify.Kind) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		t, ok := letter(a, s.y, kind)
		if !ok {
			return ""
		}
		return act(w, a, s, "Confirm "+t.kind, false, "", func(c *credential, h *latchkey.Account) error {
			confirm := h.ConfirmEmailVerification
			if kind == notify.PhoneVerification {
				confirm = h.ConfirmPhoneVerification
			}
			err := kit.Err(confirm(w.k.Ctx, t.secret))
			if err == nil {
				w.take(t)
				acc := c.account
				other := acc.user.PhoneVerification
				if kind == notify.PhoneVerification {
					other = acc.user.EmailVerification
				}
				switch {
				case c.jwt:
					w.loosened(t)
				case !other:
					acc.wordShown()
				}
				if !c.jwt && acc.half == t.to {
					acc.half = ""
				}
			}
			return err
		})
	}
}

func updateMFA(w *world, a *actor, s step) string {
	on := s.y%3 != 0
	w.switches = true
	return act(w, a, s, "UpdateMFA", !on, "", func(c *credential, h *latchkey.Account) error {
		err := kit.Err(h.UpdateMFA(w.k.Ctx, on))
		if err == nil {
			c.account.demanded = false
		}
		if err == nil && on && !c.account.user.MFA {
			c.session.gift = second(c.account)
		}
		return err
	}) + map[bool]string{true: " (on)", false: " (off)"}[on]
}

func enrol(w *world, a *actor, s step) string {
	return act(w, a, s, "CreateMFAAuthenticator", false, "", func(c *credential, h *latchkey.Account) error {
		made, err := h.CreateMFAAuthenticator(w.k.Ctx, latchkey.NewMFAAuthenticator{})
		if err == nil {
			app, err := authtest.NewAuthenticator(w.k.Clock, made.URI.Reveal())
			w.k.Must(err)
			a.devices = append(a.devices, &device{app: app, account: c.account})
		}
		return err
	})
}

// codeOf picks a code of an authenticator: the present one of an app that the actor has, or
// one that was shown.
func codeOf(w *world, a *actor, x int) (spent, bool) {
	d, has := pick(a.devices, x)
	old, had := pick(a.spent, x/3)
	if had && (!has || x%8 == 0) {
		return old, true
	}
	if !has {
		return spent{}, false
	}
	n := spent{d, w.now().Unix() / 30, d.app.Code()}
	a.spent = append(a.spent, n)
	return n, true
}

// accepted judges a code of an authenticator that was taken.
func (w *world) accepted(a *account, n spent) {
	switch now := w.now().Unix() / 30; {
	case n.device.account != a:
		w.fail("a code of an authenticator of another account was taken")
	case n.step <= n.device.last:
		w.fail("a code of an authenticator was taken twice")
	case n.step < now-1 || n.step > now+1:
		w.fail("a code of an authenticator was taken %d steps away", n.step-now)
	}
	n.device.last = n.step
}

func verify(w *world, a *actor, s step) string {
	n, ok := codeOf(w, a, s.y)
	if !ok {
		return ""
	}
	return act(w, a, s, "VerifyMFAAuthenticator", false, "", func(c *credential, h *latchkey.Account) error {
		err := kit.Err(h.VerifyMFAAuthenticator(w.k.Ctx, n.text))
		if err == nil {
			w.accepted(c.account, n)
			c.account.device = n.device
			w.newApp(c.account, c.session)
			c.session.show(byApp)
			c.session.strong = w.now()
		}
		return err
	})
}

func removeApp(w *world, a *actor, s step) string {
	return act(w, a, s, "DeleteMFAAuthenticator", false, "", func(c *credential, h *latchkey.Account) error {
		err := h.DeleteMFAAuthenticator(w.k.Ctx)
		if err == nil {
			c.account.device = nil
			c.session.strong = time.Time{} // it is only taken to have shown the one that is gone
			if rest := slices.DeleteFunc(slices.Clone(c.session.shown[1:]), func(p proof) bool { return p == byApp }); len(rest) < len(c.session.shown)-1 {
				c.session.shown = append(c.session.shown[:1:1], rest...)
				c.session.gift = append(c.session.gift, byApp)
			}
		}
		return err
	})
}

// keep gives recovery codes to an actor. made says that they replace the ones before.
func (w *world) keep(a *actor, acc *account, shown *latchkey.MFARecoveryCodes, made bool, by *session) {
	if made {
		for _, old := range acc.codes {
			if old.over == "" {
				old.over = "was replaced"
			}
		}
		acc.codes = nil
		for _, secret := range shown.Codes {
			acc.codes = append(acc.codes, &oneTime{kind: "recovery code", secret: secret.Reveal(), account: acc, by: by})
		}
	}
	for _, t := range acc.codes {
		if !slices.Contains(a.codes, t) && slices.ContainsFunc(shown.Codes, func(s latchkey.Secret) bool { return s.Reveal() == t.secret }) {
			a.codes = append(a.codes, t)
		}
	}
}

// recoveryCodes makes or reads recovery codes.
func recoveryCodes(name string, call func(*latchkey.Account, context.Context) (*latchkey.MFARecoveryCodes, error)) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		return act(w, a, s, name, false, "", func(c *credential, h *latchkey.Account) error {
			shown, err := call(h, w.k.Ctx)
			if err != nil {
				return err
			}
			w.keep(a, c.account, shown, name != "MFARecoveryCodes", c.session)
			w.refresh(c.account)
			if name != "MFARecoveryCodes" && w.mayBeFull(c.session) != "" {
				c.session.show(byCode)
			}
			return nil
		})
	}
}

// asker is an account or a session that owes a factor.
type asker interface {
	CreateMFAChallenge(context.Context, latchkey.Factor) (*latchkey.MFAChallenge, error)
	ConfirmMFAChallenge(context.Context, string, string) (*latchkey.Session, error)
}

// openAny is open for what a session that owes a factor may do too.
func openAny(w *world, a *actor, s step) (*credential, asker) {
	c, h, p, _ := open(w, a, s)
	switch {
	case h != nil:
		return c, h
	case p != nil:
		return c, p
	}
	return c, nil
}

func ask(w *world, a *actor, s step) string {
	c, h := openAny(w, a, s)
	if h == nil {
		return ""
	}
	var can []latchkey.Factor // that the actor can answer, mostly
	if len(a.devices) > 0 || len(a.spent) > 0 {
		can = append(can, latchkey.FactorTOTP)
	}
	if len(a.codes) > 0 {
		can = append(can, latchkey.FactorRecoveryCode)
	}
	if slices.Contains(a.reads, c.account.user.Email) {
		can = append(can, latchkey.FactorEmail)
	}
	if slices.Contains(a.reads, c.account.user.Phone) {
		can = append(can, latchkey.FactorPhone)
	}
	if len(can) == 0 || s.y%16 == 0 {
		can = []latchkey.Factor{latchkey.FactorTOTP, latchkey.FactorEmail, latchkey.FactorPhone, latchkey.FactorRecoveryCode}
	}
	factor := can[s.z/16%len(can)]
	made, err := h.CreateMFAChallenge(w.k.Ctx, factor)
	if err == nil {
		if why := w.demand("CreateMFAChallenge", c, false, ""); why != "" {
			w.fail("%s", why)
		}
		q := &challenge{id: made.ID, factor: factor, session: c.session, created: w.now()}
		w.challenges = append(w.challenges, q)
		a.challenges = append(a.challenges, q)
	}
	return fmt.Sprintf("asks for a %s challenge by %v: %s", factor, c, w.told(err))
}

func answer(w *world, a *actor, s step) string {
	c, h := openAny(w, a, s)
	q, ok := pick(a.challenges, s.y)
	if h == nil || !ok {
		return ""
	}
	text := ""
	var n spent
	var t *oneTime
	switch q.factor {
	case latchkey.FactorTOTP:
		if n, ok = codeOf(w, a, s.z); ok {
			text = n.text
		}
	case latchkey.FactorRecoveryCode:
		if t, ok = pick(a.codes, s.z); ok {
			text = t.secret
		}
	default: // the actor has it if they read the address
		if slices.ContainsFunc(a.mail, func(t *oneTime) bool { return t.kind == string(notify.Challenge) && t.secret == q.code }) {
			text = q.code
		}
	}
	if text == "" {
		return ""
	}
	session, err := h.ConfirmMFAChallenge(w.k.Ctx, q.id, text)
	line := fmt.Sprintf("answers the %s challenge by %v: ", q.factor, c)
	if err != nil {
		return line + w.told(err)
	}
	age := w.now().Sub(q.created)
	switch {
	case q.over != "":
		w.fail("a challenge was answered although it %s", q.over)
	case q.session != c.session || c.jwt:
		w.fail("a challenge of another session was answered")
	case age >= 15*time.Minute || age < -clockStep:
		w.fail("a challenge was answered after %v", age)
	}
	q.over = "was answered"
	me := c.session
	switch q.factor {
	case latchkey.FactorTOTP:
		w.accepted(me.account, n)
	case latchkey.FactorRecoveryCode:
		if t.account != me.account {
			w.fail("a recovery code of another account was taken")
		}
		w.take(t)
	case latchkey.FactorEmail:
		if u := me.account.user; u.Email != q.to || !u.EmailVerification {
			w.fail("a code to %s was taken, which is no proven address of the user", q.to)
		}
	case latchkey.FactorPhone:
		if u := me.account.user; u.Phone != q.to || !u.PhoneVerification {
			w.fail("a code to %s was taken, which is no proven number of the user", q.to)
		}
	}
	me.show(proofOf[q.factor])
	me.counts()
	me.challenged, me.own = w.now(), true
	if me.account.half == q.to {
		me.account.half = ""
	}
	me.used = w.now()
	if q.factor == latchkey.FactorTOTP || q.factor == latchkey.FactorRecoveryCode {
		me.strong = w.now()
	}
	if q.factor != latchkey.FactorEmail && me.word != nil && me.word == me.account.word {
		me.word.byMail = false
	}
	w.replaced(a, c, session)
	return line + "done"
}

// replaced follows an answer that may hold a new secret.
func (w *world) replaced(a *actor, c *credential, s *latchkey.Session) {
	if text := s.Secret.Reveal(); text != "" {
		c.over = replacedSecret
		for _, holder := range w.actors {
			for _, j := range holder.creds {
				if j.jwt && j.session == c.session {
					j.over = cmp.Or(j.over, formerSecret)
				}
			}
		}
		a.creds = append(a.creds, &credential{text: text, session: c.session, account: c.account})
	}
}

func requireRecent(w *world, a *actor, s step) string {
	return act(w, a, s, "RequireRecent", false, "", func(_ *credential, h *latchkey.Account) error { return h.RequireRecent(w.k.Ctx, 0) })
}

func createJWT(w *world, a *actor, s step) string {
	return act(w, a, s, "CreateJWT", false, "", func(c *credential, h *latchkey.Account) error {
		length := []time.Duration{0, time.Hour, time.Minute}[s.y%3]
		text, err := h.CreateJWT(w.k.Ctx, length)
		if err == nil {
			if length == 0 {
				length = 15 * time.Minute
			}
			a.creds = append(a.creds, &credential{text: text.Reveal(), session: c.session, account: c.account, jwt: true, word: c.account.word, issued: w.now(), expire: w.now().Add(length)})
		}
		return err
	})
}

// target picks the id of a session for a call: the present one, or another of the actor.
func target(a *actor, c *credential, x int) (string, *session) {
	if other, ok := pick(a.creds, x); ok && x%2 == 0 && other.session != nil {
		return other.session.id, other.session
	}
	return latchkey.CurrentSession, c.session
}

func extend(w *world, a *actor, s step) string {
	return act(w, a, s, "ExtendSession", false, "", func(c *credential, h *latchkey.Account) error {
		id, which := target(a, c, s.y)
		err := kit.Err(h.ExtendSession(w.k.Ctx, id))
		if err == nil {
			if which.over != "" || which.account != c.account {
				w.fail("a session was extended that has ended or is another user's")
			}
			which.used = w.now()
			if end := w.now().Add(which.end.Sub(which.created)); end.After(which.end) {
				which.end = end
			}
		}
		return err
	})
}

func rotate(w *world, a *actor, s step) string {
	return act(w, a, s, "RotateSession", false, "", func(c *credential, h *latchkey.Account) error {
		session, err := h.RotateSession(w.k.Ctx)
		if err == nil {
			c.session.used = w.now()
			w.replaced(a, c, session)
		}
		return err
	})
}

func signOut(w *world, a *actor, s step) string {
	return act(w, a, s, "DeleteSession", false, "", func(c *credential, h *latchkey.Account) error {
		id, which := target(a, c, s.y)
		err := h.DeleteSession(w.k.Ctx, id)
		if err == nil {
			if which.account != c.account {
				w.fail("a session of another user was ended")
			}
			which.over = "was signed out"
		}
		return err
	})
}

func signOutAll(w *world, a *actor, s step) string {
	return act(w, a, s, "DeleteSessions", false, "", func(c *credential, h *latchkey.Account) error {
		err := h.DeleteSessions(w.k.Ctx)
		if err == nil {
			w.end(c.account, "was signed out with all", but(nil))
		}
		return err
	})
}

func signOutPending(w *world, a *actor, s step) string {
	c, _, p, _ := open(w, a, s)
	if p == nil {
		return ""
	}
	err := p.DeleteSession(w.k.Ctx)
	if err == nil {
		c.session.over = "was signed out"
	}
	return fmt.Sprintf("signs %v out, which owes a factor: %s", c, w.told(err))
}

func block(w *world, a *actor, s step) string {
	return act(w, a, s, "Block", false, "", func(c *credential, h *latchkey.Account) error {
		err := kit.Err(h.Block(w.k.Ctx))
		if err == nil {
			c.account.loose = false // what was proven by a link without a session is not any more
		}
		return err
	})
}

// rob gives an attacker the one proof that they steal.
func rob(w *world, a *actor, s step) string {
	me := w.of(owner)
	if a.robbed {
		return ""
	}
	live := func(jwt bool) (out []*credential) {
		for _, c := range me.creds {
			if c.jwt == jwt && c.ended() == "" && c.refused.IsZero() {
				out = append(out, c)
			}
		}
		return out
	}
	switch a.role {
	case knowsWord:
		if wd, ok := pick(me.words, s.x); ok {
			a.words, a.robbed = append(a.words, wd), true
			return fmt.Sprintf("learns the password %q", wd.text)
		}
	case stealsSession, stealsJWT:
		if c, ok := pick(live(a.role == stealsJWT), s.x); ok {
			a.creds, a.robbed = append(a.creds, c), true
			return fmt.Sprintf("steals %v", c)
		}
	case readsBackup: // at any time, all that is used up
		found := 0
		for _, c := range me.creds {
			if c.ended() != "" && !slices.Contains(a.creds, c) {
				a.creds = append(a.creds, c)
				found++
			}
		}
		for _, wd := range me.words {
			if (w.main == nil || w.main.word != wd) && !slices.Contains(a.words, wd) {
				a.words = append(a.words, wd)
				found++
			}
		}
		for _, t := range me.mail {
			if (t.over != "" || t.hold != nil && t.hold.over != "") && !slices.Contains(a.mail, t) {
				a.mail = append(a.mail, t)
				found++
			}
		}
		for _, t := range me.codes {
			if t.over != "" && !slices.Contains(a.codes, t) {
				a.codes = append(a.codes, t)
				found++
			}
		}
		for _, n := range me.spent {
			if n.step <= n.device.last && !slices.Contains(a.spent, n) {
				a.spent = append(a.spent, n)
				found++
			}
		}
		if found > 0 {
			return fmt.Sprintf("finds %d things that are used up", found)
		}
	}
	return ""
}

// users is the server's scope, with the account that it works on.
func users(w *world) (*latchkey.Users, *account, bool) {
	if w.main == nil || w.main.gone {
		return nil, nil, false
	}
	return w.k.Users(), w.main, true
}

func serverWord(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	wd, me := w.newWord(false), w.of(owner)
	if s.x%6 == 0 {
		err := kit.Err(u.UpdatePassword(w.k.Ctx, a.id, ""))
		switch {
		case err == nil && a.word == nil: // no change, but the other ways in end
			if !w.policy.Sessions.KeepOnPasswordChange {
				w.end(a, "has ended with the password", but(nil))
			}
			w.endMail(a, "was sent before the password was removed")
		case err == nil:
			w.setWord(a, nil, nil, true)
		}
		return "removes the password: " + w.told(err)
	}
	err := kit.Err(u.UpdatePassword(w.k.Ctx, a.id, wd.text))
	if err == nil {
		me.words = append(me.words, wd)
		w.setWord(a, wd, nil, true)
	}
	return fmt.Sprintf("sets the password %q: %s", wd.text, w.told(err))
}

func serverMFA(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	on := s.x%3 != 0
	w.switches = true
	err := kit.Err(u.UpdateMFA(w.k.Ctx, a.id, on))
	if err == nil {
		a.demanded = on
	}
	return fmt.Sprintf("switches MFA to %v: %s", on, w.told(err))
}

func serverStatus(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	status := !a.user.Status || s.x%4 == 0
	err := kit.Err(u.UpdateStatus(w.k.Ctx, a.id, status))
	if err == nil && !status {
		for _, holder := range w.actors {
			for _, c := range holder.creds {
				if c.account == a && c.session == nil && a.user.Status {
					c.over = "was made before the block"
				}
			}
		}
	}
	return fmt.Sprintf("sets the status to %v: %s", status, w.told(err))
}

func serverAddress(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	if s.x%2 == 0 {
		email := []string{mailA, mailB}[s.y%2]
		err := kit.Err(u.UpdateEmail(w.k.Ctx, a.id, email))
		if err == nil && email != a.user.Email {
			w.release(a, "is void by a change of the server", func(h *hold) bool { return !h.phone })
		}
		return fmt.Sprintf("sets the address %s: %s", email, w.told(err))
	}
	phone := []string{callA, callB, ""}[s.y%3]
	err := kit.Err(u.UpdatePhone(w.k.Ctx, a.id, phone))
	if err == nil && phone != a.user.Phone {
		w.release(a, "is void by a change of the server", func(h *hold) bool { return h.phone })
	}
	return fmt.Sprintf("sets the number %q: %s", phone, w.told(err))
}

func serverVerification(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	to := s.y%3 != 0
	w.proved = append(w.proved, a.user.Email, a.user.Phone)
	if s.x%2 == 0 {
		return fmt.Sprintf("says that the address is verified: %v: %s", to, w.told(kit.Err(u.UpdateEmailVerification(w.k.Ctx, a.id, to))))
	}
	return fmt.Sprintf("says that the number is verified: %v: %s", to, w.told(kit.Err(u.UpdatePhoneVerification(w.k.Ctx, a.id, to))))
}

func serverRemovesApp(w *world, _ *actor, _ step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	err := u.DeleteMFAAuthenticator(w.k.Ctx, a.id)
	if err == nil {
		a.device = nil
	}
	return "removes the authenticator: " + w.told(err)
}

func serverCodes(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	call := u.CreateMFARecoveryCodes
	if s.x%2 == 0 {
		call = u.RegenerateMFARecoveryCodes
	}
	shown, err := call(w.k.Ctx, a.id)
	if err == nil {
		w.keep(w.of(owner), a, shown, true, nil)
	}
	return "makes recovery codes for the owner: " + w.told(err)
}

func serverSession(w *world, _ *actor, _ step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	made, err := u.CreateSession(w.k.Ctx, a.id)
	if err != nil {
		return "makes a session for the owner: " + w.told(err)
	}
	return "makes a session for the owner: " + w.entered(w.of(owner), made, byServer, nil).String()
}

func serverToken(w *world, _ *actor, _ step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	made, err := u.CreateToken(w.k.Ctx, a.id, 6, 0)
	if err == nil {
		for _, old := range w.mails {
			if old.kind == string(handedOver) && old.over == "" {
				old.over = "was replaced"
			}
		}
		t := &oneTime{kind: string(handedOver), userID: a.id, secret: made.Secret.Reveal(), account: a, created: w.now(), expire: w.now().Add(15 * time.Minute)}
		w.mails = append(w.mails, t)
		w.of(owner).mail = append(w.of(owner).mail, t)
	}
	return "hands the owner a token: " + w.told(err)
}

func serverJWT(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	session := []string{"", latchkey.RecentSession}[s.x%2]
	list, err := u.Sessions(w.k.Ctx, a.id)
	w.k.Must(err)
	text, err := u.CreateJWT(w.k.Ctx, a.id, session, 0)
	if err != nil {
		return "makes a JWT for the owner: " + w.told(err)
	}
	c := &credential{text: text.Reveal(), account: a, jwt: true, word: a.word, issued: w.now(), expire: w.now().Add(15 * time.Minute)}
	if len(list.Sessions) > 0 {
		handle, err := w.k.Visitor.AuthenticateJWT(w.k.Ctx, c.text)
		w.k.Must(err)
		for _, s := range w.sessions {
			if s.id == handle.SessionID() {
				c.session = s
			}
		}
	}
	w.of(owner).creds = append(w.of(owner).creds, c)
	return fmt.Sprintf("makes a JWT for the owner: %v", c)
}

func serverEnds(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	if c, ok := pick(w.of(owner).creds, s.y); ok && s.x%2 == 0 && c.session != nil {
		err := u.DeleteSession(w.k.Ctx, a.id, c.session.id)
		if err == nil {
			c.session.over = "was ended by the server"
		}
		return fmt.Sprintf("ends %v: %s", c.session.name, w.told(err))
	}
	err := u.DeleteSessions(w.k.Ctx, a.id)
	if err == nil {
		w.end(a, "was ended by the server", but(nil))
	}
	return "ends all sessions: " + w.told(err)
}

func serverEndsAll(w *world, _ *actor, _ step) string {
	err := w.k.EndAll(w.k.Ctx)
	if err == nil {
		for _, a := range w.accounts {
			w.end(a, "has ended with everything", but(nil))
			w.endJWTs(a, "has ended with everything")
			w.release(a, "has ended with everything", all)
		}
		for _, t := range w.mails {
			if t.over == "" {
				t.over = "has ended with everything"
			}
		}
		for _, q := range w.challenges {
			q.over = "has ended with everything"
		}
	}
	return "ends everything: " + w.told(err)
}

func sweep(w *world, _ *actor, _ step) string {
	err := kit.Err(w.k.Sweep(w.k.Ctx))
	if err == nil {
		for _, h := range w.holds {
			h.over = cmp.Or(h.over, w.holding(h))
		}
	}
	return "sweeps: " + w.told(err)
}

func serverDeletes(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok || s.x%4 != 0 {
		return ""
	}
	err := u.Delete(w.k.Ctx, a.id)
	if err == nil {
		w.end(a, "was there before the user was deleted", but(nil))
		w.endJWTs(a, "was there before the user was deleted")
		w.endMail(a, "was sent before the user was deleted")
		w.release(a, "was left before the user was deleted", all)
	}
	return "deletes the user: " + w.told(err)
}

func advance(w *world, _ *actor, s step) string {
	moves := []time.Duration{
		time.Second, 31 * time.Second, 31 * time.Second, 61 * time.Second, 4 * time.Minute, 6 * time.Minute, 11 * time.Minute, 16 * time.Minute,
		31 * time.Minute, 61 * time.Minute, 3 * time.Hour, 26 * time.Hour, 8 * 24 * time.Hour, 31 * 24 * time.Hour,
	}
	d := moves[s.x%len(moves)]
	w.k.Clock.Advance(d)
	return fmt.Sprintf("%v pass", d)
}

func stepBack(w *world, _ *actor, s step) string {
	d := min(time.Duration(1+s.x%60)*time.Second, w.now().Sub(w.high)+clockStep)
	if d <= 0 || w.leaping {
		return ""
	}
	w.k.Clock.Advance(-d)
	return fmt.Sprintf("steps back by %v", d)
}

// leap sets the clock far ahead, or back again.
func leap(w *world, _ *actor, s step) string {
	if w.leap > 0 {
		w.k.Clock.Advance(-w.leap)
		w.leap, w.leaping = 0, false
		return "is right again"
	}
	w.leap = []time.Duration{2 * time.Hour, 20 * time.Hour, 40 * 24 * time.Hour, 400 * 24 * time.Hour}[s.x%4]
	w.leaping = true
	w.k.Clock.Advance(w.leap)
	return fmt.Sprintf("is ahead by %v", w.leap)
}
