package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"example.com/latchkey/store"
)

// Text is kept as TEXT, bytes as BLOB; integers, bools and times (microseconds
// since 1970) as INTEGER.
func arguments(values []store.Value) []any {
	args := make([]any, len(values))
	for i, v := range values {
		switch v.Kind() {
		case store.KindNull:
		case store.KindText:
			args[i] = v.Text()
		case store.KindBytes:
			args[i] = v.Bytes()
		default:
			args[i] = v.Int()
		}
	}
	return args
}

// cell receives one column of a row.
type cell struct {
	kind  store.Kind
	value store.Value
}

// Scan implements sql.Scanner.
func (c *cell) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		c.value = store.Null
		return nil
	case string:
		if c.kind == store.KindText {
			c.value = store.Text(v)
			return nil
		}
	case []byte:
		if c.kind == store.KindBytes {
			c.value = store.Bytes(v)
			return nil
		}
	case int64:
		switch c.kind {
		case store.KindInt:
			c.value = store.Int(v)
			return nil
		case store.KindBool:
			c.value = store.Bool(v != 0)
			return nil
		case store.KindTime:
			c.value = store.Micros(v)
			return nil
		}
	}
	return fmt.Errorf("sqlite: a column of %s holds %T", c.kind, src)
}

// scanner reads rows of a table.
type scanner struct {
	cells []cell
	dest  []any
}

func newScanner(t *store.Table) *scanner {
	s := &scanner{cells: make([]cell, len(t.Columns())), dest: make([]any, len(t.Columns()))}
	for i, c := range t.Columns() {
		s.cells[i].kind = c.Kind
		s.dest[i] = &s.cells[i]
	}
	return s
}

func (s *scanner) row(rows *sql.Rows) (store.Row, error) {
	if err := rows.Scan(s.dest...); err != nil {
		return store.Row{}, err
	}
	values := make([]store.Value, len(s.cells))
	for i := range s.cells {
		values[i] = s.cells[i].value
	}
	return store.NewRow(values), nil
}

func getRow(ctx context.Context, stmt *sql.Stmt, t *store.Table, key []store.Value) (store.Row, error) {
	rows, err := listRows(ctx, stmt, t, key)
	if err == nil && len(rows) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Row{}, err
	}
	return rows[0], nil
}

// listRows reads all rows of a statement: a result left open would hold the
// connection.
func listRows(ctx context.Context, stmt *sql.Stmt, t *store.Table, args []store.Value) (out []store.Row, err error) {
	rows, err := stmt.QueryContext(ctx, arguments(args)...)
	if err != nil {
		return nil, wrapRead(ctx, err)
	}
	defer func() {
		if e := rows.Close(); e != nil && err == nil {
			out, err = nil, wrapRead(ctx, e)
		}
	}()
	s := newScanner(t)
	for rows.Next() {
		row, err := s.row(rows)
		if err != nil {
			return nil, wrapRead(ctx, err)
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, wrapRead(ctx, err)
	}
	return out, nil
}

func count(ctx context.Context, stmt *sql.Stmt, args []store.Value) (n int, err error) {
	if err := stmt.QueryRowContext(ctx, arguments(args)...).Scan(&n); err != nil {
		return 0, wrapRead(ctx, err)
	}
	return n, nil
}

// wrapRead names the cancellation of a read as the context does: the driver
// reports an interrupt.
func wrapRead(ctx context.Context, err error) error {
	if e := ctx.Err(); e != nil {
		return e
	}
	return wrap("read", err)
}
