package postgres

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// bakery is a store beside a table of a host, whose loaves belong to users.
type bakery struct {
	*testing.T
	store.Store
	address, namespace string
	retries            []string // the SQLSTATE of each run that was repeated
	mu                 sync.Mutex
}

func newBakery(t *testing.T, o Options) *bakery { return bakeryAt(t, pgtest.Shared(t).Address(), o) }

func bakeryAt(t *testing.T, address string, o Options) *bakery {
	t.Helper()
	b := &bakery{T: t, address: pgtest.Shared(t).Address(), namespace: pgtest.Namespace()}
	o.Namespace = b.namespace
	o.OnRetry = func(state string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.retries = append(b.retries, state)
	}
	b.Store = open(t, address, o)
	execute(t, b.address, b.in("CREATE TABLE @.loaves (name text PRIMARY KEY, baker text NOT NULL REFERENCES @.users (id))"))
	return b
}

// in puts the namespace into a text.
func (b *bakery) in(text string) string { return strings.ReplaceAll(text, "@", b.namespace) }

func (b *bakery) host(tx store.Tx) pgx.Tx {
	b.Helper()
	host, ok := TxOf(tx)
	if !ok {
		b.Fatal("no handle")
	}
	return host
}

// bake adds a loaf.
func (b *bakery) bake(ctx context.Context, host pgx.Tx, name, baker string) error {
	_, err := host.Exec(ctx, b.in("INSERT INTO @.loaves VALUES ($1, $2)"), name, baker)
	return err
}

// signUp adds a user and runs do with the handle.
func (b *bakery) signUp(id string, do func(ctx context.Context, host pgx.Tx) error) error {
	return b.Update(limited(b), func(ctx context.Context, tx store.Tx) error {
		if err := record.Users.Insert(ctx, tx, person(id, id)); err != nil {
			return err
		}
		return do(ctx, b.host(tx))
	})
}

// lookUp reads a row outside of the store.
func (b *bakery) lookUp(query string, into ...any) {
	b.Helper()
	conn, err := pgx.Connect(limited(b), b.address)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(limited(b))
	if err := conn.QueryRow(limited(b), query).Scan(into...); err != nil {
		b.Fatal(err)
	}
}

// kept returns the users and the loaves.
func (b *bakery) kept() string {
	b.Helper()
	var users, loaves string
	b.lookUp(b.in(`SELECT (SELECT coalesce(string_agg(id, ',' ORDER BY id COLLATE "C"), '') FROM @.users),
		(SELECT coalesce(string_agg(name, ',' ORDER BY name COLLATE "C"), '') FROM @.loaves)`), &users, &loaves)
	return users + " " + loaves
}

func (b *bakery) wantKept(want string) {
	b.Helper()
	if got := b.kept(); got != want {
		b.Errorf("%q, want %q", got, want)
	}
}

func wantCode(t testing.TB, what string, err error, code string) {
	t.Helper()
	answer := (*pgconn.PgError)(nil)
	if !errors.As(err, &answer) || answer.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

var errHost = errors.New("an error of the host")

// The bakeries of the ways to send statements: in batches, without batches, and through a pooler.
func eachWay(t *testing.T, test func(b *bakery)) {
	t.Run("batches", func(t *testing.T) { test(newBakery(t, Options{})) })
	t.Run("pooler", func(t *testing.T) {
		test(bakeryAt(t, pgtest.Pooler(t, pgtest.Shared(t)), Options{TransactionPooler: true}))
	})
	t.Run("no batches", func(t *testing.T) {
		pool := hostPool(t, pgtest.Shared(t).Address(), func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec })
		b := &bakery{T: t, address: pgtest.Shared(t).Address(), namespace: pgtest.Namespace()}
		b.Store = overPool(t, pool, Options{Namespace: b.namespace})
		execute(t, b.address, b.in("CREATE TABLE @.loaves (name text PRIMARY KEY, baker text NOT NULL REFERENCES @.users (id))"))
		test(b)
	})
}

func TestARowOfTheHostCommitsWithOurs(t *testing.T) {
	eachWay(t, func(b *bakery) {
		err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
			var phone, level string // the row that the closure has written before
			if err := host.QueryRow(ctx, b.in("SELECT phone FROM @.users WHERE id = $1"), "ada").Scan(&phone); err != nil || phone != "ada" {
				b.Errorf("%q, %v", phone, err)
			}
			if err := host.QueryRow(ctx, "SHOW transaction_isolation").Scan(&level); err != nil || level != "serializable" {
				b.Errorf("%q, %v", level, err)
			}
			return b.bake(ctx, host, "rye", "ada") // and its foreign key holds
		})
		if err != nil {
			b.Fatal(err)
		}
		b.wantKept("ada rye")
	})
}

