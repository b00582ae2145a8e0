package attack_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// AC-049: guesses are counted under one canonical identifier.
func TestAC049OneCountForEverySpelling(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for _, known := range []string{kit.Ada, "nobody@example.org"} {
			for n := range 11 {
				email := known
				if n%2 == 0 {
					email = strings.ToUpper(known[:3]) + known[3:]
				}
				if err := k.Try(fmt.Sprintf("203.0.113.%d", n+1), email, "wrong horse"); err != latchkey.ErrInvalidCredentials {
					k.Fatal(err)
				}
			}
			if err := k.Try(kit.Attacker, known, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: %v", known, err)
			}
		}
	})
}

// AC-050: guesses at the old password of a change use the same budget as signing in.
func TestAC050ChangesSpendTheBudgetOfSigningIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, err := k.Users().CreateSession(k.Ctx, user.ID)
		k.Must(err)
		stolen, err := k.Guest(kit.At(kit.Attacker)).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for n := range 11 {
			guess := fmt.Sprint("guess number ", n)
			switch n % 4 {
			case 0:
				err = k.Try(kit.Attacker, kit.Ada, guess)
			case 1:
				err = kit.Err(stolen.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: guess}))
			case 2:
				err = kit.Err(stolen.UpdateEmail(k.Ctx, "mine@example.org", guess))
			case 3:
				err = kit.Err(stolen.UpdatePhone(k.Ctx, "+14155550100", guess))
			}
			if err != latchkey.ErrInvalidCredentials {
				k.Fatalf("guess %d: %v", n, err)
			}
		}
		for what, err := range map[string]error{
			"sign in":  k.Try(kit.Attacker, kit.Ada, kit.Password),
			"password": kit.Err(stolen.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password})),
			"e-mail":   kit.Err(stolen.UpdateEmail(k.Ctx, "mine@example.org", kit.Password)),
			"phone":    kit.Err(stolen.UpdatePhone(k.Ctx, "+14155550100", kit.Password)),
		} {
			if !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: %v", what, err)
			}
		}
	})
}

// AC-051: an attacker who fails on purpose does not keep the owner out, because a
// client where the owner signed in before has its own count.
func TestAC051StrangersDoNotLockTheOwnerOut(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		k.SignUp(kit.Ada)
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
		for n := range 40 { // more than the limiter and the count allow
			_ = k.Try(fmt.Sprintf("203.0.113.%d", n+1), kit.Ada, "wrong horse")
		}
		if err := k.Try(kit.Attacker, kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("a stranger: %v", err)
		}
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
		account := k.SignedInAt(kit.Owner)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Bob, kit.Password)))
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))

		// A known client has its own count, with the same limit, apart from the
		// strangers' count.
		for n := range 10 {
			if err := k.Try(kit.Owner, kit.Ada, "wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatalf("%d: %v", n, err)
			}
		}
		if err := k.Try(kit.Owner, kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the owner after ten wrong ones: %v", err)
		}
		k.Clock.Advance(time.Hour)
		k.Must(k.Try(kit.Owner, kit.Ada, kit.Password))
		k.Must(k.Try(kit.Attacker, kit.Ada, kit.Password)) // the delay is over, and the success makes this client known
	})
}

// AC-051: strangers who fail at codes do not keep the owner out at a client where the
// owner signed in before.
func TestAC051StrangersDoNotSlowAKnownClient(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		token, secret := k.AskCode(kit.Ada)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, secret)
		k.Must(err)
		stranger := k.Guest(kit.At("198.51.100.9"))
		for range 4 {
			k.Must(kit.Err(stranger.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})))
			wrong := kit.OtherCode(k.Mail(kit.Ada).Secret)
			for range 4 {
				_ = kit.Err(stranger.CreateSession(k.Ctx, session.UserID, wrong))
			}
		}
		token, secret = k.AskCode(kit.Ada)
		var slowed *latchkey.ThrottledError
		if err := kit.Err(stranger.CreateSession(k.Ctx, session.UserID, secret)); !errors.As(err, &slowed) {
			k.Errorf("the stranger: %v", err)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, secret)))
	})
}

// AC-051: a stranger who knows the password does not keep the owner from answering a
// challenge at a client where the owner answered one before.
func TestAC051StrangerDoesNotSlowAKnownClient(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		_, owner := k.Owing(k.Visitor)
		k.Must(kit.Err(k.Answers(owner, latchkey.FactorTOTP, app.Code())))
		k.Clock.Advance(time.Minute)
		engine := k.LimitedEngine(nil)
		for range 4 {
			_, stranger := k.Owing(engine.Guest(kit.At("203.0.113.1")))
			for range 4 {
				challenge, err := stranger.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
				if err != nil {
					continue
				}
				_ = kit.Err(stranger.ConfirmMFAChallenge(k.Ctx, challenge.ID, kit.OtherCode(app.Code())))
			}
		}
		_, owner = k.Owing(engine.Guest(kit.Client))
		k.Must(kit.Err(k.Answers(owner, latchkey.FactorTOTP, app.Code())))
	})
}

// While an identifier is slowed, a new password is not compared with the history.
// Otherwise the cost would tell whether the password was used before.
func TestHistoryIsNoOracleWhileSlowed(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 3}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, err := k.Users().CreateSession(k.Ctx, user.ID)
		k.Must(err)
		stolen, err := k.Guest(kit.At(kit.Attacker)).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for range 11 {
			_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
		}
		cost := func(candidate string) int64 {
			before := k.Hasher.Hashes()
			if err := kit.Err(stolen.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: candidate, Old: "wrong horse"})); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%v", err)
			}
			return k.Hasher.Hashes() - before
		}
		wrong, right := cost("not the password"), cost(kit.Password)
		if wrong != 0 || right != 0 {
			k.Errorf("while slowed: %d hashes for a wrong candidate, %d for the present password", wrong, right)
		}
	})
}

