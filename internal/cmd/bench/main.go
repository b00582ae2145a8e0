// Bench measures the stores against the raw libraries and prints the rows of
// BENCHMARKS.md.
//
//	go run ./internal/cmd/bench [-rows 100000] [-rounds 9] [-store NAME] [-case NAME]
//
// The store and its limit take turns in one process. A ratio is the median of the
// ratios of the turns, so that a drift in the machine's speed does not decide it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/rawstore"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/sqlite"
)

var (
	rows   = flag.Int("rows", 100_000, "sessions in each store")
	rounds = flag.Int("rounds", 9, "turns of each side")
	only   = flag.String("case", "", "only the cases whose name contains this")
	part   = flag.String("store", "", "only memory, bbolt, SQLite, PostgreSQL, copy, sign-in, tokens, limiter, shared, users, teams, oauth or move")
	length = flag.Duration("turn", 300*time.Millisecond, "length of a turn")
	slots  = flag.Int("peak", 0, "number of slots: print only the peak memory of 64 sign-ins at once")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	if *slots > 0 {
		if err := peak(*slots); err != nil {
			log.Fatal(err)
		}
		return
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		log.Fatal(err)
	}
	err = run(dir)
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
}

func run(dir string) error {
	fmt.Printf("%s, %d CPUs, %d sessions, medians of %d turns\n\n", runtime.Version(), runtime.NumCPU(), *rows, *rounds)
	fmt.Println("| case | store | limit | ratio | allocations |")
	fmt.Println("|---|---:|---:|---:|---:|")
	for _, p := range []struct {
		name string
		run  func(dir string) error
	}{{"memory", memoryCases}, {"bbolt", boltCases}, {"SQLite", sqliteCases}, {"PostgreSQL", postgresCases}, {"copy", copyCase}, {"sign-in", signInCases}, {"tokens", tokenCases}, {"limiter", limiterCase}, {"shared", sharedCases}, {"users", usersCases}, {"teams", teamsCases}, {"oauth", oauthCases}, {"move", moveCases}} {
		if *part != "" && *part != p.name {
			continue
		}
		if err := p.run(dir); err != nil {
			return err
		}
		runtime.GC()
	}
	return nil
}

// side is one of the two sides of a comparison. run does n operations.
type side struct {
	name string
	run  func(n int) error
}

// compare prints one row. The number of operations is chosen so that a turn
// takes about turn.
func compare(name string, a, b side) error {
	turn := *length
	if *only != "" && !strings.Contains(name, *only) {
		return nil
	}
	var count [2]int
	for i, s := range []side{a, b} {
		n := 1
		for {
			took, err := timed(s, n)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if took > turn/4 {
				count[i] = max(1, int(float64(n)*float64(turn)/float64(took)))
				break
			}
			n *= 2
		}
	}
	var per [2][]float64
	var ratios []float64
	for range *rounds {
		for i, s := range []side{a, b} {
			took, err := timed(s, count[i])
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			per[i] = append(per[i], float64(took)/float64(count[i]))
		}
		ratios = append(ratios, per[0][len(per[0])-1]/per[1][len(per[1])-1])
	}
	ra, rb := allocations(a), allocations(b)
	fmt.Printf("| %s | %v | %v | %.2f | %.0f / %.0f |\n", name, time.Duration(median(per[0])).Round(10*time.Nanosecond),
		time.Duration(median(per[1])).Round(10*time.Nanosecond), median(ratios), ra, rb)
	return nil
}

func timed(s side, n int) (time.Duration, error) {
	began := time.Now()
	err := s.run(n)
	return time.Since(began), err
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}

