// Package authtest is a kit for the tests of hosts. It has an engine in memory with
// fast hashing, a clock that moves only when the test moves it, a recorder of events
// and an outbox.
//
//	kit := authtest.New(t, latchkey.Config{})
//	account, session := kit.SignIn("ada@example.org")
//	handler := myapp.New(kit.Engine)
//	// call the handler with session.Secret.Reveal() in a cookie
//	kit.Clock.Advance(24 * time.Hour)
package authtest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
)

// Password is the password of the users of [Kit.SignIn].
const Password = "correct horse battery"

// Client is the client of the kit's guest.
var Client = latchkey.Client{
	IP: netip.MustParseAddr("192.0.2.7"),
	UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) " +
		"Chrome/70.0.3538.110 Safari/537.36",
}

// Kit is an engine for one test. It is closed when the test ends.
type Kit struct {
	*latchkey.Engine
	Clock  *Clock
	Events *Events
	Outbox *notify.Outbox  // holds the mails and text messages
	Guest  *latchkey.Guest // at [Client]

	t testing.TB
}

// New returns a kit. Fields of c that are zero get these values:
//   - Keys.Active: a new key
//   - Hasher: one with fast hashing
//   - Now: the kit's clock
//   - Notifier and SMS: the kit's outbox
//   - Limiter: one that counts and never refuses
//
// Events go to the kit's recorder and then to c.OnEvent.
func New(t testing.TB, c latchkey.Config) *Kit {
	t.Helper()
	k := &Kit{Clock: NewClock(), Events: new(Events), Outbox: new(notify.Outbox), t: t}
	if c.Notifier == nil {
		c.Notifier = k.Outbox
	}
	if c.SMS == nil {
		c.SMS = k.Outbox
	}
	if c.Keys.Active.IsZero() {
		c.Keys.Active = latchkey.GenerateKey()
	}
	if c.Hasher == nil {
		c.Hasher = hashertest.New(t)
	}
	if c.Limiter == nil {
		c.Limiter = ratelimit.ReportOnly(ratelimit.NewMemory(0))
	}
	if c.Now == nil {
		c.Now = k.Clock.Now
	}
	next := c.OnEvent
	c.OnEvent = func(ctx context.Context, event latchkey.Event) {
		k.Events.Record(ctx, event)
		if next != nil {
			next(ctx, event)
		}
	}
	s := memory.Open()
	engine, err := latchkey.New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	k.Engine, k.Guest = engine, engine.Guest(Client)
	return k
}

// SignIn signs in the user with that address and [Password]. If no user has the
// address, SignIn creates one.
func (k *Kit) SignIn(email string) (*latchkey.Account, *latchkey.Session) {
	k.t.Helper()
	ctx := context.Background()
	_, err := k.Guest.CreateAccount(ctx, latchkey.NewAccount{Email: email, Password: Password})
	if err != nil && !errors.Is(err, latchkey.ErrUserAlreadyExists) {
		k.t.Fatal(err)
	}
	session, err := k.Guest.CreateEmailPasswordSession(ctx, email, Password)
	if err != nil {
		k.t.Fatal(err)
	}
	account, err := k.Guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		k.t.Fatal(err)
	}
	return account, session
}

// Authenticator is an authenticator app that takes its time from a [Clock].
type Authenticator struct {
	clock *Clock
	uri   hidden.Text
}

// NewAuthenticator returns an app that has scanned the URI of a
// [latchkey.MFAAuthenticator].
func NewAuthenticator(c *Clock, uri string) (*Authenticator, error) {
	if _, err := otp.NewKeyFromURL(uri); err != nil {
		return nil, errors.New("authtest: not the URI of an authenticator")
	}
	return &Authenticator{c, hidden.New(uri)}, nil
}

// Code returns the code that the app shows now.
func (a *Authenticator) Code() string { return a.CodeAt(0) }

// CodeAt returns the code that the app shows steps*30 seconds from now.
func (a *Authenticator) CodeAt(steps int) string {
	at := a.clock.Now().Add(time.Duration(steps) * 30 * time.Second)
	key, err := otp.NewKeyFromURL(a.uri.Reveal())
	if err != nil {
		panic(err) // never: NewAuthenticator has read it
	}
	code, err := totp.GenerateCodeCustom(key.Secret(), at, totp.ValidateOpts{Period: 30, Digits: key.Digits(), Algorithm: key.Algorithm()})
	if err != nil {
		panic(err) // never: NewAuthenticator has read the key
	}
	return code
}

// Clock is a clock that moves only by Set and Advance. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows noon UTC on 1 March 2026.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// Now returns the time of the clock. It is for the field Now of [latchkey.Config].
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set sets the clock to a time.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// Advance moves the clock forward by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Events records events in the order of their arrival. It is safe for concurrent use.
type Events struct {
	mu  sync.Mutex
	all []latchkey.Event
}

// Record records an event. It is for the field OnEvent of [latchkey.Config].
func (e *Events) Record(_ context.Context, event latchkey.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

// Take returns the events that were recorded since the last Take.
func (e *Events) Take() []latchkey.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// Count returns the number of events since the last Take that match a pattern. The
// patterns are those of [latchkey.Event.Matches].
func (e *Events) Count(pattern string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(e.all), func(event latchkey.Event) bool { return !event.Matches(pattern) }))
}