func TestTheClosureGoesOnAfterTheHost(t *testing.T) {
	eachWay(t, func(b *bakery) {
		err := b.Update(limited(b), func(ctx context.Context, tx store.Tx) error {
			host := b.host(tx) // before anything was sent
			for _, id := range []string{"ada", "eve"} {
				if err := record.Users.Insert(ctx, tx, person(id, id)); err != nil {
					return err
				}
				if again := b.host(tx); again != host {
					b.Error("another handle")
				}
				if err := b.bake(ctx, host, "loaf of "+id, id); err != nil {
					return err
				}
			}
			if n, err := tx.Count(ctx, store.Query{Index: record.Users.Primary()}); err != nil || n != 2 {
				b.Error(n, err)
			}
			return record.Failures.Insert(ctx, tx, count("after", 1))
		})
		if err != nil {
			b.Fatal(err)
		}
		b.wantKept("ada,eve loaf of ada,loaf of eve")
		if counted(b, b, "after") != 1 {
			b.Error("the write after the host is lost")
		}
	})
}

// After a failed statement the transaction can only roll back. An error that the host hides is
// never taken for a commit, and the run is not repeated.
func TestAFailedStatementOfTheHostFailsUpdate(t *testing.T) {
	eachWay(t, func(b *bakery) {
		for name, fail := range map[string]func(ctx context.Context, host pgx.Tx) error{
			"a taken key": func(ctx context.Context, host pgx.Tx) error {
				return errors.Join(b.bake(ctx, host, "bun", "ada"), b.bake(ctx, host, "bun", "ada"))
			},
			"a missing user": func(ctx context.Context, host pgx.Tx) error { return b.bake(ctx, host, "bun", "nobody") },
			"a missing table": func(ctx context.Context, host pgx.Tx) error {
				return host.QueryRow(ctx, "SELECT 1 FROM nothing").Scan(new(int))
			},
			"a row in the middle": func(ctx context.Context, host pgx.Tx) error {
				rows, err := host.Query(ctx, "SELECT 1 / (3 - n) FROM generate_series(1, $1::int) n", 5)
				if err != nil {
					return err
				}
				for rows.Next() {
				}
				return rows.Err()
			},
			"a batch": func(ctx context.Context, host pgx.Tx) error {
				batch := &pgx.Batch{}
				batch.Queue("SELECT 1")
				batch.Queue(b.in("INSERT INTO @.loaves VALUES ($1, $2)"), "bun", "nobody")
				return host.SendBatch(ctx, batch).Close()
			},
			"a copy": func(ctx context.Context, host pgx.Tx) error {
				_, err := host.CopyFrom(ctx, pgx.Identifier{b.namespace, "loaves"}, []string{"name", "baker"}, pgx.CopyFromRows([][]any{{"bun", "ada"}, {"bun", "ada"}}))
				return err
			},
			"a thing that the server cannot do": func(ctx context.Context, host pgx.Tx) error {
				_, err := host.Exec(ctx, "DO $$ BEGIN RAISE SQLSTATE '0A000'; END $$")
				return err
			},
			"Rows that stay open": func(ctx context.Context, host pgx.Tx) error {
				_, err := host.Query(ctx, "SELECT 1 / (3 - n) FROM generate_series(1, $1::int) n", 5)
				return errors.Join(errHost, err)
			},
		} {
			for _, hides := range []bool{false, true} {
				runs, seen := 0, error(nil)
				err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
					runs++
					if seen = fail(ctx, host); seen == nil {
						b.Errorf("%s: no error", name)
					}
					if hides {
						return nil
					}
					return seen
				})
				if hides && !errors.Is(err, store.ErrAborted) || !hides && !errors.Is(err, seen) || runs != 1 {
					b.Errorf("%s, hidden %t: %v after %d runs", name, hides, err, runs)
				}
			}
			// The engine's next call on the transaction is refused at once.
			err := b.Update(limited(b), func(ctx context.Context, tx store.Tx) error {
				if err := record.Users.Insert(ctx, tx, person("ada", "ada")); err != nil {
					return err
				}
				_ = fail(ctx, b.host(tx))
				if err := record.Users.Insert(ctx, tx, person("eve", "eve")); !errors.Is(err, store.ErrAborted) {
					b.Errorf("%s: a call after it: %v", name, err)
				}
				return nil
			})
			if !errors.Is(err, store.ErrAborted) {
				b.Errorf("%s: %v", name, err)
			}
			b.wantKept(" ")
		}
		if len(b.retries) > 0 {
			b.Errorf("runs repeated: %q", b.retries)
		}
	})
}

