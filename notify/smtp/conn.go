package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	protocol "github.com/wneessen/go-mail/smtp"

	"example.com/latchkey/notify"
)

// idle is how long an unused connection is kept, and resetTime how long the server has to
// answer that it still serves one.
const (
	idle      = time.Minute
	resetTime = 5 * time.Second
)

// conn is one connection to the server.
type conn struct {
	net   net.Conn
	smtp  *protocol.Client
	timer *time.Timer // closes the connection while it is kept
}

var errClosed = errors.New("smtp: the mailer is closed")

// connect returns a kept connection that still works, or a new one.
func (m *Mailer) connect(ctx context.Context) (*conn, error) {
	for {
		c, err := m.take()
		if err != nil {
			return nil, notify.Failed("connect", err)
		}
		if c == nil {
			return m.dial(ctx)
		}
		if err := c.step(ctx, "reset", min(m.config.Timeout, resetTime), c.smtp.Reset); err == nil {
			return c, nil
		}
		_ = c.net.Close()
	}
}

// take returns the connection that was kept last, or nil.
func (m *Mailer) take() (*conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errClosed
	}
	last := len(m.kept) - 1
	if last < 0 {
		return nil, nil
	}
	c := m.kept[last]
	m.kept = m.kept[:last]
	c.timer.Stop()
	return c, nil
}

// dial connects, greets and logs in. After a failure it closes the connection. Its errors are
// [*notify.Failure]s.
func (m *Mailer) dial(ctx context.Context) (*conn, error) {
	limit := m.config.Timeout
	connecting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	raw, err := m.dialer(connecting, "tcp", net.JoinHostPort(m.host, m.port))
	if err != nil {
		return nil, notify.Failed("connect", err)
	}
	c := &conn{net: raw}
	if err := m.open(ctx, c, limit); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return c, nil
}

// open greets the server, upgrades the connection and logs in.
func (m *Mailer) open(ctx context.Context, c *conn, limit time.Duration) error {
	secured := c.net
	if m.config.Security == TLS {
		upgraded := tls.Client(c.net, m.config.TLS)
		if err := c.step(ctx, "tls", limit, upgraded.Handshake); err != nil {
			return err
		}
		secured = upgraded
	}
	err := c.step(ctx, "greeting", limit, func() (err error) {
		c.smtp, err = protocol.NewClient(secured, m.host)
		return err
	})
	if err != nil {
		return err
	}
	c.smtp.SkipSMTPUTF8(true) // both addresses are in ASCII
	if err := c.step(ctx, "hello", limit, func() error { return c.smtp.Hello(m.hello(c)) }); err != nil {
		return err
	}
	if m.config.Security == StartTLS {
		// A server may write the names of its extensions in any case (RFC 5321, 2.4), which the
		// library does not read. So STARTTLS is asked for whether it is offered or not.
		offered, _ := c.smtp.Extension("STARTTLS")
		if f := c.exchange(ctx, "tls", limit, func() error { return c.smtp.StartTLS(m.config.TLS) }); f != nil {
			if !offered && answered(f)/100 == 5 {
				f.Reason = "the server does not offer STARTTLS"
			}
			return f
		}
	}
	if m.config.Username == "" {
		return nil
	}
	method := m.login(c)
	if method == nil {
		return &notify.Failure{Stage: "login", Reason: "the server offers no login that is known"}
	}
	return c.step(ctx, "login", limit, func() error { return c.smtp.Auth(method) })
}

// hello returns the name for the greeting.
func (m *Mailer) hello(c *conn) string {
	if m.config.Hello != "" {
		return m.config.Hello
	}
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") {
		if name, err := hello(name); err == nil {
			return name
		}
	}
	if here, err := netip.ParseAddrPort(c.net.LocalAddr().String()); err == nil {
		return literal(here.Addr())
	}
	return "localhost"
}

