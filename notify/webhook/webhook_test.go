package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/webhook"
)

// call is a request that a receiver has got.
type call struct {
	method, url, host string
	header            http.Header
	body              []byte
}

// receiver is a server that keeps its calls, and answers by a function.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []call
	answer http.HandlerFunc // nil means 204
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewUnstartedServer(r)
	r.EnableHTTP2, r.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	r.calls = append(r.calls, call{request.Method, request.URL.String(), request.Host, request.Header.Clone(), body})
	r.mu.Unlock()
	if r.answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.answer(w, request)
}

func (r *receiver) take() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// config returns the configuration of an endpoint that may call the receiver.
func (r *receiver) config() webhook.Config {
	roots := x509.NewCertPool()
	roots.AddCert(r.Certificate())
	return webhook.Config{URL: hidden.New(r.URL + "/hook?key=planted"), Secrets: []hidden.Text{webhook.GenerateSecret()}, AllowPrivate: true, RootCAs: roots}
}

// newEndpoint returns an endpoint whose connections are closed at the end of the test.
func newEndpoint(t *testing.T, c webhook.Config) *webhook.Endpoint {
	t.Helper()
	e, err := webhook.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.CloseIdleConnections)
	return e
}

// event returns an event as the engine makes it.
func event() latchkey.Event {
	return latchkey.Event{
		ID: "e1", Name: "users.ada.sessions.s1.create", Time: time.Date(2026, 10, 27, 16, 0, 0, 5000, time.FixedZone("", 3600)), UserID: "ada", ActorID: "ada", Mode: "user",
		Client: latchkey.Client{IP: netip.MustParseAddr("192.0.2.7"), UserAgent: "x", Locale: "en"}, Payload: &latchkey.Session{ID: "s1", Secret: hidden.New("planted")},
	}
}

// signature computes the signature of a request by hand.
func signature(t *testing.T, secret hidden.Text, id, stamp string, body []byte) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "." + string(body)))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// The request has the headers of the specification and no other ones of its own, and is signed with every
// secret. The library of the specification takes it.
func TestARequestIsSignedWithEverySecret(t *testing.T) {
	r := newReceiver(t, nil)
	c := r.config()
	c.Secrets = []hidden.Text{webhook.GenerateSecret(), webhook.GenerateSecret(), webhook.GenerateSecret()}
	now := time.Now()
	c.Now = func() time.Time { return now }
	if err := newEndpoint(t, c).Receive(t.Context(), event()); err != nil {
		t.Fatal(err)
	}
	got := r.take()[0]
	stamp := strconv.FormatInt(now.Unix(), 10)
	if got.method != http.MethodPost || got.url != "/hook?key=planted" || got.host != strings.TrimPrefix(r.URL, "https://") {
		t.Errorf("%+v", got)
	}
	if names := slices.Sorted(maps.Keys(got.header)); !slices.Equal(names, []string{"Content-Length", "Content-Type", "User-Agent", "Webhook-Id", "Webhook-Signature", "Webhook-Timestamp"}) {
		t.Error(names)
	}
	if got.header.Get("Content-Type") != "application/json" || got.header.Get("webhook-id") != "e1" || got.header.Get("webhook-timestamp") != stamp {
		t.Error(got.header)
	}
	var want []string
	for _, secret := range c.Secrets {
		want = append(want, signature(t, secret, "e1", stamp, got.body))
		library, err := standardwebhooks.NewWebhook(secret.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if err := library.Verify(got.body, got.header); err != nil {
			t.Error(err)
		}
		if err := webhook.Verify(got.header, got.body, []hidden.Text{secret}, now); err != nil {
			t.Error(err)
		}
	}
	if signatures := got.header.Get("webhook-signature"); signatures != strings.Join(want, " ") {
		t.Errorf("%s, want %q", signatures, want)
	}
}

// The body has the pattern of the event as its type, and the event as encoding/json writes it.
func TestTheBodyHasTheTypeAndTheEvent(t *testing.T) {
	r := newReceiver(t, nil)
	e := newEndpoint(t, r.config())
	if err := e.Receive(t.Context(), event()); err != nil {
		t.Fatal(err)
	}
	text := r.take()[0].body
	var body struct {
		Type, Timestamp string
		Data            latchkey.Event
	}
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatal(err)
	}
	if body.Type != "users.*.sessions.*.create" || body.Timestamp != "2026-10-27T15:00:00.000005Z" {
		t.Errorf("%s", text)
	}
	want := event()
	payload, _ := body.Data.Payload.(map[string]any)
	body.Data.Payload, want.Payload, want.Time = nil, nil, want.Time.UTC()
	if got, err := json.Marshal(body.Data); err != nil || payload["$id"] != "s1" {
		t.Errorf("%v, %v", payload, err)
	} else if plain, err := json.Marshal(want); err != nil || string(got) != string(plain) {
		t.Errorf("%s, want %s, %v", got, plain, err)
	}
	if strings.Contains(string(text), "planted") {
		t.Errorf("%s", text)
	}
}

