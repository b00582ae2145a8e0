package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// person returns a user with an id and a number. Both are keys.
func person(id, phone string) *record.User {
	u := &record.User{ID: id, Key: id, Phone: phone, Labels: "[]", Prefs: "{}", Targets: "[]"}
	u.Created = count("", 0).Last
	u.Updated, u.Registered, u.Accessed = u.Created, u.Created, u.Created
	return u
}

var byNumber = record.Users.Index("phone")

// addPeople inserts users, each of whom has the number that is their id.
func addPeople(t *testing.T, s store.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			return record.Users.Insert(ctx, tx, person(id, id))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// numbers returns the number of every user, by id.
func numbers(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	rows, err := record.Users.List(limited(t), s, store.Query{Index: record.Users.Primary(), Limit: store.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, row := range rows {
		all[row.ID] = row.Phone
	}
	return all
}

// hostPool opens a pool as a host would.
func hostPool(t *testing.T, address string, change func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(config)
	}
	pool, err := pgxpool.NewWithConfig(limited(t), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// overPool opens a store on a pool of the host.
func overPool(t *testing.T, pool *pgxpool.Pool, o Options) store.Store {
	t.Helper()
	s, err := OpenPool(limited(t), pool, o)
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

// execute runs statements of the host's.
func execute(t *testing.T, address string, texts ...string) {
	t.Helper()
	conn, err := pgx.Connect(limited(t), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(limited(t))
	for _, text := range texts {
		if _, err := conn.Exec(limited(t), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

var errMine = errors.New("an error of the closure")

// The waysToWrite give a user a number: by a new row, by one of several new rows, and by a change of a row.
var waysToWrite = map[string]func(ctx context.Context, tx store.Tx, id, phone string) error{
	"insert": func(ctx context.Context, tx store.Tx, id, phone string) error {
		return record.Users.Insert(ctx, tx, person(id, phone))
	},
	"insert all": func(ctx context.Context, tx store.Tx, id, phone string) error {
		return tx.InsertAll(ctx, record.Users.Table, []store.Row{record.Users.Row(person(id+"-", "")), record.Users.Row(person(id, phone))})
	},
	"replace": func(ctx context.Context, tx store.Tx, id, phone string) error {
		if err := record.Users.Insert(ctx, tx, person(id, "")); err != nil {
			return err
		}
		return record.Users.Replace(ctx, tx, person(id, phone))
	},
}

// Another transaction takes the number that the closure has found free, in several runs in a row. The
// closure that looks first sees it taken in the next run, and never gets an error for it.
func TestAKeyThatIsTakenAgainAndAgainIsSeenTaken(t *testing.T) {
	for name, write := range waysToWrite {
		for _, thief := range []string{"looks first", "does not look"} {
			t.Run(name+", the other "+thief, func(t *testing.T) {
				var states []string
				s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace(), OnRetry: func(state string) { states = append(states, state) }})
				runs, thefts := 0, 5
				var got string
				err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
					runs++
					for n := 1; ; n++ {
						got = fmt.Sprint("+", n)
						_, err := tx.Get(ctx, byNumber, store.Text(got))
						if errors.Is(err, store.ErrNotFound) {
							break
						}
						if err != nil {
							return err
						}
					}
					if runs <= thefts {
						err := s.Update(context.WithoutCancel(t.Context()), func(ctx context.Context, tx store.Tx) error {
							if thief == "looks first" {
								if _, err := tx.Get(ctx, byNumber, store.Text(got)); !errors.Is(err, store.ErrNotFound) {
									return fmt.Errorf("the other looked: %w", err)
								}
							}
							return record.Users.Insert(ctx, tx, person(fmt.Sprint("thief", runs), got))
						})
						if err != nil {
							t.Fatal(err)
						}
					}
					return write(ctx, tx, "me", got)
				})
				if err != nil || got != "+6" || runs != thefts+1 {
					t.Errorf("%v: %s after %d runs (%v)", err, got, runs, states)
				}
				if n := numbers(t, s)["me"]; n != "+6" {
					t.Errorf("the number is %q", n)
				}
			})
		}
	}
}

// A key that is taken before the transaction begins is an error of its own call.
func TestATakenKeyIsToldToTheCallThatWritesIt(t *testing.T) {
	s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace()})
	addPeople(t, s, "+1", "+2")
	before := numbers(t, s)
	for name, write := range waysToWrite {
		var told error
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			told = write(ctx, tx, "me", "+1")
			return told
		})
		if !store.IsTaken(err, byNumber) || !store.IsTaken(told, byNumber) {
			t.Errorf("%s: %v, and the closure got %v", name, err, told)
		}
		err = s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			_ = write(ctx, tx, "me", "+1") // hides it
			return nil
		})
		if !store.IsTaken(err, byNumber) {
			t.Errorf("%s, hidden: %v", name, err)
		}
		err = s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			if err := write(ctx, tx, "me", "+1"); err != nil {
				return errMine
			}
			_, err := tx.Get(ctx, byNumber, store.Text("+2")) // sends what waits
			return err
		})
		if err != errMine {
			t.Errorf("%s, changed: %v", name, err)
		}
		err = s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			told = write(ctx, tx, "me", "+1")
			return errMine
		})
		if err != errMine || !store.IsTaken(told, byNumber) {
			t.Errorf("%s, with another error: %v, and the closure got %v", name, err, told)
		}
	}
	if after := numbers(t, s); len(after) != len(before) {
		t.Errorf("%v", after)
	}
}

