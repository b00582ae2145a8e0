package latchkey_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// passwordPaths are all ways to set a password, with a user who has one or not.
var passwordPaths = map[string]func(k *kit, p string) error{
	"sign up": func(k *kit, p string) error {
		_, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{UserID: "ada-lovelace", Email: "countess@example.org", Password: latchkey.Secret(p), Name: "Ada King"})
		return err
	},
	"change": func(k *kit, p string) error {
		_, account := k.prepared(true)
		return ignore(account.UpdatePassword(k.ctx, p, first))
	},
	"first by change": func(k *kit, p string) error {
		_, account := k.prepared(false)
		return ignore(account.UpdatePassword(k.ctx, p, ""))
	},
	"first by e-mail": func(k *kit, p string) error {
		_, account := k.prepared(false)
		return ignore(account.UpdateEmail(k.ctx, "countess@example.org", p))
	},
	"first by phone": func(k *kit, p string) error {
		_, account := k.prepared(false)
		k.must(ignore(k.Users().UpdateEmail(k.ctx, account.UserID(), "countess@example.org")))
		return ignore(account.UpdatePhone(k.ctx, "+14155550100", p))
	},
	"anonymous becomes full": func(k *kit, p string) error {
		_, account := k.anonymous()
		return ignore(account.CreateAccount(k.ctx, latchkey.NewAccount{Email: "countess@example.org", Password: latchkey.Secret(p), Name: "Ada King"}))
	},
	"server creates": func(k *kit, p string) error {
		return ignore(k.Users().Create(k.ctx, latchkey.NewUser{UserID: "ada-lovelace", Email: "countess@example.org", Phone: "+14155550100", Password: latchkey.Secret(p), Name: "Ada King"}))
	},
	"server sets": func(k *kit, p string) error {
		id, _ := k.prepared(true)
		return ignore(k.Users().UpdatePassword(k.ctx, id, p))
	},
}

const first = "First-Horse-2026"

// prepared returns a user, with a password or without, who is signed in.
func (k *kit) prepared(has bool) (string, *latchkey.Account) {
	k.Helper()
	n := latchkey.NewUser{UserID: "ada-lovelace", Name: "Ada King"}
	if has {
		n.Email, n.Phone, n.Password = "countess@example.org", "+14155550100", first
	}
	user, err := k.Users().Create(k.ctx, n)
	k.must(err)
	session, err := k.Users().CreateSession(k.ctx, user.ID)
	k.must(err)
	account, err := k.guest.Authenticate(k.ctx, session.Secret)
	k.must(err)
	return user.ID, account
}

// onEveryPath sets a password in every way, each on a store of its own.
func onEveryPath(t *testing.T, policy latchkey.Policy, test func(k *kit, set func(p string) error)) {
	for name, path := range passwordPaths {
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, policy, func(k *kit) { test(k, func(p string) error { return path(k, p) }) })
		})
	}
}

// AC-013 and AC-010: one function for every path.
func TestAC013PasswordRulesHoldOnEveryPath(t *testing.T) {
	policy := latchkey.Policy{
		PasswordMin: 10, PasswordUppercase: true, PasswordLowercase: true, PasswordNumber: true, PasswordSymbols: true, PasswordDictionary: true,
	}
	for rule, p := range map[string]string{
		"not 10 to 256 characters":        "Short-1ab",
		"an upper-case letter":            "lower-case-1",
		"a lower-case letter":             "UPPER-CASE-1",
		"a digit":                         "No-Digit-Here",
		"a symbol":                        "NoSymbol1Here",
		"not UTF-8 of at most 1024 bytes": "Aa1-" + strings.Repeat("x", 1<<20),
	} {
		t.Run(rule, func(t *testing.T) {
			onEveryPath(t, policy, func(k *kit, set func(string) error) {
				err := set(p)
				if !errors.Is(err, latchkey.ErrArgumentInvalid) || !strings.Contains(err.Error(), rule) || strings.Contains(err.Error(), p) {
					k.Errorf("%v", err)
				}
			})
		})
	}
	onEveryPath(t, policy, func(k *kit, set func(string) error) { k.must(set("Good-Horse-1")) })
}

