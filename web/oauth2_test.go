package web_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
	"example.com/latchkey/web"
)

// linked is a host by which users sign in at an issuer.
type linked struct {
	*host
	issuer   *authtest.Issuer
	callback http.Handler
	result   *latchkey.OAuth2Result // of the last callback
	failed   error
}

const callbackPath = "/callback/oidc"

func newLinked(t *testing.T, parameters url.Values) *linked {
	t.Helper()
	issuer := authtest.NewIssuer(t)
	provider, err := oidc.New(oidc.Config{
		Issuer: issuer.URL, ClientID: issuer.Settings().ClientID, ClientSecret: issuer.Settings().ClientSecret, Private: true, TrustEmail: true, Parameters: parameters,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() }) // never fails
	l := &linked{host: &host{t: t}, issuer: issuer}
	l.Kit = authtest.New(t, latchkey.Config{Providers: []oauth.Provider{provider}})
	issuer.Set(func(s *authtest.IssuerSettings) { s.Now = l.Clock.Now })
	if l.Site, err = web.New(l.Engine, web.Config{Base: base, Pages: pages}); err != nil {
		t.Fatal(err)
	}
	l.callback = l.OAuth2Callback("oidc", func(w http.ResponseWriter, r *http.Request, result *latchkey.OAuth2Result, err error) error {
		l.result, l.failed = result, err
		return err
	})
	return l
}

