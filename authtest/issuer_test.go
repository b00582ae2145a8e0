package authtest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
)

const callback = "http://127.0.0.1:1/callback"

// relyingParty is an independent client of an issuer.
type relyingParty struct {
	*oauth2.Config
	issuer   *authtest.Issuer
	provider *oidc.Provider
}

func newRelyingParty(t *testing.T, issuer *authtest.Issuer) relyingParty {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), issuer.URL)
	if err != nil {
		t.Fatal(err)
	}
	s, endpoint := issuer.Settings(), provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return relyingParty{&oauth2.Config{
		ClientID: s.ClientID, ClientSecret: s.ClientSecret.Reveal(), Endpoint: endpoint,
		RedirectURL: callback, Scopes: []string{"openid", "email"},
	}, issuer, provider}
}

// authorize returns the code and the verifier of an authorization.
func (c relyingParty) authorize(t *testing.T, options ...oauth2.AuthCodeOption) (code, verifier string) {
	t.Helper()
	verifier = oauth2.GenerateVerifier()
	options = append(options, oauth2.S256ChallengeOption(verifier), oidc.Nonce("the nonce"))
	target, parameters, err := c.issuer.Visit(c.AuthCodeURL("the state", options...))
	if err != nil {
		t.Fatal(err)
	}
	if target.String() != callback || parameters.Get("state") != "the state" || parameters.Get("iss") != c.issuer.URL {
		t.Errorf("%s with %v", target, parameters)
	}
	return parameters.Get("code"), verifier
}

func (c relyingParty) signIn(t *testing.T, options ...oauth2.AuthCodeOption) *oauth2.Token {
	t.Helper()
	code, verifier := c.authorize(t, options...)
	token, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (c relyingParty) verify(ctx context.Context, token string) (*oidc.IDToken, error) {
	return c.provider.Verifier(&oidc.Config{ClientID: c.ClientID}).Verify(ctx, token)
}

func idToken(token *oauth2.Token) string {
	text, _ := token.Extra("id_token").(string)
	return text
}

// refusal returns the error code of an answer of the token endpoint, or "" for another
// error.
func refusal(err error) string {
	var e *oauth2.RetrieveError
	if errors.As(err, &e) {
		return e.ErrorCode
	}
	return ""
}

func TestIssuerSignsIn(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	c := newRelyingParty(t, issuer)
	token := c.signIn(t, oauth2.SetAuthURLParam("max_age", "60"))
	if token.Type() != "Bearer" || token.RefreshToken != "" || token.Extra("scope") != "openid email" || token.ExpiresIn != 3600 {
		t.Errorf("%+v", token)
	}
	id, err := c.verify(t.Context(), idToken(token))
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := errors.Join(id.VerifyAccessToken(token.AccessToken), id.Claims(&claims)); err != nil {
		t.Error(err)
	}
	if id.Subject != "248289761001" || id.Nonce != "the nonce" || id.Expiry.Sub(id.IssuedAt) != time.Hour ||
		claims["email"] != "ada@example.org" || claims["email_verified"] != true || claims["auth_time"] == nil {
		t.Errorf("%v", claims)
	}
	info, err := c.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	if err != nil || info.Subject != id.Subject || info.Email != "ada@example.org" || !info.EmailVerified {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := c.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "x"})); err == nil {
		t.Error("userinfo answers a stranger's token")
	}
	for path, want := range map[string]int{
		authtest.PathDiscovery: 1, authtest.PathAuthorize: 1, authtest.PathToken: 1, authtest.PathUserInfo: 2, authtest.PathKeys: 1,
	} {
		if n := issuer.Count(path); n != want {
			t.Errorf("%d requests of %s", n, path)
		}
	}
}

