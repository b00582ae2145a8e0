package preset_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
)

// lingering is a provider that does something after it has verified an ID token.
type lingering struct {
	*preset.Provider
	then func()
}

func (l *lingering) VerifyIDToken(ctx context.Context, t *oauth.IDToken) (*oauth.Verified, error) {
	v, err := l.Provider.VerifyIDToken(ctx, t)
	if l.then != nil {
		l.then()
	}
	return v, err
}

// machines returns two engines on one store. The clock of the second is ahead by step.
func machines(k *kit.Kit, p oauth.Provider, step time.Duration) (slow, ahead *latchkey.Engine) {
	engine := func(now func() time.Time) *latchkey.Engine {
		return k.Configured(func(c *latchkey.Config) { c.Now, c.MaxClockStep, c.Providers = now, step, []oauth.Provider{p} })
	}
	return engine(k.Clock.Now), engine(func() time.Time { return k.Clock.Now().Add(step) })
}

// googleToken returns a sign-in by an ID token of Google that is issued now.
func googleToken(w *world) latchkey.IDTokenSignIn {
	w.change = ofApp(nil)
	token := w.idToken(hashed(nonce))
	w.change = nil
	return latchkey.IDTokenSignIn{Provider: "google", Token: hidden.New(token), Nonce: hidden.New(nonce)}
}

// An ID token signs in once, also in the last moment of its life, after a sweep of a machine whose
// clock is ahead by Config.MaxClockStep.
func TestATokenIsTakenOnceUntilTheLastMomentOfItsLife(t *testing.T) {
	s := openIDServices["google"]
	for _, left := range []time.Duration{time.Second, time.Microsecond, 0} {
		w, k := s.onNative(t, "memory", "google", nil)
		p := &lingering{Provider: w.provider("google", func(o *preset.Options) { o.Apps = []string{app} })}
		slow, ahead := machines(k, p, time.Minute)
		r := googleToken(w)
		k.Must(kit.Err(slow.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r)))
		k.Clock.Advance(10*time.Minute - left)
		k.Must(kit.Err(ahead.Sweep(k.Ctx)))
		if err := kit.Err(slow.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r)); !errors.Is(err, latchkey.ErrInvalidToken) {
			t.Errorf("%v before the end: the token signs in again: %v", left, err)
		}
	}
}

// An ID token signs in once, also while a sweep runs between its verification, which may take 20
// seconds, and the commit.
func TestATokenIsTakenOnceWhileItIsVerifiedSlowly(t *testing.T) {
	s := openIDServices["google"]
	for _, step := range []time.Duration{time.Second, time.Minute, time.Hour} {
		w, k := s.onNative(t, "memory", "google", nil)
		p := &lingering{Provider: w.provider("google", func(o *preset.Options) { o.Apps = []string{app} })}
		slow, ahead := machines(k, p, step)
		r := googleToken(w)
		k.Must(kit.Err(slow.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r)))
		k.Clock.Advance(10*time.Minute - time.Second)
		p.then = func() { // the call takes two seconds, and the token ends meanwhile
			k.Clock.Advance(2 * time.Second)
			k.Must(kit.Err(ahead.Sweep(k.Ctx)))
		}
		if err := kit.Err(slow.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r)); !errors.Is(err, latchkey.ErrInvalidToken) {
			t.Errorf("a step of %v: the token signs in again: %v", step, err)
		}
	}
}

// An ID token that has signed a browser in signs no app in.
func TestTheTokenOfABrowserSignsNoAppIn(t *testing.T) {
	for name, s := range openIDServices {
		t.Run(name, func(t *testing.T) {
			if s.noNonce { // a token of a browser cannot be told from one of an app
				_, err := preset.New(name, preset.Options{ClientID: clientID, ClientSecret: hidden.New(clientSecret), Apps: []string{clientID}, AppsWithoutNonce: true})
				var refused *preset.Error
				if !errors.As(err, &refused) || refused.Field != "Apps" {
					t.Errorf("%v", err)
				}
				return
			}
			if s.in != "claims" {
				s.claims = s.calls[s.in]
			}
			var given string
			w, k := s.onNative(t, "memory", name, func(o *preset.Options) { o.Apps, o.AppsWithoutNonce = []string{app, clientID}, true })
			w.sign = func(payload []byte) string {
				given = w.signed(payload)
				return given
			}
			w.signIn(k, name)
			for _, raw := range []string{"", w.nonce, hashed(w.nonce)} {
				err := kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: name, Token: hidden.New(given), Nonce: hidden.New(raw)}))
				if !errors.Is(err, latchkey.ErrInvalidToken) {
					t.Errorf("nonce %q: the token of the browser signs in again: %v", raw, err)
				}
			}
		})
	}
}

