// Package smtp sends messages as mail through one SMTP server.
//
//	mailer, err := smtp.New(smtp.Config{
//		Addr: "mail.example.org:587", Username: "bread", Password: hidden.New(password),
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

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

// Security is how a connection is protected.
type Security int

// The ways to protect a connection. With StartTLS and TLS nothing is sent unless the
// server has a valid certificate for its name.
const (
	StartTLS Security = iota // a plain connection is upgraded to TLS, or given up; port 587
	TLS                      // TLS from the first byte; port 465
	Plain                    // no protection, for a server on the same machine; no login
)

// Config names the mail server and the sender.
type Config struct {
	// Addr is the address of the server, host:port.
	Addr     string
	Security Security
	// TLS is the configuration for StartTLS and TLS. nil means the root certificates
	// of the system, and at least TLS 1.2.
	TLS *tls.Config
	// Username and Password are for a server that requires a login. The best method
	// that the server knows is used, of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN and LOGIN.
	// An empty Username means no login.
	Username string
	Password hidden.Text
	// From is the sender, "noreply@example.org" or "Bread <noreply@example.org>".
	// ReplyTo is the address for replies. "" means From.
	From, ReplyTo string
	// Hello is the host name in the greeting to the server. "" means the name of this
	// machine.
	Hello string
	// Templates render the mails.
	Templates *templates.Set
	// Connections is the number of open connections that are kept for later mails,
	// each for a minute. 0 means 4. A connection is opened when it is needed.
	Connections int
	// Timeout is the time limit for connecting, and for sending one mail. 0 means 10
	// seconds.
	Timeout time.Duration
}

// idle is how long an unused connection is kept.
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
	timer  *time.Timer // closes the connection while it is kept
}

// New returns a mailer. It does not connect yet.
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
	m.from, err = mail.ParseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("smtp: From %q is not an address", c.From)
	}
	if c.ReplyTo != "" {
		m.replyTo, err = mail.ParseAddress(c.ReplyTo)
		if err != nil {
			return nil, fmt.Errorf("smtp: ReplyTo %q is not an address", c.ReplyTo)
		}
	}
	switch {
	case c.Templates == nil:
		return nil, errors.New("smtp: no Templates")
	case c.Security < StartTLS || c.Security > Plain:
		return nil, errors.New("smtp: no such Security")
	case c.Security == Plain && c.Username != "":
		return nil, errors.New("smtp: Plain allows no login, which would send the password without TLS")
	case c.Connections < 0 || c.Connections > 100:
		return nil, errors.New("smtp: Connections is not 0 to 100")
	case c.Timeout < 0:
		return nil, errors.New("smtp: Timeout is negative")
	case strings.ContainsAny(c.Hello, "\r\n \x00"):
		return nil, errors.New("smtp: Hello is not a host name")
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
		m.options = append(m.options, gomail.WithUsername(c.Username), gomail.WithPassword(c.Password.Reveal()), gomail.WithOpportunisticSMTPAuth(
			gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	_, err = gomail.NewClient(host, m.options...)
	return m, err
}

// Notify sends a message. All tries of one message have the same Message-ID.
//
// An error is permanent ([notify.IsPermanent]) if the message is not a mail, or if
// the server answers 5xx to the sender, the recipient or the content. Every other
// error may pass: the server may be down, or may ask to try later.
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

// compose returns the mail for a message.
func (m *Mailer) compose(message notify.Message) (*gomail.Msg, error) {
	if message.Channel != notify.Email {
		return nil, fmt.Errorf("smtp: a message by %s is not a mail", message.Channel)
	}
	words, err := m.config.Templates.Render(message)
	if err != nil {
		return nil, err
	}
	address, err := mail.ParseAddress("<" + message.To + ">")
	if err != nil || address.Address != message.To {
		return nil, errors.New("smtp: the recipient is not an address")
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
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: asks for no automatic replies
	letter.SetBodyString(gomail.TypeTextPlain, words.Text)
	letter.AddAlternativeString(gomail.TypeTextHTML, words.HTML)
	return letter, nil
}

// lettered derives a name without digits from an id. So the code in a mail is the
// only run of six digits in it.
func lettered(use, id string) string {
	sum := sha256.Sum256([]byte(use + "\n" + id))
	name := make([]byte, 0, 32)
	for _, b := range sum[:16] {
		name = append(name, 'a'+b>>4, 'a'+b&15)
	}
	return string(name)
}

// connect returns a kept connection that still works, or a new one.
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

// take returns the connection that was kept last, nil if there is none.
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

// dial connects, greets and logs in. After a failure it closes the connection.
func (m *Mailer) dial(ctx context.Context) (*conn, error) {
	c := new(conn)
	stop := func() bool { return true }
	dialer := func(dialing context.Context, network, address string) (_ net.Conn, err error) {
		c.net, err = new(net.Dialer).DialContext(dialing, network, address)
		if err != nil {
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
	cut := !stop()
	if err != nil || cut {
		if c.net != nil {
			_ = c.net.Close()
		}
		return nil, errors.Join(err, ctx.Err())
	}
	return c, nil
}

// send sends a mail over a connection. The connection is closed if the context ends
// first.
func (c *conn) send(ctx context.Context, letter *gomail.Msg) error {
	stop := context.AfterFunc(ctx, func() { _ = c.net.Close() })
	defer stop()
	return c.client.SendWithSMTPClient(c.smtp, letter)
}

// alive reports whether the server still answers.
func (c *conn) alive(ctx context.Context, timeout time.Duration) bool {
	stop := context.AfterFunc(ctx, func() { _ = c.net.Close() })
	defer stop()
	return c.smtp.UpdateDeadline(timeout) == nil && c.smtp.Reset() == nil
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
