package browser

import (
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	app "example.com/latchkey/examples/webapp/site"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
	"example.com/latchkey/passkey"
	"example.com/latchkey/web"
)

const (
	ada      = "ada@example.org"
	bob      = "bob@example.org"
	password = authtest.Password
)

// site is the site for one test, over an engine of its own.
type site struct {
	*authtest.Kit
	t      *testing.T
	base   string
	issuer *authtest.Issuer // the other service
	others []string         // addresses of other sites that a test opens

	pictures string // folder of the pictures

	mu   sync.Mutex
	gate *gate // of a request that a test holds
}

// gate holds the next request of a path until it is opened.
type gate struct {
	path          string
	arrived, open chan struct{}
}

// hold holds the next request of a path. The request is there when arrived is closed, and goes on when the test
// closes open.
func (s *site) hold(path string) *gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = &gate{path, make(chan struct{}), make(chan struct{})}
	return s.gate
}

// held lets requests wait at the gate.
func (s *site) held(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		g := s.gate
		if g != nil && g.path == r.URL.Path {
			s.gate = nil
		} else {
			g = nil
		}
		s.mu.Unlock()
		if g != nil {
			close(g.arrived)
			select {
			case <-g.open:
			case <-r.Context().Done():
			}
		}
		next.ServeHTTP(w, r)
	})
}

// complaints fails a test for everything that the site logs.
type complaints struct{ t *testing.T }

func (c complaints) Write(line []byte) (int, error) {
	c.t.Errorf("the site logs: %s", line)
	return len(line), nil
}

// newSite serves the site on loopback until the test ends. A test with a site runs beside others.
func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, base: "http://localhost:" + strings.TrimPrefix(listener.Addr().String(), "127.0.0.1:"), issuer: authtest.NewIssuer(t)}
	clock := authtest.NewClock()
	base := web.Base(s.base)
	logger := slog.New(slog.NewTextHandler(complaints{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	settings := s.issuer.Settings()
	provider, err := oidc.New(oidc.Config{Issuer: s.issuer.URL, ClientID: settings.ClientID, ClientSecret: settings.ClientSecret, TrustEmail: true, Private: true, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() }) // never fails
	passkeys, err := passkey.New(passkey.Config{RPID: "localhost", Name: "Webapp", Origins: []string{s.base}})
	if err != nil {
		t.Fatal(err)
	}
	s.Kit = authtest.New(t, latchkey.Config{
		Now: clock.Now, RedirectHosts: base.Hosts(), Issuer: s.base, App: "Webapp", Logger: logger,
		Policy: latchkey.Policy{RequireVerifiedEmail: true}, Providers: []oauth.Provider{provider}, Passkeys: passkeys,
	})
	s.Clock = clock
	s.issuer.Set(func(i *authtest.IssuerSettings) { i.Now = clock.Now })
	handler, err := app.New(s.Engine, app.Config{Name: "Webapp", Service: true, Passkeys: true, Web: web.Config{Base: base, FormTargets: []string{s.issuer.URL}, Logger: logger}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s.held(handler)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close() // the browser may hold connections
		<-done
	})
	return s
}

// owns reports whether an address is one of the site, of the other service, or in the page itself.
func (s *site) owns(address string) bool {
	return slices.ContainsFunc(append([]string{s.base, s.issuer.URL}, s.others...), func(base string) bool { return strings.HasPrefix(address, base+"/") }) ||
		strings.HasPrefix(address, "data:")
}

// browser returns a tab of a new browser, without cookies and without scripts.
func (s *site) browser() *tab {
	s.t.Helper()
	all, err := chromium()
	if err != nil {
		s.t.Fatal(err)
	}
	t := newTab(s, all, chromedp.WithNewBrowserContext())
	t.scripts(false)
	return t
}

// visitor is browser with scripts, which the look for barriers needs.
func (s *site) visitor() *tab {
	s.t.Helper()
	t := s.browser()
	t.scripts(true)
	return t
}

// tab returns another tab of the same browser.
func (t *tab) tab() *tab {
	t.Helper()
	all, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	other := newTab(t.site, all, chromedp.WithExistingBrowserContext(t.id), chromedp.WithNewWindow(false))
	other.front = t.front
	other.scripts(false)
	return other
}

// member makes a user with a proven address and the usual password.
func (s *site) member(email string) *latchkey.User {
	s.t.Helper()
	name, _, _ := strings.Cut(email, "@")
	user, err := s.Users().Create(s.t.Context(), latchkey.NewUser{Email: email, Password: password, Name: strings.ToUpper(name[:1]) + name[1:]})
	if err == nil {
		user, err = s.Users().UpdateEmailVerification(s.t.Context(), user.ID, true)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return user
}

// message returns the oldest message of a kind to an address.
func (s *site) message(to string, kind notify.Kind) notify.Message {
	s.t.Helper()
	for {
		if m := s.Mail(to); m.Kind == kind {
			return m
		}
	}
}

// mail returns the link or the code of a message.
func (s *site) mail(to string, kind notify.Kind) string {
	s.t.Helper()
	m := s.message(to, kind)
	if code := m.Code(); code != "" {
		return code
	}
	return m.Link.Reveal()
}

// signIn signs a user in by password.
func (t *tab) signIn(email string) {
	t.Helper()
	if t.address().Path != "/sign-in" {
		t.open("/sign-in")
	}
	t.write("E-mail address", email)
	t.write("Password", password)
	t.click("Sign in")
}

// member returns a browser in which a new user has signed in.
func (s *site) signedIn(email string) *tab {
	s.t.Helper()
	s.member(email)
	t := s.browser()
	t.signIn(email)
	t.at("/account")
	return t
}
