package attack_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
)

// wayIn describes a user beside an identity of the provider acme.
type wayIn struct {
	user   latchkey.NewUser
	proven bool                   // the address and the number
	off    latchkey.Methods       // that the host has switched off
	config func(*latchkey.Config) // of the host
	other  bool                   // an identity of the provider other
	then   func(k *kit.Kit, id string)
}

// AC-074: the last identity stays unless the user can sign in in another way.
func TestAC074TheLastIdentityStaysWithoutAnotherWayIn(t *testing.T) {
	noMail := func(c *latchkey.Config) { c.Notifier = nil }
	noTexts := func(c *latchkey.Config) { c.SMS = nil }
	byMail := latchkey.MethodMagicURL | latchkey.MethodEmailOTP
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for what, w := range map[string]struct {
			wayIn
			enough bool
		}{
			"nothing":                                {wayIn{}, false},
			"a password with an address":             {wayIn{user: latchkey.NewUser{Email: kit.Ada, Password: kit.Password}}, true},
			"a password without an address":          {wayIn{user: latchkey.NewUser{Phone: kit.Phone, Password: kit.Password}}, false},
			"a password that is switched off":        {wayIn{user: latchkey.NewUser{Email: kit.Ada, Password: kit.Password}, off: latchkey.MethodEmailPassword}, false},
			"an address that is not proven":          {wayIn{user: latchkey.NewUser{Email: kit.Ada}}, false},
			"a proven address":                       {wayIn{user: latchkey.NewUser{Email: kit.Ada}, proven: true}, true},
			"a proven address for links alone":       {wayIn{user: latchkey.NewUser{Email: kit.Ada}, proven: true, off: latchkey.MethodEmailOTP}, true},
			"a proven address that is switched off":  {wayIn{user: latchkey.NewUser{Email: kit.Ada}, proven: true, off: byMail}, false},
			"a proven address to which nothing goes": {wayIn{user: latchkey.NewUser{Email: kit.Ada}, proven: true, config: noMail}, false},
			"a number that is not proven":            {wayIn{user: latchkey.NewUser{Phone: kit.Phone}}, false},
			"a proven number":                        {wayIn{user: latchkey.NewUser{Phone: kit.Phone}, proven: true}, true},
			"a proven number that is switched off":   {wayIn{user: latchkey.NewUser{Phone: kit.Phone}, proven: true, off: latchkey.MethodPhone}, false},
			"a proven number to which nothing goes":  {wayIn{user: latchkey.NewUser{Phone: kit.Phone}, proven: true, config: noTexts}, false},
			"another identity":                       {wayIn{other: true}, true},
			"an identity of a provider that is gone": {wayIn{other: true, config: func(c *latchkey.Config) { c.Providers = c.Providers[:1] }}, false},
			"an identity that does not count yet": {wayIn{user: latchkey.NewUser{Email: kit.Ada}, proven: true, off: byMail, then: func(k *kit.Kit, id string) {
				k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, id, true)))
				k.SignInBy(k.Visitor, k.Other, adaAt)
			}}, false},
		} {
			user, err := k.Users().Create(k.Ctx, w.user)
			k.Must(err)
			if w.proven && w.user.Email != "" {
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
			}
			if w.proven && w.user.Phone != "" {
				k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
			}
			session, err := k.Users().CreateSession(k.Ctx, user.ID)
			k.Must(err)
			last, err := k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: "1"})
			k.Must(err)
			if last.Session != nil { // the account was an anonymous one
				session = last.Session
			}
			if w.other {
				k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Other, oauth.Profile{Subject: "1"})))
			}
			if w.then != nil {
				w.then(k, user.ID)
			}
			host := k.Configured(func(c *latchkey.Config) {
				c.Policy.Disabled = w.off
				if w.config != nil {
					w.config(c)
				}
			})
			if err := host.Users().DeleteIdentity(k.Ctx, last.Identity.ID); (err == nil) != w.enough || err != nil && !errors.Is(err, latchkey.ErrLastWayIn) {
				k.Errorf("%s: %v", what, err)
			}
			k.DeleteAll()
		}
	})
}

// A token that is not redeemed yet ends with its identity. The session of an anonymous account that
// became a full one ends with it too. Only a fresh session unlinks an identity.
func TestTokensAndConvertedSessionsEndWithTheirIdentity(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		anonymous, _ := k.Anonymous()
		result, err := k.LinkBy(k.Visitor, anonymous.Secret, k.Acme, adaAt)
		k.Must(err)
		account := authenticated(k, result.Session.Secret)
		k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true}).Callback(k.Acme.Code(adaAt)))))
		k.Clock.Advance(31 * time.Minute)
		k.Refuses("an old session", latchkey.ErrChallengeRequired, func() error { return account.DeleteIdentity(k.Ctx, result.Identity.ID) })
		k.Must(k.Users().DeleteIdentity(k.Ctx, result.Identity.ID))
		if n := k.Rows()["tokens"]; n != 0 {
			k.Errorf("%d tokens are left", n)
		}
		k.Refuses("the session that it has made a full one", latchkey.ErrUnauthorized, func() error { return kit.Err(account.User(k.Ctx)) })
	})
}

