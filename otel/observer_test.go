package latchkeyotel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"example.com/latchkey"
	latchkeyotel "example.com/latchkey/otel"
)

// metered returns an observer with metrics alone, and their reader.
func metered(tb testing.TB) (*latchkeyotel.Observer, *sdk.ManualReader) {
	tb.Helper()
	reader := sdk.NewManualReader()
	observer, err := latchkeyotel.New(latchkeyotel.Options{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
	if err != nil {
		tb.Fatal(err)
	}
	return observer, reader
}

// point is a value of a metric with its attributes.
type point struct {
	metric metricdata.Metrics
	attrs  attribute.Set
	count  int64   // of a counter or a histogram
	sum    float64 // of a histogram or a gauge
}

// String returns a point as name{attribute=value} count, or count/sum for a histogram.
func (p point) String() string {
	text := fmt.Sprintf("%s{%s} %d", p.metric.Name, p.attrs.Encoded(attribute.DefaultEncoder()), p.count)
	if isHistogram(p.metric) {
		text += fmt.Sprintf("/%g", p.sum)
	}
	return text
}

// collect returns the points of all metrics.
func collect(tb testing.TB, reader sdk.Reader) (points []point) {
	tb.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		tb.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					points = append(points, point{m, p.Attributes, int64(p.Count), p.Sum})
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					points = append(points, point{m, p.Attributes, int64(p.Count), float64(p.Sum)})
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					points = append(points, point{m, p.Attributes, p.Value, 0})
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					points = append(points, point{m, p.Attributes, 0, p.Value})
				}
			default:
				tb.Fatalf("%s is a %T", m.Name, data)
			}
		}
	}
	return points
}

