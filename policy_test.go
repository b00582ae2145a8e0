package latchkey_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

func TestMethodTogglesGateTheirOperationsAndNotTheServers(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Disabled: latchkey.MethodEmailPassword | latchkey.MethodAnonymousSession}, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Password: kit.Password})
		k.Must(err)
		session, err := k.Users().CreateSession(k.Ctx, user.ID)
		k.Must(err)
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for what, do := range map[string]func() error{
			"sign up": func() error {
				return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: kit.Password}))
			},
			"sign in":   func() error { return kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)) },
			"anonymous": func() error { return kit.Err(k.Visitor.CreateAnonymousSession(k.Ctx)) },
			"become full": func() error {
				return kit.Err(account.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Bob, Password: kit.Password}))
			},
		} {
			k.Refuses(what, latchkey.ErrAuthMethodUnsupported, do)
		}
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password))) // the policy does not forbid this
	})
}

func TestStrictLifetimesEndIdleAndOldSessions(t *testing.T) {
	const day = 24 * time.Hour
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		user, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: "correct horse battery"})
		k.Must(err)
		enter := func() *latchkey.Session {
			s, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "correct horse battery")
			k.Must(err)
			return s
		}
		alive := func(s *latchkey.Session, want bool) {
			k.Helper()
			account, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
			if want != (err == nil) {
				k.Errorf("after %v: %v", k.Clock.Now().Sub(s.CreatedAt), err)
			}
			list, err := k.Users().Sessions(k.Ctx, user.ID)
			k.Must(err)
			shown := false
			for _, other := range list.Sessions {
				shown = shown || other.ID == s.ID
			}
			if shown != want {
				k.Errorf("shown: %v", shown)
			}
			_ = account
		}
		idle, used := enter(), enter()
		if got := used.Expire.Sub(used.CreatedAt); got != 30*day {
			k.Errorf("a session for %v", got)
		}
		k.Clock.Advance(13 * day)
		alive(used, true)
		k.Clock.Advance(day)
		alive(idle, false)
		alive(used, true)
		account, err := k.Visitor.Authenticate(k.Ctx, used.Secret.Reveal())
		k.Must(err)
		extended, err := account.ExtendSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		if !extended.Expire.Equal(used.Expire) {
			k.Errorf("extended beyond its absolute end, to %v", extended.Expire)
		}
		k.Clock.Advance(13 * day)
		alive(used, true)
		k.Clock.Advance(3 * day)
		alive(used, false)
		if err := kit.Err(account.User(k.Ctx)); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("handle: %v", err)
		}
		anonymous, err := k.Visitor.CreateAnonymousSession(k.Ctx)
		k.Must(err)
		if got := anonymous.Expire.Sub(anonymous.CreatedAt); got != 180*day {
			k.Errorf("an anonymous session for %v", got)
		}
	})
}

func TestLifetimesHoldForSessionsThatExist(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		bounded := func(l latchkey.Lifetime) *latchkey.Guest {
			engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now, Policy: latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: l, Limit: 2}}})
			k.Must(err)
			return engine.Guest(kit.Client)
		}
		k.Clock.Advance(2 * time.Hour)
		for what, guest := range map[string]*latchkey.Guest{"absolute": bounded(latchkey.Lifetime{Absolute: time.Hour}), "idle": bounded(latchkey.Lifetime{Idle: time.Hour})} {
			if err := kit.Err(guest.Authenticate(k.Ctx, session.Secret.Reveal())); err != latchkey.ErrUnauthorized {
				k.Errorf("%s: %v", what, err)
			}
		}
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))

		// An expired session does not count at the limit, and ends without an event
		// or a line of the log.
		guest := bounded(latchkey.Lifetime{Idle: time.Hour})
		k.Forget()
		for range 2 {
			k.Must(kit.Err(guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
		}
		k.Same("log", k.Logs(), []string{"session.create by user", "session.create by user"})
	})
}

// With an idle time, the engine writes a session's last-seen time once an eighth of
// that time has passed, not more often.
func TestIdleSessionsAreNotedAfterAnEighth(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Idle: 8 * time.Hour}}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		writes := 0
		for range 30 {
			k.Clock.Advance(20 * time.Minute)
			k.Store.Reset()
			k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
			writes += int(k.Store.Updates.Load())
		}
		if writes != 10 {
			k.Errorf("%d writes in 10 hours", writes)
		}
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Clock.Advance(7 * time.Hour)
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession))) // extending also updates the last-seen time
		k.Clock.Advance(7 * time.Hour)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
	})
}

// A session that was created under a longer policy is shown with the end that today's
// policy gives it.
func TestShownExpireIsTheAbsoluteEnd(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.SignIn(kit.Ada)
		p := latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Absolute: 24 * time.Hour}}}
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now, Policy: p})
		k.Must(err)
		list, err := engine.Users().Sessions(k.Ctx, user.ID)
		k.Must(err)
		if got := list.Sessions[0].Expire.Sub(list.Sessions[0].CreatedAt); got > 24*time.Hour {
			k.Errorf("shown to expire after %v, ends after 24h", got)
		}
	})
}

func TestPolicyThatDisclosesSaysWhoThereIs(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{DiscloseAccounts: true}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		ask := func(email string) (*latchkey.Token, error) {
			return k.Visitor.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: email, URL: kit.RecoverURL})
		}
		k.Forget()
		token, err := ask(kit.Ada)
		k.Must(err)
		if token.UserID != user.ID || !slices.Equal(k.Events(user.ID, "1", token.ID, "2"), []string{"users.1.recovery.2.create by guest"}) {
			k.Errorf("%+v", token)
		}
		if err := kit.Err(ask("nobody@example.org")); err != latchkey.ErrUserNotFound {
			k.Error(err)
		}
		for name, do := range map[string]func(id string) error{
			"recovery": func(id string) error {
				return kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, id, kit.UnknownLink, kit.FreshPassword))
			},
			"mail":  func(id string) error { return kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, id, kit.UnknownLink)) },
			"phone": func(id string) error { return kit.Err(k.Visitor.ConfirmPhoneVerification(k.Ctx, id, "123456")) },
		} {
			if err := do(user.ID); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%s: %v", name, err)
			}
			if err := do("nobody"); err != latchkey.ErrUserNotFound {
				k.Errorf("%s of nobody: %v", name, err)
			}
		}
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
		if err := kit.Err(ask(kit.Ada)); err != latchkey.ErrUserBlocked {
			k.Error(err)
		}
	})
}
