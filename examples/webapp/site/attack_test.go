package site_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/examples/webapp/site"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/web"
)

// Attacks on the site (issue 27). Ada owns a team, Mia is a member of it, Eve is a stranger with an account, and
// Root is of the back office.

const base web.Base = "https://app.example.org"

// hostile is a text that an attacker gives wherever the site takes one.
const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.Data}}`

// world is a site with its people.
type world struct {
	*testing.T
	store  store.Store
	engine *latchkey.Engine
	clock  *authtest.Clock
	outbox *notify.Outbox
	site   http.Handler
	issuer *authtest.Issuer // nil without another service

	team, foreign string            // ids of the teams of Ada and of Eve
	members       map[string]string // memberships of Ada's team by address, and that of Eve in hers
	users         map[string]string // ids by address
	people        map[string]cookies
	apps          map[string]*authtest.Authenticator
	mu            sync.Mutex
	log           bytes.Buffer
	secrets       map[string]bool // that no answer may show
	told          map[string]bool // the failures
}

// cookies are the cookies of a browser by name.
type cookies map[string]string

const (
	sessionCookie = "__Host-session"
	page          = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
	ada, mia, eve = "ada@example.org", "mia@example.org", "eve@example.org"
	root          = "root@example.org"
)

// onStores runs a test on memory and on SQLite.
func onStores(t *testing.T, test func(w *world)) {
	t.Run("memory", func(t *testing.T) { test(newWorld(t, memory.Open(), nil)) })
	t.Run("sqlite", func(t *testing.T) { test(newWorld(t, openSQLite(t), nil)) })
}

func openSQLite(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(filepath.Join(t.TempDir(), "site.db"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newWorld returns a site over a store. With an issuer, users sign in by it too.
func newWorld(t *testing.T, s store.Store, issuer *authtest.Issuer) *world {
	t.Helper()
	w := &world{
		T: t, store: s, clock: authtest.NewClock(), outbox: new(notify.Outbox), issuer: issuer,
		members: map[string]string{}, users: map[string]string{}, people: map[string]cookies{}, apps: map[string]*authtest.Authenticator{}, secrets: map[string]bool{}, told: map[string]bool{},
	}
	logger := slog.New(slog.NewTextHandler(logWriter{w}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config := latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(t), Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), Now: w.clock.Now,
		Notifier: w.outbox, RedirectHosts: base.Hosts(), Policy: latchkey.Policy{RequireVerifiedEmail: true}, Logger: logger,
	}
	conf := site.Config{Name: "Webapp", Web: web.Config{Base: base, Logger: logger}, Service: issuer != nil}
	if issuer != nil {
		provider, err := oidc.New(oidc.Config{Issuer: issuer.URL, ClientID: issuer.Settings().ClientID, ClientSecret: issuer.Settings().ClientSecret, TrustEmail: true, Private: true})
		w.must(err)
		t.Cleanup(func() { _ = provider.Close() }) // never fails
		issuer.Set(func(s *authtest.IssuerSettings) { s.Now = w.clock.Now })
		config.Providers, conf.Web.FormTargets = []oauth.Provider{provider}, []string{issuer.URL}
	}
	engine, err := latchkey.New(s, config)
	w.must(err)
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w.engine = engine
	w.site, err = site.New(engine, conf)
	w.must(err)
	w.settle()
	return w
}

type logWriter struct{ w *world }

func (l logWriter) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(p)
}

// Errorf reports each failure once, and not more than twenty of them.
func (w *world) Errorf(format string, args ...any) {
	w.Helper()
	text := fmt.Sprintf("%.300s", fmt.Sprintf(format, args...))
	w.mu.Lock()
	told := w.told[text]
	w.told[text] = true
	tooMany := len(w.told) > 20
	w.mu.Unlock()
	if told {
		return
	}
	if tooMany {
		w.Fatal("and more: " + text)
	}
	w.Error(text)
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// settle makes the people and their teams.
func (w *world) settle() {
	w.Helper()
	ctx := w.Context()
	for _, email := range []string{ada, mia, eve, root, "owing@example.org", "blocked@example.org", "reset@example.org"} {
		w.people[email] = w.signIn(w.user(email, true))
	}
	_, err := w.engine.Users().UpdateLabels(ctx, w.users[root], []string{site.AdminLabel})
	w.must(err)
	w.people["nobody"], w.people["a wrong secret"] = cookies{}, cookies{sessionCookie: strings.Repeat("ab", 32)}
	w.people["unverified"] = w.signIn(w.user("unverified@example.org", false))

	account := w.account("owing@example.org")
	made, err := account.CreateMFAAuthenticator(ctx, latchkey.NewMFAAuthenticator{})
	w.must(err)
	app, err := authtest.NewAuthenticator(w.clock, made.URI.Reveal())
	w.must(err)
	_, err = account.VerifyMFAAuthenticator(ctx, app.Code())
	w.must(err)
	_, err = account.UpdateMFA(ctx, true)
	w.must(err)
	w.clock.Advance(30 * time.Second)
	w.apps["owing@example.org"] = app
	w.people["owing"] = w.signIn("owing@example.org")

	w.people["blocked"] = w.people["blocked@example.org"]
	_, err = w.engine.Users().UpdateStatus(ctx, w.users["blocked@example.org"], false)
	w.must(err)
	w.people["ended"] = w.signIn(eve)
	ended, err := w.guest().Authenticate(ctx, w.people["ended"][sessionCookie])
	w.must(err)
	w.must(ended.DeleteSession(ctx, latchkey.CurrentSession))
	w.renewed()

	team, err := w.account(ada).Teams().Create(ctx, latchkey.NewTeam{Name: "Chess"})
	w.must(err)
	foreign, err := w.account(eve).Teams().Create(ctx, latchkey.NewTeam{Name: "Evil"})
	w.must(err)
	w.team, w.foreign = team.ID, foreign.ID
	_, err = w.engine.Teams().CreateMembership(ctx, w.team, latchkey.NewMembership{UserID: w.users[mia]})
	w.must(err)
	for team, emails := range map[string][]string{w.team: {ada, mia}, w.foreign: {eve}} {
		list, err := w.engine.Teams().Memberships(ctx, team)
		w.must(err)
		for _, m := range list.Memberships {
			for _, email := range emails {
				if m.UserID == w.users[email] {
					w.members[email] = m.ID
				}
			}
		}
	}
	w.sent()
	w.outbox.Take()
}

// renewed makes a browser with the former secret of a session, as one whose request was on its way.
func (w *world) renewed() {
	w.Helper()
	former := w.signIn(eve)
	account, err := w.guest().Authenticate(w.Context(), former[sessionCookie])
	w.must(err)
	session, err := account.RotateSession(w.Context())
	w.must(err)
	w.keep(session.Secret.Reveal())
	w.people["renewed"] = former
}

// keep notes a secret that no answer may show.
func (w *world) keep(secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets[secret] = true
}

// guest returns a client at an address of its own.
func (w *world) guest() *latchkey.Guest { return w.engine.Guest(authtest.Client) }

// user makes a user, and returns the address.
func (w *world) user(email string, verified bool) string {
	w.Helper()
	user, err := w.engine.Users().Create(w.Context(), latchkey.NewUser{Email: email, Password: authtest.Password, Name: "Name of " + email})
	w.must(err)
	if verified {
		_, err = w.engine.Users().UpdateEmailVerification(w.Context(), user.ID, true)
		w.must(err)
	}
	w.users[email] = user.ID
	return email
}

// signIn returns the cookies of a new session of a user.
func (w *world) signIn(email string) cookies {
	w.Helper()
	session, err := w.guest().CreateEmailPasswordSession(w.Context(), email, authtest.Password)
	w.must(err)
	w.keep(session.Secret.Reveal())
	return cookies{sessionCookie: session.Secret.Reveal()}
}

// account returns the account of one of the people.
func (w *world) account(email string) *latchkey.Account {
	w.Helper()
	account, err := w.guest().Authenticate(w.Context(), w.people[email][sessionCookie])
	w.must(err)
	return account
}

// mail returns the next message to an address.
func (w *world) mail(to string) notify.Message {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	m, err := w.outbox.Next(ctx, to)
	if err != nil {
		w.Fatalf("no message to %s: %v", to, err)
	}
	return m
}

// request is a request of a browser.
type request struct {
	method, target, body string
	form                 url.Values
	cookies              cookies
	headers              http.Header
	host                 string
}

// answer is an answer with its body.
type answer struct {
	*http.Response
	body string
}

// where returns the place to which an answer leads, without its query.
func (a answer) where() string {
	path, _, _ := strings.Cut(a.Header.Get("Location"), "?")
	return path
}

func (q request) make(ctx context.Context) *http.Request {
	method := q.method
	if method == "" {
		method = http.MethodGet
	}
	body := q.body
	if q.form != nil {
		body = q.form.Encode()
	}
	r := httptest.NewRequestWithContext(ctx, method, base.URL("/"), strings.NewReader(body))
	u, err := url.ParseRequestURI(q.target)
	if err != nil {
		panic(err)
	}
	r.URL, r.RequestURI = u, q.target
	r.Header.Set("Accept", page)
	r.Header.Set("User-Agent", authtest.Client.UserAgent)
	if method != http.MethodGet && method != http.MethodHead {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, values := range q.headers {
		r.Header[name] = values
	}
	for _, name := range slices.Sorted(maps.Keys(q.cookies)) {
		r.AddCookie(&http.Cookie{Name: name, Value: q.cookies[name]})
	}
	if q.host != "" {
		r.Host = q.host
	}
	return r
}

// send sends a request, and checks the promises that hold for every answer of the site.
func (w *world) send(q request) answer {
	w.Helper()
	rec := httptest.NewRecorder()
	w.site.ServeHTTP(rec, q.make(w.Context()))
	a := answer{Response: rec.Result(), body: rec.Body.String()}
	w.check(q, a)
	for _, c := range a.Cookies() {
		if c.Name == sessionCookie && c.Value != "" {
			w.keep(strings.TrimPrefix(c.Value, "visit."))
		}
	}
	return a
}

// browse is send for a browser that keeps the cookies of the answer.
func (w *world) browse(q request) answer {
	w.Helper()
	a := w.send(q)
	for _, c := range a.Cookies() {
		if c.MaxAge < 0 {
			delete(q.cookies, c.Name)
		} else {
			q.cookies[c.Name] = c.Value
		}
	}
	return a
}

func (w *world) get(target string, by cookies) answer {
	w.Helper()
	return w.browse(request{target: target, cookies: by})
}

// post sends a form. The fields are names and values in turn.
func (w *world) post(target string, by cookies, fields ...string) answer {
	w.Helper()
	return w.browse(request{method: http.MethodPost, target: target, cookies: by, form: values(fields...)})
}

func values(fields ...string) url.Values {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return form
}

// check checks the promises that hold for every answer.
func (w *world) check(q request, a answer) {
	w.Helper()
	what := q.method + " " + q.target
	if a.StatusCode >= 500 {
		w.Errorf("%s: status %d", what, a.StatusCode)
	}
	for name, want := range map[string]string{
		"Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=31536000",
	} {
		if got := a.Header.Values(name); !slices.Equal(got, []string{want}) {
			w.Errorf("%s: %s: %q", what, name, got)
		}
	}
	policy := a.Header.Values("Content-Security-Policy")
	if len(policy) != 1 || !strings.HasPrefix(policy[0], "default-src 'self'; ") || !strings.Contains(policy[0], "frame-ancestors 'none'") || !strings.Contains(policy[0], "form-action 'self'") || strings.Contains(policy[0], "unsafe") {
		w.Errorf("%s: Content-Security-Policy: %q", what, policy)
	}
	stored := strings.HasPrefix(q.target, "/static/")
	if got := a.Header.Get("Cache-Control"); !stored && got != "no-store" && a.StatusCode != http.StatusTemporaryRedirect { // the redirects to cleaned paths have no content
		w.Errorf("%s: Cache-Control: %q", what, got)
	}
	w.checkLocation(what, a)
	for _, c := range a.Cookies() {
		hostOnly := strings.HasPrefix(c.Name, "__Host-") || c.Name == "language"
		if !hostOnly || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			w.Errorf("%s: a cookie: %v", what, c)
		}
	}
	if n := len(a.Header["Set-Cookie"]); n != len(a.Cookies()) {
		w.Errorf("%s: %d lines of cookies, %d cookies", what, n, len(a.Cookies()))
	}
	w.checkSecrets(what, a)
	if strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		w.checkHTML(what, a.body)
	}
}

// checkLocation checks that an answer leads to no other site, but for the service by which users sign in.
func (w *world) checkLocation(what string, a answer) {
	w.Helper()
	for _, location := range append(a.Header.Values("Location"), a.Header.Values("Refresh")...) {
		if location == "1" || location == "./" { // the same page again, and a folder of files
			continue
		}
		// Browsers leave tabs and line ends out, and read a backslash as a slash.
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", "\\", "/").Replace(strings.TrimSpace(location))
		local := strings.HasPrefix(seen, "/") && !strings.HasPrefix(seen, "//") || strings.HasPrefix(seen, base.URL("/"))
		service := w.issuer != nil && strings.HasPrefix(seen, w.issuer.URL+"/") && a.StatusCode == http.StatusSeeOther
		if !local && !service || strings.ContainsAny(location, "\r\n") {
			w.Errorf("%s: leads to %q", what, location)
		}
	}
}

// checkSecrets checks that no secret of a session is anywhere but in a new cookie.
func (w *world) checkSecrets(what string, a answer) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for secret := range w.secrets {
		if strings.Contains(a.body, secret) {
			w.Errorf("%s: a secret is on the page", what)
		}
		for name, lines := range a.Header {
			if name != "Set-Cookie" && strings.Contains(strings.Join(lines, "\n"), secret) {
				w.Errorf("%s: a secret is in %s", what, name)
			}
		}
		if strings.Contains(w.log.String(), secret) {
			w.Fatalf("%s: a secret is in the log", what)
		}
	}
}

// checkHTML checks that a page has nothing in it that runs, and that it sends its readers and their forms to no
// other site.
func (w *world) checkHTML(what, body string) {
	w.Helper()
	root, err := html.Parse(strings.NewReader(body))
	w.must(err)
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "iframe", "object", "embed", "base", "style", "svg", "math"}, n.Data) {
			w.Errorf("%s: the page has <%s>", what, n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "http-equiv", a.Key == "srcdoc", a.Key == "target", a.Key == "ping":
				w.Errorf("%s: <%s %s=%q>", what, n.Data, a.Key, a.Val)
			case slices.Contains([]string{"href", "action", "formaction"}, a.Key):
				if a.Val = strings.TrimPrefix(a.Val, string(base)); !strings.HasPrefix(a.Val, "/") && a.Val != "#main" || strings.HasPrefix(a.Val, "//") || strings.ContainsAny(a.Val, "\\\n\r\t") {
					w.Errorf("%s: <%s %s=%q>", what, n.Data, a.Key, a.Val)
				}
			case a.Key == "src" && !strings.HasPrefix(a.Val, "data:image/png;base64,"):
				w.Errorf("%s: <%s src=%q>", what, n.Data, a.Val)
			}
		}
		if n.Data == "form" && !slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "method" && a.Val == "post" || a.Val == "search" }) {
			w.Errorf("%s: a form that is not posted: %v", what, n.Attr)
		}
	}
}

// seen are the columns that tell when a session or a user was last seen.
var seen = []string{"touched", "accessed"}

// dump returns all rows of the store as text, but for the notes of when a user was last seen.
func (w *world) dump() (lines []string) {
	w.Helper()
	for _, table := range latchkey.Schema().Tables() {
		rows, err := w.store.List(w.Context(), store.Query{Index: table.Primary(), Limit: store.MaxLimit})
		w.must(err)
		for _, row := range rows {
			line := table.Name()
			for i, column := range table.Columns() {
				if v := row.At(i); !slices.Contains(seen, column.Name) {
					line += fmt.Sprintf(" %s=%v/%q/%d", column.Name, v.IsNull(), v.Text(), v.Int())
				}
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// unchanged checks that requests change nothing in the store, and send nothing.
func (w *world) unchanged(what string, requests func()) {
	w.Helper()
	w.unchangedBut(what, nil, requests)
}

// refusals are the lines of the log that tell an owner of attempts.
func refusals(line string) bool {
	return strings.HasPrefix(line, "logs ") && strings.Contains(line, ".refuse\"/")
}

// unchangedBut is unchanged but for some new rows.
func (w *world) unchangedBut(what string, but func(line string) bool, requests func()) {
	w.Helper()
	before, sent := w.dump(), w.sent()
	requests()
	after := w.dump()
	for _, line := range before {
		if !slices.Contains(after, line) {
			w.Errorf("%s: gone: %.200s", what, line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) && (but == nil || !but(line)) {
			w.Errorf("%s: new: %.200s", what, line)
		}
	}
	if n := w.sent(); n != sent {
		w.Errorf("%s: %d messages", what, n-sent)
	}
}

// sent returns the number of messages that the engine has sent, when none waits.
func (w *world) sent() int64 {
	w.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		d := w.engine.Deliveries()
		if d.Waiting == 0 {
			return d.Sent
		}
		if time.Now().After(deadline) {
			w.Fatalf("%d messages wait", d.Waiting)
		}
	}
}

// ---- the table of the routes ----

// kinds of handlers: which callers they are for.
const (
	anybody    = "Handle"
	optional   = "Optional"
	signedIn   = "Require"
	profiled   = "RequireProfile"
	challenged = "Challenge"
	unproven   = "Unverified"
	staff      = "staff"
	callback   = "OAuth2Callback"
	health     = "Health"
	static     = "cached"
)

// routes are the patterns of the site with the kind of their handlers. TestAttack27TheTableHasEveryRoute
// compares them with the source.
var routes = map[string]string{
	"GET /static/{file}": static, "GET /healthz": health, "GET /{$}": optional, "POST /language": anybody, "/": anybody,
	"GET /sign-up": anybody, "POST /sign-up": anybody, "GET /sign-in": anybody, "POST /sign-in": anybody, "POST /sign-in/link": anybody, "POST /sign-in/code": anybody,
	"POST /sign-in/code/type": anybody, "POST /sign-out": anybody, "GET /recover": anybody, "POST /recover": anybody, "GET /sent": anybody,
	"GET /verify": unproven, "POST /verify": unproven, "POST /verify/email": unproven, "POST /sign-in/service": optional, "/callback/service": callback,
	"GET /link/sign-in": anybody, "GET /link/verify": anybody, "GET /link/recover": anybody, "GET /link/email": anybody, "GET /link/restore": anybody, "GET /link/invitation": anybody,
	"POST /link/sign-in": anybody, "POST /link/verify": anybody, "POST /link/recover": anybody, "POST /link/email": anybody, "POST /link/restore": anybody, "POST /link/invitation": anybody,
	"GET /factor": challenged, "POST /factor": challenged, "GET /confirm": challenged, "POST /confirm": challenged, "POST /factor/send": challenged, "POST /confirm/password": signedIn,
	"GET /account/factors": profiled, "POST /account/factors/app": profiled, "POST /account/factors/app/confirm": profiled, "POST /account/factors/app/remove": signedIn,
	"POST /account/factors/off": signedIn, "GET /account/factors/codes": profiled, "POST /account/factors/codes": profiled,
	"GET /account": profiled, "POST /account/name": profiled, "POST /account/email": profiled, "POST /account/password": profiled, "POST /account/services/unlink": signedIn,
	"GET /account/sessions": profiled, "POST /account/sessions/end": signedIn, "POST /account/sessions/end-all": signedIn, "GET /account/log": profiled,
	"GET /account/delete": profiled, "POST /account/delete": profiled,
	"GET /teams": profiled, "POST /teams": profiled, "GET /teams/{team}": profiled, "POST /teams/{team}/members": profiled,
	"POST /teams/{team}/members/{member}/remove": profiled, "POST /teams/{team}/delete": profiled,
	"GET /admin/users": staff, "GET /admin/users/{user}": staff, "POST /admin/users/{user}/status": staff, "POST /admin/users/{user}/sign-out": staff,
	"GET /admin/teams": staff, "GET /admin/teams/{team}": staff,
}

// sourceRoutes reads the routes from the source of the site.
func sourceRoutes(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var loops []*ast.RangeStmt
		ast.Inspect(file, func(n ast.Node) bool {
			if loop, is := n.(*ast.RangeStmt); is {
				loops = append(loops, loop)
			}
			call, is := n.(*ast.CallExpr)
			if !is {
				return true
			}
			fn, is := call.Fun.(*ast.SelectorExpr)
			if !is || fn.Sel.Name != "Handle" && fn.Sel.Name != "HandleFunc" || len(call.Args) != 2 {
				return true
			}
			kind := call.Args[1].(*ast.CallExpr)
			of := ""
			switch fun := kind.Fun.(type) {
			case *ast.SelectorExpr:
				of = fun.Sel.Name
			case *ast.Ident:
				of = fun.Name
			}
			for _, pattern := range patterns(t, call.Args[0], loops) {
				found[pattern] = of
			}
			return true
		})
	}
	return found
}

// patterns returns the texts that a pattern may be. One that adds a variable to a text takes its values from the
// last loop before it.
func patterns(t *testing.T, x ast.Expr, loops []*ast.RangeStmt) (all []string) {
	t.Helper()
	switch x := x.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		if err != nil {
			t.Fatal(err)
		}
		return []string{text}
	case *ast.BinaryExpr:
		for _, left := range patterns(t, x.X, loops) {
			for _, right := range patterns(t, x.Y, loops) {
				all = append(all, left+right)
			}
		}
		return all
	}
	for _, element := range loops[len(loops)-1].X.(*ast.CompositeLit).Elts {
		if c, is := element.(*ast.CompositeLit); is {
			element = c.Elts[0]
		}
		all = append(all, patterns(t, element, nil)...)
	}
	return all
}

func TestAttack27TheTableHasEveryRoute(t *testing.T) {
	source := sourceRoutes(t)
	for pattern, kind := range source {
		if routes[pattern] != kind {
			t.Errorf("%q has the kind %q, and in the table %q", pattern, kind, routes[pattern])
		}
	}
	for pattern := range routes {
		if source[pattern] == "" {
			t.Errorf("%q is not in the source", pattern)
		}
	}
}

// ending are the forms after which a session is no more.
var ending = []string{"POST /sign-out", "POST /account/sessions/end-all", "POST /account/delete"}

// path returns the method of a pattern and its path, with the ids of Ada's team, of Mia's membership and of Eve.
func (w *world) path(pattern string) (method, path string) {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		method, path = http.MethodGet, pattern
	}
	return method, strings.NewReplacer("{$}", "", "{team}", w.team, "{member}", w.members[mia], "{user}", w.users[eve], "{file}", "style.css").Replace(path)
}

// fields are values for every field of every form of the site. Each is one that would change something.
func (w *world) fields() url.Values {
	return values(
		"email", "new@example.org", "password", authtest.Password, "old", authtest.Password, "name", "New name", "stay", "on", "language", "de", "user", w.users[eve], "code", "123456",
		"userId", w.users[eve], "secret", strings.Repeat("ab", 32), "teamId", w.team, "membershipId", w.members[mia], "answer", "decline", "teamName", "Chess", "challenge", "x", "factor", "totp",
		"uri", "otpauth://totp/Webapp:x?secret=JBSWY3DPEHPK3PXP&issuer=Webapp", "id", "x", "owner", "on", "status", "blocked", "page", "x", "search", "Ada", "phrase", "two words", "done", "name", "next", "/teams",
		"state", "x", "_method", "POST",
	)
}

// each calls a function for every pattern of a method, in order.
func each(method string, do func(pattern, kind string)) {
	for _, pattern := range slices.Sorted(maps.Keys(routes)) {
		if strings.HasPrefix(pattern, method+" ") {
			do(pattern, routes[pattern])
		}
	}
}

// ---- promises that hold for every route ----

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
	for deadline := time.Now().Add(10 * time.Second); len(found) < 6; time.Sleep(time.Millisecond) {
		for _, m := range w.outbox.All() {
			if u, err := url.Parse(m.Link.Reveal()); err == nil && u.Path != "" {
				found[u.Path] = u.RawQuery
			}
		}
		if time.Now().After(deadline) {
			w.Fatalf("only these links have come: %v", slices.Collect(maps.Keys(found)))
		}
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
		// The same requests of the right callers are no refusals.
		for pattern, kind := range routes {
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
					if strings.Contains(a.body, "<script") {
						w.Errorf("%s by %s: a text runs", pattern, caller)
					}
				}
			}
		}
		for _, c := range w.post("/language", cookies{}, "language", "de; Domain=example.org"+hostile).Cookies() {
			if c.Value != "en" {
				w.Errorf("an unknown language is kept: %v", c)
			}
		}
		if shown < 100 { // otherwise the attack has met nothing
			w.Errorf("the texts are shown only %d times", shown)
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
	for _, evil := range evilPlaces {
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

// answersOf returns the answers to a form for each address, with the address and the ids of the users masked.
func (w *world) answersOf(path string, emails []string, fields ...string) map[string]string {
	w.Helper()
	all := make(map[string]string)
	for _, email := range emails {
		jar := cookies{}
		a := w.post(path, jar, append([]string{"email", email}, fields...)...)
		text := fmt.Sprintf("%d %q %v %s", a.StatusCode, a.Header.Get("Location"), slices.Sorted(maps.Keys(jar)), a.body)
		all[email] = strings.ReplaceAll(text, email, "ADDRESS")
	}
	return all
}

// No page tells whether an address has an account, beside the page that signs up.
func TestAttack27NoPageTellsWhoseAnAddressIs(t *testing.T) {
	onStores(t, func(w *world) {
		_, err := w.engine.Users().Create(w.Context(), latchkey.NewUser{Email: "linkonly@example.org"})
		w.must(err)
		emails := []string{eve, "nobody@example.org", "blocked@example.org", "unverified@example.org", "linkonly@example.org", "owing@example.org"}
		hidden := regexp.MustCompile(`(name="user" value|name="phrase" value)="[^"]*"|<strong lang="en">[^<]*</strong>`)
		for path, fields := range map[string][]string{"/sign-in": {"password", "a wrong one"}, "/sign-in/link": nil, "/sign-in/code": nil, "/recover": nil} {
			for i := range 2 {
				answers := w.answersOf(path, emails, fields...)
				for email, got := range answers {
					if got, want := hidden.ReplaceAllString(got, ""), hidden.ReplaceAllString(answers["nobody@example.org"], ""); got != want {
						w.Errorf("%s, time %d, of %s: %s\nof nobody: %s", path, i, email, got, want)
					}
				}
			}
		}
		// The id in the form of a code is another one each time, and never that of a user.
		id := regexp.MustCompile(`name="user" value="([^"]*)"`)
		for _, email := range emails {
			first, second := id.FindStringSubmatch(w.post("/sign-in/code", cookies{}, "email", email).body), id.FindStringSubmatch(w.post("/sign-in/code", cookies{}, "email", email).body)
			if len(first) != 2 || len(second) != 2 || first[1] == second[1] || first[1] == w.users[email] || len(first[1]) != len(w.users[eve]) {
				w.Errorf("%s has the ids %q and %q", email, first, second)
			}
		}
	})
}

