package attack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// appOf is a sign-in of a person in an app.
func appOf(k *kit.Kit, who oauth.Profile) latchkey.IDTokenSignIn {
	return latchkey.IDTokenSignIn{Provider: "acme", Token: k.Acme.IDToken(who)}
}

// keeping is the policy that keeps the tokens of providers.
var keeping = latchkey.Policy{KeepProviderTokens: true}

// An ID token is taken once by all of signing in and linking together, on two machines with other
// active keys, after Reseal, after EndAll, and after its user was deleted.
func TestAttackAnIDTokenIsTakenOnceByEverything(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		used := latchkey.ErrInvalidToken
		k.SignUp(kit.Bob)
		_, bob := k.SignIn(kit.Bob)
		eve := oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true}
		r := appOf(k, eve)
		first, err := k.Visitor.CreateIDTokenSession(k.Ctx, r)
		k.Must(err)
		newer := k.WithKeys(latchkey.Keys{Active: latchkey.GenerateKey(), Old: []latchkey.Key{k.Keys.Active}})
		again := func(when string) {
			k.Helper()
			for machine, e := range map[string]*latchkey.Engine{"the first": k.Engine, "the second": newer} {
				if err := kit.Err(e.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r)); !errors.Is(err, used) {
					k.Errorf("%s, on %s: %v", when, machine, err)
				}
			}
			// EndAll ends the session of Bob too.
			if err := kit.Err(bob.LinkIDToken(k.Ctx, r)); !errors.Is(err, used) && !errors.Is(err, latchkey.ErrUnauthorized) {
				k.Errorf("%s, linking: %v", when, err)
			}
		}
		again("again")
		k.Must(kit.Err(newer.Reseal(k.Ctx)))
		again("after Reseal")
		k.Must(newer.Users().Delete(k.Ctx, first.UserID))
		again("after its user was deleted")
		k.Must(k.EndAll(k.Ctx))
		again("after EndAll")
		k.Clock.Advance(9 * time.Minute)
		k.Must(kit.Err(newer.Sweep(k.Ctx)))
		again("after a sweep")
	})
}

// Of sign-ins and links with one token at once, one is let in.
func TestAttackOfSignInsAndLinksAtOnceOneIsTaken(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, ada := k.SignIn(kit.Ada)
		_, guest := k.Anonymous()
		second := k.Configured(func(*latchkey.Config) {})
		r := appOf(k, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
		var all sync.WaitGroup
		var let atomic.Int64
		for i := range 9 {
			all.Go(func() {
				var err error
				switch i % 3 {
				case 0:
					err = kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, r))
				case 1:
					err = kit.Err(second.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r))
				default:
					err = kit.Err([]*latchkey.Account{ada, guest}[i/3%2].LinkIDToken(k.Ctx, r))
				}
				switch {
				case err == nil:
					let.Add(1)
				case !errors.Is(err, latchkey.ErrInvalidToken) && !errors.Is(err, latchkey.ErrUnauthorized):
					k.Errorf("%v", err)
				}
			})
		}
		all.Wait()
		if let.Load() != 1 {
			k.Errorf("%d are let in", let.Load())
		}
	})
}

// Wherever the store fails, a token makes one session at most, and one that has made none is still
// good.
func TestAttackAFaultOfTheStoreMakesNoSecondSession(t *testing.T) {
	for _, after := range []bool{false, true} {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			for n := 1; ; n++ {
				r := appOf(k, oauth.Profile{Subject: fmt.Sprint("eve", n), Email: fmt.Sprintf("eve%d@example.org", n), EmailVerified: true})
				before := k.Rows()["sessions"]
				reached := k.Failing(n, after)
				err := kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, r))
				if !reached() {
					k.Must(err)
					return
				}
				if err != nil && strings.Contains(err.Error(), kit.Password) {
					k.Errorf("call %d: %v", n, err)
				}
				made := k.Rows()["sessions"] - before
				again := kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, r))
				if made > 1 || made == 1 && !errors.Is(again, latchkey.ErrInvalidToken) || made == 0 && again != nil {
					k.Errorf("call %d, after %v: %d sessions, then %v", n, after, made, again)
				}
			}
		})
	}
}

