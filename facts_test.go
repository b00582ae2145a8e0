package latchkey_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
)

// What the sessions say of their users is true after every operation, whatever
// was done before it: the property on which a check of one row rests.
func TestSessionsTellTheTruthAboutTheirUsersAfterEveryOperation(t *testing.T) {
	oneByOne(t, latchkey.Policy{SessionLimit: 3, SessionLength: 24 * time.Hour}, func(k *kit) {
		cases := 0
		rapid.Check(k.T, func(t *rapid.T) {
			cases++
			steps(k, t, cases)
		})
	})
}

// actors is what a random run works on: a few users and the handles of their
// sessions, live or not.
type actors struct {
	*kit
	t        *rapid.T
	ids      []string
	emails   []string
	accounts []*latchkey.Account
}

func steps(k *kit, t *rapid.T, run int) {
	a := &actors{kit: k, t: t}
	for n := range 4 {
		a.emails = append(a.emails, fmt.Sprintf("u%d-%d@example.org", run, n))
	}
	for n := range 2 {
		user, err := k.guest.CreateAccount(k.ctx, latchkey.NewAccount{Email: a.emails[n], Password: password})
		k.must(err)
		a.ids = append(a.ids, user.ID)
	}
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		op := rapid.SampledFrom(operations).Draw(t, "operation")
		if err := op.do(a); err != nil && !slices.ContainsFunc(expected, func(want error) bool { return errors.Is(err, want) }) {
			t.Fatalf("%s: %v", op.name, err)
		}
		if broken := k.broken(); broken != nil {
			t.Fatalf("after %s: %s", op.name, strings.Join(broken, "; "))
		}
	}
	for _, id := range a.ids { // the store stays small
		if err := k.Users().Delete(k.ctx, id); err != nil && !errors.Is(err, latchkey.ErrUserNotFound) {
			k.Fatal(err)
		}
	}
}

// expected are the answers that a random operation may get.
var expected = []error{
	latchkey.ErrUnauthorized, latchkey.ErrUserBlocked, latchkey.ErrUserNotFound, latchkey.ErrInvalidCredentials,
	latchkey.ErrTargetAlreadyExists, latchkey.ErrEmailAlreadyExists, latchkey.ErrPhoneAlreadyExists, latchkey.ErrUserAlreadyExists,
	latchkey.ErrEmailNotFound, latchkey.ErrPhoneNotFound, latchkey.ErrSessionAlreadyExists, latchkey.ErrRateLimitExceeded,
	latchkey.ErrMoreFactorsRequired, latchkey.ErrAuthenticatorAlreadyVerified, latchkey.ErrAuthenticatorNotFound, latchkey.ErrChallengeRequired,
	latchkey.ErrInvalidToken,
}

func (a *actors) id() string { return rapid.SampledFrom(a.ids).Draw(a.t, "user") }

func (a *actors) email() string { return rapid.SampledFrom(a.emails).Draw(a.t, "email") }

func (a *actors) phone() string {
	return rapid.SampledFrom([]string{"", "+14155550100", "+14155550101"}).Draw(a.t, "phone")
}

func (a *actors) bool() bool { return rapid.Bool().Draw(a.t, "bool") }

// account returns one of the handles; the zero one if there is none.
func (a *actors) account() *latchkey.Account {
	if len(a.accounts) == 0 {
		return nil
	}
	return rapid.SampledFrom(a.accounts).Draw(a.t, "session")
}

func (a *actors) enter(session *latchkey.Session, err error) error {
	if err != nil {
		return err
	}
	account, err := a.guest.Authenticate(a.ctx, session.Secret)
	if err == nil {
		a.accounts = append(a.accounts, account)
		if !slices.Contains(a.ids, session.UserID) {
			a.ids = append(a.ids, session.UserID)
		}
	}
	return err
}

