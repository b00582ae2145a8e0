package attack_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
	"example.com/latchkey/ratelimit"
)

// hideMe is in texts of an issuer that are shown to nobody.
const hideMe = "hide-me"

// federation is an engine on the store of a kit that signs users in by an issuer. The issuer is
// honest until a test changes it.
type federation struct {
	*kit.Kit
	engine *latchkey.Engine
	guest  *latchkey.Guest
	issuer *authtest.Issuer
	login  *oidc.Provider
	honest authtest.IssuerSettings
	// forget lets a day pass before each row, so that the provider reads every document again.
	forget bool

	log     bytes.Buffer
	mu      sync.Mutex
	secrets []string
}

// federate makes an engine with an issuer that signs with ES256. change may set the rest of the
// provider's configuration, and more are further providers of the engine.
func federate(k *kit.Kit, change func(*oidc.Config), more ...oauth.Provider) *federation {
	k.Helper()
	f := &federation{Kit: k, issuer: authtest.NewIssuer(k.T)}
	f.issuer.NewKey("ES256")
	f.issuer.Set(func(s *authtest.IssuerSettings) { s.Now = k.Clock.Now })
	f.honest = f.issuer.Settings()
	f.login = loginBy(k, f.issuer, "oidc", change)
	f.engine = k.Configured(func(c *latchkey.Config) {
		c.Providers = append([]oauth.Provider{f.login}, more...)
		c.Limiter = ratelimit.ReportOnly(ratelimit.NewMemory(0))
		c.Logger = slog.New(slog.NewJSONHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	f.guest = f.engine.Guest(kit.Client)
	return f
}

// loginBy makes a provider for an issuer.
func loginBy(k *kit.Kit, issuer *authtest.Issuer, name string, change func(*oidc.Config)) *oidc.Provider {
	k.Helper()
	s := issuer.Settings()
	c := oidc.Config{
		Name: name, Issuer: issuer.URL, ClientID: s.ClientID, ClientSecret: s.ClientSecret,
		TrustEmail: true, Private: true, Now: k.Clock.Now,
	}
	if change != nil {
		change(&c)
	}
	p, err := oidc.New(c)
	k.Must(err)
	k.Cleanup(func() { k.Must(p.Close()) })
	return p
}

// attempt is one sign-in by an issuer that lies. Without want and reason it must succeed.
type attempt struct {
	name string
	lie  func(s *authtest.IssuerSettings)
	// visit changes the parameters with which the browser comes to the issuer, and callback those
	// with which it comes back.
	visit    func(q url.Values)
	callback func(cb *latchkey.OAuth2Callback)
	want     error
	reason   string // a part of the reason in the log; then want is ErrProviderFailed, or ErrProviderSubject for badSub
	subject  string // of a sign-in; "" means that of the honest issuer
	check    func(result *latchkey.OAuth2Result)
}

// note keeps texts that must be shown nowhere.
func (f *federation) note(secrets ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range secrets {
		if s != "" {
			f.secrets = append(f.secrets, s)
		}
	}
}

// tell sets the issuer for an attempt, and keeps the secrets that it sends and receives.
func (f *federation) tell(lie func(s *authtest.IssuerSettings)) {
	f.issuer.Set(func(s *authtest.IssuerSettings) {
		*s = f.honest
		s.Claims, s.UserInfo = maps.Clone(s.Claims), maps.Clone(s.UserInfo)
		if lie != nil {
			lie(s)
		}
		edit, before := s.Edit, s.Before
		s.Edit = func(path string, answer map[string]any) {
			for _, name := range []string{"access_token", "refresh_token", "id_token"} {
				if text, is := answer[name].(string); is && path == authtest.PathToken {
					f.note(text)
				}
			}
			if edit != nil {
				edit(path, answer)
			}
		}
		s.Before = func(r *http.Request) {
			if r.URL.Path == authtest.PathToken && r.ParseForm() == nil {
				f.note(r.PostForm.Get("code_verifier"))
			}
			if before != nil {
				before(r)
			}
		}
	})
}

// begin begins a sign-in, visits the issuer and returns the callback.
func (f *federation) begin(a attempt) (cb latchkey.OAuth2Callback, err error) {
	f.Helper()
	start, err := f.guest.StartOAuth2(f.Ctx, latchkey.OAuth2Request{Provider: "oidc", RedirectURL: kit.CallbackURL})
	if err != nil {
		return cb, err
	}
	u, err := url.Parse(start.URL)
	f.Must(err)
	q := u.Query()
	f.note(start.Binding.Reveal(), q.Get("state"), q.Get("nonce"))
	if a.visit != nil {
		a.visit(q)
	}
	u.RawQuery = q.Encode()
	_, parameters, err := f.issuer.Visit(u.String())
	f.Must(err)
	f.note(parameters.Get("code"))
	cb = latchkey.OAuth2Callback{Provider: "oidc", Parameters: parameters, Binding: start.Binding.Reveal()}
	if a.callback != nil {
		a.callback(&cb)
	}
	return cb, nil
}

// state returns the rows that a refused sign-in leaves as they are.
func (f *federation) state() map[string][]string {
	all := f.Everything()
	delete(all, "starts")
	delete(all, "logs")
	return all
}

// try runs an attempt and reports an outcome that is not the wanted one, rows that a refusal has
// left, and secrets or texts of the issuer in the error or in the log.
func (f *federation) try(a attempt) {
	f.Helper()
	if f.forget {
		f.Clock.Advance(25 * time.Hour)
	}
	f.secrets = []string{f.honest.ClientSecret.Reveal(), url.QueryEscape(f.honest.ClientSecret.Reveal()), hideMe, f.honest.Subject, kit.Ada, "mallory"}
	f.log.Reset()
	f.tell(a.lie)
	before := f.state()
	f.Told.Take()
	cb, err := f.begin(a)
	var result *latchkey.OAuth2Result
	if err == nil {
		result, err = f.guest.FinishOAuth2(f.Ctx, cb)
	}
	switch a.reason {
	case "":
	case badSub:
		a.want = latchkey.ErrProviderSubject
	default:
		a.want = latchkey.ErrProviderFailed
	}
	f.shows(a.name, err)
	switch {
	case a.want == nil && err != nil:
		f.Errorf("%s: %v, %s", a.name, err, &f.log)
	case a.want == nil:
		if a.subject == "" {
			a.subject = f.honest.Subject
		}
		if result.Session == nil || result.Session.ProviderUID != a.subject {
			f.Errorf("%s: signed in as %+v, want %q", a.name, result.Session, a.subject)
		}
		if a.check != nil {
			a.check(result)
		}
		return
	case !errors.Is(err, a.want) || result != nil:
		f.Errorf("%s: %v, want %v, %+v", a.name, err, a.want, result)
	case !strings.Contains(f.log.String(), a.reason):
		f.Errorf("%s: refused for another reason: %s", a.name, &f.log)
	}
	if diff := cmp.Diff(before, f.state()); diff != "" {
		f.Errorf("%s changed the store (-before +after):\n%s", a.name, diff)
	}
	if told := f.Told.Take(); len(told) != 0 {
		f.Errorf("%s was told: %v", a.name, told)
	}
}

// shows reports a secret or a text of the issuer in an error or in the log.
func (f *federation) shows(name string, err error) {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	printed := fmt.Sprintf("%v %+v %#v %s %q", err, err, err, errors.Unwrap(err), f.log.String())
	for _, secret := range f.secrets {
		if strings.Contains(printed, secret) {
			f.Errorf("%s: %q is shown in %s", name, secret, printed)
		}
	}
}

// prepended puts text before the first member of the claims.
func prepended(text string) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) {
		s.EditPayload = func(payload []byte) []byte { return append([]byte("{"+text+","), payload[1:]...) }
	}
}

// edited sets members of a JSON object to raw values. An empty value deletes the member.
func edited(object []byte, members map[string]string) []byte {
	var all map[string]json.RawMessage
	if json.Unmarshal(object, &all) != nil {
		return nil
	}
	var out bytes.Buffer
	for name, value := range members {
		delete(all, name)
		if value != "" {
			fmt.Fprintf(&out, ",%q:%s", name, value)
		}
	}
	for name, value := range all {
		fmt.Fprintf(&out, ",%q:%s", name, value)
	}
	return append([]byte("{"), append(bytes.TrimPrefix(out.Bytes(), []byte(",")), '}')...)
}

// claimed sets claims to raw values.
func claimed(claims map[string]string) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) {
		s.EditPayload = func(payload []byte) []byte { return edited(payload, claims) }
	}
}

