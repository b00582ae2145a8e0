package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/storetest"
)

// hosted makes a file of a host with tables of its own.
func hosted(t testing.TB, statements ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	execute(t, path, append([]string{
		"CREATE TABLE notes (id INTEGER PRIMARY KEY, owner TEXT, body TEXT)", "INSERT INTO notes (owner, body) VALUES ('ada', 'bread')", "PRAGMA user_version = 7",
	}, statements...)...)
	return path
}

// execute runs statements of the host's own on a file.
func execute(t testing.TB, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// lookUp returns the values of a query of the host's own, joined by commas.
func lookUp(t testing.TB, path, query string) string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, ",")
}

// someone returns a user.
func someone(id string) *record.User {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return &record.User{ID: id, Key: "key of " + id, Created: now, Updated: now, Registered: now, Accessed: now, Name: "Name of " + id, Labels: "[]", Prefs: "{}", Targets: "[]"}
}

func insert(t testing.TB, s store.Store, id string) {
	t.Helper()
	err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error { return record.Users.Insert(ctx, tx, someone(id)) })
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, s store.Store, id string) error {
	return s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error { return record.Users.Delete(ctx, tx, store.Text(id)) })
}

// The contract holds for tables with a prefix in a file of the host's.
func TestContractInAFileOfTheHosts(t *testing.T) {
	storetest.Run(t, func(t testing.TB, schema *store.Schema) storetest.Place {
		path := hosted(t, "CREATE TABLE users (id INTEGER)", "CREATE TABLE parents (id INTEGER)")
		open := func() (store.Store, error) { return OpenWith(path, Options{Schema: schema, Prefix: "auth_"}) }
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		return storetest.Place{Store: s, Reopen: open}
	})
}

