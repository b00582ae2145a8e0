package latchkey_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
)

func TestThePasswordAgainMakesASessionFresh(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		k.Clock.Advance(time.Hour)
		k.Refuses("a session that is not fresh", latchkey.ErrChallengeRequired, func() error { return account.RequireRecent(k.Ctx, 0) })
		k.Forget()
		confirmed, err := account.ConfirmPassword(k.Ctx, kit.Password)
		k.Must(err)
		if confirmed.ID != session.ID || !confirmed.Current || confirmed.Secret.IsZero() || confirmed.Secret.Equal(session.Secret) || !confirmed.MFAUpdatedAt.IsZero() {
			k.Errorf("%+v", confirmed)
		}
		k.Same("log", k.Logs(), []string{"session.update by user"})
		account, err = k.Visitor.Authenticate(k.Ctx, confirmed.Secret.Reveal())
		k.Must(err)
		k.Must(account.RequireRecent(k.Ctx, time.Minute))
		k.Must(kit.Err(account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})))
		k.Refuses("what asks for a challenge", latchkey.ErrChallengeRequired, func() error { return kit.Err(account.MFARecoveryCodes(k.Ctx)) })
		k.Clock.Advance(31 * time.Minute)
		k.Refuses("half an hour later", latchkey.ErrChallengeRequired, func() error { return account.RequireRecent(k.Ctx, 0) })
	})
}

// A session by link that has shown the password has shown both: MFA can be switched on by it.
func TestThePasswordAgainIsAProofOfTheSession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		token, code := k.AskCode(kit.Ada)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, code)
		k.Must(err)
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Refuses("without it", latchkey.ErrMoreFactorsRequired, func() error { return kit.Err(account.UpdateMFA(k.Ctx, true)) })
		confirmed, err := account.ConfirmPassword(k.Ctx, kit.Password)
		k.Must(err)
		if !slices.Equal(confirmed.Factors, []string{"email", "password"}) {
			k.Errorf("%v", confirmed.Factors)
		}
		account, err = k.Visitor.Authenticate(k.Ctx, confirmed.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, confirmed.Secret.Reveal())))
	})
}

// While MFA is on, the password is one of two factors, and a thief of the session may know it.
func TestThePasswordIsNoStepUpBesideASecondFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Refuses("with an authenticator on", latchkey.ErrChallengeRequired, func() error { return kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)) })
		_, owing := k.Owing(k.Visitor)
		if err := kit.Err(owing.MFAFactors(k.Ctx)); err != nil {
			k.Error(err)
		}
		_, anonymous := k.Anonymous()
		k.Refuses("an account without a password", latchkey.ErrInvalidCredentials, func() error { return kit.Err(anonymous.ConfirmPassword(k.Ctx, kit.Password)) })
	})
}

func TestWrongPasswordsOfAStepUpCountWithThoseOfSignIns(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Forget()
		for range 11 {
			answers(k, "a wrong password", latchkey.ErrInvalidCredentials, func() error { return kit.Err(account.ConfirmPassword(k.Ctx, "wrong horse")) })
		}
		k.Same("log", k.Logs(), []string{"user.refuse by user for user_invalid_credentials, 11"})
		answers(k, "the right one, while it is slowed", latchkey.ErrRateLimitExceeded, func() error { return kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)) })
		answers(k, "a sign-in from there", latchkey.ErrRateLimitExceeded, func() error { return k.Try(kit.Owner, kit.Ada, kit.Password) })
		k.Clock.Advance(time.Minute)
		k.Must(kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)))
	})
}

func TestAClientMayKeepItsSecretWhenItShowsThePassword(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Factors: latchkey.FactorPolicy{KeepSecretOnChallenge: true}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		confirmed, err := account.ConfirmPassword(k.Ctx, kit.Password)
		k.Must(err)
		if !confirmed.Secret.IsZero() {
			k.Error("it has another secret")
		}
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
	})
}

// The password, or MFA, changes while it is hashed.
func TestAStepUpIsDecidedByWhatItCommitsOn(t *testing.T) {
	for what, change := range map[string]func(k *kit.Kit, id string) error{
		"another password": func(k *kit.Kit, id string) error {
			return kit.Err(k.Users().UpdatePassword(k.Ctx, id, "another horse"))
		},
		"MFA": func(k *kit.Kit, id string) error {
			return errors.Join(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, true)), kit.Err(k.Users().UpdateMFA(k.Ctx, id, true)))
		},
	} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}}, func(k *kit.Kit) {
				user := k.SignUp(kit.Ada)
				_, account := k.SignIn(kit.Ada)
				k.Interfere(func() { k.Must(change(k, user.ID)) })
				if err := kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)); err == nil {
					k.Error("it is confirmed")
				}
			})
		})
	}
}

