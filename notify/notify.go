// Package notify is how the engine's messages reach people: what a message is,
// and what a host gives the engine to send them.
//
//	type mail struct{ client *smtp.Client }
//
//	func (m mail) Notify(ctx context.Context, message notify.Message) error {
//		switch message.Kind {
//		case notify.MagicURL:
//			return m.send(ctx, message.To, "Sign in", message.Link)
//		...
//
// The engine calls it after the commit of what the message tells of, on
// goroutines of its own, and tries again when it fails. [Outbox] keeps messages
// for tests.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Kind says what a message is for.
type Kind string

// The kinds of messages.
const (
	MagicURL          Kind = "magic-url"          // Link signs in
	EmailOTP          Kind = "email-otp"          // Code signs in
	PhoneOTP          Kind = "phone-otp"          // Code signs in
	EmailVerification Kind = "email-verification" // Link verifies the address
	PhoneVerification Kind = "phone-verification" // Code verifies the number
	Recovery          Kind = "recovery"           // Link leads to a new password
	Challenge         Kind = "challenge"          // Code is the second factor
	Invitation        Kind = "invitation"         // Link joins a team
	SessionAlert      Kind = "session-alert"      // somebody has signed in
	EmailChanged      Kind = "email-changed"      // to the old address
	PhoneChanged      Kind = "phone-changed"
	PasswordChanged   Kind = "password-changed"
	FactorsChanged    Kind = "factors-changed" // a second factor came or went
	IdentityChanged   Kind = "identity-changed"
)

// Channel is the way a message goes.
type Channel string

// The channels.
const (
	Email Channel = "email"
	SMS   Channel = "sms"
)

// Message is one message to one address. Printed, it shows neither secret nor
// address.
type Message struct {
	// ID is the same whenever the same message is tried again.
	ID      string
	Kind    Kind
	Channel Channel
	To      string // the address, in canonical form
	Name    string // of the user, "" if it is not known; what the user wrote
	UserID  string // with which Secret is redeemed
	// Secret is the code, or the secret in the link.
	Secret string
	// Link is where the person is to go, "" for codes and notices.
	Link string
	// Phrase is what the person has seen where they asked, "" for none: only
	// a message with the same phrase is theirs.
	Phrase string
	Time   time.Time // when it was asked for
	Expire time.Time // when Secret ends; zero for notices
	Client Client    // who asked
	// Locale is the language of whoever asked, as the host has
	// said: a BCP
	// 47 tag, or a list of them as in the Accept-Language of HTTP; "" if it is not
	// known.
	Locale string
	// Team and Inviter are of an invitation: what others have written.
	TeamID, TeamName, MembershipID, Inviter string
}

// Client is the device at which a message was asked for, or that it tells of.
type Client struct {
	IP        netip.Addr
	UserAgent string
	OS        string
	Browser   string
	Device    string
	Country   string // ISO 3166-1 alpha-2 in lower case, "" if not known
}

// Format prints what a message is, whatever the verb.
func (m Message) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s message by %s", string(m.Kind), string(m.Channel))
}

// Code is the secret that the person types, "" where there is a link.
func (m Message) Code() string {
	if m.Link != "" {
		return ""
	}
	return m.Secret
}

// LogValue logs what a message is.
func (m Message) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(m)) }

// MarshalText encodes what a message is: it is not meant to be kept.
func (m Message) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(m)), nil }

// Notifier sends messages. It must be safe for concurrent use.
type Notifier interface {
	// Notify sends a message, and returns nil when another has taken it over.
	// The context ends after 30 seconds, or when the engine is closed. An error
	// is tried again, but for one made by [Permanent]. It may come twice with
	// the same message, when the first answer was lost.
	Notify(ctx context.Context, m Message) error
}

// Func is a function as a [Notifier].
type Func func(ctx context.Context, m Message) error

// Notify calls the function.
func (f Func) Notify(ctx context.Context, m Message) error { return f(ctx, m) }

var errPermanent = errors.New("notify: permanent")

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

func (p permanent) Is(target error) bool { return target == errPermanent }

// Permanent marks an error that another try would not mend: an address that does
// not exist.
func Permanent(err error) error { return permanent{err} }

// IsPermanent reports whether another try would not mend err.
func IsPermanent(err error) bool { return errors.Is(err, errPermanent) }

// Outbox is a [Notifier] that keeps messages, for tests. The zero Outbox is
// ready. It is safe for concurrent use.
type Outbox struct {
	mu   sync.Mutex
	all  []Message
	err  error
	more chan struct{} // closed when a message comes
}

// Notify keeps a message, or fails as [Outbox.Fail] says.
func (o *Outbox) Notify(_ context.Context, m Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	o.all = append(o.all, m)
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return nil
}

// Fail lets every later message fail with err, until it is called with nil.
func (o *Outbox) Fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

// All returns the messages in the order in which they came.
func (o *Outbox) All() []Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

// Next returns the oldest message to an address that Next has not returned yet,
// and waits for it until the context ends.
func (o *Outbox) Next(ctx context.Context, to string) (Message, error) {
	for {
		o.mu.Lock()
		if i := slices.IndexFunc(o.all, func(m Message) bool { return m.To == to }); i >= 0 {
			m := o.all[i]
			o.all = slices.Delete(o.all, i, i+1)
			o.mu.Unlock()
			return m, nil
		}
		if o.more == nil {
			o.more = make(chan struct{})
		}
		more := o.more
		o.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return Message{}, fmt.Errorf("notify: no message came: %w", ctx.Err())
		}
	}
}
