package web_test

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/permission"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/web"
)

// ctx is the context of the examples.
var ctx = context.Background()

// example returns an engine and a site over it.
func example(change func(*web.Config)) (*latchkey.Engine, *web.Site) {
	const base web.Base = "https://app.example.org"
	engine, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, RedirectHosts: base.Hosts()})
	if err != nil {
		log.Fatal(err)
	}
	c := web.Config{Base: base, Pages: web.Pages{SignIn: "/sign-in", Factor: "/factor"}}
	if change != nil {
		change(&c)
	}
	site, err := web.New(engine, c)
	if err != nil {
		log.Fatal(err)
	}
	return engine, site
}

// load prints the answer to a request of a browser or a program.
func load(h http.Handler, method, target, accept string, headers ...string) {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Accept", accept)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if to := w.Header().Get("Location"); to != "" {
		fmt.Println(w.Code, "to", to)
		return
	}
	fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
}

func ExampleNew() {
	const base web.Base = "https://app.example.org"
	engine, err := latchkey.New(memory.Open(), latchkey.Config{
		Keys:          latchkey.Keys{Active: latchkey.GenerateKey()},
		RedirectHosts: base.Hosts(), // links in mails lead to this site alone
	})
	if err != nil {
		log.Fatal(err)
	}
	site, err := web.New(engine, web.Config{Base: base, Pages: web.Pages{SignIn: "/sign-in"}, Proxies: []string{"127.0.0.1"}})
	fmt.Println(site.URL("/verify"), err)
	// Output: https://app.example.org/verify <nil>
}

func ExampleSite_Handle() {
	_, site := example(nil)
	signIn := site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		session, err := site.Guest(r).CreateEmailPasswordSession(r.Context(), r.FormValue("email"), r.FormValue("password"))
		if err != nil {
			return err
		}
		site.SignIn(w, r, session)
		http.Redirect(w, r, web.Next(r), http.StatusSeeOther)
		return nil
	})
	load(signIn, "POST", "/sign-in?email=ada@example.org&password=a+wrong+one", "application/json")
	// Output: 401 {"code":401,"type":"user_invalid_credentials","message":"The credentials are wrong"}
}

func ExampleSite_Require() {
	_, site := example(nil)
	account := site.Require(func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
		user, err := account.User(r.Context())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(w, "Hello,", user.Name)
		return err
	})
	load(account, "GET", "/account", "text/html")
	load(account, "GET", "/account", "application/json")
	// Output:
	// 303 to /sign-in?next=%2Faccount
	// 401 {"code":401,"type":"general_unauthorized_scope","message":"Not signed in, or the session has ended"}
}

func ExampleSite_RequireProfile() {
	_, site := example(nil)
	staff := site.RequireProfile(func(w http.ResponseWriter, r *http.Request, _ *latchkey.Account, profile *latchkey.Profile) error {
		if !profile.Roles.Has(permission.Label("admin")) {
			return latchkey.ErrUserUnauthorized
		}
		_, err := fmt.Fprintln(w, "Hello,", profile.User.Name)
		return err
	})
	load(staff, "GET", "/staff", "text/html")
	// Output: 303 to /sign-in?next=%2Fstaff
}

func ExampleSite_Optional() {
	_, site := example(nil)
	home := site.Optional(func(w http.ResponseWriter, _ *http.Request, account *latchkey.Account) error {
		if account == nil {
			_, err := io.WriteString(w, "Sign in or sign up")
			return err
		}
		_, err := io.WriteString(w, "Hello")
		return err
	})
	load(home, "GET", "/", "text/html")
	// Output: 200 Sign in or sign up
}

func ExampleSite_Challenge() {
	_, site := example(nil)
	factor := site.Challenge(func(w http.ResponseWriter, r *http.Request, of web.Challenger) error {
		session, err := of.ConfirmMFAChallenge(r.Context(), r.FormValue("challenge"), r.FormValue("code"))
		if err != nil {
			return err
		}
		site.Renew(w, r, session)
		http.Redirect(w, r, web.Next(r), http.StatusSeeOther)
		return nil
	})
	load(factor, "POST", "/factor", "text/html")
	// Output: 303 to /sign-in
}

func ExampleSite_SignOut() {
	engine, site := example(nil)
	session, err := engine.Guest(latchkey.Client{}).CreateAnonymousSession(ctx)
	if err != nil {
		log.Fatal(err)
	}
	signOut := site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := site.SignOut(w, r); err != nil {
			return err
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	})
	cookie := "__Host-session=" + session.Secret.Reveal()
	load(signOut, "POST", "/sign-out", "text/html", "Cookie", cookie)
	load(site.Require(nil), "GET", "/account", "text/html", "Cookie", cookie)
	// Output:
	// 303 to /
	// 303 to /sign-in?next=%2Faccount
}

