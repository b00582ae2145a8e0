package web_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/web"
)

// Attacks on the package (issue 27).

// ---- the client ----

// A proxy that writes the host beside the client quotes it. The host is the client's word, and may have any
// separator in it.
func TestAttack27NoHostOfAClientIsItsAddress(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Proxies, c.ForwardedHeader = []string{"10.0.0.0/8"}, "Forwarded" })
	for _, host := range []string{
		"a,for=6.6.6.6", "a,for=6.6.6.6;x=b", "a;for=6.6.6.6", "a;for=6.6.6.6,b", ",for=6.6.6.6,", ";for=6.6.6.6;", "a, for=6.6.6.6 ;by=c", `a\",for=6.6.6.6;x=\"`, `a\\\",for=6.6.6.6`, `\\`, `a\\`, "", `\",`, `\";`,
	} {
		for _, line := range []string{`for=203.0.113.5;host="%s";proto=https`, `host="%s";for=203.0.113.5`, `proto=https;host="%s";for="203.0.113.5:80"`, `for=9.9.9.9, for=203.0.113.5;host="%s"`, `for="[::1, for=203.0.113.5;host="%s", for=10.0.0.2`} {
			if got := from(h, "10.0.0.1:80", "Forwarded", fmt.Sprintf(line, host)); got.String() != "203.0.113.5" {
				t.Errorf("%s with the host %q: %s", line, host, got)
			}
		}
		if got := from(h, "10.0.0.1:80", "Forwarded", fmt.Sprintf(`host="%s"`, host)); got.String() != "10.0.0.1" {
			t.Errorf("the host %q alone: %s", host, got)
		}
	}
	// What the client has written before the proxy changes nothing about the words of the proxy.
	for _, mine := range []string{`for="`, `for="x`, `host="a`, `"`, `\`, `\"`, `for=6.6.6.6;host="`, strings.Repeat(`"`, 99)} {
		for _, lines := range [][]string{{mine + ", for=203.0.113.5"}, {mine, "for=203.0.113.5"}, {mine + ",for=203.0.113.5;by=_x, for=10.0.0.3"}} {
			if got := from(h, "10.0.0.1:80", "Forwarded", lines...); got.String() != "203.0.113.5" {
				t.Errorf("%q: %s", lines, got)
			}
		}
	}
	// A part of a proxy that no standard allows is no address, and no way to one.
	for _, line := range []string{`for=6.6.6.6, for=203.0.113.5;host="a`, `for=6.6.6.6, for=203.0.113.5"`, `for="6.6.6.6, for=203.0.113.5`} {
		if got := from(h, "10.0.0.1:80", "Forwarded", line); got.String() == "6.6.6.6" {
			t.Errorf("%q: %s", line, got)
		}
	}
}

// A header of a megabyte costs little, whatever it is made of.
func TestAttack27ALongHeaderOfAProxyCostsLittle(t *testing.T) {
	forwarded := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Proxies, c.ForwardedHeader = []string{"10.0.0.0/8"}, "Forwarded" })
	list := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Proxies = []string{"10.0.0.0/8"} })
	for _, part := range []string{",", "10.0.0.1,", `"`, `\"`, `\`, `;`, `for=10.0.0.1,`, `for="10.0.0.1";`, `"\\`, " "} {
		line := strings.Repeat(part, 1<<20/len(part))
		began := time.Now()
		from(forwarded, "10.0.0.1:80", "Forwarded", line)
		from(list, "10.0.0.1:80", "X-Forwarded-For", line)
		if took := time.Since(began); took > 2*time.Second { // it is some milliseconds; a square of it would be minutes
			t.Errorf("%q: %v", part, took)
		}
	}
}

// ---- methods and origins ----

