package site_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
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
	"example.com/latchkey/passkey"
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
	outbox *notify.Mailbox
	site   http.Handler
	issuer *authtest.Issuer // nil without another service

	team, foreign string            // ids of the teams of Ada and of Eve
	members       map[string]string // memberships of Ada's team by address, and that of Eve in hers
	users         map[string]string // ids by address
	people        map[string]cookies
	apps          map[string]*authtest.Authenticator
	device        *authtest.Device // of the keeper of a passkey
	answer        string           // by which the keeper signs in, once
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
	keeper        = "keeper@example.org"
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
		T: t, store: s, clock: authtest.NewClock(), outbox: new(notify.Mailbox), issuer: issuer,
		members: map[string]string{}, users: map[string]string{}, people: map[string]cookies{}, apps: map[string]*authtest.Authenticator{}, device: authtest.NewDevice(string(base)), secrets: map[string]bool{}, told: map[string]bool{},
	}
	logger := slog.New(slog.NewTextHandler(logWriter{w}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config := latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(t), Limiter: ratelimit.ReportOnly(ratelimit.NewMemory(0)), Now: w.clock.Now,
		Notifier: w.outbox, RedirectHosts: base.Hosts(), Policy: latchkey.Policy{RequireVerifiedEmail: true}, Logger: logger,
	}
	var err error
	config.Passkeys, err = passkey.New(passkey.Config{RPID: "example.org", Name: "Webapp", Origins: []string{string(base)}})
	w.must(err)
	conf := site.Config{Name: "Webapp", Web: web.Config{Base: base, Logger: logger}, Service: issuer != nil, Passkeys: true}
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
	for _, email := range []string{ada, mia, eve, root, keeper, "owing@example.org", "blocked@example.org", "reset@example.org"} {
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

	w.passkey(keeper, w.device)
	question, err := w.guest().StartPasskeySession(ctx, latchkey.PasskeyOffer{})
	w.must(err)
	w.answer = w.touch(w.device, question)

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

// passkey makes a passkey of one of the people, and returns its id.
func (w *world) passkey(email string, device *authtest.Device) string {
	w.Helper()
	account := w.account(email)
	question, err := account.StartPasskeyEnrolment(w.Context(), latchkey.PasskeyEnrolment{})
	w.must(err)
	answer, err := device.Create(question.Options)
	w.must(err)
	made, err := account.FinishPasskeyEnrolment(w.Context(), answer, "Telephone")
	w.must(err)
	return made.ID
}

// touch returns the answer of a device to a question.
func (w *world) touch(device *authtest.Device, question *latchkey.PasskeyCeremony) string {
	w.Helper()
	answer, err := device.Get(question.Options)
	w.must(err)
	return string(answer)
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
		if n.Data == "script" && isPasskeyScript(n) {
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

// passkeyScript is the one script of the site.
const passkeyScript = `<script type="module" src="/static/passkey.js"></script>`

func isPasskeyScript(n *html.Node) bool {
	return n.FirstChild == nil && slices.Equal(n.Attr, []html.Attribute{{Key: "type", Val: "module"}, {Key: "src", Val: "/static/passkey.js"}})
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
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
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
