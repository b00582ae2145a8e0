package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/web"
)

// from returns the address that a site sees in a request.
func from(h *host, peer, header string, lines ...string) netip.Addr {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = peer
	for _, line := range lines {
		r.Header.Add(header, line)
	}
	return h.Client(r).IP
}

func TestTheAddressOfTheClientIsTheLastThatIsNoProxy(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) {
		c.Proxies = []string{"10.0.0.0/8", "::1", "fd00::/8", "::ffff:192.168.0.0/112", "unix"}
	})
	for _, c := range []struct {
		peer, want string
		lines      []string
	}{
		{"203.0.113.5:4711", "203.0.113.5", nil},
		{"203.0.113.5:4711", "203.0.113.5", []string{"198.51.100.1"}}, // no proxy, so its header counts for nothing
		{"10.0.0.1:80", "198.51.100.1", []string{"198.51.100.1"}},
		{"[::ffff:10.0.0.1]:80", "198.51.100.1", []string{"198.51.100.1"}},
		{"[::1]:80", "198.51.100.1", []string{"192.0.2.66, 198.51.100.1"}}, // the client has written the first
		{"[::1]:80", "198.51.100.1", []string{"192.0.2.66", "198.51.100.1"}},
		{"[::1]:80", "198.51.100.1", []string{"192.0.2.66, 198.51.100.1, 10.2.3.4,fd00::9", " 192.168.7.7 "}},
		{"[::1%lo0]:80", "198.51.100.1", []string{"198.51.100.1:1234"}},
		{"[::1]:80", "2001:db8::1", []string{"[2001:db8::1]:1234"}},
		{"[::1]:80", "2001:db8::1", []string{`"[2001:db8::1]"`}},
		{"[::1]:80", "2001:db8::1", []string{"2001:db8::1"}},
		{"[::1]:80", "2001:db8::1", []string{"2001:DB8:0::1%eth0"}},
		{"[::1]:80", "198.51.100.1", []string{"::ffff:198.51.100.1"}},
		// What is no address ends the walk at the proxy that wrote it.
		{"[::1]:80", "::1", []string{"198.51.100.1, unknown"}},
		{"[::1]:80", "::1", []string{"198.51.100.1,"}},
		{"[::1]:80", "10.0.0.7", []string{"198.51.100.1, nonsense, 10.0.0.7"}},
		{"[::1]:80", "::1", []string{"198.51.100.1:port"}}, {"[::1]:80", "::1", []string{"[2001:db8::1"}},
		{"[::1]:80", "::1", []string{"[2001:db8::1]x"}}, {"[::1]:80", "::1", []string{"198.51.100.1 10"}}, {"[::1]:80", "::1", []string{"198.051.100.1"}}, {"[::1]:80", "::1", []string{"3325256705"}},
		{"[::1]:80", "198.51.100.1", []string{"[198.51.100.1]:80"}}, {"[::1]:80", "198.51.100.1", []string{"198.51.100.1:"}}, {"[::1]:80", "::1", []string{""}}, {"[::1]:80", "::1", nil},
		{"[::1]:80", "::1", []string{`"198.51.100.12`}}, {"[::1]:80", "::1", []string{`198.51.100.12"`}}, {"[::1]:80", "::1", []string{"2001:db8::1]"}}, {"[::1]:80", "::1", []string{"[2001:db8::1]80"}}, {"[::1]:80", "::1", []string{"2001:db8::1]:80"}},
		// A host may have set the address alone.
		{"203.0.113.5", "203.0.113.5", []string{"198.51.100.1"}}, {"10.0.0.1", "198.51.100.1", []string{"198.51.100.1"}}, {"::ffff:10.0.0.1", "198.51.100.1", []string{"198.51.100.1"}}, {"::ffff:203.0.113.5", "203.0.113.5", nil},
		{"/run/proxy.sock", "198.51.100.1", []string{"198.51.100.1"}}, {"@", "198.51.100.1", []string{"198.51.100.1"}}, {"", "198.51.100.1", []string{"198.51.100.1"}}, {"@", "invalid IP", []string{"x"}},
		{"nonsense", "invalid IP", []string{"198.51.100.1"}},
		{"[::1]:80", "198.51.100.1", []string{"192.0.2.66, 198.51.100.1" + strings.Repeat(", 10.0.0.1", 30)}},
		{"[::1]:80", "10.0.0.1", []string{"192.0.2.66, 198.51.100.1" + strings.Repeat(", 10.0.0.1", 40)}}, // more hops than anybody has
	} {
		if got := from(h, c.peer, "X-Forwarded-For", c.lines...); got.String() != c.want {
			t.Errorf("%s, %q: %s, want %s", c.peer, c.lines, got, c.want)
		}
		if got := from(h, c.peer, "X-Other", c.lines...); got.IsValid() && !strings.Contains(c.peer, got.String()) {
			t.Errorf("%s: another header counts: %s", c.peer, got)
		}
	}
	direct := newHost(t, latchkey.Policy{}, nil)
	for _, peer := range []string{"[::1]:80", "10.0.0.1:80", "@"} {
		if got := from(direct, peer, "X-Forwarded-For", "198.51.100.1"); got.IsValid() && !strings.Contains(peer, got.String()) {
			t.Errorf("a host without proxies believes a header from %s: %s", peer, got)
		}
	}
}

