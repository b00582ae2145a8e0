package smtp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	server "github.com/emersion/go-smtp"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/smtp"
	"example.com/latchkey/notify/templates"
)

// post is a mail server whose answers a test chooses.
type post struct {
	*server.Server
	addr string

	mu       sync.Mutex
	mails    []received
	sessions int
	logins   []string
	open     []*server.Conn
	hello    string
	rcpt     func() error // its answer to a recipient
	data     func() error // its answer to the content
}

type received struct {
	from, to, text string
	tls            bool
}

func (p *post) NewSession(c *server.Conn) (server.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions++
	p.hello = c.Hostname()
	p.open = append(p.open, c)
	return &session{post: p, conn: c}, nil
}

type session struct {
	post *post
	conn *server.Conn
	mail received
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		s.post.mu.Lock()
		defer s.post.mu.Unlock()
		s.post.logins = append(s.post.logins, username)
		if password != "right" {
			return server.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *server.MailOptions) error {
	_, secured := s.conn.TLSConnectionState()
	s.mail = received{from: from, tls: secured}
	return nil
}

func (s *session) Rcpt(to string, _ *server.RcptOptions) error {
	s.mail.to = to
	if rcpt, _ := s.post.behaviour(); rcpt != nil {
		return rcpt()
	}
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if _, data := s.post.behaviour(); data != nil {
		if err := data(); err != nil {
			return err
		}
	}
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	s.mail.text = string(text)
	s.post.mails = append(s.post.mails, s.mail)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func (p *post) all() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.mails)
}

func (p *post) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions
}

// greeted returns the name in the last greeting.
func (p *post) greeted() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hello
}

// behave sets the answers from now on.
func (p *post) behave(rcpt, data func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rcpt, p.data = rcpt, data
}

func (p *post) behaviour() (rcpt, data func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rcpt, p.data
}

// hangUp ends every connection.
func (p *post) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

// serve starts a server, secured by a certificate for a name or an address if it is not "".
func serve(t *testing.T, name string, implicit bool) (*post, *x509.CertPool) {
	t.Helper()
	return serveAt(t, "127.0.0.1:0", name, implicit)
}

