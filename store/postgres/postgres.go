// Package postgres keeps everything in PostgreSQL, in real tables that a host
// may read and join. The driver is github.com/jackc/pgx/v5.
//
// Each Update is a serializable transaction of its own on a connection of its
// own. After a conflict with another transaction, it runs again after a short
// wait, until its context ends. Each read outside a transaction is one prepared
// statement and one round trip. The process keeps no rows, so any number of
// machines may share a database.
//
// # Rows of the host in one transaction with ours
//
// [TxOf] gives code that runs inside a closure of Update the transaction as a [pgx.Tx]. So a row
// of the host commits with those of the closure, or not at all. It may refer to a user whom the
// closure has just added. The host's first statement, and each one after writes of the closure,
// waits for the answers to these writes, which otherwise travel with the commit. The transaction is
// serializable, and a closure may run again, with a new handle.
//
// # Durability
//
// An acknowledged Update is as durable as the server makes its commits: fsync
// and synchronous_commit must be on, as they are by default.
//
// # Long views
//
// A View is one transaction (REPEATABLE READ, READ ONLY) on one connection of the
// pool. Its snapshot is a moment in the order of commits. It takes no part in the
// serialization of Updates, so it neither makes one run again nor fails with a
// conflict. While it is open, the server removes no rows that were deleted or
// replaced after it began, and a newer version of this program waits for it before
// it changes the tables. A server that limits idle transactions
// (idle_in_transaction_session_timeout) ends a View whose closure pauses for longer
// than that.
//
// # Other servers
//
// The tests of the whole contract pass on PostgreSQL 13, 14, 15, 16, 17 and 18, directly, and on 15
// through pgbouncer 1.18 in transaction mode. Those of the whole engine pass on PostgreSQL 15.
// No other server that speaks the protocol was tried. Opening asks the server for what is needed,
// and names the first thing that is missing ([errors.ErrUnsupported]):
//
//   - serializable transactions. A conflict must be 40001
//   - LOCK TABLE, and locks by pg_advisory_xact_lock that pg_locks shows
//   - SET CONSTRAINTS
//   - the operator ?| of jsonb
//   - the collation "C"
//
// What opening does not ask for shows when the tables are made: foreign keys, unique indexes
// with NULLS FIRST, json beside jsonb, and DO blocks of PL/pgSQL. Bulk inserts need COPY FROM STDIN in
// binary form. If json is another name of jsonb, preferences come back as the same JSON
// in other words.
package postgres

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/sqltext"
)

// Options of [OpenWith] and [OpenPool]. The zero Options are those of [Open].
type Options struct {
	// Schema declares the tables; nil means the engine's. The tables of another
	// schema are made from their declarations, and cannot be upgraded to a later
	// version.
	Schema *store.Schema
	// Namespace is the PostgreSQL schema that holds the tables. "" means latchkey.
	// It is made if it is missing.
	Namespace string
	// Prefix comes before the name of every table and index.
	Prefix string
	// TransactionPooler must be set if a pooler between this process and the
	// server gives each transaction another connection, as pgbouncer does in
	// transaction mode. Then no prepared statement is kept, and the server has to
	// plan every statement anew.
	TransactionPooler bool
	// NoMigrate leaves the tables as they are. If they are missing, or if this program needs
	// later ones, opening returns [store.ErrOlder]. [Migrate] changes them, or an
	// administrator does with the statements of [Plan].
	NoMigrate bool
	// MaxConns is the greatest number of connections of [OpenWith]. 0 means
	// pool_max_conns of the address, or 16 without it. The pool of [OpenPool] has
	// its own limit. Every running call holds one connection, and a View holds it
	// until its closure ends.
	MaxConns int
	// OnRetry, unless nil, is called before a call runs again. sqlstate says
	// how the last run ended: 40001 for a conflict, 40P01 for a deadlock, 23505
	// for a taken key, 22012 for a missing row, 42P01 after an upgrade, other codes or "" for a lost
	// connection. OnRetry must be safe for concurrent use.
	OnRetry func(sqlstate string)
}

// The defaults of [Options].
const (
	defaultNamespace = "latchkey"
	defaultConns     = 16
)

// Open connects to the database at an address (postgres://user:password@host/name,
// postgresql://... or "host=... dbname=...", as libpq takes them) and brings the tables in schema
// latchkey up to date. If another process is changing the tables, Open waits for
// it until the context ends.
//
//   - [store.ErrForeign]: the schema has tables of another program
//   - [store.ErrNewer]: a newer version of this program has made the tables
//   - [store.ErrOlder]: the tables are not those of this program, and Options.NoMigrate is set
//   - [fs.ErrPermission]: the user may not write the tables, or the server is a standby
//   - [errors.ErrUnsupported]: the server lacks something, which the error names
//
// Refused tables are left as they are.
func Open(ctx context.Context, address string) (store.Store, error) {
	return OpenWith(ctx, address, Options{})
}

