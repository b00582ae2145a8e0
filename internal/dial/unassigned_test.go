package dial

import (
	"net/netip"
	"testing"
)

// The internet has the addresses of 2000::/3 and those that hold public IPv4 addresses. All others of IPv6 are
// unassigned, and where they lead to anything, it is a network that somebody has made for himself: 200::/7 is
// that of Yggdrasil.
func TestUnassignedAddressesAreNotPublic(t *testing.T) {
	for _, text := range []string{"200::1", "300:abcd::1", "400::1", "1000::1", "4000::1", "6000::1", "8000::1", "a000::1", "c000::1", "e000::1", "f000::1", "1::1", "::1:0:0:1", "2001:20::1", "2001:1::1"} {
		if IsPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is taken for public", text)
		}
	}
	for _, text := range []string{"2606:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "64:ff9b::808:808", "8.8.8.8", "::ffff:8.8.8.8"} {
		if !IsPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is not taken for public", text)
		}
	}
}
