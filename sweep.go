package latchkey

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Swept counts the rows that [Engine.Sweep] has deleted.
type Swept struct {
	Sessions int `json:"sessions"`
	Tokens   int `json:"tokens"`   // including challenges, invitations and begun sign-ins by providers and passkeys
	Failures int `json:"failures"` // counts of wrong passwords and codes, known clients, and used ID tokens
	Logs     int `json:"logs"`
	Users    int `json:"users"` // anonymous users without a live session
	// Deliveries are messages and events of the outbox that were given up 30 days ago.
	Deliveries int `json:"deliveries"`
}

// observed tells the observer the numbers of the deleted rows.
func (s *Swept) observed(ctx context.Context, e *Engine) {
	for _, rows := range []struct {
		name string
		n    int
	}{{"sessions", s.Sessions}, {"tokens", s.Tokens}, {"failures", s.Failures}, {"logs", s.Logs}, {"users", s.Users}, {"deliveries", s.Deliveries}} {
		e.observe(ctx, Observation{What: ObservedSweep, Name: rows.name, Count: rows.n})
	}
}

// maintenance is a call of the engine's own.
func (e *Engine) maintenance() (*call, error) {
	if err := e.open(); err != nil {
		return nil, err
	}
	return &call{Engine: e, server: true, by: actor{mode: modeSystem}, now: e.now()}, nil
}

// Sweep deletes expired rows: sessions that have expired, were idle too long or are too old;
// links, codes, challenges, invitations and begun sign-ins by providers; counts of wrong
// passwords and codes; known clients; used ID tokens; log lines that are older than the policy
// keeps them; messages and events of the outbox that were given up 30 days ago; and anonymous
// users (without address, number and password) whose last session has expired, but not those who
// have signed out, nor those to whom rows of the host refer by a foreign key. It also deletes rows
// that were made while the clock was ahead (Config.MaxClockStep). It gives up messages and events
// that have waited in the outbox for 72 hours, and that no process has claimed for a day. A host
// calls it now and then, for example once a day, on one machine. It works in short batches
// that do not hold up other calls. Only disk space depends on it: an expired row is worthless
// before it is swept. At the end a store that can leaves nothing of deleted rows in its log
// ([store.Tidier]). After an error the counts are those of the rows that are gone.
//
// Errors:
//   - [ErrReferenced]: rows of the host refer to rows of another table than users. Everything
//     else was swept.
func (e *Engine) Sweep(ctx context.Context) (swept Swept, err error) {
	defer e.operation(&ctx, "sweep").end(&err)
	c, err := e.maintenance()
	if err != nil {
		return swept, err
	}
	defer func() { swept.observed(ctx, e) }()
	if err := c.sweepSessions(ctx, &swept); err != nil {
		return swept, err
	}
	if err := c.sweepAhead(ctx, &swept); err != nil {
		return swept, err
	}
	if err := c.sweepOutbox(ctx); err != nil {
		return swept, err
	}
	past := c.now.Add(time.Microsecond) // a row that expires now has expired
	var referenced error
	for _, s := range []struct {
		index  *store.Index
		before time.Time
		count  *int
	}{
		{record.Sessions.Index("expire"), past, &swept.Sessions},
		{record.Tokens.Index("expire"), past, &swept.Tokens},
		{record.Challenges.Index("expire"), past, &swept.Tokens},
		{record.Starts.Index("expire"), past, &swept.Tokens},
		{record.Ceremonies.Index("expire"), past, &swept.Tokens},
		{record.Memberships.Index("expire"), past, &swept.Tokens},
		{record.Failures.Index("expire"), past, &swept.Failures},
		{record.Logs.Index("created"), c.now.Add(-c.policy.LogLength), &swept.Logs},
		{record.Outbox.Index("given_up"), c.now.Add(-givenUpLife), &swept.Deliveries},
	} {
		n, err := store.Sweep(ctx, c.store, s.index, s.before)
		*s.count += n
		if errors.Is(err, store.ErrReference) { // the other tables can be swept
			referenced = err
			continue
		}
		if err != nil {
			return swept, err
		}
	}
	if tidier, can := e.store.(store.Tidier); can {
		return swept, cmp.Or(tidier.Tidy(ctx), referenced)
	}
	return swept, referenced
}

