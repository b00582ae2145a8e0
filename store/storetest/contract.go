package storetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/latchkey/store"
)

// contract is the list of the package documentation of store, line by line.
var contract = []struct {
	name string
	run  func(*suite)
}{
	{"AbsentIsNotFound", absentIsNotFound},
	{"TakenNamesItsIndex", takenNamesItsIndex},
	{"OrphansAndParentsAreReference", orphansAndParents},
	{"DeletingTheAbsentIsNotFound", deletingTheAbsent},
	{"SingleUseRowHasOneWinner", singleUse},
	{"UniqueKeyHasOneWinner", uniqueWinner},
	{"NotFoundLeavesTransactionUsable", notFoundLeavesUsable},
	{"OtherErrorsAbort", otherErrorsAbort},
	{"ErrorRollsBack", errorRollsBack},
	{"PanicRollsBackAndReachesCaller", panicRollsBack},
	{"GoexitFailsOnlyItsClosure", goexit},
	{"CancellationRollsBack", cancellation},
	{"FailureTouchesNobodyElse", failureAmongOthers},
	{"UpdatesAreSerializable", serializable},
	{"HistoriesAreLinearizable", histories},
	{"UpdatesAreInRealTimeOrder", realTimeOrder},
	{"ClosureSeesItsOwnChanges", ownChanges},
	{"NestedUseIsRefused", nested},
	{"TransactionEndsWithItsClosure", keptTransaction},
	{"NullsNeverCollide", nullsNeverCollide},
	{"NullsAreListedFirst", nullsFirst},
	{"CursorMayStandOnANull", cursorOnNull},
	{"ComparingWithNullSelectsNothing", compareNull},
	{"TextComparesBytewise", textOrder},
	{"BadValuesAreRefused", badValues},
	{"TimesAreMicroseconds", times},
	{"ValuesComeBackAsTheyWent", roundTrip},
	{"ListIsOrderedAndNeedsALimit", listOrder},
	{"ReplaceMovesEveryIndex", replaceMoves},
	{"DeleteRangeTakesWhatListShows", deleteRange},
	{"DescendingSeesDeletionsOfItsTransaction", descendingAfterDelete},
	{"BadFiltersAreRefused", badFilters},
	{"SweepDeletesWhatIsOld", sweep},
	{"CopyMovesEverything", moves},
	{"ReturnedRowsBelongToTheCaller", rowsBelongToCaller},
	{"FaultsLeaveAllOrNothing", faults},
	{"CheckFindsItWhole", checked},
	{"ClosedIsClosed", closed},
	{"CommittedIsThereAfterReopen", reopened},
	{"SameRowsAsAPlainModel", model},
}

func absentIsNotFound(s *suite) {
	_, err := s.get(1)
	s.want(err, store.ErrNotFound)
	s.want(s.update(func(ctx context.Context, tx store.Tx) error {
		return parents.Replace(ctx, tx, person(1))
	}), store.ErrNotFound)
	rows, err := s.List(s.context(), store.Query{Index: byRank, Limit: 10})
	s.must(err)
	n, err := s.Count(s.context(), store.Query{Index: byRank})
	s.must(err)
	if len(rows) != 0 || n != 0 {
		s.Errorf("%d rows, count %d in an empty table", len(rows), n)
	}
}

func takenNamesItsIndex(s *suite) {
	s.add(person(0), person(1))
	cases := map[*store.Index]func(p *parent){
		byID:   func(p *parent) { p.ID = person(0).ID },
		byCode: func(p *parent) { p.Code = person(0).Code },
		byName: func(p *parent) { p.Name = person(0).Name },
	}
	for ix, change := range cases {
		p := person(2)
		change(p)
		err := s.insert(p)
		s.want(err, store.ErrExists)
		if !store.IsTaken(err, ix) {
			s.Errorf("insert: %v does not name %s", err, ix.Name())
		}
		if ix == byID {
			continue
		}
		p = person(1)
		change(p)
		err = s.update(func(ctx context.Context, tx store.Tx) error { return parents.Replace(ctx, tx, p) })
		if !store.IsTaken(err, ix) {
			s.Errorf("replace: %v does not name %s", err, ix.Name())
		}
		if strings.Contains(err.Error(), "000") {
			s.Errorf("%v carries a value", err)
		}
	}
	s.stands(true, true, false)
}

