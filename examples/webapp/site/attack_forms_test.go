package site_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/store/memory"
)

// A page of another site sends no form to this one, whoever is signed in, and whichever header of the browser
// tells it.
func TestAttack27NoFormOfAnotherSiteIsTaken(t *testing.T) {
	onStores(t, func(w *world) {
		foreign := []http.Header{
			{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}}, {"Sec-Fetch-Site": {""}, "Origin": {"https://evil.example.net"}},
			{"Sec-Fetch-Site": {""}, "Origin": {"null"}}, {"Sec-Fetch-Site": {""}, "Origin": {"http://app.example.org:81"}}, {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}},
			{"Sec-Fetch-Site": {""}, "Origin": {"https://app.example.org.evil.net"}}, {"Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"text/plain"}},
		}
		w.unchanged("forms of another site", func() {
			for _, caller := range []string{"nobody", ada, root, "owing", "unverified"} {
				for i, headers := range foreign {
					if caller != root && i > 0 {
						continue // one is enough: the check comes before the session
					}
					each("POST", func(pattern, _ string) {
						method, path := w.path(pattern)
						for _, method := range []string{method, "PUT", "DELETE", "PATCH"} {
							a := w.send(request{method: method, target: path, form: w.fields(), cookies: w.people[caller], headers: headers})
							if a.StatusCode != http.StatusForbidden || len(a.Cookies()) > 0 {
								w.Errorf("%s %s by %s with %v: %d, %v", method, path, caller, headers, a.StatusCode, a.Cookies())
							}
						}
					})
				}
			}
		})
	})
}

// Programs follow the links in mails, and pages of other sites load addresses of this one: nothing changes by
// that, whatever the address has in it.
func TestAttack27NothingChangesByReading(t *testing.T) {
	onStores(t, func(w *world) {
		links := w.links()
		for _, age := range []time.Duration{0, 25 * time.Hour} {
			w.clock.Advance(age)
			w.unchanged(fmt.Sprint("reading after ", age), func() {
				for caller, cookies := range w.people {
					for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
						if method != http.MethodGet && caller != root && caller != "owing" {
							continue
						}
						for pattern, kind := range routes {
							if kind == callback {
								continue // it finishes what a form has begun: see the attacks on it
							}
							_, path := w.path(strings.TrimPrefix(strings.TrimPrefix(pattern, "GET "), "POST "))
							for _, query := range []string{"", "?" + w.fields().Encode()} {
								a := w.send(request{method: method, target: path + query, cookies: cookies, headers: http.Header{"X-Http-Method-Override": {"POST"}, "Sec-Fetch-Site": {"cross-site"}}})
								if len(a.Cookies()) > 0 {
									w.Errorf("%s %s by %s sets %v", method, path, caller, a.Cookies())
								}
							}
						}
						for path, query := range links {
							w.send(request{method: method, target: path + "?" + query, cookies: cookies})
						}
					}
				}
			})
		}
	})
}

// links asks for a link of each kind, and returns their queries by path.
func (w *world) links() map[string]string {
	w.Helper()
	ctx, found := w.Context(), map[string]string{}
	_, err := w.guest().CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{Email: mia, URL: base.URL("/link/sign-in")})
	w.must(err)
	_, err = w.guest().CreateRecovery(ctx, latchkey.NewRecovery{Email: ada, URL: base.URL("/link/recover")})
	w.must(err)
	_, err = w.account(mia).CreateEmailChange(ctx, latchkey.NewEmailChange{Email: "mia2@example.org", URL: base.URL("/link/email")}, authtest.Password)
	w.must(err)
	_, err = w.account(ada).Teams().CreateMembership(ctx, w.team, latchkey.NewMembership{Email: eve, URL: base.URL("/link/invitation")})
	w.must(err)
	unverified := w.unverified("unverified")
	_, err = unverified.CreateEmailVerification(ctx, base.URL("/link/verify"))
	w.must(err)
	moved := w.account(root)
	_, err = moved.CreateEmailChange(ctx, latchkey.NewEmailChange{Email: "root2@example.org", URL: base.URL("/link/email")}, authtest.Password)
	w.must(err)
	_, err = moved.ConfirmEmailChange(ctx, w.mail("root2@example.org").Secret.Reveal(), base.URL("/link/restore"))
	w.must(err)
	w.sent() // none waits
	for _, m := range w.outbox.All() {
		if u, err := url.Parse(m.Link.Reveal()); err == nil && u.Path != "" {
			found[u.Path] = u.RawQuery
		}
	}
	if len(found) < 6 {
		w.Fatalf("only these links have come: %v", slices.Collect(maps.Keys(found)))
	}
	return found
}

