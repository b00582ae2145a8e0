package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/storetest"
)

const longPassword = "correct horse battery"

// exhaust fails at an address until the password is disabled (StrictPolicy).
func (k *kit) exhaust(ip, email string) {
	k.Helper()
	for n := 0; n < 1000; n++ {
		err := k.try(ip, email, "wrong horse battery")
		var throttled *latchkey.ThrottledError
		switch {
		case err == latchkey.ErrPasswordResetRequired:
			return
		case errors.As(err, &throttled):
			k.clock.Advance(throttled.RetryAfter)
		case err != latchkey.ErrInvalidCredentials:
			k.Fatal(err)
		}
	}
	k.Fatal("never disabled")
}

// A renewed hash takes a place of its own in the history: the oldest goes early.
func TestHistoryKeepsItsLengthThroughAHashUpgrade(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 2}, func(k *kit) {
		user := k.signUp(ada) // password
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "second horse")))
		strong, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}})
		k.must(err)
		engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: strong, Now: k.clock.Now, Policy: k.policy})
		k.must(err)
		k.must(ignore(engine.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, "second horse"))) // upgrades
		if err := ignore(engine.Users().UpdatePassword(k.ctx, user.ID, password)); err != latchkey.ErrPasswordRecentlyUsed {
			k.Errorf("the last but one of two: %v", err)
		}
	})
}

func TestHistoryOutlivesAPasswordThatIsTakenAway(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 5}, func(k *kit) {
		user := k.signUp(ada)
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "")))
		if err := ignore(k.Users().UpdatePassword(k.ctx, user.ID, password)); err != latchkey.ErrPasswordRecentlyUsed {
			k.Errorf("taken away, and set again: %v", err)
		}
	})
}

// While slowed, no password is to be hashed; and a candidate that is in the
// history costs fewer hashes than one that is not, without being counted.
func TestHistoryIsNoOracleWhileSlowed(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 3}, func(k *kit) {
		user := k.signUp(ada)
		session, err := k.Users().CreateSession(k.ctx, user.ID)
		k.must(err)
		stolen, err := k.Guest(at(attacker)).Authenticate(k.ctx, session.Secret)
		k.must(err)
		for range 11 {
			_ = k.try(attacker, ada, "wrong horse")
		}
		cost := func(candidate string) int64 {
			before := k.hasher.Hashes()
			if err := ignore(stolen.UpdatePassword(k.ctx, candidate, "wrong horse")); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%v", err)
			}
			return k.hasher.Hashes() - before
		}
		wrong, right := cost("not the password"), cost(password)
		if wrong != 0 || right != 0 {
			k.Errorf("while slowed: %d hashes for a wrong candidate, %d for the present password", wrong, right)
		}
	})
}

// And when not slowed, the candidate is a second guess beside the old password.
func TestHistoryCostsTheSameWhateverMatches(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 3}, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		cost := func(candidate string) int64 {
			before := k.hasher.Hashes()
			_ = ignore(account.UpdatePassword(k.ctx, candidate, "wrong horse"))
			return k.hasher.Hashes() - before
		}
		if wrong, right := cost("not the password"), cost(password); wrong != right {
			k.Errorf("%d hashes for a wrong candidate, %d for the present password, both with a wrong old one", wrong, right)
		}
	})
}

// "disable the password until it is set anew": the owner sets it anew.
func TestDisabledPasswordThatTheOwnerSetsAnewWorksEverywhere(t *testing.T) {
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		k.must(ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: longPassword})))
		k.must(k.try(owner, ada, longPassword))
		k.exhaust(attacker, ada)
		session, err := k.Guest(at(owner)).CreateEmailPasswordSession(k.ctx, ada, longPassword)
		k.must(err)
		account, err := k.Guest(at(owner)).Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.must(ignore(account.UpdatePassword(k.ctx, "another horse battery", longPassword)))
		if err := k.try("198.51.100.9", ada, "another horse battery"); err != nil {
			k.Errorf("after the password was set anew: %v", err)
		}
	})
}

