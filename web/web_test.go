package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/web"
)

const base web.Base = "https://app.example.org"

// host is a site over an engine in memory.
type host struct {
	*authtest.Kit
	*web.Site
	t   *testing.T
	log *bytes.Buffer
}

// pages are the pages of the hosts of the tests.
var pages = web.Pages{SignIn: "/sign-in", Factor: "/factor", Verify: "/verify", Recover: "/recover?from=site", Confirm: "/confirm"}

func newHost(t *testing.T, policy latchkey.Policy, change func(*web.Config)) *host {
	t.Helper()
	h := &host{t: t, log: new(bytes.Buffer)}
	h.Kit = authtest.New(t, latchkey.Config{RedirectHosts: base.Hosts(), Policy: policy})
	c := web.Config{Base: base, Pages: pages, Logger: slog.New(slog.NewTextHandler(h.log, nil))}
	if change != nil {
		change(&c)
	}
	site, err := web.New(h.Engine, c)
	if err != nil {
		t.Fatal(err)
	}
	h.Site = site
	return h
}

// request is a request of a test: a browser's, unless it says otherwise.
type request struct {
	method, target, accept, body, kind string
	headers                            map[string]string
	cookies                            []*http.Cookie
}

const page, machine = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "application/json"

func (q request) make() *http.Request {
	method, target := q.method, q.target
	if method == "" {
		method = http.MethodGet
	}
	if target == "" {
		target = "/account"
	}
	r := httptest.NewRequest(method, base.URL(target), strings.NewReader(q.body))
	r.Header.Set("Accept", q.accept)
	if q.kind != "" {
		r.Header.Set("Content-Type", q.kind)
	}
	for name, value := range q.headers {
		r.Header.Set(name, value)
	}
	for _, c := range q.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r
}

// send returns the answer of a handler.
func send(h http.Handler, q request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q.make())
	return w.Result()
}

// cookieOf returns the cookie of a session as a browser has it after SignIn.
func (h *host) cookieOf(session *latchkey.Session) []*http.Cookie {
	h.t.Helper()
	w := httptest.NewRecorder()
	h.Site.SignIn(w, request{}.make(), session)
	if len(w.Result().Cookies()) != 1 {
		h.t.Fatal("SignIn sets no cookie")
	}
	return w.Result().Cookies()
}

