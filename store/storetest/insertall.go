package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/latchkey/store"
)

// crowd returns people with every kind of value, and with nulls.
func crowd(first, n int) (people []*parent) {
	for i := range n {
		p := person(first + i)
		p.Alive, p.Note, p.Words = i%3 == 0, `{"a":["é",1,null]}`, ` {"b" : 1}`
		switch i % 5 {
		case 1:
			p.Name, p.Born = "", time.Time{}
		case 2:
			p.Name, p.Code = fmt.Sprintf("\U0001F600\t\\N\"%d\n", first+i), fmt.Appendf(nil, "\x00\xff\\%d", first+i)
		case 3:
			p.Rank, p.Born = -p.Rank-1, lastTime
		case 4:
			p.Note, p.Words, p.Born = "[]", "null", firstTime
		}
		people = append(people, p)
	}
	return people
}

// family returns children of people, whose references are to people too.
func family(first int, people []*parent) (of []*child) {
	for i, p := range people {
		of = append(of, &child{ParentID: p.ID, Number: int64(first + i), Friend: people[(i+7)%len(people)].Name, Label: []string{"", "x"}[i%2]})
	}
	return of
}

// insertAll checks that InsertAll has the same effect as Insert of each row, for
// several numbers of rows.
func insertAll(s *suite) {
	single := newSuite(s.TB, s.open)
	first := 0
	for _, n := range []int{0, 1, 2, 16, 17, 63, 64, 65, 129, 300} {
		people := crowd(first, n)
		s.must(s.update(func(ctx context.Context, tx store.Tx) error {
			if err := parents.InsertAll(ctx, tx, people); err != nil {
				return err
			}
			if n > 0 { // the transaction sees them
				if _, err := parents.Get(ctx, tx, byCode, store.Bytes(people[n-1].Code)); err != nil {
					return err
				}
			}
			return children.InsertAll(ctx, tx, family(first, people))
		}))
		s.must(single.update(func(ctx context.Context, tx store.Tx) error {
			for _, p := range people {
				if err := parents.Insert(ctx, tx, p); err != nil {
					return err
				}
			}
			for _, c := range family(first, people) {
				if err := children.Insert(ctx, tx, c); err != nil {
					return err
				}
			}
			return nil
		}))
		first += n
	}
	got, err := everything(s.context(), s.Store, func() {})
	s.must(err)
	want, err := everything(s.context(), single.Store, func() {})
	s.must(err)
	s.sameRows("by InsertAll", got, want)
	if n := len(got["parents."+byID.Name()]); n != first {
		s.Errorf("%d people, want %d", n, first)
	}
}

// insertAllAmongChanges mixes InsertAll with the other calls of a transaction.
func insertAllAmongChanges(s *suite) {
	s.add(person(0), person(1))
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		if err := parents.Delete(ctx, tx, store.Text(person(0).ID)); err != nil {
			return err
		}
		rows := []store.Row{parents.Row(person(2)), parents.Row(person(0)), parents.Row(person(3))}
		if err := tx.InsertAll(ctx, parents.Table, rows); err != nil {
			return err
		}
		clear(rows) // the slice is the caller's again
		p := person(2)
		p.Rank = 70
		if err := parents.Replace(ctx, tx, p); err != nil {
			return err
		}
		if err := parents.Delete(ctx, tx, store.Text(person(3).ID)); err != nil {
			return err
		}
		return parents.InsertAll(ctx, tx, []*parent{person(4), person(3)})
	}))
	s.stands(true, true, true, true, true, false)
	if got, want := s.ids(store.Query{Index: byRank, Limit: 9}), []string{person(0).ID, person(1).ID, person(3).ID, person(4).ID, person(2).ID}; !slices.Equal(got, want) {
		s.Errorf("listed %v, want %v", got, want)
	}
}

