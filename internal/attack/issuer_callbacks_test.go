package attack_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oauth2"
	"example.com/latchkey/oauth/oidc"
	"example.com/latchkey/store/memory"
)

// Line 12: a callback that is not that of the start reaches no token endpoint.
func TestIssuer12Callbacks(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, func(c *oidc.Config) { c.Parameters = url.Values{"response_mode": {"form_post"}} })
		evil := newBystander(k)
		f.try(attempt{name: "a form"})
		project := kit.New(k.T, memory.Open(), kit.Documented)
		asked := f.issuer.Count(authtest.PathToken)
		for name, row := range map[string]struct {
			change func(q url.Values)
			want   error
		}{
			"an error": {func(q url.Values) { q.Set("error", "access_denied"); q.Set("error_description", hideMe); q.Del("code") }, latchkey.ErrProviderRefused}, "an error and a code": {func(q url.Values) { q.Set("error", "access_denied") }, latchkey.ErrProviderRefused},
			"an invented error": {func(q url.Values) { q.Set("error", hideMe) }, latchkey.ErrProviderRefused}, "two errors": {func(q url.Values) { q["error"] = []string{"a", "b"} }, latchkey.ErrArgumentInvalid},
			"another issuer": {func(q url.Values) { q.Set("iss", evil.URL) }, latchkey.ErrInvalidToken}, "two issuers": {func(q url.Values) { q.Add("iss", q.Get("iss")) }, latchkey.ErrArgumentInvalid}, "no issuer": {func(q url.Values) { q.Del("iss") }, latchkey.ErrProviderFailed},
			"two codes": {func(q url.Values) { q.Add("code", q.Get("code")) }, latchkey.ErrArgumentInvalid}, "no code": {func(q url.Values) { q.Del("code") }, latchkey.ErrProviderRefused}, "an empty code": {func(q url.Values) { q.Set("code", "") }, latchkey.ErrProviderRefused},
			"a code of 2,049 bytes": {func(q url.Values) { q.Set("code", strings.Repeat("x", 2_049)) }, latchkey.ErrArgumentInvalid}, "an error of 2,049 bytes": {func(q url.Values) { q.Set("error", strings.Repeat("x", 2_049)) }, latchkey.ErrArgumentInvalid},
			"1 MiB": {func(q url.Values) { q.Set("x", strings.Repeat("x", 1<<20)) }, latchkey.ErrArgumentInvalid}, "10,000 parameters": {func(q url.Values) {
				for i := range 10_000 {
					q.Set(fmt.Sprint("x", i), "")
				}
			}, latchkey.ErrArgumentInvalid},
			"no state": {func(q url.Values) { q.Del("state") }, latchkey.ErrInvalidToken}, "two states": {func(q url.Values) { q.Add("state", q.Get("state")) }, latchkey.ErrInvalidToken},
			"a user that is no JSON": {func(q url.Values) { q.Set("user", "hide-me") }, latchkey.ErrArgumentInvalid}, "a user with a name twice": {func(q url.Values) { q.Set("user", `{"name":{},"name":{}}`) }, latchkey.ErrArgumentInvalid}, "a user in another case": {func(q url.Values) { q.Set("user", `{"NAME":{}}`) }, latchkey.ErrArgumentInvalid},
		} {
			f.try(attempt{name: name, lie: func(s *authtest.IssuerSettings) { s.EditCallback = row.change }, want: row.want})
		}
		f.try(attempt{name: "after ten minutes", callback: func(*latchkey.OAuth2Callback) { k.Clock.Advance(10 * time.Minute) }, want: latchkey.ErrInvalidToken})
		f.try(attempt{name: "at another project", want: latchkey.ErrInvalidToken, callback: func(cb *latchkey.OAuth2Callback) {
			if err := kit.Err(project.Visitor.FinishOAuth2(k.Ctx, *cb)); !errors.Is(err, latchkey.ErrInvalidToken) {
				k.Errorf("at another project: %v", err)
			}
			cb.Parameters.Set("state", project.Begin(project.Visitor, latchkey.OAuth2Request{Provider: "acme"}).State)
		}})
		if n := f.issuer.Count(authtest.PathToken); n != asked {
			k.Errorf("%d requests of tokens for refused callbacks", n-asked)
		}
		f.try(attempt{name: "other parameters", callback: func(cb *latchkey.OAuth2Callback) {
			maps.Copy(cb.Parameters, url.Values{"accounts-server": {evil.URL}, "location": {"eu"}, "token_endpoint": {evil.URL}, "scope": {"a", "b"}, "session_state": {"x"}, "redirect_uri": {evil.URL}, "nonce": {"x"}, "id_token": {"x"}, "access_token": {"x"}, "code_verifier": {"x"}})
		}})
		var stolen string
		f.try(attempt{name: "a code that is stolen", callback: func(cb *latchkey.OAuth2Callback) {
			stolen = cb.Parameters.Get("code")
			cb.Parameters.Set("code", "x")
		}, reason: "the call failed"})
		f.try(attempt{name: "the stolen code in another sign-in", callback: func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("code", stolen) }, reason: "the call failed"})
	})
}

