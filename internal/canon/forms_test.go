package canon

import (
	"fmt"
	"maps"
	"math/rand/v2"
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
