// Package authtest is a kit for the tests of hosts. It has an engine in memory with
// fast hashing, a clock that moves only when the test moves it, a recorder of events
// and an outbox.
//
//	kit := authtest.New(t, latchkey.Config{})
//	account, session := kit.SignIn("ada@example.org")
//	handler := myapp.New(kit.Engine)
//	// call the handler with session.Secret.Reveal() in a cookie
//	kit.Clock.Advance(24 * time.Hour)
//
//	app := kit.EnrolTOTP(account)         // app.Code() is what the user types
//	mail := kit.Mail("ada@example.org")   // mail.Link.Reveal() is what the user opens
//	blocked := kit.Blocked("bob@example.org")
//	_, err := kit.Elsewhere().CreateEmailPasswordSession(ctx, "bob@example.org", authtest.Password)
package authtest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
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

// Client is the client of the kit's visitor.
var Client = latchkey.Client{
	IP: netip.MustParseAddr("192.0.2.7"),
	UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) " +
		"Chrome/70.0.3538.110 Safari/537.36",
}

// Kit is an engine for one test. It is closed when the test ends.
type Kit struct {
	*latchkey.Engine
	Clock   *Clock
	Events  *Events
	Mailbox *notify.Mailbox // holds the mails and text messages
	Visitor *latchkey.Guest // at [Client]

	t         testing.TB
	elsewhere byte // number of other clients
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
	k := &Kit{Clock: NewClock(), Events: new(Events), Mailbox: new(notify.Mailbox), t: t}
	if c.Notifier == nil {
		c.Notifier = k.Mailbox
	}
	if c.SMS == nil {
		c.SMS = k.Mailbox
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
	k.Engine, k.Visitor = engine, engine.Guest(Client)
	return k
}

// SignIn signs in the user with that address and [Password]. If no user has the
// address, the server creates one.
func (k *Kit) SignIn(email string) (*latchkey.Account, *latchkey.Session) {
	k.t.Helper()
	k.user(email)
	ctx := context.Background()
	session, err := k.Visitor.CreateEmailPasswordSession(ctx, email, Password)
	k.must(err)
	account, err := k.Visitor.Authenticate(ctx, session.Secret.Reveal())
	k.must(err)
	return account, session
}

// SignInVerified is SignIn for a user whose address is verified.
func (k *Kit) SignInVerified(email string) (*latchkey.Account, *latchkey.Session) {
	k.t.Helper()
	_, err := k.Users().UpdateEmailVerification(context.Background(), k.user(email), true)
	k.must(err)
	return k.SignIn(email)
}

// Blocked returns the user with that address and [Password], who is blocked. If no user has the
// address, Blocked creates one.
func (k *Kit) Blocked(email string) *latchkey.User {
	k.t.Helper()
	user, err := k.Users().UpdateStatus(context.Background(), k.user(email), false)
	k.must(err)
	return user
}

// user returns the id of the user with that address, who is made if there is none.
func (k *Kit) user(email string) string {
	k.t.Helper()
	ctx := context.Background()
	user, err := k.Users().GetByEmail(ctx, email)
	if errors.Is(err, latchkey.ErrUserNotFound) {
		user, err = k.Users().Create(ctx, latchkey.NewUser{Email: email, Password: Password})
	}
	k.must(err)
	return user.ID
}

// EnrolTOTP gives the user of an account an authenticator, switches MFA on, and returns the app. The
// kit's clock moves on by 30 seconds, so that the app shows a code that was not used.
func (k *Kit) EnrolTOTP(account *latchkey.Account) *Authenticator {
	k.t.Helper()
	ctx := context.Background()
	made, err := account.CreateMFAAuthenticator(ctx, latchkey.NewMFAAuthenticator{})
	k.must(err)
	app, err := NewAuthenticator(k.Clock, made.URI.Reveal())
	k.must(err)
	_, err = account.VerifyMFAAuthenticator(ctx, app.Code())
	k.must(err)
	_, err = account.UpdateMFA(ctx, true)
	k.must(err)
	k.Clock.Advance(30 * time.Second)
	return app
}

// Elsewhere returns a guest at another client address, a new one in each call: 198.51.100.1 and the
// ones after it.
func (k *Kit) Elsewhere() *latchkey.Guest {
	k.elsewhere++
	return k.Engine.Guest(latchkey.Client{IP: netip.AddrFrom4([4]byte{198, 51, 100, k.elsewhere}), UserAgent: Client.UserAgent})
}

// mailTime is how long [Kit.Mail] waits.
const mailTime = 2 * time.Second

// Mail returns the oldest message to an address or a number, and removes it from the outbox. It
// waits for it two seconds of real time, because messages leave behind the call that sends them. Then it
// ends the test and says what has come instead.
func (k *Kit) Mail(to string) notify.Message {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), mailTime)
	defer cancel()
	m, err := k.Mailbox.Next(ctx, to)
	if err == nil {
		return m
	}
	came := "nothing"
	var all []string
	for _, other := range k.Mailbox.All() {
		all = append(all, string(other.Kind)+" to "+other.To)
	}
	if len(all) > 0 {
		came = strings.Join(all, ", ")
	}
	k.t.Fatalf("no message to %s within %v; %s has come", to, mailTime, came)
	return notify.Message{}
}

// must ends the test if there is an error.
func (k *Kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
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
