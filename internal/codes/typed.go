package codes

import (
	"strings"
	"unicode"
)

// likeDashes look like dashes, and are typed for them, but Unicode does not class them so:
// the long vowel signs of Japanese keyboards, the vowel eu of Korean ones, lines of boxes,
// minus signs, and the bullet of lists.
const likeDashes = "ーｰㅡ─━˗➖⁃"

// keycap joins the digit before it to a picture of a key.
const keycap = '\u20e3'

// unseen are the classes of signs that [Typed] leaves out: white space, dashes, and the
// signs without a shape of their own (Default_Ignorable_Code_Point and the rest of Cf).
var unseen = []*unicode.RangeTable{
	unicode.White_Space, unicode.Dash, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
}

// Typed returns a code as its user meant it. White space, dashes and signs that are not
// shown are left out, wherever they are. Decimal digits of every script become those of
// ASCII, and so do full-width letters.
func Typed(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z':
			return r
		case unicode.In(r, unseen...), strings.ContainsRune(likeDashes, r), r == keycap:
			return -1
		case r >= 'Ａ' && r <= 'Ｚ':
			return r - 'Ａ' + 'A'
		case r >= 'ａ' && r <= 'ｚ':
			return r - 'ａ' + 'a'
		}
		if value := digit(r); value >= 0 {
			return '0' + value
		}
		return r
	}, text)
}

// digit returns the value of a decimal digit, -1 for another sign. Unicode has the digits
// of each script in one row, from zero to nine.
func digit(r rune) rune {
	if !unicode.Is(unicode.Nd, r) {
		return -1
	}
	for _, row := range unicode.Nd.R16 {
		if lo, hi := rune(row.Lo), rune(row.Hi); lo <= r && r <= hi {
			return (r - lo) % 10
		}
	}
	for _, row := range unicode.Nd.R32 {
		if lo, hi := rune(row.Lo), rune(row.Hi); lo <= r && r <= hi {
			return (r - lo) % 10
		}
	}
	return -1
}

// IsOTP reports whether a text has the form of a code that is sent in a message.
func IsOTP(text string) bool { return len(text) == OTPDigits && AllDigits(text) }

// IsRecovery reports whether a text that [PlainRecovery] returned has the form of a recovery code.
func IsRecovery(plain string) bool {
	isOther := func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
	return (len(plain) == recoveryLength || len(plain) == strongRecoveryLength) && !strings.ContainsFunc(plain, isOther)
}
