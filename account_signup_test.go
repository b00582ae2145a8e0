package latchkey_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func TestCreateAccountMakesUserAddressTargetAndLog(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{
			UserID: "ada.1", Email: "Ada@Example.ORG", Password: kit.Password, Name: "Ada L.",
		})
		k.Must(err)
		now := k.Clock.Now()
		want := &latchkey.User{
			ID: "ada.1", CreatedAt: now, UpdatedAt: now, Registration: now, AccessedAt: now, PasswordUpdate: now,
			Name: "Ada L.", Email: kit.Ada, EmailCanonical: kit.Ada, EmailIsCanonical: true, EmailIsCorporate: true, Status: true, Labels: []string{}, Prefs: []byte("{}"),
			Targets: []latchkey.Target{{
				ID: user.Targets[0].ID, UserID: "ada.1", CreatedAt: now, UpdatedAt: now, ProviderType: "email", Identifier: kit.Ada,
			}},
		}
		if diff := cmp.Diff(want, user); diff != "" {
			k.Errorf("created user (-want +got):\n%s", diff)
		}
		_, account := k.SignIn(kit.Ada)
		got, err := account.User(k.Ctx)
		k.Must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			k.Errorf("user as its account shows it (-want +got):\n%s", diff)
		}
		logs, err := record.Logs.List(k.Ctx, k.Store, store.Query{Index: record.Logs.Index("created"), Limit: 10})
		k.Must(err)
		var events []string
		for _, l := range logs {
			events = append(events, fmt.Sprint(l.Event, " ", l.Resource, " by ", l.Mode, " at ", l.IP))
		}
		if diff := cmp.Diff([]string{
			"user.create user/ada.1 by guest at 192.0.2.7", "session.create user/ada.1 by user at 192.0.2.7",
		}, events); diff != "" {
			k.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestCreateAccountRefusesWhatIsTakenAndChangesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		before := k.Rows()
		for name, n := range map[string]latchkey.NewAccount{
			"same address":                {Email: kit.Ada, Password: kit.Password},
			"address in another spelling": {Email: "ADA@EXAMPLE.org", Password: kit.Password},
			"same id":                     {UserID: user.ID, Email: "other@example.org", Password: kit.Password},
		} {
			if _, err := k.Visitor.CreateAccount(k.Ctx, n); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
				k.Errorf("%s: %v", name, err)
			}
		}
		if diff := cmp.Diff(before, k.Rows()); diff != "" {
			k.Errorf("a refusal changed the store (-before +after):\n%s", diff)
		}
	})
}

func TestCreateAccountRefusesBadInputBeforeHashing(t *testing.T) {
	long := strings.Repeat("x", 257)
	for name, n := range map[string]latchkey.NewAccount{
		"no address":          {Password: kit.Password},
		"no at":               {Email: "ada", Password: kit.Password},
		"two addresses":       {Email: "a@x.org, b@y.org", Password: kit.Password},
		"quoted local part":   {Email: `"a@evil.test"@victim.test`, Password: kit.Password},
		"angle brackets":      {Email: "<a@x.org>", Password: kit.Password},
		"percent routing":     {Email: "a%b@x.org", Password: kit.Password},
		"bang routing":        {Email: "a!b@x.org", Password: kit.Password},
		"full-width at":       {Email: "a\uff20x.org", Password: kit.Password},
		"line break":          {Email: "a@x.org\r\nBcc: b@y.org", Password: kit.Password},
		"NUL":                 {Email: "a\x00@x.org", Password: kit.Password},
		"no password":         {Email: kit.Ada},
		"7 characters":        {Email: kit.Ada, Password: "1234567"},
		"257 characters":      {Email: kit.Ada, Password: long},
		"over 1,024 bytes":    {Email: kit.Ada, Password: strings.Repeat("\U0001F600", 256) + "x"},
		"not UTF-8":           {Email: kit.Ada, Password: "12345678\xff"},
		"id with a bad start": {UserID: "_ada", Email: kit.Ada, Password: kit.Password},
		"id of 37":            {UserID: strings.Repeat("a", 37), Email: kit.Ada, Password: kit.Password},
		"id with a space":     {UserID: "a b", Email: kit.Ada, Password: kit.Password},
		"name of 129":         {Email: kit.Ada, Password: kit.Password, Name: strings.Repeat("ä", 129)},
		"name with a break":   {Email: kit.Ada, Password: kit.Password, Name: "a\nb"},
		"name not UTF-8":      {Email: kit.Ada, Password: kit.Password, Name: "\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				_, err := k.Visitor.CreateAccount(k.Ctx, n)
				if !errors.Is(err, latchkey.ErrArgumentInvalid) {
					k.Errorf("%v", err)
				}
				if err != nil && n.Password != "" && strings.Contains(err.Error(), n.Password) {
					k.Error("the error repeats the password")
				}
				if k.Store.Reads.Load()+k.Store.Updates.Load() != 0 {
					k.Error("the store was asked")
				}
			})
		})
	}
}

func TestCreateAccountTakesTheLongestAllowed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		for i, p := range []string{"12345678", strings.Repeat("\U0001F600", 256), strings.Repeat(" ", 64)} {
			email := fmt.Sprintf("u%d@example.org", i)
			_, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{
				UserID: strings.Repeat("a", 35) + fmt.Sprint(i), Email: email, Password: p, Name: strings.Repeat("ä", 128),
			})
			k.Must(err)
			_, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, email, p)
			k.Must(err)
			_, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, email, p[:len(p)-1]+"x")
			if err == nil {
				k.Error("another password signs in")
			}
		}
	})
}

