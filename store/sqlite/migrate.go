package sqlite

import (
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// The migrations of the engine's schema: file N takes version N-1 to N. In the files, {p}
// stands for the prefix.
//
//go:embed migrations/*.sql
var migrations embed.FS

// applicationID tells the files of a schema from those of other programs.
func applicationID(s *store.Schema) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, s.Name())
	return h.Sum32() >> 1 // SQLite keeps it signed
}

// prepare makes the file or brings its tables up to date. It checks the file's
// tables and version before it opens the file for writing, because that
// could change a file that is not ours.
func prepare(path string, n naming) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		err = create(path)
	} else if err == nil && info.Size() > 0 {
		err = checkFile(path, n)
	}
	if err != nil {
		return err
	}
	// SQLite itself waits for most locks, but not for the lock with which it
	// changes the journal's mode, and not as long as another process may take to
	// make the tables.
	return whileBusy(func() error { return makeTables(path, n) })
}

// whileBusy runs fn until another process does not lock it out any more, or for as long as
// Open waits.
func whileBusy(fn func() error) error {
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := fn()
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
	// upgradeWait is how long Open waits for a process that writes, if the tables
	// have to be made or changed.
	upgradeWait = 30 * time.Second
)

// errUpgrading marks an error of a step that needs the writer's lock.
var errUpgrading = errors.New("upgrade")

// makeTables brings the tables up to date and then turns on the write-ahead log.
// In this order, the header of a new file has its application and version from
// the first commit on. makeTables locks the file only if it has to change it.
func makeTables(path string, n naming) error {
	connector, err := open(path, "busy_timeout(100)", "synchronous(EXTRA)", "foreign_keys(1)")
	if err != nil {
		return err
	}
	c, err := connect(background, connector)
	if err != nil {
		return err
	}
	return errors.Join(migrate(c, n), c.close())
}

// create makes an empty file that only its owner may read. An existing file must
// be opened only by SQLite: closing any other descriptor of it would release the
// locks that SQLite holds on it in this process.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil // another process or goroutine was faster
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
// no lock, so another process may be writing: checkFile looks again before it
// reports damage.
func checkFile(path string, n naming) (err error) {
	for range 3 {
		err = checkOnce(path)
		if err == nil || !errors.Is(err, store.ErrDamaged) {
			break
		}
		// While there is a log, it may hold pages that the file does not have yet.
		for _, log := range []string{"-wal", "-journal"} {
			if l, e := os.Stat(path + log); e == nil && l.Size() > 0 {
				return nil
			}
		}
	}
	if err == nil {
		_, err = standingOf(path, n)
	}
	return err
}

// checkOnce refuses a file that is no database, or whose last page is not whole.
func checkOnce(path string) error {
	connector, err := openURI(path, url.Values{"mode": {"ro"}, "immutable": {"1"}})
	if err != nil {
		return err
	}
	c, err := connect(background, connector)
	if err != nil {
		return err
	}
	size, err := c.number(background, "PRAGMA page_size", nil)
	if err == nil {
		_, err = c.number(background, "PRAGMA user_version", nil)
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
	if info, err := os.Stat(path); err == nil && info.Size()%int64(size) != 0 {
		return fmt.Errorf("sqlite: %w: the last page is not whole", store.ErrDamaged)
	}
	return nil
}

// newer refuses tables of a newer version.
func newer(version int, schema *store.Schema) error {
	if version > schema.Version() {
		return fmt.Errorf("sqlite: %w: version %d, not %d", store.ErrNewer, version, schema.Version())
	}
	return nil
}

// migrate takes the file to the schema's version in one transaction.
func migrate(c *conn, n naming) error {
	journal, err := c.text(background, "PRAGMA journal_mode")
	if err != nil {
		return err
	}
	s, err := n.readStanding(c)
	if err != nil || s.version == n.schema.Version() && journal == "wal" {
		return err
	}
	for _, step := range []func() error{
		func() error { return run(c, "BEGIN IMMEDIATE") },
		func() error { return upgrade(c, n) },
		func() error { return run(c, "COMMIT") },
		func() error { return run(c, "PRAGMA journal_mode = WAL") },
	} {
		if err := step(); err != nil {
			_ = run(c, "ROLLBACK") // fails if no transaction is open
			return fmt.Errorf("%w: %w", errUpgrading, err)
		}
	}
	return nil
}

// run runs a text of one or more statements.
func run(c *conn, text string) error {
	if _, err := c.exec(background, text); err != nil {
		return wrap("upgrade", err)
	}
	return nil
}

// upgrade brings the tables up to date in an open transaction. It reads the
// version again, because another process may have been faster.
func upgrade(c *conn, n naming) error {
	s, err := n.readStanding(c)
	if err != nil || s.version == n.schema.Version() {
		return err
	}
	steps, err := upgradeFrom(s, n)
	if err != nil {
		return err
	}
	for _, text := range steps {
		if err := run(c, text); err != nil {
			return err
		}
	}
	return nil
}

// upgradeFrom returns the statements of an upgrade.
func upgradeFrom(s standing, n naming) ([]string, error) {
	steps, err := stepsFrom(s.version, n)
	return append(steps, n.mark(s)...), err
}

// stepsFrom returns the statements that make or change the tables.
func stepsFrom(version int, n naming) (steps []string, err error) {
	if n.schema != record.Schema {
		if version != 0 {
			return nil, fmt.Errorf("sqlite: schema %s has no migrations", n.schema.Name())
		}
		for _, t := range n.schema.Tables() {
			steps = append(steps, n.dialect().Create(t)...)
		}
		return steps, nil
	}
	for v := version + 1; v <= n.schema.Version(); v++ {
		text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", v))
		if err != nil {
			return nil, wrap("migrations", err)
		}
		steps = append(steps, strings.ReplaceAll(string(text), "{p}", n.prefix))
	}
	return steps, nil
}
