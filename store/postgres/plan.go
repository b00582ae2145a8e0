package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/store"
)

// Plan tells what [OpenWith] would do to the tables of the database at an address. It only
// reads. It has the errors of OpenWith. The namespace, which opening makes first if it is
// missing, is not among the steps.
func Plan(ctx context.Context, address string, o Options) (plan store.Plan, err error) {
	pool, err := newPool(ctx, address, o)
	if err != nil {
		return plan, err
	}
	defer pool.Close()
	d, err := newDatabase(pool, o, true)
	if err != nil {
		return plan, err
	}
	plan.To = d.schema.Version()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return plan, wrap(ctx, opening, err)
	}
	defer conn.Release()
	have, err := d.checked(ctx, conn)
	if err != nil {
		return plan, err
	}
	plan.Version, plan.Exists = have.version, have.version > 0
	if have.before(d.wanted()) {
		if plan.Steps, err = d.steps(have); err == nil {
			plan.Script = d.script(have, plan.Steps)
		}
	}
	return plan, err
}

// Migrate does what [Plan] tells, as [OpenWith] does without Options.NoMigrate. It needs a role that
// may change the tables. It has the errors of OpenWith.
func Migrate(ctx context.Context, address string, o Options) error {
	pool, err := newPool(ctx, address, o)
	if err != nil {
		return err
	}
	defer pool.Close()
	return MigratePool(ctx, pool, o)
}

// MigratePool is [Migrate] for a pool of the host.
func MigratePool(ctx context.Context, pool *pgxpool.Pool, o Options) error {
	d, err := newDatabase(pool, o, false)
	if err != nil {
		return err
	}
	return d.migrate(ctx, false)
}
