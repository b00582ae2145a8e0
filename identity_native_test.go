package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
)

// inApp is a sign-in of a person in an app.
func inApp(k *kit.Kit, who oauth.Profile) latchkey.IDTokenSignIn {
	return latchkey.IDTokenSignIn{Provider: "acme", Token: k.Acme.IDToken(who)}
}

// An ID token signs up, in again, and into the account with the proven address, as the browser does.
func TestAnIDTokenSignsInAsABrowserDoes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		r := inApp(k, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
		r.Name = "Eve\x00 Adams"
		first, err := k.Visitor.CreateIDTokenSession(k.Ctx, r)
		k.Must(err)
		user, err := k.Users().Get(k.Ctx, first.UserID)
		k.Must(err)
		k.Same("the user", []any{user.Email, user.EmailVerification, user.Name}, []any{"eve@example.org", true, "Eve Adams"})
		again, err := k.Visitor.CreateIDTokenSession(k.Ctx, inApp(k, oauth.Profile{Subject: "eve"}))
		k.Must(err)
		k.Same("the user of the second token", again.UserID, first.UserID)
		k.Same("the session", []any{again.Provider, again.ProviderUID, again.Factors}, []any{"acme", "eve", first.Factors})

		ada := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, ada.ID, true)))
		let, err := k.Visitor.CreateIDTokenSession(k.Ctx, inApp(k, oauth.Profile{Subject: "ada", Email: kit.Ada, EmailVerified: true}))
		k.Must(err)
		k.Same("the account with the address", let.UserID, ada.ID)
		k.Refuses("an address that is not proven", latchkey.ErrUserAlreadyExists, func() error {
			return kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, inApp(k, oauth.Profile{Subject: "mallory", Email: kit.Ada})))
		})
	})
}

// A user with a second factor owes it after an ID token too.
func TestASecondFactorIsOwedAfterAnIDToken(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s, err := k.Visitor.CreateIDTokenSession(k.Ctx, inApp(k, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true}))
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, s.UserID, true)))
		s, err = k.Visitor.CreateIDTokenSession(k.Ctx, inApp(k, oauth.Profile{Subject: "eve"}))
		k.Must(err)
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Errorf("%v", err)
		}
	})
}

// The claims of an ID token are taken once: by whoever comes first, on any machine, and after the
// end of everything.
func TestAnIDTokenIsTakenOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		r := inApp(k, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
		var all sync.WaitGroup
		results := make([]error, 8)
		for i := range results {
			all.Go(func() { results[i] = kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, r)) })
		}
		all.Wait()
		let := 0
		for _, err := range results {
			if err == nil {
				let++
			} else if !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%v", err)
			}
		}
		if let != 1 {
			k.Errorf("%d of 8 calls at once are let in", let)
		}
		used := func(when string) {
			k.Helper()
			if err := kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, r)); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%s: %v", when, err)
			}
		}
		used("again")
		k.Clock.Advance(10 * time.Minute)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		used("after a sweep, at the end of its life")
		k.Must(k.EndAll(k.Ctx))
		used("after EndAll")
		other := k.Configured(func(*latchkey.Config) {})
		if err := kit.Err(other.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("at another engine: %v", err)
		}
		list, err := k.Users().List(k.Ctx)
		k.Must(err)
		k.Must(k.Users().Delete(k.Ctx, list.Users[0].ID))
		used("after the end of its user")
		k.Clock.Advance(2 * time.Minute) // the provider takes it no more, on the slowest clock
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		rows, err := record.Failures.List(k.Ctx, k.Raw, store.Query{Index: record.Failures.Primary(), Equal: []store.Value{store.Text("idtoken")}, Limit: 10})
		k.Must(err)
		if len(rows) != 0 {
			k.Errorf("%d rows are left", len(rows))
		}
	})
}

