// Tour shows the ways to sign in without a password, and how to recover from a lost
// password, on the command line. It prints the messages that a host would send by mail
// or SMS. With -smtp it sends mail to that server, and asks for the link or code in it.
//
//	go run ./examples/tour -method magic|otp|phone
//	go run ./examples/tour -verify
//	go run ./examples/tour -recover
//	go run ./examples/tour -mfa
//	go run ./examples/tour -passkey
//	go run ./examples/tour -oauth
//	go run ./examples/tour -oauth -issuer https://login.example.com -client ID -client-secret SECRET
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

	"github.com/boombuler/barcode/qr"

	"example.com/latchkey"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/smtp"
	"example.com/latchkey/notify/templates"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store/memory"
)

// options are the flags of the command line.
type options struct {
	method, email, phone, smtp string
	verify, recover            bool
	mfa, passkey               bool

	oauth                  bool
	issuer, client, secret string
	// code returns the code of the authenticator app for a seed. If it is nil, the
	// tour asks for the code.
	code func(seed string) string
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.method, "method", "magic", "magic: a link by mail; otp: a code by mail; phone: a code by SMS")
	flag.StringVar(&o.email, "email", "ada@example.org", "address for magic and otp")
	flag.StringVar(&o.phone, "phone", "+14155550100", "number for phone")
	flag.BoolVar(&o.verify, "verify", false, "sign up with a password, and verify the address and the number")
	flag.BoolVar(&o.recover, "recover", false, "sign up with a password, lose it, and choose a new one")
	flag.BoolVar(&o.mfa, "mfa", false, "sign up with a password, and enrol an authenticator app")
	flag.BoolVar(&o.passkey, "passkey", false, "sign up with a password, and make a passkey on a device of the tour's own")
	flag.BoolVar(&o.oauth, "oauth", false, "sign up by another service: one of the tour's own, unless -issuer names one")
	flag.StringVar(&o.issuer, "issuer", "", "address of a service that speaks OpenID Connect, at which http://127.0.0.1:8085/callback is registered")
	flag.StringVar(&o.client, "client", "", "client id at the service")
	flag.StringVar(&o.secret, "client-secret", "", "client secret at the service")
	flag.StringVar(&o.smtp, "smtp", "", "host:port of a mail server on this machine, without TLS")
	flag.Parse()
	if err := run(context.Background(), o, os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// tour is one run of the tour.
type tour struct {
	options
	guest  *latchkey.Guest
	outbox *notify.Mailbox
	in     *bufio.Scanner
	out    io.Writer
}

func run(ctx context.Context, o options, in io.Reader, out io.Writer) (err error) {
	t := tour{options: o, outbox: new(notify.Mailbox), in: bufio.NewScanner(in), out: out}
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
	service := service{out: out}
	if o.oauth {
		provider, err := service.open(ctx, o)
		if err != nil {
			return err
		}
		defer service.close()
		config.Providers = []oauth.Provider{provider}
	}
	if o.passkey {
		if config.Passkeys, err = newPasskeys(); err != nil {
			return err
		}
	}
	s := memory.Open()
	engine, err := latchkey.New(s, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(), s.Close()) }()
	t.guest = engine.Guest(latchkey.Client{UserAgent: "Tour/1.0"})
	switch {
	case o.verify:
		return t.verifyAddresses(ctx)
	case o.recover:
		return t.recoverPassword(ctx)
	case o.mfa:
		return t.twoFactors(ctx)
	case o.passkey:
		return t.byPasskey(ctx)
	case o.oauth:
		return t.byService(ctx, &service)
	}
	return t.signIn(ctx)
}

// signUp makes an account with a password and signs in.
func (t *tour) signUp(ctx context.Context, password string) (*latchkey.Account, error) {
	if _, err := t.guest.CreateAccount(ctx, latchkey.NewAccount{Email: t.email, Password: password}); err != nil {
		return nil, err
	}
	session, err := t.guest.CreateEmailPasswordSession(ctx, t.email, password)
	if err != nil {
		return nil, err
	}
	return t.guest.Authenticate(ctx, session.Secret.Reveal())
}

func (t *tour) verifyAddresses(ctx context.Context) error {
	const password = "correct horse battery"
	account, err := t.signUp(ctx, password)
	if err != nil {
		return err
	}
	token, err := account.CreateEmailVerification(ctx, "https://app.example.org/verify")
	if err != nil {
		return err
	}
	userID, secret, err := t.message(ctx, t.email, token)
	if err != nil {
		return err
	}
	if _, err := t.guest.ConfirmEmailVerification(ctx, userID, secret); err != nil {
		return err
	}
	if _, err := account.UpdatePhone(ctx, t.phone, password); err != nil {
		return err
	}
	if token, err = account.CreatePhoneVerification(ctx); err != nil {
		return err
	}
	if userID, secret, err = t.message(ctx, t.phone, token); err != nil {
		return err
	}
	if _, err := t.guest.ConfirmPhoneVerification(ctx, userID, secret); err != nil {
		return err
	}
	user, err := account.User(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "Verified: e-mail %v, phone %v\n", user.EmailVerification, user.PhoneVerification)
	_, err = account.CreateEmailVerification(ctx, "https://app.example.org/verify")
	fmt.Fprintln(t.out, "Once more:", err)
	return nil
}

