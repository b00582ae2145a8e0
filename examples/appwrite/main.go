// Appwrite serves the documented REST API over the engine, so that the official
// SDKs work against it. It shows how a transport wraps the engine: the handlers
// translate, and the engine decides.
//
//	ADDR=127.0.0.1:8080 STORE=sqlite:app.db PROJECT_ID=demo API_KEY=key SECRET=... go run ./examples/appwrite
//
// It is configured only by environment variables, which [config] lists.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/notify/smtp"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv); err != nil {
		slog.Error("appwrite", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, env func(string) string) (err error) {
	c, err := readConfig(env)
	if err != nil {
		return err
	}
	s, err := open(ctx, c.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	h, err := newHost(c, s)
	if err != nil {
		return err
	}
	defer func() {
		left, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // for messages that still wait
		defer cancel()
		err = errors.Join(err, h.engine.CloseContext(left), h.closeMailer())
	}()
	listener, err := net.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := &http.Server{
		BaseContext: func(net.Listener) context.Context { return requests },
		Handler:     h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	slog.Info("serving", "address", listener.Addr().String(), "project", c.projectID)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(ending) == nil {
		return nil
	}
	cut() // ends the contexts of the requests that still run
	err = server.Close()
	h.running.Wait()
	return err
}

func open(ctx context.Context, where place) (store.Store, error) {
	switch where.kind {
	case "memory":
		return memory.Open(), nil
	case "bbolt":
		return bbolt.Open(where.path)
	case "sqlite":
		return sqlite.Open(where.path)
	case "postgres":
		return postgres.OpenWith(ctx, where.kind+":"+where.path, postgres.Options{Namespace: where.namespace})
	}
	return nil, fmt.Errorf("STORE: there is no %q", where.kind)
}

// host is the API of one project.
type host struct {
	config config
	engine *latchkey.Engine
	mailer *smtp.Mailer // nil without SMTP_ADDR
	server *latchkey.Users
	mux    *http.ServeMux
	clock  clock

	running sync.WaitGroup // requests in progress
}

func newHost(c config, s store.Store) (*host, error) {
	h := &host{config: c, mux: http.NewServeMux(), clock: clock{file: c.clockFile}}
	var limiter ratelimit.Limiter = ratelimit.NewMemory(0)
	if !c.rateLimits {
		limiter = ratelimit.ReportOnly(limiter)
	}
	engine := latchkey.Config{
		Keys: latchkey.Keys{Active: c.key}, Policy: c.policy, Limiter: limiter, Now: h.clock.Now, RedirectHosts: c.redirectHosts(),
		MockNumbers: c.mockNumbers, Issuer: c.publicURL, App: c.projectName, CustomCodes: c.customFactor,
		Providers: c.providers,
		// One process serves a project. The limiter goes by the clock of the host, which its tests set.
		LimiterPerProcess: true,
	}
	if err := h.messages(&engine); err != nil {
		return nil, err
	}
	var err error
	if h.engine, err = latchkey.New(s, engine); err != nil {
		return nil, err
	}
	h.server = h.engine.Users()
	for _, r := range routes {
		for _, path := range r.paths {
			h.mux.HandleFunc(r.method+" "+path, func(w http.ResponseWriter, req *http.Request) { h.serve(w, req, r) })
		}
	}
	h.mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, req *http.Request) { h.serve(w, req, keySet) })
	h.mux.HandleFunc("GET /auth/oauth2/success", relayed("Signed in", "You are signed in. You can close this page."))
	h.mux.HandleFunc("GET /auth/oauth2/failure", relayed("Not signed in", "You were not signed in. Please go back and try again."))
	h.mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) { h.serve(w, req, notFound) })
	if c.debugRoles {
		h.mux.HandleFunc("GET /debug/roles", func(w http.ResponseWriter, req *http.Request) { h.serve(w, req, debugRoles) })
	}
	return h, nil
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.running.Add(1)
	defer h.running.Done()
	if path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") { // the mux would redirect other paths
		h.serve(w, r, notFound)
		return
	}
	h.mux.ServeHTTP(w, r)
}
