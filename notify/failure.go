package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// Failure is an error of a [Notifier] that tells at which stage a message has failed, and
// why. The engine logs Stage and Reason, and never the text of Err, which may hold the
// address. Both are short, and name neither the recipient nor anything of the message.
type Failure struct {
	Stage string // for example connect, tls, login, sender, recipient, content, answer
	// Reason is the number of an answer (535 5.7.8), or the class of a network error
	// (connection refused).
	Reason string
	Err    error
}

// Failed returns a [*Failure] of a stage. Its reason is the class of the error.
func Failed(stage string, err error) *Failure { return &Failure{stage, Class(err), err} }

func (f *Failure) Error() string { return f.Stage + ": " + f.Reason }

// Unwrap returns the error that the failure was made of.
func (f *Failure) Unwrap() error { return f.Err }

// Class names the class of an error in a few words, without its text: for example
// "connection refused", "timeout" or "certificate not valid". An error of no class that it
// knows is "failed".
func Class(err error) string {
	var (
		dns     *net.DNSError
		network net.Error
		failure *Failure
		invalid *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		name    x509.HostnameError
		signer  x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &failure):
		return failure.Reason
	case errors.As(err, &invalid), errors.As(err, &name), errors.As(err, &signer):
		return "certificate not valid"
	case errors.As(err, &record):
		return "the server does not speak TLS"
	case errors.As(err, &alert):
		return "TLS refused"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "host unreachable"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &network) && network.Timeout():
		return "timeout"
	case errors.As(err, &dns):
		return "name not resolved"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		return "connection closed"
	}
	return "failed"
}

// Seen returns the stage and the reason of an error as they may be logged: "" and the class
// for an error that is no [Failure]. At most 64 bytes of each are kept, and control
// characters are left out.
func Seen(err error) (stage, reason string) {
	var f *Failure
	if errors.As(err, &f) {
		return short(f.Stage), short(f.Reason)
	}
	return "", Class(err)
}

func short(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 64)]
}
