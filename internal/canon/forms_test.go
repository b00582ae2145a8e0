package canon

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

func TestPhone(t *testing.T) {
	for in, want := range map[string]bool{
		"+1415555": true, "+14155552456": true, "+919367788755111": true, "+4915212345678": true, "+99812345678": true,
		"+141555": false, "+1415555245634543": false, "+0415553452342": false, "+8020000000": false, "14155552456": false,
		"": false, "+": false, "+1 415 5552456": false, "+1-415-5552456": false, "+1415555245٣": false, "++14155552456": false,
		"+14155552456\n": false, "+14155552456;ext=1": false, strings.Repeat("1", 1<<20): false,
	} {
		if err := Phone(in); (err == nil) != want {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestCallingCodesAreThoseOfLibphonenumber(t *testing.T) {
	codes := strings.Fields(callingCodes)
	known := slices.Sorted(maps.Keys(phonenumbers.GetSupportedCallingCodes()))
	var want []string
	for _, code := range known {
		want = append(want, strconv.Itoa(code))
	}
	slices.Sort(codes)
	slices.Sort(want)
	if !slices.Equal(codes, want) {
		t.Errorf("have %v\nwant %v", codes, want)
	}
	for _, a := range codes { // otherwise the first match could be the wrong one
		for _, b := range codes {
			if a != b && strings.HasPrefix(a, b) {
				t.Errorf("%s begins with %s", a, b)
			}
		}
	}
}

// The codes of services are those that libphonenumber calls non-geographical.
func TestServiceCodesAreThoseOfLibphonenumber(t *testing.T) {
	var want []string
	for code := range phonenumbers.GetSupportedGlobalNetworkCallingCodes() {
		want = append(want, strconv.Itoa(code))
	}
	slices.Sort(want)
	if have := strings.Fields(serviceCodes); !slices.Equal(have, want) {
		t.Errorf("have %v\nwant %v", have, want)
	}
}

// Numbers that libphonenumber takes for premium ones are known as such, and no others are.
func TestPremiumNumbersAreThoseOfLibphonenumber(t *testing.T) {
	alike := []string{"IE", "KH", "LB", "MV", "MY", "NE", "PM", "TH"} // their premium numbers begin like others of theirs
	for region := range phonenumbers.GetSupportedRegions() {
		for _, kind := range []phonenumbers.PhoneNumberType{phonenumbers.PREMIUM_RATE, phonenumbers.MOBILE, phonenumbers.FIXED_LINE, phonenumbers.VOIP, phonenumbers.PERSONAL_NUMBER} {
			example := phonenumbers.GetExampleNumberForType(region, kind)
			if example == nil || kind == phonenumbers.PREMIUM_RATE && slices.Contains(alike, region) {
				continue
			}
			number := phonenumbers.Format(example, phonenumbers.E164)
			if got := IsPremium(number); got != (kind == phonenumbers.PREMIUM_RATE) {
				t.Errorf("%s, %s of kind %d: %v", region, number, kind, got)
			}
		}
	}
	random := rand.New(rand.NewPCG(22, 22))
	for _, prefix := range strings.Fields(premiumPrefixes) {
		code := callingCode(prefix)
		country, err := strconv.Atoi(code)
		if err != nil {
			t.Fatal(err)
		}
		premium := 0
		for n := 0; n < 300 || premium == 0 && n < 20_000; n++ {
			digits := prefix[len(code):]
			for range 2 + random.IntN(8) {
				digits += strconv.Itoa(random.IntN(10))
			}
			national, _ := strconv.ParseUint(digits, 10, 64)
			number := &phonenumbers.PhoneNumber{CountryCode: new(int32(country)), NationalNumber: &national}
			switch kind := phonenumbers.GetNumberType(number); kind {
			case phonenumbers.PREMIUM_RATE:
				premium++
			case phonenumbers.UNKNOWN: // no number
			default:
				t.Errorf("+%s%s is of kind %d", code, digits, kind)
			}
		}
		if premium == 0 {
			t.Errorf("+%s begins no premium number", prefix)
		}
	}
}

func TestLabel(t *testing.T) {
	for in, want := range map[string]bool{
		"vip": true, "A1": true, strings.Repeat("x", 36): true, "": false, strings.Repeat("x", 37): false, "a b": false, "a-b": false, "ä": false, "a\x00": false,
	} {
		if err := Label(in); (err == nil) != want {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":null}],"c":"\u00e4\ud83d\ude00"}`, `{"a":1,"a":2}`, `{"\u0000":1}`, `[]`, `{"a":1e999}`, ` { } `, `{"a":"\\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, err := Object(raw, 1000)
		if err != nil {
			return
		}
		if len(text) > 1000 || text[0] != '{' {
			t.Errorf("%q", text)
		}
		again, err := Object([]byte(text), 1000)
		if err != nil || again != text {
			t.Errorf("%q is not its own canonical form: %q, %v", text, again, err)
		}
	})
}

func ExampleObject() {
	text, err := Object([]byte(` {"a" : [ 1, 2 ]} `), 100)
	fmt.Println(text, err)
	// Output: {"a":[1,2]} <nil>
}

func FuzzPhone(f *testing.F) {
	f.Add("+14155552456")
	f.Add("+8020000000")
	f.Fuzz(func(t *testing.T, s string) {
		if Phone(s) != nil {
			return
		}
		if s[0] != '+' || len(s) < 8 || len(s) > 16 || s[1] == '0' || strings.Trim(s[1:], "0123456789") != "" {
			t.Errorf("%q", s)
		}
	})
}

func FuzzID(f *testing.F) {
	f.Add("a.b-c_D9")
	f.Fuzz(func(t *testing.T, s string) {
		if ID(s) == nil && (len(s) == 0 || len(s) > 36 || strings.ContainsAny(s, " /\\\x00\n@:") || strings.ContainsAny(s[:1], ".-_")) {
			t.Errorf("%q", s)
		}
	})
}

func FuzzUserAgent(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; Linux x86_64)")
	f.Add("\xff\x00\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		out := UserAgent(s)
		if len(out) > MaxUserAgent || !utf8.ValidString(out) || strings.ContainsFunc(out, isControl) || UserAgent(out) != out {
			t.Errorf("%q became %q", s, out)
		}
	})
}

// after returns the states of a program after a digit. nil are those at its beginning.
func after(p *syntax.Prog, states map[uint32]bool, digit rune) map[uint32]bool {
	next := make(map[uint32]bool)
	var enter func(pc uint32)
	enter = func(pc uint32) {
		if next[pc] {
			return
		}
		next[pc] = true
		switch i := p.Inst[pc]; i.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			enter(i.Out)
			enter(i.Arg)
		case syntax.InstCapture, syntax.InstNop, syntax.InstEmptyWidth:
			enter(i.Out)
		}
	}
	if states == nil {
		enter(uint32(p.Start))
		return next
	}
	for pc := range states {
		if i := p.Inst[pc]; (i.Op == syntax.InstRune || i.Op == syntax.InstRune1) && i.MatchRune(digit) {
			enter(i.Out)
		}
	}
	return next
}