// A stranger disables an address before anybody has it.
func TestAddressIsNotDisabledBeforeItsSignUp(t *testing.T) {
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		k.exhaust(attacker, ada)
		k.clock.Advance(365 * 24 * time.Hour)
		_, err := k.Sweep(k.ctx)
		k.must(err)
		k.must(ignore(k.Guest(at(owner)).CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: longPassword})))
		if err := k.try(owner, ada, longPassword); err != nil {
			k.Errorf("a new account, a year after the stranger: %v", err)
		}
	})
}

// The count of a known client outlives the password too.
func TestPasswordThatTheServerSetsAnewWorksAtKnownClients(t *testing.T) {
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		user, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: longPassword})
		k.must(err)
		k.must(k.try(owner, ada, longPassword))
		k.exhaust(owner, ada) // somebody behind the same NAT
		k.clock.Advance(time.Second)
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "another horse battery")))
		if err := k.try(owner, ada, "another horse battery"); err != nil {
			k.Errorf("at the known address, after the server has set the password anew: %v", err)
		}
	})
}

// "100 in a row": a pause of a day begins anew, so that nobody ever gets there.
func TestDisablingIsNotAvoidedByAPauseOfADay(t *testing.T) {
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		k.must(ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: longPassword})))
		guesses := 0
		for n := 0; guesses < 250 && n < 2000; n++ {
			if guesses%90 == 89 {
				k.clock.Advance(24 * time.Hour)
			}
			err := k.try(attacker, ada, "wrong horse battery")
			var throttled *latchkey.ThrottledError
			switch {
			case err == latchkey.ErrInvalidCredentials:
				guesses++
			case errors.As(err, &throttled):
				k.clock.Advance(throttled.RetryAfter)
			case err == latchkey.ErrPasswordResetRequired:
				return
			}
		}
		k.Errorf("%d wrong passwords in a row, and the password is not disabled", guesses)
	})
}

// The marker of a known client goes with the address, not with the user.
func TestKnownClientsAreNotInheritedWithAnAddress(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada) // by the attacker, before the victim
		k.must(k.try(attacker, ada, password))
		k.must(k.Users().Delete(k.ctx, user.ID))
		k.must(ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: "the victim's own"})))
		for n := range 12 {
			_ = k.try(fmt.Sprintf("198.51.100.%d", n+1), ada, "wrong horse")
		}
		if err := k.try(attacker, ada, "wrong horse"); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("an address from which the victim never signed in has a count of its own: %v", err)
		}
	})
}

// And the owner loses it with a change of the address.
func TestOwnerStaysKnownAfterAChangeOfAddress(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		account := k.signedInAt(owner)
		k.must(ignore(account.UpdateEmail(k.ctx, bob, password)))
		for range 11 {
			_ = k.try(attacker, bob, "wrong horse")
		}
		if err := k.try(owner, bob, password); err != nil {
			k.Errorf("from where this user signed in a minute ago: %v", err)
		}
	})
}

// A clock that was ahead for a moment slows for as long as it was ahead.
func TestClockThatWasAheadDelaysNoLongerThanTheDelay(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		k.clock.Advance(30 * 24 * time.Hour)
		for range 11 {
			_ = k.try(attacker, ada, "wrong horse")
		}
		k.clock.Advance(-30 * 24 * time.Hour)
		var throttled *latchkey.ThrottledError
		if err := k.try("198.51.100.1", ada, password); errors.As(err, &throttled) && throttled.RetryAfter > time.Hour {
			k.Errorf("slowed for %v, the most is an hour", throttled.RetryAfter)
		}
	})
}

// Calls that read the clock before the first one that is counted start the
// window anew.
func TestCallsOutOfOrderAreOfOneWindow(t *testing.T) {
	m := ratelimit.NewMemory(0)
	rule := ratelimit.Rule{Calls: 10, Window: time.Hour}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	allowed := 0
	for late := range 50 { // 50 requests in flight, one a millisecond, counted in the other order
		for range 11 {
			r, _ := m.Take(context.Background(), ratelimit.Key{1}, rule, start.Add(-time.Duration(late)*time.Millisecond))
			if r.Allowed {
				allowed++
			}
		}
	}
	if allowed > 10 {
		t.Errorf("%d calls of 10 in 50 ms", allowed)
	}
}

