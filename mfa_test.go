package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/notify"
)

// enrolled signs ada up, with a confirmed authenticator and recovery codes, and
// switches MFA on. The session has proven both.
func (k *kit) enrolled(n latchkey.NewMFAAuthenticator) (*latchkey.Account, *authtest.Authenticator, []latchkey.Secret) {
	k.Helper()
	k.signUp(ada)
	_, account := k.signIn(ada)
	app := k.confirmed(account, n)
	codes, err := account.CreateMFARecoveryCodes(k.ctx)
	k.must(err)
	k.must(ignore(account.UpdateMFA(k.ctx, true)))
	k.clock.Advance(30 * time.Second) // the next step
	return account, app, codes.Codes
}

// confirmed enrols an authenticator and confirms it.
func (k *kit) confirmed(account *latchkey.Account, n latchkey.NewMFAAuthenticator) *authtest.Authenticator {
	k.Helper()
	made, err := account.CreateMFAAuthenticator(k.ctx, n)
	k.must(err)
	app, err := authtest.NewAuthenticator(k.clock, made.URI)
	k.must(err)
	k.must(ignore(account.UpdateMFAAuthenticator(k.ctx, app.Code())))
	return app
}

// owing signs in as far as the password goes.
func (k *kit) owing(g *latchkey.Guest) (*latchkey.Session, *latchkey.Pending) {
	k.Helper()
	session, err := g.CreateEmailPasswordSession(k.ctx, ada, password)
	k.must(err)
	_, err = g.Authenticate(k.ctx, session.Secret)
	var owed *latchkey.MoreFactorsError
	if !errors.As(err, &owed) || !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
		k.Fatal(err)
	}
	return session, owed.Pending
}

// answerer may ask for challenges and answer them.
type answerer interface {
	CreateMFAChallenge(context.Context, latchkey.Factor) (*latchkey.MFAChallenge, error)
	UpdateMFAChallenge(context.Context, string, string) (*latchkey.Session, error)
}

// answers asks for a challenge and answers it.
func (k *kit) answers(a answerer, factor latchkey.Factor, otp string) (*latchkey.Session, error) {
	k.Helper()
	challenge, err := a.CreateMFAChallenge(k.ctx, factor)
	k.must(err)
	return a.UpdateMFAChallenge(k.ctx, challenge.ID, otp)
}

func TestSecondFactorIsOwedAndProven(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		session, pending := k.owing(k.guest)
		if pending.UserID() != session.UserID || pending.SessionID() != session.ID || strings.Contains(fmt.Sprintf("%v %+v", pending, *pending), session.Secret.Reveal()) {
			k.Errorf("%v", pending)
		}
		factors, err := pending.MFAFactors(k.ctx)
		k.must(err)
		if factors != (latchkey.MFAFactors{TOTP: true, RecoveryCode: true, RecoveryCodesLeft: 6}) {
			k.Errorf("%+v", factors)
		}
		k.forget()
		challenge, err := pending.CreateMFAChallenge(k.ctx, latchkey.FactorTOTP)
		k.must(err)
		if challenge.UserID != session.UserID || challenge.Expire.Sub(challenge.CreatedAt) != 15*time.Minute {
			k.Errorf("%+v", challenge)
		}
		done, err := pending.UpdateMFAChallenge(k.ctx, challenge.ID, app.Code())
		k.must(err)
		if got := k.events(session.UserID, "1", challenge.ID, "2", session.ID, "3"); !slices.Equal(got, []string{
			"users.1.challenges.2.create by user", "users.1.sessions.3.update by user",
		}) {
			k.Error(got)
		}
		if done.ID != session.ID || !slices.Equal(done.Factors, []string{"password", "totp"}) || !done.MFAUpdatedAt.Equal(k.clock.Now()) || done.Secret == "" ||
			done.Secret == session.Secret || !done.Current {
			k.Errorf("%+v", done)
		}
		if err := ignore(k.guest.Authenticate(k.ctx, session.Secret)); err != latchkey.ErrUnauthorized { // AC-088
			k.Errorf("the secret from before: %v", err)
		}
		account, err := k.guest.Authenticate(k.ctx, done.Secret)
		k.must(err)
		k.must(ignore(account.User(k.ctx)))
		if err := ignore(pending.UpdateMFAChallenge(k.ctx, challenge.ID, app.Code())); err != latchkey.ErrUnauthorized {
			k.Errorf("the handle from before: %v", err)
		}
		if err := ignore(account.UpdateMFAChallenge(k.ctx, challenge.ID, app.CodeAt(1))); err != latchkey.ErrInvalidToken {
			k.Errorf("the challenge once more: %v", err)
		}
		_, pending = k.owing(k.guest)
		k.must(pending.DeleteSession(k.ctx))
		if err := ignore(pending.MFAFactors(k.ctx)); err != latchkey.ErrUnauthorized {
			k.Errorf("signed out: %v", err)
		}
		for _, none := range []*latchkey.Pending{nil, new(latchkey.Pending)} {
			for _, err := range []error{
				ignore(none.MFAFactors(k.ctx)), ignore(none.CreateMFAChallenge(k.ctx, latchkey.FactorTOTP)), ignore(none.UpdateMFAChallenge(k.ctx, "x", "x")),
				none.DeleteSession(k.ctx),
			} {
				if err != latchkey.ErrUnauthorized {
					k.Errorf("of a zero handle: %v", err)
				}
			}
		}
	})
}

