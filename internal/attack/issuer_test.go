package attack_test

import (
	"bytes"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
)

const (
	badClaims = "the claims are not JSON that has one reading"
	badJSON   = "the answer of the service is not JSON that has one reading"
	badHeader = "the header of the token is refused"
	badToken  = "the ID token is not one of the issuer for the client"
	badAud    = "the ID token is for another client"
	badTimes  = "the times of the ID token"
	badSub    = "the subject is missing, blank or too long"
	badPerson = "the subject of the userinfo endpoint is not the one"
	badForm   = "the token is not a JWS in compact form"
	badKey    = "no key of the service fits the token"
	badSig    = "the signature of the token is wrong"
	badKeys   = "the set of keys has more than 100"
	badIssuer = "the discovery document is that of another issuer"
)

// Line 1: two readers of one text must not read different names.
func TestIssuer1Names(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		f.forget = true
		f.try(attempt{name: "an honest issuer"})
		f.try(attempt{name: "a name with an escape", lie: func(s *authtest.IssuerSettings) {
			s.EditPayload = func(p []byte) []byte { return bytes.Replace(p, []byte(`"sub"`), []byte(`"\u0073ub"`), 1) }
		}})
		f.try(attempt{name: "an unknown name", lie: prepended(`"x":{"sub":"mallory","SUB":"mallory"}`)})
		for name, text := range map[string]string{
			"two subjects": `"sub":"mallory"`, "two issuers": `"iss":"https://evil.example.com"`, "two audiences": `"aud":"other"`,
			"two ends": `"exp":99999999999`, "two nonces": `"nonce":"other"`, "two addresses": `"email":"mallory@example.net"`,
			"two flags": `"email_verified":false`, "two equal flags": `"email_verified":true`,
			"SUB": `"SUB":"mallory"`, "Sub": `"Sub":"mallory"`, "ISS": `"ISS":"https://evil.example.com"`, "Aud": `"Aud":"other"`, "Exp": `"Exp":1`,
			"Nonce": `"Nonce":"other"`, "EMAIL": `"EMAIL":"mallory@example.net"`, "Email_Verified": `"Email_Verified":false`, "AZP": `"AZP":"x"`,
			"a long s": `"` + "\u017f" + `ub":"mallory"`, "a long s in iss": `"i` + "\u017f" + `s":"x"`, "an escaped long s": `"\u017fub":"mallory"`,
			"an escaped double": `"\u0073ub":"mallory"`, "an escaped double in another case": `"\u0053ub":"mallory"`,
			"a double below": `"address":{"country":"a","country":"b"}`, "a double below a list": `"x":[[{"a":1,"a":1}]]`, "an escaped double below": `"x":{"a":1,"\u0061":1}`,
			"a name that is not UTF-8": "\"\xff\":1",
		} {
			f.try(attempt{name: name, lie: prepended(text), reason: badClaims})
		}
		for name, header := range map[string]string{
			"two algorithms": `{"alg":"ES256","alg":"ES256","kid":"key-1"}`, "two key ids": `{"alg":"ES256","kid":"key-1","kid":"key-1"}`,
			"ALG": `{"alg":"ES256","ALG":"none","kid":"key-1"}`, "a kelvin sign": `{"alg":"ES256","kid":"key-1","` + "\u212a" + `id":"x"}`, "an escaped double of alg": `{"alg":"ES256","\u0061lg":"none","kid":"key-1"}`,
		} {
			f.try(attempt{name: name, lie: func(s *authtest.IssuerSettings) {
				s.EditHeader = func([]byte) []byte { return []byte(header) }
			}, reason: badHeader})
		}
		who, secretless := fmt.Sprintf(`"sub":%q`, f.honest.Subject), `"token_type":"Bearer","id_token":"x"`
		documents := map[string]func(*authtest.IssuerSettings){
			"userinfo, two subjects": func(s *authtest.IssuerSettings) {
				s.Claims = nil
				answered(authtest.PathUserInfo, 200, "application/json", `{"sub":"mallory",`+who+`}`)(s)
			},
			"userinfo, SUB":             func(s *authtest.IssuerSettings) { byUserInfo(func(c map[string]any) { c["SUB"] = "mallory" })(s) },
			"token, two access tokens":  answered(authtest.PathToken, 200, "application/json", `{"access_token":"a","access_token":"b",`+secretless+`}`),
			"token, two ID tokens":      answered(authtest.PathToken, 200, "application/json", `{"access_token":"a","id_token":"y",`+secretless+`}`),
			"token, ID_TOKEN":           corrected(authtest.PathToken, func(a map[string]any) { a["ID_TOKEN"] = "x" }),
			"token, a kelvin sign":      corrected(authtest.PathToken, func(a map[string]any) { a["access_to\u212aen"] = "x" }),
			"token, a double below":     corrected(authtest.PathToken, func(a map[string]any) { a["x"] = json.RawMessage(`{"a":1,"a":1}`) }),
			"discovery, ISSUER":         corrected(authtest.PathDiscovery, func(a map[string]any) { a["ISSUER"] = "x" }),
			"discovery, a kelvin sign":  corrected(authtest.PathDiscovery, func(a map[string]any) { a["jw\u212as_uri"] = "x" }),
			"discovery, two issuers":    answered(authtest.PathDiscovery, 200, "application/json", fmt.Sprintf(`{"issuer":%[1]q,"issuer":%[1]q}`, f.issuer.URL)),
			"keys, two sets":            answered(authtest.PathKeys, 200, "application/json", `{"keys":[],"keys":[]}`),
			"keys, a kelvin sign":       corrected(authtest.PathKeys, func(a map[string]any) { a["\u212aeys"] = []any{} }),
			"keys, a double in one key": corrected(authtest.PathKeys, func(a map[string]any) { a["keys"] = []any{json.RawMessage(`{"kty":"oct","kty":"EC"}`)} }),
		}
		for name, lie := range documents {
			reason := badJSON
			if strings.HasPrefix(name, "userinfo") {
				reason = badClaims
			}
			f.try(attempt{name: name, lie: lie, reason: reason})
		}
		f.try(attempt{name: "an honest issuer at the end"})
	})
}

