// Package store is the contract between the engine and the place where it
// keeps its rows. The engine knows the rules of authentication. A backend knows
// tables, keys and transactions, and nothing about authentication.
//
// # For a host
//
// A host opens one backend and hands it to the engine: [store/memory] for
// tests, [store/bbolt] or [store/sqlite] in the host's own process,
// [store/postgres] for a server. It never calls the methods of [Store] itself.
//
// # For the author of a backend
//
// The contract is the list below. Package storetest tests every line of it.
//
//   - An absent row is [ErrNotFound]. A taken key is [ErrExists] and names its
//     index, or one index if several are taken. A missing row that another
//     refers to, and a row that is still referred to, is [ErrReference]. An
//     error may be wrapped. It carries no values of a row.
//   - References hold after every call: the call that breaks one is refused, even if a
//     later call of the closure would mend it.
//   - Deleting an absent row is [ErrNotFound]. The caller that deletes a
//     single-use row has claimed it.
//   - [ErrNotFound] leaves a transaction usable. After any other error of a
//     call, the transaction can only roll back: further calls return
//     [ErrAborted], and Update returns an error even if the closure hides it.
//   - An error, a panic or a cancelled context rolls back everything that the
//     closure did, and nothing that another closure did. A panic and
//     runtime.Goexit reach the caller of Update, as if the closure had run on
//     the caller's goroutine. They may come after a write that would have been
//     refused.
//   - Updates are serializable and in real-time order.
//   - A commit whose outcome is not known is [ErrUnknownOutcome].
//   - A View reads one snapshot, which has everything that was committed before
//     View was called, and nothing that is committed after its closure has begun.
//     Updates go on while the closure runs.
//   - The closure of View runs at most once. Its error, its panic and
//     runtime.Goexit reach the caller of View. After an error of a read other
//     than [ErrNotFound], further reads return [ErrAborted], and View returns an
//     error even if the closure hides it. A View leaves nothing behind, however
//     it ends.
//   - Under the context of a closure, Update and View of the same store are
//     [ErrNested], and so is a read of the store instead of the transaction or
//     the snapshot. A Tx or a Reader kept after its closure returns [ErrDone].
//   - InsertAll is Insert of each of the rows. If one of them is refused, none of
//     them is kept.
//   - In a numbered index ([IndexOn]), a row that is inserted with 0 in the last column gets a
//     number there. It is greater than the numbers of certain rows with the same values in the
//     other columns: those whose commit came before this Update began, and those that this
//     Update has inserted. A row that is inserted with another number keeps it.
//   - A null never collides in a unique index. A listing by the index has it
//     before every value. Comparing with a null selects nothing.
//   - Text compares bytewise.
//   - Text that is not valid UTF-8 or that holds NUL is [ErrInvalid]. So are a
//     value of another kind than its column, a null in a column that is not
//     nullable, and a key longer than [MaxKey].
//   - Times are UTC and whole microseconds. A time outside the years 0 to 9999
//     is [ErrInvalid].
//   - A JSON column holds JSON without NUL, without halves of surrogate pairs
//     and, unless it is verbatim, without numbers that a float64 cannot hold.
//     Other text is [ErrInvalid].
//   - A verbatim JSON column gives its text back as it was written. Its filters
//     are isNull and isNotNull. Another JSON column gives back the same JSON,
//     perhaps in other words. It has the filters contains and notContains too.
//     No index is over JSON.
//   - A listing is ordered by its index, then by primary key.
//   - Any call after Close is [ErrClosed].
//   - If a backend has a place (a file or a server), committed rows are there
//     after a reopen, and after a kill of the process.
//   - A place that another process holds exclusively is [ErrLocked] within a
//     second. A place of another program is [ErrForeign], and one of a newer
//     version [ErrNewer]. One whose first parts, which are read at opening, are
//     damaged is [ErrDamaged]. All three are left as they are.
//   - Tables of an older version are upgraded at opening. A backend that is told not to
//     upgrade them returns [ErrOlder], and leaves them as they are.
//   - If a newer version changes the tables while an older process has them open,
//     every Update of the older one that ends later is [ErrNewer] and changes
//     nothing. Its reads go on.
package store

import (
	"context"
	"errors"
)

// The errors of a store. Any other error is that of the context, or a fault of
// the backend.
var (
	ErrNotFound       = errors.New("store: no such row")
	ErrExists         = errors.New("store: key is taken")
	ErrReference      = errors.New("store: row refers to nothing, or is referred to")
	ErrInvalid        = errors.New("store: invalid argument")
	ErrAborted        = errors.New("store: transaction has failed and can only roll back")
	ErrDone           = errors.New("store: transaction is over")
	ErrNested         = errors.New("store: store used inside its own closure")
	ErrUnknownOutcome = errors.New("store: outcome of the commit is unknown")
	ErrLocked         = errors.New("store: held by another process")
	ErrClosed         = errors.New("store: closed")
	ErrForeign        = errors.New("store: not a file of this program")
	ErrNewer          = errors.New("store: written by a newer version of this program")
	ErrOlder          = errors.New("store: the tables were made by an older version of this program, or are missing")
	ErrDamaged        = errors.New("store: damaged")
)

// ExistsError is an [ErrExists] that names the index.
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

