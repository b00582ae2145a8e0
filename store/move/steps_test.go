package move_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/move"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/store/storetest"
)

// add inserts a shop.
func add(s store.Store, id string) error {
	return s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
		return shops.Insert(ctx, tx, &shop{ID: id, Place: id})
	})
}

func has(t testing.TB, s store.Reader, ids ...string) {
	t.Helper()
	n, err := s.Count(context.Background(), store.Query{Index: shops.Primary()})
	if err != nil || n != len(ids) {
		t.Errorf("%d shops, %v, want %d", n, err, len(ids))
	}
	for _, id := range ids {
		if _, err := s.Get(context.Background(), shops.Primary(), store.Text(id)); err != nil {
			t.Errorf("shop %s: %v", id, err)
		}
	}
}

// pair returns two new stores in memory.
func pair(t testing.TB) (from, to store.Store) {
	return inMemory(t, bazaar).Store, inMemory(t, bazaar).Store
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: %v, want %v", what, err, target)
	}
}

func TestBadMovesAreRefused(t *testing.T) {
	ctx := t.Context()
	from, to := pair(t)
	for name, err := range map[string]error{
		"no first store":   errorOf(move.New(nil, to, move.Options{})),
		"no second store":  errorOf(move.New(from, nil, move.Options{})),
		"one store":        errorOf(move.New(from, from, move.Options{})),
		"a negative stop":  errorOf(move.New(from, to, move.Options{MaxStop: -1})),
		"a negative count": errorOf(move.New(from, to, move.Options{Few: -1})),
	} {
		want(t, name, err, store.ErrInvalid)
	}
	want(t, "stores of another schema", errorOf(newMove(t, from, to, move.Options{}).Copy(ctx)), store.ErrInvalid)
	want(t, "two schemas", errorOf(newMove(t, from, memory.Open(), move.Options{Schema: bazaar}).Copy(ctx)), store.ErrInvalid)
	must(t, add(to, "b"))
	want(t, "a store with rows", errorOf(newMove(t, from, to, move.Options{Schema: bazaar}).Copy(ctx)), store.ErrNotEmpty)
	has(t, to, "b")
}

func errorOf[T any](_ T, err error) error { return err }

func TestStepsComeInTheirOrder(t *testing.T) {
	ctx := t.Context()
	from, to := pair(t)
	m := newMove(t, from, to, move.Options{Schema: bazaar})
	want(t, "Switch before Copy", errorOf(m.Switch(ctx)), move.ErrNotCopied)
	want(t, "CatchUp before Copy", errorOf(m.CatchUp(ctx)), move.ErrNotCopied)
	copied(t, m)
	must(t, m.Abort(ctx))
	want(t, "Switch after Abort", errorOf(m.Switch(ctx)), move.ErrNotCopied)
	must(t, m.Update(ctx, func(ctx context.Context, _ store.Tx) error {
		want(t, "Copy in an Update", errorOf(m.Copy(ctx)), store.ErrNested)
		want(t, "Switch in an Update", errorOf(m.Switch(ctx)), store.ErrNested)
		want(t, "Abort in an Update", m.Abort(ctx), store.ErrNested)
		return nil
	}))
	switched(t, m)
	for name, err := range map[string]error{
		"Copy": errorOf(m.Copy(ctx)), "CatchUp": errorOf(m.CatchUp(ctx)), "Switch": errorOf(m.Switch(ctx)), "Abort": m.Abort(ctx),
	} {
		want(t, name+" after the switch", err, move.ErrSwitched)
	}
	if !m.Switched() {
		t.Error("not switched")
	}
	must(t, m.Close())
	must(t, m.Close())
	want(t, "Copy after Close", errorOf(m.Copy(ctx)), store.ErrClosed)
	for _, s := range []store.Store{from, to} {
		want(t, "a store of a closed Move", add(s, "a"), store.ErrClosed)
	}
}