// handlers returns a handler of each method of a site that makes one, from its type: a method that is added comes
// here by itself. Each counts its calls.
func handlers(t *testing.T, s *web.Site, calls *int) map[string]http.Handler {
	t.Helper()
	made := map[string]http.Handler{"Protect": s.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { *calls++ }))}
	site, handler := reflect.ValueOf(s), reflect.TypeFor[http.Handler]()
	for i := range site.NumMethod() {
		name, method := site.Type().Method(i).Name, site.Method(i)
		if method.Type().NumOut() != 1 || method.Type().Out(0) != handler || made[name] != nil {
			continue
		}
		in := make([]reflect.Value, method.Type().NumIn())
		for j := range in {
			in[j] = reflect.Zero(method.Type().In(j))
			if kind := method.Type().In(j); kind.Kind() == reflect.Func {
				in[j] = reflect.MakeFunc(kind, func([]reflect.Value) []reflect.Value {
					*calls++
					return []reflect.Value{reflect.Zero(kind.Out(0))}
				})
			}
		}
		made[name] = method.Call(in)[0].Interface().(http.Handler)
	}
	if len(made) < 9 {
		t.Fatalf("only %d methods make handlers", len(made))
	}
	return made
}

// A page of another site reaches no handler but those that are for it: the way back from another service, which
// the browser's value guards, and the check of the health, which changes nothing.
func TestAttack27EveryHandlerRefusesFormsOfOtherSites(t *testing.T) {
	h, all := callers(t)
	calls := 0
	for name, handler := range handlers(t, h.Site, &calls) {
		if name == "OAuth2Callback" || name == "Health" {
			continue
		}
		for _, cookies := range all {
			for _, accept := range []string{page, machine} {
				for _, origin := range []map[string]string{{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}, {"Origin": "https://evil.example.net"}, {"Origin": "https://app.example.org.evil.net"}} {
					for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "post", "CONNECT", "X"} {
						res := send(handler, request{method: method, accept: accept, cookies: cookies, headers: origin})
						if calls > 0 || res.StatusCode != http.StatusForbidden || len(res.Cookies()) > 0 {
							t.Fatalf("%s, %s with %v: %d, %d calls", name, method, origin, res.StatusCode, calls)
						}
					}
				}
			}
		}
	}
}

// counted counts the bytes that are read.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// A request of another site's page costs the host none of its body, also if the page for the error reads the
// form. A body of parts would go to the disk.
func TestAttack27NothingIsReadOfTheFormOfAnotherSite(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) {
		c.ErrorPage = func(w http.ResponseWriter, r *http.Request, p web.Problem) {
			web.Next(r)
			w.WriteHeader(p.Status)
		}
	})
	calls := 0
	for name, handler := range handlers(t, h.Site, &calls) {
		if name == "OAuth2Callback" || name == "Health" {
			continue
		}
		for _, kind := range []string{"multipart/form-data; boundary=b", "application/x-www-form-urlencoded"} {
			body := &counted{Reader: strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", 4<<20))}
			r := request{method: "POST", accept: page, kind: kind, headers: map[string]string{"Sec-Fetch-Site": "cross-site"}}.make()
			r.Body = io.NopCloser(body)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != http.StatusForbidden || body.n > 0 {
				t.Errorf("%s, %s: %d, and %d bytes are read", name, kind, w.Code, body.n)
			}
		}
	}
}

// ---- other services ----

// A form post comes back to the site, whatever router has let its address in.
func TestAttack27AFormPostLeadsToNoOtherSite(t *testing.T) {
	l := newLinked(t, url.Values{"response_mode": {"form_post"}})
	for _, target := range []string{"//evil.example.net/callback", "///evil.example.net", "/%5Cevil.example.net/callback", "/%5C%5Cevil.example.net", "/%2F/evil.example.net", "/%2Fevil.example.net", "/%09/evil.example.net", "/x%0d%0aLocation:%20https://evil.example.net", "/..//evil.example.net", "/.%2F/evil.example.net"} {
		address, _ := l.start(nil)
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(l.visit(address).Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		w := httptest.NewRecorder()
		l.callback.ServeHTTP(w, r)
		location := w.Header().Get("Location")
		if w.Code != http.StatusSeeOther || !strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//") || strings.ContainsAny(location, "\\\r\n\t") {
			t.Errorf("%s: %d to %q", target, w.Code, location)
		}
	}
}

// A form post is the body of its request: an address that another site has made finishes nothing.
func TestAttack27NoAddressIsAFormPost(t *testing.T) {
	l := newLinked(t, url.Values{"response_mode": {"form_post"}})
	address, cookies := l.start(nil)
	parameters := l.visit(address)
	evil := url.Values{"state": parameters["state"], "code": {"evil"}}
	if res := send(l.callback, request{method: "POST", target: callbackPath + "?" + evil.Encode(), accept: page, kind: "application/x-www-form-urlencoded"}); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("an address is taken for a form post: %d", res.StatusCode)
	}
	res := send(l.callback, request{method: "POST", target: callbackPath + "?" + evil.Encode(), accept: page, body: parameters.Encode(), kind: "application/x-www-form-urlencoded"})
	if send(l.callback, request{target: res.Header.Get("Location"), accept: page, cookies: cookies}); l.failed != nil {
		t.Errorf("the address changes a form post: %v", l.failed)
	}
}

