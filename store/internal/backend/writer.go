package backend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/latchkey/store"
)

// Batch is one open transaction of a database, in which the closures of
// several callers run one after the other. It is used by the writer alone.
type Batch interface {
	store.Tx
	// Begin opens a part that Undo can take back. A batch of one has one part.
	Begin() error
	// Keep ends the part and keeps its changes.
	Keep() error
	// Undo ends the part and takes its changes back. An error means that the
	// whole batch is lost.
	Undo() error
	// Commit ends the batch. After an error nothing was kept, unless it is
	// [store.ErrUnknownOutcome].
	Commit() error
	// Rollback ends the batch and takes everything back.
	Rollback()
}

// ErrBusy is what opening a batch answers while another process holds the
// database: the writer tries again until the contexts of all who wait have
// ended.
var ErrBusy = errors.New("store: database is busy")

// maxBatch bounds how many closures share a commit, and so how long the first
// of them waits for it.
const maxBatch = 256

// Writer runs closures on one goroutine and lets those that wait share one
// commit. There is no timer: a lone closure begins at once and is committed
// alone; what arrives while a batch runs makes up the next one. Every closure
// succeeds or fails alone.
type Writer struct {
	open func(alone bool) (Batch, error)

	mu      sync.Mutex
	waiting []*request
	closed  bool
	wake    chan struct{} // holds one token when something waits
	stopped chan struct{}

	// Of the writer's goroutine. They are fields so that a new goroutine can
	// go on where one that ended in runtime.Goexit stood.
	batch Batch
	jobs  []*request // of the batch
	next  int        // the first of jobs that has not run
	alone []*request // to run again, each in a batch of its own
}

// request is one call of Update.
type request struct {
	ctx     context.Context
	body    func(store.Tx) error
	state   atomic.Int32 // waiting, then running or withdrawn
	done    chan struct{}
	err     error
	panicky bool // value is of a panic
	value   any
	goexit  bool
}

const (
	stateWaiting = iota
	stateRunning
	stateWithdrawn
)

// NewWriter starts a writer that opens its batches with open. Closing it ends
// the goroutine.
func NewWriter(open func(alone bool) (Batch, error)) *Writer {
	w := &Writer{open: open, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go w.run()
	return w
}

// Update runs body in a batch and returns after its commit. A caller whose
// context ends before body began gets the context's error; after that the
// writer's answer is awaited.
func (w *Writer) Update(ctx context.Context, body func(store.Tx) error) error {
	r := &request{ctx: ctx, body: body, done: make(chan struct{})}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return store.ErrClosed
	}
	w.waiting = append(w.waiting, r)
	w.mu.Unlock()
	w.signal()
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.state.CompareAndSwap(stateWaiting, stateWithdrawn) {
			return ctx.Err()
		}
		<-r.done
	}
	switch {
	case r.panicky:
		panic(r.value)
	case r.goexit:
		runtime.Goexit()
	}
	return r.err
}

func (w *Writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Close lets what waits finish and ends the goroutine.
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
	<-w.stopped
}

// take returns what to run in the next batch; nil when nothing waits.
func (w *Writer) take() (jobs []*request, closed bool) {
	if n := len(w.alone); n > 0 {
		r := w.alone[n-1]
		w.alone = w.alone[:n-1]
		return []*request{r}, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), maxBatch)
	for _, r := range w.waiting[:n] {
		if r.state.CompareAndSwap(stateWaiting, stateRunning) {
			jobs = append(jobs, r)
		}
	}
	rest := copy(w.waiting, w.waiting[n:])
	clear(w.waiting[rest:])
	w.waiting = w.waiting[:rest]
	if rest > 0 {
		w.signal()
	}
	return jobs, w.closed && rest == 0
}

func (w *Writer) run() {
	debug.SetPanicOnFault(true) // a fault in a file that a database has mapped is an error too
	ended := false
	defer func() {
		if !ended {
			go w.run() // a closure called runtime.Goexit
		}
	}()
	for {
		if w.batch != nil {
			w.finish()
		}
		jobs, closed := w.take()
		if len(jobs) > 0 {
			w.begin(jobs)
			continue
		}
		if closed {
			break
		}
		<-w.wake
	}
	ended = true
	close(w.stopped)
}

