package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/latchkey/store"
)

// defaultPage is the number of rows that the first copy and the comparison read at a time.
const defaultPage = 4000

// first copies the rows of all tables, parents first, one page after another. A page is
// one List: a View over all of them would keep a SQLite file from folding its log in,
// and a bbolt file from using its free pages again, for minutes.
//
// So each page is of another moment. A row that the host changes meanwhile is dirty, and
// the next pass mends it. A row that the second store refuses, because a dirty row that
// it needs is missing or has its key, becomes dirty too. After the copy, the stores
// differ in dirty rows alone.
func (m *Move) first(ctx context.Context) (Pass, error) {
	began := time.Now()
	m.track(true)
	p := Pass{}
	for _, t := range m.schema.Tables() {
		n, err := m.copyTable(ctx, t)
		if err != nil {
			return Pass{}, fmt.Errorf("%s: %w", t.Name(), err)
		}
		p.Rows += n
	}
	p.Length = time.Since(began)
	m.told(p)
	return p, nil
}

// copyTable copies the rows of a table and returns their number.
func (m *Move) copyTable(ctx context.Context, t *store.Table) (n int, err error) {
	from := rows{Reader: m.from, table: t, size: m.page}
	for {
		some, err := from.page(ctx)
		if err != nil || len(some) == 0 {
			return n, err
		}
		clean, changed := m.split(t, some)
		if err := m.insert(ctx, t, clean); err != nil {
			return n, err
		}
		// The children of a changed row may be clean. A changed row without children is left
		// to the next pass, because its parent may be too new for the copy.
		if len(t.Children()) > 0 {
			if err := m.insert(ctx, t, changed); err != nil {
				return n, err
			}
		}
		n += len(some)
		if m.options.OnProgress != nil {
			m.options.OnProgress(t.Name(), n)
		}
	}
}

// insert inserts rows into the second store, except for those that it refuses.
func (m *Move) insert(ctx context.Context, t *store.Table, some []store.Row) error {
	if len(some) == 0 {
		return nil
	}
	err := m.to.Update(ctx, func(ctx context.Context, tx store.Tx) error { return tx.InsertAll(ctx, t, some) })
	switch {
	case !errors.Is(err, store.ErrReference) && !errors.Is(err, store.ErrExists):
		return err
	case len(some) == 1:
		refused := make(keys)
		refused.addRow(t, some[0])
		m.putBack(refused)
		return nil
	}
	half := len(some) / 2
	if err := m.insert(ctx, t, some[:half]); err != nil {
		return err
	}
	return m.insert(ctx, t, some[half:])
}

// rows reads the rows of a table in the order of their primary keys, page by page.
type rows struct {
	store.Reader
	table *store.Table
	size  int // of a page
	after []store.Value
	over  bool
	left  []store.Row // of the last page, for next
}

// page returns the next rows, or none at the end.
func (r *rows) page(ctx context.Context) ([]store.Row, error) {
	if r.over {
		return nil, nil
	}
	ix := r.table.Primary()
	some, err := r.List(ctx, store.Query{Index: ix, After: r.after, Limit: r.size})
	if err != nil {
		return nil, err
	}
	r.over = len(some) < r.size
	if len(some) > 0 {
		r.after = ix.Position(some[len(some)-1])
	}
	return some, nil
}

// next returns the first row that was not taken, and nil at the end.
func (r *rows) next(ctx context.Context) (*store.Row, error) {
	if len(r.left) == 0 {
		var err error
		if r.left, err = r.page(ctx); err != nil || len(r.left) == 0 {
			return nil, err
		}
	}
	return &r.left[0], nil
}

func (r *rows) take() { r.left = r.left[1:] }

// verify checks that the stores differ in dirty rows alone.
func (m *Move) verify(ctx context.Context) error {
	for _, t := range m.schema.Tables() {
		if err := m.verifyTable(ctx, t); err != nil {
			return fmt.Errorf("move: %w: %s", err, t.Name())
		}
	}
	return nil
}

func (m *Move) verifyTable(ctx context.Context, t *store.Table) error {
	from, to := rows{Reader: m.from, table: t, size: m.page}, rows{Reader: m.to, table: t, size: m.page}
	for {
		a, err := from.next(ctx)
		if err != nil {
			return err
		}
		b, err := to.next(ctx)
		if err != nil {
			return err
		}
		order := compareRows(t, a, b)
		differs, row := true, a
		switch {
		case a == nil && b == nil:
			return nil
		case order > 0:
			row = b
		case order == 0:
			differs = !t.Same(*a, *b)
		}
		if differs {
			if clean, _ := m.split(t, []store.Row{*row}); len(clean) > 0 {
				return store.ErrChanged
			}
		}
		if order <= 0 {
			from.take()
		}
		if order >= 0 {
			to.take()
		}
	}
}

// compareRows orders rows by their primary keys. nil comes after every row.
func compareRows(t *store.Table, a, b *store.Row) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	ix := t.Primary()
	return slices.CompareFunc(ix.Key(*a), ix.Key(*b), store.Compare)
}
