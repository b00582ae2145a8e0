package authtest

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/net/html"

	"example.com/latchkey/hidden"
)

// The paths of an [Issuer].
const (
	PathDiscovery = "/.well-known/openid-configuration"
	PathAuthorize = "/authorize"
	PathToken     = "/token"
	PathUserInfo  = "/userinfo"
	PathKeys      = "/jwks"
)

// codeLifetime is the lifetime of authorization codes by [IssuerSettings.Now].
const codeLifetime = time.Minute

// Issuer is an OpenID provider on loopback, for tests of hosts and of clients. By default
// it is correct and minimal:
//   - Discovery, authorization code flow with PKCE S256, which it demands, and userinfo.
//   - The authorization endpoint signs the present person in without a page. It answers
//     with a redirect, or with a form if response_mode is form_post, and names itself in
//     the parameter iss (RFC 9207).
//   - A code is redeemed once, within one minute. A second attempt also withdraws the
//     tokens of the first.
//   - Refresh tokens rotate. The parameter scope of a refresh is ignored.
//   - ID tokens are signed with RS256 and hold at_hash. They hold nonce and auth_time if
//     the client sent nonce and max_age. A refreshed ID token has no nonce. Without the
//     scope openid there is no ID token.
//   - Every absolute address is taken as redirect_uri.
//
// [Issuer.Set] changes all of that, so that the issuer can also lie. [SignWith] makes
// tokens of an attacker.
//
//	issuer := authtest.NewIssuer(t)
//	issuer.Set(func(s *authtest.IssuerSettings) { s.Now = kit.Clock.Now })
//	// start a sign-in with issuer.URL, issuer.Settings().ClientID and ClientSecret
//	target, parameters, err := issuer.Visit(address)
//	// give the parameters to the host's callback
//
// An Issuer is safe for concurrent use.
type Issuer struct {
	// URL is the address of the server without a slash at its end, with http and
	// 127.0.0.1. It is the default of [IssuerSettings.Issuer].
	URL string

	t      TB
	server *httptest.Server

	mu       sync.Mutex
	settings IssuerSettings
	keys     []IssuerKey // published; the last one signs
	made     int         // keys so far
	counts   map[string]int
	codes    map[string]*grant
	access   map[string]accessToken
	refresh  map[string]*grant
}

// IssuerSettings are the settings of an [Issuer]. Its hooks are functions that the
// issuer calls on the goroutine of a request, without a lock, so they may call methods of
// the issuer. A hook that is nil changes nothing.
type IssuerSettings struct {
	// Issuer is the issuer in the discovery document, in ID tokens and in the callback.
	// The default is Issuer.URL.
	Issuer string
	// ClientID and ClientSecret are those of the only client. The defaults are random.
	// The secret has characters in it that client_secret_basic must encode
	// (RFC 6749 2.3.1).
	ClientID     string
	ClientSecret hidden.Text
	// AuthMethods are the methods by which the client may authenticate at the token
	// endpoint. The default is client_secret_basic and client_secret_post. A client
	// that sends no secret needs the method "none".
	AuthMethods []string
	// Algorithms is the list id_token_signing_alg_values_supported of the discovery
	// document. The default is RS256, PS256, ES256 and EdDSA. It does not change the
	// key: see [Issuer.NewKey].
	Algorithms []string

	// Subject and Claims are the person that the authorization endpoint signs in. Codes
	// and tokens keep the person of their authorization. Claims are in the ID token and
	// at userinfo, whatever the scope, and replace the claims of the issuer, for
	// instance sub. The defaults are "248289761001" and the claims email
	// "ada@example.org", email_verified true and name "Ada Lovelace".
	Subject string
	Claims  map[string]any
	// UserInfo are the claims at userinfo in the place of Claims. nil, the default,
	// means Claims. For claims at userinfo alone set Claims to nil.
	UserInfo map[string]any

	// Now is the clock of the issuer. The default is time.Now.
	Now func() time.Time
	// IDTokenLifetime is the time from iat to exp. It is cut to whole seconds. The
	// default is an hour.
	IDTokenLifetime time.Duration
	// AccessTokenLifetime is the lifetime of access tokens and, cut to whole seconds,
	// expires_in. The default is an hour.
	AccessTokenLifetime time.Duration
	// AlwaysRefresh hands out refresh tokens without the scope offline_access too.
	AlwaysRefresh bool
	// KeepRefresh switches rotation off: a refresh leaves the refresh token valid and
	// the answer has no refresh token in it.
	KeepRefresh bool

	// Before is called before each answer, after the request was counted. It delays the
	// answer until it returns. It must return when the context of the request is done,
	// which is at the end of the test at the latest.
	Before func(r *http.Request)
	// Answer is called after Before. If it returns true, it has answered the request
	// itself.
	Answer func(path string, w http.ResponseWriter, r *http.Request) bool
	// Edit changes the JSON object of an answer of status 200: at PathDiscovery,
	// PathToken, PathUserInfo and PathKeys. The keys of PathKeys are a []any under the
	// name keys.
	Edit func(path string, answer map[string]any)
	// EditCallback changes the parameters that the authorization endpoint sends to
	// redirect_uri.
	EditCallback func(parameters url.Values)
	// EditClaims changes the claims of an ID token.
	EditClaims func(claims map[string]any)
	// EditPayload returns the payload of an ID token for the usual one, which is the
	// JSON of the claims. The result is signed as it is, so it may have doubled names or
	// invalid UTF-8 in it.
	EditPayload func(payload []byte) []byte
	// EditHeader returns the protected header of an ID token for the usual one, which is
	// a JSON object with alg, kid and typ. The result is signed as it is, with the
	// present key and its algorithm.
	EditHeader func(header []byte) []byte
	// EditIDToken returns the text that is sent as the ID token for the signed one.
	EditIDToken func(token string) string
}

