package latchkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/latchkey"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

const bob = "bob@example.org"

// same compares what was returned, logged or told.
func (k *kit) same(what string, got, want any) {
	k.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		k.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// refuses reports an operation that does not answer with want, or that changes
// a row, logs or tells something.
func (k *kit) refuses(what string, want error, do func() error) {
	k.Helper()
	k.forget()
	before := k.everything()
	if err := do(); !errors.Is(err, want) {
		k.Errorf("%s: %v, want %v", what, err, want)
	}
	if diff := cmp.Diff(before, k.everything()); diff != "" {
		k.Errorf("%s changed the store (-before +after):\n%s", what, diff)
	}
	if told := k.told.Take(); len(told) != 0 {
		k.Errorf("%s was told: %v", what, told)
	}
}

// everything returns all rows, as text.
func (k *kit) everything() map[string][]string {
	k.Helper()
	out := make(map[string][]string)
	for _, table := range record.Schema.Tables() {
		rows, err := k.store.Store.List(k.ctx, store.Query{Index: table.Primary(), Limit: store.MaxLimit})
		k.must(err)
		for _, row := range rows {
			var line strings.Builder
			for i, column := range table.Columns() {
				v := row.At(i)
				fmt.Fprintf(&line, "%s=%v/%q/%d ", column.Name, v.IsNull(), v.Text(), v.Int())
			}
			out[table.Name()] = append(out[table.Name()], line.String())
		}
	}
	return out
}

// anonymous signs somebody in without a name.
func (k *kit) anonymous() (*latchkey.Session, *latchkey.Account) {
	k.Helper()
	session, err := k.guest.CreateAnonymousSession(k.ctx)
	k.must(err)
	account, err := k.guest.Authenticate(k.ctx, session.Secret)
	k.must(err)
	return session, account
}

func ignore[T any](_ T, err error) error { return err }

func TestUpdateNameChangesNameWordsAndTells(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		session, account := k.signIn(ada)
		k.forget()
		k.clock.Advance(time.Second)
		got, err := account.UpdateName(k.ctx, "Countess of Lovelace")
		k.must(err)
		user.Name, user.UpdatedAt = "Countess of Lovelace", k.clock.Now()
		k.same("user", got, user)
		told := k.told.Take()
		if len(told) != 1 {
			k.Fatalf("%d events", len(told))
		}
		k.same("event", told[0], latchkey.Event{
			Name: "users." + user.ID + ".update.name", Time: k.clock.Now(), UserID: user.ID, ActorID: user.ID, Mode: "user",
			Client: testClient, Payload: user,
		})
		k.same("log", k.logs(), []string{"user.update by user"})
		shown, err := account.User(k.ctx)
		k.must(err)
		k.same("user as shown", shown, user)
		words, err := k.store.Count(k.ctx, store.Query{
			Index: record.Words.Primary(), Equal: []store.Value{store.Text("users"), store.Text("lovelace"), store.Text(user.ID)},
		})
		k.must(err)
		if words != 1 {
			k.Error("the new name is not found")
		}
		for name, text := range map[string]string{
			"empty": "", "129 characters": strings.Repeat("ä", 129), "line break": "a\r\nb", "not UTF-8": "\xff", "NUL": "a\x00",
		} {
			k.refuses(name, latchkey.ErrArgumentInvalid, func() error { return ignore(account.UpdateName(k.ctx, text)) })
		}
		_, err = account.UpdateName(k.ctx, strings.Repeat("ä", 128))
		k.must(err)
		k.refuses("the same name", nil, func() error { return ignore(account.UpdateName(k.ctx, strings.Repeat("ä", 128))) })
		k.must(account.DeleteSession(k.ctx, session.ID))
		k.refuses("ended session", latchkey.ErrUnauthorized, func() error { return ignore(account.UpdateName(k.ctx, "x")) })
	})
}

