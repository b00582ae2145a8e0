package stored

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// texts are the statements of a limiter.
type texts struct{ take, peek, giveBack, forget, sweep string }

// A window is over at its end. A window without a call is over too: its calls were given
// back. If a window ends much later than one that began now would end, it is of another
// rule, or the clock of the server was set back. If it ends a little later, a call that
// came later was faster.
const isOver = `(c.calls = 0 OR c.ends <= now() OR c.ends > now() + $2::interval + interval '1 minute')`

// textsOf returns the statements of a table. now() is the beginning of the statement: it
// is the same in all of its parts, and does not move while the statement waits for a row.
//
// Take writes also if it refuses: RETURNING then tells the state of the row at the
// decision. A read in the same statement would tell an older one.
func textsOf(o Options) texts {
	replace := strings.NewReplacer("{over}", isOver, "{calls}", tableOf(o))
	text := func(s string) string { return replace.Replace(s) }
	return texts{
		take: text(`INSERT INTO {calls} AS c (key, ends, calls, refused)
			VALUES ($1, now() + $2::interval, 1, false)
			ON CONFLICT (key) DO UPDATE SET
				ends = CASE WHEN {over} THEN excluded.ends ELSE c.ends END,
				calls = CASE WHEN {over} THEN 1 WHEN c.calls < $3::bigint THEN c.calls + 1 ELSE c.calls END,
				refused = NOT {over} AND c.calls >= $3::bigint
			RETURNING calls, refused, ends, now()`),
		peek:     text(`SELECT calls, ends, now() FROM {calls} c WHERE key = $1 AND NOT {over}`),
		giveBack: text(`UPDATE {calls} SET calls = calls - 1, refused = false WHERE key = $1 AND ends = $2 AND ends > now() AND calls > 0`),
		forget:   text(`DELETE FROM {calls} WHERE key = $1`),
		// A row that a call has locked is left out: the call begins its next window.
		sweep: text(`DELETE FROM {calls} WHERE key = ANY (ARRAY (
			SELECT key FROM {calls} WHERE ends <= now() ORDER BY ends LIMIT $1 FOR UPDATE SKIP LOCKED))`),
	}
}

// tableOf returns the quoted name of the table with its namespace.
func tableOf(o Options) string { return `"` + o.Namespace + `"."` + o.Prefix + `calls"` }

// creation returns the statements that make the table.
func creation(o Options) []string {
	return []string{
		`CREATE UNLOGGED TABLE ` + tableOf(o) + ` (
			key     uuid        NOT NULL,
			ends    timestamptz NOT NULL,
			calls   integer     NOT NULL,
			refused boolean     NOT NULL,
			CONSTRAINT "` + o.Prefix + `calls_pkey" PRIMARY KEY (key)
		) WITH (fillfactor = 70)`,
		`CREATE INDEX "` + o.Prefix + `calls_ends" ON ` + tableOf(o) + ` (ends)`,
	}
}

// prepare makes the table if it is missing. If another process makes it at the same time,
// one of them waits for the other, or looks again.
func (l *Limiter) prepare(ctx context.Context, o Options) error {
	found, err := l.usable(ctx, l.pool, o)
	for try := 0; err == nil && !found; try++ {
		err = pgx.BeginTxFunc(ctx, l.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
			return l.create(ctx, tx, o)
		})
		var answer *pgconn.PgError
		var refused *refusal
		switch {
		case errors.As(err, &answer):
			taken := answer.Code == uniqueViolation || answer.Code == duplicateSchema || answer.Code == duplicateTable
			if taken && try == 0 {
				err = nil // the store has made the namespace meanwhile
				continue
			}
			err = fmt.Errorf("stored: new: %s (SQLSTATE %s)", answer.Message, answer.Code)
			if answer.Code == "42501" {
				err = fmt.Errorf("%w: %w", err, fs.ErrPermission)
			}
		case err != nil && !errors.As(err, &refused):
			err = wrap(ctx, "new", err)
		}
		found = err == nil
	}
	return err
}

// refusal is an error that has its words already.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error { return &refusal{fmt.Errorf(format, args...)} }

type querier interface {
	QueryRow(ctx context.Context, text string, args ...any) pgx.Row
}

// usable reports whether the table is there. It refuses a table of another program, one
// that the user may not write, and a standby, at once and not at the first call.
func (l *Limiter) usable(ctx context.Context, q querier, o Options) (found bool, err error) {
	var standby bool
	var columns int
	var may *bool
	err = q.QueryRow(ctx, `SELECT pg_is_in_recovery(), count(a.attname),
		bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
			AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
			AND (a.attname, format_type(a.atttypid, a.atttypmod)) IN
			(('key', 'uuid'), ('ends', 'timestamp with time zone'), ('calls', 'integer'), ('refused', 'boolean'))
		WHERE n.nspname = $1 AND c.relname = $2`, l.mode, o.Namespace, o.Prefix+"calls").Scan(&standby, &columns, &may)
	switch {
	case err != nil:
		return false, &refusal{wrap(ctx, "new", err)}
	case standby:
		return false, refuse("stored: the server is a standby, which can only be read: %w", fs.ErrPermission)
	case may == nil:
		return false, nil
	case columns != 4:
		return true, refuse("stored: the table %s is another program's", tableOf(o))
	case !*may:
		return true, refuse("stored: this user may not read and write %s: %w", tableOf(o), fs.ErrPermission)
	}
	return true, nil
}

// create makes the table, unless another process was faster.
func (l *Limiter) create(ctx context.Context, tx pgx.Tx, o Options) error {
	h := fnv.New64a()
	_, _ = io.WriteString(h, "latchkey calls "+tableOf(o))
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", l.mode, int64(h.Sum64())); err != nil {
		return err
	}
	if found, err := l.usable(ctx, tx, o); err != nil || found {
		return err
	}
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)", l.mode, o.Namespace).Scan(&there); err != nil {
		return err
	}
	steps := creation(o)
	if !there {
		steps = append([]string{`CREATE SCHEMA "` + o.Namespace + `"`}, steps...)
	}
	for _, text := range steps {
		if _, err := tx.Exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}
