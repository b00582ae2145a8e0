package latchkey_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/store/memory"
)

// triesOf runs an engine with an outbox in a bubble, on which ada has a new password, and returns the tries of
// the next hour.
func triesOf(t *testing.T, n notify.Func, receive func(context.Context, latchkey.Event) error) (all []latchkey.Observation) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		seen := new(observer)
		c := latchkey.Config{
			Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler), Hasher: hashertest.New(t),
			Outbox: new(latchkey.Outbox), Observer: seen,
		}
		if n != nil {
			c.Notifier = n
		}
		if receive != nil {
			c.Outbox.Receivers = []latchkey.Receiver{{Name: "crm", Events: []string{"users.*.update.password"}, Receive: receive}}
		}
		engine, err := latchkey.New(memory.Open(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Users().Create(t.Context(), latchkey.NewUser{UserID: "ada", Email: kit.Ada, Password: kit.Password}); err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Users().UpdateEmailVerification(t.Context(), "ada", true); err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Users().UpdatePassword(t.Context(), "ada", "another secret"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		for _, o := range seen.seen {
			if o.What == latchkey.ObservedDelivery {
				all = append(all, o)
			}
		}
	})
	return all
}

// The observer hears how long a message has waited since it was asked for, also if it was tried before.
func TestTheTimeThatAMessageHasWaitedCountsFromTheCall(t *testing.T) {
	all := triesOf(t, func(_ context.Context, m notify.Message) error {
		if m.Try < 4 {
			return errors.New("away")
		}
		return nil
	}, nil)
	if len(all) != 4 || all[3].Outcome != "" {
		t.Fatalf("%+v", all)
	}
	if all[3].Waited < 21*time.Second { // 1, 4 and 16
		t.Errorf("the fourth try was 21 s after the call, and Waited is %v", all[3].Waited)
	}
}

// The time of a try is not a part of the time before it.
func TestTheTimeOfATryDoesNotCountAsWaiting(t *testing.T) {
	all := triesOf(t, nil, func(context.Context, latchkey.Event) error { <-time.After(time.Minute); return nil })
	if len(all) != 1 || all[0].Took != time.Minute {
		t.Fatalf("%+v", all)
	}
	if all[0].Waited > time.Second {
		t.Errorf("the try has begun at once, and Waited is %v", all[0].Waited)
	}
}

// The observer hears of every event that is given up, also if the receiver has ended its goroutine.
func TestTheObserverHearsOfAnEventThatIsGivenUpByGoexit(t *testing.T) {
	all := triesOf(t, nil, func(context.Context, latchkey.Event) error { runtime.Goexit(); return nil })
	if len(all) != 1 || all[0].Outcome != "dropped" {
		t.Errorf("%+v", all)
	}
}

// A panic of the host in the transaction is one fault, and has one line in the log.
func TestAPanicInsideTheTransactionIsLoggedOnce(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		user := k.SignUp(kit.Ada)
		l.refuse = func(latchkey.Event) error { panic("no ink") }
		k.Logged.Take()
		if err := kit.Err(k.Users().UpdateName(k.Ctx, user.ID, "Eve")); !latchkey.IsFault(err) {
			k.Error(err)
		}
		if lines := k.Logged.Take(); len(lines) != 1 {
			k.Errorf("%d lines: %.200q", len(lines), lines)
		}
		l.refuse = nil
	})
}
