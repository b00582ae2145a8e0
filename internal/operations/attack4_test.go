package operations_test

import (
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/store/storetest"
)

// While an operation runs, its user is deleted and another one of the same id and address is
// made. Nothing that the operation was asked for as the former user happens to the next one.
func TestAnOperationChangesNothingOfTheNextUserOfTheID(t *testing.T) {
	for _, op := range operations.Table {
		name, _, _ := strings.Cut(op.Name, " ")
		if strings.HasPrefix(name, "Users.") || strings.HasPrefix(name, "Engine.") || op.Quiet && name != "Guest.Authenticate" {
			continue // the server names a user by id
		}
		switch name {
		case "Guest.CreateMagicURLToken", "Guest.CreateRecovery", "Guest.CreateEmailToken", "Guest.CreatePhoneToken", "Guest.AcceptInvitation", "Guest.DeclineInvitation":
			continue // for whoever has the address
		}
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
				for n := 1; ; n++ {
					w := operations.NewWorld(k, name != "Account.CreateAccount", op)
					var before map[string][]string
					calls := 0
					hook := k.Store.Hook
					k.Store.Hook = func(c storetest.Call) error {
						if !c.Inside {
							if calls++; calls == n {
								k.Store.Hook = hook
								if err := k.Users().Delete(k.Ctx, w.User.ID); err != nil && err != latchkey.ErrUserNotFound {
									k.Fatal(err)
								}
								k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: w.User.ID, Email: w.User.Email, Password: "a very different one"})))
								before = k.Everything()
							}
						}
						return hook(c)
					}
					err := op.Do(w)
					k.Store.Hook = hook
					if before == nil {
						k.DeleteAll()
						return
					}
					after := k.Everything()
					for _, table := range []string{"users", "sessions", "targets", "words", "authenticators", "challenges", "recovery_codes", "addresses", "tokens"} {
						for _, row := range after[table] {
							if strings.Contains(row, w.User.ID) && !strings.Contains(strings.Join(before[table], "\n"), row) {
								k.Errorf("call %d, %v: %s has %s", n, err, table, row)
							}
						}
						for _, row := range before[table] {
							if strings.Contains(row, w.User.ID) && !strings.Contains(strings.Join(after[table], "\n"), row) {
								k.Errorf("call %d, %v: %s had %s", n, err, table, row)
							}
						}
					}
					k.DeleteAll()
				}
			})
		})
	}
}
