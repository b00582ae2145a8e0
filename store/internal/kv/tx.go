package kv

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/seek"
)

// Space keeps tables in ordered maps, one for each index of the schema, which it
// tells apart by the ordinals of the indexes. The map of a table's clustering key
// holds the rows. The maps of the other indexes hold keys of that map. Slices that
// a method receives belong to the space, and slices that it returns to the caller.
type Space interface {
	Source
	SetRow(t *store.Table, key []byte, row store.Row) error
	DropRow(t *store.Table, key []byte) error
	SetEntry(ix *store.Index, key, cluster []byte) error
	DropEntry(ix *store.Index, key []byte) error
}

// Source is a space that can be read.
type Source interface {
	Row(t *store.Table, key []byte) (row store.Row, found bool, err error)
	Entry(ix *store.Index, key []byte) (cluster []byte, found bool)
	// Has reports whether an index has an entry, or its row, at a key.
	Has(ix *store.Index, key []byte) bool
	// Scan visits the entries of an index until visit returns false. from is
	// included and to excluded. visit must not keep the slices or change the
	// space. For a clustering key, key and cluster are the same.
	Scan(ix *store.Index, from, to []byte, backwards bool, visit func(key, cluster []byte) bool)
}

// Reader reads tables in a source. It implements [store.Reader] for arguments
// that have been checked.
type Reader struct{ Source Source }

// Get implements [store.Reader].
func (r Reader) Get(_ context.Context, ix *store.Index, key ...store.Value) (store.Row, error) {
	var buf [128]byte
	k := AppendKey(buf[:0], ix, key)
	if ix != ix.Table().Cluster() {
		cluster, found := r.Source.Entry(ix, k)
		if !found {
			return store.Row{}, store.ErrNotFound
		}
		k = cluster
	}
	row, found, err := r.Source.Row(ix.Table(), k)
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return row, err
}

// GetBoth implements [store.Reader].
func (r Reader) GetBoth(ctx context.Context, p *store.Pair, key ...store.Value) (part, parent store.Row, err error) {
	row, err := r.Get(ctx, p.Index, key...)
	if err != nil {
		return part, parent, err
	}
	to := p.Reference.Of(row)
	if slices.ContainsFunc(to, store.Value.IsNull) {
		return part, parent, store.ErrNotFound
	}
	if parent, err = r.Get(ctx, p.Reference.Parent, to...); err != nil {
		return part, parent, err
	}
	return p.Part(row), parent, nil
}

