// Package smtp sends messages by mail, through one SMTP server.
//
//	mailer, err := smtp.New(smtp.Config{
//		Addr: "mail.example.org:587", Username: "bread", Password: password,
//		From: "Bread <noreply@example.org>", Templates: words,
//	})
//	engine, err := latchkey.New(store, latchkey.Config{Notifier: mailer})
//	...
//	engine.Close()
//	mailer.Close()
package smtp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
	protocol "github.com/wneessen/go-mail/smtp"

	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

// Security is how a connection is protected.
type Security int

// The ways to protect a connection. Without a certificate that is good for the
// name of the server nothing is sent, but with Plain.
const (
	StartTLS Security = iota // a plain connection becomes one of TLS, or is given up; port 587
	TLS                      // TLS from the first byte; port 465
	Plain                    // none, for a server on the same machine; no login
)

// Config says where mail goes, and from whom.
type Config struct {
	// Addr is the server, host:port.
	Addr     string
	Security Security
	// TLS is used for StartTLS and TLS; nil means the roots of the system, and
	// TLS 1.2 at least.
	TLS *tls.Config
	// Username and Password are for a server that asks for a login, by the best
	// of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN and LOGIN that it knows; "" means none.
	Username, Password string
	// From is the sender, "noreply@example.org" or "Bread <noreply@example.org>";
	// ReplyTo is where answers go, "" for From.
	From, ReplyTo string
	// Hello is the name by which the server is greeted; "" means the name of this
	// machine.
	Hello string
	// Templates have the words.
	Templates *templates.Set
	// Connections is how many open connections are kept for the next mail, for a
	// minute each; 0 means 4. They are made when they are needed.
	Connections int
	// Timeout is how long it may take to connect, and to send one mail; 0 means
	// 10 seconds.
	Timeout time.Duration
}

// idle is how long a connection that nobody uses is kept.
const idle = time.Minute

// Mailer is a [notify.Notifier] that sends mail. It is safe for concurrent use.
type Mailer struct {
	config        Config
	host          string
	port          int
	from, replyTo *mail.Address
	options       []gomail.Option

	mu     sync.Mutex
	kept   []*conn
	closed bool
}

// conn is one connection to the server.
type conn struct {
	net    net.Conn
	client *gomail.Client
	smtp   *protocol.Client
	timer  *time.Timer // ends it, while it is kept
}