// No page tells an ordinary member or a stranger about the team of others, nor an owner about the person whom
// they invite.
func TestAttack27NoTeamTellsAboutOthers(t *testing.T) {
	onStores(t, func(w *world) {
		for _, email := range []string{eve, "nobody@example.org"} {
			if a := w.post("/teams/"+w.team+"/members", w.people[ada], "email", email); a.StatusCode != http.StatusSeeOther {
				w.Errorf("an invitation: %d", a.StatusCode)
			}
		}
		body := w.get("/teams/"+w.team, w.people[ada]).body
		if strings.Contains(body, "Name of "+eve) || strings.Contains(body, w.users[eve]) {
			w.Error("an invitation tells the name or the id of the person")
		}
		for _, path := range []string{"/teams/" + w.team, "/teams/" + w.foreign, "/teams/x"} {
			if a := w.get(path, w.people[root]); a.StatusCode != http.StatusNotFound || strings.Contains(a.body, "Chess") {
				w.Errorf("%s to a stranger: %d", path, a.StatusCode)
			}
		}
	})
}

// ---- other people's things ----

// A form about a thing of other people changes nothing: a session, a team, a membership, an identity, a link.
func TestAttack27NothingOfOthersIsChanged(t *testing.T) {
	onStores(t, func(w *world) {
		list, err := w.engine.Users().Sessions(w.Context(), w.users[ada])
		w.must(err)
		session := list.Sessions[0].ID
		w.unchanged("things of others", func() {
			for _, caller := range []string{eve, mia, root} {
				for path, fields := range map[string][]string{
					"/account/sessions/end": {"id", session}, "/account/services/unlink": {"id", session}, "/teams/" + w.team + "/delete": nil, "/teams/" + w.team + "/members": {"email", "x@example.org", "owner", "on"},
					"/teams/" + w.team + "/members/" + w.members[ada] + "/remove": nil, "/teams/" + w.foreign + "/members/" + w.members[ada] + "/remove": nil, "/teams/" + w.foreign + "/members/" + w.members[mia] + "/remove": nil,
					"/teams/" + w.team + "/members/" + w.members[eve] + "/remove": nil, "/teams/x/members/" + w.members[ada] + "/remove": nil,
				} {
					a := w.send(request{method: http.MethodPost, target: path, form: values(fields...), cookies: w.people[caller]})
					if a.StatusCode < 400 {
						w.Errorf("%s by %s: %d to %q", path, caller, a.StatusCode, a.Header.Get("Location"))
					}
				}
			}
		})
		// The last owner cannot leave a team without one, and a member cannot be made an owner by their own form.
		if a := w.post("/teams/"+w.team+"/members/"+w.members[ada]+"/remove", w.people[ada]); a.StatusCode < 400 {
			w.Errorf("the last owner leaves: %d", a.StatusCode)
		}
		if a := w.post("/teams/"+w.team+"/members/"+w.members[mia]+"/remove", w.people[mia]); a.where() != "/teams" {
			w.Errorf("a member leaves: %d to %q", a.StatusCode, a.where())
		}
	})
}

