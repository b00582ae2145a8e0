package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
)

// AC-075: a name is resolved, and its address is refused on the connection itself.
func TestAC075NamesOfTheHostAreNotReached(t *testing.T) {
	reached := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	client := NewClient(false, nil)
	for _, address := range []string{server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), strings.Replace(server.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), "http://169.254.169.254/latest/meta-data/"} {
		r, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Do(t.Context(), client, r, 100); err != ErrAddress {
			t.Errorf("%s: %v", address, err)
		}
	}
	if reached {
		t.Error("the server was reached")
	}
	t.Setenv("HTTP_PROXY", server.URL) // a proxy would connect in the place of the client
	if proxy := client.Transport.(*http.Transport).Proxy; proxy != nil {
		t.Error("the client uses a proxy")
	}
}

func TestCheckURL(t *testing.T) {
	for address, want := range map[string][2]bool{ // of the internet, and with Private
		"https://a.example.com": {true, true}, "https://a.example.com:8443/x?y=z": {true, true}, "HTTPS://a.example.com": {true, true}, "https://127.0.0.1": {true, true}, // the connection decides
		"http://a.example.com": {false, true}, "": {}, "/x": {}, "https:": {}, "https:///x": {}, "https://u@a.example.com": {}, "https://u:p@a.example.com": {}, "https://a.example.com#x": {},
		"ftp://a.example.com": {}, "file:///etc/passwd": {}, "javascript:alert(1)": {}, "data:text/html,x": {}, "//a.example.com": {}, "https://a.example.com/%zz": {}, "https://a b": {}, "https://a.example.com\n": {}, "unix:///x": {},
	} {
		for i, private := range []bool{false, true} {
			if err := CheckURL(address, private); (err == nil) != want[i] {
				t.Errorf("%q, %v: %v", address, private, err)
			}
		}
	}
}

// A service that does not answer, or not to the end, fails the call in the time of the client.
func TestACallEnds(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	client := NewClient(true, nil)
	if client.Timeout != CallTime {
		t.Errorf("a call may take %s", client.Timeout)
	}
	client.Timeout = 50 * time.Millisecond
	for _, path := range []string{"/never", "/slow"} {
		var into struct{}
		if err := Get(t.Context(), client, server.URL+path, 100, &into); err != ErrUnreachable {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var into struct{}
	if err := Get(ctx, NewClient(true, nil), server.URL, 100, &into); err != ErrUnreachable {
		t.Errorf("a caller who has gone: %v", err)
	}
	if err := Get(t.Context(), client, "http://a b", 100, &into); err != ErrAddress {
		t.Errorf("an address that is none: %v", err)
	}
}

// The sizes are exact.
func TestAnAnswerIsCutAtItsSize(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "Application/JSON; charset=utf-8")
		_, _ = io.WriteString(w, `{"x":"`+strings.Repeat("x", 92)+`"}`) // 100 bytes
	}))
	defer server.Close()
	for size, want := range map[int64]error{99: ErrSize, 100: nil, 101: nil, 0: ErrSize} {
		var into struct {
			X string `json:"x"`
		}
		if err := Get(t.Context(), NewClient(true, nil), server.URL, size, &into); err != want || err == nil && len(into.X) != 92 {
			t.Errorf("%d: %v", size, err)
		}
	}
}

