package latchkey_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
)

// acmeAda is Ada at the provider acme, who has proven her address there.
var acmeAda = oauth.Profile{Subject: "ada-1", Email: kit.Ada, EmailVerified: true, Name: "Ada L."}

func TestAPersonOfAProviderSignsUpAndInAgain(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		begun := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Success: "https://app.example.org/in", Failure: "https://app.example.org/out"})
		if begun.Binding.IsZero() || !begun.Expire.Equal(k.Clock.Now().Add(10*time.Minute)) {
			k.Errorf("start: %v", begun.OAuth2Start)
		}
		k.Forget()
		result, err := k.Visitor.FinishOAuth2(k.Ctx, begun.Callback(k.Acme.Code(acmeAda)))
		k.Must(err)
		s := result.Session
		if result.Success != "https://app.example.org/in" || result.Linked || result.Token != nil || s.Provider != "acme" || s.ProviderUID != "ada-1" || !slices.Equal(s.Factors, []string{"oauth2"}) {
			k.Errorf("%+v with %+v", result, s)
		}
		account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		user, err := account.User(k.Ctx)
		k.Must(err)
		if user.Email != kit.Ada || !user.EmailVerification || user.Name != "Ada L." || len(user.Targets) != 1 || !user.PasswordUpdate.IsZero() {
			k.Errorf("user: %+v", user)
		}
		var names []string
		for _, e := range k.Told.Take() {
			names = append(names, strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(e.Name, user.ID, "U"), result.Identity.ID, "I"), s.ID, "S"))
		}
		k.Same("events", names, []string{"users.U.create", "users.U.identities.I.create", "users.U.sessions.S.create"})
		k.Clock.Advance(time.Minute)
		again := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "ada-1", Email: kit.Bob, EmailVerified: true, Name: "Bob"})
		if again.UserID != user.ID {
			k.Errorf("signed in as %s", again.UserID)
		}
		list, err := account.Identities(k.Ctx)
		k.Must(err)
		if list.Total != 1 || list.Identities[0].ProviderEmail != kit.Bob || !list.Identities[0].ProviderEmailVerified || list.Identities[0].Issuer != "https://acme.example.com" {
			k.Errorf("identities: %+v", list.Identities)
		}
		user, err = account.User(k.Ctx)
		k.Must(err)
		if user.Email != kit.Ada || user.Name != "Ada L." {
			k.Errorf("overwritten: %+v", user)
		}
		if err := kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: kit.Password})); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
			k.Errorf("an address that an identity has: %v", err)
		}
	})
}

func TestAPersonIsLetIntoTheAccountWithTheirProvenAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		_, account := k.SignIn(kit.Ada)
		k.Forget()
		s := k.SignInBy(k.Visitor, k.Acme, acmeAda)
		if s.UserID != user.ID {
			k.Errorf("signed in as %s", s.UserID)
		}
		if m := k.Mail(kit.Ada); m.Kind != notify.IdentityChanged {
			k.Errorf("a message %v", m.Kind)
		}
		again := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "ada-1"})
		if again.UserID != user.ID {
			k.Errorf("then signed in as %s", again.UserID)
		}
		_, err := account.User(k.Ctx)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
	})
}

func TestATokenHandsASignInOver(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, unbound := range []bool{true, false} {
			begun := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true, Unbound: unbound})
			if begun.Binding.IsZero() != unbound {
				k.Errorf("unbound %v: %v", unbound, begun.Binding)
			}
			result, err := k.Visitor.FinishOAuth2(k.Ctx, begun.Callback(k.Acme.Code(acmeAda)))
			k.Must(err)
			token := result.Token
			if result.Session != nil || token.Secret.IsZero() || !token.Expire.Equal(k.Clock.Now().Add(time.Minute)) {
				k.Errorf("unbound %v: %+v", unbound, result)
			}
			redeem := func() (*latchkey.Session, error) {
				if unbound {
					return k.Visitor.CreateSession(k.Ctx, token.UserID, token.Secret.Reveal())
				}
				return k.Visitor.RedeemOAuth2Token(k.Ctx, token.UserID, token.Secret.Reveal(), begun.Binding.Reveal())
			}
			if !unbound {
				if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, token.Secret.Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("without the value at the browser: %v", err)
				}
			}
			s, err := redeem()
			k.Must(err)
			if s.Provider != "acme" || s.ProviderUID != "ada-1" || s.UserID != token.UserID {
				k.Errorf("unbound %v: %+v", unbound, s)
			}
			if err := kit.Err(redeem()); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("a second time: %v", err)
			}
		}
		result, err := k.Visitor.FinishOAuth2(k.Ctx, k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true, Unbound: true}).Callback(k.Acme.Code(acmeAda)))
		k.Must(err)
		k.Clock.Advance(time.Minute)
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, result.Token.UserID, result.Token.Secret.Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("after a minute: %v", err)
		}
	})
}

