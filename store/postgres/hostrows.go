package postgres

import (
	"cmp"
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

var (
	errRowsClosed  = errors.New("postgres: the rows are closed")
	errBatchClosed = errors.New("postgres: the batch is closed")
)

// hostRows is an answer to the host. Its rows lie in the buffer of the connection, so they can
// be read only while the closure runs.
type hostRows struct {
	*host
	ctx     context.Context // of the host
	raw     pgx.Rows        // nil if there is no answer
	done    func()          // ends the context of the statement
	inBatch bool            // the batch holds the connection
	closed  bool
	err     error // why the rows are not all of the answer
}

// touch runs call if the rows are open. Otherwise it returns an error.
func (r *hostRows) touch(call func() (broken error)) error {
	if r.raw == nil {
		return r.err
	}
	closed := false
	err := r.guard.Touch(func() error {
		if closed = r.closed; closed {
			return nil
		}
		return call()
	})
	if err == nil && closed {
		err = cmp.Or(r.err, errRowsClosed)
	}
	return err
}

// shut implements [opened].
func (r *hostRows) shut(because error) (broken error) {
	if r.closed {
		return nil
	}
	r.closed = true
	r.raw.Close()
	r.done()
	if !r.inBatch {
		r.open = nil
	}
	err := r.raw.Err()
	r.err = err
	if err == nil {
		r.err = because
	}
	return r.look(r.ctx, err)
}

// Close implements [pgx.Rows].
func (r *hostRows) Close() {
	_ = r.touch(func() error { return r.shut(nil) })
}

// Next implements [pgx.Rows].
func (r *hostRows) Next() (more bool) {
	err := r.touch(func() error {
		if more = r.raw.Next(); !more {
			return r.shut(nil)
		}
		return nil
	})
	return err == nil && more
}

// Scan implements [pgx.Rows].
func (r *hostRows) Scan(into ...any) (err error) {
	closed := r.touch(func() error {
		if err = r.raw.Scan(into...); err != nil { // which closes the rows
			return r.shut(nil)
		}
		return nil
	})
	return cmp.Or(closed, err)
}

// Values implements [pgx.Rows].
func (r *hostRows) Values() (values []any, err error) {
	closed := r.touch(func() error {
		values, err = r.raw.Values()
		return nil
	})
	return values, cmp.Or(closed, err)
}

// RawValues implements [pgx.Rows].
func (r *hostRows) RawValues() (values [][]byte) {
	_ = r.touch(func() error {
		values = r.raw.RawValues()
		return nil
	})
	return values
}

// FieldDescriptions implements [pgx.Rows].
func (r *hostRows) FieldDescriptions() (fields []pgconn.FieldDescription) {
	_ = r.touch(func() error {
		fields = r.raw.FieldDescriptions()
		return nil
	})
	return fields
}

// Err implements [pgx.Rows].
func (r *hostRows) Err() (err error) {
	if r.raw == nil {
		return r.err
	}
	refused := r.guard.Peek(func() { err = cmp.Or(r.err, r.raw.Err()) })
	return cmp.Or(refused, err)
}

// CommandTag implements [pgx.Rows].
func (r *hostRows) CommandTag() (tag pgconn.CommandTag) {
	if r.raw != nil {
		_ = r.guard.Peek(func() { tag = r.raw.CommandTag() })
	}
	return tag
}

// TypeMap implements [pgx.Rows].
func (r *hostRows) TypeMap() (types *pgtype.Map) {
	if r.raw != nil {
		_ = r.guard.Peek(func() { types = r.raw.TypeMap() })
	}
	return types
}

// Conn implements [pgx.Rows].
func (r *hostRows) Conn() *pgx.Conn {
	if r.raw == nil {
		return nil
	}
	return r.tx.Conn()
}

// hostRow is the first of some rows.
type hostRow struct{ rows pgx.Rows }

// Scan implements [pgx.Row].
func (r hostRow) Scan(into ...any) error {
	defer r.rows.Close()
	for _, v := range into {
		if _, borrows := v.(*pgtype.DriverBytes); borrows {
			return errors.New("postgres: QueryRow does not scan into pgtype.DriverBytes, which is not valid after it")
		}
	}
	if !r.rows.Next() {
		return cmp.Or(r.rows.Err(), pgx.ErrNoRows)
	}
	if err := r.rows.Scan(into...); err != nil {
		return err
	}
	r.rows.Close() // which may find an error of the rest
	return r.rows.Err()
}

// hostBatch is the answer to a batch of the host.
type hostBatch struct {
	*host
	ctx    context.Context // of the host
	raw    pgx.BatchResults
	done   func()
	rows   *hostRows // the last of Query
	closed bool
	err    error // of Close, or of a batch that was not sent
}

// SendBatch implements [pgx.Tx].
func (t *hostTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		if err := permitted(q.SQL); err != nil {
			return &hostBatch{err: err}
		}
	}
	bound, done := t.bound(ctx)
	results := &hostBatch{host: t.host, ctx: ctx, done: done}
	err := t.hold(ctx, func() error {
		results.raw = t.caller.conn.SendBatch(bound, b)
		t.open = results
		return nil
	})
	if err != nil {
		done()
		return &hostBatch{err: err}
	}
	return results
}

// touch runs call if the batch is open. Otherwise it returns an error.
func (b *hostBatch) touch(call func() error) (err error) {
	if b.raw == nil {
		return b.err
	}
	refused := b.guard.Touch(func() error {
		if b.closed {
			err = cmp.Or(b.err, errBatchClosed)
			return nil
		}
		if b.rows != nil {
			if broken := b.rows.shut(errHostClosed); broken != nil {
				return broken
			}
		}
		if err = call(); err != nil {
			return b.look(b.ctx, err)
		}
		return nil
	})
	return cmp.Or(refused, err)
}

// shut implements [opened].
func (b *hostBatch) shut(because error) (broken error) {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.rows != nil {
		broken = b.rows.shut(because)
	}
	err := b.raw.Close() // which calls the functions that the host has given to its queries
	b.done()
	b.open = nil
	b.err = err
	if err == nil {
		b.err = because
	}
	return cmp.Or(broken, b.look(b.ctx, err))
}

// Exec implements [pgx.BatchResults].
func (b *hostBatch) Exec() (tag pgconn.CommandTag, err error) {
	err = b.touch(func() error {
		tag, err = b.raw.Exec()
		return err
	})
	return tag, err
}

// Query implements [pgx.BatchResults].
func (b *hostBatch) Query() (pgx.Rows, error) {
	var rows *hostRows
	err := b.touch(func() error {
		raw, err := b.raw.Query()
		if err == nil {
			rows = &hostRows{host: b.host, ctx: b.ctx, raw: raw, done: func() {}, inBatch: true}
			b.rows = rows
		}
		return err
	})
	if err != nil {
		return &hostRows{err: err}, err
	}
	return rows, nil
}

// QueryRow implements [pgx.BatchResults].
func (b *hostBatch) QueryRow() pgx.Row {
	rows, _ := b.Query()
	return hostRow{rows}
}

// Close implements [pgx.BatchResults].
func (b *hostBatch) Close() (err error) {
	if b.raw == nil {
		return b.err
	}
	refused := b.guard.Touch(func() error { return b.shut(nil) })
	_ = b.guard.Peek(func() { err = b.err })
	return cmp.Or(err, refused)
}

// Tx implements [pgx.BatchResults]. A batch of the host begins no transaction.
func (b *hostBatch) Tx() pgx.Tx { return nil }
