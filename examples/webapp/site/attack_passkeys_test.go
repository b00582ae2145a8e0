package site_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/store/memory"
)

// ask posts to an address that answers the script with a question, and returns the question.
func (w *world) ask(path string, by cookies, fields ...string) *latchkey.PasskeyCeremony {
	w.Helper()
	a := w.send(request{method: http.MethodPost, target: path, form: values(fields...), cookies: by, headers: http.Header{"Accept": {"*/*"}}})
	if a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
		w.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
	}
	return &latchkey.PasskeyCeremony{Options: json.RawMessage(a.body)}
}

// data returns the value of an attribute of a page.
func (w *world) data(a answer, name string) string {
	w.Helper()
	found := regexp.MustCompile(name + `="([^"]*)"`).FindStringSubmatch(a.body)
	if found == nil {
		w.Fatalf("no %s on the page: %d to %q", name, a.StatusCode, a.Header.Get("Location"))
	}
	return html.UnescapeString(found[1])
}

// prove makes the session of the keeper fresh by the passkey.
func (w *world) prove(device *authtest.Device) {
	w.Helper()
	by := w.people[keeper]
	question := w.ask("/factor/passkey/ask", by)
	if a := w.post("/factor/passkey", by, "credential", w.touch(device, question), "next", "/account/passkeys"); a.where() != "/account/passkeys" {
		w.Fatalf("the proof: %d to %q", a.StatusCode, a.Header.Get("Location"))
	}
}

// No form about a passkey of another user changes anything, also right after a proof by an own one.
func TestAttackPasskeysOfOthersAreLeftAlone(t *testing.T) {
	onStores(t, func(w *world) {
		id := w.passkey(mia, authtest.NewDevice(string(base)))
		w.prove(w.device)
		w.unchanged("the passkey of another user", func() {
			for _, path := range []string{"/account/passkeys/rename", "/account/passkeys/delete"} {
				for _, id := range []string{id, "", "x", strings.Repeat("x", 40), "current"} {
					a := w.post(path, w.people[keeper], "id", id, "name", "Stolen")
					if a.StatusCode != http.StatusNotFound && a.StatusCode != http.StatusBadRequest {
						w.Errorf("%s of %q: %d to %q", path, id, a.StatusCode, a.Header.Get("Location"))
					}
				}
			}
			if a := w.post("/account/passkeys/delete", w.people[mia], "id", id); a.where() != "/confirm" { // without a proof
				w.Errorf("a deletion without a proof: %d to %q", a.StatusCode, a.Header.Get("Location"))
			}
		})
		if body := w.get("/account/passkeys", w.people[keeper]).body; strings.Contains(body, id) || !strings.Contains(body, "Telephone") {
			w.Errorf("the page of the keeper: %s", body)
		}
	})
}

// The answer of a device is good once, for the form that has asked, for five minutes, and on the pages of the site.
func TestAttackAnAnswerOfADeviceIsGoodOnce(t *testing.T) {
	onStores(t, func(w *world) {
		refused := func(what, path string, by cookies, answer string) {
			w.Helper()
			if a := w.send(request{method: http.MethodPost, target: path, form: values("credential", answer), cookies: by}); a.StatusCode != 400 && a.StatusCode != 401 || len(a.Cookies()) > 0 {
				w.Errorf("%s: %d to %q, %v", what, a.StatusCode, a.Header.Get("Location"), a.Cookies())
			}
		}
		refused("an answer of a sign-in as a factor", "/factor/passkey", w.people[keeper], w.answer)
		refused("an answer of a sign-in as a new passkey", "/account/passkeys/take", w.people[keeper], w.answer)
		refused("an answer to a factor as a sign-in", "/sign-in/passkey", cookies{}, w.touch(w.device, w.ask("/factor/passkey/ask", w.people[keeper])))
		refused("an answer in another session", "/factor/passkey", w.signIn(keeper), w.touch(w.device, w.ask("/factor/passkey/ask", w.people[keeper])))
		for _, wrong := range []string{"", "{}", "null", "[]", "x", w.answer + "x", strings.Repeat("[", 10_000), w.answer[:len(w.answer)/2]} {
			refused("a broken answer", "/sign-in/passkey", cookies{}, wrong)
		}
		jar := cookies{}
		if a := w.post("/sign-in/passkey", jar, "credential", w.answer, "next", "/teams"); a.where() != "/teams" || jar[sessionCookie] == "" {
			w.Fatalf("the answer: %d to %q", a.StatusCode, a.Header.Get("Location"))
		}
		refused("the answer again", "/sign-in/passkey", cookies{}, w.answer)

		w.device.Origin = "https://app.example.org.evil.example.net"
		refused("an answer from another site", "/sign-in/passkey", cookies{}, w.touch(w.device, w.ask("/sign-in/passkey/ask", cookies{})))
		w.device.Origin, w.device.Unverified = string(base), true
		refused("an answer without the user", "/sign-in/passkey", cookies{}, w.touch(w.device, w.ask("/sign-in/passkey/ask", cookies{})))
		w.device.Unverified = false
		late := w.touch(w.device, w.ask("/sign-in/passkey/ask", cookies{}, "offer", "on"))
		w.clock.Advance(6 * time.Minute)
		refused("an answer after six minutes", "/sign-in/passkey", cookies{}, late)

		large := request{method: http.MethodPost, target: "/sign-in/passkey", form: values("credential", strings.Repeat("x", 1<<16)), cookies: cookies{}}
		if a := w.send(large); a.StatusCode != http.StatusRequestEntityTooLarge {
			w.Errorf("an answer of 64 KiB: %d", a.StatusCode)
		}
	})
}