// Each call of a store fails once. The host goes on with the first store, and the next Switch
// succeeds.
func TestAFailedStepLeavesTheFirstStoreInUse(t *testing.T) {
	ctx := t.Context()
	mine := errors.New("mine")
	for _, side := range []string{"from", "to"} {
		for _, after := range []bool{false, true} {
			for n := 1; ; n++ {
				from, to := pair(t)
				calls := -1 // until one fails
				hook := func(c storetest.Call) error {
					if c.Done == after && calls > 0 {
						if calls--; calls == 0 {
							return mine
						}
					}
					return nil
				}
				var a, b store.Store = from, to
				if side == "from" {
					a = &storetest.Hooked{Store: from, Hook: hook}
				} else {
					b = &storetest.Hooked{Store: to, Hook: hook}
				}
				m := newMove(t, a, b, move.Options{Schema: bazaar})
				must(t, add(m, "a"))
				copied(t, m)
				must(t, add(m, "b"))
				calls = n
				_, err := m.Switch(ctx)
				failed := calls == 0
				calls = -1
				if failed {
					want(t, "Switch", err, mine)
					if m.Switched() {
						t.Fatalf("switched although call %d of %s failed", n, side)
					}
				}
				must(t, add(m, "c"))
				if failed {
					has(t, from, "a", "b", "c")
					must(t, errorOf(m.Switch(ctx)))
				} else {
					must(t, err)
				}
				must(t, add(m, "d"))
				has(t, to, "a", "b", "c", "d")
				must(t, m.Close())
				if !failed {
					if n < 5 {
						t.Errorf("%d calls of %s failed", n-1, side)
					}
					break
				}
			}
		}
	}
}

// A copy that fails leaves the first store as it was.
func TestAFailedCopyBeginsAnew(t *testing.T) {
	ctx := t.Context()
	mine := errors.New("mine")
	from, to := pair(t)
	must(t, add(from, "a"))
	m := newMove(t, from, storetest.OutOfSpace(to, 0, mine), move.Options{Schema: bazaar})
	want(t, "Copy", errorOf(m.Copy(ctx)), mine)
	want(t, "Switch", errorOf(m.Switch(ctx)), move.ErrNotCopied)
	must(t, add(m, "b"))
	has(t, from, "a", "b")
	cancelled, cancel := context.WithCancel(ctx)
	m = newMove(t, from, to, move.Options{Schema: bazaar, OnProgress: func(string, int) { cancel() }})
	want(t, "Copy", errorOf(m.Copy(cancelled)), context.Canceled)
	want(t, "Copy to its rest", errorOf(m.Copy(ctx)), store.ErrNotEmpty)
	must(t, add(m, "c"))
	has(t, from, "a", "b", "c")
}

// An unknown outcome of the second store ends the copy, because the commit may come late.
func TestAnUnknownOutcomeOfTheSecondStoreEndsTheCopy(t *testing.T) {
	ctx := t.Context()
	from, to := pair(t)
	unknown := false
	m := newMove(t, from, &storetest.Hooked{Store: to, Hook: func(c storetest.Call) error {
		if unknown && c.Name == "Commit" && c.Done {
			return store.ErrUnknownOutcome
		}
		return nil
	}}, move.Options{Schema: bazaar})
	copied(t, m)
	must(t, add(m, "a"))
	unknown = true
	want(t, "Switch", errorOf(m.Switch(ctx)), store.ErrUnknownOutcome)
	unknown = false
	want(t, "Switch again", errorOf(m.Switch(ctx)), move.ErrNotCopied)
	must(t, add(m, "b"))
	has(t, from, "a", "b")
}

