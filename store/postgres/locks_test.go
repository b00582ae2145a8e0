package postgres

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A transaction that inserts rows with their parents locks no page of an index against the inserts of
// others, as long as it has not begun to commit.
func TestNewRowsLockNoPagesAgainstOtherNewRows(t *testing.T) {
	ctx, address, namespace := limited(t), pgtest.Shared(t).Address(), pgtest.Namespace()
	s := open(t, address, Options{Namespace: namespace})
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	now := time.UnixMicro(1).UTC()
	var locked []string
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		user := &record.User{ID: "ada", Key: "ada", Created: now, Updated: now, Registered: now, Accessed: now, Email: "ada@example.org", Labels: "[]", Prefs: "{}", Targets: "[]"}
		target := &record.Target{ID: "ada", UserID: "ada", Created: now, Updated: now, ProviderType: "email", Identifier: user.Email}
		if err := record.Addresses.Insert(ctx, tx, &record.Address{Address: user.Email, UserID: user.ID}); err != nil {
			return err
		}
		if err := record.Users.Insert(ctx, tx, user); err != nil {
			return err
		}
		if err := record.Targets.Insert(ctx, tx, target); err != nil {
			return err
		}
		if _, err := record.Settings.Find(ctx, tx, record.Settings.Primary(), store.Text("any")); err != nil { // sends what waits
			return err
		}
		rows, err := conn.Query(ctx, `SELECT DISTINCT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
			WHERE l.mode = 'SIReadLock' AND c.relnamespace = $1::regnamespace`, namespace)
		if err != nil {
			return err
		}
		locked, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(locked)
	if want := []string{"schema_version", "settings_pkey"}; !slices.Equal(locked, want) {
		t.Errorf("locked: %v", locked)
	}
}
