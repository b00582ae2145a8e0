package authtest

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/descope/virtualwebauthn"
	"github.com/fxamacker/cbor/v2"
)

// Flaw is one thing that is wrong with an answer of a device which is right otherwise. Its signature is that of the device over
// the changed answer, unless the flaw is in the signature. The zero Flaw is none: the answer is right. A test asks a new question
// for each flaw:
//
//	for _, flaw := range authtest.ProofFlaws() {
//		start, err := guest.StartPasskeySession(ctx, latchkey.PasskeyOffer{})
//		...
//		answer, err := device.GetWith(flaw, start.Options)
//		...
//		_, err = guest.FinishPasskeySession(ctx, answer) // refused
//	}
type Flaw struct {
	Name string // such as "another origin"
	// Unreadable says that the answer cannot be read. The engine refuses it with [latchkey.ErrArgumentInvalid], and the question
	// stays open. It refuses all others with [latchkey.ErrPasskeyRefused], and the question of the answer is used up.
	Unreadable bool

	change func(*parts)
}

// parts are those of an answer, before it is signed and written.
type parts struct {
	client     string // the client data, in JSON
	data       []byte // of the authenticator
	handle     []byte
	extensions map[string]any
	// These change a later part. Nil changes nothing.
	sign   func(signature []byte) []byte
	object func(object []byte) []byte // of an enrolment
	text   func(text string) string
}

// The places in the data of an authenticator.
const (
	atFlags = 32
	atID    = 32 + 1 + 4 + 16 + 2 // of a new passkey
)

// The flags in the data of an authenticator.
const (
	flagPresent    = 0x01
	flagSynced     = 0x10
	flagAttested   = 0x40
	flagExtensions = 0x80
)

// CreateWith is [Device.Create] with a flaw. The device does not keep the passkey.
func (a *Device) CreateWith(f Flaw, options []byte) (answer []byte, err error) {
	right, err := a.Create(options)
	if err != nil {
		return nil, err
	}
	key := a.keys[len(a.keys)-1]
	a.keys = a.keys[:len(a.keys)-1]
	return f.written(right, key)
}

// GetWith is [Device.Get] with a flaw.
func (a *Device) GetWith(f Flaw, options []byte) (answer []byte, err error) {
	right, err := a.Get(options)
	if err != nil {
		return nil, err
	}
	var by struct{ ID string }
	if err := json.Unmarshal(right, &by); err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	for _, k := range a.keys {
		if base64.RawURLEncoding.EncodeToString(k.credential.ID) == by.ID {
			return f.written(right, k)
		}
	}
	return nil, errors.New("authtest: the answer is of no passkey of the device")
}

// written returns an answer with the flaw, made from a right one.
func (f Flaw) written(right []byte, key *deviceKey) ([]byte, error) {
	var read struct {
		Response struct{ ClientDataJSON, AttestationObject, AuthenticatorData, UserHandle string }
	}
	err := json.Unmarshal(right, &read)
	decode := func(text string) []byte {
		data, wrong := base64.RawURLEncoding.DecodeString(text)
		err = errors.Join(err, wrong)
		return data
	}
	encode := base64.RawURLEncoding.EncodeToString
	p := parts{
		client: string(decode(read.Response.ClientDataJSON)), data: decode(read.Response.AuthenticatorData),
		handle: decode(read.Response.UserHandle), extensions: map[string]any{},
	}
	enrolment := read.Response.AttestationObject != ""
	if enrolment {
		var object struct {
			Data []byte `cbor:"authData"`
		}
		err = errors.Join(err, cbor.Unmarshal(decode(read.Response.AttestationObject), &object))
		p.data = object.Data
	}
	if err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	if f.change != nil {
		f.change(&p)
	}
	client := sha256.Sum256([]byte(p.client))
	digest := sha256.Sum256(slices.Concat(p.data, client[:]))
	signature, err := key.credential.Key.Sign(digest[:])
	if err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	response := map[string]string{"clientDataJSON": encode([]byte(p.client))}
	switch {
	case enrolment:
		made := map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": p.data}
		if p.sign != nil {
			made["fmt"], made["attStmt"] = "packed", map[string]any{"alg": -7, "sig": p.sign(signature)}
		}
		object := coded(made)
		if p.object != nil {
			object = p.object(object)
		}
		response["attestationObject"] = encode(object)
	default:
		if p.sign != nil {
			signature = p.sign(signature)
		}
		response["authenticatorData"], response["signature"], response["userHandle"] = encode(p.data), encode(signature), encode(p.handle)
	}
	id := encode(key.credential.ID)
	text, err := json.Marshal(map[string]any{"id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": p.extensions})
	if err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	if p.text != nil {
		text = []byte(p.text(string(text)))
	}
	return text, nil
}

