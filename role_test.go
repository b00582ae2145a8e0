package latchkey_test

import (
	"strings"
	"testing"

	"example.com/latchkey/internal/kit"
)

func TestRolesFollowVerificationAndLabels(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Same("guest", k.Visitor.Roles(), []string{"guests"})
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		check := func(want ...string) {
			k.Helper()
			roles, err := account.Roles(k.Ctx)
			k.Must(err)
			for i := range roles {
				roles[i] = strings.ReplaceAll(roles[i], user.ID, "U")
			}
			k.Same("roles", roles, want)
		}
		check("user:U", "users", "user:U/unverified", "users/unverified")
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, []string{"vip", "beta"})))
		check("user:U", "users", "user:U/verified", "users/verified", "label:vip", "label:beta")
	})
}
