// Package courier delivers messages off the caller's path. It keeps them in bounded
// queues in memory, one for each channel, hands them to the host's notifiers, and tries
// again after a failure. A process that dies loses the messages that wait.
package courier

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"example.com/latchkey/notify"
)

// The bounds of a queue and of the tries.
const (
	// queueSize is how many messages of a channel may wait, including those to be tried
	// again. Further ones are dropped.
	queueSize = 1200
	// noticeReserve is the room that only notices may use, and provenReserve the room for
	// them and for messages that a stranger cannot cause. maxRetrying is the
	// maximum number of messages that wait to be tried again: unreachable addresses
	// must not use up the room of the others.
	noticeReserve = 100
	provenReserve = 200
	maxRetrying   = 500
	// workers is how many messages of a channel are sent at once. Of these a domain or a calling
	// code has domainShare at most, a client clientShare, and a client at one domain pairShare.
	// The last ones, reserved, take only messages of domains and clients that have no worker.
	// So a slow mailbox provider and a client with many addresses hold up their own
	// messages alone, and a client at a provider of many leaves room for others there.
	workers     = 8
	reserved    = 2
	domainShare = 4
	clientShare = 2
	pairShare   = 1
	// overdueAfter is how long a message that comes again may stand behind fresh ones.
	overdueAfter = time.Minute
	// maxTries is how often a message is tried, the first time included.
	maxTries = 6
	// TryTime is how long one try may take.
	TryTime = 2 * time.Minute
	// firstWait is the wait before the second try. Each later wait is four times
	// as long: 1 s, 4 s, 16 s, 64 s, 256 s.
	firstWait = time.Second
	// closingWait replaces the waits while the courier closes.
	closingWait = 50 * time.Millisecond
	// closingPatience is how long a notifier may take to return after its
	// context has ended.
	closingPatience = time.Second
	// doubtful is how long a message may wait before it is looked at whether its code still
	// serves.
	doubtful = time.Second
)

// ErrStuck is the answer of Close if a notifier does not return within a second
// after its context has ended.
var ErrStuck = errors.New("latchkey: a notifier does not return although its context has ended")

// The outcomes of a [Try] that has not sent its message.
const (
	Again   = "again"   // it will be tried again
	Dropped = "dropped" // it is given up
	Stale   = "stale"   // its code served no longer, so it was not sent
	// Returned is no outcome of a try: the queue had no room, or was closed. Only deliveries of an
	// outbox have it.
	Returned = "returned"
)

// Try is one try to send a message. Outcome is "" if it was sent.
type Try struct {
	Channel notify.Channel
	Outcome string
	Waited  time.Duration // since the message was asked for
	Took    time.Duration
}

// Counts are the numbers of messages since the courier was made.
type Counts struct {
	Waiting int64 // not yet sent, including those to be tried again
	Sent    int64
	Retried int64 // tries that failed and were followed by another
	Dropped int64 // messages that were given up, or that found the queue full
	Stale   int64 // messages that were not sent because their code no longer served
}

// Delivery is one message on its way. A null delivery sends nothing: it goes
// through the queue like the others, so that the time of an answer does not
// tell them apart. A notice is a message that the recipient did not ask for. A proven
// delivery is one whose caller has shown something of the recipient's, which strangers
// cannot.
type Delivery struct {
	Message notify.Message
	Null    bool
	Notice  bool
	Proven  bool
	From    string // the client that caused it, "" for the host
	// Serves reports whether the code of the message still serves. It is asked before a try if
	// the message was tried before, or has waited for a second; nil for notices.
	Serves func(context.Context) bool
	// Ended makes it the delivery of an outbox, which is tried once here: it gets the outcome of the
	// try, or Returned without one, and reports whether the message is given up. Before is the
	// number of tries before this one. Serves is asked before the try then, of notices too.
	Ended  func(outcome string, cause *notify.Failure) (givenUp bool)
	Before int
	// Waited is how long an outbox had it before.
	Waited time.Duration

	tries  int
	queued time.Time // the first time
	due    time.Time // the last time
	keys   []key     // under which the workers that send it are counted
}

// Courier takes messages from callers, who do not wait for them, and hands them
// to the host's notifiers. A nil Courier has no notifiers. It is safe for
// concurrent use.
type Courier struct {
	lanes  map[notify.Channel]*lane
	report *Report
	now    func() time.Time // of the engine, for the life of codes
	told   func(Try)        // gets each try; nil without an observer
	base   context.Context  // of all tries
	cancel context.CancelFunc
	group  sync.WaitGroup // workers and waits

	sent, retried, dropped, stale atomic.Int64

	mu      sync.Mutex
	full    bool          // a message was dropped since there was room
	closing chan struct{} // closed when no message is taken any more
	drained chan struct{} // closed when the queues are empty and closing is closed
}

