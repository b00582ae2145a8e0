package kit

import (
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// cases returns the stores of one case of a rule over the table: memory, memory with every
// closure run twice, and the store that the name of the test picks. LATCHKEY_EXHAUSTIVE
// asks for others: 1 for every store, and another number for one of those that a run without it
// leaves out. The next number means the other one. .ci/run gives it the number of commits.
func cases(t *testing.T) []Backend {
	picked := share(t.Name())
	asked, err := strconv.Atoi(os.Getenv("LATCHKEY_EXHAUSTIVE"))
	switch {
	case err != nil:
		return []Backend{Backends[0], picked, twice}
	case asked == 1:
		return append(slices.Clip(Backends), twice)
	}
	rest := slices.DeleteFunc(slices.Clone(Backends[1:]), func(b Backend) bool { return b.Name == picked.Name })
	h := fnv.New32a() // so that the stores are mixed in one run
	_, _ = h.Write([]byte("rest " + t.Name()))
	at := (int(h.Sum32()%2) + asked) % len(rest)
	return rest[at : at+1]
}

// OnEveryStore runs test on each backend, and once more on memory with every closure
// run twice. A run with the race detector leaves out SQL, and the second memory, since a closure that
// runs again makes no race: it uses memory or bbolt, by the name of the test. The packages of the stores look for
// their own races.
func OnEveryStore(t *testing.T, policy latchkey.Policy, test func(*Kit)) {
	t.Helper()
	if RaceDetector {
		on(t, policy, test, byTurns(t))
		return
	}
	on(t, policy, test, append(slices.Clip(Backends), twice)...)
}

// byTurns returns memory or bbolt, by the name of the test.
func byTurns(t *testing.T) Backend {
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.Name()))
	return Backends[h.Sum32()%2]
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
// every run, and the cases of a rule together meet all stores. LATCHKEY_EXHAUSTIVE asks
// for more.
func OnAShare(t *testing.T, policy latchkey.Policy, test func(*Kit)) {
	t.Helper()
	if RaceDetector {
		OneByOne(t, policy, test)
		return
	}
	on(t, policy, test, cases(t)...)
}

// OnAShareAtOnce is OnAShare for a test with concurrent operations. It leaves out the second
// memory: a closure that runs again makes no race. A run with the race detector uses memory or
// bbolt, by the name of the test.
func OnAShareAtOnce(t *testing.T, policy latchkey.Policy, test func(*Kit)) {
	t.Helper()
	if RaceDetector {
		on(t, policy, test, byTurns(t))
		return
	}
	on(t, policy, test, slices.DeleteFunc(cases(t), func(b Backend) bool { return b.Name == twice.Name })...)
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

// Open opens a new store by its name among [Backends], or as memory-twice. Its files are in
// memory where the system allows it.
func Open(t testing.TB, name string) store.Store {
	t.Helper()
	for _, b := range append(slices.Clip(Backends), twice) {
		if b.Name == name {
			s, err := b.Open(t, folder(t))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	t.Fatalf("no store is called %q", name)
	return nil
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
