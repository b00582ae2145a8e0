package web_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/web"
)

func TestABaseMakesLinksAndTheHostsOfLinks(t *testing.T) {
	for text, want := range map[web.Base]string{
		"https://app.example.org": "https://app.example.org/x?y", "https://app.example.org/": "https://app.example.org/x?y", "https://APP.example.org:443": "https://app.example.org/x?y",
		"http://localhost:8080": "http://localhost:8080/x?y", "http://127.0.0.1:80": "http://127.0.0.1/x?y", "https://[fd00::1]:8443": "https://[fd00::1]:8443/x?y",
		"app.example.org": "", "https://": "", "https://u@app.example.org": "", "https://app.example.org?x": "", "https://app.example.org/#": "", "https://*.example.org": "", "javascript:alert(1)": "", "https://app.example.org:0": "",
	} {
		if got := text.URL("/x?y"); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if got := text.URL("x?y"); got != want {
			t.Errorf("%s, without a slash: %q, want %q", text, got, want)
		}
		if want == "" {
			if len(text.Hosts()) > 0 {
				t.Errorf("%s has hosts", text)
			}
			continue
		}
		kit := authtest.New(t, latchkey.Config{RedirectHosts: text.Hosts()})
		if _, err := kit.Visitor.CreateRecovery(t.Context(), latchkey.NewRecovery{Email: "ada@example.org", URL: want}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		other := strings.Replace(want, "://", "://other.", 1)
		if strings.Contains(want, "[") || strings.Contains(want, "127.") {
			other = "https://other.example.net/x"
		}
		if _, err := kit.Visitor.CreateRecovery(t.Context(), latchkey.NewRecovery{Email: "ada@example.org", URL: other}); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			t.Errorf("%s lets links lead to %s: %v", text, other, err)
		}
	}
}

func TestNextIsAPathOfTheSite(t *testing.T) {
	for next, want := range map[string]string{
		"/teams?id=7&x=/y#z": "/teams?id=7&x=/y#z", "/": "/", "": "/", "teams": "/", "//evil.example.net": "/", "///evil.example.net": "/", "/x\x7f": "/", "/\\evil.example.net": "/", "https://evil.example.net": "/",
		"/\t/evil.example.net": "/", "/\n/evil": "/", " /x": "/", "javascript:alert(1)": "/", "/x\x00": "/", "/%0d%0aSet-Cookie:x": "/%0d%0aSet-Cookie:x", "/" + strings.Repeat("x", 2048): "/", "/x y": "/", "/%zz": "/",
	} {
		if got := web.Next(request{target: "/?next=" + url.QueryEscape(next)}.make()); got != want {
			t.Errorf("query %q: %q, want %q", next, got, want)
		}
		form := request{method: "POST", body: "next=" + url.QueryEscape(next), kind: "application/x-www-form-urlencoded"}.make()
		if got := web.Next(form); got != want {
			t.Errorf("form %q: %q, want %q", next, got, want)
		}
	}
}

func TestAFormComesBackToItsPage(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	for referer, want := range map[string]string{
		base.URL("/teams?id=7"): "/sign-in?next=%2Fteams%3Fid%3D7", "": "/sign-in", "https://evil.example.net/teams": "/sign-in",
		"https://app.example.org.evil.net/teams": "/sign-in", "https://app.example.org//evil.net": "/sign-in", base.URL("/"): "/sign-in",
	} {
		res := send(h.Require(answers), request{method: "POST", accept: page, headers: map[string]string{"Referer": referer}})
		if got := res.Header.Get("Location"); got != want {
			t.Errorf("%q: %q, want %q", referer, got, want)
		}
	}
}
