package latchkey_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/transfer"
)

// Preferences that the engine takes are moved.
func TestAMoveKeepsPreferences(t *testing.T) {
	for name, prefs := range map[string]string{
		"a name twice": `{"a":1,"a":2}`, "a name twice below": `{"x":{"a":1,"a":2}}`, "a name twice by an escape": `{"a":1,"\u0061":2}`, "white space": "{\n \"a\" :\t1 }",
		"deep": `{"a":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`, "a long number": `{"a":0.` + strings.Repeat("3", 300) + `}`, "an empty name": `{"":1}`,
		"minus zero": `{"a":-0}`, "U+2028": "{\"a\":\"\u2028\u0085\"}", "escapes": `{"a":"\u003c\/"}`, "a pair": `{"a":"\ud83d\ude00"}`,
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user := k.SignUp(kit.Ada)
				_, err := k.Users().UpdatePrefs(k.Ctx, user.ID, json.RawMessage(prefs))
				if errors.Is(err, latchkey.ErrArgumentInvalid) {
					return
				}
				k.Must(err)
				k.Must(kit.Err(k.Teams().Create(k.Ctx, latchkey.NewTeam{ID: "club", Name: "Club"})))
				k.Must(kit.Err(k.Teams().UpdatePrefs(k.Ctx, "club", json.RawMessage(prefs))))
				before := portableRows(k, k.Raw)
				other := moved(k, k.Engine)
				after := portableRows(k, other.Raw)
				k.Same("users", after["users"], before["users"])
				k.Same("teams", after["teams"], before["teams"])
			})
		})
	}
}

// A user whose address the policy would allow to no new user is there already, and is moved under
// the same policy.
func TestAMoveKeepsAddressesThatTheEngineHas(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Addresses: latchkey.AddressPolicy{RefuseFree: true}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		if err := kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, "ada@gmail.com")); err != nil {
			return
		}
		other := moved(k, k.Engine)
		k.Same("users after the move", other.Rows()["users"], 1)
	})
}

// The host is told of a user before it is told of what the user has.
func TestAUserIsToldBeforeTheirIdentities(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		imports(k, trusted, the(person(latchkey.PortableUser{ID: "ada", Identities: []latchkey.PortableIdentity{{ID: "i", Provider: "acme", Issuer: "https://acme.example", Subject: "1"}}})))
		var names []string
		for _, e := range k.Told.Take() {
			names = append(names, e.Name)
		}
		k.Same("events", names, []string{"users.ada.create", "users.ada.identities.i.create"})
	})
}

// An export may feed an import of the same store: everything has come already.
func TestAnExportFeedsAnImport(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		imports(k, trusted, the(somePeople(1_200)...))
		enough := errors.New("enough")
		feed := func(yield func(latchkey.Portable, error) bool) {
			if err := k.Export(k.Ctx, latchkey.ExportOptions{}, func(p latchkey.Portable) error {
				if !yield(p, nil) {
					return enough
				}
				return nil
			}); err != nil && err != enough {
				yield(latchkey.Portable{}, err)
			}
		}
		before := k.Everything()
		var done latchkey.Imported
		_, done = imports(k, trusted, feed)
		k.Same("counts", done, latchkey.Imported{Existed: 1_200})
		k.Same("rows", k.Everything(), before)
		n := 0
		k.Must(k.Export(k.Ctx, latchkey.ExportOptions{}, func(p latchkey.Portable) error {
			if n++; n%400 == 1 {
				_, done := imports(k, trusted, the(person(latchkey.PortableUser{ID: fmt.Sprint("zz", n)})))
				k.Same("within an export", done, latchkey.Imported{Created: 1})
			}
			return nil
		}))
		k.Same("exported", n, 1_200)
	})
}