func TestAnIdentityIsLinkedInTheSessionThatHasBegun(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		other, _ := k.SignIn(kit.Ada)
		result, err := k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: "ada-1", Email: kit.Bob, EmailVerified: true})
		k.Must(err)
		if !result.Linked || result.Session != nil || result.Identity.UserID != account.UserID() || result.Identity.ProviderEmail != kit.Bob {
			k.Errorf("%+v", result)
		}
		if s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "ada-1"}); s.UserID != account.UserID() {
			k.Errorf("signed in as %s", s.UserID)
		}
		for what, secret := range map[string]latchkey.Secret{"another session": other.Secret, "no session": {}} {
			cb := k.Begin(account, latchkey.OAuth2Request{Provider: "other"}).Callback(k.Other.Code(acmeAda))
			cb.Session = secret.Reveal()
			k.RefusesCallback(what, latchkey.ErrUnauthorized, cb)
		}
	})
}

func TestAnAnonymousAccountBecomesAFullOne(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session, account := k.Anonymous()
		result, err := k.LinkBy(k.Visitor, session.Secret, k.Acme, acmeAda)
		k.Must(err)
		s := result.Session
		if !result.Linked || s.ID != session.ID || s.UserID != account.UserID() || s.Provider != "acme" || !slices.Equal(s.Factors, []string{"oauth2"}) || s.Secret.IsZero() {
			k.Fatalf("%+v", s)
		}
		if err := kit.Err(account.User(k.Ctx)); !errors.Is(err, latchkey.ErrSessionRenewed) {
			k.Errorf("the old secret: %v", err)
		}
		full, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		user, err := full.User(k.Ctx)
		k.Must(err)
		if user.Email != kit.Ada || !user.EmailVerification || user.Name != "Ada L." {
			k.Errorf("%+v", user)
		}
		if again := k.SignInBy(k.Visitor, k.Acme, acmeAda); again.UserID != user.ID {
			k.Errorf("signed in as %s", again.UserID)
		}
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		k.Must(k.Users().DeleteSessions(k.Ctx, user.ID))
		k.Clock.Advance(2 * 365 * 24 * time.Hour)
		if swept, err = k.Sweep(k.Ctx); err != nil || swept.Users != 0 {
			k.Errorf("%+v, %v", swept, err)
		}
		// Without an address the identity alone makes a full account of it.
		session, _ = k.Anonymous()
		_, err = k.LinkBy(k.Visitor, session.Secret, k.Other, oauth.Profile{Subject: "x"})
		k.Must(err)
	})
}

// An address that the provider has proven comes to the user who links, unless another user has
// proven it too.
func TestWhatLinkingDoesWithTheAddressOfTheProvider(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		link := func(who oauth.Profile) (*latchkey.User, error) {
			s, account := k.SignIn(kit.Bob)
			_, err := k.LinkBy(k.Visitor, s.Secret, k.Acme, who)
			user, failed := account.User(k.Ctx)
			k.Must(failed)
			return user, err
		}
		bob := k.SignUp(kit.Bob)
		ada := k.SignUp(kit.Ada) // has not proven the address
		user, err := link(oauth.Profile{Subject: "1", Email: kit.Ada, EmailVerified: false})
		k.Must(err)
		if user.Email != kit.Bob || user.EmailVerification {
			k.Errorf("an unproven address: %+v", user)
		}
		user, err = link(oauth.Profile{Subject: "1", Email: kit.Bob, EmailVerified: true})
		k.Must(err)
		if !user.EmailVerification {
			k.Errorf("the own address: %+v", user)
		}
		k.Must(kit.Err(link(oauth.Profile{Subject: "2", Email: kit.Ada, EmailVerified: true})))
		lost, err := k.Users().Get(k.Ctx, ada.ID)
		k.Must(err)
		if lost.Email != "" {
			k.Errorf("who has not proven the address has it still: %+v", lost)
		}
		if err := kit.Err(k.Users().UpdateEmail(k.Ctx, ada.ID, kit.Ada)); !errors.Is(err, latchkey.ErrEmailAlreadyExists) {
			k.Errorf("an address that an identity reserves: %v", err)
		}
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, bob.ID, kit.Ada))) // it is the user's own
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, bob.ID, kit.Bob)))
		if err := kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
			k.Errorf("the identity still reserves the address: %v", err)
		}
		token, code := k.AskCode(kit.Ada)
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
			k.Errorf("a code to an address that an identity has: %v", err)
		}
		cleo := k.SignUp("cleo@example.org")
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, cleo.ID, true)))
		for what, who := range map[string]oauth.Profile{
			"of a user who has proven it": {Subject: "3", Email: "cleo@example.org", EmailVerified: true},
		} {
			if _, err := link(who); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
				k.Errorf("%s: %v", what, err)
			}
		}
		k.SignInBy(k.Visitor, k.Other, oauth.Profile{Subject: "d", Email: "dora@example.org", EmailVerified: true})
		if _, err := link(oauth.Profile{Subject: "4", Email: "dora@example.org", EmailVerified: true}); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
			k.Errorf("of another identity: %v", err)
		}
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		for _, i := range list.Identities {
			if i.ProviderEmail == kit.Ada {
				k.Must(k.Users().DeleteIdentity(k.Ctx, i.ID))
			}
		}
		k.SignUp(kit.Ada) // free again
	})
}

