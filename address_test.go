package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/mailclass"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// Addresses of each kind. Plain is allowed by every policy.
const (
	disposableAddress = "ada@mailinator.com"
	aliasedAddress    = "ada+shop@fastmail.com"
	freeAddress       = "ada@web.de"
	plainAddress      = "ada@example.com"
)

// classifier is a host's own.
type classifier func(ctx context.Context, address string) (mailclass.Class, error)

func (c classifier) Classify(ctx context.Context, address string) (mailclass.Class, error) {
	return c(ctx, address)
}

// classified returns an engine on the store of a kit, with a policy for addresses and a host's
// classifier, nil for none, and what the engine logs.
func classified(k *kit.Kit, policy latchkey.Policy, c latchkey.AddressClassifier) (*latchkey.Engine, *bytes.Buffer) {
	k.Helper()
	log := new(bytes.Buffer)
	engine, err := latchkey.New(k.Store, latchkey.Config{
		Keys: k.Keys, LimiterPerProcess: true, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Policy: policy, AddressClassifier: c,
		Notifier: k.Box, SMS: k.Box, RedirectHosts: []string{"app.example.org"}, OnEvent: k.Told.Record, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	k.Must(err)
	k.Cleanup(func() { _ = engine.Close() })
	return engine, log
}

// shownClass is everything that a user shows about the address.
func shownClass(u *latchkey.User) string {
	s := u.EmailCanonical
	for _, fact := range []struct {
		name string
		is   bool
	}{{"canonical", u.EmailIsCanonical}, {"corporate", u.EmailIsCorporate}, {"disposable", u.EmailIsDisposable}, {"free", u.EmailIsFree}} {
		if fact.is {
			s += " " + fact.name
		}
	}
	return s
}

func TestUsersShowWhatIsKnownAboutTheirAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for email, want := range map[string]string{
			plainAddress:               plainAddress + " canonical corporate",
			freeAddress:                freeAddress + " canonical free",
			disposableAddress:          disposableAddress + " canonical disposable",
			aliasedAddress:             "ada@fastmail.com corporate",
			"A.d.a+Shop@GMAIL.com":     "ada@gmail.com free",
			"ada@inbox.mailinator.com": "ada@inbox.mailinator.com canonical disposable",
		} {
			k.Forget()
			made, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: email, Password: kit.Password})
			k.Must(err)
			_, account := k.SignIn(email)
			own, err := account.User(k.Ctx)
			k.Must(err)
			seen, err := k.Users().Get(k.Ctx, made.ID)
			k.Must(err)
			named, err := account.UpdateName(k.Ctx, "Ada")
			k.Must(err)
			labelled, err := k.Users().UpdateLabels(k.Ctx, made.ID, []string{"vip"})
			k.Must(err)
			found, err := k.Users().GetByEmail(k.Ctx, email)
			k.Must(err)
			list, err := k.Users().List(k.Ctx)
			k.Must(err)
			for what, u := range map[string]*latchkey.User{
				"made": made, "own": own, "seen": seen, "named": named, "labelled": labelled, "found": found, "listed": list.Users[0],
			} {
				k.Same(what+" "+email, shownClass(u), want)
			}
			k.Must(k.Users().Delete(k.Ctx, made.ID))
			users := 0
			for _, e := range k.Told.Take() {
				if u, is := e.Payload.(*latchkey.User); is {
					users++
					k.Same(e.Name+" "+email, shownClass(u), want)
				}
			}
			if users != 4 {
				k.Errorf("%d events with a user", users)
			}
		}
		bare, err := k.Users().Create(k.Ctx, latchkey.NewUser{Phone: kit.Phone})
		k.Must(err)
		k.Same("without an address", shownClass(bare), "")
		bare, err = k.Users().UpdateEmail(k.Ctx, bare.ID, freeAddress)
		k.Must(err)
		k.Same("with an address", shownClass(bare), freeAddress+" canonical free")
		bare, err = k.Users().UpdateEmail(k.Ctx, bare.ID, "")
		k.Must(err)
		k.Same("without it again", shownClass(bare), "")
	})
}

