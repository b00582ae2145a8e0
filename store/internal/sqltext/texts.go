package sqltext

import (
	"sync"

	"example.com/latchkey/store"
)

// Texts are the statements of a schema, written once. They are safe for
// concurrent use.
type Texts struct {
	dialect        Dialect
	get            []string // by the ordinal of a unique index
	insert, delete map[*store.Table]string
	replace        map[*store.Table]replacement

	mu     sync.RWMutex
	shapes map[shape]string
	both   map[*store.Pair]string
}

// replacement is the text that replaces a row, and the positions of the columns
// whose values are its parameters.
type replacement struct {
	text  string
	order []int
}

// NewTexts writes the statements whose text does not depend on a query.
func NewTexts(d Dialect, s *store.Schema) *Texts {
	x := &Texts{
		dialect: d,
		get:     make([]string, s.NumIndexes()),
		both:    make(map[*store.Pair]string),
		insert:  make(map[*store.Table]string),
		replace: make(map[*store.Table]replacement),
		delete:  make(map[*store.Table]string),
		shapes:  make(map[shape]string),
	}
	for _, t := range s.Tables() {
		x.insert[t] = d.Insert(t, 1)
		x.delete[t] = d.Delete(t)
		text, order := d.Replace(t)
		x.replace[t] = replacement{text, order}
		for _, ix := range t.Indexes() {
			if ix.Unique() {
				x.get[ix.Ordinal()] = d.Get(ix)
			}
		}
	}
	return x
}

// Get returns the text that selects a row by a unique index. Its parameters are
// the values of the key.
func (x *Texts) Get(ix *store.Index) string { return x.get[ix.Ordinal()] }

// GetBoth returns the text that selects a part of a row with its parent. Its parameters are
// the values of the key.
func (x *Texts) GetBoth(p *store.Pair) string {
	x.mu.RLock()
	text, known := x.both[p]
	x.mu.RUnlock()
	if !known {
		text = x.dialect.GetBoth(p)
		x.mu.Lock()
		x.both[p] = text
		x.mu.Unlock()
	}
	return text
}

// Insert returns the text that inserts a row of t. Its parameters are the values
// of the row.
func (x *Texts) Insert(t *store.Table) string { return x.insert[t] }

// Replace returns the text that replaces a row of t by its primary key, and its
// parameters.
func (x *Texts) Replace(t *store.Table, row store.Row) (string, []store.Value) {
	r := x.replace[t]
	args := make([]store.Value, len(r.order))
	for i, c := range r.order {
		args[i] = row.At(c)
	}
	return r.text, args
}

// Delete returns the text that deletes a row of t. Its parameters are the values
// of the primary key.
func (x *Texts) Delete(t *store.Table) string { return x.delete[t] }

// List returns the text that lists the rows of q, and its parameters.
func (x *Texts) List(q store.Query) (string, []store.Value) {
	return x.query('l', q, x.dialect.List)
}

// Count returns the text that counts the rows of q, and its parameters.
func (x *Texts) Count(q store.Query) (string, []store.Value) {
	return x.query('c', q, x.dialect.Count)
}

// DeleteRange returns the text that deletes the rows of q, and its parameters.
func (x *Texts) DeleteRange(q store.Query) (string, []store.Value) {
	return x.query('d', q, x.dialect.DeleteRange)
}

// shape has all parts of a query on which its text depends, for queries without
// Where, After and Offset. The values are parameters.
type shape struct {
	index               *store.Index
	verb                byte
	equal               int
	from, to            bool
	fromOpen, toOpen    bool
	descending, limited bool
}

func (x *Texts) query(verb byte, q store.Query, write func(store.Query) Statement) (string, []store.Value) {
	if q.After != nil || q.Where != nil || q.Offset != 0 {
		s := write(q)
		return s.Text, s.Args
	}
	k := shape{q.Index, verb, len(q.Equal), q.From.Set, q.To.Set, q.From.Open, q.To.Open, q.Descending, q.Limit != 0}
	x.mu.RLock()
	text, known := x.shapes[k]
	x.mu.RUnlock()
	if known {
		return text, plainArgs(q)
	}
	s := write(q)
	x.mu.Lock()
	x.shapes[k] = s.Text
	x.mu.Unlock()
	return s.Text, s.Args
}
