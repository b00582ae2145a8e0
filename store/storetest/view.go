package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"example.com/latchkey/store"
)

// many is a number of calls greater than the number of connections that a backend
// of the tests has.
const many = 40

func (s *suite) view(fn func(ctx context.Context, r store.Reader) error) error {
	return s.View(s.context(), fn)
}

// everything returns all rows by every index, in pages of 10.
func everything(ctx context.Context, r store.Reader, between func()) (map[string][]store.Row, error) {
	all := make(map[string][]store.Row)
	for _, t := range schema.Tables() {
		for _, ix := range t.Indexes() {
			name := t.Name() + "." + ix.Name()
			q := store.Query{Index: ix, Limit: 10}
			for {
				page, err := r.List(ctx, q)
				if err != nil {
					return nil, err
				}
				all[name] = append(all[name], page...)
				between()
				if len(page) < q.Limit {
					break
				}
				q.After = ix.Position(page[len(page)-1])
			}
			if n, err := r.Count(ctx, store.Query{Index: ix}); err != nil || n != len(all[name]) {
				return nil, fmt.Errorf("%d rows by %s, counted %d, %w", len(all[name]), name, n, err)
			}
		}
	}
	return all, nil
}

// sameRows checks that two stores, or two moments of one, have the same rows.
func (s *suite) sameRows(what string, got, want map[string][]store.Row) {
	s.Helper()
	for name, rows := range want {
		if !slices.EqualFunc(got[name], rows, sameRow) {
			s.Errorf("%s: %d rows by %s, want %d", what, len(got[name]), name, len(rows))
		}
	}
}

// snapshot reads everything in a View while an Update commits after each page.
func snapshot(s *suite) {
	var people []*parent
	for n := range 100 {
		people = append(people, person(n))
	}
	s.add(people...)
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		return children.InsertAll(ctx, tx, []*child{
			{ParentID: person(0).ID, Number: 1, Friend: person(1).Name, Label: "a"}, {ParentID: person(2).ID, Number: 1},
		})
	}))
	want, err := everything(s.context(), s.Store, func() {})
	s.must(err)
	changes := 0
	change := func() {
		old, fresh := changes, 1000+changes
		changes++
		s.must(s.update(func(ctx context.Context, tx store.Tx) error {
			p := person(50 + old%50)
			p.Code, p.Name, p.Rank = fmt.Appendf(nil, "code %d", fresh), fmt.Sprint("name ", fresh), int64(-old)
			if err := parents.Replace(ctx, tx, p); err != nil {
				return err
			}
			if err := parents.Insert(ctx, tx, person(fresh)); err != nil || old > 40 {
				return err
			}
			return parents.Delete(ctx, tx, store.Text(person(3+old).ID))
		}))
	}
	s.must(s.view(func(ctx context.Context, r store.Reader) error {
		change() // before the first read: the snapshot is older
		got, err := everything(ctx, r, change)
		if err != nil {
			return err
		}
		s.sameRows("in the View", got, want)
		for n, p := range people {
			for ix, key := range map[*store.Index]store.Value{
				byID: store.Text(p.ID), byCode: store.Bytes(p.Code), byName: store.Text(p.Name),
			} {
				if row, err := r.Get(ctx, ix, key); err != nil || !sameRow(row, parents.Row(p)) {
					s.Errorf("person %d by %s in the View: %v", n, ix.Name(), err)
				}
			}
		}
		_, err = parents.Get(ctx, r, byID, store.Text(person(1000).ID))
		s.want(err, store.ErrNotFound)
		of, err := byKey.Get(ctx, r, new(brief), store.Text(person(0).ID), store.Int(1))
		if err != nil || !sameRow(parents.Row(of), parents.Row(person(0))) {
			s.Errorf("a child with its parent in the View: %v", err)
		}
		return nil
	}))
	n, err := s.Count(s.context(), store.Query{Index: byID})
	s.must(err)
	if want := 100 + changes - 41; n != want {
		s.Errorf("%d people after the View, want %d", n, want)
	}
}

// viewIsOfItsMoment opens Views one in another. Each has what was committed before
// it, and nothing later.
func viewIsOfItsMoment(s *suite) {
	people := func(r store.Reader) int {
		n, err := r.Count(s.context(), store.Query{Index: byID})
		s.must(err)
		return n
	}
	var open func(depth int)
	open = func(depth int) {
		s.add(person(depth))
		if depth == 3 {
			return
		}
		s.must(s.view(func(_ context.Context, r store.Reader) error {
			open(depth + 1)
			if n := people(r); n != depth+1 {
				s.Errorf("%d people in View %d", n, depth)
			}
			return nil
		}))
	}
	open(0)
	for n := range many {
		s.add(person(100 + n))
		s.must(s.view(func(_ context.Context, r store.Reader) error {
			if got := people(r); got != 4+n+1 {
				s.Errorf("%d people in a View after %d were added", got, 4+n+1)
			}
			return nil
		}))
	}
}

