package latchkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// ErrKeyUnknown is the answer of [New] if the store holds values of a key that is not among
// Config.Keys. The error names the keys by [Key.ID].
var ErrKeyUnknown = errors.New("latchkey: the store needs a key that is not configured")

// For each key that has been the active one, the store has a setting with a value that the
// key has sealed. [Engine.Reseal] deletes it with the last row of the key.
const keySettings = "key/"

// startTime is how long [New] waits for the store.
const startTime = 30 * time.Second

// keyRows returns the settings of the keys, by id.
func keyRows(ctx context.Context, r store.Reader) (map[string]*record.Setting, error) {
	rows, err := record.Settings.List(ctx, r, store.Query{
		Index: record.Settings.Primary(), Limit: store.MaxLimit,
		From: store.Including(store.Text(keySettings)), To: store.Excluding(store.Text("key0")), // / is followed by 0
	})
	byID := make(map[string]*record.Setting)
	for _, row := range rows {
		byID[strings.TrimPrefix(row.Name, keySettings)] = row
	}
	return byID, err
}

// checkKeys refuses an engine that lacks a key of its store, and records its active key.
func (e *Engine) checkKeys() error {
	c, err := e.maintenance()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := refuseMoved(ctx, c.store); err != nil {
		return err
	}
	have, err := keyRows(ctx, c.store)
	if err != nil {
		return fmt.Errorf("latchkey: the keys of the store: %w", err)
	}
	var missing []string
	for id, row := range have {
		if _, err := c.ring.Open(seal.Check, seal.CheckPlace(row.Name), row.Value); err != nil {
			missing = append(missing, id)
		}
	}
	sealing, err := c.sealingKeys(ctx)
	if err != nil {
		return fmt.Errorf("latchkey: the keys of the store: %w", err)
	}
	for _, id := range sealing {
		if !c.ring.Has(id) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		missing = slices.Compact(missing)
		return fmt.Errorf("%w: %s", ErrKeyUnknown, strings.Join(missing, ", "))
	}
	if have[c.ring.ActiveID()] != nil {
		return nil
	}
	err = c.update(ctx, func(ctx context.Context, tx *txn) error {
		name := keySettings + tx.ring.ActiveID()
		have, err := record.Settings.Find(ctx, tx, record.Settings.Primary(), store.Text(name))
		if have != nil || err != nil {
			return err
		}
		return record.Settings.Insert(ctx, tx, &record.Setting{Name: name, Value: tx.ring.Seal(seal.Check, seal.CheckPlace(name), nil)})
	})
	if err != nil {
		return fmt.Errorf("latchkey: the keys of the store: %w", err)
	}
	return nil
}

// refuseMoved refuses a store whose rows have moved to another one. In it, single-use rows that
// were claimed after the move, and sessions that were ended, are still there.
func refuseMoved(ctx context.Context, r store.Reader) error {
	row, err := record.Settings.Find(ctx, r, record.Settings.Primary(), store.Text(record.Moved))
	if err != nil {
		return fmt.Errorf("latchkey: the settings of the store: %w", err)
	}
	if row != nil {
		return fmt.Errorf("latchkey: %w, at %s", store.ErrMoved, row.Value)
	}
	return nil
}

// sealingKeys returns the ids of the keys that have sealed the passwords of the newest users:
// a store of an older version has no settings of its keys, and a machine may still seal with
// a key that was forgotten.
func (c *call) sealingKeys(ctx context.Context) (ids []string, err error) {
	users, err := record.Users.List(ctx, c.store, store.Query{Index: record.Users.Index("created"), Descending: true, Limit: 2 * batch})
	for _, user := range users {
		if id := c.ring.KeyOf(user.Password); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// forgetKeys deletes the settings of keys that seal nothing any more. left are the keys that
// still do, by id.
func (c *call) forgetKeys(ctx context.Context, left map[string]int) error {
	return c.update(ctx, func(ctx context.Context, tx *txn) error {
		have, err := keyRows(ctx, tx)
		if err != nil {
			return err
		}
		for id, row := range have {
			if id == tx.ring.ActiveID() || left[id] > 0 {
				continue
			}
			if err := record.Settings.Delete(ctx, tx, store.Text(row.Name)); err != nil {
				return err
			}
		}
		return nil
	})
}
