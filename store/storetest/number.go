package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"example.com/latchkey/store"
)

// ticket is a row of a numbered index.
type ticket struct {
	ID     string
	Queue  string
	Number int64
}

func (t *ticket) bind(b *store.Binder) {
	b.Text("id", &t.ID)
	b.Text("queue", &t.Queue)
	b.Int("number", &t.Number)
}

var tickets = store.Declare("tickets", (*ticket).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "queue", Columns: []string{"queue", "number"}, Numbered: true},
	},
})

// queue returns the tickets of a queue by their numbers, and fails the test unless the numbers
// differ.
func (s *suite) queue(name string) (ids []string, numbers []int64) {
	s.Helper()
	rows, err := tickets.List(s.context(), s.Store, store.Query{Index: tickets.Index("queue"), Equal: []store.Value{store.Text(name)}, Limit: store.MaxLimit})
	s.must(err)
	for _, t := range rows {
		ids, numbers = append(ids, t.ID), append(numbers, t.Number)
	}
	if len(slices.Compact(slices.Clone(numbers))) != len(numbers) || slices.Contains(numbers, 0) {
		s.Errorf("%s: %v", name, numbers)
	}
	return ids, numbers
}

// issue inserts tickets of a queue in one transaction.
func (s *suite) issue(queue string, ids ...string) error {
	return s.update(func(ctx context.Context, tx store.Tx) error {
		for _, id := range ids {
			if err := tickets.Insert(ctx, tx, &ticket{ID: id, Queue: queue}); err != nil {
				return err
			}
		}
		return nil
	})
}

func numberedInOrder(s *suite) {
	// The order of the ids is another one.
	s.must(s.issue("a", "z", "m", "b"))
	s.must(s.issue("b", "y"))
	mine := errors.New("mine")
	s.want(s.update(func(ctx context.Context, tx store.Tx) error {
		return errors.Join(tickets.Insert(ctx, tx, &ticket{ID: "gone", Queue: "a"}), mine)
	}), mine)
	s.must(s.issue("a", "a"))
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		return tickets.InsertAll(ctx, tx, []*ticket{{ID: "l", Queue: "a"}, {ID: "k", Queue: "b"}, {ID: "c", Queue: "a"}})
	}))
	if ids, _ := s.queue("a"); !slices.Equal(ids, []string{"z", "m", "b", "a", "l", "c"}) {
		s.Errorf("a: %v", ids)
	}
	if ids, _ := s.queue("b"); !slices.Equal(ids, []string{"y", "k"}) {
		s.Errorf("b: %v", ids)
	}
	s.must(s.update(func(ctx context.Context, tx store.Tx) error { return tickets.Delete(ctx, tx, store.Text("m")) }))
	s.must(s.issue("a", "d"))
	if ids, _ := s.queue("a"); !slices.Equal(ids, []string{"z", "b", "a", "l", "c", "d"}) {
		s.Errorf("after a deletion: %v", ids)
	}
}

func numbersThatAreGiven(s *suite) {
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		return errors.Join(tickets.Insert(ctx, tx, &ticket{ID: "c", Queue: "a", Number: 70}),
			tickets.InsertAll(ctx, tx, []*ticket{{ID: "b", Queue: "a", Number: 50}, {ID: "a", Queue: "a", Number: 60}}))
	}))
	s.must(s.issue("a", "e"))
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		return tickets.Replace(ctx, tx, &ticket{ID: "b", Queue: "a", Number: 55})
	}))
	s.must(s.issue("a", "d"))
	ids, numbers := s.queue("a")
	if !slices.Equal(ids, []string{"b", "a", "c", "e", "d"}) || !slices.Equal(numbers[:3], []int64{55, 60, 70}) {
		s.Errorf("%v, %v", ids, numbers)
	}
}

// Rows that come with small numbers of their own, as from another store, do not set the numbers of others
// back.
func numbersThatAreGivenAtOnce(s *suite) {
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		return tickets.Insert(ctx, tx, &ticket{ID: "first", Queue: "a", Number: 1000})
	}))
	const callers, each = 8, 25
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for n := range each {
				given := 0
				if caller%2 == 0 {
					given = 1 + caller*each + n
				}
				err := s.update(func(ctx context.Context, tx store.Tx) error {
					return tickets.Insert(ctx, tx, &ticket{ID: fmt.Sprintf("%d-%d", caller, n), Queue: "a", Number: int64(given)})
				})
				if err != nil {
					s.Error(err)
				}
			}
		})
	}
	group.Wait()
	if _, numbers := s.queue("a"); len(numbers) != 1+callers*each || numbers[callers/2*each] != 1000 {
		s.Errorf("%v", numbers)
	}
}

// Each of several callers sees its own tickets in the order in which it has issued them, and a
// ticket that was issued before a call began stands before that of the call.
func numberedAtOnce(s *suite) {
	const callers, each = 8, 20
	var group sync.WaitGroup
	var mu sync.Mutex
	before := make(map[string][]string) // the tickets that stood when one was asked for
	var issued []string
	for caller := range callers {
		group.Go(func() {
			for n := range each {
				id := fmt.Sprintf("%d-%d", callers-caller, n)
				mu.Lock()
				before[id] = slices.Clone(issued)
				mu.Unlock()
				if err := s.issue("a", id); err != nil {
					s.Error(err)
					return
				}
				mu.Lock()
				issued = append(issued, id)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	ids, _ := s.queue("a")
	place := make(map[string]int)
	for i, id := range ids {
		place[id] = i
	}
	if len(ids) != callers*each {
		s.Fatalf("%d tickets", len(ids))
	}
	for id, earlier := range before {
		for _, other := range earlier {
			if place[other] > place[id] {
				s.Errorf("%s stands before %s, which was there already", id, other)
			}
		}
	}
}
