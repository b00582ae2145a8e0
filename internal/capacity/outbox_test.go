package capacity

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
)

// BenchmarkOutbox signs in by a link with the outbox and without it, in turns on two stores of one
// kind, on the disk. The metric x/off is the ratio of the times. The message of the link has one row in
// the outbox, and with events the sign-in has one more for a receiver.
func BenchmarkOutbox(b *testing.B) {
	for name, open := range map[string]func(n int) (store.Store, error){
		"bbolt":  func(n int) (store.Store, error) { return bbolt.Open(filepath.Join(b.TempDir(), fmt.Sprint(n))) },
		"SQLite": func(n int) (store.Store, error) { return sqlite.Open(filepath.Join(b.TempDir(), fmt.Sprint(n))) },
		"PostgreSQL": func(n int) (store.Store, error) {
			return postgres.OpenWith(context.Background(), pgtest.Shared(b).Address(), postgres.Options{Namespace: pgtest.Namespace()})
		},
	} {
		for _, events := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/events=%v", name, events), func(b *testing.B) {
				outbox := new(latchkey.Outbox)
				if events {
					outbox.Receivers = []latchkey.Receiver{{Name: "all", Events: []string{"users.*.sessions.*"}, Receive: func(context.Context, latchkey.Event) error { return nil }}}
				}
				var engines []*latchkey.Engine
				for n, o := range []*latchkey.Outbox{nil, outbox} {
					s, err := open(n)
					if err != nil {
						b.Fatal(err)
					}
					defer s.Close()
					engine, err := latchkey.New(s, latchkey.Config{
						Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(b), LimiterPerProcess: true, Outbox: o,
						Notifier: notify.Func(func(context.Context, notify.Message) error { return nil }), Logger: slog.New(slog.DiscardHandler),
					})
					if err != nil {
						b.Fatal(err)
					}
					defer engine.Close()
					engines = append(engines, engine)
				}
				const turn = 20
				var took [2]time.Duration
				for round := 0; round*turn < b.N || round == 0; round++ {
					for i := range engines {
						which := (round + i) % 2
						began := time.Now()
						for n := range turn {
							signInByLink(b, engines[which], fmt.Sprintf("u%d@example.org", (round*turn+n)%1000))
						}
						took[which] += time.Since(began)
					}
				}
				b.ReportMetric(float64(took[1])/float64(took[0]), "x/off")
				b.ReportMetric(float64(took[1].Microseconds())/float64(max(b.N, turn)), "µs-on/op")
			})
		}
	}
}

func signInByLink(b *testing.B, engine *latchkey.Engine, email string) {
	ctx := context.Background()
	guest := engine.Users().Guest(latchkey.Client{})
	token, err := guest.CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{Email: email})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := guest.CreateSession(ctx, token.UserID, token.Secret.Reveal()); err != nil {
		b.Fatal(err)
	}
}