// unverified returns the handle of a user without a proven address.
func (w *world) unverified(who string) *latchkey.Unverified {
	w.Helper()
	_, err := w.guest().Authenticate(w.Context(), w.people[who][sessionCookie])
	var unproven *latchkey.UnverifiedEmailError
	if !errors.As(err, &unproven) {
		w.Fatal(err)
	}
	return unproven.Unverified
}

// Every page of a signed-in user refuses the callers who are not one, each in its own way, and changes nothing
// for them.
func TestAttack27EveryPageOfAUserRefusesTheOthers(t *testing.T) {
	onStores(t, func(w *world) {
		leads := map[string]string{"nobody": "/sign-in", "a wrong secret": "/sign-in", "ended": "/sign-in", "owing": "/factor", "unverified": "/verify", "blocked": "", "renewed": ""}
		w.unchanged("refused callers", func() {
			for pattern, kind := range routes {
				for caller, page := range leads {
					switch kind {
					case signedIn, profiled, staff:
					case challenged:
						if caller == "owing" {
							continue
						}
					case unproven:
						if caller == "unverified" {
							continue
						}
					default:
						continue
					}
					method, path := w.path(pattern)
					a := w.send(request{method: method, target: path, form: w.fields(), cookies: w.people[caller]})
					want := http.StatusSeeOther
					if page == "" {
						want = map[string]int{"blocked": 403, "renewed": 401}[caller]
					}
					if a.StatusCode != want || a.where() != page || len(a.Cookies()) > 0 {
						w.Errorf("%s by %s: %d to %q", pattern, caller, a.StatusCode, a.Header.Get("Location"))
					}
				}
			}
		})
		// The same requests of the right callers are no refusals. Pages come before the forms, which change what they show.
		for _, pattern := range slices.Sorted(maps.Keys(routes)) {
			kind := routes[pattern]
			caller := map[string]string{signedIn: eve, profiled: eve, staff: root, challenged: "owing", unproven: "unverified"}[kind]
			if caller == "" || strings.Contains(pattern, "{") || pattern == "POST /account/delete" || strings.HasPrefix(pattern, "POST /account/sessions") {
				continue
			}
			method, path := w.path(pattern)
			a := w.send(request{method: method, target: path, form: w.fields(), cookies: w.people[caller]})
			if slices.Contains([]string{"/sign-in", "/factor", "/verify"}, a.where()) && pattern != "POST /verify/email" && pattern != "POST /verify" || a.StatusCode == 403 {
				w.Errorf("%s by %s: %d to %q", pattern, caller, a.StatusCode, a.Header.Get("Location"))
			}
		}
	})
}

// An account is deleted by a form that names its address, and by no other one.
func TestAttack27ADeletionNamesItsAccount(t *testing.T) {
	onStores(t, func(w *world) {
		w.unchanged("a deletion of another account", func() {
			for _, email := range []string{"", mia, "ADA@example.org ", "ada"} {
				if a := w.post("/account/delete", w.people[ada], "email", email); a.StatusCode != http.StatusBadRequest {
					w.Errorf("%q: %d to %q", email, a.StatusCode, a.where())
				}
			}
		})
		if a := w.post("/account/delete", w.people[mia], "email", mia); a.where() != "/" {
			w.Errorf("the right address: %d to %q", a.StatusCode, a.where())
		}
		if a := w.get("/account", w.people[mia]); a.where() != "/sign-in" {
			w.Errorf("after a deletion: %d to %q", a.StatusCode, a.where())
		}
	})
}

