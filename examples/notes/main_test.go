package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/permission"
	"example.com/latchkey/store/sqlite"
)

func Example() {
	main()
	// Output:
	// A guest reads: "for everybody" by Ada
	// Ada reads: "for everybody" by Ada, "for reviewers" by Ada, "for Ada" by Ada
	// Bob reads: "for everybody" by Ada, "for reviewers" by Ada
	// Bob may change the second note: false
}

// site opens the engine and the notes on one file, with a user.
func site(t *testing.T) (*latchkey.Engine, *notes, *latchkey.User) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "notes.db")
	s, err := sqlite.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	n, err := open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.db.Close() })
	user, err := engine.Users().Create(t.Context(), latchkey.NewUser{UserID: "ada", Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	return engine, n, user
}

// What a caller finds by SQL is what Allows says of each note.
func TestTheQueryFindsWhatTheSetsAllow(t *testing.T) {
	_, n, ada := site(t)
	pool := []permission.Role{permission.Any, permission.Users, permission.User("ada"), permission.Label("vip"), permission.TeamRole("t", "owner")}
	sets := make(map[string]permission.Set)
	for i := range 1 << (len(pool) + 1) {
		var all []permission.Permission
		for bit, role := range pool {
			if i>>bit&1 != 0 {
				action := permission.Read
				if i>>len(pool) != 0 {
					action = permission.Write
				}
				all = append(all, action.To(role))
			}
		}
		set, err := permission.NewSet(all...)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint("note ", i)
		id, err := n.add(t.Context(), ada.ID, text, set)
		if err != nil {
			t.Fatal(err)
		}
		sets[fmt.Sprintf("%q by Ada", text)] = set
		if again, err := n.permissions(t.Context(), id); err != nil || !slices.Equal(again.Strings(), set.Strings()) {
			t.Errorf("%q were kept as %q: %v", set.Strings(), again.Strings(), err)
		}
	}
	for _, roles := range []permission.Roles{
		permission.RolesOf(permission.Guests), permission.RolesOf(permission.Users, permission.User("ada")),
		permission.RolesOf(pool...), permission.RolesOf(permission.Label("vip2"), "team:t"), {},
	} {
		found, err := n.readable(t.Context(), roles)
		if err != nil {
			t.Fatal(err)
		}
		for text, set := range sets {
			if got, want := slices.Contains(found, text), set.Allows(permission.Read, roles); got != want {
				t.Errorf("%s with %v: found %v, allowed %v", text, roles, got, want)
			}
		}
	}
}

func TestTheQueryUsesIndexesAlone(t *testing.T) {
	_, n, _ := site(t)
	rows, err := n.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+readableBy, `["any"]`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(plan, "\n")
	for _, want := range []string{"SEARCH p USING PRIMARY KEY (action=? AND role=?)", "SEARCH n USING INTEGER PRIMARY KEY (rowid=?)", "SEARCH u USING INDEX"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q", want)
		}
	}
	if strings.Contains(text, "SCAN p") || strings.Contains(text, "SCAN n") || strings.Contains(text, "SCAN u") {
		t.Error("a table is read whole")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestNotesEndWithTheirAuthor(t *testing.T) {
	engine, n, ada := site(t)
	all, err := permission.Parse(`read("any")`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.add(t.Context(), ada.ID, "a note", all); err != nil {
		t.Fatal(err)
	}
	if err := engine.Users().Delete(t.Context(), ada.ID); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"notes", "note_permissions"} {
		var left int
		if err := n.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d rows of %s are left: %v", left, table, err)
		}
	}
}
