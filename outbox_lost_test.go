package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// cutOff is a store that a process does not reach for a while.
type cutOff struct {
	store.Store
	down atomic.Bool
}

var errCutOff = errors.New("no connection to the store")

func (c *cutOff) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	if c.down.Load() {
		return errCutOff
	}
	return c.Store.Update(ctx, fn)
}

func (c *cutOff) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if c.down.Load() {
		return nil, errCutOff
	}
	return c.Store.List(ctx, q)
}

// A process that has lost a message to another one, which has given it back, does not delete it: nobody has sent it.
func TestAMessageThatAnotherProcessHasGivenBackIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s := t.Context(), memory.Open()
		keys := latchkey.Keys{Active: latchkey.GenerateKey()}
		var sent atomic.Int64
		open := func(s store.Store, n notify.Func) *latchkey.Engine {
			engine, err := latchkey.New(s, latchkey.Config{
				Keys: keys, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler), Hasher: hashertest.New(t),
				Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), Outbox: new(latchkey.Outbox), Notifier: n,
			})
			if err != nil {
				t.Fatal(err)
			}
			return engine
		}
		ask := func(engine *latchkey.Engine, address string, n int) {
			client := latchkey.Client{IP: netip.AddrFrom4([4]byte{20, byte(n >> 8), byte(n), 1})}
			if _, err := engine.Guest(client).CreateEmailToken(ctx, latchkey.NewEmailToken{Email: address}); err != nil {
				t.Fatal(err)
			}
		}
		row := func() *record.Delivery {
			rows, err := record.Outbox.List(ctx, s, store.Query{Index: record.Outbox.Primary(), Limit: 1}) // the oldest
			if err != nil || len(rows) == 0 || !strings.HasPrefix(rows[0].Lane, "email") {
				return nil
			}
			return rows[0]
		}

		// A has the message, which has failed once, behind others to a slow domain.
		ofA := &cutOff{Store: s}
		release := make(chan struct{})
		a := open(ofA, func(_ context.Context, m notify.Message) error {
			switch {
			case m.To != "victim@slow.example":
				<-release
			case m.Try == 1:
				return errors.New("away")
			default:
				sent.Add(1)
			}
			return nil
		})
		ask(a, "victim@slow.example", 0)
		victim := row().ID
		synctest.Wait()
		for n := range 4 {
			ask(a, fmt.Sprintf("a%d@slow.example", n), n)
		}
		<-time.After(5 * time.Second)
		if r := row(); r.ID != victim || r.Tries != 2 || !r.Leased {
			t.Fatalf("%+v", r)
		}

		// A does not reach the store for a while. B takes the message over, has no room for it, and gives it back.
		ofA.down.Store(true)
		<-time.After(60 * time.Second)
		b := open(s, func(ctx context.Context, m notify.Message) error {
			if m.To == "victim@slow.example" {
				sent.Add(1)
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		for n := range 320 {
			ask(b, fmt.Sprintf("b%d@slow.example", n), 100+n)
		}
		for r := row(); r != nil && r.Leased; r = row() {
			<-time.After(time.Second)
		}
		if r := row(); r == nil || r.ID != victim || r.Tries != 2 {
			t.Fatalf("%+v", r)
		}

		// A reaches it again, and its turn comes.
		ofA.down.Store(false)
		close(release)
		<-time.After(time.Second)
		if r := row(); (r == nil || r.ID != victim) && sent.Load() == 0 {
			t.Error("the message is gone, and no process has sent it")
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := errors.Join(a.CloseContext(short), b.CloseContext(short)); err != nil {
			t.Error(err)
		}
	})
}
