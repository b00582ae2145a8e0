package storetest

import (
	"context"
	"errors"
	"strconv"

	"example.com/latchkey/store"
)

var (
	ofParent = &children.References()[0]
	ofFriend = &children.References()[1]
)

// both checks which rows GetBoth returns.
func both(s *suite) {
	ctx := s.context()
	s.add(person(0), person(1))
	cs := []*child{
		{ParentID: person(0).ID, Number: 1, Friend: person(1).Name, Label: "a"},
		{ParentID: person(1).ID, Number: 1},
	}
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		return errors.Join(children.Insert(ctx, tx, cs[0]), children.Insert(ctx, tx, cs[1]))
	}))
	check := func(ctx context.Context, r store.Reader) {
		s.Helper()
		first := []store.Value{store.Text(person(0).ID), store.Int(1)}
		second := []store.Value{store.Text(person(1).ID), store.Int(1)}
		for _, test := range []struct {
			name   string
			ix     *store.Index
			ref    *store.Reference
			key    []store.Value
			child  *child // nil: not found
			parent int
		}{
			{"parent by the primary key", children.Primary(), ofParent, first, cs[0], 0},
			{"friend by the primary key", children.Primary(), ofFriend, first, cs[0], 1},
			{"parent by another key", byLabel, ofParent, []store.Value{store.Text("a"), store.Int(1)}, cs[0], 0},
			{"friend by another key", byLabel, ofFriend, []store.Value{store.Text("a"), store.Int(1)}, cs[0], 1},
			{"parent of another", children.Primary(), ofParent, second, cs[1], 1},
			{"no friend", children.Primary(), ofFriend, second, nil, 0},
			{"no row", children.Primary(), ofParent, []store.Value{store.Text(person(0).ID), store.Int(2)}, nil, 0},
			{"null in the key", byLabel, ofParent, []store.Value{store.Null, store.Int(1)}, nil, 0},
		} {
			row, of, err := r.GetBoth(ctx, test.ix, test.ref, test.key...)
			switch {
			case test.child == nil && !errors.Is(err, store.ErrNotFound):
				s.Errorf("%s: %v, want not found", test.name, err)
			case test.child == nil:
			case err != nil:
				s.Errorf("%s: %v", test.name, err)
			case !sameRow(row, children.Row(test.child)) || !sameRow(of, parents.Row(person(test.parent))):
				s.Errorf("%s: %v and %v", test.name, row, of)
			}
		}
	}
	check(ctx, s.Store)
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		check(ctx, tx)
		moved := person(0)
		moved.Rank = 99
		if err := parents.Replace(ctx, tx, moved); err != nil {
			return err
		}
		_, of, err := tx.GetBoth(ctx, children.Primary(), ofParent, store.Text(moved.ID), store.Int(1))
		if err == nil && parents.Record(of).Rank != 99 {
			s.Errorf("a transaction does not see its own change of a parent")
		}
		return err
	}))
	for name, call := range map[string]func() error{
		"the reference of another table": func() error {
			_, _, err := s.GetBoth(ctx, byID, ofParent, store.Text(person(0).ID))
			return err
		},
		"no reference": func() error {
			_, _, err := s.GetBoth(ctx, children.Primary(), nil, store.Text(person(0).ID), store.Int(1))
			return err
		},
		"an index that is not unique": func() error {
			_, _, err := s.GetBoth(ctx, children.Index("friend"), ofParent, store.Text("a"), store.Text("b"))
			return err
		},
		"a short key": func() error {
			_, _, err := s.GetBoth(ctx, children.Primary(), ofParent, store.Text(person(0).ID))
			return err
		},
	} {
		if err := call(); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
}

// oneMoment changes a child and its parent in one transaction, again and again, while
// others read both.
func oneMoment(s *suite) {
	ctx := s.context()
	s.add(person(0))
	row := &child{ParentID: person(0).ID, Number: 1, Label: "0"}
	s.must(s.update(func(ctx context.Context, tx store.Tx) error { return children.Insert(ctx, tx, row) }))
	done := make(chan struct{})
	read := make(chan error, 2)
	for range 2 {
		go func() {
			for {
				select {
				case <-done:
					read <- nil
					return
				default:
				}
				c, p, err := s.GetBoth(ctx, children.Primary(), ofParent, store.Text(row.ParentID), store.Int(1))
				if err != nil {
					read <- err
					return
				}
				if label, rank := children.Record(c).Label, parents.Record(p).Rank; label != strconv.FormatInt(rank, 10) {
					s.Errorf("the child is of %s, its parent of %d", label, rank)
				}
			}
		}()
	}
	var failed error
	for n := int64(1); n <= 100 && failed == nil; n++ {
		failed = s.update(func(ctx context.Context, tx store.Tx) error {
			p, c := person(0), *row
			p.Rank, c.Label = n, strconv.FormatInt(n, 10)
			return errors.Join(parents.Replace(ctx, tx, p), children.Replace(ctx, tx, &c))
		})
	}
	close(done)
	s.must(errors.Join(failed, <-read, <-read))
}
