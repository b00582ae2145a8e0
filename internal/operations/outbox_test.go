package operations_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/query"
)

// told keeps events.
type told struct {
	mu  sync.Mutex
	all []latchkey.Event
}

func (t *told) add(_ context.Context, e latchkey.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.Try = 0
	t.all = append(t.all, e)
	return nil
}

// taken returns the events by their ids.
func (t *told) taken() []latchkey.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.all, func(a, b latchkey.Event) int { return cmp.Compare(a.ID, b.ID) })
	return t.all
}

// Each event of each operation comes out of the outbox as OnEvent gets it, with the same payload.
func TestEveryEventIsKeptAsItIsTold(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		w := operations.NewWorld(k, true, op)
		at, kept := new(told), new(told)
		k.Engine = k.Configured(func(c *latchkey.Config) {
			c.OnEvent = func(ctx context.Context, e latchkey.Event) { _ = at.add(ctx, e) }
			c.Outbox = &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "all", Receive: kept.add}}}
		})
		k.Visitor = k.Guest(kit.Client)
		var err error
		if w.Account, err = k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal()); err != nil {
			k.Fatal(err)
		}
		k.Must(op.Do(w))
		for list := (*latchkey.UndeliveredList)(nil); list == nil || list.Total > 0; {
			if list, err = k.Undelivered(k.Ctx, query.IsNull("givenUpAt")); err != nil { // the operation has closed the engine, and so has delivered what it could
				break
			}
		}
		k.Must(k.Close())
		secrets := gocmp.Comparer(func(a, b hidden.Text) bool { return true })
		if diff := gocmp.Diff(at.taken(), kept.taken(), secrets, gocmp.Comparer(func(a, b latchkey.Client) bool {
			return a.IP == b.IP && a.UserAgent == b.UserAgent && a.Locale == b.Locale
		})); diff != "" {
			k.Errorf("-told +kept:\n%s", diff)
		}
		k.Engine = k.WithKeys(k.Keys)
		k.Visitor = k.Guest(kit.Client)
		k.DeleteAll()
	})
}
