package latchkey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/redirect"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
)

// Locator finds where an address is. It must be safe for concurrent use, and
// answer from memory: sign-ins wait for it. If it panics, that is logged and no
// country is known.
type Locator interface {
	// Country returns the ISO 3166-1 alpha-2 code of a country, "" for an
	// unknown one.
	Country(ip netip.Addr) string
}

// Engine holds the rules. Make one with [New].
type Engine struct {
	store  store.Store
	policy Policy
	ring   *seal.Ring
	hasher *hasher.Hasher
	clock  func() time.Time
	closed atomic.Bool
	nobody *record.User // is read in the place of a user who is not there

	app    string
	custom CustomFactor // nil for none
	issuer string
	jwtKey *jws.Key
	jwts   *jws.Set

	courier   *courier.Courier // nil without a notifier
	mocks     map[string]string
	redirects *redirect.List
	limiter   ratelimit.Limiter
	onEvent   func(context.Context, Event) // nil for none
	locator   Locator                      // nil for none
	logger    *slog.Logger
}

var errNoEngine = errors.New("latchkey: a handle that no engine gave")

// open reports ErrClosed once the engine is closed, and that a zero handle has
// no engine.
func (e *Engine) open() error {
	if e == nil || e.store == nil {
		return errNoEngine
	}
	if e.closed.Load() {
		return ErrClosed
	}
	return nil
}

// now is the time of an operation.
func (e *Engine) now() time.Time { return e.clock().UTC().Truncate(time.Microsecond) }

// newID returns a fresh id; ids sort by the time they were made.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// Deliveries counts what became of messages since the engine was made.
type Deliveries struct {
	Waiting int64 // not yet sent, those among them that are tried again
	Sent    int64
	Retried int64 // tries that failed and were made again
	Dropped int64 // messages that were given up, or that found the queue full
}

// tell calls the host. What it does there cannot undo what has happened, so a
// panic ends here.
func (e *Engine) tell(ctx context.Context, event Event) {
	defer e.recovered(ctx, "OnEvent")
	e.onEvent(ctx, event)
}

// recovered ends a panic of a callback and logs it, without its value: nobody
// knows what is in that.
func (e *Engine) recovered(ctx context.Context, callback string) {
	if v := recover(); v != nil {
		e.logger.ErrorContext(ctx, "latchkey: callback panicked", "callback", callback,
			"panic", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
	}
}

// mock returns the fixed code of an address that nothing is sent to.
func (e *Engine) mock(channel notify.Channel, to string) (code string, found bool) {
	if channel == notify.SMS {
		code, found = e.mocks[to]
	}
	return code, found
}

// can reports whether there is a way to send by a channel.
func (e *Engine) can(channel notify.Channel) bool {
	return e.courier.Can(channel)
}
