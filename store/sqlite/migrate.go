package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/url"
	"os"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// The migrations of the engine's schema: file N takes version N-1 to N.
//
//go:embed migrations/*.sql
var migrations embed.FS

// applicationID tells the files of a schema from those of other programs.
func applicationID(s *store.Schema) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, s.Name())
	return h.Sum32() >> 1 // SQLite keeps it signed
}

// prepare makes the file or brings its tables up to date. The header is read
// before the driver opens the file, which could change one that is not ours.
func prepare(path string, schema *store.Schema) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return wrap("open", err)
	}
	err = checkHeader(f, schema)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	// Another process may be making the file too. SQLite waits for a lock by
	// itself, but not for one that it takes to change the journal's mode.
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err = makeTables(path, schema)
		if code(err)&0xFF != sqlite3.SQLITE_BUSY || time.Since(began) > openWait {
			return err
		}
	}
}

// openWait is how long Open waits for other processes that open the file.
const openWait = 5 * time.Second

// makeTables brings the tables up to date and turns on the write-ahead log; in
// this order, so that what a new file says of itself is in its header from the
// first commit on.
func makeTables(path string, schema *store.Schema) error {
	db, err := open(path, url.Values{"_pragma": {"busy_timeout(1000)", "synchronous(EXTRA)", "foreign_keys(1)"}})
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	err = migrate(db, schema)
	if err == nil {
		if _, e := db.Exec("PRAGMA journal_mode = WAL"); e != nil {
			err = wrap("open", e)
		}
	}
	return errors.Join(err, db.Close())
}

// headerSize is the length of the header of an SQLite file.
const headerSize = 100

// checkHeader refuses a file that is not ours, or that has lost its end. A file
// that is empty passes.
func checkHeader(f *os.File, schema *store.Schema) error {
	var header [headerSize]byte
	n, err := io.ReadFull(f, header[:])
	if err == io.EOF {
		return nil // new
	}
	if err != nil || string(header[:16]) != "SQLite format 3\x00" {
		return fmt.Errorf("sqlite: %w: %d bytes of header", store.ErrForeign, n)
	}
	number := func(at int) uint32 { return binary.BigEndian.Uint32(header[at:]) }
	if err := checkVersion(number(68), int(int32(number(60))), schema); err != nil {
		return err
	}
	pageSize := int64(binary.BigEndian.Uint16(header[16:]))
	if pageSize == 1 {
		pageSize = 64 << 10
	}
	info, err := f.Stat()
	if err != nil {
		return wrap("open", err)
	}
	// While there is a log, pages may be there and not yet here.
	for _, log := range []string{"-wal", "-journal"} {
		if l, err := os.Stat(f.Name() + log); err == nil && l.Size() > 0 {
			return nil
		}
	}
	if number(24) == number(92) && info.Size() < int64(number(28))*pageSize {
		return fmt.Errorf("sqlite: %w: the file has lost its end", store.ErrDamaged)
	}
	return nil
}

func checkVersion(application uint32, version int, schema *store.Schema) error {
	if application != applicationID(schema) {
		return fmt.Errorf("sqlite: %w", store.ErrForeign)
	}
	if version > schema.Version() {
		return fmt.Errorf("sqlite: %w: version %d, not %d", store.ErrNewer, version, schema.Version())
	}
	return nil
}

// migrate takes the file to the schema's version in one transaction.
func migrate(db *sql.DB, schema *store.Schema) error {
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		return wrap("open", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return wrap("upgrade", err)
	}
	if err := upgrade(ctx, conn, schema); err != nil {
		_, e := conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, e)
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return wrap("upgrade", err)
	}
	return nil
}

func upgrade(ctx context.Context, conn *sql.Conn, schema *store.Schema) error {
	var application uint32
	var version, tables int
	err := conn.QueryRowContext(ctx, "SELECT (SELECT * FROM pragma_application_id), (SELECT * FROM pragma_user_version), "+
		"(SELECT count(*) FROM sqlite_master)").Scan(&application, &version, &tables)
	if err != nil {
		return wrap("read version", err)
	}
	if application != 0 || tables != 0 {
		if err := checkVersion(application, version, schema); err != nil {
			return err
		}
	}
	if version == schema.Version() {
		return nil
	}
	steps, err := stepsFrom(version, schema)
	if err != nil {
		return err
	}
	steps = append(steps, fmt.Sprintf("PRAGMA application_id = %d", applicationID(schema)),
		fmt.Sprintf("PRAGMA user_version = %d", schema.Version()))
	for _, text := range steps {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return wrap("upgrade", err)
		}
	}
	return nil
}

// stepsFrom returns the statements that lead from a version to the schema's.
func stepsFrom(version int, schema *store.Schema) (steps []string, err error) {
	if schema != record.Schema {
		if version != 0 {
			return nil, fmt.Errorf("sqlite: schema %s has no migrations", schema.Name())
		}
		for _, t := range schema.Tables() {
			steps = append(steps, dialect.Create(t)...)
		}
		return steps, nil
	}
	for v := version + 1; v <= schema.Version(); v++ {
		text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", v))
		if err != nil {
			return nil, wrap("migrations", err)
		}
		steps = append(steps, string(text))
	}
	return steps, nil
}
