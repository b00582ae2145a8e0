package attack_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// stolen returns the account of Ada in the hands of an attacker, who calls from a new
// address each time.
func stolen(k *kit.Kit) func(n int) *latchkey.Account {
	k.SignUp(kit.Ada)
	session, err := k.Users().CreateSession(k.Ctx, k.IDOf(kit.Ada))
	k.Must(err)
	return func(n int) *latchkey.Account {
		account, err := k.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n))).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		return account
	}
}

// A2: a refusal of the new password tells that the old one is right, so it comes after a
// transaction that counts and slows like any other.
func TestA2TheRightOldPasswordOfARefusedChangeIsSlowed(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true, History: 2}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		account := stolen(k)
		for n, refusedNew := range []string{"my ada@example.org", kit.Password} {
			account(99) // notes the use of the session, so that the next commit is that of the change
			k.Interfere(func() {
				for guess := range 11 {
					err := kit.Err(account(guess).UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: fmt.Sprint("wrong horse ", guess)}))
					if err != latchkey.ErrInvalidCredentials {
						k.Errorf("guess %d: %v", guess, err)
					}
				}
			})
			err := kit.Err(account(100).UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: refusedNew, Old: kit.Password}))
			if !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%d: the right old password of a slowed account is told: %v", n, err)
			}
			k.Clock.Advance(25 * time.Hour)
		}
		// Without guesses before it the refusal is told, and the account is as it was.
		err := kit.Err(account(1).UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "my ada@example.org", Old: kit.Password}))
		if !errors.Is(err, latchkey.ErrPasswordPersonalData) {
			k.Errorf("%v", err)
		}
		k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
	})
}

// A2, H-14: on a store that reads and does not write, a right and a wrong old password get
// one answer.
func TestA2OnAStoreThatDoesNotWriteRightAndWrongAnswerAlike(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{PersonalData: true, History: 2}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		account := stolen(k)(1)
		k.Store.Hook = func(c storetest.Call) error {
			if c.Name == "Commit" && !c.Done {
				return kit.ErrDisk
			}
			return nil
		}
		answers := make(map[string]bool)
		for _, p := range []latchkey.PasswordUpdate{
			{New: "my ada@example.org", Old: kit.Password}, {New: kit.Password, Old: kit.Password}, {New: "another horse", Old: kit.Password},
			{New: "my ada@example.org", Old: "wrong horse"}, {New: "another horse", Old: "wrong horse"},
		} {
			answers[kit.Err(account.UpdatePassword(k.Ctx, p)).Error()] = true
		}
		k.Store.Hook = func(storetest.Call) error { return nil }
		if len(answers) != 1 {
			k.Errorf("the answers differ: %v", answers)
		}
	})
}

