package attack_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/ratelimit"
)

// One client without a session leaves rows by network and minute, not by invented
// identifier, in the log: A9. Its calls are bounded.
func TestA9InventedIdentifiersLeaveFewRows(t *testing.T) {
	for _, policy := range []latchkey.Policy{kit.Documented, latchkey.StrictPolicy()} {
		t.Run(fmt.Sprint("minimum ", policy.Password.Min), func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				k.Engine = k.LimitedEngine(ratelimit.ReportOnly(ratelimit.NewMemory(0)))
				before := k.Rows()["logs"]
				for n := range 60 {
					guest := k.Guest(kit.At(fmt.Sprintf("2001:db8::%x", n))) // one network
					id := fmt.Sprint("invented", n)
					_ = kit.Err(guest.CreateSession(k.Ctx, id, "000000"))
					_ = kit.Err(guest.ConfirmRecovery(k.Ctx, id, kit.UnknownLink, "another long horse battery"))
					_ = kit.Err(guest.ConfirmEmailVerification(k.Ctx, id, kit.UnknownLink))
					_ = kit.Err(guest.ConfirmPhoneVerification(k.Ctx, id, "000000"))
					_ = kit.Err(guest.CreateEmailPasswordSession(k.Ctx, id+"@example.org", "a wrong horse battery"))
				}
				if n := k.Rows()["logs"] - before; n > 4 { // one of each event and reason
					k.Errorf("%d log rows", n)
				}
				k.Clock.Advance(time.Minute)
				_ = kit.Err(k.Guest(kit.At("2001:db8::1")).CreateSession(k.Ctx, "invented", "000000"))
				_ = kit.Err(k.Guest(kit.At("2001:db8:1::1")).CreateSession(k.Ctx, "invented", "000000"))
				if n := k.Rows()["logs"] - before; n > 6 {
					k.Errorf("%d log rows after another minute and from another network", n)
				}
			})
		})
	}
}