func TestUpdateEmailMovesAddressAndTarget(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		_, err := k.Users().UpdateEmailVerification(k.ctx, user.ID, true)
		k.must(err)
		k.forget()
		k.clock.Advance(time.Second)
		got, err := account.UpdateEmail(k.ctx, "Countess@Example.org", password)
		k.must(err)
		if got.Email != "countess@example.org" || got.EmailVerification || len(got.Targets) != 1 ||
			got.Targets[0].ID != user.Targets[0].ID || got.Targets[0].Identifier != got.Email {
			k.Errorf("user after the change: %+v", got)
		}
		k.same("events", k.events(user.ID, "U"), []string{"users.U.update.email by user"})
		k.same("log", k.logs(), []string{"user.update by user"})
		if _, err := account.User(k.ctx); err != nil {
			k.Errorf("the session after the change: %v", err)
		}
		if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password); err != latchkey.ErrInvalidCredentials {
			k.Errorf("sign-in by the old address: %v", err)
		}
		k.signIn("countess@example.org")
		k.signUp(ada) // the old address is free at once
		k.refuses("the address that it has", nil, func() error {
			return ignore(account.UpdateEmail(k.ctx, "COUNTESS@example.org", password))
		})
	})
}

func TestUpdateEmailAndPhoneRefuseWhatIsTakenOrMalformed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.signUp(bob)
		_, err := k.Users().Create(k.ctx, latchkey.NewUser{Phone: "+14155550100"})
		k.must(err)
		_, account := k.signIn(ada)
		_, somebody := k.anonymous()
		for name, a := range map[string]*latchkey.Account{"full": account, "anonymous": somebody} {
			for _, c := range []struct {
				what, email, phone, password string
				want                         error
			}{
				{"taken address", "BOB@example.org", "", password, latchkey.ErrTargetAlreadyExists},
				{"taken number", "", "+14155550100", password, latchkey.ErrTargetAlreadyExists},
				{"no address", "bob", "", password, latchkey.ErrArgumentInvalid},
				{"no number", "", "0415555", password, latchkey.ErrArgumentInvalid},
				{"unknown country", "", "+8020000000", password, latchkey.ErrArgumentInvalid},
				{"empty password", "x@example.org", "", "", latchkey.ErrArgumentInvalid},
				{"short password", "", "+14155550101", "1234567", latchkey.ErrArgumentInvalid},
				{"long password", "x@example.org", "", strings.Repeat("x", 257), latchkey.ErrArgumentInvalid},
			} {
				k.refuses(name+", "+c.what, c.want, func() error {
					if c.phone != "" || c.email == "" {
						return ignore(a.UpdatePhone(k.ctx, c.phone, c.password))
					}
					return ignore(a.UpdateEmail(k.ctx, c.email, c.password))
				})
			}
		}
		k.refuses("server, taken address", latchkey.ErrTargetAlreadyExists, func() error {
			return ignore(k.Users().UpdateEmail(k.ctx, user.ID, bob))
		})
		k.refuses("server, taken number", latchkey.ErrTargetAlreadyExists, func() error {
			return ignore(k.Users().UpdatePhone(k.ctx, user.ID, "+14155550100"))
		})
		k.dropTargets()
		k.refuses("taken address without a target", latchkey.ErrEmailAlreadyExists, func() error {
			return ignore(account.UpdateEmail(k.ctx, bob, password))
		})
		k.refuses("taken number without a target", latchkey.ErrPhoneAlreadyExists, func() error {
			return ignore(account.UpdatePhone(k.ctx, "+14155550100", password))
		})
	})
}

// dropTargets deletes all targets behind the engine's back.
func (k *kit) dropTargets() {
	k.Helper()
	k.tampered = true
	k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
		_, err := tx.DeleteRange(ctx, store.Query{Index: record.Targets.Primary(), Limit: store.MaxLimit})
		return err
	}))
}

