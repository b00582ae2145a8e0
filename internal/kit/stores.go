package kit

import (
	"hash/fnv"
	"os"
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

// Opener opens a store whose files are in a folder.
type Opener func(t testing.TB, dir string) (store.Store, error)

// Backend is a store with its name.
type Backend struct {
	Name string
	Open Opener
}

// Backends are the stores on which every rule is tested.
var Backends = []Backend{
	{"memory", func(testing.TB, string) (store.Store, error) { return memory.Open(), nil }},
	{"bbolt", func(_ testing.TB, dir string) (store.Store, error) {
		return bbolt.Open(filepath.Join(dir, "test.bolt"))
	}},
	{"sqlite", func(_ testing.TB, dir string) (store.Store, error) { return sqlite.Open(filepath.Join(dir, "test.db")) }},
	{"postgres", openPostgres},
}

// twice is the memory store that runs every closure twice.
var twice = Backend{"memory-twice", func(testing.TB, string) (store.Store, error) { return storetest.Twice{Store: memory.Open()}, nil }}

// Exhaustive reports whether every case runs on every store. LATCHKEY_EXHAUSTIVE=1
// turns this on, as .ci/run does. Without it, [OnAShare] leaves cases out. Only
// [OnAShare] and [OnAShareAtOnce] ask.
func Exhaustive() bool { return os.Getenv("LATCHKEY_EXHAUSTIVE") == "1" }

// OnEveryStore runs test on each backend, and once more on memory with every closure
// run twice. The race detector makes SQLite ten times slower, so a run with it leaves
// out SQL. The packages of the SQL stores look for their own races.
func OnEveryStore(t *testing.T, policy latchkey.Policy, test func(*Kit)) {
	t.Helper()
	if RaceDetector {
		on(t, policy, test, Backends[0], Backends[1], twice)
		return
	}
	on(t, policy, test, append(slices.Clip(Backends), twice)...)
}

// OneByOne is OnEveryStore for long tests without concurrent calls, where the race
// detector finds nothing. A run with the race detector uses memory alone.
func OneByOne(t *testing.T, policy latchkey.Policy, test func(*Kit)) {
	t.Helper()
	if RaceDetector {
		on(t, policy, test, Backends[0])
		return
	}
	OnEveryStore(t, policy, test)
}

// OnAShare is for one of the many cases of a rule, such as an operation of the table.
// The case runs on memory, on memory with every closure run twice, and on one more
// store. The name of the test picks that store. So a case meets the same store in
// every run, and the cases of a rule together meet all stores. In an [Exhaustive]
// run, OnAShare is [OneByOne].
func OnAShare(t *testing.T, policy latchkey.Policy, test func(*Kit)) {
	t.Helper()
	if RaceDetector || Exhaustive() {
		OneByOne(t, policy, test)
		return
	}
	on(t, policy, test, Backends[0], share(t.Name()), twice)
}

// OnAShareAtOnce is OnAShare for a test with concurrent operations. In an
// [Exhaustive] run, it is [OnEveryStore].
func OnAShareAtOnce(t *testing.T, policy latchkey.Policy, test func(*Kit)) {
	t.Helper()
	if RaceDetector || Exhaustive() {
		OnEveryStore(t, policy, test)
		return
	}
	on(t, policy, test, Backends[0], share(t.Name()), twice)
}

// share picks a store with a place (a file or a server) by the name of a test. bbolt
// and SQLite each get two names of five. PostgreSQL gets one, because each call is a
// trip to a server.
func share(name string) Backend {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return Backends[[]int{1, 2, 1, 2, 3}[h.Sum32()%5]]
}

// on runs test on some stores in parallel, each with a new kit.
func on(t *testing.T, policy latchkey.Policy, test func(*Kit), stores ...Backend) {
	t.Helper()
	for _, b := range stores {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			s, err := b.Open(t, folder(t))
			if err != nil {
				t.Fatal(err)
			}
			test(New(t, s, policy))
		})
	}
}

// folder returns a folder for the files of a store, and removes it after the test.
// The folder is in memory where the system allows it, because waiting for a disk
// proves nothing about the engine. The tests of the stores and of killed processes
// use the disk.
func folder(t testing.TB) string {
	t.Helper()
	dir, ok := inMemory()
	if !ok {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
