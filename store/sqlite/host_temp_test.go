package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A temporary table of the host does not outlast its transaction: it neither hides a table of the
// engine from later callers nor is in the way of the next run.
func TestATemporaryTableOfTheHostEndsWithTheTransaction(t *testing.T) {
	s, path := bakery(t)
	for range 2 {
		err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
			_, err := hostTxOf(t, tx).ExecContext(ctx, "CREATE TEMP TABLE scratch AS SELECT * FROM loaves")
			if errors.Is(err, store.ErrInvalid) { // which is as good
				err = nil
			}
			return err
		})
		if err != nil {
			t.Errorf("the next run: %v", err)
		}
	}
	err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		_, err := hostTxOf(t, tx).ExecContext(ctx, "CREATE TEMP TABLE users AS SELECT * FROM users")
		if errors.Is(err, store.ErrInvalid) {
			err = nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := signUp(t, s, "ada", func(context.Context, *sql.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if user, err := record.Users.Find(t.Context(), s, record.Users.Primary(), store.Text("ada")); err != nil || user == nil {
		t.Errorf("the engine has committed a user, and finds %v, %v", user, err)
	}
	wantKept(t, path, "ada ")
}
