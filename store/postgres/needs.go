package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// needs are what a server must be able to do, each with statements that show it and the last answer.
// "" is any answer. They run in one transaction that is rolled back.
var needs = []struct{ what, text, answer string }{
	{"serializable transactions", "BEGIN ISOLATION LEVEL SERIALIZABLE; SHOW transaction_isolation", "serializable"},
	{"locks of tables (LOCK TABLE)", "LOCK TABLE pg_catalog.pg_class IN ACCESS SHARE MODE", ""},
	{"references that are checked later (SET CONSTRAINTS)", "SET CONSTRAINTS ALL DEFERRED", ""},
	{"advisory locks", "SELECT pg_advisory_xact_lock(7308058); SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 7308058", "1"},
	{"lists in JSON (?|)", `SELECT '["a"]'::jsonb ?| ARRAY['a', 'b']`, "t"},
	{`the collation "C"`, `SELECT 'B' COLLATE "C" < 'a' COLLATE "C"`, "t"},
}

// able refuses a server that lacks what this package needs.
func (d *database) able(ctx context.Context, conn *pgxpool.Conn) error {
	raw := conn.Conn().PgConn()
	defer func() {
		if raw.TxStatus() != 'I' && !raw.IsClosed() {
			_, _ = raw.Exec(context.WithoutCancel(ctx), "ROLLBACK").ReadAll()
		}
	}()
	for _, need := range needs {
		results, err := raw.Exec(ctx, need.text).ReadAll()
		if err != nil && raw.IsClosed() {
			return wrap(ctx, opening, err)
		}
		if err != nil {
			return fmt.Errorf("postgres: open: the server has no %s: %w: %w", need.what, errors.ErrUnsupported, wrap(ctx, opening, err))
		}
		last := results[len(results)-1].Rows
		if need.answer != "" && (len(last) != 1 || len(last[0]) != 1 || string(last[0][0]) != need.answer) {
			return fmt.Errorf("postgres: open: the server has no %s: %w", need.what, errors.ErrUnsupported)
		}
	}
	return nil
}
