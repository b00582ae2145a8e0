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

// Proxies finds the addresses of clients behind proxies. A [Site] has its own. Make one with [NewProxies]
// where a host needs an address without a Site, for example for its access log.
type Proxies struct {
	prefixes []netip.Prefix
	unix     bool   // connections by a Unix socket come from a proxy
	header   string // in canonical form
	logger   *slog.Logger
	once     sync.Once
}

// NewProxies returns the proxies that write a header: see ForwardedHeader and Proxies of [Config]. The error
// names what is wrong.
func NewProxies(header string, proxies ...string) (*Proxies, error) {
	p := &Proxies{header: http.CanonicalHeaderKey(header), logger: slog.Default()}
	if p.header == "" {
		p.header = "X-Forwarded-For"
	}
	if strings.ContainsFunc(p.header, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) {
		return nil, fmt.Errorf("web: ForwardedHeader: %q is no name of a header", header)
	}
	for _, text := range proxies {
		if text == "unix" {
			p.unix = true
			continue
		}
		prefix, found := readPrefix(text)
		if !found {
			return nil, fmt.Errorf("web: Proxies: %q is no prefix of addresses, no address and not unix", text)
		}
		p.prefixes = append(p.prefixes, prefix)
	}
	return p, nil
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

// Address returns the address of the client of a request; the zero one if it is not known. It walks from
// the connection towards the client for as long as the hop is a proxy. An entry that is no address ends
// the walk: no proxy vouches for the entries before it. Then the address of the proxy counts, for all of
// its clients together, which is logged once.
func (p *Proxies) Address(r *http.Request) netip.Addr {
	hop, trusted := p.peer(r)
	if !trusted {
		return hop
	}
	entries := p.entries(r)
	if len(entries) == 0 {
		p.unnamed(hop)
	}
	for _, entry := range slices.Backward(entries) {
		ip, found := readHop(entry)
		if !found {
			p.unnamed(hop)
			break
		}
		hop = ip
		if !p.trusts(hop) {
			break
		}
	}
	return hop
}

// unnamed tells once that a proxy has not named its client: everybody behind it shares one count in every
// limit then.
func (p *Proxies) unnamed(proxy netip.Addr) {
	p.once.Do(func() {
		p.logger.Warn("web: a request has no address of a client in "+p.header+": the address of the proxy counts, for all of its clients together", "proxy", proxy)
	})
}

// peer returns the other end of the connection, and whether it is a proxy.
func (p *Proxies) peer(r *http.Request) (ip netip.Addr, trusted bool) {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		ip = plain(at.Addr())
		return ip, p.trusts(ip)
	}
	if ip, err := netip.ParseAddr(r.RemoteAddr); err == nil { // of a host that has set it
		return plain(ip), p.trusts(plain(ip))
	}
	return ip, p.unix && (r.RemoteAddr == "" || r.RemoteAddr[0] == '@' || r.RemoteAddr[0] == '/')
}

func (p *Proxies) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(p.prefixes, func(prefix netip.Prefix) bool { return prefix.Contains(ip) })
}

// maxHops is the number of entries of the header that are looked at, from its end.
const maxHops = 32

// entries returns the last entries of the header, that of the last proxy last. Several lines are one
// list.
func (p *Proxies) entries(r *http.Request) []string {
	var entries []string
	cut, read := strings.LastIndexByte, func(entry string) string { return entry }
	if p.header == "Forwarded" {
		cut, read = lastUnquoted, forOf
	}
	for _, line := range slices.Backward(r.Header.Values(p.header)) {
		for at := len(line); at >= 0 && len(entries) < maxHops; {
			line = line[:at]
			at = cut(line, ',')
			entries = append(entries, read(line[at+1:]))
		}
	}
	slices.Reverse(entries)
	return entries
}

// lastUnquoted returns the place of the last separator that is not within quotation marks; -1 if there is
// none. It reads backwards, because the last proxy has written the end: a mark without a partner in the part of a
// client changes nothing after it. Proxies quote the host that a client has named, which may have any
// separator in it.
func lastUnquoted(text string, separator byte) int {
	quoted := false
	for i := len(text) - 1; i >= 0; i-- {
		switch {
		case text[i] == '"' && !isEscaped(text[:i]):
			quoted = !quoted
		case text[i] == separator && !quoted:
			return i
		}
	}
	return -1
}

// isEscaped reports whether the byte after a text is escaped by it.
func isEscaped(before string) bool {
	return (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1
}

// forOf returns the value of the parameter "for" of an element of Forwarded; "" if it has none, or two.
func forOf(element string) (value string) {
	for at := len(element); at >= 0; {
		element = element[:at]
		at = lastUnquoted(element, ';')
		name, text, _ := strings.Cut(strings.TrimSpace(element[at+1:]), "=")
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
	host, port := entry, ""
	if inner, rest, bracketed := strings.Cut(entry, "]"); bracketed && strings.HasPrefix(inner, "[") {
		host, port = inner[1:], rest
	} else if strings.Count(entry, ":") == 1 { // an IPv6 address has more
		cut := strings.IndexByte(entry, ':')
		host, port = entry[:cut], entry[cut:]
	}
	if port != "" && !isPort(port) {
		return ip, false
	}
	ip, err := netip.ParseAddr(host)
	return plain(ip), err == nil
}

// isPort reports whether a text is a colon and a port, which may be empty. Proxies may hide ports behind a
// name with an underscore (RFC 7239 6.3).
func isPort(text string) bool {
	port, found := strings.CutPrefix(text, ":")
	_, hidden := strings.CutPrefix(port, "_")
	return found && !strings.ContainsFunc(port, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("._-", r)
		return (r < '0' || r > '9') && !(hidden && letter)
	})
}
