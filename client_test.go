package latchkey_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
)

func TestLocaleOfAClientIsKeptShort(t *testing.T) {
	host := authtest.New(t, latchkey.Config{})
	long := "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7," + strings.Repeat("pt-BR;q=0.6,", 20)
	for locale, want := range map[string]string{
		"de": "de", "de\r\nX: y": "", "dé": "", strings.Repeat("x", 1000): strings.Repeat("x", 128), "": "",
		long: long[:119], "dé,fr,\x00,en;q=0.5": "fr,en;q=0.5", strings.Repeat("de,", 10_000): strings.Repeat("de,", 42) + "de",
	} {
		client := authtest.Client
		client.Locale = locale
		if err := kit.Err(host.Engine.Guest(client).CreateEmailToken(t.Context(), latchkey.NewEmailToken{Email: kit.Ada})); err != nil {
			t.Fatal(err)
		}
		if m, err := host.Mailbox.Next(t.Context(), kit.Ada); err != nil || m.Locale != want {
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

// oneClient are the addresses under which a host may see the client at 192.0.2.7.
var oneClient = []string{
	"192.0.2.7", "::ffff:192.0.2.7", "64:ff9b::192.0.2.7", "64:ff9b:1:5::192.0.2.7", "::192.0.2.7", "::ffff:0:192.0.2.7",
	"2002:c000:207:1::1", "2002:c000:207:2::1", "2001:0:4136:e378:8000:63bf:3fff:fdf8", "2001:0:808:808::3fff:fdf8",
}

// A client has one count, however its IPv4 address is written in an IPv6 address.
// Clients at other IPv4 addresses have their own counts, although they share a /64.
func TestAddressesThatHoldAnotherCountAsIt(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		for n := range 10 {
			if err := kit.LimitedCalls["createAccount"](k, kit.At(oneClient[n%len(oneClient)])); errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("call %d: %v", n+1, err)
			}
		}
		for _, ip := range oneClient {
			if err := kit.LimitedCalls["createAccount"](k, kit.At(ip)); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s: %v", ip, err)
			}
		}
		for _, ip := range []string{
			"192.0.2.8", "64:ff9b::192.0.2.8", "64:ff9b:1:5::192.0.2.9", "::192.0.2.10", "::ffff:0:192.0.2.11", "2002:c000:20c:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdf2",
			"2001:db8:0:1:0:5efe:192.0.2.7", "2001:db8:0:2:200:5efe:192.0.2.7", "2002:a00:1::1", "::1",
		} {
			if err := kit.LimitedCalls["createAccount"](k, kit.At(ip)); errors.Is(err, latchkey.ErrRateLimitExceeded) {
				k.Errorf("%s, another client: %v", ip, err)
			}
		}
	})
}

// A host chooses the lower half of its address. It gets neither another count by that, nor
// the count of another client.
func TestAddressesThatHoldAnotherAreNotBelievedInTheLowerHalf(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		for n := range 10 {
			_ = kit.LimitedCalls["createAccount"](k, kit.At(fmt.Sprintf("2001:db8:1:2:0:5efe:192.0.2.%d", n)))
		}
		if err := kit.LimitedCalls["createAccount"](k, kit.At("2001:db8:1:2:200:5efe:198.51.100.1")); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("the same /64: %v", err)
		}
		if err := kit.LimitedCalls["createAccount"](k, kit.At("192.0.2.0")); errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("a client whose address was written there: %v", err)
		}
	})
}

// The owner is known by any form of their address, and the log has the form that came.
func TestAddressesThatHoldAnotherAreLoggedAsTheyCame(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(k.Try("2002:c000:207:1::1", kit.Ada, kit.Password))
		for n := range 11 {
			_ = k.Try(fmt.Sprintf("203.0.113.%d", n), kit.Ada, "wrong horse")
		}
		for _, ip := range oneClient {
			if err := k.Try(ip, kit.Ada, kit.Password); err != nil {
				k.Errorf("%s, which is known: %v", ip, err)
			}
		}
		if err := k.Try("2001:db8::5efe:192.0.2.7", kit.Ada, kit.Password); !errors.Is(err, latchkey.ErrRateLimitExceeded) {
			k.Errorf("a stranger: %v", err)
		}
		logs, err := k.Users().Logs(k.Ctx, user.ID)
		k.Must(err)
		seen := make(map[string]bool)
		for _, line := range logs.Logs {
			seen[line.IP] = true
		}
		for _, ip := range oneClient[2:] {
			if !seen[netip.MustParseAddr(ip).String()] {
				k.Errorf("%s is not in the log", ip)
			}
		}
	})
}