func TestAC013CommonPasswordsAreRefusedOnEveryPathInAnyCase(t *testing.T) {
	for _, p := range []string{"baseball1", "BaseBall1", "TRUSTNO1", "password123"} {
		onEveryPath(t, latchkey.Policy{PasswordDictionary: true}, func(k *kit, set func(string) error) {
			if err := set(p); !errors.Is(err, latchkey.ErrArgumentInvalid) || !strings.Contains(err.Error(), "most common passwords") || strings.Contains(err.Error(), p) {
				k.Errorf("%s: %v", p, err)
			}
		})
	}
	onEveryPath(t, latchkey.Policy{PasswordDictionary: true}, func(k *kit, set func(string) error) { k.must(set("baseball1 is my game")) })
}

func TestPersonalDataIsRefusedOnEveryPathThatKnowsIt(t *testing.T) {
	onEveryPath(t, latchkey.Policy{PasswordPersonalData: true}, func(k *kit, set func(string) error) {
		k.must(set("nothing of hers at all"))
	})
	for what, p := range map[string]string{"local part": "my COUNTESS rules", "address": "x countess@example.org x"} {
		t.Run(what, func(t *testing.T) {
			onEveryPath(t, latchkey.Policy{PasswordPersonalData: true}, func(k *kit, set func(string) error) {
				if strings.Contains(k.Name(), "first_by_change") {
					return // a user without an address
				}
				if err := set(p); !errors.Is(err, latchkey.ErrPasswordPersonalData) {
					k.Errorf("%v", err)
				}
			})
		})
	}
	onEveryStore(t, latchkey.Policy{PasswordPersonalData: true}, func(k *kit) {
		id, account := k.prepared(true)
		for what, p := range map[string]string{
			"id": "the ada-lovelace one", "name": "mrs. ADA KING speaking", "phone": "call +14155550100 now", "digits": "call 14155550100 now",
		} {
			if err := ignore(account.UpdatePassword(k.ctx, p, first)); !errors.Is(err, latchkey.ErrPasswordPersonalData) {
				k.Errorf("%s: %v", what, err)
			}
		}
		k.must(ignore(k.Users().UpdateName(k.ctx, id, "Ada"))) // three characters are no fragment
		k.must(ignore(account.UpdatePassword(k.ctx, "ada is fine here", first)))
	})
}

func TestPasswordHistoryRefusesTheLastNIncludingThePresent(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 3, KeepSessionsOnPasswordChange: true}, func(k *kit) {
		id, account := k.prepared(true)
		present := first
		change := func(p string) error {
			err := ignore(account.UpdatePassword(k.ctx, p, present))
			if err == nil {
				present = p
			}
			return err
		}
		refused := func(p string) {
			k.Helper()
			if err := change(p); !errors.Is(err, latchkey.ErrPasswordRecentlyUsed) {
				k.Errorf("%s again: %v", p, err)
			}
			if err := ignore(k.Users().UpdatePassword(k.ctx, id, p)); !errors.Is(err, latchkey.ErrPasswordRecentlyUsed) {
				k.Errorf("%s again by the server: %v", p, err)
			}
		}
		refused(first)
		k.must(change("second horse"))
		refused(first)
		refused("second horse")
		k.must(change("third horse"))
		refused(first)
		k.must(change("fourth horse"))
		refused("second horse")
		refused("third horse")
		refused("fourth horse")
		k.must(change(first)) // it has left the last three
		raw, err := record.Users.Get(k.ctx, k.store, record.Users.Primary(), store.Text(id))
		k.must(err)
		if strings.Contains(string(raw.PasswordHistory), "argon2") {
			k.Error("the history is not sealed")
		}
	})
}

