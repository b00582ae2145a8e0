package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

// bubble is a store in memory with engines, in a bubble whose clock is theirs.
type bubble struct {
	*testing.T
	raw    store.Store
	log    kit.Logged
	config latchkey.Config
}

// inBubble runs a test in a bubble.
func inBubble(t *testing.T, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, raw: memory.Open()}
		b.config = latchkey.Config{
			Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(t), LimiterPerProcess: true, Logger: slog.New(&b.log),
			Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), Outbox: new(latchkey.Outbox),
		}
		test(b)
	})
}

// must ends the test if there is an error.
func (b *bubble) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// engine returns one more engine on the store, whose receiver is receive, unless that is nil.
func (b *bubble) engine(receive func(context.Context, latchkey.Event) error, hook func(storetest.Call) error) *latchkey.Engine {
	b.Helper()
	c := b.config
	if receive != nil {
		c.Outbox = &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "ear", Receive: receive}}}
	}
	engine, err := latchkey.New(&storetest.Hooked{Store: b.raw, Hook: hook}, c)
	b.must(err)
	return engine
}

// user makes a user.
func (b *bubble) user(e *latchkey.Engine, id string) {
	b.Helper()
	b.must(kit.Err(e.Users().Create(b.Context(), latchkey.NewUser{UserID: id, Email: id + "@example.org"})))
}

// rows returns the rows of the outbox, in the order in which they were made.
func (b *bubble) rows() []*record.Delivery {
	b.Helper()
	rows, err := record.Outbox.List(b.Context(), b.raw, store.Query{Index: record.Outbox.Primary(), Limit: store.MaxLimit})
	b.must(err)
	return inOrder(rows)
}

// edit changes the first row of the outbox as another process may.
func (b *bubble) edit(change func(row *record.Delivery)) {
	b.Helper()
	b.must(b.raw.Update(b.Context(), func(ctx context.Context, tx store.Tx) error {
		rows, err := record.Outbox.List(ctx, tx, store.Query{Index: record.Outbox.Primary(), Limit: 1})
		if err != nil {
			return err
		}
		change(rows[0])
		return record.Outbox.Replace(ctx, tx, rows[0])
	}))
}

// logged reports whether the log has a line with a text.
func (b *bubble) logged(text string) bool {
	return slices.ContainsFunc(b.log.Take(), func(line string) bool { return strings.Contains(line, text) })
}

// goesBy waits until a time has gone by and everything that it starts has ended or waits.
func goesBy(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A process renews a row only while it has it: not one that another process has taken over, nor one that was
// given back.
func TestARowOfAnotherProcessIsNotRenewed(t *testing.T) {
	for name, other := range map[string]func(row *record.Delivery){
		"taken over": func(row *record.Delivery) { row.Tries++ },
		"given back": func(row *record.Delivery) { row.Leased = false },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				release := make(chan struct{})
				engine := b.engine(func(context.Context, latchkey.Event) error { <-release; return nil }, quiet)
				b.user(engine, "ada")
				synctest.Wait()
				due := time.Now().Add(80 * time.Second)
				b.edit(func(row *record.Delivery) { other(row); row.Due = due })
				goesBy(35 * time.Second)
				if row := b.rows()[0]; !row.Due.Equal(due) {
					b.Errorf("due %v after it was", row.Due.Sub(due))
				}
				close(release)
				b.must(engine.Close())
			})
		})
	}
}

// A row that was claimed is renewed as one that was just committed.
func TestALongSecondDeliveryIsNotTakenOver(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.config.MaxClockStep = time.Second
		var deliveries atomic.Int64
		receive := func(context.Context, latchkey.Event) error {
			if deliveries.Add(1) == 1 {
				return errors.New("no")
			}
			<-time.After(119 * time.Second)
			return nil
		}
		first, second := b.engine(receive, quiet), b.engine(receive, quiet)
		b.user(first, "ada")
		goesBy(10 * time.Minute)
		if n := deliveries.Load(); n != 2 || len(b.rows()) > 0 {
			b.Errorf("%d deliveries, %d rows", n, len(b.rows()))
		}
		b.must(errors.Join(first.Close(), second.Close()))
	})
}