// What is known is not stored, and costs no read.
func TestWhatIsKnownAboutAnAddressFollowsTheLists(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		before := k.Everything()
		k.Store.Reset()
		k.Must(kit.Err(k.Users().Get(k.Ctx, user.ID)))
		if reads := k.Store.Reads.Load(); reads != 1 {
			k.Errorf("%d reads", reads)
		}
		engine, _ := classified(k, kit.Documented, classifier(func(_ context.Context, address string) (mailclass.Class, error) {
			return mailclass.Class{Canonical: "x@example.org", Free: true, Disposable: true, Corporate: true}, nil
		}))
		seen, err := engine.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if want := (mailclass.Class{Canonical: "x@example.org", Free: true, Disposable: true, Corporate: true}); seen.EmailIsCanonical ||
			(mailclass.Class{Canonical: seen.EmailCanonical, Free: seen.EmailIsFree, Disposable: seen.EmailIsDisposable, Corporate: seen.EmailIsCorporate}) != want {
			k.Errorf("%+v", seen)
		}
		k.Same("rows", k.Everything(), before)
	})
}

// refusals are the policies for addresses, each with an address that it refuses and its
// answer. All of them allow plainAddress.
var refusals = []struct {
	policy  latchkey.AddressPolicy
	address string
	want    *latchkey.Error
	kind    string
}{
	{latchkey.AddressPolicy{RefuseDisposable: true}, disposableAddress, latchkey.ErrEmailDisposable, "user_email_disposable"},
	{latchkey.AddressPolicy{RefuseAliased: true}, aliasedAddress, latchkey.ErrEmailNotCanonical, "user_email_not_canonical"},
	{latchkey.AddressPolicy{RefuseFree: true}, freeAddress, latchkey.ErrEmailFree, "user_email_free"},
	{latchkey.AddressPolicy{RefuseNotCorporate: true}, freeAddress, latchkey.ErrEmailNotCorporate, "user_email_not_corporate"},
}

// taking are the operations that take an address which a user is to have.
func taking(k *kit.Kit, engine *latchkey.Engine) map[string]func(email string) error {
	k.Helper()
	guest := engine.Guest(kit.Client)
	account := func(s *latchkey.Session, err error) *latchkey.Account {
		k.Must(err)
		a, err := guest.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		return a
	}
	server := engine.Users()
	full := account(guest.CreateEmailPasswordSession(k.Ctx, kit.Bob, kit.Password))
	return map[string]func(email string) error{
		"sign up": func(email string) error {
			return kit.Err(guest.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: kit.Password}))
		},
		"change": func(email string) error { return kit.Err(full.UpdateEmail(k.Ctx, email, kit.Password)) },
		"first address": func(email string) error {
			return kit.Err(account(guest.CreateAnonymousSession(k.Ctx)).UpdateEmail(k.Ctx, email, kit.Password))
		},
		"become full": func(email string) error {
			return kit.Err(account(guest.CreateAnonymousSession(k.Ctx)).CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: kit.Password}))
		},
		"link": func(email string) error {
			return kit.Err(guest.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: email, URL: kit.VerifyURL}))
		},
		"code": func(email string) error {
			return kit.Err(guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: email}))
		},
		"server makes": func(email string) error { return kit.Err(server.Create(k.Ctx, latchkey.NewUser{Email: email})) },
		"server sets": func(email string) error {
			user, err := server.Create(k.Ctx, latchkey.NewUser{})
			k.Must(err)
			return kit.Err(server.UpdateEmail(k.Ctx, user.ID, email))
		},
	}
}

func TestPoliciesForAddressesHoldWhereverAnAddressIsTaken(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Bob)
		for i, r := range refusals {
			if r.want.Type != r.kind || r.want.Category != latchkey.CategoryInvalid {
				k.Errorf("%s is an error of category %d", r.want.Type, r.want.Category)
			}
			engine, _ := classified(k, latchkey.Policy{Addresses: r.policy}, nil)
			for what, take := range taking(k, engine) {
				for _, email := range []string{r.address, strings.ToUpper(r.address)} {
					if err := take(email); !errors.Is(err, r.want) {
						k.Errorf("%s, %s with %s: %v", r.kind, what, email, err)
					}
				}
				if err := take(fmt.Sprintf("plain%d.%s@example.com", i, strings.ReplaceAll(what, " ", "."))); err != nil {
					k.Errorf("%s, %s: %v", r.kind, what, err)
				}
			}
			k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, k.IDOf(fmt.Sprintf("plain%d.change@example.com", i)), kit.Bob)))
			for _, m := range k.Drained(engine) {
				if m.To == r.address {
					k.Errorf("%s: a message of kind %v", r.kind, m.Kind)
				}
			}
		}
	})
}

