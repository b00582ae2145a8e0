package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/smtp"
	"example.com/latchkey/notify/templates"
)

// counted counts the connections that are open.
type counted struct {
	net.Conn
	once sync.Once
	open *atomic.Int32
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// counting lets a mailer connect to a script, and returns the number of its open connections.
func counting(s *script, m *smtp.Mailer) *atomic.Int32 {
	open := new(atomic.Int32)
	m.DialWith(func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := s.dial(ctx, network, address)
		open.Add(1)
		return &counted{Conn: c, open: open}, err
	})
	return open
}

func TestSendersAndGreetingsAtTheEdge(t *testing.T) {
	set, err := templates.New(templates.Config{App: "Demo"})
	if err != nil {
		t.Fatal(err)
	}
	made := func(from, hello, addr string) error {
		_, err := smtp.New(smtp.Config{Addr: addr, From: from, Hello: hello, Templates: set})
		return err
	}
	for _, from := range []string{`"Bread \" (Support)" <noreply@example.org>`, `"a\\" <noreply@example.org>`, "noreply@my_host.internal", "noreply@localhost"} {
		if err := made(from, "", "post.example:25"); err != nil {
			t.Errorf("%s: %v", from, err)
		}
	}
	for _, from := range []string{`"a\\" (Support) <noreply@example.org>`, `"a" (b "c") <noreply@example.org>`} {
		if made(from, "", "post.example:25") == nil {
			t.Errorf("%s is taken", from)
		}
	}
	for _, hello := range []string{
		"mail.example.org.", "[IPv6:::ffff:192.0.2.7]", "[IPv6:fe80::1%eth0]", "[IPv6:2001:DB8::7]", "[IPv6:2001:db8:0::7]", "[2001:db8::7]", "[IPv6:192.0.2.7]", "[192.0.2.7", "a b", "a\r\nb",
	} {
		if made("a@example.org", hello, "post.example:25") == nil {
			t.Errorf("the greeting %q is taken", hello)
		}
	}
	for _, addr := range []string{"post.example:0", ":25", "post.example:65536", "post.example:-1", "post.example:smtp", "::1:25"} {
		if made("a@example.org", "", addr) == nil {
			t.Errorf("%s is taken", addr)
		}
	}
}

// The certificate of a server that is named by an address with a zone has the address alone.
func TestACertificateHasNoZone(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		p, roots := serveAt(t, "127.0.0.1:0", "fe80::1", implicit)
		security := smtp.StartTLS
		if implicit {
			security = smtp.TLS
		}
		m := newMailer(t, smtp.Config{Addr: "[fe80::1%eth0]:587", Security: security, TLS: &tls.Config{RootCAs: roots}})
		m.DialWith(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.addr)
		})
		if err := m.Notify(t.Context(), magicLink()); err != nil || len(p.all()) != 1 {
			t.Errorf("%v", err)
		}
	}
}

// Check sends NOOP, whose refusal is a failure, and does not keep that connection.
func TestCheckNeedsAnAnswerToNOOP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
			if line == "NOOP" {
				return "421 4.3.2 going down", 0
			}
			return "", 0
		})
		open := counting(s, m)
		err := m.Check(t.Context())
		var f *notify.Failure
		if !errors.As(err, &f) || f.Stage != "noop" || f.Reason != "421 4.3.2" || open.Load() != 0 {
			t.Errorf("%v, %d connections", err, open.Load())
		}
		_ = m.Close()
		synctest.Wait()
	})
}

// Connecting has the time of a step, a context that ends ends a step at once, and a kept
// connection that does not answer costs five seconds.
func TestNothingWaitsLongerThanItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMailer(t, smtp.Config{Addr: "post.example:25", Security: smtp.Plain, Timeout: 2 * time.Second})
		m.DialWith(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		err := m.Notify(ctx, magicLink())
		if stage, reason := notify.Seen(err); stage != "connect" || reason != "timeout" || time.Since(began) != 2*time.Second {
			t.Errorf("connecting: %v after %v", err, time.Since(began))
		}
	})
	for _, step := range []string{"greeting", "hello", "sender", "recipient", "content", "answer"} {
		synctest.Test(t, func(t *testing.T) {
			_, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
				if isStep(line, step) {
					return "", 20 * time.Second
				}
				return "", 0
			})
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			began := time.Now()
			err := m.Notify(ctx, magicLink())
			if stage, reason := notify.Seen(err); stage != step || reason != "timeout" || time.Since(began) != 3*time.Second {
				t.Errorf("%s: %v after %v", step, err, time.Since(began))
			}
			_ = m.Close()
			<-time.After(time.Minute)
			synctest.Wait()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
			if line == "RSET" {
				return "", 20 * time.Second
			}
			return "", 0
		})
		open := counting(s, m)
		if err := m.Notify(t.Context(), magicLink()); err != nil {
			t.Error(err)
		}
		began := time.Now()
		if err := m.Notify(t.Context(), magicLink()); err != nil || time.Since(began) != 5*time.Second || s.dials != 2 || open.Load() != 1 {
			t.Errorf("a kept connection: %v after %v, %d connections, %d open", err, time.Since(began), s.dials, open.Load())
		}
		_ = m.Close()
		<-time.After(time.Minute)
		synctest.Wait()
	})
}

