package search_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
)

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
			w.showStrong(c.session, byApp, nil)
		}
		return err
	})
}

func removeApp(w *world, a *actor, s step) string {
	return act(w, a, s, "DeleteMFAAuthenticator", false, "", func(c *credential, h *latchkey.Account) error {
		err := h.DeleteMFAAuthenticator(w.k.Ctx)
		if err == nil {
			c.account.device = nil
			c.session.weaken(ofApp) // it is only taken to have shown the one that is gone
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
	StartPasskeyChallenge(context.Context) (*latchkey.PasskeyCeremony, error)
	FinishPasskeyChallenge(context.Context, []byte) (*latchkey.Session, error)
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
		w.showStrong(me, proofOf[q.factor], nil)
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
