package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A conflict in a statement of the host runs the closure again, also if the host hides it. There is one row at the
// end.
func TestAConflictOfTheHostRunsAgain(t *testing.T) {
	for _, hides := range []bool{false, true} {
		b := newBakery(t, Options{})
		execute(t, b.address, b.in("CREATE TABLE @.counters (n int)"), b.in("INSERT INTO @.counters VALUES (0)"))
		runs := 0
		err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
			runs++
			var n int
			if err := host.QueryRow(ctx, b.in("SELECT n FROM @.counters")).Scan(&n); err != nil {
				return err
			}
			if runs == 1 { // another session changes the row that this run has read
				execute(t, b.address, b.in("UPDATE @.counters SET n = 7"))
			}
			_, err := host.Exec(ctx, b.in("UPDATE @.counters SET n = $1"), n+1)
			if runs == 1 {
				wantCode(t, "the first run", err, serializationFailed)
				if err := b.bake(ctx, host, "late", "ada"); !errors.Is(err, store.ErrAborted) {
					t.Errorf("a statement after the conflict: %v", err)
				}
			}
			if hides && err != nil {
				return nil
			}
			if err != nil {
				return err
			}
			return b.bake(ctx, host, fmt.Sprint("rye ", n+1), "ada")
		})
		if err != nil || runs != 2 || !slices.Equal(b.retries, []string{serializationFailed}) {
			t.Errorf("hidden %t: %v after %d runs, %q", hides, err, runs, b.retries)
		}
		b.wantKept("ada rye 8")
	}
}

// A conflict that shows only at the commit runs the closure again too.
func TestAConflictOfTheHostAtTheCommitRunsAgain(t *testing.T) {
	b := newBakery(t, Options{})
	execute(t, b.address, b.in("CREATE TABLE @.shifts (baker text)"), b.in("INSERT INTO @.shifts VALUES ('x'), ('y')"))
	leave := func(baker string, between func()) error {
		return b.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			host, n := b.host(tx), 0
			if err := host.QueryRow(ctx, b.in("SELECT count(*) FROM @.shifts")).Scan(&n); err != nil {
				return err
			}
			if between != nil {
				between()
			}
			if n < 2 {
				return nil // one baker stays
			}
			_, err := host.Exec(ctx, b.in("DELETE FROM @.shifts WHERE baker = $1"), baker)
			return err
		})
	}
	once := sync.OnceFunc(func() {
		if err := leave("y", nil); err != nil {
			t.Error(err)
		}
	})
	if err := leave("x", once); err != nil {
		t.Fatal(err)
	}
	execute(t, b.address, b.in("DO $$ BEGIN ASSERT (SELECT count(*) = 1 FROM @.shifts); END $$"))
	if len(b.retries) == 0 {
		t.Error("no conflict")
	}
}

// A lost connection in a statement of the host runs the closure again, also if the host hides it.
func TestALostConnectionOfTheHostRunsAgain(t *testing.T) {
	for name, lose := range map[string]func(ctx context.Context, b *bakery, host pgx.Tx) error{
		"Exec": func(ctx context.Context, b *bakery, host pgx.Tx) error { return b.bake(ctx, host, "lost", "ada") },
		"Query": func(ctx context.Context, b *bakery, host pgx.Tx) error {
			rows, _ := host.Query(ctx, "SELECT 1")
			rows.Close()
			return rows.Err()
		},
		"SendBatch": func(ctx context.Context, b *bakery, host pgx.Tx) error {
			batch := &pgx.Batch{}
			batch.Queue("SELECT 1")
			return host.SendBatch(ctx, batch).Close()
		},
		"Begin": func(ctx context.Context, b *bakery, host pgx.Tx) error {
			_, err := host.Begin(ctx)
			return err
		},
	} {
		for _, hides := range []bool{false, true} {
			b := newBakery(t, Options{})
			runs := 0
			err := b.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
				host := b.host(tx) // before a write of the closure, whose answer would tell too
				if runs++; runs == 1 {
					var pid int
					if err := host.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
						return err
					}
					execute(t, b.address, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", pid))
					err := lose(ctx, b, host)
					if err == nil {
						t.Errorf("%s: no error", name)
					}
					if hides {
						return nil
					}
					return err
				}
				if err := record.Users.Insert(ctx, tx, person("ada", "ada")); err != nil {
					return err
				}
				return b.bake(ctx, host, "rye", "ada")
			})
			if err != nil || runs != 2 {
				t.Errorf("%s, hidden %t: %v after %d runs", name, hides, err, runs)
			}
			b.wantKept("ada rye")
		}
	}
}

