package latchkey

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

const (
	// messagesInHand is how many messages of a channel a process has at most, and eventsInHand how
	// many events of a receiver.
	messagesInHand = 2000 // more than the courier's queue has places: the courier keeps domains apart
	eventsInHand   = 4
	// blockedAtOnce is how many rows that are not the first of their streams a claim puts off at most.
	blockedAtOnce = 500
	// placeInHand is how many messages to one domain, or to one calling code, it has at the courier:
	// of notices, of other messages that are proven (courier.Delivery), and of the others.
	placeInHand = 300
	// handTime is how long it renews a row whose delivery has not begun, because others are before it.
	handTime = 15 * time.Minute
	// receiveTime is how long a receiver may take.
	receiveTime = 2 * time.Minute
	// endTime is how long the store may take to note the end of a delivery.
	endTime = 10 * time.Second
	// fullWait is how long a message waits for which the queue of its channel had no room.
	fullWait = 30 * time.Second
	// endsAtOnce is how many deliveries end, or are renewed, in one transaction, and endGather how long the first of
	// them waits for others: a delivery that has ended is in no hurry.
	endsAtOnce = 100
	endGather  = 20 * time.Millisecond
)

// close ends the outbox: deliveries that have begun go on until the context ends.
func (o *outbox) close(ctx context.Context) error {
	if o == nil {
		return nil
	}
	if o.ending.Swap(true) {
		select {
		case <-o.ended:
			return o.failed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer close(o.ended)
	o.failed = o.lanes.Close(ctx)
	close(o.stop)
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.beside > 0 { // for no longer than the store may take
		o.left.Wait()
	}
	return o.failed
}

// aside runs a function on a goroutine for which close waits.
func (o *outbox) aside(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.beside++
	go func() {
		defer func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.beside--
			o.left.Broadcast()
		}()
		do()
	}()
}

// decide sets the state of a row after an outcome, and reports whether it is given up.
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

// hold notes that this process has a row, and renews it until the end, or until its delivery has not
// begun for long.
func (o *outbox) hold(row *record.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.held[row] = &holding{sure: now, over: now.Add(handTime)}
}

// enter takes one of the places at the courier for a domain.
func (o *outbox) enter(to route) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.places[to] >= placeInHand {
		return false
	}
	o.places[to]++
	return true
}

// leave gives a place back.
func (o *outbox) leave(to route) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.places[to]--; o.places[to] == 0 {
		delete(o.places, to)
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

// sure reports whether no other process has taken a delivery over. A row that this process has just
// committed is its own until the time in it. After that the store says it.
func (e *Engine) sure(ctx context.Context, one *queued) bool {
	return one.fresh && e.now().Before(one.row.Due) || e.stillMine(ctx, one.row)
}

// stillMine reports whether no other process has taken a row over. If the store does not answer,
// it is taken for ours: it is rather sent twice than lost.
func (e *Engine) stillMine(ctx context.Context, row *record.Delivery) bool {
	now, err := e.present(ctx, row)
	return err != nil || now != nil && has(now, row)
}

// present reads a row as it is now, nil if it is gone.
func (e *Engine) present(ctx context.Context, row *record.Delivery) (now *record.Delivery, err error) {
	defer caught(&err)
	return record.Outbox.Find(ctx, e.store, record.Outbox.Primary(), store.Text(row.ID))
}

// has reports whether the process that took a row has it still. Another process may have given it
// back since, so that its number is the same again.
func has(row, taken *record.Delivery) bool { return row.Leased && row.Tries == taken.Tries }

// isFirst reports whether a row is the first of its stream.
func (e *Engine) isFirst(ctx context.Context, row *record.Delivery) bool {
	if row.Stream == "" {
		return true
	}
	first, err := e.streamHead(ctx, row.Lane, row.Stream)
	return err == nil && len(first) > 0 && first[0].ID == row.ID
}

// streamHead returns the first row of a stream, if there is one.
func (e *Engine) streamHead(ctx context.Context, lane, stream string) (rows []*record.Delivery, err error) {
	defer caught(&err)
	return record.Outbox.List(ctx, e.store, store.Query{Index: record.Outbox.Index("stream"), Equal: []store.Value{store.Text(lane), store.Text(stream)}, Limit: 1})
}

// end notes the end of a delivery in its row. If the store does not take that, the row comes again.
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

// endRows notes the ends of deliveries in one transaction, and then lets the next ones of their streams
// go on. It looks for these outside of transactions: one that read a range of the table would be in
// conflict with all inserts.
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
		if d.outcome != released {
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
		if row.Stream == "" || seen[row.Lane+"\n"+row.Stream] {
			continue
		}
		seen[row.Lane+"\n"+row.Stream] = true
		head, err := e.streamHead(ctx, row.Lane, row.Stream)
		if err != nil {
			return // it is claimed a little later
		}
		if len(head) > 0 && !head[0].Leased {
			heads = append(heads, head[0])
		}
	}
	if e.advanceRows(ctx, heads) != nil {
		return
	}
	for _, row := range heads {
		e.wake(row.Lane)
	}
}

// advanceRows is the transaction of advance.
func (e *Engine) advanceRows(ctx context.Context, heads []*record.Delivery) (err error) {
	defer caught(&err)
	now := e.now()
	waits := func(row *record.Delivery) bool { return !row.Leased && row.Failures == 0 && row.Due.After(now) }
	if !slices.ContainsFunc(heads, waits) {
		return nil
	}
	return e.store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for _, head := range heads {
			err := change(ctx, tx, head, func(row *record.Delivery) bool {
				put := waits(row)
				row.Due = now
				return put
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// note changes or deletes the row of a delivery that has ended, unless another process has it.
func (d *ending) note(ctx context.Context, tx store.Tx, row *record.Delivery, now time.Time) error {
	if !has(row, d.row) || !row.GivenUp.IsZero() {
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
		if isChannel(row.Lane) {
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

// farAhead reports whether a time of a row is later than any that the engine sets: the clock was ahead
// when it was set.
func (e *Engine) farAhead(due, now time.Time) bool { return due.After(e.farthest(now)) }

// farthest is the latest time that the engine sets in a row.
func (e *Engine) farthest(now time.Time) time.Time {
	return now.Add(time.Hour + leaseLength + 2*e.clockStep)
}

// caught turns a panic of the host's store into an error.
func caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("latchkey: the store panicked: %T", v)
	}
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
			if time.Since(h.sure) >= leaseLength/3 && time.Now().Before(h.over) {
				old = append(old, row)
				h.sure = time.Now()
			}
		}
		o.mu.Unlock()
		for part := range slices.Chunk(old, endsAtOnce) {
			if err := e.renewRows(part); err != nil {
				e.logger.Error("latchkey: deliveries are not renewed", "error", err)
			}
		}
	}
}

// renewRows is a transaction of renew.
func (e *Engine) renewRows(all []*record.Delivery) (err error) {
	defer caught(&err)
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	return e.store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for _, held := range all {
			err := change(ctx, tx, held, func(row *record.Delivery) bool {
				row.Due = e.now().Add(e.outbox.lease)
				return has(row, held)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