// A link works for the user to whom it was sent, whatever session the browser has, and for its own purpose alone.
func TestAttack27ALinkServesItsUserAndItsPurpose(t *testing.T) {
	onStores(t, func(w *world) {
		links := w.links()
		paths := slices.Sorted(maps.Keys(links))
		w.unchangedBut("links at the wrong place", refusals, func() {
			for _, of := range paths {
				query, err := url.ParseQuery(links[of])
				w.must(err)
				for _, at := range paths {
					if of == at {
						continue
					}
					for _, caller := range []string{"nobody", eve, "unverified"} {
						q := maps.Clone(query)
						q.Set("password", "another password")
						a := w.send(request{method: http.MethodPost, target: at, form: q, cookies: w.people[caller]})
						for _, c := range a.Cookies() {
							w.Errorf("the link %s at %s sets %v", of, at, c)
						}
					}
				}
			}
			// With a session of another user, and with the id of another user.
			for of, ids := range map[string][]string{"/link/sign-in": {w.users[eve]}, "/link/recover": {w.users[eve], ""}, "/link/verify": {w.users[eve]}, "/link/restore": {w.users[eve]}, "/link/email": nil} {
				query, err := url.ParseQuery(links[of])
				w.must(err)
				query.Set("password", "another password")
				for _, id := range ids {
					query.Set("userId", id)
					if a := w.send(request{method: http.MethodPost, target: of, form: query, cookies: w.people[eve]}); len(a.Cookies()) > 0 {
						w.Errorf("%s for another user: %v", of, a.Cookies())
					}
				}
				if of == "/link/email" {
					w.send(request{method: http.MethodPost, target: of, form: query, cookies: w.people[eve]})
				}
			}
		})
	})
}

