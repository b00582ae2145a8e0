// Package latchkey is an auth engine that a Go service imports: accounts and
// sessions, and the rules between them, over a store that the service chooses.
// It has no transport: no handler, cookie or page is in it.
//
//	s, err := sqlite.Open("app.db")
//	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: key}})
//
//	guest := engine.Guest(latchkey.Client{IP: ip, UserAgent: agent})
//	session, err := guest.CreateEmailPasswordSession(ctx, email, password)
//
//	account, err := guest.Authenticate(ctx, session.Secret) // on every request
//	user, err := account.User(ctx)
//
// # Who may call what
//
// A caller's power is the value that it holds. [Engine.Guest] gives what anyone
// may do; [Guest.Authenticate] gives an [Account], with which a signed-in user
// acts on their own account; [Engine.Users] gives the server's scope over all
// users. There is no current user in a context.
//
// # Errors
//
// Answers that a caller may switch on are an [*Error], compared with errors.Is
// to a sentinel such as [ErrInvalidCredentials]. Everything else is a fault; its
// text names the operation and nothing more, and errors.Unwrap gives the cause.
// An operation that returns an error has changed nothing, but for what it
// counts and for the line of the log about the refusal; if the store does not know the outcome of a commit, the error says so
// (store.ErrUnknownOutcome).
//
// # Time and concurrency
//
// Times are UTC in whole microseconds. Every method of every type may be called
// from several goroutines at once.
package latchkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/redirect"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// Config configures an engine.
type Config struct {
	// Keys seal what the store must not tell. Active is required: there is no
	// default key.
	Keys Keys
	// Policy is what the host decides about accounts; zero is the documented
	// behaviour.
	Policy Policy
	// Hasher hashes passwords; nil means one of the engine's own, with the
	// cost that the policy says.
	Hasher *hasher.Hasher
	// Limiter counts calls; nil means a ratelimit.Memory of the engine's own.
	// A host on several machines brings one that they share. If it fails,
	// signing in and [Account.UpdatePassword] answer with [ErrBusy], other
	// operations go on.
	Limiter ratelimit.Limiter
	// Now is the clock; nil means time.Now. It is read once an operation, when
	// it begins.
	Now func() time.Time
	// Notifier sends e-mail and SMS sends text messages; nil means that there is
	// no way to, and what needs it answers with [ErrSMTPDisabled] or
	// [ErrPhoneDisabled]. A message is sent after the commit of what it tells of,
	// by goroutines that end with Close: the caller does not wait for it. At
	// most 1,000 wait, 100 of them notices and 500 that were tried; 4 are sent at once, each is tried up to six times within
	// six minutes. A process that dies loses those that wait: links and codes are
	// asked for again, notices of what has happened to an account are lost, and its
	// log has the line. Who does not want a kind of message returns nil for it.
	Notifier, SMS notify.Notifier
	// Issuer is what the JWTs say of who made them, and whom they are for: the URL
	// of the service, for example; "" means "latchkey". Services that share a key,
	// and do not mean to take each other's JWTs, have different ones.
	Issuer string
	// App is what the service is called, in authenticator apps; "" means Issuer.
	App string
	// CustomFactor is a second factor of the host's own; nil for none.
	CustomFactor CustomFactor
	// MockNumbers are phone numbers of the host's own, for tests of its apps, with
	// a fixed code of six digits for each. Nothing is sent to them; everything else
	// is as for other numbers. Whoever knows such a code owns the number.
	MockNumbers map[string]string
	// RedirectHosts are where links in messages may lead: a host name
	// (app.example.org: http and https, any port; localhost stands for
	// 127.0.0.1 and [::1] too), *.example.org for every name below it,
	// https://app.example.org for that scheme and port alone, or myapp: for
	// the scheme of an app. Empty means nowhere. A page on these hosts that
	// forwards to any address, or shows the address it was called by, gives
	// secrets away.
	RedirectHosts []string
	// OnEvent gets every event, after the commit of what it tells of and before
	// the operation returns, on the caller's goroutine: what takes long belongs
	// on another. Its context is the caller's, but is not cancelled with it. It
	// may use the engine. If it panics, that is logged and
	// nothing else. Events of one operation come in order; those of operations
	// that run at once, in any. A process that dies between a commit and its
	// events never tells them: the audit log is what is complete.
	OnEvent func(context.Context, Event)
	// Locator finds the country of a client's address, for sessions and logs;
	// nil means that no country is known. Package geoip has one.
	Locator Locator
	// Logger gets what the engine has nobody to return to: that a last-seen
	// time was not written, that a callback panicked. nil means slog.Default.
	Logger *slog.Logger
}