func TestIssuerRedeemsACodeOnceAndWithItsVerifier(t *testing.T) {
	now := authtest.NewClock()
	issuer := authtest.NewIssuer(t)
	issuer.Set(func(s *authtest.IssuerSettings) { s.Now = now.Now })
	c := newRelyingParty(t, issuer)
	for name, exchange := range map[string]func(code, verifier string) error{
		"no verifier": func(code, _ string) error {
			_, err := c.Exchange(t.Context(), code)
			return err
		},
		"another verifier": func(code, _ string) error {
			_, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(oauth2.GenerateVerifier()))
			return err
		},
		"another redirect_uri": func(code, verifier string) error {
			_, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier), oauth2.SetAuthURLParam("redirect_uri", callback+"/"))
			return err
		},
		"another code": func(code, verifier string) error {
			_, err := c.Exchange(t.Context(), code+"x", oauth2.VerifierOption(verifier))
			return err
		},
		"after a minute": func(code, verifier string) error {
			now.Advance(time.Minute)
			_, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
			return err
		},
		"twice": func(code, verifier string) error {
			token, err := c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
			if err != nil {
				return err
			}
			_, err = c.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
			if _, err := c.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token)); err == nil {
				t.Error("the second attempt does not withdraw the access token")
			}
			return err
		},
	} {
		if err := exchange(c.authorize(t)); refusal(err) != "invalid_grant" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIssuerAuthenticatesItsClient(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	c := newRelyingParty(t, issuer)
	secret := c.ClientSecret
	for _, v := range []struct {
		name, id, secret string
		style            oauth2.AuthStyle
		methods          []string
		want             string
	}{
		{"basic", c.ClientID, secret, oauth2.AuthStyleInHeader, []string{"client_secret_basic"}, ""},
		{"post", c.ClientID, secret, oauth2.AuthStyleInParams, []string{"client_secret_post"}, ""},
		{"no secret", c.ClientID, "", oauth2.AuthStyleInParams, []string{"none"}, ""},
		{"basic, but post is due", c.ClientID, secret, oauth2.AuthStyleInHeader, []string{"client_secret_post"}, "invalid_client"},
		{"post, but basic is due", c.ClientID, secret, oauth2.AuthStyleInParams, []string{"client_secret_basic", "none"}, "invalid_client"},
		{"basic, wrong secret", c.ClientID, secret + "x", oauth2.AuthStyleInHeader, []string{"client_secret_basic"}, "invalid_client"},
		{"post, wrong secret", c.ClientID, secret + "x", oauth2.AuthStyleInParams, []string{"client_secret_post"}, "invalid_client"},
		{"secret missing", c.ClientID, "", oauth2.AuthStyleInParams, []string{"client_secret_post"}, "invalid_client"},
		{"another client", "x", secret, oauth2.AuthStyleInHeader, []string{"client_secret_basic"}, "invalid_client"},
		{"another client without secret", "x", "", oauth2.AuthStyleInParams, []string{"none"}, "invalid_client"},
	} {
		issuer.Set(func(s *authtest.IssuerSettings) { s.AuthMethods = v.methods })
		code, verifier := c.authorize(t)
		client := *c.Config
		client.ClientID, client.ClientSecret, client.Endpoint.AuthStyle = v.id, v.secret, v.style
		_, err := client.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
		if refusal(err) != v.want || v.want == "" && err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
	}
}

// A client that does not encode the parts of basic (RFC 6749 2.3.1) is refused, and so is
// one that authenticates by two methods.
func TestIssuerTakesBasicOnlyInTheFormEncoding(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	s := issuer.Settings()
	for name, v := range map[string]struct{ secret, body, want string }{
		"raw":         {s.ClientSecret.Reveal(), "", "invalid_client"},
		"encoded":     {url.QueryEscape(s.ClientSecret.Reveal()), "", "invalid_grant"},
		"two methods": {url.QueryEscape(s.ClientSecret.Reveal()), "&client_secret=x", "invalid_client"},
		"doubled":     {url.QueryEscape(s.ClientSecret.Reveal()), "&code=y", "invalid_request"},
	} {
		request, err := http.NewRequest(http.MethodPost, issuer.URL+authtest.PathToken, strings.NewReader("grant_type=authorization_code&code=x"+v.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(s.ClientID, v.secret)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if response.Body.Close(); err != nil || string(body) != `{"error":"`+v.want+`"}` {
			t.Errorf("%s: %s, %v", name, body, err)
		}
	}
}

func TestIssuerRotatesRefreshTokens(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	c := newRelyingParty(t, issuer)
	refresh := func(token string) (*oauth2.Token, error) {
		return c.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token}).Token()
	}
	first := c.signIn(t, oauth2.SetAuthURLParam("scope", "openid offline_access"))
	second, err := refresh(first.RefreshToken)
	if err != nil || second.RefreshToken == "" || second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Fatalf("%+v, %v", second, err)
	}
	if id, err := c.verify(t.Context(), idToken(second)); err != nil || id.Nonce != "" || id.Subject != "248289761001" {
		t.Errorf("%+v, %v", id, err)
	}
	if _, err := refresh(first.RefreshToken); refusal(err) != "invalid_grant" {
		t.Errorf("a spent refresh token: %v", err)
	}
	issuer.Set(func(s *authtest.IssuerSettings) { s.KeepRefresh, s.AlwaysRefresh = true, true })
	kept := c.signIn(t)
	for range 2 {
		if token, err := refresh(kept.RefreshToken); err != nil || token.Extra("refresh_token") != nil {
			t.Errorf("a kept refresh token: %+v, %v", token, err)
		}
	}
	issuer.Revoke()
	for _, token := range []*oauth2.Token{second, kept} {
		if _, err := refresh(token.RefreshToken); refusal(err) != "invalid_grant" {
			t.Errorf("a revoked refresh token: %v", err)
		}
		if _, err := c.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token)); err == nil {
			t.Error("a revoked access token is taken")
		}
	}
}

