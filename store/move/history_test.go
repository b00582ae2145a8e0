package move_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/latchkey/store"
	"example.com/latchkey/store/move"
	"example.com/latchkey/store/storetest"
)

// A shop has a unique code, which may be null and to which items refer, and a unique place. An
// item refers to a shop by its id, to another by its code, and has a unique label. A part refers
// to an item. A mark has a key of other kinds.
type (
	shop struct {
		ID, Code, Place, Note string
	}
	item struct {
		Shop   string
		Number int64
		Code   string
		Label  string
	}
	part struct {
		ID     string
		Shop   string
		Number int64
		Sign   string
	}
	mark struct {
		Flag bool
		At   time.Time
		Tag  []byte
		Size int64
	}
)

var (
	shops = store.Declare("shops", func(s *shop, b *store.Binder) {
		if s.Note == "" {
			s.Note = "{}"
		}
		b.Text("id", &s.ID)
		b.NullText("code", &s.Code)
		b.Text("place", &s.Place)
		b.JSON("note", &s.Note)
	}, store.Keys{Primary: []string{"id"}, Indexes: []store.IndexOn{
		{Name: "code", Columns: []string{"code"}, Unique: true},
		{Name: "place", Columns: []string{"place"}, Unique: true, Cluster: true},
	}})
	items = store.Declare("items", func(i *item, b *store.Binder) {
		b.Text("shop_id", &i.Shop)
		b.Int("number", &i.Number)
		b.NullText("code", &i.Code)
		b.NullText("label", &i.Label)
	}, store.Keys{Primary: []string{"shop_id", "number"}, Indexes: []store.IndexOn{
		{Name: "code", Columns: []string{"code"}},
		{Name: "label", Columns: []string{"label", "number"}, Unique: true},
	}, References: []store.RefersTo{
		{Columns: []string{"shop_id"}, Parent: shops.Primary()},
		{Columns: []string{"code"}, Parent: shops.Index("code")},
	}})
	parts = store.Declare("parts", func(p *part, b *store.Binder) {
		b.Text("id", &p.ID)
		b.Text("shop_id", &p.Shop)
		b.Int("number", &p.Number)
		b.NullText("sign", &p.Sign)
	}, store.Keys{Primary: []string{"id"}, Indexes: []store.IndexOn{
		{Name: "item", Columns: []string{"shop_id", "number"}},
		{Name: "sign", Columns: []string{"sign"}, Unique: true},
	}, References: []store.RefersTo{
		{Columns: []string{"shop_id", "number"}, Parent: items.Primary()},
		{Columns: []string{"sign"}, Parent: shops.Index("code")},
	}})
	marks = store.Declare("marks", func(m *mark, b *store.Binder) {
		b.Bool("flag", &m.Flag)
		b.Time("at", &m.At)
		b.Bytes("tag", &m.Tag)
		b.Int("size", &m.Size)
	}, store.Keys{Primary: []string{"flag", "at", "tag"}})
	bazaar = store.NewSchema("bazaar", 1, shops.Table, items.Table, parts.Table, marks.Table)
)

// few draws one of few texts, so that the rows of a history are often in each other's way.
func few(t *rapid.T, what string, kinds ...string) string {
	return rapid.SampledFrom(kinds).Draw(t, what)
}

func drawShop(t *rapid.T) *shop {
	return &shop{few(t, "shop", "1", "2", "3", "4"), few(t, "code", "", "a", "b", "c"), few(t, "place", "x", "y", "z"), few(t, "note", "{}", `{"n": 1.0, "a": [1]}`)}
}

func drawItem(t *rapid.T) *item {
	return &item{few(t, "shop", "1", "2", "3", "4"), rapid.Int64Range(1, 2).Draw(t, "number"), few(t, "code", "", "a", "b", "c"), few(t, "label", "", "p", "q")}
}

func drawPart(t *rapid.T) *part {
	return &part{few(t, "part", "i", "j", "k"), few(t, "shop", "1", "2", "3", "4"), rapid.Int64Range(1, 2).Draw(t, "number"), few(t, "sign", "", "a", "b")}
}

