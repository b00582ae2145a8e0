// Package ratelimittest has the tests that a [ratelimit.Limiter] must pass.
//
//	func TestContract(t *testing.T) {
//		ratelimittest.Test(t, func(t *testing.T) ratelimittest.Harness {
//			...
//		})
//	}
package ratelimittest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/latchkey/ratelimit"
)

// Harness is a place in which limiters count.
type Harness struct {
	// Open returns a limiter. All limiters of a harness share their counts, as those of
	// several processes do. A limiter in the memory of a process returns the same one.
	Open func(t *testing.T) ratelimit.Limiter
	// Pass lets a time pass by the clock by which windows end. The callers' clock, which
	// the tests keep themselves, goes on by the same time.
	Pass func(t *testing.T, d time.Duration)
	// OwnClock says that windows end by a clock of the limiter's own, and not by that of
	// the callers. It may go on between the calls of a test, and the tests allow it 10
	// seconds.
	OwnClock bool
}

// Test runs the tests. It calls open for a new harness in each of them. The keys are new
// in each run, so that a server may serve several runs.
func Test(t *testing.T, open func(t *testing.T) Harness) {
	for _, test := range []struct {
		name string
		run  func(*scene)
	}{
		{"AWindowBeginsWithTheFirstCall", windowBegins},
		{"KeysCountApart", keysCountApart},
		{"ALimiterIsOneOfSeveral", limitersShare},
		{"ARefusedCallDoesNotCount", refusedDoesNotCount},
		{"PeekCountsNothing", peekCountsNothing},
		{"ReturnGivesACallBack", returnGivesBack},
		{"ReturnIsForItsWindow", returnIsForItsWindow},
		{"AWindowWithoutACallIsOver", emptyWindowIsOver},
		{"ForgetEndsTheWindow", forgetEnds},
		{"ARuleOfNoCallsRefusesAll", noCalls},
		{"TheNumberOfARuleMayChange", numberChanges},
		{"AShorterRuleEndsALongWindow", windowShortens},
		{"WindowsHaveBounds", windowBounds},
		{"TheClocksOfCallersMayDiffer", clocksDiffer},
		{"ExactlyTheLimitPassesAtOnce", exactAtOnce},
		{"CallsAreGivenBackAtOnce", returnedAtOnce},
		{"DecidesAsAPlainModel", plainModel},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t)
			test.run(&scene{T: t, Harness: h, limiter: h.Open(t), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), salt: rand.Text()})
		})
	}
}

// slack is how far the clock of a limiter may go on during a test.
const slack = 10 * time.Second

var (
	ctx  = context.Background()
	rule = ratelimit.Rule{Calls: 3, Window: time.Hour}
)

// scene is one test, with a limiter and the callers' clock.
type scene struct {
	*testing.T
	Harness
	limiter ratelimit.Limiter
	now     time.Time // by the callers' clock
	salt    string
}

func (s *scene) pass(d time.Duration) {
	s.Helper()
	s.Pass(s.T, d)
	s.now = s.now.Add(d)
}

// key returns one of the keys of the test. Their bytes have no pattern.
func (s *scene) key(n int) ratelimit.Key {
	sum := sha256.Sum256(fmt.Append(nil, s.salt, n))
	return ratelimit.Key(sum[:16])
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) take(n int, r ratelimit.Rule) ratelimit.Result {
	s.Helper()
	result, err := s.limiter.Take(ctx, s.key(n), r, s.now)
	s.must(err)
	return result
}

func (s *scene) peek(n int, r ratelimit.Rule) ratelimit.Result {
	s.Helper()
	result, err := s.limiter.Peek(ctx, s.key(n), r, s.now)
	s.must(err)
	return result
}

func (s *scene) giveBack(n int, taken ratelimit.Result) {
	s.Helper()
	s.must(s.limiter.Return(ctx, s.key(n), taken))
}

