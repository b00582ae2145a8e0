package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/ratelimit"
)

// limitedEngine is a second engine on the store of a kit, with a limiter that
// refuses.
func (k *kit) limitedEngine(l ratelimit.Limiter) *latchkey.Engine {
	k.Helper()
	engine, err := latchkey.New(k.store, latchkey.Config{
		Keys: k.keys, Hasher: hashertest.New(k.T), Now: k.clock.Now, Limiter: l, Policy: k.policy, Logger: slog.New(slog.DiscardHandler),
		Notifier: k.box, SMS: k.box, RedirectHosts: []string{"app.example.org"},
	})
	k.must(err)
	k.Cleanup(func() { k.must(engine.Close()) })
	return engine
}

func at(ip string) latchkey.Client { return latchkey.Client{IP: netip.MustParseAddr(ip)} }

// unknownLink has the form of a secret, and is none.
var unknownLink = strings.Repeat("0a", 32)

// limitedCalls makes one call of each operation with a limit, from a client.
// Each succeeds, or is refused by its own rules, as often as it is called.
var limitedCalls = map[string]func(k *kit, c latchkey.Client) error{
	"createAccount": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).CreateAccount(k.ctx, latchkey.NewAccount{Email: "no address"}))
	},
	"createEmailPasswordSession": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).CreateEmailPasswordSession(k.ctx, "stranger@example.org", "wrong horse"))
	},
	"createAnonymousSession": func(k *kit, c latchkey.Client) error { return ignore(k.Guest(c).CreateAnonymousSession(k.ctx)) },
	"updateSession": func(k *kit, c latchkey.Client) error {
		return ignore(k.at(c).UpdateSession(k.ctx, latchkey.Current))
	},
	"deleteSession": func(k *kit, c latchkey.Client) error { return k.at(c).DeleteSession(k.ctx, "another") },
	"deleteSessions": func(k *kit, c latchkey.Client) error {
		account := k.at(c)
		k.must(k.Users().DeleteSessions(k.ctx, account.UserID()))
		return account.DeleteSessions(k.ctx)
	},
	"createMagicURLToken": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada}))
	},
	"createEmailToken": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).CreateEmailToken(k.ctx, latchkey.NewEmailToken{Email: ada}))
	},
	"createPhoneToken": func(k *kit, c latchkey.Client) error { return ignore(k.Guest(c).CreatePhoneToken(k.ctx, "", phone)) },
	"createSession": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).CreateSession(k.ctx, "ada", unknownLink))
	},
	"updateMagicURLSession": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).UpdateMagicURLSession(k.ctx, "ada", unknownLink))
	},
	"updatePhoneSession": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).UpdatePhoneSession(k.ctx, "ada", unknownLink))
	},
	"createJWT": func(k *kit, c latchkey.Client) error { return ignore(k.reachable(c).CreateJWT(k.ctx, 0)) },
	"createRecovery": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).CreateRecovery(k.ctx, latchkey.NewRecovery{Email: ada, URL: recoverURL}))
	},
	"updateRecovery": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).UpdateRecovery(k.ctx, "ada", unknownLink, password))
	},
	"createEmailVerification": func(k *kit, c latchkey.Client) error {
		return ignore(k.reachable(c).CreateEmailVerification(k.ctx, verifyURL))
	},
	"updateEmailVerification": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).UpdateEmailVerification(k.ctx, "ada", unknownLink))
	},
	"createPhoneVerification": func(k *kit, c latchkey.Client) error { return ignore(k.reachable(c).CreatePhoneVerification(k.ctx)) },
	"updatePhoneVerification": func(k *kit, c latchkey.Client) error {
		return ignore(k.Guest(c).UpdatePhoneVerification(k.ctx, "ada", unknownLink))
	},
	"createMFAChallenge": func(k *kit, c latchkey.Client) error {
		return ignore(k.reachable(c).CreateMFAChallenge(k.ctx, latchkey.FactorRecoveryCode))
	},
	"updateMFAChallenge": func(k *kit, c latchkey.Client) error {
		return ignore(k.reachable(c).UpdateMFAChallenge(k.ctx, "unknown", "123456"))
	},
	"messages": func(k *kit, c latchkey.Client) error {
		_, err := k.Guest(c).CreateMagicURLToken(k.ctx, latchkey.NewMagicURLToken{Email: ada})
		if errors.Is(err, latchkey.ErrRateLimitExceeded) {
			return err
		}
		return nil
	},
	"updatePassword": func(k *kit, c latchkey.Client) error { return ignore(k.at(c).UpdatePassword(k.ctx, password, "")) },
}

