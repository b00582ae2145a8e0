// Package errands runs work that follows a commit and that no caller waits for.
package errands

import (
	"context"
	"sync"
)

const (
	atOnce  = 4   // errands that run at once
	waiting = 256 // errands that run or wait
)

// Errands runs functions on goroutines of its own, four at once.
type Errands struct {
	ctx    context.Context
	cancel context.CancelFunc
	slots  chan struct{}

	mu     sync.Mutex
	closed bool
	count  int
	empty  chan struct{} // closed when the last errand has ended, once Close has begun
}

// New returns Errands without any.
func New() *Errands {
	ctx, cancel := context.WithCancel(context.Background())
	return &Errands{ctx: ctx, cancel: cancel, slots: make(chan struct{}, atOnce), empty: make(chan struct{})}
}

// Do runs a function soon, and reports whether it will: not after Close, and not while 256 run or
// wait. The context of the function ends with Close. A function that still waits then finds it ended.
func (e *Errands) Do(f func(ctx context.Context)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.count >= waiting {
		return false
	}
	e.count++
	go e.run(f)
	return true
}

func (e *Errands) run(f func(ctx context.Context)) {
	defer e.done()
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-e.ctx.Done():
	}
	f(e.ctx)
}

func (e *Errands) done() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count--
	if e.closed && e.count == 0 {
		close(e.empty)
	}
}

// Close waits until the errands have ended, or the context ends. Then it ends their context, and
// returns the error of its own.
func (e *Errands) Close(ctx context.Context) error {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		if e.count == 0 {
			close(e.empty)
		}
	}
	e.mu.Unlock()
	defer e.cancel()
	select {
	case <-e.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