func TestPolicyKeepsTheSecret(t *testing.T) {
	onEveryStore(t, latchkey.Policy{KeepSecretOnChallenge: true}, func(k *kit) {
		_, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		session, pending := k.owing(k.guest)
		done, err := k.answers(pending, latchkey.FactorTOTP, app.Code())
		k.must(err)
		if done.Secret != "" {
			k.Error("there is a secret")
		}
		k.must(ignore(k.guest.Authenticate(k.ctx, session.Secret)))
	})
}

// AC-030: recovery by mail leaves the second factor owed, and the factors as they
// are.
func TestAC030RecoveryDoesNotSkipTheSecondFactor(t *testing.T) {
	for _, proven := range []bool{true, false} {
		t.Run(fmt.Sprint("address proven ", proven), func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				account, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
				if proven {
					k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, account.UserID(), true)))
				}
				k.must(k.recover(k.recovery()))
				session, err := k.guest.CreateEmailPasswordSession(k.ctx, ada, fresh)
				k.must(err)
				_, err = k.guest.Authenticate(k.ctx, session.Secret)
				var owed *latchkey.MoreFactorsError
				if !errors.As(err, &owed) {
					k.Fatal(err)
				}
				done, err := k.answers(owed.Pending, latchkey.FactorTOTP, app.Code())
				k.must(err)
				k.must(ignore(k.guest.Authenticate(k.ctx, done.Secret)))
			})
		})
	}
}

