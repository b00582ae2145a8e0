package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// A connection whose read transaction cannot be ended is closed, so that the log does not
// grow for it for ever.
func TestViewThatCannotEndLosesItsConnection(t *testing.T) {
	s, err := openFile(filepath.Join(t.TempDir(), "test.db"), Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 * viewers {
		err := s.View(t.Context(), func(r store.Reader) error {
			_, err := r.(snapshot).conn.exec(background, "COMMIT")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range viewers {
		if c := <-s.views.free; c != nil {
			t.Error("the connection is used again")
		}
		s.views.free <- nil
	}
}

// Open Views take no connection from the other reads. One View more than there are
// connections for waits until its context ends.
func TestOpenViewsLeaveTheOtherReadsAlone(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	q := store.Query{Index: record.Failures.Primary()}
	var open func(n int) error
	open = func(n int) error {
		if n < viewers {
			return s.View(t.Context(), func(context.Context, store.Reader) error { return open(n + 1) })
		}
		if _, err := s.Count(t.Context(), q); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error)
		go func() { answer <- s.View(ctx, func(context.Context, store.Reader) error { return nil }) }()
		cancel()
		return <-answer
	}
	if err := open(0); !errors.Is(err, context.Canceled) {
		t.Errorf("a View more than there are connections for: %v", err)
	}
}
