package canon

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEmail(t *testing.T) {
	for in, want := range map[string]string{
		"ada@example.org":                  "ada@example.org",
		"Ada@EXAMPLE.Org":                  "ada@example.org",
		"a.b+tag_1@sub.example.co":         "a.b+tag_1@sub.example.co",
		"o'neil@example.org":               "o'neil@example.org",
		"ada@bücher.example":               "ada@xn--bcher-kva.example",
		"ada@BÜCHER.example":               "ada@xn--bcher-kva.example",
		"ada@straße.example":               "ada@xn--strae-oqa.example",
		"a@1.2.com":                        "a@1.2.com",
		strings.Repeat("a", 64) + "@x.org": strings.Repeat("a", 64) + "@x.org",
	} {
		got, err := Email(in)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

// AC-005, AC-006, AC-007, AC-008, AC-112: one grammar, and no other form is accepted.
func TestAC006EmailGrammar(t *testing.T) {
	for _, in := range []string{
		"", "@", "a@", "@x.org", "a", "a@b", "a@@x.org", "a@x@y.org", "a@evil.test@corp.test",
		".a@x.org", "a.@x.org", "a..b@x.org", "a b@x.org", "a@x .org", " a@x.org", "a@x.org ", "a@x.org\t",
		`"a@evil.test"@victim.test`, `"a"@x.org`, "a@x.org, b@y.org", "a@x.org;b@y.org", "<a@x.org>", "Ada <a@x.org>",
		"a(c)@x.org", "a%b@x.org", "a!b@x.org", "a:b@x.org", `a\b@x.org`, "a@[192.0.2.1]", "a@192.0.2.1", "a@x.1",
		"a@x.org.", "a@.org", "a@x..org", "a@-x.org", "a@x-.org", "a@x_y.org", "a@x.org\r\nBcc: b@y.org", "a@x.org\x00", "a\x00@x.org",
		"a\uff20x.org", "a@x\uff0eorg", "a@x\u3002org", "a@\uff45vil.org", "a@\u212aelvin.org", "a@x.or\u2061g", "m\u0131ke@x.org", "mi\u212ae@x.org",
		"a\xff@x.org", "a@\xff.org", "a@x.org\u2028", "a@xn--a.org", strings.Repeat("a", 65) + "@x.org",
		"a@" + strings.Repeat("a", 64) + ".org", "a@" + strings.Repeat("abc.", 80) + "org", strings.Repeat("a", 1<<20) + "@x.org",
	} {
		if got, err := Email(in); err == nil {
			t.Errorf("%.80q is taken as %q", in, got)
		}
	}
}

func TestID(t *testing.T) {
	for _, in := range []string{"a", "0", "A.b-c_d", strings.Repeat("a", 36)} {
		if err := ID(in); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
	for _, in := range []string{"", "_a", "-a", ".a", "a b", "a/b", "ä", "a\x00", "unique()", strings.Repeat("a", 37)} {
		if ID(in) == nil {
			t.Errorf("%q is taken", in)
		}
	}
}

func TestUserAgentIsCutAndClean(t *testing.T) {
	for in, want := range map[string]string{
		"Mozilla/5.0":              "Mozilla/5.0",
		"a\r\nb\x1b[31m\u2028\x00": "a  b [31m  ",
		"a\xffb":                   "a?b",
		strings.Repeat("ä", 1<<20): strings.Repeat("ä", 256),
	} {
		if got := UserAgent(in); got != want {
			t.Errorf("%.20q: %.40q of %d bytes", in, got, len(got))
		}
	}
}

func FuzzEmail(f *testing.F) {
	for _, s := range []string{"ada@example.org", "Ada@BÜCHER.example", "a@xn--bcher-kva.example", `"a"@x.org`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		once, err := Email(in)
		if err != nil {
			return
		}
		twice, err := Email(once)
		if err != nil || twice != once || len(once) > MaxEmail || strings.Count(once, "@") != 1 || strings.ToLower(once) != once {
			t.Errorf("%q becomes %q, then %q, %v", in, once, twice, err)
		}
		for i := range len(once) {
			if once[i] <= ' ' || once[i] >= 0x7f {
				t.Errorf("%q becomes %q", in, once)
			}
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add("Ada")
	f.Fuzz(func(t *testing.T, in string) {
		if Name(in) == nil && (!utf8.ValidString(in) || strings.ContainsAny(in, "\r\n\x00")) {
			t.Errorf("%q is taken", in)
		}
		if out := UserAgent(in); len(out) > MaxUserAgent || !utf8.ValidString(out) || strings.ContainsAny(out, "\r\n\x00") {
			t.Errorf("%q becomes %q", in, out)
		}
	})
}
