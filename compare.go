package latchkey

import (
	"context"
	"errors"
	"time"
)

// settleTime is how long the comparison of a secret and its transaction may take.
const settleTime = 15 * time.Second

// settling returns the context of a comparison of a secret and of the transaction that
// counts or passes it. The caller cannot cancel it: otherwise an attacker could hang up
// after the comparison, and the guess would not be counted. A caller who has gone before
// gets their error, and nothing is compared.
func settling(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	return context.WithValue(ctx, settled{}, true), cancel, nil
}

// settled marks the context of settling.
type settled struct{}

// errUnsettled is the fault of an operation that compares a secret without settling.
var errUnsettled = errors.New("latchkey: a secret is compared in a context that its caller can cancel")

// compare runs the comparison of a secret that can be guessed. Every such comparison goes
// through it: one whose count the caller could prevent is a fault. What counts or passes the
// answer is the guard of the operation, in a transaction under the same context.
func compare[T any](ctx context.Context, right func() (T, error)) (T, error) {
	if ctx.Value(settled{}) == nil {
		var zero T
		return zero, errUnsettled
	}
	return right()
}
