package latchkey_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
)

func TestPolicyKeepsTheSecret(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Factors: latchkey.FactorPolicy{KeepSecretOnChallenge: true}}, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		session, pending := k.Owing(k.Visitor)
		done, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		if !done.Secret.IsZero() {
			k.Error("there is a secret")
		}
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
	})
}

// A right answer to a challenge makes the session fresh again.
func TestChallengeRenewsASession(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.StrictPolicy().Sessions.SingleFactor, MultiFactor: latchkey.StrictPolicy().Sessions.MultiFactor}}, func(k *kit.Kit) {
		k.Proven()
		_, a := k.SignIn(kit.Ada)
		k.Clock.Advance(2 * time.Hour)
		c, err := a.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
		k.Must(err)
		s, err := a.ConfirmMFAChallenge(k.Ctx, c.ID, k.Message(c.ID, kit.Ada).Secret)
		k.Must(err)
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())); err != nil {
			k.Errorf("after a right answer: %v", err)
		}
	})
}

// A challenge belongs to the session that asked for it and to the address that
// received it. It ends with its time, or with the next challenge.
func TestChallengeBelongsToItsSession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		_, account := k.SignIn(kit.Ada)
		_, other := k.SignIn(kit.Ada)
		ask := func() kit.Message {
			challenge, err := account.CreateMFAChallenge(k.Ctx, latchkey.FactorEmail)
			k.Must(err)
			return k.Message(challenge.ID, kit.Ada)
		}
		m := ask()
		if err := kit.Err(other.ConfirmMFAChallenge(k.Ctx, m.ID, m.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("by another session: %v", err)
		}
		next := ask()
		if err := kit.Err(account.ConfirmMFAChallenge(k.Ctx, m.ID, m.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the one before: %v", err)
		}
		if err := kit.Err(account.ConfirmMFAChallenge(k.Ctx, next.ID, m.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) && m.Secret != next.Secret {
			k.Errorf("the code of the one before: %v", err)
		}
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, kit.Bob)))
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		if err := kit.Err(account.ConfirmMFAChallenge(k.Ctx, next.ID, next.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("to an address that is no longer theirs: %v", err)
		}
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, kit.Ada)))
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		last := ask()
		k.Clock.Advance(15 * time.Minute)
		if err := kit.Err(account.ConfirmMFAChallenge(k.Ctx, last.ID, last.Secret)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("after its time: %v", err)
		}
		for _, bad := range [][2]string{{"no id", "1"}, {"", "1"}, {last.ID, ""}, {last.ID, strings.Repeat("1", 257)}} {
			if err := kit.Err(account.ConfirmMFAChallenge(k.Ctx, bad[0], bad[1])); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%q: %v", bad, err)
			}
		}
		k.Must(kit.Err(k.Sweep(k.Ctx)))
		if n := k.Rows()["challenges"]; n != 0 {
			k.Errorf("%d challenges are left", n)
		}
	})
}

func TestChallengeOfAFactorThatIsNotThereIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		_, nobody := k.Anonymous()
		for factor, want := range map[latchkey.Factor][2]error{
			latchkey.FactorTOTP:         {latchkey.ErrAuthenticatorNotFound, latchkey.ErrAuthenticatorNotFound},
			latchkey.FactorRecoveryCode: {latchkey.ErrRecoveryCodesNotFound, latchkey.ErrRecoveryCodesNotFound},
			latchkey.FactorEmail:        {latchkey.ErrEmailNotVerified, latchkey.ErrEmailNotFound},
			latchkey.FactorPhone:        {latchkey.ErrPhoneNotFound, latchkey.ErrPhoneNotFound},
		} {
			for i, a := range []*latchkey.Account{account, nobody} {
				k.Refuses(string(factor), want[i], func() error { return kit.Err(a.CreateMFAChallenge(k.Ctx, factor)) })
			}
		}
	})
}

func TestMockNumberIsChallengedWithItsCode(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		engine := k.Configured(func(c *latchkey.Config) { c.MockNumbers = map[string]latchkey.Secret{kit.Phone: hidden.New("042317")} })
		session, _ := k.SignIn(kit.Ada)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(k.Answers(account, latchkey.FactorPhone, "042317")))
		if got := k.Posted(engine); len(got) != 0 {
			k.Error(got)
		}
	})
}