// A program that opens the link of a mail, in whichever way, leaves it to its reader.
func TestAttack27AProgramThatOpensALinkLeavesItGood(t *testing.T) {
	onStores(t, func(w *world) {
		links := w.links()
		for path, query := range links {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, "PUT"} {
				w.send(request{method: method, target: path + "?" + query, cookies: cookies{}, headers: http.Header{"User-Agent": {"scanner"}, "Accept": {"*/*"}}})
			}
		}
		for _, l := range []struct {
			path, where string
			by          cookies
		}{
			{"/link/sign-in", "/account", cookies{}}, {"/link/email", "/account", w.people[mia]}, {"/link/recover", "", cookies{}}, {"/link/verify", "/account", w.people["unverified"]}, {"/link/invitation", "/teams/" + w.team, w.people[eve]}, {"/link/restore", "", cookies{}},
		} {
			form, err := url.ParseQuery(links[l.path])
			w.must(err)
			form.Set("password", "another password")
			if a := w.browse(request{method: http.MethodPost, target: l.path, form: form, cookies: l.by}); l.where != "" && a.where() != l.where || a.StatusCode >= 400 {
				w.Errorf("%s: %d to %q", l.path, a.StatusCode, a.where())
			}
		}
	})
}

// A link that is opened in a session of its user is opened in it: not as by a stranger while the session gets a new
// secret, or owes a factor. A link that a stranger opens proves less.
func TestAttack27ALinkWaitsForTheSessionOfItsUser(t *testing.T) {
	onStores(t, func(w *world) {
		links := w.links()
		invitation, err := url.ParseQuery(links["/link/invitation"])
		w.must(err)
		w.must(errOf(w.engine.Users().UpdateEmailVerification(w.Context(), w.users["owing@example.org"], false)))
		w.must(errOf(w.unverified("owing@example.org").CreateEmailVerification(w.Context(), base.URL("/link/verify"))))
		u, err := url.Parse(w.mail("owing@example.org").Link.Reveal())
		w.must(err)
		w.unchanged("links in a session that is not whole", func() {
			page := http.Header{"Referer": {u.String()}, "Content-Type": {"application/x-www-form-urlencoded"}}
			if a := w.send(request{method: http.MethodPost, target: "/link/verify", form: u.Query(), cookies: w.people["owing"], headers: page}); a.where() != "/factor" || !strings.Contains(a.Header.Get("Location"), "link%2Fverify") {
				w.Errorf("an owing session verifies: %d to %q", a.StatusCode, a.Header.Get("Location"))
			}
			for path, form := range map[string]url.Values{"/link/verify": u.Query(), "/link/invitation": invitation} {
				if a := w.send(request{method: http.MethodPost, target: path, form: form, cookies: w.people["renewed"]}); a.StatusCode != http.StatusUnauthorized || len(a.Cookies()) > 0 {
					w.Errorf("%s with a former secret: %d to %q", path, a.StatusCode, a.where())
				}
			}
		})
	})
}

