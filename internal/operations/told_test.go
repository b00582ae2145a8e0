package operations_test

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/store/memory"
)

// state returns all rows except the log and the counts of failures.
func state(k *kit.Kit) map[string][]string {
	k.Helper()
	all := k.Everything()
	delete(all, "logs")
	delete(all, "failures")
	delete(all, "starts")     // without a user, for minutes
	delete(all, "ceremonies") // for minutes
	delete(all, "outbox")     // messages on their way
	delete(all, "handles")    // a name for authenticators, which nothing shows
	return all
}

// Every change has a line in the log and an event. A call that changes nothing has
// neither.
func TestEveryChangeIsLoggedAndToldAndNothingElseIs(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		w := operations.NewWorld(k, true, op)
		k.Forget()
		before := state(k)
		k.Must(op.Do(w))
		changed := !maps.EqualFunc(before, state(k), slices.Equal[[]string]) || op.Name == "Account.Impersonate" // which only says so
		events := k.Told.Take()
		known(k, events)
		logged, told := len(k.Logs()) > 0, len(events) > 0
		if changed == op.Quiet && op.Name != "Account.CreateAccount" {
			k.Errorf("changed: %v", changed)
		}
		if changed != logged || changed != (told || op.Untold) || told && op.Untold {
			k.Errorf("changed: %v, logged: %v, told: %v", changed, logged, told)
		}
	})
}

// known fails the test if a receiver cannot name the events.
func known(k *kit.Kit, events []latchkey.Event) {
	k.Helper()
	r := latchkey.Receiver{Name: "crm", Receive: func(context.Context, latchkey.Event) error { return nil }}
	for _, e := range events {
		r.Events = append(r.Events, e.Pattern())
	}
	engine, err := latchkey.New(memory.Open(), latchkey.Config{Keys: k.Keys, Hasher: k.Hasher, Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{r}}})
	k.Must(err)
	k.Must(engine.Close())
}

func TestClockIsReadOnceAnOperation(t *testing.T) {
	var reads atomic.Int64
	clock := authtest.NewClock()
	k := kit.New(t, memory.Open(), kit.Documented)
	w := operations.NewWorld(k, true)
	engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: func() time.Time { reads.Add(1); return clock.Now() }})
	k.Must(err)
	k.Engine, k.Visitor = engine, engine.Guest(kit.Client)
	for _, op := range operations.Table {
		session, err := k.Users().CreateSession(k.Ctx, w.User.ID)
		if err != nil {
			continue // an earlier operation has blocked or deleted the user
		}
		w.Account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		reads.Store(0)
		_ = op.Do(w)
		if n := reads.Load(); n > 1 && !op.Many && op.Name != "Users.Sessions" {
			t.Errorf("%s reads the clock %d times", op.Name, n)
		}
	}
}
