package webhook_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/webhook"
)

// checkFailure fails unless an error is a failure of a stage and a reason that may pass.
func checkFailure(t *testing.T, err error, stage, reason string) {
	t.Helper()
	var f *notify.Failure
	if !errors.As(err, &f) || f.Stage != stage || f.Reason != reason || notify.IsPermanent(err) {
		t.Errorf("%v, permanent: %v; want %s: %s", err, notify.IsPermanent(err), stage, reason)
	}
	if err != nil && (strings.Contains(err.Error(), "planted") || f != nil && f.Err != nil && strings.Contains(f.Err.Error(), "planted")) {
		t.Errorf("%v, %v has the query of the URL", err, f.Err)
	}
}

// Every answer of 2xx takes the event. All others are failures, with their status and without the
// words of the receiver.
func TestOnlyAnAnswerOf2xxTakesTheEvent(t *testing.T) {
	status := 0
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			_, _ = io.WriteString(w, "planted")
		}
	})
	e := newEndpoint(t, r.config())
	for _, status = range []int{200, 201, 202, 204, 299} {
		if err := e.Receive(t.Context(), event()); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	for code, reason := range map[int]string{
		300: "300 Multiple Choices", 304: "304 Not Modified", 400: "400 Bad Request", 401: "401 Unauthorized", 404: "404 Not Found", 408: "408 Request Timeout", 413: "413 Request Entity Too Large",
		429: "429 Too Many Requests", 499: "499", 500: "500 Internal Server Error", 503: "503 Service Unavailable", 599: "599",
	} {
		status = code
		checkFailure(t, e.Receive(t.Context(), event()), "answer", reason)
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	e := newEndpoint(t, r.config())
	checkFailure(t, e.Receive(t.Context(), event()), "answer", "307 Temporary Redirect")
	if calls := r.take(); len(calls) != 1 {
		t.Errorf("%d calls", len(calls))
	}
}

// A proxy would connect in the place of the endpoint, past the check of addresses.
func TestNoProxyIsUsed(t *testing.T) {
	r := newReceiver(t, nil)
	e := newEndpoint(t, r.config())
	if e.Transport().Proxy != nil {
		t.Error("the transport has a proxy")
	}
}

// The stage of a failure says how far the request has come.
func TestAFailureHasItsStage(t *testing.T) {
	r := newReceiver(t, nil)
	strange := r.config()
	strange.RootCAs = nil
	e := newEndpoint(t, strange)
	checkFailure(t, e.Receive(t.Context(), event()), "tls", "certificate not valid")

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	c := r.config()
	c.URL = hidden.New(strings.Replace(plain.URL, "http:", "https:", 1))
	checkFailure(t, newEndpoint(t, c).Receive(t.Context(), event()), "tls", "the server does not speak TLS")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.URL = hidden.New("https://" + l.Addr().String() + "/?planted")
	_ = l.Close()
	checkFailure(t, newEndpoint(t, c).Receive(t.Context(), event()), "connect", "connection refused")

	broken := newReceiver(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	broken.EnableHTTP2 = false
	c = broken.config()
	e = newEndpoint(t, c)
	e.Transport().ForceAttemptHTTP2 = false
	checkFailure(t, e.Receive(t.Context(), event()), "answer", "connection closed")
}

func TestTLSIsOf12OrNewer(t *testing.T) {
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	defer old.Close()
	c := (&receiver{Server: old}).config()
	e := newEndpoint(t, c)
	checkFailure(t, e.Receive(t.Context(), event()), "tls", "handshake failed")
	if v := e.Transport().TLSClientConfig.MinVersion; v != tls.VersionTLS12 {
		t.Errorf("%x", v)
	}
}

// http has to be allowed, and so have the addresses of the machine.
func TestHTTPIsUsedOnlyIfAllowed(t *testing.T) {
	r := &receiver{}
	r.Server = httptest.NewServer(r)
	defer r.Close()
	c := webhook.Config{URL: hidden.New(r.URL), Secrets: []hidden.Text{webhook.GenerateSecret()}, AllowPrivate: true, AllowHTTP: true}
	if err := newEndpoint(t, c).Receive(t.Context(), event()); err != nil || len(r.take()) != 1 {
		t.Error(err)
	}
	c.AllowPrivate = false
	c.URL = hidden.New(strings.Replace(r.URL, "127.0.0.1", "localhost", 1))
	checkFailure(t, newEndpoint(t, c).Receive(t.Context(), event()), "connect", "address not public")
	if len(r.take()) != 0 {
		t.Error("the receiver was called")
	}
}

// names is a DNS server in memory. It answers each question for an A record by the next address.
type names struct {
	next  func() [4]byte
	asked atomic.Int32
}

// resolver returns a resolver that asks the server alone.
func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go n.serve(server)
		return client, nil
	}}
}

