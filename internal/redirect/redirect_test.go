package redirect

import (
	"net/url"
	"strings"
	"testing"
)

var allowed = []string{"app.example.org", "*.wild.example", "https://fixed.example:8443", "localhost", "myapp:", "[::1]"}

func TestListsAreRead(t *testing.T) {
	for _, entry := range []string{
		"", "*", "*.", "*.org", "a b", "app.example.org/path", "app.example.org:443", "https://app.example.org/path", "https://u@app.example.org",
		"javascript:", "data:", "http:", "https://", "1app:", "app..example", "-a.example", "ftp://a.example", "*.*.example.org", "app.\u212A.example", "f\u0130xed.example", "127.0.0.1.:",
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
	} {
		if _, err := list.Check(text); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
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
			case host == "app.example.org", strings.HasSuffix(host, ".wild.example"), host == "fixed.example", host == "localhost", host == "127.0.0.1", host == "::1":
			default:
				t.Errorf("%q is allowed", text)
			}
		}
	})
}
