package passkey_test

import (
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/passkey"
)

// vectorText has the test vectors of section 16 of WebAuthn Level 3, of the World Wide Web Consortium. Their origin and licence
// are in testdata/webauthn/ORIGIN.md.
//
//go:embed testdata/webauthn/vectors.json
var vectorText []byte

// octets are bytes that are hexadecimal digits in JSON.
type octets []byte

func (o *octets) UnmarshalText(text []byte) (err error) {
	*o, err = hex.DecodeString(string(text))
	return err
}

func (o octets) text() string { return base64.RawURLEncoding.EncodeToString(o) }

// vector is one section: a passkey that is made, and one proof by it.
type vector struct {
	Section      string
	Registration struct {
		ID         octets `json:"credential_id"`
		Challenge  octets `json:"challenge"`
		ClientData octets `json:"clientDataJSON"`
		Object     octets `json:"attestationObject"`
	}
	Authentication struct {
		Challenge  octets `json:"challenge"`
		ClientData octets `json:"clientDataJSON"`
		Data       octets `json:"authenticatorData"`
		Signature  octets `json:"signature"`
	}
}

// vectors returns the test vectors by their sections.
func vectors(t *testing.T) map[string]vector {
	t.Helper()
	var list []vector
	if err := json.Unmarshal(vectorText, &list); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]vector)
	for _, v := range list {
		all[v.Section] = v
	}
	return all
}

// response returns an answer as browsers give it in JSON.
func response(t testing.TB, id octets, inner map[string]string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"id": id.text(), "rawId": id.text(), "type": "public-key", "response": inner, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// enrolment returns the answer with the new passkey.
func (v vector) enrolment(t *testing.T) []byte {
	r := v.Registration
	return response(t, r.ID, map[string]string{"clientDataJSON": r.ClientData.text(), "attestationObject": r.Object.text()})
}

// assertion returns the answer with the proof. The vectors have no handle: it is not signed.
func (v vector) assertion(t *testing.T) []byte {
	a := v.Authentication
	return response(t, v.Registration.ID, map[string]string{
		"clientDataJSON": a.ClientData.text(), "authenticatorData": a.Data.text(), "signature": a.Signature.text(), "userHandle": octets(handle).text(),
	})
}

// credential returns the passkey as it would be stored, whether or not its enrolment is taken.
func (v vector) credential(t *testing.T) ceremony.Credential {
	t.Helper()
	var object struct {
		Format string `cbor:"fmt"`
		Data   []byte `cbor:"authData"`
	}
	if err := cbor.Unmarshal(v.Registration.Object, &object); err != nil {
		t.Fatal(err)
	}
	const head = 32 + 1 + 4 + 16 + 2 // before the id: digest of the RP id, flags, count, AAGUID, length
	key := object.Data[head+len(v.Registration.ID):]
	return ceremony.Credential{ID: v.Registration.ID, Key: key, Handle: handle, Format: object.Format, Eligible: object.Data[32]&8 != 0}
}

// askedWith returns the kept state of a question, with another challenge.
func askedWith(t *testing.T, asked *ceremony.Asked, err error, challenge octets) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return changed(t, asked.Kept, "challenge", challenge.text())
}

// The verdicts on a vector.
const (
	taken      = "taken"
	refusedOne = "refused"
)

// verdict names the result of a check.
func verdict(t *testing.T, err error) string {
	t.Helper()
	switch {
	case err == nil:
		return taken
	case errors.Is(err, ceremony.ErrRefused):
		return refusedOne
	}
	return err.Error()
}

