package latchkey

import (
	"context"

	"example.com/latchkey/internal/courier"
	"example.com/latchkey/notify"
)

// messageClient returns a message's description of the client.
func (c *call) messageClient(ctx context.Context) notify.Client {
	d := c.device(ctx, c.client)
	return notify.Client{
		IP: c.client.IP, UserAgent: c.client.UserAgent, OS: d.OSName, Browser: d.ClientName, Device: d.DeviceName, Country: d.CountryCode,
	}
}

// notice is a message that the recipient has not asked for: it tells a user about
// a change of their account.
type notice struct {
	notify.Message
	proven bool // the user has proven the address
}

// sendNotices sends the notices of a transaction after its commit. The addresses
// of the host's own staff are not shown to users.
func (c *call) sendNotices(ctx context.Context, notices []notice) {
	if len(notices) == 0 {
		return
	}
	server := c.by.mode == modeServer
	var client notify.Client
	if !server {
		client = c.messageClient(ctx)
	}
	for _, n := range notices {
		if !server && !c.mayNotice(ctx, n) {
			continue // the host has an event of it
		}
		n.Client, n.Locale = client, c.client.Locale
		_, mocked := c.mockCode(n.Channel, n.To)
		c.courier.Deliver(courier.Delivery{Message: n.Message, Null: mocked, Notice: true})
	}
}

// mayNotice counts a notice among the messages to its address. A proven address
// gets some of each kind beyond those, so that a flood hides no theft and one kind
// does not hide another. An unproven address may be a stranger's and gets none.
func (c *call) mayNotice(ctx context.Context, n notice) bool {
	r := noReserve()
	if n.proven {
		r = &reserve{rule: limitMessagesNotices, key: func(context.Context) (string, error) { return string(n.Kind) + "\n" + n.To, nil }}
	}
	err := c.limitAddress(ctx, n.To, r)
	if err == nil && n.Channel == notify.SMS {
		err = c.limitText(ctx, n.To, r)
	}
	return err == nil
}