// Line 12: of fifty callbacks at once one redeems the code.
func TestIssuer12CallbacksAtOnce(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		f.tell(nil)
		cb, err := f.begin(attempt{})
		k.Must(err)
		var taken atomic.Int64
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				switch err := kit.Err(f.guest.FinishOAuth2(k.Ctx, cb)); {
				case err == nil:
					taken.Add(1)
				case !errors.Is(err, latchkey.ErrInvalidToken):
					k.Error(err)
				}
			})
		}
		all.Wait()
		if n, asked := taken.Load(), f.issuer.Count(authtest.PathToken); n != 1 || asked != 1 {
			k.Errorf("%d callbacks were taken, with %d requests of tokens", n, asked)
		}
	})
}

// Line 13: tokens come in an answer that has one reading.
func TestIssuer13TokenAnswers(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		member := func(name string, value any) func(*authtest.IssuerSettings) {
			return corrected(authtest.PathToken, func(a map[string]any) { set(a, name, value) })
		}
		raw := func(text string) any { return json.RawMessage(text) }
		const form, page = "application/x-www-form-urlencoded", "access_token=hide-me&token_type=bearer&id_token=hide-me"
		for name, row := range map[string]struct {
			lie    func(*authtest.IssuerSettings)
			reason string
		}{
			"no type of the token": {member("token_type", missing{}), ""}, "BEARER": {member("token_type", "BEARER"), ""}, "no scope": {member("scope", missing{}), ""}, "scopes in a list": {member("scope", []string{"openid"}), ""}, "no end": {member("expires_in", missing{}), ""}, "an end that is null": {member("expires_in", nil), ""},
			"an end that is 0": {member("expires_in", 0), ""}, "an end that is a number in a text": {member("expires_in", "3600"), ""}, "an error that is null": {member("error", nil), ""}, "ok": {member("ok", true), ""},
			"an error": {answered(authtest.PathToken, 200, "application/json", `{"error":"hide-me","error_description":"hide-me"}`), badTokens}, "an error beside tokens": {member("error", "hide-me"), badTokens}, "a known error beside tokens": {member("error", "invalid_client"), "the token endpoint answers invalid_client"},
			"an error that is an object": {member("error", map[string]any{"message": "hide-me"}), badTokens}, "an error that is a number": {member("error", 1), badTokens}, "an error that is true": {member("error", true), badTokens},
			"not ok": {answered(authtest.PathToken, 200, "application/json", `{"ok":false,"error":"hide-me"}`), badTokens}, "not ok, without an error": {answered(authtest.PathToken, 200, "application/json", `{"ok":false}`), badTokens}, "not ok, beside tokens": {member("ok", false), badTokens},
			"no access token": {member("access_token", missing{}), badTokens}, "an empty access token": {member("access_token", ""), badTokens}, "null": {member("access_token", nil), badTokens}, "an access token that is an object": {member("access_token", map[string]any{"token": "x"}), badJSON}, "an access token that is a list": {member("access_token", []string{"x"}), badJSON}, "an access token that is a number": {member("access_token", 1), badJSON},
			"another type of token": {member("token_type", "mac"), "the access token is not a bearer token"}, "DPoP": {member("token_type", "DPoP"), "the access token is not a bearer token"}, "a type that is a list": {member("token_type", []string{"bearer"}), badJSON},
			"an end in words": {member("expires_in", "soon"), badExpiry}, "an empty end": {member("expires_in", ""), badExpiry}, "a fraction": {member("expires_in", raw("3600.5")), badExpiry}, "a whole fraction": {member("expires_in", raw("3600.0")), badExpiry}, "a power": {member("expires_in", raw("1e3")), badExpiry}, "a negative end": {member("expires_in", -1), badExpiry},
			"a huge end": {member("expires_in", raw("99999999999999999999")), badExpiry}, "an end in a thousand years": {member("expires_in", int64(31_536_000_000)), badExpiry}, "an end that is a list": {member("expires_in", []int{1}), badExpiry}, "an end that is true": {member("expires_in", true), badExpiry}, "a number in a text in a text": {member("expires_in", `"3600"`), badExpiry},
			"a scope that is a number": {member("scope", 1), "the scope of the answer"}, "a scope that is an object": {member("scope", map[string]any{}), "the scope of the answer"}, "scopes of numbers": {member("scope", []int{1}), "the scope of the answer"},
			"a refresh token that is an object": {member("refresh_token", map[string]any{}), badJSON}, "an ID token that is an object": {member("id_token", map[string]any{}), badJSON}, "an ID token of 20 KiB": {member("id_token", strings.Repeat("x", 20<<10)), badForm}, "an empty ID token": {member("id_token", ""), "the token endpoint has given no ID token"},
			"a form": {answered(authtest.PathToken, 200, form, page), badType}, "a form that is said to be JSON": {answered(authtest.PathToken, 200, "application/json", page), badJSON}, "a form as text": {answered(authtest.PathToken, 200, "text/plain", page), badType}, "JSON as text": {answered(authtest.PathToken, 200, "text/plain", `{"access_token":"x","id_token":"x"}`), badType},
			"two types": {answered(authtest.PathToken, 200, "application/json, text/html", `{}`), badType}, "created": {answered(authtest.PathToken, 201, "application/json", `{"access_token":"x","id_token":"x"}`), badStatus}, "partial": {answered(authtest.PathToken, 206, "application/json", `{"access_token":"x","id_token":"x"}`), badStatus},
			"a code that the service refuses": {answered(authtest.PathToken, 400, "application/json", `{"error":"invalid_grant","error_description":"hide-me"}`), "the call failed"}, "a client that the service refuses": {answered(authtest.PathToken, 401, "application/json", `{"error":"invalid_client"}`), "the token endpoint answers invalid_client"}, "an invented error": {answered(authtest.PathToken, 400, "application/json", `{"error":"hide-me"}`), badTokens},
			"a page for an error": {answered(authtest.PathToken, 500, "text/html", "<p>hide-me"), badTokens}, "a form for an error": {answered(authtest.PathToken, 400, form, "error=hide-me"), badTokens}, "10 MiB for an error": {answered(authtest.PathToken, 400, "application/json", strings.Repeat("x", 10<<20)), badSize}, "a redirect": {redirected(authtest.PathToken, 307, newBystander(k).URL), badRedirect},
			"a page": {answered(authtest.PathToken, 200, "text/html", "<p>hide-me"), badType}, "no media type": {answered(authtest.PathToken, 200, "", `{"access_token":"x","id_token":"x"}`), badType}, "a mark of order": {answered(authtest.PathToken, 200, "application/json", "\ufeff{}"), badJSON}, "a bomb": {bombed(authtest.PathToken), badEncoding},
			"33 levels": {answered(authtest.PathToken, 200, "application/json", deep(33)), badJSON}, "100,000 levels": {answered(authtest.PathToken, 200, "application/json", deep(100_000)), badJSON}, "nothing": {answered(authtest.PathToken, 200, "application/json", ""), badJSON}, "a list": {answered(authtest.PathToken, 200, "application/json", "[]"), badJSON},
		} {
			f.try(attempt{name: name, lie: row.lie, reason: row.reason})
		}
		var sent atomic.Int64
		f.try(attempt{name: "1 GiB", lie: streamed(authtest.PathToken, &sent), reason: badSize})
		if n := sent.Load(); n > 64<<20 {
			k.Errorf("%d bytes were taken", n)
		}
	})
}

