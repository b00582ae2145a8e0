package latchkey_test

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
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// AC-089: the id of another user's session is of no use.
func TestAC089SessionIDOfAnotherUser(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		k.signUp("eve@example.org")
		victim, _ := k.signIn(ada)
		_, eve := k.signIn("eve@example.org")
		if _, err := eve.GetSession(k.ctx, victim.ID); !errors.Is(err, latchkey.ErrSessionNotFound) {
			k.Errorf("read: %v", err)
		}
		if err := eve.DeleteSession(k.ctx, victim.ID); !errors.Is(err, latchkey.ErrSessionNotFound) {
			k.Errorf("revoke: %v", err)
		}
		if _, err := k.guest.Authenticate(k.ctx, latchkey.Secret(victim.ID)); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("as a secret: %v", err)
		}
		_, err := k.guest.Authenticate(k.ctx, victim.Secret)
		k.must(err)
	})
}

// AC-017: there is no engine without a key that was drawn at random.
func TestAC017NoKeyNoEngine(t *testing.T) {
	counting := make([]byte, 32)
	for i := range counting {
		counting[i] = byte(i)
	}
	for name, text := range map[string]string{
		"zero": strings.Repeat("00", 32), "repeated": strings.Repeat("ab", 32), "counting": fmt.Sprintf("%x", counting),
		"two bytes": strings.Repeat("a1b2", 16), "short": "00ff", "not hex": strings.Repeat("zz", 32),
	} {
		if _, err := latchkey.ParseKey("latchkey1-" + text); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
	onEveryStore(t, documented, func(k *kit) {
		if _, err := latchkey.New(k.store, latchkey.Config{}); err == nil {
			k.Error("an engine without a key")
		}
		keys := latchkey.Keys{Active: latchkey.GenerateKey(), Old: make([]latchkey.Key, 1)}
		if _, err := latchkey.New(k.store, latchkey.Config{Keys: keys}); err == nil {
			k.Error("an engine with a zero old key")
		}
	})
	key := latchkey.GenerateKey()
	same, err := latchkey.ParseKey(key.Reveal())
	if err != nil || same != key {
		t.Errorf("a key does not come back: %v", err)
	}
}

// AC-116, as far as values are printed: no verb and no encoder shows a secret.
func TestAC116SecretsAreMasked(t *testing.T) {
	secret := latchkey.Secret("hide-me")
	key := latchkey.GenerateKey()
	var out bytes.Buffer
	session := &latchkey.Session{Secret: secret}
	account := latchkey.NewAccount{Password: secret}
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

// AC-120: a copy of the database holds no secret of a session in any form that
// could be used, and no password hash outside its seal.
func TestAC120CopyOfTheDatabase(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		session, _ := k.signIn(ada)
		for _, table := range record.Schema.Tables() {
			rows, err := k.store.Store.List(k.ctx, store.Query{Index: table.Primary(), Limit: 100})
			k.must(err)
			for _, row := range rows {
				for i, v := range row.Values() {
					if strings.Contains(v.Text(), session.Secret.Reveal()) || strings.Contains(v.Text(), "argon2id") ||
						strings.Contains(v.Text(), password) {
						k.Errorf("%s.%s", table.Name(), table.Columns()[i].Name)
					}
				}
			}
		}
	})
}

// AC-121: a sealed password hash does not open in another user's row.
func TestAC121PasswordHashOfAnotherUser(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		victim := k.signUp(ada)
		eve := k.signUp("eve@example.org")
		k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
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
		_, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password)
		var own *latchkey.Error
		if err == nil || errors.As(err, &own) {
			k.Errorf("signing in with a moved hash: %v", err)
		}
	})
}

// AC-056, AC-116: nothing that is shown, told, logged or said holds a secret,
// whatever is done.
func TestAC116NothingShownToldLoggedOrSaidHoldsASecret(t *testing.T) {
	for _, op := range table {
		t.Run(op.name, func(t *testing.T) {
			oneByOne(t, latchkey.Policy{PasswordHistory: 2}, func(k *kit) {
				var out bytes.Buffer
				say := func(x any) {
					fmt.Fprintf(&out, "%v %+v %#v\n", x, x, x)
					_ = json.NewEncoder(&out).Encode(x)
				}
				w := k.world(true)
				engine, err := latchkey.New(k.store, latchkey.Config{
					Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now, Policy: k.policy,
					Logger: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
				})
				k.must(err)
				k.Engine, k.guest = engine, engine.Guest(testClient)
				w.account, err = k.guest.Authenticate(k.ctx, w.secret)
				k.must(err)
				k.clock.Advance(25 * time.Hour)
				say(op.do(w))
				say(op.do(w)) // the second time many are refused
				say(ignore(k.guest.CreateEmailPasswordSession(k.ctx, "nobody@example.org", password)))
				say(ignore(k.guest.CreateEmailPasswordSession(k.ctx, password, password))) // in the wrong field
				for _, e := range k.told.Take() {
					say(e)
					say(e.Payload)
				}
				for _, a := range []any{w.account, w.user, w.other, k.guest, k.Users()} {
					say(a)
				}
				if user, err := k.Users().Get(k.ctx, w.user.ID); err == nil {
					say(user)
					sessions, err := k.Users().Sessions(k.ctx, w.user.ID)
					k.must(err)
					say(sessions)
					for _, s := range sessions.Sessions {
						say(s)
					}
					logs, err := k.Users().Logs(k.ctx, w.user.ID)
					k.must(err)
					for _, l := range logs.Logs {
						say(l)
					}
				}
				secrets := []string{password, "another horse", w.secret.Reveal(), w.other.Secret.Reveal(), "argon2", k.keys.Active.Reveal()[10:]}
				for _, rows := range k.everything() {
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
