package attack_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A row that was made while the clock was ahead is not good after it has come back: G-2.
func TestG2WhatWasMadeAheadOfTheClockIsNotGood(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{Length: 30 * 24 * time.Hour}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		const ahead = 400 * 24 * time.Hour
		user := k.Proven()
		before, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		k.Clock.Advance(ahead)
		session, pending := k.Owing(k.Visitor)
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		answer := k.Message(challenge.ID, kit.Ada).Secret
		mail, code := k.AskCode("grace@example.org")
		link, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: "joan@example.org"})
		k.Must(err)
		magic := k.MailOf(link, "joan@example.org").Secret
		recovery := k.Recovery()
		token, err := k.Users().CreateToken(k.Ctx, user.ID, 0, 0)
		k.Must(err)
		k.Clock.Advance(-ahead)
		for _, later := range []time.Duration{0, 31 * 24 * time.Hour, 300 * 24 * time.Hour} {
			k.Clock.Advance(later)
			for what, do := range map[string]func() error{
				"code":         func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, mail.UserID, code)) },
				"link":         func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, link.UserID, magic)) },
				"server token": func() error { return kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, token.Secret.Reveal())) },
				"recovery":     func() error { return k.Recover(recovery) },
			} {
				if err := do(); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("%s after %v: %v", what, later, err)
				}
			}
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); err != latchkey.ErrUnauthorized { // and is deleted
				k.Errorf("session after %v: %v", later, err)
			}
			k.Refuses("challenge", latchkey.ErrUnauthorized, func() error { return kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, answer)) })
		}
		_, _ = before, account
	})
	// A proof from ahead is not fresh, and the use of a session ahead does not lengthen it.
	policy = latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Idle: 14 * 24 * time.Hour, Absolute: 365 * 24 * time.Hour}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.Proven()
		session, account := k.SignIn(kit.Ada)
		challenge, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		k.Clock.Advance(13 * 24 * time.Hour)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()))) // it is seen ahead
		k.Clock.Advance(-13 * 24 * time.Hour)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
		k.Clock.Advance(14 * 24 * time.Hour)
		if full(k, session.Secret) {
			k.Error("an idle session lives")
		}
		_ = challenge
	})
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		session, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(300 * 24 * time.Hour)
		challenge, err := authenticated(k, session.Secret).CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		answered, err := authenticated(k, session.Secret).ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret)
		k.Must(err)
		k.Clock.Advance(-299 * 24 * time.Hour)
		if err := authenticated(k, answered.Secret).RequireRecent(k.Ctx, 30*time.Minute); err != latchkey.ErrChallengeRequired {
			k.Errorf("step-up: %v", err)
		}
	})
}

// A handle of a JWT that was made while the clock was ahead is no longer good once the clock has
// come back, as the JWT itself: G-2.
func TestG2AHandleOfAJWTFromAheadIsNotGood(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Clock.Advance(40 * 24 * time.Hour)
		handle, _ := k.ByJWT(session.UserID, session.ID)
		k.Clock.Advance(-40 * 24 * time.Hour)
		k.Refuses("the handle", latchkey.ErrJWTInvalid, func() error { return kit.Err(handle.UpdateName(k.Ctx, "Eve")) })
		k.Must(kit.Err(account.User(k.Ctx)))
	})
}

// A session that came to owe a factor while the clock was ahead does not owe it until that time
// comes: G-2.
func TestG2ASessionThatOwesSinceAheadEnds(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		session, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(40 * 24 * time.Hour)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		k.Clock.Advance(-40 * 24 * time.Hour)
		k.Clock.Advance(3 * time.Hour)
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); err != latchkey.ErrUnauthorized { // and it is deleted
			k.Error(err)
		}
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, false)))
		k.Refuses("when nothing is owed", latchkey.ErrUnauthorized, func() error {
			return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()))
		})
	})
}

// Wrong passwords that were counted while the clock was ahead do not keep the owner out once
// it has come back: G-2.
func TestG2CountsFromAheadEndWithTheWait(t *testing.T) {
	for _, ahead := range []time.Duration{2 * time.Hour, 400 * 24 * time.Hour} {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			k.SignUp(kit.Ada)
			k.Clock.Advance(ahead)
			for range 11 {
				_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
			}
			k.Clock.Advance(-ahead)
			err := k.Try(kit.Owner, kit.Ada, kit.Password)
			if throttled := (*latchkey.ThrottledError)(nil); errors.As(err, &throttled) {
				k.Clock.Advance(throttled.RetryAfter)
				err = k.Try(kit.Owner, kit.Ada, kit.Password)
			}
			k.Must(err)
			// Guesses are slowed as before.
			k.Clock.Advance(ahead)
			for range 11 {
				_ = k.Try(kit.Attacker, kit.Ada, "wrong horse")
			}
			k.Clock.Advance(-ahead)
			compared := 0
			for range 20 {
				if k.Try(kit.Attacker, kit.Ada, "wrong horse") == latchkey.ErrInvalidCredentials {
					compared++
				}
			}
			if compared > 1 {
				k.Errorf("%d guesses without a wait", compared)
			}
		})
	}
}
