package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/store"
)

// How often a call runs again, and how long it waits before. The wait is random,
// at first up to waitFirst. This bound doubles with every run, up to waitMost.
const (
	// maxLost is how often a call may lose its connection, besides the losses of
	// connections that were in the pool when the server went away. Only the
	// context limits the runs after a conflict with another transaction.
	maxLost   = 3
	waitFirst = time.Millisecond
	waitMost  = 64 * time.Millisecond
)

// How long a statement may go on after the context of its caller has ended. Then
// it is cancelled, and its connection is lost. A commit that is sent alone may go on
// longer, because its outcome is unknown if it is cancelled.
const (
	lateStatement = time.Second
	lateCommit    = 10 * time.Second
)

// again runs a call until it succeeds, or fails in a way that another run cannot
// mend.
func (d *database) again(ctx context.Context, run func(careful bool) (failure, error)) error {
	wait, lost, careful := waitFirst, 0, false
	for {
		failed, err := run(careful)
		switch {
		case failed.conflict:
		case failed.unsure:
			careful, wait = true, 1 // there is nothing to wait for
		case failed.lost && lost < maxLost+int(d.pool.Config().MaxConns):
			lost++
		default:
			return err
		}
		if d.onRetry != nil {
			d.onRetry(failed.state)
		}
		select {
		case <-time.After(rand.N(wait)):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = max(waitFirst, min(2*wait, waitMost))
	}
}

func (d *database) Update(ctx context.Context, body func(store.Tx) error) error {
	return d.again(ctx, func(careful bool) (failure, error) { return d.once(ctx, careful, body) })
}

// once runs body in a transaction.
func (d *database) once(ctx context.Context, careful bool, body func(store.Tx) error) (failed failure, err error) {
	if err := d.turns.take(ctx); err != nil {
		return failure{}, err
	}
	defer func() { d.turns.giveBack(failed.conflict) }()
	c, err := d.acquire(ctx)
	if err != nil {
		return failure{}, err
	}
	defer c.release() // rolls back an open transaction, also after a panic
	c.careful = careful
	if careful || !c.batches {
		if err := c.begin(); err != nil {
			return c.failed, err
		}
	} else {
		c.waiting = append(c.waiting, d.beginTexts...)
	}
	err = body(c)
	if err != nil && c.failed == (failure{}) && !c.aborted && (c.written() || len(c.unchecked) > 0) {
		// The closure may have taken a write for done that will be refused.
		c.checkNow()
		if refused := c.flush(); refused != nil {
			return c.failed, refused
		}
	}
	if err != nil || c.failed != (failure{}) {
		return c.failed, err
	}
	return c.commit()
}

// caller is a connection for the time of one call. Statements run under a context
// that ends a little later than the call's, because cancelling a statement costs
// the connection.
type caller struct {
	*database
	conn   *pgxpool.Conn
	outer  context.Context
	ctx    context.Context
	done   func()
	failed failure

	batches bool       // see batch.go
	careful bool       // a run that sends no batches
	waiting []deferred // what the server has not been sent yet
	sent    bool       // the server has answered in this transaction
	aborted bool       // a statement of the host has failed or has ended the transaction

	late      bool           // the server looks for references when the transaction ends
	unchecked []*store.Table // whose new references the server has not looked for
}

// NumbersRows says that a sequence of the server numbers rows: to look for the greatest number would
// lock a page of the index, into which other transactions insert.
func (*caller) NumbersRows() {}

// failure is a failure of a statement that another run may mend. It is zero if
// another run cannot.
type failure struct {
	conflict bool // with another transaction
	lost     bool // the connection is lost, or its prepared statements are
	unsure   bool // a careful run will tell which call failed, and how
	state    string
}

func (d *database) acquire(ctx context.Context) (*caller, error) {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return nil, wrap(ctx, "connect", err)
	}
	c := &caller{database: d, conn: conn, outer: ctx, batches: d.batches && binaryRows(conn.Conn().TypeMap())}
	c.ctx, c.done = outlive(ctx, lateStatement)
	return c, nil
}

// outlive returns a context that ends later than ctx, by the duration late.
func outlive(ctx context.Context, late time.Duration) (context.Context, func()) {
	if ctx.Done() == nil {
		return ctx, func() {}
	}
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(late, cancel) })
	return out, func() {
		stop()
		cancel()
	}
}

