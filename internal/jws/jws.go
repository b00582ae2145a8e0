// Package jws signs and checks the engine's JWTs.
package jws

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/strictjson"
)

// Limits of tokens.
const (
	MaxLife = time.Hour
	maxSize = 8 << 10 // bytes
	// skew is how far the issuer's clock may be ahead.
	skew = time.Minute
)

// kind is the type in the header. A token of another type is refused, even if it was
// signed with the same key.
const kind = "latchkey+jwt"

// Claims are the content of a token.
type Claims struct {
	Issuer    string // the audience too
	UserID    string
	SessionID string // "" for a token that the server made without a session
	ID        string
	IssuedAt  time.Time
	Expire    time.Time
	// Epoch counts how often the user had a new password, and for a token without a
	// session how often all of the user's sessions and tokens were ended. Account is for a
	// token without a session: it tells the user from an earlier or later user with the
	// same id.
	Epoch   int64
	Account string
	// Store is the epoch of the store, for a token without a session.
	Store string
	// Secret tells the secret that the session had, for a token of a session.
	Secret string
}

// wire is the JSON form of claims.
type wire struct {
	jwt.RegisteredClaims
	SessionID string `json:"sid,omitempty"`
	Epoch     int64  `json:"epoch,omitempty"`
	Account   string `json:"acc,omitempty"`
	Store     string `json:"store,omitempty"`
	Secret    string `json:"sec,omitempty"`
}

// UnmarshalJSON reads claims strictly. The library for JWTs would take the last of two
// equal names, and names in another case.
func (w *wire) UnmarshalJSON(text []byte) error {
	type plain wire // without this method
	return strictjson.Unmarshal(text, (*plain)(w))
}

// Key signs tokens. A dump of a key does not show its private part.
type Key struct {
	private hidden.Text
	public  ed25519.PublicKey
	id      string
	header  string // the first part of every token
}

// NewKey returns the key that a seed of 32 bytes determines.
func NewKey(seed []byte) *Key {
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	id := keyID(public)
	return &Key{hidden.New(string(private)), public, id, headerOf(id)}
}

// keyID returns the id of a public key, which is derived from its digest.
func keyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:12])
}

// headerOf returns the first part of a token. It is the same for all tokens of a key.
func headerOf(id string) string {
	text, err := json.Marshal(map[string]string{"alg": jwt.SigningMethodEdDSA.Alg(), "kid": id, "typ": kind})
	if err != nil {
		panic(err) // never: the map holds only strings
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// Public returns the public key.
func (k *Key) Public() ed25519.PublicKey { return k.public }

// Sign returns a token. The end of its life is rounded up to a full second.
func (k *Key) Sign(c Claims) (string, error) {
	expire := c.Expire.Truncate(time.Second)
	if expire.Before(c.Expire) {
		expire = expire.Add(time.Second)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, wire{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: c.Issuer, Audience: jwt.ClaimStrings{c.Issuer}, Subject: c.UserID, ID: c.ID,
			IssuedAt: jwt.NewNumericDate(c.IssuedAt), ExpiresAt: jwt.NewNumericDate(expire),
		},
		SessionID: c.SessionID, Epoch: c.Epoch, Account: c.Account, Store: c.Store, Secret: c.Secret,
	})
	token.Header["kid"], token.Header["typ"] = k.id, kind
	return token.SignedString(ed25519.PrivateKey(k.private.Reveal()))
}

// ErrInvalid is the only error of [Set.Verify], so that callers cannot tell why a token
// was refused.
var ErrInvalid = errors.New("jws: not a token that is good now")

// Set checks tokens of one issuer.
type Set struct {
	issuer string
	keys   []ed25519.PublicKey
	byHead map[string]ed25519.PublicKey
}

// NewSet returns a set of keys. The first is the key that signs.
func NewSet(issuer string, keys ...ed25519.PublicKey) *Set {
	s := &Set{issuer, keys, make(map[string]ed25519.PublicKey)}
	for _, key := range keys {
		s.byHead[headerOf(keyID(key))] = key
	}
	return s
}

// Verify returns the claims of a token that is valid at the time now. The header of a
// token only selects the key. It must equal the header of that key's tokens byte by
// byte, so neither the algorithm nor anything else is taken from the token.
func (s *Set) Verify(token string, now time.Time) (Claims, error) {
	if len(token) > maxSize || strings.Count(token, ".") != 2 || strings.ContainsAny(token, "\r\n") { // the decoder would skip line breaks
		return Claims{}, ErrInvalid
	}
	header, _, _ := strings.Cut(token, ".")
	key, found := s.byHead[header]
	if !found {
		return Claims{}, ErrInvalid
	}
	var w wire
	_, err := jwt.ParseWithClaims(token, &w, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(s.issuer), jwt.WithAudience(s.issuer),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithStrictDecoding())
	if err != nil || w.IssuedAt == nil || w.Subject == "" || w.IssuedAt.After(now.Add(skew)) || w.ExpiresAt.Sub(w.IssuedAt.Time) > MaxLife+2*time.Second {
		return Claims{}, ErrInvalid
	}
	return Claims{
		Issuer: w.Issuer, UserID: w.Subject, SessionID: w.SessionID, ID: w.ID, IssuedAt: w.IssuedAt.UTC(), Expire: w.ExpiresAt.UTC(),
		Epoch: w.Epoch, Account: w.Account, Store: w.Store, Secret: w.Secret,
	}, nil
}

// jwk is a key in the form of RFC 8037.
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// is reports whether a key is for signatures of the engine.
func (k jwk) is() bool {
	return k.Type == "OKP" && k.Curve == "Ed25519" && (k.Use == "sig" || k.Use == "") &&
		(k.Algorithm == jwt.SigningMethodEdDSA.Alg() || k.Algorithm == "")
}

type jwks struct {
	Keys []json.RawMessage `json:"keys"`
}

// JSON returns the set as a JSON Web Key Set, for other services.
func (s *Set) JSON() []byte {
	var out struct {
		Keys []jwk `json:"keys"`
	}
	for _, key := range s.keys {
		out.Keys = append(out.Keys, jwk{"OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(key), keyID(key), "sig", jwt.SigningMethodEdDSA.Alg()})
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err) // never: the set holds only strings
	}
	return text
}

// maxKeys is the maximum number of keys in a set that ParseSet reads.
const maxKeys = 100

// ParseSet reads a JSON Web Key Set. It skips keys of other types.
func ParseSet(issuer string, text []byte) (*Set, error) {
	var in jwks
	if err := strictjson.Unmarshal(text, &in); err != nil || len(in.Keys) > maxKeys {
		return nil, errors.New("not a JSON Web Key Set")
	}
	var keys []ed25519.PublicKey
	for _, text := range in.Keys {
		var k jwk
		if err := strictjson.Unmarshal(text, &k); err != nil {
			return nil, errors.New("a key of the set is not a JSON Web Key")
		}
		if !k.is() {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || base64.RawURLEncoding.EncodeToString(x) != k.X || len(x) != ed25519.PublicKeySize || k.ID != keyID(x) {
			return nil, fmt.Errorf("the key %q is not what it is called", k.ID)
		}
		if !slices.ContainsFunc(keys, func(have ed25519.PublicKey) bool { return have.Equal(ed25519.PublicKey(x)) }) {
			keys = append(keys, x)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in the set is one of the engine's")
	}
	return NewSet(issuer, keys...), nil
}
