// Package canon brings input to its canonical form, or refuses it. The engine checks,
// looks up and counts by that form.
package canon

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"example.com/latchkey/internal/reason"
)

// Limits of the forms.
const (
	MaxEmail     = 254 // bytes, in canonical form
	maxLocal     = 64  // bytes before the @
	MaxID        = 36  // characters
	MaxName      = 128 // code points
	MaxUserAgent = 512 // bytes, the rest is cut off
	MaxLabel     = 36  // characters
	MaxTeamRole  = 81  // characters
	MinPhone     = 7   // digits
	MaxPhone     = 15  // digits
	MaxDepth     = 64  // nested levels of JSON

	MaxIdentifier      = 255 // characters
	maxIdentifierBytes = 900 // so that it can be a key
)

// The reasons for a refusal. No error repeats the input.
var (
	ErrEmail      = reason.New(reason.Malformed, "not an e-mail address")
	ErrID         = reason.New(reason.Malformed, "not an id: a-z, A-Z, 0-9, period, hyphen and underscore, at most 36, the first a letter or digit")
	ErrTeamRole   = reason.New(reason.Malformed, "not a role in a team: a-z, A-Z, 0-9, period, hyphen and underscore, at most 81, the first a letter or digit")
	ErrName       = reason.New(reason.Malformed, "not a name: at most 128 characters, no control characters")
	ErrPhone      = reason.New(reason.Malformed, "not a phone number: +, a country's code and the number, 7 to 15 digits")
	ErrIdentifier = reason.New(reason.Malformed, "not an identifier: 1 to 255 characters and 900 bytes, no control characters")
	ErrLabel      = reason.New(reason.Malformed, "not a label: 1 to 36 letters and digits of ASCII")
)

// localExtra are the characters that a local part may have besides letters, digits
// and dots. The characters of routing and quoting are left out.
const localExtra = "#$&'*+-/=?^_`{|}~"

// Email returns the canonical form of an e-mail address: lower case, with the domain
// in its ASCII form. The grammar is that of mailboxes in practice:
//   - a local part in ASCII: letters, digits, some other characters and single dots
//   - one @
//   - a domain of at least two labels, of which the last is not a number
//
// Quotes, comments, lists, routing and address literals are refused, and characters
// that become ASCII only by folding.
func Email(s string) (string, error) {
	if len(s) > 4*MaxEmail { // the ASCII form of a domain may be shorter
		return "", ErrEmail
	}
	local, domain, found := strings.Cut(s, "@")
	if !found || !validLocal(local) {
		return "", ErrEmail
	}
	domain, err := canonicalDomain(domain)
	if err != nil {
		return "", err
	}
	out := strings.ToLower(local) + "@" + domain
	if len(out) > MaxEmail {
		return "", ErrEmail
	}
	return out, nil
}