// If the store does not take the renewal, the log says so.
func TestARenewalThatFailsIsLogged(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var broken atomic.Bool
		release := make(chan struct{})
		engine := b.engine(func(context.Context, latchkey.Event) error { <-release; return nil }, func(c storetest.Call) error {
			if broken.Load() && c.Name == "Commit" {
				return kit.ErrDisk
			}
			return nil
		})
		b.user(engine, "ada")
		synctest.Wait()
		broken.Store(true)
		goesBy(25 * time.Second)
		if !b.logged("deliveries are not renewed") {
			b.Error("the log does not say it")
		}
		broken.Store(false)
		close(release)
		b.must(engine.Close())
	})
}

// Close returns when nothing uses the store any more, also if it is called twice at once: neither during a delivery, nor during
// a renewal.
func TestCloseWaitsForWhatUsesTheStore(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var hold atomic.Bool
		release, renewed := make(chan struct{}), make(chan struct{})
		engine := b.engine(func(context.Context, latchkey.Event) error { <-release; return nil }, func(c storetest.Call) error {
			if c.Name == "Commit" && !c.Done && hold.CompareAndSwap(true, false) {
				<-renewed
			}
			return nil
		})
		b.user(engine, "ada")
		synctest.Wait()
		hold.Store(true)
		goesBy(25 * time.Second) // a renewal has begun
		if hold.Load() {
			b.Fatal("no renewal has begun")
		}
		var ended atomic.Int64
		for range 2 {
			go func() {
				if err := engine.Close(); err != nil {
					b.Error(err)
				}
				ended.Add(1)
			}()
			synctest.Wait()
		}
		if ended.Load() > 0 {
			b.Error("Close does not wait for the delivery")
		}
		close(release)
		goesBy(time.Second)
		if ended.Load() > 0 {
			b.Error("Close does not wait for the renewal")
		}
		close(renewed)
		synctest.Wait()
		if ended.Load() != 2 {
			b.Errorf("%d of 2 have ended", ended.Load())
		}
	})
}

// left makes an engine, calls fn with it, and leaves the events that fn causes in the outbox: no process has them,
// and their time has come.
func (b *bubble) left(fn func(e *latchkey.Engine)) {
	b.Helper()
	maker := b.engine(func(context.Context, latchkey.Event) error { return errors.New("no") }, quiet)
	fn(maker)
	b.must(maker.Close())
	b.must(b.raw.Update(b.Context(), func(ctx context.Context, tx store.Tx) error {
		rows, err := record.Outbox.List(ctx, tx, store.Query{Index: record.Outbox.Primary(), Limit: store.MaxLimit})
		for _, row := range rows {
			row.Tries, row.Failures, row.Leased, row.Due = 0, 0, false, time.Now().Add(-time.Second)
			err = errors.Join(err, record.Outbox.Replace(ctx, tx, row))
		}
		return err
	}))
}

// A receiver gets four events at once, however many wait in the store.
func TestAReceiverGetsFourEventsAtOnce(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.left(func(e *latchkey.Engine) {
			for n := range 20 {
				b.user(e, fmt.Sprint("u", n))
			}
		})
		release := make(chan struct{})
		var running, most atomic.Int64
		engine := b.engine(func(context.Context, latchkey.Event) error {
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
			return nil
		}, quiet)
		for range 20 {
			release <- struct{}{}
			goesBy(10 * time.Second)
		}
		if most.Load() != 4 || len(b.rows()) > 0 {
			b.Errorf("%d at once, %d rows are left", most.Load(), len(b.rows()))
		}
		b.must(engine.Close())
	})
}

