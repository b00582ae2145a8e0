package latchkey_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/permission"
)

// The order is the documented one.
func TestRolesFollowVerificationAndLabels(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Same("guest", k.Visitor.Roles().List(), []string{"any", "guests"})
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		check := func(want ...string) {
			k.Helper()
			for who, of := range map[string]func() (permission.Roles, error){
				"account": func() (permission.Roles, error) { return account.Roles(k.Ctx) },
				"server":  func() (permission.Roles, error) { return k.Users().Roles(k.Ctx, user.ID) },
			} {
				roles, err := of()
				k.Must(err)
				k.Same(who, strings.ReplaceAll(roles.String(), user.ID, "U"), strings.Join(want, " "))
			}
		}
		check("any", "user:U", "users", "user:U/unverified", "users/unverified")
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, []string{"vip", "beta"})))
		check("any", "user:U", "users", "user:U/verified", "users/verified", "label:vip", "label:beta")
		k.Refuses("roles of nobody", latchkey.ErrUserNotFound, func() error { return kit.Err(k.Users().Roles(k.Ctx, "nobody")) })
	})
}

// caller is what a handler of a host asks, whoever calls.
type caller interface {
	Can(ctx context.Context, a permission.Action, of permission.Set) (bool, error)
}

var _ = []caller{(*latchkey.Guest)(nil), (*latchkey.Account)(nil), (*latchkey.Users)(nil)}

func TestCanFollowsTheRolesAsTheyAreNow(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		may := func(who caller, a permission.Action, want bool, texts ...string) {
			k.Helper()
			set, err := permission.Parse(texts...)
			k.Must(err)
			got, err := who.Can(k.Ctx, a, set)
			k.Must(err)
			k.Same(fmt.Sprint(a, texts), got, want)
		}
		for _, a := range []permission.Action{permission.Read, permission.Create, permission.Update, permission.Delete} {
			may(k.Visitor, a, false)
			may(account, a, false)
			may(k.Users(), a, true)
		}
		for _, a := range []permission.Action{permission.Write, "", "READ", "read "} {
			may(k.Visitor, a, false, `write("any")`, `read("any")`)
			may(account, a, false, `write("any")`, `read("any")`)
			may(k.Users(), a, false, `write("any")`, `read("any")`)
		}
		may(k.Visitor, permission.Read, true, `read("any")`)
		may(account, permission.Read, true, `read("any")`)
		may(k.Visitor, permission.Read, true, `read("guests")`)
		may(account, permission.Read, false, `read("guests")`)
		may(k.Visitor, permission.Read, false, `read("users")`)
		may(account, permission.Delete, true, `write("users")`)
		may(account, permission.Read, false, `write("users")`)
		may(account, permission.Update, true, `update("user:`+user.ID+`")`)
		may(account, permission.Update, false, `update("user:another")`)

		may(account, permission.Read, false, `read("label:vip")`, `read("users/verified")`)
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, []string{"vip"})))
		may(account, permission.Read, true, `read("label:vip")`)
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, nil)))
		may(account, permission.Read, false, `read("label:vip")`)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		may(account, permission.Read, true, `read("users/verified")`)

		set, err := permission.Parse(`read("any")`)
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
		k.Refuses("a blocked user", latchkey.ErrUserBlocked, func() error {
			may, err := account.Can(k.Ctx, permission.Read, set)
			k.Same("blocked", may, false)
			return err
		})
	})
}