// In an inner transaction a statement may fail.
func TestAnInnerTransactionGoesBack(t *testing.T) {
	eachWay(t, func(b *bakery) {
		err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
			err := pgx.BeginFunc(ctx, host, func(inner pgx.Tx) error { return b.bake(ctx, inner, "bun", "nobody") })
			wantCode(b, "a missing user", err, referenceViolation)
			err = pgx.BeginFunc(ctx, host, func(inner pgx.Tx) error {
				_ = pgx.BeginFunc(ctx, inner, func(deeper pgx.Tx) error { return errors.Join(b.bake(ctx, deeper, "oat", "ada"), errHost) })
				return b.bake(ctx, inner, "rye", "ada")
			})
			if err != nil {
				b.Error(err)
			}
			inner, err := host.Begin(ctx)
			if err != nil {
				return err
			}
			if err := errors.Join(b.bake(ctx, inner, "bun", "ada"), inner.Commit(ctx)); err != nil {
				b.Error(err)
			}
			for _, err := range []error{inner.Rollback(ctx), inner.Commit(ctx), b.bake(ctx, inner, "late", "ada")} {
				if !errors.Is(err, pgx.ErrTxClosed) {
					b.Errorf("an inner transaction that is over: %v", err)
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		b.wantKept("ada bun,rye")
	})
}

// An inner transaction undoes nothing that the closure writes after it has begun.
func TestAnInnerTransactionEndsWithTheNextCallOfTheClosure(t *testing.T) {
	b := newBakery(t, Options{})
	err := b.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
		inner, err := b.host(tx).Begin(ctx)
		if err != nil {
			return err
		}
		if err := record.Users.Insert(ctx, tx, person("ada", "ada")); err != nil {
			return err
		}
		if err := inner.Rollback(ctx); !errors.Is(err, pgx.ErrTxClosed) {
			t.Error(err)
		}
		return b.bake(ctx, b.host(tx), "rye", "ada")
	})
	if err != nil {
		t.Fatal(err)
	}
	b.wantKept("ada rye")
}

func TestStatementsThatEndTheTransactionAreRefused(t *testing.T) {
	b := newBakery(t, Options{})
	err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
		for _, text := range []string{
			"BEGIN", "start transaction", "COMMIT", "END", "Abort", "ROLLBACK TO a", "SAVEPOINT a", "RELEASE a", "PREPARE TRANSACTION 'a'", "COMMIT PREPARED 'a'",
			" \n-- a; b\n/* a /* ; */ ; */ COMMIT", "; COMMIT", "SELECT ';''; COMMIT'; COMMIT", `SELECT E'\'; SELECT 1'; COMMIT`, "SELECT $a$;$$;$a$; COMMIT", `SELECT 1 AS ";"; COMMIT`,
			"CREATE TABLE a (n int); END", "SELECT '{1,2}'::int[]; COMMIT", "SELECT 1 -- a\r; COMMIT",
			"PREPARE a AS SELECT 1", "DEALLOCATE a", "SET statement_timeout = 1", "set session characteristics as transaction read only", "SELECT 1; RESET ALL", "LISTEN a", "DISCARD TEMP",
			"CREATE TEMP TABLE a (n int)", "CREATE LOCAL TEMPORARY TABLE a (n int)", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "copy a from stdin",
		} {
			_, err := host.Exec(ctx, text)
			_, asked := host.Query(ctx, text)
			row := host.QueryRow(ctx, text).Scan(new(int))
			_, prepared := host.Prepare(ctx, "a", text)
			batch := &pgx.Batch{}
			batch.Queue("SELECT 1")
			batch.Queue(text)
			sent := host.SendBatch(ctx, batch)
			_, first := sent.Exec()
			for _, err := range []error{err, asked, row, prepared, first, sent.Close()} {
				if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "is not for the host") {
					t.Errorf("%s: %v", text, err)
				}
			}
		}
		batch := &pgx.Batch{}
		batch.BeginTx(pgx.TxOptions{})
		if err := host.SendBatch(ctx, batch).Close(); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("a batch with a transaction: %v", err)
		}
		for _, text := range []string{
			"SELECT '; COMMIT'", "SELECT $$; COMMIT$$", `SELECT E'\'; COMMIT'`, `SELECT 1 AS "; COMMIT"`, "SELECT 1 /* /* */ ; COMMIT */", "SELECT 1 -- ; COMMIT",
			"SELECT 1; SELECT 2", "SET LOCAL statement_timeout = 0", "SET CONSTRAINTS ALL DEFERRED", "SELECT set_config('latchkey.user', 'ada', true)",
			"CREATE TEMP TABLE scratch (n int) ON COMMIT DROP", "DECLARE c CURSOR FOR SELECT 1", "DO $$ BEGIN NULL; END $$",
		} {
			if _, err := host.Exec(ctx, text); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.wantKept("ada ")
	// Servers before version 14 do not have this.
	if err := permitted("CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE SQL BEGIN ATOMIC SELECT 2; SELECT 1; END"); err != nil {
		t.Error(err)
	}
}

