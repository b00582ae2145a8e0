package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey/internal/pgtest"
)

// A server that lacks something is refused with its name, before any table is made. Functions and operators
// that come first on the path stand for those of another server.
func TestAServerThatLacksSomethingIsRefusedByName(t *testing.T) {
	ctx, address := limited(t), pgtest.Shared(t).Address()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for name, instead := range map[string]string{
		"advisory locks": `CREATE FUNCTION %.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS ''`, // as some servers do, it does nothing
		"lists in JSON":  `CREATE FUNCTION %.never(jsonb, text[]) RETURNS boolean LANGUAGE sql AS 'SELECT false'; CREATE OPERATOR %.?| (LEFTARG = jsonb, RIGHTARG = text[], FUNCTION = %.never)`,
	} {
		lacking, namespace := pgtest.Namespace(), pgtest.Namespace()
		if _, err := conn.Exec(ctx, "CREATE SCHEMA "+lacking+"; "+strings.ReplaceAll(instead, "%", lacking)); err != nil {
			t.Fatal(err)
		}
		_, err := OpenWith(ctx, address+"&options=-c%20search_path%3D"+lacking+",pg_catalog", Options{Namespace: namespace})
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "has no "+name) {
			t.Errorf("%s: %v", name, err)
		}
		if lines := describeAll(t, conn, namespace); len(lines) != 0 {
			t.Errorf("%s: %v", name, lines)
		}
	}
	before := needs
	t.Cleanup(func() { needs = before })
	for i := range before {
		lacking := append(before[:i:i], before[i])
		lacking[i].text = "SELECT latchkey_has_none()"
		needs = lacking
		if _, err := OpenWith(ctx, address, Options{Namespace: pgtest.Namespace()}); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "has no "+before[i].what) {
			t.Errorf("%s: %v", before[i].what, err)
		}
	}
}

// describeAll returns the tables of a namespace that may be missing.
func describeAll(t *testing.T, conn *pgx.Conn, namespace string) []string {
	t.Helper()
	rows, err := conn.Query(limited(t), "SELECT table_name FROM information_schema.tables WHERE table_schema = $1", namespace)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}
