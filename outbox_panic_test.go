package latchkey_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// panicky is a store of a host that panics where it is asked for the first row of a stream, or where rows are renewed.
type panicky struct {
	store.Store
	lists, renews bool
	busy          chan struct{} // closed once a delivery has begun
	once          sync.Once
}

func (p *panicky) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if p.lists && q.Index == record.Outbox.Index("stream") {
		panic("a mistake of the store")
	}
	return p.Store.List(ctx, q)
}

func (p *panicky) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	select {
	case <-p.busy:
		if p.renews {
			panic("a mistake of the store")
		}
	default:
	}
	return p.Store.Update(ctx, fn)
}

// A panic of the host's store beside a delivery does not end the process.
func TestAPanicOfTheStoreBesideADeliveryEndsNoProcess(t *testing.T) {
	for _, where := range []string{"stream", "renew"} {
		t.Run(where, func(t *testing.T) { panicsBeside(t, where) })
	}
}

func panicsBeside(t *testing.T, where string) {
	synctest.Test(t, func(t *testing.T) {
		s := &panicky{Store: memory.Open(), lists: where == "stream", renews: where == "renew", busy: make(chan struct{})}
		engine, err := latchkey.New(s, latchkey.Config{
			Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler), Hasher: hashertest.New(t),
			Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "crm", Receive: func(context.Context, latchkey.Event) error {
				s.once.Do(func() { close(s.busy) })
				<-time.After(time.Minute)
				return nil
			}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Users().Create(t.Context(), latchkey.NewUser{UserID: "ada", Email: kit.Ada}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Minute)
		_ = engine.Close()
	})
}
