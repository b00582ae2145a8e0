package attack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// AC-115: a row of the log is one short record without control characters, whatever
// text the client sends.
func TestAC115LogRowsAreOneShortRecord(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for _, agent := range []string{
			"x\nsession.create by server", "\x1b[2J\x1b]0;owned\x07", strings.Repeat("A", 1<<20), "\xff\xfe\x00", strings.Repeat("\U0001F600", 1000), "a\u202eb",
		} {
			k.Clock.Advance(time.Minute)
			_ = kit.Err(k.Guest(latchkey.Client{UserAgent: agent}).CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse"))
		}
		rows, err := record.Logs.List(k.Ctx, k.Store, store.Query{Index: record.Logs.Index("created"), Limit: 100})
		k.Must(err)
		if len(rows) != 7 {
			k.Errorf("%d rows", len(rows))
		}
		for _, l := range rows {
			if len(l.Agent) > 512 || strings.ContainsFunc(l.Agent, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				k.Errorf("%q", l.Agent)
			}
		}
	})
}

// AC-115, AC-116: text from outside is one field of limited length, and no secret is
// printed.
func TestAC115AndAC116MessagesAndLogsOfTokens(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		guest := k.Guest(latchkey.Client{UserAgent: "x\r\nfake line\x1b[31m" + strings.Repeat("y", 5000)})
		token, err := guest.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})
		k.Must(err)
		m := k.Mail(kit.Ada)
		_ = kit.Err(guest.CreateSession(k.Ctx, token.UserID, "no\r\ncode"))
		for _, table := range []string{"logs", "tokens"} {
			for _, line := range k.Everything()[table] {
				if strings.Contains(line, m.Secret) || table == "logs" && strings.Contains(line, `\r`) || len(line) > 2000 {
					k.Errorf("%s: %q", table, line)
				}
			}
		}
		if text := fmt.Sprintf("%v %+v %#v %s", m, m, m, m); strings.Contains(text, m.Secret) || strings.Contains(text, kit.Ada) {
			k.Errorf("printed: %s", text)
		}
	})
}

// AC-116, for printed values: no verb and no encoder shows a secret.
func TestAC116SecretsAreMasked(t *testing.T) {
	secret := hidden.New("hide-me")
	key := latchkey.GenerateKey()
	var out bytes.Buffer
	session := &latchkey.Session{Secret: secret}
	account := latchkey.NewAccount{Password: secret.Reveal()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, secret, session, key, account)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "secret", secret, "session", session, "key", key, "account", account)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "secret", secret, "session", session, "key", key, "account", account)
	if err := json.NewEncoder(&out).Encode([]any{session, account}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"hide-me", fmt.Sprintf("%x", "hide-me"), key.Reveal()[10:]} {
		if strings.Contains(out.String(), text) {
			t.Errorf("%q is shown in %s", text, out.String())
		}
	}
}

// AC-056, AC-116: after any operation, no result, event, line of the log or error
// holds a secret.
func TestAC116NothingShownToldLoggedOrSaidHoldsASecret(t *testing.T) {
	for _, op := range operations.Table {
		t.Run(op.Name, func(t *testing.T) {
			kit.OnAShare(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2}}, func(k *kit.Kit) {
				var out bytes.Buffer
				say := func(x any) {
					fmt.Fprintf(&out, "%v %+v %#v\n", x, x, x)
					_ = json.NewEncoder(&out).Encode(x)
				}
				w := operations.NewWorld(k, true)
				engine, err := latchkey.New(k.Store, latchkey.Config{
					Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now, Policy: k.Policy,
					Logger: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
				})
				k.Must(err)
				k.Engine, k.Visitor = engine, engine.Guest(kit.Client)
				w.Account, err = k.Visitor.Authenticate(k.Ctx, w.Secret.Reveal())
				k.Must(err)
				k.Clock.Advance(25 * time.Hour)
				say(op.Do(w))
				say(op.Do(w)) // many are refused the second time
				say(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, "nobody@example.org", kit.Password)))
				say(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Password, kit.Password))) // the password in the wrong field
				for _, e := range k.Told.Take() {
					say(e)
					say(e.Payload)
				}
				for _, a := range []any{w.Account, w.User, w.Other, k.Visitor, k.Users()} {
					say(a)
				}
				if user, err := k.Users().Get(k.Ctx, w.User.ID); err == nil {
					say(user)
					sessions, err := k.Users().Sessions(k.Ctx, w.User.ID)
					k.Must(err)
					say(sessions)
					for _, s := range sessions.Sessions {
						say(s)
					}
					logs, err := k.Users().Logs(k.Ctx, w.User.ID)
					k.Must(err)
					for _, l := range logs.Logs {
						say(l)
					}
				}
				secrets := []string{kit.Password, "another horse", w.Secret.Reveal(), w.Other.Secret.Reveal(), "argon2", k.Keys.Active.Reveal()[10:]}
				for _, rows := range k.Everything() {
					for _, row := range rows {
						for _, secret := range secrets {
							if strings.Contains(row, secret) {
								k.Errorf("a row holds a secret: %s", row)
							}
						}
					}
				}
				for _, secret := range secrets {
					if strings.Contains(out.String(), secret) || strings.Contains(out.String(), fmt.Sprintf("%x", secret)) {
						k.Errorf("%q is in %s", secret, out.String())
					}
				}
			})
		})
	}
}

// AC-120: a copy of the database holds no usable form of a session's secret, and no
// password hash outside its seal.
func TestAC120CopyOfTheDatabase(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		for _, table := range record.Schema.Tables() {
			rows, err := k.Store.Store.List(k.Ctx, store.Query{Index: table.Primary(), Limit: 100})
			k.Must(err)
			for _, row := range rows {
				for i, v := range row.Values() {
					if strings.Contains(v.Text(), session.Secret.Reveal()) || strings.Contains(v.Text(), "argon2id") ||
						strings.Contains(v.Text(), kit.Password) {
						k.Errorf("%s.%s", table.Name(), table.Columns()[i].Name)
					}
				}
			}
		}
	})
}

// AC-121: a sealed password hash does not open in another user's row, and the host hears
// of it.
func TestAC121PasswordHashOfAnotherUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		victim := k.SignUp(kit.Ada)
		eve := k.SignUp("eve@example.org")
		k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			from, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text(eve.ID))
			if err != nil {
				return err
			}
			to, err := record.Users.Get(ctx, tx, record.Users.Primary(), store.Text(victim.ID))
			if err != nil {
				return err
			}
			to.Password = from.Password
			return record.Users.Replace(ctx, tx, to)
		}))
		_, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		var own *latchkey.Error
		if err == nil || errors.As(err, &own) {
			k.Errorf("signing in with a moved hash: %v", err)
		}
		if n := k.Told.Count("integrity.password.failed"); n != 1 {
			k.Errorf("%d events of integrity", n)
		}
	})
}
