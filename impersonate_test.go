package latchkey_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// helper signs Bob in, who may act for others.
func helper(k *kit.Kit) (*latchkey.User, *latchkey.Account) {
	k.Helper()
	user := k.SignUp(kit.Bob)
	k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, user.ID, true)))
	_, account := k.SignIn(kit.Bob)
	return user, account
}

// actFor returns an account by which another one acts for Ada.
func actFor(k *kit.Kit, a *latchkey.Account) *latchkey.Account {
	k.Helper()
	acting, err := a.Impersonate(k.Ctx, latchkey.ImpersonatedUser{Email: kit.Ada})
	k.Must(err)
	return acting
}

func TestImpersonateShowsTheOtherUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, ada.ID, kit.OwnPhone)))
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, ada.ID, []string{"vip"})))
		session, own := k.SignIn(kit.Ada)
		bob, account := helper(k)
		for _, who := range []latchkey.ImpersonatedUser{{UserID: ada.ID}, {Email: "ADA@example.org"}, {Phone: kit.OwnPhone}} {
			acting, err := account.Impersonate(k.Ctx, who)
			k.Must(err)
			if acting.UserID() != ada.ID || acting.ImpersonatorID() != bob.ID || account.ImpersonatorID() != "" {
				k.Errorf("%s by %s", acting.UserID(), acting.ImpersonatorID())
			}
			got, err := acting.User(k.Ctx)
			k.Must(err)
			want, err := own.User(k.Ctx)
			k.Must(err)
			want.ImpersonatorUserID = bob.ID
			k.Same("user", got, want)
			profile, err := acting.Profile(k.Ctx)
			k.Must(err)
			k.Same("profile", profile.User, want)
			roles, err := acting.Roles(k.Ctx)
			k.Must(err)
			if k.Same("roles", roles, profile.Roles); !roles.Has("label:vip") {
				k.Errorf("%q", roles)
			}
			sessions, err := acting.Sessions(k.Ctx)
			k.Must(err)
			if len(sessions.Sessions) != 1 || sessions.Sessions[0].ID != session.ID || sessions.Sessions[0].Current {
				k.Errorf("%+v", sessions)
			}
			k.Must(kit.Err(acting.GetSession(k.Ctx, session.ID)))
			if err := kit.Err(acting.GetSession(k.Ctx, latchkey.CurrentSession)); !errors.Is(err, latchkey.ErrSessionNotFound) {
				k.Errorf("the current session: %v", err)
			}
			k.Must(kit.Err(acting.MFAFactors(k.Ctx)))
			k.Must(kit.Err(acting.Prefs(k.Ctx)))
			k.Must(kit.Err(acting.Logs(k.Ctx)))
		}
	})
}

// Everything that an impersonator does is marked, in the log and in the events.
func TestImpersonatedCallsAreMarked(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := k.SignUp(kit.Ada)
		bob, account := helper(k)
		k.Clock.Advance(25 * time.Hour) // so that a sight of Ada would be written
		k.Forget()
		seen, err := k.Users().Get(k.Ctx, ada.ID)
		k.Must(err)
		acting := actFor(k, account)
		k.Must(kit.Err(acting.UpdateName(k.Ctx, "Countess")))
		k.Must(kit.Err(acting.UpdatePrefs(k.Ctx, []byte(`{"a":1}`))))
		k.Same("log", k.Logs(), []string{"user.impersonate by impersonator", "user.update by impersonator", "user.update by impersonator"})
		for _, e := range k.Told.Take() {
			if e.UserID != ada.ID || e.ActorID != bob.ID || e.Mode != "impersonator" {
				k.Errorf("%+v", e)
			}
		}
		for range 3 { // one line an hour
			actFor(k, account)
		}
		k.Same("log", k.Logs(), []string(nil))
		k.Clock.Advance(time.Hour)
		actFor(k, account)
		k.Same("log", k.Logs(), []string{"user.impersonate by impersonator"})

		server, err := k.Users().Logs(k.Ctx, ada.ID)
		k.Must(err)
		k.Clock.Advance(time.Hour)
		_, own := k.SignIn(kit.Ada)
		shown, err := own.Logs(k.Ctx)
		k.Must(err)
		export, err := k.Users().Export(k.Ctx, ada.ID)
		k.Must(err)
		if strings.Contains(string(export), bob.ID) {
			k.Error("the export names the impersonator")
		}
		for i, l := range server.Logs[:4] {
			if l.UserID != bob.ID || l.Mode != "impersonator" || l.IP == "" {
				k.Errorf("line %d for the server: %+v", i, l)
			}
		}
		for i, l := range shown.Logs[1:5] {
			if l.UserID != "" || l.Mode != "impersonator" || l.IP != "" || l.Device != (latchkey.Device{}) {
				k.Errorf("line %d for the user: %+v", i, l)
			}
		}
		again, err := k.Users().Get(k.Ctx, ada.ID)
		k.Must(err)
		if again.Name != "Countess" || !seen.AccessedAt.Equal(ada.AccessedAt) {
			k.Errorf("%+v", again)
		}
	})
}

