package postgres

import (
	"context"

	"example.com/latchkey/store"
)

// View takes another connection if the first is dead, until body has begun. After
// that it fails with the connection, because body may have had effects.
func (d *database) View(ctx context.Context, body func(store.Reader) error) error {
	var c *caller
	err := d.again(ctx, func(bool) (failed failure, err error) {
		c, failed, err = d.snapshot(ctx)
		return failed, err
	})
	if err != nil {
		return err
	}
	defer c.release() // rolls back, also after a panic
	return body(c)
}

// snapshotText begins a transaction that reads one snapshot. BEGIN alone fixes no
// snapshot: the first statement after it does.
const snapshotText = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1"

// snapshot returns a connection with a snapshot, in one round trip.
func (d *database) snapshot(ctx context.Context) (*caller, failure, error) {
	c, err := d.acquire(ctx)
	if err != nil {
		return nil, failure{}, err
	}
	if _, err := c.conn.Conn().PgConn().Exec(c.ctx, snapshotText).ReadAll(); err != nil {
		err = c.fail("begin", err)
		c.release()
		return nil, c.failed, err
	}
	return c, failure{}, nil
}
