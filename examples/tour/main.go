// Tour shows the ways in besides a password, from the command line. The
// messages that would go out by mail or SMS are printed; with -smtp mail goes to
// that server, and the tour asks for what is in it.
//
//	go run ./examples/tour -method magic|otp|phone
//	go run ./examples/tour -method magic -smtp 127.0.0.1:1025 -email you@example.org
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/smtp"
	"example.com/latchkey/notify/templates"
	"example.com/latchkey/store/memory"
)

// options are what the command line says.
type options struct{ method, email, phone, smtp string }

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.method, "method", "magic", "magic: a link by mail; otp: a code by mail; phone: a code by SMS")
	flag.StringVar(&o.email, "email", "ada@example.org", "address for magic and otp")
	flag.StringVar(&o.phone, "phone", "+14155550100", "number for phone")
	flag.StringVar(&o.smtp, "smtp", "", "host:port of a mail server on this machine, without TLS")
	flag.Parse()
	if err := run(context.Background(), o, os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// tour is one walk through.
type tour struct {
	options
	guest  *latchkey.Guest
	outbox *notify.Outbox
	in     *bufio.Scanner
	out    io.Writer
}

func run(ctx context.Context, o options, in io.Reader, out io.Writer) (err error) {
	t := tour{options: o, outbox: new(notify.Outbox), in: bufio.NewScanner(in), out: out}
	config := latchkey.Config{
		Keys:          latchkey.Keys{Active: latchkey.GenerateKey()},
		Notifier:      t.outbox,
		SMS:           t.outbox,
		RedirectHosts: []string{"app.example.org"},
	}
	if o.smtp != "" {
		words, err := templates.New(templates.Config{App: "Tour"})
		if err != nil {
			return err
		}
		mailer, err := smtp.New(smtp.Config{Addr: o.smtp, Security: smtp.Plain, From: "Tour <tour@example.org>", Templates: words})
		if err != nil {
			return err
		}
		defer mailer.Close()
		config.Notifier = mailer
	}
	s := memory.Open()
	engine, err := latchkey.New(s, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(), s.Close()) }()
	t.guest = engine.Guest(latchkey.Client{UserAgent: "Tour/1.0"})
	return t.signIn(ctx)
}

func (t *tour) signIn(ctx context.Context) (err error) {
	var token *latchkey.Token
	to := t.email
	switch t.method {
	case "magic":
		token, err = t.guest.CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{Email: t.email, URL: "https://app.example.org/in", Phrase: true})
	case "otp":
		token, err = t.guest.CreateEmailToken(ctx, latchkey.NewEmailToken{Email: t.email, Phrase: true})
	case "phone":
		to = t.phone
		token, err = t.guest.CreatePhoneToken(ctx, "", t.phone)
	default:
		return fmt.Errorf("-method is magic, otp or phone, not %q", t.method)
	}
	if err != nil {
		return err
	}
	userID, secret, err := t.message(ctx, to, token)
	if err != nil {
		return err
	}
	if t.method == "magic" { // what the page behind the link does before anybody presses its button
		seen, err := t.guest.InspectToken(ctx, userID, secret)
		if err != nil {
			return err
		}
		fmt.Fprintln(t.out, "The link is good until", seen.Expire.Format("15:04"))
	}
	session, err := t.guest.CreateSession(ctx, userID, secret)
	if err != nil {
		return err
	}
	account, err := t.guest.Authenticate(ctx, session.Secret)
	if err != nil {
		return err
	}
	user, err := account.User(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "Signed in by %s: user %s, e-mail %q (verified: %v), phone %q (verified: %v)\n",
		session.Provider, user.ID, user.Email, user.EmailVerification, user.Phone, user.PhoneVerification)
	_, err = t.guest.CreateSession(ctx, userID, secret)
	fmt.Fprintln(t.out, "Once more:", err)
	return nil
}

// message returns what is in the message with a token: from the outbox, which it
// prints, or from whoever got the mail.
func (t *tour) message(ctx context.Context, to string, token *latchkey.Token) (userID, secret string, err error) {
	if token.Phrase != "" {
		fmt.Fprintln(t.out, "The page shows the security phrase", token.Phrase)
	}
	if t.smtp != "" && to == t.email {
		fmt.Fprintf(t.out, "A mail is on its way to %s. Its link or code: ", to)
		if !t.in.Scan() {
			return "", "", errors.Join(t.in.Err(), io.ErrUnexpectedEOF)
		}
		line := strings.TrimSpace(t.in.Text())
		if u, err := url.Parse(line); err == nil && u.Query().Has("secret") {
			return u.Query().Get("userId"), u.Query().Get("secret"), nil
		}
		return token.UserID, line, nil
	}
	message, err := t.outbox.Next(ctx, to)
	if err != nil {
		return "", "", err
	}
	fmt.Fprintf(t.out, "To %s:\n  %s\n", message.To, message.Link+message.Code())
	if message.Phrase != "" {
		fmt.Fprintln(t.out, "  security phrase:", message.Phrase)
	}
	return message.UserID, message.Secret, nil
}