// slowly is an internet that answers each call in just less than the time of one call.
type slowly struct{ w *world }

func (s slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(9900 * time.Millisecond):
		return s.w.RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// A service that is slow at each call holds a caller for 20 seconds at most.
func TestASlowServiceHoldsNobodyForMoreThanTwentySeconds(t *testing.T) {
	for _, name := range []string{"google", "facebook"} { // with a discovery document, and without
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := nativeServices()[name]
				w, k := s.onNative(t, "memory", name, nil)
				slow := w.provider(name, func(o *preset.Options) { o.Apps, o.Transport = []string{app}, slowly{w} })
				engine := k.Configured(func(c *latchkey.Config) { c.Providers = []oauth.Provider{slow} })
				w.change = ofApp(nil)
				// The key id is not one of the service, so that its keys are asked for twice.
				token := strings.Split(w.idToken(hashed(nonce)), ".")
				header := "eyJhbGciOiJSUzI1NiIsImtpZCI6ImludmVudGVkIn0" // {"alg":"RS256","kid":"invented"}
				began := time.Now()
				err := kit.Err(engine.Guest(kit.Client).CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{
					Provider: name, Token: hidden.New(header + "." + token[1] + "." + token[2]), Nonce: hidden.New(nonce),
				}))
				if took := time.Since(began); err == nil || took > 20*time.Second {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

// A slow service holds the callback of a browser for 20 seconds at most.
func TestASlowServiceHoldsNoCallbackForMoreThanTwentySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openIDServices["google"]
		w, k := s.on(t, "memory", "google", nil)
		cb := w.begin(k, "google")
		slow := w.provider("google", func(o *preset.Options) { o.Transport = slowly{w} })
		engine := k.Configured(func(c *latchkey.Config) { c.Providers = []oauth.Provider{slow} })
		began := time.Now()
		_, err := engine.Guest(kit.Client).FinishOAuth2(k.Ctx, cb)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// Tokens of an identity are sent to no other service than the one that has given them, also if the
// host has moved the provider to another server.
func TestTokensAreNotRevokedAtAnotherService(t *testing.T) {
	s := openIDServices["gitlab"]
	w, k := s.keeping(t, "memory", "gitlab")
	session := w.signIn(k, "gitlab")
	moved := s
	moved.issuer, moved.revoke = "https://gitlab.example.com", "https://gitlab.example.com/oauth/revoke"
	moved.authorize, moved.token, moved.refresh = "https://gitlab.example.com/oauth/authorize", "https://gitlab.example.com/oauth/token", "https://gitlab.example.com/oauth/token"
	elsewhere := &world{t: t, service: &moved, key: signingKey(), clock: k.Clock}
	p := elsewhere.provider("gitlab", func(o *preset.Options) { o.Domain = "https://gitlab.example.com" })
	engine := k.Configured(func(c *latchkey.Config) { c.Providers = []oauth.Provider{p} })
	account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
	k.Must(err)
	_, err = account.ExtendSession(k.Ctx, latchkey.CurrentSession)
	k.Must(err)
	k.Must(engine.Users().Delete(k.Ctx, session.UserID))
	k.Must(engine.Close()) // which waits for the revocation
	if seen := elsewhere.took(); len(seen) != 0 {
		t.Errorf("another service has seen %v", seen)
	}
}

// A sandbox does not run beside the live service, whatever the host calls that.
func TestASandboxDoesNotRunBesideALiveServiceOfAnotherName(t *testing.T) {
	k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
	for live, box := range map[string]string{"paypal": "paypalSandbox", "tradeshift": "tradeshiftBox"} {
		one, err := preset.New(live, preset.Options{Name: "ours", ClientID: "id", ClientSecret: hidden.New("secret")})
		k.Must(err)
		two, err := preset.New(box, preset.Options{ClientID: "id", ClientSecret: hidden.New("secret")})
		k.Must(err)
		engine, err := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Providers: []oauth.Provider{one, two}})
		if err == nil {
			k.Must(engine.Close())
			t.Errorf("%s runs beside %s", box, live)
		}
	}
}

// What New takes, an engine takes too. What it refuses, it refuses by a field of Options.
func TestNewRefusesWhatAnEngineRefuses(t *testing.T) {
	k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
	long := "https://" + strings.Repeat("x", 130) + ".example.com"
	for what, v := range map[string]struct {
		name string
		o    preset.Options
	}{
		"a name with a space":             {"google", preset.Options{Name: "a name"}},
		"a name of the engine":            {"google", preset.Options{Name: "email"}},
		"a long name":                     {"google", preset.Options{Name: strings.Repeat("x", 33)}},
		"a long issuer of keycloak":       {"keycloak", preset.Options{Domain: long, Realm: strings.Repeat("x", 100)}},
		"a long issuer of authentik":      {"authentik", preset.Options{Domain: long, Application: strings.Repeat("x", 100)}},
		"a fragment without text":         {"auth0", preset.Options{Domain: "https://id.example.com/#"}},
		"a fragment without text, issuer": {"oidc", preset.Options{Issuer: "https://id.example.com#"}},
		"an age that is none":             {"google", preset.Options{Parameters: url.Values{"max_age": {"soon"}}}},
		"two ages":                        {"google", preset.Options{Parameters: url.Values{"max_age": {"1", "2"}}}},
		"a backslash in the path":         {"auth0", preset.Options{Domain: `https://id.example.com\@evil.example.com`}},
		"a port that is none":             {"auth0", preset.Options{Domain: "https://id.example.com:99999"}},
		"a host without a name":           {"auth0", preset.Options{Domain: "https://:443"}},
		"not UTF-8":                       {"auth0", preset.Options{Domain: "https://id.example.com/\xff"}},
	} {
		o := v.o
		if o.ClientID == "" {
			o.ClientID = "id"
		}
		o.ClientSecret = hidden.New("secret")
		p, err := preset.New(v.name, o)
		if err == nil {
			engine, refused := latchkey.New(k.Store, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Providers: []oauth.Provider{p}})
			if refused == nil {
				k.Must(engine.Close())
			}
			t.Errorf("%s: New takes it; the engine: %v", what, refused)
			continue
		}
		var named *preset.Error
		if !errors.As(err, &named) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if _, is := reflect.TypeFor[preset.Options]().FieldByName(named.Field); !is {
			t.Errorf("%s: the field is none of Options: %v", what, err)
		}
	}
}