// callers are the callers that the handlers of a site tell apart, with their cookies.
func callers(t *testing.T) (h *host, all map[string][]*http.Cookie) {
	t.Helper()
	h = newHost(t, latchkey.Policy{RequireVerifiedEmail: true}, nil)
	ctx := t.Context()
	all = map[string][]*http.Cookie{"nobody": nil, "a wrong secret": {{Name: "__Host-session", Value: "wrong"}}}

	_, signedIn := h.SignInVerified("ada@example.org")
	all["signed in"] = h.cookieOf(signedIn)

	if _, err := h.Engine.Users().Create(ctx, latchkey.NewUser{Email: "eve@example.org", Password: authtest.Password}); err != nil {
		t.Fatal(err)
	}
	unproven, err := h.Visitor.CreateEmailPasswordSession(ctx, "eve@example.org", authtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	all["unverified"] = h.cookieOf(unproven)

	factored, _ := h.SignInVerified("fay@example.org")
	h.EnrolTOTP(factored)
	owing, err := h.Visitor.CreateEmailPasswordSession(ctx, "fay@example.org", authtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	all["owing"] = h.cookieOf(owing)

	blocked, session := h.SignInVerified("bob@example.org")
	if _, err := h.Engine.Users().UpdateStatus(ctx, blocked.UserID(), false); err != nil {
		t.Fatal(err)
	}
	all["blocked"] = h.cookieOf(session)

	ended, session := h.SignInVerified("eda@example.org")
	if err := ended.DeleteSessions(ctx); err != nil {
		t.Fatal(err)
	}
	all["ended"] = h.cookieOf(session)

	renewed, session := h.SignInVerified("ron@example.org")
	if _, err := renewed.RotateSession(ctx); err != nil {
		t.Fatal(err)
	}
	all["renewed"] = h.cookieOf(session)
	all["must reset"] = h.mustReset("rob@example.org")
	return h, all
}

// mustReset makes a user who has taken a stolen address back, and must set a new password. It returns the cookies of
// a session that a link has made since.
func (h *host) mustReset(email string) []*http.Cookie {
	h.t.Helper()
	must := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	ctx := h.t.Context()
	account, _ := h.SignInVerified(email)
	_, err := account.CreateEmailChange(ctx, latchkey.NewEmailChange{Email: "thief@example.org", URL: base.URL("/change")}, authtest.Password)
	must(err)
	_, err = account.ConfirmEmailChange(ctx, h.Mail("thief@example.org").Secret.Reveal(), base.URL("/undo"))
	must(err)
	_, err = h.Visitor.RestoreAddress(ctx, account.UserID(), h.Mail(email).Secret.Reveal())
	must(err)
	h.Mailbox.Take()
	_, err = h.Visitor.CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{Email: email, URL: base.URL("/link")})
	must(err)
	link := h.Mail(email)
	for link.Kind != notify.MagicURL { // a notice of the change
		link = h.Mail(email)
	}
	session, err := h.Visitor.CreateSession(ctx, account.UserID(), link.Secret.Reveal())
	must(err)
	return h.cookieOf(session)
}

func answers(w http.ResponseWriter, _ *http.Request, account *latchkey.Account) error {
	_, err := io.WriteString(w, "user "+account.UserID())
	return err
}

func TestRequireHasAnAnswerForEachCaller(t *testing.T) {
	h, all := callers(t)
	for caller, want := range map[string]struct {
		kind   string // of the problem
		status int
		page   string // to which a browser is led
	}{
		"nobody":         {latchkey.ErrUnauthorized.Type, 401, "/sign-in?next=%2Faccount%3Fa%3Db"},
		"a wrong secret": {latchkey.ErrUnauthorized.Type, 401, "/sign-in?next=%2Faccount%3Fa%3Db"},
		"ended":          {latchkey.ErrUnauthorized.Type, 401, "/sign-in?next=%2Faccount%3Fa%3Db"},
		"owing":          {latchkey.ErrMoreFactorsRequired.Type, 401, "/factor?next=%2Faccount%3Fa%3Db"},
		"unverified":     {latchkey.ErrEmailVerificationRequired.Type, 412, "/verify?next=%2Faccount%3Fa%3Db"},
		"blocked":        {latchkey.ErrUserBlocked.Type, 403, ""},
		"must reset":     {latchkey.ErrPasswordResetRequired.Type, 412, "/recover?from=site&next=%2Faccount%3Fa%3Db"},
		"renewed":        {latchkey.ErrSessionRenewed.Type, 401, ""},
		"signed in":      {"", 200, ""},
	} {
		profile := func(w http.ResponseWriter, r *http.Request, account *latchkey.Account, p *latchkey.Profile) error {
			if p.User.ID != account.UserID() {
				t.Errorf("%s: the profile is of another user", caller)
			}
			return answers(w, r, account)
		}
		for name, handler := range map[string]http.Handler{"Require": h.Require(answers), "RequireProfile": h.RequireProfile(profile)} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				res := send(handler, request{method: method, target: "/account?a=b", accept: page, cookies: all[caller]})
				switch location := res.Header.Get("Location"); {
				case want.page == "" && (res.StatusCode != want.status || location != ""):
					t.Errorf("%s, %s, page: %d to %q, want %d", caller, name, res.StatusCode, location, want.status)
				case want.page != "" && method == http.MethodGet && (res.StatusCode != http.StatusSeeOther || location != want.page):
					t.Errorf("%s, %s, page: %d to %q, want %q", caller, name, res.StatusCode, location, want.page)
				case want.page != "" && method == http.MethodPost && location != strings.TrimRight(strings.SplitN(want.page, "next=", 2)[0], "?&"): // the body is lost, so it does not go back there
					t.Errorf("%s, %s, form: to %q, want %q", caller, name, location, want.page)
				}
				if len(res.Cookies()) > 0 {
					t.Errorf("%s, %s: the answer touches the cookie", caller, name)
				}
				if (res.Header.Get("Refresh") != "") != (caller == "renewed" && method == http.MethodGet) {
					t.Errorf("%s, %s, %s: the browser is told to load again: %q", caller, name, method, res.Header.Get("Refresh"))
				}
				res = send(handler, request{method: method, accept: machine, cookies: all[caller]})
				var p web.Problem
				if want.kind != "" {
					if err := json.NewDecoder(res.Body).Decode(&p); err != nil || p.Type != want.kind || p.Status != want.status {
						t.Errorf("%s, %s, JSON: %+v, %v", caller, name, p, err)
					}
				}
				if res.StatusCode != want.status || len(res.Cookies()) > 0 || res.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s, %s, JSON: %d, %v", caller, name, res.StatusCode, res.Header)
				}
			}
		}
	}
	if h.log.Len() > 0 {
		t.Errorf("answers are logged: %s", h.log)
	}
}