var operations = []struct {
	name string
	do   func(a *actors) error
}{
	{"sign in", func(a *actors) error {
		return a.enter(a.guest.CreateEmailPasswordSession(a.ctx, a.email(), password))
	}},
	{"sign in anonymously", func(a *actors) error { return a.enter(a.guest.CreateAnonymousSession(a.ctx)) }},
	{"server's session", func(a *actors) error { return a.enter(a.Users().CreateSession(a.ctx, a.id())) }},
	{"time passes", func(a *actors) error { a.clock.Advance(13 * time.Hour); return nil }},
	{"change e-mail", func(a *actors) error { return ignore(a.account().UpdateEmail(a.ctx, a.email(), password)) }},
	{"change phone", func(a *actors) error {
		return ignore(a.account().UpdatePhone(a.ctx, max(a.phone(), "+14155550100"), password))
	}},
	{"change password", func(a *actors) error { return ignore(a.account().UpdatePassword(a.ctx, password, password)) }},
	{"switch MFA", func(a *actors) error { return ignore(a.account().UpdateMFA(a.ctx, a.bool())) }},
	{"server switches MFA", func(a *actors) error { return ignore(a.Users().UpdateMFA(a.ctx, a.id(), a.bool())) }},
	{"enrol an authenticator", func(a *actors) error {
		account := a.account()
		made, err := account.CreateMFAAuthenticator(a.ctx, latchkey.NewMFAAuthenticator{})
		if err != nil {
			return err
		}
		app, err := authtest.NewAuthenticator(a.clock, made.URI)
		if err != nil {
			return err
		}
		return ignore(account.UpdateMFAAuthenticator(a.ctx, app.Code()))
	}},
	{"server takes the authenticator away", func(a *actors) error { return a.Users().DeleteMFAAuthenticator(a.ctx, a.id()) }},
	{"recover", func(a *actors) error {
		email := a.email()
		token, err := a.Guest(latchkey.Client{Server: true}).CreateRecovery(a.ctx, latchkey.NewRecovery{Email: email, URL: recoverURL})
		if err != nil {
			return err
		}
		return ignore(a.guest.UpdateRecovery(a.ctx, a.id(), token.Secret.Reveal(), password))
	}},
	{"block oneself", func(a *actors) error { return ignore(a.account().UpdateStatus(a.ctx)) }},
	{"extend", func(a *actors) error { return ignore(a.account().UpdateSession(a.ctx, latchkey.Current)) }},
	{"sign out", func(a *actors) error { return a.account().DeleteSession(a.ctx, latchkey.Current) }},
	{"sign out everywhere", func(a *actors) error { return a.account().DeleteSessions(a.ctx) }},
	{"become permanent", func(a *actors) error {
		return ignore(a.account().CreateAccount(a.ctx, latchkey.NewAccount{Email: a.email(), Password: password}))
	}},
	{"server's status", func(a *actors) error { return ignore(a.Users().UpdateStatus(a.ctx, a.id(), a.bool())) }},
	{"server's e-mail", func(a *actors) error {
		email := a.email()
		if a.bool() {
			email = ""
		}
		return ignore(a.Users().UpdateEmail(a.ctx, a.id(), email))
	}},
	{"server's phone", func(a *actors) error { return ignore(a.Users().UpdatePhone(a.ctx, a.id(), a.phone())) }},
	{"server's password", func(a *actors) error {
		return ignore(a.Users().UpdatePassword(a.ctx, a.id(), map[bool]string{true: password}[a.bool()]))
	}},
	{"e-mail verification", func(a *actors) error { return ignore(a.Users().UpdateEmailVerification(a.ctx, a.id(), a.bool())) }},
	{"phone verification", func(a *actors) error { return ignore(a.Users().UpdatePhoneVerification(a.ctx, a.id(), a.bool())) }},
	{"server ends sessions", func(a *actors) error { return a.Users().DeleteSessions(a.ctx, a.id()) }},
	{"delete", func(a *actors) error { return a.Users().Delete(a.ctx, a.id()) }},
}
