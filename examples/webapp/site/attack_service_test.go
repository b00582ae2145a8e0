package site_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey/authtest"
	"example.com/latchkey/store/memory"
)

// started begins a sign-in by the other service, or a linking, and returns the address of the way back.
func (w *world) started(jar cookies, fields ...string) string {
	w.Helper()
	a := w.post("/sign-in/service", jar, fields...)
	if a.StatusCode != http.StatusSeeOther {
		w.Fatalf("%d %s", a.StatusCode, a.body)
	}
	target, parameters, err := w.issuer.Visit(a.Header.Get("Location"))
	w.must(err)
	if got := target.String(); got != base.URL("/callback/service") {
		w.Errorf("the service sends the browser to %s", got)
	}
	return "/callback/service?" + parameters.Encode()
}

// fromElsewhere is a request that the service sends the browser on.
var fromElsewhere = http.Header{"Sec-Fetch-Site": {"cross-site"}}

// A sign-in by another service ends in the browser that began it, in the session that began it, once, and at a
// page of the site.
func TestAttack27AnotherServiceSignsInTheBrowserThatAsked(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	issuer.Set(func(s *authtest.IssuerSettings) {
		s.Subject, s.Claims = "zoe", map[string]any{"email": "zoe@example.org", "email_verified": true, "name": hostile}
	})
	w := newWorld(t, memory.Open(), issuer)
	back := func(target string, jar cookies) answer {
		return w.browse(request{target: target, cookies: jar, headers: fromElsewhere})
	}
	for _, evil := range append(evilPlaces, "/teams") {
		if strings.Contains(evil, "\u2028") {
			continue // the engine refuses the address
		}
		jar := cookies{}
		a := back(w.started(jar, "next", evil), jar)
		if a.StatusCode != http.StatusSeeOther || jar[sessionCookie] == "" || len(jar) != 1 {
			t.Fatalf("%q: %d, %v", evil, a.StatusCode, slices.Collect(maps.Keys(jar)))
		}
	}
	attacker := cookies{}
	begun := w.started(attacker)
	for name, victim := range map[string]cookies{"nobody": {}, "a user": w.signIn(mia), "with a start of their own": {}} {
		former := victim[sessionCookie]
		if strings.HasPrefix(name, "with") {
			w.started(victim)
		}
		a := back(begun, victim)
		if victim[sessionCookie] != former || a.StatusCode < 400 {
			t.Errorf("the attacker's sign-in is finished by %s: %d", name, a.StatusCode)
		}
	}
	if a := back(begun, attacker); attacker[sessionCookie] != "" {
		t.Errorf("a start that was seen elsewhere is good: %d", a.StatusCode)
	}
	// Programs that look at the address use nothing up, and a page with an error shows nothing of it.
	jar := cookies{}
	begun = w.started(jar)
	for _, method := range []string{http.MethodHead, http.MethodOptions, "PUT"} {
		w.send(request{method: method, target: begun, cookies: jar, headers: http.Header{"Sec-Fetch-Site": {"same-origin"}}})
	}
	if back(begun, jar); jar[sessionCookie] == "" {
		t.Error("a program that has looked at the address has used it up")
	}
	a := back(begun, jar)
	u, err := url.Parse(begun)
	w.must(err)
	if a.StatusCode != http.StatusUnauthorized || strings.Contains(a.body, u.Query().Get("state")) || strings.Contains(a.body, u.Query().Get("code")) {
		t.Errorf("a callback that comes twice: %d %s", a.StatusCode, a.body)
	}
	for _, query := range []string{"", "?state=x", "?error=access_denied&error_description=" + url.QueryEscape(hostile), "?code=x", "?state=x&state=y", "?state=%zz", "?code=" + url.QueryEscape(hostile) + "&state=" + url.QueryEscape(hostile)} {
		if a := back("/callback/service"+query, cookies{}); a.StatusCode < 400 || strings.Contains(a.body, "alert(") {
			t.Errorf("%s: %d", query, a.StatusCode)
		}
	}
	issuer.Set(func(s *authtest.IssuerSettings) {
		s.EditCallback = func(p url.Values) { p.Set("iss", "https://evil.example.net") }
	})
	jar = cookies{}
	if a := back(w.started(jar), jar); jar[sessionCookie] != "" || a.StatusCode < 400 {
		t.Errorf("another service answers: %d", a.StatusCode)
	}
	issuer.Set(func(s *authtest.IssuerSettings) {
		s.EditCallback = func(p url.Values) {
			p.Del("code")
			p.Set("error", "access_denied")
			p.Set("error_description", hostile)
		}
	})
	jar = cookies{}
	if a := back(w.started(jar), jar); jar[sessionCookie] != "" || a.where() != "/sign-in" {
		t.Errorf("a refusal of the service: %d to %q", a.StatusCode, a.where())
	}
}

// An identity is linked in the session that has asked, and in no other one, and only while its proof is fresh.
func TestAttack27ALinkingEndsInItsSession(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	issuer.Set(func(s *authtest.IssuerSettings) {
		s.Subject, s.Claims = "evil", map[string]any{"email": "evil@example.net", "email_verified": true}
	})
	w := newWorld(t, memory.Open(), issuer)
	attacker := maps.Clone(w.people[eve])
	begun := w.started(attacker)
	victim := maps.Clone(w.people[mia])
	for name, value := range attacker { // the attacker may plant a cookie, but not that of the session
		if name != sessionCookie {
			victim[name] = value
		}
	}
	if a := w.browse(request{target: begun, cookies: victim, headers: fromElsewhere}); a.where() == "/account" || victim[sessionCookie] != w.people[mia][sessionCookie] {
		t.Errorf("the attacker's identity is linked to another user: %d to %q", a.StatusCode, a.where())
	}
	list, err := w.engine.Users().Identities(w.Context())
	w.must(err)
	if len(list.Identities) > 0 {
		t.Errorf("%d identities", len(list.Identities))
	}
	w.clock.Advance(31 * time.Minute)
	if a := w.post("/sign-in/service", w.people[ada]); a.where() != "/confirm" {
		t.Errorf("an old session begins a linking: %d to %q", a.StatusCode, a.where())
	}
	// A form of another site neither begins nor ends anything.
	if a := w.send(request{method: http.MethodPost, target: "/callback/service", form: values("state", "x", "code", "y"), cookies: w.people[ada], headers: fromElsewhere}); a.StatusCode != http.StatusForbidden {
		t.Errorf("a form post: %d", a.StatusCode)
	}
}
