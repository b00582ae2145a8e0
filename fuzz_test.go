package latchkey

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
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

// Whatever comes as a link or a code is refused in one of two ways, changes
// nothing but what is counted, and is no secret of another kind.
func FuzzRedeem(f *testing.F) {
	s := memory.Open()
	engine, err := New(s, Config{
		Keys: Keys{Active: GenerateKey()}, Notifier: new(notify.Outbox), Logger: slog.New(slog.DiscardHandler),
		Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = engine.Close()
		_ = s.Close()
	})
	ctx := context.Background()
	user, err := engine.Users().Create(ctx, NewUser{UserID: "ada", Email: "ada@example.org"})
	if err != nil {
		f.Fatal(err)
	}
	session, err := engine.Users().CreateSession(ctx, user.ID)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := engine.Users().CreateToken(ctx, user.ID, 128, year); err != nil {
		f.Fatal(err)
	}
	guest := engine.Guest(Client{})
	f.Add("ada", session.Secret.Reveal())
	f.Add("ada", "123456")
	f.Add("nobody", strings.Repeat("0", 128))
	f.Add("_", "\xff")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, secret string) {
		_, err := guest.CreateSession(ctx, id, secret)
		var slowed *ThrottledError
		if err != ErrInvalidToken && !errors.Is(err, ErrArgumentInvalid) && !errors.As(err, &slowed) {
			t.Errorf("%q, %q: %v", id, secret, err)
		}
		if _, err := guest.InspectToken(ctx, id, secret); err != ErrInvalidToken && !errors.Is(err, ErrArgumentInvalid) {
			t.Errorf("%q, %q: %v", id, secret, err)
		}
	})
}