// The beginnings of numbers with a zero are those of the patterns of libphonenumber, to four digits.
func TestNumbersWithAZeroAreThoseOfLibphonenumber(t *testing.T) {
	all, err := phonenumbers.MetadataCollection()
	if err != nil {
		t.Fatal(err)
	}
	plans := make(map[string][]*syntax.Prog)
	for _, m := range all.GetMetadata() {
		pattern, err := syntax.Parse(m.GetGeneralDesc().GetNationalNumberPattern(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := syntax.Compile(pattern.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		code := strconv.Itoa(int(m.GetCountryCode()))
		plans[code] = append(plans[code], plan)
	}
	for code, list := range plans {
		for n := range 1000 {
			digits := fmt.Sprintf("0%03d", n)
			begins := slices.ContainsFunc(list, func(plan *syntax.Prog) bool {
				states := after(plan, nil, 0)
				for _, digit := range digits {
					states = after(plan, states, digit)
				}
				return len(states) > 0
			})
			if err := Phone("+" + code + digits + "12345"); (err == nil) != begins {
				t.Errorf("+%s%s: %v, begins a number: %v", code, digits, err, begins)
			}
		}
	}
}

// A zero behind the country's code is another spelling of a number, unless the plan of the country
// has it.
func TestAZeroBehindTheCountrysCodeIsRefused(t *testing.T) {
	for phone, want := range map[string]bool{
		"+390266307129": true, "+2250705181123": true, "+3780549882345": true, "+24106031234": true, "+2290197123456": true, "+242061234567": true, "+4702123": true,
		"+4407911123456": false, "+49030123456": false, "+81090123456": false, "+550114123456": false, "+10212555123": false, "+3580401234567": false,
		"+610412345678": false, "+330612345678": false, "+37805412345": false, "+229012345": true, "+22902345678": false, "+3606201234567": false, "+8613812345678": true, "+86013812345678": false,
	} {
		err := Phone(phone)
		if (err == nil) != want || err != nil && (!errors.Is(err, ErrPhone) || !strings.Contains(err.Error(), "leave out the 0")) {
			t.Errorf("%s: %v", phone, err)
		}
	}
}

// Signs that a domain may have by their context are taken where RFC 5892 allows them, and their
// domain has one canonical form.
func TestDomainsAreJudgedByContext(t *testing.T) {
	for domain, want := range map[string]string{
		"paral·lel.cat": "xn--parallel-koa.cat", "PARAL·LEL.CAT": "xn--parallel-koa.cat", "col·legi.cat": "xn--collegi-xma.cat",
		"نامه\u200cای.com": "xn--mgba3gch31f060k.com", "パ・ン.jp": "xn--odk8cxa.jp", "ア・ア.example": "", "क्\u200dष.example": "xn--11b2ezcw70k.example", "א׳א.example": "", "͵α.gr": "",
	} {
		got, err := Email("ada@" + domain)
		if err != nil || want != "" && got != "ada@"+want {
			t.Errorf("%q: %q, %v, want %s", domain, got, err, want)
			continue
		}
		if again, err := Email(got); err != nil || again != got {
			t.Errorf("%q: %q again: %q, %v", domain, got, again, err)
		}
	}
	for _, domain := range []string{
		"a·b.example", "·a.example", "l·.example", "·l.example", "l··l.example", "・.jp", "a・b.jp", "a͵.gr", "͵.gr", "a׳b.example", "׳א.example", "a٠۱.example", "ا٠۱.example", "xn--ab-0ea.example",
		"a\u200db.example", "exa\u200dmple.org", "\u200cexample.org", "example\u200c.org", "क्\u200cا.example", "क्\u200cषa\u200cb.example", "exam\ufffcple.org", "example.org\u00a0",
		"example。org", "example．org", "example｡org", "exam\u00adple.org", "ab--c.example", "ex‧ample.org", "l\uff65l.jp", "a\u30fbb.jp",
	} {
		if got, err := Email("ada@" + domain); !errors.Is(err, ErrEmail) {
			t.Errorf("%q: %q, %v", domain, got, err)
		}
	}
}
