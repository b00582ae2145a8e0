// Expvar counts the operations of an engine in variables of package expvar, with the standard library alone.
//
//	go run ./examples/expvar
//
// It signs a user up, signs in with a wrong and with the right password, checks the session, and
// prints the counts. A host that imports expvar serves its variables under /debug/vars of
// http.DefaultServeMux. They hold nothing of a person, but the command line of the process, so that
// address should not be public.
//
// These are sums. They have no quantiles, and no names and types that a monitor knows. The module
// otel of this project has both.
package main

import (
	"context"
	"expvar"
	"fmt"
	"io"
	"log"
	"net/netip"
	"os"

	"example.com/latchkey"
	"example.com/latchkey/store/memory"
)

// observer adds up observations by kind, name and outcome.
type observer struct{ counts, seconds *expvar.Map }

func (observer) Begin(ctx context.Context, _ string) context.Context { return ctx }

func (o observer) Observe(_ context.Context, seen latchkey.Observation) {
	key := string(seen.What)
	if seen.Name != "" {
		key += " " + seen.Name
	}
	if seen.Outcome != "" {
		key += ", " + seen.Outcome
	}
	o.counts.Add(key, int64(seen.Count))         // of a transaction, how often it ran
	o.seconds.AddFloat(key, seen.Took.Seconds()) // of the checks of sessions, one in 64 has a time
}

func main() {
	o := observer{expvar.NewMap("latchkey"), expvar.NewMap("latchkey_seconds")}
	if err := run(os.Stdout, o); err != nil {
		log.Fatal(err)
	}
}

func run(out io.Writer, o observer) error {
	ctx := context.Background()
	engine, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Observer: o})
	if err != nil {
		return err
	}
	defer engine.Close()
	guest := engine.Guest(latchkey.Client{IP: netip.MustParseAddr("192.0.2.1")})
	if _, err := guest.CreateAccount(ctx, latchkey.NewAccount{Email: "ada@example.org", Password: "correct horse"}); err != nil {
		return err
	}
	_, err = guest.CreateEmailPasswordSession(ctx, "ada@example.org", "wrong horse")
	fmt.Fprintln(out, err)
	session, err := guest.CreateEmailPasswordSession(ctx, "ada@example.org", "correct horse")
	if err != nil {
		return err
	}
	if _, err := guest.Authenticate(ctx, session.Secret.Reveal()); err != nil {
		return err
	}
	o.counts.Do(func(kv expvar.KeyValue) { fmt.Fprintf(out, "%s: %v\n", kv.Key, kv.Value) })
	return nil
}
