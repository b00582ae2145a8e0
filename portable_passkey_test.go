package latchkey_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/passkey"
	"example.com/latchkey/transfer"
)

// travelling returns Ada as an export with secrets has her, with a passkey of a device, and empties the store.
func travelling(k *kit.Kit, d *authtest.Device) latchkey.PortableUser {
	k.Helper()
	k.Proven()
	_, account := k.SignIn(kit.Ada)
	k.Enrol(account, d, latchkey.PasskeyEnrolment{})
	var ada latchkey.PortableUser
	k.Must(k.Export(k.Ctx, latchkey.ExportOptions{Secrets: true}, func(p latchkey.Portable) error {
		ada = *p.User
		return nil
	}))
	k.DeleteAll()
	return ada
}

func TestAMoveKeepsPasskeys(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, account := k.SignIn(kit.Ada)
		first, second := device(), device()
		first.Counting, first.Syncable, first.Synced, second.Unverified = true, true, true, true
		k.Enrol(account, first, latchkey.PasskeyEnrolment{})
		k.Enrol(account, second, latchkey.PasskeyEnrolment{SecondFactor: true})
		k.Clock.Advance(time.Minute)
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, first)))
		first.SetCount(1) // of a copy
		k.Must(kit.Err(k.SignInByPasskey(k.Visitor, first)))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, account.UserID(), true)))
		other := moved(k, k.Engine)
		for table, rows := range portableRows(k, k.Raw) {
			k.Same(table, portableRows(other, other.Raw)[table], rows)
		}
		session, err := other.SignInByPasskey(other.Visitor, first)
		k.Must(err)
		if _, err := other.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Errorf("a passkey that was one factor before the move: %v", err)
		}
		_, pending := other.Owing(other.Visitor)
		start, err := pending.StartPasskeyChallenge(k.Ctx)
		k.Must(err)
		answer, err := second.Get(start.Options)
		k.Must(err)
		k.Must(kit.Err(pending.FinishPasskeyChallenge(k.Ctx, answer)))
		if _, err := other.SignInByPasskey(other.Visitor, second); err == nil {
			k.Error("a second factor signs in after the move")
		}
	})
}

// The public half of a passkey is no secret, so it is in an export without secrets too.
func TestAnExportWithoutSecretsHasPasskeys(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Keyed()
		var ada latchkey.PortableUser
		k.Must(k.Export(k.Ctx, latchkey.ExportOptions{}, func(p latchkey.Portable) error {
			ada = *p.User
			return nil
		}))
		k.Same("passkeys", len(ada.Passkeys), 1)
		k.Same("bytes of the handle", len(ada.PasskeyHandle), 64)
		k.Same("password", ada.Password.IsZero(), true)
	})
}

func TestAPasskeyThatCannotBeOneOfThisServiceIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := travelling(k, device())
		for name, change := range map[string]func(*latchkey.PortablePasskey){
			"no credential":     func(p *latchkey.PortablePasskey) { p.CredentialID = nil },
			"a long credential": func(p *latchkey.PortablePasskey) { p.CredentialID = make([]byte, 1024) },
			"no key":            func(p *latchkey.PortablePasskey) { p.PublicKey = nil },
			"a long key":        func(p *latchkey.PortablePasskey) { p.PublicKey = make([]byte, 2049) },
			"a key of no kind":  func(p *latchkey.PortablePasskey) { p.PublicKey = []byte("key") },
			"a key and a byte":  func(p *latchkey.PortablePasskey) { p.PublicKey = append(bytes.Clone(p.PublicKey), 0) },
			"ES384": func(p *latchkey.PortablePasskey) {
				p.PublicKey = bytes.Replace(p.PublicKey, []byte{3, 0x26}, []byte{3, 0x38, 0x22}, 1)
			},
			"a point off the curve": func(p *latchkey.PortablePasskey) {
				p.PublicKey = append(bytes.Clone(p.PublicKey[:len(p.PublicKey)-1]), p.PublicKey[len(p.PublicKey)-1]^1)
			},
			"no domain":            func(p *latchkey.PortablePasskey) { p.RPID = "" },
			"no domain's name":     func(p *latchkey.PortablePasskey) { p.RPID = "https://example.org" },
			"another domain":       func(p *latchkey.PortablePasskey) { p.RPID = "example.com" },
			"a long name":          func(p *latchkey.PortablePasskey) { p.Name = strings.Repeat("x", 65) },
			"an id of no form":     func(p *latchkey.PortablePasskey) { p.ID = "a b" },
			"a model of 15 bytes":  func(p *latchkey.PortablePasskey) { p.AAGUID = make([]byte, 15) },
			"an unknown format":    func(p *latchkey.PortablePasskey) { p.Format = "paper" },
			"an unknown transport": func(p *latchkey.PortablePasskey) { p.Transports = []string{"pigeon"} },
			"a transport twice":    func(p *latchkey.PortablePasskey) { p.Transports = []string{"usb", "usb"} },
			"synced, not syncable": func(p *latchkey.PortablePasskey) { p.Synced, p.Syncable = true, false },
			"a time of no year":    func(p *latchkey.PortablePasskey) { p.UsedAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) },
			"a session of no form": func(p *latchkey.PortablePasskey) { p.SessionID = "a b" },
		} {
			bad := ada
			bad.Passkeys = []latchkey.PortablePasskey{ada.Passkeys[0]}
			change(&bad.Passkeys[0])
			results, _ := imports(k, trusted, the(person(bad)))
			k.Same(name, results, []string{"1 " + ada.ID + " refused general_argument_invalid"})
		}
		for name, change := range map[string]func(*latchkey.PortableUser){
			"no handle":       func(u *latchkey.PortableUser) { u.PasskeyHandle = nil },
			"a long handle":   func(u *latchkey.PortableUser) { u.PasskeyHandle = make([]byte, 65) },
			"eleven passkeys": func(u *latchkey.PortableUser) { u.Passkeys = make([]latchkey.PortablePasskey, 11) },
		} {
			bad := ada
			change(&bad)
			results, _ := imports(k, trusted, the(person(bad)))
			k.Same(name, results, []string{"1 " + ada.ID + " refused general_argument_invalid"})
		}
		k.Same("passkeys", k.Rows()["passkeys"]+k.Rows()["handles"]+k.Rows()["users"], 0)
		bare := ada
		bare.Passkeys = []latchkey.PortablePasskey{{CredentialID: ada.Passkeys[0].CredentialID, PublicKey: ada.Passkeys[0].PublicKey, RPID: ada.Passkeys[0].RPID}}
		results, _ := imports(k, trusted, the(person(bare)))
		k.Same("with what it needs", results, []string{"1 " + ada.ID + " created"})
	})
}

