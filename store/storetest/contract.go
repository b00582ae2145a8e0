package storetest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/latchkey/store"
)

// contract has the tests of the list in the documentation of package store, line
// by line.
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
	{"ReferencesHoldAfterEveryCall", referencesHoldAfterEveryCall},
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
	{"ViewIsOneSnapshot", snapshot},
	{"ViewIsOfItsMoment", viewIsOfItsMoment},
	{"ViewsAndWritersGoOnTogether", viewsAmongWriters},
	{"ViewLeavesNothingBehind", viewEnds},
	{"ViewHidesNoError", viewHidesNoError},
	{"NestedUseOfAViewIsRefused", nestedView},
	{"ReaderEndsWithItsView", keptReader},
	{"CloseWaitsForAView", closeWaits},
	{"InsertAllIsInsertOfEach", insertAll},
	{"InsertAllGoesWithOtherChanges", insertAllAmongChanges},
	{"InsertAllRefusesWhatInsertRefuses", insertAllRefused},
	{"InsertAllRollsBack", insertAllRollsBack},
	{"InsertAllHasOneWinner", insertAllWinner},
	{"RowsAreNumberedInTheirOrder", numberedInOrder},
	{"ANumberThatIsGivenStays", numbersThatAreGiven},
	{"NumbersThatAreGivenSetNoOthersBack", numbersThatAreGivenAtOnce},
	{"NumbersRiseAmongUpdatesAtOnce", numberedAtOnce},
	{"NullsNeverCollide", nullsNeverCollide},
	{"NullsAreListedFirst", nullsFirst},
	{"CursorMayStandOnANull", cursorOnNull},
	{"ComparingWithNullSelectsNothing", compareNull},
	{"TextComparesBytewise", textOrder},
	{"BadValuesAreRefused", badValues},
	{"TimesAreMicroseconds", times},
	{"ValuesComeBackAsTheyWent", roundTrip},
	{"ListIsOrderedAndNeedsALimit", listOrder},
	{"SomeValuesOfAUniqueIndexAreListedOnce", someValues},
	{"ReplaceMovesEveryIndex", replaceMoves},
	{"DeleteRangeTakesWhatListShows", deleteRange},
	{"DescendingSeesDeletionsOfItsTransaction", descendingAfterDelete},
	{"BadFiltersAreRefused", badFilters},
	{"ParentComesWithItsChild", both},
	{"ChildAndParentAreOfOneMoment", oneMoment},
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
	// A reference with a null names no parent, not even a parent without a name.
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
		p.Rank = 7 // no child refers to it
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

// contend runs fn in 64 goroutines at once and returns how many of them got nil.
// The others must get target.
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
	var got, deleted, replaced error // of the last run
	s.must(s.update(func(ctx context.Context, tx store.Tx) error {
		_, got = parents.Get(ctx, tx, byID, store.Text("nobody"))
		deleted = parents.Delete(ctx, tx, store.Text("nobody"))
		replaced = parents.Replace(ctx, tx, person(9))
		return parents.Insert(ctx, tx, person(0))
	}))
	for _, err := range []error{got, deleted, replaced} {
		s.want(err, store.ErrNotFound)
	}
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
		var failed, inserted, got error // of the last run
		err := s.update(func(ctx context.Context, tx store.Tx) error {
			if err := parents.Insert(ctx, tx, person(1)); err != nil {
				return err
			}
			failed = fail(ctx, tx)
			inserted = parents.Insert(ctx, tx, person(2))
			_, got = parents.Get(ctx, tx, byID, store.Text(person(0).ID))
			return nil // hides the error
		})
		if failed == nil {
			s.Errorf("%s: no error", name)
		}
		s.want(inserted, store.ErrAborted)
		s.want(got, store.ErrAborted)
		if err == nil {
			s.Errorf("%s: the closure hid the error", name)
		}
		s.stands(true, false, false)
	}
}

// changeAll makes one change of every kind.
func changeAll(ctx context.Context, tx store.Tx) error {
	p := person(0)
	p.Code, p.Name, p.Rank = []byte("moved"), "moved", 99
	for _, err := range []error{
		parents.Insert(ctx, tx, person(5)),
		children.Insert(ctx, tx, &child{ParentID: person(5).ID, Number: 1, Friend: person(2).Name, Label: "x"}),
		children.InsertAll(ctx, tx, []*child{{ParentID: person(5).ID, Number: 2}, {ParentID: person(2).ID, Number: 2, Label: "x"}}),
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
	// Of two rows, one may be set as long as the other is not. Only serial
	// execution keeps one of them unset.
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
	// A counter that every writer reads and raises loses no raise.
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
		if n, err := tx.Count(ctx, store.Query{Index: children.Primary()}); err != nil || n != 3 {
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
		// Another store may be used here. Inside its closure, the first store
		// still notices the nesting.
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
