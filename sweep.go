package latchkey

import (
	"context"
	"errors"
	"slices"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// Swept is what [Engine.Sweep] has deleted.
type Swept struct {
	Sessions int
	Tokens   int // challenges among them
	Failures int // counts of wrong passwords and codes, and clients that were known
	Logs     int
	Users    int // anonymous ones that nobody can be any more
}

// Sweep deletes what has run out: sessions that have expired, were idle too long
// or are too old; links and codes; counts of wrong passwords and codes and known clients; lines of the log
// that are older than the policy keeps them; and anonymous users (without
// address, number or password) whose last session has run out, but not those who
// have signed out. A host calls it now and then, once a day for example, on one
// machine. It works in short batches that nobody notices. Nothing depends on it
// but room: what has run out serves nobody before it is swept. On an error the
// numbers are of what is gone.
func (e *Engine) Sweep(ctx context.Context) (swept Swept, err error) {
	if err := e.open(); err != nil {
		return swept, outward("sweep", err)
	}
	now := e.now()
	past := now.Add(time.Microsecond) // what runs out now has run out
	if err := e.sweepSessions(ctx, now, &swept); err != nil {
		return swept, outward("sweep", err)
	}
	n, err := store.Sweep(ctx, e.store, record.Sessions.Index("expire"), past)
	swept.Sessions += n
	if err != nil {
		return swept, outward("sweep", err)
	}
	if swept.Tokens, err = store.Sweep(ctx, e.store, record.Tokens.Index("expire"), past); err != nil {
		return swept, outward("sweep", err)
	}
	n, err = store.Sweep(ctx, e.store, record.Challenges.Index("expire"), past)
	swept.Tokens += n
	if err != nil {
		return swept, outward("sweep", err)
	}
	if swept.Failures, err = store.Sweep(ctx, e.store, record.Failures.Index("expire"), past); err != nil {
		return swept, outward("sweep", err)
	}
	swept.Logs, err = store.Sweep(ctx, e.store, record.Logs.Index("created"), now.Add(-e.policy.LogLength))
	return swept, outward("sweep", err)
}

// batch is how many rows of a table upkeep looks at in one transaction.
const batch = 50

// sweepSessions looks at the sessions for which it is not enough to delete them
// by their expiry: those of anonymous users, and all if the policy bounds lives.
func (e *Engine) sweepSessions(ctx context.Context, now time.Time, swept *Swept) error {
	q := store.Query{Index: record.Sessions.Index("expire"), Limit: batch}
	if p := e.policy; p.Anonymous == (Lifetime{}) && p.SingleFactor == (Lifetime{}) && p.MultiFactor == (Lifetime{}) {
		q.To = store.Including(store.Time(now))
		q.Where = []store.Filter{store.Where("provider", store.OpEqual, store.Text(providerAnonymous))}
	}
	for {
		rows, err := record.Sessions.List(ctx, e.store, q)
		if err != nil || len(rows) == 0 {
			return err
		}
		over := slices.DeleteFunc(slices.Clone(rows), func(s *record.Session) bool { return e.alive(s, now) })
		if len(over) > 0 {
			var gone Swept
			err := e.update(ctx, now, actor{mode: "server"}, func(ctx context.Context, tx *txn) error {
				gone = Swept{}
				for _, s := range over {
					if err := tx.sweepSession(ctx, s.ID, &gone); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			swept.Users += gone.Users
			swept.Sessions += gone.Sessions
		}
		q.After = q.Index.Position(record.Sessions.Row(rows[len(rows)-1]))
	}
}

// sweepSession deletes a session that is over, and with the last one of an
// anonymous user, the user.
func (tx *txn) sweepSession(ctx context.Context, id string, swept *Swept) error {
	s, err := record.Sessions.Get(ctx, tx, record.Sessions.Primary(), store.Text(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil || tx.engine.alive(s, tx.now) {
		return err
	}
	if s.Provider == providerAnonymous {
		if gone, err := tx.deleteIfLost(ctx, s.UserID); err != nil || gone {
			if gone {
				swept.Users++
			}
			return err
		}
	}
	swept.Sessions++
	return record.Sessions.Delete(ctx, tx, store.Text(id))
}

// deleteIfLost deletes an anonymous user without a session.
func (tx *txn) deleteIfLost(ctx context.Context, id string) (gone bool, err error) {
	user, err := getUser(ctx, tx, id)
	if errors.Is(err, ErrUserNotFound) {
		return false, nil
	}
	if err != nil || !anonymous(user) {
		return false, err
	}
	sessions, err := listSessions(ctx, tx, id)
	if err != nil {
		return false, err
	}
	for _, s := range sessions {
		if tx.engine.alive(s, tx.now) {
			return false, nil
		}
	}
	return true, tx.deleteUser(ctx, user)
}
