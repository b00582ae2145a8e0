package attack_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
)

// limited returns a policy with rules of its own.
func limited(rules map[string]ratelimit.Rule) latchkey.Policy {
	return latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: rules}}
}

// A challenge does not go to an address that changes after its messages were counted.
func TestAC023AChallengeGoesToNoFormerAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner := owned(k)
		k.Drained(k.Configured(func(*latchkey.Config) {}))
		engine := k.Configured(func(*latchkey.Config) {})
		session := byPassword(k)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Interfere(func() {
			k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, owner.UserID(), kit.Bob)))
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, owner.UserID(), true)))
		})
		if err := kit.Err(account.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)); !errors.Is(err, latchkey.ErrBusy) {
			k.Errorf("the address has moved: %v", err)
		}
		for _, sent := range k.Posted(engine) {
			if strings.HasPrefix(sent, string(notify.Challenge)) {
				k.Errorf("sent: %s", sent)
			}
		}
		if n := k.Rows()["challenges"]; n != 0 {
			k.Errorf("%d challenges", n)
		}
	})
}

// A message takes one place of the reserve, however many rules refuse it.
func TestA5AMessageTakesOnePlaceOfTheReserve(t *testing.T) {
	policy := limited(map[string]ratelimit.Rule{
		"messages": {Calls: 1, Window: time.Hour}, "messagesBurst": {Calls: 1, Window: time.Hour}, "messagesFew": {Calls: 1, Window: time.Hour},
		"messagesReserve": {Calls: 4, Window: time.Hour},
	})
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		withFactors(k)
		engine := k.Configured(func(*latchkey.Config) {})
		pending := owner(k, engine, kit.Owner)
		for n := range 6 {
			err := kit.Err(pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail))
			if refused := errors.Is(err, latchkey.ErrRateLimitExceeded); refused != (n == 5) || !refused && err != nil {
				k.Errorf("message %d: %v", n+1, err)
			}
		}
	})
}

// A try that the count of its site refuses is no failure of its network.
func TestA11ATryThatTheSiteRefusesIsNoFailureOfItsNetwork(t *testing.T) {
	kit.OnEveryStore(t, limited(map[string]ratelimit.Rule{"failuresByClient": {Calls: 2, Window: time.Hour}}), func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		k.Engine = k.LimitedEngine(nil)
		from := func(n int) string { return fmt.Sprintf("2001:db8:7:%x::1", n) }
		for n := range 20 {
			_ = k.Try(from(n), fmt.Sprintf("unknown%d@example.org", n), "wrong horse battery")
		}
		k.Clock.Advance(50 * time.Minute)
		for range 3 {
			if err := k.Try(from(99), kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("the site is over its limit: %v", err)
			}
		}
		k.Clock.Advance(10 * time.Minute)
		k.Must(k.Try(from(99), kit.Ada, kit.Password))
	})
}

// A password that is compared with a hash of a moment ago is compared again, and not counted as
// wrong, if it is the right one now.
func TestG5APasswordThatChangesMeanwhileIsComparedAgain(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		account := owned(k)
		k.Interfere(func() { k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, account.UserID(), kit.FreshPassword))) })
		k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.FreshPassword)))
	})
}

// A wait that is told is no longer than the delay, also where the clock has stepped back since the
// last wrong answer.
func TestG2AWaitIsNoLongerThanTheDelay(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		guess(k, kit.Ada, 11)
		k.Clock.Advance(-30 * time.Second)
		var throttled *latchkey.ThrottledError
		if err := k.Try(kit.Attacker, kit.Ada, kit.Password); !errors.As(err, &throttled) || throttled.RetryAfter != 30*time.Second {
			k.Errorf("after a step back: %v, %+v", err, throttled)
		}
	})
}

// answersWrong answers challenges of a factor wrong, in a session of Ada at the address of an
// attacker, until the factor is slowed.
func answersWrong(k *kit.Kit, factor latchkey.Factor, otp string) {
	k.Helper()
	thief := k.SignedInAt(kit.Attacker)
	for range 20 {
		if err := kit.Err(k.Answers(thief, factor, otp)); errors.Is(err, latchkey.ErrRateLimitExceeded) {
			return
		}
	}
	k.Fatal("wrong answers are not slowed")
}

// Wrong answers for former recovery codes do not slow the new ones.
func TestAC055WrongAnswersGoWithTheFormerRecoveryCodes(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := owned(k)
		k.Must(kit.Err(k.Users().CreateMFARecoveryCodes(k.Ctx, user.UserID())))
		answersWrong(k, latchkey.FactorRecoveryCode, "0123456789")
		codes, err := k.Users().RegenerateMFARecoveryCodes(k.Ctx, user.UserID())
		k.Must(err)
		k.Must(kit.Err(k.Answers(k.SignedInAt(kit.Owner), latchkey.FactorRecoveryCode, codes.Codes[0].Reveal())))
	})
}