// A page shows no password and no code again, and a link's secret is in the form that uses it and nowhere else. The
// form for the language comes back to an address without one.
func TestAttack27NoPageShowsWhatWasTypedInSecret(t *testing.T) {
	w := newWorld(t, memory.Open(), nil)
	for path, query := range w.links() {
		q, err := url.ParseQuery(query)
		w.must(err)
		if n := strings.Count(w.get(path+"?"+query, cookies{}).body, q.Get("secret")); n != 1 {
			w.Errorf("the secret of %s is %d times on its page", path, n)
		}
	}
	const password, code, old = "typed in secret", "271828", "typed in before"
	for pattern, kind := range routes {
		method, path := w.path(pattern)
		if method != http.MethodPost || slices.Contains(ending, pattern) {
			continue
		}
		for _, caller := range []string{"nobody", ada, "owing", "unverified", root} {
			a := w.send(request{method: method, target: path, form: values("email", "x", "password", password, "old", old, "code", code, "user", "x", "userId", "x", "secret", "x"), cookies: w.people[caller]})
			for _, typed := range []string{password, code, old} {
				if strings.Contains(a.body, typed) {
					w.Errorf("%s, %s, by %s: %q is shown again", pattern, kind, caller, typed)
				}
			}
			if strings.Contains(a.body, `name="next" value="`+path) {
				w.Errorf("%s: the form for the language comes back to a form", pattern)
			}
		}
	}
}