func TestUpdatePhoneMakesAndMovesTheTarget(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		k.forget()
		got, err := account.UpdatePhone(k.ctx, "+4915212345678", password)
		k.must(err)
		if got.Phone != "+4915212345678" || got.PhoneVerification || len(got.Targets) != 2 || got.Targets[1].ProviderType != "sms" {
			k.Errorf("user with a phone: %+v", got)
		}
		k.same("events", k.events(user.ID, "U"), []string{"users.U.update.phone by user"})
		k.same("log", k.logs(), []string{"user.update by user"})
		again, err := account.UpdatePhone(k.ctx, "+14155550100", password)
		k.must(err)
		if len(again.Targets) != 2 || again.Targets[1].ID != got.Targets[1].ID || again.Targets[1].Identifier != "+14155550100" {
			k.Errorf("user with another phone: %+v", again)
		}
		other := k.signUp(bob)
		_, err = k.Users().UpdatePhone(k.ctx, other.ID, "+4915212345678") // free at once
		k.must(err)
	})
}

func TestWrongPasswordForAChangeIsCountedAndSlowedLikeASignIn(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		k.forget()
		changes := []func(old string) error{
			func(old string) error { return ignore(account.UpdateEmail(k.ctx, "new@example.org", old)) },
			func(old string) error { return ignore(account.UpdatePhone(k.ctx, "+14155550100", old)) },
			func(old string) error { return ignore(account.UpdatePassword(k.ctx, "another horse", old)) },
		}
		for n := range 11 {
			if err := changes[n%3]("wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatalf("wrong password %d: %v", n, err)
			}
		}
		if len(k.told.Take()) != 0 {
			k.Error("a refusal is told")
		}
		k.same("log", k.logs(), []string{"user.refuse by user for user_invalid_credentials, 11"})
		for n, change := range changes {
			if err := change(password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("change %d with the right password: %v", n, err)
			}
		}
		if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("sign-in: %v", err)
		}
		k.clock.Advance(30 * time.Second)
		k.must(changes[1](password))
		for range 10 { // and forgotten
			if err := changes[0]("wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		k.must(changes[0](password))
		if got, err := k.Users().Get(k.ctx, user.ID); err != nil || got.Email != "new@example.org" {
			k.Errorf("%v, %v", got, err)
		}
	})
}

func TestPasswordlessUserIsCountedByItsID(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, one := k.anonymous()
		_, two := k.anonymous()
		for _, a := range []*latchkey.Account{one, two} {
			_, err := a.UpdatePassword(k.ctx, password, "")
			k.must(err)
		}
		for range 11 {
			if _, err := one.UpdatePassword(k.ctx, "another horse", "wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		if _, err := one.UpdatePassword(k.ctx, "another horse", password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("slowed: %v", err)
		}
		_, err := two.UpdatePassword(k.ctx, "another horse", password)
		k.must(err)
	})
}

func TestAnonymousAccountBecomesAFullOne(t *testing.T) {
	ways := map[string]func(k *kit, a *latchkey.Account) (*latchkey.User, error){
		"UpdateEmail": func(k *kit, a *latchkey.Account) (*latchkey.User, error) {
			return a.UpdateEmail(k.ctx, ada, password)
		},
		"CreateAccount": func(k *kit, a *latchkey.Account) (*latchkey.User, error) {
			return a.CreateAccount(k.ctx, latchkey.NewAccount{UserID: "ignored", Email: ada, Password: password, Name: "Ada"})
		},
		"UpdatePhone and UpdateEmail": func(k *kit, a *latchkey.Account) (*latchkey.User, error) {
			if _, err := a.UpdatePhone(k.ctx, "+14155550100", password); err != nil {
				return nil, err
			}
			return a.UpdateEmail(k.ctx, ada, password)
		},
		"UpdatePassword and UpdateEmail": func(k *kit, a *latchkey.Account) (*latchkey.User, error) {
			if _, err := a.UpdatePassword(k.ctx, password, "whatever"); err != nil {
				return nil, err
			}
			return a.UpdateEmail(k.ctx, ada, password)
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				session, account := k.anonymous()
				k.clock.Advance(time.Hour)
				k.forget()
				user, err := way(k, account)
				k.must(err)
				if user.ID != session.UserID || user.Email != ada || user.EmailVerification || !user.PasswordUpdate.Equal(k.clock.Now()) ||
					!slices.ContainsFunc(user.Targets, func(t latchkey.Target) bool { return t.Identifier == ada }) {
					k.Errorf("user: %+v", user)
				}
				signedIn, _ := k.signIn(ada)
				if signedIn.UserID != session.UserID {
					k.Error("the password signs somebody else in")
				}
				if name == "CreateAccount" {
					k.same("events", k.events(user.ID, "U", signedIn.ID, "S")[:3], []string{
						"users.U.update.name by user", "users.U.update.email by user", "users.U.update.password by user",
					})
				}
				k.refuses("twice", latchkey.ErrSessionAlreadyExists, func() error {
					return ignore(account.CreateAccount(k.ctx, latchkey.NewAccount{Email: bob, Password: password}))
				})
			})
		})
	}
}

