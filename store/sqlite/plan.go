package sqlite

import (
	"errors"
	"net/url"
	"os"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
)

// Plan tells what [Open] would do to the tables of the file at path. It changes nothing and
// makes no file, except that SQLite makes its index of the log (the file that ends in -shm) if
// a killed process has left a log without one. It has the errors of Open.
func Plan(path string) (store.Plan, error) { return PlanWith(path, Options{}) }

// PlanWith is Plan for [OpenWith].
func PlanWith(path string, o Options) (plan store.Plan, err error) {
	if o.Schema == nil {
		o.Schema = record.Schema
	}
	plan.To = o.Schema.Version()
	n, err := namingOf(o)
	if err != nil {
		return plan, err
	}
	if path, err = backend.ResolvePath(path); err != nil {
		return plan, wrap("open", err)
	}
	var s standing
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && info.Size() == 0:
	case err != nil:
		return plan, wrap("open", err)
	default:
		if err := checkFile(path, n); err != nil {
			return plan, err
		}
		if s, err = standingOf(path, n); err != nil {
			return plan, err
		}
		plan.Version, plan.Exists = s.version, s.version > 0
	}
	if plan.Version < plan.To {
		plan.Steps, err = upgradeFrom(s, n)
	}
	return plan, err
}

// standingOf returns the state of the tables of a file, without a change of it.
func standingOf(path string, n naming) (s standing, err error) {
	err = whileBusy(func() error {
		connector, err := openURI(path, readOnly(path))
		if err != nil {
			return err
		}
		c, err := connect(background, connector)
		if err != nil {
			return err
		}
		s, err = n.readStanding(c)
		return errors.Join(err, c.close())
	})
	return s, err
}

// readOnly returns the settings of a connection that writes nothing. A file without a log is
// read as it stands, because SQLite would make a log for any other reader.
func readOnly(path string) url.Values {
	settings := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(100)"}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, os.ErrNotExist) {
		settings.Set("immutable", "1")
	}
	return settings
}
