package canon

import (
	"errors"
	"testing"
)

// Each sign by context has a place of its own, each script of Japanese makes room for the dot, and
// every label is judged.
func TestEachSignByContextHasItsPlace(t *testing.T) {
	for _, domain := range []string{"א״א.example", "あ・い.jp", "ア・イ.jp", "日・本.jp", "example.col·legi.cat"} {
		got, err := Email("ada@" + domain)
		if err != nil {
			t.Errorf("%q: %v", domain, err)
			continue
		}
		if again, err := Email(got); err != nil || again != got {
			t.Errorf("%q: %q again: %q, %v", domain, got, again, err)
		}
	}
	for _, domain := range []string{"״א.example", "a״b.example", "ا״ا.example", "example.a·b.cat", "l·l.a・b.jp", "example.org.a͵.gr", "ا٠۱.example"} {
		if got, err := Email("ada@" + domain); !errors.Is(err, ErrEmail) {
			t.Errorf("%q: %q, %v", domain, got, err)
		}
	}
}