func (s IssuerSettings) clone() IssuerSettings {
	s.AuthMethods, s.Algorithms = slices.Clone(s.AuthMethods), slices.Clone(s.Algorithms)
	s.Claims, s.UserInfo = maps.Clone(s.Claims), maps.Clone(s.UserInfo)
	return s
}

// grant is one authorization.
type grant struct {
	subject          string
	claims, userInfo map[string]any
	scopes           []string
	nonce            string
	redirectURI      string
	challenge        string
	at               time.Time
	withAuthTime     bool
	redeemed         bool // guarded by Issuer.mu
	withdrawn        bool // guarded by Issuer.mu
}

type accessToken struct {
	grant   *grant
	expires time.Time
}

// TB is the part of [testing.TB] that an issuer uses, so that a program can have one too.
type TB interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Context() context.Context // ends before Cleanup
	Cleanup(func())
}

// NewIssuer starts an issuer on 127.0.0.1. It is closed when the test ends.
func NewIssuer(t TB) *Issuer {
	t.Helper()
	i := &Issuer{
		t: t, counts: make(map[string]int),
		codes: make(map[string]*grant), access: make(map[string]accessToken), refresh: make(map[string]*grant),
	}
	mux := http.NewServeMux()
	mux.HandleFunc(PathDiscovery, i.serveDiscovery)
	mux.HandleFunc(PathAuthorize, i.serveAuthorize)
	mux.HandleFunc("POST "+PathToken, i.serveToken)
	mux.HandleFunc(PathUserInfo, i.serveUserInfo)
	mux.HandleFunc(PathKeys, i.serveKeys)
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.count(r.URL.Path)
		if before := i.Settings().Before; before != nil {
			before(r)
		}
		if answer := i.Settings().Answer; answer == nil || !answer(r.URL.Path, w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	// t.Context is done before the cleanup begins, so hooks that wait for it end.
	i.server.Config.BaseContext = func(net.Listener) context.Context { return t.Context() }
	i.server.Start()
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.settings = IssuerSettings{
		Issuer: i.URL, ClientID: "client-" + rand.Text(), ClientSecret: hidden.New("a :%+/&=" + rand.Text()),
		AuthMethods:     []string{"client_secret_basic", "client_secret_post"},
		Algorithms:      []string{"RS256", "PS256", "ES256", "EdDSA"},
		Subject:         "248289761001",
		Claims:          map[string]any{"email": "ada@example.org", "email_verified": true, "name": "Ada Lovelace"},
		Now:             time.Now,
		IDTokenLifetime: time.Hour, AccessTokenLifetime: time.Hour,
	}
	return i
}

// Set changes the settings for the requests that come after it. The function change must
// not call other methods of the issuer. Set copies the maps and slices of the settings,
// but not the values in them.
func (i *Issuer) Set(change func(s *IssuerSettings)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(&i.settings)
	i.settings = i.settings.clone()
}

// Settings returns a copy of the settings.
func (i *Issuer) Settings() IssuerSettings {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.settings.clone()
}

// Count returns the number of requests with that path so far.
func (i *Issuer) Count(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.counts[path]
}

func (i *Issuer) count(path string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.counts[path]++
}

// Revoke makes all codes, access tokens and refresh tokens of the issuer invalid.
func (i *Issuer) Revoke() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.codes)
	clear(i.access)
	clear(i.refresh)
}

