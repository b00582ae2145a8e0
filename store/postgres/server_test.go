package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// count is a failure row that a test counts in.
func count(subject string, n int64) *record.Failure {
	now := time.UnixMicro(1).UTC()
	return &record.Failure{Purpose: "test", Subject: []byte(subject), Count: n, Last: now, Expire: now}
}

func add(ctx context.Context, s store.Store, subject string) error {
	return s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return record.Failures.Insert(ctx, tx, count(subject, 1))
	})
}

func counted(t testing.TB, s store.Store, subject string) int64 {
	t.Helper()
	row, err := record.Failures.Get(limited(t), s, record.Failures.Primary(), store.Text("test"), store.BytesOf(subject))
	if errors.Is(err, store.ErrNotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return row.Count
}

func open(t testing.TB, address string, o Options) store.Store {
	t.Helper()
	s, err := OpenWith(limited(t), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestContractBehindATransactionPooler(t *testing.T) {
	storetest.Run(t, placeAt(pgtest.Pooler(t, pgtest.Shared(t)), Options{TransactionPooler: true}))
}

// A transaction that always meets a conflict is tried until its context ends.
func TestConflictsAreRepeatedUntilTheContextEnds(t *testing.T) {
	s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace()})
	if err := add(limited(t), s, "row"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(limited(t))
	runs := 0
	change := func(n int64) func(context.Context, store.Tx) error {
		return func(ctx context.Context, tx store.Tx) error {
			if _, err := record.Failures.Get(ctx, tx, record.Failures.Primary(), store.Text("test"), store.BytesOf("row")); err != nil {
				return err
			}
			return record.Failures.Replace(ctx, tx, count("row", n))
		}
	}
	err := s.Update(ctx, func(inner context.Context, tx store.Tx) error {
		if runs++; runs == 20 {
			cancel()
		}
		if _, err := tx.Count(inner, store.Query{Index: record.Failures.Primary()}); err != nil {
			return err
		}
		if err := s.Update(limited(t), change(int64(100+runs))); err != nil { // another one is faster
			return err
		}
		return change(1)(inner, tx)
	})
	if !errors.Is(err, context.Canceled) || runs != 20 {
		t.Errorf("%v after %d runs", err, runs)
	}
	if n := counted(t, s, "row"); n < 119 {
		t.Errorf("count %d", n)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, o := range []Options{
		{Namespace: "a b"}, {Namespace: `x"; DROP TABLE users; --`}, {Namespace: "Auth"}, {Namespace: strings.Repeat("a", 64)},
		{Prefix: "1a"}, {Prefix: strings.Repeat("a", 60)}, {Prefix: "a-"},
	} {
		if _, err := OpenWith(limited(t), "postgres://127.0.0.1:1/x", o); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for _, address := range []string{"postgres://user:hunter2@[", "postgres://user:hunter2@127.0.0.1:1/x", "password=hunter2 port=x"} {
		if _, err := Open(limited(t), address); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

// TestRoleThatMayOnlyUseItsOwnSchema opens a store of a role that has other
// default settings, in a database whose user must not make a schema.
func TestRoleThatMayOnlyUseItsOwnSchema(t *testing.T) {
	ctx, server := limited(t), pgtest.Shared(t)
	namespace := pgtest.Namespace()
	conn, err := pgx.Connect(ctx, server.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	role := "role_" + namespace
	if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE ROLE %[1]s LOGIN; CREATE SCHEMA %[2]s AUTHORIZATION %[1]s;
		ALTER ROLE %[1]s SET default_transaction_isolation = 'serializable'; ALTER ROLE %[1]s SET timezone = 'Asia/Kolkata';
		ALTER ROLE %[1]s SET datestyle = 'German'; ALTER ROLE %[1]s SET bytea_output = 'escape'; ALTER ROLE %[1]s SET search_path = pg_catalog`,
		role, namespace)); err != nil {
		t.Fatal(err)
	}
	s := open(t, strings.Replace(server.Address(), "latchkey@", role+"@", 1), Options{Namespace: namespace})
	if err := add(ctx, s, "a\x00\xff"); err != nil {
		t.Fatal(err)
	}
	if n := counted(t, s, "a\x00\xff"); n != 1 {
		t.Errorf("count %d", n)
	}
}

func TestHostsPoolIsLeftOpen(t *testing.T) {
	ctx := limited(t)
	pool, err := pgxpool.New(ctx, pgtest.Shared(t).Address())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s, err := OpenPool(ctx, pool, Options{Namespace: pgtest.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := pool.Ping(ctx); err != nil {
		t.Error(err)
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections are held", n)
	}
}

func TestContendedUpdatesNeverFail(t *testing.T) {
	var retries atomic.Int64
	s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace(), OnRetry: func(string) { retries.Add(1) }})
	if err := add(limited(t), s, "all"); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
				row, err := record.Failures.Get(ctx, tx, record.Failures.Primary(), store.Text("test"), store.BytesOf("all"))
				if err != nil {
					return err
				}
				row.Count++
				return record.Failures.Replace(ctx, tx, row)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := counted(t, s, "all"); n != 65 {
		t.Errorf("%d of 65 counted", n)
	}
	t.Logf("%d runs were repeated", retries.Load())
}

func TestErrorsCarryNoValues(t *testing.T) {
	ctx, server := limited(t), pgtest.Shared(t)
	namespace := pgtest.Namespace()
	s := open(t, server.Address(), Options{Namespace: namespace})
	conn, err := pgx.Connect(ctx, server.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, fmt.Sprintf(`ALTER TABLE %[1]s.failures ADD CONSTRAINT small CHECK (count < 10);
		CREATE FUNCTION %[1]s.f() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'row %%', NEW; END $$ LANGUAGE plpgsql;
		CREATE TRIGGER t BEFORE INSERT ON %[1]s.words FOR EACH ROW EXECUTE FUNCTION %[1]s.f()`, namespace)); err != nil {
		t.Fatal(err)
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return record.Failures.Insert(ctx, tx, count("hunter2", 12))
	})
	if !errors.Is(err, store.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a check: %v", err)
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return tx.Insert(ctx, record.Words.Table, store.NewRow([]store.Value{store.Text("users"), store.Text("hunter2"), store.Text("x")}))
	})
	if err == nil || strings.Contains(fmt.Sprintf("%+v %#v", err, err), "hunter2") {
		t.Errorf("a trigger: %+v", err)
	}
	if err := add(ctx, s, "alive"); err != nil {
		t.Errorf("after them: %v", err)
	}
}

// Conflicts are repeated if the server's messages are in another language too.
func TestServerThatDoesNotSpeakEnglish(t *testing.T) {
	p := newProxy(t, pgtest.Shared(t).Host())
	p.german.Store(true)
	s := open(t, fmt.Sprintf("postgres://latchkey@%s/postgres?sslmode=disable", p.Addr()), Options{Namespace: pgtest.Namespace()})
	for _, name := range []string{"a", "b"} {
		if err := add(limited(t), s, name); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 { // each counts both rows and changes one: a write skew
		var group, ready sync.WaitGroup
		ready.Add(2)
		for w := range 2 {
			group.Go(func() {
				var first sync.Once
				err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
					n, err := tx.Count(ctx, store.Query{Index: record.Failures.Primary()})
					if err != nil {
						return err
					}
					err = record.Failures.Replace(ctx, tx, count(string(rune('a'+w)), int64(n)))
					first.Do(func() {
						ready.Done()
						ready.Wait()
					})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
}

// The message of a trigger may hold values, so it is not in the error.
func TestTriggerTellsNothing(t *testing.T) {
	ctx, server, namespace := limited(t), pgtest.Shared(t), pgtest.Namespace()
	s := open(t, server.Address(), Options{Namespace: namespace})
	conn, err := pgx.Connect(ctx, server.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE FUNCTION %[1]s.f() RETURNS trigger AS $$
		BEGIN RAISE insufficient_privilege USING MESSAGE = 'may not write ' || NEW::text; END $$ LANGUAGE plpgsql;
		CREATE TRIGGER t BEFORE INSERT ON %[1]s.words FOR EACH ROW EXECUTE FUNCTION %[1]s.f()`, namespace)); err != nil {
		t.Fatal(err)
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return tx.Insert(ctx, record.Words.Table, store.NewRow([]store.Value{store.Text("users"), store.Text("hunter2"), store.Text("x")}))
	})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

// A closure that looks for a key before it inserts it never gets ErrExists.
func TestLookingFirstFindsWhatIsTaken(t *testing.T) {
	address := pgtest.Shared(t).Address()
	s := open(t, address, Options{Namespace: pgtest.Namespace()})
	user := func(id, phone string) *record.User {
		now := time.UnixMicro(1).UTC()
		return &record.User{ID: id, Key: id, Created: now, Updated: now, Registered: now, Accessed: now, Phone: phone, Labels: "[]", Prefs: "{}", Targets: "[]"}
	}
	for i := range 3 { // many pages, so that the rows are far from one another
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			for j := range 700 {
				if err := record.Users.Insert(ctx, tx, user(fmt.Sprintf("u%032x", rand.Uint64()), fmt.Sprintf("+1%09d", i*1000+j))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for round := range 15 {
		var group sync.WaitGroup
		var wins atomic.Int64
		for range 8 {
			group.Go(func() {
				phone := fmt.Sprintf("+4915%08d", round)
				mine := false
				err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
					mine = false
					if _, err := tx.Get(ctx, record.Users.Index("phone"), store.Text(phone)); !errors.Is(err, store.ErrNotFound) {
						return err
					}
					mine = true
					return record.Users.Insert(ctx, tx, user(fmt.Sprintf("u%032x", rand.Uint64()), phone))
				})
				if err != nil {
					t.Error(err)
				}
				if mine {
					wins.Add(1)
				}
			})
		}
		group.Wait()
		if wins.Load() != 1 {
			t.Errorf("%d winners", wins.Load())
		}
	}
}

func TestSettingsOfPoolsAndPoolers(t *testing.T) {
	address := pgtest.Shared(t).Address()
	for extra, o := range map[string]Options{
		"&statement_cache_capacity=0":                                {},
		"&description_cache_capacity=0":                              {TransactionPooler: true},
		"&client_encoding=LATIN1":                                    {},
		"&default_query_exec_mode=simple_protocol":                   {},
		"&options=-c%20default_transaction_read_only%3Don":           {},
		"&options=-c%20standard_conforming_strings%3Doff":            {},
		"&options=-c%20default_transaction_isolation%3Dserializable": {},
	} {
		o.Namespace = pgtest.Namespace()
		s, err := OpenWith(limited(t), address+extra, o)
		if err != nil {
			t.Errorf("%s: %v", extra, err)
			continue
		}
		if err := add(limited(t), s, "é"); err != nil {
			t.Errorf("%s: %v", extra, err)
		}
		if n := counted(t, s, "é"); n != 1 {
			t.Errorf("%s: %d", extra, n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	config, err := pgxpool.ParseConfig(address + "&client_encoding=LATIN1")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(limited(t), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := OpenPool(limited(t), pool, Options{Namespace: pgtest.Namespace()}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a pool in another encoding: %v", err)
	}
}

func TestStatementsThatAreGoneAreMadeAgain(t *testing.T) {
	config, err := pgxpool.ParseConfig(pgtest.Shared(t).Address() + "&pool_max_conns=1")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(limited(t), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s, err := OpenPool(limited(t), pool, Options{Namespace: pgtest.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		name := fmt.Sprint(n)
		if err := errors.Join(addPair(limited(t), s, name), add(limited(t), s, name+"+")); err != nil {
			t.Errorf("%d: %v", n, err)
		}
		counted(t, s, name)
		if _, err := pool.Exec(limited(t), "DISCARD ALL"); err != nil {
			t.Fatal(err)
		}
	}
}

// A closure that finds no child of a row and deletes the row is never told that a child refers to it: a child that has come
// meanwhile is seen by the next run.
func TestLookingFirstFindsTheChildThatHasCome(t *testing.T) {
	now := count("", 0).Last
	session := &record.Session{ID: "s", UserID: "+1", Created: now, Updated: now, Expire: now, Client: "{}"}
	ofUser := record.Sessions.Table.Reference("user_id").Child
	for name, before := range map[string]func(ctx context.Context, tx store.Tx) error{
		"alone":         func(context.Context, store.Tx) error { return nil },
		"after a write": func(ctx context.Context, tx store.Tx) error { return record.Failures.Insert(ctx, tx, count("a", 1)) },
		"after a write with a parent": func(ctx context.Context, tx store.Tx) error {
			return record.Sessions.Insert(ctx, tx, &record.Session{ID: "other", UserID: "+2", Created: now, Updated: now, Expire: now, Client: "{}"})
		},
	} {
		s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace()})
		addPeople(t, s, "+1", "+2")
		runs, found := 0, 0
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) (err error) {
			if runs++; runs > 5 {
				return errMine
			}
			if found, err = tx.Count(ctx, store.Query{Index: ofUser, Equal: []store.Value{store.Text("+1")}}); err != nil || found > 0 {
				return err
			}
			if runs == 1 {
				err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error { return record.Sessions.Insert(ctx, tx, session) })
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := before(ctx, tx); err != nil {
				return err
			}
			return record.Users.Delete(ctx, tx, store.Text("+1"))
		})
		if err != nil || found != 1 {
			t.Errorf("%s: %v after %d runs, and the last has found %d children", name, err, runs, found)
		}
	}
}

// A closure that finds the parent and inserts a child is never told that the parent is missing, and one that finds none
// and inserts it is never told that it is there.
func TestLookingFirstFindsTheParentThatHasGone(t *testing.T) {
	now := count("", 0).Last
	session := &record.Session{ID: "s", UserID: "+1", Created: now, Updated: now, Expire: now, Client: "{}"}
	for _, careful := range []bool{false, true} {
		s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace()})
		addPeople(t, s, "+1")
		runs, found := 0, false
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			if runs++; runs > 5 {
				return errMine
			}
			_, err := tx.Get(ctx, record.Users.Primary(), store.Text("+1"))
			if found = err == nil; !found {
				return err
			}
			if runs == 1 && careful { // the next run is careful
				if err := record.Users.Insert(ctx, tx, person("+1", "+1")); err != nil {
					return err
				}
				_, err := tx.Get(ctx, record.Users.Primary(), store.Text("+1"))
				return err
			}
			if runs == 1 || careful && runs == 2 {
				err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error { return record.Users.Delete(ctx, tx, store.Text("+1")) })
				if err != nil {
					t.Fatal(err)
				}
			}
			return record.Sessions.Insert(ctx, tx, session)
		})
		if !errors.Is(err, store.ErrNotFound) || found {
			t.Errorf("careful %v: %v after %d runs, found %v", careful, err, runs, found)
		}
	}
}
