package latchkeyotel_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"example.com/latchkey"
	latchkeyotel "example.com/latchkey/otel"
)

// traced returns an observer with spans alone, their recorder, and a tracer for a host.
func traced(tb testing.TB, checks bool, options ...sdk.TracerProviderOption) (*latchkeyotel.Observer, *tracetest.SpanRecorder, trace.Tracer) {
	tb.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(append(options, sdk.WithSpanProcessor(recorder))...)
	observer, err := latchkeyotel.New(latchkeyotel.Options{TracerProvider: provider, TraceChecks: checks})
	if err != nil {
		tb.Fatal(err)
	}
	return observer, recorder, provider.Tracer("host")
}

func text(attrs []attribute.KeyValue) string {
	set := attribute.NewSet(attrs...)
	return set.Encoded(attribute.DefaultEncoder())
}

// operate makes an operation with what happens in it, and returns its context.
func operate(observer *latchkeyotel.Observer, ctx context.Context, name, outcome string, inside ...latchkey.Observation) context.Context {
	ctx = observer.Begin(ctx, name)
	for _, o := range inside {
		observer.Observe(ctx, o)
	}
	observer.Observe(ctx, latchkey.Observation{What: latchkey.ObservedOperation, Name: name, Outcome: outcome, Count: 1, Took: time.Millisecond})
	return ctx
}

func wantSpans(tb testing.TB, recorder *tracetest.SpanRecorder, want ...string) {
	tb.Helper()
	var got []string
	for _, s := range recorder.Ended() {
		got = append(got, s.Name())
	}
	if !slices.Equal(got, want) || len(recorder.Started()) != len(want) {
		tb.Errorf("%q have ended of %d, want %q", got, len(recorder.Started()), want)
	}
}

func TestAnOperationHasASpanBelowThatOfTheHost(t *testing.T) {
	observer, recorder, host := traced(t, false)
	ctx, above := host.Start(t.Context(), "GET /")
	operate(observer, ctx, "create account", "")
	above.End()
	wantSpans(t, recorder, "latchkey create account", "GET /")
	span := recorder.Ended()[0]
	if span.Parent().SpanID() != above.SpanContext().SpanID() || span.SpanKind() != trace.SpanKindInternal || span.InstrumentationScope().Name != "example.com/latchkey/otel" {
		t.Errorf("%+v", span)
	}
	if got := text(span.Attributes()); got != "latchkey.operation.name=create account" {
		t.Error(got)
	}
}

// Only a fault is an error of the service.
func TestTheStatusIsErrorForAFaultAlone(t *testing.T) {
	for outcome, want := range map[string]string{"": "Unset", "user_invalid_credentials": "Unset", "canceled": "Unset", "closed": "Unset", "host": "Unset", "fault": "Error"} {
		observer, recorder, _ := traced(t, false)
		operate(observer, t.Context(), "create account", outcome, latchkey.Observation{What: latchkey.ObservedTransaction, Outcome: outcome, Count: 1})
		for _, span := range recorder.Ended() {
			errorType := ""
			for _, a := range span.Attributes() {
				if a.Key == "error.type" {
					errorType = a.Value.AsString()
				}
			}
			if got := span.Status(); got.Code.String() != want || got.Description != "" || errorType != outcome {
				t.Errorf("%s: %+v, error.type %q", outcome, got, errorType)
			}
		}
	}
}

func TestTransactionsAndHashesAreChildrenWithTheirTimes(t *testing.T) {
	observer, recorder, _ := traced(t, false)
	operate(observer, t.Context(), "create account", "",
		latchkey.Observation{What: latchkey.ObservedHash, Count: 1, Waited: 2 * time.Second, Took: time.Second},
		latchkey.Observation{What: latchkey.ObservedTransaction, Count: 3, Took: 5 * time.Second},
	)
	wantSpans(t, recorder, "latchkey hash", "latchkey transaction", "latchkey create account")
	operation := recorder.Ended()[2]
	for i, want := range []struct {
		length time.Duration
		attrs  string
	}{{3 * time.Second, "latchkey.hash.queue.duration=2"}, {5 * time.Second, "latchkey.transaction.runs=3"}} {
		span := recorder.Ended()[i]
		if got := span.EndTime().Sub(span.StartTime()); got != want.length || text(span.Attributes()) != want.attrs {
			t.Errorf("%s: %v, %s", span.Name(), got, text(span.Attributes()))
		}
		if span.Parent().SpanID() != operation.SpanContext().SpanID() || span.SpanKind() != trace.SpanKindInternal {
			t.Errorf("%+v", span)
		}
	}
}

