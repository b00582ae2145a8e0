// Package hooksig signs requests, and checks signed ones, as the Standard Webhooks specification
// says (standardwebhooks.com).
package hooksig

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"example.com/latchkey/hidden"
)

// The headers of a signed request.
const (
	ID        = "webhook-id"
	Timestamp = "webhook-timestamp"
	Signature = "webhook-signature"
)

// Tolerance is how far the timestamp of a request may be in the past or the future.
const Tolerance = 5 * time.Minute

// Form is the form of a secret, for an error.
const Form = prefix + " and 24 to 64 bytes in base64"

const (
	prefix    = "whsec_"
	newLength = 32 // bytes of the key of a new secret
	maxID     = 255
)

// The failures of [Check].
var (
	ErrForged = errors.New("hooksig: no signature is right")
	ErrStale  = errors.New("hooksig: the timestamp is too far from now")
)

// NewSecret returns a new secret.
func NewSecret() hidden.Text {
	key := make([]byte, newLength)
	_, _ = rand.Read(key) // never fails
	return hidden.New(prefix + base64.StdEncoding.EncodeToString(key))
}

// Key returns the key that a secret holds, and whether the secret has the form of [Form].
func Key(secret string) (key []byte, ok bool) {
	text, found := strings.CutPrefix(secret, prefix)
	key, err := base64.StdEncoding.DecodeString(text)
	return key, found && err == nil && len(key) >= 24 && len(key) <= 64
}

// IsID reports whether a text can be the id of a request: 1 to 255 bytes of visible ASCII without
// a period. The period separates the parts of the signed text.
func IsID(id string) bool {
	return id != "" && len(id) <= maxID && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || r == '.' })
}

// Sign returns the signature of a request whose timestamp is stamp.
func Sign(key []byte, id, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(id + "." + stamp + "."))
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Check checks at the time now that a request was signed with one of the keys. Its errors are
// [ErrForged], and [ErrStale] for a request whose signature is right.
func Check(keys [][]byte, header http.Header, body []byte, now time.Time) error {
	id, stamp := header.Get(ID), header.Get(Timestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || !IsID(id) || !signed(keys, id, stamp, header.Get(Signature), body) {
		return ErrForged
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > Tolerance || age < -Tolerance {
		return ErrStale
	}
	return nil
}

// signed reports whether one of the signatures is that of one of the keys. A request has several
// while a secret is replaced.
func signed(keys [][]byte, id, stamp, signatures string, body []byte) bool {
	for _, key := range keys {
		want := []byte(Sign(key, id, stamp, body))
		for signature := range strings.FieldsSeq(signatures) {
			if hmac.Equal([]byte(signature), want) {
				return true
			}
		}
	}
	return false
}
