package canon

import (
	"net/netip"
	"testing"
)

// The addresses are those of the documents, or were worked out by hand from their layouts.
func TestAddressesThatHoldAnotherAreReadByTheirLayout(t *testing.T) {
	for in, want := range map[string]string{
		// RFC 6052, 2.4: the well-known prefix.
		"64:ff9b::192.0.2.33": "192.0.2.33", "64:ff9b::c633:6407": "198.51.100.7", "64:ff9b::8.8.8.8": "8.8.8.8",
		"64:ff9b::10.0.0.1": "10.0.0.1", "64:ff9b::100.64.0.9": "100.64.0.9", // a translator of the host's own network
		"64:ff9b::": "", "64:ff9b::127.0.0.1": "", "64:ff9b::0.1.2.3": "", "64:ff9b::224.0.0.1": "", "64:ff9b::255.255.255.255": "",
		"64:ff9b::169.254.1.1": "", "64:ff9b:0:0:0:1:c000:221": "",
		// RFC 8215: local prefixes of 96 bits.
		"64:ff9b:1::192.0.2.33": "192.0.2.33", "64:ff9b:1:fffe::10.1.2.3": "10.1.2.3", "64:ff9b:1:abcd:0:5:cb00:7109": "203.0.113.9",
		"64:ff9b:1::": "", "64:ff9b:1:fffe::127.0.0.1": "", "64:ff9b:2::192.0.2.33": "",
		// IPv4-mapped, IPv4-compatible (RFC 4291, 2.5.5) and IPv4-translated (RFC 2765, 2.1).
		"::ffff:192.0.2.33": "192.0.2.33", "::ffff:10.0.0.1": "10.0.0.1", "::ffff:cb00:7109": "203.0.113.9", "::ffff:0.0.0.0": "",
		"::192.0.2.33": "192.0.2.33", "::10.0.0.1": "10.0.0.1", "::cb00:7109": "203.0.113.9", "::": "", "::1": "", "::127.0.0.1": "",
		"::ffff:0:192.0.2.33": "192.0.2.33", "::ffff:0:10.0.0.1": "10.0.0.1", "::ffff:0:cb00:7109": "203.0.113.9", "::ffff:0:0:0": "",
		// RFC 3056, 2: the IPv4 address is in bits 16 to 47, and all of the /48 is one site.
		"2002:c000:221::1": "192.0.2.33", "2002:c000:221:ffff:1:2:3:4": "192.0.2.33", "2002:cb00:7109::": "203.0.113.9", "2002:808:808::808:808": "8.8.8.8",
		"2002:a00:1::1": "", "2002:c0a8:101::1": "", "2002:ac10:1::1": "", "2002:6440:1::1": "", "2002:7f00:1::1": "", "2002::1": "", "2002:e000:1::1": "",
		// RFC 4380, 4: the client's address has its bits inverted in the last 32. The
		// example of the server 65.54.227.120 and the client 192.0.2.45.
		"2001:0:4136:e378:8000:63bf:3fff:fdd2": "192.0.2.45", "2001:0:102:304:0:1:3fff:fdd2": "192.0.2.45", "2001:0:c000:221::34ff:8ef6": "203.0.113.9",
		"2001:0:4136:e378:8000:63bf:f5ff:fffe": "", "2001:0:4136:e378:8000:63bf:3f57:fefe": "", "2001::": "", "2001::ffff:ffff": "", "2001::80ff:fffe": "",
		"2001:1::3fff:fdd2": "",
		// A host chooses the identifier of RFC 5214 in any network that it has.
		"fe80::5efe:192.0.2.33": "", "2001:db8::5efe:192.0.2.33": "", "2001:db8::200:5efe:192.0.2.33": "", "2001:db8:1:2:200:5efe:c000:221": "",
		// No address of these families.
		"192.0.2.33": "", "2001:db8::1": "", "2001:db8::192.0.2.33": "", "::1:192.0.2.33": "", "::fffe:192.0.2.33": "", "2003:c000:221::1": "", "fe80::1%eth0": "",
	} {
		got := ""
		if held, found := HeldIPv4(netip.MustParseAddr(in)); found {
			got = held.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if _, found := HeldIPv4(netip.Addr{}); found {
		t.Error("the zero address holds one")
	}
}
