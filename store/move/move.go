// Package move moves the rows of a store to another store while the host runs: from
// SQLite or bbolt to PostgreSQL, or back.
//
// A [Move] is a store. The host opens both stores, and hands the Move to
// latchkey.New in the place of the store that it has used so far:
//
//	from, err := sqlite.Open("app.db")
//	to, err := postgres.Open(ctx, address)
//	moving, err := move.New(from, to, move.Options{})
//	engine, err := latchkey.New(moving, config)
//
//	passes, err := moving.Copy(ctx)  // takes its time, while the engine serves
//	stop, err := moving.Switch(ctx)  // a short stop
//
// Until the switch, every call goes to the first store, and after it to the second.
// From the next start on, the host opens the second store alone.
//
// # What happens
//
//   - Copy reads all rows of the first store and writes them to the second.
//     Meanwhile, the Move notes the keys of all rows that the host changes.
//   - Copy, CatchUp and Switch bring the second store up to date in passes. Each
//     pass reads a snapshot of the rows that have changed since the last one, and
//     writes them. After a pass, the second store has exactly the rows of its
//     snapshot.
//   - At its end, Copy compares all rows of both stores. A row that differs must be
//     one that has changed since the last pass.
//   - Switch lets no Update begin, waits for those that run, makes the last pass, and
//     reads the rows of the pass back from the second store. Then it marks the first
//     store as moved, and the Updates that wait go on with the second store. Get,
//     List, Count and View do not wait: nothing changes in the stop, so the first
//     store answers them.
//   - If a step fails, nothing is switched, and the host goes on with the first store.
//     If Switch fails and the mark may stand all the same, or may still come, the next
//     Update removes it before anything else, and fails if it cannot.
//
// # One process
//
// A Move sees the writes of its own process alone. Stop all other processes that
// write to the first store before Copy, and start them on the second store after
// Switch: other processes with the same SQLite file, other machines with the same
// PostgreSQL database, and commands. Copy and Verify compare all rows, and answer with
// [store.ErrChanged] if another process has written until then. Switch compares the
// numbers of rows before its stop. A later write of another process, and one that
// replaces a row after Copy, is not noticed, and is missing from the second store.
//
// # Rows of the host
//
// A Move moves the tables of the engine. A host that writes rows of its own in the
// transactions of the store ([store.Hosting]) cannot do so during a move: a Move gives out
// no handle.
//
// # A crash
//
// Until the first store is marked, it has everything. After a crash begin anew, with
// an empty second store: a new file, another namespace, or the namespace dropped.
// When the first store is marked, the second one has everything. latchkey.New refuses
// a marked store ([store.ErrMoved]), so that a host with its old configuration does
// not go on with sessions that have ended and tokens that were used. To move back,
// move from the second store to a new, empty one.
//
// # Cost
//
// A Move holds the keys of the changed rows in memory, some 150 bytes each. Before Copy and
// after Abort, it holds only those of Updates whose outcome is not known. Until the switch,
// it lists the rows of a range before it deletes them. Copy reads
// all rows of the first store twice, and those of the second once. During a pass, one
// View of the first store is open.
package move

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
)

// The errors of a Move, besides those of the stores.
var (
	ErrNotCopied = errors.New("move: no copy to bring up to date")
	ErrSwitched  = errors.New("move: switched already")
	ErrTooLong   = errors.New("move: the stop would have been too long")
)

// The defaults of [Options].
const (
	defaultMaxStop = 2 * time.Second
	defaultFew     = 500
)

// Options of [New].
type Options struct {
	// Schema declares the tables of both stores; nil means the engine's. A store of
	// another schema is not marked as moved.
	Schema *store.Schema
	// MaxStop is the longest time for which Switch may hold up Updates. 0 means 2
	// seconds.
	MaxStop time.Duration
	// Few is the greatest number of rows of a pass after which Copy ends and the
	// stop of Switch begins. They make up to ten passes for it. 0 means 500.
	Few int
	// OnProgress, unless nil, is called with the name of a table and the number of
	// its rows that Copy has written so far. It must not call the Move.
	OnProgress func(table string, rows int)
	// OnPass, unless nil, is called after each pass. It must not call the Move.
	OnPass func(Pass)
}

// Pass is the first copy, or a later reading of changed rows.
type Pass struct {
	Rows   int // that may have changed, or all rows in the first copy
	Length time.Duration
}

// Stop is the result of [Move.Switch].
type Stop struct {
	Rows    int           // of the last pass
	Length  time.Duration // of the longest wait that the Move has caused to an Update
	Waiting time.Duration // the part of it for Updates that were running
}

// Move is a store that moves its rows to another one. It is safe for concurrent use.
// One of Copy, CatchUp, Verify, Switch and Abort runs at a time, and the others wait for it.
type Move struct {
	from, to store.Store
	schema   *store.Schema
	options  Options

	switched atomic.Bool
	closed   atomic.Bool
	life     context.Context // ends with Close
	end      context.CancelFunc
	once     sync.Once
	closing  error

	page   int           // see defaultPage
	step   chan struct{} // holds one element while a step runs
	copied bool          // of the step: both stores have the same rows, except for the dirty ones

	doubt    atomic.Bool   // Switch has failed, and its mark may stand in the first store, or may still come
	settling chan struct{} // holds one element while settle runs

	changes
}