func TestDecodeKnowsADepth(t *testing.T) {
	nested := func(n int) string {
		return `{"x":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
	}
	for text, want := range map[string]error{
		"{}": nil, nested(MaxDepth): nil, nested(MaxDepth + 1): ErrJSON, nested(1 << 20): ErrJSON, strings.Repeat("{\"a\":", 1<<16): ErrJSON, "": ErrJSON, "[]": ErrJSON, "null": ErrJSON, "{} {}": ErrJSON, "\ufeff{}": ErrJSON,
	} {
		var into struct{}
		if err := Decode([]byte(text), &into); err != want {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// answering plays a token endpoint.
type answering struct {
	status      int
	media, body string
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {a.media}}, Body: io.NopCloser(strings.NewReader(a.body)), Request: r,
	}, nil
}

// redeem redeems a code at a token endpoint.
func redeem(ctx context.Context, a answering, form Form) (*oauth.Tokens, error) {
	config := oauth2.Config{ClientID: "id", ClientSecret: "hide-me", Endpoint: oauth2.Endpoint{TokenURL: "https://a.example.com/token", AuthStyle: oauth2.AuthStyleInHeader}}
	endpoint := &TokenEndpoint{Client: &http.Client{Transport: a}, Form: form}
	return endpoint.Redeem(ctx, time.Unix(1_000_000, 0), func(ctx context.Context) (*oauth2.Token, error) {
		return config.Exchange(ctx, "hide-me")
	})
}

// Tokens in a form are for services without OpenID Connect alone. The errors show nothing of the
// answer.
func TestRedeemReadsForms(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for body, want := range map[string]error{
		"access_token=a&token_type=bearer&expires_in=60&scope=x+y&refresh_token=r": nil, "access_token=a": nil, "access_token=a&expires_in=": nil,
		"": ErrToken, "access_token=": ErrToken, "token_type=bearer": ErrToken, "error=hide-me&access_token=a": ErrToken, "error=invalid_grant": oauth.ErrRefused, "access_token=a&access_token=b": ErrType, "access_token=a&x=1&x=2": ErrType, "access_token=%zz": ErrType, "access_token=a;b=c": ErrType,
		"access_token=a&token_type=mac": ErrTokenType, "access_token=a&expires_in=soon": ErrExpiry, "access_token=a&expires_in=-1": ErrExpiry, "access_token=a&expires_in=1.5": ErrExpiry, "access_token=a&expires_in=315360001": ErrExpiry,
	} {
		for _, media := range []string{form, "text/plain; charset=utf-8"} {
			tokens, err := redeem(t.Context(), answering{200, media, body}, AnyForm)
			if err != want || (err == nil) != (tokens != nil) || tokens != nil && tokens.Access.Reveal() != "a" {
				t.Errorf("%s: %v, %v", body, tokens, err)
			}
			if strings.Contains(fmt.Sprintf("%+v", err), "hide-me") {
				t.Errorf("%s: %+v", body, err)
			}
		}
		if _, err := redeem(t.Context(), answering{200, form, body}, JSON); err != ErrType {
			t.Errorf("%s as JSON: %v", body, err)
		}
	}
	tokens, err := redeem(t.Context(), answering{200, form, "access_token=a&expires_in=60&scope=x+y&refresh_token=r"}, AnyForm)
	if err != nil || !tokens.Expire.Equal(time.Unix(1_000_060, 0)) || fmt.Sprint(tokens.Scopes) != "[x y]" || tokens.Refresh.Reveal() != "r" || !tokens.ID.IsZero() {
		t.Errorf("%+v, %v", tokens, err)
	}
	if tokens, err := redeem(t.Context(), answering{200, form, "access_token=a&expires_in=0"}, AnyForm); err != nil || !tokens.Expire.IsZero() || tokens.Scopes != nil {
		t.Errorf("%+v, %v", tokens, err)
	}
}

func TestFailureOfShowsNothing(t *testing.T) {
	hide := errors.New("hide-me")
	for _, v := range []struct {
		err, want error
	}{
		{hide, ErrUnreachable}, {fmt.Errorf("x: %w", ErrSize), ErrSize}, {&oauth2.RetrieveError{ErrorCode: "invalid_grant", Body: []byte("hide-me")}, oauth.ErrRefused}, {&oauth2.RetrieveError{ErrorCode: "hide-me"}, ErrToken}, {&oauth2.RetrieveError{Body: []byte("hide-me")}, ErrToken},
		{fmt.Errorf("x: %w", &oauth2.RetrieveError{ErrorCode: "invalid_scope"}), oauth.Failure("the token endpoint answers invalid_scope")},
	} {
		if got := FailureOf(v.err); got != v.want || strings.Contains(got.Error(), "hide-me") {
			t.Errorf("%v: %v", v.err, got)
		}
	}
}

// The library reads the answer once more. It must read the same tokens, and take none that were
// refused.
func FuzzTokenAnswer(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a","token_type":"Bearer","expires_in":3600,"id_token":"x","scope":"a b","refresh_token":"r"}`, `{"access_token":"a","access_token":"b"}`, `{"access_token":"a","ACCESS_TOKEN":"b"}`, `{"error":"x"}`, `{"ok":false}`, `{"access_token":{}}`,
		`{"access_token":"a","expires_in":"60"}`, `{"access_token":"a","expires_in":1.5}`, `{"access_token":"a","expires_in":-1}`, `{"access_token":"a","expires_in":99999999999999999999}`, `{"access_token":"a","scope":["a"]}`, `{"access_token":"a","error":{}}`,
		"access_token=a&scope=b", "access_token=a&access_token=b", "<html>", "\ufeff{}", "", "{\"access_token\":\"\xff\"}", `{"access_token":"\ud800"}`, `{"access_to` + "\u212a" + `en":"a"}`, strings.Repeat("[", 100),
	} {
		f.Add(200, "application/json", body)
		f.Add(200, "application/x-www-form-urlencoded", body)
		f.Add(400, "text/plain", body)
		f.Add(201, "application/json", body)
	}
	f.Fuzz(func(t *testing.T, status int, media, body string) {
		for _, form := range []Form{JSON, AnyForm} {
			tokens, err := redeem(t.Context(), answering{status, media, body}, form)
			if (err == nil) != (tokens != nil) {
				t.Fatalf("%v, %v", tokens, err)
			}
			var failure oauth.Failure
			if err != nil {
				if !errors.As(err, &failure) && err != oauth.ErrRefused {
					t.Errorf("%v", err)
				}
				continue
			}
			if status != 200 || tokens.Access.IsZero() {
				t.Errorf("%d, %v", status, tokens)
			}
			var read struct {
				Access  string `json:"access_token"`
				Refresh string `json:"refresh_token"`
				ID      string `json:"id_token"`
			}
			if a, _, _ := strings.Cut(strings.ToLower(media), ";"); form == JSON || strings.HasSuffix(strings.TrimSpace(a), "json") {
				if Decode([]byte(body), &read) != nil || read.Access != tokens.Access.Reveal() || read.Refresh != tokens.Refresh.Reveal() || read.ID != tokens.ID.Reveal() {
					t.Errorf("%q is %+v", body, read)
				}
			}
			if life := tokens.Expire.Sub(time.Unix(1_000_000, 0)); !tokens.Expire.IsZero() && (life <= 0 || life > maxExpiry*time.Second) {
				t.Errorf("%s", life)
			}
		}
	})
}

