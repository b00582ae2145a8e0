// Package bbolt keeps everything in one file of go.etcd.io/bbolt. It works in the
// process of the host. One process at a time may have the file open.
//
// Every commit is synced to the disk before Update returns. Closures that wait
// for one another share a commit. The file holds one bucket for each index. The
// bucket of a table's clustering key holds the rows.
//
// A damaged file is refused at opening, or is an error of the call that meets
// the damage. That is true for the damage that disks and crashes do. It is not
// true for a file that an attacker has made: if a page points to itself, bbolt
// follows it until the stack overflows. Keep the file where only the host writes.
//
// # Long views
//
// A View holds one read transaction of bbolt. The pages that were current when it
// began are not used again before it ends, so the file grows by what is written
// meanwhile.
//
// bbolt has to map the file anew when it outgrows its map. It waits for open
// Views then, and all other calls wait for it. On systems with 64-bit addresses
// other than Windows, this package maps 64 GB at opening, so that only a larger
// file makes calls wait. On Windows, on 32-bit systems, and where the process may
// not use so many addresses (ulimit -v), the map is the file's size, rounded up to
// a power of two or a gigabyte. There a closure of View must not wait for a call of
// Update, and should be short.
//
// # Deletions
//
// Deleted rows stay readable in the file until bbolt uses their pages again. A copy of the store
// (store.Copy) into a new file has nothing of them.
//
// In a transaction that has deleted rows, a descending query reads its whole
// range, because bbolt does not move backwards over emptied pages.
package bbolt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/kv"
)

// lockWait is how long Open waits for another process to release the file.
const lockWait = 500 * time.Millisecond

// Options of [OpenWith]. The zero Options are those of [Open].
type Options struct {
	Schema *store.Schema // the tables; nil means the engine's
	// OnCommit, unless nil, is called after each commit. updates is the number of Updates that
	// it carried, without those that were rolled back: 1 to 256. took is the time from the beginning of
	// the transaction to the end of the commit. A commit that failed, or that may have
	// ([store.ErrUnknownOutcome]), is not told.
	//
	// It runs on the one goroutine that writes. The Updates of the commit have their answers by
	// then, and the next ones wait for it, so it must return at once. It must not call the store,
	// which would wait for itself. A panic of it is dropped. Close returns after the last call.
	OnCommit func(updates int, took time.Duration)
}

// Open opens the file at path and brings its tables up to date. It makes the file
// if it is missing, readable by its owner alone, also at the end of symbolic links. A file
// that exists keeps its mode. The path is that of a file and no URI.
//
//   - [store.ErrInvalid]: the path is empty, a URI, :memory: or a folder
//   - [store.ErrLocked]: another process has held the file for half a second
//   - [store.ErrForeign]: the file is of another program
//   - [store.ErrNewer]: a newer version of this program has written the file
//   - [store.ErrDamaged]: the header or the end of the file is damaged
//
// A refused file is left as it is. Damage further inside the file is an error of
// the call that meets it.
func Open(path string) (store.Store, error) { return OpenWith(path, Options{}) }

// OpenWith opens the file at path with options.
func OpenWith(path string, o Options) (store.Store, error) {
	if o.Schema == nil {
		o.Schema = record.Schema
	}
	d, err := openFile(path, o)
	if err != nil {
		return nil, err
	}
	return backend.New(d, o.Schema), nil
}

func openFile(path string, o Options) (_ *driver, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer backend.Caught(&err)
	if path, err = backend.ResolvePath(path); err != nil {
		return nil, fmt.Errorf("bbolt: open: %w", err)
	}
	if err := checkHeader(path); err != nil {
		return nil, err
	}
	db, err := openMapped(path, room())
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("bbolt: %w", store.ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("bbolt: open: %w", err)
	}
	d := &driver{db: db, schema: o.Schema, names: bucketNames(o.Schema)}
	if err := d.migrate(o.Schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	d.writer = backend.NewWriter(d.begin, o.OnCommit)
	return d, nil
}

// openMapped opens a file and maps so many bytes of it, or its size if that is more.
func openMapped(path string, bytes int) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:         lockWait,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: bytes,
		// The freelist stays in the file. Without it, bbolt reads every page at
		// opening, on a goroutine of its own, where a damaged page ends the
		// program.
		NoFreelistSync: false,
	})
	if bytes > 0 && errors.Is(err, syscall.ENOMEM) { // the process may not use so many addresses
		return openMapped(path, 0)
	}
	if err == nil {
		db.AllocSize = growth
	}
	return db, err
}

// growth is the number of bytes by which the file grows beyond its need.
const growth = 1 << 20

