package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/courier"
	"example.com/latchkey/notify"
)

// told is what a message says of a client.
func (e *Engine) told(ctx context.Context, c Client) notify.Client {
	d := e.device(ctx, c)
	return notify.Client{
		IP: c.IP, UserAgent: c.UserAgent, OS: d.OSName, Browser: d.ClientName, Device: d.DeviceName, Country: d.CountryCode,
	}
}

// notice is a message that nobody has asked for: it tells a user what has
// happened to their account.
type notice struct {
	notify.Message
	proven bool // the address is known to be the user's
}

// sendNotices sends what a transaction has noted, once it has been committed.
// Where the server's people are is none of the user's.
func (e *Engine) sendNotices(ctx context.Context, now time.Time, by actor, notices []notice) {
	if len(notices) == 0 {
		return
	}
	var client notify.Client
	if by.mode != "server" {
		client = e.told(ctx, by.Client)
	}
	for _, n := range notices {
		if by.mode != "server" && !e.mayNotice(ctx, now, by.Client, n) {
			continue // the host has an event of it
		}
		n.Client, n.Locale = client, by.Locale
		_, mocked := e.mock(n.Channel, n.To)
		e.courier.Deliver(courier.Delivery{Message: n.Message, Null: mocked, Notice: true})
	}
}

// mayNotice counts a notice among the messages to its address. To a proven
// address some of each kind are sent beyond those: a flood must not hide a theft,
// nor one kind another. To another address, which may be a stranger's, they are
// not.
func (e *Engine) mayNotice(ctx context.Context, now time.Time, c Client, n notice) bool {
	err := e.limitAddress(ctx, c, now, n.To)
	if err == nil && n.Channel == notify.SMS {
		err = e.limit(ctx, c, now, limitMessagesByPrefix, canon.PhonePrefix(n.To))
	}
	if err != nil && n.proven {
		err = e.limit(ctx, c, now, limitMessagesNotices, string(n.Kind)+"\n"+n.To)
	}
	return err == nil
}
