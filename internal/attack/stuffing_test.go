package attack_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
)

// A11: a client may fail 300 times in an hour, whatever addresses it tries. Another client
// is not held up, and the next hour begins at 0.
func TestA11StuffingFromOneClientIsBounded(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		engine := k.Configured(func(*latchkey.Config) {})
		try := func(ip, email, p string) error {
			return kit.Err(engine.Guest(kit.At(ip)).CreateEmailPasswordSession(k.Ctx, email, p))
		}
		hashes := k.Hasher.Hashes()
		for n := range 400 {
			err := try(kit.Attacker, fmt.Sprintf("u%d@example.org", n), "wrong horse")
			if n < 300 && err != latchkey.ErrInvalidCredentials || n >= 300 && !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Fatalf("try %d: %v", n+1, err)
			}
		}
		if n := k.Hasher.Hashes() - hashes; n != 300 {
			k.Errorf("%d passwords were compared", n)
		}
		if err := try(kit.Attacker, kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the right one after 300 wrong ones: %v", err)
		}
		k.Must(try(kit.Owner, kit.Ada, kit.Password))
		k.Clock.Advance(time.Hour)
		k.Must(try(kit.Attacker, kit.Ada, kit.Password))
	})
}

// A11: the rule is one for passwords, links, codes and answers to challenges.
func TestA11EveryWayToFailCountsTogether(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"failuresByClient": {Calls: 5, Window: time.Hour}}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		user := k.Proven()
		codes, err := k.Users().CreateMFARecoveryCodes(k.Ctx, user.ID)
		k.Must(err)
		engine := k.Configured(func(*latchkey.Config) {})
		guest := engine.Guest(kit.At(kit.Attacker))
		session, err := k.Users().CreateSession(k.Ctx, user.ID)
		k.Must(err)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		challenge, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorRecoveryCode)
		k.Must(err)
		token, err := engine.Guest(kit.At(kit.Owner)).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada})
		k.Must(err)
		code := k.MailOf(token, kit.Ada).Secret
		fails := map[string]func() error{
			"password":  func() error { return kit.Err(guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse")) },
			"unknown":   func() error { return kit.Err(guest.CreateEmailPasswordSession(k.Ctx, kit.Bob, kit.Password)) },
			"code":      func() error { return kit.Err(guest.CreateSession(k.Ctx, token.UserID, kit.OtherCode(code))) },
			"link":      func() error { return kit.Err(guest.CreateSession(k.Ctx, "nobody", kit.UnknownLink)) },
			"challenge": func() error { return kit.Err(account.ConfirmMFAChallenge(k.Ctx, challenge.ID, "0000000000")) },
		}
		for name, fail := range fails {
			if err := fail(); err != latchkey.ErrInvalidCredentials && !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("%s: %v", name, err)
			}
		}
		for name, do := range map[string]func() error{
			"password": func() error { return kit.Err(guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)) },
			"code":     func() error { return kit.Err(guest.CreateSession(k.Ctx, token.UserID, code)) },
			"challenge": func() error {
				return kit.Err(account.ConfirmMFAChallenge(k.Ctx, challenge.ID, codes.Codes[0].Reveal()))
			},
		} {
			k.Refuses(name+", right, after five failures", latchkey.ErrRateLimitExceeded, do)
		}
		k.Must(kit.Err(engine.Guest(kit.At(kit.Owner)).CreateSession(k.Ctx, token.UserID, code)))
	})
}

