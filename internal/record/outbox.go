package record

import (
	"time"

	"example.com/latchkey/store"
)

// Delivery is a message or an event that waits in the outbox, or was given up. It has no
// references, because it outlives the rows that it tells of.
type Delivery struct {
	ID       string    // of the message, or of the event with the name of its receiver
	Lane     string    // a channel, or a receiver of events
	Stream   string    // deliveries of one stream leave in their order; "" after it was given up
	Position int64     // in the stream; the store numbers it
	Kind     string    // of the message, or the name of the event with * for ids
	UserID   string    // of the user it is about, or ""
	Created  time.Time // when it was asked for
	Queued   time.Time // when it was queued or requeued
	Due      time.Time // when it may be claimed; zero after it was given up
	Leased   bool      // a process has it, until Due
	Tries    int64     // that have begun: no two have the same number
	Failures int64     // since it was queued or requeued
	Cause    string    // of the last failure
	GivenUp  time.Time // zero for one that waits
	Expire   time.Time // when its code expires; zero for others
	Sealed   []byte    // the message or the event
	Counted  bool      // a notice that the limits have counted
}

func (d *Delivery) bind(b *store.Binder) {
	b.Text("id", &d.ID)
	b.Text("lane", &d.Lane)
	b.NullText("stream", &d.Stream)
	b.Int("position", &d.Position)
	b.Text("kind", &d.Kind)
	b.Text("user_id", &d.UserID)
	b.Time("created", &d.Created)
	b.Time("queued", &d.Queued)
	b.NullTime("due", &d.Due)
	b.Bool("leased", &d.Leased)
	b.Int("tries", &d.Tries)
	b.Int("failures", &d.Failures)
	b.Text("cause", &d.Cause)
	b.NullTime("given_up", &d.GivenUp)
	b.NullTime("expire", &d.Expire)
	b.Bytes("sealed", &d.Sealed)
	b.Bool("counted", &d.Counted)
}

// Outbox is keyed by id. An event has a row for each of its receivers.
var Outbox = store.Declare("outbox", (*Delivery).bind, store.Keys{
	Primary: []string{"id"},
	Indexes: []store.IndexOn{
		{Name: "due", Columns: []string{"lane", "due"}},
		{Name: "stream", Columns: []string{"lane", "stream", "position"}, Numbered: true},
		{Name: "given_up", Columns: []string{"given_up"}},
	},
})

// GiveUp ends the tries of a delivery.
func (d *Delivery) GiveUp(cause string, now time.Time) {
	d.Stream, d.Due, d.Leased, d.GivenUp, d.Cause = "", time.Time{}, false, now, cause
}
