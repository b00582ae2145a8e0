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
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/oidc"
	"example.com/latchkey/ratelimit"
)

// hideMe is in texts of an issuer that are never shown.
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
