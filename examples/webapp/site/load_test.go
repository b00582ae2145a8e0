package site_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/examples/webapp/site"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/store"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/web"
)

// clients is the number of clients that are signed in at once.
const clients = 1000

// BenchmarkAThousandClients has a thousand signed-in clients, each with a connection of its own, load their
// account page at random from a site on an SQLite file, and from one on PostgreSQL. Beside it are the parts of such
// a request: the check with the profile, which is all that the page asks of the store, and a page that asks nothing
// of the store.
func BenchmarkAThousandClients(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		s, err := sqlite.Open(filepath.Join(b.TempDir(), "load.db"))
		if err != nil {
			b.Fatal(err)
		}
		load(b, s)
	})
	b.Run("postgres", func(b *testing.B) {
		s, err := postgres.OpenWith(b.Context(), pgtest.Shared(b).Address(), postgres.Options{Namespace: pgtest.Namespace()})
		if err != nil {
			b.Fatal(err)
		}
		load(b, s)
	})
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// load measures a site on a store, and closes the store.
func load(b *testing.B, s store.Store) {
	b.Helper()
	defer s.Close()
	engine, err := latchkey.New(s, latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(b), LimiterPerProcess: true})
	if err != nil {
		b.Fatal(err)
	}
	defer engine.Close()
	guest := engine.Guest(latchkey.Client{})
	secrets := make([]string, clients)
	for i := range secrets {
		user, err := engine.Users().Create(b.Context(), latchkey.NewUser{Email: fmt.Sprintf("user%d@example.org", i), Name: fmt.Sprintf("User %d", i)})
		if err != nil {
			b.Fatal(err)
		}
		session, err := engine.Users().CreateSession(b.Context(), user.ID)
		if err != nil {
			b.Fatal(err)
		}
		secrets[i] = session.Secret.Reveal()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	base := web.Base("http://" + listener.Addr().String())
	app, err := site.New(engine, site.Config{Name: "Load", Web: web.Config{Base: base}})
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: app, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // ends with Close
	defer server.Close()
	browser := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	get := func(path, secret string) error {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, base.URL(path), nil)
		if err != nil {
			return err
		}
		r.Header.Set("Accept", "text/html")
		r.AddCookie(&http.Cookie{Name: "session", Value: secret})
		res, err := browser.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("%d, %w", res.StatusCode, err)
		}
		return nil
	}
	for name, call := range map[string]func(secret string) error{
		"account page":           func(secret string) error { return get("/account", secret) },
		"page without the store": func(string) error { return get("/sign-in", "") },
		"check and profile": func(secret string) error {
			_, _, err := guest.AuthenticateProfile(b.Context(), secret)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			var failed atomic.Int64
			b.SetParallelism((clients + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := call(secrets[rand.IntN(clients)]); err != nil {
						failed.Add(1)
					}
				}
			})
			if failed.Load() > 0 {
				b.Errorf("%d calls have failed", failed.Load())
			}
		})
	}
}