// AC-045: whatever the way in, the second factor is owed.
func TestAC045EveryWayInOwesTheSecondFactor(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		account, _, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		id := account.UserID()
		k.must(ignore(k.Users().UpdatePhone(k.ctx, id, phone)))
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, id, true)))
		k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, id, true)))
		ways := map[string]func() (*latchkey.Session, error){
			"password": func() (*latchkey.Session, error) {
				return k.guest.CreateEmailPasswordSession(k.ctx, ada, password)
			},
			"server": func() (*latchkey.Session, error) { return k.Users().CreateSession(k.ctx, id) },
			"custom": func() (*latchkey.Session, error) {
				token, err := k.Users().CreateToken(k.ctx, id, 0, 0)
				k.must(err)
				return k.guest.CreateSession(k.ctx, id, token.Secret.Reveal())
			},
		}
		for name, ask := range askers {
			ways[name] = func() (*latchkey.Session, error) {
				to := ada
				if name == "SMS code" {
					to = phone
				}
				token, err := ask(k, k.guest, "")
				k.must(err)
				return k.guest.CreateSession(k.ctx, token.UserID, k.mailOf(token, to).Secret)
			}
		}
		for name, way := range ways {
			session, err := way()
			k.must(err)
			if err := ignore(k.guest.Authenticate(k.ctx, session.Secret)); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

// AC-047: what is owed goes by the factors that are confirmed and switched on, and
// by what the session has proven; a channel counts once.
func TestAC047WhatIsOwedGoesByWhatThereIs(t *testing.T) {
	type state struct {
		password, email, phone, totp, mfa bool
		by                                string // the first factor
		owed                              bool
	}
	for _, s := range []state{
		{true, true, false, false, true, "password", true},
		{true, true, false, false, false, "password", false}, // switched off
		{true, false, false, false, true, "password", false}, // nothing to ask for
		{true, true, false, false, true, "email", true},      // there is a password to sign in with
		{false, true, false, false, true, "email", false},    // nothing else could ever be proven
		{false, true, true, false, true, "email", true},
		{false, true, false, true, true, "email", true},
		{false, false, true, false, true, "phone", false},
		{false, true, false, false, true, "server", true},
	} {
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				n := latchkey.NewUser{Email: ada, Phone: phone}
				if s.password {
					n.Password = password
				}
				user, err := k.Users().Create(k.ctx, n)
				k.must(err)
				k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, s.email)))
				k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, s.phone)))
				if s.totp {
					session, err := k.Users().CreateSession(k.ctx, user.ID)
					k.must(err)
					account, err := k.guest.Authenticate(k.ctx, session.Secret)
					k.must(err)
					k.confirmed(account, latchkey.NewMFAAuthenticator{})
				}
				k.must(ignore(k.Users().UpdateMFA(k.ctx, user.ID, s.mfa)))
				var session *latchkey.Session
				switch s.by {
				case "password":
					session, err = k.guest.CreateEmailPasswordSession(k.ctx, ada, password)
				case "email":
					token, secret := k.askCode(ada)
					session, err = k.guest.CreateSession(k.ctx, token.UserID, secret)
				case "phone":
					token, asked := k.guest.CreatePhoneToken(k.ctx, "", phone)
					k.must(asked)
					session, err = k.guest.CreateSession(k.ctx, token.UserID, k.mailOf(token, phone).Secret)
				case "server":
					session, err = k.Users().CreateSession(k.ctx, user.ID)
				}
				k.must(err)
				if err := ignore(k.guest.Authenticate(k.ctx, session.Secret)); errors.Is(err, latchkey.ErrMoreFactorsRequired) != s.owed || err != nil && !s.owed {
					k.Errorf("owed: %v", err)
				}
			})
		})
	}
}

func TestChannelOfTheFirstFactorDoesNotCountTwice(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.proven()
		k.must(ignore(k.Users().UpdateMFA(k.ctx, user.ID, true)))
		token, secret := k.askCode(ada)
		session, err := k.guest.CreateSession(k.ctx, token.UserID, secret)
		k.must(err)
		for _, c := range []struct {
			factor latchkey.Factor
			to     string
			owed   bool
		}{{latchkey.FactorEmail, ada, true}, {latchkey.FactorPhone, phone, false}} {
			_, err := k.guest.Authenticate(k.ctx, session.Secret)
			var more *latchkey.MoreFactorsError
			if !errors.As(err, &more) {
				k.Fatal(err)
			}
			challenge, err := more.Pending.CreateMFAChallenge(k.ctx, c.factor)
			k.must(err)
			m := k.message(challenge.ID, c.to)
			if m.Kind != notify.Challenge || len(m.Secret) != 6 || m.Name != "Ada" {
				k.Errorf("%+v", m)
			}
			session, err = more.Pending.UpdateMFAChallenge(k.ctx, challenge.ID, m.Secret)
			k.must(err)
			if err := ignore(k.guest.Authenticate(k.ctx, session.Secret)); errors.Is(err, latchkey.ErrMoreFactorsRequired) != c.owed {
				k.Errorf("after %s: %v", c.factor, err)
			}
		}
	})
}