func TestIssuerAnswersByAForm(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	c := newRelyingParty(t, issuer)
	const state = `"><input name="x" value='&amp;'>`
	c.RedirectURL = callback + "?a=1&b=2"
	verifier := oauth2.GenerateVerifier()
	mode := oauth2.SetAuthURLParam("response_mode", "form_post")
	target, fields, err := issuer.Visit(c.AuthCodeURL(state, mode, oauth2.S256ChallengeOption(verifier)))
	if err != nil || target.String() != c.RedirectURL || fields.Get("state") != state || fields.Get("iss") != issuer.URL || len(fields) != 3 {
		t.Fatalf("%s, %v, %v", target, fields, err)
	}
	if _, err := c.Exchange(t.Context(), fields.Get("code"), oauth2.VerifierOption(verifier)); err != nil {
		t.Error(err)
	}
	target, query, err := issuer.Visit(c.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)))
	if err != nil || target.String() != callback || query.Get("b") != "2" || query.Get("state") != state {
		t.Errorf("%s, %v, %v", target, query, err)
	}
}

func TestIssuerRefusesWrongAuthorizationRequests(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	c := newRelyingParty(t, issuer)
	address, err := url.Parse(c.AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]struct{ parameter, value, want string }{
		"client":         {"client_id", "x", ""},
		"no client":      {"client_id", "", ""},
		"relative":       {"redirect_uri", "/x", ""},
		"no redirect":    {"redirect_uri", "", ""},
		"response type":  {"response_type", "token", "unsupported_response_type"},
		"response mode":  {"response_mode", "fragment", "invalid_request"},
		"no state":       {"state", "", "invalid_request"},
		"plain":          {"code_challenge_method", "plain", "invalid_request"},
		"no challenge":   {"code_challenge", "", "invalid_request"},
		"long challenge": {"code_challenge", strings.Repeat("A", 44), "invalid_request"},
	} {
		q := address.Query()
		q.Set(v.parameter, v.value)
		_, parameters, err := issuer.Visit(issuer.URL + authtest.PathAuthorize + "?" + q.Encode())
		if v.want == "" && err == nil || v.want != "" && err != nil || parameters.Get("error") != v.want || parameters.Has("code") {
			t.Errorf("%s: %v, %v", name, parameters, err)
		}
	}
	for _, elsewhere := range []string{address.String() + "&state=t", "http://127.0.0.1:1/", issuer.URL + "0/", issuer.URL + authtest.PathKeys} {
		if target, parameters, err := issuer.Visit(elsewhere); err == nil {
			t.Errorf("%s: %v, %v", elsewhere, target, parameters)
		}
	}
}

func TestIssuerSignsWithEachAlgorithm(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	all := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	issuer.Set(func(s *authtest.IssuerSettings) { s.Algorithms = all })
	var c relyingParty
	var old []string
	for _, algorithm := range all {
		key := issuer.NewKey(algorithm)
		c = newRelyingParty(t, issuer) // the library may join a reading of the keys that has just ended
		token := c.signIn(t)
		id, err := c.verify(t.Context(), idToken(token))
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		if key.ID != issuer.Key().ID || key.Algorithm != algorithm {
			t.Errorf("the key is %+v", key)
		}
		old = append(old, idToken(token))
	}
	for _, token := range old {
		if _, err := c.verify(t.Context(), token); err != nil {
			t.Errorf("an older key: %v", err)
		}
	}
	issuer.WithdrawKeys()
	c = newRelyingParty(t, issuer) // without kept keys
	for n, token := range old {
		if _, err := c.verify(t.Context(), token); (err == nil) != (n == len(old)-1) {
			t.Errorf("%s after the withdrawal: %v", all[n], err)
		}
	}
}

