// Package web is what every host over net/http needs beside the engine: the client of a request, the
// cookie of a session, handlers that know their account, answers for errors, and links of one site.
// It imports the standard library and the engine. It has no routes and no pages: a host keeps its own,
// with any router that takes an [http.Handler].
//
//	const base web.Base = "https://app.example.org"
//
//	engine, err := latchkey.New(store, latchkey.Config{Keys: keys, RedirectHosts: base.Hosts()})
//	site, err := web.New(engine, web.Config{Base: base, Pages: web.Pages{SignIn: "/sign-in"}})
//
//	mux.Handle("POST /sign-in", site.Handle(func(w http.ResponseWriter, r *http.Request) error {
//		session, err := site.Guest(r).CreateEmailPasswordSession(r.Context(), r.FormValue("email"), r.FormValue("password"))
//		if err != nil {
//			return err
//		}
//		site.SignIn(w, r, session)
//		http.Redirect(w, r, web.Next(r), http.StatusSeeOther)
//		return nil
//	}))
//	mux.Handle("GET /account", site.Require(func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
//		user, err := account.User(r.Context())
//		...
//	}))
//
// # Handlers
//
// [Site.Handle] is for requests of anybody, [Site.Require] for those of signed-in users, [Site.Optional]
// for both. [Site.Challenge] is for the page of a second factor, [Site.Unverified] for the page of a user
// who must prove the e-mail address first, and [Site.OAuth2Callback] for the way back from another
// service. The function of each returns an error, which [Site.Fail] answers.
//
// Each of them refuses a request of another site's page (see [Site.Protect]), reads at most
// Config.MaxBody bytes of the body, and forbids to store the answer. So a handler that changes something
// belongs on POST, PUT, PATCH or DELETE: a GET is let in from everywhere.
//
// # Pages and JSON
//
// A request that accepts text/html, as browsers do when they load a page, is answered with pages and
// redirects. Every other request is answered with JSON.
//
// # Concurrency
//
// The methods of a Site may be called from several goroutines at once.
package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"example.com/latchkey"
)

// Config configures a Site. Base is required.
type Config struct {
	// Base is the address of the site, as its users see it.
	Base Base
	// PlainHTTP allows a Base with http on a host that is not this machine. Everybody on the way
	// between the user and the host can read and use the cookie then.
	PlainHTTP bool
	// Pages are the pages to which a request for a page is led in the place of an error.
	Pages Pages
	// Proxies are the proxies in front of the host: prefixes such as 10.0.0.0/8, single addresses, or
	// "unix" for a proxy that connects by a Unix socket. The address of the client is read from
	// ForwardedHeader only if the connection comes from one of them, and then it is the last address
	// in the header that is not one of theirs. None means that clients connect to the host directly.
	// A prefix that has clients in it lets them choose their address.
	Proxies []string
	// ForwardedHeader is the header that the proxies write: "Forwarded" (RFC 7239), or a header with
	// a list of addresses; "" means "X-Forwarded-For". The proxies must write this one. A header that
	// they let through comes from the client, who may have written any address.
	ForwardedHeader string
	// Cookie is the name of the cookie with the secret of the session, for two sites on one host
	// name; "" means "session". With an https Base the name that browsers see begins with __Host-, so
	// that no other host can set it.
	Cookie string
	// Bearer lets a request prove itself by "Authorization: Bearer SECRET", for programs and apps. A
	// request with an Authorization header is judged by that header alone.
	Bearer bool
	// Origins are other sites whose pages may send requests that change something, such as
	// https://www.example.org. Without any, only those of Base may.
	Origins []string
	// FormTargets are the origins, beside the site's own, to which the answer to a form may lead the
	// browser: those of the services by which users sign in, such as https://accounts.google.com.
	// Browsers apply the rule form-action of the Content-Security-Policy to redirects too.
	FormTargets []string
	// MaxBody is the largest body of a request in bytes; 0 means 1 MiB, and -1 means no bound. With
	// a bound above 32 MiB, anybody can have [Next] write the parts of a form to the disk.
	MaxBody int64
	// Language returns the language of a request, for messages to its user; nil means the header
	// Accept-Language. It has the form of [latchkey.Client].Locale.
	Language func(r *http.Request) string
	// ErrorPage writes the page for an error for which no page of Pages is; nil means a plain page
	// with the problem's Message. It sets the status.
	ErrorPage func(w http.ResponseWriter, r *http.Request, p Problem)
	// Logger gets the errors of handlers that are answered with status 500, except for those that
	// the engine has logged; nil means slog.Default.
	Logger *slog.Logger
}

