package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
)

func TestClosedEngineRefuses(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Must(k.Close())
		_, authenticate := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		_, create := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: "b@example.org", Password: kit.Password})
		_, signIn := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		_, anonymous := k.Visitor.CreateAnonymousSession(k.Ctx)
		_, user := account.User(k.Ctx)
		for name, err := range map[string]error{
			"Authenticate": authenticate, "CreateAccount": create, "CreateEmailPasswordSession": signIn,
			"CreateAnonymousSession": anonymous, "User": user, "DeleteSessions": account.DeleteSessions(k.Ctx),
		} {
			if !errors.Is(err, latchkey.ErrClosed) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

// pass advances the clock of a synctest bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestMessagesAreTriedAgainAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, box := memory.Open(), new(notify.Mailbox)
		engine, err := latchkey.New(s, latchkey.Config{
			Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Notifier: box, Logger: slog.New(slog.DiscardHandler),
			Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(n int) {
			if err := kit.Err(engine.Guest(kit.Client).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})); err != nil {
				t.Fatal(err)
			}
		}
		ask(0)
		synctest.Wait()
		box.Fail(errors.New("not now"))
		ask(1)
		synctest.Wait()
		if d := engine.Deliveries(); d != (latchkey.Deliveries{Waiting: 1, Sent: 1, Retried: 1}) {
			t.Errorf("%+v", d)
		}
		pass(6 * time.Second)
		box.Fail(nil)
		pass(15 * time.Second)
		synctest.Wait()
		if d := engine.Deliveries(); d != (latchkey.Deliveries{Sent: 2, Retried: 3}) {
			t.Errorf("%+v", d)
		}
		box.Fail(notify.Permanent(errors.New("no such mailbox")))
		ask(2)
		synctest.Wait()
		box.Fail(errors.New("never"))
		ask(3)
		pass(10 * time.Minute)
		synctest.Wait()
		if d := engine.Deliveries(); d != (latchkey.Deliveries{Sent: 2, Retried: 8, Dropped: 2}) {
			t.Errorf("%+v", d)
		}
		for n := range 700 { // more than the queue of retries holds
			ask(10 + n)
			synctest.Wait()
		}
		if d := engine.Deliveries(); d.Waiting != 500 || d.Dropped != 202 {
			t.Errorf("%+v", d)
		}
		box.Fail(nil)
		ask(5)
		synctest.Wait()
		if _, err := box.Next(t.Context(), "u5@example.org"); err != nil {
			t.Error(err)
		}
		if err := errors.Join(engine.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if d := engine.Deliveries(); d.Waiting != 0 || d.Sent != 503 || len(box.All()) != 502 {
			t.Errorf("after Close: %+v, %d", d, len(box.All()))
		}
	})
}

// The queue of messages keeps room for notices, which tell users of thefts.
func TestNoticesHaveRoomOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := memory.Open(), make(chan struct{})
		stuck := notify.Func(func(context.Context, notify.Message) error { <-stop; return nil })
		engine, err := latchkey.New(s, latchkey.Config{
			Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Notifier: stuck, Logger: slog.New(slog.DiscardHandler),
			Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)),
		})
		if err != nil {
			t.Fatal(err)
		}
		user, err := engine.Users().Create(t.Context(), latchkey.NewUser{Email: kit.Ada})
		if err != nil {
			t.Fatal(err)
		}
		if err := kit.Err(engine.Users().UpdateEmailVerification(t.Context(), user.ID, true)); err != nil {
			t.Fatal(err)
		}
		for n := range 1000 {
			if err := kit.Err(engine.Guest(kit.Client).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})); err != nil {
				t.Fatal(err)
			}
		}
		if d := engine.Deliveries(); d.Waiting != 900 || d.Dropped != 100 {
			t.Errorf("%+v", d)
		}
		if err := kit.Err(engine.Users().UpdateEmail(t.Context(), user.ID, kit.Bob)); err != nil {
			t.Fatal(err)
		}
		if d := engine.Deliveries(); d.Waiting != 901 || d.Dropped != 100 {
			t.Errorf("%+v", d)
		}
		close(stop)
		if err := errors.Join(engine.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.Open()
		stuck := notify.Func(func(ctx context.Context, _ notify.Message) error { <-ctx.Done(); return ctx.Err() })
		engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Notifier: stuck, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 6 {
			if err := kit.Err(engine.Guest(kit.Client).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := errors.Join(engine.CloseContext(ctx), s.Close()); err != nil {
			t.Error(err)
		}
		if d := engine.Deliveries(); d.Waiting != 0 || d.Dropped != 6 {
			t.Errorf("%+v", d)
		}
	})
}

func TestNotifierThatMisbehavesHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.Open()
		stop := make(chan struct{})
		engine, err := latchkey.New(s, latchkey.Config{
			Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Logger: slog.New(slog.DiscardHandler),
			Notifier: notify.Func(func(context.Context, notify.Message) error {
				var e *net.OpError
				return e // its Unwrap panics
			}),
			SMS: notify.Func(func(context.Context, notify.Message) error { <-stop; return nil }),
		})
		if err != nil {
			t.Fatal(err)
		}
		guest := engine.Guest(kit.Client)
		if err := kit.Err(guest.CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: kit.Ada})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := engine.Deliveries(); d != (latchkey.Deliveries{Dropped: 1}) {
			t.Errorf("%+v", d)
		}
		if err := kit.Err(guest.CreatePhoneToken(t.Context(), "", kit.Phone)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := engine.Close(); err == nil {
			t.Error("Close does not say that a notifier hangs")
		}
		close(stop)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
