package templates

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The maximum lengths of a text from outside, and of a subject, in characters.
const (
	maxText    = 64
	maxSupport = 128
	maxSubject = 200
)

// The zero-width non-joiner and joiner. Persian and Indic scripts need them.
const zwnj, zwj = '\u200c', '\u200d'

// likeQuotes look like quotation marks, but Unicode does not class them as such.
const likeQuotes = "❝❞❮❯🙶🙷🙸ʺˮ′″‴‵‶‷〃`´"

// Quoted is a text that did not come from the service. It is printed in quotation
// marks. An empty one is printed as "".
type Quoted struct{ plain string }

// Plain returns the words without quotation marks, for the subject or the
// header of a mail.
func (q Quoted) Plain() string { return q.plain }

func (q Quoted) String() string {
	if q.plain == "" {
		return ""
	}
	return "“" + q.plain + "”"
}

// shownAddress returns the address of a message in the form in which the message may show
// it. A stranger can ask for a message to any spelling of a mailbox, so the part after a +
// is left out, and a local part with other signs than letters, digits, periods, hyphens and
// underscores is quoted: it could hold a link.
func shownAddress(to string) string {
	local, domain, found := strings.Cut(to, "@")
	if !found {
		return to // a phone number
	}
	local, _, _ = strings.Cut(local, "+")
	isPlain := func(r rune) bool {
		return r == '.' || r == '-' || r == '_' || r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
	}
	if local == "" || strings.ContainsFunc(local, func(r rune) bool { return !isPlain(r) }) {
		return quote(local + "@" + domain).String()
	}
	return local + "@" + domain
}

// quote cleans a text from outside, and cuts it. It puts a space after each sign
// that could start or join a link in a mail program, or an encoded word of a
// header. So evil.example becomes evil. example.
func quote(s string) Quoted {
	var b strings.Builder
	for _, r := range clean(norm.NFKC.String(s), maxText) {
		switch {
		case unicode.Is(unicode.Quotation_Mark, r), strings.ContainsRune(likeQuotes, r):
			r = '\''
		case r == '@':
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		if strings.ContainsRune(".:@/\\?。", r) {
			b.WriteByte(' ')
		}
	}
	return Quoted{strings.Join(strings.Fields(b.String()), " ")}
}

// clean removes characters that are invisible or change how the rest is shown. It
// folds spaces, and cuts the text to most characters.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return -1
		case unicode.IsSpace(r), unicode.IsControl(r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			return ' '
		case unicode.In(r, unicode.Cf, unicode.Co, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) && r != zwnj && r != zwj:
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > most {
		s = strings.TrimSpace(string([]rune(s)[:most-1])) + "…"
	}
	return s
}