// A JWT links nothing and uses up no token, and neither does a session that is gone or not fresh.
func TestAttackOnlyAFreshSessionLinksByAnIDToken(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		byJWT, _ := k.ByJWT(session.UserID, session.ID)
		r := appOf(k, oauth.Profile{Subject: "ada"})
		link := func(a *latchkey.Account) func() error {
			return func() error { return kit.Err(a.LinkIDToken(k.Ctx, r)) }
		}
		k.Refuses("a JWT", latchkey.ErrSessionNotFound, link(byJWT))
		k.Clock.Advance(time.Hour)
		k.Refuses("a session that is not fresh", latchkey.ErrChallengeRequired, link(account))
		anonymous, guest := k.Anonymous()
		plain, _ := k.ByJWT(anonymous.UserID, anonymous.ID)
		k.Refuses("a JWT of an anonymous account", latchkey.ErrSessionNotFound, link(plain))
		k.Must(link(guest)())
		k.Refuses("the handle of before the conversion", latchkey.ErrSessionRenewed, link(guest))
		k.SignUp(kit.Bob)
		_, staff := k.SignIn(kit.Bob)
		k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, staff.UserID(), true)))
		acting, err := staff.Impersonate(k.Ctx, latchkey.ImpersonatedUser{Email: kit.Ada})
		k.Must(err)
		r = appOf(k, oauth.Profile{Subject: "staff"})
		k.Refuses("one who acts for the user", latchkey.ErrUserUnauthorized, link(acting))
		k.Must(k.Users().DeleteSessions(k.Ctx, session.UserID))
		k.Refuses("a session that is gone", latchkey.ErrUnauthorized, link(account))
	})
}

// One who links by a token takes no address that another has proven, and a planted account is claimed
// by it as by a browser.
func TestAttackPlantersGainNothingByAnIDToken(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		// Mallory plants an account at Ada's address, with an identity of her own.
		planted := k.SignUp(kit.Ada)
		mallory, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.LinkIDToken(k.Ctx, appOf(k, oauth.Profile{Subject: "mallory", Email: kit.Ada}))))
		ada, err := k.Visitor.CreateIDTokenSession(k.Ctx, appOf(k, oauth.Profile{Subject: "ada", Email: kit.Ada, EmailVerified: true}))
		k.Must(err)
		if ada.UserID == planted.ID {
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, mallory.Secret.Reveal())); err == nil {
				k.Error("the planted session lives")
			}
			if err := k.Try(kit.Attacker, kit.Ada, kit.Password); err == nil {
				k.Error("the planted password is good")
			}
		}
		s, err := k.Visitor.CreateIDTokenSession(k.Ctx, appOf(k, oauth.Profile{Subject: "mallory", Email: "mallory@example.net", EmailVerified: true}))
		if err == nil && s.UserID == ada.UserID {
			k.Error("the planted identity opens the account")
		}
		// And takes no address that Ada has proven.
		_, guest := k.Anonymous()
		k.Refuses("an address that is another's", latchkey.ErrUserAlreadyExists, func() error {
			return kit.Err(guest.LinkIDToken(k.Ctx, appOf(k, oauth.Profile{Subject: "evil", Email: kit.Ada, EmailVerified: true})))
		})
		k.Refuses("an address that is not proven", latchkey.ErrUserAlreadyExists, func() error {
			return kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, appOf(k, oauth.Profile{Subject: "evil2", Email: "ADA@example.org"})))
		})
	})
}

// Where a provider stands in for the authenticator, a mailbox alone links none by an ID token.
func TestAttackLinkingByAnIDTokenAsksForTheAuthenticator(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{TrustProviderMFA: true}, func(k *kit.Kit) {
		app := protects(k, owned(k))
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		answerByMail(k, pendingOf(k, session.Secret), &session)
		thief := authenticated(k, session.Secret)
		r := appOf(k, oauth.Profile{Subject: "thief"})
		k.Refuses("a mailbox", latchkey.ErrChallengeRequired, func() error { return kit.Err(thief.LinkIDToken(k.Ctx, r)) })
		k.Clock.Advance(30 * time.Second)
		k.Must(kit.Err(shows(k, thief, latchkey.FactorTOTP, app.Code()).LinkIDToken(k.Ctx, r)))
	})
}

// hostile is a native provider that answers with anything.
type hostile struct {
	*kit.Provider
	answer func(t *oauth.IDToken) (*oauth.Verified, error)
}

func (h hostile) VerifyIDToken(_ context.Context, t *oauth.IDToken) (*oauth.Verified, error) {
	return h.answer(t)
}

