package attack_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// AC-045: a user owes the second factor after every way to sign in.
func TestAC045EveryWayInOwesTheSecondFactor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		id := account.UserID()
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, id, kit.Phone)))
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, id, true)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, id, true)))
		ways := map[string]func() (*latchkey.Session, error){
			"password": func() (*latchkey.Session, error) {
				return k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			},
			"a provider, by the address": func() (*latchkey.Session, error) { return k.SignInBy(k.Visitor, k.Acme, adaAt), nil },
			"a provider, handed over": func() (*latchkey.Session, error) {
				result, err := k.Visitor.FinishOAuth2(k.Ctx, k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "other", Token: true, Unbound: true}).Callback(k.Other.Code(adaAt)))
				k.Must(err)
				return k.Visitor.CreateSession(k.Ctx, result.Token.UserID, result.Token.Secret.Reveal())
			},
			"server": func() (*latchkey.Session, error) { return k.Users().CreateSession(k.Ctx, id) },
			"custom": func() (*latchkey.Session, error) {
				token, err := k.Users().CreateToken(k.Ctx, id, 0, 0)
				k.Must(err)
				return k.Visitor.CreateSession(k.Ctx, id, token.Secret.Reveal())
			},
		}
		for name, ask := range kit.Askers {
			ways[name] = func() (*latchkey.Session, error) {
				to := kit.Ada
				if name == "SMS code" {
					to = kit.Phone
				}
				token, err := ask(k, k.Visitor, "")
				k.Must(err)
				return k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, to).Secret)
			}
		}
		for name, way := range ways {
			session, err := way()
			k.Must(err)
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

// AC-046: a handle keeps no state of its session between two calls. A handle from
// before the factor was owed is refused, on every engine.
func TestAC046HandleFromBeforeIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		session, account := k.SignIn(kit.Ada)
		elsewhere := k.Configured(func(*latchkey.Config) {})
		there, err := elsewhere.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		for _, a := range []*latchkey.Account{account, there} {
			if err := kit.Err(a.User(k.Ctx)); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
				k.Error(err)
			}
		}
	})
}

// AC-047: the owed factor depends on the confirmed and enabled factors, and on the
// factors that the session has proven. A channel counts once.
func TestAC047WhatIsOwedGoesByWhatThereIs(t *testing.T) {
	type state struct {
		password, email, phone, totp, mfa bool
		by                                string // the first factor
		owed                              bool
	}
	for _, s := range []state{
		{true, true, false, false, true, "password", true},
		{true, true, false, false, false, "password", false}, // MFA is off
		{true, false, false, false, true, "password", false}, // the user has no second factor
		{true, true, false, false, true, "email", true},      // the user could sign in with a password, so e-mail is not enough
		{false, true, false, false, true, "email", false},    // the user has no other factor
		{false, true, true, false, true, "email", true},
		{false, true, false, true, true, "email", true},
		{false, false, true, false, true, "phone", false},
		{false, true, false, false, true, "server", true},
	} {
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				n := latchkey.NewUser{Email: kit.Ada, Phone: kit.Phone}
				if s.password {
					n.Password = kit.Password
				}
				user, err := k.Users().Create(k.Ctx, n)
				k.Must(err)
				k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, s.email)))
				k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, s.phone)))
				if s.totp {
					session, err := k.Users().CreateSession(k.Ctx, user.ID)
					k.Must(err)
					account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
					k.Must(err)
					k.Confirmed(account, latchkey.NewMFAAuthenticator{})
				}
				k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, s.mfa)))
				var session *latchkey.Session
				switch s.by {
				case "password":
					session, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
				case "email":
					token, secret := k.AskCode(kit.Ada)
					session, err = k.Visitor.CreateSession(k.Ctx, token.UserID, secret)
				case "phone":
					token, asked := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
					k.Must(asked)
					session, err = k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Phone).Secret)
				case "server":
					session, err = k.Users().CreateSession(k.Ctx, user.ID)
				}
				k.Must(err)
				if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); errors.Is(err, latchkey.ErrMoreFactorsRequired) != s.owed || err != nil && !s.owed {
					k.Errorf("owed: %v", err)
				}
			})
		})
	}
}