// With a wrong old password, a new password costs the same number of hashes whether
// or not it is the present one. So it is no second guess.
func TestHistoryCostsTheSameWhateverMatches(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 3}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		cost := func(candidate string) int64 {
			before := k.Hasher.Hashes()
			_ = kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: candidate, Old: "wrong horse"}))
			return k.Hasher.Hashes() - before
		}
		if wrong, right := cost("not the password"), cost(kit.Password); wrong != right {
			k.Errorf("%d hashes for a wrong candidate, %d for the present password, both with a wrong old one", wrong, right)
		}
	})
}

// Among concurrent attempts, a right and a wrong password cost the same number of
// hashes. The faults of the new password are told only to a caller who knows the
// present one.
func TestRightAndWrongOldPasswordCostTheSame(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 2}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		var costs []int64
		for _, old := range []string{"wrong horse", kit.Password} {
			before := k.Hasher.Hashes()
			_ = kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: old}))
			costs = append(costs, k.Hasher.Hashes()-before)
		}
		if costs[0] != costs[1] {
			k.Errorf("%d hashes for a wrong password, %d for the right one", costs[0], costs[1])
		}
		if err := kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password, Old: "wrong horse"})); err != latchkey.ErrInvalidCredentials {
			k.Errorf("a guess at a former password: %v", err)
		}
	})
}

func TestBurstAtASlowedAddressTellsNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		for range 11 {
			_, _ = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse")
		}
		k.Clock.Advance(30 * time.Second)
		// Both attempts have read that there is no delay. Then a third is counted.
		for _, try := range []string{"wrong horse", kit.Password} {
			k.Interfere(func() {
				k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
					rows, err := record.Failures.List(ctx, tx, store.Query{Index: record.Failures.Primary(), Limit: 1})
					if err != nil {
						return err
					}
					rows[0].Count, rows[0].Last = 12, k.Clock.Now()
					return record.Failures.Replace(ctx, tx, rows[0])
				}))
			})
			if _, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, try); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%q: %v", try, err)
			}
			k.Clock.Advance(time.Hour)
		}
	})
}

// While an identifier is slowed, a right password is refused without a check, also
// that of a blocked user.
func TestBurstAtABlockedUserTellsNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, user.ID, false)))
		// All attempts of a burst have read that there is no delay. Then eleven are
		// counted.
		for _, try := range []string{"wrong horse", kit.Password} {
			k.Interfere(func() {
				for range 11 {
					_ = kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "another horse"))
				}
			})
			if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, try)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%q: %v", try, err)
			}
			k.Clock.Advance(25 * time.Hour)
		}
	})
}

// A stranger who fails at an address before its sign-up does not disable the later
// account.
func TestAddressIsNotDisabledBeforeItsSignUp(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		k.Exhaust(kit.Attacker, kit.Ada)
		k.Clock.Advance(365 * 24 * time.Hour)
		_, err := k.Sweep(k.Ctx)
		k.Must(err)
		k.Must(kit.Err(k.Guest(kit.At(kit.Owner)).CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.LongPassword})))
		if err := k.Try(kit.Owner, kit.Ada, kit.LongPassword); err != nil {
			k.Errorf("a new account, a year after the stranger: %v", err)
		}
	})
}

// A pause of a day between guesses does not clear the count of a hundred.
func TestDisablingIsNotAvoidedByAPauseOfADay(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.LongPassword})))
		guesses := 0
		for n := 0; guesses < 250 && n < 2000; n++ {
			if guesses%90 == 89 {
				k.Clock.Advance(24 * time.Hour)
			}
			err := k.Try(kit.Attacker, kit.Ada, "wrong horse battery")
			var throttled *latchkey.ThrottledError
			switch {
			case err == latchkey.ErrInvalidCredentials:
				guesses++
			case errors.As(err, &throttled):
				k.Clock.Advance(throttled.RetryAfter)
			case err == latchkey.ErrPasswordResetRequired:
				return
			}
		}
		k.Errorf("%d wrong passwords in a row, and the password is not disabled", guesses)
	})
}

// A client that was known to the former user of an address is not known to the next
// user.
func TestKnownClientsAreNotInheritedWithAnAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada) // the attacker signs up before the victim
		k.Must(k.Try(kit.Attacker, kit.Ada, kit.Password))
		k.Must(k.Users().Delete(k.Ctx, user.ID))
		k.Must(kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: "the victim's own"})))
		for n := range 12 {
			_ = k.Try(fmt.Sprintf("198.51.100.%d", n+1), kit.Ada, "wrong horse")
		}
		if err := k.Try(kit.Attacker, kit.Ada, "wrong horse"); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("an address from which the victim never signed in has a count of its own: %v", err)
		}
	})
}

// The strict policy slows a client that fails at many addresses.
func TestStrictPolicySlowsSprayingFromOneClient(t *testing.T) {
	k := kit.New(t, memory.Open(), latchkey.StrictPolicy())
	k.Engine = k.LimitedEngine(nil)
	for n := range 300 {
		if err := k.Try(kit.Attacker, fmt.Sprintf("u%d@example.org", n), "wrong horse battery"); errors.Is(err, latchkey.ErrRateLimitExceeded) {
			return
		}
	}
	t.Errorf("300 failures from one address at once, %d rows", k.Rows()["failures"])
}
