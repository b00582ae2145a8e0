package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store"
	"example.com/latchkey/transfer"
)

// moved imports an export of a kit into a new store of the same kind, with everything trusted.
func moved(k *kit.Kit, engine *latchkey.Engine) *kit.Kit {
	k.Helper()
	backend := k.Name()[strings.LastIndexByte(k.Name(), '/')+1:]
	other := kit.New(k.T, kit.Open(k.T, backend), k.Policy)
	other.Clock.Set(k.Clock.Now())
	file := exported(k, engine, latchkey.ExportOptions{Secrets: true})
	results, done := imports(other, trusted, transfer.Read(bytes.NewReader(file), transfer.Latchkey, transfer.Options{}))
	if done.Refused != 0 || done.Existed != 0 {
		k.Errorf("%+v: %v", done, results)
	}
	return other
}

// Who has planted an account with the number of another person loses it when the owner of the
// number comes, also after a move: the mark that a number was proven without a session travels.
func TestAMoveKeepsWhatIsKnownOfANumberProvenWithoutASession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada) // by the attacker, who has the password
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		token, err := account.CreatePhoneVerification(k.Ctx)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, user.ID, k.MailOf(token, kit.Phone).Secret))) // by the owner of the number
		row, err := record.Users.Get(k.Ctx, k.Raw, record.Users.Primary(), store.Text(user.ID))
		k.Must(err)
		k.Same("before the move", []bool{row.PhoneVerified, row.EmailVerified, row.Unclaimed}, []bool{true, false, true})

		after := func(k *kit.Kit) error {
			k.Helper()
			token, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
			k.Must(err)
			k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Phone).Secret)))
			return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password))
		}
		other := moved(k, k.Engine)
		if err := after(k); err != latchkey.ErrInvalidCredentials {
			k.Fatalf("the attacker without a move: %v", err)
		}
		if err := after(other); err != latchkey.ErrInvalidCredentials {
			k.Errorf("the attacker's password opens the account of the owner of the number after a move: %v", err)
		}
	})
}

// longTokens is a provider whose tokens are long, as those of a service that puts groups into them.
type longTokens struct {
	*kit.Provider
	size int
}

func (p longTokens) Exchange(ctx context.Context, f *oauth.Flow) (*oauth.Tokens, error) {
	t, err := p.Provider.Exchange(ctx, f)
	if err == nil {
		t.Access, t.Refresh = hidden.New(strings.Repeat("a", p.size)), hidden.New(strings.Repeat("r", p.size))
	}
	return t, err
}

// What a provider may tell the engine, an import takes back: long tokens, and a subject that is not
// plain.
func TestAMoveKeepsIdentitiesAsTheEngineMakesThem(t *testing.T) {
	for name, c := range map[string]struct {
		size    int
		subject string
	}{
		"a token of 10 KB":             {10_000, "1"},
		"a subject with a tab":         {10, "a\tb"},
		"a subject with a line break":  {10, "a\nb"},
		"a subject with U+0085":        {10, "a\u0085b"},
		"a subject of 255 bytes":       {10, strings.Repeat("x", 255)},
		"a subject with a zero width":  {10, "a\u200bb"},
		"a subject that begins spaced": {10, " a "},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
				engine := k.Configured(func(c0 *latchkey.Config) { c0.Providers = []oauth.Provider{longTokens{k.Acme, c.size}, k.Other} })
				who := oauth.Profile{Subject: c.subject, Email: kit.Ada, EmailVerified: true}
				k.SignInBy(engine.Guest(kit.Client), k.Acme, who)
				other := moved(k, engine)
				k.Same("identities after the move", other.Rows()["identities"], 1)
			})
		})
	}
}

// An export has no line that an import refuses for its length, whatever a user has.
func TestAnExportHasNoLineThatIsTooLong(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
		p := latchkey.PortableUser{ID: "ada", Email: kit.Ada}
		for i := range 90 {
			p.Identities = append(p.Identities, latchkey.PortableIdentity{
				Provider: "acme", Issuer: "https://acme.example", Subject: fmt.Sprint(i),
				Access: hidden.New(strings.Repeat("a", 8_000)), Refresh: hidden.New(strings.Repeat("r", 8_000)),
			})
		}
		results, _ := imports(k, trusted, the(person(p)))
		k.Same("by a program", results, []string{"1 ada created"})
		other := moved(k, k.Engine)
		k.Same("users after the move", other.Rows()["users"], 1)
	})
}

// A time that no file can hold is refused, and does not end in an export that cannot be read.
func TestATimeThatNoFileHoldsIsRefused(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
		for name, at := range map[string]time.Time{
			"year 20000": time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC), "year 400000": time.Date(400_000, 1, 1, 0, 0, 0, 0, time.UTC),
			"year -5": time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), "year 9999": time.Date(9_999, 12, 31, 23, 59, 59, 0, time.UTC),
			"year 0": time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		} {
			id := strings.ReplaceAll(name, " ", "")
			_, err := k.Import(k.Ctx, the(person(latchkey.PortableUser{ID: id, Identities: []latchkey.PortableIdentity{
				{Provider: "acme", Issuer: "https://acme.example", Subject: id, Access: hidden.New("token"), Expire: at},
			}})), trusted)
			if err != nil {
				k.Errorf("%s: the import ends: %v", name, err)
			}
		}
		moved(k, k.Engine)
	})
}

