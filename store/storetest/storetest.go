// Package storetest tests the store contract. A backend must pass all tests:
//
//	func place(t testing.TB, schema *store.Schema) storetest.Place {
//		path := filepath.Join(t.TempDir(), "test.db")
//		open := func() (store.Store, error) {
//			return mystore.OpenWith(path, mystore.Options{Schema: schema})
//		}
//		s, err := open()
//		if err != nil {
//			t.Fatal(err)
//		}
//		return storetest.Place{Store: s, Reopen: open}
//	}
//
//	func TestContract(t *testing.T) { storetest.Run(t, place) }
//
//	func BenchmarkStore(b *testing.B) { storetest.Bench(b, place) }
//
// A backend with a file in the host's process also runs [Kill], [KillOpening]
// and [Sync]. The wrappers [Hooked], [Counted] and [Twice], and the functions that
// return them, are for tests of the code that uses a store.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/latchkey/store"
)

// Place is a file, a database or a memory, with the store opened on it.
type Place struct {
	Store store.Store
	// Reopen opens another store on the same place. It is nil only for a
	// backend that documents that it loses all rows when it is closed.
	Reopen func() (store.Store, error)
}

// Factory returns a new, empty place for the tables of a schema. Run closes
// the store.
type Factory func(t testing.TB, schema *store.Schema) Place

// parent is a row with every feature: a clustering key that is not the primary
// key, unique columns with and without nulls, and every kind of value.
type parent struct {
	ID    string
	Code  []byte
	Name  string // unique; "" for null
	Rank  int64
	Born  time.Time // zero for null
	Alive bool
	Note  string // JSON; "" for {}
	Words string // JSON as it was written; "" for {}
}

func (p *parent) bind(b *store.Binder) {
	if p.Note == "" {
		p.Note = "{}"
	}
	if p.Words == "" {
		p.Words = "{}"
	}
	b.Text("id", &p.ID)
	b.Bytes("code", &p.Code)
	b.NullText("name", &p.Name)
	b.Int("rank", &p.Rank)
	b.NullTime("born", &p.Born)
	b.Bool("alive", &p.Alive)
	b.JSON("note", &p.Note)
	b.VerbatimJSON("words", &p.Words)
}

var parents = store.Declare("parents", (*parent).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "code", Columns: []string{"code"}, Unique: true, Cluster: true},
		{Name: "name", Columns: []string{"name"}, Unique: true},
		{Name: "rank", Columns: []string{"rank", "alive"}},
		{Name: "born", Columns: []string{"born", "rank"}},
		{Name: "rankcode", Columns: []string{"rank", "code"}},
	},
})

// child has a primary key of two columns, and two references. One of these may be
// null.
type child struct {
	ParentID string
	Number   int64
	Friend   string // the name of a parent; "" for null
	Label    string // "" for null
}

func (c *child) bind(b *store.Binder) {
	b.Text("parent_id", &c.ParentID)
	b.Int("number", &c.Number)
	b.NullText("friend", &c.Friend)
	b.NullText("label", &c.Label)
}

var children = store.Declare("children", (*child).bind, store.Keys{
	Primary: []string{"parent_id", "number"},
	Indexes: []store.IndexOn{
		{Name: "friend", Columns: []string{"friend", "label"}},
		{Name: "label", Columns: []string{"label", "number"}, Unique: true},
	},
	References: []store.RefersTo{
		{Columns: []string{"parent_id"}, Parent: parents.Primary()},
		{Columns: []string{"friend"}, Parent: parents.Index("name")},
	},
})

var (
	byID    = parents.Primary()
	byCode  = parents.Index("code")
	byName  = parents.Index("name")
	byRank  = parents.Index("rank")
	byBorn  = parents.Index("born")
	byLabel = children.Index("label")

	schema = store.NewSchema("storetest", 1, parents.Table, children.Table, tickets.Table)
)

// Run checks every line of the contract against new places of a factory.
func Run(t *testing.T, open Factory) {
	t.Helper()
	for _, test := range contract {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(newSuite(t, open))
		})
	}
}

// suite is one test of the contract on one new store.
type suite struct {
	testing.TB
	place Place
	store.Store
	open Factory
}

func newSuite(t testing.TB, open Factory) *suite {
	place := open(t, schema)
	s := &suite{TB: t, place: place, Store: place.Store, open: open}
	t.Cleanup(func() {
		if c, ok := s.Store.(store.Checker); ok {
			if err := c.Check(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
				t.Errorf("check: %v", err)
			}
		}
		if err := s.Store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// reopen closes the store and opens its place again. It reports false if the
// backend cannot be reopened.
func (s *suite) reopen() bool {
	s.Helper()
	if s.place.Reopen == nil {
		return false
	}
	s.must(s.Store.Close())
	var err error
	s.Store, err = s.place.Reopen()
	s.must(err)
	return true
}

// context ends after a minute, so that a call that hangs fails the test.
func (s *suite) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s.Cleanup(cancel)
	return ctx
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// want checks that err is target.
func (s *suite) want(err, target error) {
	s.Helper()
	if !errors.Is(err, target) {
		s.Errorf("got error %v, want %v", err, target)
	}
}

func (s *suite) update(fn func(ctx context.Context, tx store.Tx) error) error {
	return s.Update(s.context(), fn)
}

func person(n int) *parent {
	return &parent{
		ID:   fmt.Sprintf("id-%06d", n),
		Code: fmt.Appendf(nil, "code\x00%06d", n),
		Name: fmt.Sprintf("name-%06d", n),
		Rank: int64(n),
		Born: time.UnixMicro(int64(n)).UTC(),
	}
}

// add inserts parents in one transaction.
func (s *suite) add(people ...*parent) {
	s.Helper()
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		for _, p := range people {
			if err := parents.Insert(ctx, tx, p); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (s *suite) insert(p *parent) error {
	return s.update(func(ctx context.Context, tx store.Tx) error { return parents.Insert(ctx, tx, p) })
}

func (s *suite) get(n int) (*parent, error) {
	return parents.Get(s.context(), s.Store, byID, store.Text(person(n).ID))
}

// stands checks which of the people from 0 on are in the store, by each of their
// unique indexes.
func (s *suite) stands(want ...bool) {
	s.Helper()
	s.standFrom(0, want...)
}

func (s *suite) standFrom(first int, want ...bool) {
	s.Helper()
	for i, there := range want {
		n := first + i
		p := person(n)
		for ix, key := range map[*store.Index]store.Value{
			byID: store.Text(p.ID), byCode: store.Bytes(p.Code), byName: store.Text(p.Name),
		} {
			_, err := s.Get(s.context(), ix, key)
			if there && err != nil || !there && !errors.Is(err, store.ErrNotFound) {
				s.Errorf("person %d by %s: %v, want there: %v", n, ix.Name(), err, there)
			}
		}
	}
}

func (s *suite) ids(q store.Query) []string {
	s.Helper()
	people, err := parents.List(s.context(), s.Store, q)
	s.must(err)
	ids := make([]string, len(people))
	for i, p := range people {
		ids[i] = p.ID
	}
	return ids
}
