package attack_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth/oidc"
)

const (
	badStatus   = "the service answers with a status that is not 200"
	badSize     = "the answer of the service is too long"
	badType     = "the answer of the service has another type"
	badRedirect = "the service answers with a redirect"
	badEncoding = "the answer of the service is compressed"
	badAddress  = "an address is not one of https, or not public"
	badTokens   = "the token endpoint has given no tokens"
	badExpiry   = "the access token has an expiry that is none"
	badNonce    = "the nonce of the ID token is not that of the sign-in"
	badHash     = "the ID token belongs to another access token or code"
)

// bystander is a server that must be left alone.
type bystander struct {
	*httptest.Server
	asked atomic.Int64
}

func newBystander(k *kit.Kit) *bystander {
	b := new(bystander)
	b.Server = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { b.asked.Add(1) }))
	k.Cleanup(func() {
		b.Close()
		if n := b.asked.Load(); n != 0 {
			k.Errorf("%d requests of a server that the issuer has named", n)
		}
	})
	return b
}

// redirected answers the requests of a path with a redirect.
func redirected(at string, status int, to string) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) {
		s.Answer = func(path string, w http.ResponseWriter, r *http.Request) bool {
			if path == at {
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			}
			return path == at
		}
	}
}

// streamed answers the requests of a path with a body without end. sent counts its bytes.
func streamed(at string, sent *atomic.Int64) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) {
		s.Answer = func(path string, w http.ResponseWriter, r *http.Request) bool {
			if path != at {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			n, err := w.Write([]byte(`{"x":"`))
			for block := bytes.Repeat([]byte("x"), 64<<10); err == nil && sent.Load() < 1<<30; n, err = w.Write(block) {
				sent.Add(int64(n))
			}
			return true
		}
	}
}

// bombed answers the requests of a path with 32 MiB in a few KiB.
func bombed(at string) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) {
		s.Answer = func(path string, w http.ResponseWriter, r *http.Request) bool {
			if path == at {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(bomb())
			}
			return path == at
		}
	}
}

var bomb = sync.OnceValue(func() []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for range 32 {
		_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	}
	_ = z.Close()
	return packed.Bytes()
})

