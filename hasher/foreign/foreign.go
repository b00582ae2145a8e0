// Package foreign verifies password hashes that other systems have made, so that their users
// move in with the passwords that they have. It makes no new ones: after the first right
// password, a host replaces the hash by one of package hasher.
//
// It knows argon2 (i, d and id), bcrypt, MD5, PHPass, scrypt, the scrypt of Firebase
// (scrypt-modified), SHA in eleven versions, PBKDF2 with SHA-1, SHA-256 and SHA-512 (Keycloak,
// Django, ASP.NET Identity 2 and 3), and the bcrypt of WordPress 6.8. [Parse] lists the
// texts in which they are kept.
//
// # Bounds
//
// A hash is checked when it is made, and again before it is verified. Outside these bounds it
// is [ErrFormat], before anything is allocated:
//
//   - argon2: those of package hasher, in version 19
//   - bcrypt: a cost of 4 to 16, versions 2a, 2b and 2y
//   - scrypt: N a power of two, 128 x r x (N + p + 2) bytes of at most 256 MiB, p at most 16,
//     and N x r x p at most 2^22
//   - PBKDF2: 1 to 2,500,000 rounds
//   - PHPass: 2^7 to 2^20 rounds
//   - a salt of 8 to 64 bytes for argon2 and PBKDF2, 8 to 128 for scrypt, 1 to 64 for Firebase
//   - a tag of 16 to 64 bytes
//   - a text of at most 1 KiB
//
// # Fast hashes
//
// A hash that can be guessed fast is not kept as it is. [Wrap] makes an argon2id hash of it, so
// that a stolen one costs as much as one of package hasher. These hashes are fast: MD5, SHA,
// PHPass; PBKDF2 with fewer than 100,000 rounds, or 50,000 of SHA-512; scrypt with less than 8
// MiB; argon2 with less than 16 MiB times passes. Bcrypt is not fast at any cost.
//
// # Passwords
//
// A password is compared as it was typed, byte by byte. If it is not right and its Unicode
// normal form C is another text, that one is compared too. A password with a NUL, or of more
// than 72 bytes, is wrong for bcrypt, because systems differ there. [BcryptTruncated] is for a
// system that ignores what follows the 72nd byte.
package foreign

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"

	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/internal/phc"
	"example.com/latchkey/hidden"
)

// ErrFormat says that a text is not a hash of a known scheme within the bounds. The message
// has the reason, and never a part of the text.
var ErrFormat = errors.New("not a password hash within the bounds")

func malformed(reason string) error { return fmt.Errorf("%w: %s", ErrFormat, reason) }

// Hash is a password hash that another system has made. The zero Hash is none. Prints, logs
// and encodings show a mask in its place. It is immutable.
type Hash struct{ text hidden.Text }

// IsZero reports whether there is no hash.
func (h Hash) IsZero() bool { return h.text.IsZero() }

// Text returns the hash in the form that [Parse] reads. Its bearer can guess at the password.
func (h Hash) Text() hidden.Text { return h.text }

// Scheme returns the name of the scheme, for example bcrypt, sha3-512 or pbkdf2-sha256, also
// of a hash that is wrapped.
func (h Hash) Scheme() string {
	p, err := parse(h.text.Reveal())
	if err != nil {
		return ""
	}
	return p.scheme
}

// Wrapped reports whether [Wrap] has wrapped the hash.
func (h Hash) Wrapped() bool { return strings.HasPrefix(h.text.Reveal(), wrapPrefix) }

// Around returns the argon2id hash in which the hash is wrapped; "" if it is not.
func (h Hash) Around() string {
	p, err := parse(h.text.Reveal())
	if err != nil {
		return ""
	}
	return p.wrap
}

// Fast reports whether the hash can be guessed so fast that it must be wrapped.
func (h Hash) Fast() bool {
	p, err := parse(h.text.Reveal())
	return err == nil && p.wrap == "" && p.fast
}

// parsed is a hash, ready to be verified.
type parsed struct {
	scheme string
	fast   bool
	memory int64 // bytes
	output []byte
	// blank is the text of the hash with zeros for its output.
	blank string
	// derive computes the output for a password. nil means that the password is wrong.
	derive func(password []byte) []byte
	wrap   string // the argon2id hash of the output; "" for a hash that is not wrapped
}

const wrapPrefix = "$wrapped$"

// Parse reads the text of a hash. salt, tag and their like are in base64 without padding, and
// numbers are decimal. A text that begins with $argon2id$ is none of them: it is a hash of
// package hasher, which brings passwords to Unicode normal form C.
//
//	$argon2i$v=19$m=19456,t=2,p=1$salt$tag            also argon2d
//	$raw$argon2id$v=19$m=19456,t=2,p=1$salt$tag       of the password as it was typed
//	$2b$10$...                                        also 2a and 2y, 60 characters
//	$cut$2b$10$...                                    of BcryptTruncated
//	$wp$2y$10$...                                     WordPress 6.8
//	$md5$...  $sha1$...  $sha3-512$...                hexadecimal, lower case
//	$P$...    $H$...                                  PHPass, 34 characters
//	$scrypt$n=16384,r=8,p=1$salt$tag
//	$scrypt-modified$n=16384,r=8$salt$separator$signer key$hash
//	$pbkdf2-sha256$i=600000$salt$tag                  also -sha1 and -sha512
//	$wrapped$argon2id$v=19$m=19456,t=2,p=1$salt$tag   then one of the others, with zeros for its output
//
// Errors:
//   - [ErrFormat]
func Parse(text string) (Hash, error) {
	if _, err := parse(text); err != nil {
		return Hash{}, err
	}
	return Hash{hidden.New(text)}, nil
}

