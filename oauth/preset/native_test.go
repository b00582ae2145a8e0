package preset_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/oauth/preset"
)

const (
	app   = "com.example.app"
	nonce = "the nonce of the app"
)

// hashed is what an app gives the SDK of its platform.
func hashed(nonce string) string {
	sum := sha256.Sum256([]byte(nonce))
	return hex.EncodeToString(sum[:])
}

// facebookLimited is Facebook as an app with Limited Login sees it: an issuer whose keys are asked, and
// nothing else.
func facebookLimited() service {
	s := services["facebook"]
	s.issuer, s.document, s.keysAt = "https://www.facebook.com", "none", "https://limited.facebook.com/.well-known/oauth/openid/jwks/"
	s.claims = `{"sub":"10158012345678901","email":"ada@example.org","name":"Ada Lovelace","given_name":"Ada","picture":"https://platform-lookaside.fbsbx.com/x"}`
	s.in, s.subject, s.email = "claims", "sub", "email"
	return s
}

// nativeServices are the services whose SDKs give apps an ID token.
func nativeServices() map[string]service {
	all := map[string]service{"facebook": facebookLimited()}
	for name, s := range openIDServices {
		if s.in != "claims" { // there is no userinfo endpoint for an app
			s.claims = s.calls[s.in]
		}
		all[name] = s
	}
	return all
}

// onNative is on, for a row that takes the ID tokens of an app.
func (s service) onNative(t *testing.T, store, name string, change func(o *preset.Options)) (*world, *kit.Kit) {
	t.Helper()
	w, k := s.on(t, store, name, func(o *preset.Options) {
		o.Apps = []string{app, "another app"}
		if change != nil {
			change(o)
		}
	})
	return w, k
}

// ofApp gives the claims of a token of the app.
func ofApp(change func(claims map[string]any)) func(claims map[string]any) {
	return func(claims map[string]any) {
		claims["aud"] = app
		delete(claims, "azp")
		if change != nil {
			change(claims)
		}
	}
}

// enters signs in by an ID token with some claims.
func (w *world) enters(k *kit.Kit, name string, change func(claims map[string]any), raw string) (*latchkey.Session, error) {
	w.change = ofApp(change)
	token := w.idToken(hashed(nonce))
	w.change = nil
	return k.Visitor.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: name, Token: hidden.New(token), Nonce: hidden.New(raw), Name: "Name of the app"})
}

// Each row with OpenID Connect, and Facebook, signs the person of an app's ID token in: once.
func TestEachNativeRowSignsThePersonOfAnAppIn(t *testing.T) {
	for name, s := range nativeServices() {
		t.Run(name, func(t *testing.T) {
			s.noNonce = false // the SDK puts it into the token
			w, k := s.onNative(t, "memory", name, nil)
			session, err := w.enters(k, name, nil, nonce)
			k.Must(err)
			list, err := k.Users().Identities(k.Ctx)
			k.Must(err)
			user, err := k.Users().Get(k.Ctx, session.UserID)
			k.Must(err)
			i, want := list.Identities[0], s.who
			if want.Name == "" {
				want.Name = "Name of the app"
			}
			k.Same("the identity", []any{i.Provider, i.Issuer, i.ProviderUID, i.ProviderEmail, i.ProviderEmailVerified}, []any{name, want.Issuer, want.Subject, want.Email, want.EmailVerified})
			k.Same("the user", []any{user.Name, user.EmailVerification}, []any{want.Name, want.EmailVerified})
			if _, err := w.enters(k, name, nil, nonce); !errors.Is(err, latchkey.ErrInvalidToken) {
				t.Errorf("the same claims again, with another signature: %v", err)
			}
			k.Clock.Advance(time.Second)
			again, err := w.enters(k, name, nil, nonce)
			k.Must(err)
			k.Same("the user of a later token", again.UserID, session.UserID)
			if seen := w.took(); len(seen) != 0 {
				t.Errorf("the service has seen %v", seen)
			}
		})
	}
}

// The person whom an app and a browser sign in is the same one.
func TestAppAndBrowserSignTheSamePersonIn(t *testing.T) {
	for _, name := range []string{"apple", "google", "microsoft", "slack"} {
		s := openIDServices[name]
		w, k := s.onNative(t, "memory", name, nil)
		byApp, err := w.enters(k, name, nil, nonce)
		k.Must(err)
		k.Same(name, w.signIn(k, name).UserID, byApp.UserID)
	}
}