// A password of before the history was switched on is not forgotten.
func TestPasswordHistoryKnowsThePresentPasswordOfBeforeItWasOn(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, account := k.prepared(true)
		_ = account
		engine, err := latchkey.New(k.store, latchkey.Config{
			Keys: k.keys, Hasher: hashertest.New(k.T), Now: k.clock.Now, Policy: latchkey.Policy{PasswordHistory: 1},
		})
		k.must(err)
		if err := ignore(engine.Users().UpdatePassword(k.ctx, "ada-lovelace", first)); !errors.Is(err, latchkey.ErrPasswordRecentlyUsed) {
			k.Errorf("%v", err)
		}
		k.must(ignore(engine.Users().UpdatePassword(k.ctx, "ada-lovelace", "second horse")))
	})
}

func TestMethodTogglesGateTheirOperationsAndNotTheServers(t *testing.T) {
	onEveryStore(t, latchkey.Policy{Disabled: latchkey.EmailPassword | latchkey.AnonymousSession}, func(k *kit) {
		user, err := k.Users().Create(k.ctx, latchkey.NewUser{Email: ada, Password: password})
		k.must(err)
		session, err := k.Users().CreateSession(k.ctx, user.ID)
		k.must(err)
		account, err := k.guest.Authenticate(k.ctx, session.Secret)
		k.must(err)
		for what, do := range map[string]func() error{
			"sign up": func() error {
				return ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: bob, Password: password}))
			},
			"sign in":   func() error { return ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password)) },
			"anonymous": func() error { return ignore(k.guest.CreateAnonymousSession(k.ctx)) },
			"become full": func() error {
				return ignore(account.CreateAccount(k.ctx, latchkey.NewAccount{Email: bob, Password: password}))
			},
		} {
			k.refuses(what, latchkey.ErrAuthMethodUnsupported, do)
		}
		k.must(ignore(account.UpdateEmail(k.ctx, bob, password))) // is not gated
	})
}

func TestUserLimitIsExactForSignUpsAndNotTheServers(t *testing.T) {
	onEveryStore(t, latchkey.Policy{UserLimit: 3}, func(k *kit) {
		k.signUp(ada)
		k.anonymous()
		k.must(ignore(k.guest.CreateAnonymousSession(k.ctx)))
		k.refuses("sign up", latchkey.ErrUserCountExceeded, func() error {
			return ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: bob, Password: password}))
		})
		k.refuses("anonymous", latchkey.ErrUserCountExceeded, func() error { return ignore(k.guest.CreateAnonymousSession(k.ctx)) })
		k.must(ignore(k.Users().Create(k.ctx, latchkey.NewUser{})))
	})
}

func TestStrictLifetimesEndIdleAndOldSessions(t *testing.T) {
	const day = 24 * time.Hour
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		user, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: "correct horse battery"})
		k.must(err)
		enter := func() *latchkey.Session {
			s, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, "correct horse battery")
			k.must(err)
			return s
		}
		alive := func(s *latchkey.Session, want bool) {
			k.Helper()
			account, err := k.guest.Authenticate(k.ctx, s.Secret)
			if want != (err == nil) {
				k.Errorf("after %v: %v", k.clock.Now().Sub(s.CreatedAt), err)
			}
			list, err := k.Users().Sessions(k.ctx, user.ID)
			k.must(err)
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
		k.clock.Advance(13 * day)
		alive(used, true)
		k.clock.Advance(day)
		alive(idle, false)
		alive(used, true)
		account, err := k.guest.Authenticate(k.ctx, used.Secret)
		k.must(err)
		extended, err := account.UpdateSession(k.ctx, latchkey.Current)
		k.must(err)
		if !extended.Expire.Equal(used.Expire) {
			k.Errorf("extended beyond its absolute end, to %v", extended.Expire)
		}
		k.clock.Advance(13 * day)
		alive(used, true)
		k.clock.Advance(3 * day)
		alive(used, false)
		if err := ignore(account.User(k.ctx)); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("handle: %v", err)
		}
		anonymous, err := k.guest.CreateAnonymousSession(k.ctx)
		k.must(err)
		if got := anonymous.Expire.Sub(anonymous.CreatedAt); got != 180*day {
			k.Errorf("an anonymous session for %v", got)
		}
	})
}