func TestLimitIsExactUnderARealClock(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher})
		k.must(err)
		k.tampered = true // its clock is another
		worst := int64(0)
		for round := range 10 {
			var allowed atomic.Int64
			client := at(attacker)
			client.OnLimit = func(r latchkey.LimitResult) {
				if r.Allowed {
					allowed.Add(1)
				}
			}
			var group sync.WaitGroup
			for range 300 {
				group.Go(func() {
					_ = ignore(engine.Guest(client).CreateEmailPasswordSession(k.ctx, fmt.Sprintf("u%d@example.org", round), "wrong horse"))
				})
			}
			group.Wait()
			worst = max(worst, allowed.Load())
		}
		if worst > 10 {
			k.Errorf("%d calls of 10 passed", worst)
		}
	})
}

func TestCallsAboveTheGreatestAreAsMany(t *testing.T) {
	m := ratelimit.NewMemory(0)
	rule := ratelimit.Rule{Calls: 2 * ratelimit.MaxCalls, Window: time.Hour}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for n := range ratelimit.MaxCalls + 10 {
		r, _ := m.Take(context.Background(), ratelimit.Key{1}, rule, now)
		if n >= ratelimit.MaxCalls && r.Allowed {
			t.Fatalf("call %d: %+v", n+1, r)
		}
	}
}

func TestLongWindowsLimitToo(t *testing.T) {
	m := ratelimit.NewMemory(0)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range 5 {
		if r, _ := m.Take(context.Background(), ratelimit.Key{1}, ratelimit.Rule{Calls: 1, Window: 134 * 365 * 24 * time.Hour}, now); r.Allowed {
			if r.Remaining == 0 {
				now = now.Add(time.Second)
			}
		}
	}
	if r, _ := m.Take(context.Background(), ratelimit.Key{1}, ratelimit.Rule{Calls: 1, Window: 134 * 365 * 24 * time.Hour}, now); r.Allowed {
		t.Errorf("%+v", r)
	}
}

func TestRuleOfNoCallsHoldsNoKeys(t *testing.T) {
	m := ratelimit.NewMemory(0)
	for range 10 {
		_, _ = m.Take(context.Background(), ratelimit.Key{1}, ratelimit.Rule{Window: time.Hour}, time.Now())
	}
	if m.Keys() > 1 {
		t.Errorf("%d keys of one", m.Keys())
	}
}

// Keys whose windows are over stay for good when the limiter was full once.
// A rule of one call: a refused key has no more calls than the flood's.
func TestFloodDoesNotFreeAKeyOfASmallRule(t *testing.T) {
	m := ratelimit.NewMemory(4096)
	small := ratelimit.Rule{Calls: 1, Window: time.Hour}
	big := ratelimit.Rule{Calls: 100, Window: time.Hour}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key := func(n int) (k ratelimit.Key) {
		k[0], k[1], k[2], k[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
		return k
	}
	for n := range 100 {
		for range 50 {
			_, _ = m.Take(context.Background(), key(n), small, now)
		}
	}
	for n := range 40_000 {
		_, _ = m.Take(context.Background(), key(1000+n), big, now)
	}
	freed := 0
	for n := range 100 {
		if r, _ := m.Take(context.Background(), key(n), small, now); r.Allowed {
			freed++
		}
	}
	if freed > 0 {
		t.Errorf("%d of 100 refused keys were freed by a flood", freed)
	}
}

// AC-118: purge after idle.
func TestIdleAnonymousUsersAreSwept(t *testing.T) {
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		for range 3 {
			k.must(ignore(k.guest.CreateAnonymousSession(k.ctx)))
		}
		k.clock.Advance(31 * 24 * time.Hour)
		swept, err := k.Sweep(k.ctx)
		k.must(err)
		if swept.Users != 3 {
			k.Errorf("idle for 31 days, which ends a session after 30: %+v", swept)
		}
	})
}

