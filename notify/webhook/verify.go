package webhook

import (
	"errors"
	"net/http"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/hooksig"
)

// The errors of [Verify] about a request.
var (
	ErrForged = errors.New("webhook: the request is forged, or was changed")
	ErrStale  = errors.New("webhook: the request is from more than five minutes ago, or ahead")
)

// GenerateSecret returns a new secret of 32 random bytes, for an endpoint and its receiver: whsec_
// and the bytes in base64.
func GenerateSecret() hidden.Text { return hooksig.NewSecret() }

// Verify checks at the time now that an [Endpoint] with one of the secrets has sent a request. A
// receiver passes the headers and the whole body of the request, and decodes the body only
// afterwards. It compares in constant time. It does not notice a request that comes a second time
// within the five minutes: the receiver notices that by the header webhook-id.
//
// Errors:
//   - [ErrForged]: no signature is that of a secret, or a header is missing
//   - [ErrStale]: the signature is right, and the timestamp is more than five minutes from now
//   - [ErrSecrets]
func Verify(header http.Header, body []byte, secrets []hidden.Text, now time.Time) error {
	hiddenKeys, err := readSecrets(secrets)
	if err != nil {
		return err
	}
	keys := make([][]byte, len(hiddenKeys))
	for i, key := range hiddenKeys {
		keys[i] = []byte(key.Reveal())
	}
	switch hooksig.Check(keys, header, body, now) {
	case nil:
		return nil
	case hooksig.ErrStale:
		return ErrStale
	}
	return ErrForged
}

// readSecrets returns the keys that secrets hold.
func readSecrets(secrets []hidden.Text) ([]hidden.Text, error) {
	if len(secrets) == 0 || len(secrets) > MaxSecrets {
		return nil, ErrSecrets
	}
	keys := make([]hidden.Text, len(secrets))
	for i, secret := range secrets {
		key, ok := hooksig.Key(secret.Reveal())
		if !ok {
			return nil, ErrSecrets
		}
		keys[i] = hidden.New(string(key))
	}
	return keys, nil
}
