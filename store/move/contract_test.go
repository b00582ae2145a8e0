package move_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/move"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// place is a place of a backend, and the function that opens it again.
type place struct {
	store.Store
	reopen func() (store.Store, error)
}

func opened(t testing.TB, open func() (store.Store, error)) place {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return place{s, open}
}

func inMemory(_ testing.TB, schema *store.Schema) place {
	return place{Store: memory.OpenWith(memory.Options{Schema: schema})}
}

func inSQLite(t testing.TB, schema *store.Schema) place {
	path := filepath.Join(t.TempDir(), "test.db")
	return opened(t, func() (store.Store, error) { return sqlite.OpenWith(path, sqlite.Options{Schema: schema}) })
}

func inBbolt(t testing.TB, schema *store.Schema) place {
	path := filepath.Join(t.TempDir(), "test.bolt")
	return opened(t, func() (store.Store, error) { return bbolt.OpenWith(path, bbolt.Options{Schema: schema}) })
}

func inPostgres(t testing.TB, schema *store.Schema) place {
	address, namespace := pgtest.Shared(t).Address(), pgtest.Namespace()
	return opened(t, func() (store.Store, error) {
		return postgres.OpenWith(context.Background(), address, postgres.Options{Schema: schema, Namespace: namespace})
	})
}

func newMove(t testing.TB, from, to store.Store, o move.Options) *move.Move {
	t.Helper()
	m, err := move.New(from, to, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A Move is a store like any other: before the copy, while it tracks changes and makes passes, and
// after the switch.
func TestContract(t *testing.T) {
	type maker func(testing.TB, *store.Schema) place
	first := func(from, _ place) place { return from }
	second := func(_, to place) place { return to }
	idle := func(testing.TB, *move.Move) {}
	for _, test := range []struct {
		name     string
		from, to maker
		prepare  func(testing.TB, *move.Move)
		now      func(from, to place) place // the place in use
	}{
		{"before", inMemory, inMemory, idle, first},
		{"during", inMemory, inMemory, passing, first},
		{"after", inMemory, inMemory, switched, second},
		{"from SQLite to PostgreSQL", inSQLite, inPostgres, passing, first},
		{"SQLite after PostgreSQL", inPostgres, inSQLite, switched, second},
	} {
		t.Run(test.name, func(t *testing.T) {
			if kit.RaceDetector && strings.Contains(test.name, "SQL") { // the Move is the same over every store
				return
			}
			storetest.Run(t, func(t testing.TB, schema *store.Schema) storetest.Place {
				from, to := test.from(t, schema), test.to(t, schema)
				m := newMove(t, from.Store, to.Store, move.Options{Schema: schema})
				test.prepare(t, m)
				return storetest.Place{Store: m, Reopen: test.now(from, to).reopen}
			})
		})
	}
}

// switched makes a whole move.
func switched(t testing.TB, m *move.Move) {
	copied(t, m)
	if _, err := m.Switch(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func copied(t testing.TB, m *move.Move) {
	t.Helper()
	if _, err := m.Copy(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// passing copies, and makes passes until the Move is closed.
func passing(t testing.TB, m *move.Move) {
	copied(t, m)
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := m.CatchUp(context.Background()); err != nil {
				ended <- err
				return
			}
			runtime.Gosched()
		}
	}()
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, store.ErrClosed) && !errors.Is(err, context.Canceled) {
			t.Errorf("a pass ended with: %v", err)
		}
	})
}
