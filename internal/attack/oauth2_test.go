package attack_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// request asks for a sign-in by a provider.
func request(provider string) latchkey.OAuth2Request {
	return latchkey.OAuth2Request{Provider: provider, RedirectURL: kit.CallbackURL}
}

// identities returns the identities of all users.
func identities(k *kit.Kit) []*latchkey.Identity {
	k.Helper()
	list, err := k.Users().Identities(k.Ctx)
	k.Must(err)
	return list.Identities
}

// starts returns the sign-ins that have begun.
func starts(k *kit.Kit) []*record.Start {
	k.Helper()
	rows, err := record.Starts.List(k.Ctx, k.Raw, store.Query{Index: record.Starts.Primary(), Limit: store.MaxLimit})
	k.Must(err)
	return rows
}

// changeStart changes the row of a start without the engine.
func changeStart(k *kit.Kit, row *record.Start) {
	k.Helper()
	k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error { return record.Starts.Replace(ctx, tx, row) }))
}

// A host names its providers by names of their own, and each has an issuer.
func TestProvidersHaveNamesOfTheirOwn(t *testing.T) {
	kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
		try := func(providers ...oauth.Provider) error {
			engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now, Providers: providers})
			if err == nil {
				k.Must(engine.Close())
			}
			return err
		}
		for what, providers := range map[string][]oauth.Provider{
			"none":           {nil},
			"no name":        {kit.NewProvider("")},
			"a digit":        {kit.NewProvider("1acme")},
			"a hyphen":       {kit.NewProvider("-acme")},
			"a space":        {kit.NewProvider("a cme")},
			"33 letters":     {kit.NewProvider(strings.Repeat("a", 33))},
			"a way in":       {kit.NewProvider("email")},
			"another way in": {kit.NewProvider("magic-url")},
			"twice":          {kit.NewProvider("acme"), kit.NewProvider("acme")},
			"no issuer":      {&kit.Provider{About: oauth.Info{Name: "acme"}}},
			"a long issuer":  {&kit.Provider{About: oauth.Info{Name: "acme", Issuer: strings.Repeat("x", 256)}}},
		} {
			if try(providers...) == nil {
				k.Errorf("%s is taken", what)
			}
		}
		k.Must(try(kit.NewProvider(strings.Repeat("a", 32)), kit.NewProvider("a-1")))
		k.Refuses("a provider that the host does not have", latchkey.ErrProviderDisabled, func() error {
			return kit.Err(k.Visitor.StartOAuth2(k.Ctx, request("github")))
		})
	})
}

// A start is refused whose addresses or scopes cannot be those of a host.
func TestARequestThatCannotBeOneBeginsNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for what, change := range map[string]func(r *latchkey.OAuth2Request){
			"no callback":               func(r *latchkey.OAuth2Request) { r.RedirectURL = "" },
			"a callback without a host": func(r *latchkey.OAuth2Request) { r.RedirectURL = "https:///callback" },
			"a fragment":                func(r *latchkey.OAuth2Request) { r.RedirectURL += "#here" },
			"an empty fragment":         func(r *latchkey.OAuth2Request) { r.RedirectURL += "#" },
			"another scheme":            func(r *latchkey.OAuth2Request) { r.RedirectURL = "javascript://app.example.org/callback" },
			"a strange page":            func(r *latchkey.OAuth2Request) { r.Success = "https://evil.example.net/" },
			"a strange page of failure": func(r *latchkey.OAuth2Request) { r.Failure = "https://evil.example.net/" },
			"101 scopes":                func(r *latchkey.OAuth2Request) { r.Scopes = slices.Repeat([]string{"s"}, 101) },
			"scopes of 4,097 bytes":     func(r *latchkey.OAuth2Request) { r.Scopes = []string{strings.Repeat("s", 4_096), "s"} },
			"a scope with a space":      func(r *latchkey.OAuth2Request) { r.Scopes = []string{"a b"} },
			"an empty scope":            func(r *latchkey.OAuth2Request) { r.Scopes = []string{""} },
			"a scope with a quote":      func(r *latchkey.OAuth2Request) { r.Scopes = []string{`a"b`} },
		} {
			r := request("acme")
			change(&r)
			k.Refuses(what, latchkey.ErrArgumentInvalid, func() error { return kit.Err(k.Visitor.StartOAuth2(k.Ctx, r)) })
		}
		r := request("acme")
		r.Scopes = slices.Repeat([]string{"s"}, 100)
		k.Must(kit.Err(k.Visitor.StartOAuth2(k.Ctx, r)))
	})
}