// Key returns the key that signs now. The first key is made when it is first needed. It is
// for RS256 unless NewKey was called before. RSA keys have 2048 bits, and each takes about
// 0.1 s.
func (i *Issuer) Key() IssuerKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keyLocked()
}

func (i *Issuer) keyLocked() IssuerKey {
	if len(i.keys) == 0 {
		i.addKeyLocked("RS256")
	}
	return i.keys[len(i.keys)-1]
}

func (i *Issuer) addKeyLocked(algorithm string) {
	key, err := generateKey(algorithm)
	if err != nil {
		panic(err) // for an algorithm that only the test can have written
	}
	i.made++
	i.keys = append(i.keys, IssuerKey{fmt.Sprintf("key-%d", i.made), algorithm, key})
}

// NewKey makes a key for an algorithm and signs with it from now on. The older keys stay
// published until WithdrawKeys. The algorithm is RS256, RS384, RS512, PS256, PS384, PS512,
// ES256, ES384, ES512 or EdDSA (Ed25519). NewKey panics at any other. The ids of the keys
// are key-1, key-2 and so on.
func (i *Issuer) NewKey(algorithm string) IssuerKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.addKeyLocked(algorithm)
	return i.keyLocked()
}

// WithdrawKeys removes all keys but the one that signs now from the published keys.
func (i *Issuer) WithdrawKeys() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = []IssuerKey{i.keyLocked()}
}

// IDTokenClaims returns the claims of an ID token for the present person and the client,
// issued now, without at_hash. It has the nonce unless that is empty. EditClaims is not
// called.
func (i *Issuer) IDTokenClaims(nonce string) map[string]any {
	s := i.Settings()
	return newGrant(&s, nil).idClaims(&s, nonce)
}

// IDToken returns a signed ID token with IDTokenClaims, as an app gets it from the
// service. The hooks EditClaims, EditPayload, EditHeader and EditIDToken are called.
func (i *Issuer) IDToken(nonce string) string {
	s := i.Settings()
	return i.signIDToken(&s, i.Key(), newGrant(&s, nil).idClaims(&s, nonce))
}

// newGrant returns a grant to the present person with the parameters of an authorization
// request.
func newGrant(s *IssuerSettings, q url.Values) *grant {
	g := &grant{
		subject: s.Subject, claims: s.Claims, userInfo: s.UserInfo,
		scopes: strings.Fields(q.Get("scope")), nonce: q.Get("nonce"),
		redirectURI: q.Get("redirect_uri"), challenge: q.Get("code_challenge"),
		at: s.Now(), withAuthTime: q.Has("max_age"),
	}
	if g.userInfo == nil {
		g.userInfo = g.claims
	}
	return g
}

func (g *grant) idClaims(s *IssuerSettings, nonce string) map[string]any {
	now := s.Now()
	claims := map[string]any{
		"iss": s.Issuer, "sub": g.subject, "aud": s.ClientID,
		"iat": now.Unix(), "exp": now.Unix() + int64(s.IDTokenLifetime/time.Second),
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if g.withAuthTime {
		claims["auth_time"] = g.at.Unix()
	}
	maps.Copy(claims, g.claims)
	return claims
}

func (i *Issuer) signIDToken(s *IssuerSettings, key IssuerKey, claims map[string]any) string {
	if s.EditClaims != nil {
		s.EditClaims(claims)
	}
	payload := i.marshal(claims)
	if s.EditPayload != nil {
		payload = s.EditPayload(payload)
	}
	header := i.marshal(map[string]any{"alg": key.Algorithm, "kid": key.ID, "typ": "JWT"})
	if s.EditHeader != nil {
		header = s.EditHeader(header)
	}
	if header == nil {
		header = []byte{} // SignWith replaces a nil header
	}
	token, err := SignWith(key.Algorithm, key.Private, header, payload)
	if err != nil {
		i.t.Error(err)
	}
	if s.EditIDToken != nil {
		token = s.EditIDToken(token)
	}
	return token
}

func (i *Issuer) marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		i.t.Errorf("authtest: %v", err)
	}
	return text
}

