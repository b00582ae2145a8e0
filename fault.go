package latchkey

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"example.com/latchkey/store"
)

// fault is an error that the caller cannot mend. Its text names only the
// operation, since a driver's text may hold anything. Unwrap gives the cause.
type fault struct {
	op    string
	cause error
}

func (f *fault) Error() string {
	switch {
	case errors.Is(f.cause, context.Canceled):
		return "latchkey: " + f.op + ": " + context.Canceled.Error()
	case errors.Is(f.cause, context.DeadlineExceeded):
		return "latchkey: " + f.op + ": " + context.DeadlineExceeded.Error()
	}
	return "latchkey: " + f.op + ": internal error"
}

func (f *fault) Unwrap() error { return f.cause }

// IsFault reports whether an error is a fault of an operation of the engine, which Config.Logger has
// got with its cause already. A host need not log it again.
func IsFault(err error) bool {
	_, is := errors.AsType[*fault](err)
	return is
}

// hostError is the error of a function of the host's. An operation returns it as it is.
type hostError struct{ cause error }

func (e *hostError) Error() string { return e.cause.Error() }

func (e *hostError) Unwrap() error { return e.cause }

// asHostError marks an error of a function of the host's, if there is one.
func asHostError(err error) error {
	if err == nil {
		return nil
	}
	return &hostError{err}
}

// hostPanic is a panic of the host's InTransaction. Its value is not kept: it may hold anything.
type hostPanic struct {
	kind  string // the type of the value
	stack []byte
}

func (p *hostPanic) Error() string {
	return "latchkey: InTransaction panicked with a value of type " + p.kind
}

// loggedError is an error that the engine has logged with more than an operation tells.
type loggedError struct{ cause error }

func (e *loggedError) Error() string { return e.cause.Error() }

func (e *loggedError) Unwrap() error { return e.cause }

// operation is a call of a public method, from its beginning to its end. Methods defer its end.
type operation struct {
	engine   *Engine
	ctx      context.Context
	name     string
	observed bool
	began    time.Duration // since Engine.epoch; zero if it is not timed
}

// timedChecks is the number of checks of sessions of which one is timed. A check of a session in memory
// takes less than a microsecond, and two readings of the clock a tenth of that.
const timedChecks = 64

// The operations that run on every request.
const (
	checkSession = "authenticate"
	checkJWT     = "authenticate JWT"
)

// isCheck reports whether an operation runs on every request.
func isCheck(name string) bool { return name == checkSession || name == checkJWT }

// operation begins an operation. An observer may give it another context.
func (e *Engine) operation(ctx *context.Context, name string) operation {
	o := operation{engine: e, name: name}
	if e != nil && e.observer != nil {
		o.observed = true
		if !isCheck(name) || rand.Uint32()%timedChecks == 0 {
			o.began = time.Since(e.epoch)
		}
		if e.beginsChecks || !isCheck(name) {
			*ctx = e.beginWithin(*ctx, name)
		}
	}
	o.ctx = *ctx
	return o
}

// beginWithin returns the context that the observer gives an operation.
func (e *Engine) beginWithin(ctx context.Context, name string) (within context.Context) {
	within = ctx
	defer e.recovered(ctx, "Observer")
	if its := e.observer.Begin(ctx, name); its != nil {
		within = its
	}
	return within
}

// end turns the error of an operation into its answer, and tells the observer.
func (o operation) end(err *error) {
	if o.observed {
		if v := recover(); v != nil { // of the host's store
			o.ended("fault")
			panic(v)
		}
	}
	if *err == nil {
		if o.observed {
			o.engine.tellEnd(o.ctx, o.name, "", o.began)
		}
		return
	}
	outcome := outcomeOf(*err)
	o.engine.publicError(o.ctx, o.name, err)
	if outcome == "fault" {
		outcome = outcomeOf(*err) // it may be an answer now
	}
	if o.observed {
		o.ended(outcome)
	}
}

// ended tells the observer that an operation has failed.
func (o *operation) ended(outcome string) {
	if way := signIns[o.name]; way != "" {
		o.engine.observe(o.ctx, Observation{What: ObservedSignIn, Name: way, Outcome: outcome, Count: 1})
	}
	o.engine.tellEnd(o.ctx, o.name, outcome, o.began)
}

// tellEnd tells the observer that an operation has ended.
func (e *Engine) tellEnd(ctx context.Context, name, outcome string, began time.Duration) {
	defer e.recovered(ctx, "Observer")
	var took time.Duration
	if began != 0 {
		took = time.Since(e.epoch) - began
	}
	e.observer.Observe(ctx, Observation{What: ObservedOperation, Name: name, Outcome: outcome, Count: 1, Took: took})
}

// observe tells the observer, if there is one.
func (e *Engine) observe(ctx context.Context, o Observation) {
	if e.observer == nil {
		return
	}
	defer e.recovered(ctx, "Observer")
	e.observer.Observe(ctx, o)
}

// stopwatch returns the time for an observer, the zero time without one.
func (e *Engine) stopwatch() (began time.Time) {
	if e.observer != nil {
		began = time.Now()
	}
	return began
}

// outcomeOf returns the outcome of an operation with an error.
func outcomeOf(err error) string {
	if err == nil {
		return ""
	}
	if own, is := errors.AsType[*Error](err); is {
		return own.Type
	}
	switch {
	case errors.Is(err, ErrClosed):
		return "closed"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	}
	if _, is := errors.AsType[*hostError](err); is {
		return "host"
	}
	return "fault"
}

// publicError turns the error of a public method into its answer: the engine's own errors and those
// of the host's functions stay as they are, and every other error becomes a fault. It is the one
// place where faults are logged.
func (e *Engine) publicError(ctx context.Context, op string, err *error) {
	if host, is := errors.AsType[*hostError](*err); is {
		*err = host.cause
		return
	}
	if already, is := errors.AsType[*fault](*err); is { // of an operation that this one has called
		*err = already
		return
	}
	switch {
	case errors.Is(*err, ErrClosed), errors.Is(*err, errNoEngine), isAnswer(*err):
	case errors.Is(*err, store.ErrReference) && (strings.HasPrefix(op, "delete") || op == "sweep"): // by the host: the engine deletes its own rows in order
		*err = ErrReferenced
	default:
		*err = &fault{op, *err}
		e.logFault(ctx, op, *err)
	}
}

// logFault logs a fault with its cause, at ERROR, or at DEBUG if the caller has gone.
func (e *Engine) logFault(ctx context.Context, op string, err error) {
	if _, logged := errors.AsType[*loggedError](err); logged || e == nil || e.logger == nil {
		return
	}
	level := slog.LevelError
	if ctx.Err() != nil {
		level = slog.LevelDebug
	}
	attrs := []any{"operation", op, "error", errors.Unwrap(err)}
	if p, is := errors.AsType[*hostPanic](err); is {
		attrs = append(attrs, "stack", string(p.stack))
	}
	e.logger.Log(context.WithoutCancel(ctx), level, "latchkey: an operation has failed", attrs...)
}
