package attack_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
)

// adaAt is Ada at a provider that has proven her address.
var adaAt = oauth.Profile{Subject: "ada-1", Email: kit.Ada, EmailVerified: true, Name: "Ada"}

// back begins a sign-in as a guest and returns the callback of a person.
func back(k *kit.Kit, p *kit.Provider, who oauth.Profile) latchkey.OAuth2Callback {
	k.Helper()
	return k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: p.About.Name}).Callback(p.Code(who))
}

// AC-059: an address that the provider has not proven lets nobody into an account that has it, and
// makes no second one.
func TestAC059AnUnprovenAddressOfAProviderIsNoWayIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		for _, verified := range []bool{false, true} {
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, verified)))
			for _, address := range []string{kit.Ada, "Ada@Example.org"} {
				k.RefusesCallback(fmt.Sprint(address, verified), latchkey.ErrUserAlreadyExists, back(k, k.Acme, oauth.Profile{Subject: "mallory", Email: address}))
			}
		}
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "mallory", Email: kit.Bob})
		mine, err := k.Users().Get(k.Ctx, s.UserID)
		k.Must(err)
		if mine.Email != "" || mine.EmailVerification {
			k.Errorf("%+v", mine)
		}
		k.SignUp(kit.Bob) // the address is reserved for nobody
	})
}

// AC-061: the owner of a mailbox signs in by a provider. What an attacker has planted in an account
// with the address does not survive.
func TestAC061AProviderIsAFirstProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for name, plant := range map[string]func(id string, account *latchkey.Account){
			"a password": func(string, *latchkey.Account) {},
			"a number": func(_ string, account *latchkey.Account) {
				k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
			},
			"a link that was opened": func(id string, account *latchkey.Account) {
				token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
				k.Must(err)
				k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, id, k.MailOf(token, kit.Ada).Secret)))
			},
			"an authenticator": func(_ string, account *latchkey.Account) { k.Confirmed(account, latchkey.NewMFAAuthenticator{}) },
		} {
			planted := k.SignUp(kit.Ada)
			session, account := k.SignIn(kit.Ada)
			plant(planted.ID, account)
			mine := k.SignInBy(k.Visitor, k.Acme, adaAt)
			user, err := k.Users().Get(k.Ctx, mine.UserID)
			k.Must(err)
			if user.Email != kit.Ada || !user.EmailVerification || user.Phone != "" || !user.PasswordUpdate.IsZero() || user.MFA {
				k.Errorf("%s: %+v", name, user)
			}
			if factors, err := k.Users().MFAFactors(k.Ctx, user.ID); err != nil || factors.TOTP {
				k.Errorf("%s: %+v, %v", name, factors, err)
			}
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); !errors.Is(err, latchkey.ErrUnauthorized) {
				k.Errorf("%s: the planted session: %v", name, err)
			}
			if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)); !errors.Is(err, latchkey.ErrInvalidCredentials) {
				k.Errorf("%s: the planted password: %v", name, err)
			}
			k.DeleteAll()
		}
	})
}

// AC-062: an identity that an attacker has put into an account goes with the claim of the mailbox,
// or the mailbox gets an account of its own.
func TestAC062APlantedIdentityOpensNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, opened := range []bool{false, true} {
			for name, prove := range map[string]func() string{
				"another provider": func() string { return k.SignInBy(k.Visitor, k.Other, adaAt).UserID },
				"a code":           func() string { return signInByCode(k).UserID },
			} {
				k.SignUp(kit.Ada)
				session, account := k.SignIn(kit.Ada)
				if opened {
					token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
					k.Must(err)
					k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, account.UserID(), k.MailOf(token, kit.Ada).Secret)))
				}
				mallory := oauth.Profile{Subject: "mallory", Email: "mallory@example.net", EmailVerified: true}
				k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, mallory)))
				owner := prove()
				user, err := k.Users().Get(k.Ctx, owner)
				k.Must(err)
				if user.Email != kit.Ada || !user.EmailVerification {
					k.Errorf("%s, opened %v: %+v", name, opened, user)
				}
				if s := k.SignInBy(k.Visitor, k.Acme, mallory); s.UserID == owner {
					k.Errorf("%s, opened %v: the planted identity signs in as the owner of the mailbox", name, opened)
				}
				if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)); !errors.Is(err, latchkey.ErrInvalidCredentials) {
					k.Errorf("%s, opened %v: the planted password: %v", name, opened, err)
				}
				k.DeleteAll()
			}
		}
	})
}

