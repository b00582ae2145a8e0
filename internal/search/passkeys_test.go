package search_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
)

// The thieves of a device of the owner: one does not know its PIN, and the other one does.
const (
	hasKey       role = "device thief"
	hasKeyAndPIN role = "thief of a device and its PIN"
)

// The proofs of a passkey: to have it, and to be the person whom its device knows.
const (
	byKey proof = "passkey"
	byPIN proof = "PIN of the passkey"
)

// questionLength is the documented life of a question to a device.
const questionLength = 5 * time.Minute

// gadget is a device that keeps passkeys.
type gadget struct {
	*authtest.Device
	keys []*passkey
	lost bool // its owner makes no passkeys on it any more
}

// hand is a gadget that an actor has, with or without its PIN.
type hand struct {
	*gadget
	pin bool
}

// passkey is one that the engine has taken. The rules, of docs/passkeys.md and SECURITY.md:
//
//   - A device makes a passkey that signs in, and signs in by it, only with its PIN. A session by a
//     passkey has two proofs then, and has answered a challenge. A passkey that is a second factor only signs in to nothing.
//   - A passkey is one proof while MFA is on, if MFA was switched on by the server or by a session that
//     has neither made the passkey nor was opened by it. That ends when a session that it has opened,
//     and that owes a factor, proves another one.
//   - In a session of another way in, a passkey is one proof, with the PIN or without it.
//   - A passkey is a strongest factor, as an authenticator is. A new passkey, a new authenticator, new
//     recovery codes, a deletion and the end of MFA ask for a strongest proof within the window. A
//     passkey that signs in gives that proof only with the PIN.
//   - A deleted passkey proves nothing, and nor do the proofs that it has given in other sessions. The
//     sessions that it has opened end.
//   - The first proof of an address takes the passkeys of the account away. The link that restores an
//     address takes away those that came since the week before the change. Nothing else does without
//     a call that deletes them.
//   - No first proof by mail signs in to an account with MFA on and a passkey.
//   - The user deletes no last way in.
//   - A question is answered once, within five minutes, in the session that has asked.
//   - A right passkey of a user who is not blocked is not refused.
//
// These are accepted, and documented in docs/passkeys.md or known:
//
//   - A thief who knows the password and has made a passkey before MFA passes with both: the passkey
//     is one proof beside the password.
//   - The reader of an address that was typed wrong and never proven takes an account over that has
//     only a passkey, while MFA is off: that is a first proof.
//   - A passkey that is made while MFA is on and asks for nothing counts as two: no session has
//     switched MFA on since.
//   - The thief of a device and its PIN is in, by a passkey that counts as two.
type passkey struct {
	id, credential string
	account        *account
	second         bool // it signs in to nothing
	single         bool // it is one proof, because another session has switched MFA on
	by             *session
	created        time.Time
	over           string // why it proves nothing any more; "" while it does
}

// question is a question to a device.
type question struct {
	kind    string
	options []byte
	session *session // nil for a sign-in
	second  bool
	created time.Time
	over    string
}

const (
	forEnrolment = "enrolment"
	forSignIn    = "sign-in"
	forChallenge = "challenge"
)

// strength is one of the strongest proofs, shown at a time.
type strength struct {
	at  time.Time
	by  proof
	key *passkey // nil for another proof
}

// showStrong records one of the strongest proofs.
func (m *model) showStrong(s *session, by proof, key *passkey) {
	s.strong = append(s.strong, strength{m.now(), by, key})
}

// weaken takes strongest proofs from a session.
func (s *session) weaken(which func(strength) bool) {
	s.strong = slices.DeleteFunc(slices.Clone(s.strong), which)
}

// ofApp selects the proofs by an authenticator and by recovery codes.
func ofApp(x strength) bool { return x.by == byApp || x.by == byCode }

// strongly reports whether a session has shown a strongest proof, freshly or at any time.
func (m *model) strongly(s *session, anyTime bool) bool {
	return slices.ContainsFunc(s.strong, func(x strength) bool { return anyTime || m.within(x.at) })
}

// showKey records a proof by a passkey.
func (s *session) showKey(k *passkey) {
	s.show(byKey)
	if !slices.Contains(s.keys, k) {
		s.keys = append(s.keys, k)
	}
}