// New never panics, and its errors name a field of Options and show no value.
func TestNewTakesAnyOptions(t *testing.T) {
	r := rand.New(rand.NewPCG(24, 1))
	texts := []string{
		"", "x", "hide-me", "https://id.example.com", "id.example.com", "http://127.0.0.1:1", "https://[::1]", "https://", "://", "%zz", "\x00", "\xff\xfe", "{domain}", "{tenantid}",
		"common", "ORGANIZATIONS", "9188040d-6c67-4c5b-b112-36a304b66dad", "com.cn", "v25.0", "org", strings.Repeat("x", 1<<16), "https://" + strings.Repeat("x.", 60) + "example.com", "ﬀ", "\u202e", "a b", "..", "?", "#",
	}
	pick := func() string { return texts[r.IntN(len(texts))] }
	list := func() (all []string) {
		for range r.IntN(3) {
			all = append(all, pick())
		}
		return all
	}
	for range 5_000 {
		o := preset.Options{Scopes: list(), Trust: preset.Trust(r.IntN(5) - 1), Apps: list()}
		for _, f := range []*string{&o.Name, &o.ClientID, &o.Domain, &o.Issuer, &o.Application, &o.Server, &o.Tenant, &o.Realm, &o.DataCentre, &o.Version} {
			if r.IntN(4) == 0 {
				*f = pick()
			}
		}
		for _, f := range []*bool{&o.Public, &o.Offline, &o.AppsWithoutNonce, &o.BesideLive, &o.Private} {
			*f = r.IntN(3) == 0
		}
		if r.IntN(2) == 0 {
			o.ClientSecret = hidden.New("hide-me")
		}
		if r.IntN(4) == 0 {
			o.Parameters = url.Values{pick(): list(), "max_age": list()}
		}
		if r.IntN(4) == 0 {
			o.Key = &preset.AppleKey{TeamID: pick(), KeyID: "KEY1234567", PEM: hidden.New([]string{"", "hide-me", applePEM(), "-----BEGIN PRIVATE KEY-----\naGlkZS1tZQ==\n-----END PRIVATE KEY-----\n"}[r.IntN(4)])}
			if r.IntN(2) == 0 {
				o.Key.TeamID = "ABCDE12345"
			}
		}
		names := preset.Names()
		name := names[r.IntN(len(names))]
		p, err := preset.New(name, o)
		if err == nil {
			_, _ = p.Info(), p.Close()
			continue
		}
		var named *preset.Error
		if p != nil || !errors.As(err, &named) || named.Provider != name || named.Field == "" || strings.Contains(fmt.Sprintf("%+v", err), "hide-me") {
			t.Fatalf("%s, %+v: %v", name, o, err)
		}
	}
}