// New returns a courier with a notifier for each channel that has one, and
// starts its workers, which Close ends. It returns nil if no channel has one.
// told gets each try that has ended, and may be nil.
func New(mail, text notify.Notifier, report *Report, now func() time.Time, told func(Try)) *Courier {
	c := &Courier{
		lanes: make(map[notify.Channel]*lane), report: report, now: now, told: told,
		closing: make(chan struct{}), drained: make(chan struct{}),
	}
	c.base, c.cancel = context.WithCancel(context.Background())
	for channel, n := range map[notify.Channel]notify.Notifier{notify.Email: mail, notify.SMS: text} {
		if n == nil {
			continue
		}
		l := newLane(n)
		c.lanes[channel] = l
		for range workers {
			c.group.Go(func() { c.work(l) })
		}
		context.AfterFunc(c.base, l.end)
	}
	if len(c.lanes) == 0 {
		c.cancel()
		return nil
	}
	return c
}

// Can reports whether the channel has a notifier.
func (c *Courier) Can(channel notify.Channel) bool { return c != nil && c.lanes[channel] != nil }

// Counts returns the numbers of messages so far.
func (c *Courier) Counts() Counts {
	if c == nil {
		return Counts{}
	}
	n := Counts{Sent: c.sent.Load(), Retried: c.retried.Load(), Dropped: c.dropped.Load(), Stale: c.stale.Load()}
	for _, l := range c.lanes {
		n.Waiting += int64(l.size())
	}
	return n
}

// Deliver queues a message of a channel that has a notifier. It never waits.
func (c *Courier) Deliver(d Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closing:
	default:
		room := queueSize
		if !d.Notice {
			room -= noticeReserve
		}
		if !d.Notice && !d.Proven {
			room -= provenReserve
		}
		d.queued, d.tries = time.Now(), d.Before
		evicted, added := c.lanes[d.Message.Channel].add(new(d), room)
		if added && evicted == nil {
			c.full = false
			return
		}
		if evicted != nil {
			d = *evicted
		}
	}
	if d.Ended != nil {
		go d.Ended(Returned, nil) // it may wait for the store
		return
	}
	c.dropped.Add(1)
	if !c.full { // one log line until there is room again
		c.full = true
		c.report.logger.Error("latchkey: messages are dropped: the queue is full, or the engine is closed")
	}
}

// work sends messages of a channel until the courier is closed. If a notifier calls
// runtime.Goexit, another worker goes on.
func (c *Courier) work(l *lane) {
	ended := false
	defer func() {
		if !ended {
			c.group.Go(func() { c.work(l) })
		}
	}()
	for {
		d, ok := l.take()
		if !ok {
			ended = true
			return
		}
		c.try(l, d)
	}
}

// try sends a message once, and decides whether it is tried again.
func (c *Courier) try(l *lane, d *Delivery) {
	if d.Null {
		if d.Ended != nil {
			d.Ended("", nil)
		}
		c.done(l, d)
		return
	}
	ctx, cancel := context.WithTimeout(c.base, TryTime)
	defer cancel()
	returned, began := false, time.Now()
	defer func() {
		if !returned { // runtime.Goexit
			c.fail(l, d, true, &notify.Failure{Stage: "notifier", Reason: "ended its goroutine"}, began)
		}
	}()
	if !c.serves(ctx, d) {
		returned = true
		c.stale.Add(1)
		c.end(l, d, Stale, nil, began)
		return
	}
	d.tries++
	d.Message.Sending, d.Message.Try = c.now().UTC(), d.tries
	permanent, failure := notified(ctx, l.notifier, d.Message)
	returned = true
	if failure == nil {
		c.sent.Add(1)
		c.end(l, d, "", nil, began)
		return
	}
	c.fail(l, d, permanent, failure, began)
}

// fail decides whether a message whose try has failed is tried again.
func (c *Courier) fail(l *lane, d *Delivery, permanent bool, failure *notify.Failure, began time.Time) {
	switch {
	case d.Ended != nil:
		outcome := Again
		if permanent {
			outcome = Dropped
		}
		if d.Ended(outcome, failure) {
			c.drop(d, failure)
			outcome = Dropped
		} else {
			c.retried.Add(1)
			c.report.failed(d.Message.Channel, failure)
		}
		c.tell(d, outcome, began)
		c.done(l, d)
	case permanent || d.tries >= maxTries || c.base.Err() != nil || !l.mayRetry(d):
		c.drop(d, failure)
		c.tell(d, Dropped, began)
		c.done(l, d)
	default:
		c.retried.Add(1)
		c.report.failed(d.Message.Channel, failure)
		c.tell(d, Again, began)
		l.pause(d)
		c.group.Go(func() { c.later(l, d) })
	}
}

