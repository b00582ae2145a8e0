package latchkey_test

import (
	"context"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store/storetest"
)

func TestNothingIsToldOfWhatIsNotCommitted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ctx, cancel := context.WithCancel(k.Ctx)
		k.Interfere(cancel)
		if err := kit.Err(k.Visitor.CreateAnonymousSession(ctx)); err == nil {
			k.Error("a cancelled operation worked")
		}
		if told := k.Told.Take(); len(told) != 0 {
			k.Errorf("told: %v", told)
		}
	})
}

func TestWhatIsNotCommittedIsToldToNobody(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Alerts: true}}, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		hook := k.Store.Hook
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && !c.Done {
				return kit.ErrDisk
			}
			return nil
		}
		for name, do := range map[string]func() error{
			"a sign-in": func() error { return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)) },
			"a change":  func() error { return kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password)) },
		} {
			if do() == nil {
				k.Errorf("%s is committed", name)
			}
		}
		k.Store.Hook = hook
		if got := k.Posted(k.Engine); len(got) != 0 {
			k.Error(got)
		}
	})
}
