package latchkey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

const attacker, owner = "203.0.113.66", "192.0.2.7"

func (k *kit) try(ip, email, p string) error {
	return ignore(k.Guest(at(ip)).CreateEmailPasswordSession(k.ctx, email, p))
}

// AC-049: guesses are counted by one canonical identifier.
func TestAC049OneCountForEverySpelling(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		for _, known := range []string{ada, "nobody@example.org"} {
			for n := range 11 {
				email := known
				if n%2 == 0 {
					email = strings.ToUpper(known[:3]) + known[3:]
				}
				if err := k.try(fmt.Sprintf("203.0.113.%d", n+1), email, "wrong horse"); err != latchkey.ErrInvalidCredentials {
					k.Fatal(err)
				}
			}
			if err := k.try(attacker, known, password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: %v", known, err)
			}
		}
	})
}

// AC-050: guessing at the old password of a change spends the same budget.
func TestAC050ChangesSpendTheBudgetOfSigningIn(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.signUp(ada)
		session, err := k.Users().CreateSession(k.ctx, user.ID)
		k.must(err)
		stolen, err := k.Guest(at(attacker)).Authenticate(k.ctx, session.Secret)
		k.must(err)
		for n := range 11 {
			guess := fmt.Sprint("guess number ", n)
			switch n % 4 {
			case 0:
				err = k.try(attacker, ada, guess)
			case 1:
				err = ignore(stolen.UpdatePassword(k.ctx, "another horse", guess))
			case 2:
				err = ignore(stolen.UpdateEmail(k.ctx, "mine@example.org", guess))
			case 3:
				err = ignore(stolen.UpdatePhone(k.ctx, "+14155550100", guess))
			}
			if err != latchkey.ErrInvalidCredentials {
				k.Fatalf("guess %d: %v", n, err)
			}
		}
		for what, err := range map[string]error{
			"sign in":  k.try(attacker, ada, password),
			"password": ignore(stolen.UpdatePassword(k.ctx, "another horse", password)),
			"e-mail":   ignore(stolen.UpdateEmail(k.ctx, "mine@example.org", password)),
			"phone":    ignore(stolen.UpdatePhone(k.ctx, "+14155550100", password)),
		} {
			if !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: %v", what, err)
			}
		}
	})
}

// AC-051: who fails on purpose does not keep the owner out, who has a count of
// their own where they have signed in before.
func TestAC051StrangersDoNotLockTheOwnerOut(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.Engine = k.limitedEngine(nil)
		k.signUp(ada)
		k.must(k.try(owner, ada, password))
		for n := range 40 { // more than the limiter and the count bear
			_ = k.try(fmt.Sprintf("203.0.113.%d", n+1), ada, "wrong horse")
		}
		if err := k.try(attacker, ada, password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("a stranger: %v", err)
		}
		k.must(k.try(owner, ada, password))
		account := k.signedInAt(owner)
		k.must(ignore(account.UpdateEmail(k.ctx, bob, password)))
		k.must(ignore(account.UpdateEmail(k.ctx, ada, password)))

		// A known client's count is its own, no larger, and not the strangers'.
		for n := range 10 {
			if err := k.try(owner, ada, "wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatalf("%d: %v", n, err)
			}
		}
		if err := k.try(owner, ada, password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the owner after ten wrong ones: %v", err)
		}
		k.clock.Advance(time.Hour)
		k.must(k.try(owner, ada, password))
		k.must(k.try(attacker, ada, password)) // an hour later, and now known
	})
}

// The same with IPv6, by network; and for 90 days.
func TestKnownClientsAreKnownByNetworkFor90Days(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		k.must(k.try("2001:db8:1:2::1", ada, password))
		slow := func() {
			for range 11 {
				_ = k.try(attacker, ada, "wrong horse")
			}
		}
		slow()
		k.must(k.try("2001:db8:1:2::2", ada, password))
		if err := k.try("2001:db8:1:3::1", ada, password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("another network: %v", err)
		}
		k.clock.Advance(89 * 24 * time.Hour)
		slow()
		k.must(k.try("2001:db8:1:2::3", ada, password)) // renews
		k.clock.Advance(89 * 24 * time.Hour)
		slow()
		k.must(k.try("2001:db8:1:2::4", ada, password))
		k.clock.Advance(90 * 24 * time.Hour)
		slow()
		if err := k.try("2001:db8:1:2::1", ada, password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("after 90 days: %v", err)
		}
	})
}