// signInByCode signs Ada in by a code to her mailbox.
func signInByCode(k *kit.Kit) *latchkey.Session {
	k.Helper()
	token, code := k.AskCode(kit.Ada)
	s, err := k.Visitor.CreateSession(k.Ctx, token.UserID, code)
	k.Must(err)
	return s
}

// AC-062: an attacker signs up by a provider, and puts the address of another person on the
// account, who opens the link. The mailbox opens no account in which the attacker is.
func TestAC062ALinkOpenedForAnAccountOfAProviderProvesNothingOfItsOwner(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		theirs := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "mallory", Email: "mallory@example.net"})
		account, err := k.Visitor.Authenticate(k.Ctx, theirs.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
		token, err := account.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, theirs.UserID, k.MailOf(token, kit.Ada).Secret)))
		mine := signInByCode(k)
		if mine.UserID == theirs.UserID {
			k.Error("the mailbox opens the attacker's account")
		}
		if s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "mallory"}); s.UserID != theirs.UserID {
			k.Errorf("the attacker is signed in as %s", s.UserID)
		}
	})
}

// AC-064: the mailbox of an address that the user of an identity has not proven recovers nothing.
func TestAC064AnUnprovenAddressDoesNotRecoverTheAccountOfAProvider(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		theirs := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "bob", Email: kit.Bob})
		account, err := k.Visitor.Authenticate(k.Ctx, theirs.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
		k.Must(kit.Err(k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL})))
		if sent := k.Posted(k.Engine); len(sent) != 0 {
			k.Errorf("sent: %v", sent)
		}
	})
}

// AC-065: an identity is a subject of an issuer at a provider. Neither the same subject elsewhere
// nor an address selects it.
func TestAC065AnIdentityIsASubjectOfAnIssuer(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Acme.About.Issuers = true
		first := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "1", Email: kit.Ada, EmailVerified: true})
		for what, s := range map[string]*latchkey.Session{
			"another provider": k.SignInBy(k.Visitor, k.Other, oauth.Profile{Subject: "1", Email: "a@example.net"}),
			"another issuer":   k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Issuer: "https://tenant.example.com", Subject: "1", Email: "b@example.net"}),
			"another case":     k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Issuer: "https://ACME.example.com", Subject: "1", Email: "c@example.net"}),
			"a space":          k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "1 ", Email: "d@example.net"}),
			"a composed form":  k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "\u00e9", Email: "e@example.net"}),
			"another form":     k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "e\u0301", Email: "f@example.net"}),
		} {
			if s.UserID == first.UserID {
				k.Errorf("%s signs in as the first", what)
			}
		}
		// The address is given to another person at the provider.
		account, err := k.Visitor.Authenticate(k.Ctx, first.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, "moved@example.net", kit.Password)))
		k.RefusesCallback("a recycled address", latchkey.ErrUserAlreadyExists, back(k, k.Other, oauth.Profile{Subject: "2", Email: kit.Ada, EmailVerified: true}))
	})
}

