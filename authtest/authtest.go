// Package authtest is a kit for the tests of hosts: an engine in memory that
// hashes fast, a clock that stands still until it is told, a recorder of events
// and an outbox.
//
//	kit := authtest.New(t, latchkey.Config{})
//	account, session := kit.SignIn("ada@example.org")
//	handler := myapp.New(kit.Engine)
//	// call it with session.Secret
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
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
)

// Password is what the users of [Kit.SignIn] have.
const Password = "correct horse battery"

// Client is where the kit's guest is.
var Client = latchkey.Client{
	IP: netip.MustParseAddr("192.0.2.7"),
	UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) " +
		"Chrome/70.0.3538.110 Safari/537.36",
}

// Kit is an engine for one test, which ends with it.
type Kit struct {
	*latchkey.Engine
	Clock  *Clock
	Events *Events
	Outbox *notify.Outbox  // has the mails and text messages
	Guest  *latchkey.Guest // at [Client]

	t testing.TB
}

// New returns a kit. What c leaves zero is set: a fresh key, fast hashing, the
// kit's clock, its outbox for mail and SMS, a limiter that counts and refuses
// nothing. Events go to the kit's recorder and then to c.OnEvent.
func New(t testing.TB, c latchkey.Config) *Kit {
	t.Helper()
	k := &Kit{Clock: NewClock(), Events: new(Events), Outbox: new(notify.Outbox), t: t}
	if c.Notifier == nil {
		c.Notifier = k.Outbox
	}
	if c.SMS == nil {
		c.SMS = k.Outbox
	}
	if c.Keys.Active == (latchkey.Key{}) {
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

// SignIn signs in the user with that address and [Password], whom it makes if
// there is none.
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

// Authenticator is an authenticator app that goes by a clock.
type Authenticator struct {
	clock *Clock
	key   *otp.Key
}

// NewAuthenticator returns an app that has scanned the URI of a
// [latchkey.MFAAuthenticator].
func NewAuthenticator(c *Clock, uri string) (*Authenticator, error) {
	key, err := otp.NewKeyFromURL(uri)
	if err != nil {
		return nil, errors.New("authtest: not the URI of an authenticator")
	}
	return &Authenticator{c, key}, nil
}

// Code returns the code that the app shows.
func (a *Authenticator) Code() string { return a.CodeAt(0) }

// CodeAt returns the code of so many steps of 30 seconds from now.
func (a *Authenticator) CodeAt(steps int) string {
	at := a.clock.Now().Add(time.Duration(steps) * 30 * time.Second)
	code, err := totp.GenerateCodeCustom(a.key.Secret(), at, totp.ValidateOpts{Period: 30, Digits: a.key.Digits(), Algorithm: a.key.Algorithm()})
	if err != nil {
		panic(err) // the key was read
	}
	return code
}

// Clock is a clock that stands still until it is set. It is safe for concurrent
// use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock at noon of the first of March 2026, in UTC.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// Now is for [latchkey.Config].
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set sets the clock.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// Advance lets time pass.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Events records events in the order in which they come. It is safe for
// concurrent use.
type Events struct {
	mu  sync.Mutex
	all []latchkey.Event
}

// Record is for [latchkey.Config].
func (e *Events) Record(_ context.Context, event latchkey.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

// Take returns what has been recorded since the last Take.
func (e *Events) Take() []latchkey.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// Count returns how many of the recorded events a pattern selects, as
// [latchkey.Event.Matches] does.
func (e *Events) Count(pattern string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(e.all), func(event latchkey.Event) bool { return !event.Matches(pattern) }))
}
