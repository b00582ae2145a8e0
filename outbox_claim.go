package latchkey

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/dispatch"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// startOutbox starts the outbox of an engine.
func (e *Engine) startOutbox(config Outbox, report *courier.Report, payloads map[string]func() any) {
	config.Receivers = slices.Clone(config.Receivers) // the host may change its own
	for i := range config.Receivers {
		config.Receivers[i].Events = slices.Clone(config.Receivers[i].Events)
	}
	o := &outbox{
		config: config, lease: leaseLength + e.clockStep, report: report, payloads: payloads,
		held: make(map[*record.Delivery]*holding), places: make(map[route]int), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	o.left = sync.NewCond(&o.mu)
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
		lanes = append(lanes, lane(r.Name, eventsInHand, true))
	}
	e.outbox = o
	o.lanes = dispatch.New(lanes)
	o.lanes.Start()
	o.aside(func() { e.renew(o) })
}

// claim takes up to n rows of a lane whose time has come, the first of their streams. It returns
// the wait until the next one, 0 if there is none.
func (e *Engine) claim(ctx context.Context, lane string, n int, failing bool) (works []dispatch.Work, next time.Duration, err error) {
	defer caught(&err)
	var found sorted
	if failing {
		due := store.Including(store.Time(e.now()))
		found, err = e.look(ctx, lane, n, due, store.Where("failures", store.OpEqual, store.Int(0)))
		if err == nil && len(found.mine) == 0 {
			blocked := found.blocked
			found, err = e.look(ctx, lane, n, due, store.Where("failures", store.OpGreaterThan, store.Int(0)))
			found.blocked = append(found.blocked, blocked...)
		}
	}
	if err == nil && len(found.mine)+len(found.blocked) == 0 {
		found, err = e.look(ctx, lane, n, store.Bound{})
	}
	if err != nil || len(found.mine)+len(found.blocked) == 0 {
		return nil, found.next, err
	}
	next = found.next
	got, over, err := e.takeRows(ctx, found.mine, found.blocked)
	if err != nil {
		return nil, 0, err
	}
	if len(found.blocked) > 0 {
		next = time.Millisecond // there may be more behind them
		e.advance(ctx, found.blocked...)
	}
	e.gaveUp(ctx, "latchkey: a delivery is given up, because it has begun too often without an end", over)
	for _, row := range got {
		e.outbox.hold(row)
		one := &queued{row: row}
		kept, failed := e.openKept(row)
		if failed != nil {
			e.outbox.aside(func() { e.unopened(row, failed) }) // which waits for others that end
			continue
		}
		one.kept = kept
		works = append(works, &work{e, []*queued{one}, false})
	}
	return works, next, nil
}

// sorted are rows of a lane: those that may be taken, those whose time has come but which are not
// the first of their streams, and the wait until the time of the next one comes, 0 for none.
type sorted struct {
	mine, blocked []*record.Delivery
	next          time.Duration
}

// look finds up to n rows of a lane that may be taken. It looks at some rows more than that, and at
// many if none of these is the first of its stream.
func (e *Engine) look(ctx context.Context, lane string, n int, to store.Bound, where ...store.Filter) (s sorted, err error) {
	for _, limit := range []int{2*n + 16, blockedAtOnce} {
		rows, err := record.Outbox.List(ctx, e.store, store.Query{
			Index: record.Outbox.Index("due"), Equal: []store.Value{store.Text(lane)}, From: store.Including(store.Micros(0)), To: to, Where: where, Limit: limit,
		})
		if err != nil {
			return sorted{}, err
		}
		if s, err = e.sortOut(ctx, lane, n, rows); err != nil || len(s.mine) > 0 || len(s.blocked) < limit {
			return s, err
		}
	}
	return s, nil
}

// sortOut says which rows may be taken, n at most.
func (e *Engine) sortOut(ctx context.Context, lane string, n int, rows []*record.Delivery) (s sorted, err error) {
	now := e.now() // after the rows were read: a lease of then is not far ahead of an older time
	heads := make(map[string]string)
	for _, row := range rows {
		if row.Due.After(now) && !e.farAhead(row.Due, now) {
			if wait := row.Due.Sub(now); s.next == 0 || wait < s.next {
				s.next = wait
			}
			continue
		}
		if len(s.mine) == n {
			break
		}
		if row.Stream != "" && heads[row.Stream] == "" {
			first, err := e.streamHead(ctx, lane, row.Stream)
			if err != nil {
				return sorted{}, err
			}
			if len(first) > 0 {
				heads[row.Stream] = first[0].ID
			}
		}
		if row.Stream == "" || heads[row.Stream] == row.ID {
			s.mine = append(s.mine, row)
		} else {
			s.blocked = append(s.blocked, row)
		}
	}
	return s, nil
}

// takeRows takes rows, and puts off those that are not the first of their streams. It returns those
// that no other process has taken meanwhile, and those that were given up.
func (e *Engine) takeRows(ctx context.Context, mine, blocked []*record.Delivery) (got, over []*record.Delivery, err error) {
	err = e.store.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		got, over = nil, nil
		now := e.now()
		for _, read := range mine {
			err := change(ctx, tx, read, func(row *record.Delivery) bool {
				if !isAsRead(row, read) {
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
				if !isAsRead(row, read) {
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

// isAsRead reports whether no process has claimed, put off or moved a row since it was read.
func isAsRead(row, read *record.Delivery) bool {
	return row.Tries == read.Tries && row.Due.Equal(read.Due) && row.Lane == read.Lane
}

// gaveUp logs and tells that deliveries were given up without a try, and lets the next ones of their
// streams go on.
func (e *Engine) gaveUp(ctx context.Context, line string, all []*record.Delivery) {
	for _, row := range all {
		e.logger.ErrorContext(ctx, line, "delivery", row.ID, "kind", row.Kind, "to", row.Lane, "tries", row.Tries)
		e.observe(ctx, Observation{What: ObservedDelivery, Name: row.Lane, Outcome: courier.Dropped, Count: 1})
	}
	e.advance(ctx, all...)
}

// unopened ends a row that does not open. One whose key this process lacks is left to others.
func (e *Engine) unopened(row *record.Delivery, cause error) {
	e.logUnopened(context.Background(), unopened{value: sealedOutbox, userID: row.UserID, cause: cause})
	d, outcome := &ending{row: row}, courier.Dropped
	if errors.Is(cause, seal.ErrUnknownKey) {
		outcome = courier.Again
	}
	d.decide(e.now(), outcome, &notify.Failure{Stage: "outbox", Reason: "the row does not open"})
	e.observe(context.Background(), Observation{What: ObservedDelivery, Name: row.Lane, Outcome: d.outcome, Count: 1})
	_ = e.end(d)
}
