package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/web"
)

// page is the origin of the front end.
const page = "http://localhost:8080"

// begin calls the operation that begins a ceremony, and returns the answer of a device to its options.
func (c *client) begin(path string, in any, device func(options []byte) ([]byte, error)) json.RawMessage {
	c.t.Helper()
	options, err := json.Marshal(c.do("POST", path, path, in, 200)["options"])
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := device(options)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer
}

// passkeys calls each operation of passkeys, for a user without one.
func (c *client) passkeys(email, password string) {
	c.t.Helper()
	phone := authtest.NewDevice(page)
	typed := body{"email": email, "password": password}
	c.forget()
	c.do("POST", "/account", "/account", typed, 200)
	c.do("POST", "/sessions/password", "/sessions/password", typed, 200)
	c.do("POST", "/challenges/passkey", "/challenges/passkey", nil, 404)
	if signals := c.do("GET", "/passkeys/signals", "/passkeys/signals", nil, 200); signals["accepted"] != nil {
		c.t.Errorf("signals of a user without a passkey: %v", signals)
	}
	made := c.do("PUT", "/passkeys", "/passkeys", body{"answer": c.begin("/passkeys", nil, phone.Create), "name": "Phone"}, 200)
	if made["name"] != "Phone" || made["secondFactor"] != false {
		c.t.Errorf("%v", made)
	}
	key := c.do("PUT", "/passkeys", "/passkeys", body{"answer": c.begin("/passkeys", body{"secondFactor": true}, authtest.NewDevice(page).Create)}, 200)
	if key["name"] != "Passkey" || key["secondFactor"] != true {
		c.t.Errorf("%v", key)
	}

	// A sign-in names no user.
	c.forget()
	offer := c.do("POST", "/sessions/passkey", "/sessions/passkey", body{"conditional": true}, 200)
	if offer["options"].(body)["mediation"] != "conditional" {
		c.t.Errorf("%v", offer)
	}
	proof := c.begin("/sessions/passkey", nil, phone.Get)
	c.signedInBy(c.do("PUT", "/sessions/passkey", "/sessions/passkey", body{"answer": proof}, 200), "passkey")
	c.do("PUT", "/account/mfa", "/account/mfa", body{"mfa": true}, 200)
	c.isProblem(c.do("PUT", "/sessions/passkey", "/sessions/passkey", body{"answer": proof}, 401), latchkey.ErrPasskeyRefused.Type)
	c.forget()
	proof = c.begin("/sessions/passkey", nil, phone.Get)
	c.bearer = c.do("PUT", "/sessions/passkey", "/sessions/passkey", body{"answer": proof, "bearer": true}, 200)["secret"].(string)
	c.do("GET", "/account", "/account", nil, 200)

	// After a password the passkey is the second factor.
	c.forget()
	c.do("POST", "/sessions/password", "/sessions/password", typed, 200)
	c.isProblem(c.do("GET", "/account", "/account", nil, 401), latchkey.ErrMoreFactorsRequired.Type)
	proof = c.begin("/challenges/passkey", nil, phone.Get)
	c.signedInBy(c.do("PUT", "/challenges/passkey", "/challenges/passkey", body{"answer": proof}, 200), "password", "passkey")

	// A deletion asks for a fresh proof. Then the device offers a passkey that the service does not know.
	at := "/passkeys/" + made["$id"].(string)
	c.do("PUT", "/passkeys/{id}", at, body{"name": "Old phone"}, 200)
	c.kit.Clock.Advance(time.Hour)
	c.isProblem(c.do("DELETE", "/passkeys/{id}", at, nil, 401), latchkey.ErrChallengeRequired.Type)
	proof = c.begin("/challenges/passkey", nil, phone.Get)
	c.do("PUT", "/challenges/passkey", "/challenges/passkey", body{"answer": proof}, 200)
	c.do("DELETE", "/passkeys/{id}", at, nil, 204)
	c.isProblem(c.do("DELETE", "/passkeys/{id}", at, nil, 404), latchkey.ErrPasskeyNotFound.Type)
	list := c.do("GET", "/passkeys", "/passkeys", nil, 200)["passkeys"].([]any)
	if len(list) != 1 || list[0].(body)["$id"] != key["$id"] {
		c.t.Errorf("%v", list)
	}
	accepted := c.do("GET", "/passkeys/signals", "/passkeys/signals", nil, 200)["accepted"].(body)["allAcceptedCredentialIds"].([]any)
	c.forget()
	proof = c.begin("/sessions/passkey", nil, phone.Get)
	problem := c.do("PUT", "/sessions/passkey", "/sessions/passkey", body{"answer": proof}, 401)
	c.isProblem(problem, latchkey.ErrPasskeyUnknown.Type)
	if signal, is := problem["signal"].(body); !is || signal["rpId"] != "localhost" || slices.Contains(accepted, signal["credentialId"]) {
		c.t.Errorf("%v", problem)
	}
}