// A file of the host's is a place for the tables. The host's own stay, and so does its version.
func TestAFileOfTheHostsIsAPlaceForTheTables(t *testing.T) {
	path := hosted(t)
	if plan, err := Plan(path); err != nil || plan.Exists || plan.Version != 0 || len(plan.Steps) == 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	for round := range 2 { // the second finds them
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		insert(t, s, fmt.Sprint("user", round))
		if err := s.(store.Checker).Check(t.Context()); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if plan, err := Plan(path); err != nil || !plan.Exists || plan.Version != record.Schema.Version() || plan.Upgrades() {
		t.Errorf("%+v, %v", plan, err)
	}
	for query, want := range map[string]string{
		"SELECT body FROM notes": "bread", "PRAGMA user_version": "7", "PRAGMA application_id": "0", "SELECT id FROM users ORDER BY id": "user0,user1",
		"SELECT name || ' ' || version FROM latchkey_version": fmt.Sprint(record.Schema.Name(), " ", record.Schema.Version()),
		// The host joins its own tables with ours.
		"SELECT u.name FROM users u LEFT JOIN notes n ON n.owner = u.id ORDER BY u.id": "Name of user0,Name of user1",
	} {
		if got := lookUp(t, path, query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// The header of the file is the host's, also of a file that the store has made: the host's migrations may count in
// user_version.
func TestTheHeaderOfTheFileIsTheHosts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	for version := range 12 {
		s, err := Open(path)
		if err != nil {
			t.Fatalf("user_version %d: %v", version, err)
		}
		if got := lookUp(t, path, "PRAGMA user_version"); got != fmt.Sprint(version) {
			t.Errorf("%s, want %d", got, version)
		}
		execute(t, path, fmt.Sprintf("PRAGMA user_version = %d", version+1), fmt.Sprintf("PRAGMA application_id = %d", 77*version))
		insert(t, s, fmt.Sprint("user", version))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// A file of a former version has its version in the header, until it is upgraded.
	former, err := os.ReadFile("../../internal/operations/testdata/v1/test.db")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "former.db")
	if err := os.WriteFile(path, former, 0o600); err != nil {
		t.Fatal(err)
	}
	for version := range 12 {
		s, err := Open(path)
		if err != nil {
			t.Fatalf("former, user_version %d: %v", version, err)
		}
		if got := lookUp(t, path, "PRAGMA user_version"); version == 0 && got != fmt.Sprint(record.Schema.Version()) {
			t.Errorf("the header says %s to processes of former versions", got)
		}
		execute(t, path, fmt.Sprintf("PRAGMA user_version = %d", version))
		insert(t, s, fmt.Sprint("new", version))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Foreign is a thing with one of our names that is not ours, whatever kind of thing it is. The
// error names it, and the file stays as it is.
func TestThingsWithOurNamesAreForeign(t *testing.T) {
	for text, name := range map[string]string{
		"CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)":                     "table users",
		"CREATE TABLE Users (id INTEGER)":                                            "table Users",
		"CREATE VIEW sessions AS SELECT * FROM notes":                                "view sessions",
		"CREATE INDEX users_email ON notes (owner)":                                  "index users_email",
		"CREATE TABLE latchkey_version (name TEXT, version INTEGER)":                 "latchkey_version",
		"CREATE TABLE latchkey_version (release TEXT)":                               "latchkey_version",
		"CREATE VIEW latchkey_version AS SELECT 'latchkey' AS name, 9 AS version":    "latchkey_version",
		"CREATE TABLE latchkey_version AS SELECT 'another' AS name, 1 AS version":    "latchkey_version",
		"CREATE TABLE latchkey_version AS SELECT 'latchkey' AS name, 'x' AS version": "latchkey_version",
	} {
		path := hosted(t, text)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := Plan(path); !errors.Is(err, store.ErrForeign) {
			t.Errorf("the plan of %s: %v", text, err)
		}
		after, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(before, after) || files(t, path) != "app.db" {
			t.Errorf("%s: the file was changed, %v, %s", text, err, files(t, path))
		}
		s, err := OpenWith(path, Options{Prefix: "b_"}) // with other names there is room
		if err != nil {
			t.Errorf("%s, with a prefix: %v", text, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// files lists the files beside a path.
func files(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

// Stores with several prefixes share a file, beside one without.
func TestStoresWithPrefixesShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	var all []store.Store
	for n, prefix := range []string{"", "a_", "b_"} {
		s, err := OpenWith(path, Options{Prefix: prefix})
		if err != nil {
			t.Fatalf("%q: %v", prefix, err)
		}
		insert(t, s, fmt.Sprint("user", n))
		all = append(all, s)
	}
	for n, s := range all {
		if rows, err := record.Users.List(t.Context(), s, store.Query{Index: record.Users.Primary(), Limit: 9}); err != nil || len(rows) != 1 || rows[0].ID != fmt.Sprint("user", n) {
			t.Errorf("%d: %v, %v", n, rows, err)
		}
		err := s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error {
			return record.Users.Insert(ctx, tx, someone(fmt.Sprint("user", n)))
		})
		if !store.IsTaken(err, record.Users.Primary()) {
			t.Errorf("%d: a taken key: %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, prefix := range []string{"1a", "A_", "a-", "a b", `a"`, "a;", "ä_", "sqlite_", "sqlite_x_", strings.Repeat("a", 41)} {
		if _, err := OpenWith(path, Options{Prefix: prefix}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("the prefix %q: %v", prefix, err)
		}
	}
}

// Tables of every earlier version in a file of the host's are upgraded there.
func TestTablesInAFileOfTheHostsAreUpgraded(t *testing.T) {
	for version := 1; version <= record.Schema.Version(); version++ {
		for _, prefix := range []string{"", "auth_"} {
			path := hosted(t)
			n := naming{record.Schema, prefix}
			var texts []string
			for v := 1; v <= version; v++ {
				text, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", v))
				if err != nil {
					t.Fatal(err)
				}
				texts = append(texts, strings.ReplaceAll(string(text), "{p}", prefix))
			}
			texts = append(texts, n.mark(standing{})...)
			execute(t, path, append(texts, fmt.Sprintf("UPDATE %s SET version = %d", n.versionTable(), version))...)
			plan, err := PlanWith(path, Options{Prefix: prefix})
			if err != nil || plan.Version != version || plan.Upgrades() != (version < record.Schema.Version()) {
				t.Errorf("version %d, %q: %+v, %v", version, prefix, plan, err)
			}
			s, err := OpenWith(path, Options{Prefix: prefix})
			if err != nil {
				t.Fatalf("version %d, %q: %v", version, prefix, err)
			}
			insert(t, s, "ada")
			execute(t, path, fmt.Sprintf("UPDATE %s SET version = version + 1", n.versionTable()))
			if err := remove(t, s, "ada"); !errors.Is(err, store.ErrNewer) {
				t.Errorf("version %d, %q: a change after a newer process: %v", version, prefix, err)
			}
			if _, err := OpenWith(path, Options{Prefix: prefix}); !errors.Is(err, store.ErrNewer) {
				t.Errorf("version %d, %q: opening newer tables: %v", version, prefix, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A foreign key of the host's holds up a deletion by a named error. It holds up nothing of
// another caller's, even if it is checked only at the commit.
func TestAForeignKeyOfTheHostsHoldsUpItsOwnDeletionAlone(t *testing.T) {
	for clause, kept := range map[string]bool{
		"": true, "ON DELETE RESTRICT": true, "DEFERRABLE INITIALLY DEFERRED": true, "ON DELETE CASCADE": false, "ON DELETE SET NULL": false,
	} {
		path := hosted(t)
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"ada", "bob", "eve"} {
			insert(t, s, id)
		}
		execute(t, path, "CREATE TABLE pages (owner TEXT REFERENCES users (id) "+clause+")", "INSERT INTO pages VALUES ('ada')")
		// The first call holds the writer, so that the others share the next commit.
		began, go_, results := make(chan struct{}), make(chan struct{}), make(chan error, 3)
		go func() {
			results <- s.Update(t.Context(), func(context.Context, store.Tx) error {
				close(began)
				<-go_
				return nil
			})
		}()
		<-began
		others := map[string]chan error{"ada": make(chan error, 1), "bob": make(chan error, 1), "new": make(chan error, 1)}
		go func() { others["bob"] <- remove(t, s, "bob") }()
		go func() { others["ada"] <- remove(t, s, "ada") }()
		go func() {
			others["new"] <- s.Update(t.Context(), func(ctx context.Context, tx store.Tx) error { return record.Users.Insert(ctx, tx, someone("new")) })
		}()
		close(go_)
		if err := <-results; err != nil {
			t.Error(err)
		}
		for id, done := range others {
			err := <-done
			if id == "ada" && kept {
				if !errors.Is(err, store.ErrReference) || errors.Is(err, store.ErrUnknownOutcome) {
					t.Errorf("%q: %v", clause, err)
				}
			} else if err != nil {
				t.Errorf("%q: %s: %v", clause, id, err)
			}
		}
		want := "ada,eve,new"
		if !kept {
			want = "eve,new"
		}
		if got := lookUp(t, path, "SELECT id FROM users ORDER BY id"); got != want {
			t.Errorf("%q: %s, want %s", clause, got, want)
		}
		execute(t, path, "DELETE FROM pages")
		if kept {
			if err := remove(t, s, "ada"); err != nil {
				t.Errorf("%q, without the host's row: %v", clause, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTextsInAnotherEncodingAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	execute(t, path, "PRAGMA encoding = 'UTF-16le'", "CREATE TABLE notes (id INTEGER)")
	if _, err := Open(path); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "UTF-16") {
		t.Error(err)
	}
}

// BenchmarkSecureDelete compares deletions with and without overwriting, in turns of one run. Its
// ratio is the time with it over the time without it.
func BenchmarkSecureDelete(b *testing.B) {
	f, err := openFile(filepath.Join(b.TempDir(), "test.db"), Options{Schema: record.Schema})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const rows = 500
	took := make(map[string][]time.Duration)
	for b.Loop() {
		for _, setting := range []string{"1", "0"} {
			err := f.Update(b.Context(), func(tx store.Tx) error {
				for n := range rows {
					if err := record.Users.Insert(b.Context(), tx, someone(fmt.Sprint("user", n))); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.conn.text(b.Context(), "PRAGMA secure_delete = "+setting); err != nil {
				b.Fatal(err)
			}
			began := time.Now()
			err = f.Update(b.Context(), func(tx store.Tx) error {
				for n := range rows {
					if err := record.Users.Delete(b.Context(), tx, store.Text(fmt.Sprint("user", n))); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			took[setting] = append(took[setting], time.Since(began))
		}
	}
	for _, all := range took {
		slices.Sort(all)
	}
	with, without := took["1"][len(took["1"])/2], took["0"][len(took["0"])/2]
	b.ReportMetric(float64(with)/float64(without), "ratio")
	b.ReportMetric(float64(with.Microseconds())/rows, "µs/row")
}
