// Package dial keeps connections to hosts that others have named away from the network of the
// program itself.
package dial

import (
	"context"
	"errors"
	"net/netip"
	"syscall"

	"example.com/latchkey/internal/canon"
)

// ErrNotPublic is the error of a connection to an address that [IsPublic] refuses.
var ErrNotPublic = errors.New("dial: the address is not public")

// Public is the ControlContext of a [net.Dialer] that connects only to public addresses. It sees
// the address of each connection after the name was resolved, so a name that resolves to
// another address at the next look-up does not pass.
func Public(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !IsPublic(at.Addr()) {
		return ErrNotPublic
	}
	return nil
}

// reserved are networks that are not public, beside those that package netip knows.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("3fff::/20"),
	// The platform of Azure answers its machines here. Other clouds use link-local, unique
	// local and shared addresses.
	netip.MustParsePrefix("168.63.129.16/32"),
}

// IPv6 has the internet in global. In nat64 are the addresses of IPv4, in teredo those that hold
// one, and the rest of special is for protocols.
var (
	global  = netip.MustParsePrefix("2000::/3")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	special = netip.MustParsePrefix("2001::/23")
	teredo  = netip.MustParsePrefix("2001::/32")
)

// IsPublic reports whether an address is one of the internet. An address that holds an IPv4 address
// counts as that too.
func IsPublic(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if held, _ := canon.HeldIPv4(a); held.IsValid() && !IsPublic(held) {
		return false
	}
	if all := a.As16(); a.Is6() && (all[8] == 0 || all[8] == 2) && all[9] == 0 && all[10] == 0x5e && all[11] == 0xfe && !IsPublic(netip.AddrFrom4([4]byte(all[12:]))) {
		return false // ISATAP: a router of the network itself sends it on to that address
	}
	if a.Is6() && (!global.Contains(a) && !nat64.Contains(a) || special.Contains(a) && !teredo.Contains(a)) {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsGlobalUnicast() && !a.IsPrivate()
}