func TestIssuerGivesIDTokensToApps(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	issuer.NewKey("ES256")
	c := newRelyingParty(t, issuer)
	id, err := c.verify(t.Context(), issuer.IDToken("n"))
	if err != nil || id.Nonce != "n" || id.Subject != "248289761001" {
		t.Errorf("%+v, %v", id, err)
	}
	if _, has := issuer.IDTokenClaims("")["nonce"]; has {
		t.Error("there is a nonce without a nonce")
	}
}

func TestIssuerLies(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	issuer.NewKey("ES256")
	c := newRelyingParty(t, issuer)
	honest := issuer.Settings()
	for name, v := range map[string]struct {
		lie  func(s *authtest.IssuerSettings)
		want string // the subject; "" for a refusal
	}{
		"issuer":   {func(s *authtest.IssuerSettings) { s.Issuer += "/" }, ""},
		"lifetime": {func(s *authtest.IssuerSettings) { s.IDTokenLifetime = -time.Second }, ""},
		"clock":    {func(s *authtest.IssuerSettings) { s.Now = authtest.NewClock().Now }, ""},
		"claims":   {func(s *authtest.IssuerSettings) { s.Claims["sub"] = "b" }, "b"},
		"subject":  {func(s *authtest.IssuerSettings) { s.Subject = "b" }, "b"},
		"EditClaims": {func(s *authtest.IssuerSettings) {
			s.EditClaims = func(claims map[string]any) { delete(claims, "exp") }
		}, ""},
		"EditPayload": {func(s *authtest.IssuerSettings) {
			s.EditPayload = func(p []byte) []byte {
				return bytes.Replace(p, []byte(`"sub":`), []byte(`"SUB":"x`+"\xff"+`","sub":"b","x":`), 1)
			}
		}, "b"},
		"EditHeader": {func(s *authtest.IssuerSettings) {
			s.EditHeader = func([]byte) []byte { return []byte(`{"alg":"ES256"}`) }
		}, honest.Subject},
		"EditHeader, none": {func(s *authtest.IssuerSettings) {
			s.EditHeader = func([]byte) []byte { return []byte(`{"alg":"none"}`) }
		}, ""},
		"EditHeader, empty": {func(s *authtest.IssuerSettings) {
			s.EditHeader = func([]byte) []byte { return nil }
		}, ""},
		"EditIDToken": {func(s *authtest.IssuerSettings) {
			s.EditIDToken = func(token string) string { return token[:strings.LastIndex(token, ".")+1] }
		}, ""},
		"Edit": {func(s *authtest.IssuerSettings) {
			s.Edit = func(path string, answer map[string]any) {
				if path == authtest.PathToken {
					answer["id_token"] = "x"
				}
			}
		}, ""},
	} {
		settings := honest
		settings.Claims = map[string]any{}
		issuer.Set(func(s *authtest.IssuerSettings) { *s = settings; v.lie(s) })
		verifier := oauth2.GenerateVerifier()
		_, q, err := issuer.Visit(c.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)))
		if err != nil {
			t.Fatal(err)
		}
		token, err := c.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		id, err := c.verify(t.Context(), idToken(token))
		if (err == nil) != (v.want != "") || err == nil && id.Subject != v.want {
			t.Errorf("%s: %v, %v", name, id, err)
		}
	}
}

