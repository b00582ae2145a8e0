package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/ratelimit"
)

// AC-030: a mailbox alone, which sets a password and reads a code, does not pass a
// second factor that is another; once that was proven, a code by mail serves again.
func TestAC030MailboxAloneDoesNotPassTOTP(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		account, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, account.UserID(), true)))
		k.must(k.recover(k.recovery()))
		owing := func() *latchkey.Pending {
			session, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, fresh)
			k.must(err)
			_, err = k.guest.Authenticate(k.ctx, session.Secret)
			var owed *latchkey.MoreFactorsError
			if !errors.As(err, &owed) {
				k.Fatal(err)
			}
			return owed.Pending
		}
		byMail := func() error {
			pending := owing()
			challenge, err := pending.CreateMFAChallenge(k.ctx, latchkey.FactorEmail)
			k.must(err)
			session, err := pending.UpdateMFAChallenge(k.ctx, challenge.ID, k.message(challenge.ID, ada).Secret)
			k.must(err)
			return ignore(k.guest.Authenticate(k.ctx, session.Secret))
		}
		if err := byMail(); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Errorf("the mailbox alone: %v", err)
		}
		k.must(ignore(k.answers(owing(), latchkey.FactorTOTP, app.Code())))
		k.must(byMail())
	})
}

// AC-037, AC-051: who has the password is not known to the factor, so other networks
// give no more guesses at it.
func TestAC037NetworksGiveNoMoreGuesses(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		engine := k.limitedEngine(nil)
		guesses := 0
		for n := range 12 {
			ip := fmt.Sprintf("2001:db8:0:%x::1", n+1)
			g := engine.Guest(latchkey.Client{IP: netip.MustParseAddr(ip)})
			_, p := k.owing(g)
			for {
				c, err := p.CreateMFAChallenge(k.ctx, latchkey.FactorTOTP)
				if err != nil {
					break
				}
				stop := false
				for range 5 {
					if err := ignore(p.UpdateMFAChallenge(k.ctx, c.ID, other(app.Code()))); err != latchkey.ErrInvalidToken {
						stop = true
						break
					}
					guesses++
				}
				if stop {
					break
				}
			}
		}
		if guesses > 22 {
			k.Errorf("%d guesses without a wait", guesses)
		}
	})
}

// A session that raises its factors by switching MFA while nothing is owed has
// proven nothing when it is.
func TestSwitchingMFAProvesNothingForLater(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.proven()
		_, thief := k.signIn(ada)
		k.must(ignore(thief.UpdateMFA(k.ctx, true)))
		k.must(ignore(thief.UpdateMFA(k.ctx, false)))
		_, owner := k.signIn(ada)
		k.must(ignore(owner.UpdateMFA(k.ctx, true)))
		if err := ignore(thief.User(k.ctx)); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Errorf("the thief's session: %v", err)
		}
	})
}

// Nor has one whose authenticator was taken away.
func TestAuthenticatorThatIsGoneProvesNothing(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.proven()
		_, thief := k.signIn(ada)
		k.confirmed(thief, latchkey.NewMFAAuthenticator{})
		k.must(k.Users().DeleteMFAAuthenticator(k.ctx, user.ID))
		k.must(ignore(k.Users().UpdateMFA(k.ctx, user.ID, true)))
		if err := ignore(thief.User(k.ctx)); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Errorf("the thief's session: %v", err)
		}
	})
}

// AC-052: a stolen JWT of an old session gives itself no address to be challenged
// at, though the account has no password.
func TestAC052OldJWTSetsNoFirstPassword(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user, err := k.Users().Create(k.ctx, latchkey.NewUser{Phone: phone})
		k.must(err)
		k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, true)))
		token, err := k.guest.CreatePhoneToken(k.ctx, "", phone)
		k.must(err)
		session, err := k.guest.CreateSession(k.ctx, token.UserID, k.mailOf(token, phone).Secret)
		k.must(err)
		a, err := k.guest.Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.confirmed(a, latchkey.NewMFAAuthenticator{})
		k.must(ignore(a.CreateMFARecoveryCodes(k.ctx)))
		k.must(ignore(a.UpdateMFA(k.ctx, true)))
		k.clock.Advance(24 * time.Hour)
		jwt, _ := k.byJWT(user.ID, session.ID)
		if err := ignore(jwt.UpdateEmail(k.ctx, "mallory@example.com", "mallory's own password")); err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
	})
}

// AC-063: factors that somebody has planted go with the first proof of the mailbox;
// but no mailbox skips one that is owed.
func TestAC063PlantedFactorsGoWithTheFirstProof(t *testing.T) {
	for _, on := range []bool{false, true} {
		onEveryStore(t, documented, func(k *kit) {
			k.signUp(ada)
			_, planter := k.signIn(ada)
			k.confirmed(planter, latchkey.NewMFAAuthenticator{})
			k.must(ignore(planter.CreateMFARecoveryCodes(k.ctx)))
			if on {
				k.must(ignore(planter.UpdateMFA(k.ctx, true)))
			}
			token, secret := k.askCode(ada)
			mine, err := k.guest.CreateSession(k.ctx, token.UserID, secret)
			k.must(err)
			_, err = k.guest.Authenticate(k.ctx, mine.Secret)
			f, _ := k.Users().MFAFactors(k.ctx, mine.UserID)
			if errors.Is(err, latchkey.ErrMoreFactorsRequired) != on || err != nil && !on || f.TOTP != on || f.RecoveryCode != on {
				k.Errorf("on %v: owner: %v; planted: %+v", on, err, f)
			}
		})
	}
}

