package capacity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/postgres"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const password = "correct horse"

// node is an engine with a pool of its own.
type node struct {
	*latchkey.Engine
	pool *pgxpool.Pool
	runs atomic.Int64 // that were repeated
}

// server starts a server whose commits are durable. Nothing of its own housekeeping falls into a measurement.
func server(b testing.TB) *pgtest.Server {
	s, err := pgtest.Start("autovacuum=off", "checkpoint_timeout=1h", "max_wal_size=8GB")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Stop)
	return s
}

// pool opens a pool with as many connections as a store has by default.
func pool(b testing.TB, s *pgtest.Server, conns int) *pgxpool.Pool {
	config, err := pgxpool.ParseConfig(s.Address())
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = int32(conns)
	config.ConnConfig.Tracer = recorder{}
	p, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Close)
	return p
}

var key = latchkey.GenerateKey()

func start(b testing.TB, s *pgtest.Server, conns int) *node {
	n := &node{pool: pool(b, s, conns)}
	st, err := postgres.OpenPool(context.Background(), n.pool, postgres.Options{OnRetry: func(string) { n.runs.Add(1) }})
	if err != nil {
		b.Fatal(err)
	}
	n.Engine, err = latchkey.New(st, latchkey.Config{Keys: latchkey.Keys{Active: key}, Hasher: hashertest.New(b), Limiter: unlimited(), LimiterPerProcess: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = n.Close() })
	return n
}