// insertAllRefused checks that InsertAll refuses what Insert refuses, with the same
// error, wherever the row stands.
func insertAllRefused(s *suite) {
	s.add(person(0), person(1), person(2))
	values := parents.Row(person(60)).Values()
	wrong := func(column int, v store.Value) store.Row {
		other := slices.Clone(values)
		other[column] = v
		return store.NewRow(other)
	}
	takes := func(n int, change func(p *parent)) store.Row {
		p := person(60)
		change(p)
		return parents.Row(p)
	}
	cases := []struct {
		name  string
		table *store.Table
		row   store.Row
		want  error
		index *store.Index
	}{
		{"taken id", parents.Table, takes(60, func(p *parent) { p.ID = person(0).ID }), store.ErrExists, byID},
		{"taken code", parents.Table, takes(60, func(p *parent) { p.Code = person(1).Code }), store.ErrExists, byCode},
		{"taken name", parents.Table, takes(60, func(p *parent) { p.Name = person(2).Name }), store.ErrExists, byName},
		{"id of the same call", parents.Table, takes(60, func(p *parent) { p.ID = person(21).ID }), store.ErrExists, byID},
		{"code of the same call", parents.Table, takes(60, func(p *parent) { p.Code = person(22).Code }), store.ErrExists, byCode},
		{"name of the same call", parents.Table, takes(60, func(p *parent) { p.Name = person(23).Name }), store.ErrExists, byName},
		{"kind", parents.Table, wrong(3, store.Text("x")), store.ErrInvalid, nil},
		{"null", parents.Table, wrong(0, store.Null), store.ErrInvalid, nil},
		{"NUL", parents.Table, wrong(0, store.Text("a\x00")), store.ErrInvalid, nil},
		{"JSON", parents.Table, wrong(6, store.Text("{")), store.ErrInvalid, nil},
		{"no values", parents.Table, store.Row{}, store.ErrInvalid, nil},
		{"no parent", children.Table, children.Row(&child{ParentID: "nobody", Number: 3}), store.ErrReference, nil},
		{"no friend", children.Table, children.Row(&child{ParentID: person(0).ID, Number: 3, Friend: "nobody"}), store.ErrReference, nil},
	}
	for _, c := range cases {
		for _, at := range []int{0, 10, 100} {
			if at == 0 && c.index != nil {
				continue // no other row of the call comes first
			}
			rows := []store.Row{}
			for i := range 100 {
				if c.table == parents.Table {
					rows = append(rows, parents.Row(person(20+i%40+i/40*1000)))
				} else {
					rows = append(rows, children.Row(&child{ParentID: person(1).ID, Number: int64(i)}))
				}
			}
			rows = slices.Insert(rows, at, c.row)
			var refused, none, inserted error // of the last run
			err := s.update(func(ctx context.Context, tx store.Tx) error {
				if err := parents.Insert(ctx, tx, person(3)); err != nil {
					return err
				}
				refused = tx.InsertAll(ctx, c.table, rows)
				none = tx.InsertAll(ctx, parents.Table, nil)
				inserted = parents.Insert(ctx, tx, person(4))
				return nil // hides the error
			})
			s.want(refused, c.want)
			if c.index != nil && !store.IsTaken(refused, c.index) {
				s.Errorf("%s: %v does not name %s", c.name, refused, c.index.Name())
			}
			s.want(none, store.ErrAborted)
			s.want(inserted, store.ErrAborted)
			if err == nil {
				s.Errorf("%s: the closure hid the error", c.name)
			}
			if s.unchanged(); s.Failed() {
				s.Fatalf("after %s at %d", c.name, at)
			}
		}
	}
	s.must(s.update(func(ctx context.Context, tx store.Tx) error { return tx.InsertAll(ctx, children.Table, nil) }))
	s.want(s.update(func(ctx context.Context, tx store.Tx) error { return tx.InsertAll(ctx, nil, nil) }), store.ErrInvalid)
	s.unchanged()
}

func insertAllRollsBack(s *suite) {
	s.add(person(0), person(1), person(2))
	mine := errors.New("mine")
	people := crowd(10, 200)
	fill := func(ctx context.Context, tx store.Tx) error {
		return errors.Join(parents.InsertAll(ctx, tx, people), children.InsertAll(ctx, tx, family(10, people)))
	}
	s.want(s.update(func(ctx context.Context, tx store.Tx) error {
		s.must(fill(ctx, tx))
		return mine
	}), mine)
	s.unchanged()
	ctx, cancel := context.WithCancel(s.context())
	s.want(s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		s.must(fill(ctx, tx))
		cancel()
		return parents.InsertAll(ctx, tx, []*parent{person(300), person(301)})
	}), context.Canceled)
	s.unchanged()
	s.must(s.update(fill))
	var kept store.Tx
	s.must(s.update(func(_ context.Context, tx store.Tx) error { kept = tx; return nil }))
	s.want(parents.InsertAll(s.context(), kept, []*parent{person(300), person(301)}), store.ErrDone)
	s.standFrom(300, false, false)
}

func insertAllWinner(s *suite) {
	wins := s.contend(store.ErrExists, func(n int) error {
		p := person(n)
		p.Name = "wanted"
		return s.update(func(ctx context.Context, tx store.Tx) error {
			return parents.InsertAll(ctx, tx, []*parent{person(100 + n), p, person(200 + n)})
		})
	})
	n, err := s.Count(s.context(), store.Query{Index: byID})
	s.must(err)
	if wins != 1 || n != 3 {
		s.Errorf("%d of 64 got the one key, %d rows stand", wins, n)
	}
}
