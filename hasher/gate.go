package hasher

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gate lets hashes run as far as memory and processors allow. Other hashes wait. The
// groups of callers take turns, and the hashes of a group run in order.
type gate struct {
	budget int64 // bytes; each hash counts twice
	slots  int
	queue  int
	wait   time.Duration

	mu      sync.Mutex
	used    int64
	running int
	turn    int64     // of the hash that was last let in from the queue
	waiting []*waiter // by turn
}

type waiter struct {
	group string
	turn  int64 // the next one, or after the group's last
	cost  int64
	in    chan struct{} // closed when it may run
	out   chan struct{} // closed when another group took its place
}

// fits reports whether a hash may run now. A hash that is over the budget by
// itself runs alone.
func (g *gate) fits(cost int64) bool {
	return g.running == 0 || g.running < g.slots && g.used+2*cost <= g.budget
}

func (g *gate) admit(cost int64) {
	g.running++
	g.used += 2 * cost
}

// enter waits until a hash of a group of callers may run. A group has at most half of
// the places in the queue, and gives the last one up to a group with two fewer.
func (g *gate) enter(ctx context.Context, group string, cost int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if len(g.waiting) == 0 && g.fits(cost) {
		g.admit(cost)
		g.mu.Unlock()
		return nil
	}
	w := g.join(group, cost)
	g.mu.Unlock()
	if w == nil {
		return ErrBusy
	}

	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	var err error
	select {
	case <-w.in:
		return nil
	case <-w.out:
		return ErrBusy
	case <-timer.C:
		err = ErrBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, w)
	if i < 0 {
		return nil // admitted at the last moment
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	g.next() // cheaper hashes may have waited only for this one
	return err
}

// join puts a hash into the queue, and returns nil if it has no place. The first waiting
// hash of each group comes before the second of any.
func (g *gate) join(group string, cost int64) *waiter {
	turn, own := g.turn, 0
	for _, w := range g.waiting {
		if w.group == group {
			turn = w.turn
			own++
		}
	}
	if own >= max(g.queue/2, 1) || len(g.waiting) >= g.queue && !g.makeRoom(own) {
		return nil
	}
	w := &waiter{group: group, turn: turn + 1, cost: cost, in: make(chan struct{}), out: make(chan struct{})}
	at := len(g.waiting)
	for at > 0 && g.waiting[at-1].turn > w.turn {
		at--
	}
	g.waiting = slices.Insert(g.waiting, at, w)
	return w
}

// makeRoom ends the last waiting hash of the group with the most of them, for a group that has
// at least two fewer.
func (g *gate) makeRoom(own int) bool {
	count, last := make(map[string]int), -1
	for i, w := range g.waiting { // by turn: the last one of a group comes last
		if count[w.group]++; last < 0 || count[w.group] >= count[g.waiting[last].group] {
			last = i
		}
	}
	if last < 0 || count[g.waiting[last].group] < own+2 {
		return false
	}
	close(g.waiting[last].out)
	g.waiting = slices.Delete(g.waiting, last, last+1)
	return true
}

func (g *gate) leave(cost int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.used -= 2 * cost
	g.next()
}

func (g *gate) next() {
	for len(g.waiting) > 0 && g.fits(g.waiting[0].cost) {
		g.admit(g.waiting[0].cost)
		g.turn = g.waiting[0].turn
		close(g.waiting[0].in)
		g.waiting = slices.Delete(g.waiting, 0, 1)
	}
}
