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
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

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
	// Addr is the address of the server: mail.example.org:587, 192.0.2.7:587 or
	// [2001:db8::7]:587. A certificate for an address names the address.
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
	// From is the sender, "noreply@example.org" or "Bread <noreply@example.org>". A domain
	// in another script is sent in ASCII (RFC 5891). The part before the @ is in ASCII.
	// ReplyTo is the address for replies, in the same form. "" means From.
	From, ReplyTo string
	// Hello is the host name in the greeting to the server, or an address in brackets. ""
	// means the name of this machine, if it has a domain, and else the address of this end
	// of the connection (RFC 5321, 4.1.3).
	Hello string
	// Templates render the mails.
	Templates *templates.Set
	// Connections is the number of open connections that are kept for later mails,
	// each for a minute. 0 means 4. A connection is opened when it is needed.
	Connections int
	// Timeout is the time limit of each step: of connecting, of TLS, and of every answer of
	// the server. 0 means 30 seconds. For the answer after the content the server has ten
	// minutes, or until the context ends: it may be delivering the mail already (RFC 5321,
	// 4.5.3.2).
	Timeout time.Duration
}

// The defaults of Config, and the time for the answer after the content.
const (
	connections = 4
	timeout     = 30 * time.Second
	afterDot    = 10 * time.Minute
)

// Mailer is a [notify.Notifier] that sends mail. It is safe for concurrent use.
type Mailer struct {
	config        Config
	host, port    string
	from, replyTo *mail.Address
	dialer        func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	kept   []*conn
	closed bool
}

// New returns a mailer. It does not connect yet: see [Mailer.Check].
func New(c Config) (*Mailer, error) {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("smtp: Addr %q is not host:port", c.Addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" || n == 0 {
		return nil, fmt.Errorf("smtp: Addr %q is not host:port", c.Addr)
	}
	m := &Mailer{config: c, host: host, port: port, dialer: new(net.Dialer).DialContext}
	if m.from, err = sender("From", c.From); err != nil {
		return nil, err
	}
	if c.ReplyTo != "" {
		if m.replyTo, err = sender("ReplyTo", c.ReplyTo); err != nil {
			return nil, err
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
	}
	if m.config.Hello, err = hello(c.Hello); err != nil {
		return nil, err
	}
	if m.config.Connections == 0 {
		m.config.Connections = connections
	}
	if m.config.Timeout == 0 {
		m.config.Timeout = timeout
	}
	m.config.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		m.config.TLS = c.TLS.Clone()
	}
	if m.config.TLS.ServerName == "" {
		m.config.TLS.ServerName, _, _ = strings.Cut(host, "%") // a certificate has no zone
	}
	return m, nil
}

// sender reads an address of the configuration, and brings its domain to ASCII.
func sender(field, text string) (*mail.Address, error) {
	a, err := mail.ParseAddress(text)
	if err != nil {
		return nil, fmt.Errorf("smtp: %s %q is not an address", field, text)
	}
	if strings.ContainsRune(unquoted(text), '(') {
		return nil, fmt.Errorf("smtp: %s %q has a comment, which would be lost: put the name in quotation marks", field, text)
	}
	at := strings.LastIndexByte(a.Address, '@')
	local, domain := a.Address[:at], a.Address[at+1:]
	if !isASCII(local) || strings.ContainsAny(local, " \"(),:;<>@[\\]") {
		return nil, fmt.Errorf("smtp: %s %q has signs before the @ that many servers refuse", field, text)
	}
	if !isASCII(domain) {
		if domain, err = domains.ToASCII(domain); err != nil {
			return nil, fmt.Errorf("smtp: %s %q has no domain", field, text)
		}
	}
	a.Address = local + "@" + domain
	return a, nil
}

// domains maps and checks names as for a look-up in the DNS.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// unquoted returns a text without its quoted parts.
func unquoted(text string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted:
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

func isASCII(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) }

// hello reads the name for the greeting.
func hello(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if inner, found := strings.CutPrefix(text, "["); found {
		inner = strings.TrimPrefix(strings.TrimSuffix(inner, "]"), "IPv6:")
		if ip, err := netip.ParseAddr(inner); err == nil && literal(ip) == text {
			return text, nil
		}
	} else if name, err := domains.ToASCII(text); err == nil && !strings.HasSuffix(name, ".") {
		return name, nil
	}
	return "", fmt.Errorf("smtp: Hello %q is neither a host name nor an address in brackets", text)
}

// literal returns an address as SMTP writes it in the place of a name.
func literal(ip netip.Addr) string {
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		return "[IPv6:" + ip.String() + "]"
	}
	return "[" + ip.String() + "]"
}

// Check tries the set-up: it connects, upgrades to TLS, logs in, and sends NOOP. It sends no
// mail. A host calls it at its start, to fail early. The error is a [*notify.Failure] that
// names the stage (connect, greeting, tls, hello, login, noop) and the numbers of the answer or
// the class of the network error. It wraps the error with the words of the server.
func (m *Mailer) Check(ctx context.Context) error {
	m.mu.Lock()
	closed := m.closed
	m.mu.Unlock()
	if closed {
		return errClosed
	}
	c, err := m.dial(ctx)
	if err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	if err := c.step(ctx, "noop", m.config.Timeout, c.smtp.Noop); err != nil {
		_ = c.net.Close()
		return fmt.Errorf("smtp: %w", err)
	}
	m.keep(c)
	return nil
}

// Notify sends a message. All tries of one message have the same Message-ID. Its errors are
// [*notify.Failure]s.
//
// An error is permanent ([notify.IsPermanent]) if the message is not a mail, if
// the server answers 5xx to the sender, the recipient or the content, or if the whole mail was
// handed over and no answer came: the mail may have arrived. Every other error may pass: the
// server may be down, or may ask to try later. So do an answer whose enhanced code (RFC 3463)
// begins with 4, 552 to a recipient (RFC 5321, 4.5.3.1.10), and a demand for a login.
func (m *Mailer) Notify(ctx context.Context, message notify.Message) error {
	letter, err := m.compose(message)
	if err != nil {
		return notify.Permanent(&notify.Failure{Stage: "compose", Reason: "the message is no mail", Err: err})
	}
	c, err := m.connect(ctx)
	if err != nil {
		return err
	}
	f := c.send(ctx, m.config.Timeout, m.from.Address, message.To, letter)
	switch {
	case f == nil:
		m.keep(c)
		return nil
	case answered(f) == 0 || answered(f) == 421: // the server has gone, or is about to
		_ = c.net.Close()
	default:
		m.keep(c)
	}
	if f.Stage == "answer" && answered(f) == 0 || isFinal(f) {
		return notify.Permanent(f)
	}
	return f
}

// compose returns the mail for a message.
func (m *Mailer) compose(message notify.Message) ([]byte, error) {
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
	var text bytes.Buffer
	_, err = letter.WriteTo(&text)
	return text.Bytes(), err
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
