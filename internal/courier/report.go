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

// report logs failures. It is safe for concurrent use.
type report struct {
	logger *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	kinds map[failure]*reported
}

// failure is a kind of failure.
type failure struct {
	channel       notify.Channel
	dropped       bool
	stage, reason string
}

// reported is when a kind was logged, and how often it came since.
type reported struct {
	last  time.Time
	since int
}

func newReport(logger *slog.Logger, now func() time.Time) *report {
	return &report{logger: logger, now: now, kinds: make(map[failure]*reported)}
}

// failed logs that a try has failed.
func (r *report) failed(channel notify.Channel, err error) {
	stage, reason := notify.Seen(err)
	if n := r.count(failure{channel, false, stage, reason}); n > 0 {
		r.logger.Warn("latchkey: a message is not sent, and will be tried again", "channel", string(channel), "stage", stage, "reason", reason, "failures", n)
	}
}

// dropped logs that a message is given up. Its id is that of the token or of the notice.
func (r *report) dropped(d *Delivery, err error) {
	stage, reason := notify.Seen(err)
	if n := r.count(failure{d.Message.Channel, true, stage, reason}); n > 0 {
		r.logger.Error("latchkey: a message is dropped", "message", d.Message.ID, "kind", string(d.Message.Kind), "channel", string(d.Message.Channel),
			"tries", d.tries, "stage", stage, "reason", reason, "dropped", n)
	}
}

// count counts a failure, and returns the number of its kind since the last line if it is time
// for another one, otherwise 0.
func (r *report) count(f failure) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kinds[f]
	if k == nil && len(r.kinds) >= reportKinds {
		f = failure{channel: f.channel, dropped: f.dropped, reason: "others"}
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
