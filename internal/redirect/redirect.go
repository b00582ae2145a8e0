// Package redirect decides to which URLs a secret may be sent, by a list of the host.
package redirect

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"example.com/latchkey/internal/reason"
)

// MaxLength is the longest URL in bytes.
const MaxLength = 2048

// List holds the targets that a host allows.
type List struct{ rules []rule }

// rule is one entry of a list.
type rule struct {
	scheme   string // "" means http and https
	host     string // "" means any host, for the scheme of an app
	port     string // for entries with a scheme and a host
	wildcard bool   // every name below host is allowed, but not host itself
}

// Parse reads a list. An entry has one of these forms:
//   - a host name, app.example.org: allowed with http or https, and with any port
//   - an IPv6 address in brackets, [fd00::1], in any spelling, in the place of a host name
//   - a host name with a wildcard, *.example.org: allows every name below example.org;
//     *.localhost allows the names below localhost, which lead to this machine (RFC 6761)
//   - an origin, https://app.example.org: allowed only with that scheme and port
//   - the scheme of an app, myapp:
func Parse(entries []string) (*List, error) {
	l := new(List)
	for _, entry := range entries {
		r, err := parseRule(entry)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
		l.rules = append(l.rules, r)
	}
	return l, nil
}

func parseRule(entry string) (r rule, err error) {
	if !isASCII(entry) {
		return r, errNotASCII
	}
	scheme, rest, found := strings.Cut(entry, ":")
	switch {
	case found && (rest == "" || rest == "//"):
		r.scheme = strings.ToLower(scheme)
		if !isScheme(r.scheme) || slices.Contains(forbidden, r.scheme) {
			return r, errors.New("not the scheme of an app")
		}
		return r, nil
	case found && strings.HasPrefix(rest, "//"):
		u, err := Read(entry)
		if err != nil {
			return r, err
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
			return r, errors.New("not a scheme and a host")
		}
		return rule{scheme: u.Scheme, host: hostOf(u), port: portOf(u)}, nil
	}
	name, wildcard := strings.CutPrefix(strings.ToLower(entry), "*.")
	name = canonical(name)
	if !isHost(name) || wildcard && (!strings.Contains(name, ".") && name != "localhost" || name[0] == '[') {
		return r, errors.New("not a host")
	}
	return rule{host: name, wildcard: wildcard}, nil
}

// forbidden are schemes that are not those of apps. Some would run code or read files.
var forbidden = []string{"http", "https", "javascript", "data", "vbscript", "file", "blob", "about", "filesystem", "view-source", "ftp", "ws", "wss"}

// Check returns the URL if a secret may be sent to it.
func (l *List) Check(text string) (*url.URL, error) {
	u, err := Read(text)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(l.rules, func(r rule) bool { return r.allows(u) }) {
		return nil, reason.New(reason.NotAllowed, "the host is not among those that are allowed")
	}
	return u, nil
}

// Read parses a URL. It refuses URLs that readers could split into parts in more than
// one way.
func Read(text string) (*url.URL, error) {
	if len(text) > MaxLength || !utf8.ValidString(text) {
		return nil, reason.New(reason.TooLong, "not a URL of at most %d bytes", MaxLength)
	}
	if strings.ContainsFunc(text, func(r rune) bool {
		return r == '\\' || unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
	}) {
		return nil, errors.New("a backslash, a space or a control character in a URL")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		return nil, errors.New("not a URL with a scheme and a host")
	}
	if u.User != nil {
		return nil, errors.New("a user in a URL")
	}
	if !isASCII(u.Host) { // readers map other hosts to ASCII in more than one way
		return nil, errNotASCII
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return u, nil
	}
	authority := text[strings.Index(text, ":")+1:]
	if !strings.HasPrefix(authority, "//") || !isHost(hostOf(u)) {
		return nil, errors.New("not a URL with a host")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("not a port")
		}
	}
	return u, nil
}

var errNotASCII = errors.New("a host that is not in ASCII; its form is xn--")

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// isHost reports whether s is a name of letters, digits, hyphens, underscores and periods in
// ASCII, or an IPv6 address in brackets. Names with underscores are those of containers and
// tenants.
func isHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		_, found := addressIn(s)
		return found
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" ||
			label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return len(s) <= 253
}

// addressIn returns the IPv6 address in brackets. An address with a zone is not one for links, and
// one that holds an IPv4 address is not told from that by all readers.
func addressIn(s string) (ip netip.Addr, found bool) {
	if !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]") {
		return ip, false
	}
	ip, err := netip.ParseAddr(s[1 : len(s)-1])
	return ip, err == nil && ip.Is6() && !ip.Is4In6() && ip.Zone() == ""
}

// canonical returns a host with an address in its one spelling.
func canonical(host string) string {
	if ip, found := addressIn(host); found {
		return "[" + ip.String() + "]"
	}
	return host
}

// hostOf returns the host in lower case and without its port. An IPv6 address keeps its
// brackets, and is in its one spelling.
func hostOf(u *url.URL) string {
	host := u.Host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return canonical(strings.ToLower(host))
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

func (r rule) allows(u *url.URL) bool {
	web := u.Scheme == "http" || u.Scheme == "https"
	if r.host == "" || !web {
		return r.host == "" && r.scheme == u.Scheme
	}
	host := hostOf(u)
	if r.host == "localhost" && (host == "127.0.0.1" || host == "[::1]") {
		host = "localhost"
	}
	switch {
	case r.scheme != "":
		return r.scheme == u.Scheme && r.host == host && r.port == portOf(u)
	case r.wildcard:
		return strings.HasSuffix(host, "."+r.host)
	}
	return r.host == host
}

// escaped escapes the signs of a part of a query that no URL has.
func escaped(part string) string {
	var b strings.Builder
	for i := range len(part) {
		if c := part[i]; c >= utf8.RuneSelf || strings.IndexByte("\"<>^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Param is one parameter of a link.
type Param struct{ Name, Value string }

// With returns a URL with parameters added after its own. Parameters of the URL with
// the same names are removed, because a reader would take the first of a name. The
// path, the other parameters and the fragment stay unchanged, but signs that no URL has
// (RFC 3986) are escaped: readers of a plain text would end the link there.
func With(u *url.URL, params ...Param) string {
	var query []string
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if part != "" && !slices.ContainsFunc(params, func(p Param) bool { return p.Name == name }) {
			query = append(query, escaped(part))
		}
	}
	for _, p := range params {
		query = append(query, url.QueryEscape(p.Name)+"="+url.QueryEscape(p.Value))
	}
	out := *u
	out.RawQuery, out.ForceQuery = strings.Join(query, "&"), false
	return out.String()
}
