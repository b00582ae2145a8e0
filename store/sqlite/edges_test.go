package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// An address of anything else than a file is refused, whatever its scheme.
func TestAddressesAreNoPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"postgres://host/db", "http://example.org/x.db", "x://y", "bbolt:x.db", "BBOLT:x.db"} {
		if _, err := Open(path); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "no URI") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// The version in the header of a file of a former version is that of the tables without a prefix.
func TestTheHeaderSaysNothingOfTablesWithAPrefix(t *testing.T) {
	former, err := os.ReadFile("../../internal/operations/testdata/v1/test.db")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "former.db")
	if err := os.WriteFile(path, former, 0o600); err != nil {
		t.Fatal(err)
	}
	if plan, err := PlanWith(path, Options{Prefix: "b_"}); err != nil || plan.Exists || plan.Version != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
	for _, prefix := range []string{"b_", "", "b_"} {
		s, err := OpenWith(path, Options{Prefix: prefix})
		if err != nil {
			t.Fatalf("%q: %v", prefix, err)
		}
		insert(t, s, fmt.Sprint("new", time.Now().UnixNano()))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := lookUp(t, path, "SELECT count(*) FROM b_users"); n != "2" {
		t.Errorf("%s users with the prefix", n)
	}
}

// A header alone makes no table ours, and neither does a mark of version 0. The error names the first
// thing in the way.
func TestMarksWithoutAVersionAreForeign(t *testing.T) {
	for name, c := range map[string]struct {
		statements []string
		want       string
	}{
		"our application_id and no version": {[]string{fmt.Sprintf("PRAGMA application_id = %d", applicationID(record.Schema)), "PRAGMA user_version = 0", "CREATE TABLE users (id INTEGER)"}, "table users"},
		"version 0":                         {[]string{"CREATE TABLE latchkey_version AS SELECT 'latchkey' AS name, 0 AS version"}, "latchkey_version"},
		"a version below":                   {[]string{"CREATE TABLE latchkey_version AS SELECT 'latchkey' AS name, -1 AS version"}, "latchkey_version"},
		"no row":                            {[]string{"CREATE TABLE latchkey_version (name TEXT, version INTEGER)"}, "latchkey_version"},
		"another program of this version":   {[]string{fmt.Sprintf("CREATE TABLE latchkey_version AS SELECT 'another' AS name, %d AS version", record.Schema.Version())}, "latchkey_version"},
		"another application of a version":  {[]string{"PRAGMA application_id = 77", "PRAGMA user_version = 1", "CREATE TABLE users (id INTEGER)"}, "table users"},
		"two things":                        {[]string{"CREATE TABLE sessions (id INTEGER)", "CREATE TABLE users (id INTEGER)"}, "table sessions"},
	} {
		path := hosted(t, c.statements...)
		if _, err := Open(path); !errors.Is(err, store.ErrForeign) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Plan(path); !errors.Is(err, store.ErrForeign) {
			t.Errorf("the plan of %s: %v", name, err)
		}
	}
}

// A trigger of the host's that refuses a change is no foreign key.
func TestATriggerOfTheHostsIsNoReference(t *testing.T) {
	path := hosted(t)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	insert(t, s, "ada")
	execute(t, path, "CREATE TRIGGER kept BEFORE DELETE ON users BEGIN SELECT RAISE(ABORT, 'users stay'); END")
	if err := remove(t, s, "ada"); err == nil || errors.Is(err, store.ErrReference) || !strings.Contains(err.Error(), "users stay") {
		t.Error(err)
	}
	execute(t, path, "DROP TRIGGER kept")
	if err := remove(t, s, "ada"); err != nil {
		t.Error(err)
	}
}

// A full disk is told in every step of opening.
func TestEveryErrorOfAFullDiskIsExplained(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, text := range []string{"CREATE TABLE x (y)", "PRAGMA max_page_count = 2"} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	_, full := db.Exec("INSERT INTO x VALUES (randomblob(100000))")
	if full == nil {
		t.Fatal("there is room")
	}
	if err := explained(wrap("open", full)); !strings.Contains(err.Error(), "the disk is full") || !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	if err := explained(store.ErrForeign); err != store.ErrForeign {
		t.Errorf("%v", err)
	}
}