func allocations(s side) float64 {
	var before, after runtime.MemStats
	n := 512
	if *length < 100*time.Millisecond { // the numbers are not looked at
		n = 1
	}
	runtime.ReadMemStats(&before)
	if s.run(n) != nil {
		return 0
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

// target is a store with sessions in it.
type target struct {
	store.Store
	next    atomic.Int64 // the number of the next session
	secrets []string     // of the sessions, made in advance
}

func fill(s store.Store, n int) (*target, error) {
	t := &target{Store: s, secrets: make([]string, n)}
	for i := range t.secrets {
		t.secrets[i] = rawstore.Secret(i)
	}
	t.next.Store(int64(n))
	ctx := context.Background()
	users := rawstore.Users(n)
	err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for i := range users {
			if err := record.Users.Insert(ctx, tx, &record.User{ID: rawstore.UserID(i), Labels: "[]", Prefs: "{}", Targets: "[]"}); err != nil {
				return err
			}
		}
		return nil
	})
	for at := 0; at < n && err == nil; at += 5000 {
		err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			for i := at; i < min(n, at+5000); i++ {
				if err := write(ctx, tx, i, users, false); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return t, err
}

func write(ctx context.Context, tx store.Tx, n, users int, count bool) error {
	s := session(rawstore.NewSession(n, users))
	if err := record.Sessions.Insert(ctx, tx, s); err != nil {
		return err
	}
	l := record.Log(*rawstore.NewLog(n, users))
	if err := record.Logs.Insert(ctx, tx, &l); err != nil || !count {
		return err
	}
	found, err := tx.Count(ctx, store.Query{Index: record.Sessions.Index("user"), Equal: []store.Value{store.Text(s.UserID)}})
	if err == nil && found == 0 {
		err = errors.New("no session")
	}
	return err
}

func session(s *rawstore.Session) *record.Session {
	r := record.Session(*s)
	return &r
}

// get reads n sessions in a scattered order.
func (t *target) get(n int) error {
	ctx, cancel := context.WithCancel(context.Background()) // a request has one too
	defer cancel()
	for i := range n {
		digest := rawstore.Digest(t.secrets[scatter(i, *rows)])
		if _, err := record.Sessions.Get(ctx, t.Store, record.Sessions.Cluster(), store.Bytes(digest[:])); err != nil {
			return err
		}
	}
	return nil
}

// key is that of every engine of this program: a store asks for the key that it was used
// with.
var key = latchkey.GenerateKey()

// engine returns an engine whose clock begins an hour after the first session was made.
func (t *target) engine() (*latchkey.Engine, error) {
	began := time.Now()
	return latchkey.New(t.Store, latchkey.Config{
		Keys: latchkey.Keys{Active: key},
		Now:  func() time.Time { return rawstore.Began.Add(time.Hour + time.Since(began)) },

		LimiterPerProcess: true,
	})
}

// authenticate checks n sessions through the engine, in the same order.
func (t *target) authenticate() (side, error) {
	engine, err := t.engine()
	if err != nil {
		return side{}, err
	}
	guest := engine.Guest(latchkey.Client{})
	return side{"engine", func(n int) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for i := range n {
			if _, err := guest.Authenticate(ctx, t.secrets[scatter(i, *rows)]); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// checks compares reading a session through the store, and through the engine, with
// reading it through the raw library.
func (t *target) checks(name string, raw side) error {
	engine, err := t.authenticate()
	if err != nil {
		return err
	}
	return errors.Join(
		compare("get by digest, "+name, side{"store", t.get}, raw),
		compare("Authenticate, "+name, engine, raw),
		compare("Authenticate against the store alone, "+name, engine, side{"store", t.get}),
		t.jwtChecks(name),
	)
}

func scatter(i, rows int) int { return int(uint64(i) * 0x9E3779B97F4A7C15 % uint64(rows)) }

func (t *target) write(fail func(n int64) error) error {
	n := t.next.Add(1)
	err := t.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
		if err := write(ctx, tx, int(n), rawstore.Users(*rows), true); err != nil {
			return err
		}
		return fail(n)
	})
	if errors.Is(err, errMine) {
		return nil
	}
	return err
}

var errMine = errors.New("mine")

func none(int64) error { return nil }

func half(n int64) error {
	if n%2 == 0 {
		return errMine
	}
	return nil
}

// many divides n operations among goroutines, whose number is workers.
func many(workers int, op func() error) func(n int) error {
	return func(n int) error {
		var left atomic.Int64
		left.Store(int64(n))
		errs := make([]error, workers)
		var group sync.WaitGroup
		for w := range workers {
			group.Go(func() {
				for left.Add(-1) >= 0 {
					if errs[w] = op(); errs[w] != nil {
						return
					}
				}
			})
		}
		group.Wait()
		return errors.Join(errs...)
	}
}

// numbered calls op with the number of a new session each time.
func numbered(from int, op func(n int) error) func() error {
	var next atomic.Int64
	next.Store(int64(from))
	return func() error { return op(int(next.Add(1))) }
}

func memoryCases(string) error {
	t, err := fill(memory.Open(), *rows)
	if err != nil {
		return err
	}
	raw := rawstore.NewMemory(*rows)
	err = t.checks("memory", side{"map", func(n int) error {
		for i := range n {
			if _, found := raw.Get(rawstore.Digest(t.secrets[scatter(i, *rows)])); !found {
				return errors.New("not found")
			}
		}
		return nil
	}})
	return errors.Join(err, t.Close())
}

func boltCases(dir string) error {
	s, err := bbolt.Open(filepath.Join(dir, "store.bolt"))
	if err != nil {
		return err
	}
	t, err := fill(s, *rows)
	if err != nil {
		return err
	}
	raw, err := rawstore.OpenBolt(filepath.Join(dir, "raw.bolt"), *rows)
	if err != nil {
		return err
	}
	get := side{"bbolt", func(n int) error {
		for i := range n {
			if _, err := raw.Get(rawstore.Digest(t.secrets[scatter(i, *rows)])); err != nil {
				return err
			}
		}
		return nil
	}}
	alone := numbered(*rows, raw.Write)
	grouped := numbered(100*(*rows), raw.GroupWrite)
	apart := numbered(10_000*(*rows), raw.Write)
	err = errors.Join(
		t.checks("bbolt", get),
		pages(t, "bbolt", func(_ context.Context, n int) (int, error) { logs, err := raw.Page(n); return len(logs), err }),
		writes(t, "bbolt", alone, grouped, apart),
		sweeps(t, "bbolt", raw.Sweep),
	)
	return errors.Join(err, t.Close(), raw.Close())
}

func sqliteCases(dir string) error {
	s, err := sqlite.Open(filepath.Join(dir, "store.db"))
	if err != nil {
		return err
	}
	t, err := fill(s, *rows)
	if err != nil {
		return err
	}
	raw, err := rawstore.OpenSQLite(filepath.Join(dir, "raw.db"), *rows)
	if err != nil {
		return err
	}
	get := side{"SQLite", func(n int) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		for i := range n {
			if _, err := raw.Get(ctx, rawstore.Digest(t.secrets[scatter(i, *rows)])); err != nil {
				return err
			}
		}
		return nil
	}}
	var mu sync.Mutex // one commit for each write: one connection, used by one writer at a time
	apart := numbered(10_000*(*rows), func(n int) error {
		mu.Lock()
		defer mu.Unlock()
		return raw.Write(n)
	})
	err = errors.Join(
		t.checks("SQLite", get),
		pages(t, "SQLite", func(ctx context.Context, n int) (int, error) { logs, err := raw.Page(ctx, n); return len(logs), err }),
		writes(t, "SQLite", numbered(*rows, raw.Write), numbered(100*(*rows), raw.GroupWrite), apart),
		sweeps(t, "SQLite", raw.Sweep),
	)
	return errors.Join(err, t.Close(), raw.Close())
}

// pages compares a page of 25 logs by time, at the beginning and after nine
// tenths of the rows.
func pages(t *target, name string, raw func(ctx context.Context, n int) (int, error)) error {
	var errs []error
	for _, depth := range []int{0, *rows * 9 / 10} {
		ours := side{"store", func(n int) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			for i := range n {
				l := record.Log(*rawstore.NewLog(depth+i%(*rows/20), rawstore.Users(*rows)))
				ix := record.Logs.Index("created")
				page, err := record.Logs.List(ctx, t.Store, store.Query{Index: ix, After: ix.Position(record.Logs.Row(&l)), Limit: 25})
				if err != nil || len(page) != 25 {
					return fmt.Errorf("%d rows: %w", len(page), err)
				}
			}
			return nil
		}}
		limit := side{"raw", func(n int) error {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			for i := range n {
				if found, err := raw(ctx, depth+i%(*rows/20)); err != nil || found != 25 {
					return fmt.Errorf("%d rows: %w", found, err)
				}
			}
			return nil
		}}
		errs = append(errs, compare(fmt.Sprintf("page of 25 after %d of %d, %s", depth, *rows, name), ours, limit))
	}
	return errors.Join(errs...)
}

// sweeps compares deleting all sessions. It runs once, and as the last case of a store,
// because no sessions are left after it.
func sweeps(t *target, name string, raw func() error) error {
	name = "sweep of all sessions, " + name
	if *only != "" && !strings.Contains(name, *only) {
		return nil
	}
	held := &holds{Store: t.Store}
	began := time.Now()
	n, err := store.Sweep(context.Background(), held, record.Sessions.Index("expire"), time.Now().AddDate(9, 0, 0))
	ours := time.Since(began)
	if err != nil {
		return err
	}
	began = time.Now()
	err = raw()
	limit := time.Since(began)
	slices.Sort(held.each)
	at := func(share float64) time.Duration {
		return held.each[int(share*float64(len(held.each)-1))].Round(100 * time.Microsecond)
	}
	fmt.Printf("| %s (%d rows, once; the writer held for %v, 99 of 100 batches at most %v, the longest %v) | %v | %v | %.2f | |\n",
		name, n, at(0.5), at(0.99), at(1), ours.Round(time.Millisecond), limit.Round(time.Millisecond), float64(ours)/float64(limit))
	return err
}

// holds records how long each closure held the writer.
type holds struct {
	store.Store
	each []time.Duration
}

func (h *holds) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	return h.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		began := time.Now()
		defer func() { h.each = append(h.each, time.Since(began)) }()
		return fn(ctx, tx)
	})
}

