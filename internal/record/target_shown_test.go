package record

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
	"unicode/utf8"
)

// What is read fast is what encoding/json reads, and whatever has another form is left to it.
func TestTargetsAreReadAsJSON(t *testing.T) {
	at := time.UnixMicro(-1_700_000_000_123_456).UTC()
	for _, targets := range [][]*Target{
		nil,
		{{ID: "a", UserID: "u", Created: at, Updated: at.Add(time.Hour), ProviderType: "email", Identifier: "a@example.org"}},
		{{ID: "a", UserID: "u", Created: at, Updated: at, Name: "\u00e9\U0001F600", ProviderID: "fcm", ProviderType: "push", Identifier: "x", Expired: true}, {ID: "b", UserID: "u", Created: at, Updated: at}},
		{{ID: "quoted", UserID: "u", Created: at, Updated: at, Identifier: "a\"b\\c<d>\u2028"}},
	} {
		text, err := EncodeTargets(targets)
		if err != nil {
			t.Fatal(err)
		}
		got, err := TargetsOf(&User{ID: "u", Targets: text})
		if err != nil || !slices.EqualFunc(got, targets, func(a, b *Target) bool { return *a == *b }) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "[", "{}", "[{]", `[{"id":}]`, `[{"id":"a"}`, `[{"id":"a"}]x`, `[{"created":"x"}]`, `[{"created":-}]`, `[{"id":"a",}]`} {
		if got, err := TargetsOf(&User{Targets: bad}); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func FuzzTargetsAreReadAsJSON(f *testing.F) {
	f.Add(`[{"id":"a","created":1,"updated":2,"name":"","provider":"","type":"push","identifier":"x","expired":1}]`)
	f.Add(`[{"type":"push","id":"a"},{"expired":0}]`)
	f.Add(`[{"id":"a","id":"b"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		fast, plain := plainTargets(text)
		if !plain || !json.Valid([]byte(text)) || !utf8.ValidString(text) { // a store holds only JSON in UTF-8
			return
		}
		var slow []shownTarget
		if err := json.Unmarshal([]byte(text), &slow); err != nil || !slices.Equal(fast, slow) {
			t.Errorf("%q: %v, not %v (%v)", text, fast, slow, err)
		}
	})
}
