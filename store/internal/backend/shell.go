// Package backend holds the parts that all backends share: the checks of
// arguments, the mark by which a store notices that it is used inside its own
// transaction, the state of a transaction, and the writer that lets many closures
// share one commit.
package backend

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"example.com/latchkey/store"
)

// Driver is a backend without its shell. The arguments of its methods have been
// checked: tables are of the schema, values have the kinds of their columns, and
// keys and Equal hold no null.
type Driver interface {
	store.Reader // queries have no Before
	// Update runs body in a transaction, and commits if body returns nil.
	// body may run on another goroutine, and more than once. A panic in it, and
	// runtime.Goexit, end Update in the same way.
	Update(ctx context.Context, body func(tx store.Tx) error) error
	// View runs body once, on the caller's goroutine, with a reader of a snapshot.
	// It releases the snapshot when body returns, panics or calls runtime.Goexit.
	View(ctx context.Context, body func(r store.Reader) error) error
	store.Checker
	// Close is called once, when no call is running and no other will come.
	Close() error
}

// Shell is the store over a driver.
type Shell struct {
	driver Driver
	schema *store.Schema

	mu      sync.RWMutex // held for reading by every call, for writing by Close
	closed  atomic.Bool
	once    sync.Once
	closing error
}

// New returns the store over a driver.
func New(d Driver, schema *store.Schema) *Shell {
	return &Shell{driver: d, schema: schema}
}

// enter begins a call, and leave ends it.
func (s *Shell) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if Nested(ctx, s) {
		return store.ErrNested
	}
	if s.closed.Load() {
		return store.ErrClosed
	}
	if !s.mu.TryRLock() { // Close waits for a View, which must not wait for this call
		return store.ErrClosed
	}
	if s.closed.Load() {
		s.mu.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (s *Shell) leave() { s.mu.RUnlock() }

// Get implements [store.Reader].
func (s *Shell) Get(ctx context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	if err := s.enter(ctx); err != nil {
		return store.Row{}, err
	}
	defer s.leave()
	return s.get(ctx, s.driver, ix, key)
}

func (s *Shell) get(ctx context.Context, r store.Reader, ix *store.Index, key []store.Value) (store.Row, error) {
	if err := s.checkKey(ix, key); err != nil {
		return store.Row{}, err
	}
	if hasNull(key) {
		return store.Row{}, store.ErrNotFound
	}
	return r.Get(ctx, ix, key...)
}

// GetBoth implements [store.Reader].
func (s *Shell) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	if err := s.enter(ctx); err != nil {
		return part, parent, err
	}
	defer s.leave()
	return s.getBoth(ctx, s.driver, p, key)
}

func (s *Shell) getBoth(ctx context.Context, r store.Reader, p *store.Pair, key []store.Value) (part, parent store.Row, err error) {
	if p == nil {
		return part, parent, fmt.Errorf("%w: no pair", store.ErrInvalid)
	}
	if err := s.checkKey(p.Index, key); err != nil {
		return part, parent, err
	}
	if hasNull(key) {
		return part, parent, store.ErrNotFound
	}
	return r.GetBoth(ctx, p, key...)
}

// List implements [store.Reader].
func (s *Shell) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	return s.list(ctx, s.driver, q)
}

func (s *Shell) list(ctx context.Context, r store.Reader, q store.Query) ([]store.Row, error) {
	if possible, err := s.checkQuery(q, false); err != nil || !possible {
		return nil, err
	}
	if q.Before == nil {
		return r.List(ctx, q)
	}
	rows, err := r.List(ctx, forwards(q))
	slices.Reverse(rows)
	return rows, err
}

// Count implements [store.Reader].
func (s *Shell) Count(ctx context.Context, q store.Query) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	return s.count(ctx, s.driver, q)
}

func (s *Shell) count(ctx context.Context, r store.Reader, q store.Query) (int, error) {
	if possible, err := s.checkQuery(q, true); err != nil || !possible {
		return 0, err
	}
	return r.Count(ctx, forwards(q))
}

// forwards returns the query that selects the same rows with After instead of
// Before, since drivers do not know Before.
func forwards(q store.Query) store.Query {
	if q.Before != nil {
		q.Before, q.After, q.Descending = nil, q.Before, !q.Descending
	}
	return q
}

// Update implements [store.Store].
func (s *Shell) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.driver.Update(ctx, func(raw store.Tx) error { return s.run(ctx, raw, fn) })
}

// run calls fn once, with a transaction that ends when fn returns.
func (s *Shell) run(ctx context.Context, raw store.Tx, fn func(context.Context, store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tx := &closureTx{closure[store.Tx]{shell: s, outer: ctx, raw: raw}}
	if err := inside(&tx.closure, func(ctx context.Context) error { return fn(ctx, tx) }); err != nil {
		return err
	}
	return ctx.Err()
}

// View implements [store.Store].
func (s *Shell) View(ctx context.Context, fn func(context.Context, store.Reader) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.driver.View(ctx, func(raw store.Reader) error {
		r := &closure[store.Reader]{shell: s, outer: ctx, raw: raw}
		return inside(r, func(ctx context.Context) error { return fn(ctx, r) })
	})
}

// Check implements [store.Checker].
func (s *Shell) Check(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.driver.Check(ctx)
}

// Tidy implements [store.Tidier]. A driver without a log has nothing to do.
func (s *Shell) Tidy(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if t, ok := s.driver.(store.Tidier); ok {
		return t.Tidy(ctx)
	}
	return nil
}

// Shared implements [store.Shared]. A driver without the method is not shared.
func (s *Shell) Shared() bool {
	shared, ok := s.driver.(store.Shared)
	return ok && shared.Shared()
}

// HostTransactions implements [store.Hosting]. A driver without the method has none.
func (s *Shell) HostTransactions() bool {
	hosting, ok := s.driver.(store.Hosting)
	return ok && hosting.HostTransactions()
}

// Close implements [store.Store]. It waits for running calls. A second call
// returns the same error as the first.
func (s *Shell) Close() error {
	s.once.Do(func() {
		s.closed.Store(true)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closing = s.driver.Close()
	})
	return s.closing
}
