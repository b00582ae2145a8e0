package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/sqltext"
)

// TxOf returns the transaction that a closure of Update received as one of database/sql, for
// the rows of the host. They are committed with those of the closure, or not at all. It
// reports false for the transaction of another store, for one of store/move, and after the end
// of the closure. Every call of one closure returns the same [sql.Tx].
//
// The [sql.Tx] is the closure's alone, and one goroutine may use it or tx at a time. After the
// closure, its methods return [sql.ErrTxDone] or [store.ErrDone].
//
//   - The host decides about the error of a statement, such as that of a taken key. The
//     statement has changed nothing, and the transaction goes on. A statement that rolls the
//     transaction back, such as INSERT OR ROLLBACK, makes Update fail with
//     [store.ErrAborted] in any case.
//   - Commit does nothing and returns [store.ErrInvalid]: the store commits after the closure.
//     After Rollback, Update fails with [store.ErrAborted].
//   - A statement that begins with BEGIN, COMMIT, END, ROLLBACK, SAVEPOINT, RELEASE, ATTACH,
//     DETACH, VACUUM, PRAGMA or CREATE TEMP is [store.ErrInvalid] and changes nothing. This finds
//     mistakes. It is no defence against a hostile host.
//   - A query reads all its rows at once into memory. So the host may change rows while it
//     goes through the result, and a result that it forgets to close holds nothing up.
//   - A context is looked at before a statement begins. A statement that has begun is not
//     interrupted, since that could roll back the work of other callers.
//   - The connection is the store's. A [time.Time] is written as modernc.org/sqlite writes it
//     without _time_format, functions are those that are registered for all connections, and
//     foreign keys are on.
func TxOf(tx store.Tx) (*sql.Tx, bool) {
	h, ok := backend.Lend(tx, func(raw store.Tx, g *backend.Guard) (*hostTx, bool) {
		b, is := raw.(*batch)
		if !is {
			return nil, false
		}
		return newHostTx(b, g)
	})
	if !ok {
		return nil, false
	}
	return h.tx, true
}

// HostTransactions implements [store.Hosting].
func (f *file) HostTransactions() bool { return true }

var (
	errHostCommit   = fmt.Errorf("sqlite: %w: the store commits this transaction", store.ErrInvalid)
	errHostRollback = fmt.Errorf("sqlite: %w: the host has called Rollback", store.ErrAborted)
)

// hostTx is the host's handle to the transaction of a closure: a connection for database/sql that
// leads to that of the writer.
type hostTx struct {
	batch *batch
	guard *backend.Guard
	tx    *sql.Tx
	db    *sql.DB
	end   context.CancelFunc // of tx

	marked bool                   // the savepoint of the host was made
	stmts  map[*hostStmt]struct{} // that the host has not closed
}

func newHostTx(b *batch, g *backend.Guard) (*hostTx, bool) {
	h := &hostTx{batch: b, guard: g, stmts: make(map[*hostStmt]struct{})}
	h.db = sql.OpenDB(h)
	var ctx context.Context
	ctx, h.end = context.WithCancel(background)
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil { // never: it does not reach the database
		h.rest()
		return nil, false
	}
	h.tx = tx
	return h, true
}

// Connect implements [driver.Connector].
func (h *hostTx) Connect(context.Context) (driver.Conn, error) { return hostConn{h}, nil }

// Driver implements [driver.Connector].
func (h *hostTx) Driver() driver.Driver { return h.batch.writes.Driver() }

// Settle implements [backend.Handle]. Every call of the host has left nothing open.
func (h *hostTx) Settle() error { return nil }

// End implements [backend.Handle].
func (h *hostTx) End() (rest func(), err error) {
	for s := range h.stmts {
		_ = s.release()
	}
	if h.marked && h.batch.exec(unmark) != nil {
		// A statement has passed the guard, and it may have committed.
		err = fmt.Errorf("sqlite: a statement of the host has ended the transaction: %w", store.ErrUnknownOutcome)
	}
	return h.rest, err
}

// rest ends the objects of database/sql. It does not wait for them: the host may hold a row.
func (h *hostTx) rest() {
	h.end()
	_ = h.db.Close()
}

// The savepoint of the host shows whether the transaction is still the one in which the host
// began: a statement may roll it back.
const (
	mark   = "SAVEPOINT host"
	unmark = "RELEASE host"
)

// run runs a statement of the host.
func (h *hostTx) run(ctx context.Context, call func() error) error {
	return h.guard.Do(ctx, func() (err, broken error) {
		if !h.marked {
			if err := h.batch.exec(mark); err != nil {
				return err, err
			}
			h.marked = true
		}
		if err = safely(call); err != nil {
			broken = h.broken(err)
		}
		return err, broken
	})
}

// broken returns the error of a transaction that did not survive an error of a statement. The
// database rolls it back on some errors, such as that of a full disk.
func (h *hostTx) broken(err error) error {
	if errors.Is(err, store.ErrDamaged) {
		return err
	}
	if h.batch.exec(unmark) != nil || h.batch.exec(mark) != nil {
		h.marked = false
		return fmt.Errorf("sqlite: %w: a statement of the host has rolled the transaction back", store.ErrAborted)
	}
	return nil
}

func safely(call func() error) (err error) {
	defer backend.Caught(&err)
	return call()
}

// refusedWords begin the statements that are not the host's to run.
var refusedWords = []string{"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH", "DETACH", "VACUUM", "PRAGMA"}

