package smtp_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/smtp"
)

// script is a mail server on a pipe, in the time of a bubble. answer returns its answer to a
// line, "hang up" to close the connection, and how long it takes. The greeting is the answer to
// "", and the answer to the content that to ".".
type script struct {
	answer func(line string) (string, time.Duration)

	mu    sync.Mutex
	lines []string
	dials int
}

func (s *script) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	s.dials++
	s.mu.Unlock()
	client, server := net.Pipe()
	go s.serve(server)
	return client, nil
}

func (s *script) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	content := false
	for line := ""; ; {
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
		answer, after := "250 well", time.Duration(0)
		switch {
		case line == "":
			answer = "220 here"
		case line == "DATA":
			answer = "354 go on"
		}
		if special, wait := s.answer(line); special != "" || wait > 0 {
			after = wait
			if special != "" {
				answer = special
			}
		}
		if after > 0 {
			<-time.After(after)
		}
		if answer == "hang up" {
			return
		}
		if _, err := c.Write([]byte(answer + "\r\n")); err != nil {
			return
		}
		content = line == "DATA" && strings.HasPrefix(answer, "354")
		for {
			text, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(text, "\r\n")
			if !content || line == "." {
				break
			}
		}
	}
}

// count returns how many lines begin with a prefix.
func (s *script) count(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(s.lines), func(line string) bool { return !strings.HasPrefix(line, prefix) || prefix == "." && line != "." }))
}

// scripted returns a mailer at a script.
func scripted(t *testing.T, c smtp.Config, answer func(line string) (string, time.Duration)) (*script, *smtp.Mailer) {
	t.Helper()
	s := &script{answer: answer}
	c.Addr, c.Security = "post.example:25", smtp.Plain
	m := newMailer(t, c)
	m.DialWith(s.dial)
	return s, m
}

// isStep reports whether a line is one of a step.
func isStep(line, step string) bool {
	switch step {
	case "greeting":
		return line == ""
	case "answer":
		return line == "."
	}
	return strings.HasPrefix(line, map[string]string{"hello": "EHLO", "sender": "MAIL", "recipient": "RCPT", "content": "DATA"}[step])
}

// Each step has its own time, so that a server which is slow at each of them is served.
func TestTheLimitOfTimeIsThatOfAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := scripted(t, smtp.Config{}, func(string) (string, time.Duration) { return "", 29 * time.Second })
		if err := m.Notify(t.Context(), magicLink()); err != nil {
			t.Error(err)
		}
		if s.count("DATA") != 1 {
			t.Error(s.lines)
		}
		_ = m.Close()
		synctest.Wait()
	})
	for _, step := range []string{"greeting", "hello", "sender", "recipient", "content"} {
		synctest.Test(t, func(t *testing.T) {
			s, m := scripted(t, smtp.Config{Timeout: 2 * time.Second}, func(line string) (string, time.Duration) {
				if isStep(line, step) {
					return "", 3 * time.Second
				}
				return "", 0
			})
			err := m.Notify(t.Context(), magicLink())
			var f *notify.Failure
			if !errors.As(err, &f) || f.Stage != step || f.Reason != "timeout" || notify.IsPermanent(err) {
				t.Errorf("%s: %v", step, err)
			}
			if s.count(".") != 0 {
				t.Errorf("%s: the mail was handed over", step)
			}
			_ = m.Close()
			<-time.After(time.Minute)
			synctest.Wait()
		})
	}
}

// The server may take its time once it has the whole mail, because it may be delivering it.
func TestTheAnswerAfterTheContentIsWaitedFor(t *testing.T) {
	for _, late := range []time.Duration{4 * time.Second, 35 * time.Second, 9 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s, m := scripted(t, smtp.Config{Timeout: 2 * time.Second}, func(line string) (string, time.Duration) {
				if line == "." {
					return "", late
				}
				return "", 0
			})
			for range 2 {
				if err := m.Notify(t.Context(), magicLink()); err != nil {
					t.Errorf("%v: %v", late, err)
				}
			}
			if s.count(".") != 2 || s.dials != 1 {
				t.Errorf("%v: %d mails over %d connections", late, s.count("."), s.dials)
			}
			_ = m.Close()
			synctest.Wait()
		})
	}
}

// A mail that was handed over and got no answer may have arrived, so it is not sent again. The
// connection is not used again either: an answer to the mail could be taken for another one.
func TestAMailWithoutAnAnswerIsNotSentAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		late   time.Duration
		within time.Duration // of the context
		reason string
	}{
		"never":               {"", 20 * time.Minute, time.Hour, "timeout"},
		"the context ends":    {"", time.Hour, 30 * time.Second, "timeout"},
		"the connection ends": {"hang up", 0, time.Hour, "connection closed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var well atomic.Bool
			s, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
				if line == "." && !well.Load() {
					return c.answer, c.late
				}
				return "", 0
			})
			ctx, cancel := context.WithTimeout(t.Context(), c.within)
			defer cancel()
			err := m.Notify(ctx, magicLink())
			var f *notify.Failure
			if !notify.IsPermanent(err) || !errors.As(err, &f) || f.Stage != "answer" || f.Reason != c.reason {
				t.Errorf("%s: %v", name, err)
			}
			well.Store(true)
			if err := m.Notify(t.Context(), magicLink()); err != nil || s.dials != 2 {
				t.Errorf("%s: the next mail: %v, %d connections", name, err, s.dials)
			}
			_ = m.Close()
			<-time.After(2 * time.Hour)
			synctest.Wait()
		})
	}
}

