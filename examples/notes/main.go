// Notes keeps rows of its own, with permissions, in the SQLite file of the engine, and finds
// those that a caller may read by an index.
//
//	go run ./examples/notes
//
// It makes three notes and prints what a guest, their author and a reader see.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/permission"
	"example.com/latchkey/store/sqlite"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "notes")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "notes.db")
	s, err := sqlite.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}})
	if err != nil {
		return err
	}
	defer engine.Close()
	notes, err := open(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, notes.db.Close()) }()

	guest := engine.Guest(latchkey.Client{})
	ada, err := signUp(ctx, guest, "Ada")
	if err != nil {
		return err
	}
	bob, err := signUp(ctx, guest, "Bob")
	if err != nil {
		return err
	}
	if _, err := engine.Users().UpdateLabels(ctx, bob.UserID(), []string{"reviewer"}); err != nil {
		return err
	}
	own := permission.User(ada.UserID())
	for _, n := range []struct {
		text    string
		readers permission.Role
	}{{"for everybody", permission.Any}, {"for reviewers", permission.Label("reviewer")}, {"for Ada", own}} {
		of, err := permission.NewSet(permission.Read.To(n.readers), permission.Read.To(own), permission.Write.To(own))
		if err != nil {
			return err
		}
		if _, err := notes.add(ctx, ada.UserID(), n.text, of); err != nil {
			return err
		}
	}

	if err := show(ctx, notes, "A guest", guest.Roles()); err != nil {
		return err
	}
	for _, caller := range []struct {
		name string
		*latchkey.Account
	}{{"Ada", ada}, {"Bob", bob}} {
		roles, err := caller.Roles(ctx)
		if err != nil {
			return err
		}
		if err := show(ctx, notes, caller.name, roles); err != nil {
			return err
		}
	}
	of, err := notes.permissions(ctx, 2)
	if err != nil {
		return err
	}
	may, err := bob.Can(ctx, permission.Update, of)
	fmt.Println("Bob may change the second note:", may)
	return err
}

// signUp returns the account of a new user.
func signUp(ctx context.Context, guest *latchkey.Guest, name string) (*latchkey.Account, error) {
	email := strings.ToLower(name) + "@example.org"
	if _, err := guest.CreateAccount(ctx, latchkey.NewAccount{Email: email, Password: "correct horse", Name: name}); err != nil {
		return nil, err
	}
	session, err := guest.CreateEmailPasswordSession(ctx, email, "correct horse")
	if err != nil {
		return nil, err
	}
	return guest.Authenticate(ctx, session.Secret.Reveal())
}

func show(ctx context.Context, notes *notes, who string, roles permission.Roles) error {
	texts, err := notes.readable(ctx, roles)
	fmt.Println(who, "reads:", strings.Join(texts, ", "))
	return err
}

// notes is the host's own tables.
type notes struct{ db *sql.DB }

// tables has the permissions beside the notes: one row for each action and role, so that
// those of a role are one range of the primary key. A note ends with its author, by the
// engine's deletion.
const tables = `
CREATE TABLE IF NOT EXISTS notes (
	id     INTEGER PRIMARY KEY,
	author TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	text   TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS notes_author ON notes (author);
CREATE TABLE IF NOT EXISTS note_permissions (
	action TEXT NOT NULL,
	role   TEXT NOT NULL,
	note   INTEGER NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
	PRIMARY KEY (action, role, note)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS note_permissions_note ON note_permissions (note);`

// open opens the file of the engine once more, and makes the host's tables.
func open(ctx context.Context, file string) (*notes, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, tables); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &notes{db}, nil
}

// add stores a note with its permissions.
func (n *notes) add(ctx context.Context, author, text string, of permission.Set) (id int64, err error) {
	tx, err := n.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	result, err := tx.ExecContext(ctx, "INSERT INTO notes (author, text) VALUES (?, ?)", author, text)
	if err != nil {
		return 0, err
	}
	if id, err = result.LastInsertId(); err != nil {
		return 0, err
	}
	for _, action := range []permission.Action{permission.Read, permission.Create, permission.Update, permission.Delete} {
		for _, role := range of.Roles(action) {
			if _, err := tx.ExecContext(ctx, "INSERT INTO note_permissions (action, role, note) VALUES (?, ?, ?)", string(action), role, id); err != nil {
				return 0, err
			}
		}
	}
	return id, tx.Commit()
}

// permissions returns the permissions of a note.
func (n *notes) permissions(ctx context.Context, id int64) (_ permission.Set, err error) {
	rows, err := n.db.QueryContext(ctx, "SELECT action, role FROM note_permissions WHERE note = ?", id)
	if err != nil {
		return permission.Set{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var all []permission.Permission
	for rows.Next() {
		var p permission.Permission
		if err := rows.Scan(&p.Action, &p.Role); err != nil {
			return permission.Set{}, err
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return permission.Set{}, err
	}
	return permission.NewSet(all...)
}

// readableBy finds the notes that a caller may read, with their authors: for each role one
// range of the permissions, and not one note more.
const readableBy = `
SELECT DISTINCT n.id, n.text, u.name
FROM json_each(?) AS r
CROSS JOIN note_permissions AS p ON p.action = 'read' AND p.role = r.value
CROSS JOIN notes AS n ON n.id = p.note
CROSS JOIN users AS u ON u.id = n.author
ORDER BY n.id`

// readable returns the notes that a caller with these roles may read.
func (n *notes) readable(ctx context.Context, roles permission.Roles) (texts []string, err error) {
	list, err := json.Marshal(roles.List())
	if err != nil {
		return nil, err
	}
	rows, err := n.db.QueryContext(ctx, readableBy, string(list))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		var text, author string
		if err := rows.Scan(&id, &text, &author); err != nil {
			return nil, err
		}
		texts = append(texts, fmt.Sprintf("%q by %s", text, author))
	}
	return texts, rows.Err()
}
