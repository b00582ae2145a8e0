package latchkey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

func TestEleventhWrongPasswordSlowsTheAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		wait := func(email string, delay time.Duration) {
			k.Helper()
			var throttled *latchkey.ThrottledError
			_, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, email, kit.Password)
			if !errors.As(err, &throttled) || throttled.RetryAfter != delay || !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Fatalf("%s: %v, want a wait of %v", email, err, delay)
			}
		}
		fail := func(email string) {
			k.Helper()
			if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, email, "wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatalf("%s: %v", email, err)
			}
		}
		for _, email := range []string{kit.Ada, "nobody@example.org"} {
			for range 11 {
				fail(email)
			}
			for _, delay := range []time.Duration{30, 60, 120, 240, 480, 960, 1920, 3600, 3600} {
				wait(email, delay*time.Second)
				k.Clock.Advance(delay * time.Second)
				fail(email)
			}
		}
		k.Clock.Advance(time.Hour)
		_, account := k.SignIn(kit.Ada) // a success clears the count
		for range 11 {
			fail(kit.Ada)
		}
		if _, err := account.User(k.Ctx); err != nil {
			k.Errorf("a session suffers from a stranger's failures: %v", err)
		}
		k.Clock.Advance(24 * time.Hour) // a day clears the count too
		for range 11 {
			fail(kit.Ada)
		}
	})
}

// A known client is known by its network for 90 days. For IPv6, a network is the
// first 64 bits.
func TestKnownClientsAreKnownByNetworkFor90Days(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Must(k.Try("2001:db8:1:2::1", kit.Ada, kit.Password))
		slow := func() {
			for range 11 {
				_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
			}
		}
		slow()
		k.Must(k.Try("2001:db8:1:2::2", kit.Ada, kit.Password))
		if err := k.Try("2001:db8:1:3::1", kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("another network: %v", err)
		}
		k.Clock.Advance(89 * 24 * time.Hour)
		slow()
		k.Must(k.Try("2001:db8:1:2::3", kit.Ada, kit.Password)) // starts the 90 days again
		k.Clock.Advance(89 * 24 * time.Hour)
		slow()
		k.Must(k.Try("2001:db8:1:2::4", kit.Ada, kit.Password))
		k.Clock.Advance(90 * 24 * time.Hour)
		slow()
		if err := k.Try("2001:db8:1:2::1", kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("after 90 days: %v", err)
		}
	})
}

func TestAttemptsWhileSlowedDoNotProlongTheDelay(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for range 11 {
			_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
		}
		before := k.Everything()["failures"]
		for range 50 {
			if err := k.Try(kit.Attacker, kit.Ada, "wrong horse"); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Fatal(err)
			}
		}
		k.Same("rows", k.Everything()["failures"], before)
		k.Clock.Advance(30 * time.Second)
		k.Must(k.Try(kit.Attacker, kit.Ada, kit.Password))
	})
}

func TestStrictPolicySlowsFromTheFifthAndDisablesAtAHundred(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		const long = "correct horse battery"
		user, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: long})
		k.Must(err)
		k.Must(k.Try(kit.Owner, kit.Ada, long))
		for _, email := range []string{kit.Ada, "nobody@example.org"} {
			wrong := 0
			for wrong < 100 {
				err := k.Try(kit.Attacker, email, "wrong horse battery")
				var throttled *latchkey.ThrottledError
				switch {
				case err == latchkey.ErrInvalidCredentials:
					wrong++
				case errors.As(err, &throttled):
					if wrong < 5 {
						k.Fatalf("slowed after %d", wrong)
					}
					k.Clock.Advance(throttled.RetryAfter)
				default:
					k.Fatal(err)
				}
			}
			k.Clock.Advance(48 * time.Hour)
			if err := k.Try(kit.Attacker, email, long); err != latchkey.ErrPasswordResetRequired {
				k.Errorf("the 101st, right, for %s: %v", email, err)
			}
		}
		k.Must(k.Try(kit.Owner, kit.Ada, long)) // failures of strangers never lock a known client
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if err := k.Try(kit.Attacker, kit.Ada, long); err != latchkey.ErrPasswordResetRequired {
			k.Errorf("after sweeping %+v: %v", swept, err)
		}
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "another horse battery")))
		k.Must(k.Try(kit.Attacker, kit.Ada, "another horse battery"))
	})
}

// While an identifier is slowed, no password is hashed for it.
func TestSlowedIsRefusedBeforeHashing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for range 11 {
			_ = kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse"))
		}
		before := k.Hasher.Hashes()
		for _, err := range []error{
			kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)), kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password)),
		} {
			if !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%v", err)
			}
		}
		if n := k.Hasher.Hashes() - before; n != 0 {
			k.Errorf("%d hashes", n)
		}
	})
}

