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
// several callers run one after the other. Only the writer uses it.
type Batch interface {
	store.Tx
	// Begin opens a part, which one closure fills. A batch of one closure has
	// one part.
	Begin() error
	// Keep ends the part and keeps its changes.
	Keep() error
	// Undo ends the part and undoes its changes. An error means that the whole
	// batch is lost.
	Undo() error
	// Commit ends the batch. After an error no change was kept, unless it is
	// [store.ErrUnknownOutcome].
	Commit() error
	// Rollback ends the batch and undoes everything.
	Rollback()
}

// ErrBusy is the error of opening a batch while another process holds the
// database. The writer tries again until the contexts of all waiting callers
// have ended.
var ErrBusy = errors.New("store: database is busy")

// maxBatch is the greatest number of closures that share a commit. It bounds how
// long the first of them waits for the commit.
const maxBatch = 256

// Writer runs closures on one goroutine and lets waiting closures share one
// commit. There is no timer: a lone closure begins at once and is committed
// alone, and the closures that arrive while a batch runs make up the next batch.
// Every closure succeeds or fails alone.
type Writer struct {
	open     func(alone bool) (Batch, error)
	onCommit func(updates int, took time.Duration) // nil if the host does not want to be told

	mu      sync.Mutex
	waiting []*request
	closed  bool
	wake    chan struct{} // holds one token when a request waits
	stopped chan struct{}

	// The state of the writer's goroutine. If runtime.Goexit ends the goroutine,
	// a new one continues from these fields.
	batch Batch
	began time.Time  // of the batch, if onCommit is to be called
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
	panicky bool // body panicked with value
	value   any
	goexit  bool
}

const (
	stateWaiting = iota
	stateRunning
	stateWithdrawn
)

// NewWriter starts a writer that opens its batches with open. [Writer.Close] ends
// its goroutine. After each commit that succeeded, and after the answers to its
// callers, the writer calls onCommit with the number of closures whose changes were
// kept and the time from the opening of the batch to the end of the commit. A nil
// onCommit is not called.
func NewWriter(open func(alone bool) (Batch, error), onCommit func(updates int, took time.Duration)) *Writer {
	w := &Writer{open: open, onCommit: onCommit, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	go w.run()
	return w
}

// Update runs body in a batch and returns after its commit. If the context ends
// before body has begun, Update returns the context's error. If body has begun,
// Update waits for the result.
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

// Close lets waiting closures finish and ends the goroutine.
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
	<-w.stopped
}

// take returns the requests of the next batch, or nil if no request waits. closed
// reports that no other request will come.
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
	debug.SetPanicOnFault(true) // so that a fault in a file that a database has mapped becomes an error
	ended := false
	defer func() {
		if !ended {
			go w.run() // a closure or onCommit called runtime.Goexit
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
		if w.onCommit != nil {
			w.began = time.Now()
		}
		batch, err = w.open(len(jobs) == 1)
		return err
	}
	err := safely(open)
	for errors.Is(err, ErrBusy) {
		time.Sleep(time.Millisecond + rand.N(4*time.Millisecond))
		jobs = stillWanted(jobs)
		if len(jobs) == 0 {
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

// stillWanted answers the requests whose context has ended and returns the
// others.
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

// finish runs the remaining requests of the batch, commits it and answers.
func (w *Writer) finish() {
	for w.batch != nil && w.next < len(w.jobs) {
		r := w.jobs[w.next]
		w.next++
		w.runOne(r)
	}
	if w.batch == nil {
		return
	}
	updates := 0 // that the commit keeps
	for _, r := range w.jobs {
		if !r.failed() {
			updates++
		}
	}
	var err error
	var took time.Duration
	if updates > 0 {
		err = safely(w.batch.Commit)
		if w.onCommit != nil {
			took = time.Since(w.began)
		}
		if errors.Is(err, store.ErrReference) && len(w.jobs) > 1 { // a constraint that is checked at the end
			w.lose(nil)
			return
		}
	} else {
		w.rollback()
	}
	kept := false // an earlier closure has succeeded, and this one may have seen its changes
	for _, r := range w.jobs {
		switch {
		case !r.failed():
			kept = true
			r.answer(err)
		case kept && err != nil && r.mayRunAgain():
			r.answer(err) // it may have failed because of changes that were not kept
		default:
			r.answer(r.err)
		}
	}
	w.batch, w.jobs = nil, nil
	if updates > 0 && err == nil {
		w.tell(updates, took)
	}
}

// tell calls onCommit, and drops its panic. The batch is over and its callers have
// their answers, so that neither a panic nor runtime.Goexit can take them away.
func (w *Writer) tell(updates int, took time.Duration) {
	if w.onCommit == nil {
		return
	}
	defer func() { _ = recover() }()
	w.onCommit(updates, took)
}

func (w *Writer) rollback() {
	_ = safely(func() error { w.batch.Rollback(); return nil })
}

// safely turns a panic of the database into an error. On the writer's goroutine,
// where no caller can recover it, the panic would end the program.
func safely(call func() error) (err error) {
	defer Caught(&err)
	return call()
}

// Caught is deferred around calls of a library. It turns a panic of the library,
// which does not expect the damage in its file, into [store.ErrDamaged]. Never
// use it around a closure: the panic of a closure belongs to its caller.
func Caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("%w: %v", store.ErrDamaged, v)
	}
}

// runOne runs one closure. If the closure calls runtime.Goexit, the goroutine
// ends, so the deferred call does all that remains to be done.
func (w *Writer) runOne(r *request) {
	if r.err = safely(w.batch.Begin); r.err != nil {
		w.lose(r)
		return
	}
	returned := false
	defer func() {
		if !returned {
			r.value = recover()
			r.panicky, r.goexit = r.value != nil, r.value == nil
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

// lose gives up a batch in which r could not be undone, or, without r, one whose commit was
// refused because of one of its closures. Three kinds of closures
// run again, each alone, so that the failure of r does not touch them: those that
// had succeeded, those that failed after they may have seen such a success, and
// those that had not run.
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
	slices.Reverse(w.alone) // take takes from the end
	w.batch, w.jobs = nil, nil
}

// mayRunAgain reports whether a failed closure returned an error. A panic and
// runtime.Goexit are already on their way to the caller.
func (r *request) mayRunAgain() bool { return !r.panicky && !r.goexit }

func (r *request) failed() bool { return r.err != nil || r.panicky || r.goexit }

func (r *request) answer(err error) {
	r.err = err
	close(r.done)
}
