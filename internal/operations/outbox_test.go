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
	more chan struct{} // has one for each event

	mu  sync.Mutex
	all []latchkey.Event
}

func (t *told) add(_ context.Context, e latchkey.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.Try = 0
	t.all = append(t.all, e)
	t.more <- struct{}{}
	return nil
}

// taken returns the events by their ids.
func (t *told) taken() []latchkey.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.all, func(a, b latchkey.Event) int { return cmp.Compare(a.ID, b.ID) })
	return t.all
}

// patterns returns the patterns of the events, in their order.
func (t *told) patterns() (all []string) {
	for _, e := range t.taken() {
		all = append(all, e.Pattern())
	}
	slices.Sort(all)
	return all
}

// Each event of each operation comes out of the outbox as OnEvent gets it, with the same payload, and also where there
// is no OnEvent.
func TestEveryEventIsKeptAsItIsTold(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		var want []string
		for _, listens := range []bool{true, false} {
			w := operations.NewWorld(k, op.Name != "Account.CreateAccount", op)
			at, kept := &told{more: make(chan struct{}, 100)}, &told{more: make(chan struct{}, 100)}
			k.Engine = k.Configured(func(c *latchkey.Config) {
				if c.OnEvent = nil; listens {
					c.OnEvent = func(ctx context.Context, e latchkey.Event) { _ = at.add(ctx, e) }
				}
				c.Outbox = &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "all", Receive: kept.add}}}
			})
			k.Visitor = k.Guest(kit.Client)
			var err error
			if w.Account, err = k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal()); err != nil {
				k.Fatal(err)
			}
			k.Must(op.Do(w))
			if listens {
				want = at.patterns()
			}
			if _, err := k.Undelivered(k.Ctx, query.Limit(1)); err == nil { // otherwise the operation has closed the engine, which has delivered what it could
				for range want {
					select {
					case <-kept.more:
					case <-k.Ctx.Done():
						k.Fatal("an event does not come")
					}
				}
			}
			k.Must(k.Close())
			if listens {
				secrets := gocmp.Comparer(func(a, b hidden.Text) bool { return true })
				if diff := gocmp.Diff(at.taken(), kept.taken(), secrets, gocmp.Comparer(func(a, b latchkey.Client) bool {
					return a.IP == b.IP && a.UserAgent == b.UserAgent && a.Locale == b.Locale
				})); diff != "" {
					k.Errorf("-told +kept:\n%s", diff)
				}
			} else if got := kept.patterns(); !slices.Equal(got, want) {
				k.Errorf("without OnEvent: %v, want %v", got, want)
			}
			k.Engine = k.WithKeys(k.Keys)
			k.Visitor = k.Guest(kit.Client)
			k.DeleteAll()
		}
	})
}
