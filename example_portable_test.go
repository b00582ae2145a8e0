package latchkey_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/hidden"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/transfer"
)

// emptyEngine returns an engine on an empty store.
func emptyEngine() *latchkey.Engine {
	engine, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}})
	if err != nil {
		log.Fatal(err)
	}
	return engine
}

// Users of another system come with the passwords that they have. A record that cannot come is
// refused by itself.
func ExampleEngine_Import() {
	ctx := context.Background()
	engine := emptyEngine()
	defer engine.Close()

	rows := []struct{ id, email, md5 string }{
		{"1", "ada@example.org", "144fa7eaa4904e8ee120651997f70dcc"},
		{"2", "bob@example.org", "not a hash"},
	}
	records := func(yield func(latchkey.Portable, error) bool) {
		for i, row := range rows {
			user := &latchkey.PortableUser{ID: row.id, Email: row.email}
			hash, err := foreign.MD5(row.md5)
			if err != nil {
				err = &latchkey.RecordError{Line: i + 1, Reason: err.Error()}
			}
			user.Password = hash.Text()
			if !yield(latchkey.Portable{Line: i + 1, User: user}, err) {
				return
			}
		}
	}
	done, err := engine.Import(ctx, records, latchkey.ImportOptions{OnResult: func(r latchkey.ImportResult) {
		if r.Err != nil {
			fmt.Println(r.Err)
		}
	}})
	fmt.Printf("%+v %v\n", done, err)
	_, err = engine.Guest(latchkey.Client{}).CreateEmailPasswordSession(ctx, "ada@example.org", "appwrite")
	fmt.Println("signed in:", err == nil)
	// Output:
	// line 2: not a password hash within the bounds: a hash of md5 has 32 hexadecimal digits in lower case
	// {Created:1 Existed:0 Refused:1} <nil>
	// signed in: true
}

// Everything leaves as lines of JSON, which another engine takes.
func ExampleEngine_Export() {
	ctx := context.Background()
	engine, other := emptyEngine(), emptyEngine()
	defer engine.Close()
	defer other.Close()
	_, err := engine.Users().Create(ctx, latchkey.NewUser{UserID: "ada", Email: "ada@example.org", Password: "correct horse"})
	fmt.Println(err)

	var file strings.Builder
	w := transfer.NewWriter(&file, true, time.Now())
	if err := engine.Export(ctx, latchkey.ExportOptions{Secrets: true}, w.Write); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	fmt.Println(w.Close(), strings.Count(file.String(), "\n"), "lines")

	done, err := other.Import(ctx, transfer.Read(strings.NewReader(file.String()), transfer.Latchkey, transfer.Options{}), latchkey.ImportOptions{})
	fmt.Printf("%+v %v\n", done, err)
	// Output:
	// <nil>
	// <nil> 3 lines
	// {Created:1 Existed:0 Refused:0} <nil>
}

// A single user comes by the operation that is named after the scheme.
func ExampleUsers_CreateBcryptUser() {
	ctx := context.Background()
	engine := emptyEngine()
	defer engine.Close()
	user, err := engine.Users().CreateBcryptUser(ctx, latchkey.HashedUser{
		Email: "ada@example.org", Hash: hidden.New("$2a$05$IjrtSz6SN7UJ6Sh3l.b5jODEvEG2LMJTPAHIaLWRvlWx7if3VMkFO"),
	})
	fmt.Println(user.Email, err)
	_, err = engine.Guest(latchkey.Client{}).CreateEmailPasswordSession(ctx, "ada@example.org", "hello-world")
	fmt.Println("signed in:", err == nil)
	// Output:
	// ada@example.org <nil>
	// signed in: true
}