// room returns the number of bytes to map at opening. bbolt cannot map a grown
// file anew while a View is open: its writer would wait for the View, and every
// reader for the writer. Addresses beyond the end of the file cost nothing,
// except on Windows, where bbolt makes the file as long as the map. A short
// address space has no room for them.
func room() int {
	if runtime.GOOS == "windows" || math.MaxInt == math.MaxInt32 {
		return 0
	}
	const gigabyte = 1 << 30
	return min(64*gigabyte, math.MaxInt)
}

type driver struct {
	db     *bolt.DB
	schema *store.Schema
	names  [][]byte // of the buckets, by ordinal
	writer *backend.Writer
	// stuck is set by the writer's goroutine when bbolt has panicked and kept
	// its lock. The file cannot be written any more.
	stuck error
}

func bucketNames(s *store.Schema) [][]byte {
	names := make([][]byte, s.NumIndexes())
	for _, t := range s.Tables() {
		for _, ix := range t.Indexes() {
			names[ix.Ordinal()] = []byte(t.Name() + "." + ix.Name())
		}
	}
	return names
}

func (d *driver) read(fn func(kv.Reader) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer backend.Caught(&err) // bbolt panics on a damaged page, and on a fault in the mapped file
	return d.db.View(func(tx *bolt.Tx) error {
		return fn(kv.Reader{Source: &space{driver: d, tx: tx}})
	})
}

func (d *driver) Get(ctx context.Context, ix *store.Index, key ...store.Value) (row store.Row, err error) {
	err = d.read(func(r kv.Reader) error {
		row, err = r.Get(ctx, ix, key...)
		return err
	})
	return row, err
}

func (d *driver) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	err = d.read(func(r kv.Reader) error {
		part, parent, err = r.GetBoth(ctx, p, key...)
		return err
	})
	return part, parent, err
}

func (d *driver) List(ctx context.Context, q store.Query) (rows []store.Row, err error) {
	err = d.read(func(r kv.Reader) error {
		rows, err = r.List(ctx, q)
		return err
	})
	return rows, err
}

func (d *driver) Count(ctx context.Context, q store.Query) (n int, err error) {
	err = d.read(func(r kv.Reader) error {
		n, err = r.Count(ctx, q)
		return err
	})
	return n, err
}

func (d *driver) Update(ctx context.Context, body func(store.Tx) error) error {
	return d.writer.Update(ctx, body)
}

func (d *driver) Check(ctx context.Context) error {
	return d.read(func(r kv.Reader) error {
		// Not tx.Check, which reads pages on a goroutine of its own, where a
		// damaged page ends the program.
		return kv.Check(ctx, r.Source, d.schema)
	})
}

func (d *driver) Close() error {
	d.writer.Close()
	if d.stuck != nil {
		return d.stuck // db.Close would wait for the lock for ever
	}
	return d.db.Close()
}

func (d *driver) begin(alone bool) (backend.Batch, error) {
	if d.stuck != nil {
		return nil, d.stuck
	}
	tx, err := d.db.Begin(true)
	if err != nil {
		return nil, fmt.Errorf("bbolt: begin: %w", err)
	}
	s := &space{driver: d, tx: tx, buckets: make([]*bolt.Bucket, len(d.names)), thinned: make([]bool, len(d.names))}
	return &batch{Tx: kv.NewTx(s), space: s, tx: tx, alone: alone}, nil
}

// batch is one bbolt transaction. bbolt has no savepoints, so a part is undone
// from the journal of its changes.
type batch struct {
	*kv.Tx
	space *space
	tx    *bolt.Tx
	alone bool
	mark  int
}

func (b *batch) Begin() error {
	b.mark = b.Mark()
	return nil
}

func (b *batch) Keep() error { return nil }

func (b *batch) Undo() error {
	if b.alone {
		return nil // the whole transaction is rolled back
	}
	return b.Tx.Undo(b.mark)
}

func (b *batch) Commit() (err error) {
	committed := false
	defer func() {
		if !committed {
			b.Rollback()
			err = fmt.Errorf("bbolt: %w: %w", store.ErrUnknownOutcome, err)
		}
	}()
	defer backend.Caught(&err)
	err = b.tx.Commit()
	committed = err == nil
	return err
}

// Rollback releases bbolt's lock, also after a panic in Commit.
func (b *batch) Rollback() {
	var err error
	defer func() {
		if err != nil {
			b.space.stuck = err
		}
	}()
	defer backend.Caught(&err)
	_ = b.tx.Rollback() // fails when Commit has done it
}

func (b *batch) Get(ctx context.Context, ix *store.Index, key ...store.Value) (row store.Row, err error) {
	defer backend.Caught(&err)
	return b.Tx.Get(ctx, ix, key...)
}

func (b *batch) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	defer backend.Caught(&err)
	return b.Tx.GetBoth(ctx, p, key...)
}

func (b *batch) List(ctx context.Context, q store.Query) (rows []store.Row, err error) {
	defer backend.Caught(&err)
	return b.Tx.List(ctx, q)
}

