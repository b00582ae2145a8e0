// Package seal holds the engine's keys. It seals values and makes digests with them.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sync"

	"example.com/latchkey/hidden"
)

// KeySize is the length of a root key in bytes.
const KeySize = 32

// The purposes of subkeys. A root key has one subkey for each purpose.
const (
	PasswordHash = "pwhash"   // seals password hashes
	Index        = "index"    // makes digests
	Code         = "otp"      // makes digests of codes
	TOTP         = "totp"     // seals seeds of authenticators
	RecoveryCode = "rcode"    // seals recovery codes
	Challenge    = "chcode"   // seals codes of challenges that the host brings to the user
	Provider     = "provtok"  // seals the tokens of providers
	Start        = "start"    // seals the state of a sign-in by a provider
	Ceremony     = "ceremony" // seals what the answer of an authenticator is compared with
	Outbox       = "outbox"   // seals messages and events that wait
	JWT          = "jwt"      // seeds of the keys that sign JWTs
	Page         = "page"     // seals the tokens of pages
	Check        = "check"    // seals values that tell whether a key is there
	keyID        = "key id"   // makes the ids of root keys
)

// The errors of [Ring.Open].
var (
	// ErrUnknownKey means that the key is not on the ring: the configuration lacks it.
	ErrUnknownKey = errors.New("seal: sealed with a key that is not configured")
	// ErrDamaged means that the value is not an envelope, was changed, or was moved
	// from the place for which it was sealed.
	ErrDamaged = errors.New("seal: does not open")
)

// An envelope consists of the format, the algorithm (AES-256-GCM), the id of the root
// key, the nonce, and the ciphertext with its tag.
const (
	format    = 1
	algorithm = 1
	idSize    = 8
	nonceSize = 12
	headSize  = 2 + idSize + nonceSize
)

// Ring is one active root key and any number of old ones. A dump of a ring shows ids of
// keys and addresses in memory, but neither keys nor subkeys.
type Ring struct {
	active [idSize]byte
	keys   map[[idSize]byte]hidden.Text
	order  [][idSize]byte           // of the keys, the active one first
	index  hidden.Text              // subkey of the active key for Digest
	aeads  func(aeadOf) cipher.AEAD // those made so far, and others as they are needed
}

// aeadOf names the cipher of a root key for a purpose.
type aeadOf struct {
	root    [idSize]byte
	purpose string
}

// NewRing returns a ring. Each key has KeySize bytes.
func NewRing(active []byte, old ...[]byte) *Ring {
	r := &Ring{keys: make(map[[idSize]byte]hidden.Text)}
	r.active = [idSize]byte(subkey(active, keyID))
	for _, key := range append([][]byte{active}, old...) {
		id := [idSize]byte(subkey(key, keyID))
		if r.keys[id].IsZero() {
			r.order = append(r.order, id)
		}
		r.keys[id] = hidden.New(string(key))
	}
	r.index = hidden.New(string(subkey(active, Index)))
	r.aeads = r.rememberAEADs()
	return r
}

// rememberAEADs returns a function that makes each cipher once. A dump shows the address of the
// function, and not what it remembers.
func (r *Ring) rememberAEADs() func(aeadOf) cipher.AEAD {
	var made sync.Map
	return func(of aeadOf) cipher.AEAD {
		if have, found := made.Load(of); found {
			return have.(cipher.AEAD)
		}
		root, _ := r.root(of.root[:])
		have, _ := made.LoadOrStore(of, aead(root, of.purpose))
		return have.(cipher.AEAD)
	}
}

// root returns a root key by its id.
func (r *Ring) root(id []byte) (key []byte, found bool) {
	text, found := r.keys[[idSize]byte(id)]
	return []byte(text.Reveal()), found
}

// activeRoot returns the active root key.
func (r *Ring) activeRoot() []byte {
	key, _ := r.root(r.active[:])
	return key
}

// Seeds returns the subkeys of all keys for a purpose, that of the active key first.
func (r *Ring) Seeds(purpose string) (seeds [][]byte) {
	for _, id := range r.order {
		key, _ := r.root(id[:])
		seeds = append(seeds, subkey(key, purpose))
	}
	return seeds
}

// KeyID returns the id of a root key. The id does not reveal the key.
func KeyID(root []byte) string { return hex.EncodeToString(subkey(root, keyID)[:idSize]) }

