package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/mail"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/smtp"
)

func TestServersAreNamedByAnyAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:2525": "127.0.0.1:2525", "[::1]:2525": "[::1]:2525", "[fd00::1]:587": "[fd00::1]:587", "[fe80::1%eth0]:25": "[fe80::1%eth0]:25",
		"post.example:25": "post.example:25", "[::ffff:192.0.2.7]:25": "[::ffff:192.0.2.7]:25",
	} {
		m := newMailer(t, smtp.Config{Addr: addr, Security: smtp.Plain})
		m.DialWith(func(_ context.Context, network, address string) (net.Conn, error) {
			if network != "tcp" || address != want {
				t.Errorf("%s: %s %s", addr, network, address)
			}
			return nil, syscall.ECONNREFUSED
		})
		var f *notify.Failure
		if err := m.Notify(t.Context(), magicLink()); notify.IsPermanent(err) || !errors.As(err, &f) || f.Stage != "connect" || f.Reason != "connection refused" {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, at := range []string{"127.0.0.1", "::1"} { // the certificate has the address, without brackets
		for _, implicit := range []bool{false, true} {
			p, roots := serveAt(t, net.JoinHostPort(at, "0"), at, implicit)
			if p == nil {
				t.Logf("this machine has no %s", at)
				continue
			}
			security := smtp.StartTLS
			if implicit {
				security = smtp.TLS
			}
			m := newMailer(t, smtp.Config{Addr: p.addr, Security: security, TLS: &tls.Config{RootCAs: roots}, Username: "demo", Password: hidden.New("right")})
			if err := m.Notify(t.Context(), magicLink()); err != nil || len(p.all()) != 1 {
				t.Errorf("%s: %v", p.addr, err)
			}
		}
	}
}

func TestTheDomainOfTheSenderIsInASCII(t *testing.T) {
	for from, want := range map[string][2]string{
		"Bücher <noreply@bücher.example>":               {"noreply@xn--bcher-kva.example", `=?utf-8?q?B=C3=BCcher?= <noreply@xn--bcher-kva.example>`},
		"noreply@faß.example":                           {"noreply@xn--fa-hia.example", "<noreply@xn--fa-hia.example>"},
		"noreply@例え.example":                            {"noreply@xn--r8jz45g.example", "<noreply@xn--r8jz45g.example>"},
		"noreply@xn--bcher-kva.example":                 {"noreply@xn--bcher-kva.example", "<noreply@xn--bcher-kva.example>"},
		`"Bread, Ltd. (Support)" <noreply@example.org>`: {"noreply@example.org", `"Bread, Ltd. (Support)" <noreply@example.org>`},
	} {
		p, _ := serve(t, "", false)
		m := newMailer(t, smtp.Config{Addr: p.addr, Security: smtp.Plain, From: from, ReplyTo: from})
		if err := m.Notify(t.Context(), magicLink()); err != nil {
			t.Errorf("%s: %v", from, err)
			continue
		}
		got := p.all()[0]
		parsed, err := mail.ReadMessage(strings.NewReader(got.text))
		if err != nil {
			t.Fatal(err)
		}
		_, domain, _ := strings.Cut(want[0], "@")
		if got.from != want[0] || parsed.Header.Get("From") != want[1] || parsed.Header.Get("Reply-To") != want[1] || !strings.HasSuffix(parsed.Header.Get("Message-Id"), "@"+domain+">") {
			t.Errorf("%s: %s, %+v", from, got.from, parsed.Header)
		}
		for _, header := range []string{"From", "Reply-To"} {
			if list, err := parsed.Header.AddressList(header); err != nil || len(list) != 1 || list[0].Address != want[0] {
				t.Errorf("%s: %s %v, %v", from, header, list, err)
			}
		}
	}
}

// The greeting has a name that resolves for others, or the address of this end.
func TestTheGreetingNamesThisEnd(t *testing.T) {
	for hello, want := range map[string]string{
		"mail.example.org": "mail.example.org", "localhost": "localhost", "büro.example": "xn--bro-hoa.example", "[192.0.2.7]": "[192.0.2.7]", "[IPv6:2001:db8::7]": "[IPv6:2001:db8::7]",
	} {
		synctest.Test(t, func(t *testing.T) {
			s, m := scripted(t, smtp.Config{Hello: hello}, func(string) (string, time.Duration) { return "", 0 })
			if err := m.Notify(t.Context(), magicLink()); err != nil || s.count("EHLO "+want) != 1 {
				t.Errorf("%s: %v, %q", hello, err, s.lines)
			}
			_ = m.Close()
			synctest.Wait()
		})
	}
	p, _ := serve(t, "", false)
	m := newMailer(t, smtp.Config{Addr: p.addr, Security: smtp.Plain})
	if err := m.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got := p.greeted(); got != "[127.0.0.1]" && (got != name || !strings.Contains(name, ".")) {
		t.Errorf("%q on the machine %s", got, name)
	}
}

// Check finds a set-up that cannot work before the first mail, and says at which stage.
func TestCheckTriesTheSetUp(t *testing.T) {
	p, roots := serve(t, "post.example", false)
	plain, _ := serve(t, "", false)
	good := smtp.Config{Addr: p.addr, TLS: &tls.Config{ServerName: "post.example", RootCAs: roots}, Username: "demo", Password: hidden.New("right")}
	m := newMailer(t, good)
	for range 2 {
		if err := m.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if len(p.all()) != 0 || !slices.Equal(p.logins, []string{"demo", "demo"}) {
		t.Errorf("%d mails, logins %v", len(p.all()), p.logins)
	}
	before := p.count()
	if err := m.Notify(t.Context(), magicLink()); err != nil || p.count() != before {
		t.Errorf("%v, %d connections", err, p.count()-before)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		change        func(*smtp.Config)
		ctx           context.Context
		stage, reason string
	}{
		"nobody there":    {func(c *smtp.Config) { c.Addr = gone.Addr().String() }, t.Context(), "connect", "connection refused"},
		"no such host":    {func(c *smtp.Config) { c.Addr = "post.invalid:25" }, t.Context(), "connect", ""},
		"wrong password":  {func(c *smtp.Config) { c.Password = hidden.New("secret word") }, t.Context(), "login", "535 5.7.8"},
		"another name":    {func(c *smtp.Config) { c.TLS = &tls.Config{ServerName: "other.example", RootCAs: roots} }, t.Context(), "tls", "certificate not valid"},
		"unknown signer":  {func(c *smtp.Config) { c.TLS = &tls.Config{ServerName: "post.example"} }, t.Context(), "tls", "certificate not valid"},
		"no STARTTLS":     {func(c *smtp.Config) { c.Addr = plain.addr }, t.Context(), "tls", "the server does not offer STARTTLS"},
		"the caller left": {func(*smtp.Config) {}, ended, "connect", "cancelled"},
	} {
		config := good
		c.change(&config)
		err := newMailer(t, config).Check(c.ctx)
		var f *notify.Failure
		if !errors.As(err, &f) || f.Stage != c.stage || f.Reason != c.reason && c.reason != "" || strings.Contains(err.Error(), "secret word") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_ = m.Close()
	if err := m.Check(t.Context()); err == nil {
		t.Error("a closed mailer is well")
	}
}
