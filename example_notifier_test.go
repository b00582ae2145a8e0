package latchkey_test

import (
	"context"
	"fmt"
	"log"

	"example.com/latchkey"
	"example.com/latchkey/notify"
	"example.com/latchkey/store/memory"
)

// mailer is the notifier of a host. It has words for the messages that the host wants, and
// sends nothing for the others.
type mailer struct {
	send func(ctx context.Context, to, subject, text string) error
}

func (m mailer) Notify(ctx context.Context, message notify.Message) error {
	switch message.Kind {
	case notify.MagicURL:
		return m.send(ctx, message.To, "Sign in", "Open "+message.Link.Reveal())
	case notify.EmailOTP, notify.Challenge:
		return m.send(ctx, message.To, "Your code", "Type "+message.Code())
	case notify.PasswordChanged:
		return m.send(ctx, message.To, "Your password was changed", "If it was not you, recover the account.")
	}
	return nil
}

// A host sends mails in its own words. It chooses them by the kind of the message.
func ExampleConfig_notifier() {
	notifier := mailer{func(_ context.Context, to, subject, text string) error {
		fmt.Printf("%s, %q, %d bytes\n", to, subject, len(text))
		return nil // an error has the engine try again
	}}
	engine, err := latchkey.New(memory.Open(), latchkey.Config{
		Keys:     latchkey.Keys{Active: latchkey.GenerateKey()},
		Notifier: notifier,
	})
	if err != nil {
		log.Fatal(err)
	}
	guest := engine.Guest(latchkey.Client{})
	_, err = guest.CreateEmailToken(context.Background(), latchkey.NewEmailToken{Email: "ada@example.org"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(engine.Close()) // waits for the message
	// Output:
	// ada@example.org, "Your code", 11 bytes
	// <nil>
}
