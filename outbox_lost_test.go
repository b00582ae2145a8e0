package latchkey_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// A process is held up between taking a delivery and beginning it, for longer than it has the row.
// Another one takes the row meanwhile, and gives it back or has it. The first one delivers nothing, and
// the row stays as it is.
func TestAProcessThatWasHeldUpDeliversNothing(t *testing.T) {
	for name, meanwhile := range map[string]func(row *record.Delivery, now time.Time){
		"given back": func(row *record.Delivery, now time.Time) { row.Leased, row.Due = false, now.Add(time.Hour) },
		"taken":      func(row *record.Delivery, now time.Time) { row.Tries, row.Due = row.Tries+1, now.Add(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.Tampered = true
				e := kept(k, nil)
				k.Must(k.Close())
				claimed := make(chan struct{}, 2) // the message and the event
				var armed atomic.Int64
				s := &storetest.Hooked{Store: k.Raw, Hook: func(c storetest.Call) error {
					if c.Name != "Commit" || !c.Done || armed.Load() == 0 {
						return nil
					}
					return k.Raw.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
						for _, row := range rowsIn(ctx, k, tx) {
							if row.Tries != 2 || !row.Leased || row.Due.After(k.Clock.Now().Add(59*time.Minute)) {
								continue
							}
							meanwhile(row, k.Clock.Now())
							claimed <- struct{}{}
							if err := record.Outbox.Replace(ctx, tx, row); err != nil {
								return err
							}
						}
						return nil
					})
				}}
				e.failing(func(string, int) error { return errors.New("no") })
				engine, err := latchkey.New(s, latchkey.Config{
					Keys: k.Keys, LimiterPerProcess: true, Now: k.Clock.Now, Hasher: k.Hasher, Logger: slog.New(slog.DiscardHandler), Notifier: e,
					Outbox: &latchkey.Outbox{Receivers: []latchkey.Receiver{{Name: "ear", Events: []string{"users.*.create"}, Receive: e.Receive}}},
				})
				k.Must(err)
				k.Must(kit.Err(engine.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
				k.Must(kit.Err(engine.Guest(kit.Client).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
				if first := e.message(); first.Kind != notify.EmailOTP {
					k.Fatal(first.Kind)
				}
				e.event()
				waits(k, func(rows []*record.Delivery) bool {
					return len(rows) == 2 && rows[0].Failures == 1 && rows[1].Failures == 1
				})
				armed.Store(1)
				k.Clock.Advance(2 * time.Second)
				<-claimed
				<-claimed
				k.Must(engine.Close())
				e.nothing()
				rows := rowsOfOutbox(k)
				for _, row := range rows {
					if row.Failures != 1 || !row.GivenUp.IsZero() {
						k.Errorf("%s is noted: %+v", row.Lane, row)
					}
				}
				if len(rows) != 2 {
					k.Errorf("%d of two rows are left", len(rows))
				}
			})
		})
	}
}
