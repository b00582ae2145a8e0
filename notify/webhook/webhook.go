// Package webhook posts the events of the engine to HTTP endpoints, as the Standard Webhooks
// specification says (standardwebhooks.com).
//
//	endpoint, err := webhook.New(webhook.Config{
//		URL:     hidden.New("https://crm.example.org/hooks/latchkey"),
//		Secrets: []hidden.Text{secret}, // of GenerateSecret, kept by both sides
//	})
//	...
//	err = endpoint.Receive(ctx, event)
//
// # The request
//
// An event is one POST of JSON. This is the creation of a session:
//
//	POST /hooks/latchkey HTTP/1.1
//	Host: crm.example.org
//	Content-Type: application/json
//	User-Agent: latchkey-webhook
//	webhook-id: 7PNQkVbsy8tZr2LC
//	webhook-timestamp: 1793113200
//	webhook-signature: v1,BASE64 v1,BASE64
//
//	{
//	  "type": "users.*.sessions.*.create",
//	  "timestamp": "2026-10-27T15:00:00Z",
//	  "data": {
//	    "id": "7PNQkVbsy8tZr2LC",
//	    "try": 1,
//	    "name": "users.ada.sessions.s1.create",
//	    "time": "2026-10-27T15:00:00Z",
//	    "userId": "ada",
//	    "teamId": "",
//	    "actorId": "ada",
//	    "mode": "user",
//	    "client": {"ip": "192.0.2.7", "userAgent": "...", "locale": "en"},
//	    "payload": {"$id": "s1", ...}
//	  }
//	}
//
// data is the event as encoding/json writes it, so a Go program may decode it into a
// [latchkey.Event]. Its payload is a map then, and decodes by itself into a [latchkey.User] or
// another subject. The payload has neither secrets nor hashes, but it has the addresses of users.
//
// type is [latchkey.Event.Pattern]: it is the same for every event of a kind, so that the
// receiver can compare it with a constant. data.name has the ids.
//
// webhook-id is the id of the event. It stays the same when the event is sent again, so a receiver
// that keeps the ids of the last days does nothing twice. webhook-timestamp is the time of this
// try. webhook-signature has a signature by each secret, separated by spaces. A receiver in Go
// calls [Verify], and one in another language a library of the specification.
//
// # The answer
//
// 2xx takes the event. Everything else is a failure, also a redirect, which is not followed. The
// body of an answer is thrown away. 429 and 503 with Retry-After pause the endpoint for that time,
// at most an hour. 410 sets it aside at once.
//
// An endpoint that has only failed for [Config].SetAsideAfter is set aside too. It sends nothing
// then, and every event fails for good, until the host has seen to it and calls [Endpoint.Resume].
//
// An endpoint keeps its [State] in memory. Each process decides by itself, and begins anew when it
// starts.
package webhook

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/hooksig"
	"example.com/latchkey/notify"
)

// The errors of [New], [Endpoint.SetSecrets] and [Verify] about their arguments.
var (
	ErrURL     = errors.New("webhook: the URL is refused")
	ErrSecrets = errors.New("webhook: the secrets are not 1 to 5 texts of " + hooksig.Form)
	ErrTime    = errors.New("webhook: a time is out of its bounds")
)

// ErrSetAside means that the endpoint has been set aside, and that the event was not taken.
var ErrSetAside = errors.New("webhook: the endpoint is set aside")

// MaxSecrets is the number of secrets that an endpoint may have at once.
const MaxSecrets = 5

// The bounds of times.
const (
	defaultTimeout  = 15 * time.Second
	maxTimeout      = time.Minute
	defaultSetAside = 24 * time.Hour
	minSetAside     = time.Minute
	maxPause        = time.Hour
)

// Config describes an endpoint.
type Config struct {
	// URL is the address to post to, of https and of at most 2048 bytes, without a user, a password and
	// a fragment. Its port is 443, or 1024 and above. It is hidden, because the path or the query
	// may hold a secret.
	URL hidden.Text
	// Secrets sign the requests: 1 to 5 texts as [GenerateSecret] makes them, the newest first.
	// While a secret is replaced, an endpoint has the new and the old one.
	Secrets []hidden.Text
	// Timeout is the time limit of a request, with the look-up of the name and the connection, up to
	// the status of the answer. 0 means 15 seconds. At most a minute.
	Timeout time.Duration
	// SetAsideAfter is how long an endpoint may fail without a success before it is set aside. 0
	// means 24 hours. At least a minute.
	SetAsideAfter time.Duration
	// OnSetAside, if it is not nil, gets the state of the endpoint each time that it is set aside. It
	// runs on the goroutine of [Endpoint.Receive], which waits for it. A panic of it is dropped.
	OnSetAside func(State) `json:"-" xml:"-"`
	// AllowPrivate lets the endpoint connect to every address, such as the loopback, the host's own
	// network and the metadata service of a cloud, and to every port. A customer who may choose the URL
	// then makes the host post to its own machines. Set it only for URLs that the operator
	// chooses.
	AllowPrivate bool
	// AllowHTTP lets the URL be of http, on port 80 too. The events, with the addresses of users, are
	// then readable on their way. It is for development, and for a receiver on the same machine,
	// which needs AllowPrivate too.
	AllowHTTP bool
	// RootCAs are the certificate authorities of the receiver. nil means those of the system.
	RootCAs *x509.CertPool `json:"-" xml:"-"`
	// Now is the clock. nil means time.Now.
	Now func() time.Time `json:"-" xml:"-"`
}

