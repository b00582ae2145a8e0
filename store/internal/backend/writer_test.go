package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/store"
)

// ledger is a database of one list, to which closures append.
type ledger struct {
	kept               []string
	commits            int
	commitErr, undoErr error
	panicIn            string // from the first shared batch on
	shared             bool
	openBusy           int
}

type ledgerBatch struct {
	store.Tx
	*ledger
	all  []string
	mark int
}

func (l *ledger) open(bool) (Batch, error) {
	if l.openBusy > 0 {
		l.openBusy--
		return nil, ErrBusy
	}
	return &ledgerBatch{ledger: l, all: slices.Clone(l.kept)}, l.fault("open")
}

func (l *ledger) fault(in string) error {
	if l.shared && l.panicIn == in {
		panic("database panics in " + in)
	}
	return nil
}

func (b *ledgerBatch) Begin() error { b.mark = len(b.all); return b.fault("begin") }
func (b *ledgerBatch) Keep() error  { return b.fault("keep") }
func (b *ledgerBatch) Undo() error {
	b.all = b.all[:b.mark]
	err := b.undoErr
	b.undoErr = nil
	return errors.Join(err, b.fault("undo"))
}

func (b *ledgerBatch) Commit() error {
	b.commits++
	if err := b.fault("commit"); err != nil || b.commitErr != nil {
		return errors.Join(err, b.commitErr)
	}
	b.kept = b.all
	return nil
}
func (b *ledgerBatch) Rollback() {}

func add(word string) func(store.Tx) error {
	return func(tx store.Tx) error {
		b := tx.(*ledgerBatch)
		if slices.Contains(b.all, word) {
			return store.ErrExists
		}
		b.all = append(b.all, word)
		return nil
	}
}

// together runs closures in one batch, in order, and returns their answers.
func together(t *testing.T, l *ledger, bodies ...func(store.Tx) error) []error {
	return togetherIn(t, l, l.open, nil, bodies...)
}

// togetherIn is together with the batches of open and with onCommit.
func togetherIn(t *testing.T, l *ledger, open func(bool) (Batch, error), onCommit func(int, time.Duration), bodies ...func(store.Tx) error) (answers []error) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWriter(open, onCommit)
		answers = make([]error, len(bodies))
		var group sync.WaitGroup
		held, release := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		group.Go(func() { // keeps the writer busy until all others wait
			_ = w.Update(ctx, func(store.Tx) error { close(held); <-release; return errors.New("not kept") })
		})
		<-held
		for i, body := range bodies {
			group.Go(func() {
				defer func() {
					if v := recover(); v != nil {
						answers[i] = errors.New("panic")
					}
				}()
				answers[i] = errors.New("goexit")
				answers[i] = w.Update(context.Background(), body)
			})
			synctest.Wait()
		}
		l.shared = true
		close(release)
		group.Wait()
		cancel()
		w.Close()
	})
	return answers
}

func TestWaitingClosuresShareOneCommit(t *testing.T) {
	l := &ledger{}
	answers := together(t, l, add("a"), add("b"), add("a"), add("c"))
	if l.commits != 1 || !slices.Equal(l.kept, []string{"a", "b", "c"}) || errors.Join(answers[0], answers[1], answers[3]) != nil || answers[2] != store.ErrExists {
		t.Errorf("%d commits, kept %v, answers %v", l.commits, l.kept, answers)
	}
}

// A part that cannot be undone loses its batch, but not the work of the other
// callers.
func TestLostBatchRunsAgainForTheOthers(t *testing.T) {
	l := &ledger{undoErr: errors.New("lost")}
	mine := errors.New("mine")
	answers := together(t, l, add("a"), add("a"), func(store.Tx) error { return mine }, add("b"))
	if !errors.Is(answers[2], mine) || errors.Join(answers[0], answers[3]) != nil || answers[1] != store.ErrExists {
		t.Errorf("answers %v", answers)
	}
	if !slices.Equal(l.kept, []string{"a", "b"}) {
		t.Errorf("kept %v: an acknowledged change is gone", l.kept)
	}
}

// A closure failed because of another closure's change in the batch. If that
// change is not kept, the first closure gets the error of the commit instead.
func TestRefusalOnWhatWasNotKept(t *testing.T) {
	disk := errors.New("disk")
	answers := together(t, &ledger{commitErr: disk}, add("a"), add("a"))
	if !errors.Is(answers[0], disk) || !errors.Is(answers[1], disk) {
		t.Errorf("answers %v", answers)
	}
}

