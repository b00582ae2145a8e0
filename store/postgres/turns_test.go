package postgres

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
)

// An Update that waits for its turn holds no connection: reads go on, and its caller may hang up.
func TestAnUpdateWaitsForItsTurnWithoutAConnection(t *testing.T) {
	pool := hostPool(t, pgtest.Shared(t).Address(), nil)
	d, err := newDatabase(pool, Options{Namespace: pgtest.Namespace()}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.migrate(limited(t), false); err != nil {
		t.Fatal(err)
	}
	d.turns = newTurns(1)
	s := backend.New(d, d.schema)
	begun, end := make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			close(begun)
			<-end
			return record.Failures.Insert(ctx, tx, count("first", 1))
		})
	}()
	<-begun
	ctx, hangUp := context.WithTimeout(limited(t), 50*time.Millisecond)
	err = s.Update(ctx, func(context.Context, store.Tx) error {
		t.Error("it did not wait")
		return nil
	})
	hangUp()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if got := pool.Stat().AcquiredConns(); got != 1 {
		t.Errorf("%d connections are held", got)
	}
	counted(t, s, "any")
	close(end)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := add(limited(t), s, "next"); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// A turn is given back however an Update ends.
func TestATurnIsGivenBackHoweverAnUpdateEnds(t *testing.T) {
	pool := hostPool(t, pgtest.Shared(t).Address(), func(c *pgxpool.Config) { c.MaxConns = 1 })
	s := overPool(t, pool, Options{Namespace: pgtest.Namespace()})
	ended, cancel := context.WithCancel(limited(t))
	cancel()
	for name, end := range map[string]func(){
		"an error":       func() { _ = s.Update(limited(t), func(context.Context, store.Tx) error { return errMine }) },
		"a hung-up call": func() { _ = s.Update(ended, func(context.Context, store.Tx) error { return nil }) },
		"a lost connection": func() {
			_ = s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
				pool.Reset()
				return record.Failures.Insert(ctx, tx, count("lost", 1))
			})
		},
		"a panic": func() {
			defer func() { _ = recover() }()
			_ = s.Update(limited(t), func(context.Context, store.Tx) error { panic("of the closure") })
		},
	} {
		end()
		ctx, done := context.WithTimeout(context.Background(), 20*time.Second)
		if err := add(ctx, s, name); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
		done()
	}
}

// A conflict takes a quarter of the bound away, down to half of the connections. Updates without one bring it back, up
// to all of them.
func TestTheBoundOfUpdatesFollowsTheirConflicts(t *testing.T) {
	ctx, turns := limited(t), newTurns(16)
	update := func(conflict bool) {
		if err := turns.take(ctx); err != nil {
			t.Fatal(err)
		}
		turns.giveBack(conflict)
	}
	updates := func(n int) {
		for range n {
			update(false)
		}
	}
	bound := func() int { return int(turns.bound) }
	for conns, least := range map[int]float64{1: 1, 2: 2, 5: 4, 8: 4, 9: 5} {
		if got := newTurns(conns).least; got != least {
			t.Errorf("%d connections: %v at least", conns, got)
		}
	}
	if bound() != 16 {
		t.Errorf("at first: %d", bound())
	}
	if update(true); bound() != 12 {
		t.Errorf("after a conflict: %d", bound())
	}
	update(true)
	if update(true); bound() != 8 {
		t.Errorf("after three: %d", bound())
	}
	if updates(200); bound() < 9 || bound() == 16 {
		t.Errorf("after 200 without a conflict: %d", bound())
	}
	if updates(2000); bound() != 16 {
		t.Errorf("after many without a conflict: %d", bound())
	}
}

// The turns of many callers are never more than the bound, each of them has one in the end, and none is lost by callers
// who hang up.
func TestTurnsAreBoundedAndNoneIsLost(t *testing.T) {
	turns := newTurns(4)
	var running, most atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			ctx, hangUp := context.WithCancel(limited(t))
			defer hangUp()
			if i%3 == 0 {
				go hangUp()
			}
			if err := turns.take(ctx); err != nil {
				return
			}
			now := running.Add(1)
			for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
			}
			runtime.Gosched()
			running.Add(-1)
			turns.giveBack(i%5 == 0)
		})
	}
	all.Wait()
	if turns.running != 0 || len(turns.waiting) != 0 || most.Load() > 4 {
		t.Errorf("%d run, %d wait, %d ran at once", turns.running, len(turns.waiting), most.Load())
	}
}
