package latchkey_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
)

// A thief changes the address and makes a passkey. The owner restores the address: the passkey, as an identity, came since.
func TestARestoredAddressTakesAwayPasskeysThatCameSince(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, thief := provenAda(k)
		move(k, thief, countess)
		planted := device()
		k.Enrol(thief, planted, latchkey.PasskeyEnrolment{})
		token, err := k.Visitor.RestoreAddress(k.Ctx, user.ID, undoOf(k, kit.Ada).Secret)
		k.Must(err)
		k.Must(kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, token.UserID, token.Secret.Reveal(), kit.FreshPassword)))
		session, err := k.SignInByPasskey(k.Visitor, planted)
		if err == nil {
			err = kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()))
		}
		if err == nil {
			k.Error("the thief is in by the passkey")
		}
	})
}

// N-23: a link by mail alone takes no second factor away from an account with MFA on. (With an authenticator: the address is taken off.)
func TestAFirstProofByMailTakesNoPasskeyFromAnAccountWithMFA(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)
		if err == nil && session.UserID == user.ID {
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); err == nil {
				k.Error("the reader of the mailbox is in the account with MFA on")
			}
		}
		if _, err := k.SignInByPasskey(k.Visitor, d); err != nil {
			k.Errorf("the passkey of the owner: %v", err)
		}
	})
}

// N-23, beside the rule for passkeys: the link signs nobody in to the account.
func TestAFirstProofByMailOpensNoAccountWithAnAuthenticator(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Confirmed(account, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		session, err := k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)
		if err == nil && session.UserID == user.ID {
			k.Error("in")
		}
	})
}

// A session that owes a factor and was completed by a passkey has not proven it any more once that passkey is deleted.
func TestAProofByADeletedPasskeyGoesWithIt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		stolen, own := device(), device()
		lost := k.Enrol(account, stolen, latchkey.PasskeyEnrolment{})
		k.Enrol(account, own, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		_, pending := k.Owing(k.Visitor) // the thief has the password and the key
		start, err := pending.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		answer, err := stolen.Get(start.Options)
		k.Must(err)
		full, err := pending.FinishPasskeyChallenge(k.Ctx, answer)
		k.Must(err)
		account = stepUp(k, account, own)
		k.Must(account.DeletePasskey(k.Ctx, lost.ID))
		thief, err := k.Visitor.Authenticate(k.Ctx, full.Secret.Reveal())
		if err == nil {
			k.Error("the session that the deleted passkey has completed is a full one")
			if err := kit.Err(thief.UpdateMFA(k.Ctx, false)); err == nil {
				k.Error("and it switches MFA off")
			}
			if err := kit.Err(thief.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})); err == nil {
				k.Error("and it enrols")
			}
		}
	})
}

// With a passkey of their own, the owner needs none of the factors that came since the change.
func TestARestoredAddressTakesAwayWhatCameSinceFromAUserWithAPasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user, account := provenAda(k)
		own := device()
		k.Enrol(account, own, latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Clock.Advance(30 * 24 * time.Hour)
		session, err := k.SignInByPasskey(k.Visitor, own)
		k.Must(err)
		thief, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		move(k, thief, countess)
		undo := undoOf(k, kit.Ada)
		k.Must(kit.Err(k.LinkBy(k.Visitor, session.Secret, k.Acme, acmeAda)))
		change, err := thief.CreatePhoneChange(k.Ctx, kit.Phone, kit.Password)
		k.Must(err)
		k.Must(kit.Err(thief.ConfirmPhoneChange(k.Ctx, k.MailOf(change, kit.Phone).Secret, "")))
		k.Must(kit.Err(k.Visitor.RestoreAddress(k.Ctx, user.ID, undo.Secret)))
		got, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		linked, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		if got.Phone != "" || linked.Total != 0 {
			k.Errorf("the thief's number %q and %d identities stay", got.Phone, linked.Total)
		}
	})
}

// Every deletion of a passkey is an event: by the first proof of an address too, as of identities.
func TestPasskeysThatAFirstProofRemovesAreTold(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, planter := k.SignIn(kit.Ada)
		made := k.Enrol(planter, device(), latchkey.PasskeyEnrolment{})
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		k.Forget()
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)))
		events := k.Events(made.ID, "PASSKEY")
		if !slices.ContainsFunc(events, func(e string) bool { return strings.Contains(e, "passkeys.PASSKEY.delete") }) {
			k.Errorf("%v", events)
		}
	})
}

// N-25, AC-052: a new factor needs the strongest that the user has. A session by the password alone does not enrol an authenticator beside
// a passkey, and with it remove the passkey.
func TestAnAuthenticatorBesideAPasskeyNeedsThePasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		made := k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		_, thief := k.SignIn(kit.Ada)
		k.Refuses("a passkey", latchkey.ErrChallengeRequired, func() error {
			return kit.Err(thief.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{}))
		})
		n, err := thief.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})
		if errors.Is(err, latchkey.ErrChallengeRequired) {
			return
		}
		k.Must(err)
		k.Error("the session by the password enrols an authenticator")
		app, err := authtest.NewAuthenticator(k.Clock, n.URI.Reveal())
		k.Must(err)
		k.Must(kit.Err(thief.VerifyMFAAuthenticator(k.Ctx, app.Code())))
		if err := kit.Err(thief.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})); err == nil {
			k.Error("and by it a passkey")
		}
		k.Clock.Advance(time.Minute)
		session, err := k.Answers(thief, latchkey.FactorTOTP, app.Code())
		k.Must(err)
		thief, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		if err := thief.DeletePasskey(k.Ctx, made.ID); err == nil {
			k.Error("and deletes that of the owner")
		}
	})
}

// N-23: who recovers by mail owes the passkey, and not a code to the same mailbox.
func TestARecoveryByMailOwesThePasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		k.Must(k.Recover(k.Recovery()))
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)
		k.Must(err)
		_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		owing, is := errors.AsType[*latchkey.MoreFactorsError](err)
		if !is {
			k.Fatal(err)
		}
		have, err := owing.Pending.MFAFactors(k.Ctx)
		k.Must(err)
		if have.Helps.Email || !have.Helps.Passkey {
			k.Errorf("%+v", have.Helps)
		}
	})
}

// A step-up by a passkey that signs in, without verification of its user, is possession alone.
func TestAStepUpWithoutVerificationIsNotTheStrongestProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, d := k.Keyed()
		k.Clock.Advance(40 * time.Minute)
		session, err := k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		thief, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Clock.Advance(40 * time.Minute)
		d.Unverified = true
		thief = stepUp(k, thief, d)
		if err := kit.Err(thief.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})); err == nil {
			k.Error("a key without its PIN enrols a passkey that is two factors")
		}
	})
}

// A user who has signed in by a passkey since the link was opened has shown that the account is theirs, as by the password.
func TestASignInByAPasskeyClaimsTheAccount(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		account, d := k.Keyed()
		link, err := account.CreateEmailVerification(k.Ctx, "https://app.example.org/verify")
		k.Must(err)
		m := k.MailOf(link, kit.Ada)
		k.Must(kit.Err(k.Visitor.ConfirmEmailVerification(k.Ctx, m.UserID, m.Secret))) // on another device
		for range 2 {
			k.Must(kit.Err(k.SignInByPasskey(k.Visitor, d)))
		}
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)))
		if err := kit.Err(k.SignInByPasskey(k.Visitor, d)); err != nil {
			k.Errorf("the passkey: %v", err)
		}
	})
}
