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
)

// Limits of tokens.
const (
	MaxLife = time.Hour
	maxSize = 8 << 10 // bytes
	// skew is how far ahead the clock of the issuer may be.
	skew = time.Minute
)

// kind is the type in the header: a token of another kind, under the same key,
// is none of ours.
const kind = "latchkey+jwt"

// Claims are what a token says.
type Claims struct {
	Issuer    string // its audience too
	UserID    string
	SessionID string // "" for a token of the server's, without a session
	ID        string
	IssuedAt  time.Time
	Expire    time.Time
	// Epoch and Account are of a token without a session: how often everything of
	// the user was ended, and which user of that id it was.
	Epoch   int64
	Account string
}

// wire is how claims are written.
type wire struct {
	jwt.RegisteredClaims
	SessionID string `json:"sid,omitempty"`
	Epoch     int64  `json:"epoch,omitempty"`
	Account   string `json:"acc,omitempty"`
}

// Key signs.
type Key struct {
	private ed25519.PrivateKey
	id      string
	header  string // the first part of every token
}

// NewKey returns the key of a seed of 32 bytes.
func NewKey(seed []byte) *Key {
	private := ed25519.NewKeyFromSeed(seed)
	id := keyID(private.Public().(ed25519.PublicKey))
	return &Key{private, id, headerOf(id)}
}

// keyID names a public key by a digest of it.
func keyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:12])
}

// headerOf is the first part of every token that a key signs: it is the same for
// all of them.
func headerOf(id string) string {
	text, err := json.Marshal(map[string]string{"alg": jwt.SigningMethodEdDSA.Alg(), "kid": id, "typ": kind})
	if err != nil {
		panic(err) // three texts
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// Public returns the key for others.
func (k *Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Sign returns a token. Its end is rounded up to a second.
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
		SessionID: c.SessionID, Epoch: c.Epoch, Account: c.Account,
	})
	token.Header["kid"], token.Header["typ"] = k.id, kind
	return token.SignedString(k.private)
}

// ErrInvalid is the one answer to what is no token: who asks learns nothing of
// why.
var ErrInvalid = errors.New("jws: not a token that is good now")

// Set checks tokens of one issuer.
type Set struct {
	issuer string
	keys   []ed25519.PublicKey
	byHead map[string]ed25519.PublicKey
}

// NewSet returns a set of keys; the first is the one that signs.
func NewSet(issuer string, keys ...ed25519.PublicKey) *Set {
	s := &Set{issuer, keys, make(map[string]ed25519.PublicKey)}
	for _, key := range keys {
		s.byHead[headerOf(keyID(key))] = key
	}
	return s
}

// Verify returns the claims of a token that is good at now. The header of a token
// only finds the key: it has to be, byte by byte, the one that the key's tokens
// have, so neither algorithm nor anything else is taken from it.
func (s *Set) Verify(token string, now time.Time) (Claims, error) {
	if len(token) > maxSize || strings.Count(token, ".") != 2 || strings.ContainsAny(token, "\r\n") { // which the decoder skips
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
		Epoch: w.Epoch, Account: w.Account,
	}, nil
}

// jwk is a key as RFC 8037 writes it.
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

// JSON returns the set as others read it: a JSON Web Key Set.
func (s *Set) JSON() []byte {
	var out jwks
	for _, key := range s.keys {
		out.Keys = append(out.Keys, jwk{"OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(key), keyID(key), "sig", jwt.SigningMethodEdDSA.Alg()})
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic(err) // only texts
	}
	return text
}

// maxKeys is how many keys a set may have that others publish.
const maxKeys = 100

// ParseSet reads what JSON has written. Keys of other kinds are left out.
func ParseSet(issuer string, text []byte) (*Set, error) {
	var in jwks
	if err := json.Unmarshal(text, &in); err != nil || len(in.Keys) > maxKeys {
		return nil, errors.New("not a JSON Web Key Set")
	}
	var keys []ed25519.PublicKey
	for _, k := range in.Keys {
		if k.Type != "OKP" || k.Curve != "Ed25519" || k.Use != "sig" && k.Use != "" {
			continue
		}
		x, err := base64.RawURLEncoding.Strict().DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize || k.ID != keyID(x) {
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