func (i *Issuer) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	s := i.Settings()
	i.answer(w, PathDiscovery, &s, map[string]any{
		"issuer":                                         s.Issuer,
		"authorization_endpoint":                         i.URL + PathAuthorize,
		"token_endpoint":                                 i.URL + PathToken,
		"userinfo_endpoint":                              i.URL + PathUserInfo,
		"jwks_uri":                                       i.URL + PathKeys,
		"scopes_supported":                               []string{"openid", "email", "profile", "offline_access"},
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query", "form_post"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          s.Algorithms,
		"token_endpoint_auth_methods_supported":          s.AuthMethods,
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (i *Issuer) serveKeys(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.keyLocked() // makes the first key
	published := slices.Clone(i.keys)
	i.mu.Unlock()
	keys := []any{}
	for _, k := range published {
		keys = append(keys, jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig"})
	}
	s := i.Settings()
	i.answer(w, PathKeys, &s, map[string]any{"keys": keys})
}

func (i *Issuer) answer(w http.ResponseWriter, path string, s *IssuerSettings, answer map[string]any) {
	if s.Edit != nil {
		s.Edit(path, answer)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(i.marshal(answer)) // fails if the client has gone
}

// doubled reports whether a parameter occurs twice (RFC 6749 3.1).
func doubled(q url.Values) bool {
	for _, values := range q {
		if len(values) > 1 {
			return true
		}
	}
	return false
}

func (i *Issuer) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	s := i.Settings()
	if err := r.ParseForm(); err != nil || doubled(r.Form) {
		http.Error(w, "malformed or doubled parameters", http.StatusBadRequest)
		return
	}
	q := r.Form
	target, err := url.Parse(q.Get("redirect_uri"))
	if q.Get("client_id") != s.ClientID || err != nil || !target.IsAbs() {
		http.Error(w, "client_id is unknown, or redirect_uri is no absolute address", http.StatusBadRequest)
		return
	}
	parameters := url.Values{"iss": {s.Issuer}}
	if q.Has("state") {
		parameters.Set("state", q.Get("state"))
	}
	if code, description := authorizeError(q); code != "" {
		parameters.Set("error", code)
		parameters.Set("error_description", description)
	} else {
		parameters.Set("code", i.newCode(newGrant(&s, q)))
	}
	if s.EditCallback != nil {
		s.EditCallback(parameters)
	}
	if q.Get("response_mode") == "form_post" {
		writeForm(w, target, parameters)
		return
	}
	query := parameters.Encode()
	if target.RawQuery != "" {
		query = target.RawQuery + "&" + query
	}
	target.RawQuery = query
	w.Header().Set("Location", target.String())
	w.WriteHeader(http.StatusFound)
}

// authorizeError returns the error code and description for an authorization request, or
// empty texts if the request is right.
func authorizeError(q url.Values) (code, description string) {
	challenge, err := base64.RawURLEncoding.DecodeString(q.Get("code_challenge"))
	switch {
	case q.Get("response_type") != "code":
		return "unsupported_response_type", "response_type is not code"
	case !slices.Contains([]string{"", "query", "form_post"}, q.Get("response_mode")):
		return "invalid_request", "response_mode is neither query nor form_post"
	case q.Get("state") == "":
		return "invalid_request", "state is missing"
	case q.Get("code_challenge_method") != "S256":
		return "invalid_request", "code_challenge_method is not S256"
	case err != nil || len(challenge) != crypto.SHA256.Size():
		return "invalid_request", "code_challenge is not of S256"
	}
	return "", ""
}

func (i *Issuer) newCode(g *grant) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	code := rand.Text()
	i.codes[code] = g
	return code
}

func writeForm(w http.ResponseWriter, target *url.URL, fields url.Values) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	var page strings.Builder
	fmt.Fprintf(&page, `<!DOCTYPE html><title>Sign in</title><body onload="document.forms[0].submit()"><form method="post" action="%s">`,
		html.EscapeString(target.String()))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		for _, value := range fields[name] {
			fmt.Fprintf(&page, `<input type="hidden" name="%s" value="%s">`, html.EscapeString(name), html.EscapeString(value))
		}
	}
	page.WriteString("</form>")
	io.WriteString(w, page.String()) // fails if the browser has gone
}

