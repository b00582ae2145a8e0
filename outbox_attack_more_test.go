package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/query"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// picky returns the configuration of a host whose receiver refuses the events of users whose id begins with odd, and the
// number of those that it has taken.
func picky() (c latchkey.Config, taken *atomic.Int64) {
	taken = new(atomic.Int64)
	c.Outbox = &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "crm", Receive: func(_ context.Context, e latchkey.Event) error {
		if strings.HasPrefix(e.UserID, "odd") {
			return errors.New("500")
		}
		taken.Add(1)
		return nil
	}}}}
	return c, taken
}

// signUpOdd makes users whose events picky refuses, and one more.
func signUpOdd(t *testing.T, engine *latchkey.Engine, odd int) {
	t.Helper()
	ids := []string{"bob"}
	for n := range odd {
		ids = append(ids, fmt.Sprint("odd", n))
	}
	slices.Reverse(ids) // the one more is the last
	for _, id := range ids {
		if _, err := engine.Users().Create(context.Background(), latchkey.NewUser{UserID: id, Email: id + "@example.org"}); err != nil {
			t.Fatal(err)
		}
	}
}

// Users whose events the receiver refuses do not hold up the events of others for hours.
func TestUsersWhoseEventsAreRefusedHoldUpNoOther(t *testing.T) {
	c, taken := picky()
	inTime(t, 1, c, func(_ store.Store, engines []*latchkey.Engine) {
		signUpOdd(t, engines[0], 60)
		<-time.After(10 * time.Minute)
		if taken.Load() == 0 {
			t.Error("the event of another user has waited for ten minutes")
		}
	})
}

// An event that this process cannot decode, because a newer process has made it, is left to the newer one.
func TestAnEventOfANewerProcessIsNotGivenUpByAnOlderOne(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(string, int) error { return errors.New("no") })
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
		e.settled()
		k.Logged.Take()
		k.Engine = e.engine(nil)
		latchkey.ForgetPayloads(k.Engine)
		k.Clock.Advance(time.Second)
		waits(k, func(rows []*record.Delivery) bool { return rows[0].Failures > 1 })
		if row := rowsOfOutbox(k)[0]; !row.GivenUp.IsZero() {
			k.Errorf("it is given up after %d tries: %s", row.Tries, row.Cause)
			if lines := k.Logged.Take(); len(lines) == 0 {
				k.Error("and nothing is logged")
			}
		}
	})
}

// Requeue and Discard at once with deliveries: no two deliveries have the same number, none comes after it
// was discarded, and none stays.
func TestRequeueAndDiscardRaceWithDeliveries(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var mu sync.Mutex
		seen := make(map[string]int)
		ended, gone := make(map[string]bool), make(map[string]bool) // with or without a delivery, and by Discard
		var calm atomic.Bool
		e := kept(k, func(c *latchkey.Config) {})
		receive := func(_ context.Context, e latchkey.Event) error {
			mu.Lock()
			defer mu.Unlock()
			seen[fmt.Sprint(e.ID, " ", e.Try)]++
			ended[e.ID+".ear"] = true
			if gone[e.ID+".ear"] {
				k.Errorf("%s comes after it was discarded, as try %d", e.ID, e.Try)
			}
			if calm.Load() || rand.N(3) > 0 {
				return nil
			}
			return errors.New("no")
		}
		change := func(c *latchkey.Config) { c.Outbox.Receivers[0].Receive = receive }
		k.Must(k.Close())
		engines := []*latchkey.Engine{e.engine(change), e.engine(change), e.engine(change)}
		k.Engine = engines[0]
		var group sync.WaitGroup
		stop := make(chan struct{})
		for _, engine := range engines {
			group.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					k.Clock.Advance(time.Duration(rand.N(2000)) * time.Millisecond)
					list, err := engine.Undelivered(k.Ctx)
					if err != nil {
						k.Error(err)
						return
					}
					for _, u := range list.Undelivered {
						var err error
						if rand.N(4) > 0 {
							err = engine.Requeue(k.Ctx, u.ID)
						} else if err = engine.Discard(k.Ctx, u.ID); err == nil {
							mu.Lock()
							ended[u.ID], gone[u.ID] = true, true
							mu.Unlock()
						}
						if err != nil && !errors.Is(err, latchkey.ErrDeliveryNotFound) && !errors.Is(err, latchkey.ErrDeliveryUnderWay) {
							k.Error(err)
						}
					}
				}
			})
		}
		for n := range 12 {
			id := fmt.Sprint("u", n%3)
			if n < 3 {
				k.Must(kit.Err(engines[n%3].Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Email: id + "@example.org"})))
			} else {
				k.Must(kit.Err(engines[n%3].Users().UpdateName(k.Ctx, id, fmt.Sprint("n", n))))
			}
		}
		comes(k, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(ended) >= 12
		})
		close(stop)
		group.Wait()
		calm.Store(true)
		k.Clock.Advance(2 * time.Hour)
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		mu.Lock()
		defer mu.Unlock()
		for what, n := range seen {
			if n > 1 {
				k.Errorf("%s: %d deliveries", what, n)
			}
		}
	})
}