// No row takes an ID token that is not one of its service, for an app of the host, of the last ten
// minutes, with the nonce; nor an access token.
func TestEachNativeRowRefusesForeignTokens(t *testing.T) {
	for name, s := range nativeServices() {
		t.Run(name, func(t *testing.T) {
			s.noNonce = false
			w, k := s.onNative(t, "memory", name, nil)
			now := k.Clock.Now().Unix()
			refused := func(what string, change func(claims map[string]any), raw string) {
				t.Helper()
				if _, err := w.enters(k, name, change, raw); !errors.Is(err, latchkey.ErrInvalidToken) {
					t.Errorf("%s: %v", what, err)
				}
				w.sign = nil
			}
			claim := func(what, name string, value any) {
				t.Helper()
				refused(what, func(claims map[string]any) {
					if claims[name] = value; value == nil {
						delete(claims, name)
					}
				}, nonce)
			}
			claim("of the web client, which is not listed", "aud", clientID)
			claim("of another app", "aud", "com.example.evil")
			claim("of the app and another", "aud", []string{app, "com.example.evil"})
			claim("no audience", "aud", nil)
			claim("of two apps, given to neither", "aud", []string{app, "another app"})
			claim("given to another app", "azp", "com.example.evil")
			claim("another issuer", "iss", "https://evil.example.com")
			claim("11 minutes old", "iat", now-11*60)
			claim("no time of issue", "iat", nil)
			claim("issued in the future", "iat", now+120)
			claim("expired", "exp", now-61)
			claim("no expiry", "exp", nil)
			claim("not valid yet", "nbf", now+120)
			claim("the nonce as it is", "nonce", nonce)
			claim("another nonce", "nonce", hashed("another"))
			claim("a nonce in capitals", "nonce", strings.ToUpper(hashed(nonce)))
			claim("no nonce", "nonce", nil)
			claim("a scope, as an access token", "scope", "openid")
			claim("scp, as an access token", "scp", "User.Read")
			claim("typ Bearer, as an access token", "typ", "Bearer")
			claim("token_use access", "token_use", "access")
			claim("events, as a logout token", "events", map[string]any{})
			refused("no raw nonce", nil, "")
			refused("no nonce anywhere", func(claims map[string]any) { delete(claims, "nonce") }, "")
			refused("no audience, given to the app", func(claims map[string]any) {
				delete(claims, "aud")
				claims["azp"] = app
			}, nonce)
			refused("21 audiences", func(claims map[string]any) {
				claims["aud"], claims["azp"] = slices.Repeat([]string{app}, 21), app
			}, nonce)
			refused("another raw nonce", nil, "another")
			refused("the digest as the raw nonce", nil, hashed(nonce))
			for _, trial := range idTokenTrials(t, s) {
				if w.sign, w.hostile = nil, nil; trial.do != nil {
					trial.do(w)
				}
				if w.sign != nil {
					refused(trial.what, nil, nonce)
				}
				w.change, w.hostile = nil, nil
			}
			for _, bare := range []string{"ya29.a0AfH6SMB", "EAABsbCS1iHgBA", "a.b.c", "..", strings.Repeat("a", 16<<10)} {
				err := kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: name, Token: hidden.New(bare), Nonce: hidden.New(nonce)}))
				if !errors.Is(err, latchkey.ErrInvalidToken) {
					t.Errorf("a bare access token %.20s: %v", bare, err)
				}
			}
			rows := k.Rows()
			if rows["users"]+rows["identities"]+rows["sessions"]+rows["failures"] != 0 {
				t.Errorf("%v", rows)
			}
			k.Must(kit.Err(w.enters(k, name, nil, nonce))) // and nothing else has refused
		})
	}
}

// A token of an app is no answer to the sign-in of a browser, and the other way round.
func TestTokensOfAppsAndBrowsersAreNotExchanged(t *testing.T) {
	s := openIDServices["google"]
	w, k := s.onNative(t, "memory", "google", func(o *preset.Options) { o.Apps = []string{app, clientID} })
	cb := w.begin(k, "google")
	w.change = ofApp(func(claims map[string]any) { claims["nonce"] = w.nonce })
	k.RefusesCallback("the token of an app", latchkey.ErrProviderFailed, cb)
	w.change = nil
	cb = w.begin(k, "google")
	token := w.idToken(w.nonce)
	err := kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "google", Token: hidden.New(token), Nonce: hidden.New(w.nonce)}))
	if !errors.Is(err, latchkey.ErrInvalidToken) {
		t.Errorf("the token of a browser: %v", err)
	}
	k.Must(kit.Err(k.Visitor.FinishOAuth2(k.Ctx, cb)))
}