func (w *Writer) begin(jobs []*request) {
	var batch Batch
	open := func() (err error) {
		batch, err = w.open(len(jobs) == 1)
		return err
	}
	err := safely(open)
	for errors.Is(err, ErrBusy) {
		time.Sleep(time.Millisecond + rand.N(4*time.Millisecond))
		if jobs = stillWanted(jobs); len(jobs) == 0 {
			return
		}
		err = safely(open)
	}
	if err != nil {
		for _, r := range jobs {
			r.answer(err)
		}
		return
	}
	w.batch, w.jobs, w.next = batch, jobs, 0
}

// stillWanted answers those whose context has ended and returns the others.
func stillWanted(jobs []*request) []*request {
	var wanted []*request
	for _, r := range jobs {
		if err := r.ctx.Err(); err != nil {
			r.answer(err)
		} else {
			wanted = append(wanted, r)
		}
	}
	return wanted
}

// finish runs what is left of the batch, commits it and answers.
func (w *Writer) finish() {
	for w.batch != nil && w.next < len(w.jobs) {
		r := w.jobs[w.next]
		w.next++
		w.runOne(r)
	}
	if w.batch == nil {
		return
	}
	var err error
	if slices.ContainsFunc(w.jobs, func(r *request) bool { return !r.failed() }) {
		err = safely(w.batch.Commit)
	} else {
		w.rollback()
	}
	kept := false // what a closure saw of those before it
	for _, r := range w.jobs {
		switch {
		case !r.failed():
			kept = true
			r.answer(err)
		case kept && err != nil && r.mayRunAgain():
			r.answer(err) // it was refused for what does not stand
		default:
			r.answer(r.err)
		}
	}
	w.batch, w.jobs = nil, nil
}

func (w *Writer) rollback() {
	_ = safely(func() error { w.batch.Rollback(); return nil })
}

// safely makes an error of a panic of the database, which would otherwise end
// the program from a goroutine that no caller sees.
func safely(call func() error) (err error) {
	defer Caught(&err)
	return call()
}

// Caught, deferred, makes an error of a panic of a library: the file is not what
// the library takes it for. It is for calls of the library alone, never around a
// closure, whose panic is its caller's.
func Caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("%w: %v", store.ErrDamaged, v)
	}
}

// runOne runs one closure. It may end the goroutine, when the closure calls
// runtime.Goexit; all that is to be done then is done in the deferred call.
func (w *Writer) runOne(r *request) {
	if r.err = safely(w.batch.Begin); r.err != nil {
		w.lose(r)
		return
	}
	returned := false
	defer func() {
		if !returned {
			if r.value = recover(); r.value != nil {
				r.panicky = true
			} else {
				r.goexit = true
			}
		}
		if !r.failed() {
			if r.err = safely(w.batch.Keep); r.err == nil {
				return
			}
		}
		if err := safely(w.batch.Undo); err != nil {
			r.err = errors.Join(r.err, err)
			w.lose(r)
		}
	}()
	r.err = r.body(w.batch)
	returned = true
}

// lose gives up a batch in which r could not be undone. The closures that had
// succeeded in it, those that failed after they may have seen such a success,
// and those that had not run, run again, each alone, so that r's failure stays
// its own.
func (w *Writer) lose(r *request) {
	w.rollback()
	kept := false
	for _, other := range w.jobs {
		switch {
		case other == r, other.failed() && !(kept && other.mayRunAgain()):
			other.answer(other.err)
		default:
			kept = kept || !other.failed()
			other.err = nil
			w.alone = append(w.alone, other)
		}
	}
	slices.Reverse(w.alone) // take begins at the end
	w.batch, w.jobs = nil, nil
}

// mayRunAgain reports whether a closure that failed returned an error: what it
// did otherwise is on its way to its caller.
func (r *request) mayRunAgain() bool { return !r.panicky && !r.goexit }

func (r *request) failed() bool { return r.err != nil || r.panicky || r.goexit }

func (r *request) answer(err error) {
	r.err = err
	close(r.done)
}