// The back office is for its staff, and shows and changes nothing for the others, whatever the spelling of its
// addresses.
func TestAttack27TheBackOfficeIsForItsStaff(t *testing.T) {
	onStores(t, func(w *world) {
		inside := []string{"Name of " + mia, "Name of blocked", "Name of " + root}
		spellings := []string{"//admin/users", "/admin//users", "/./admin/users", "/x/../admin/users", "/%61dmin/users", "/admin%2Fusers", "/ADMIN/users", "/admin/users/", "/admin/users/.", "/static/../admin/users", "/static/..%2fadmin/users", "/admin/users;x", "/admin/users%00", "/admin\\users"}
		w.unchanged("the back office", func() {
			for caller, cookies := range w.people {
				if caller == root {
					continue
				}
				for pattern, kind := range routes {
					if kind != staff {
						continue
					}
					method, path := w.path(pattern)
					a := w.send(request{method: method, target: path, form: w.fields(), cookies: cookies})
					if caller == ada && a.StatusCode != http.StatusUnauthorized || a.StatusCode < 300 {
						w.Errorf("%s by %s: %d", pattern, caller, a.StatusCode)
					}
				}
				for _, target := range spellings {
					for _, method := range []string{"GET", "HEAD", "POST"} {
						a := w.send(request{method: method, target: target, form: w.fields(), cookies: cookies})
						for _, name := range inside {
							if strings.Contains(a.body, name) {
								w.Errorf("%s %s by %s shows %q", method, target, caller, name)
							}
						}
					}
				}
			}
		})
		for _, name := range inside {
			if !strings.Contains(w.get("/admin/users", w.people[root]).body, name) {
				w.Errorf("the staff does not see %q", name)
			}
		}
		if w.get("/account", w.people[ada]); strings.Contains(w.get("/", w.people[ada]).body, "/admin") {
			w.Error("a user is shown the way to the back office")
		}
	})
}

// No name, no address, no agent and no parameter becomes a part of a page, whoever looks at it.
func TestAttack27EveryTextStaysAText(t *testing.T) {
	onStores(t, func(w *world) {
		ctx := w.Context()
		for email := range w.users {
			_, err := w.engine.Users().UpdateName(ctx, w.users[email], hostile)
			w.must(err)
		}
		for team := range map[string]bool{w.team: true, w.foreign: true} {
			_, err := w.engine.Teams().UpdateName(ctx, team, hostile)
			w.must(err)
		}
		_, err := w.engine.Users().UpdateLabels(ctx, w.users[eve], []string{"x"})
		w.must(err)
		_, err = w.account(ada).RenamePasskey(ctx, w.passkey(ada, authtest.NewDevice(string(base))), hostile[:64])
		w.must(err)
		fields := url.Values{}
		for name := range w.fields() {
			fields.Set(name, hostile)
		}
		agent := http.Header{"User-Agent": {hostile}, "Accept-Language": {hostile}, "Referer": {base.URL("/") + hostile}, "X-Forwarded-For": {hostile}}
		hostileAgent := w.engine.Guest(latchkey.Client{UserAgent: hostile, Locale: hostile})
		for _, email := range []string{ada, root} {
			session, err := hostileAgent.CreateEmailPasswordSession(ctx, email, authtest.Password)
			w.must(err)
			w.keep(session.Secret.Reveal())
		}
		shown := 0
		for pattern, kind := range routes {
			method, path := w.path(pattern)
			if kind == static || kind == health || slices.Contains(ending, pattern) {
				continue
			}
			for _, caller := range []string{"nobody", ada, root, "owing", "unverified", "blocked"} {
				jar := maps.Clone(w.people[caller])
				jar["language"] = "de"
				for _, target := range []string{path, path + "?" + fields.Encode()} {
					q := request{method: method, target: target, cookies: jar, headers: maps.Clone(agent)}
					if method == http.MethodPost {
						q.form = fields
						q.headers["Content-Type"], q.headers["Sec-Fetch-Site"] = []string{"application/x-www-form-urlencoded"}, []string{"same-origin"}
					}
					a := w.send(q)
					shown += strings.Count(a.body, "&lt;script&gt;alert(1)&lt;/script&gt;")
					if strings.Contains(strings.ReplaceAll(a.body, passkeyScript, ""), "<script") {
						w.Errorf("%s by %s: a text runs", pattern, caller)
					}
				}
			}
		}
		if shown < 100 { // otherwise the attack has met nothing
			w.Errorf("the texts are shown only %d times", shown)
		}
		for _, c := range w.post("/language", cookies{}, "language", "de; Domain=example.org"+hostile).Cookies() {
			if c.Value != "en" {
				w.Errorf("an unknown language is kept: %v", c)
			}
		}
	})
}

