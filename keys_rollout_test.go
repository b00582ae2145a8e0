package latchkey_test

import (
	"fmt"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A new key reaches the machines one after the other, in the order that docs/several-machines.md has.
// At no time does a machine meet a password, a session, a code, a factor or a JWT that it cannot take.
func TestKeysANewKeyRollsOutMachineByMachine(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		former, next := k.Keys.Active, latchkey.GenerateKey()
		machine := func(active latchkey.Key, old ...latchkey.Key) *latchkey.Engine {
			e, err := latchkey.New(k.Raw, latchkey.Config{
				Keys: latchkey.Keys{Active: active, Old: old}, Hasher: k.Hasher, Now: k.Clock.Now, Notifier: k.Box, SMS: k.Box,
				RedirectHosts: []string{"app.example.org"}, LimiterPerProcess: true,
			})
			k.Must(err)
			k.Cleanup(func() { k.Must(e.Close()) })
			return e
		}
		steps := []func() *latchkey.Engine{
			func() *latchkey.Engine { return machine(former) },
			func() *latchkey.Engine { return machine(former, next) },
			func() *latchkey.Engine { return machine(next, former) },
			func() *latchkey.Engine { return machine(next) },
		}
		users := 0
		var secrets, jwts []latchkey.Secret
		// work makes a user and a code on one machine, and uses both on the other one.
		work := func(one, two *latchkey.Engine) {
			users++
			email := fmt.Sprintf("u%d@example.org", users)
			a, b := one.Guest(kit.Client), two.Guest(kit.Client)
			k.Must(kit.Err(a.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: kit.Password})))
			session, err := b.CreateEmailPasswordSession(k.Ctx, email, kit.Password)
			k.Must(err)
			account, err := a.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			jwt, err := account.CreateJWT(k.Ctx, 0)
			k.Must(err)
			secrets, jwts = append(secrets, session.Secret), append(jwts, jwt)
			coded := "c" + email
			token, err := a.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: coded})
			k.Must(err)
			k.Must(kit.Err(b.CreateSession(k.Ctx, token.UserID, k.MailOf(token, coded).Secret)))
			for _, secret := range secrets {
				k.Must(kit.Err(b.Authenticate(k.Ctx, secret.Reveal())))
			}
			for _, jwt := range jwts {
				k.Must(kit.Err(b.AuthenticateJWT(k.Ctx, jwt.Reveal())))
			}
			for i := range users { // with the password that another key may have sealed
				k.Must(kit.Err(a.CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", i+1), kit.Password)))
			}
		}
		one, two := steps[0](), steps[0]()
		work(one, two)
		for n, step := range steps[1:] {
			if n == 2 {
				done, err := one.Reseal(k.Ctx)
				k.Must(err)
				if len(done.Left) != 0 {
					k.Fatalf("left: %v", done.Left)
				}
				jwts = nil // those of the former key end within an hour
			}
			one = step()
			work(one, two)
			work(two, one)
			two = step()
			work(one, two)
		}
	})
}
