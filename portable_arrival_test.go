package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/mailclass"
	"example.com/latchkey/store"
)

// A recovery code serves once, also one that a file has twice.
func TestARecoveryCodeThatAFileHasTwiceServesOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		code := latchkey.PortableRecoveryCode{Code: hidden.New("0123456789")}
		spaced := latchkey.PortableRecoveryCode{Code: hidden.New("01234 56789")}
		results, done := imports(k, trusted, the(person(latchkey.PortableUser{
			ID: "ada", Email: kit.Ada, EmailVerified: true, MFA: true, Password: hidden.New("$md5$" + md5Hash),
			Authenticator: &latchkey.PortableAuthenticator{Seed: hidden.New(strings.Repeat("A", 32))},
			RecoveryCodes: []latchkey.PortableRecoveryCode{code, code, spaced},
		})))
		if done.Refused == 1 {
			return
		}
		k.Same("results", results, []string{"1 ada created"})
		use := func() error {
			k.Clock.Advance(time.Minute)
			session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "appwrite")
			k.Must(err)
			_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			var owed *latchkey.MoreFactorsError
			if !errors.As(err, &owed) {
				k.Fatal(err)
			}
			return kit.Err(k.Answers(owed.Pending, latchkey.FactorRecoveryCode, "0123456789"))
		}
		k.Must(use())
		if err := use(); err == nil {
			k.Error("a code serves a second time")
		}
	})
}

// leaver is a classifier that ends the goroutine at an address, as the Fatal of a test does.
type leaver struct{ at string }

func (l leaver) Classify(_ context.Context, address string) (mailclass.Class, error) {
	if address == l.at {
		runtime.Goexit()
	}
	return mailclass.Of(address), nil
}

// aside runs do on a goroutine of its own, which do may end.
func aside(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	<-done
}

// No record is called created that was not made, whatever a callback of the host does.
func TestNoResultIsCreatedWithoutAUser(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseFree: true}}, func(k *kit.Kit) {
		engine := k.Configured(func(c *latchkey.Config) { c.AddressClassifier = leaver{"user10@example.org"} })
		created := 0
		var done latchkey.Imported
		aside(func() {
			done, _ = engine.Import(k.Ctx, the(somePeople(50)...), latchkey.ImportOptions{OnResult: func(r latchkey.ImportResult) {
				if r.Outcome == latchkey.ImportCreated {
					created++
				}
			}})
		})
		if users := k.Rows()["users"]; users != created || users != done.Created {
			k.Errorf("%d users, %d results say created, %+v", users, created, done)
		}
	})
}

// What is committed is told, also if an event ends the goroutine: that is the caller's, as in every
// operation.
func TestWhatIsCommittedIsTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		engine := k.Configured(func(c *latchkey.Config) {
			c.OnEvent = func(_ context.Context, e latchkey.Event) {
				if strings.HasPrefix(e.Name, "users.user-00003.") {
					runtime.Goexit()
				}
			}
		})
		told := 0
		aside(func() {
			_, _ = engine.Import(k.Ctx, the(somePeople(10)...), latchkey.ImportOptions{OnResult: func(latchkey.ImportResult) { told++ }})
		})
		if users := k.Rows()["users"]; users != 10 || users != told {
			k.Errorf("%d users are committed, and %d results were told", users, told)
		}
	})
}

// An event of a damaged value is told as anywhere else, after the snapshot: the host may use the
// engine with its context.
func TestAnEventOfAnExportMayUseTheEngine(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.ChangeUser(user.ID, func(u *record.User) { u.Password[len(u.Password)-1] ^= 1 })
		var failed error
		told := false
		var engine *latchkey.Engine
		engine = k.Configured(func(c *latchkey.Config) {
			c.OnEvent = func(ctx context.Context, e latchkey.Event) {
				if strings.HasPrefix(e.Name, "integrity.") {
					told = true
					ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
					defer cancel()
					failed = kit.Err(engine.Users().UpdateName(ctx, e.UserID, "Damaged"))
				}
			}
		})
		if err := engine.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(latchkey.Portable) error { return nil }); err == nil {
			k.Error("the export succeeds")
		}
		if !told || failed != nil {
			k.Errorf("told: %t, the call: %v", told, failed)
		}
	})
}