// evilPlaces are places of other sites in the spellings that browsers take for one.
var evilPlaces = []string{
	"https://evil.example.net", "//evil.example.net", "///evil.example.net", "/\\evil.example.net", "\\\\evil.example.net", "/\t/evil.example.net", "/\n/evil.example.net", "\t//evil.example.net",
	" //evil.example.net", "https:evil.example.net", "javascript:alert(1)", "data:text/html,x", "/.//evil.example.net", "/x/..//evil.example.net", "/%2f/evil.example.net", "/%5cevil.example.net",
	"https://app.example.org@evil.example.net", "https://app.example.org.evil.example.net", "/\u2028/evil.example.net", "/%09/evil.example.net", "/;//evil.example.net", "?next=//evil.example.net", "evil.example.net",
	"/\r\nLocation: https://evil.example.net", "/%0d%0aLocation: https://evil.example.net",
}

// No parameter, no Referer and no header of a proxy makes a page lead to another site. [world.check] looks at the
// answers.
func TestAttack27NoPageLeadsToAnotherSite(t *testing.T) {
	w := newWorld(t, memory.Open(), nil)
	for _, evil := range evilPlaces {
		for pattern, kind := range routes {
			if kind == static || kind == health {
				continue
			}
			method, path := w.path(pattern)
			for _, caller := range []string{"nobody", "renewed", "unverified", "owing", eve, root} {
				if slices.Contains(ending, pattern) || pattern == "POST /account/password" {
					continue // the other requests need the session
				}
				query := values("next", evil, "done", evil, "state", evil, "page", evil, "url", evil, "redirect", evil)
				q := request{method: method, target: path + "?" + query.Encode(), cookies: w.people[caller], headers: http.Header{"X-Forwarded-Host": {"evil.example.net"}, "X-Original-Url": {evil}, "X-Rewrite-Url": {evil}}}
				if !strings.ContainsAny(evil, "\r\n") {
					q.headers["Referer"] = []string{evil}
				}
				if method == http.MethodPost {
					q.form = values("next", evil, "email", eve, "password", authtest.Password)
					q.headers["Content-Type"], q.headers["Sec-Fetch-Site"] = []string{"application/x-www-form-urlencoded"}, []string{"same-origin"}
				}
				w.send(q)
			}
		}
	}
	w.sent()
	w.outbox.Take()
	for _, evil := range evilPlaces {
		if a := w.post("/sign-in/link", cookies{}, "email", mia, "next", evil); a.where() == "/sent" && (strings.HasPrefix(evil, "http") || strings.HasPrefix(evil, "//")) {
			if link := w.mail(mia).Link.Reveal(); strings.Contains(link, "evil") {
				t.Errorf("a mail has %q in its link: %s", evil, link)
			}
		} else {
			w.sent()
			w.outbox.Take()
		}
		a := w.post("/sign-in", cookies{}, "email", eve, "password", authtest.Password, "next", evil)
		if to := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || strings.HasPrefix(to, "//") || !strings.HasPrefix(to, "/") {
			t.Errorf("%q: %d to %q", evil, a.StatusCode, to)
		}
	}
	if a := w.post("/sign-in", cookies{}, "email", eve, "password", authtest.Password, "next", "/teams?x=y"); a.Header.Get("Location") != "/teams?x=y" {
		t.Errorf("a page of the site is not found again: %q", a.Header.Get("Location"))
	}
}

