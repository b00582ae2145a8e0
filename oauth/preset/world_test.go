package preset_test

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
)

const (
	clientID     = "the client"
	clientSecret = "a:b%c+d e/&="
)

// service is a service of the world, as its documents describe it. What is written here comes from
// those, and not from the table.
type service struct {
	options preset.Options // of the host, beside its client

	authorize string // the page to which the browser is sent
	scope     string // that it gets
	query     string // other parameters that it gets, as a query
	callback  string // parameters beside code and state that it sends back, as a query
	formPost  string // the member user of a form post; "" for a callback by GET

	token   string // the token endpoint
	auth    string // basic, post, none, or apple
	json    bool   // requests of tokens are JSON
	answer  string // of the token endpoint, without ID token
	media   string // of that answer; "" means JSON
	refresh string // the endpoint of a refresh, "" if there is none
	revoke  string // the endpoint that takes tokens back, "" if there is none
	// accessAlone says that it takes access tokens, without a hint. tokenHeader is one that requests of
	// tokens have.
	accessAlone bool
	tokenHeader string

	// calls are the answers to calls with the access token, by method and address with query.
	calls map[string]string
	// bearer is what stands before the access token in the header Authorization; "none" if the token is
	// in the query. header is another one that each call has.
	bearer, header string

	// Of OpenID Connect: the issuer, the claims of the ID token beside the times and the nonce, what the
	// discovery document has beside the endpoints, and the address of it.
	issuer, claims, discovery, document string
	noNonce, noPKCE                     bool   // noPKCE: a verifier is refused
	keysAt                              string // of keys that no document names
	keysOf                              string // the issuer that the keys name

	// who is the person under the default trust, and trusted whether the address counts if the host
	// trusts the service.
	who     oauth.Profile
	trusted bool
	// Where the person stands in the answer of a call (by its address, "" for the token answer, and
	// "claims" for the ID token), for the hostile variants.
	in                   string
	subject, email, flag string // paths; flag is "" if there is none
	texts                bool   // the flag may be a text
}

// world is a service that runs in process, under the addresses of its documents.
type world struct {
	t *testing.T
	*service
	key   *rsa.PrivateKey
	clock *authtest.Clock

	mu        sync.Mutex
	challenge string
	nonce     string
	seen      []string // the requests, by what they are
	// hostile changes an answer: the address is that of the service, "token" for the token endpoint,
	// "discovery" and "keys".
	hostile func(address string, a *answer)
	// token changes the claims of an ID token, and sign the token.
	change func(claims map[string]any)
	sign   func(payload []byte) string
}

// answer is one of the service.
type answer struct {
	status int
	header http.Header
	body   []byte
	stream io.Reader // in the place of the body
}

// signingKey is the key of every service: a key takes long to make.
var signingKey = sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// provider returns the provider of a row that speaks with the world.
func (w *world) provider(name string, change func(o *preset.Options)) *preset.Provider {
	w.t.Helper()
	o := w.options
	o.ClientID, o.Transport, o.Now = clientID, w, w.clock.Now
	if w.auth != "apple" {
		o.ClientSecret = hidden.New(clientSecret)
	}
	if change != nil {
		change(&o)
	}
	p, err := preset.New(name, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return p
}

// RoundTrip answers a request in the place of the internet.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	address := r.URL.Scheme + "://" + r.URL.Host + r.URL.Path
	a, name := &answer{status: 200, header: http.Header{"Content-Type": {"application/json"}}}, ""
	switch {
	case w.issuer != "" && address == w.documentAddress():
		name, a.body = "discovery", w.about()
	case w.issuer != "" && address == cmp.Or(w.keysAt, "https://keys.example.com/keys"):
		name, a.body = "keys", w.keys()
	case address == w.token || address == w.refresh && w.refresh != "":
		name = "token"
		w.tokens(r, address, a)
	case address == w.revoke && w.revoke != "":
		name = "revoke"
		form := w.form(r)
		if form.Get("token") == "" {
			w.t.Errorf("a revocation without a token: %v", form)
		}
		if w.accessAlone == form.Has("token_type_hint") {
			w.t.Errorf("a revocation with %v", form)
		}
		w.tokenHeaders(r)
		w.client(r, form)
		w.seen = append(w.seen, "revoke "+form.Get("token"))
	default:
		name = r.Method + " " + r.URL.String()
		body, known := w.calls[name]
		if !known {
			w.t.Errorf("the service has no %s", name)
			return nil, fmt.Errorf("no such host")
		}
		w.authorized(r)
		w.seen = append(w.seen, name)
		a.body = []byte(body)
	}
	if w.hostile != nil {
		w.hostile(name, a)
	}
	body := a.stream
	if body == nil {
		body = bytes.NewReader(a.body)
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(body), Request: r, ProtoMajor: 1, ProtoMinor: 1}, r.Context().Err()
}