func TestIssuerEditsTheCallback(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	issuer.Set(func(s *authtest.IssuerSettings) {
		s.EditCallback = func(q url.Values) {
			q.Del("iss")
			q.Set("error", "access_denied")
			q.Add("code", "x")
		}
	})
	c := newRelyingParty(t, issuer)
	_, q, err := issuer.Visit(c.AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
	if err != nil || q.Has("iss") || q.Get("error") != "access_denied" || len(q["code"]) != 2 {
		t.Errorf("%v, %v", q, err)
	}
}

func TestIssuerPutsClaimsAtUserInfoAlone(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	issuer.NewKey("ES256")
	issuer.Set(func(s *authtest.IssuerSettings) { s.Claims, s.UserInfo = nil, s.Claims })
	c := newRelyingParty(t, issuer)
	token := c.signIn(t)
	var claims map[string]any
	id, err := c.verify(t.Context(), idToken(token))
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Claims(&claims); err != nil || claims["email"] != nil {
		t.Errorf("%v, %v", claims, err)
	}
	// The person of a token does not change with the settings.
	issuer.Set(func(s *authtest.IssuerSettings) { s.Subject, s.UserInfo = "b", nil })
	info, err := c.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	if err != nil || info.Subject != id.Subject || info.Email != "ada@example.org" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestIssuerAnswersAsTheTestSays(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	order := ""
	issuer.Set(func(s *authtest.IssuerSettings) {
		s.Before = func(r *http.Request) { order += "before " }
		s.Answer = func(path string, w http.ResponseWriter, r *http.Request) bool {
			order += path
			w.WriteHeader(http.StatusTeapot)
			return true
		}
	})
	response, err := http.Get(issuer.URL + "/x")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusTeapot || order != "before /x" || issuer.Count("/x") != 1 {
		t.Errorf("%s, %q", response.Status, order)
	}
}

// The issuer closes although its hook and its client wait for ever.
func TestIssuerClosesWithAWaitingHook(t *testing.T) {
	var done sync.WaitGroup
	t.Run("waiting", func(t *testing.T) {
		issuer := authtest.NewIssuer(t)
		arrived := make(chan bool)
		issuer.Set(func(s *authtest.IssuerSettings) {
			s.Before = func(r *http.Request) { arrived <- true; <-r.Context().Done() }
		})
		done.Go(func() {
			if response, err := http.Get(issuer.URL + authtest.PathKeys); err == nil {
				response.Body.Close()
			}
		})
		<-arrived
	})
	done.Wait()
}

func TestIssuerTakesSettingsWhileItAnswers(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	issuer.NewKey("ES256")
	c := newRelyingParty(t, issuer)
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			issuer.Set(func(s *authtest.IssuerSettings) { s.Claims["n"] = 1; s.Algorithms = slices.Clone(s.Algorithms) })
			issuer.NewKey("EdDSA")
			issuer.WithdrawKeys()
		})
		c.signIn(t)
	}
	done.Wait()
}

func TestSignWithMakesTokensOfAnAttacker(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	c := newRelyingParty(t, issuer)
	key := issuer.Key()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte(`{"iss":"` + issuer.URL + `","sub":"b","aud":"` + c.ClientID + `","exp":99999999999}`)
	for name, v := range map[string]struct {
		algorithm string
		key       any
		header    []byte
		good      bool
	}{
		"none":           {"none", nil, nil, false},
		"HS256, PEM":     {"HS256", key.PEM(), nil, false},
		"HS256, DER":     {"HS256", key.DER(), nil, false},
		"P-384":          {"ES256", p384, nil, false},
		"RS256":          {"RS256", key.Private, nil, true},
		"RS256 as ES256": {"RS256", key.Private, []byte(`{"alg":"ES256"}`), false},
	} {
		token, err := authtest.SignWith(v.algorithm, v.key, v.header, payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.verify(t.Context(), token); (err == nil) != v.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	for algorithm, key := range map[string]any{"HS256": key.Private, "RS256": []byte{1}, "PS256": nil, "ES256": key.Private, "EdDSA": p384, "XX256": nil} {
		if token, err := authtest.SignWith(algorithm, key, nil, payload); err == nil {
			t.Errorf("%s with %T: %s", algorithm, key, token)
		}
	}
}

func TestIssuerWithoutSecretAndOpenID(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	issuer.Set(func(s *authtest.IssuerSettings) {
		s.ClientSecret, s.AuthMethods = hidden.Text{}, []string{"none"}
	})
	c := newRelyingParty(t, issuer)
	c.ClientSecret, c.Endpoint.AuthStyle = "", oauth2.AuthStyleInParams
	if token := c.signIn(t, oauth2.SetAuthURLParam("scope", "email")); idToken(token) != "" || token.AccessToken == "" {
		t.Errorf("%+v", token)
	}
}