// A native provider that panics, answers with nothing or names what cannot be signs nobody in, and
// nothing that it has said is shown.
func TestAttackAHostileNativeProviderShowsAndLeavesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var log bytes.Buffer
		h := hostile{Provider: k.Acme}
		person := func(change func(v *oauth.Verified)) func(t *oauth.IDToken) (*oauth.Verified, error) {
			return func(t *oauth.IDToken) (*oauth.Verified, error) {
				v := &oauth.Verified{Profile: oauth.Profile{Issuer: k.Acme.About.Issuer, Subject: "x", Email: "x@example.org"}, Claims: hidden.New("claims"), Expire: t.Now.Add(time.Minute)}
				change(v)
				return v, nil
			}
		}
		fails := func(err error) func(t *oauth.IDToken) (*oauth.Verified, error) {
			return func(*oauth.IDToken) (*oauth.Verified, error) { return nil, err }
		}
		engine := k.Configured(func(c *latchkey.Config) {
			c.Providers, c.Logger = []oauth.Provider{&h}, slog.New(slog.NewTextHandler(&log, nil))
		})
		for what, v := range map[string]struct {
			answer func(t *oauth.IDToken) (*oauth.Verified, error)
			want   error
		}{
			"a panic":                     {func(t *oauth.IDToken) (*oauth.Verified, error) { panic("hide-me " + t.Token.Reveal()) }, latchkey.ErrProviderFailed},
			"nothing":                     {fails(nil), latchkey.ErrProviderFailed},
			"no claims":                   {person(func(v *oauth.Verified) { v.Claims = hidden.Text{} }), latchkey.ErrProviderFailed},
			"no subject":                  {person(func(v *oauth.Verified) { v.Subject = " \u00a0" }), latchkey.ErrProviderSubject},
			"a subject of NUL":            {person(func(v *oauth.Verified) { v.Subject = "x\x00" }), latchkey.ErrProviderSubject},
			"a subject that is not UTF-8": {person(func(v *oauth.Verified) { v.Subject = "\xff" }), latchkey.ErrProviderSubject},
			"a long subject":              {person(func(v *oauth.Verified) { v.Subject = strings.Repeat("x", 256) }), latchkey.ErrProviderSubject},
			"another issuer":              {person(func(v *oauth.Verified) { v.Issuer = k.Other.About.Issuer }), latchkey.ErrProviderFailed},
			"no address":                  {person(func(v *oauth.Verified) { v.Email = "" }), latchkey.ErrUserUnauthorized},
			"two addresses":               {person(func(v *oauth.Verified) { v.Email, v.EmailVerified = "a@example.org,b@example.org", true }), latchkey.ErrUserUnauthorized},
			"an error":                    {fails(errors.New("hide-me")), latchkey.ErrProviderFailed},
			"an error of an ID token":     {fails(fmt.Errorf("hide-me: %w", oauth.ErrIDToken)), latchkey.ErrInvalidToken},
			"an error of the engine":      {fails(fmt.Errorf("hide-me: %w", latchkey.ErrUserBlocked)), latchkey.ErrProviderFailed},
		} {
			h.answer = v.answer
			err := kit.Err(engine.Guest(kit.Client).CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: hidden.New("hide-me token"), Nonce: hidden.New("hide-me nonce")}))
			if !errors.Is(err, v.want) {
				k.Errorf("%s: %v", what, err)
			}
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				if strings.Contains(fmt.Sprintf("%v %+v %#v", cause, cause, cause), "hide-me") {
					k.Errorf("%s: the error shows a secret: %v", what, cause)
				}
			}
			if rows := k.Rows(); rows["users"]+rows["sessions"]+rows["identities"]+rows["failures"]+rows["addresses"] != 0 {
				k.Errorf("%s leaves %v", what, rows)
			}
		}
		if strings.Contains(log.String(), "hide-me") {
			k.Errorf("the log: %s", log.String())
		}
		// Times that cannot be make a row that can.
		for _, expire := range []time.Time{{}, time.Unix(1<<40, 0), time.Unix(1<<60, 0), time.Unix(-1<<60, 0)} {
			h.answer = person(func(v *oauth.Verified) { v.Expire, v.Claims = expire, hidden.New(expire.String()) })
			r := latchkey.IDTokenSignIn{Provider: "acme", Token: hidden.New("x")}
			err := kit.Err(engine.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r))
			again := kit.Err(engine.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r))
			if again == nil || err == nil && !errors.Is(again, latchkey.ErrInvalidToken) {
				k.Errorf("%v: %v, then %v", expire, err, again)
			}
		}
	})
}

