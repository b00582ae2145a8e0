package passkey_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/ceremony"
)

// No statement of an attestation, whatever the kinds of its members, makes the library panic.
func TestNoAttestationPanics(t *testing.T) {
	p := service(t)
	asked, err := p.Enrol(ceremony.Enrolment{Owner: ceremony.Owner{Handle: handle, Name: "ada", DisplayName: "Ada"}})
	if err != nil {
		t.Fatal(err)
	}
	good, err := authtest.NewDevice(page).Create(asked.Options)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Response struct {
			Object string `json:"attestationObject"`
		} `json:"response"`
	}
	if err := json.Unmarshal(good, &all); err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(all.Response.Object)
	var object map[string]any
	if err := cbor.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	values := []any{nil, 1, -1, -7, -65535, "", "x", "2.0", []byte{}, []byte{1}, make([]byte, 70), []any{}, []any{nil}, []any{1}, []any{[]byte{}}, []any{[]byte{1, 2}}, []any{[]byte{0x30, 0}, []byte{0x30, 0}}, map[string]any{}, map[string]any{"fmt": "packed", "attStmt": 1}, []any{map[string]any{"fmt": "packed", "attStmt": nil}, map[string]any{"fmt": 1}}, []any{map[string]any{"fmt": "tpm", "attStmt": map[string]any{"ver": 1}}, map[string]any{"fmt": "packed", "attStmt": map[string]any{"x5c": 1, "alg": "", "sig": 1}}}, true, 1.5}
	keys := []string{"ver", "alg", "sig", "x5c", "certInfo", "pubArea", "response", "ecdaaKeyId"}
	n := 0
	try := func(name string, o map[string]any) {
		defer func() {
			if r := recover(); r != nil {
				t.Errorf("%s: panic %v", name, r)
			}
		}()
		text, err := cbor.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		n++
		_, err = enrol(p, asked.Kept, changed(t, good, "response.attestationObject", base64.RawURLEncoding.EncodeToString(text)))
		if err != nil && !errors.Is(err, ceremony.ErrMalformed) && !errors.Is(err, ceremony.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && o["fmt"] != "none" && o["fmt"] != object["fmt"] {
			t.Logf("%s: taken", name)
		}
	}
	for _, f := range []any{"none", "packed", "tpm", "android-key", "android-safetynet", "fido-u2f", "apple", "compound", "", "x", 1, nil} {
		for _, v := range values {
			o := map[string]any{"fmt": f, "authData": object["authData"], "attStmt": v}
			try(fmt.Sprintf("%v %v", f, v), o)
			o = map[string]any{"fmt": f, "authData": v, "attStmt": map[string]any{}}
			try(fmt.Sprintf("%v authData %v", f, v), o)
			base := map[string]any{"ver": "2.0", "alg": -7, "sig": []byte{1}, "x5c": []any{[]byte{1}}, "certInfo": []byte{1}, "pubArea": []byte{1}, "response": []byte("a.b.c")}
			for _, k := range keys {
				stmt := map[string]any{}
				for a, b := range base {
					stmt[a] = b
				}
				stmt[k] = v
				try(fmt.Sprintf("%v %s=%v", f, k, v), map[string]any{"fmt": f, "authData": object["authData"], "attStmt": stmt})
				delete(stmt, "x5c")
				try(fmt.Sprintf("%v %s=%v without x5c", f, k, v), map[string]any{"fmt": f, "authData": object["authData"], "attStmt": stmt})
			}
		}
	}
	data := object["authData"].([]byte)
	for cut := range data {
		try("cut", map[string]any{"fmt": "none", "authData": data[:cut], "attStmt": map[string]any{}})
		for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff, data[cut] ^ 1, data[cut] ^ 0x80} {
			other := append([]byte(nil), data...)
			other[cut] = b
			try("byte", map[string]any{"fmt": "none", "authData": other, "attStmt": map[string]any{}})
		}
	}
	try("more", map[string]any{"fmt": "none", "authData": append(append([]byte(nil), data...), 0), "attStmt": map[string]any{}})
	t.Log(n)
}