// tripper answers requests in the place of the internet.
type tripper func(r *http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answered is an answer with a status.
func answered(status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(`{"access_token":"a"}`))}
}

// A revocation is the request of RFC 7009, by the client as it is, and only 200 and 204 are its success.
func TestRevokeIsThatOfTheStandard(t *testing.T) {
	for _, v := range []struct {
		secret string
		style  oauth2.AuthStyle
		grant  oauth.Grant
		want   string
	}{
		{"", oauth2.AuthStyleInParams, oauth.Grant{Access: hidden.New("a"), Refresh: hidden.New("r")}, "client_id=id&token=r&token_type_hint=refresh_token"},
		{"s", oauth2.AuthStyleInParams, oauth.Grant{Access: hidden.New("a")}, "client_id=id&client_secret=s&token=a&token_type_hint=access_token"},
		{"s", oauth2.AuthStyleInHeader, oauth.Grant{Refresh: hidden.New("r")}, "token=r&token_type_hint=refresh_token"},
	} {
		for status, fails := range map[int]bool{200: false, 204: false, 201: true, 202: true, 302: true, 400: true, 401: true, 503: true} {
			transport := tripper(func(r *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(r.Body)
				_, _, basic := r.BasicAuth()
				if err != nil || string(body) != v.want || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || basic != (v.style == oauth2.AuthStyleInHeader) {
					t.Errorf("%s %s, %v, %v", r.Method, body, r.Header, err)
				}
				return answered(status), nil
			})
			e := &TokenEndpoint{Client: NewClient(false, transport), Form: JSON}
			c := &oauth2.Config{ClientID: "id", ClientSecret: v.secret, Endpoint: oauth2.Endpoint{AuthStyle: v.style}}
			if err := e.Revoke(t.Context(), "https://a.example.com/revoke", c, &v.grant); (err != nil) != fails {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
}

// A transport of the host has the bounds of our own, and a request is changed on a copy.
func TestATransportOfTheHostIsBounded(t *testing.T) {
	calls := 0
	client := NewClient(false, tripper(func(r *http.Request) (*http.Response, error) {
		calls++
		a := answered(307)
		a.Header.Set("Location", "https://169.254.169.254/")
		return a, nil
	}))
	var into struct{}
	if err := Get(t.Context(), client, "https://a.example.com", 100, &into); err != ErrRedirect || calls != 1 || client.Timeout != CallTime {
		t.Errorf("%v, %d calls, %s", err, calls, client.Timeout)
	}
	seen := 0
	client = NewClient(false, tripper(func(r *http.Request) (*http.Response, error) {
		if seen++; r.Header.Get("Accept") != "application/json" || r.Header.Get("X-Changed") != "yes" {
			t.Errorf("%v", r.Header)
		}
		return answered(200), nil
	}))
	fault := errors.New("no")
	for _, failure := range []error{nil, fault} {
		watched := Watched(client, 100, func(r *http.Request) error {
			r.Header.Set("X-Changed", "yes")
			return failure
		}, func(*Answer) error { return nil })
		r, err := http.NewRequest(http.MethodPost, "https://a.example.com", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := watched.Do(r)
		if !errors.Is(err, failure) || len(r.Header) != 0 {
			t.Errorf("%v, %v", err, r.Header)
		}
		if answer != nil {
			_ = answer.Body.Close()
		}
	}
	if seen != 1 {
		t.Errorf("%d requests are sent", seen)
	}
}

// A plus becomes %20 in the query, where it is a space, and stays in the path, where it is itself.
func TestAPlusInThePathStays(t *testing.T) {
	c := &oauth2.Config{ClientID: "a b", Scopes: []string{"x", "y"}, Endpoint: oauth2.Endpoint{AuthURL: "https://a.example.com/a+b"}}
	address := AuthorizationURL(c, &oauth.Flow{RedirectURL: "https://app.example.org/a+b"}, url.Values{}, " ")
	if page, query, _ := strings.Cut(address, "?"); page != "https://a.example.com/a+b" || strings.Contains(query, "+") || !strings.Contains(query, "scope=x%20y") || !strings.Contains(query, "a%2Bb") {
		t.Error(address)
	}
}

// ok:false is a failure, also beside a token.
func TestATokenBesideOKFalseIsNone(t *testing.T) {
	for body, want := range map[string]error{
		`{"ok":false,"access_token":"a"}`: ErrToken, `{"error":{"code":1},"access_token":"a"}`: ErrToken, `{"ok":false,"error":"hide-me"}`: ErrToken, `{"ok":true,"access_token":"a"}`: nil,
	} {
		for _, form := range []Form{JSON, AnyForm} {
			if _, err := redeem(t.Context(), answering{200, "application/json", body}, form); err != want {
				t.Errorf("%s: %v", body, err)
			}
		}
	}
}