// end ends a delivery that has not failed.
func (c *Courier) end(l *lane, d *Delivery, outcome string, failure *notify.Failure, began time.Time) {
	c.tell(d, outcome, began)
	if d.Ended != nil {
		d.Ended(outcome, failure)
	}
	c.done(l, d)
}

// tell tells of a try that has ended.
func (c *Courier) tell(d *Delivery, outcome string, began time.Time) {
	if c.told != nil {
		c.told(Try{Channel: d.Message.Channel, Outcome: outcome, Waited: d.Waited + began.Sub(d.queued), Took: time.Since(began)})
	}
}

// serves reports whether the code of a message still serves. A notice has no code.
func (c *Courier) serves(ctx context.Context, d *Delivery) (serves bool) {
	defer func() {
		if recover() != nil { // of the host's store
			serves = true
		}
	}()
	if d.Ended != nil {
		return d.Serves(ctx)
	}
	if d.Message.Expire.IsZero() || d.tries == 0 && time.Since(d.queued) < doubtful {
		return true
	}
	if !c.now().Before(d.Message.Expire) {
		return false
	}
	if d.Serves == nil {
		return true
	}
	return d.Serves(ctx)
}

// notified calls a notifier. A message whose notifier panicked is not tried again.
func notified(ctx context.Context, n notify.Notifier, m notify.Message) (permanent bool, failure *notify.Failure) {
	return Called("notifier", func() error { return n.Notify(ctx, m) })
}

// Called calls a function of the host, and returns its failure without the text of its error. A panic
// is a permanent failure of the given stage.
func Called(stage string, take func() error) (permanent bool, failure *notify.Failure) {
	defer func() {
		if v := recover(); v != nil {
			permanent, failure = true, &notify.Failure{Stage: stage, Reason: "panicked"}
		}
	}()
	err := take()
	if err == nil {
		return false, nil
	}
	permanent = notify.IsPermanent(err)
	seen, reason := notify.Seen(err) // in here, because the methods of the error are the host's too
	return permanent, &notify.Failure{Stage: seen, Reason: reason}
}

// later puts a message back into the queue after a wait.
func (c *Courier) later(l *lane, d *Delivery) {
	wait := time.NewTimer(firstWait << (2 * (d.tries - 1)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-c.closing:
		soon := time.NewTimer(closingWait)
		defer soon.Stop()
		select {
		case <-soon.C:
		case <-c.base.Done():
		}
	}
	l.again(d)
}

// drop gives a message up.
func (c *Courier) drop(d *Delivery, err error) {
	c.dropped.Add(1)
	if !d.Null {
		c.report.dropped(d, err)
	}
}

// done notes that a message waits no longer.
func (c *Courier) done(l *lane, d *Delivery) {
	l.done(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endIfDrained()
}

// endIfDrained closes drained if the courier is closing and nothing waits.
func (c *Courier) endIfDrained() {
	select {
	case <-c.closing:
	default:
		return
	}
	for _, l := range c.lanes {
		if l.size() > 0 {
			return
		}
	}
	select {
	case <-c.drained:
	default:
		close(c.drained)
	}
}

// Close takes no more messages, and waits until those in the queues are gone or the
// context ends. Then it drops the rest.
//
// Errors:
//   - [ErrStuck]: a notifier does not return when its context ends.
func (c *Courier) Close(ctx context.Context) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	select {
	case <-c.closing:
	default:
		close(c.closing)
	}
	c.endIfDrained()
	c.mu.Unlock()
	select {
	case <-c.drained:
	case <-ctx.Done():
	}
	c.dropAll() // so that an outbox has time to take back the messages that have not begun
	c.cancel()
	ended := make(chan struct{})
	go func() {
		c.group.Wait()
		close(ended)
	}()
	patience := time.NewTimer(closingPatience)
	defer patience.Stop()
	var err error
	select {
	case <-ended:
	case <-patience.C:
		err = ErrStuck
	}
	c.dropAll() // the messages that waited after a failure
	return err
}

// dropAll gives up the messages in the queues. An outbox gets its own back.
func (c *Courier) dropAll() {
	for _, l := range c.lanes {
		for _, d := range l.empty() {
			if d.Ended != nil {
				d.Ended(Returned, nil)
				continue
			}
			c.drop(d, &notify.Failure{Stage: "queue", Reason: "the engine was closed"})
		}
	}
}