func TestAPageThatIsMissingIsThePageOfTheError(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Pages = web.Pages{} })
	res := send(h.Require(answers), request{accept: page})
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 401 || !strings.Contains(string(body), latchkey.ErrUnauthorized.Message) || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%d: %s", res.StatusCode, body)
	}
	var seen web.Problem
	h = newHost(t, latchkey.Policy{}, func(c *web.Config) {
		c.Pages = web.Pages{}
		c.ErrorPage = func(w http.ResponseWriter, _ *http.Request, p web.Problem) { seen = p; w.WriteHeader(p.Status) }
	})
	if res := send(h.Require(answers), request{accept: page}); res.StatusCode != 401 || seen.Type != latchkey.ErrUnauthorized.Type {
		t.Errorf("the host's page gets %+v", seen)
	}
}

// Each error leads to its own page, with the address that the browser wanted.
func TestEachErrorLeadsToItsPage(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	for want, err := range map[string]error{
		"/sign-in?": latchkey.ErrUnauthorized, "/factor?": latchkey.ErrMoreFactorsRequired, "/verify?": latchkey.ErrEmailVerificationRequired, "/recover?from=site&": latchkey.ErrPasswordResetRequired, "/confirm?": latchkey.ErrChallengeRequired,
	} {
		fails := h.Handle(func(http.ResponseWriter, *http.Request) error { return err })
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if got := send(fails, request{method: method, target: "/teams?id=7", accept: page}).Header.Get("Location"); got != want+"next=%2Fteams%3Fid%3D7" {
				t.Errorf("%s, %v: to %q", method, err, got)
			}
		}
		// A path that browsers take for another host is not wanted, and neither is the first page.
		for _, path := range []string{"//evil.example.net/x", "/\\evil.example.net", "/"} {
			r := request{accept: page}.make()
			r.URL = &url.URL{Path: path}
			if strings.Contains(path, "\\") {
				r.URL = &url.URL{Opaque: path}
			}
			w := httptest.NewRecorder()
			fails.ServeHTTP(w, r)
			if got := w.Header().Get("Location"); got != strings.TrimRight(want, "?&") {
				t.Errorf("%s, %v: to %q", path, err, got)
			}
		}
	}
}

