package latchkey_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
)

// exportedAda returns Ada as an export with secrets has her, with a passkey of a device, and empties the store.
func exportedAda(k *kit.Kit, d *authtest.Device) (ada latchkey.PortableUser) {
	k.Helper()
	k.Proven()
	_, account := k.SignIn(kit.Ada)
	k.Enrol(account, d, latchkey.PasskeyEnrolment{})
	k.Must(k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(p latchkey.Portable) error {
		ada = *p.User
		return nil
	}))
	k.DeleteAll()
	return ada
}

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
func TestAttackAPasskeyOfAnotherDomainIsNoSignIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		d := device()
		ada := exportedAda(k, d)
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

// It is no proof in a session either, although the session asks for another passkey, of the present domain.
func TestAttackAPasskeyOfAnotherDomainIsNoStepUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		d := device()
		ada := exportedAda(k, d)
		ada.Passkeys[0].RPID = "example.com"
		present := ada.Passkeys[0]
		present.ID, present.RPID, present.CredentialID = "present", "example.org", []byte("present")
		ada.Passkeys = append(ada.Passkeys, present)
		engine := k.Configured(func(c *latchkey.Config) { c.PasskeysOfOtherDomains = true })
		k.Must(kit.Err(engine.Import(k.Ctx, the(person(ada)), trusted)))
		session, err := engine.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		start, err := account.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		var options map[string]map[string]any
		k.Must(json.Unmarshal(start.Options, &options))
		delete(options["publicKey"], "allowCredentials")
		text, err := json.Marshal(options)
		k.Must(err)
		answer, err := d.Get(text)
		k.Must(err)
		if proven, err := account.FinishPasskeyChallenge(k.Ctx, answer); err == nil {
			k.Errorf("the session has the factors %v", proven.Factors)
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

// Systems number their rows in each table. An identity and a passkey of a user that both come with the id 1 stay two things: a session
// of the identity that switches MFA on does not vouch for the passkey.
func TestAttackAnIdentityDoesNotVouchForAPasskeyOfItsID(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		d := device()
		ada := exportedAda(k, d)
		identity := at("acme", "1")
		identity.ID, identity.Issuer, ada.Passkeys[0].ID = "1", k.Acme.About.Issuer, "1"
		ada.Identities = []latchkey.PortableIdentity{identity}
		results, _ := imports(k, trusted, the(person(ada)))
		if results[0] != "1 "+ada.ID+" created" { // a refusal is an answer too
			return
		}
		session := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "1"})
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateMFA(k.Ctx, true)))
		opened, err := k.SignInByPasskey(k.Visitor, d)
		k.Must(err)
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, opened.Secret.Reveal())); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Errorf("the passkey is two factors: %v", err)
		}
	})
}

// An RSA key has 2,048 bits at least, and not about as many.
func TestAttackAnRSAKeyIsMeasuredInBits(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := exportedAda(k, device())
		modulus := make([]byte, 256)
		modulus[0], modulus[255] = 1, 1 // 2,041 bits
		key := append([]byte{0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0}, modulus...)
		ada.Passkeys[0].PublicKey = append(key, 0x21, 0x43, 1, 0, 1)
		results, _ := imports(k, trusted, the(person(ada)))
		k.Same("a key of 2,041 bits", results, []string{"1 " + ada.ID + " refused general_argument_invalid"})
	})
}

// A program without passkeys, such as the command, cannot look into a key. So a short one that it has taken signs in at no service.
func TestAttackAShortRSAKeyIsNoSignIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		d := device()
		ada := exportedAda(k, d)
		private, err := rsa.GenerateKey(rand.Reader, 1024)
		k.Must(err)
		key := append([]byte{0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x58, 0x80}, private.N.Bytes()...)
		ada.Passkeys[0].PublicKey = append(key, 0x21, 0x43, 1, 0, 1)
		without := k.Configured(func(c *latchkey.Config) { c.Passkeys = nil })
		k.Must(kit.Err(without.Import(k.Ctx, the(person(ada)), trusted)))
		answer := edited(k, k.Offered(k.Visitor, d), func(_, response map[string]any) {
			client, err := base64.RawURLEncoding.DecodeString(response["clientDataJSON"].(string))
			k.Must(err)
			data, err := base64.RawURLEncoding.DecodeString(response["authenticatorData"].(string))
			k.Must(err)
			of := sha256.Sum256(client)
			digest := sha256.Sum256(append(data, of[:]...))
			signature, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
			k.Must(err)
			response["signature"] = base64.RawURLEncoding.EncodeToString(signature)
		})
		if err := kit.Err(k.Visitor.FinishPasskeySession(k.Ctx, answer)); err == nil {
			k.Error("an RSA key of 1,024 bits has signed in")
		}
	})
}
