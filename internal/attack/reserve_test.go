package attack_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
)

// askings are the calls by which anybody has a message sent to Ada.
var askings = map[string]func(k *kit.Kit, g *latchkey.Guest) error{
	"magic URL": func(k *kit.Kit, g *latchkey.Guest) error {
		return kit.Err(g.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada}))
	},
	"e-mail code": func(k *kit.Kit, g *latchkey.Guest) error {
		return kit.Err(g.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: kit.Ada}))
	},
	"SMS code": func(k *kit.Kit, g *latchkey.Guest) error { return kit.Err(g.CreatePhoneToken(k.Ctx, "", kit.Phone)) },
	"recovery": func(k *kit.Kit, g *latchkey.Guest) error {
		return kit.Err(g.CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL}))
	},
}

// useUp has strangers ask for messages until each way to ask is refused.
func useUp(k *kit.Kit, engine *latchkey.Engine) {
	k.Helper()
	for name, ask := range askings {
		n := 0
		for ask(k, engine.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n)))) == nil {
			if n++; n > 100 {
				k.Fatalf("%s is never refused", name)
			}
		}
	}
}

// owner signs Ada in at the address of the owner, with MFA on, and returns a session that
// owes a factor.
func owner(k *kit.Kit, engine *latchkey.Engine, ip string) *latchkey.Pending {
	k.Helper()
	session, err := engine.Guest(kit.At(ip)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.LongPassword)
	k.Must(err)
	var owed *latchkey.MoreFactorsError
	if err := kit.Err(engine.Guest(kit.At(ip)).Authenticate(k.Ctx, session.Secret.Reveal())); !errors.As(err, &owed) {
		k.Fatal(err)
	}
	return owed.Pending
}

// withFactors makes Ada, who has proven her address and her number, and has MFA on.
func withFactors(k *kit.Kit) *latchkey.User {
	k.Helper()
	user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Phone: kit.Phone, Password: kit.LongPassword})
	k.Must(err)
	k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
	k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
	k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
	return user
}

// A5: strangers who know the address, and use up all that anybody may have sent to it, keep
// the owner neither from the second factor, nor at a known client from anything else.
func TestA5StrangersDoNotUseUpTheMessagesOfTheOwner(t *testing.T) {
	for name, policy := range map[string]latchkey.Policy{"default": {}, "strict": latchkey.StrictPolicy()} {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				withFactors(k)
				engine := k.Configured(func(*latchkey.Config) {})
				known, pending := engine.Guest(kit.At(kit.Owner)), owner(k, engine, kit.Owner)
				useUp(k, engine)
				for _, factor := range []latchkey.Factor{latchkey.FactorEmail, latchkey.FactorPhone} {
					if err := kit.Err(pending.CreateMFAChallenge(k.Ctx, factor)); err != nil {
						k.Errorf("challenge by %s: %v", factor, err)
					}
				}
				for name, ask := range askings {
					if err := ask(k, known); err != nil {
						k.Errorf("%s at a known client: %v", name, err)
					}
					if err := ask(k, engine.Guest(kit.At(kit.Attacker))); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
						k.Errorf("%s at another client: %v", name, err)
					}
				}
				// At a client that is not known the first factor opens the challenge.
				if err := kit.Err(owner(k, engine, "192.0.2.99").CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)); err != nil {
					k.Errorf("challenge at a new client: %v", err)
				}
			})
		})
	}
}

// A5: under the strict policy a notice is the one message of its minute. It does not keep
// its user from a challenge.
func TestA5ANoticeDoesNotHoldUpAChallenge(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		user := withFactors(k)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, false)))
		k.Drained(k.Engine)
		engine := k.Configured(func(*latchkey.Config) {})
		session, err := engine.Guest(kit.At(kit.Owner)).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.LongPassword)
		k.Must(err)
		account, err := engine.Guest(kit.At(kit.Owner)).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Must(kit.Err(account.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)))
		kinds := map[notify.Kind]int{}
		for _, m := range k.Drained(engine) {
			if m.To == kit.Ada {
				kinds[m.Kind]++
			}
		}
		if kinds[notify.FactorsChanged] != 1 || kinds[notify.Challenge] != 1 {
			k.Errorf("%v", kinds)
		}
	})
}

