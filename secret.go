package latchkey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/seal"
)

// Secret is a text that proves something: its bearer is taken for its owner. Printing,
// logging and encoding it show a mask, or fail; so they do for values that hold one. The JSON
// of results leaves it out. Reveal returns the text, IsZero tells whether there is none, and
// Equal compares two.
type Secret = hidden.Text

// hide returns a text as it is handed out.
func hide(text string) Secret { return hidden.New(text) }

// masked returns the mask for a text, "" for "".
func masked(text string) string {
	if text == "" {
		return ""
	}
	return hidden.Mask
}

// formatMasked prints a value whose secrets are masked already.
func formatMasked(f fmt.State, verb rune, value any) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), value)
}

// secretSize is the length of a session's secret in random bytes. The text is
// twice as many lower-case hexadecimal digits.
const secretSize = 32

func newSecret() Secret {
	var b [secretSize]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return hide(hex.EncodeToString(b[:]))
}

// Secrets are digested under a label for their purpose, so that a secret of one
// purpose never serves another.
const sessionLabel = "sess/v1"

// secretDigest returns the stored form of a secret: SHA-256 of the label, a zero byte
// and the secret. It reports false for a text that cannot be a secret.
func secretDigest(s, label string) (sum [sha256.Size]byte, ok bool) {
	if len(s) != 2*secretSize {
		return sum, false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return sum, false
		}
	}
	var buf [128]byte
	b := append(append(append(buf[:0], label...), 0), s...)
	return sha256.Sum256(b), true
}

// keyPrefix begins the text of a key, so that a key is recognised in places where
// it should not be.
const keyPrefix = "latchkey1-"

// Key is the root of everything that the engine seals: password hashes, seeds of
// authenticators, recovery codes, tokens of providers, and the keys that sign JWTs. A copy
// of the store is useless without the key. The key alone is enough to sign JWTs that package
// jwt accepts. Keep the key apart from the store, and do not lose it: without it no user can
// sign in again.
//
// Printing, logging and encoding a key show a mask, or fail, wherever the key lies. Keys
// cannot be compared by ==: callers compare what ID returns.
type Key struct{ root hidden.Text }

// keyOf returns the key of a root.
func keyOf(root []byte) Key { return Key{hidden.New(string(root))} }

// GenerateKey returns a new random key.
func GenerateKey() Key {
	var root [seal.KeySize]byte
	_, _ = rand.Read(root[:]) // never fails: it ends the program instead
	return keyOf(root[:])
}

// ParseKey reads the text of a key. White space around it does not count: a file often ends
// with a new line.
func ParseKey(text string) (Key, error) {
	digits, found := strings.CutPrefix(strings.Trim(text, "\ufeff \t\r\n"), keyPrefix)
	root, err := hex.DecodeString(digits)
	if !found || err != nil || len(root) != seal.KeySize {
		return Key{}, errors.New("latchkey: not the text of a key")
	}
	k := keyOf(root)
	return k, k.check()
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.root.IsZero() }

// Reveal returns the text of the key, for the place where the host keeps it; "" for the
// zero Key.
func (k Key) Reveal() string {
	if k.IsZero() {
		return ""
	}
	return keyPrefix + hex.EncodeToString(k.bytes())
}

func (k Key) bytes() []byte { return []byte(k.root.Reveal()) }

// ID names the key without revealing it, for [Engine.Reseal]; "" for the zero Key.
func (k Key) ID() string {
	if k.IsZero() {
		return ""
	}
	return seal.KeyID(k.bytes())
}

// check refuses keys that were not drawn at random: the zero key, a key of few
// different bytes, a key that counts up or down.
func (k Key) check() error {
	root := k.bytes()
	seen := make(map[byte]bool)
	steps := make(map[byte]bool)
	for i, b := range root {
		seen[b] = true
		if i > 0 {
			steps[b-root[i-1]] = true
		}
	}
	if len(seen) < 12 || len(steps) < 12 {
		return errors.New("latchkey: not a random key; make one with GenerateKey")
	}
	return nil
}

// Format prints a mask, for every verb.
func (k Key) Format(f fmt.State, verb rune) { k.root.Format(f, verb) }

// MarshalText encodes a mask.
func (k Key) MarshalText() ([]byte, error) { return k.root.MarshalText() }

// LogValue logs a mask.
func (k Key) LogValue() slog.Value { return k.root.LogValue() }

// GobEncode fails.
func (k Key) GobEncode() ([]byte, error) { return k.root.GobEncode() }

// Keys are the keys of an engine. The active key seals; all keys open.
//
// A key is replaced in this order, each step on every machine before the next begins:
//  1. The new key comes into Old.
//  2. The new key becomes Active, and the former one goes into Old. Services that check
//     JWTs by [Engine.KeySet] have fetched the set since the first step.
//  3. One machine calls [Engine.Reseal], until the former key is not in [Resealed].Left.
//  4. The former key is dropped. JWTs that it signed end with it; they live for at most
//     an hour after the second step.
//
// A host on one machine can take the first two steps at once. In another order, machines
// do not open what others have sealed.
//
// Wrong passwords and codes, known clients and calls are counted under the active key. A
// new one forgets the counts, and with them the passwords that were disabled. While
// machines have different active keys, each key has counts of its own, which doubles the
// free guesses and the calls. So keep the second step short.
type Keys struct {
	Active Key
	Old    []Key
}

// ring returns the keys in the form that seals and opens.
func (k Keys) ring() (*seal.Ring, error) {
	if err := k.Active.check(); err != nil {
		return nil, err
	}
	var old [][]byte
	for _, key := range k.Old {
		if err := key.check(); err != nil {
			return nil, err
		}
		old = append(old, key.bytes())
	}
	return seal.NewRing(k.Active.bytes(), old...), nil
}
