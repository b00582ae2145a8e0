package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

func TestUpdateEmailMovesAddressAndTarget(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		_, err := k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)
		k.Must(err)
		k.Forget()
		k.Clock.Advance(time.Second)
		got, err := account.UpdateEmail(k.Ctx, "Countess@Example.org", kit.Password)
		k.Must(err)
		if got.Email != "countess@example.org" || got.EmailVerification || len(got.Targets) != 1 ||
			got.Targets[0].ID != user.Targets[0].ID || got.Targets[0].Identifier != got.Email {
			k.Errorf("user after the change: %+v", got)
		}
		k.Same("events", k.Events(user.ID, "U"), []string{"users.U.update.email by user"})
		k.Same("log", k.Logs(), []string{"user.update by user"})
		if _, err := account.User(k.Ctx); err != nil {
			k.Errorf("the session after the change: %v", err)
		}
		if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password); err != latchkey.ErrInvalidCredentials {
			k.Errorf("sign-in by the old address: %v", err)
		}
		k.SignIn("countess@example.org")
		k.SignUp(kit.Ada) // the old address is free at once
		k.Refuses("the address that it has", nil, func() error {
			return kit.Err(account.UpdateEmail(k.Ctx, "COUNTESS@example.org", kit.Password))
		})
	})
}

// dropTargets deletes all targets without the engine.
func dropTargets(k *kit.Kit) {
	k.Helper()
	k.Tampered = true
	k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.DeleteRange(ctx, store.Query{Index: record.Targets.Primary(), Limit: store.MaxLimit})
		return err
	}))
}

func TestUpdateEmailAndPhoneRefuseWhatIsTakenOrMalformed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, err := k.Users().Create(k.Ctx, latchkey.NewUser{Phone: "+14155550100"})
		k.Must(err)
		_, account := k.SignIn(kit.Ada)
		_, somebody := k.Anonymous()
		k.Refuses("a short first password", latchkey.ErrArgumentInvalid, func() error { return kit.Err(somebody.UpdatePhone(k.Ctx, "+14155550101", "1234567")) })
		for name, a := range map[string]*latchkey.Account{"full": account, "anonymous": somebody} {
			for _, c := range []struct {
				what, email, phone, password string
				want                         error
			}{
				{"taken address", "BOB@example.org", "", kit.Password, latchkey.ErrTargetAlreadyExists},
				{"taken number", "", "+14155550100", kit.Password, latchkey.ErrTargetAlreadyExists},
				{"no address", "bob", "", kit.Password, latchkey.ErrArgumentInvalid},
				{"no number", "", "0415555", kit.Password, latchkey.ErrArgumentInvalid},
				{"unknown country", "", "+8020000000", kit.Password, latchkey.ErrArgumentInvalid},
				{"empty password", "x@example.org", "", "", latchkey.ErrArgumentInvalid},
				{"empty password for a number", "", "+14155550101", "", latchkey.ErrArgumentInvalid},
				{"long password", "x@example.org", "", strings.Repeat("x", 257), latchkey.ErrArgumentInvalid},
			} {
				if name == "full" && strings.Contains(c.what, "password") { // the account has one, and it is another
					c.want = latchkey.ErrInvalidCredentials
				}
				k.Refuses(name+", "+c.what, c.want, func() error {
					if c.phone != "" || c.email == "" {
						return kit.Err(a.UpdatePhone(k.Ctx, c.phone, c.password))
					}
					return kit.Err(a.UpdateEmail(k.Ctx, c.email, c.password))
				})
			}
		}
		k.Refuses("server, taken address", latchkey.ErrTargetAlreadyExists, func() error {
			return kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, kit.Bob))
		})
		k.Refuses("server, taken number", latchkey.ErrTargetAlreadyExists, func() error {
			return kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, "+14155550100"))
		})
		dropTargets(k)
		k.Refuses("taken address without a target", latchkey.ErrEmailAlreadyExists, func() error {
			return kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password))
		})
		k.Refuses("taken number without a target", latchkey.ErrPhoneAlreadyExists, func() error {
			return kit.Err(account.UpdatePhone(k.Ctx, "+14155550100", kit.Password))
		})
	})
}

func TestUpdatePhoneMakesAndMovesTheTarget(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Forget()
		got, err := account.UpdatePhone(k.Ctx, "+4915212345678", kit.Password)
		k.Must(err)
		if got.Phone != "+4915212345678" || got.PhoneVerification || len(got.Targets) != 2 || got.Targets[1].ProviderType != "sms" {
			k.Errorf("user with a phone: %+v", got)
		}
		k.Same("events", k.Events(user.ID, "U"), []string{"users.U.update.phone by user"})
		k.Same("log", k.Logs(), []string{"user.update by user"})
		again, err := account.UpdatePhone(k.Ctx, "+14155550100", kit.Password)
		k.Must(err)
		if len(again.Targets) != 2 || again.Targets[1].ID != got.Targets[1].ID || again.Targets[1].Identifier != "+14155550100" {
			k.Errorf("user with another phone: %+v", again)
		}
		other := k.SignUp(kit.Bob)
		_, err = k.Users().UpdatePhone(k.Ctx, other.ID, "+4915212345678") // the old number is free at once
		k.Must(err)
	})
}

