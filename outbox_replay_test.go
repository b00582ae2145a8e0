package latchkey_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A row that was copied out of the store, and is put back after the time for which receivers keep ids, is not delivered: what is sealed
// says when the event was. Who writes to the store without the key does not repeat the past.
func TestAnEventOfLongAgoIsNotDeliveredAgain(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Tampered = true
		e := kept(k, nil)
		e.failing(func(string, int) error { return errors.New("no") })
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 1 && rows[0].Failures == 1 })
		copied := *rowsOfOutbox(k)[0]
		e.failing(nil)
		k.Clock.Advance(time.Second)
		e.event()
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		k.Clock.Advance(90 * 24 * time.Hour)
		now := k.Clock.Now().UTC().Truncate(time.Microsecond)
		copied.Created, copied.Queued, copied.Due, copied.Leased = now, now, now, false
		k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error { return record.Outbox.Insert(ctx, tx, &copied) }))
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 || !rows[0].GivenUp.IsZero() })
		for range len(e.events) {
			k.Errorf("the event of %v is delivered at %v", e.event().Time, now)
		}
	})
}