// All ways of pgx to run statements.
func TestTheHandleIsATransactionOfPgx(t *testing.T) {
	eachWay(t, func(b *bakery) {
		err := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
			n, err := host.CopyFrom(ctx, pgx.Identifier{b.namespace, "loaves"}, []string{"name", "baker"}, pgx.CopyFromRows([][]any{{"a", "ada"}, {"b", "ada"}}))
			if n != 2 || err != nil {
				b.Error(n, err)
			}
			batch := &pgx.Batch{}
			batch.Queue(b.in("INSERT INTO @.loaves VALUES ($1, 'ada')"), "c")
			batch.Queue(b.in("SELECT count(*) FROM @.loaves")).QueryRow(func(row pgx.Row) error {
				if err := row.Scan(&n); n != 3 || err != nil {
					b.Error(n, err)
				}
				return nil
			})
			if err := host.SendBatch(ctx, batch).Close(); err != nil {
				b.Error(err)
			}
			type loaf struct{ Name, Baker string }
			rows, err := host.Query(ctx, "SELECT name, baker FROM "+b.in("@.loaves")+" WHERE name > @after ORDER BY name", pgx.NamedArgs{"after": "a"})
			if err != nil {
				return err
			}
			loaves, err := pgx.CollectRows(rows, pgx.RowToStructByName[loaf])
			if err != nil || !slices.Equal(loaves, []loaf{{"b", "ada"}, {"c", "ada"}}) || rows.CommandTag().RowsAffected() != 2 {
				b.Errorf("%v, %v", loaves, err)
			}
			if err := host.QueryRow(ctx, "SELECT 1 WHERE false").Scan(&n); !errors.Is(err, pgx.ErrNoRows) {
				b.Error(err)
			}
			var text string
			if err := host.QueryRow(ctx, "SELECT $1::int", pgx.QueryExecModeSimpleProtocol, 7).Scan(&text); text != "7" && err == nil {
				b.Error(text, err)
			}
			if host.Conn().TypeMap() == nil {
				b.Error("no types")
			}
			objects := host.LargeObjects()
			id, err := objects.Create(ctx, 0)
			if err != nil {
				return err
			}
			object, err := objects.Open(ctx, id, pgx.LargeObjectModeWrite|pgx.LargeObjectModeRead)
			if err != nil {
				return err
			}
			if _, err := object.Write([]byte("large")); err != nil {
				b.Error(err)
			}
			if _, err := object.Seek(0, io.SeekStart); err != nil {
				b.Error(err)
			}
			content, err := io.ReadAll(object)
			if string(content) != "large" || err != nil {
				b.Errorf("%q, %v", content, err)
			}
			return objects.Unlink(ctx, id)
		})
		if err != nil {
			b.Fatal(err)
		}
		b.wantKept("ada a,b,c")
	})
}

// Statements of the host run in the mode of the store, whatever the mode of the pool is. Behind a pooler, a prepared
// statement would be on another connection the next time.
func TestStatementsOfTheHostPassAPooler(t *testing.T) {
	pool := hostPool(t, pgtest.Pooler(t, pgtest.Shared(t)), func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement })
	b := &bakery{T: t, address: pgtest.Shared(t).Address(), namespace: pgtest.Namespace()}
	b.Store = overPool(t, pool, Options{Namespace: b.namespace, TransactionPooler: true})
	var prepared int
	err := b.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
		host := b.host(tx)
		if _, err := host.Exec(ctx, "SELECT $1::int", 1); err != nil {
			return err
		}
		return host.QueryRow(ctx, "SELECT count(*) FROM pg_prepared_statements WHERE name <> $1", "").Scan(&prepared)
	})
	if err != nil || prepared != 0 {
		t.Errorf("%d prepared statements, %v", prepared, err)
	}
}
