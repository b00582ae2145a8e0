package foreign

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"

	argon2d "github.com/go-crypt/x/argon2"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"

	"example.com/latchkey/hasher/internal/phc"
)

// The bounds of stretched hashes, and the limits below which they are fast.
const (
	bcryptLength = 60
	bcryptMost   = 72 // bytes of a password
	bcryptLeast  = 4  // cost
	bcryptCost   = 16

	scryptMemory = 256 << 20 // bytes
	scryptLanes  = 16
	scryptWork   = 1 << 22 // N x r x p
	scryptFast   = 8 << 20 // bytes

	pbkdf2Most = 2_500_000 // rounds

	argon2Fast = 16 << 10 // KiB times passes

	saltLeast, saltMost = 8, 64 // bytes
	tagLeast, tagMost   = 16, 64
	scryptSalt          = 128
)

// Argon2 returns a hash from its PHC form, for example $argon2id$v=19$m=7168,t=5,p=1$salt$tag.
func Argon2(text string) (Hash, error) {
	if !strings.HasPrefix(text, "$argon2") {
		return Hash{}, malformed("an argon2 hash begins with $argon2id$, $argon2i$ or $argon2d$")
	}
	if strings.HasPrefix(text, "$"+phc.ID+"$") {
		text = "$raw" + text
	}
	return Parse(text)
}

// readRaw reads an argon2id hash. Its mark keeps it apart from those of package hasher.
func readRaw(_, rest string) (p parsed, err error) {
	rest, found := strings.CutPrefix(rest, phc.ID+"$")
	if !found {
		return p, malformed("an argon2id hash begins with $raw$argon2id$")
	}
	p, err = readArgon2(phc.ID, rest)
	p.blank = "$raw" + p.blank
	return p, err
}

func readArgon2(scheme, rest string) (p parsed, err error) {
	h, ok := phc.Parse("$" + scheme + "$" + rest)
	if !ok {
		return p, malformed("an argon2 hash has the form $" + scheme + "$v=19$m=...,t=...,p=...$salt$tag, within bounds")
	}
	blank := h
	blank.Tag = make([]byte, len(h.Tag))
	return parsed{
		scheme: scheme, memory: int64(h.Memory) << 10, output: h.Tag, blank: blank.String(),
		fast: uint64(h.Memory)*uint64(h.Time) < argon2Fast,
		derive: func(password []byte) []byte {
			size := uint32(len(h.Tag))
			switch scheme {
			case phc.I:
				return argon2.Key(password, h.Salt, h.Time, h.Memory, h.Threads, size)
			case phc.D:
				return argon2d.DKey(password, h.Salt, h.Time, h.Memory, uint32(h.Threads), size)
			}
			return argon2.IDKey(password, h.Salt, h.Time, h.Memory, h.Threads, size)
		},
	}, nil
}

// Bcrypt returns a hash from its 60 characters, which begin with $2a$, $2b$ or $2y$.
func Bcrypt(text string) (Hash, error) {
	if !strings.HasPrefix(text, "$2") {
		return Hash{}, malformed("a bcrypt hash begins with $2a$, $2b$ or $2y$")
	}
	return Parse(text)
}

// BcryptTruncated is [Bcrypt] for a system that took longer passwords and ignored what
// follows their 72nd byte.
func BcryptTruncated(text string) (Hash, error) {
	if h, err := Bcrypt(text); err != nil {
		return h, err
	}
	return Parse("$cut" + text)
}

// WordPress returns a hash from the text of WordPress: $wp$2y$ and so on (bcrypt of WordPress
// 6.8), $P$ (PHPass), $2y$ (bcrypt of a plugin), or 32 hexadecimal digits (MD5 of its first
// versions).
func WordPress(text string) (Hash, error) {
	switch {
	case strings.HasPrefix(text, "$wp$2y$"):
		return Parse(text)
	case strings.HasPrefix(text, "$P$"):
		return PHPass(text)
	case strings.HasPrefix(text, "$2"):
		return Bcrypt(text)
	case len(text) == 32:
		return MD5(text)
	}
	return Hash{}, malformed("WordPress has no such hash")
}

func readBcrypt(scheme, rest string) (p parsed, err error) {
	text := "$" + scheme + "$" + rest
	const digits = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if len(text) != bcryptLength || rest[2] != '$' || strings.Trim(rest[3:], digits) != "" {
		return p, malformed("a bcrypt hash has 60 characters: its version, two digits of its cost, and 53 of salt and hash")
	}
	cost, err := strconv.ParseUint(rest[:2], 10, 8)
	if err != nil || cost < bcryptLeast || cost > bcryptCost {
		return p, malformed("the cost of bcrypt is 04 to 16")
	}
	p.scheme, p.output = "bcrypt", []byte(text)
	p.derive = func(password []byte) []byte {
		if len(password) > bcryptMost || bytes.IndexByte(password, 0) >= 0 ||
			bcrypt.CompareHashAndPassword([]byte(text), password) != nil {
			return nil
		}
		return []byte(text)
	}
	return p, nil
}

