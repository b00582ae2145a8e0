package search_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
)

// hasProvider is an attacker who has the owner's account at a provider, and nothing else.
const hasProvider role = "provider thief"

// byProvider is the proof of an account at a provider.
const byProvider proof = "provider"

// ident is an account at a provider, by its subject.
type ident struct {
	subject string
	account *account
	counted bool // it is a proof of its own, and not only of the mailbox by which it was found
	found   bool // the mailbox has led to the account
	mailbox string
}

// vouched reports whether an identity that counts has proven an address of an account.
func (w *world) vouched(a *account, address string) bool {
	for _, i := range w.idents {
		if i.account == a && i.counted && i.mailbox == address {
			return true
		}
	}
	return false
}

// weighIdentities follows MFA that is switched on: what the mailbox has led to counts no more, but
// for the identity of the session that does it.
func (w *world) weighIdentities(a *account, kept *session) {
	for _, i := range w.idents {
		if i.account != a || !i.counted || !i.found || kept != nil && kept.ident == i {
			continue
		}
		i.counted = false
		w.end(a, "was made by an identity that the mailbox has led to, before MFA was switched on", func(x *session) bool { return x.ident == i })
	}
	a.links = w.linked(a)
}

// vouching returns the address that a provider has proven, "" without one.
func vouching(who oauth.Profile) string {
	if who.EmailVerified {
		return who.Email
	}
	return ""
}

// linked reports how many identities of an account count.
func (w *world) linked(a *account) (n int) {
	for _, i := range w.idents {
		if i.account == a && i.counted {
			n++
		}
	}
	return n
}

// person picks who an actor is at the provider: each has an account with the own mailbox, and
// one for every mailbox that they read. The owner's account is also that of its thief.
func person(w *world, a *actor, s step) oauth.Profile {
	mine := oauth.Profile{Subject: string(a.role), Email: a.mailbox, EmailVerified: s.y%5 != 0}
	switch {
	case a.role == owner && s.z%3 != 0:
		mine.Email, mine.EmailVerified = mailA, true
	case a.role == hasProvider && s.z%3 != 0:
		mine.Subject = string(owner)
		if s.y%2 == 0 {
			mine.Email = mailA
		}
	case a.role == readsMailbox && s.z%3 != 0:
		mine = oauth.Profile{Subject: "made by the " + string(a.role), Email: mailA, EmailVerified: true}
	}
	return mine
}

// byPerson begins a sign-in and returns the callback of a person.
func byPerson(w *world, by interface {
	StartOAuth2(ctx context.Context, r latchkey.OAuth2Request) (*latchkey.OAuth2Start, error)
}, who oauth.Profile, r latchkey.OAuth2Request) (latchkey.OAuth2Callback, error) {
	r.Provider, r.RedirectURL = "acme", kit.CallbackURL
	start, err := by.StartOAuth2(w.k.Ctx, r)
	if err != nil {
		return latchkey.OAuth2Callback{}, err
	}
	u, err := url.Parse(start.URL)
	w.k.Must(err)
	return latchkey.OAuth2Callback{Provider: "acme", Binding: start.Binding.Reveal(), Parameters: url.Values{"state": {u.Query().Get("state")}, "code": {w.k.Acme.Code(who)}}}, nil
}

// byBrowser makes the session of a person who comes back from the provider, half of the time by a
// token that is handed over.
func byBrowser(w *world, a *actor, s step, who oauth.Profile) (*latchkey.Session, error) {
	g := w.k.Guest(a.at)
	cb, err := byPerson(w, g, who, latchkey.OAuth2Request{Token: s.x%2 == 0})
	if err != nil {
		return nil, err
	}
	result, err := g.FinishOAuth2(w.k.Ctx, cb)
	switch {
	case err != nil:
		return nil, err
	case result.Token == nil:
		return result.Session, nil
	}
	return g.RedeemOAuth2Token(w.k.Ctx, result.Token.UserID, result.Token.Secret.Reveal(), cb.Binding)
}

// byIDToken makes the session of a person whose app has an ID token of the provider. The token signs in
// once.
func byIDToken(w *world, a *actor, _ step, who oauth.Profile) (*latchkey.Session, error) {
	r := latchkey.IDTokenSignIn{Provider: "acme", Token: w.k.Acme.IDToken(who)}
	made, err := w.k.Guest(a.at).CreateIDTokenSession(w.k.Ctx, r)
	if err == nil {
		if again, err := w.k.Guest(a.at).CreateIDTokenSession(w.k.Ctx, r); err == nil {
			w.fail("an ID token has signed in twice, as %s", again.UserID)
		}
	}
	return made, err
}

// signInBy signs in by a provider.
func signInBy(enter func(*world, *actor, step, oauth.Profile) (*latchkey.Session, error)) func(*world, *actor, step) string {
	return func(w *world, a *actor, s step) string { return w.signInBy(a, s, enter) }
}