func ExampleSite_SignInForVisit() {
	engine, site := example(nil)
	signIn := site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		client := site.Client(r)
		if r.FormValue("stay") != "on" {
			client.SessionLength = 12 * time.Hour
		}
		session, err := engine.Guest(client).CreateEmailPasswordSession(r.Context(), r.FormValue("email"), r.FormValue("password"))
		if client.SessionLength > 0 {
			site.SignInForVisit(w, r, session)
		} else {
			site.SignIn(w, r, session)
		}
		return err
	})
	load(signIn, "POST", "/sign-in?email=ada@example.org&password=a+wrong+one", "application/json")
	// Output: 401 {"code":401,"type":"user_invalid_credentials","message":"The credentials are wrong"}
}

func ExampleSite_Protect() {
	_, site := example(nil)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /posts", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "posted") })
	h := site.Protect(mux)
	load(h, "POST", "/posts", "application/json", "Sec-Fetch-Site", "same-origin")
	load(h, "POST", "/posts", "application/json", "Sec-Fetch-Site", "cross-site")
	// Output:
	// 200 posted
	// 403 {"code":403,"type":"general_unknown_origin","message":"The request comes from a page of another site"}
}

func ExampleSite_Client() {
	_, site := example(func(c *web.Config) { c.Proxies = []string{"192.0.2.1"} })
	r := httptest.NewRequest("GET", "/", nil) // from 192.0.2.1
	r.Header.Set("X-Forwarded-For", "203.0.113.9, 198.51.100.7")
	fmt.Println(site.Client(r).IP)
	// Output: 198.51.100.7
}

func ExampleSite_Health() {
	_, site := example(nil)
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", site.Health())
	load(mux, "GET", "/healthz", "")
	// Output: 200 {"status":"ok"}
}

func ExampleSite_Fail() {
	_, site := example(func(c *web.Config) {
		c.ErrorPage = func(w http.ResponseWriter, _ *http.Request, p web.Problem) {
			w.WriteHeader(p.Status)
			fmt.Fprintf(w, "%s. Try again in %d s.", p.Message, p.RetryAfter)
		}
	})
	load(site.Handle(func(http.ResponseWriter, *http.Request) error {
		return &latchkey.ThrottledError{RetryAfter: 30 * time.Second}
	}), "POST", "/sign-in", "text/html")
	// Output: 429 Too many attempts; try again later. Try again in 30 s.
}

func ExampleSite_OAuth2Callback() {
	_, site := example(nil)
	mux := http.NewServeMux()
	mux.Handle("POST /sign-in/acme", site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		start, err := site.Guest(r).StartOAuth2(r.Context(), latchkey.OAuth2Request{Provider: "acme", RedirectURL: site.URL("/callback/acme")})
		if err != nil {
			return err
		}
		return site.StartOAuth2(w, r, start)
	}))
	mux.Handle("/callback/acme", site.OAuth2Callback("acme", func(w http.ResponseWriter, r *http.Request, _ *latchkey.OAuth2Result, err error) error {
		if err != nil {
			return err
		}
		http.Redirect(w, r, "/account", http.StatusSeeOther)
		return nil
	}))
	load(mux, "POST", "/sign-in/acme", "application/json")
	// Output: 412 {"code":412,"type":"project_provider_disabled","message":"The provider is not configured"}
}

func ExampleNext() {
	for _, next := range []string{"/teams?id=7", "//evil.example.net", "https://evil.example.net"} {
		fmt.Println(web.Next(httptest.NewRequest("GET", "/sign-in?next="+url.QueryEscape(next), nil)))
	}
	// Output:
	// /teams?id=7
	// /
	// /
}

func ExampleQRCode() {
	engine, _ := example(nil)
	guest := engine.Guest(latchkey.Client{})
	if _, err := guest.CreateAccount(ctx, latchkey.NewAccount{Email: "ada@example.org", Password: "correct horse"}); err != nil {
		log.Fatal(err)
	}
	session, err := guest.CreateEmailPasswordSession(ctx, "ada@example.org", "correct horse")
	if err != nil {
		log.Fatal(err)
	}
	account, err := guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	app, err := account.CreateMFAAuthenticator(ctx, latchkey.NewMFAAuthenticator{})
	if err != nil {
		log.Fatal(err)
	}
	picture, err := web.QRCode(app, 256)
	if err != nil {
		log.Fatal(err)
	}
	var page strings.Builder
	err = template.Must(template.New("").Parse(`<img alt="" src="{{.}}">`)).Execute(&page, picture)
	fmt.Println(page.String()[:42], err)
	// Output: <img alt="" src="data:image/png;base64,iVB <nil>
}