// wantPoints fails unless the metrics have the given points, and no others but zeros.
func wantPoints(tb testing.TB, reader sdk.Reader, want ...string) {
	tb.Helper()
	var got []string
	for _, p := range collect(tb, reader) {
		if p.count != 0 {
			got = append(got, p.String())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		tb.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestEachObservationArrivesUnderItsName(t *testing.T) {
	for _, c := range []struct {
		name string
		seen latchkey.Observation
		want []string
	}{
		{
			"an operation that went well", latchkey.Observation{What: latchkey.ObservedOperation, Name: "create account", Count: 1, Took: 500 * time.Millisecond},
			[]string{"latchkey.operation.duration{latchkey.operation.name=create account} 1/0.5"},
		},
		{
			"a refused operation", latchkey.Observation{What: latchkey.ObservedOperation, Name: "create account", Outcome: "user_already_exists", Count: 1, Took: time.Second},
			[]string{"latchkey.operation.duration{error.type=user_already_exists,latchkey.operation.name=create account} 1/1"},
		},
		{
			"a check", latchkey.Observation{What: latchkey.ObservedOperation, Name: "authenticate", Count: 1},
			[]string{"latchkey.session.checks{latchkey.operation.name=authenticate} 1"},
		},
		{
			"a check of a JWT", latchkey.Observation{What: latchkey.ObservedOperation, Name: "authenticate JWT", Count: 1},
			[]string{"latchkey.session.checks{latchkey.operation.name=authenticate JWT} 1"},
		},
		{
			"a refused check", latchkey.Observation{What: latchkey.ObservedOperation, Name: "authenticate", Outcome: "user_blocked", Count: 1},
			[]string{"latchkey.session.checks{error.type=user_blocked,latchkey.operation.name=authenticate} 1"},
		},
		{
			"a timed check", latchkey.Observation{What: latchkey.ObservedOperation, Name: "authenticate", Count: 1, Took: time.Second},
			[]string{"latchkey.session.checks{latchkey.operation.name=authenticate} 1", "latchkey.session.check.duration{latchkey.operation.name=authenticate} 1/1"},
		},
		{
			"a sign-in", latchkey.Observation{What: latchkey.ObservedSignIn, Name: "email", Count: 1},
			[]string{"latchkey.sign_in.attempts{latchkey.sign_in.method=email} 1"},
		},
		{
			"a failed sign-in", latchkey.Observation{What: latchkey.ObservedSignIn, Name: "token", Outcome: "user_invalid_token", Count: 1},
			[]string{"latchkey.sign_in.attempts{error.type=user_invalid_token,latchkey.sign_in.method=token} 1"},
		},
		{
			"a refusal by a limit", latchkey.Observation{What: latchkey.ObservedThrottled, Name: "messages", Count: 1},
			[]string{"latchkey.limit.refusals{latchkey.limit.name=messages} 1"},
		},
		{
			"a failure of the limiter", latchkey.Observation{What: latchkey.ObservedLimiter, Name: "messages", Outcome: "fault", Count: 1},
			[]string{"latchkey.limit.failures{latchkey.limit.name=messages} 1"},
		},
		{
			"a hash", latchkey.Observation{What: latchkey.ObservedHash, Count: 1, Waited: time.Second, Took: 2 * time.Second},
			[]string{"latchkey.hash.queue.duration{} 1/1", "latchkey.hash.duration{} 1/2"},
		},
		{
			"a hash without a place in the queue", latchkey.Observation{What: latchkey.ObservedHash, Outcome: "general_busy", Count: 1, Waited: time.Second, Took: time.Nanosecond},
			[]string{"latchkey.hash.queue.duration{error.type=general_busy} 1/1"},
		},
		{
			"a transaction", latchkey.Observation{What: latchkey.ObservedTransaction, Count: 3, Took: time.Second},
			[]string{"latchkey.transaction.duration{} 1/1", "latchkey.transaction.retries{} 2"},
		},
		{
			"a transaction that rolled back before its first run", latchkey.Observation{What: latchkey.ObservedTransaction, Outcome: "fault", Took: time.Second},
			[]string{"latchkey.transaction.duration{error.type=fault} 1/1"},
		},
		{
			"new sessions", latchkey.Observation{What: latchkey.ObservedSessions, Name: "created", Count: 1},
			[]string{"latchkey.session.created{} 1"},
		},
		{
			"ended sessions", latchkey.Observation{What: latchkey.ObservedSessions, Name: "ended", Count: 7},
			[]string{"latchkey.session.ended{} 7"},
		},
		{
			"a delivery", latchkey.Observation{What: latchkey.ObservedDelivery, Name: "email", Count: 1, Waited: time.Second, Took: 2 * time.Second},
			[]string{
				"latchkey.delivery.attempts{latchkey.delivery.channel=email,latchkey.delivery.outcome=sent} 1",
				"latchkey.delivery.duration{latchkey.delivery.channel=email,latchkey.delivery.outcome=sent} 1/2",
				"latchkey.delivery.queue.duration{latchkey.delivery.channel=email,latchkey.delivery.outcome=sent} 1/1",
			},
		},
		{
			"a delivery that is given up", latchkey.Observation{What: latchkey.ObservedDelivery, Name: "billing", Outcome: "dropped", Count: 1, Waited: time.Second, Took: 2 * time.Second},
			[]string{
				"latchkey.delivery.attempts{latchkey.delivery.channel=billing,latchkey.delivery.outcome=dropped} 1",
				"latchkey.delivery.duration{latchkey.delivery.channel=billing,latchkey.delivery.outcome=dropped} 1/2",
				"latchkey.delivery.queue.duration{latchkey.delivery.channel=billing,latchkey.delivery.outcome=dropped} 1/1",
			},
		},
		{
			"a sweep", latchkey.Observation{What: latchkey.ObservedSweep, Name: "tokens", Count: 4},
			[]string{"latchkey.sweep.deleted{latchkey.sweep.table=tokens} 4"},
		},
		{"a kind of a later version", latchkey.Observation{What: "later", Name: "name", Outcome: "fault", Count: 1, Took: time.Second}, nil},
		{"sessions of a later version", latchkey.Observation{What: latchkey.ObservedSessions, Name: "later", Count: 1}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			observer, reader := metered(t)
			observer.Observe(observer.Begin(t.Context(), c.seen.Name), c.seen)
			wantPoints(t, reader, c.want...)
		})
	}
}

func TestACommitHasItsUpdatesAndItsTime(t *testing.T) {
	observer, reader := metered(t)
	observer.Commit(1, time.Second)
	observer.Commit(20, 2*time.Second)
	wantPoints(t, reader, "latchkey.store.commit.updates{} 2/21", "latchkey.store.commit.duration{} 2/3")
}

// The bounds are the powers of two up to the most Updates of a commit, so that each commit has a
// finite bucket.
func TestUpdatesOfACommitHaveBuckets(t *testing.T) {
	observer, reader := metered(t)
	for _, updates := range []int{1, 2, 3, 256} {
		observer.Commit(updates, time.Second)
	}
	for _, p := range collect(t, reader) {
		if data, is := p.metric.Data.(metricdata.Histogram[int64]); is {
			if got, want := data.DataPoints[0].BucketCounts, []uint64{1, 1, 1, 0, 0, 0, 0, 0, 1, 0}; !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			return
		}
	}
	t.Error("no metric of updates")
}

func TestMetricsOfCommitsTakeNoMemory(t *testing.T) {
	observer, _ := metered(t)
	if n := testing.AllocsPerRun(1000, func() { observer.Commit(3, time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The time of the last sweep tells when one has gone well, and nothing before that.
func TestTheLastSweepHasATime(t *testing.T) {
	observer, reader := metered(t)
	last := func() float64 {
		for _, p := range collect(t, reader) {
			if p.metric.Name == "latchkey.sweep.last_time" {
				return p.sum
			}
		}
		return 0
	}
	observer.Observe(t.Context(), latchkey.Observation{What: latchkey.ObservedOperation, Name: "sweep", Outcome: "fault", Count: 1})
	if at := last(); at != 0 {
		t.Errorf("after a failed sweep: %v", at)
	}
	before := time.Now()
	observer.Observe(t.Context(), latchkey.Observation{What: latchkey.ObservedOperation, Name: "sweep", Count: 1})
	if at := time.UnixMicro(int64(last() * 1e6)); at.Before(before.Add(-time.Millisecond)) || at.After(time.Now().Add(time.Millisecond)) {
		t.Error(at)
	}
}

// A counter that comes with its first event shows no increase.
func TestCountersOfAlertsBeginWithZero(t *testing.T) {
	observer, reader := metered(t)
	observer.Observe(t.Context(), latchkey.Observation{What: latchkey.ObservedDelivery, Name: "sms", Count: 1})
	var zero []string
	for _, p := range collect(t, reader) {
		if p.count == 0 {
			zero = append(zero, p.String())
		}
	}
	want := []string{
		"latchkey.session.created{} 0", "latchkey.session.ended{} 0", "latchkey.transaction.retries{} 0",
		"latchkey.delivery.attempts{latchkey.delivery.channel=sms,latchkey.delivery.outcome=dropped} 0",
	}
	for name := range latchkey.DefaultLimits() {
		want = append(want, "latchkey.limit.failures{latchkey.limit.name="+name+"} 0", "latchkey.limit.refusals{latchkey.limit.name="+name+"} 0")
	}
	for _, w := range want {
		if !slices.Contains(zero, w) {
			t.Errorf("%s is not there", w)
		}
	}
}

// Calls at once lose no count, while a reader reads. There are more types than the engine has, so that
// many calls come first with one.
func TestCallsAtOnceAreAllCounted(t *testing.T) {
	observer, reader := metered(t)
	const goroutines, rounds = 8, 500
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for i := range rounds {
				for _, o := range []latchkey.Observation{
					{What: latchkey.ObservedOperation, Name: "authenticate", Count: 1},
					{What: latchkey.ObservedOperation, Name: "authenticate JWT", Outcome: fmt.Sprint("type_", i), Count: 1},
					{What: latchkey.ObservedSignIn, Name: "email", Count: 1},
				} {
					observer.Observe(observer.Begin(t.Context(), o.Name), o)
				}
			}
		})
	}
	for range 20 {
		collect(t, reader)
	}
	group.Wait()
	want := []string{
		fmt.Sprintf("latchkey.session.checks{latchkey.operation.name=authenticate} %d", goroutines*rounds),
		fmt.Sprintf("latchkey.sign_in.attempts{latchkey.sign_in.method=email} %d", goroutines*rounds),
	}
	for i := range rounds {
		want = append(want, fmt.Sprintf("latchkey.session.checks{error.type=type_%d,latchkey.operation.name=authenticate JWT} %d", i, goroutines))
	}
	wantPoints(t, reader, want...)
}

// After Close the reader asks no more, and a second Close does nothing.
func TestCloseEndsTheCallbacks(t *testing.T) {
	observer, reader := metered(t)
	observer.Observe(t.Context(), latchkey.Observation{What: latchkey.ObservedOperation, Name: "authenticate", Count: 1})
	observer.Observe(t.Context(), latchkey.Observation{What: latchkey.ObservedOperation, Name: "sweep", Count: 1})
	asked := func() (names []string) {
		for _, p := range collect(t, reader) {
			if p.metric.Name == "latchkey.session.checks" || p.metric.Name == "latchkey.sweep.last_time" {
				names = append(names, p.metric.Name)
			}
		}
		return names
	}
	if names := asked(); len(names) < 2 {
		t.Errorf("before Close: %v", names)
	}
	for range 2 {
		if err := observer.Close(); err != nil {
			t.Error(err)
		}
	}
	if names := asked(); names != nil {
		t.Errorf("after Close: %v", names)
	}
	observer.Observe(t.Context(), latchkey.Observation{What: latchkey.ObservedOperation, Name: "authenticate", Count: 1})
}

func TestWithoutProvidersNothingHappens(t *testing.T) {
	observer, err := latchkeyotel.New(latchkeyotel.Options{TraceChecks: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range everything {
		ctx := t.Context()
		within := observer.Begin(ctx, o.Name)
		if within != ctx {
			t.Errorf("%s: another context", o.Name)
		}
		observer.Observe(within, o)
	}
	var none *latchkeyotel.Observer
	observer.Commit(1, time.Second)
	none.Commit(1, time.Second)
	if err := errors.Join(observer.Close(), none.Close()); err != nil {
		t.Error(err)
	}
}

// everything has an observation of each kind, for each metric.
var everything = []latchkey.Observation{
	{What: latchkey.ObservedOperation, Name: "create account", Outcome: "fault", Count: 1, Took: time.Second},
	{What: latchkey.ObservedOperation, Name: "sweep", Count: 1, Took: time.Second},
	{What: latchkey.ObservedOperation, Name: "authenticate", Outcome: "fault", Count: 1, Took: time.Second},
	{What: latchkey.ObservedSignIn, Name: "email", Outcome: "fault", Count: 1},
	{What: latchkey.ObservedThrottled, Name: "messages", Count: 1},
	{What: latchkey.ObservedLimiter, Name: "messages", Outcome: "fault", Count: 1},
	{What: latchkey.ObservedHash, Outcome: "general_busy", Count: 1, Waited: time.Second},
	{What: latchkey.ObservedHash, Count: 1, Waited: time.Second, Took: time.Second},
	{What: latchkey.ObservedTransaction, Outcome: "fault", Count: 2, Took: time.Second},
	{What: latchkey.ObservedSessions, Name: "created", Count: 1},
	{What: latchkey.ObservedSessions, Name: "ended", Count: 1},
	{What: latchkey.ObservedDelivery, Name: "email", Count: 1, Waited: time.Second, Took: time.Second},
	{What: latchkey.ObservedSweep, Name: "tokens", Count: 1},
}

// refusing is a MeterProvider whose meter refuses an instrument.
type refusing struct {
	noop.MeterProvider
	name string
}

func (r refusing) Meter(string, ...metric.MeterOption) metric.Meter {
	return refusingMeter{name: r.name}
}

type refusingMeter struct {
	noop.Meter
	name string
}

func (m refusingMeter) answer(name string) error {
	if name == m.name {
		return errRefused
	}
	return nil
}

func (m refusingMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return noop.Int64Counter{}, m.answer(name)
}

func (m refusingMeter) Int64Histogram(name string, _ ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	return noop.Int64Histogram{}, m.answer(name)
}

var errRefused = errors.New("refused")

func TestARefusedInstrumentIsAnError(t *testing.T) {
	for _, name := range []string{"latchkey.session.created", "latchkey.store.commit.updates"} {
		if observer, err := latchkeyotel.New(latchkeyotel.Options{MeterProvider: refusing{name: name}}); !errors.Is(err, errRefused) || observer != nil {
			t.Error(name, observer, err)
		}
	}
}