// is reports a result that is not the wanted one: whether the call fits, what is left, and
// the time until the end of the window, of which the clock of the limiter may have used up
// some.
func (s *scene) is(what string, got ratelimit.Result, allowed bool, remaining int, until time.Duration) {
	s.Helper()
	used := time.Duration(0)
	if s.OwnClock {
		used = slack
	}
	left := got.Reset.Sub(s.now)
	if got.Allowed != allowed || got.Remaining != remaining || left > until+time.Millisecond || left < until-used {
		s.Errorf("%s: %+v, %v before its end; want allowed %v, %d left, %v before its end", what, got, left, allowed, remaining, until)
	}
}

func windowBegins(s *scene) {
	s.is("the first call", s.take(1, rule), true, 2, time.Hour)
	s.pass(20 * time.Minute)
	s.is("the second call", s.take(1, rule), true, 1, 40*time.Minute)
	s.is("the third call", s.take(1, rule), true, 0, 40*time.Minute)
	s.is("one too many", s.take(1, rule), false, 0, 40*time.Minute)
	s.pass(39 * time.Minute)
	s.is("a minute before the end", s.take(1, rule), false, 0, time.Minute)
	s.pass(time.Minute)
	s.is("at the end", s.take(1, rule), true, 2, time.Hour)
	if got := s.take(1, rule); got.Limit != 3 {
		s.Errorf("the limit is told as %d", got.Limit)
	}
}

func keysCountApart(s *scene) {
	for range 4 {
		s.take(1, rule)
	}
	s.is("another key", s.take(2, rule), true, 2, time.Hour)
}

func limitersShare(s *scene) {
	for n := range 3 {
		s.limiter = s.Open(s.T)
		s.is(fmt.Sprintf("limiter %d", n+1), s.take(1, rule), true, 2-n, time.Hour)
	}
	first := s.limiter
	s.limiter = s.Open(s.T)
	s.is("the fourth", s.take(1, rule), false, 0, time.Hour)
	s.must(first.Forget(ctx, s.key(1)))
	taken := s.take(1, rule)
	s.must(first.Return(ctx, s.key(1), taken))
	s.is("after another one has given it back", s.peek(1, rule), true, 2, time.Hour)
}

func refusedDoesNotCount(s *scene) {
	var last ratelimit.Result
	for range 3 {
		last = s.take(1, rule)
	}
	for range 5 {
		s.is("one too many", s.take(1, rule), false, 0, time.Hour)
	}
	s.giveBack(1, last)
	s.is("after one was given back", s.take(1, rule), true, 0, time.Hour)
	s.is("and then", s.take(1, rule), false, 0, time.Hour)
}

func peekCountsNothing(s *scene) {
	for range 5 {
		s.is("before the first call", s.peek(1, rule), true, 2, time.Hour)
	}
	s.take(1, rule)
	s.pass(10 * time.Minute)
	for range 5 {
		s.is("after one call", s.peek(1, rule), true, 1, 50*time.Minute)
	}
	s.take(1, rule)
	s.take(1, rule)
	s.is("at the limit", s.peek(1, rule), false, 0, 50*time.Minute)
	s.is("a smaller rule", s.peek(1, ratelimit.Rule{Calls: 1, Window: time.Hour}), false, 0, 50*time.Minute)
	s.pass(50 * time.Minute)
	s.is("after the end", s.peek(1, rule), true, 2, time.Hour)
}

func returnGivesBack(s *scene) {
	s.take(1, rule)
	s.take(1, rule)
	third := s.take(1, rule)
	s.pass(10 * time.Minute)
	s.giveBack(1, third)
	s.is("after one was given back", s.take(1, rule), true, 0, 50*time.Minute)
	s.is("and then", s.take(1, rule), false, 0, 50*time.Minute)
}

func returnIsForItsWindow(s *scene) {
	first := s.take(1, rule)
	s.pass(time.Hour)
	s.giveBack(1, first) // its window is over
	s.take(1, rule)
	s.giveBack(1, first) // of the window before
	s.is("after a call of a former window was given back", s.take(1, rule), true, 1, time.Hour)
	s.giveBack(2, first) // of a key without a window
	s.is("a key without a window", s.take(2, rule), true, 2, time.Hour)
}

