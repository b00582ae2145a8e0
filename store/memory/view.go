package memory

import (
	"context"

	"github.com/tidwall/btree"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/kv"
)

// ordered is the ordered map of one index. Only one of its maps has entries.
type ordered struct {
	sorted btree.Map[string, store.Row] // of a clustering key
	order  btree.Map[string, string]    // of another index: from entry to cluster key
}

// copy returns a copy of the maps, which shares their nodes until a map changes.
func (o *ordered) copy() ordered { return ordered{*o.sorted.Copy(), *o.order.Copy()} }

func (o *ordered) scan(ix *store.Index, from, to []byte, backwards bool, visit func(key, cluster []byte) bool) {
	if ix == ix.Table().Cluster() {
		scan(&o.sorted, from, to, backwards, func(key string, _ store.Row) bool { return visit([]byte(key), []byte(key)) })
		return
	}
	scan(&o.order, from, to, backwards, func(key, cluster string) bool { return visit([]byte(key), []byte(cluster)) })
}

// scan visits the entries of a map. See [kv.Space].
func scan[V any](m *btree.Map[string, V], from, to []byte, backwards bool, visit func(key string, v V) bool) {
	low, high := string(from), string(to)
	if !backwards {
		m.Ascend(low, func(key string, v V) bool { return (to == nil || key < high) && visit(key, v) })
		return
	}
	down := func(key string, v V) bool {
		if to != nil && key >= high {
			return true // Descend begins at high itself, which is left out
		}
		return key >= low && visit(key, v)
	}
	if to == nil {
		m.Reverse(down)
		return
	}
	m.Descend(high, down)
}

// View waits for a running closure of Update, and holds no lock while body runs.
func (m *memory) View(ctx context.Context, body func(store.Reader) error) error {
	s, err := m.snapshot(ctx)
	if err != nil {
		return err
	}
	return body(kv.Reader{Source: s})
}

// snapshot returns copies of all ordered maps.
func (m *memory) snapshot(ctx context.Context) (snapshot, error) {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-m.turn }()
	m.mu.Lock() // a copy changes the original too
	defer m.mu.Unlock()
	s := make(snapshot, len(m.maps))
	for i := range m.maps {
		s[i] = m.maps[i].copy()
	}
	return s, nil
}

// snapshot is a source that does not change: copies of the ordered maps, by the
// ordinals of their indexes.
type snapshot []ordered

func (s snapshot) Row(t *store.Table, key []byte) (store.Row, bool, error) {
	row, found := s[t.Cluster().Ordinal()].sorted.Get(string(key))
	return row, found, nil
}

func (s snapshot) Entry(ix *store.Index, key []byte) ([]byte, bool) {
	cluster, found := s[ix.Ordinal()].order.Get(string(key))
	return []byte(cluster), found
}

func (s snapshot) Has(ix *store.Index, key []byte) (found bool) {
	if ix == ix.Table().Cluster() {
		_, found, _ = s.Row(ix.Table(), key)
	} else {
		_, found = s.Entry(ix, key)
	}
	return found
}

func (s snapshot) Scan(ix *store.Index, from, to []byte, backwards bool, visit func(key, cluster []byte) bool) {
	s[ix.Ordinal()].scan(ix, from, to, backwards, visit)
}
