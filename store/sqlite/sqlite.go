// Package sqlite keeps everything in one SQLite file, in real tables that a
// host may read and join. The driver is modernc.org/sqlite, in pure Go.
//
// The file is in WAL mode. Every commit is synced to the disk before Update
// returns (synchronous is FULL). Foreign keys are on in every connection.
// Closures that wait for one another share a commit. There is one connection
// for writing and four for reading. Several processes may have the file open: a
// writer waits for the commit of another process until its context ends.
//
// # Long views
//
// A View holds a read transaction on one of four connections that no other read
// uses. A fifth View waits for one of the others until its context ends. The log of
// the file begins anew only when no View reads from it. So during a View the log
// grows by what is written, and it keeps its size until the store is closed.
package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/sqltext"
)

// readers is the number of connections for reading, and viewers the number of
// connections for View, which holds one of them for its whole time.
const (
	readers = 4
	viewers = 4
)

// Options of [OpenWith]. The zero Options are those of [Open].
type Options struct {
	// Schema declares the tables; nil means the engine's. The tables of another
	// schema are made from their declarations, and cannot be upgraded to a later
	// version.
	Schema *store.Schema
	// MayLoseLastCommitsOnPowerLoss leaves out the sync of each commit
	// (synchronous is NORMAL). A crash of the process loses no commit, but a power
	// failure may undo the last acknowledged ones, so that an ended session is
	// live again.
	MayLoseLastCommitsOnPowerLoss bool
}

// Open opens the file at path and brings its tables up to date. It makes the file
// if it is missing, readable by its owner alone.
//
//   - [store.ErrForeign]: the file is of another program
//   - [store.ErrNewer]: a newer version of this program has written the file
//   - [store.ErrDamaged]: the file has lost its end
//   - [store.ErrLocked]: another process holds the file exclusively. Open returns
//     it within a second. If tables have to be made or changed, Open waits half a
//     minute for a process that writes.
//
// A refused file is left as it is.
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
	reads, err := connector(path, o, "query_only(1)")
	if err != nil {
		return nil, err
	}
	writes, err := connector(path, o)
	if err != nil {
		return nil, err
	}
	f := &file{
		schema:  o.Schema,
		texts:   sqltext.NewTexts(dialect, o.Schema),
		inserts: insertTexts(o.Schema),
		indexes: indexNames(o.Schema),
		reads:   newPool(reads, readers),
		views:   newPool(reads, viewers),
	}
	if f.conn, err = connect(background, writes); err != nil {
		return nil, err
	}
	// The writer itself waits for other processes, until the contexts of its
	// callers end. The driver's wait does not end with a context.
	if _, err := f.conn.exec(background, "PRAGMA busy_timeout = 0"); err != nil {
		return nil, errors.Join(wrap("open", err), f.conn.close())
	}
	f.writer = backend.NewWriter(f.begin)
	return f, nil
}

// connector opens connections with the settings that all share, and with pragmas.
func connector(path string, o Options, pragmas ...string) (driver.Connector, error) {
	synchronous := "synchronous(FULL)"
	if o.MayLoseLastCommitsOnPowerLoss {
		synchronous = "synchronous(NORMAL)"
	}
	return open(path, append([]string{
		"busy_timeout(5000)",
		"journal_mode(WAL)",
		synchronous,
		"foreign_keys(1)",
		"secure_delete(1)", // what is deleted is overwritten
		"mmap_size(1073741824)",
		"cache_size(-16384)",
		"temp_store(MEMORY)",
		"wal_autocheckpoint(4000)", // 16 MB of log
	}, pragmas...)...)
}

func open(path string, pragmas ...string) (driver.Connector, error) {
	return openURI(path, url.Values{"_pragma": pragmas})
}

func openURI(path string, query url.Values) (driver.Connector, error) {
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: query.Encode()}
	c, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, wrap("open", err)
	}
	return c, nil
}

// file is the driver of one open file.
type file struct {
	schema  *store.Schema
	texts   *sqltext.Texts
	inserts map[*store.Table]string // the statements of InsertAll
	indexes map[string]*store.Index // by the columns that the database names in an error

	reads  *pool
	views  *pool
	conn   *conn // of the writer's goroutine
	writer *backend.Writer
}

var dialect = sqltext.Dialect{
	Placeholder: func(int) string { return "?" }, // the driver looks up the name of a numbered one
	Type:        columnType,
	Table:       func(name string) string { return name },
	Index:       func(name string) string { return name },

	PartsInOrder: true,
	// SQLite looks at the value of a plain parameter there, and so plans the
	// statement anew at every call. It does not look through a sign.
	LimitSign: "+",
	// The driver looks up the type and the name of a plain column at every
	// query. An expression without a name saves a third of the allocations.
	Select:    func(name string) string { return "+" + name + ` AS ""` },
	By:        func(index string) string { return " INDEXED BY " + index },
	Unindexed: func(name string) string { return "+" + name },
	StartsWith: func(name, param string) string {
		return "instr(" + name + ", " + param + ") = 1"
	},
	EndsWith: func(name, param, again string) string {
		return "substr(" + name + ", -length(" + param + ")) = " + again
	},
	Contains: func(name, param string) string { return "instr(" + name + ", " + param + ") > 0" },
	ListHas: func(name, params string) string {
		return "EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(" + name + ") AND json_type(" + name + ") = 'array' THEN " +
			name + " ELSE '[]' END) WHERE type = 'text' AND value IN (" + params + "))"
	},
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

// Get cancels only the wait for a connection when the context ends. Its short
// statement always runs to the end: watching the context would make it a quarter
// slower.
func (f *file) Get(ctx context.Context, ix *store.Index, key ...store.Value) (row store.Row, err error) {
	err = f.reads.use(ctx, func(c *conn) error {
		row, err = c.get(background, f.texts.Get(ix), ix.Table(), key)
		return err
	})
	return row, err
}

// GetBoth is not interrupted, like Get.
func (f *file) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	err = f.reads.use(ctx, func(c *conn) error {
		part, parent, err = c.getBoth(background, f.texts.GetBoth(p), p, key)
		return err
	})
	return part, parent, err
}

func (f *file) List(ctx context.Context, q store.Query) (rows []store.Row, err error) {
	err = f.reads.use(ctx, func(c *conn) error {
		text, args := f.texts.List(q)
		rows, err = c.list(ctx, text, q.Index.Table(), args)
		return err
	})
	return rows, err
}

func (f *file) Count(ctx context.Context, q store.Query) (n int, err error) {
	err = f.reads.use(ctx, func(c *conn) error {
		text, args := f.texts.Count(q)
		n, err = c.number(ctx, text, args)
		return err
	})
	return n, err
}

func (f *file) Update(ctx context.Context, body func(store.Tx) error) error {
	return f.writer.Update(ctx, body)
}

func (f *file) Check(ctx context.Context) error {
	return f.reads.use(ctx, func(c *conn) error {
		report, err := c.text(ctx, "PRAGMA integrity_check(1)")
		if err == nil && report != "ok" {
			err = errors.New(report)
		}
		if err == nil {
			report, err = c.text(ctx, "PRAGMA foreign_key_check")
		}
		if err == nil && report != "" {
			err = errors.New("a row refers to nothing")
		}
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("sqlite: %w: %w", store.ErrDamaged, err)
	})
}

func (f *file) Close() error {
	f.writer.Close()
	// The last connection that is closed moves the log into the file, which a
	// connection for reading could not do.
	return errors.Join(f.reads.close(), f.views.close(), f.conn.close())
}
