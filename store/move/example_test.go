package move_test

import (
	"context"
	"fmt"
	"log"

	"example.com/latchkey"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/move"
)

// A host moves its users to another store while it serves them. Two stores in memory stand for a
// file and a database.
func Example() {
	ctx := context.Background()
	from, to := memory.Open(), memory.Open()
	moving, err := move.New(from, to, move.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer moving.Close() // and with it both stores
	engine, err := latchkey.New(moving, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ada, err := engine.Users().Create(ctx, latchkey.NewUser{Email: "ada@example.org"})
	if err != nil {
		log.Fatal(err)
	}

	if _, err := moving.Copy(ctx); err != nil { // the engine serves meanwhile
		log.Fatal(err)
	}
	session, err := engine.Users().CreateSession(ctx, ada.ID)
	if err != nil {
		log.Fatal(err)
	}
	stop, err := moving.Switch(ctx)
	if err != nil {
		log.Fatal(err) // the engine goes on with the first store
	}

	fmt.Println("Updates waited:", stop.Length > 0)
	_, err = engine.Guest(latchkey.Client{}).Authenticate(ctx, session.Secret.Reveal())
	fmt.Println("the session goes on:", err == nil)
	// Output:
	// Updates waited: true
	// the session goes on: true
}
