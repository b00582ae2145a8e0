// Pgserve starts a temporary PostgreSQL server and prints its address. It stops the
// server when its own standard input ends.
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"example.com/latchkey/internal/pgtest"
)

func main() {
	log.SetFlags(0)
	server, err := pgtest.Start("fsync=off")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(server.Address())
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Stop()
}
