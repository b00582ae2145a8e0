package attack_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// An identity that was linked before MFA was switched on is one factor, although its provider is
// trusted, until a session of it has proven a second one. That of the session that switches stays.
func TestAnIdentityFromBeforeMFAIsOneFactor(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{TrustProviderMFA: true}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		session, _ := k.SignIn(kit.Ada)
		thief, own := oauth.Profile{Subject: "thief", Email: "t@example.net"}, oauth.Profile{Subject: "own", Email: "o@example.net"}
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, thief)))
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, own)))
		mine := k.SignInBy(k.Visitor, k.Acme, own)
		account, err := k.Visitor.Authenticate(k.Ctx, mine.Secret.Reveal())
		k.Must(err)
		app := k.Confirmed(account, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Clock.Advance(30 * time.Second)
		if s := k.SignInBy(k.Visitor, k.Acme, own); !isFull(k, s) {
			k.Error("the identity of the session that has switched MFA on counts as one factor")
		}
		theirs := k.SignInBy(k.Visitor, k.Acme, thief)
		if isFull(k, theirs) {
			k.Fatal("an identity from before is two factors")
		}
		k.Must(kit.Err(k.Answers(owingBy(k, theirs), latchkey.FactorTOTP, app.Code())))
		if s := k.SignInBy(k.Visitor, k.Acme, thief); !isFull(k, s) {
			k.Error("an identity whose session has proven the authenticator is one factor still")
		}
	})
}

// What the mailbox has made before MFA was switched on ends with the switch: its sessions, and its
// sign-ins that are not handed over yet. It reserves nothing then.
func TestWhatTheMailboxHasMadeEndsWithTheSwitch(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		_, account := k.SignIn(kit.Ada)
		k.Confirmed(account, latchkey.NewMFAAuthenticator{})
		thief := k.SignInBy(k.Visitor, k.Acme, adaAt)
		begun := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme", Token: true, Unbound: true})
		result, err := k.Visitor.FinishOAuth2(k.Ctx, begun.Callback(k.Acme.Code(adaAt)))
		k.Must(err)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, thief.Secret.Reveal())); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("the session: %v", err)
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, result.Token.Secret.Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the token: %v", err)
		}
		i, err := k.Users().GetIdentity(k.Ctx, result.Identity.ID)
		k.Must(err)
		if i.ProviderEmailVerified {
			k.Error("the identity reserves the address")
		}
		// Another address of the mailbox's owner is free then.
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, kit.Bob)))
		k.SignUp(kit.Ada)
	})
}

// Two first sign-ins at once, of one person, do not end each other.
func TestAFirstSignInEndsNoOtherOne(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		first := k.SignInBy(k.Visitor, k.Acme, adaAt)
		k.SignInBy(k.Visitor, k.Acme, adaAt)
		k.Must(kit.Err(k.Answers(owingBy(k, first), latchkey.FactorTOTP, app.Code())))
	})
}

// An identity that never counted keeps nobody from linking it to their own account.
func TestAnIdentityThatDoesNotCountIsLinkedElsewhere(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		k.SignInBy(k.Visitor, k.Acme, adaAt)
		k.SignUp(kit.Bob)
		bob, _ := k.SignIn(kit.Bob)
		result, err := k.LinkBy(k.Visitor, bob.Secret, k.Acme, oauth.Profile{Subject: "ada-1"})
		k.Must(err)
		if result.Identity.UserID != bob.UserID {
			k.Errorf("linked to %s", result.Identity.UserID)
		}
	})
}

func TestAUserHasAtMostAHundredIdentities(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		link := func(n int) error {
			return kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: fmt.Sprint(n)}))
		}
		for n := range 100 {
			k.Must(link(n))
		}
		if err := link(100); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			k.Errorf("the next one: %v", err)
		}
		k.Must(link(50)) // a new sign-in by one of them
	})
}

// A session is extended although a token of its provider does not open, and a sign-in ends the time
// in which one call may refresh.
func TestExtendingNeedsNoTokenOfTheProvider(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, adaAt)
		account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		extend := func() { k.Helper(); k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession))) }
		k.Acme.RefreshErr = errors.New("no line")
		extend()
		k.Acme.RefreshErr = nil
		k.SignInBy(k.Visitor, k.Acme, adaAt)
		extend()
		if k.Acme.Renewed != 2 {
			k.Errorf("%d refreshes", k.Acme.Renewed)
		}
		rows, err := record.Identities.List(k.Ctx, k.Store, store.Query{Index: record.Identities.Primary(), Limit: 1})
		k.Must(err)
		k.Tampered = true
		rows[0].Refresh[len(rows[0].Refresh)-1] ^= 1
		k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error { return record.Identities.Replace(ctx, tx, rows[0]) }))
		k.Clock.Advance(time.Minute)
		extend()
	})
}

// The row of a start shows neither state, nor nonce, nor verifier, nor the code of a form post.
func TestAStartKeepsItsSecretsSealed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		begun := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"})
		cb := begun.Callback("the-code-of-the-post")
		k.Must(k.Visitor.PostOAuth2(k.Ctx, "acme", cb.Parameters))
		for _, row := range k.Everything()["starts"] {
			for _, secret := range []string{begun.State, begun.Binding.Reveal(), "the-code-of-the-post", "nonce", "verifier"} {
				if strings.Contains(row, secret) {
					k.Errorf("the row shows %q", secret)
				}
			}
		}
	})
}
