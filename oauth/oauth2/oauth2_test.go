package oauth2

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/web"
)

// The verifier and the challenge of RFC 7636, appendix B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

const (
	callback = "https://app.example.org/callback"
	secret   = "a:b%c+d e/&=\u00e9"
)

// service is a service that speaks plain OAuth 2.0.
type service struct {
	*httptest.Server
	token, profile http.HandlerFunc
	asked          atomic.Int64 // requests of the token endpoint
}

// newService starts a service that knows one person, and a provider for it.
func newService(t *testing.T, change func(c *Config)) (*service, *Provider) {
	t.Helper()
	s := &service{
		token:   answer("application/json", `{"access_token":"access","token_type":"bearer","refresh_token":"refresh","expires_in":60}`),
		profile: answer("application/json", `{"id":1,"email":"ada@example.org","verified":true,"name":"Ada"}`),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { s.asked.Add(1); s.token(w, r) })
	mux.HandleFunc("GET /profile", func(w http.ResponseWriter, r *http.Request) { s.profile(w, r) })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	c := Config{
		Name: "forge", Issuer: "https://forge.example.com", ClientID: "client", ClientSecret: hidden.New(secret), Scopes: []string{"user"}, Private: true, TrustEmail: true,
		Authorization: s.URL + "/authorize", Token: s.URL + "/token", Profile: s.URL + "/profile",
		Mapping: Mapping{Subject: "id", Email: "email", Verified: "verified", Name: "name"},
	}
	if change != nil {
		change(&c)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return s, p
}

// answer answers every request with a text.
func answer(media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		_, _ = io.WriteString(w, body)
	}
}

func flow(scopes ...string) *oauth.Flow {
	return &oauth.Flow{
		RedirectURL: callback, Scopes: scopes, State: hidden.New("s"), Nonce: hidden.New("n"), Verifier: hidden.New(verifier), Now: time.Unix(1_000_000, 0),
		Callback: oauth.Callback{Code: hidden.New("code")},
	}
}

