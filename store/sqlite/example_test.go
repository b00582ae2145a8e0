package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"example.com/latchkey"
	"example.com/latchkey/store"
	"example.com/latchkey/store/sqlite"
)

// A host keeps its own tables and those of the engine in one file, and joins them. The tables
// of the engine have a prefix, because the host has a table of users already.
func ExampleOpenWith() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "bakery.db")
	bakery, err := sql.Open("sqlite", path+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)")
	if err != nil {
		log.Fatal(err)
	}
	defer bakery.Close()
	if _, err := bakery.Exec("CREATE TABLE users (number INTEGER PRIMARY KEY, till TEXT)"); err != nil {
		log.Fatal(err)
	}

	kept, err := sqlite.OpenWith(path, sqlite.Options{Prefix: "auth_"})
	if err != nil {
		log.Fatal(err)
	}
	defer kept.Close()
	engine, err := latchkey.New(kept, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx := context.Background()
	ada, err := engine.Users().Create(ctx, latchkey.NewUser{Email: "ada@example.org", Name: "Ada"})
	if err != nil {
		log.Fatal(err)
	}

	// The bakery's own table refers to the users of the engine.
	if _, err := bakery.Exec(`CREATE TABLE loaves (name TEXT, baker TEXT NOT NULL REFERENCES auth_users (id))`); err != nil {
		log.Fatal(err)
	}
	if _, err := bakery.Exec("INSERT INTO loaves VALUES ('rye', ?)", ada.ID); err != nil {
		log.Fatal(err)
	}
	var loaf, baker, email string
	err = bakery.QueryRow("SELECT l.name, u.name, u.email FROM loaves l JOIN auth_users u ON u.id = l.baker").Scan(&loaf, &baker, &email)
	fmt.Println(loaf, baker, email, err)

	// The foreign key holds up the deletion of a user who has baked.
	fmt.Println(engine.Users().Delete(ctx, ada.ID))
	if _, err := bakery.Exec("DELETE FROM loaves WHERE baker = ?", ada.ID); err != nil {
		log.Fatal(err)
	}
	fmt.Println(engine.Users().Delete(ctx, ada.ID))
	// Output:
	// rye Ada ada@example.org <nil>
	// Rows of the host's own tables refer to this; delete them first (general_referenced)
	// <nil>
}

// A row of the host commits with a row of the store, or not at all. The store has a schema of its
// own here. With the engine, its closures are those of the engine.
func ExampleTxOf() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "bakery.db")
	bakery, err := sql.Open("sqlite", path)
	if err != nil {
		log.Fatal(err)
	}
	defer bakery.Close()
	if _, err := bakery.Exec("CREATE TABLE orders (loaf TEXT)"); err != nil {
		log.Fatal(err)
	}

	type baker struct{ Name string }
	bakers := store.Declare("bakers", func(b *baker, to *store.Binder) { to.Text("name", &b.Name) }, store.Keys{Primary: []string{"name"}})
	s, err := sqlite.OpenWith(path, sqlite.Options{Schema: store.NewSchema("bakery", 1, bakers.Table)})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	order := func(name, loaf string) error {
		return s.Update(context.Background(), func(ctx context.Context, tx store.Tx) error {
			host, ok := sqlite.TxOf(tx)
			if !ok {
				return errors.New("not a transaction of this store")
			}
			if _, err := host.ExecContext(ctx, "INSERT INTO orders VALUES (?)", loaf); err != nil {
				return err
			}
			return bakers.Insert(ctx, tx, &baker{name})
		})
	}
	fmt.Println(order("Ada", "rye"))
	fmt.Println(order("Ada", "oat")) // the name is taken, so there is no order either
	var orders string
	err = bakery.QueryRow("SELECT group_concat(loaf) FROM orders").Scan(&orders)
	fmt.Println(orders, err)
	// Output:
	// <nil>
	// store: key is taken in bakers.primary
	// rye <nil>
}