// AC-066: a start names provider and session: what was begun for one links nothing of another.
func TestAC066AStartLinksOnlyWhatItWasBegunFor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		ada, account := k.SignIn(kit.Ada)
		bob, _ := k.SignIn(kit.Bob)
		begin := func() kit.Began { return k.Begin(account, latchkey.OAuth2Request{Provider: "acme"}) }
		cb := begin().Callback(k.Other.Code(adaAt))
		cb.Provider, cb.Session = "other", ada.Secret.Reveal()
		k.RefusesCallback("another provider", latchkey.ErrInvalidToken, cb)
		cb = begin().Callback(k.Acme.Code(adaAt))
		cb.Session = bob.Secret.Reveal()
		k.RefusesCallback("another user's session", latchkey.ErrUnauthorized, cb)
		other, _ := k.SignIn(kit.Ada)
		cb = begin().Callback(k.Acme.Code(adaAt))
		cb.Session = other.Secret.Reveal()
		k.RefusesCallback("another session of the user", latchkey.ErrUnauthorized, cb)
		cb = begin().Callback(k.Acme.Code(adaAt))
		k.Must(account.DeleteSession(k.Ctx, latchkey.CurrentSession))
		cb.Session = ada.Secret.Reveal()
		k.RefusesCallback("a session that has ended", latchkey.ErrUnauthorized, cb)
	})
}

// AC-067: a callback is taken once, and only with the state that was begun, at its browser.
func TestAC067ACallbackBelongsToAStart(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		good := func() latchkey.OAuth2Callback { return back(k, k.Acme, adaAt) }
		for what, row := range map[string]struct {
			change func(cb *latchkey.OAuth2Callback)
			want   error
		}{
			"no state":          {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Del("state") }, latchkey.ErrInvalidToken},
			"an empty state":    {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("state", "") }, latchkey.ErrInvalidToken},
			"an invented state": {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("state", kit.UnknownLink) }, latchkey.ErrInvalidToken},
			"a state in another case": {func(cb *latchkey.OAuth2Callback) {
				cb.Parameters.Set("state", strings.ToUpper(cb.Parameters.Get("state")))
			}, latchkey.ErrInvalidToken},
			"two states":              {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Add("state", cb.Parameters.Get("state")) }, latchkey.ErrInvalidToken},
			"another browser":         {func(cb *latchkey.OAuth2Callback) { cb.Binding = good().Binding }, latchkey.ErrInvalidToken},
			"no value at the browser": {func(cb *latchkey.OAuth2Callback) { cb.Binding = "" }, latchkey.ErrInvalidToken},
			"another provider":        {func(cb *latchkey.OAuth2Callback) { cb.Provider = "other" }, latchkey.ErrInvalidToken},
			"no provider":             {func(cb *latchkey.OAuth2Callback) { cb.Provider = "" }, latchkey.ErrInvalidToken},
			"another issuer":          {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("iss", "https://other.example.com") }, latchkey.ErrInvalidToken},
			"the issuer with a slash": {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("iss", "https://acme.example.com/") }, latchkey.ErrInvalidToken},
			"two issuers": {func(cb *latchkey.OAuth2Callback) {
				cb.Parameters["iss"] = []string{"https://acme.example.com", "https://acme.example.com"}
			}, latchkey.ErrArgumentInvalid},
			"two codes":                 {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Add("code", "x") }, latchkey.ErrArgumentInvalid},
			"no code":                   {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Del("code") }, latchkey.ErrProviderRefused},
			"an unknown code":           {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("code", "x") }, latchkey.ErrProviderFailed},
			"an error and a code":       {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("error", "access_denied") }, latchkey.ErrProviderRefused},
			"two errors":                {func(cb *latchkey.OAuth2Callback) { cb.Parameters["error"] = []string{"a", "b"} }, latchkey.ErrArgumentInvalid},
			"a code of 1 MiB":           {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("code", strings.Repeat("x", 1<<20)) }, latchkey.ErrArgumentInvalid},
			"other parameters of 1 MiB": {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("session_state", strings.Repeat("x", 1<<20)) }, latchkey.ErrArgumentInvalid},
			"a user that is no JSON":    {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("user", "Ada") }, latchkey.ErrArgumentInvalid},
			"a user with a name twice": {func(cb *latchkey.OAuth2Callback) {
				cb.Parameters.Set("user", `{"name":{"firstName":"a","firstName":"b","lastName":"c"}}`)
			}, latchkey.ErrArgumentInvalid},
			"a user of 1 MiB": {func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("user", `{"x":"`+strings.Repeat("x", 1<<20)+`"}`) }, latchkey.ErrArgumentInvalid},
		} {
			cb := good()
			row.change(&cb)
			k.RefusesCallback(what, row.want, cb)
		}
		cb := good()
		k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)))
		k.RefusesCallback("a second time", latchkey.ErrInvalidToken, cb)
		late := good()
		k.Clock.Advance(10 * time.Minute)
		k.RefusesCallback("after ten minutes", latchkey.ErrInvalidToken, late)
		apple := back(k, k.Acme, oauth.Profile{Subject: "tim", Email: "tim@example.net"})
		apple.Parameters.Set("user", `{"name":{"firstName":"Tim","lastName":"Berg"},"email":"x"}`)
		result, err := k.Visitor.FinishOAuth2(k.Ctx, apple)
		k.Must(err)
		if user, err := k.Users().Get(k.Ctx, result.Session.UserID); err != nil || user.Name != "Tim Berg" {
			k.Errorf("%+v, %v", user, err)
		}
	})
}

