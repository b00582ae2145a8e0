package site_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/store/memory"
)

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
			{"POST /account/factors/app", ada}, {"POST /account/factors/codes", ada}, {"POST /account/delete", ada},
			{"POST /admin/users/{user}/status", root}, {"POST /admin/users/{user}/sign-out", root}, {"POST /account/factors/off", ada}, {"POST /account/factors/on", ada},
		}
		w.unchanged("an old session", func() {
			for _, q := range requests {
				method, path := w.path(q.pattern)
				form := w.fields()
				form.Set("email", q.by)
				a := w.send(request{method: method, target: path, form: form, cookies: w.people[q.by]})
				want := "/confirm"
				if q.pattern == "POST /account/factors/codes" { // the password does not do there
					want = "/factor"
				}
				if a.where() != want {
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
