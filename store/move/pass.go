package move

import (
	"context"
	"fmt"

	"example.com/latchkey/store"
)

// reading is a reader with the context of its calls.
type reading struct {
	store.Reader
	ctx context.Context
}

// pass is the work of bringing the second store to a snapshot of the first.
//
// It first deletes rows, children first, and then writes rows, parents first. So each
// change is allowed after those before it, and the work may be split into several
// transactions. A row that changes a unique key is deleted and inserted again, because
// its old key may be the new key of another row, or lead to a row that refers to it.
// The rows that refer to a deleted row are deleted and inserted again too.
type pass struct {
	schema *store.Schema
	source reading // the snapshot
	to     store.Store
	all    keys // of the rows that may differ
	remove keys // of the rows to delete first
	work   []func(context.Context, store.Tx) error
	size   int // number of rows of work
}

// enough is the number of rows of a transaction. A pass of fewer rows is one
// transaction.
const enough = 4000

func (p *pass) run() error {
	tables := p.schema.Tables()
	for _, t := range tables {
		if err := p.plan(t); err != nil {
			return err
		}
	}
	for i := range tables {
		t := tables[len(tables)-1-i]
		for _, some := range p.remove.lots(t) {
			if err := p.add(len(some), func(ctx context.Context, tx store.Tx) error { return remove(ctx, tx, t, some) }); err != nil {
				return err
			}
		}
	}
	for _, t := range tables {
		for _, some := range p.all.lots(t) {
			wanted, err := lookup(p.source, t, some)
			if err != nil {
				return err
			}
			if err := p.add(len(some), func(ctx context.Context, tx store.Tx) error { return write(ctx, tx, t, some, wanted) }); err != nil {
				return err
			}
		}
	}
	return p.flush()
}

// plan finds the rows of a table that have to be deleted first. Those that refer to
// deleted rows of earlier tables are in remove already.
func (p *pass) plan(t *store.Table) error {
	to := reading{p.to, p.source.ctx}
	for _, some := range p.all.lots(t) {
		wanted, have, err := p.both(t, some)
		if err != nil {
			return err
		}
		for key, row := range have {
			next, stays := wanted[key]
			if stays && !losesKey(t, row, next) && !p.remove.has(t, key) {
				continue
			}
			p.remove.add(t, key)
			if err := p.children(to, t, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// both returns the rows with some keys in the snapshot, and those in the second store.
func (p *pass) both(t *store.Table, some []string) (wanted, have map[string]store.Row, err error) {
	if wanted, err = lookup(p.source, t, some); err == nil {
		have, err = lookup(reading{p.to, p.source.ctx}, t, some)
	}
	return wanted, have, err
}

// losesKey reports whether a row gives up a key of a unique index.
func losesKey(t *store.Table, row, next store.Row) bool {
	for _, ix := range t.Indexes() {
		if !ix.Unique() {
			continue
		}
		held, differs := true, false
		for _, c := range ix.Columns() {
			held = held && !row.At(c).IsNull()
			differs = differs || row.At(c) != next.At(c)
		}
		if held && differs {
			return true
		}
	}
	return false
}

// children adds the rows that refer to a row of the second store.
func (p *pass) children(to reading, t *store.Table, row store.Row) error {
	for _, ref := range t.Children() {
		q := store.Query{Index: ref.Child, Equal: ref.Parent.Key(row), Limit: store.MaxLimit}
		for {
			rows, err := to.List(to.ctx, q)
			if err != nil {
				return err
			}
			child := ref.Child.Table()
			for _, r := range rows {
				p.all.addRow(child, r)
				p.remove.addRow(child, r)
			}
			if len(rows) < q.Limit {
				break
			}
			q.After = ref.Child.Position(rows[len(rows)-1])
		}
	}
	return nil
}

// add adds work on so many rows.
func (p *pass) add(rows int, work func(context.Context, store.Tx) error) error {
	p.work = append(p.work, work)
	p.size += rows
	if p.size < enough {
		return nil
	}
	return p.flush()
}

// flush does the work in one transaction.
func (p *pass) flush() error {
	if len(p.work) == 0 {
		return nil
	}
	err := p.to.Update(p.source.ctx, func(ctx context.Context, tx store.Tx) error {
		for _, work := range p.work {
			if err := work(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	p.work, p.size = nil, 0
	return err
}

// remove deletes the rows with some keys.
func remove(ctx context.Context, tx store.Tx, t *store.Table, some []string) error {
	for _, q := range queries(t, some) {
		if _, err := tx.DeleteRange(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", t.Name(), err)
		}
	}
	return nil
}

// write writes the wanted rows with some keys, as far as they are not there.
func write(ctx context.Context, tx store.Tx, t *store.Table, some []string, wanted map[string]store.Row) error {
	have, err := lookup(reading{tx, ctx}, t, some)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Name(), err)
	}
	var fresh []store.Row
	for _, key := range some {
		row, there := wanted[key]
		old, known := have[key]
		switch {
		case !there:
		case !known:
			fresh = append(fresh, row)
		case !t.Same(old, row):
			if err := tx.Replace(ctx, t, row); err != nil {
				return fmt.Errorf("%s: %w", t.Name(), err)
			}
		}
	}
	if err := tx.InsertAll(ctx, t, fresh); err != nil {
		return fmt.Errorf("%s: %w", t.Name(), err)
	}
	return nil
}

// compare checks that the rows of the pass are the same in both stores.
func (p *pass) compare() error {
	for _, t := range p.schema.Tables() {
		for _, some := range p.all.lots(t) {
			wanted, have, err := p.both(t, some)
			if err != nil {
				return err
			}
			for _, key := range some {
				a, inSource := wanted[key]
				b, inCopy := have[key]
				if inSource != inCopy || inSource && !t.Same(a, b) {
					return fmt.Errorf("%w: %s", store.ErrChanged, t.Name())
				}
			}
		}
	}
	return nil
}

// count checks that the tables of both stores have as many rows.
func (p *pass) count() error {
	for _, t := range p.schema.Tables() {
		q := store.Query{Index: t.Primary()}
		a, err := p.source.Count(p.source.ctx, q)
		if err != nil {
			return err
		}
		b, err := p.to.Count(p.source.ctx, q)
		if err != nil {
			return err
		}
		if a != b {
			return fmt.Errorf("%w: %s", store.ErrChanged, t.Name())
		}
	}
	return nil
}
