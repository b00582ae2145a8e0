// Package redis counts calls in Redis, for a host on several machines. All limiters
// over one server with one prefix share their counts. The client is
// github.com/redis/go-redis/v9.
//
// A decision is one round trip: a script, which the server runs by itself. Each call
// names one key, so the limiter works over a single server, over Sentinel
// (redis.NewFailoverClient), and over a Cluster, whose servers each count a part of the
// keys. It asks masters alone.
//
// # Time
//
// Windows begin and end by the clock of the server: a window is over when its key has
// expired. The now of a call counts for nothing but Result.Reset, which is now and the time
// that is left (PTTL). So the callers' clocks may differ.
//
// # The keys
//
// A key holds a number, and expires with its window. Set no
// maxmemory-policy that evicts such keys (an allkeys or a volatile one): an attacker who
// fills the memory with keys would free those that are refused. With noeviction a full
// server refuses calls, which is a failure of the limiter.
//
// The server needs no persistence. After a restart without it, every count begins anew.
// Replication does not wait: after a failover, the calls of the last moments are
// forgotten.
//
// # Failures
//
// Each method fails after Options.Timeout at the latest, which is a second by default. Set
// ContextTimeoutEnabled in the options of the client: then the client ends a command in
// time itself. Without it, each command takes a goroutine of its own, which makes a
// decision slower, and which goes on behind a call that has failed until the timeouts of
// the client end it.
//
// A call whose answer is lost may be counted or not. It is not tried again, because it
// would count twice: MaxRetries of the client does not hold for the limiter's commands. The
// client follows MOVED and ASK of a Cluster, because a server that answers so has counted
// nothing.
//
// # Tested versions
//
// The tests pass on Redis 7.0: on a single server, over Sentinel with a failover, and
// over a Cluster of three masters.
package redis

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/latchkey/ratelimit"
)

// Options of [New].
type Options struct {
	// Prefix comes before the keys; "" means "latchkey:calls:". Limiters with different
	// prefixes count apart. A part of it in braces is a hash tag: in a Cluster, one
	// server would count all keys.
	Prefix string
	// Timeout is the longest time of a call; 0 means a second. The context of the caller
	// may end a call earlier.
	Timeout time.Duration
}

// The defaults of [Options].
const (
	defaultPrefix  = "latchkey:calls:"
	defaultTimeout = time.Second
)

// Limiter is a [ratelimit.Limiter] over Redis.
type Limiter struct {
	client               redis.UniversalClient
	prefix               string
	timeout              time.Duration
	minds                bool // the client minds the deadline of a context
	take, peek, giveBack script
}

// New returns a limiter over a client. It asks the server nothing. The host closes the
// client itself, after the engine. New fails without a client, and with a negative
// timeout.
func New(client redis.UniversalClient, o Options) (*Limiter, error) {
	if client == nil {
		return nil, errors.New("redis: no client")
	}
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Timeout < 0 {
		return nil, errors.New("redis: the timeout is negative")
	}
	return &Limiter{
		client: client, prefix: o.Prefix, timeout: o.Timeout, minds: mindsDeadlines(client),
		take: scriptOf(takeText), peek: scriptOf(peekText), giveBack: scriptOf(giveBackText),
	}, nil
}

// mindsDeadlines reports whether a client ends a command with its context. A client of
// another type may not.
func mindsDeadlines(client redis.UniversalClient) bool {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return c.Options().ContextTimeoutEnabled
	}
	return false
}

// script is a script and the name by which a server knows it.
type script struct{ text, hash string }

func scriptOf(text string) script { return script{text, redis.NewScript(text).Hash()} }

// The number of a key is the name of the window, drawn at random, times callsOf, and the
// calls. So INCR counts a call, and the name stays.
const callsOf = ratelimit.MaxCalls + 2

// takeText counts a call, and takes it back if it does not fit. Its arguments are the
// window in milliseconds, the calls that fit in it, and the name of a window that begins.
// A window is over when its key has expired. If it ends much later than one that begins
// now, it is of another rule, or the clock of the server was set back.
const takeText = `local v = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left <= 0 or left > ARGV[1] + 60000 then
	v, left = ARGV[3] * 2097152 + 1, tonumber(ARGV[1])
	redis.call('SET', KEYS[1], v, 'PX', ARGV[1])
elseif v % 2097152 > tonumber(ARGV[2]) then
	redis.call('DECR', KEYS[1])
	return {v, left, 1}
end
return {v, left, 0}`

// peekText looks at a window of so many milliseconds.
const peekText = `local v = redis.call('GET', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left <= 0 or left > ARGV[1] + 60000 then return {0, tonumber(ARGV[1]), 0} end
return {tonumber(v), left, 0}`

// giveBackText takes a call out of the window with a name. A window without a call is
// forgotten.
const giveBackText = `local v = tonumber(redis.call('GET', KEYS[1]) or 0)
if math.floor(v / 2097152) ~= tonumber(ARGV[1]) then return {} end
if v % 2097152 > 1 then redis.call('DECR', KEYS[1]) else redis.call('DEL', KEYS[1]) end
return {}`

