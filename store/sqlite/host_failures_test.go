package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
)

// rollsBack are statements that roll the whole transaction back.
var rollsBack = []string{
	"INSERT OR ROLLBACK INTO notes (id) SELECT id FROM notes",
	"UPDATE OR ROLLBACK loaves SET name = 'same'",
	"INSERT INTO traps VALUES (1)",
}

// layTrap makes a trigger that rolls back.
var layTrap = []string{"CREATE TABLE traps (id INTEGER)", "CREATE TRIGGER trap BEFORE INSERT ON traps BEGIN SELECT RAISE(ROLLBACK, 'trapped'); END"}

// laidTraps makes a trigger that rolls back, and two loaves.
func laidTraps(t *testing.T) (s store.Store, path string) {
	t.Helper()
	s, path = bakery(t)
	execute(t, path, layTrap...)
	err := signUp(t, s, "owner", func(ctx context.Context, host *sql.Tx) error {
		return errors.Join(bake(ctx, host, "a", "owner"), bake(ctx, host, "b", "owner"))
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, path
}

// A statement that rolls the transaction back is never taken for a commit, alone or in a batch, and undoes
// nothing of the other callers'. The host's later statements do not run outside a transaction.
func TestAStatementThatRollsBackFailsItsUpdateAlone(t *testing.T) {
	for _, text := range rollsBack {
		synctest.Test(t, func(t *testing.T) { testRollsBack(t, text) })
	}
}

func testRollsBack(t *testing.T, text string) {
	s, path := laidTraps(t)
	attempt := func() error {
		return s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
			if err := record.Users.Insert(ctx, tx, someone("eve")); err != nil {
				return err
			}
			host := hostTxOf(t, tx)
			if _, err := host.ExecContext(ctx, text); err == nil {
				t.Errorf("%s has succeeded", text)
			}
			if err := bake(ctx, host, "late", "owner"); !errors.Is(err, store.ErrAborted) {
				t.Errorf("%s: a statement after it: %v", text, err)
			}
			if err := record.Users.Insert(ctx, tx, someone("late")); !errors.Is(err, store.ErrAborted) {
				t.Errorf("%s: a call after it: %v", text, err)
			}
			return nil
		})
	}
	if err := attempt(); !errors.Is(err, store.ErrAborted) {
		t.Errorf("%s, alone: %v", text, err)
	}
	wantKept(t, path, "owner a,b")
	good := func(id string) func() error {
		return func() error {
			return signUp(t, s, id, func(ctx context.Context, host *sql.Tx) error { return bake(ctx, host, "loaf of "+id, id) })
		}
	}
	plain := func() error {
		return s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error { return record.Users.Insert(ctx, tx, someone("bob")) })
	}
	errs := inOneBatch(t, s, good("ada"), plain, attempt, good("zoe"))
	if !errors.Is(errs[2], store.ErrAborted) {
		t.Errorf("%s, in a batch: %v", text, errs[2])
	}
	if err := errors.Join(errs[0], errs[1], errs[3]); err != nil {
		t.Errorf("%s: the others: %v", text, err)
	}
	wantKept(t, path, "ada,bob,owner,zoe a,b,loaf of ada,loaf of zoe")
}

// The disk is full in a statement of the host. SQLite may roll the transaction back then.
func TestAFullFileIsNeverTakenForACommit(t *testing.T) {
	f, err := openFile(filepath.Join(t.TempDir(), "app.db"), Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.conn.exec(background, "CREATE TABLE loaves (name TEXT)"); err != nil {
		t.Fatal(err)
	}
	pages, err := f.conn.number(background, "PRAGMA page_count", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.conn.number(background, fmt.Sprint("PRAGMA max_page_count = ", pages+20), nil); err != nil {
		t.Fatal(err)
	}
	s := backend.New(f, record.Schema)
	filled := false
	for n := range 40 {
		id := fmt.Sprint("user", n)
		failed := false
		err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
			if err := record.Users.Insert(ctx, tx, someone(id)); err != nil {
				return err
			}
			_, err := hostTxOf(t, tx).ExecContext(ctx, "INSERT INTO loaves VALUES (?)", id+strings.Repeat("x", 20_000))
			failed = err != nil
			return nil // the host hides it
		})
		rows, e := f.conn.number(background, "SELECT count(*) FROM users WHERE id = '"+id+"'", nil)
		if e != nil || (err == nil) != (rows == 1) {
			t.Fatalf("%d: %v, and %d rows, %v", n, err, rows, e)
		}
		filled = filled || failed
	}
	if !filled {
		t.Error("the file was never full")
	}
}

// A statement that ends the transaction behind the guard is never taken for a commit of the closure.
func TestATransactionThatTheHostEndsIsAnUnknownOutcome(t *testing.T) {
	f, err := openFile(filepath.Join(t.TempDir(), "app.db"), Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := backend.New(f, record.Schema)
	for _, ends := range [][]string{{"COMMIT"}, {"ROLLBACK"}, {"ROLLBACK", "BEGIN IMMEDIATE"}} {
		err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
			if _, err := hostTxOf(t, tx).Exec("SELECT 1"); err != nil {
				return err
			}
			for _, end := range ends {
				if _, err := f.conn.exec(background, end); err != nil {
					t.Errorf("%s: %v", end, err)
				}
			}
			return nil
		})
		if !errors.Is(err, store.ErrUnknownOutcome) {
			t.Errorf("%s: %v", ends, err)
		}
	}
	insert(t, s, "ada")
}

// The connection that database/sql has is refused after the closure, also while database/sql does not know yet that
// the transaction is over.
func TestTheConnectionOfAHandleIsRefusedAfterItsClosure(t *testing.T) {
	s, path := bakery(t)
	var conn hostConn
	var stmt driver.Stmt
	err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) (err error) {
		hostTxOf(t, tx)
		h, _ := backend.Lend(tx, func(store.Tx, *backend.Guard) (*hostTx, bool) { return nil, false })
		conn = hostConn{h}
		stmt, err = conn.Prepare("INSERT INTO notes (owner) VALUES ('late')")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	use := func() {
		t.Helper()
		const text = "INSERT INTO notes (owner) VALUES ('late')"
		_, err := conn.ExecContext(t.Context(), text, nil)
		_, asked := conn.QueryContext(t.Context(), text, nil)
		_, prepared := conn.Prepare(text)
		_, run := stmt.(driver.StmtExecContext).ExecContext(t.Context(), nil)
		_, listed := stmt.(driver.StmtQueryContext).QueryContext(t.Context(), nil)
		for n, err := range []error{err, asked, prepared, run, listed} {
			if !errors.Is(err, store.ErrDone) {
				t.Errorf("%d: %v", n, err)
			}
		}
		if err := errors.Join(hostEnd(conn).Rollback(), stmt.Close(), conn.Close()); err != nil {
			t.Error(err)
		}
	}
	use()
	err = signUp(t, s, "ada", func(ctx context.Context, host *sql.Tx) error {
		use()
		return bake(ctx, host, "rye", "ada")
	})
	if err != nil {
		t.Fatal(err)
	}
	wantKept(t, path, "ada rye")
	if got := lookUp(t, path, "SELECT owner FROM notes"); got != "ada" {
		t.Errorf("notes %s", got)
	}
}