// sweepOutbox gives up deliveries that have waited for too long and that no process claims: their
// channel or their receiver is in no configuration any more. Those of this engine's own lanes wait
// for their turn.
func (c *call) sweepOutbox(ctx context.Context) error {
	q := store.Query{Index: record.Outbox.Primary(), Limit: batch, Where: []store.Filter{
		store.Where("queued", store.OpLessThan, store.Time(c.now.Add(-outboxLife))), store.Where("due", store.OpLessThan, store.Time(c.now.Add(-24*time.Hour))),
	}}
	for rows, err := range record.Outbox.Pages(ctx, c.store, q) {
		if err != nil {
			return err
		}
		over, err := update(ctx, c, func(ctx context.Context, tx *txn) (over []*record.Delivery, err error) {
			for _, row := range rows {
				if c.outbox != nil && c.outbox.lanes.Has(row.Lane) {
					continue
				}
				err := change(ctx, tx, row, func(now *record.Delivery) bool {
					still := now.Tries == row.Tries && now.Queued.Equal(row.Queued) // and not claimed or requeued since
					now.GiveUp("outbox: no process delivers it", c.now)
					if still {
						over = append(over, row)
					}
					return still
				})
				if err != nil {
					return nil, err
				}
			}
			return over, nil
		})
		if err != nil {
			return err
		}
		c.gaveUp(ctx, "latchkey: a delivery is given up, because no process has delivered it for 72 hours", over)
	}
	return nil
}