// AC-067: of fifty callbacks at once one is taken.
func TestAC067OfCallbacksAtOnceOneIsTaken(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for name, cb := range map[string]latchkey.OAuth2Callback{
			"a sign-in": back(k, k.Acme, adaAt),
			"a token":   k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true}).Callback(k.Acme.Code(adaAt)),
		} {
			taken := 0
			var mu sync.Mutex
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb))
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						taken++
					case !errors.Is(err, latchkey.ErrInvalidToken):
						k.Errorf("%s: %v", name, err)
					}
				})
			}
			all.Wait()
			if taken != 1 {
				k.Errorf("%s: %d callbacks were taken", name, taken)
			}
		}
		if n := k.Rows()["users"]; n != 1 {
			k.Errorf("%d users", n)
		}
	})
}

// AC-068: the token that hands a sign-in over serves once, for a minute, at the browser that has
// begun, and dies with what it stands for.
func TestAC068TheHandOverServesOnceAtItsBrowser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		hand := func(unbound bool) (*latchkey.Token, string) {
			begun := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true, Unbound: unbound})
			result, err := k.Visitor.FinishOAuth2(k.Ctx, begun.Callback(k.Acme.Code(adaAt)))
			k.Must(err)
			return result.Token, begun.Binding.Reveal()
		}
		token, binding := hand(false)
		_, another := hand(false) // which ends the one before
		for what, redeem := range map[string]func() error{
			"ended by the next one": func() error {
				return kit.Err(k.Visitor.RedeemOAuth2Token(k.Ctx, token.UserID, token.Secret.Reveal(), binding))
			},
			"of another browser": func() error {
				t, _ := hand(false)
				return kit.Err(k.Visitor.RedeemOAuth2Token(k.Ctx, t.UserID, t.Secret.Reveal(), another))
			},
			"without the browser's value": func() error {
				t, _ := hand(false)
				return kit.Err(k.Visitor.CreateSession(k.Ctx, t.UserID, t.Secret.Reveal()))
			},
			"of another user": func() error {
				t, b := hand(false)
				return kit.Err(k.Visitor.RedeemOAuth2Token(k.Ctx, k.SignInBy(k.Visitor, k.Other, oauth.Profile{Subject: "b", Email: kit.Bob}).UserID, t.Secret.Reveal(), b))
			},
			"after the identity was unlinked": func() error {
				t, _ := hand(true)
				k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, t.UserID, kit.Password)))
				t, _ = hand(true)
				list, err := k.Users().Identities(k.Ctx)
				k.Must(err)
				for _, i := range list.Identities {
					if i.UserID == t.UserID {
						k.Must(k.Users().DeleteIdentity(k.Ctx, i.ID))
					}
				}
				return kit.Err(k.Visitor.CreateSession(k.Ctx, t.UserID, t.Secret.Reveal()))
			},
		} {
			if err := redeem(); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%s: %v", what, err)
			}
		}
		t, _ := hand(true)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, t.UserID, false)))
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, t.UserID, t.Secret.Reveal())); !errors.Is(err, latchkey.ErrUserBlocked) {
			k.Errorf("of a blocked user: %v", err)
		}
	})
}

