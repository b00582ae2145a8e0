// Package dispatch runs deliveries that wait in a store. It has a lane for each receiver, asks
// the lane for deliveries whose time has come, and runs a few of them at once.
package dispatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// poll is how often a lane without work looks for some: other processes add to it.
	poll = time.Second
	// A lane whose claims fail waits, twice as long each time, from poll to claimWaitMost.
	claimWaitMost = 30 * time.Second
	// After failsFirst failures in a row a lane that pauses has one delivery at a time, and waits for
	// pause before it. The deliveries themselves wait longer and longer.
	failsFirst = 5
	pause      = time.Second
	// claimMost is how many deliveries a claim brings at most.
	claimMost = 100
	// patience is how long a delivery may take to return after its context has ended.
	patience = time.Second
)

// ErrStuck is the answer of Close if a delivery does not return within a second after its context
// has ended.
var ErrStuck = errors.New("latchkey: a delivery does not return although its context has ended")

// Result is what became of a delivery.
type Result int

// The results.
const (
	Failed  Result = iota
	Went           // well
	Nothing        // was delivered: it was not its turn, or it was too late
)

// Work is one delivery.
type Work interface {
	// Run delivers.
	Run(ctx context.Context) Result
	// Return gives the delivery back: it is not run.
	Return()
}

// Lane is the way to a receiver.
type Lane struct {
	Name string
	// Room is how many deliveries run at once.
	Room int
	// Pauses says that failures in a row are a failure of the receiver, and not of single
	// deliveries.
	Pauses bool
	// Claim returns up to n deliveries whose time has come, and the wait until the next one, 0
	// without a next one. failing says that the lane pauses: the first one should be one that has not
	// failed yet, so that those that fail hold up no others.
	Claim func(ctx context.Context, n int, failing bool) (works []Work, next time.Duration, err error)
	// Failed gets the error of a claim.
	Failed func(err error)
}

// lane is a lane at work.
type lane struct {
	Lane
	wake chan struct{} // has one place

	mu    sync.Mutex
	taken int // places: of deliveries that run, and of those that a claim may bring
	fails int // deliveries in a row that have failed
}

// Dispatcher runs lanes. It is safe for concurrent use.
type Dispatcher struct {
	lanes  map[string]*lane
	base   context.Context // of all deliveries
	cancel context.CancelFunc
	loops  sync.WaitGroup
	runs   sync.WaitGroup

	mu      sync.Mutex
	closing chan struct{}
	closed  bool
}

// New returns a dispatcher, which Start starts: claims may use it.
func New(lanes []Lane) *Dispatcher {
	d := &Dispatcher{lanes: make(map[string]*lane), closing: make(chan struct{})}
	d.base, d.cancel = context.WithCancel(context.Background())
	for _, l := range lanes {
		d.lanes[l.Name] = &lane{Lane: l, wake: make(chan struct{}, 1)}
	}
	return d
}

// Start lets the lanes look for work.
func (d *Dispatcher) Start() {
	for _, l := range d.lanes {
		d.loops.Go(func() { d.loop(l) })
	}
}

// Has reports whether there is a lane of that name.
func (d *Dispatcher) Has(name string) bool { return d.lanes[name] != nil }

// Wake makes a lane look for work.
func (d *Dispatcher) Wake(name string) {
	if l := d.lanes[name]; l != nil {
		l.signal()
	}
}

// signal wakes the loop of a lane.
func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Free reports whether a lane could run one more delivery now.
func (d *Dispatcher) Free(name string) bool {
	l := d.lanes[name]
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.free()
}

func (l *lane) free() bool { return l.taken < l.Room && l.fails < failsFirst }

// Offer runs a delivery at once, unless the lane has no room or waits.
func (d *Dispatcher) Offer(name string, w Work) (taken bool) {
	l := d.lanes[name]
	if l == nil {
		return false
	}
	l.mu.Lock()
	free := l.free()
	if free {
		l.taken++
	}
	l.mu.Unlock()
	return free && d.start(l, w)
}

// start runs a delivery, which has a place already, unless the dispatcher is closed.
func (d *Dispatcher) start(l *lane, w Work) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		l.leave(1)
		return false
	}
	d.runs.Go(func() {
		result := Failed
		defer func() { // also after runtime.Goexit
			l.mu.Lock()
			switch result {
			case Failed:
				l.fails++
			case Went:
				l.fails = 0
			}
			l.mu.Unlock()
			l.leave(1)
			l.signal()
		}()
		result = w.Run(d.base)
	})
	return true
}

// enter takes the half of the free places for the deliveries of a claim, and returns how long to wait
// before that. The other half is for deliveries that are offered meanwhile.
func (l *lane) enter() (n int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min((l.Room-l.taken+1)/2, claimMost)
	if l.Pauses && l.fails >= failsFirst {
		if n, wait = 1, pause; l.taken > 0 {
			n = 0
		}
	}
	l.taken += n
	return n, wait
}

// leave gives places back.
func (l *lane) leave(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken -= n
}

// loop claims and starts deliveries of a lane until the dispatcher is closed.
func (d *Dispatcher) loop(l *lane) {
	broken := 0
	for !d.isClosed() { // each claim counts as a try
		wait := poll
		n, before := l.enter()
		switch {
		case n <= 0:
			wait = 0 // until a delivery ends
		case before > 0 && !d.sleep(nil, before):
			l.leave(n)
			return
		default:
			works, next, err := l.Claim(d.base, n, before > 0)
			l.leave(n - len(works))
			if err != nil {
				l.Failed(err)
				wait = min(poll<<min(broken, 10), claimWaitMost)
				broken++
				break
			}
			broken = 0
			for _, w := range works {
				if !d.start(l, w) {
					w.Return()
				}
			}
			if len(works) == n {
				continue
			}
			if next > 0 {
				wait = min(wait, next)
			}
			wait = wait*3/4 + rand.N(wait/4+1) // processes do not look at the same time
		}
		if !d.sleep(l.wake, wait) {
			return
		}
	}
}

// isClosed reports whether the dispatcher is closed.
func (d *Dispatcher) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// sleep waits for a time, 0 for any, or until it is woken. It reports false if the dispatcher is
// closed.
func (d *Dispatcher) sleep(wake <-chan struct{}, wait time.Duration) bool {
	var over <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
	case <-wake:
	case <-d.closing:
		return false
	}
	return true
}

// Close ends the claims, and waits until the deliveries that run have ended or the context ends. Then
// it cancels the rest.
//
// Errors:
//   - [ErrStuck]
func (d *Dispatcher) Close(ctx context.Context) error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		close(d.closing)
	}
	d.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		d.loops.Wait()
		d.runs.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	d.cancel()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-ended:
		return nil
	case <-late.C:
		return ErrStuck
	}
}