func TestWrongPasswordForAChangeIsCountedAndSlowedLikeASignIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Forget()
		changes := []func(old string) error{
			func(old string) error { return kit.Err(account.UpdateEmail(k.Ctx, "new@example.org", old)) },
			func(old string) error { return kit.Err(account.UpdatePhone(k.Ctx, "+14155550100", old)) },
			func(old string) error {
				return kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: old}))
			},
		}
		for n := range 11 {
			if err := changes[n%3]("wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatalf("wrong password %d: %v", n, err)
			}
		}
		if len(k.Told.Take()) != 0 {
			k.Error("a refusal is told")
		}
		k.Same("log", k.Logs(), []string{"user.refuse by user for user_invalid_credentials, 11"})
		for n, change := range changes {
			if err := change(kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("change %d with the right password: %v", n, err)
			}
		}
		if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("sign-in: %v", err)
		}
		k.Clock.Advance(30 * time.Second)
		k.Must(changes[1](kit.Password))
		for range 10 { // a success clears the count
			if err := changes[0]("wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		k.Must(changes[0](kit.Password))
		if got, err := k.Users().Get(k.Ctx, user.ID); err != nil || got.Email != "new@example.org" {
			k.Errorf("%v, %v", got, err)
		}
	})
}

func TestPasswordlessUserIsCountedByItsID(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, one := k.Anonymous()
		_, two := k.Anonymous()
		for _, a := range []*latchkey.Account{one, two} {
			_, err := a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password, Old: ""})
			k.Must(err)
		}
		for range 11 {
			if _, err := one.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: "wrong horse"}); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		if _, err := one.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password}); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("slowed: %v", err)
		}
		_, err := two.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})
		k.Must(err)
	})
}

func TestUpdatePasswordRefusesAgainstTheRulesBeforeTheOldOneIsCompared(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for what, p := range map[string]string{
			"short": "1234567", "empty": "", "long": strings.Repeat("x", 257), "bytes": strings.Repeat("\U0001F600", 256) + "x", "not UTF-8": "12345678\xff",
		} {
			k.Refuses(what, latchkey.ErrArgumentInvalid, func() error {
				return kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: p, Old: "wrong horse"}))
			})
		}
		k.Refuses("old over the cap", latchkey.ErrInvalidCredentials, func() error {
			return kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: strings.Repeat("x", 1025)}))
		})
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password, Old: kit.Password}))) // the present password again is allowed without a history
	})
}

func TestOldPasswordIsIgnoredIfThereIsNone(t *testing.T) {
	k := kit.New(t, memory.Open(), kit.Documented)
	_, account := k.Anonymous()
	k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password, Old: strings.Repeat("x", 2000)})))
}

// A session that keeps changing the user's name does not keep the user from signing
// in or from changing the password.
func TestChangesOfTheNameKeepNobodyOut(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		names := 0
		for what, do := range map[string]func() error{
			"sign in": func() error { return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)) },
			"own": func() error {
				return kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password, Old: kit.Password}))
			},
			"server": func() error { return kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, kit.Password)) },
		} {
			_, account = k.SignIn(kit.Ada)
			k.Interfere(func() {
				names++
				k.Must(kit.Err(account.UpdateName(k.Ctx, fmt.Sprint("name ", names))))
			})
			before := k.Hasher.Hashes()
			if err := do(); err != nil || k.Hasher.Hashes()-before > 2 {
				k.Errorf("%s: %v after %d hashes", what, err, k.Hasher.Hashes()-before)
			}
		}
	})
}

func TestSessionThatEndsWhileThePasswordIsHashedChangesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for name, op := range map[string]func(a *latchkey.Account) error{
			"password": func(a *latchkey.Account) error {
				return kit.Err(a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password}))
			},
			"email": func(a *latchkey.Account) error { return kit.Err(a.UpdateEmail(k.Ctx, kit.Bob, kit.Password)) },
			"phone": func(a *latchkey.Account) error { return kit.Err(a.UpdatePhone(k.Ctx, kit.Phone, kit.Password)) },
		} {
			session, account := k.SignIn(kit.Ada)
			k.Interfere(func() { k.Must(k.Users().DeleteSession(k.Ctx, session.UserID, session.ID)) })
			if err := op(account); err != latchkey.ErrUnauthorized {
				k.Errorf("%s: %v", name, err)
			}
		}
		k.SignIn(kit.Ada)
	})
}

func TestPasswordThatChangesWhileItIsProvenProvesNothing(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Interfere(func() { k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "another horse"))) })
		if err := kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password)); err != latchkey.ErrInvalidCredentials {
			k.Errorf("the old password: %v", err)
		}
	})
}

func TestWrongPasswordOfAnEndedSessionIsNotEvenCompared(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(account.DeleteSessions(k.Ctx))
		before := k.Hasher.Hashes()
		k.Refuses("ended session", latchkey.ErrUnauthorized, func() error { return kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, "wrong horse")) })
		if k.Hasher.Hashes() != before {
			k.Error("a hash was spent")
		}
	})
}
