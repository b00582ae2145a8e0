// Package sqlite keeps everything in one SQLite file, in real tables that a
// host may read and join. The driver is modernc.org/sqlite, in pure Go.
//
// The file is in WAL mode; every commit is synced to the disk before Update
// returns (synchronous is FULL); foreign keys are on in every connection.
// Closures that wait for one another share a commit. There is one connection
// for writing and four for reading. Several processes may have the file open:
// a writer waits for another's commit until its context ends.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"

	driver "modernc.org/sqlite"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/sqltext"
)

// readers is the number of connections for reading.
const readers = 4

// Options of [OpenWith]. The zero Options are those of [Open].
type Options struct {
	// Schema is what tables there are; nil means the engine's. Another schema
	// gets its tables from their declarations, and has no way up to a later
	// version.
	Schema *store.Schema
	// MayLoseLastCommitsOnPowerLoss leaves out the sync of each commit
	// (synchronous is NORMAL): a crash of the process loses nothing, but a
	// power failure may take back what was acknowledged last, so that an ended
	// session lives again.
	MayLoseLastCommitsOnPowerLoss bool
}

// Open opens the file at path, makes it if there is none (readable by its
// owner alone), and brings its tables up to date. A file of another program is
// [store.ErrForeign], one of a newer version [store.ErrNewer], one that has lost
// its end [store.ErrDamaged]; all are left as they are. A file that another
// process holds exclusively is [store.ErrLocked] within a second; where tables
// have to be made or changed, Open waits half a minute for one that writes.
func Open(path string) (store.Store, error) { return OpenWith(path, Options{}) }

// OpenWith opens the file at path with options.
func OpenWith(path string, o Options) (store.Store, error) {
	if o.Schema == nil {
		o.Schema = record.Schema
	}
	f, err := openFile(path, o)
	if err != nil {
		return nil, err
	}
	return backend.New(f, o.Schema), nil
}

func openFile(path string, o Options) (*file, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if err := prepare(path, o.Schema); err != nil {
		return nil, err
	}
	d := &file{statements: statements(o.Schema), indexes: indexNames(o.Schema)}
	if d.reads, err = connect(path, o, "query_only(1)"); err != nil {
		return nil, err
	}
	d.reads.SetMaxOpenConns(readers)
	d.reads.SetMaxIdleConns(readers)
	if d.writes, err = connect(path, o); err != nil {
		return nil, errors.Join(err, d.reads.Close())
	}
	if d.conn, err = d.writes.Conn(context.Background()); err != nil {
		return nil, errors.Join(wrap("open", err), d.reads.Close(), d.writes.Close())
	}
	// The writer waits for another process itself, as long as its callers do:
	// the driver's wait does not see a context.
	if _, err := d.conn.ExecContext(context.Background(), "PRAGMA busy_timeout = 0"); err != nil {
		return nil, errors.Join(wrap("open", err), d.reads.Close(), d.conn.Close(), d.writes.Close())
	}
	d.prepared = make(map[string]*sql.Stmt)
	d.writer = backend.NewWriter(d.begin)
	return d, nil
}

// connect returns a pool of connections with the settings that all share, and
// more.
func connect(path string, o Options, pragmas ...string) (*sql.DB, error) {
	synchronous := "synchronous(FULL)"
	if o.MayLoseLastCommitsOnPowerLoss {
		synchronous = "synchronous(NORMAL)"
	}
	query := url.Values{"_pragma": append([]string{
		"busy_timeout(5000)",
		"journal_mode(WAL)",
		synchronous,
		"foreign_keys(1)",
		"mmap_size(1073741824)",
		"cache_size(-16384)",
	}, pragmas...)}
	return open(path, query)
}

func open(path string, query url.Values) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: query.Encode()}
	c, err := driver.NewConnector(dsn.String())
	if err != nil {
		return nil, wrap("open", err)
	}
	return sql.OpenDB(c), nil
}