func TestOptionalHasNoAccountForCallersThatRequireRefuses(t *testing.T) {
	h, all := callers(t)
	for caller, cookies := range all {
		called, got := false, (*latchkey.Account)(nil)
		res := send(h.Optional(func(_ http.ResponseWriter, _ *http.Request, account *latchkey.Account) error {
			called, got = true, account
			return nil
		}), request{accept: machine, cookies: cookies})
		switch {
		case caller == "renewed" && (called || res.StatusCode != 401): // the user is signed in, with another cookie
			t.Errorf("a former secret is taken for that of nobody")
		case caller != "renewed" && (!called || (got != nil) != (caller == "signed in")):
			t.Errorf("%s: called %v, account %v", caller, called, got)
		}
	}
}

func TestChallengeIsForSessionsThatOweAFactorAndThoseThatOweNone(t *testing.T) {
	h, all := callers(t)
	for caller, want := range map[string]int{"owing": 200, "signed in": 200, "nobody": 401, "ended": 401, "unverified": 412, "blocked": 403, "renewed": 401, "must reset": 412} {
		pending := false
		res := send(h.Challenge(func(_ http.ResponseWriter, r *http.Request, of web.Challenger) error {
			_, pending = of.(*latchkey.Pending)
			if _, err := of.MFAFactors(r.Context()); err != nil {
				t.Errorf("%s: %v", caller, err)
			}
			return nil
		}), request{accept: machine, cookies: all[caller]})
		if res.StatusCode != want || pending != (caller == "owing") {
			t.Errorf("%s: %d, pending %v", caller, res.StatusCode, pending)
		}
	}
}

func TestUnverifiedIsForUsersWithoutAProvenAddress(t *testing.T) {
	h, all := callers(t)
	for caller, want := range map[string]int{"unverified": 200, "signed in": 409, "nobody": 401, "owing": 401, "blocked": 403, "must reset": 412, "renewed": 401} {
		called := false
		handler := h.Unverified(func(_ http.ResponseWriter, r *http.Request, user *latchkey.Unverified) error {
			called = true
			_, err := user.Email(r.Context())
			return err
		})
		res := send(handler, request{accept: machine, cookies: all[caller]})
		if res.StatusCode != want || called != (caller == "unverified") {
			t.Errorf("%s: %d, called %v", caller, res.StatusCode, called)
		}
	}
	for next, want := range map[string]string{"/teams": "/teams", "//evil.example.net": "/", "https://evil.example.net": "/"} {
		res := send(h.Unverified(nil), request{target: "/verify?next=" + next, accept: page, cookies: all["signed in"]})
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want {
			t.Errorf("a user who has proven the address: %d to %q", res.StatusCode, res.Header.Get("Location"))
		}
	}
}