// drawChange draws a change of one row, or of a range.
func drawChange(t *rapid.T) func(ctx context.Context, tx store.Tx) error {
	row := func(table *store.Table, row store.Row) func(context.Context, store.Tx) error {
		switch few(t, "change", "insert", "insert", "replace", "delete") {
		case "insert":
			return func(ctx context.Context, tx store.Tx) error {
				err := tx.Replace(ctx, table, row)
				if errors.Is(err, store.ErrNotFound) {
					err = tx.InsertAll(ctx, table, []store.Row{row})
				}
				return err
			}
		case "replace":
			return func(ctx context.Context, tx store.Tx) error { return tx.Replace(ctx, table, row) }
		default:
			return func(ctx context.Context, tx store.Tx) error {
				return tx.Delete(ctx, table, table.Primary().Key(row)...)
			}
		}
	}
	switch few(t, "row", "shop", "item", "part", "parts", "items", "mark") {
	case "mark":
		return row(marks.Table, marks.Row(&mark{
			rapid.Bool().Draw(t, "flag"), time.UnixMicro(rapid.Int64Range(-1, 1).Draw(t, "at")), []byte(few(t, "tag", "", "\x00", "\xff")), rapid.Int64Range(0, 9).Draw(t, "size"),
		}))
	case "shop":
		return row(shops.Table, shops.Row(drawShop(t)))
	case "item":
		return row(items.Table, items.Row(drawItem(t)))
	case "part":
		return row(parts.Table, parts.Row(drawPart(t)))
	case "parts":
		return rangeOf(store.Query{Index: parts.Index("sign"), Limit: 2, Descending: rapid.Bool().Draw(t, "descending")})
	default:
		return rangeOf(store.Query{Index: items.Primary(), Equal: []store.Value{store.Text(drawShop(t).ID)}, Limit: 5})
	}
}

func rangeOf(q store.Query) func(ctx context.Context, tx store.Tx) error {
	return func(ctx context.Context, tx store.Tx) error {
		_, err := tx.DeleteRange(ctx, q)
		return err
	}
}

// drawUpdate draws a transaction. Half of them take the key of one shop away and give it to another.
func drawUpdate(t *rapid.T) func(ctx context.Context, tx store.Tx) error {
	if rapid.Bool().Draw(t, "exchange") {
		return exchange(few(t, "one", "1", "2", "3"), few(t, "other", "2", "3", "4"), rapid.Bool().Draw(t, "codes"))
	}
	changes := make([]func(context.Context, store.Tx) error, rapid.IntRange(1, 4).Draw(t, "changes"))
	for i := range changes {
		changes[i] = drawChange(t)
	}
	return func(ctx context.Context, tx store.Tx) error {
		for _, change := range changes {
			if err := change(ctx, tx); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return nil
	}
}

// exchange lets two shops exchange their places, or their codes.
func exchange(one, other string, codes bool) func(ctx context.Context, tx store.Tx) error {
	return func(ctx context.Context, tx store.Tx) error {
		a, err := shops.Get(ctx, tx, shops.Primary(), store.Text(one))
		if err != nil {
			return err
		}
		b, err := shops.Get(ctx, tx, shops.Primary(), store.Text(other))
		if err != nil || one == other {
			return err
		}
		hold, left := *a, *b
		if codes {
			hold.Code, left.Code, a.Code = "", a.Code, b.Code
		} else {
			hold.Place, left.Place, a.Place = "nowhere", a.Place, b.Place
		}
		for _, s := range []*shop{&hold, &left, a} {
			if err := shops.Replace(ctx, tx, s); err != nil {
				return err
			}
		}
		return nil
	}
}

// same checks that two stores have the same rows by every index.
func same(t interface{ Fatalf(string, ...any) }, schema *store.Schema, a, b store.Reader) {
	for _, table := range schema.Tables() {
		for _, ix := range table.Indexes() {
			q := store.Query{Index: ix, Limit: store.MaxLimit}
			left, err := a.List(context.Background(), q)
			if err != nil {
				t.Fatalf("%v", err)
			}
			right, err := b.List(context.Background(), q)
			if err != nil {
				t.Fatalf("%v", err)
			}
			if len(left) != len(right) {
				t.Fatalf("%s.%s: %d rows became %d", table.Name(), ix.Name(), len(left), len(right))
			}
			for i := range left {
				if !table.Same(left[i], right[i]) {
					t.Fatalf("%s.%s: row %d differs", table.Name(), ix.Name(), i)
				}
			}
		}
	}
}

// A random history of changes, among it passes that fail in the middle, ends in the same rows.
func TestEveryHistoryEndsInTheSameRows(t *testing.T) {
	for name, makers := range map[string][2]func(testing.TB, *store.Schema) place{
		"memory to memory":     {inMemory, inMemory},
		"SQLite to PostgreSQL": {inSQLite, inPostgres},
		"bbolt to SQLite":      {inBbolt, inSQLite},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := makers[0](t, bazaar), makers[1](t, bazaar)
			t.Cleanup(func() {
				if err := errors.Join(from.Close(), to.Close()); err != nil {
					t.Error(err)
				}
			})
			rapid.Check(t, func(t *rapid.T) {
				for _, s := range []store.Store{from, to} {
					if err := empty(s); err != nil {
						t.Fatalf("%v", err)
					}
				}
				history(t, from.Store, to.Store)
			})
		})
	}
}

