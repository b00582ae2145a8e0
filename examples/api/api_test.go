package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/web"
)

// client calls the API as a browser or as a program, and compares every answer with openapi.json.
type client struct {
	t       *testing.T
	kit     *authtest.Kit
	url     string
	http    *http.Client
	bearer  string
	schemas *jsonschema.Compiler
	called  map[string]bool // operations that have succeeded
}

func newClient(t *testing.T) *client {
	t.Helper()
	const base web.Base = page
	kit := authtest.New(t, latchkey.Config{RedirectHosts: base.Hosts(), Passkeys: newPasskeys(base)})
	api, err := newAPI(kit.Engine, base)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, kit: kit, url: server.URL, schemas: jsonschema.NewCompiler(), called: make(map[string]bool)}
	c.schemas.AssertFormat()
	if err := c.schemas.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	c.forget()
	return c
}

// forget makes the client one without cookies.
func (c *client) forget() {
	jar, _ := cookiejar.New(nil) // never fails
	c.http, c.bearer = &http.Client{Jar: jar}, ""
}

// do calls an operation and returns its answer. path has the parameters filled in.
func (c *client) do(method, template, path string, body any, want int) map[string]any {
	c.t.Helper()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		c.fits(pointer(template, method)+"/requestBody/content/application~1json/schema", text)
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, content)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	res, err := c.http.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		c.t.Fatalf("%s %s: %d %s, %v", method, path, res.StatusCode, text, err)
	}
	answer := "default"
	if want < 300 {
		answer = strconv.Itoa(want)
		c.called[strings.ToLower(method)+" "+template] = true
	}
	at := pointer(template, method) + "/responses/" + answer
	if want == http.StatusNoContent {
		if _, err := c.schemas.Compile("openapi.json#" + at); err != nil || len(text) > 0 {
			c.t.Errorf("%s %s: %q, %v", method, path, text, err)
		}
		return nil
	}
	c.fits(at+"/content/application~1json/schema", text)
	var value map[string]any
	if err := json.Unmarshal(text, &value); err != nil {
		c.t.Fatal(err)
	}
	return value
}

// pointer returns the place of an operation in openapi.json.
func pointer(template, method string) string {
	return "/paths/" + url.PathEscape(strings.ReplaceAll(template, "/", "~1")) + "/" + strings.ToLower(method)
}

// fits compares a text with a schema in openapi.json.
func (c *client) fits(at string, text []byte) {
	c.t.Helper()
	schema, err := c.schemas.Compile("openapi.json#" + at)
	if err != nil {
		c.t.Fatalf("openapi.json lacks %s: %v", at, err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		c.t.Errorf("%s: %s: %v", at, text, err)
	}
}

// routes returns the routes in the source.
func routes(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, name := range []string{"api.go", "passkeys.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, is := n.(*ast.BasicLit)
			if is && lit.Kind == token.STRING {
				text, _ := strconv.Unquote(lit.Value)
				if method, path, found := strings.Cut(text, " "); found && strings.HasPrefix(path, "/") {
					all[strings.ToLower(method)+" "+path] = true
				}
			}
			return true
		})
	}
	return all
}

type body = map[string]any

