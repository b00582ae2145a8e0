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
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
)

// AC-122: a mailbox gets 60 messages an hour, whoever asks for whatever kind.
func TestAC122MailboxCannotBeFlooded(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		sent := 0
		for n := range 120 {
			guest := k.Guest(at(fmt.Sprintf("192.0.2.%d", n)))
			var err error
			if n%2 == 0 {
				err = ignore(guest.CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada}))
			} else {
				err = ignore(guest.CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: "ADA@example.org"}))
			}
			if err == nil {
				sent++
			} else if !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Fatal(err)
			}
		}
		if sent != 60 {
			k.Errorf("%d messages in an hour", sent)
		}
		if rows := len(k.everything()["tokens"]); rows > 2 { // AC-119: what is started and not finished stays small
			k.Errorf("%d rows", rows)
		}
	})
}

// AC-119: what is started and never finished is one row for each address and
// kind, and goes with its time.
func TestAC119UnfinishedTokensStayFew(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		for n := range 50 {
			for _, ask := range askers {
				k.must(ignore(ask(k, k.guest, fmt.Sprint("id", n))))
			}
		}
		if rows := len(k.everything()["tokens"]); rows != len(askers) {
			k.Errorf("%d rows", rows)
		}
		k.clock.Advance(time.Hour)
		k.must(ignore(k.Sweep(k.ctx)))
		if rows := len(k.everything()["tokens"]); rows != 0 {
			k.Errorf("%d rows after an hour", rows)
		}
	})
}

func TestStrictPolicyCapsMessages(t *testing.T) {
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		ask := func() error {
			return ignore(k.Guest(testClient).CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada}))
		}
		var throttled *latchkey.ThrottledError
		for n := range 5 {
			k.must(ask())
			if err := ask(); !errors.As(err, &throttled) {
				k.Errorf("twice in a minute, %d: %v", n, err)
			}
			k.clock.Advance(time.Minute)
		}
		if err := ask(); !errors.As(err, &throttled) || throttled.RetryAfter < time.Minute {
			k.Errorf("the sixth in an hour: %v", err)
		}
	})
}

// pass lets time pass in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestMessagesAreTriedAgainAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, box := memory.Open(), new(notify.Outbox)
		engine, err := latchkey.New(s, latchkey.Config{
			Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Notifier: box, Logger: slog.New(slog.DiscardHandler),
			Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(n int) {
			if err := ignore(engine.Guest(testClient).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})); err != nil {
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
		for n := range 700 { // more than wait to be tried again
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

// Room is kept for what tells users of thefts.
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
		user, err := engine.Users().Create(t.Context(), latchkey.NewUser{Email: ada})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 1000 {
			if err := ignore(engine.Guest(testClient).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})); err != nil {
				t.Fatal(err)
			}
		}
		if d := engine.Deliveries(); d.Waiting != 900 || d.Dropped != 100 {
			t.Errorf("%+v", d)
		}
		if err := ignore(engine.Users().UpdateEmail(t.Context(), user.ID, bob)); err != nil {
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
			if err := ignore(engine.Guest(testClient).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})); err != nil {
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
		guest := engine.Guest(testClient)
		if err := ignore(guest.CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: ada})); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := engine.Deliveries(); d != (latchkey.Deliveries{Dropped: 1}) {
			t.Errorf("%+v", d)
		}
		if err := ignore(guest.CreatePhoneToken(t.Context(), "", phone)); err != nil {
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
