package errands

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// Four errands run at once, and the others wait for them.
func TestFourErrandsRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		began, end := make(chan struct{}, waiting), make(chan struct{})
		for range 6 {
			if !e.Do(func(context.Context) { began <- struct{}{}; <-end }) {
				t.Error("an errand is refused")
			}
		}
		synctest.Wait()
		if len(began) != 4 {
			t.Errorf("%d errands run", len(began))
		}
		close(end)
		if err := e.Close(t.Context()); err != nil || len(began) != 6 {
			t.Errorf("%v, %d have run", err, len(began))
		}
		if e.Do(func(context.Context) {}) {
			t.Error("an errand runs after Close")
		}
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	})
}

func TestErrandsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		end := make(chan struct{})
		for i := range 256 {
			if !e.Do(func(context.Context) { <-end }) {
				t.Fatalf("errand %d is refused", i)
			}
		}
		if e.Do(func(context.Context) {}) {
			t.Error("one more is taken")
		}
		close(end)
		synctest.Wait()
		if !e.Do(func(context.Context) {}) {
			t.Error("none is taken after the others have ended")
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A Close whose time is over ends the context of errands, also of those that wait.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		ran := make(chan struct{}, waiting)
		for range 5 {
			e.Do(func(ctx context.Context) { ran <- struct{}{}; <-ctx.Done() })
		}
		synctest.Wait()
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Close(over); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		if len(ran) != 5 {
			t.Errorf("%d have run", len(ran))
		}
	})
}

func TestCloseWithoutErrands(t *testing.T) {
	if err := New().Close(t.Context()); err != nil {
		t.Error(err)
	}
}