// The address of a part of a list opens that list to its reader alone.
func TestAttack27APartOfAListIsOfItsReader(t *testing.T) {
	onStores(t, func(w *world) {
		for i := range 25 {
			w.must(errOf(w.account(eve).UpdateName(w.Context(), "Name "+strconv.Itoa(i))))
		}
		for _, path := range []string{"/admin/users/" + w.users[eve], "/account/log"} {
			by := map[bool]string{true: root, false: eve}[strings.HasPrefix(path, "/admin")]
			next := regexp.MustCompile(`\?page=([^"&]+)`).FindStringSubmatch(w.get(path, w.people[by]).body)
			if len(next) != 2 {
				w.Fatalf("%s has one part", path)
			}
			for _, other := range []string{"/account/log", "/admin/users", "/admin/teams", "/admin/teams/" + w.team, "/admin/users/" + w.users[ada]} {
				for _, reader := range []string{ada, root} {
					a := w.get(other+"?page="+next[1], w.people[reader])
					if strings.Contains(a.body, w.users[eve]) && other != "/admin/users" || strings.Count(a.body, "<time") > 0 && a.StatusCode == 200 && strings.HasSuffix(other, "/log") {
						w.Errorf("%s with a part of %s, by %s: %d", other, path, reader, a.StatusCode)
					}
				}
			}
		}
	})
}

// ---- sessions ----

