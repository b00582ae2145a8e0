package templates

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The most characters of what others have written, and of a subject.
const (
	maxText    = 64
	maxSubject = 200
)

// What joins letters and what keeps them apart, in Persian and in Indic scripts.
const zwnj, zwj = '\u200c', '\u200d'

// likeQuotes look like quotation marks and are not called so.
const likeQuotes = "❝❞❮❯🙶🙷🙸ʺˮ′″‴‵‶‷〃`´"

// Quoted is what somebody else has written. Printed, it is in quotation marks;
// without anything in it, it is "".
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

// quote cleans what others have written, and cuts it. Signs that make a link for
// readers of mail, or an encoded word of a header, get a space behind them, so
// that none does: evil. example.
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

// clean takes away what is not shown or changes how the rest is shown, folds
// spaces, and cuts to so many characters.
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