func TestForwardedIsReadByItsStandard(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Proxies, c.ForwardedHeader = []string{"10.0.0.0/8"}, "forwarded" })
	for want, lines := range map[string][]string{
		"198.51.100.1": {"for=198.51.100.1"}, "198.51.100.2": {`For="198.51.100.2:4711";proto=https;by=203.0.113.43`}, "2001:db8:cafe::17": {`by=x; FOR="[2001:db8:cafe::17]:4711"`},
		"198.51.100.3": {"for=192.0.2.66, for=198.51.100.3", "for=10.0.0.2"}, "198.51.100.4": {"for=198.51.100.4;host=app.example.org,for=10.9.9.9"}, "198.51.100.5": {`for="198.51.100.5:_port.1"`},
	} {
		if got := from(h, "10.0.0.1:80", "Forwarded", lines...); got.String() != want {
			t.Errorf("%q: %s", lines, got)
		}
	}
	for _, line := range []string{"for=unknown", "for=_hidden", "by=198.51.100.1", "198.51.100.1", "for=198.51.100.1;for=198.51.100.2", `for="198.51.100.1`, "for=", `for="x, for=198.51.100.1"`, "for = 198.51.100.1", `for="198.51.100.1:_p ort"`} {
		if got := from(h, "10.0.0.1:80", "Forwarded", line); got.String() != "10.0.0.1" {
			t.Errorf("%q: %s", line, got)
		}
	}
	if got := from(h, "10.0.0.1:80", "X-Forwarded-For", "198.51.100.1"); got.String() != "10.0.0.1" {
		t.Errorf("a header that the proxy does not write counts: %s", got)
	}
}

func TestAProxyThatNamesNoClientIsReportedOnce(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Proxies = []string{"10.0.0.1"} })
	from(h, "10.0.0.1:80", "X-Forwarded-For", "198.51.100.1")
	if h.log.Len() > 0 {
		t.Errorf("a right header is reported: %s", h.log)
	}
	from(h, "203.0.113.5:80", "X-Forwarded-For")
	if h.log.Len() > 0 {
		t.Errorf("a client is reported: %s", h.log)
	}
	for _, lines := range [][]string{nil, {"unknown"}} {
		h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Proxies = []string{"10.0.0.1"} })
		from(h, "10.0.0.1:80", "X-Forwarded-For", lines...)
		from(h, "10.0.0.1:80", "X-Forwarded-For", lines...)
		if n := strings.Count(h.log.String(), "\n"); n != 1 || !strings.Contains(h.log.String(), "10.0.0.1") {
			t.Errorf("%q: %d lines: %s", lines, n, h.log)
		}
	}
}