// Line 14: an identity is a subject of an issuer, and a sign-in under way finds what is there when it
// ends.
func TestIssuer14TwoIdentities(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		second := authtest.NewIssuer(k.T)
		second.NewKey("ES256")
		second.Set(func(s *authtest.IssuerSettings) { s.Now = k.Clock.Now })
		f := federate(k, nil, loginBy(k, second, "second", nil))
		f.tell(nil)
		callback := func(by *authtest.Issuer, provider string, secret latchkey.Secret) latchkey.OAuth2Callback {
			var begun kit.Began
			if r := (latchkey.OAuth2Request{Provider: provider}); secret.IsZero() {
				begun = k.Begin(f.guest, r)
			} else {
				account, err := f.guest.Authenticate(k.Ctx, secret.Reveal())
				k.Must(err)
				begun = k.Begin(account, r)
			}
			_, parameters, err := by.Visit(begun.URL)
			k.Must(err)
			return latchkey.OAuth2Callback{Provider: provider, Parameters: parameters, Binding: begun.Binding.Reveal(), Session: secret.Reveal()}
		}
		in := func(by *authtest.Issuer, provider string) *latchkey.Session {
			result, err := f.guest.FinishOAuth2(k.Ctx, callback(by, provider, latchkey.Secret{}))
			k.Must(err)
			return result.Session
		}
		person := func(by *authtest.Issuer, subject, email string, verified bool) {
			by.Set(func(s *authtest.IssuerSettings) {
				s.Subject, s.Claims = subject, map[string]any{"email": email, "email_verified": verified}
			})
		}
		at := func(change func()) { // while the issuer answers
			second.Set(func(s *authtest.IssuerSettings) {
				s.Before = func(r *http.Request) {
					if r.URL.Path == authtest.PathToken {
						change()
					}
				}
			})
		}
		// The same subject at two issuers is two people.
		person(f.issuer, "1", "a@example.net", false)
		person(second, "1", "b@example.net", false)
		first, other := in(f.issuer, "oidc"), in(second, "second")
		if first.UserID == other.UserID {
			k.Error("a subject of one issuer signs in as that of another")
		}
		// The same proven address at two is one, and an unproven one is refused.
		person(f.issuer, "2", kit.Ada, true)
		person(second, "2", kit.Ada, false)
		ada := in(f.issuer, "oidc")
		if err := kit.Err(f.guest.FinishOAuth2(k.Ctx, callback(second, "second", latchkey.Secret{}))); !errors.Is(err, latchkey.ErrUserAlreadyExists) {
			k.Errorf("an unproven address: %v", err)
		}
		person(second, "2", kit.Ada, true)
		if s := in(second, "second"); s.UserID != ada.UserID {
			k.Errorf("the same proven address signs in as %s and %s", ada.UserID, s.UserID)
		}
		// An identity is linked while the user is deleted.
		person(second, "3", "c@example.net", true)
		cb := callback(second, "second", first.Secret)
		at(func() { k.Must(k.Users().Delete(k.Ctx, first.UserID)) })
		before := f.state()
		if err := kit.Err(f.guest.FinishOAuth2(k.Ctx, cb)); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("linked to a user who was deleted: %v", err)
		}
		if rows := f.state(); len(rows["identities"]) != len(before["identities"])-1 || len(rows["users"]) != len(before["users"])-1 {
			k.Errorf("%d identities and %d users are left", len(rows["identities"]), len(rows["users"]))
		}
		// The user is deleted while their identity signs in: it makes a new user, or none.
		at(func() { k.Must(k.Users().Delete(k.Ctx, other.UserID)) })
		person(second, "1", "b@example.net", false)
		if s := in(second, "second"); s.UserID == other.UserID {
			k.Error("signed in as a user who was deleted")
		}
		// The last two ways in: one is unlinked while the other signs in.
		person(second, "2", "d@example.net", true)
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		at(func() {
			for _, i := range list.Identities {
				if i.UserID == ada.UserID && i.Provider == "second" {
					k.Must(k.Users().DeleteIdentity(k.Ctx, i.ID))
				}
			}
		})
		if s := in(second, "second"); s.UserID == ada.UserID {
			k.Error("signed in by an identity that was unlinked")
		}
		at(func() {})
		if s := in(f.issuer, "oidc"); s.UserID != ada.UserID {
			k.Errorf("the other way in signs in as %s", s.UserID)
		}
	})
}