// AC-052, 053: a method that removes a factor requires a challenge, and a method that
// adds one requires a fresh session. A JWT's age does not make its session fresh.
func TestAC052AC053StepUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		if err := account.DeleteMFAAuthenticator(k.Ctx); err != latchkey.ErrChallengeRequired { // a recent sign-in is no challenge
			k.Error(err)
		}
		k.Must(account.RequireRecent(k.Ctx, time.Minute))
		k.Clock.Advance(time.Hour)
		for name, do := range map[string]func() error{
			"switch": func() error { return kit.Err(account.UpdateMFA(k.Ctx, false)) }, "recent": func() error { return account.RequireRecent(k.Ctx, 59*time.Minute) },
		} {
			k.Refuses(name, latchkey.ErrChallengeRequired, do)
		}
		k.Must(account.RequireRecent(k.Ctx, 2*time.Hour))
		byJWT, _ := k.ByJWT(account.UserID(), account.SessionID())
		if err := byJWT.RequireRecent(k.Ctx, 24*time.Hour); err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
		session, err := k.Answers(account, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(account.RequireRecent(k.Ctx, 0))
		k.Must(account.DeleteMFAAuthenticator(k.Ctx))
		if err := account.DeleteMFAAuthenticator(k.Ctx); err != latchkey.ErrAuthenticatorNotFound {
			k.Error(err)
		}
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, false)))
		old := k.Configured(func(c *latchkey.Config) { c.Policy.Factors.EnrolWithoutStepUp = true })
		k.Clock.Advance(time.Hour)
		account, err = old.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		if err := kit.Err(account.RegenerateMFARecoveryCodes(k.Ctx)); err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
	})
}

// AC-052: a stolen JWT of an old session cannot set an address for later challenges,
// even if the account has no password.
func TestAC052OldJWTSetsNoFirstPassword(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Phone: kit.Phone})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		token, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
		k.Must(err)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Phone).Secret)
		k.Must(err)
		a, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Confirmed(a, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(a.CreateMFARecoveryCodes(k.Ctx)))
		k.Must(kit.Err(a.UpdateMFA(k.Ctx, true)))
		k.Clock.Advance(24 * time.Hour)
		jwt, _ := k.ByJWT(user.ID, session.ID)
		if err := kit.Err(jwt.UpdateEmail(k.Ctx, "mallory@example.com", "mallory's own password")); err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
	})
}

