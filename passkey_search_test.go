package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A session that owes a factor never becomes a full one because the passkey that it has shown is deleted.
func TestASessionThatOwesAFactorEndsWithItsPasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session, account := k.Anonymous()
		own := device()
		made := k.Enrol(account, own, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		change, err := account.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: kit.Ada, URL: kit.VerifyURL}, "")
		k.Must(err)
		k.Must(kit.Err(account.ConfirmEmailChange(k.Ctx, k.MailOf(change, kit.Ada).Secret, "")))
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Fatal(err)
		}
		other, err := k.SignInByPasskey(k.Visitor, own)
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, other.Secret.Reveal())
		k.Must(err)
		k.Must(stepUp(k, account, own).DeletePasskey(k.Ctx, made.ID))
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("the session that owed a factor: %v", err)
		}
	})
}

// A step-up by a passkey is void once that passkey is deleted, also in a session that another passkey has opened.
func TestAStepUpByADeletedPasskeyGoesWithIt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		own, stolen := device(), device()
		k.Enrol(account, own, latchkey.PasskeyEnrolment{})
		lost := k.Enrol(account, stolen, latchkey.PasskeyEnrolment{})
		session, err := k.SignInByPasskey(k.Visitor, own)
		k.Must(err)
		thief, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Clock.Advance(time.Hour)
		thief = stepUp(k, thief, stolen)

		session, err = k.SignInByPasskey(k.Visitor, own)
		k.Must(err)
		account, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		account = stepUp(k, account, own)
		k.Must(account.DeletePasskey(k.Ctx, lost.ID))
		k.Refuses("another passkey", latchkey.ErrChallengeRequired, func() error {
			return kit.Err(thief.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{}))
		})
		k.Must(kit.Err(stepUp(k, thief, own).StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})))
		k.Must(kit.Err(account.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})))
	})
}