// A form post that is none is a fault of its sender, not of the host.
func TestAttack27AMalformedFormPostIsNoFault(t *testing.T) {
	l := newLinked(t, nil)
	for body, want := range map[string]int{"state=%zz": 400, "a=b;c": 400, "": 401, "state=x": 401, "state=x&state=y": 401, strings.Repeat("x", 2<<20): 413} {
		res := send(l.callback, request{method: "POST", target: callbackPath, accept: machine, body: body, kind: "application/x-www-form-urlencoded"})
		if res.StatusCode != want {
			t.Errorf("%.20q: %d, want %d", body, res.StatusCode, want)
		}
	}
	for _, kind := range []string{"multipart/form-data; boundary=b", "application/json", "text/plain", "", "x/;"} {
		if res := send(l.callback, request{method: "POST", target: callbackPath, accept: machine, body: "state=x", kind: kind}); res.StatusCode >= 500 || res.StatusCode < 400 {
			t.Errorf("%q: %d", kind, res.StatusCode)
		}
	}
}

// Programs that look at an address use up no sign-in: only GET and POST are ways back.
func TestAttack27OtherMethodsUseUpNoSignIn(t *testing.T) {
	l := newLinked(t, nil)
	address, cookies := l.start(nil)
	target := callbackPath + "?" + l.visit(address).Encode()
	for _, method := range []string{"HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "get"} {
		res := send(l.callback, request{method: method, target: target, accept: page, cookies: cookies})
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, POST" || len(res.Cookies()) > 0 {
			t.Errorf("%s: %d, %v", method, res.StatusCode, res.Cookies())
		}
	}
	if send(l.callback, request{target: target, accept: page, cookies: cookies}); l.failed != nil {
		t.Errorf("the sign-in is used up: %v", l.failed)
	}
}

// A callback signs in only the browser whose value it has, with no cookie of another start and none that comes twice.
func TestAttack27NoCookieButTheOneOfTheStartFinishesASignIn(t *testing.T) {
	l := newLinked(t, nil)
	other, foreign := l.start(nil)
	l.visit(other)
	for name, change := range map[string]func(own []*http.Cookie) []*http.Cookie{
		"none":             func([]*http.Cookie) []*http.Cookie { return nil },
		"of another start": func([]*http.Cookie) []*http.Cookie { return foreign },
		"another value": func(own []*http.Cookie) []*http.Cookie {
			return []*http.Cookie{{Name: own[0].Name, Value: foreign[0].Value}}
		},
		"without a prefix": func(own []*http.Cookie) []*http.Cookie {
			return []*http.Cookie{{Name: strings.TrimPrefix(own[0].Name, "__Host-"), Value: own[0].Value}}
		},
		"a spelling": func(own []*http.Cookie) []*http.Cookie {
			return []*http.Cookie{{Name: strings.ToLower(own[0].Name), Value: own[0].Value}}
		},
		"two": func(own []*http.Cookie) []*http.Cookie {
			return append(own, &http.Cookie{Name: own[0].Name, Value: "x"})
		},
		"two, the other first": func(own []*http.Cookie) []*http.Cookie {
			return append([]*http.Cookie{{Name: own[0].Name, Value: "x"}}, own...)
		},
		"of the state else": func(own []*http.Cookie) []*http.Cookie {
			return []*http.Cookie{{Name: "__Host-oauth2-", Value: own[0].Value}}
		},
	} {
		address, own := l.start(nil)
		res := send(l.callback, request{target: callbackPath + "?" + l.visit(address).Encode(), accept: page, cookies: change(own)})
		for _, c := range res.Cookies() {
			if c.Name == "__Host-session" {
				t.Errorf("%s: the browser is signed in", name)
			}
		}
		if l.failed == nil || l.result != nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// ---- cookies ----

// A cookie that a sibling host, a plain page or a script can set is none of the site's.
func TestAttack27NoOtherHostSetsTheCookie(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	_, session := h.Kit.SignIn("ada@example.org")
	secret := session.Secret.Reveal()
	for _, line := range []string{
		"session=" + secret, "__host-session=" + secret, "__HOST-session=" + secret, "__Secure-session=" + secret, " __Host-Session=" + secret, "=__Host-session=" + secret, "\u2003__Host-session=" + secret,
		"\x0b__Host-session=" + secret, "__Host-session=x; __Host-session=" + secret, "__Host-session=" + secret + "; __Host-session=x", "__Host-session=; __Host-session=" + secret, "__Host-session=" + secret + "; __Host-session=", "__Host-session=\"" + secret, "$Version=1; __Host-sessio=" + secret,
		"__Host-session=visit.visit." + secret, "__Host-session=" + secret + ",x", "__Host-session=" + secret[1:], "__Host-session=" + strings.ToUpper(secret) + "x",
	} {
		r := request{accept: machine}.make()
		r.Header.Set("Cookie", line)
		w := httptest.NewRecorder()
		h.Require(answers).ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%q: %d", line, w.Code)
		}
	}
	for _, lines := range [][]string{{"a=b; __Host-session=" + secret}, {"a=b", "__Host-session=" + secret}, {"__Host-session=visit." + secret}} {
		r := request{accept: machine}.make()
		r.Header["Cookie"] = lines
		w := httptest.NewRecorder()
		h.Require(answers).ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("%q: %d", lines, w.Code)
		}
	}
}

