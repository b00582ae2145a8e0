package main

import (
	"net/netip"
	"testing"
)

// A proxy may be named by an address in any spelling.
func TestAProxyIsNamedByAnySpellingOfItsAddress(t *testing.T) {
	for text, peer := range map[string]string{
		"::ffff:10.1.2.3": "10.1.2.3", "10.1.2.3": "::ffff:10.1.2.3", "fe80::1%eth0": "fe80::1%eth1", "2001:DB8:0::1": "2001:db8::1", "::ffff:10.1.0.0/112": "10.1.9.9",
	} {
		p, found := readPrefix(text)
		f := &forwarding{proxies: []netip.Prefix{p}}
		if got := f.client(netip.MustParseAddr(peer), []string{"203.0.113.9"}); !found || got != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("%s: %v, %v", text, p, got)
		}
	}
}