func emptyWindowIsOver(s *scene) {
	only := s.take(1, rule)
	s.pass(10 * time.Minute)
	s.giveBack(1, only)
	s.giveBack(1, only) // there is none left
	s.is("after the only call was given back", s.peek(1, rule), true, 2, time.Hour)
	s.is("the next call", s.take(1, rule), true, 2, time.Hour)
}

func forgetEnds(s *scene) {
	for range 4 {
		s.take(1, rule)
	}
	s.pass(10 * time.Minute)
	s.must(s.limiter.Forget(ctx, s.key(1)))
	s.is("after it was forgotten", s.take(1, rule), true, 2, time.Hour)
	s.must(s.limiter.Forget(ctx, s.key(2))) // which has no window
}

func noCalls(s *scene) {
	for _, calls := range []int{0, -1} {
		none := ratelimit.Rule{Calls: calls, Window: time.Hour}
		for range 2 {
			s.is(fmt.Sprintf("%d calls", calls), s.take(1, none), false, 0, time.Hour)
		}
		s.is(fmt.Sprintf("a look at %d calls", calls), s.peek(1, none), false, 0, time.Hour)
	}
	s.is("a rule of three", s.take(1, rule), true, 2, time.Hour)
}

func numberChanges(s *scene) {
	s.take(1, rule)
	s.take(1, rule)
	s.is("a smaller number", s.take(1, ratelimit.Rule{Calls: 1, Window: time.Hour}), false, 0, time.Hour)
	s.is("a greater number", s.take(1, ratelimit.Rule{Calls: 5, Window: time.Hour}), true, 2, time.Hour)
	s.is("one above the greatest", s.take(1, ratelimit.Rule{Calls: 10 * ratelimit.MaxCalls, Window: time.Hour}), true, ratelimit.MaxCalls-4, time.Hour)
}

func windowShortens(s *scene) {
	s.take(1, rule)
	s.is("a shorter window", s.take(1, ratelimit.Rule{Calls: 3, Window: time.Minute}), true, 2, time.Minute)
	s.is("a longer window", s.take(1, rule), true, 1, time.Minute)
}

func windowBounds(s *scene) {
	ages := ratelimit.Rule{Calls: 1, Window: 134 * 365 * 24 * time.Hour}
	s.is("134 years", s.take(1, ages), true, 0, ratelimit.MaxWindow)
	s.pass(time.Second)
	s.is("134 years, again", s.take(1, ages), false, 0, ratelimit.MaxWindow-time.Second)
	s.is("no window", s.take(2, ratelimit.Rule{Calls: 1}), true, 0, time.Millisecond)
	s.pass(time.Millisecond)
	s.is("no window, again", s.take(2, ratelimit.Rule{Calls: 1}), true, 0, time.Millisecond)
}

// The windows of a limiter with a clock of its own do not depend on the clocks of the
// callers. Each of them learns the end by its own clock.
func clocksDiffer(s *scene) {
	if !s.OwnClock {
		return
	}
	right := s.now
	for n, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		s.now = right.Add(ahead)
		s.is(fmt.Sprintf("a clock that is %v ahead", ahead), s.take(1, rule), true, 2-n, time.Hour)
	}
	s.is("one too many", s.take(1, rule), false, 0, time.Hour)
	s.must(s.limiter.Forget(ctx, s.key(1)))
	taken := s.take(1, rule)
	s.now = right
	s.is("after a call of a clock that is behind", s.take(1, rule), true, 1, time.Hour)
	s.giveBack(1, taken)
	s.is("after it was given back", s.take(1, rule), true, 1, time.Hour)
}

// several returns some limiters, and calls fn on many goroutines with them in turn.
func (s *scene) several(fn func(l ratelimit.Limiter)) {
	s.Helper()
	const limiters, each = 4, 8
	var group sync.WaitGroup
	for range limiters {
		l := s.Open(s.T)
		for range each {
			group.Go(func() { fn(l) })
		}
	}
	group.Wait()
}