// deep is JSON of a depth.
func deep(levels int) string {
	return `{"x":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + "}"
}

// documents tries the answers that a service can give in the place of any JSON object. unread is the
// reason for one that cannot be read.
func (f *federation) documents(at, unread string) {
	f.Helper()
	away := newBystander(f.Kit)
	for name, row := range map[string]struct {
		lie    func(*authtest.IssuerSettings)
		reason string
	}{
		"500": {answered(at, 500, "application/json", `{"error":"hide-me"}`), badStatus}, "401": {answered(at, 401, "application/json", `{"error":"hide-me"}`), badStatus}, "204": {answered(at, 204, "application/json", ""), badStatus},
		"a page": {answered(at, 200, "text/html", "<p>hide-me"), badType}, "a page that is said to be JSON": {answered(at, 200, "application/json", "<p>hide-me"), unread}, "no type": {answered(at, 200, "", `{"sub":"hide-me"}`), badType},
		"a list": {answered(at, 200, "application/json", "[]"), unread}, "null": {answered(at, 200, "application/json", "null"), unread}, "nothing": {answered(at, 200, "application/json", ""), unread},
		"a mark of order": {answered(at, 200, "application/json", "\ufeff{}"), unread}, "two objects": {answered(at, 200, "application/json", "{}{}"), unread},
		"33 levels": {answered(at, 200, "application/json", deep(33)), unread}, "100,000 levels": {answered(at, 200, "application/json", deep(100_000)), unread},
		"10 MiB": {answered(at, 200, "application/json", `{"x":"`+strings.Repeat("x", 10<<20)+`"}`), badSize}, "a bomb": {bombed(at), badEncoding},
		"a redirect to another server": {redirected(at, 302, away.URL), badRedirect}, "a redirect that keeps the method": {redirected(at, 307, away.URL), badRedirect}, "a redirect for ever": {redirected(at, 308, away.URL), badRedirect},
		"a redirect to the metadata of a cloud": {redirected(at, 302, "http://169.254.169.254/latest/meta-data/"), badRedirect}, "a redirect without a place": {redirected(at, 302, ""), badRedirect},
	} {
		f.try(attempt{name: at + ", " + name, lie: row.lie, reason: row.reason})
	}
}

// Line 8: keys come and go, and a set of keys that is not one is worth nothing.
func TestIssuer8Keys(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		f.forget = true
		f.try(attempt{name: "an honest issuer"})
		f.try(attempt{name: "a new key of another kind between start and callback", callback: func(*latchkey.OAuth2Callback) { f.issuer.NewKey("EdDSA") }})
		f.try(attempt{name: "a new key between start and callback", callback: func(*latchkey.OAuth2Callback) { f.issuer.NewKey("ES256") }})
		old := f.issuer.Key()
		f.issuer.NewKey("ES256")
		stolen := resigned("ES256", old.Private, fmt.Sprintf(`{"alg":"ES256","kid":%q}`, old.ID))
		f.try(attempt{name: "the old key, still published", lie: stolen})
		f.issuer.WithdrawKeys()
		f.forget = false
		f.try(attempt{name: "the old key, withdrawn a moment ago", lie: stolen})
		k.Clock.Advance(time.Hour)
		f.try(attempt{name: "the old key, after the age limit", lie: stolen, reason: badKey})
		f.try(attempt{name: "the new key"})
		// Keys that cannot be read again serve for a day after they were read.
		k.Clock.Advance(23*time.Hour + 59*time.Minute)
		f.try(attempt{name: "known keys, while the service does not name them", lie: answered(authtest.PathKeys, 500, "", "")})
		k.Clock.Advance(time.Minute)
		f.try(attempt{name: "keys of yesterday", lie: answered(authtest.PathKeys, 500, "", ""), reason: badStatus})

		f.forget = true
		own, weak := f.issuer.Key(), ecKey(elliptic.P256())
		good := jose.JSONWebKey{Key: own.Private.Public(), KeyID: own.ID, Algorithm: "ES256", Use: "sig"}
		secret := map[string]any{"kty": "oct", "kid": own.ID, "k": base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))}
		private := jose.JSONWebKey{Key: weak, KeyID: "private"}
		many := func(n int) []any {
			keys := []any{good}
			for range n - 1 {
				keys = append(keys, good)
			}
			return keys
		}
		broken := map[string]any{"kty": "EC", "crv": "P-256", "kid": own.ID, "x": "AQ", "y": "AQ"}
		for name, row := range map[string]struct {
			keys   []any
			reason string
		}{
			"a broken key beside a good one": {[]any{broken, good}, ""}, "a key of an unknown kind beside": {[]any{map[string]any{"kty": "XX"}, good}, ""}, "a secret beside": {[]any{secret, good}, ""}, "a text beside": {[]any{"x", 1, nil, good}, ""},
			"a key to encrypt beside": {[]any{jose.JSONWebKey{Key: weak.Public(), KeyID: own.ID, Use: "enc"}, good}, ""}, "a private key beside": {[]any{private, good}, ""}, "another key of the same id": {[]any{jose.JSONWebKey{Key: weak.Public(), KeyID: own.ID}, good}, ""},
			"none": {[]any{}, badKeys}, "a broken key": {[]any{broken}, badKeys}, "a secret": {[]any{secret}, badKeys}, "a text": {[]any{"x"}, badKeys},
			"a key to encrypt": {[]any{jose.JSONWebKey{Key: own.Private.Public(), KeyID: own.ID, Use: "enc"}}, badKeys}, "a key of another algorithm": {[]any{jose.JSONWebKey{Key: own.Private.Public(), KeyID: own.ID, Algorithm: "ES384"}}, badKey},
			"a private key": {[]any{jose.JSONWebKey{Key: own.Private, KeyID: own.ID}}, badKeys}, "a key of another id": {[]any{jose.JSONWebKey{Key: own.Private.Public(), KeyID: "other"}}, badKey}, "another key": {[]any{jose.JSONWebKey{Key: weak.Public(), KeyID: own.ID}}, badSig},
			"five of one id": {many(5), badKey}, "101": {many(101), badKeys}, "10,000": {many(10_000), badSize},
		} {
			f.try(attempt{name: name, lie: corrected(authtest.PathKeys, func(a map[string]any) { a["keys"] = row.keys }), reason: row.reason})
		}
		f.try(attempt{name: "signed by the secret in the set", lie: func(s *authtest.IssuerSettings) {
			corrected(authtest.PathKeys, func(a map[string]any) { a["keys"] = []any{secret, good} })(s)
			resigned("HS256", []byte("0123456789abcdef0123456789abcdef"), fmt.Sprintf(`{"alg":"HS256","kid":%q}`, own.ID))(s)
		}, reason: badHeader})
		f.documents(authtest.PathKeys, badJSON)
		f.documents(authtest.PathDiscovery, badJSON)
		var sent atomic.Int64
		f.try(attempt{name: "keys without end", lie: streamed(authtest.PathKeys, &sent), reason: badSize})
		if n := sent.Load(); n > 64<<20 {
			k.Errorf("%d bytes of keys were taken", n)
		}
		f.try(attempt{name: "an honest issuer at the end"})
	})
}

// Line 9: a signature is that of the token, by the key. A signature is no name of a token: another
// one of the same token serves too.
func TestIssuer9Signatures(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		signature := func(edit func(s []byte) []byte) func(*authtest.IssuerSettings) {
			return rewritten(func(token string) string {
				at := strings.LastIndex(token, ".") + 1
				s, err := base64.RawURLEncoding.DecodeString(token[at:])
				k.Must(err)
				return token[:at] + base64.RawURLEncoding.EncodeToString(edit(s))
			})
		}
		turned := func(high bool) func(s []byte) []byte {
			return func(sig []byte) []byte {
				n := elliptic.P256().Params().N
				s := new(big.Int).SetBytes(sig[32:])
				other := new(big.Int).Sub(n, s)
				if (s.Cmp(other) < 0) == high {
					s = other
				}
				return append(sig[:32:32], s.FillBytes(make([]byte, 32))...)
			}
		}
		var another string
		f.try(attempt{name: "an honest issuer", lie: rewritten(func(token string) string { another = token; return token })})
		_, foreign, _ := strings.Cut(another[strings.Index(another, ".")+1:], ".")
		other, err := authtest.SignWith("ES256", f.issuer.Key().Private, nil, []byte("{}"))
		k.Must(err)
		for name, row := range map[string]struct {
			lie    func(*authtest.IssuerSettings)
			reason string
		}{
			"the higher of two": {signature(turned(true)), ""}, "the lower of two": {signature(turned(false)), ""},
			"empty": {signature(func([]byte) []byte { return nil }), badSig}, "all zero": {signature(func([]byte) []byte { return make([]byte, 64) }), badSig},
			"r is zero":      {signature(func(s []byte) []byte { return append(make([]byte, 32), s[32:]...) }), badSig},
			"s is zero":      {signature(func(s []byte) []byte { return append(s[:32:32], make([]byte, 32)...) }), badSig},
			"s is the order": {signature(func(s []byte) []byte { return append(s[:32:32], elliptic.P256().Params().N.Bytes()...) }), badSig},
			"all ones":       {signature(func([]byte) []byte { return bytes.Repeat([]byte{0xff}, 64) }), badSig},
			"turned around":  {signature(func(s []byte) []byte { return append(s[32:64:64], s[:32]...) }), badSig},
			"one bit":        {signature(func(s []byte) []byte { s[40] ^= 1; return s }), badSig}, "a byte less": {signature(func(s []byte) []byte { return s[:63] }), badSig}, "a byte more": {signature(func(s []byte) []byte { return append(s, 0) }), badSig},
			"in DER": {signature(func(s []byte) []byte {
				der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:])})
				k.Must(err)
				return der
			}), badSig},
			"of an earlier token": {rewritten(func(token string) string { return token[:strings.LastIndex(token, ".")+1] + foreign }), badSig},
			"of another text": {rewritten(func(token string) string {
				return token[:strings.LastIndex(token, ".")] + other[strings.LastIndex(other, "."):]
			}), badSig},
			"of other claims":  {rewritten(func(token string) string { return strings.Replace(token, ".", ".AAAA", 1) }), badSig},
			"an earlier token": {rewritten(func(string) string { return another }), badNonce},
		} {
			f.try(attempt{name: name, lie: row.lie, reason: row.reason})
		}
	})
}

// Line 10: what userinfo tells is of the person of the ID token, and all of it is from one place.
func TestIssuer10UserInfo(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		f.honest.UserInfo, f.honest.Claims = f.honest.Claims, nil
		own := f.issuer.Key()
		signed := func(algorithm string, key any, claims map[string]any) string {
			payload, err := json.Marshal(claims)
			k.Must(err)
			token, err := authtest.SignWith(algorithm, key, fmt.Appendf(nil, `{"alg":%q,"kid":%q}`, algorithm, own.ID), payload)
			k.Must(err)
			return token
		}
		claims := func(change map[string]any) map[string]any {
			all := map[string]any{"iss": f.issuer.URL, "aud": f.honest.ClientID, "sub": f.honest.Subject, "email": kit.Ada, "email_verified": true}
			maps.Copy(all, change)
			return all
		}
		jwt := func(text string) func(*authtest.IssuerSettings) {
			return answered(authtest.PathUserInfo, 200, "application/jwt", text)
		}
		f.try(attempt{name: "an honest issuer"})
		f.try(attempt{name: "a signed answer", lie: jwt(signed("ES256", own.Private, claims(nil)))})
		for name, row := range map[string]struct {
			lie    func(*authtest.IssuerSettings)
			reason string
		}{
			"another subject": {told(map[string]any{"sub": "mallory"}), badPerson}, "the subject in another case": {told(map[string]any{"sub": f.honest.Subject + " "}), badPerson}, "no subject": {answered(authtest.PathUserInfo, 200, "application/json", `{"email":"ada@example.org","email_verified":true}`), badPerson},
			"a number": {told(map[string]any{"sub": 248289761001}), badClaims}, "null": {told(map[string]any{"sub": nil}), badPerson}, "an error": {answered(authtest.PathUserInfo, 200, "application/json", `{"error":"hide-me","error_description":"hide-me"}`), badPerson},
			"an address that is a list": {told(map[string]any{"email": []string{kit.Ada}}), badClaims},
			"alg none":                  {jwt(signed("none", nil, claims(nil))), badHeader}, "HS256 with the secret": {jwt(signed("HS256", []byte(f.honest.ClientSecret.Reveal()), claims(nil))), badHeader}, "signed by another key": {jwt(signed("ES256", ecKey(elliptic.P256()), claims(nil))), badSig},
			"signed for another client": {jwt(signed("ES256", own.Private, claims(map[string]any{"aud": "other"}))), badToken}, "signed without a client": {jwt(signed("ES256", own.Private, claims(map[string]any{"aud": []string{}}))), badToken}, "signed by another issuer": {jwt(signed("ES256", own.Private, claims(map[string]any{"iss": "https://evil.example.com"}))), badToken},
			"signed, of another subject": {jwt(signed("ES256", own.Private, claims(map[string]any{"sub": "mallory"}))), badPerson}, "signed, with a line break": {jwt(signed("ES256", own.Private, claims(nil)) + "\n"), badForm}, "JSON that is said to be signed": {jwt(`{"sub":"248289761001"}`), badForm},
			"a signed answer that is said to be JSON": {answered(authtest.PathUserInfo, 200, "application/json", signed("ES256", own.Private, claims(nil))), badClaims},
		} {
			f.try(attempt{name: name, lie: row.lie, reason: row.reason})
		}
		f.documents(authtest.PathUserInfo, badClaims)
		var sent atomic.Int64
		f.try(attempt{name: "1 GiB", lie: streamed(authtest.PathUserInfo, &sent), reason: badSize})
		if n := sent.Load(); n > 64<<20 {
			k.Errorf("%d bytes were taken", n)
		}
		// The flag of one place does not prove the address of the other.
		k.DeleteAll()
		k.SignUp(kit.Ada)
		for name, lie := range map[string]func(*authtest.IssuerSettings){
			"the flag in the ID token": func(s *authtest.IssuerSettings) {
				s.Claims, s.UserInfo = map[string]any{"email_verified": true}, map[string]any{"email": kit.Ada}
			},
			"the address in the ID token": func(s *authtest.IssuerSettings) {
				s.Claims, s.UserInfo = map[string]any{"email": kit.Ada}, map[string]any{"email": kit.Ada, "email_verified": true}
			},
			"a flag in each": func(s *authtest.IssuerSettings) {
				s.Claims, s.UserInfo = map[string]any{"email_verified": true}, map[string]any{"email": kit.Ada, "email_verified": false}
			},
		} {
			f.try(attempt{name: name, lie: lie, want: latchkey.ErrUserAlreadyExists})
		}
	})
}

// told changes claims at userinfo, of an issuer that has them there alone.
func told(claims map[string]any) func(*authtest.IssuerSettings) {
	return func(s *authtest.IssuerSettings) { maps.Copy(s.UserInfo, claims) }
}

// Line 11: an address is one mailbox, or it is none.
func TestIssuer11Addresses(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		for i, row := range []struct{ name, value, email, reason string }{
			{"an honest one", `"ada@example.org"`, "ada@example.org", ""}, {"upper case", `"ADA.L@EXAMPLE.ORG"`, "ada.l@example.org", ""}, {"IDN", `"ada@b` + "\u00fc" + `cher.example"`, "ada@xn--bcher-kva.example", ""},
			{"empty and verified", `""`, "", ""}, {"null", "null", "", ""}, {"none", "", "", ""}, {"two", `"a@example.net, b@example.net"`, "", ""}, {"two with a semicolon", `"a@example.net;b@example.net"`, "", ""}, {"two signs", `"a@b@example.net"`, "", ""},
			{"a line break", `"a@example.net\r\nBcc: b@example.net"`, "", ""}, {"a line break at the end", `"a@example.net\n"`, "", ""}, {"NUL", `"a@example.net\u0000"`, "", ""}, {"a name", `"Ada <a@example.net>"`, "", ""}, {"a comment", `"a(x)@example.net"`, "", ""}, {"quotes", `"\"a b\"@example.net"`, "", ""},
			{"a full-width sign", `"a` + "\uff20" + `example.net"`, "", ""}, {"full-width letters", `"a@` + "\uff45" + `xample.net"`, "", ""}, {"a full-width dot", `"a@example` + "\uff0e" + `net"`, "", ""}, {"a kelvin sign", `"` + "\u212a" + `@example.net"`, "", ""}, {"a mark that turns", `"a` + "\u202e" + `@example.net"`, "", ""},
			{"a space before", `" a@example.net"`, "", ""}, {"a space after", `"a@example.net "`, "", ""}, {"a literal", `"a@[127.0.0.1]"`, "", ""}, {"no dot", `"a@localhost"`, "", ""}, {"321 bytes", `"` + strings.Repeat("a", 309) + `@example.net"`, "", ""}, {"10,000 bytes", `"` + strings.Repeat("a", 9_988) + `@example.net"`, "", ""},
			{"a list", `["a@example.net"]`, "", badToken}, {"a number", "1", "", badClaims}, {"an object", `{"value":"a@example.net"}`, "", badClaims}, {"true", "true", "", badClaims},
		} {
			subject := fmt.Sprint("person-", i)
			a := attempt{name: row.name, lie: claimed(map[string]string{"email": row.value, "sub": fmt.Sprintf("%q", subject)}), subject: subject, reason: row.reason}
			switch {
			case row.reason == badToken:
				a.reason = badClaims
			case row.reason == "" && row.email == "":
				a.want = latchkey.ErrUserUnauthorized
			}
			honest := a.lie
			a.lie = func(s *authtest.IssuerSettings) {
				honest(s)
				s.UserInfo = map[string]any{"sub": subject} // which is asked if the ID token has no address
			}
			a.check = func(result *latchkey.OAuth2Result) {
				user, err := k.Users().Get(k.Ctx, result.Session.UserID)
				if err != nil || user.Email != row.email || !user.EmailVerification {
					k.Errorf("%s: %+v, %v", row.name, user, err)
				}
			}
			f.try(a)
		}
	})
}

// AC-060: only the boolean true says that an address is proven, in the ID token and at userinfo.
func TestAC060OnlyTrueProvesAnAddress(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f, plain := federate(k, nil), federate(k, func(c *oidc.Config) { c.TrustEmail = false })
		user := k.SignUp(kit.Ada)
		for _, proven := range []bool{true, false} {
			k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, proven)))
			for _, flag := range []any{"true", "false", "TRUE", "1", "", 1, 0, 1.0, nil, false, []bool{true}, map[string]bool{"value": true}, []any{}, missing{}} {
				text, err := json.Marshal(flag)
				k.Must(err)
				for place, lie := range map[string]func(*authtest.IssuerSettings){
					"the ID token": func(s *authtest.IssuerSettings) { set(s.Claims, "email_verified", flag) },
					"userinfo":     byUserInfo(func(claims map[string]any) { set(claims, "email_verified", flag) }),
				} {
					f.try(attempt{name: fmt.Sprintf("%T %s in %s, proven %v", flag, text, place, proven), lie: lie, want: latchkey.ErrUserAlreadyExists})
				}
			}
			plain.try(attempt{name: "a service that is not trusted", want: latchkey.ErrUserAlreadyExists})
			plain.try(attempt{name: "userinfo of a service that is not trusted", lie: byUserInfo(func(map[string]any) {}), want: latchkey.ErrUserAlreadyExists})
		}
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		lets := func(result *latchkey.OAuth2Result) {
			if result.Session.UserID != user.ID {
				k.Errorf("signed in as %s", result.Session.UserID)
			}
		}
		f.try(attempt{name: "true", check: lets})
		f.try(attempt{name: "true at userinfo", lie: func(s *authtest.IssuerSettings) { byUserInfo(func(map[string]any) {})(s); s.Subject = "second" }, subject: "second", check: lets})
	})
}

// missing stands for a member that is not there.
type missing struct{}

func set(claims map[string]any, name string, value any) {
	if claims[name] = value; value == (any)(missing{}) {
		delete(claims, name)
	}
}

// AC-070: a token of another client, of another sign-in, or without the claims that bind it, signs
// nobody in.
func TestAC070ATokenIsThatOfThisSignIn(t *testing.T) {
	kit.OneByOne(t, kit.Documented, func(k *kit.Kit) {
		f := federate(k, nil)
		now := k.Clock.Now().Unix()
		id := fmt.Sprintf("%q", f.honest.ClientID)
		f.try(attempt{name: "an honest issuer"})
		half := func(text string) string {
			sum := sha256.Sum256([]byte(text))
			return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
		}
		for name, row := range map[string]struct {
			claims map[string]string
			reason string
		}{
			"no at_hash":     {map[string]string{"at_hash": ""}, ""},
			"another client": {map[string]string{"aud": `"other"`}, badAud}, "another client that is the party": {map[string]string{"azp": `"other"`}, badAud}, "two clients": {map[string]string{"aud": `[` + id + `,"other"]`, "azp": id}, badAud},
			"expired": {map[string]string{"exp": fmt.Sprint(now - 3600), "iat": fmt.Sprint(now - 7200)}, badTimes}, "no end": {map[string]string{"exp": ""}, badTimes}, "issued tomorrow": {map[string]string{"iat": fmt.Sprint(now + 86_400), "exp": fmt.Sprint(now + 90_000)}, badTimes},
			"issued an hour ago": {map[string]string{"iat": fmt.Sprint(now - 3600)}, badTimes}, "no nonce": {map[string]string{"nonce": ""}, badNonce}, "null as nonce": {map[string]string{"nonce": "null"}, badNonce}, "an empty nonce": {map[string]string{"nonce": `""`}, badNonce},
			"another nonce": {map[string]string{"nonce": `"other"`}, badNonce}, "a nonce that is a number": {map[string]string{"nonce": "1"}, badToken}, "the nonce in a list": {map[string]string{"nonce": `["x"]`}, badToken},
			"another access token": {map[string]string{"at_hash": half("other")}, badHash}, "an empty at_hash": {map[string]string{"at_hash": `""`}, badHash}, "the whole digest": {map[string]string{"at_hash": `"` + strings.Repeat("A", 43) + `"`}, badHash},
			"another code": {map[string]string{"c_hash": half("other")}, badHash}, "an empty c_hash": {map[string]string{"c_hash": `""`}, badHash}, "at_hash that is a number": {map[string]string{"at_hash": "1"}, badToken},
		} {
			f.try(attempt{name: name, lie: claimed(row.claims), reason: row.reason})
		}
		var code string
		f.try(attempt{name: "the hash of the code", callback: func(cb *latchkey.OAuth2Callback) { code = cb.Parameters.Get("code") }, lie: func(s *authtest.IssuerSettings) {
			s.EditPayload = func(p []byte) []byte { return edited(p, map[string]string{"c_hash": half(code)}) }
		}})
		// A token of a sign-in that the attacker has begun, in the sign-in of the victim.
		var stolen string
		f.try(attempt{name: "the attacker's own", lie: func(s *authtest.IssuerSettings) {
			s.Subject, s.Claims = "mallory", map[string]any{"email": "mallory@example.net"}
			s.EditIDToken = func(token string) string { stolen = token; return token }
		}, subject: "mallory"})
		f.try(attempt{name: "the attacker's token", lie: rewritten(func(string) string { return stolen }), reason: badNonce})
		f.try(attempt{name: "no ID token", lie: corrected(authtest.PathToken, func(a map[string]any) { delete(a, "id_token") }), reason: "the token endpoint has given no ID token"})
		f.try(attempt{name: "an ID token from an app", lie: rewritten(func(string) string { return f.bare() }), reason: badNonce})
	})
}

// bare returns an ID token without a nonce.
func (f *federation) bare() string {
	payload, err := json.Marshal(f.issuer.IDTokenClaims(""))
	f.Must(err)
	token, err := authtest.SignWith("ES256", f.issuer.Key().Private.(*ecdsa.PrivateKey), fmt.Appendf(nil, `{"alg":"ES256","kid":%q}`, f.issuer.Key().ID), payload)
	f.Must(err)
	return token
}
