package latchkey

import (
	"encoding/json"
	"strings"
	"testing"
)

// Only the exact form of a secret is digested, and each has its own digest.
func FuzzSecret(f *testing.F) {
	valid := strings.Repeat("0123456789abcdef", 4)
	f.Add(valid)
	f.Add(strings.ToUpper(valid))
	f.Add(valid + "0")
	f.Fuzz(func(t *testing.T, s string) {
		sum, ok := Secret(s).digest(sessionLabel)
		if want := len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""; ok != want {
			t.Errorf("%q: %v", s, ok)
		}
		if other, _ := Secret(s).digest("other/v1"); ok && other == sum {
			t.Error("two purposes, one digest")
		}
	})
}

// Whatever a client says of itself, it is understood or not, stored and read
// back.
func FuzzDevice(f *testing.F) {
	f.Add("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/70.0.3538.110 Safari/537.36")
	f.Add("Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) Version/16.0 Mobile/15E148 Safari/604.1")
	f.Add("(((((;;;;;/////")
	f.Fuzz(func(t *testing.T, agent string) {
		client := Client{UserAgent: agent}.canonical()
		d := client.device()
		back, err := decodeDevice(d.encode())
		if err != nil || back != d {
			t.Errorf("%+v became %+v, %v", d, back, err)
		}
		if text, err := json.Marshal(d); err != nil || len(text) > 8*len(client.UserAgent)+400 {
			t.Errorf("%d bytes of a %d-byte agent, %v", len(text), len(client.UserAgent), err)
		}
		_ = d.String()
	})
}
