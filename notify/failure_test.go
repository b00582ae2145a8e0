package notify_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"example.com/latchkey/notify"
)

// timeout is an error of the network whose time is over, of no other class.
type timeout struct{}

func (timeout) Error() string   { return "ada@example.org: over" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// Each class of errors has its words, also in the middle of other errors, and no word of the error.
func TestErrorsHaveTheirClass(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&notify.Failure{Stage: "login", Reason: "535 5.7.8", Err: io.EOF}, "535 5.7.8"},
		{&tls.CertificateVerificationError{Err: errors.New("x")}, "certificate not valid"}, {x509.HostnameError{Certificate: new(x509.Certificate), Host: "h"}, "certificate not valid"},
		{x509.UnknownAuthorityError{}, "certificate not valid"}, {tls.RecordHeaderError{Msg: "m"}, "the server does not speak TLS"}, {tls.AlertError(40), "TLS refused"},
		{&net.DNSError{Err: "no", Name: "post.example", IsNotFound: true}, "no such host"}, {&net.DNSError{Err: "no", Name: "post.example"}, "name not resolved"},
		{&net.DNSError{Err: "no", Name: "post.example", IsTimeout: true}, "timeout"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "connection refused"}, {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "connection reset"},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, "connection reset"}, {syscall.EHOSTUNREACH, "host unreachable"}, {syscall.ENETUNREACH, "host unreachable"},
		{context.DeadlineExceeded, "timeout"}, {os.ErrDeadlineExceeded, "timeout"}, {timeout{}, "timeout"}, {context.Canceled, "cancelled"},
		{io.EOF, "connection closed"}, {io.ErrUnexpectedEOF, "connection closed"}, {net.ErrClosed, "connection closed"}, {io.ErrClosedPipe, "connection closed"},
		{errors.New("ada@example.org"), "failed"},
	} {
		for _, err := range []error{c.err, fmt.Errorf("to ada@example.org: %w", c.err), errors.Join(errors.New("x"), c.err)} {
			if got := notify.Class(err); got != c.want {
				t.Errorf("%v: %q, want %q", err, got, c.want)
			}
		}
		if f := notify.Failed("connect", c.err); f.Stage != "connect" || f.Reason != c.want || !errors.Is(f, c.err) && f.Err != c.err {
			t.Errorf("%+v", f)
		}
	}
}

// The stage and the reason of a notifier are cut, and have no sign that could end a line.
func TestWhatIsSeenIsShortAndPlain(t *testing.T) {
	stage, reason := notify.Seen(fmt.Errorf("x: %w", &notify.Failure{Stage: "lo\ngin\x1b[0m\u2028", Reason: "a\r\nb\x00cä\u200bd" + strings.Repeat("x", 100)}))
	if stage != "login[0m" || reason != "abcd"+strings.Repeat("x", 60) {
		t.Errorf("%q, %q", stage, reason)
	}
}