// serve answers questions in the form of TCP: two bytes of length before each message.
func (n *names) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		question := make([]byte, int(size[0])<<8|int(size[1]))
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
			return
		}
		q := m.Questions[0]
		reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
		if q.Type == dnsmessage.TypeA {
			n.asked.Add(1)
			reply.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0}, Body: &dnsmessage.AResource{A: n.next()}}}
		}
		text, err := reply.Pack()
		if err != nil {
			return
		}
		if _, err := c.Write(append([]byte{byte(len(text) >> 8), byte(len(text))}, text...)); err != nil {
			return
		}
	}
}

// A name that leads to a public address at first, and to one of the host's own network later, is
// refused later: the address of each connection is checked.
func TestANameThatIsBoundAgainDoesNotPass(t *testing.T) {
	r := newReceiver(t, nil)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	answers := [][4]byte{{93, 184, 215, 14}, {127, 0, 0, 1}, {10, 0, 0, 1}, {169, 254, 169, 254}, {100, 100, 100, 200}, {168, 63, 129, 16}}
	n := &names{next: func() [4]byte { a := answers[0]; answers = answers[1:]; return a }}
	c := r.config()
	c.AllowPrivate, c.URL = false, hidden.New("https://receiver.example.org:"+port)
	e := newEndpoint(t, c)
	stop := errors.New("stopped before the connection")
	var reached []string
	e.SetResolver(n.resolver(), func(address string) error {
		reached = append(reached, address)
		return stop
	})
	if err := e.Receive(t.Context(), event()); !errors.Is(err, stop) {
		t.Fatalf("a public address: %v", err)
	}
	for len(answers) > 0 {
		checkFailure(t, e.Receive(t.Context(), event()), "connect", "address not public")
	}
	if len(reached) != 1 || reached[0] != "93.184.215.14:"+port || n.asked.Load() != 6 || len(r.take()) != 0 {
		t.Errorf("%q reached, %d questions", reached, n.asked.Load())
	}
}

// An address in the URL that the dialer would reach is refused on the connection too, however it is
// written. (Some resolvers read the last ones as addresses. The others find no such host.)
func TestOddWordsForTheMachineDoNotPass(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n := &names{next: func() [4]byte { return [4]byte{127, 0, 0, 1} }}
	for _, host := range []string{"localhost", "LOCALHOST", "receiver.example.org.", "127.1", "0x7f000001", "2130706433", "127.0.0.1."} {
		e := newEndpoint(t, webhook.Config{URL: hidden.New("https://" + host + ":" + port), Secrets: []hidden.Text{webhook.GenerateSecret()}})
		e.SetResolver(n.resolver(), func(address string) error {
			t.Errorf("%s leads to %s", host, address)
			return errors.New("stopped")
		})
		if err := e.Receive(t.Context(), event()); err == nil {
			t.Errorf("%s is taken", host)
		}
	}
}

// endless is a body without an end. It counts the bytes that are read, and ends after a megabyte so that
// the test does too.
type endless struct{ read *int }

func (e endless) Read(p []byte) (int, error) {
	if *e.read += len(p); *e.read > 1<<20 {
		return 0, io.EOF
	}
	return len(p), nil
}
func (endless) Close() error { return nil }