// readCut reads a bcrypt hash of a system that cut passwords.
func readCut(_, rest string) (p parsed, err error) {
	scheme, rest, _ := strings.Cut(rest, "$")
	if !slices.Contains([]string{"2a", "2b", "2y"}, scheme) {
		return p, malformed("a bcrypt hash begins with $2a$, $2b$ or $2y$")
	}
	p, err = readBcrypt(scheme, rest)
	whole := p.derive
	p.derive = func(password []byte) []byte { return whole(password[:min(len(password), bcryptMost)]) }
	return p, err
}

// readWordPress reads a hash of WordPress 6.8: bcrypt over an HMAC of the trimmed password.
func readWordPress(_, rest string) (p parsed, err error) {
	bare, ok := strings.CutPrefix(rest, "2y$")
	if !ok {
		return p, malformed("a hash of WordPress begins with $wp$2y$")
	}
	p, err = readBcrypt("2y", bare)
	p.scheme = "wordpress"
	mixed := p.derive
	p.derive = func(password []byte) []byte {
		mac := hmac.New(sha512.New384, []byte("wp-sha384"))
		mac.Write(bytes.Trim(password, " \t\n\r\x00\x0b"))
		return mixed([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))))
	}
	return p, err
}

// ScryptOptions are the parameters of an scrypt hash. Zero fields mean the documented
// defaults.
type ScryptOptions struct {
	Salt   string // of 8 to 128 bytes, taken as they are
	N      int    // the cost itself, not its logarithm; a power of two; the default is 8
	R      int    // the block size; the default is 14
	P      int    // lanes; the default is 1
	Length int    // of the hash in bytes; the default is 64
}

// Scrypt returns a hash from hexadecimal digits in lower case and its parameters.
func Scrypt(digits string, o ScryptOptions) (Hash, error) {
	for _, field := range []struct {
		value *int
		usual int
	}{{&o.N, 8}, {&o.R, 14}, {&o.P, 1}, {&o.Length, 64}} {
		if *field.value == 0 {
			*field.value = field.usual
		}
	}
	tag, err := lowerHex(digits)
	if err != nil || len(tag) != o.Length {
		return Hash{}, malformed("an scrypt hash has two hexadecimal digits in lower case for each byte of its length")
	}
	return Parse(fmt.Sprintf("$scrypt$n=%d,r=%d,p=%d$%s$%s", o.N, o.R, o.P,
		phc.Base64.EncodeToString([]byte(o.Salt)), phc.Base64.EncodeToString(tag)))
}

// scryptBounded reports whether parameters of scrypt are within the bounds.
func scryptBounded(n, r, p uint64) bool {
	return n > 1 && n&(n-1) == 0 && r >= 1 && r <= scryptMemory/128 && n <= scryptMemory/128 &&
		p >= 1 && p <= scryptLanes && scryptBytes(n, r, p) <= scryptMemory && n*r*p <= scryptWork
}

// scryptBytes is the memory of a hash: N blocks, one for each lane, and two to mix them.
func scryptBytes(n, r, p uint64) uint64 { return 128 * r * (n + p + 2) }

func readScrypt(scheme, rest string) (p parsed, err error) {
	fields := strings.Split(rest, "$")
	if len(fields) != 3 {
		return p, malformed("an scrypt hash has the form $scrypt$n=...,r=...,p=...$salt$tag")
	}
	numbers, ok := phc.Numbers(fields[0], "n", "r", "p")
	if !ok || !scryptBounded(uint64(numbers[0]), uint64(numbers[1]), uint64(numbers[2])) {
		return p, malformed("scrypt needs an N that is a power of two, 128 x r x (N + p + 2) of at most 256 MiB, a p of at most 16, and N x r x p of at most 2^22")
	}
	salt, tag, err := saltAndTag(fields[1], fields[2], scryptSalt)
	if err != nil {
		return p, err
	}
	n, r, lanes := int(numbers[0]), int(numbers[1]), int(numbers[2])
	p = parsed{scheme: scheme, memory: int64(scryptBytes(uint64(n), uint64(r), uint64(lanes))), output: tag}
	p.fast = 128*n*r < scryptFast
	p.blank = "$" + scheme + "$" + fields[0] + "$" + fields[1] + "$" + phc.Base64.EncodeToString(make([]byte, len(tag)))
	p.derive = func(password []byte) []byte {
		out, err := scrypt.Key(password, salt, n, r, lanes, len(tag))
		if err != nil {
			return nil // never: the parameters are in range
		}
		return out
	}
	return p, nil
}

