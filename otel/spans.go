package latchkeyotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/latchkey"
)

// The attributes of spans alone.
const (
	keyRuns   = attribute.Key("latchkey.transaction.runs")
	keyWaited = attribute.Key("latchkey.hash.queue.duration") // in seconds
)

// under is the operation in whose context something happens. The context may have a span of the host
// too, which is not ours to end.
type under struct {
	operation string
	span      trace.Span
}

type underKey struct{}

// beginSpan begins the span of an operation.
func (o *Observer) beginSpan(ctx context.Context, operation string) context.Context {
	ctx, span := o.tracer.Start(ctx, "latchkey "+operation, trace.WithAttributes(keyOperation.String(operation)))
	return context.WithValue(ctx, underKey{}, &under{operation, span})
}

// endSpan ends the span of an operation.
func (o *Observer) endSpan(ctx context.Context, operation, outcome string) {
	if op, _ := ctx.Value(underKey{}).(*under); op != nil && op.operation == operation {
		fail(op.span, outcome)
		op.span.End()
	}
}

// trace adds an observation to the span of its operation, and ends the span with the last one.
func (o *Observer) trace(ctx context.Context, seen *latchkey.Observation) {
	op, _ := ctx.Value(underKey{}).(*under)
	if op == nil {
		return
	}
	switch seen.What {
	case latchkey.ObservedOperation:
		o.endSpan(ctx, seen.Name, seen.Outcome)
	case latchkey.ObservedTransaction:
		o.child(ctx, op, "latchkey transaction", seen, seen.Took, keyRuns.Int(seen.Count))
	case latchkey.ObservedHash:
		o.child(ctx, op, "latchkey hash", seen, seen.Waited+seen.Took, keyWaited.Float64(seen.Waited.Seconds()))
	case latchkey.ObservedThrottled:
		op.span.AddEvent("latchkey.limit.refusal", trace.WithAttributes(keyLimit.String(seen.Name)))
	case latchkey.ObservedLimiter:
		op.span.AddEvent("latchkey.limit.failure", trace.WithAttributes(keyLimit.String(seen.Name)))
	}
}

// child makes a span of something that has ended now.
func (o *Observer) child(ctx context.Context, op *under, name string, seen *latchkey.Observation, length time.Duration, attr attribute.KeyValue) {
	if !op.span.IsRecording() { // it was not sampled, or has ended
		return
	}
	end := time.Now()
	_, span := o.tracer.Start(trace.ContextWithSpan(ctx, op.span), name, trace.WithTimestamp(end.Add(-length)), trace.WithAttributes(attr))
	fail(span, seen.Outcome)
	span.End(trace.WithTimestamp(end))
}

// fail gives a span its outcome. Only a fault is an error of the service.
func fail(span trace.Span, outcome string) {
	if outcome == "" {
		return
	}
	span.SetAttributes(keyErrorType.String(outcome))
	if outcome == "fault" {
		span.SetStatus(codes.Error, "")
	}
}