// A passkey belongs to one user, among those that come and those that are there.
func TestAPasskeyOfAnotherUserIsNotTaken(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := travelling(k, device())
		bob := func(change func(u *latchkey.PortableUser)) latchkey.Portable {
			u := ada
			u.ID, u.Email, u.Phone, u.PhoneVerified, u.Targets, u.PasskeyHandle = "bob", kit.Bob, "", false, nil, []byte("bob")
			u.Passkeys = []latchkey.PortablePasskey{ada.Passkeys[0]}
			change(&u)
			return person(u)
		}
		sameID := bob(func(u *latchkey.PortableUser) { u.Passkeys[0].CredentialID = []byte("other") })
		sameCredential := bob(func(u *latchkey.PortableUser) { u.Passkeys[0].ID = "other" })
		sameHandle := bob(func(u *latchkey.PortableUser) { u.Passkeys, u.PasskeyHandle = nil, ada.PasskeyHandle })
		twice := bob(func(u *latchkey.PortableUser) {
			u.Passkeys = []latchkey.PortablePasskey{{CredentialID: []byte("one"), PublicKey: ada.Passkeys[0].PublicKey, RPID: "example.org"}}
			u.Passkeys = append(u.Passkeys, u.Passkeys[0])
		})
		want := []string{
			"1 " + ada.ID + " created", "2 bob refused user_passkey_already_exists", "3 bob refused user_passkey_already_exists",
			"4 bob refused general_argument_invalid", "5 bob refused user_passkey_already_exists",
		}
		results, _ := imports(k, trusted, the(person(ada), sameID, sameCredential, sameHandle, twice))
		k.Same("in one batch", results, want)
		want[0] = "1 " + ada.ID + " existed"
		results, _ = imports(k, trusted, the(person(ada), sameID, sameCredential, sameHandle, twice))
		k.Same("in another one", results, want)
		k.Same("passkeys", k.Rows()["passkeys"], 1)
	})
}

// A program without passkeys, such as the command, takes those of any domain. The service refuses to start with those of another one.
func TestAHostWithoutPasskeysTakesThoseOfAnyDomain(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := travelling(k, device())
		ada.Passkeys[0].RPID = "example.com"
		without := k.Configured(func(c *latchkey.Config) { c.Passkeys = nil })
		k.Must(kit.Err(without.Import(k.Ctx, the(person(ada)), trusted)))
		k.Same("passkeys", k.Rows()["passkeys"], 1)
		if _, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, Hasher: k.Hasher, Passkeys: kit.Passkeys, LimiterPerProcess: true}); err == nil {
			k.Error("the service starts with passkeys of another domain")
		}
	})
}