func orphansAndParents(s *suite) {
	s.add(person(0), person(1))
	insert := func(c child) error {
		return s.update(func(ctx context.Context, tx store.Tx) error { return children.Insert(ctx, tx, &c) })
	}
	s.want(insert(child{ParentID: "nobody", Number: 1}), store.ErrReference)
	s.want(insert(child{ParentID: person(0).ID, Number: 1, Friend: "nobody"}), store.ErrReference)
	s.must(insert(child{ParentID: person(0).ID, Number: 1}))
	s.must(insert(child{ParentID: person(0).ID, Number: 2, Friend: person(1).Name}))

	remove := func(n int) error {
		return s.update(func(ctx context.Context, tx store.Tx) error {
			return parents.Delete(ctx, tx, store.Text(person(n).ID))
		})
	}
	s.want(remove(0), store.ErrReference)
	s.want(remove(1), store.ErrReference)
	// A reference with a null names nobody, not even somebody without a name.
	s.add(nameless()...)
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		p := nameless()[0]
		p.Name = "named"
		if err := parents.Replace(ctx, tx, p); err != nil {
			return err
		}
		return parents.Delete(ctx, tx, store.Text(nameless()[1].ID))
	}))
	s.want(s.update(func(ctx context.Context, tx store.Tx) error {
		_, err := tx.DeleteRange(ctx, store.Query{Index: byRank, Limit: 10})
		return err
	}), store.ErrReference)
	s.want(s.update(func(ctx context.Context, tx store.Tx) error {
		p := person(1)
		p.Name = "another" // a child refers to the old one
		return parents.Replace(ctx, tx, p)
	}), store.ErrReference)
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		p := person(1)
		p.Rank = 7 // nothing refers to it
		return parents.Replace(ctx, tx, p)
	}))
	s.want(s.update(func(ctx context.Context, tx store.Tx) error {
		return children.Replace(ctx, tx, &child{ParentID: person(0).ID, Number: 1, Friend: "nobody"})
	}), store.ErrReference)

	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		for n := range int64(2) {
			if err := children.Delete(ctx, tx, store.Text(person(0).ID), store.Int(n+1)); err != nil {
				return err
			}
		}
		return parents.Delete(ctx, tx, store.Text(person(0).ID))
	}))
	s.must(remove(1))
	s.stands(false, false)
}

func deletingTheAbsent(s *suite) {
	s.add(person(0))
	remove := func() error {
		return s.update(func(ctx context.Context, tx store.Tx) error {
			return parents.Delete(ctx, tx, store.Text(person(0).ID))
		})
	}
	s.must(remove())
	s.want(remove(), store.ErrNotFound)
	s.stands(false)
}

// contend runs fn in 64 goroutines at once and returns how many got nil.
func (s *suite) contend(target error, fn func(n int) error) int {
	var wins atomic.Int64
	var group sync.WaitGroup
	for n := range 64 {
		group.Go(func() {
			switch err := fn(n); {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, target):
				s.Errorf("contender %d: %v", n, err)
			}
		})
	}
	group.Wait()
	return int(wins.Load())
}

func singleUse(s *suite) {
	s.add(person(0))
	wins := s.contend(store.ErrNotFound, func(int) error {
		return s.update(func(ctx context.Context, tx store.Tx) error {
			return parents.Delete(ctx, tx, store.Text(person(0).ID))
		})
	})
	if wins != 1 {
		s.Errorf("%d of 64 claimed the one row", wins)
	}
}

func uniqueWinner(s *suite) {
	wins := s.contend(store.ErrExists, func(n int) error {
		p := person(n)
		p.Name = "wanted"
		return s.insert(p)
	})
	n, err := s.Count(s.context(), store.Query{Index: byName, Equal: []store.Value{store.Text("wanted")}})
	s.must(err)
	if wins != 1 || n != 1 {
		s.Errorf("%d of 64 got the one key, %d rows have it", wins, n)
	}
}

func notFoundLeavesUsable(s *suite) {
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		_, err := parents.Get(ctx, tx, byID, store.Text("nobody"))
		s.want(err, store.ErrNotFound)
		s.want(parents.Delete(ctx, tx, store.Text("nobody")), store.ErrNotFound)
		s.want(parents.Replace(ctx, tx, person(9)), store.ErrNotFound)
		return parents.Insert(ctx, tx, person(0))
	}))
	s.stands(true)
}

func otherErrorsAbort(s *suite) {
	s.add(person(0))
	for name, fail := range map[string]func(ctx context.Context, tx store.Tx) error{
		"exists":    func(ctx context.Context, tx store.Tx) error { return parents.Insert(ctx, tx, person(0)) },
		"reference": func(ctx context.Context, tx store.Tx) error { return children.Insert(ctx, tx, &child{ParentID: "x"}) },
		"invalid": func(ctx context.Context, tx store.Tx) error {
			_, err := tx.List(ctx, store.Query{Index: byRank})
			return err
		},
	} {
		err := s.update(func(ctx context.Context, tx store.Tx) error {
			if err := parents.Insert(ctx, tx, person(1)); err != nil {
				return err
			}
			if err := fail(ctx, tx); err == nil {
				s.Errorf("%s: no error", name)
			}
			s.want(parents.Insert(ctx, tx, person(2)), store.ErrAborted)
			_, err := parents.Get(ctx, tx, byID, store.Text(person(0).ID))
			s.want(err, store.ErrAborted)
			return nil // hides it
		})
		if err == nil {
			s.Errorf("%s: the closure hid the error", name)
		}
		s.stands(true, false, false)
	}
}

