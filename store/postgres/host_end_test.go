package postgres

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Handles, rows and batches that the host keeps do not use a connection that another call has by now.
func TestAHandleIsRefusedAfterItsClosure(t *testing.T) {
	b := newBakery(t, Options{MaxConns: 1})
	var host, inner pgx.Tx
	var kept store.Tx
	var rows pgx.Rows
	var objects pgx.LargeObjects
	err := b.Update(limited(t), func(ctx context.Context, tx store.Tx) (err error) {
		kept, host = tx, b.host(tx)
		objects = host.LargeObjects()
		if inner, err = host.Begin(ctx); err != nil {
			return err
		}
		if rows, err = host.Query(ctx, "SELECT 'a text ' || n FROM generate_series(1, 1000) n"); err != nil || !rows.Next() {
			return errors.Join(errHost, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	use := func(when string) {
		t.Helper()
		ctx := limited(t)
		for _, tx := range []pgx.Tx{host, inner} {
			_, asked := tx.Query(ctx, "SELECT 1")
			_, begun := tx.Begin(ctx)
			_, prepared := tx.Prepare(ctx, "a", "SELECT 1")
			_, copied := tx.CopyFrom(ctx, pgx.Identifier{b.namespace, "loaves"}, []string{"name"}, pgx.CopyFromRows(nil))
			batch := &pgx.Batch{}
			batch.Queue("SELECT 1")
			for n, err := range []error{b.bake(ctx, tx, "late", "ada"), asked, begun, prepared, copied, tx.QueryRow(ctx, "SELECT 1").Scan(new(int)), tx.SendBatch(ctx, batch).Close(), tx.Rollback(ctx)} {
				if !errors.Is(err, store.ErrDone) {
					t.Errorf("%s: %d: %v", when, n, err)
				}
			}
			if err := tx.Commit(ctx); err == nil {
				t.Errorf("%s: Commit has succeeded", when)
			}
			if tx.Conn() != nil {
				t.Errorf("%s: a connection", when)
			}
		}
		if _, err := objects.Create(ctx, 0); !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("%s: large objects: %v", when, err)
		}
		_, err := rows.Values()
		for n, err := range []error{err, rows.Scan(new(string)), rows.Err()} {
			if !errors.Is(err, store.ErrDone) {
				t.Errorf("%s: rows: %d: %v", when, n, err)
			}
		}
		if rows.Next() || rows.RawValues() != nil || rows.FieldDescriptions() != nil || rows.Conn() != nil {
			t.Errorf("%s: a row", when)
		}
		rows.Close()
	}
	use("after the closure")
	if _, ok := TxOf(kept); ok {
		t.Error("a handle after the closure")
	}
	err = b.signUp("ada", func(ctx context.Context, other pgx.Tx) error {
		use("in the next closure")
		return b.bake(ctx, other, "rye", "ada")
	})
	if err != nil {
		t.Fatal(err)
	}
	b.wantKept("ada rye")
}

func TestAGoroutineOfTheHostDoesNotReachTheNextClosure(t *testing.T) {
	b := newBakery(t, Options{MaxConns: 1})
	stop := make(chan struct{})
	var group sync.WaitGroup
	for n := range 10 {
		err := b.signUp(fmt.Sprint("user", n), func(ctx context.Context, host pgx.Tx) error {
			group.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					_, err := host.Exec(context.Background(), b.in("INSERT INTO @.loaves SELECT gen_random_uuid(), min(id) FROM @.users"))
					if errors.Is(err, store.ErrDone) {
						return
					}
					if rows, err := host.Query(context.Background(), "SELECT n FROM generate_series(1, 100) n"); err == nil {
						for rows.Next() {
							_, _ = rows.Values()
						}
						rows.Close()
					}
				}
			})
			runtime.Gosched()
			return errHost
		})
		if !errors.Is(err, errHost) {
			t.Errorf("closure %d: %v", n, err)
		}
	}
	close(stop)
	group.Wait()
	b.wantKept(" ")
}

// Rows and batches that stay open break neither the closure's calls after them, nor the commit. The host learns that
// it has not read them to their end.
func TestAForgottenResultHoldsNothingUp(t *testing.T) {
	eachWay(t, func(b *bakery) {
		var left []pgx.Rows
		err := b.Update(limited(b), func(ctx context.Context, tx store.Tx) error {
			left = nil
			host := b.host(tx)
			forget := func() {
				rows, err := host.Query(ctx, "SELECT n FROM generate_series(1, 10000) n")
				if err != nil || !rows.Next() {
					b.Error(err)
				}
				left = append(left, rows)
				if _, err := host.Exec(ctx, "SELECT 1"); !errors.Is(err, store.ErrInvalid) {
					b.Errorf("a statement beside open rows: %v", err)
				}
			}
			forget()
			if err := record.Users.Insert(ctx, tx, person("ada", "ada")); err != nil {
				return err
			}
			if err := b.bake(ctx, host, "rye", "ada"); err != nil {
				return err
			}
			batch := &pgx.Batch{}
			batch.Queue(b.in("INSERT INTO @.loaves VALUES ($1, $2)"), "bun", "ada")
			batch.Queue("SELECT n FROM generate_series(1, 10000) n")
			results := host.SendBatch(ctx, batch)
			if _, err := results.Exec(); err != nil {
				return err
			}
			rows, err := results.Query()
			if err != nil || !rows.Next() {
				b.Error(err)
			}
			left = append(left, rows)
			if n, err := tx.Count(ctx, store.Query{Index: record.Users.Primary()}); n != 1 || err != nil {
				b.Error(n, err)
			}
			if _, err := results.Exec(); err == nil {
				b.Error("the batch is still open")
			}
			forget()
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		for n, rows := range left {
			if rows.Next() || rows.Err() == nil {
				b.Errorf("%d: the rows look as if they had ended", n)
			}
		}
		b.wantKept("ada bun,rye")
	})
}