// AC-072: a blocked user is signed in by no provider, and a sign-in changes no status.
func TestAC072NoProviderSignsABlockedUserIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		linked := k.SignInBy(k.Visitor, k.Acme, adaAt).UserID
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, linked, false)))
		for what, cb := range map[string]latchkey.OAuth2Callback{
			"by the identity": back(k, k.Acme, adaAt), "by the address": back(k, k.Other, adaAt),
			"handed over": k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true}).Callback(k.Acme.Code(adaAt)),
		} {
			k.RefusesCallback(what, latchkey.ErrUserBlocked, cb)
		}
		user, err := k.Users().Get(k.Ctx, linked)
		k.Must(err)
		if list, err := k.Users().Identities(k.Ctx); err != nil || user.Status || list.Total != 1 {
			k.Errorf("status %v, %d identities, %v", user.Status, list.Total, err)
		}
	})
}

// AC-073: two callbacks that interleave give each person their own account.
func TestAC073CallbacksThatInterleaveAreApart(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var turn sync.WaitGroup
		turn.Add(8)
		k.Acme.Before = func(_ context.Context, call string) {
			if call == "profile" {
				turn.Done()
				turn.Wait()
			}
		}
		var all sync.WaitGroup
		for i := range 8 {
			cb := back(k, k.Acme, oauth.Profile{Subject: fmt.Sprint("s", i), Email: fmt.Sprintf("p%d@example.net", i), EmailVerified: true})
			all.Go(func() {
				result, err := k.Visitor.FinishOAuth2(k.Ctx, cb)
				if err != nil {
					k.Error(err)
					return
				}
				user, err := k.Users().Get(k.Ctx, result.Session.UserID)
				if err != nil || user.Email != fmt.Sprintf("p%d@example.net", i) || result.Session.ProviderUID != fmt.Sprint("s", i) {
					k.Errorf("%d: %+v, %v", i, user, err)
				}
			})
		}
		all.Wait()
	})
}

// AC-073: two providers at once for one new mailbox make one user with two identities.
func TestAC073TwoProvidersAtOnceMakeOneUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for round := range 5 {
			who := oauth.Profile{Subject: fmt.Sprint("s", round), Email: fmt.Sprintf("p%d@example.net", round), EmailVerified: true}
			ids := make([]string, 2)
			var all sync.WaitGroup
			for i, p := range []*kit.Provider{k.Acme, k.Other} {
				cb := back(k, p, who)
				all.Go(func() {
					result, err := k.Visitor.FinishOAuth2(k.Ctx, cb)
					if err != nil {
						k.Error(err)
						return
					}
					ids[i] = result.Session.UserID
				})
			}
			all.Wait()
			if ids[0] != ids[1] {
				k.Errorf("users %v", ids)
			}
		}
	})
}

// AC-074: an identity is that of one user, and the last way in stays.
func TestAC074TheLastWayInStays(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		mine := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "ada", Email: "shown@example.net"})
		k.SignUp(kit.Bob)
		bob, _ := k.SignIn(kit.Bob)
		if err := kit.Err(k.LinkBy(k.Visitor, bob.Secret, k.Acme, oauth.Profile{Subject: "ada"})); !errors.Is(err, latchkey.ErrIdentityAlreadyExists) {
			k.Errorf("linked to another user: %v", err)
		}
		account, err := k.Visitor.Authenticate(k.Ctx, mine.Secret.Reveal())
		k.Must(err)
		list, err := account.Identities(k.Ctx)
		k.Must(err)
		only := list.Identities[0].ID
		k.Refuses("the only way in", latchkey.ErrLastWayIn, func() error { return account.DeleteIdentity(k.Ctx, only) })
		k.Refuses("the only way in, by the server", latchkey.ErrLastWayIn, func() error { return k.Users().DeleteIdentity(k.Ctx, only) })
		k.Refuses("by another user", latchkey.ErrIdentityNotFound, func() error {
			other, err := k.Visitor.Authenticate(k.Ctx, bob.Secret.Reveal())
			k.Must(err)
			return other.DeleteIdentity(k.Ctx, only)
		})
		result, err := k.LinkBy(k.Visitor, mine.Secret, k.Other, oauth.Profile{Subject: "ada"})
		k.Must(err)
		// Two that unlink the two ways in at once leave one.
		errs := make([]error, 2)
		var all sync.WaitGroup
		for i, id := range []string{only, result.Identity.ID} {
			all.Go(func() { errs[i] = k.Users().DeleteIdentity(k.Ctx, id) })
		}
		all.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(cmp.Or(errs[0], errs[1]), latchkey.ErrLastWayIn) {
			k.Errorf("at once: %v", errs)
		}
	})
}

