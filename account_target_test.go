package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// pushTo makes a push target of an account.
func pushTo(k *kit.Kit, a *latchkey.Account, identifier string) *latchkey.Target {
	k.Helper()
	t, err := a.CreatePushTarget(k.Ctx, latchkey.NewPushTarget{Identifier: identifier})
	k.Must(err)
	return t
}

// identifiers returns the identifiers of the push targets of a user.
func identifiers(k *kit.Kit, id string) (out []string) {
	k.Helper()
	user, err := k.Users().Get(k.Ctx, id)
	k.Must(err)
	for _, t := range user.Targets {
		if t.ProviderType == latchkey.TargetPush {
			out = append(out, t.Identifier)
		}
	}
	return out
}

func TestPushTargetHasTheNameOfTheDevice(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		phone := kit.Client
		phone.UserAgent = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"
		account, err := k.Guest(phone).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		made, err := account.CreatePushTarget(k.Ctx, latchkey.NewPushTarget{ID: "own.id", Identifier: "device", ProviderID: "fcm"})
		k.Must(err)
		now := k.Clock.Now()
		k.Same("made", made, &latchkey.Target{
			ID: "own.id", UserID: user.ID, CreatedAt: now, UpdatedAt: now, Name: made.Name, ProviderID: "fcm", ProviderType: "push", Identifier: "device",
		})
		if made.Name == "" {
			k.Error("no name")
		}
		_, account = k.SignIn(kit.Ada)
		k.Clock.Advance(time.Minute)
		updated, err := account.UpdatePushTarget(k.Ctx, "own.id", "another") // by another session of the user
		k.Must(err)
		if updated.Identifier != "another" || updated.UpdatedAt != k.Clock.Now() || updated.Name == made.Name {
			k.Errorf("%+v", updated)
		}
		k.Must(account.DeletePushTarget(k.Ctx, "own.id"))
		k.Same("left", identifiers(k, user.ID), []string(nil))
	})
}

func TestPushTargetsOfOthersAndOtherTargetsAreNotFound(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, ada := k.SignIn(kit.Ada)
		_, bob := k.SignIn(kit.Bob)
		made := pushTo(k, ada, "device")
		for _, test := range []struct {
			a  *latchkey.Account
			id string
		}{{bob, made.ID}, {ada, user.Targets[0].ID}, {ada, "unknown"}} {
			k.Refuses("update", latchkey.ErrTargetNotFound, func() error { return kit.Err(test.a.UpdatePushTarget(k.Ctx, test.id, "x")) })
			k.Refuses("delete", latchkey.ErrTargetNotFound, func() error { return test.a.DeletePushTarget(k.Ctx, test.id) })
		}
		k.Refuses("a taken identifier", latchkey.ErrTargetAlreadyExists, func() error {
			return kit.Err(bob.CreatePushTarget(k.Ctx, latchkey.NewPushTarget{Identifier: "device"}))
		})
		k.Refuses("a taken id", latchkey.ErrTargetAlreadyExists, func() error {
			return kit.Err(bob.CreatePushTarget(k.Ctx, latchkey.NewPushTarget{ID: made.ID, Identifier: "x"}))
		})
		k.Refuses("no identifier", latchkey.ErrArgumentInvalid, func() error { return kit.Err(bob.CreatePushTarget(k.Ctx, latchkey.NewPushTarget{})) })
	})
}

// However a session ends, its push targets end with it, and no others.
func TestPushTargetsEndWithTheirSession(t *testing.T) {
	ends := map[string]func(k *kit.Kit, id string, own, other *latchkey.Account){
		"sign-out": func(k *kit.Kit, _ string, own, _ *latchkey.Account) {
			k.Must(own.DeleteSession(k.Ctx, latchkey.CurrentSession))
		},
		"by another session": func(k *kit.Kit, _ string, own, other *latchkey.Account) {
			k.Must(other.DeleteSession(k.Ctx, own.SessionID()))
		},
		"by the server": func(k *kit.Kit, id string, own, _ *latchkey.Account) {
			k.Must(k.Users().DeleteSession(k.Ctx, id, own.SessionID()))
		},
		"all":               func(k *kit.Kit, _ string, _, other *latchkey.Account) { k.Must(other.DeleteSessions(k.Ctx)) },
		"all by the server": func(k *kit.Kit, id string, _, _ *latchkey.Account) { k.Must(k.Users().DeleteSessions(k.Ctx, id)) },
		"everything":        func(k *kit.Kit, _ string, _, _ *latchkey.Account) { k.Must(k.EndAll(k.Ctx)) },
		"another password": func(k *kit.Kit, _ string, _, other *latchkey.Account) {
			k.Must(kit.Err(other.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})))
		},
		"the limit": func(k *kit.Kit, _ string, _, _ *latchkey.Account) {
			for range 10 {
				k.SignIn(kit.Ada)
			}
		},
		"time, and the next sign-in": func(k *kit.Kit, _ string, _, _ *latchkey.Account) {
			k.Clock.Advance(366 * 24 * time.Hour)
			k.SignIn(kit.Ada)
		},
		"time, and the sweep": func(k *kit.Kit, _ string, _, _ *latchkey.Account) {
			k.Clock.Advance(366 * 24 * time.Hour)
			k.Must(kit.Err(k.Sweep(k.Ctx)))
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user := k.SignUp(kit.Ada)
				_, own := k.SignIn(kit.Ada)
				_, other := k.SignIn(kit.Ada)
				pushTo(k, own, "device")
				pushTo(k, own, "second device")
				target(k, user.ID, "of the server")
				end(k, user.ID, own, other)
				k.Same("left", identifiers(k, user.ID), []string{"of the server"})
				target(k, user.ID, "device") // free again
			})
		})
	}
}

// A device that another user has now is not held by the target of a session that has ended.
func TestAPushTargetOfAnEndedSessionGivesWay(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, ada := k.SignIn(kit.Ada)
		pushTo(k, ada, "device")
		k.Clock.Advance(364 * 24 * time.Hour)
		_, bob := k.SignIn(kit.Bob)
		if err := kit.Err(bob.CreatePushTarget(k.Ctx, latchkey.NewPushTarget{Identifier: "device"})); !errors.Is(err, latchkey.ErrTargetAlreadyExists) {
			k.Errorf("while the session lives: %v", err)
		}
		k.Clock.Advance(2 * 24 * time.Hour)
		pushTo(k, bob, "device")
		k.Same("Ada's", identifiers(k, user.ID), []string(nil))
	})
}
