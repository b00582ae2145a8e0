package latchkey

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/dispatch"
	"example.com/latchkey/notify"
)

// work is one delivery, or several of one stream one after the other.
type work struct {
	*Engine
	chain []*queued
	fresh bool // it is not known yet whether the first one is the first of its stream
}

// offer delivers what a transaction has left in the hands of this process.
func (e *Engine) offer(all []*queued) {
	var works []*work
	for _, w := range all {
		if !w.row.Leased {
			e.outbox.lanes.Wake(w.row.Lane)
			continue
		}
		same := func(o *work) bool { return o.chain[0].row.Lane == w.row.Lane && o.chain[0].row.Stream == w.row.Stream }
		found := false
		for _, o := range works {
			if same(o) {
				o.chain, found = append(o.chain, w), true
			}
		}
		if !found {
			works = append(works, &work{e, []*queued{w}, true})
		}
	}
	for _, w := range works {
		for _, one := range w.chain {
			e.outbox.hold(one.row)
		}
		if !e.outbox.lanes.Offer(w.chain[0].row.Lane, w) {
			e.outbox.aside(w.Return) // which waits for others that end
		}
	}
}

// Return gives the rows back. Another call, or another process, takes them.
func (w *work) Return() {
	if len(w.chain) == 0 {
		return
	}
	for _, one := range w.chain {
		_ = w.end(&ending{row: one.row, outcome: released, due: w.now()})
	}
	w.outbox.lanes.Wake(w.chain[0].row.Lane)
}

// Run delivers one after the other, until one fails. It gives back those that it has not begun, also
// after runtime.Goexit.
func (w *work) Run(ctx context.Context) (all dispatch.Result) {
	begun := 0
	defer func() { (&work{w.Engine, w.chain[begun:], false}).Return() }()
	all = dispatch.Nothing
	if w.fresh && !w.isFirst(ctx, w.chain[0].row) {
		return all // its turn comes when the one before it has ended
	}
	for begun < len(w.chain) && all != dispatch.Failed {
		begun++
		if one := w.run(ctx, w.chain[begun-1]); one != dispatch.Nothing {
			all = one
		}
	}
	return all
}

// run delivers one, and notes what became of it.
func (w *work) run(ctx context.Context, one *queued) (result dispatch.Result) {
	ended, returned := &ending{row: one.row, outcome: courier.Dropped, cause: "receiver: ended its goroutine"}, false
	defer func() {
		if !returned { // runtime.Goexit
			w.outbox.report.Event(one.row.Lane, one.row.ID, one.row.Kind, int(one.row.Tries), true, &notify.Failure{Stage: "receiver", Reason: "ended its goroutine"})
		}
		if w.end(ended) != nil {
			result = dispatch.Failed // it will come again, so the next one of its stream waits
		}
	}()
	if one.kept.Message != nil {
		w.sendKept(ctx, one, ended)
	} else {
		w.receiveKept(ctx, one, ended)
	}
	returned = true
	switch ended.outcome {
	case "":
		return dispatch.Went
	case courier.Stale:
		return dispatch.Nothing
	}
	return dispatch.Failed
}

// sendKept hands a message to the courier, and waits for its end.
func (e *Engine) sendKept(ctx context.Context, one *queued, ended *ending) {
	row, m := one.row, one.kept.Message
	c := &call{Engine: e, client: Client{IP: m.From}, now: e.now()}
	if m.Own {
		c.by.mode = modeServer
	}
	l := m.letter()
	if l.notice && !row.Counted && row.Tries == 1 { // once, also if a process dies before it notes that
		if !c.mayNotice(ctx, notice{l.message, l.proven}) {
			ended.outcome = courier.Stale // the host has an event of it
			return
		}
		row.Counted = true // however often the row comes back
	}
	to := route{courier.Place(l.message), l.notice, l.proven}
	if !e.outbox.enter(to) {
		ended.decide(e.now(), courier.Returned, nil)
		return
	}
	defer e.outbox.leave(to)
	done := make(chan struct{})
	e.courier.Deliver(courier.Delivery{
		Message: l.message, Null: l.null, Notice: l.notice, Proven: l.proven, From: c.client.sender(), Before: int(row.Tries) - 1, Waited: c.now.Sub(row.Created),
		Serves: func(ctx context.Context) bool {
			e.outbox.begin(row, courier.TryTime+time.Minute)
			until := l.message.Expire // sealed, unlike that of the row
			return (until.IsZero() || e.now().Before(until)) && e.sure(ctx, one) && e.serves(ctx, l.code)
		},
		Ended: func(outcome string, cause *notify.Failure) (givenUp bool) {
			defer close(done)
			givenUp = ended.decide(e.now(), outcome, cause)
			if outcome == courier.Returned && e.outbox.ending.Load() {
				ended.due = e.now() // the next process sends it
			}
			return givenUp
		},
	})
	<-done
}

// receiveKept hands an event to its receiver.
func (e *Engine) receiveKept(ctx context.Context, one *queued, ended *ending) {
	row := one.row
	name := row.Lane
	if !e.sure(ctx, one) {
		ended.outcome = courier.Stale // another process has it
		return
	}
	began, waited := time.Now(), e.now().Sub(row.Created)
	defer func() {
		e.observe(ctx, Observation{What: ObservedDelivery, Name: name, Outcome: ended.outcome, Count: 1, Took: time.Since(began), Waited: waited})
	}()
	event, err := e.keptEvent(ctx, one.kept.Event)
	if err != nil { // perhaps a newer version of the program has made it
		failure := &notify.Failure{Stage: "outbox", Reason: "the event is of a kind that this process does not know"}
		givenUp := ended.decide(e.now(), courier.Again, failure)
		e.outbox.report.Event(name, event.ID, row.Kind, int(row.Tries), givenUp, failure)
		return
	}
	e.outbox.begin(row, receiveTime+time.Minute)
	event.Try = int(row.Tries)
	ctx, cancel := context.WithTimeout(ctx, receiveTime)
	defer cancel()
	for _, r := range e.outbox.config.Receivers {
		if r.Name != name {
			continue
		}
		permanent, failure := courier.Called("receiver", func() error { return r.Receive(ctx, event) })
		switch {
		case failure == nil:
			ended.decide(e.now(), "", nil)
		default:
			outcome := courier.Again
			if permanent {
				outcome = courier.Dropped
			}
			givenUp := ended.decide(e.now(), outcome, failure)
			e.outbox.report.Event(name, event.ID, row.Kind, int(row.Tries), givenUp, failure)
		}
	}
}

// keptEvent returns an event as its receiver gets it.
func (e *Engine) keptEvent(ctx context.Context, k *keptEvent) (Event, error) {
	event := k.Event
	if k.Payload == "" {
		return event, nil
	}
	empty := e.outbox.payloads[k.Payload]
	if empty == nil {
		return event, errors.New("latchkey: an event with an unknown payload: " + k.Payload)
	}
	payload := empty()
	if err := json.Unmarshal(k.Data, payload); err != nil {
		return event, err
	}
	event.Payload = payload
	switch p := payload.(type) {
	case *User:
		e.describe(ctx, p)
	case *LimitResult:
		event.Payload = *p
	}
	return event, nil
}
