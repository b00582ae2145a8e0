package codes

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func TestTypedReadsCodesAsPeopleGiveThem(t *testing.T) {
	for _, text := range []string{
		"123456", "123 456", "123-456", " 123456", "123456 ", "    123456\r\n", "1 2 3 4 5 6", "\t123456\v", "123\u00a0456", "123\u2009456", "123\u202f456",
		"\u3000123456", "123\u2028456", "123\u0085456", "\u1680123456", // white space
		"123\u2010456", "123\u2011456", "123\u2012456", "123\u2013456", "123\u2014456", "123\u2212456", "123\ufe58456", "123\uff0d456", "123\u058a456",
		"123\u30fc456", "123\uff70456", "123\u2043456", "—123456—", // dashes, and signs that are typed for them
		"\u2068123456\u2069", "\u202a123456\u202c", "\u200e123456", "123\ufe0d456", "123\u3164456", "\ufeff123456", "123\u00ad456", "123\u200b456", "123\u034f456",
		"\U000e0001123456", "\U000e0100123456", "123\u2060456", "123\u180e456", "\u115f123456\uffa0", "\u061c123456", // not shown
		"١٢٣٤٥٦", "۱۲۳۴۵۶", "१२३४५६", "１２３４５６", "১২৩৪৫৬", "๑๒๓๔๕๖", "၁၂၃၄၅၆", "༡༢༣༤༥༦", "𝟏𝟐𝟑𝟒𝟓𝟔", "𝟙𝟚𝟛𝟜𝟝𝟞", "𝟣𝟤𝟥𝟦𝟧𝟨", "𞥑𞥒𞥓𞥔𞥕𞥖",
		"١۲३4５𝟼", "१२३\u200d४५६", "１２３ー４５６", "1\ufe0f\u20e32\ufe0f\u20e33\ufe0f\u20e34\ufe0f\u20e35\ufe0f\u20e36\ufe0f\u20e3",
	} {
		if got := Typed(text); got != "123456" || !IsOTP(got) {
			t.Errorf("%q: %q", text, got)
		}
	}
	for _, text := range []string{
		"", " ", "-", "12345", "1234567", "12345a", "123456.", "123.456", "123,456", "G-123456", "12345①", "12345²", "一23456", "12345O", "12345l", "123\ufffc456",
		"123_456", "123·456", "0x123456", "+123456", "½23456", "#123456",
	} {
		if got := Typed(text); IsOTP(got) {
			t.Errorf("%q is taken: %q", text, got)
		}
	}
	if got := Typed("００４ ２１７"); got != "004217" {
		t.Errorf("%q", got)
	}
}

// The value of a digit follows from its place in its row. The compatibility forms say the
// same, and the rows have ten digits each.
func TestEachDecimalDigitHasItsValue(t *testing.T) {
	digits := 0
	for r := range rune(unicode.MaxRune) {
		value := digit(r)
		if unicode.Is(unicode.Nd, r) != (value >= 0) {
			t.Errorf("%U: %d", r, value)
		}
		if value < 0 {
			continue
		}
		if int(value) != digits%10 { // in the order of Unicode
			t.Errorf("%U: %d is not the digit after the one before", r, value)
		}
		digits++
		if plain := norm.NFKC.String(string(r)); plain != string(r) && plain != string('0'+value) {
			t.Errorf("%U: %d, but it stands for %q", r, value, plain)
		}
	}
	if digits < 660 || digits%10 != 0 {
		t.Errorf("%d digits", digits)
	}
}

func TestRecoveryCodesOutOfNotesAreRead(t *testing.T) {
	for _, strong := range []bool{false, true} {
		for _, code := range Recovery(strong) {
			plain := PlainRecovery(code)
			if !IsRecovery(plain) {
				t.Errorf("%q has no form", plain)
			}
			for _, sign := range []string{"\u2013", "\u2010", "\u2011", "\u2212", "\u00a0", "\u200b", "\u30fc", "\u2007", "\u2060", "\n"} {
				given := sign + code[:4] + sign + sign + code[4:] + sign + "\t"
				given = strings.ReplaceAll(given, "-", sign)
				if got := PlainRecovery(given); got != plain {
					t.Errorf("%q: %q, want %q", given, got, plain)
				}
			}
			wide := strings.Map(func(r rune) rune {
				if r == '-' {
					return r
				}
				return r - '!' + '！'
			}, code)
			if got := PlainRecovery(wide); got != plain {
				t.Errorf("%q: %q", wide, got)
			}
		}
	}
	for _, none := range []string{"", "abcdef012", "abcdef01234", "abcdef012.", "ábcdef0123", "abcde fghi j k"} {
		if IsRecovery(PlainRecovery(none)) {
			t.Errorf("%q is taken", none)
		}
	}
}

func FuzzTyped(f *testing.F) {
	for _, text := range []string{"123 456", "１２３ー４５６", "ABCD-EFGH", "\xff123456", "123\u200b456"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		typed := Typed(text)
		if again := Typed(typed); again != typed {
			t.Errorf("%q: %q, and then %q", text, typed, again)
		}
		if plain := PlainRecovery(text); PlainRecovery(plain) != plain {
			t.Errorf("%q: %q, and then %q", text, plain, PlainRecovery(plain))
		}
		if AllDigits(text) && typed != text {
			t.Errorf("%q: %q", text, typed)
		}
	})
}
