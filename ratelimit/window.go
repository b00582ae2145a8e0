package ratelimit

import (
	"sync"
	"time"
)

// window is the end of a window and the calls in it, in one word: 42 bits of
// milliseconds since 2020, and 22 bits of calls.
type window uint64

const (
	callBits = 22
	// MaxCalls is the greatest number of calls of a [Rule] that a [Memory] can
	// count; more are as many.
	MaxCalls = 1<<callBits - 2
)

var origin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

func millis(t time.Time) int64 { return max(t.UnixMilli()-origin, 0) }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms + origin).UTC() }

func newWindow(end int64) window { return window(end) << callBits }

func (w window) end() int64 { return int64(w >> callBits) }

func (w window) calls() int { return int(w & (1<<callBits - 1)) }

// shard is a part of the keys under a lock of its own.
type shard struct {
	mu      sync.Mutex
	windows map[Key]window
	sweepAt int      // keys at which windows that are over are swept out
	_       [40]byte // keeps shards out of each other's cache lines
}

const (
	firstSweep = 256
	looked     = 8 // keys that a new one looks at when there is no room
)

// room makes room for one more key and returns by how much the number of keys
// changes with it.
func (s *shard) room(now int64, most int) int {
	if s.windows == nil {
		s.windows, s.sweepAt = make(map[Key]window), min(firstSweep, most)
	}
	before := len(s.windows)
	if before >= s.sweepAt && s.sweepAt < most {
		s.sweep(now)
		s.sweepAt = min(max(2*len(s.windows), firstSweep), most)
	}
	if len(s.windows) >= most {
		s.evict(now)
	}
	return len(s.windows) + 1 - before
}

// sweep keeps the windows that are not over, in a map of their size.
func (s *shard) sweep(now int64) {
	live := 0
	for _, w := range s.windows {
		if w.end() > now {
			live++
		}
	}
	if live > len(s.windows)/2 {
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

// evict drops one key: of those that it looks at, which are any, one whose
// window is over or which has the fewest calls.
func (s *shard) evict(now int64) {
	var victim Key
	fewest, seen := 1<<callBits, 0
	for key, w := range s.windows {
		calls := w.calls()
		if w.end() <= now {
			calls = -1
		}
		if calls < fewest {
			victim, fewest = key, calls
		}
		if seen++; seen == looked || fewest < 0 {
			break
		}
	}
	delete(s.windows, victim)
}