// A refused sign-in changes nothing, and leaves the token good: its user may try again.
func TestARefusedIDTokenChangesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		good := inApp(k, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
		in := func(change func(r *latchkey.IDTokenSignIn)) func() error {
			r := good
			change(&r)
			return func() error { return kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, r)) }
		}
		invalid := latchkey.ErrArgumentInvalid
		k.Refuses("no token", invalid, in(func(r *latchkey.IDTokenSignIn) { r.Token = latchkey.Secret{} }))
		k.Refuses("a token of 16 KiB and a byte", invalid, in(func(r *latchkey.IDTokenSignIn) { r.Token = hidden.New(strings.Repeat("x", 16<<10+1)) }))
		k.Refuses("a long nonce", invalid, in(func(r *latchkey.IDTokenSignIn) { r.Nonce = hidden.New(strings.Repeat("x", 256)) }))
		k.Refuses("a long name", invalid, in(func(r *latchkey.IDTokenSignIn) { r.Name = strings.Repeat("x", 4097) }))
		k.Refuses("a name that is not UTF-8", invalid, in(func(r *latchkey.IDTokenSignIn) { r.Name = "\xff" }))
		k.Refuses("a name that is none", invalid, in(func(r *latchkey.IDTokenSignIn) { r.Provider = "a provider" }))
		k.Refuses("a provider that the engine has not", latchkey.ErrProviderDisabled, in(func(r *latchkey.IDTokenSignIn) { r.Provider = "google" }))
		for _, v := range []struct{ failure, want error }{
			{errors.ErrUnsupported, latchkey.ErrProviderDisabled}, {errors.New("no line"), latchkey.ErrProviderFailed}, {oauth.Failure("no keys"), latchkey.ErrProviderFailed}, {oauth.ErrSubject, latchkey.ErrProviderSubject},
		} {
			k.Acme.VerifyErr = v.failure
			k.Refuses(v.failure.Error(), v.want, in(func(*latchkey.IDTokenSignIn) {}))
		}
		k.Acme.VerifyErr = nil
		if err := in(func(r *latchkey.IDTokenSignIn) { r.Token = hidden.New("access token") })(); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("an unknown token: %v", err)
		}
		k.Must(in(func(*latchkey.IDTokenSignIn) {})())

		plain := k.Configured(func(c *latchkey.Config) { c.Providers = []oauth.Provider{onlyBrowser{k.Acme}} })
		if err := kit.Err(plain.Guest(kit.Client).CreateIDTokenSession(k.Ctx, good)); err != latchkey.ErrProviderDisabled {
			k.Errorf("a provider without native sign-in: %v", err)
		}
	})
}

// onlyBrowser is a provider that takes no ID tokens and no tokens back.
type onlyBrowser struct{ oauth.Provider }

// An identity is linked by an ID token to the account of a fresh session.
func TestAnIDTokenLinksAnIdentity(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Forget()
		result, err := account.LinkIDToken(k.Ctx, inApp(k, oauth.Profile{Subject: "ada", Email: "ada@work.example", EmailVerified: true}))
		k.Must(err)
		k.Same("linked", []any{result.Linked, result.Session == nil, result.Identity.UserID, result.Identity.ProviderUID}, []any{true, true, account.UserID(), "ada"})
		byToken, err := k.Visitor.CreateIDTokenSession(k.Ctx, inApp(k, oauth.Profile{Subject: "ada"}))
		k.Must(err)
		k.Same("the user", byToken.UserID, account.UserID())
		k.SignUp(kit.Bob)
		_, bob := k.SignIn(kit.Bob)
		k.Refuses("an identity of another user", latchkey.ErrIdentityAlreadyExists, func() error {
			return kit.Err(bob.LinkIDToken(k.Ctx, inApp(k, oauth.Profile{Subject: "ada"})))
		})
		k.Clock.Advance(time.Hour)
		k.Refuses("a session that is not fresh", latchkey.ErrChallengeRequired, func() error {
			return kit.Err(bob.LinkIDToken(k.Ctx, inApp(k, oauth.Profile{Subject: "bob"})))
		})
		session, guest := k.Anonymous()
		converted, err := guest.LinkIDToken(k.Ctx, inApp(k, oauth.Profile{Subject: "new", Email: "new@example.org", EmailVerified: true}))
		k.Must(err)
		if converted.Session == nil || converted.Session.ID != session.ID || converted.Session.Secret.Reveal() == session.Secret.Reveal() || converted.Session.UserID != session.UserID {
			k.Errorf("%+v", converted.Session)
		}
	})
}

// A session that ends while the provider is asked links nothing.
func TestNothingIsLinkedInASessionThatEndsMeanwhile(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Acme.Before = func(_ context.Context, call string) { k.Must(k.Users().DeleteSessions(k.Ctx, account.UserID())) }
		err := kit.Err(account.LinkIDToken(k.Ctx, inApp(k, oauth.Profile{Subject: "ada"})))
		list, listErr := k.Users().Identities(k.Ctx)
		k.Must(listErr)
		if !errors.Is(err, latchkey.ErrUnauthorized) || len(list.Identities) != 0 {
			k.Errorf("%v, %d identities", err, len(list.Identities))
		}
	})
}

// The tokens of an identity that is unlinked, or whose user is deleted, are revoked after the commit,
// and no caller waits for it.
func TestTokensOfADeletedIdentityAreRevoked(t *testing.T) {
	kit.OnEveryStore(t, keepsTokens, func(k *kit.Kit) {
		k.Acme.Revoked = make(chan oauth.Grant)
		want := func(grant oauth.Grant, code string) {
			k.Helper()
			k.Same("the grant", []string{grant.Issuer, grant.Access.Reveal(), grant.Refresh.Reveal()}, []string{k.Acme.About.Issuer, "access of " + code, "refresh of " + code})
		}
		account, _, id := adaByAcme(k)
		k.Must(account.DeleteIdentity(k.Ctx, id)) // and returns, although the provider does not
		want(<-k.Acme.Revoked, "acme-code-1")

		k.SignInBy(k.Visitor, k.Acme, acmeAda)
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		k.Must(k.Users().DeleteIdentity(k.Ctx, list.Identities[0].ID))
		want(<-k.Acme.Revoked, "acme-code-2")

		s := k.SignInBy(k.Visitor, k.Acme, acmeAda)
		k.Must(k.Users().Delete(k.Ctx, s.UserID))
		want(<-k.Acme.Revoked, "acme-code-3")

		s = k.SignInBy(k.Visitor, k.Acme, acmeAda)
		account, err = k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Must(account.Delete(k.Ctx))
		want(<-k.Acme.Revoked, "acme-code-4")
	})
}

