package latchkeyotel

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"example.com/latchkey"
)

// The attributes. Each value comes from a fixed set.
const (
	keyOperation = attribute.Key("latchkey.operation.name")
	keyMethod    = attribute.Key("latchkey.sign_in.method")
	keyLimit     = attribute.Key("latchkey.limit.name")
	keyChannel   = attribute.Key("latchkey.delivery.channel")
	keyOutcome   = attribute.Key("latchkey.delivery.outcome")
	keyTable     = attribute.Key("latchkey.sweep.table")
	keyErrorType = attribute.Key("error.type")
)

// The bounds of histograms, in seconds. An operation takes milliseconds, or some 100 ms if it hashes.
// A message takes seconds, and may wait for hours. A check takes a microsecond in memory and a
// millisecond over a network. A commit takes as long as the disk.
var (
	operationBounds = metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
	checkBounds     = metric.WithExplicitBucketBoundaries(.000001, .0000025, .000005, .00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1)
	deliveryBounds  = metric.WithExplicitBucketBoundaries(.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30)
	commitBounds    = metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5)
	queueBounds     = metric.WithExplicitBucketBoundaries(.01, .1, 1, 5, 15, 30, 60, 300, 900, 3600, 14400)
)

// updatesBounds are the bounds of the Updates of a commit, of which the stores allow 256.
var updatesBounds = metric.WithExplicitBucketBoundaries(1, 2, 4, 8, 16, 32, 64, 128, 256)

// meters are the instruments.
type meters struct {
	operations, checkTimes, hashes, hashQueue, transactions, commits, deliveries, deliveryQueue metric.Float64Histogram
	updates                                                                                     metric.Int64Histogram
	signIns, refusals, limiter, retries, created, ended, tries, swept                           metric.Int64Counter

	checks    *checks
	lastSweep atomic.Int64 // Unix time in nanoseconds, 0 before the first one
	sets      sets
}

// newMeters makes the instruments, and registers those that the reader of the metrics asks for.
func newMeters(meter metric.Meter) (m *meters, closing metric.Registration, err error) {
	m = &meters{checks: newChecks()}
	histogram := func(name, text string, bounds metric.HistogramOption) metric.Float64Histogram {
		h, failed := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(text), bounds)
		return join(&err, h, failed)
	}
	counter := func(name, unit, text string) metric.Int64Counter {
		c, failed := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(text))
		return join(&err, c, failed)
	}
	m.operations = histogram("latchkey.operation.duration", "Duration of operations, without checks of sessions.", operationBounds)
	m.checkTimes = histogram("latchkey.session.check.duration", "Duration of checks of sessions, of one in 64.", checkBounds)
	m.hashes = histogram("latchkey.hash.duration", "Duration of hashing a password, without the queue.", operationBounds)
	m.hashQueue = histogram("latchkey.hash.queue.duration", "Time of a password in the queue of the hasher.", operationBounds)
	m.transactions = histogram("latchkey.transaction.duration", "Duration of transactions of the store, with their retries.", operationBounds)
	m.commits = histogram("latchkey.store.commit.duration", "Duration of transactions of SQLite and bbolt, which several Updates may share, to the end of the commit.", commitBounds)
	updates, failed := meter.Int64Histogram("latchkey.store.commit.updates", metric.WithUnit("{update}"), metric.WithDescription("Updates of a commit of SQLite or bbolt."), updatesBounds)
	m.updates = join(&err, updates, failed)
	m.deliveries = histogram("latchkey.delivery.duration", "Duration of a try to deliver a message or an event.", deliveryBounds)
	m.deliveryQueue = histogram("latchkey.delivery.queue.duration", "Time from the request of a message or event to a try to deliver it.", queueBounds)
	m.signIns = counter("latchkey.sign_in.attempts", "{attempt}", "Tries to sign in.")
	m.refusals = counter("latchkey.limit.refusals", "{refusal}", "Calls that a limit has refused.")
	m.limiter = counter("latchkey.limit.failures", "{failure}", "Failures of the limiter.")
	m.retries = counter("latchkey.transaction.retries", "{retry}", "Further runs of transactions that were in conflict.")
	m.created = counter("latchkey.session.created", "{session}", "Sessions created.")
	m.ended = counter("latchkey.session.ended", "{session}", "Sessions ended before they had expired.")
	m.tries = counter("latchkey.delivery.attempts", "{attempt}", "Tries to deliver a message or an event.")
	m.swept = counter("latchkey.sweep.deleted", "{row}", "Expired rows that sweeps have deleted.")
	checked, failed := meter.Int64ObservableCounter("latchkey.session.checks", metric.WithUnit("{check}"), metric.WithDescription("Checks of sessions."))
	checked = join(&err, checked, failed)
	last, failed := meter.Float64ObservableGauge("latchkey.sweep.last_time", metric.WithUnit("s"), metric.WithDescription("Unix time of the last sweep of this process without an error."))
	last = join(&err, last, failed)
	if err != nil {
		return nil, nil, err
	}
	closing, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.checks.report(o, checked)
		if at := m.lastSweep.Load(); at != 0 {
			o.ObserveFloat64(last, float64(at)/float64(time.Second))
		}
		return nil
	}, checked, last)
	m.begin()
	return m, closing, err
}

// join adds the error of an instrument to those of others, and returns the instrument.
func join[T any](errs *error, instrument T, err error) T {
	*errs = errors.Join(*errs, err)
	return instrument
}