// watch counts the revocations of a provider.
func watch(p *kit.Provider) *atomic.Int64 {
	var asked atomic.Int64
	p.Before = func(_ context.Context, call string) {
		if call == "revoke" {
			asked.Add(1)
		}
	}
	return &asked
}

// A deletion that the store does not commit revokes nothing, whatever call of it fails. One that is
// committed revokes once, also if its closure runs again.
func TestAttackARolledBackDeletionRevokesNothing(t *testing.T) {
	kit.OnEveryStore(t, keeping, func(k *kit.Kit) {
		asked := watch(k.Acme)
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
		for n := 1; ; n++ {
			reached := k.Failing(n, false)
			err := k.Users().Delete(k.Ctx, s.UserID)
			if !reached() {
				k.Must(err)
				break
			}
			if err == nil { // the store has run the closure again, after the fault
				break
			}
		}
		k.Must(k.Close()) // which waits for revocations
		if asked.Load() != 1 {
			k.Errorf("%d revocations", asked.Load())
		}
	})
}

// Of deletions of one identity at once, one revokes.
func TestAttackDeletionsAtOnceRevokeOnce(t *testing.T) {
	kit.OnEveryStore(t, keeping, func(k *kit.Kit) {
		asked := watch(k.Acme)
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				if i%2 == 0 {
					_ = k.Users().DeleteIdentity(k.Ctx, list.Identities[0].ID)
				} else {
					_ = k.Users().Delete(k.Ctx, s.UserID)
				}
			})
		}
		all.Wait()
		k.Must(k.Close())
		if asked.Load() != 1 {
			k.Errorf("%d revocations", asked.Load())
		}
	})
}

// A revocation that panics, or never ends, neither fails nor blocks a caller, and Close is bounded.
func TestAttackARevocationThatHangsBlocksNobody(t *testing.T) {
	kit.OnEveryStore(t, keeping, func(k *kit.Kit) {
		never := make(chan struct{})
		defer close(never)
		k.Acme.Before = func(_ context.Context, call string) {
			if call == "revoke" {
				<-never
			}
		}
		k.Other.Before = func(_ context.Context, call string) {
			if call == "revoke" {
				panic("hide-me")
			}
		}
		for i := range 8 {
			p := []*kit.Provider{k.Acme, k.Other}[i%2]
			s := k.SignInBy(k.Visitor, p, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
			k.Must(k.Users().Delete(k.Ctx, s.UserID))
		}
		over, cancel := context.WithCancel(k.Ctx)
		cancel()
		if err := k.CloseContext(over); err != nil && !errors.Is(err, context.Canceled) {
			k.Errorf("%v", err)
		}
	})
}

// Tokens of another identity, of the user or of another one, are not revoked. A sign-in by an ID token
// leaves the refresh token of the browser, which is revoked with its identity.
func TestAttackOnlyTokensOfTheDeletedIdentityAreRevoked(t *testing.T) {
	kit.OnEveryStore(t, keeping, func(k *kit.Kit) {
		k.Acme.Revoked = make(chan oauth.Grant, 10)
		k.Other.Revoked = make(chan oauth.Grant, 10)
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true}) // acme-code-1
		k.Must(kit.Err(k.LinkBy(k.Visitor, s.Secret, k.Other, oauth.Profile{Subject: "eve"})))                           // other-code-1
		k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "bob", Email: "bob@example.org", EmailVerified: true})      // acme-code-2
		k.Must(kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, appOf(k, oauth.Profile{Subject: "eve"}))))                  // keeps the refresh token
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		for _, i := range list.Identities {
			if i.UserID == s.UserID && i.Provider == "acme" {
				k.Must(k.Users().DeleteIdentity(k.Ctx, i.ID))
			}
		}
		k.Must(k.Close())
		close(k.Acme.Revoked)
		close(k.Other.Revoked)
		var got []string
		for g := range k.Acme.Revoked {
			got = append(got, g.Access.Reveal()+"|"+g.Refresh.Reveal())
		}
		for g := range k.Other.Revoked {
			got = append(got, "other "+g.Refresh.Reveal())
		}
		k.Same("the revocations", got, []string{"|refresh of acme-code-1"})
	})
}

// Tokens that one service has given are sent to no other one, also if the host has given the name of
// the provider to it.
func TestAttackTokensGoToNoOtherIssuer(t *testing.T) {
	kit.OnEveryStore(t, keeping, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
		moved := kit.NewProvider("acme")
		moved.About.Issuer = "https://another.example.com"
		moved.Revoked = make(chan oauth.Grant, 1)
		engine := k.Configured(func(c *latchkey.Config) { c.Providers = []oauth.Provider{moved} })
		k.Must(engine.Users().Delete(k.Ctx, s.UserID))
		k.Must(engine.Close())
		close(moved.Revoked)
		for g := range moved.Revoked {
			k.Errorf("another service gets the tokens of %s", g.Issuer)
		}
	})
}