// A user whose anonymous session goes before another one.
// "On an error the numbers are of what is gone."
func TestSweepCountsWhatIsGone(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SessionLength: time.Hour}, func(k *kit) {
		for range 5 {
			k.must(ignore(k.guest.CreateAnonymousSession(k.ctx)))
		}
		k.clock.Advance(time.Hour)
		hook := k.store.Hook
		var deletes atomic.Int64
		k.store.Hook = func(c storetest.Call) error {
			if c.Name == "Delete" && c.Inside && !c.Done && deletes.Add(1) > 8 { // amid a later user
				return errors.New("no room")
			}
			return hook(c)
		}
		swept, err := k.Sweep(k.ctx)
		k.store.Hook = hook
		if err == nil {
			k.Fatal("no error")
		}
		if left := k.rows()["users"]; swept.Users != 5-left {
			k.Errorf("%d users swept, %d of 5 left", swept.Users, left)
		}
	})
}

// "every key that is not in Left opens nothing any more"
// Another machine that still has the old key active.
func TestResealSeesRowsThatWereWrittenBehindIt(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		ids := []string{"a-user", "b-user"}
		for n, id := range ids {
			k.must(ignore(k.Users().Create(k.ctx, latchkey.NewUser{UserID: id, Email: fmt.Sprintf("u%d@example.org", n), Password: password})))
		}
		old := k.keys.Active
		next := latchkey.GenerateKey()
		engine := k.withKeys(latchkey.Keys{Active: next, Old: []latchkey.Key{old}})
		// after the page was sealed, before Reseal returns
		commits := 0
		hook := k.store.Hook
		k.store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && c.Done {
				commits++
				if commits == 1 {
					k.must(ignore(k.Users().UpdatePassword(k.ctx, "a-user", "another horse"))) // the engine with the old key
				}
			}
			return hook(c)
		}
		got, err := engine.Reseal(k.ctx)
		k.store.Hook = hook
		k.must(err)
		alone := k.withKeys(latchkey.Keys{Active: next})
		err = ignore(alone.Guest(testClient).CreateEmailPasswordSession(k.ctx, "u0@example.org", "another horse"))
		if len(got.Left) == 0 && err != nil {
			k.Errorf("nothing left, says Reseal; without the old key: %v", err)
		}
	})
}

// A new active key forgets who is known, and what was disabled.
// The server cannot give a new password to a user whose history does not open.
func TestServerSetsAPasswordWhateverDoesNotOpen(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 2}, func(k *kit) {
		user := k.signUp(ada)
		engine := k.withKeys(latchkey.Keys{Active: latchkey.GenerateKey()}) // the old key is lost
		if err := ignore(engine.Users().UpdatePassword(k.ctx, user.ID, "another horse")); err != nil {
			k.Errorf("%v: %v", err, errors.Unwrap(err))
		}
	})
}

// Case folding.
func TestPersonalDataIsFoundInEveryCase(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordPersonalData: true}, func(k *kit) {
		for name, p := range map[string]string{
			"Οδυσσεύς": "ΟΔΥΣΣΕΎΣ 2026",
			"Strauß":   "STRAUSS and sons",
			"James":    "jameſ and sons",
		} {
			err := ignore(k.Users().Create(k.ctx, latchkey.NewUser{Name: name, Password: latchkey.Secret(p)}))
			if err != latchkey.ErrPasswordPersonalData {
				k.Errorf("%s in %q: %v", name, p, err)
			}
		}
		// four code points as typed, three characters
		if err := ignore(k.Users().Create(k.ctx, latchkey.NewUser{Name: "Zoe\u0301", Password: "the zo\u00e9trope"})); err != nil {
			k.Errorf("a name of three characters: %v", err)
		}
	})
}

// The rules look at the text as typed, the hash at its normal form.
func TestRulesLookAtTheTextThatIsHashed(t *testing.T) {
	p := latchkey.Policy{PasswordUppercase: true, PasswordLowercase: true, PasswordNumber: true, PasswordSymbols: true}
	onEveryStore(t, p, func(k *kit) {
		nfd, nfc := latchkey.Secret("A\u0301ccccccccc1e\u0301"), latchkey.Secret("\u00c1ccccccccc1\u00e9")
		one := ignore(k.Users().Create(k.ctx, latchkey.NewUser{Password: nfd}))
		two := ignore(k.Users().Create(k.ctx, latchkey.NewUser{Password: nfc}))
		if (one == nil) != (two == nil) {
			k.Errorf("one password: %v decomposed, %v composed", one, two)
		}
	})
}