func TestTheClientHasAgentAndLanguage(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	own := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Language = func(*http.Request) string { return "de" } })
	r := request{headers: map[string]string{"User-Agent": "agent", "Accept-Language": "fr;q=0.5, en"}}.make()
	if c := h.Client(r); c.UserAgent != "agent" || c.Locale != "fr;q=0.5, en" || c.SessionLength != 0 {
		t.Errorf("%+v", c)
	}
	if c := own.Client(r); c.Locale != "de" {
		t.Errorf("the host's language is not taken: %+v", c)
	}
	if err := func() error { _, err := h.Guest(r).CreateAnonymousSession(t.Context()); return err }(); err != nil {
		t.Error(err)
	}
}

func FuzzTheAddressOfTheClient(f *testing.F) {
	f.Add("for=198.51.100.1;proto=https, for=\"[::1]:_x\"", "10.0.0.1:80")
	f.Add("198.51.100.1:80, [2001:db8::1]:1,,", "[::1]:1")
	f.Fuzz(func(t *testing.T, header, peer string) {
		for _, name := range []string{"X-Forwarded-For", "Forwarded"} {
			h := fuzzed(t, name)
			r := &http.Request{RemoteAddr: peer, Header: http.Header{name: {header}}}
			ip := h.Client(r).IP
			if ip.Zone() != "" || ip.Is4In6() {
				t.Errorf("%q by %q: %v is not in plain form", header, peer, ip)
			}
			if at, err := netip.ParseAddrPort(peer); err == nil && !netip.MustParsePrefix("10.0.0.0/8").Contains(at.Addr().Unmap()) && ip != at.Addr().Unmap().WithZone("") {
				t.Errorf("%q by %q: %v, though the peer is no proxy", header, peer, ip)
			}
		}
	})
}

var fuzzHosts = map[string]*web.Site{}

// fuzzed returns a site behind a proxy that writes a header.
func fuzzed(t *testing.T, header string) *web.Site {
	if fuzzHosts[header] == nil {
		engine := new(latchkey.Engine) // Client asks it nothing
		site, err := web.New(engine, web.Config{Base: base, Proxies: []string{"10.0.0.0/8"}, ForwardedHeader: header})
		if err != nil {
			t.Fatal(err)
		}
		fuzzHosts[header] = site
	}
	return fuzzHosts[header]
}

func TestAProxyIsNamedByAnySpellingOfItsAddress(t *testing.T) {
	for text, peer := range map[string]string{
		"::ffff:10.1.2.3": "10.1.2.3", "10.1.2.3": "[::ffff:10.1.2.3]", "fe80::1%eth0": "[fe80::1%eth1]", "2001:DB8:0::1": "[2001:db8::1]", "::ffff:10.1.0.0/112": "10.1.9.9",
		"10.1.2.3/8": "10.9.9.9", "::ffff:10.0.0.0/104": "10.1.2.3", "fe80::/10": "[fe80::1%eth0]",
	} {
		h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Proxies = []string{text} })
		if got := from(h, peer+":80", "X-Forwarded-For", "203.0.113.9"); got != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, text := range []string{"", "10.0.0.0/33", "proxy.example.org", "10.0.0.0/8;::1", "::ffff:0.0.0.0/90", "10.0.0.0/", "10.0.0", "UNIX", "*"} {
		if _, err := web.NewProxies("", text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzNextStaysAtTheSite(f *testing.F) {
	for _, next := range []string{"/teams?id=7", "//evil.example.net", "/\\evil.example.net", "/\t/evil", "/.//evil.example.net", "/..//evil.example.net", "/%2f/evil.example.net", "/@evil.example.net"} {
		f.Add(next)
	}
	f.Fuzz(func(t *testing.T, next string) {
		r := httptest.NewRequest(http.MethodGet, "/?next="+url.QueryEscape(next), nil)
		to := web.Next(r)
		w := httptest.NewRecorder()
		http.Redirect(w, r, to, http.StatusSeeOther)
		// Browsers leave tabs and line ends out, and read a backslash as a slash.
		location := strings.NewReplacer("\t", "", "\n", "", "\r", "", "\\", "/").Replace(w.Header().Get("Location"))
		u, err := url.Parse(location)
		if err != nil || u.Host != "" || u.Scheme != "" || strings.HasPrefix(strings.TrimSpace(location), "//") || !strings.HasPrefix(location, "/") {
			t.Errorf("%q leads to %q", next, location)
		}
	})
}