// AC-069: the challenge is always S256, and the verifier comes from the store alone.
func TestAC069TheVerifierIsThatOfTheStart(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, func(c *oidc.Config) {
			c.Parameters = url.Values{
				"code_challenge_method": {"plain"}, "code_challenge": {""}, "code_verifier": {"x"}, "state": {"x"}, "nonce": {"x"}, "redirect_uri": {"https://evil.example.com"},
				"client_id": {"x"}, "response_type": {"token"}, "scope": {"x"}, "prompt": {"login"},
			}
		})
		var verifiers, challenges []string
		f.honest.Before = func(r *http.Request) {
			if r.URL.Path == authtest.PathToken {
				verifiers = append(verifiers, r.PostForm["code_verifier"]...)
			}
		}
		look := func(q url.Values) {
			for name, values := range q {
				if len(values) != 1 {
					k.Errorf("%s: %q", name, values)
				}
			}
			if q.Get("code_challenge_method") != "S256" || q.Get("prompt") != "login" {
				k.Errorf("%v", q)
			}
			challenges = append(challenges, q.Get("code_challenge"))
		}
		for range 2 {
			f.try(attempt{name: "an honest sign-in", visit: look, callback: func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("code_verifier", "x") }})
		}
		if len(verifiers) != 2 || len(challenges) != 2 || verifiers[0] == verifiers[1] {
			k.Fatalf("verifiers %q, challenges %q", verifiers, challenges)
		}
		for i, v := range verifiers {
			if sum := sha256.Sum256([]byte(v)); len(v) < 43 || len(v) > 128 || challenges[i] != base64.RawURLEncoding.EncodeToString(sum[:]) {
				k.Errorf("verifier %q, challenge %q", v, challenges[i])
			}
		}
		known := strings.Repeat("v", 43)
		sum := sha256.Sum256([]byte(known))
		for name, row := range map[string]struct {
			visit func(q url.Values)
			want  error
		}{
			"dropped": {func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") }, latchkey.ErrProviderRefused}, "no challenge": {func(q url.Values) { q.Del("code_challenge") }, latchkey.ErrProviderRefused}, "an empty one": {func(q url.Values) { q.Set("code_challenge", "") }, latchkey.ErrProviderRefused},
			"plain": {func(q url.Values) { q.Set("code_challenge_method", "plain"); q.Set("code_challenge", known) }, latchkey.ErrProviderRefused}, "no method": {func(q url.Values) { q.Del("code_challenge_method") }, latchkey.ErrProviderRefused},
			"that of an attacker": {func(q url.Values) { q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:])) }, latchkey.ErrProviderFailed},
		} {
			f.try(attempt{name: name, visit: row.visit, want: row.want, callback: func(cb *latchkey.OAuth2Callback) { cb.Parameters.Set("code_verifier", known) }})
		}
	})
}

