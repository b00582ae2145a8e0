// Package memory keeps everything in the memory of the process. It is for tests,
// and for hosts whose accounts may be gone after a restart.
//
// Closures of Update run one at a time on their callers' goroutines, and reads
// wait while one runs. No goroutine runs in the background. A View shares its rows
// with the store: nothing is copied before an Update changes it.
package memory

import (
	"context"
	"sync"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/kv"
)

// Options of [OpenWith]. The zero Options are those of [Open].
type Options struct {
	Schema *store.Schema // the tables; nil means the engine's
}

// Open returns an empty store for the engine's tables.
func Open() store.Store { return OpenWith(Options{}) }

// OpenWith returns an empty store with options.
func OpenWith(o Options) store.Store {
	if o.Schema == nil {
		o.Schema = record.Schema
	}
	m := &memory{schema: o.Schema, turn: make(chan struct{}, 1), maps: make([]table, o.Schema.NumIndexes())}
	for _, t := range o.Schema.Tables() {
		for _, ix := range t.Indexes() {
			if ix == t.Cluster() {
				m.maps[ix.Ordinal()].rows = make(map[string]store.Row)
			} else if ix.Unique() {
				m.maps[ix.Ordinal()].entries = make(map[string]string)
			}
		}
	}
	return backend.New(m, o.Schema)
}

// table is the maps of one index. Those of a clustering key hold the rows. The
// ordered maps can be copied in no time, by View. The others are for lookups in one
// step.
type table struct {
	ordered
	rows    map[string]store.Row // the same as sorted
	entries map[string]string    // the same as order, if the index is unique
}

// memory is a driver, and the space in which it keeps tables.
type memory struct {
	schema *store.Schema
	turn   chan struct{} // held by the running closure
	mu     sync.RWMutex  // guards maps
	maps   []table
}

// rlock takes the lock for reading unless ctx ends first.
func (m *memory) rlock(ctx context.Context) error {
	if m.mu.TryRLock() {
		return nil
	}
	if ctx.Done() == nil {
		m.mu.RLock()
		return nil
	}
	locked := make(chan struct{})
	go func() {
		m.mu.RLock()
		select {
		case locked <- struct{}{}:
		case <-ctx.Done():
			m.mu.RUnlock()
		}
	}()
	select {
	case <-locked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *memory) Get(ctx context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	if err := m.rlock(ctx); err != nil {
		return store.Row{}, err
	}
	defer m.mu.RUnlock()
	return m.get(ix, key)
}

// get does the same as kv.Reader, but the key stays on the stack.
func (m *memory) get(ix *store.Index, key []store.Value) (store.Row, error) {
	var buf [128]byte
	k := kv.AppendKey(buf[:0], ix, key)
	cluster := ix.Table().Cluster()
	rows := m.maps[cluster.Ordinal()].rows
	row, found := rows[string(k)]
	if ix != cluster {
		row, found = rows[m.maps[ix.Ordinal()].entries[string(k)]]
	}
	if !found {
		return store.Row{}, store.ErrNotFound
	}
	return row, nil
}

func (m *memory) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	if err := m.rlock(ctx); err != nil {
		return part, parent, err
	}
	defer m.mu.RUnlock()
	return kv.Reader{Source: m}.GetBoth(ctx, p, key...)
}

func (m *memory) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	if err := m.rlock(ctx); err != nil {
		return nil, err
	}
	defer m.mu.RUnlock()
	return kv.Reader{Source: m}.List(ctx, q)
}

func (m *memory) Count(ctx context.Context, q store.Query) (int, error) {
	if err := m.rlock(ctx); err != nil {
		return 0, err
	}
	defer m.mu.RUnlock()
	return kv.Reader{Source: m}.Count(ctx, q)
}

func (m *memory) Update(ctx context.Context, body func(store.Tx) error) error {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-m.turn }()
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := kv.NewTx(m)
	committed := false
	defer func() { // runs after a panic and Goexit too
		if !committed {
			_ = tx.Undo(0) // maps do not fail
		}
	}()
	if err := body(tx); err != nil {
		return err
	}
	committed = true
	return nil
}

func (m *memory) Check(ctx context.Context) error {
	if err := m.rlock(ctx); err != nil {
		return err
	}
	defer m.mu.RUnlock()
	return kv.Check(ctx, m, m.schema)
}

func (m *memory) Close() error {
	m.maps = nil
	return nil
}

func (m *memory) Row(t *store.Table, key []byte) (store.Row, bool, error) {
	row, found := m.maps[t.Cluster().Ordinal()].rows[string(key)]
	return row, found, nil
}

func (m *memory) SetRow(t *store.Table, key []byte, row store.Row) error {
	b := &m.maps[t.Cluster().Ordinal()]
	k := string(key)
	b.rows[k] = row
	b.sorted.Set(k, row)
	return nil
}

func (m *memory) DropRow(t *store.Table, key []byte) error {
	b := &m.maps[t.Cluster().Ordinal()]
	delete(b.rows, string(key))
	b.sorted.Delete(string(key))
	return nil
}

func (m *memory) Entry(ix *store.Index, key []byte) ([]byte, bool) {
	b := &m.maps[ix.Ordinal()]
	cluster, found := b.entries[string(key)]
	if b.entries == nil {
		cluster, found = b.order.Get(string(key))
	}
	return []byte(cluster), found
}

func (m *memory) Has(ix *store.Index, key []byte) (found bool) {
	if ix == ix.Table().Cluster() {
		_, found = m.maps[ix.Ordinal()].rows[string(key)]
	} else {
		_, found = m.Entry(ix, key)
	}
	return found
}

func (m *memory) SetEntry(ix *store.Index, key, cluster []byte) error {
	b := &m.maps[ix.Ordinal()]
	k, c := string(key), string(cluster)
	if b.entries != nil {
		b.entries[k] = c
	}
	b.order.Set(k, c)
	return nil
}

func (m *memory) DropEntry(ix *store.Index, key []byte) error {
	b := &m.maps[ix.Ordinal()]
	delete(b.entries, string(key))
	b.order.Delete(string(key))
	return nil
}

func (m *memory) Scan(ix *store.Index, from, to []byte, backwards bool, visit func(key, cluster []byte) bool) {
	m.maps[ix.Ordinal()].scan(ix, from, to, backwards, visit)
}
