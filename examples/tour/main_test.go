package main

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/pquerna/otp/totp"
)

// reader is a mail server that types the link or code of a mail into the tour.
type reader struct {
	keyboard io.Writer
	wanted   *regexp.Regexp
}

func (r *reader) NewSession(*smtp.Conn) (smtp.Session, error) { return r, nil }
func (*reader) Mail(string, *smtp.MailOptions) error          { return nil }
func (*reader) Rcpt(string, *smtp.RcptOptions) error          { return nil }
func (*reader) Reset()                                        {}
func (*reader) Logout() error                                 { return nil }

func (r *reader) Data(mail io.Reader) error {
	text, err := io.ReadAll(mail)
	if err != nil {
		return err
	}
	// The text comes first, in quoted-printable.
	plain := strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(string(text))
	go func() { _, _ = io.WriteString(r.keyboard, r.wanted.FindString(plain)+"\n") }()
	return nil
}

func TestTourThroughAMailServer(t *testing.T) {
	const link = `https://app\.example\.org/\S+`
	for _, c := range []struct {
		options
		wanted, told string
	}{
		{options{method: "magic"}, link, "Once more: The link is wrong, was used or replaced, or has expired (user_invalid_token)"},
		{options{method: "otp"}, `\b[0-9]{6}\b`, "Signed in by token"},
		{options{verify: true}, link, "Verified: e-mail true, phone true"},
		{options{recover: true}, link, "Signed in by email with the new one"},
	} {
		in, keyboard := io.Pipe()
		server := smtp.NewServer(&reader{keyboard, regexp.MustCompile(c.wanted)})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		var out bytes.Buffer
		c.email, c.phone, c.smtp = "ada@example.org", "+14155550100", l.Addr().String()
		err = run(t.Context(), c.options, in, &out)
		_ = server.Close()
		<-served
		if err != nil || !strings.Contains(out.String(), c.told) {
			t.Errorf("%+v: %v\n%s", c.options, err, out.String())
		}
	}
}

func TestTourOfTwoFactors(t *testing.T) {
	shown := time.Duration(-1)
	o := options{mfa: true, email: "ada@example.org", code: func(seed string) string {
		shown++ // the code of the present step, then that of the next
		code, err := totp.GenerateCode(seed, time.Now().Add(shown*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}}
	var out bytes.Buffer
	err := run(t.Context(), o, strings.NewReader(""), &out)
	if err != nil || !strings.Contains(out.String(), "Signed in by password alone: Another factor is required") ||
		!strings.Contains(out.String(), "Signed in by password and totp") || !strings.Contains(out.String(), "▀") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestTourByPasskey(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), options{passkey: true, email: "ada@example.org"}, strings.NewReader(""), &out)
	for _, told := range []string{
		"Enrolled: Telephone, synced: false\n",
		"Signed in without a name by passkey\n",
		"Signed in by password and passkey\n",
		"Once more, after it was deleted: The passkey is not known here; it may have been deleted (user_passkey_unknown)\n",
		" of example.org\n",
	} {
		if err != nil || !strings.Contains(out.String(), told) {
			t.Errorf("%v\n%s\nlacks %q", err, out.String(), told)
		}
	}
}

func TestTourByAnotherService(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), options{oauth: true, email: "ada@example.org"}, strings.NewReader(""), &out)
	if err != nil || strings.Count(out.String(), "Signed in by oidc: Ada Lovelace <ada@example.org>, verified: true") != 2 || !strings.Contains(out.String(), "Not signed in") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
