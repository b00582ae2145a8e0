package passkey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"example.com/latchkey/internal/ceremony"
)

// signer is an authenticator that signs whatever it is given, with the raw check of its signatures.
type signer struct {
	key    []byte // in the form of COSE
	sign   func(data []byte) ([]byte, error)
	verify func(data, signature []byte) bool
}

// signers returns one authenticator for each algorithm that is asked for.
func signers(t testing.TB) map[string]signer {
	t.Helper()
	coded := func(v map[int]any) []byte {
		text, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := curve.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]signer{
		"ES256": {
			coded(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}),
			func(data []byte) ([]byte, error) {
				digest := sha256.Sum256(data)
				return ecdsa.SignASN1(rand.Reader, curve, digest[:])
			},
			func(data, signature []byte) bool {
				digest := sha256.Sum256(data)
				return ecdsa.VerifyASN1(&curve.PublicKey, digest[:], signature)
			},
		},
		"EdDSA": {
			coded(map[int]any{1: 1, 3: -8, -1: 6, -2: []byte(edPublic)}),
			func(data []byte) ([]byte, error) { return ed25519.Sign(edPrivate, data), nil },
			func(data, signature []byte) bool { return ed25519.Verify(edPublic, data, signature) },
		},
		"RS256": {
			coded(map[int]any{1: 3, 3: -257, -1: large.N.Bytes(), -2: []byte{1, 0, 1}}),
			func(data []byte) ([]byte, error) {
				digest := sha256.Sum256(data)
				return rsa.SignPKCS1v15(rand.Reader, large, crypto.SHA256, digest[:])
			},
			func(data, signature []byte) bool {
				digest := sha256.Sum256(data)
				return rsa.VerifyPKCS1v15(&large.PublicKey, crypto.SHA256, digest[:], signature) == nil
			},
		},
	}
}

// proof returns the answer of an authenticator to a question, and the bytes that it has signed.
func proof(t testing.TB, s signer, id octets, challenge octets) (answer, data, signature []byte) {
	t.Helper()
	client := []byte(`{"type":"webauthn.get","challenge":"` + challenge.text() + `","origin":"` + page + `","crossOrigin":false}`)
	party, digest := sha256.Sum256([]byte("example.org")), sha256.Sum256(client)
	head := slices.Concat(party[:], []byte{5, 0, 0, 0, 0}) // present, verified, no count
	data = slices.Concat(head, digest[:])
	signature, err := s.sign(data)
	if err != nil {
		t.Fatal(err)
	}
	return response(t, id, map[string]string{
		"clientDataJSON": octets(client).text(), "authenticatorData": octets(head).text(), "signature": octets(signature).text(), "userHandle": octets(handle).text(),
	}), data, signature
}

// BenchmarkAssertion takes the check of a sign-in beside the check of its signature alone, which no implementation can leave out.
// The metric x/raw is the one over the other, measured in turns.
func BenchmarkAssertion(b *testing.B) {
	for name, s := range signers(b) {
		b.Run(name, func(b *testing.B) {
			p := service(b)
			asked, err := p.Assert(ceremony.Assertion{})
			if err != nil {
				b.Fatal(err)
			}
			id := octets(slices.Repeat([]byte{7}, 32))
			answer, data, signature := proof(b, s, id, asked.Challenge)
			c := ceremony.Credential{ID: id, Key: s.key, Handle: handle}
			var ours, raw time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				_, err := assert(p, asked.Kept, answer, c)
				middle := time.Now()
				right := s.verify(data, signature)
				ours, raw = ours+middle.Sub(start), raw+time.Since(middle)
				if err != nil || !right {
					b.Fatal(err, right)
				}
			}
			b.ReportMetric(float64(ours)/float64(raw), "x/raw")
			b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ours-ns")
			b.ReportMetric(float64(raw.Nanoseconds())/float64(b.N), "raw-ns")
		})
	}
}
