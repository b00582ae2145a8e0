// Package hosttest has the tests of the rows of a host in the transactions of a store, for the
// stores that have handles for them ([store.Hosting]).
package hosttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

// Host is a store beside two tables of a host: loaves with a name and the id of their baker, who is a
// user of the engine, and a counter, which begins with 0.
type Host struct {
	store.Store
	// HasHandle reports whether TxOf has a handle for a transaction. The other functions that get a
	// transaction use its handle.
	HasHandle func(tx store.Tx) bool
	// Bake adds a loaf. The name of a loaf is unique.
	Bake func(ctx context.Context, tx store.Tx, name, baker string) error
	// Count adds one to the counter.
	Count func(ctx context.Context, tx store.Tx) error
	// Commit and Rollback are those of the handle.
	Commit, Rollback func(ctx context.Context, tx store.Tx) error
	// BakeTaken adds a loaf whose name is taken, so that the transaction goes on after the error.
	BakeTaken func(ctx context.Context, tx store.Tx, name, baker string)
	// Break runs a statement after whose error the transaction can only roll back, and hides the
	// error. The tables have a loaf and a user then.
	Break func(ctx context.Context, tx store.Tx)
	// Kept returns the ids of the users and the names of the loaves, each in their order and with
	// commas, and a space between the two. Counted returns the counter.
	Kept    func() string
	Counted func() int
}