// A passkey of another domain is no way in, neither for its own deletion nor for that of an identity, and is not asked for.
func TestAPasskeyOfAnotherDomainIsNoWayIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := travelling(k, device())
		ada.Email, ada.EmailVerified, ada.Phone, ada.PhoneVerified, ada.Targets = "", false, "", false, nil
		ada.Identities = []latchkey.PortableIdentity{at("acme", "1")}
		old := ada.Passkeys[0]
		old.ID, old.RPID, old.CredentialID = "old", "example.com", []byte("old")
		ada.Passkeys = append(ada.Passkeys, old)
		engine := k.Configured(func(c *latchkey.Config) { c.PasskeysOfOtherDomains = true })
		k.Must(kit.Err(engine.Import(k.Ctx, the(person(ada)), trusted)))
		k.Must(engine.Users().DeletePasskey(k.Ctx, ada.ID, ada.Passkeys[0].ID))
		list, err := engine.Users().Identities(k.Ctx)
		k.Must(err)
		k.Refuses("the last way in", latchkey.ErrLastWayIn, func() error { return engine.Users().DeleteIdentity(k.Ctx, list.Identities[0].ID) })
		session, err := engine.Users().CreateSession(k.Ctx, ada.ID)
		k.Must(err)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Refuses("a challenge", latchkey.ErrPasskeyNotFound, func() error { return kit.Err(account.StartPasskeyChallenge(k.Ctx)) })
		other, err := passkey.New(passkey.Config{RPID: "example.com", Name: "Example", Origins: []string{"https://example.com"}})
		k.Must(err)
		there := k.Configured(func(c *latchkey.Config) { c.Passkeys = other })
		k.Must(there.Users().DeleteIdentity(k.Ctx, list.Identities[0].ID))
	})
}

// Passkeys of an address that the import does not trust go when the owner of the address comes, as the password does.
func TestPasskeysOfAnUnprovenAddressGoWithTheFirstProof(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := travelling(k, device())
		k.Must(kit.Err(k.Import(k.Ctx, the(person(ada)), latchkey.ImportOptions{})))
		token, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, k.MailOf(token, kit.Ada).Secret)))
		k.Same("passkeys", k.Rows()["passkeys"], 0)
	})
}

// The lines of a file hold passkeys as the records of a program do.
func TestAFileHasPasskeys(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := travelling(k, device())
		var file bytes.Buffer
		w := transfer.NewWriter(&file, false, k.Clock.Now())
		k.Must(w.Write(person(ada)))
		k.Must(w.Close())
		text := strings.Replace(file.String(), `"rpId":`, `"count":4294967296,"rpId":`, 1)
		results, _ := imports(k, trusted, transfer.Read(strings.NewReader(text), transfer.Latchkey, transfer.Options{}))
		if len(results) != 1 || !strings.HasPrefix(results[0], "2  refused") {
			k.Errorf("a count of 33 bits: %v", results)
		}
		results, _ = imports(k, trusted, transfer.Read(&file, transfer.Latchkey, transfer.Options{}))
		k.Same("the file", results, []string{"2 " + ada.ID + " created"})
	})
}

// A passkey of another domain is no way in and proves nothing, also if its holder can sign for the present domain: a program may keep
// one key for both.
func TestAPasskeyOfAnotherDomainIsNoSignIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		d := device()
		ada := travelling(k, d)
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
func TestAPasskeyOfAnotherDomainIsNoStepUp(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		d := device()
		ada := travelling(k, d)
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

// Systems number their rows in each table. An identity and a passkey of a user that both come with the id 1 stay two things: a session
// of the identity that switches MFA on does not vouch for the passkey.
func TestAnIdentityDoesNotVouchForAPasskeyOfItsID(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		d := device()
		ada := travelling(k, d)
		identity := at("acme", "1")
		identity.ID, identity.Issuer, ada.Passkeys[0].ID = "1", k.Acme.About.Issuer, "1"
		ada.Identities = []latchkey.PortableIdentity{identity}
		results, _ := imports(k, trusted, the(person(ada)))
		k.Same("both with one id", results, []string{"1 " + ada.ID + " refused user_passkey_already_exists"})
		ada.Passkeys[0].ID = "2"
		k.Must(kit.Err(k.Import(k.Ctx, the(person(ada)), trusted)))
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
func TestAnRSAKeyIsMeasuredInBits(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := travelling(k, device())
		modulus := make([]byte, 256)
		modulus[0], modulus[255] = 1, 1 // 2,041 bits
		key := append([]byte{0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0}, modulus...)
		ada.Passkeys[0].PublicKey = append(key, 0x21, 0x43, 1, 0, 1)
		results, _ := imports(k, trusted, the(person(ada)))
		k.Same("a key of 2,041 bits", results, []string{"1 " + ada.ID + " refused general_argument_invalid"})
	})
}

// A program without passkeys, such as the command, cannot look into a key. So a short one that it has taken signs in at no service.
func TestAShortRSAKeyIsNoSignIn(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		d := device()
		ada := travelling(k, d)
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