// begin makes counters begin with zero. A counter that comes with its first event shows a monitor no
// increase, and these are for alerts.
func (m *meters) begin() {
	ctx := context.Background()
	for name := range latchkey.DefaultLimits() {
		attrs := m.sets.of(keyLimit, name, "")
		m.refusals.Add(ctx, 0, attrs.add...)
		m.limiter.Add(ctx, 0, attrs.add...)
	}
	m.created.Add(ctx, 0)
	m.ended.Add(ctx, 0)
	m.retries.Add(ctx, 0)
}

// observe records an observation.
func (m *meters) observe(ctx context.Context, o *latchkey.Observation) {
	switch o.What {
	case latchkey.ObservedOperation:
		m.operation(ctx, o)
	case latchkey.ObservedSignIn:
		m.signIns.Add(ctx, int64(o.Count), m.sets.of(keyMethod, o.Name, o.Outcome).add...)
	case latchkey.ObservedThrottled:
		m.refusals.Add(ctx, int64(o.Count), m.sets.of(keyLimit, o.Name, "").add...)
	case latchkey.ObservedLimiter:
		m.limiter.Add(ctx, int64(o.Count), m.sets.of(keyLimit, o.Name, "").add...)
	case latchkey.ObservedHash:
		attrs := m.sets.of("", "", o.Outcome)
		m.hashQueue.Record(ctx, o.Waited.Seconds(), attrs.record...)
		if o.Outcome == "" { // it has left the queue for its turn
			m.hashes.Record(ctx, o.Took.Seconds(), attrs.record...)
		}
	case latchkey.ObservedTransaction:
		m.transactions.Record(ctx, o.Took.Seconds(), m.sets.of("", "", o.Outcome).record...)
		m.retries.Add(ctx, int64(max(o.Count-1, 0)))
	case latchkey.ObservedSessions:
		switch o.Name {
		case "created":
			m.created.Add(ctx, int64(o.Count))
		case "ended":
			m.ended.Add(ctx, int64(o.Count))
		}
	case latchkey.ObservedDelivery:
		m.delivery(ctx, o)
	case latchkey.ObservedSweep:
		m.swept.Add(ctx, int64(o.Count), m.sets.of(keyTable, o.Name, "").add...)
	}
}

// commit records a commit of a store.
func (m *meters) commit(updates int, took time.Duration) {
	ctx := context.Background()
	m.updates.Record(ctx, int64(updates))
	m.commits.Record(ctx, took.Seconds())
}

// operation records an operation. A check of a session is counted already, and has a time if the
// engine has timed it.
func (m *meters) operation(ctx context.Context, o *latchkey.Observation) {
	attrs := m.sets.of(keyOperation, o.Name, o.Outcome)
	switch {
	case !isCheck(o.Name):
		m.operations.Record(ctx, o.Took.Seconds(), attrs.record...)
	case o.Took > 0:
		m.checkTimes.Record(ctx, o.Took.Seconds(), attrs.record...)
	}
	if o.Name == "sweep" && o.Outcome == "" {
		m.lastSweep.Store(time.Now().UnixNano())
	}
}

// dropped is the outcome of a delivery that is given up.
const dropped = "dropped"

func (m *meters) delivery(ctx context.Context, o *latchkey.Observation) {
	outcome := o.Outcome
	if outcome == "" {
		outcome = "sent"
	}
	attrs := m.sets.delivery(o.Name, outcome)
	m.tries.Add(ctx, int64(o.Count), attrs.add...)
	m.tries.Add(ctx, 0, m.sets.delivery(o.Name, dropped).add...) // so that the first one is an increase
	m.deliveries.Record(ctx, o.Took.Seconds(), attrs.record...)
	m.deliveryQueue.Record(ctx, o.Waited.Seconds(), attrs.record...)
}

// sets has the sets of attributes that were used. They are few, because all names are.
type sets struct {
	mu  sync.RWMutex
	all map[setKey]*options
}

// setKey is a set: an attribute and the type of an error, or the channel and the outcome of a
// delivery.
type setKey struct {
	key           attribute.Key
	name, outcome string
}

// options are a set in the forms of the instruments. Made for each call they would be garbage.
type options struct {
	record []metric.RecordOption
	add    []metric.AddOption
}

// of returns the set of an attribute and the type of an error, without the ones that are "".
func (s *sets) of(key attribute.Key, name, errorType string) *options {
	return s.get(setKey{key, name, errorType}, func() attribute.Set { return newSet(key.String(name), errorType) })
}

// delivery returns the set of a delivery.
func (s *sets) delivery(channel, outcome string) *options {
	return s.get(setKey{keyChannel, channel, outcome}, func() attribute.Set {
		return attribute.NewSet(keyChannel.String(channel), keyOutcome.String(outcome))
	})
}

func (s *sets) get(k setKey, make func() attribute.Set) *options {
	s.mu.RLock()
	have := s.all[k]
	s.mu.RUnlock()
	if have != nil {
		return have
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have = s.all[k]; have != nil { // made meanwhile
		return have
	}
	if s.all == nil {
		s.all = map[setKey]*options{}
	}
	set := metric.WithAttributeSet(make())
	have = &options{[]metric.RecordOption{set}, []metric.AddOption{set}}
	s.all[k] = have
	return have
}

// newSet returns a set of an attribute and the type of an error. An attribute without a key and a
// type that is "" are left out.
func newSet(attr attribute.KeyValue, errorType string) attribute.Set {
	var attrs []attribute.KeyValue
	if attr.Valid() {
		attrs = append(attrs, attr)
	}
	if errorType != "" {
		attrs = append(attrs, keyErrorType.String(errorType))
	}
	return attribute.NewSet(attrs...)
}
