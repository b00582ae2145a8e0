package latchkey_test

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
)

type locator func(netip.Addr) string

func (l locator) Country(ip netip.Addr) string { return l(ip) }

func TestCountryIsFrozenInSessionsAndLookedUpForLogs(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		answer := func(netip.Addr) string { return "DE" }
		engine, err := latchkey.New(k.Store, latchkey.Config{
			Keys: k.Keys, LimiterPerProcess: true, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Logger: slog.New(slog.DiscardHandler),
			Locator: locator(func(ip netip.Addr) string { return answer(ip) }),
		})
		k.Must(err)
		k.SignUp(kit.Ada)
		guest := engine.Guest(kit.Client)
		country := func() string {
			session, err := guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			k.Must(err)
			return session.Device.CountryCode
		}
		if got := country(); got != "de" {
			k.Errorf("country %q", got)
		}
		for _, odd := range []string{"", "Germany", "--?"} {
			answer = func(netip.Addr) string { return odd }
			if got := country(); got != "" {
				k.Errorf("country %q of %q", got, odd)
			}
		}
		answer = func(netip.Addr) string { panic("no database") }
		if got := country(); got != "" {
			k.Errorf("country %q after a panic", got)
		}
		answer = func(netip.Addr) string { return "fr" }
		session, err := guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		logs, err := account.Logs(k.Ctx)
		k.Must(err)
		for _, l := range logs.Logs {
			if l.Device.CountryCode != "fr" {
				k.Errorf("log at %v from %q", l.Time, l.Device.CountryCode)
			}
		}
		first, err := account.Sessions(k.Ctx)
		k.Must(err)
		if got := first.Sessions[0].Device.CountryCode; got != "de" {
			k.Errorf("the first session is now from %q", got)
		}
		nowhere, err := engine.Guest(latchkey.Client{}).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		if nowhere.Device.CountryCode != "" {
			k.Error("no address, and a country")
		}
	})
}

// Every user agent is parsed or ignored. The stored device is read back unchanged.
func FuzzDevice(f *testing.F) {
	f.Add("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/70.0.3538.110 Safari/537.36")
	f.Add("Mozilla/5.0 (iPhone; CPU iPhone OS 16_0 like Mac OS X) Version/16.0 Mobile/15E148 Safari/604.1")
	f.Add("(((((;;;;;/////")
	f.Fuzz(func(t *testing.T, agent string) {
		d, back, err := latchkey.StoredDevice(latchkey.Client{UserAgent: agent})
		if err != nil || back != d {
			t.Errorf("%+v became %+v, %v", d, back, err)
		}
		if text, err := json.Marshal(d); err != nil || len(text) > 8*min(len(agent), 512)+400 {
			t.Errorf("%d bytes of a %d-byte agent, %v", len(text), len(agent), err)
		}
		_ = d.String()
	})
}
