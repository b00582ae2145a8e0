package search_test

import (
	"errors"
	"fmt"
	"slices"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
)

// confirmPassword shows the password again.
func confirmPassword(w *world, a *actor, s step) string {
	wd := aWord(w, a, s.y)
	line := act(w, a, s, "ConfirmPassword", false, wd.text, func(c *credential, h *latchkey.Account) error {
		session, err := h.ConfirmPassword(w.k.Ctx, wd.text)
		if err == nil {
			c.account.wordShown()
			c.session.show(byWord)
			c.session.word = wd
			c.session.confirmed, c.session.used = w.now(), w.now()
			w.replaced(a, c, session)
		}
		return err
	})
	if line == "" {
		return ""
	}
	return line + fmt.Sprintf(" (%q)", wd.text)
}

// askChange asks for the change of an address by proof. An attacker moves the account mostly to an
// address of their own.
func askChange(phone bool) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		name, to := "CreateEmailChange", address(w, a, s.z)
		if phone {
			name, to = "CreatePhoneChange", number(w, a, s.z)
		}
		if a.role != owner && s.z%4 != 0 {
			to = a.mailbox
			if phone {
				to = a.telephone
			}
		}
		wd := aWord(w, a, s.y)
		line := act(w, a, s, name, false, wd.text, func(c *credential, h *latchkey.Account) error {
			create := func() error {
				return kit.Err(h.CreateEmailChange(w.k.Ctx, latchkey.NewEmailChange{Email: to, URL: kit.VerifyURL}, wd.text))
			}
			if phone {
				create = func() error { return kit.Err(h.CreatePhoneChange(w.k.Ctx, to, wd.text)) }
			}
			err := create()
			if err == nil {
				if c.account.word != nil {
					c.account.wordShown()
				}
				was := c.account.user
				w.then = func() {
					if now := c.account.user; now.Email != was.Email || now.Phone != was.Phone || now.EmailVerification != was.EmailVerification || now.PhoneVerification != was.PhoneVerification {
						w.fail("an address has changed before the new one was proven")
					}
				}
			}
			return err
		})
		if line == "" {
			return ""
		}
		return line + fmt.Sprintf(" (to %s, %q)", to, wd.text)
	}
}

// confirmChange changes an address by what was sent to the new one.
func confirmChange(phone bool) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		name, kind := "ConfirmEmailChange", notify.EmailChange
		if phone {
			name, kind = "ConfirmPhoneChange", notify.PhoneChange
		}
		t, ok := letter(a, s.y, kind)
		if !ok {
			return ""
		}
		line := act(w, a, s, name, false, "", func(c *credential, h *latchkey.Account) error {
			confirm := h.ConfirmEmailChange
			if phone {
				confirm = h.ConfirmPhoneChange
			}
			err := kit.Err(confirm(w.k.Ctx, t.secret, kit.UndoURL))
			if err == nil {
				w.changedBy(c.account, t, phone)
			}
			return err
		})
		if line == "" {
			return ""
		}
		return line + fmt.Sprintf(" (to %s)", t.to)
	}
}

// changedBy follows a change of an address by the message to the new one.
func (w *world) changedBy(acc *account, t *oneTime, phone bool) {
	if t.account != acc {
		w.fail("an address was changed by the message of another user")
		return
	}
	if other := w.at(t.to); other != nil && other != acc {
		proven := other.user.EmailVerification
		if phone {
			proven = other.user.PhoneVerification
		}
		if proven && other.half != t.to || w.vouched(other, t.to) {
			w.fail("%s was taken from %s, who has proven it", t.to, other.id)
		}
	}
	w.take(t)
	left := w.leave(acc, phone, t.to)
	w.provedInSession(acc, t.to, phone)
	w.then = func() {
		address, proven := acc.user.Email, acc.user.EmailVerification
		if phone {
			address, proven = acc.user.Phone, acc.user.PhoneVerification
		}
		if address != t.to || !proven {
			w.fail("the new address is %s, proven: %v", address, proven)
		}
		if left != nil && !left.told {
			w.fail("no link restores %s, which is held", left.address)
		}
	}
}

// provedInSession follows a proof of an address by the owner of the account.
func (w *world) provedInSession(acc *account, address string, phone bool) {
	other := acc.user.PhoneVerification
	if phone {
		other = acc.user.EmailVerification
	}
	if !other {
		acc.wordShown()
	}
	if acc.half == address {
		acc.half = ""
	}
}

// change changes an address by proof.
func change(phone bool) func(*world, *actor, step) string {
	return then(askChange(phone), confirmChange(phone))
}

// elsewhere makes an operation with another number, which picks another address.
func elsewhere(do func(*world, *actor, step) string) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		s.z = s.z/8 + 3
		return do(w, a, s)
	}
}

// earlier makes an operation with what came before the last.
func earlier(do func(*world, *actor, step) string) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string {
		s.x = 4
		return do(w, a, s)
	}
}

// byOwner has the owner act on what an actor did.
func byOwner(do func(*world, *actor, step) string) func(*world, *actor, step) string {
	return func(w *world, _ *actor, s step) string {
		line := do(w, w.of(owner), s)
		if line == "" {
			return ""
		}
		return "the owner " + line
	}
}

// lapse waits as long as a former address is held.
func lapse(w *world, _ *actor, _ step) string {
	if w.leaping {
		return ""
	}
	w.k.Clock.Advance(holdLength)
	return "waits for seven days"
}

