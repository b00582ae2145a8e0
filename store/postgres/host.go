package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/sqltext"
)

// TxOf returns the transaction that a closure of Update received as one of pgx, for the rows of
// the host. They are committed with those of the closure, or not at all. It reports false for
// the transaction of another store, for one of store/move, and after the end of the closure.
// Every call of one closure returns the same [pgx.Tx].
//
// The [pgx.Tx] is the closure's alone, and one goroutine may use it or tx at a time. After the
// closure, its methods return [store.ErrDone].
//
//   - The transaction is serializable. A statement that is in conflict with another transaction,
//     or loses the connection, makes the closure run again, also if the host hides its error.
//   - After any other error of a statement, the transaction can only roll back, and Update fails
//     with [store.ErrAborted] if the host hides the error. A statement inside Begin may fail:
//     Rollback of the inner transaction goes back to its beginning. An inner transaction ends
//     with the next call of the closure on tx: then it stays, and its Rollback returns
//     [pgx.ErrTxClosed].
//   - Commit does nothing and returns [store.ErrInvalid]: the store commits after the closure.
//     After Rollback, Update fails with [store.ErrAborted].
//   - A statement that begins with BEGIN, START, COMMIT, END, ABORT, ROLLBACK, SAVEPOINT, RELEASE
//     or PREPARE is [store.ErrInvalid] and changes nothing. So is one that would outlast the
//     transaction, because the connection serves others then: SET without LOCAL, RESET, DISCARD,
//     LISTEN, a temporary table without ON COMMIT DROP, and a cursor WITH HOLD. COPY FROM STDIN has
//     the method CopyFrom. This finds mistakes, and not all: set_config needs true as its last
//     argument. It is no defence against a hostile host.
//   - Statements run in the mode of the store, so that they pass a pooler of transactions too.
//     SendBatch uses the mode of the pool.
//   - Rows and batches that the host leaves open are closed by the next call on tx, and by the
//     end of the closure.
//   - A statement is cancelled a second after the end of its context, or of the caller's. That
//     costs the connection, and Update fails.
//   - Conn is the connection itself, for its TypeMap. A statement on it passes none of these
//     rules. After the closure, Conn returns nil.
//   - LargeObjects must be asked for while statements succeed. On a transaction that has failed or is
//     over, it returns objects that cannot be used.
func TxOf(tx store.Tx) (pgx.Tx, bool) {
	h, ok := backend.Lend(tx, func(raw store.Tx, g *backend.Guard) (*host, bool) {
		c, is := raw.(*caller)
		return newHost(c, g), is
	})
	if !ok {
		return nil, false
	}
	return h.tx, true
}

// HostTransactions implements [store.Hosting].
func (d *database) HostTransactions() bool { return true }

var (
	errHostCommit   = fmt.Errorf("postgres: %w: the store commits this transaction", store.ErrInvalid)
	errHostRollback = fmt.Errorf("postgres: %w: the host has called Rollback", store.ErrAborted)
	errHostEnded    = fmt.Errorf("postgres: a statement of the host has ended the transaction: %w", store.ErrUnknownOutcome)
	errHostOpen     = fmt.Errorf("postgres: %w: Rows or a batch of the host are still open", store.ErrInvalid)
	errHostClosed   = errors.New("postgres: closed by a later call of the transaction")
)

// host is the host's handle to the transaction of a closure.
type host struct {
	caller *caller
	guard  *backend.Guard
	tx     *hostTx

	open     opened // Rows or a batch that the host has not closed, or nil
	refusal  string // how a statement failed, for the error of a transaction that was aborted
	made     int    // the number of savepoints so far
	released int    // those up to this one are a part of the transaction for good
	objects  pgx.Tx // over the connection, for large objects
}

func newHost(c *caller, g *backend.Guard) *host {
	h := &host{caller: c, guard: g}
	h.tx = &hostTx{host: h}
	return h
}

// opened is an answer that holds the connection.
type opened interface {
	// shut closes it, because of an error, and returns the failure of the transaction.
	shut(because error) (broken error)
}

// Settle implements [backend.Handle].
func (h *host) Settle() error {
	h.released = h.made
	if err := h.shut(errHostClosed); err != nil {
		return err
	}
	return h.standing()
}

// End implements [backend.Handle].
func (h *host) End() (rest func(), err error) {
	if err = h.shut(store.ErrDone); err == nil {
		err = h.standing()
	}
	if h.objects != nil {
		_ = h.objects.Commit(h.caller.ctx) // which runs a statement without effect
	}
	return nil, err
}

func (h *host) shut(because error) error {
	if h.open == nil {
		return nil
	}
	return h.open.shut(because)
}

