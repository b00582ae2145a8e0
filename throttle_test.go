package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/ratelimit"
)

func TestSuccessfulSignInsAreNotCounted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		k.SignUp(kit.Ada)
		k.Visitor = k.Guest(kit.Client)
		for range 20 {
			k.SignIn(kit.Ada)
		}
		for range 10 {
			if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, "wrong horse")); err != latchkey.ErrInvalidCredentials {
				k.Fatal(err)
			}
		}
		for _, p := range []string{kit.Password, "wrong horse"} {
			if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, p)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("after ten wrong ones: %v", err)
			}
		}
	})
}

type brokenLimiter struct{ fail func() error }

func (b brokenLimiter) Take(context.Context, ratelimit.Key, ratelimit.Rule, time.Time) (ratelimit.Result, error) {
	return ratelimit.Result{}, b.fail()
}

func (b brokenLimiter) Peek(ctx context.Context, k ratelimit.Key, r ratelimit.Rule, now time.Time) (ratelimit.Result, error) {
	return b.Take(ctx, k, r, now)
}
func (b brokenLimiter) Return(context.Context, ratelimit.Key, ratelimit.Result) error {
	return b.fail()
}

func (b brokenLimiter) Forget(context.Context, ratelimit.Key) error { return b.fail() }

func TestLimiterThatFailsRefusesWhatGuessesAndLetsTheRestThrough(t *testing.T) {
	for what, fail := range map[string]func() error{
		"error": func() error { return errors.New("no connection to 203.0.113.9") },
		"panic": func() error { panic("no connection") },
	} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				k.Engine = k.LimitedEngine(brokenLimiter{fail})
				k.Visitor = k.Guest(kit.Client)
				for name, call := range kit.LimitedCalls {
					err := call(k, kit.Client)
					guessing := []string{
						"createEmailPasswordSession", "updatePassword", "confirmPassword", "updateEmail", "updatePhone", "createSession", "createSessionByClient", "failuresByClient", "confirmByClient", // it is called with a wrong link
						"updateRecovery", "updateEmailVerification", "updatePhoneVerification", "updateMFAChallenge",
					}
					if guesses := slices.Contains(guessing, name); guesses != errors.Is(err, latchkey.ErrBusy) {
						k.Errorf("%s: %v", name, err)
					}
				}
				if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)); err != latchkey.ErrBusy {
					k.Errorf("the right password: %v", err)
				}
			})
		})
	}
}

func TestPanicOfOnLimitChangesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		var logged bytes.Buffer
		engine, err := latchkey.New(k.Store, latchkey.Config{
			Keys: k.Keys, LimiterPerProcess: true, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		})
		k.Must(err)
		client := kit.Client
		client.OnLimit = func(latchkey.LimitResult) { panic(kit.Password) }
		k.Must(kit.Err(engine.Guest(client).CreateAnonymousSession(k.Ctx)))
		if !strings.Contains(logged.String(), "OnLimit") || strings.Contains(logged.String(), kit.Password) {
			k.Errorf("logged: %s", logged.String())
		}
	})
}

func TestStrictPolicyCapsMessages(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		ask := func() error {
			return kit.Err(k.Guest(kit.Client).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada}))
		}
		var throttled *latchkey.ThrottledError
		for n := range 5 {
			k.Must(ask())
			if err := ask(); !errors.As(err, &throttled) {
				k.Errorf("twice in a minute, %d: %v", n, err)
			}
			k.Clock.Advance(time.Minute)
		}
		if err := ask(); !errors.As(err, &throttled) || throttled.RetryAfter < time.Minute {
			k.Errorf("the sixth in an hour: %v", err)
		}
	})
}

func TestMockNumbersAreNotCountedAsTexts(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		numbers := make(map[string]latchkey.Secret)
		for n := range 30 {
			numbers[fmt.Sprintf("+155555501%02d", n)] = hidden.New("123456")
		}
		engine := k.Configured(func(c *latchkey.Config) {
			c.MockNumbers = numbers
			c.Policy.Guessing.Limits = map[string]ratelimit.Rule{
				"createPhoneToken": {Calls: 100, Window: time.Hour}, "messagesByPrefix": {Calls: 5, Window: time.Hour}, "messagesNumbers": {Calls: 5, Window: time.Hour},
			}
		})
		for number := range numbers {
			k.Must(kit.Err(engine.Guest(kit.Client).CreatePhoneToken(k.Ctx, "", number)))
		}
	})
}

// A caller with a right link cannot make the engine hash passwords without limit. A
// stranger cannot keep the owner of a number from proving it.
func TestConfirmationsAreLimitedForWhoeverMakesThem(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Password: latchkey.PasswordPolicy{History: 1}}, func(k *kit.Kit) {
		user := k.Proven()
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, false)))
		_, account := k.SignIn(kit.Ada)
		m := k.Recovery()
		engine := k.LimitedEngine(nil)
		hashed := 0
		for range 30 {
			if kit.Err(engine.Guest(kit.Client).ConfirmRecovery(k.Ctx, m.UserID, m.Secret, kit.Password)) == latchkey.ErrPasswordRecentlyUsed {
				hashed++
			}
		}
		if hashed > 20 {
			k.Errorf("%d passwords are hashed", hashed)
		}
		for range 12 {
			_ = kit.Err(engine.Guest(kit.At("203.0.113.1")).ConfirmPhoneVerification(k.Ctx, user.ID, "12345a"))
		}
		token, err := account.CreatePhoneVerification(k.Ctx)
		k.Must(err)
		code := k.MailOf(token, kit.Phone)
		k.Must(kit.Err(engine.Guest(kit.Client).ConfirmPhoneVerification(k.Ctx, user.ID, code.Secret)))
	})
}
