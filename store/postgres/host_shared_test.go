package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/hosttest"
)

func TestRowsOfTheHost(t *testing.T) {
	hosttest.Run(t, func(t *testing.T) *hosttest.Host {
		b := newBakery(t, Options{MaxConns: 8})
		execute(t, b.address, b.in("CREATE TABLE @.counters (n int)"), b.in("INSERT INTO @.counters VALUES (0)"))
		return &hosttest.Host{
			Store:     b.Store,
			HasHandle: func(tx store.Tx) bool { _, ok := TxOf(tx); return ok },
			Bake: func(ctx context.Context, tx store.Tx, name, baker string) error {
				return b.bake(ctx, b.host(tx), name, baker)
			},
			Count: func(ctx context.Context, tx store.Tx) error {
				_, err := b.host(tx).Exec(ctx, b.in("UPDATE @.counters SET n = n + 1"))
				return err
			},
			Commit:   func(ctx context.Context, tx store.Tx) error { return b.host(tx).Commit(ctx) },
			Rollback: func(ctx context.Context, tx store.Tx) error { return b.host(tx).Rollback(ctx) },
			BakeTaken: func(ctx context.Context, tx store.Tx, name, baker string) {
				_ = pgx.BeginFunc(ctx, b.host(tx), func(inner pgx.Tx) error { return b.bake(ctx, inner, name, baker) })
			},
			Break: func(ctx context.Context, tx store.Tx) { _ = b.bake(ctx, b.host(tx), "a", "owner") },
			Kept:  b.kept,
			Counted: func() (n int) {
				b.lookUp(b.in("SELECT n FROM @.counters"), &n)
				return n
			},
		}
	})
}
