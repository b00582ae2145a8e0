package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// bakery opens a store in the file of a host, whose loaves belong to users.
func bakery(t testing.TB) (s store.Store, path string) {
	t.Helper()
	path = hosted(t)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	execute(t, path, "CREATE TABLE loaves (name TEXT PRIMARY KEY, baker TEXT NOT NULL REFERENCES users (id), baked DATETIME)")
	return s, path
}

// hostTxOf returns the host's handle.
func hostTxOf(t testing.TB, tx store.Tx) *sql.Tx {
	t.Helper()
	host, ok := TxOf(tx)
	if !ok {
		t.Fatal("no handle")
	}
	return host
}

// signUp adds a user and runs do with the handle.
func signUp(t testing.TB, s store.Store, id string, do func(ctx context.Context, host *sql.Tx) error) error {
	t.Helper()
	return s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		if err := record.Users.Insert(ctx, tx, someone(id)); err != nil {
			return err
		}
		return do(ctx, hostTxOf(t, tx))
	})
}

// bake adds a loaf.
func bake(ctx context.Context, host *sql.Tx, name, baker string) error {
	_, err := host.ExecContext(ctx, "INSERT INTO loaves (name, baker) VALUES (?, ?)", name, baker)
	return err
}

// kept returns the users and the loaves.
func kept(t testing.TB, path string) string {
	t.Helper()
	return lookUp(t, path, "SELECT id FROM users ORDER BY id") + " " + lookUp(t, path, "SELECT name FROM loaves ORDER BY name")
}

