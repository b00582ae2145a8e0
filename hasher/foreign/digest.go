package foreign

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"fmt"
	"hash"
	"strings"
)

// digests are the plain hash functions, by scheme.
var digests = map[string]func() hash.Hash{
	"md5":        md5.New,
	"sha1":       sha1.New,
	"sha224":     sha256.New224,
	"sha256":     sha256.New,
	"sha384":     sha512.New384,
	"sha512/224": sha512.New512_224,
	"sha512/256": sha512.New512_256,
	"sha512":     sha512.New,
	"sha3-224":   func() hash.Hash { return sha3.New224() },
	"sha3-256":   func() hash.Hash { return sha3.New256() },
	"sha3-384":   func() hash.Hash { return sha3.New384() },
	"sha3-512":   func() hash.Hash { return sha3.New512() },
}

// MD5 returns a hash from 32 hexadecimal digits in lower case, without a salt.
func MD5(digits string) (Hash, error) { return Parse("$md5$" + digits) }

// SHA returns a hash from hexadecimal digits in lower case, without a salt. version is one of
// sha1, sha224, sha256, sha384, sha512/224, sha512/256, sha512, sha3-224, sha3-256, sha3-384
// and sha3-512; "" means sha3-512.
func SHA(version, digits string) (Hash, error) {
	if version == "" {
		version = "sha3-512"
	}
	if digests[version] == nil || version == "md5" {
		return Hash{}, malformed("the version of SHA is not known")
	}
	return Parse("$" + version + "$" + digits)
}

func readDigest(scheme, digits string) (p parsed, err error) {
	sum := digests[scheme]
	size := sum().Size()
	if p.output, err = lowerHex(digits); err != nil || len(p.output) != size {
		return p, malformed(fmt.Sprintf("a hash of %s has %d hexadecimal digits in lower case", scheme, 2*size))
	}
	p.scheme, p.fast = scheme, true
	p.blank = "$" + scheme + "$" + strings.Repeat("0", 2*size)
	p.derive = func(password []byte) []byte {
		h := sum()
		h.Write(password)
		return h.Sum(nil)
	}
	return p, nil
}

// PHPass returns a hash from its 34 characters, which begin with $P$, or with $H$ (phpBB).
func PHPass(text string) (Hash, error) {
	if !strings.HasPrefix(text, "$P$") && !strings.HasPrefix(text, "$H$") {
		return Hash{}, malformed("a PHPass hash begins with $P$ or $H$")
	}
	return Parse(text)
}

// phpassDigits are the digits of PHPass. Each stands for 6 bits.
const phpassDigits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const (
	phpassRounds = 1  // position of the digit for the number of rounds, after the second $
	phpassSalt   = 8  // bytes
	phpassLength = 31 // after the second $
	phpassLeast  = 7  // rounds, as powers of two
	phpassMost   = 20
)

func readPHPass(scheme, rest string) (p parsed, err error) {
	const head = phpassRounds + phpassSalt
	if len(rest) != phpassLength || strings.Trim(rest, phpassDigits) != "" {
		return p, malformed("a PHPass hash has 34 characters, of which 31 are digits of its own")
	}
	rounds := strings.IndexByte(phpassDigits, rest[0])
	if rounds < phpassLeast || rounds > phpassMost {
		return p, malformed("PHPass does 2^7 to 2^20 rounds")
	}
	salt := rest[phpassRounds:head]
	p.scheme, p.fast, p.output = "phpass", true, []byte(rest[head:])
	p.blank = "$" + scheme + "$" + rest[:head] + strings.Repeat(".", phpassLength-head)
	p.derive = func(password []byte) []byte {
		sum := md5.Sum(append([]byte(salt), password...))
		for range 1 << rounds {
			sum = md5.Sum(append(sum[:], password...))
		}
		return phpassEncode(sum)
	}
	return p, nil
}

// phpassEncode writes three bytes as four digits, the lowest bits first.
func phpassEncode(sum [md5.Size]byte) (out []byte) {
	for i := 0; i < len(sum); i += 3 {
		group, digits := 0, 0
		for at := i; at < min(i+3, len(sum)); at++ {
			group |= int(sum[at]) << (8 * (at - i))
			digits++
		}
		for range digits + 1 {
			out = append(out, phpassDigits[group&63])
			group >>= 6
		}
	}
	return out
}