// What is not deleted is not revoked, nor what the engine has not kept; and a provider that fails, or
// has no way to take tokens back, changes nothing.
func TestARevocationThatFailsChangesNothing(t *testing.T) {
	for _, v := range []struct {
		policy  latchkey.Policy
		failure error
		asked   int64
	}{{keepsTokens, errors.New("no line"), 1}, {keepsTokens, errors.ErrUnsupported, 1}, {kit.Documented, nil, 0}} {
		kit.OnEveryStore(t, v.policy, func(k *kit.Kit) {
			var asked atomic.Int64
			k.Acme.RevokeErr, k.Acme.Before = v.failure, func(_ context.Context, call string) {
				if call == "revoke" {
					asked.Add(1)
				}
			}
			_, s, _ := adaByAcme(k)
			k.SignInBy(k.Visitor, k.Acme, acmeAda)
			k.Must(k.Users().Delete(k.Ctx, s.UserID))
			k.Must(k.Close()) // which waits for revocations
			if asked.Load() != v.asked {
				k.Errorf("%v: the provider was asked %d times, want %d", v.failure, asked.Load(), v.asked)
			}
		})
	}
}

// An address that is verified no more is not half proven either, as if it had never been.
func TestAnAddressThatIsVerifiedNoMoreIsNotHalfProven(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: "ada"})))
		k.Must(kit.Err(account.CreateEmailVerification(k.Ctx, kit.VerifyURL)))
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, user.ID, k.Mail(kit.Ada).Secret)))
		half := func() string {
			row, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text(user.ID))
			k.Must(err)
			return row.Half
		}
		before := half()
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, false)))
		k.Same("half", []string{before, half()}, []string{"email", ""})
	})
}

// The data centre that a callback names reaches the provider, also through a form post, and no other one
// beside it.
func TestTheServerOfACallbackReachesTheProvider(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const server = "https://accounts.example.eu"
		begin := func() latchkey.OAuth2Callback {
			cb := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"}).Callback(k.Acme.Code(acmeAda))
			cb.Parameters.Set("accounts-server", server)
			return cb
		}
		k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, begin())))
		k.Same("by GET", k.Acme.Callback.Server, server)
		k.Acme.Callback = oauth.Callback{}
		cb := begin()
		k.Must(k.Visitor.PostOAuth2(k.Ctx, "acme", cb.Parameters))
		cb.Parameters = url.Values{"state": cb.Parameters["state"]}
		k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)))
		k.Same("by a form post", k.Acme.Callback.Server, server)
		cb = begin()
		k.Must(k.Visitor.PostOAuth2(k.Ctx, "acme", cb.Parameters))
		cb.Parameters = url.Values{"state": cb.Parameters["state"], "accounts-server": {server}}
		k.RefusesCallback("one beside a form post", latchkey.ErrInvalidToken, cb)
		for _, values := range [][]string{{server, server}, {strings.Repeat("x", 2049)}} {
			cb := begin()
			cb.Parameters["accounts-server"] = values
			k.RefusesCallback("a server", latchkey.ErrArgumentInvalid, cb)
		}
	})
}

// A session that may not link asks no provider.
func TestAStaleSessionAsksNoProvider(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Clock.Advance(time.Hour)
		k.Acme.Before = func(_ context.Context, call string) { k.Errorf("the provider is asked to %s", call) }
		k.Refuses("a stale session", latchkey.ErrChallengeRequired, func() error {
			return kit.Err(account.LinkIDToken(k.Ctx, inApp(k, oauth.Profile{Subject: "ada"})))
		})
	})
}

// A provider that has no way to take tokens back has not failed: the log says nothing.
func TestAProviderWithoutRevocationHasNotFailed(t *testing.T) {
	for failure, want := range map[error]bool{errors.ErrUnsupported: false, errors.New("no line"): true} {
		var log bytes.Buffer
		kit.OneByOne(t, keepsTokens, func(k *kit.Kit) {
			log.Reset()
			k.Acme.RevokeErr = failure
			engine := k.Configured(func(c *latchkey.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			session := k.SignInBy(engine.Guest(kit.Client), k.Acme, acmeAda)
			k.Must(engine.Users().Delete(k.Ctx, session.UserID))
			k.Must(engine.Close()) // which waits for the revocation
			if strings.Contains(log.String(), "a provider fails") != want {
				k.Errorf("%v: %s", failure, log.String())
			}
		})
	}
}