func wantKept(t testing.TB, path, want string) {
	t.Helper()
	if got := kept(t, path); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

var errHost = errors.New("an error of the host")

// inOneBatch runs calls in one batch, in their order. They come while another one holds the writer. The test runs in a
// bubble of synctest.
func inOneBatch(t *testing.T, s store.Store, calls ...func() error) []error {
	t.Helper()
	release, first := make(chan struct{}), make(chan error, 1)
	go func() {
		first <- s.Update(t.Context(), func(context.Context, store.Tx) error {
			<-release
			return nil
		})
	}()
	synctest.Wait()
	errs := make([]error, len(calls))
	var group sync.WaitGroup
	for i, call := range calls {
		group.Go(func() { errs[i] = call() })
		synctest.Wait()
	}
	close(release)
	group.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
	return errs
}

func TestARowOfTheHostCommitsWithOurs(t *testing.T) {
	s, path := bakery(t)
	err := signUp(t, s, "ada", func(ctx context.Context, host *sql.Tx) error {
		var name string // the row that the closure has written before
		if err := host.QueryRowContext(ctx, "SELECT name FROM users WHERE id = 'ada'").Scan(&name); err != nil || name != "Name of ada" {
			t.Errorf("%q, %v", name, err)
		}
		return bake(ctx, host, "rye", "ada") // and its foreign key holds
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKept(t, path, "ada rye")
}

// The closure goes on after the host has written, and gets the same handle again.
func TestTheClosureGoesOnAfterTheHost(t *testing.T) {
	s, path := bakery(t)
	err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		host := hostTxOf(t, tx)
		if _, err := host.ExecContext(ctx, "UPDATE notes SET owner = 'eve'"); err != nil {
			return err
		}
		for _, id := range []string{"ada", "eve"} {
			if err := record.Users.Insert(ctx, tx, someone(id)); err != nil {
				return err
			}
			if again := hostTxOf(t, tx); again != host {
				t.Error("another handle")
			}
			if err := bake(ctx, host, "loaf of "+id, id); err != nil {
				return err
			}
			if n, err := tx.Count(ctx, store.Query{Index: record.Users.Primary()}); err != nil || n == 0 {
				t.Error(n, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKept(t, path, "ada,eve loaf of ada,loaf of eve")
}

func TestTheHostDecidesAboutAnErrorOfItsStatement(t *testing.T) {
	s, path := bakery(t)
	err := signUp(t, s, "ada", func(ctx context.Context, host *sql.Tx) error {
		if err := bake(ctx, host, "rye", "ada"); err != nil {
			return err
		}
		taken, missing := (*sqlite.Error)(nil), (*sqlite.Error)(nil)
		if err := bake(ctx, host, "rye", "ada"); !errors.As(err, &taken) || taken.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
			t.Errorf("a taken key: %v", err)
		}
		if err := bake(ctx, host, "oat", "nobody"); !errors.As(err, &missing) || missing.Code() != sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY {
			t.Errorf("a missing user: %v", err)
		}
		if _, err := host.ExecContext(ctx, "INSERT INTO nothing VALUES (1)"); err == nil {
			t.Error("a missing table")
		}
		return bake(ctx, host, "bun", "ada")
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKept(t, path, "ada bun,rye")
	err = signUp(t, s, "eve", func(ctx context.Context, host *sql.Tx) error { return bake(ctx, host, "rye", "eve") })
	if err == nil {
		t.Error("the error of the host is lost")
	}
	wantKept(t, path, "ada bun,rye")
}

// A handle, a result and a statement that the host keeps do not reach the transactions after it.
func TestAHandleIsRefusedAfterItsClosure(t *testing.T) {
	s, path := bakery(t)
	var host *sql.Tx
	var kept store.Tx
	var rows *sql.Rows
	var stmt *sql.Stmt
	err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) (err error) {
		kept, host = tx, hostTxOf(t, tx)
		if stmt, err = host.Prepare("INSERT INTO notes (owner) VALUES (?)"); err != nil {
			return err
		}
		if _, err := stmt.Exec("bob"); err != nil {
			return err
		}
		rows, err = host.Query("SELECT owner FROM notes")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	over := func(when string, err error) {
		t.Helper()
		if !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, store.ErrDone) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", when, err)
		}
	}
	use := func(when string) {
		t.Helper()
		_, err := host.Exec("INSERT INTO notes (owner) VALUES ('late')")
		over(when, err)
		_, err = host.Query("SELECT 1")
		over(when, err)
		_, err = host.Prepare("SELECT 1")
		over(when, err)
		if _, err = stmt.Exec("late"); err == nil { // the statement may know already that it is closed
			t.Errorf("%s: a statement has run", when)
		}
		if err := host.Commit(); err == nil {
			t.Errorf("%s: Commit has succeeded", when)
		}
		_ = host.Rollback()
		_ = stmt.Close()
	}
	use("after the closure")
	for rows.Next() { // the rows that it has read, at most
	}
	_ = rows.Close()
	if _, ok := TxOf(kept); ok {
		t.Error("a handle after the closure")
	}
	err = signUp(t, s, "ada", func(ctx context.Context, other *sql.Tx) error {
		use("in the next closure")
		return bake(ctx, other, "rye", "ada")
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKept(t, path, "ada rye")
	if got := lookUp(t, path, "SELECT owner FROM notes ORDER BY id"); got != "ada,bob" {
		t.Errorf("notes %s", got)
	}
}

// A goroutine of the host that outlives the closure reaches no other one.
func TestAGoroutineOfTheHostDoesNotReachTheNextClosure(t *testing.T) {
	s, path := bakery(t)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for n := range 30 {
		err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
			host := hostTxOf(t, tx)
			group.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					_, err := host.Exec("INSERT INTO notes (owner) VALUES (?)", fmt.Sprint("run ", n))
					if errors.Is(err, sql.ErrTxDone) {
						return
					}
					if rows, err := host.Query("SELECT owner FROM notes"); err == nil {
						for rows.Next() {
							runtime.Gosched()
						}
						_ = rows.Close()
					}
				}
			})
			if err := record.Users.Insert(ctx, tx, someone(fmt.Sprint("user", n))); err != nil && !errors.Is(err, store.ErrInvalid) {
				return err
			}
			return errHost
		})
		if !errors.Is(err, errHost) {
			t.Errorf("closure %d: %v", n, err)
		}
	}
	close(stop)
	group.Wait()
	if got := lookUp(t, path, "SELECT owner FROM notes"); got != "ada" {
		t.Errorf("notes %s", got)
	}
	wantKept(t, path, " ")
}

func TestAForgottenResultHoldsNothingUp(t *testing.T) {
	s, path := bakery(t)
	for n := range 5 {
		id := fmt.Sprint("user", n)
		err := signUp(t, s, id, func(ctx context.Context, host *sql.Tx) error {
			for range 2 {
				rows, err := host.QueryContext(ctx, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000) SELECT x, 'text' FROM c")
				if err != nil {
					return err
				}
				var x int
				var raw sql.RawBytes // which holds the result
				if !rows.Next() || rows.Scan(&x, &raw) != nil {
					t.Error("no row")
				}
				if _, err := host.PrepareContext(ctx, "SELECT * FROM loaves"); err != nil {
					return err
				}
			}
			return bake(ctx, host, id, id)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.(store.Tidier).Tidy(t.Context()); err != nil {
		t.Error(err)
	}
	wantKept(t, path, "user0,user1,user2,user3,user4 user0,user1,user2,user3,user4")
	if err := s.Close(); err != nil || files(t, path) != "app.db" { // a statement that is open would keep the log
		t.Error(files(t, path), err)
	}
}

func TestAResultIsThatOfTheDriver(t *testing.T) {
	s, path := bakery(t)
	const query = "SELECT name, baker, baked, length(name), x'01ff', 1.5, NULL FROM loaves ORDER BY name"
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	read := func(rows *sql.Rows, err error) (out []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		types, err := rows.ColumnTypes()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range types {
			out = append(out, fmt.Sprint(c.Name(), c.DatabaseTypeName(), c.ScanType()))
		}
		for rows.Next() {
			row := make([]any, len(types))
			into := make([]any, len(types))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%#v", row))
		}
		return out
	}
	var inside []string
	err := signUp(t, s, "ada", func(ctx context.Context, host *sql.Tx) error {
		for _, name := range []string{"bun", "rye"} {
			result, err := host.ExecContext(ctx, "INSERT INTO loaves VALUES (@name, 'ada', @at)", sql.Named("name", name), sql.Named("at", at))
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); n != 1 || err != nil {
				t.Error(n, err)
			}
		}
		inside = read(host.QueryContext(ctx, query))
		stmt, err := host.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		for range 2 {
			if got := read(stmt.QueryContext(ctx)); !slices.Equal(got, inside) {
				t.Errorf("prepared: %q", got)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if outside := read(db.Query(query)); !slices.Equal(inside, outside) {
		t.Errorf("%q\nwithout the store: %q", inside, outside)
	}
}

// A deferred Rollback comes too late after Commit, and changes nothing.
func TestADeferredRollbackChangesNothing(t *testing.T) {
	s, path := bakery(t)
	err := signUp(t, s, "ada", func(ctx context.Context, host *sql.Tx) error {
		defer func() { _ = host.Rollback() }()
		if err := bake(ctx, host, "rye", "ada"); err != nil {
			return err
		}
		if err := host.Commit(); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Commit: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKept(t, path, "ada rye")
}

func TestStatementsThatEndTheTransactionAreRefused(t *testing.T) {
	s, path := bakery(t)
	err := signUp(t, s, "ada", func(ctx context.Context, host *sql.Tx) error {
		for _, text := range []string{
			"BEGIN", "begin immediate", "COMMIT", "END TRANSACTION", "Rollback", "ROLLBACK TO part", "ROLLBACK TO host", "SAVEPOINT a", "RELEASE part", "RELEASE host",
			"ATTACH 'a.db' AS a", "DETACH a", "VACUUM", "PRAGMA foreign_keys = 0", "  \n\tCOMMIT", "-- why\nCOMMIT", "/* why; */COMMIT", "/**//**/ ; COMMIT", ";;COMMIT", "\uFEFFCOMMIT",
			"INSERT INTO notes (body) VALUES ('a''; b'); COMMIT", `SELECT "a;"; COMMIT`, "SELECT [a;]; COMMIT", "SELECT `a;`; COMMIT", "SELECT 1 -- a\n; COMMIT",
			"CREATE TRIGGER a AFTER INSERT ON notes BEGIN DELETE FROM notes; END; COMMIT", "CREATE TRIGGER a AFTER INSERT ON notes BEGIN DELETE FROM notes; END; END",
		} {
			_, err := host.ExecContext(ctx, text)
			_, asked := host.QueryContext(ctx, text)
			_, prepared := host.PrepareContext(ctx, text)
			for _, err := range []error{err, asked, prepared} {
				if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "is not for the host") {
					t.Errorf("%s: %v", text, err)
				}
			}
		}
		for _, text := range []string{
			"INSERT INTO notes (body) VALUES ('; COMMIT')", "SELECT 1 AS \"; COMMIT\"", "SELECT 1 AS [; COMMIT]", "SELECT 1 AS `; COMMIT`", "SELECT 1 /* ; COMMIT */", "SELECT 1 -- ; COMMIT",
			"EXPLAIN COMMIT", "CREATE TABLE commits (begin TEXT)", "SELECT CASE WHEN 1 THEN 2 END",
			"CREATE TRIGGER b AFTER INSERT ON commits BEGIN DELETE FROM commits; SELECT 1; END", "INSERT INTO commits VALUES (1); DELETE FROM commits",
			"DROP TABLE commits",
		} {
			if _, err := host.ExecContext(ctx, text); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKept(t, path, "ada ")
}

// A statement of the host is not interrupted, because that could undo the work of other callers. After the end of its
// context no statement begins.
func TestTheContextIsLookedAtBeforeAStatement(t *testing.T) {
	s, path := bakery(t)
	err := signUp(t, s, "ada", func(ctx context.Context, host *sql.Tx) error {
		short, cancel := context.WithCancel(ctx)
		cancel()
		if err := bake(short, host, "never", "ada"); !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context: %v", err)
		}
		return bake(ctx, host, "rye", "ada")
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		host := hostTxOf(t, tx)
		if err := bake(ctx, host, "bun", "ada"); err != nil {
			return err
		}
		cancel()
		if err := bake(context.Background(), host, "oat", "ada"); !errors.Is(err, context.Canceled) {
			t.Errorf("after the caller's context: %v", err)
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	wantKept(t, path, "ada rye")
}

// callback is the function host_callback of SQL.
var callback func() error

var registerCallback = sync.OnceValue(func() error {
	return sqlite.RegisterScalarFunction("host_callback", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		return int64(1), callback()
	})
})

// A function of the host that uses the transaction, in the middle of a statement, gets an error and waits for nothing.
func TestACallInsideAStatementIsRefused(t *testing.T) {
	if err := registerCallback(); err != nil {
		t.Fatal(err)
	}
	s, path := bakery(t)
	if err := signUp(t, s, "ada", func(ctx context.Context, host *sql.Tx) error { return bake(ctx, host, "rye", "ada") }); err != nil {
		t.Fatal(err)
	}
	err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		host := hostTxOf(t, tx)
		callback = func() error {
			if _, ok := TxOf(tx); ok {
				t.Error("a handle inside a statement")
			}
			_, err := tx.Count(ctx, store.Query{Index: record.Users.Primary()})
			return err
		}
		if _, err := host.ExecContext(ctx, "UPDATE loaves SET name = name || host_callback()"); err == nil || !strings.Contains(err.Error(), "running a statement of the host") {
			t.Errorf("a call inside a statement: %v", err)
		}
		return bake(ctx, host, "oat", "ada")
	})
	if err != nil {
		t.Error(err)
	}
	wantKept(t, path, "ada oat,rye")
}