// A guess whose caller hangs up when the engine begins its transaction is counted: G-1,
// A2, H-13.
func TestG1AGuessWhoseCallerHangsUpIsCounted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		hangUp := func(do func(ctx context.Context) error) {
			ctx, cancel := context.WithCancel(k.Ctx)
			defer cancel()
			k.Store.Hook = func(c storetest.Call) error {
				if c.Name == "Commit" && !c.Done {
					cancel()
				}
				return nil
			}
			_ = do(ctx)
			k.Store.Hook = func(storetest.Call) error { return nil }
		}
		account := stolen(k)
		type guess func(ctx context.Context, p string) error
		for name, from := range map[string]func(n int) guess{
			"sign in": func(n int) guess {
				guest := k.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n)))
				return func(ctx context.Context, p string) error {
					return kit.Err(guest.CreateEmailPasswordSession(ctx, kit.Ada, p))
				}
			},
			"password": func(n int) guess {
				a := account(n)
				return func(ctx context.Context, p string) error {
					return kit.Err(a.UpdatePassword(ctx, latchkey.PasswordUpdate{New: "another horse", Old: p}))
				}
			},
			"e-mail": func(n int) guess {
				a := account(n)
				return func(ctx context.Context, p string) error { return kit.Err(a.UpdateEmail(ctx, "mine@example.org", p)) }
			},
			"phone": func(n int) guess {
				a := account(n)
				return func(ctx context.Context, p string) error { return kit.Err(a.UpdatePhone(ctx, kit.Phone, p)) }
			},
		} {
			for n := range 11 {
				try := from(n)
				hangUp(func(ctx context.Context) error { return try(ctx, "wrong horse") })
			}
			if err := from(50)(k.Ctx, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: the guesses were not counted: %v", name, err)
			}
			k.Clock.Advance(25 * time.Hour)
		}
		// Five wrong codes void a code, also when the caller hangs up.
		token, code := k.AskCode(kit.Ada)
		for range 5 {
			hangUp(func(ctx context.Context) error {
				return kit.Err(k.Visitor.CreateSession(ctx, token.UserID, kit.OtherCode(code)))
			})
		}
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a code after five wrong ones: %v", err)
		}
		// Nor is an answer for a second factor free.
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, k.IDOf(kit.Ada), true)))
		owner := account(60)
		challenge, err := owner.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		answer := k.Message(challenge.ID, kit.Ada).Secret
		for range 5 {
			hangUp(func(ctx context.Context) error {
				return kit.Err(owner.ConfirmMFAChallenge(ctx, challenge.ID, kit.OtherCode(answer)))
			})
		}
		if err := kit.Err(owner.ConfirmMFAChallenge(k.Ctx, challenge.ID, answer)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a challenge after five wrong answers: %v", err)
		}
	})
}

// A caller who has gone before the comparison is told so, and nothing is compared.
func TestG1ACallerWhoHasGoneComparesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		token, code := k.AskCode(kit.Ada)
		gone, cancel := context.WithCancel(k.Ctx)
		cancel()
		hashes := k.Hasher.Hashes()
		k.Refuses("sign in", context.Canceled, func() error { return kit.Err(k.Visitor.CreateEmailPasswordSession(gone, kit.Ada, kit.Password)) })
		k.Refuses("redeem", context.Canceled, func() error { return kit.Err(k.Visitor.CreateSession(gone, token.UserID, code)) })
		if n := k.Hasher.Hashes() - hashes; n != 0 {
			k.Errorf("%d hashes", n)
		}
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)))
	})
}

// After a step back of the clock, wrong passwords are counted as before: G-3.
func TestG3AClockThatStepsBackHidesNoGuess(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		known := k.Guest(kit.At("192.0.2.1"))
		k.Must(kit.Err(known.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
		k.Clock.Advance(-time.Hour)
		for name, guess := range map[string]func(n int, p string) error{
			"strangers": func(n int, p string) error { return k.Try(fmt.Sprintf("203.0.113.%d", n), kit.Ada, p) },
			"known":     func(_ int, p string) error { return kit.Err(known.CreateEmailPasswordSession(k.Ctx, kit.Ada, p)) },
		} {
			for n := range 11 {
				if err := guess(n, "wrong horse"); err != latchkey.ErrInvalidCredentials {
					k.Fatalf("%s, guess %d: %v", name, n, err)
				}
			}
			if err := guess(99, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Counts belong to a password: with a new one they begin at 0, for strangers and at known
// clients.
func TestG3ANewPasswordHasItsOwnCount(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		known := k.Guest(kit.At("192.0.2.1"))
		signIn := func(g *latchkey.Guest, p string) error {
			return kit.Err(g.CreateEmailPasswordSession(k.Ctx, kit.Ada, p))
		}
		k.Must(signIn(known, kit.Password))
		for range 11 {
			_ = signIn(known, "wrong horse")
			_ = k.Try("203.0.113.9", kit.Ada, "wrong horse")
		}
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "another horse")))
		for name, g := range map[string]*latchkey.Guest{"known": known, "stranger": k.Guest(kit.At("203.0.113.9"))} {
			if err := signIn(g, "another horse"); err != nil {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A change by a session that ends meanwhile is refused as that, and its guess is neither
// counted nor logged: G-5.
func TestG5TheGuessOfAnEndedSessionIsItsEnd(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account := stolen(k)(1)
		k.Interfere(func() { k.Must(k.Users().DeleteSessions(k.Ctx, k.IDOf(kit.Ada))) })
		if err := kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: "wrong horse"})); err != latchkey.ErrUnauthorized {
			k.Errorf("%v", err)
		}
		n, err := k.Store.Store.Count(k.Ctx, store.Query{Index: record.Failures.Primary()})
		k.Must(err)
		if n != 0 {
			k.Errorf("%d counts", n)
		}
		for _, line := range k.Logs() {
			if line == "user.refuse by user" {
				k.Error("the guess is in the log")
			}
		}
	})
}

