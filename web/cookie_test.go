package web_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/web"
)

// set returns the cookies that fn sets for a request.
func set(q request, fn func(w http.ResponseWriter, r *http.Request)) []*http.Cookie {
	w := httptest.NewRecorder()
	fn(w, q.make())
	return w.Result().Cookies()
}

func TestTheCookieIsOfThisHostAloneAndHiddenFromScripts(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	_, session := h.Kit.SignIn("ada@example.org")
	for name, c := range map[string]struct {
		site     *web.Site
		set      func(*web.Site, http.ResponseWriter, *http.Request)
		name     string
		secure   bool
		lifetime time.Duration
	}{
		"stay":       {h.Site, func(s *web.Site, w http.ResponseWriter, r *http.Request) { s.SignIn(w, r, session) }, "__Host-session", true, 400 * 24 * time.Hour},
		"visit":      {h.Site, func(s *web.Site, w http.ResponseWriter, r *http.Request) { s.SignInForVisit(w, r, session) }, "__Host-session", true, 0},
		"named":      {newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Cookie = "app" }).Site, func(s *web.Site, w http.ResponseWriter, r *http.Request) { s.SignIn(w, r, session) }, "__Host-app", true, 400 * 24 * time.Hour},
		"plain http": {newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Base = "http://localhost:8080" }).Site, func(s *web.Site, w http.ResponseWriter, r *http.Request) { s.SignIn(w, r, session) }, "session", false, 400 * 24 * time.Hour},
	} {
		got := set(request{}, func(w http.ResponseWriter, r *http.Request) { c.set(c.site, w, r) })
		if len(got) != 1 {
			t.Fatalf("%s: %d cookies", name, len(got))
		}
		cookie := got[0]
		if cookie.Name != c.name || cookie.Path != "/" || cookie.Domain != "" || cookie.Secure != c.secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode {
			t.Errorf("%s: %v", name, cookie)
		}
		if cookie.MaxAge != int(c.lifetime/time.Second) || !cookie.Expires.IsZero() {
			t.Errorf("%s: lasts %d s", name, cookie.MaxAge)
		}
		if got := c.site.Secret(request{cookies: got}.make()); got != session.Secret.Reveal() {
			t.Errorf("%s: the cookie is not read again", name)
		}
	}
	if got := set(request{}, func(w http.ResponseWriter, r *http.Request) {
		h.Site.SignIn(w, r, nil)
		h.Site.SignIn(w, r, &latchkey.Session{ID: "x"})
		h.Renew(w, r, nil)
	}); len(got) != 0 {
		t.Errorf("a cookie is set without a secret: %v", got)
	}
}

func TestTwoCookiesOfOneNameAreNone(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	_, session := h.Kit.SignIn("ada@example.org")
	good := h.cookieOf(session)[0]
	if h.Secret(request{cookies: []*http.Cookie{good, {Name: good.Name, Value: "other"}}}.make()) != "" {
		t.Error("one of two cookies is chosen")
	}
	if h.Secret(request{cookies: []*http.Cookie{good, good}}.make()) == "" {
		t.Error("a cookie that comes twice is lost")
	}
	if h.Secret(request{cookies: []*http.Cookie{{Name: "session", Value: good.Value}}}.make()) != "" {
		t.Error("a cookie that another host can set is read")
	}
}