// An Update of the first store that was committed without an answer is moved.
func TestAnUnknownOutcomeOfTheFirstStoreIsMoved(t *testing.T) {
	from, to := pair(t)
	m := newMove(t, storetest.UnknownOutcome(from), to, move.Options{Schema: bazaar})
	copied(t, m)
	want(t, "Update", add(m, "a"), store.ErrUnknownOutcome)
	func() {
		defer func() { _ = recover() }()
		_ = m.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
			must(t, shops.Insert(ctx, tx, &shop{ID: "b", Place: "b"}))
			panic("mine")
		})
	}()
	must(t, errorOf(m.Switch(t.Context())))
	has(t, m, "a")
	has(t, to, "a")
}

// A write beside the Move is noticed by the number of rows.
func TestWritesBesideTheMoveAreNoticed(t *testing.T) {
	ctx := t.Context()
	from, to := pair(t)
	m := newMove(t, from, to, move.Options{Schema: bazaar})
	copied(t, m)
	must(t, add(from, "a"))
	want(t, "Switch", errorOf(m.Switch(ctx)), store.ErrChanged)
	want(t, "Switch again", errorOf(m.Switch(ctx)), move.ErrNotCopied)
	must(t, add(m, "b"))
	has(t, from, "a", "b")
}

// The engine's store is marked in the end. If the mark fails, it is taken away again.
func TestAFailedMarkIsTakenAway(t *testing.T) {
	ctx := t.Context()
	mine := errors.New("mine")
	from, to := memory.Open(), memory.Open()
	fails := true
	m := newMove(t, &storetest.Hooked{Store: from, Hook: func(c storetest.Call) error {
		if fails && c.Name == "Commit" && c.Done {
			fails = false
			return mine
		}
		return nil
	}}, to, move.Options{})
	copied(t, m)
	want(t, "Switch", errorOf(m.Switch(ctx)), mine)
	marked := func(s store.Store) bool {
		_, err := s.Get(ctx, record.Settings.Primary(), store.Text(record.Moved))
		return err == nil
	}
	if m.Switched() || marked(from) {
		t.Error("a mark is left")
	}
	must(t, errorOf(m.Switch(ctx)))
	if !marked(from) || marked(to) {
		t.Error("the wrong store is marked")
	}
}

// A stop waits for the Updates that run, for MaxStop at most. Other Updates wait for its end, or for
// that of their contexts. Reads go on.
func TestAStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		from, to := pair(t)
		held := &heldStore{Store: from, release: make(chan struct{})}
		m := newMove(t, held, to, move.Options{Schema: bazaar, MaxStop: time.Minute})
		must(t, add(m, "a"))
		copied(t, m)
		held.next.Store(true)
		var group sync.WaitGroup
		group.Go(func() { must(t, add(m, "b")) })
		synctest.Wait()
		began := time.Now()
		group.Go(func() {
			want(t, "Switch", errorOf(m.Switch(ctx)), move.ErrTooLong)
			if took := time.Since(began); took != time.Minute {
				t.Errorf("the stop took %v", took)
			}
		})
		synctest.Wait()
		group.Go(func() {
			brief, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			err := m.Update(brief, func(context.Context, store.Tx) error { t.Error("an Update in the stop"); return nil })
			want(t, "an Update with a context that ends in the stop", err, context.DeadlineExceeded)
		})
		group.Go(func() {
			must(t, add(m, "c"))
			if waited := time.Since(began); waited != time.Minute {
				t.Errorf("an Update waited for %v", waited)
			}
		})
		synctest.Wait()
		has(t, m, "a")
		must(t, m.View(ctx, func(_ context.Context, r store.Reader) error { has(t, r, "a"); return nil }))
		time.Sleep(2 * time.Minute) // of the clock of the test
		close(held.release)
		group.Wait()
		has(t, from, "a", "b", "c")
		must(t, errorOf(m.Switch(ctx)))
		has(t, to, "a", "b", "c")
		must(t, m.Close())
	})
}

// heldStore holds the next Update up before it begins.
type heldStore struct {
	store.Store
	next    atomic.Bool
	release chan struct{}
}

