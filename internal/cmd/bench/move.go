package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/rawstore"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/transfer"
)

// moveCases imports -rows users with argon2id hashes, and exports them. The limits insert the same
// rows, batch by batch, and scan the users, each with the library alone.
func moveCases(dir string) error {
	return errors.Join(
		moves(dir, "bbolt", func(dir string) (store.Store, *mover, error) {
			s, err := bbolt.Open(filepath.Join(dir, "moved.bolt"))
			if err != nil {
				return nil, nil, err
			}
			raw, err := boltMover(filepath.Join(dir, "moved.raw"))
			return s, raw, err
		}),
		moves(dir, "SQLite", func(dir string) (store.Store, *mover, error) {
			s, err := sqlite.Open(filepath.Join(dir, "moved.db"))
			if err != nil {
				return nil, nil, err
			}
			path := filepath.Join(dir, "moved-raw.db")
			tables, err := sqlite.Open(path)
			if err != nil {
				return nil, nil, err
			}
			raw, err := sqliteMover(path)
			return s, raw, errors.Join(err, tables.Close())
		}),
		movesOnPostgres(dir),
	)
}

func movesOnPostgres(dir string) error {
	server, err := pgtest.Start()
	if err != nil {
		fmt.Println("PostgreSQL:", err)
		return nil
	}
	defer server.Stop()
	ctx := context.Background()
	return moves(dir, "PostgreSQL", func(string) (store.Store, *mover, error) {
		s, err := postgres.Open(ctx, server.Address())
		if err != nil {
			return nil, nil, err
		}
		tables, err := postgres.OpenWith(ctx, server.Address(), postgres.Options{Namespace: "raw"})
		if err != nil {
			return nil, nil, err
		}
		raw, err := postgresMover(server.Address(), "raw")
		return s, raw, errors.Join(err, tables.Close())
	})
}

// mirrored is a store that hands the rows of its transactions to a limit, now and then: the turns of
// both are long, so that neither finds the disk busy with the other.
type mirrored struct {
	store.Store
	raw   *mover
	rows  [][]insertedRows // of the transactions of this turn
	spent time.Duration    // by the limit
	apart time.Duration    // by neither
	heap  *heap
}

// turn is the number of transactions after which the limit inserts their rows.
const turn = 40

func (m *mirrored) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	var batch []insertedRows
	err := m.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		batch = nil
		return fn(ctx, mirroredTx{tx, &batch})
	})
	if err != nil {
		return err
	}
	if m.rows = append(m.rows, batch); len(m.rows) < turn {
		return nil
	}
	return m.limit()
}

// limit inserts the rows of a turn.
func (m *mirrored) limit() error {
	began := time.Now()
	m.heap.look()
	syscall.Sync()
	m.apart += time.Since(began)
	began = time.Now()
	for _, batch := range m.rows {
		if err := m.raw.insert(batch); err != nil {
			return err
		}
	}
	m.spent += time.Since(began)
	began = time.Now()
	m.rows = nil
	syscall.Sync()
	m.apart += time.Since(began)
	return nil
}

type mirroredTx struct {
	store.Tx
	batch *[]insertedRows
}

func (t mirroredTx) InsertAll(ctx context.Context, table *store.Table, rows []store.Row) error {
	*t.batch = append(*t.batch, insertedRows{Table: table, Rows: rows})
	return t.Tx.InsertAll(ctx, table, rows)
}

// heap is the growth of the live heap.
type heap struct{ base, peak uint64 }

func (h *heap) look() {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if h.base == 0 {
		h.base = m.HeapAlloc
	}
	h.peak = max(h.peak, m.HeapAlloc-min(h.base, m.HeapAlloc))
}

// moves measures a store beside its limit.
func moves(dir, name string, open func(dir string) (store.Store, *mover, error)) (err error) {
	if *only != "" && !strings.Contains("import export "+name, *only) {
		return nil
	}
	if dir, err = os.MkdirTemp(dir, "moves"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() // some gigabytes
	s, raw, err := open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, raw.close(), s.Close()) }()
	m := &mirrored{Store: s, raw: raw, heap: new(heap)}
	engine, err := latchkey.New(m, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	m.rows = nil
	ctx := context.Background()
	began := time.Now()
	done, err := engine.Import(ctx, manyPeople(*rows), latchkey.ImportOptions{})
	if err == nil {
		err = m.limit()
	}
	ours := time.Since(began) - m.spent - m.apart
	if err == nil && done.Created != *rows {
		err = fmt.Errorf("imported %+v", done)
	}
	if err != nil {
		return err
	}
	report(fmt.Sprintf("import of %d users with argon2id hashes, %s (once, heap at most %d MB more)", *rows, name, m.heap.peak>>20), ours, m.spent)

	for _, secrets := range []bool{false, true} {
		var ours, limits []time.Duration
		grown := new(heap)
		for range exportTurns {
			began := time.Now()
			if n, err := raw.scan(); err != nil || n != 2**rows {
				return errors.Join(err, fmt.Errorf("%d rows in the scan", n))
			}
			limits = append(limits, time.Since(began))
			took, err := exported(engine, secrets, grown)
			if err != nil {
				return err
			}
			ours = append(ours, took)
		}
		what := "without hashes"
		if secrets {
			what = "with hashes"
		}
		slices.Sort(ours)
		slices.Sort(limits)
		name := fmt.Sprintf("export of %d users %s as lines, against a raw scan, %s (median of %d, heap at most %d MB more)", *rows, what, name, exportTurns, grown.peak>>20)
		report(name, ours[exportTurns/2], limits[exportTurns/2])
	}
	return nil
}

// exportTurns is how often the users are exported and scanned, in turns.
const exportTurns = 5

// exported exports everything, and returns the time that it took.
func exported(engine *latchkey.Engine, secrets bool, grown *heap) (time.Duration, error) {
	began, apart, n := time.Now(), time.Duration(0), 0
	w := transfer.NewWriter(io.Discard, secrets, time.Now())
	err := engine.Export(context.Background(), latchkey.ExportOptions{Secrets: secrets}, func(p latchkey.Portable) error {
		if n++; n%100_000 == 1 {
			looked := time.Now()
			grown.look()
			apart += time.Since(looked)
		}
		return w.Write(p)
	})
	return time.Since(began) - apart, errors.Join(err, w.Close())
}

// report prints a row of the table. The ratio is that of the rates.
func report(name string, ours, limit time.Duration) {
	fmt.Printf("| %s | %v | %v | %.2f of its rate | |\n", name, ours.Round(time.Millisecond), limit.Round(time.Millisecond), float64(limit)/float64(ours))
}

// manyPeople returns n users with hashes of package hasher.
func manyPeople(n int) transfer.Records {
	return func(yield func(latchkey.Portable, error) bool) {
		for i := range n {
			at := rawstore.Began.Add(time.Duration(i) * time.Second)
			u := &latchkey.PortableUser{
				ID: fmt.Sprintf("person%010d", i), Email: fmt.Sprintf("person%d@example.org", i), Name: fmt.Sprintf("Person %d", i), CreatedAt: at,
				Password: hidden.New(fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0c2Fs$%042dA", i)),
			}
			if !yield(latchkey.Portable{Line: i + 1, User: u}, nil) {
				return
			}
		}
	}
}
