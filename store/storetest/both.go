package storetest

import (
	"context"
	"errors"
	"strconv"

	"example.com/latchkey/store"
)

// brief is a part of a child, in another order.
type brief struct {
	Label  string
	Number int64
}

func (b *brief) bind(to *store.Binder) {
	to.NullText("label", &b.Label)
	to.Int("number", &b.Number)
}

var (
	briefs   = store.DeclarePart(children.Table, (*brief).bind)
	byKey    = store.Join(briefs, children.Primary(), "parent_id", parents)
	byLabels = store.Join(briefs, byLabel, "parent_id", parents)
	friends  = store.Join(briefs, children.Primary(), "friend", parents)
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
			pair   store.Joined[brief, parent]
			key    []store.Value
			child  *child // nil: not found
			parent int
		}{
			{"parent by the primary key", byKey, first, cs[0], 0},
			{"friend by the primary key", friends, first, cs[0], 1},
			{"parent by another key", byLabels, []store.Value{store.Text("a"), store.Int(1)}, cs[0], 0},
			{"parent of another", byKey, second, cs[1], 1},
			{"no friend", friends, second, nil, 0},
			{"no row", byKey, []store.Value{store.Text(person(0).ID), store.Int(2)}, nil, 0},
			{"null in the key", byLabels, []store.Value{store.Null, store.Int(1)}, nil, 0},
		} {
			var part brief
			of, err := test.pair.Get(ctx, r, &part, test.key...)
			switch {
			case test.child == nil && !errors.Is(err, store.ErrNotFound):
				s.Errorf("%s: %v, want not found", test.name, err)
			case test.child == nil:
			case err != nil:
				s.Errorf("%s: %v", test.name, err)
			case part != (brief{test.child.Label, test.child.Number}) || !sameRow(parents.Row(of), parents.Row(person(test.parent))):
				s.Errorf("%s: %v and %v", test.name, part, of)
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
		of, err := byKey.Get(ctx, tx, new(brief), store.Text(moved.ID), store.Int(1))
		if err == nil && of.Rank != 99 {
			s.Errorf("a transaction does not see its own change of a parent")
		}
		return err
	}))
	_, _, err := s.GetBoth(ctx, nil, store.Text(person(0).ID))
	s.want(err, store.ErrInvalid)
	_, err = byKey.Get(ctx, s.Store, new(brief), store.Text(person(0).ID))
	s.want(err, store.ErrInvalid)
	_, err = byKey.Get(ctx, s.Store, new(brief), store.Int(1), store.Int(1))
	s.want(err, store.ErrInvalid)
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
				var c brief
				p, err := byKey.Get(ctx, s.Store, &c, store.Text(row.ParentID), store.Int(1))
				if err != nil {
					read <- err
					return
				}
				if c.Label != strconv.FormatInt(p.Rank, 10) {
					s.Errorf("the child is of %s, its parent of %d", c.Label, p.Rank)
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
