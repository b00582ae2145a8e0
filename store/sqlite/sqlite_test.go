package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/internal/backend"
	"example.com/latchkey/store/internal/sqltext"
	"example.com/latchkey/store/storetest"
)

func opener(path string, schema *store.Schema) (store.Store, error) {
	return OpenWith(path, Options{Schema: schema})
}

func place(t testing.TB, schema *store.Schema) storetest.Place {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := opener(path, schema)
	if err != nil {
		t.Fatal(err)
	}
	return storetest.Place{Store: s, Reopen: func() (store.Store, error) { return opener(path, schema) }}
}

func TestContract(t *testing.T) { storetest.Run(t, place) }

func BenchmarkStore(b *testing.B) { storetest.Bench(b, place) }

// tables lists the results of PRAGMA for the engine's tables in a database.
func tables(t *testing.T, db *sql.DB) map[string][]string {
	t.Helper()
	out := make(map[string][]string)
	for _, table := range record.Schema.Tables() {
		for name, query := range map[string]string{
			"columns": `SELECT cid || ' ' || name || ' ' || type || ' ' || "notnull" || ' ' || pk FROM pragma_table_info(?)`,
			"keys":    `SELECT "from" || ' ' || "table" || ' ' || "to" || ' ' || on_delete FROM pragma_foreign_key_list(?)`,
			"indexes": `SELECT i.name || ' ' || i."unique" || ' ' || (SELECT group_concat(name) FROM pragma_index_info(i.name)) FROM pragma_index_list(?) i ORDER BY 1`,
		} {
			rows, err := db.Query(query, table.Name())
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var line string
				if err := rows.Scan(&line); err != nil {
					t.Fatal(err)
				}
				out[table.Name()+" "+name] = append(out[table.Name()+" "+name], line)
			}
			if err := errors.Join(rows.Err(), rows.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func TestMigrationsMakeTheDeclaredTables(t *testing.T) {
	migrated, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "migrated.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer migrated.Close()
	declared, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "declared.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer declared.Close()
	steps, err := stepsFrom(0, naming{schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrated.Exec(strings.Join(steps, ";\n")); err != nil {
		t.Fatal(err)
	}
	for _, table := range record.Schema.Tables() {
		if _, err := declared.Exec(strings.Join(dialect.Create(table), ";\n")); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(tables(t, declared), tables(t, migrated)); diff != "" {
		t.Errorf("declared against migrated (-declared +migrated):\n%s", diff)
	}
	if len(tables(t, migrated)) < 10 {
		t.Error("nothing was compared")
	}
}

func TestEveryConnectionHasItsSettings(t *testing.T) {
	f, err := openFile(filepath.Join(t.TempDir(), "test.db"), Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	conns := []*conn{f.conn}
	for range readers {
		c, err := connect(background, f.reads.connector)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		conns = append(conns, c)
	}
	for i, c := range conns {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
			if got, err := c.text(background, "PRAGMA "+pragma); err != nil || got != want {
				t.Errorf("connection %d: %s is %s, %v", i, pragma, got, err)
			}
		}
	}
	if _, err := conns[1].exec(background, "DELETE FROM logs"); err == nil {
		t.Error("a reading connection writes")
	}
}

func TestForeignAndNewerFilesAreRefusedUntouched(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := filepath.Join(dir, "other.db")
	db, err := sql.Open("sqlite", other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE users (id INTEGER); PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer.db")
	s, err := Open(newer)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, newer, "UPDATE latchkey_version SET version = version + 1")

	for path, want := range map[string]error{
		write("text.db", []byte("not a database, but a text that is longer than a header is, and has nothing of one in it at all")): store.ErrForeign,
		write("short.db", []byte("SQLite format 3\x00")): store.ErrForeign,
		other: store.ErrForeign,
		newer: store.ErrNewer,
	} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := Open(path); !errors.Is(err, want) {
			t.Errorf("%s: %v", filepath.Base(path), err)
			if err == nil {
				_ = s.Close()
			}
		}
		after, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s was changed, %v", filepath.Base(path), err)
		}
	}
}

func TestAnOlderProcessWritesNothingAfterAnUpgrade(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "upgraded.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ran := 0
	write := func(ctx context.Context, tx store.Tx) error {
		ran++
		return record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "p", Subject: fmt.Append(nil, ran)})
	}
	if err := s.Update(ctx, write); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	setVersion := func(version int) {
		if _, err := db.Exec(fmt.Sprintf("UPDATE latchkey_version SET version = %d", version)); err != nil {
			t.Fatal(err)
		}
	}
	setVersion(record.Schema.Version() + 1)
	for range 2 {
		if err := s.Update(ctx, write); !errors.Is(err, store.ErrNewer) {
			t.Errorf("a write after the upgrade: %v", err)
		}
	}
	if n, err := s.Count(ctx, store.Query{Index: record.Failures.Primary(), Limit: 9}); ran != 1 || n != 1 || err != nil {
		t.Errorf("%d runs, %d rows, %v", ran, n, err)
	}
	setVersion(record.Schema.Version())
	if err := s.Update(ctx, write); err != nil {
		t.Errorf("a write at the store's own version: %v", err)
	}
}

func TestDamageIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "full.db")
	ctx := context.Background()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for n := range 2000 {
			if err := record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "p", Subject: fmt.Appendf(nil, "subject %d", n)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for _, size := range []int{page, len(whole) - page, len(whole) - 1} {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(path); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("cut to %d of %d bytes: %v", size, len(whole), err)
			if err == nil {
				_ = s.Close()
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, whole[:size]) {
			t.Errorf("the cut file was changed, %v", err)
		}
	}
	met := 0
	for at := page; at < len(whole); at += page {
		content := bytes.Clone(whole)
		for i := range page {
			content[at+i] = 0xFF
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err != nil {
			met++
			continue
		}
		if err := s.(store.Checker).Check(ctx); errors.Is(err, store.ErrDamaged) {
			met++
		}
		_, _ = s.List(ctx, store.Query{Index: record.Failures.Primary(), Limit: store.MaxLimit})
		_ = s.Close()
	}
	if pages := len(whole)/page - 1; met < pages-2 {
		t.Errorf("%d of %d damaged pages were noticed", met, pages)
	}
}

func TestWeakerDurabilityIsAskedForByName(t *testing.T) {
	f, err := openFile(filepath.Join(t.TempDir(), "test.db"), Options{Schema: record.Schema, MayLoseLastCommitsOnPowerLoss: true})
	if err != nil {
		t.Fatal(err)
	}
	if mode, err := f.conn.text(background, "PRAGMA synchronous"); err != nil || mode != "1" {
		t.Errorf("synchronous is %s, %v", mode, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOddPathsAndPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c=d&e#f%41ä")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "x?mode=memory&y%20.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
		return record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "p"})
	})
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("%v, %d bytes", info.Mode(), info.Size())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("Close left more than the file behind: %v, %v", left, err)
	}
	if _, err := Open(filepath.Join(dir, "none", "x.db")); err == nil {
		t.Error("opened in a folder that is not there")
	}
}

func TestTwoOpenersShareTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	var stores [2]store.Store
	var group sync.WaitGroup
	for i := range stores { // both make the file at once
		group.Go(func() {
			var err error
			if stores[i], err = Open(path); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for n := range 64 {
		group.Go(func() {
			now := time.UnixMicro(int64(n))
			err := stores[n%2].Update(ctx, func(ctx context.Context, tx store.Tx) error {
				return record.Failures.Insert(ctx, tx, &record.Failure{Purpose: "p", Subject: []byte{byte(n)}, Last: now, Expire: now})
			})
			if err != nil {
				t.Errorf("writer %d: %v", n, err)
			}
		})
	}
	group.Wait()
	for i, s := range stores {
		if n, err := s.Count(ctx, store.Query{Index: record.Failures.Primary()}); n != 64 || err != nil {
			t.Errorf("store %d counts %d, %v", i, n, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestWriterWaitsForAnotherProcessUntilItsContextEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	f, err := openFile(path, Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	if wait, err := f.conn.text(background, "PRAGMA busy_timeout"); err != nil || wait != "0" {
		t.Errorf("the writer's driver waits %s ms, %v: it does not see the context", wait, err)
	}
	s := backend.New(f, record.Schema)
	defer s.Close()
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := other.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	answer := make(chan error)
	go func() {
		answer <- s.Update(ctx, func(context.Context, store.Tx) error { return nil })
	}()
	if _, err := s.Count(ctx, store.Query{Index: record.Users.Primary()}); err != nil {
		t.Errorf("a reader waits: %v", err)
	}
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("the writer: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// A listing by an index must not read rows that it does not return, for any
// position of its cursor.
func TestPagesAreIndexed(t *testing.T) {
	f, err := openFile(filepath.Join(t.TempDir(), "test.db"), Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, table := range record.Schema.Tables() {
		values := make([]store.Value, len(table.Columns()))
		for i, c := range table.Columns() {
			values[i] = store.Zero(c.Kind)
		}
		row := store.NewRow(values)
		for _, ix := range table.Indexes() {
			key, position := ix.Key(row), ix.Position(row)
			queries := []store.Query{
				{},
				{Equal: key},
				{Equal: key[:len(key)-1], From: store.Including(key[len(key)-1])},
				{After: position},
				{Where: []store.Filter{store.Where(table.Columns()[0].Name, store.OpBetween, values[0], values[0])}},
			}
			for _, c := range table.Columns() {
				queries = append(queries, store.Query{Where: []store.Filter{store.Where(c.Name, store.OpIsNull)}})
			}
			if last := len(key) - 1; ix.Unique() {
				of := table.Columns()[ix.Columns()[last]].Name
				queries = append(queries, store.Query{Equal: key[:last], Where: []store.Filter{store.Where(of, store.OpEqual, key[last], key[last])}})
			}
			if ix.Nullable() {
				nulls := slices.Clone(position)
				for i, c := range ix.Columns() {
					if !table.Columns()[c].Nullable {
						continue
					}
					nulls[i] = store.Null
					queries = append(queries, store.Query{Equal: key[:i], After: nulls})
					break
				}
			}
			for _, q := range queries {
				for _, descending := range []bool{false, true} {
					q.Index, q.Limit, q.Descending = ix, 25, descending
					walksNothing(t, f, q)
				}
			}
		}
	}
}

func walksNothing(t *testing.T, f *file, q store.Query) {
	t.Helper()
	name := q.Index.Table().Name() + "." + q.Index.Name()
	indexed := false
	for _, step := range explain(t, f, dialect.List(q)) {
		indexed = indexed || strings.Contains(step, "INDEX")
		seeks := strings.HasPrefix(step, "SEARCH") || !strings.HasPrefix(step, "SCAN "+q.Index.Table().Name())
		served := len(q.Where) > 0 && q.Where[0].Op == store.OpEqual
		if (q.After != nil || q.Equal != nil || served) && !seeks {
			t.Errorf("%s walks: %s (descending %v, after %v)", name, step, q.Descending, q.After)
		}
		if strings.Contains(step, "TEMP B-TREE") {
			t.Errorf("%s is sorted: %s", name, step)
		}
	}
	if !indexed {
		t.Errorf("%s: no index", name)
	}
}

func explain(t *testing.T, f *file, s sqltext.Statement) (plan []string) {
	t.Helper()
	err := f.conn.query(background, "EXPLAIN QUERY PLAN "+s.Text, s.Args, func(values []driver.Value) error {
		plan = append(plan, values[3].(string))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

var killRounds = flag.Int("kill-rounds", 50, "how often TestKill kills its child")

func TestKill(t *testing.T) { storetest.Kill(t, *killRounds, opener) }

func TestLoneUpdateIsSynced(t *testing.T) { storetest.Sync(t, opener) }

func TestKillWhileMakingTheTables(t *testing.T) {
	storetest.KillOpening(t, *killRounds, func(string) error { return nil }, opener)
}

// hold locks a file from another connection and returns a function that releases
// it.
func hold(t *testing.T, path string, statements ...string) (release func()) {
	t.Helper()
	ctx := context.Background()
	other, err := sql.Open("sqlite", path+"?_pragma=locking_mode(EXCLUSIVE)")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := other.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range statements {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := errors.Join(conn.Close(), other.Close()); err != nil {
			t.Error(err)
		}
	}
}

// madeFile returns the file of a store that is closed.
func madeFile(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "test.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileThatIsHeldExclusivelyIsLocked(t *testing.T) {
	path := madeFile(t)
	release := hold(t, path, "BEGIN EXCLUSIVE", "UPDATE users SET name = 'x' WHERE 0", "COMMIT")
	if _, err := Open(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("held by another: %v", err)
	}
	release()
	s, err := Open(path)
	if err != nil {
		t.Fatalf("let go: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpeningDoesNotWaitForAWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	first, err := openFile(path, Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.conn.exec(background, "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	second, err := Open(path)
	if err != nil {
		t.Fatalf("while another writes: %v", err)
	}
	if _, err := first.conn.exec(background, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
}

// A commit that fails leaves no open transaction.
func TestFailedCommitLeavesTheWriterUsable(t *testing.T) {
	f, err := openFile(filepath.Join(t.TempDir(), "test.db"), Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := backend.New(f, record.Schema)
	insert := func(n int, size int) error {
		return s.Update(background, func(ctx context.Context, tx store.Tx) error {
			return record.Logs.Insert(ctx, tx, &record.Log{ID: fmt.Sprint(n), Agent: strings.Repeat("x", size)})
		})
	}
	pages, err := f.conn.number(background, "PRAGMA page_count", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.conn.exec(background, fmt.Sprintf("PRAGMA max_page_count = %d", pages+2)); err != nil {
		t.Fatal(err)
	}
	if err := insert(1, 100_000); err == nil || errors.Is(err, store.ErrUnknownOutcome) {
		t.Errorf("no space: %v", err)
	}
	if err := insert(2, 10); err != nil {
		t.Errorf("the next: %v", err)
	}
	var group sync.WaitGroup
	for n := range 16 { // one closure of a batch has no room, and the others have
		group.Go(func() {
			size := 1
			if n == 7 {
				size = 100_000
			}
			if err := insert(100+n, size); (err == nil) != (n != 7) {
				t.Errorf("writer %d: %v", n, err)
			}
		})
	}
	group.Wait()
	if n, err := s.Count(background, store.Query{Index: record.Logs.Primary()}); n != 16 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestStatementsAreBounded(t *testing.T) {
	f, err := openFile(filepath.Join(t.TempDir(), "test.db"), Options{Schema: record.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := range maxStmts + 50 {
		var where []store.Filter
		for i := range 1 + n%100 {
			op := []store.Op{store.OpIsNull, store.OpIsNotNull, store.OpContains, store.OpEqual, store.OpLessThan, store.OpStartsWith}[(n/100+i)%6]
			fl := store.Where("email", op)
			if least, _, _ := op.Arity(); least > 0 {
				fl.Values = []store.Value{store.Text("x")}
			}
			where = append(where, fl)
		}
		if _, err := f.List(background, store.Query{Index: record.Users.Primary(), Limit: 1, Where: where}); err != nil {
			t.Fatal(err)
		}
	}
	for range readers {
		if c := <-f.reads.free; c != nil {
			if len(c.stmts) > maxStmts {
				t.Errorf("%d statements are kept", len(c.stmts))
			}
			defer func() { f.reads.free <- c }()
		} else {
			defer func() { f.reads.free <- nil }()
		}
	}
}

// What is deleted is overwritten: a copy of the file that is made later does not hold it, in no
// table and no index. The log beside the file holds it until its pages are written over,
// which Close does.
func TestDeletedRowsAreNotInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	const marker = "Somebody-Who-Is-Gone"
	at := time.Unix(1_770_000_000, 0)
	user := func(n int) *record.User {
		return &record.User{
			ID: fmt.Sprintf("user%04d", n), Key: fmt.Sprintf("key%04d", n), Created: at, Updated: at, Registered: at, Accessed: at,
			Name: marker, Phone: fmt.Sprintf("+%s%04d", marker, n), Labels: "[]", Prefs: `{"text":"` + strings.Repeat(marker, 200) + `"}`, Targets: "[]",
		}
	}
	err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		for n := range 100 {
			if err := record.Users.Insert(ctx, tx, user(n)); err != nil {
				return err
			}
		}
		return nil
	})
	for n := range 100 {
		if err == nil {
			err = s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
				return record.Users.Delete(ctx, tx, store.Text(user(n).ID))
			})
		}
	}
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(content, []byte(marker)); n > 0 {
		t.Errorf("the file of %d bytes holds %d pieces of deleted rows", len(content), n)
	}
}