// Pages are paths of the site, such as /sign-in. A request for a page is led there with status 303, with
// the address that it wanted in the parameter next: see [Next]. Where a path is "", the request gets the
// page of the error. Requests for JSON always get the error.
type Pages struct {
	SignIn  string // nobody is signed in: [latchkey.ErrUnauthorized]
	Factor  string // the session owes a second factor: [latchkey.ErrMoreFactorsRequired]
	Verify  string // the e-mail address must be verified first: [latchkey.ErrEmailVerificationRequired]
	Recover string // the password must be reset first: [latchkey.ErrPasswordResetRequired]
	Confirm string // the user must confirm the password or a factor first: [latchkey.ErrChallengeRequired]
}

// Site is a site over an engine. Make one with [New].
type Site struct {
	engine  *latchkey.Engine
	config  Config
	proxies *Proxies
	csrf    *http.CrossOriginProtection
	policy  string // the Content-Security-Policy
}

// defaultMaxBody is the default of Config.MaxBody.
const defaultMaxBody = 1 << 20

// New returns a site over an engine. The error names the field that is wrong.
func New(engine *latchkey.Engine, c Config) (*Site, error) {
	if engine == nil {
		return nil, errors.New("web: the engine is nil")
	}
	base, err := c.Base.parse()
	if err != nil {
		return nil, fmt.Errorf("web: Base: %w", err)
	}
	if base.Scheme == "http" && !c.PlainHTTP && !isLoopback(base.Hostname()) {
		return nil, errors.New("web: Base: http is for this machine alone; see PlainHTTP")
	}
	for _, path := range []string{c.Pages.SignIn, c.Pages.Factor, c.Pages.Verify, c.Pages.Recover, c.Pages.Confirm} {
		if path != "" && !isLocal(path) {
			return nil, fmt.Errorf("web: Pages: %q is no path of the site", path)
		}
	}
	if c.MaxBody < -1 {
		return nil, errors.New("web: MaxBody is negative")
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.Cookie == "" {
		c.Cookie = "session"
	}
	if err := (&http.Cookie{Name: c.Cookie, Value: "x"}).Valid(); err != nil || strings.HasPrefix(c.Cookie, "__") {
		return nil, fmt.Errorf("web: Cookie: %q is no name of a cookie", c.Cookie)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	s := &Site{engine: engine, config: c, csrf: http.NewCrossOriginProtection()}
	if s.proxies, err = NewProxies(c.ForwardedHeader, c.Proxies...); err != nil {
		return nil, err
	}
	s.proxies.logger = c.Logger
	for _, origin := range append([]string{c.Base.origin()}, c.Origins...) {
		if err := s.csrf.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("web: Origins: %w", err)
		}
	}
	targets := ""
	for _, target := range c.FormTargets {
		if _, err := Base(target).parse(); err != nil {
			return nil, fmt.Errorf("web: FormTargets: %w", err)
		}
		targets += " " + Base(target).origin()
	}
	s.policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'" + targets
	return s, nil
}

// Client returns the client of a request. Sign-ins, limits and logs of the engine record it.
func (s *Site) Client(r *http.Request) latchkey.Client {
	c := latchkey.Client{IP: s.proxies.Address(r), UserAgent: r.UserAgent(), Locale: r.Header.Get("Accept-Language")}
	if s.config.Language != nil {
		c.Locale = s.config.Language(r)
	}
	return c
}

// Guest returns the handle of the client of a request.
func (s *Site) Guest(r *http.Request) *latchkey.Guest { return s.engine.Guest(s.Client(r)) }

// URL returns the address of a path of the site, for links in messages: see [Base.URL].
func (s *Site) URL(path string) string { return s.config.Base.URL(path) }

// secure reports whether the site's cookies are for https alone.
func (s *Site) secure() bool { return strings.HasPrefix(s.config.Base.origin(), "https:") }
