package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"example.com/latchkey/store"
)

// A transaction does not wait for the answer to each write. Its writes go to the server in
// one batch with the next read, or with the commit. A write that is refused is noticed then, and
// the closure may have gone on as if it had succeeded. So a refusal rolls back, and the closure runs
// again in a careful run: in that, each write waits for its answer, and the caller of the write
// gets the error. The closure of Update may run again anyway, so it sees the contract alone.
//
// References are checked late too. The server looks for the parent of a new row, and on an index
// that look is in conflict with all who insert near the parent. The less time passes between the look
// and the end of the transaction, the fewer conflicts there are. So a batch defers the looks to
// the commit, and asks for them before a write that could hide a missing parent. A careful run
// defers none.
//
// The end of a transaction is never sent before the server has answered its beginning: so a
// connection that died in the pool is noticed while the transaction can still run again.

// deferred is a statement of a transaction that waits for the next batch.
type deferred struct {
	text string
	args []store.Value
}

// binaryRows reports whether pgx asks for the columns of a batch in binary form. A host may have told it otherwise, and
// a batch cannot say which form it wants.
func binaryRows(m *pgtype.Map) bool {
	for _, id := range []uint32{pgtype.Int8OID, pgtype.BoolOID, pgtype.ByteaOID, pgtype.TimestamptzOID} {
		if m.FormatCodeForOID(id) != pgx.BinaryFormatCode {
			return false
		}
	}
	return true
}

// later adds a write to the next batch. A connection that sends no batches sends the write at once.
func (c *caller) later(text string, args []store.Value) error {
	if c.batches {
		c.waiting = append(c.waiting, deferred{text, args})
		return nil
	}
	if _, err := c.conn.Exec(c.ctx, text, arguments(args, c.mode)...); err != nil {
		return c.refused("batch", err)
	}
	return nil
}

// written says that a write waits.
func (c *caller) written() bool {
	if c.sent {
		return len(c.waiting) > 0
	}
	return len(c.waiting) > len(c.beginTexts)
}

// batch returns what waits as a batch.
func (c *caller) batch() *pgx.Batch {
	b := &pgx.Batch{}
	for _, d := range c.waiting {
		b.Queue(d.text, arguments(d.args)...)
	}
	c.waiting = c.waiting[:0]
	return b
}

// answered reads the answers to the first statements of a batch. An error of one of them is
// mended by a careful run.
func (c *caller) answered(results pgx.BatchResults, n int) error {
	for range n {
		if _, err := results.Exec(); err != nil {
			return c.refused("batch", err)
		}
	}
	c.sent = true
	return nil
}

// refused is fail for a batch, whose error may be that of an earlier call. In a careful run there is no
// earlier call.
func (c *caller) refused(what string, err error) error {
	state := ""
	if answer := (*pgconn.PgError)(nil); errors.As(err, &answer) {
		state = answer.Code
	}
	err = c.fail(what, err)
	if c.careful || c.failed.conflict || c.failed.lost || c.outer.Err() != nil {
		return err
	}
	c.failed = failure{unsure: true, state: state}
	return store.ErrAborted
}

// flush sends what waits, and waits for the answers.
func (c *caller) flush() error {
	n := len(c.waiting)
	results := c.conn.SendBatch(c.ctx, c.batch())
	err := c.answered(results, n)
	if ended := results.Close(); err == nil && ended != nil {
		err = c.refused("batch", ended)
	}
	return err
}

// queryAfter is query behind the statements that wait.
func (c *caller) queryAfter(what, text string, args []store.Value, each func([][]byte) error) (err error) {
	n, b := len(c.waiting), c.batch()
	b.Queue(text, arguments(args)...)
	results := c.conn.SendBatch(c.ctx, b)
	defer func() {
		if ended := results.Close(); err == nil && ended != nil {
			err = c.fail(what, ended)
		}
	}()
	if err := c.answered(results, n); err != nil {
		return err
	}
	rows, err := results.Query()
	return c.read(what, rows, err, each)
}