func TestASignInEndsTheSessionThatItReplaces(t *testing.T) {
	h, all := callers(t)
	ctx := t.Context()
	all["for a visit"] = set(request{}, func(w http.ResponseWriter, r *http.Request) {
		_, session := h.SignInVerified("e@example.org")
		h.SignInForVisit(w, r, session)
	})
	for _, caller := range []string{"signed in", "owing", "unverified", "for a visit"} {
		_, session := h.SignInVerified(map[string]string{"signed in": "a@example.org", "owing": "b@example.org", "unverified": "c@example.org", "for a visit": "f@example.org"}[caller])
		got := set(request{cookies: all[caller]}, func(w http.ResponseWriter, r *http.Request) { h.Site.SignIn(w, r, session) })
		if _, err := h.Visitor.Authenticate(ctx, h.Secret(request{cookies: all[caller]}.make())); !errors.Is(err, latchkey.ErrUnauthorized) {
			t.Errorf("%s: the former session lives: %v", caller, err)
		}
		if account, err := h.Visitor.Authenticate(ctx, h.Secret(request{cookies: got}.make())); err != nil || account.UserID() != session.UserID {
			t.Errorf("%s: the new session: %v", caller, err)
		}
	}
	// A new secret of the same session replaces nothing.
	account, session := h.SignInVerified("d@example.org")
	former := h.cookieOf(session)
	renewed, err := account.ConfirmPassword(ctx, authtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	got := set(request{cookies: former}, func(w http.ResponseWriter, r *http.Request) { h.Site.SignIn(w, r, renewed) })
	if _, err := h.Visitor.Authenticate(ctx, h.Secret(request{cookies: got}.make())); err != nil {
		t.Errorf("a session ends itself: %v", err)
	}
	kept := *renewed
	if got = set(request{cookies: got}, func(w http.ResponseWriter, r *http.Request) { h.Site.SignIn(w, r, &kept) }); len(got) != 1 {
		t.Fatal("no cookie")
	}
	if _, err := h.Visitor.Authenticate(ctx, h.Secret(request{cookies: got}.make())); err != nil {
		t.Errorf("a session whose secret stays ends itself: %v", err)
	}
}

func TestARenewedCookieStaysWhatItWas(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Bearer = true })
	for name, signIn := range map[string]func(http.ResponseWriter, *http.Request, *latchkey.Session){"stay": h.Site.SignIn, "visit": h.SignInForVisit} {
		account, session := h.Kit.SignIn(name + "@example.org")
		former := set(request{}, func(w http.ResponseWriter, r *http.Request) { signIn(w, r, session) })
		renewed, err := account.ConfirmPassword(t.Context(), authtest.Password)
		if err != nil {
			t.Fatal(err)
		}
		got := set(request{cookies: former}, func(w http.ResponseWriter, r *http.Request) { h.Renew(w, r, renewed) })
		if len(got) != 1 || (got[0].MaxAge == 0) != (name == "visit") || h.Secret(request{cookies: got}.make()) != renewed.Secret.Reveal() {
			t.Errorf("%s: %v", name, got)
		}
		silent := *renewed
		silent.Secret = latchkey.Secret{} // as under KeepSecretOnChallenge
		bearer := map[string]string{"Authorization": "Bearer " + session.Secret.Reveal()}
		for why, cookies := range map[string][]*http.Cookie{
			"without a new secret": set(request{cookies: former}, func(w http.ResponseWriter, r *http.Request) { h.Renew(w, r, &silent) }),
			"without anything":     set(request{}, func(w http.ResponseWriter, r *http.Request) { h.Renew(w, r, renewed) }),
			"beside another":       set(request{cookies: append(slices.Clone(former), &http.Cookie{Name: former[0].Name, Value: "other"})}, func(w http.ResponseWriter, r *http.Request) { h.Renew(w, r, renewed) }),
			"without a cookie":     set(request{headers: bearer}, func(w http.ResponseWriter, r *http.Request) { h.Renew(w, r, renewed) }),
			"of another session":   set(request{headers: map[string]string{"Authorization": "Bearer other"}, cookies: former}, func(w http.ResponseWriter, r *http.Request) { h.Renew(w, r, renewed) }),
		} {
			if len(cookies) != 0 {
				t.Errorf("%s: a cookie is set %s", name, why)
			}
		}
	}
}

