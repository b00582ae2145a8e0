package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"time"
)

// How Sweep keeps its batches short: they grow while they take less than half
// of sweepHold, commit included, and halve when they take more than it, between
// the least and the most rows.
const (
	sweepHold  = 20 * time.Millisecond
	sweepLeast = 10
	sweepMost  = 500
)

// Sweep deletes the rows whose time in the first column of ix is before a time,
// and returns how many it deleted. It works in batches, each a transaction of
// its own that holds the writer for about 20 ms at most, so that nobody
// notices; when it fails, what it has deleted stays deleted. A row that others
// refer to stops it with [ErrReference].
func Sweep(ctx context.Context, s Store, ix *Index, before time.Time) (int, error) {
	if ix == nil {
		return 0, fmt.Errorf("%w: no index", ErrInvalid)
	}
	if ix.table.columns[ix.columns[0]].Kind != KindTime {
		return 0, fmt.Errorf("%w: %s.%s does not begin with a time", ErrInvalid, ix.table.name, ix.name)
	}
	total := 0
	q := Query{Index: ix, To: Excluding(Time(before)), Limit: 10 * sweepLeast}
	for {
		var n int
		began := time.Now()
		err := s.Update(ctx, func(ctx context.Context, tx Tx) (err error) {
			n, err = tx.DeleteRange(ctx, q)
			return err
		})
		if err != nil {
			return total, err
		}
		took := time.Since(began) // with the commit, and the wait for others
		total += n
		if n < q.Limit {
			return total, nil
		}
		switch {
		case took > sweepHold:
			q.Limit = max(sweepLeast, q.Limit/2)
		case took < sweepHold/2:
			q.Limit = min(sweepMost, q.Limit+q.Limit/2)
		}
	}
}

// What Copy may answer, besides the errors of the stores.
var (
	ErrNotEmpty = errors.New("store: the store to copy to has rows")
	ErrChanged  = errors.New("store: the copy differs from its source")
)

// copyPage is how many rows Copy holds at a time.
const copyPage = 4000

// Copy moves all rows of the tables of a schema from one store to another that
// is open and empty, parents first, four thousand rows at a time. Nobody else may
// write to the source meanwhile: at the end Copy reads both sides once more,
// and fails with [ErrChanged] if they differ. progress, unless nil, is called
// with the name of a table and the number of its rows so far. A copy that
// failed is begun again on a new store.
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
		if errors.Is(err, ErrReference) { // to a row that came later than its table was copied
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
	return s.Update(ctx, func(ctx context.Context, tx Tx) error {
		for _, row := range rows {
			if err := tx.Insert(ctx, t, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// pages calls visit with all rows of a table, in the order of its primary key:
// that of their creation, in which indexes are cheapest to fill.
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

// sameWords writes JSON as encoding/json would, so that two stores that keep the
// same JSON agree on it.
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