// A token whose key the service has made since its keys were read is not a wrong token while the keys
// cannot be read.
func TestANewKeyWhileTheKeysAreDownIsAFailureOfTheProvider(t *testing.T) {
	for _, name := range []string{"google", "facebook"} {
		w, k := nativeWorld(t, name)
		k.Must(kit.Err(w.enters(k, name, nil, nonce)))
		k.Clock.Advance(2 * time.Minute)
		at("keys", func(a *answer) { a.status = http.StatusBadGateway })(w)
		w.sign = func(payload []byte) string {
			return signedBy(t, jose.RS256, w.key, payload, map[jose.HeaderKey]any{"kid": "key 2"})
		}
		if _, err := w.enters(k, name, nil, nonce); !errors.Is(err, latchkey.ErrProviderFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// nativeWorld is a service with a row that takes the ID tokens of an app.
func nativeWorld(t *testing.T, name string) (*world, *kit.Kit) {
	t.Helper()
	s := nativeServices()[name]
	s.noNonce = false
	return s.onNative(t, "memory", name, nil)
}

// Two rows of one service take the claims of a token once.
func TestTwoRowsOfOneServiceTakeATokenOnce(t *testing.T) {
	s := openIDServices["google"]
	w, k := s.onNative(t, "memory", "google", nil)
	var all []oauth.Provider
	for _, name := range []string{"google", "google-app"} {
		all = append(all, w.provider("google", func(o *preset.Options) { o.Name, o.Apps = name, []string{app} }))
	}
	engine := k.Configured(func(c *latchkey.Config) { c.Providers = all })
	r := googleToken(w)
	k.Must(kit.Err(engine.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r)))
	r.Provider = "google-app"
	if err := kit.Err(engine.Guest(kit.Client).CreateIDTokenSession(k.Ctx, r)); !errors.Is(err, latchkey.ErrInvalidToken) {
		t.Errorf("%v", err)
	}
}

// A provider keeps its configuration, also if the host changes what it has passed to New.
func TestAProviderKeepsItsConfiguration(t *testing.T) {
	s := openIDServices["google"]
	apps, scopes, parameters := []string{app}, []string{"one"}, url.Values{"prompt": {"consent"}}
	w, k := s.onNative(t, "memory", "google", func(o *preset.Options) { o.Apps, o.Scopes, o.Parameters = apps, scopes, parameters })
	apps[0], scopes[0], parameters["prompt"][0] = "com.example.evil", "evil", "evil"
	if _, err := w.enters(k, "google", func(claims map[string]any) { claims["aud"] = "com.example.evil" }, nonce); !errors.Is(err, latchkey.ErrInvalidToken) {
		t.Errorf("an app that the host has not configured: %v", err)
	}
	start, err := k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "google", RedirectURL: kit.CallbackURL})
	k.Must(err)
	if strings.Contains(start.URL, "evil") {
		t.Errorf("%s", start.URL)
	}
}