// keysOf returns the passkeys of an account that prove something.
func (m *model) keysOf(a *account) (live []*passkey) {
	for _, k := range m.keys {
		if k.account == a && k.over == "" {
			live = append(live, k)
		}
	}
	return live
}

// hasStrongest reports whether an account has a factor that changes of factors ask for.
func (m *model) hasStrongest(a *account) bool { return a.device != nil || len(m.keysOf(a)) > 0 }

// guarded reports whether an account asks for a factor that no mailbox replaces.
func (m *model) guarded(a *account) bool { return a.user.MFA && m.hasStrongest(a) }

// weighKeys follows MFA that is switched on. Each passkey is one proof from then on, but for those that
// the session which does it has made, and the one that has opened it.
func (m *model) weighKeys(a *account, kept *session) {
	for _, k := range m.keysOf(a) {
		k.single = k.single || kept == nil || k.by != kept && kept.key != k
	}
}

// dropKey follows a passkey that is deleted. The sessions that it has opened end, and what it has proven in
// others is proven no more. The session that deletes it is taken to have proven it until MFA is switched.
func (m *model) dropKey(k *passkey, why string, kept *session) {
	k.over = why
	a := k.account
	m.end(a, "was made by a passkey that is gone", func(s *session) bool { return s.key == k })
	left := len(m.keysOf(a)) > 0
	for _, s := range m.sessions {
		if s.account != a || !slices.Contains(s.keys, k) {
			continue
		}
		s.keys = slices.DeleteFunc(slices.Clone(s.keys), func(o *passkey) bool { return o == k })
		if s != kept || !left {
			s.weaken(func(x strength) bool { return x.key == k })
		}
		if len(s.keys) == 0 && len(s.shown) > 1 {
			s.shown = append(s.shown[:1:1], slices.DeleteFunc(slices.Clone(s.shown[1:]), func(p proof) bool { return p == byKey })...)
			if s == kept {
				s.gift = append(s.gift, byKey)
			}
		}
	}
	if m.policy.Sessions.EndOnChange {
		m.end(a, "has ended with a passkey", but(kept))
	}
}

// dropKeys takes away the passkeys of an account that came at a time or after it.
func (m *model) dropKeys(a *account, why string, since time.Time) {
	for _, k := range m.keysOf(a) {
		if !k.created.Before(since) {
			m.dropKey(k, why, nil)
		}
	}
}

// wayIn reports whether a user can sign in.
func (m *model) wayIn(a *account) bool {
	on := func(x latchkey.Methods) bool { return m.policy.Disabled&x == 0 }
	return m.canShowWord(a) && a.user.Email != "" ||
		a.user.EmailVerification && (on(latchkey.MethodMagicURL) || on(latchkey.MethodEmailOTP)) ||
		a.user.PhoneVerification && on(latchkey.MethodPhone) || a.links > 0 ||
		on(latchkey.MethodPasskey) && slices.ContainsFunc(m.keysOf(a), func(k *passkey) bool { return !k.second })
}

// listed compares the passkeys of an account with what the server's scope shows.
func (w *world) listed(a *account) {
	if a.gone {
		return
	}
	list, err := w.k.Users().Passkeys(w.k.Ctx, a.id)
	w.k.Must(err)
	have := w.keysOf(a)
	for _, shown := range list.Passkeys {
		if !slices.ContainsFunc(have, func(k *passkey) bool { return k.id == shown.ID && k.second == shown.SecondFactor }) {
			why := "was never made"
			for _, k := range w.keys {
				if k.id == shown.ID {
					why = k.over
				}
			}
			w.fail("%s has a passkey that %s", a.id, why)
		}
	}
	for _, k := range have {
		if !slices.ContainsFunc(list.Passkeys, func(shown *latchkey.Passkey) bool { return k.id == shown.ID }) {
			w.fail("%s has lost a passkey without a call that takes it away", a.id)
		}
	}
	if a.factors.Passkey != (len(have) > 0) {
		w.fail("the passkey of %s is a factor: %v, and there are %d", a.id, a.factors.Passkey, len(have))
	}
}