func TestPanicOfTheDatabaseIsAnError(t *testing.T) {
	for _, in := range []string{"open", "begin", "keep", "undo", "commit"} {
		l := &ledger{panicIn: in}
		mine := errors.New("mine")
		answers := together(t, l, add("a"), func(store.Tx) error { return mine })
		if in != "undo" && !errors.Is(answers[0], store.ErrDamaged) {
			t.Errorf("in %s: %v", in, answers[0])
		}
		if in == "undo" && (answers[0] != nil || !errors.Is(answers[1], mine)) {
			t.Errorf("in undo: %v", answers)
		}
	}
}

func TestBusyDatabaseIsAskedAgain(t *testing.T) {
	l := &ledger{openBusy: 3}
	if answers := together(t, l, add("a")); answers[0] != nil || len(l.kept) != 1 {
		t.Errorf("%v", answers)
	}
}

func TestPanicStaysWithItsCaller(t *testing.T) {
	l := &ledger{}
	answers := together(t, l, add("a"), func(tx store.Tx) error { _ = add("b")(tx); panic("mine") }, add("c"))
	if answers[1] == nil || answers[1].Error() != "panic" || !slices.Equal(l.kept, []string{"a", "c"}) {
		t.Errorf("kept %v, answers %v", l.kept, answers)
	}
}

type slowClose struct {
	Driver
	closed atomic.Bool
}

func (s *slowClose) Close() error { s.closed.Store(true); return nil }

func TestConcurrentCloseWaitsForTheFirst(t *testing.T) {
	for range 2000 {
		d := &slowClose{}
		s := New(d, nil)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if err := s.Close(); err != nil || !d.closed.Load() {
					t.Errorf("closed before it was: %v", err)
				}
			})
		}
		group.Wait()
	}
}

func TestWaitingCallerLeavesWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		w := NewWriter(l.open, nil)
		held, release := make(chan struct{}), make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() {
			if err := w.Update(context.Background(), func(store.Tx) error { close(held); <-release; return nil }); err != nil {
				t.Error(err)
			}
		})
		<-held
		ctx, cancel := context.WithCancel(context.Background())
		answer := make(chan error, 1)
		ran := false
		go func() { answer <- w.Update(ctx, func(store.Tx) error { ran = true; return nil }) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-answer:
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		default:
			t.Error("the caller still waits behind another's closure")
		}
		close(release)
		group.Wait()
		w.Close()
		if ran {
			t.Error("a closure ran for a caller who had left")
		}
	})
}

// More closures may wait than one batch takes.
func TestMoreThanABatch(t *testing.T) {
	l := &ledger{}
	bodies := make([]func(store.Tx) error, 0, maxBatch+50)
	for n := range maxBatch + 50 {
		bodies = append(bodies, add(fmt.Sprint(n)))
	}
	if err := errors.Join(together(t, l, bodies...)...); err != nil || len(l.kept) != maxBatch+50 || l.commits != 2 {
		t.Errorf("%d kept in %d commits, %v", len(l.kept), l.commits, err)
	}
}

// commits notes calls of onCommit.
type commits []string

func (c *commits) told(updates int, took time.Duration) {
	*c = append(*c, fmt.Sprint(updates, " in ", took))
}

func TestACommitThatFailsIsNotTold(t *testing.T) {
	for name, l := range map[string]*ledger{
		"an error":        {commitErr: errors.New("disk")},
		"unknown outcome": {commitErr: store.ErrUnknownOutcome},
		"a panic":         {panicIn: "commit", shared: true},
	} {
		var c commits
		w := NewWriter(l.open, c.told)
		if err := w.Update(t.Context(), add("a")); err == nil {
			t.Errorf("%s: no error", name)
		}
		w.Close()
		if c != nil {
			t.Errorf("%s: told %q", name, c)
		}
	}
}

// If the commit of a batch is refused because of one closure, each closure runs again, alone.
func TestCommitsOfALostBatchAreToldOneByOne(t *testing.T) {
	var c commits
	p := &picky{&ledger{}, "bad"}
	answers := togetherIn(t, p.ledger, p.open, c.told, addPicky("a"), addPicky("bad"), addPicky("b"))
	if answers[0] != nil || !errors.Is(answers[1], store.ErrReference) || answers[2] != nil {
		t.Errorf("answers %v", answers)
	}
	if want := (commits{"1 in 0s", "1 in 0s"}); !slices.Equal(c, want) {
		t.Errorf("told %q, want %q", c, want)
	}
}

func TestTheWaitForAnotherProcessIsNoTimeOfACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c commits
		l := &ledger{openBusy: 3}
		w := NewWriter(l.open, c.told)
		if err := w.Update(t.Context(), func(store.Tx) error { time.Sleep(time.Second); return nil }); err != nil {
			t.Error(err)
		}
		w.Close()
		if want := (commits{"1 in 1s"}); !slices.Equal(c, want) {
			t.Errorf("told %q, want %q", c, want)
		}
	})
}