// On Android a token is for the web client and was given to the app.
func TestATokenForTheWebClientIsGivenToTheApp(t *testing.T) {
	s := openIDServices["google"]
	w, k := s.onNative(t, "memory", "google", func(o *preset.Options) { o.Apps = []string{clientID, "android"} })
	for party, want := range map[string]error{"android": nil, clientID: nil, "evil": latchkey.ErrInvalidToken} {
		k.Clock.Advance(time.Second)
		_, err := w.enters(k, "google", func(claims map[string]any) { claims["aud"], claims["azp"] = clientID, party }, nonce)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", party, err)
		}
	}
}

// A token without a nonce is taken only if the host says that its SDK can send none, and once.
func TestATokenWithoutANonceIsTakenIfTheHostSaysSo(t *testing.T) {
	limited := facebookLimited()
	lw, lk := limited.onNative(t, "memory", "facebook", func(o *preset.Options) { o.AppsWithoutNonce = true })
	_, err := lw.enters(lk, "facebook", func(claims map[string]any) { delete(claims, "nonce") }, "")
	lk.Must(err)
	s := openIDServices["google"]
	w, k := s.onNative(t, "memory", "google", func(o *preset.Options) { o.AppsWithoutNonce, o.Apps = true, append(o.Apps, clientID) })
	bare := func(claims map[string]any) { delete(claims, "nonce") }
	for _, v := range []struct {
		what   string
		change func(claims map[string]any)
		raw    string
		want   error
	}{
		{"a nonce in the call alone", bare, nonce, latchkey.ErrInvalidToken}, {"another nonce", func(claims map[string]any) { claims["nonce"] = "of the SDK" }, nonce, latchkey.ErrInvalidToken},
		{"none", bare, "", nil}, {"none, again", bare, "", latchkey.ErrInvalidToken}, {"both", nil, nonce, nil}, {"one of the SDK", func(claims map[string]any) { claims["nonce"] = "of the SDK" }, "", nil},
		{"one in a token for the web client", func(claims map[string]any) { claims["aud"] = clientID }, "", latchkey.ErrInvalidToken}, {"none in a token for the web client", func(claims map[string]any) { bare(claims); claims["aud"] = clientID }, "", nil},
	} {
		if _, err := w.enters(k, "google", v.change, v.raw); !errors.Is(err, v.want) {
			t.Errorf("%s: %v", v.what, err)
		}
	}
}

// A provider without apps takes no ID token, and one whose keys cannot be read says so.
func TestNativeSignInNeedsAppsAndKeys(t *testing.T) {
	for _, name := range []string{"google", "facebook", "github"} {
		s := services[name]
		_, k := s.on(t, "memory", name, nil)
		err := kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: name, Token: hidden.New("a.b.c"), Nonce: hidden.New(nonce)}))
		if !errors.Is(err, latchkey.ErrProviderDisabled) {
			t.Errorf("%s without apps: %v", name, err)
		}
	}
	for name, s := range map[string]service{"google": openIDServices["google"], "facebook": facebookLimited()} {
		w, k := s.onNative(t, "memory", name, nil)
		at("keys", func(a *answer) { a.status = http.StatusBadGateway })(w)
		if _, err := w.enters(k, name, nil, nonce); !errors.Is(err, latchkey.ErrProviderFailed) {
			t.Errorf("%s without keys: %v", name, err)
		}
	}
}

// A host that takes the tokens of apps alone needs no secret, and begins no sign-in in a browser.
func TestAppsAloneNeedNoSecret(t *testing.T) {
	s := openIDServices["apple"]
	w, k := s.onNative(t, "memory", "apple", func(o *preset.Options) { o.Key, o.Public = nil, true })
	k.Must(kit.Err(w.enters(k, "apple", nil, nonce)))
	_, err := k.Visitor.StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "apple", RedirectURL: kit.CallbackURL})
	if err != latchkey.ErrProviderFailed {
		t.Errorf("%v", err)
	}
}