func (i *Issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	s := i.Settings()
	w.Header().Set("Cache-Control", "no-store")
	err := r.ParseForm()
	form := r.PostForm
	if err != nil || doubled(form) {
		i.refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	if !s.isClient(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="issuer"`)
		i.refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	var g *grant
	var nonce string
	var withRefresh bool
	switch form.Get("grant_type") {
	case "authorization_code":
		if g = i.redeemCode(&s, form); g != nil {
			nonce, withRefresh = g.nonce, s.AlwaysRefresh || slices.Contains(g.scopes, "offline_access")
		}
	case "refresh_token":
		g, withRefresh = i.redeemRefresh(form.Get("refresh_token"), s.KeepRefresh), !s.KeepRefresh
	default:
		i.refuse(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	if g == nil {
		i.refuse(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	i.answer(w, PathToken, &s, i.tokens(&s, g, nonce, withRefresh))
}

func (i *Issuer) refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(i.marshal(map[string]string{"error": code})) // fails if the client has gone
}

// isClient reports whether the client has authenticated by one of the methods of the
// settings.
func (s *IssuerSettings) isClient(r *http.Request) bool {
	id, secret, method := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), "client_secret_post"
	if user, password, ok := r.BasicAuth(); ok {
		if secret != "" || id != "" && id != s.ClientID {
			return false // RFC 6749 2.3: one method a request
		}
		var errs [2]error
		id, errs[0] = url.QueryUnescape(user)
		secret, errs[1] = url.QueryUnescape(password)
		if errs[0] != nil || errs[1] != nil {
			return false
		}
		method = "client_secret_basic"
	} else if secret == "" {
		return id == s.ClientID && slices.Contains(s.AuthMethods, "none")
	}
	return id == s.ClientID && subtle.ConstantTimeCompare([]byte(secret), []byte(s.ClientSecret.Reveal())) == 1 && slices.Contains(s.AuthMethods, method)
}

// redeemCode spends a code and returns its grant, or nil if the request is wrong. Every
// attempt of the client spends the code. A second attempt withdraws the tokens of the
// first (RFC 6749 4.1.2).
func (i *Issuer) redeemCode(s *IssuerSettings, form url.Values) *grant {
	now := s.Now()
	challenge := base64.RawURLEncoding.EncodeToString(digest(crypto.SHA256, []byte(form.Get("code_verifier"))))
	i.mu.Lock()
	defer i.mu.Unlock()
	g := i.codes[form.Get("code")]
	if g == nil {
		return nil
	}
	if g.redeemed {
		g.withdrawn = true
		return nil
	}
	g.redeemed = true
	if challenge != g.challenge || form.Get("redirect_uri") != g.redirectURI || !now.Before(g.at.Add(codeLifetime)) {
		return nil
	}
	return g
}

// redeemRefresh returns the grant of a refresh token, or nil, and spends the token unless
// it is to be kept.
func (i *Issuer) redeemRefresh(token string, keep bool) *grant {
	i.mu.Lock()
	defer i.mu.Unlock()
	g := i.refresh[token]
	if !keep {
		delete(i.refresh, token)
	}
	if g == nil || g.withdrawn {
		return nil
	}
	return g
}

// tokens returns the answer of the token endpoint.
func (i *Issuer) tokens(s *IssuerSettings, g *grant, nonce string, withRefresh bool) map[string]any {
	access := rand.Text()
	answer := map[string]any{
		"access_token": access, "token_type": "Bearer",
		"expires_in": int64(s.AccessTokenLifetime / time.Second), "scope": strings.Join(g.scopes, " "),
	}
	expires := s.Now().Add(s.AccessTokenLifetime)
	i.mu.Lock()
	i.access[access] = accessToken{g, expires}
	if withRefresh {
		refresh := rand.Text()
		i.refresh[refresh] = g
		answer["refresh_token"] = refresh
	}
	i.mu.Unlock()
	if slices.Contains(g.scopes, "openid") {
		key, claims := i.Key(), g.idClaims(s, nonce)
		sum := digest(hashOf(key.Algorithm), []byte(access))
		claims["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
		answer["id_token"] = i.signIDToken(s, key, claims)
	}
	return answer
}

func (i *Issuer) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	s := i.Settings()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	g := i.grantOf(token, s.Now())
	if !strings.EqualFold(scheme, "Bearer") || g == nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		i.refuse(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	answer := map[string]any{"sub": g.subject}
	maps.Copy(answer, g.userInfo)
	i.answer(w, PathUserInfo, &s, answer)
}

// grantOf returns the grant of an access token, or nil.
func (i *Issuer) grantOf(token string, now time.Time) *grant {
	i.mu.Lock()
	defer i.mu.Unlock()
	a := i.access[token]
	if a.grant == nil || a.grant.withdrawn || !now.Before(a.expires) {
		return nil
	}
	return a.grant
}