// changeAll does one of everything.
func changeAll(ctx context.Context, tx store.Tx) error {
	p := person(0)
	p.Code, p.Name, p.Rank = []byte("moved"), "moved", 99
	for _, err := range []error{
		parents.Insert(ctx, tx, person(5)),
		children.Insert(ctx, tx, &child{ParentID: person(5).ID, Number: 1, Friend: person(2).Name, Label: "x"}),
		parents.Replace(ctx, tx, p),
		parents.Delete(ctx, tx, store.Text(person(1).ID)),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) unchanged() {
	s.Helper()
	s.stands(true, true, true, false, false, false)
	p, err := s.get(0)
	s.must(err)
	if p.Rank != 0 {
		s.Error("a replaced row kept its change")
	}
	for _, ix := range parents.Indexes() {
		if n, err := s.Count(s.context(), store.Query{Index: ix}); err != nil || n != 3 {
			s.Errorf("%d rows by %s, %v", n, ix.Name(), err)
		}
	}
	for _, ix := range children.Indexes() {
		if n, err := s.Count(s.context(), store.Query{Index: ix}); err != nil || n != 0 {
			s.Errorf("%d children by %s, %v", n, ix.Name(), err)
		}
	}
}

func errorRollsBack(s *suite) {
	s.add(person(0), person(1), person(2))
	mine := errors.New("mine")
	err := s.update(func(ctx context.Context, tx store.Tx) error {
		s.must(changeAll(ctx, tx))
		return mine
	})
	s.want(err, mine)
	s.unchanged()
}

func panicRollsBack(s *suite) {
	s.add(person(0), person(1), person(2))
	func() {
		defer func() {
			if v := recover(); v != "mine" {
				s.Errorf("recovered %v, want the panic of the closure", v)
			}
		}()
		_ = s.update(func(ctx context.Context, tx store.Tx) error {
			if err := changeAll(ctx, tx); err != nil {
				return err
			}
			panic("mine")
		})
	}()
	s.unchanged()
	s.must(s.insert(person(3)))
}

func goexit(s *suite) {
	s.add(person(0), person(1), person(2))
	var group sync.WaitGroup
	var returned atomic.Bool
	group.Go(func() {
		_ = s.update(func(ctx context.Context, tx store.Tx) error {
			if err := changeAll(ctx, tx); err != nil {
				return err
			}
			runtime.Goexit()
			return nil
		})
		returned.Store(true)
	})
	group.Wait()
	if returned.Load() {
		s.Error("Update returned from runtime.Goexit")
	}
	s.unchanged()
	s.must(s.insert(person(3)))
}

func cancellation(s *suite) {
	s.add(person(0), person(1), person(2))
	ctx, cancel := context.WithCancel(s.context())
	err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		if err := changeAll(ctx, tx); err != nil {
			return err
		}
		cancel()
		s.want(parents.Insert(ctx, tx, person(4)), context.Canceled)
		return nil
	})
	s.want(err, context.Canceled)
	s.unchanged()

	ctx, cancel = context.WithCancel(s.context())
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		defer cancel() // between the last call and the end
		return changeAll(ctx, tx)
	})
	s.want(err, context.Canceled)
	s.unchanged()

	ran := false
	err = s.Update(ctx, func(context.Context, store.Tx) error { ran = true; return nil })
	s.want(err, context.Canceled)
	_, err = s.Get(ctx, byID, store.Text("id"))
	s.want(err, context.Canceled)
	if ran {
		s.Error("a closure ran under a context that had ended")
	}
}

func failureAmongOthers(s *suite) {
	var group sync.WaitGroup
	for n := range 64 {
		group.Go(func() {
			defer func() { _ = recover() }()
			ctx, cancel := context.WithCancel(s.context())
			if n == 31 {
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			}
			defer cancel()
			err := s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
				if err := parents.Insert(ctx, tx, person(n)); err != nil {
					return err
				}
				switch {
				case n == 31: // hangs until its deadline
					<-ctx.Done()
				case n%8 == 1:
					return errors.New("mine")
				case n%8 == 3:
					panic("mine")
				case n%8 == 5:
					runtime.Goexit()
				case n%8 == 7: // cancelled in the middle of a statement
					go cancel()
					for {
						if _, err := tx.List(ctx, store.Query{Index: byRank, Limit: 100}); err != nil {
							return err
						}
						if err := parents.Replace(ctx, tx, person(n)); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if (err == nil) != (n%2 == 0) {
				s.Errorf("writer %d: %v", n, err)
			}
		})
	}
	group.Wait()
	want := make([]bool, 64)
	for n := range want {
		want[n] = n%2 == 0
	}
	s.stands(want...)
}

func serializable(s *suite) {
	s.add(person(0), person(1))
	// Two rows of which one may be raised as long as the other is 0: only
	// serial execution keeps one at 0.
	raise := func(mine, other int) error {
		return s.update(func(ctx context.Context, tx store.Tx) error {
			o, err := parents.Get(ctx, tx, byID, store.Text(person(other).ID))
			if err != nil || o.Alive {
				return err
			}
			p, err := parents.Get(ctx, tx, byID, store.Text(person(mine).ID))
			if err != nil {
				return err
			}
			p.Alive = true
			return parents.Replace(ctx, tx, p)
		})
	}
	s.contend(nil, func(n int) error { return raise(n%2, 1-n%2) })
	a, err := s.get(0)
	s.must(err)
	b, err := s.get(1)
	s.must(err)
	if a.Alive == b.Alive {
		s.Errorf("write skew: both are %v", a.Alive)
	}
	// A counter that every writer reads and raises loses nothing.
	s.add(person(2))
	s.contend(nil, func(int) error {
		return s.update(func(ctx context.Context, tx store.Tx) error {
			p, err := parents.Get(ctx, tx, byID, store.Text(person(2).ID))
			if err != nil {
				return err
			}
			p.Rank++
			return parents.Replace(ctx, tx, p)
		})
	})
	c, err := s.get(2)
	s.must(err)
	if c.Rank != 2+64 {
		s.Errorf("counter at %d after 64 raises from 2", c.Rank)
	}
}

func realTimeOrder(s *suite) {
	for n := range 32 {
		s.add(person(n))
		if _, err := s.get(n); err != nil {
			s.Fatalf("read after Update returned: %v", err)
		}
		s.must(s.update(func(ctx context.Context, tx store.Tx) error {
			_, err := parents.Get(ctx, tx, byCode, store.Bytes(person(n).Code))
			return err
		}))
	}
}

func ownChanges(s *suite) {
	s.add(person(0), person(1), person(2))
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		s.must(changeAll(ctx, tx))
		rows, err := parents.List(ctx, tx, store.Query{Index: byRank, Limit: 10})
		if err != nil {
			return err
		}
		var ids []string
		for _, p := range rows {
			ids = append(ids, p.ID)
		}
		if want := []string{person(2).ID, person(5).ID, person(0).ID}; !slices.Equal(ids, want) {
			s.Errorf("listed %v inside, want %v", ids, want)
		}
		if n, err := tx.Count(ctx, store.Query{Index: children.Primary()}); err != nil || n != 1 {
			s.Errorf("counted %d children inside, %v", n, err)
		}
		if _, err := parents.Get(ctx, tx, byName, store.Text("moved")); err != nil {
			s.Errorf("by the new name: %v", err)
		}
		_, err = parents.Get(ctx, tx, byName, store.Text(person(0).Name))
		s.want(err, store.ErrNotFound)
		return nil
	}))
	s.standFrom(1, false, true, false, false, true)
}