// sweepOutboxAhead brings the times of deliveries back that were set while the clock was ahead.
func (c *call) sweepOutboxAhead(ctx context.Context) error {
	far := c.farthest(c.now)
	q := store.Query{Index: record.Outbox.Primary(), Limit: batch, Where: []store.Filter{store.Or(
		store.Where("due", store.OpGreaterThan, store.Time(far)), store.Where("queued", store.OpGreaterThan, store.Time(c.now.Add(c.clockStep))),
	)}}
	for rows, err := range record.Outbox.Pages(ctx, c.store, q) {
		if err != nil {
			return err
		}
		err := c.update(ctx, func(ctx context.Context, tx *txn) error {
			for _, read := range rows {
				err := change(ctx, tx, read, func(row *record.Delivery) bool {
					if row.Due.After(far) {
						row.Due, row.Leased = c.now, false
					}
					if c.ahead(row.Queued, c.now) {
						row.Queued = c.now
					}
					return row.Tries == read.Tries
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepSessions looks at the sessions for which deletion by their expiry is not enough:
// those of anonymous users, those with push targets, and all of them if the policy bounds
// lives.
func (c *call) sweepSessions(ctx context.Context, swept *Swept) error {
	q := store.Query{Index: record.Sessions.Index("expire"), Limit: batch}
	if !c.policy.Sessions.boundsLives() {
		q.To = store.Including(store.Time(c.now))
		q.Where = []store.Filter{{Op: store.OpOr, Filters: []store.Filter{
			store.Where("provider", store.OpEqual, store.Text(providerAnonymous)),
			store.Where("targets", store.OpEqual, store.Bool(true)),
		}}}
	}
	for rows, err := range record.Sessions.Pages(ctx, c.store, q) {
		if err != nil {
			return err
		}
		over := slices.DeleteFunc(slices.Clone(rows), c.alive)
		if len(over) == 0 {
			continue
		}
		err := c.sweepBatch(ctx, over, swept)
		if isKept(err) { // one of their users cannot be deleted: the others can
			err = c.sweepOneByOne(ctx, over, swept)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isKept reports whether the host keeps a row: its own rows refer to that, or InTransaction refuses
// the deletion.
func isKept(err error) bool {
	_, refused := errors.AsType[*hostError](err)
	return refused || errors.Is(err, store.ErrReference)
}

// sweepBatch deletes sessions that are over, in one transaction.
func (c *call) sweepBatch(ctx context.Context, over []*record.Session, swept *Swept) error {
	gone, err := update(ctx, c, func(ctx context.Context, tx *txn) (gone Swept, err error) {
		for _, s := range over {
			if err := tx.sweepSession(ctx, s.ID, &gone); err != nil {
				return gone, err
			}
		}
		return gone, nil
	})
	if err == nil {
		swept.Users += gone.Users
		swept.Sessions += gone.Sessions
	}
	return err
}

// sweepOneByOne is sweepBatch with a transaction for each session. A user whom the host keeps stays.
// Their session is swept with all others that have expired.
func (c *call) sweepOneByOne(ctx context.Context, over []*record.Session, swept *Swept) error {
	for _, s := range over {
		switch err := c.sweepBatch(ctx, []*record.Session{s}, swept); {
		case isKept(err):
			c.logger.WarnContext(ctx, "latchkey: an anonymous user or its session is not swept, because rows of the host refer to it, or InTransaction refuses that", "user", s.UserID)
		case err != nil:
			return err
		}
	}
	return nil
}

// sweepAhead deletes what was made while the clock was ahead by more than Config.MaxClockStep,
// and takes from sessions what happened to them then, so that it is not good when that time
// comes.
func (c *call) sweepAhead(ctx context.Context, swept *Swept) error {
	latest := store.Time(c.now.Add(c.clockStep))
	later := func(columns ...string) []store.Filter {
		var any []store.Filter
		for _, name := range columns {
			any = append(any, store.Where(name, store.OpGreaterThan, latest))
		}
		return []store.Filter{store.Or(any...)}
	}
	invitations := everyInvitation(batch)
	invitations.Where = later("invited")
	for _, q := range []store.Query{
		{Index: record.Tokens.Index("expire"), Where: later("created"), Limit: batch},
		{Index: record.Challenges.Index("expire"), Where: later("created"), Limit: batch},
		{Index: record.Starts.Index("expire"), Where: later("created"), Limit: batch},
		{Index: record.Ceremonies.Index("expire"), Where: later("created"), Limit: batch},
		invitations,
	} {
		for gone := batch; gone == batch; {
			err := c.update(ctx, func(ctx context.Context, tx *txn) (err error) {
				gone, err = tx.DeleteRange(ctx, q)
				return err
			})
			if err != nil {
				return err
			}
			swept.Tokens += gone
		}
	}
	err := c.sweepOutboxAhead(ctx)
	if err != nil {
		return err
	}
	q := store.Query{Index: record.Sessions.Index("expire"), Limit: batch, Where: later("created", "updated", "touched", "challenged", "owing", "strong", "confirmed")}
	for rows, err := range record.Sessions.Pages(ctx, c.store, q) {
		if err != nil {
			return err
		}
		err := c.update(ctx, func(ctx context.Context, tx *txn) error {
			for _, s := range rows {
				if err := tx.mendSession(ctx, s.ID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, s := range rows {
			if c.ahead(s.Created, c.now) || c.ahead(s.Owing, c.now) {
				swept.Sessions++
			}
		}
	}
	return nil
}

// sweepSession deletes a session that is over. With the last session of an anonymous
// user it deletes the user.
func (tx *txn) sweepSession(ctx context.Context, id string, swept *Swept) error {
	s, err := record.Sessions.Find(ctx, tx, record.Sessions.Primary(), store.Text(id))
	if err != nil || s == nil || tx.alive(s) {
		return err
	}
	if s.Provider == providerAnonymous {
		gone, err := tx.deleteIfLost(ctx, s.UserID)
		if err != nil {
			return err
		}
		if gone {
			swept.Users++
			return nil
		}
	}
	swept.Sessions++
	user, err := getUser(ctx, tx, s.UserID)
	if err != nil {
		return err
	}
	return tx.deleteSession(ctx, user, s)
}

// deleteIfLost deletes an anonymous user without a live session.
func (tx *txn) deleteIfLost(ctx context.Context, id string) (gone bool, err error) {
	user, err := findUser(ctx, tx, id)
	if err != nil || user == nil || !anonymous(user) {
		return false, err
	}
	rows, err := sessionRows(ctx, tx, id)
	if err != nil || slices.ContainsFunc(rows, tx.alive) {
		return false, err
	}
	return true, tx.deleteUser(ctx, user)
}
