package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// bodies are transactions that add a row with a name, in different orders of their statements.
var bodies = map[string]func(ctx context.Context, tx store.Tx, name string) error{
	"a write alone": func(ctx context.Context, tx store.Tx, name string) error {
		return record.Failures.Insert(ctx, tx, count(name, 1))
	},
	"a write after a read": func(ctx context.Context, tx store.Tx, name string) error {
		if _, err := tx.Get(ctx, byNumber, store.Text("+1")); err != nil {
			return err
		}
		return record.Failures.Insert(ctx, tx, count(name, 1))
	},
	"a read after a write": func(ctx context.Context, tx store.Tx, name string) error {
		if err := record.Failures.Insert(ctx, tx, count(name, 1)); err != nil {
			return err
		}
		_, err := tx.Get(ctx, byNumber, store.Text("+1"))
		return err
	},
}

// A connection that is cut before any message of the client or the server costs nothing but another run, until the
// commit is sent. From then on the outcome is unknown. No call is told another thing.
func TestAConnectionThatIsCutAnywhereTellsNothingWrong(t *testing.T) {
	p, err := pgtest.NewProxy(pgtest.Shared(t).Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	s := open(t, p.Address(), Options{Namespace: pgtest.Namespace(), MaxConns: 1})
	addPeople(t, s, "+1")
	for name, body := range bodies {
		for side, cut := range map[string]func(n int){
			"client": func(n int) { p.CutAt(n, 0) }, "server": func(n int) { p.CutAt(0, n) },
		} {
			unknown, again, committed := 0, 0, 0
			for n := 1; ; n++ {
				subject := fmt.Sprint(name, side, n)
				if err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error { return body(ctx, tx, subject+" warm") }); err != nil {
					t.Fatal(err)
				}
				runs, cuts := 0, p.Cuts()
				cut(n)
				err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
					runs++
					return body(ctx, tx, subject)
				})
				cut(0)
				there := counted(t, s, subject)
				switch {
				case err == nil && there == 1 && runs <= 2:
					again += runs - 1
				case errors.Is(err, store.ErrUnknownOutcome) && runs == 1:
					unknown++
					committed += int(there)
				default:
					t.Errorf("%s, cut before message %d of the %s: %v after %d runs, %d rows", name, n, side, err, runs, there)
				}
				if p.Cuts() == cuts {
					break
				}
			}
			t.Logf("%s, cut by the %s: %d run again, %d unknown, of which %d have happened", name, side, again, unknown, committed)
			if again == 0 || unknown == 0 {
				t.Errorf("%s, cut by the %s: %d run again, %d unknown", name, side, again, unknown)
			}
		}
	}
}

// cutAtCommit runs a transaction whose commit is cut.
func cutAtCommit(t *testing.T, o Options, pooled bool) {
	server := pgtest.Shared(t)
	p, err := pgtest.NewProxy(server.Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	address := p.Address()
	if pooled {
		address = pgtest.PoolerAt(t, p.Host())
	}
	o.Namespace, o.MaxConns = pgtest.Namespace(), 1
	s := open(t, address, o)
	addPeople(t, s, "+1")
	for name, body := range bodies {
		for round := range 3 { // from the second on, the statements are prepared
			for _, after := range []bool{false, true} {
				subject := fmt.Sprint(name, round, after)
				if err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error { return body(ctx, tx, subject+" warm") }); err != nil {
					t.Fatal(err)
				}
				runs, cuts := 0, p.Cuts()
				arm, want := p.CutBefore, int64(0)
				if after {
					arm, want = p.CutAfter, 1
				}
				arm()
				err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
					runs++
					return body(ctx, tx, subject)
				})
				if !errors.Is(err, store.ErrUnknownOutcome) || runs != 1 || p.Cuts() != cuts+1 {
					t.Errorf("%s: %v after %d runs and %d cuts", subject, err, runs, p.Cuts()-cuts)
				}
				if n := counted(t, s, subject); n != want {
					t.Errorf("%s: %d rows", subject, n)
				}
			}
		}
	}
}

func TestACommitThatIsCutIsUnknown(t *testing.T) { cutAtCommit(t, Options{}, false) }

func TestACommitThatIsCutBehindAPoolerIsUnknown(t *testing.T) {
	cutAtCommit(t, Options{TransactionPooler: true}, true)
}