// documentAddress is that of the discovery document.
func (w *world) documentAddress() string {
	if w.document != "" {
		return w.document
	}
	return strings.TrimSuffix(w.issuer, "/") + "/.well-known/openid-configuration"
}

// about is the discovery document.
func (w *world) about() []byte {
	d := map[string]any{
		"issuer": w.issuer, "authorization_endpoint": w.authorize, "token_endpoint": w.token, "jwks_uri": "https://keys.example.com/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
	}
	if w.revoke != "" {
		d["revocation_endpoint"] = w.revoke
	}
	for name := range w.calls {
		if method, address, _ := strings.Cut(name, " "); method == "GET" {
			d["userinfo_endpoint"] = address
		}
	}
	if w.discovery != "" {
		if err := json.Unmarshal([]byte(w.discovery), &d); err != nil {
			w.t.Error(err)
		}
	}
	text, err := json.Marshal(d)
	if err != nil {
		w.t.Error(err)
	}
	return text
}

func (w *world) keys() []byte {
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: w.key.Public(), KeyID: "key 1", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		w.t.Error(err)
	}
	if w.keysOf != "" {
		text = set(w.t, text, "keys.0.issuer", w.keysOf)
	}
	return text
}

// form reads the body of a request as the service does.
func (w *world) form(r *http.Request) url.Values {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	form := url.Values{}
	if w.json {
		var object map[string]string
		if err := json.Unmarshal(body, &object); err != nil || r.Header.Get("Content-Type") != "application/json" || r.ContentLength != int64(len(body)) {
			w.t.Errorf("%v, %s, %d", err, r.Header.Get("Content-Type"), r.ContentLength)
		}
		for name, value := range object {
			form.Set(name, value)
		}
		return form
	}
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Method != "POST" || r.URL.RawQuery != "" {
		w.t.Errorf("%s %s, %s", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	if form, err = url.ParseQuery(string(body)); err != nil {
		w.t.Error(err)
	}
	return form
}

// client checks that the client proves itself in the way of the service, and in no other one.
func (w *world) client(r *http.Request, form url.Values) {
	id, secret, basic := r.BasicAuth()
	inBody := [2]string{form.Get("client_id"), form.Get("client_secret")}
	switch w.auth {
	case "basic":
		if !basic || id != url.QueryEscape(clientID) || secret != url.QueryEscape(clientSecret) || inBody[1] != "" {
			w.t.Errorf("basic: %v, %q, %q, %q", basic, id, secret, inBody)
		}
	case "post":
		if basic || inBody != [2]string{clientID, clientSecret} {
			w.t.Errorf("post: %v, %q", basic, inBody)
		}
	case "none":
		if basic || inBody != [2]string{clientID, ""} || form.Has("client_secret") {
			w.t.Errorf("none: %v, %q", basic, inBody)
		}
	case "apple":
		if basic || inBody[0] != clientID || !w.isAppleSecret(inBody[1]) {
			w.t.Errorf("apple: %v, %q", basic, inBody)
		}
	default:
		w.t.Errorf("the service has no way of client authentication %q", w.auth)
	}
}

// tokenHeaders checks the header that requests of tokens have.
func (w *world) tokenHeaders(r *http.Request) {
	if name, value, found := strings.Cut(w.tokenHeader, ": "); found && r.Header.Get(name) != value {
		w.t.Errorf("the request has %s: %q", name, r.Header.Get(name))
	}
}

// tokens is the token endpoint.
func (w *world) tokens(r *http.Request, address string, a *answer) {
	form := w.form(r)
	w.tokenHeaders(r)
	if r.Header.Get("Accept") != "application/json" {
		w.t.Errorf("the endpoint is asked for %q", r.Header.Get("Accept"))
	}
	w.client(r, form)
	switch form.Get("grant_type") {
	case "authorization_code":
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if address != w.service.token || form.Get("code") != "the code" || form.Get("redirect_uri") != kit.CallbackURL || w.noPKCE != (form["code_verifier"] == nil) || !w.noPKCE && base64.RawURLEncoding.EncodeToString(sum[:]) != w.challenge {
			w.t.Errorf("%s: %v", address, form)
		}
		w.seen = append(w.seen, "code")
	case "refresh_token":
		if address != w.refresh || form.Get("refresh_token") == "" {
			w.t.Errorf("%s: %v", address, form)
		}
		w.seen = append(w.seen, "refresh "+form.Get("refresh_token"))
	default:
		w.t.Errorf("a grant of %q", form.Get("grant_type"))
	}
	if w.media != "" {
		a.header.Set("Content-Type", w.media)
	}
	a.body = []byte(w.service.answer)
	if w.issuer == "" {
		return
	}
	a.body = set(w.t, a.body, "id_token", w.idToken(w.nonce))
}

// idToken signs an ID token.
func (w *world) idToken(nonce string) string {
	now := w.clock.Now().Unix()
	claims := map[string]any{"iss": w.issuer, "aud": clientID, "iat": now, "exp": now + 3600}
	d := json.NewDecoder(strings.NewReader(w.claims))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		w.t.Fatal(err)
	}
	if !w.noNonce && nonce != "" {
		claims["nonce"] = nonce
	}
	if w.change != nil {
		w.change(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		w.t.Error(err)
	}
	if w.sign != nil {
		return w.sign(payload)
	}
	return w.signed(payload)
}

// signed signs a payload by the key of the service.
func (w *world) signed(payload []byte) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: w.key}, (&jose.SignerOptions{}).WithHeader("kid", "key 1").WithType("JWT"))
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := signer.Sign(payload)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := token.CompactSerialize()
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// access is the token of the service's answer.
func (w *world) access() string {
	var a struct {
		Token json.RawMessage `json:"access_token"`
	}
	if json.Unmarshal([]byte(w.service.answer), &a) != nil {
		values, _ := url.ParseQuery(w.service.answer)
		return values.Get("access_token")
	}
	var nested struct {
		Token string `json:"token"`
	}
	var text string
	if json.Unmarshal(a.Token, &text) != nil {
		_ = json.Unmarshal(a.Token, &nested)
		return nested.Token
	}
	return text
}