// AC-071: a hostile provider gets neither the code of a good one nor its users.
func TestAC071ProvidersAreNotMixedUp(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		good := authtest.NewIssuer(k.T)
		good.NewKey("ES256")
		good.Set(func(s *authtest.IssuerSettings) { s.Now = k.Clock.Now })
		f := federate(k, nil, loginBy(k, good, "good", nil)) // the provider oidc is the hostile one
		victims := func() (cb latchkey.OAuth2Callback) {
			begun := k.Begin(f.guest, latchkey.OAuth2Request{Provider: "good"})
			_, parameters, err := good.Visit(begun.URL)
			k.Must(err)
			return latchkey.OAuth2Callback{Provider: "good", Parameters: parameters, Binding: begun.Binding.Reveal()}
		}
		k.Must(kit.Err(f.guest.FinishOAuth2(k.Ctx, victims())))
		redeemed, asked := good.Count(authtest.PathToken), f.issuer.Count(authtest.PathToken)
		mix := func(change func(cb *latchkey.OAuth2Callback, code, iss string)) func(*latchkey.OAuth2Callback) {
			return func(cb *latchkey.OAuth2Callback) {
				theirs := victims().Parameters
				f.note(theirs.Get("code"))
				change(cb, theirs.Get("code"), theirs.Get("iss"))
			}
		}
		f.try(attempt{name: "the callback of the good one", want: latchkey.ErrInvalidToken, callback: mix(func(cb *latchkey.OAuth2Callback, code, iss string) {
			cb.Provider = "good"
			cb.Parameters.Set("code", code)
			cb.Parameters.Set("iss", iss)
		})})
		f.try(attempt{name: "the callback of the good one, without an issuer", want: latchkey.ErrInvalidToken, callback: mix(func(cb *latchkey.OAuth2Callback, code, _ string) {
			cb.Provider = "good"
			cb.Parameters.Set("code", code)
			cb.Parameters.Del("iss")
		})})
		f.try(attempt{name: "the issuer of the good one", want: latchkey.ErrInvalidToken, callback: mix(func(cb *latchkey.OAuth2Callback, code, iss string) {
			cb.Parameters.Set("code", code)
			cb.Parameters.Set("iss", iss)
		})})
		if n := f.issuer.Count(authtest.PathToken); n != asked {
			k.Errorf("the hostile one got %d codes", n-asked)
		}
		// With its own callback and its own issuer, the hostile one gets a code that is worth nothing
		// without the verifier of the victim's start.
		f.try(attempt{name: "the code alone", want: latchkey.ErrProviderFailed, callback: mix(func(cb *latchkey.OAuth2Callback, code, _ string) { cb.Parameters.Set("code", code) })})
		f.forget = true
		f.try(attempt{name: "the issuer of the good one in the document", lie: func(s *authtest.IssuerSettings) { s.Issuer = good.URL }, reason: badIssuer})
		f.try(attempt{name: "the issuer of the good one in the token", lie: claimed(map[string]string{"iss": fmt.Sprintf("%q", good.URL)}), reason: badToken})
		f.try(attempt{name: "the keys of the good one", lie: corrected(authtest.PathDiscovery, func(a map[string]any) { a["jwks_uri"] = good.URL + authtest.PathKeys }), reason: badSig})
		f.try(attempt{name: "a token of the good one", lie: rewritten(func(string) string { return good.IDToken("x") }), reason: badSig})
		f.try(attempt{name: "userinfo of the good one", reason: badStatus, lie: func(s *authtest.IssuerSettings) {
			s.Claims = nil
			corrected(authtest.PathDiscovery, func(a map[string]any) { a["userinfo_endpoint"] = good.URL + authtest.PathUserInfo })(s)
		}})
		if n := good.Count(authtest.PathToken); n != redeemed {
			k.Errorf("the good one got %d requests of tokens", n-redeemed)
		}
		// The token endpoint of the good one knows another client.
		f.try(attempt{name: "the token endpoint of the good one", lie: corrected(authtest.PathDiscovery, func(a map[string]any) { a["token_endpoint"] = good.URL + authtest.PathToken }), reason: "the token endpoint answers invalid_client"})
	})
}

