package sms_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"example.com/latchkey/notify"
	"example.com/latchkey/notify/sms"
)

// cut is a connection that breaks off before a request is written.
type cut struct{ net.Conn }

func (cut) Write([]byte) (int, error) { return 0, net.ErrClosed }

// A text of which a part stayed behind may be tried again. (A short one stays in the buffer of net/http, which
// calls WroteRequest before it writes the buffer: see the file of failing tests.)
func TestATextThatWasNotHandedOverMayPass(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return cut{c}, err
	}}
	defer transport.CloseIdleConnections()
	w, err := sms.NewWebhook(receiver.URL, sms.NewSecret().Reveal(), &http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Send(t.Context(), sms.Text{ID: "x", To: "+1", Body: strings.Repeat("y", 10_000)})
	var f *notify.Failure
	if err == nil || notify.IsPermanent(err) || !errors.As(err, &f) || f.Stage != "webhook" {
		t.Errorf("%v", err)
	}
}

// The failure of an answer has its number, for the log.
func TestTheNumberOfAnAnswerIsTheReason(t *testing.T) {
	for _, code := range []int{503, 429, 401} {
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
		w, err := sms.NewWebhook(receiver.URL, sms.NewSecret().Reveal(), receiver.Client())
		if err != nil {
			t.Fatal(err)
		}
		stage, reason := notify.Seen(w.Send(t.Context(), sms.Text{ID: "x", To: "+1", Body: "y"}))
		if stage != "webhook" || reason != strconv.Itoa(code) {
			t.Errorf("%d: %q, %q", code, stage, reason)
		}
		receiver.Close()
	}
}

// broken is a connection that breaks off before a request is written.
type broken struct{ net.Conn }

func (broken) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

// A text that was not handed over whole may be tried again.
func TestAShortTextThatWasNotHandedOverMayPass(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return broken{c}, err
	}}
	defer transport.CloseIdleConnections()
	w, err := sms.NewWebhook(receiver.URL, sms.NewSecret().Reveal(), &http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Send(t.Context(), sms.Text{ID: "x", To: "+1", Body: "y"})
	var f *notify.Failure
	if err == nil || notify.IsPermanent(err) || !errors.As(err, &f) || f.Stage != "webhook" {
		t.Errorf("%v", err)
	}
}