// at returns the account of a new user, as of a client.
func (k *kit) at(c latchkey.Client) *latchkey.Account {
	k.Helper()
	user, err := k.Users().Create(k.ctx, latchkey.NewUser{})
	k.must(err)
	session, err := k.Users().CreateSession(k.ctx, user.ID)
	k.must(err)
	account, err := k.Guest(c).Authenticate(k.ctx, session.Secret)
	k.must(err)
	return account
}

// reachable returns the account of one user with addresses, as of a client.
func (k *kit) reachable(c latchkey.Client) *latchkey.Account {
	k.Helper()
	const id = "reachable"
	if err := ignore(k.Users().Create(k.ctx, latchkey.NewUser{UserID: id, Email: "reachable@example.org", Phone: ownPhone})); err == nil {
		k.must(ignore(k.Users().CreateMFARecoveryCodes(k.ctx, id)))
		session, err := k.Users().CreateSession(k.ctx, id)
		k.must(err)
		k.reach = session.Secret
	} else if err != latchkey.ErrUserAlreadyExists {
		k.Fatal(err)
	}
	account, err := k.Guest(c).Authenticate(k.ctx, k.reach)
	k.must(err)
	return account
}

func TestEveryLimitHoldsAtItsCountAndEndsWithItsWindow(t *testing.T) {
	want := map[string]int{
		"createAccount": 10, "createEmailPasswordSession": 10, "createAnonymousSession": 50, "updateSession": 10,
		"deleteSession": 100, "deleteSessions": 100, "updatePassword": 10,
		"createMagicURLToken": 60, "createEmailToken": 10, "createPhoneToken": 10, "createSession": 10, "updateMagicURLSession": 10,
		"updatePhoneSession": 10, "messages": 60, "createJWT": 100, "createRecovery": 10, "updateRecovery": 10,
		"createEmailVerification": 10, "updateEmailVerification": 10, "createPhoneVerification": 10, "updatePhoneVerification": 10,
		"createMFAChallenge": 10, "updateMFAChallenge": 10,
	}
	rules := latchkey.DefaultLimits()
	for name, rule := range map[string]ratelimit.Rule{ // which no single call reaches; message_test.go has their tests
		"messagesByPrefix": {Calls: 100, Window: time.Hour}, "messagesNotices": {Calls: 10, Window: time.Hour},
		"messagesByClient": {Calls: 300, Window: time.Hour}, "messagesNumbers": {Calls: 20, Window: 24 * time.Hour},
	} {
		if rules[name] != rule {
			t.Errorf("%s: %+v", name, rules[name])
		}
		delete(rules, name)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(rules)), slices.Sorted(maps.Keys(want))) || len(limitedCalls) != len(want) {
		t.Fatalf("operations with a limit: %v", rules)
	}
	for name, calls := range want {
		if rules[name] != (ratelimit.Rule{Calls: calls, Window: time.Hour}) {
			t.Errorf("%s: %+v", name, rules[name])
		}
		t.Run(name, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				if name == "messages" { // not refused for another reason before
					k.policy.Limits = map[string]ratelimit.Rule{"createMagicURLToken": {Calls: 1000, Window: time.Hour}}
				}
				k.Engine = k.limitedEngine(nil)
				var results []latchkey.LimitResult
				client := at("192.0.2.7")
				client.OnLimit = func(r latchkey.LimitResult) {
					if r.Operation == name {
						results = append(results, r)
					}
				}
				began := k.clock.Now()
				for n := range calls {
					if err := limitedCalls[name](k, client); errors.Is(err, latchkey.ErrRateLimitExceeded) {
						k.Fatalf("call %d: %v", n+1, err)
					}
				}
				k.clock.Advance(time.Minute)
				var throttled *latchkey.ThrottledError
				if err := limitedCalls[name](k, client); !errors.As(err, &throttled) || throttled.RetryAfter != 59*time.Minute {
					k.Errorf("one too many: %v", err)
				}
				results = slices.Compact(results) // of an address and of a client, which count alike here
				if len(results) != calls+1 {
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
					"createMFAChallenge", "updateMFAChallenge",
				}
				if !slices.Contains(byAddress, name) {
					if err := limitedCalls[name](k, at("192.0.2.8")); errors.Is(err, latchkey.ErrRateLimitExceeded) {
						k.Errorf("another client: %v", err)
					}
				}
				k.clock.Advance(59 * time.Minute)
				if err := limitedCalls[name](k, client); errors.Is(err, latchkey.ErrRateLimitExceeded) {
					k.Errorf("in the next window: %v", err)
				}
			})
		})
	}
}