// AC-075: nothing fetches an address of a profile, follows a redirect, or connects to an address of
// the host's own network.
func TestAC075NoAddressOfTheHostIsReached(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		inside := newBystander(k)
		f := federate(k, nil)
		f.forget = true
		for _, name := range []string{"picture", "profile", "website", "jwks_uri", "jku"} {
			f.try(attempt{name: name, lie: func(s *authtest.IssuerSettings) { s.Claims[name] = inside.URL }})
		}
		f.try(attempt{name: "a claim elsewhere", lie: func(s *authtest.IssuerSettings) {
			s.Claims["_claim_names"], s.Claims["_claim_sources"] = map[string]any{"name": "src"}, map[string]any{"src": map[string]any{"endpoint": inside.URL, "access_token": "x"}}
		}})
		f.try(attempt{name: "a key elsewhere", lie: corrected(authtest.PathKeys, func(a map[string]any) {
			key := f.issuer.Key()
			a["keys"] = []any{map[string]any{"kty": "EC", "kid": "x", "x5u": inside.URL}, jose.JSONWebKey{Key: key.Private.Public(), KeyID: key.ID}}
		})})
		// A provider for public services alone.
		var reached atomic.Int64
		secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
		secure.Config.ConnState = func(c net.Conn, s http.ConnState) {
			if s == http.StateNew {
				reached.Add(1)
			}
		}
		secure.StartTLS()
		k.Cleanup(secure.Close)
		_, port, err := net.SplitHostPort(secure.Listener.Addr().String())
		k.Must(err)
		for _, host := range []string{
			"127.0.0.1", "127.1.2.3", "localhost", "localhost.", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[fe80::1]",
			"[fd00::1]", "[ff02::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "[fd00:ec2::254]", "224.0.0.1", "255.255.255.255",
		} {
			for name, p := range map[string]oauth.Provider{
				"discovery": public(k, "https://"+host+":"+port), "profile": plain(k, "https://"+host+":"+port),
			} {
				start := time.Now()
				engine := k.Configured(func(c *latchkey.Config) { c.Providers = []oauth.Provider{p} })
				guest := engine.Guest(kit.Client)
				begun, err := guest.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "oidc", RedirectURL: kit.CallbackURL})
				if name == "profile" {
					k.Must(err)
					u, err := url.Parse(begun.URL)
					k.Must(err)
					err = kit.Err(guest.FinishOAuth2(k.Ctx, latchkey.OAuth2Callback{Provider: "oidc", Parameters: url.Values{"state": {u.Query().Get("state")}, "code": {"x"}}, Binding: begun.Binding.Reveal()}))
					if !errors.Is(err, latchkey.ErrProviderFailed) {
						k.Errorf("%s, %s: %v", host, name, err)
					}
				} else if !errors.Is(err, latchkey.ErrProviderFailed) {
					k.Errorf("%s, %s: %v", host, name, err)
				}
				if time.Since(start) > 3*time.Second {
					k.Errorf("%s, %s: it was dialled", host, name)
				}
			}
		}
		if n := reached.Load(); n != 0 {
			k.Errorf("%d connections", n)
		}
	})
}

// public makes a provider for public services alone.
func public(k *kit.Kit, issuer string) oauth.Provider {
	k.Helper()
	p, err := oidc.New(oidc.Config{Issuer: issuer, ClientID: "x", Now: k.Clock.Now})
	k.Must(err)
	return p
}

// plain makes a provider without OpenID Connect, for public services alone.
func plain(k *kit.Kit, at string) oauth.Provider {
	k.Helper()
	p, err := oauth2.New(oauth2.Config{Name: "oidc", Issuer: at, ClientID: "x", Authorization: at, Token: at, Profile: at, Mapping: oauth2.Mapping{Subject: "id"}})
	k.Must(err)
	return p
}