// viewsAmongWriters moves amounts between rows, and removes rows and adds others,
// while Views check that the total stays the same.
func viewsAmongWriters(s *suite) {
	const people, total = 30, 30 * 29 / 2
	for n := range people {
		s.add(person(n))
	}
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				err := s.view(func(ctx context.Context, r store.Reader) error {
					sum, rows := int64(0), 0
					for page, err := range parents.Pages(ctx, r, store.Query{Index: byRank, Limit: 7}) {
						if err != nil {
							return err
						}
						for _, p := range page {
							sum += p.Rank
							rows++
						}
					}
					if sum != total || rows != people {
						return fmt.Errorf("%d rows of %d", rows, sum)
					}
					return nil
				})
				if err != nil {
					s.Errorf("in a View: %v", err)
					return
				}
			}
		})
	}
	for n := range 100 {
		err := s.update(func(ctx context.Context, tx store.Tx) error {
			a, err := parents.Get(ctx, tx, byID, store.Text(person(n%people).ID))
			if err != nil {
				return err
			}
			b, err := parents.Get(ctx, tx, byID, store.Text(person((n+11)%people).ID))
			if err != nil {
				return err
			}
			a.Rank, b.Rank = a.Rank-5, b.Rank+5
			return errors.Join(parents.Replace(ctx, tx, a), parents.Delete(ctx, tx, store.Text(b.ID)), parents.Insert(ctx, tx, b))
		})
		if err != nil {
			s.Errorf("a writer among Views: %v", err)
			break
		}
	}
	close(done)
	group.Wait()
}

// viewEnds ends Views in every way, more often than there are connections. All
// later calls must succeed.
func viewEnds(s *suite) {
	s.add(person(0))
	mine := errors.New("mine")
	read := func(ctx context.Context, r store.Reader) {
		if _, err := parents.Get(ctx, r, byID, store.Text(person(0).ID)); err != nil {
			s.Errorf("read in a View: %v", err)
		}
	}
	for n := range many {
		runs := 0
		s.want(s.view(func(ctx context.Context, r store.Reader) error { read(ctx, r); runs++; return mine }), mine)
		if runs != 1 {
			s.Errorf("a failed closure of View ran %d times", runs)
		}
		func() {
			defer func() {
				if v := recover(); v != "mine" {
					s.Errorf("recovered %v, want the panic of the closure", v)
				}
			}()
			_ = s.view(func(ctx context.Context, r store.Reader) error { read(ctx, r); panic("mine") })
		}()
		var group sync.WaitGroup
		var returned atomic.Bool
		group.Go(func() {
			_ = s.view(func(ctx context.Context, r store.Reader) error { read(ctx, r); runtime.Goexit(); return nil })
			returned.Store(true)
		})
		group.Wait()
		if returned.Load() {
			s.Error("View returned from runtime.Goexit")
		}
		s.viewCancelled(n)
		if s.Failed() {
			return
		}
	}
	for n := range many {
		s.add(person(1 + n))
		_, err := s.get(1 + n)
		s.must(err)
		s.must(s.view(func(ctx context.Context, r store.Reader) error {
			_, err := parents.Get(ctx, r, byID, store.Text(person(1+n).ID))
			return err
		}))
	}
}

// viewCancelled ends the context of a View: before the View, between two reads,
// after the last read, and in a read.
func (s *suite) viewCancelled(n int) {
	s.Helper()
	key := store.Text(person(0).ID)
	ctx, cancel := context.WithCancel(s.context())
	s.want(s.View(ctx, func(ctx context.Context, r store.Reader) error {
		if _, err := r.Get(ctx, byID, key); err != nil {
			return err
		}
		cancel()
		_, err := r.Get(ctx, byID, key)
		s.want(err, context.Canceled)
		return nil
	}), context.Canceled)
	ran := false
	s.want(s.View(ctx, func(context.Context, store.Reader) error { ran = true; return nil }), context.Canceled)
	if ran {
		s.Error("a closure of View ran under a context that had ended")
	}

	ctx, cancel = context.WithCancel(s.context())
	s.must(s.View(ctx, func(ctx context.Context, r store.Reader) error {
		_, err := r.Get(ctx, byID, key)
		cancel() // no read follows
		return err
	}))

	ctx, cancel = context.WithCancel(s.context())
	s.want(s.View(ctx, func(ctx context.Context, r store.Reader) error {
		go cancel()
		for {
			if _, err := r.List(ctx, store.Query{Index: byRank, Limit: 100}); err != nil {
				return err
			}
			if n%2 == 0 {
				if _, err := r.Count(ctx, store.Query{Index: byRank}); err != nil {
					return err
				}
			}
		}
	}), context.Canceled)
}

