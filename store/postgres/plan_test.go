package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// tablesOf makes the tables of a version in a new namespace.
func tablesOf(t *testing.T, conn *pgx.Conn, version int) (namespace string) {
	t.Helper()
	namespace = pgtest.Namespace()
	d := &database{schema: record.Schema, names: names{namespace, ""}}
	steps, err := d.steps(0)
	if err != nil {
		t.Fatal(err)
	}
	steps = append([]string{"CREATE SCHEMA " + namespace}, steps[:version-firstVersion+2]...)
	steps = append(steps, fmt.Sprintf("INSERT INTO %s VALUES ('%s', %d)", d.names.table(versionTable), record.Schema.Name(), version))
	for _, text := range steps {
		if _, err := conn.Exec(limited(t), text); err != nil {
			t.Fatal(err)
		}
	}
	return namespace
}

func TestPlanTellsWhatOpeningDoes(t *testing.T) {
	ctx, address, to := limited(t), pgtest.Shared(t).Address(), record.Schema.Version()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for version := firstVersion; version <= to; version++ {
		o := Options{Namespace: tablesOf(t, conn, version)}
		before := describe(t, conn, o.Namespace, "none")
		plan, err := Plan(ctx, address, o)
		if err != nil || !plan.Exists || plan.Version != version || plan.To != to || plan.Upgrades() != (version < to) || len(plan.Steps) != to-version {
			t.Errorf("version %d: %+v, %v", version, plan, err)
		}
		if version < to && !strings.Contains(plan.Steps[len(plan.Steps)-1], `"`+o.Namespace+`"`) {
			t.Errorf("version %d: the last step is %q", version, plan.Steps[len(plan.Steps)-1])
		}
		if after := describe(t, conn, o.Namespace, "none"); strings.Join(before, "\n") != strings.Join(after, "\n") {
			t.Errorf("version %d: the tables were changed", version)
		}
		open(t, address, o)
		if plan, err := Plan(ctx, address, o); err != nil || plan.Version != to || len(plan.Steps) != 0 {
			t.Errorf("version %d, opened: %+v, %v", version, plan, err)
		}
	}
}

func TestPlanOfNoTablesMakesNone(t *testing.T) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	o := Options{Namespace: pgtest.Namespace()}
	for range 2 {
		plan, err := Plan(ctx, address, o)
		if err != nil || plan.Exists || plan.Version != 0 || plan.Upgrades() || len(plan.Steps) != record.Schema.Version()-firstVersion+2 {
			t.Errorf("%+v, %v", plan, err)
		}
	}
}

func TestPlanRefusesWhatOpenRefuses(t *testing.T) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for change, want := range map[string]error{
		"version = version + 1": store.ErrNewer,
		"name = 'other'":        store.ErrForeign,
	} {
		o := Options{Namespace: tablesOf(t, conn, record.Schema.Version())}
		if _, err := conn.Exec(ctx, "UPDATE "+o.Namespace+"."+versionTable+" SET "+change); err != nil {
			t.Fatal(err)
		}
		if _, err := Plan(ctx, address, o); !errors.Is(err, want) {
			t.Errorf("%s: %v", change, err)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Plan(over, address, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}
