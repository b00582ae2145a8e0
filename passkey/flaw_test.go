package passkey_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/passkey"
)

// A flaw makes an answer unreadable, or worth nothing. A right answer beside it is taken.
func TestEachFlawIsRefused(t *testing.T) {
	p, d := service(t), authtest.NewDevice(page)
	c, _ := enrolled(t, p, d, ceremony.Enrolment{})
	want := func(f authtest.Flaw) error {
		if f.Unreadable {
			return ceremony.ErrMalformed
		}
		return ceremony.ErrRefused
	}
	for _, second := range []bool{false, true} {
		asked, err := p.Enrol(ceremony.Enrolment{Owner: ceremony.Owner{Handle: handle, Name: "ada", DisplayName: "Ada"}, Second: second})
		if err != nil {
			t.Fatal(err)
		}
		for _, flaw := range authtest.EnrolmentFlaws() {
			answer, err := d.CreateWith(flaw, asked.Options)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := enrol(p, asked.Kept, answer); !errors.Is(err, want(flaw)) {
				t.Errorf("enrolment, second factor %v, %s: %v", second, flaw.Name, err)
			}
		}
		answer, err := d.CreateWith(authtest.Flaw{}, asked.Options)
		if err != nil {
			t.Fatal(err)
		}
		if made, err := enrol(p, asked.Kept, answer); err != nil || made.Format != "none" {
			t.Errorf("an enrolment without a flaw: %+v, %v", made, err)
		}
	}
	for _, a := range []ceremony.Assertion{{}, {Owner: handle, Allowed: []ceremony.Credential{c}}} {
		asked, answer := offered(t, p, d, a)
		for _, flaw := range authtest.ProofFlaws() {
			answer, err := d.GetWith(flaw, asked.Options)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := assert(p, asked.Kept, answer, c); !errors.Is(err, want(flaw)) {
				t.Errorf("proof, of a factor %v, %s: %v", a.Owner != nil, flaw.Name, err)
			}
		}
		again, err := d.GetWith(authtest.Flaw{}, asked.Options)
		if err != nil {
			t.Fatal(err)
		}
		for _, right := range [][]byte{answer, again} {
			if _, err := assert(p, asked.Kept, right, c); err != nil {
				t.Errorf("a proof without a flaw: %v", err)
			}
		}
	}
}

// withData returns the answer of an enrolment with other data of the authenticator. Its attestation is none, so that nothing is
// signed.
func withData(t *testing.T, p *passkey.RelyingParty, change func(data []byte) []byte) (kept, answer []byte) {
	t.Helper()
	asked, err := p.Enrol(ceremony.Enrolment{Owner: ceremony.Owner{Handle: handle, Name: "ada", DisplayName: "Ada"}})
	if err != nil {
		t.Fatal(err)
	}
	right, err := authtest.NewDevice(page).CreateWith(authtest.Flaw{}, asked.Options)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Response struct{ AttestationObject string }
	}
	if err := json.Unmarshal(right, &read); err != nil {
		t.Fatal(err)
	}
	text, err := base64.RawURLEncoding.DecodeString(read.Response.AttestationObject)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := cbor.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	object["authData"] = change(object["authData"].([]byte))
	if text, err = cbor.Marshal(object); err != nil {
		t.Fatal(err)
	}
	return asked.Kept, changed(t, right, "response.attestationObject", octets(text).text())
}

// Browsers ask for the protection of a passkey by themselves, and authenticators answer in their data. That is taken and not read.
func TestAnExtensionOfTheAuthenticatorIsTaken(t *testing.T) {
	p := service(t)
	protect, err := cbor.Marshal(map[string]int{"credProtect": 2})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		more []byte
		want error
	}{
		"an extension":                  {protect, nil},
		"an extension with a byte more": {append(slices.Clone(protect), 0), ceremony.ErrRefused},
		"an extension that is cut":      {protect[:len(protect)-1], ceremony.ErrRefused},
	} {
		kept, answer := withData(t, p, func(data []byte) []byte {
			data[32] |= 0x80
			return append(data, c.more...)
		})
		if _, err := enrol(p, kept, answer); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The keys that are asked for are taken: RSA from 2,048 to 4,096 bits.
func TestEachAlgorithmThatIsAskedForIsTaken(t *testing.T) {
	p := service(t)
	keys := map[string][]byte{}
	for _, bits := range []int{2048, 4096} {
		modulus := bytes.Repeat([]byte{0xFF}, bits/8)
		key, err := cbor.Marshal(map[int]any{1: 3, 3: -257, -1: modulus, -2: []byte{1, 0, 1}})
		if err != nil {
			t.Fatal(err)
		}
		keys[fmt.Sprintf("RSA of %d bits", bits)] = key
	}
	for name, s := range signers(t) {
		keys[name] = s.key
		asked, err := p.Assert(ceremony.Assertion{})
		if err != nil {
			t.Fatal(err)
		}
		id := octets("an id")
		answer, _, _ := proof(t, s, id, asked.Challenge)
		if _, err := assert(p, asked.Kept, answer, ceremony.Credential{ID: id, Key: s.key, Handle: handle}); err != nil {
			t.Errorf("a proof by %s: %v", name, err)
		}
	}
	for name, key := range keys {
		kept, answer := withData(t, p, func(data []byte) []byte { return slices.Concat(data[:55+32], key) }) // the id has 32 bytes
		if made, err := enrol(p, kept, answer); err != nil || len(made.Key) != len(key) {                    // in its canonical order
			t.Errorf("an enrolment of %s: %+v, %v", name, made, err)
		}
	}
}