// coded returns a value of this file in CBOR. It panics for one that has no form there.
func coded(v any) []byte {
	text, err := cbor.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// random returns n random bytes.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// inClient changes the client data, inData the data of the authenticator, inSignature the signature, and inText the JSON.
func inClient(change func(string) string) func(*parts) {
	return func(p *parts) { p.client = change(p.client) }
}

func inData(change func([]byte) []byte) func(*parts) {
	return func(p *parts) { p.data = change(p.data) }
}

func inSignature(change func([]byte) []byte) func(*parts) {
	return func(p *parts) { p.sign = change }
}

func inText(change func(string) string) func(*parts) {
	return func(p *parts) { p.text = change }
}

// after returns a change that puts a text after the first place of another one.
func after(place, more string) func(string) string {
	return func(s string) string { return strings.Replace(s, place, place+more, 1) }
}

// flag returns a change of one flag.
func flag(bit byte, set bool) func([]byte) []byte {
	return func(data []byte) []byte {
		data[atFlags] &^= bit
		if set {
			data[atFlags] |= bit
		}
		return data
	}
}

// member returns a change of the text of a member of the client data.
func member(name string, change func(string) string) func(string) string {
	return func(s string) string {
		before, rest, _ := strings.Cut(s, `"`+name+`":"`)
		value, rest, _ := strings.Cut(rest, `"`)
		return before + `"` + name + `":"` + change(value) + `"` + rest
	}
}

// value returns a change into one text.
func value(text string) func(string) string { return func(string) string { return text } }

// end returns a change that adds a member to an object at its end.
func end(more string) func(string) string {
	return func(s string) string { return strings.TrimSuffix(s, "}") + "," + more + "}" }
}

// flaws returns the flaws that both kinds of answers may have. ceremony is the type of the client data of the other kind.
func flaws(ceremony string) []Flaw {
	return []Flaw{
		{"another challenge", false, inClient(member("challenge", value(base64.RawURLEncoding.EncodeToString(make([]byte, 32)))))},
		{"another origin", false, inClient(member("origin", value("https://evil.example")))},
		{"an origin below", false, inClient(member("origin", func(s string) string { return strings.Replace(s, "://", "://below.", 1) }))},
		{"an origin that begins alike", false, inClient(member("origin", func(s string) string { return s + ".evil.example" }))},
		{"another port", false, inClient(member("origin", func(s string) string { return s + ":8443" }))},
		{"another scheme", false, inClient(member("origin", func(s string) string { return strings.Replace(s, "https:", "http:", 1) }))},
		{"an origin with a path", false, inClient(member("origin", func(s string) string { return s + "/" }))},
		{"an origin in upper case", false, inClient(member("origin", strings.ToUpper))},
		{"the null origin", false, inClient(member("origin", value("null")))},
		{"a frame of another page", false, inClient(end(`"crossOrigin":true`))},
		{"a page above", false, inClient(end(`"topOrigin":"https://evil.example"`))},
		{"another ceremony", false, inClient(member("type", value(ceremony)))},
		{"another domain", false, inData(func(b []byte) []byte {
			other := sha256.Sum256([]byte("evil.example"))
			return slices.Concat(other[:], b[len(other):])
		})},
		{"no user there", false, inData(flag(flagPresent, false))},
		{"synced and not syncable", false, inData(flag(flagSynced, true))},
		{"a flag of extensions without them", false, inData(flag(flagExtensions, true))},
		{"a byte after the data", false, inData(func(b []byte) []byte { return append(b, 0) })},
		{"data that is cut", false, inData(func(b []byte) []byte { return b[:atFlags+4] })},
		{"no data", false, inData(func([]byte) []byte { return nil })},
		{"a signature that is cut", false, inSignature(func(b []byte) []byte { return b[:len(b)-1] })},
		{"a byte after the signature", false, inSignature(func(b []byte) []byte { return append(b, 0) })},
		{"a changed signature", false, inSignature(func(b []byte) []byte { b[len(b)-1] ^= 1; return b })},
		{"no signature", false, inSignature(func([]byte) []byte { return []byte{} })},
		{"an extension that was not asked for", false, func(p *parts) { p.extensions["appid"] = true }},

		{"no text", true, inText(value(""))},
		{"null", true, inText(value("null"))},
		{"a list", true, inText(value("[]"))},
		{"a second text", true, inText(func(s string) string { return s + "{}" })},
		{"a member twice", true, inText(after("{", `"type":"public-key",`))},
		{"a member in another case", true, inText(after("{", `"Type":"public-key",`))},
		{"a member of the response twice", true, inText(after(`"response":{`, `"clientDataJSON":"",`))},
		{"a member of the response in another case", true, inText(after(`"response":{`, `"ClientDataJSON":"",`))},
		{"a member of the client data twice", true, inClient(end(`"origin":"https://evil.example"`))},
		{"a member of the client data in another case", true, inClient(end(`"Origin":"https://evil.example"`))},
		{"client data that is a list", true, inClient(value("[]"))},
		{"no client data", true, inClient(value(""))},
		{"no challenge", true, inClient(member("challenge", value("")))},
		{"a challenge with padding", true, inClient(member("challenge", func(s string) string { return s + "=" }))},
		{"ids that differ", true, inText(after(`"rawId":"`, "AAAA"))},
		{"an id with padding", true, inText(func(s string) string {
			id := strings.Split(s, `"`)[slices.Index(strings.Split(s, `"`), "id")+2]
			return strings.ReplaceAll(s, `"`+id+`"`, `"`+id+`="`)
		})},
		{"another type", true, inText(func(s string) string { return strings.Replace(s, `"public-key"`, `"password"`, 1) })},
		{"extensions that are a list", true, inText(func(s string) string {
			return strings.Replace(s, `"clientExtensionResults":{}`, `"clientExtensionResults":[]`, 1)
		})},
		{"a MiB", true, inText(end(`"more":"` + strings.Repeat("a", 1<<20) + `"`))},
	}
}

// EnrolmentFlaws returns the flaws of answers to [latchkey.Account.StartPasskeyEnrolment], for [Device.CreateWith].
func EnrolmentFlaws() []Flaw {
	return append(flaws("webauthn.get"),
		Flaw{"a byte after the object", false, func(p *parts) { p.object = func(b []byte) []byte { return append(b, 0) } }},
		Flaw{"an object with a member twice", false, func(p *parts) {
			p.object = func(b []byte) []byte {
				more := slices.Concat(coded("fmt"), coded("none"))
				return slices.Concat([]byte{b[0] + 1}, more, b[1:]) // the first byte counts the members
			}
		}},
		Flaw{"an object that is cut", false, func(p *parts) { p.object = func(b []byte) []byte { return b[:len(b)-1] } }},
		Flaw{"no object", false, func(p *parts) { p.object = func([]byte) []byte { return nil } }},
		Flaw{"another id in the data", false, inData(func(b []byte) []byte { b[atID] ^= 1; return b })},
		Flaw{"no passkey in the data", false, inData(func(b []byte) []byte { return flag(flagAttested, false)(b)[:atFlags+5] })},
		Flaw{"a key with a member twice", false, inKey(func(key []byte) []byte {
			return slices.Concat([]byte{key[0] + 1}, coded(1), coded(2), key[1:])
		})},
		Flaw{"a key off its curve", false, inKey(func([]byte) []byte { return pointKey(-7, 1, make([]byte, 32), make([]byte, 32)) })},
		Flaw{"an algorithm that was not asked for", false, inKey(func([]byte) []byte {
			p := elliptic.P384().Params()
			return pointKey(-35, 2, p.Gx.Bytes(), p.Gy.Bytes())
		})},
		Flaw{"an RSA key of 1,024 bits", false, inKey(func([]byte) []byte { return rsaKey(1024) })},
		Flaw{"an RSA key of 2,040 bits", false, inKey(func([]byte) []byte { return rsaKey(2040) })},
		Flaw{"an RSA key of 2,040 bits after a zero", false, inKey(func([]byte) []byte { return rsaKey(2040, 0) })},
		Flaw{"an RSA key after 2,048 zeros", false, inKey(func([]byte) []byte { return rsaKey(4096, make([]byte, 2048)...) })},
		Flaw{"an RSA key of 4,104 bits", false, inKey(func([]byte) []byte { return rsaKey(4104) })},
		Flaw{"an RSA key of 32,768 bits", false, inKey(func([]byte) []byte { return rsaKey(32_768) })},
		Flaw{"nine transports", true, inText(after(`"response":{`, `"transports":["a","b","c","d","e","f","g","h","i"],`))},
	)
}

// inKey changes the public key of a new passkey, which is in the form of COSE.
func inKey(change func([]byte) []byte) func(*parts) {
	return inData(func(b []byte) []byte {
		at := atID + int(b[atID-2])<<8 + int(b[atID-1])
		return slices.Concat(b[:at], change(b[at:]))
	})
}

// pointKey returns a key that is a point of a curve.
func pointKey(algorithm, curve int, x, y []byte) []byte {
	return coded(map[int]any{1: 2, 3: algorithm, -1: curve, -2: x, -3: y})
}

// rsaKey returns an RSA key of a number of bits, after some bytes.
func rsaKey(bits int, before ...byte) []byte {
	modulus := random(bits / 8)
	modulus[0] |= 0x80
	modulus[len(modulus)-1] |= 1
	return coded(map[int]any{1: 3, 3: -257, -1: slices.Concat(before, modulus), -2: []byte{1, 0, 1}})
}

// ProofFlaws returns the flaws of answers to [latchkey.Guest.StartPasskeySession] and
// [latchkey.Account.StartPasskeyChallenge], for [Device.GetWith].
func ProofFlaws() []Flaw {
	return append(flaws("webauthn.create"),
		Flaw{"a signature by another key", false, inSignature(func([]byte) []byte {
			signature, _ := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2).Key.Sign(random(32))
			return signature
		})},
		Flaw{"another user", false, func(p *parts) { p.handle = random(64) }},
		Flaw{"a flag of a new passkey without it", false, inData(flag(flagAttested, true))},
		Flaw{"a user of 65 bytes", true, func(p *parts) { p.handle = random(65) }},
	)
}
