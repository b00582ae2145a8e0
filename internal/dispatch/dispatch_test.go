package dispatch

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// job is a delivery of a test.
type job struct {
	run      func(ctx context.Context) Result
	returned atomic.Bool
}

func (j *job) Run(ctx context.Context) Result { return j.run(ctx) }

func (j *job) Return() { j.returned.Store(true) }

// ok returns the result of a delivery that went well, or has failed.
func ok(well bool) Result {
	if well {
		return Went
	}
	return Failed
}

// source is a lane whose deliveries a test adds.
type source struct {
	mu      sync.Mutex
	waiting []Work
	claims  []time.Time
	asked   []int
	err     error
	next    time.Duration
}

func (s *source) add(run func(ctx context.Context) Result) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := &job{run: run}
	s.waiting = append(s.waiting, j)
	return j
}

func (s *source) claim(_ context.Context, n int, _ bool) ([]Work, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims, s.asked = append(s.claims, time.Now()), append(s.asked, n)
	if s.err != nil {
		return nil, 0, s.err
	}
	got := s.waiting[:min(n, len(s.waiting))]
	s.waiting = s.waiting[len(got):]
	return slices.Clone(got), s.next, nil
}

// taken returns the times of the claims so far, and forgets them.
func (s *source) taken() (claims []time.Time, asked []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	claims, asked = s.claims, s.asked
	s.claims, s.asked = nil, nil
	return claims, asked
}

// run runs a test with a dispatcher of one lane, in a bubble.
func run(t *testing.T, room int, pauses bool, test func(d *Dispatcher, s *source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		d := New([]Lane{{Name: "x", Room: room, Pauses: pauses, Claim: s.claim, Failed: func(error) {}}})
		d.Start()
		test(d, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestALaneRunsWhatItsRoomAllows(t *testing.T) {
	run(t, 2, false, func(d *Dispatcher, s *source) {
		var running, most atomic.Int64
		release := make(chan struct{})
		for range 5 {
			s.add(func(context.Context) Result {
				most.Store(max(most.Load(), running.Add(1)))
				<-release
				running.Add(-1)
				return Went
			})
		}
		d.Wake("x")
		pass(poll)
		if running.Load() != 2 || d.Free("x") || d.Offer("x", &job{}) {
			t.Errorf("%d run", running.Load())
		}
		close(release)
		pass(time.Millisecond) // the end of one wakes the lane
		if most.Load() != 2 || running.Load() != 0 || len(s.waiting) != 0 || !d.Free("x") {
			t.Errorf("%d at once, %d run, %d wait", most.Load(), running.Load(), len(s.waiting))
		}
	})
}

func TestAnOfferRunsAtOnce(t *testing.T) {
	run(t, 1, false, func(d *Dispatcher, s *source) {
		done := false
		if !d.Offer("x", &job{run: func(context.Context) Result { done = true; return Went }}) || d.Offer("another", &job{}) {
			t.Error("the offers")
		}
		synctest.Wait()
		if !done {
			t.Error("it has not run")
		}
	})
}

// A lane without work looks for some about once a second, and at the time of the next delivery.
func TestALaneLooksForWork(t *testing.T) {
	run(t, 1, false, func(d *Dispatcher, s *source) {
		pass(10 * poll)
		if claims, _ := s.taken(); len(claims) < 10 || len(claims) > 14 {
			t.Errorf("%d claims in ten seconds", len(claims))
		}
		s.mu.Lock()
		s.next = poll / 10
		s.mu.Unlock()
		pass(2 * poll)
		s.taken()
		pass(poll)
		if claims, _ := s.taken(); len(claims) < 9 || len(claims) > 14 {
			t.Errorf("%d claims in a second", len(claims))
		}
	})
}

// Claims that fail wait longer and longer, up to half a minute.
func TestClaimsThatFailWaitLonger(t *testing.T) {
	run(t, 1, false, func(d *Dispatcher, s *source) {
		s.mu.Lock()
		s.err = errors.New("no store")
		s.mu.Unlock()
		pass(2 * poll)
		s.taken()
		pass(5 * time.Minute)
		claims, _ := s.taken()
		last := claims[len(claims)-1].Sub(claims[len(claims)-2])
		if len(claims) > 16 || last > claimWaitMost || last < claimWaitMost/2 {
			t.Errorf("%d claims in five minutes, the last after %v", len(claims), last)
		}
		s.mu.Lock()
		s.err = nil
		s.mu.Unlock()
		pass(claimWaitMost)
		s.taken()
		pass(10 * poll)
		if claims, _ := s.taken(); len(claims) < 9 {
			t.Errorf("%d claims in ten seconds", len(claims))
		}
	})
}

// After five failures in a row a lane that pauses has one delivery a second. Another lane goes on.
func TestALanePausesAfterFailures(t *testing.T) {
	for _, pauses := range []bool{true, false} {
		run(t, 4, pauses, func(d *Dispatcher, s *source) {
			var tries atomic.Int64
			down := atomic.Bool{}
			down.Store(true)
			for range 1000 {
				s.add(func(context.Context) Result { tries.Add(1); return ok(!down.Load()) })
			}
			d.Wake("x")
			pass(time.Minute)
			if n := tries.Load(); pauses && (n < 50 || n > 70) || !pauses && n != 1000 {
				t.Errorf("pauses %v: %d tries in a minute", pauses, n)
			}
			if pauses && (d.Free("x") || d.Offer("x", &job{})) {
				t.Error("a lane that waits takes an offer")
			}
			down.Store(false)
			pass(2 * pause)
			if n := tries.Load(); n != 1000 {
				t.Errorf("pauses %v: %d tries in the end", pauses, n)
			}
		})
	}
}

// A delivery that is offered while a claim is under way has a place, and does not run beside those of the
// claim if that is more than the room.
func TestOffersDuringAClaimFillTheRoomAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		work := func() *job {
			return &job{run: func(context.Context) Result {
				most.Store(max(most.Load(), running.Add(1)))
				<-time.After(time.Second)
				running.Add(-1)
				return Went
			}}
		}
		var d *Dispatcher
		offered := 0
		d = New([]Lane{{Name: "x", Room: 4, Claim: func(_ context.Context, n int, _ bool) (works []Work, _ time.Duration, _ error) {
			for range 4 {
				if d.Offer("x", work()) {
					offered++
				}
			}
			for range n {
				works = append(works, work())
			}
			return works, 0, nil
		}}, {Name: "wide", Room: 2000, Claim: func(_ context.Context, n int, _ bool) (works []Work, _ time.Duration, _ error) {
			if n > claimMost || !d.Offer("wide", &job{run: func(context.Context) Result { <-time.After(time.Second); return Went }}) {
				t.Errorf("a claim of %d leaves no room", n)
			}
			return nil, 0, nil
		}}})
		d.Start()
		pass(10 * time.Second)
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if most.Load() != 4 || offered == 0 {
			t.Errorf("%d at once, %d were offered", most.Load(), offered)
		}
	})
}

