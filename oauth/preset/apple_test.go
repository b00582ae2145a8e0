package preset_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// appleKey is the key of the developer account.
var appleKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

// pemOf is a key file.
func pemOf(key any) string {
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}

func applePEM() string { return pemOf(appleKey()) }

// isAppleSecret reports whether a client secret is what Apple asks for: ES256 by the key of the
// account, for Apple, and not good for longer than six months.
func (w *world) isAppleSecret(secret string) bool {
	token, err := jose.ParseSignedCompact(secret, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || token.Signatures[0].Protected.KeyID != "KEY1234567" {
		return false
	}
	payload, err := token.Verify(appleKey().Public())
	if err != nil {
		return false
	}
	var c struct {
		Iss, Sub string
		Aud      any
		Iat, Exp int64
	}
	now := w.clock.Now().Unix()
	audience := func() bool {
		list, is := c.Aud.([]any)
		return c.Aud == "https://appleid.apple.com" || is && len(list) == 1 && list[0] == "https://appleid.apple.com"
	}
	return json.Unmarshal(payload, &c) == nil && c.Iss == "ABCDE12345" && c.Sub == clientID && audience() && c.Iat == now && c.Exp > now && c.Exp <= now+600
}
