package latchkey_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/passkey"
	"example.com/latchkey/transfer"
)

// travelling returns Ada as an export has her, with a passkey of a device.
func travelling(k *kit.Kit) latchkey.PortableUser {
	k.Helper()
	k.Proven()
	_, account := k.SignIn(kit.Ada)
	k.Enrol(account, device(), latchkey.PasskeyEnrolment{})
	var ada latchkey.PortableUser
	k.Must(k.Export(k.Ctx, latchkey.ExportOptions{}, func(p latchkey.Portable) error {
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
		ada := travelling(k)
		k.Same("passkeys", len(ada.Passkeys), 1)
		k.Same("bytes of the handle", len(ada.PasskeyHandle), 64)
		k.Same("password", ada.Password.IsZero(), true)
	})
}

func TestAPasskeyThatCannotBeOneOfThisServiceIsRefused(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		ada := travelling(k)
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
		ada := travelling(k)
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
		ada := travelling(k)
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
		ada := travelling(k)
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
		ada := travelling(k)
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
		ada := travelling(k)
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