// permitted refuses a text with a statement that is not the host's to run.
func permitted(text string) error {
	trigger := false // the text is inside the statement of a trigger, which END ends
	for _, words := range sqltext.Begins(text, sqltext.SQLite) {
		switch {
		case len(words) == 0:
		case trigger && words[0] == "END":
			trigger = false
		case slices.Contains(refusedWords, words[0]):
			return fmt.Errorf("sqlite: %w: %s is not for the host in a transaction of the store", store.ErrInvalid, words[0])
		case words[0] == "CREATE" && len(words) > 1 && (words[1] == "TEMP" || words[1] == "TEMPORARY"):
			return fmt.Errorf("sqlite: %w: what is temporary would outlast the transaction, on the connection of the store", store.ErrInvalid)
		case words[0] == "CREATE" && slices.Contains(words, "TRIGGER"):
			trigger = true
		}
	}
	return nil
}

// hostConn is the connection that database/sql sees.
type hostConn struct{ h *hostTx }

func (c hostConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return hostEnd(c), nil
}

// Begin implements [driver.Conn].
func (c hostConn) Begin() (driver.Tx, error) { return hostEnd(c), nil }

// Close leaves the connection of the writer open.
func (c hostConn) Close() error { return nil }

func (c hostConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (result driver.Result, err error) {
	if err := permitted(text); err != nil {
		return nil, err
	}
	err = c.h.run(ctx, func() error {
		result, err = c.h.batch.conn.Conn.(driver.ExecerContext).ExecContext(background, text, args)
		return err
	})
	return result, err
}

func (c hostConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (rows driver.Rows, err error) {
	if err := permitted(text); err != nil {
		return nil, err
	}
	err = c.h.run(ctx, func() error {
		raw, err := c.h.batch.conn.Conn.(driver.QueryerContext).QueryContext(background, text, args)
		if err == nil {
			rows, err = readAll(raw)
		}
		return err
	})
	return rows, err
}

// Prepare implements [driver.Conn].
func (c hostConn) Prepare(text string) (driver.Stmt, error) {
	return c.PrepareContext(background, text)
}

func (c hostConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	if err := permitted(text); err != nil {
		return nil, err
	}
	s := &hostStmt{h: c.h}
	err := c.h.run(ctx, func() (err error) {
		if s.raw, err = c.h.batch.conn.Prepare(text); err == nil {
			c.h.stmts[s] = struct{}{}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// hostStmt is a statement that the host has prepared.
type hostStmt struct {
	h   *hostTx
	raw driver.Stmt
}

// Close implements [driver.Stmt]. After the closure there is nothing left to close.
func (s *hostStmt) Close() error {
	_ = s.h.guard.Touch(func() error { return s.release() })
	return nil
}

func (s *hostStmt) release() error {
	if _, open := s.h.stmts[s]; !open {
		return nil
	}
	delete(s.h.stmts, s)
	return safely(s.raw.Close)
}

// NumInput implements [driver.Stmt].
func (s *hostStmt) NumInput() int { return -1 }

// Exec implements [driver.Stmt].
func (s *hostStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(background, named(args))
}

// Query implements [driver.Stmt].
func (s *hostStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(background, named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, v := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return out
}

func (s *hostStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	err = s.h.run(ctx, func() error {
		result, err = s.raw.(driver.StmtExecContext).ExecContext(background, args)
		return err
	})
	return result, err
}

func (s *hostStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = s.h.run(ctx, func() error {
		raw, err := s.raw.(driver.StmtQueryContext).QueryContext(background, args)
		if err == nil {
			rows, err = readAll(raw)
		}
		return err
	})
	return rows, err
}

// hostEnd ends nothing.
type hostEnd hostConn

// Commit implements [driver.Tx].
func (e hostEnd) Commit() error { return errHostCommit }

// Rollback implements [driver.Tx]. The end of the closure calls it too, and then it does nothing.
func (e hostEnd) Rollback() error {
	_ = e.h.guard.Touch(func() error { return errHostRollback })
	return nil
}

// hostRows is a result that was read to its end.
type hostRows struct {
	columns []string
	types   []hostType // of the columns
	rows    [][]driver.Value
}

// hostType is the type of a column, for [sql.ColumnType].
type hostType struct {
	name string
	scan reflect.Type
}

// readAll reads a result and closes it.
func readAll(raw driver.Rows) (rows *hostRows, err error) {
	defer func() {
		if e := raw.Close(); err == nil {
			err = e
		}
	}()
	rows = &hostRows{columns: raw.Columns()}
	for i := range rows.columns { // the type to scan is that of the first row
		var t hostType
		if of, has := raw.(driver.RowsColumnTypeDatabaseTypeName); has {
			t.name = of.ColumnTypeDatabaseTypeName(i)
		}
		if of, has := raw.(driver.RowsColumnTypeScanType); has {
			t.scan = of.ColumnTypeScanType(i)
		}
		rows.types = append(rows.types, t)
	}
	for {
		row := make([]driver.Value, len(rows.columns))
		switch err := raw.Next(row); err {
		case nil:
			rows.rows = append(rows.rows, row)
		case io.EOF:
			return rows, nil
		default:
			return nil, err
		}
	}
}

// Columns implements [driver.Rows].
func (r *hostRows) Columns() []string { return r.columns }

// Close implements [driver.Rows].
func (r *hostRows) Close() error { return nil }

// Next implements [driver.Rows].
func (r *hostRows) Next(into []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(into, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}

// ColumnTypeDatabaseTypeName implements [driver.RowsColumnTypeDatabaseTypeName].
func (r *hostRows) ColumnTypeDatabaseTypeName(i int) string { return r.types[i].name }

// ColumnTypeScanType implements [driver.RowsColumnTypeScanType].
func (r *hostRows) ColumnTypeScanType(i int) reflect.Type { return r.types[i].scan }