// TestVectorsOfWebAuthn runs the vectors through the calls that the engine makes. A frame of another origin is refused in all of
// its forms, and so is each algorithm that is not asked for, also where a store has such a key already.
func TestVectorsOfWebAuthn(t *testing.T) {
	p, err := passkey.New(passkey.Config{RPID: "example.org", Name: "Example", Origins: []string{"https://example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	all := vectors(t)
	want := map[string]struct {
		first, second  string // the enrolment of a passkey that signs in, and of a second factor
		signIn, factor string // the proofs by it
		why            string
	}{
		"none-es256":                    {refusedOne, taken, refusedOne, taken, "the user was never verified"},
		"none-es256-crossOrigin":        {refusedOne, refusedOne, refusedOne, refusedOne, "a frame"},
		"none-es256-topOrigin":          {refusedOne, refusedOne, refusedOne, refusedOne, "a frame"},
		"none-es256-long-credential-id": {refusedOne, taken, taken, taken, "the user was verified at the proof alone"},
		"packed-self-es256":             {taken, taken, refusedOne, taken, "the user was verified at the enrolment alone"},
		"packed-es256":                  {taken, taken, taken, taken, ""},
		"packed-es384":                  {refusedOne, refusedOne, refusedOne, refusedOne, "the algorithm is not asked for"},
		"packed-es512":                  {refusedOne, refusedOne, refusedOne, refusedOne, "the algorithm is not asked for"},
		"packed-rs256":                  {taken, taken, refusedOne, taken, "the user was verified at the enrolment alone"},
		"packed-eddsa":                  {refusedOne, taken, refusedOne, taken, "the user was never verified"},
		"packed-ed448":                  {refusedOne, refusedOne, refusedOne, refusedOne, "the algorithm is not asked for"},
		"tpm-es256":                     {refusedOne, refusedOne, taken, taken, "the manufacturer of the TPM is invented"},
		"android-key-es256":             {refusedOne, refusedOne, refusedOne, taken, "the certificate is not one of Google's"},
		"apple-es256":                   {refusedOne, refusedOne, refusedOne, taken, "the certificate is not one of Apple's"},
		"fido-u2f-es256":                {refusedOne, taken, refusedOne, taken, "the user was never verified"},
	}
	if len(all) != len(want) {
		t.Errorf("%d vectors, and %d verdicts", len(all), len(want))
	}
	for section, w := range want {
		t.Run(section, func(t *testing.T) {
			v, there := all[section]
			if !there {
				t.Fatal("no such vector")
			}
			c := v.credential(t)
			said, err := p.ReadEnrolment(v.enrolment(t))
			if err != nil || string(said.Challenge) != string(v.Registration.Challenge) || string(said.Credential) != string(c.ID) {
				t.Errorf("the enrolment is read as %+v, %v", said, err)
			}
			said, err = p.ReadAssertion(v.assertion(t))
			if err != nil || string(said.Challenge) != string(v.Authentication.Challenge) || string(said.Credential) != string(c.ID) {
				t.Errorf("the proof is read as %+v, %v", said, err)
			}
			for second, want := range map[bool]string{false: w.first, true: w.second} {
				asked, err := p.Enrol(ceremony.Enrolment{Owner: ceremony.Owner{Handle: handle, Name: "ada", DisplayName: "Ada"}, Second: second})
				made, err := enrol(p, askedWith(t, asked, err, v.Registration.Challenge), v.enrolment(t))
				if got := verdict(t, err); got != want {
					t.Errorf("enrolment, second factor %v: %s, want %s: %s", second, got, want, w.why)
				}
				if err == nil && (string(made.ID) != string(c.ID) || string(made.Key) != string(c.Key) || made.Eligible != c.Eligible || made.Format != c.Format) {
					t.Errorf("the passkey is %+v, want %+v", made, c)
				}
			}
			for factor, want := range map[bool]string{false: w.signIn, true: w.factor} {
				var a ceremony.Assertion
				if factor {
					a = ceremony.Assertion{Owner: handle, Allowed: []ceremony.Credential{c}}
				}
				asked, err := p.Assert(a)
				kept := askedWith(t, asked, err, v.Authentication.Challenge)
				got, err := assert(p, kept, v.assertion(t), c)
				if verdict := verdict(t, err); verdict != want {
					t.Errorf("proof, of a factor %v: %s, want %s: %s", factor, verdict, want, w.why)
				}
				if err == nil && got.Verified != (v.Authentication.Data[32]&4 != 0) {
					t.Errorf("verified %v", got.Verified)
				}
				last := len(v.Authentication.Signature) - 1
				v.Authentication.Signature[last] ^= 1
				if _, err := assert(p, kept, v.assertion(t), c); !errors.Is(err, ceremony.ErrRefused) {
					t.Errorf("a wrong signature: %v", err)
				}
				v.Authentication.Signature[last] ^= 1
			}
		})
	}
}