// serveAt is serve at an address. It returns nil if the machine lacks the address.
func serveAt(t *testing.T, at, name string, implicit bool) (*post, *x509.CertPool) {
	t.Helper()
	p := new(post)
	p.Server = server.NewServer(p)
	p.Domain, p.AllowInsecureAuth, p.ErrorLog = "post", false, quiet{}
	roots := x509.NewCertPool()
	if name != "" {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = []net.IP{ip}
		} else {
			template.DNSNames = []string{name}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		roots.AddCert(certificate)
		p.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	}
	l, err := net.Listen("tcp", at)
	if err != nil && at != "127.0.0.1:0" {
		return nil, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	if implicit {
		l = tls.NewListener(l, p.TLSConfig)
	}
	served := make(chan struct{})
	go func() {
		_ = p.Serve(l)
		close(served)
	}()
	t.Cleanup(func() {
		_ = p.Server.Close()
		<-served
	})
	return p, roots
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func newMailer(t *testing.T, c smtp.Config) *smtp.Mailer {
	t.Helper()
	set, err := templates.New(templates.Config{App: "Demo"})
	if err != nil {
		t.Fatal(err)
	}
	c.Templates = set
	if c.From == "" {
		c.From = "Demo <noreply@example.org>"
	}
	m, err := smtp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func magicLink() notify.Message { return templates.Sample(notify.MagicURL, notify.Email) }

func TestMailArrivesWithTextAndPage(t *testing.T) {
	p, _ := serve(t, "", false)
	m := newMailer(t, smtp.Config{Addr: p.addr, Security: smtp.Plain, ReplyTo: "help@example.org"})
	message := templates.Sample(notify.EmailOTP, notify.Email)
	message.Name = "Zoë Lovelace"
	if err := m.Notify(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	got := p.all()
	if len(got) != 1 || got[0].from != "noreply@example.org" || got[0].to != "ada@example.org" {
		t.Fatalf("%+v", got)
	}
	parsed, err := mail.ReadMessage(strings.NewReader(got[0].text))
	if err != nil {
		t.Fatal(err)
	}
	subject, _ := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	to, err := parsed.Header.AddressList("To")
	if err != nil || subject != "OTP for Demo Login" || to[0].Name != "Zoë Lovelace" || parsed.Header.Get("Auto-Submitted") != "auto-generated" ||
		parsed.Header.Get("Reply-To") != "<help@example.org>" || parsed.Header.Get("From") != `"Demo" <noreply@example.org>` {
		t.Errorf("%v, %+v", err, parsed.Header)
	}
	if when, err := parsed.Header.Date(); err != nil || !when.Equal(message.Time) {
		t.Errorf("%v, %v", when, err)
	}
	kind, parameters, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatal(kind, err)
	}
	parts := multipart.NewReader(parsed.Body, parameters["boundary"])
	for _, want := range []string{"text/plain", "text/html"} { // the preferred part comes last
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part)
		if err != nil || !strings.HasPrefix(part.Header.Get("Content-Type"), want) || !strings.Contains(string(text), "123456") {
			t.Errorf("%v, %+v, %s", err, part.Header, text)
		}
	}
	if digits := regexp.MustCompile(`\d{6,}`).FindAllString(got[0].text, -1); len(digits) != 2 { // once in each part
		t.Errorf("%q in the mail", digits)
	}
	if strings.Contains(got[0].text, "\n\r\n\r\n\r") || !strings.Contains(got[0].text, "Message-ID: <") {
		t.Error(got[0].text)
	}
}

func TestTLSIsDemandedAndChecked(t *testing.T) {
	for _, c := range []struct {
		name     string
		security smtp.Security
		cert     string // the name in the certificate of the server, "" without one
		implicit bool
		trusted  bool
		arrives  bool
	}{
		{"STARTTLS", smtp.StartTLS, "post.example", false, true, true},
		{"TLS from the first byte", smtp.TLS, "post.example", true, true, true},
		{"no STARTTLS", smtp.StartTLS, "", false, true, false},
		{"another name", smtp.StartTLS, "other.example", false, true, false},
		{"TLS, another name", smtp.TLS, "other.example", true, true, false},
		{"nobody vouches", smtp.StartTLS, "post.example", false, false, false},
		{"TLS to who does not know it", smtp.TLS, "", false, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, roots := serve(t, c.cert, c.implicit)
			config := smtp.Config{Addr: p.addr, Security: c.security, TLS: &tls.Config{ServerName: "post.example"}, Timeout: 2 * time.Second, Username: "demo", Password: hidden.New("right")}
			if c.trusted {
				config.TLS.RootCAs = roots
			}
			if c.security == smtp.TLS && !c.implicit { // the server waits for a command, and the client for a greeting
				config.Timeout = 100 * time.Millisecond
			}
			err := newMailer(t, config).Notify(t.Context(), magicLink())
			if notify.IsPermanent(err) || (err == nil) != c.arrives || (len(p.all()) == 1) != c.arrives {
				t.Errorf("%v, %d mails", err, len(p.all()))
			}
			if c.arrives && (!p.all()[0].tls || !slices.Equal(p.logins, []string{"demo"})) || !c.arrives && len(p.logins) > 0 {
				t.Errorf("%+v, logins %v", p.all(), p.logins)
			}
		})
	}
}

func TestWrongLoginMayPass(t *testing.T) {
	p, roots := serve(t, "post.example", false)
	m := newMailer(t, smtp.Config{Addr: p.addr, TLS: &tls.Config{ServerName: "post.example", RootCAs: roots}, Username: "demo", Password: hidden.New("wrong")})
	if err := m.Notify(t.Context(), magicLink()); err == nil || notify.IsPermanent(err) || strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
}

func TestRefusalsForGoodAreToldFromThoseThatPass(t *testing.T) {
	for code, permanent := range map[int]bool{550: true, 553: true, 552: true, 421: false, 450: false, 451: false, 452: false} {
		for _, step := range []string{"recipient", "words"} {
			permanent := permanent && !(code == 552 && step == "recipient") // RFC 5321, 4.5.3.1.10
			p, _ := serve(t, "", false)
			refusal := func() error { return &server.SMTPError{Code: code, Message: "no"} }
			if step == "recipient" {
				p.behave(refusal, nil)
			} else {
				p.behave(nil, refusal)
			}
			m := newMailer(t, smtp.Config{Addr: p.addr, Security: smtp.Plain})
			if err := m.Notify(t.Context(), magicLink()); err == nil || notify.IsPermanent(err) != permanent {
				t.Errorf("%d to the %s: %v", code, step, err)
			}
			p.behave(nil, nil)
			if err := m.Notify(t.Context(), magicLink()); err != nil { // the next mail is sent all the same
				t.Errorf("after %d to the %s: %v", code, step, err)
			}
		}
	}
}

func TestConnectionsAreKeptAndMadeAnew(t *testing.T) {
	p, _ := serve(t, "", false)
	m := newMailer(t, smtp.Config{Addr: p.addr, Security: smtp.Plain, Connections: 2})
	send := func() {
		t.Helper()
		if err := m.Notify(t.Context(), magicLink()); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		send()
	}
	if p.count() != 1 {
		t.Errorf("%d connections for five mails, one by one", p.count())
	}
	p.hangUp() // between two mails
	send()
	var group sync.WaitGroup
	for range 20 {
		group.Go(send)
	}
	group.Wait()
	if got := p.all(); len(got) != 26 {
		t.Errorf("%d mails", len(got))
	}
	before := p.count()
	send()
	if p.count() != before {
		t.Error("no connection was kept")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Notify(t.Context(), magicLink()); err == nil || notify.IsPermanent(err) {
		t.Errorf("after Close: %v", err)
	}
}

func TestServerThatStallsOrDropsDoesNotHoldAnything(t *testing.T) {
	p, _ := serve(t, "", false)
	m := newMailer(t, smtp.Config{Addr: p.addr, Security: smtp.Plain})
	reached, stop := make(chan struct{}), make(chan struct{})
	p.behave(func() error {
		close(reached)
		<-stop
		return nil
	}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	if err := m.Notify(ctx, magicLink()); err == nil || notify.IsPermanent(err) {
		t.Errorf("stalled: %v", err)
	}
	close(stop)

	p.behave(func() error { p.hangUp(); return nil }, nil)
	if err := m.Notify(t.Context(), magicLink()); err == nil || notify.IsPermanent(err) {
		t.Errorf("dropped: %v", err)
	}
	p.behave(nil, nil)
	if err := m.Notify(t.Context(), magicLink()); err != nil {
		t.Errorf("come back: %v", err)
	}

	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	m = newMailer(t, smtp.Config{Addr: silent.Addr().String(), Security: smtp.Plain, Timeout: 50 * time.Millisecond})
	if err := m.Notify(t.Context(), magicLink()); err == nil || notify.IsPermanent(err) {
		t.Errorf("silent: %v", err)
	}
	if err := silent.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Notify(t.Context(), magicLink()); err == nil || notify.IsPermanent(err) {
		t.Errorf("away: %v", err)
	}
	if err := m.Notify(ctx, magicLink()); err == nil || notify.IsPermanent(err) {
		t.Errorf("cancelled: %v", err)
	}
}

// AC-112: for every content of a message, the mail has the expected headers, one
// recipient, and no line from an attacker.
func TestAC112NothingReachesTheHeaders(t *testing.T) {
	p, _ := serve(t, "", false)
	m := newMailer(t, smtp.Config{Addr: p.addr, Security: smtp.Plain})
	if err := m.Notify(t.Context(), templates.Sample(notify.Invitation, notify.Email)); err != nil {
		t.Fatal(err)
	}
	want := headers(t, p.all()[0].text)
	for _, hostile := range []string{
		"x\r\nBcc: mallory@evil.example", "x\nBcc: mallory@evil.example", "x\rBcc: y", "x\r\n\r\nbody", "x\x00y", "x\u2028Bcc: y", "x\ty",
		`x" <mallory@evil.example>, "y`, "x>, <mallory@evil.example", "=?utf-8?q?=0D=0ABcc:_mallory=40evil.example?=", "x\r\n.\r\nMAIL FROM:<a@b>", "\xff\xfe\r\n",
		strings.Repeat("x ", 2000),
	} {
		sample := templates.Sample(notify.Invitation, notify.Email)
		sample.ID, sample.Name, sample.TeamName, sample.Inviter, sample.Phrase = hostile, hostile, hostile, hostile, hostile
		sample.Client.UserAgent, sample.Client.Browser, sample.Client.OS, sample.Locale = hostile, hostile, hostile, hostile
		before := len(p.all())
		if err := m.Notify(t.Context(), sample); err != nil {
			t.Errorf("%q: %v", hostile, err)
			continue
		}
		got := p.all()[before:]
		if len(got) != 1 || got[0].to != "ada@example.org" || !slices.Equal(headers(t, got[0].text), want) {
			t.Errorf("%q: %d mails, %q", hostile, len(got), headers(t, got[0].text))
		}
		parsed, err := mail.ReadMessage(strings.NewReader(got[0].text))
		if err != nil {
			t.Fatal(err)
		}
		if to, err := parsed.Header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != "ada@example.org" {
			t.Errorf("%q: %v, %v", hostile, to, err)
		}
	}
	for _, to := range []string{"", "ada", "a@b, c@d", "a@b>\r\nRCPT TO:<c@d", "ada@example.org\r\n", "Ada <ada@example.org>", "a@b\x00", "<a@b>"} {
		sample := magicLink()
		sample.To = to
		if err := m.Notify(t.Context(), sample); !notify.IsPermanent(err) {
			t.Errorf("to %q: %v", to, err)
		}
	}
	if err := m.Notify(t.Context(), templates.Sample(notify.PhoneOTP, notify.SMS)); !notify.IsPermanent(err) {
		t.Errorf("an SMS by mail: %v", err)
	}
}

// headers names the headers of a mail, in order.
func headers(t *testing.T, text string) (names []string) {
	t.Helper()
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			continue
		}
		name, _, _ := strings.Cut(line, ":")
		names = append(names, name)
	}
	return names
}

func TestTriesOfOneMessageHaveOneMessageID(t *testing.T) {
	p, _ := serve(t, "", false)
	m := newMailer(t, smtp.Config{Addr: p.addr, Security: smtp.Plain})
	first := magicLink()
	second := magicLink()
	second.ID = "another"
	for _, message := range []notify.Message{first, first, second} {
		if err := m.Notify(t.Context(), message); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for _, got := range p.all() {
		ids = append(ids, regexp.MustCompile(`(?m)^Message-ID: <\S+@example\.org>`).FindString(got.text))
	}
	if ids[0] == "" || ids[0] != ids[1] || ids[0] == ids[2] {
		t.Error(ids)
	}
}

func TestConfigurationsThatCannotBeAreRefused(t *testing.T) {
	set, err := templates.New(templates.Config{App: "Demo"})
	if err != nil {
		t.Fatal(err)
	}
	good := smtp.Config{Addr: "127.0.0.1:25", From: "a@example.org", Templates: set}
	if _, err := smtp.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*smtp.Config){
		"no address":    func(c *smtp.Config) { c.Addr = "" },
		"no port":       func(c *smtp.Config) { c.Addr = "localhost" },
		"port":          func(c *smtp.Config) { c.Addr = "localhost:0" },
		"no sender":     func(c *smtp.Config) { c.From = "" },
		"sender":        func(c *smtp.Config) { c.From = "a@example.org\r\nBcc: b@example.org" },
		"reply":         func(c *smtp.Config) { c.ReplyTo = "nobody" },
		"no words":      func(c *smtp.Config) { c.Templates = nil },
		"security":      func(c *smtp.Config) { c.Security = 7 },
		"login, no TLS": func(c *smtp.Config) { c.Security, c.Username = smtp.Plain, "demo" },
		"connections":   func(c *smtp.Config) { c.Connections = -1 },
		"hello":         func(c *smtp.Config) { c.Hello = "a\r\nQUIT" },
		"underscore":    func(c *smtp.Config) { c.Hello = "shop_web_1" },
		"hyphen":        func(c *smtp.Config) { c.Hello = "-x" },
		"dots":          func(c *smtp.Config) { c.Hello = "a..b" },
		"long hello":    func(c *smtp.Config) { c.Hello = strings.Repeat("a.", 300) + "b" },
		"bare address":  func(c *smtp.Config) { c.Hello = "[2001:db8::7]" },
		"no address in": func(c *smtp.Config) { c.Hello = "[here]" },
		"bare IPv6":     func(c *smtp.Config) { c.Addr = "::1:25" },
		"name of port":  func(c *smtp.Config) { c.Addr = "localhost:smtp" },
		"local part":    func(c *smtp.Config) { c.From = "bücher@example.org" },
		"quoted local":  func(c *smtp.Config) { c.From = `"a b"@example.org` },
		"no domain":     func(c *smtp.Config) { c.From = "a@-ü-.example" },
		"comment":       func(c *smtp.Config) { c.From = "Support (Billing) <a@example.org>" },
		"comma":         func(c *smtp.Config) { c.From = "Bread, Ltd. <a@example.org>" },
		"reply's local": func(c *smtp.Config) { c.ReplyTo = "bücher@example.org" },
		"time":          func(c *smtp.Config) { c.Timeout = -1 },
	} {
		c := good
		change(&c)
		if _, err := smtp.New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