// signedInBy compares the factors of a session in a browser.
func (c *client) signedInBy(session body, factors ...string) {
	c.t.Helper()
	got, _ := session["factors"].([]any)
	same := slices.EqualFunc(got, factors, func(a any, b string) bool { return a == b })
	if !same || session["secret"] != nil {
		c.t.Errorf("%v", session)
	}
	c.do("GET", "/account", "/account", nil, 200)
}

// isProblem compares the type of a problem.
func (c *client) isProblem(problem body, kind string) {
	c.t.Helper()
	if problem["type"] != kind {
		c.t.Errorf("%v, not %s", problem, kind)
	}
}

// A device that has made a passkey for nothing is told to forget it.
func TestARefusedPasskeyIsTold(t *testing.T) {
	c := newClient(t)
	_, session := c.kit.SignIn("ada@example.org")
	c.bearer = session.Secret.Reveal()
	elsewhere := authtest.NewDevice("http://localhost:8081")
	answer := c.begin("/passkeys", nil, elsewhere.Create)
	problem := c.do("PUT", "/passkeys", "/passkeys", body{"answer": answer}, 401)
	c.isProblem(problem, latchkey.ErrPasskeyRefused.Type)
	if signal, is := problem["signal"].(body); !is || signal["credentialId"] == "" {
		t.Errorf("%v", problem)
	}
}

func TestAWrongAnswerOfADeviceIsAProblem(t *testing.T) {
	c := newClient(t)
	_, session := c.kit.SignIn("ada@example.org")
	c.bearer = session.Secret.Reveal()
	long := strings.Repeat("a", 1<<16)
	for _, path := range []string{"/sessions/passkey", "/challenges/passkey", "/passkeys"} {
		for text, want := range map[string]web.Problem{
			``:                           {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "answer"},
			`{}`:                         {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "answer"},
			`{"answer":{}}`:              {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "answer"},
			`{"answer":"text"}`:          {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "answer"},
			`{"answer":null}`:            {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "answer"},
			`{"answer":"` + long + `"}`:  {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "answer"},
			`{"answer":{},"answer":{}}`:  {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "body"},
			`{"answer":{"id":1,"id":2}}`: {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "body"},
			`{"Answer":{}}`:              {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "body"},
			`[]`:                         {Status: 400, Type: latchkey.ErrArgumentInvalid.Type, Argument: "body"},
			`{"answer":"` + strings.Repeat(long, 16) + `"}`: {Status: 413, Type: web.TypeBodyTooLarge},
		} {
			got := c.put(path, text)
			if got.Status != want.Status || got.Type != want.Type || got.Argument != want.Argument {
				t.Errorf("%s %.40s: %+v", path, text, got)
			}
		}
	}
}

// put sends a text that need not fit openapi.json, and returns the problem.
func (c *client) put(path, text string) (p web.Problem) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPut, c.url+path, strings.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+c.bearer)
	res, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || json.NewDecoder(bytes.NewReader(answer)).Decode(&p) != nil || p.Status != res.StatusCode {
		c.t.Fatalf("PUT %s: %d %s, %v", path, res.StatusCode, answer, err)
	}
	c.fits(pointer(path, "put")+"/responses/default/content/application~1json/schema", answer)
	return p
}