// ActiveID returns the id of the active key.
func (r *Ring) ActiveID() string { return hex.EncodeToString(r.active[:]) }

// Has reports whether the ring has the key of an id.
func (r *Ring) Has(id string) bool {
	for _, have := range r.order {
		if hex.EncodeToString(have[:]) == id {
			return true
		}
	}
	return false
}

// KeyOf returns the id of the key that sealed a value, "" if the value is too short.
func (r *Ring) KeyOf(sealed []byte) string {
	if len(sealed) < headSize {
		return ""
	}
	return hex.EncodeToString(sealed[2 : 2+idSize])
}

// Current reports whether a value is sealed with the active key. An empty value counts
// as sealed with it.
func (r *Ring) Current(sealed []byte) bool {
	return len(sealed) == 0 || len(sealed) >= headSize && bytes.Equal(sealed[2:2+idSize], r.active[:])
}

func subkey(root []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, root, nil, "latchkey/"+purpose, KeySize)
	if err != nil {
		panic(err) // never: the length is in range
	}
	return key
}

func aead(root []byte, purpose string) cipher.AEAD {
	block, err := aes.NewCipher(subkey(root, purpose))
	if err != nil {
		panic(err) // never: the length is in range
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // never for AES
	}
	return gcm
}

// Place is the row and column of a sealed value. A value that was moved to another
// place does not open.
type Place struct{ Table, Column, Record, Owner string }

func (p Place) associated() []byte {
	data := []byte{format}
	for _, part := range []string{p.Table, p.Column, p.Record, p.Owner} {
		data = binary.BigEndian.AppendUint32(data, uint32(len(part)))
		data = append(data, part...)
	}
	return data
}

// Seal encrypts text for a place with the active key.
func (r *Ring) Seal(purpose string, p Place, text []byte) []byte {
	out := make([]byte, headSize, headSize+len(text)+16)
	out[0], out[1] = format, algorithm
	copy(out[2:], r.active[:])
	nonce := out[2+idSize : headSize]
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program instead
	return r.aeads(aeadOf{r.active, purpose}).Seal(out, nonce, text, p.associated())
}

// Open decrypts a value that Seal made for the same purpose and place.
//
// Errors:
//   - [ErrUnknownKey]
//   - [ErrDamaged]
func (r *Ring) Open(purpose string, p Place, sealed []byte) ([]byte, error) {
	if len(sealed) < headSize || sealed[0] != format || sealed[1] != algorithm {
		return nil, ErrDamaged
	}
	id := [idSize]byte(sealed[2 : 2+idSize])
	if _, found := r.keys[id]; !found {
		return nil, ErrUnknownKey
	}
	text, err := r.aeads(aeadOf{id, purpose}).Open(nil, sealed[2+idSize:headSize], sealed[headSize:], p.associated())
	if err != nil {
		return nil, ErrDamaged
	}
	return text, nil
}

// Digest returns the HMAC-SHA-256 of length-prefixed parts, under the active key's
// subkey for indexes.
func (r *Ring) Digest(parts ...string) []byte { return digest([]byte(r.index.Reveal()), parts) }

// DigestCode returns the id of the active key, followed by the HMAC-SHA-256 of
// length-prefixed parts under that key's subkey for codes.
func (r *Ring) DigestCode(parts ...string) []byte {
	return append(bytes.Clone(r.active[:]), digest(subkey(r.activeRoot(), Code), parts)...)
}

// IsCode reports whether DigestCode made a digest of the same parts, under any key of the
// ring. It answers [ErrUnknownKey] if the ring lacks the key of the digest: then it cannot
// tell.
func (r *Ring) IsCode(made []byte, parts ...string) (bool, error) {
	if len(made) != idSize+sha256.Size {
		return false, nil
	}
	root, found := r.root(made[:idSize])
	if !found {
		return false, ErrUnknownKey
	}
	return hmac.Equal(made[idSize:], digest(subkey(root, Code), parts)), nil
}

// KeyOfCode returns the id of the key under which DigestCode made a digest.
func (r *Ring) KeyOfCode(made []byte) string {
	return hex.EncodeToString(made[:min(idSize, len(made))])
}

// CurrentCode reports whether DigestCode made a digest under the active key.
func (r *Ring) CurrentCode(made []byte) bool { return bytes.HasPrefix(made, r.active[:]) }

func digest(key []byte, parts []string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		mac.Write(size[:])
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}
