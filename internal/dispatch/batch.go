package dispatch

import "sync"

// Batch does things together that are asked for at once: while one batch is under way, the next
// one gathers. It is safe for concurrent use.
type Batch[T any] struct {
	do  func([]T) error
	max int

	mu      sync.Mutex
	busy    bool
	waiting []*asked[T]
}

// asked is one thing that waits.
type asked[T any] struct {
	thing T
	err   error
	done  chan struct{}
}

// NewBatch returns a batch of at most max things, which do does.
func NewBatch[T any](max int, do func([]T) error) *Batch[T] { return &Batch[T]{do: do, max: max} }

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
		n := min(len(b.waiting), b.max)
		part := b.waiting[:n:n]
		b.waiting = b.waiting[n:]
		b.busy = n > 0
		b.mu.Unlock()
		if n == 0 {
			return
		}
		things := make([]T, n)
		for i, a := range part {
			things[i] = a.thing
		}
		err := b.do(things)
		for _, a := range part {
			a.err = err
			close(a.done)
		}
	}
}
