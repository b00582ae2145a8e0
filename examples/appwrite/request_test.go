package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/store/memory"
)

// wire is a host of its own, called without an SDK.
type wire struct {
	*testing.T
	*host
}

func newWire(t *testing.T) wire {
	t.Helper()
	c, err := readConfig(func(name string) string {
		return map[string]string{"SECRET": "for tests only", "API_KEY": "key", "RATE_LIMITS": "off"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	s := memory.Open()
	h, err := newHost(c, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.engine.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return wire{t, h}
}

const asJSON, asForm = "application/json", "application/x-www-form-urlencoded"

// call makes a request and returns its status, its answer and the text of that.
func (w wire) call(method, target, kind, body string, header ...string) (int, map[string]any, string) {
	w.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("X-Appwrite-Project", "default")
	r.Header.Set("Content-Type", kind)
	for i := 0; i < len(header); i += 2 {
		r.Header[header[i]] = []string{header[i+1]}
	}
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	text := recorder.Body.String()
	answer := make(map[string]any)
	if text != "" && json.Unmarshal([]byte(text), &answer) != nil {
		w.Fatalf("%s %s: %s", method, target, text)
	}
	if strings.Contains(text, "\uFFFD") || strings.Contains(strings.ToLower(text), `\ufffd`) {
		w.Errorf("%s %s: another character in place of a byte: %s", method, target, text)
	}
	return recorder.Code, answer, text
}

// signUp makes a user and a session, and returns the user's id and the session's value.
func (w wire) signUp(id string) (session string) {
	w.Helper()
	body := fmt.Sprintf(`{"userId":%q,"email":"%s@example.org","password":"correct horse","name":"Before"}`, id, id)
	if status, _, text := w.call(http.MethodPost, "/v1/account", asJSON, body); status != http.StatusCreated {
		w.Fatal(text)
	}
	if status, _, text := w.call(http.MethodPost, "/v1/account/sessions/email", asJSON, body); status != http.StatusCreated {
		w.Fatal(text)
	}
	made, err := w.server.CreateSession(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return encodeSession(made)
}

func (w wire) user(id string) *latchkey.User {
	w.Helper()
	user, err := w.server.Get(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return user
}

var server = []string{"X-Appwrite-Key", "key"}

// H-26: a body is read in one way, or refused.
func TestH26BodiesAreReadStrictly(t *testing.T) {
	w := newWire(t)
	w.signUp("ada")
	for name, body := range map[string]string{
		"twice": `{"name":"One","name":"Two"}`, "twice and equal": `{"name":"One","name":"One"}`, "twice by an escape": `{"name":"One","n\u0061me":"Two"}`,
		"an unknown one twice": `{"name":"One","x":1,"x":2}`, "twice below": `{"name":"One","x":[{"y":1,"y":2}]}`,
		"a byte": "{\"name\":\"On\xffe\"}", "a byte elsewhere": "{\"name\":\"One\",\"x\":\"\xff\"}", "a byte in a name": "{\"name\":\"One\",\"\xff\":1}", "overlong": "{\"name\":\"On\xc0\xafe\"}",
		"a surrogate in bytes": "{\"name\":\"On\xed\xa0\x80e\"}", "a surrogate": `{"name":"On\ud800e"}`, "a low surrogate": `{"name":"On\udfffe"}`, "a surrogate elsewhere": `{"name":"One","x":{"\ud800":1}}`,
		"more": `{"name":"One"}{}`, "a mark of order": "\uFEFF{\"name\":\"One\"}", "a comma": `{"name":"One",}`, "UTF-16": "{\x00\"\x00n\x00", "only in another case": `{"NAME":"One"}`, "null": "null",
		"deep": `{"name":"One","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
	} {
		status, answer, text := w.call(http.MethodPatch, "/v1/users/ada/name", asJSON, body, server...)
		if status != http.StatusBadRequest || answer["type"] != "general_argument_invalid" {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if got := w.user("ada").Name; got != "Before" {
			t.Fatalf("%s: the name is %q", name, got)
		}
	}
	for body, want := range map[string]string{
		`{"name":"One","NAME":"Two","Name":"Three"}`: "One", `{"Name":"Three","name":"One"}`: "One", `{"name":"One","more":{"Name":[1e999]}}`: "One",
		`{"name":"\ud83d\ude00 \u00e4"}`: "\U0001F600 ä", "{\"name\":\"a\u0308 \uFFFC\U0010FFFF\"}": "a\u0308 \uFFFC\U0010FFFF", `{"n\u0061me":"One"}`: "One",
	} {
		if status, _, text := w.call(http.MethodPatch, "/v1/users/ada/name", asJSON, body, server...); status != http.StatusOK || w.user("ada").Name != want {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	for _, body := range []string{`{"prefs":{"a":1,"a":2}}`, `{"prefs":{"a":"\ud800"}}`, "{\"prefs\":{\"a\":\"\xff\"}}", `{"prefs":{"a":1},"prefs":{}}`, `{"PREFS":{"a":1}}`} {
		if status, _, text := w.call(http.MethodPatch, "/v1/users/ada/prefs", asJSON, body, server...); status != http.StatusBadRequest || string(w.user("ada").Prefs) != "{}" {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	// No flag comes from a second or a re-cased name.
	for _, body := range []string{`{"status":true,"status":false}`, `{"STATUS":false}`, `{"stat\u0075s":true,"status":false}`} {
		if status, _, text := w.call(http.MethodPatch, "/v1/users/ada/status", asJSON, body, server...); status != http.StatusBadRequest || !w.user("ada").Status {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
}

// H-26: the same for forms and for the parameters of a query.
func TestH26FormsAreReadStrictly(t *testing.T) {
	w := newWire(t)
	w.signUp("ada")
	for name, form := range map[string]string{
		"a byte": "name=On%ffe", "a raw byte": "name=On\xffe", "overlong": "name=%c0%af", "a surrogate": "name=%ed%a0%80", "a byte elsewhere": "name=One&x=%ff", "a byte in a name": "name=One&%ff=1",
		"twice": "name=One&name=Two", "half an escape": "name=One%f", "a byte in a list": "name=One&x[]=%ff", "only in another case": "NAME=One",
	} {
		if status, answer, text := w.call(http.MethodPatch, "/v1/users/ada/name", asForm, form, server...); status != http.StatusBadRequest || answer["type"] != "general_argument_invalid" {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if got := w.user("ada").Name; got != "Before" {
			t.Fatalf("%s: the name is %q", name, got)
		}
	}
	if status, _, text := w.call(http.MethodPatch, "/v1/users/ada/name", asForm, "name=%f0%9f%98%80+a%cc%88&Name=Two", server...); status != http.StatusOK || w.user("ada").Name != "\U0001F600 a\u0308" {
		t.Errorf("%d %s", status, text)
	}
	limit := "queries[]=" + url.QueryEscape(`{"method":"limit","values":[1]}`)
	if status, _, text := w.call(http.MethodGet, "/v1/users/ada/logs?"+limit, "", "", server...); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	for name, query := range map[string]string{
		"a byte": "total=%ff", "a byte elsewhere": "x=%ff&" + limit, "twice": "total=0&total=1", "half an escape": "x=%f",
	} {
		if status, answer, text := w.call(http.MethodGet, "/v1/users/ada/logs?"+query, "", "", server...); status != http.StatusBadRequest || answer["type"] != "general_argument_invalid" {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for name, query := range map[string]string{
		"a method twice":        "queries[]=" + url.QueryEscape(`{"method":"limit","method":"offset","values":[1]}`),
		"values twice":          "queries[]=" + url.QueryEscape(`{"method":"limit","values":[1],"values":[2]}`),
		"a re-cased method":     "queries[]=" + url.QueryEscape(`{"Method":"limit","values":[1]}`),
		"a surrogate elsewhere": "queries[]=" + url.QueryEscape(`{"method":"limit","values":[1],"x":"\ud800"}`),
	} {
		if status, answer, text := w.call(http.MethodGet, "/v1/users/ada/logs?"+query, "", "", server...); status != http.StatusBadRequest || answer["type"] != "general_query_invalid" {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

// H-26: segments of a path and headers are refused, or change nothing.
func TestH26PathsAndHeadersAreReadStrictly(t *testing.T) {
	w := newWire(t)
	session := w.signUp("ada")
	const prefix = "/v1/users/"
	for _, bad := range []string{"%ff", "ada%ff", "%c0%af", "%ed%a0%80", "%EF%BF%BD"} {
		for _, r := range [][2]string{
			{http.MethodGet, prefix + bad}, {http.MethodPatch, prefix + bad + "/name"}, {http.MethodDelete, prefix + bad}, {http.MethodDelete, prefix + "ada/sessions/" + bad},
			{http.MethodGet, "/v1/account/sessions/" + bad}, {http.MethodDelete, "/v1/account/sessions/" + bad}, {http.MethodDelete, prefix + "ada/mfa/authenticators/" + bad},
		} {
			header := server
			if strings.HasPrefix(r[1], "/v1/account") {
				header = []string{"X-Appwrite-Session", session}
			}
			if status, answer, text := w.call(r[0], r[1], asJSON, `{"name":"One"}`, header...); status != http.StatusBadRequest || answer["type"] != "general_argument_invalid" {
				t.Errorf("%s %s: %d %s", r[0], r[1], status, text)
			}
		}
	}
	if status, _, _ := w.call(http.MethodGet, "/v1/%ff", "", ""); status != http.StatusNotFound {
		t.Errorf("an unknown route: %d", status)
	}
	for _, project := range []string{"default\xff", "\xff", "DEFAULT"} {
		if status, _, _ := w.call(http.MethodGet, "/v1/account", "", "", "X-Appwrite-Project", project); status != http.StatusNotFound {
			t.Errorf("project %q: %d", project, status)
		}
	}
	for _, token := range []string{"\xff", "a.b.c\xff", "a.\xed\xa0\x80.c"} {
		if status, answer, text := w.call(http.MethodGet, "/v1/account", "", "", "X-Appwrite-Jwt", token); status != http.StatusUnauthorized || answer["type"] != "user_jwt_invalid" {
			t.Errorf("JWT %q: %d %s", token, status, text)
		}
	}
	text, err := base64.StdEncoding.DecodeString(session)
	if err != nil {
		t.Fatal(err)
	}
	var v sessionValue
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	encoded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	good := fmt.Sprintf(`{"id":"ada","secret":%q}`, v.Secret)
	for name, value := range map[string]string{
		"the secret twice":     encoded(fmt.Sprintf(`{"id":"ada","secret":"x","secret":%q}`, v.Secret)),
		"the id twice":         encoded(fmt.Sprintf(`{"id":"bob","id":"ada","secret":%q}`, v.Secret)),
		"re-cased":             encoded(fmt.Sprintf(`{"ID":"ada","Secret":%q}`, v.Secret)),
		"a byte":               encoded(fmt.Sprintf("{\"id\":\"ada\",\"secret\":%q,\"x\":\"\xff\"}", v.Secret)),
		"half of a surrogate":  encoded(fmt.Sprintf(`{"id":"ada","secret":%q,"x":"\ud800"}`, v.Secret)),
		"more":                 encoded(good + "{}"),
		"bits behind the text": strings.TrimRight(encoded(good+" "), "=")[:len(strings.TrimRight(encoded(good+" "), "="))-1] + "B",
	} {
		for _, header := range [][]string{
			{"X-Appwrite-Session", value}, {"Cookie", "a_session_default=" + url.QueryEscape(value)}, {"X-Fallback-Cookies", fmt.Sprintf(`{"a_session_default":%q}`, value)},
		} {
			if status, answer, text := w.call(http.MethodGet, "/v1/account", "", "", header...); status != http.StatusUnauthorized || answer["type"] != "general_unauthorized_scope" {
				t.Errorf("%s in %s: %d %s", name, header[0], status, text)
			}
		}
	}
	for name, header := range map[string]string{
		"twice": fmt.Sprintf(`{"a_session_default":"x","a_session_default":%q}`, session), "a byte": fmt.Sprintf("{\"a_session_default\":%q,\"x\":\"\xff\"}", session),
		"re-cased": fmt.Sprintf(`{"A_session_default":%q}`, session), "half of a surrogate": fmt.Sprintf(`{"a_session_default":%q,"\udc00":1}`, session),
	} {
		if status, _, text := w.call(http.MethodGet, "/v1/account", "", "", "X-Fallback-Cookies", header); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for _, header := range [][]string{
		{"X-Appwrite-Session", session}, {"X-Appwrite-Session", strings.TrimRight(session, "=")}, {"Cookie", "a_session_default=" + url.QueryEscape(session)},
		{"X-Fallback-Cookies", fmt.Sprintf(`{"a_session_default":%q}`, session)},
		{"X-Appwrite-Session", session, "User-Agent", "agent\xff", "X-Appwrite-Locale", "de\xff", "Accept-Language", "\xff"},
	} {
		if status, answer, text := w.call(http.MethodGet, "/v1/account", "", "", header...); status != http.StatusOK || answer["$id"] != "ada" {
			t.Errorf("%v: %d %s", header, status, text)
		}
	}
}
