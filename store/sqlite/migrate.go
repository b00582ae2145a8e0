package sqlite

import (
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
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
	// SQLite waits for a lock by itself, but not for one that it takes to
	// change the journal's mode, and not as long as another process may take to
	// make the tables.
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err = makeTables(path, schema)
		wait := openWait
		if errors.Is(err, errUpgrading) {
			wait = upgradeWait
		}
		if code(err)&0xFF != sqlite3.SQLITE_BUSY {
			return err
		}
		if time.Since(began) > wait {
			return fmt.Errorf("sqlite: %w: %w", store.ErrLocked, err)
		}
	}
}

const (
	// openWait is how long Open waits for a process that has locked readers
	// out.
	openWait = 700 * time.Millisecond
	// upgradeWait is how long it waits for one that writes, if the tables have
	// to be made or changed.
	upgradeWait = 30 * time.Second
)

// errUpgrading marks an error of what needs the writer's lock.
var errUpgrading = errors.New("upgrade")

// makeTables brings the tables up to date and turns on the write-ahead log; in
// this order, so that what a new file says of itself is in its header from the
// first commit on. It locks a file only if there is something to do.
func makeTables(path string, schema *store.Schema) error {
	connector, err := open(path, "busy_timeout(100)", "synchronous(EXTRA)", "foreign_keys(1)")
	if err != nil {
		return err
	}
	c, err := connect(background, connector)
	if err != nil {
		return err
	}
	return errors.Join(migrate(c, schema), c.close())
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
func migrate(c *conn, schema *store.Schema) error {
	journal, err := c.text(background, "PRAGMA journal_mode")
	if err != nil {
		return err
	}
	version, err := readVersion(c, schema)
	if err != nil || version == schema.Version() && journal == "wal" {
		return err
	}
	for _, step := range []func() error{
		func() error { return run(c, "BEGIN IMMEDIATE") },
		func() error { return upgrade(c, schema) },
		func() error { return run(c, "COMMIT") },
		func() error { return run(c, "PRAGMA journal_mode = WAL") },
	} {
		if err := step(); err != nil {
			_ = run(c, "ROLLBACK") // fails where there is none
			return fmt.Errorf("%w: %w", errUpgrading, err)
		}
	}
	return nil
}

// run runs a text of any number of statements.
func run(c *conn, text string) error {
	if _, err := c.exec(background, text); err != nil {
		return wrap("upgrade", err)
	}
	return nil
}

// readVersion returns the version of the tables, 0 for a new file.
func readVersion(c *conn, schema *store.Schema) (version int, err error) {
	var numbers [3]int
	for i, text := range []string{"PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master"} {
		if numbers[i], err = c.number(background, text, nil); err != nil {
			return 0, err
		}
	}
	if numbers[0] != 0 || numbers[2] != 0 {
		err = checkVersion(uint32(numbers[0]), numbers[1], schema)
	}
	return numbers[1], err
}

// upgrade runs in a transaction: another process may have been faster.
func upgrade(c *conn, schema *store.Schema) error {
	version, err := readVersion(c, schema)
	if err != nil || version == schema.Version() {
		return err
	}
	steps, err := stepsFrom(version, schema)
	if err != nil {
		return err
	}
	steps = append(steps, fmt.Sprintf("PRAGMA application_id = %d", applicationID(schema)),
		fmt.Sprintf("PRAGMA user_version = %d", schema.Version()))
	for _, text := range steps {
		if err := run(c, text); err != nil {
			return err
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
