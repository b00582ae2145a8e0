package bbolt

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
)

// Plan tells what [Open] would do to the file at path. It changes nothing and makes no file.
// It has the errors of Open.
func Plan(path string) (store.Plan, error) { return PlanWith(path, Options{}) }

// PlanWith is Plan for [OpenWith].
func PlanWith(path string, o Options) (plan store.Plan, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer backend.Caught(&err)
	if o.Schema == nil {
		o.Schema = record.Schema
	}
	if path, err = backend.ResolvePath(path); err != nil {
		return plan, fmt.Errorf("bbolt: open: %w", err)
	}
	d := &driver{schema: o.Schema, names: bucketNames(o.Schema)}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && info.Size() == 0:
		return d.plan(layout{}), nil
	case err != nil:
		return plan, fmt.Errorf("bbolt: open: %w", err)
	}
	if err := checkHeader(path); err != nil {
		return plan, err
	}
	d.db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, ReadOnly: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return plan, fmt.Errorf("bbolt: %w", store.ErrLocked)
	}
	if err != nil {
		return plan, fmt.Errorf("bbolt: open: %w", err)
	}
	defer func() { err = errors.Join(err, d.db.Close()) }()
	var have layout
	err = d.db.View(func(tx *bolt.Tx) (err error) {
		have, err = d.readLayout(tx)
		return err
	})
	if err != nil {
		return plan, err
	}
	return d.plan(have), nil
}

// plan returns what migrate does to a file with a layout.
func (d *driver) plan(have layout) store.Plan {
	plan := store.Plan{Exists: have.Name != "", Version: have.Version, To: d.schema.Version()}
	if have.Version == plan.To {
		return plan
	}
	for _, name := range d.layout().Buckets {
		if !slices.Contains(have.Buckets, name) {
			plan.Steps = append(plan.Steps, "make bucket "+name)
		}
	}
	if plan.Exists {
		for _, v := range d.schema.FillsAfter(have.Version) {
			plan.Steps = append(plan.Steps, fmt.Sprintf("fill the new columns of version %d", v))
		}
	}
	plan.Steps = append(plan.Steps, fmt.Sprintf("note version %d in bucket %s", plan.To, metaBucket))
	return plan
}
