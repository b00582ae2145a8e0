package latchkey_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
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

// The claims of an ID token are taken once: by the first call, on any machine, and after the end of
// everything.
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

// verifying is a provider whose VerifyIDToken is that of the test.
type verifying struct {
	oauth.Provider
	verify func(t *oauth.IDToken) (*oauth.Verified, error)
}

func (v verifying) VerifyIDToken(_ context.Context, t *oauth.IDToken) (*oauth.Verified, error) {
	return v.verify(t)
}

// A provider that leaves the claims out is refused, because its tokens could not be taken once. A token
// that has ended is refused, whatever the provider says, and one that lives long is remembered to its end.
func TestAProviderOfAHostIsHeldToTheRules(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var found oauth.Verified
		engine := k.Configured(func(c *latchkey.Config) {
			c.MaxClockStep = time.Minute
			c.Providers = []oauth.Provider{verifying{k.Acme, func(*oauth.IDToken) (*oauth.Verified, error) { v := found; return &v, nil }}}
		})
		in := func() error {
			return kit.Err(engine.Guest(kit.Client).CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: hidden.New("x")}))
		}
		found = oauth.Verified{Profile: oauth.Profile{Issuer: k.Acme.About.Issuer, Subject: "eve", Email: "eve@example.org", EmailVerified: true}, Expire: k.Clock.Now().Add(time.Minute)}
		k.Refuses("no claims", latchkey.ErrProviderFailed, in)
		rows := func() []*record.Failure {
			list, err := record.Failures.List(k.Ctx, k.Raw, store.Query{Index: record.Failures.Primary(), Equal: []store.Value{store.Text("idtoken")}, Limit: 10})
			k.Must(err)
			return list
		}
		found.Claims, found.Expire = hidden.New("{1}"), k.Clock.Now()
		if err := in(); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a token that has ended: %v", err)
		}
		end := k.Clock.Now().Add(24 * time.Hour)
		found.Claims, found.Expire = hidden.New("{2}"), end
		k.Must(in())
		latest := time.Time{}
		for _, row := range rows() {
			if row.Expire.After(latest) {
				latest = row.Expire
			}
		}
		if want := end.Add(time.Minute); latest.Before(want) {
			k.Errorf("it is forgotten at %s, before a clock that is a minute behind: %s", latest, want)
		}
	})
}

// A refused ID token is logged as a refused sign-in, whether it is none or was used.
func TestARefusedIDTokenIsLogged(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		refused := func() (n int) {
			logs, err := record.Logs.List(k.Ctx, k.Raw, store.Query{Index: record.Logs.Index("created"), Limit: 100})
			k.Must(err)
			for _, l := range logs {
				if l.Reason == latchkey.ErrInvalidToken.Type {
					n += int(l.Count)
				}
			}
			return n
		}
		r := inApp(k, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
		k.Must(kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, r)))
		k.Same("after a sign-in", refused(), 0)
		_ = kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, r))
		k.Same("a used token", refused(), 1)
		r.Token = hidden.New("none")
		_ = kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, r))
		k.Same("no token of the provider", refused(), 2)
	})
}