// Line 2: a subject is a text of 1 to 255 bytes, and stays as it is.
func TestIssuer2Subjects(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		f.try(attempt{name: "an honest issuer"})
		for name, row := range map[string]struct{ value, reason string }{
			"a number": {"248289761001", badToken}, "a number above 2^53": {"9007199254740993", badToken}, "a fraction": {"1.5", badToken}, "true": {"true", badToken},
			"none": {"", badSub}, "null": {"null", badSub}, "an empty one": {`""`, badSub}, "a blank one": {`" "`, badSub}, "a blank one of tab and no-break space": {`"\t\u00a0"`, badSub},
			"a list": {`["248289761001"]`, badToken}, "an object": {`{"sub":"248289761001"}`, badToken},
			"256 bytes": {`"` + strings.Repeat("x", 256) + `"`, badSub}, "128 letters of 2 bytes": {`"` + strings.Repeat("\u00e9", 128) + `"`, badSub},
			"17 KiB": {`"` + strings.Repeat("x", 17<<10) + `"`, badForm}, "1 MiB": {`"` + strings.Repeat("x", 1<<20) + `"`, "the answer of the service is too long"},
			"a byte that is not UTF-8": {"\"a\xff\"", badClaims}, "a surrogate in bytes": {"\"\xed\xa0\x80\"", badClaims}, "a lone surrogate": {`"\ud800"`, badClaims}, "a turned pair": {`"\udc00\ud800"`, badClaims},
		} {
			f.try(attempt{name: name, lie: claimed(map[string]string{"sub": row.value}), reason: row.reason})
		}
		f.try(attempt{name: "NUL", lie: claimed(map[string]string{"sub": `"a\u0000b"`}), want: latchkey.ErrProviderSubject})
		people := make(map[string]string)
		for i, subject := range []string{
			"248289761001 ", " 248289761001", "0248289761001", "a", "A", "\u00e9", "e\u0301", "\u212a", "k", "K", "\uff41", "a\u200d", strings.Repeat("x", 255), strings.Repeat("\U0001F600", 63),
		} {
			text, err := json.Marshal(subject)
			k.Must(err)
			f.try(attempt{
				name: fmt.Sprintf("%.20q", subject), subject: subject,
				lie: claimed(map[string]string{"sub": string(text), "email": fmt.Sprintf("%q", fmt.Sprintf("p%d@example.net", i))}),
				check: func(result *latchkey.OAuth2Result) {
					if of, twice := people[result.Session.UserID]; twice {
						k.Errorf("%q is the user of %q", subject, of)
					}
					people[result.Session.UserID] = subject
				},
			})
		}
	})
}

