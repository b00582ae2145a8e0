package main

import (
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/latchkey/authtest"
	"example.com/latchkey/store/memory"
)

// browser serves a host of an environment, and returns the client of a browser that follows nothing.
func browser(t *testing.T, env map[string]string) (*httptest.Server, *http.Client, *host) {
	t.Helper()
	c, err := read(env)
	if err != nil {
		t.Fatal(err)
	}
	s := memory.Open()
	h, err := newHost(c, s)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.Close()
		if err := errors.Join(h.engine.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return server, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, h
}

// A provider is linked only from a page of the project, and a sign-in is finished by GET alone.
func TestAStrangersPageLinksNothing(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	settings := issuer.Settings()
	env := map[string]string{
		"PROJECT_ID": "demo", "ALLOWED_HOSTS": "app.example.org", "RATE_LIMITS": "off", "PUBLIC_URL": "http://127.0.0.1:1",
		"OIDC_ISSUER": issuer.URL, "OIDC_CLIENT_ID": settings.ClientID, "OIDC_CLIENT_SECRET": settings.ClientSecret.Reveal(),
	}
	server, client, _ := browser(t, env)
	call := func(method, path string, header ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	const start = "/v1/account/sessions/oauth2/oidc?project=demo"
	stranger := []string{"Referer", "https://evil.example.net/", "Sec-Fetch-Site", "cross-site"}
	if got := call("GET", start, stranger...).StatusCode; got != http.StatusMovedPermanently {
		t.Errorf("a guest: %d", got)
	}
	if got := call("POST", "/v1/account/sessions/anonymous?project=demo", "X-Appwrite-Project", "demo").StatusCode; got != http.StatusCreated {
		t.Fatalf("no session: %d", got)
	}
	// The cookie is Secure only behind TLS, so the jar keeps it here.
	for what, row := range map[string]struct {
		header []string
		want   int
	}{
		"a stranger's page":                   {stranger, http.StatusForbidden},
		"a stranger's page without a referer": {[]string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"a page of the project":               {[]string{"Referer", "https://app.example.org/settings", "Sec-Fetch-Site", "cross-site"}, http.StatusMovedPermanently},
		"by hand":                             {[]string{"Sec-Fetch-Site", "none"}, http.StatusMovedPermanently},
		"a program":                           {nil, http.StatusMovedPermanently},
	} {
		if got := call("GET", start, row.header...).StatusCode; got != row.want {
			t.Errorf("%s: %d, want %d", what, got, row.want)
		}
	}
	if got := call("HEAD", "/v1/account/sessions/oauth2/oidc/redirect?state=x").StatusCode; got != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: %d", got)
	}
}
