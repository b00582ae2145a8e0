package latchkey

import (
	"context"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
)

// limitMessage counts one message more, that somebody at a client asks for, to
// an address. It is refused before anybody knows whose address that is.
func (e *Engine) limitMessage(ctx context.Context, c Client, now time.Time, channel notify.Channel, to string) error {
	if err := e.limitAddress(ctx, c, now, to); err != nil {
		return err
	}
	if err := e.limit(ctx, c, now, limitMessagesByClient, c.network()); err != nil {
		return err
	}
	if _, mocked := e.mock(channel, to); channel != notify.SMS || mocked {
		return nil
	}
	if err := e.limitNumber(ctx, c, now, to); err != nil {
		return err
	}
	return e.limit(ctx, c, now, limitMessagesByPrefix, canon.PhonePrefix(to))
}

// limitAddress counts one message more to an address, whatever it is about. What
// stands behind a + in a mailbox is no other mailbox.
func (e *Engine) limitAddress(ctx context.Context, c Client, now time.Time, to string) error {
	if local, domain, found := strings.Cut(to, "@"); found {
		local, _, _ = strings.Cut(local, "+")
		to = local + "@" + domain
	}
	for _, l := range []limited{limitMessages, limitMessagesBurst, limitMessagesFew, limitMessagesDay} {
		if err := e.limit(ctx, c, now, l, to); err != nil {
			return err
		}
	}
	return nil
}

// limitNumber counts a phone number that a client address has not sent to since
// its window began.
func (e *Engine) limitNumber(ctx context.Context, c Client, now time.Time, number string) error {
	network := c.network()
	if network == "" || c.Server {
		return nil
	}
	key := e.limitKey(limitMessagesNumbers, network+"\n"+number)
	first, err := e.take(ctx, key, ratelimit.Rule{Calls: 1, Window: e.policy.Limits[limitMessagesNumbers.name].Window}, now)
	if err == nil && !first.Allowed {
		return nil
	}
	if err = e.limit(ctx, c, now, limitMessagesNumbers, network); err != nil {
		_ = e.limiter.Forget(ctx, key) // it is not among those that were sent to
	}
	return err
}

// alarm tells the host, once a window, that somebody sends more than they may.
func (e *Engine) alarm(ctx context.Context, c Client, now time.Time, l limited, key string, result ratelimit.Result) {
	if e.onEvent == nil {
		return
	}
	told, err := e.take(ctx, e.limitKey(l, "told\n"+key), ratelimit.Rule{Calls: 1, Window: max(result.Reset.Sub(now), time.Second)}, now)
	if err != nil || !told.Allowed {
		return
	}
	e.tell(context.WithoutCancel(ctx), Event{
		Name: "limits." + l.name + ".reached", Time: now, Mode: "guest", Client: c.silent(), Payload: LimitResult{l.name, result},
	})
}

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

// notice notes one, to be sent after the commit.
func (tx *txn) notice(kind notify.Kind, channel notify.Channel, user *record.User) {
	to, proven := user.Email, user.EmailVerified
	if channel == notify.SMS {
		to, proven = user.Phone, user.PhoneVerified
	}
	if to == "" || !tx.engine.can(channel) || channel == notify.SMS && !proven { // a text costs, whoever wrote the number
		return
	}
	tx.notices = append(tx.notices, notice{
		notify.Message{ID: newID(), Kind: kind, Channel: channel, To: to, Name: user.Name, UserID: user.ID, Time: tx.now}, proven,
	})
}

// noticeTo notes a notice by mail, or by SMS to a user who has no address.
func (tx *txn) noticeTo(kind notify.Kind, user *record.User) {
	channel := notify.Email
	if user.Email == "" {
		channel = notify.SMS
	}
	tx.notice(kind, channel, user)
}

// noticeChange tells a user, where they were before it, of a change that somebody
// else would make in their place.
func (tx *txn) noticeChange(old, user *record.User) {
	if user.Email != old.Email {
		tx.notice(notify.EmailChanged, notify.Email, old)
	}
	if user.Phone != old.Phone && old.Phone != "" {
		tx.notice(notify.PhoneChanged, notify.SMS, old)
		tx.notice(notify.PhoneChanged, notify.Email, old)
	}
	if user.MFA != old.MFA || user.TOTP != old.TOTP {
		tx.noticeTo(notify.FactorsChanged, old)
	}
	if string(user.Password) != string(old.Password) {
		tx.noticeTo(notify.PasswordChanged, old)
	}
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
		e.courier.deliver(delivery{message: n.Message, null: mocked, notice: true})
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