// Line 3: a token is for us, and beside us for those that the host knows.
func TestIssuer3Audiences(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, func(c *oidc.Config) { c.Audiences = []string{"known"} })
		id := f.honest.ClientID
		for name, row := range map[string]struct{ aud, azp, reason string }{
			"us": {fmt.Sprintf("%q", id), "", ""}, "a list of us": {fmt.Sprintf("[%q]", id), "", ""}, "us and a known one": {fmt.Sprintf(`["known",%q]`, id), fmt.Sprintf("%q", id), ""},
			"none": {"", "", badAud}, "null": {"null", "", badAud}, "an empty list": {"[]", "", badAud}, "an empty text": {`""`, "", badAud}, "a stranger": {`"other"`, "", badAud},
			"a known one alone": {`"known"`, fmt.Sprintf("%q", id), badAud}, "us and a stranger": {fmt.Sprintf(`[%q,"other"]`, id), fmt.Sprintf("%q", id), badAud},
			"us and null": {fmt.Sprintf(`[%q,null]`, id), fmt.Sprintf("%q", id), badClaims}, "us twice": {fmt.Sprintf("[%[1]q,%[1]q]", id), "", badAud},
			"a list of lists": {fmt.Sprintf("[[%q]]", id), "", badToken}, "a number": {"1", "", badToken}, "true": {"true", "", badToken}, "an object": {fmt.Sprintf(`{"0":%q}`, id), "", badToken},
			"21 members": {fmt.Sprintf("[%q", id) + strings.Repeat(`,"known"`, 20) + "]", fmt.Sprintf("%q", id), badAud}, "10,000 members": {fmt.Sprintf("[%q", id) + strings.Repeat(`,"x"`, 9_999) + "]", "", badForm},
			"us with a slash": {fmt.Sprintf("%q", id+"/"), "", badAud}, "us in another case": {fmt.Sprintf("%q", strings.ToUpper(id)), "", badAud}, "us with a space": {fmt.Sprintf("%q", id+" "), "", badAud},
			"us in a text of two": {fmt.Sprintf("%q", id+" other"), "", badAud},
		} {
			f.try(attempt{name: name, lie: claimed(map[string]string{"aud": row.aud, "azp": row.azp}), reason: row.reason})
		}
	})
}

// Line 4: the party to which a token was given is us, or one that the host knows.
func TestIssuer4Parties(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, func(c *oidc.Config) { c.Audiences = []string{"known"} })
		id := fmt.Sprintf("%q", f.honest.ClientID)
		both := fmt.Sprintf(`["known",%s]`, id)
		for name, row := range map[string]struct{ aud, azp, reason string }{
			"none": {id, "", ""}, "us": {id, id, ""}, "a known one": {id, `"known"`, ""}, "a known one beside us": {both, `"known"`, ""},
			"a stranger": {id, `"other"`, badAud}, "a stranger for two": {both, `"other"`, badAud}, "an empty one": {id, `""`, badAud}, "us in another case": {id, strings.ToUpper(id), badAud},
			"a list": {id, "[" + id + "]", badClaims}, "a number": {id, "1", badClaims}, "an object": {id, "{}", badClaims}, "missing with two audiences": {both, "", badAud}, "null with two audiences": {both, "null", badAud},
		} {
			f.try(attempt{name: name, lie: claimed(map[string]string{"aud": row.aud, "azp": row.azp}), reason: row.reason})
		}
	})
}