// A new passkey goes to the session that has asked for it, which can still take it after another one has tried.
func TestAttackANewPasskeyBelongsToTheSessionThatHasAsked(t *testing.T) {
	onStores(t, func(w *world) {
		device := authtest.NewDevice(string(base))
		answer, err := device.Create([]byte(w.data(w.post("/account/passkeys", w.people[mia]), "data-options")))
		w.must(err)
		w.unchangedBut("a new passkey in the session of another user", refusals, func() {
			a := w.post("/account/passkeys/take", w.people[eve], "credential", string(answer))
			if signals := w.data(a, "data-signals"); a.StatusCode != http.StatusUnauthorized || strings.Contains(signals, "signalUnknownCredential") {
				w.Errorf("%d %s", a.StatusCode, signals)
			}
		})
		if a := w.post("/account/passkeys/take", w.people[mia], "credential", string(answer)); a.Header.Get("Location") != "/account/passkeys?done=passkey" {
			w.Errorf("the right session: %d to %q", a.StatusCode, a.Header.Get("Location"))
		}
		if a := w.post("/account/passkeys/take", w.people[mia], "credential", string(answer)); a.StatusCode < 400 {
			w.Errorf("the answer again: %d to %q", a.StatusCode, a.Header.Get("Location"))
		}
		w.clock.Advance(time.Hour)
		if a := w.post("/account/passkeys", w.people[eve]); a.where() != "/confirm" {
			w.Errorf("an old session: %d to %q", a.StatusCode, a.Header.Get("Location"))
		}
	})
}

// The question of a sign-in is the same for everybody, whatever the form has in it, and the refusal of one is in the language of the
// page.
func TestAttackAQuestionTellsNothingOfAccounts(t *testing.T) {
	w := newWorld(t, memory.Open(), nil)
	random := regexp.MustCompile(`"challenge":"[^"]{43}"`)
	want := random.ReplaceAllString(string(w.ask("/sign-in/passkey/ask", cookies{}).Options), "")
	for _, caller := range []string{"nobody", keeper, "owing", "blocked"} {
		for _, email := range []string{"", keeper, "nobody@example.org"} {
			got := string(w.ask("/sign-in/passkey/ask", w.people[caller], "email", email, "user", w.users[keeper]).Options)
			if got = random.ReplaceAllString(got, ""); got != want || strings.Contains(got, "challenge") || strings.Contains(got, "allowCredentials") {
				t.Errorf("%s, %s: %s, want %s", caller, email, got, want)
			}
		}
	}
	for lang, sentence := range map[string]string{"en": "The passkey does not exist.", "de": "Diesen Passkey gibt es nicht."} {
		jar := cookies{sessionCookie: w.people[eve][sessionCookie], "language": lang}
		a := w.send(request{method: http.MethodPost, target: "/factor/passkey/ask", form: values(), cookies: jar, headers: http.Header{"Accept": {"*/*"}}})
		if a.StatusCode != http.StatusNotFound || !strings.Contains(a.body, `"message":"`+sentence+`"`) {
			t.Errorf("%s: %d %s", lang, a.StatusCode, a.body)
		}
	}
}