// standing returns an error if the transaction was aborted or has ended.
func (h *host) standing() error {
	if !h.caller.sent {
		return nil
	}
	switch h.caller.conn.Conn().PgConn().TxStatus() {
	case 'E':
		h.caller.aborted = true
		return fmt.Errorf("postgres: %w: a statement of the host has failed%s", store.ErrAborted, h.refusal)
	case 'I':
		h.caller.aborted = true
		return errHostEnded
	}
	return nil
}

// look returns the failure of the transaction after an answer to the host, and notes one
// that another run may mend.
func (h *host) look(ctx context.Context, err error) (broken error) {
	c := h.caller
	if err == nil {
		if c.conn.Conn().PgConn().TxStatus() == 'I' {
			c.aborted = true
			return errHostEnded
		}
		return nil
	}
	failed := failureOf(c.conn, err)
	if answer := (*pgconn.PgError)(nil); errors.As(err, &answer) {
		if answer.Code != inAborted {
			h.refusal = " (SQLSTATE " + answer.Code + ")"
		}
		if answer.Code == planChanged && answer.Routine != "RevalidateCachedQuery" { // another thing that the server cannot do
			failed = failure{lost: c.conn.Conn().IsClosed()}
		}
	}
	if failed == (failure{}) {
		return nil
	}
	broken = c.wrapWrite("statement of the host", err)
	if ctx.Err() != nil && !failed.conflict { // another run would not end sooner
		c.aborted = true
		return broken
	}
	c.failed = failed
	return broken
}

// bound returns the context of a statement: that of the host, but cancelled late, and with the
// caller's.
func (h *host) bound(ctx context.Context) (context.Context, func()) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	calls := context.AfterFunc(h.caller.ctx, cancel)
	own := context.AfterFunc(ctx, func() { time.AfterFunc(lateStatement, cancel) })
	return out, func() {
		calls()
		own()
		cancel()
	}
}

// refusedWords begin the statements that are not the host's to run.
var refusedWords = []string{"BEGIN", "START", "COMMIT", "END", "ABORT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PREPARE"}

// outlasts reports whether a statement leaves something on the connection: a setting, a temporary
// table, a cursor, a subscription. words begin it, and text has it with its neighbours.
func outlasts(words []string, text string) bool {
	has := func(part string) bool { return strings.Contains(strings.ToUpper(text), part) }
	second := ""
	if len(words) > 1 {
		second = words[1]
	}
	switch words[0] {
	case "SET":
		return second != "LOCAL" && second != "TRANSACTION" && second != "CONSTRAINTS"
	case "RESET", "DISCARD", "LISTEN", "UNLISTEN", "DEALLOCATE", "LOAD":
		return true
	case "CREATE":
		return slices.ContainsFunc(words, func(word string) bool { return word == "TEMP" || word == "TEMPORARY" }) && !has("ON COMMIT DROP")
	case "DECLARE":
		return has("WITH HOLD")
	}
	return false
}

// permitted refuses a text with a statement that is not the host's to run.
func permitted(text string) error {
	function := false // the text is inside the statement of a function, which END may end
	for _, words := range sqltext.Begins(text, sqltext.PostgreSQL) {
		switch {
		case len(words) == 0:
		case function && words[0] == "END":
			function = false
		case slices.Contains(refusedWords, words[0]):
			return fmt.Errorf("postgres: %w: %s is not for the host in a transaction of the store", store.ErrInvalid, words[0])
		case words[0] == "COPY" && strings.Contains(strings.ToUpper(text), "STDIN"):
			return fmt.Errorf("postgres: %w: COPY FROM STDIN is not for the host as a text: CopyFrom does it", store.ErrInvalid)
		case outlasts(words, text):
			return fmt.Errorf("postgres: %w: this %s is not for the host: it would outlast the transaction, on a connection that serves others then", store.ErrInvalid, words[0])
		case words[0] == "CREATE":
			function = slices.Contains(words, "FUNCTION") || slices.Contains(words, "PROCEDURE")
		}
	}
	return nil
}

// arguments puts the mode of the store before those of the host, which may have options too.
func (h *host) arguments(args []any) []any {
	return append([]any{h.caller.mode}, args...)
}

// hostTx is the transaction of a host, or one inside it.
type hostTx struct {
	*host
	n    int  // of the savepoint of an inner one, or 0
	over bool // it was committed or rolled back
}

// closed says that an inner transaction has ended.
func (t *hostTx) closed() bool { return t.over || t.n > 0 && t.n <= t.released }

// run runs a statement of the host. The writes that wait go to the server before it.
func (t *hostTx) run(ctx context.Context, call func(context.Context) error) error {
	bound, done := t.bound(ctx)
	defer done()
	return t.hold(ctx, func() error { return call(bound) })
}

