package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
)

// conn is one connection with its prepared statements, for one goroutine at a
// time. It does not use the pool of database/sql: the writer has a connection of
// its own, readers take turns with a few others, and each call costs less.
type conn struct {
	driver.Conn
	stmts  map[string]driver.Stmt
	broken bool // it must not be used again
}

func connect(ctx context.Context, c driver.Connector) (*conn, error) {
	raw, err := c.Connect(ctx)
	if err != nil {
		return nil, wrap("open", err)
	}
	return &conn{Conn: raw, stmts: make(map[string]driver.Stmt)}, nil
}

// close closes the statements and the connection. A connection with an open
// statement would keep the file open.
func (c *conn) close() error {
	var errs []error
	for _, stmt := range c.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, c.Conn.Close())...)
}

// maxStmts is the greatest number of statements that a connection keeps.
const maxStmts = 500

func (c *conn) stmt(text string) (driver.Stmt, error) {
	if stmt := c.stmts[text]; stmt != nil {
		return stmt, nil
	}
	if len(c.stmts) >= maxStmts {
		for old, stmt := range c.stmts {
			delete(c.stmts, old)
			if err := stmt.Close(); err != nil {
				return nil, wrap("prepare", err)
			}
			break
		}
	}
	stmt, err := c.Prepare(text)
	if err != nil {
		return nil, wrap("prepare", err)
	}
	c.stmts[text] = stmt
	return stmt, nil
}

// exec runs a statement and returns the number of changed rows.
func (c *conn) exec(ctx context.Context, text string, args ...store.Value) (_ int, err error) {
	defer backend.Caught(&err)
	stmt, err := c.stmt(text)
	if err != nil {
		return 0, err
	}
	result, err := stmt.(driver.StmtExecContext).ExecContext(ctx, arguments(args))
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// query runs a statement and calls each with its rows. each must not keep the
// slice. query reads all rows, because an open result would hold the connection.
func (c *conn) query(ctx context.Context, text string, args []store.Value, each func([]driver.Value) error) (err error) {
	defer backend.Caught(&err)
	stmt, err := c.stmt(text)
	if err != nil {
		return err
	}
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(ctx, arguments(args))
	if err != nil {
		return wrapRead(ctx, err)
	}
	defer func() {
		if e := rows.Close(); e != nil && err == nil {
			err = wrapRead(ctx, e)
		}
	}()
	values := make([]driver.Value, len(rows.Columns()))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch err := rows.Next(values); {
		case err == io.EOF:
			return nil
		case err != nil:
			return wrapRead(ctx, err)
		}
		if err := each(values); err != nil {
			return wrapRead(ctx, err)
		}
	}
}

func (c *conn) get(ctx context.Context, text string, t *store.Table, key []store.Value) (row store.Row, err error) {
	found := false
	err = c.query(ctx, text, key, func(values []driver.Value) error {
		found = true
		row, err = rowOf(t, t.Columns(), values)
		return err
	})
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return row, err
}

func (c *conn) getBoth(ctx context.Context, text string, p *store.Pair, key []store.Value) (part, parent store.Row, err error) {
	found, of := false, p.Reference.Parent.Table()
	err = c.query(ctx, text, key, func(values []driver.Value) error {
		found = true
		n := len(p.Columns())
		if part, err = rowOf(p.Index.Table(), p.Columns(), values[:n]); err != nil {
			return err
		}
		parent, err = rowOf(of, of.Columns(), values[n:])
		return err
	})
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return part, parent, err
}

func (c *conn) list(ctx context.Context, text string, t *store.Table, args []store.Value) (rows []store.Row, err error) {
	err = c.query(ctx, text, args, func(values []driver.Value) error {
		row, err := rowOf(t, t.Columns(), values)
		rows = append(rows, row)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// number runs a statement whose result is one integer.
func (c *conn) number(ctx context.Context, text string, args []store.Value) (n int, err error) {
	err = c.query(ctx, text, args, func(values []driver.Value) error {
		v, ok := values[0].(int64)
		if !ok {
			return fmt.Errorf("%w: %T", errNoNumber, values[0])
		}
		n = int(v)
		return nil
	})
	return n, err
}

// errNoNumber is the error of a value that should be a number.
var errNoNumber = errors.New("not a number")

// texts runs a statement and calls each with its first values, as texts.
func (c *conn) texts(ctx context.Context, text string, each func(string)) error {
	return c.query(ctx, text, nil, func(values []driver.Value) error {
		each(fmt.Sprint(values[0]))
		return nil
	})
}

// text runs a statement and returns its first value as text, or "" if the result
// is empty.
func (c *conn) text(ctx context.Context, text string) (out string, err error) {
	err = c.query(ctx, text, nil, func(values []driver.Value) error {
		if out == "" {
			out = fmt.Sprint(values[0])
		}
		return nil
	})
	return out, err
}

// arguments returns the values as the driver takes them. Text is stored as TEXT,
// bytes as BLOB, and integers, bools and times (microseconds since 1970) as
// INTEGER.
func arguments(values []store.Value) []driver.NamedValue {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i].Ordinal = i + 1
		switch v.Kind() {
		case store.KindNull:
		case store.KindText:
			args[i].Value = v.Text()
		case store.KindBytes:
			args[i].Value = v.Bytes()
		default:
			args[i].Value = v.Int()
		}
	}
	return args
}

func rowOf(t *store.Table, columns []store.Column, from []driver.Value) (store.Row, error) {
	values := make([]store.Value, len(from))
	for i, c := range columns {
		switch v := from[i].(type) {
		case nil:
			continue
		case string:
			if c.Kind == store.KindText {
				values[i] = store.Text(v)
				continue
			}
		case []byte:
			if c.Kind == store.KindBytes {
				values[i] = store.Bytes(v)
				continue
			}
		case int64:
			switch c.Kind {
			case store.KindInt:
				values[i] = store.Int(v)
				continue
			case store.KindBool:
				values[i] = store.Bool(v != 0)
				continue
			case store.KindTime:
				values[i] = store.Micros(v)
				continue
			}
		}
		return store.Row{}, fmt.Errorf("%w: %s.%s holds %T", store.ErrDamaged, t.Name(), c.Name, from[i])
	}
	return store.NewRow(values), nil
}

// wrapRead returns the context's error if the context has ended, for which the
// driver reports an interrupt.
func wrapRead(ctx context.Context, err error) error {
	if e := ctx.Err(); e != nil {
		return e
	}
	return wrap("read", err)
}

// pool holds the connections of the readers. A connection is opened when it is
// first needed.
type pool struct {
	connector driver.Connector
	free      chan *conn // nil for a connection that is not open
}

func newPool(c driver.Connector, size int) *pool {
	p := &pool{c, make(chan *conn, size)}
	for range size {
		p.free <- nil
	}
	return p
}

// use calls fn with a connection. It waits for one until the context ends.
func (p *pool) use(ctx context.Context, fn func(*conn) error) (err error) {
	var c *conn
	select {
	case c = <-p.free:
	default:
		select {
		case c = <-p.free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { // also after a panic in fn
		if c != nil && c.broken {
			_ = c.close() // the next reader opens another
			c = nil
		}
		p.free <- c
	}()
	if c == nil {
		if c, err = connect(ctx, p.connector); err != nil {
			return err
		}
	}
	err = fn(c)
	if v, ok := c.Conn.(driver.Validator); err != nil && ok && !v.IsValid() {
		c.broken = true // interrupted in the middle
	}
	return err
}

// close waits until all connections are back.
func (p *pool) close() error {
	var errs []error
	for range cap(p.free) {
		if c := <-p.free; c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}