// keyOf returns the passkey of an answer, nil if the engine has not taken it.
func (w *world) keyOf(answer []byte) *passkey {
	id := credentialOf(w, answer)
	for _, k := range w.keys {
		if k.credential == id {
			return k
		}
	}
	return nil
}

// credentialOf returns the id of the credential that an answer names.
func credentialOf(w *world, answer []byte) string {
	var said struct{ ID string }
	w.k.Must(json.Unmarshal(answer, &said))
	return said.ID
}

// questionOf picks a question of a kind that the actor has.
func questionOf(a *actor, kind string, x int) (*question, bool) {
	return pick(slices.DeleteFunc(slices.Clone(a.questions), func(q *question) bool { return q.kind != kind }), x)
}

// answered judges a question whose answer was taken.
func (w *world) answered(q *question, s *session) {
	age := w.now().Sub(q.created)
	switch {
	case q.over != "":
		w.fail("a question to a device was answered although it %s", q.over)
	case q.session != s:
		w.fail("a question to a device was answered in another session")
	case age >= questionLength || age < -clockStep:
		w.fail("a question to a device was answered after %v", age)
	}
	q.over = "was answered"
}

// proves judges a passkey that was taken.
func (w *world) proves(k *passkey, a *account) {
	switch {
	case k == nil:
		w.fail("a passkey was taken that was never made")
	case k.over != "":
		w.fail("a passkey was taken that %s", k.over)
	case k.account != a:
		w.fail("a passkey of another account was taken")
	}
}

// startKey asks for a new passkey.
func startKey(second bool) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		return act(w, a, s, "StartPasskeyEnrolment", false, "", func(c *credential, h *latchkey.Account) error {
			made, err := h.StartPasskeyEnrolment(w.k.Ctx, latchkey.PasskeyEnrolment{SecondFactor: second})
			if err == nil {
				a.questions = append(a.questions, &question{kind: forEnrolment, options: made.Options, session: c.session, second: second, created: w.now()})
			}
			return err
		})
	}
}

// newHand returns the device of a new passkey: mostly a new device.
func newHand(a *actor, s step) *hand {
	if h, ok := pick(a.hands, s.z); ok && s.y%5 == 0 && h.pin && !h.lost {
		return h
	}
	d := authtest.NewDevice(kit.Page)
	d.Syncable, d.Counting = s.z%3 == 0, s.z%4 == 0
	h := &hand{&gadget{Device: d}, true}
	a.hands = append(a.hands, h)
	return h
}

// finishKey makes a passkey.
func finishKey(w *world, a *actor, s step) string {
	q, ok := questionOf(a, forEnrolment, s.y)
	if !ok {
		return ""
	}
	d := newHand(a, s)
	d.Unverified = !d.pin || s.y%6 == 0
	answer, err := d.Create(q.options)
	if err != nil {
		return ""
	}
	line := act(w, a, s, "FinishPasskeyEnrolment", false, "", func(c *credential, h *latchkey.Account) error {
		made, err := h.FinishPasskeyEnrolment(w.k.Ctx, answer, "")
		if errors.Is(err, latchkey.ErrPasskeyRefused) && q.session == c.session {
			q.over = cmp.Or(q.over, "was answered")
		}
		if err != nil {
			return err
		}
		w.answered(q, c.session)
		if d.Unverified && !q.second {
			w.fail("a device has made a passkey without its PIN")
		}
		k := &passkey{id: made.ID, credential: credentialOf(w, answer), account: c.account, second: q.second, by: c.session, created: made.CreatedAt}
		w.keys, d.keys = append(w.keys, k), append(d.keys, k)
		c.session.showKey(k)
		w.showStrong(c.session, byKey, k)
		if w.policy.Sessions.EndOnChange {
			w.end(c.account, "has ended with a new passkey", but(c.session))
		}
		return nil
	})
	if line == "" {
		return ""
	}
	return line + fmt.Sprintf(" (second: %v, by PIN: %v)", q.second, !d.Unverified)
}

// enrolKey makes a passkey at once.
func enrolKey(second bool) func(*world, *actor, step) string {
	return then(startKey(second), finishKey)
}