// Answers that mean "later" are tried again, and refusals are not.
func TestAnswersSayWhetherAnotherTryHelps(t *testing.T) {
	for _, c := range []struct {
		step, answer string
		final        bool
		reason       string
	}{
		{"recipient", "450 4.7.1 greylisted", false, "450 4.7.1"}, {"recipient", "550 4.2.1 come back later", false, "550 4.2.1"}, {"recipient", "552 too many recipients", false, "552"},
		{"recipient", "552 5.5.3 too many", false, "552 5.5.3"}, {"recipient", "550 5.1.1 no such user", true, "550 5.1.1"}, {"recipient", "550 no", true, "550"},
		{"recipient", "550 5.1.1 see 4.2.1 of the manual", true, "550 5.1.1"}, {"recipient", "550 see 4.2.1", true, "550"}, {"recipient", "550-4.2.1 later\r\n550 4.2.1 later", false, "550 4.2.1"},
		{"recipient", "421 4.3.2 going down", false, "421 4.3.2"}, {"recipient", "451 4.7.1 try later", false, "451 4.7.1"}, {"recipient", "504 5.5.2 need a name", true, "504 5.5.2"},
		{"sender", "421 too busy", false, "421"}, {"sender", "530 5.7.0 log in first", false, "530 5.7.0"}, {"sender", "550 5.7.1 no", true, "550 5.7.1"}, {"sender", "552 5.3.4 too big", true, "552 5.3.4"},
		{"content", "451 local error", false, "451"}, {"content", "554 5.5.1 no valid recipients", true, "554 5.5.1"}, {"content", "421 bye", false, "421"},
		{"answer", "451 4.3.0 disk full", false, "451 4.3.0"}, {"answer", "554 5.7.1 spam", true, "554 5.7.1"}, {"answer", "552 5.2.2 mailbox full", true, "552 5.2.2"}, {"answer", "421 4.3.0 bye", false, "421 4.3.0"},
		{"answer", "554 4.7.1 not now", false, "554 4.7.1"},
		{"greeting", "554 no", false, "554"}, {"greeting", "421 too many connections", false, "421"},
	} {
		synctest.Test(t, func(t *testing.T) {
			bad := true
			s, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
				if bad && isStep(line, c.step) {
					return c.answer, 0
				}
				return "", 0
			})
			err := m.Notify(t.Context(), magicLink())
			var f *notify.Failure
			if err == nil || notify.IsPermanent(err) != c.final || !errors.As(err, &f) || f.Stage != c.step || f.Reason != c.reason || err.Error() != c.step+": "+c.reason {
				t.Errorf("%q to the %s: %v", c.answer, c.step, err)
			}
			bad = false
			if err := m.Notify(t.Context(), magicLink()); err != nil {
				t.Errorf("after %q: %v", c.answer, err)
			}
			want := 1
			if strings.HasPrefix(c.answer, "421") || c.step == "greeting" { // the server has gone
				want = 2
			}
			if s.dials != want {
				t.Errorf("after %q: %d connections", c.answer, s.dials)
			}
			_ = m.Close()
			synctest.Wait()
		})
	}
}

// A kept connection that the server has given up is replaced in the same try.
func TestAConnectionThatTheServerGaveUpIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
			if line == "RSET" {
				return "421 4.4.2 idle too long", 0
			}
			return "", 0
		})
		for range 3 {
			if err := m.Notify(t.Context(), magicLink()); err != nil {
				t.Error(err)
			}
		}
		if s.dials != 3 || s.count(".") != 3 {
			t.Errorf("%d connections, %d mails", s.dials, s.count("."))
		}
		_ = m.Close()
		synctest.Wait()
	})
}

// Every answer of success after the content is one.
func TestEverySuccessAfterTheContentIsOne(t *testing.T) {
	for _, answer := range []string{"250 2.0.0 queued", "251 forwarded", "252 not verified", "200 well"} {
		synctest.Test(t, func(t *testing.T) {
			s, m := scripted(t, smtp.Config{}, func(line string) (string, time.Duration) {
				if line == "." {
					return answer, 0
				}
				return "", 0
			})
			for range 2 {
				if err := m.Notify(t.Context(), magicLink()); err != nil {
					t.Errorf("%s: %v", answer, err)
				}
			}
			if s.dials != 1 {
				t.Errorf("%s: %d connections", answer, s.dials)
			}
			_ = m.Close()
			synctest.Wait()
		})
	}
}

// The names of extensions are compared without case (RFC 5321, 2.4). An extension that is not offered is asked for
// too, and nothing of the mail goes over a connection without TLS.
func TestExtensionsAreReadInAnyCase(t *testing.T) {
	for _, c := range []struct{ extension, answer, reason string }{
		{"STARTTLS", "454 4.7.0 not now", "454 4.7.0"}, {"starttls", "454 4.7.0 not now", "454 4.7.0"}, {"StartTls", "454 4.7.0 not now", "454 4.7.0"},
		{"SIZE 1", "502 no", "the server does not offer STARTTLS"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answer: func(line string) (string, time.Duration) {
				switch {
				case strings.HasPrefix(line, "EHLO"):
					return "250-here\r\n250 " + c.extension, 0
				case line == "STARTTLS":
					return c.answer, 0
				}
				return "", 0
			}}
			m := newMailer(t, smtp.Config{Addr: "post.example:25", Username: "demo", Password: hidden.New("right")})
			m.DialWith(s.dial)
			err := m.Notify(t.Context(), magicLink())
			var f *notify.Failure
			if !errors.As(err, &f) || f.Stage != "tls" || f.Reason != c.reason || s.count("STARTTLS") != 1 || s.count("MAIL")+s.count("AUTH") != 0 {
				t.Errorf("%s: %v, %q", c.extension, err, s.lines)
			}
			_ = m.Close()
			synctest.Wait()
		})
	}
}
