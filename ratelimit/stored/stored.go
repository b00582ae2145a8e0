// Package stored counts calls in PostgreSQL, for a host on several machines. All
// limiters over one table share their counts.
//
// A decision is one statement on one connection of the host's pool, committed by
// itself. It locks the row of its key, so that calls of one key at once wait for each
// other. The driver is github.com/jackc/pgx/v5.
//
// # Time
//
// Windows begin and end by the clock of the server. The now of a call counts for
// nothing but Result.Reset, which is now and the time that is left: so the callers'
// clocks may differ.
//
// # The table
//
// [New] makes the table if it is missing. A host whose user may not do that makes it
// beforehand, by the same statements:
//
//	CREATE SCHEMA IF NOT EXISTS latchkey;
//	CREATE UNLOGGED TABLE latchkey.calls (
//		key     uuid        NOT NULL,
//		ends    timestamptz NOT NULL,
//		calls   integer     NOT NULL,
//		refused boolean     NOT NULL,
//		CONSTRAINT calls_pkey PRIMARY KEY (key)
//	) WITH (fillfactor = 70);
//	CREATE INDEX calls_ends ON latchkey.calls (ends);
//
// The user needs SELECT, INSERT, UPDATE and DELETE.
//
// The table is unlogged, so a decision waits for no disk. After a crash of the
// server, and on a standby that takes over, it is empty: every count begins anew. An
// orderly restart keeps it.
//
// The limiter removes rows whose window is over, a few at a time: one of 64 calls that
// begin a window removes up to 128 of the oldest after its decision. [Limiter.Sweep]
// removes the rest.
//
// # Failures
//
// Each method but Sweep fails after Options.Timeout at the latest, which is a second by
// default. The wait for a connection of the pool counts. A call that fails may be
// counted or not. It is not tried again, because it would count twice, except after a
// conflict, and where nothing was sent. An error names the operation and a code of
// PostgreSQL (SQLSTATE), and never a key.
//
// # Tested versions
//
// The tests pass on PostgreSQL 15, directly and through pgbouncer 1.18 in transaction
// mode.
package stored

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/ratelimit"
)

// Options of [New]. The zero Options are for a table latchkey.calls, and a direct
// connection.
type Options struct {
	// Namespace is the PostgreSQL schema of the table. "" means latchkey. It is made if
	// it is missing.
	Namespace string
	// Prefix comes before the names of the table and its index.
	Prefix string
	// Timeout is the longest time of a call, with the wait for a connection; 0 means a
	// second. The context of the caller may end a call earlier.
	Timeout time.Duration
	// TransactionPooler must be set if a pooler between this process and the server
	// gives each transaction another connection, as pgbouncer does in transaction mode.
	// Then no prepared statement is kept, and the server plans each statement anew.
	TransactionPooler bool
}

// The defaults of [Options].
const (
	defaultNamespace = "latchkey"
	defaultTimeout   = time.Second
)

const (
	sweepEvery = 64   // of so many calls that begin a window, one sweeps
	sweepRows  = 128  // rows that it removes at the most: twice as many as can have come
	sweepAll   = 1000 // rows that one statement of Sweep removes at the most
)

// Limiter is a [ratelimit.Limiter] over a table.
type Limiter struct {
	pool    *pgxpool.Pool
	timeout time.Duration
	mode    pgx.QueryExecMode
	texts   texts
	begun   atomic.Uint64 // windows
}

