package search_test

import (
	"fmt"
	"slices"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

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
			if a.role == stealsSession && s.y%3 == 0 && steal(me, a, s.x, false, false) {
				return fmt.Sprintf("steals %v, and a device without its PIN", c)
			}
			return fmt.Sprintf("steals %v", c)
		}
	case hasKey, hasKeyAndPIN:
		if a.robbed = steal(me, a, s.x, a.role == hasKeyAndPIN, false); a.robbed {
			return "steals a device"
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
		for steal(me, a, s.x, true, true) {
			found++
		}
		if found > 0 {
			return fmt.Sprintf("finds %d things that are used up", found)
		}
	}
	return ""
}