// A11: neither successes count, nor tries that were not compared, nor those of the host's
// own server, nor those of clients without an address.
func TestA11OnlyFailuresCount(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{
		"failuresByClient": {Calls: 13, Window: time.Hour}, "createEmailPasswordSession": {Calls: 100, Window: time.Hour},
	}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		blocked := k.SignUp(kit.Bob)
		k.Must(kit.Err(k.Users().UpdateStatus(k.Ctx, blocked.ID, false)))
		engine := k.Configured(func(*latchkey.Config) {})
		guest := engine.Guest(kit.At(kit.Attacker))
		try := func(email, p string) error { return kit.Err(guest.CreateEmailPasswordSession(k.Ctx, email, p)) }
		strangers := 0
		stranger := func() string {
			strangers++
			return fmt.Sprintf("stranger%d@example.org", strangers)
		}
		for range 20 {
			k.Must(try(kit.Ada, kit.Password))
			token, err := k.Users().CreateToken(k.Ctx, user.ID, 0, 0)
			k.Must(err)
			k.Must(kit.Err(guest.CreateSession(k.Ctx, user.ID, token.Secret.Reveal())))
			if err := try(kit.Bob, kit.Password); err != latchkey.ErrUserBlocked {
				k.Fatal(err)
			}
			_ = kit.Err(engine.Guest(latchkey.Client{}).CreateEmailPasswordSession(k.Ctx, stranger(), "wrong horse"))
			_ = kit.Err(engine.Users().Guest(kit.At(kit.Attacker)).CreateEmailPasswordSession(k.Ctx, stranger(), "wrong horse"))
		}
		for range 11 { // these fail, and slow the address
			if err := try("u@example.org", "wrong horse"); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		for range 20 { // these are not compared
			if err := try("u@example.org", "wrong horse"); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Fatal(err)
			}
		}
		k.Must(try(kit.Ada, kit.Password))
		for n := range 4 {
			err := try(stranger(), "wrong horse")
			if n < 2 && err != latchkey.ErrInvalidCredentials || n >= 2 && !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%d after eleven failures: %v", n, err)
			}
		}
	})
}

// A11: tries at once compare no more than tries one after another.
func TestA11TriesAtOnceDoNotPassTheLimit(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"failuresByClient": {Calls: 10, Window: time.Hour}}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		engine := k.Configured(func(*latchkey.Config) {})
		release := hashertest.Hold(k, k.Hasher)
		var failed, refused atomic.Int64
		var group sync.WaitGroup
		for n := range 50 {
			group.Go(func() {
				err := kit.Err(engine.Guest(kit.At(kit.Attacker)).CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", n), "wrong horse"))
				switch {
				case err == latchkey.ErrInvalidCredentials:
					failed.Add(1)
				case errors.Is(err, latchkey.ErrRateLimitExceeded):
					if refused.Add(1) == 40 {
						release()
					}
				default:
					k.Errorf("%v", err)
				}
			})
		}
		group.Wait()
		if failed.Load() != 10 || refused.Load() != 40 {
			k.Errorf("%d failed, %d refused", failed.Load(), refused.Load())
		}
	})
}

// A11, H-23: a network that floods the engine with sign-ins holds half of the queue, and a
// sign-in from another one waits for at most one of its hashes to begin.
func TestA11ASignInFromAnotherNetworkIsServedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kit.New(t, memory.Open(), kit.Documented)
		narrow, err := hasher.New(hasher.Config{Params: hasher.Params{Memory: 7168, Time: 5, Threads: 1}, Slots: 1, Queue: 8, Wait: time.Hour})
		k.Must(err)
		engine := k.Configured(func(c *latchkey.Config) { c.Hasher = narrow })
		k.Must(kit.Err(engine.Guest(kit.Client).CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})))
		for name, flood := range map[string]func(n int) error{
			"sign in": func(n int) error {
				return kit.Err(engine.Guest(kit.At(kit.Attacker)).CreateEmailPasswordSession(k.Ctx, fmt.Sprintf("u%d@example.org", n), "wrong horse"))
			},
			"sign up": func(n int) error {
				return kit.Err(engine.Guest(kit.At(kit.Attacker)).CreateAccount(k.Ctx, latchkey.NewAccount{Email: fmt.Sprintf("u%d@example.org", n), Password: kit.Password}))
			},
		} {
			release := hashertest.Hold(t, narrow)
			var busy, hashed atomic.Int64
			for n := range 10 {
				go func() {
					if err := flood(n); errors.Is(err, latchkey.ErrBusy) {
						busy.Add(1)
					} else {
						hashed.Add(1)
					}
				}()
			}
			synctest.Wait()
			if busy.Load() != 6 || hashed.Load() != 0 {
				t.Errorf("%s: %d of ten are refused, for eight places", name, busy.Load())
			}
			before := narrow.Hashes()
			var ahead int64
			go func() {
				k.Must(kit.Err(engine.Guest(kit.At(kit.Owner)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)))
				ahead = narrow.Hashes() - before
			}()
			synctest.Wait()
			release()
			synctest.Wait()
			if hashed.Load() != 4 || ahead == 0 {
				t.Errorf("%s: %d of the flood were served; the owner came after %d", name, hashed.Load(), ahead)
			}
			if ahead > 3 { // its own, one before it, and one that began while it was answered
				t.Errorf("%s: the owner was answered after %d hashes", name, ahead)
			}
		}
	})
}
