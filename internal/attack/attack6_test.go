package attack_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
)

// owingBy returns the open operations of a session that owes a factor.
func owingBy(k *kit.Kit, s *latchkey.Session) *latchkey.Pending {
	k.Helper()
	_, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
	var owed *latchkey.MoreFactorsError
	if !errors.As(err, &owed) {
		k.Fatalf("the session does not owe a factor: %v", err)
	}
	return owed.Pending
}

// isFull reports whether a session is a full one.
func isFull(k *kit.Kit, s *latchkey.Session) bool {
	return kit.Err(k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())) == nil
}

// byMailCode asks for a challenge by mail and returns the session that its code makes.
func byMailCode(k *kit.Kit, p *latchkey.Pending, to string) (*latchkey.Session, error) {
	k.Helper()
	c, err := p.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
	if err != nil {
		return nil, err
	}
	return p.ConfirmMFAChallenge(k.Ctx, c.ID, k.Message(c.ID, to).Secret)
}

// A mailbox alone opens no account with a second factor, also with an account at a provider that was
// made with the mailbox.
func TestAttack6AMailboxWithAProviderIsOneProof(t *testing.T) {
	for _, trust := range []bool{false, true} {
		policy := kit.Documented
		policy.TrustProviderMFA = trust
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
			s := k.SignInBy(k.Visitor, k.Acme, adaAt)
			p := owingBy(k, s)
			if got, err := byMailCode(k, p, kit.Ada); err == nil && isFull(k, got) {
				k.Errorf("trust %v: the mailbox alone holds a full session", trust)
			}
			byCode := signInByCode(k)
			if got, err := byMailCode(k, owingBy(k, byCode), kit.Ada); err == nil && isFull(k, got) {
				k.Errorf("trust %v: the mailbox alone holds a full session by a code", trust)
			}
		})
	}
}

// An account at a provider alone opens no account with a second factor: an address that the
// provider tells before the second factor is proven is no second factor.
func TestAttack6AProviderSetsNoFactorBeforeTheSecondOne(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "ada", Email: "shown@example.net"})
		account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Confirmed(account, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Clock.Advance(time.Minute)
		theirs := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "ada", Email: "mallory@example.net", EmailVerified: true})
		p := owingBy(k, theirs)
		if got, err := byMailCode(k, p, "mallory@example.net"); err == nil && isFull(k, got) {
			k.Error("the provider alone holds a full session")
		}
		user, err := k.Users().Get(k.Ctx, account.UserID())
		k.Must(err)
		if user.Email != "" {
			k.Errorf("a session that owes a factor has set the address %s", user.Email)
		}
	})
}

// A thief of the mailbox who has made an account at a provider before MFA was switched on is no
// further than with the mailbox afterwards.
func TestAttack6AnIdentityThatTheMailboxHasPreparedIsNoSecondFactor(t *testing.T) {
	for _, trust := range []bool{false, true} {
		policy := kit.Documented
		policy.TrustProviderMFA = trust
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			user := k.SignUp(kit.Ada)
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
			k.SignInBy(k.Visitor, k.Acme, adaAt) // by the thief
			_, account := k.SignIn(kit.Ada)
			k.Confirmed(account, latchkey.NewMFAAuthenticator{})
			k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
			k.Clock.Advance(time.Minute)
			s := k.SignInBy(k.Visitor, k.Acme, adaAt)
			if isFull(k, s) {
				k.Errorf("trust %v: the prepared identity alone holds a full session", trust)
				return
			}
			if got, err := byMailCode(k, owingBy(k, s), kit.Ada); err == nil && isFull(k, got) {
				k.Errorf("trust %v: the mailbox and what it has prepared hold a full session", trust)
			}
		})
	}
}

// A JWT of an anonymous session that was planted dies when its user makes a full account of it.
func TestAttack6AJWTOfAPlantedAnonymousSessionDiesWithTheConversion(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		planted, account := k.Anonymous()
		token, err := account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		k.Must(kit.Err(k.LinkBy(k.Visitor, planted.Secret, k.Acme, adaAt)))
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, planted.Secret.Reveal())); !errors.Is(err, latchkey.ErrSessionRenewed) {
			k.Errorf("the planted secret: %v", err)
		}
		if a, err := k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal()); err == nil {
			got, err := a.User(k.Ctx)
			k.Errorf("the planted JWT reads %v, %v", got, err)
		}
	})
}

// A user with MFA on is not kept out because a provider is not configured any more.
func TestAttack6AProviderThatIsGoneKeepsNobodyOut(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, adaAt)
		account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		without := k.Configured(func(c *latchkey.Config) { c.Providers = []oauth.Provider{k.Other} })
		guest := without.Guest(kit.Client)
		token, code := k.AskCode(kit.Ada)
		got, err := guest.CreateSession(k.Ctx, token.UserID, code)
		k.Must(err)
		k.Must(kit.Err(guest.Authenticate(k.Ctx, got.Secret.Reveal())))
	})
}

// A refresh token that was redeemed is stored also if the session ends meanwhile.
func TestAttack6ARenewalIsStoredAlthoughTheSessionHasEnded(t *testing.T) {
	policy := kit.Documented
	policy.KeepProviderTokens = true
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, adaAt)
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		id := list.Identities[0].ID
		for what, end := range map[string]func(){
			"ended":   func() { k.Must(k.Users().DeleteSessions(k.Ctx, s.UserID)) },
			"blocked": func() { k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, s.UserID, false))) },
		} {
			k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, s.UserID, true)))
			s := k.SignInBy(k.Visitor, k.Acme, adaAt)
			account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
			k.Must(err)
			before, err := k.Users().ProviderTokens(k.Ctx, id)
			k.Must(err)
			k.Acme.Before = func(_ context.Context, call string) {
				if call == "refresh" {
					end()
				}
			}
			k.Clock.Advance(time.Minute)
			if err := kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)); err == nil {
				k.Errorf("%s: the session was extended", what)
			}
			k.Acme.Before = nil
			after, err := k.Users().ProviderTokens(k.Ctx, id)
			k.Must(err)
			if after.Refresh.Reveal() == before.Refresh.Reveal() {
				k.Errorf("%s: the refresh token that was redeemed is still there", what)
			}
		}
	})
}

