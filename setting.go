package latchkey

import (
	"context"
	"encoding/hex"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// epochSetting is the setting that [Engine.EndAll] changes. JWTs without a session carry it.
const epochSetting = "epoch"

// storeEpoch returns the epoch of the store, "" before the first.
func storeEpoch(ctx context.Context, r store.Reader) (string, error) {
	row, err := record.Settings.Find(ctx, r, record.Settings.Primary(), store.Text(epochSetting))
	if row == nil || err != nil {
		return "", err
	}
	return hex.EncodeToString(row.Value), nil
}

// setEpoch gives the store another epoch.
func (tx *txn) setEpoch(ctx context.Context, epoch []byte) error {
	row := &record.Setting{Name: epochSetting, Value: epoch}
	return put(ctx, tx, record.Settings, row, store.Text(row.Name))
}