// A host whose InTransaction ends its goroutine rolls back, and the store goes on.
func TestAGoexitInsideTheTransactionRollsBack(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		user := k.SignUp(kit.Ada)
		before := l.lines(k)
		l.refuse = func(latchkey.Event) error { runtime.Goexit(); return nil }
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = k.Users().UpdateName(k.Ctx, user.ID, "Eve")
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			k.Fatal("hangs")
		}
		l.refuse = nil
		k.Same("ledger", l.lines(k), before)
		if now, err := k.Users().Get(k.Ctx, user.ID); err != nil || now.Name == "Eve" {
			k.Errorf("%+v, %v", now, err)
		}
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, user.ID, "Ada")))
	})
}

// An operation returns the error of the host, also if it is one that the engine knows, and changes nothing.
func TestTheHostAnswersWithErrorsThatTheEngineKnows(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		k.Engine = k.Configured(func(c *latchkey.Config) {
			c.InTransaction, c.Limiter = l.write, ratelimit.ReportOnly(ratelimit.NewMemory(0))
		})
		k.Visitor = k.Guest(kit.Client)
		user := k.SignUp(kit.Ada)
		before := l.lines(k)
		for _, mine := range []error{
			store.ErrExists, store.ErrNotFound, store.ErrReference, store.ErrDone, store.ErrClosed, store.ErrAborted, store.ErrUnknownOutcome, store.ErrInvalid,
			latchkey.ErrClosed, latchkey.ErrUserNotFound, latchkey.ErrBusy, latchkey.ErrUserAlreadyExists, latchkey.ErrInvalidToken, context.Canceled, context.DeadlineExceeded,
		} {
			runs := 0
			l.refuse = func(latchkey.Event) error { runs++; return fmt.Errorf("mine: %w", mine) }
			ops := map[string]func() error{
				"name":    func() error { return kit.Err(k.Users().UpdateName(k.Ctx, user.ID, "Eve")) },
				"create":  func() error { return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Bob})) },
				"sign-in": func() error { return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)) },
				"sign-up": func() error {
					return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: kit.Password}))
				},
				"delete": func() error { return k.Users().Delete(k.Ctx, user.ID) },
			}
			for name, op := range ops {
				runs = 0
				err := op()
				if err == nil || !strings.HasPrefix(err.Error(), "mine: ") || !errors.Is(err, mine) {
					k.Errorf("%s with %v: %v", name, mine, err)
				}
				if runs > 2 {
					k.Errorf("%s with %v: %d runs", name, mine, runs)
				}
			}
		}
		l.refuse = nil
		k.Same("ledger", l.lines(k), before)
	})
}

