package latchkey_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

func TestUpdateNameChangesNameWordsAndTells(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Forget()
		k.Clock.Advance(time.Second)
		got, err := account.UpdateName(k.Ctx, "Countess of Lovelace")
		k.Must(err)
		user.Name, user.UpdatedAt = "Countess of Lovelace", k.Clock.Now()
		k.Same("user", got, user)
		told := k.Told.Take()
		if len(told) != 1 {
			k.Fatalf("%d events", len(told))
		}
		k.Same("event", told[0], latchkey.Event{
			ID: told[0].ID, Name: "users." + user.ID + ".update.name", Time: k.Clock.Now(), UserID: user.ID, ActorID: user.ID, Mode: "user",
			Client: kit.Client, Payload: user,
		})
		k.Same("log", k.Logs(), []string{"user.update by user"})
		shown, err := account.User(k.Ctx)
		k.Must(err)
		k.Same("user as shown", shown, user)
		words, err := k.Store.Count(k.Ctx, store.Query{
			Index: record.Words.Primary(), Equal: []store.Value{store.Text("users"), store.Text("lovelace"), store.Text(user.ID)},
		})
		k.Must(err)
		if words != 1 {
			k.Error("the new name is not found")
		}
		for name, text := range map[string]string{
			"empty": "", "129 characters": strings.Repeat("ä", 129), "line break": "a\r\nb", "not UTF-8": "\xff", "NUL": "a\x00",
		} {
			k.Refuses(name, latchkey.ErrArgumentInvalid, func() error { return kit.Err(account.UpdateName(k.Ctx, text)) })
		}
		_, err = account.UpdateName(k.Ctx, strings.Repeat("ä", 128))
		k.Must(err)
		k.Refuses("the same name", nil, func() error { return kit.Err(account.UpdateName(k.Ctx, strings.Repeat("ä", 128))) })
		k.Must(account.DeleteSession(k.Ctx, session.ID))
		k.Refuses("ended session", latchkey.ErrUnauthorized, func() error { return kit.Err(account.UpdateName(k.Ctx, "x")) })
	})
}

func TestPrefsAreOneObjectOfAtMost65535Bytes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		got, err := account.Prefs(k.Ctx)
		k.Must(err)
		k.Same("at first", string(got), "{}")
		k.Forget()
		shown, err := account.UpdatePrefs(k.Ctx, json.RawMessage(` {"b": [1, 2.50, null], "a": {"ä": "\u00e4 \ud83d\ude00"} } `))
		k.Must(err)
		const want = `{"b":[1,2.50,null],"a":{"ä":"\u00e4 \ud83d\ude00"}}`
		k.Same("as the user shows them", string(shown.Prefs), want)
		k.Same("events", k.Events(user.ID, "U"), []string{"users.U.update.prefs by user"})
		k.Same("log", k.Logs(), []string{"user.update by user"})
		got, err = k.Users().Prefs(k.Ctx, user.ID)
		k.Must(err)
		k.Same("as the server sees them", string(got), want)
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
			k.Refuses(what, latchkey.ErrArgumentInvalid, func() error { return kit.Err(account.UpdatePrefs(k.Ctx, json.RawMessage(text))) })
			k.Refuses("server: "+what, latchkey.ErrArgumentInvalid, func() error {
				return kit.Err(k.Users().UpdatePrefs(k.Ctx, user.ID, json.RawMessage(text)))
			})
		}
		for _, text := range []json.RawMessage{filled("x", 65_535), filled("ä", 65_535), json.RawMessage(`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + "}")} {
			_, err := account.UpdatePrefs(k.Ctx, text)
			k.Must(err)
		}
		back, err := k.Users().UpdatePrefs(k.Ctx, user.ID, json.RawMessage(`{ }`))
		k.Must(err)
		k.Same("replaced", string(back), "{}")
	})
}

// Input that costs time to check is checked before the transaction, where the check
// would keep other writers waiting.
func TestBadInputDoesNotReachTheWriter(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Store.Reset()
		for what, do := range map[string]func() error{
			"prefs":          func() error { return kit.Err(account.UpdatePrefs(k.Ctx, []byte(`{"a":1,"a":2}`))) },
			"name":           func() error { return kit.Err(account.UpdateName(k.Ctx, "\n")) },
			"server's prefs": func() error { return kit.Err(k.Users().UpdatePrefs(k.Ctx, user.ID, []byte(`[]`))) },
			"labels":         func() error { return kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, []string{"-"})) },
			"e-mail":         func() error { return kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, "no address")) },
			"phone":          func() error { return kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, "no number")) },
		} {
			if err := do(); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", what, err)
			}
		}
		if n := k.Store.Updates.Load(); n != 0 {
			k.Errorf("%d transactions", n)
		}
	})
}

func TestUpdateSessionExtendsFromNowAndKeepsTheSecret(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		other, _ := k.SignIn(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Clock.Advance(30 * time.Minute)
		k.Forget()
		got, err := account.ExtendSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		want := *session
		want.Secret, want.Expire, want.UpdatedAt, want.AccessedAt = latchkey.Secret{}, k.Clock.Now().Add(time.Hour), k.Clock.Now(), k.Clock.Now()
		k.Same("session", got, &want)
		k.Same("events", k.Events(user.ID, "U", session.ID, "S"), []string{"users.U.sessions.S.update by user"})
		k.Same("log", k.Logs(), []string{"session.update by user"})
		k.Clock.Advance(30 * time.Minute)
		_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Refuses("the other, expired now", latchkey.ErrSessionNotFound, func() error { return kit.Err(account.ExtendSession(k.Ctx, other.ID)) })
		k.SignUp(kit.Bob)
		bobs, _ := k.SignIn(kit.Bob)
		k.Refuses("somebody else's", latchkey.ErrSessionNotFound, func() error { return kit.Err(account.ExtendSession(k.Ctx, bobs.ID)) })
		k.Refuses("no id", latchkey.ErrArgumentInvalid, func() error { return kit.Err(account.ExtendSession(k.Ctx, "")) })
		mine, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(time.Minute)
		if got, err := account.ExtendSession(k.Ctx, mine.ID); err != nil || got.Current || !got.Expire.Equal(k.Clock.Now().Add(time.Hour)) {
			k.Errorf("another of one's own: %+v, %v", got, err)
		}
	})
}

func TestExtendingNeverShortens(t *testing.T) {
	k := kit.New(t, memory.Open(), kit.Documented)
	k.SignUp(kit.Ada)
	session, _ := k.SignIn(kit.Ada)
	engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now, Policy: latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}})
	k.Must(err)
	account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
	k.Must(err)
	extended, err := account.ExtendSession(k.Ctx, latchkey.CurrentSession)
	k.Must(err)
	if !extended.Expire.Equal(session.Expire) {
		t.Errorf("extended from %v to %v", session.Expire, extended.Expire)
	}
}