// A session refers to its user.
func TestAMissingRowIsToldToTheCallThatRefersToIt(t *testing.T) {
	s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace()})
	addPeople(t, s, "+1")
	now := count("", 0).Last
	session := &record.Session{ID: "s", UserID: "nobody", Created: now, Updated: now, Expire: now, Client: "{}"}
	then := map[string]func(ctx context.Context, tx store.Tx) error{
		"commit": func(context.Context, store.Tx) error { return nil },
		"read": func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Get(ctx, byNumber, store.Text("+1"))
			return err
		},
		"delete":        func(ctx context.Context, tx store.Tx) error { return record.Users.Delete(ctx, tx, store.Text("+1")) },
		"its own error": func(context.Context, store.Tx) error { return errMine },
	}
	for name, next := range then {
		var told error
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			if told = record.Sessions.Insert(ctx, tx, session); told != nil {
				return told
			}
			return next(ctx, tx)
		})
		if !errors.Is(err, store.ErrReference) || !errors.Is(told, store.ErrReference) {
			t.Errorf("%s: %v, and the closure got %v", name, err, told)
		}
	}
	if all := numbers(t, s); len(all) != 1 {
		t.Errorf("%v", all)
	}
}

// A foreign key of the host's that is checked at the commit refuses the commit itself.
func TestACommitThatIsRefusedIsRefusedOnce(t *testing.T) {
	address, namespace := pgtest.Shared(t).Address(), pgtest.Namespace()
	runs := 0
	s := open(t, address, Options{Namespace: namespace})
	addPeople(t, s, "+1", "+2")
	execute(t, address, fmt.Sprintf("CREATE TABLE %[1]s.profiles (id text COLLATE \"C\" REFERENCES %[1]s.users DEFERRABLE INITIALLY DEFERRED); INSERT INTO %[1]s.profiles VALUES ('+1')", namespace))
	for _, also := range []bool{false, true} {
		runs = 0
		ctx, cancel := context.WithCancel(limited(t))
		err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			if runs++; runs == 10 {
				cancel()
			}
			if err := record.Users.Delete(ctx, tx, store.Text("+1")); err != nil {
				return err
			}
			if also {
				return record.Failures.Insert(ctx, tx, count("beside", 1))
			}
			return nil
		})
		cancel()
		if !errors.Is(err, store.ErrReference) || runs > 2 {
			t.Errorf("%v after %d runs", err, runs)
		}
	}
	if all := numbers(t, s); len(all) != 2 || counted(t, s, "beside") != 0 {
		t.Errorf("%v", all)
	}
}

