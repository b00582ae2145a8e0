package latchkey_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
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
			engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, Hasher: k.Hasher, Now: k.Clock.Now, Policy: latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: l, Limit: 2}}})
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
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, Hasher: k.Hasher, Now: k.Clock.Now, Policy: p})
		k.Must(err)
		list, err := engine.Users().Sessions(k.Ctx, user.ID)
		k.Must(err)
		if got := list.Sessions[0].Expire.Sub(list.Sessions[0].CreatedAt); got > 24*time.Hour {
			k.Errorf("shown to expire after %v, ends after 24h", got)
		}
	})
}

func TestStrictPolicyIsWhatItSays(t *testing.T) {
	k := kit.New(t, memory.Open(), latchkey.StrictPolicy())
	for p, want := range map[string]error{
		"fourteen chars": latchkey.ErrArgumentInvalid, "fifteen chars!!": nil, "12345678901234567": nil, "ada@example.org is me": latchkey.ErrPasswordPersonalData,
	} {
		if err := kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: p})); !errors.Is(err, want) {
			t.Errorf("%q: %v", p, err)
		}
		if user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: "x@example.org"}); err == nil {
			k.Must(k.Users().Delete(k.Ctx, user.ID))
		}
		k.DeleteAll()
	}
	if got := latchkey.StrictPolicy().Password.Hash; got != hasher.Strict() {
		t.Errorf("hashes of %+v", got)
	}
	user, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
	k.Must(err)
	if err := kit.Err(k.Users().Logs(k.Ctx, user.ID, latchkey.Limit(101))); !errors.Is(err, latchkey.ErrArgumentInvalid) {
		t.Errorf("a page of 101: %v", err)
	}
}

func TestPolicyBounds(t *testing.T) {
	for name, p := range map[string]latchkey.Policy{
		"Sessions.Limit":        {Sessions: latchkey.SessionPolicy{Limit: 101}},
		"Sessions.Limit is":     {Sessions: latchkey.SessionPolicy{Limit: -1}},
		"Sessions.Length":       {Sessions: latchkey.SessionPolicy{Length: time.Second}},
		"Sessions.Length is":    {Sessions: latchkey.SessionPolicy{Length: 366 * 24 * time.Hour}},
		"Password.Min":          {Password: latchkey.PasswordPolicy{Min: 7}},
		"Password.Min is":       {Password: latchkey.PasswordPolicy{Min: 257}},
		"UserLimit":             {UserLimit: 10_001},
		"UserLimit is":          {UserLimit: -1},
		"Password.History":      {Password: latchkey.PasswordPolicy{History: 21}},
		"Guessing.FreeFailures": {Guessing: latchkey.GuessingPolicy{FreeFailures: 11}},
		"Guessing.DisableAfter": {Guessing: latchkey.GuessingPolicy{DisableAfter: 19}},
		"PageLimit":             {PageLimit: 24},
		"PageLimit is":          {PageLimit: 5_001},
		"LogLength":             {LogLength: time.Hour},
		"SingleFactor.Idle":     {Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Idle: time.Second}}},
		"Anonymous.Absolute":    {Sessions: latchkey.SessionPolicy{Anonymous: latchkey.Lifetime{Absolute: -time.Hour}}},
		"Disabled":              {Disabled: 1 << 20},
		`Limits has "signUp"`:   {Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"signUp": {Calls: 1, Window: time.Hour}}}},
		`Limits["createAccount`: {Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"createAccount": {Calls: 0, Window: time.Hour}}}},
		`Limits["updateSession`: {Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"updateSession": {Calls: 1, Window: time.Millisecond}}}},
		"below the minimum":     {Password: latchkey.PasswordPolicy{Hash: hasher.Params{Memory: 1024, Time: 1, Threads: 1}}},
	} {
		_, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Policy: p})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Policy: latchkey.StrictPolicy()}); err != nil {
		t.Error(err)
	}
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
			if err := do(user.ID); err != latchkey.ErrInvalidToken {
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

// A host sees all faults of its policy at once, from every group.
func TestEveryFaultOfAPolicyIsReportedAtOnce(t *testing.T) {
	_, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Policy: latchkey.Policy{
		PageLimit: 1, UserLimit: -1, Disabled: 1 << 20,
		Password: latchkey.PasswordPolicy{Min: 7, History: 21},
		Sessions: latchkey.SessionPolicy{Limit: 101, MultiFactor: latchkey.Lifetime{Idle: 1}},
		Factors:  latchkey.FactorPolicy{StepUpWindow: 1, Disabled: []latchkey.Factor{latchkey.FactorRecoveryCode}},
		Messages: latchkey.MessagePolicy{OTPLength: 1, RecoveryLength: 1},
		Guessing: latchkey.GuessingPolicy{DisableAfter: 1, Limits: map[string]ratelimit.Rule{"signUp": {}}},
	}})
	if err == nil {
		t.Fatal("no fault")
	}
	for _, fault := range []string{
		"Policy.PageLimit", "Policy.UserLimit", "Policy.Disabled", "Password.Min", "Password.History", "Sessions.Limit", "Sessions.MultiFactor.Idle",
		"Factors.StepUpWindow", "Factors.Disabled", "Messages.OTPLength", "Messages.RecoveryLength", "Guessing.DisableAfter", "Guessing.Limits",
	} {
		if !strings.Contains(err.Error(), fault) {
			t.Errorf("%s is not reported: %v", fault, err)
		}
	}
}
