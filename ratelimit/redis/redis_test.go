package redis_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"example.com/latchkey/internal/redistest"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/ratelimit/ratelimittest"
	"example.com/latchkey/ratelimit/redis"
)

var (
	ctx  = context.Background()
	rule = ratelimit.Rule{Calls: 3, Window: time.Hour}
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open returns a limiter over a client, which is closed with the test. The limiter waits for a
// slow machine unless o has a timeout.
func open(t testing.TB, client goredis.UniversalClient, o redis.Options) *redis.Limiter {
	t.Helper()
	t.Cleanup(func() { _ = client.Close() })
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	l, err := redis.New(client, o)
	must(t, err)
	return l
}

func take(t testing.TB, l *redis.Limiter, n byte) ratelimit.Result {
	t.Helper()
	r, err := l.Take(ctx, ratelimit.Key{n}, rule, time.Now())
	must(t, err)
	return r
}

// contract runs the tests of the contract. Each limiter has a client of its own, as another
// process has. The tests set the time of the server forward for the scripts of all of them.
func contract(t *testing.T, client func() goredis.UniversalClient) {
	ratelimittest.Test(t, func(*testing.T) ratelimittest.Harness {
		var ahead time.Duration
		var all []*redis.Limiter
		return ratelimittest.Harness{
			OwnClock: true,
			Open: func(t *testing.T) ratelimit.Limiter {
				l := open(t, client(), redis.Options{})
				redis.Ahead(l, ahead)
				all = append(all, l)
				return l
			},
			Pass: func(_ *testing.T, d time.Duration) {
				ahead += d
				for _, l := range all {
					redis.Ahead(l, ahead)
				}
			},
		}
	})
}

func TestContract(t *testing.T) {
	server := redistest.ForTest(t)
	contract(t, func() goredis.UniversalClient { return server.Client() })
}

func TestContractOverACluster(t *testing.T) {
	var addresses []string
	for _, server := range redistest.StartCluster(t) {
		addresses = append(addresses, server.Address())
	}
	contract(t, func() goredis.UniversalClient {
		return goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addresses, ContextTimeoutEnabled: true})
	})
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addresses})
	defer client.Close()
	var servers atomic.Int64 // that have counted
	must(t, client.ForEachMaster(ctx, func(ctx context.Context, one *goredis.Client) error {
		keys, err := one.DBSize(ctx).Result()
		if keys > 0 {
			servers.Add(1)
		}
		return err
	}))
	if servers.Load() != 3 {
		t.Errorf("%d of 3 servers hold keys", servers.Load())
	}
}

// A Sentinel makes the replica the master. The limiter fails meanwhile, and then goes on
// with the counts of the replica.
func TestAFailoverBySentinel(t *testing.T) {
	group := redistest.StartSentinel(t)
	l := open(t, goredis.NewFailoverClient(&goredis.FailoverOptions{MasterName: redistest.MasterName, SentinelAddrs: []string{group.Sentinel.Address()}}), redis.Options{Timeout: time.Second})
	take(t, l, 1)
	take(t, l, 1)
	master := group.Master.Client()
	defer master.Close()
	must(t, master.Wait(ctx, 1, time.Minute).Err()) // until the replica has them
	group.Master.Kill()
	failed := 0
	deadline := time.Now().Add(time.Minute)
	for {
		r, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
		if err == nil {
			if r.Remaining != 0 {
				t.Errorf("after %d failures: %+v", failed, r)
			}
			break
		}
		if failed++; time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if failed == 0 {
		t.Error("the master was not away")
	}
}

func TestTheScriptsPartANumberAsTheirCallerDoes(t *testing.T) {
	if redis.CallsOf != 2097152 {
		t.Errorf("callsOf is %d", redis.CallsOf)
	}
}

func TestKeysExpireWithTheirWindow(t *testing.T) {
	server := redistest.ForTest(t)
	client := server.Client()
	l := open(t, client, redis.Options{Prefix: "mine:"})
	for range 5 {
		take(t, l, 0xab)
	}
	keys, err := client.Keys(ctx, "*").Result()
	must(t, err)
	if len(keys) != 1 || keys[0] != "mine:ab000000000000000000000000000000" {
		t.Fatalf("keys: %v", keys)
	}
	left, err := client.PTTL(ctx, keys[0]).Result()
	must(t, err)
	if left > time.Hour || left < time.Hour-time.Minute {
		t.Errorf("it expires in %v", left)
	}
	must(t, client.PExpire(ctx, keys[0], -time.Second).Err()) // its window is over
	if r := take(t, l, 0xab); !r.Allowed || r.Remaining != 2 {
		t.Errorf("after that: %+v", r)
	}
}

func TestLimitersOfTwoPrefixesCountApart(t *testing.T) {
	server := redistest.ForTest(t)
	one, two := open(t, server.Client(), redis.Options{}), open(t, server.Client(), redis.Options{Prefix: "two:"})
	take(t, one, 1)
	if r := take(t, two, 1); r.Remaining != 2 {
		t.Errorf("%+v", r)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := redis.New(nil, redis.Options{}); err == nil {
		t.Error("no client is taken")
	}
	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	if _, err := redis.New(client, redis.Options{Timeout: -1}); err == nil {
		t.Error("a negative timeout is taken")
	}
}

// cut is a way to a server that loses answers.
type cut struct {
	net.Listener
	to    string
	loses atomic.Bool // the next answer
}

func newCut(t testing.TB, to string) *cut {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := &cut{Listener: l, to: to}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.serve(conn)
		}
	}()
	return c
}

