package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Ping makes one read of the store and returns its failure, for the health check of a host. It
// does not tell whether the store can be written.
func (e *Engine) Ping(ctx context.Context) (err error) {
	defer e.operation(&ctx, "ping").end(&err)
	if err := e.open(); err != nil {
		return err
	}
	_, err = e.store.Count(ctx, store.Query{Index: record.Settings.Primary(), Limit: 1})
	return err
}