// A5: the reserve is bounded, by user for challenges and by user and client where the user
// is known. An attacker with the password uses up none but that of the new clients.
func TestA5TheReserveIsBoundedAndTheOwnersOwn(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{
		"createMFAChallenge": {Calls: 100, Window: time.Hour}, "messagesReserve": {Calls: 3, Window: time.Hour},
	}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		withFactors(k)
		engine := k.Configured(func(*latchkey.Config) {})
		pending := owner(k, engine, kit.Owner)
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		k.Must(kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret))) // known for the factor
		useUp(k, engine)
		count := func(ask func() error) (passed int) {
			for range 6 {
				switch err := ask(); {
				case err == nil:
					passed++
				case !errors.Is(err, latchkey.ErrRateLimitExceeded):
					k.Fatal(err)
				}
			}
			return passed
		}
		for n, want := range []int{3, 0} { // from two networks of an attacker with the password
			thief := owner(k, engine, fmt.Sprintf("203.0.113.%d", n))
			if got := count(func() error { return kit.Err(thief.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)) }); got != want {
				k.Errorf("network %d of the thief: %d", n, got)
			}
		}
		again := owner(k, engine, kit.Owner)
		if got := count(func() error { return kit.Err(again.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)) }); got != 3 {
			k.Errorf("the owner: %d", got)
		}
		if got := count(func() error { return askings["recovery"](k, engine.Guest(kit.At(kit.Owner))) }); got > 3 {
			k.Errorf("recoveries of the owner: %d", got)
		}
		told := 0
		for _, e := range k.Told.Take() {
			if e.Name == "limits.messagesReserve.reached" {
				told++
			}
		}
		if told == 0 {
			k.Error("the host is not told")
		}
		k.Clock.Advance(time.Hour)
		useUp(k, engine)
		if got := count(func() error { return askings["recovery"](k, engine.Guest(kit.At(kit.Owner))) }); got != 3 {
			k.Errorf("recoveries of the owner in the next hour: %d", got)
		}
	})
}

// A5: an address that its user has not proven has no reserve, even at a client from which
// somebody has signed in: an attacker could have entered it.
func TestA5AnUnprovenAddressHasNoReserve(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Phone: kit.Phone, Password: kit.Password})
		k.Must(err)
		engine := k.Configured(func(*latchkey.Config) {})
		squatter := engine.Guest(kit.At(kit.Attacker))
		session, err := squatter.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		account, err := squatter.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		useUp(k, engine)
		for name, ask := range askings {
			if err := ask(k, squatter); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: %v", name, err)
			}
		}
		if err := kit.Err(account.CreateEmailVerification(k.Ctx, kit.VerifyURL)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("verification: %v", err)
		}
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		if err := askings["recovery"](k, squatter); err != nil {
			k.Errorf("once it is proven: %v", err)
		}
	})
}

// A5: a stranger at an address that has used up its messages gets one answer, after the same
// work, whether a user has the address, at whatever client, or nobody.
func TestA5TheReserveTellsAStrangerNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		engine := k.Configured(func(*latchkey.Config) {})
		look := func(ask func(k *kit.Kit, g *latchkey.Guest) error) string {
			k.Store.Reset()
			err := ask(k, engine.Guest(kit.At(kit.Attacker)))
			var throttled *latchkey.ThrottledError
			if !errors.As(err, &throttled) {
				k.Fatal(err)
			}
			return fmt.Sprint(err, " ", throttled.RetryAfter, ", reads ", k.Store.Reads.Load(), ", updates ", k.Store.Updates.Load())
		}
		useUp(k, engine)
		nobody := make(map[string]string)
		for name, ask := range askings {
			nobody[name] = look(ask)
		}
		withFactors(k)
		owner(k, engine, kit.Owner)
		for name, ask := range askings {
			if got := look(ask); got != nobody[name] {
				k.Errorf("%s: %s, and for nobody %s", name, got, nobody[name])
			}
		}
	})
}

// A5, A22: when strangers have used up the texts of a country, or of the engine, the owner
// gets theirs. The texts of all reserves are bounded by the same rule, so that the host pays
// at most for twice as many.
func TestA5TextsOfTheReservesAreBoundedTogether(t *testing.T) {
	for name, country := range map[string]int{"texts of the country": 3, "texts of the engine": 100} {
		t.Run(name, func(t *testing.T) {
			policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{
				"messagesTexts": {Calls: 4, Window: time.Hour}, "messagesByPrefix": {Calls: country, Window: time.Hour},
			}}}
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				withFactors(k)
				engine := k.Configured(func(*latchkey.Config) {})
				pending := owner(k, engine, kit.Owner)
				text := func(n int, number string) error {
					return kit.Err(engine.Guest(kit.At(fmt.Sprintf("198.51.100.%d", n))).CreatePhoneToken(k.Ctx, "", number))
				}
				for n, number := range []string{"+14155550171", "+14155550172", "+14155550173", "+4915212345678"} {
					k.Must(text(n, number))
				}
				for n, number := range []string{"+14155550174", "+33612345678"} {
					if err := text(n, number); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
						k.Errorf("%s: %v", number, err)
					}
				}
				for n := range 6 {
					if err := kit.Err(pending.CreateMFAChallenge(k.Ctx, latchkey.FactorPhone)); (err == nil) != (n < 4) {
						k.Errorf("challenge %d: %v", n+1, err)
					}
				}
			})
		})
	}
}
