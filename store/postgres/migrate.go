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
// version, and each later file N takes version N-1 to N. A file N_M is the addition M to
// version N, which programs of version N need not know: it adds an index, say, or a
// column with a default that they leave alone. In the files, {s} stands for the namespace, {p} for
// the prefix, and {tables} for the names of the tables as texts.
//
// So a program runs on the tables of its version with at least the additions that it knows.
//
//go:embed migrations/*.sql
var migrations embed.FS

// state is a version of the tables, with the number of additions to it. The zero state has no tables.
type state struct{ version, additions int }

// name returns the name of the migration that leads to a state.
func (s state) name() string {
	if s.additions == 0 {
		return fmt.Sprintf("%04d", s.version)
	}
	return fmt.Sprintf("%04d_%02d", s.version, s.additions)
}

// before reports whether a state comes before another one.
func (s state) before(other state) bool {
	return s.version < other.version || s.version == other.version && s.additions < other.additions
}

// wanted returns the state that a program needs.
func (d *database) wanted() state {
	s := state{version: d.schema.Version()}
	if d.schema != record.Schema {
		return s
	}
	for {
		next := state{s.version, s.additions + 1}
		if _, err := fs.Stat(migrations, "migrations/"+next.name()+".sql"); err != nil {
			return s
		}
		s = next
	}
}

// versionTable holds one row: the name and the version of the schema.
const versionTable = "schema_version"

// marker returns the name of an empty table that is there as long as the tables have a version. A transaction
// asks for the version by a lock on it, in one statement that comes before the first snapshot.
func marker(version int) string { return fmt.Sprintf("schema_v%d", version) }

// firstMarked is the first state with a marker.
var firstMarked = state{10, 2}

// migrate brings the tables to the state that this program needs. If they have not come
// so far, it takes a lock and then reads their state again. mayNot says that it only checks.
func (d *database) migrate(ctx context.Context, mayNot bool) error {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return wrap(ctx, opening, err)
	}
	defer conn.Release()
	have, err := d.checked(ctx, conn)
	if err != nil {
		return err
	}
	if want := d.wanted(); !have.before(want) {
		return d.writable(ctx, conn)
	} else if mayNot {
		return fmt.Errorf("postgres: open: %w: they are at %s, and this program needs %s", store.ErrOlder, have.name(), want.name())
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
		if errors.As(err, &answer) && answer.Code == deadlock { // with a View of an older program, which locks the tables one by one
			continue
		}
		if first && errors.As(err, &answer) && (answer.Code == uniqueViolation || answer.Code == duplicateSchema) {
			continue // another process has made the namespace meanwhile
		}
		return wrap(ctx, opening, err)
	}
}

// checked refuses a connection in another encoding than UTF-8, and a server that cannot do enough. It
// returns the state of the tables.
func (d *database) checked(ctx context.Context, conn *pgxpool.Conn) (have state, err error) {
	for _, side := range []string{"client_encoding", "server_encoding"} {
		if encoding := conn.Conn().PgConn().ParameterStatus(side); encoding != "UTF8" && encoding != "" {
			return have, fmt.Errorf("postgres: open: %w: %s is %s, not UTF8", store.ErrInvalid, side, encoding)
		}
	}
	if err := d.able(ctx, conn); err != nil {
		return have, err
	}
	return d.state(ctx, conn)
}