// Turning MFA on refuses other sessions at once, and not the one that does it;
// removing a factor lets them in again.
func TestSwitchingMFAReachesEverySession(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.proven()
		other, _ := k.signIn(ada)
		_, account := k.signIn(ada)
		is := func(what string, want error) {
			k.Helper()
			if err := ignore(k.guest.Authenticate(k.ctx, other.Secret)); !errors.Is(err, want) || want == nil && err != nil {
				k.Errorf("%s: %v", what, err)
			}
		}
		is("off", nil)
		shown, err := account.UpdateMFA(k.ctx, true)
		k.must(err)
		if !shown.MFA {
			k.Errorf("%+v", shown)
		}
		is("on", latchkey.ErrMoreFactorsRequired)
		k.must(ignore(account.User(k.ctx)))
		session, err := account.GetSession(k.ctx, latchkey.Current)
		k.must(err)
		if !slices.Equal(session.Factors, []string{"password", "email", "phone"}) {
			k.Error(session.Factors)
		}
		k.must(ignore(k.Users().UpdatePhone(k.ctx, user.ID, "")))
		is("a number less", latchkey.ErrMoreFactorsRequired)
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, false)))
		is("no factor left", nil)
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)))
		is("one again", latchkey.ErrMoreFactorsRequired)
		k.must(ignore(k.Users().UpdateMFA(k.ctx, user.ID, false)))
		is("off by the server", nil)
		var told []string
		for _, m := range k.drained(k.Engine) {
			if m.Kind == notify.FactorsChanged {
				told = append(told, m.To)
			}
		}
		if !slices.Equal(told, []string{ada, ada}) {
			k.Errorf("told: %v", told)
		}
	})
}

// AC-046: nothing of a session is kept between two calls: a handle from before a
// factor was owed is refused, on every engine.
func TestAC046HandleFromBeforeIsRefused(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.proven()
		session, account := k.signIn(ada)
		elsewhere := k.configured(func(*latchkey.Config) {})
		there, err := elsewhere.Guest(testClient).Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.must(ignore(k.Users().UpdateMFA(k.ctx, user.ID, true)))
		for _, a := range []*latchkey.Account{account, there} {
			if err := ignore(a.User(k.ctx)); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
				k.Error(err)
			}
		}
	})
}

func TestDisabledFactorsAreNeitherAskedForNorOwed(t *testing.T) {
	onEveryStore(t, latchkey.Policy{DisabledFactors: []latchkey.Factor{latchkey.FactorEmail, latchkey.FactorTOTP}}, func(k *kit) {
		user := k.proven()
		k.must(ignore(k.Users().UpdateMFA(k.ctx, user.ID, true)))
		_, pending := k.owing(k.guest) // for the number
		for _, off := range []latchkey.Factor{latchkey.FactorEmail, latchkey.FactorTOTP, latchkey.FactorCustom} {
			if err := ignore(pending.CreateMFAChallenge(k.ctx, off)); err != latchkey.ErrAuthMethodUnsupported {
				k.Errorf("%s: %v", off, err)
			}
		}
		for _, none := range []latchkey.Factor{"", "TOTP", "recoverycode", "password"} {
			if err := ignore(pending.CreateMFAChallenge(k.ctx, none)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", none, err)
			}
		}
		if factors, err := pending.MFAFactors(k.ctx); err != nil || factors != (latchkey.MFAFactors{Phone: true}) {
			k.Errorf("%+v, %v", factors, err)
		}
		k.must(ignore(k.Users().UpdatePhoneVerification(k.ctx, user.ID, false)))
		k.signIn(ada)
	})
}