func TestNewRefusesWhatIsNoConfiguration(t *testing.T) {
	at := "https://a.example.com"
	good := Config{Name: "a", Issuer: at, ClientID: "x", Authorization: at, Token: at, Profile: at, Mapping: Mapping{Subject: "id"}}
	if p, err := New(good); err != nil || p.Info() != (oauth.Info{Name: "a", Issuer: at}) {
		t.Errorf("%+v, %v", p.Info(), err)
	}
	for name, change := range map[string]func(c *Config){
		"no name": func(c *Config) { c.Name = "" }, "no issuer": func(c *Config) { c.Issuer = "" }, "no client": func(c *Config) { c.ClientID = "" }, "no subject": func(c *Config) { c.Mapping.Subject = "" },
		"http": func(c *Config) { c.Token = "http://a.example.com" }, "no profile": func(c *Config) { c.Profile = "" }, "a relative address": func(c *Config) { c.Authorization = "/x" },
		"an unknown way": func(c *Config) { c.Auth = "x" }, "basic without a secret": func(c *Config) { c.Auth = Basic }, "post without a secret": func(c *Config) { c.Auth = Post },
	} {
		c := good
		change(&c)
		if p, err := New(c); err == nil || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheAddressOfTheAuthorization(t *testing.T) {
	for name, row := range map[string]struct {
		change func(c *Config)
		scopes []string
		more   url.Values
	}{
		"as it is": {nil, nil, url.Values{"scope": {"user"}}}, "more scopes": {nil, []string{"a", "b"}, url.Values{"scope": {"user a b"}}}, "commas": {func(c *Config) { c.Separator = "," }, []string{"a"}, url.Values{"scope": {"user,a"}}}, "no scope": {func(c *Config) { c.Scopes = nil }, nil, nil},
		"parameters": {func(c *Config) {
			c.Parameters = url.Values{"allow_signup": {"false"}, "state": {"x"}, "client_id": {"x"}, "redirect_uri": {"x"}, "response_type": {"token"}, "scope": {"x"}, "code_challenge": {"x"}, "code_challenge_method": {"plain"}}
		}, nil, url.Values{"scope": {"user"}, "allow_signup": {"false"}}},
		"without PKCE": {func(c *Config) { c.NoPKCE = true }, nil, url.Values{"scope": {"user"}, "code_challenge": nil, "code_challenge_method": nil}},
	} {
		s, p := newService(t, row.change)
		address, err := p.Authorize(t.Context(), flow(row.scopes...))
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{"state": {"s"}, "client_id": {"client"}, "redirect_uri": {callback}, "response_type": {"code"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}}
		for name, values := range row.more {
			if want[name] = values; values == nil {
				delete(want, name)
			}
		}
		if got := u.Query(); fmt.Sprint(got) != fmt.Sprint(want) || !strings.HasPrefix(address, s.URL+"/authorize?") {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// The client proves itself in one way, in one request, and sends the verifier.
func TestExchange(t *testing.T) {
	for name, row := range map[string]struct {
		change       func(c *Config)
		basic        bool
		id, password any // in the body
	}{
		"as it is": {nil, true, nil, nil}, "basic": {func(c *Config) { c.Auth = Basic }, true, nil, nil}, "post": {func(c *Config) { c.Auth = Post }, false, "client", secret}, "none": {func(c *Config) { c.ClientSecret = hidden.Text{} }, false, "client", nil},
	} {
		s, p := newService(t, row.change)
		inner := s.token
		s.token = func(w http.ResponseWriter, r *http.Request) {
			id, password, basic := r.BasicAuth()
			if basic != row.basic || basic && (id != "client" || password != url.QueryEscape(secret)) {
				t.Errorf("%s: %v, %q, %q", name, basic, id, password)
			}
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			want := url.Values{"grant_type": {"authorization_code"}, "code": {"code"}, "redirect_uri": {callback}, "code_verifier": {verifier}}
			for key, value := range map[string]any{"client_id": row.id, "client_secret": row.password} {
				if text, is := value.(string); is {
					want.Set(key, text)
				}
			}
			if fmt.Sprint(r.PostForm) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", name, r.PostForm, want)
			}
			inner(w, r)
		}
		tokens, err := p.Exchange(t.Context(), flow())
		if err != nil || tokens.Access.Reveal() != "access" || tokens.Refresh.Reveal() != "refresh" || !tokens.Expire.Equal(time.Unix(1_000_060, 0)) || s.asked.Load() != 1 {
			t.Errorf("%s: %+v, %v, %d requests", name, tokens, err, s.asked.Load())
		}
	}
	s, p := newService(t, func(c *Config) { c.NoPKCE = true })
	s.token = func(w http.ResponseWriter, r *http.Request) {
		if _ = r.ParseForm(); r.PostForm.Has("code_verifier") {
			t.Error("a service without PKCE gets the verifier")
		}
		answer("application/x-www-form-urlencoded", "access_token=a%2Bb&token_type=bearer&scope=user%2Crepo")(w, r)
	}
	if tokens, err := p.Exchange(t.Context(), flow()); err != nil || tokens.Access.Reveal() != "a+b" || !tokens.Refresh.IsZero() || !tokens.Expire.IsZero() {
		t.Errorf("a form: %+v, %v", tokens, err)
	}
	asked := s.asked.Load()
	for issuer, want := range map[string]error{"https://forge.example.com": nil, "https://evil.example.com": errAnother, "https://forge.example.com/": errAnother} {
		f := flow()
		f.Callback.Issuer = issuer
		if _, err := p.Exchange(t.Context(), f); err != want {
			t.Errorf("%s: %v", issuer, err)
		}
	}
	if s.asked.Load() != asked+1 {
		t.Errorf("%d requests for callbacks of another issuer", s.asked.Load()-asked-1)
	}
}

func TestRefresh(t *testing.T) {
	s, p := newService(t, nil)
	var got url.Values
	s.token = func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got = r.PostForm
		answer("application/json", `{"access_token":"new","expires_in":60}`)(w, r)
	}
	tokens, err := p.Refresh(t.Context(), &oauth.Grant{Refresh: hidden.New("old")})
	if err != nil || tokens.Access.Reveal() != "new" || fmt.Sprint(got) != "map[grant_type:[refresh_token] refresh_token:[old]]" || !tokens.Refresh.IsZero() && tokens.Refresh.Reveal() != "old" || time.Until(tokens.Expire) > time.Minute {
		t.Errorf("%+v, %v, %v", tokens, err, got)
	}
	for body, want := range map[string]error{`{"error":"invalid_grant","error_description":"hide-me"}`: oauth.ErrRefused, `{"error":"hide-me"}`: web.ErrToken, `{"error":{"code":"hide-me"}}`: web.ErrToken, `{}`: web.ErrToken, `hide-me`: web.ErrJSON} {
		s.token = answer("application/json", body) // with status 200, as some services do
		if _, err := p.Refresh(t.Context(), &oauth.Grant{Refresh: hidden.New("old")}); err != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// A profile is read by its mapping: subjects to the last digit, names exactly, and only the truth
// value true proves an address.
func TestProfile(t *testing.T) {
	nested := Mapping{Subject: "data.user.id", Email: "data.emails.0.value", Verified: "data.emails.0.ok", Name: "data.user.name"}
	plain := Mapping{Subject: "id", Email: "email", Verified: "verified", Name: "name"}
	for _, row := range []struct {
		mapping                    Mapping
		body, subject, email, name string
		verified                   bool
	}{
		{plain, `{"id":1,"email":"a@example.org","verified":true,"name":"Ada"}`, "1", "a@example.org", "Ada", true},
		{plain, `{"id":9007199254740993}`, "9007199254740993", "", "", false}, {plain, `{"id":18446744073709551615}`, "18446744073709551615", "", "", false}, {plain, `{"id":0}`, "0", "", "", false},
		{plain, `{"id":"9007199254740993"}`, "9007199254740993", "", "", false}, {plain, `{"id":" x "}`, " x ", "", "", false}, {plain, `{"id":"\u0031"}`, "1", "", "", false}, {plain, `{"id":"é"}`, "é", "", "", false},
		{plain, `{"id":"x","email":null,"verified":null,"name":null}`, "x", "", "", false}, {plain, `{"id":"x","email":"","verified":true}`, "x", "", "", true}, {plain, `{"id":"x","EMAIL":"b@example.org","ID":"y"}`, "x", "", "", false},
		{plain, `{"id":"x","email":"a@example.org","verified":"true"}`, "x", "a@example.org", "", false}, {plain, `{"id":"x","verified":1}`, "x", "", "", false}, {plain, `{"id":"x","verified":[true]}`, "x", "", "", false}, {plain, `{"id":"x","verified":false}`, "x", "", "", false},
		{nested, `{"data":{"user":{"id":7,"name":"Ada"},"emails":[{"value":"a@example.org","ok":true},{"value":"b@example.org"}]}}`, "7", "a@example.org", "Ada", true},
		{nested, `{"data":{"user":{"id":7},"emails":[]}}`, "7", "", "", false}, {nested, `{"data":{"user":{"id":7}}}`, "7", "", "", false}, {nested, `{"data":{"user":{"id":7},"emails":{"0":{"value":"a@example.org"}}}}`, "7", "a@example.org", "", false}, {nested, `{"data":{"user":{"id":7},"emails":null}}`, "7", "", "", false},
		{Mapping{Subject: "id"}, `{"id":1,"email":"a@example.org","verified":true,"name":"Ada"}`, "1", "", "", false}, {Mapping{Subject: "a.1"}, `{"a":["x","y"]}`, "y", "", "", false},
	} {
		s, p := newService(t, func(c *Config) { c.Mapping = row.mapping })
		s.profile = answer("application/json; charset=utf-8", row.body)
		who, err := p.Profile(t.Context(), flow(), &oauth.Tokens{Access: hidden.New("access")})
		want := oauth.Profile{Issuer: "https://forge.example.com", Subject: row.subject, Email: row.email, EmailVerified: row.verified, Name: row.name}
		if err != nil || *who != want {
			t.Errorf("%s: %+v, %v", row.body, who, err)
		}
	}
	for _, body := range []string{
		`{}`, `{"id":null}`, `{"id":""}`, `{"id":" "}`, `{"id":"\t\u00a0"}`, `{"id":true}`, `{"id":1.5}`, `{"id":1.0}`, `{"id":1e3}`, `{"id":-1}`, `{"id":-0}`, `{"id":18446744073709551616}`, `{"id":[1]}`, `{"id":{"id":1}}`, `{"id":01}`, `{"ID":1}`,
		`{"id":1,"id":2}`, `{"id":1,"\u0069d":2}`, `{"id":1,"x":{"a":1,"a":2}}`, `{"id":1,"email":["a@example.org"]}`, `{"id":1,"email":1}`, `{"id":1,"name":{}}`, `[{"id":1}]`, `null`, `1`, ``, `{"id":1}{}`, "\ufeff" + `{"id":1}`, "{\"id\":\"\xff\"}", `{"id":"\ud800"}`, `<html>`,
		`{"id":1,"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, `{"id":1,"x":"` + strings.Repeat("x", web.AnswerSize) + `"}`, `{"error":"hide-me"}`,
	} {
		s, p := newService(t, nil)
		s.profile = answer("application/json", body)
		var failure oauth.Failure
		if who, err := p.Profile(t.Context(), flow(), &oauth.Tokens{Access: hidden.New("access")}); who != nil || !errors.As(err, &failure) || strings.Contains(err.Error(), "hide-me") {
			t.Errorf("%.40s: %+v, %v", body, who, err)
		}
	}
	_, p := newService(t, func(c *Config) { c.TrustEmail = false })
	if who, err := p.Profile(t.Context(), flow(), &oauth.Tokens{Access: hidden.New("access")}); err != nil || who.EmailVerified || who.Email != "ada@example.org" {
		t.Errorf("a service that is not trusted: %+v, %v", who, err)
	}
}

// The profile endpoint gets the token of the person, and answers with 200 and JSON at its own place.
func TestTheProfileEndpoint(t *testing.T) {
	s, p := newService(t, func(c *Config) {
		c.Header = http.Header{"x-version": {"1"}, "Authorization": {"x"}, "Accept": {"x"}}
	})
	inner := s.profile
	s.profile = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access" || r.Header.Get("X-Version") != "1" || r.Header.Get("Accept") != "application/json" || len(r.Header["Authorization"]) != 1 {
			t.Errorf("%v", r.Header)
		}
		inner(w, r)
	}
	tokens := &oauth.Tokens{Access: hidden.New("access")}
	for range 2 {
		if _, err := p.Profile(t.Context(), flow(), tokens); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.Profile(t.Context(), flow(), &oauth.Tokens{Access: hidden.New("hide-me\r\nX-Evil: 1")}); err != web.ErrUnreachable {
		t.Errorf("a token with a line break: %v", err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"a page": {answer("text/html", "hide-me"), web.ErrType}, "a text": {answer("text/plain", `{"id":1}`), web.ErrType}, "401": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, web.ErrStatus}, "201": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) }, web.ErrStatus},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, web.ErrRedirect}, "packed": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			answer("application/json", "x")(w, r)
		}, web.ErrEncoding},
	} {
		s.profile = row.handler
		if _, err := p.Profile(t.Context(), flow(), tokens); err != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Close()
	if _, err := p.Profile(t.Context(), flow(), tokens); err != web.ErrUnreachable {
		t.Errorf("a service that has gone: %v", err)
	}
}

// A profile that is taken has one reading: that of any other reader of JSON.
func FuzzProfile(f *testing.F) {
	providers := make([]*Provider, 0, 2)
	for _, m := range []Mapping{{Subject: "id", Email: "email", Verified: "verified", Name: "name"}, {Subject: "a.0.id", Email: "a.0.email", Verified: "a.0.verified", Name: "a.0.name"}} {
		p, err := New(Config{Name: "a", Issuer: "https://a.example.com", ClientID: "x", Authorization: "https://a.example.com", Token: "https://a.example.com", Profile: "https://a.example.com", TrustEmail: true, Mapping: m})
		if err != nil {
			f.Fatal(err)
		}
		providers = append(providers, p)
	}
	for _, body := range []string{
		`{"id":1,"email":"a@example.org","verified":true,"name":"Ada"}`, `{"id":9007199254740993}`, `{"id":"x","id":"y"}`, `{"id":"x","ID":"y"}`, `{"id":1e3}`, `{"id":-1}`, `{"id":null}`, `{"id":" "}`, `{"id":"\ud800"}`, "{\"id\":\"\xff\"}", `{"id":"\u0000"}`,
		`{"a":[{"id":7,"email":"a@example.org","verified":true}]}`, `{"a":{"0":{"id":"x"}}}`, `{"a":[]}`, `{"a":null}`, `[]`, ``, `<html>`, `{"error":"x"}`, `{"id":1,"email":[]}`, `{"id":1,"verified":"true"}`, `{"id":18446744073709551616}`, "\ufeff{}",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for i, p := range providers {
			fields, err := web.Read(body)
			var who *oauth.Profile
			if err == nil {
				who, err = p.read(fields)
			}
			if err != nil {
				var failure oauth.Failure
				if !errors.As(err, &failure) {
					t.Errorf("%q: %v", body, err)
				}
				continue
			}
			d := json.NewDecoder(bytes.NewReader(body))
			d.UseNumber()
			var plain map[string]any
			if err := d.Decode(&plain); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			if i == 1 {
				switch list := plain["a"].(type) {
				case []any:
					plain, _ = list[0].(map[string]any)
				case map[string]any:
					plain, _ = list["0"].(map[string]any)
				}
			}
			subject := fmt.Sprint(plain["id"])
			if n, is := plain["id"].(json.Number); is {
				whole, ok := new(big.Int).SetString(n.String(), 10)
				if !ok {
					t.Fatalf("%q: the subject is %q", body, who.Subject)
				}
				subject = whole.String()
			}
			if who.Subject != subject || strings.TrimSpace(who.Subject) == "" || who.EmailVerified != (plain["verified"] == true) || who.Email != "" && plain["email"] != who.Email || who.Name != "" && strings.TrimSpace(fmt.Sprint(plain["name"])) != who.Name {
				t.Errorf("%q is %+v", body, who)
			}
		}
	})
}
