package ratelimit_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/latchkey/ratelimit"
)

var (
	ctx   = context.Background()
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rule  = ratelimit.Rule{Calls: 3, Window: time.Minute}
)

func key(n int) ratelimit.Key {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return ratelimit.Key(sum[:16])
}

func take(t testing.TB, l ratelimit.Limiter, n int, at time.Time) ratelimit.Result {
	t.Helper()
	r, err := l.Take(ctx, key(n), rule, at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWindowBeginsWithTheFirstCallAndEndsForGood(t *testing.T) {
	m := ratelimit.NewMemory(0)
	for i, want := range []ratelimit.Result{
		{Allowed: true, Limit: 3, Remaining: 2}, {Allowed: true, Limit: 3, Remaining: 1}, {Allowed: true, Limit: 3}, {Limit: 3}, {Limit: 3},
	} {
		want.Reset = start.Add(time.Minute)
		if got := take(t, m, 1, start.Add(time.Duration(i)*14*time.Second)); got != want {
			t.Errorf("call %d: %+v, want %+v", i+1, got, want)
		}
	}
	if r := take(t, m, 2, start); r.Remaining != 2 {
		t.Errorf("another key: %+v", r)
	}
	if r := take(t, m, 1, start.Add(time.Minute-time.Millisecond)); r.Allowed {
		t.Errorf("just before the end: %+v", r)
	}
	if r := take(t, m, 1, start.Add(time.Minute)); !r.Allowed || r.Remaining != 2 || !r.Reset.Equal(start.Add(2*time.Minute)) {
		t.Errorf("at the end: %+v", r)
	}
}

func TestForgetEndsTheWindow(t *testing.T) {
	m := ratelimit.NewMemory(0)
	for range 4 {
		take(t, m, 1, start)
	}
	if err := m.Forget(ctx, key(1)); err != nil {
		t.Fatal(err)
	}
	if r := take(t, m, 1, start); !r.Allowed || r.Remaining != 2 {
		t.Errorf("%+v", r)
	}
	if err := m.Forget(ctx, key(99)); err != nil || m.Keys() != 1 {
		t.Errorf("%v, %d keys", err, m.Keys())
	}
}

func TestReturnGivesACallBack(t *testing.T) {
	m := ratelimit.NewMemory(0)
	give := func(n int, r ratelimit.Result) {
		t.Helper()
		if err := m.Return(ctx, key(n), r); err != nil {
			t.Fatal(err)
		}
	}
	first := take(t, m, 1, start)
	take(t, m, 1, start)
	third := take(t, m, 1, start)
	give(1, third)
	if r := take(t, m, 1, start); !r.Allowed || r.Remaining != 0 || r.Reset != first.Reset {
		t.Errorf("after one was given back: %+v", r)
	}
	later := start.Add(time.Minute)
	take(t, m, 1, later)
	give(1, first) // of the window before
	if r := take(t, m, 1, later); r.Remaining != 1 {
		t.Errorf("a call of a former window counts for the next: %+v", r)
	}
	give(2, first) // of a key without a window
	only := take(t, m, 3, start)
	give(3, only)
	if m.Keys() != 1 {
		t.Errorf("%d keys, one with calls", m.Keys())
	}
}

// A key whose calls were given back has not reached its limit, and so is no safer from a
// flood of keys than others.
func TestReturnEndsTheReachOfALimit(t *testing.T) {
	const most = 4096
	m := ratelimit.NewMemory(most)
	one := ratelimit.Rule{Calls: 2, Window: time.Minute}
	for n := range most / 4 {
		if _, err := m.Take(ctx, key(n), one, start); err != nil {
			t.Fatal(err)
		}
		r, _ := m.Take(ctx, key(n), one, start)
		if err := m.Return(ctx, key(n), r); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 20 * most { // with more calls than the keys that were given back
		take(t, m, 10*most+n, start)
		take(t, m, 10*most+n, start)
	}
	kept := 0
	for n := range most / 4 {
		if r, _ := m.Take(ctx, key(n), one, start); r.Remaining == 0 {
			kept++
		}
	}
	if kept > most/64 {
		t.Errorf("%d of %d keys are kept", kept, most/4)
	}
}

func TestClockThatIsSetBackStartsANewWindow(t *testing.T) {
	m := ratelimit.NewMemory(0)
	for range 4 {
		take(t, m, 1, start)
	}
	if r := take(t, m, 1, start.Add(-time.Hour)); !r.Allowed {
		t.Errorf("%+v", r)
	}
	if r := take(t, m, 2, time.Time{}); !r.Allowed {
		t.Errorf("a clock at zero: %+v", r)
	}
}

func TestReportOnlyCountsAndAllows(t *testing.T) {
	m := ratelimit.ReportOnly(ratelimit.NewMemory(0))
	for i, left := range []int{2, 1, 0, 0} {
		if r := take(t, m, 1, start); !r.Allowed || r.Remaining != left {
			t.Errorf("call %d: %+v", i, r)
		}
	}
}

func TestExactlyTheLimitPassesUnderConcurrency(t *testing.T) {
	m := ratelimit.NewMemory(0)
	var allowed atomic.Int64
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for range 100 {
				if r, _ := m.Take(ctx, key(1), ratelimit.Rule{Calls: 1000, Window: time.Hour}, start); r.Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	group.Wait()
	if allowed.Load() != 1000 {
		t.Errorf("%d calls passed", allowed.Load())
	}
}

// The decisions are those of a plain model, in any order of calls.
func TestMemoryDecidesAsAPlainModel(t *testing.T) {
	type state struct {
		began time.Time
		calls int
	}
	type call struct {
		key    int
		result ratelimit.Result
	}
	rapid.Check(t, func(t *rapid.T) {
		m := ratelimit.NewMemory(0)
		model := make(map[int]*state)
		var taken []call // and not given back
		now := start
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			n := rapid.IntRange(0, 2).Draw(t, "key")
			if rapid.IntRange(0, 9).Draw(t, "forget") == 0 {
				delete(model, n)
				if err := m.Forget(ctx, key(n)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if len(taken) > 0 && rapid.IntRange(0, 3).Draw(t, "return") == 0 {
				last := taken[len(taken)-1]
				taken = taken[:len(taken)-1]
				if s := model[last.key]; s != nil && s.began.Add(rule.Window).Equal(last.result.Reset) {
					if s.calls--; s.calls == 0 {
						delete(model, last.key)
					}
				}
				if err := m.Return(ctx, key(last.key), last.result); err != nil {
					t.Fatal(err)
				}
				continue
			}
			s := model[n]
			if s == nil || !now.Before(s.began.Add(rule.Window)) {
				s = &state{began: now}
				model[n] = s
			}
			want := ratelimit.Result{Limit: rule.Calls, Reset: s.began.Add(rule.Window)}
			if s.calls < rule.Calls {
				s.calls++
				want.Allowed, want.Remaining = true, rule.Calls-s.calls
			}
			got, err := m.Take(ctx, key(n), rule, now)
			if err != nil || got != want {
				t.Fatalf("%+v, %v, want %+v", got, err, want)
			}
			if got.Allowed {
				taken = append(taken, call{n, got})
			}
		}
	})
}

func TestKeysAreBoundedAndNewOnesStillPass(t *testing.T) {
	const most = 4096
	m := ratelimit.NewMemory(most)
	for n := range 20 * most {
		if r := take(t, m, n, start); !r.Allowed {
			t.Fatalf("new key %d is refused", n)
		}
		if m.Keys() > most {
			t.Fatalf("%d keys", m.Keys())
		}
	}
}

// An attacker who floods the limiter with keys cannot make it forget a key that
// has reached its limit.
func TestFloodOfKeysDoesNotFreeOneThatIsRefused(t *testing.T) {
	const most = 4096
	m := ratelimit.NewMemory(most)
	for n := range 100 {
		for range 4 {
			take(t, m, n, start)
		}
	}
	for n := range 20 * most {
		take(t, m, 1000+n, start)
	}
	freed := 0
	for n := range 100 {
		if take(t, m, n, start).Allowed {
			freed++
		}
	}
	if freed != 0 {
		t.Errorf("%d of 100 keys were freed", freed)
	}
}

func TestIdleKeysAreForgotten(t *testing.T) {
	m := ratelimit.NewMemory(1 << 20)
	for n := range 200_000 {
		take(t, m, n, start)
	}
	for n := range 200_000 {
		take(t, m, 200_000+n, start.Add(time.Hour))
	}
	if m.Keys() > 300_000 {
		t.Errorf("%d keys are held, 200,000 of them in a window", m.Keys())
	}
}

func TestDecisionAllocatesNothing(t *testing.T) {
	m := ratelimit.NewMemory(0)
	now, k := start, key(1)
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Second)
		if _, err := m.Take(ctx, k, rule, now); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAKeyTakesAtMost80Bytes(t *testing.T) {
	const keys = 1_000_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m := ratelimit.NewMemory(keys)
	for n := range keys {
		take(t, m, n, start)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := float64(after.HeapAlloc-before.HeapAlloc) / float64(m.Keys()); each > 80 {
		t.Errorf("%.1f bytes a key", each)
	}
}

func ExampleMemory() {
	limiter := ratelimit.NewMemory(0)
	rule := ratelimit.Rule{Calls: 1, Window: time.Hour}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for range 2 {
		r, err := limiter.Take(context.Background(), ratelimit.Key{7}, rule, now)
		fmt.Println(r.Allowed, r.Remaining, r.Reset.Format(time.TimeOnly), err)
	}
	// Output:
	// true 0 13:00:00 <nil>
	// false 0 13:00:00 <nil>
}
