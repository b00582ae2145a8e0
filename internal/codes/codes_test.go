package codes

import (
	"crypto/rand"
	"encoding/base32"
	"regexp"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// The values of RFC 4226, appendix D.
func TestHOTPValuesOfRFC4226(t *testing.T) {
	app := TOTP{Seed: []byte("12345678901234567890"), Algorithm: "SHA1", Digits: 6}
	for step, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := app.At(uint64(step)); got != want {
			t.Errorf("%d: %s, want %s", step, got, want)
		}
	}
}

// The values of RFC 6238, appendix B, for SHA-1 and SHA-256.
func TestTOTPValuesOfRFC6238(t *testing.T) {
	sha1 := TOTP{Seed: []byte("12345678901234567890"), Algorithm: "SHA1", Digits: 8}
	sha256 := TOTP{Seed: []byte("12345678901234567890123456789012"), Algorithm: "SHA256", Digits: 8}
	for unix, want := range map[int64][2]string{
		59: {"94287082", "46119246"}, 1111111109: {"07081804", "68084774"}, 1111111111: {"14050471", "67062674"},
		1234567890: {"89005924", "91819424"}, 2000000000: {"69279037", "90698825"}, 20000000000: {"65353130", "77737706"},
	} {
		now := time.Unix(unix, 0)
		for i, app := range []TOTP{sha1, sha256} {
			if step := app.Match(want[i], now); step != unix/TOTPPeriod {
				t.Errorf("%d, %s: step %d", unix, app.Algorithm, step)
			}
		}
	}
}

// Another implementation makes the same codes from random seeds.
func TestCodesAreThoseOfAnotherImplementation(t *testing.T) {
	for n := range 200 {
		app := TOTP{Seed: make([]byte, 20+n%13), Algorithm: "SHA1", Digits: 6 + n%2*2}
		_, _ = rand.Read(app.Seed)
		options := hotp.ValidateOpts{Digits: otp.Digits(app.Digits), Algorithm: otp.AlgorithmSHA1}
		if n%3 == 0 {
			app.Algorithm, options.Algorithm = "SHA256", otp.AlgorithmSHA256
		}
		step := uint64(n) * 1_000_003
		want, err := hotp.GenerateCodeCustom(app.Text(), step, options)
		if got := app.At(step); err != nil || got != want {
			t.Errorf("%+v at %d: %s, want %s, %v", app, step, got, want, err)
		}
	}
}

func TestMatchAcceptsTheNeighboursAndNoFurtherStep(t *testing.T) {
	app := TOTP{Seed: []byte("12345678901234567890"), Algorithm: "SHA1", Digits: 6}
	now := time.Unix(100*TOTPPeriod+7, 0)
	for step, want := range map[uint64]int64{98: -1, 99: 99, 100: 100, 101: 101, 102: -1} {
		if got := app.Match(app.At(step), now); got != want {
			t.Errorf("code of step %d: %d, want %d", step, got, want)
		}
	}
	if got := app.Match(app.At(0), time.Unix(3, 0)); got != 0 {
		t.Errorf("at the beginning of time: %d", got)
	}
	for _, text := range []string{"", "12345", "1234567", "12345a", " 23456", "\u0661\u0661\u0661"} {
		if app.HasForm(text) || app.Match(text, now) != -1 {
			t.Errorf("%q", text)
		}
	}
}

func TestTextOfASeedIsBase32WithoutPadding(t *testing.T) {
	app := TOTP{Seed: make([]byte, 21)}
	back, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(app.Text())
	if err != nil || len(back) != 21 {
		t.Errorf("%q: %v", app.Text(), err)
	}
}

func TestOTPsAreSixDigits(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		code := OTP()
		if len(code) != OTPDigits || !AllDigits(code) {
			t.Fatalf("%q", code)
		}
		seen[code] = true
	}
	if len(seen) < 95 {
		t.Errorf("%d different codes of 100", len(seen))
	}
}

func TestRecoveryCodesHaveTheirForm(t *testing.T) {
	for _, c := range []struct {
		strong bool
		n      int
		form   string
	}{
		{false, 6, `^[0-9a-f]{10}$`}, {true, 10, `^([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}$`},
	} {
		form, drawn := regexp.MustCompile(c.form), Recovery(c.strong)
		if len(drawn) != c.n {
			t.Errorf("%d codes", len(drawn))
		}
		for _, code := range drawn {
			if !form.MatchString(code) || IsShortRecovery(code) == c.strong {
				t.Errorf("%q", code)
			}
		}
	}
}

func TestTypedRecoveryCodesAreReadAsTheyWereShown(t *testing.T) {
	for typed, want := range map[string]string{
		"0123456789": "0123456789", "ABCDEF 0123": "abcdef0123", "ab-cd-ef-01-23": "abcdef0123",
		"oIl0-1111-1111-1111-1111-1111": "011011111111111111111111",
	} {
		if got := PlainRecovery(typed); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}

func TestPhraseIsTwoWords(t *testing.T) {
	form := regexp.MustCompile(`^[A-Z][a-z]+ [A-Z][a-z]+$`)
	for range 50 {
		if p := Phrase(); !form.MatchString(p) {
			t.Errorf("%q", p)
		}
	}
}
