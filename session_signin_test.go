package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
)

func TestSignInMakesASessionWithItsDevice(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn("ADA@example.org")
		now := k.Clock.Now()
		want := &latchkey.Session{
			ID: session.ID, UserID: user.ID, CreatedAt: now, UpdatedAt: now, AccessedAt: now, Expire: now.Add(365 * 24 * time.Hour),
			Provider: "email", ProviderUID: kit.Ada, Factors: []string{"password"}, IP: "192.0.2.7", Current: true,
			Device: latchkey.Device{
				OSCode: "WIN", OSName: "Windows", OSVersion: "10", ClientType: "browser", ClientCode: "CH",
				ClientName: "Chrome", ClientVersion: "70.0", ClientEngine: "Blink", DeviceName: "desktop",
			},
			Secret: session.Secret,
		}
		if diff := cmp.Diff(want, session); diff != "" {
			k.Errorf("session (-want +got):\n%s", diff)
		}
		if len(session.Secret.Reveal()) != 64 {
			k.Errorf("a secret of %d characters", len(session.Secret.Reveal()))
		}
		want.Secret = latchkey.Secret{}
		got, err := account.GetSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			k.Errorf("current session (-want +got):\n%s", diff)
		}
		if account.UserID() != user.ID || account.SessionID() != session.ID {
			k.Errorf("account of %s and %s", account.UserID(), account.SessionID())
		}
	})
}

func TestAnonymousSessionMakesItsOwnUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		first, err := k.Visitor.CreateAnonymousSession(k.Ctx)
		k.Must(err)
		second, err := k.Visitor.CreateAnonymousSession(k.Ctx)
		k.Must(err)
		if first.UserID == second.UserID || first.Provider != "anonymous" || first.Factors[0] != "anonymous" {
			k.Errorf("sessions %+v and %+v", first, second)
		}
		account, err := k.Visitor.Authenticate(k.Ctx, first.Secret.Reveal())
		k.Must(err)
		user, err := account.User(k.Ctx)
		k.Must(err)
		if user.Email != "" || user.Name != "" || !user.PasswordUpdate.IsZero() || len(user.Targets) != 0 {
			k.Errorf("anonymous user %+v", user)
		}
	})
}

func TestBlockedUserIsToldAfterTheRightPasswordOnly(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.ChangeUser(user.ID, func(u *record.User) { u.Blocked = true })
		before := k.Rows()["sessions"]
		if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse"); err != latchkey.ErrInvalidCredentials {
			k.Errorf("wrong password: %v", err)
		}
		if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password); err != latchkey.ErrUserBlocked {
			k.Errorf("right password: %v", err)
		}
		if k.Rows()["sessions"] != before {
			k.Error("a blocked user got a session")
		}
	})
}

func TestSignInSeesWhatChangedWhileThePasswordWasChecked(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		try := func() error {
			_, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			return err
		}
		k.Interfere(func() { k.ChangeUser(user.ID, func(u *record.User) { u.Blocked = true }) })
		if err := try(); err != latchkey.ErrUserBlocked {
			k.Errorf("blocked meanwhile: %v", err)
		}
		k.ChangeUser(user.ID, func(u *record.User) { u.Blocked = false })
		var old []byte
		k.Interfere(func() { k.ChangeUser(user.ID, func(u *record.User) { old, u.Password = u.Password, nil }) })
		if err := try(); err != latchkey.ErrInvalidCredentials {
			k.Errorf("password gone meanwhile: %v", err)
		}
		k.ChangeUser(user.ID, func(u *record.User) { u.Password = old })
		k.Interfere(func() { k.ChangeUser(user.ID, func(u *record.User) { u.Email = "" }) })
		if err := try(); err != latchkey.ErrInvalidCredentials {
			k.Errorf("address gone meanwhile: %v", err)
		}
		k.ChangeUser(user.ID, func(u *record.User) { u.Email = kit.Ada })
		k.Interfere(func() {
			for range 11 {
				_, _ = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse")
			}
		})
		if err := try(); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("slowed meanwhile: %v", err)
		}
		if n := k.Rows()["sessions"]; n != 0 {
			k.Errorf("%d sessions", n)
		}
	})
}
