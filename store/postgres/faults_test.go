package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// proxy stands in front of a server and can cut a connection at its COMMIT.
type proxy struct {
	net.Listener
	before, after atomic.Bool // cut the next one before or after the server saw it
	cut           atomic.Int64
	german        atomic.Bool // the server says FEHLER for ERROR
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client, server)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn, server string) {
	defer client.Close()
	upstream, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer upstream.Close()
	var deaf atomic.Bool
	go func() {
		defer client.Close()
		buffer := make([]byte, 1<<16)
		for {
			n, err := upstream.Read(buffer)
			if err != nil || deaf.Load() { // drops the answer of the server
				return
			}
			answer := buffer[:n]
			if p.german.Load() {
				answer = bytes.ReplaceAll(answer, []byte("SERROR\x00VERROR\x00"), []byte("SFEHLE\x00VERROR\x00"))
			}
			if _, err := client.Write(answer); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:n], []byte("COMMIT\x00")) {
			if p.before.CompareAndSwap(true, false) {
				p.cut.Add(1)
				return
			}
			if p.after.CompareAndSwap(true, false) {
				p.cut.Add(1)
				deaf.Store(true)
			}
		}
		if _, err := upstream.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestLostCommitIsAnUnknownOutcomeAndNotRepeated(t *testing.T) {
	server := pgtest.Shared(t)
	p := newProxy(t, server.Host())
	s := open(t, fmt.Sprintf("postgres://latchkey@%s/postgres?sslmode=disable", p.Addr()), Options{Namespace: pgtest.Namespace()})
	for name, cut := range map[string]*atomic.Bool{"before": &p.before, "after": &p.after} {
		runs := 0
		cut.Store(true)
		err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			runs++
			return record.Failures.Insert(ctx, tx, count(name, 1))
		})
		if !errors.Is(err, store.ErrUnknownOutcome) || runs != 1 {
			t.Errorf("%s: %v after %d runs", name, err, runs)
		}
	}
	// At the second cut the server has answered. At the first cut it has not
	// received the COMMIT.
	if got := [2]int64{counted(t, s, "before"), counted(t, s, "after")}; got != [2]int64{0, 1} {
		t.Errorf("rows %v", got)
	}
}

func TestConnectionsCutInTheMiddleOfCommits(t *testing.T) {
	server := pgtest.Shared(t)
	p := newProxy(t, server.Host())
	s := open(t, fmt.Sprintf("postgres://latchkey@%s/postgres?sslmode=disable", p.Addr()), Options{Namespace: pgtest.Namespace()})
	var group sync.WaitGroup
	var acknowledged sync.Map
	var unknown atomic.Int64
	for worker := range 8 {
		group.Go(func() {
			for n := range 30 {
				if n%3 == 0 {
					[]*atomic.Bool{&p.before, &p.after}[(n+worker)%2].Store(true)
				}
				name := fmt.Sprintf("%d.%d", worker, n)
				switch err := addPair(limited(t), s, name); {
				case err == nil:
					acknowledged.Store(name, true)
				case errors.Is(err, store.ErrUnknownOutcome):
					unknown.Add(1)
				default:
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	group.Wait()
	if unknown.Load() == 0 || p.cut.Load() == 0 {
		t.Error("no commit was cut")
	}
	wholePairs(t, s, &acknowledged)
}

// addPair adds two rows that belong together.
func addPair(ctx context.Context, s store.Store, name string) error {
	return s.Update(ctx, func(ctx context.Context, tx store.Tx) error {
		if err := record.Failures.Insert(ctx, tx, count(name, 1)); err != nil {
			return err
		}
		return record.Failures.Insert(ctx, tx, count(name+"'", 1))
	})
}

// wholePairs checks that every acknowledged pair is there, and no half of a pair.
func wholePairs(t *testing.T, s store.Store, acknowledged *sync.Map) {
	t.Helper()
	rows, err := record.Failures.List(limited(t), s, store.Query{Index: record.Failures.Primary(), Limit: store.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, row := range rows {
		there[string(row.Subject)] = true
	}
	for name := range there {
		first, second := strings.CutSuffix(name, "'")
		if !there[first] || !second && !there[first+"'"] {
			t.Errorf("%s is half done", first)
		}
	}
	n := 0
	acknowledged.Range(func(name, _ any) bool {
		n++
		if !there[name.(string)] || !there[name.(string)+"'"] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
		return true
	})
	if n == 0 {
		t.Error("nothing was acknowledged")
	}
}

func TestKilledServerLosesNothingAcknowledged(t *testing.T) {
	pgtest.Shared(t) // skips the test without a server
	server, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	s := open(t, server.Address(), Options{Namespace: "auth"})
	var acknowledged sync.Map
	for round := range 3 {
		var group sync.WaitGroup
		var done atomic.Int64
		enough := make(chan struct{})
		for worker := range 8 {
			group.Go(func() {
				for n := 0; ; n++ {
					name := fmt.Sprintf("%d.%d.%d", round, worker, n)
					if err := addPair(limited(t), s, name); err != nil {
						return // the server is gone
					}
					acknowledged.Store(name, true)
					if done.Add(1) == 50 {
						close(enough)
					}
				}
			})
		}
		<-enough
		server.Kill()
		group.Wait()
		if err := server.Run(); err != nil {
			t.Fatal(err)
		}
		wholePairs(t, s, &acknowledged)
		if err := addPair(limited(t), s, fmt.Sprintf("after %d", round)); err != nil {
			t.Errorf("after the restart: %v", err)
		}
	}
}

func TestServerThatRestartsIsFoundAgain(t *testing.T) {
	pgtest.Shared(t)
	server, err := pgtest.Start("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	s := open(t, server.Address(), Options{Namespace: "auth"})
	var group, all sync.WaitGroup
	all.Add(defaultConns)
	for n := range defaultConns { // connections that will be dead
		group.Go(func() {
			var first sync.Once
			err := s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
				first.Do(func() {
					all.Done()
					all.Wait()
				})
				return record.Failures.Insert(ctx, tx, count(fmt.Sprint(n), 1))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	server.Kill()
	if _, err := s.Count(limited(t), store.Query{Index: record.Failures.Primary()}); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("without a server: %v", err)
	}
	if err := server.Run(); err != nil {
		t.Fatal(err)
	}
	if n := counted(t, s, "0"); n != 1 {
		t.Errorf("count %d", n)
	}
	if err := add(limited(t), s, "again"); err != nil {
		t.Error(err)
	}
}

func TestCancelledCallEndsSoonAndHarmsNobody(t *testing.T) {
	s := open(t, pgtest.Shared(t).Address(), Options{Namespace: pgtest.Namespace(), MaxConns: 3})
	if err := add(limited(t), s, "held"); err != nil {
		t.Fatal(err)
	}
	change := func(ctx context.Context, tx store.Tx) error {
		return record.Failures.Replace(ctx, tx, count("held", 2))
	}
	held, release := make(chan struct{}), make(chan struct{})
	holder := make(chan error)
	go func() {
		holder <- s.Update(limited(t), func(ctx context.Context, tx store.Tx) error {
			err := change(ctx, tx)
			close(held)
			<-release
			return err
		})
	}()
	<-held
	ctx, cancel := context.WithCancel(limited(t))
	waiter := make(chan error)
	go func() { waiter <- s.Update(ctx, change) }()
	cancel()
	if err := <-waiter; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that waited: %v", err)
	}
	close(release)
	if err := <-holder; err != nil {
		t.Errorf("the one that held: %v", err)
	}
	if n := counted(t, s, "held"); n != 2 {
		t.Errorf("count %d", n)
	}
}