// normal returns a rule within the bounds of ratelimit.
func normal(rule ratelimit.Rule) (calls int, window time.Duration) {
	window = min(max(rule.Window, time.Millisecond), ratelimit.MaxWindow).Truncate(time.Millisecond)
	return min(max(rule.Calls, 0), ratelimit.MaxCalls), window
}

// Take implements [ratelimit.Limiter].
func (l *Limiter) Take(ctx context.Context, key ratelimit.Key, rule ratelimit.Rule, now time.Time) (ratelimit.Result, error) {
	calls, window := normal(rule)
	if calls < 1 {
		return ratelimit.Result{Reset: now.Add(window)}, nil
	}
	n, err := l.run(ctx, "take", l.take, key, window.Milliseconds(), calls, 1+rand.Int32N(1<<31-1))
	if err != nil {
		return ratelimit.Result{}, err
	}
	result := n.result(calls, now)
	if result.Allowed = !n.refused; result.Allowed {
		result.Remaining = calls - n.calls
	}
	return result, nil
}

// Peek implements [ratelimit.Limiter].
func (l *Limiter) Peek(ctx context.Context, key ratelimit.Key, rule ratelimit.Rule, now time.Time) (ratelimit.Result, error) {
	calls, window := normal(rule)
	n, err := l.run(ctx, "peek", l.peek, key, window.Milliseconds())
	if err != nil {
		return ratelimit.Result{}, err
	}
	result := n.result(calls, now)
	if result.Allowed = n.calls < calls; result.Allowed {
		result.Remaining = calls - n.calls - 1
	}
	result.Window = 0 // nothing was taken
	return result, nil
}

// counted is the answer of a script.
type counted struct {
	window  int64 // its name
	calls   int
	left    time.Duration
	refused bool
}

func (c counted) result(calls int, now time.Time) ratelimit.Result {
	return ratelimit.Result{Limit: calls, Reset: now.Add(c.left), Window: c.window}
}

// Return implements [ratelimit.Limiter].
func (l *Limiter) Return(ctx context.Context, key ratelimit.Key, taken ratelimit.Result) error {
	if taken.Window == 0 {
		return nil // nothing was taken
	}
	_, err := l.run(ctx, "return", l.giveBack, key, taken.Window)
	return err
}

// Forget implements [ratelimit.Limiter].
func (l *Limiter) Forget(ctx context.Context, key ratelimit.Key) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	_, err := l.bounded(ctx, "forget", once{redis.NewCmd(ctx, "del", l.key(key))})
	return err
}

func (l *Limiter) key(key ratelimit.Key) string { return l.prefix + hex.EncodeToString(key[:]) }

// run runs a script. A server that does not know it yet gets its text.
func (l *Limiter) run(ctx context.Context, what string, s script, key ratelimit.Key, args ...any) (counted, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	words := append(append(make([]any, 0, 8), "evalsha", s.hash, 1, l.key(key)), args...)
	cmd, err := l.bounded(ctx, what, once{redis.NewCmd(ctx, words...)})
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		words[0], words[1] = "eval", s.text
		cmd, err = l.bounded(ctx, what, once{redis.NewCmd(ctx, words...)})
	}
	if err != nil {
		return counted{}, err
	}
	n, err := cmd.Int64Slice()
	if err != nil || len(n) != 0 && len(n) != 3 {
		return counted{}, fmt.Errorf("redis: %s: the script has answered with something else", what)
	}
	if len(n) == 0 {
		return counted{}, nil
	}
	return counted{n[0] / callsOf, int(n[0] % callsOf), time.Duration(n[1]) * time.Millisecond, n[2] == 1}, nil
}

// errPanicked is the error of a call in which a hook of the client has panicked.
var errPanicked = errors.New("a hook of the client has panicked")

// bounded runs a command until the context ends.
func (l *Limiter) bounded(ctx context.Context, what string, cmd once) (*redis.Cmd, error) {
	var err error
	if l.minds {
		err = l.client.Process(ctx, cmd)
	} else {
		err = l.aside(ctx, cmd)
	}
	var network net.Error
	switch {
	case err == nil:
		return cmd.Cmd, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("redis: %s: no answer in time: %w", what, ctx.Err())
	case errors.As(err, &network) && network.Timeout(): // a moment before the context ends
		return nil, fmt.Errorf("redis: %s: no answer in time: %w", what, context.DeadlineExceeded)
	}
	return nil, fmt.Errorf("redis: %s: %w", what, err)
}

// aside runs a command on a goroutine of its own, and leaves it behind if the context
// ends.
func (l *Limiter) aside(ctx context.Context, cmd once) error {
	done := make(chan error, 1)
	go func() {
		err := errPanicked
		defer func() {
			if recover() != nil {
				err = errPanicked
			}
			done <- err
		}()
		err = l.client.Process(ctx, cmd)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once is a command that the client does not send again after its answer is lost.
type once struct{ *redis.Cmd }

// NoRetry implements redis.Cmder.
func (once) NoRetry() bool { return true }
