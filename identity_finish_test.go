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
				return k.Visitor.RedeemOAuth2Token(k.Ctx, token.UserID, token.Secret.Reveal(), begun.Binding)
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
			cb.Session = secret
			k.RefusesCallback(what, latchkey.ErrUnauthorized, cb)
		}
	})
}

var _ = fmt.Sprint
var _ = url.Values{}