// New returns a mailer. It connects to nothing yet.
func New(c Config) (*Mailer, error) {
	host, text, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("smtp: Addr %q is not host:port", c.Addr)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || host == "" || port == 0 {
		return nil, fmt.Errorf("smtp: Addr %q is not host:port", c.Addr)
	}
	m := &Mailer{config: c, host: host, port: int(port)}
	if m.from, err = mail.ParseAddress(c.From); err != nil {
		return nil, fmt.Errorf("smtp: From %q is not an address", c.From)
	}
	if c.ReplyTo != "" {
		if m.replyTo, err = mail.ParseAddress(c.ReplyTo); err != nil {
			return nil, fmt.Errorf("smtp: ReplyTo %q is not an address", c.ReplyTo)
		}
	}
	switch {
	case c.Templates == nil:
		return nil, errors.New("smtp: no Templates")
	case c.Security < StartTLS || c.Security > Plain:
		return nil, errors.New("smtp: no such Security")
	case c.Security == Plain && c.Username != "":
		return nil, errors.New("smtp: a password does not go over a connection without TLS")
	case c.Connections < 0 || c.Connections > 100:
		return nil, errors.New("smtp: Connections is not 0 to 100")
	case c.Timeout < 0:
		return nil, errors.New("smtp: Timeout is negative")
	case strings.ContainsAny(c.Hello, "\r\n \x00"):
		return nil, errors.New("smtp: Hello is no name")
	}
	if m.config.Connections == 0 {
		m.config.Connections = 4
	}
	if m.config.Timeout == 0 {
		m.config.Timeout = 10 * time.Second
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		tlsConfig = c.TLS.Clone()
	}
	if tlsConfig.ServerName == "" {
		tlsConfig.ServerName = host
	}
	m.config.TLS = tlsConfig
	m.options = []gomail.Option{
		gomail.WithPort(m.port), gomail.WithTimeout(m.config.Timeout), gomail.WithTLSConfig(tlsConfig), gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	if c.Hello != "" {
		m.options = append(m.options, gomail.WithHELO(c.Hello))
	}
	switch c.Security {
	case StartTLS:
		m.options = append(m.options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case TLS:
		m.options = append(m.options, gomail.WithSSL())
	case Plain:
		m.options = append(m.options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if c.Username != "" {
		m.options = append(m.options, gomail.WithUsername(c.Username), gomail.WithPassword(c.Password), gomail.WithOpportunisticSMTPAuth(
			gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	_, err = gomail.NewClient(host, m.options...)
	return m, err
}

// Notify sends a message. What the server refuses for good (an answer of 5xx to
// sender, recipient or words) and what is no mail is permanent; everything else,
// a server that is away or asks to come later, may pass. All tries of one message
// have the same Message-ID.
func (m *Mailer) Notify(ctx context.Context, message notify.Message) error {
	letter, err := m.compose(message)
	if err != nil {
		return notify.Permanent(err)
	}
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	err = c.send(ctx, letter)
	if err == nil || letter.IsDelivered() {
		m.keep(c)
		return nil
	}
	_ = c.net.Close()
	var refused *gomail.SendError
	if errors.As(err, &refused) && refused.ErrorCode()/100 == 5 {
		return notify.Permanent(err)
	}
	return err
}

// compose makes the mail of a message.
func (m *Mailer) compose(message notify.Message) (*gomail.Msg, error) {
	if message.Channel != notify.Email {
		return nil, fmt.Errorf("smtp: a message by %s", message.Channel)
	}
	words, err := m.config.Templates.Render(message)
	if err != nil {
		return nil, err
	}
	address, err := mail.ParseAddress("<" + message.To + ">")
	if err != nil || address.Address != message.To {
		return nil, errors.New("smtp: a recipient that is no address")
	}
	letter := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary(lettered("boundary", message.ID)))
	letter.SetAddrHeaderFromMailAddress(gomail.HeaderFrom, m.from)
	if m.replyTo != nil {
		letter.SetAddrHeaderFromMailAddress(gomail.HeaderReplyTo, m.replyTo)
	}
	letter.SetAddrHeaderFromMailAddress(gomail.HeaderTo, &mail.Address{Name: words.Name, Address: message.To})
	letter.Subject(words.Subject)
	letter.SetDateWithValue(message.Time)
	_, domain, _ := strings.Cut(m.from.Address, "@")
	letter.SetMessageIDWithValue(lettered("message", message.ID) + "@" + domain)
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no holiday notes in answer
	letter.SetBodyString(gomail.TypeTextPlain, words.Text)
	letter.AddAlternativeString(gomail.TypeTextHTML, words.HTML)
	return letter, nil
}

// lettered makes a name of an id without digits: in a mail with a code there are
// no other six in a row.
func lettered(use, id string) string {
	sum := sha256.Sum256([]byte(use + "\n" + id))
	name := make([]byte, 0, 32)
	for _, b := range sum[:16] {
		name = append(name, 'a'+b>>4, 'a'+b&15)
	}
	return string(name)
}

// connect returns a connection that was kept and is still good, or a fresh one.
func (m *Mailer) connect(ctx context.Context) (*conn, error) {
	for {
		c, err := m.take()
		if err != nil {
			return nil, err
		}
		if c == nil {
			return m.dial(ctx)
		}
		if c.alive(ctx, m.config.Timeout) {
			return c, nil
		}
		_ = c.net.Close()
	}
}

// take returns the connection that was kept last, nil for none.
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

var errClosed = errors.New("smtp: the mailer is closed")

// dial connects, greets and logs in. What is left half done is closed.
func (m *Mailer) dial(ctx context.Context) (*conn, error) {
	c := new(conn)
	stop := func() bool { return true }
	dialer := func(dialing context.Context, network, address string) (_ net.Conn, err error) {
		if c.net, err = new(net.Dialer).DialContext(dialing, network, address); err != nil {
			return nil, err
		}
		stop = context.AfterFunc(ctx, func() { _ = c.net.Close() })
		if m.config.Security != TLS {
			return c.net, nil
		}
		secured := tls.Client(c.net, m.config.TLS)
		return secured, secured.HandshakeContext(dialing)
	}
	client, err := gomail.NewClient(m.host, append(slices.Clone(m.options), gomail.WithDialContextFunc(dialer))...)
	if err != nil {
		return nil, err
	}
	c.client = client
	c.smtp, err = client.DialToSMTPClientWithContext(ctx)
	if cut := !stop(); err != nil || cut {
		if c.net != nil {
			_ = c.net.Close()
		}
		return nil, errors.Join(err, ctx.Err())
	}
	return c, nil
}

// send sends a mail over a connection, which is cut when the context ends.
func (c *conn) send(ctx context.Context, letter *gomail.Msg) error {
	stop := context.AfterFunc(ctx, func() { _ = c.net.Close() })
	defer stop()
	return c.client.SendWithSMTPClient(c.smtp, letter)
}

// alive reports whether the server still listens.
func (c *conn) alive(ctx context.Context, timeout time.Duration) bool {
	stop := context.AfterFunc(ctx, func() { _ = c.net.Close() })
	defer stop()
	return c.smtp.UpdateDeadline(timeout) == nil && c.smtp.Reset() == nil
}

// keep keeps a connection for the next mail, if there is room.
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

// forget ends a connection that nobody has used for a while.
func (m *Mailer) forget(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.Index(m.kept, c); i >= 0 { // or else somebody has just taken it
		m.kept = slices.Delete(m.kept, i, i+1)
		_ = c.net.Close()
	}
}

// Close ends the connections that are kept. It comes after the engine's, which
// sends what waits; what is sent later fails.
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
