package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
)

// IssuerKey is a key that signs ID tokens.
type IssuerKey struct {
	ID        string // kid
	Algorithm string // alg
	Private   crypto.Signer
}

// DER returns the public key as a SubjectPublicKeyInfo in DER.
func (k IssuerKey) DER() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.Private.Public())
	if err != nil {
		panic(err) // never: the issuer makes RSA, ECDSA and Ed25519 keys
	}
	return der
}

// PEM returns the public key as a block PUBLIC KEY in PEM, with a newline at its end.
func (k IssuerKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.DER()})
}

// generateKey makes a key for an algorithm of JWS.
func generateKey(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("authtest: no key for the algorithm %q", algorithm)
}

// hashOf returns the hash of an algorithm of JWS. Ed25519 uses SHA-512.
func hashOf(algorithm string) crypto.Hash {
	switch {
	case strings.HasSuffix(algorithm, "384"):
		return crypto.SHA384
	case strings.HasSuffix(algorithm, "512"), algorithm == "EdDSA":
		return crypto.SHA512
	}
	return crypto.SHA256
}

func digest(h crypto.Hash, data []byte) []byte {
	sum := h.New()
	sum.Write(data) // never fails
	return sum.Sum(nil)
}

// SignWith signs header and payload as they are and returns the compact serialization of
// the JWS. A nil header stands for a JSON object with alg and typ. The algorithm decides
// how to sign, whatever the header says:
//   - "none": the signature is empty and the key is not looked at.
//   - HS256, HS384, HS512: the key is a []byte, for instance [IssuerKey.PEM] or
//     [IssuerKey.DER].
//   - RS256, RS384, RS512, PS256, PS384, PS512: the key is an *rsa.PrivateKey.
//   - ES256, ES384, ES512: the key is an *ecdsa.PrivateKey of any curve.
//   - EdDSA: the key is an ed25519.PrivateKey.
//
// It is an error if the key does not fit the algorithm.
func SignWith(algorithm string, key any, header, payload []byte) (string, error) {
	if header == nil {
		header = fmt.Appendf(nil, `{"alg":%q,"typ":"JWT"}`, algorithm)
	}
	encode := base64.RawURLEncoding.EncodeToString
	input := encode(header) + "." + encode(payload)
	signature, err := sign(algorithm, key, []byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + encode(signature), nil
}

func sign(algorithm string, key any, input []byte) ([]byte, error) {
	hash := hashOf(algorithm)
	switch family := strings.TrimRight(algorithm, "0123456789"); family {
	case "none":
		return nil, nil
	case "HS":
		if secret, ok := key.([]byte); ok {
			mac := hmac.New(hash.New, secret)
			mac.Write(input) // never fails
			return mac.Sum(nil), nil
		}
	case "RS":
		if key, ok := key.(*rsa.PrivateKey); ok {
			return key.Sign(rand.Reader, digest(hash, input), hash)
		}
	case "PS":
		if key, ok := key.(*rsa.PrivateKey); ok {
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
			return key.Sign(rand.Reader, digest(hash, input), options)
		}
	case "ES":
		if key, ok := key.(*ecdsa.PrivateKey); ok {
			return signECDSA(key, digest(hash, input))
		}
	case "EdDSA":
		if key, ok := key.(ed25519.PrivateKey); ok {
			return ed25519.Sign(key, input), nil
		}
	}
	return nil, fmt.Errorf("authtest: a key %T does not sign with %q", key, algorithm)
}

// signECDSA returns r and s, each in as many bytes as the order of the curve has
// (RFC 7518 3.4).
func signECDSA(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	size := (key.Params().N.BitLen() + 7) / 8
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return signature, nil
}