// offer begins a sign-in by a passkey.
func offer(w *world, a *actor, s step) string {
	if len(a.hands) == 0 && s.z%8 != 0 {
		return ""
	}
	made, err := w.k.Guest(a.at).StartPasskeySession(w.k.Ctx, latchkey.PasskeyOffer{})
	if err == nil {
		a.questions = append(a.questions, &question{kind: forSignIn, options: made.Options, created: w.now()})
	}
	return "begins a sign-in by a passkey: " + w.told(err)
}

// able returns the devices of an actor that have a passkey which proves something, or all.
func able(a *actor, all bool) []*hand {
	return slices.DeleteFunc(slices.Clone(a.hands), func(h *hand) bool {
		return !all && !slices.ContainsFunc(h.keys, func(k *passkey) bool { return k.over == "" })
	})
}

// enterByKey signs in by a passkey.
func enterByKey(w *world, a *actor, s step) string {
	q, ok := questionOf(a, forSignIn, s.y)
	d, has := pick(able(a, s.z%8 == 0), s.z/8)
	if !ok || !has {
		return ""
	}
	d.Unverified = !d.pin || s.y%6 == 0
	answer, err := d.Get(q.options)
	if err != nil {
		return ""
	}
	k := w.keyOf(answer)
	made, err := w.k.Guest(a.at).FinishPasskeySession(w.k.Ctx, answer)
	line := fmt.Sprintf("signs in by a passkey (by PIN: %v): ", !d.Unverified)
	if err != nil {
		w.lockedOut(q, k, !d.Unverified, err)
		if errors.Is(err, latchkey.ErrPasskeyRefused) || errors.Is(err, latchkey.ErrPasskeyUnknown) || errors.Is(err, latchkey.ErrUserBlocked) {
			q.over = cmp.Or(q.over, "was answered")
		}
		return line + w.told(err)
	}
	acc := w.named(made.UserID)
	w.answered(q, nil)
	w.proves(k, acc)
	switch {
	case w.fault != "":
		return line
	case k.second:
		w.fail("a passkey that is a second factor only has signed in")
	case d.Unverified:
		w.fail("a device has signed in without its PIN")
	case !acc.user.Status:
		w.fail("a passkey of a blocked user has signed in")
	}
	acc.wordShown()
	c := w.entered(a, made, byKey, nil)
	c.session.key = k
	c.session.showKey(k)
	w.showStrong(c.session, byKey, k)
	if !k.single || !acc.user.MFA {
		c.session.show(byPIN)
		c.session.challenged = w.now()
	}
	return line + c.String()
}

// lockedOut reports a right passkey that was refused.
func (w *world) lockedOut(q *question, k *passkey, verified bool, err error) {
	var slow *latchkey.ThrottledError
	age := w.now().Sub(q.created)
	switch {
	case k == nil || k.over != "" || k.second || !verified || k.account.gone || !k.account.user.Status:
	case q.over != "" || age < 0 || age >= questionLength || w.leaping || errors.As(err, &slow):
	case w.policy.Disabled&latchkey.MethodPasskey == 0:
		w.fail("a right passkey is refused: %v", err)
	}
}

// askKey asks for a passkey of the user: as the factor that a session owes, or for a step-up.
func askKey(w *world, a *actor, s step) string {
	c, h := openAny(w, a, s)
	if h == nil || s.y%8 != 0 && len(w.keysOf(c.account)) == 0 {
		return ""
	}
	made, err := h.StartPasskeyChallenge(w.k.Ctx)
	if err == nil {
		if why := w.demand("CreateMFAChallenge", c, false, ""); why != "" {
			w.fail("%s", why)
		}
		a.questions = append(a.questions, &question{kind: forChallenge, options: made.Options, session: c.session, created: w.now()})
	}
	return fmt.Sprintf("asks for a passkey challenge by %v: %s", c, w.told(err))
}