// New returns an engine over a store that the caller has opened, and closes
// after the engine. It fails without a key, with a key that was not drawn at
// random, and with a policy out of its bounds.
func New(s store.Store, c Config) (*Engine, error) {
	if s == nil {
		return nil, errors.New("latchkey: no store")
	}
	ring, err := c.Keys.ring()
	if err != nil {
		return nil, err
	}
	policy, err := c.Policy.filled()
	if err != nil {
		return nil, err
	}
	if c.Hasher == nil {
		if c.Hasher, err = hasher.New(hasher.Config{Params: policy.PasswordHash}); err != nil {
			return nil, fmt.Errorf("latchkey: %w", err)
		}
	}
	redirects, err := redirect.Parse(c.RedirectHosts)
	if err != nil {
		return nil, fmt.Errorf("latchkey: Config.RedirectHosts: %w", err)
	}
	if err := mockNumbers(c.MockNumbers); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Limiter == nil {
		c.Limiter = ratelimit.NewMemory(0)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	issuer := cmp.Or(c.Issuer, "latchkey")
	jwtKey, jwts := signer(ring, issuer)
	return &Engine{
		store: s, policy: policy, ring: ring, hasher: c.Hasher, clock: c.Now, decoy: newUser(newID(), time.Time{}),
		app: cmp.Or(c.App, issuer), custom: c.CustomFactor, issuer: issuer, jwtKey: jwtKey, jwts: jwts,
		courier: courier.New(c.Notifier, c.SMS, c.Logger), mocks: maps.Clone(c.MockNumbers), redirects: redirects,
		limiter: c.Limiter, onEvent: c.OnEvent, locator: c.Locator, logger: c.Logger,
	}, nil
}

// Close is CloseContext with ten seconds for the messages that wait.
func (e *Engine) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closingTime)
	defer cancel()
	return e.CloseContext(ctx)
}

// CloseContext ends the engine: every later call of it, and of the handles that
// it gave, is [ErrClosed]. It waits until the messages that wait are sent or
// given up, or the context ends; those that are left then are dropped. It does
// not close the store. It fails if a notifier does not return within a second
// after its context has ended: that goroutine is left behind.
func (e *Engine) CloseContext(ctx context.Context) error {
	e.closed.Store(true)
	return e.courier.Close(ctx)
}

// Schema returns the tables of the engine, for the author of a backend: a store
// that is handed to [New] holds these.
func Schema() *store.Schema { return record.Schema }

const (
	// closingTime is how long [Engine.Close] waits for messages.
	closingTime = 10 * time.Second
)

// mockNumbers checks the numbers of [Config].MockNumbers.
func mockNumbers(numbers map[string]string) error {
	for phone, code := range numbers {
		if err := canon.Phone(phone); err != nil {
			return fmt.Errorf("latchkey: Config.MockNumbers: %q is no phone number", phone)
		}
		if len(code) != codes.OTPDigits || !codes.AllDigits(code) {
			return fmt.Errorf("latchkey: Config.MockNumbers: the code of %s is not %d digits", phone, codes.OTPDigits)
		}
	}
	return nil
}
