package postgres

import (
	"context"

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
	if plan.Version, err = d.checked(ctx, conn); err != nil {
		return plan, err
	}
	plan.Exists = plan.Version > 0
	if plan.Version < plan.To {
		plan.Steps, err = d.steps(plan.Version)
	}
	return plan, err
}