func TestAttemptsWhileSlowedDoNotProlongTheDelay(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		for range 11 {
			_ = k.try(attacker, ada, "wrong horse")
		}
		before := k.everything()["failures"]
		for range 50 {
			if err := k.try(attacker, ada, "wrong horse"); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Fatal(err)
			}
		}
		k.same("rows", k.everything()["failures"], before)
		k.clock.Advance(30 * time.Second)
		k.must(k.try(attacker, ada, password))
	})
}

func TestStrictPolicySlowsFromTheFifthAndDisablesAtAHundred(t *testing.T) {
	onEveryStore(t, latchkey.StrictPolicy(), func(k *kit) {
		const long = "correct horse battery"
		user, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: ada, Password: long})
		k.must(err)
		k.must(k.try(owner, ada, long))
		for _, email := range []string{ada, "nobody@example.org"} {
			wrong := 0
			for wrong < 100 {
				err := k.try(attacker, email, "wrong horse battery")
				var throttled *latchkey.ThrottledError
				switch {
				case err == latchkey.ErrInvalidCredentials:
					wrong++
				case errors.As(err, &throttled):
					if wrong < 5 {
						k.Fatalf("slowed after %d", wrong)
					}
					k.clock.Advance(throttled.RetryAfter)
				default:
					k.Fatal(err)
				}
			}
			k.clock.Advance(48 * time.Hour)
			if err := k.try(attacker, email, long); err != latchkey.ErrPasswordResetRequired {
				k.Errorf("the 101st, right, for %s: %v", email, err)
			}
		}
		k.must(k.try(owner, ada, long)) // never a lock of strangers
		swept, err := k.Sweep(k.ctx)
		k.must(err)
		if err := k.try(attacker, ada, long); err != latchkey.ErrPasswordResetRequired {
			k.Errorf("after sweeping %+v: %v", swept, err)
		}
		k.must(ignore(k.Users().UpdatePassword(k.ctx, user.ID, "another horse battery")))
		k.must(k.try(attacker, ada, "another horse battery"))
	})
}

// Whoever is asked for, and whatever is wrong, costs the same: store calls,
// rows, and one hash.
func TestAC001UnknownAddressWrongPasswordAndNoPasswordCostTheSame(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		k.must(ignore(k.Users().Create(k.ctx, latchkey.NewUser{Email: bob})))
		costs := make(map[string][]string)
		for range 3 {
			for _, email := range []string{ada, bob, "nobody@example.org"} {
				before := k.rows()
				k.store.Reset()
				hashes := k.hasher.Hashes()
				if err := k.try(attacker, email, "wrong horse"); err != latchkey.ErrInvalidCredentials {
					k.Fatal(err)
				}
				cost := fmt.Sprint(k.store.Reads.Load(), k.store.Updates.Load(), k.store.Calls.Load(), k.hasher.Hashes()-hashes)
				for table, n := range k.rows() {
					if n != before[table] {
						cost += fmt.Sprint(" ", table, n-before[table])
					}
				}
				costs[email] = append(costs[email], sortedWords(cost))
			}
		}
		k.same("wrong password and no password", costs[ada], costs[bob])
		k.same("wrong password and unknown address", costs[ada], costs["nobody@example.org"])
	})
}

func TestFailureRowsSayNothingOfWhoTheyAreOf(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_ = k.try(attacker, ada, "wrong horse")
		_ = k.try(attacker, "nobody@example.org", "wrong horse")
		k.must(k.try(owner, ada, password))
		rows, err := record.Failures.List(k.ctx, k.store, store.Query{Index: record.Failures.Primary(), Limit: 100})
		k.must(err)
		for _, f := range rows {
			if text := fmt.Sprintf("%s %q", f.Purpose, f.Subject); strings.Contains(text, "example") || strings.Contains(text, owner) || len(f.Subject) != 32 {
				k.Errorf("row %s", text)
			}
		}
		if len(rows) != 2 {
			k.Errorf("%d rows: the unknown's count and the known client", len(rows))
		}
	})
}

func (k *kit) signedInAt(ip string) *latchkey.Account {
	k.Helper()
	session, err := k.Guest(at(ip)).CreateEmailPasswordSession(k.ctx, ada, password)
	k.must(err)
	account, err := k.Guest(at(ip)).Authenticate(k.ctx, session.Secret)
	k.must(err)
	return account
}
