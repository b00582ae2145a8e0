// Package latchkeyotel tells OpenTelemetry what an engine does. Its [Observer] goes into
// [latchkey.Config].Observer:
//
//	observer, err := latchkeyotel.New(latchkeyotel.Options{MeterProvider: meters, TracerProvider: tracers})
//	engine, err := latchkey.New(store, latchkey.Config{Keys: keys, Observer: observer})
//
// It is a module of its own, so that the engine does not depend on OpenTelemetry. It uses the API
// alone. The host chooses the SDK, the exporters and the sampler. The package is not called otel,
// because that is the name of go.opentelemetry.io/otel.
//
// # Metrics
//
// The page docs/observing.md lists the metrics with their units and attributes, alerts on them, and a
// dashboard. The attribute error.type is the type of the [latchkey.Error] that an operation has
// answered with, such as user_invalid_credentials, or fault, host, canceled or closed. It is absent if all
// went well. So latchkey.operation.duration counts refusals by their type as well.
//
// The checks of sessions run on every request of a host: [latchkey.Guest.Authenticate],
// AuthenticateProfile and AuthenticateJWT. They have metrics of their own, which cost little. Each
// check is counted in latchkey.session.checks. The engine times one check in 64, chosen at random,
// and latchkey.session.check.duration has those alone. So its quantiles are those of all checks,
// and its count is not.
//
// The engine does not see the commits of its store. The stores sqlite and bbolt let transactions that
// wait for one another share a commit, and tell [Observer.Commit] of it:
//
//	store, err := sqlite.OpenWith(path, sqlite.Options{OnCommit: observer.Commit})
//
// # Spans
//
// Each operation has a span of kind internal, such as "latchkey create e-mail session", with its
// transactions and the hashes of its passwords as children. A refusal by a limit is an event of the
// span. Checks of sessions have spans only with [Options].TraceChecks. Deliveries have none,
// because they come after the operation that has asked for them.
//
// The status of a span is Error for a fault alone. A wrong password is an answer of a service that
// works: its span has error.type and no status. This is the way of the conventions for HTTP and gRPC
// servers, where errors of the client leave the status unset.
//
// # People
//
// No metric and no span has anything that identifies a person: no id, no address, no secret. The
// values of attributes are names of operations, limits, ways to sign in, channels, receivers, and
// types of errors, all from fixed sets.
package latchkeyotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"example.com/latchkey"
)

// scope is the instrumentation scope of all metrics and spans.
const scope = "example.com/latchkey/otel"

// Options are where an [Observer] sends what it is told.
type Options struct {
	// MeterProvider makes the instruments. Nil means no metrics.
	MeterProvider metric.MeterProvider
	// TracerProvider makes the tracer. Nil means no spans.
	TracerProvider trace.TracerProvider
	// TraceChecks makes a span for each check of a session as well. They run on every request of
	// the host, and take a microsecond in memory. A span takes several, and memory of the exporter.
	TraceChecks bool
}

// Observer is a [latchkey.Observer]. It is safe for concurrent use.
type Observer struct {
	meters  *meters // nil without metrics
	tracer  trace.Tracer
	checks  bool // have spans
	closing metric.Registration
}

var _ latchkey.CheckObserver = (*Observer)(nil)

// New makes an observer. Engines of one process may share it: their numbers add up. It fails if the
// MeterProvider refuses an instrument.
func New(o Options) (*Observer, error) {
	observer := &Observer{checks: o.TraceChecks}
	if o.TracerProvider != nil {
		observer.tracer = o.TracerProvider.Tracer(scope)
	}
	if o.MeterProvider == nil {
		return observer, nil
	}
	var err error
	observer.meters, observer.closing, err = newMeters(o.MeterProvider.Meter(scope))
	if err != nil {
		return nil, err
	}
	return observer, nil
}

// Close ends the metrics that the MeterProvider reads by itself: latchkey.session.checks and
// latchkey.sweep.last_time. Close the observer after the engine, and before the MeterProvider.
// Without it the provider keeps the observer in memory. A second call does nothing.
func (o *Observer) Close() error {
	if o == nil || o.closing == nil {
		return nil
	}
	return o.closing.Unregister()
}

// Commit is for the option OnCommit of the stores sqlite and bbolt. Several stores may have one
// observer: their numbers add up.
func (o *Observer) Commit(updates int, took time.Duration) {
	if o != nil && o.meters != nil {
		o.meters.commit(updates, took)
	}
}

// BeginsChecks is for the engine: checks of sessions have spans.
func (o *Observer) BeginsChecks() bool { return o.checks && o.tracer != nil }

// Begin is for the engine: an operation begins.
func (o *Observer) Begin(ctx context.Context, operation string) context.Context {
	if o.tracer == nil || !o.checks && isCheck(operation) {
		return ctx
	}
	return o.beginSpan(ctx, operation)
}

// Observe is for the engine: something has happened. Kinds that this version does not know are
// ignored.
func (o *Observer) Observe(ctx context.Context, seen latchkey.Observation) {
	if seen.What == latchkey.ObservedOperation && isCheck(seen.Name) {
		if o.meters != nil {
			o.meters.checks.add(seen.Name, seen.Outcome)
		}
		if seen.Took == 0 && !o.checks { // almost always
			return
		}
	}
	if o.meters != nil {
		o.meters.observe(ctx, &seen)
	}
	if o.tracer != nil {
		o.trace(ctx, &seen)
	}
}

// The operations that check a session.
const (
	checkSession = "authenticate"
	checkJWT     = "authenticate JWT"
)

// isCheck reports whether an operation is the check of a session.
func isCheck(operation string) bool { return operation == checkSession || operation == checkJWT }