// New returns a Move from one open store to another. It owns both stores from now on:
// Close closes them.
//
//   - [store.ErrInvalid]: a store is missing, both are one, or an option is negative
func New(from, to store.Store, o Options) (*Move, error) {
	switch {
	case from == nil || to == nil:
		return nil, fmt.Errorf("%w: a move needs two stores", store.ErrInvalid)
	case from == to:
		return nil, fmt.Errorf("%w: a move to the same store", store.ErrInvalid)
	case o.MaxStop < 0 || o.Few < 0:
		return nil, fmt.Errorf("%w: a negative option of a move", store.ErrInvalid)
	}
	if o.Schema == nil {
		o.Schema = record.Schema
	}
	if o.MaxStop == 0 {
		o.MaxStop = defaultMaxStop
	}
	if o.Few == 0 {
		o.Few = defaultFew
	}
	m := &Move{from: from, to: to, schema: o.Schema, options: o, page: defaultPage, changes: newChanges()}
	m.step, m.settling = make(chan struct{}, 1), make(chan struct{}, 1)
	m.life, m.end = context.WithCancel(context.Background())
	return m, nil
}

// Switched reports whether calls go to the second store.
func (m *Move) Switched() bool { return m.switched.Load() }

func (m *Move) current() store.Store {
	if m.switched.Load() {
		return m.to
	}
	return m.from
}

// enter begins a call, with the errors of every store in their order.
func (m *Move) enter(ctx context.Context) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case backend.Nested(ctx, m):
		return store.ErrNested
	case m.closed.Load():
		return store.ErrClosed
	}
	return nil
}

// Get implements [store.Reader].
func (m *Move) Get(ctx context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	if err := m.enter(ctx); err != nil {
		return store.Row{}, err
	}
	return m.current().Get(ctx, ix, key...)
}

// GetBoth implements [store.Reader].
func (m *Move) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	if err := m.enter(ctx); err != nil {
		return store.Row{}, store.Row{}, err
	}
	return m.current().GetBoth(ctx, p, key...)
}

// List implements [store.Reader].
func (m *Move) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	return m.current().List(ctx, q)
}

// Count implements [store.Reader].
func (m *Move) Count(ctx context.Context, q store.Query) (int, error) {
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	return m.current().Count(ctx, q)
}

// Update implements [store.Store]. It waits while Switch holds up Updates.
func (m *Move) Update(ctx context.Context, fn func(context.Context, store.Tx) error) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	u, err := m.begin(ctx, m.life)
	if err != nil {
		return err
	}
	unknown := true // if it panics
	defer func() { m.finish(u, unknown) }()
	if err := m.settle(ctx); err != nil {
		return err
	}
	err = m.current().Update(ctx, func(ctx context.Context, tx store.Tx) error {
		ctx, end := backend.Mark(ctx, m)
		defer end()
		if m.switched.Load() { // which does not change while an Update runs
			return fn(ctx, noHost{tx})
		}
		return m.note(ctx, u, tx, fn)
	})
	unknown = errors.Is(err, store.ErrUnknownOutcome)
	return err
}

// View implements [store.Store]. A View that began before the switch reads its snapshot
// of the first store to its end.
func (m *Move) View(ctx context.Context, fn func(context.Context, store.Reader) error) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	return m.current().View(ctx, func(ctx context.Context, r store.Reader) error {
		ctx, end := backend.Mark(ctx, m)
		defer end()
		return fn(ctx, r)
	})
}

// Check implements [store.Checker] by the store in use. It returns
// [errors.ErrUnsupported] if that store cannot be checked.
func (m *Move) Check(ctx context.Context) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	if c, can := m.current().(store.Checker); can {
		return c.Check(ctx)
	}
	return fmt.Errorf("move: check: %w", errors.ErrUnsupported)
}

// Tidy implements [store.Tidier] by the store in use, if that can be tidied.
func (m *Move) Tidy(ctx context.Context) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	if t, can := m.current().(store.Tidier); can {
		return t.Tidy(ctx)
	}
	return nil
}

// Shared implements [store.Shared]. It reports whether one of both stores is shared,
// because other machines may use the second one after the switch.
func (m *Move) Shared() bool { return store.IsShared(m.from) || store.IsShared(m.to) }

// HostTransactions implements [store.Hosting]. It reports false, also after the switch: the
// rows that a host writes in a transaction of the first store would not be moved.
func (m *Move) HostTransactions() bool { return false }

// noHost is a transaction that gives the host no handle.
type noHost struct{ store.Tx }

// Close ends a step that runs, as a cancelled context does, and closes both stores. It
// implements [store.Store].
func (m *Move) Close() error {
	m.once.Do(func() {
		m.closed.Store(true)
		m.end()
		m.step <- struct{}{} // no further step begins
		m.closing = errors.Join(m.from.Close(), m.to.Close())
	})
	return m.closing
}
