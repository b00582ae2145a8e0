package kit

import (
	"testing"

	"example.com/latchkey"
)

// passwordPaths are all ways to set a password, for users with and without a
// password.
var passwordPaths = map[string]func(k *Kit, p string) error{
	"sign up": func(k *Kit, p string) error {
		_, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: "ada-lovelace", Email: "countess@example.org", Password: p, Name: "Ada King"})
		return err
	},
	"change": func(k *Kit, p string) error {
		_, account := k.Prepared(true)
		return Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: p, Old: FirstPassword}))
	},
	"first by change": func(k *Kit, p string) error {
		_, account := k.Prepared(false)
		return Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: p, Old: ""}))
	},
	"first by e-mail": func(k *Kit, p string) error {
		_, account := k.Prepared(false)
		return Err(account.UpdateEmail(k.Ctx, "countess@example.org", p))
	},
	"first by phone": func(k *Kit, p string) error {
		_, account := k.Prepared(false)
		k.Must(Err(k.Users().UpdateEmail(k.Ctx, account.UserID(), "countess@example.org")))
		return Err(account.UpdatePhone(k.Ctx, "+14155550100", p))
	},
	"anonymous becomes full": func(k *Kit, p string) error {
		_, account := k.Anonymous()
		return Err(account.CreateAccount(k.Ctx, latchkey.NewAccount{Email: "countess@example.org", Password: p, Name: "Ada King"}))
	},
	"server creates": func(k *Kit, p string) error {
		return Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada-lovelace", Email: "countess@example.org", Phone: "+14155550100", Password: p, Name: "Ada King"}))
	},
	"server sets": func(k *Kit, p string) error {
		id, _ := k.Prepared(true)
		return Err(k.Users().UpdatePassword(k.Ctx, id, p))
	},
}

// FirstPassword is the password of [Kit.Prepared]. Every rule for passwords allows
// it.
const FirstPassword = "First-Horse-2026"

// Prepared returns a user who is signed in, with a password or without one.
func (k *Kit) Prepared(has bool) (string, *latchkey.Account) {
	k.Helper()
	n := latchkey.NewUser{UserID: "ada-lovelace", Name: "Ada King"}
	if has {
		n.Email, n.Phone, n.Password = "countess@example.org", "+14155550100", FirstPassword
	}
	user, err := k.Users().Create(k.Ctx, n)
	k.Must(err)
	session, err := k.Users().CreateSession(k.Ctx, user.ID)
	k.Must(err)
	account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
	k.Must(err)
	return user.ID, account
}

// OnEveryPath runs test for every way to set a password, each on a store of its own.
func OnEveryPath(t *testing.T, policy latchkey.Policy, test func(k *Kit, set func(p string) error)) {
	for name, path := range passwordPaths {
		t.Run(name, func(t *testing.T) {
			OnEveryStore(t, policy, func(k *Kit) { test(k, func(p string) error { return path(k, p) }) })
		})
	}
}