// A key that the host has added is an ErrExists without an index, and no reason to run for ever.
func TestAKeyOfTheHostsIsTakenToo(t *testing.T) {
	address, namespace := pgtest.Shared(t).Address(), pgtest.Namespace()
	s := open(t, address, Options{Namespace: namespace})
	addPeople(t, s, "+1", "+2")
	execute(t, address, fmt.Sprintf("CREATE UNIQUE INDEX mine ON %s.users (name) WHERE name <> ''", namespace))
	named := func(id string) *record.User {
		u := person(id, id)
		u.Name = "Ada"
		return u
	}
	replace := func(id string) func(context.Context, store.Tx) error {
		return func(ctx context.Context, tx store.Tx) error { return record.Users.Replace(ctx, tx, named(id)) }
	}
	if err := s.Update(limited(t), replace("+1")); err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(context.Context, store.Tx) error{
		"replace": replace("+2"),
		"insert":  func(ctx context.Context, tx store.Tx) error { return record.Users.Insert(ctx, tx, named("+3")) },
	} {
		runs := 0
		ctx, cancel := context.WithCancel(limited(t))
		err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			if runs++; runs == 10 {
				cancel()
			}
			return write(ctx, tx)
		})
		cancel()
		if !errors.Is(err, store.ErrExists) || runs > 2 {
			t.Errorf("%s: %v after %d runs", name, err, runs)
		}
	}
}

// Every mode in which a host's pool may run statements gives the same answers.
func TestBatchesInEveryModeOfThePool(t *testing.T) {
	address, namespace := pgtest.Shared(t).Address(), pgtest.Namespace()
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	for _, mode := range modes {
		for _, capacity := range []int{0, 1, 512} {
			for _, pooler := range []bool{false, true} {
				name := fmt.Sprintf("%v, %d statements, TransactionPooler %v", mode, capacity, pooler)
				pool := hostPool(t, address, func(c *pgxpool.Config) {
					c.MaxConns = 1
					c.ConnConfig.DefaultQueryExecMode = mode
					c.ConnConfig.StatementCacheCapacity, c.ConnConfig.DescriptionCacheCapacity = capacity, capacity
				})
				s := overPool(t, pool, Options{Namespace: namespace, TransactionPooler: pooler})
				for round := range 2 { // in the second one, the statements are known
					if err := everyCall(limited(t), s, fmt.Sprintf("+%d.%d.%v.%d", mode, capacity, pooler, round)); err != nil {
						t.Errorf("%s, round %d: %v", name, round, err)
					}
				}
			}
		}
	}
}

// A host may tell pgx on its connections to read a type as text.
func TestBatchesOnConnectionsThatReadText(t *testing.T) {
	address, namespace := pgtest.Shared(t).Address(), pgtest.Namespace()
	for _, kind := range []*pgtype.Type{
		{Name: "int8", OID: pgtype.Int8OID, Codec: &pgtype.TextFormatOnlyCodec{Codec: pgtype.Int8Codec{}}},
		{Name: "bool", OID: pgtype.BoolOID, Codec: &pgtype.TextFormatOnlyCodec{Codec: pgtype.BoolCodec{}}},
		{Name: "bytea", OID: pgtype.ByteaOID, Codec: &pgtype.TextFormatOnlyCodec{Codec: pgtype.ByteaCodec{}}},
		{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TextFormatOnlyCodec{Codec: &pgtype.TimestamptzCodec{}}},
		{Name: "text", OID: pgtype.TextOID, Codec: &pgtype.TextFormatOnlyCodec{Codec: pgtype.TextCodec{}}},
	} {
		pool := hostPool(t, address, func(c *pgxpool.Config) {
			c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
				conn.TypeMap().RegisterType(kind)
				return nil
			}
		})
		s := overPool(t, pool, Options{Namespace: namespace})
		if err := everyCall(limited(t), s, "+"+kind.Name); err != nil {
			t.Errorf("%s: %v", kind.Name, err)
		}
	}
}