func TestARefusedAddressChangesNothing(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseDisposable: true}}, func(k *kit.Kit) {
		k.SignUp(kit.Bob)
		_, account := k.SignIn(kit.Bob)
		_, anonymous := k.Anonymous()
		for what, do := range map[string]func() error{
			"sign up": func() error {
				return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: disposableAddress, Password: kit.Password}))
			},
			"change":         func() error { return kit.Err(account.UpdateEmail(k.Ctx, disposableAddress, kit.Password)) },
			"wrong password": func() error { return kit.Err(account.UpdateEmail(k.Ctx, disposableAddress, "not the password")) },
			"become full": func() error {
				return kit.Err(anonymous.CreateAccount(k.Ctx, latchkey.NewAccount{Email: disposableAddress, Password: kit.Password}))
			},
			"link": func() error {
				return kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: disposableAddress}))
			},
			"code": func() error {
				return kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: disposableAddress}))
			},
		} {
			k.Refuses(what, latchkey.ErrEmailDisposable, do)
		}
	})
}

// The documented order: disposable, not canonical, free, not corporate.
func TestPoliciesForAddressesAnswerInTheDocumentedOrder(t *testing.T) {
	all := latchkey.AddressPolicy{RefuseDisposable: true, RefuseAliased: true, RefuseFree: true, RefuseNotCorporate: true}
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		class := mailclass.Class{Canonical: "other@example.org", Disposable: true, Free: true}
		engine, _ := classified(k, latchkey.Policy{Addresses: all}, classifier(func(context.Context, string) (mailclass.Class, error) { return class, nil }))
		signUp := func(want error) {
			k.Helper()
			_, err := engine.Guest(kit.Client).CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})
			if !errors.Is(err, want) {
				k.Errorf("%+v: %v, want %v", class, err, want)
			}
		}
		signUp(latchkey.ErrEmailDisposable)
		class.Disposable = false
		signUp(latchkey.ErrEmailNotCanonical)
		class.Canonical = kit.Ada
		signUp(latchkey.ErrEmailFree)
		class.Free = false
		signUp(latchkey.ErrEmailNotCorporate)
		class.Corporate = true
		signUp(nil)
	})
}

// The policies are off by default and under the strict policy.
func TestNoAddressIsRefusedUnlessTheHostAsksForIt(t *testing.T) {
	for _, policy := range []latchkey.Policy{kit.Documented, latchkey.StrictPolicy()} {
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			for _, email := range []string{disposableAddress, aliasedAddress, freeAddress} {
				k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: kit.LongPassword})))
			}
		})
	}
}

// Users who have a refused address from before the policy keep it: they sign in, recover, and
// may name their address again.
func TestUsersKeepAnAddressThatThePolicyRefusesNow(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: disposableAddress, Password: kit.Password})
		k.Must(err)
		engine, _ := classified(k, latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseDisposable: true, RefuseNotCorporate: true}}, nil)
		guest := engine.Guest(kit.Client)
		session, err := guest.CreateEmailPasswordSession(k.Ctx, disposableAddress, kit.Password)
		k.Must(err)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, disposableAddress, kit.Password)))
		k.Must(kit.Err(account.UpdateName(k.Ctx, "Ada")))
		k.Must(kit.Err(guest.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: disposableAddress, URL: kit.VerifyURL})))
		k.Must(kit.Err(account.CreateEmailVerification(k.Ctx, kit.VerifyURL)))
		server := engine.Users()
		k.Must(kit.Err(server.UpdateEmail(k.Ctx, user.ID, disposableAddress)))
		k.Must(kit.Err(server.UpdateEmail(k.Ctx, user.ID, "")))
	})
}

// A refused link or code does not tell whether a user has the address. Where the policy
// tells it anyway, such a user gets it, as documented: the rule is not one of signing in.
func TestARefusedAddressDoesNotTellWhoHasIt(t *testing.T) {
	for _, disclose := range []bool{false, true} {
		policy := latchkey.Policy{DiscloseAccounts: disclose, Addresses: latchkey.AddressPolicy{RefuseDisposable: true}}
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			before, _ := classified(k, kit.Documented, nil)
			k.Must(kit.Err(before.Users().Create(k.Ctx, latchkey.NewUser{Email: disposableAddress, Password: kit.Password})))
			for what, ask := range map[string]func(email string) error{
				"link": func(email string) error {
					return kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: email}))
				},
				"code": func(email string) error {
					return kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: email}))
				},
			} {
				calls := func() string {
					s := fmt.Sprint(k.Store.Reads.Load(), k.Store.Updates.Load(), k.Store.Calls.Load())
					k.Store.Reset()
					return s
				}
				calls()
				known := ask(disposableAddress)
				forKnown := calls()
				unknown := ask("bob@mailinator.com")
				if !errors.Is(unknown, latchkey.ErrEmailDisposable) {
					k.Errorf("%s to an unknown address: %v", what, unknown)
				}
				if disclose {
					k.Must(known)
					continue
				}
				k.Same(what, fmt.Sprint(known), fmt.Sprint(unknown))
				k.Same(what+": calls of the store", forKnown, calls())
			}
		})
	}
}