// "If it fails, operations that compare a secret answer with ErrBusy"
// SECURITY.md 3.9: failures from one address, 30 in 10 minutes.
func TestStrictPolicySlowsSprayingFromOneClient(t *testing.T) {
	k := newKit(t, memory.Open(), latchkey.StrictPolicy())
	k.Engine = k.limitedEngine(nil)
	for n := range 300 {
		if err := k.try(attacker, fmt.Sprintf("u%d@example.org", n), "wrong horse battery"); errors.Is(err, latchkey.ErrRateLimitExceeded) {
			return
		}
	}
	t.Errorf("300 failures from one address at once, %d rows", k.rows()["failures"])
}

// The owner with a live session, on the move.
// A full account under the lifetimes of an anonymous one.
// What is shown of a session when the policy has become shorter.
func TestShownExpireIsTheAbsoluteEnd(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		k.signIn(ada)
		p := latchkey.Policy{SingleFactor: latchkey.Lifetime{Absolute: 24 * time.Hour}}
		engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now, Policy: p})
		k.must(err)
		list, err := engine.Users().Sessions(k.ctx, user.ID)
		k.must(err)
		if got := list.Sessions[0].Expire.Sub(list.Sessions[0].CreatedAt); got > 24*time.Hour {
			k.Errorf("shown to expire after %v, ends after 24h", got)
		}
	})
}

var _ = strings.Repeat
var _ = record.Users
var _ store.Store

// markers
// history off for one change
func TestHistoryOutlivesAChangeWhileItIsOff(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PasswordHistory: 5}, func(k *kit) {
		user := k.signUp(ada)
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "second horse")))
		off, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now})
		k.must(err)
		k.must(ignore(off.Users().UpdatePassword(k.ctx, user.ID, "third horse")))
		for _, p := range []string{password, "second horse"} {
			if err := ignore(k.Users().UpdatePassword(k.ctx, user.ID, p)); err != latchkey.ErrPasswordRecentlyUsed {
				k.Errorf("%s: %v", p, err)
			}
		}
	})
}

// Sessions over by idle stay rows until Expire
func TestSweepTakesIdleSessions(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SingleFactor: latchkey.Lifetime{Idle: time.Hour}}, func(k *kit) {
		user := k.signUp(ada)
		k.signIn(ada)
		k.clock.Advance(2 * time.Hour)
		swept, err := k.Sweep(k.ctx)
		k.must(err)
		if swept.Sessions != 1 {
			k.Errorf("%+v; %d rows", swept, k.rows()["sessions"])
		}
		_ = user
	})
}

// A policy that is lengthened again revives sessions that had ended.
func TestSweptSessionsAreNotRevivedByAPolicy(t *testing.T) {
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		k.must(ignore(k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: longPassword})))
		s, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, longPassword)
		k.must(err)
		k.clock.Advance(15 * 24 * time.Hour)
		if err := ignore(k.guest.Authenticate(k.ctx, s.Secret)); err != latchkey.ErrUnauthorized {
			k.Fatal(err)
		}
		_, err = k.Sweep(k.ctx)
		k.must(err)
		p := latchkey.StrictPolicy()
		p.SingleFactor.Idle = 20 * 24 * time.Hour
		engine, err := latchkey.New(k.store, latchkey.Config{Keys: k.keys, Hasher: k.hasher, Now: k.clock.Now, Policy: p})
		k.must(err)
		if err := ignore(engine.Guest(testClient).Authenticate(k.ctx, s.Secret)); err != latchkey.ErrUnauthorized {
			k.Errorf("a session that had ended, and was swept over: %v", err)
		}
	})
}

// the user of a deleted e-mail: failures are inherited
func TestNextUserOfAnAddressIsNotSlowed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		for range 15 {
			k.clock.Advance(time.Hour)
			_ = k.try(attacker, ada, "wrong horse")
		}
		k.must(k.Users().Delete(k.ctx, user.ID))
		k.signUp(ada)
		if err := k.try(owner, ada, password); err != nil {
			k.Errorf("a new account: %v", err)
		}
	})
}

// Behind the same NAT as the owner: who is known there is told from who is not.