// Every operation is called once or more, in the order of a user's life, by a browser and by a program.
func TestTheAPIIsAsOpenAPISays(t *testing.T) {
	c := newClient(t)
	const email, password = "ada@example.org", "correct horse battery"
	c.do("GET", "/healthz", "/healthz", nil, 200)
	c.do("GET", "/account", "/account", nil, 401)
	c.do("POST", "/account", "/account", body{"email": email, "password": "short"}, 400)
	c.do("POST", "/account", "/account", body{"email": email, "password": password, "name": "Ada"}, 200)
	c.do("POST", "/account", "/account", body{"email": email, "password": password}, 409)
	c.do("POST", "/sessions/password", "/sessions/password", body{"email": email, "password": "a wrong one"}, 401)
	first := c.do("POST", "/sessions/password", "/sessions/password", body{"email": email, "password": password}, 200)
	if first["secret"] != nil {
		t.Error("a browser gets the secret of its session")
	}
	c.do("GET", "/account", "/account", nil, 200)
	c.do("POST", "/verification", "/verification", nil, 200)
	link := c.link(email)
	c.do("PUT", "/verification", "/verification", body{"userId": link.Get("userId"), "secret": link.Get("secret")}, 200)
	c.do("PUT", "/account/name", "/account/name", body{"name": "Ada L"}, 200)
	c.do("DELETE", "/sessions/current", "/sessions/current", nil, 204)
	c.do("GET", "/account", "/account", nil, 401)

	c.do("POST", "/tokens/link", "/tokens/link", body{"email": email}, 200)
	link = c.link(email)
	c.do("POST", "/sessions/token", "/sessions/token", body{"userId": link.Get("userId"), "secret": link.Get("secret")}, 200)
	made := c.do("POST", "/tokens/code", "/tokens/code", body{"email": email}, 200)
	c.forget()
	program := c.do("POST", "/sessions/token", "/sessions/token", body{"userId": made["userId"], "secret": c.kit.Mail(email).Secret.Reveal(), "bearer": true}, 200)
	c.do("GET", "/account", "/account", nil, 401)
	c.bearer = program["secret"].(string)
	c.do("GET", "/account", "/account", nil, 200)
	list := c.do("GET", "/sessions", "/sessions", nil, 200)
	if n := len(list["sessions"].([]any)); n != 2 {
		t.Errorf("%d sessions", n)
	}
	for _, s := range list["sessions"].([]any) {
		if other := s.(body); other["current"] == false {
			c.do("DELETE", "/sessions/{id}", "/sessions/"+other["$id"].(string), nil, 204)
		}
	}
	c.do("DELETE", "/sessions/{id}", "/sessions/unknown", nil, 404)

	team := c.do("POST", "/teams", "/teams", body{"name": "Editors"}, 200)
	members := "/teams/" + team["$id"].(string) + "/memberships"
	c.do("POST", "/teams/{id}/memberships", members, body{"email": "bob@example.org", "roles": []string{"writer"}}, 200)
	c.do("GET", "/teams/{id}/memberships", members, nil, 200)
	c.do("GET", "/teams", "/teams", nil, 200)

	app := c.do("POST", "/authenticator", "/authenticator", nil, 200)
	authenticator, err := authtest.NewAuthenticator(c.kit.Clock, app["uri"].(string))
	if err != nil {
		t.Fatal(err)
	}
	c.do("PUT", "/authenticator", "/authenticator", body{"otp": "000000"}, 401)
	c.do("PUT", "/authenticator", "/authenticator", body{"otp": authenticator.Code()}, 200)
	c.forget()
	c.bearer = c.do("POST", "/sessions/password", "/sessions/password", body{"email": email, "password": password, "bearer": true}, 200)["secret"].(string)
	c.do("PUT", "/account/mfa", "/account/mfa", body{"mfa": true}, 200)
	c.bearer = c.do("POST", "/sessions/password", "/sessions/password", body{"email": email, "password": password, "bearer": true}, 200)["secret"].(string)
	if owed := c.do("GET", "/account", "/account", nil, 401); owed["type"] != latchkey.ErrMoreFactorsRequired.Type {
		t.Errorf("a factor is owed: %v", owed)
	}
	c.do("GET", "/factors", "/factors", nil, 200)
	challenge := c.do("POST", "/challenges", "/challenges", body{"factor": "totp"}, 200)
	c.kit.Clock.Advance(time.Minute)
	c.bearer = c.do("PUT", "/challenges/{id}", "/challenges/"+challenge["$id"].(string), body{"otp": authenticator.Code(), "bearer": true}, 200)["secret"].(string)
	c.do("PUT", "/account/password", "/account/password", body{"password": "another horse battery", "oldPassword": password}, 200)
	c.do("GET", "/log", "/log", nil, 200)
	c.do("GET", "/log", "/log?page=wrong", nil, 400)
	c.do("DELETE", "/account", "/account", nil, 204)

	c.forget()
	c.do("POST", "/account", "/account", body{"email": "zoe@example.org", "password": password}, 200)
	c.do("POST", "/recovery", "/recovery", body{"email": "zoe@example.org"}, 200)
	link = c.link("zoe@example.org")
	c.do("PUT", "/recovery", "/recovery", body{"userId": link.Get("userId"), "secret": link.Get("secret"), "password": "another horse battery"}, 200)

	c.passkeys("eve@example.org", password)

	var document struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(openAPI, &document); err != nil {
		t.Fatal(err)
	}
	described := make(map[string]bool)
	for path, methods := range document.Paths {
		for method := range methods {
			described[method+" "+path] = true
		}
	}
	inSource := routes(t)
	delete(inSource, "get /openapi.json")
	if !maps.Equal(described, inSource) {
		t.Errorf("openapi.json has %v, and the source %v", slices.Sorted(maps.Keys(described)), slices.Sorted(maps.Keys(inSource)))
	}
	for operation := range described {
		if !c.called[operation] {
			t.Errorf("%s was not called", operation)
		}
	}
}

// link returns the parameters of the link in the next mail to an address.
func (c *client) link(to string) url.Values {
	c.t.Helper()
	u, err := url.Parse(c.kit.Mail(to).Link.Reveal())
	if err != nil {
		c.t.Fatal(err)
	}
	return u.Query()
}

func TestABrowserOfAnotherSiteIsRefused(t *testing.T) {
	c := newClient(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/sessions/password", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestThrottlingTellsWhenToComeBack(t *testing.T) {
	c := newClient(t)
	for range 20 {
		text, _ := json.Marshal(body{"email": "ada@example.org", "password": "a wrong one"})
		res, err := c.http.Post(c.url+"/sessions/password", "application/json", bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusTooManyRequests {
			continue
		}
		c.fits(pointer("/sessions/password", "post")+"/responses/default/content/application~1json/schema", answer)
		if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err != nil || seconds < 1 {
			t.Errorf("Retry-After: %v", res.Header)
		}
		return
	}
	t.Error("twenty wrong passwords are not throttled")
}