// Work that delivers nothing, because it is not its turn, neither ends a pause nor is a failure.
func TestWorkThatDeliversNothingDoesNotCount(t *testing.T) {
	run(t, 1, true, func(d *Dispatcher, s *source) {
		for n := range 2 * failsFirst {
			s.add(func(context.Context) Result {
				if n%2 == 0 {
					return Failed
				}
				return Nothing
			})
		}
		d.Wake("x")
		pass(10 * time.Second)
		if len(s.waiting) != 0 || d.Free("x") {
			t.Error("failures with nothing between them do not pause the lane")
		}
	})
}

// A delivery that ends its goroutine counts as failed, and gives its room back.
func TestADeliveryThatEndsItsGoroutineGivesItsRoomBack(t *testing.T) {
	run(t, 1, true, func(d *Dispatcher, s *source) {
		for range failsFirst {
			s.add(func(context.Context) Result { runtime.Goexit(); return Went })
		}
		d.Wake("x")
		pass(10 * time.Second)
		if len(s.waiting) != 0 || d.Free("x") {
			t.Errorf("%d wait", len(s.waiting))
		}
		s.add(func(context.Context) Result { return Went })
		pass(2 * pause)
		if !d.Free("x") {
			t.Error("the lane waits for ever")
		}
	})
}

// Close waits for the deliveries that run, cancels them at the end of its context, and starts no others.
func TestCloseEndsDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		d := New([]Lane{{Name: "x", Room: 2, Claim: s.claim}})
		d.Start()
		begun := time.Now()
		quick, cancelled := false, false
		s.add(func(context.Context) Result { <-time.After(time.Second); quick = true; return Went })
		s.add(func(ctx context.Context) Result { <-ctx.Done(); cancelled = true; return Failed })
		d.Wake("x")
		synctest.Wait()
		late := s.add(func(context.Context) Result { t.Error("it runs"); return Went })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil || !quick || !cancelled || time.Since(begun) != 5*time.Second {
			t.Errorf("%v, %v, %v after %v", err, quick, cancelled, time.Since(begun))
		}
		if err := d.Close(ctx); err != nil || d.Offer("x", late) {
			t.Error("a closed dispatcher takes offers")
		}
		if err := (*Dispatcher)(nil).Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseGivesUpOnADeliveryThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, release := new(source), make(chan struct{})
		d := New([]Lane{{Name: "x", Room: 1, Claim: s.claim}})
		d.Start()
		s.add(func(context.Context) Result { <-release; return Went })
		d.Wake("x")
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Close(ctx); err != ErrStuck {
			t.Error(err)
		}
		close(release)
	})
}

// Calls that come at about the same time are done together, at most as many as allowed. Each caller gets the
// error of its batch.
func TestABatchDoesThingsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		odd := errors.New("odd")
		b := NewBatch(4, time.Second, func(all []int) error {
			sizes = append(sizes, len(all))
			<-time.After(time.Second)
			if slices.Contains(all, 7) {
				return odd
			}
			return nil
		})
		var group sync.WaitGroup
		var failed atomic.Int64
		for n := range 10 {
			group.Go(func() {
				<-time.After(time.Duration(n) * time.Millisecond)
				if b.Do(n) != nil {
					failed.Add(1)
				}
			})
		}
		group.Wait()
		if !slices.Equal(sizes, []int{4, 4, 2}) || failed.Load() != 4 {
			t.Errorf("%v, %d failed", sizes, failed.Load())
		}
		if err := b.Do(11); err != nil {
			t.Error(err)
		}
	})
}