// New returns a limiter over a table, and makes the table if it is missing. The host
// closes the pool itself, after the engine. A pool that the host's store uses too is
// fine.
//
// New fails if the names are not made of a-z, 0-9 and _, if the user may not write the
// table (fs.ErrPermission), if the server is a standby (fs.ErrPermission), and if the
// table is another program's.
func New(ctx context.Context, pool *pgxpool.Pool, o Options) (*Limiter, error) {
	if pool == nil {
		return nil, errors.New("stored: no pool")
	}
	if o.Namespace == "" {
		o.Namespace = defaultNamespace
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	l := &Limiter{pool: pool, timeout: o.Timeout, mode: modeOf(pool, o), texts: textsOf(o)}
	return l, l.prepare(ctx, o)
}

// maxName is the number of bytes of a name that PostgreSQL keeps.
const maxName = 63

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

func (o Options) check() error {
	longest := len("calls_pkey")
	switch {
	case !plainName.MatchString(o.Namespace) || len(o.Namespace) > maxName:
		return fmt.Errorf("stored: a namespace is up to %d of a-z, 0-9 and _, and does not begin with a digit", maxName)
	case o.Prefix != "" && !plainName.MatchString(o.Prefix) || len(o.Prefix)+longest > maxName:
		return fmt.Errorf("stored: a prefix is up to %d of a-z, 0-9 and _, and does not begin with a digit", maxName-longest)
	case o.Timeout < 0:
		return errors.New("stored: the timeout is negative")
	}
	return nil
}

// modeOf returns the way in which statements are sent. A pool without a cache of
// statements takes two round trips for each.
func modeOf(pool *pgxpool.Pool, o Options) pgx.QueryExecMode {
	config := pool.Config().ConnConfig
	mode, cache := pgx.QueryExecModeCacheStatement, config.StatementCacheCapacity
	if o.TransactionPooler {
		mode, cache = pgx.QueryExecModeCacheDescribe, config.DescriptionCacheCapacity
	}
	if cache == 0 {
		mode = pgx.QueryExecModeDescribeExec
	}
	return mode
}

// normal returns a rule within the bounds of the table.
func normal(rule ratelimit.Rule) (calls int, window time.Duration) {
	window = min(max(rule.Window, time.Millisecond), ratelimit.MaxWindow).Truncate(time.Millisecond)
	return min(max(rule.Calls, 0), ratelimit.MaxCalls), window
}

// interval returns a window in the form of the database: without days, whose length is that
// of a calendar.
func interval(window time.Duration) pgtype.Interval {
	return pgtype.Interval{Microseconds: window.Microseconds(), Valid: true}
}

// row is the row of a key, and the time of the server.
type row struct {
	calls   int
	refused bool
	ends    time.Time
	now     time.Time
}

// result returns the result of a call at the caller's now.
func (r row) result(allowed bool, calls, used int, now time.Time) ratelimit.Result {
	result := ratelimit.Result{Allowed: allowed, Limit: calls, Reset: now.Add(r.ends.Sub(r.now)), Window: r.ends.UnixMicro()}
	if allowed {
		result.Remaining = calls - used
	}
	return result
}

// Take implements [ratelimit.Limiter].
func (l *Limiter) Take(ctx context.Context, key ratelimit.Key, rule ratelimit.Rule, now time.Time) (ratelimit.Result, error) {
	calls, window := normal(rule)
	if calls < 1 {
		return ratelimit.Result{Reset: now.Add(window)}, nil
	}
	began := time.Now()
	var r row
	err := l.bounded(ctx, "take", func(ctx context.Context) error {
		return l.pool.QueryRow(ctx, l.texts.take, l.mode, [16]byte(key), interval(window), int64(calls)).Scan(&r.calls, &r.refused, &r.ends, &r.now)
	})
	if err != nil {
		return ratelimit.Result{}, err
	}
	if !r.refused && r.calls == 1 && l.begun.Add(1)%sweepEvery == 0 {
		ctx, cancel := context.WithDeadline(ctx, began.Add(l.timeout))
		defer cancel()
		_, _ = l.sweep(ctx, sweepRows) // a failure is no failure of the call; another one sweeps later
	}
	return r.result(!r.refused, calls, r.calls, now), nil
}

// Peek implements [ratelimit.Limiter].
func (l *Limiter) Peek(ctx context.Context, key ratelimit.Key, rule ratelimit.Rule, now time.Time) (ratelimit.Result, error) {
	calls, window := normal(rule)
	var r row
	err := l.bounded(ctx, "peek", func(ctx context.Context) error {
		return l.pool.QueryRow(ctx, l.texts.peek, l.mode, [16]byte(key), interval(window)).Scan(&r.calls, &r.ends, &r.now)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		r, err = row{ends: now.Add(window), now: now}, nil
	}
	if err != nil {
		return ratelimit.Result{}, err
	}
	result := r.result(r.calls < calls, calls, r.calls+1, now)
	result.Window = 0 // nothing was taken
	return result, nil
}

// Return implements [ratelimit.Limiter].
func (l *Limiter) Return(ctx context.Context, key ratelimit.Key, taken ratelimit.Result) error {
	if taken.Window == 0 {
		return nil // nothing was taken
	}
	return l.exec(ctx, "return", l.texts.giveBack, [16]byte(key), time.UnixMicro(taken.Window))
}

// Forget implements [ratelimit.Limiter].
func (l *Limiter) Forget(ctx context.Context, key ratelimit.Key) error {
	return l.exec(ctx, "forget", l.texts.forget, [16]byte(key))
}

// Sweep removes all rows whose window is over, a thousand a statement, until the context
// ends. It returns how many it has removed. It waits for no other call and holds up
// none. Only disk space depends on it.
func (l *Limiter) Sweep(ctx context.Context) (removed int, err error) {
	for {
		n, err := l.sweep(ctx, sweepAll)
		if removed += n; err != nil {
			return removed, wrap(ctx, "sweep", err)
		}
		if n < sweepAll {
			return removed, nil
		}
	}
}

func (l *Limiter) sweep(ctx context.Context, rows int) (int, error) {
	tag, err := l.pool.Exec(ctx, l.texts.sweep, l.mode, int64(rows))
	return int(tag.RowsAffected()), err
}

func (l *Limiter) exec(ctx context.Context, what, text string, args ...any) error {
	return l.bounded(ctx, what, func(ctx context.Context) error {
		_, err := l.pool.Exec(ctx, text, append([]any{l.mode}, args...)...)
		return err
	})
}

// bounded runs a statement within the timeout. It runs the statement again after a
// conflict, which can happen if the pool's transactions are stricter than read committed,
// and once if nothing was sent.
func (l *Limiter) bounded(ctx context.Context, what string, call func(context.Context) error) error {
	inner, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	for unsent := false; ; {
		err := call(inner)
		switch {
		case err == nil || errors.Is(err, pgx.ErrNoRows):
			return err
		case inner.Err() != nil:
			return wrap(ctx, what, err)
		case isConflict(err):
		case !unsent && pgconn.SafeToRetry(err):
			unsent = true
		default:
			return wrap(ctx, what, err)
		}
	}
}

// The SQLSTATE codes that this package tests for.
const (
	serializationFailed = "40001"
	deadlock            = "40P01"
	uniqueViolation     = "23505"
	duplicateSchema     = "42P06"
	duplicateTable      = "42P07"
)

// isConflict reports whether a statement failed because of another one, and had no effect.
func isConflict(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && (answer.Code == serializationFailed || answer.Code == deadlock)
}

// wrap names the operation that failed. It leaves the driver's error out of the chain,
// because that has details of the server.
func wrap(ctx context.Context, what string, err error) error {
	if e := ctx.Err(); e != nil {
		return fmt.Errorf("stored: %s: %w", what, e)
	}
	var answer *pgconn.PgError
	var network *net.OpError
	switch {
	case errors.As(err, &answer):
		return fmt.Errorf("stored: %s: SQLSTATE %s", what, answer.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("stored: %s: no answer in time: %w", what, context.DeadlineExceeded)
	case errors.As(err, &network):
		return fmt.Errorf("stored: %s: %v", what, network)
	}
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return fmt.Errorf("stored: %s: no answer from the server (%T)", what, err)
}