func TestTheServerAndUnknownAddressesAreNotLimited(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		for n := range 60 {
			k.must(ignore(k.Users().At(testClient).Create(k.ctx, latchkey.NewUser{Email: fmt.Sprintf("u%d@example.org", n)})))
			k.must(ignore(k.Guest(latchkey.Client{}).CreateAnonymousSession(k.ctx)))
		}
	})
}

func TestSuccessfulSignInsAreNotCounted(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		k.signUp(ada)
		k.guest = k.Guest(testClient)
		for range 20 {
			k.signIn(ada)
		}
		for range 10 {
			if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, "wrong horse")); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		for _, p := range []string{password, "wrong horse"} {
			if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, p)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("after ten wrong ones: %v", err)
			}
		}
	})
}

func TestLimitsCountOneNetworkOfIPv6AndOneSpellingOfAnAddress(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		for n := range 10 {
			_ = limitedCalls["createAccount"](k, at(fmt.Sprintf("2001:db8:1:2::%x", n+1)))
			email := "ada@example.org"
			if n%2 == 0 {
				email = "ADA@Example.ORG"
			}
			_ = ignore(k.Guest(at("192.0.2.9")).CreateEmailPasswordSession(k.ctx, email, "wrong horse"))
		}
		if err := limitedCalls["createAccount"](k, at("2001:db8:1:2:ffff::1")); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the same /64: %v", err)
		}
		if err := limitedCalls["createAccount"](k, at("2001:db8:1:3::1")); errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("another /64: %v", err)
		}
		if err := ignore(k.Guest(at("198.51.100.1")).CreateEmailPasswordSession(k.ctx, "Ada@example.org", "wrong horse")); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the address in another spelling, from elsewhere: %v", err)
		}
		for range 10 {
			_ = limitedCalls["createAccount"](k, at("192.0.2.7"))
		}
		if err := limitedCalls["createAccount"](k, at("::ffff:192.0.2.7")); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("IPv4 in IPv6: %v", err)
		}
	})
}

type brokenLimiter struct{ fail func() error }

func (b brokenLimiter) Take(context.Context, ratelimit.Key, ratelimit.Rule, time.Time) (ratelimit.Result, error) {
	return ratelimit.Result{}, b.fail()
}

func (b brokenLimiter) Forget(context.Context, ratelimit.Key) error { return b.fail() }

