package latchkey_test

import (
	"slices"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/store"
)

// Server-made JWTs carry the user's epoch. A change that ends them raises it: a new
// password or a block.
func TestEpochRisesWithPasswordAndBlock(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		for n, do := range []func() error{
			func() error { return kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, kit.Password)) },
			func() error { return kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)) },
			func() error { return kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, true)) }, // an unblock does not raise it
		} {
			k.Must(do())
			row, err := record.Users.Get(k.Ctx, k.Store.Store, record.Users.Primary(), store.Text(user.ID))
			k.Must(err)
			if want := int64(min(n+1, 2)); row.Epoch != want {
				k.Errorf("step %d: epoch %d, want %d", n+1, row.Epoch, want)
			}
		}
	})
}

func TestChangedAddressesAreNotVerified(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		got, err := k.Users().UpdatePhone(k.Ctx, user.ID, "+14155550101")
		k.Must(err)
		if got.PhoneVerification || !got.EmailVerification {
			k.Errorf("after a change of the number: %+v", got)
		}
		got, err = k.Users().UpdateEmail(k.Ctx, user.ID, kit.Bob)
		k.Must(err)
		if got.EmailVerification {
			k.Error("after a change of the address it is still verified")
		}
	})
}

func TestUserLimitIsExactForSignUpsAndNotTheServers(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{UserLimit: 3}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Anonymous()
		k.Must(kit.Err(k.Visitor.CreateAnonymousSession(k.Ctx)))
		k.Refuses("sign up", latchkey.ErrUserCountExceeded, func() error {
			return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: kit.Password}))
		})
		k.Refuses("anonymous", latchkey.ErrUserCountExceeded, func() error { return kit.Err(k.Visitor.CreateAnonymousSession(k.Ctx)) })
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{})))
	})
}

func TestDeletedUserLeavesNothingButTheLog(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, "+14155550100")))
		k.SignUp(kit.Bob)
		one, account := k.SignIn(kit.Ada)
		two, _ := k.SignIn(kit.Ada)
		k.SignIn(kit.Bob)
		before := k.Rows()
		k.Forget()
		shown, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		k.Must(k.Users().Delete(k.Ctx, user.ID))
		told := k.Told.Take()
		var names []string
		for _, e := range told {
			names = append(names, strings.NewReplacer(user.ID, "U", one.ID, "S", two.ID, "S").Replace(e.Name))
		}
		k.Same("events", names, []string{"users.U.sessions.S.delete", "users.U.sessions.S.delete", "users.U.delete"})
		k.Same("what is told of the deleted user", told[2].Payload, shown)
		k.Same("log", k.Logs(), []string{"session.delete by server", "session.delete by server", "user.delete by server"})
		after := k.Rows()
		for table, gone := range map[string]int{"users": 1, "addresses": 1, "targets": 2, "sessions": 2} {
			if before[table]-after[table] != gone {
				k.Errorf("%s: %d before, %d after", table, before[table], after[table])
			}
		}
		for id, rows := range k.Everything() {
			for _, row := range rows {
				if id != "logs" && strings.Contains(row, user.ID) {
					k.Errorf("left in %s: %s", id, row)
				}
			}
		}
		k.Refuses("its handle", latchkey.ErrUnauthorized, func() error { return kit.Err(account.User(k.Ctx)) })
		k.Refuses("its secret", latchkey.ErrUnauthorized, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, one.Secret.Reveal())) })
		k.Refuses("twice", latchkey.ErrUserNotFound, func() error { return k.Users().Delete(k.Ctx, user.ID) })

		// Another user can have the id, the address and the number again, but not the
		// log.
		again, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: user.ID, Email: kit.Ada, Phone: "+14155550100"})
		k.Must(err)
		logs, err := k.Users().Logs(k.Ctx, again.ID)
		k.Must(err)
		if logs.Total != 1 {
			k.Errorf("the new user has %d lines of the log", logs.Total)
		}
	})
}

func TestNewUserIsFoundByWord(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{}, func(k *kit.Kit) {
		user, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{
			UserID: "ada.1", Email: kit.Ada, Password: kit.Password, Name: "Ada Lovelace",
		})
		k.Must(err)
		for _, search := range []string{"love", "ada@example.org", "ada.1", "ada lovelace"} {
			ids, err := words.Find(k.Ctx, k.Store, "users", search)
			if err != nil || !slices.Equal(ids, []string{user.ID}) {
				k.Errorf("%q: %q, %v", search, ids, err)
			}
		}
	})
}
