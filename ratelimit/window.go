package ratelimit

import (
	"maps"
	"sync"
	"time"
)

// window is the end of a window and the calls in it, in one word: 42 bits of
// milliseconds since 2020, one bit for having reached the limit, and 21 bits of
// calls.
type window uint64

const (
	callBits = 21
	full     = window(1) << callBits
	// MaxCalls is the greatest number of calls of a [Rule] that the limiters of this
	// module can count. A greater number counts as MaxCalls.
	MaxCalls = 1<<callBits - 2
)

var origin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

func millis(t time.Time) int64 { return max(t.UnixMilli()-origin, 0) }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms + origin).UTC() }

func newWindow(end int64) window { return window(end) << (callBits + 1) }

func (w window) end() int64 { return int64(w >> (callBits + 1)) }

func (w window) calls() int { return int(w & (1<<callBits - 1)) }

// shard is a part of the keys, with a lock of its own.
type shard struct {
	mu      sync.Mutex
	windows map[Key]window
	sweepAt int      // the number of keys at which the shard is swept
	swept   int64    // the time of the last sweep
	_       [32]byte // keeps shards out of each other's cache lines
}

const (
	firstSweep = 256
	looked     = 8      // keys that evict looks at
	sweepPause = 60_000 // milliseconds between sweeps of a shard without room
)

// room makes room for one more key. It returns the change of the number of keys,
// the new key included.
func (s *shard) room(now int64, most int) int {
	if s.windows == nil {
		s.windows, s.sweepAt = make(map[Key]window), min(firstSweep, most)
	}
	before := len(s.windows)
	if before >= s.sweepAt && (s.sweepAt < most || now-s.swept >= sweepPause) {
		s.sweep(now)
		s.sweepAt, s.swept = min(max(2*len(s.windows), firstSweep), most), now
	}
	if len(s.windows) >= most {
		s.evict(now)
	}
	return len(s.windows) + 1 - before
}

// sweep removes the windows that are over. If few are left, it moves them to a
// smaller map.
func (s *shard) sweep(now int64) {
	live := 0
	for _, w := range s.windows {
		if w.end() > now {
			live++
		}
	}
	if live > len(s.windows)/2 {
		maps.DeleteFunc(s.windows, func(_ Key, w window) bool { return w.end() <= now })
		return
	}
	kept := make(map[Key]window, live)
	for key, w := range s.windows {
		if w.end() > now {
			kept[key] = w
		}
	}
	s.windows = kept
}

// evict removes one of a few arbitrary keys: preferably one whose window is over,
// or else the one with the fewest calls. A key that has reached its limit goes last.
func (s *shard) evict(now int64) {
	var victim Key
	fewest, seen := 1<<(callBits+1), 0
	for key, w := range s.windows {
		calls := int(w & (2*full - 1))
		if w.end() <= now {
			calls = -1
		}
		if calls < fewest {
			victim, fewest = key, calls
		}
		seen++
		if seen == looked || fewest < 0 {
			break
		}
	}
	delete(s.windows, victim)
}
