package courier

import (
	"log/slog"
	"sync"
	"time"

	"example.com/latchkey/notify"
)

// The log has a line about the first failure of a kind, and then one in reportEvery. At most
// reportKinds are told apart. The rest are one kind.
const (
	reportEvery = time.Minute
	reportKinds = 200
)

// Report logs failures. It is safe for concurrent use.
type Report struct {
	logger *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	kinds map[failure]*reported
}

// failure is a kind of failure.
type failure struct {
	to            string // a channel or a receiver
	dropped       bool
	stage, reason string
}

// reported is when a kind was logged, and how often it came since.
type reported struct {
	last  time.Time
	since int
}

// NewReport returns a report.
func NewReport(logger *slog.Logger, now func() time.Time) *Report {
	return &Report{logger: logger, now: now, kinds: make(map[failure]*reported)}
}

// failed logs that a try has failed.
func (r *Report) failed(channel notify.Channel, err error) {
	stage, reason := notify.Seen(err)
	if n := r.count(failure{string(channel), false, stage, reason}); n > 0 {
		r.logger.Warn("latchkey: a message is not sent, and will be tried again", "channel", string(channel), "stage", stage, "reason", reason, "failures", n)
	}
}

// Event logs that a receiver has not taken an event, and whether the event is given up.
func (r *Report) Event(receiver, id, kind string, tries int, givenUp bool, f *notify.Failure) {
	n := r.count(failure{"receiver " + receiver, givenUp, f.Stage, f.Reason})
	switch {
	case n == 0:
	case givenUp:
		r.logger.Error("latchkey: an event is given up", "event", id, "kind", kind, "receiver", receiver, "tries", tries, "stage", f.Stage, "reason", f.Reason, "dropped", n)
	default:
		r.logger.Warn("latchkey: an event is not taken, and will be delivered again", "receiver", receiver, "stage", f.Stage, "reason", f.Reason, "failures", n)
	}
}

// dropped logs that a message is given up. Its id is that of the token or of the notice.
func (r *Report) dropped(d *Delivery, err error) {
	stage, reason := notify.Seen(err)
	if n := r.count(failure{string(d.Message.Channel), true, stage, reason}); n > 0 {
		r.logger.Error("latchkey: a message is dropped", "message", d.Message.ID, "kind", string(d.Message.Kind), "channel", string(d.Message.Channel),
			"tries", d.tries, "stage", stage, "reason", reason, "dropped", n)
	}
}

// count counts a failure, and returns the number of its kind since the last line if it is time
// for another one, otherwise 0.
func (r *Report) count(f failure) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kinds[f]
	if k == nil && len(r.kinds) >= reportKinds {
		f = failure{to: f.to, dropped: f.dropped, reason: "others"}
		k = r.kinds[f]
	}
	if k == nil {
		k = new(reported)
		r.kinds[f] = k
	}
	k.since++
	now := r.now()
	if since := now.Sub(k.last); !k.last.IsZero() && since >= 0 && since < reportEvery {
		return 0
	}
	n := k.since
	k.last, k.since = now, 0
	return n
}
