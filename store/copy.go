package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
)

// The errors of Copy, besides those of the stores.
var (
	ErrNotEmpty = errors.New("store: the store to copy to has rows")
	ErrChanged  = errors.New("store: the copy differs from its source")
)

// ErrMoved says that the rows of a store have moved to another store (package
// store/move), and that they are kept up to date there alone.
var ErrMoved = errors.New("store: the rows have moved to another store")

// copyPage is the number of rows that Copy holds at a time.
const copyPage = 4000

// Copy copies all rows of the tables of a schema from one store to another, which
// is open and empty. It copies parents first, four thousand rows at a time. The
// host must not write to the source meanwhile: at the end, Copy reads both stores
// once more and compares them. After a failure, begin again with a new store.
//
// progress, unless nil, is called with the name of a table and the number of its
// rows copied so far.
//
//   - [ErrNotEmpty]: the store to copy to has rows
//   - [ErrChanged]: the copy differs from the source
func Copy(ctx context.Context, to, from Store, schema *Schema, progress func(table string, rows int)) error {
	for _, t := range schema.tables {
		n, err := to.Count(ctx, Query{Index: t.Primary(), Limit: 1})
		if err != nil {
			return err
		}
		if n > 0 {
			return ErrNotEmpty
		}
	}
	for _, t := range schema.tables {
		rows := 0
		err := pages(ctx, from, t, func(page []Row) error {
			rows += len(page)
			if err := insertAll(ctx, to, t, page); err != nil {
				return err
			}
			if progress != nil {
				progress(t.name, rows)
			}
			return nil
		})
		if errors.Is(err, ErrReference) { // to a row that was inserted after its table was copied
			err = ErrChanged
		}
		if err != nil {
			return fmt.Errorf("store: copy %s: %w", t.name, err)
		}
	}
	for _, t := range schema.tables {
		source, err := digest(ctx, from, t)
		if err != nil {
			return err
		}
		copied, err := digest(ctx, to, t)
		if err != nil {
			return err
		}
		if source != copied {
			return fmt.Errorf("%w: %s", ErrChanged, t.name)
		}
	}
	return nil
}

func insertAll(ctx context.Context, s Store, t *Table, rows []Row) error {
	return s.Update(ctx, func(ctx context.Context, tx Tx) error { return tx.InsertAll(ctx, t, rows) })
}

// pages calls visit with all rows of a table in the order of the primary key.
// That is the order of their creation, in which indexes are cheapest to fill.
func pages(ctx context.Context, r Reader, t *Table, visit func([]Row) error) error {
	q := Query{Index: t.Primary(), Limit: copyPage}
	for {
		rows, err := r.List(ctx, q)
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			if err := visit(rows); err != nil {
				return err
			}
		}
		if len(rows) < q.Limit {
			return nil
		}
		q.After = t.Primary().Position(rows[len(rows)-1])
	}
}

// digest returns a SHA-256 of all rows of a table.
func digest(ctx context.Context, r Reader, t *Table) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	err = pages(ctx, r, t, func(rows []Row) error {
		for _, row := range rows {
			row.digest(h, t)
		}
		return nil
	})
	return [sha256.Size]byte(h.Sum(nil)), err
}

func (r Row) digest(h hash.Hash, t *Table) {
	var b []byte
	for i, v := range r.values {
		text := v.s
		if c := t.columns[i]; c.JSON && !c.Verbatim {
			text = sameWords(text)
		}
		b = append(b, byte(v.kind))
		b = binary.BigEndian.AppendUint64(b, uint64(v.n))
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	h.Write(b)
}

// Same reports whether two rows of the table have the same values. JSON is the same
// in other words too, unless its column is verbatim.
func (t *Table) Same(a, b Row) bool {
	if len(a.values) != len(t.columns) || len(b.values) != len(t.columns) {
		return false
	}
	for i, c := range t.columns {
		v, w := a.values[i], b.values[i]
		if v == w {
			continue
		}
		if !c.JSON || c.Verbatim || v.kind != w.kind || sameWords(v.s) != sameWords(w.s) {
			return false
		}
	}
	return true
}

// sameWords writes JSON as encoding/json does, so that two stores with the same
// JSON have the same digest.
func sameWords(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	out, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(out)
}
