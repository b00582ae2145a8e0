package operations_test

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/mailclass"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/ratelimit"
)

// A panic of the clock reaches the caller, changes no row, and leaves the engine
// usable.
func TestEveryOperationSurvivesAPanicOfTheClock(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		if op.Name == "Account.ExtendSession" {
			op.Do = func(w *operations.World) error {
				return kit.Err(w.Account.ExtendSession(w.Ctx, latchkey.CurrentSession))
			}
		}
		w := operations.NewWorld(k, true, op)
		broken := false
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Notifier: k.Box, SMS: k.Box, RedirectHosts: []string{"app.example.org"}, Providers: []oauth.Provider{k.Acme}, Passkeys: kit.Passkeys, Now: func() time.Time {
			if broken {
				panic("no time")
			}
			return k.Clock.Now()
		}})
		k.Must(err)
		defer func() { k.Must(engine.Close()) }()
		k.Engine, k.Visitor = engine, engine.Guest(kit.Client)
		if w.Account, err = k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal()); err != nil {
			k.Fatal(err)
		}
		before := k.Everything()
		broken = true
		func() {
			defer func() { _ = recover() }()
			_ = op.Do(w)
		}()
		broken = false
		k.Same("rows", k.Everything(), before)
		k.Must(op.Do(w))
	})
}

type panicking struct{}

func (panicking) Country(netip.Addr) string { panic("no map") }

func (panicking) Classify(context.Context, string) (mailclass.Class, error) { panic("no list") }

func (panicking) Take(context.Context, ratelimit.Key, ratelimit.Rule, time.Time) (ratelimit.Result, error) {
	panic("no count")
}

func (panicking) Begin(context.Context, string) context.Context { panic("no start") }

func (panicking) Observe(context.Context, latchkey.Observation) { panic("no sight") }

func (panicking) Notify(context.Context, notify.Message) error { panic("no voice") }

func (panicking) Peek(context.Context, ratelimit.Key, ratelimit.Rule, time.Time) (ratelimit.Result, error) {
	panic("no count")
}
func (panicking) Return(context.Context, ratelimit.Key, ratelimit.Result) error { panic("no count") }

func (panicking) Forget(context.Context, ratelimit.Key) error { panic("no count") }

// A panic of any other callback fails only one kind of operation: a guess at a
// secret, which has to ask the limiter.
func TestEveryOperationSurvivesPanicsOfTheOtherCallbacks(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		for _, limiter := range []ratelimit.Limiter{panicking{}, ratelimit.NewMemory(0)} {
			w := operations.NewWorld(k, true, op)
			engine, err := latchkey.New(k.Store, latchkey.Config{
				Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now, Locator: panicking{}, Limiter: limiter,
				AddressClassifier: panicking{}, Observer: panicking{},
				Policy: latchkey.Policy{Addresses: latchkey.AddressPolicy{
					RefuseDisposable: true, RefuseAliased: true, RefuseFree: true, RefuseNotCorporate: true,
				}},
				OnEvent: func(context.Context, latchkey.Event) { panic("no ear") }, Logger: slog.New(slog.DiscardHandler),
				Notifier: panicking{}, SMS: panicking{}, RedirectHosts: []string{"app.example.org"}, Providers: []oauth.Provider{k.Acme}, Passkeys: kit.Passkeys,
			})
			k.Must(err)
			defer func() { k.Must(engine.Close()) }()
			client := kit.Client
			client.OnLimit = func(latchkey.LimitResult) { panic("no eye") }
			k.Engine, k.Visitor = engine, engine.Guest(client)
			if w.Account, err = k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal()); err != nil {
				k.Fatal(err)
			}
			guesses := slices.Contains([]string{
				"Guest.CreateEmailPasswordSession", "Account.UpdatePassword", "Account.UpdateEmail", "Account.UpdatePhone", "Guest.CreateSession", "Guest.CreateSession by link", "Guest.CreateSession by code", "Guest.RedeemOAuth2Token",
				"Guest.AcceptInvitation", "Account.AcceptInvitation", "Guest.DeclineInvitation", "Account.ConfirmPassword", "Account.CreateEmailChange", "Account.CreatePhoneChange", "Account.ConfirmPhoneChange",
				"Guest.ConfirmPhoneVerification", "Account.ConfirmPhoneVerification", "Account.ConfirmMFAChallenge", "Account.FinishPasskeyChallenge",
			}, op.Name)
			switch err := op.Do(w); {
			case limiter == panicking{} && guesses:
				if err != latchkey.ErrBusy {
					k.Errorf("%v, want %v", err, latchkey.ErrBusy)
				}
			case err != nil:
				k.Errorf("%v", err)
			}
			k.Engine = k.WithKeys(k.Keys)
			k.Visitor = k.Guest(kit.Client)
			k.DeleteAll()
		}
	})
}
