package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

func TestEveryLimitHoldsAtItsCountAndEndsWithItsWindow(t *testing.T) {
	want := map[string]int{
		"createAccount": 10, "createEmailPasswordSession": 10, "createAnonymousSession": 50, "updateSession": 10,
		"deleteSession": 100, "deleteSessions": 100, "updatePassword": 10, "confirmPassword": 10, "updateEmail": 10, "updatePhone": 10,
		"createMagicURLToken": 60, "createEmailToken": 10, "createPhoneToken": 10, "createSession": 10, "createSessionByClient": 300, "confirmByClient": 300,
		"failuresByClient": 300, "changes": 600,
		"messages": 60, "createJWT": 100, "createRecovery": 10, "updateRecovery": 10,
		"createEmailVerification": 10, "updateEmailVerification": 10, "createPhoneVerification": 10, "updatePhoneVerification": 10,
		"createMFAChallenge": 10, "updateMFAChallenge": 10, "createMembership": 10, "createOAuth2Session": 50, "finishOAuth2Session": 50, "createIDTokenSession": 50,
		"createPasskeySession": 300, "finishPasskeySession": 300,
	}
	rules := latchkey.DefaultLimits()
	for name, rule := range map[string]ratelimit.Rule{ // no single call reaches these limits: internal/attack has their tests (AC-057, A5, A22)
		"messagesByPrefix": {Calls: 100, Window: time.Hour}, "messagesNotices": {Calls: 10, Window: time.Hour},
		"messagesByClient": {Calls: 300, Window: time.Hour}, "messagesNumbers": {Calls: 20, Window: 24 * time.Hour},
		"messagesBySite": {Calls: 3000, Window: time.Hour}, "messagesNumbersBySite": {Calls: 200, Window: 24 * time.Hour},
		"signInsByClient": {Calls: 3000, Window: time.Hour}, "messagesTexts": {Calls: 3000, Window: time.Hour}, "messagesReserve": {Calls: 10, Window: time.Hour},
	} {
		if rules[name] != rule {
			t.Errorf("%s: %+v", name, rules[name])
		}
		delete(rules, name)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(rules)), slices.Sorted(maps.Keys(want))) || len(kit.LimitedCalls) != len(want) {
		t.Fatalf("operations with a limit: %v", rules)
	}
	for name, calls := range want {
		if rules[name] != (ratelimit.Rule{Calls: calls, Window: time.Hour}) {
			t.Errorf("%s: %+v", name, rules[name])
		}
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				if name == "messages" { // so that the token's own limit does not refuse first
					k.Policy.Guessing.Limits = map[string]ratelimit.Rule{"createMagicURLToken": {Calls: 1000, Window: time.Hour}}
				}
				k.Engine = k.LimitedEngine(nil)
				var results []latchkey.LimitResult
				client := kit.At("192.0.2.7")
				client.OnLimit = func(r latchkey.LimitResult) {
					if r.Operation == name {
						results = append(results, r)
					}
				}
				began := k.Clock.Now()
				for n := range calls {
					if err := kit.LimitedCalls[name](k, client); errors.Is(err, latchkey.ErrRateLimitExceeded) {
						k.Fatalf("call %d: %v", n+1, err)
					}
				}
				k.Clock.Advance(time.Minute)
				var throttled *latchkey.ThrottledError
				if err := kit.LimitedCalls[name](k, client); !errors.As(err, &throttled) || throttled.RetryAfter != 59*time.Minute {
					k.Errorf("one too many: %v", err)
				}
				results = slices.Compact(results) // an address and a client count alike here
				reported := calls + 1
				if name == "messages" || name == "failuresByClient" || name == "changes" { // none is reported: see Client.OnLimit
					reported = 0
				}
				if len(results) != reported {
					k.Fatalf("%d results reported", len(results))
				}
				for n, r := range results {
					want := latchkey.LimitResult{Operation: name, Result: ratelimit.Result{
						Allowed: n < calls, Limit: calls, Remaining: max(0, calls-n-1), Reset: began.Add(time.Hour),
					}}
					if r != want {
						k.Errorf("result %d: %+v, want %+v", n+1, r, want)
					}
				}
				byAddress := []string{
					"createEmailPasswordSession", "createMagicURLToken", "createEmailToken", "createPhoneToken", "messages", "createRecovery",
					"updateRecovery", "updateEmailVerification", "createJWT", "createEmailVerification", "createPhoneVerification",
					"createMFAChallenge", "updateMFAChallenge", "updateEmail", "updatePhone", "changes", "createMembership",
				}
				if !slices.Contains(byAddress, name) {
					if err := kit.LimitedCalls[name](k, kit.At("192.0.2.8")); errors.Is(err, latchkey.ErrRateLimitExceeded) {
						k.Errorf("another client: %v", err)
					}
				}
				k.Clock.Advance(59 * time.Minute)
				if err := kit.LimitedCalls[name](k, client); errors.Is(err, latchkey.ErrRateLimitExceeded) {
					k.Errorf("in the next window: %v", err)
				}
			})
		})
	}
}