// AC-076: tokens of a provider are in no answer, event, log or dump, and only their own user gets
// them, in a fresh session.
func TestAC076ProviderTokensAreShownToTheirUserAlone(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, adaAt)
		account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		list, err := account.Identities(k.Ctx)
		k.Must(err)
		id := list.Identities[0].ID
		tokens, err := account.ProviderTokens(k.Ctx, id)
		k.Must(err)
		if tokens.Access.Reveal() != "access of acme-code-1" || tokens.Refresh.Reveal() != "refresh of acme-code-1" {
			k.Errorf("%q, %q", tokens.Access.Reveal(), tokens.Refresh.Reveal())
		}
		export, err := k.Users().Export(k.Ctx, s.UserID)
		k.Must(err)
		sessions, err := account.Sessions(k.Ctx)
		k.Must(err)
		everything, err := json.Marshal([]any{list, sessions, k.Everything(), s, export})
		k.Must(err)
		for _, e := range k.Told.Take() {
			payload, err := json.Marshal(e.Payload)
			k.Must(err)
			everything = append(everything, payload...)
		}
		if strings.Contains(string(everything), "acme-code-1") || strings.Contains(string(export), `"access"`) {
			k.Errorf("shown: %s", everything)
		}
		k.SignUp(kit.Bob)
		_, bob := k.SignIn(kit.Bob)
		jwt, _ := k.ByJWT(s.UserID, s.ID)
		k.Refuses("another user", latchkey.ErrIdentityNotFound, func() error { return kit.Err(bob.ProviderTokens(k.Ctx, id)) })
		k.Refuses("a JWT", latchkey.ErrSessionNotFound, func() error { return kit.Err(jwt.ProviderTokens(k.Ctx, id)) })
		k.Clock.Advance(31 * time.Minute)
		k.Refuses("an old session", latchkey.ErrChallengeRequired, func() error { return kit.Err(account.ProviderTokens(k.Ctx, id)) })
	})
}

// AC-077: an attacker makes a victim's browser finish what the attacker has begun, or with a code of
// the attacker's own. Nothing is linked, and nobody is signed in as the attacker.
func TestAC077ABrowserFinishesOnlyWhatItHasBegun(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		victim, account := k.SignIn(kit.Ada)
		mallory := oauth.Profile{Subject: "mallory", Email: "mallory@example.net", EmailVerified: true}
		theirs := k.SignInBy(k.Visitor, k.Acme, mallory)
		attacker, err := k.Visitor.Authenticate(k.Ctx, theirs.Secret.Reveal())
		k.Must(err)
		mine := k.Begin(account, latchkey.OAuth2Request{Provider: "acme"}) // the browser has a value of its own
		for what, cb := range map[string]latchkey.OAuth2Callback{
			"a sign-in of the attacker": k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(mallory)),
			"a link of the attacker":    k.Begin(attacker, latchkey.OAuth2Request{Provider: "other"}).Callback(k.Other.Code(mallory)),
		} {
			cb.Binding, cb.Session = mine.Binding.Reveal(), victim.Secret.Reveal()
			k.RefusesCallback(what, latchkey.ErrInvalidToken, cb)
		}
		for _, r := range []latchkey.OAuth2Request{{Provider: "acme", RedirectURL: kit.CallbackURL, Unbound: true, Token: true}, {Provider: "acme", RedirectURL: kit.CallbackURL, Unbound: true}} {
			k.Refuses("linking without a value at the browser", latchkey.ErrArgumentInvalid, func() error { return kit.Err(account.StartOAuth2(k.Ctx, r)) })
		}
		k.Refuses("a session without a value at the browser", latchkey.ErrArgumentInvalid, func() error {
			return kit.Err(k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL, Unbound: true}))
		})
		list, err := account.Identities(k.Ctx)
		k.Must(err)
		if list.Total != 0 {
			k.Errorf("linked: %+v", list.Identities)
		}
	})
}