func nested(s *suite) {
	other := newSuite(s.TB, s.open)
	var kept context.Context
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		kept = ctx
		s.want(s.Update(ctx, func(context.Context, store.Tx) error { return nil }), store.ErrNested)
		_, err := s.Get(ctx, byID, store.Text("id"))
		s.want(err, store.ErrNested)
		_, err = s.List(ctx, store.Query{Index: byRank, Limit: 1})
		s.want(err, store.ErrNested)
		_, err = s.Count(ctx, store.Query{Index: byRank})
		s.want(err, store.ErrNested)
		// Another store is no part of this transaction, and the mark is seen
		// through its closures.
		return other.Update(ctx, func(ctx context.Context, _ store.Tx) error {
			s.want(s.Update(ctx, func(context.Context, store.Tx) error { return nil }), store.ErrNested)
			return nil
		})
	}))
	_, err := s.Count(kept, store.Query{Index: byRank})
	s.must(err) // the closure is over
}

func keptTransaction(s *suite) {
	s.add(person(0))
	var kept store.Tx
	s.must(s.update(func(_ context.Context, tx store.Tx) error { kept = tx; return nil }))
	ctx := s.context()
	s.want(parents.Insert(ctx, kept, person(1)), store.ErrDone)
	s.want(parents.Replace(ctx, kept, person(0)), store.ErrDone)
	s.want(parents.Delete(ctx, kept, store.Text(person(0).ID)), store.ErrDone)
	_, err := kept.Get(ctx, byID, store.Text(person(0).ID))
	s.want(err, store.ErrDone)
	_, err = kept.List(ctx, store.Query{Index: byRank, Limit: 1})
	s.want(err, store.ErrDone)
	_, err = kept.Count(ctx, store.Query{Index: byRank})
	s.want(err, store.ErrDone)
	_, err = kept.DeleteRange(ctx, store.Query{Index: byRank, Limit: 1})
	s.want(err, store.ErrDone)
	s.stands(true, false)
}

// nameless returns three people without a name or a date of birth.
func nameless() []*parent {
	people := []*parent{person(10), person(11), person(12)}
	for _, p := range people {
		p.Name, p.Born = "", time.Time{}
	}
	return people
}

func nullsNeverCollide(s *suite) {
	s.add(nameless()...)
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		for n := range int64(3) { // the same number twice, beside a null
			c := child{ParentID: person(10).ID, Number: n}
			d := child{ParentID: person(11).ID, Number: n}
			if err := errors.Join(children.Insert(ctx, tx, &c), children.Insert(ctx, tx, &d)); err != nil {
				return err
			}
		}
		return nil
	}))
	if n, err := s.Count(s.context(), store.Query{Index: byLabel}); err != nil || n != 6 {
		s.Errorf("%d rows by an index of nulls, %v", n, err)
	}
}

func nullsFirst(s *suite) {
	s.add(person(1), person(0))
	s.add(nameless()...)
	want := []string{person(10).ID, person(11).ID, person(12).ID, person(0).ID, person(1).ID}
	for _, ix := range []*store.Index{byName, byBorn} {
		if got := s.ids(store.Query{Index: ix, Limit: 10}); !slices.Equal(got, want) {
			s.Errorf("by %s: %v, want %v", ix.Name(), got, want)
		}
		backwards := slices.Clone(want)
		slices.Reverse(backwards)
		if got := s.ids(store.Query{Index: ix, Limit: 10, Descending: true}); !slices.Equal(got, backwards) {
			s.Errorf("by %s descending: %v, want %v", ix.Name(), got, backwards)
		}
	}
}

