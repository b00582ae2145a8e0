package canon

import "net/netip"

// holders are the IPv6 prefixes whose addresses hold an IPv4 address in a way that the
// holder cannot choose: an answer to the address is routed to that IPv4 address.
// (The addresses of ISATAP are not among them: any host may give itself the interface
// identifier 0:5efe:a.b.c.d in a network of its own.)
var holders = []struct {
	prefix netip.Prefix
	at     int  // of the first of four bytes
	turned bool // each bit is inverted
	// global says that the answer is routed over the public internet, where private
	// addresses mean nothing. The others are routed by a translator of the host's own
	// network, which may well have private addresses.
	global bool
}{
	{prefix: netip.MustParsePrefix("::/96"), at: 12},                                 // IPv4-compatible, RFC 4291
	{prefix: netip.MustParsePrefix("::ffff:0:0/96"), at: 12},                         // IPv4-mapped, RFC 4291
	{prefix: netip.MustParsePrefix("::ffff:0:0:0/96"), at: 12},                       // IPv4-translated, RFC 2765
	{prefix: netip.MustParsePrefix("64:ff9b::/96"), at: 12},                          // translation, RFC 6052
	{prefix: netip.MustParsePrefix("64:ff9b:1::/48"), at: 12},                        // local translation, RFC 8215, by prefixes of 96 bits
	{prefix: netip.MustParsePrefix("2002::/16"), at: 2, global: true},                // 6to4, RFC 3056: a whole /48
	{prefix: netip.MustParsePrefix("2001::/32"), at: 12, turned: true, global: true}, // Teredo, RFC 4380
}

// shared are the addresses of carriers behind which customers share public ones,
// RFC 6598.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// HeldIPv4 returns the IPv4 address that an IPv6 address holds, if the client at the one
// is the client at the other. Addresses that no client can have are not returned: they
// would put clients together that have nothing in common.
func HeldIPv4(ip netip.Addr) (held netip.Addr, found bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	ip = ip.WithZone("")
	for _, h := range holders {
		if !h.prefix.Contains(ip) {
			continue
		}
		all := ip.As16()
		four := [4]byte(all[h.at:])
		if h.turned {
			for i := range four {
				four[i] = ^four[i]
			}
		}
		held = netip.AddrFrom4(four)
		return held, isHost(held) && !(h.global && (held.IsPrivate() || shared.Contains(held)))
	}
	return netip.Addr{}, false
}

// isHost reports whether an IPv4 address can be that of a client on another machine.
func isHost(ip netip.Addr) bool {
	first := ip.As4()[0]
	return first != 0 && first < 224 && !ip.IsLoopback() && !ip.IsLinkLocalUnicast()
}
