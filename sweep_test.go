package latchkey_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store/storetest"
)

func TestSweepDeletesWhatHasRunOutAndNothingElse(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: 48 * time.Hour}, LogLength: 24 * time.Hour}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		lost, _ := k.Anonymous()
		kept, account := k.Anonymous()
		blank, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
		k.Must(err)
		_ = k.Try(kit.Attacker, "nobody@example.org", "wrong horse")
		k.Clock.Advance(47 * time.Hour)
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
		session, _ := k.SignIn(kit.Ada)
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
		k.Clock.Advance(time.Hour)
		k.Forget()
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if swept.Users != 1 || swept.Sessions != 1 || swept.Failures != 1 || swept.Logs < 5 {
			k.Errorf("swept %+v", swept)
		}
		k.Same("events", k.Events(lost.UserID, "U"), []string{"users.U.delete by system"})
		for _, id := range []string{kept.UserID, session.UserID, blank.ID} {
			k.Must(kit.Err(k.Users().Get(k.Ctx, id)))
		}
		if err := kit.Err(k.Users().Get(k.Ctx, lost.UserID)); err != latchkey.ErrUserNotFound {
			k.Errorf("the lost one: %v", err)
		}
		k.Must(kit.Err(account.User(k.Ctx)))
		again, err := k.Sweep(k.Ctx)
		k.Must(err)
		k.Same("again", again, latchkey.Swept{})
	})
}

func TestSweepWorksInBatches(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}, func(k *kit.Kit) {
		for range 130 {
			k.Must(kit.Err(k.Visitor.CreateAnonymousSession(k.Ctx)))
		}
		k.Clock.Advance(time.Hour)
		k.Store.Reset()
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if swept.Users != 130 || k.Rows()["users"]+k.Rows()["sessions"]+k.Rows()["words"] != 0 {
			k.Errorf("swept %+v, left %v", swept, k.Rows())
		}
		if n := k.Store.Updates.Load(); n < 3 {
			k.Errorf("%d transactions", n)
		}
	})
}

// An anonymous user who has become another kind of user is not swept when the
// anonymous session expires.
func TestSweepKeepsUsersWhoCanStillBe(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}, func(k *kit.Kit) {
		kept := make(map[string]string)
		for what, become := range map[string]func(a *latchkey.Account) error{
			"e-mail": func(a *latchkey.Account) error { return kit.Err(a.UpdateEmail(k.Ctx, kit.Ada, kit.Password)) },
			"password": func(a *latchkey.Account) error {
				return kit.Err(a.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password, Old: ""}))
			},
			"phone": func(a *latchkey.Account) error { return kit.Err(k.Users().UpdatePhone(k.Ctx, a.UserID(), kit.Phone)) },
		} {
			_, account := k.Anonymous()
			k.Must(become(account))
			kept[what] = account.UserID()
		}
		made, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
		k.Must(err)
		k.Must(kit.Err(k.Users().CreateSession(k.Ctx, made.ID)))
		kept["made by the server"] = made.ID
		k.Clock.Advance(30 * time.Minute)
		_, account := k.Anonymous()
		k.Clock.Advance(20 * time.Minute)
		k.Must(kit.Err(k.Users().CreateSession(k.Ctx, account.UserID())))
		kept["with a session"] = account.UserID()
		k.Clock.Advance(50 * time.Minute)
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		for what, id := range kept {
			if err := kit.Err(k.Users().Get(k.Ctx, id)); err != nil {
				k.Errorf("%s: %v (swept %+v)", what, err, swept)
			}
		}
	})
}

// The sweep ends even if users that it keeps have more expired sessions than fit in
// one batch.
func TestSweepGetsPastWhatItKeeps(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}, func(k *kit.Kit) {
		for n := range 60 {
			_, account := k.Anonymous()
			k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, account.UserID(), fmt.Sprintf("u%d@example.org", n))))
		}
		k.Clock.Advance(time.Hour)
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if swept.Sessions != 60 || swept.Users != 0 {
			k.Errorf("swept %+v", swept)
		}
	})
}

// AC-118: anonymous users whose sessions were idle for too long are swept.
func TestIdleAnonymousUsersAreSwept(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		for range 3 {
			k.Must(kit.Err(k.Visitor.CreateAnonymousSession(k.Ctx)))
		}
		k.Clock.Advance(31 * 24 * time.Hour)
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if swept.Users != 3 {
			k.Errorf("idle for 31 days, which ends a session after 30: %+v", swept)
		}
	})
}

// After an error, Swept counts the rows that were deleted.
func TestSweepCountsWhatIsGone(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: time.Hour}}, func(k *kit.Kit) {
		for range 5 {
			k.Must(kit.Err(k.Visitor.CreateAnonymousSession(k.Ctx)))
		}
		k.Clock.Advance(time.Hour)
		hook := k.Store.Hook
		var deletes atomic.Int64
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Delete" && c.Inside && !c.Done && deletes.Add(1) > 8 { // during the delete of a later user
				return errors.New("no room")
			}
			return hook(c)
		}
		swept, err := k.Sweep(k.Ctx)
		k.Store.Hook = hook
		if err == nil {
			k.Fatal("no error")
		}
		if left := k.Rows()["users"]; swept.Users != 5-left {
			k.Errorf("%d users swept, %d of 5 left", swept.Users, left)
		}
	})
}

// Idle sessions are swept before their absolute end.
func TestSweepTakesIdleSessions(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Idle: time.Hour}}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		k.Clock.Advance(2 * time.Hour)
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if swept.Sessions != 1 {
			k.Errorf("%+v; %d rows", swept, k.Rows()["sessions"])
		}
		_ = user
	})
}

// A longer policy does not revive sessions that were swept.
func TestSweptSessionsAreNotRevivedByAPolicy(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.LongPassword})))
		s, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.LongPassword)
		k.Must(err)
		k.Clock.Advance(15 * 24 * time.Hour)
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())); err != latchkey.ErrUnauthorized {
			k.Fatal(err)
		}
		_, err = k.Sweep(k.Ctx)
		k.Must(err)
		p := latchkey.StrictPolicy()
		p.Sessions.SingleFactor.Idle = 20 * 24 * time.Hour
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now, Policy: p})
		k.Must(err)
		if err := kit.Err(engine.Guest(kit.Client).Authenticate(k.Ctx, s.Secret.Reveal())); err != latchkey.ErrUnauthorized {
			k.Errorf("a session that had ended, and was swept over: %v", err)
		}
	})
}