func cursorOnNull(s *suite) {
	s.add(person(1), person(0))
	s.add(nameless()...)
	for _, ix := range []*store.Index{byName, byBorn, byRank, byCode, byID} {
		for _, descending := range []bool{false, true} {
			all, err := s.List(s.context(), store.Query{Index: ix, Limit: 10, Descending: descending})
			s.must(err)
			var walked []store.Row
			var after []store.Value
			for {
				page, err := s.List(s.context(), store.Query{Index: ix, Limit: 1, Descending: descending, After: after})
				s.must(err)
				if len(page) == 0 {
					break
				}
				walked = append(walked, page...)
				after = ix.Position(page[0])
			}
			if !slices.EqualFunc(all, walked, sameRow) {
				s.Errorf("by %s, descending %v: %d rows at once, %d one by one", ix.Name(), descending, len(all), len(walked))
			}
		}
	}
}

func sameRow(a, b store.Row) bool { return slices.Equal(a.Values(), b.Values()) }

func compareNull(s *suite) {
	s.add(person(0))
	s.add(nameless()...)
	_, err := s.Get(s.context(), byName, store.Null)
	s.want(err, store.ErrNotFound)
	for name, q := range map[string]store.Query{
		"equal": {Equal: []store.Value{store.Null}},
		"from":  {From: store.Including(store.Null)},
		"to":    {To: store.Including(store.Null)},
	} {
		q.Index, q.Limit = byBorn, 10
		if got := s.ids(q); len(got) != 0 {
			s.Errorf("%s null selects %v", name, got)
		}
	}
	everyone := store.Query{Index: byBorn, Limit: 10, To: store.Including(store.Time(time.UnixMicro(math.MaxInt64)))}
	if got := s.ids(everyone); !slices.Equal(got, []string{person(0).ID}) {
		s.Errorf("a bound selects %v; a null is on neither side of it", got)
	}
}

func textOrder(s *suite) {
	names := []string{"A", "B", "Z", "_", "a", "a a", "aA", "aa", "b", "z", "ä", "é", "ÿ", "中", "\U0001F600"}
	slices.Sort(names)
	for n, name := range names {
		p := person(len(names) - n)
		p.Name = name
		s.add(p)
	}
	people, err := parents.List(s.context(), s.Store, store.Query{Index: byName, Limit: 100})
	s.must(err)
	var got []string
	for _, p := range people {
		got = append(got, p.Name)
	}
	if !slices.Equal(got, names) {
		s.Errorf("order %q, want %q", got, names)
	}
	_, err = s.Get(s.context(), byName, store.Text("É"))
	s.want(err, store.ErrNotFound)
}