func TestFailureRowsSayNothingOfWhoTheyAreOf(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
		_ = k.Try(kit.Attacker, "nobody@example.org", "wrong horse")
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
		rows, err := record.Failures.List(k.Ctx, k.Store, store.Query{Index: record.Failures.Primary(), Limit: 100})
		k.Must(err)
		for _, f := range rows {
			if text := fmt.Sprintf("%s %q", f.Purpose, f.Subject); strings.Contains(text, "example") || strings.Contains(text, kit.Owner) || len(f.Subject) != 32 {
				k.Errorf("row %s", text)
			}
		}
		if len(rows) != 2 {
			k.Errorf("%d rows: the unknown's count and the known client", len(rows))
		}
	})
}

// If the clock was ahead for a moment, the failures counted then slow the user no
// longer than the delay.
func TestClockThatWasAheadDelaysNoLongerThanTheDelay(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Clock.Advance(30 * 24 * time.Hour)
		for range 11 {
			_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
		}
		k.Clock.Advance(-30 * 24 * time.Hour)
		var throttled *latchkey.ThrottledError
		if err := k.Try("198.51.100.1", kit.Ada, kit.Password); errors.As(err, &throttled) && throttled.RetryAfter > time.Hour {
			k.Errorf("slowed for %v, the most is an hour", throttled.RetryAfter)
		}
	})
}

// The documents disable a password "until it is set anew". The owner, who is known at
// an earlier client, sets it anew.
func TestDisabledPasswordThatTheOwnerSetsAnewWorksEverywhere(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.LongPassword})))
		k.Must(k.Try(kit.Owner, kit.Ada, kit.LongPassword))
		k.Exhaust(kit.Attacker, kit.Ada)
		session, err := k.Guest(kit.At(kit.Owner)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.LongPassword)
		k.Must(err)
		account, err := k.Guest(kit.At(kit.Owner)).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse battery", Old: kit.LongPassword})))
		if err := k.Try("198.51.100.9", kit.Ada, "another horse battery"); err != nil {
			k.Errorf("after the password was set anew: %v", err)
		}
	})
}

// When the server sets a new password, the count of a known client ends.
func TestPasswordThatTheServerSetsAnewWorksAtKnownClients(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		user, err := k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.LongPassword})
		k.Must(err)
		k.Must(k.Try(kit.Owner, kit.Ada, kit.LongPassword))
		k.Exhaust(kit.Owner, kit.Ada) // an attacker behind the owner's NAT
		k.Clock.Advance(time.Second)
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "another horse battery")))
		if err := k.Try(kit.Owner, kit.Ada, "another horse battery"); err != nil {
			k.Errorf("at the known address, after the server has set the password anew: %v", err)
		}
	})
}

// An owner who changes the address of the account stays known at their client.
func TestOwnerStaysKnownAfterAChangeOfAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		account := k.SignedInAt(kit.Owner)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password)))
		for range 11 {
			_ = k.Try(kit.Attacker, kit.Bob, "wrong horse")
		}
		if err := k.Try(kit.Owner, kit.Bob, kit.Password); err != nil {
			k.Errorf("from where this user signed in a minute ago: %v", err)
		}
	})
}

// Failures at an address do not slow the next user of the address.
func TestNextUserOfAnAddressIsNotSlowed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		for range 15 {
			k.Clock.Advance(time.Hour)
			_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
		}
		k.Must(k.Users().Delete(k.Ctx, user.ID))
		k.SignUp(kit.Ada)
		if err := k.Try(kit.Owner, kit.Ada, kit.Password); err != nil {
			k.Errorf("a new account: %v", err)
		}
	})
}

// Failures under an id end with its user. They do not slow the next user of the id.
func TestNextUserOfAnIDIsNotSlowed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		n := latchkey.NewUser{UserID: "chosen", Phone: kit.Phone, Password: kit.Password}
		enter := func() *latchkey.Account {
			k.Must(kit.Err(k.Users().Create(k.Ctx, n)))
			session, err := k.Users().CreateSession(k.Ctx, "chosen")
			k.Must(err)
			account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			return account
		}
		account := enter()
		for range 11 {
			_ = kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: "wrong horse"}))
		}
		k.Must(k.Users().Delete(k.Ctx, "chosen"))
		if n := k.Rows()["failures"]; n != 1 { // the deleted id itself
			k.Errorf("%d counts of a user who is gone", n)
		}
		k.Must(kit.Err(enter().UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})))
	})
}