// empty removes all rows.
func empty(s store.Store) error {
	return s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
		for _, t := range []*store.Table{marks.Table, parts.Table, items.Table, shops.Table} {
			if _, err := tx.DeleteRange(ctx, store.Query{Index: t.Primary(), Limit: store.MaxLimit}); err != nil {
				return err
			}
		}
		return nil
	})
}

func history(t *rapid.T, from, to store.Store) {
	ctx := context.Background()
	mine := errors.New("mine")
	var m *move.Move
	updates := func(most int) {
		for range rapid.IntRange(0, most).Draw(t, "updates") {
			_ = m.Update(ctx, drawUpdate(t)) // some of them are refused
		}
	}
	busy := false // Updates come between the reads of a step
	read := &storetest.Hooked{Store: from, Hook: func(c storetest.Call) error {
		if busy && !c.Inside && (c.Name == "List" || c.Name == "View" && !c.Done) {
			busy = false // these Updates come alone
			updates(2)
			busy = true
		}
		return nil
	}}
	left := int64(-1) // calls until one fails; negative for no failure
	faulty := &storetest.Hooked{Store: to, Hook: func(c storetest.Call) error {
		if !c.Done && left >= 0 {
			if left--; left < 0 {
				return mine
			}
		}
		return nil
	}}
	m, err := move.New(read, faulty, move.Options{Schema: bazaar, Few: 1})
	if err != nil {
		t.Fatalf("%v", err)
	}
	m.SetPage(rapid.IntRange(1, 5).Draw(t, "page"))
	updates(12)
	busy = rapid.Bool().Draw(t, "busy")
	if _, err := m.Copy(ctx); err != nil {
		t.Fatalf("copy: %v", err)
	}
	for range rapid.IntRange(0, 3).Draw(t, "passes") {
		updates(12)
		left = rapid.Int64Range(-1, 12).Draw(t, "calls until a fault")
		_, err := m.CatchUp(ctx)
		left = -1
		if err != nil && !errors.Is(err, mine) {
			t.Fatalf("pass: %v", err)
		}
		if err == nil && !busy {
			same(t, bazaar, from, to)
		}
		if err := m.Verify(ctx); err != nil {
			t.Fatalf("verify: %v", err)
		}
	}
	busy = false
	updates(12)
	if _, err := m.Switch(ctx); err != nil {
		t.Fatalf("switch: %v", err)
	}
	same(t, bazaar, from, to)
}

// A pass of many rows is split into several transactions.
func TestALargePassIsSplit(t *testing.T) {
	ctx := t.Context()
	const many = 5000
	from, to := inMemory(t, bazaar), inSQLite(t, bazaar)
	m := newMove(t, from.Store, to.Store, move.Options{Schema: bazaar})
	name := func(n int) string { return fmt.Sprint(1_000_000 + n) }
	must(t, m.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for n := range many {
			if err := shops.Insert(ctx, tx, &shop{ID: name(n), Code: name(n), Place: name(n)}); err != nil {
				return err
			}
		}
		for n := range many {
			if err := items.Insert(ctx, tx, &item{Shop: name(n), Number: 1, Code: name(many - 1 - n)}); err != nil {
				return err
			}
		}
		return nil
	}))
	copied(t, m)
	must(t, m.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for n := 0; n+2 < many; n += 3 { // the first of three goes, and the others exchange their places
			if err := items.Delete(ctx, tx, store.Text(name(n)), store.Int(1)); err != nil {
				return err
			}
			if err := exchange(name(n+1), name(n+2), false)(ctx, tx); err != nil {
				return err
			}
			if err := parts.Insert(ctx, tx, &part{ID: name(n), Shop: name(n + 1), Number: 1}); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, errorOf(m.Switch(ctx)))
	same(t, bazaar, from.Store, to.Store)
	must(t, m.Close())
}

