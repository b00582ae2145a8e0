package stored_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/ratelimit/ratelimittest"
	"example.com/latchkey/ratelimit/stored"
	"example.com/latchkey/store"
	"example.com/latchkey/store/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var (
	ctx  = context.Background()
	rule = ratelimit.Rule{Calls: 3, Window: time.Hour}
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// poolOf returns a pool for a test. change may set more of its configuration.
func poolOf(t testing.TB, address string, change func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(address)
	must(t, err)
	config.MaxConns = 8
	if change != nil {
		change(config)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	must(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func exec(t testing.TB, pool *pgxpool.Pool, text string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(ctx, text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// open returns a limiter, which waits for a slow machine unless o has a timeout.
func open(t testing.TB, pool *pgxpool.Pool, o stored.Options) *stored.Limiter {
	t.Helper()
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	l, err := stored.New(ctx, pool, o)
	must(t, err)
	return l
}

// The statements of these limiters find another now() than that of the server: one that a
// test can set forward. Each limiter has a pool of its own, as another process has.
func harness(o stored.Options, address func(t testing.TB) string, change func(*pgxpool.Config)) func(t *testing.T) ratelimittest.Harness {
	return func(t *testing.T) ratelimittest.Harness {
		o.Namespace = pgtest.Namespace()
		server := poolOf(t, pgtest.Shared(t).Address(), nil)
		exec(t, server, "CREATE SCHEMA "+o.Namespace)
		exec(t, server, "CREATE TABLE "+o.Namespace+".ahead (by interval)")
		exec(t, server, "INSERT INTO "+o.Namespace+".ahead VALUES ('0')")
		exec(t, server, fmt.Sprintf(`CREATE FUNCTION %[1]s.now() RETURNS timestamptz STABLE LANGUAGE sql AS 'SELECT pg_catalog.now() + by FROM %[1]s.ahead'`, o.Namespace))
		return ratelimittest.Harness{
			OwnClock: true,
			Open: func(t *testing.T) ratelimit.Limiter {
				return open(t, poolOf(t, address(t), func(c *pgxpool.Config) {
					c.ConnConfig.RuntimeParams["search_path"] = o.Namespace + ", pg_catalog"
					if change != nil {
						change(c)
					}
				}), o)
			},
			Pass: func(t *testing.T, d time.Duration) {
				exec(t, server, "UPDATE "+o.Namespace+".ahead SET by = by + $1", d)
			},
		}
	}
}

func direct(t testing.TB) string { return pgtest.Shared(t).Address() }

func TestContract(t *testing.T) {
	ratelimittest.Test(t, harness(stored.Options{Prefix: "my_"}, direct, nil))
}

func TestContractInSerializableTransactions(t *testing.T) {
	ratelimittest.Test(t, harness(stored.Options{}, direct, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
	}))
}

// pgbouncer knows no search_path, so the contract cannot pass here. The statements are the
// same.
func TestBehindATransactionPooler(t *testing.T) {
	address := pgtest.Pooler(t, pgtest.Shared(t))
	o := stored.Options{Namespace: pgtest.Namespace(), TransactionPooler: true}
	var group sync.WaitGroup
	allowed := make(chan bool, 4*8*10)
	for range 4 {
		l := open(t, poolOf(t, address, nil), o)
		for range 8 {
			group.Go(func() {
				for range 10 {
					r, err := l.Take(ctx, ratelimit.Key{1}, ratelimit.Rule{Calls: 100, Window: time.Hour}, time.Now())
					if err != nil {
						t.Error(err)
					}
					allowed <- r.Allowed
				}
			})
		}
	}
	group.Wait()
	close(allowed)
	passed := 0
	for a := range allowed {
		if a {
			passed++
		}
	}
	if passed != 100 {
		t.Errorf("%d calls of 100 have passed", passed)
	}
	l := open(t, poolOf(t, address, nil), o)
	if r, err := l.Peek(ctx, ratelimit.Key{1}, rule, time.Now()); err != nil || r.Allowed {
		t.Errorf("%+v, %v", r, err)
	}
	must(t, l.Forget(ctx, ratelimit.Key{1}))
	if _, err := l.Sweep(ctx); err != nil {
		t.Error(err)
	}
}

func TestManyProcessesMakeTheTableOnce(t *testing.T) {
	namespace := pgtest.Namespace()
	var group sync.WaitGroup
	for n := range 8 {
		pool := poolOf(t, direct(t), nil)
		group.Go(func() {
			if n == 0 {
				s, err := postgres.OpenPool(ctx, pool, postgres.Options{Namespace: namespace})
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				return
			}
			if _, err := stored.New(ctx, pool, stored.Options{Namespace: namespace}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// The table stands beside those of the store: in either order, and the store stays whole.
func TestTheStoreTakesItsNamespaceWithTheTable(t *testing.T) {
	namespace := pgtest.Namespace()
	pool := poolOf(t, direct(t), nil)
	l := open(t, pool, stored.Options{Namespace: namespace})
	for range 2 {
		s, err := postgres.OpenPool(ctx, pool, postgres.Options{Namespace: namespace})
		must(t, err)
		must(t, s.(store.Checker).Check(ctx))
		must(t, s.Close())
	}
	if _, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestTheTableIsThatOfTheComment(t *testing.T) {
	text, err := os.ReadFile("stored.go")
	must(t, err)
	_, ddl, _ := strings.Cut(string(text), "//\tCREATE SCHEMA IF NOT EXISTS latchkey;\n")
	ddl, _, found := strings.Cut(ddl, "//\n// The user needs")
	if !found {
		t.Fatal("the comment has no statements")
	}
	pool := poolOf(t, direct(t), nil)
	mine, theirs := pgtest.Namespace(), pgtest.Namespace()
	open(t, pool, stored.Options{Namespace: mine})
	exec(t, pool, "CREATE SCHEMA "+theirs)
	exec(t, pool, strings.ReplaceAll(strings.ReplaceAll(ddl, "//\t", ""), "latchkey.", theirs+"."))
	l := open(t, pool, stored.Options{Namespace: theirs})
	if _, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now()); err != nil {
		t.Error(err)
	}
	describe := func(namespace string) (all string) {
		must(t, pool.QueryRow(ctx, `SELECT string_agg(d, E'\n') FROM (
			SELECT c.relname || ' ' || c.relpersistence::text || ' ' || coalesce(c.reloptions::text, '') || ' ' || coalesce(replace(pg_get_indexdef(c.oid), $1, ''), '')
				|| (SELECT string_agg(a.attname || format_type(a.atttypid, a.atttypmod) || a.attnotnull, ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) AS d
			FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'i') ORDER BY c.relname) x`, namespace).Scan(&all))
		return all
	}
	if got, want := describe(theirs), describe(mine); got != want || !strings.Contains(want, " u ") {
		t.Errorf("by the comment:\n%s\nby New:\n%s", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	pool := poolOf(t, direct(t), nil)
	for what, o := range map[string]stored.Options{
		"a quote":            {Namespace: `a"b`},
		"a capital":          {Namespace: "A"},
		"a digit in front":   {Prefix: "1"},
		"a long prefix":      {Prefix: strings.Repeat("a", 54)}, // 10 bytes come after it
		"a negative timeout": {Timeout: -1},
	} {
		if _, err := stored.New(ctx, pool, o); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	if _, err := stored.New(ctx, nil, stored.Options{}); err == nil {
		t.Error("no pool is taken")
	}
	namespace := pgtest.Namespace()
	exec(t, pool, "CREATE SCHEMA "+namespace)
	exec(t, pool, "CREATE TABLE "+namespace+".calls (key uuid, ends text)")
	if _, err := stored.New(ctx, pool, stored.Options{Namespace: namespace}); err == nil || !strings.Contains(err.Error(), "another program's") {
		t.Errorf("a table of another program: %v", err)
	}
}

func TestNewSaysThatAUserMayNotWrite(t *testing.T) {
	pool := poolOf(t, direct(t), nil)
	namespace := pgtest.Namespace()
	role := "reader_" + namespace
	exec(t, pool, "CREATE ROLE "+role+" LOGIN")
	as := poolOf(t, direct(t), func(c *pgxpool.Config) { c.ConnConfig.User = role })
	if _, err := stored.New(ctx, as, stored.Options{Namespace: namespace}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("without a table: %v", err)
	}
	open(t, pool, stored.Options{Namespace: namespace})
	exec(t, pool, "GRANT USAGE ON SCHEMA "+namespace+" TO "+role)
	exec(t, pool, "GRANT SELECT, INSERT, UPDATE ON "+namespace+".calls TO "+role)
	if _, err := stored.New(ctx, as, stored.Options{Namespace: namespace}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("without DELETE: %v", err)
	}
	exec(t, pool, "GRANT DELETE ON "+namespace+".calls TO "+role)
	l := open(t, as, stored.Options{Namespace: namespace})
	if _, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now()); err != nil {
		t.Error(err)
	}
}

func rows(t testing.TB, pool *pgxpool.Pool, namespace string) (n int) {
	t.Helper()
	must(t, pool.QueryRow(ctx, "SELECT count(*) FROM "+namespace+".calls").Scan(&n))
	return n
}

// fill adds rows whose windows have ended.
func fill(t testing.TB, pool *pgxpool.Pool, namespace string, n int) {
	t.Helper()
	exec(t, pool, "INSERT INTO "+namespace+".calls SELECT gen_random_uuid(), now() - i * interval '1 millisecond', 1, false FROM generate_series(1, $1) i", n)
}

func TestCallsRemoveOldRows(t *testing.T) {
	pool, namespace := poolOf(t, direct(t), nil), pgtest.Namespace()
	l := open(t, pool, stored.Options{Namespace: namespace})
	fill(t, pool, namespace, 1000)
	for n := range 640 {
		if _, err := l.Take(ctx, ratelimit.Key{1, byte(n), byte(n >> 8)}, rule, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if n := rows(t, pool, namespace); n != 640 {
		t.Errorf("%d rows are left, 640 of them in a window", n)
	}
}

func TestSweepRemovesOldRowsAndNoOthers(t *testing.T) {
	pool, namespace := poolOf(t, direct(t), nil), pgtest.Namespace()
	l := open(t, pool, stored.Options{Namespace: namespace})
	fill(t, pool, namespace, 2500)
	for n := range 10 {
		if _, err := l.Take(ctx, ratelimit.Key{byte(n)}, rule, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := l.Sweep(ctx); n != 2500 || err != nil || rows(t, pool, namespace) != 10 {
		t.Errorf("%d rows were removed, %d are left, %v", n, rows(t, pool, namespace), err)
	}
}

// A call that sweeps reads a few rows by the index, however many there are.
func TestASweepIsNoScan(t *testing.T) {
	pool, namespace := poolOf(t, direct(t), nil), pgtest.Namespace()
	open(t, pool, stored.Options{Namespace: namespace})
	fill(t, pool, namespace, 20_000)
	exec(t, pool, "ANALYZE "+namespace+".calls")
	lines, err := pool.Query(ctx, "EXPLAIN "+strings.ReplaceAll(stored.SweepText(namespace), "$1", "128"))
	must(t, err)
	plan, err := pgx.CollectRows(lines, pgx.RowTo[string])
	must(t, err)
	if text := strings.Join(plan, "\n"); strings.Contains(text, "Seq Scan") || !strings.Contains(text, "calls_ends") {
		t.Errorf("%s", text)
	}
}

// locked runs do while another transaction holds the row of a key.
func locked(t *testing.T, pool *pgxpool.Pool, namespace string, do func()) {
	t.Helper()
	tx, err := pool.Begin(ctx)
	must(t, err)
	_, err = tx.Exec(ctx, "SELECT FROM "+namespace+".calls FOR UPDATE")
	must(t, err)
	do()
	must(t, tx.Rollback(ctx))
}

func TestACallEndsInTime(t *testing.T) {
	pool, namespace := poolOf(t, direct(t), nil), pgtest.Namespace()
	l := open(t, pool, stored.Options{Namespace: namespace, Timeout: 100 * time.Millisecond})
	taken, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
	must(t, err)
	locked(t, pool, namespace, func() {
		began := time.Now()
		_, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
		for what, err := range map[string]error{
			"Take": err, "Return": l.Return(ctx, ratelimit.Key{1}, taken), "Forget": l.Forget(ctx, ratelimit.Key{1}),
		} {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("they took %v", took)
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := l.Take(gone, ratelimit.Key{1}, rule, time.Now()); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
	if _, err := l.Take(ctx, ratelimit.Key{2}, rule, time.Now()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A server that is away is an error, which tells no address of the host's own and no
// password. The limiter works again when the server does.
func TestAServerThatIsAwayAndComesBack(t *testing.T) {
	pgtest.Shared(t)
	server, err := pgtest.Start("fsync=off")
	must(t, err)
	defer server.Stop()
	pool := poolOf(t, strings.Replace(server.Address(), "latchkey@", "latchkey:hunter2@", 1), nil)
	l := open(t, pool, stored.Options{Timeout: time.Second})
	for range 3 {
		_, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
		must(t, err)
	}
	server.Kill()
	for range 10 {
		began := time.Now()
		_, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
		if err == nil || strings.Contains(err.Error(), "hunter2") || time.Since(began) > 10*time.Second {
			t.Fatalf("while the server is away: %v, after %v", err, time.Since(began))
		}
	}
	must(t, server.Run())
	for tries := 0; ; tries++ { // each connection of before may fail once
		r, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
		if err == nil {
			if r.Remaining != 2 {
				t.Errorf("after a crash the counts begin anew: %+v", r)
			}
			return
		}
		if tries > 20 {
			t.Fatal(err)
		}
	}
}
