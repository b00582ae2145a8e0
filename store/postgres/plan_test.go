package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// states returns every state of the tables that a program of this project had, in their order.
func states(t *testing.T) (all []state) {
	t.Helper()
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var s state
		if n, _ := fmt.Sscanf(file.Name(), "%04d_%02d.sql", &s.version, &s.additions); n == 0 {
			t.Fatal(file.Name())
		}
		all = append(all, s)
	}
	return all
}

// tablesOf makes the tables of a state in a new namespace.
func tablesOf(t *testing.T, conn *pgx.Conn, of state) (namespace string) {
	t.Helper()
	namespace = pgtest.Namespace()
	d := &database{schema: record.Schema, names: names{namespace, ""}}
	steps, err := d.steps(state{})
	if err != nil {
		t.Fatal(err)
	}
	steps = append([]string{"CREATE SCHEMA " + namespace}, steps[:slices.Index(states(t), of)+2]...)
	steps = append(steps, fmt.Sprintf("INSERT INTO %s VALUES ('%s', %d, %d)", d.names.table(versionTable), record.Schema.Name(), of.version, of.additions))
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
	all := states(t)
	for i, of := range all {
		o, version, left := Options{Namespace: tablesOf(t, conn, of)}, of.version, len(all)-1-i
		before := describe(t, conn, o.Namespace, "none")
		plan, err := Plan(ctx, address, o)
		if err != nil || !plan.Exists || plan.Version != version || plan.To != to || plan.Upgrades() != (left > 0) || plan.Adds() != (left > 0 && version == to) || len(plan.Steps) != left {
			t.Errorf("version %d: %+v, %v", version, plan, err)
		}
		if left > 0 && !strings.Contains(plan.Steps[len(plan.Steps)-1], `"`+o.Namespace+`"`) {
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

// Since there are markers, each state has the one of its version. It is locked first by the upgrade that takes it away.
func TestEachStateHasTheMarkerOfItsVersion(t *testing.T) {
	ctx := limited(t)
	conn, err := pgx.Connect(ctx, pgtest.Shared(t).Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, of := range states(t) {
		rows, err := conn.Query(ctx, "SELECT table_name::text FROM information_schema.tables WHERE table_schema = $1 AND table_name ~ '^schema_v[0-9]'", tablesOf(t, conn, of))
		if err != nil {
			t.Fatal(err)
		}
		markers, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if !of.before(firstMarked) {
			want = []string{marker(of.version)}
		}
		if !slices.Equal(markers, want) {
			t.Errorf("%s: %q", of.name(), markers)
		}
		text := (&database{schema: record.Schema, names: names{"public", ""}}).lockText(of)
		if locked := strings.Contains(text, `"`+marker(of.version)+`"`); locked != (want != nil) {
			t.Errorf("%s: %s", of.name(), text)
		}
	}
}

func TestPlanOfNoTablesMakesNone(t *testing.T) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	o := Options{Namespace: pgtest.Namespace()}
	for range 2 {
		plan, err := Plan(ctx, address, o)
		if err != nil || plan.Exists || plan.Version != 0 || plan.Upgrades() || len(plan.Steps) != len(states(t))+1 {
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
		o := Options{Namespace: tablesOf(t, conn, state{version: record.Schema.Version()})}
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

// A program that may not migrate refuses the tables of every earlier state, and leaves them alone.
// On the tables of its version with further additions it runs.
func TestTablesOfAnEarlierStateAreRefusedUnlessTheyMayBeChanged(t *testing.T) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	all := states(t)
	for i, of := range all {
		o := Options{Namespace: tablesOf(t, conn, of), NoMigrate: true}
		before := describe(t, conn, o.Namespace, "none")
		s, err := OpenWith(ctx, address, o)
		if last := i == len(all)-1; last != (err == nil) || !last && !errors.Is(err, store.ErrOlder) {
			t.Errorf("%+v: %v", of, err)
		}
		if after := describe(t, conn, o.Namespace, "none"); strings.Join(before, "\n") != strings.Join(after, "\n") {
			t.Errorf("%+v: the tables were changed", of)
		}
		if err == nil {
			_ = s.Close()
		}
		if err := Migrate(ctx, address, o); err != nil {
			t.Errorf("%+v: %v", of, err)
		}
		if _, err := conn.Exec(ctx, "UPDATE "+o.Namespace+"."+versionTable+" SET additions = additions + 1"); err != nil {
			t.Fatal(err)
		}
		s = open(t, address, o)
		if err := add(ctx, s, "row"); err != nil {
			t.Errorf("%+v: %v", of, err)
		}
	}
	if _, err := OpenWith(ctx, address, Options{Namespace: pgtest.Namespace(), NoMigrate: true}); !errors.Is(err, store.ErrOlder) {
		t.Errorf("no tables: %v", err)
	}
}

// The script of a plan makes the tables that opening makes, once.
func TestTheScriptOfAPlanDoesWhatOpeningDoes(t *testing.T) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	// tables describes the tables of a namespace without its name.
	tables := func(namespace string) []string {
		all := describe(t, conn, namespace, "none")
		for i := range all {
			all[i] = strings.ReplaceAll(all[i], namespace, "NAMESPACE")
		}
		slices.Sort(all)
		return all
	}
	opened := Options{Namespace: pgtest.Namespace()}
	open(t, address, opened)
	want := tables(opened.Namespace)
	for _, of := range append(states(t), state{}) {
		o := Options{Namespace: pgtest.Namespace(), NoMigrate: true}
		if of.version > 0 {
			o.Namespace = tablesOf(t, conn, of)
		}
		plan, err := Plan(ctx, address, o)
		if err != nil {
			t.Fatal(err)
		}
		if (plan.Script == "") != (len(plan.Steps) == 0) {
			t.Errorf("%+v: %d steps, and the script %q", of, len(plan.Steps), plan.Script)
		}
		if _, err := conn.Exec(ctx, plan.Script); err != nil {
			t.Fatalf("%+v: %v", of, err)
		}
		open(t, address, o)
		if diff := cmp.Diff(want, tables(o.Namespace)); diff != "" {
			t.Errorf("%+v: %s", of, diff)
		}
		if plan.Script == "" {
			continue
		}
		if _, err := conn.Exec(ctx, plan.Script); err == nil {
			t.Errorf("%+v: the script runs twice", of)
		}
		if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, tables(o.Namespace)); diff != "" {
			t.Errorf("%+v, twice: %s", of, diff)
		}
	}
}