// The bound of a session's life counts from the last proof, and the password is one.
func TestThePasswordAgainIsAProofForTheLifeOfASession(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Absolute: 2 * time.Hour}}}
	kit.OnEveryStore(t, policy, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Clock.Advance(90 * time.Minute)
		confirmed, err := account.ConfirmPassword(k.Ctx, kit.Password)
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, confirmed.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.ExtendSession(k.Ctx, latchkey.CurrentSession)))
	})
}

// The calls are counted by user and client address, and a success forgets them.
func TestTheCallsOfAStepUpAreCounted(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Factors: latchkey.FactorPolicy{KeepSecretOnChallenge: true}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		engine := k.LimitedEngine(nil)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		elsewhere, err := engine.Guest(kit.At("198.51.100.9")).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		confirm := func(a *latchkey.Account, password string) func() error {
			return func() error { return kit.Err(a.ConfirmPassword(k.Ctx, password)) }
		}
		for range 9 {
			answers(k, "a wrong password", latchkey.ErrInvalidCredentials, confirm(account, "wrong horse"))
		}
		k.Must(confirm(account, kit.Password)())
		for range 10 { // no password, and so no guess
			answers(k, "no password", latchkey.ErrInvalidCredentials, confirm(account, ""))
		}
		answers(k, "the eleventh call", latchkey.ErrRateLimitExceeded, confirm(account, kit.Password))
		k.Must(confirm(elsewhere, kit.Password)())
	})
}

// A right password ends the row of wrong ones, as at a sign-in. What cannot be a password is no guess.
func TestARightPasswordOfAStepUpForgetsTheWrongOnes(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Factors: latchkey.FactorPolicy{KeepSecretOnChallenge: true}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for range 3 {
			for range 10 {
				answers(k, "a wrong password", latchkey.ErrInvalidCredentials, func() error { return kit.Err(account.ConfirmPassword(k.Ctx, "wrong horse")) })
			}
			k.Must(kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)))
		}
		for range 12 {
			answers(k, "no password", latchkey.ErrInvalidCredentials, func() error { return kit.Err(account.ConfirmPassword(k.Ctx, "")) })
			answers(k, "none, at a change", latchkey.ErrInvalidCredentials, func() error { return kit.Err(account.UpdateEmail(k.Ctx, countess, "")) })
			answers(k, "none, at a sign-in", latchkey.ErrInvalidCredentials, func() error { return k.Try(kit.Owner, kit.Ada, "") })
		}
		k.Must(kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)))
	})
}

// Who shows the password of an account is who has made it, also if a link alone had proven the address.
func TestThePasswordAgainClaimsTheAccount(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, account := provenAda(k)
		k.ChangeUser(user.ID, func(u *record.User) { u.Unclaimed = true })
		k.Must(kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)))
		k.ChangeUser(user.ID, func(u *record.User) {
			if u.Unclaimed {
				k.Error("it is not claimed")
			}
		})
	})
}

// A password that was shown while the clock was ahead lengthens no life once the clock is right.
func TestAPasswordFromAheadOfTheClockLengthensNothing(t *testing.T) {
	policy := latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Absolute: 2 * time.Hour}}, Factors: latchkey.FactorPolicy{KeepSecretOnChallenge: true}}
	for what, late := range map[string]time.Duration{"before that time": 121 * time.Minute, "when it has come": 201 * time.Minute} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryStore(t, policy, func(k *kit.Kit) {
				k.SignUp(kit.Ada)
				session, account := k.SignIn(kit.Ada)
				for range 2 {
					k.Clock.Advance(100 * time.Minute)
					k.Must(kit.Err(account.ConfirmPassword(k.Ctx, kit.Password)))
				}
				k.Clock.Advance(-200 * time.Minute)
				if late > 200*time.Minute {
					k.Must(kit.Err(k.Sweep(k.Ctx)))
				}
				k.Clock.Advance(late)
				k.Refuses("the session", latchkey.ErrUnauthorized, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())) })
			})
		})
	}
}
