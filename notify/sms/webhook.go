package sms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/hooksig"
	"example.com/latchkey/notify"
)

// Webhook is a [Sender] that posts each text as JSON, {"to": "+1...", "body": "..."},
// to a URL. The calls are signed as the Standard Webhooks specification says
// (standardwebhooks.com), with the headers webhook-id, webhook-timestamp and
// webhook-signature. A receiver checks them with [Verify], or with a library of its
// own language. The webhook-id is the id of the text: a receiver that gets an id
// twice sends one text.
//
// An answer of 2xx means that the receiver has accepted the text. The answers 408,
// 425, 429 and 5xx, and a receiver that is away, are errors that may pass. Every other
// answer is a permanent error, and so is silence after the whole text was handed over: it may be
// on its way. Redirects are not followed. The errors of answers are
// [*notify.Failure]s.
type Webhook struct {
	url    hidden.Text // its path or its query may hold a secret
	key    hidden.Text
	client *http.Client
}

// NewSecret returns a new secret for a webhook and its receiver.
func NewSecret() hidden.Text { return hooksig.NewSecret() }

// NewWebhook returns a sender that posts to a URL. The URL must be https, unless it
// leads to this machine. secret is a text of the form of [NewSecret]. client may be nil:
// then calls time out after 15 seconds.
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
	return &Webhook{url: hidden.New(to), key: hidden.New(string(key)), client: &own}, nil
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func readSecret(secret string) ([]byte, error) {
	key, ok := hooksig.Key(secret)
	if !ok {
		return nil, errors.New("sms: the secret is not " + hooksig.Form)
	}
	return key, nil
}

// Send posts a text.
func (w *Webhook) Send(ctx context.Context, t Text) error {
	if !hooksig.IsID(t.ID) {
		return notify.Permanent(errors.New("sms: the id is empty, or has a period, a space or a character that is not ASCII"))
	}
	body, err := json.Marshal(struct {
		To   string `json:"to"`
		Body string `json:"body"`
	}{t.To, t.Body})
	if err != nil {
		return notify.Permanent(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.Reveal(), bytes.NewReader(body))
	if err != nil {
		return notify.Permanent(err)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(hooksig.ID, t.ID)
	r.Header.Set(hooksig.Timestamp, stamp)
	r.Header.Set(hooksig.Signature, hooksig.Sign([]byte(w.key.Reveal()), t.ID, stamp, body))
	var handedOver atomic.Bool
	trace := &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) { handedOver.Store(i.Err == nil) }}
	answer, err := w.client.Do(r.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, which may hold a secret
		}
		if handedOver.Load() && isSilence(err) { // the text may be on its way
			return notify.Permanent(notify.Failed("answer", err))
		}
		return notify.Failed("webhook", err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)) // so that the connection can be used again
	switch code := answer.StatusCode; {
	case code/100 == 2:
		return nil
	case code/100 == 5, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return answered(code)
	default:
		return notify.Permanent(answered(code))
	}
}

// isSilence reports whether an error is that of a wait for an answer. A request that net/http has
// written may still be in a buffer, so an error of the connection's writing is not one.
func isSilence(err error) bool {
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation.Op == "read"
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || os.IsTimeout(err)
}

// answered returns the failure that an answer of the receiver is.
func answered(code int) error { return &notify.Failure{Stage: "webhook", Reason: strconv.Itoa(code)} }

// ErrForged means that a call was not signed with the secret, was changed on its way,
// or has a timestamp more than five minutes from now.
var ErrForged = errors.New("sms: the call is forged, changed or too old")

// Verify checks at the time now that a [Webhook] with the secret made a call. The
// receiver passes the headers and the body of the request.
//
// Errors:
//   - [ErrForged]
//   - an error that tells that secret does not have the form of [NewSecret]
func Verify(secret string, header http.Header, body []byte, now time.Time) error {
	key, err := readSecret(secret)
	if err != nil {
		return err
	}
	if hooksig.Check([][]byte{key}, header, body, now) != nil {
		return ErrForged
	}
	return nil
}