// ScryptModifiedOptions are the parameters of a hash of Firebase. Salt is of the user, the
// others are of the project. Salt, Separator and SignerKey are in base64.
type ScryptModifiedOptions struct {
	Salt, Separator, SignerKey string
	Rounds                     int // the block size r; the default is 8
	MemoryCost                 int // the logarithm of N; the default is 14
}

// ScryptModified returns a hash of Firebase from its text in base64, of either alphabet.
func ScryptModified(text string, o ScryptModifiedOptions) (Hash, error) {
	if o.Rounds == 0 {
		o.Rounds = 8
	}
	if o.MemoryCost == 0 {
		o.MemoryCost = 14
	}
	if o.MemoryCost < 1 || o.MemoryCost > 30 {
		return Hash{}, malformed("the memory cost is 1 to 30")
	}
	whole := fmt.Sprintf("$scrypt-modified$n=%d,r=%d", 1<<o.MemoryCost, o.Rounds)
	for _, part := range []string{o.Salt, o.Separator, o.SignerKey, text} {
		value, err := anyBase64(part)
		if err != nil {
			return Hash{}, err
		}
		whole += "$" + phc.Base64.EncodeToString(value)
	}
	return Parse(whole)
}

func readScryptModified(scheme, rest string) (p parsed, err error) {
	fields := strings.Split(rest, "$")
	if len(fields) != 5 {
		return p, malformed("a hash of Firebase has the form $scrypt-modified$n=...,r=...$salt$separator$signer key$hash")
	}
	numbers, ok := phc.Numbers(fields[0], "n", "r")
	if !ok || !scryptBounded(uint64(numbers[0]), uint64(numbers[1]), 1) {
		return p, malformed("a hash of Firebase takes at most 256 MiB, and its N x r is at most 2^22")
	}
	var values [4][]byte
	for i, field := range fields[1:] {
		if values[i], err = phc.Base64.DecodeString(field); err != nil {
			return p, malformed("it is not base64")
		}
	}
	salt, separator, signer, tag := values[0], values[1], values[2], values[3]
	if len(salt) == 0 || len(salt) > saltMost || len(separator) > saltMost || len(signer) < tagLeast || len(signer) > 2*tagMost || len(tag) != len(signer) {
		return p, malformed("a hash of Firebase has a salt of 1 to 64 bytes, a separator of at most 64, and a signer key of 16 to 128, as long as the hash")
	}
	n, r := int(numbers[0]), int(numbers[1])
	p = parsed{scheme: scheme, memory: int64(scryptBytes(uint64(n), uint64(r), 1)), output: tag}
	p.fast = 128*n*r < scryptFast
	p.blank = "$" + scheme + "$" + strings.Join(fields[:4], "$") + "$" + phc.Base64.EncodeToString(make([]byte, len(tag)))
	p.derive = func(password []byte) []byte {
		key, err := scrypt.Key(password, append(bytes.Clone(salt), separator...), n, r, 1, 32)
		if err != nil {
			return nil // never: the parameters are in range
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil // never: the key has 32 bytes
		}
		out := make([]byte, len(signer))
		cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(out, signer)
		return out
	}
	return p, nil
}

// pbkdf2s are the hash functions of PBKDF2, by scheme, and the number of rounds below which
// the scheme is fast.
var pbkdf2s = map[string]struct {
	hash func() hash.Hash
	fast int
}{
	"pbkdf2-sha1": {sha1.New, 100_000}, "pbkdf2-sha256": {sha256.New, 100_000}, "pbkdf2-sha512": {sha512.New, 50_000},
}

// PBKDF2 returns a hash from its raw salt and tag. digest is sha1, sha256 or sha512.
func PBKDF2(digest string, rounds int, salt, tag []byte) (Hash, error) {
	if _, known := pbkdf2s["pbkdf2-"+digest]; !known {
		return Hash{}, malformed("PBKDF2 is known with SHA-1, SHA-256 and SHA-512")
	}
	return Parse(fmt.Sprintf("$pbkdf2-%s$i=%d$%s$%s", digest, rounds, phc.Base64.EncodeToString(salt), phc.Base64.EncodeToString(tag)))
}