// Results and errors of an import hold nothing of a value of the file.
func TestAC108NoErrorHoldsAValue(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		const s = "Hush"
		long := strings.Repeat(s, 3_000)
		all := []latchkey.Portable{}
		for _, p := range []latchkey.PortableUser{
			{Email: s}, {Email: s + "@"}, {Phone: s}, {Name: s + "\x01"}, {Password: hidden.New(s)}, {Password: hidden.New("$" + s + "$x")}, {Password: hidden.New("$argon2id$" + s)},
			{Password: hidden.New("$scrypt$" + s)}, {Password: hidden.New("$pbkdf2-sha1$i=" + s + "$a$b")}, {PasswordHistory: []latchkey.Secret{hidden.New(s)}}, {Password: hidden.New("$2a$" + s)},
			{Labels: []string{s + " "}}, {Prefs: json.RawMessage(`{"` + s)}, {Prefs: json.RawMessage(`"` + s + `"`)}, {State: latchkey.PortableState{Half: s}},
			{Authenticator: &latchkey.PortableAuthenticator{Seed: hidden.New(s + "1")}}, {Authenticator: &latchkey.PortableAuthenticator{Seed: hidden.New(strings.Repeat("A", 32)), Algorithm: s}},
			{RecoveryCodes: []latchkey.PortableRecoveryCode{{Code: hidden.New(s)}}}, {RecoveryCodes: []latchkey.PortableRecoveryCode{{Code: hidden.New("0123456789"), SessionID: s + "!"}}},
			{Identities: []latchkey.PortableIdentity{{Provider: "p", Issuer: "i", Subject: long}}}, {Identities: []latchkey.PortableIdentity{{Provider: "p", Issuer: "i", Subject: "s", Email: s}}},
			{Identities: []latchkey.PortableIdentity{{Provider: "p", Issuer: "i", Subject: "s", Access: hidden.New(strings.Repeat(s, 1<<15))}}}, {Identities: []latchkey.PortableIdentity{{ID: s + "!", Provider: "p", Issuer: "i", Subject: "s"}}},
			{Targets: []latchkey.Target{{ProviderType: s, Identifier: s}}}, {Targets: []latchkey.Target{{ProviderType: "email", Identifier: s}}}, {Targets: []latchkey.Target{{ProviderType: "push", Identifier: "x", ProviderID: s + "!"}}},
		} {
			all = append(all, person(p))
		}
		check := func(r latchkey.ImportResult) {
			if r.Outcome != latchkey.ImportRefused || r.Err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", r.Err, r.Err, errors.Unwrap(r.Err)), s) {
				k.Errorf("%+v", r)
			}
		}
		_, err := k.Import(k.Ctx, the(all...), latchkey.ImportOptions{OnResult: check})
		k.Must(err)
		file := `{"kind":"latchkey","version":1,"secrets":false,"createdAt":"2026-01-02T03:04:05Z"}` + "\n"
		for _, line := range []string{
			`{"kind":"user","Hush":1}`, `{"kind":"user","id":["Hush"]}`, `{"kind":"user","password":{"Hush":1}}`, `{"kind":"Hush"}`, `{"kind":"user","createdAt":"Hush"}`, `{"kind":"user","prefs":{"Hush":1,"Hush":1}}`,
			`{"kind":"user","Hush`, `Hush`, `{"kind":"user","authenticator":{"seed":"x","step":"Hush"}}`, `{"kind":"user","recoveryCodes":[{"digest":"Hush!"}]}`, `{"kind":"user","id":"a","id":"Hush"}`, "{\"kind\":\"user\",\"name\":\"Hush\xff\"}",
			`{"kind":"user","authenticator":{"seed":"x","step":1e999}}`, `{"kind":"user","authenticator":{"digits":99999999999999999999}}`, `{"kind":"team","id":"Hush`, `{"kind":"membership","roles":"Hush"}`, `["kind","user","Hush"]`,
			`{"kind":"user","ID":"Hush"}`, `{"kind":"user","x":` + strings.Repeat("[", 20_000) + `}`, `null`, `{"kind":"user"} {"kind":"user","name":"Hush"}`,
		} {
			file += line + "\n"
		}
		refused := 0
		_, err = k.Import(k.Ctx, transfer.Read(strings.NewReader(file), transfer.Latchkey, transfer.Options{}), latchkey.ImportOptions{TrustRoles: true, OnResult: func(r latchkey.ImportResult) { refused++; check(r) }})
		if !errors.Is(err, transfer.ErrTooShort) || refused != 21 {
			k.Errorf("%v, %d", err, refused)
		}
	})
}

// A line has one end: what follows MaxLine bytes is not dropped.
func TestNoPartOfALineIsDropped(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		head := `{"kind":"latchkey","version":1,"secrets":false,"createdAt":"2026-01-02T03:04:05Z"}` + "\n"
		user := `{"kind":"user","id":"ada"` + strings.Repeat(" ", transfer.MaxLine-26) + `}`
		file := head + user + "\r\r" + `,"blocked":true}` + "\n" + `{"kind":"end","users":1,"teams":0,"memberships":0}`
		done, _ := k.Import(k.Ctx, transfer.Read(strings.NewReader(file), transfer.Latchkey, transfer.Options{}), latchkey.ImportOptions{})
		k.Same("counts", done, latchkey.Imported{Refused: 1})
	})
}

// The engine may be closed by OnResult: the import ends.
func TestAnImportEndsWhenItsEngineCloses(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		engine := k.Configured(func(*latchkey.Config) {})
		var done latchkey.Imported
		var err error
		done, err = engine.Import(k.Ctx, the(somePeople(1_600)...), latchkey.ImportOptions{OnResult: func(latchkey.ImportResult) { k.Must(engine.Close()) }})
		if !errors.Is(err, latchkey.ErrClosed) || done.Created != k.Rows()["users"] {
			k.Errorf("%v, %+v, %d users", err, done, k.Rows()["users"])
		}
	})
}

// An export finds what belongs to each user, however their ids sort.
func TestAnExportOfIdsThatSortOddly(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var all []latchkey.Portable
		for n := range 2_100 {
			id := fmt.Sprintf("%c%c%d%c%c", "aAzZ09"[n%6], "-_.aAZz0"[n%8], n/48, "._-xX"[n%5], "aAbB"[n%4])
			all = append(all, person(latchkey.PortableUser{
				ID: id, Identities: []latchkey.PortableIdentity{{ID: fmt.Sprint("i", n), Provider: "acme", Issuer: "https://acme.example", Subject: id}},
				Targets: []latchkey.Target{{ProviderType: "push", Identifier: id}}, RecoveryCodes: []latchkey.PortableRecoveryCode{{Code: hidden.New(fmt.Sprintf("%010x", n))}},
			}))
		}
		_, done := imports(k, trusted, the(all...))
		seen := make(map[string]bool)
		k.Must(k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(p latchkey.Portable) error {
			u := p.User
			if seen[u.ID] || len(u.Identities) != 1 || u.Identities[0].Subject != u.ID || len(u.Targets) != 1 || u.Targets[0].Identifier != u.ID || len(u.RecoveryCodes) != 1 {
				return fmt.Errorf("%s: %+v", u.ID, u)
			}
			seen[u.ID] = true
			return nil
		}))
		k.Same("users", []int{len(seen), done.Refused}, []int{done.Created, 2_100 - done.Created})
		if done.Created < 2_000 {
			k.Errorf("%+v", done)
		}
	})
}