func badValues(s *suite) {
	for name, change := range map[string]func(p *parent){
		"NUL":                 func(p *parent) { p.Name = "a\x00b" },
		"invalid UTF-8":       func(p *parent) { p.Note = "a\xffb" },
		"key over MaxKey":     func(p *parent) { p.Name = strings.Repeat("x", store.MaxKey) },
		"clustering over key": func(p *parent) { p.Code = bytes.Repeat([]byte{0}, store.MaxKey+1) },
	} {
		p := person(0)
		change(p)
		if err := s.insert(p); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	p := person(0)
	p.ID, p.Name = "i", ""
	p.Code = bytes.Repeat([]byte{0}, store.MaxKey-len(p.ID))
	s.must(s.insert(p))

	row := parents.Row(person(1))
	swap := func(i int, v store.Value) store.Row {
		values := row.Values()
		values[i] = v
		return store.NewRow(values)
	}
	for name, bad := range map[string]store.Row{
		"wrong kind": swap(3, store.Text("1")),
		"null":       swap(0, store.Null),
		"short":      store.NewRow(row.Values()[1:]),
	} {
		err := s.update(func(ctx context.Context, tx store.Tx) error { return tx.Insert(ctx, parents.Table, bad) })
		if !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	ctx := s.context()
	_, err := s.Get(ctx, byRank, store.Int(1), store.Bool(false))
	s.want(err, store.ErrInvalid) // not unique
	_, err = s.Get(ctx, byID, store.Int(1))
	s.want(err, store.ErrInvalid)
	_, err = s.Get(ctx, byID)
	s.want(err, store.ErrInvalid)
	_, err = s.Get(ctx, byName, store.Text("a\x00b"))
	s.want(err, store.ErrInvalid)
	for name, q := range map[string]store.Query{
		"no index":           {Limit: 1},
		"negative limit":     {Index: byRank, Limit: -1},
		"limit over":         {Index: byRank, Limit: store.MaxLimit + 1},
		"range of nothing":   {Index: byID, Equal: []store.Value{store.Text("x")}, From: store.Including(store.Text("x")), Limit: 1},
		"kind of a bound":    {Index: byRank, From: store.Including(store.Text("x")), Limit: 1},
		"position too short": {Index: byRank, After: []store.Value{store.Int(1)}, Limit: 1},
		"position elsewhere": {
			Index: byRank, Equal: []store.Value{store.Int(1)}, Limit: 1,
			After: []store.Value{store.Int(2), store.Bool(false), store.Text("x")},
		},
	} {
		if _, err := s.List(ctx, q); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	stranger := store.Declare("strangers", (*child).bind, store.Keys{Primary: []string{"number"}})
	store.NewSchema("stranger", 1, stranger.Table)
	_, err = s.Get(ctx, stranger.Primary(), store.Int(1))
	s.want(err, store.ErrInvalid)
}

func badFilters(s *suite) {
	s.add(person(0))
	values := func(n int) []store.Value {
		out := make([]store.Value, n)
		for i := range out {
			out[i] = store.Text(person(i).ID)
		}
		return out
	}
	deep := store.Where("id", store.OpIsNotNull)
	for range store.MaxFilterDepth {
		deep = store.And(deep)
	}
	var many []store.Filter
	for range store.MaxFilterTerms + 1 {
		many = append(many, store.Where("id", store.OpIsNotNull))
	}
	for name, f := range map[string]store.Filter{
		"no operator":      {},
		"unknown operator": store.Where("id", "like", store.Text("x")),
		"unknown column":   store.Where("password", store.OpEqual, store.Text("x")),
		"no value":         store.Where("id", store.OpEqual),
		"two values":       store.Where("id", store.OpLessThan, values(2)...),
		"one end":          store.Where("id", store.OpBetween, values(1)...),
		"501 values":       store.Where("id", store.OpEqual, values(501)...),
		"wrong kind":       store.Where("rank", store.OpEqual, store.Text("1")),
		"NUL":              store.Where("id", store.OpContains, store.Text("a\x00")),
		"text of a number": store.Where("rank", store.OpStartsWith, store.Int(1)),
		"text of bytes":    store.Where("code", store.OpContains, store.BytesOf("x")),
		"empty and":        store.And(),
		"and on a column":  {Op: store.OpAnd, Column: "id", Filters: []store.Filter{store.Where("id", store.OpIsNull)}},
		"too deep":         deep,
		"too many":         store.Or(many...),
		"column by text":   store.Where("id OR 1 = 1 --", store.OpIsNull),
	} {
		if _, err := s.List(s.context(), store.Query{Index: byRank, Limit: 1, Where: []store.Filter{f}}); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	for name, q := range map[string]store.Query{
		"two cursors":     {After: byRank.Position(parents.Row(person(0))), Before: byRank.Position(parents.Row(person(1)))},
		"negative offset": {Offset: -1},
		"great offset":    {Offset: store.MaxOffset + 1},
		"short cursor":    {Before: []store.Value{store.Int(1)}},
	} {
		q.Index, q.Limit = byRank, 1
		if _, err := s.List(s.context(), q); !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: %v", name, err)
		}
	}
	most := store.Query{Index: byRank, Limit: 1, Where: []store.Filter{
		store.Where("id", store.OpEqual, values(500)...), store.Where("id", store.OpStartsWith, store.Text("id")), store.Or(many[:780]...),
	}}
	if got := s.ids(most); len(got) != 1 {
		s.Errorf("the greatest filter selects %v", got)
	}
	most.Where = []store.Filter{store.Where("id", store.OpContains, values(500)...), store.Where("note", store.OpNotContains, values(200)...)}
	if got := s.ids(most); len(got) != 1 {
		s.Errorf("the greatest text filter selects %v", got)
	}
}

func sweep(s *suite) {
	var people []*parent
	for n := range 1500 {
		people = append(people, person(n))
	}
	people = append(people, nameless()[0])
	people[1500].ID, people[1500].Code = "never", []byte("never") // has no time
	s.add(people...)
	counted := Count(s.Store)
	n, err := store.Sweep(s.context(), counted, byBorn, time.UnixMicro(1400))
	s.must(err)
	left, err := s.Count(s.context(), store.Query{Index: byID})
	s.must(err)
	if n != 1400 || left != 101 {
		s.Errorf("swept %d, %d are left", n, left)
	}
	if batches := counted.Updates.Load(); batches < 3 {
		s.Errorf("1400 rows in %d batches", batches)
	}
	if n, err := store.Sweep(s.context(), s.Store, byBorn, time.UnixMicro(1400)); n != 0 || err != nil {
		s.Errorf("swept %d again, %v", n, err)
	}
	_, err = store.Sweep(s.context(), s.Store, byRank, time.UnixMicro(1400))
	s.want(err, store.ErrInvalid)
	mine := errors.New("mine")
	n, err = store.Sweep(s.context(), FailNth(s.Store, 3, false, mine), byBorn, time.UnixMicro(9999))
	s.want(err, mine)
	rest, err := s.Count(s.context(), store.Query{Index: byID})
	s.must(err)
	if rest != left-n {
		s.Errorf("a sweep that failed says %d, and %d are gone", n, left-rest)
	}
}

func moves(s *suite) {
	var people []*parent
	for n := range 2300 {
		people = append(people, person(n))
	}
	s.add(append(people, &parent{ID: "null", Note: "[]"})...)
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		return children.Insert(ctx, tx, &child{ParentID: person(7).ID, Number: 1, Friend: person(8).Name})
	}))
	to := newSuite(s.TB, s.open)
	seen := make(map[string]int)
	s.must(store.Copy(s.context(), to.Store, s.Store, schema, func(table string, rows int) { seen[table] = rows }))
	if seen["parents"] != 2301 || seen["children"] != 1 {
		s.Errorf("progress ended at %v", seen)
	}
	for _, t := range schema.Tables() {
		for _, ix := range t.Indexes() {
			a, err := s.List(s.context(), store.Query{Index: ix, Limit: store.MaxLimit})
			s.must(err)
			b, err := to.List(s.context(), store.Query{Index: ix, Limit: store.MaxLimit})
			s.must(err)
			if !slices.EqualFunc(a, b, sameRow) {
				s.Errorf("%s.%s: %d rows became %d", t.Name(), ix.Name(), len(a), len(b))
			}
		}
	}
	s.want(store.Copy(s.context(), to.Store, s.Store, schema, nil), store.ErrNotEmpty)
	third := newSuite(s.TB, s.open)
	err := store.Copy(s.context(), third.Store, s.Store, schema, func(table string, rows int) {
		if table == "children" { // somebody writes to what was copied
			p := person(0)
			p.Rank = 999_999
			s.must(s.update(func(ctx context.Context, tx store.Tx) error { return parents.Replace(ctx, tx, p) }))
		}
	})
	s.want(err, store.ErrChanged)
}

