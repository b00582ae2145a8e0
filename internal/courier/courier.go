// Package courier delivers messages off the caller's path. It keeps them in a
// bounded queue in memory, hands them to the host's notifiers, and tries again
// after a failure. A process that dies loses the messages that wait.
package courier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"example.com/latchkey/notify"
)

// The bounds of the queue and of the tries.
const (
	// queueSize is how many messages may wait, including those to be tried
	// again. Further ones are dropped.
	queueSize = 1200
	// noticeReserve is the room that only notices may use, and provenReserve the room for
	// them and for messages that a stranger cannot cause. maxRetrying is the
	// maximum number of messages that wait to be tried again: unreachable addresses
	// must not use up the room of the others.
	noticeReserve = 100
	provenReserve = 200
	maxRetrying   = 500
	// workers is how many messages are sent at once.
	workers = 4
	// maxTries is how often a message is tried, the first time included.
	maxTries = 6
	// tryTime is how long one try may take.
	tryTime = 30 * time.Second
	// firstWait is the wait before the second try. Each later wait is four times
	// as long: 1 s, 4 s, 16 s, 64 s, 256 s.
	firstWait = time.Second
	// closingWait replaces the waits while the courier closes.
	closingWait = 50 * time.Millisecond
	// closingPatience is how long a notifier may take to return after its
	// context has ended.
	closingPatience = time.Second
)

// ErrStuck is the answer of Close if a notifier does not return within a second
// after its context has ended.
var ErrStuck = errors.New("latchkey: a notifier does not return although its context has ended")

// Counts are the numbers of messages since the courier was made.
type Counts struct {
	Waiting int64 // not yet sent, including those to be tried again
	Sent    int64
	Retried int64 // tries that failed and were followed by another
	Dropped int64 // messages that were given up, or that found the queue full
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
	tries   int
}

// Courier takes messages from callers, who do not wait for them, and hands them
// to the host's notifiers. A nil Courier has no notifiers. It is safe for
// concurrent use.
type Courier struct {
	notifiers map[notify.Channel]notify.Notifier
	logger    *slog.Logger
	queue     chan Delivery
	base      context.Context // of all tries
	cancel    context.CancelFunc
	group     sync.WaitGroup // workers and waits

	waiting, sent, retried, dropped atomic.Int64
	retrying                        atomic.Int64 // waiting messages that were tried

	mu      sync.Mutex
	full    bool          // a message was dropped since there was room
	closing chan struct{} // closed when no message is taken any more
	drained chan struct{} // closed when the queue is empty and closing is closed
}

// New returns a courier with a notifier for each channel that has one, and
// starts its workers, which Close ends. It returns nil if no channel has one.
func New(mail, text notify.Notifier, logger *slog.Logger) *Courier {
	notifiers := make(map[notify.Channel]notify.Notifier)
	if mail != nil {
		notifiers[notify.Email] = mail
	}
	if text != nil {
		notifiers[notify.SMS] = text
	}
	if len(notifiers) == 0 {
		return nil
	}
	c := &Courier{
		notifiers: notifiers, logger: logger, queue: make(chan Delivery, queueSize),
		closing: make(chan struct{}), drained: make(chan struct{}),
	}
	c.base, c.cancel = context.WithCancel(context.Background())
	for range workers {
		c.group.Go(c.work)
	}
	return c
}

// Can reports whether the channel has a notifier.
func (c *Courier) Can(channel notify.Channel) bool { return c != nil && c.notifiers[channel] != nil }

// Counts returns the numbers of messages so far.
func (c *Courier) Counts() Counts {
	if c == nil {
		return Counts{}
	}
	return Counts{Waiting: c.waiting.Load(), Sent: c.sent.Load(), Retried: c.retried.Load(), Dropped: c.dropped.Load()}
}

// Deliver queues a message of a channel that has a notifier. It never waits.
func (c *Courier) Deliver(d Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closing:
	default:
		room := int64(queueSize)
		if !d.Notice {
			room -= noticeReserve
		}
		if !d.Notice && !d.Proven {
			room -= provenReserve
		}
		if c.waiting.Load() < room {
			c.waiting.Add(1)
			c.queue <- d // never blocks: the queue has room for every waiting message
			c.full = false
			return
		}
	}
	c.dropped.Add(1)
	if !c.full { // one log line until there is room again
		c.full = true
		c.logger.Error("latchkey: messages are dropped: the queue is full, or the engine is closed")
	}
}

// work sends messages until the courier is closed.
func (c *Courier) work() {
	for {
		select {
		case d := <-c.queue:
			c.try(d)
		case <-c.base.Done():
			return
		}
	}
}

// try sends a message once, and decides whether it is tried again.
func (c *Courier) try(d Delivery) {
	if d.Null {
		c.done()
		return
	}
	if d.tries > 0 {
		c.retrying.Add(-1)
	}
	ctx, cancel := context.WithTimeout(c.base, tryTime)
	permanent, err := c.notify(ctx, d.Message)
	cancel()
	d.tries++
	switch {
	case err == nil:
		c.sent.Add(1)
	case permanent || d.tries >= maxTries || c.base.Err() != nil || !d.Notice && c.retrying.Load() >= maxRetrying:
		c.drop(d, err)
	default:
		c.retried.Add(1)
		c.retrying.Add(1)
		c.group.Go(func() { c.later(d) })
		return
	}
	c.done()
}

// notify calls the host's notifier. A message whose notifier panicked is not
// tried again.
func (c *Courier) notify(ctx context.Context, m notify.Message) (permanent bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			permanent, err = true, fmt.Errorf("the notifier panicked with %T", v)
		}
	}()
	err = c.notifiers[m.Channel].Notify(ctx, m)
	return err != nil && notify.IsPermanent(err), err
}

// later puts a message back into the queue after a wait.
func (c *Courier) later(d Delivery) {
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
	c.queue <- d
}

// drop gives a message up. Only the type of the error is logged, because its
// text may hold the address.
func (c *Courier) drop(d Delivery, err error) {
	c.dropped.Add(1)
	if !d.Null {
		c.logger.Error("latchkey: a message is dropped", "message", d.Message.ID, "kind", string(d.Message.Kind), "tries", d.tries,
			"error", fmt.Sprintf("%T", err))
	}
}

// done notes that a message waits no longer.
func (c *Courier) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting.Add(-1) == 0 {
		c.endIfClosing()
	}
}

// endIfClosing closes drained if the courier is closing.
func (c *Courier) endIfClosing() {
	select {
	case <-c.closing:
		select {
		case <-c.drained:
		default:
			close(c.drained)
		}
	default:
	}
}

// Close takes no more messages, and waits until those in the queue are gone or the
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
	if c.waiting.Load() == 0 {
		c.endIfClosing()
	}
	c.mu.Unlock()
	select {
	case <-c.drained:
	case <-ctx.Done():
	}
	c.cancel()
	ended := make(chan struct{})
	go func() {
		c.group.Wait()
		close(ended)
	}()
	patience := time.NewTimer(closingPatience)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		return ErrStuck
	}
	for {
		select {
		case d := <-c.queue:
			c.waiting.Add(-1)
			c.drop(d, context.Canceled)
		default:
			return nil
		}
	}
}
