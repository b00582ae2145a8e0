// Package ratelimit counts calls by key and refuses a call when there are too
// many.
//
// A window is fixed: it begins with the first call of a key, and a number of
// calls fit in it. [Memory] counts in the process. A host on several machines
// needs a [Limiter] that they share: package stored counts in PostgreSQL, and
// package redis in Redis. Package ratelimittest has the tests of the contract,
// for a limiter of the host's own.
package ratelimit

import (
	"context"
	"sync/atomic"
	"time"
)

// Key is a name under which calls are counted. It must be bytes without a pattern,
// such as a digest, because a limiter distributes keys by their bytes.
type Key [16]byte

// Rule is the number of calls of a key that fit in a window. The window begins
// with the first call. A rule of 0 calls refuses all.
type Rule struct {
	Calls  int
	Window time.Duration // whole milliseconds, from 1 ms to MaxWindow
}

// MaxWindow is the longest window of a [Rule]. The limiters of this module take a
// longer one as MaxWindow, and one below a millisecond as a millisecond.
const MaxWindow = 10 * 366 * 24 * time.Hour

// Result is the decision of a limiter.
type Result struct {
	Allowed   bool      `json:"allowed"`
	Limit     int       `json:"limit"`          // calls in a window
	Remaining int       `json:"remaining"`      // calls that are left after this one
	Reset     time.Time `json:"reset,omitzero"` // the end of the window, by the caller's clock
	// Window names the window for Return, in a limiter whose clock is not the caller's.
	// Other limiters leave it 0.
	Window int64 `json:"-"`
}

// Limiter counts calls. It is safe for concurrent use.
//
// now is the time by the caller's clock. A limiter whose callers are on several
// machines has a clock of its own, because theirs differ. It uses now for
// Result.Reset alone.
type Limiter interface {
	// Take counts a call of a key at now, and decides whether it fits. A call that does
	// not fit is not counted. The error means that the limiter cannot decide: then the
	// call may be counted or not.
	Take(ctx context.Context, key Key, rule Rule, now time.Time) (Result, error)
	// Peek says what Take would answer, and counts nothing.
	Peek(ctx context.Context, key Key, rule Rule, now time.Time) (Result, error)
	// Return gives back a call of a key that Take has counted and allowed, with its result:
	// the call does not count any more. If the window of the result is over, it does
	// nothing. A window without a call is over.
	Return(ctx context.Context, key Key, taken Result) error
	// Forget ends the window of a key.
	Forget(ctx context.Context, key Key) error
}

// ReportOnly returns a limiter that counts as next does and allows every call. It
// is for hosts that only want to see the results, and for tests.
func ReportOnly(next Limiter) Limiter { return reportOnly{next} }

type reportOnly struct{ Limiter }

// InProcess reports what the limiter below reports.
func (r reportOnly) InProcess() bool { return IsInProcess(r.Limiter) }

func (r reportOnly) Take(ctx context.Context, key Key, rule Rule, now time.Time) (Result, error) {
	result, err := r.Limiter.Take(ctx, key, rule, now)
	result.Allowed = true
	return result, err
}

// IsInProcess reports whether a limiter counts in the memory of its process, so that
// two processes together allow twice the calls. Such a limiter has a method
// InProcess() bool that returns true, as [Memory] does. A limiter that wraps another
// one forwards the method. A limiter without it counts as shared.
func IsInProcess(l Limiter) bool {
	in, ok := l.(interface{ InProcess() bool })
	return ok && in.InProcess()
}

// DefaultKeys is the default number of keys that a [Memory] holds. They take
// about 15 MB.
const DefaultKeys = 1 << 18

// Memory is a limiter in the memory of the process. It holds a bounded number of
// keys. When all places are taken, it looks at a few keys, and a new key takes the
// place of one of them: of a key whose window is over, or else of the key with the
// fewest calls. A key that has reached its limit goes last. So an attacker who
// floods the limiter with new keys drives out their own keys.
type Memory struct {
	shards [64]shard
	most   int // keys in a shard
	keys   atomic.Int64
}

// NewMemory returns a limiter that holds the given number of keys, and at least
// 1,024. 0 means [DefaultKeys].
func NewMemory(keys int) *Memory {
	if keys == 0 {
		keys = DefaultKeys
	}
	m := &Memory{}
	m.most = (max(keys, 1024) + len(m.shards) - 1) / len(m.shards)
	return m
}

// Keys returns the number of keys that the limiter holds. A key whose window is
// over counts until it is removed.
func (m *Memory) Keys() int { return int(m.keys.Load()) }

// InProcess returns true: see [IsInProcess].
func (m *Memory) InProcess() bool { return true }

// Take implements [Limiter]. It never fails.
func (m *Memory) Take(_ context.Context, key Key, rule Rule, now time.Time) (Result, error) {
	at, window := millis(now), min(max(rule.Window.Milliseconds(), 1), MaxWindow.Milliseconds())
	rule.Calls = min(rule.Calls, MaxCalls)
	if rule.Calls < 1 {
		return Result{Reset: fromMillis(at + window)}, nil
	}
	s := &m.shards[key[0]%uint8(len(m.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	w, found := s.windows[key]
	// If the window ends much later than a window that began now would end, it is
	// of another rule, or the clock has been set back. If it ends a little later, a
	// call with a later now was faster.
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

// Peek implements [Limiter]. It never fails.
func (m *Memory) Peek(_ context.Context, key Key, rule Rule, now time.Time) (Result, error) {
	at, window := millis(now), min(max(rule.Window.Milliseconds(), 1), MaxWindow.Milliseconds())
	calls := min(rule.Calls, MaxCalls)
	s := &m.shards[key[0]%uint8(len(m.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	w, found := s.windows[key]
	if !found || w.end() <= at || w.end() > at+window+late.Milliseconds() {
		w = newWindow(at + window)
	}
	result := Result{Limit: max(calls, 0), Reset: fromMillis(w.end())}
	if w.calls() < calls {
		result.Allowed, result.Remaining = true, calls-w.calls()-1
	}
	return result, nil
}

// late is by how much calls may come out of the order of their times.
const late = time.Minute

// Return implements [Limiter]. It never fails. A window without a call is forgotten.
func (m *Memory) Return(_ context.Context, key Key, taken Result) error {
	s := &m.shards[key[0]%uint8(len(m.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	w, found := s.windows[key]
	if !found || w.end() != millis(taken.Reset) {
		return nil // of another window
	}
	if w = w&^full - 1; w.calls() == 0 {
		delete(s.windows, key)
		m.keys.Add(-1)
		return nil
	}
	s.windows[key] = w
	return nil
}

// Forget implements [Limiter]. It never fails.
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
