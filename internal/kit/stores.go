package kit

import (
	"path/filepath"
	"slices"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/store/storetest"
)

// Opener opens a store that keeps what it keeps in a folder.
type Opener func(t testing.TB, dir string) (store.Store, error)

// Backends are the stores on which every rule is tested.
var Backends = []struct {
	Name string
	Open Opener
}{
	{"memory", func(testing.TB, string) (store.Store, error) { return memory.Open(), nil }},
	{"bbolt", func(_ testing.TB, dir string) (store.Store, error) {
		return bbolt.Open(filepath.Join(dir, "test.bolt"))
	}},
	{"sqlite", func(_ testing.TB, dir string) (store.Store, error) { return sqlite.Open(filepath.Join(dir, "test.db")) }},
	{"postgres", openPostgres},
}

// OnEveryStore runs test on each backend, and once more on memory with every
// closure run twice. With the race detector, which makes SQLite ten times slower,
// SQL is left to the run without it; its own packages have its races.
func OnEveryStore(t *testing.T, policy latchkey.Policy, test func(*Kit)) {
	t.Helper()
	onStores(t, policy, []string{"sqlite", "postgres"}, test)
}

// OneByOne is onEveryStore for long tests that do nothing at once, where the
// race detector finds nothing: with it, memory is enough.
func OneByOne(t *testing.T, policy latchkey.Policy, test func(*Kit)) {
	t.Helper()
	onStores(t, policy, []string{"bbolt", "sqlite", "postgres", "memory-twice"}, test)
}

func onStores(t *testing.T, policy latchkey.Policy, notUnderRace []string, test func(*Kit)) {
	t.Helper()
	run := func(name string, open Opener) {
		if RaceDetector && slices.Contains(notUnderRace, name) {
			return
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := open(t, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			k := New(t, s, policy)
			test(k)
		})
	}
	for _, b := range Backends {
		run(b.Name, b.Open)
	}
	run("memory-twice", func(testing.TB, string) (store.Store, error) { return storetest.Twice{Store: memory.Open()}, nil })
}
