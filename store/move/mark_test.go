package move_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/move"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/storetest"
)

// The connection of the mark is cut while the server commits it. When Switch has failed, the host goes on with the first
// store, and the mark does not come after that: the next start would refuse a store that has everything.
func TestAMarkDoesNotComeAfterAFailedSwitch(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, namespace := pgtest.Shared(t), pgtest.Namespace()
	proxy, err := pgtest.NewProxy(server.Host())
	must(t, err)
	t.Cleanup(proxy.Close)
	from, err := postgres.OpenWith(ctx, proxy.Address(), postgres.Options{Namespace: namespace})
	must(t, err)
	m := newMove(t, from, memory.Open(), move.Options{MaxStop: 20 * time.Second})
	t.Cleanup(func() { must(t, m.Close()) })
	copied(t, m)

	host, err := pgx.Connect(ctx, server.Address())
	must(t, err)
	defer host.Close(context.Background())
	for _, text := range []string{ // the commit of the mark waits for the host, as it may for a standby, and no request to cancel it comes through
		fmt.Sprintf("CREATE FUNCTION %s.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN LOOP BEGIN PERFORM pg_advisory_xact_lock(2828); RETURN NULL; "+
			"EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END'", namespace),
		fmt.Sprintf("CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON %[1]s.settings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION %[1]s.slow()", namespace),
		"SELECT pg_advisory_lock(2828)",
	} {
		_, err := host.Exec(ctx, text)
		must(t, err)
	}
	failed := make(chan error, 1)
	go func() { failed <- errorOf(m.Switch(ctx)) }()
	const waits = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 2828 AND NOT granted"
	must(t, server.Await(waits))
	proxy.Lead(server.Host()) // cuts the connections
	freed := make(chan struct{})
	select {
	case err = <-failed:
	case <-time.After(5 * time.Second): // it waits until the outcome is known
		_, unlocked := host.Exec(ctx, "SELECT pg_advisory_unlock(2828)")
		must(t, unlocked)
		close(freed)
		err = <-failed
	}
	if err == nil || m.Switched() {
		t.Fatalf("the switch was to fail: %v", err)
	}
	select {
	case <-freed:
	default:
		_, err := host.Exec(ctx, "SELECT pg_advisory_unlock(2828)")
		must(t, err)
		must(t, server.Await("SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory') AND "+
			"NOT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 2828)"))
	}
	if _, err := m.Get(ctx, record.Settings.Primary(), store.Text(record.Moved)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the first store, with which the host goes on, is marked as moved: %v", err)
	}
}

// inDoubt returns a Move after a failed Switch, and its first store, in which the mark stands. The server of that store went away
// in the commit of the mark, and was away when the mark was to be taken away too. Now it is back.
func inDoubt(t *testing.T) (m *move.Move, from store.Store) {
	from, commits := memory.Open(), 0
	m = newMove(t, &storetest.Hooked{Store: from, Hook: func(c storetest.Call) error {
		switch {
		case c.Name != "Commit":
		case c.Done:
			if commits++; commits == 1 { // of the mark
				return store.ErrUnknownOutcome
			}
		case commits == 1:
			commits++
			return errors.New("away")
		}
		return nil
	}}, memory.Open(), move.Options{})
	copied(t, m)
	want(t, "Switch", errorOf(m.Switch(t.Context())), store.ErrUnknownOutcome)
	return m, from
}

// The host goes on with the first store: a write that it acknowledges is in a store that is not marked as moved.
func TestNoWriteIsAcknowledgedByAMarkedStore(t *testing.T) {
	ctx := t.Context()
	m, from := inDoubt(t)
	err := m.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		return record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "p", Subject: []byte("s"), Last: time.UnixMicro(1).UTC()})
	})
	_, marked := from.Get(ctx, record.Settings.Primary(), store.Text(record.Moved))
	if err == nil && !m.Switched() && marked == nil {
		t.Error("a write is acknowledged by a store that latchkey.New refuses as moved")
	}
}

// A mark that stands after a failed Switch is not in the way of the next step, which would find a difference between the stores.
func TestAStepRemovesAMarkInDoubt(t *testing.T) {
	ctx := t.Context()
	for name, step := range map[string]func(m *move.Move) error{
		"Switch": func(m *move.Move) error { return errorOf(m.Switch(ctx)) },
		"Verify": func(m *move.Move) error { return m.Verify(ctx) },
		"Copy":   func(m *move.Move) error { return errors.Join(m.Abort(ctx), errorOf(m.Copy(ctx))) },
	} {
		m, from := inDoubt(t)
		if err := step(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := from.Get(ctx, record.Settings.Primary(), store.Text(record.Moved)); (err == nil) != m.Switched() {
			t.Errorf("%s: marked: %v, switched: %v", name, err, m.Switched())
		}
	}
}

// lateStore runs the closure of the next Update, and commits when it is told to, after the caller has learned that the outcome
// is unknown. So does a server whose commit waits for a standby when the connection is lost. For that, lateStore rolls the closure
// back and runs it again.
type lateStore struct {
	store.Store
	next   bool
	commit func() error
}

var errLate = errors.New("late")

func (l *lateStore) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	if !l.next {
		return l.Store.Update(ctx, fn)
	}
	l.next = false
	err := l.Store.Update(ctx, func(ctx context.Context, tx store.Tx) error { return errors.Join(fn(ctx, tx), errLate) })
	if !errors.Is(err, errLate) {
		return err
	}
	l.commit = func() error { return l.Store.Update(context.WithoutCancel(ctx), fn) }
	return store.ErrUnknownOutcome
}

// An Update whose outcome was not known before Copy may be committed after it. Another Update sees it, and is acknowledged.
// What it has seen is not gone after the switch.
func TestAnUnknownOutcomeBeforeTheCopyIsMovedOrRefused(t *testing.T) {
	from, to := pair(t)
	late := &lateStore{Store: from}
	m := newMove(t, late, to, move.Options{Schema: bazaar})
	must(t, add(m, "a"))
	late.next = true
	want(t, "Update", m.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		return shops.Replace(ctx, tx, &shop{ID: "a", Place: "b"})
	}), store.ErrUnknownOutcome)
	copied(t, m)
	must(t, late.commit())
	place := func() (got string) {
		must(t, m.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
			s, err := shops.Get(ctx, tx, shops.Primary(), store.Text("a"))
			if err == nil {
				got = s.Place
			}
			return err
		}))
		return got
	}
	before := place()
	if _, err := m.Switch(t.Context()); err == nil && place() != before {
		t.Errorf("an Update saw %q before the switch, and another one %q after it", before, place())
	}
}
