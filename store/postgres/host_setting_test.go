package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A setting that the host makes in a transaction does not last: the connection serves other callers afterwards, and
// behind a pooler other programs.
func TestASettingOfTheHostEndsWithTheTransaction(t *testing.T) {
	for _, text := range []string{
		"SET default_transaction_read_only = on",
		"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
		"SET statement_timeout = 1",
		"SET ROLE pg_monitor",
		"SET synchronous_commit = off",
	} {
		t.Run(text, func(t *testing.T) {
			eachWay(t, func(b *bakery) {
				refused := b.signUp("ada", func(ctx context.Context, host pgx.Tx) error {
					_, err := host.Exec(ctx, text)
					return err
				})
				kept := "ada"
				if refused != nil { // which is as good
					kept = ""
				}
				for range 20 { // all connections of the pool
					err := b.Update(limited(b), func(ctx context.Context, tx store.Tx) error {
						var commit string
						if err := b.host(tx).QueryRow(ctx, "SHOW synchronous_commit").Scan(&commit); err != nil {
							return err
						}
						if commit != "on" {
							return errors.New("a commit does not wait for the disk any more")
						}
						if kept == "" {
							return nil
						}
						return record.Users.Replace(ctx, tx, person("ada", "ada"))
					})
					if err != nil {
						b.Fatalf("a later transaction: %v", err)
					}
				}
			})
		})
	}
}