func TestChallengeOfAFactorThatIsNotThereIsRefused(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.signUp(ada)
		_, account := k.signIn(ada)
		_, nobody := k.anonymous()
		for factor, want := range map[latchkey.Factor][2]error{
			latchkey.FactorTOTP:         {latchkey.ErrAuthenticatorNotFound, latchkey.ErrAuthenticatorNotFound},
			latchkey.FactorRecoveryCode: {latchkey.ErrRecoveryCodesNotFound, latchkey.ErrRecoveryCodesNotFound},
			latchkey.FactorEmail:        {latchkey.ErrEmailNotVerified, latchkey.ErrEmailNotFound},
			latchkey.FactorPhone:        {latchkey.ErrPhoneNotFound, latchkey.ErrPhoneNotFound},
		} {
			for i, a := range []*latchkey.Account{account, nobody} {
				k.refuses(string(factor), want[i], func() error { return ignore(a.CreateMFAChallenge(k.ctx, factor)) })
			}
		}
	})
}

// AC-036, 037, 038, 048, 050: five wrong answers end a challenge, and the eleventh
// in a row is slowed, whatever challenges there were; wrong ones of one factor do not
// slow another.
func TestAC036AC037AC048AC050WrongAnswersAreCounted(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, app, codes := k.enrolled(latchkey.NewMFAAuthenticator{})
		stranger := k.Guest(at("203.0.113.1"))
		_, pending := k.owing(stranger)
		wrong := func() string { return other(app.Code()) }
		for round := range 2 {
			challenge, err := pending.CreateMFAChallenge(k.ctx, latchkey.FactorTOTP)
			k.must(err)
			for n := range 5 {
				if err := ignore(pending.UpdateMFAChallenge(k.ctx, challenge.ID, wrong())); err != latchkey.ErrInvalidToken {
					k.Errorf("%d, %d: %v", round, n, err)
				}
			}
			if err := ignore(pending.UpdateMFAChallenge(k.ctx, challenge.ID, app.Code())); err != latchkey.ErrInvalidToken {
				k.Errorf("%d: after five: %v", round, err)
			}
		}
		_, pending = k.owing(stranger) // signing in again does not help
		if err := ignore(k.answers(pending, latchkey.FactorTOTP, wrong())); err != latchkey.ErrInvalidToken {
			k.Errorf("the eleventh: %v", err)
		}
		var slowed *latchkey.ThrottledError
		if err := ignore(k.answers(pending, latchkey.FactorTOTP, app.Code())); !errors.As(err, &slowed) || slowed.RetryAfter != 30*time.Second {
			k.Errorf("slowed: %v", err)
		}
		k.must(ignore(k.answers(pending, latchkey.FactorRecoveryCode, codes[0].Reveal())))
		k.clock.Advance(time.Hour)
		_, pending = k.owing(stranger)
		k.must(ignore(k.answers(pending, latchkey.FactorTOTP, app.Code())))
	})
}

// AC-051: a stranger who knows the password does not keep the owner from answering
// where they have answered before.
func TestAC051StrangerDoesNotSlowAKnownClient(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		_, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		_, owner := k.owing(k.guest)
		k.must(ignore(k.answers(owner, latchkey.FactorTOTP, app.Code())))
		k.clock.Advance(time.Minute)
		engine := k.limitedEngine(nil)
		for range 4 {
			_, stranger := k.owing(engine.Guest(at("203.0.113.1")))
			for range 4 {
				challenge, err := stranger.CreateMFAChallenge(k.ctx, latchkey.FactorTOTP)
				if err != nil {
					continue
				}
				_ = ignore(stranger.UpdateMFAChallenge(k.ctx, challenge.ID, other(app.Code())))
			}
		}
		_, owner = k.owing(engine.Guest(testClient))
		k.must(ignore(k.answers(owner, latchkey.FactorTOTP, app.Code())))
	})
}