// GobEncode fails with [hidden.ErrNotEncoded].
func (c Config) GobEncode() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// Endpoint posts events to a URL. It is safe for concurrent use. Printed, logged or encoded as
// text, it shows the scheme and the host of its URL. Package encoding/gob refuses it.
type Endpoint struct {
	url           hidden.Text
	label         string // the scheme and the host of the URL
	timeout       time.Duration
	setAsideAfter time.Duration
	onSetAside    func(State)
	now           func() time.Time
	transport     http.RoundTripper

	mu    sync.Mutex
	keys  []hidden.Text
	state State
	round int // counts the calls of Resume: a request from before one says nothing about the time after it
}

// New returns an endpoint. It neither resolves the name of the URL nor connects.
//
// Errors:
//   - [ErrURL]
//   - [ErrSecrets]
//   - [ErrTime]: Timeout or SetAsideAfter
func New(c Config) (*Endpoint, error) {
	label, err := checkURL(c.URL.Reveal(), c.AllowPrivate, c.AllowHTTP)
	if err != nil {
		return nil, err
	}
	keys, err := readSecrets(c.Secrets)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{
		url: c.URL, label: label, timeout: c.Timeout, setAsideAfter: c.SetAsideAfter, onSetAside: c.OnSetAside, now: c.Now,
		transport: newTransport(newDialer(c.AllowPrivate), c.RootCAs), keys: keys,
	}
	if e.timeout == 0 {
		e.timeout = defaultTimeout
	}
	if e.setAsideAfter == 0 {
		e.setAsideAfter = defaultSetAside
	}
	if e.now == nil {
		e.now = time.Now
	}
	switch {
	case e.timeout < 0 || e.timeout > maxTimeout:
		return nil, fmt.Errorf("%w: Timeout is more than a minute, or negative", ErrTime)
	case e.setAsideAfter < minSetAside:
		return nil, fmt.Errorf("%w: SetAsideAfter is less than a minute", ErrTime)
	}
	return e, nil
}

// Receive posts an event. It returns nil once the receiver has answered with 2xx. It fits
// latchkey.Receiver.
//
// Every error is a [*notify.Failure]. Its stage is connect, tls, answer, paused, set aside or event. Its
// reason is the status of the answer, or the class of a network error. A call whose context was
// cancelled does not count as a failure of the endpoint.
//
// Errors that are permanent ([notify.IsPermanent]):
//   - [ErrSetAside]: the endpoint is set aside, or this call has set it aside
//   - a failure of the stage event: the event has no id of 1 to 255 bytes of visible ASCII without a
//     period, or cannot be encoded
func (e *Endpoint) Receive(ctx context.Context, event latchkey.Event) error {
	round, keys, err := e.begin()
	if err != nil {
		return err
	}
	body, err := encode(event)
	if err != nil {
		return notify.Permanent(err)
	}
	status, wait, failure := e.post(ctx, event.ID, keys, body)
	if failure == nil {
		e.succeeded(round)
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) && status == 0 {
		return failure
	}
	return e.failed(round, failure, status == http.StatusGone, wait)
}

// encode returns the body of the request for an event.
func encode(event latchkey.Event) ([]byte, error) {
	if !hooksig.IsID(event.ID) {
		return nil, &notify.Failure{Stage: "event", Reason: "the id is refused"}
	}
	event.Time = event.Time.UTC()
	body, err := json.Marshal(struct {
		Type      string         `json:"type"`
		Timestamp time.Time      `json:"timestamp"`
		Data      latchkey.Event `json:"data"`
	}{event.Pattern(), event.Time, event})
	if err != nil {
		return nil, &notify.Failure{Stage: "event", Reason: "cannot be encoded", Err: err}
	}
	return body, nil
}

// SetSecrets exchanges the secrets, the newest first. Requests that have begun are signed by the
// former ones.
//
// Errors:
//   - [ErrSecrets]: nothing has changed
func (e *Endpoint) SetSecrets(secrets ...hidden.Text) error {
	keys, err := readSecrets(secrets)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys = keys
	return nil
}

// CloseIdleConnections closes the connections that are kept for later events. Others are closed
// after 30 seconds without an event.
func (e *Endpoint) CloseIdleConnections() {
	if t, ok := e.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// Format prints the scheme and the host of the URL, for every verb.
func (e *Endpoint) Format(f fmt.State, _ rune) {
	label := ""
	if e != nil {
		label = e.label
	}
	_, _ = fmt.Fprintf(f, "webhook to %s", label)
}

// LogValue logs the scheme and the host of the URL.
func (e *Endpoint) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(e)) }

// MarshalText encodes only the scheme and the host of the URL: an endpoint is not meant to be
// stored.
func (e *Endpoint) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(e)), nil }