// authorized checks the access token of a call.
func (w *world) authorized(r *http.Request) {
	want := w.bearer + " " + w.access()
	if w.bearer == "" {
		want = "Bearer " + w.access()
	}
	if w.bearer == "none" {
		want = ""
	}
	if got := r.Header.Get("Authorization"); got != want {
		w.t.Errorf("the call has the token %q, want %q", got, want)
	}
	if name, value, found := strings.Cut(w.header, ": "); found && r.Header.Get(name) != value {
		w.t.Errorf("the call has %s: %q", name, r.Header.Get(name))
	}
	if body, err := io.ReadAll(r.Body); err != nil || len(body) > 0 || r.Header.Get("Content-Type") != "" {
		w.t.Errorf("the call has a body: %q, %v", body, err)
	}
}

// visit checks the address to which the browser is sent, and returns what the browser comes back with.
func (w *world) visit(address string) url.Values {
	w.t.Helper()
	page, query, _ := strings.Cut(address, "?")
	got, err := url.ParseQuery(query)
	if err != nil || page != w.authorize || strings.Contains(query, "+") {
		w.t.Errorf("%s, %v", address, err)
	}
	w.mu.Lock()
	w.challenge, w.nonce = got.Get("code_challenge"), got.Get("nonce")
	w.mu.Unlock()
	want, err := url.ParseQuery(w.query)
	if err != nil {
		w.t.Fatal(err)
	}
	maps.Copy(want, url.Values{
		"client_id": {clientID}, "redirect_uri": {kit.CallbackURL}, "response_type": {"code"}, "state": got["state"],
	})
	if !w.noPKCE {
		maps.Copy(want, url.Values{"code_challenge_method": {"S256"}, "code_challenge": got["code_challenge"]})
	}
	if w.scope != "" {
		want.Set("scope", w.scope)
	}
	if w.issuer != "" {
		want["nonce"] = got["nonce"]
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || !w.noPKCE && len(w.challenge) != 43 || len(got.Get("state")) > 64 || strings.Trim(got.Get("state"), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		w.t.Errorf("the page gets\n%v, want\n%v", got, want)
	}
	back, err := url.ParseQuery(w.service.callback)
	if err != nil {
		w.t.Fatal(err)
	}
	maps.Copy(back, url.Values{"state": got["state"], "code": {"the code"}})
	return back
}

// set returns a JSON object with another value at a path. A value of type json.RawMessage stays as it
// is; nil takes the member away.
func set(t *testing.T, body []byte, path string, value any) []byte {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	parts := strings.Split(path, ".")
	if strings.HasPrefix(path, "https://") {
		parts = []string{path}
	}
	at := root
	for i, name := range parts {
		last := i == len(parts)-1
		switch in := at.(type) {
		case map[string]any:
			if last && value == nil {
				delete(in, name)
			} else if last {
				in[name] = value
			}
			at = in[name]
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n >= len(in) {
				t.Fatalf("%s in %s", path, body)
			}
			if last {
				in[n] = value
			}
			at = in[n]
		default:
			t.Fatalf("%s in %s", path, body)
		}
	}
	text, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// took returns what a service has seen since the last call.
func (w *world) took() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := slices.Clone(w.seen)
	w.seen = nil
	return seen
}
