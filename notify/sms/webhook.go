package sms

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"example.com/latchkey/notify"
)

// Webhook is a [Sender] that posts each text as JSON, {"to": "+1...", "body":
// "..."}, to a URL. It is signed as the Standard Webhooks specification says
// (standardwebhooks.com), so that the receiver can check it with [Verify], or
// with a library of its own language: webhook-id, webhook-timestamp and
// webhook-signature are in the header. The id is that of the text: who gets it
// twice sends one text.
//
// An answer of 2xx means that the text was taken over. 408, 425, 429 and 5xx, and
// no answer, may pass; everything else is permanent. Redirects are not followed.
type Webhook struct {
	url    string
	key    []byte
	client *http.Client
}

const (
	secretPrefix = "whsec_"
	keyLength    = 32 // bytes of a fresh key; 24 to 64 are taken
	// tolerance is how old a call may be, and how far ahead.
	tolerance = 5 * time.Minute
)

// NewSecret returns a fresh secret for a webhook and its receiver.
func NewSecret() string {
	key := make([]byte, keyLength)
	_, _ = rand.Read(key) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// NewWebhook returns a sender to a URL, which must be https unless it leads to
// this machine, with a secret as [NewSecret] makes them. client may be nil, for
// one that waits 15 seconds for an answer.
func NewWebhook(to, secret string, client *http.Client) (*Webhook, error) {
	u, err := url.Parse(to)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("sms: the webhook is not a URL with a host")
	}
	if u.Scheme == "http" && !local(u.Hostname()) {
		return nil, errors.New("sms: a webhook on another machine has to be https")
	}
	key, err := readSecret(secret)
	if err != nil {
		return nil, err
	}
	if client == nil {
		client = &http.Client{Timeout: 15 * time.Second}
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Webhook{url: to, key: key, client: &own}, nil
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func readSecret(secret string) ([]byte, error) {
	text, found := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !found || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("sms: the secret is not " + secretPrefix + " and 24 to 64 bytes in base64")
	}
	return key, nil
}

// Send posts a text.
func (w *Webhook) Send(ctx context.Context, t Text) error {
	if t.ID == "" || strings.Contains(t.ID, ".") { // which parts what is signed
		return notify.Permanent(errors.New("sms: an id with a period, or none"))
	}
	body, err := json.Marshal(struct {
		To   string `json:"to"`
		Body string `json:"body"`
	}{t.To, t.Body})
	if err != nil {
		return notify.Permanent(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return notify.Permanent(err)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("webhook-id", t.ID)
	r.Header.Set("webhook-timestamp", stamp)
	r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(sign(w.key, t.ID, stamp, body)))
	answer, err := w.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may have a secret in it
		}
		return fmt.Errorf("sms: the webhook does not answer: %w", err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)) // so that the connection is used again
	switch code := answer.StatusCode; {
	case code/100 == 2:
		return nil
	case code/100 == 5, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return fmt.Errorf("sms: the webhook answers %d", code)
	default:
		return notify.Permanent(fmt.Errorf("sms: the webhook answers %d", code))
	}
}

func sign(key []byte, id, stamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	return mac.Sum(nil)
}

// ErrForged means that a call of a webhook is not from who has the secret, was
// changed on its way, or is more than five minutes old.
var ErrForged = errors.New("sms: a call that nobody vouches for")

// Verify checks a call that a [Webhook] has made, at now. It is for the receiver,
// who has read the body.
func Verify(secret string, header http.Header, body []byte, now time.Time) error {
	key, err := readSecret(secret)
	if err != nil {
		return err
	}
	id, stamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || strings.Contains(id, ".") {
		return ErrForged
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return ErrForged
	}
	want := sign(key, id, stamp, body)
	for signature := range strings.FieldsSeq(header.Get("webhook-signature")) { // several while a secret is replaced
		text, found := strings.CutPrefix(signature, "v1,")
		if got, err := base64.StdEncoding.DecodeString(text); found && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrForged
}