func (t *tour) recoverPassword(ctx context.Context) error {
	const old, fresh = "correct horse battery", "another horse battery"
	account, err := t.signUp(ctx, old)
	if err != nil {
		return err
	}
	token, err := t.guest.CreateRecovery(ctx, latchkey.NewRecovery{Email: t.email, URL: "https://app.example.org/recover"})
	if err != nil {
		return err
	}
	userID, secret, err := t.message(ctx, t.email, token)
	if err != nil {
		return err
	}
	if _, err := t.guest.ConfirmRecovery(ctx, userID, secret, fresh); err != nil {
		return err
	}
	_, err = account.User(ctx)
	fmt.Fprintln(t.out, "The session from before:", err)
	_, err = t.guest.CreateEmailPasswordSession(ctx, t.email, old)
	fmt.Fprintln(t.out, "The old password:", err)
	session, err := t.guest.CreateEmailPasswordSession(ctx, t.email, fresh)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "Signed in by %s with the new one\n", session.Provider)
	return nil
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
	if t.method == "magic" { // the page of the link does this before the user presses its button
		seen, err := t.guest.InspectToken(ctx, userID, secret)
		if err != nil {
			return err
		}
		fmt.Fprintln(t.out, "The link is valid until", seen.Expire.Format("15:04"))
	}
	session, err := t.guest.CreateSession(ctx, userID, secret)
	if err != nil {
		return err
	}
	account, err := t.guest.Authenticate(ctx, session.Secret.Reveal())
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

func (t *tour) twoFactors(ctx context.Context) error {
	const password = "correct horse battery"
	account, err := t.signUp(ctx, password)
	if err != nil {
		return err
	}
	codes, err := account.CreateMFARecoveryCodes(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, "Keep these codes. If you lose the app, each works once in its place:")
	for _, code := range codes.Codes {
		fmt.Fprintln(t.out, " ", code.Reveal())
	}
	made, err := account.CreateMFAAuthenticator(ctx, latchkey.NewMFAAuthenticator{})
	if err != nil {
		return err
	}
	if err := t.draw(made.URI.Reveal()); err != nil {
		return err
	}
	fmt.Fprintln(t.out, "Scan the picture with an authenticator app, or type", made.Secret.Reveal())
	code, err := t.appCode(made)
	if err != nil {
		return err
	}
	if _, err := account.VerifyMFAAuthenticator(ctx, code); err != nil {
		return err
	}
	if _, err := account.UpdateMFA(ctx, true); err != nil {
		return err
	}
	session, err := t.guest.CreateEmailPasswordSession(ctx, t.email, password)
	if err != nil {
		return err
	}
	_, err = t.guest.Authenticate(ctx, session.Secret.Reveal())
	fmt.Fprintln(t.out, "Signed in by password alone:", err)
	var owed *latchkey.MoreFactorsError
	if !errors.As(err, &owed) {
		return errors.New("no second factor is owed")
	}
	challenge, err := owed.Pending.CreateMFAChallenge(ctx, latchkey.FactorTOTP)
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, "Each code works only once: wait for the next one.")
	if code, err = t.appCode(made); err != nil {
		return err
	}
	if session, err = owed.Pending.ConfirmMFAChallenge(ctx, challenge.ID, code); err != nil {
		return err
	}
	if _, err := t.guest.Authenticate(ctx, session.Secret.Reveal()); err != nil {
		return err
	}
	fmt.Fprintln(t.out, "Signed in by", strings.Join(session.Factors, " and "))
	return nil
}

// appCode asks for the code that the app shows.
func (t *tour) appCode(made *latchkey.MFAAuthenticator) (string, error) {
	if t.code != nil {
		return t.code(made.Secret.Reveal()), nil
	}
	fmt.Fprint(t.out, "The code in the app: ")
	if !t.in.Scan() {
		return "", errors.Join(t.in.Err(), io.ErrUnexpectedEOF)
	}
	return strings.TrimSpace(t.in.Text()), nil
}

// draw prints a QR code, with two rows of it in each line.
func (t *tour) draw(text string) error {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return err
	}
	size := code.Bounds().Dx()
	dark := func(x, y int) int {
		if x < 0 || y < 0 || x >= size || y >= size {
			return 0 // the border, which QR readers need
		}
		if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
			return 1
		}
		return 0
	}
	const border = 2
	for y := -border; y < size+border; y += 2 {
		for x := -border; x < size+border; x++ {
			fmt.Fprint(t.out, []string{"█", "▀", "▄", " "}[2*dark(x, y)+dark(x, y+1)]) // light on a dark terminal
		}
		fmt.Fprintln(t.out)
	}
	return nil
}

// message returns the user id and the secret of the message with a token. It prints the
// message from the outbox. With -smtp it asks the user for the link or code in the mail.
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
	fmt.Fprintf(t.out, "To %s:\n  %s\n", message.To, message.Link.Reveal()+message.Code())
	if message.Phrase != "" {
		fmt.Fprintln(t.out, "  security phrase:", message.Phrase)
	}
	return message.UserID, message.Secret.Reveal(), nil
}
