package latchkey_test

import (
	"context"
	"errors"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

func TestFaultNamesTheOperationAndHidesTheCause(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Must(k.Store.Store.Close())
		_, err := k.Visitor.CreateAnonymousSession(k.Ctx)
		if err == nil || err.Error() != "latchkey: create anonymous session: internal error" || !errors.Is(err, store.ErrClosed) {
			k.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(k.Ctx)
		cancel()
		if _, err := k.Visitor.CreateAnonymousSession(ctx); !errors.Is(err, context.Canceled) {
			k.Errorf("cancelled: %v", err)
		}
	})
}

// A failed call returns a nil result with its error.
func TestNothingIsReturnedBesideAnError(t *testing.T) {
	k := kit.New(t, memory.Open(), latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}})
	user := k.SignUp(kit.Ada)
	_, account := k.SignIn(kit.Ada)
	hook := k.Store.Hook
	k.Store.Hook = func(c storetest.Call) error {
		if c.Name == "Commit" && c.Done {
			return store.ErrUnknownOutcome
		}
		return hook(c)
	}
	for name, op := range map[string]func() (*latchkey.User, error){
		"create":  func() (*latchkey.User, error) { return k.Users().Create(k.Ctx, latchkey.NewUser{}) },
		"account": func() (*latchkey.User, error) { return account.UpdateEmail(k.Ctx, kit.Bob, kit.Password) },
		"server":  func() (*latchkey.User, error) { return k.Users().UpdatePassword(k.Ctx, user.ID, kit.Password) },
		"name":    func() (*latchkey.User, error) { return k.Users().UpdateName(k.Ctx, user.ID, "x") },
	} {
		if u, err := op(); !errors.Is(err, store.ErrUnknownOutcome) || u != nil {
			t.Errorf("%s: a user %v beside %v", name, u != nil, err)
		}
	}
	k.Store.Hook = hook
}
