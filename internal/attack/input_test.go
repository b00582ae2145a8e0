package attack_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// AC-105: the input of a sign-up has no field that only the server may set.
func TestAC105SignUpHasNoMemberOfTheServers(t *testing.T) {
	var members []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[latchkey.NewAccount]()) {
		members = append(members, f.Name)
	}
	if want := []string{"UserID", "Email", "Password", "Name"}; !slices.Equal(members, want) {
		t.Errorf("NewAccount has %v, want %v", members, want)
	}
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		if user.EmailVerification || user.PhoneVerification || !user.Status || user.MFA || len(user.Labels) != 0 || !user.CreatedAt.Equal(k.Clock.Now()) {
			k.Errorf("%+v", user)
		}
	})
}

func methodsOf[T any]() func(func(reflect.Method) bool) {
	return func(yield func(reflect.Method) bool) {
		typ := reflect.TypeFor[*T]()
		for i := range typ.NumMethod() {
			if !yield(typ.Method(i)) {
				return
			}
		}
	}
}

// AC-106: the actor of an operation comes from a checked session only.
func TestAC106NobodyActsForSomebodyElse(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		victim := k.SignUp(kit.Ada)
		before := k.Everything()["users"]
		for _, text := range []string{`{}`, `{"UserID":"` + victim.ID + `"}`, `{"session":{"UserID":"` + victim.ID + `"}}`} {
			value := reflect.New(reflect.TypeFor[latchkey.Account]())
			_ = json.Unmarshal([]byte(text), value.Interface())
			forged := value.Interface().(*latchkey.Account)
			if err := kit.Err(forged.User(k.Ctx)); err != latchkey.ErrUnauthorized {
				k.Errorf("an account out of %s: %v", text, err)
			}
		}
		_, account := k.SignIn(kit.Ada)
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(account); err == nil {
			k.Error("a handle can be encoded")
		}
		// A caller who asks for another user's id gets no data of that user.
		if err := kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: victim.ID, Email: kit.Bob, Password: kit.Password})); err != latchkey.ErrUserAlreadyExists {
			k.Errorf("sign-up with the id: %v", err)
		}
		_, somebody := k.Anonymous()
		_ = kit.Err(somebody.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: victim.ID, Email: kit.Bob, Password: kit.Password}))
		if rows := k.Everything()["users"]; !slices.Contains(rows, before[0]) {
			k.Error("the victim's row has changed")
		}
	})
	for method := range methodsOf[latchkey.Account]() {
		for i := 2; i < method.Type.NumIn(); i++ {
			if in := method.Type.In(i); in == reflect.TypeFor[*latchkey.Account]() || in == reflect.TypeFor[*latchkey.User]() {
				t.Errorf("Account.%s takes somebody", method.Name)
			}
		}
	}
}

// AC-109: what is made over an existing user changes nothing of them: the same id, address or
// number, whoever asks, with whatever else in the input.
func TestAC109NothingIsMadeOverAnExistingUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada.1", Email: kit.Ada, Phone: kit.OwnPhone, Password: kit.Password, Name: "Ada"})
		k.Must(err)
		k.Must(kit.Err(k.Users().CreateTarget(k.Ctx, user.ID, latchkey.NewTarget{ID: "target", ProviderType: latchkey.TargetPush, Identifier: "device"})))
		_, anonymous := k.Anonymous()
		for what, do := range map[string]func() error{
			"the id": func() error {
				return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "ada.1", Email: kit.Bob, Password: "another horse", Name: "Eve"}))
			},
			"the address": func() error {
				return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: "ADA@example.org", Password: "another horse", Name: "Eve"}))
			},
			"the number": func() error {
				return kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Phone: kit.OwnPhone, Name: "Eve"}))
			},
			"by a guest": func() error {
				return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: "ada.1", Email: kit.Bob, Password: "another horse"}))
			},
			"its address": func() error {
				return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: "another horse"}))
			},
			"by a conversion": func() error {
				return kit.Err(anonymous.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: "another horse"}))
			},
			"the target": func() error {
				return kit.Err(k.Users().CreateTarget(k.Ctx, anonymous.UserID(), latchkey.NewTarget{ID: "target", ProviderType: latchkey.TargetPush, Identifier: "x"}))
			},
			"its identifier": func() error {
				return kit.Err(k.Users().CreateTarget(k.Ctx, anonymous.UserID(), latchkey.NewTarget{ProviderType: latchkey.TargetPush, Identifier: "device"}))
			},
			"the target's id": func() error {
				return kit.Err(anonymous.CreatePushTarget(k.Ctx, latchkey.NewPushTarget{ID: "target", Identifier: "x"}))
			},
			"a changed address": func() error { return kit.Err(k.Users().UpdateEmail(k.Ctx, anonymous.UserID(), kit.Ada)) },
		} {
			before := k.Everything()
			if do() == nil {
				k.Errorf("%s: made", what)
			}
			after := k.Everything()
			for _, table := range []string{"users", "addresses", "targets", "words", "sessions"} {
				k.Same(what+": "+table, after[table], before[table])
			}
		}
	})
}

