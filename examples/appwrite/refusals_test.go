package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// HEAD reads the query as GET does, and refuses the same queries.
func TestHEADReadsTheQuery(t *testing.T) {
	w := newWire(t)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		q := httptest.NewRequest(method, "/v1/users?queries[]=none", nil)
		q.Header.Set("X-Appwrite-Project", "default")
		q.Header.Set("X-Appwrite-Key", "key")
		recorder := httptest.NewRecorder()
		w.ServeHTTP(recorder, q)
		if recorder.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", method, recorder.Code)
		}
	}
}

// The browser's question is answered for every route, without a project or a session.
func TestPreflightIsAnswered(t *testing.T) {
	w := newWire(t)
	for _, r := range routes {
		for _, path := range r.paths {
			q := httptest.NewRequest(http.MethodOptions, strings.NewReplacer("{", "", "}", "").Replace(path), nil)
			q.Header.Set("Origin", "http://localhost")
			recorder := httptest.NewRecorder()
			w.ServeHTTP(recorder, q)
			if recorder.Code != http.StatusOK || recorder.Header().Get("Access-Control-Allow-Origin") != "http://localhost" {
				t.Errorf("%s: %d %v", path, recorder.Code, recorder.Header())
			}
		}
	}
}

// A panic of a handler is a fault of the server that tells nothing, and so is every error of the
// inside.
func TestAFaultTellsNothing(t *testing.T) {
	w := newWire(t)
	for name, do := range map[string]func(*call) (any, error){
		"panic": func(*call) (any, error) { panic("store: the inside") },
		"error": func(*call) (any, error) { return nil, errors.New("store: the inside") },
	} {
		recorder := httptest.NewRecorder()
		w.serve(recorder, httptest.NewRequest(http.MethodGet, "/v1/account", nil), route{method: get, scope: health, status: ok, do: do})
		answer := make(map[string]any)
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		if recorder.Code != http.StatusInternalServerError || answer["message"] != "Server Error" {
			t.Errorf("%s: %d %v", name, recorder.Code, answer)
		}
	}
}

// A parameter of another type, a part of a number and a number that does not fit are mistakes of
// the caller.
func TestParametersOfAnotherTypeAreRefused(t *testing.T) {
	w := newWire(t)
	session := w.signUp("ada")
	user := []string{"X-Appwrite-Session", session}
	for _, c := range []struct {
		method, target, kind, body string
		header                     []string
	}{
		{post, "/v1/account/jwts", asJSON, `{"duration":1.5}`, user},
		{post, "/v1/account/jwts", asJSON, `{"duration":18446744080}`, user}, // as nanoseconds in 64 bits it is 6 seconds
		{put, "/v1/users/ada/labels", asJSON, `{"labels":[1]}`, server},
		{patch, "/v1/account/prefs", asForm, `prefs=a`, user},
	} {
		if status, answer, text := w.call(c.method, c.target, c.kind, c.body, c.header...); status != http.StatusBadRequest || answer["type"] != "general_argument_invalid" {
			t.Errorf("%s %s: %d %s", c.target, c.body, status, text)
		}
	}
}

// The routes of the server ask for the key.
func TestRoutesOfTheServerAskForTheKey(t *testing.T) {
	w := newWire(t)
	session := w.signUp("ada")
	for _, r := range routes {
		if r.scope != users && r.scope != reading {
			continue
		}
		for _, path := range r.paths {
			target := strings.NewReplacer("{userId}", "ada", "{sessionId}", "a", "{targetId}", "a", "{type}", "totp").Replace(path)
			for name, header := range map[string][]string{"nobody": nil, "a user": {"X-Appwrite-Session", session}, "a wrong key": {"X-Appwrite-Key", "kez"}} {
				if status, answer, text := w.call(r.method, target, asJSON, "", header...); status != http.StatusUnauthorized || answer["type"] != "general_unauthorized_scope" {
					t.Errorf("%s %s by %s: %d %s", r.method, target, name, status, text)
				}
			}
		}
	}
}
