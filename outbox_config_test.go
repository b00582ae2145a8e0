package latchkey_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// A host that changes its list of receivers later changes nothing of the engine.
func TestTheReceiversAreThoseOfNew(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var list []latchkey.Receiver
		e := kept(k, func(c *latchkey.Config) {
			c.Outbox.Receivers[0].Events = []string{"users.*.create"}
			list = c.Outbox.Receivers
		})
		list[0].Events[0] = "teams.*"
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada", Email: kit.Ada})))
		e.event()
	})
}

// The time at which a code runs out is that of the sealed message: an attacker who writes to the store without the key does not
// have a code sent after its time.
func TestACodeIsNotSentAfterTheTimeThatIsSealed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Tampered = true
		k.SignUp(kit.Ada)
		e := kept(k, func(c *latchkey.Config) { c.Outbox.Receivers = nil })
		e.failing(func(string, int) error { return errors.New("away") })
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
		expire := e.message().Expire
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 1 && rows[0].Failures == 1 })
		e.failing(nil)
		k.Must(k.Raw.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			row := rowsIn(ctx, k, tx)[0]
			row.Expire = row.Expire.Add(24 * time.Hour)
			return record.Outbox.Replace(ctx, tx, row)
		}))
		k.Clock.Advance(2 * time.Hour)
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		for range len(e.messages) {
			var m notify.Message = e.message()
			k.Errorf("try %d is sent %v after the code has run out", m.Try, m.Sending.Sub(expire))
		}
	})
}