func viewHidesNoError(s *suite) {
	s.add(person(0))
	key := store.Text(person(0).ID)
	s.want(s.view(func(ctx context.Context, r store.Reader) error {
		_, err := r.Get(ctx, byID, store.Text("nobody"))
		s.want(err, store.ErrNotFound)
		_, err = r.Get(ctx, byID, key) // the View is still usable
		s.must(err)
		_, err = r.List(ctx, store.Query{Index: byRank})
		s.want(err, store.ErrInvalid)
		_, err = r.Get(ctx, byID, key)
		s.want(err, store.ErrAborted)
		return nil // hides the error
	}), store.ErrInvalid)
}

func nestedView(s *suite) {
	other := newSuite(s.TB, s.open)
	nothing := func(context.Context, store.Reader) error { return nil }
	refused := func(ctx context.Context) {
		s.Helper()
		s.want(s.Update(ctx, func(context.Context, store.Tx) error { return nil }), store.ErrNested)
		s.want(s.View(ctx, nothing), store.ErrNested)
		_, err := s.Get(ctx, byID, store.Text("id"))
		s.want(err, store.ErrNested)
		_, err = byKey.Get(ctx, s.Store, new(brief), store.Text("id"), store.Int(1))
		s.want(err, store.ErrNested)
		_, err = s.List(ctx, store.Query{Index: byRank, Limit: 1})
		s.want(err, store.ErrNested)
		_, err = s.Count(ctx, store.Query{Index: byRank})
		s.want(err, store.ErrNested)
	}
	var kept context.Context
	s.must(s.view(func(ctx context.Context, _ store.Reader) error {
		kept = ctx
		refused(ctx)
		s.must(other.View(ctx, func(ctx context.Context, _ store.Reader) error {
			refused(ctx)
			return nil
		}))
		return other.Update(ctx, func(ctx context.Context, _ store.Tx) error {
			refused(ctx)
			return nil
		})
	}))
	s.must(s.View(kept, nothing)) // the closure is over
	s.must(s.update(func(ctx context.Context, _ store.Tx) error {
		s.want(s.View(ctx, nothing), store.ErrNested)
		return nil
	}))
}

func keptReader(s *suite) {
	s.add(person(0))
	var kept store.Reader
	s.must(s.view(func(_ context.Context, r store.Reader) error { kept = r; return nil }))
	s.must(s.view(func(ctx context.Context, r store.Reader) error { // may have the connection of the first
		_, err := kept.Get(ctx, byID, store.Text(person(0).ID))
		s.want(err, store.ErrDone)
		_, _, err = kept.GetBoth(ctx, nil)
		s.want(err, store.ErrDone)
		_, err = kept.List(ctx, store.Query{Index: byRank, Limit: 1})
		s.want(err, store.ErrDone)
		_, err = kept.Count(ctx, store.Query{Index: byRank})
		s.want(err, store.ErrDone)
		_, err = r.Get(ctx, byID, store.Text(person(0).ID))
		return err
	}))
}

// closeWaits closes a store while a View is open.
func closeWaits(s *suite) {
	place := s.open(s.TB, schema)
	opened := &suite{TB: s.TB, place: place, Store: place.Store, open: s.open}
	opened.add(person(0))
	closed := make(chan error, 1)
	var over atomic.Bool
	s.must(place.Store.View(s.context(), func(ctx context.Context, r store.Reader) error {
		go func() {
			err := place.Store.Close()
			if !over.Load() {
				s.Error("Close did not wait for a View")
			}
			closed <- err
		}()
		for { // until Close has begun
			_, err := place.Store.Get(s.context(), byID, store.Text(person(0).ID))
			if errors.Is(err, store.ErrClosed) {
				break
			}
			s.must(err)
			runtime.Gosched()
		}
		for range 100 {
			runtime.Gosched()
			if _, err := r.Get(ctx, byID, store.Text(person(0).ID)); err != nil {
				return err
			}
		}
		over.Store(true)
		return nil
	}))
	s.must(<-closed)
	s.want(place.Store.View(s.context(), func(context.Context, store.Reader) error { return nil }), store.ErrClosed)
}