// file is the driver of one open file.
type file struct {
	statements texts
	indexes    map[string]*store.Index // by the columns that the database names

	reads     *sql.DB
	readStmts sync.Map // text to *sql.Stmt

	writes *sql.DB
	conn   *sql.Conn
	// Of the writer's goroutine.
	prepared map[string]*sql.Stmt

	writer *backend.Writer
}

var dialect = sqltext.Dialect{
	Placeholder: func(int) string { return "?" },
	Type:        columnType,
	// The driver looks up the type and the name of a plain column at every
	// query; an expression without a name saves a third of the allocations.
	Select: func(name string) string { return "+" + name + ` AS ""` },
}

func columnType(c store.Column) string {
	switch c.Kind {
	case store.KindText:
		return "TEXT"
	case store.KindBytes:
		return "BLOB"
	default:
		return "INTEGER"
	}
}

// texts are the statements whose text does not depend on a query.
type texts struct {
	get                     []string // by the ordinal of a unique index
	insert, replace, delete map[*store.Table]string
}

func statements(s *store.Schema) texts {
	x := texts{
		get:     make([]string, s.NumIndexes()),
		insert:  make(map[*store.Table]string),
		replace: make(map[*store.Table]string),
		delete:  make(map[*store.Table]string),
	}
	for _, t := range s.Tables() {
		empty := store.NewRow(make([]store.Value, len(t.Columns())))
		x.insert[t] = dialect.Insert(t, empty).Text
		x.replace[t] = dialect.Replace(t, empty).Text
		x.delete[t] = dialect.Delete(t, t.Primary().Key(empty)).Text
		for _, ix := range t.Indexes() {
			if ix.Unique() {
				x.get[ix.Ordinal()] = dialect.Get(ix, ix.Key(empty)).Text
			}
		}
	}
	return x
}

func (f *file) Get(ctx context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	stmt, err := f.readStmt(ctx, f.statements.get[ix.Ordinal()])
	if err != nil {
		return store.Row{}, err
	}
	return getRow(ctx, stmt, ix.Table(), key)
}

func (f *file) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	s := dialect.List(q)
	stmt, err := f.readStmt(ctx, s.Text)
	if err != nil {
		return nil, err
	}
	return listRows(ctx, stmt, q.Index.Table(), s.Args)
}

func (f *file) Count(ctx context.Context, q store.Query) (int, error) {
	s := dialect.Count(q)
	stmt, err := f.readStmt(ctx, s.Text)
	if err != nil {
		return 0, err
	}
	return count(ctx, stmt, s.Args)
}

func (f *file) readStmt(ctx context.Context, text string) (*sql.Stmt, error) {
	if stmt, ok := f.readStmts.Load(text); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := f.reads.PrepareContext(ctx, text)
	if err != nil {
		return nil, wrap("prepare", err)
	}
	if other, loaded := f.readStmts.LoadOrStore(text, stmt); loaded {
		_ = stmt.Close()
		return other.(*sql.Stmt), nil
	}
	return stmt, nil
}

func (f *file) Update(ctx context.Context, body func(store.Tx) error) error {
	return f.writer.Update(ctx, body)
}

func (f *file) Check(ctx context.Context) error {
	var report string
	err := f.reads.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&report)
	if err == nil && report != "ok" {
		err = errors.New(report)
	}
	if err == nil {
		err = f.reads.QueryRowContext(ctx, "PRAGMA foreign_key_check").Scan(&report, new(any), new(any), new(any))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			err = errors.New("a row refers to nothing")
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("sqlite: %w: %w", store.ErrDamaged, err)
}

func (f *file) Close() error {
	f.writer.Close()
	// The last connection to go folds the log into the file; one that only
	// reads, or that has statements left, could not.
	errs := []error{f.reads.Close()}
	for _, stmt := range f.prepared {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, f.conn.Close(), f.writes.Close())...)
}
