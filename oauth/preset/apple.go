package preset

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"regexp"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"example.com/latchkey/hidden"
	"example.com/latchkey/oauth/internal/quirk"
)

// AppleKey signs the client secrets that Apple asks for.
type AppleKey struct {
	TeamID string      // of the developer account: ten capital letters and digits
	KeyID  string      // of the key: ten capital letters and digits
	PEM    hidden.Text // the key file (.p8)
}

// appleID is the form of the ids of teams and keys.
var appleID = regexp.MustCompile(`^[A-Z0-9]{10}$`)

// check returns the field that cannot be, "" if all can.
func (k *AppleKey) check() (field, reason string) {
	switch {
	case !appleID.MatchString(k.TeamID):
		return "TeamID", "not ten capital letters and digits"
	case !appleID.MatchString(k.KeyID):
		return "KeyID", "not ten capital letters and digits"
	}
	if _, err := k.private(); err != nil {
		return "PEM", "not the file of a P-256 key in PKCS #8"
	}
	return "", ""
}

// private reads the key.
func (k *AppleKey) private() (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(k.PEM.Reveal()))
	if block == nil {
		return nil, errors.New("preset: no PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, is := key.(*ecdsa.PrivateKey)
	if !is || private.Curve != elliptic.P256() {
		return nil, errors.New("preset: another kind of key")
	}
	return private, nil
}

// appleSecretLength is how long a client secret is good. Apple allows six months.
const appleSecretLength = 5 * time.Minute

// appleQuirks: the client secret is a JWT, made for each request.
func appleQuirks(r *row, o *Options, q *quirk.OpenID) {
	textFlag(r, o, q)
	q.Secret = func(now time.Time) (hidden.Text, error) {
		if o.Key == nil {
			return hidden.Text{}, errors.New("preset: apple has no key, for it takes the ID tokens of apps alone")
		}
		private, err := o.Key.private()
		if err != nil {
			return hidden.Text{}, err
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private}, (&jose.SignerOptions{}).WithHeader("kid", o.Key.KeyID))
		if err != nil {
			return hidden.Text{}, err
		}
		secret, err := jwt.Signed(signer).Claims(jwt.Claims{
			Issuer: o.Key.TeamID, Subject: o.ClientID, Audience: jwt.Audience{"https://appleid.apple.com"},
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(appleSecretLength)),
		}).Serialize()
		return hidden.New(secret), err
	}
}