func exactAtOnce(s *scene) {
	var allowed atomic.Int64
	many := ratelimit.Rule{Calls: 100, Window: time.Hour}
	s.several(func(l ratelimit.Limiter) {
		for range 10 {
			result, err := l.Take(ctx, s.key(1), many, s.now)
			if err != nil {
				s.Error(err)
			}
			if result.Allowed {
				allowed.Add(1)
			}
		}
	})
	if allowed.Load() != 100 {
		s.Errorf("%d calls of 100 have passed", allowed.Load())
	}
}

func returnedAtOnce(s *scene) {
	many := ratelimit.Rule{Calls: 1000, Window: time.Hour}
	s.several(func(l ratelimit.Limiter) {
		for range 5 {
			result, err := l.Take(ctx, s.key(1), many, s.now)
			if err == nil {
				err = l.Return(ctx, s.key(1), result)
			}
			if err != nil {
				s.Error(err)
			}
		}
	})
	s.is("after all were given back", s.take(1, many), true, 999, time.Hour)
}

// windowOf is a window of the model.
type windowOf struct {
	calls int
	ends  time.Time
}

// given is a call that was allowed and not given back.
type given struct {
	key    int
	window *windowOf
	result ratelimit.Result
}

// plainModel compares random calls with a plain model. Time passes by a third of a window
// at a time, so that the clock of a limiter may go on a little.
func plainModel(s *scene) {
	runs := 0
	rapid.Check(s.T, func(t *rapid.T) {
		runs++
		s.salt = fmt.Sprint(rand.Text(), runs)
		windows := make(map[int]*windowOf)
		var taken []given
		at := func(n int) *windowOf {
			if w := windows[n]; w != nil && w.calls > 0 && w.ends.After(s.now) {
				return w
			}
			return &windowOf{ends: s.now.Add(rule.Window)}
		}
		for range rapid.IntRange(1, 40).Draw(t, "calls") {
			n := rapid.IntRange(0, 1).Draw(t, "key")
			w := at(n)
			switch rapid.SampledFrom([]string{"take", "take", "take", "peek", "return", "return", "forget", "pass"}).Draw(t, "call") {
			case "take":
				fits := w.calls < rule.Calls
				if fits {
					w.calls++
					windows[n] = w
				}
				result := s.take(n, rule)
				compare(t, s, "Take", result, fits, rule.Calls-w.calls, w)
				if fits {
					taken = append(taken, given{n, w, result})
				}
			case "peek":
				compare(t, s, "Peek", s.peek(n, rule), w.calls < rule.Calls, rule.Calls-w.calls-1, w)
			case "return":
				if len(taken) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(taken)-1).Draw(t, "which")
				g := taken[i]
				taken = append(taken[:i:i], taken[i+1:]...)
				if windows[g.key] == g.window && g.window.ends.After(s.now) {
					g.window.calls--
				}
				s.giveBack(g.key, g.result)
			case "forget":
				delete(windows, n)
				s.must(s.limiter.Forget(ctx, s.key(n)))
				// A window that begins at once may end with the forgotten one, which is then
				// no former window.
				for i := len(taken) - 1; i >= 0; i-- {
					if taken[i].key == n {
						taken = append(taken[:i:i], taken[i+1:]...)
					}
				}
			case "pass":
				s.pass(rule.Window / 3)
			}
		}
	})
}

func compare(t *rapid.T, s *scene, what string, got ratelimit.Result, allowed bool, remaining int, w *windowOf) {
	used := time.Duration(0)
	if s.OwnClock {
		used = slack
	}
	late := w.ends.Sub(got.Reset)
	if got.Allowed != allowed || got.Remaining != max(remaining, 0) || late > used || late < -time.Millisecond {
		t.Fatalf("%s: %+v, want allowed %v, %d left, until %v", what, got, allowed, max(remaining, 0), w.ends)
	}
}