// each visits the keys of the rows that q selects, in order, until visit returns
// false. It reads the rows themselves only if the query filters them. It ends with the
// context, at which it looks now and then.
func (r Reader) each(ctx context.Context, q store.Query, visit func(cluster []byte) bool) error {
	at := seek.Filter(q)
	if at < 0 {
		return r.scan(ctx, q, visit)
	}
	values := slices.DeleteFunc(slices.Clone(q.Where[at].Values), store.Value.IsNull)
	slices.SortFunc(values, store.Compare)
	values = slices.CompactFunc(values, func(a, b store.Value) bool { return store.Compare(a, b) == 0 })
	if q.Descending {
		slices.Reverse(values)
	}
	q.Where = slices.Delete(slices.Clone(q.Where), at, at+1)
	equal, more := slices.Clip(q.Equal), true
	for _, v := range values {
		q.Equal = append(equal, v)
		err := r.scan(ctx, q, func(cluster []byte) bool {
			more = visit(cluster)
			return more
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// scan is each for the rows of one range.
func (r Reader) scan(ctx context.Context, q store.Query, visit func(cluster []byte) bool) error {
	var err error
	looked := 0
	matches := store.Matcher(q.Index.Table(), q.Where)
	from, to := span(q)
	r.Source.Scan(q.Index, from, to, q.Descending, func(_, cluster []byte) bool {
		if looked++; looked%1024 == 0 {
			if err = ctx.Err(); err != nil {
				return false
			}
		}
		if len(q.Where) > 0 {
			var row store.Row
			if row, err = r.row(q.Index, cluster); err != nil {
				return false
			}
			if !matches(row) {
				return true
			}
		}
		return visit(cluster)
	})
	return err
}

// row returns the row that an entry of an index points to.
func (r Reader) row(ix *store.Index, cluster []byte) (store.Row, error) {
	row, found, err := r.Source.Row(ix.Table(), cluster)
	if err == nil && !found {
		err = damaged(ix, "an entry without its row")
	}
	return row, err
}

// List implements [store.Reader].
func (r Reader) List(ctx context.Context, q store.Query) ([]store.Row, error) {
	rows := make([]store.Row, 0, min(q.Limit, 32))
	var failed error
	skip := q.Offset
	err := r.each(ctx, q, func(cluster []byte) bool {
		if skip > 0 {
			skip--
			return true
		}
		var row store.Row
		if row, failed = r.row(q.Index, cluster); failed != nil {
			return false
		}
		rows = append(rows, row)
		return len(rows) < q.Limit
	})
	err = cmp.Or(err, failed)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// Count implements [store.Reader].
func (r Reader) Count(ctx context.Context, q store.Query) (int, error) {
	n := 0
	err := r.each(ctx, q, func([]byte) bool {
		n++
		return n != q.Limit
	})
	return n, err
}

// Tx changes tables in a space, and keeps a journal so that it can undo its
// changes. It implements [store.Tx] for arguments that have been checked.
type Tx struct {
	Reader
	Space   Space // the source of the reader
	journal []step
}

// step is the state of a key before a change.
type step struct {
	ix      *store.Index // a clustering key for a row
	key     []byte
	row     store.Row // the former row, if stood
	cluster []byte    // the former key in the clustering map, if stood
	stood   bool      // the key was in use
}

// NewTx returns a transaction over a space.
func NewTx(s Space) *Tx { return &Tx{Reader: Reader{s}, Space: s} }

// Mark returns the present point of the journal, for [Tx.Undo].
func (tx *Tx) Mark() int { return len(tx.journal) }

// Undo undoes every change since mark, the newest first.
func (tx *Tx) Undo(mark int) error {
	for i := len(tx.journal) - 1; i >= mark; i-- {
		if err := tx.revert(tx.journal[i]); err != nil {
			return err
		}
		tx.journal[i] = step{}
	}
	tx.journal = tx.journal[:mark]
	return nil
}

func (tx *Tx) revert(s step) error {
	t, isRow := s.ix.Table(), s.ix == s.ix.Table().Cluster()
	switch {
	case isRow && s.stood:
		return tx.Space.SetRow(t, s.key, s.row)
	case isRow:
		return tx.Space.DropRow(t, s.key)
	case s.stood:
		return tx.Space.SetEntry(s.ix, s.key, s.cluster)
	default:
		return tx.Space.DropEntry(s.ix, s.key)
	}
}

// Insert implements [store.Tx].
func (tx *Tx) Insert(_ context.Context, t *store.Table, row store.Row) error {
	entries := make([][]byte, len(t.Indexes()))
	for i, ix := range t.Indexes() {
		entries[i] = entryOf(ix, row)
		if err := tx.free(ix, entries[i]); err != nil {
			return err
		}
	}
	for _, ref := range t.References() {
		if err := tx.parentStands(ref, row); err != nil {
			return err
		}
	}
	cluster := clusterKey(t, entries)
	for i, ix := range t.Indexes() {
		if err := tx.set(ix, entries[i], cluster, row); err != nil {
			return err
		}
	}
	return nil
}

// InsertAll implements [store.Tx]. It fills one index after the other, each in its order: that
// touches the pages of a file one after the other.
func (tx *Tx) InsertAll(_ context.Context, t *store.Table, rows []store.Row) error {
	parents := !slices.ContainsFunc(t.References(), func(ref store.Reference) bool { return ref.Parent.Table() == t })
	if !parents { // a row may refer to one before it
		return tx.insertEach(t, rows)
	}
	for _, ref := range t.References() {
		for _, row := range rows {
			if err := tx.parentStands(ref, row); err != nil {
				return err
			}
		}
	}
	clusters := make([][]byte, len(rows))
	for i, row := range rows {
		clusters[i] = entryOf(t.Cluster(), row)
	}
	tx.journal = slices.Grow(tx.journal, len(rows)*len(t.Indexes()))
	keys, order := make([][]byte, len(rows)), make([]int, len(rows))
	for _, ix := range t.Indexes() {
		for i, row := range rows {
			keys[i], order[i] = entryOf(ix, row), i
		}
		slices.SortFunc(order, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
		for _, i := range order {
			if err := tx.free(ix, keys[i]); err != nil {
				return err
			}
			if err := tx.set(ix, keys[i], clusters[i], rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// insertEach inserts rows one by one.
func (tx *Tx) insertEach(t *store.Table, rows []store.Row) error {
	for _, row := range rows {
		if err := tx.Insert(context.Background(), t, row); err != nil {
			return err
		}
	}
	return nil
}

func clusterKey(t *store.Table, entries [][]byte) []byte {
	for i, ix := range t.Indexes() {
		if ix == t.Cluster() {
			return entries[i]
		}
	}
	return nil
}

// free returns ErrExists if a unique index has an entry at key. The entry of a
// key with a null ends in the primary key, so it never collides.
func (tx *Tx) free(ix *store.Index, key []byte) error {
	if !ix.Unique() {
		return nil
	}
	if tx.Space.Has(ix, key) {
		return store.Taken(ix)
	}
	return nil
}

// set adds a row or an entry at a key that is not in use.
func (tx *Tx) set(ix *store.Index, key, cluster []byte, row store.Row) error {
	tx.journal = append(tx.journal, step{ix: ix, key: key})
	if ix == ix.Table().Cluster() {
		return tx.Space.SetRow(ix.Table(), key, row)
	}
	return tx.Space.SetEntry(ix, key, cluster)
}

func (tx *Tx) drop(ix *store.Index, key, cluster []byte, row store.Row) error {
	tx.journal = append(tx.journal, step{ix: ix, key: key, cluster: cluster, row: row, stood: true})
	if ix == ix.Table().Cluster() {
		return tx.Space.DropRow(ix.Table(), key)
	}
	return tx.Space.DropEntry(ix, key)
}

// change replaces the row or the entry at a key.
func (tx *Tx) change(ix *store.Index, key, oldCluster, newCluster []byte, oldRow, newRow store.Row) error {
	tx.journal = append(tx.journal, step{ix: ix, key: key, cluster: oldCluster, row: oldRow, stood: true})
	if ix == ix.Table().Cluster() {
		return tx.Space.SetRow(ix.Table(), key, newRow)
	}
	return tx.Space.SetEntry(ix, key, newCluster)
}

func (r Reader) parentStands(ref store.Reference, row store.Row) error {
	var values [2]store.Value
	key := values[:0]
	for _, c := range ref.Columns {
		v := row.At(c)
		if v.IsNull() {
			return nil
		}
		key = append(key, v)
	}
	var buf [128]byte
	if !r.Source.Has(ref.Parent, AppendKey(buf[:0], ref.Parent, key)) {
		return store.ErrReference
	}
	return nil
}

// childless returns ErrReference if a row of another table refers to row. If next
// is not nil, it is the row's replacement: references to a key that next has too
// do not count.
func (tx *Tx) childless(t *store.Table, row store.Row, next *store.Row) error {
	for _, ref := range t.Children() {
		key := ref.Parent.Key(row)
		if slices.Contains(key, store.Null) {
			continue // a reference cannot name a null
		}
		if next != nil && slices.Equal(key, ref.Parent.Key(*next)) {
			continue
		}
		n, err := tx.Count(context.Background(), store.Query{Index: ref.Child, Equal: key, Limit: 1})
		if err != nil {
			return err
		}
		if n > 0 {
			return store.ErrReference
		}
	}
	return nil
}

// Replace implements [store.Tx].
func (tx *Tx) Replace(ctx context.Context, t *store.Table, row store.Row) error {
	old, err := tx.Get(ctx, t.Primary(), t.Primary().Key(row)...)
	if err != nil {
		return err
	}
	n := len(t.Indexes())
	before, after := make([][]byte, n), make([][]byte, n)
	for i, ix := range t.Indexes() {
		before[i], after[i] = entryOf(ix, old), entryOf(ix, row)
		if string(before[i]) == string(after[i]) {
			continue
		}
		if err := tx.free(ix, after[i]); err != nil {
			return err
		}
	}
	for _, ref := range t.References() {
		if sameColumns(ref.Columns, old, row) {
			continue
		}
		if err := tx.parentStands(ref, row); err != nil {
			return err
		}
	}
	if err := tx.childless(t, old, &row); err != nil {
		return err
	}
	oldCluster, newCluster := clusterKey(t, before), clusterKey(t, after)
	moved := string(oldCluster) != string(newCluster)
	for i, ix := range t.Indexes() {
		switch {
		case string(before[i]) != string(after[i]):
			if err := tx.drop(ix, before[i], oldCluster, old); err != nil {
				return err
			}
			err = tx.set(ix, after[i], newCluster, row)
		case moved || ix == t.Cluster():
			err = tx.change(ix, before[i], oldCluster, newCluster, old, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sameColumns(columns []int, a, b store.Row) bool {
	for _, c := range columns {
		if a.At(c) != b.At(c) {
			return false
		}
	}
	return true
}

// Delete implements [store.Tx].
func (tx *Tx) Delete(ctx context.Context, t *store.Table, key ...store.Value) error {
	row, err := tx.Get(ctx, t.Primary(), key...)
	if err != nil {
		return err
	}
	return tx.remove(t, row)
}

func (tx *Tx) remove(t *store.Table, row store.Row) error {
	if err := tx.childless(t, row, nil); err != nil {
		return err
	}
	cluster := entryOf(t.Cluster(), row)
	for _, ix := range t.Indexes() {
		if err := tx.drop(ix, entryOf(ix, row), cluster, row); err != nil {
			return err
		}
	}
	return nil
}

// DeleteRange implements [store.Tx].
func (tx *Tx) DeleteRange(ctx context.Context, q store.Query) (int, error) {
	rows, err := tx.List(ctx, q)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		if err := tx.remove(q.Index.Table(), row); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// Fill writes the entries of every row of a table into indexes that are new
// and empty.
func Fill(s Space, t *store.Table, indexes []*store.Index) error {
	if len(indexes) == 0 {
		return nil
	}
	var keys [][]byte
	s.Scan(t.Cluster(), nil, nil, false, func(key, _ []byte) bool {
		keys = append(keys, append([]byte(nil), key...))
		return true
	})
	tx := NewTx(s)
	for _, key := range keys {
		row, _, err := s.Row(t, key)
		if err != nil {
			return err
		}
		for _, ix := range indexes {
			entry := entryOf(ix, row)
			if err := tx.free(ix, entry); err != nil {
				return err
			}
			if err := s.SetEntry(ix, entry, key); err != nil {
				return err
			}
		}
	}
	return nil
}