// commit ends the transaction. If the server refuses, the transaction was rolled
// back. If the server does not answer, the outcome is unknown.
func (c *caller) commit() (failure, error) {
	// New rows with parents go ahead of the commit: in one batch with it, they would come in the very time in
	// which others commit, and the looks for their parents would be in conflict with them.
	if (!c.sent || len(c.unchecked) > 0) && len(c.waiting) > 0 {
		if err := c.flush(); err != nil {
			return c.failed, err
		}
	}
	ctx, done := outlive(c.outer, lateCommit)
	defer done()
	if len(c.waiting) == 0 {
		return c.commitAlone(ctx)
	}
	n, b := len(c.waiting), c.batch()
	b.Queue("COMMIT")
	stop := c.cancelLate()
	results := c.conn.SendBatch(ctx, b)
	var tag pgconn.CommandTag
	var err error
	for range n + 1 {
		if tag, err = results.Exec(); err != nil {
			break
		}
	}
	_ = results.Close()
	if stop() {
		defer func() { c.failed.lost = true }() // the request may come late, so the connection serves no other call
		if err == nil {
			return failure{}, fmt.Errorf("%w: postgres: commit: cancelled", store.ErrUnknownOutcome)
		}
	}
	if err != nil {
		return c.notCommitted(err)
	}
	return failure{}, committed(tag)
}

// cancelLate asks the server to cancel the statement that it runs, once the context of the caller has ended and
// lateStatement has passed: a write may wait for another transaction, and the commit behind it too. The server answers a
// write that it has cancelled, so the caller learns that nothing has happened. A commit that is cancelled while it
// waits for a standby is done all the same, and perhaps on this server alone. stop reports whether the server was asked.
func (c *caller) cancelLate() (stop func() bool) {
	ended := make(chan struct{})
	unused := context.AfterFunc(c.ctx, func() {
		defer close(ended)
		ctx, done := context.WithTimeout(context.Background(), lateCommit-lateStatement)
		defer done()
		_ = c.conn.Conn().PgConn().CancelRequest(ctx)
	})
	return func() bool {
		if unused() {
			return false
		}
		<-ended
		return true
	}
}

// commitAlone sends nothing but the commit. It uses the connection below pgx.Conn, because
// pgx.Conn may report a lost answer as a statement that was never sent.
func (c *caller) commitAlone(ctx context.Context) (failure, error) {
	conn := c.conn.Conn().PgConn()
	if conn.IsClosed() {
		return failure{lost: true}, wrap(c.outer, "commit", net.ErrClosed)
	}
	results, err := conn.Exec(ctx, "COMMIT").ReadAll()
	if err != nil || len(results) != 1 {
		return c.notCommitted(err)
	}
	return failure{}, committed(results[0].CommandTag)
}

// committed refuses the answer to a commit that has rolled back.
func committed(tag pgconn.CommandTag) error {
	if tag.String() != "COMMIT" {
		return fmt.Errorf("postgres: commit: %w", store.ErrAborted)
	}
	return nil
}

// notCommitted tells a transaction that was refused from one whose outcome is unknown.
func (c *caller) notCommitted(err error) (failure, error) {
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.SeverityUnlocalized == "ERROR" && answer.Code != completionUnknown {
		err = c.refused("commit", err)
		return c.failed, err
	}
	return failure{}, fmt.Errorf("%w: %w", store.ErrUnknownOutcome, wrap(context.Background(), "commit", err))
}

