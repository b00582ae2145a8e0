// Package sms sends text messages through a [Sender]. A host implements Sender for
// the SMS service that it uses, or takes [Webhook].
package sms

import (
	"context"
	"fmt"
	"log/slog"

	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

// Text is one text message. Printed and logged, it shows its id. It cannot be encoded: a
// sender puts To and Body into the form of its SMS service.
type Text struct {
	// ID stays the same when a text is tried again.
	ID string
	To string // +, the country code and the number
	// Body begins with the code, if there is one.
	Body string
}

// Format prints the id of a text, for every verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "text message %q", t.ID) }

// LogValue logs the id of a text.
func (t Text) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// MarshalText fails with [hidden.ErrNotEncoded].
func (t Text) MarshalText() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// GobEncode fails with [hidden.ErrNotEncoded].
func (t Text) GobEncode() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// Sender sends text messages. It must be safe for concurrent use.
type Sender interface {
	// Send sends a text. It returns nil once the SMS service has accepted it. After
	// an error the engine tries again, unless the error was made by
	// [notify.Permanent].
	Send(ctx context.Context, t Text) error
}

// Notifier returns a notifier that renders messages with words and sends them with s.
func Notifier(s Sender, words *templates.Set) notify.Notifier {
	return notify.Func(func(ctx context.Context, m notify.Message) error {
		if m.Channel != notify.SMS {
			return notify.Permanent(fmt.Errorf("sms: a message by %s is not an SMS", m.Channel))
		}
		c, err := words.Render(m)
		if err != nil {
			return notify.Permanent(err)
		}
		return s.Send(ctx, Text{ID: m.ID, To: m.To, Body: c.Text})
	})
}
