// Grpc serves the accounts of an engine over gRPC.
//
//	cd examples/grpc
//	go run . -addr 127.0.0.1:50051 -db accounts.db
//
// It has these parts:
//   - interceptor.go checks the session of every call and stream.
//   - caller.go gives a handler the account and the client of its call.
//   - status.go turns the errors of the engine into statuses with details.
//   - service.go is a service for trying them. accounts.proto describes it for clients.
//
// The folder is a module of its own, so that the engine's module does not depend on gRPC.
//
// A general client such as grpcurl can call the service. The answer of SignIn has the secret for the
// other methods:
//
//	grpcurl -plaintext -proto accounts.proto -d '{"email":"ada@example.org","password":"correct horse"}' \
//		127.0.0.1:50051 latchkey.example.Accounts/SignUp
//	grpcurl -plaintext -proto accounts.proto -d '{"email":"ada@example.org","password":"correct horse"}' \
//		127.0.0.1:50051 latchkey.example.Accounts/SignIn
//	grpcurl -plaintext -proto accounts.proto -H 'authorization: Bearer SECRET' \
//		127.0.0.1:50051 latchkey.example.Accounts/WhoAmI
//
// It serves without TLS, and the calls hold passwords and secrets. So it is for loopback alone. A
// host gives grpc.Creds to its server.
package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/sqlite"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:50051", "address to listen on")
	file := flag.String("db", "", "SQLite file, with the key in a file beside it; in memory if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Print("serving on ", listener.Addr())
	if err := run(ctx, listener, *file); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends, and then finishes the calls that have begun.
func run(ctx context.Context, listener net.Listener, file string) (err error) {
	s, key, err := open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: key}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	server := newServer(engine, func() <-chan time.Time { return time.After(time.Second) })
	defer context.AfterFunc(ctx, server.GracefulStop)()
	return server.Serve(listener)
}

// open opens the store and reads the key. A real host keeps the key apart from the store.
func open(file string) (store.Store, latchkey.Key, error) {
	if file == "" {
		return memory.Open(), latchkey.GenerateKey(), nil
	}
	text, err := os.ReadFile(file + ".key")
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(latchkey.GenerateKey().Reveal())
		err = os.WriteFile(file+".key", text, 0o600)
	}
	if err != nil {
		return nil, latchkey.Key{}, err
	}
	key, err := latchkey.ParseKey(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, key, err
	}
	s, err := sqlite.Open(file)
	return s, key, err
}
