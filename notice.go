package latchkey

import (
	"context"

	"example.com/latchkey/internal/courier"
	"example.com/latchkey/notify"
)

// messageClient returns a message's description of the client.
func (c *call) messageClient(ctx context.Context) notify.Client {
	d := c.device(ctx)
	return notify.Client{
		IP: c.client.IP, UserAgent: c.client.UserAgent, OS: d.OSName, Browser: d.ClientName, Device: d.DeviceName, Country: d.CountryCode,
	}
}

// strangeClient is messageClient, for a message that may go to a stranger: the client's
// own words are left out, and only names that the engine knows stay.
func (c *call) strangeClient(ctx context.Context) notify.Client {
	d := c.device(ctx)
	if d.ClientCode == "" { // the name of an unknown client is its own; that of a system never is
		d.ClientName = ""
	}
	return notify.Client{IP: c.client.IP, OS: d.OSName, Browser: d.ClientName, Device: d.DeviceName, Country: d.CountryCode}
}

// notice is a message that the recipient has not asked for: it tells a user about a change
// of their account.
type notice struct {
	notify.Message
	proven bool // the user has proven the address
}

// sendNotices sends the notices of a transaction after its commit. The addresses of the
// host's own staff are not shown to users.
func (c *call) sendNotices(ctx context.Context, notices []notice) {
	for _, n := range notices {
		if c.mayNotice(ctx, n) {
			c.deliver(c.noticeLetter(ctx, n))
		} // otherwise the host has an event of it
	}
}

// noticeLetter returns the letter of a notice.
func (c *call) noticeLetter(ctx context.Context, n notice) letter {
	n.Locale = c.client.Locale
	switch {
	case c.by.mode == modeServer:
	case n.proven:
		n.Client = c.messageClient(ctx)
	default:
		n.Client = c.strangeClient(ctx)
	}
	_, mocked := c.mockCode(n.Channel, n.To)
	return letter{message: n.Message, null: mocked, notice: true, proven: n.proven}
}

// mayNotice counts a notice among the messages to its address and those that its client
// has caused. Some of each kind to a proven address pass beyond those, so that a flood hides
// no theft and one kind does not hide another.
func (c *call) mayNotice(ctx context.Context, n notice) bool {
	if c.by.mode == modeServer {
		return true
	}
	r := new(reserve)
	if n.proven {
		r = &reserve{rule: limitMessagesNotices, key: func(context.Context) (string, error) { return string(n.Kind) + "\n" + n.To, nil }}
	}
	if c.limitAddress(ctx, n.To, r) != nil ||
		c.limitShared(ctx, limitMessagesByClient, c.client.network(), r) != nil ||
		c.limitShared(ctx, limitMessagesBySite, c.client.site(), r) != nil {
		return false
	}
	return n.Channel != notify.SMS || c.limitText(ctx, n.To, r) == nil
}

// tried tells the observer of a try to send a message.
func (e *Engine) tried(t courier.Try) {
	e.observe(context.Background(), Observation{What: ObservedDelivery, Name: string(t.Channel), Outcome: t.Outcome, Count: 1, Took: t.Took, Waited: t.Waited})
}
