package hasher

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The hard bounds of stored parameters.
const (
	maxText   = 1 << 10
	maxMemory = 256 << 10 // KiB
	maxTime   = 10
	maxLanes  = 16
	maxWork   = 1 << 20 // KiB times passes
)

// phc is a parsed hash: $argon2id$v=19$m=19456,t=2,p=1$salt$tag, salt and tag
// in base64 without padding.
type phc struct {
	Params
	salt, tag []byte
}

var base64Strict = base64.RawStdEncoding.Strict()

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Time, p.Threads,
		base64Strict.EncodeToString(p.salt), base64Strict.EncodeToString(p.tag))
}

func (p Params) bounded() bool {
	return p.Threads >= 1 && p.Threads <= maxLanes && p.Time >= 1 && p.Time <= maxTime &&
		p.Memory >= 8*uint32(p.Threads) && p.Memory <= maxMemory && uint64(p.Memory)*uint64(p.Time) <= maxWork
}

func parse(text string) (phc, error) {
	var p phc
	parts := strings.Split(text[:min(len(text), maxText+1)], "$")
	if len(text) > maxText || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" ||
		parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, ErrFormat
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return p, ErrFormat
	}
	var numbers [3]uint32
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(costs[i], name)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || strconv.FormatUint(n, 10) != digits {
			return p, ErrFormat
		}
		numbers[i] = uint32(n)
	}
	if numbers[2] > maxLanes {
		return p, ErrFormat
	}
	p.Params = Params{Memory: numbers[0], Time: numbers[1], Threads: uint8(numbers[2])}
	var errSalt, errTag error
	p.salt, errSalt = base64Strict.DecodeString(parts[4])
	p.tag, errTag = base64Strict.DecodeString(parts[5])
	if !p.bounded() || errSalt != nil || errTag != nil || strings.ContainsAny(text, "\r\n") ||
		len(p.salt) < 8 || len(p.salt) > 64 || len(p.tag) < 16 || len(p.tag) > 64 {
		return p, ErrFormat
	}
	return p, nil
}