// A key that a token brings, or a JSON form of it, is refused before its keys are asked.
func TestVerifyIDTokenIsStrictAboutTheFormOfATokens(t *testing.T) {
	s := openIDServices["google"]
	w, k := s.onNative(t, "memory", "google", nil)
	p := w.provider("google", func(o *preset.Options) { o.Apps = []string{app} })
	w.change = ofApp(nil)
	good := w.idToken(hashed(nonce))
	parts := strings.Split(good, ".")
	flat, err := json.Marshal(map[string]string{"protected": parts[0], "payload": parts[1], "signature": parts[2]})
	k.Must(err)
	payload := []byte(`{"iss":"accounts.google.com"}`)
	for what, token := range map[string]string{
		"as JSON": string(flat), "four parts": good + ".x", "a line at the end": good + "\n", "padding": parts[0] + "=." + parts[1] + "." + parts[2], "no signature": parts[0] + "." + parts[1] + ".",
		"crit": signedBy(t, jose.RS256, w.key, payload, map[jose.HeaderKey]any{"crit": []string{"x"}, "x": 1}), "jku": signedBy(t, jose.RS256, w.key, payload, map[jose.HeaderKey]any{"jku": "https://evil.example.com"}), "x5u": signedBy(t, jose.RS256, w.key, payload, map[jose.HeaderKey]any{"x5u": "https://evil.example.com"}),
	} {
		if _, err := p.VerifyIDToken(t.Context(), &oauth.IDToken{Token: hidden.New(token), Nonce: hidden.New(nonce), Now: k.Clock.Now()}); err != oauth.ErrIDToken {
			t.Errorf("%s: %v", what, err)
		}
	}
	if v, err := p.VerifyIDToken(t.Context(), &oauth.IDToken{Token: hidden.New(good), Nonce: hidden.New(nonce), Now: k.Clock.Now()}); err != nil || !v.Expire.Equal(k.Clock.Now().Add(10*time.Minute).Truncate(time.Second)) {
		t.Errorf("%+v, %v", v, err)
	}
}

// The issuers of Limited Login are two.
func TestTheIssuersOfLimitedLogin(t *testing.T) {
	s := facebookLimited()
	w, k := s.onNative(t, "memory", "facebook", nil)
	for issuer, want := range map[string]error{"https://www.facebook.com": nil, "https://limited.facebook.com": nil, "https://facebook.com": latchkey.ErrInvalidToken, "https://limited.facebook.com/": latchkey.ErrInvalidToken} {
		session, err := w.enters(k, "facebook", func(claims map[string]any) { claims["iss"] = issuer }, nonce)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", issuer, err)
		}
		if err == nil {
			list, err := k.Users().Identities(k.Ctx)
			k.Must(err)
			k.Same("the issuer of the identity", []any{list.Identities[0].Issuer, list.Identities[0].UserID}, []any{"https://www.facebook.com", session.UserID})
		}
	}
}

// A token that was given to the web client for an app of the host is taken. A verified token ends with
// the earlier of its expiry and ten minutes.
func TestTheEndOfAVerifiedToken(t *testing.T) {
	s := openIDServices["google"]
	w, k := s.onNative(t, "memory", "google", nil)
	p := w.provider("google", func(o *preset.Options) { o.Apps = []string{app} })
	now := k.Clock.Now().Truncate(time.Second)
	for life, want := range map[time.Duration]time.Duration{time.Hour: 10 * time.Minute, 2 * time.Minute: 3 * time.Minute} {
		w.change = ofApp(func(claims map[string]any) { claims["exp"], claims["azp"] = now.Add(life).Unix(), clientID })
		v, err := p.VerifyIDToken(t.Context(), &oauth.IDToken{Token: hidden.New(w.idToken(hashed(nonce))), Nonce: hidden.New(nonce), Now: now})
		if err != nil || !v.Expire.Equal(now.Add(want)) {
			t.Errorf("%v: %+v, %v", life, v, err)
			continue
		}
		w.change = nil
	}
	none := w.provider("google", func(o *preset.Options) { o.Apps, o.ClientSecret, o.Public = []string{app}, hidden.Text{}, true })
	if none.Info().Name != "google" {
		t.Error(none.Info())
	}
	apple, err := preset.New("apple", preset.Options{ClientID: clientID, Public: true, Apps: []string{app}, Transport: &world{t: t, service: func() *service { s := openIDServices["apple"]; return &s }(), key: signingKey()}})
	k.Must(err)
	if _, err := apple.Authorize(t.Context(), &oauth.Flow{RedirectURL: kit.CallbackURL}); err == nil { // and no panic
		t.Error("apple begins a sign-in without a key")
	}
}
