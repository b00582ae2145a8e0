package capacity

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
)

// BenchmarkSizes measures what rows take on each store: a user with an address and a password, a
// session of that user, and a line of the log. The line of the log that a user or a session brings
// along is counted apart.
func BenchmarkSizes(b *testing.B) {
	type place struct {
		open func() (store.Store, error)
		used func() (int64, error) // after the store is closed
	}
	server := server(b)
	measured := pool(b, server, 4)
	dir := b.TempDir()
	for name, p := range map[string]place{
		"bbolt": {
			func() (store.Store, error) { return bbolt.Open(filepath.Join(dir, "test.bolt")) },
			func() (n int64, err error) {
				db, err := bolt.Open(filepath.Join(dir, "test.bolt"), 0o600, nil)
				if err != nil {
					return 0, err
				}
				defer db.Close()
				err = db.View(func(tx *bolt.Tx) error {
					n = tx.Size() - int64(db.Stats().FreePageN*db.Info().PageSize)
					return nil
				})
				return n, err
			},
		},
		"sqlite": {
			func() (store.Store, error) { return sqlite.Open(filepath.Join(dir, "test.db")) },
			func() (n int64, err error) {
				db, err := sql.Open("sqlite", filepath.Join(dir, "test.db"))
				if err != nil {
					return 0, err
				}
				defer db.Close()
				err = db.QueryRow("SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&n)
				return n, err
			},
		},
		"postgres": {
			func() (store.Store, error) {
				return postgres.Open(context.Background(), server.Address())
			},
			func() (n int64, err error) {
				err = measured.QueryRow(context.Background(), `SELECT sum(pg_total_relation_size(oid)) FROM pg_class
					WHERE relnamespace = 'latchkey'::regnamespace AND relkind = 'r'`).Scan(&n)
				return n, err
			},
		},
	} {
		b.Run(name, func(b *testing.B) {
			n := max(b.N, 2)
			for _, file := range []string{"test.bolt", "test.db", "test.db-wal", "test.db-shm"} {
				_ = os.Remove(filepath.Join(dir, file))
			}
			if _, err := measured.Exec(context.Background(), "DROP SCHEMA IF EXISTS latchkey CASCADE"); err != nil {
				b.Fatal(err)
			}
			ctx, last := context.Background(), int64(0)
			// step fills the store, and returns the bytes that were added.
			step := func(fill func(*latchkey.Engine, store.Store)) int64 {
				s, err := p.open()
				if err != nil {
					b.Fatal(err)
				}
				e, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: key}, Hasher: hashertest.New(b), Limiter: unlimited()})
				if err != nil {
					b.Fatal(err)
				}
				fill(e, s)
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				used, err := p.used()
				if err != nil {
					b.Fatal(err)
				}
				added := used - last
				last = used
				return added
			}
			step(func(*latchkey.Engine, store.Store) {})
			users := step(func(e *latchkey.Engine, _ store.Store) {
				callers(b, 32, n, func(i int) error {
					_, err := e.Users().Create(ctx, latchkey.NewUser{UserID: fmt.Sprintf("user%d", i), Email: fmt.Sprintf("person.number%d@example.org", i), Password: password, Name: "Ada Lovelace"})
					return err
				})
			})
			sessions := step(func(e *latchkey.Engine, _ store.Store) {
				callers(b, 32, 2*n, func(i int) error {
					_, err := e.Guest(browser).CreateEmailPasswordSession(ctx, fmt.Sprintf("person.number%d@example.org", i/2), password)
					return err
				})
			})
			var lines []store.Row
			logs := step(func(_ *latchkey.Engine, s store.Store) {
				all, err := record.Logs.List(ctx, s, store.Query{Index: record.Logs.Primary(), Limit: store.MaxLimit, Descending: true})
				if err != nil {
					b.Fatal(err)
				}
				for i := range 4 * n {
					line := *all[i%len(all)]
					line.ID = fmt.Sprintf("0192%032d", i)
					lines = append(lines, record.Logs.Row(&line))
				}
				for len(lines) > 0 {
					part := lines[:min(len(lines), 1000)]
					lines = lines[len(part):]
					if err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error { return tx.InsertAll(ctx, record.Logs.Table, part) }); err != nil {
						b.Fatal(err)
					}
				}
			})
			line := float64(logs) / float64(4*n)
			b.ReportMetric(float64(users)/float64(n)-line, "B/user")
			b.ReportMetric(float64(sessions)/float64(2*n)-line, "B/session")
			b.ReportMetric(line, "B/log")
			b.ReportMetric(0, "ns/op")
		})
	}
}
