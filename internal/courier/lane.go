package courier

import (
	"slices"
	"strings"
	"sync"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/notify"
)

// lane is the queue of one channel. Messages that were not tried yet go before those that
// come again, and the older before the newer, except that no domain and no client has more
// than its share of the workers. It is safe for concurrent use.
type lane struct {
	notifier notify.Notifier

	mu       sync.Mutex
	more     *sync.Cond
	fresh    []*Delivery
	repeated []*Delivery // whose wait is over
	waiting  int         // all that are not sent or given up
	retrying int         // those of them that were tried, and are not being tried now
	busy     map[string]int
	slots    map[string]*slot
	ended    bool
}

// slot counts the waiting messages of one place. It is contested once there were two.
type slot struct {
	waiting   int
	contested bool
}

func newLane(n notify.Notifier) *lane {
	l := &lane{notifier: n, busy: make(map[string]int), slots: make(map[string]*slot)}
	l.more = sync.NewCond(&l.mu)
	return l
}

// add queues a message, if fewer than room wait.
func (l *lane) add(d *Delivery, room int) bool {
	d.keys = keysOf(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting >= room {
		return false
	}
	l.waiting++
	l.fresh = append(l.fresh, d)
	if d.Slot != "" {
		s := l.slots[d.Slot]
		if s == nil {
			s = new(slot)
			l.slots[d.Slot] = s
		}
		s.waiting++
		s.contested = s.contested || s.waiting > 1
	}
	l.more.Signal()
	return true
}

// take waits for a message that may be sent, and returns it. It reports false at the end of
// the lane.
func (l *lane) take() (*Delivery, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.ended {
		for _, list := range []*[]*Delivery{&l.fresh, &l.repeated} {
			i := slices.IndexFunc(*list, l.mayStart)
			if i < 0 {
				continue
			}
			d := (*list)[i]
			*list = slices.Delete(*list, i, i+1)
			for _, key := range d.keys {
				l.busy[key]++
			}
			if d.tries > 0 {
				l.retrying--
			}
			return d, true
		}
		l.more.Wait()
	}
	return nil, false
}

// mayStart reports whether the domain and the client of a message have a worker left.
func (l *lane) mayStart(d *Delivery) bool {
	return !slices.ContainsFunc(d.keys, func(key string) bool { return l.busy[key] >= share })
}

// keysOf returns the keys under which the workers that send a message are counted: the domain
// or the calling code of its address, and the client that caused it. A null message needs none.
func keysOf(d *Delivery) []string {
	if d.Null {
		return nil
	}
	to := "to " + d.Message.To
	if d.Message.Channel == notify.SMS && strings.HasPrefix(d.Message.To, "+") {
		to = "to " + canon.CallingCode(d.Message.To)
	} else if _, domain, found := strings.Cut(d.Message.To, "@"); found {
		to = "to " + domain
	}
	if d.From == "" {
		return []string{to}
	}
	return []string{to, "from " + d.From}
}

// free gives the worker of a message back.
func (l *lane) free(d *Delivery) {
	for _, key := range d.keys {
		if l.busy[key]--; l.busy[key] == 0 {
			delete(l.busy, key)
		}
	}
	l.more.Broadcast()
}

// mayRetry reports whether there is room for a message that is tried again. Notices always
// have some.
func (l *lane) mayRetry(d *Delivery) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return d.Notice || l.retrying < maxRetrying
}

// pause gives the worker of a message back that waits for another try.
func (l *lane) pause(d *Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retrying++
	l.free(d)
}

// again queues a message whose wait is over.
func (l *lane) again(d *Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.repeated = append(l.repeated, d)
	l.more.Signal()
}

// done gives the worker and the place of a message back.
func (l *lane) done(d *Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free(d)
	l.forget(d)
}

// forget takes a message out of the counts.
func (l *lane) forget(d *Delivery) {
	l.waiting--
	if s := l.slots[d.Slot]; s != nil {
		if s.waiting--; s.waiting == 0 {
			delete(l.slots, d.Slot)
		}
	}
}

// contested reports whether another message of the same slot has waited beside one.
func (l *lane) contested(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.slots[name]
	return s != nil && s.contested
}

// size returns the number of messages that wait.
func (l *lane) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// end ends the waits of take.
func (l *lane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.more.Broadcast()
}

// empty takes all messages out of the queue.
func (l *lane) empty() []*Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := append(l.fresh, l.repeated...)
	for _, d := range all {
		l.forget(d)
	}
	l.fresh, l.repeated = nil, nil
	return all
}