// Reader reads rows, in a transaction, in a snapshot, or each time as of the present.
type Reader interface {
	// Get returns the row with that key in a unique index, or [ErrNotFound].
	// A null in the key finds nothing.
	Get(ctx context.Context, ix *Index, key ...Value) (Row, error)
	// GetBoth returns a part of the row with that key in the index of a pair, and the
	// row's parent, both as of one moment. [ErrNotFound] says that there is no such row,
	// or that it refers to no parent.
	GetBoth(ctx context.Context, p *Pair, key ...Value) (part, parent Row, err error)
	// List returns the rows that q selects, in order.
	List(ctx context.Context, q Query) ([]Row, error)
	// Count returns the number of rows that q selects, and at most q.Limit
	// unless that is 0.
	Count(ctx context.Context, q Query) (int, error)
}

// Tx is a transaction. The rows that it reads stay as they are until it commits.
// Only the closure that received it may use it, and one goroutine at a time.
type Tx interface {
	Reader
	// Insert adds a row.
	Insert(ctx context.Context, t *Table, row Row) error
	// InsertAll adds rows of one table. It is Insert of each of them in order, but
	// many rows are faster in one call. If several rows are refused, the error is
	// that of one of them. No rows are no error.
	InsertAll(ctx context.Context, t *Table, rows []Row) error
	// Replace stores row in the place of the row with the same primary key,
	// or returns [ErrNotFound].
	Replace(ctx context.Context, t *Table, row Row) error
	// Delete removes the row with that primary key, or returns [ErrNotFound].
	Delete(ctx context.Context, t *Table, key ...Value) error
	// DeleteRange removes the rows that q selects and returns their number.
	DeleteRange(ctx context.Context, q Query) (int, error)
}

// Store keeps rows. All methods are safe for concurrent use.
type Store interface {
	// Each read outside a transaction is one statement and sees everything
	// that was committed before it began.
	Reader
	// Update runs fn in a serializable transaction and commits if fn returns
	// nil.
	//
	// fn may run again. It assigns captured variables from zero on every run and
	// has no other effect outside the transaction. Only the answers of the last run
	// count: in a run before it, a write may seem to succeed that the backend refuses
	// later. It calls the transaction with
	// the context that it is given. It may run on another goroutine than the
	// caller's, one that runs the closures of other callers too: if it waits for
	// anything else than the transaction, it delays them.
	Update(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// View runs fn once, on the caller's goroutine, with a reader of one snapshot:
	// every read sees what was committed before View was called, and nothing that
	// is committed while fn runs. Only fn may use the reader, and one goroutine at
	// a time.
	//
	// Updates go on meanwhile, but an open snapshot costs the backend memory,
	// space in its file or a connection, so fn should not wait for long. View does
	// not run fn again if the connection to a database is lost, because fn may
	// have had effects already. The error of fn is the error of View.
	View(ctx context.Context, fn func(ctx context.Context, r Reader) error) error
	// Close waits for running calls and frees the resources of the store. A
	// closure of Update or View must not call it: it would wait for itself.
	Close() error
}

// Checker is a store that can examine its file or its database for damage.
type Checker interface {
	// Check reads everything and reports [ErrDamaged] if the file is not whole, if
	// rows and indexes disagree, or if a row refers to a row that is missing. On
	// PostgreSQL it looks at references only. It changes nothing, and writers may
	// go on meanwhile.
	Check(ctx context.Context) error
}

// Tidier is a store that can remove the rest of deleted rows beside its tables.
type Tidier interface {
	// Tidy empties the log of the store, as far as no other call reads it. It does not
	// hold up other calls for long.
	Tidy(ctx context.Context) error
}

// Shared is a store that says whether processes on several machines may use it at
// once. A store that wraps another one forwards the method by [IsShared].
type Shared interface {
	// Shared reports whether other machines may use the same rows. A file is not
	// shared: several processes of one machine may use it at most.
	Shared() bool
}

// IsShared reports whether a store is [Shared] and says so.
func IsShared(s Store) bool {
	shared, ok := s.(Shared)
	return ok && shared.Shared()
}

// Hosting is a store that says whether a host may run statements of its own in its
// transactions. The backend's function TxOf gives out the handle. A store that wraps
// another one forwards the method by [HasHostTransactions], and its transactions are
// a [WrappedTx].
type Hosting interface {
	// HostTransactions reports whether the transactions of Update have such a handle. The
	// answer is the same for as long as the store is open.
	HostTransactions() bool
}

// HasHostTransactions reports whether a store is [Hosting] and says so.
func HasHostTransactions(s Store) bool {
	hosting, ok := s.(Hosting)
	return ok && hosting.HostTransactions()
}

// WrappedTx is a transaction around another one, such as that of a store that counts
// calls. The function TxOf of a backend looks through it.
type WrappedTx interface {
	Tx
	Unwrap() Tx
}

// Query selects rows by an index, in its order.
type Query struct {
	Index *Index
	// Equal fixes leading columns of the index. A null selects nothing.
	Equal []Value
	// From and To bound the first column that Equal leaves open. A bounded
	// column that is null is not selected.
	From, To Bound
	// Where selects among those rows. A unique index serves a condition that its
	// last column, which alone Equal leaves open, equals one of some values, if
	// there is no bound and no cursor. No index serves another one: every row that
	// the rest of the query selects is read until the page is full.
	Where []Filter
	// Descending reverses the order, primary key included.
	Descending bool
	// After is the position of the last row of the previous page, as
	// [Index.Position] returns it: the page begins after it. Before is the
	// position of the first row of the next page: the page ends before it, and
	// is still listed in the chosen order. Only one of them may be set. The row
	// of the position may be gone. The leading values must be those of Equal.
	After, Before []Value
	// Offset is the number of rows to leave out, counted from the cursor. They
	// are read all the same. It must be 0 for Count and DeleteRange.
	Offset int
	// Limit is the greatest number of rows, up to [MaxLimit]. List and
	// DeleteRange need at least 1. For Count, 0 means no limit.
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