// An identity that the address of a user with a second factor has led to counts only when that
// factor is proven. A mailbox in the wrong hands for a day makes no lasting way in.
func TestAnIdentityOfAUserWithAFactorCountsAfterTheFactor(t *testing.T) {
	for _, policy := range []latchkey.Policy{kit.Documented, {TrustProviderMFA: true}} {
		t.Run(fmt.Sprint("trusted ", policy.TrustProviderMFA), func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
				identities := func() int {
					list, err := k.Users().Identities(k.Ctx)
					k.Must(err)
					return len(list.Identities)
				}
				s := k.SignInBy(k.Visitor, k.Acme, acmeAda)
				var owed *latchkey.MoreFactorsError
				if _, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal()); !errors.As(err, &owed) || s.UserID != account.UserID() {
					k.Fatalf("%v", err)
				}
				// The mailbox is lost again. The identity opens nothing, and holds no address.
				k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, account.UserID(), "ada@example.net")))
				if s := k.SignInBy(k.Visitor, k.Acme, acmeAda); s.UserID == account.UserID() {
					k.Error("the identity of a session that has proven nothing signs in")
				} else {
					k.Must(k.Users().Delete(k.Ctx, s.UserID))
				}
				k.SignUp(kit.Ada)
				k.Must(k.Users().Delete(k.Ctx, k.IDOf(kit.Ada)))
				if n := identities(); n != 0 {
					k.Errorf("%d identities", n)
				}
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
				who := oauth.Profile{Subject: "ada-1", Email: "ada@example.net", EmailVerified: true}
				s = k.SignInBy(k.Visitor, k.Acme, who)
				if _, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal()); !errors.As(err, &owed) {
					k.Fatalf("%v", err)
				}
				k.Clock.Advance(30 * time.Second)
				challenge, err := owed.Pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
				k.Must(err)
				k.Must(kit.Err(owed.Pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code())))
				// Now it is the user's, whatever the address is.
				s = k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "ada-1"})
				_, err = k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
				if s.UserID != account.UserID() || errors.Is(err, latchkey.ErrMoreFactorsRequired) == policy.TrustProviderMFA {
					k.Errorf("as %s: %v", s.UserID, err)
				}
			})
		})
	}
}

// One factor by default, two if the host trusts its providers.
func TestASignInByAProviderCountsAsThePolicySays(t *testing.T) {
	for _, policy := range []latchkey.Policy{kit.Documented, {TrustProviderMFA: true}} {
		t.Run(fmt.Sprint("trusted ", policy.TrustProviderMFA), func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				s := k.SignInBy(k.Visitor, k.Acme, acmeAda)
				want := []string{"oauth2"}
				if policy.TrustProviderMFA {
					want = []string{"email", "oauth2"}
				}
				if !slices.Equal(s.Factors, want) {
					k.Errorf("factors %v", s.Factors)
				}
				account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
				k.Must(err)
				k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
				k.Must(kit.Err(account.User(k.Ctx)))
				again := k.SignInBy(k.Visitor, k.Acme, acmeAda)
				_, err = k.Visitor.Authenticate(k.Ctx, again.Secret.Reveal())
				if errors.Is(err, latchkey.ErrMoreFactorsRequired) == policy.TrustProviderMFA {
					k.Errorf("with MFA on: %v", err)
				}
				// A code to the mailbox is one factor, and the provider could prove another one.
				token, code := k.AskCode(kit.Ada)
				mail, err := k.Visitor.CreateSession(k.Ctx, token.UserID, code)
				k.Must(err)
				if err := kit.Err(k.Visitor.Authenticate(k.Ctx, mail.Secret.Reveal())); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
					k.Errorf("a code: %v", err)
				}
			})
		})
	}
}

