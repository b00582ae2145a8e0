// Package sms sends text messages: the words of a message go to a [Sender], which
// a host makes of the service that it pays for. [Webhook] is one.
package sms

import (
	"context"
	"fmt"

	"example.com/latchkey/notify"
	"example.com/latchkey/notify/templates"
)

// Text is one text message.
type Text struct {
	// ID is the same whenever the same text is tried again.
	ID string
	To string // +, the country and the number
	// Body begins with the code, if there is one.
	Body string
}

// Sender sends text messages. It must be safe for concurrent use.
type Sender interface {
	// Send sends a text, and returns nil when another has taken it over. An
	// error is tried again, but for one made by [notify.Permanent].
	Send(ctx context.Context, t Text) error
}

// Notifier returns what puts messages into words and sends them.
func Notifier(s Sender, words *templates.Set) notify.Notifier {
	return notify.Func(func(ctx context.Context, m notify.Message) error {
		if m.Channel != notify.SMS {
			return notify.Permanent(fmt.Errorf("sms: a message by %s", m.Channel))
		}
		c, err := words.Render(m)
		if err != nil {
			return notify.Permanent(err)
		}
		return s.Send(ctx, Text{ID: m.ID, To: m.To, Body: c.Text})
	})
}