// Line 5: issuers are equal to the byte, in the documents, the token and the callback.
func TestIssuer5Issuers(t *testing.T) {
	const tenant = "/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		for place, others := range map[string]func(own string) map[string]string{
			"": func(own string) map[string]string {
				return map[string]string{
					"another case of the host": strings.Replace(own, "localhost", "LOCALHOST", 1), "another case of the scheme": strings.Replace(own, "http:", "HTTP:", 1), "https": strings.Replace(own, "http:", "https:", 1),
					"no scheme": strings.TrimPrefix(own, "http://"), "Google without a scheme": "accounts.google.com", "the address of the host": strings.Replace(own, "localhost", "127.0.0.1", 1),
					"a dot after the host": strings.Replace(own, "localhost", "localhost.", 1), "a user": strings.Replace(own, "localhost", "x@localhost", 1), "a space": own + " ", "a query": own + "?x", "a fragment": own + "#x",
					"an added slash": own + "/", "a stranger": "https://evil.example.com", "an empty one": "",
				}
			},
			"/": func(own string) map[string]string {
				return map[string]string{"a missing slash": strings.TrimSuffix(own, "/"), "another slash": own + "/"}
			},
			tenant: func(own string) map[string]string {
				return map[string]string{
					"another tenant": strings.Replace(own, "9188040d", "9188040e", 1), "the tenant in another case": strings.Replace(own, "9188040d", "9188040D", 1),
					"a tenant that is no UUID": strings.Replace(own, tenant, "/x/v2.0", 1), "a tenant that is left in": strings.Replace(own, tenant, "/{tenantid}/v2.0", 1),
				}
			},
		} {
			var own string
			f := federate(k, func(c *oidc.Config) {
				own = strings.Replace(c.Issuer, "127.0.0.1", "localhost", 1) + place
				c.Issuer = own
			})
			f.forget = true
			f.honest.Issuer = own
			if place == tenant {
				f.honest.Answer = f.discoveryAt(tenant + authtest.PathDiscovery)
			}
			f.try(attempt{name: "an honest issuer at " + place})
			for name, other := range others(own) {
				text, err := json.Marshal(other)
				k.Must(err)
				want := latchkey.ErrInvalidToken
				if other == "" {
					want = latchkey.ErrProviderFailed // the service has promised to name itself
				}
				f.try(attempt{name: name + " in the token", lie: claimed(map[string]string{"iss": string(text)}), reason: badToken})
				f.try(attempt{name: name + " in the document", lie: func(s *authtest.IssuerSettings) { s.Issuer = other }, reason: badIssuer})
				f.try(attempt{name: name + " in the callback", lie: func(s *authtest.IssuerSettings) {
					s.EditCallback = func(q url.Values) { q.Set("iss", other) }
				}, want: want})
			}
		}
		f := federate(k, nil)
		for name, value := range map[string]string{"none": "", "null": "null", "a list": fmt.Sprintf("[%q]", f.issuer.URL), "a number": "1", "an object": "{}"} {
			f.try(attempt{name: name, lie: claimed(map[string]string{"iss": value}), reason: badToken})
		}
	})
}

// discoveryAt answers with the discovery document of the issuer at another path.
func (f *federation) discoveryAt(at string) func(string, http.ResponseWriter, *http.Request) bool {
	return func(path string, w http.ResponseWriter, _ *http.Request) bool {
		if path != at {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": f.issuer.Settings().Issuer, "authorization_endpoint": f.issuer.URL + authtest.PathAuthorize, "token_endpoint": f.issuer.URL + authtest.PathToken,
			"jwks_uri": f.issuer.URL + authtest.PathKeys, "id_token_signing_alg_values_supported": []string{"ES256"}, "authorization_response_iss_parameter_supported": true,
		})
		return true
	}
}