func TestARequestOfAnotherSitesPageIsRefused(t *testing.T) {
	h, all := callers(t)
	trusting := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Origins = []string{"https://www.example.org"} })
	calls := 0
	count := func(http.ResponseWriter, *http.Request) { calls++ }
	handlers := func(s *web.Site) map[string]http.Handler {
		return map[string]http.Handler{
			"Protect": s.Protect(http.HandlerFunc(count)),
			"Handle":  s.Handle(func(w http.ResponseWriter, r *http.Request) error { count(w, r); return nil }),
			"Require": s.Require(func(w http.ResponseWriter, r *http.Request, _ *latchkey.Account) error { count(w, r); return nil }),
			"RequireProfile": s.RequireProfile(func(w http.ResponseWriter, r *http.Request, _ *latchkey.Account, _ *latchkey.Profile) error {
				count(w, r)
				return nil
			}),
			"Optional":  s.Optional(func(w http.ResponseWriter, r *http.Request, _ *latchkey.Account) error { count(w, r); return nil }),
			"Challenge": s.Challenge(func(w http.ResponseWriter, r *http.Request, _ web.Challenger) error { count(w, r); return nil }),
		}
	}
	for _, c := range []struct {
		method, name, value string
		refused             bool
	}{
		{"POST", "Sec-Fetch-Site", "cross-site", true}, {"POST", "Sec-Fetch-Site", "same-site", true}, {"DELETE", "Sec-Fetch-Site", "cross-site", true},
		{"POST", "Origin", "https://evil.example.net", true}, {"POST", "Origin", "null", true}, {"POST", "Origin", "http://app.example.org:8080", true},
		{"POST", "Sec-Fetch-Site", "same-origin", false}, {"POST", "Sec-Fetch-Site", "none", false}, {"POST", "Origin", "https://app.example.org", false},
		{"GET", "Sec-Fetch-Site", "cross-site", false}, {"POST", "X-Nothing", "x", false},
	} {
		for name, handler := range handlers(h.Site) {
			calls = 0
			res := send(handler, request{method: c.method, accept: machine, cookies: all["signed in"], headers: map[string]string{c.name: c.value}})
			if c.refused != (calls == 0) || c.refused != (res.StatusCode == http.StatusForbidden) {
				t.Errorf("%s, %s %s=%s: %d, %d calls", name, c.method, c.name, c.value, res.StatusCode, calls)
			}
			if c.refused {
				var p web.Problem
				if json.NewDecoder(res.Body).Decode(&p) != nil || p.Type != web.TypeUnknownOrigin {
					t.Errorf("%s: %+v", name, p)
				}
			}
		}
	}
	// A proxy has replaced the name of the host, and the browser is too old for Sec-Fetch-Site.
	r := request{method: "POST", accept: machine, headers: map[string]string{"Origin": string(base)}}.make()
	r.Host = "backend:8080"
	w := httptest.NewRecorder()
	if handlers(h.Site)["Handle"].ServeHTTP(w, r); w.Code != 200 {
		t.Errorf("a form of the site's own page: %d", w.Code)
	}
	for name, handler := range map[string]http.Handler{"Handle": handlers(trusting.Site)["Handle"], "Protect": handlers(trusting.Site)["Protect"]} {
		res := send(handler, request{method: "POST", accept: machine, headers: map[string]string{"Origin": "https://www.example.org", "Sec-Fetch-Site": "cross-site"}})
		if res.StatusCode != 200 {
			t.Errorf("%s refuses an origin of the configuration: %d", name, res.StatusCode)
		}
	}
}

func TestAnswersHaveTheHeadersOfPagesWithSecrets(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.FormTargets = []string{"https://accounts.example.net"} })
	plain := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Base = "http://localhost:8080" })
	ok := func(http.ResponseWriter, *http.Request) error { return nil }
	own := func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Cache-Control", "public, max-age=60")
		return nil
	}
	for name, handler := range map[string]http.Handler{
		"Handle": h.Handle(ok), "Protect": h.Protect(http.NotFoundHandler()), "an error": h.Require(nil), "twice": h.Protect(h.Handle(ok)),
		"Fail": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.Fail(w, r, latchkey.ErrUserBlocked) }),
	} {
		for _, accept := range []string{machine, page} {
			if got := send(handler, request{accept: accept}).Header.Get("Cache-Control"); name != "Protect" && got != "no-store" { // a picture may be stored
				t.Errorf("%s may be stored", name)
			}
		}
		got := send(handler, request{accept: machine}).Header
		for header, want := range map[string]string{
			"Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=31536000",
			"Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' https://accounts.example.net",
		} {
			if !slices.Equal(got.Values(header), []string{want}) {
				t.Errorf("%s: %s is %q", name, header, got.Values(header))
			}
		}
	}
	if got := send(h.Protect(h.Handle(own)), request{}).Header; got.Get("Content-Security-Policy") != "default-src 'none'" || got.Get("Cache-Control") != "public, max-age=60" {
		t.Errorf("a handler cannot set headers of its own: %v", got)
	}
	failing := func(w http.ResponseWriter, r *http.Request) error {
		_ = own(w, r) // never fails
		return latchkey.ErrUserBlocked
	}
	if got := send(h.Protect(h.Handle(failing)), request{accept: page}).Header; got.Get("Content-Security-Policy") != "default-src 'none'" || got.Get("Cache-Control") != "no-store" {
		t.Errorf("an error has other headers than its handler has set: %v", got)
	}
	if got := send(plain.Handle(ok), request{}).Header; got.Get("Strict-Transport-Security") != "" {
		t.Error("a site with http demands https")
	}
}

