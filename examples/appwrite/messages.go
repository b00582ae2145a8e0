package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"example.com/latchkey/notify"
)

// mailer sends e-mail to one SMTP server, without TLS or a login.
type mailer struct{ addr, project string }

func (m mailer) Notify(ctx context.Context, n notify.Message) error {
	text, err := m.compose(n)
	if err != nil {
		return notify.Permanent(err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", m.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // the client of net/smtp knows no context
	host, _, _ := net.SplitHostPort(m.addr)
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	if err := c.Mail("noreply@localhost"); err != nil {
		return err
	}
	if err := c.Rcpt(n.To); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // the message is on its way
	return nil
}

// words are the subject and the lines of a message.
func (m mailer) words(n notify.Message) (subject string, lines []string) {
	valid := fmt.Sprintf("It can be used once, within %d minutes.", int(n.Expire.Sub(n.Time).Round(time.Minute).Minutes()))
	switch n.Kind {
	case notify.MagicURL:
		subject, lines = m.project+" Login", []string{"Follow this link to sign in to " + m.project + ":", n.Link, valid}
	default:
		subject, lines = "OTP for "+m.project+" Login", []string{"Your code for " + m.project + ":", n.Secret, valid}
	}
	if n.Phrase != "" {
		lines = append(lines, "Security phrase: "+n.Phrase)
	}
	return subject, append(lines, "If you did not ask for it, leave it be.")
}

func (m mailer) compose(n notify.Message) ([]byte, error) {
	subject, lines := m.words(n)
	var plain, rich bytes.Buffer
	rich.WriteString("<!doctype html><html><body>\n")
	for _, line := range lines {
		fmt.Fprintf(&plain, "%s\r\n\r\n", line)
		if line == n.Link && line != "" {
			fmt.Fprintf(&rich, "<p><a href=\"%[1]s\">%[1]s</a></p>\n", html.EscapeString(line))
		} else {
			fmt.Fprintf(&rich, "<p>%s</p>\n", html.EscapeString(line))
		}
	}
	rich.WriteString("</body></html>\n")
	var out bytes.Buffer
	parts := multipart.NewWriter(&out)
	if err := parts.SetBoundary("=_part"); err != nil {
		return nil, err
	}
	for _, header := range [][2]string{
		{"From", (&mail.Address{Name: m.project, Address: "noreply@localhost"}).String()}, {"To", (&mail.Address{Name: n.Name, Address: n.To}).String()},
		{"Subject", mime.QEncoding.Encode("utf-8", subject)}, {"Date", n.Time.Format(time.RFC1123Z)}, {"Message-ID", "<" + strings.Map(lettered, n.ID) + "@localhost>"},
		{"MIME-Version", "1.0"}, {"Content-Type", `multipart/alternative; boundary="=_part"`},
	} {
		fmt.Fprintf(&out, "%s: %s\r\n", header[0], header[1])
	}
	out.WriteString("\r\n")
	for _, part := range []struct {
		kind string
		text []byte
	}{{"text/plain", plain.Bytes()}, {"text/html", rich.Bytes()}} {
		w, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {part.kind + "; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
		if err != nil {
			return nil, err
		}
		q := quotedprintable.NewWriter(w)
		if _, err := q.Write(part.text); err != nil {
			return nil, err
		}
		if err := q.Close(); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), parts.Close()
}

// lettered spells digits as letters: in a mail with a code there are no other six
// in a row.
func lettered(r rune) rune {
	if r >= '0' && r <= '9' {
		return r - '0' + 'g'
	}
	return r
}

// texter sends SMS by a webhook.
type texter struct{ url string }

func (t texter) Notify(ctx context.Context, n notify.Message) error {
	body, err := json.Marshal(map[string]string{"to": n.To, "body": n.Secret})
	if err != nil {
		return notify.Permanent(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return notify.Permanent(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the webhook answers %d", answer.StatusCode)
	}
	return nil
}
