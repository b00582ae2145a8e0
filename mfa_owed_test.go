package latchkey_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

func TestSecondFactorIsOwedAndProven(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		session, pending := k.Owing(k.Visitor)
		if pending.UserID() != session.UserID || pending.SessionID() != session.ID || strings.Contains(fmt.Sprintf("%v %+v", pending, *pending), session.Secret.Reveal()) {
			k.Errorf("%v", pending)
		}
		factors, err := pending.MFAFactors(k.Ctx)
		k.Must(err)
		if factors != (latchkey.MFAFactors{TOTP: true, RecoveryCode: true, RecoveryCodesLeft: 6, Helps: latchkey.FactorSet{TOTP: true, RecoveryCode: true}}) {
			k.Errorf("%+v", factors)
		}
		k.Forget()
		challenge, err := pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)
		k.Must(err)
		if challenge.UserID != session.UserID || challenge.Expire.Sub(challenge.CreatedAt) != 15*time.Minute {
			k.Errorf("%+v", challenge)
		}
		done, err := pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code())
		k.Must(err)
		if got := k.Events(session.UserID, "1", challenge.ID, "2", session.ID, "3"); !slices.Equal(got, []string{
			"users.1.challenges.2.create by user", "users.1.sessions.3.update by user",
		}) {
			k.Error(got)
		}
		if done.ID != session.ID || !slices.Equal(done.Factors, []string{"password", "totp"}) || !done.MFAUpdatedAt.Equal(k.Clock.Now()) || done.Secret.IsZero() ||
			done.Secret.Equal(session.Secret) || !done.Current {
			k.Errorf("%+v", done)
		}
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); err != latchkey.ErrSessionRenewed { // AC-088: the old secret is replaced
			k.Errorf("the secret from before: %v", err)
		}
		account, err := k.Visitor.Authenticate(k.Ctx, done.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.User(k.Ctx)))
		if err := kit.Err(pending.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.Code())); err != latchkey.ErrSessionRenewed {
			k.Errorf("the handle from before: %v", err)
		}
		if err := kit.Err(account.ConfirmMFAChallenge(k.Ctx, challenge.ID, app.CodeAt(1))); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Errorf("the challenge once more: %v", err)
		}
		_, pending = k.Owing(k.Visitor)
		k.Must(pending.DeleteSession(k.Ctx))
		if err := kit.Err(pending.MFAFactors(k.Ctx)); err != latchkey.ErrUnauthorized {
			k.Errorf("signed out: %v", err)
		}
		for _, none := range []*latchkey.Pending{nil, new(latchkey.Pending)} {
			for _, err := range []error{
				kit.Err(none.MFAFactors(k.Ctx)), kit.Err(none.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP)), kit.Err(none.ConfirmMFAChallenge(k.Ctx, "x", "x")),
				none.DeleteSession(k.Ctx),
			} {
				if err != latchkey.ErrUnauthorized {
					k.Errorf("of a zero handle: %v", err)
				}
			}
		}
	})
}

// A deleted authenticator no longer counts among the factors that a session has proven.
func TestAuthenticatorThatIsGoneProvesNothing(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		_, thief := k.SignIn(kit.Ada)
		k.Confirmed(thief, latchkey.NewMFAAuthenticator{})
		k.Must(k.Users().DeleteMFAAuthenticator(k.Ctx, user.ID))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		if err := kit.Err(thief.User(k.Ctx)); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Errorf("the thief's session: %v", err)
		}
	})
}

func TestPendingSessionEndsUnderAStrictPolicy(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Factors: latchkey.FactorPolicy{PendingLength: 10 * time.Minute}}, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		session, pending := k.Owing(k.Visitor)
		k.Clock.Advance(10 * time.Minute)
		for _, err := range []error{kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())), kit.Err(pending.CreateMFAChallenge(k.Ctx, latchkey.FactorTOTP))} {
			if err != latchkey.ErrUnauthorized {
				k.Error(err)
			}
		}
		_, pending = k.Owing(k.Visitor)
		done, err := k.Answers(pending, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		k.Clock.Advance(time.Hour)
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, done.Secret.Reveal())))
	})
}