func (b *batch) Count(ctx context.Context, q store.Query) (n int, err error) {
	defer backend.Caught(&err)
	return b.Tx.Count(ctx, q)
}

func (b *batch) Insert(ctx context.Context, t *store.Table, row store.Row) (err error) {
	defer backend.Caught(&err)
	return b.Tx.Insert(ctx, t, row)
}

func (b *batch) InsertAll(ctx context.Context, t *store.Table, rows []store.Row) (err error) {
	defer backend.Caught(&err)
	return b.Tx.InsertAll(ctx, t, rows)
}

func (b *batch) Replace(ctx context.Context, t *store.Table, row store.Row) (err error) {
	defer backend.Caught(&err)
	return b.Tx.Replace(ctx, t, row)
}

func (b *batch) Delete(ctx context.Context, t *store.Table, key ...store.Value) (err error) {
	defer backend.Caught(&err)
	return b.Tx.Delete(ctx, t, key...)
}

func (b *batch) DeleteRange(ctx context.Context, q store.Query) (n int, err error) {
	defer backend.Caught(&err)
	return b.Tx.DeleteRange(ctx, q)
}

// space keeps tables in the buckets of one transaction.
type space struct {
	*driver
	tx      *bolt.Tx
	buckets []*bolt.Bucket // opened so far, by ordinal; nil if the space opens a bucket at each use
	thinned []bool         // by ordinal: the bucket has lost keys; nil if the space deletes no keys
}

// thin notes that a key is deleted. A page that has lost all its keys stays in
// the tree until the commit, and bbolt v1.5.0 does not move backwards over it:
// Prev ends there, and Last may not end at all.
func (s *space) thin(ix *store.Index) {
	if s.thinned != nil {
		s.thinned[ix.Ordinal()] = true
	}
}

func (s *space) bucket(ix *store.Index) *bolt.Bucket {
	n := ix.Ordinal()
	if s.buckets == nil {
		return s.tx.Bucket(s.names[n])
	}
	if s.buckets[n] == nil {
		s.buckets[n] = s.tx.Bucket(s.names[n])
	}
	return s.buckets[n]
}

func (s *space) Row(t *store.Table, key []byte) (store.Row, bool, error) {
	b := s.bucket(t.Cluster()).Get(key)
	if b == nil {
		return store.Row{}, false, nil
	}
	row, err := decodeRow(t, b)
	return row, true, err
}

func (s *space) SetRow(t *store.Table, key []byte, row store.Row) error {
	return s.bucket(t.Cluster()).Put(key, encodeRow(t, row))
}

func (s *space) DropRow(t *store.Table, key []byte) error {
	s.thin(t.Cluster())
	return s.bucket(t.Cluster()).Delete(key)
}

func (s *space) Entry(ix *store.Index, key []byte) ([]byte, bool) {
	b := s.bucket(ix).Get(key)
	return append([]byte(nil), b...), b != nil
}

func (s *space) Has(ix *store.Index, key []byte) bool { return s.bucket(ix).Get(key) != nil }

func (s *space) SetEntry(ix *store.Index, key, cluster []byte) error {
	return s.bucket(ix).Put(key, cluster)
}

func (s *space) DropEntry(ix *store.Index, key []byte) error {
	s.thin(ix)
	return s.bucket(ix).Delete(key)
}

func (s *space) Scan(ix *store.Index, from, to []byte, backwards bool, visit func(key, cluster []byte) bool) {
	c := s.bucket(ix).Cursor()
	inside := func(k []byte) bool {
		return k != nil && string(k) >= string(from) && (to == nil || string(k) < string(to))
	}
	isRow := ix == ix.Table().Cluster()
	show := func(k, v []byte) bool {
		if isRow {
			v = k
		}
		return visit(k, v)
	}
	switch {
	case !backwards:
		for k, v := c.Seek(from); inside(k) && show(k, v); k, v = c.Next() {
		}
	case s.thinned != nil && s.thinned[ix.Ordinal()]:
		var entries [][2][]byte
		for k, v := c.Seek(from); inside(k); k, v = c.Next() {
			entries = append(entries, [2][]byte{k, v})
		}
		for _, e := range slices.Backward(entries) {
			if !show(e[0], e[1]) {
				return
			}
		}
	default:
		for k, v := lastBelow(c, to); inside(k) && show(k, v); k, v = c.Prev() {
		}
	}
}

// lastBelow moves the cursor to the last key below to, or to the last key of all
// if to is nil.
func lastBelow(c *bolt.Cursor, to []byte) (k, v []byte) {
	if to == nil {
		return c.Last()
	}
	if k, _ := c.Seek(to); k == nil {
		return c.Last()
	}
	return c.Prev()
}