// As many connections are kept as the configuration says, for a minute, and not after Close.
func TestConnectionsAreKeptWithinTheirBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := scripted(t, smtp.Config{Connections: 2}, func(line string) (string, time.Duration) {
			if line == "." {
				return "", time.Second
			}
			return "", 0
		})
		open := counting(s, m)
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if err := m.Notify(t.Context(), magicLink()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if open.Load() != 2 || s.dials != 5 {
			t.Errorf("%d connections are kept of %d", open.Load(), s.dials)
		}
		<-time.After(59 * time.Second)
		if open.Load() != 2 {
			t.Errorf("%d connections are kept for 59 s", open.Load())
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if open.Load() != 0 {
			t.Errorf("%d connections are kept for 61 s", open.Load())
		}
		group.Go(func() {
			if err := m.Notify(t.Context(), magicLink()); err != nil {
				t.Error(err)
			}
		})
		<-time.After(500 * time.Millisecond)
		_ = m.Close() // while the mail is under way
		group.Wait()
		synctest.Wait()
		if open.Load() != 0 {
			t.Errorf("%d connections after Close", open.Load())
		}
	})
}

// pump copies the bytes of one connection to another, without making its sender wait.
func pump(to, from net.Conn) {
	texts := make(chan []byte, 1000)
	go func() {
		defer close(texts)
		for {
			b := make([]byte, 4096)
			n, err := from.Read(b)
			if err != nil {
				return
			}
			texts <- b[:n]
		}
	}()
	defer to.Close()
	for b := range texts {
		if _, err := to.Write(b); err != nil {
			break
		}
	}
	_ = from.Close()
	for range texts { // so that the reader ends
	}
}

// An answer that comes after all is not taken for that to the next mail: the connection of a mail
// without an answer is closed.
func TestALateAnswerIsNotThatToTheNextMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		s, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
			if line == "." && first {
				first = false
				return "", 10*time.Minute + 10*time.Second
			}
			return "", 0
		})
		open := new(atomic.Int32)
		m.DialWith(func(ctx context.Context, network, address string) (net.Conn, error) {
			server, err := s.dial(ctx, network, address)
			client, middle := net.Pipe()
			go pump(middle, server)
			go pump(server, middle)
			open.Add(1)
			return &counted{Conn: client, open: open}, err
		})
		if err := m.Notify(t.Context(), magicLink()); !notify.IsPermanent(err) || open.Load() != 0 {
			t.Errorf("%v, %d connections", err, open.Load())
		}
		<-time.After(20 * time.Second) // the answer is there
		if err := m.Notify(t.Context(), magicLink()); err != nil || s.dials != 2 {
			t.Errorf("the next mail: %v, %d connections", err, s.dials)
		}
		_ = m.Close()
		<-time.After(time.Minute)
		synctest.Wait()
	})
}

// A demand for a login, or its refusal, says nothing about a message, whatever it is the answer to.
func TestARefusedLoginIsNoRefusalOfAMessage(t *testing.T) {
	for _, step := range []string{"sender", "recipient", "content", "answer"} {
		for _, answer := range []string{"535 5.7.8 no", "530 5.7.0 log in"} {
			synctest.Test(t, func(t *testing.T) {
				_, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
					if isStep(line, step) {
						return answer, 0
					}
					return "", 0
				})
				err := m.Notify(t.Context(), magicLink())
				if stage, reason := notify.Seen(err); stage != step || !strings.HasPrefix(answer, reason) || notify.IsPermanent(err) {
					t.Errorf("%s to the %s: %v", answer, step, err)
				}
				_ = m.Close()
				synctest.Wait()
			})
		}
	}
}

// overTLS returns a mailer that logs in at a script over TLS.
func overTLS(t *testing.T, answer func(line string) (string, time.Duration)) (*script, *smtp.Mailer) {
	t.Helper()
	p, roots := serve(t, "post.example", true)
	s := &script{answer: answer}
	m := newMailer(t, smtp.Config{Addr: "post.example:465", Security: smtp.TLS, TLS: &tls.Config{RootCAs: roots}, Username: "demo", Password: hidden.New("right")})
	m.DialWith(func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go s.serve(tls.Server(server, p.TLSConfig))
		return client, nil
	})
	return s, m
}

// The best login is taken that a server offers, whatever the case of its words.
func TestTheBestLoginIsTaken(t *testing.T) {
	for offered, want := range map[string]string{
		"AUTH LOGIN PLAIN SCRAM-SHA-1 SCRAM-SHA-256": "AUTH SCRAM-SHA-256", "AUTH PLAIN SCRAM-SHA-1": "AUTH SCRAM-SHA-1", "AUTH LOGIN PLAIN": "AUTH PLAIN", "AUTH LOGIN": "AUTH LOGIN",
		"AUTH login plain": "AUTH PLAIN", "auth plain": "AUTH PLAIN", "AUTH XOAUTH2": "", "SIZE 1": "AUTH PLAIN",
	} {
		s, m := overTLS(t, func(line string) (string, time.Duration) {
			switch {
			case strings.HasPrefix(line, "EHLO"):
				return "250-here\r\n250 " + offered, 0
			case strings.HasPrefix(line, "AUTH"):
				return "535 5.7.8 no", 0
			}
			return "", 0
		})
		err := m.Check(t.Context())
		stage, reason := notify.Seen(err)
		if stage != "login" || want != "" && (s.count(want) != 1 || reason != "535 5.7.8") || s.count("AUTH") > 1 || want == "" && s.count("AUTH") != 0 {
			t.Errorf("%s: %v, %q", offered, err, s.lines)
		}
	}
}

// Both addresses are in ASCII, so SMTPUTF8 is not asked for: not every next server has it.
func TestSMTPUTF8IsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
			if strings.HasPrefix(line, "EHLO") {
				return "250-here\r\n250-8BITMIME\r\n250 SMTPUTF8", 0
			}
			return "", 0
		})
		if err := m.Notify(t.Context(), magicLink()); err != nil || s.count("MAIL FROM:<noreply@example.org>") != 1 || strings.Contains(strings.Join(s.lines, "\n"), "SMTPUTF8") {
			t.Errorf("%v, %q", err, s.lines)
		}
		_ = m.Close()
		synctest.Wait()
	})
}
