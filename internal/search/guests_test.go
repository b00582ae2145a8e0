package search_test

import (
	"fmt"
	"slices"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
)

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
	if by && before != nil && before.id == made.UserID && !before.proven() && before.links == 0 && w.guarded(before) {
		w.fail("a first proof by mail has signed in to %s, which has a second factor", before.id)
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
		if !acc.proven() && !w.guarded(acc) && acc.links == 0 && w.restorable(acc) {
			w.fail("an address that is not proven, beside one that can be restored, has recovered %s", acc.id)
		}
		if !acc.proven() && !w.guarded(acc) && acc.links == 0 || acc.proven() && acc.loose && !acc.user.MFA {
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
