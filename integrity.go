package latchkey

import (
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/seal"
	"example.com/latchkey/ratelimit"
)

// sealed names a sealed value in events and in the log of the program.
type sealed string

// The sealed values.
const (
	sealedPassword     sealed = "password"
	sealedHistory      sealed = "history" // of passwords
	sealedTOTP         sealed = "totp"
	sealedRecoveryCode sealed = "recoverycode"
	sealedOutbox       sealed = "outbox"    // a message or an event that waits
	sealedChallenge    sealed = "challenge" // the code of FactorCustom
	sealedProvider     sealed = "provider"  // a token of an identity
)

// integrityWindow is how often the host is told of the same value at most.
const integrityWindow = time.Minute

// unopened is a sealed value that did not open.
type unopened struct {
	value  sealed
	userID string
	cause  error
}

// sealFault logs that a sealed value of a user does not open, tells the host if the value
// was changed or moved, and returns the error. In a transaction, use that of txn.
func (e *Engine) sealFault(ctx context.Context, value sealed, userID string, cause error) error {
	u := unopened{value, userID, cause}
	e.logUnopened(ctx, u)
	e.tellUnopened(ctx, u)
	return &loggedError{cause}
}

// logUnopened logs a value that does not open.
func (e *Engine) logUnopened(ctx context.Context, u unopened) {
	e.logger.ErrorContext(ctx, "latchkey: a sealed value does not open", "value", string(u.value), "user", u.userID, "error", u.cause)
}

// tellUnopened tells the host of a value that was changed or moved. A value whose key the
// engine lacks is a matter of the configuration, and is only logged.
func (e *Engine) tellUnopened(ctx context.Context, u unopened) {
	if !e.tellsEvents() || !errors.Is(u.cause, seal.ErrDamaged) {
		return
	}
	ctx = context.WithoutCancel(ctx)
	c := &call{Engine: e, now: e.now()}
	key := ratelimit.Key(e.ring.Digest("integrity", string(u.value), u.userID)[:16])
	if told, err := c.take(ctx, key, ratelimit.Rule{Calls: 1, Window: integrityWindow}); err != nil || !told.Allowed {
		return
	}
	e.announce(ctx, Event{
		ID: newID(), Name: "integrity." + string(u.value) + ".failed", Time: c.now, UserID: u.userID, Mode: string(modeSystem),
	})
}