func TestSignOutClearsTheCookieOfThePresentSecretAlone(t *testing.T) {
	h, all := callers(t)
	for caller, want := range map[string]struct {
		err     error
		cleared bool
		ended   bool
	}{
		"signed in": {cleared: true, ended: true}, "owing": {cleared: true, ended: true}, "unverified": {cleared: true, ended: true},
		"blocked": {cleared: true}, "must reset": {cleared: true}, "renewed": {err: latchkey.ErrSessionRenewed}, "ended": {}, "nobody": {}, "a wrong secret": {},
	} {
		var err error
		got := set(request{method: "POST", cookies: all[caller]}, func(w http.ResponseWriter, r *http.Request) { err = h.SignOut(w, r) })
		if !errors.Is(err, want.err) {
			t.Errorf("%s: %v, want %v", caller, err, want.err)
		}
		if cleared := len(got) == 1 && got[0].MaxAge < 0 && got[0].Value == "" && got[0].Name == "__Host-session" && got[0].Secure && got[0].Path == "/"; cleared != want.cleared || len(got) > 1 {
			t.Errorf("%s: %v", caller, got)
		}
		if want.ended {
			if _, err := h.Visitor.Authenticate(t.Context(), h.Secret(request{cookies: all[caller]}.make())); !errors.Is(err, latchkey.ErrUnauthorized) {
				t.Errorf("%s: the session lives: %v", caller, err)
			}
		}
	}
}

// Chrome keeps pages for its back button in spite of no-store, and has shown the page after the sign-in to the
// next person.
func TestSignOutHasTheBrowserForgetItsPages(t *testing.T) {
	h, all := callers(t)
	for caller, cookies := range all {
		w, err := httptest.NewRecorder(), error(nil)
		err = h.SignOut(w, request{method: "POST", cookies: cookies}.make())
		if got, want := w.Header().Get("Clear-Site-Data"), map[bool]string{true: `"cache"`}[err == nil]; got != want {
			t.Errorf("%s: %q, want %q", caller, got, want)
		}
	}
}

