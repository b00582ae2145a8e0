package sms_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey/notify"
	"example.com/latchkey/notify/sms"
	"example.com/latchkey/notify/templates"
)

type sender struct {
	got []sms.Text
	err error
}

func (s *sender) Send(_ context.Context, t sms.Text) error {
	s.got = append(s.got, t)
	return s.err
}

func TestNotifierSendsTheWordsOfAMessage(t *testing.T) {
	words, err := templates.New(templates.Config{App: "Demo"})
	if err != nil {
		t.Fatal(err)
	}
	s := new(sender)
	n := sms.Notifier(s, words)
	m := templates.Sample(notify.PhoneOTP, notify.SMS)
	m.ID = "one"
	if err := n.Notify(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if len(s.got) != 1 || s.got[0].ID != "one" || s.got[0].To != "+14155550100" || !strings.HasPrefix(s.got[0].Body, "123456 is your code") {
		t.Errorf("%+v", s.got)
	}
	s.err = errors.New("not now")
	if err := n.Notify(t.Context(), m); !errors.Is(err, s.err) || notify.IsPermanent(err) {
		t.Error(err)
	}
	for _, m := range []notify.Message{templates.Sample(notify.MagicURL, notify.Email), {Channel: notify.SMS, Kind: "none"}} {
		if err := n.Notify(t.Context(), m); !notify.IsPermanent(err) {
			t.Error(err)
		}
	}
	if len(s.got) != 2 {
		t.Errorf("%+v", s.got)
	}
}

func TestReceiverCanCheckWhoCalls(t *testing.T) {
	secret := sms.NewSecret().Reveal()
	var header http.Header
	var body []byte
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		body, _ = io.ReadAll(r.Body)
	}))
	defer receiver.Close()
	w, err := sms.NewWebhook(receiver.URL, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Send(t.Context(), sms.Text{ID: "one", To: "+14155550100", Body: "123456 is your code"}); err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(body, &got); err != nil || len(got) != 2 || got["to"] != "+14155550100" || got["body"] != "123456 is your code" {
		t.Errorf("%v, %s", err, body)
	}
	now := time.Now()
	if err := sms.Verify(secret, header, body, now); err != nil {
		t.Error(err)
	}
	changed := func(name, value string) http.Header {
		h := header.Clone()
		h.Set(name, value)
		return h
	}
	if err := sms.Verify(secret, changed("webhook-signature", "v1,AAAA v2,x "+header.Get("webhook-signature")), body, now); err != nil {
		t.Errorf("one of several signatures: %v", err)
	}
	for name, err := range map[string]error{
		"another secret":    sms.Verify(sms.NewSecret().Reveal(), header, body, now),
		"no secret":         sms.Verify("", header, body, now),
		"another body":      sms.Verify(secret, header, append(body, ' '), now),
		"another id":        sms.Verify(secret, changed("webhook-id", "two"), body, now),
		"another time":      sms.Verify(secret, changed("webhook-timestamp", strconv.FormatInt(now.Unix()-100, 10)), body, now),
		"no time":           sms.Verify(secret, changed("webhook-timestamp", "now"), body, now),
		"no signature":      sms.Verify(secret, changed("webhook-signature", ""), body, now),
		"another signature": sms.Verify(secret, changed("webhook-signature", "v1,"+strings.Repeat("A", 43)+"="), body, now),
		"an old call":       sms.Verify(secret, header, body, now.Add(6*time.Minute)),
		"a call to come":    sms.Verify(secret, header, body, now.Add(-6*time.Minute)),
		"a split of its own": func() error { // the signed text, split at another period
			stamp := header.Get("webhook-timestamp")
			_ = w.Send(t.Context(), sms.Text{ID: "a", To: "x." + stamp + ".y"})
			text := string(body)
			i := strings.Index(text, "."+stamp+".")
			h := header.Clone()
			h.Set("webhook-id", "a."+stamp+"."+text[:i])
			return sms.Verify(secret, h, []byte(text[i+len(stamp)+2:]), now)
		}(),
		"an id with a period": w.Send(t.Context(), sms.Text{ID: "a.b"}),
		"nothing":             sms.Verify(secret, http.Header{}, nil, now),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// The example of the Standard Webhooks specification.
func TestSignatureIsThatOfTheSpecification(t *testing.T) {
	header := http.Header{}
	header.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	header.Set("webhook-timestamp", "1614265330")
	header.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if err := sms.Verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", header, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)); err != nil {
		t.Error(err)
	}
}

func TestAnswersForGoodAreToldFromThoseThatPass(t *testing.T) {
	code := 0
	calls := 0
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	}))
	w, err := sms.NewWebhook(receiver.URL, sms.NewSecret().Reveal(), receiver.Client())
	if err != nil {
		t.Fatal(err)
	}
	for want, codes := range map[string][]int{"sent": {200, 202, 204}, "passes": {408, 425, 429, 500, 502, 503}, "permanent": {301, 307, 400, 401, 403, 404, 410, 422}} {
		for _, code = range codes {
			err := w.Send(t.Context(), sms.Text{ID: "x", To: "+1", Body: "y"})
			if got := map[bool]string{true: "sent", false: "passes"}[err == nil]; notify.IsPermanent(err) && want != "permanent" || !notify.IsPermanent(err) && want != got {
				t.Errorf("%d: %v", code, err)
			}
		}
	}
	if calls != 17 {
		t.Errorf("%d calls: a redirect was followed", calls)
	}
	receiver.Close()
	if err := w.Send(t.Context(), sms.Text{ID: "x"}); err == nil || notify.IsPermanent(err) || strings.Contains(err.Error(), receiver.URL) {
		t.Errorf("away: %v", err)
	}
}

func TestWebhooksThatCannotBeAreRefused(t *testing.T) {
	secret := sms.NewSecret().Reveal()
	for _, to := range []string{"https://sms.example/x", "http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:1/x"} {
		if _, err := sms.NewWebhook(to, secret, nil); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	for _, to := range []string{"", "sms.example", "http://sms.example/x", "http://localhost.example/", "ftp://localhost/", "https://user:word@sms.example/", "https:///x", "\x00"} {
		if _, err := sms.NewWebhook(to, secret, nil); err == nil {
			t.Errorf("%s is taken", to)
		}
	}
	for _, secret := range []string{"", "whsec_", "whsec_AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "whsec_!"} {
		if _, err := sms.NewWebhook("https://sms.example/x", secret, nil); err == nil {
			t.Errorf("the secret %q is taken", secret)
		}
	}
}

// A text that was handed over and got no answer may be on its way, so it is not sent again.
func TestATextWithoutAnAnswerIsNotSentAgain(t *testing.T) {
	var calls atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		calls.Add(1)
		panic(http.ErrAbortHandler) // closes the connection
	}))
	defer receiver.Close()
	w, err := sms.NewWebhook(receiver.URL, sms.NewSecret().Reveal(), receiver.Client())
	if err != nil {
		t.Fatal(err)
	}
	err = w.Send(t.Context(), sms.Text{ID: "x", To: "+1", Body: "y"})
	var f *notify.Failure
	if !notify.IsPermanent(err) || !errors.As(err, &f) || f.Stage != "answer" || calls.Load() != 1 || strings.Contains(err.Error(), receiver.URL) {
		t.Errorf("%v, %d calls", err, calls.Load())
	}
}
