package latchkey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/store"
)

func TestPingIsOneRead(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Store.Reset()
		k.Must(k.Ping(k.Ctx))
		if reads, updates := k.Store.Reads.Load(), k.Store.Updates.Load(); reads != 1 || updates != 0 {
			k.Errorf("%d reads, %d transactions", reads, updates)
		}
		k.Must(k.Store.Store.Close())
		if err := k.Ping(k.Ctx); !errors.Is(err, store.ErrClosed) {
			k.Error(err)
		}
		if logged := k.Logged.Faults(); len(logged) != 1 || !strings.Contains(logged[0], "operation=ping") {
			k.Errorf("%q", logged)
		}
		k.Must(k.Close())
		if err := k.Ping(k.Ctx); !errors.Is(err, latchkey.ErrClosed) {
			k.Errorf("of a closed engine: %v", err)
		}
		if err := new(latchkey.Engine).Ping(k.Ctx); err == nil {
			k.Error("of no engine: nil")
		}
	})
}

// A page puts a message beside its field, and a program reads the reason.
func TestAnErrorNamesTheFieldAndTheReason(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{Number: true, Dictionary: true}}, func(k *kit.Kit) {
		signUp := func(email, password string) error {
			return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: password}))
		}
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Bob})))
		for _, c := range []struct {
			err                       error
			argument, reason, message string
		}{
			{signUp("ada", kit.Password), "email", reason.Malformed, "Not an e-mail address"},
			{signUp(kit.Ada, "short 1"), "password", reason.TooShort, "It has fewer than 8 characters"},
			{signUp(kit.Ada, strings.Repeat("x1", 200)), "password", reason.TooLong, "It has more than 256 characters"},
			{signUp(kit.Ada, "no digits here"), "password", reason.NoNumber, "It must contain a digit"},
			{signUp(kit.Ada, "password1"), "password", reason.TooCommon, "It is one of the most common passwords"},
			{signUp(kit.Ada, "12345678\xff"), "password", reason.NotUTF8, "It is not UTF-8"},
			{kit.Err(k.Users().UpdateLabels(k.Ctx, "ada", []string{"-"})), "labels", reason.Malformed, "Not a label: 1 to 36 letters and digits of ASCII"},
			{kit.Err(k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada})), "url", reason.Missing, "It is missing"},
			{kit.Err(k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: "https://evil.example/"})), "url", reason.NotAllowed, "The host is not among those that are allowed"},
			{kit.Err(k.Users().UpdateEmail(k.Ctx, k.IDOf(kit.Bob), "bob")), "email", reason.Malformed, "Not an e-mail address"},
		} {
			e, is := errors.AsType[*latchkey.Error](c.err)
			if !is || e.Argument != c.argument || e.Reason != c.reason || e.Message != c.message || !errors.Is(c.err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%+v, want %+v", e, c)
				continue
			}
			if want := fmt.Sprintf("%s: %s (%s)", c.argument, c.message, e.Type); e.Error() != want {
				k.Errorf("%q, want %q", e.Error(), want)
			}
		}
	})
}

func TestASignInByAPasswordOfAWrongLengthIsOneByAWrongPassword(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for _, password := range []string{"", "short", strings.Repeat("x", 257), "\xff"} {
			for _, email := range []string{kit.Ada, "nobody@example.org"} {
				answers(k, fmt.Sprintf("%.10q of %s", password, email), latchkey.ErrInvalidCredentials, func() error { return k.Try(kit.Owner, email, password) })
			}
		}
		_, account := k.SignIn(kit.Ada)
		answers(k, "a change with an empty one", latchkey.ErrInvalidCredentials, func() error { return kit.Err(account.UpdateEmail(k.Ctx, countess, "")) })
		answers(k, "a step-up with a long one", latchkey.ErrInvalidCredentials, func() error { return kit.Err(account.ConfirmPassword(k.Ctx, strings.Repeat("x", 257))) })
	})
}
