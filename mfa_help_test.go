package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// factorsOf are the factors of a set.
func factorsOf(s latchkey.FactorSet) map[latchkey.Factor]bool {
	return map[latchkey.Factor]bool{
		latchkey.FactorTOTP: s.TOTP, latchkey.FactorEmail: s.Email, latchkey.FactorPhone: s.Phone,
		latchkey.FactorRecoveryCode: s.RecoveryCode, latchkey.FactorCustom: s.Custom,
	}
}

// A session by code of a user whose other factor is the password owes what no challenge asks for: the
// page is told that the password helps.
func TestAPageIsToldThatOnlyThePasswordHelps(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		token, code := k.AskCode(kit.Ada)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, code)
		k.Must(err)
		_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		owed, is := errors.AsType[*latchkey.MoreFactorsError](err)
		if !is {
			k.Fatal(err)
		}
		factors, err := owed.Pending.MFAFactors(k.Ctx)
		k.Must(err)
		if !factors.Email || factors.Helps != (latchkey.FactorSet{}) || !factors.PasswordHelps || factors.ProviderHelps {
			k.Errorf("%+v", factors)
		}
		k.Refuses("a challenge by mail", latchkey.ErrFactorDoesNotHelp, func() error {
			return kit.Err(owed.Pending.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail))
		})
		// The page says: sign in by password instead.
		byPassword, pending := k.Owing(k.Visitor)
		helps, err := pending.MFAFactors(k.Ctx)
		k.Must(err)
		if !helps.Helps.Email || helps.PasswordHelps {
			k.Errorf("%s: %+v", byPassword.ID, helps)
		}
	})
}

// What helps a session pays what it owes, and what does not help is refused.
func TestAFactorHelpsIfAndOnlyIfItPays(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app, codes := k.Enrolled(latchkey.NewMFAAuthenticator{})
		id := account.UserID()
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, true)))
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, id, kit.Phone)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, id, true)))
		step := 1
		answer := map[latchkey.Factor]func(m kit.Message) string{
			latchkey.FactorTOTP:         func(kit.Message) string { step++; k.Clock.Advance(30 * time.Second); return app.Code() },
			latchkey.FactorEmail:        func(m kit.Message) string { return m.Secret },
			latchkey.FactorPhone:        func(m kit.Message) string { return m.Secret },
			latchkey.FactorRecoveryCode: func(kit.Message) string { step++; return codes[step].Reveal() },
		}
		for way, signIn := range map[string]func() (*latchkey.Session, error){
			"password": func() (*latchkey.Session, error) {
				return k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			},
			"mail": func() (*latchkey.Session, error) {
				token, code := k.AskCode(kit.Ada)
				return k.Visitor.CreateSession(k.Ctx, token.UserID, code)
			},
		} {
			for factor := range answer {
				session, err := signIn()
				k.Must(err)
				_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
				owed, is := errors.AsType[*latchkey.MoreFactorsError](err)
				if !is {
					k.Fatal(err)
				}
				factors, err := owed.Pending.MFAFactors(k.Ctx)
				k.Must(err)
				challenge, err := owed.Pending.CreateMFAChallenge(k.Ctx, factor)
				if factorsOf(factors.Helps)[factor] != (err == nil) || err != nil && !errors.Is(err, latchkey.ErrFactorDoesNotHelp) {
					k.Errorf("%s after %s: helps %+v, %v", factor, way, factors.Helps, err)
				}
				if err != nil {
					continue
				}
				var m kit.Message
				if to := map[latchkey.Factor]string{latchkey.FactorEmail: kit.Ada, latchkey.FactorPhone: kit.Phone}[factor]; to != "" {
					m = k.Message(challenge.ID, to)
				}
				full, err := owed.Pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, answer[factor](m))
				k.Must(err)
				fresh, err := k.Visitor.Authenticate(k.Ctx, full.Secret.Reveal())
				k.Must(err)
				all, err := fresh.MFAFactors(k.Ctx)
				k.Must(err)
				if !all.Helps.Email || !all.Helps.TOTP || all.PasswordHelps { // for a step-up
					k.Errorf("%+v", all)
				}
			}
		}
	})
}

// An authenticator that is confirmed while MFA is off is not in force, and the answer says so.
func TestConfirmingAnAuthenticatorSaysWhetherItIsInForce(t *testing.T) {
	for _, on := range []bool{false, true} {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			user := k.SignUp(kit.Ada)
			_, account := k.SignIn(kit.Ada)
			k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, on)))
			app := k.Enrolling(account, latchkey.NewMFAAuthenticator{})
			confirmed, err := account.VerifyMFAAuthenticator(k.Ctx, app.Code())
			k.Must(err)
			if confirmed.MFA != on {
				k.Errorf("MFA is %v, and the answer says %v", on, confirmed.MFA)
			}
			session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			k.Must(err)
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); errors.Is(err, latchkey.ErrMoreFactorsRequired) != on {
				k.Errorf("the next sign-in, with MFA %v: %v", on, err)
			}
		})
	}
}

// A change of factors takes the factors that MFAFactors calls strong, and no others.
func TestAFactorIsStrongIfAndOnlyIfAChangeOfFactorsTakesIt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		strong := func() latchkey.FactorSet {
			k.Helper()
			factors, err := account.MFAFactors(k.Ctx)
			k.Must(err)
			return factors.Strong
		}
		k.Same("with a mailbox and a number", strong(), latchkey.FactorSet{Email: true, Phone: true})
		d := device()
		made := k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.CreateMFARecoveryCodes(k.Ctx)))
		k.Same("with a passkey", strong(), latchkey.FactorSet{Passkey: true, RecoveryCode: true})
		k.Clock.Advance(time.Hour)
		challenge, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		session, err := account.ConfirmMFAChallenge(k.Ctx, challenge.ID, k.Message(challenge.ID, kit.Ada).Secret)
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Refuses("a code by mail", latchkey.ErrChallengeRequired, func() error { return account.DeletePasskey(k.Ctx, made.ID) })
		session, err = account.FinishPasskeyChallenge(k.Ctx, challenged(k, account, d))
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(account.DeletePasskey(k.Ctx, made.ID))
	})
}
