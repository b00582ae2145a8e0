// Package ratelimit counts calls by key and says when there are too many.
//
// A window is fixed: it begins with the first call of a key, and a number of
// calls fit in it. [Memory] counts in the process; a host on several machines
// brings a [Limiter] of its own that they share.
package ratelimit

import (
	"context"
	"sync/atomic"
	"time"
)

// Key is what calls are counted under: bytes without a pattern, such as a
// digest, because a limiter spreads keys by them.
type Key [16]byte

// Rule is how many calls of a key fit in a window, which begins with the first.
// A rule of no calls refuses all.
type Rule struct {
	Calls  int
	Window time.Duration // whole milliseconds; a Memory takes ten years at most
}

// Result is what a limiter decided.
type Result struct {
	Allowed   bool
	Limit     int       // calls in a window
	Remaining int       // calls that are left after this one
	Reset     time.Time // when the window ends
}

// Limiter counts. It is safe for concurrent use.
type Limiter interface {
	// Take counts a call of a key at now, and says whether it fits.
	Take(ctx context.Context, key Key, rule Rule, now time.Time) (Result, error)
	// Forget ends the window of a key.
	Forget(ctx context.Context, key Key) error
}

// ReportOnly returns a limiter that counts as next does and allows everything:
// for hosts that only look, and for tests.
func ReportOnly(next Limiter) Limiter { return reportOnly{next} }

type reportOnly struct{ Limiter }

func (r reportOnly) Take(ctx context.Context, key Key, rule Rule, now time.Time) (Result, error) {
	result, err := r.Limiter.Take(ctx, key, rule, now)
	result.Allowed = true
	return result, err
}

// DefaultKeys is how many keys a [Memory] holds unless it is told otherwise.
// They take some 15 MB.
const DefaultKeys = 1 << 18

// Memory is a limiter in the memory of the process. It holds a bounded number
// of keys. When they are all in use, a new one takes the place of one whose
// window is over, else of the one with the fewest calls among some that it looks
// at, and last of one that has reached its limit: who floods it with new keys
// drives out their own.
type Memory struct {
	shards [64]shard
	most   int // keys in a shard
	keys   atomic.Int64
}

// NewMemory returns a limiter of so many keys, at least 1,024; 0 means
// [DefaultKeys].
func NewMemory(keys int) *Memory {
	if keys == 0 {
		keys = DefaultKeys
	}
	m := &Memory{}
	m.most = (max(keys, 1024) + len(m.shards) - 1) / len(m.shards)
	return m
}

// Keys returns how many keys are held, those whose window is over too until
// they are forgotten.
func (m *Memory) Keys() int { return int(m.keys.Load()) }

// Take implements [Limiter]. It fails never.
func (m *Memory) Take(_ context.Context, key Key, rule Rule, now time.Time) (Result, error) {
	at, window := millis(now), min(max(rule.Window.Milliseconds(), 1), longest.Milliseconds())
	rule.Calls = min(rule.Calls, MaxCalls)
	if rule.Calls < 1 {
		return Result{Reset: fromMillis(at + window)}, nil
	}
	s := &m.shards[key[0]%uint8(len(m.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	w, found := s.windows[key]
	// A window that ends much later than one that began now would is of another
	// rule, or of a clock that has been set back; one that ends a little later
	// is of a call that was faster.
	if !found || w.end() <= at || w.end() > at+window+late.Milliseconds() {
		if !found {
			m.keys.Add(int64(s.room(at, m.most)))
		}
		w = newWindow(at + window)
	}
	result := Result{Limit: rule.Calls, Reset: fromMillis(w.end())}
	if w.calls() < rule.Calls {
		w++
		result.Allowed, result.Remaining = true, rule.Calls-w.calls()
		if result.Remaining == 0 {
			w |= full
		}
		s.windows[key] = w
	}
	return result, nil
}

const (
	longest = 10 * 366 * 24 * time.Hour // of windows
	late    = time.Minute               // that a call may come behind another
)

// Forget implements [Limiter]. It fails never.
func (m *Memory) Forget(_ context.Context, key Key) error {
	s := &m.shards[key[0]%uint8(len(m.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.windows[key]; found {
		delete(s.windows, key)
		m.keys.Add(-1)
	}
	return nil
}