func parse(text string) (parsed, error) {
	inner, wrapped := strings.CutPrefix(text, wrapPrefix)
	switch {
	case text == "":
		return parsed{}, malformed("it is empty")
	case len(text) > phc.MaxText:
		return parsed{}, malformed("it is longer than 1 KiB")
	case !wrapped:
		return parsePlain(text)
	}
	end := -1
	for range 5 { // the fields of an argon2id hash
		next := strings.IndexByte(inner[end+1:], '$')
		if next < 0 {
			return parsed{}, malformed("a wrapped hash has an argon2id hash and then another one")
		}
		end += next + 1
	}
	outer, inner := "$"+inner[:end], inner[end:]
	p, err := parsePlain(inner)
	if err != nil {
		return parsed{}, err
	}
	if h, ok := phc.Parse(outer); !ok || h.Variant != phc.ID || !p.fast || p.blank != inner {
		return parsed{}, malformed("a wrapped hash has an argon2id hash and then a fast one with zeros for its output")
	}
	p.wrap = outer
	return p, nil
}

// parsePlain reads the text of a hash that is not wrapped.
func parsePlain(text string) (parsed, error) {
	if strings.ContainsAny(text, "\r\n") { // base64 skips line breaks
		return parsed{}, malformed("it has a line break")
	}
	scheme, rest, ok := strings.Cut(strings.TrimPrefix(text, "$"), "$")
	if !ok || !strings.HasPrefix(text, "$") {
		return parsed{}, malformed("its scheme is not known")
	}
	read, known := schemes[scheme]
	if !known {
		return parsed{}, malformed("its scheme is not known")
	}
	return read(scheme, rest)
}

// schemes are the readers of all schemes, by the name at the beginning of their texts. A
// reader gets the name and what follows the $ after it.
var schemes = map[string]func(scheme, rest string) (parsed, error){
	phc.I: readArgon2, phc.D: readArgon2, "raw": readRaw,
	"2a": readBcrypt, "2b": readBcrypt, "2y": readBcrypt, "cut": readCut, "wp": readWordPress,
	"P": readPHPass, "H": readPHPass,
	"scrypt": readScrypt, "scrypt-modified": readScryptModified,
	"pbkdf2-sha1": readPBKDF2, "pbkdf2-sha256": readPBKDF2, "pbkdf2-sha512": readPBKDF2,
	"md5": readDigest, "sha1": readDigest, "sha224": readDigest, "sha256": readDigest, "sha384": readDigest,
	"sha512/224": readDigest, "sha512/256": readDigest, "sha512": readDigest,
	"sha3-224": readDigest, "sha3-256": readDigest, "sha3-384": readDigest, "sha3-512": readDigest,
}

// Verify reports whether a hash is that of password. It runs at the places of a hasher, as
// every hash does, and takes as long as the scheme of the hash.
//
// Errors:
//   - [ErrFormat]: the zero Hash
//   - [hasher.ErrBusy], and the error of the context
func Verify(ctx context.Context, g hasher.Group, h Hash, password string) (bool, error) {
	p, err := parse(h.text.Reveal())
	if err != nil {
		return false, err
	}
	right, err := p.verify(ctx, g, []byte(password))
	if composed := norm.NFC.String(password); err == nil && !right && composed != password {
		right, err = p.verify(ctx, g, []byte(composed))
	}
	return right, err
}

func (p *parsed) verify(ctx context.Context, g hasher.Group, password []byte) (bool, error) {
	var output []byte
	if err := g.Run(ctx, p.memory, func() { output = p.derive(password) }); err != nil {
		return false, err
	}
	if p.wrap == "" {
		return subtle.ConstantTimeCompare(output, p.output) == 1, nil
	}
	return g.Verify(ctx, p.wrap, hex.EncodeToString(output))
}

// Wrap returns a hash that may be kept: a fast one is wrapped in an argon2id hash, with the
// parameters and at the places of a hasher, and another one stays as it is.
//
// Errors:
//   - [ErrFormat]: the zero Hash
//   - [hasher.ErrBusy], and the error of the context
func Wrap(ctx context.Context, g hasher.Group, h Hash) (Hash, error) {
	p, err := parse(h.text.Reveal())
	if err != nil || p.wrap != "" || !p.fast {
		return h, err
	}
	outer, err := g.Hash(ctx, hex.EncodeToString(p.output))
	if err != nil {
		return Hash{}, err
	}
	return Hash{hidden.New(wrapPrefix + outer[1:] + p.blank)}, nil
}
