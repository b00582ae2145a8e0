package codes

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash"
	"net/url"
	"strings"
	"time"
)

// TOTPPeriod is the time for which an authenticator app shows a code, in seconds.
const TOTPPeriod = 30

// TOTP is the secret and the parameters of an authenticator app.
type TOTP struct {
	Seed      []byte
	Algorithm string // SHA1 or SHA256
	Digits    int    // 6 or 8
}

// Text returns the seed in the form that users type into apps: base32 without padding.
func (t TOTP) Text() string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(t.Seed)
}

// At returns the code of a step: the HOTP value of RFC 4226 for that counter. A step is
// the number of periods since 1970.
func (t TOTP) At(step uint64) string {
	sum := sha1.New
	if t.Algorithm == "SHA256" {
		sum = sha256.New
	}
	mac := hmac.New(func() hash.Hash { return sum() }, t.Seed)
	mac.Write(binary.BigEndian.AppendUint64(nil, step))
	digest := mac.Sum(nil)
	offset := digest[len(digest)-1] & 0xf
	value := binary.BigEndian.Uint32(digest[offset:]) & 0x7fffffff
	modulus := uint32(1_000_000)
	if t.Digits == 8 {
		modulus = 100_000_000
	}
	return fmt.Sprintf("%0*d", t.Digits, value%modulus)
}

// HasForm reports whether a text has the form of a code.
func (t TOTP) HasForm(text string) bool { return len(text) == t.Digits && AllDigits(text) }

// Match returns the step of a code: the present step or one of its two neighbours. It
// returns the latest of those that have the code, or -1. It always compares with all
// three.
func (t TOTP) Match(code string, now time.Time) (matched int64) {
	matched = -1
	present := now.Unix() / TOTPPeriod
	for step := max(present-1, 0); step <= present+1; step++ {
		if subtle.ConstantTimeCompare([]byte(t.At(uint64(step))), []byte(code)) == 1 {
			matched = step
		}
	}
	return matched
}

// URI returns the otpauth address that an app scans. It holds the seed. The one colon of its
// path parts issuer and label, so their own are left out.
func (t TOTP) URI(issuer, label string) string {
	issuer, label = WithoutColons(issuer), WithoutColons(label)
	return fmt.Sprintf("otpauth://totp/%s:%s?algorithm=%s&digits=%d&issuer=%s&period=%d&secret=%s",
		escaped(issuer), escaped(label), t.Algorithm, t.Digits, escaped(issuer), TOTPPeriod, t.Text())
}

// WithoutColons returns a name without its colons, for the address of an authenticator.
func WithoutColons(name string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(name, ":", " ")), " ")
}

// escaped escapes every separator of a URI. It writes a space as %20, because some apps
// would show a plus sign.
func escaped(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