func (h *heldStore) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	if h.next.CompareAndSwap(true, false) {
		<-h.release
	}
	return h.Store.Update(ctx, fn)
}

// A cancelled Switch, and Close, end the stop at once.
func TestAStopEndsWithItsContextAndWithClose(t *testing.T) {
	for name, closes := range map[string]bool{"context": false, "Close": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				from, to := pair(t)
				held := &heldStore{Store: from, release: make(chan struct{})}
				m := newMove(t, held, to, move.Options{Schema: bazaar, MaxStop: time.Hour})
				copied(t, m)
				held.next.Store(true)
				var group sync.WaitGroup
				group.Go(func() { _ = add(m, "held") })
				synctest.Wait()
				group.Go(func() { want(t, "Switch", errorOf(m.Switch(ctx)), context.Canceled) })
				synctest.Wait()
				waiting := make(chan error, 1)
				group.Go(func() { waiting <- add(m, "a") })
				synctest.Wait()
				if closes {
					must(t, m.Close())
					want(t, "an Update that waits", <-waiting, store.ErrClosed)
				} else {
					cancel()
					must(t, <-waiting)
					has(t, from, "a")
				}
				close(held.release)
				group.Wait()
				cancel()
				must(t, m.Close())
			})
		})
	}
}

// A View that began before the switch reads its snapshot of the first store to its end.
func TestAViewOutlivesTheSwitch(t *testing.T) {
	ctx := t.Context()
	for name, makers := range map[string][2]func(testing.TB, *store.Schema) place{"memory": {inMemory, inMemory}, "SQLite": {inSQLite, inMemory}} {
		t.Run(name, func(t *testing.T) {
			m := newMove(t, makers[0](t, bazaar).Store, makers[1](t, bazaar).Store, move.Options{Schema: bazaar})
			must(t, add(m, "a"))
			copied(t, m)
			must(t, m.View(ctx, func(inside context.Context, r store.Reader) error {
				must(t, errorOf(m.Switch(ctx)))
				must(t, add(m, "b"))
				has(t, r, "a")
				want(t, "an Update in the View", m.Update(inside, func(context.Context, store.Tx) error { return nil }), store.ErrNested)
				return nil
			}))
			has(t, m, "a", "b")
			must(t, m.Close())
		})
	}
}

// bare is a store that can be neither checked nor tidied.
type bare struct{ store.Store }

type sharedStore struct{ store.Store }

func (sharedStore) Shared() bool { return true }

func TestAMoveChecksAndTidiesTheStoreInUse(t *testing.T) {
	ctx := t.Context()
	m := newMove(t, bare{inMemory(t, bazaar).Store}, inSQLite(t, bazaar).Store, move.Options{Schema: bazaar})
	if store.IsShared(m) {
		t.Error("a move between files is shared")
	}
	if !store.IsShared(newMove(t, m, sharedStore{inMemory(t, bazaar).Store}, move.Options{})) {
		t.Error("a move to a shared store is not shared")
	}
	want(t, "Check", m.Check(ctx), errors.ErrUnsupported)
	must(t, m.Tidy(ctx))
	switched(t, m)
	must(t, m.Check(ctx))
	must(t, m.Tidy(ctx))
	must(t, m.Close())
}

// The rows of a host are not moved, so a Move gives out no handle, before the switch and after it.
func TestAMoveHasNoTransactionsOfTheHost(t *testing.T) {
	from, to := inSQLite(t, bazaar).Store, inSQLite(t, bazaar).Store
	m := newMove(t, from, to, move.Options{Schema: bazaar})
	none := func() {
		t.Helper()
		if store.HasHostTransactions(m) {
			t.Error("a Move says yes")
		}
		must(t, m.Update(t.Context(), func(_ context.Context, tx store.Tx) error {
			if _, ok := sqlite.TxOf(tx); ok {
				t.Error("a handle")
			}
			return nil
		}))
	}
	none()
	switched(t, m)
	none()
	must(t, m.Close())
}