// The links in mails, and the pages, lead to the one base address, whatever host a request names.
func TestAttack27NoRequestNamesTheHostOfALink(t *testing.T) {
	w := newWorld(t, memory.Open(), nil)
	names := http.Header{
		"X-Forwarded-Host": {"evil.example.net"}, "X-Host": {"evil.example.net"}, "Forwarded": {"host=evil.example.net"}, "X-Forwarded-Server": {"evil.example.net"}, "X-Forwarded-Proto": {"http"},
		"Sec-Fetch-Site": {"same-origin"}, "Content-Type": {"application/x-www-form-urlencoded"},
	}
	for i, host := range []string{"evil.example.net", "app.example.org.evil.example.net", "app.example.org:80@evil.example.net", "evil.example.net#app.example.org", ""} {
		for path, c := range map[string]struct {
			by     cookies
			fields url.Values
			to     string
		}{
			"/sign-in/link": {cookies{}, values("email", mia), mia}, "/recover": {cookies{}, values("email", mia), mia}, "/verify": {w.people["unverified"], values(), "unverified@example.org"},
			"/account/email": {w.people[ada], values("email", "ada2@example.org", "password", authtest.Password), "ada2@example.org"}, "/teams/" + w.team + "/members": {w.people[ada], values("email", "new@example.org"), "new@example.org"},
			"/sign-up": {cookies{}, values("email", "h"+strconv.Itoa(i)+"@example.org", "password", authtest.Password), "h" + strconv.Itoa(i) + "@example.org"},
		} {
			a := w.send(request{method: http.MethodPost, target: path, form: c.fields, cookies: c.by, headers: names, host: host})
			if a.StatusCode != http.StatusSeeOther {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
				continue
			}
			m := w.mail(c.to)
			if link := m.Link.Reveal(); !strings.HasPrefix(link, base.URL("/link/")) {
				t.Errorf("%s with the host %q sends %s", path, host, m.Kind)
			}
		}
		for pattern := range routes {
			method, path := w.path(pattern)
			if a := w.send(request{method: method, target: path, cookies: w.people["nobody"], host: host, headers: names}); strings.Contains(a.body, "evil.example.net") {
				t.Errorf("%s shows the host of the request", pattern)
			}
		}
	}
}

// The files of the site are served one by one. Their folder is no page.
func TestAttack27TheFolderOfFilesIsNoPage(t *testing.T) {
	w := newWorld(t, memory.Open(), nil)
	for _, target := range []string{"/static/", "/static", "/static/.", "/static/%2e", "/static/index.html", "/static/../pages/layout.html", "/static/..%2fpages%2flayout.html", "/static/%2e%2e/app.go"} {
		if a := w.get(target, cookies{}); a.StatusCode < 300 || strings.Contains(a.body, "style.css\">style") || strings.Contains(a.body, "define") {
			t.Errorf("%s: %d %s", target, a.StatusCode, a.body)
		}
	}
	if a := w.get("/static/style.css", cookies{}); a.StatusCode != 200 || a.Header.Get("Cache-Control") != "public, max-age=3600" {
		t.Errorf("the style: %d, %v", a.StatusCode, a.Header)
	}
}

// ---- forms ----