func TestCreateAccountOfASessionRefusesBadInput(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_, account := k.anonymous()
		for what, c := range map[string]struct {
			n    latchkey.NewAccount
			want error
		}{
			"taken address":  {latchkey.NewAccount{Email: ada, Password: password}, latchkey.ErrTargetAlreadyExists},
			"no address":     {latchkey.NewAccount{Password: password}, latchkey.ErrArgumentInvalid},
			"no password":    {latchkey.NewAccount{Email: bob}, latchkey.ErrArgumentInvalid},
			"short password": {latchkey.NewAccount{Email: bob, Password: "1234567"}, latchkey.ErrArgumentInvalid},
			"bad id":         {latchkey.NewAccount{UserID: "_", Email: bob, Password: password}, latchkey.ErrArgumentInvalid},
			"bad name":       {latchkey.NewAccount{Email: bob, Password: password, Name: "\n"}, latchkey.ErrArgumentInvalid},
		} {
			k.refuses(what, c.want, func() error { return ignore(account.CreateAccount(k.ctx, c.n)) })
		}
	})
}

func TestAC015UpdatePasswordEndsAllOtherSessions(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep ", keep), func(t *testing.T) {
			onEveryStore(t, latchkey.Policy{KeepSessionsOnPasswordChange: keep}, func(k *kit) {
				user := k.signUp(ada)
				other, _ := k.signIn(ada)
				mine, account := k.signIn(ada)
				k.forget()
				k.clock.Advance(time.Second)
				for what, old := range map[string]string{"wrong": "wrong horse", "missing": "", "too long for anybody's": strings.Repeat("x", 256)} {
					if _, err := account.UpdatePassword(k.ctx, "another horse", old); err != latchkey.ErrInvalidCredentials {
						k.Errorf("%s old password: %v", what, err)
					}
				}
				k.forget()
				got, err := account.UpdatePassword(k.ctx, "another horse", password)
				k.must(err)
				if !got.PasswordUpdate.Equal(k.clock.Now()) {
					k.Errorf("user: %+v", got)
				}
				wantErr, events, logs := latchkey.ErrUnauthorized, []string{
					"users.U.update.password by user", "users.U.sessions.S.delete by user",
				}, []string{"session.delete by user", "user.update by user"}
				if keep {
					wantErr, events, logs = nil, events[:1], logs[1:]
				}
				k.same("events", k.events(user.ID, "U", other.ID, "S"), events)
				k.same("log", k.logs(), logs)
				_, err = k.guest.Authenticate(k.ctx, other.Secret)
				if keep != (err == nil) || !keep && !errors.Is(err, wantErr) {
					k.Errorf("the other session: %v", err)
				}
				_, err = k.guest.Authenticate(k.ctx, mine.Secret)
				k.must(err)
				if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password); err != latchkey.ErrInvalidCredentials {
					k.Errorf("the old password: %v", err)
				}
				_, err = k.guest.CreateEmailPasswordSession(k.ctx, ada, "another horse")
				k.must(err)
			})
		})
	}
}