// Many events of a user that wait for their turn do not hold up those of another user.
func TestEventsThatWaitForTheirTurnHoldUpNoOther(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.left(func(e *latchkey.Engine) {
			b.user(e, "ada")
			for n := range 200 {
				b.must(kit.Err(e.Users().UpdateName(b.Context(), "ada", fmt.Sprint("Ada ", n))))
			}
			b.user(e, "bob")
		})
		first := b.rows()[0].ID
		b.must(b.raw.Update(b.Context(), func(ctx context.Context, tx store.Tx) error {
			row, err := record.Outbox.Find(ctx, tx, record.Outbox.Primary(), store.Text(first))
			if err != nil {
				return err
			}
			row.Tries, row.Leased, row.Due = 1, true, time.Now().Add(time.Hour)
			return record.Outbox.Replace(ctx, tx, row)
		}))
		began := time.Now()
		took := make(chan time.Duration, 300)
		engine := b.engine(func(_ context.Context, e latchkey.Event) error {
			if e.UserID == "bob" {
				took <- time.Since(began)
			}
			return nil
		}, quiet)
		goesBy(time.Minute)
		if len(took) != 1 {
			b.Fatalf("%d deliveries", len(took))
		}
		if waited := <-took; waited > 2*time.Second {
			b.Errorf("it has waited for %v", waited)
		}
		b.must(engine.Close())
	})
}

// A delivery that waits comes at its time, and not at the next look of the lane.
func TestADeliveryComesAtItsTime(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var at []time.Time
		engine := b.engine(func(context.Context, latchkey.Event) error {
			at = append(at, time.Now())
			if len(at) < 4 {
				return errors.New("no")
			}
			return nil
		}, quiet)
		b.user(engine, "ada")
		goesBy(time.Minute)
		b.must(engine.Close())
		for n, want := range []time.Duration{time.Second, 4 * time.Second, 16 * time.Second} {
			if late := at[n+1].Sub(at[n]) - want; late < -time.Microsecond || late > 100*time.Millisecond { // the end of the one before is gathered with others
				b.Errorf("the %d. try is %v late", n+2, late)
			}
		}
	})
}

// A receiver that fails gets one event a second after the fifth failure, first those that have not failed
// yet.
func TestAReceiverThatFailsGetsOneEventASecond(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var tries atomic.Int64
		var bob atomic.Int64
		engine := b.engine(func(_ context.Context, e latchkey.Event) error {
			tries.Add(1)
			if e.UserID == "bob" {
				bob.Add(1)
			}
			return errors.New("no")
		}, quiet)
		for n := range 300 {
			b.user(engine, fmt.Sprint("u", n))
		}
		goesBy(time.Minute)
		if n := tries.Load(); n < 50 || n > 80 {
			b.Errorf("%d tries in a minute", n)
		}
		goesBy(10 * time.Minute) // all have failed, and most wait for their turn again
		b.user(engine, "bob")
		goesBy(5 * time.Second)
		if bob.Load() == 0 {
			b.Error("the event of another user waits")
		}
		b.must(engine.Close())
	})
}

// Addresses that refuse messages do not hold up those to others.
func TestMessagesThatFailHoldUpNoOther(t *testing.T) {
	inBubble(t, func(b *bubble) {
		got := make(chan time.Time, 1)
		b.config.Notifier = notify.Func(func(_ context.Context, m notify.Message) error {
			if strings.HasPrefix(m.To, "odd") {
				return errors.New("550")
			}
			got <- time.Now()
			return nil
		})
		engine := b.engine(nil, quiet)
		for n := range 10 {
			b.must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(b.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("odd%d@odd%d.example", n, n)})))
		}
		goesBy(100 * time.Millisecond)
		began := time.Now()
		b.must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(b.Context(), latchkey.NewEmailToken{Email: kit.Ada})))
		if waited := (<-got).Sub(began); waited > 100*time.Millisecond {
			b.Errorf("the message has waited for %v", waited)
		}
		b.must(engine.Close())
	})
}

// A message gives its place at the courier back: a domain gets more than it has places at once.
func TestADomainGetsMoreThanItsPlaces(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var sent atomic.Int64
		b.config.Notifier = notify.Func(func(context.Context, notify.Message) error { sent.Add(1); return nil })
		engine := b.engine(nil, quiet)
		for n := range 700 {
			b.must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(b.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})))
			if n%100 == 99 {
				goesBy(time.Second)
			}
		}
		goesBy(time.Second)
		if sent.Load() != 700 {
			b.Errorf("%d of 700", sent.Load())
		}
		b.must(engine.Close())
	})
}