// A connection that died in the pool is noticed by the host's first statement, and the closure runs again.
func TestADeadConnectionOfThePoolIsReplaced(t *testing.T) {
	b := newBakery(t, Options{MaxConns: 1})
	if err := b.signUp("ada", func(context.Context, pgx.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	execute(t, b.address, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%COMMIT%' AND backend_type = 'client backend'")
	if err := b.signUp("eve", func(ctx context.Context, host pgx.Tx) error { return b.bake(ctx, host, "rye", "ada") }); err != nil {
		t.Fatal(err)
	}
	if len(b.retries) != 1 {
		t.Errorf("%q, want one lost run", b.retries)
	}
	b.wantKept("ada,eve rye")
}

// A write of the closure that the server refuses is noticed by the host's statement. A careful run tells the
// closure.
func TestARefusedWriteIsNoticedByTheHost(t *testing.T) {
	b := newBakery(t, Options{})
	addPeople(t, b, "ada")
	runs := 0
	err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
		runs++
		if err := b.bake(ctx, host, "rye", "ada"); !errors.Is(err, store.ErrAborted) {
			t.Errorf("a statement after a refused write: %v", err)
		}
		return nil
	})
	if !store.IsTaken(err, record.Users.Primary()) || runs != 1 {
		t.Errorf("%v after %d runs of the host", err, runs)
	}
	b.wantKept("ada ")
}

// The context of the host ends in the middle of a statement. The server is asked to stop a second later, and Update
// fails without another run.
func TestAStatementEndsWithTheContextOfTheHost(t *testing.T) {
	for _, hides := range []bool{false, true} {
		b := newBakery(t, Options{})
		runs := 0
		err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
			runs++
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			_, err := host.Exec(short, "SELECT pg_sleep(60)")
			if err == nil {
				t.Error("it has ended")
			}
			if err := b.bake(ctx, host, "late", "ada"); !errors.Is(err, store.ErrAborted) {
				t.Errorf("a statement after it: %v", err)
			}
			if hides {
				return nil
			}
			return err
		})
		if err == nil || runs != 1 {
			t.Errorf("hidden %t: %v after %d runs", hides, err, runs)
		}
		b.wantKept(" ")
	}
}

func TestAnEndedContextLetsNoStatementBegin(t *testing.T) {
	b := newBakery(t, Options{})
	err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := b.bake(ended, host, "never", "ada"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		return b.bake(ctx, host, "rye", "ada")
	})
	if err != nil {
		t.Fatal(err)
	}
	b.wantKept("ada rye")
}

// A statement that ends the transaction behind the guard is never taken for a commit of the closure.
func TestATransactionThatTheHostEndsIsAnUnknownOutcome(t *testing.T) {
	b := newBakery(t, Options{})
	for n, end := range []string{"COMMIT", "ROLLBACK"} {
		err := b.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			host := b.host(tx)
			if err := b.bake(ctx, host, "bun", "nobody"); n == 0 && err == nil {
				t.Error("no error")
			}
			_, _ = host.Conn().Exec(ctx, end)
			if err := record.Users.Insert(ctx, tx, person("late", "late")); err == nil {
				t.Errorf("%s: a call after it has succeeded", end)
			}
			return nil
		})
		if !errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("%s: %v", end, err)
		}
	}
	b.wantKept(" ")
}

// A callback of the host that uses the transaction, in the middle of a statement, gets an error and waits for nothing.
func TestACallInsideAStatementIsRefused(t *testing.T) {
	b := newBakery(t, Options{})
	err := b.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
		if err := record.Users.Insert(ctx, tx, person("ada", "ada")); err != nil {
			return err
		}
		host := b.host(tx)
		batch := &pgx.Batch{}
		batch.Queue("SELECT 1").Query(func(pgx.Rows) error {
			_, err := tx.Count(ctx, store.Query{Index: record.Users.Primary()})
			for _, err := range []error{err, b.bake(ctx, host, "never", "ada")} {
				if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "running a statement") {
					t.Errorf("a call inside a statement: %v", err)
				}
			}
			return nil
		})
		if err := host.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		return b.bake(ctx, host, "rye", "ada")
	})
	if err != nil {
		t.Fatal(err)
	}
	b.wantKept("ada rye")
}

// A foreign key of the host that is checked at the commit refuses the commit.
func TestADeferredForeignKeyOfTheHostRefusesTheCommit(t *testing.T) {
	b := newBakery(t, Options{})
	execute(t, b.address, b.in("CREATE TABLE @.late (baker text REFERENCES @.users (id) DEFERRABLE INITIALLY DEFERRED)"))
	err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
		_, err := host.Exec(ctx, b.in("INSERT INTO @.late VALUES ('nobody')"))
		return err
	})
	if !errors.Is(err, store.ErrReference) {
		t.Error(err)
	}
	b.wantKept(" ")
}

// rewriter panics while pgx prepares a statement.
type rewriter struct{}

func (rewriter) RewriteQuery(context.Context, *pgx.Conn, string, []any) (string, []any, error) {
	panic(errHost)
}

// A panic inside a statement may have left it half done, so Update fails if the host recovers from it.
func TestAPanicInsideAStatementFailsUpdate(t *testing.T) {
	b := newBakery(t, Options{})
	err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
		func() {
			defer func() { _ = recover() }()
			_, _ = host.Exec(ctx, "SELECT 1", rewriter{})
			t.Error("no panic")
		}()
		return nil
	})
	if !errors.Is(err, store.ErrAborted) {
		t.Error(err)
	}
	b.wantKept(" ")
}