// An export ends, whatever a callback of the host does. The test closes no store: today that
// would wait for the snapshot for ever.
func TestAnExportEndsThoughAnEventEndsItsGoroutine(t *testing.T) {
	for _, b := range kit.Backends {
		t.Run(b.Name, func(t *testing.T) {
			s := kit.Open(t, b.Name)
			engine, err := latchkey.New(s, latchkey.Config{
				Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true, Hasher: hashertest.New(t), Logger: slog.New(slog.DiscardHandler),
				OnEvent: func(_ context.Context, e latchkey.Event) {
					if strings.HasPrefix(e.Name, "integrity.") {
						runtime.Goexit()
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := engine.Users().Create(t.Context(), latchkey.NewUser{UserID: "ada", Email: kit.Ada, Password: kit.Password}); err != nil {
				t.Fatal(err)
			}
			if err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
				u, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text("ada"))
				if err != nil {
					return err
				}
				u.Password[len(u.Password)-1] ^= 1
				return record.Users.Replace(ctx, tx, u)
			}); err != nil {
				t.Fatal(err)
			}
			aside(func() {
				_ = engine.Export(context.Background(), latchkey.ExportOptions{Secrets: true}, func(latchkey.Portable) error { return nil })
			})
		})
	}
}

// What is slowed of a user is shown, also where the user has signed in before.
func TestThrottledShowsWhatIsSlowedOfAUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignIn(kit.Ada) // the client is known
		var slowed *latchkey.ThrottledError
		for range 40 {
			if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "a wrong horse")); errors.As(err, &slowed) {
				break
			}
		}
		if slowed == nil {
			k.Fatal("nothing is slowed")
		}
		all := 0
		k.Must(k.Throttled(k.Ctx, func(latchkey.Throttled) error { all++; return nil }))
		own, err := k.Users().Throttled(k.Ctx, user.ID)
		k.Must(err)
		k.Same("of the store, and of the user", []int{all, len(own)}, []int{1, 1})
	})
}

// A second run changes nothing, also of records without an id and an address.
func TestASecondRunMakesNoUserTwice(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		all := []latchkey.Portable{person(latchkey.PortableUser{Name: "Nobody", Labels: []string{"vip"}}), person(latchkey.PortableUser{Email: kit.Ada})}
		first, _ := imports(k, trusted, the(all...))
		before := k.Everything()
		second, _ := imports(k, trusted, the(all...))
		k.Same("the rows", k.Everything()["users"], before["users"])
		if strings.Contains(strings.Join(second, ";"), " created") {
			k.Errorf("first %v, then %v", first, second)
		}
	})
}

// A batch in which every user has very much comes as a whole.
func TestABatchOfRichUsers(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		all := somePeople(60)
		for n := range all {
			u := all[n].User
			u.Name = strings.TrimSpace(strings.Repeat(fmt.Sprintf("a%d ", n), 20))
			for i := range 100 {
				u.Identities = append(u.Identities, latchkey.PortableIdentity{
					Provider: "acme", Issuer: fmt.Sprintf("https://%d.example", i), Subject: fmt.Sprint(n), Email: fmt.Sprintf("i%d-%d@example.org", n, i), EmailVerified: true,
				})
				u.Targets = append(u.Targets, latchkey.Target{ProviderType: "push", Identifier: fmt.Sprintf("%d/%d", n, i)})
				if i == 0 {
					u.Targets[0] = latchkey.Target{ProviderType: "email", Identifier: u.Email}
				}
				u.RecoveryCodes = append(u.RecoveryCodes, latchkey.PortableRecoveryCode{Code: hidden.New(fmt.Sprintf("%010x", i))})
			}
		}
		_, done := imports(k, trusted, the(all...))
		k.Same("counts", done, latchkey.Imported{Created: 60})
		n := 0
		k.Must(k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(p latchkey.Portable) error {
			if n++; len(p.User.Identities) != 100 || len(p.User.Targets) != 100 || len(p.User.RecoveryCodes) != 100 {
				return fmt.Errorf("%d, %d, %d", len(p.User.Identities), len(p.User.Targets), len(p.User.RecoveryCodes))
			}
			return nil
		}))
		k.Same("exported", n, 60)
	})
}

