package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// change changes every row of a table without the engine.
func change[T any](k *kit.Kit, table store.Typed[T], edit func(*T)) {
	k.Helper()
	k.Tampered = true
	k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
		rows, err := table.List(ctx, tx, store.Query{Index: table.Primary(), Limit: store.MaxLimit})
		for _, row := range rows {
			edit(row)
			err = errors.Join(err, table.Replace(ctx, tx, row))
		}
		return err
	}))
}

func spoil(sealed []byte) { sealed[len(sealed)-1] ^= 1 }

func spoilPassword(k *kit.Kit) { change(k, record.Users, func(u *record.User) { spoil(u.Password) }) }

// N-3, AC-121: the host hears of a sealed value that was changed in the store: by an event,
// once a minute, and by a line of its log each time.
func TestN3DamageIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		event  string
		damage func(k *kit.Kit)
		// use opens the value. n counts its calls.
		use    func(k *kit.Kit, e *latchkey.Engine, account *latchkey.Account, n int) error
		goesOn bool // the operation succeeds, and writes the value anew
	}{
		"signing in": {"password", spoilPassword, func(k *kit.Kit, e *latchkey.Engine, _ *latchkey.Account, _ int) error {
			return kit.Err(e.Users().Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password))
		}, false},
		"reading the hash": {"password", spoilPassword, func(k *kit.Kit, e *latchkey.Engine, account *latchkey.Account, _ int) error {
			return kit.Err(e.Users().PasswordHash(k.Ctx, account.UserID()))
		}, false},
		"proving the password": {"password", spoilPassword, func(k *kit.Kit, _ *latchkey.Engine, account *latchkey.Account, _ int) error {
			return kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password))
		}, false},
		"a password by the server": {"password", spoilPassword, func(k *kit.Kit, e *latchkey.Engine, account *latchkey.Account, n int) error {
			return kit.Err(e.Users().UpdatePassword(k.Ctx, account.UserID(), fmt.Sprint("another horse ", n)))
		}, true},
		"a history of passwords": {"history", func(k *kit.Kit) { change(k, record.Users, func(u *record.User) { spoil(u.PasswordHistory) }) },
			func(k *kit.Kit, e *latchkey.Engine, account *latchkey.Account, n int) error {
				return kit.Err(e.Users().UpdatePassword(k.Ctx, account.UserID(), fmt.Sprint("another horse ", n)))
			}, true},
		"a code of an app": {"totp", func(k *kit.Kit) { change(k, record.Authenticators, func(a *record.Authenticator) { spoil(a.Seed) }) },
			func(k *kit.Kit, _ *latchkey.Engine, account *latchkey.Account, _ int) error {
				return kit.Err(k.Answers(account, latchkey.FactorTOTP, "123456"))
			}, false},
		"recovery codes": {"recoverycode", func(k *kit.Kit) { change(k, record.RecoveryCodes, func(c *record.RecoveryCode) { spoil(c.Sealed) }) },
			func(k *kit.Kit, e *latchkey.Engine, account *latchkey.Account, _ int) error {
				return kit.Err(e.Users().MFARecoveryCodes(k.Ctx, account.UserID()))
			}, false},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2}, Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}, func(k *kit.Kit) {
				user := k.SignUp(kit.Ada)
				_, enrolled := k.SignIn(kit.Ada)
				k.Confirmed(enrolled, latchkey.NewMFAAuthenticator{})
				k.Must(kit.Err(k.Users().CreateMFARecoveryCodes(k.Ctx, user.ID)))
				var log bytes.Buffer
				var told []latchkey.Event
				var engine *latchkey.Engine
				engine = k.Configured(func(config *latchkey.Config) {
					config.Limiter, config.Logger = ratelimit.NewMemory(0), slog.New(slog.NewJSONHandler(&log, nil))
					config.OnEvent = func(ctx context.Context, e latchkey.Event) {
						if !strings.HasPrefix(e.Name, "integrity.") {
							return
						}
						told = append(told, e)
						k.Must(kit.Err(engine.Users().UpdateName(ctx, e.UserID, "Suspect"))) // no transaction is open
					}
				})
				session, err := k.Users().CreateSession(k.Ctx, user.ID)
				k.Must(err)
				account, err := engine.Users().Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
				k.Must(err)
				for n, step := range []struct {
					later time.Duration
					told  int
				}{{0, 1}, {0, 1}, {59 * time.Second, 1}, {time.Second, 2}} {
					k.Clock.Advance(step.later)
					if n == 0 || c.goesOn {
						c.damage(k)
					}
					log.Reset()
					err := c.use(k, engine, account, n)
					var own *latchkey.Error
					if c.goesOn != (err == nil) || errors.As(err, &own) {
						k.Errorf("use %d: %v", n, err)
					}
					if len(told) != step.told {
						k.Errorf("use %d: told %v", n, told)
					}
					if !strings.Contains(log.String(), "a sealed value does not open") || !strings.Contains(log.String(), `"value":"`+c.event+`"`) {
						k.Errorf("use %d logs %s", n, log.String())
					}
				}
				want := latchkey.Event{Name: "integrity." + c.event + ".failed", Time: k.Clock.Now(), UserID: user.ID, Mode: "system"}
				want.ID = told[1].ID
				k.Same("event", told[1], want)
			})
		})
	}
}

// N-3: a value whose key the engine lacks is a matter of its configuration, and no damage.
func TestN3UnknownKeyIsNoDamage(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		var log bytes.Buffer
		k.Told.Take()
		engine := k.Configured(func(c *latchkey.Config) {
			c.Keys, c.Logger = latchkey.Keys{Active: latchkey.GenerateKey()}, slog.New(slog.NewJSONHandler(&log, nil))
		})
		if err := kit.Err(engine.Users().PasswordHash(k.Ctx, user.ID)); err == nil {
			k.Error("it opens")
		}
		if told := k.Told.Take(); len(told) != 0 || !strings.Contains(log.String(), "a sealed value does not open") {
			k.Errorf("told %v, logged %s", told, log.String())
		}
	})
}

// N-3: no user without a password or a history is suspect.
func TestN3EmptyValuesAreNoDamage(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2}}, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada})
		k.Must(err)
		for _, password := range []string{kit.Password, "", kit.FreshPassword} {
			k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, password)))
			k.Must(kit.Err(k.Users().PasswordHash(k.Ctx, user.ID)))
		}
		if n := k.Told.Count("integrity.*.failed"); n != 0 {
			k.Errorf("%d events", n)
		}
	})
}

func TestN3EventMatches(t *testing.T) {
	for _, e := range []latchkey.Event{{Name: "integrity.totp.failed", UserID: "a.b"}, {Name: "integrity.totp.failed"}} {
		for pattern, want := range map[string]bool{
			"integrity.totp.failed": true, "integrity.*.failed": true, "integrity.password.failed": false, "integrity.*": true, "integrity.password": false, "users.*": false, "": false, "a.b": false, "limits.*.failed": false,
		} {
			if e.Matches(pattern) != want {
				t.Errorf("%+v matches %q: %v", e, pattern, !want)
			}
		}
	}
	if (latchkey.Event{}).Matches("") {
		t.Error("no event matches")
	}
}
