package web_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/web"
)

func TestReadJSONTakesOneObjectInUTF8(t *testing.T) {
	type body struct {
		Email string `json:"email"`
		Stay  bool   `json:"stay"`
	}
	h := newHost(t, latchkey.Policy{}, func(c *web.Config) { c.MaxBody = 100 })
	for text, want := range map[string]int{
		`{"email":"ada@example.org","stay":true}`: 200, `{}`: 200, ` {"other":1} ` + "\n": 200, `{"email":"` + strings.Repeat("x", 200) + `"}`: 413,
		``: 400, `[]`: 400, `null`: 400, `{"email":1}`: 400, `{"email":"a","email":"b"}`: 400, `{"Email":"a"}`: 400, `{"email":"\ud800"}`: 400, "{\"email\":\"\xff\"}": 400, `{} {}`: 400, `{"email":"a"`: 400,
	} {
		res := send(h.Handle(func(_ http.ResponseWriter, r *http.Request) error {
			var b body
			return web.ReadJSON(r, &b)
		}), request{method: "POST", accept: machine, body: text, kind: "application/json; charset=utf-8"})
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", text, res.StatusCode, want)
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json2", "application/json;;"} {
		r := request{method: "POST", body: `{}`, kind: kind}.make()
		var b body
		if err := web.ReadJSON(r, &b); !errors.Is(err, latchkey.ErrArgumentInvalid) {
			t.Errorf("content type %q: %v", kind, err)
		}
	}
}

func TestJSONAnswersWithTheValueOrTheError(t *testing.T) {
	h, all := callers(t)
	value, err := any(map[string]int{"n": 1}), error(nil)
	handlers := map[string]http.Handler{
		"JSON":        h.Handle(web.JSON(func(http.ResponseWriter, *http.Request) (any, error) { return value, err })),
		"AccountJSON": h.Require(web.AccountJSON(func(http.ResponseWriter, *http.Request, *latchkey.Account) (any, error) { return value, err })),
	}
	expect := func(status int, want string) {
		t.Helper()
		for name, handler := range handlers {
			res := send(handler, request{accept: machine, cookies: all["signed in"]})
			body, _ := io.ReadAll(res.Body)
			if kind := res.Header.Get("Content-Type"); res.StatusCode != status || string(body) != want || (kind == "application/json") != (want != "") {
				t.Errorf("%s: %d %s as %q", name, res.StatusCode, body, kind)
			}
		}
	}
	expect(200, "{\"n\":1}\n")
	value = nil
	expect(204, "")
	value, err = "x", latchkey.ErrUserBlocked
	expect(403, `{"code":403,"type":"user_blocked","message":"The user is blocked"}`+"\n")
	value, err = func() {}, nil
	expect(500, `{"code":500,"type":"general_server_error","message":"Something went wrong; try again later"}`+"\n")
}