// everyCall uses every method of a transaction, and compares its results.
func everyCall(ctx context.Context, s store.Store, name string) error {
	err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		if err := waysToWrite["insert all"](ctx, tx, name, name); err != nil {
			return err
		}
		u, err := record.Users.Get(ctx, tx, byNumber, store.Text(name))
		if err != nil {
			return err
		}
		u.Prefs, u.Blocked = `{"a": [1, "ü"]}`, true
		if err := record.Users.Replace(ctx, tx, u); err != nil {
			return err
		}
		if err := record.Failures.Insert(ctx, tx, count(name, 1)); err != nil {
			return err
		}
		rows, err := record.Users.List(ctx, tx, store.Query{Index: record.Users.Primary(), Equal: []store.Value{store.Text(name)}, Limit: 3})
		if err != nil {
			return err
		}
		if len(rows) != 1 || rows[0].Prefs != `{"a": [1, "ü"]}` && rows[0].Prefs != `{"a":[1,"ü"]}` || !rows[0].Blocked {
			return fmt.Errorf("listed %+v", rows)
		}
		if err := record.Failures.Replace(ctx, tx, count(name, 2)); err != nil {
			return err
		}
		if n, err := tx.Count(ctx, store.Query{Index: record.Failures.Primary()}); err != nil || n != 1 {
			return fmt.Errorf("%d counted: %w", n, err)
		}
		if err := record.Users.Delete(ctx, tx, store.Text(name+"-")); err != nil {
			return err
		}
		if err := record.Users.Delete(ctx, tx, store.Text(name+"-")); !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("deleted twice: %w", err)
		}
		n, err := tx.DeleteRange(ctx, store.Query{Index: record.Failures.Primary(), Limit: 5})
		if err != nil || n != 1 {
			return fmt.Errorf("%d deleted: %w", n, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return waysToWrite["replace"](ctx, tx, "other"+name, name)
	})
	if !store.IsTaken(err, byNumber) {
		return fmt.Errorf("a taken key: %w", err)
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return record.Users.Replace(ctx, tx, person("nobody", ""))
	})
	if !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("a missing row: %w", err)
	}
	return nil
}

// A context that ends at any call of a transaction leaves no part of it, and no part of it waits on its connection
// for the next transaction.
func TestAContextThatEndsAtAnyCallLeavesNothing(t *testing.T) {
	s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace(), MaxConns: 1})
	addPeople(t, s, "+1")
	steps := []func(ctx context.Context, tx store.Tx) error{
		func(ctx context.Context, tx store.Tx) error { return record.Failures.Insert(ctx, tx, count("a", 1)) },
		func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Get(ctx, byNumber, store.Text("+1"))
			return err
		},
		func(ctx context.Context, tx store.Tx) error { return record.Failures.Replace(ctx, tx, count("a", 2)) },
		func(ctx context.Context, tx store.Tx) error {
			return tx.InsertAll(ctx, record.Failures.Table, []store.Row{record.Failures.Row(count("b", 1)), record.Failures.Row(count("c", 1))})
		},
		func(ctx context.Context, tx store.Tx) error { return record.Failures.Insert(ctx, tx, count("d", 1)) },
		func(ctx context.Context, tx store.Tx) error { return record.Users.Delete(ctx, tx, store.Text("+1")) },
		func(ctx context.Context, tx store.Tx) error { return record.Failures.Insert(ctx, tx, count("e", 1)) },
	}
	for end := range len(steps) + 1 {
		for _, how := range []string{"cancel", "own error", "panic"} {
			ctx, cancel := context.WithCancel(limited(t))
			want := map[string]error{"cancel": context.Canceled, "own error": errMine}[how]
			err := func() (err error) {
				defer func() {
					if r := recover(); r != nil {
						err, want = nil, nil
					}
				}()
				return s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
					for n, step := range steps {
						if n == end {
							break
						}
						if err := step(ctx, tx); err != nil {
							return err
						}
					}
					switch how {
					case "cancel":
						cancel()
						return nil
					case "own error":
						return errMine
					}
					panic("at the end")
				})
			}()
			cancel()
			if !errors.Is(err, want) {
				t.Errorf("%s after %d calls: %v", how, end, err)
			}
			if err := add(limited(t), s, "next"); err != nil {
				t.Errorf("the next transaction after %s at %d: %v", how, end, err)
			}
			if n := deleted(t, s); n != 1 {
				t.Errorf("%s after %d calls left %d rows", how, end, n-1)
			}
		}
	}
	if all := numbers(t, s); len(all) != 1 {
		t.Errorf("%v", all)
	}
}

