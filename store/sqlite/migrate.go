package sqlite

import (
	"embed"
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

// prepare makes the file or brings its tables up to date. What the file says of
// itself is read before it is opened for writing, which could change one that
// is not ours.
func prepare(path string, schema *store.Schema) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		err = create(path)
	} else if err == nil && info.Size() > 0 {
		err = checkFile(path, schema)
	}
	if err != nil {
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

// create makes an empty file that its owner alone may read. A file that is there
// is never opened but by SQLite: closing any other descriptor of it would let go
// of the locks that SQLite holds on it in this process.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil // another opener was faster
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return wrap("open", err)
	}
	return nil
}

// checkFile refuses a file that is not ours, or that has lost its end. It takes
// no lock, so what looks like damage is looked at again: another process may
// have been writing.
func checkFile(path string, schema *store.Schema) (err error) {
	for range 3 {
		if err = checkOnce(path, schema); err == nil || !errors.Is(err, store.ErrDamaged) {
			return err
		}
		// While there is a log, pages may be there and not yet here.
		for _, log := range []string{"-wal", "-journal"} {
			if l, e := os.Stat(path + log); e == nil && l.Size() > 0 {
				return nil
			}
		}
	}
	return err
}

func checkOnce(path string, schema *store.Schema) error {
	connector, err := openURI(path, url.Values{"mode": {"ro"}, "immutable": {"1"}})
	if err != nil {
		return err
	}
	c, err := connect(background, connector)
	if err != nil {
		return err
	}
	var numbers [3]int
	for i, text := range []string{"PRAGMA application_id", "PRAGMA user_version", "PRAGMA page_size"} {
		if err == nil {
			numbers[i], err = c.number(background, text, nil)
		}
	}
	if e := c.close(); err == nil {
		err = e
	}
	switch code(err) & 0xFF {
	case 0:
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("sqlite: %w", store.ErrForeign)
	default:
		return fmt.Errorf("sqlite: %w: %w", store.ErrDamaged, err)
	}
	if err != nil {
		return err
	}
	if err := checkVersion(uint32(numbers[0]), numbers[1], schema); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.Size()%int64(numbers[2]) != 0 {
		return fmt.Errorf("sqlite: %w: the last page is not whole", store.ErrDamaged)
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
