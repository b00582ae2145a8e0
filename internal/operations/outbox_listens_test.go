package operations_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A receiver of the outbox gets the events that OnEvent gets, also where there is no OnEvent.
func TestTheOutboxGetsTheEventsOfEveryOperation(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		var want []string
		for _, listens := range []bool{true, false} {
			w := operations.NewWorld(k, op.Name != "Account.CreateAccount", op)
			var mu sync.Mutex
			var got []string
			k.Engine = k.Configured(func(c *latchkey.Config) {
				if !listens {
					c.OnEvent = nil
				}
				c.Outbox = &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "all", Receive: func(_ context.Context, e latchkey.Event) error {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, e.Pattern())
					return nil
				}}}}
			})
			k.Visitor = k.Guest(kit.Client)
			var err error
			if w.Account, err = k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal()); err != nil {
				k.Fatal(err)
			}
			k.Told.Take()
			k.Must(op.Do(w))
			k.Must(k.Close())
			if listens {
				for _, e := range k.Told.Take() {
					want = append(want, e.Pattern())
				}
				slices.Sort(want)
			}
			rows, err := record.Outbox.List(k.Ctx, k.Raw, store.Query{Index: record.Outbox.Primary(), Limit: store.MaxLimit}) // whose turn had not come
			k.Must(err)
			for _, row := range rows {
				if row.Lane == "all" {
					got = append(got, row.Kind)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				k.Errorf("OnEvent %v: the receiver got %v, want %v", listens, got, want)
			}
			k.Engine = k.WithKeys(k.Keys)
			k.Visitor = k.Guest(kit.Client)
			k.DeleteAll()
		}
	})
}
