package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// clients finds the addresses of clients.
type clients struct {
	proxies []netip.Prefix
	unix    bool   // connections by a Unix socket come from a proxy
	header  string // in canonical form
	logger  *slog.Logger
	once    sync.Once
}

func newClients(c Config) (*clients, error) {
	f := &clients{header: http.CanonicalHeaderKey(c.ForwardedHeader), logger: c.Logger}
	if f.header == "" {
		f.header = "X-Forwarded-For"
	}
	if strings.ContainsFunc(f.header, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) {
		return nil, fmt.Errorf("web: ForwardedHeader: %q is no name of a header", c.ForwardedHeader)
	}
	for _, text := range c.Proxies {
		if text == "unix" {
			f.unix = true
			continue
		}
		p, found := readPrefix(text)
		if !found {
			return nil, fmt.Errorf("web: Proxies: %q is no prefix of addresses, no address and not unix", text)
		}
		f.proxies = append(f.proxies, p)
	}
	return f, nil
}

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

// address returns the address of the client of a request; the zero one if it is not known. It walks
// from the connection towards the client for as long as the hop is a proxy. An entry that is no address
// ends the walk: no proxy vouches for the entries before it.
func (f *clients) address(r *http.Request) netip.Addr {
	hop, trusted := f.peer(r)
	if !trusted {
		return hop
	}
	entries := f.entries(r)
	for _, entry := range slices.Backward(entries) {
		ip, found := readHop(entry)
		if !found {
			break
		}
		hop = ip
		if !f.trusts(hop) {
			return hop
		}
	}
	f.once.Do(func() {
		f.logger.Warn("web: a request has no address of a client in "+f.header+": the address of the proxy counts, for all of its clients together", "proxy", hop)
	})
	return hop
}

// peer returns the other end of the connection, and whether it is a proxy.
func (f *clients) peer(r *http.Request) (ip netip.Addr, trusted bool) {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		ip = plain(at.Addr())
		return ip, f.trusts(ip)
	}
	if ip, err := netip.ParseAddr(r.RemoteAddr); err == nil { // of a host that has set it
		return plain(ip), f.trusts(plain(ip))
	}
	return ip, f.unix && (r.RemoteAddr == "" || r.RemoteAddr[0] == '@' || r.RemoteAddr[0] == '/')
}

func (f *clients) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(f.proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// maxHops is the number of entries of the header that are looked at, from its end.
const maxHops = 32

// entries returns the last entries of the header, that of the last proxy last. Several lines are one
// list.
func (f *clients) entries(r *http.Request) []string {
	var entries []string
	for _, line := range slices.Backward(r.Header.Values(f.header)) {
		for len(entries) < maxHops {
			cut := strings.LastIndexByte(line, ',')
			entry := line[cut+1:]
			if f.header == "Forwarded" {
				entry = forOf(entry)
			}
			entries = append(entries, entry)
			if cut < 0 {
				break
			}
			line = line[:cut]
		}
	}
	slices.Reverse(entries)
	return entries
}

// forOf returns the value of the parameter "for" of an element of Forwarded; "" if it has none, or two. A
// comma within quotation marks cuts an element in two, of which none is an address.
func forOf(element string) (value string) {
	for pair := range strings.SplitSeq(element, ";") {
		name, text, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if !strings.EqualFold(name, "for") {
			continue
		}
		if value != "" {
			return ""
		}
		value = text
	}
	return value
}

// readHop reads an entry: an address, which may be in quotation marks or brackets, and have a port.
func readHop(entry string) (ip netip.Addr, found bool) {
	entry = strings.TrimSpace(entry)
	if n := len(entry); n > 1 && entry[0] == '"' && entry[n-1] == '"' {
		entry = entry[1 : n-1]
	}
	host := entry
	if inner, rest, bracketed := strings.Cut(entry, "]"); bracketed && strings.HasPrefix(inner, "[") {
		if rest != "" && !isPort(rest) {
			return ip, false
		}
		host = inner[1:]
		ip, err := netip.ParseAddr(host)
		return plain(ip), err == nil && strings.Contains(host, ":")
	}
	if strings.Count(entry, ":") == 1 { // an IPv6 address has more
		cut := strings.IndexByte(entry, ':')
		if !isPort(entry[cut:]) {
			return ip, false
		}
		host = entry[:cut]
	}
	ip, err := netip.ParseAddr(host)
	return plain(ip), err == nil
}

// isPort reports whether a text is a colon and a port. Proxies may hide ports behind a name with an
// underscore (RFC 7239 6.3).
func isPort(text string) bool {
	port, found := strings.CutPrefix(text, ":")
	if !found || port == "" || len(port) > 64 {
		return false
	}
	return !strings.ContainsFunc(port, func(r rune) bool {
		return (r < '0' || r > '9') && (port[0] != '_' || (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("._-", r))
	})
}