// Run tests a store. open makes one without users and loaves, which ends with its test.
func Run(t *testing.T, open func(t *testing.T) *Host) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Host)
	}{
		{"a row of the host rolls back with ours", rollsBack},
		{"Commit of the host commits nothing", commitsNothing},
		{"Rollback of the host fails Update", rollbackFails},
		{"failures of the host do not touch other callers", failsAlone},
		{"wrappers have the handle of the store below them", wrapped},
		{"a store without SQL has no handle", withoutHandle},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

var errHost = errors.New("an error of the host")

// user returns a user whose number is their id.
func user(id string) *record.User {
	now := time.UnixMicro(1).UTC()
	return &record.User{ID: id, Key: id, Phone: id, Created: now, Updated: now, Registered: now, Accessed: now, Labels: "[]", Prefs: "{}", Targets: "[]"}
}

// signUp adds a user and runs do.
func (h *Host) signUp(t *testing.T, id string, do func(ctx context.Context, tx store.Tx) error) error {
	return h.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		if err := record.Users.Insert(ctx, tx, user(id)); err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

func (h *Host) wantKept(t *testing.T, want string) {
	t.Helper()
	if got := h.Kept(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func rollsBack(t *testing.T, h *Host) {
	for name, end := range map[string]func(tx store.Tx) error{
		"an error": func(store.Tx) error { return errHost },
		"a panic":  func(store.Tx) error { panic(errHost) },
		"the end of the goroutine": func(store.Tx) error {
			runtime.Goexit()
			return nil
		},
		"a hidden error of ours": func(tx store.Tx) error {
			_ = record.Users.Insert(t.Context(), tx, user("ada"))
			return nil
		},
		"a refusal of ours": func(tx store.Tx) error {
			taken := user("eve")
			taken.Phone = "ada"
			return record.Users.Insert(t.Context(), tx, taken)
		},
		"Rollback": func(tx store.Tx) error { return h.Rollback(t.Context(), tx) },
	} {
		done := make(chan error, 1)
		go func() {
			err := errors.New("the goroutine has ended")
			defer func() {
				if v := recover(); v != nil {
					err = v.(error)
				}
				done <- err
			}()
			err = h.signUp(t, "ada", func(ctx context.Context, tx store.Tx) error {
				if err := h.Bake(ctx, tx, "rye", "ada"); err != nil {
					return err
				}
				return end(tx)
			})
		}()
		if err := <-done; err == nil {
			t.Errorf("after %s Update has succeeded", name)
		}
		h.wantKept(t, " ")
	}
}

func commitsNothing(t *testing.T, h *Host) {
	for _, want := range []error{errHost, nil} {
		err := h.signUp(t, "ada", func(ctx context.Context, tx store.Tx) error {
			if err := h.Bake(ctx, tx, "rye", "ada"); err != nil {
				return err
			}
			if err := h.Commit(ctx, tx); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "the store commits") {
				t.Errorf("Commit: %v", err)
			}
			h.wantKept(t, " ")
			return want
		})
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	h.wantKept(t, "ada rye")
}

func rollbackFails(t *testing.T, h *Host) {
	err := h.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		if err := h.Rollback(ctx, tx); err != nil {
			t.Error(err)
		}
		if err := record.Users.Insert(ctx, tx, user("ada")); !errors.Is(err, store.ErrAborted) {
			t.Errorf("a call after it: %v", err)
		}
		return nil
	})
	if !errors.Is(err, store.ErrAborted) || !strings.Contains(err.Error(), "Rollback") {
		t.Error(err)
	}
	h.wantKept(t, " ")
}

// The ways of a caller among many.
const (
	failing    = iota // by the error of a statement
	recovering        // from the error of a statement
	broken
	rollingBack
	panicking
	plain
	ways
)

// Many callers run at once. Each fails or commits alone, and whole, and the counter counts each success
// once.
func failsAlone(t *testing.T, h *Host) {
	if err := h.signUp(t, "owner", func(ctx context.Context, tx store.Tx) error { return h.Bake(ctx, tx, "a", "owner") }); err != nil {
		t.Fatal(err)
	}
	attempt := func(id string, way int) (err error) {
		defer func() {
			if v := recover(); v != nil && way == panicking {
				err = errHost
			} else if v != nil {
				t.Error(v)
			}
		}()
		return h.signUp(t, id, func(ctx context.Context, tx store.Tx) error {
			if err := errors.Join(h.Bake(ctx, tx, "loaf "+id, id), h.Count(ctx, tx)); err != nil {
				return err
			}
			switch way {
			case failing:
				return h.Bake(ctx, tx, "a", id)
			case recovering:
				h.BakeTaken(ctx, tx, "a", id)
			case broken:
				h.Break(ctx, tx)
			case rollingBack:
				_ = h.Rollback(ctx, tx)
			case panicking:
				panic(errHost)
			}
			return nil
		})
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var good []string
	for n := range 60 {
		group.Go(func() {
			id, way := fmt.Sprintf("user%02d", n), n%ways
			if rand.N(2) == 0 { // another order
				runtime.Gosched()
			}
			err := attempt(id, way)
			if succeeds := way == recovering || way == plain; succeeds != (err == nil) {
				t.Errorf("way %d: %v", way, err)
			} else if succeeds {
				mu.Lock()
				defer mu.Unlock()
				good = append(good, id)
			}
		})
	}
	group.Wait()
	slices.Sort(good)
	h.wantKept(t, strings.Join(append([]string{"owner"}, good...), ",")+" a,loaf "+strings.Join(good, ",loaf "))
	if n := h.Counted(); n != len(good) {
		t.Errorf("the counter is %d, want %d", n, len(good))
	}
	if err := h.Store.(store.Checker).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func wrapped(t *testing.T, h *Host) {
	below := h.Store
	for name, around := range map[string]store.Store{
		"plain": below, "hooked": storetest.Count(below), "twice": storetest.Twice{Store: below}, "all": storetest.Twice{Store: storetest.Count(storetest.Count(below))},
	} {
		h.Store = around
		if !store.HasHostTransactions(around) {
			t.Errorf("%s: says no", name)
		}
		if err := h.signUp(t, name, func(ctx context.Context, tx store.Tx) error { return h.Bake(ctx, tx, name, name) }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	h.wantKept(t, "all,hooked,plain,twice all,hooked,plain,twice")
}

func withoutHandle(t *testing.T, h *Host) {
	other := memory.Open()
	if store.HasHostTransactions(other) {
		t.Error("a store in memory says yes")
	}
	err := other.Update(t.Context(), func(_ context.Context, tx store.Tx) error {
		if h.HasHandle(tx) {
			t.Error("a handle of a store in memory")
		}
		return nil
	})
	if err := errors.Join(err, other.Close()); err != nil {
		t.Error(err)
	}
	if h.HasHandle(nil) {
		t.Error("a handle of no transaction")
	}
}
