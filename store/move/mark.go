package move

import (
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// marks reports whether the first store can hold a mark.
func (m *Move) marks() bool { return m.schema.Has(record.Settings.Table) }

// mark marks the first store as moved.
func (m *Move) mark(ctx context.Context, at time.Time) error {
	if !m.marks() {
		return ctx.Err()
	}
	row := &record.Setting{Name: record.Moved, Value: []byte(at.UTC().Format(time.RFC3339))}
	return m.from.Update(ctx, func(ctx context.Context, tx store.Tx) error { return record.Settings.Insert(ctx, tx, row) })
}

// Unmark removes from a store the mark that its rows have moved to another one, so that
// latchkey.New takes it again. What was changed since the move is missing from it:
// sessions that have ended are live again, and used tokens may be used again. So call it
// only to give up what the other store has got since, or after a crash in the middle of
// Switch, and never while the other store is in use. A store without a mark stays as it
// is.
func Unmark(ctx context.Context, s store.Store) error {
	return s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		err := record.Settings.Delete(ctx, tx, store.Text(record.Moved))
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
}