// AC-052: an attacker with the password and an old session cannot set a number with
// which to remove the authenticator.
func TestAC052OldSessionChangesNoNumber(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		a, _, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		young, _ := k.ByJWT(a.UserID(), a.SessionID()) // a young JWT does not make its session fresh
		if err := kit.Err(young.UpdatePhone(k.Ctx, kit.Phone, kit.Password)); err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
		k.Clock.Advance(24 * time.Hour)
		jwt, _ := k.ByJWT(a.UserID(), a.SessionID())
		for _, old := range []*latchkey.Account{jwt, a} {
			if err := kit.Err(old.UpdatePhone(k.Ctx, kit.Phone, kit.Password)); err != latchkey.ErrChallengeRequired {
				k.Error(err)
			}
		}
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, a.UserID(), kit.Phone))) // the server sets the number that the attacker wants
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, a.UserID(), true)))
		_, pending := k.Owing(k.Visitor)
		c, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorPhone)
		k.Must(err)
		s, err := pending.ConfirmMFAChallenge(k.Ctx, c.ID, k.Message(c.ID, kit.Phone).Secret)
		k.Must(err)
		thief, err := k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		for name, err := range map[string]error{
			"authenticator": thief.DeleteMFAAuthenticator(k.Ctx), "codes": kit.Err(thief.MFARecoveryCodes(k.Ctx)), "new codes": kit.Err(thief.RegenerateMFARecoveryCodes(k.Ctx)),
			"switch": kit.Err(thief.UpdateMFA(k.Ctx, false)),
		} {
			if err != latchkey.ErrChallengeRequired {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

// AC-054: an unconfirmed enrolment does not count, and never replaces a confirmed
// one.
func TestAC054UnconfirmedEnrolmentCountsForNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		if err := kit.Err(account.VerifyMFAAuthenticator(k.Ctx, "123456")); err != latchkey.ErrAuthenticatorNotFound {
			k.Error(err)
		}
		first, err := account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})
		k.Must(err)
		second, err := account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})
		k.Must(err)
		old, err := authtest.NewAuthenticator(k.Clock, first.URI.Reveal())
		k.Must(err)
		app, err := authtest.NewAuthenticator(k.Clock, second.URI.Reveal())
		k.Must(err)
		k.SignIn(kit.Ada) // the session owes no factor
		if factors, err := account.MFAFactors(k.Ctx); err != nil || factors.TOTP {
			k.Errorf("%+v, %v", factors, err)
		}
		if err := kit.Err(account.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)); err != latchkey.ErrAuthenticatorNotFound {
			k.Error(err)
		}
		if err := kit.Err(account.VerifyMFAAuthenticator(k.Ctx, old.Code())); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("a code of the one before: %v", err)
		}
		k.Must(kit.Err(account.VerifyMFAAuthenticator(k.Ctx, app.Code())))
		k.Must(kit.Err(account.User(k.Ctx))) // the session that confirmed it owes no factor
		for _, err := range []error{kit.Err(account.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})), kit.Err(account.VerifyMFAAuthenticator(k.Ctx, app.Code()))} {
			if err != latchkey.ErrAuthenticatorAlreadyVerified {
				k.Error(err)
			}
		}
		_, pending := k.Owing(k.Visitor)
		if err := kit.Err(k.Answers(pending, latchkey.FactorTOTP, app.Code())); !errors.Is(err, latchkey.ErrInvalidToken) { // AC-039
			k.Errorf("the code that confirmed it: %v", err)
		}
		k.Must(kit.Err(k.Answers(pending, latchkey.FactorTOTP, app.CodeAt(1))))
	})
}

// AC-056, 120, 121: seeds and codes are sealed in their rows, are resealed with a new
// key, and stay valid.
func TestAC056FactorsAreSealedAndResealed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, codes := k.Enrolled(latchkey.NewMFAAuthenticator{})
		if text := fmt.Sprint(k.Everything()); strings.Contains(text, codes[0].Reveal()) {
			k.Error("a recovery code is in the rows")
		}
		key := latchkey.GenerateKey()
		both := latchkey.Keys{Active: key, Old: []latchkey.Key{k.Keys.Active}}
		rotated := k.Configured(func(c *latchkey.Config) { c.Keys = both })
		done, err := rotated.Reseal(k.Ctx)
		k.Must(err)
		if done.Rows != 1+1+6 || len(done.Left) != 0 { // the user, the authenticator, the codes
			k.Errorf("%+v", done)
		}
		alone := k.Configured(func(c *latchkey.Config) { c.Keys = latchkey.Keys{Active: key} })
		_, pending := k.Owing(alone.Guest(kit.Client))
		k.Must(kit.Err(k.Answers(pending, latchkey.FactorTOTP, app.Code())))
		_, pending = k.Owing(alone.Guest(kit.Client))
		k.Must(kit.Err(k.Answers(pending, latchkey.FactorRecoveryCode, codes[0].Reveal())))
		// A seed that an attacker moves to another user does not open.
		k.Tampered = true
		stranger := k.SignUp(kit.Bob)
		k.Must(k.Store.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			rows, err := record.Authenticators.List(ctx, tx, store.Query{Index: record.Authenticators.Primary(), Limit: 1})
			if err != nil {
				return err
			}
			moved := *rows[0]
			moved.ID, moved.UserID, moved.Step = "moved", stranger.ID, 0
			return record.Authenticators.Insert(ctx, tx, &moved)
		}))
		k.ChangeUser(stranger.ID, func(u *record.User) { u.TOTP = true })
		session, err := alone.Users().CreateSession(k.Ctx, stranger.ID)
		k.Must(err)
		account, err := alone.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		var own *latchkey.Error
		if err := kit.Err(k.Answers(account, latchkey.FactorTOTP, app.CodeAt(1))); err == nil || errors.As(err, &own) {
			k.Errorf("a seed of another: %v", err)
		}
	})
}
