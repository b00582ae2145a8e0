package latchkey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/dispatch"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

const (
	// messagesInHand is how many messages of a channel a process has at most, and eventsInHand how
	// many events of a receiver.
	messagesInHand = 2000 // more than the courier's queue has places: the courier keeps domains apart
	eventsInHand   = 4
	// placeInHand is how many messages to one domain, or to one calling code, it has at the courier.
	placeInHand = 300
	// receiveTime is how long a receiver may take.
	receiveTime = 2 * time.Minute
	// endTime is how long the store may take to note what became of a delivery.
	endTime = 10 * time.Second
	// fullWait is how long a message waits for which the queue of its channel had no room.
	fullWait = 30 * time.Second
	// endsAtOnce is how many deliveries end in one transaction, and endGather how long the first of
	// them waits for others: a delivery that has ended is in no hurry.
	endsAtOnce = 100
	endGather  = 20 * time.Millisecond
)

// startOutbox starts the outbox of an engine.
func (e *Engine) startOutbox(config Outbox, report *courier.Report, payloads map[string]func() any) {
	o := &outbox{
		config: config, lease: leaseLength + e.clockStep, report: report, payloads: payloads,
		held: make(map[*record.Delivery]*holding), places: make(map[string]int), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	o.ends = dispatch.NewBatch(endsAtOnce, endGather, e.endRows)
	lane := func(name string, room int, pauses bool) dispatch.Lane {
		return dispatch.Lane{
			Name: name, Room: room, Pauses: pauses,
			Claim: func(ctx context.Context, n int, failing bool) ([]dispatch.Work, time.Duration, error) {
				return e.claim(ctx, name, n, failing)
			},
			Failed: func(err error) {
				if !errors.Is(err, context.Canceled) {
					e.logger.Error("latchkey: the outbox cannot be read", "lane", name, "error", err)
				}
			},
		}
	}
	var lanes []dispatch.Lane
	for _, channel := range []notify.Channel{notify.Email, notify.SMS} {
		if e.canSend(channel) {
			lanes = append(lanes, lane(string(channel), messagesInHand, false))
		}
	}
	for _, r := range config.Receivers {
		lanes = append(lanes, lane(eventLane+r.Name, eventsInHand, true))
	}
	e.outbox = o
	o.lanes = dispatch.New(lanes)
	o.lanes.Start()
	o.renewing.Go(func() { e.renew(o) })
}

// close ends the outbox: deliveries that have begun go on until the context ends.
func (o *outbox) close(ctx context.Context) error {
	if o == nil {
		return nil
	}
	if o.ending.Swap(true) {
		<-o.ended
		return nil
	}
	defer close(o.ended)
	err := o.lanes.Close(ctx)
	close(o.stop)
	o.renewing.Wait()
	return err
}

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
			go w.Return()
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
func (w *work) Run(ctx context.Context) (ok bool) {
	begun := 0
	defer func() { (&work{w.Engine, w.chain[begun:], false}).Return() }()
	if w.fresh && !w.isFirst(ctx, w.chain[0].row) {
		return true // its turn comes when the one before it has ended
	}
	for begun < len(w.chain) {
		begun++
		if !w.run(ctx, w.chain[begun-1]) {
			return false
		}
	}
	return true
}

// run delivers one, and notes what became of it.
func (w *work) run(ctx context.Context, one *queued) (ok bool) {
	ended, returned := &ending{row: one.row, outcome: courier.Dropped, cause: "receiver: ended its goroutine"}, false
	defer func() {
		if !returned { // runtime.Goexit
			w.outbox.report.Event(strings.TrimPrefix(one.row.Lane, eventLane), one.row.ID, one.row.Kind, int(one.row.Tries), true, &notify.Failure{Stage: "receiver", Reason: "ended its goroutine"})
		}
		if w.end(ended) != nil {
			ok = false // it will come again, so the next one of its stream waits
		}
	}()
	if one.kept.Message != nil {
		w.sendKept(ctx, one, ended)
	} else {
		w.receiveKept(ctx, one, ended)
	}
	returned = true
	return ended.outcome == "" || ended.outcome == courier.Stale
}

// sendKept hands a message to the courier, and waits for its end.
func (e *Engine) sendKept(ctx context.Context, one *queued, ended *ending) {
	row, m := one.row, one.kept.Message
	c := &call{Engine: e, client: Client{IP: m.From}, now: e.now()}
	if m.Own {
		c.by.mode = modeServer
	}
	l := m.letter()
	if l.notice && !row.Counted {
		if !c.mayNotice(ctx, notice{l.message, l.proven}) {
			ended.outcome = courier.Stale // the host has an event of it
			return
		}
		row.Counted = true // once, however often the row comes back
	}
	place := courier.Place(l.message)
	if !e.outbox.enter(place) {
		ended.decide(e.now(), courier.Returned, nil)
		return
	}
	defer e.outbox.leave(place)
	done := make(chan struct{})
	e.courier.Deliver(courier.Delivery{
		Message: l.message, Null: l.null, Notice: l.notice, Proven: l.proven, From: c.client.sender(), Before: int(row.Tries) - 1,
		Serves: func(ctx context.Context) bool {
			return e.now().Before(expiry(row)) && (one.fresh || e.stillMine(ctx, row)) && e.serves(ctx, l.code)
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

// expiry is when the code of a message runs out.
func expiry(row *record.Delivery) time.Time {
	if row.Expire.IsZero() {
		return row.Queued.Add(outboxLife)
	}
	return row.Expire
}

// receiveKept hands an event to its receiver.
func (e *Engine) receiveKept(ctx context.Context, one *queued, ended *ending) {
	row := one.row
	name := strings.TrimPrefix(row.Lane, eventLane)
	began := time.Now()
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
	outcome := ""
	for _, r := range e.outbox.config.Receivers {
		if r.Name != name {
			continue
		}
		permanent, failure := courier.Called("receiver", func() error { return r.Receive(ctx, event) })
		switch {
		case failure == nil:
			ended.decide(e.now(), "", nil)
		default:
			outcome = courier.Again
			if permanent {
				outcome = courier.Dropped
			}
			givenUp := ended.decide(e.now(), outcome, failure)
			outcome = ended.outcome
			e.outbox.report.Event(name, event.ID, row.Kind, int(row.Tries), givenUp, failure)
		}
	}
	e.observe(ctx, Observation{What: ObservedDelivery, Name: name, Outcome: outcome, Count: 1, Took: time.Since(began), Waited: e.now().Sub(row.Created)})
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

// decide decides what becomes of a row after an outcome, and reports whether it is given up.
func (d *ending) decide(now time.Time, outcome string, cause *notify.Failure) (givenUp bool) {
	d.outcome, d.cause, d.due = outcome, "", now
	if cause != nil {
		d.cause = strings.TrimPrefix(cause.Stage+": "+cause.Reason, ": ")
	}
	switch outcome {
	case courier.Returned:
		d.outcome, d.due = released, now.Add(fullWait)
	case courier.Again:
		d.due = now.Add(backoff(d.row.Failures + 1))
		if d.due.After(d.row.Queued.Add(outboxLife)) {
			d.outcome = courier.Dropped
		}
	}
	return d.outcome == courier.Dropped
}

// hold notes that this process has a row, and renews it until the end.
func (o *outbox) hold(row *record.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held[row] = &holding{sure: time.Now()}
}

// enter takes one of the places at the courier for a domain.
func (o *outbox) enter(place string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.places[place] >= placeInHand {
		return false
	}
	o.places[place]++
	return true
}

// leave gives a place back.
func (o *outbox) leave(place string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.places[place]--; o.places[place] == 0 {
		delete(o.places, place)
	}
}

// begin notes that a delivery begins that ends within a time. If it does not, its row is renewed no
// more, and another process takes it over.
func (o *outbox) begin(row *record.Delivery, within time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h := o.held[row]; h != nil {
		h.over = time.Now().Add(within)
	}
}

// stillMine reports whether no other process has taken a row over. If the store does not answer,
// it is taken for ours: it is rather sent twice than lost.
func (e *Engine) stillMine(ctx context.Context, row *record.Delivery) bool {
	now, err := record.Outbox.Find(ctx, e.store, record.Outbox.Primary(), store.Text(row.ID))
	return err != nil || now != nil && now.Leased && now.Tries == row.Tries
}

// isFirst reports whether a row is the first of its stream.
func (e *Engine) isFirst(ctx context.Context, row *record.Delivery) bool {
	first, err := e.streamHead(ctx, row.Lane, row.Stream, 1)
	return err == nil && (row.Stream == "" || len(first) > 0 && first[0].ID == row.ID)
}

// streamHead returns the first rows of a stream.
func (e *Engine) streamHead(ctx context.Context, lane, stream string, n int) ([]*record.Delivery, error) {
	return record.Outbox.List(ctx, e.store, store.Query{Index: record.Outbox.Index("stream"), Equal: []store.Value{store.Text(lane), store.Text(stream)}, Limit: n})
}

// end notes what became of a row. If the store does not take that, the row comes again.
func (e *Engine) end(d *ending) error {
	err := e.outbox.ends.Do(d)
	e.outbox.mu.Lock()
	delete(e.outbox.held, d.row)
	e.outbox.mu.Unlock()
	if err != nil {
		e.logger.Error("latchkey: the end of a delivery is not noted, so it will come again", "lane", d.row.Lane, "error", err)
	}
	return err
}

// endRows notes what became of rows, in one transaction, and then lets the next ones of their streams
// go on. It looks for these outside of transactions: one that read a range of the table would be in
// conflict with all who insert.
func (e *Engine) endRows(all []*ending) (err error) {
	defer caught(&err)
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	now := e.now()
	ids := make([]store.Value, len(all))
	for i, d := range all {
		ids[i] = store.Text(d.row.ID)
	}
	err = e.store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		rows, err := record.Outbox.List(ctx, tx, store.Query{
			Index: record.Outbox.Primary(), Where: []store.Filter{store.Where("id", store.OpEqual, ids...)}, Limit: len(ids),
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			for _, d := range all {
				if d.row.ID != row.ID {
					continue
				}
				if err := d.note(ctx, tx, row, now); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var freed []*record.Delivery
	for _, d := range all {
		if d.row.Stream != "" && d.outcome != released {
			freed = append(freed, d.row)
		}
	}
	e.advance(ctx, freed...)
	return nil
}

// wake makes a lane look for work, if there is an outbox.
func (e *Engine) wake(lane string) {
	if e.outbox != nil {
		e.outbox.lanes.Wake(lane)
	}
}

// advance lets the first rows of the streams of some rows be claimed, unless somebody has them.
// It comes after a change of a stream, and after a row was put off: so one of the two sees the other.
func (e *Engine) advance(ctx context.Context, of ...*record.Delivery) {
	var heads []*record.Delivery
	seen := make(map[string]bool)
	for _, row := range of {
		if seen[row.Lane+"\n"+row.Stream] {
			continue
		}
		seen[row.Lane+"\n"+row.Stream] = true
		head, err := e.streamHead(ctx, row.Lane, row.Stream, 1)
		if err != nil {
			return // it is claimed a little later
		}
		if len(head) > 0 && !head[0].Leased {
			heads = append(heads, head[0])
		}
	}
	now := e.now()
	if slices.ContainsFunc(heads, func(row *record.Delivery) bool { return row.Failures == 0 && row.Due.After(now) }) {
		err := e.store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			for _, head := range heads {
				err := change(ctx, tx, head, func(row *record.Delivery) bool {
					put := !row.Leased && row.Failures == 0 && row.Due.After(now)
					row.Due = now
					return put
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return
		}
	}
	for _, row := range heads {
		e.wake(row.Lane)
	}
}

// note changes or deletes the row of a delivery that has ended, unless another process has it.
func (d *ending) note(ctx context.Context, tx store.Tx, row *record.Delivery, now time.Time) error {
	if row.Tries != d.row.Tries || !row.GivenUp.IsZero() {
		return nil
	}
	row.Due, row.Leased, row.Counted = d.due, false, d.row.Counted
	switch d.outcome {
	case "", courier.Stale:
		return record.Outbox.Delete(ctx, tx, store.Text(row.ID))
	case released:
		row.Tries-- // nothing has left under this number
	case courier.Again:
		row.Failures++
		row.Cause = d.cause
		if !strings.HasPrefix(row.Lane, eventLane) {
			row.Stream = "" // the messages after it do not wait for it
		}
	case courier.Dropped:
		row.Failures++
		row.GiveUp(d.cause, now)
	}
	return record.Outbox.Replace(ctx, tx, row)
}

// change changes a row, if it is there and fn says that it has changed something.
func change(ctx context.Context, tx store.Tx, of *record.Delivery, fn func(*record.Delivery) bool) error {
	row, err := record.Outbox.Find(ctx, tx, record.Outbox.Primary(), store.Text(of.ID))
	if err != nil || row == nil || !row.GivenUp.IsZero() || !fn(row) {
		return err
	}
	return record.Outbox.Replace(ctx, tx, row)
}

// claim takes up to n rows of a lane whose time has come, the first of their streams. It returns
// the wait until the next one, 0 if there is none.
func (e *Engine) claim(ctx context.Context, lane string, n int, failing bool) (works []dispatch.Work, next time.Duration, err error) {
	defer caught(&err)
	now := e.now()
	q := store.Query{Index: record.Outbox.Index("due"), Equal: []store.Value{store.Text(lane)}, From: store.Including(store.Micros(0)), Limit: min(2*n+16, 500)}
	var rows []*record.Delivery
	if failing {
		first := q
		first.To, first.Where = store.Including(store.Time(now)), []store.Filter{store.Where("failures", store.OpEqual, store.Int(0))}
		if rows, err = record.Outbox.List(ctx, e.store, first); err != nil {
			return nil, 0, err
		}
	}
	if len(rows) == 0 {
		if rows, err = record.Outbox.List(ctx, e.store, q); err != nil {
			return nil, 0, err
		}
	}
	var mine, blocked []*record.Delivery
	heads := make(map[string]string)
	for _, row := range rows {
		if row.Due.After(now) && !e.farAhead(row.Due, now) {
			next = max(next, 0)
			if wait := row.Due.Sub(now); next == 0 || wait < next {
				next = wait
			}
			continue
		}
		if len(mine) == n {
			break
		}
		if row.Stream != "" && heads[row.Stream] == "" {
			first, err := e.streamHead(ctx, lane, row.Stream, 1)
			if err != nil {
				return nil, 0, err
			}
			if len(first) > 0 {
				heads[row.Stream] = first[0].ID
			}
		}
		if row.Stream == "" || heads[row.Stream] == row.ID {
			mine = append(mine, row)
		} else {
			blocked = append(blocked, row)
		}
	}
	if len(mine)+len(blocked) == 0 {
		return nil, next, nil
	}
	got, over, err := e.takeRows(ctx, now, mine, blocked)
	if err != nil {
		return nil, 0, err
	}
	if len(blocked) > 0 {
		next = time.Millisecond // there may be more behind them
		e.advance(ctx, blocked...)
	}
	for _, row := range over {
		e.logger.Error("latchkey: a delivery is given up, because it has begun too often without an end", "delivery", row.ID, "kind", row.Kind, "lane", lane, "tries", row.Tries)
	}
	e.advance(ctx, over...)
	for _, row := range got {
		e.outbox.hold(row)
		one := &queued{row: row}
		if one.kept, err = e.openKept(row); err != nil {
			go e.unopened(row, err) // which waits for others that end
			continue
		}
		works = append(works, &work{e, []*queued{one}, false})
	}
	return works, next, nil
}

// takeRows takes rows, and puts off those that are not the first of their streams. It returns those
// that no other process has taken meanwhile, and those that were given up.
func (e *Engine) takeRows(ctx context.Context, now time.Time, mine, blocked []*record.Delivery) (got, over []*record.Delivery, err error) {
	err = e.store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		got, over = nil, nil
		for _, read := range mine {
			err := change(ctx, tx, read, func(row *record.Delivery) bool {
				if row.Tries != read.Tries || !row.Due.Equal(read.Due) {
					return false
				}
				if row.Tries > 0 && row.Tries%maxOutboxTries == 0 {
					row.GiveUp("outbox: tried too often", now)
					over = append(over, read)
					return true
				}
				row.Tries++
				row.Due, row.Leased = now.Add(e.outbox.lease), true
				got = append(got, row)
				return true
			})
			if err != nil {
				return err
			}
		}
		for _, read := range blocked {
			err := change(ctx, tx, read, func(row *record.Delivery) bool {
				if row.Tries != read.Tries || !row.Due.Equal(read.Due) {
					return false
				}
				row.Leased = false
				row.Due = now.Add(min(max(now.Sub(row.Created)/10, 2*time.Second), 5*time.Minute))
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return got, over, err
}

// farAhead reports whether a time of a row is later than any that the engine sets: the clock was ahead
// when it was set.
func (e *Engine) farAhead(due, now time.Time) bool {
	return due.After(now.Add(time.Hour + e.outbox.lease + e.clockStep))
}

// caught turns a panic of the host's store into an error.
func caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("latchkey: the store panicked: %T", v)
	}
}

// unopened ends a row that does not open. One whose key this process lacks is left to others.
func (e *Engine) unopened(row *record.Delivery, cause error) {
	e.logUnopened(context.Background(), unopened{value: sealedOutbox, userID: row.UserID, cause: cause})
	d, outcome := &ending{row: row}, courier.Dropped
	if errors.Is(cause, seal.ErrUnknownKey) {
		outcome = courier.Again
	}
	d.decide(e.now(), outcome, &notify.Failure{Stage: "outbox", Reason: "the row does not open"})
	_ = e.end(d)
}

// renew keeps the rows that this process has for longer.
func (e *Engine) renew(o *outbox) {
	every := time.NewTicker(leaseLength / 3)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-o.stop:
			return
		}
		var old []*record.Delivery
		o.mu.Lock()
		for row, h := range o.held {
			if time.Since(h.sure) >= leaseLength/3 && (h.over.IsZero() || time.Now().Before(h.over)) {
				old = append(old, row)
				h.sure = time.Now()
			}
		}
		o.mu.Unlock()
		if len(old) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), endTime)
		err := e.store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
			for _, held := range old {
				err := change(ctx, tx, held, func(row *record.Delivery) bool {
					row.Due = e.now().Add(o.lease)
					return row.Leased && row.Tries == held.Tries
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		cancel()
		if err != nil {
			e.logger.Error("latchkey: deliveries are not renewed", "error", err)
		}
	}
}
