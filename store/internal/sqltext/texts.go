package sqltext

import (
	"sync"

	"example.com/latchkey/store"
)

// Texts are the statements of a schema, written once. They are safe for
// concurrent use.
type Texts struct {
	dialect                 Dialect
	get                     []string // by the ordinal of a unique index
	insert, replace, delete map[*store.Table]string

	mu     sync.RWMutex
	shapes map[shape]string
}

// NewTexts writes the statements whose text does not depend on a query.
func NewTexts(d Dialect, s *store.Schema) *Texts {
	x := &Texts{
		dialect: d,
		get:     make([]string, s.NumIndexes()),
		insert:  make(map[*store.Table]string),
		replace: make(map[*store.Table]string),
		delete:  make(map[*store.Table]string),
		shapes:  make(map[shape]string),
	}
	for _, t := range s.Tables() {
		empty := store.NewRow(make([]store.Value, len(t.Columns())))
		x.insert[t] = d.Insert(t, empty).Text
		x.replace[t] = d.Replace(t, empty).Text
		x.delete[t] = d.Delete(t, t.Primary().Key(empty)).Text
		for _, ix := range t.Indexes() {
			if ix.Unique() {
				x.get[ix.Ordinal()] = d.Get(ix, ix.Key(empty)).Text
			}
		}
	}
	return x
}

// Get, Insert, Replace and Delete return the texts of [Dialect.Get] and so on.
func (x *Texts) Get(ix *store.Index) string { return x.get[ix.Ordinal()] }

// Insert is one of the four.
func (x *Texts) Insert(t *store.Table) string { return x.insert[t] }

// Replace is one of the four.
func (x *Texts) Replace(t *store.Table) string { return x.replace[t] }

// Delete is one of the four.
func (x *Texts) Delete(t *store.Table) string { return x.delete[t] }

// List, Count and DeleteRange return the statements of [Dialect.List] and so
// on.
func (x *Texts) List(q store.Query) (string, []store.Value) {
	return x.query('l', q, x.dialect.List)
}

// Count is one of the three.
func (x *Texts) Count(q store.Query) (string, []store.Value) {
	return x.query('c', q, x.dialect.Count)
}

// DeleteRange is one of the three.
func (x *Texts) DeleteRange(q store.Query) (string, []store.Value) {
	return x.query('d', q, x.dialect.DeleteRange)
}

// shape is what the text of a query depends on, for queries without Where,
// After and Offset: the values are parameters.
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
		return text, QueryArgs(q)
	}
	s := write(q)
	x.mu.Lock()
	x.shapes[k] = s.Text
	x.mu.Unlock()
	return s.Text, s.Args
}