// The body of an answer is read up to a bound, and decides nothing.
func TestAnEndlessBodyIsNotRead(t *testing.T) {
	for status, want := range map[int]string{200: "", 400: "400 Bad Request"} {
		read := 0
		e := newEndpoint(t, someConfig())
		e.SetTransport(transport(func(r *http.Request) (*http.Response, error) { return answered(r, status, nil, endless{&read}), nil }))
		err := e.Receive(t.Context(), event())
		if _, reason := notify.Seen(err); err != nil && reason != want || (err == nil) != (want == "") || read > 8<<10 {
			t.Errorf("%d: %v, %d bytes were read", status, err, read)
		}
	}
}

// The connection of an endless body is closed.
func TestTheConnectionOfAnEndlessBodyIsClosed(t *testing.T) {
	ended := make(chan struct{})
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		block := make([]byte, 32<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	e := newEndpoint(t, r.config())
	if err := e.Receive(t.Context(), event()); err != nil {
		t.Error(err)
	}
	<-ended
}

func TestAHugeHeaderIsNotRead(t *testing.T) {
	for _, http2 := range []bool{true, false} {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 20<<10))
		})
		e := newEndpoint(t, r.config())
		e.Transport().ForceAttemptHTTP2 = http2
		checkFailure(t, e.Receive(t.Context(), event()), "answer", "no valid answer")
	}
}

// transport is a transport that answers without a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answered(r *http.Request, status int, header http.Header, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: body, Request: r}
}

// slow is a body that comes only after the request has ended.
type slow struct{ ctx context.Context }

func (s slow) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}
func (slow) Close() error { return nil }

// closing is a body that notes that it is closed.
type closing struct {
	io.ReadCloser
	closed *bool
}

func (c closing) Close() error {
	*c.closed = true
	return c.ReadCloser.Close()
}

func someConfig() webhook.Config {
	return webhook.Config{URL: hidden.New("https://a.example.org/?planted"), Secrets: []hidden.Text{webhook.GenerateSecret()}}
}

// A receiver that does not answer fails after Timeout, 15 seconds by default.
func TestAReceiverHasTimeToAnswer(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 15 * time.Second, time.Minute: time.Minute, time.Second: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := someConfig()
			c.Timeout = timeout
			e := newEndpoint(t, c)
			e.SetTransport(transport(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}))
			began := time.Now()
			checkFailure(t, e.Receive(t.Context(), event()), "connect", "timeout")
			if took := time.Since(began); took != want || e.State().Failures != 1 {
				t.Errorf("%v: %v, %+v", timeout, took, e.State())
			}
		})
	}
}

// A body that does not come holds the call up for a second, and the status decides.
func TestASlowBodyChangesNothing(t *testing.T) {
	for status, want := range map[int]string{200: "", 500: "500 Internal Server Error"} {
		synctest.Test(t, func(t *testing.T) {
			e := newEndpoint(t, someConfig())
			e.SetTransport(transport(func(r *http.Request) (*http.Response, error) {
				return answered(r, status, nil, slow{r.Context()}), nil
			}))
			began := time.Now()
			err := e.Receive(t.Context(), event())
			if want == "" && err != nil {
				t.Error(err)
			} else if want != "" {
				checkFailure(t, err, "answer", want)
			}
			if took := time.Since(began); took != time.Second {
				t.Error(took)
			}
		})
	}
}

// A call that the engine ends is no failure of the endpoint.
func TestACancelledCallDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t, someConfig())
		e.SetTransport(transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		checkFailure(t, e.Receive(ctx, event()), "connect", "cancelled")
		if s := e.State(); s != (webhook.State{}) {
			t.Errorf("%+v", s)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		checkFailure(t, e.Receive(ctx, event()), "connect", "timeout")
		if s := e.State(); s.Failures != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A switch to another protocol is no answer. Its connection is closed, and not read.
func TestASwitchOfProtocolsIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, closed := newEndpoint(t, someConfig()), false
		e.SetTransport(transport(func(r *http.Request) (*http.Response, error) {
			return answered(r, http.StatusSwitchingProtocols, nil, closing{slow{context.Background()}, &closed}), nil
		}))
		checkFailure(t, e.Receive(t.Context(), event()), "answer", "101 Switching Protocols")
		if !closed {
			t.Error("the connection stays open")
		}
	})
}
