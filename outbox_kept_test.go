package latchkey_test

import (
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
)

// A notice whose first process has died during the delivery is sent by another one: it is counted among the messages to its address
// once, as after a failure.
func TestANoticeOfADeadProcessIsNotCountedAgain(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		limiter := ratelimit.NewMemory(0)
		change := func(c *latchkey.Config) {
			once := ratelimit.Rule{Calls: 1, Window: time.Hour}
			c.Policy.Guessing.Limits = map[string]ratelimit.Rule{"messages": once, "messagesNotices": once}
			c.Limiter, c.Outbox.Receivers, c.SMS = limiter, nil, nil
		}
		e := kept(k, change)
		begun, release := make(chan struct{}), make(chan struct{})
		_, account := k.SignIn(kit.Ada)
		// The limits let two such notices pass: one by the rule of the address, and one by the reserve.
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another secret", Old: kit.Password})))
		e.message()
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		e.failing(func(_ string, try int) error {
			if try == 1 { // the process dies here
				close(begun)
				<-release
			}
			return nil
		})
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "a third secret", Old: "another secret"})))
		<-begun
		k.Clock.Advance(2 * time.Minute)
		e.engine(change)
		waits(k, func(rows []*record.Delivery) bool { return len(rows) == 0 })
		if len(e.messages) == 0 {
			k.Error("the notice is gone: the process that has taken it over has counted it once more, and has deleted it")
		}
		close(release)
	})
}