func ExampleReadJSON() {
	_, site := example(nil)
	signUp := site.Handle(web.JSON(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		var in struct{ Email, Password string }
		if err := web.ReadJSON(r, &in); err != nil {
			return nil, err
		}
		return site.Guest(r).CreateAccount(r.Context(), latchkey.NewAccount{Email: in.Email, Password: in.Password})
	}))
	load(signUp, "POST", "/sign-up", "application/json", "Content-Type", "application/json")
	// Output: 400 {"code":400,"type":"general_argument_invalid","message":"It is not a JSON object of the right form","argument":"body","reason":"malformed"}
}

func ExampleBase() {
	const base web.Base = "https://app.example.org"
	fmt.Println(base.URL("/verify?from=mail"))
	fmt.Println(base.Hosts()) // for the field RedirectHosts of latchkey.Config
	// Output:
	// https://app.example.org/verify?from=mail
	// [https://app.example.org]
}

func ExampleSite_Unverified() {
	_, site := example(func(c *web.Config) { c.Pages.Verify = "/verify" })
	verify := site.Unverified(func(w http.ResponseWriter, r *http.Request, user *latchkey.Unverified) error {
		if _, err := user.CreateEmailVerification(r.Context(), site.URL("/link/verify")); err != nil {
			return err
		}
		_, err := io.WriteString(w, "We have sent the mail again.")
		return err
	})
	load(verify, "POST", "/verify", "text/html")
	// Output: 303 to /sign-in
}

func ExampleSite_ConfirmEmailVerification() {
	_, site := example(nil)
	link := site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if _, err := site.ConfirmEmailVerification(r, r.FormValue("userId"), r.FormValue("secret")); err != nil {
			return err
		}
		http.Redirect(w, r, "/account", http.StatusSeeOther)
		return nil
	})
	load(link, "POST", "/link/verify?userId=ada&secret=wrong", "application/json")
	// Output: 401 {"code":401,"type":"user_invalid_token","message":"The link is wrong, was used or replaced, or has expired"}
}

func ExampleSite_Authenticate() {
	_, site := example(nil)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /files/{name}", func(w http.ResponseWriter, r *http.Request) { // a handler of the host's own
		account, err := site.Authenticate(r)
		if err != nil {
			site.Fail(w, r, err)
			return
		}
		fmt.Fprintf(w, "%s of %s", r.PathValue("name"), account.UserID())
	})
	load(mux, "GET", "/files/letter", "text/html")
	// Output: 303 to /sign-in?next=%2Ffiles%2Fletter
}

func ExampleSite_Secret() {
	_, site := example(func(c *web.Config) { c.Bearer = true })
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer of-an-app")
	r.AddCookie(&http.Cookie{Name: "__Host-session", Value: "of-a-browser"})
	fmt.Println(site.Secret(r))
	// Output: of-an-app
}

func ExampleAccountJSON() {
	_, site := example(nil)
	me := site.Require(web.AccountJSON(func(_ http.ResponseWriter, r *http.Request, account *latchkey.Account) (any, error) {
		return account.User(r.Context())
	}))
	load(me, "GET", "/me", "application/json")
	// Output: 401 {"code":401,"type":"general_unauthorized_scope","message":"Not signed in, or the session has ended"}
}

func ExampleWriteJSON() {
	_, site := example(nil)
	version := site.Handle(func(w http.ResponseWriter, _ *http.Request) error {
		return web.WriteJSON(w, http.StatusOK, map[string]string{"version": "1.2.3"})
	})
	load(version, "GET", "/version", "application/json")
	// Output: 200 {"version":"1.2.3"}
}

func ExampleNewProxies() {
	proxies, err := web.NewProxies("X-Forwarded-For", "192.0.2.0/24", "unix")
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil) // from 192.0.2.1
	r.Header.Set("X-Forwarded-For", "203.0.113.9, [2001:db8::7]:443")
	fmt.Println(proxies.Address(r))
	// Output: 2001:db8::7
}

func ExampleProblemOf() {
	p := web.ProblemOf(&latchkey.ThrottledError{RetryAfter: 90 * time.Second})
	fmt.Println(p.Status, p.Type, p.RetryAfter)
	p = web.ProblemOf(fmt.Errorf("no disk"))
	fmt.Println(p.Status, p.Type)
	// Output:
	// 429 general_rate_limit_exceeded 90
	// 500 general_server_error
}

func ExampleSite_Ended() {
	_, site := example(nil)
	everywhere := site.Require(func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
		if err := account.DeleteSessions(r.Context()); err != nil {
			return err
		}
		site.Ended(w, r, account)
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	})
	load(everywhere, "POST", "/sign-out-everywhere", "text/html")
	// Output: 303 to /sign-in
}