func TestUpdatePasswordRefusesAgainstTheRulesBeforeTheOldOneIsCompared(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		for what, p := range map[string]string{
			"short": "1234567", "empty": "", "long": strings.Repeat("x", 257), "bytes": strings.Repeat("\U0001F600", 256) + "x", "not UTF-8": "12345678\xff",
		} {
			k.refuses(what, latchkey.ErrArgumentInvalid, func() error { return ignore(account.UpdatePassword(k.ctx, p, "wrong horse")) })
		}
		k.refuses("old over the cap", latchkey.ErrArgumentInvalid, func() error {
			return ignore(account.UpdatePassword(k.ctx, "another horse", strings.Repeat("x", 1025)))
		})
		k.must(ignore(account.UpdatePassword(k.ctx, password, password))) // the same again is allowed
	})
}

func TestPrefsAreOneObjectOfAtMost65535Bytes(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		got, err := account.Prefs(k.ctx)
		k.must(err)
		k.same("at first", string(got), "{}")
		k.forget()
		shown, err := account.UpdatePrefs(k.ctx, json.RawMessage(` {"b": [1, 2.50, null], "a": {"ä": "\u00e4 \ud83d\ude00"} } `))
		k.must(err)
		const want = `{"b":[1,2.50,null],"a":{"ä":"\u00e4 \ud83d\ude00"}}`
		k.same("as the user shows them", string(shown.Prefs), want)
		k.same("events", k.events(user.ID, "U"), []string{"users.U.update.prefs by user"})
		k.same("log", k.logs(), []string{"user.update by user"})
		got, err = k.Users().Prefs(k.ctx, user.ID)
		k.must(err)
		k.same("as the server sees them", string(got), want)
		filled := func(filler string, size int) json.RawMessage {
			text := `{"p":"` + strings.Repeat(filler, (size-8)/len(filler))
			return json.RawMessage(text + strings.Repeat("x", size-len(text)-2) + `"}`)
		}
		for what, text := range map[string]string{
			"nothing": "", "null": "null", "text": `"{}"`, "list": "[]", "number": "1", "two objects": "{}{}", "cut": `{"a":`,
			"65,536 bytes": string(filled("x", 65_536)), "65,536 bytes of umlauts": string(filled("ä", 65_536)), "not UTF-8": "{\"a\":\"\xff\"}",
			"name twice": `{"a":1,"\u0061":2}`, "name twice inside": `{"x":[{"a":1,"a":2}]}`, "NUL": `{"a":"\u0000"}`, "half a pair": `{"a":"\ud83d"}`,
			"other half": `{"\ude00":1}`, "number too large": `{"a":1e999}`, "too deep": `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}",
			"huge": `{"a":"` + strings.Repeat("x", 1<<20) + `"}`,
		} {
			k.refuses(what, latchkey.ErrArgumentInvalid, func() error { return ignore(account.UpdatePrefs(k.ctx, json.RawMessage(text))) })
			k.refuses("server: "+what, latchkey.ErrArgumentInvalid, func() error {
				return ignore(k.Users().UpdatePrefs(k.ctx, user.ID, json.RawMessage(text)))
			})
		}
		for _, text := range []json.RawMessage{filled("x", 65_535), filled("ä", 65_535), json.RawMessage(`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + "}")} {
			_, err := account.UpdatePrefs(k.ctx, text)
			k.must(err)
		}
		back, err := k.Users().UpdatePrefs(k.ctx, user.ID, json.RawMessage(`{ }`))
		k.must(err)
		k.same("replaced", string(back), "{}")
	})
}