// The row of a start finishes nothing. It shows neither the state nor the secrets of the flow, and a
// sealed value opens in no other row.
func TestARowOfAStartFinishesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for what, exchange := range map[string]func(a, b *record.Start){
			"the form post": func(a, b *record.Start) { a.Posted, b.Posted = b.Posted, a.Posted },
			"the flow":      func(a, b *record.Start) { a.Sealed, b.Sealed = b.Sealed, a.Sealed },
		} {
			cb, other := back(k, k.Acme, adaAt), back(k, k.Acme, adaAt)
			for _, cb := range []latchkey.OAuth2Callback{cb, other} {
				k.Must(k.Visitor.PostOAuth2(k.Ctx, "acme", cb.Parameters))
			}
			text := fmt.Sprintf("%q", k.Everything()["starts"])
			for name, secret := range map[string]string{
				"the state": cb.Parameters.Get("state")[:20], "the value at the browser": cb.Binding[:20], "the flow": "verifier",
			} {
				if strings.Contains(text, secret) {
					k.Errorf("the row shows %s", name)
				}
			}
			rows := starts(k)
			exchange(rows[0], rows[1])
			changeStart(k, rows[0])
			changeStart(k, rows[1])
			cb.Parameters = url.Values{"state": cb.Parameters["state"]}
			if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)); err == nil || errors.As(err, new(*latchkey.Error)) {
				k.Errorf("%s of another row: %v", what, err)
			}
			k.DeleteAll()
		}
	})
}

// A start ends with everything. A sweep deletes a start from ahead of the clock.
func TestStartsEndWithEverythingAndWithTheTimeAhead(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const ahead = 20 * 24 * time.Hour
		cb := back(k, k.Acme, adaAt)
		k.Must(k.EndAll(k.Ctx))
		k.RefusesCallback("after the end of everything", latchkey.ErrInvalidToken, cb)
		k.Clock.Advance(ahead)
		cb = back(k, k.Acme, adaAt)
		k.Clock.Advance(-ahead)
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		if n := k.Rows()["starts"]; n != 0 {
			k.Errorf("%d starts of the time ahead are left", n)
		}
		k.Clock.Advance(ahead)
		k.RefusesCallback("when that time comes", latchkey.ErrInvalidToken, cb)
	})
}

// Starts that have expired take no place, networks of different shares do not push one another out,
// and neither do the clients of a host that does not tell them apart.
func TestAStartPushesOutNoStranger(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		count := func(what string, want int) {
			k.Helper()
			if n := k.Rows()["starts"]; n != want {
				k.Errorf("%s: %d starts, want %d", what, n, want)
			}
		}
		begin := func(client latchkey.Client, times int) {
			for range times {
				k.Begin(k.Guest(client), request("acme"))
			}
		}
		begin(kit.At(kit.Attacker), 40)
		k.Clock.Advance(10 * time.Minute)
		begin(kit.At(kit.Attacker), 1)
		count("expired ones give way", 1)
		k.DeleteAll()
		for n := range 3 {
			begin(kit.At(fmt.Sprintf("198.51.100.%d", n)), 20)
		}
		count("three networks", 60)
		k.DeleteAll()
		begin(latchkey.Client{}, 60)
		count("clients without an address", 60)
	})
}

// A start more than a share has room for ends the oldest of the network that has most of them.
func TestAFullShareLosesTheOldestOfItsGreatestNetwork(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		own := k.Begin(k.Guest(kit.At(kit.Owner)), request("acme"))
		row := starts(k)[0]
		k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			for n := range 49 {
				other := *row
				other.ID, other.Digest, other.Network = fmt.Sprintf("few%02d", n), fmt.Sprintf("%032d", n), []byte("few")
				if n >= 9 {
					other.ID, other.Network = fmt.Sprintf("many%02d", n), []byte("many")
				}
				if err := record.Starts.Insert(ctx, tx, &other); err != nil {
					return err
				}
			}
			return nil
		}))
		k.Begin(k.Guest(kit.At(kit.Owner)), request("acme"))
		var few, many []string
		for _, s := range starts(k) {
			switch string(s.Network) {
			case "few":
				few = append(few, s.ID)
			case "many":
				many = append(many, s.ID)
			}
		}
		if len(few) != 9 || len(many) != 39 || many[0] != "many10" || len(starts(k)) != 50 {
			k.Errorf("%d and %d, from %v", len(few), len(many), many[0])
		}
		k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, own.Callback(k.Acme.Code(adaAt)))))
	})
}