// AC-038, 040, 042: a hundred at once, and a code, a step and a recovery code serve
// once.
func TestAC038AC040AC042AHundredAtOnce(t *testing.T) {
	for _, factor := range []latchkey.Factor{latchkey.FactorTOTP, latchkey.FactorRecoveryCode, latchkey.FactorEmail} {
		t.Run(string(factor), func(t *testing.T) {
			onEveryStore(t, documented, func(k *kit) {
				account, app, codes := k.enrolled(latchkey.NewMFAAuthenticator{})
				k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, account.UserID(), true)))
				type try struct {
					by        *latchkey.Pending
					challenge string
				}
				var tries []try
				for range 5 { // from several sessions, with one code
					_, pending := k.owing(k.guest)
					challenge, err := pending.CreateMFAChallenge(k.ctx, factor)
					k.must(err)
					tries = append(tries, try{pending, challenge.ID})
				}
				otp := map[latchkey.Factor]string{latchkey.FactorTOTP: app.Code(), latchkey.FactorRecoveryCode: codes[0].Reveal()}[factor]
				if factor == latchkey.FactorEmail {
					otp = k.message(tries[0].challenge, ada).Secret
				}
				var group sync.WaitGroup
				done := make(chan string, 100)
				for n := range 100 {
					group.Go(func() {
						one := tries[n%len(tries)]
						session, err := one.by.UpdateMFAChallenge(k.ctx, one.challenge, otp)
						var own *latchkey.Error
						if err != nil && !errors.As(err, &own) {
							k.Error(err)
						}
						if err == nil {
							done <- session.ID
						}
					})
				}
				group.Wait()
				if len(done) != 1 {
					k.Errorf("%d successes", len(done))
				}
			})
		})
	}
}

// A challenge is of the session that asked for it, and of the address that it was
// sent to; it ends with its time, and with the next.
func TestChallengeBelongsToItsSession(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		user := k.proven()
		_, account := k.signIn(ada)
		_, other := k.signIn(ada)
		ask := func() notify.Message {
			challenge, err := account.CreateMFAChallenge(k.ctx, latchkey.FactorEmail)
			k.must(err)
			return k.message(challenge.ID, ada)
		}
		m := ask()
		if err := ignore(other.UpdateMFAChallenge(k.ctx, m.ID, m.Secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("by another session: %v", err)
		}
		next := ask()
		if err := ignore(account.UpdateMFAChallenge(k.ctx, m.ID, m.Secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("the one before: %v", err)
		}
		if err := ignore(account.UpdateMFAChallenge(k.ctx, next.ID, m.Secret)); err != latchkey.ErrInvalidToken && m.Secret != next.Secret {
			k.Errorf("the code of the one before: %v", err)
		}
		k.must(ignore(k.Users().UpdateEmail(k.ctx, user.ID, bob)))
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)))
		if err := ignore(account.UpdateMFAChallenge(k.ctx, next.ID, next.Secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("to an address that is no longer theirs: %v", err)
		}
		k.must(ignore(k.Users().UpdateEmail(k.ctx, user.ID, ada)))
		k.must(ignore(k.Users().UpdateEmailVerification(k.ctx, user.ID, true)))
		last := ask()
		k.clock.Advance(15 * time.Minute)
		if err := ignore(account.UpdateMFAChallenge(k.ctx, last.ID, last.Secret)); err != latchkey.ErrInvalidToken {
			k.Errorf("after its time: %v", err)
		}
		for _, bad := range [][2]string{{"no id", "1"}, {"", "1"}, {last.ID, ""}, {last.ID, strings.Repeat("1", 257)}} {
			if err := ignore(account.UpdateMFAChallenge(k.ctx, bad[0], bad[1])); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", bad, err)
			}
		}
		k.must(ignore(k.Sweep(k.ctx)))
		if n := k.rows()["challenges"]; n != 0 {
			k.Errorf("%d challenges are left", n)
		}
	})
}

func TestMockNumberIsChallengedWithItsCode(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		k.proven()
		engine := k.configured(func(c *latchkey.Config) { c.MockNumbers = map[string]string{phone: "042317"} })
		session, _ := k.signIn(ada)
		account, err := engine.Guest(testClient).Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.must(ignore(k.answers(account, latchkey.FactorPhone, "042317")))
		if got := k.posted(engine); len(got) != 0 {
			k.Error(got)
		}
	})
}

