package move_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/move"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/sqlite"
)

// number reads a number from the environment.
func number(b *testing.B, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return n
}

// BenchmarkStop moves users to PostgreSQL while others sign in. LATCHKEY_MOVE_USERS is their number,
// LATCHKEY_MOVE_WRITES the number of sign-ins a second, and LATCHKEY_MOVE_FROM is sqlite or bbolt. It is
// meant for -benchtime 1x.
func BenchmarkStop(b *testing.B) {
	users, rate := number(b, "LATCHKEY_MOVE_USERS", 1000), number(b, "LATCHKEY_MOVE_WRITES", 200)
	server, err := pgtest.Start()
	if err != nil {
		b.Skip(err)
	}
	defer server.Stop()
	for b.Loop() {
		stop := moveUnderLoad(b, server, users, rate)
		b.ReportMetric(float64(stop.Length.Milliseconds()), "ms-stop")
	}
}

func moveUnderLoad(b *testing.B, server *pgtest.Server, users, rate int) move.Stop {
	ctx := context.Background()
	path := filepath.Join(b.TempDir(), "app.db")
	from, err := openFile(path)
	if err != nil {
		b.Fatal(err)
	}
	to, err := postgres.OpenWith(ctx, server.Address(), postgres.Options{Namespace: pgtest.Namespace()})
	if err != nil {
		b.Fatal(err)
	}
	var passes []string
	m, err := move.New(from, to, move.Options{OnPass: func(p move.Pass) { passes = append(passes, fmt.Sprintf("%d rows in %v", p.Rows, p.Length)) }})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	engine, err := latchkey.New(m, latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Hasher: hashertest.New(b), Logger: slog.New(slog.DiscardHandler),
		LimiterPerProcess: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer engine.Close()
	began := time.Now()
	if done, err := engine.Import(ctx, crowd(users), latchkey.ImportOptions{}); err != nil || done.Created != users {
		b.Fatal(done, err)
	}
	b.Logf("%d users were made in %v", users, time.Since(began))

	signIns := startSignIns(engine, users, rate)
	if _, err := m.Copy(ctx); err != nil {
		b.Fatal(err)
	}
	size := func(name string) (n int64) {
		if info, err := os.Stat(name); err == nil {
			n = info.Size() >> 20
		}
		return n
	}
	b.Logf("the file has %d MB, and its log %d MB", size(path), size(path+"-wal"))
	began = time.Now()
	stop, err := m.Switch(ctx)
	ended := time.Now()
	if err != nil {
		b.Fatal(err)
	}
	signIns.wait(rate) // as many as in a second, on the second store
	all := signIns.end()
	b.Logf("passes: %s", strings.Join(passes, ", "))
	b.Logf("Switch took %v. The stop took %v, of which %v for Updates that ran, and its pass had %d rows", ended.Sub(began), stop.Length, stop.Waiting, stop.Rows)
	b.Logf("%d sign-ins. Before Switch: %s. In Switch and until a second after it: %s", len(all), lengths(all, func(s signIn) bool { return s.began.Before(began) }),
		lengths(all, func(s signIn) bool { return !s.began.Before(began) }))
	for _, s := range all {
		if s.err != nil {
			b.Error(s.err)
		} else if _, err := engine.Guest(latchkey.Client{}).Authenticate(ctx, s.secret); err != nil {
			b.Errorf("a session made %v after Switch had begun: %v", s.began.Sub(began), err)
		}
	}
	return stop
}

func openFile(path string) (store.Store, error) {
	if os.Getenv("LATCHKEY_MOVE_FROM") == "bbolt" {
		return bbolt.Open(path)
	}
	return sqlite.Open(path)
}

func userID(n int) string { return fmt.Sprintf("person%010d", n) }

// crowd returns users with addresses and hashes.
func crowd(users int) func(func(latchkey.Portable, error) bool) {
	return func(yield func(latchkey.Portable, error) bool) {
		for n := range users {
			u := &latchkey.PortableUser{
				ID: userID(n), Email: fmt.Sprintf("person%d@example.org", n), Name: fmt.Sprintf("Person %d", n),
				Password: hidden.New(fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzYWx0c2Fs$%042dA", n)),
			}
			if !yield(latchkey.Portable{Line: n + 1, User: u}, nil) {
				return
			}
		}
	}
}

// signIn is one sign-in.
type signIn struct {
	began  time.Time
	took   time.Duration
	secret string
	err    error
}

// signIns sign random users in, so many a second, whether the earlier ones have ended or not.
type signIns struct {
	done  chan struct{}
	group sync.WaitGroup
	ended chan struct{} // gets one element for each sign-in that someone waits for
	mu    sync.Mutex
	all   []signIn
}

func startSignIns(engine *latchkey.Engine, users, rate int) *signIns {
	s := &signIns{done: make(chan struct{}), ended: make(chan struct{})}
	s.group.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-s.done:
				return
			case <-tick.C:
				s.group.Go(func() { s.one(engine, userID(rand.IntN(users))) })
			}
		}
	})
	return s
}

func (s *signIns) one(engine *latchkey.Engine, user string) {
	in := signIn{began: time.Now()}
	session, err := engine.Users().CreateSession(context.Background(), user)
	in.took, in.err = time.Since(in.began), err
	if err == nil {
		in.secret = session.Secret.Reveal()
	}
	s.mu.Lock()
	s.all = append(s.all, in)
	s.mu.Unlock()
	select {
	case s.ended <- struct{}{}:
	default:
	}
}

// wait waits for the end of some sign-ins.
func (s *signIns) wait(n int) {
	for range n {
		<-s.ended
	}
}

func (s *signIns) end() []signIn {
	close(s.done)
	s.group.Wait()
	return s.all
}

// lengths tells how long some sign-ins took.
func lengths(all []signIn, some func(signIn) bool) string {
	var took []time.Duration
	for _, s := range all {
		if some(s) {
			took = append(took, s.took)
		}
	}
	if len(took) == 0 {
		return "none"
	}
	slices.Sort(took)
	return fmt.Sprintf("median %v, longest %v", took[len(took)/2], took[len(took)-1])
}