// A try again has the same id and body, and a new timestamp.
func TestATryAgainHasTheSameID(t *testing.T) {
	r := newReceiver(t, nil)
	c := r.config()
	now := time.Unix(1_800_000_000, 0)
	c.Now = func() time.Time { return now }
	e := newEndpoint(t, c)
	for range 2 {
		if err := e.Receive(t.Context(), event()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	calls := r.take()
	if a, b := calls[0], calls[1]; string(a.body) != string(b.body) || a.header.Get("webhook-id") != b.header.Get("webhook-id") || a.header.Get("webhook-timestamp") == b.header.Get("webhook-timestamp") {
		t.Errorf("%v, %v", a.header, b.header)
	}
	if err := webhook.Verify(calls[1].header, calls[1].body, c.Secrets, now.Add(-time.Hour)); err != nil {
		t.Error(err)
	}
}

// Secrets are exchanged while requests run. Bad ones change nothing.
func TestSecretsAreExchanged(t *testing.T) {
	r := newReceiver(t, nil)
	c := r.config()
	e := newEndpoint(t, c)
	former, next := c.Secrets[0], webhook.GenerateSecret()
	takenBy := func(secret hidden.Text) bool {
		t.Helper()
		if err := e.Receive(t.Context(), event()); err != nil {
			t.Fatal(err)
		}
		got := r.take()[0]
		return webhook.Verify(got.header, got.body, []hidden.Text{secret}, time.Now()) == nil
	}
	if !takenBy(former) || takenBy(next) {
		t.Error("before")
	}
	if err := e.SetSecrets(next, former); err != nil || !takenBy(former) || !takenBy(next) {
		t.Errorf("both: %v", err)
	}
	if err := e.SetSecrets(next); err != nil || takenBy(former) || !takenBy(next) {
		t.Errorf("after: %v", err)
	}
	for _, bad := range [][]hidden.Text{nil, {former, {}}, {hidden.New("whsec_AAAA")}, {former, former, former, former, former, former}} {
		if err := e.SetSecrets(bad...); !errors.Is(err, webhook.ErrSecrets) || takenBy(former) || !takenBy(next) {
			t.Errorf("%d bad ones: %v", len(bad), err)
		}
	}
}

// An event that can be neither sent nor encoded fails for good, and is no failure of the endpoint.
func TestAnEventThatCannotBeSentFailsForGood(t *testing.T) {
	r := newReceiver(t, nil)
	e := newEndpoint(t, r.config())
	for reason, change := range map[string]func(*latchkey.Event){
		"the id is refused": func(e *latchkey.Event) { e.ID = "a.b" }, "cannot be encoded": func(e *latchkey.Event) { e.Payload = func() {} },
	} {
		bad := event()
		change(&bad)
		err := e.Receive(t.Context(), bad)
		if stage, got := notify.Seen(err); stage != "event" || got != reason || !notify.IsPermanent(err) || errors.Is(err, webhook.ErrSetAside) {
			t.Errorf("%s: %v", reason, err)
		}
	}
	if calls := r.take(); len(calls) != 0 || e.State() != (webhook.State{}) {
		t.Errorf("%d calls, %+v", len(calls), e.State())
	}
}

// New refuses configurations that do not work or are not safe.
func TestNewRefuses(t *testing.T) {
	good := webhook.Config{URL: hidden.New("https://a.example.org/x?y=z"), Secrets: []hidden.Text{webhook.GenerateSecret()}}
	for want, configs := range map[error][]func(*webhook.Config){
		nil: {
			func(*webhook.Config) {}, func(c *webhook.Config) { c.Timeout = time.Minute }, func(c *webhook.Config) { c.SetAsideAfter = time.Minute },
			func(c *webhook.Config) { c.Secrets = slices.Repeat(c.Secrets, 5) },
		},
		webhook.ErrSecrets: {
			func(c *webhook.Config) { c.Secrets = nil }, func(c *webhook.Config) { c.Secrets = slices.Repeat(c.Secrets, 6) },
			func(c *webhook.Config) { c.Secrets = []hidden.Text{hidden.New("planted")} },
		},
		webhook.ErrTime: {
			func(c *webhook.Config) { c.Timeout = -1 }, func(c *webhook.Config) { c.Timeout = time.Minute + 1 }, func(c *webhook.Config) { c.SetAsideAfter = time.Minute - 1 },
			func(c *webhook.Config) { c.SetAsideAfter = -time.Hour },
		},
		webhook.ErrURL: {func(c *webhook.Config) { c.URL = hidden.Text{} }},
	} {
		for i, change := range configs {
			c := good
			change(&c)
			e, err := webhook.New(c)
			if !errors.Is(err, want) || (e == nil) != (want != nil) || err != nil && strings.Contains(err.Error(), "planted") {
				t.Errorf("%v, %d: %v", want, i, err)
			}
		}
	}
}

// URLs are of https, on a port of the web or on a high one, and have neither a user nor a fragment.
func TestURLsThatAnEndpointMayHave(t *testing.T) {
	type allow struct{ private, http bool }
	none, private, plain, both := allow{}, allow{private: true}, allow{http: true}, allow{true, true}
	all := []allow{none, private, plain, both}
	for address, want := range map[string][]allow{
		"https://a.example.org": all, "https://a.example.org:443/x?y=z": all, "https://a.example.org:8443": all, "https://a.example.org:65535": all, "HTTPS://a.example.org": all,
		"https://8.8.8.8": all, "https://[2606:4700::1111]:1024": all, "https://ä.example.org": all,
		"http://a.example.org": {plain, both}, "http://a.example.org:80": {plain, both}, "http://a.example.org:8080": {plain, both}, "http://127.0.0.1:8080": {both}, "http://[::1]": {both},
		"https://a.example.org:22": {private, both}, "https://a.example.org:80": {private, both}, "https://a.example.org:1023": {private, both}, "http://a.example.org:25": {both},
		"https://127.0.0.1": {private, both}, "https://10.0.0.1": {private, both}, "https://[::ffff:10.0.0.1]": {private, both}, "https://[fe80::1%25eth0]": {private, both}, "https://169.254.169.254": {private, both},
		"": nil, "/x": nil, "a.example.org": nil, "https:": nil, "https:///x": nil, "//a.example.org": nil, "https:a.example.org": nil, "https://:443": nil,
		"https://u@a.example.org": nil, "https://u:p@a.example.org": nil, "https://@a.example.org": nil, "https://a.example.org#x": nil, "https://a.example.org#": nil, "https://a.example.org\\@b.example.org": nil,
		"https://a.example.org:": nil, "https://a.example.org:0": nil, "https://a.example.org:65536": nil, "https://a.example.org:x": nil, "https://a.example.org:-1": nil,
		"ftp://a.example.org": nil, "file:///etc/passwd": nil, "unix:///x": nil, "javascript:alert(1)": nil, "https://a b": nil, "https://a.example.org\n": nil, "https://a.example.org/%zz": nil, "https://a.example.org/\xff": nil,
		"https://a.example.org/" + strings.Repeat("x", 2048): nil,
	} {
		for _, allowed := range all {
			_, err := webhook.New(webhook.Config{URL: hidden.New(address), Secrets: []hidden.Text{webhook.GenerateSecret()}, AllowPrivate: allowed.private, AllowHTTP: allowed.http})
			if wanted := slices.Contains(want, allowed); wanted && err != nil || !wanted && !errors.Is(err, webhook.ErrURL) {
				t.Errorf("%q with %+v: %v", address, allowed, err)
			}
		}
	}
}