// The name in a form post of a provider has one reading.
func TestANameInAFormPostHasOneReading(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for _, user := range []string{
			`{"name":{"firstName":"a","lastName":"b"},"Name":{"firstName":"c","lastName":"d"}}`,
			`{"name":{"firstName":"a","lastName":"b","lastname":"c"}}`,
			`{"name":["a"]}`, `[]`, `{"name":{"firstName":"a"}} {}`,
		} {
			cb := back(k, k.Acme, adaAt)
			cb.Parameters.Set("user", user)
			k.RefusesCallback(user, latchkey.ErrArgumentInvalid, cb)
		}
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "1", Email: kit.Ada, Name: strings.Repeat("\x01", 4_096) + "Ada"})
		if user, err := k.Users().Get(k.Ctx, s.UserID); err != nil || user.Name != "" {
			k.Errorf("a name beyond the part that is read: %+v, %v", user, err)
		}
	})
}

// A provider of which the host has changed the issuer since a start finishes nothing, and an issuer
// that cannot be one is none.
func TestAProviderIsTheOneThatHasBegun(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		was := k.Acme.About
		cb := back(k, k.Acme, adaAt)
		k.Acme.About.Issuer = "https://evil.example.com"
		cb.Parameters.Set("code", k.Acme.Code(adaAt))
		k.RefusesCallback("another issuer", latchkey.ErrInvalidToken, cb)
		k.Acme.About = was
		k.Acme.About.Issuers = true
		for _, issuer := range []string{strings.Repeat("x", 256), "a\x00b", "\xff"} {
			k.RefusesCallback(fmt.Sprintf("%.10q", issuer), latchkey.ErrProviderFailed, back(k, k.Acme, oauth.Profile{Issuer: issuer, Subject: "1", Email: kit.Ada}))
		}
		k.Other.About.Issuer = was.Issuer // two providers of one service, at which people have different names
		first := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "1", Email: kit.Ada})
		if second := k.SignInBy(k.Visitor, k.Other, oauth.Profile{Subject: "1", Email: kit.Bob}); second.UserID == first.UserID {
			k.Error("the identity of one provider signs in by another one")
		}
	})
}

// A callback is not encoded: it would show the code.
func TestACallbackIsNotEncoded(t *testing.T) {
	cb := latchkey.OAuth2Callback{Provider: "acme", Parameters: url.Values{"code": {"hide-me"}}}
	var b bytes.Buffer
	_, asJSON := json.Marshal(cb)
	_, asText := cb.MarshalText()
	for name, err := range map[string]error{"JSON": asJSON, "text": asText, "gob": gob.NewEncoder(&b).Encode(cb)} {
		if !errors.Is(err, hidden.ErrNotEncoded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", cb, cb, &cb) + b.String(); strings.Contains(text, "hide-me") {
		t.Errorf("printed: %s", text)
	}
}

// A state that no start has is written to the log.
func TestAnUnknownStateIsLogged(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		before := k.Rows()["logs"]
		cb := back(k, k.Acme, adaAt)
		cb.Parameters.Set("state", kit.UnknownLink)
		k.RefusesCallback("an unknown state", latchkey.ErrInvalidToken, cb)
		if k.Rows()["logs"] == before {
			k.Error("the log has nothing of it")
		}
	})
}

// The text of a provider's error is in no line of the host's log. A caller that has gone gets its
// own error.
func TestAnErrorOfAProviderIsInNoLog(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var log bytes.Buffer
		engine := k.Configured(func(c *latchkey.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		guest := engine.Guest(kit.Client)
		k.Acme.ExchangeErr = errors.New("client_secret=hide-me")
		if err := kit.Err(guest.FinishOAuth2(k.Ctx, back(k, k.Acme, adaAt))); !errors.Is(err, latchkey.ErrProviderFailed) {
			k.Error(err)
		}
		if text := log.String(); strings.Contains(text, "hide-me") || !strings.Contains(text, "a provider fails") {
			k.Errorf("the log: %s", text)
		}
		ctx, cancel := context.WithCancel(k.Ctx)
		k.Acme.Before = func(context.Context, string) { cancel() }
		cb := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "other"}).Callback("x")
		k.Acme.Before = nil
		k.Other.Before, k.Other.ExchangeErr = func(context.Context, string) { cancel() }, errors.New("no line")
		cb.Parameters.Set("code", k.Other.Code(adaAt))
		if err := kit.Err(guest.FinishOAuth2(ctx, cb)); !errors.Is(err, context.Canceled) {
			k.Errorf("a caller that has gone: %v", err)
		}
	})
}

