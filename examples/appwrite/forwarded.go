package main

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// readPrefix reads a prefix of addresses, or one address. Prefixes of IPv4 addresses that are
// written as IPv6 mean the same.
func readPrefix(text string) (p netip.Prefix, found bool) {
	if ip, err := netip.ParseAddr(text); err == nil {
		ip = plain(ip)
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, false
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// plain returns an address as prefixes hold it.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// readForwarded reads an entry of X-Forwarded-For: an address, which may be in quotation marks or
// brackets, and have a port.
func readForwarded(entry string) (ip netip.Addr, found bool) {
	entry = strings.Trim(strings.TrimSpace(entry), `"`)
	if inner, rest, bracketed := strings.Cut(strings.TrimPrefix(entry, "["), "]"); bracketed && strings.HasPrefix(entry, "[") {
		if rest != "" && !strings.HasPrefix(rest, ":") {
			return ip, false
		}
		entry = inner
	} else if host, _, found := strings.Cut(entry, ":"); found && strings.Count(entry, ":") == 1 { // an IPv6 address has more
		entry = host
	}
	ip, err := netip.ParseAddr(entry)
	return plain(ip), err == nil
}

// forwarding finds the address of the client of a request.
type forwarding struct {
	first   bool           // the first address of the header, which a client may have written
	proxies []netip.Prefix // the last that is not one of these

	once sync.Once
}

// client returns the address of the client. peer is the other end of the connection, and headers
// are the lines of X-Forwarded-For, which are one list.
func (f *forwarding) client(peer netip.Addr, headers []string) netip.Addr {
	if peer.IsValid() {
		peer = plain(peer)
	}
	var entries []string
	for _, line := range headers {
		entries = append(entries, strings.Split(line, ",")...)
	}
	if len(f.proxies) > 0 {
		return f.behind(peer, entries)
	}
	if !f.first {
		return peer
	}
	for _, entry := range entries {
		if ip, found := readForwarded(entry); found {
			return ip
		}
	}
	f.fallBack()
	return peer
}

// behind walks from the connection towards the client for as long as the hop is a proxy that is
// trusted. An entry that is no address ends it: no trusted proxy has seen those before it.
func (f *forwarding) behind(peer netip.Addr, entries []string) netip.Addr {
	trusted := func(ip netip.Addr) bool {
		return slices.ContainsFunc(f.proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	hop := peer
	for _, entry := range slices.Backward(entries) {
		if !trusted(hop) {
			return hop
		}
		ip, found := readForwarded(entry)
		if !found {
			break
		}
		hop = ip
	}
	if trusted(hop) {
		f.fallBack()
	}
	return hop
}

// fallBack tells once that the address of a proxy counts as that of a client: everybody behind
// the proxy shares one count in every limit then.
func (f *forwarding) fallBack() {
	f.once.Do(func() {
		slog.Warn("a request has no address of a client in X-Forwarded-For: the address of the proxy counts, for all of its clients together")
	})
}