func (c *cut) serve(conn net.Conn) {
	defer conn.Close()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, conn) }()
	answer := make([]byte, 1<<16)
	for {
		n, err := server.Read(answer)
		if err != nil {
			return
		}
		if c.loses.CompareAndSwap(true, false) {
			return
		}
		if _, err := conn.Write(answer[:n]); err != nil {
			return
		}
	}
}

// The client would send a command three times more. A call is counted once, and a call
// that was given back is given back once.
func TestACallWhoseAnswerIsLostIsNotCountedTwice(t *testing.T) {
	server := redistest.ForTest(t)
	way := newCut(t, server.Address())
	l := open(t, goredis.NewClient(&goredis.Options{Addr: way.Addr().String(), MaxRetries: 3}), redis.Options{})
	sure := open(t, server.Client(), redis.Options{})
	ten := ratelimit.Rule{Calls: 10, Window: time.Hour}
	for range 5 {
		if _, err := l.Take(ctx, ratelimit.Key{1}, ten, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := l.Take(ctx, ratelimit.Key{1}, ten, time.Now())
	must(t, err)
	left := func() int {
		r, err := sure.Peek(ctx, ratelimit.Key{1}, ten, time.Now())
		must(t, err)
		return r.Remaining
	}
	way.loses.Store(true)
	if _, err := l.Take(ctx, ratelimit.Key{1}, ten, time.Now()); err == nil || left() != 2 {
		t.Errorf("a call whose answer was lost: %v, %d left", err, left())
	}
	if err := l.Return(ctx, ratelimit.Key{1}, taken); err != nil { // on a new connection
		t.Fatal(err)
	}
	way.loses.Store(true)
	if err := l.Return(ctx, ratelimit.Key{1}, taken); err == nil || left() != 4 {
		t.Errorf("a call given back, whose answer was lost: %v, %d left", err, left())
	}
}

// Servers that do not answer are an error in time, and the limiter works again when they do.
func TestACallEndsInTime(t *testing.T) {
	one, three := redistest.ForTest(t), redistest.StartCluster(t)
	addresses := []string{three[0].Address(), three[1].Address(), three[2].Address()}
	for what, at := range map[string]struct {
		client  goredis.UniversalClient
		servers []*redistest.Server
	}{
		"a client without timeouts":          {goredis.NewClient(&goredis.Options{Addr: one.Address(), ReadTimeout: -1, WriteTimeout: -1}), []*redistest.Server{one}},
		"a client that minds deadlines":      {goredis.NewClient(&goredis.Options{Addr: one.Address(), ContextTimeoutEnabled: true}), []*redistest.Server{one}},
		"a Cluster without timeouts":         {goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addresses, ReadTimeout: -1, WriteTimeout: -1}), three},
		"a Cluster's client that minds them": {goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addresses, ContextTimeoutEnabled: true}), three},
	} {
		t.Run(what, func(t *testing.T) { endsInTime(t, at.client, at.servers) })
	}
}

func endsInTime(t *testing.T, client goredis.UniversalClient, servers []*redistest.Server) {
	l := open(t, client, redis.Options{Prefix: t.Name(), Timeout: 100 * time.Millisecond})
	var taken ratelimit.Result
	within(t, func() (err error) {
		taken, err = l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
		return err
	})
	for _, s := range servers {
		must(t, s.Pause())
	}
	began := time.Now()
	for range 3 { // on new connections too
		_, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
		_, looked := l.Peek(ctx, ratelimit.Key{1}, rule, time.Now())
		for what, err := range map[string]error{
			"Take": err, "Peek": looked, "Return": l.Return(ctx, ratelimit.Key{1}, taken), "Forget": l.Forget(ctx, ratelimit.Key{1}),
		} {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("12 calls took %v", took)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.Take(gone, ratelimit.Key{1}, rule, time.Now()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, s := range servers {
		must(t, s.Resume())
	}
	within(t, func() error {
		_, err := l.Take(ctx, ratelimit.Key{2}, rule, time.Now())
		return err
	})
}

// within calls try until it succeeds, for a minute.
func within(t testing.TB, try func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestAServerThatIsAwayAndComesBack(t *testing.T) {
	server := redistest.ForTest(t)
	l := open(t, goredis.NewClient(&goredis.Options{Addr: server.Address()}), redis.Options{Timeout: time.Second})
	for range 3 {
		take(t, l, 1)
	}
	server.Kill()
	for range 5 {
		began := time.Now()
		_, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
		if err == nil || time.Since(began) > 10*time.Second {
			t.Fatalf("while the server is away: %v, after %v", err, time.Since(began))
		}
	}
	must(t, server.Run())
	for tries := 0; ; tries++ { // each connection of before may fail once
		r, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now())
		if err == nil {
			if r.Remaining != 2 {
				t.Errorf("after a restart without persistence the counts begin anew: %+v", r)
			}
			return
		}
		if tries > 20 {
			t.Fatal(err)
		}
	}
}

// A password of the client is in no error.
func TestErrorsTellNoPassword(t *testing.T) {
	server := redistest.ForTest(t)
	admin := server.Client()
	must(t, admin.ConfigSet(ctx, "requirepass", "hunter2").Err())
	must(t, admin.Close())
	l := open(t, goredis.NewClient(&goredis.Options{Addr: server.Address(), Password: "hunter3"}), redis.Options{})
	if _, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now()); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("%v", err)
	}
}

// panicking is a hook of a client that panics.
type panicking struct{}

func (panicking) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (panicking) ProcessHook(goredis.ProcessHook) goredis.ProcessHook {
	return func(context.Context, goredis.Cmder) error { panic("no count") }
}

func (panicking) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func TestAHookThatPanicsIsAnError(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	client.AddHook(panicking{})
	l := open(t, client, redis.Options{})
	if _, err := l.Take(ctx, ratelimit.Key{1}, rule, time.Now()); err == nil {
		t.Error("no error")
	}
}
