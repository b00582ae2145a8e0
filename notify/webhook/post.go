package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/dial"
	"example.com/latchkey/internal/hooksig"
	"example.com/latchkey/notify"
)

// The bounds of requests and answers.
const (
	maxURL    = 2048
	maxHeader = 16 << 10 // bytes of the header of an answer
	maxBody   = 4 << 10  // bytes of the body of an answer that are read, so that the connection can be used again
	bodyTime  = time.Second
)

// checkURL returns the scheme and the host of a URL that an endpoint may have.
func checkURL(text string, private, plain bool) (label string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL || u.Hostname() == "" || !utf8.ValidString(text) || strings.ContainsAny(text, "#\\"):
		return "", fmt.Errorf("%w: it is no absolute URL with a host and without a fragment, or is too long", ErrURL)
	case u.User != nil:
		return "", fmt.Errorf("%w: it has a user", ErrURL)
	case u.Scheme != "https" && (u.Scheme != "http" || !plain):
		return "", fmt.Errorf("%w: it is not of https", ErrURL)
	case !isPort(u, private):
		return "", fmt.Errorf("%w: its port is refused", ErrURL)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !private && !dial.IsPublic(ip) {
		return "", fmt.Errorf("%w: its address is not public", ErrURL)
	}
	return u.Scheme + "://" + u.Host, nil
}

// isPort reports whether an endpoint may have the port of a URL. The ports below 1024 are those of
// other protocols, except for the ports of the web.
func isPort(u *url.URL, private bool) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && (n >= 1024 || n == 443 || n == 80 && u.Scheme == "http" || n > 0 && private)
}

// newDialer returns a dialer that connects only to public addresses, unless private is set.
func newDialer(private bool) *net.Dialer {
	if private {
		return &net.Dialer{}
	}
	return &net.Dialer{ControlContext: dial.Public}
}

// newTransport returns a transport without a proxy, which would connect in the place of the dialer.
func newTransport(dialer *net.Dialer, roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
	}
}

// post sends a request. It returns nil for an answer of 2xx, the status of any answer, and the time
// for which the receiver asks not to be called. A redirect is an answer as any other: the transport
// does not follow it.
func (e *Endpoint) post(ctx context.Context, id string, keys []hidden.Text, body []byte) (status int, wait time.Duration, failure *notify.Failure) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	var stage stage
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, stage.trace()), http.MethodPost, e.url.Reveal(), bytes.NewReader(body))
	if err != nil {
		return 0, 0, &notify.Failure{Stage: "connect", Reason: "the URL is refused", Err: ErrURL}
	}
	now := e.now()
	sign(r.Header, id, now, keys, body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "latchkey-webhook")
	answer, err := e.transport.RoundTrip(r)
	if err != nil {
		return 0, 0, stage.failure(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 200 {
		timer := time.AfterFunc(bodyTime, cancel) // a receiver that is slow here has decided already
		_, _ = io.CopyN(io.Discard, answer.Body, maxBody)
		timer.Stop()
	}
	if answer.StatusCode/100 == 2 {
		return answer.StatusCode, 0, nil
	}
	if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable {
		wait = retryAfter(answer.Header.Get("Retry-After"), now)
	}
	return answer.StatusCode, wait, &notify.Failure{Stage: "answer", Reason: strings.TrimSpace(strconv.Itoa(answer.StatusCode) + " " + http.StatusText(answer.StatusCode))}
}

// sign sets the headers of the specification.
func sign(header http.Header, id string, now time.Time, keys []hidden.Text, body []byte) {
	stamp := strconv.FormatInt(now.Unix(), 10)
	var signatures []string
	for _, key := range keys {
		signatures = append(signatures, hooksig.Sign([]byte(key.Reveal()), id, stamp, body))
	}
	header.Set(hooksig.ID, id)
	header.Set(hooksig.Timestamp, stamp)
	header.Set(hooksig.Signature, strings.Join(signatures, " "))
}

// retryAfter reads the header Retry-After, in seconds or as a date (RFC 9110, 10.2.3). It returns at
// most maxPause, and 0 for a header that it cannot read.
func retryAfter(text string, now time.Time) time.Duration {
	seconds, err := strconv.ParseUint(text, 10, 64) // the greatest number, if the text is a greater one
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(maxPause/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now), maxPause))
}

// stage is how far a request has come. The transport may call its trace from other goroutines, also after
// the request has ended.
type stage struct{ at atomic.Int32 }

const (
	connecting int32 = iota
	securing
	answering
)

func (s *stage) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:           func(string) { s.at.Store(connecting) },
		TLSHandshakeStart: func() { s.at.CompareAndSwap(connecting, securing) },
		GotConn:           func(httptrace.GotConnInfo) { s.at.Store(answering) },
	}
}

// failure returns the failure that an error of the transport is. The error has no URL in it, because it
// does not come from an [http.Client].
func (s *stage) failure(err error) *notify.Failure {
	f := notify.Failed([]string{"connect", "tls", "answer"}[s.at.Load()], err)
	switch {
	case errors.Is(err, dial.ErrNotPublic):
		f.Reason = "address not public"
	case f.Stage == "tls" && f.Reason == "failed":
		f.Reason = "handshake failed"
	case f.Stage == "answer" && f.Reason == "failed":
		f.Reason = "no valid answer"
	}
	return f
}