// headed sets members of the header to raw values.
func headed(members map[string]string) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) {
		s.EditHeader = func(header []byte) []byte { return edited(header, members) }
	}
}

// rewritten sends another text as the ID token.
func rewritten(edit func(token string) string) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) { s.EditIDToken = edit }
}

// payloadOf returns the payload of a token.
func payloadOf(token string) []byte {
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		panic(err)
	}
	return payload
}

// resigned signs the claims of the issuer with another key or algorithm.
func resigned(algorithm string, key any, header string) func(*authtest.IssuerSettings) {
	return rewritten(func(token string) string {
		again, err := authtest.SignWith(algorithm, key, []byte(header), payloadOf(token))
		if err != nil {
			panic(err)
		}
		return again
	})
}

// answered answers the requests of a path itself.
func answered(at string, status int, media, body string) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) {
		s.Answer = func(path string, w http.ResponseWriter, _ *http.Request) bool {
			if path != at {
				return false
			}
			w.Header()["Content-Type"] = nil
			if media != "" {
				w.Header().Set("Content-Type", media)
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
}

// corrected changes the JSON object of an answer.
func corrected(at string, edit func(answer map[string]any)) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) {
		s.Edit = func(path string, answer map[string]any) {
			if path == at {
				edit(answer)
			}
		}
	}
}

// byUserInfo lets the person be at userinfo alone, with some claims changed.
func byUserInfo(change func(claims map[string]any)) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) {
		s.UserInfo, s.Claims = maps.Clone(s.Claims), nil
		change(s.UserInfo)
	}
}

// rsaKey is made once, because that is slow.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// encrypted encrypts the claims of a token in the place of signing them.
func encrypted(token string) string {
	e, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: make([]byte, 16)}, nil)
	if err != nil {
		panic(err)
	}
	sealed, err := e.Encrypt(payloadOf(token))
	if err != nil {
		panic(err)
	}
	text, err := sealed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

// loose returns the last letter of a signature with other bits where none count.
func loose(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, signature[len(signature)-1])^1])
}

// ecKey makes a key of a curve.
func ecKey(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

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