// AC-078: an odd answer of a provider makes no user.
func TestAC078AnOddAnswerMakesNoUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for what, row := range map[string]struct {
			who  oauth.Profile
			want error
		}{
			"no subject":                  {oauth.Profile{Email: kit.Ada, EmailVerified: true}, latchkey.ErrProviderSubject},
			"a blank subject":             {oauth.Profile{Subject: " \t", Email: kit.Ada, EmailVerified: true}, latchkey.ErrProviderSubject},
			"a subject of 256 bytes":      {oauth.Profile{Subject: strings.Repeat("x", 256), Email: kit.Ada, EmailVerified: true}, latchkey.ErrProviderSubject},
			"a subject of 1 MiB":          {oauth.Profile{Subject: strings.Repeat("x", 1<<20), Email: kit.Ada, EmailVerified: true}, latchkey.ErrProviderSubject},
			"a subject that is not UTF-8": {oauth.Profile{Subject: "\xff", Email: kit.Ada, EmailVerified: true}, latchkey.ErrProviderSubject},
			"a subject with NUL":          {oauth.Profile{Subject: "a\x00b", Email: kit.Ada, EmailVerified: true}, latchkey.ErrProviderSubject},
			"another issuer":              {oauth.Profile{Issuer: "https://evil.example.com", Subject: "ada", Email: kit.Ada, EmailVerified: true}, latchkey.ErrProviderFailed},
			"no address":                  {oauth.Profile{Subject: "ada"}, latchkey.ErrUserUnauthorized},
			"an empty proven address":     {oauth.Profile{Subject: "ada", EmailVerified: true}, latchkey.ErrUserUnauthorized},
			"an address with spaces":      {oauth.Profile{Subject: "ada", Email: "ada @example.org", EmailVerified: true}, latchkey.ErrUserUnauthorized},
			"two addresses":               {oauth.Profile{Subject: "ada", Email: "ada@example.org, bob@example.org", EmailVerified: true}, latchkey.ErrUserUnauthorized},
			"a line break":                {oauth.Profile{Subject: "ada", Email: "ada@example.org\r\nBcc: x@example.org", EmailVerified: true}, latchkey.ErrUserUnauthorized},
			"an address of 321 bytes":     {oauth.Profile{Subject: "ada", Email: strings.Repeat("a", 309) + "@example.org", EmailVerified: true}, latchkey.ErrUserUnauthorized},
			"a full-width sign":           {oauth.Profile{Subject: "ada", Email: "ada\uff20example.org", EmailVerified: true}, latchkey.ErrUserUnauthorized},
			"an address that is no UTF-8": {oauth.Profile{Subject: "ada", Email: "ada\xff@example.org", EmailVerified: true}, latchkey.ErrUserUnauthorized},
		} {
			k.RefusesCallback(what, row.want, back(k, k.Acme, row.who))
		}
		if rows := k.Rows(); rows["users"]+rows["identities"]+rows["addresses"] != 0 {
			k.Errorf("%v", rows)
		}
		for name, want := range map[string]string{
			strings.Repeat("\u00e9", 200): strings.Repeat("\u00e9", 128), " A\x00da\n": "Ada", "": "", "\xff": "",
		} {
			s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "n" + fmt.Sprintf("%x", name)[:min(20, 2*len(name))], Email: fmt.Sprintf("n%d@example.net", len(name)), EmailVerified: true, Name: name})
			if user, err := k.Users().Get(k.Ctx, s.UserID); err != nil || user.Name != want {
				k.Errorf("%q: %+v, %v", name, user, err)
			}
		}
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "255" + strings.Repeat("x", 252), Email: "UPPER@Example.NET", EmailVerified: true})
		if user, err := k.Users().Get(k.Ctx, s.UserID); err != nil || user.Email != "upper@example.net" {
			k.Errorf("%+v, %v", user, err)
		}
	})
}