// A message for which the queue of its channel has no room waits for half a minute.
func TestAMessageWithoutRoomWaits(t *testing.T) {
	inBubble(t, func(b *bubble) {
		release := make(chan struct{})
		b.config.Notifier = notify.Func(func(context.Context, notify.Message) error { <-release; return nil })
		engine := b.engine(nil, quiet)
		for n := range 901 { // strangers have 900 places, and a domain 300
			b.must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(b.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@d%d.example", n, n/300)})))
			synctest.Wait()
		}
		now := time.Now()
		goesBy(time.Second)
		rows := b.rows()
		last := rows[len(rows)-1]
		if len(rows) != 901 || last.Tries > 0 || last.Leased || last.Due.Before(now.Add(30*time.Second)) || last.Due.After(now.Add(32*time.Second)) {
			b.Errorf("%d rows, due %v from now, %+v", len(rows), last.Due.Sub(now), last)
		}
		close(release)
		goesBy(time.Minute)
		if n := len(b.rows()); n > 0 {
			b.Errorf("%d rows are left", n)
		}
		b.must(engine.Close())
	})
}

// At the end of Close, messages that wait in the queue are given back at once, for the next process.
func TestCloseGivesQueuedMessagesBack(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.config.Notifier = notify.Func(func(ctx context.Context, _ notify.Message) error {
			<-ctx.Done()
			<-time.After(100 * time.Millisecond) // the queue has ended
			return ctx.Err()
		})
		engine := b.engine(nil, quiet)
		for n := range 20 {
			b.must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(b.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@example.org", n)})))
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		b.must(engine.CloseContext(ctx))
		now, untried := time.Now(), 0
		for _, row := range b.rows() {
			if row.Tries == 0 {
				untried++
				if row.Due.After(now) || row.Leased {
					b.Errorf("due %v from now, leased %v", row.Due.Sub(now), row.Leased)
				}
			}
		}
		if untried == 0 {
			b.Error("every message was tried")
		}
	})
}

// Receivers that end events of a user at the same time get the next ones at once.
func TestTheNextOfEachReceiverComes(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var seconds []time.Duration
		got := make(chan time.Time, 10)
		receive := func(_ context.Context, e latchkey.Event) error {
			if e.Pattern() == "users.*.create" {
				<-time.After(9500 * time.Millisecond)
				return nil
			}
			got <- time.Now()
			return nil
		}
		c := b.config
		for _, name := range []string{"one", "two", "three"} {
			c.Outbox.Receivers = append(c.Outbox.Receivers, latchkey.Receiver{Name: name, Receive: receive})
		}
		engine, err := latchkey.New(b.raw, c)
		b.must(err)
		began := time.Now()
		b.user(engine, "ada")
		b.must(kit.Err(engine.Users().UpdateName(b.Context(), "ada", "Ada")))
		goesBy(time.Minute)
		for range len(got) {
			seconds = append(seconds, (<-got).Sub(began))
		}
		if len(seconds) != 3 || slices.Max(seconds) > 9600*time.Millisecond {
			b.Errorf("%v", seconds)
		}
		b.must(engine.Close())
	})
}

// stuck is a store whose calls wait for the end of their contexts.
type stuck struct {
	store.Store
	updates, lists atomic.Bool
}

func (s *stuck) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	if s.updates.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.Update(ctx, fn)
}

func (s *stuck) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if s.lists.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Store.List(ctx, q)
}

// The store has ten seconds to note the end of a delivery. A look of a lane that Close ends is no failure.
func TestAStoreThatHangsIsLeft(t *testing.T) {
	inBubble(t, func(b *bubble) {
		s := &stuck{Store: b.raw}
		c := b.config
		c.Outbox = &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "ear", Receive: func(context.Context, latchkey.Event) error {
			s.updates.Store(true)
			return nil
		}}}}
		engine, err := latchkey.New(s, c)
		b.must(err)
		b.user(engine, "ada")
		goesBy(9 * time.Second)
		if b.logged("is not noted") {
			b.Error("it is left before its time")
		}
		goesBy(2 * time.Second)
		if !b.logged("is not noted") {
			b.Error("it is not left in its time")
		}
		s.updates.Store(false)
		s.lists.Store(true)
		goesBy(2 * time.Second)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		b.must(engine.CloseContext(ctx))
		if b.logged("cannot be read") {
			b.Error("the log has the end of a look as a failure")
		}
	})
}
