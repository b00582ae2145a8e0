package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

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
// snapshot: the first statement after the lock does. An upgrade takes its first lock on the same table, so it
// waits for the View before it has locked any of the tables that the View will read.
func (d *database) snapshotText(lock string) string {
	return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE " + d.names.table(lock) + " IN ACCESS SHARE MODE; SELECT 1"
}

// snapshot returns a connection with a snapshot, in one round trip. Reads go on after an upgrade, which takes the
// marker of this program's version away.
func (d *database) snapshot(ctx context.Context) (*caller, failure, error) {
	c, err := d.acquire(ctx)
	if err != nil {
		return nil, failure{}, err
	}
	raw := c.conn.Conn().PgConn()
	_, err = raw.Exec(c.ctx, d.snapshotText(marker(d.schema.Version()))).ReadAll()
	if answer := (*pgconn.PgError)(nil); errors.As(err, &answer) && answer.Code == undefinedTable {
		_, err = raw.Exec(c.ctx, "ROLLBACK; "+d.snapshotText(versionTable)).ReadAll()
	}
	if err != nil {
		err = c.fail("begin", err)
		c.release()
		return nil, c.failed, err
	}
	return c, failure{}, nil
}