func times(s *suite) {
	zone := time.FixedZone("east", 3600)
	p := person(0)
	p.Born = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, zone)
	s.add(p)
	got, err := s.get(0)
	s.must(err)
	if want := p.Born.Truncate(time.Microsecond).UTC(); got.Born != want {
		s.Errorf("time came back as %v, want %v", got.Born, want)
	}
}

func roundTrip(s *suite) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	people := []*parent{
		{ID: "a", Code: every, Name: "é\U0001F600\n\t", Rank: math.MaxInt64, Born: time.UnixMicro(math.MaxInt64 / 2).UTC(), Alive: true, Note: `{"a":[1]}`},
		{ID: "b", Code: []byte{0}, Name: "n", Rank: math.MinInt64, Born: time.UnixMicro(-1).UTC()},
		{ID: "c", Code: []byte{}, Rank: -1, Note: strings.Repeat("x", 100_000)},
	}
	s.add(people...)
	check := func(when string) {
		for _, want := range people {
			got, err := parents.Get(s.context(), s.Store, byCode, store.Bytes(want.Code))
			if err != nil {
				s.Errorf("%s: %s: %v", when, want.ID, err)
			} else if !sameRow(parents.Row(got), parents.Row(want)) {
				s.Errorf("%s: %s came back as %+v", when, want.ID, got)
			}
		}
	}
	check("at once")
	if s.reopen() {
		check("after a reopen")
	}
}

func listOrder(s *suite) {
	for _, n := range []int{5, 3, 1, 4, 2, 0} {
		p := person(n)
		p.Rank = int64(n % 2) // equal keys: the primary key decides
		s.add(p)
	}
	id := func(ns ...int) (out []string) {
		for _, n := range ns {
			out = append(out, person(n).ID)
		}
		return out
	}
	for name, test := range map[string]struct {
		q    store.Query
		want []string
	}{
		"all":        {store.Query{Index: byRank, Limit: 10}, id(0, 2, 4, 1, 3, 5)},
		"descending": {store.Query{Index: byRank, Limit: 10, Descending: true}, id(5, 3, 1, 4, 2, 0)},
		"equal":      {store.Query{Index: byRank, Equal: []store.Value{store.Int(1)}, Limit: 10}, id(1, 3, 5)},
		"limit":      {store.Query{Index: byRank, Limit: 2}, id(0, 2)},
		"after": {store.Query{Index: byRank, Limit: 2, After: []store.Value{store.Int(0), store.Bool(false), store.Text(person(2).ID)}},
			id(4, 1)},
		"after the gone": {store.Query{Index: byID, Limit: 2, After: []store.Value{store.Text(person(2).ID + "x")}}, id(3, 4)},
		"range":          {store.Query{Index: byID, Limit: 9, From: store.Including(store.Text(person(2).ID)), To: store.Excluding(store.Text(person(4).ID))}, id(2, 3)},
		"open range":     {store.Query{Index: byID, Limit: 9, From: store.Excluding(store.Text(person(2).ID)), To: store.Including(store.Text(person(4).ID))}, id(3, 4)},
	} {
		if got := s.ids(test.q); !slices.Equal(got, test.want) {
			s.Errorf("%s: %v, want %v", name, got, test.want)
		}
		n, err := s.Count(s.context(), test.q)
		if test.q.After == nil && (err != nil || n != len(test.want)) {
			s.Errorf("%s: counted %d, %v", name, n, err)
		}
	}
	_, err := s.List(s.context(), store.Query{Index: byRank})
	s.want(err, store.ErrInvalid)
}

