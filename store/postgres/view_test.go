package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// terminator opens a store, and returns a function that ends all connections of the
// store on the server's side and waits until they are gone.
func terminator(t *testing.T, o Options) (store.Store, func()) {
	t.Helper()
	ctx, address := limited(t), pgtest.Shared(t).Address()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })
	o.Namespace = pgtest.Namespace()
	s := open(t, address+"&application_name="+o.Namespace, o)
	return s, func() {
		if _, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", o.Namespace); err != nil {
			t.Fatal(err)
		}
		for n := 1; n > 0; {
			if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", o.Namespace).Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var failures = store.Query{Index: record.Failures.Primary(), Limit: 10}

func TestViewWithALostConnectionFailsAndIsNotRepeated(t *testing.T) {
	s, terminate := terminator(t, Options{})
	if err := add(limited(t), s, "row"); err != nil {
		t.Fatal(err)
	}
	for range 2 * defaultConns { // no connection is lost for good
		runs := 0
		err := s.View(limited(t), func(ctx context.Context, r store.Reader) error {
			if runs++; runs > 1 {
				return errors.New("again")
			}
			if _, err := r.List(ctx, failures); err != nil {
				t.Errorf("before the loss: %v", err)
			}
			terminate()
			_, err := r.List(ctx, failures)
			if err == nil {
				t.Error("a read on a lost connection")
			}
			if _, err := r.List(ctx, failures); !errors.Is(err, store.ErrAborted) {
				t.Errorf("a read after the loss: %v", err)
			}
			return err
		})
		if err == nil || runs != 1 {
			t.Fatalf("a View with a lost connection: %v after %d runs", err, runs)
		}
	}
	if n := counted(t, s, "row"); n != 1 {
		t.Errorf("counted %d", n)
	}
}

// A View begins on a living connection, also if all those of the pool have died.
func TestViewPassesOverDeadConnections(t *testing.T) {
	retries := 0
	s, terminate := terminator(t, Options{OnRetry: func(string) { retries++ }})
	if err := s.View(limited(t), func(ctx context.Context, r store.Reader) error {
		return s.View(limited(t), func(context.Context, store.Reader) error { return add(limited(t), s, "row") })
	}); err != nil {
		t.Fatal(err)
	}
	terminate()
	runs := 0
	err := s.View(limited(t), func(ctx context.Context, r store.Reader) error {
		runs++
		n, err := r.Count(ctx, failures)
		if n != 1 {
			t.Errorf("%d rows", n)
		}
		return err
	})
	if err != nil || runs != 1 || retries != 3 {
		t.Errorf("%v after %d runs and %d retries, want 1 and 3", err, runs, retries)
	}
}

// A View takes no part in serialization. It never makes an Update run again.
func TestViewNeverDelaysAnUpdate(t *testing.T) {
	s, _ := terminator(t, Options{OnRetry: func(state string) { t.Errorf("an Update ran again after %s", state) }})
	if err := add(limited(t), s, "row"); err != nil {
		t.Fatal(err)
	}
	if err := s.View(limited(t), func(ctx context.Context, r store.Reader) error {
		for n := int64(2); n < 10; n++ {
			if _, err := r.List(ctx, failures); err != nil {
				return err
			}
			if err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
				rows, err := record.Failures.List(ctx, tx, failures)
				if err != nil || len(rows) != 1 || rows[0].Count != n-1 {
					t.Errorf("%d rows, %v", len(rows), err)
				}
				return record.Failures.Replace(ctx, tx, count("row", n))
			}); err != nil {
				return err
			}
		}
		rows, err := record.Failures.List(ctx, r, failures)
		if err != nil || len(rows) != 1 || rows[0].Count != 1 {
			t.Errorf("%d rows, %v", len(rows), err)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// An upgrade that changes two tables waits for a View that has read one of them: the View goes on to read the other.
func TestAnUpgradeWaitsForAViewOfTwoTables(t *testing.T) {
	ctx, address, namespace := limited(t), pgtest.Shared(t).Address(), pgtest.Namespace()
	pool := hostPool(t, address, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["deadlock_timeout"] = "20ms" }) // not its default of a second
	s := overPool(t, pool, Options{Namespace: namespace})
	upgrade, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer upgrade.Close(ctx)
	first := func(ctx context.Context, r store.Reader, table *store.Table) error {
		_, err := r.List(ctx, store.Query{Index: table.Primary(), Limit: 1})
		return err
	}
	upgraded := make(chan error, 1)
	err = s.View(ctx, func(ctx context.Context, r store.Reader) error {
		if err := first(ctx, r, record.Sessions.Table); err != nil {
			return err
		}
		go func() {
			_, err := upgrade.Exec(limited(t), "BEGIN; "+upgrading(namespace)+"; ALTER TABLE "+namespace+".users ADD COLUMN more text; ALTER TABLE "+namespace+".sessions ADD COLUMN more text; COMMIT")
			upgraded <- err
		}()
		if err := pgtest.Shared(t).Await("SELECT count(*) > 0 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE NOT l.granted AND c.relnamespace = '" + namespace + "'::regnamespace"); err != nil {
			return err
		}
		return first(ctx, r, record.Users.Table)
	})
	if err != nil {
		t.Errorf("the View: %v", err)
	}
	if err := <-upgraded; err != nil {
		t.Errorf("the upgrade: %v", err)
	}
}