// A form that cannot be read whole changes nothing: neither one that is too large nor one that is cut, malformed, or
// of another kind. A form without its fields would clear a name, or block a user.
func TestAttack27AFormThatCannotBeReadChangesNothing(t *testing.T) {
	onStores(t, func(w *world) {
		multipart := "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n"
		bodies := map[string]struct {
			kind, body string
			status     int
		}{
			"too large": {"application/x-www-form-urlencoded", "x=" + strings.Repeat("y", 1<<20), 413}, "malformed": {"application/x-www-form-urlencoded", "x=%zz", 400}, "semicolons": {"application/x-www-form-urlencoded", "name=a;x=b", 400},
			"a cut part": {"multipart/form-data; boundary=b", multipart + "y", 400}, "no boundary": {"multipart/form-data", multipart + "y\r\n--b--", 400}, "too large a part": {"multipart/form-data; boundary=b", multipart + strings.Repeat("y", 1<<20), 400},
			"no kind": {"", "name=x", 400}, "text": {"text/plain", "name=x", 400}, "JSON": {"application/json", `{"name":"x"}`, 400}, "not a kind": {"application/x-www-form-urlencoded; x", "name=x", 400},
		}
		w.unchanged("forms that cannot be read", func() {
			for name, b := range bodies {
				for pattern, kind := range routes {
					method, path := w.path(pattern)
					if method != http.MethodPost {
						continue
					}
					caller := map[string]string{staff: root, challenged: "owing", unproven: "unverified"}[kind]
					if caller == "" {
						caller = eve
					}
					a := w.send(request{method: method, target: path, body: b.body, cookies: w.people[caller], headers: http.Header{"Content-Type": {b.kind}}})
					if a.StatusCode != b.status || len(a.Cookies()) > 0 {
						w.Errorf("%s, %s: %d to %q, want %d", pattern, name, a.StatusCode, a.Header.Get("Location"), b.status)
					}
				}
			}
		})
	})
}

// A form is its body: nothing of an address becomes a field of it. Of a field that comes twice the first one counts,
// for the check and for the act.
func TestAttack27NoAddressFillsAForm(t *testing.T) {
	onStores(t, func(w *world) {
		query := values("email", eve, "password", authtest.Password, "name", "From the address", "status", "open", "next", "/teams", "language", "de", "answer", "decline")
		for _, c := range []struct {
			path   string
			by     cookies
			fields url.Values
		}{
			{"/sign-in", cookies{}, values()}, {"/sign-in", cookies{}, values("email", eve)}, {"/account/name", w.people[ada], values("name", "Ada")}, {"/language", cookies{}, values("language", "en")},
			{"/admin/users/" + w.users[mia] + "/status", w.people[root], values("status", "blocked")}, {"/admin/users/" + w.users[mia] + "/status", w.people[root], values()},
		} {
			a := w.browse(request{method: http.MethodPost, target: c.path + "?" + query.Encode(), cookies: c.by, form: c.fields})
			if c.by[sessionCookie] == "" && a.where() == "/account" || a.where() == "/teams" {
				w.Errorf("%s: %d to %q", c.path, a.StatusCode, a.where())
			}
		}
		user, err := w.engine.Users().Get(w.Context(), w.users[mia])
		w.must(err)
		if user.Status {
			w.Error("the address has kept a block away")
		}
		if user, err = w.engine.Users().Get(w.Context(), w.users[ada]); err != nil || user.Name != "Ada" {
			w.Errorf("the name is %q: %v", user.Name, err)
		}
		w.unchanged("a block of nothing", func() {
			for _, status := range []string{"", "Open", "blocked ", "x"} {
				if a := w.post("/admin/users/"+w.users[eve]+"/status", w.people[root], "status", status); a.StatusCode != http.StatusBadRequest {
					w.Errorf("the status %q: %d", status, a.StatusCode)
				}
			}
		})
		a := w.post("/account/sessions/end", w.people[eve], "id", "x", "id", "current")
		if a.StatusCode != http.StatusNotFound {
			w.Errorf("the second field of a name counts: %d to %q", a.StatusCode, a.where())
		}
	})
}

// ---- what an answer tells ----
