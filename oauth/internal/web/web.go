// Package web calls the services that sign users in. It trusts none of them: it follows no
// redirect, connects to no address of the host's own network, and reads only so much of an answer.
package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"example.com/latchkey/internal/dial"
	"example.com/latchkey/internal/strictjson"
	"example.com/latchkey/oauth"
)

// The bounds of calls.
const (
	CallTime = 10 * time.Second // of one call, with the dial and the whole answer

	AnswerSize   = 256 << 10 // bytes of the answer of a token or profile endpoint
	DocumentSize = 512 << 10 // bytes of a discovery document, and of a set of keys
	MaxDepth     = 32        // of JSON
)

// The failures of calls.
const (
	ErrUnreachable oauth.Failure = "the service cannot be reached"
	ErrRedirect    oauth.Failure = "the service answers with a redirect"
	ErrStatus      oauth.Failure = "the service answers with a status that is not 200"
	ErrSize        oauth.Failure = "the answer of the service is too long"
	ErrEncoding    oauth.Failure = "the answer of the service is compressed"
	ErrType        oauth.Failure = "the answer of the service has another type"
	ErrJSON        oauth.Failure = "the answer of the service is not JSON that has one reading"
	ErrAddress     oauth.Failure = "an address is not one of https, or not public"
)

// NewClient returns a client that follows no redirect. Unless private is set, it connects only to
// public addresses, whatever a name resolves to. It uses no proxy, which would connect for it. A
// transport of the host replaces all that.
func NewClient(private bool, transport http.RoundTripper) *http.Client {
	client := &http.Client{
		Timeout: CallTime, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if transport != nil {
		return client
	}
	dialer := &net.Dialer{Timeout: CallTime / 2}
	if !private {
		dialer.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
			if dial.Public(ctx, network, address, c) != nil {
				return ErrAddress
			}
			return nil
		}
	}
	client.Transport = &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: CallTime / 2, ForceAttemptHTTP2: true, DisableCompression: true,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
	}
	return client
}

// CheckURL refuses an address of a service that is not of https. private allows http.
func CheckURL(text string, private bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !isPort(u.Port()) || u.User != nil || strings.ContainsAny(text, "#\\") || !utf8.ValidString(text) || u.Scheme != "https" && (u.Scheme != "http" || !private) {
		return ErrAddress
	}
	return nil
}

// isPort reports whether a text is a port, or empty.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

// IsAge reports whether the values of the parameter max_age are none, or one number of seconds, at most
// a year.
func IsAge(values []string) bool {
	if len(values) == 0 {
		return true
	}
	n, err := strconv.ParseUint(values[0], 10, 32)
	return err == nil && len(values) == 1 && n <= 365*24*60*60
}

// Answer is what a service has answered.
type Answer struct {
	Status int
	Type   string // the media type in lower case, without parameters
	Body   []byte
}

// Do makes a call and reads the answer, of at most size bytes. A redirect is a failure.
func Do(ctx context.Context, client *http.Client, r *http.Request, size int64) (*Answer, error) {
	response, err := client.Do(r.WithContext(ctx))
	if err != nil {
		if errors.Is(err, ErrAddress) {
			return nil, ErrAddress
		}
		return nil, ErrUnreachable
	}
	return read(response, size)
}

// read reads an answer and closes it.
func read(response *http.Response, size int64) (*Answer, error) {
	defer response.Body.Close()
	a := &Answer{Status: response.StatusCode}
	if a.Status >= 300 && a.Status < 400 {
		return nil, ErrRedirect
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, ErrEncoding
	}
	a.Type, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type"))
	var err error
	if a.Body, err = io.ReadAll(io.LimitReader(response.Body, size+1)); err != nil {
		return nil, ErrUnreachable
	}
	if int64(len(a.Body)) > size {
		return nil, ErrSize
	}
	return a, nil
}

// Get reads a JSON document of a service into a struct.
func Get[T any](ctx context.Context, client *http.Client, address string, size int64, into *T) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return ErrAddress
	}
	r.Header.Set("Accept", "application/json")
	a, err := Do(ctx, client, r, size)
	switch {
	case err != nil:
		return err
	case a.Status != http.StatusOK:
		return ErrStatus
	case !IsJSON(a.Type):
		return ErrType
	}
	return Decode(a.Body, into)
}

// IsJSON reports whether a media type is that of JSON.
func IsJSON(media string) bool {
	return media == "application/json" || media == "application/jwk-set+json" || media == "application/javascript" || media == "text/javascript"
}

// Decode reads a JSON object into a struct. It refuses what package strictjson refuses, and JSON
// that is nested deeper than MaxDepth.
func Decode[T any](text []byte, into *T) error {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		if d.StackDepth() > MaxDepth {
			return ErrJSON
		}
		_, err := d.ReadToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return ErrJSON
		}
	}
	if err := strictjson.Unmarshal(text, into); err != nil {
		return ErrJSON
	}
	return nil
}

// Watched returns a client for a library that makes requests and reads answers by itself. request
// sees each request before it is sent, and may change it; nil means no change. answer sees each
// answer within the bounds of Do, and may change or refuse it.
func Watched(client *http.Client, size int64, request func(*http.Request) error, answer func(*Answer) error) *http.Client {
	watched := *client
	watched.Transport = watching{client.Transport, size, request, answer}
	return &watched
}

type watching struct {
	base    http.RoundTripper
	size    int64
	request func(*http.Request) error
	answer  func(*Answer) error
}

// RoundTrip implements [http.RoundTripper].
func (w watching) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "application/json") // some services answer with a form otherwise
	if w.request != nil {
		if err := w.request(r); err != nil {
			return nil, err
		}
	}
	response, err := w.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	a, err := read(response, w.size)
	if err == nil {
		err = w.answer(a)
	}
	if err != nil {
		return nil, err
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(a.Body)), int64(len(a.Body))
	return response, nil
}