// Line 6: the times of a token are those of now, with a minute for clocks that differ.
func TestIssuer6Times(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		now := k.Clock.Now().Unix()
		at := func(d int64) string { return fmt.Sprint(now + d) }
		for name, row := range map[string]struct{ claim, value, reason string }{
			"exp, equal to now": {"exp", at(0), ""}, "exp, within the leeway": {"exp", at(-59), ""}, "exp, at the leeway": {"exp", at(-60), badTimes}, "exp, beyond it": {"exp", at(-61), badTimes},
			"exp, none": {"exp", "", badTimes}, "exp, null": {"exp", "null", badToken}, "exp, 0": {"exp", "0", badTimes}, "exp, negative": {"exp", "-1", badTimes}, "exp, 1e30": {"exp", "1e30", badClaims},
			"exp, a text": {"exp", `"` + at(3600) + `"`, badClaims}, "exp, a fraction": {"exp", at(3600) + ".5", badClaims}, "exp, true": {"exp", "true", badToken}, "exp, a list": {"exp", "[" + at(3600) + "]", badToken},
			"exp, 2^63": {"exp", "9223372036854775808", badClaims}, "exp, 2^63-1": {"exp", "9223372036854775807", badTimes}, "exp, in milliseconds": {"exp", at(0) + "000000", badTimes},
			"iat, within the leeway": {"iat", at(60), ""}, "iat, ahead": {"iat", at(61), badTimes}, "iat, ten minutes old": {"iat", at(-600), ""}, "iat, more": {"iat", at(-601), badTimes}, "iat, eleven minutes old": {"iat", at(-660), badTimes},
			"iat, none": {"iat", "", badTimes}, "iat, a text": {"iat", `"` + at(0) + `"`, badClaims}, "iat, negative": {"iat", "-1", badTimes}, "iat, a fraction": {"iat", at(0) + ".5", badClaims},
			"nbf, within the leeway": {"nbf", at(60), ""}, "nbf, ahead": {"nbf", at(61), badTimes}, "nbf, a text": {"nbf", `"` + at(0) + `"`, badClaims}, "nbf, negative": {"nbf", "-1", badTimes},
			"auth_time, within the leeway": {"auth_time", at(60), ""}, "auth_time, ahead": {"auth_time", at(61), badTimes}, "auth_time, old": {"auth_time", at(-1_000_000), ""}, "auth_time, a text": {"auth_time", `"1"`, badClaims},
		} {
			f.try(attempt{name: name, lie: claimed(map[string]string{row.claim: row.value}), reason: row.reason})
		}
	})
}