// An import beside live calls that take the same numbers, targets and identities gives each to one.
func TestAnImportBesideTargetsNumbersAndIdentities(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		host := k.SignUp(kit.Ada)
		all := somePeople(1_000)
		for n := range all {
			all[n].User.Phone = fmt.Sprintf("+1415556%04d", n)
			all[n].User.Targets = []latchkey.Target{
				{ID: fmt.Sprintf("t%d", n), ProviderType: "push", Identifier: fmt.Sprint("device", n)},
				{ProviderType: "email", Identifier: all[n].User.Email}, {ProviderType: "sms", Identifier: all[n].User.Phone},
			}
			all[n].User.Identities = []latchkey.PortableIdentity{{ID: fmt.Sprint("i", n), Provider: "acme", Issuer: "https://acme.example", Subject: fmt.Sprint(n), Email: fmt.Sprintf("proven%d@example.org", n), EmailVerified: true}}
		}
		var wg sync.WaitGroup
		unexpected := func(err error) {
			if err != nil && !errors.Is(err, latchkey.ErrUserAlreadyExists) && !errors.Is(err, latchkey.ErrTargetAlreadyExists) && !errors.Is(err, latchkey.ErrBusy) {
				k.Errorf("%v", err)
			}
		}
		for i := range 20 {
			wg.Go(func() {
				unexpected(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Phone: fmt.Sprintf("+1415556%04d", i*50)})))
				unexpected(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: fmt.Sprintf("proven%d@example.org", i*50+1)})))
				unexpected(kit.Err(k.Users().CreateTarget(k.Ctx, host.ID, latchkey.NewTarget{ID: fmt.Sprint("t", i*50+2), ProviderType: "push", Identifier: fmt.Sprint("x", i)})))
				unexpected(kit.Err(k.Users().CreateTarget(k.Ctx, host.ID, latchkey.NewTarget{ProviderType: "push", Identifier: fmt.Sprint("device", i*50+3)})))
			})
		}
		_, done := imports(k, trusted, the(all...))
		wg.Wait()
		k.Same("records", done.Created+done.Refused, 1_000)
	})
}

// Codes and second factors of a user that are slowed are shown too.
func TestThrottledShowsSlowedCodesAndFactors(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		id := account.UserID()
		session, err := k.Answers(account, latchkey.FactorTOTP, app.Code()) // the client is known for the factor
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		var slowed *latchkey.ThrottledError
		for what, do := range map[string]func() error{
			"a code that nobody has asked for": func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, id, "000000")) },
			"an authenticator": func() error {
				challenge, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
				if err != nil {
					return err
				}
				return kit.Err(account.ConfirmMFAChallenge(k.Ctx, challenge.ID, kit.OtherCode(app.Code())))
			},
		} {
			before := 0
			k.Must(k.Throttled(k.Ctx, func(latchkey.Throttled) error { before++; return nil }))
			ownBefore, err := k.Users().Throttled(k.Ctx, id)
			k.Must(err)
			slowed = nil
			for range 60 {
				if err := do(); errors.As(err, &slowed) {
					break
				}
			}
			after := 0
			k.Must(k.Throttled(k.Ctx, func(latchkey.Throttled) error { after++; return nil }))
			own, err := k.Users().Throttled(k.Ctx, id)
			k.Must(err)
			if slowed == nil || after-before != len(own)-len(ownBefore) {
				k.Errorf("%s: slowed %v; of the store %d more, of the user %d more", what, slowed, after-before, len(own)-len(ownBefore))
			}
		}
	})
}
