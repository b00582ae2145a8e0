package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// inTime runs a test with engines on one store in memory, whose clock is that of a bubble.
func inTime(t *testing.T, engines int, c latchkey.Config, test func(s store.Store, engines []*latchkey.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := memory.Open()
		c.Keys, c.Hasher, c.Logger = latchkey.Keys{Active: latchkey.GenerateKey()}, hashertest.New(t), slog.New(slog.DiscardHandler)
		var all []*latchkey.Engine
		for range engines {
			engine, err := latchkey.New(s, c)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, engine)
		}
		test(s, all)
		for _, engine := range all {
			if err := engine.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A process renews the row of a delivery that takes longer than it has the row, so that no other process
// delivers it meanwhile.
func TestALongDeliveryIsNotTakenOver(t *testing.T) {
	var deliveries atomic.Int64
	c := latchkey.Config{Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "slow", Receive: func(ctx context.Context, e latchkey.Event) error {
		deliveries.Add(1)
		<-time.After(119 * time.Second)
		return ctx.Err()
	}}}}, MaxClockStep: time.Second}
	inTime(t, 3, c, func(s store.Store, engines []*latchkey.Engine) {
		if _, err := engines[0].Users().Create(context.Background(), latchkey.NewUser{Email: "ada@example.org"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Minute)
		if list, err := engines[0].Undelivered(context.Background()); err != nil || list.Total != 0 || deliveries.Load() != 1 {
			t.Errorf("%+v, %v, %d deliveries", list, err, deliveries.Load())
		}
	})
}

// A receiver has two minutes. An event that it has not taken by then comes again.
func TestAReceiverHasTwoMinutes(t *testing.T) {
	var tries, took atomic.Int64
	c := latchkey.Config{Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "stuck", Receive: func(ctx context.Context, e latchkey.Event) error {
		if tries.Add(1) > 1 {
			return nil
		}
		began := time.Now()
		<-ctx.Done()
		took.Store(int64(time.Since(began)))
		return ctx.Err()
	}}}}}
	inTime(t, 1, c, func(s store.Store, engines []*latchkey.Engine) {
		if _, err := engines[0].Users().Create(context.Background(), latchkey.NewUser{Email: "ada@example.org"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2*time.Minute + 3*time.Second)
		if tries.Load() != 2 || time.Duration(took.Load()) != 2*time.Minute {
			t.Errorf("%d tries, the first one of %v", tries.Load(), time.Duration(took.Load()))
		}
	})
}

// A receiver that is away for a while gets every event when it is back. Its lane pauses meanwhile, and each
// event that has failed comes again after a wait of its own.
func TestAReceiverThatComesBackGetsEverything(t *testing.T) {
	var down atomic.Bool
	var taken, tries atomic.Int64
	down.Store(true)
	c := latchkey.Config{Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "away", Receive: func(context.Context, latchkey.Event) error {
		tries.Add(1)
		if down.Load() {
			return errors.New("away")
		}
		taken.Add(1)
		return nil
	}}}}}
	inTime(t, 2, c, func(s store.Store, engines []*latchkey.Engine) {
		for n := range 200 {
			if _, err := engines[n%2].Users().Create(context.Background(), latchkey.NewUser{Email: fmt.Sprintf("u%d@example.org", n)}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(6 * time.Hour)
		if n := tries.Load(); n > 200*13 { // seven in the first half hour, and then one an hour
			t.Errorf("%d tries while it is away", n)
		}
		down.Store(false)
		<-time.After(2 * time.Hour)
		if taken.Load() != 200 {
			t.Errorf("%d of 200", taken.Load())
		}
	})
}

// A delivery that ends its process each time is given up in the end.
func TestADeliveryThatNeverEndsIsGivenUp(t *testing.T) {
	c := latchkey.Config{
		Notifier: notify.Func(func(context.Context, notify.Message) error { return nil }),
		Outbox:   &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "all", Receive: func(context.Context, latchkey.Event) error { return errors.New("no") }}}},
	}
	inTime(t, 1, c, func(s store.Store, engines []*latchkey.Engine) {
		if _, err := engines[0].Users().Create(context.Background(), latchkey.NewUser{Email: "ada@example.org"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		<-time.After(100 * time.Millisecond)
		err := s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
			rows, err := record.Outbox.List(ctx, tx, store.Query{Index: record.Outbox.Primary(), Limit: 10})
			if err != nil {
				return err
			}
			rows[0].Tries = 1000
			return record.Outbox.Replace(ctx, tx, rows[0])
		})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(3 * time.Second)
		list, err := engines[0].Undelivered(context.Background())
		if err != nil || list.Total != 1 || list.Undelivered[0].Cause != "outbox: tried too often" || list.Undelivered[0].GivenUpAt.IsZero() {
			t.Errorf("%+v, %v", list, err)
		}
		// The host may have it tried again.
		if err := engines[0].Requeue(context.Background(), list.Undelivered[0].ID); err != nil {
			t.Error(err)
		}
		<-time.After(100 * time.Millisecond)
		if list, err = engines[0].Undelivered(context.Background()); err != nil || list.Undelivered[0].Tries != 1002 || list.Undelivered[0].Failures != 1 {
			t.Errorf("%+v, %v", list.Undelivered[0], err)
		}
	})
}

// Many events of a user behind one that is refused do not keep that one from its next try.
func TestManyEventsBehindOneThatFailsDoNotHoldItUp(t *testing.T) {
	const behind = 3000
	var mu sync.Mutex
	var tries []time.Duration
	var order []string
	var done chan struct{}
	var began time.Time
	c := latchkey.Config{Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "crm", Receive: func(_ context.Context, e latchkey.Event) error {
		mu.Lock()
		defer mu.Unlock()
		if since := time.Since(began); since < 40*time.Minute {
			tries = append(tries, since.Round(time.Minute))
			return errors.New("500")
		}
		if order = append(order, e.Pattern()); len(order) == behind+1 {
			close(done)
		}
		return nil
	}}}}, LimiterPerProcess: true}
	inTime(t, 1, c, func(_ store.Store, engines []*latchkey.Engine) {
		began, done = time.Now(), make(chan struct{})
		users := engines[0].Users()
		if _, err := users.Create(context.Background(), latchkey.NewUser{UserID: "ada", Email: kit.Ada}); err != nil {
			t.Fatal(err)
		}
		for n := range behind {
			if _, err := users.UpdateLabels(context.Background(), "ada", []string{fmt.Sprint("l", n)}); err != nil {
				t.Fatal(err)
			}
		}
		<-done
		mu.Lock()
		defer mu.Unlock()
		// It waits for 1, 4, 16, 64, 256 and 1,024 seconds.
		if want := []time.Duration{0, 0, 0, 0, time.Minute, 6 * time.Minute, 23 * time.Minute}; !slices.Equal(tries, want) {
			t.Errorf("the first event is tried after %v", tries)
		}
		if order[0] != "users.*.create" {
			t.Errorf("the first event that is taken is %s", order[0])
		}
	})
}
