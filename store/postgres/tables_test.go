package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// describe lists the catalog's description of the tables of a namespace.
func describe(t *testing.T, conn *pgx.Conn, namespace, prefix string) (lines []string) {
	t.Helper()
	rows, err := conn.Query(limited(t), `
		SELECT table_name || ' ' || ordinal_position || ' ' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || coalesce(collation_name, '')
			FROM information_schema.columns WHERE table_schema = $1
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1
		UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = $1::regnamespace
`, namespace)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range all {
		if !strings.Contains(line, versionTable) {
			lines = append(lines, strings.NewReplacer(namespace+".", "", prefix, "").Replace(line))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestMigrationsMakeTheDeclaredTables(t *testing.T) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	migrated, declared := pgtest.Namespace(), pgtest.Namespace()
	open(t, address, Options{Namespace: migrated, Prefix: "auth_"})
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+declared); err != nil {
		t.Fatal(err)
	}
	n := names{declared, ""}
	for _, table := range record.Schema.Tables() {
		for _, text := range n.dialect().Create(table) {
			if _, err := conn.Exec(ctx, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := describe(t, conn, declared, "none")
	if diff := cmp.Diff(want, describe(t, conn, migrated, "auth_")); diff != "" || len(want) < 50 {
		t.Errorf("%d lines; declared against migrated (-declared +migrated):\n%s", len(want), diff)
	}
}

// openByEight opens a namespace eight times at once. Each of the stores adds a
// row.
func openByEight(t *testing.T, address, namespace string) {
	t.Helper()
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			s, err := OpenWith(limited(t), address, Options{Namespace: namespace, MaxConns: 1})
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(add(limited(t), s, fmt.Sprint(n)), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestManyOpenersMakeTheTablesOnce(t *testing.T) {
	address, namespace := pgtest.Shared(t).Address(), pgtest.Namespace()
	openByEight(t, address, namespace)
	n, err := open(t, address, Options{Namespace: namespace}).Count(limited(t), store.Query{Index: record.Failures.Primary()})
	if n != 8 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestManyOpenersUpgradeTheTablesOnce(t *testing.T) {
	ctx, address, namespace := limited(t), pgtest.Shared(t).Address(), pgtest.Namespace()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	first, err := migrations.ReadFile("migrations/0002.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf("CREATE SCHEMA %[1]s; CREATE TABLE %[1]s.schema_version (name text NOT NULL, version bigint NOT NULL);"+
		"INSERT INTO %[1]s.schema_version VALUES ('latchkey', 2);", namespace)+strings.NewReplacer("{s}", namespace, "{p}", "").Replace(string(first))+
		fmt.Sprintf("INSERT INTO %s.failures VALUES ('test', 'old', 7, now(), now())", namespace)); err != nil {
		t.Fatal(err)
	}
	openByEight(t, address, namespace)
	fresh := pgtest.Namespace()
	open(t, address, Options{Namespace: fresh})
	if diff := cmp.Diff(describe(t, conn, fresh, "none"), describe(t, conn, namespace, "none")); diff != "" {
		t.Errorf("fresh against upgraded: %s", diff)
	}
	if n := counted(t, open(t, address, Options{Namespace: namespace}), "old"); n != 7 {
		t.Errorf("the row of the old version is %d", n)
	}
}

func TestForeignAndNewerTablesAreRefusedUntouched(t *testing.T) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for name, test := range map[string]struct {
		tables string
		want   error
	}{
		"a table of another program": {"CREATE TABLE %s.users (id int)", store.ErrForeign},
		"another schema": {"CREATE TABLE %[1]s.schema_version (name text, version bigint); INSERT INTO %[1]s.schema_version VALUES ('other', 1)",
			store.ErrForeign},
		"another way to count": {"CREATE TABLE %[1]s.schema_version (revision text)", store.ErrForeign},
		"a newer version": {fmt.Sprintf("CREATE TABLE %%[1]s.schema_version (name text, version bigint); INSERT INTO %%[1]s.schema_version VALUES ('%s', %d)",
			record.Schema.Name(), record.Schema.Version()+1), store.ErrNewer},
	} {
		namespace := pgtest.Namespace()
		if _, err := conn.Exec(ctx, "CREATE SCHEMA "+namespace+";"+fmt.Sprintf(test.tables, namespace)); err != nil {
			t.Fatal(err)
		}
		before := describe(t, conn, namespace, "none")
		if s, err := OpenWith(ctx, address, Options{Namespace: namespace}); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				_ = s.Close()
			}
		}
		if diff := cmp.Diff(before, describe(t, conn, namespace, "none")); diff != "" {
			t.Errorf("%s was changed: %s", name, diff)
		}
	}
}

// lockAll is how an upgrade of the tables of a namespace begins.
func lockAll(namespace string) string {
	d := &database{schema: record.Schema, names: names{namespace, ""}}
	return d.lockText(d.wanted())
}

// upgrading has the statements of an upgrade to a version that changes nothing else.
func upgrading(namespace string) string {
	version := record.Schema.Version()
	return fmt.Sprintf("%[1]s; UPDATE %[2]s.schema_version SET version = version + 1; ALTER TABLE %[2]s.%[3]s RENAME TO %[4]s",
		lockAll(namespace), namespace, marker(version), marker(version+1))
}

func TestAnOlderProcessWritesNothingAfterAnUpgrade(t *testing.T) {
	for mode, name := range map[pgx.QueryExecMode]string{pgx.QueryExecModeCacheStatement: "in batches", pgx.QueryExecModeExec: "one by one"} {
		t.Run(name, func(t *testing.T) {
			pool := hostPool(t, pgtest.Shared(t).Address(), func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode })
			writesNothingAfterAnUpgrade(t, pool)
		})
	}
}

func writesNothingAfterAnUpgrade(t *testing.T, pool *pgxpool.Pool) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	namespace := pgtest.Namespace()
	s := overPool(t, pool, Options{Namespace: namespace})
	ran := 0
	write := func(ctx context.Context, tx store.Tx) error {
		ran++
		return record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "p", Subject: fmt.Append(nil, ran)})
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		if _, err := record.Failures.Find(ctx, tx, record.Failures.Primary(), store.Text("p"), store.Bytes(nil)); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "BEGIN; "+lockAll(namespace)+" NOWAIT")
		var answer *pgconn.PgError
		if !errors.As(err, &answer) || answer.Code != "55P03" {
			t.Errorf("an upgrade begins beside a transaction: %v", err)
		}
		_, err = conn.Exec(ctx, "ROLLBACK")
		return errors.Join(err, write(ctx, tx))
	})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := conn.Exec(ctx, "BEGIN; "+upgrading(namespace)); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error)
	go func() { answer <- s.Update(ctx, write) }()
	for waiting := 0; waiting == 0; {
		err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_locks AS l JOIN pg_class c ON c.oid = l.relation WHERE NOT l.granted AND c.relnamespace = $1::regnamespace", namespace).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; !errors.Is(err, store.ErrNewer) {
		t.Errorf("a write that waited for the upgrade: %v", err)
	}
	if err := s.Update(ctx, write); !errors.Is(err, store.ErrNewer) {
		t.Errorf("a write after the upgrade: %v", err)
	}
	if n, err := s.Count(ctx, store.Query{Index: record.Failures.Primary(), Limit: 9}); n != 1 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestTableThatCannotBeReadIsNotForeign(t *testing.T) {
	ctx, server, namespace := limited(t), pgtest.Shared(t), pgtest.Namespace()
	open(t, server.Address(), Options{Namespace: namespace})
	conn, err := pgx.Connect(ctx, server.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE "+namespace+".schema_version"); err != nil {
		t.Fatal(err)
	}
	_, err = OpenWith(ctx, server.Address()+"&lock_timeout=100", Options{Namespace: namespace})
	if err == nil || errors.Is(err, store.ErrForeign) {
		t.Errorf("locked: %v", err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "DROP TABLE "+namespace+".words"); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWith(ctx, server.Address(), Options{Namespace: namespace}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("without a table: %v", err)
	}
}

// A server that is a standby, and a user who may only read, are refused at once and not at the first
// write.
func TestTablesThatMayOnlyBeReadAreRefused(t *testing.T) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	namespace := pgtest.Namespace()
	open(t, address, Options{Namespace: namespace})
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	role := "reader_" + namespace
	execute := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			if _, err := conn.Exec(ctx, text); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
	execute("CREATE ROLE "+role+" LOGIN", "GRANT USAGE ON SCHEMA "+namespace+" TO "+role, "GRANT SELECT ON ALL TABLES IN SCHEMA "+namespace+" TO "+role)
	reader := strings.Replace(address, "latchkey@", role+"@", 1)
	if _, err := OpenWith(ctx, reader, Options{Namespace: namespace}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "may not read and write") {
		t.Errorf("a user who may read: %v", err)
	}
	execute("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+namespace+" TO "+role, "REVOKE DELETE ON "+namespace+".users FROM "+role)
	if _, err := OpenWith(ctx, reader, Options{Namespace: namespace}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a user who may not delete users: %v", err)
	}
	execute("GRANT DELETE ON " + namespace + ".users TO " + role)
	s, err := OpenWith(ctx, reader, Options{Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	execute("DROP OWNED BY "+role, "DROP ROLE "+role)
}
