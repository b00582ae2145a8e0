package store

import (
	"context"
	"fmt"
	"time"
)

// Sweep keeps its batches short: one that took less than half of sweepHold,
// commit included, lets the next one grow, and one that took longer than
// sweepHold halves it. A batch stays between sweepLeast and sweepMost rows.
const (
	sweepHold  = 20 * time.Millisecond
	sweepLeast = 10
	sweepMost  = 500
)

// Sweep deletes the rows whose time in the first column of ix is before a time,
// and returns the number of deleted rows. It works in batches, so that other
// callers hardly wait: each batch is a transaction of its own that holds the
// writer for about 20 ms at most. If Sweep fails, the rows deleted so far stay
// deleted.
//
//   - [ErrInvalid]: ix is nil or does not begin with a time
//   - [ErrReference]: other rows refer to a row that is to be deleted
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
		took := time.Since(began) // with the commit, and the wait for other callers
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