// A user whose identity has proven an address has proven it, also as their own address.
func TestAttack6AnAddressThatTheIdentityHasProvenSignsIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, adaAt)
		account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password)))
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
		token, code := k.AskCode(kit.Ada)
		got, err := k.Visitor.CreateSession(k.Ctx, token.UserID, code)
		if err != nil {
			k.Errorf("a code to the address: %v", err)
		} else if got.UserID != s.UserID {
			k.Errorf("signed in as another user")
		}
		got2, err := k.Visitor.FinishOAuth2(k.Ctx, back(k, k.Other, adaAt))
		if err != nil || got2.Session.UserID != s.UserID {
			k.Errorf("another provider: %v", err)
		}
	})
}

// An identity that never counted reserves no address once its user has another one.
func TestAttack6AnIdentityThatNeverCountedReservesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		k.SignInBy(k.Visitor, k.Acme, adaAt)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password)))
		k.Clock.Advance(24 * time.Hour)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		if err := kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})); err != nil {
			k.Errorf("the next owner of the address: %v", err)
		}
	})
}

// The former mailbox of a user redeems nothing that it has asked for.
func TestAttack6AHandOverByAFormerAddressIsWorthNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		_, account := k.SignIn(kit.Ada)
		begun := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true})
		result, err := k.Visitor.FinishOAuth2(k.Ctx, begun.Callback(k.Acme.Code(adaAt)))
		k.Must(err)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password)))
		s, err := k.Visitor.RedeemOAuth2Token(k.Ctx, result.Token.UserID, result.Token.Secret.Reveal(), begun.Binding.Reveal())
		if err == nil && isFull(k, s) {
			k.Error("the former mailbox holds a full session")
		}
	})
}

// Tokens of a provider that the policy does not keep any more are shown to nobody.
func TestAttack6TokensAreNotShownOnceThePolicyKeepsNone(t *testing.T) {
	policy := kit.Documented
	policy.KeepProviderTokens = true
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignInBy(k.Visitor, k.Acme, adaAt)
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		without := k.Configured(func(c *latchkey.Config) { c.Policy.KeepProviderTokens = false })
		got, err := without.Users().ProviderTokens(k.Ctx, list.Identities[0].ID)
		if err != nil || !got.Access.IsZero() || !got.Refresh.IsZero() {
			k.Errorf("%v", err)
			k.Error("the tokens are shown")
		}
	})
}

// A start that has a form post stays within the bound that its documentation gives.
func TestAttack6AFormPostStaysWithinTheBoundOfAStart(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		begun := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"})
		cb := begun.Callback(strings.Repeat("<", 2048))
		cb.Parameters.Set("error", strings.Repeat("<", 1900))
		cb.Parameters.Set("iss", strings.Repeat("<", 1900))
		cb.Parameters.Set("user", `{"x":"`+strings.Repeat("<", 4000)+`"}`)
		err := k.Visitor.PostOAuth2(k.Ctx, "acme", cb.Parameters)
		if err != nil {
			return // refused, which is good too
		}
		for _, row := range k.Everything()["starts"] {
			if len(row) > 3*8<<10 { // a dump writes two digits for a byte, and more
				k.Errorf("the row of a start is dumped as %d bytes", len(row))
			}
		}
	})
}

// A mailbox alone opens no account whose user has an identity and MFA on, also by a recovery.
func TestAttack6ARecoveryDoesNotReplaceTheIdentity(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, adaAt)
		account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		if isFull(k, signInByCode(k)) {
			k.Error("a code alone holds a full session")
		}
		k.Must(k.Recover(k.Recovery()))
		p, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
		k.Must(err)
		if isFull(k, p) {
			k.Error("a recovery alone holds a full session")
			return
		}
		if got, err := byMailCode(k, owingBy(k, p), kit.Ada); err == nil && isFull(k, got) {
			k.Error("a recovery and a code to the same mailbox hold a full session")
		}
	})
}

// An answer that leaves a factor owed makes no identity count.
func TestAttack6AnIdentityCountsOnlyOnceNothingIsOwed(t *testing.T) {
	for _, trust := range []bool{false, true} {
		policy := kit.Documented
		policy.TrustProviderMFA = trust
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
			for range 3 {
				s := k.SignInBy(k.Visitor, k.Acme, adaAt)
				if isFull(k, s) {
					k.Errorf("trust %v: the mailbox alone holds a full session", trust)
					return
				}
				if got, err := byMailCode(k, owingBy(k, s), kit.Ada); err == nil && isFull(k, got) {
					k.Errorf("trust %v: the mailbox alone holds a full session", trust)
					return
				}
			}
		})
	}
}

// The authenticator lets a person in whom the provider has found by the address, and the identity
// counts from then on.
func TestAttack6AnIdentityCountsOnceTheAuthenticatorIsShown(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		s := k.SignInBy(k.Visitor, k.Acme, adaAt)
		got, err := k.Answers(owingBy(k, s), latchkey.FactorTOTP, app.Code())
		k.Must(err)
		if !isFull(k, got) {
			k.Error("the authenticator does not let the owner in")
		}
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, account.UserID(), kit.Bob)))
		if s := k.SignInBy(k.Visitor, k.Acme, adaAt); s.UserID != account.UserID() {
			k.Error("the identity does not count")
		}
	})
}
