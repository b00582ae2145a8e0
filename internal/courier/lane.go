package courier

import (
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/notify"
)

// lane is the queue of one channel. Notices go first, then messages that were not tried yet, and
// then those that come again. In each of the three the older goes before the newer, except that
// no domain and no client has more than its share of the workers. It is safe for concurrent use.
type lane struct {
	notifier notify.Notifier

	mu       sync.Mutex
	more     *sync.Cond
	notices  []*Delivery
	fresh    []*Delivery
	repeated []*Delivery    // whose wait is over
	waiting  int            // all that are not sent or given up
	retrying int            // those of them that were tried, and are not being tried now
	sending  int            // those that are being tried
	busy     map[string]int // the same by key
	held     map[string]int // those that wait, by key
	ended    bool
}

// key is one of the keys under which the workers that send a message are counted.
type key struct {
	name  string
	share int // how many workers may have it at once
}

func newLane(n notify.Notifier) *lane {
	l := &lane{notifier: n, busy: make(map[string]int), held: make(map[string]int)}
	l.more = sync.NewCond(&l.mu)
	return l
}

// add queues a message, if fewer than room wait. If the queue is full, a message of a domain or a
// client with more than a third of the room gives its place to one of another: evicted is that
// message, or nil.
func (l *lane) add(d *Delivery, room int) (evicted *Delivery, added bool) {
	d.keys = keysOf(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting >= room {
		if evicted = l.evict(d, room/3); evicted == nil {
			return nil, false
		}
		l.forget(evicted)
	}
	l.waiting++
	for _, k := range d.keys {
		l.held[k.name]++
	}
	if d.Notice {
		l.notices = append(l.notices, d)
	} else {
		l.fresh = append(l.fresh, d)
	}
	l.more.Signal()
	return evicted, true
}

// evict takes the newest message out of the queue whose domain or client has most of all, more than
// some, and is not that of d.
func (l *lane) evict(d *Delivery, some int) *Delivery {
	most := ""
	for name, n := range l.held {
		if n > some && n > l.held[most] {
			most = name
		}
	}
	if most == "" {
		return nil
	}
	hasMost := func(d *Delivery) bool { return slices.ContainsFunc(d.keys, func(k key) bool { return k.name == most }) }
	if hasMost(d) {
		return nil
	}
	for _, list := range []*[]*Delivery{&l.fresh, &l.repeated} { // a notice keeps its place
		for i, other := range slices.Backward(*list) {
			if hasMost(other) && !other.Notice {
				*list = slices.Delete(*list, i, i+1)
				if other.tries > 0 {
					l.retrying--
				}
				return other
			}
		}
	}
	return nil
}

// forget takes a message that waits no longer out of the counts.
func (l *lane) forget(d *Delivery) {
	l.waiting--
	for _, k := range d.keys {
		if l.held[k.name]--; l.held[k.name] == 0 {
			delete(l.held, k.name)
		}
	}
}

// take waits for a message that may be sent, and returns it. It reports false at the end of
// the lane.
func (l *lane) take() (*Delivery, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.ended {
		if d := l.next(); d != nil {
			l.sending++
			for _, k := range d.keys {
				l.busy[k.name]++
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

// next takes the next message that may be sent out of the queue, or returns nil. A message
// that could have come again for a while goes before the others, so that a constant load does
// not keep it for ever.
func (l *lane) next() *Delivery {
	overdue := func(d *Delivery) bool { return time.Since(d.due) > overdueAfter && l.mayStart(d) }
	if d := pick(&l.repeated, overdue); d != nil {
		return d
	}
	for _, list := range []*[]*Delivery{&l.notices, &l.fresh, &l.repeated} {
		if d := pick(list, l.mayStart); d != nil {
			return d
		}
	}
	return nil
}

// pick takes the first message of a list for which may is true, or returns nil.
func pick(list *[]*Delivery, may func(*Delivery) bool) *Delivery {
	i := slices.IndexFunc(*list, may)
	if i < 0 {
		return nil
	}
	d := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return d
}

// mayStart reports whether the domain and the client of a message have a worker left. The last
// workers are for domains and clients without any.
func (l *lane) mayStart(d *Delivery) bool {
	return !slices.ContainsFunc(d.keys, func(k key) bool {
		busy := l.busy[k.name]
		return busy >= k.share || busy > 0 && l.sending >= workers-reserved
	})
}

// keysOf returns the keys of a message: the domain or the calling code of its address, the client
// that caused it, and both together. A null message has no keys. A notice has no key of the client: a
// thief must not hold up the notice of a theft.
func keysOf(d *Delivery) []key {
	if d.Null {
		return nil
	}
	to := "to " + Place(d.Message)
	if d.From == "" || d.Notice {
		return []key{{to, domainShare}}
	}
	from := "from " + d.From
	return []key{{to, domainShare}, {from, clientShare}, {from + " " + to, pairShare}}
}

// Place returns the place to which a message goes: the calling code of a number, or the domain of
// a mailbox as it was registered, since one owner has all names below a domain. The lists of
// such domains (publicsuffix.org) are not used, because the package that has them imports net/http.
func Place(m notify.Message) string {
	if m.Channel == notify.SMS {
		if canon.Phone(m.To) != nil {
			return m.To
		}
		return canon.CallingCode(m.To)
	}
	_, domain, _ := strings.Cut(m.To, "@")
	labels := strings.Split(domain, ".")
	kept := 2
	// Under the top-level domains of many countries, names are registered below co, com, ac and the like.
	if n := len(labels); n > 2 && len(labels[n-1]) == 2 && len(labels[n-2]) <= 3 {
		kept = 3
	}
	return strings.Join(labels[max(len(labels)-kept, 0):], ".")
}

// free gives the worker of a message back.
func (l *lane) free(d *Delivery) {
	l.sending--
	for _, k := range d.keys {
		if l.busy[k.name]--; l.busy[k.name] == 0 {
			delete(l.busy, k.name)
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
	d.due = time.Now()
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
	all := slices.Concat(l.notices, l.fresh, l.repeated)
	for _, d := range all {
		l.forget(d)
	}
	l.notices, l.fresh, l.repeated = nil, nil, nil
	return all
}