// A host's classifier that fails, panics or knows nothing refuses nothing, and no log has
// the address.
func TestAHostsClassifierThatFailsRefusesNothing(t *testing.T) {
	all := latchkey.AddressPolicy{RefuseDisposable: true, RefuseAliased: true, RefuseFree: true, RefuseNotCorporate: true}
	for name, c := range map[string]classifier{
		"panic": func(_ context.Context, address string) (mailclass.Class, error) { panic(address) },
		"error": func(_ context.Context, address string) (mailclass.Class, error) {
			return mailclass.Class{Canonical: address, Disposable: true}, errors.New(address)
		},
		"nothing": func(context.Context, string) (mailclass.Class, error) { return mailclass.Class{Disposable: true}, nil },
	} {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			k.SignUp(kit.Bob)
			engine, log := classified(k, latchkey.Policy{Addresses: all}, c)
			for what, take := range taking(k, engine) {
				if err := take(strings.ReplaceAll(what, " ", ".") + "@mailinator.com"); err != nil {
					k.Errorf("%s, %s: %v", name, what, err)
				}
			}
			user, err := engine.Users().Get(k.Ctx, k.IDOf("sign.up@mailinator.com"))
			k.Must(err)
			k.Same(name, shownClass(user), "")
			if text := log.String(); (text == "") != (name == "nothing") || strings.Contains(text, "mailinator") {
				k.Errorf("%s: logged: %s", name, text)
			}
		})
	}
}

// watched is a store that knows whether a transaction of it is open.
type watched struct {
	store.Store
	open bool
}

func (w *watched) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	w.open = true
	defer func() { w.open = false }()
	return w.Store.Update(ctx, fn)
}

// A transaction of the store waits for no host.
func TestNoTransactionIsOpenWhileAHostClassifies(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Bob)
		called, s := 0, &watched{Store: k.Store.Store}
		k.Store.Store = s
		engine, _ := classified(k, latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseDisposable: true}},
			classifier(func(_ context.Context, address string) (mailclass.Class, error) {
				called++
				if s.open {
					k.Errorf("%s is classified in a transaction", address)
				}
				return mailclass.Of(address), nil
			}))
		for what, take := range taking(k, engine) {
			k.Must(take(strings.ReplaceAll(what, " ", ".") + "@example.com"))
		}
		k.Must(engine.Users().Delete(k.Ctx, k.IDOf("sign.up@example.com")))
		k.Must(kit.Err(engine.Users().List(k.Ctx)))
		if called < 12 {
			k.Errorf("classified %d times", called)
		}
	})
}

// A host that does not answer is waited for two seconds.
func TestAClassifierThatDoesNotAnswerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.Open()
		defer s.Close()
		engine, err := latchkey.New(s, latchkey.Config{
			Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(t), Logger: slog.New(slog.DiscardHandler),
			Policy: latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseDisposable: true}},
			AddressClassifier: classifier(func(ctx context.Context, _ string) (mailclass.Class, error) {
				<-ctx.Done()
				return mailclass.Class{}, ctx.Err()
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		begin := time.Now()
		user, err := engine.Guest(kit.Client).CreateAccount(t.Context(), latchkey.NewAccount{Email: disposableAddress, Password: kit.Password})
		if err != nil || user.EmailCanonical != "" {
			t.Errorf("%+v, %v", user, err)
		}
		if waited := time.Since(begin); waited != 4*time.Second { // before the transaction and after it
			t.Errorf("waited %v", waited)
		}
		for range 3 {
			if _, err := engine.Users().Create(t.Context(), latchkey.NewUser{Email: fmt.Sprintf("%d@example.org", time.Now().Unix())}); err != nil {
				t.Error(err)
			}
		}
		begin = time.Now()
		if list, err := engine.Users().List(t.Context()); err != nil || len(list.Users) != 4 {
			t.Errorf("%v", err)
		}
		if waited := time.Since(begin); waited != 2*time.Second {
			t.Errorf("waited %v for a list", waited)
		}
	})
}
