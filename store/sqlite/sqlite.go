// Package sqlite keeps everything in one SQLite file, in real tables that a
// host may read and join. The driver is modernc.org/sqlite, in pure Go.
//
// The file is in WAL mode. Every commit is synced to the disk before Update
// returns (synchronous is FULL). Foreign keys are on in every connection.
// Closures that wait for one another share a commit. There is one connection
// for writing and four for reading. Several processes may have the file open: a
// writer waits for the commit of another process until its context ends.
//
// The file may hold tables of the host's own beside these, made by the host before or
// after. The store refuses a file only if something in it has the name of one of its tables or
// indexes and is not its own; Options.Prefix gives them other names. Opening puts the file into
// WAL mode. The version of the tables is in a table latchkey_version, so that user_version and
// application_id are the host's. A foreign key
// of the host's on users holds up the deletion of a user ([store.ErrReference]) unless it says
// ON DELETE CASCADE or SET NULL. One on another table than users holds up more, such as the end
// of a session. A host should not have one there.
//
// # Rows of the host in one transaction with ours
//
// [TxOf] gives code that runs inside a closure of Update the transaction as a [database/sql.Tx].
// So a row of the host commits with those of the closure, or not at all. The host writes to
// the same file, and it may refer to a user whom the closure has just added. All closures of the
// process run on one connection after one another, so the host's part should be short, and wait
// for nothing outside the transaction. A closure may run again, with a new handle.
//
// # Long views
//
// A View holds a read transaction on one of four connections that no other read
// uses. A fifth View waits for one of the others until its context ends. The log of
// the file begins anew only when no View reads from it. So during a View the log
// grows by every write. After that it is cut to 20 MB.
//
// # Deletions
//
// Deleted rows are overwritten in the file (secure_delete). The log holds them until it is
// folded into the file and begun anew, which Tidy ([store.Tidier]) does at once.
package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

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
	// Prefix comes before the name of every table and index: up to 40 of a-z, 0-9 and _.
	Prefix string
	// MayLoseLastCommitsOnPowerLoss leaves out the sync of each commit
	// (synchronous is NORMAL). A crash of the process loses no commit, but a power
	// failure may undo the last acknowledged ones, so that an ended session is
	// live again.
	MayLoseLastCommitsOnPowerLoss bool
	// OnCommit, unless nil, is called after each commit. updates is the number of Updates that
	// it carried, without those that were rolled back: 1 to 256. took is the time from the beginning of
	// the transaction to the end of the commit. The wait for another process comes before that. A
	// commit that failed, or that may have ([store.ErrUnknownOutcome]), is not told.
	//
	// It runs on the one goroutine that writes. The Updates of the commit have their answers by
	// then, and the next ones wait for it, so it must return at once. It must not call the store,
	// which would wait for itself. A panic of it is dropped. Close returns after the last call.
	OnCommit func(updates int, took time.Duration)
}

// Open opens the file at path and brings its tables up to date. It makes the file
// if it is missing, readable by its owner alone, also at the end of symbolic links. A file
// that exists keeps its mode, and so do those beside it. The path is that of a file and no URI.
//
//   - [store.ErrInvalid]: the path is empty, a URI, :memory: or a folder, or the texts of the
//     file are not in UTF-8
//   - [fs.ErrPermission]: the file may only be read
//   - [store.ErrForeign]: the file is no database, or has a table or an index of one of our
//     names
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
	path, err := backend.ResolvePath(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	n, err := namingOf(o)
	if err != nil {
		return nil, err
	}
	if err := prepare(path, n); err != nil {
		return nil, explained(err)
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
		texts:   sqltext.NewTexts(n.dialect(), o.Schema),
		inserts: n.insertTexts(),
		indexes: n.indexNames(),
		writes:  writes,
		reads:   newPool(reads, readers),
		views:   newPool(reads, viewers),
	}
	if f.conn, err = connect(background, writes); err != nil {
		return nil, err
	}
	// The writer itself waits for other processes, until the contexts of its
	// callers end. The driver's wait does not end with a context.
	if err := f.settle(n); err != nil {
		return nil, errors.Join(explained(err), f.conn.close())
	}
	f.writer = backend.NewWriter(f.begin, o.OnCommit)
	return f, nil
}

// settle prepares the connection of the writer. It refuses a file that may only be read, at
// once and not at the first write.
func (f *file) settle(n naming) error {
	s, err := n.readStanding(f.conn)
	if err != nil {
		return err
	}
	f.version = n.versionText(s.header)
	if _, err := f.conn.exec(background, "PRAGMA busy_timeout = 0"); err != nil {
		return wrap("open", err)
	}
	// A statement that changes no row. BEGIN IMMEDIATE alone reads a file that cannot be written.
	_, err = f.conn.exec(background, "DELETE FROM "+n.prefix+n.schema.Tables()[0].Name()+" WHERE 0")
	if err == nil || code(err)&0xFF == sqlite3.SQLITE_BUSY { // another process is writing, so the file can be written
		return nil
	}
	return wrap("open", err)
}

// explained adds a sentence to an error of opening that a host can mend.
func explained(err error) error {
	switch {
	case code(err)&0xFF == sqlite3.SQLITE_READONLY:
		return fmt.Errorf("sqlite: open: this process may read the file, but not write it: %w: %w", fs.ErrPermission, err)
	case code(err) == sqlite3.SQLITE_IOERR_SHMSIZE, code(err)&0xFF == sqlite3.SQLITE_FULL:
		return fmt.Errorf("sqlite: open: the disk is full. SQLite needs 32 KB beside the file to open it: %w", err)
	}
	return err
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
		"journal_size_limit(20971520)",
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
	writes  driver.Connector        // of connections that may write
	version string                  // the statement that reads the version of the tables

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

// Tidy folds the log into the file and empties it, so that nothing of deleted rows is left in
// it. A View or another process that reads keeps it from that, which is no error.
func (f *file) Tidy(ctx context.Context) error {
	c, err := connect(ctx, f.writes)
	if err != nil {
		return err
	}
	// While it waits for readers, no other connection can write.
	_, err = c.exec(background, "PRAGMA busy_timeout = 100")
	if err == nil {
		_, err = c.number(ctx, "PRAGMA wal_checkpoint(TRUNCATE)", nil)
	}
	return errors.Join(err, c.close())
}

func (f *file) Close() error {
	f.writer.Close()
	// The last connection that is closed moves the log into the file, which a
	// connection for reading could not do.
	return errors.Join(f.reads.close(), f.views.close(), f.conn.close())
}
