package dispatch

import (
	"errors"
	"sync"
	"time"
)

// Batch gathers calls that come at about the same time into one. It is safe for concurrent use.
type Batch[T any] struct {
	do     func([]T) error
	max    int
	gather time.Duration

	mu      sync.Mutex
	busy    bool
	waiting []*asked[T]
}

// asked is a call of Do that waits.
type asked[T any] struct {
	thing T
	err   error
	done  chan struct{}
}

// NewBatch returns a batch of at most max things, which do does. The first one waits for others for
// the time gather.
func NewBatch[T any](max int, gather time.Duration, do func([]T) error) *Batch[T] {
	return &Batch[T]{do: do, max: max, gather: gather}
}

// Do does a thing with others, and returns the error of the batch.
func (b *Batch[T]) Do(thing T) error {
	a := &asked[T]{thing: thing, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, a)
	mine := !b.busy
	b.busy = true
	b.mu.Unlock()
	if mine {
		go b.work()
	}
	<-a.done
	return a.err
}

// work does all batches that are asked for.
func (b *Batch[T]) work() {
	for {
		b.mu.Lock()
		idle := len(b.waiting) == 0
		b.busy = !idle
		b.mu.Unlock()
		if idle {
			return
		}
		time.Sleep(b.gather)
		b.mu.Lock()
		n := min(len(b.waiting), b.max)
		part := b.waiting[:n:n]
		b.waiting = b.waiting[n:]
		b.mu.Unlock()
		things := make([]T, n)
		for i, a := range part {
			things[i] = a.thing
		}
		err := b.call(things)
		for _, a := range part {
			a.err = err
			close(a.done)
		}
	}
}

// errEnded is the error of a batch whose function has ended its goroutine.
var errEnded = errors.New("latchkey: a batch has ended its goroutine")

// call calls the function of the batch, on a goroutine of its own: the host's store may end that.
func (b *Batch[T]) call(things []T) error {
	done := make(chan error, 1)
	go func() {
		err := errEnded
		defer func() { done <- err }()
		err = b.do(things)
	}()
	return <-done
}
