package latchkey_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
)

func TestLocaleOfAClientIsKeptShort(t *testing.T) {
	host := authtest.New(t, latchkey.Config{})
	for locale, want := range map[string]string{"de": "de", "de\r\nX: y": "", "dé": "", strings.Repeat("x", 1000): strings.Repeat("x", 128)} {
		client := authtest.Client
		client.Locale = locale
		if err := kit.Err(host.Engine.Guest(client).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: kit.Ada})); err != nil {
			t.Fatal(err)
		}
		if m, err := host.Outbox.Next(t.Context(), kit.Ada); err != nil || m.Locale != want {
			t.Errorf("%q: %q, %v", locale, m.Locale, err)
		}
	}
}

func TestLimitsCountOneNetworkOfIPv6AndOneSpellingOfAnAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		for n := range 10 {
			_ = kit.LimitedCalls["createAccount"](k, kit.At(fmt.Sprintf("2001:db8:1:2::%x", n+1)))
			email := "ada@example.org"
			if n%2 == 0 {
				email = "ADA@Example.ORG"
			}
			_ = kit.Err(k.Guest(kit.At("192.0.2.9")).CreateEmailPasswordSession(k.Ctx, email, "wrong horse"))
		}
		if err := kit.LimitedCalls["createAccount"](k, kit.At("2001:db8:1:2:ffff::1")); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the same /64: %v", err)
		}
		if err := kit.LimitedCalls["createAccount"](k, kit.At("2001:db8:1:3::1")); errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("another /64: %v", err)
		}
		if err := kit.Err(k.Guest(kit.At("198.51.100.1")).CreateEmailPasswordSession(k.Ctx, "Ada@example.org", "wrong horse")); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the address in another spelling, from elsewhere: %v", err)
		}
		for range 10 {
			_ = kit.LimitedCalls["createAccount"](k, kit.At("192.0.2.7"))
		}
		if err := kit.LimitedCalls["createAccount"](k, kit.At("::ffff:192.0.2.7")); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("IPv4 in IPv6: %v", err)
		}
	})
}
