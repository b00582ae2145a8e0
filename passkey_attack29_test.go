package latchkey_test

import (
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A page may send an answer twice, for example after a double click. The second answer comes while the first one is being taken.
// It must not tell the browser to forget the passkey that the first one has made.
func TestAttackATwinOfAnAnswerForgetsNoPasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, account := k.Anonymous()
		answer := created(k, account, device())
		var twin, first error
		atCommit(k, 2, func() { _, twin = account.FinishPasskeyEnrolment(k.Ctx, answer, "") }, func() {
			_, first = account.FinishPasskeyEnrolment(k.Ctx, answer, "")
		})
		k.Must(first)
		k.Same("passkeys", k.Rows()["passkeys"], 1)
		if unknown, told := errors.AsType[*latchkey.UnknownPasskeyError](twin); told {
			k.Errorf("the browser is told to forget a passkey that was taken: %s", unknown.Signal)
		}
	})
}

// An answer that comes in another session leaves the question open. So the browser is not told to forget the passkey, which the right
// session can still take.
func TestAttackAnAnswerInAnotherSessionForgetsNoPasskey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		_, other := k.SignIn(kit.Ada)
		answer := created(k, account, device())
		_, err := other.FinishPasskeyEnrolment(k.Ctx, answer, "")
		_, told := errors.AsType[*latchkey.UnknownPasskeyError](err)
		_, err = account.FinishPasskeyEnrolment(k.Ctx, answer, "")
		k.Must(err)
		if told {
			k.Error("the browser is told to forget a passkey that was taken after that")
		}
	})
}

// A passkey of another domain is no way in and proves nothing, also if its holder can sign for the present domain: a program may keep
// one key for both.
func TestAttackAPasskeyOfAnotherDomainSignsNobodyIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		d := device()
		k.Enrol(account, d, latchkey.PasskeyEnrolment{})
		var ada latchkey.PortableUser
		k.Must(k.Export(k.Ctx, latchkey.ExportOptions{}, func(p latchkey.Portable) error {
			ada = *p.User
			return nil
		}))
		k.DeleteAll()
		ada.Passkeys[0].RPID = "example.com"
		engine := k.Configured(func(c *latchkey.Config) { c.PasskeysOfOtherDomains = true })
		k.Must(kit.Err(engine.Import(k.Ctx, the(person(ada)), trusted)))
		guest := engine.Guest(kit.Client)
		offer, err := guest.StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{})
		k.Must(err)
		answer, err := d.Get(offer.Options)
		k.Must(err)
		if session, err := guest.FinishPasskeySession(k.Ctx, answer); err == nil {
			k.Errorf("it has signed in, with the factors %v", session.Factors)
		}
	})
}

// The key of a guest is asked for before another authenticator comes. A stolen session of the guest, which has not shown the key
// for long, must not bring a passkey of the thief, by which the thief takes the key away.
func TestAttackAStolenGuestSessionCannotReplaceTheKey(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session, account := k.Anonymous()
		key := k.Enrol(account, device(), latchkey.PasskeyEnrolment{SecondFactor: true})
		k.Clock.Advance(2 * time.Hour)
		stolen, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		if err := kit.Err(stolen.CreateMFAAuthenticator(k.Ctx, latchkey.NewMFAAuthenticator{})); !errors.Is(err, latchkey.ErrChallengeRequired) {
			k.Errorf("an authenticator app: %v", err)
		}
		start, err := stolen.StartPasskeyEnrolment(k.Ctx, latchkey.PasskeyEnrolment{})
		if errors.Is(err, latchkey.ErrChallengeRequired) {
			return
		}
		k.Must(err)
		thief := device()
		answer, err := thief.Create(start.Options)
		k.Must(err)
		k.Must(kit.Err(stolen.FinishPasskeyEnrolment(k.Ctx, answer, "")))
		err = stepUp(k, stolen, thief).DeletePasskey(k.Ctx, key.ID)
		k.Errorf("the passkey of the thief is taken without the key. The thief deletes the key: %v", err)
	})
}