// deleted empties the table of failures, and returns the number of its rows.
func deleted(t *testing.T, s store.Store) (n int) {
	t.Helper()
	err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) (err error) {
		n, err = tx.DeleteRange(ctx, store.Query{Index: record.Failures.Primary(), Limit: 100})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An upgrade between the calls of a closure that has sent nothing yet is noticed, whatever the closure returns.
func TestAnUpgradeBetweenTheCallsOfAClosureIsNoticed(t *testing.T) {
	address := pgtest.Shared(t).Address()
	for name, end := range map[string]func(ctx context.Context, tx store.Tx) error{
		"commit": func(context.Context, store.Tx) error { return nil },
		"read": func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Get(ctx, byNumber, store.Text("+1"))
			return err
		},
		"delete":        func(ctx context.Context, tx store.Tx) error { return record.Users.Delete(ctx, tx, store.Text("+1")) },
		"copy":          func(ctx context.Context, tx store.Tx) error { return waysToWrite["insert all"](ctx, tx, "x", "+x") },
		"its own error": func(context.Context, store.Tx) error { return errMine },
	} {
		namespace := pgtest.Namespace()
		s := open(t, address, Options{Namespace: namespace})
		runs := 0
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			if err := record.Failures.Insert(ctx, tx, count("a", 1)); err != nil {
				return err
			}
			if runs++; runs == 1 {
				execute(t, address, upgrading(namespace))
			}
			return end(ctx, tx)
		})
		if !errors.Is(err, store.ErrNewer) || runs != 1 {
			t.Errorf("%s: %v after %d runs", name, err, runs)
		}
		if n := counted(t, s, "a"); n != 0 {
			t.Errorf("%s: the older process wrote", name)
		}
	}
}

// More statements than a connection keeps may be in one transaction.
func TestATransactionOfMoreStatementsThanAConnectionKeeps(t *testing.T) {
	var states []string
	pool := hostPool(t, pgtest.Shared(t).Address(), func(c *pgxpool.Config) { c.MaxConns, c.ConnConfig.StatementCacheCapacity = 1, 4 })
	s := overPool(t, pool, Options{Namespace: pgtest.Namespace(), OnRetry: func(state string) { states = append(states, state) }})
	for round := range 3 {
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			for again := range 2 {
				for n := range 8 {
					if err := record.Failures.Insert(ctx, tx, count(fmt.Sprint(round, again, n), 1)); err != nil {
						return err
					}
					q := store.Query{Index: record.Users.Primary(), Limit: 1, Where: slices.Repeat([]store.Filter{store.Where("name", store.OpEqual, store.Text("x"))}, n+1)}
					if _, err := tx.List(ctx, q); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	if len(states) != 0 {
		t.Errorf("runs were repeated: %v", states)
	}
}

// A missing parent is told to the call that refers to it, and not to a later call that deletes a row of another table.
func TestAMissingRowIsNotToldToALaterDelete(t *testing.T) {
	s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace()})
	addPeople(t, s, "+1")
	now := count("", 0).Last
	session := &record.Session{ID: "s", UserID: "nobody", Created: now, Updated: now, Expire: now, Client: "{}"}
	for name, remove := range map[string]func(ctx context.Context, tx store.Tx) error{
		"delete": func(ctx context.Context, tx store.Tx) error { return record.Teams.Delete(ctx, tx, store.Text("none")) },
		"delete range": func(ctx context.Context, tx store.Tx) error {
			_, err := tx.DeleteRange(ctx, store.Query{Index: record.Teams.Primary(), Limit: 1})
			return err
		},
	} {
		var inserted, deleted error // of the last run
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			inserted, deleted = record.Sessions.Insert(ctx, tx, session), nil
			if inserted == nil {
				deleted = remove(ctx, tx)
			}
			return errors.Join(inserted, deleted)
		})
		if !errors.Is(inserted, store.ErrReference) || deleted != nil {
			t.Errorf("%s: the insert got %v, the other call %v, Update %v", name, inserted, deleted, err)
		}
	}
}