// A provider that hangs, fails or panics fails the sign-in alone, and what it says is shown nowhere.
func TestAProviderThatFailsIsShownToNobody(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		secret := errors.New("client_secret=hide-me")
		for what, fail := range map[string]func(){
			"exchange": func() { k.Acme.ExchangeErr = secret }, "profile": func() { k.Acme.ProfileErr = secret },
			"a panic": func() { k.Acme.Before = func(context.Context, string) { panic(secret) } },
		} {
			cb := back(k, k.Acme, adaAt)
			fail()
			err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb))
			var at *latchkey.OAuth2Error
			if !errors.Is(err, latchkey.ErrProviderFailed) || !errors.As(err, &at) || strings.Contains(fmt.Sprintf("%+v %#v", err, err), "hide-me") || errors.Is(err, secret) {
				k.Errorf("%s: %+v", what, err)
			}
			k.Acme.ExchangeErr, k.Acme.ProfileErr, k.Acme.Before = nil, nil, nil
		}
		k.Acme.AuthorizeErr = secret
		k.Refuses("authorize", latchkey.ErrProviderFailed, func() error {
			return kit.Err(k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL}))
		})
		k.Acme.AuthorizeErr = nil
		cb := back(k, k.Other, adaAt)
		ctx, cancel := context.WithCancel(k.Ctx)
		k.Other.Before = func(ctx context.Context, _ string) { cancel(); <-ctx.Done() }
		if err := kit.Err(k.Visitor.FinishOAuth2(ctx, cb)); !errors.Is(err, context.Canceled) {
			k.Errorf("a caller who hangs up: %v", err)
		}
		for what, text := range map[string]string{"registered": "access_denied", "invented": "hide-me"} {
			cb := back(k, k.Acme, adaAt)
			cb.Parameters = url.Values{"state": cb.Parameters["state"], "error": {text}, "error_description": {"hide-me"}}
			err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb))
			if !errors.Is(err, latchkey.ErrProviderRefused) || strings.Contains(err.Error(), "hide-me") || strings.Contains(err.Error(), text) != (what == "registered") {
				k.Errorf("%s: %v", what, err)
			}
		}
	})
}

// Starts are bounded: by client, by share of the clients, and so in all. A flood pushes out its own.
func TestStartsAreBoundedAndAFloodPushesOutItsOwn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		mine := k.Begin(k.Guest(kit.At(kit.Owner)), latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(adaAt))
		attacker := k.Guest(kit.At(kit.Attacker))
		first := k.Begin(attacker, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(adaAt))
		var last latchkey.OAuth2Callback
		for range 60 {
			last = k.Begin(attacker, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(oauth.Profile{Subject: "m", Email: kit.Bob}))
		}
		if n := k.Rows()["starts"]; n != 41 {
			k.Errorf("%d starts", n)
		}
		if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, first)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the first of the flood: %v", err)
		}
		k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, last)))
		k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, mine)))
		k.Clock.Advance(10 * time.Minute)
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if n := k.Rows()["starts"]; n != 0 || swept.Tokens != 39 {
			k.Errorf("%d starts are left, and %d tokens were swept", n, swept.Tokens)
		}
	})
}

// An identity that does not count goes with the address that has led to it, also in the sign-in that
// takes the address away.
func TestAnIdentityThatDoesNotCountGoesWithTheAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		k.SignInBy(k.Visitor, k.Acme, adaAt)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), false)))
		if s := k.SignInBy(k.Visitor, k.Acme, adaAt); s.UserID == account.UserID() {
			k.Error("signed in to the account with the authenticator")
		}
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		if list.Total != 1 || list.Identities[0].UserID == account.UserID() {
			k.Errorf("%+v", list.Identities)
		}
	})
}