func replaceMoves(s *suite) {
	s.add(person(0), person(1))
	old := person(0)
	p := person(0)
	p.Code, p.Name, p.Rank, p.Born = []byte("new code"), "", -5, time.Time{}
	replace := func(p *parent) {
		s.must(s.update(func(ctx context.Context, tx store.Tx) error { return parents.Replace(ctx, tx, p) }))
	}
	replace(p)
	ctx := s.context()
	for ix, key := range map[*store.Index]store.Value{byCode: store.Bytes(old.Code), byName: store.Text(old.Name)} {
		_, err := s.Get(ctx, ix, key)
		s.want(err, store.ErrNotFound)
	}
	got, err := parents.Get(ctx, s.Store, byCode, store.Bytes(p.Code))
	s.must(err)
	if !sameRow(parents.Row(got), parents.Row(p)) {
		s.Errorf("replaced row is %+v", got)
	}
	want := []string{person(0).ID, person(1).ID}
	for _, ix := range []*store.Index{byID, byName, byRank, byBorn} {
		if got := s.ids(store.Query{Index: ix, Limit: 10}); !slices.Equal(got, want) {
			s.Errorf("by %s: %v", ix.Name(), got)
		}
	}
	replace(old)
	s.stands(true, true)
}

func deleteRange(s *suite) {
	var people []*parent
	for n := range 20 {
		people = append(people, person(n))
	}
	s.add(people...)
	q := store.Query{Index: byRank, From: store.Including(store.Int(5)), To: store.Excluding(store.Int(15)), Limit: 4}
	for _, want := range []int{4, 4, 2, 0} {
		s.must(s.update(func(ctx context.Context, tx store.Tx) error {
			shown, err := tx.List(ctx, q)
			if err != nil {
				return err
			}
			n, err := tx.DeleteRange(ctx, q)
			if n != want || len(shown) != want {
				s.Errorf("deleted %d, listed %d, want %d", n, len(shown), want)
			}
			return err
		}))
	}
	there := make([]bool, 20)
	for n := range there {
		there[n] = n < 5 || n >= 15
	}
	s.stands(there...)
}

func descendingAfterDelete(s *suite) {
	var people []*parent
	for n := range 1000 {
		people = append(people, person(n))
	}
	s.add(people...)
	both := func(ctx context.Context, tx store.Tx, want int) {
		for _, ix := range parents.Indexes() {
			up, err := tx.List(ctx, store.Query{Index: ix, Limit: 1000})
			s.must(err)
			down, err := tx.List(ctx, store.Query{Index: ix, Limit: 1000, Descending: true})
			s.must(err)
			slices.Reverse(down)
			if len(up) != want || !slices.EqualFunc(up, down, sameRow) {
				s.Errorf("by %s: %d rows up and %d down, want %d", ix.Name(), len(up), len(down), want)
			}
		}
	}
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		q := store.Query{Index: byRank, From: store.Including(store.Int(300)), To: store.Excluding(store.Int(700)), Limit: 1000}
		if _, err := tx.DeleteRange(ctx, q); err != nil {
			return err
		}
		both(ctx, tx, 600)
		_, err := tx.DeleteRange(ctx, store.Query{Index: byRank, Limit: 1000, Descending: true})
		both(ctx, tx, 0)
		return err
	}))
}

func rowsBelongToCaller(s *suite) {
	s.add(person(0))
	p, err := s.get(0)
	s.must(err)
	p.Code[0] = 'X'
	row, err := s.Get(s.context(), byID, store.Text(p.ID))
	s.must(err)
	values := row.Values()
	values[0] = store.Text("X")
	s.stands(true)
	code := []byte("mine")
	q := person(1)
	q.Code = code
	s.add(q)
	code[0] = 'X'
	if _, err := s.Get(s.context(), byCode, store.Text("mine")); !errors.Is(err, store.ErrInvalid) {
		s.Errorf("text for bytes: %v", err)
	}
	if _, err := s.Get(s.context(), byCode, store.Bytes([]byte("mine"))); err != nil {
		s.Errorf("a caller's slice is a stored row's: %v", err)
	}
}

func closed(s *suite) {
	place := s.open(s.TB, schema)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			for {
				err := place.Store.Update(s.context(), func(ctx context.Context, tx store.Tx) error {
					err := parents.Insert(ctx, tx, person(n))
					if err == nil {
						err = parents.Delete(ctx, tx, store.Text(person(n).ID))
					}
					return err
				})
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil {
					s.Errorf("while closing: %v", err)
					return
				}
			}
		})
	}
	s.must(place.Store.Close())
	group.Wait()
	s.must(place.Store.Close())
	ctx := s.context()
	_, err := place.Store.Get(ctx, byID, store.Text("id"))
	s.want(err, store.ErrClosed)
	_, err = place.Store.List(ctx, store.Query{Index: byRank, Limit: 1})
	s.want(err, store.ErrClosed)
	_, err = place.Store.Count(ctx, store.Query{Index: byRank})
	s.want(err, store.ErrClosed)
	s.want(place.Store.Update(ctx, func(context.Context, store.Tx) error { return nil }), store.ErrClosed)
}

func reopened(s *suite) {
	s.add(person(0), person(1), person(2))
	s.must(s.update(changeAll))
	if !s.reopen() {
		return
	}
	s.standFrom(1, false, true, false, false, true)
	p, err := parents.Get(s.context(), s.Store, byName, store.Text("moved"))
	s.must(err)
	if p.ID != person(0).ID {
		s.Errorf("the moved row is %s", p.ID)
	}
	s.want(s.insert(person(5)), store.ErrExists)
	s.must(s.insert(person(6)))
}
