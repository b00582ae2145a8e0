package redirect

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

var allowed = []string{
	"app.example.org", "*.wild.example", "https://fixed.example:8443", "localhost", "myapp:", "[::1]", "http://my_app:3000", "*.localhost", "http://[fd00::1]:3000", "[FD00:0:0::2]",
}

func TestListsAreRead(t *testing.T) {
	for _, entry := range []string{
		"", "*", "*.", "*.org", "a b", "app.example.org/path", "app.example.org:443", "https://app.example.org/path", "https://u@app.example.org",
		"javascript:", "data:", "http:", "https://", "1app:", "app..example", "-a.example", "ftp://a.example", "*.*.example.org", "app.\u212A.example", "f\u0130xed.example", "127.0.0.1.:",
		"::1", "[fe80::1%eth0]", "[::ffff:192.0.2.7]", "*.[::1]", "[::1", "[]", "[192.0.2.7]", "*.com", "a,b", "http://[::ffff:192.0.2.7]:3000", "https://[fe80::1%25eth0]",
	} {
		if _, err := Parse([]string{entry}); err == nil {
			t.Errorf("%q is taken", entry)
		}
	}
	if _, err := Parse(allowed); err != nil {
		t.Error(err)
	}
}

func TestHostsAreComparedPartByPart(t *testing.T) {
	list, err := Parse(allowed)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"https://app.example.org": true, "http://app.example.org:1234/x?y#z": true, "https://APP.EXAMPLE.ORG/": true,
		"https://a.wild.example": true, "https://a.b.wild.example:9": true, "https://wild.example": false, "https://awild.example": false,
		"https://fixed.example:8443/x": true, "https://fixed.example": false, "http://fixed.example:8443": false,
		"http://localhost:3000": true, "http://127.0.0.1:3000": true, "http://[::1]:3000/": true, "http://127.0.0.2": false, "http://2130706433": false,
		"http://localhost.": false, "http://[::ffff:127.0.0.1]": false, "http://0x7f.1": false, "http://127.1": false, "http://[::1%25lo]/": false,
		"myapp://anything/x": true, "myapp:x": false, "MYAPP://x": true, "other://x": false, "myapp:///x": true,
		"https://app.example.org:": false, "https://app.example.org:99999": false, "https://app.example.org:08": true, "https://user@app.example.org": false,
		"https://app.example.org\t.evil.test": false, "https://app.example.org%00.evil.test": false, "https://\u200bapp.example.org": false,
		"https:///app.example.org": false, "https://evil.test#@app.example.org": false, "https://evil.test?app.example.org": false,
		"https://app.example.org\u2028": false, "https://app.f\u0130xed.example": false, "https://f\u0130xed.example:8443": false, "https://a.w\u0130ld.example": false, "\x01https://app.example.org": false, " https://app.example.org": false,
		"https://app.example.org/" + strings.Repeat("a", MaxLength): false,
		"https://my_tenant.wild.example/in":                         true, "https://_.wild.example/": true, "http://my_app:3000/x": true, "http://my_app/x": false, "http://my_app.evil.test:3000": false,
		"http://acc1.localhost:3000/x": true, "http://a.b.localhost": true, "http://localhost.evil.example/": false, "http://evillocalhost/": false, "http://a.localhost.evil.example/": false,
		"http://[fd00::1]:3000/": true, "http://[FD00:0:0::1]:3000/": true, "http://[fd00::1]:3001/": false, "https://[fd00::1]:3000/": false, "http://[fd00::3]:3000/": false,
		"http://[fd00::2]/": true, "https://[fd00:0000::0002]:8443/x": true, "http://[fd00::2%25eth0]/": false, "http://[::FFFF:127.0.0.1]/": false, "http://[0:0:0:0:0:0:0:1]:3000/": true,
		"https://evil.test%E3%80%82x.wild.example/": false, "https://evil.test。x.wild.example/": false, `https:\\evil.com`: false, "https://app.example.org./x": false, "https://a_b.wild.example%2f.evil.com/": false,
		"http://127.0.0.1:51004/cb": true, "http://[::1]:61023/cb": true,
	} {
		if _, err := list.Check(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Signs that no URL has are escaped in the query, where readers of a plain text would end the link.
func TestALinkHasOnlySignsOfURLs(t *testing.T) {
	list, err := Parse(allowed)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"https://app.example.org/in?q=ä|{x}&y=%7C%c3%A4": "https://app.example.org/in?q=%C3%A4%7C%7Bx%7D&y=%7C%c3%A4&secret=s",
		"https://app.example.org/ä{}|?":                  "https://app.example.org/%C3%A4%7B%7D%7C?secret=s",
		`https://app.example.org/in?a="<b>^` + "`":       "https://app.example.org/in?a=%22%3Cb%3E%5E%60&secret=s",
		"https://app.example.org/in?a=[1]&b=1;2":         "https://app.example.org/in?a=[1]&b=1;2&secret=s",
		"https://app.example.org/in?x#/ä?y={z}":          "https://app.example.org/in?x&secret=s#/%C3%A4?y=%7Bz%7D",
	} {
		u, err := list.Check(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := With(u, Param{"secret", "s"}); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// parsed returns the address that a host is, the zero one for a name.
func parsed(host string) netip.Addr {
	ip, _ := netip.ParseAddr(host)
	return ip
}

func FuzzCheck(f *testing.F) {
	list, err := Parse(allowed)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"https://app.example.org/a/../b?x=1&secret=2#f", "https://user@app.example.org", `https://app.example.org\@evil`, "myapp://x?y", "http://[::1]:1/%2e%2e?%73ecret=1;a",
		"//evil", "https:app.example.org", "https://a.wild.example:1", "HTTPS://LOCALHOST", "https://app.example.org?&&=&#",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := list.Check(text)
		if err != nil {
			return
		}
		link := With(u, Param{"userId", "a"}, Param{"secret", "s&=#"}, Param{"expire", "2026-01-01T00:00:00.000+00:00"})
		again, err := list.Check(link)
		if len(link) <= MaxLength && err != nil {
			t.Fatalf("%q became %q: %v", text, link, err)
		}
		if again == nil {
			return
		}
		if again.Host != u.Host || again.Scheme != u.Scheme || again.Fragment != u.Fragment || again.Path != u.Path || again.User != nil {
			t.Errorf("%q became %q", text, link)
		}
		if q, err := url.ParseQuery(again.RawQuery); err == nil && (len(q["secret"]) != 1 || q["secret"][0] != "s&=#" || len(q["userId"]) != 1) {
			t.Errorf("%q became %q", text, link)
		}
		if web := u.Scheme == "http" || u.Scheme == "https"; web {
			host := strings.ToLower(u.Hostname())
			switch {
			case host == "app.example.org", host == "my_app", host == "fd00::1", strings.HasSuffix(host, ".localhost"), netip.MustParseAddr("fd00::2") == parsed(host), parsed(host).IsLoopback(),
				netip.MustParseAddr("fd00::1") == parsed(host), strings.HasSuffix(host, ".wild.example"), host == "fixed.example", host == "localhost", host == "127.0.0.1", host == "::1":
			default:
				t.Errorf("%q is allowed", text)
			}
		}
	})
}