// Wrong codes of an authenticator that is gone do not slow the next one.
func TestAC055WrongAnswersGoWithTheFormerAuthenticator(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := owned(k)
		app := k.Confirmed(user, latchkey.NewMFAAuthenticator{})
		k.Clock.Advance(time.Minute)
		answersWrong(k, latchkey.FactorTOTP, kit.OtherCode(app.Code()))
		k.Must(k.Users().DeleteMFAAuthenticator(k.Ctx, user.UserID()))
		k.Confirmed(k.SignedInAt("198.51.100.9"), latchkey.NewMFAAuthenticator{})
	})
}

// A switch by the user is no demand of the server. A planter cannot shut the owner of the mailbox out
// by switching MFA on after the server.
func TestA29ASwitchByTheUserIsNoDemandOfTheServer(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, planter := k.SignIn(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, planter.UserID(), true)))
		for _, on := range []bool{false, true} {
			k.Must(kit.Err(planter.UpdateMFA(k.Ctx, on)))
		}
		victim, err := authenticated(k, byMagicLink(k, kit.Ada).Secret).User(k.Ctx)
		k.Must(err)
		if victim.MFA {
			k.Error("the switch is as the planter has left it")
		}
	})
}

// A reseal finds a history under an old key also beside a password under the new one.
func TestKeysAHistoryIsResealedBesideAPasswordOfTheNewKey(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 3}}, func(k *kit.Kit) {
		user := owned(k)
		k.Must(kit.Err(user.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.FreshPassword, Old: kit.Password})))
		old, fresh := k.Keys.Active, latchkey.GenerateKey()
		off := k.Configured(func(c *latchkey.Config) {
			c.Keys, c.Policy.Password.History = latchkey.Keys{Active: fresh, Old: []latchkey.Key{old}}, 0
		})
		k.Must(kit.Err(off.Users().UpdatePassword(k.Ctx, user.UserID(), "a third horse battery")))
		k.Must(kit.Err(off.Reseal(k.Ctx)))
		k.Engine = k.WithKeys(latchkey.Keys{Active: fresh})
		if err := kit.Err(k.Users().UpdatePassword(k.Ctx, user.UserID(), kit.Password)); !errors.Is(err, latchkey.ErrPasswordRecentlyUsed) {
			k.Errorf("a former password: %v", err)
		}
	})
}

// One sweep deletes all that was made while the clock was ahead, also if it is more than a batch.
func TestAttack3ASweepDeletesEverythingFromAhead(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		const ahead = 20 * 24 * time.Hour
		k.Clock.Advance(ahead)
		for n := range 120 {
			k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: addressOf(fmt.Sprint("u", n))})))
		}
		k.Clock.Advance(-ahead)
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if n := k.Rows()["tokens"]; n != 0 || swept.Tokens != 120 {
			k.Errorf("%d tokens are left, and %d were swept", n, swept.Tokens)
		}
	})
}

// The reserve of messages is full until its window ends, which begins with the first message.
func TestA5TheReserveEndsWithItsWindow(t *testing.T) {
	policy := limited(map[string]ratelimit.Rule{"messages": {Calls: 1, Window: 24 * time.Hour}, "messagesReserve": {Calls: 1, Window: 100 * time.Minute}})
	policy.Factors.PendingLength = 3 * time.Hour
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		withFactors(k)
		engine := k.Configured(func(*latchkey.Config) {})
		pending := owner(k, engine, kit.Owner)
		ask := func() error { return kit.Err(pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)) }
		k.Must(ask())
		k.Must(ask())
		k.Clock.Advance(90 * time.Minute)
		if err := ask(); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("within the window: %v", err)
		}
		k.Clock.Advance(10 * time.Minute)
		k.Must(ask())
	})
}

// The reserve of notices is full until its window ends, which begins with the first notice.
func TestA27TheReserveOfNoticesEndsWithItsWindow(t *testing.T) {
	policy := limited(map[string]ratelimit.Rule{"messages": {Calls: 1, Window: 24 * time.Hour}, "messagesNotices": {Calls: 1, Window: 100 * time.Minute}})
	policy.Factors.EnrolWithoutStepUp = true
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		owned(k)
		session, limiter := byPassword(k), ratelimit.NewMemory(0)
		told := func(on bool) int {
			engine := k.Configured(func(c *latchkey.Config) { c.Limiter = limiter })
			account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			k.Must(kit.Err(account.UpdateMFA(k.Ctx, on)))
			return len(k.Posted(engine))
		}
		for n, want := range []int{1, 1, 0, 1} {
			if got := told(n%2 == 0); got != want {
				k.Errorf("change %d: %d notices", n+1, got)
			}
			k.Clock.Advance([]time.Duration{0, 90 * time.Minute, 10 * time.Minute, 0}[n])
		}
	})
}