func TestErrorsHaveStatusTypeAndSentence(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Pages = web.Pages{}; c.Bearer = true })
	for _, c := range []struct {
		err    error
		status int
		kind   string
		retry  string
	}{
		{latchkey.ErrArgumentInvalid, 400, "general_argument_invalid", ""},
		{latchkey.ErrInvalidCredentials, 401, "user_invalid_credentials", ""},
		{latchkey.ErrUserBlocked, 403, "user_blocked", ""},
		{latchkey.ErrUserNotFound, 404, "user_not_found", ""},
		{latchkey.ErrUserAlreadyExists, 409, "user_already_exists", ""},
		{latchkey.ErrPasswordResetRequired, 412, "user_password_reset_required", ""},
		{&latchkey.ThrottledError{RetryAfter: 1500 * time.Millisecond}, 429, "general_rate_limit_exceeded", "2"},
		{&latchkey.ThrottledError{RetryAfter: 2 * time.Second}, 429, "general_rate_limit_exceeded", "2"},
		{&latchkey.ThrottledError{}, 429, "general_rate_limit_exceeded", "1"},
		{latchkey.ErrBusy, 503, "general_busy", ""},
		{latchkey.ErrAuthMethodUnsupported, 501, "user_auth_method_unsupported", ""},
		{errors.Join(errors.New("x"), latchkey.ErrUserBlocked), 403, "user_blocked", ""},
		{errors.New("dial tcp 10.0.0.1: secret"), 500, web.TypeFault, ""},
		{&http.MaxBytesError{Limit: 5}, 413, web.TypeBodyTooLarge, ""},
		{&latchkey.Error{Type: "of_the_host", Message: "Without a category"}, 500, "of_the_host", ""},
		{fmt.Errorf("read: %w", context.Canceled), 499, web.TypeClientGone, ""},
	} {
		res := send(h.Handle(func(http.ResponseWriter, *http.Request) error { return c.err }), request{accept: machine})
		body, _ := io.ReadAll(res.Body)
		var p web.Problem
		if err := json.Unmarshal(body, &p); err != nil || res.StatusCode != c.status || p.Status != c.status || p.Type != c.kind || p.Message == "" {
			t.Errorf("%v: %d, %s", c.err, res.StatusCode, body)
		}
		if got := res.Header.Get("Retry-After"); got != c.retry {
			t.Errorf("%v: Retry-After %q", c.err, got)
		}
		if strings.Contains(string(body), "10.0.0.1") {
			t.Errorf("the text of a fault is told: %s", body)
		}
		if got := res.Header.Get("WWW-Authenticate"); (got == "Bearer") != (c.status == 401) {
			t.Errorf("%v: WWW-Authenticate %q", c.err, got)
		}
	}
	cookies := newHost(t, latchkey.Policy{}, nil)
	if got := send(cookies.Require(nil), request{accept: machine}).Header.Get("WWW-Authenticate"); got != "" {
		t.Errorf("a site without Bearer asks for %s", got)
	}
	_, err := h.Visitor.CreateAccount(t.Context(), latchkey.NewAccount{Email: "ada@example.org", Password: "short"})
	if p := web.ProblemOf(err); p.Argument != "password" || p.Reason != "too_short" || p.Status != 400 {
		t.Errorf("an argument: %+v", p)
	}
	unknown := fmt.Errorf("sign in: %w", &latchkey.UnknownPasskeyError{Signal: json.RawMessage(`{"rpId":"example.org"}`)})
	if p := web.ProblemOf(unknown); p.Type != latchkey.ErrPasskeyUnknown.Type || string(p.Signal) != `{"rpId":"example.org"}` {
		t.Errorf("an unknown passkey: %+v", p)
	}
}