// A handle that the host keeps is of no use after the transaction.
func TestAKeptHandleIsOver(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		user := k.SignUp(kit.Ada)
		var held store.Tx
		k.Engine = k.Configured(func(c *latchkey.Config) {
			c.InTransaction = func(ctx context.Context, tx store.Tx, e latchkey.Event) error { held = tx; return l.write(ctx, tx, e) }
		})
		k.Must(kit.Err(k.Users().UpdateName(k.Ctx, user.ID, "Ada Lovelace")))
		before := l.lines(k)
		if err := l.write(k.Ctx, held, latchkey.Event{Name: "late"}); err == nil {
			k.Error("a late write is taken")
		}
		if _, err := held.DeleteRange(k.Ctx, store.Query{Index: record.Users.Primary(), Limit: 10}); !errors.Is(err, store.ErrDone) {
			k.Error(err)
		}
		k.Same("ledger", l.lines(k), before)
	})
}

// A receiver that ignores its context holds its row up for a bounded time: another process takes it.
func TestARowOfAStuckReceiverIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.Open()
		keys := latchkey.Keys{Active: latchkey.GenerateKey()}
		release, took := make(chan struct{}), make(chan latchkey.Event, 10)
		open := func(receive func(context.Context, latchkey.Event) error) *latchkey.Engine {
			engine, err := latchkey.New(s, latchkey.Config{
				Keys: keys, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler),
				Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "crm", Receive: receive}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return engine
		}
		stuck := open(func(context.Context, latchkey.Event) error { <-release; return nil })
		if _, err := stuck.Users().Create(t.Context(), latchkey.NewUser{UserID: "bob", Email: kit.Bob}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		other := open(func(_ context.Context, e latchkey.Event) error { took <- e; return nil })
		<-time.After(100 * time.Hour)
		if len(took) == 0 {
			t.Error("the event has not come to the other process within 100 hours")
		}
		close(release)
		if err := errors.Join(stuck.Close(), other.Close()); err != nil {
			t.Error(err)
		}
	})
}

// An event that was given up because it was tried too often is delivered when the host requeues it. The log says
// that it was given up.
func TestWhatWasTriedTooOftenIsRequeued(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		e := kept(k, nil)
		e.failing(func(string, int) error { return errors.New("no") })
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
		waits(k, func(rows []*record.Delivery) bool { return rows[0].Failures == 1 })
		k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			row := rowsIn(ctx, k, tx)[0]
			row.Tries = 1000
			return record.Outbox.Replace(ctx, tx, row)
		}))
		e.failing(nil)
		k.Logged.Take()
		k.Clock.Advance(time.Second)
		waits(k, func(rows []*record.Delivery) bool { return !rows[0].GivenUp.IsZero() })
		comes(k, func() bool { return len(k.Logged.Take()) > 0 })
		k.Must(k.Requeue(k.Ctx, rowsOfOutbox(k)[0].ID))
		e.event()
	})
}

// Sweep gives nothing up that a live lane has not tried yet.
func TestSweepGivesNothingUpThatWaitsForItsTurn(t *testing.T) {
	c, taken := picky()
	inTime(t, 1, c, func(_ store.Store, engines []*latchkey.Engine) {
		engine := engines[0]
		signUpOdd(t, engine, 200)
		for range 74 {
			<-time.After(time.Hour)
			if _, err := engine.Sweep(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if taken.Load() == 0 {
			t.Error("the event of another user has not come within 74 hours")
		}
		list, err := engine.Undelivered(context.Background(), query.IsNotNull("givenUpAt"), query.Equal("failures", 0))
		if err != nil {
			t.Fatal(err)
		}
		untried := 0
		for _, u := range list.Undelivered {
			if u.Tries == 0 && !u.GivenUpAt.IsZero() {
				untried++
			}
		}
		if untried > 0 {
			t.Errorf("at least %d events are given up without a try", untried)
		}
	})
}
