// Package notify defines the messages of the engine, and the interface through
// which a host sends them to people.
//
//	type mail struct{ client *smtp.Client }
//
//	func (m mail) Notify(ctx context.Context, message notify.Message) error {
//		switch message.Kind {
//		case notify.MagicURL:
//			return m.send(ctx, message.To, "Sign in", message.Link.Reveal())
//		...
//
// The engine calls Notify after the change that the message reports is committed.
// It does so on its own goroutines, and tries again if the call fails. [Mailbox]
// keeps messages for tests.
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

	"example.com/latchkey/hidden"
)

// Kind is the purpose of a message.
type Kind string

// The kinds of messages.
const (
	MagicURL          Kind = "magic-url"          // Link signs in
	EmailOTP          Kind = "email-otp"          // Code signs in
	PhoneOTP          Kind = "phone-otp"          // Code signs in
	EmailVerification Kind = "email-verification" // Link verifies the address
	PhoneVerification Kind = "phone-verification" // Code verifies the number
	EmailChange       Kind = "email-change"       // Link proves the new address of an account; goes to that
	PhoneChange       Kind = "phone-change"       // Code proves the new number of an account; goes to that
	Recovery          Kind = "recovery"           // Link leads to a new password
	Challenge         Kind = "challenge"          // Code is the second factor
	Invitation        Kind = "invitation"         // Link joins a team
	SessionAlert      Kind = "session-alert"      // a new session was created
	EmailChanged      Kind = "email-changed"      // goes to the old address; Link, if there is one, restores it
	PhoneChanged      Kind = "phone-changed"      // Link, if there is one, restores the old number
	PasswordChanged   Kind = "password-changed"
	FactorsChanged    Kind = "factors-changed" // the second factors or the recovery codes changed
	IdentityChanged   Kind = "identity-changed"
	AccountDeleted    Kind = "account-deleted" // by its user
)

// Change is what happened to the second factors of a user.
type Change string

// The changes.
const (
	AuthenticatorAdded   Change = "authenticator-added"
	AuthenticatorRemoved Change = "authenticator-removed"
	MFASwitchedOn        Change = "mfa-on"
	MFASwitchedOff       Change = "mfa-off"
	RecoveryCodesMade    Change = "recovery-codes" // former ones are void
	PasskeyAdded         Change = "passkey-added"
	PasskeyRemoved       Change = "passkey-removed"
	PasskeySynced        Change = "passkey-synced" // a passkey of one device has come to be on several
	PasskeyCloned        Change = "passkey-cloned" // a passkey was used of which there may be a copy
)

// Channel is the way by which a message is sent.
type Channel string

// The channels.
const (
	Email Channel = "email"
	SMS   Channel = "sms"
)

// Message is one message to one address. Printed, logged, or encoded as JSON or XML, it
// shows its kind and its channel. Package encoding/gob refuses it. In an unexported field
// of another struct, a dump may show the address, the names and the phrase, but neither
// Secret nor Link.
type Message struct {
	// ID stays the same when a message is tried again.
	ID      string
	Kind    Kind
	Channel Channel
	To      string // the address, in canonical form
	// Name is the user's, as they wrote it; "" if it is not known, or if the user has not
	// proven the address: the words of an attacker do not go to a stranger.
	Name   string
	UserID string // the id to redeem Secret with
	// Secret is the code, or the secret in the link.
	Secret hidden.Text
	// Link is the URL that the recipient opens, empty for codes and notices.
	Link hidden.Text
	// Phrase is the security phrase that the user saw when they asked for the
	// message, "" without one. A message with another phrase is not the one that
	// they asked for.
	Phrase string
	Time   time.Time // when it was asked for
	Expire time.Time // when Secret expires; zero for notices
	// Sending is when this try began. Words about the time that is left count from it. The
	// zero time means Time.
	Sending time.Time
	// Try counts the tries, from 1. With an outbox no two tries have the same number, also in
	// different processes, and a number may be missing: the process died before that try.
	Try    int
	Client Client // that asked
	Change Change // of a FactorsChanged; "" for other kinds
	// HasPasskeys says, of a PasswordChanged and of MFASwitchedOn, that the user has passkeys. They stay as they are.
	HasPasskeys bool
	// Locale is the language of the client that asked, as the host reported it: a
	// BCP 47 tag, or a list of them as in the HTTP header Accept-Language. It is ""
	// if not known.
	Locale string
	// The fields of an invitation. Other users wrote the names.
	TeamID, TeamName, MembershipID, Inviter string
}

