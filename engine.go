package latchkey

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/errands"
	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/redirect"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/mailclass"
	"example.com/latchkey/notify"
	"example.com/latchkey/oauth"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// Locator finds the country of an address. It must be safe for concurrent use,
// and answer from memory, because sign-ins wait for it. If it panics, the engine
// logs that, and the country is unknown.
type Locator interface {
	// Country returns the ISO 3166-1 alpha-2 code of a country, "" for an unknown
	// one.
	Country(ip netip.Addr) string
}

// AddressClassifier tells what is known about e-mail addresses. It must be safe for
// concurrent use.
type AddressClassifier interface {
	// Classify returns the class of an address in the form of User.Email. A class without a
	// canonical form means that nothing is known. Operations that show users, or take an
	// address that the policy may refuse, wait for it, so it answers from memory, or before
	// its context ends: after two seconds for all addresses of an operation. If it fails or
	// panics, the engine logs that, and nothing is known about the address: no policy
	// refuses it.
	Classify(ctx context.Context, address string) (mailclass.Class, error)
}

// Engine holds the rules. Make one with [New].
type Engine struct {
	store  store.Store
	policy Policy
	ring   *seal.Ring
	hasher *hasher.Hasher
	clock  func() time.Time
	// clockStep is how far the clock may step back.
	clockStep time.Duration
	closed    atomic.Bool
	decoy     *record.User // decoded when an address has no user, so that both cost the same

	app         string
	custom      CustomFactor // nil if absent
	customCodes bool         // the engine makes the codes of FactorCustom
	issuer      string
	jwtKey      *jws.Key
	jwts        *jws.Set

	notes        *errands.Errands // of uses of sessions, behind the answers of their checks
	touching     *sync.Map        // the sessions with such a note
	courier      *courier.Courier // nil without a notifier
	errands      *errands.Errands
	mocks        map[string]Secret // codes by phone number
	redirects    *redirect.List
	providers    map[string]oauth.Provider
	passkeys     RelyingParty // nil if absent
	otherDomains bool         // see Config.PasskeysOfOtherDomains
	limiter      ratelimit.Limiter
	onEvent      func(context.Context, Event) // nil if absent
	// inTransaction is nil if absent.
	inTransaction func(context.Context, store.Tx, Event) error
	observer      Observer // nil if absent
	// beginsChecks says that the observer hears of the beginnings of checks of sessions.
	beginsChecks bool
	// epoch is when the engine was made. The time since then is read from the monotonic clock
	// alone, which takes about half as long as time.Now.
	epoch   time.Time
	outbox  *outbox // nil if absent
	locator Locator // nil if absent
	// classifier is the host's; nil means package mailclass.
	classifier AddressClassifier
	logger     *slog.Logger
}

// Format prints that this is an engine, for every verb. It reads nothing that may change.
func (e *Engine) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("latchkey.Engine")) }

// open reports ErrClosed once the engine is closed, and errNoEngine for the engine
// of a zero handle.
func (e *Engine) open() error {
	if e == nil || e.store == nil {
		return errNoEngine
	}
	if e.closed.Load() {
		return ErrClosed
	}
	return nil
}

// now reads the clock. Each operation reads it once.
func (e *Engine) now() time.Time { return e.clock().UTC().Truncate(time.Microsecond) }

// ahead reports whether a time is later than a clock that never steps back by more than
// Config.MaxClockStep could have told: the clock was wrong when it was written.
func (e *Engine) ahead(t, now time.Time) bool { return t.After(now.Add(e.clockStep)) }

// call is one operation: at which engine, from which client, by which actor, and
// at what time.
type call struct {
	*Engine
	client Client // with OnLimit
	server bool   // the host's own server calls: no limits, no switched-off methods
	by     actor
	now    time.Time
	// session is the id of the session that acts; "" without one.
	session string
	// seen is the device of the client, once it was asked for.
	seen *Device
}

// recent reports whether a time is within a window before now.
func (c *call) recent(t time.Time, window time.Duration) bool {
	return !t.IsZero() && !c.ahead(t, c.now) && c.now.Sub(t) <= window
}

// live reports whether a link, a code or a challenge may still be used.
func (c *call) live(created, expire time.Time) bool {
	return expire.After(c.now) && !c.ahead(created, c.now)
}

// enabled refuses a way in that is switched off, unless the server calls.
func (c *call) enabled(m Methods) error {
	if c.server {
		return nil
	}
	return c.policy.enabled(m)
}

// maySignUp refuses to make a user for a client while sign-up is closed.
func (c *call) maySignUp() error {
	if c.policy.SignUp == SignUpClosed && !c.server {
		return ErrSignUpClosed
	}
	return nil
}

// newID returns a fresh id. Ids sort by the time at which they were made.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// tell calls the host's OnEvent. Its panic ends here, because the event has
// already happened.
func (e *Engine) tell(ctx context.Context, event Event) {
	defer e.recovered(ctx, "OnEvent")
	e.onEvent(ctx, event)
}

// recovered ends a panic of a callback and logs its type. Its value is not logged:
// it may hold anything.
func (e *Engine) recovered(ctx context.Context, callback string) {
	if v := recover(); v != nil {
		e.logger.ErrorContext(ctx, "latchkey: callback panicked", "callback", callback,
			"panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	}
}

// device returns the device of a client.
func (e *Engine) device(ctx context.Context, c Client) (d Device) {
	d = c.device()
	if e.locator != nil && c.IP.IsValid() {
		defer e.recovered(ctx, "Locator")
		if code := e.locator.Country(c.IP); len(code) == 2 {
			d.CountryCode = strings.ToLower(code)
		}
	}
	return d
}

// device returns the device of the client of a call. It asks once.
func (c *call) device(ctx context.Context) Device {
	if c.seen == nil {
		d := c.Engine.device(ctx, c.client)
		c.seen = &d
	}
	return *c.seen
}

// mockCode returns the fixed code of a phone number to which nothing is sent.
func (e *Engine) mockCode(channel notify.Channel, to string) (code string, found bool) {
	if channel == notify.SMS {
		var mock Secret
		mock, found = e.mocks[to]
		code = mock.Reveal()
	}
	return code, found
}

// canSend reports whether a channel has a notifier.
func (e *Engine) canSend(channel notify.Channel) bool { return e.courier.Can(channel) }

// canSendTo is canSend, for an address: the policy may send no texts to the number.
func (e *Engine) canSendTo(channel notify.Channel, to string) bool {
	return e.canSend(channel) && (channel != notify.SMS || e.canText(to))
}

// canText reports whether a number may get texts, or stands for one that gets none.
func (e *Engine) canText(number string) bool {
	_, mocked := e.mocks[number]
	return mocked || e.policy.Messages.allowsTexts(number)
}

// Deliveries counts messages that this engine has had in hand since it was made.
type Deliveries struct {
	Waiting int64 `json:"waiting"` // not yet sent, including those to be tried again
	Sent    int64 `json:"sent"`
	Retried int64 `json:"retried"` // tries that failed and were followed by another
	Dropped int64 `json:"dropped"` // messages that were given up, or that found the queue full
	Stale   int64 `json:"stale"`   // messages that were not sent, because their code had run out or was replaced
}

// Deliveries returns the numbers of messages that were sent, tried again and given
// up.
func (e *Engine) Deliveries() Deliveries {
	if e == nil {
		return Deliveries{}
	}
	return Deliveries(e.courier.Counts())
}

// none is the result of a call without a result.
type none = struct{}