// Where a provider stands in for the authenticator, a mailbox alone links none.
func TestLinkingAsksForTheAuthenticatorThatTheProviderStandsInFor(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{TrustProviderMFA: true}, func(k *kit.Kit) {
		app := protects(k, owned(k))
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		answerByMail(k, pendingOf(k, session.Secret), &session)
		thief := authenticated(k, session.Secret)
		k.Refuses("a mailbox", latchkey.ErrChallengeRequired, func() error { return kit.Err(thief.StartOAuth2(k.Ctx, request("acme"))) })
		k.Clock.Advance(30 * time.Second)
		k.Must(kit.Err(shows(k, thief, latchkey.FactorTOTP, app.Code()).StartOAuth2(k.Ctx, request("acme"))))
	})
}

// The session that links is asked at every step: before the provider is, and in the transaction.
func TestTheSessionThatLinksIsAskedAtEveryStep(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := owned(k)
		calls := 0
		watch := func(at string, then func()) {
			calls = 0
			k.Acme.Before = func(_ context.Context, call string) {
				if calls++; call == at {
					then()
				}
			}
		}
		end := func() { k.Must(k.Users().DeleteSessions(k.Ctx, user.UserID())) }
		session := byPassword(k)
		account := authenticated(k, session.Secret)
		k.Clock.Advance(25 * time.Minute)
		cb := k.Begin(account, request("acme")).Callback(k.Acme.Code(oauth.Profile{Subject: "1"}))
		cb.Session = session.Secret.Reveal()
		k.Clock.Advance(9 * time.Minute)
		watch("", end)
		k.Refuses("a start in an old session", latchkey.ErrChallengeRequired, func() error { return kit.Err(account.StartOAuth2(k.Ctx, request("acme"))) })
		k.RefusesCallback("a session that is old by now", latchkey.ErrChallengeRequired, cb)
		if calls != 0 {
			k.Errorf("the provider was asked %d times", calls)
		}
		account = authenticated(k, byPassword(k).Secret)
		watch("authorize", end)
		if err := kit.Err(account.StartOAuth2(k.Ctx, request("acme"))); !errors.Is(err, latchkey.ErrUnauthorized) || len(starts(k)) != 0 {
			k.Errorf("a session that ends during the start: %v, %d starts", err, len(starts(k)))
		}
		watch("", end)
		session = byPassword(k)
		cb = k.Begin(authenticated(k, session.Secret), request("acme")).Callback(k.Acme.Code(oauth.Profile{Subject: "1"}))
		cb.Session = session.Secret.Reveal()
		watch("profile", end)
		if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)); !errors.Is(err, latchkey.ErrUnauthorized) || len(identities(k)) != 0 {
			k.Errorf("a session that ends during the callback: %v, %d identities", err, len(identities(k)))
		}
	})
}

// Linking takes an address only from a user that has not proven it, and only if the provider has.
func TestLinkingTakesNoAddressThatIsAnothers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := confirmedAlone(k) // by a link that was opened without a session
		k.SignUp(kit.Bob)
		bob, _ := k.SignIn(kit.Bob)
		k.SignUp("cleo@example.org")
		cleo, _ := k.SignIn("cleo@example.org")
		if err := kit.Err(k.LinkBy(k.Visitor, bob.Secret, k.Acme, adaAt)); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
			k.Errorf("of a user whose link was opened: %v", err)
		}
		k.Must(kit.Err(k.LinkBy(k.Visitor, bob.Secret, k.Acme, oauth.Profile{Subject: "1", Email: "cleo@example.org"})))
		for who, want := range map[*latchkey.Account]string{ada: kit.Ada, authenticated(k, cleo.Secret): "cleo@example.org"} {
			user, err := who.User(k.Ctx)
			k.Must(err)
			if user.Email != want {
				k.Errorf("%s is lost: %+v", want, user)
			}
		}
		k.Must(kit.Err(k.LinkBy(k.Visitor, bob.Secret, k.Acme, oauth.Profile{Subject: "2", Email: "x@example.net", EmailVerified: true})))
		if err := kit.Err(k.LinkBy(k.Visitor, cleo.Secret, k.Other, oauth.Profile{Subject: "2", Email: "x@example.net", EmailVerified: true})); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
			k.Errorf("of an identity of another user: %v", err)
		}
	})
}

// An address of a provider that is none proves nothing to a user without an address.
func TestAnAddressThatIsNoneProvesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Phone: kit.Phone})
		k.Must(err)
		session, err := k.Users().CreateSession(k.Ctx, user.ID)
		k.Must(err)
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: "1", Email: "ada @example.org", EmailVerified: true})))
		if user, err = k.Users().Get(k.Ctx, user.ID); err != nil || user.EmailVerification {
			k.Errorf("%+v, %v", user, err)
		}
	})
}

