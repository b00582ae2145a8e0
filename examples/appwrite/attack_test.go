package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// paramNames are the names of all parameters of the API.
var paramNames = []string{
	"userId", "email", "password", "name", "phone", "oldPassword", "prefs", "url", "phrase", "secret", "duration", "sessionId", "length", "expire",
	"labels", "status", "emailVerification", "phoneVerification", "mfa", "number", "queries", "total", "search", "factor", "challengeId", "otp",
}

// oddValues are values of parameters, in JSON.
var oddValues = []string{
	`""`, `"\u0000"`, `"a\u0000b"`, `"\u202e"`, `"\ufffe"`, `"` + strings.Repeat("a", 5000) + `"`, `-1`, `0`, `1`, `1.5`, `1e400`, `9223372036854775808`, `true`, `null`, `[]`, `{}`, `[""]`, `["\u0000"]`,
	`{"a":{"b":[1e400]}}`, `"unique()"`, `"current"`, `"recent"`, `"https://localhost/\u0000"`, `"javascript:alert(1)"`, `"+14155550100"`, `"ada@example.org"`, `"totp"`, `"ada"`,
}

// Whatever a caller sends, no route answers with a fault of the server, and no answer has a
// text of the inside.
func TestAttackNoRequestIsAFaultOfTheServer(t *testing.T) {
	for who := range 3 {
		w := newWire(t)
		session := w.signUp("ada")
		w.signUp("bob")
		header := [][]string{{}, {"X-Appwrite-Session", session}, server}[who]
		for _, r := range routes {
			if r.method == del && (r.scope == account || r.scope == owing || r.scope == users) { // would end the session of this test
				continue
			}
			for _, path := range r.paths {
				for _, id := range []string{"ada", "nobody", "%00", "a%00b", "..", "%2e%2e", "%0a", strings.Repeat("a", 3000)} {
					target := strings.NewReplacer("{userId}", id, "{sessionId}", id, "{type}", id).Replace(path)
					for _, value := range oddValues {
						if strings.HasSuffix(path, "/account/status") { // blocks
							continue
						}
						var all []string
						form := url.Values{}
						for _, name := range paramNames {
							all = append(all, fmt.Sprintf("%q:%s", name, value))
							form.Set(name, strings.Trim(value, `"`))
						}
						kind, body, to := asJSON, "{"+strings.Join(all, ",")+"}", target
						if r.method == get {
							body, to = "", target+"?"+form.Encode()
						}
						status, _, text := w.call(r.method, to, kind, body, header...)
						if status >= 500 && status != http.StatusNotImplemented && status != http.StatusServiceUnavailable || strings.Contains(text, "store:") || strings.Contains(text, "latchkey:") {
							t.Errorf("%d %s %.60s %.40s: %d %.200s", who, r.method, to, value, status, text)
						}
						if target == path {
							continue
						}
					}
					if !strings.Contains(path, "{") {
						break
					}
				}
			}
		}
	}
}

// A query that no store can hold is the caller's mistake.
func TestAttackAQueryOfNULIsNoFaultOfTheServer(t *testing.T) {
	w := newWire(t)
	w.signUp("ada")
	for _, q := range []string{
		`{"method":"equal","attribute":"email","values":["\u0000"]}`, `{"method":"equal","attribute":"$id","values":["a\u0000"]}`, `{"method":"equal","attribute":"phone","values":["\u0000"]}`,
		`{"method":"or","values":[{"method":"equal","attribute":"name","values":["\u0000"]}]}`, `{"method":"cursorAfter","values":["\u0000"]}`, `{"method":"page","values":["\u0000"]}`,
		`{"method":"limit","values":[-2147483648]}`, `{"method":"offset","values":[2147483647]}`, `{"method":"lessThan","attribute":"$createdAt","values":["9999-12-31T23:59:59-23:59"]}`,
	} {
		status, _, text := w.call(http.MethodGet, "/v1/users?queries[]="+url.QueryEscape(q), "", "", server...)
		if status >= 500 {
			t.Errorf("%s: %d %s", q, status, text)
		}
	}
}

// HEAD answers as GET does and changes nothing; OPTIONS asks nothing; another method finds
// nothing; every answer says its type.
func TestMethodsOfEveryRoute(t *testing.T) {
	w := newWire(t)
	session := w.signUp("ada")
	for _, r := range routes {
		for _, path := range r.paths {
			target := strings.NewReplacer("{userId}", "ada", "{sessionId}", "current", "{type}", "totp").Replace(path)
			for _, method := range []string{http.MethodHead, http.MethodOptions, http.MethodTrace, "BREW", http.MethodConnect} {
				for _, header := range [][]string{nil, {"X-Appwrite-Session", session}, server} {
					q := httptest.NewRequest(method, target, nil)
					q.Header.Set("X-Appwrite-Project", "default")
					for i := 0; i < len(header); i += 2 {
						q.Header.Set(header[i], header[i+1])
					}
					recorder := httptest.NewRecorder()
					w.ServeHTTP(recorder, q)
					if recorder.Code >= 500 || recorder.Result().Header.Get("Set-Cookie") != "" || recorder.Code < 300 && method != http.MethodHead && method != http.MethodOptions {
						t.Errorf("%s %s: %d", method, target, recorder.Code)
					}
					if recorder.Header().Get("Content-Type") != "application/json" {
						t.Errorf("%s %s: %v", method, target, recorder.Header())
					}
				}
			}
		}
	}
	if user := w.user("ada"); !user.Status {
		t.Error("blocked")
	}
}