// hold is run for an answer that stays open. The caller sees to the end of its context.
func (t *hostTx) hold(ctx context.Context, call func() error) error {
	return t.guard.Do(ctx, func() (err, broken error) {
		if t.closed() {
			return pgx.ErrTxClosed, nil
		}
		if t.open != nil {
			return errHostOpen, nil
		}
		if len(t.caller.waiting) > 0 {
			if err := t.caller.flush(); err != nil {
				return err, err
			}
		}
		err = call()
		if err != nil || t.open == nil {
			broken = t.look(ctx, err)
		}
		return err, broken
	})
}

// Begin implements [pgx.Tx] by a savepoint.
func (t *hostTx) Begin(ctx context.Context) (pgx.Tx, error) {
	var n int
	err := t.run(ctx, func(ctx context.Context) error {
		n = t.made + 1
		_, err := t.caller.conn.Exec(ctx, "SAVEPOINT "+savepoint(n))
		if err == nil {
			t.made = n
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &hostTx{host: t.host, n: n}, nil
}

func savepoint(n int) string { return "host_" + strconv.Itoa(n) }

// Commit implements [pgx.Tx].
func (t *hostTx) Commit(ctx context.Context) error {
	if t.n == 0 {
		return errHostCommit
	}
	return t.finish(ctx, "RELEASE SAVEPOINT ")
}

// Rollback implements [pgx.Tx].
func (t *hostTx) Rollback(ctx context.Context) error {
	if t.n == 0 {
		return t.guard.Touch(func() error { return errHostRollback })
	}
	return t.finish(ctx, "ROLLBACK TO SAVEPOINT ")
}

// finish ends an inner transaction.
func (t *hostTx) finish(ctx context.Context, text string) error {
	return t.run(ctx, func(ctx context.Context) error {
		t.over = true
		_, err := t.caller.conn.Exec(ctx, text+savepoint(t.n))
		return err
	})
}

// Exec implements [pgx.Tx].
func (t *hostTx) Exec(ctx context.Context, text string, args ...any) (tag pgconn.CommandTag, err error) {
	if err := permitted(text); err != nil {
		return tag, err
	}
	err = t.run(ctx, func(ctx context.Context) error {
		tag, err = t.caller.conn.Exec(ctx, text, t.arguments(args)...)
		return err
	})
	return tag, err
}

// Query implements [pgx.Tx].
func (t *hostTx) Query(ctx context.Context, text string, args ...any) (pgx.Rows, error) {
	if err := permitted(text); err != nil {
		return &hostRows{err: err}, err
	}
	bound, done := t.bound(ctx)
	rows := &hostRows{host: t.host, ctx: ctx, done: done}
	err := t.hold(ctx, func() (err error) {
		if rows.raw, err = t.caller.conn.Query(bound, text, t.arguments(args)...); err == nil {
			t.open = rows
		}
		return err
	})
	if err != nil {
		done()
		return &hostRows{err: err}, err
	}
	return rows, nil
}

// QueryRow implements [pgx.Tx].
func (t *hostTx) QueryRow(ctx context.Context, text string, args ...any) pgx.Row {
	rows, _ := t.Query(ctx, text, args...)
	return hostRow{rows}
}

// CopyFrom implements [pgx.Tx].
func (t *hostTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (n int64, err error) {
	err = t.run(ctx, func(ctx context.Context) error {
		n, err = t.caller.conn.CopyFrom(ctx, table, columns, source)
		return err
	})
	return n, err
}

// Prepare implements [pgx.Tx].
func (t *hostTx) Prepare(ctx context.Context, name, text string) (description *pgconn.StatementDescription, err error) {
	if err := permitted(text); err != nil {
		return nil, err
	}
	err = t.run(ctx, func(ctx context.Context) error {
		description, err = t.caller.conn.Conn().Prepare(ctx, name, text)
		return err
	})
	return description, err
}

// LargeObjects implements [pgx.Tx]. Only a transaction of pgx has them, so one is made whose
// beginning and end have no effect.
func (t *hostTx) LargeObjects() (objects pgx.LargeObjects) {
	_ = t.run(t.caller.outer, func(ctx context.Context) (err error) {
		if t.objects == nil {
			t.objects, err = t.caller.conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "SELECT 1", CommitQuery: "SELECT 1"})
		}
		if err == nil {
			objects = t.objects.LargeObjects()
		}
		return err
	})
	return objects
}

// Conn implements [pgx.Tx].
func (t *hostTx) Conn() (conn *pgx.Conn) {
	_ = t.guard.Touch(func() error {
		conn = t.caller.conn.Conn()
		return nil
	})
	return conn
}