// A provider that hangs ends after 20 seconds.
func TestAProviderThatHangsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kit.New(t, memory.Open(), kit.Documented)
		cb := back(k, k.Acme, adaAt)
		k.Acme.Before = func(ctx context.Context, _ string) { <-ctx.Done() }
		k.Acme.ExchangeErr = context.DeadlineExceeded
		began := time.Now()
		err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb))
		if took := time.Since(began); !errors.Is(err, latchkey.ErrProviderFailed) || took != 20*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// The rules of the policy for new users hold for those of a provider.
func TestThePolicyHoldsForPeopleOfAProvider(t *testing.T) {
	policy := latchkey.Policy{UserLimit: 2, Addresses: latchkey.AddressPolicy{RefuseAliased: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		alias := oauth.Profile{Subject: "1", Email: "ada+shop@gmail.com", EmailVerified: true}
		k.RefusesCallback("an alias", latchkey.ErrEmailNotCanonical, back(k, k.Acme, alias))
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "1", Email: kit.Ada})
		k.SignInBy(k.Visitor, k.Acme, alias)
		if user, err := k.Users().Get(k.Ctx, s.UserID); err != nil || user.Email != "" {
			k.Errorf("a later alias: %+v, %v", user, err)
		}
		k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "2", Email: kit.Bob})
		k.RefusesCallback("a third user", latchkey.ErrUserCountExceeded, back(k, k.Acme, oauth.Profile{Subject: "3", Email: "cleo@example.org"}))
	})
}

// A refused sign-in of a blocked user leaves the identity as it is.
func TestARefusedSignInRefreshesNoIdentity(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, adaAt)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, s.UserID, false)))
		k.Clock.Advance(time.Minute)
		k.RefusesCallback("blocked", latchkey.ErrUserBlocked, back(k, k.Acme, oauth.Profile{Subject: "ada-1", Email: kit.Bob, EmailVerified: true}))
	})
}

// A later sign-in gives a user without an address only one that the provider has proven. An address
// of another user, of their target or of their identity stays theirs. The sign-in succeeds.
func TestALaterSignInTakesNoAddressOfAnotherUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "1", Email: "shown@example.net"})
		k.SignUp(kit.Bob)
		other := k.SignUp("other@example.org")
		session, _ := k.SignIn("other@example.org")
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Other, oauth.Profile{Subject: "2", Email: "reserved@example.org", EmailVerified: true})))
		k.Must(kit.Err(k.Users().CreateTarget(k.Ctx, other.ID, latchkey.NewTarget{ProviderType: latchkey.TargetEmail, Identifier: "target@example.org"})))
		for what, who := range map[string]oauth.Profile{
			"an unproven address":         {Subject: "1", Email: "new@example.net"},
			"the address of another user": {Subject: "1", Email: kit.Bob, EmailVerified: true},
			"the address of an identity":  {Subject: "1", Email: "reserved@example.org", EmailVerified: true},
			"the target of another user":  {Subject: "1", Email: "target@example.org", EmailVerified: true},
			"an address that is none":     {Subject: "1", Email: "a @b", EmailVerified: true},
		} {
			if again := k.SignInBy(k.Visitor, k.Acme, who); again.UserID != s.UserID {
				k.Errorf("%s: signed in as %s", what, again.UserID)
			}
			user, err := k.Users().Get(k.Ctx, s.UserID)
			k.Must(err)
			if user.Email != "" || user.EmailVerification {
				k.Errorf("%s: %+v", what, user)
			}
			all := identities(k)
			if i := all[slices.IndexFunc(all, func(i *latchkey.Identity) bool { return i.UserID == s.UserID })]; i.ProviderEmailVerified != (what == "the target of another user") {
				k.Errorf("%s: %+v", what, i)
			}
		}
	})
}

// An account that a provider has made is no anonymous one, with an address or without.
func TestAnAccountOfAProviderIsNotAnonymous(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account := authenticated(k, k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "1", Email: kit.Ada}).Secret)
		k.Clock.Advance(31 * time.Minute)
		k.Refuses("an old session", latchkey.ErrChallengeRequired, func() error { return kit.Err(account.StartOAuth2(k.Ctx, request("other"))) })
	})
}

// An account of a provider keeps its identity when another person proves its unproven address.
func TestAC061TheMailboxClaimsNoAccountOfAProvider(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		who := oauth.Profile{Subject: "bob", Email: kit.Bob}
		theirs := k.SignInBy(k.Visitor, k.Acme, who)
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, theirs.UserID, kit.Ada)))
		if mine := signInByCode(k); mine.UserID == theirs.UserID {
			k.Error("the mailbox opens the account of the provider")
		}
		if s := k.SignInBy(k.Visitor, k.Acme, who); s.UserID != theirs.UserID {
			k.Errorf("signed in as %s", s.UserID)
		}
	})
}