func TestTheBrowserForgetsASessionThatTheHandlerHasEnded(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Bearer = true })
	account, session := h.SignInVerified("ada@example.org")
	for name, c := range map[string]struct {
		request request
		cleared bool
	}{
		"by cookie": {request{method: "POST", cookies: h.cookieOf(session)}, true},
		"by header": {request{method: "POST", headers: map[string]string{"Authorization": "Bearer " + session.Secret.Reveal()}}, false},
	} {
		w := httptest.NewRecorder()
		h.Ended(w, c.request.make(), account)
		got := w.Result().Cookies()
		if cleared := len(got) == 1 && got[0].MaxAge < 0 && got[0].Name == "__Host-session" && got[0].Secure && got[0].Path == "/"; cleared != c.cleared || len(got) > 1 {
			t.Errorf("%s: %v", name, got)
		}
		if w.Header().Get("Clear-Site-Data") != `"cache"` {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
	if got := set(request{cookies: h.cookieOf(session)}, func(w http.ResponseWriter, r *http.Request) { h.Ended(w, r, nil) }); len(got) != 0 {
		t.Errorf("without an account: %v", got)
	}
}

// Two tabs share a cookie. One confirms a factor, and gets a new secret. A request of the other was on
// its way with the former one.
func TestARequestOnItsWayDoesNotTakeTheNewSecretAway(t *testing.T) {
	h, all := callers(t)
	owing := all["owing"]
	codes, err := h.Engine.Users().CreateMFARecoveryCodes(t.Context(), challengeUser(t, h, owing))
	if err != nil {
		t.Fatal(err)
	}
	var challenge *latchkey.MFAChallenge
	send(h.Challenge(func(_ http.ResponseWriter, r *http.Request, of web.Challenger) (err error) {
		challenge, err = of.CreateMFAChallenge(r.Context(), latchkey.FactorRecoveryCode)
		return err
	}), request{method: "POST", accept: machine, cookies: owing})
	res := send(h.Challenge(func(w http.ResponseWriter, r *http.Request, of web.Challenger) error {
		session, err := of.ConfirmMFAChallenge(r.Context(), challenge.ID, codes.Codes[0].Reveal())
		h.Renew(w, r, session)
		return err
	}), request{method: "POST", accept: machine, cookies: owing})
	renewed := res.Cookies()
	if res.StatusCode != 200 || len(renewed) != 1 {
		t.Fatalf("the first tab: %d, %v", res.StatusCode, renewed)
	}
	for name, handler := range map[string]http.Handler{
		"Require": h.Require(answers), "Optional": h.Optional(answers), "Challenge": h.Challenge(nil), "Unverified": h.Unverified(nil),
		"SignOut": h.Handle(func(w http.ResponseWriter, r *http.Request) error { return h.SignOut(w, r) }),
	} {
		for _, accept := range []string{page, machine} {
			res := send(handler, request{method: "POST", accept: accept, cookies: owing})
			if len(res.Cookies()) != 0 || res.StatusCode != 401 || res.Header.Get("Location") != "" {
				t.Errorf("%s: %d, %v", name, res.StatusCode, res.Header)
			}
		}
	}
	h.Clock.Advance(2 * time.Minute) // the engine does not know the former secret any more
	for name, handler := range map[string]http.Handler{"Require": h.Require(answers), "SignOut": h.Handle(func(w http.ResponseWriter, r *http.Request) error { return h.SignOut(w, r) })} {
		if res := send(handler, request{method: "POST", accept: page, cookies: owing}); len(res.Cookies()) != 0 {
			t.Errorf("%s, later: %v", name, res.Cookies())
		}
	}
	if res := send(h.Require(answers), request{accept: page, cookies: renewed}); res.StatusCode != 200 {
		t.Errorf("the new secret: %d", res.StatusCode)
	}
}

// challengeUser returns the user of a session that owes a factor.
func challengeUser(t *testing.T, h *host, cookies []*http.Cookie) string {
	t.Helper()
	_, err := h.Site.Authenticate(request{cookies: cookies}.make())
	owing, is := errors.AsType[*latchkey.MoreFactorsError](err)
	if !is {
		t.Fatal(err)
	}
	return owing.Pending.UserID()
}

func TestABearerIsJudgedByItsHeaderAlone(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.Bearer = true })
	_, session := h.Kit.SignIn("ada@example.org")
	secret, cookies := session.Secret.Reveal(), h.cookieOf(session)
	for header, want := range map[string]string{
		"Bearer " + secret: secret, "bearer  " + secret: secret, "Bearer": "", "Bearer ": "", "Basic " + secret: "", secret: "", "": "", "Bearer x": "x",
	} {
		r := request{headers: map[string]string{"Authorization": header}, cookies: cookies}.make()
		if got := h.Secret(r); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
	r := request{headers: map[string]string{"Authorization": "Bearer " + secret}}.make()
	r.Header.Add("Authorization", "Bearer other")
	if h.Secret(r) != "" {
		t.Error("one of two headers is chosen")
	}
	res := send(h.Require(answers), request{accept: machine, headers: map[string]string{"Authorization": "Bearer " + secret}})
	if res.StatusCode != 200 {
		t.Errorf("a bearer: %d", res.StatusCode)
	}
	cookieSite := newHost(t, latchkey.Policy{}, nil)
	if got := cookieSite.Secret(request{headers: map[string]string{"Authorization": "Bearer " + secret}}.make()); got != "" {
		t.Error("a site without Bearer reads the header")
	}
	// A program that signs out by its header leaves no cookie to clear.
	if got := set(request{headers: map[string]string{"Authorization": "Bearer " + secret}}, func(w http.ResponseWriter, r *http.Request) {
		if err := h.SignOut(w, r); err != nil {
			t.Error(err)
		}
	}); len(got) != 0 {
		t.Errorf("a bearer gets %v", got)
	}
	if _, err := h.Visitor.Authenticate(t.Context(), secret); !errors.Is(err, latchkey.ErrUnauthorized) {
		t.Errorf("the session of a bearer lives: %v", err)
	}
}