func TestTheServerAndUnknownAddressesAreNotLimited(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		for n := range 60 {
			k.Must(kit.Err(k.Users().At(kit.Client).Create(k.Ctx, latchkey.NewUser{Email: fmt.Sprintf("u%d@example.org", n)})))
			k.Must(kit.Err(k.Guest(latchkey.Client{}).CreateAnonymousSession(k.Ctx)))
		}
	})
}

func TestCallsOfTheHostsOwnServerAreNeitherCountedNorSwitchedOff(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Disabled: latchkey.MethodEmailPassword | latchkey.MethodAnonymousSession}, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		guest := k.Users().Guest(kit.Client)
		for n := range 60 {
			k.Must(kit.Err(guest.CreateAnonymousSession(k.Ctx)))
			k.Must(kit.Err(guest.CreateAccount(k.Ctx, latchkey.NewAccount{Email: fmt.Sprintf("u%d@example.org", n), Password: kit.Password})))
		}
		for range 11 {
			if err := kit.Err(guest.CreateEmailPasswordSession(k.Ctx, "u1@example.org", "wrong horse")); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		if err := kit.Err(guest.CreateEmailPasswordSession(k.Ctx, "u1@example.org", kit.Password)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("wrong passwords are not counted: %v", err)
		}
	})
}

func TestPolicyReplacesRules(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"createAnonymousSession": {Calls: 1, Window: time.Minute}}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		k.Must(kit.Err(k.Guest(kit.Client).CreateAnonymousSession(k.Ctx)))
		if err := kit.Err(k.Guest(kit.Client).CreateAnonymousSession(k.Ctx)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("%v", err)
		}
		k.Clock.Advance(time.Minute)
		k.Must(kit.Err(k.Guest(kit.Client).CreateAnonymousSession(k.Ctx)))
	})
}

// sharedLimiter is a limiter of which the engine knows nothing but its methods.
type sharedLimiter struct{ ratelimit.Limiter }

func TestALimiterOfOneProcessIsRefusedOverASharedStore(t *testing.T) {
	memory := ratelimit.NewMemory(0)
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, _, isShared := strings.Cut(k.Name(), "/postgres")
		if store.IsShared(k.Store) != isShared || store.IsShared(k.Raw) != isShared || store.IsShared(storetest.Twice{Store: k.Store}) != isShared {
			k.Fatalf("the store is told as shared: %v", !isShared)
		}
		for what, c := range map[string]struct {
			limiter ratelimit.Limiter
			insists bool
			refused bool
		}{
			"none":                     {nil, false, isShared},
			"Memory":                   {memory, false, isShared},
			"Memory below ReportOnly":  {ratelimit.ReportOnly(memory), false, isShared},
			"a shared one":             {sharedLimiter{memory}, false, false},
			"a shared one, ReportOnly": {ratelimit.ReportOnly(sharedLimiter{memory}), false, false},
			"none, by name":            {nil, true, false},
			"Memory, by name":          {memory, true, false},
		} {
			engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, Hasher: k.Hasher, Limiter: c.limiter, LimiterPerProcess: c.insists})
			if errors.Is(err, latchkey.ErrLimiterPerProcess) != c.refused || !c.refused && err != nil {
				k.Errorf("%s: %v", what, err)
			}
			if err == nil {
				k.Must(engine.Close())
			}
		}
	})
}

// A call whose clock reading is older than the first counted call counts in the same
// window.
func TestCallsOutOfOrderAreOfOneWindow(t *testing.T) {
	m := ratelimit.NewMemory(0)
	rule := ratelimit.Rule{Calls: 10, Window: time.Hour}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	allowed := 0
	for late := range 50 { // 50 requests in flight, one a millisecond, counted in reverse order
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
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher})
		k.Must(err)
		k.Tampered = true // the rows' times are of another clock
		worst := int64(0)
		for round := range 10 {
			var allowed atomic.Int64
			client := kit.At(kit.Attacker)
			client.OnLimit = func(r latchkey.LimitResult) {
				if r.Allowed {
					allowed.Add(1)
				}
			}
			var group sync.WaitGroup
			for range 300 {
				group.Go(func() {
					_ = kit.Err(engine.Guest(client).CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", round), "wrong horse"))
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

// A flood does not free refused keys. A limiter that was full once stays full, so
// every new key evicts another: one whose window is over, or else one with few calls.
// A refused key of a rule with one call has no more calls than the flood's keys.
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
