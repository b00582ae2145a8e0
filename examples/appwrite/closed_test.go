package main

import (
	"net/http"
	"testing"

	"example.com/latchkey/store/memory"
)

// newWireOf is newWire with more of the environment.
func newWireOf(t *testing.T, more map[string]string) wire {
	t.Helper()
	env := map[string]string{"SECRET": "for tests only", "API_KEY": "key", "RATE_LIMITS": "off", "SMTP_ADDR": "127.0.0.1:1"}
	for name, value := range more {
		env[name] = value
	}
	c, err := readConfig(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	s := memory.Open()
	h, err := newHost(c, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.engine.Close() // the mails have nowhere to go
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return wire{t, h}
}

// What is new beside the documented API is off unless the environment says otherwise.
func TestTheDocumentedAPIIsOpenUnlessTheEnvironmentSaysOtherwise(t *testing.T) {
	const body = `{"userId":"ada","email":"ada@example.org","password":"correct horse"}`
	open := newWireOf(t, nil)
	if status, _, text := open.call(http.MethodPost, "/v1/account", asJSON, body); status != http.StatusCreated {
		t.Errorf("open: %s", text)
	}
	session := open.signUp("bob")
	if status, _, text := open.call(http.MethodGet, "/v1/account", asJSON, "", "X-Appwrite-Session", session); status != http.StatusOK {
		t.Errorf("an unproven user: %s", text)
	}
	closed := newWireOf(t, map[string]string{"SIGN_UP": "closed"})
	for _, target := range []string{"/v1/account", "/v1/account/sessions/anonymous"} {
		if status, answer, _ := closed.call(http.MethodPost, target, asJSON, body); status != http.StatusForbidden || answer["type"] != "user_signup_closed" {
			t.Errorf("closed, %s: %d %v", target, status, answer)
		}
	}
	if status, _, text := closed.call(http.MethodPost, "/v1/users", asJSON, body, server...); status != http.StatusCreated {
		t.Errorf("closed, the server: %s", text)
	}
	if _, err := readConfig(func(name string) string {
		return map[string]string{"SECRET": "for tests only", "SIGN_UP": "ajar"}[name]
	}); err == nil {
		t.Error("SIGN_UP=ajar is taken")
	}
}

func TestASessionOfAnUnprovenUserProvesCorrectsAndLeaves(t *testing.T) {
	w := newWireOf(t, map[string]string{"REQUIRE_VERIFIED_EMAIL": "true"})
	session := []string{"X-Appwrite-Session", w.signUp("ada")}
	for _, c := range []struct {
		method, target, body string
		status               int
		kind                 any
	}{
		{http.MethodGet, "/v1/account", "", http.StatusPreconditionFailed, "user_email_verification_required"},
		{http.MethodPatch, "/v1/account/name", `{"name":"Ada"}`, http.StatusPreconditionFailed, "user_email_verification_required"},
		{http.MethodGet, "/v1/account/mfa/factors", "", http.StatusPreconditionFailed, "user_email_verification_required"},
		{http.MethodGet, "/v1/teams", "", http.StatusPreconditionFailed, "user_email_verification_required"},
		{http.MethodPost, "/v1/account/verifications/email", `{"url":"http://localhost/verify"}`, http.StatusCreated, nil},
		{http.MethodPatch, "/v1/account/email", `{"email":"countess@example.org","password":"wrong horse"}`, http.StatusUnauthorized, "user_invalid_credentials"},
		{http.MethodPatch, "/v1/account/email", `{"email":"countess@example.org","password":"correct horse"}`, http.StatusOK, nil},
		{http.MethodPut, "/v1/account/verifications/email", `{"userId":"ada","secret":"no link"}`, http.StatusUnauthorized, "user_invalid_token"},
		{http.MethodDelete, "/v1/account/sessions/another", "", http.StatusPreconditionFailed, "user_email_verification_required"},
		{http.MethodDelete, "/v1/account/sessions/current", "", http.StatusNoContent, nil},
		{http.MethodGet, "/v1/account", "", http.StatusUnauthorized, "general_unauthorized_scope"},
	} {
		status, answer, text := w.call(c.method, c.target, asJSON, c.body, session...)
		if status != c.status || answer["type"] != c.kind && c.kind != nil {
			t.Errorf("%s %s: %d %s", c.method, c.target, status, text)
		}
	}
	if got := w.user("ada").Email; got != "countess@example.org" {
		t.Errorf("the address is %s", got)
	}
}

// The documented service refuses parameters by their form before it compares anything.
func TestAPasswordOfAnotherFormIsAnInvalidParameter(t *testing.T) {
	w := newWireOf(t, nil)
	w.signUp("ada")
	for target, body := range map[string]string{
		"/v1/account/sessions/email": `{"email":"ada@example.org","password":""}`,
		"/v1/account/email":          `{"email":"countess@example.org","password":""}`,
		"/v1/account/phone":          `{"phone":"+14155550100","password":""}`,
	} {
		method, session := http.MethodPost, []string(nil)
		if target != "/v1/account/sessions/email" {
			method, session = http.MethodPatch, []string{"X-Appwrite-Session", w.signUp("user" + target[len("/v1/account/"):])}
		}
		if status, answer, text := w.call(method, target, asJSON, body, session...); status != http.StatusBadRequest || answer["type"] != "general_argument_invalid" {
			t.Errorf("%s: %s", target, text)
		}
	}
}