// Each way in gives the browser a new session, and ends the one that an attacker has planted in it.
func TestAttack27EveryWayInEndsAPlantedSession(t *testing.T) {
	onStores(t, func(w *world) {
		code := func(jar cookies) answer {
			form := w.post("/sign-in/code", jar, "email", mia).body
			id := regexp.MustCompile(`name="user" value="([^"]*)"`).FindStringSubmatch(form)
			return w.post("/sign-in/code/type", jar, "user", id[1], "code", w.mail(mia).Secret.Reveal())
		}
		link := func(jar cookies, path, to string) answer {
			u, err := url.Parse(w.mail(to).Link.Reveal())
			w.must(err)
			q := u.Query()
			var fields []string
			for name := range q {
				fields = append(fields, name, q.Get(name))
			}
			return w.post(path, jar, append(fields, "password", "another password", "answer", "accept")...)
		}
		for name, enter := range map[string]func(jar cookies) answer{
			"password": func(jar cookies) answer { return w.post("/sign-in", jar, "email", mia, "password", authtest.Password) },
			"stay": func(jar cookies) answer {
				return w.post("/sign-in", jar, "email", mia, "password", authtest.Password, "stay", "on")
			},
			"sign up": func(jar cookies) answer {
				return w.post("/sign-up", jar, "email", "zoe@example.org", "password", authtest.Password)
			},
			"code": code,
			"link": func(jar cookies) answer {
				w.post("/sign-in/link", jar, "email", mia)
				return link(jar, "/link/sign-in", mia)
			},
			"second factor": func(jar cookies) answer {
				return w.post("/sign-in", jar, "email", "owing@example.org", "password", authtest.Password)
			},
		} {
			w.sent()
			w.outbox.Take()
			jar := w.signIn(eve)
			planted := jar[sessionCookie]
			if a := enter(jar); a.StatusCode != http.StatusSeeOther {
				w.Errorf("%s: %d %s", name, a.StatusCode, a.body)
			}
			if jar[sessionCookie] == planted {
				w.Errorf("%s keeps the planted cookie", name)
			}
			if _, err := w.guest().Authenticate(w.Context(), planted); !errors.Is(err, latchkey.ErrUnauthorized) {
				w.Errorf("%s: the planted session lives: %v", name, err)
			}
		}
		// An invitation without a session signs in; with a session of another user it is refused, and that one stays.
		w.must(errOf(w.account(ada).Teams().CreateMembership(w.Context(), w.team, latchkey.NewMembership{Email: "new@example.org", URL: base.URL("/link/invitation")})))
		jar := w.signIn(eve)
		former := jar[sessionCookie]
		m := w.mail("new@example.org")
		u, err := url.Parse(m.Link.Reveal())
		w.must(err)
		q := u.Query()
		q.Set("answer", "accept")
		if a := w.browse(request{method: http.MethodPost, target: "/link/invitation", form: q, cookies: jar}); a.StatusCode < 400 || jar[sessionCookie] != former {
			w.Errorf("an invitation of another person: %d", a.StatusCode)
		}
		fresh := cookies{}
		if a := w.browse(request{method: http.MethodPost, target: "/link/invitation", form: q, cookies: fresh}); a.where() != "/teams/"+w.team || fresh[sessionCookie] == "" {
			w.Errorf("an invitation: %d to %q", a.StatusCode, a.where())
		}
	})
}

func errOf[T any](_ T, err error) error { return err }

// A session whose proof is old changes nothing that matters: the browser is led to the page that asks again.
func TestAttack27AnOldSessionChangesNothingThatMatters(t *testing.T) {
	onStores(t, func(w *world) {
		w.clock.Advance(31 * time.Minute)
		requests := []struct{ pattern, by string }{
			{"POST /account/factors/app", ada}, {"GET /account/factors/codes", ada}, {"POST /account/factors/codes", ada}, {"POST /account/delete", ada},
			{"POST /admin/users/{user}/status", root}, {"POST /admin/users/{user}/sign-out", root}, {"POST /account/factors/off", ada},
		}
		w.unchanged("an old session", func() {
			for _, q := range requests {
				method, path := w.path(q.pattern)
				form := w.fields()
				form.Set("email", q.by)
				a := w.send(request{method: method, target: path, form: form, cookies: w.people[q.by]})
				if a.where() != "/confirm" {
					w.Errorf("%s: %d to %q", q.pattern, a.StatusCode, a.Header.Get("Location"))
				}
			}
		})
		counted := func(line string) bool { return refusals(line) || strings.HasPrefix(line, "failures ") }
		w.unchangedBut("a thief with the session alone, who has no password", counted, func() {
			for _, path := range []string{"/account/email", "/account/password", "/confirm/password"} {
				a := w.send(request{method: http.MethodPost, target: path, form: values("email", "thief@example.org", "password", "another password", "old", "x"), cookies: w.people[mia]})
				if a.StatusCode < 400 || len(a.Cookies()) > 0 {
					w.Errorf("%s: %d to %q", path, a.StatusCode, a.Header.Get("Location"))
				}
			}
		})
	})
}

// A form that is sent twice at once, or from two tabs, is done once: each link, code and factor.
func TestAttack27ADoubleSubmitIsDoneOnce(t *testing.T) {
	onStores(t, func(w *world) {
		links := w.links()
		for _, l := range [][2]string{{"/link/sign-in", "/account"}, {"/link/recover", "/sign-in"}, {"/link/restore", ""}, {"/link/invitation", "/teams/" + w.team}} {
			path, want := l[0], l[1]
			query, err := url.ParseQuery(links[path])
			w.must(err)
			query.Set("password", "another password")
			query.Set("answer", "accept")
			answers := w.atOnce(6, request{method: http.MethodPost, target: path, form: query, cookies: cookies{}})
			done, signedIn := 0, 0
			for _, a := range answers {
				if a.StatusCode < 400 && (want == "" || a.where() == want) {
					done++
				}
				signedIn += len(a.Cookies())
			}
			if done != 1 || signedIn > 1 {
				w.Errorf("%s is done %d times, with %d cookies", path, done, signedIn)
			}
		}
		code := w.apps["owing@example.org"].Code()
		done := 0
		for _, a := range w.atOnce(6, request{method: http.MethodPost, target: "/factor", form: values("factor", "totp", "code", code), cookies: w.people["owing"]}) {
			if len(a.Cookies()) > 0 {
				done++
			}
		}
		if done != 1 {
			w.Errorf("a code of an app counts %d times", done)
		}
	})
}

