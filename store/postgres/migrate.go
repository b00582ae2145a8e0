package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// The migrations of the engine's schema. The first file makes the tables of its
// version, and each later file N takes version N-1 to N. In the files, {s} stands
// for the namespace and {p} for the prefix.
//
//go:embed migrations/*.sql
var migrations embed.FS

// firstVersion is the first version of the schema that this backend had.
const firstVersion = 2

// versionTable holds one row: the name and the version of the schema.
const versionTable = "schema_version"

// migrate brings the tables to the schema's version. If they have another
// version, it takes a lock and then reads the version again.
func (d *database) migrate(ctx context.Context) error {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return wrap(ctx, opening, err)
	}
	defer conn.Release()
	version, err := d.checked(ctx, conn)
	if err != nil {
		return err
	}
	if version == d.schema.Version() {
		return d.writable(ctx, conn)
	}
	for first := true; ; first = false {
		err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
			return d.upgrade(ctx, tx)
		})
		var step *stepError
		if err == nil || errors.As(err, &step) {
			return err
		}
		var answer *pgconn.PgError
		if first && errors.As(err, &answer) && (answer.Code == uniqueViolation || answer.Code == duplicateSchema) {
			continue // another process has made the namespace meanwhile
		}
		return wrap(ctx, opening, err)
	}
}

// checked refuses a connection in another encoding than UTF-8, and returns the version of the
// tables.
func (d *database) checked(ctx context.Context, conn *pgxpool.Conn) (version int, err error) {
	for _, side := range []string{"client_encoding", "server_encoding"} {
		if encoding := conn.Conn().PgConn().ParameterStatus(side); encoding != "UTF8" && encoding != "" {
			return 0, fmt.Errorf("postgres: open: %w: %s is %s, not UTF8", store.ErrInvalid, side, encoding)
		}
	}
	return d.version(ctx, conn)
}

// writable refuses tables that the user of the connection may not write, and those of a standby, at
// once and not at the first write. It takes no lock.
func (d *database) writable(ctx context.Context, conn *pgxpool.Conn) error {
	var tables []string
	for _, t := range d.schema.Tables() {
		tables = append(tables, d.names.prefix+t.Name())
	}
	var standby, may bool
	err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), coalesce(bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
		AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')), false)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = ANY($2::text[])`,
		d.mode, d.names.namespace, tables).Scan(&standby, &may)
	switch {
	case err != nil:
		return wrap(ctx, opening, err)
	case standby:
		return fmt.Errorf("postgres: open: the server is a standby, which can only be read: %w", fs.ErrPermission)
	case !may:
		return fmt.Errorf("postgres: open: this user may not read and write all of the tables: %w", fs.ErrPermission)
	}
	return nil
}

// stepError is an error that is already wrapped.
type stepError struct{ error }

func (e *stepError) Unwrap() error { return e.error }

func (d *database) upgrade(ctx context.Context, tx pgx.Tx) error {
	h := fnv.New64a()
	_, _ = io.WriteString(h, "latchkey "+d.names.namespace)
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", d.mode, int64(h.Sum64())); err != nil {
		return err
	}
	version, err := d.version(ctx, tx)
	if err != nil {
		return &stepError{err}
	}
	if version == d.schema.Version() {
		return nil // another process was faster
	}
	steps, err := d.steps(version)
	if err != nil {
		return &stepError{err}
	}
	if version != 0 { // until the transactions of older processes have ended; those that come wait, and see the new version
		if _, err := tx.Exec(ctx, "LOCK TABLE "+d.names.table(versionTable)+" IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
	}
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM information_schema.schemata WHERE schema_name = $1)",
		d.mode, d.names.namespace).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := tx.Exec(ctx, `CREATE SCHEMA "`+d.names.namespace+`"`); err != nil {
			return err
		}
	}
	for _, text := range steps {
		if _, err := tx.Exec(ctx, text); err != nil {
			return err
		}
	}
	table := d.names.table(versionTable)
	if version == 0 {
		_, err = tx.Exec(ctx, "INSERT INTO "+table+" (name, version) VALUES ($1, $2)", d.mode, d.schema.Name(), d.schema.Version())
	} else {
		_, err = tx.Exec(ctx, "UPDATE "+table+" SET version = $1", d.mode, d.schema.Version())
	}
	return err
}

// version returns the version of the tables, or 0 if there are no tables.
func (d *database) version(ctx context.Context, q querier) (version int, err error) {
	version, err = d.versionOnce(ctx, q)
	if errors.Is(err, store.ErrDamaged) { // another process may have upgraded between the two statements
		version, err = d.versionOnce(ctx, q)
	}
	return version, err
}

type querier interface {
	QueryRow(ctx context.Context, text string, args ...any) pgx.Row
}

func (d *database) versionOnce(ctx context.Context, q querier) (version int, err error) {
	tables := []string{d.names.prefix + versionTable}
	for _, t := range d.schema.Tables() {
		tables = append(tables, d.names.prefix+t.Name())
	}
	var marked, others int
	err = q.QueryRow(ctx, `SELECT count(*) FILTER (WHERE table_name = $2), count(*) FILTER (WHERE table_name <> $2)
		FROM information_schema.tables WHERE table_schema = $1 AND table_name = ANY($3::text[])`,
		d.mode, d.names.namespace, tables[0], tables).Scan(&marked, &others)
	if err != nil {
		return 0, wrap(ctx, opening, err)
	}
	if marked == 0 {
		if others > 0 {
			return 0, fmt.Errorf("postgres: %w", store.ErrForeign)
		}
		return 0, nil
	}
	var name string
	if err := q.QueryRow(ctx, "SELECT name, version FROM "+d.names.table(versionTable), d.mode).Scan(&name, &version); err != nil {
		var answer *pgconn.PgError
		var scan pgx.ScanArgError
		if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &scan) || errors.As(err, &answer) && answer.Code == undefinedColumn {
			return 0, fmt.Errorf("postgres: %w", store.ErrForeign)
		}
		return 0, wrap(ctx, opening, err)
	}
	switch {
	case name != d.schema.Name() || version < 1:
		return 0, fmt.Errorf("postgres: %w", store.ErrForeign)
	case version == d.schema.Version() && others < len(d.schema.Tables()):
		return 0, fmt.Errorf("postgres: %w: %d of %d tables are there", store.ErrDamaged, others, len(d.schema.Tables()))
	}
	return version, d.newer(version)
}

// newer refuses tables of a newer version.
func (d *database) newer(version int) error {
	if version > d.schema.Version() {
		return fmt.Errorf("postgres: %w: version %d, not %d", store.ErrNewer, version, d.schema.Version())
	}
	return nil
}

// steps returns the statements that lead from a version to the schema's.
func (d *database) steps(version int) (steps []string, err error) {
	if version == 0 {
		steps = append(steps, "CREATE TABLE "+d.names.table(versionTable)+" (name text NOT NULL, version bigint NOT NULL)")
	}
	if d.schema != record.Schema {
		if version != 0 {
			return nil, fmt.Errorf("postgres: schema %s has no migrations", d.schema.Name())
		}
		for _, t := range d.schema.Tables() {
			steps = append(steps, d.dialect.Create(t)...)
		}
		return steps, nil
	}
	for v := max(version+1, firstVersion); v <= d.schema.Version(); v++ {
		text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", v))
		if err != nil {
			return nil, fmt.Errorf("postgres: migrations: %w", err)
		}
		steps = append(steps, strings.NewReplacer("{s}", `"`+d.names.namespace+`"`, "{p}", d.names.prefix).Replace(string(text)))
	}
	return steps, nil
}
