// Package codes makes and compares the codes that users type or compare: one-time
// codes of messages, time-based codes of authenticator apps (RFC 6238), recovery codes
// and security phrases.
package codes

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
)

// OTPDigits is the length of a code that is sent in a message.
const OTPDigits = 6

// OTP draws a code of six digits. Each code is as likely as any other.
func OTP() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // never: crypto/rand ends the program instead
	}
	return fmt.Sprintf("%0*d", OTPDigits, n)
}

// AllDigits reports whether a text consists of decimal digits of ASCII.
func AllDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// The numbers and lengths of recovery codes.
const (
	recoveryCodes, recoveryLength             = 6, 10  // hexadecimal digits
	strongRecoveryCodes, strongRecoveryLength = 10, 24 // digits of Crockford's base32
	crockford                                 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// Recovery draws recovery codes in the form that a user sees: six codes of ten
// hexadecimal digits, or ten strong codes of 24 base32 digits in groups of four.
func Recovery(strong bool) (codes []string) {
	if strong {
		random := make([]byte, strongRecoveryCodes*strongRecoveryLength)
		_, _ = rand.Read(random) // never fails
		for i := range random {
			random[i] = crockford[random[i]%byte(len(crockford))] // 256 is a multiple of 32
		}
		for i := 0; i < len(random); i += strongRecoveryLength {
			var groups []string
			for at := i; at < i+strongRecoveryLength; at += 4 {
				groups = append(groups, string(random[at:at+4]))
			}
			codes = append(codes, strings.Join(groups, "-"))
		}
		return codes
	}
	random := make([]byte, recoveryCodes*recoveryLength/2)
	_, _ = rand.Read(random) // never fails
	text := hex.EncodeToString(random)
	for i := 0; i < len(text); i += recoveryLength {
		codes = append(codes, text[i:i+recoveryLength])
	}
	return codes
}

// IsShortRecovery reports whether a recovery code is a short one. A short code can be
// guessed from its digest.
func IsShortRecovery(code string) bool { return len(code) == recoveryLength }

// PlainRecovery returns the form of a recovery code for its digest: as [Typed], and in one
// case. In strong codes the letters I, L and O, which base32 lacks,
// become digits.
func PlainRecovery(code string) string {
	code = Typed(code)
	if IsShortRecovery(code) {
		return strings.ToLower(code)
	}
	return strings.NewReplacer("I", "1", "L", "1", "O", "0").Replace(strings.ToUpper(code))
}