// atOnce sends a request several times at once.
func (w *world) atOnce(n int, q request) []answer {
	w.Helper()
	answers := make([]answer, n)
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() {
			rec := httptest.NewRecorder()
			w.site.ServeHTTP(rec, q.make(w.Context()))
			answers[i] = answer{Response: rec.Result(), body: rec.Body.String()}
		})
	}
	wait.Wait()
	for _, a := range answers {
		w.check(q, a)
	}
	return answers
}

// A page that was loaded before the rights of its reader have changed has no more rights than they.
func TestAttack27AStalePageHasNoRights(t *testing.T) {
	onStores(t, func(w *world) {
		ctx := w.Context()
		w.must(w.engine.Teams().DeleteMembership(ctx, w.team, w.members[mia]))
		w.must(errOf(w.engine.Teams().UpdateMembership(ctx, w.foreign, w.members[eve], []string{latchkey.TeamOwner})))
		w.must(errOf(w.engine.Users().UpdateLabels(ctx, w.users[root], nil)))
		w.unchanged("stale pages", func() {
			for _, q := range []struct{ path, by string }{
				{"/teams/" + w.team + "/members/" + w.members[mia] + "/remove", mia}, {"/teams/" + w.team + "/members", mia}, {"/teams/" + w.team + "/delete", mia},
				{"/admin/users/" + w.users[eve] + "/status", root}, {"/admin/users/" + w.users[eve] + "/sign-out", root},
			} {
				if a := w.send(request{method: http.MethodPost, target: q.path, form: values("status", "blocked", "email", "x@example.org"), cookies: w.people[q.by]}); a.StatusCode < 400 {
					w.Errorf("%s by %s: %d to %q", q.path, q.by, a.StatusCode, a.Header.Get("Location"))
				}
			}
			if a := w.get("/teams/"+w.team, w.people[mia]); a.StatusCode != http.StatusNotFound {
				w.Errorf("a former member sees the team: %d", a.StatusCode)
			}
			if a := w.get("/admin/users", w.people[root]); a.StatusCode != http.StatusUnauthorized {
				w.Errorf("a former member of the staff sees the users: %d", a.StatusCode)
			}
		})
		w.must(errOf(w.engine.Users().UpdateStatus(ctx, w.users[ada], false)))
		for pattern, kind := range routes {
			if kind == signedIn || kind == profiled {
				method, path := w.path(pattern)
				if a := w.send(request{method: method, target: path, form: w.fields(), cookies: w.people[ada]}); a.StatusCode != http.StatusForbidden {
					w.Errorf("%s by a blocked user: %d", pattern, a.StatusCode)
				}
			}
		}
	})
}

// The staff cannot lock themselves out, and signs itself out as it signs out others.
func TestAttack27TheStaffDoesNotLockItselfOut(t *testing.T) {
	onStores(t, func(w *world) {
		own := "/admin/users/" + w.users[root]
		w.unchanged("a block of oneself", func() {
			for _, status := range []string{"blocked", "open", ""} {
				if a := w.post(own+"/status", w.people[root], "status", status); a.StatusCode != http.StatusUnauthorized {
					w.Errorf("%s: %d", status, a.StatusCode)
				}
			}
			for _, path := range []string{"/admin/users/x/status", "/admin/users/x/sign-out", "/admin/users/..%2f/status"} {
				if a := w.post(path, w.people[root], "status", "blocked"); a.StatusCode < 400 {
					w.Errorf("%s: %d", path, a.StatusCode)
				}
			}
		})
		if a := w.post(own+"/sign-out", w.people[root]); a.StatusCode != http.StatusSeeOther {
			w.Errorf("signing oneself out: %d", a.StatusCode)
		}
		if a := w.get("/admin/users", w.people[root]); a.where() != "/sign-in" {
			w.Errorf("after that: %d to %q", a.StatusCode, a.where())
		}
	})
}

// No method but POST changes anything, and none makes a page of another one.
func TestAttack27OtherMethodsChangeNothing(t *testing.T) {
	w := newWorld(t, memory.Open(), nil)
	w.unchanged("other methods", func() {
		for pattern := range routes {
			_, path := w.path(pattern)
			for _, method := range []string{"PUT", "DELETE", "PATCH", "post", "Post", "TRACE", "X-POST", "CONNECT", "PROPFIND"} {
				for _, caller := range []string{"nobody", ada, root, "owing"} {
					a := w.send(request{method: method, target: path + "?_method=POST", form: w.fields(), cookies: w.people[caller], headers: http.Header{"X-Http-Method": {"POST"}, "X-Method-Override": {"POST"}, "X-Http-Method-Override": {"POST"}, "Sec-Fetch-Site": {"same-origin"}, "Content-Type": {"application/x-www-form-urlencoded"}}})
					if a.StatusCode < 400 && pattern != "GET /healthz" {
						w.Errorf("%s %s by %s: %d", method, path, caller, a.StatusCode)
					}
				}
			}
		}
	})
}

// Nothing that proves something gets into the log, also while the store fails and requests have it in their
// addresses.
func TestAttack27NoSecretIsInTheLog(t *testing.T) {
	w := newWorld(t, memory.Open(), nil)
	links := w.links()
	everything := func() {
		for pattern := range routes {
			method, path := w.path(pattern)
			for of, query := range links {
				for _, caller := range []string{"nobody", "owing", "unverified", root} {
					q, _ := url.ParseQuery(query)
					q.Set("password", authtest.Password)
					q.Set("code", "314159")
					q.Set("email", "typed-in-place-of-a-password@example.org")
					rec := httptest.NewRecorder()
					w.site.ServeHTTP(rec, request{method: method, target: path + "?" + q.Encode(), form: q, cookies: w.people[caller], headers: http.Header{"Referer": {base.URL(of + "?" + query)}}}.make(w.Context()))
					if rec.Code >= 500 && rec.Code != 503 {
						w.Errorf("%s: %d", pattern, rec.Code)
					}
				}
			}
		}
	}
	everything()
	w.must(w.engine.Close())
	everything()
	text := w.log.String()
	for _, secret := range []string{authtest.Password, url.QueryEscape(authtest.Password), "314159", "secret=", "typed-in"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
	for of, query := range links {
		q, _ := url.ParseQuery(query)
		if strings.Contains(text, q.Get("secret")) {
			t.Errorf("the secret of %s is in the log", of)
		}
	}
	for secret := range w.secrets {
		if strings.Contains(text, secret) {
			t.Error("the secret of a session is in the log")
		}
	}
}

// ---- another service ----

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
