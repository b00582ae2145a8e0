// Package phc reads and writes argon2 hashes in PHC form, inside hard bounds:
//
//   - memory of 8 KiB a lane up to 256 MiB
//   - 1 to 10 passes, and memory times passes up to 1 GiB
//   - 1 to 16 lanes
//   - a salt of 8 to 64 bytes
//   - a tag of 16 to 64 bytes
//   - a text of at most 1 KiB
package phc

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// MaxText is the largest length of a hash in bytes.
const MaxText = 1 << 10

const (
	maxMemory = 256 << 10 // KiB
	maxTime   = 10
	maxLanes  = 16
	maxWork   = 1 << 20 // KiB times passes
)

// The variants of argon2.
const (
	ID = "argon2id"
	I  = "argon2i"
	D  = "argon2d"
)

// Hash is a parsed hash: $argon2id$v=19$m=19456,t=2,p=1$salt$tag, salt and tag in base64
// without padding.
type Hash struct {
	Variant   string
	Memory    uint32 // KiB
	Time      uint32 // passes over the memory
	Threads   uint8  // lanes
	Salt, Tag []byte
}

// Base64 is the encoding of salts and tags. It has one text for each value.
var Base64 = base64.RawStdEncoding.Strict()

// String returns the hash in PHC form.
func (h Hash) String() string {
	return fmt.Sprintf("$%s$v=%d$m=%d,t=%d,p=%d$%s$%s", h.Variant, argon2.Version, h.Memory, h.Time, h.Threads,
		Base64.EncodeToString(h.Salt), Base64.EncodeToString(h.Tag))
}

// Bounded reports whether costs are within the bounds: memory in KiB, passes and lanes.
func Bounded(memory, time uint32, threads uint8) bool {
	return threads >= 1 && threads <= maxLanes && time >= 1 && time <= maxTime &&
		memory >= 8*uint32(threads) && memory <= maxMemory && uint64(memory)*uint64(time) <= maxWork
}

// Parse reads a hash. It reports false for a text of another form or out of bounds.
func Parse(text string) (h Hash, ok bool) {
	if len(text) > MaxText || strings.ContainsAny(text, "\r\n") { // base64 skips line breaks
		return Hash{}, false
	}
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return Hash{}, false
	}
	switch h.Variant = parts[1]; h.Variant {
	case ID, I, D:
	default:
		return Hash{}, false
	}
	numbers, ok := Numbers(parts[3], "m", "t", "p")
	if !ok || numbers[2] > maxLanes {
		return Hash{}, false
	}
	h.Memory, h.Time, h.Threads = numbers[0], numbers[1], uint8(numbers[2])
	var errSalt, errTag error
	h.Salt, errSalt = Base64.DecodeString(parts[4])
	h.Tag, errTag = Base64.DecodeString(parts[5])
	if !Bounded(h.Memory, h.Time, h.Threads) || errSalt != nil || errTag != nil ||
		len(h.Salt) < 8 || len(h.Salt) > 64 || len(h.Tag) < 16 || len(h.Tag) > 64 {
		return Hash{}, false
	}
	return h, true
}

// Numbers reads a list such as m=64,t=1,p=1, with these names in this order. Each number
// has its shortest decimal form.
func Numbers(list string, names ...string) (numbers []uint32, ok bool) {
	parts := strings.Split(list, ",")
	if len(parts) != len(names) {
		return nil, false
	}
	for i, name := range names {
		digits, found := strings.CutPrefix(parts[i], name+"=")
		n, err := strconv.ParseUint(digits, 10, 32)
		if !found || err != nil || strconv.FormatUint(n, 10) != digits {
			return nil, false
		}
		numbers = append(numbers, uint32(n))
	}
	return numbers, true
}