// Line 7: the header chooses neither the key nor how it is used.
func TestIssuer7Headers(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		own := f.issuer.Key()
		p384, attacker := ecKey(elliptic.P384()), ecKey(elliptic.P256())
		strong := authtest.IssuerKey{ID: "rsa", Algorithm: "RS256", Private: rsaKey()}
		corrected(authtest.PathKeys, func(a map[string]any) {
			a["keys"] = append(a["keys"].([]any), jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "rsa"}, jose.JSONWebKey{Key: p384.Public(), KeyID: "p384"})
		})(&f.honest)
		jwk, err := jose.JSONWebKey{Key: attacker.Public(), KeyID: "key-1"}.MarshalJSON()
		k.Must(err)
		parts := func(edit func(p []string) string) func(*authtest.IssuerSettings) {
			return rewritten(func(token string) string { return edit(strings.Split(token, ".")) })
		}
		rows := map[string]struct {
			lie    func(*authtest.IssuerSettings)
			reason string
		}{
			"the honest key": {nil, ""}, "RS256 by an RSA key": {resigned("RS256", rsaKey(), `{"alg":"RS256","kid":"rsa"}`), ""}, "PS256 by an RSA key": {resigned("PS256", rsaKey(), `{"alg":"PS256","kid":"rsa"}`), ""},
			"no key id, one key fits": {headed(map[string]string{"kid": ""}), ""}, "no type": {headed(map[string]string{"typ": ""}), ""}, "an access token": {headed(map[string]string{"typ": `"at+jwt"`}), badHeader}, "a logout token": {headed(map[string]string{"typ": `"logout+jwt"`}), badHeader},
			"none": {resigned("none", nil, `{"alg":"none"}`), badHeader}, "NONE": {resigned("none", nil, `{"alg":"NONE"}`), badHeader}, "nOnE": {resigned("none", nil, `{"alg":"nOnE","kid":"key-1"}`), badHeader},
			"none with a signature":    {headed(map[string]string{"alg": `"none"`}), badHeader},
			"HS256 with the PEM":       {resigned("HS256", strong.PEM(), `{"alg":"HS256","kid":"rsa"}`), badHeader},
			"HS256 with the DER":       {resigned("HS256", strong.DER(), `{"alg":"HS256","kid":"rsa"}`), badHeader},
			"HS256 with the secret":    {resigned("HS256", []byte(f.honest.ClientSecret.Reveal()), `{"alg":"HS256"}`), badHeader},
			"HS256 said to be RS256":   {resigned("HS256", strong.PEM(), `{"alg":"RS256","kid":"rsa"}`), badSig},
			"RS256 with an EC key":     {resigned("ES256", own.Private, `{"alg":"RS256","kid":"key-1"}`), badKey},
			"ES256 with an RSA key":    {resigned("RS256", rsaKey(), `{"alg":"ES256","kid":"rsa"}`), badKey},
			"ES256 with a P-384 key":   {resigned("ES256", p384, `{"alg":"ES256","kid":"p384"}`), badKey},
			"ES384, which is not said": {resigned("ES384", p384, `{"alg":"ES384","kid":"p384"}`), badHeader},
			"RS384, which is not said": {resigned("RS384", rsaKey(), `{"alg":"RS384","kid":"rsa"}`), badHeader},
			"an unknown one":           {headed(map[string]string{"alg": `"XX256"`}), badHeader}, "another case": {headed(map[string]string{"alg": `"es256"`}), badHeader}, "a list": {headed(map[string]string{"alg": `["ES256"]`}), badHeader},
			"no algorithm": {headed(map[string]string{"alg": ""}), badHeader}, "null": {headed(map[string]string{"alg": "null"}), badHeader},
			"crit": {headed(map[string]string{"crit": `["exp"]`}), badHeader}, "an empty crit": {headed(map[string]string{"crit": `[]`}), badHeader}, "crit that is null": {headed(map[string]string{"crit": `null`}), badHeader},
			"b64": {headed(map[string]string{"b64": "false", "crit": `["b64"]`}), badHeader}, "b64 alone": {headed(map[string]string{"b64": "false"}), badHeader},
			"jku": {headed(map[string]string{"jku": `"https://evil.example.com/jwks"`}), badHeader}, "jku of the issuer": {headed(map[string]string{"jku": fmt.Sprintf("%q", f.issuer.URL+authtest.PathKeys)}), badHeader},
			"jwk": {headed(map[string]string{"jwk": string(jwk)}), badHeader}, "x5u": {headed(map[string]string{"x5u": `"https://evil.example.com/x"`}), badHeader}, "x5c": {headed(map[string]string{"x5c": `["MIIB"]`}), badHeader},
			"an embedded key that has signed": {resigned("ES256", attacker, fmt.Sprintf(`{"alg":"ES256","kid":"key-1","jwk":%s}`, jwk)), badHeader}, "a key of the attacker": {resigned("ES256", attacker, `{"alg":"ES256","kid":"key-1"}`), badSig},
			"a key of the attacker without an id": {resigned("ES256", attacker, `{"alg":"ES256"}`), badKey},
			"an unknown id":                       {headed(map[string]string{"kid": `"key-2"`}), badKey}, "an id with a path": {headed(map[string]string{"kid": `"../key-1"`}), badKey}, "an id with a quote": {headed(map[string]string{"kid": `"key-1' OR '1'='1"`}), badKey},
			"an id that is a number": {headed(map[string]string{"kid": "1"}), badHeader}, "an id in another case": {headed(map[string]string{"kid": `"KEY-1"`}), badKey},
			"an encrypted token": {rewritten(encrypted), badForm},
			"JSON": {parts(func(p []string) string {
				return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, p[0], p[1], p[2])
			}), badForm},
			"JSON, two signatures": {parts(func(p []string) string {
				return fmt.Sprintf(`{"payload":%[2]q,"signatures":[{"protected":%[1]q,"signature":%[3]q},{"protected":%[1]q,"signature":%[3]q}]}`, p[0], p[1], p[2])
			}), badForm},
			"four dots": {parts(func(p []string) string { return strings.Join(append(p, p...)[:5], ".") }), badForm}, "one dot": {parts(func(p []string) string { return p[0] + "." + p[1] }), badForm},
			"a line break": {rewritten(func(token string) string { return token + "\n" }), badForm}, "a line break before": {rewritten(func(token string) string { return "\n" + token }), badForm},
			"a line break inside": {parts(func(p []string) string { return p[0] + "." + p[1] + ".\r\n" + p[2] }), badForm}, "padding": {rewritten(func(token string) string { return token + "==" }), badForm},
			"padding of the header":   {parts(func(p []string) string { return p[0] + "=." + p[1] + "." + p[2] }), badForm},
			"the alphabet of base64":  {parts(func(p []string) string { return p[0] + "." + p[1] + "." + strings.Repeat("+/", 43) }), badForm},
			"a detached payload":      {parts(func(p []string) string { return p[0] + ".." + p[2] }), badSig},
			"bits after the last":     {parts(func(p []string) string { return p[0] + "." + p[1] + "." + p[2][:len(p[2])-1] + loose(p[2]) }), badForm},
			"an empty header":         {func(s *authtest.IssuerSettings) { s.EditHeader = func([]byte) []byte { return nil } }, badHeader},
			"a header that is a list": {func(s *authtest.IssuerSettings) { s.EditHeader = func([]byte) []byte { return []byte("[]") } }, badHeader},
		}
		for name, row := range rows {
			f.try(attempt{name: name, lie: row.lie, reason: row.reason})
		}
		// Invented key ids make the provider read the keys once more a minute, and no more.
		k.Clock.Advance(time.Minute)
		before := f.issuer.Count(authtest.PathKeys)
		for i := range 5 {
			f.try(attempt{name: "an invented id", lie: headed(map[string]string{"kid": fmt.Sprintf(`"invented-%d"`, i)}), reason: badKey})
		}
		for i := range 1000 {
			token, err := authtest.SignWith("ES256", attacker, fmt.Appendf(nil, `{"alg":"ES256","kid":"more-%d"}`, i), []byte("{}"))
			k.Must(err)
			if err := kit.Err(f.login.Profile(k.Ctx, &oauth.Flow{Now: k.Clock.Now()}, &oauth.Tokens{ID: hidden.New(token)})); !strings.Contains(fmt.Sprint(err), badKey) {
				k.Fatalf("an invented id: %v", err)
			}
		}
		if n := f.issuer.Count(authtest.PathKeys) - before; n != 1 {
			k.Errorf("%d readings of the keys for 1,005 invented ids", n)
		}
		// Of two keys that fit a token without an id, none is chosen.
		f.forget = true
		f.issuer.NewKey("ES256")
		f.try(attempt{name: "no key id, two keys fit", lie: headed(map[string]string{"kid": ""}), reason: badKey})
		f.try(attempt{name: "the newer of two keys"})
	})
}