// A hash is a text that a file can hold, so one row does not end an export, and the rule on former
// passwords works.
func TestAHashIsText(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2}}, func(k *kit.Kit) {
		user, err := k.Users().CreatePHPassUser(k.Ctx, latchkey.HashedUser{UserID: "ada", Email: kit.Ada, Hash: hidden.New("$P$B\xff\xff\xff\xff\xff\xff\xff\xffKfdE7H4Uy7ajxpijsjAJW0")})
		if errors.Is(err, latchkey.ErrArgumentInvalid) {
			return
		}
		k.Must(err)
		if err := kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "another horse")); err != nil {
			k.Errorf("a new password: %v", err)
		}
		w := transfer.NewWriter(new(bytes.Buffer), true, k.Clock.Now())
		if err := k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, w.Write); err != nil {
			k.Errorf("an export: %v", err)
		}
	})
}

// The present hash among the former ones takes no place of another former one.
func TestAnImportedHistoryForbidsWhatItHas(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2}}, func(k *kit.Kit) {
		const former = "$md5$5f4dcc3b5aa765d61d8327deb882cf99" // of password
		results, _ := imports(k, trusted, the(person(latchkey.PortableUser{
			ID: "ada", Email: kit.Ada, Password: hidden.New("$md5$" + md5Hash), PasswordHistory: []latchkey.Secret{hidden.New(former), hidden.New("$md5$" + md5Hash)},
		})))
		k.Same("results", results, []string{"1 ada created"})
		k.Refuses("the former one", latchkey.ErrPasswordRecentlyUsed, func() error { return kit.Err(k.Users().UpdatePassword(k.Ctx, "ada", "password")) })
	})
}

// No hash is kept that can be guessed fast: the hash around a fast one costs as much as one of the
// engine's.
func TestAWrappedHashIsNotFast(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		// 8 KiB and one pass around MD5. The hasher of the tests has 64 KiB.
		thin := "$wrapped$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc$md5$" + strings.Repeat("0", 32)
		results, done := imports(k, trusted, the(person(latchkey.PortableUser{ID: "ada", Email: kit.Ada, Password: hidden.New(thin)})))
		if done.Refused == 1 {
			return
		}
		k.Same("results", results, []string{"1 ada created"})
		kept, err := k.Users().PasswordHash(k.Ctx, "ada")
		k.Must(err)
		if strings.Contains(kept.Reveal(), "m=8,t=1,p=1$c29tZXNhbHQ$CTFh") {
			k.Errorf("a fast hash is kept as it is: %s", kept.Reveal())
		}
	})
}

// A user whose row was written while a machine's clock was ahead is moved as the others are.
func TestAMoveKeepsUsersOfAClockThatWasAhead(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		right := k.Clock.Now()
		k.Clock.Advance(10 * 24 * time.Hour)
		k.SignUp(kit.Ada)
		k.Clock.Set(right)
		k.SignUp(kit.Bob)
		other := moved(k, k.Engine)
		k.Same("users after the move", other.Rows()["users"], 2)
	})
}

// A record that cannot be read does not make the whole file a wrong one: a line that is too long.
func TestALongLineIsRefusedByItself(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		file := `{"kind":"latchkey","version":1,"secrets":false,"createdAt":"2026-01-02T03:04:05Z"}
{"kind":"user","id":"ada","name":"` + strings.Repeat("x", transfer.MaxLine) + `"}
{"kind":"user","id":"bob"}
{"kind":"end","users":2,"teams":0,"memberships":0}
`
		done, err := k.Import(k.Ctx, transfer.Read(strings.NewReader(file), transfer.Latchkey, transfer.Options{}), latchkey.ImportOptions{})
		if err != nil || done != (latchkey.Imported{Created: 1, Refused: 1}) {
			k.Errorf("%+v, %v", done, err)
		}
	})
}

// One row does not end an export: a token is a text that a file can hold, or its user is refused.
func TestATokenIsText(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{KeepProviderTokens: true}, func(k *kit.Kit) {
		imports(k, trusted, the(person(latchkey.PortableUser{ID: "ada", Identities: []latchkey.PortableIdentity{
			{Provider: "acme", Issuer: "https://acme.example", Subject: "1", Access: hidden.New("token \xff"), Refresh: hidden.New("\xfe")},
		}})))
		w := transfer.NewWriter(new(bytes.Buffer), true, k.Clock.Now())
		if err := k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, w.Write); err != nil {
			k.Errorf("an export: %v", err)
		}
	})
}