// AC-111: any text is stored as a value, even text that looks like code.
func TestAC111TextIsAValue(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for n, text := range []string{
			`'; DROP TABLE users; --`, `" OR 1=1 --`, `%`, `_%_`, `\`, `\\`, `$.key`, `*`, `a/b`, `a\/b`, "`", `{"$ne":null}`, `:name`, `?1`, "\u00ff\u0100", "\U0010ffff",
		} {
			user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: fmt.Sprintf("u%d@example.org", n), Name: text})
			k.Must(err)
			prefs, err := json.Marshal(map[string]string{text: text})
			k.Must(err)
			back, err := k.Users().UpdatePrefs(k.Ctx, user.ID, prefs)
			k.Must(err)
			var decoded map[string]string
			k.Must(json.Unmarshal(back, &decoded))
			shown, err := k.Users().Get(k.Ctx, user.ID)
			k.Must(err)
			if shown.Name != text || decoded[text] != text {
				k.Errorf("%q came back as %q and %v", text, shown.Name, decoded)
			}
			for what, err := range map[string]error{
				"get":      kit.Err(k.Users().Get(k.Ctx, text)),
				"sign in":  kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, text, kit.Password)),
				"password": kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, shown.Email, text+"12345678")),
				"session":  k.Users().DeleteSession(k.Ctx, user.ID, text),
			} {
				if err == nil {
					k.Errorf("%s by %q works", what, text)
				}
			}
		}
		if n := k.Rows()["users"]; n != 16 {
			k.Errorf("%d users", n)
		}
	})
}

// AC-112: no text that reaches a header has a line break.
func TestAC112NoLineEndsInIdentifiersAndNames(t *testing.T) {
	addresses := make(map[string]string)
	for what, sign := range map[string]string{
		"CR LF": "\r\n", "LF": "\n", "CR": "\r", "NUL": "\x00", "tab": "\t", "U+2028": "\u2028", "U+2029": "\u2029", "NEL": "\u0085", "vertical tab": "\v",
	} {
		addresses[what+" in the local part"] = "a" + sign + "b@x.org"
		addresses[what+" in the domain"] = "a@x" + sign + ".org"
		addresses[what+" behind"] = "a@x.org" + sign + "Bcc: b@y.org"
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			k.SignUp(kit.Ada)
			_, account := k.SignIn(kit.Ada)
			for path, err := range map[string]error{
				"name":          kit.Err(account.UpdateName(k.Ctx, "Ada"+sign)),
				"server's name": kit.Err(k.Users().UpdateName(k.Ctx, account.UserID(), sign+"Ada")),
				"phone":         kit.Err(account.UpdatePhone(k.Ctx, kit.Phone+sign, kit.Password)),
				"label":         kit.Err(k.Users().UpdateLabels(k.Ctx, account.UserID(), []string{"a" + sign})),
				"id":            kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: "a" + sign})),
			} {
				if !errors.Is(err, latchkey.ErrArgumentInvalid) {
					k.Errorf("%s, %s: %v", what, path, err)
				}
			}
			session, err := k.Guest(latchkey.Client{UserAgent: "agent" + sign + "x"}).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			k.Must(err)
			logs, err := record.Logs.List(k.Ctx, k.Store, store.Query{Index: record.Logs.Index("created"), Limit: 100})
			k.Must(err)
			for _, l := range logs {
				if strings.Contains(l.Agent, sign) {
					k.Errorf("%s in the log: %q of %s", what, l.Agent, session.ID)
				}
			}
		})
	}
	refusesAddresses(t, addresses)
}

// AC-114: the count of an identifier holds, whatever client addresses an attacker
// makes up.
func TestAC114MadeUpClientAddressesDoNotHelp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for range 11 {
			ip := netip.AddrFrom4([4]byte{byte(rand.IntN(223) + 1), byte(rand.IntN(256)), byte(rand.IntN(256)), 1})
			if err := k.Try(ip.String(), kit.Ada, "wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		if err := k.Try("198.51.100.200", kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("%v", err)
		}
	})
	if typ := reflect.TypeFor[latchkey.Client](); typ.Field(0).Type != reflect.TypeFor[netip.Addr]() {
		t.Error("a client address may be any text")
	}
}
