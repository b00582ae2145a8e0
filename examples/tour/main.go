// Tour shows the ways in besides a password, from the command line. The
// messages that would go out by mail or SMS are printed.
//
//	go run ./examples/tour -method magic|otp|phone
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"

	"example.com/latchkey"
	"example.com/latchkey/notify"
	"example.com/latchkey/store/memory"
)

func main() {
	log.SetFlags(0)
	method := flag.String("method", "magic", "magic: a link by mail; otp: a code by mail; phone: a code by SMS")
	email := flag.String("email", "ada@example.org", "address for magic and otp")
	phone := flag.String("phone", "+14155550100", "number for phone")
	flag.Parse()
	if err := run(context.Background(), *method, *email, *phone); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, method, email, phone string) (err error) {
	var outbox notify.Outbox
	s := memory.Open()
	engine, err := latchkey.New(s, latchkey.Config{
		Keys:          latchkey.Keys{Active: latchkey.GenerateKey()},
		Notifier:      &outbox,
		SMS:           &outbox,
		RedirectHosts: []string{"app.example.org"},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(), s.Close()) }()
	guest := engine.Guest(latchkey.Client{UserAgent: "Tour/1.0"})

	var token *latchkey.Token
	to := email
	switch method {
	case "magic":
		token, err = guest.CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{Email: email, URL: "https://app.example.org/in", Phrase: true})
	case "otp":
		token, err = guest.CreateEmailToken(ctx, latchkey.NewEmailToken{Email: email, Phrase: true})
	case "phone":
		to = phone
		token, err = guest.CreatePhoneToken(ctx, "", phone)
	default:
		return fmt.Errorf("-method is magic, otp or phone, not %q", method)
	}
	if err != nil {
		return err
	}
	message, err := outbox.Next(ctx, to)
	if err != nil {
		return err
	}
	fmt.Printf("To %s:\n  %s\n", message.To, message.Link+message.Code())
	if token.Phrase != "" {
		fmt.Printf("  security phrase: %s; the page showed %s\n", message.Phrase, token.Phrase)
	}
	if message.Link != "" { // what the page behind the link does before anybody presses its button
		seen, err := guest.InspectToken(ctx, message.UserID, message.Secret)
		if err != nil {
			return err
		}
		fmt.Println("The link is good until", seen.Expire.Format("15:04"))
	}
	session, err := guest.CreateSession(ctx, token.UserID, message.Secret)
	if err != nil {
		return err
	}
	account, err := guest.Authenticate(ctx, session.Secret)
	if err != nil {
		return err
	}
	user, err := account.User(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("Signed in by %s: user %s, e-mail %q (verified: %v), phone %q (verified: %v)\n",
		session.Provider, user.ID, user.Email, user.EmailVerification, user.Phone, user.PhoneVerification)
	_, err = guest.CreateSession(ctx, token.UserID, message.Secret)
	fmt.Println("Once more:", err)
	return nil
}