// identitiesOf returns what the server's scope shows of the identities of an account.
func (w *world) identitiesOf(acc *account) (all []latchkey.Identity) {
	list, err := w.k.Users().Identities(w.k.Ctx)
	w.k.Must(err)
	for _, i := range list.Identities {
		if i.UserID == acc.id {
			all = append(all, *i)
		}
	}
	return all
}

// restore opens the link in the notice to a former address.
func restore(w *world, a *actor, s step) string {
	t, ok := letter(a, s.x, notify.EmailChanged, notify.PhoneChanged)
	if !ok {
		return ""
	}
	acc, had := t.account, w.identitiesOf(t.account)
	token, err := w.k.Guest(a.at).RestoreAddress(w.k.Ctx, t.userID, t.secret)
	line := fmt.Sprintf("restores the address %s: %s", t.to, w.told(err))
	if errors.Is(err, latchkey.ErrInvalidToken) && w.live(t) == "" {
		w.fail("the link that restores %s is refused, which is held", t.to)
	}
	if err != nil {
		return line
	}
	if why := w.live(t); why != "" {
		w.fail("an address was restored by a link that %s", why)
	}
	if acc.gone || !acc.user.Status {
		w.fail("an address of a user was restored who is deleted or blocked")
	}
	h := t.hold
	h.over = "was used"
	w.proved = append(w.proved, t.to)
	w.end(acc, "was there before the address was restored", but(nil))
	w.endJWTs(acc, "was made before the address was restored")
	w.endMail(acc, "was sent before the address was restored")
	w.weigh(h)
	w.provedInSession(acc, h.address, h.phone)
	w.dropKeys(acc, "came lately before the address was restored", h.created.Add(-holdLength))
	w.identitiesSince(acc, h, had)
	acc.voidCodes(nil)
	was := *acc
	acc.reset = acc.word != nil
	if secret := token.Secret.Reveal(); secret != "" {
		if h.phone || acc.word == nil {
			w.fail("the link that restores %s sets a password", h.address)
		}
		t := &oneTime{kind: string(notify.Recovery), to: h.address, userID: token.UserID, secret: secret, account: acc, created: w.now(), expire: w.now().Add(w.lifeOf(notify.Recovery))}
		w.mails, a.mail = append(w.mails, t), append(a.mail, t)
	}
	w.then = func() { w.restored(&was, acc, h) }
	return line
}

// identitiesSince judges which identities are left after an address was restored: not those that came
// lately, unless they may be the only second factor.
func (w *world) identitiesSince(acc *account, h *hold, had []latchkey.Identity) {
	left, other := w.identitiesOf(acc), acc.user.PhoneVerification
	if h.phone {
		other = acc.user.EmailVerification
	}
	only := acc.user.MFA && !w.hasStrongest(acc) && !other
	for _, i := range had {
		stays := slices.ContainsFunc(left, func(l latchkey.Identity) bool { return l.ID == i.ID })
		before, known := i.CreatedAt.Before(h.created.Add(-holdLength)), w.idents[i.ProviderUID]
		switch {
		case !stays && only && (known == nil || known.counted):
			w.fail("an identity of %v goes, which may be the only second factor, after the address was restored that was left at %v", i.CreatedAt, h.created)
		case stays && !before && !only:
			w.fail("an identity of %v stays, after the address was restored that was left at %v", i.CreatedAt, h.created)
		case !stays && before && (known == nil || known.counted): // another one goes with the address that has led to it
			w.fail("an identity of %v goes, after the address was restored that was left at %v", i.CreatedAt, h.created)
		case !stays:
			delete(w.idents, i.ProviderUID)
		}
	}
}

// restored judges a user whose address was restored.
func (w *world) restored(was, acc *account, h *hold) {
	address, proven, other, before := acc.user.Email, acc.user.EmailVerification, acc.user.Phone, was.user.Phone
	if h.phone {
		address, proven, other, before = acc.user.Phone, acc.user.PhoneVerification, acc.user.Email, was.user.Email
	}
	if before != h.beside && (!was.user.MFA || w.hasStrongest(acc)) { // else it may be the only second factor
		before = ""
	}
	codes := slices.ContainsFunc(acc.codes, func(t *oneTime) bool { return t.over == "" })
	switch {
	case address != h.address || !proven:
		w.fail("the restored address is %s, proven: %v", address, proven)
	case other != before:
		w.fail("the other address is %q after %s was restored, and not %q", other, h.address, before)
	case was.user.MFA != acc.user.MFA || was.factors.TOTP != acc.factors.TOTP:
		w.fail("a link that restores an address has changed the second factors")
	case codes != acc.factors.RecoveryCode:
		w.fail("recovery codes are left after an address was restored: %v, and those of the server alone: %v", acc.factors.RecoveryCode, codes)
	case was.word != nil && !acc.user.EmailVerification:
		acc.word, acc.reset = nil, false // it is removed, and whoever signs in by it is seen
	}
}

// serverReleases frees the former addresses of the owner.
func serverReleases(w *world, _ *actor, _ step) string {
	u, a, ok := users(w)
	if !ok {
		return ""
	}
	err := u.ReleaseAddresses(w.k.Ctx, a.id)
	if err == nil {
		w.release(a, "was released", all)
	}
	return "releases the former addresses: " + w.told(err)
}