func validLocal(s string) bool {
	if s == "" || len(s) > maxLocal || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '.' && strings.IndexByte(localExtra, c) < 0 {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// domains maps and checks names as for a look-up in the DNS.
var domains = idna.New(
	idna.MapForLookup(),
	idna.BidiRule(),
	idna.StrictDomainName(true),
	idna.VerifyDNSLength(true),
)

func canonicalDomain(s string) (string, error) {
	// Compatibility mapping could turn another character into an @ or a dot.
	for i, r := range s {
		if r == utf8.RuneError || r > unicode.MaxASCII && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune(byContext, r) {
			return "", ErrEmail
		}
		if r <= unicode.MaxASCII && !isAlphanumeric(byte(r)) && r != '-' && r != '.' || i == 0 && r == '.' {
			return "", ErrEmail
		}
	}
	out, err := domains.ToASCII(s)
	if err != nil || strings.HasSuffix(out, ".") || strings.ContainsAny(out, "@ ") {
		return "", ErrEmail
	}
	labels := strings.Split(out, ".")
	for i, label := range strings.Split(s, ".") {
		if !isASCII(label) && (i >= len(labels) || !strings.HasPrefix(labels[i], "xn--")) {
			return "", ErrEmail // full-width letters and the like
		}
	}
	shown, err := domains.ToUnicode(out)
	if err != nil || slices.ContainsFunc(strings.Split(shown, "."), outOfContext) {
		return "", ErrEmail
	}
	top := labels[len(labels)-1]
	if len(labels) < 2 || strings.Trim(top, "0123456789") == "" {
		return "", ErrEmail
	}
	return out, nil
}

// byContext are the signs besides letters, digits and marks that a label may have where their
// rule in RFC 5892, appendix A, allows them: the joiners, whose rule package idna has, and the
// others, which outOfContext knows.
const byContext = "\u200c\u200d" + middleDot + keraia + geresh + gershayim + katakanaDot

const (
	middleDot   = "·"
	keraia      = "\u0375"
	geresh      = "\u05f3"
	gershayim   = "\u05f4"
	katakanaDot = "・"
)

// outOfContext reports whether a label has a sign where its rule (RFC 5892, A.3 to A.9) does not
// allow it.
func outOfContext(label string) bool {
	runes := []rune(label)
	at := func(i int) rune {
		if i < 0 || i >= len(runes) {
			return 0
		}
		return runes[i]
	}
	arabic, extended, japanese, dotted := false, false, false, false
	for i, r := range runes {
		switch {
		case string(r) == middleDot && (at(i-1) != 'l' || at(i+1) != 'l'),
			string(r) == keraia && !unicode.Is(unicode.Greek, at(i+1)),
			(string(r) == geresh || string(r) == gershayim) && !unicode.Is(unicode.Hebrew, at(i-1)):
			return true
		}
		arabic = arabic || r >= 0x660 && r <= 0x669
		extended = extended || r >= 0x6f0 && r <= 0x6f9
		japanese = japanese || unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han)
		dotted = dotted || string(r) == katakanaDot
	}
	return arabic && extended || dotted && !japanese
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// ID checks an id that the caller chose.
func ID(s string) error {
	if !isKey(s, MaxID) {
		return ErrID
	}
	return nil
}

// TeamRole checks the name of a role in a team.
func TeamRole(s string) error {
	if !isKey(s, MaxTeamRole) {
		return ErrTeamRole
	}
	return nil
}

// isKey reports whether a text has at most so many of the characters of ids.
func isKey(s string, most int) bool {
	if s == "" || len(s) > most || !isAlphanumeric(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlphanumeric(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Name checks a name. A valid name is stored unchanged.
func Name(s string) error {
	if len(s) > MaxName*utf8.UTFMax || utf8.RuneCountInString(s) > MaxName || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, isControl) {
		return ErrName
	}
	return nil
}

// Identifier checks the identifier of a target: 1 to [MaxIdentifier] characters, which are
// not control characters.
func Identifier(s string) error {
	if s == "" || len(s) > maxIdentifierBytes || utf8.RuneCountInString(s) > MaxIdentifier || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, isControl) {
		return ErrIdentifier
	}
	return nil
}

// Phone checks a phone number in its international form, +491521234567. Other forms
// are not converted: numbers with spaces, brackets or leading zeros are refused, and so is the
// zero of calls within a country after the country's code, unless numbers of the country
// begin with a zero (as those of Italy do): it would be a second spelling of a number.
func Phone(s string) error {
	digits, found := strings.CutPrefix(s, "+")
	if !found || len(digits) < MinPhone || len(digits) > MaxPhone || strings.Trim(digits, "0123456789") != "" || callingCode(digits) == "" {
		return ErrPhone
	}
	if digits[len(callingCode(digits))] == '0' && !hasPrefixIn(digits, zeroPrefixes) {
		return errTrunk
	}
	return nil
}

// hasPrefixIn reports whether digits begin with one of a list of prefixes.
func hasPrefixIn(digits, prefixes string) bool {
	return slices.ContainsFunc(strings.Fields(prefixes), func(prefix string) bool { return strings.HasPrefix(digits, prefix) })
}

// errTrunk is the ErrPhone of a number with the zero of calls within a country.
var errTrunk = fmt.Errorf("%w; leave out the 0 after the country's code, which no number of this country has", ErrPhone)

// callingCode returns the country code at the beginning of a number, or "".
func callingCode(digits string) string {
	codes := strings.Fields(callingCodes)
	for size := 1; size <= 3; size++ {
		if slices.Contains(codes, digits[:size]) {
			return digits[:size]
		}
	}
	return ""
}

// CallingCode returns the country code of a number.
func CallingCode(phone string) string { return callingCode(phone[1:]) }

// IsCallingCode reports whether a text is the code of a country or of a service.
func IsCallingCode(s string) bool { return slices.Contains(strings.Fields(callingCodes), s) }

// IsPremium reports whether a number of a country costs a premium.
func IsPremium(phone string) bool { return hasPrefixIn(phone[1:], premiumPrefixes) }

// IsServiceCode reports whether a country code belongs to a service.
func IsServiceCode(code string) bool { return slices.Contains(strings.Fields(serviceCodes), code) }

// PhonePrefix returns the part of a number that decides the price of a text message:
// the country code, and for the countries that share +1 also the area code.
func PhonePrefix(phone string) string {
	digits := phone[1:]
	code := callingCode(digits)
	if code == "1" {
		code = digits[:4]
	}
	return "+" + code
}

// Label checks a label.
func Label(s string) error {
	if s == "" || len(s) > MaxLabel {
		return ErrLabel
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) {
			return ErrLabel
		}
	}
	return nil
}

// isControl reports whether a character could break a line or a header.
func isControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// UserAgent returns the stored form of a user agent: valid text of at most
// MaxUserAgent bytes, with control characters replaced.
func UserAgent(s string) string {
	s = s[:min(len(s), 2*MaxUserAgent)]
	s = strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	for len(s) > MaxUserAgent {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
