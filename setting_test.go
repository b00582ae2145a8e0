package latchkey_test

import (
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A JWT without a session carries the epoch of the store: it is good until EndAll, and so is
// one that was made before the first epoch.
func TestAJWTWithoutASessionCarriesTheEpochOfTheStore(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Name: "Grace"})
		k.Must(err)
		for range 3 {
			_, token := k.ByJWT(user.ID, "")
			k.Must(kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal())))
			k.Must(k.EndAll(k.Ctx))
			k.Refuses("after EndAll", latchkey.ErrUnauthorized, func() error {
				return kit.Err(k.Visitor.AuthenticateJWT(k.Ctx, token.Reveal()))
			})
		}
	})
}