// JSON that has two readings, and numbers that are none, are no claims of an app's token.
func TestClaimsOfAnAppHaveOneReading(t *testing.T) {
	s := openIDServices["google"]
	w, k := s.onNative(t, "memory", "google", nil)
	w.change = ofApp(nil)
	var good string
	w.sign = func(payload []byte) string { good = string(payload); return "" }
	w.idToken(hashed(nonce))
	w.change, w.sign = nil, nil
	with := func(more string) string { return strings.TrimSuffix(good, "}") + "," + more + "}" }
	iat := k.Clock.Now().Unix()
	for what, payload := range map[string]string{
		"two subjects": with(`"sub":"mallory"`), "two by an escape": with(`"\u0073ub":"mallory"`), "another case": with(`"SUB":"mallory"`), "a letter that folds": with(`"ſub":"mallory"`),
		"two audiences": with(`"aud":"` + app + `"`), "two nonces": with(`"nonce":"` + hashed(nonce) + `"`), "two below": with(`"x":{"y":1,"y":2}`), "too deep": with(`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)),
		"an age with an exponent": strings.Replace(good, fmt.Sprintf(`"iat":%d`, iat), `"iat":1e18`, 1), "an age with a fraction": strings.Replace(good, fmt.Sprintf(`"iat":%d`, iat), fmt.Sprintf(`"iat":%d.5`, iat), 1),
		"an age as a text": strings.Replace(good, fmt.Sprintf(`"iat":%d`, iat), fmt.Sprintf(`"iat":"%d"`, iat), 1), "a surrogate": with(`"x":"\ud800"`), "not UTF-8": with("\"x\":\"\xff\""),
		"a list": "[" + good + "]", "two objects": good + good, "an address in a list": strings.Replace(good, `"email":"ada@example.org"`, `"email":["ada@example.org"]`, 1),
		"an issuer in capitals": strings.Replace(good, "accounts.google.com", "ACCOUNTS.google.com", 1), "a scope of null and one": with(`"scope":null,"scp":""`), "an audience in an object": strings.Replace(good, `"aud":"`+app+`"`, `"aud":{"`+app+`":1}`, 1),
	} {
		if payload == good {
			t.Fatal(what)
		}
		err := kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "google", Token: hidden.New(w.signed([]byte(payload))), Nonce: hidden.New(nonce)}))
		if !errors.Is(err, latchkey.ErrInvalidToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	k.Must(kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "google", Token: hidden.New(w.signed([]byte(good))), Nonce: hidden.New(nonce)})))
}

// Nothing of a native sign-in is printed with a secret, in any way of package fmt or encoding/json.
func TestANativeSignInIsPrintedWithoutSecrets(t *testing.T) {
	s := hidden.New("hide-me")
	p, err := preset.New("facebook", preset.Options{ClientID: "id", ClientSecret: s, Apps: []string{"id"}})
	if err != nil {
		t.Fatal(err)
	}
	oidc, err := preset.New("google", preset.Options{ClientID: "id", ClientSecret: s, Apps: []string{"id"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{
		latchkey.IDTokenSignIn{Provider: "google", Token: s, Nonce: s}, oauth.IDToken{Token: s, Nonce: s}, oauth.Verified{Claims: s}, oauth.Grant{Access: s, Refresh: s}, oauth.Tokens{Answer: s, ID: s},
		preset.Options{ClientSecret: s, Key: &preset.AppleKey{PEM: s}}, preset.AppleKey{PEM: s}, p, *p, oidc, *oidc, p.Provider, reflect.ValueOf(p.Provider).Elem().Interface(), reflect.ValueOf(oidc.Provider).Elem().Interface(),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "hide-me") || strings.Contains(text, "686964652d6d65") {
				t.Errorf("%T by %s: %s", v, verb, text)
			}
		}
		if text, err := json.Marshal(v); err == nil && strings.Contains(string(text), "hide-me") {
			t.Errorf("%T: %s", v, text)
		}
	}
}
