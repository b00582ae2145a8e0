// Api is a JSON API over the engine and package web, for a front end in a browser, which has a cookie, and for
// programs and apps, which send the secret of their session as a bearer. openapi.json describes it.
//
//	LATCHKEY_KEY=$(go run ./cmd/latchkey key make) go run ./examples/api
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/notify"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/web"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "address to serve")
	base := flag.String("base", "http://localhost:8080", "address of the front end: links in mails open its pages, and passkeys are bound to its host for good")
	db := flag.String("db", "api.db", "SQLite file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr, web.Base(*base), *db); err != nil {
		log.Fatal(err)
	}
}

// run serves the API until the context ends.
func run(ctx context.Context, addr string, base web.Base, db string) (err error) {
	key, err := latchkey.ParseKey(os.Getenv("LATCHKEY_KEY"))
	if err != nil {
		return errors.New("LATCHKEY_KEY is not a key: go run ./cmd/latchkey key make makes one")
	}
	store, err := sqlite.Open(db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	engine, err := latchkey.New(store, latchkey.Config{
		Keys: latchkey.Keys{Active: key}, RedirectHosts: base.Hosts(), Passkeys: newPasskeys(base),
		Notifier: notify.Func(func(_ context.Context, m notify.Message) error { // to the terminal, in the place of a mail server
			_, err := fmt.Println(m.Kind, "to", m.To, m.Link.Reveal(), m.Secret.Reveal())
			return err
		}),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	api, err := newAPI(engine, base)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: addr, Handler: api, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