// behindEngine is an engine that lacks the key of the kit's: a node during the roll-out of
// a key in the wrong order.
func behindEngine(k *kit.Kit) *latchkey.Engine {
	return k.Configured(func(c *latchkey.Config) {
		c.Keys = latchkey.Keys{Active: latchkey.GenerateKey()}
		c.Limiter = ratelimit.ReportOnly(ratelimit.NewMemory(0))
	})
}

// A value that needs a key which the node lacks is a fault, never a wrong answer, and is
// not counted: F-2, F-3.
func TestF2AMissingKeyIsAFaultAndNoWrongAnswer(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		_, owner := k.SignIn(kit.Ada)
		recovery, err := k.Users().CreateMFARecoveryCodes(k.Ctx, user.ID)
		k.Must(err)
		custom, err := k.Users().CreateToken(k.Ctx, user.ID, 0, 0)
		k.Must(err)
		token, code := k.AskCode(kit.Ada)
		behind := behindEngine(k)
		guest := behind.Guest(kit.Client)
		session, err := k.Users().CreateSession(k.Ctx, user.ID)
		k.Must(err)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		byMail, err := owner.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		byCode, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorRecoveryCode)
		k.Must(err)
		for name, do := range map[string]func() error{
			"code":         func() error { return kit.Err(guest.CreateSession(k.Ctx, token.UserID, code)) },
			"custom token": func() error { return kit.Err(guest.CreateSession(k.Ctx, user.ID, custom.Secret.Reveal())) },
			"recovery code": func() error {
				return kit.Err(account.ConfirmMFAChallenge(k.Ctx, byCode.ID, recovery.Codes[0].Reveal()))
			},
			"password": func() error { return kit.Err(guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)) },
		} {
			before := k.Everything()
			for range 12 {
				var own *latchkey.Error
				if err := do(); err == nil || errors.As(err, &own) {
					k.Errorf("%s: %v", name, err)
				}
			}
			k.Same(name, k.Everything(), before)
		}
		// The node with the key takes them.
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)))
		k.Must(kit.Err(owner.ConfirmMFAChallenge(k.Ctx, byMail.ID, k.Message(byMail.ID, kit.Ada).Secret)))
	})
}

// A node that lacks a key hashes for a user whose password it cannot open, as it does for
// every other address: F-3.
func TestF3AMissingKeyCostsAHashToo(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		behind := behindEngine(k)
		for _, email := range []string{kit.Ada, "unknown@example.org"} {
			hashes := k.Hasher.Hashes()
			_ = kit.Err(behind.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, email, "wrong horse"))
			if n := k.Hasher.Hashes() - hashes; n != 1 {
				k.Errorf("%s: %d hashes", email, n)
			}
		}
	})
}

// A history of passwords that needs another key refuses the change, and stays: F-8.
func TestF8AHistoryThatDoesNotOpenIsKept(t *testing.T) {
	policy := latchkey.Policy{Password: latchkey.PasswordPolicy{History: 5}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "second horse")))
		behind := behindEngine(k)
		before := k.Everything()
		for _, p := range []string{kit.Password, "second horse", "third horse", ""} {
			var own *latchkey.Error
			if err := kit.Err(behind.Users().UpdatePassword(k.Ctx, user.ID, p)); err == nil || errors.As(err, &own) {
				k.Errorf("%q: %v", p, err)
			}
		}
		k.Same("rows", k.Everything(), before)
		if err := kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, kit.Password)); err != latchkey.ErrPasswordRecentlyUsed {
			k.Errorf("%v", err)
		}
	})
}
