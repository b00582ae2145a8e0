package storetest

import (
	"context"
	"errors"

	"example.com/latchkey/store"
)

// A reference holds after every call, and not only at the end: the call that breaks it is refused, even if a later
// call of the closure would mend it.
func referencesHoldAfterEveryCall(s *suite) {
	type call func(context.Context, store.Tx) error
	insertParent := func(p *parent) call {
		return func(ctx context.Context, tx store.Tx) error { return parents.Insert(ctx, tx, p) }
	}
	replaceParent := func(p *parent) call {
		return func(ctx context.Context, tx store.Tx) error { return parents.Replace(ctx, tx, p) }
	}
	deleteParent := func(p *parent) call {
		return func(ctx context.Context, tx store.Tx) error { return parents.Delete(ctx, tx, store.Text(p.ID)) }
	}
	insertChild := func(c *child) call {
		return func(ctx context.Context, tx store.Tx) error { return children.Insert(ctx, tx, c) }
	}
	replaceChild := func(c *child) call {
		return func(ctx context.Context, tx store.Tx) error { return children.Replace(ctx, tx, c) }
	}
	deleteChild := func(c *child) call {
		return func(ctx context.Context, tx store.Tx) error {
			return children.Delete(ctx, tx, store.Text(c.ParentID), store.Int(c.Number))
		}
	}
	all := func(of store.Typed[parent]) call {
		return func(ctx context.Context, tx store.Tx) error {
			_, err := tx.DeleteRange(ctx, store.Query{Index: of.Primary(), Limit: store.MaxLimit})
			return err
		}
	}
	one, two, renamed := person(1), person(2), person(2)
	renamed.Name = "another"
	there := &child{ParentID: one.ID, Number: 1, Friend: two.Name} // of the store
	orphan := &child{ParentID: person(9).ID, Number: 1}
	friendless := &child{ParentID: one.ID, Number: 2, Friend: person(9).Name}
	lost := &child{ParentID: one.ID, Number: 1, Friend: person(9).Name}
	s.add(one, two)
	s.must(s.update(func(ctx context.Context, tx store.Tx) error { return children.Insert(ctx, tx, there) }))
	rows := func() (n [2]int) {
		for i, t := range []*store.Table{parents.Table, children.Table} {
			var err error
			n[i], err = s.Count(s.context(), store.Query{Index: t.Primary()})
			s.must(err)
		}
		return n
	}
	for name, calls := range map[string][2]call{ // the first is refused
		"a child before its parent":             {insertChild(orphan), insertParent(person(9))},
		"a child without a parent that goes":    {insertChild(orphan), deleteChild(orphan)},
		"a child before its friend":             {insertChild(friendless), insertParent(person(9))},
		"a child that loses its friend":         {replaceChild(lost), replaceChild(there)},
		"a child that gets its friend later":    {replaceChild(lost), insertParent(person(9))},
		"a parent that goes before its child":   {deleteParent(one), deleteChild(there)},
		"a parent that goes and comes":          {deleteParent(one), insertParent(one)},
		"a friend that goes and comes":          {deleteParent(two), insertParent(two)},
		"a friend that has another name a time": {replaceParent(renamed), replaceParent(two)},
		"all parents before their children":     {all(parents), deleteChild(there)},
	} {
		var first, second error // of the last run
		err := s.update(func(ctx context.Context, tx store.Tx) error {
			first, second = calls[0](ctx, tx), calls[1](ctx, tx)
			return nil // hides the error
		})
		if !errors.Is(first, store.ErrReference) || !errors.Is(second, store.ErrAborted) {
			s.Errorf("%s: %v, and then %v", name, first, second)
		}
		if err == nil {
			s.Errorf("%s: the closure hid the error", name)
		}
	}
	if n := rows(); n != [2]int{2, 1} {
		s.Errorf("%v rows", n)
	}
}