// start begins a sign-in, or the linking of the account of a session, and returns the address at the
// issuer and the cookies of the browser.
func (l *linked) start(account *latchkey.Account) (address string, cookies []*http.Cookie) {
	l.t.Helper()
	begin := l.Visitor.StartOAuth2
	if account != nil {
		begin = account.StartOAuth2
	}
	start, err := begin(l.t.Context(), latchkey.OAuth2Request{Provider: "oidc", RedirectURL: base.URL(callbackPath)})
	if err != nil {
		l.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := l.StartOAuth2(w, request{method: "POST"}.make(), start); err != nil {
		l.t.Fatal(err)
	}
	if res := w.Result(); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != start.URL {
		l.t.Fatalf("the browser is sent to %q", res.Header.Get("Location"))
	}
	return start.URL, w.Result().Cookies()
}

// visit plays the browser at the issuer, and returns the parameters with which it comes back.
func (l *linked) visit(address string) url.Values {
	l.t.Helper()
	_, parameters, err := l.issuer.Visit(address)
	if err != nil {
		l.t.Fatal(err)
	}
	return parameters
}

func TestASignInByAnotherServiceIsBoundToTheBrowser(t *testing.T) {
	l := newLinked(t, nil)
	address, cookies := l.start(nil)
	if c := cookies[0]; len(cookies) != 1 || !strings.HasPrefix(c.Name, "__Host-oauth2-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge < 60 {
		t.Errorf("the cookie of the start: %v", c)
	}
	back := request{target: callbackPath + "?" + l.visit(address).Encode(), accept: page, cookies: cookies, headers: map[string]string{"Sec-Fetch-Site": "cross-site"}}
	res := send(l.callback, back)
	if res.StatusCode != 200 || l.failed != nil || l.result.Session == nil {
		t.Fatalf("%d, %v", res.StatusCode, l.failed)
	}
	session, cleared := "", false
	for _, c := range res.Cookies() {
		if c.Name == "__Host-session" {
			session = c.Value
		}
		cleared = cleared || c.Name == cookies[0].Name && c.MaxAge < 0
	}
	if session != l.result.Session.Secret.Reveal() || !cleared {
		t.Errorf("cookies after the sign-in: %v", res.Cookies())
	}
	if send(l.callback, back); !errors.Is(l.failed, latchkey.ErrInvalidToken) || l.result != nil {
		t.Errorf("a callback that comes twice: %v", l.failed)
	}
	// An attacker makes the browser of another person finish the attacker's sign-in.
	address, _ = l.start(nil)
	res = send(l.callback, request{target: callbackPath + "?" + l.visit(address).Encode(), accept: page})
	if l.failed == nil || len(res.Cookies()) != 0 {
		t.Errorf("a sign-in is finished by another browser: %v", res.Cookies())
	}
}

func TestAStartWithoutAValueSetsNoCookie(t *testing.T) {
	l := newLinked(t, nil)
	start, err := l.Visitor.StartOAuth2(t.Context(), latchkey.OAuth2Request{Provider: "oidc", RedirectURL: base.URL(callbackPath), Token: true, Unbound: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := set(request{method: "POST"}, func(w http.ResponseWriter, r *http.Request) { err = l.StartOAuth2(w, r, start) }); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSignInsInTwoTabsDoNotMeet(t *testing.T) {
	l := newLinked(t, nil)
	first, cookies := l.start(nil)
	second, more := l.start(nil)
	cookies = append(cookies, more...)
	for _, address := range []string{first, second} {
		send(l.callback, request{target: callbackPath + "?" + l.visit(address).Encode(), accept: page, cookies: cookies})
		if l.failed != nil {
			t.Errorf("one of two tabs: %v", l.failed)
		}
	}
}

func TestAFormPostOfAnotherServiceComesBackWithTheCookies(t *testing.T) {
	l := newLinked(t, url.Values{"response_mode": {"form_post"}})
	address, cookies := l.start(nil)
	parameters := l.visit(address)
	// The browser posts the form of another site, without cookies.
	res := send(l.callback, request{method: "POST", target: callbackPath, accept: page, body: parameters.Encode(), kind: "application/x-www-form-urlencoded", headers: map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": l.issuer.URL}})
	if want := callbackPath + "?state=" + parameters.Get("state"); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want || len(res.Cookies()) != 0 {
		t.Fatalf("%d to %q, want %q", res.StatusCode, res.Header.Get("Location"), want)
	}
	send(l.callback, request{target: res.Header.Get("Location"), accept: page, cookies: cookies})
	if l.failed != nil || l.result.Session == nil {
		t.Errorf("after a form post: %v", l.failed)
	}
}

func TestALinkedServiceLeavesTheSessionAlone(t *testing.T) {
	l := newLinked(t, nil)
	account, session := l.Kit.SignIn("eve@example.org")
	address, cookies := l.start(account)
	cookies = append(cookies, l.cookieOf(session)...)
	res := send(l.callback, request{target: callbackPath + "?" + l.visit(address).Encode(), accept: page, cookies: cookies})
	if l.failed != nil || !l.result.Linked {
		t.Fatalf("%v", l.failed)
	}
	for _, c := range res.Cookies() {
		if c.Name == "__Host-session" {
			t.Errorf("the cookie of the session changes: %v", c)
		}
	}
	if _, err := account.User(t.Context()); err != nil {
		t.Errorf("the session has ended: %v", err)
	}
	// An anonymous account becomes that of the service, and its session has a new secret.
	issuer := l.issuer
	issuer.Set(func(s *authtest.IssuerSettings) {
		s.Subject, s.Claims = "another", map[string]any{"email": "zoe@example.org", "email_verified": true}
	})
	anonymous, err := l.Visitor.CreateAnonymousSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	account, err = l.Visitor.Authenticate(t.Context(), anonymous.Secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	address, cookies = l.start(account)
	cookies = append(cookies, set(request{}, func(w http.ResponseWriter, r *http.Request) { l.SignInForVisit(w, r, anonymous) })...)
	res = send(l.callback, request{target: callbackPath + "?" + l.visit(address).Encode(), accept: page, cookies: cookies})
	if l.failed != nil {
		t.Fatal(l.failed)
	}
	renewed := ""
	for _, c := range res.Cookies() {
		if c.Name == "__Host-session" {
			renewed = l.Secret(request{cookies: []*http.Cookie{c}}.make())
			if c.MaxAge != 0 {
				t.Errorf("a cookie for a visit lasts: %v", c)
			}
		}
	}
	if account, err = l.Visitor.Authenticate(t.Context(), renewed); err != nil || account.UserID() != anonymous.UserID {
		t.Errorf("after the conversion: %v", err)
	}
}
