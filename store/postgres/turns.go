package postgres

import (
	"context"
	"slices"
	"sync"
)

// turns bounds how many Updates run at once. Transactions that are in conflict with one another get less done the more
// of them there are, and those that are not get more done. So a conflict makes the bound smaller by a quarter, and
// many Updates without one make it larger by one. It is between half of the connections, but not less than four, and all
// of them. An Update that waits for its turn holds no connection.
type turns struct {
	mu          sync.Mutex
	least, most float64
	bound       float64
	running     int
	waiting     []chan struct{} // in their order
}

func newTurns(conns int) *turns {
	least := float64(max((conns+1)/2, min(conns, 4)))
	return &turns{least: least, most: float64(conns), bound: float64(conns)}
}

// take waits for a turn.
func (t *turns) take(ctx context.Context) error {
	t.mu.Lock()
	if len(t.waiting) == 0 && t.running < int(t.bound) {
		t.running++
		t.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	t.waiting = append(t.waiting, mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, mine); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	} else { // it was its turn at the same time
		t.running--
		t.next()
	}
	return ctx.Err()
}

// giveBack ends a turn. conflict says that the Update was in conflict with another one.
func (t *turns) giveBack(conflict bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if conflict {
		t.bound = max(t.least, t.bound*3/4)
	} else {
		t.bound = min(t.most, t.bound+1/(8*t.bound))
	}
	t.running--
	t.next()
}

// next lets those run whose turn it is.
func (t *turns) next() {
	for len(t.waiting) > 0 && t.running < int(t.bound) {
		close(t.waiting[0])
		t.waiting = t.waiting[1:]
		t.running++
	}
}
