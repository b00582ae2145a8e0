package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"example.com/latchkey/internal/redirect"
)

// Base is the address of a site as its users see it: http or https, a host, and a port unless it is
// the usual one. For example https://app.example.org or http://localhost:8080.
type Base string

// parse returns the parts of a base address.
func (b Base) parse() (*url.URL, error) {
	u, err := redirect.Read(string(b))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", string(b), err)
	}
	if u.Scheme != "https" && u.Scheme != "http" || strings.TrimSuffix(u.Path, "/") != "" || strings.ContainsAny(string(b), "?#") {
		return nil, fmt.Errorf("%q: not just http or https, a host and a port", string(b))
	}
	return u, nil
}

// origin returns the address as browsers name it in the header Origin; "" if it is none.
func (b Base) origin() string {
	u, err := b.parse()
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		host = strings.TrimSuffix(host, ":"+u.Port())
	}
	return u.Scheme + "://" + host
}

// URL returns the address of a path of the site, such as /verify?from=mail. It is "" if the base is no
// address, which [New] refuses.
func (b Base) URL(path string) string {
	origin := b.origin()
	if origin == "" {
		return ""
	}
	return origin + "/" + strings.TrimPrefix(path, "/")
}

// Hosts returns the entry for the field RedirectHosts of [latchkey.Config] with which the links in
// messages lead to this site and to no other. It is empty if the base is no address.
func (b Base) Hosts() []string {
	if origin := b.origin(); origin != "" {
		return []string{origin}
	}
	return nil
}

// isLoopback reports whether a host of a URL is this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// maxNext is the length of the longest address in the parameter next, in bytes.
const maxNext = 2048

// isLocal reports whether a text is the path of a page of this site, perhaps with a query, in the
// eyes of every browser: browsers leave out tabs and line ends, and read a backslash as a slash.
func isLocal(path string) bool {
	if len(path) > maxNext || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		return false
	}
	if strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return false
	}
	u, err := url.Parse(path)
	return err == nil && u.Host == "" && u.Scheme == "" && u.User == nil
}

// Next returns the page that the user wanted before they were led to another one: the parameter next of
// the query or the form, if it is a path of this site of at most 2,048 bytes, and "/" otherwise.
func Next(r *http.Request) string {
	if next := r.FormValue(nextName); isLocal(next) {
		return next
	}
	return "/"
}

const nextName = "next"

// led returns the address of a page with the parameter next, unless that is the first page.
func led(page, next string) string {
	if next == "/" || !isLocal(next) {
		return page
	}
	separator := "?"
	if strings.Contains(page, "?") {
		separator = "&"
	}
	return page + separator + nextName + "=" + url.QueryEscape(next)
}

// came returns the page to which the user comes back after a detour: the one that the request asks for,
// or for a form the page of the site on which it was.
func (s *Site) came(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.URL.RequestURI()
	}
	from, found := strings.CutPrefix(r.Referer(), s.config.Base.origin())
	if found && isLocal(from) {
		return from
	}
	return "/"
}