// answerKey shows a passkey in a session.
func answerKey(w *world, a *actor, s step) string {
	c, h := openAny(w, a, s)
	q, ok := questionOf(a, forChallenge, s.y)
	if h == nil || !ok {
		return ""
	}
	var answer []byte
	var d *hand
	for i := range a.hands { // mostly the newest one that can
		d = a.hands[(len(a.hands)*2-1-i-s.z/16%2)%len(a.hands)]
		d.Unverified = !d.pin || s.z%5 == 0
		var err error
		if answer, err = d.Get(q.options); err == nil {
			break
		}
	}
	if answer == nil {
		return ""
	}
	k := w.keyOf(answer)
	session, err := h.FinishPasskeyChallenge(w.k.Ctx, answer)
	line := fmt.Sprintf("answers the passkey challenge by %v (by PIN: %v): ", c, !d.Unverified)
	if err != nil {
		return line + w.told(err)
	}
	if c.jwt {
		w.fail("a JWT acts as a session")
	}
	w.answered(q, c.session)
	w.proves(k, c.account)
	if w.fault != "" {
		return line
	}
	me := c.session
	me.showKey(k)
	me.counts()
	me.challenged, me.used, me.own = w.now(), w.now(), true
	if !d.Unverified || k.second {
		w.showStrong(me, byKey, k)
	}
	if me.word != nil && me.word == me.account.word {
		me.word.byMail = false
	}
	w.replaced(a, c, session)
	return line + "done"
}

// aKey picks a passkey: mostly one of an account.
func aKey(w *world, a *account, s step) *passkey {
	list := w.keysOf(a)
	if s.z%8 == 0 || len(list) == 0 {
		list = w.keys
	}
	k, ok := pick(list, s.y)
	if !ok {
		return &passkey{id: "none", over: "was never made"}
	}
	return k
}

func renameKey(w *world, a *actor, s step) string {
	return act(w, a, s, "RenamePasskey", false, "", func(c *credential, h *latchkey.Account) error {
		k := aKey(w, c.account, s)
		err := kit.Err(h.RenamePasskey(w.k.Ctx, k.id, "Mine"))
		if err == nil {
			w.proves(k, c.account)
		}
		return err
	})
}

func deleteKey(w *world, a *actor, s step) string {
	return act(w, a, s, "DeletePasskey", false, "", func(c *credential, h *latchkey.Account) error {
		k := aKey(w, c.account, s)
		err := h.DeletePasskey(w.k.Ctx, k.id)
		if err == nil {
			w.proves(k, c.account)
			w.dropKey(k, "was deleted", c.session)
			if !k.second && !w.wayIn(c.account) {
				w.fail("the last way in was deleted")
			}
		}
		return err
	})
}

func serverDeletesKey(w *world, _ *actor, s step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	k := aKey(w, a, s)
	err := u.DeletePasskey(w.k.Ctx, a.id, k.id)
	if err == nil {
		w.proves(k, a)
		w.dropKey(k, "was deleted by the server", nil)
	}
	return "deletes a passkey: " + w.told(err)
}

// off makes a switch of MFA switch it off.
func off(do func(*world, *actor, step) string) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		s.y = 3
		return do(w, a, s)
	}
}

// onServer has the server act on what an actor did.
func onServer(do func(*world, *actor, step) string) func(*world, *actor, step) string {
	return func(w *world, _ *actor, s step) string {
		line := do(w, w.of(theServer), s)
		if line == "" {
			return ""
		}
		return "the server " + line
	}
}

// waits makes what a session has shown too old for a step-up.
func waits(w *world, _ *actor, _ step) string {
	if w.leaping {
		return ""
	}
	w.k.Clock.Advance(31 * time.Minute)
	return "waits for 31 minutes"
}

// steal takes a device of the owner, whose passkeys are used up or not.
func steal(me, a *actor, x int, pin, usedUp bool) bool {
	var those []*hand
	for _, h := range me.hands {
		live := slices.ContainsFunc(h.keys, func(k *passkey) bool { return k.over == "" })
		has := slices.ContainsFunc(a.hands, func(o *hand) bool { return o.gadget == h.gadget })
		if len(h.keys) > 0 && live != usedUp && !has {
			those = append(those, h)
		}
	}
	h, ok := pick(those, x)
	if ok {
		h.lost = true
		a.hands = append(a.hands, &hand{h.gadget, pin})
	}
	return ok
}