func (w *world) signInBy(a *actor, s step, enter func(*world, *actor, step, oauth.Profile) (*latchkey.Session, error)) string {
	who := person(w, a, s)
	line := fmt.Sprintf("signs in by the provider as %q with %s (%v): ", who.Subject, who.Email, who.EmailVerified)
	before := w.at(who.Email)
	was := account{}
	if before != nil {
		was = *before
	}
	whole := before != nil && w.vouched(before, who.Email)
	made, err := enter(w, a, s, who)
	if err != nil {
		return line + w.told(err)
	}
	known := w.idents[who.Subject]
	acc := w.named(made.UserID)
	shown, mfa := byProvider, acc.user.MFA
	switch {
	case known != nil && known.account == acc && known.counted:
		known.mailbox = vouching(who)
		if !acc.user.MFA && who.EmailVerified {
			w.proved = append(w.proved, who.Email)
		}
	case before != nil && before.id == made.UserID:
		if !who.EmailVerified {
			w.fail("an address that the provider has not proven has signed in to %s", before.id)
		}
		if was.half == who.Email && !whole {
			w.fail("an address that is proven by half has signed in to %s", before.id)
		}
		if !was.proven() && w.guarded(before) && was.links == 0 {
			w.fail("a first proof by a provider has signed in to %s, which has a second factor", before.id)
		}
		if !was.proven() && w.restorable(before) {
			w.fail("an address that is not proven, beside one that can be restored, has signed in to %s", before.id)
		}
		if !was.proven() && was.links == 0 || was.loose && !was.user.MFA {
			w.firstProof(before)
			mfa = mfa && acc.demanded // what a planter has switched on is off again
			for subject, i := range w.idents {
				if i.account == acc {
					delete(w.idents, subject)
				}
			}
		}
		w.proved = append(w.proved, who.Email)
		if mfa {
			shown = byMailbox
		}
		w.idents[who.Subject] = &ident{subject: who.Subject, account: acc, counted: !mfa, found: true, mailbox: who.Email}
	default:
		w.proved = append(w.proved, who.Email)
		w.idents[who.Subject] = &ident{subject: who.Subject, account: acc, counted: true, mailbox: vouching(who)}
	}
	c := w.entered(a, made, shown, nil)
	c.session.ident = w.idents[who.Subject]
	w.kept = c.session
	return line + c.String()
}

// linkByBrowser links a person who comes back from the provider.
func linkByBrowser(w *world, a *actor, c *credential, h *latchkey.Account, who oauth.Profile) (*latchkey.OAuth2Result, error) {
	cb, err := byPerson(w, h, who, latchkey.OAuth2Request{})
	if err != nil {
		return nil, err
	}
	cb.Session = ""
	if !c.jwt {
		cb.Session = c.text
	}
	return w.k.Guest(a.at).FinishOAuth2(w.k.Ctx, cb)
}

// linkByIDToken links a person whose app has an ID token of the provider.
func linkByIDToken(w *world, _ *actor, _ *credential, h *latchkey.Account, who oauth.Profile) (*latchkey.OAuth2Result, error) {
	return h.LinkIDToken(w.k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: w.k.Acme.IDToken(who)})
}

// linkBy links a person at the provider to the account.
func linkBy(w *world, a *actor, s step) string {
	who, link := person(w, a, s), linkByBrowser
	if s.x%3 == 0 {
		link = linkByIDToken
	}
	return act(w, a, s, "StartOAuth2", false, "", func(c *credential, h *latchkey.Account) error {
		result, err := link(w, a, c, h, who)
		if err != nil {
			return err
		}
		if i := w.idents[who.Subject]; i != nil && i.counted && i.account != c.account && !i.account.gone {
			w.fail("the identity of %s was linked to %s", i.account.id, c.account.id)
		}
		i := &ident{subject: who.Subject, account: c.account, counted: true, mailbox: vouching(who)}
		if old := w.idents[who.Subject]; old != nil && old.counted && old.account == c.account {
			old.mailbox = i.mailbox
			i = old // the mailbox has led to it all the same
		}
		w.idents[who.Subject] = i
		if who.EmailVerified {
			w.proved = append(w.proved, who.Email)
			if c.account.half == who.Email {
				c.account.half = ""
			}
			if !c.account.user.PhoneVerification && c.account.user.Email == who.Email {
				c.account.wordShown()
			}
		}
		if result.Session != nil {
			c.session.shown, c.session.ident, c.session.used = []proof{byProvider}, i, w.now()
			w.replaced(a, c, result.Session)
		} else {
			c.session.show(byProvider)
		}
		return nil
	}) + fmt.Sprintf(" (%q with %s, %v)", who.Subject, who.Email, who.EmailVerified)
}

// unlink deletes an identity.
func unlink(w *world, a *actor, s step) string {
	return act(w, a, s, "DeleteIdentity", false, "", func(c *credential, h *latchkey.Account) error {
		list, err := h.Identities(w.k.Ctx)
		if err != nil {
			return err
		}
		one, ok := pick(list.Identities, s.y)
		if !ok {
			return latchkey.ErrIdentityNotFound
		}
		if err := h.DeleteIdentity(w.k.Ctx, one.ID); err != nil {
			return err
		}
		i := w.idents[one.ProviderUID]
		delete(w.idents, one.ProviderUID)
		if c.account.links = w.linked(c.account); i != nil && i.counted && !w.wayIn(c.account) {
			w.fail("the last way in was deleted")
		}
		w.end(c.account, "was made by an identity that is gone", func(x *session) bool { return x.ident == i && i != nil })
		if w.linked(c.account) == 0 {
			for _, x := range w.sessions {
				if x.account == c.account && len(x.shown) > 1 {
					x.shown = append(x.shown[:1:1], slices.DeleteFunc(slices.Clone(x.shown[1:]), func(p proof) bool { return p == byProvider })...)
				}
			}
		}
		return nil
	})
}

// counts follows an answered challenge of a session that an identity or a passkey has made.
func (s *session) counts() {
	if s.ident != nil && s.owing && len(s.shown) > 1 {
		s.ident.counted, s.ident.found = true, false
	}
	if s.key != nil && s.owing && len(s.shown) > 1 {
		s.key.single = false
	}
}
