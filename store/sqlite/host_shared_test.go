package sqlite

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/hosttest"
)

func TestRowsOfTheHost(t *testing.T) {
	hosttest.Run(t, func(t *testing.T) *hosttest.Host {
		s, path := bakery(t)
		execute(t, path, layTrap...)
		execute(t, path, "CREATE TABLE counters (n INTEGER)", "INSERT INTO counters VALUES (0)")
		return &hosttest.Host{
			Store:     s,
			HasHandle: func(tx store.Tx) bool { _, ok := TxOf(tx); return ok },
			Bake: func(ctx context.Context, tx store.Tx, name, baker string) error {
				return bake(ctx, hostTxOf(t, tx), name, baker)
			},
			Count: func(ctx context.Context, tx store.Tx) error {
				_, err := hostTxOf(t, tx).ExecContext(ctx, "UPDATE counters SET n = n + 1")
				return err
			},
			Commit:   func(_ context.Context, tx store.Tx) error { return hostTxOf(t, tx).Commit() },
			Rollback: func(_ context.Context, tx store.Tx) error { return hostTxOf(t, tx).Rollback() },
			BakeTaken: func(ctx context.Context, tx store.Tx, name, baker string) {
				_ = bake(ctx, hostTxOf(t, tx), name, baker)
			},
			Break: func(ctx context.Context, tx store.Tx) {
				_, _ = hostTxOf(t, tx).ExecContext(ctx, rollsBack[rand.N(len(rollsBack))])
			},
			Kept: func() string { return kept(t, path) },
			Counted: func() int {
				n, err := strconv.Atoi(lookUp(t, path, "SELECT n FROM counters"))
				if err != nil {
					t.Error(err)
				}
				return n
			},
		}
	})
}