// callers runs n calls, shared by some goroutines.
func callers(b *testing.B, goroutines, n int, call func(i int) error) {
	var next atomic.Int64
	done := make(chan struct{})
	for range goroutines {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := call(i); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	for range goroutines {
		<-done
	}
}

// browser is the client of sign-ins.
var browser = latchkey.Client{IP: netip.MustParseAddr("192.0.2.1"), UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}

// unlimited returns a limiter that counts and refuses nothing.
func unlimited() ratelimit.Limiter { return ratelimit.ReportOnly(ratelimit.NewMemory(0)) }

// fill adds users by copies of one row of each table, and a session for each. Their ids stand between those of the
// users of a benchmark, as they do in a store that has grown.
func fill(b *testing.B, p *pgxpool.Pool, users int) {
	const id = `lpad((i % 2000)::text, 5, '0') || '-' || i`
	copies := func(table, changes string) string {
		return fmt.Sprintf("INSERT INTO latchkey.%[1]s SELECT (jsonb_populate_record(r, jsonb_build_object(%[2]s))).* FROM latchkey.%[1]s AS r "+
			"CROSS JOIN generate_series(1, $1::int) AS i WHERE r.ctid = (SELECT min(ctid) FROM latchkey.%[1]s)", table, changes)
	}
	for _, text := range []string{
		"INSERT INTO latchkey.addresses SELECT " + id + " || '@example.org', " + id + " FROM generate_series(1, $1::int) AS i",
		copies("users", "'id', "+id+", 'key', 'fill' || i, 'email', "+id+" || '@example.org'"),
		copies("targets", "'id', 'fill' || i, 'user_id', "+id+", 'identifier', "+id+" || '@example.org'"),
		copies("sessions", `'id', 'fill' || i, 'user_id', `+id+`, 'digest', '\x' || encode(sha256(i::text::bytea), 'hex')`),
		copies("logs", "'id', 'fill' || i, 'user_key', 'fill' || i"),
	} {
		if _, err := p.Exec(context.Background(), text, users); err != nil {
			b.Fatal(err)
		}
	}
	for _, text := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := p.Exec(context.Background(), text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSignUps makes users by some callers at once, and then sends the same statements to
// another server by pgx alone, at read committed. The statements are those of the same calls on a third server. limit is the rate of the engine as a part of
// that of pgx.
func BenchmarkSignUps(b *testing.B) {
	for _, filled := range []int{0, 100_000} {
		for _, n := range []int{1, 8, 32, 64} {
			b.Run(fmt.Sprintf("users=%d/callers=%d", filled, n), func(b *testing.B) {
				ctx, tapedServer := context.Background(), server(b)
				taped, one, other := start(b, tapedServer, 16), start(b, server(b), 16), start(b, server(b), 16)
				if filled > 0 {
					for _, n := range []*node{taped, one, other} {
						first(b, n)
						fill(b, n.pool, filled)
					}
				}
				signUp := func(ctx context.Context, n *node, i int) error {
					_, err := n.Users().Create(ctx, latchkey.NewUser{Email: fmt.Sprintf("a%d@example.org", i), Name: "Ada"})
					return err
				}
				b.ResetTimer()
				callers(b, n, b.N, func(i int) error { return signUp(ctx, one, i) })
				b.StopTimer()
				tapes := tapesOf(b, n, func(ctx context.Context, i int) error { return signUp(ctx, taped, i) })
				tapedServer.Stop()
				report(b, one.runs.Load(), n, tapes, other)
			})
		}
	}
}

// tapesOf makes b.N calls by some goroutines and returns their tapes. They are not those that are measured, because the
// recording takes a part of the time. They come after those, because the collector of garbage goes over the tapes again and again.
func tapesOf(b *testing.B, goroutines int, call func(ctx context.Context, i int) error) []*tape {
	tapes := make([]*tape, b.N)
	callers(b, goroutines, b.N, func(i int) error {
		ctx, t := recorded(context.Background())
		tapes[i] = t
		return call(ctx, i)
	})
	return tapes
}

// report adds the figures of a benchmark. The limit is that tapes are played to another server, without the engine and without the
// collector of garbage.
func report(b *testing.B, runs int64, goroutines int, tapes []*tape, other *node) {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	took, begun := b.Elapsed(), time.Now()
	callers(b, goroutines, b.N, func(i int) error { return tapes[i].play(context.Background(), other.pool) })
	beside := time.Since(begun)
	b.ReportMetric(float64(b.N)/took.Seconds(), "ops/s")
	b.ReportMetric(float64(b.N)/beside.Seconds(), "limit/s")
	b.ReportMetric(beside.Seconds()/took.Seconds(), "of-limit")
	b.ReportMetric(float64(runs)/float64(b.N), "repeats/op")
}

// first makes a user with a session.
func first(b *testing.B, n *node) {
	user, err := n.Users().Create(context.Background(), latchkey.NewUser{Email: "first@example.org", Name: "Ada"})
	if err == nil {
		_, err = n.Users().CreateSession(context.Background(), user.ID)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSignIns signs 2,000 of 102,000 users in by password, on some engines with a pool each. Each
// signs in from a client that has signed in before.
func BenchmarkSignIns(b *testing.B) {
	const users = 2000
	for _, nodes := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			ctx, s, tapedServer := context.Background(), server(b), server(b)
			taped, other := start(b, tapedServer, 16*nodes), start(b, server(b), 16*nodes)
			var all []*node
			for range nodes {
				all = append(all, start(b, s, 16))
			}
			for _, n := range []*node{taped, all[0], other} {
				first(b, n)
				fill(b, n.pool, 100_000)
			}
			signIn := func(ctx context.Context, n *node, user int) error {
				client := latchkey.Client{IP: netip.AddrFrom4([4]byte{10, byte(user), byte(user >> 8), 1})}
				_, err := n.Guest(client).CreateEmailPasswordSession(ctx, fmt.Sprintf("%05d-real@example.org", user), password)
				return err
			}
			callers(b, 8, users, func(i int) error {
				made, up := recorded(ctx)
				_, err := taped.Users().Create(made, latchkey.NewUser{UserID: fmt.Sprintf("%05d-real", i), Email: fmt.Sprintf("%05d-real@example.org", i), Password: password, Name: "Ada"})
				made, in := recorded(ctx)
				err = errors.Join(err, signIn(made, taped, i))
				for _, n := range []*node{all[0], other} {
					err = errors.Join(err, up.play(ctx, n.pool), in.play(ctx, n.pool))
				}
				return err
			})
			user := func(i int) int { return i * 7919 % users }
			b.ResetTimer()
			callers(b, 16*nodes, b.N, func(i int) error { return signIn(ctx, all[i%nodes], user(i)) })
			b.StopTimer()
			tapes := tapesOf(b, 16*nodes, func(ctx context.Context, i int) error { return signIn(ctx, taped, user(i)) })
			tapedServer.Stop()
			var runs int64
			for _, n := range all {
				runs += n.runs.Load()
			}
			report(b, runs, 16*nodes, tapes, other)
		})
	}
}
