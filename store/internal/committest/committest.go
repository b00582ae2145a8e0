// Package committest has the tests of the option OnCommit, for the stores that have it.
package committest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey/store"
)

// OnCommit is the option that is tested.
type OnCommit = func(updates int, took time.Duration)

// Open opens the store in a file, and makes the file if it is missing.
type Open func(path string, schema *store.Schema, onCommit OnCommit) (store.Store, error)

type word struct{ Text string }

func (w *word) bind(b *store.Binder) { b.Text("text", &w.Text) }

var (
	words  = store.Declare("words", (*word).bind, store.Keys{Primary: []string{"text"}})
	schema = store.NewSchema("words", 1, words.Table)
)

// Run tests a store.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"an Update alone is told as one", alone},
		{"Updates that waited share a commit", shared},
		{"an Update that was rolled back does not count", rolledBack},
		{"a transaction without an Update to keep is not told", nothingKept},
		{"reads are not told", reads},
		{"opening is not told", opening},
		{"the time is that of the transaction", times},
		{"no answer waits for OnCommit", answersFirst},
		{"Close waits for OnCommit", closing},
		{"a panic of OnCommit is dropped", func(t *testing.T, open Open) { failing(t, open, func() { panic("a mistake of the host") }) }},
		{"the writer outlives a Goexit of OnCommit", func(t *testing.T, open Open) { failing(t, open, runtime.Goexit) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test.run(t, open) })
		})
	}
}

// told is a store with its commits.
type told struct {
	store.Store
	t       *testing.T
	updates []int // to be read after close
	took    []time.Duration
}