func TestRefusalsByLimitsAreEvents(t *testing.T) {
	observer, recorder, _ := traced(t, false)
	operate(observer, t.Context(), "create account", "general_rate_limit_exceeded",
		latchkey.Observation{What: latchkey.ObservedLimiter, Name: "messages", Outcome: "fault", Count: 1},
		latchkey.Observation{What: latchkey.ObservedThrottled, Name: "sign-ups", Count: 1},
	)
	wantSpans(t, recorder, "latchkey create account")
	var got []string
	for _, e := range recorder.Ended()[0].Events() {
		got = append(got, e.Name+" "+text(e.Attributes))
	}
	if want := []string{"latchkey.limit.failure latchkey.limit.name=messages", "latchkey.limit.refusal latchkey.limit.name=sign-ups"}; !slices.Equal(got, want) {
		t.Error(got)
	}
}

// The span of the host that a check finds in its context stays the host's: it gets nothing, and does
// not end.
func TestChecksHaveSpansOnRequestAlone(t *testing.T) {
	for _, name := range []string{"authenticate", "authenticate JWT"} {
		note := latchkey.Observation{What: latchkey.ObservedTransaction, Count: 1, Took: time.Millisecond}
		observer, recorder, host := traced(t, false)
		ctx, above := host.Start(t.Context(), "GET /")
		if operate(observer, ctx, name, "fault", note) != ctx || len(recorder.Started()) != 1 || !above.IsRecording() {
			t.Errorf("%s: %d spans, that of the host goes on: %v", name, len(recorder.Started()), above.IsRecording())
		}
		observer, recorder, _ = traced(t, true)
		operate(observer, t.Context(), name, "", note)
		wantSpans(t, recorder, "latchkey transaction", "latchkey "+name)
	}
}

// An operation whose beginning was not told ends no span of another.
func TestAnOperationEndsItsOwnSpanAlone(t *testing.T) {
	observer, recorder, host := traced(t, false)
	ctx, _ := host.Start(t.Context(), "GET /")
	ended := latchkey.Observation{What: latchkey.ObservedOperation, Name: "create account", Count: 1}
	observer.Observe(ctx, ended)
	observer.Observe(observer.Begin(ctx, "import"), ended)
	if n := len(recorder.Ended()); n != 0 {
		t.Errorf("%d spans have ended", n)
	}
}

// The note of a session's use may be written after the answer of its check.
func TestWhatComesAfterTheEndHasNoSpan(t *testing.T) {
	observer, recorder, _ := traced(t, true)
	ctx := operate(observer, t.Context(), "authenticate", "")
	observer.Observe(ctx, latchkey.Observation{What: latchkey.ObservedTransaction, Count: 1})
	wantSpans(t, recorder, "latchkey authenticate")
}

func TestASpanThatIsNotSampledHasNoChildren(t *testing.T) {
	observer, recorder, _ := traced(t, false, sdk.WithSampler(sdk.NeverSample()))
	operate(observer, t.Context(), "create account", "fault", latchkey.Observation{What: latchkey.ObservedTransaction, Count: 1})
	if n := len(recorder.Started()); n != 0 {
		t.Error(n)
	}
}

// Deliveries, sessions and sweeps, and kinds of later versions, have no span.
func TestOtherObservationsHaveNoSpan(t *testing.T) {
	observer, recorder, _ := traced(t, false)
	var inside []latchkey.Observation
	for _, what := range []latchkey.Observed{latchkey.ObservedDelivery, latchkey.ObservedSessions, latchkey.ObservedSweep, latchkey.ObservedSignIn, "later"} {
		inside = append(inside, latchkey.Observation{What: what, Name: "email", Outcome: "fault", Count: 1})
	}
	operate(observer, t.Context(), "create account", "", inside...)
	wantSpans(t, recorder, "latchkey create account")
	if span := recorder.Ended()[0]; len(span.Events()) > 0 || text(span.Attributes()) != "latchkey.operation.name=create account" {
		t.Error(fmt.Sprint(span.Events(), text(span.Attributes())))
	}
}