func TestUpdateStatusBlocksTheCallerAtOnceAndOnlyTheServerUndoesIt(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		session, account := k.signIn(ada)
		_, other := k.signIn(ada)
		k.forget()
		got, err := account.UpdateStatus(k.ctx)
		k.must(err)
		if got.Status {
			k.Error("the status is still true")
		}
		k.same("events", k.events(user.ID, "U"), []string{"users.U.update.status by user"})
		k.same("log", k.logs(), []string{"user.update by user"})
		for what, do := range map[string]func() error{
			"its handle":   func() error { return ignore(account.User(k.ctx)) },
			"other handle": func() error { return other.DeleteSessions(k.ctx) },
			"secret":       func() error { return ignore(k.guest.Authenticate(k.ctx, session.Secret)) },
			"again":        func() error { return ignore(account.UpdateStatus(k.ctx)) },
		} {
			k.refuses(what, latchkey.ErrUserBlocked, do)
		}
		if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, password); err != latchkey.ErrUserBlocked {
			k.Errorf("sign-in: %v", err)
		}
		_, err = k.Users().UpdateStatus(k.ctx, user.ID, true)
		k.must(err)
		_, err = account.User(k.ctx)
		k.must(err)
	})
}

func TestUpdateSessionExtendsFromNowAndKeepsTheSecret(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: time.Hour}, func(k *kit) {
		user := k.signUp(ada)
		other, _ := k.signIn(ada)
		session, account := k.signIn(ada)
		k.clock.Advance(30 * time.Minute)
		k.forget()
		got, err := account.UpdateSession(k.ctx, latchkey.Current)
		k.must(err)
		want := *session
		want.Secret, want.Expire, want.UpdatedAt = "", k.clock.Now().Add(time.Hour), k.clock.Now()
		k.same("session", got, &want)
		k.same("events", k.events(user.ID, "U", session.ID, "S"), []string{"users.U.sessions.S.update by user"})
		k.same("log", k.logs(), []string{"session.update by user"})
		k.clock.Advance(30 * time.Minute)
		_, err = k.guest.Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.refuses("the other, expired now", latchkey.ErrSessionNotFound, func() error { return ignore(account.UpdateSession(k.ctx, other.ID)) })
		k.signUp(bob)
		bobs, _ := k.signIn(bob)
		k.refuses("somebody else's", latchkey.ErrSessionNotFound, func() error { return ignore(account.UpdateSession(k.ctx, bobs.ID)) })
		k.refuses("no id", latchkey.ErrArgumentInvalid, func() error { return ignore(account.UpdateSession(k.ctx, "")) })
		mine, _ := k.signIn(ada)
		k.clock.Advance(time.Minute)
		if got, err := account.UpdateSession(k.ctx, mine.ID); err != nil || got.Current || !got.Expire.Equal(k.clock.Now().Add(time.Hour)) {
			k.Errorf("another of one's own: %+v, %v", got, err)
		}
	})
}

func TestLogsShowWhatHappenedNewestFirst(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.signUp(bob)
		k.clock.Advance(time.Minute)
		if _, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, "wrong horse"); err == nil {
			k.Fatal("signed in")
		}
		k.clock.Advance(time.Minute)
		_, account := k.signIn(ada)
		k.clock.Advance(time.Minute)
		_, err := k.Users().At(latchkey.Client{}).UpdateLabels(k.ctx, user.ID, []string{"vip"})
		k.must(err)
		list, err := account.Logs(k.ctx)
		k.must(err)
		var lines []string
		for _, l := range list.Logs {
			lines = append(lines, fmt.Sprint(l.Event, " ", l.Resource == "user/"+user.ID, " ", l.Mode, " ", l.UserID == user.ID, " ", l.UserName, " ",
				l.UserEmail, " ", l.IP, " ", l.Device.ClientCode, " ", l.Reason, " ", l.Count, " ", k.clock.Now().Sub(l.Time)))
		}
		k.same("log", lines, []string{
			"user.update true server false      0 0s",
			"session.create true user true Ada ada@example.org 192.0.2.7 CH  0 1m0s",
			"session.refuse true guest false   192.0.2.7 CH user_invalid_credentials 1 2m0s",
			"user.create true guest false   192.0.2.7 CH  0 3m0s",
		})
		if list.Total != 4 {
			k.Errorf("a total of %d", list.Total)
		}
		paged, err := account.Logs(k.ctx, latchkey.Limit(1), latchkey.Offset(2))
		k.must(err)
		if paged.Total != 4 || len(paged.Logs) != 1 || paged.Logs[0].Event != "session.refuse" {
			k.Errorf("a page: %+v", paged)
		}
		server, err := k.Users().Logs(k.ctx, user.ID)
		k.must(err)
		k.same("the server's view", server, list)
		for what, q := range map[string][]latchkey.Query{
			"limit 0": {latchkey.Limit(0)}, "limit 5001": {latchkey.Limit(5001)}, "offset -1": {latchkey.Offset(-1)},
			"twice": {latchkey.Limit(1), latchkey.Limit(1)}, "zero": {{}}, "offset too large": {latchkey.Offset(1<<30 + 1)},
		} {
			k.refuses(what, latchkey.ErrArgumentInvalid, func() error { return ignore(account.Logs(k.ctx, q...)) })
		}
	})
}