// OpenWith opens the database at an address with options.
func OpenWith(ctx context.Context, address string, o Options) (store.Store, error) {
	pool, err := newPool(ctx, address, o)
	if err != nil {
		return nil, err
	}
	s, err := openPool(ctx, pool, o, true)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// newPool returns a pool of connections to an address.
func newPool(ctx context.Context, address string, o Options) (*pgxpool.Pool, error) {
	if scheme, rest, _ := strings.Cut(address, "://"); strings.EqualFold(scheme, "postgres") || strings.EqualFold(scheme, "postgresql") {
		address = strings.ToLower(scheme) + "://" + rest // RFC 3986, 3.1
	}
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w: the address cannot be read", store.ErrInvalid) // err may show it
	}
	switch {
	case o.MaxConns > 0:
		config.MaxConns = int32(min(o.MaxConns, 1<<16))
	case !strings.Contains(address, "pool_max_conns"):
		config.MaxConns = defaultConns
	}
	config.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	if o.TransactionPooler {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	// A read that meets a dead connection takes another one. A ping before each
	// read would cost a second round trip.
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, wrap(ctx, opening, err)
	}
	return pool, nil
}

// OpenPool uses a pool of the host, which closes the pool itself after the store.
// The store takes one connection for each running call.
func OpenPool(ctx context.Context, pool *pgxpool.Pool, o Options) (store.Store, error) {
	return openPool(ctx, pool, o, false)
}

func openPool(ctx context.Context, pool *pgxpool.Pool, o Options, own bool) (store.Store, error) {
	d, err := newDatabase(pool, o, own)
	if err != nil {
		return nil, err
	}
	if err := d.migrate(ctx, o.NoMigrate); err != nil {
		return nil, err
	}
	return backend.New(d, d.schema), nil
}

// newDatabase returns the driver of a pool, and asks the server nothing.
func newDatabase(pool *pgxpool.Pool, o Options, own bool) (*database, error) {
	if o.Schema == nil {
		o.Schema = record.Schema
	}
	if o.Namespace == "" {
		o.Namespace = defaultNamespace
	}
	names, err := namesOf(o)
	if err != nil {
		return nil, err
	}
	dialect := names.dialect()
	d := &database{
		pool:    pool,
		own:     own,
		schema:  o.Schema,
		names:   names,
		dialect: dialect,
		texts:   sqltext.NewTexts(dialect, o.Schema),
		indexes: make(map[string]*store.Index),
		mode:    pgx.QueryExecModeCacheStatement,
		onRetry: o.OnRetry,

		beginText: "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE; LOCK TABLE " + names.table(versionTable) +
			" IN ACCESS SHARE MODE; SELECT version FROM " + names.table(versionTable),
	}
	d.beginTexts = []deferred{
		{text: "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"},
		{text: "LOCK TABLE " + names.table(marker(o.Schema.Version())) + " IN ACCESS SHARE MODE"},
	}
	d.turns = newTurns(int(pool.Config().MaxConns))
	config := pool.Config().ConnConfig
	cache := config.StatementCacheCapacity
	if o.TransactionPooler {
		d.mode, cache = pgx.QueryExecModeCacheDescribe, config.DescriptionCacheCapacity
	}
	if cache == 0 { // the pool allows no cache: each statement takes two round trips
		d.mode = pgx.QueryExecModeDescribeExec
	}
	d.batches = config.DefaultQueryExecMode == d.mode
	for _, t := range o.Schema.Tables() {
		for _, ix := range t.Indexes() {
			d.indexes[names.constraint(ix)] = ix
		}
	}
	return d, nil
}

// database is the driver of one namespace and prefix.
type database struct {
	pool    *pgxpool.Pool
	own     bool
	schema  *store.Schema
	names   names
	dialect sqltext.Dialect
	texts   *sqltext.Texts
	indexes map[string]*store.Index // by the constraint that the database names in an error
	mode    pgx.QueryExecMode
	onRetry func(string)
	turns   *turns

	beginText  string     // of a transaction
	beginTexts []deferred // the same in a batch, which fails if the tables have another version
	batches    bool       // pgx sends batches in mode
}

// names gives tables and indexes their names in the database.
type names struct{ namespace, prefix string }

// maxName is the number of bytes of a name that PostgreSQL keeps.
const maxName = 63

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

func namesOf(o Options) (names, error) {
	n := names{o.Namespace, o.Prefix}
	longest := 0
	for _, t := range o.Schema.Tables() {
		for _, ix := range t.Indexes() {
			longest = max(longest, len(sqltext.IndexName(ix)+"_order"))
		}
	}
	switch {
	case !plainName.MatchString(n.namespace) || len(n.namespace) > maxName:
		return n, fmt.Errorf("postgres: %w: a namespace is up to %d of a-z, 0-9 and _, and does not begin with a digit", store.ErrInvalid, maxName)
	case n.prefix != "" && !plainName.MatchString(n.prefix) || len(n.prefix)+longest > maxName:
		return n, fmt.Errorf("postgres: %w: a prefix is up to %d of a-z, 0-9 and _, and does not begin with a digit", store.ErrInvalid, maxName-longest)
	}
	return n, nil
}

