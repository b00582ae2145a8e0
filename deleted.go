package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A deleted user's and a deleted team's id is kept from strangers for as long as the log is
// kept: the host may still have rows and permissions under it, and other services JWTs.

// keepDeleted keeps the id of something that is deleted.
func (tx *txn) keepDeleted(ctx context.Context, id ...string) error {
	row := &record.Failure{Purpose: failDeleted, Subject: tx.deletedID(id), Last: tx.now, Expire: tx.now.Add(tx.policy.LogLength)}
	return put(ctx, tx, record.Failures, row, store.Text(row.Purpose), store.Bytes(row.Subject))
}

// deletedID returns the digest under which an id is kept.
func (tx *txn) deletedID(id []string) []byte {
	return tx.ring.Digest(append([]string{failDeleted}, id...)...)
}

// isDeleted reports whether an id is kept from the caller. The server may give it away.
func (tx *txn) isDeleted(ctx context.Context, id ...string) (bool, error) {
	if tx.by.mode == modeServer {
		return false, nil
	}
	row, err := record.Failures.Find(ctx, tx, record.Failures.Primary(), store.Text(failDeleted), store.Bytes(tx.deletedID(id)))
	return row != nil && row.Expire.After(tx.now), err
}
