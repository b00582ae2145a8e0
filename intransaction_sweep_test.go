package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A user whose deletion the host refuses in the transaction holds up the sweep of no others: as with a foreign key, everything else is
// swept.
func TestAUserWhomTheHostKeepsHoldsUpNoSweep(t *testing.T) {
	onHostStores(t, func(k *kit.Kit, l *ledger) {
		first, _ := k.Anonymous()
		second, _ := k.Anonymous()
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Bob})))
		k.Clock.Advance(2 * 365 * 24 * time.Hour)
		mine := errors.New("there is an open invoice")
		l.refuse = func(e latchkey.Event) error {
			if e.UserID == first.UserID && e.Matches("users.*.delete") {
				return mine
			}
			return nil
		}
		swept, err := k.Sweep(k.Ctx)
		if swept.Users != 1 || swept.Tokens == 0 {
			k.Errorf("%+v, %v", swept, err)
		}
		if _, err := k.Users().Get(k.Ctx, second.UserID); !errors.Is(err, latchkey.ErrUserNotFound) {
			k.Errorf("the other one: %v", err)
		}
		l.refuse = nil
	})
}