// AC-052, 053: what takes factors away asks for a challenge, and what adds them for a
// session that is fresh; how old a JWT is tells nothing.
func TestAC052AC053StepUp(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		account, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		if err := account.DeleteMFAAuthenticator(k.ctx); err != latchkey.ErrChallengeRequired { // signed in a moment ago, and never challenged
			k.Error(err)
		}
		k.must(account.RequireRecent(k.ctx, time.Minute))
		k.clock.Advance(time.Hour)
		for name, do := range map[string]func() error{
			"switch": func() error { return ignore(account.UpdateMFA(k.ctx, false)) }, "recent": func() error { return account.RequireRecent(k.ctx, 59*time.Minute) },
		} {
			k.refuses(name, latchkey.ErrChallengeRequired, do)
		}
		k.must(account.RequireRecent(k.ctx, 2*time.Hour))
		byJWT, _ := k.byJWT(account.UserID(), account.SessionID())
		if err := byJWT.RequireRecent(k.ctx, 24*time.Hour); err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
		session, err := k.answers(account, latchkey.FactorTOTP, app.Code())
		k.must(err)
		account, err = k.guest.Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.must(account.RequireRecent(k.ctx, 0))
		k.must(account.DeleteMFAAuthenticator(k.ctx))
		if err := account.DeleteMFAAuthenticator(k.ctx); err != latchkey.ErrAuthenticatorNotFound {
			k.Error(err)
		}
		k.must(ignore(account.UpdateMFA(k.ctx, false)))
		old := k.configured(func(c *latchkey.Config) { c.Policy.EnrolWithoutStepUp = true })
		k.clock.Advance(time.Hour)
		account, err = old.Guest(testClient).Authenticate(k.ctx, session.Secret)
		k.must(err)
		k.must(ignore(account.UpdateMFA(k.ctx, true)))
		if err := ignore(account.UpdateMFARecoveryCodes(k.ctx)); err != latchkey.ErrChallengeRequired {
			k.Error(err)
		}
	})
}

func TestServerResetsFactorsAndTheUserIsTold(t *testing.T) {
	onEveryStore(t, documented, func(k *kit) {
		account, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		_, pending := k.owing(k.guest)
		for range 12 { // what was guessed goes with the authenticator
			if challenge, err := pending.CreateMFAChallenge(k.ctx, latchkey.FactorTOTP); err == nil {
				_ = ignore(pending.UpdateMFAChallenge(k.ctx, challenge.ID, other(app.Code())))
			}
		}
		k.drained(k.configured(func(*latchkey.Config) {}))
		k.forget()
		k.must(k.Users().DeleteMFAAuthenticator(k.ctx, account.UserID()))
		if got := k.logs(); len(got) != 1 || !strings.Contains(got[0], "user.update") {
			k.Error(got)
		}
		k.signIn(ada) // nothing is owed
		if err := k.Users().DeleteMFAAuthenticator(k.ctx, account.UserID()); err != latchkey.ErrAuthenticatorNotFound {
			k.Error(err)
		}
		last := k.drained(k.Engine)
		if m := last[len(last)-1]; m.Kind != notify.FactorsChanged || m.To != ada {
			k.Errorf("%v", m)
		}
	})
}

func TestPendingSessionEndsUnderAStrictPolicy(t *testing.T) {
	onEveryStore(t, latchkey.Policy{PendingLength: 10 * time.Minute}, func(k *kit) {
		_, app, _ := k.enrolled(latchkey.NewMFAAuthenticator{})
		session, pending := k.owing(k.guest)
		k.clock.Advance(10 * time.Minute)
		for _, err := range []error{ignore(k.guest.Authenticate(k.ctx, session.Secret)), ignore(pending.CreateMFAChallenge(k.ctx, latchkey.FactorTOTP))} {
			if err != latchkey.ErrUnauthorized {
				k.Error(err)
			}
		}
		_, pending = k.owing(k.guest)
		done, err := k.answers(pending, latchkey.FactorTOTP, app.Code())
		k.must(err)
		k.clock.Advance(time.Hour)
		k.must(ignore(k.guest.Authenticate(k.ctx, done.Secret)))
	})
}