// release rolls back an open transaction and returns the connection to the pool.
// The pool closes a connection that is not idle then.
func (c *caller) release() {
	if c.failed.lost { // its prepared statements are not those that pgx remembers
		_ = c.conn.Conn().Close(c.ctx)
	}
	if c.conn.Conn().PgConn().TxStatus() != 'I' && !c.conn.Conn().IsClosed() {
		_, _ = c.conn.Exec(c.ctx, "ROLLBACK")
	}
	c.done()
	c.conn.Release()
}

// begin begins a transaction and refuses it if a newer version of this program has
// changed the tables meanwhile. It is one round trip. The lock comes before the first
// snapshot, and an upgrade locks the same table against it: so the transaction either
// ends before the upgrade begins, or sees its version.
func (c *caller) begin() error {
	results, err := c.conn.Conn().PgConn().Exec(c.ctx, c.beginText).ReadAll()
	if err != nil {
		return c.fail("begin", err)
	}
	c.sent = true
	last := results[len(results)-1].Rows
	if len(last) != 1 || len(last[0]) != 1 {
		return fmt.Errorf("postgres: begin: %w: the tables have no version", store.ErrDamaged)
	}
	version, err := strconv.Atoi(string(last[0][0]))
	if err != nil {
		return fmt.Errorf("postgres: begin: %w: the version of the tables is no number", store.ErrDamaged)
	}
	return c.newer(version)
}

func (c *caller) fail(what string, err error) error {
	c.failed = failureOf(c.conn, err)
	return c.wrapWrite(what, err)
}

// query runs a statement and calls each with the raw values of each row.
func (c *caller) query(_ context.Context, what, text string, args []store.Value, each func([][]byte) error) error {
	if len(c.waiting) > 0 {
		return c.queryAfter(what, text, args, each)
	}
	rows, err := c.conn.Query(c.ctx, text, arguments(args, c.mode, binaryForm)...)
	return c.read(what, rows, err, each)
}

// read calls each with the raw values of each row of an answer.
func (c *caller) read(what string, rows pgx.Rows, err error, each func([][]byte) error) error {
	if err != nil {
		return c.fail(what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.RawValues()); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return c.fail(what, err)
	}
	return nil
}

func (c *caller) Get(ctx context.Context, ix *store.Index, key ...store.Value) (row store.Row, err error) {
	found := false
	err = c.query(ctx, "get", c.texts.Get(ix), key, func(raw [][]byte) error {
		found = true
		row, err = decode(ix.Table(), ix.Table().Columns(), raw)
		return err
	})
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return row, err
}

func (c *caller) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	found, of := false, p.Reference.Parent.Table()
	err = c.query(ctx, "get", c.texts.GetBoth(p), key, func(raw [][]byte) error {
		found = true
		n := min(len(p.Columns()), len(raw))
		if part, err = decode(p.Index.Table(), p.Columns(), raw[:n]); err != nil {
			return err
		}
		parent, err = decode(of, of.Columns(), raw[n:])
		return err
	})
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return part, parent, err
}

func (c *caller) List(ctx context.Context, q store.Query) (rows []store.Row, err error) {
	text, args := c.texts.List(q)
	err = c.query(ctx, "list", text, args, func(raw [][]byte) error {
		row, err := decode(q.Index.Table(), q.Index.Table().Columns(), raw)
		rows = append(rows, row)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (c *caller) Count(ctx context.Context, q store.Query) (n int, err error) {
	text, args := c.texts.Count(q)
	err = c.query(ctx, "count", text, args, func(raw [][]byte) error {
		v, err := decodeInt(raw[0])
		n = int(v)
		return err
	})
	return n, err
}

// binaryForm asks for every column in PostgreSQL's binary form.
var binaryForm = pgx.QueryResultFormats{pgx.BinaryFormatCode}

// arguments returns the arguments of pgx after the text of a statement: its
// options, then the values.
func arguments(values []store.Value, options ...any) []any {
	args := make([]any, len(options), len(options)+len(values))
	copy(args, options)
	for _, v := range values {
		args = append(args, argument(v))
	}
	return args
}

func argument(v store.Value) any {
	switch v.Kind() {
	case store.KindText:
		return v.Text()
	case store.KindBytes:
		return v.Bytes()
	case store.KindInt:
		return v.Int()
	case store.KindBool:
		return v.Bool()
	case store.KindTime:
		return v.Time()
	default:
		return nil
	}
}