// The refusal of an address that an identity has commits, as the count of a wrong password does. So
// a store that does not commit tells nothing of the password.
func TestA2ARefusalOfTheAddressOfAnIdentityCommits(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Bob)
		bob, _ := k.SignIn(kit.Bob)
		k.Must(kit.Err(k.LinkBy(k.Visitor, bob.Secret, k.Acme, oauth.Profile{Subject: "1", Email: "x@example.net", EmailVerified: true})))
		owner := owned(k)
		whole := k.Store.Store
		k.Store.Store = uncommitted{whole}
		err := kit.Err(owner.UpdateEmail(k.Ctx, "x@example.net", kit.Password))
		k.Store.Store = whole
		if err == nil || !strings.HasSuffix(err.Error(), "internal error") {
			k.Error(err)
		}
	})
}

// accessOnly is a provider that gives no refresh token.
type accessOnly struct{ *kit.Provider }

func (p accessOnly) Exchange(ctx context.Context, f *oauth.Flow) (*oauth.Tokens, error) {
	t, err := p.Provider.Exchange(ctx, f)
	if err == nil {
		t.Refresh = hidden.Text{}
	}
	return t, err
}

// kept signs Ada in by a provider whose tokens are kept.
func kept(k *kit.Kit) (*latchkey.Account, string) {
	k.Helper()
	account := authenticated(k, k.SignInBy(k.Visitor, k.Acme, adaAt).Secret)
	return account, identities(k)[0].ID
}

// tokensAre reports other tokens of an identity than these.
func tokensAre(k *kit.Kit, what, id, want string) {
	k.Helper()
	tokens, err := k.Users().ProviderTokens(k.Ctx, id)
	k.Must(err)
	if got := fmt.Sprintf("%s, %s", tokens.Access.Reveal(), tokens.Refresh.Reveal()); got != want {
		k.Errorf("%s: %s, want %s", what, got, want)
	}
}

// A refresh does not overwrite the tokens of a sign-in that came meanwhile, and once it has come
// back the next one may begin.
func TestARefreshLeavesTheTokensOfALaterSignIn(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
		account, id := kept(k)
		k.Acme.Before = func(_ context.Context, call string) {
			if call == "refresh" {
				k.Acme.Before = nil
				k.SignInBy(k.Visitor, k.Acme, adaAt)
			}
		}
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		tokensAre(k, "after a sign-in meanwhile", id, "access of acme-code-2, refresh of acme-code-2")
		k.Clock.Advance(time.Minute)
		for range 2 {
			k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		}
		tokensAre(k, "after two more", id, "new access, refresh of acme-code-2++")
	})
}

// A refresh that was lost while the clock was ahead keeps no other one waiting until that time.
func TestARefreshFromAheadOfTheClockIsMadeAgain(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
		account, id := kept(k)
		k.Acme.RefreshErr = errors.New("no line")
		k.Clock.Advance(time.Hour)
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		k.Clock.Advance(-time.Hour)
		k.Acme.RefreshErr = nil
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		tokensAre(k, "afterwards", id, "new access, refresh of acme-code-1+")
	})
}

// Once the policy keeps no tokens, those of before are not refreshed, and go with the next sign-in.
func TestAPolicyThatKeepsNoTokensUsesNone(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
		_, id := kept(k)
		off := k.Configured(func(c *latchkey.Config) { c.Policy.KeepProviderTokens = false })
		session, err := k.Users().Sessions(k.Ctx, identities(k)[0].UserID)
		k.Must(err)
		extended, err := off.Guest(kit.Client).Authenticate(k.Ctx, k.SignInBy(k.Visitor, k.Acme, adaAt).Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(extended.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		if k.Acme.Renewed != 0 || len(session.Sessions) != 1 {
			k.Errorf("%d refreshes", k.Acme.Renewed)
		}
		k.SignInBy(off.Guest(kit.Client), k.Acme, adaAt)
		tokensAre(k, "after a sign-in", id, ", ")
	})
}

// A refresh token under an old key is sealed anew also beside an access token under the new one.
func TestARefreshTokenIsResealedBesideAnAccessTokenOfTheNewKey(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
		_, id := kept(k)
		old, fresh := k.Keys.Active, latchkey.GenerateKey()
		both := k.Configured(func(c *latchkey.Config) {
			c.Keys, c.Providers = latchkey.Keys{Active: fresh, Old: []latchkey.Key{old}}, []oauth.Provider{accessOnly{k.Acme}}
		})
		k.SignInBy(both.Guest(kit.Client), k.Acme, adaAt)
		k.Must(kit.Err(both.Reseal(k.Ctx)))
		k.Engine = k.WithKeys(latchkey.Keys{Active: fresh})
		tokensAre(k, "after the reseal", id, "access of acme-code-2, refresh of acme-code-1")
	})
}

// The tokens of a provider are for fresh sessions, also where the policy asks for no step-up.
func TestAC076TokensAskForAFreshSessionUnderEveryPolicy(t *testing.T) {
	policy := latchkey.Policy{KeepProviderTokens: true, Factors: latchkey.FactorPolicy{EnrolWithoutStepUp: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		account, id := kept(k)
		k.Clock.Advance(31 * time.Minute)
		k.Refuses("an old session", latchkey.ErrChallengeRequired, func() error { return kit.Err(account.ProviderTokens(k.Ctx, id)) })
	})
}
