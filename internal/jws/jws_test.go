package jws

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func keyOf(b byte) *Key { return NewKey(bytes.Repeat([]byte{b}, ed25519.SeedSize)) }

func claims() Claims {
	return Claims{Issuer: "us", UserID: "ada", SessionID: "one", ID: "jti", IssuedAt: now, Expire: now.Add(15 * time.Minute), Epoch: 7, Account: "acc"}
}

func sign(t testing.TB, k *Key, c Claims) string {
	t.Helper()
	token, err := k.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// forged signs any header and payload with the real key.
func forged(k *Key, header, payload string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(ed25519.PrivateKey(k.private.Reveal()), []byte(text)))
}

func TestTokenIsReadBackAsItWasSigned(t *testing.T) {
	key := keyOf(1)
	set := NewSet("us", key.Public())
	for _, c := range []Claims{claims(), {Issuer: "us", UserID: "ada", ID: "x", IssuedAt: now, Expire: now.Add(time.Hour)}} {
		if got, err := set.Verify(sign(t, key, c), now); err != nil || got != c {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestTokenEndsAtItsEndAndIsNotFromTheFuture(t *testing.T) {
	key := keyOf(1)
	set := NewSet("us", key.Public())
	c := claims()
	c.Expire = now.Add(time.Second / 2) // rounded up
	for at, want := range map[time.Duration]bool{0: true, 999 * time.Millisecond: true, time.Second: false, -30 * time.Second: true, -2 * time.Minute: false} {
		if _, err := set.Verify(sign(t, key, c), now.Add(at)); (err == nil) != want {
			t.Errorf("at %v: %v", at, err)
		}
	}
	c.Expire = now.Add(2 * time.Hour)
	if _, err := set.Verify(sign(t, key, c), now); err == nil {
		t.Error("a life of two hours")
	}
}

// AC-079, AC-083: neither algorithm nor key comes from the token.
func TestAC079AndAC083HeaderDecidesNothing(t *testing.T) {
	key := keyOf(1)
	set := NewSet("us", key.Public())
	good := sign(t, key, claims())
	parts := strings.Split(good, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	for _, header := range []string{
		`{"alg":"none","kid":"KID","typ":"latchkey+jwt"}`, `{"alg":"NONE","kid":"KID","typ":"latchkey+jwt"}`, `{"alg":"HS256","kid":"KID","typ":"latchkey+jwt"}`,
		`{"alg":"ES256","kid":"KID","typ":"latchkey+jwt"}`, `{"alg":["EdDSA"],"kid":"KID","typ":"latchkey+jwt"}`, `{"alg":"EdDSA","typ":"latchkey+jwt"}`,
		`{"alg":"EdDSA","kid":"../../key","typ":"latchkey+jwt"}`, `{"alg":"EdDSA","kid":"' OR 1=1","typ":"latchkey+jwt"}`, `{"alg":"EdDSA","kid":"KID"}`,
		`{"alg":"EdDSA","kid":"KID","typ":"JWT"}`, `{"alg":"EdDSA","crit":["x"],"kid":"KID","typ":"latchkey+jwt","x":1}`,
		`{"alg":"EdDSA","jku":"https://evil.example/","kid":"KID","typ":"latchkey+jwt"}`, `{"alg":"EdDSA","jwk":{},"kid":"KID","typ":"latchkey+jwt"}`,
		`{"alg":"EdDSA","kid":"KID","typ":"latchkey+jwt","x5u":"x"}`, `{"alg":"EdDSA","kid":"KID","kid":"KID","typ":"latchkey+jwt"}`,
		`{ "alg":"EdDSA","kid":"KID","typ":"latchkey+jwt"}`, `{}`, ``, `null`, `[]`,
	} {
		header = strings.ReplaceAll(header, "KID", key.id)
		text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1]
		mac := hmac.New(sha256.New, key.Public()) // the signature of an attack that confuses algorithms
		mac.Write([]byte(text))
		for name, token := range map[string]string{
			"unsigned": text + ".", "by the key": forged(key, header, string(payload)), "by HMAC": text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		} {
			if c, err := set.Verify(token, now); err != ErrInvalid || c != (Claims{}) {
				t.Errorf("%s %s: %+v, %v", header, name, c, err)
			}
		}
	}
	if _, err := set.Verify(forged(keyOf(2), mustHeader(key), string(payload)), now); err == nil {
		t.Error("another key under the name of this one")
	}
}

func mustHeader(k *Key) string {
	text, err := base64.RawURLEncoding.DecodeString(k.header)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// AC-081, AC-085: the token says that it is ours and for us.
func TestAC081AndAC085AudienceAndIssuerAreExact(t *testing.T) {
	key := keyOf(1)
	set := NewSet("us", key.Public())
	payload := func(iss, aud string) string {
		return fmt.Sprintf(`{"iss":%s,"aud":%s,"sub":"ada","sid":"one","iat":%d,"exp":%d,"jti":"x"}`, iss, aud, now.Unix(), now.Add(time.Minute).Unix())
	}
	for _, c := range []struct {
		iss, aud string
		good     bool
	}{
		{`"us"`, `["us"]`, true}, {`"us"`, `"us"`, true}, {`"us"`, `["them","us"]`, true},
		{`"us"`, `["them"]`, false}, {`"us"`, `[]`, false}, {`"us"`, `""`, false}, {`"us"`, `null`, false}, {`"us"`, `[["us"]]`, false}, {`"us"`, `{"us":1}`, false},
		{`"us"`, `1`, false}, {`"us"`, `["us",1]`, false}, {`"us"`, `"us,them"`, false}, {`"us"`, `["US"]`, false}, {`"us"`, `["us "]`, false},
		{`"them"`, `["us"]`, false}, {`""`, `["us"]`, false}, {`null`, `["us"]`, false}, {`["us"]`, `["us"]`, false}, {`"us2"`, `["us"]`, false},
	} {
		if _, err := set.Verify(forged(key, mustHeader(key), payload(c.iss, c.aud)), now); (err == nil) != c.good {
			t.Errorf("iss %s, aud %s: %v", c.iss, c.aud, err)
		}
	}
	for _, payload := range []string{
		`{}`, `null`, `[]`, ``, `{"iss":"us","aud":["us"],"sub":"ada","iat":1}`, `{"iss":"us","aud":["us"],"sub":"ada","exp":9999999999}`,
		`{"iss":"us","aud":["us"],"iat":` + fmt.Sprint(now.Unix()) + `,"exp":` + fmt.Sprint(now.Unix()+60) + `}`,
		`{"iss":"us","aud":["us"],"sub":"ada","iat":"now","exp":"later"}`, `{"iss":"us","aud":["us"],"sub":"ada","iat":1e400,"exp":1e400}`,
		`{"iss":"us","aud":["us"],"sub":{"a":1},"iat":1,"exp":2}`, `{"iss":"us","aud":["us"],"sub":"ada","iat":-1e300,"exp":1e300}`,
	} {
		if c, err := set.Verify(forged(key, mustHeader(key), payload), now); err != ErrInvalid || c != (Claims{}) {
			t.Errorf("%s: %+v, %v", payload, c, err)
		}
	}
}

// AC-080, AC-082: every invalid token has the same error, without delay.
func TestAC080AndAC082OneAnswerAndLittleWork(t *testing.T) {
	key := keyOf(1)
	set := NewSet("us", key.Public())
	good := sign(t, key, claims())
	expired := claims()
	expired.Expire = now.Add(-time.Minute)
	parts := strings.Split(good, ".")
	flipped := []byte(good)
	flipped[len(flipped)-5] ^= 1
	for name, token := range map[string]string{
		"nothing": "", "dots": strings.Repeat(".", 1<<20), "two dots": "..", "long header": strings.Repeat("A", 10<<20) + "." + parts[1] + "." + parts[2],
		"long": good + strings.Repeat("A", 9<<10), "four parts": good + ".", "padded": good + "=", "space": good + " ", "line": good + "\n", "expired": sign(t, key, expired),
		"expired and forged": sign(t, keyOf(2), expired), "signature": string(flipped), "no signature": parts[0] + "." + parts[1] + ".",
		"deep": forged(key, mustHeader(key), strings.Repeat("[", 4000)), "JSON form": `{"payload":"` + parts[1] + `"}`, "another": sign(t, keyOf(2), claims()),
	} {
		if c, err := set.Verify(token, now); err != ErrInvalid || c != (Claims{}) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestSetIsWrittenAndRead(t *testing.T) {
	old, active := keyOf(1), keyOf(2)
	set := NewSet("us", active.Public(), old.Public())
	text := set.JSON()
	var shown struct{ Keys []map[string]string }
	if err := json.Unmarshal(text, &shown); err != nil || len(shown.Keys) != 2 || shown.Keys[0]["kid"] != active.id || shown.Keys[0]["kty"] != "OKP" ||
		shown.Keys[0]["crv"] != "Ed25519" || shown.Keys[0]["alg"] != "EdDSA" || shown.Keys[0]["use"] != "sig" || shown.Keys[0]["d"] != "" {
		t.Errorf("%v, %s", err, text)
	}
	read, err := ParseSet("us", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []*Key{old, active} {
		if _, err := read.Verify(sign(t, key, claims()), now); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "[]", "{}", `{"keys":[]}`, `{"keys":[{"kty":"RSA","kid":"x","use":"sig"}]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"x"}]}`,
		strings.Replace(string(text), active.id, old.id, 1), `{"keys":[` + strings.Repeat(`{},`, 200) + `{}]}`,
	} {
		if _, err := ParseSet("us", []byte(bad)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

// N-2: no two readers of claims can find different values in them.
func TestN2ClaimsAreReadStrictly(t *testing.T) {
	key := keyOf(1)
	set := NewSet("us", key.Public())
	life := fmt.Sprintf(`"iat":%d,"exp":%d`, now.Unix(), now.Add(time.Minute).Unix())
	base := `"iss":"us","aud":["us"],"sub":"ada","sid":"one","jti":"x",` + life
	if c, err := set.Verify(forged(key, mustHeader(key), `{`+base+`,"more":{"SUB":[1]},"More":1}`), now); err != nil || c.UserID != "ada" {
		t.Errorf("with unknown members: %+v, %v", c, err)
	}
	later := fmt.Sprint(now.Add(30 * time.Minute).Unix())
	for name, more := range map[string]string{
		"sub twice": `"sub":"bob"`, "sub twice and equal": `"sub":"ada"`, "sub in capitals": `"SUB":"bob"`, "sub by an escape": `"s\u0075b":"bob"`, "sub by a letter that folds": `"` + "\u017F" + `ub":"bob"`,
		"iss twice": `"iss":"us"`, "Iss": `"Iss":"us"`, "aud twice": `"aud":"us"`, "AUD": `"AUD":"us"`, "exp twice": `"exp":` + later, "EXP": `"EXP":` + later, "iat twice": `"iat":` + fmt.Sprint(now.Unix()),
		"sid twice": `"sid":"two"`, "Sid": `"Sid":"two"`, "jti twice": `"jti":"y"`, "Epoch": `"Epoch":9`, "acc twice": `"acc":"","acc":"x"`, "nbf twice": `"nbf":1,"nbf":2`, "an unknown one twice": `"x":1,"x":2`,
		"a doubled name below": `"x":{"y":1,"y":2}`, "half of a surrogate pair": `"x":"\ud800"`, "a byte that is not UTF-8": "\"x\":\"\xff\"", "a name that is not UTF-8": "\"\xff\":1",
	} {
		for _, payload := range []string{`{` + base + `,` + more + `}`, `{` + more + `,` + base + `}`} {
			if c, err := set.Verify(forged(key, mustHeader(key), payload), now); err != ErrInvalid || c != (Claims{}) {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
		}
	}
	for name, payload := range map[string]string{
		"only SUB": strings.Replace(base, "sub", "SUB", 1), "only Exp": strings.Replace(base, "exp", "Exp", 1), "sub that is not UTF-8": strings.Replace(base, "ada", "a\xff", 1),
		"sub with half of a surrogate pair": strings.Replace(base, "ada", `a\udc00`, 1), "iss with half of a surrogate pair": strings.Replace(base, `"us"`, `"us\ud800"`, 1),
		"more than an object": base + `}{`, "a list": base + `}]`,
	} {
		if c, err := set.Verify(forged(key, mustHeader(key), `{`+payload+`}`), now); err != ErrInvalid || c != (Claims{}) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	// One token has one spelling.
	good := sign(t, key, claims())
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", good[len(good)-1])
	for name, token := range map[string]string{
		"bits behind the signature": good[:len(good)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last+1]), "padding": good + "==", "the other alphabet": strings.NewReplacer("-", "+", "_", "/").Replace(good) + "=",
	} {
		if _, err := set.Verify(token, now); err != ErrInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// N-2: the same for sets of keys, and for each key.
func TestN2KeySetsAreReadStrictly(t *testing.T) {
	key, other := keyOf(1), keyOf(2)
	whole := string(NewSet("us", key.Public()).JSON())
	entry := strings.TrimSuffix(strings.TrimPrefix(whole, `{"keys":[`), `]}`)
	theirs := strings.TrimSuffix(strings.TrimPrefix(string(NewSet("us", other.Public()).JSON()), `{"keys":[`), `]}`)
	with := func(member string) string { return `{"keys":[` + strings.TrimSuffix(entry, `}`) + `,` + member + `}]}` }
	for name, text := range map[string]string{
		"as written": whole, "unknown members": `{"keys":[` + entry + `,{"kty":"RSA","n":"x","e":"AQAB","X5C":[],"x5t#S256":"x"}],"other":{"KEYS":[]}}`,
		"without use and alg": strings.NewReplacer(`,"use":"sig"`, "", `,"alg":"EdDSA"`, "").Replace(whole),
	} {
		set, err := ParseSet("us", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := set.Verify(sign(t, key, claims()), now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	x := base64.RawURLEncoding.EncodeToString(key.Public())
	for name, text := range map[string]string{
		"keys twice": `{"keys":[` + theirs + `],"keys":[` + entry + `]}`, "KEYS": `{"KEYS":[` + entry + `]}`, "both": `{"keys":[` + entry + `],"Keys":[` + theirs + `]}`,
		"keys by a letter that folds": `{"` + "\u212A" + `eys":[` + entry + `]}`, "x twice": with(`"x":"` + x + `"`), "X": with(`"X":"` + x + `"`), "kid twice": with(`"kid":"` + key.id + `"`),
		"Kty": with(`"Kty":"RSA"`), "an unknown member twice": with(`"y":1,"y":2`), "use twice": with(`"use":"enc"`), "another algorithm": strings.Replace(whole, "EdDSA", "ES256", 1),
		"half of a surrogate pair": with(`"y":"\ud800"`), "a byte that is not UTF-8": with("\"y\":\"\xff\""), "a key that is a text": `{"keys":[` + entry + `,"x"]}`, "a key that is null": `{"keys":[` + entry + `,null]}`,
		"padding": strings.Replace(whole, x, x+"=", 1), "a line in x": strings.Replace(whole, x, x[:9]+`\n`+x[9:], 1), "more": whole + `{}`, "null": `null`, "keys is null": `{"keys":null}`,
	} {
		if _, err := ParseSet("us", []byte(text)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := keyOf(1)
	set := NewSet("us", key.Public())
	good := sign(f, key, claims())
	f.Add(good, "")
	f.Add("..", `{"iss":"us","aud":"us"}`)
	f.Add(good[:len(good)-1], `{"iss":"us","aud":["us"],"sub":"ada","sid":"s","iat":1772366400,"exp":1772366460,"jti":"x","exp":null}`)
	f.Fuzz(func(t *testing.T, token, payload string) {
		if c, err := set.Verify(token, now); err == nil && token != good || err != nil && c != (Claims{}) {
			t.Errorf("%q is %+v, %v", token, c, err)
		}
		c, err := set.Verify(forged(key, mustHeader(key), payload), now) // for any claims
		if err == nil && (c.Issuer != "us" || c.UserID == "" || !c.Expire.After(now) || c.Expire.Sub(c.IssuedAt) > MaxLife+2*time.Second) {
			t.Errorf("%q is %+v", payload, c)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	key := keyOf(1)
	set := NewSet("us", key.Public())
	good := sign(b, key, claims())
	for b.Loop() {
		if _, err := set.Verify(good, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEd25519(b *testing.B) {
	key := keyOf(1)
	good := sign(b, key, claims())
	i := strings.LastIndexByte(good, '.')
	text, signature := []byte(good[:i]), make([]byte, 64)
	if _, err := base64.RawURLEncoding.Decode(signature, []byte(good[i+1:])); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !ed25519.Verify(key.Public(), text, signature) {
			b.Fatal("no")
		}
	}
}