// A request is for a page if it names text/html, in whichever spelling.
func TestARequestForAPageNamesHTML(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	for accept, want := range map[string]bool{
		"text/html": true, "TEXT/HTML": true, "application/json, text/html": true, "application/json ,  Text/HTML ;q=0.1": true, "text/html;level=1": true, page: true,
		"": false, "*/*": false, "text/*": false, "text/html2": false, "application/json": false, "application/json;x=text/html": false,
	} {
		if got := send(h.Require(nil), request{accept: accept}).StatusCode == http.StatusSeeOther; got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
	r := request{accept: "application/json"}.make()
	r.Header.Add("Accept", "text/html")
	w := httptest.NewRecorder()
	if h.Require(nil).ServeHTTP(w, r); w.Code != http.StatusSeeOther {
		t.Errorf("two lines: %d", w.Code)
	}
}

func TestThePlainPageHasNothingOfAnErrorThatRuns(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	e := *latchkey.ErrUserBlocked
	e.Message = "<script>alert(1)</script>"
	res := send(h.Handle(func(http.ResponseWriter, *http.Request) error { return &e }), request{accept: page})
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 403 || strings.Contains(string(body), "<script") || !strings.Contains(string(body), "&lt;script") {
		t.Errorf("%d: %s", res.StatusCode, body)
	}
}

func TestAFaultIsLoggedOnce(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	send(h.Handle(func(http.ResponseWriter, *http.Request) error { return errors.New("of the host") }), request{accept: machine})
	if got := strings.Count(h.log.String(), "of the host"); got != 1 {
		t.Errorf("an error of the host is logged %d times", got)
	}
	h.log.Reset()
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	_, fault := h.Visitor.CreateAnonymousSession(late)
	if !latchkey.IsFault(fault) {
		t.Fatalf("after the deadline: %v", fault)
	}
	if res := send(h.Handle(func(http.ResponseWriter, *http.Request) error { return fault }), request{accept: machine}); res.StatusCode != 500 || h.log.Len() > 0 {
		t.Errorf("a fault that the engine has logged: %d, %s", res.StatusCode, h.log)
	}
	if err := h.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := h.Visitor.CreateAnonymousSession(t.Context())
	if latchkey.IsFault(err) || !errors.Is(err, latchkey.ErrClosed) {
		t.Fatalf("a closed engine: %v", err)
	}
	if res := send(h.Handle(func(http.ResponseWriter, *http.Request) error { return err }), request{accept: machine}); res.StatusCode != 503 {
		t.Errorf("a closed engine is answered with %d", res.StatusCode)
	}
}

func TestABodyIsBounded(t *testing.T) {
	read := func(_ http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	}
	for _, c := range []struct {
		max    int64
		length int
		status int
	}{{0, 1 << 20, 200}, {0, 1<<20 + 1, 413}, {10, 10, 200}, {10, 11, 413}, {-1, 2 << 20, 200}} {
		h := newHost(t, latchkey.Policy{}, func(conf *web.Config) { conf.MaxBody = c.max })
		if res := send(h.Handle(read), request{method: "POST", accept: machine, body: strings.Repeat("x", c.length)}); res.StatusCode != c.status {
			t.Errorf("%d of %d bytes: %d", c.length, c.max, res.StatusCode)
		}
	}
}

func TestHealthIsOneReadOfTheStore(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	if res := send(h.Health(), request{}); res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a healthy host: %d", res.StatusCode)
	}
	if err := h.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	if res := send(h.Health(), request{}); res.StatusCode != 503 {
		t.Errorf("a closed engine: %d", res.StatusCode)
	}
}

// stuck is a store whose reads wait, once it is told to.
type stuck struct {
	store.Store
	waits atomic.Bool
}