// begin opens a store that notes its commits, and then calls more, unless it is nil.
func begin(t *testing.T, open Open, more func()) *told {
	t.Helper()
	s := &told{t: t}
	var err error
	s.Store, err = open(filepath.Join(t.TempDir(), "test.db"), schema, func(updates int, took time.Duration) {
		s.updates, s.took = append(s.updates, updates), append(s.took, took)
		if more != nil {
			more()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// end closes the store and compares the commits.
func (s *told) end(want ...int) {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Error(err)
	}
	if !slices.Equal(s.updates, want) {
		s.t.Errorf("commits of %v Updates, want %v", s.updates, want)
	}
}

func (s *told) add(text string) error {
	return s.Update(s.t.Context(), func(ctx context.Context, tx store.Tx) error {
		return words.Insert(ctx, tx, &word{text})
	})
}

func (s *told) mustAdd(text string) {
	s.t.Helper()
	if err := s.add(text); err != nil {
		s.t.Error(err)
	}
}

// hold makes the next Updates wait until release is called, which returns the answer of the
// Update that has held them.
func (s *told) hold(answer error) (release func() error) {
	free, held := make(chan struct{}), make(chan error, 1)
	go func() {
		held <- s.Update(s.t.Context(), func(context.Context, store.Tx) error { <-free; return answer })
	}()
	synctest.Wait()
	return func() error { close(free); return <-held }
}

// together runs calls that wait for one another, in their order.
func (s *told) together(first error, calls ...func() error) []error {
	s.t.Helper()
	release := s.hold(first)
	answers := make([]error, len(calls))
	var group sync.WaitGroup
	for i, call := range calls {
		group.Go(func() { answers[i] = call() })
		synctest.Wait()
	}
	if err := release(); !errors.Is(err, first) {
		s.t.Error(err)
	}
	group.Wait()
	return answers
}

func alone(t *testing.T, open Open) {
	s := begin(t, open, nil)
	s.mustAdd("a")
	s.mustAdd("b")
	s.end(1, 1)
}

func shared(t *testing.T, open Open) {
	s := begin(t, open, nil)
	var calls []func() error
	for i := range 20 {
		calls = append(calls, func() error { return s.add(fmt.Sprint(i)) })
	}
	if err := errors.Join(s.together(nil, calls...)...); err != nil {
		t.Error(err)
	}
	s.end(1, 20)
}

var errMine = errors.New("an error of the closure")

// refuse is an Update that adds a word and then fails.
func (s *told) refuse(text string) error {
	return s.Update(s.t.Context(), func(ctx context.Context, tx store.Tx) error {
		return errors.Join(words.Insert(ctx, tx, &word{text}), errMine)
	})
}

// panics is an Update that panics. It returns errMine.
func (s *told) panics() (err error) {
	defer func() {
		if recover() != nil {
			err = errMine
		}
	}()
	return s.Update(s.t.Context(), func(context.Context, store.Tx) error { panic("a mistake of the closure") })
}

func rolledBack(t *testing.T, open Open) {
	s := begin(t, open, nil)
	answers := s.together(nil,
		func() error { return s.add("a") },
		func() error { return s.refuse("b") },
		func() error { return s.add("a") },
		s.panics,
		func() error { return s.add("b") },
	)
	for i, want := range []error{nil, errMine, store.ErrExists, errMine, nil} {
		if !errors.Is(answers[i], want) {
			t.Errorf("answer %d: %v", i, answers[i])
		}
	}
	s.end(1, 2)
}

func nothingKept(t *testing.T, open Open) {
	s := begin(t, open, nil)
	refuse := func() error { return s.refuse("a") }
	for _, err := range append(s.together(errMine, refuse, refuse), s.panics()) {
		if !errors.Is(err, errMine) {
			t.Error(err)
		}
	}
	s.end()
}

func reads(t *testing.T, open Open) {
	s := begin(t, open, nil)
	s.mustAdd("a")
	ctx, key, all := t.Context(), store.Text("a"), store.Query{Index: words.Primary(), Limit: 10}
	look := func(ctx context.Context, r store.Reader) error {
		_, err := r.Get(ctx, words.Primary(), key)
		_, listed := r.List(ctx, all)
		_, counted := r.Count(ctx, all)
		return errors.Join(err, listed, counted)
	}
	err := errors.Join(look(ctx, s.Store), s.View(ctx, look), s.Store.(store.Checker).Check(ctx), s.Store.(store.Tidier).Tidy(ctx))
	if err != nil {
		t.Error(err)
	}
	s.end(1)
}

// Opening makes the tables, and opens a file that has them already.
func opening(t *testing.T, open Open) {
	path := filepath.Join(t.TempDir(), "test.db")
	for range 2 {
		s, err := open(path, schema, func(updates int, _ time.Duration) { t.Errorf("a commit of %d", updates) })
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The clock is that of the bubble, which stands still while the store works.
func times(t *testing.T, open Open) {
	s := begin(t, open, nil)
	sleep := func(d time.Duration) func() error {
		return func() error {
			return s.Update(t.Context(), func(context.Context, store.Tx) error { time.Sleep(d); return nil })
		}
	}
	if err := sleep(time.Second)(); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Hour) // between transactions
	if err := errors.Join(s.together(nil, sleep(2*time.Second), sleep(3*time.Second))...); err != nil {
		t.Error(err)
	}
	s.end(1, 1, 2)
	if want := []time.Duration{time.Second, 0, 5 * time.Second}; !slices.Equal(s.took, want) {
		t.Errorf("%v, want %v", s.took, want)
	}
}

func answersFirst(t *testing.T, open Open) {
	release := make(chan struct{})
	s := begin(t, open, func() { <-release })
	s.mustAdd("a") // a deadlock if it waits
	close(release)
	s.end(1)
}

func closing(t *testing.T, open Open) {
	release, closed := make(chan struct{}), make(chan error, 1)
	s := begin(t, open, func() { <-release })
	s.mustAdd("a")
	go func() { closed <- s.Close() }()
	synctest.Wait()
	select {
	case err := <-closed:
		t.Error("closed before OnCommit has returned", err)
		closed <- err
	default:
	}
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	s.end(1)
}

// failing tests that the end of OnCommit takes no answer, no row and no further call.
func failing(t *testing.T, open Open, fail func()) {
	s := begin(t, open, fail)
	add := func(text string) func() error { return func() error { return s.add(text) } }
	if err := errors.Join(s.together(nil, add("a"), add("b"), add("c"))...); err != nil {
		t.Error(err)
	}
	s.mustAdd("d")
	if n, err := s.Count(t.Context(), store.Query{Index: words.Primary()}); n != 4 || err != nil {
		t.Error(n, err)
	}
	s.end(1, 3, 1)
}