func readPBKDF2(scheme, rest string) (p parsed, err error) {
	fields := strings.Split(rest, "$")
	if len(fields) != 3 {
		return p, malformed("a PBKDF2 hash has the form $" + scheme + "$i=...$salt$tag")
	}
	numbers, ok := phc.Numbers(fields[0], "i")
	if !ok || numbers[0] < 1 || numbers[0] > pbkdf2Most {
		return p, malformed("PBKDF2 does 1 to 2,500,000 rounds")
	}
	salt, tag, err := saltAndTag(fields[1], fields[2], saltMost)
	if err != nil {
		return p, err
	}
	rounds, kind := int(numbers[0]), pbkdf2s[scheme]
	p = parsed{scheme: scheme, output: tag, fast: rounds < kind.fast}
	p.blank = "$" + scheme + "$" + fields[0] + "$" + fields[1] + "$" + phc.Base64.EncodeToString(make([]byte, len(tag)))
	p.derive = func(password []byte) []byte {
		out, err := pbkdf2.Key(kind.hash, string(password), salt, rounds, len(tag))
		if err != nil {
			return nil // only where FIPS 140 is enforced, which forbids short salts
		}
		return out
	}
	return p, nil
}

// Django returns a hash from the text of Django's PBKDF2: pbkdf2_sha256$rounds$salt$tag, or
// pbkdf2_sha1. The salt is taken as it is, and the tag is in base64.
func Django(text string) (Hash, error) {
	fields := strings.Split(text, "$")
	digest, found := strings.CutPrefix(fields[0], "pbkdf2_")
	if !found || len(fields) != 4 || digest == "sha512" {
		return Hash{}, malformed("Django's PBKDF2 has the form pbkdf2_sha256$rounds$salt$tag")
	}
	rounds, err := strconv.ParseUint(fields[1], 10, 31)
	if err != nil {
		return Hash{}, malformed("PBKDF2 does 1 to 2,500,000 rounds")
	}
	tag, err := base64.StdEncoding.Strict().DecodeString(fields[3])
	if err != nil {
		return Hash{}, malformed("it is not base64")
	}
	return PBKDF2(digest, int(rounds), []byte(fields[2]), tag)
}

// The first byte of a hash of ASP.NET Identity, and its least salt.
const (
	identityV2 = 0
	identityV3 = 1

	identitySalt = 16 // bytes at least
)

// ASPNETIdentity returns a hash from the text of ASP.NET Identity, of version 2 or 3, in
// base64.
func ASPNETIdentity(text string) (Hash, error) {
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return Hash{}, malformed("it is not base64")
	}
	switch {
	case len(value) == 1+identitySalt+32 && value[0] == identityV2:
		return PBKDF2("sha1", 1000, value[1:1+identitySalt], value[1+identitySalt:])
	case len(value) > 13 && value[0] == identityV3:
		kind, rounds, size := binary.BigEndian.Uint32(value[1:]), binary.BigEndian.Uint32(value[5:]), binary.BigEndian.Uint32(value[9:])
		value = value[13:]
		if kind > 2 || rounds > pbkdf2Most || size < identitySalt || uint64(size) > uint64(len(value)) {
			break
		}
		return PBKDF2([]string{"sha1", "sha256", "sha512"}[kind], int(rounds), value[:size], value[size:])
	}
	return Hash{}, malformed("ASP.NET Identity has no such hash")
}

// saltAndTag decodes the last two fields of a hash.
func saltAndTag(saltField, tagField string, longest int) (salt, tag []byte, err error) {
	salt, errSalt := phc.Base64.DecodeString(saltField)
	tag, errTag := phc.Base64.DecodeString(tagField)
	if errSalt != nil || errTag != nil {
		return nil, nil, malformed("it is not base64")
	}
	if len(salt) < saltLeast || len(salt) > longest {
		return nil, nil, malformed(fmt.Sprintf("the salt is %d to %d bytes", saltLeast, longest))
	}
	if len(tag) < tagLeast || len(tag) > tagMost {
		return nil, nil, malformed("the hash itself is 16 to 64 bytes")
	}
	return salt, tag, nil
}

// lowerHex decodes hexadecimal digits in lower case.
func lowerHex(digits string) ([]byte, error) {
	if digits != strings.ToLower(digits) || len(digits) > phc.MaxText {
		return nil, malformed("hexadecimal digits are in lower case")
	}
	value, err := hex.DecodeString(digits)
	if err != nil {
		return nil, malformed("it is not hexadecimal")
	}
	return value, nil
}

// anyBase64 decodes base64 of either alphabet, with or without padding.
func anyBase64(text string) ([]byte, error) {
	if len(text) > phc.MaxText || strings.ContainsAny(text, "\r\n") {
		return nil, malformed("it is not base64")
	}
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	value, err := phc.Base64.DecodeString(text)
	if err != nil {
		return nil, malformed("it is not base64")
	}
	return value, nil
}
