package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

var documented latchkey.Policy

func TestCreateAccountMakesUserAddressTargetAndLog(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{
			UserID: "ada.1", Email: "Ada@Example.ORG", Password: password, Name: "Ada L.",
		})
		k.must(err)
		now := k.clock.Now()
		want := &latchkey.User{
			ID: "ada.1", CreatedAt: now, UpdatedAt: now, Registration: now, AccessedAt: now, PasswordUpdate: now,
			Name: "Ada L.", Email: ada, Status: true, Labels: []string{}, Prefs: []byte("{}"),
			Targets: []latchkey.Target{{
				ID: user.Targets[0].ID, UserID: "ada.1", CreatedAt: now, UpdatedAt: now, ProviderType: "email", Identifier: ada,
			}},
		}
		if diff := cmp.Diff(want, user); diff != "" {
			k.Errorf("created user (-want +got):\n%s", diff)
		}
		_, account := k.signIn(ada)
		got, err := account.User(k.ctx)
		k.must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			k.Errorf("user as its account shows it (-want +got):\n%s", diff)
		}
		logs, err := record.Logs.List(k.ctx, k.store, store.Query{Index: record.Logs.Index("created"), Limit: 10})
		k.must(err)
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
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		before := k.rows()
		for name, n := range map[string]latchkey.NewAccount{
			"same address":                {Email: ada, Password: password},
			"address in another spelling": {Email: "ADA@EXAMPLE.org", Password: password},
			"same id":                     {UserID: user.ID, Email: "other@example.org", Password: password},
		} {
			if _, err := k.guest.CreateAccount(k.ctx, n); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
				k.Errorf("%s: %v", name, err)
			}
		}
		if diff := cmp.Diff(before, k.rows()); diff != "" {
			k.Errorf("a refusal changed the store (-before +after):\n%s", diff)
		}
	})
}

func TestCreateAccountRefusesBadInputBeforeHashing(t *testing.T) {
	long := strings.Repeat("x", 257)
	for name, n := range map[string]latchkey.NewAccount{
		"no address":          {Password: password},
		"no at":               {Email: "ada", Password: password},
		"two addresses":       {Email: "a@x.org, b@y.org", Password: password},
		"quoted local part":   {Email: `"a@evil.test"@victim.test`, Password: password},
		"angle brackets":      {Email: "<a@x.org>", Password: password},
		"percent routing":     {Email: "a%b@x.org", Password: password},
		"bang routing":        {Email: "a!b@x.org", Password: password},
		"full-width at":       {Email: "a\uff20x.org", Password: password},
		"line break":          {Email: "a@x.org\r\nBcc: b@y.org", Password: password},
		"NUL":                 {Email: "a\x00@x.org", Password: password},
		"no password":         {Email: ada},
		"7 characters":        {Email: ada, Password: "1234567"},
		"257 characters":      {Email: ada, Password: latchkey.Secret(long)},
		"over 1,024 bytes":    {Email: ada, Password: latchkey.Secret(strings.Repeat("\U0001F600", 256) + "x")},
		"not UTF-8":           {Email: ada, Password: "12345678\xff"},
		"id with a bad start": {UserID: "_ada", Email: ada, Password: password},
		"id of 37":            {UserID: strings.Repeat("a", 37), Email: ada, Password: password},
		"id with a space":     {UserID: "a b", Email: ada, Password: password},
		"name of 129":         {Email: ada, Password: password, Name: strings.Repeat("ä", 129)},
		"name with a break":   {Email: ada, Password: password, Name: "a\nb"},
		"name not UTF-8":      {Email: ada, Password: password, Name: "\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				_, err := k.guest.CreateAccount(k.ctx, n)
				if !errors.Is(err, latchkey.ErrArgumentInvalid) {
					k.Errorf("%v", err)
				}
				if err != nil && n.Password != "" && strings.Contains(err.Error(), n.Password.Reveal()) {
					k.Error("the error repeats the password")
				}
				if k.store.Reads.Load()+k.store.Updates.Load() != 0 {
					k.Error("the store was asked")
				}
			})
		})
	}
}

func TestCreateAccountTakesTheLongestAllowed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		for i, p := range []string{"12345678", strings.Repeat("\U0001F600", 256), strings.Repeat(" ", 64)} {
			email := fmt.Sprintf("u%d@example.org", i)
			_, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{
				UserID: strings.Repeat("a", 35) + fmt.Sprint(i), Email: email, Password: latchkey.Secret(p), Name: strings.Repeat("ä", 128),
			})
			k.must(err)
			_, err = k.guest.CreateEmailPasswordSession(k.ctx, email, p)
			k.must(err)
			_, err = k.guest.CreateEmailPasswordSession(k.ctx, email, p[:len(p)-1]+"x")
			if err == nil {
				k.Error("another password signs in")
			}
		}
	})
}

func TestPasswordIsComparedInNormalFormC(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: "cafe\u0301 noir"})
		k.must(err)
		_, err = k.guest.CreateEmailPasswordSession(k.ctx, ada, "caf\u00e9 noir")
		k.must(err)
		_, err = k.guest.CreateEmailPasswordSession(k.ctx, ada, "CAF\u00c9 noir")
		if !errors.Is(err, latchkey.ErrInvalidCredentials) {
			k.Errorf("another case: %v", err)
		}
	})
}

func TestOneAddressOneUserUnderAnyRace(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		var group sync.WaitGroup
		var wins atomic.Int64
		for n := range 32 {
			group.Go(func() {
				email := ada
				if n%2 == 1 {
					email = strings.ToUpper(ada)
				}
				switch _, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: email, Password: password}); {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, latchkey.ErrUserAlreadyExists):
					k.Errorf("contender %d: %v", n, err)
				}
			})
		}
		group.Wait()
		users, err := k.store.Count(k.ctx, store.Query{Index: record.Users.Primary()})
		k.must(err)
		if wins.Load() != 1 || users != 1 {
			k.Errorf("%d of 32 made the account, %d users", wins.Load(), users)
		}
	})
}

func TestZeroAccountIsRefusedByEveryMethod(t *testing.T) {
	ctx := context.Background()
	for _, a := range []*latchkey.Account{nil, {}} {
		_, user := a.User(ctx)
		_, list := a.Sessions(ctx)
		_, get := a.GetSession(ctx, latchkey.Current)
		for name, err := range map[string]error{
			"User": user, "Sessions": list, "GetSession": get,
			"DeleteSession": a.DeleteSession(ctx, latchkey.Current), "DeleteSessions": a.DeleteSessions(ctx),
		} {
			if !errors.Is(err, latchkey.ErrUnauthorized) {
				t.Errorf("%s of a zero account: %v", name, err)
			}
		}
		if a.UserID() != "" || a.SessionID() != "" {
			t.Error("a zero account has an id")
		}
	}
}

// rows counts the rows of every table.
func (k *kit) rows() map[string]int {
	k.Helper()
	out := make(map[string]int)
	for _, table := range record.Schema.Tables() {
		n, err := k.store.Store.Count(k.ctx, store.Query{Index: table.Primary()})
		k.must(err)
		out[table.Name()] = n
	}
	return out
}