// remove runs a statement that deletes rows of a table, behind those that wait. It returns the number
// of rows, after the check that no row refers to one of them.
func (c *caller) remove(t *store.Table, text string, args []store.Value) (int, error) {
	c.beforeWrite(t, false)
	checks := c.late && len(t.Children()) > 0
	if checks && len(c.unchecked) > 0 {
		c.checkNow() // what they refuse is not the answer to this call
	}
	if len(c.waiting) == 0 && !checks {
		return c.run("delete", text, args)
	}
	n, b := len(c.waiting), c.batch()
	b.Queue(text, arguments(args)...)
	if checks {
		b.Queue(referencesNow)
		b.Queue(referencesLater)
	}
	results := c.conn.SendBatch(c.ctx, b)
	err := c.answered(results, n)
	var tag pgconn.CommandTag
	if err == nil {
		if tag, err = results.Exec(); err != nil {
			err = c.fail("delete", err)
		}
	}
	for range 2 {
		if err == nil && checks {
			if _, err = results.Exec(); err != nil {
				err = c.fail("delete", err)
			}
		}
	}
	if ended := results.Close(); err == nil && ended != nil {
		err = c.fail("delete", ended)
	}
	if checks {
		c.unchecked = nil
	}
	return int(tag.RowsAffected()), err
}

// run runs a statement and returns the number of changed rows.
func (c *caller) run(what, text string, args []store.Value) (int, error) {
	tag, err := c.conn.Exec(c.ctx, text, arguments(args, c.mode)...)
	if err != nil {
		return 0, c.fail(what, err)
	}
	return int(tag.RowsAffected()), nil
}

// Insert asks for the answer in a careful run. Then a key that this transaction can see is taken for sure. For
// a key that another one has taken meanwhile, the server reports a conflict.
func (c *caller) Insert(ctx context.Context, t *store.Table, row store.Row) error {
	if !c.careful {
		c.beforeWrite(t, true)
		c.checkLater(t)
		return c.later(c.texts.Insert(t), row.Values())
	}
	n, err := c.run("insert", c.texts.Insert(t)+" ON CONFLICT DO NOTHING", row.Values())
	if err != nil || n == 1 {
		return err
	}
	if err := c.taken(ctx, t, row, false); err != nil {
		return err
	}
	return store.ErrExists
}

// taken returns the error for a key of a row that a row in the table has. other says that the row
// with the same primary key does not count.
func (c *caller) taken(ctx context.Context, t *store.Table, row store.Row, other bool) error {
	for _, ix := range t.Indexes() {
		if !ix.Unique() || other && ix == t.Primary() {
			continue
		}
		key := ix.Key(row)
		if slices.Contains(key, store.Null) { // which collides with nothing
			continue
		}
		there, err := c.Get(ctx, ix, key...)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return err
		case !other || !slices.Equal(t.Primary().Key(there), t.Primary().Key(row)):
			return store.Taken(ix)
		}
	}
	return nil
}

// Replace looks for the keys of the row first in a careful run. A key that is taken all the same
// was taken meanwhile, and the next run sees it.
func (c *caller) Replace(ctx context.Context, t *store.Table, row store.Row) error {
	text, args := c.texts.Replace(t, row)
	if !c.careful {
		c.beforeWrite(t, false)
		c.checkLater(t)
		err := c.later(mustChange(text), args)
		if c.late && slices.ContainsFunc(t.Children(), func(r store.Reference) bool { return r.Parent != t.Primary() }) {
			c.checkNow() // the row may have lost the key to which another one refers
		}
		return err
	}
	_, err := c.Get(ctx, t.Primary(), t.Primary().Key(row)...)
	if err == nil {
		err = c.taken(ctx, t, row, true)
	}
	if err != nil {
		return err
	}
	_, err = c.run("replace", text, args)
	if taken := (*store.ExistsError)(nil); errors.As(err, &taken) { // not by a key of the host's, which no run looks for
		c.failed = failure{conflict: true, state: uniqueViolation}
	}
	return err
}

// mustChange returns a statement that fails if it changes no row.
func mustChange(text string) string {
	return "WITH changed AS (" + text + " RETURNING 1) SELECT 1 / count(*) FROM changed"
}

// Delete waits for its answer: whether there was a row is what the closure asks.
func (c *caller) Delete(_ context.Context, t *store.Table, key ...store.Value) error {
	n, err := c.remove(t, c.texts.Delete(t), key)
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// DeleteRange waits for its answer, because that says how many rows there were.
func (c *caller) DeleteRange(_ context.Context, q store.Query) (int, error) {
	text, args := c.texts.DeleteRange(q)
	return c.remove(q.Index.Table(), text, args)
}