func TestStrictPolicyIsWhatItSays(t *testing.T) {
	k := newKit(t, memory.Open(), latchkey.StrictPolicy())
	for p, want := range map[string]error{
		"fourteen chars": latchkey.ErrArgumentInvalid, "fifteen chars!!": nil, "12345678901234567": nil, "ada@example.org is me": latchkey.ErrPasswordPersonalData,
	} {
		if err := ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: latchkey.Secret(p)})); !errors.Is(err, want) {
			t.Errorf("%q: %v", p, err)
		}
		if user, err := k.Users().Create(k.ctx, latchkey.NewUser{Email: "x@example.org"}); err == nil {
			k.must(k.Users().Delete(k.ctx, user.ID))
		}
		k.deleteAll()
	}
	if got := latchkey.StrictPolicy().PasswordHash; got != hasher.Strict() {
		t.Errorf("hashes of %+v", got)
	}
	user, err := k.Users().Create(k.ctx, latchkey.NewUser{})
	k.must(err)
	if err := ignore(k.Users().Logs(k.ctx, user.ID, latchkey.Limit(101))); !errors.Is(err, latchkey.ErrArgumentInvalid) {
		t.Errorf("a page of 101: %v", err)
	}
}

// deleteAll deletes every row, so that the next world begins as the first.
func (k *kit) deleteAll() {
	k.Helper()
	k.must(k.store.Store.Update(k.ctx, func(ctx context.Context, tx store.Tx) error {
		for _, table := range slices.Backward(record.Schema.Tables()) { // children before parents
			if _, err := tx.DeleteRange(ctx, store.Query{Index: table.Primary(), Limit: store.MaxLimit}); err != nil {
				return err
			}
		}
		return nil
	}))
	clear(k.seen)
}

func TestPolicyBounds(t *testing.T) {
	for name, p := range map[string]latchkey.Policy{
		"SessionLimit":          {SessionLimit: 101},
		"SessionLimit is":       {SessionLimit: -1},
		"SessionLength":         {SessionLength: time.Second},
		"SessionLength is":      {SessionLength: 366 * 24 * time.Hour},
		"PasswordMin":           {PasswordMin: 7},
		"PasswordMin is":        {PasswordMin: 257},
		"UserLimit":             {UserLimit: 10_001},
		"UserLimit is":          {UserLimit: -1},
		"PasswordHistory":       {PasswordHistory: 21},
		"FreeFailures":          {FreeFailures: 11},
		"DisableAfterFailures":  {DisableAfterFailures: 19},
		"PageLimit":             {PageLimit: 24},
		"PageLimit is":          {PageLimit: 5_001},
		"LogLength":             {LogLength: time.Hour},
		"SingleFactor.Idle":     {SingleFactor: latchkey.Lifetime{Idle: time.Second}},
		"Anonymous.Absolute":    {Anonymous: latchkey.Lifetime{Absolute: -time.Hour}},
		"Disabled":              {Disabled: 1 << 20},
		`Limits has "signUp"`:   {Limits: map[string]ratelimit.Rule{"signUp": {Calls: 1, Window: time.Hour}}},
		`Limits["createAccount`: {Limits: map[string]ratelimit.Rule{"createAccount": {Calls: 0, Window: time.Hour}}},
		`Limits["updateSession`: {Limits: map[string]ratelimit.Rule{"updateSession": {Calls: 1, Window: time.Millisecond}}},
		"below the minimum":     {PasswordHash: hasher.Params{Memory: 1024, Time: 1, Threads: 1}},
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
