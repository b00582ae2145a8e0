package preset_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth/preset"
)

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// brokenAnswers are those that no endpoint of a service may give.
var brokenAnswers = map[string]func(a *answer){
	"a redirect": func(a *answer) {
		a.status = 307
		a.header.Set("Location", "https://169.254.169.254/")
	},
	"a fault": func(a *answer) { a.status = 500 }, "not found": func(a *answer) { a.status = 404 }, "created": func(a *answer) { a.status = 201 },
	"a page": func(a *answer) {
		a.header.Set("Content-Type", "text/html")
		a.body = []byte("<html>")
	},
	"a compressed body": func(a *answer) { a.header.Set("Content-Encoding", "gzip") },
	"without an end":    func(a *answer) { a.stream = endless{} },
	"cut off":           func(a *answer) { a.stream = io.MultiReader(bytes.NewReader(a.body), broken{}) },
	"empty":             func(a *answer) { a.body = nil },
	"a byte order mark": func(a *answer) { a.body = append([]byte("\ufeff"), a.body...) },
	"two values":        func(a *answer) { a.body = append(a.body, a.body...) },
	"not UTF-8":         func(a *answer) { a.body = bytes.Replace(a.body, []byte("a"), []byte("\xff"), 1) },
	"too deep": func(a *answer) {
		a.body = []byte(`{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}")
	},
	"an error with status 200": func(a *answer) { a.body = []byte(`{"error":"invalid_request","error_description":"hide-me"}`) },
	"ok is false":              func(a *answer) { a.body = []byte(`{"ok":false,"error":"hide-me"}`) },
	"an empty object":          func(a *answer) { a.body = []byte(`{}`) },
	"null":                     func(a *answer) { a.body = []byte(`null`) },
	"a text":                   func(a *answer) { a.body = []byte(`"text"`) },
}

// broken is a connection that breaks.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// hostileTrial is one hostile behaviour of a service, and what comes of a sign-in.
type hostileTrial struct {
	what string
	do   func(w *world)
	want *latchkey.Error
}

// refusesEach runs a sign-in against each behaviour. It must fail and leave nothing behind.
func refusesEach(t *testing.T, name string, s service, trials []hostileTrial) {
	t.Helper()
	w, k := s.on(t, "memory", name, nil)
	for _, trial := range trials {
		cb := w.begin(k, name)
		trial.do(w)
		k.RefusesCallback(trial.what, trial.want, cb)
		w.mu.Lock()
		w.hostile, w.change, w.sign = nil, nil, nil
		w.mu.Unlock()
	}
	w.signIn(k, name) // and the trials have not refused because of anything else
}

// at changes the answers of an address.
func at(address string, change func(a *answer)) func(w *world) {
	return func(w *world) {
		w.hostile = func(of string, a *answer) {
			if of == address {
				change(a)
			}
		}
	}
}

// No row takes a person, or tokens, from a broken answer of any endpoint.
func TestEachRowRefusesBrokenAnswers(t *testing.T) {
	oneByOne(t, func(t *testing.T, name string, s service) {
		var trials []hostileTrial
		addresses := []string{"token"}
		for call := range s.calls {
			if s.issuer == "" || call == s.in {
				addresses = append(addresses, call)
			}
		}
		for _, address := range addresses {
			for what, change := range brokenAnswers {
				want := latchkey.ErrProviderFailed
				if what == "an empty object" || what == "an error with status 200" || what == "ok is false" {
					if address == s.in && address != "" && s.issuer == "" {
						want = latchkey.ErrProviderSubject // it is JSON, and names nobody
					}
				}
				if strings.Contains(address, "/emails") && want == latchkey.ErrProviderFailed && (what == "an empty object" || what == "an error with status 200" || what == "ok is false") {
					continue // it lists no address, which TestAnAddressCountsOnlyWithItsFlag looks at
				}
				trials = append(trials, hostileTrial{address + ": " + what, at(address, change), want})
			}
		}
		refusesEach(t, name, s, trials)
	})
}

// No row takes tokens from an answer that says something else than it means.
func TestEachRowRefusesTokensWithTwoReadings(t *testing.T) {
	oneByOne(t, func(t *testing.T, name string, s service) {
		if s.media != "" {
			s.media, s.answer = "", `{"access_token":"abc"}`
		}
		var trials []hostileTrial
		member := func(what, path, value string) {
			trials = append(trials, hostileTrial{what, at("token", func(a *answer) { a.body = set(t, a.body, path, json.RawMessage(value)) }), latchkey.ErrProviderFailed})
		}
		for _, value := range []string{`{"x":1}`, `["abc"]`, `1`, `true`, `""`, `null`} {
			path := "access_token"
			if name == "yammer" {
				path = "access_token.token"
			}
			member("the access token is "+value, path, value)
		}
		if name != "yammer" { // of which one member is read
			for _, value := range []string{`"mac"`, `1`, `"Bearer x"`} {
				member("the type is "+value, "token_type", value)
			}
			for _, value := range []string{`-1`, `1.5`, `"soon"`, `99999999999`, `{}`, `true`} {
				member("the expiry is "+value, "expires_in", value)
			}
			member("the scope is a number", "scope", "1")
			trials = append(trials, hostileTrial{"the access token comes again in another case", at("token", func(a *answer) {
				a.body = bytes.Replace(a.body, []byte("{"), []byte(`{"ACCESS_TOKEN":"other",`), 1)
			}), latchkey.ErrProviderFailed})
		}
		trials = append(trials, hostileTrial{"a member comes twice", at("token", func(a *answer) {
			a.body = bytes.Replace(a.body, []byte("{"), []byte(`{"access_token":"other",`), 1)
		}), latchkey.ErrProviderFailed})
		refusesEach(t, name, s, trials)
	})
}

// tells changes what a service tells of the person at a path.
func (s service) tells(t *testing.T, path string, value any) func(w *world) {
	change := func(a *answer) { a.body = set(t, a.body, path, value) }
	switch s.in {
	case "claims":
		return func(w *world) {
			w.change = func(claims map[string]any) {
				if claims[path] = value; value == nil {
					delete(claims, path)
				}
			}
		}
	case "":
		return at("token", change)
	}
	return at(s.in, change)
}

// No row makes a person of what names nobody, or two.
func TestEachRowRefusesAPersonWhoIsNotNamed(t *testing.T) {
	oneByOne(t, func(t *testing.T, name string, s service) {
		var trials []hostileTrial
		try := func(what string, value any) {
			trials = append(trials, hostileTrial{"the subject is " + what, s.tells(t, s.subject, value), nil})
		}
		try("missing", nil)
		for _, value := range []string{`null`, `""`, `" "`, `{"x":"y"}`, `["1"]`, `true`, `1.5`, `-1`, `1e3`, `"` + strings.Repeat("x", 256) + `"`, `"nul\u0000"`} {
			try(value[:min(len(value), 20)], json.RawMessage(value))
		}
		w, k := s.on(t, "memory", name, nil)
		for _, trial := range trials {
			cb := w.begin(k, name)
			trial.do(w)
			if err := kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)); !isProviderError(err) {
				t.Errorf("%s: %v", trial.what, err)
			}
			w.hostile, w.change = nil, nil
		}
		if rows := k.Rows(); rows["users"]+rows["identities"]+rows["sessions"]+rows["starts"] != 0 {
			t.Errorf("%v", rows)
		}
		if s.in == "" || s.in == "claims" {
			return
		}
		last := s.subject[strings.LastIndex(s.subject, ".")+1:]
		refusesEach(t, name, s, []hostileTrial{{"the subject comes twice", at(s.in, func(a *answer) {
			a.body = bytes.Replace(a.body, []byte(`"`+last+`":`), []byte(`"`+last+`":"other","`+last+`":`), 1)
		}), latchkey.ErrProviderFailed}})
	})
}

// flags are what is no true flag; the first is one where a service writes texts.
var flags = []string{`"true"`, `"false"`, `false`, `0`, `1`, `null`, `"yes"`, `[true]`, `{"x":true}`, `"TRUE"`, `"1"`}

// An address counts only if its flag says so, in the way of the service, and only under the trust of
// the row.
func TestAnAddressCountsOnlyWithItsFlag(t *testing.T) {
	oneByOne(t, func(t *testing.T, name string, s service) {
		if s.trusted {
			w, k := s.on(t, "memory", name, func(o *preset.Options) { o.Trust = preset.Trusted })
			user, err := k.Users().Get(k.Ctx, w.signIn(k, name).UserID)
			k.Must(err)
			k.Same("with trust", []any{user.Email, user.EmailVerification}, []any{s.who.Email, true})
		} else if _, err := preset.New(name, preset.Options{ClientID: clientID, ClientSecret: secretOf(s), Trust: preset.Trusted}); err == nil {
			t.Error("a sandbox can be trusted")
		}
		w, k := s.on(t, "memory", name, func(o *preset.Options) { o.Trust = preset.Untrusted })
		user, err := k.Users().Get(k.Ctx, w.signIn(k, name).UserID)
		k.Must(err)
		k.Same("without trust", []any{user.Email, user.EmailVerification}, []any{"", false})
		if !s.trusted {
			return
		}

		w, k = s.on(t, "memory", name, func(o *preset.Options) { o.Trust = preset.Trusted })
		verified := func(what string, do func(w *world), want bool) {
			t.Helper()
			cb := w.begin(k, name)
			do(w)
			result, err := k.Visitor.FinishOAuth2(k.Ctx, cb)
			w.hostile, w.change = nil, nil
			if err != nil {
				if want || !isProviderError(err) {
					t.Errorf("%s: %v", what, err)
				}
				return
			}
			user, err := k.Users().Get(k.Ctx, result.Session.UserID)
			k.Must(err)
			if user.EmailVerification != want {
				t.Errorf("%s: verified is %v", what, user.EmailVerification)
			}
			k.Must(k.Users().Delete(k.Ctx, user.ID))
		}
		verified("as it is", func(*world) {}, true)
		if s.flag != "" {
			for i, value := range flags {
				want := i == 0 && s.texts || value == `"1"` && name == "microsoft" || value == `1` && name == "zoom"
				verified("the flag is "+value, s.tells(t, s.flag, json.RawMessage(value)), want)
			}
			verified("the flag is missing", s.tells(t, s.flag, nil), false)
		}
		if s.email != "" {
			for _, value := range []string{`""`, `null`, `1`, `["ada@example.org"]`, `{"x":"y"}`, `"no address"`, `"a@example.org, b@example.org"`, `"a@example.org\r\nBcc: b@example.org"`, `"` + strings.Repeat("x", 300) + `@example.org"`} {
				asked := value == "null" && s.in == "claims" && len(s.calls) > 0 // the userinfo endpoint, which tells it
				verified("the address is "+value[:min(len(value), 40)], s.tells(t, s.email, json.RawMessage(value)), asked)
			}
		}
		for call := range s.calls {
			if !strings.HasSuffix(call, "/emails") {
				continue
			}
			for what, list := range map[string]string{
				"no address": `[]`, "none is primary": `[{"email":"ada@example.org","verified":true,"is_confirmed":true}]`,
				"two are primary":         `[{"email":"a@example.org","primary":true,"is_primary":true,"verified":true,"is_confirmed":true},{"email":"b@example.org","primary":true,"is_primary":true,"verified":true,"is_confirmed":true}]`,
				"the primary is unproven": `[{"email":"a@example.org","primary":true,"is_primary":true,"verified":false,"is_confirmed":false},{"email":"b@example.org","verified":true,"is_confirmed":true}]`,
				"the flag is a text":      `[{"email":"a@example.org","primary":true,"is_primary":true,"verified":"true","is_confirmed":"true"}]`,
				"primary is a text":       `[{"email":"a@example.org","primary":"true","is_primary":"true","verified":true,"is_confirmed":true}]`,
			} {
				body := list
				if strings.HasPrefix(s.calls[call], "{") {
					body = `{"values":` + list + `}`
				}
				verified(what, at(call, func(a *answer) { a.body = []byte(body) }), false)
			}
		}
	})
}

// mac signs by the public key of the service as a secret, which a careless verifier would take.
func mac(t *testing.T, payload, key []byte) string {
	t.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"key 1"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// signedBy signs by a key and an algorithm.
func signedBy(t *testing.T, alg jose.SignatureAlgorithm, key any, payload []byte, header map[jose.HeaderKey]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithHeader("kid", "key 1")
	for name, value := range header {
		o = o.WithHeader(name, value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := token.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// strangersKey is a key that no service has.
var strangersKey = sync.OnceValue(newKey)

// idTokenTrials are the ID tokens that no row may take.
func idTokenTrials(t *testing.T, s service) []hostileTrial {
	claim := func(what, name string, value any) hostileTrial {
		return hostileTrial{what, func(w *world) {
			w.change = func(claims map[string]any) {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			}
		}, latchkey.ErrProviderFailed}
	}
	sign := func(what string, do func(w *world, payload []byte) string) hostileTrial {
		return hostileTrial{what, func(w *world) { w.sign = func(payload []byte) string { return do(w, payload) } }, latchkey.ErrProviderFailed}
	}
	other := strangersKey()
	elliptic256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := int64(1_767_268_800)
	trials := []hostileTrial{
		claim("another issuer", "iss", "https://evil.example.com"), claim("no issuer", "iss", nil), claim("an issuer of another case", "iss", strings.ToUpper(s.issuer)), claim("an issuer with a slash more", "iss", s.issuer+"/"), claim("an issuer by http", "iss", "http"+strings.TrimPrefix(s.issuer, "https")),
		claim("another audience", "aud", "another client"), claim("no audience", "aud", nil), claim("an empty list of audiences", "aud", []string{}), claim("a stranger beside us", "aud", []string{clientID, "another client"}), claim("a number as audience", "aud", 1),
		claim("given to another client", "azp", "another client"), claim("given to a list", "azp", []string{clientID}),
		claim("no expiry", "exp", nil), claim("expired", "exp", 1), claim("an expiry as a text", "exp", "2000000000"),
		claim("no time of issue", "iat", nil), claim("issued long ago", "iat", 1_000_000), claim("issued in the future", "iat", now*2), claim("not valid yet", "nbf", now*2),
		claim("the hash of another access token", "at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), claim("the hash of another code", "c_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		sign("no signature", func(_ *world, payload []byte) string {
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
		}),
		sign("the public key as a secret, DER", func(w *world, payload []byte) string {
			der, err := x509.MarshalPKIXPublicKey(w.key.Public())
			if err != nil {
				t.Fatal(err)
			}
			return mac(t, payload, der)
		}),
		sign("the client secret as a key", func(_ *world, payload []byte) string { return mac(t, payload, []byte(clientSecret)) }),
		sign("another key", func(_ *world, payload []byte) string { return signedBy(t, jose.RS256, other, payload, nil) }),
		sign("another kind of key", func(_ *world, payload []byte) string { return signedBy(t, jose.ES256, elliptic256, payload, nil) }),
		sign("an algorithm that the service does not name", func(w *world, payload []byte) string { return signedBy(t, jose.RS512, w.key, payload, nil) }),
		sign("a key of its own", func(_ *world, payload []byte) string {
			return signedBy(t, jose.RS256, other, payload, map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: other.Public()}})
		}),
		sign("an access token by its type", func(w *world, payload []byte) string {
			return signedBy(t, jose.RS256, w.key, payload, map[jose.HeaderKey]any{"typ": "at+jwt"})
		}),
		sign("a claim that comes twice", func(w *world, payload []byte) string {
			return w.signed(bytes.Replace(payload, []byte("{"), []byte(`{"sub":"mallory",`), 1))
		}),
		sign("a claim in another case", func(w *world, payload []byte) string {
			return w.signed(bytes.Replace(payload, []byte("{"), []byte(`{"SUB":"mallory",`), 1))
		}),
		sign("the signature of another token", func(w *world, payload []byte) string {
			a, b := w.signed(payload), w.signed([]byte(`{"iss":"x"}`))
			return a[:strings.LastIndex(a, ".")] + b[strings.LastIndex(b, "."):]
		}),
		sign("two values", func(w *world, payload []byte) string { return w.signed(append(payload, payload...)) }),
		{"no ID token", at("token", func(a *answer) { a.body = set(t, a.body, "id_token", nil) }), latchkey.ErrProviderFailed},
		{"an empty ID token", at("token", func(a *answer) { a.body = set(t, a.body, "id_token", "") }), latchkey.ErrProviderFailed},
	}
	if !s.noNonce {
		trials = append(trials, claim("another nonce", "nonce", "of another sign-in"), claim("no nonce", "nonce", nil))
	}
	if s.in != "claims" {
		trials = append(trials, hostileTrial{"another person at the userinfo endpoint", at(s.in, func(a *answer) { a.body = set(t, a.body, "sub", "mallory") }), latchkey.ErrProviderFailed})
	}
	return trials
}

// No row that speaks OpenID Connect takes an ID token that is not one of its service for the client and
// the sign-in.
func TestEachRowRefusesForeignIDTokens(t *testing.T) {
	oneByOne(t, func(t *testing.T, name string, s service) {
		if s.issuer != "" {
			refusesEach(t, name, s, idTokenTrials(t, s))
		}
	})
}

// No row takes keys or a discovery document that are not those of its service.
func TestEachRowRefusesForeignDocuments(t *testing.T) {
	oneByOne(t, func(t *testing.T, name string, s service) {
		if s.issuer == "" {
			return
		}
		document := func(member string, value any) func(a *answer) {
			return func(a *answer) { a.body = set(t, a.body, member, value) }
		}
		for what, change := range map[string]func(a *answer){
			"another issuer": document("issuer", "https://evil.example.com"), "no issuer": document("issuer", nil), "keys by http": document("jwks_uri", "http://keys.example.com"), "no token endpoint": document("token_endpoint", nil),
			"an endpoint of another scheme": document("authorization_endpoint", "javascript:alert(1)"), "a list of issuers": document("issuer", []string{s.issuer}),
		} {
			brokenDocument(t, name, s, "discovery", what, change)
		}
		for what, change := range brokenAnswers {
			if what != "not UTF-8" {
				brokenDocument(t, name, s, "discovery", what, change)
			}
		}
		brokenDocument(t, name, s, "keys", "a fault", brokenAnswers["a fault"])
		brokenDocument(t, name, s, "keys", "a redirect", brokenAnswers["a redirect"])
		brokenDocument(t, name, s, "keys", "no keys", func(a *answer) { a.body = []byte(`{"keys":[]}`) })
	})
}

// brokenDocument runs a sign-in against a service whose document is broken from the beginning.
func brokenDocument(t *testing.T, name string, s service, which, what string, change func(a *answer)) {
	t.Helper()
	w, k := s.on(t, "memory", name, nil)
	at(which, change)(w)
	start, err := k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: name, RedirectURL: kit.CallbackURL})
	if which == "discovery" {
		if err != latchkey.ErrProviderFailed {
			t.Errorf("%s: %v", what, err)
		}
		if rows := k.Rows(); rows["starts"] != 0 {
			t.Errorf("%s: %d starts", what, rows["starts"])
		}
		return
	}
	k.Must(err)
	back := w.visit(start.URL)
	k.RefusesCallback(what, latchkey.ErrProviderFailed, latchkey.OAuth2Callback{Provider: name, Parameters: back, Binding: start.Binding.Reveal()})
}

// isProviderError reports whether an error says that a provider gave no valid person.
func isProviderError(err error) bool {
	return err != nil && (errors.Is(err, latchkey.ErrProviderFailed) || errors.Is(err, latchkey.ErrProviderSubject) || errors.Is(err, latchkey.ErrUserUnauthorized))
}