// The host's own factor is not asked while it is slowed.
func TestHostIsNotAskedWhileItsFactorIsSlowed(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		p := &push{begun: map[string]string{}}
		engine := k.configured(func(c *latchkey.Config) {
			c.CustomFactor, c.Limiter = p, ratelimit.ReportOnly(ratelimit.NewMemory(0))
		})
		k.enrolled(latchkey.NewMFAAuthenticator{})
		_, pending := k.owing(engine.Guest(at("203.0.113.1")))
		for range 10 {
			c, err := pending.CreateMFAChallenge(k.ctx, latchkey.FactorCustom)
			k.must(err)
			for range 5 {
				_ = ignore(pending.UpdateMFAChallenge(k.ctx, c.ID, "no"))
			}
		}
		if p.asked > 11 {
			k.Errorf("the host was asked %d times, 11 were let through", p.asked)
		}
	})
}

// AC-052: the password and an old session give no number to take an authenticator
// away with.
func TestAC052OldSessionChangesNoNumber(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		a, _, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		young, _ := k.byJWT(a.UserID(), a.SessionID()) // how old a JWT is tells nothing
		if err := ignore(young.UpdatePhone(k.ctx, phone, password)); err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
		k.clock.Advance(24 * time.Hour)
		jwt, _ := k.byJWT(a.UserID(), a.SessionID())
		for _, old := range []*latchkey.Account{jwt, a} {
			if err := ignore(old.UpdatePhone(k.ctx, phone, password)); err != latchkey.ErrChallengeRequired {
				k.Error(err)
			}
		}
		k.must(ignore(k.Users().UpdatePhone(k.ctx, a.UserID(), phone))) // were there one
		k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, a.UserID(), true)))
		_, pending := k.owing(k.guest)
		c, err := pending.CreateMFAChallenge(k.ctx, latchkey.FactorPhone)
		k.must(err)
		s, err := pending.UpdateMFAChallenge(k.ctx, c.ID, k.message(c.ID, phone).Secret)
		k.must(err)
		thief, err := k.guest.Authenticate(k.ctx, s.Secret)
		k.must(err)
		for name, err := range map[string]error{
			"authenticator": thief.DeleteMFAAuthenticator(k.ctx), "codes": ignore(thief.MFARecoveryCodes(k.ctx)), "new codes": ignore(thief.UpdateMFARecoveryCodes(k.ctx)),
			"switch": ignore(thief.UpdateMFA(k.ctx, false)),
		} {
			if err != latchkey.ErrChallengeRequired {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

// An engine with factors switched off proves none of them for another.
func TestFactorsThatAreOffAreNotProven(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.proven()
		k.must(ignore(k.Users().UpdateMFA(k.ctx, user.ID, true)))
		off := k.configured(func(c *latchkey.Config) {
			c.Policy.DisabledFactors = []latchkey.Factor{latchkey.FactorEmail, latchkey.FactorPhone}
		})
		s, err := off.Guest(testClient).CreateEmailPasswordSession(k.ctx, ada, password)
		k.must(err)
		a, err := off.Guest(testClient).Authenticate(k.ctx, s.Secret)
		k.must(err)
		k.must(ignore(a.UpdateMFA(k.ctx, true)))
		if err := ignore(k.guest.Authenticate(k.ctx, s.Secret)); err == nil {
			k.Error("raised")
		}
	})
}

// Whoever has the password alone does not sign the owner out.
func TestSessionsThatOweGoFirst(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		a, _, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		thief := k.Guest(at("203.0.113.1"))
		for range 10 {
			k.owing(thief)
		}
		if err := ignore(a.User(k.ctx)); err != nil {
			k.Errorf("the owner: %v", err)
		}
	})
}

// A session is as fresh as the challenge that it has answered last.
func TestChallengeRenewsASession(t *testing.T) {
	onEveryStore(t, latchkey.Policy{SingleFactor: latchkey.StrictPolicy().SingleFactor, MultiFactor: latchkey.StrictPolicy().MultiFactor}, func(k *kit) {
		k.proven()
		_, a := k.signIn(ada)
		k.clock.Advance(2 * time.Hour)
		c, err := a.CreateMFAChallenge(k.ctx, latchkey.FactorEmail)
		k.must(err)
		s, err := a.UpdateMFAChallenge(k.ctx, c.ID, k.message(c.ID, ada).Secret)
		k.must(err)
		if err := ignore(k.guest.Authenticate(k.ctx, s.Secret)); err != nil {
			k.Errorf("after a right answer: %v", err)
		}
	})
}

type badPush struct{}

func (badPush) Begin(context.Context, string, string) error                 { panic("begin") }
func (badPush) Check(context.Context, string, string, string) (bool, error) { panic("check") }

func TestHostsFactorThatPanicsFails(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		engine := k.configured(func(c *latchkey.Config) { c.CustomFactor = badPush{} })
		k.signUp(ada)
		s, _ := k.signIn(ada)
		a, err := engine.Guest(testClient).Authenticate(k.ctx, s.Secret)
		k.must(err)
		defer func() {
			if p := recover(); p != nil {
				k.Errorf("panics: %v", p)
			}
		}()
		_ = ignore(a.CreateMFAChallenge(k.ctx, latchkey.FactorCustom))
	})
}