// Goroutines add to the numbers of few rows, and exchange their keys, while passes run and the store
// is switched. In the end, the numbers are those that were acknowledged.
func TestNoAcknowledgedChangeIsMissing(t *testing.T) {
	for name, makers := range map[string][2]func(testing.TB, *store.Schema) place{
		"memory to memory":     {inMemory, inMemory},
		"SQLite to PostgreSQL": {inSQLite, inPostgres},
		"PostgreSQL to SQLite": {inPostgres, inSQLite},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			m := newMove(t, makers[0](t, bazaar).Store, makers[1](t, bazaar).Store, move.Options{Schema: bazaar})
			var sums [4]atomic.Int64
			done := make(chan struct{})
			steps := make(chan struct{})
			var group sync.WaitGroup
			for w := range 4 {
				group.Go(func() {
					for {
						n := rand.IntN(len(sums))
						if err := m.Update(ctx, increment(n)); err != nil {
							t.Error(err)
							return
						}
						sums[n].Add(1)
						if err := m.Update(ctx, exchange(fmt.Sprint(w), fmt.Sprint(n), true)); err != nil && !errors.Is(err, store.ErrNotFound) {
							t.Error(err)
							return
						}
						select {
						case <-done:
							return
						case steps <- struct{}{}:
						default:
						}
					}
				})
			}
			go func() { // so that nothing waits for those that have failed
				group.Wait()
				close(steps)
			}()
			more := func() {
				for range 20 {
					<-steps
				}
			}
			more()
			copied(t, m)
			for range 3 {
				more()
				must(t, errorOf(m.CatchUp(ctx)))
			}
			must(t, errorOf(m.Switch(ctx)))
			more()
			close(done)
			group.Wait()
			for n := range sums {
				row, err := marks.Get(ctx, m, marks.Primary(), store.Bool(true), store.Time(time.Time{}.AddDate(1, 0, 0)), store.Bytes([]byte{byte(n)}))
				must(t, err)
				if row.Size != sums[n].Load() {
					t.Errorf("number %d is %d, and %d were acknowledged", n, row.Size, sums[n].Load())
				}
			}
			must(t, m.Close())
		})
	}
}

// increment adds one to a number, and makes a shop of the same name.
func increment(n int) func(ctx context.Context, tx store.Tx) error {
	return func(ctx context.Context, tx store.Tx) error {
		row := &mark{Flag: true, At: time.Time{}.AddDate(1, 0, 0), Tag: []byte{byte(n)}, Size: 1}
		old, err := marks.Find(ctx, tx, marks.Primary(), store.Bool(true), store.Time(row.At), store.Bytes(row.Tag))
		switch {
		case err != nil:
			return err
		case old != nil:
			row.Size += old.Size
			return marks.Replace(ctx, tx, row)
		}
		if err := shops.Insert(ctx, tx, &shop{ID: fmt.Sprint(n), Code: fmt.Sprint(n), Place: fmt.Sprint(n)}); err != nil {
			return err
		}
		return marks.Insert(ctx, tx, row)
	}
}

// A row that has not changed, but whose parent the second store refuses in the copy, is mended too.
func TestARefusedRowIsMended(t *testing.T) {
	from, to := pair(t)
	var m *move.Move
	lists := 0
	hooked := &storetest.Hooked{Store: from, Hook: func(c storetest.Call) error {
		if c.Name == "List" && !c.Inside && c.Done {
			if lists++; lists == 1 { // the first shop has been read
				must(t, m.Update(t.Context(), exchange("1", "2", false)))
			}
		}
		return nil
	}}
	m = newMove(t, hooked, to, move.Options{Schema: bazaar})
	m.SetPage(1)
	must(t, m.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
		return errors.Join(
			shops.Insert(ctx, tx, &shop{ID: "1", Place: "x"}), shops.Insert(ctx, tx, &shop{ID: "2", Place: "y"}),
			items.Insert(ctx, tx, &item{Shop: "2", Number: 1}),
		)
	}))
	switched(t, m)
	same(t, bazaar, from, to)
}