// login returns the best method that the server offers, nil without one that is known.
func (m *Mailer) login(c *conn) protocol.Auth {
	found, offered := c.smtp.Extension("AUTH")
	methods := strings.Fields(strings.ToUpper(offered))
	if !found { // it may be offered in lower case
		methods = []string{"PLAIN"}
	}
	user, password := m.config.Username, m.config.Password.Reveal()
	switch {
	case slices.Contains(methods, "SCRAM-SHA-256"):
		return protocol.ScramSHA256Auth(user, password)
	case slices.Contains(methods, "SCRAM-SHA-1"):
		return protocol.ScramSHA1Auth(user, password)
	case slices.Contains(methods, "PLAIN"):
		return protocol.PlainAuth("", user, password, m.host, false)
	case slices.Contains(methods, "LOGIN"):
		return protocol.LoginAuth(user, password, m.host, false)
	}
	return nil
}

// step runs one exchange with the server. It closes the connection if the context ends first.
func (c *conn) step(ctx context.Context, stage string, limit time.Duration, do func() error) error {
	if f := c.exchange(ctx, stage, limit, do); f != nil {
		return f
	}
	return nil
}

// exchange is step with the failure as such.
func (c *conn) exchange(ctx context.Context, stage string, limit time.Duration, do func() error) *notify.Failure {
	stop := context.AfterFunc(ctx, func() { _ = c.net.Close() })
	defer stop()
	err := c.net.SetDeadline(time.Now().Add(limit))
	if err == nil {
		err = do()
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	return failed(stage, err)
}

// failed names the failure of a step by the numbers of the answer, if there was one.
func failed(stage string, err error) *notify.Failure {
	f := notify.Failed(stage, err)
	var answer *textproto.Error
	if errors.As(err, &answer) {
		f.Reason = strconv.Itoa(answer.Code)
		if enhanced := enhancedCode(answer); enhanced != "" {
			f.Reason += " " + enhanced
		}
	}
	return f
}

var enhanced = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

// enhancedCode returns the code of RFC 3463 at the beginning of an answer, "" without one.
func enhancedCode(answer *textproto.Error) string { return enhanced.FindString(answer.Msg) }

// answered returns the number of the server's answer, 0 without one.
func answered(f *notify.Failure) int {
	var answer *textproto.Error
	if errors.As(f.Err, &answer) {
		return answer.Code
	}
	return 0
}

// isFinal reports whether another try would get the same answer.
func isFinal(f *notify.Failure) bool {
	var answer *textproto.Error
	if !errors.As(f.Err, &answer) || answer.Code/100 != 5 || strings.HasPrefix(enhancedCode(answer), "4") {
		return false
	}
	switch {
	case f.Stage == "recipient" && answer.Code == 552: // too many recipients; some servers say it for 452
		return false
	case answer.Code == 530, answer.Code == 535: // the set-up is wrong, and not the message
		return false
	}
	return true
}

// send hands a mail over.
func (c *conn) send(ctx context.Context, limit time.Duration, from, to string, letter []byte) *notify.Failure {
	if f := c.exchange(ctx, "sender", limit, func() error { return c.smtp.Mail("<" + from + ">") }); f != nil {
		return f
	}
	if f := c.exchange(ctx, "recipient", limit, func() error { return c.smtp.Rcpt("<" + to + ">") }); f != nil {
		return f
	}
	f := c.exchange(ctx, "content", limit, func() error {
		w, err := c.smtp.Data()
		if err != nil {
			return err
		}
		if _, err := w.Write(letter); err != nil {
			return err
		}
		return w.(*protocol.DataCloser).WriteCloser.Close() // the dot, without the wait for the answer
	})
	if f != nil {
		return f
	}
	return c.exchange(ctx, "answer", max(limit, afterDot), func() error {
		_, _, err := c.smtp.Text.ReadResponse(2) // any success
		return err
	})
}

// keep keeps a connection for a later mail. It closes it if enough are kept already.
func (m *Mailer) keep(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.kept) >= m.config.Connections {
		_ = c.net.Close()
		return
	}
	c.timer = time.AfterFunc(idle, func() { m.forget(c) })
	m.kept = append(m.kept, c)
}

// forget closes a connection that has been unused for a while.
func (m *Mailer) forget(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.kept, c); i >= 0 { // otherwise another mail has just taken it
		m.kept = slices.Delete(m.kept, i, i+1)
		_ = c.net.Close()
	}
}

// Close closes the kept connections. Later messages fail. Close the engine first: it
// sends the messages that still wait.
func (m *Mailer) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, c := range m.kept {
		c.timer.Stop()
		_ = c.net.Close()
	}
	m.kept = nil
	return nil
}