func (s *stuck) wait(ctx context.Context) error {
	if !s.waits.Load() {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *stuck) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, q)
}

func (s *stuck) Get(ctx context.Context, index *store.Index, values ...store.Value) (store.Row, error) {
	if err := s.wait(ctx); err != nil {
		return store.Row{}, err
	}
	return s.Store.Get(ctx, index, values...)
}

func (s *stuck) Count(ctx context.Context, q store.Query) (int, error) {
	if err := s.wait(ctx); err != nil {
		return 0, err
	}
	return s.Store.Count(ctx, q)
}

func TestHealthDoesNotWaitForAStoreThatIsStuck(t *testing.T) {
	t.Parallel() // it takes two seconds
	s := &stuck{Store: memory.Open()}
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	site, err := web.New(engine, web.Config{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	s.waits.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w := httptest.NewRecorder()
	if site.Health().ServeHTTP(w, request{}.make().WithContext(ctx)); w.Code != 503 || ctx.Err() != nil {
		t.Errorf("%d, %v", w.Code, ctx.Err())
	}
}

func TestNewNamesTheFieldThatIsWrong(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{})
	for want, c := range map[string]web.Config{
		"Base":            {},
		"Base: \"ftp":     {Base: "ftp://app.example.org"},
		"Base: http":      {Base: "http://app.example.org"},
		"Base: http is":   {Base: "http://notlocalhost"},
		"Base: http is f": {Base: "http://192.0.2.7:8080"},
		"Base: \"https":   {Base: "https://app.example.org/path"},
		"Pages":           {Base: base, Pages: web.Pages{Factor: "//evil.example.net"}},
		"MaxBody":         {Base: base, MaxBody: -2},
		"Cookie":          {Base: base, Cookie: "a b"},
		"Proxies":         {Base: base, Proxies: []string{"10.0.0.0/33"}},
		"ForwardedHeader": {Base: base, ForwardedHeader: "X Forwarded"},
		"Origins":         {Base: base, Origins: []string{"www.example.org"}},
		"FormTargets":     {Base: base, FormTargets: []string{"https://x.example.org; script-src *"}},
	} {
		if _, err := web.New(kit.Engine, c); err == nil || !strings.HasPrefix(err.Error(), "web: "+want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, pages := range []web.Pages{{SignIn: "sign-in"}, {Factor: "/\\factor"}, {Verify: "https://evil.example.net"}, {Recover: "//evil.example.net"}, {Confirm: "/a b"}} {
		if _, err := web.New(kit.Engine, web.Config{Base: base, Pages: pages}); err == nil || !strings.HasPrefix(err.Error(), "web: Pages") {
			t.Errorf("%+v: %v", pages, err)
		}
	}
	for _, name := range []string{"__Host-session", "__Secure-session", "a;b", "a=b", "é"} {
		if _, err := web.New(kit.Engine, web.Config{Base: base, Cookie: name}); err == nil || !strings.HasPrefix(err.Error(), "web: Cookie") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := web.New(nil, web.Config{Base: base}); err == nil {
		t.Error("a nil engine is taken")
	}
	for _, c := range []web.Config{{Base: "http://app.example.org", PlainHTTP: true}, {Base: "http://localhost:8080"}, {Base: "http://[::1]:8080"}, {Base: "http://app.localhost"}} {
		if _, err := web.New(kit.Engine, c); err != nil {
			t.Error(err)
		}
	}
}

func TestAQRCodeOfAnotherSizeIsAnError(t *testing.T) {
	kit := authtest.New(t, latchkey.Config{})
	account, _ := kit.SignIn("ada@example.org")
	app, err := account.CreateMFAAuthenticator(t.Context(), latchkey.NewMFAAuthenticator{})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{-1, 0, 63, 2049} {
		if picture, err := web.QRCode(app, size); err == nil || picture != "" {
			t.Errorf("%d: %v", size, err)
		}
	}
}
