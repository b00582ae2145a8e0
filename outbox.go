package latchkey

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/dispatch"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

// Outbox keeps messages and events in the store ([Config].Outbox). They are rows of the
// transaction that causes them. The rows are sealed, because they hold links and codes. The rows of
// a committed transaction are delivered, also if the process dies right after the commit. A
// transaction that is rolled back leaves no row.
//
// The process that has committed a row delivers it at once. It has the row for half a minute and
// Config.MaxClockStep, a minute and a half by default, and renews that while it delivers. If the
// process dies, another one on the store takes the row over after that time. A delivery that has
// failed is tried again after 1, 4, 16, 64, 256 and 1,024 seconds, and then once an hour. It is
// given up 72 hours after it was asked for, or at once if the failure is marked by
// [notify.Permanent]. [Engine.Undelivered] lists the deliveries that wait and those that were given
// up. [Engine.Requeue] has one tried again, and [Engine.Discard] deletes one. [Engine.Sweep]
// deletes those that were given up 30 days ago.
//
// A row is delivered at least once. It is delivered again if the process dies between the delivery
// and the deletion of the row, or is held up for longer than it has the row. A receiver recognizes
// the row by its id. Try counts the deliveries: no two of them have the same number.
//
// Right before each delivery of a message, the engine looks whether its code or link still serves:
// one that has expired, was used or was replaced is not sent. The limits of notices are counted at
// the first delivery.
type Outbox struct {
	// Receivers get events, up to 20. Each has rows, tries and an order of its own, so that one
	// that fails does not hold up the others. Rows of a receiver that is taken out of the list
	// are given up by Sweep after 72 hours.
	Receivers []Receiver
}

// Receiver gets events from the outbox, at least once. The events of a user, and those of a team,
// come in the order of their commits: the next one comes when this one was taken or given up. On
// PostgreSQL, those of transactions at once that are not in conflict come in any order. At most four
// come at once. After five failures in a row the receiver gets one a second, first those
// that have not failed yet.
type Receiver struct {
	// Name is the name of the receiver in the store: 1 to 40 characters of a-z, 0-9 and -, the first
	// one not -, and neither email nor sms. A receiver under a new name does not get the rows of its
	// former name.
	Name string
	// Events are the patterns of the events that it gets, as in [Event.Matches]. An empty list
	// means every event. [New] refuses a pattern that selects no event.
	Events []string
	// Receive takes an event. It returns nil once the event is kept elsewhere. After an error
	// the event comes again, unless [notify.Permanent] has made the error. The engine logs
	// the stage and the reason of a [notify.Failure], and the class of every other error. The
	// context ends after two minutes, or when the engine is closed. It must be safe for
	// concurrent use. A panic counts as a permanent failure.
	Receive func(ctx context.Context, e Event) error
}

// The bounds of the outbox.
const (
	maxReceivers = 20
	// leaseLength and Config.MaxClockStep are how long a process has a row.
	leaseLength = 30 * time.Second
	// outboxLife is how long a delivery is tried, and givenUpLife how long the row of one that
	// was given up stays.
	outboxLife  = 72 * time.Hour
	givenUpLife = 30 * 24 * time.Hour
	// maxOutboxTries is how often a delivery may begin, and as often again after each Requeue. One
	// that begins more often ends its process each time.
	maxOutboxTries = 1000
)

// isChannel reports whether a lane is that of messages: their channel. The others are the names of
// receivers.
func isChannel(lane string) bool { return lane == string(notify.Email) || lane == string(notify.SMS) }

var receiverName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// check refuses receivers that cannot work.
func (o *Outbox) check() error {
	if o == nil {
		return nil
	}
	if len(o.Receivers) > maxReceivers {
		return fmt.Errorf("latchkey: Config.Outbox has more than %d receivers", maxReceivers)
	}
	for i, r := range o.Receivers {
		same := func(other Receiver) bool { return other.Name == r.Name }
		switch {
		case !receiverName.MatchString(r.Name) || isChannel(r.Name):
			return fmt.Errorf("latchkey: Config.Outbox: the name %q of a receiver is not 1 to 40 of a-z, 0-9 and -, or begins with -, or is email or sms", r.Name)
		case slices.ContainsFunc(o.Receivers[:i], same):
			return fmt.Errorf("latchkey: Config.Outbox has two receivers %q", r.Name)
		case r.Receive == nil:
			return errors.New("latchkey: Config.Outbox: a receiver has no function Receive")
		}
		for _, pattern := range r.Events {
			if !selectsAny(pattern) {
				return fmt.Errorf("latchkey: Config.Outbox: the receiver %q names the events %q, and no event has such a name", r.Name, pattern)
			}
		}
	}
	return nil
}

// wants reports whether a receiver gets an event.
func (r *Receiver) wants(e Event) bool {
	return len(r.Events) == 0 || slices.ContainsFunc(r.Events, e.Matches)
}

// outbox is the outbox at work.
type outbox struct {
	config   Outbox
	lease    time.Duration
	lanes    *dispatch.Dispatcher
	ends     *dispatch.Batch[*ending]
	report   *courier.Report
	payloads map[string]func() any // new payloads of events, by the name of their type

	mu     sync.Mutex
	held   map[*record.Delivery]*holding // rows that this process has
	places map[route]int                 // messages at the courier
	beside int                           // goroutines of aside
	ending atomic.Bool                   // it is being closed
	stop   chan struct{}                 // closed at the end of the deliveries
	left   *sync.Cond                    // one of aside has ended
	ended  chan struct{}                 // closed at the end
	failed error                         // of close
}

// holding is how this process has a row.
type holding struct {
	sure time.Time // when the row was taken or renewed last
	over time.Time // when it is renewed no more
}

// route is where messages go that hold one another up: a domain or a calling code, as of
// courier.Place. Notices and proven messages do not wait for others.
type route struct {
	to             string
	notice, proven bool
}

// ending is the end of a delivery of this process.
type ending struct {
	row     *record.Delivery
	outcome string // as in package courier, or released
	cause   string
	due     time.Time // when it may be claimed again
}

// released is the outcome of a row that goes back without a delivery.
const released = "released"