// A session that an attacker has planted in the browser does not become that of the user, and does not outlive
// the sign-in.
func TestAttack27APlantedSessionEndsWithTheSignIn(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	_, planted := h.Kit.SignIn("eve@example.org")
	_, session := h.Kit.SignIn("ada@example.org")
	for name, signIn := range map[string]func(http.ResponseWriter, *http.Request, *latchkey.Session){"stay": h.Site.SignIn, "visit": h.SignInForVisit} {
		got := set(request{cookies: h.cookieOf(planted)}, func(w http.ResponseWriter, r *http.Request) { signIn(w, r, session) })
		if len(got) != 1 || h.Secret(request{cookies: got}.make()) != session.Secret.Reveal() {
			t.Errorf("%s: %v", name, got)
		}
		if _, err := h.Visitor.Authenticate(t.Context(), planted.Secret.Reveal()); !errors.Is(err, latchkey.ErrUnauthorized) {
			t.Errorf("%s: the planted session lives: %v", name, err)
		}
		_, planted = h.Kit.SignIn("eve@example.org")
	}
}

// Two tabs share a cookie: one signs out while others get a new secret. Whatever comes first, the browser never ends
// up without the cookie of a session that lives, and a browser that was told that it is signed out has no session.
func TestAttack27SigningOutWhileTheSecretIsRenewed(t *testing.T) {
	for range 20 {
		h := newHost(t, latchkey.Policy{}, nil)
		account, session := h.Kit.SignIn("ada@example.org")
		user, cookies := account.UserID(), h.cookieOf(session)
		renew := h.Require(func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
			session, err := account.ConfirmPassword(r.Context(), authtest.Password)
			h.Renew(w, r, session)
			return err
		})
		signOut := h.Handle(func(w http.ResponseWriter, r *http.Request) error { return h.SignOut(w, r) })
		results := make([]*http.Response, 6)
		var wait sync.WaitGroup
		for i := range results {
			wait.Go(func() {
				handler := renew
				if i%3 == 0 {
					handler = signOut
				}
				results[i] = send(handler, request{method: "POST", accept: machine, cookies: cookies})
			})
		}
		wait.Wait()
		list, err := h.Engine.Users().Sessions(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		cleared, renewed := false, ""
		for _, res := range results {
			for _, c := range res.Cookies() {
				if c.MaxAge < 0 {
					cleared = true
				} else {
					renewed = c.Value
				}
			}
		}
		if lives := len(list.Sessions) > 0; cleared == lives {
			t.Fatalf("cleared %v, and the session lives: %v", cleared, lives)
		}
		if _, err := h.Visitor.Authenticate(t.Context(), renewed); renewed != "" && (err == nil) == cleared {
			t.Fatalf("the renewed secret: %v, cleared %v", err, cleared)
		}
	}
}