func TestLimiterThatFailsRefusesWhatGuessesAndLetsTheRestThrough(t *testing.T) {
	for what, fail := range map[string]func() error{
		"error": func() error { return errors.New("no connection to 203.0.113.9") },
		"panic": func() error { panic("no connection") },
	} {
		t.Run(what, func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				k.signUp(ada)
				k.Engine = k.limitedEngine(brokenLimiter{fail})
				k.guest = k.Guest(testClient)
				for name, call := range limitedCalls {
					err := call(k, testClient)
					guessing := []string{
						"createEmailPasswordSession", "updatePassword", "createSession", "updateMagicURLSession", "updatePhoneSession",
						"updateRecovery", "updateEmailVerification", "updatePhoneVerification", "updateMFAChallenge",
					}
					if guesses := slices.Contains(guessing, name); guesses != errors.Is(err, latchkey.ErrBusy) {
						k.Errorf("%s: %v", name, err)
					}
				}
				if err := ignore(k.guest.CreateEmailPasswordSession(k.ctx, ada, password)); err != latchkey.ErrBusy {
					k.Errorf("the right password: %v", err)
				}
			})
		})
	}
}

func TestPanicOfOnLimitChangesNothing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		var logged bytes.Buffer
		engine, err := latchkey.New(k.store, latchkey.Config{
			Keys: k.keys, Hasher: hashertest.New(k.T), Now: k.clock.Now, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		})
		k.must(err)
		client := testClient
		client.OnLimit = func(latchkey.LimitResult) { panic(password) }
		k.must(ignore(engine.Guest(client).CreateAnonymousSession(k.ctx)))
		if !strings.Contains(logged.String(), "OnLimit") || strings.Contains(logged.String(), password) {
			k.Errorf("logged: %s", logged.String())
		}
	})
}

func TestPolicyReplacesRules(t *testing.T) {
	policy := latchkey.Policy{Limits: map[string]ratelimit.Rule{"createAnonymousSession": {Calls: 1, Window: time.Minute}}}
	onEveryStore(t, policy, func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		k.must(ignore(k.Guest(testClient).CreateAnonymousSession(k.ctx)))
		if err := ignore(k.Guest(testClient).CreateAnonymousSession(k.ctx)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("%v", err)
		}
		k.clock.Advance(time.Minute)
		k.must(ignore(k.Guest(testClient).CreateAnonymousSession(k.ctx)))
	})
}

func TestCallsOfTheHostsOwnServerAreNeitherCountedNorSwitchedOff(t *testing.T) {
	onEveryStore(t, latchkey.Policy{Disabled: latchkey.EmailPassword | latchkey.AnonymousSession}, func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		client := testClient
		client.Server = true
		guest := k.Guest(client)
		for n := range 60 {
			k.must(ignore(guest.CreateAnonymousSession(k.ctx)))
			k.must(ignore(guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: fmt.Sprintf("u%d@example.org", n), Password: password})))
		}
		for range 11 {
			if err := ignore(guest.CreateEmailPasswordSession(k.ctx, "u1@example.org", "wrong horse")); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		if err := ignore(guest.CreateEmailPasswordSession(k.ctx, "u1@example.org", password)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("wrong passwords are not counted: %v", err)
		}
	})
}

func TestPasswordHashIsOpenedForTheServerAlone(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		hash, err := k.Users().PasswordHash(k.ctx, user.ID)
		k.must(err)
		if right, err := k.hasher.Verify(k.ctx, hash.Reveal(), password); !right || err != nil || fmt.Sprint(hash) != "[secret]" {
			k.Errorf("%v, %v", right, err)
		}
		none, err := k.Users().Create(k.ctx, latchkey.NewUser{})
		k.must(err)
		if hash, err := k.Users().PasswordHash(k.ctx, none.ID); hash != "" || err != nil {
			k.Errorf("of a user without one: %v", err)
		}
		if err := ignore(k.Users().PasswordHash(k.ctx, "nobody")); err != latchkey.ErrUserNotFound {
			k.Errorf("of nobody: %v", err)
		}
	})
}
