package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/internal/web"
)

// The verifier and the challenge of RFC 7636, appendix B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

const callback = "https://app.example.org/callback"

// party is a provider with its issuer and a clock that stands still.
type party struct {
	*Provider
	issuer *authtest.Issuer
	clock  *authtest.Clock
	t      *testing.T
}

func newParty(t *testing.T, change func(c *Config)) *party {
	t.Helper()
	p := &party{issuer: authtest.NewIssuer(t), clock: authtest.NewClock(), t: t}
	p.issuer.NewKey("ES256")
	p.issuer.Set(func(s *authtest.IssuerSettings) { s.Now = p.clock.Now })
	s := p.issuer.Settings()
	c := Config{Issuer: p.issuer.URL, ClientID: s.ClientID, ClientSecret: s.ClientSecret, TrustEmail: true, Private: true, Now: p.clock.Now}
	if change != nil {
		change(&c)
	}
	var err error
	if p.Provider, err = New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// flow returns a sign-in that is about to begin.
func (p *party) flow(scopes ...string) *oauth.Flow {
	return &oauth.Flow{RedirectURL: callback, Scopes: scopes, State: hidden.New("s"), Nonce: hidden.New("n"), Verifier: hidden.New(verifier), Now: p.clock.Now()}
}

// redeem signs in and returns the tokens.
func (p *party) redeem(scopes ...string) (*oauth.Flow, *oauth.Tokens, error) {
	p.t.Helper()
	f := p.flow(scopes...)
	address, err := p.Authorize(p.t.Context(), f)
	if err != nil {
		return nil, nil, err
	}
	_, q, err := p.issuer.Visit(address)
	if err != nil {
		p.t.Fatal(err)
	}
	f.Callback = oauth.Callback{Code: hidden.New(q.Get("code")), Issuer: q.Get("iss")}
	tokens, err := p.Exchange(p.t.Context(), f)
	return f, tokens, err
}

// signIn signs in and returns the profile.
func (p *party) signIn() (*oauth.Profile, error) {
	p.t.Helper()
	f, tokens, err := p.redeem()
	if err != nil {
		return nil, err
	}
	return p.Profile(p.t.Context(), f, tokens)
}

func TestNewRefusesWhatIsNoConfiguration(t *testing.T) {
	secret := hidden.New("x")
	for name, c := range map[string]Config{
		"no issuer": {ClientID: "x"}, "http": {Issuer: "http://a.example.com", ClientID: "x"}, "a query": {Issuer: "https://a.example.com?x", ClientID: "x"}, "a fragment": {Issuer: "https://a.example.com#x", ClientID: "x"}, "a path alone": {Issuer: "/x", ClientID: "x"},
		"no client": {Issuer: "https://a.example.com"}, "an unknown way": {Issuer: "https://a.example.com", ClientID: "x", ClientSecret: secret, Auth: "x"}, "basic without a secret": {Issuer: "https://a.example.com", ClientID: "x", Auth: Basic}, "post without a secret": {Issuer: "https://a.example.com", ClientID: "x", Auth: Post},
		"none": {Issuer: "https://a.example.com", ClientID: "x", Algorithms: []string{"none"}}, "HS256": {Issuer: "https://a.example.com", ClientID: "x", Algorithms: []string{"RS256", "HS256"}}, "es256": {Issuer: "https://a.example.com", ClientID: "x", Algorithms: []string{"es256"}},
	} {
		if p, err := New(c); err == nil || p != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := New(Config{Issuer: "https://a.example.com/x/", ClientID: "x"})
	if err != nil || p.Info() != (oauth.Info{Name: "oidc", Issuer: "https://a.example.com/x/"}) {
		t.Errorf("%+v, %v", p.Info(), err)
	}
}

// The address of the authorization has the parameters of the flow once each, and those of the host
// beside them.
func TestTheAddressOfTheAuthorization(t *testing.T) {
	for name, row := range map[string]struct {
		change func(c *Config)
		scopes []string
		scope  string
	}{
		"as it is":          {nil, nil, "openid profile email"},
		"more scopes":       {nil, []string{"offline_access", "x:y"}, "openid profile email offline_access x:y"},
		"other scopes":      {func(c *Config) { c.Scopes = []string{"email"} }, nil, "openid email"},
		"no scope":          {func(c *Config) { c.Scopes = []string{} }, nil, "openid"},
		"openid at the end": {func(c *Config) { c.Scopes = []string{"email", "openid"} }, []string{"a"}, "email openid a"},
		"parameters": {func(c *Config) {
			c.Parameters = url.Values{
				"prompt": {"select_account"}, "state": {"x"}, "nonce": {"x"}, "client_id": {"x"}, "redirect_uri": {"x"}, "response_type": {"token", "code"}, "scope": {"x"},
				"code_challenge": {"x"}, "code_challenge_method": {"plain"},
			}
		}, nil, "openid profile email"},
	} {
		p := newParty(t, row.change)
		address, err := p.Authorize(t.Context(), p.flow(row.scopes...))
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		want := url.Values{
			"state": {"s"}, "nonce": {"n"}, "client_id": {p.issuer.Settings().ClientID}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {row.scope},
			"code_challenge": {challenge}, "code_challenge_method": {"S256"},
		}
		if name == "parameters" {
			want.Set("prompt", "select_account")
		}
		if got := u.Query(); fmt.Sprint(got) != fmt.Sprint(want) || !strings.HasPrefix(address, p.issuer.URL+authtest.PathAuthorize+"?") {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if address, err := p.Authorize(t.Context(), p.flow("later")); err != nil || strings.Contains(address, "offline") {
			t.Errorf("%s: a flow leaves scopes for the next one: %s, %v", name, address, err)
		}
	}
}

// The client proves itself in one way, in one request, whatever is in its secret.
func TestTheClientProvesItselfInOneWay(t *testing.T) {
	for name, row := range map[string]struct {
		auth    Auth
		secret  string
		methods []string // that the service knows
		want    string
	}{
		"basic": {Basic, "a:b%c+d e/&=\u00e9", []string{"client_secret_basic"}, "basic"}, "post": {Post, "a:b%c+d e/&=\u00e9", []string{"client_secret_post"}, "post"}, "none": {None, "", []string{"none"}, "none"}, "no secret": {Discovered, "", []string{"none"}, "none"},
		"both are known": {Discovered, "a:%3A+%2B", []string{"client_secret_post", "client_secret_basic"}, "basic"}, "post is known": {Discovered, "%", []string{"client_secret_post", "private_key_jwt"}, "post"}, "basic is known": {Discovered, "+", []string{"client_secret_basic"}, "basic"},
		"basic is said, and post is known": {Basic, "x", []string{"client_secret_post"}, "refused"}, "post is said, and basic is known": {Post, "x", []string{"client_secret_basic"}, "refused"}, "another secret": {Basic, "x", []string{"client_secret_basic"}, "refused"},
	} {
		p := newParty(t, func(c *Config) { c.Auth, c.ClientSecret = row.auth, hidden.New(row.secret) })
		seen := ""
		p.issuer.Set(func(s *authtest.IssuerSettings) {
			s.AuthMethods, s.ClientSecret = row.methods, hidden.New(row.secret)
			if name == "another secret" {
				s.ClientSecret = hidden.New("y")
			}
			s.Before = func(r *http.Request) {
				if r.URL.Path != authtest.PathToken {
					return
				}
				seen = "none"
				if _, _, basic := r.BasicAuth(); basic {
					seen = "basic"
				}
				if _ = r.ParseForm(); r.PostForm.Has("client_secret") {
					seen = strings.TrimPrefix(seen+" and post", "none and ")
				}
				if r.URL.RawQuery != "" {
					t.Errorf("%s: the query is %q", name, r.URL.RawQuery)
				}
			}
		})
		_, err := p.signIn()
		switch {
		case row.want == "refused":
			if err != oauth.Failure("the token endpoint answers invalid_client") {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || seen != row.want:
			t.Errorf("%s: %s, %v", name, seen, err)
		}
		if n := p.issuer.Count(authtest.PathToken); n != 1 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
	p := newParty(t, nil) // the service names no way
	p.issuer.Set(func(s *authtest.IssuerSettings) {
		s.Edit = func(_ string, answer map[string]any) { delete(answer, "token_endpoint_auth_methods_supported") }
	})
	if _, err := p.signIn(); err != nil {
		t.Error(err)
	}
}

func TestRefresh(t *testing.T) {
	p := newParty(t, nil)
	_, first, err := p.redeem("offline_access")
	if err != nil || first.Refresh.IsZero() || !first.Expire.Equal(p.clock.Now().Add(time.Hour)) || !slices.Equal(first.Scopes, []string{"openid", "profile", "email", "offline_access"}) {
		t.Fatalf("%+v, %v", first, err)
	}
	p.clock.Advance(time.Minute)
	second, err := p.Refresh(t.Context(), &oauth.Grant{Refresh: first.Refresh})
	if err != nil || second.Refresh.IsZero() || second.Refresh.Equal(first.Refresh) || second.Access.Equal(first.Access) || !second.Expire.Equal(p.clock.Now().Add(time.Hour)) {
		t.Fatalf("%+v, %v", second, err)
	}
	p.issuer.Set(func(s *authtest.IssuerSettings) { s.KeepRefresh = true })
	for range 2 { // without rotation the token stays good
		if again, err := p.Refresh(t.Context(), &oauth.Grant{Refresh: second.Refresh}); err != nil || !again.Refresh.Equal(second.Refresh) && !again.Refresh.IsZero() {
			t.Errorf("%+v, %v", again, err)
		}
	}
	for name, token := range map[string]hidden.Text{"spent": first.Refresh, "invented": hidden.New("hide-me"), "an access token": second.Access} {
		if tokens, err := p.Refresh(t.Context(), &oauth.Grant{Refresh: token}); err != oauth.ErrRefused || tokens != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if tokens, err := p.Refresh(t.Context(), &oauth.Grant{Refresh: hidden.Text{}}); err == nil || errors.Is(err, oauth.ErrRefused) || tokens != nil {
		t.Errorf("no token: %v", err)
	}
	// Only the word of the service withdraws a token. A fault does not.
	for name, row := range map[string]struct {
		status            int
		media, body, want string
	}{
		"500": {500, "text/html", "hide-me", "given no tokens"}, "429": {429, "application/json", "{}", "given no tokens"}, "another client": {401, "application/json", `{"error":"invalid_client"}`, "answers invalid_client"}, "400 without a word": {400, "application/json", "{}", "given no tokens"},
		"an invented word": {400, "application/json", `{"error":"invalid_grant hide-me"}`, "given no tokens"}, "a redirect": {302, "", "", "a redirect"}, "200 with nothing": {200, "application/json", "{}", "given no tokens"}, "a page": {200, "text/html", "hide-me", "another type"},
	} {
		p.issuer.Set(func(s *authtest.IssuerSettings) {
			s.Answer = func(_ string, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", row.media)
				w.WriteHeader(row.status)
				_, _ = w.Write([]byte(row.body))
				return true
			}
		})
		_, err := p.Refresh(t.Context(), &oauth.Grant{Refresh: second.Refresh})
		var failure oauth.Failure
		if !errors.As(err, &failure) || !strings.Contains(string(failure), row.want) || strings.Contains(fmt.Sprintf("%+v %#v", err, err), "hide-me") || strings.Contains(fmt.Sprintf("%+v", err), second.Refresh.Reveal()) {
			t.Errorf("%s: %+v", name, err)
		}
	}
	p.issuer.Set(func(s *authtest.IssuerSettings) { s.Answer = nil })
	if _, err := p.Refresh(t.Context(), &oauth.Grant{Refresh: second.Refresh}); err != nil {
		t.Error(err)
	}
}

// The documents of a service are read once an hour, at most once a minute if that fails, and serve
// for a day after they were read.
func TestTheAgesOfDocuments(t *testing.T) {
	p := newParty(t, nil)
	counts := func() [2]int {
		return [2]int{p.issuer.Count(authtest.PathDiscovery), p.issuer.Count(authtest.PathKeys)}
	}
	broken := func(is bool) {
		p.issuer.Set(func(s *authtest.IssuerSettings) {
			s.Answer = func(path string, w http.ResponseWriter, _ *http.Request) bool {
				if is && (path == authtest.PathDiscovery || path == authtest.PathKeys) {
					w.WriteHeader(500)
				}
				return is && (path == authtest.PathDiscovery || path == authtest.PathKeys)
			}
		})
	}
	broken(true)
	for range 5 {
		if _, err := p.signIn(); err != web.ErrStatus {
			t.Errorf("%v", err)
		}
	}
	if got := counts(); got != [2]int{1, 0} {
		t.Errorf("in the first minute: %v", got)
	}
	broken(false)
	p.clock.Advance(59 * time.Second)
	if _, err := p.signIn(); err != web.ErrStatus {
		t.Errorf("before a minute: %v", err)
	}
	p.clock.Advance(time.Second)
	for range 5 {
		if _, err := p.signIn(); err != nil {
			t.Error(err)
		}
	}
	if got := counts(); got != [2]int{2, 1} {
		t.Errorf("then: %v", got)
	}
	p.clock.Advance(time.Hour - time.Second)
	_, _ = p.signIn()
	if got := counts(); got != [2]int{2, 1} {
		t.Errorf("before an hour: %v", got)
	}
	broken(true)
	p.clock.Advance(time.Second)
	for range 3 { // old documents serve while there are no new ones
		if _, err := p.signIn(); err != nil {
			t.Error(err)
		}
	}
	if got := counts(); got != [2]int{3, 2} {
		t.Errorf("after an hour: %v", got)
	}
	p.clock.Advance(22*time.Hour + 59*time.Minute)
	if _, err := p.signIn(); err != nil {
		t.Error(err)
	}
	p.clock.Advance(time.Minute)
	if _, err := p.signIn(); err != web.ErrStatus {
		t.Errorf("after a day: %v", err)
	}
	broken(false)
	p.clock.Advance(-time.Hour) // a clock that was wrong
	if _, err := p.signIn(); err != nil {
		t.Error(err)
	}
	p.clock.Advance(time.Hour)
	if _, err := p.signIn(); err != nil {
		t.Error(err)
	}
}

// waiter is a context that tells when its end is waited for.
type waiter struct {
	context.Context
	waits chan<- bool
}

func (w waiter) Done() <-chan struct{} {
	w.waits <- true
	return w.Context.Done()
}

// Sign-ins at once share one reading. A caller who hangs up does not cancel it for the others.
func TestSignInsAtOnceShareOneReading(t *testing.T) {
	p := newParty(t, nil)
	hold, reading, waits := make(chan bool), make(chan bool, 2), make(chan bool, 100)
	p.issuer.Set(func(s *authtest.IssuerSettings) {
		s.Before = func(r *http.Request) {
			if r.URL.Path == authtest.PathDiscovery {
				reading <- true
				select {
				case <-hold:
				case <-r.Context().Done():
				}
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var first, all sync.WaitGroup
	first.Go(func() {
		if _, err := p.Authorize(ctx, p.flow()); err != web.ErrUnreachable {
			t.Errorf("the one who reads, and hangs up: %v", err)
		}
	})
	<-reading
	for range 20 {
		all.Go(func() {
			if _, err := p.Authorize(waiter{t.Context(), waits}, p.flow()); err != nil {
				t.Error(err)
			}
		})
	}
	waiting, leave := context.WithCancel(t.Context())
	all.Go(func() {
		if _, err := p.Authorize(waiter{waiting, waits}, p.flow()); err != web.ErrUnreachable {
			t.Errorf("one who hangs up while another reads: %v", err)
		}
		close(hold)
	})
	for range 21 {
		<-waits
	}
	cancel() // the one who reads hangs up
	leave()
	all.Wait()
	first.Wait()
	if n := p.issuer.Count(authtest.PathDiscovery); n != 1 {
		t.Errorf("%d readings", n)
	}
}

// A service that hangs fails the sign-in in the time of one call.
func TestAServiceThatHangs(t *testing.T) {
	for path, claims := range map[string]bool{authtest.PathDiscovery: true, authtest.PathToken: true, authtest.PathKeys: true, authtest.PathUserInfo: false} {
		p := newParty(t, nil)
		p.client.Timeout = 50 * time.Millisecond
		p.issuer.Set(func(s *authtest.IssuerSettings) {
			if !claims {
				s.Claims = nil
			}
			s.Before = func(r *http.Request) {
				if r.URL.Path == path {
					<-r.Context().Done()
				}
			}
		})
		if _, err := p.signIn(); err != web.ErrUnreachable {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Every allowed algorithm signs, with its own hash for at_hash, and no other one.
func TestAlgorithms(t *testing.T) {
	for _, algorithm := range allowed {
		p := newParty(t, func(c *Config) { c.Algorithms = []string{algorithm} })
		if _, err := p.signIn(); (err == nil) != (algorithm == "ES256") {
			t.Errorf("ES256 where %s is due: %v", algorithm, err)
		}
		p.clock.Advance(time.Hour)
		if slices.Contains([]string{"RS384", "RS512", "PS384", "PS512"}, algorithm) {
			continue // RSA keys are slow to make, and ES384 and ES512 have the same hashes
		}
		p.issuer.NewKey(algorithm)
		if who, err := p.signIn(); err != nil || who.Subject != "248289761001" {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	for name, row := range map[string]struct {
		named []any
		want  error
	}{
		"what is usual": {[]any{"ES256", "RS256"}, nil}, "none of the usual": {[]any{"none", "HS256", "ES384"}, errHeader}, "nothing": {nil, errHeader}, "RS256 alone": {[]any{"RS256"}, errHeader},
	} {
		p := newParty(t, nil)
		p.issuer.Set(func(s *authtest.IssuerSettings) {
			s.Edit = func(path string, answer map[string]any) {
				if path == authtest.PathDiscovery {
					answer["id_token_signing_alg_values_supported"] = row.named
				}
			}
		})
		if _, err := p.signIn(); err != row.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := &discovery{Signing: []string{"none", "HS256"}}
	if got := newParty(t, nil).algorithms(d); !slices.Equal(got, []string{"RS256"}) {
		t.Errorf("a service that names none that is usual: %v", got)
	}
}

// A key must be public, for signatures, and of a size that is neither weak nor slow.
func TestReadKey(t *testing.T) {
	modulus := func(bits int) string {
		n := new(big.Int).SetBit(big.NewInt(1), bits-1, 1)
		text, err := json.Marshal(jose.JSONWebKey{Key: &rsa.PublicKey{N: n, E: 65537}, KeyID: "x"})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for text, want := range map[string]bool{
		modulus(2048): true, modulus(4096): true, modulus(2047): false, modulus(1024): false, modulus(512): false, modulus(4097): false, modulus(16_384): false,
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`: true, `{"kty":"OKP","crv":"Ed25519","x":"` + strings.Repeat("A", 43) + `"}`: false, `{"kty":"OKP","crv":"X25519","x":"` + strings.Repeat("A", 43) + `"}`: false, `{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`: false,
		`{"kty":"oct","k":"AAAA"}`: false, `{"kty":"RSA"}`: false, `{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`: false, `{}`: false, `null`: false, `[]`: false, `"x"`: false, ``: false,
	} {
		if k, ok := readKey([]byte(text)); ok != want {
			t.Errorf("%.60s of %d bytes: %v, %+v", text, len(text), ok, k)
		}
	}
}

// Without a nonce the token is bound by nothing else: it must be asked for.
func TestNoNonceTakesATokenWithoutANonce(t *testing.T) {
	for no, want := range map[bool]error{true: nil, false: errNonce} {
		p := newParty(t, func(c *Config) { c.NoNonce = no })
		p.issuer.Set(func(s *authtest.IssuerSettings) {
			s.EditClaims = func(claims map[string]any) { delete(claims, "nonce") }
		})
		if _, err := p.signIn(); err != want {
			t.Errorf("NoNonce %v: %v", no, err)
		}
	}
	p := newParty(t, nil)
	f, tokens, err := p.redeem()
	if err != nil {
		t.Fatal(err)
	}
	f.Nonce = hidden.Text{}
	if _, err := p.Profile(t.Context(), f, tokens); err != errNonce {
		t.Errorf("a flow without a nonce: %v", err)
	}
}

// The documents may name no address that the provider would refuse as its issuer.
func TestEndpointsAreChecked(t *testing.T) {
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"} {
		for _, value := range []any{"http://u@127.0.0.1", "ftp://127.0.0.1", "javascript:alert(1)", "/x", "https://a.example.com#x", nil, ""} {
			p := newParty(t, nil)
			p.issuer.Set(func(s *authtest.IssuerSettings) {
				s.Edit = func(path string, answer map[string]any) {
					if path == authtest.PathDiscovery {
						answer[name] = value
					}
				}
			})
			_, err := p.Authorize(t.Context(), p.flow())
			if optional := name == "userinfo_endpoint" && (value == nil || value == ""); err != web.ErrAddress && !optional || optional && err != nil {
				t.Errorf("%s %v: %v", name, value, err)
			}
		}
	}
}

// fixed returns a provider that has its documents, and a key that signs.
func fixed(tb testing.TB) (*Provider, authtest.IssuerKey) {
	now := time.Unix(1_750_000_000, 0)
	p, err := New(Config{Issuer: "https://a.example.com", ClientID: "client", TrustEmail: true, Now: func() time.Time { return now }})
	if err != nil {
		tb.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer := authtest.IssuerKey{ID: "key-1", Algorithm: "ES256", Private: private}
	p.about.value, p.about.got, p.about.tried = &discovery{Issuer: "https://a.example.com", Signing: []string{"ES256", "RS256"}}, now, now
	p.keys.aged.value, p.keys.aged.got, p.keys.aged.tried, p.keys.aged.wanted = &[]key{{id: signer.ID, algorithm: signer.Algorithm, public: signer.Private.Public()}}, now, now, now
	return p, signer
}

// Claims that are taken have one reading: that of any other reader of JSON.
func FuzzClaims(f *testing.F) {
	p, signer := fixed(f)
	const good = `"iss":"https://a.example.com","sub":"ada","aud":"client","exp":1750000100,"iat":1750000000,"nonce":"n","email":"ada@example.org","email_verified":true`
	f.Add([]byte("{" + good + "}"))
	for _, more := range []string{
		`"sub":"mallory"`, `"SUB":"mallory"`, `"` + "\u017f" + `ub":"mallory"`, `"\u0073ub":"mallory"`, `"x":{"a":1,"a":2}`, `"azp":"other"`, `"nbf":1e30`, `"auth_time":"1"`, `"at_hash":""`, `"c_hash":null`, "\"x\":\"\xff\"", `"x":"\ud800"`,
		`"_claim_names":{"a":"b"}`,
	} {
		f.Add([]byte("{" + good + "," + more + "}"))
	}
	for _, v := range [][2]string{
		{`"ada"`, "1"}, {`"ada"`, `" "`}, {`"ada"`, "null"}, {`"ada"`, `"a\u0000b"`}, {`"client"`, `["client"]`}, {`"client"`, `["client","x"]`}, {`"client"`, `[["client"]]`}, {"1750000100", "0"}, {"1750000100", "1e30"}, {"1750000100", `"1750000100"`}, {"1750000100", "1750000100.5"},
		{"1750000000", "1750000061"}, {"1750000000", "9223372036854775807"}, {"true", `"true"`}, {"true", "1"}, {`"ada@example.org"`, "[]"}, {`"n"`, `"m"`}, {".example.com", ".example.com/"},
	} {
		f.Add([]byte("{" + strings.Replace(good, v[0], v[1], 1) + "}"))
	}
	flow := &oauth.Flow{Nonce: hidden.New("n"), Now: time.Unix(1_750_000_000, 0), Callback: oauth.Callback{Code: hidden.New("code")}}
	f.Fuzz(func(t *testing.T, payload []byte) {
		token, err := authtest.SignWith(signer.Algorithm, signer.Private, fmt.Appendf(nil, `{"alg":"ES256","kid":%q}`, signer.ID), payload)
		if err != nil {
			t.Fatal(err)
		}
		who, err := p.Profile(t.Context(), flow, &oauth.Tokens{ID: hidden.New(token), Access: hidden.New("access")})
		if err != nil {
			var failure oauth.Failure
			if who != nil || !errors.As(err, &failure) {
				t.Errorf("%v, %v", who, err)
			}
			return
		}
		var plain map[string]any
		if err := json.Unmarshal(payload, &plain); err != nil || plain["sub"] != who.Subject || plain["iss"] != "https://a.example.com" || plain["nonce"] != "n" {
			t.Errorf("%q is %+v, %v", payload, who, err)
		}
		if strings.TrimSpace(who.Subject) == "" || len(who.Subject) > maxSubject || who.EmailVerified && plain["email_verified"] != true || who.Email != "" && plain["email"] != who.Email {
			t.Errorf("%q is %+v", payload, who)
		}
	})
}

// A header that is taken names an allowed algorithm and brings no key, and no token with a header of
// the attacker's is verified without the key.
func FuzzHeader(f *testing.F) {
	p, signer := fixed(f)
	for _, header := range []string{
		`{"alg":"ES256","kid":"key-1"}`, `{"alg":"ES256"}`, `{"alg":"none"}`, `{"alg":"NONE"}`, `{"alg":"HS256"}`, `{"alg":["ES256"]}`, `{}`, ``, `[]`, `null`, `{"alg":"ES256","crit":["exp"]}`, `{"alg":"ES256","b64":false}`, `{"alg":"ES256","jku":"x"}`, `{"alg":"ES256","jwk":{}}`,
		`{"alg":"ES256","x5u":"x"}`, `{"alg":"ES256","x5c":[]}`, `{"alg":"ES256","kid":"../x"}`, `{"alg":"ES256","kid":1}`, `{"alg":"ES256","alg":"none"}`, `{"alg":"ES256","ALG":"none"}`, `{"alg":"RS256","kid":"key-1"}`, `{"alg":"ES256","` + "\u212a" + `id":"key-1"}`,
	} {
		f.Add([]byte(header), []byte("{}"), []byte{})
		f.Add([]byte(header), []byte(""), make([]byte, 64))
	}
	encode := base64.RawURLEncoding.EncodeToString
	f.Fuzz(func(t *testing.T, header, payload, signature []byte) {
		token := encode(header) + "." + encode(payload) + "." + encode(signature)
		for _, text := range []string{token, token + ".", "." + token, token + "=", string(header)} {
			h, err := readHeader(text, []string{"ES256", "RS256"})
			if err == nil && (text != token || h.Algorithm != "ES256" && h.Algorithm != "RS256" || h.JWK != nil || h.Critical != nil) {
				t.Errorf("%q: %+v", text, h)
			}
		}
		if _, err := p.keys.VerifySignature(t.Context(), token); err == nil {
			t.Errorf("%q is verified", token)
		}
		signed, err := authtest.SignWith(signer.Algorithm, signer.Private, append([]byte{}, header...), payload)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.keys.VerifySignature(t.Context(), signed)
		if err == nil && string(got) != string(payload) {
			t.Errorf("%q has the payload %q", signed, got)
		}
	})
}

// With max_age the service must say when the user has signed in there, and that is not long ago.
func TestMaxAgeAsksForTheTimeOfTheSignIn(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	settings := issuer.Settings()
	now := time.Now()
	for _, bad := range []string{"", "x", "-1", "1.5", "31536001"} {
		if _, err := New(Config{Issuer: issuer.URL, ClientID: "c", Private: true, Parameters: url.Values{"max_age": {bad}}}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	p, err := New(Config{Issuer: issuer.URL, ClientID: settings.ClientID, ClientSecret: settings.ClientSecret, Private: true, Parameters: url.Values{"max_age": {"300"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for signedIn, good := range map[time.Duration]bool{0: true, -359 * time.Second: true, -362 * time.Second: false, time.Hour: false} {
		for _, told := range []bool{true, false} {
			issuer.Set(func(s *authtest.IssuerSettings) {
				s.EditClaims = func(claims map[string]any) {
					if delete(claims, "auth_time"); told {
						claims["auth_time"] = now.Add(signedIn).Unix()
					}
				}
			})
			f := &oauth.Flow{RedirectURL: "https://app.example.org/cb", State: hidden.New("state"), Nonce: hidden.New("nonce"), Verifier: hidden.New(strings.Repeat("v", 64)), Now: now}
			address, err := p.Authorize(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			_, back, err := issuer.Visit(address)
			if err != nil {
				t.Fatal(err)
			}
			f.Callback = oauth.Callback{Code: hidden.New(back.Get("code")), Issuer: back.Get("iss")}
			tokens, err := p.Exchange(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Profile(t.Context(), f, tokens); (err == nil) != (good && told) {
				t.Errorf("signed in at %v, told %v: %v", signedIn, told, err)
			}
		}
	}
}

// What was read before the clock went back is read again: it would not age until the clock is there
// once more.
func TestAClockThatGoesBackReadsAgain(t *testing.T) {
	now, reads := time.Unix(1_000_000_000, 0), 0
	a := aged[int]{life: t.Context(), now: func() time.Time { return now }, turn: make(chan struct{}, 1), read: func(context.Context) (*int, error) {
		reads++
		return &reads, nil
	}}
	for _, step := range []struct {
		ahead time.Duration
		reads int
	}{{0, 1}, {time.Minute, 1}, {-2 * time.Hour, 2}, {time.Minute, 2}} {
		now = now.Add(step.ahead)
		if _, err := a.get(t.Context(), false); err != nil || reads != step.reads {
			t.Errorf("after %v: %d reads, %v", step.ahead, reads, err)
		}
	}
}