// A revocation shows no token in the log or in an event, also if the tokens do not open.
func TestAttackARevocationShowsNoToken(t *testing.T) {
	kit.OnEveryStore(t, keeping, func(k *kit.Kit) {
		var log bytes.Buffer
		lock := &sync.Mutex{}
		engine := k.Configured(func(c *latchkey.Config) {
			c.Logger = slog.New(slog.NewTextHandler(writer{lock, &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		k.Acme.RevokeErr, k.Other.RevokeErr = errors.New("of acme-code"), fmt.Errorf("of other-code: %w", latchkey.ErrUserBlocked)
		for _, p := range []*kit.Provider{k.Acme, k.Other} {
			s := k.SignInBy(engine.Guest(kit.Client), p, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
			k.Must(engine.Users().Delete(k.Ctx, s.UserID))
		}
		s := k.SignInBy(engine.Guest(kit.Client), k.Acme, oauth.Profile{Subject: "eve", Email: "eve@example.org", EmailVerified: true})
		list, err := record.Identities.List(k.Ctx, k.Raw, store.Query{Index: record.Identities.Primary(), Limit: 1})
		k.Must(err)
		k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			list[0].Access[len(list[0].Access)-1] ^= 1
			return record.Identities.Replace(ctx, tx, list[0])
		}))
		k.Must(engine.Users().Delete(k.Ctx, s.UserID))
		k.Must(engine.Close())
		lock.Lock()
		defer lock.Unlock()
		if strings.Contains(log.String(), "-code") {
			k.Errorf("the log: %s", log.String())
		}
		if told := fmt.Sprintf("%+v", k.Told.Take()); strings.Contains(told, "-code") {
			k.Errorf("the events: %s", told)
		}
	})
}

type writer struct {
	lock *sync.Mutex
	to   *bytes.Buffer
}

func (w writer) Write(p []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.to.Write(p)
}

// evilError is an error that panics when it is looked at.
type evilError struct{}

func (evilError) Error() string { return "evil" }
func (evilError) As(any) bool   { panic("hide-me") }

// An error of a provider that panics when it is looked at is a failure of the provider.
func TestAttackAnErrorThatPanicsIsAFailureOfTheProvider(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		defer func() {
			if v := recover(); v != nil {
				k.Errorf("the caller gets the panic of the provider's error: %v", v)
			}
		}()
		k.Acme.VerifyErr = evilError{}
		if err := kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, appOf(k, oauth.Profile{Subject: "x"}))); !errors.Is(err, latchkey.ErrProviderFailed) {
			k.Errorf("%v", err)
		}
	})
}

// A revocation whose error panics when it is looked at ends no program.
func TestAttackARevocationWhoseErrorPanicsEndsNothing(t *testing.T) {
	kit.OnEveryStore(t, keeping, func(k *kit.Kit) {
		k.Acme.RevokeErr = evilError{}
		session := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "x", Email: "x@example.org", EmailVerified: true})
		k.Must(k.Users().Delete(k.Ctx, session.UserID))
		k.Must(k.Close()) // which waits for the revocation
	})
}

// An identity of a service that the provider of its name is no more is no way in.
func TestAttackAnIdentityOfAnotherServiceIsNoWayIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "x", Email: "x@example.org", EmailVerified: true})
		_, err := k.LinkBy(k.Visitor, session.Secret, k.Other, oauth.Profile{Subject: "y"})
		k.Must(err)
		moved := kit.NewProvider("other")
		moved.About.Issuer = "https://elsewhere.example.com"
		engine := k.Configured(func(c *latchkey.Config) {
			c.Providers, c.Notifier, c.SMS = []oauth.Provider{k.Acme, moved}, nil, nil // no links and codes
		})
		list, err := engine.Users().Identities(k.Ctx)
		k.Must(err)
		for _, i := range list.Identities {
			want := map[string]error{"acme": latchkey.ErrLastWayIn, "other": nil}[i.Provider]
			if err := engine.Users().DeleteIdentity(k.Ctx, i.ID); !errors.Is(err, want) {
				k.Errorf("%s: %v, want %v", i.Provider, err, want)
			}
		}
	})
}