// A write that waits for a transaction of the host's when its caller goes ends soon, and is not done later. It has been
// sent together with the commit.
func TestAWriteThatWaitsWithItsCommitIsCancelled(t *testing.T) {
	server := pgtest.Shared(t)
	for name, o := range map[string]Options{"direct": {}, "pooler": {TransactionPooler: true}} {
		address := server.Address()
		if o.TransactionPooler {
			address = pgtest.Pooler(t, server)
		}
		o.Namespace, o.MaxConns = pgtest.Namespace(), 1
		s := open(t, address, o)
		addPeople(t, s, "+1")
		conn, err := pgx.Connect(limited(t), server.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(limited(t))
		if _, err := conn.Exec(limited(t), "BEGIN; SELECT FROM "+o.Namespace+".users FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(limited(t))
		answer := make(chan error)
		go func() {
			answer <- s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
				if _, err := tx.Get(ctx, byNumber, store.Text("+1")); err != nil {
					return err
				}
				return record.Users.Replace(ctx, tx, person("+1", "+2"))
			})
		}()
		for waiting := 0; waiting == 0; {
			if err := conn.QueryRow(limited(t), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := conn.Exec(limited(t), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		if err := add(limited(t), s, "next"); err != nil {
			t.Errorf("%s: the next call: %v", name, err)
		}
		if all := numbers(t, s); all["+1"] != "+1" {
			t.Errorf("%s: %v", name, all)
		}
	}
}

// A commit that is cancelled while it waits for the standby is done on the primary, and is no success: the standby may take
// the primary's place without it.
func TestACommitThatWaitsForAStandbyIsUnknownWhenItsCallerGoes(t *testing.T) {
	pgtest.Shared(t) // skips the test without a server
	primary, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer primary.Stop()
	standby, err := primary.Standby()
	if err != nil {
		t.Fatal(err)
	}
	defer standby.Stop()
	s := open(t, primary.Address(), Options{Namespace: pgtest.Namespace()})
	addPeople(t, s, "+1")
	standby.Pause()
	defer standby.Resume()
	ctx, cancel := context.WithCancel(limited(t))
	answer := make(chan error)
	runs := 0
	go func() {
		answer <- s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			runs++
			return bodies["a write after a read"](ctx, tx, "a")
		})
	}()
	if err := primary.Await("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-answer; !errors.Is(err, store.ErrUnknownOutcome) || runs != 1 {
		t.Errorf("%v after %d runs", err, runs)
	}
}

// Counters that many callers increase, over connections that are cut anywhere, have every increase that was acknowledged,
// and none of those that failed.
func TestCountersOverConnectionsThatAreCut(t *testing.T) {
	p, err := pgtest.NewProxy(pgtest.Shared(t).Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	s := open(t, p.Address(), Options{Namespace: pgtest.Namespace(), MaxConns: 6})
	addPeople(t, s, "+1")
	names := []string{"a", "b"}
	for _, name := range names {
		if err := add(limited(t), s, name); err != nil {
			t.Fatal(err)
		}
	}
	var sure, unsure [2]atomic.Int64
	var failed atomic.Int64
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			for n := range 40 {
				switch r := 1 + rand.IntN(30); n % 4 {
				case 0:
					p.CutAt(r, 0)
				case 1:
					p.CutAt(0, r)
				case 2:
					p.CutAfter()
				}
				which := rand.IntN(len(names))
				err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
					row, err := record.Failures.Get(ctx, tx, record.Failures.Primary(), store.Text("test"), store.BytesOf(names[which]))
					if err != nil {
						return err
					}
					if err := record.Failures.Replace(ctx, tx, count(names[which], row.Count+1)); err != nil {
						return err
					}
					if n%2 == 0 { // sends the write before the commit
						_, err = tx.Get(ctx, byNumber, store.Text("+1"))
					}
					return err
				})
				switch {
				case err == nil:
					sure[which].Add(1)
				case errors.Is(err, store.ErrUnknownOutcome):
					unsure[which].Add(1)
				default: // a new connection was cut
					failed.Add(1)
				}
			}
		})
	}
	group.Wait()
	p.CutAt(0, 0)
	for i, name := range names {
		got, least := counted(t, s, name)-1, sure[i].Load()
		if got < least || got > least+unsure[i].Load() {
			t.Errorf("%s is %d, with %d sure and %d unknown increases", name, got, least, unsure[i].Load())
		}
	}
	t.Logf("%d connections were cut, and %d calls have failed", p.Cuts(), failed.Load())
	if sure[0].Load()+sure[1].Load() < 100 {
		t.Error("too few calls have succeeded to tell anything")
	}
}
