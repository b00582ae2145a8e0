package latchkey

import (
	"context"
	"crypto/rand"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// EndAll ends every session, link, code, challenge, invitation, JWT and begun sign-in of every
// user, at once, on every machine. It is for a host that has restored a backup, in which ended
// sessions and used links are back, and for one whose database or key has leaked. Links that
// restore a former address end too, and so the address is free. It is one
// transaction, whose length grows with the number of sessions; other writes wait for it.
// Passwords and factors stay as they are. The log has one line of it, and there is one event
// for all.
//
// Services that check JWTs without asking the engine do not learn of it: their JWTs end by
// themselves, within an hour.
func (e *Engine) EndAll(ctx context.Context) (err error) {
	defer e.operation(&ctx, "end all").end(&err)
	c, err := e.maintenance()
	if err != nil {
		return err
	}
	epoch := make([]byte, 16)
	_, _ = rand.Read(epoch) // never fails
	return c.update(ctx, func(ctx context.Context, tx *txn) error {
		if err := tx.deleteSessionTargets(ctx); err != nil {
			return err
		}
		if err := tx.endEveryUndo(ctx); err != nil {
			return err
		}
		for _, q := range []store.Query{
			{Index: record.Sessions.Primary(), Limit: store.MaxLimit}, {Index: record.Tokens.Primary(), Limit: store.MaxLimit},
			{Index: record.Challenges.Primary(), Limit: store.MaxLimit}, {Index: record.Starts.Primary(), Limit: store.MaxLimit}, everyInvitation(store.MaxLimit),
		} {
			n, err := tx.deleteEvery(ctx, q)
			if err != nil {
				return err
			}
			if q.Index.Table() == record.Sessions.Table {
				tx.seen = append(tx.seen, Observation{What: ObservedSessions, Name: "ended", Count: n})
			}
		}
		if err := tx.setEpoch(ctx, epoch); err != nil {
			return err
		}
		tx.tellAll("sessions.all.delete")
		return record.Logs.Insert(ctx, tx, tx.logRow(logEndAll, "", ""))
	})
}

// deleteEvery deletes all rows that a query selects, and returns their number.
func (tx *txn) deleteEvery(ctx context.Context, q store.Query) (gone int, err error) {
	for {
		n, err := tx.DeleteRange(ctx, q)
		gone += n
		if err != nil || n < store.MaxLimit {
			return gone, err
		}
	}
}