func TestFloodOfRefusalsIsOneRowAMinuteAndAddress(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		k.forget()
		for _, email := range []string{ada, "nobody@example.org"} {
			for range 5 {
				_ = ignore(k.guest.CreateEmailPasswordSession(k.ctx, email, "wrong horse"))
			}
			k.clock.Advance(time.Minute)
			_ = ignore(k.guest.CreateEmailPasswordSession(k.ctx, email, "wrong horse"))
			_ = ignore(k.Guest(latchkey.Client{}).CreateEmailPasswordSession(k.ctx, email, "wrong horse"))
			k.same("log of "+email, k.logs(), []string{
				"session.refuse by guest for user_invalid_credentials, 1", "session.refuse by guest for user_invalid_credentials, 1",
				"session.refuse by guest for user_invalid_credentials, 5",
			})
		}
		logs, err := record.Logs.List(k.ctx, k.store, store.Query{Index: record.Logs.Index("created"), Limit: 100})
		k.must(err)
		for _, l := range logs {
			if strings.Contains(fmt.Sprint(*l), "nobody") {
				k.Errorf("an unknown address is in the log: %+v", *l)
			}
		}
	})
}

func TestRolesFollowVerificationAndLabels(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.same("guest", k.guest.Roles(), []string{"guests"})
		user := k.signUp(ada)
		_, account := k.signIn(ada)
		check := func(want ...string) {
			k.Helper()
			roles, err := account.Roles(k.ctx)
			k.must(err)
			for i := range roles {
				roles[i] = strings.ReplaceAll(roles[i], user.ID, "U")
			}
			k.same("roles", roles, want)
		}
		check("user:U", "users", "user:U/unverified", "users/unverified")
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)))
		k.must(ignore(k.Users().UpdateLabels(k.ctx, user.ID, []string{"vip", "beta"})))
		check("user:U", "users", "user:U/verified", "users/verified", "label:vip", "label:beta")
	})
}

func TestLastSeenIsWrittenOnceIn24Hours(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		session, account := k.signIn(ada)
		authenticate := func(reads, updates int64) {
			k.Helper()
			k.store.Reset()
			_, err := k.guest.Authenticate(k.ctx, session.Secret)
			k.must(err)
			if r, u := k.store.Reads.Load(), k.store.Updates.Load(); r != reads || u != updates {
				k.Errorf("%d reads and %d updates, want %d and %d", r, u, reads, updates)
			}
		}
		k.clock.Advance(24*time.Hour - time.Microsecond)
		authenticate(1, 0)
		k.clock.Advance(time.Microsecond)
		k.forget()
		authenticate(1, 1)
		authenticate(1, 0)
		if len(k.told.Take())+len(k.logs()) != 0 {
			k.Error("it is told or logged")
		}
		shown, err := account.User(k.ctx)
		k.must(err)
		if !shown.AccessedAt.Equal(k.clock.Now()) || !shown.UpdatedAt.Equal(user.UpdatedAt) {
			k.Errorf("seen %v, updated %v", shown.AccessedAt, shown.UpdatedAt)
		}
	})
}
