package bbolt

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/kv"
)

// The bucket with the facts about the file itself, and the key of the schema in
// it.
var (
	metaBucket = []byte("meta")
	schemaKey  = []byte("schema")
)

// layout is the file's own description of its schema.
type layout struct {
	Name    string   `json:"name"`
	Version int      `json:"version"`
	Buckets []string `json:"buckets"`
}

// migrate makes the missing buckets of tables and indexes, and fills new indexes
// of old tables, in one transaction. Rows keep the form in which they were
// written: new columns come last, and are read as null or zero, unless the schema fills
// them ([store.Schema.Fill]).
func (d *driver) migrate(schema *store.Schema) (err error) {
	defer backend.Caught(&err)
	want := d.layout()
	var have layout
	err = d.db.View(func(tx *bolt.Tx) (err error) {
		have, err = d.readLayout(tx)
		return err
	})
	if err != nil || have.Version == want.Version {
		return err
	}
	return d.db.Update(func(tx *bolt.Tx) error {
		s := &space{driver: d, tx: tx, buckets: make([]*bolt.Bucket, len(d.names))}
		for _, t := range schema.Tables() {
			if err := s.addBuckets(t, have.Buckets); err != nil {
				return err
			}
		}
		if have.Version > 0 {
			if err := schema.Fill(context.Background(), kv.NewTx(s), have.Version); err != nil {
				return fmt.Errorf("bbolt: upgrade: %w", err)
			}
		}
		return writeLayout(tx, want)
	})
}

// layout returns the layout of the driver's schema.
func (d *driver) layout() layout {
	l := layout{Name: d.schema.Name(), Version: d.schema.Version()}
	for _, name := range d.names {
		l.Buckets = append(l.Buckets, string(name))
	}
	return l
}

// readLayout reads the layout of the file, which is zero for a new one. It refuses another
// schema and a newer version.
func (d *driver) readLayout(tx *bolt.Tx) (have layout, err error) {
	have, err = layoutOf(tx)
	switch {
	case err != nil || have.Name == "":
	case have.Name != d.schema.Name():
		err = fmt.Errorf("bbolt: %w: its schema is %q", store.ErrForeign, have.Name)
	case have.Version > d.schema.Version():
		err = fmt.Errorf("bbolt: %w: version %d, not %d", store.ErrNewer, have.Version, d.schema.Version())
	}
	return have, err
}

func layoutOf(tx *bolt.Tx) (have layout, err error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		if k, _ := tx.Cursor().First(); k != nil {
			return have, fmt.Errorf("bbolt: %w", store.ErrForeign)
		}
		return have, nil
	}
	if err := json.Unmarshal(meta.Get(schemaKey), &have); err != nil || have.Name == "" {
		return have, fmt.Errorf("bbolt: %w", store.ErrForeign)
	}
	return have, nil
}

func writeLayout(tx *bolt.Tx, l layout) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return meta.Put(schemaKey, b)
}

// addBuckets makes the buckets of a table that are not among have.
func (s *space) addBuckets(t *store.Table, have []string) error {
	var added []*store.Index
	for _, ix := range t.Indexes() {
		name := string(s.names[ix.Ordinal()])
		if slices.Contains(have, name) {
			continue
		}
		if _, err := s.tx.CreateBucket([]byte(name)); err != nil {
			return fmt.Errorf("bbolt: create %s: %w", name, err)
		}
		if ix != t.Cluster() {
			added = append(added, ix)
		}
	}
	return kv.Fill(s, t, added)
}