// A second factor that one session proves makes the identity of that session count, and not one of
// another session that still owes it.
func TestASecondFactorConfirmsTheIdentityOfItsSession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, account.UserID(), true)))
		mine := k.SignInBy(k.Visitor, k.Acme, adaAt)
		k.SignInBy(k.Visitor, k.Other, adaAt) // somebody else at the mailbox
		k.Clock.Advance(30 * time.Second)
		k.Must(kit.Err(k.Answers(pendingOf(k, mine.Secret), latchkey.FactorTOTP, app.Code())))
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, account.UserID(), "ada@example.net"))) // the mailbox is lost
		if s := k.SignInBy(k.Visitor, k.Other, oauth.Profile{Subject: "ada-1", Email: "x@example.net"}); s.UserID == account.UserID() {
			k.Error("the identity of the session that has proven nothing signs in")
		}
		if s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "ada-1"}); s.UserID != account.UserID() {
			k.Errorf("signed in as %s", s.UserID)
		}
	})
}

// A provider is no second factor that a challenge could ask for: with a password and a provider
// alone, the password opens a full session.
func TestAProviderIsNoSecondFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: "1", Email: "x@example.net"})))
		if !full(k, byPassword(k).Secret) {
			k.Error("the session owes a factor that nothing can prove")
		}
	})
}

// byMailAndProvider makes Ada without a password, with MFA on, and links a provider in her session.
func byMailAndProvider(k *kit.Kit) (*latchkey.Session, *latchkey.Account, *latchkey.Identity) {
	k.Helper()
	session := signInByCode(k)
	account := authenticated(k, session.Secret)
	k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
	result, err := k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: "1", Email: "x@example.net"})
	k.Must(err)
	return session, account, result.Identity
}

// A session that links a provider is not locked out by it: it has just proven it. The proof goes
// with the last identity, and with a switch of MFA elsewhere the mailbox stays the first one.
func TestASessionThatLinksHasProvenTheProvider(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session, account, first := byMailAndProvider(k)
		proofs := func() string {
			k.Helper()
			list, err := k.Users().Sessions(k.Ctx, account.UserID())
			k.Must(err)
			return fmt.Sprint(list.Sessions[0].Factors)
		}
		if got := proofs(); got != "[email oauth2]" || !full(k, session.Secret) {
			k.Errorf("after linking: %s", got)
		}
		result, err := k.LinkBy(k.Visitor, session.Secret, k.Other, oauth.Profile{Subject: "1", Email: "y@example.net"})
		k.Must(err)
		k.Must(account.DeleteIdentity(k.Ctx, result.Identity.ID))
		if got := proofs(); got != "[email oauth2]" || !full(k, session.Secret) {
			k.Errorf("with another identity left: %s", got)
		}
		k.Must(account.DeleteIdentity(k.Ctx, first.ID))
		if got := proofs(); got != "[email]" {
			k.Errorf("without an identity: %s", got)
		}
		k.DeleteAll()
		_, account, _ = byMailAndProvider(k)
		for _, on := range []bool{false, true} {
			k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, account.UserID(), on)))
		}
		if got := proofs(); got != "[email]" {
			k.Errorf("after a switch of the server: %s", got)
		}
	})
}

// A host that has no provider any more owes no proof of one.
func TestWithoutProvidersNoProofOfOneIsOwed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		byMailAndProvider(k)
		session := signInByCode(k)
		if full(k, session.Secret) {
			k.Error("the mailbox alone is full")
		}
		bare := k.Configured(func(c *latchkey.Config) { c.Providers = nil })
		k.Must(kit.Err(bare.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())))
	})
}

// The user is told of an identity that is linked and of one that is unlinked, at a proven address.
func TestTheUserIsToldOfLinkingAndUnlinking(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owned(k)
		session := byPassword(k)
		k.Forget()
		told := func(what string) {
			k.Helper()
			n := 0
			for _, m := range k.Drained(k.Engine) {
				if m.Kind == notify.IdentityChanged && m.To == kit.Ada {
					n++
				}
			}
			if n != 1 {
				k.Errorf("%s: %d notices", what, n)
			}
			k.Engine = k.Configured(func(*latchkey.Config) {})
			k.Visitor = k.Guest(kit.Client)
		}
		result, err := k.LinkBy(k.Visitor, session.Secret, k.Acme, oauth.Profile{Subject: "1"})
		k.Must(err)
		told("linked")
		k.Must(authenticated(k, session.Secret).DeleteIdentity(k.Ctx, result.Identity.ID))
		told("unlinked")
	})
}