// Without the right, and from the moment on that it is taken away, nobody acts for another.
func TestImpersonateNeedsTheRight(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := k.SignUp(kit.Ada)
		k.SignUp(kit.Bob)
		_, plain := k.SignIn(kit.Bob)
		k.Refuses("without the right", latchkey.ErrUserUnauthorized, func() error {
			return kit.Err(plain.Impersonate(k.Ctx, latchkey.ImpersonatedUser{UserID: ada.ID}))
		})
		k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, plain.UserID(), true)))
		acting := actFor(k, plain)
		for what, test := range map[string]struct {
			who  latchkey.ImpersonatedUser
			want error
		}{
			"nobody":        {latchkey.ImpersonatedUser{}, latchkey.ErrArgumentInvalid},
			"two names":     {latchkey.ImpersonatedUser{UserID: ada.ID, Email: kit.Ada}, latchkey.ErrArgumentInvalid},
			"a bad id":      {latchkey.ImpersonatedUser{UserID: "?"}, latchkey.ErrArgumentInvalid},
			"a bad address": {latchkey.ImpersonatedUser{Email: "?"}, latchkey.ErrArgumentInvalid},
			"a bad number":  {latchkey.ImpersonatedUser{Phone: "?"}, latchkey.ErrArgumentInvalid},
			"an unknown id": {latchkey.ImpersonatedUser{UserID: "unknown"}, latchkey.ErrUserNotFound},
			"unknown":       {latchkey.ImpersonatedUser{Email: "x@example.org"}, latchkey.ErrUserNotFound},
		} {
			k.Refuses(what, test.want, func() error { return kit.Err(plain.Impersonate(k.Ctx, test.who)) })
		}
		k.Refuses("stacked", latchkey.ErrUserUnauthorized, func() error {
			return kit.Err(acting.Impersonate(k.Ctx, latchkey.ImpersonatedUser{Email: kit.Bob}))
		})
		k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, plain.UserID(), false)))
		k.Refuses("read", latchkey.ErrUserUnauthorized, func() error { return kit.Err(acting.User(k.Ctx)) })
		k.Refuses("change", latchkey.ErrUserUnauthorized, func() error { return kit.Err(acting.UpdateName(k.Ctx, "Countess")) })
		k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, plain.UserID(), true)))
		k.Must(kit.Err(acting.User(k.Ctx)))
		k.Must(k.Users().DeleteSessions(k.Ctx, plain.UserID()))
		k.Refuses("an ended session", latchkey.ErrUnauthorized, func() error { return kit.Err(acting.User(k.Ctx)) })
		k.Refuses("an ended session", latchkey.ErrUnauthorized, func() error { return kit.Err(acting.UpdateName(k.Ctx, "Countess")) })
	})
}

// The state of the other user holds too: a blocked one, a deleted one, and one who has their
// id now.
func TestImpersonateFollowsTheOtherUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := k.SignUp(kit.Ada)
		_, account := helper(k)
		acting := actFor(k, account)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, ada.ID, false)))
		every := func(what string, want error) {
			k.Helper()
			for name, do := range map[string]func() error{
				"User":       func() error { return kit.Err(acting.User(k.Ctx)) },
				"Sessions":   func() error { return kit.Err(acting.Sessions(k.Ctx)) },
				"Logs":       func() error { return kit.Err(acting.Logs(k.Ctx)) },
				"UpdateName": func() error { return kit.Err(acting.UpdateName(k.Ctx, "Countess")) },
			} {
				k.Refuses(what+": "+name, want, do)
			}
		}
		every("blocked", latchkey.ErrUserBlocked)
		k.Refuses("blocked", latchkey.ErrUserBlocked, func() error {
			return kit.Err(account.Impersonate(k.Ctx, latchkey.ImpersonatedUser{UserID: ada.ID}))
		})
		k.Must(k.Users().Delete(k.Ctx, ada.ID))
		every("deleted", latchkey.ErrUserNotFound)
		k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: ada.ID, Email: kit.Ada})))
		every("another with the id", latchkey.ErrUserNotFound)
	})
}

// An impersonator whose own session owes a factor acts for nobody.
func TestImpersonateNeedsTheImpersonatorsFactors(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		bob, account := helper(k)
		acting := actFor(k, account)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, bob.ID, true)))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, bob.ID, true)))
		k.Refuses("read", latchkey.ErrMoreFactorsRequired, func() error { return kit.Err(acting.User(k.Ctx)) })
		k.Refuses("factors", latchkey.ErrMoreFactorsRequired, func() error { return kit.Err(acting.MFAFactors(k.Ctx)) })
		k.Refuses("change", latchkey.ErrMoreFactorsRequired, func() error { return kit.Err(acting.UpdateName(k.Ctx, "Countess")) })
	})
}