// table returns the quoted name of a table with its namespace. index returns the
// quoted name of an index or a table without it.
func (n names) table(name string) string { return `"` + n.namespace + `".` + n.index(name) }

func (n names) index(name string) string { return `"` + n.prefix + name + `"` }

// constraint returns the name of a unique index in the error for a taken key.
func (n names) constraint(ix *store.Index) string {
	if ix == ix.Table().Primary() {
		return n.prefix + ix.Table().Name() + "_pkey"
	}
	return n.prefix + sqltext.IndexName(ix)
}

func (n names) dialect() sqltext.Dialect {
	plain := func(name string) string { return name }
	return sqltext.Dialect{
		Placeholder: func(n int) string { return fmt.Sprintf("$%d", n) },
		Type:        columnType,
		Table:       n.table,
		Index:       n.index,
		Reference:   " DEFERRABLE INITIALLY IMMEDIATE",
		NullsFirst:  true,
		LooksUp:     true,
		Number:      n.number,
		Sequence:    func(ix *store.Index) string { return "CREATE SEQUENCE " + n.table(sequence(ix)) },
		Select:      plain,
		By:          func(string) string { return "" },
		Unindexed:   plain,
		StartsWith:  func(name, param string) string { return "strpos(" + name + ", " + param + "::text) = 1" },
		EndsWith: func(name, param, again string) string {
			return "right(" + name + ", length(" + param + "::text)) = " + again
		},
		Contains: func(name, param string) string { return "strpos(" + name + ", " + param + "::text) > 0" },
		ListHas: func(name, params string) string {
			return "jsonb_typeof(" + name + ") = 'array' AND " + name + " ?| ARRAY[" + params + "]::text[]"
		},
	}
}

// sequence returns the name of the sequence that numbers the rows of an index.
func sequence(ix *store.Index) string { return sqltext.IndexName(ix) + "_number" }

// number returns the next number of a sequence for 0, and every other number as it is. The
// sequence goes on after the greatest number that it has seen, as in a copy of rows. It steps there:
// setval could set it back behind numbers that others have drawn meanwhile.
func (n names) number(ix *store.Index, param string) string {
	s, given := n.table(sequence(ix)), param+"::bigint"
	next := "nextval('" + s + "')"
	return "CASE WHEN " + given + " = 0 THEN " + next + " WHEN (SELECT count(" + next + ") FROM generate_series(1, " + given + " - (SELECT last_value FROM " + s + ") + 1)) >= 0 THEN " + given + " END"
}

func columnType(c store.Column) string {
	switch {
	case c.Verbatim:
		return "json"
	case c.JSON:
		return "jsonb"
	}
	switch c.Kind {
	case store.KindText:
		return `text COLLATE "C"`
	case store.KindBytes:
		return "bytea"
	case store.KindBool:
		return "boolean"
	case store.KindTime:
		return "timestamptz"
	default:
		return "bigint"
	}
}

func (d *database) Get(ctx context.Context, ix *store.Index, key ...store.Value) (row store.Row, err error) {
	err = d.read(ctx, func(c *caller) error {
		row, err = c.Get(ctx, ix, key...)
		return err
	})
	return row, err
}

func (d *database) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	err = d.read(ctx, func(c *caller) error {
		part, parent, err = c.GetBoth(ctx, p, key...)
		return err
	})
	return part, parent, err
}

func (d *database) List(ctx context.Context, q store.Query) (rows []store.Row, err error) {
	err = d.read(ctx, func(c *caller) error {
		rows, err = c.List(ctx, q)
		return err
	})
	return rows, err
}

func (d *database) Count(ctx context.Context, q store.Query) (n int, err error) {
	err = d.read(ctx, func(c *caller) error {
		n, err = c.Count(ctx, q)
		return err
	})
	return n, err
}

// read runs one statement on a connection, and on another connection if the first
// is dead.
func (d *database) read(ctx context.Context, call func(*caller) error) error {
	return d.again(ctx, func(bool) (failure, error) {
		c, err := d.acquire(ctx)
		if err != nil {
			return failure{}, err
		}
		defer c.release()
		err = call(c)
		return c.failed, err
	})
}

// Check reads every reference and reports [store.ErrDamaged] if a row refers to a
// row that is missing. It does not compare indexes with their tables: the
// server's extension amcheck does that.
func (d *database) Check(ctx context.Context) error {
	for _, t := range d.schema.Tables() {
		for _, ref := range t.References() {
			text := d.dialect.Orphan(ref, t)
			err := d.read(ctx, func(c *caller) error {
				return c.query(ctx, "check", text, nil, func([][]byte) error {
					return fmt.Errorf("postgres: %w: a row of %s refers to nothing", store.ErrDamaged, t.Name())
				})
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Shared implements [store.Shared].
func (d *database) Shared() bool { return true }

func (d *database) Close() error {
	if d.own {
		d.pool.Close()
	}
	return nil
}
