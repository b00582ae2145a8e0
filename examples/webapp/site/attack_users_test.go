package site_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/store/memory"
)

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
			if page := routes["GET "+path]; page == "" && strings.Contains(a.body, `name="next" value="`+path) {
				w.Errorf("%s: the form for the language comes back to a form", pattern)
			}
		}
	}
}
