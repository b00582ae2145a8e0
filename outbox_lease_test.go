package latchkey_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/store/memory"
)

// A process that was held up between the commit and the delivery for longer than it has the row does not send
// the message that another process is sending.
func TestAProcessThatWasHeldUpAfterTheCommitDoesNotSendAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.Open()
		keys := latchkey.Keys{Active: latchkey.GenerateKey()}
		tries := make(chan int, 10)
		open := func(onEvent func(context.Context, latchkey.Event)) *latchkey.Engine {
			engine, err := latchkey.New(s, latchkey.Config{
				Keys: keys, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler), Hasher: hashertest.New(t), Outbox: new(latchkey.Outbox), OnEvent: onEvent,
				Notifier: notify.Func(func(_ context.Context, m notify.Message) error {
					tries <- m.Try
					<-time.After(time.Minute)
					return nil
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			return engine
		}
		slow := open(func(_ context.Context, e latchkey.Event) {
			if e.Pattern() == "users.*.update.password" {
				<-time.After(2 * time.Minute) // the row is committed, and this process has it
			}
		})
		other := open(nil)
		ctx := t.Context()
		if _, err := slow.Users().Create(ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada, Password: kit.Password}); err != nil {
			t.Fatal(err)
		}
		if _, err := slow.Users().UpdateEmailVerification(ctx, "ada", true); err != nil {
			t.Fatal(err)
		}
		if _, err := slow.Users().UpdatePassword(ctx, "ada", "another secret"); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Minute)
		if err := slow.Close(); err != nil {
			t.Error(err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		close(tries)
		var all []int
		for n := range tries {
			all = append(all, n)
		}
		if len(all) != 1 {
			t.Errorf("the message was sent %d times, as tries %v", len(all), all)
		}
	})
}

// A notifier that ignores the end of its context holds its message up for a bounded time: another process sends it.
func TestAMessageOfAStuckNotifierIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.Open()
		keys := latchkey.Keys{Active: latchkey.GenerateKey()}
		release, took := make(chan struct{}), make(chan notify.Message, 10)
		open := func(n notify.Func) *latchkey.Engine {
			engine, err := latchkey.New(s, latchkey.Config{
				Keys: keys, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler), Hasher: hashertest.New(t), Notifier: n, Outbox: new(latchkey.Outbox),
			})
			if err != nil {
				t.Fatal(err)
			}
			return engine
		}
		stuck := open(func(context.Context, notify.Message) error { <-release; return nil })
		ctx := t.Context()
		if _, err := stuck.Users().Create(ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada, Password: kit.Password}); err != nil {
			t.Fatal(err)
		}
		if _, err := stuck.Users().UpdateEmailVerification(ctx, "ada", true); err != nil {
			t.Fatal(err)
		}
		if _, err := stuck.Users().UpdatePassword(ctx, "ada", "another secret"); err != nil { // a notice, which does not run out
			t.Fatal(err)
		}
		synctest.Wait()
		other := open(func(_ context.Context, m notify.Message) error { took <- m; return nil })
		<-time.After(71 * time.Hour)
		if len(took) == 0 {
			list, err := other.Undelivered(ctx)
			if err != nil || list.Total != 1 {
				t.Fatal(list, err)
			}
			t.Errorf("no other process has sent the message within 71 hours, and Requeue says: %v", other.Requeue(ctx, list.Undelivered[0].ID))
		}
		close(release)
		if err := stuck.Close(); err != nil {
			t.Error(err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A receiver that ignores its context holds the events of one transaction up for a bounded time, and not the first of them alone.
func TestTheEventsBehindAStuckOneAreTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.Open()
		keys := latchkey.Keys{Active: latchkey.GenerateKey()}
		release, took := make(chan struct{}), make(chan latchkey.Event, 10)
		open := func(receive func(context.Context, latchkey.Event) error) *latchkey.Engine {
			engine, err := latchkey.New(s, latchkey.Config{
				Keys: keys, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler), Hasher: hashertest.New(t),
				Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "crm", Events: []string{"users.*.sessions.*.delete"}, Receive: receive}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return engine
		}
		stuck := open(func(context.Context, latchkey.Event) error { <-release; return nil })
		ctx := t.Context()
		if _, err := stuck.Users().Create(ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := stuck.Users().CreateSession(ctx, "ada"); err != nil {
				t.Fatal(err)
			}
		}
		if err := stuck.Users().DeleteSessions(ctx, "ada"); err != nil { // two events in one transaction
			t.Fatal(err)
		}
		synctest.Wait()
		other := open(func(_ context.Context, e latchkey.Event) error { took <- e; return nil })
		<-time.After(71 * time.Hour)
		if len(took) != 2 {
			t.Errorf("another process has got %d of two events within 71 hours", len(took))
		}
		close(release)
		if err := stuck.Close(); err != nil {
			t.Error(err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
}
