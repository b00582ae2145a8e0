package latchkey

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

// How messages are delivered.
const (
	// deliveryQueue is how many messages may wait, those among them that are
	// to be tried again; more are dropped.
	deliveryQueue = 1000
	// deliveryReserve is how much of the room is kept for notices, and
	// deliveryRetries how many at most wait to be tried again: addresses that
	// nothing reaches must not keep the others from being told.
	deliveryReserve = 100
	deliveryRetries = 500
	// deliveryWorkers is how many are sent at once.
	deliveryWorkers = 4
	// deliveryTries is how often a message is tried, the first time included.
	deliveryTries = 6
	// deliveryTime is how long one try may take.
	deliveryTime = 30 * time.Second
	// deliveryWait is the wait before the second try; it is four times as long
	// with each more: 1 s, 4 s, 16 s, 64 s, 256 s.
	deliveryWait = time.Second
	// closingWait replaces it while the engine closes.
	closingWait = 50 * time.Millisecond
	// closingPatience is how long a notifier may take to notice that its
	// context has ended.
	closingPatience = time.Second
)

// courier takes messages from callers, who do not wait for them, and hands them
// to the host's notifiers.
type courier struct {
	notifiers map[notify.Channel]notify.Notifier
	logger    *slog.Logger
	queue     chan delivery
	base      context.Context // of all tries
	cut       context.CancelFunc
	group     sync.WaitGroup // workers and waits

	waiting, sent, retried, dropped atomic.Int64
	again                           atomic.Int64 // of those that wait, that were tried

	mu      sync.Mutex
	full    bool          // a message was dropped since there was room
	closing chan struct{} // closed when no message is taken any more
	idle    chan struct{} // closed when nothing waits, once closing is
}

// delivery is one message on its way. Of a null one nothing is sent: it takes
// the way of the others, so that nobody learns that it was none.
type delivery struct {
	message notify.Message
	null    bool
	notice  bool // nobody has asked for it
	tries   int
}

func newCourier(notifiers map[notify.Channel]notify.Notifier, logger *slog.Logger) *courier {
	c := &courier{
		notifiers: notifiers, logger: logger, queue: make(chan delivery, deliveryQueue),
		closing: make(chan struct{}), idle: make(chan struct{}),
	}
	c.base, c.cut = context.WithCancel(context.Background())
	for range deliveryWorkers {
		c.group.Go(c.work)
	}
	return c
}

// deliver queues a message and never waits.
func (c *courier) deliver(d delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closing:
	default:
		room := int64(deliveryQueue)
		if !d.notice {
			room -= deliveryReserve
		}
		if c.waiting.Load() < room {
			c.waiting.Add(1)
			c.queue <- d // has room for everything that waits
			c.full = false
			return
		}
	}
	c.dropped.Add(1)
	if !c.full { // one line for all that come while it is
		c.full = true
		c.logger.Error("latchkey: messages are dropped: the queue is full, or the engine is closed")
	}
}

func (c *courier) work() {
	for {
		select {
		case d := <-c.queue:
			c.try(d)
		case <-c.base.Done():
			return
		}
	}
}

func (c *courier) try(d delivery) {
	if d.null {
		c.done()
		return
	}
	if d.tries > 0 {
		c.again.Add(-1)
	}
	ctx, cancel := context.WithTimeout(c.base, deliveryTime)
	permanent, err := c.notify(ctx, d.message)
	cancel()
	d.tries++
	switch {
	case err == nil:
		c.sent.Add(1)
	case permanent || d.tries >= deliveryTries || c.base.Err() != nil || !d.notice && c.again.Load() >= deliveryRetries:
		c.drop(d, err)
	default:
		c.retried.Add(1)
		c.again.Add(1)
		c.group.Go(func() { c.later(d) })
		return
	}
	c.done()
}

// notify calls the host, and its error's methods. A panic is not tried again.
func (c *courier) notify(ctx context.Context, m notify.Message) (permanent bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			permanent, err = true, fmt.Errorf("the notifier panicked with %T", v)
		}
	}()
	err = c.notifiers[m.Channel].Notify(ctx, m)
	return err != nil && notify.IsPermanent(err), err
}

// later puts a message back into the queue after a wait.
func (c *courier) later(d delivery) {
	wait := time.NewTimer(deliveryWait << (2 * (d.tries - 1)))
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

// drop gives a message up. Its error may tell who it was for, so only its type
// is logged.
func (c *courier) drop(d delivery, err error) {
	c.dropped.Add(1)
	if !d.null {
		c.logger.Error("latchkey: a message is dropped", "message", d.message.ID, "kind", string(d.message.Kind), "tries", d.tries,
			"error", fmt.Sprintf("%T", err))
	}
}

func (c *courier) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting.Add(-1) == 0 {
		c.endIfClosing()
	}
}

// endIfClosing says that nothing waits, if nothing will come.
func (c *courier) endIfClosing() {
	select {
	case <-c.closing:
		select {
		case <-c.idle:
		default:
			close(c.idle)
		}
	default:
	}
}

// close takes no more messages and waits until those it has are gone, or the
// context ends; the rest is dropped. It gives up on a notifier that does not
// return when its context ends.
func (c *courier) close(ctx context.Context) error {
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
	case <-c.idle:
	case <-ctx.Done():
	}
	c.cut()
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
		return errStuck
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

var errStuck = errors.New("latchkey: a notifier does not return though its context has ended")
