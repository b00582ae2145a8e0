package hasher

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gate lets hashes run as far as memory and processors allow. Other hashes wait
// in order.
type gate struct {
	budget int64 // bytes; each hash counts twice
	slots  int
	queue  int
	wait   time.Duration

	mu      sync.Mutex
	used    int64
	running int
	waiting []*waiter
}

type waiter struct {
	cost int64
	in   chan struct{} // closed when it may run
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

func (g *gate) enter(ctx context.Context, cost int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if len(g.waiting) == 0 && g.fits(cost) {
		g.admit(cost)
		g.mu.Unlock()
		return nil
	}
	if len(g.waiting) >= g.queue {
		g.mu.Unlock()
		return ErrBusy
	}
	w := &waiter{cost: cost, in: make(chan struct{})}
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()

	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	var err error
	select {
	case <-w.in:
		return nil
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
		close(g.waiting[0].in)
		g.waiting = slices.Delete(g.waiting, 0, 1)
	}
}