func TestOneAddressOneUserUnderAnyRace(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var group sync.WaitGroup
		var wins atomic.Int64
		for n := range 32 {
			group.Go(func() {
				email := kit.Ada
				if n%2 == 1 {
					email = strings.ToUpper(kit.Ada)
				}
				switch _, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: email, Password: kit.Password}); {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, latchkey.ErrUserAlreadyExists):
					k.Errorf("contender %d: %v", n, err)
				}
			})
		}
		group.Wait()
		users, err := k.Store.Count(k.Ctx, store.Query{Index: record.Users.Primary()})
		k.Must(err)
		if wins.Load() != 1 || users != 1 {
			k.Errorf("%d of 32 made the account, %d users", wins.Load(), users)
		}
	})
}

func TestAnonymousAccountBecomesAFullOne(t *testing.T) {
	ways := map[string]func(k *kit.Kit, a *latchkey.Account) (*latchkey.User, error){
		"UpdateEmail": func(k *kit.Kit, a *latchkey.Account) (*latchkey.User, error) {
			return a.UpdateEmail(k.Ctx, kit.Ada, kit.Password)
		},
		"CreateAccount": func(k *kit.Kit, a *latchkey.Account) (*latchkey.User, error) {
			return a.CreateAccount(k.Ctx, latchkey.NewAccount{UserID: "ignored", Email: kit.Ada, Password: kit.Password, Name: "Ada"})
		},
		"UpdatePhone and UpdateEmail": func(k *kit.Kit, a *latchkey.Account) (*latchkey.User, error) {
			if _, err := a.UpdatePhone(k.Ctx, "+14155550100", kit.Password); err != nil {
				return nil, err
			}
			return a.UpdateEmail(k.Ctx, kit.Ada, kit.Password)
		},
		"UpdatePassword and UpdateEmail": func(k *kit.Kit, a *latchkey.Account) (*latchkey.User, error) {
			if _, err := a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password, Old: "whatever"}); err != nil {
				return nil, err
			}
			return a.UpdateEmail(k.Ctx, kit.Ada, kit.Password)
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				session, account := k.Anonymous()
				k.Clock.Advance(time.Hour)
				k.Forget()
				user, err := way(k, account)
				k.Must(err)
				if user.ID != session.UserID || user.Email != kit.Ada || user.EmailVerification || !user.PasswordUpdate.Equal(k.Clock.Now()) ||
					!slices.ContainsFunc(user.Targets, func(t latchkey.Target) bool { return t.Identifier == kit.Ada }) {
					k.Errorf("user: %+v", user)
				}
				signedIn, _ := k.SignIn(kit.Ada)
				if signedIn.UserID != session.UserID {
					k.Error("the password signs somebody else in")
				}
				if name == "CreateAccount" {
					k.Same("events", k.Events(user.ID, "U", signedIn.ID, "S")[:3], []string{
						"users.U.update.name by user", "users.U.update.email by user", "users.U.update.password by user",
					})
				}
				k.Refuses("twice", latchkey.ErrSessionAlreadyExists, func() error {
					return kit.Err(account.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: kit.Password}))
				})
			})
		})
	}
}

func TestCreateAccountOfASessionRefusesBadInput(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.Anonymous()
		for what, c := range map[string]struct {
			n    latchkey.NewAccount
			want error
		}{
			"taken address":  {latchkey.NewAccount{Email: kit.Ada, Password: kit.Password}, latchkey.ErrTargetAlreadyExists},
			"no address":     {latchkey.NewAccount{Password: kit.Password}, latchkey.ErrArgumentInvalid},
			"no password":    {latchkey.NewAccount{Email: kit.Bob}, latchkey.ErrArgumentInvalid},
			"short password": {latchkey.NewAccount{Email: kit.Bob, Password: "1234567"}, latchkey.ErrArgumentInvalid},
			"bad id":         {latchkey.NewAccount{UserID: "_", Email: kit.Bob, Password: kit.Password}, latchkey.ErrArgumentInvalid},
			"bad name":       {latchkey.NewAccount{Email: kit.Bob, Password: kit.Password, Name: "\n"}, latchkey.ErrArgumentInvalid},
		} {
			k.Refuses(what, c.want, func() error { return kit.Err(account.CreateAccount(k.Ctx, c.n)) })
		}
	})
}

// A host may log its inputs. Neither fmt nor slog may show the password in them.
func TestInputsPrintNoPassword(t *testing.T) {
	const secret = "correct horse"
	for _, input := range []any{
		latchkey.NewAccount{Email: kit.Ada, Password: secret}, &latchkey.NewAccount{Password: secret},
		latchkey.NewUser{Email: kit.Ada, Password: secret}, latchkey.PasswordUpdate{New: secret, Old: secret}, []latchkey.NewUser{{Password: secret}},
	} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("in", "input", input)
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q", input, input, input, input, input), log.String()} {
			if strings.Contains(text, secret) || !strings.Contains(text, "secret]") {
				t.Errorf("%T: %s", input, text)
			}
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("in", "input", latchkey.NewUser{Email: kit.Ada, Password: secret})
	if text := log.String(); strings.Contains(text, secret) || !strings.Contains(text, kit.Ada) {
		t.Error(text)
	}
}
