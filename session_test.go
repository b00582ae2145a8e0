package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

func TestSessionExpires(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Clock.Advance(time.Hour - time.Microsecond)
		_, err := account.User(k.Ctx)
		k.Must(err)
		k.Clock.Advance(time.Microsecond)
		if _, err := account.User(k.Ctx); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("kept handle: %v", err)
		}
		if _, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("secret: %v", err)
		}
		_, account = k.SignIn(kit.Ada)
		list, err := account.Sessions(k.Ctx)
		k.Must(err)
		if list.Total != 1 || k.Rows()["sessions"] != 1 {
			k.Errorf("%d sessions shown, %d rows kept", list.Total, k.Rows()["sessions"])
		}
		if err := account.DeleteSession(k.Ctx, session.ID); !errors.Is(err, latchkey.ErrSessionNotFound) {
			k.Errorf("deleting the expired one: %v", err)
		}
	})
}

func TestSessionLimitEndsTheOldest(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Limit: 3}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		var made []*latchkey.Session
		var last *latchkey.Account
		for range 5 {
			k.Clock.Advance(time.Second)
			session, account := k.SignIn(kit.Ada)
			made, last = append(made, session), account
		}
		list, err := last.Sessions(k.Ctx)
		k.Must(err)
		var ids []string
		for _, s := range list.Sessions {
			ids = append(ids, s.ID)
		}
		if diff := cmp.Diff([]string{made[2].ID, made[3].ID, made[4].ID}, ids); diff != "" {
			k.Errorf("sessions (-want +got):\n%s", diff)
		}
		for i, s := range made {
			_, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
			if ended := i < 2; ended != errors.Is(err, latchkey.ErrUnauthorized) {
				k.Errorf("session %d: %v", i, err)
			}
		}
		if k.Rows()["logs"] != 1+5+2 {
			k.Errorf("%d log rows for a user, five sessions and two that ended", k.Rows()["logs"])
		}
	})
}

// Sessions that still owe a factor are ended first at the limit, so that an attacker
// with only the password cannot sign the owner out.
func TestSessionsThatOweGoFirst(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		a, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		thief := k.Guest(kit.At("203.0.113.1"))
		for range 10 {
			k.Owing(thief)
		}
		if err := kit.Err(a.User(k.Ctx)); err != nil {
			k.Errorf("the owner: %v", err)
		}
	})
}

func TestEndedSessionIsRefusedAtOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		other, _ := k.SignIn(kit.Ada)
		k.Must(account.DeleteSession(k.Ctx, other.ID))
		if _, err := k.Visitor.Authenticate(k.Ctx, other.Secret.Reveal()); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("the other: %v", err)
		}
		if err := account.DeleteSession(k.Ctx, other.ID); !errors.Is(err, latchkey.ErrSessionNotFound) {
			k.Errorf("twice: %v", err)
		}
		k.Must(account.DeleteSession(k.Ctx, latchkey.CurrentSession))
		if _, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("its own: %v", err)
		}
		for name, err := range map[string]error{
			"delete": account.DeleteSession(k.Ctx, latchkey.CurrentSession), "delete all": account.DeleteSessions(k.Ctx),
		} {
			if !errors.Is(err, latchkey.ErrUnauthorized) {
				k.Errorf("%s by a kept handle: %v", name, err)
			}
		}
	})
}

func TestDeleteSessionsEndsAllOfOneUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignUp("bob@example.org")
		_, account := k.SignIn(kit.Ada)
		k.SignIn(kit.Ada)
		_, bob := k.SignIn("bob@example.org")
		k.Must(account.DeleteSessions(k.Ctx))
		if n := k.Rows()["sessions"]; n != 1 {
			k.Errorf("%d sessions are left, want Bob's", n)
		}
		_, err := bob.User(k.Ctx)
		k.Must(err)
	})
}

// Expired sessions end without an event and without a line of the log.
func TestExpiredSessionsGoWithoutAWord(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		k.Clock.Advance(time.Hour)
		live, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(time.Minute)
		k.Forget()
		k.Must(k.Users().DeleteSessions(k.Ctx, user.ID))
		k.Same("events", k.Events(user.ID, "U", live.ID, "S"), []string{"users.U.sessions.S.delete by server"})
		k.Same("log", k.Logs(), []string{"session.delete by server"})
		if n := k.Rows()["sessions"]; n != 0 {
			k.Errorf("%d rows are left", n)
		}
	})
}
