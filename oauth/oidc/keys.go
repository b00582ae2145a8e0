package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/web"
)

const (
	maxKeys    = 100
	leastRSA   = 2048 // bits
	mostRSA    = 4096 // bits: greater ones are slow
	maxIDToken = 16 << 10
)

// The failures of signatures.
const (
	errKeys    oauth.Failure = "the set of keys has more than 100, or none that can verify"
	errKey     oauth.Failure = "no key of the service fits the token"
	errHeader  oauth.Failure = "the header of the token is refused"
	errSigned  oauth.Failure = "the signature of the token is wrong"
	errCompact oauth.Failure = "the token is not a JWS in compact form"
)

// key is a public key of a service.
type key struct {
	id, algorithm string // "" for one that names none
	issuer        string // of the tokens that it signs, where the service has many tenants; "" for all
	public        any
}

// keySet verifies signatures by the keys of a service. It implements the interface KeySet of
// go-oidc.
type keySet struct {
	provider *Provider
	aged     aged[[]key]
}

// readKeys reads the keys of the service. It leaves out those that do not verify signatures, and
// those that cannot be read.
func (p *Provider) readKeys(ctx context.Context) (*[]key, error) {
	d, err := p.about.get(ctx, false)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := web.Get(ctx, p.client, d.Keys, web.DocumentSize, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, errKeys
	}
	var keys []key
	for _, text := range set.Keys {
		if k, ok := readKey(text); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errKeys
	}
	return &keys, nil
}

// readKey reads one key of a set.
func readKey(text []byte) (key, bool) {
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(text); err != nil || k.Use != "" && k.Use != "sig" || !k.IsPublic() || !k.Valid() {
		return key{}, false
	}
	if public, is := k.Key.(*rsa.PublicKey); is && (public.N.BitLen() < leastRSA || public.N.BitLen() > mostRSA) {
		return key{}, false
	}
	var of struct {
		Issuer string `json:"issuer"`
	}
	if web.Decode(text, &of) != nil {
		return key{}, false
	}
	return key{k.KeyID, k.Algorithm, of.Issuer, k.Key}, true
}

// fits reports whether a key can have signed with an algorithm.
func (k key) fits(algorithm string) bool {
	if k.algorithm != "" && k.algorithm != algorithm {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[algorithm]
		return curve != nil && public.Curve == curve
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// header is the protected header of a token. Members that would bring a key of their own, or
// change how the token is read, are refused.
type header struct {
	Algorithm string          `json:"alg"`
	KeyID     string          `json:"kid"`
	Type      string          `json:"typ"`
	Critical  json.RawMessage `json:"crit"`
	Plain     json.RawMessage `json:"b64"`
	JKU       json.RawMessage `json:"jku"`
	JWK       json.RawMessage `json:"jwk"`
	X5U       json.RawMessage `json:"x5u"`
	X5C       json.RawMessage `json:"x5c"`
}

// readHeader reads the header of a token in compact form.
func readHeader(token string, algorithms []string) (*header, error) {
	parts := strings.Split(token, ".")
	if len(token) > maxIDToken || len(parts) != 3 {
		return nil, errCompact
	}
	var text []byte
	for i, part := range parts {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return nil, errCompact
		}
		if i == 0 {
			text = decoded
		}
	}
	var h header
	if err := web.Decode(text, &h); err != nil {
		return nil, errHeader
	}
	for _, refused := range []json.RawMessage{h.Critical, h.Plain, h.JKU, h.JWK, h.X5U, h.X5C} {
		if refused != nil {
			return nil, errHeader
		}
	}
	switch strings.ToUpper(h.Type) {
	case "", "JWT", "JWS", "APPLICATION/JWT": // and no access or logout token of the same issuer
	default:
		return nil, errHeader
	}
	if !slices.Contains(algorithms, h.Algorithm) {
		return nil, errHeader
	}
	return &h, nil
}

// VerifySignature returns the payload of a token whose signature is right.
func (s *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	d, err := s.provider.about.get(ctx, false)
	if err != nil {
		return nil, err
	}
	h, err := readHeader(token, s.provider.algorithms(d))
	if err != nil {
		return nil, err
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(h.Algorithm)})
	if err != nil {
		return nil, errCompact
	}
	for _, again := range []bool{false, true} { // the service may have new keys
		keys, err := s.aged.get(ctx, again)
		if err != nil {
			return nil, err
		}
		fitting := fittingKeys(*keys, h)
		for _, k := range fitting {
			if payload, err := signed.Verify(k.public); err == nil {
				if s.provider.signsFor(k, payload) {
					return payload, nil
				}
			}
		}
		if len(fitting) > 0 && h.KeyID != "" {
			return nil, errSigned
		}
	}
	if err := s.aged.failure(); err != nil { // the service may have a new key, which could not be read
		return nil, err
	}
	return nil, errKey
}

// signsFor reports whether a key of a service with many tenants is one for the tenant of a token.
func (p *Provider) signsFor(k key, payload []byte) bool {
	if !p.quirk.Tenants || k.issuer == "" {
		return true
	}
	var c claims
	return web.Decode(payload, &c) == nil && (k.issuer == c.Issuer || p.quirk.Named(k.issuer, c.Issuer, web.Fields(payload)))
}

// failing keeps the error of the keys for one token: the library makes a text of it.
type failing struct {
	*keySet
	err error
}

// VerifySignature is that of the keys.
func (f *failing) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	payload, f.err = f.keySet.VerifySignature(ctx, token)
	return payload, f.err
}

// fittingKeys returns the keys that may have signed a token: those of its key id, or without one
// the only key that fits its algorithm.
func fittingKeys(keys []key, h *header) (fitting []key) {
	for _, k := range keys {
		if k.fits(h.Algorithm) && (h.KeyID == "" || k.id == h.KeyID) {
			fitting = append(fitting, k)
		}
	}
	if h.KeyID == "" && len(fitting) != 1 || len(fitting) > 4 {
		return nil
	}
	return fitting
}
