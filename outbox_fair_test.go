package latchkey_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// Codes that strangers ask for hold up no notice of a changed password: at a slow mailbox provider too, notices go first,
// with an outbox and without.
func TestCodesForStrangersHoldUpNoNotice(t *testing.T) {
	for _, outbox := range []*latchkey.Outbox{nil, new(latchkey.Outbox)} {
		t.Run(fmt.Sprint("outbox ", outbox != nil), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				noticed := make(chan time.Time, 1)
				var codes atomic.Int64
				engine, err := latchkey.New(memory.Open(), latchkey.Config{
					Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler), Hasher: hashertest.New(t),
					Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), Outbox: outbox,
					Notifier: notify.Func(func(ctx context.Context, m notify.Message) error {
						if m.Kind != notify.EmailOTP {
							noticed <- time.Now()
							return nil
						}
						codes.Add(1)
						select {
						case <-time.After(time.Second):
						case <-ctx.Done():
						}
						return ctx.Err()
					}),
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx := t.Context()
				if _, err := engine.Users().Create(ctx, latchkey.NewUser{UserID: "ada", Email: "ada@slow.example", Password: kit.Password}); err != nil {
					t.Fatal(err)
				}
				if _, err := engine.Users().UpdateEmailVerification(ctx, "ada", true); err != nil {
					t.Fatal(err)
				}
				for n := range 2000 {
					client := latchkey.Client{IP: netip.AddrFrom4([4]byte{20, byte(n >> 8), byte(n), 1})}
					if _, err := engine.Guest(client).CreateEmailToken(ctx, latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@slow.example", n)}); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				if _, err := engine.Users().UpdatePassword(ctx, "ada", "another secret"); err != nil {
					t.Fatal(err)
				}
				if waited := (<-noticed).Sub(began); waited > 10*time.Second {
					t.Errorf("the notice has waited for %v, behind %d codes", waited, codes.Load())
				}
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				if err := engine.CloseContext(short); err != nil && !strings.Contains(err.Error(), "does not return") {
					t.Error(err)
				}
			})
		})
	}
}

// The calls of a notifier that hang at the end of an engine leave their own goroutines behind, and no others: the
// messages that have not begun are given back.
func TestAStuckNotifierLeavesItsGoroutinesAlone(t *testing.T) {
	s, release, begun := memory.Open(), make(chan struct{}), make(chan struct{}, 50)
	defer s.Close()
	engine, err := latchkey.New(s, latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, LimiterPerProcess: true, Logger: slog.New(slog.DiscardHandler), Hasher: hashertest.New(t),
		Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), Outbox: new(latchkey.Outbox),
		Notifier: notify.Func(func(context.Context, notify.Message) error {
			begun <- struct{}{}
			<-release // and not for the context
			return nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		client := latchkey.Client{IP: netip.AddrFrom4([4]byte{20, byte(n >> 8), byte(n), 1})}
		if _, err := engine.Guest(client).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: fmt.Sprintf("u%d@slow.example", n)}); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 { // as many as one domain has at once
		<-begun
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := engine.CloseContext(ended); err == nil {
		t.Error("Close says nothing of the notifier that hangs")
	}
	rows, err := record.Outbox.List(t.Context(), s, store.Query{Index: record.Outbox.Primary(), Limit: store.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	leased := 0
	for _, row := range rows {
		if row.Leased {
			leased++
		}
	}
	if leased > 4 {
		t.Errorf("%d of %d messages are still in the hands of the closed engine", leased, len(rows))
	}
	close(release)
	kit.Eventually(t, func() error {
		all := make([]byte, 1<<20)
		if n := strings.Count(string(all[:runtime.Stack(all, true)]), ".sendKept("); n > 0 {
			return fmt.Errorf("%d deliveries never end", n)
		}
		return nil
	})
}
