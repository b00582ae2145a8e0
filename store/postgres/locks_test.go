package postgres

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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
	if want := []string{"settings_pkey"}; !slices.Equal(locked, want) {
		t.Errorf("locked: %v", locked)
	}
}

// commits notes the statements that were sent in one batch with a commit.
type commits struct{ beside []string }

func (c *commits) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (c *commits) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *commits) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	all := data.Batch.QueuedQueries
	if all[len(all)-1].SQL == "COMMIT" {
		for _, q := range all[:len(all)-1] {
			c.beside = append(c.beside, q.SQL)
		}
	}
	return ctx
}

func (c *commits) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *commits) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// Rows with parents are there before the commit is sent. Rows without go with it.
func TestNewRowsWithParentsGoAheadOfTheCommit(t *testing.T) {
	ctx := limited(t)
	config, err := pgxpool.ParseConfig(pgtest.Shared(t).Address())
	if err != nil {
		t.Fatal(err)
	}
	seen := &commits{}
	config.ConnConfig.Tracer = seen
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s, err := OpenPool(ctx, pool, Options{Namespace: pgtest.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMicro(1).UTC()
	for _, test := range []struct {
		insert func(context.Context, store.Tx) error
		beside int
	}{
		{func(ctx context.Context, tx store.Tx) error { return record.Failures.Insert(ctx, tx, count("row", 1)) }, 1},
		{func(ctx context.Context, tx store.Tx) error {
			return record.Users.Insert(ctx, tx, &record.User{ID: "ada", Key: "ada", Created: now, Updated: now, Registered: now, Accessed: now, Labels: "[]", Prefs: "{}", Targets: "[]"})
		}, 0},
	} {
		seen.beside = nil
		err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			if _, err := record.Settings.Find(ctx, tx, record.Settings.Primary(), store.Text("any")); err != nil {
				return err
			}
			return test.insert(ctx, tx)
		})
		if err != nil || len(seen.beside) != test.beside {
			t.Errorf("beside the commit: %q, %v", seen.beside, err)
		}
	}
}