// A session that was made by a provider and counts as two factors keeps the one of the provider
// when MFA is switched on elsewhere.
func TestTheProofOfAProviderIsTheFirstOfItsSession(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{TrustProviderMFA: true}, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, acmeAda)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, s.UserID, true)))
		list, err := k.Users().Sessions(k.Ctx, s.UserID)
		k.Must(err)
		if got := list.Sessions[0].Factors; !slices.Equal(got, []string{"oauth2"}) {
			k.Errorf("factors %v", got)
		}
	})
}

// Linking asks for a fresh session, and where the provider stands in for a second factor, for that.
func TestLinkingAsksForAFreshProof(t *testing.T) {
	for _, policy := range []latchkey.Policy{kit.Documented, {TrustProviderMFA: true}, {TrustProviderMFA: true, Factors: latchkey.FactorPolicy{EnrolWithoutStepUp: true}}} {
		t.Run(fmt.Sprintf("%v %v", policy.TrustProviderMFA, policy.Factors.EnrolWithoutStepUp), func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
				request := latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL}
				start := func() error { return kit.Err(account.StartOAuth2(k.Ctx, request)) }
				k.Clock.Advance(31 * time.Minute)
				err := start()
				if want := !policy.Factors.EnrolWithoutStepUp; errors.Is(err, latchkey.ErrChallengeRequired) != want {
					k.Errorf("an old session: %v", err)
				}
				session, pending := k.Owing(k.Visitor)
				k.Clock.Advance(30 * time.Second)
				challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
				k.Must(err)
				fresh, err := pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code())
				k.Must(err)
				if account, err = k.Visitor.Authenticate(k.Ctx, fresh.Secret.Reveal()); err != nil || session.ID != fresh.ID {
					k.Fatal(err)
				}
				k.Must(start())
				cb := k.Begin(account, request).Callback(k.Acme.Code(acmeAda))
				cb.Session = fresh.Secret.Reveal()
				k.Clock.Advance(9 * time.Minute)
				k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)))
			})
		})
	}
}

// A form post waits for its browser, which finishes it with the state alone.
func TestAFormPostWaitsForItsBrowser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		begin := func() latchkey.OAuth2Callback {
			cb := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(acmeAda))
			cb.Parameters.Set("user", `{"name":{"firstName":"Tim","lastName":"Berg"}}`)
			return cb
		}
		cb := begin()
		k.Must(k.Visitor.PostOAuth2(k.Ctx, "acme", cb.Parameters))
		for _, row := range k.Everything()["starts"] {
			if strings.Contains(row, "acme-code") || strings.Contains(row, "Berg") {
				k.Errorf("the row shows the parameters: %s", row)
			}
		}
		cb.Parameters = url.Values{"state": cb.Parameters["state"]}
		k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)))
		k.RefusesCallback("a second time", latchkey.ErrInvalidToken, cb)
		post := func(cb latchkey.OAuth2Callback) error { return k.Visitor.PostOAuth2(k.Ctx, "acme", cb.Parameters) }
		for what, spoil := range map[string]func(cb *latchkey.OAuth2Callback) error{
			"posted twice": func(cb *latchkey.OAuth2Callback) error { k.Must(post(*cb)); return post(*cb) },
			"of another provider": func(cb *latchkey.OAuth2Callback) error {
				return k.Visitor.PostOAuth2(k.Ctx, "other", cb.Parameters)
			},
			"with two codes": func(cb *latchkey.OAuth2Callback) error { cb.Parameters.Add("code", "x"); return post(*cb) },
			"too late":       func(cb *latchkey.OAuth2Callback) error { k.Clock.Advance(10 * time.Minute); return post(*cb) },
		} {
			cb := begin()
			if err := spoil(&cb); !errors.Is(err, latchkey.ErrInvalidToken) && !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", what, err)
			}
			cb.Parameters = url.Values{"state": cb.Parameters["state"]}
			k.RefusesCallback("then "+what, latchkey.ErrInvalidToken, cb)
		}
		cb = begin()
		k.Must(post(cb))
		k.RefusesCallback("a code beside the posted one", latchkey.ErrInvalidToken, cb)
		cb = begin()
		k.Must(post(cb))
		cb.Parameters, cb.Binding = url.Values{"state": cb.Parameters["state"]}, ""
		k.RefusesCallback("another browser", latchkey.ErrInvalidToken, cb)
	})
}
