package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// slowed lists what an engine slows.
func slowed(k *kit.Kit, engine *latchkey.Engine) (all []latchkey.Throttled) {
	k.Helper()
	k.Must(engine.Throttled(k.Ctx, func(t latchkey.Throttled) error {
		all = append(all, t)
		return nil
	}))
	return all
}

// wrongly tries a wrong password n times.
func wrongly(k *kit.Kit, ip, email string, n int) {
	for range n {
		_ = k.Try(ip, email, "wrong horse")
	}
}

// What is slowed is listed under a digest, for known and unknown identifiers, for as long as
// it is slowed. What belongs to a user is found by the user.
func TestThrottledListsWhatIsSlowed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		wrongly(k, "192.0.2.7", kit.Ada, 10)
		if all := slowed(k, k.Engine); len(all) != 0 {
			k.Errorf("after ten: %+v", all)
		}
		wrongly(k, "192.0.2.7", kit.Ada, 12)
		wrongly(k, "192.0.2.8", "unknown@example.org", 12)
		all := slowed(k, k.Engine)
		own, err := k.Users().Throttled(k.Ctx, user.ID)
		k.Must(err)
		if len(all) != 2 || len(own) != 1 || own[0].Kind != "password" || own[0] != all[0] && own[0] != all[1] {
			k.Fatalf("all %+v, own %+v", all, own)
		}
		for _, one := range all {
			if one.Failures < 11 || one.Disabled || !one.Until.After(k.Clock.Now()) || one.Subject == "" || one.Last.After(k.Clock.Now()) {
				k.Errorf("%+v", one)
			}
		}
		var wait *latchkey.ThrottledError
		if err := k.Try("192.0.2.9", kit.Ada, kit.Password); !errors.As(err, &wait) || !own[0].Until.Equal(k.Clock.Now().Add(wait.RetryAfter)) {
			k.Errorf("the list says %v, the refusal %v", own[0].Until, err)
		}
		k.Clock.Advance(time.Hour)
		if all := slowed(k, k.Engine); len(all) != 0 {
			k.Errorf("an hour later: %+v", all)
		}
		stop := errors.New("enough")
		wrongly(k, "192.0.2.7", kit.Ada, 12)
		if err := k.Throttled(k.Ctx, func(latchkey.Throttled) error { return stop }); err != stop {
			k.Errorf("%v", err)
		}
		closed := k.Configured(func(*latchkey.Config) {})
		k.Must(closed.Close())
		if err := closed.Throttled(k.Ctx, func(latchkey.Throttled) error { return nil }); !errors.Is(err, latchkey.ErrClosed) {
			k.Errorf("a closed engine: %v", err)
		}
	})
}

// A password that is not compared any more is listed so, with the policy that says it.
func TestThrottledTellsWhatIsDisabled(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{DisableAfter: 20}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		for range 20 {
			_ = k.Try("192.0.2.7", kit.Ada, "wrong horse")
			k.Clock.Advance(time.Hour)
		}
		own, err := k.Users().Throttled(k.Ctx, user.ID)
		k.Must(err)
		if len(own) != 1 || !own[0].Disabled || own[0].Failures != 20 {
			k.Errorf("%+v", own)
		}
		k.Clock.Advance(366 * 24 * time.Hour)
		if own, err := k.Users().Throttled(k.Ctx, user.ID); len(own) != 0 || err != nil || len(slowed(k, k.Engine)) != 0 {
			k.Errorf("a year later: %+v, %v", own, err)
		}
		k.Clock.Advance(-366 * 24 * time.Hour)
		k.Must(kit.Err(k.Users().UpdatePassword(k.Ctx, user.ID, "another horse")))
		if own, err := k.Users().Throttled(k.Ctx, user.ID); len(own) != 0 || err != nil {
			k.Errorf("%+v, %v", own, err)
		}
	})
}

// Second factors and codes to the addresses of a user are found by the user too.
func TestThrottledFindsFactorsAndCodesOfAUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		id := k.IDOf(kit.Ada)
		for range 4 { // each code is void after some wrong answers
			token, code := k.AskCode(kit.Ada)
			for range 5 {
				_ = kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, kit.OtherCode(code)))
			}
			k.Clock.Advance(time.Minute)
		}
		_, pending := k.Owing(k.Guest(kit.At(kit.Attacker))) // a client that the user is not known from
		for range 12 {
			challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
			if err != nil {
				break
			}
			_ = kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, kit.OtherCode(app.Code())))
		}
		own, err := k.Users().Throttled(k.Ctx, id)
		k.Must(err)
		var kinds []string
		for _, one := range own {
			kinds = append(kinds, one.Kind)
		}
		k.Same("kinds", kinds, []string{"factor/totp", "code"})
	})
}

// DisableAfter is for passwords and factors that are kept. A code by mail is new each time, so no
// one can keep a user from codes for ever.
func TestCodesAreNeverDisabled(t *testing.T) {
	policy := latchkey.Policy{Guessing: latchkey.GuessingPolicy{DisableAfter: 20}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		for range 25 {
			token, code := k.AskCode(kit.Ada)
			_ = kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, kit.OtherCode(code)))
			k.Clock.Advance(time.Hour)
		}
		wrong, err := k.Users().Throttled(k.Ctx, user.ID)
		k.Must(err)
		for _, one := range wrong {
			if one.Disabled {
				k.Errorf("%+v", one)
			}
		}
		token, code := k.AskCode(kit.Ada)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)))
	})
}
