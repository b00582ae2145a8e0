package search_test

import (
	"fmt"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
)

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
