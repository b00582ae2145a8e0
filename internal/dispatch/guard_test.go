package dispatch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// asks is a lane that says how it was asked.
type asks struct {
	d    *Dispatcher
	next time.Duration

	mu      sync.Mutex
	works   func(n int) []Work // nil: there is none
	err     error              // of the claims
	failing []bool
	at      []time.Time
	failed  []error
}

// answer sets the answer of the claims from now on.
func (a *asks) answer(works func(n int) []Work, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.works, a.err = works, err
}

// claims returns the times of the claims so far.
func (a *asks) claims() []time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.at)
}

// asked returns for each claim whether the lane was failing.
func (a *asks) asked() []bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.failing)
}

// errors returns the errors that the lane got.
func (a *asks) errors() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.failed...)
}

// lane runs a test with a lane that says how it was asked, in a bubble.
func (a *asks) lane(t *testing.T, room int, pauses bool, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a.d = New([]Lane{{
			Name: "x", Room: room, Pauses: pauses,
			Claim: func(_ context.Context, n int, failing bool) ([]Work, time.Duration, error) {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.failing, a.at = append(a.failing, failing), append(a.at, time.Now())
				if a.works == nil || a.err != nil {
					return nil, a.next, a.err
				}
				return a.works(n), a.next, nil
			},
			Failed: func(err error) {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.failed = append(a.failed, err)
			},
		}})
		a.d.Start()
		synctest.Wait()
		test(t)
		if err := a.d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// fails makes a lane one whose deliveries have failed as often as makes it pause.
func (a *asks) fails(t *testing.T) {
	t.Helper()
	for range failsFirst {
		if !a.d.Offer("x", &job{run: func(context.Context) Result { return Failed }}) {
			t.Fatal("the lane takes no offer")
		}
		synctest.Wait()
	}
}

// A lane that pauses asks first for deliveries that have not failed yet, and another lane does not.
func TestALaneThatPausesAsksForWhatHasNotFailed(t *testing.T) {
	for _, pauses := range []bool{true, false} {
		a := new(asks)
		a.lane(t, 4, pauses, func(t *testing.T) {
			if a.asked()[0] {
				t.Error("a lane without failures asks as one that fails")
			}
			a.fails(t)
			pass(3 * pause)
			if got := a.asked(); got[len(got)-1] != pauses {
				t.Errorf("pauses %v: asked with %v", pauses, got)
			}
		})
	}
}

// A lane that pauses has one delivery at a time, however long that takes.
func TestALaneThatPausesHasOneDeliveryAtATime(t *testing.T) {
	a := new(asks)
	var running, most atomic.Int64
	a.lane(t, 4, true, func(t *testing.T) {
		release := make(chan struct{})
		a.fails(t)
		a.answer(func(n int) (all []Work) {
			for range n {
				all = append(all, &job{run: func(context.Context) Result {
					most.Store(max(most.Load(), running.Add(1)))
					defer running.Add(-1)
					<-release
					return Failed
				}})
			}
			return all
		}, nil)
		pass(10 * pause)
		if running.Load() != 1 || most.Load() != 1 {
			t.Errorf("%d run, %d at once", running.Load(), most.Load())
		}
		a.answer(nil, nil)
		close(release)
	})
}

// A lane that pauses waits for its time also if it is woken.
func TestAWakeDoesNotEndAPause(t *testing.T) {
	a := new(asks)
	a.lane(t, 4, true, func(t *testing.T) {
		a.fails(t)
		pass(pause + poll) // in the next pause
		claims := len(a.claims())
		for range 10 {
			a.d.Wake("x")
			synctest.Wait()
		}
		if n := len(a.claims()) - claims; n > 1 {
			t.Errorf("%d claims in no time", n)
		}
	})
}

// The lane gets the error of its claim. After a claim that works, the next failure waits as the first one
// did.
func TestTheWaitsOfClaimsThatFailBeginAnew(t *testing.T) {
	broken := errors.New("no store")
	a := &asks{err: broken}
	a.lane(t, 1, false, func(t *testing.T) {
		pass(5 * time.Minute)
		if err := a.errors(); !errors.Is(err, broken) {
			t.Errorf("the lane got %v", err)
		}
		a.answer(nil, nil)
		pass(claimWaitMost)
		a.answer(nil, broken)
		pass(poll)
		claims := len(a.claims())
		pass(poll)
		if len(a.claims()) == claims {
			t.Error("the second failure waits for longer than the first one did")
		}
	})
}

// Other processes add work, so a lane does not wait for a delivery that is due later.
func TestALaneDoesNotWaitForALateDelivery(t *testing.T) {
	a := &asks{next: time.Hour}
	a.lane(t, 1, false, func(t *testing.T) {
		pass(10 * poll)
		if len(a.claims()) < 10 {
			t.Errorf("%d claims in ten seconds", len(a.claims()))
		}
	})
}

// Lanes of several processes do not look at the same time for ever: the waits differ, from three
// quarters of a second to a second.
func TestTheWaitsOfALaneDiffer(t *testing.T) {
	a := new(asks)
	a.lane(t, 1, false, func(t *testing.T) {
		pass(20 * poll)
		waits := make(map[time.Duration]bool)
		claims := a.claims()
		for i := range claims[1:] {
			wait := claims[i+1].Sub(claims[i])
			waits[wait] = true
			if wait < poll*3/4 || wait > poll {
				t.Errorf("a wait of %v", wait)
			}
		}
		if len(waits) < 2 {
			t.Errorf("%v", waits)
		}
	})
}

// A lane without work does not hold up Close, nor does one that pauses.
func TestCloseDoesNotWaitForIdleLanes(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, a *asks){
		"idle":    func(*testing.T, *asks) {},
		"pausing": func(t *testing.T, a *asks) { a.fails(t); pass(pause + poll) },
		"broken":  func(_ *testing.T, a *asks) { a.answer(nil, errors.New("no store")); pass(2 * time.Minute) },
	} {
		a := new(asks)
		a.lane(t, 1, true, func(t *testing.T) {
			before(t, a)
			began := time.Now()
			if err := a.d.Close(t.Context()); err != nil || time.Since(began) > 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
		})
	}
}

// A delivery has one second after its context has ended, and Close ends then.
func TestCloseHasPatienceForASecond(t *testing.T) {
	a := new(asks)
	a.lane(t, 1, false, func(t *testing.T) {
		release := make(chan struct{})
		a.d.Offer("x", &job{run: func(context.Context) Result { <-release; return Went }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := a.d.Close(ctx); err != ErrStuck || time.Since(began) != time.Minute+time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		close(release)
	})
}

// A lane that does not exist is woken in vain, and one that is woken often does not hold up the caller.
func TestAWakeNeverWaits(t *testing.T) {
	a := new(asks)
	a.lane(t, 1, false, func(t *testing.T) {
		a.d.Wake("another")
		for range 100 {
			a.d.Wake("x")
		}
	})
}
