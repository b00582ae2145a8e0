// Package store is the contract between the engine and the place where it
// keeps things. The engine knows rules; a backend knows tables, keys and
// transactions, and nothing about auth.
//
// # For a host
//
// A host opens one backend and hands it to the engine: [store/memory] for
// tests, [store/bbolt] or [store/sqlite] in the host's own process. It never
// calls the methods of [Store] itself.
//
// # For the author of a backend
//
// The contract is the list below; package storetest runs every line of it.
//
//   - An absent row is [ErrNotFound]; a taken key is [ErrExists] and names its
//     index, one of them if several are taken; a missing or still referenced row is [ErrReference]. Each may be
//     wrapped; none carries values of a row.
//   - Deleting an absent row is [ErrNotFound]: this is how a row that serves
//     once is claimed.
//   - [ErrNotFound] leaves a transaction usable. After any other error of a
//     call it can only roll back: further calls answer with [ErrAborted], and
//     Update returns an error even if the closure hides it.
//   - An error, a panic or a cancelled context rolls back everything that the
//     closure did, and nothing of another's. A panic and runtime.Goexit reach
//     the caller of Update, as if the closure had run on its goroutine.
//   - Updates are serializable and in real-time order.
//   - A commit whose outcome is not known is [ErrUnknownOutcome].
//   - Update, or a read of the store instead of the transaction, under the
//     context of a closure of that store is [ErrNested]. A Tx kept after its
//     closure answers with [ErrDone].
//   - A null never collides in a unique index, but is listed by it, before
//     every value. Comparing with a null selects nothing.
//   - Text compares bytewise. Text that is not valid UTF-8 or that holds NUL,
//     a value of another kind than its column, a null where none may be, and a
//     key longer than [MaxKey] are [ErrInvalid].
//   - Times are UTC and whole microseconds, of the years 0 to 9999; another is
//     [ErrInvalid].
//   - A JSON column holds JSON without NUL, without halves of surrogate pairs
//     and, unless it is verbatim, without numbers that a float64 cannot hold;
//     other text is [ErrInvalid]. It comes back as the same JSON,
//     perhaps in other words; a verbatim one as it was written. Filters on the
//     former are contains, notContains, isNull and isNotNull, on the latter
//     isNull and isNotNull. No index is over JSON.
//   - A listing is ordered by its index, then by primary key.
//   - Any call after Close is [ErrClosed].
//   - A backend with a place (a file, a server): what was committed is there
//     after a reopen, also after a kill. A place that another process holds
//     exclusively is [ErrLocked] within a second; one of another program, of a
//     newer version, or damaged where it is looked at first is [ErrForeign],
//     [ErrNewer] or [ErrDamaged], and left as it is.
package store

import (
	"context"
	"errors"
)

// What a call may answer. An error that is none of these is a fault of the
// backend.
var (
	ErrNotFound       = errors.New("store: no such row")
	ErrExists         = errors.New("store: key is taken")
	ErrReference      = errors.New("store: row refers to nothing, or is referred to")
	ErrInvalid        = errors.New("store: invalid argument")
	ErrAborted        = errors.New("store: transaction has failed and can only roll back")
	ErrDone           = errors.New("store: transaction is over")
	ErrNested         = errors.New("store: store used inside its own transaction")
	ErrUnknownOutcome = errors.New("store: outcome of the commit is unknown")
	ErrLocked         = errors.New("store: held by another process")
	ErrClosed         = errors.New("store: closed")
	ErrForeign        = errors.New("store: not a file of this program")
	ErrNewer          = errors.New("store: written by a newer version of this program")
	ErrDamaged        = errors.New("store: damaged")
)

// ExistsError says which index is taken. It is an [ErrExists].
type ExistsError struct{ Table, Index string }

func (e *ExistsError) Error() string { return "store: key is taken in " + e.Table + "." + e.Index }

// Is makes errors.Is(err, ErrExists) true.
func (e *ExistsError) Is(target error) bool { return target == ErrExists }

