package move_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/move"
)

// outboxEngine is an engine whose events go to one receiver.
func outboxEngine(t *testing.T, s store.Store, key latchkey.Key, now func() time.Time, receive func(context.Context, latchkey.Event) error) *latchkey.Engine {
	t.Helper()
	e, err := latchkey.New(s, latchkey.Config{
		Keys: latchkey.Keys{Active: key}, Hasher: hashertest.New(t), LimiterPerProcess: true,
		Now: now, Logger: slog.New(slog.DiscardHandler),
		Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "crm", Events: []string{"users.*.create", "users.*.update.name"}, Receive: receive}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The events that wait in the outbox move along: those from before the copy, those that came during the
// move, and those from after the switch. The events of a user keep their order.
func TestAMoveKeepsTheOutbox(t *testing.T) {
	for name, makers := range map[string][2]func(testing.TB, *store.Schema) place{
		"SQLite to PostgreSQL": {inSQLite, inPostgres},
		"bbolt to PostgreSQL":  {inBbolt, inPostgres},
		"PostgreSQL to SQLite": {inPostgres, inSQLite},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			from, to := makers[0](t, record.Schema), makers[1](t, record.Schema)
			m := newMove(t, from.Store, to.Store, move.Options{})
			key := latchkey.GenerateKey()
			over := make(chan struct{})
			busy := outboxEngine(t, m, key, time.Now, func(context.Context, latchkey.Event) error {
				<-over
				return errors.New("not now")
			})
			users := busy.Users()
			change := func(when string) {
				for n := range 5 {
					id := fmt.Sprintf("%s-%d", when, n)
					_, err := users.Create(ctx, latchkey.NewUser{UserID: id})
					if err == nil && when != "before" {
						_, err = users.UpdateName(ctx, fmt.Sprintf("before-%d", n), "Ada "+when) // the stream of a user of the first store
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			change("before")
			if _, err := m.Copy(ctx); err != nil {
				t.Fatal(err)
			}
			change("during")
			if _, err := m.Switch(ctx); err != nil {
				t.Fatal(err)
			}
			change("after")
			close(over)
			if err := errors.Join(busy.Close(), m.Close()); err != nil {
				t.Fatal(err)
			}

			const want = 15 + 10
			came := make(chan latchkey.Event, 10*want)
			later := func() time.Time { return time.Now().Add(time.Hour) } // when no row waits any more
			next := outboxEngine(t, reopened(t, to), key, later, func(_ context.Context, e latchkey.Event) error { came <- e; return nil })
			defer next.Close()
			seen, history := make(map[string]bool), make(map[string]string)
			for len(seen) < want {
				select {
				case e := <-came:
					if !seen[e.ID] {
						seen[e.ID] = true
						user := e.Payload.(*latchkey.User)
						history[e.UserID] += strings.TrimSpace(e.Pattern()+" "+user.Name) + ", "
					}
				case <-ctx.Done():
					t.Fatal(ctx.Err())
				case <-time.After(time.Minute):
					t.Fatalf("%d of %d came", len(seen), want)
				}
			}
			for id, got := range history {
				want := "users.*.create, "
				if strings.HasPrefix(id, "before-") {
					want += "users.*.update.name Ada during, users.*.update.name Ada after, "
				}
				if got != want {
					t.Errorf("%s: %s", id, got)
				}
			}
		})
	}
}
