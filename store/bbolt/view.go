package bbolt

import (
	"context"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/kv"
)

func (d *driver) View(_ context.Context, body func(store.Reader) error) error {
	tx, err := d.db.Begin(false)
	if err != nil {
		return fmt.Errorf("bbolt: begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // fails only if the transaction is over
	s := &space{driver: d, tx: tx, buckets: make([]*bolt.Bucket, len(d.names))}
	return body(snapshot{kv.Reader{Source: s}})
}

// snapshot is the reader of one read transaction. A panic in a read, which a
// damaged page causes, becomes an error. A panic in the closure between the reads
// does not.
type snapshot struct{ kv.Reader }

func (s snapshot) Get(ctx context.Context, ix *store.Index, key ...store.Value) (row store.Row, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer backend.Caught(&err)
	return s.Reader.Get(ctx, ix, key...)
}

func (s snapshot) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer backend.Caught(&err)
	return s.Reader.GetBoth(ctx, p, key...)
}

func (s snapshot) List(ctx context.Context, q store.Query) (rows []store.Row, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer backend.Caught(&err)
	return s.Reader.List(ctx, q)
}

func (s snapshot) Count(ctx context.Context, q store.Query) (n int, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer backend.Caught(&err)
	return s.Reader.Count(ctx, q)
}