// Taken returns an [ExistsError] for ix.
func Taken(ix *Index) error { return &ExistsError{ix.table.name, ix.name} }

// IsTaken reports whether err says that a key is taken in ix.
func IsTaken(err error, ix *Index) bool {
	var e *ExistsError
	return errors.As(err, &e) && e.Table == ix.table.name && e.Index == ix.name
}

// Reader reads rows.
type Reader interface {
	// Get returns the row with that key in a unique index, or [ErrNotFound].
	// A null in the key finds nothing.
	Get(ctx context.Context, ix *Index, key ...Value) (Row, error)
	// List returns the rows that q selects, in order.
	List(ctx context.Context, q Query) ([]Row, error)
	// Count returns how many rows q selects, and at most q.Limit when that is
	// not 0.
	Count(ctx context.Context, q Query) (int, error)
}

// Tx is a transaction: what it reads is what stands until it commits. It is
// for the closure that received it and for one goroutine at a time.
type Tx interface {
	Reader
	// Insert adds a row.
	Insert(ctx context.Context, t *Table, row Row) error
	// Replace stores row in the place of the row with the same primary key,
	// or answers [ErrNotFound].
	Replace(ctx context.Context, t *Table, row Row) error
	// Delete removes the row with that primary key, or answers [ErrNotFound].
	Delete(ctx context.Context, t *Table, key ...Value) error
	// DeleteRange removes the rows that q selects and returns how many.
	DeleteRange(ctx context.Context, q Query) (int, error)
}

// Store keeps rows. All methods are safe for concurrent use.
type Store interface {
	// Each read outside a transaction is one statement and sees everything
	// that was committed before it began.
	Reader
	// Update runs fn in a serializable transaction and commits if fn returns
	// nil. fn may run again, so it assigns captured variables from zero on
	// every run and does nothing else outside. It calls the transaction with
	// the context that it is given. It may run on another goroutine than the
	// caller's, beside the closures of others: one that waits for anything
	// else than the transaction delays them.
	Update(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// Close waits for running calls and frees what the store holds. It is not
	// for a closure of Update, which it would wait for.
	Close() error
}

// Checker is what the embedded stores can do besides: look whether what they
// keep is whole.
type Checker interface {
	// Check reads everything and reports [ErrDamaged] if the file is not
	// whole, if rows and indexes disagree, or if a row refers to nothing. It
	// changes nothing; writers may go on meanwhile.
	Check(ctx context.Context) error
}

// Query selects rows by an index, in its order.
type Query struct {
	Index *Index
	// Equal fixes leading columns of the index. A null selects nothing.
	Equal []Value
	// From and To bound the first column that Equal leaves open. A bounded
	// column that is null is not selected.
	From, To Bound
	// Where selects among those rows. What it asks is not looked up by an
	// index: every row that the rest of the query selects is read until the
	// page is full.
	Where []Filter
	// Descending reverses the order, primary key included.
	Descending bool
	// After is the position of the last row of the page before, as
	// [Index.Position] gives it: the page begins behind it. Before is the
	// position of the first row of the page after: the page ends before it,
	// and is still listed in the chosen order. Only one of them may be set. It
	// may be of a row that is gone. Its leading values must be those of Equal.
	After, Before []Value
	// Offset is how many rows to leave out, counted from the cursor. They are
	// read all the same. Count and DeleteRange take none.
	Offset int
	// Limit is the greatest number of rows. List and DeleteRange need one, 1
	// to [MaxLimit]; for Count 0 means no limit.
	Limit int
}

// The greatest Limit and Offset of a [Query].
const (
	MaxLimit  = 10_000
	MaxOffset = 1 << 30
)

// Bound is one end of a range. The zero Bound leaves the end open.
type Bound struct {
	Value Value
	Open  bool // the value itself is left out
	Set   bool
}

// Including returns a bound at v that selects v.
func Including(v Value) Bound { return Bound{Value: v, Set: true} }

// Excluding returns a bound at v that leaves v out.
func Excluding(v Value) Bound { return Bound{Value: v, Open: true, Set: true} }