// Client is the device that asked for a message, or that the message reports. In a message
// to an address that its user has not proven, UserAgent is "", and OS and Browser are names
// of a known list.
type Client struct {
	IP        netip.Addr
	UserAgent string
	OS        string
	Browser   string
	Device    string
	Country   string // ISO 3166-1 alpha-2 in lower case, "" if not known
}

// Format prints the kind and the channel of a message, for every verb.
func (m Message) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s message by %s", string(m.Kind), string(m.Channel))
}

// Code returns the secret that the user types, "" if the message has a link.
func (m Message) Code() string {
	if !m.Link.IsZero() {
		return ""
	}
	return m.Secret.Reveal()
}

// LogValue logs the kind and the channel of a message.
func (m Message) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(m)) }

// MarshalText encodes only the kind and the channel: a message is not meant to be
// stored.
func (m Message) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(m)), nil }

// GobEncode fails with [hidden.ErrNotEncoded].
func (m Message) GobEncode() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// Notifier sends messages. It must be safe for concurrent use.
type Notifier interface {
	// Notify sends a message. It returns nil once another system, such as a mail
	// server, has accepted it. The context ends after two minutes, or when the
	// engine is closed. After an error the engine tries again, unless the error was
	// made by [Permanent]. A notifier that has handed a message over and gets no answer
	// returns a permanent error too, if it does not want the message to come twice. The
	// engine logs the stage and the reason of a [Failure], and the [Class] of every other
	// error.
	Notify(ctx context.Context, m Message) error
}

// Func turns a function into a [Notifier].
type Func func(ctx context.Context, m Message) error

// Notify calls the function.
func (f Func) Notify(ctx context.Context, m Message) error { return f(ctx, m) }

var errPermanent = errors.New("notify: permanent")

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

func (p permanent) Is(target error) bool { return target == errPermanent }

// Permanent marks an error after which the engine does not try again: the address does
// not exist, or the message may have arrived already.
func Permanent(err error) error { return permanent{err} }

// IsPermanent reports whether err was marked by [Permanent].
func IsPermanent(err error) bool { return errors.Is(err, errPermanent) }

// Mailbox is a [Notifier] that keeps messages, for tests. The zero Mailbox is ready
// to use. It is safe for concurrent use.
type Mailbox struct {
	mu   sync.Mutex
	all  []Message
	err  error
	more chan struct{} // closed when a message comes
}

// Notify keeps a message, or returns the error that was set by [Mailbox.Fail].
func (b *Mailbox) Notify(_ context.Context, m Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.all = append(b.all, m)
	if b.more != nil {
		close(b.more)
		b.more = nil
	}
	return nil
}

// Fail makes Notify return err for every later message, until Fail is called with
// nil.
func (b *Mailbox) Fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// All returns the messages in the order in which they came.
func (b *Mailbox) All() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// Take returns the messages in the order in which they came, and removes them from the
// outbox.
func (b *Mailbox) Take() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.all
	b.all = nil
	return all
}

// Next returns the oldest message to an address, and removes it from the outbox. If
// there is no such message, Next waits for one until the context ends.
func (b *Mailbox) Next(ctx context.Context, to string) (Message, error) {
	for {
		b.mu.Lock()
		if i := slices.IndexFunc(b.all, func(m Message) bool { return m.To == to }); i >= 0 {
			m := b.all[i]
			b.all = slices.Delete(b.all, i, i+1)
			b.mu.Unlock()
			return m, nil
		}
		if b.more == nil {
			b.more = make(chan struct{})
		}
		more := b.more
		b.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return Message{}, fmt.Errorf("notify: no message came: %w", ctx.Err())
		}
	}
}