// copyCase compares a copy from bbolt to SQLite with the slower of two parts: reading
// the raw bbolt file, and writing the raw SQLite file. It runs once.
func copyCase(dir string) error {
	name := fmt.Sprintf("copy of %d sessions with users and logs, bbolt to SQLite", *rows)
	if *only != "" && !strings.Contains(name, *only) {
		return nil
	}
	from, err := bbolt.Open(filepath.Join(dir, "from.bolt"))
	if err != nil {
		return err
	}
	defer from.Close()
	if _, err := fill(from, *rows); err != nil {
		return err
	}
	to, err := sqlite.Open(filepath.Join(dir, "to.db"))
	if err != nil {
		return err
	}
	defer to.Close()
	runtime.GC()
	var memory runtime.MemStats
	peak := uint64(0)
	began := time.Now()
	err = store.Copy(context.Background(), to, from, record.Schema, func(string, int) {
		runtime.ReadMemStats(&memory)
		peak = max(peak, memory.HeapAlloc)
	})
	ours := time.Since(began)
	if err != nil {
		return err
	}
	raw, err := rawstore.OpenBolt(filepath.Join(dir, "rawfrom.bolt"), *rows)
	if err != nil {
		return err
	}
	defer raw.Close()
	began = time.Now()
	if _, err := raw.ReadAll(); err != nil {
		return err
	}
	read := time.Since(began)
	began = time.Now()
	written, err := rawstore.OpenSQLite(filepath.Join(dir, "rawto.db"), *rows)
	limit := max(read, time.Since(began))
	if err != nil {
		return err
	}
	fmt.Printf("| %s (once, heap at most %d MB) | %v | %v | %.2f | |\n", name, peak>>20, ours.Round(time.Millisecond), limit.Round(time.Millisecond), float64(ours)/float64(limit))
	return written.Close()
}

func writes(t *target, name string, alone, grouped, apart func() error) error {
	ours := func(fail func(int64) error) func() error { return func() error { return t.write(fail) } }
	return errors.Join(
		compare("1 writer, "+name, side{"store", many(1, ours(none))}, side{"raw", many(1, alone)}),
		compare("64 writers against a bare group commit, "+name, side{"store", many(64, ours(none))}, side{"raw", many(64, grouped)}),
		compare("64 writers against one commit a write, "+name, side{"store", many(64, ours(none))}, side{"raw", many(64, apart)}),
		compare("64 writers, half failing against none, "+name, side{"half", many(64, ours(half))}, side{"none", many(64, ours(none))}),
	)
}
