package move

import (
	"context"
	"fmt"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// marks reports whether the first store can hold a mark.
func (m *Move) marks() bool { return m.schema.Has(record.Settings.Table) }

// mark marks the first store as moved. After an error, the mark is in doubt.
func (m *Move) mark(ctx context.Context, at time.Time) error {
	if !m.marks() {
		return ctx.Err()
	}
	row := &record.Setting{Name: record.Moved, Value: []byte(at.UTC().Format(time.RFC3339))}
	m.doubt.Store(true)
	err := m.from.Update(ctx, func(ctx context.Context, tx store.Tx) error { return record.Settings.Insert(ctx, tx, row) })
	m.doubt.Store(err != nil)
	return err
}

// settle removes a mark that is in doubt. While it fails, the Move acknowledges no Update:
// latchkey.New may refuse the first store at the next start.
func (m *Move) settle(ctx context.Context) error {
	if !m.doubt.Load() {
		return nil
	}
	select {
	case m.settling <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-m.settling }()
	if !m.doubt.Load() {
		return nil
	}
	if err := Unmark(ctx, m.from); err != nil {
		return fmt.Errorf("move: a mark that is in doubt: %w", err)
	}
	m.doubt.Store(false)
	return nil
}

// Unmark removes from a store the mark that its rows have moved to another one, so that
// latchkey.New takes it again. What was changed since the move is missing from it:
// sessions that have ended are live again, and used tokens may be used again. So call it
// only to give up what the other store has got since, or after a crash in the middle of
// Switch, and never while the other store is in use. A store without a mark stays as it
// is.
func Unmark(ctx context.Context, s store.Store) error {
	return s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		mark, err := record.Settings.Find(ctx, tx, record.Settings.Primary(), store.Text(record.Moved))
		if err == nil && mark == nil {
			// The commit of a mark may still run on the server. Inserting its key waits for the
			// end of that commit, and deleting an absent row does not.
			err = record.Settings.Insert(ctx, tx, &record.Setting{Name: record.Moved, Value: []byte{}})
		}
		if err != nil {
			return err
		}
		return record.Settings.Delete(ctx, tx, store.Text(record.Moved))
	})
}
