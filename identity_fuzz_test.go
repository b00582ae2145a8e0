package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
)

// Whatever parameters come back from a provider, a callback without a good code is refused by an
// error of the engine. It leaves no row, and uses up the start whose state it has.
func FuzzCallback(f *testing.F) {
	ctx := context.Background()
	s := memory.Open()
	acme := kit.NewProvider("acme")
	var log bytes.Buffer
	engine, err := latchkey.New(s, latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Notifier: new(notify.Mailbox), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})),
		Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), RedirectHosts: []string{"app.example.org"}, Providers: []oauth.Provider{acme, kit.NewProvider("other")},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = engine.Close()
		_ = s.Close()
	})
	guest := engine.Guest(latchkey.Client{})
	rows := func() map[string]int {
		count := make(map[string]int)
		for _, table := range record.Schema.Tables() {
			n, err := s.Count(ctx, store.Query{Index: table.Primary()})
			if err != nil {
				f.Fatal(err)
			}
			if name := table.Name(); name != "logs" {
				count[name] = n
			}
		}
		return count
	}
	big := strings.Repeat("x", 1<<16)
	for _, query := range []string{
		"state=STATE&code=x", "state=STATE&code=x&iss=https://acme.example.com", "code=x", "state=&code=x", "state=STATE&state=STATE&code=x", "state=STATEx&code=x", "state=STATE", "state=STATE&code=", "state=STATE&code=x&code=y", "state=STATE&code=" + big,
		"state=STATE&error=access_denied", "state=STATE&error=access_denied&code=x", "state=STATE&error=a&error=b", "state=STATE&error=%00&error_description=x", "state=STATE&code=x&iss=https://evil.example.com", "state=STATE&code=x&iss=", "state=STATE&code=x&iss=a&iss=b",
		"state=STATE&code=x&user={}", "state=STATE&code=x&user=Ada", `state=STATE&code=x&user={"name":{"firstName":"a","lastName":"b"}}`, `state=STATE&code=x&user={"name":[]}`, `state=STATE&code=x&user={"name":{},"name":{}}`, "state=STATE&code=x&user=" + big, "state=STATE&code=x&session_state=" + big,
		"state=STATE&code=x&accounts-server=https://evil.example.com", "state=%ff&code=%ff", "state=STATE&code=%ff", "state=STATE;code=x", "", "&&&", "=", "%zz",
	} {
		f.Add(query, "acme", true)
		f.Add(query, "other", true)
		f.Add(query, "", false)
	}
	f.Fuzz(func(t *testing.T, query, provider string, bound bool) {
		start, err := guest.StartOAuth2(ctx, latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL, Failure: "https://app.example.org/out"})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(start.URL)
		if err != nil {
			t.Fatal(err)
		}
		state := u.Query().Get("state")
		parameters, _ := url.ParseQuery(strings.ReplaceAll(query, "STATE", state))
		before := rows()
		cb := latchkey.OAuth2Callback{Provider: provider, Parameters: parameters}
		if bound {
			cb.Binding = start.Binding.Reveal()
		}
		result, err := guest.FinishOAuth2(ctx, cb)
		var own *latchkey.Error
		if result != nil || !errors.As(err, &own) || strings.Contains(err.Error(), state) {
			t.Errorf("%q: %v, %v", query, result, err)
		}
		if slices.Equal(parameters["state"], []string{state}) {
			before["starts"]--
			var at *latchkey.OAuth2Error
			if !errors.As(err, &at) || at.Failure != "https://app.example.org/out" {
				t.Errorf("%q: %v does not tell the page", query, err)
			}
		}
		if after := rows(); !maps.Equal(before, after) {
			t.Errorf("%q: %v, and before %v", query, after, before)
		}
		if log.Len() != 0 {
			t.Errorf("%q: %s", query, &log)
		}
		again := latchkey.OAuth2Callback{Provider: "acme", Parameters: url.Values{"state": parameters["state"], "code": {"x"}}, Binding: start.Binding.Reveal()}
		if _, err := guest.FinishOAuth2(ctx, again); !errors.Is(err, latchkey.ErrInvalidToken) {
			t.Errorf("%q, once more: %v", query, err)
		}
	})
}
