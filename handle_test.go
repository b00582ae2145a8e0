package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

func TestPrintedAccountShowsNoDigest(t *testing.T) {
	k := kit.New(t, memory.Open(), kit.Documented)
	k.SignUp(kit.Ada)
	_, account := k.SignIn(kit.Ada)
	rows, err := record.Sessions.List(k.Ctx, k.Store.Store, store.Query{Index: record.Sessions.Primary(), Limit: 1})
	k.Must(err)
	for _, text := range []string{fmt.Sprintf("%+v", account), fmt.Sprintf("%#v", *account), fmt.Sprint(*account)} {
		if strings.Contains(text, rows[0].Digest) || text != "latchkey.Account("+account.UserID()+")" {
			t.Errorf("printed as %q", text)
		}
	}
}

func TestZeroHandlesAnswerWithAnError(t *testing.T) {
	ctx := context.Background()
	for name, err := range map[string]error{
		"nil users":          kit.Err((*latchkey.Users)(nil).Get(ctx, "x")),
		"nil users at":       kit.Err((*latchkey.Users)(nil).At(latchkey.Client{}).Get(ctx, "x")),
		"nil users create":   kit.Err((*latchkey.Users)(nil).Create(ctx, latchkey.NewUser{})),
		"zero users":         (&latchkey.Users{}).Delete(ctx, "x"),
		"nil guest":          kit.Err((*latchkey.Guest)(nil).Authenticate(ctx, "x")),
		"zero guest":         kit.Err((&latchkey.Guest{}).CreateAnonymousSession(ctx)),
		"zero guest sign in": kit.Err((&latchkey.Guest{}).CreateEmailPasswordSession(ctx, kit.Ada, kit.Password)),
		"zero engine":        kit.Err(new(latchkey.Engine).Sweep(ctx)),
		"nil account":        (*latchkey.Account)(nil).DeleteSessions(ctx),
		"zero account":       kit.Err(new(latchkey.Account).UpdatePassword(ctx, latchkey.PasswordUpdate{New: "", Old: ""})),
		"zero account name":  kit.Err(new(latchkey.Account).UpdateName(ctx, "")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestZeroAccountIsRefusedByEveryMethod(t *testing.T) {
	ctx := context.Background()
	for _, a := range []*latchkey.Account{nil, {}} {
		_, user := a.User(ctx)
		_, list := a.Sessions(ctx)
		_, get := a.GetSession(ctx, latchkey.CurrentSession)
		for name, err := range map[string]error{
			"User": user, "Sessions": list, "GetSession": get,
			"DeleteSession": a.DeleteSession(ctx, latchkey.CurrentSession), "DeleteSessions": a.DeleteSessions(ctx),
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

// A handle of a deleted user reads nothing of the next user with the same id, even if
// the id changes hands during the read.
func TestHandleReadsNothingOfTheNextUserOfTheID(t *testing.T) {
	for name, read := range map[string]func(ctx context.Context, a *latchkey.Account) error{
		"User":     func(ctx context.Context, a *latchkey.Account) error { return kit.Err(a.User(ctx)) },
		"Prefs":    func(ctx context.Context, a *latchkey.Account) error { return kit.Err(a.Prefs(ctx)) },
		"Logs":     func(ctx context.Context, a *latchkey.Account) error { return kit.Err(a.Logs(ctx)) },
		"Roles":    func(ctx context.Context, a *latchkey.Account) error { return kit.Err(a.Roles(ctx)) },
		"Sessions": func(ctx context.Context, a *latchkey.Account) error { return kit.Err(a.Sessions(ctx)) },
	} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				n := latchkey.NewUser{UserID: "chosen", Email: kit.Ada, Password: kit.Password}
				k.Must(kit.Err(k.Users().Create(k.Ctx, n)))
				_, account := k.SignIn(kit.Ada)
				for at := 1; at <= 4; at++ {
					calls, hook := 0, k.Store.Hook
					k.Store.Hook = func(c storetest.Call) error {
						if !c.Inside && c.Name != "Commit" {
							if calls++; calls == at {
								k.Must(k.Users().Delete(k.Ctx, "chosen"))
								k.Must(kit.Err(k.Users().Create(k.Ctx, n)))
							}
						}
						return hook(c)
					}
					err := read(k.Ctx, account)
					k.Store.Hook = hook
					if calls >= at && err != latchkey.ErrUnauthorized {
						k.Errorf("call %d: %v", at, err)
					}
				}
			})
		})
	}
}