// writable refuses tables that the user of the connection may not write, and those of a standby, at
// once and not at the first write. It takes no lock.
func (d *database) writable(ctx context.Context, conn *pgxpool.Conn) error {
	var tables []string
	for _, t := range d.schema.Tables() {
		tables = append(tables, d.names.prefix+t.Name())
	}
	marks := []string{d.names.prefix + versionTable, d.names.prefix + marker(d.schema.Version())}
	var standby, may bool
	err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), coalesce(bool_and(has_table_privilege(c.oid, 'SELECT') AND (c.relname = ANY($3::text[])
		OR has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))), false)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = ANY($2::text[] || $3::text[])`,
		d.mode, d.names.namespace, tables, marks).Scan(&standby, &may)
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

// lock returns the number of the lock that an upgrade of the namespace takes.
func (d *database) lock() int64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, "latchkey "+d.names.namespace)
	return int64(h.Sum64())
}

// lockText locks the tables of a state against all transactions: those of programs that ask for the version by its
// marker, and those of older programs and of careful runs, which read it.
func (d *database) lockText(have state) string {
	tables := d.names.table(versionTable)
	if !have.before(firstMarked) {
		tables += ", " + d.names.table(marker(have.version))
	}
	return "LOCK TABLE " + tables + " IN ACCESS EXCLUSIVE MODE"
}

// script returns what upgrade does from a state, as one text. It fails if the tables have another
// state by then.
func (d *database) script(have state, steps []string) string {
	var b strings.Builder
	table, want := d.names.table(versionTable), d.wanted()
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+";\n", args...) }
	line("BEGIN")
	line("SELECT pg_advisory_xact_lock(%d)", d.lock())
	if have.version == 0 {
		line(`CREATE SCHEMA IF NOT EXISTS "%s"`, d.names.namespace)
	} else {
		line("%s", d.lockText(have))
		line("DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM %s AS v WHERE version = %d AND coalesce((to_jsonb(v) ->> 'additions')::bigint, 0) = %d) THEN "+
			"RAISE EXCEPTION 'the tables have changed since this script was written'; END IF; END $$", table, have.version, have.additions)
	}
	for _, step := range steps {
		line("%s", strings.TrimSuffix(strings.TrimSpace(step), ";"))
	}
	if have.version == 0 {
		line("INSERT INTO %s (name, version, additions) VALUES ('%s', %d, %d)", table, d.schema.Name(), want.version, want.additions)
	} else {
		line("UPDATE %s SET version = %d, additions = %d", table, want.version, want.additions)
	}
	line("COMMIT")
	return b.String()
}

func (d *database) upgrade(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", d.mode, d.lock()); err != nil {
		return err
	}
	have, err := d.state(ctx, tx)
	if err != nil {
		return &stepError{err}
	}
	want := d.wanted()
	if !have.before(want) {
		return nil // another process was faster
	}
	steps, err := d.steps(have)
	if err != nil {
		return &stepError{err}
	}
	if have.version != 0 { // until the transactions of older processes have ended; those that come wait, and see the new version
		if _, err := tx.Exec(ctx, d.lockText(have)); err != nil {
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
	if have.version == 0 {
		_, err = tx.Exec(ctx, "INSERT INTO "+table+" (name, version, additions) VALUES ($1, $2, $3)", d.mode, d.schema.Name(), want.version, want.additions)
	} else {
		_, err = tx.Exec(ctx, "UPDATE "+table+" SET version = $1, additions = $2", d.mode, want.version, want.additions)
	}
	return err
}

// state returns the state of the tables, the zero state if there are none.
func (d *database) state(ctx context.Context, q querier) (have state, err error) {
	have, err = d.stateOnce(ctx, q)
	if errors.Is(err, store.ErrDamaged) { // another process may have upgraded between the two statements
		have, err = d.stateOnce(ctx, q)
	}
	return have, err
}

type querier interface {
	QueryRow(ctx context.Context, text string, args ...any) pgx.Row
}

func (d *database) stateOnce(ctx context.Context, q querier) (have state, err error) {
	tables := []string{d.names.prefix + versionTable}
	for _, t := range d.schema.Tables() {
		tables = append(tables, d.names.prefix+t.Name())
	}
	var marked, others int
	err = q.QueryRow(ctx, `SELECT count(*) FILTER (WHERE table_name = $2), count(*) FILTER (WHERE table_name <> $2)
		FROM information_schema.tables WHERE table_schema = $1 AND table_name = ANY($3::text[])`,
		d.mode, d.names.namespace, tables[0], tables).Scan(&marked, &others)
	if err != nil {
		return state{}, wrap(ctx, opening, err)
	}
	if marked == 0 {
		if others > 0 {
			return state{}, fmt.Errorf("postgres: %w", store.ErrForeign)
		}
		return state{}, nil
	}
	var name string
	// The table of an older program has no additions.
	if err := q.QueryRow(ctx, "SELECT name, version, coalesce((to_jsonb(v) ->> 'additions')::bigint, 0) FROM "+d.names.table(versionTable)+" AS v", d.mode).
		Scan(&name, &have.version, &have.additions); err != nil {
		var answer *pgconn.PgError
		var scan pgx.ScanArgError
		if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &scan) || errors.As(err, &answer) && answer.Code == undefinedColumn {
			return state{}, fmt.Errorf("postgres: %w", store.ErrForeign)
		}
		return state{}, wrap(ctx, opening, err)
	}
	switch {
	case name != d.schema.Name() || have.version < 1:
		return state{}, fmt.Errorf("postgres: %w", store.ErrForeign)
	case have.version == d.schema.Version() && others < len(d.schema.Tables()):
		return state{}, fmt.Errorf("postgres: %w: %d of %d tables are there", store.ErrDamaged, others, len(d.schema.Tables()))
	}
	return have, d.newer(have.version)
}

// newer refuses tables of a newer version.
func (d *database) newer(version int) error {
	if version > d.schema.Version() {
		return fmt.Errorf("postgres: %w: version %d, not %d", store.ErrNewer, version, d.schema.Version())
	}
	return nil
}

// steps returns the statements that lead from a state to the one that this program needs.
func (d *database) steps(from state) (steps []string, err error) {
	if from.version == 0 {
		steps = append(steps, "CREATE TABLE "+d.names.table(versionTable)+" (name text NOT NULL, version bigint NOT NULL, additions bigint NOT NULL DEFAULT 0)")
	}
	if d.schema != record.Schema {
		if from.version != 0 {
			return nil, fmt.Errorf("postgres: schema %s has no migrations", d.schema.Name())
		}
		for _, t := range d.schema.Tables() {
			steps = append(steps, d.dialect.Create(t)...)
		}
		return append(steps, "CREATE TABLE "+d.names.table(marker(d.schema.Version()))+" ()"), nil
	}
	var tables []string
	for _, t := range d.schema.Tables() {
		tables = append(tables, "'"+d.names.prefix+t.Name()+"'")
	}
	replacer := strings.NewReplacer("{s}", `"`+d.names.namespace+`"`, "{p}", d.names.prefix, "{tables}", strings.Join(tables, ", "))
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, fmt.Errorf("postgres: migrations: %w", err)
	}
	for _, file := range files { // in the order of their names
		if name := strings.TrimSuffix(file.Name(), ".sql"); name <= from.name() || name > d.wanted().name() {
			continue
		}
		text, err := migrations.ReadFile("migrations/" + file.Name())
		if err != nil {
			return nil, fmt.Errorf("postgres: migrations: %w", err)
		}
		steps = append(steps, replacer.Replace(string(text)))
	}
	return steps, nil
}