// A link that is opened in the session of its user proves the mailbox and the password together. Opened
// without it, it proves the mailbox alone, and the first sign-in by a link removes the password.
func TestAnAddressIsVerifiedInTheSessionOfItsUser(t *testing.T) {
	for _, required := range []bool{true, false} {
		h := newHost(t, latchkey.Policy{RequireVerifiedEmail: required}, nil)
		ctx := t.Context()
		for email, inSession := range map[string]bool{"in@example.org": true, "out@example.org": false, "of-another@example.org": false} {
			user, err := h.Engine.Users().Create(ctx, latchkey.NewUser{Email: email, Password: authtest.Password})
			if err != nil {
				t.Fatal(err)
			}
			session, err := h.Visitor.CreateEmailPasswordSession(ctx, email, authtest.Password)
			if err != nil {
				t.Fatal(err)
			}
			account, err := h.Visitor.Authenticate(ctx, session.Secret.Reveal())
			if unproven, is := errors.AsType[*latchkey.UnverifiedEmailError](err); is {
				_, err = unproven.Unverified.CreateEmailVerification(ctx, base.URL("/verify"))
			} else {
				_, err = account.CreateEmailVerification(ctx, base.URL("/verify"))
			}
			if err != nil {
				t.Fatal(err)
			}
			mail := h.Mail(email)
			q := request{method: "POST"}
			switch email {
			case "in@example.org":
				q.cookies = h.cookieOf(session)
			case "of-another@example.org":
				_, other := h.SignInVerified("zoe@example.org")
				q.cookies = h.cookieOf(other)
			}
			if _, err := h.ConfirmEmailVerification(q.make(), user.ID, mail.Secret.Reveal()); err != nil {
				t.Errorf("%s: %v", email, err)
			}
			if _, err := h.Visitor.CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{Email: email, URL: base.URL("/sign-in")}); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Visitor.CreateSession(ctx, user.ID, h.Mail(email).Secret.Reveal()); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Visitor.CreateEmailPasswordSession(ctx, email, authtest.Password); (err == nil) != inSession {
				t.Errorf("%s, required %v: the password after a sign-in by link: %v", email, required, err)
			}
		}
	}
}

func TestAFormerSecretUsesNoLinkUp(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	user, err := h.Engine.Users().Create(t.Context(), latchkey.NewUser{Email: "ada@example.org", Password: authtest.Password})
	if err != nil {
		t.Fatal(err)
	}
	session, err := h.Visitor.CreateEmailPasswordSession(t.Context(), "ada@example.org", authtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	account, err := h.Visitor.Authenticate(t.Context(), session.Secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := account.CreateEmailVerification(t.Context(), base.URL("/verify")); err != nil {
		t.Fatal(err)
	}
	secret := h.Mail("ada@example.org").Secret.Reveal()
	renewed, err := account.RotateSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		session *latchkey.Session
		want    error
	}{{session, latchkey.ErrSessionRenewed}, {renewed, nil}} {
		q := request{method: "POST", cookies: h.cookieOf(c.session)}
		if _, err := h.ConfirmEmailVerification(q.make(), user.ID, secret); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}

func TestALinkOfASessionThatOwesAFactorWaitsForIt(t *testing.T) {
	h := newHost(t, latchkey.Policy{}, nil)
	ctx := t.Context()
	if _, err := h.Engine.Users().Create(ctx, latchkey.NewUser{Email: "fay@example.org", Password: authtest.Password}); err != nil {
		t.Fatal(err)
	}
	session, err := h.Visitor.CreateEmailPasswordSession(ctx, "fay@example.org", authtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	account, err := h.Visitor.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := account.CreateEmailVerification(ctx, base.URL("/verify")); err != nil {
		t.Fatal(err)
	}
	secret := h.Mail("fay@example.org").Secret.Reveal()
	h.EnrolTOTP(account)
	owing, err := h.Visitor.CreateEmailPasswordSession(ctx, "fay@example.org", authtest.Password)
	if err != nil {
		t.Fatal(err)
	}
	q := request{method: "POST", cookies: h.cookieOf(owing)}
	if _, err := h.ConfirmEmailVerification(q.make(), account.UserID(), secret); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
		t.Errorf("a session that owes a factor: %v", err)
	}
	q.cookies = h.cookieOf(session)
	if _, err := h.ConfirmEmailVerification(q.make(), account.UserID(), secret); err != nil {
		t.Errorf("the link was used up: %v", err)
	}
}
