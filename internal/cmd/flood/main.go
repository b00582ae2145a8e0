// Flood prints what strangers who call without a pause leave in a store, and what they cost
// the others.
//
//	go run ./internal/cmd/flood [-time 60s] [-store bbolt|sqlite]
//
// It floods an engine with the default policy, in this process, for the given time: one
// client without a pause but the round trip after a refusal, the networks of one site, and as many others as it can, each with a
// network of its own. Half of them ask for nothing that waits for a hash. They sign in, redeem and confirm what does not exist, guess at one user's password, and ask for
// links. Beside them that user signs in by password once a second from their own network,
// and a session is checked 200 times a second. The same is measured before, without the
// flood.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
	"example.com/latchkey/store/bbolt"
	"example.com/latchkey/store/sqlite"
)

const (
	email    = "ada@example.org"
	password = "correct horse"
	crowd    = 32 // clients that flood at once, besides the one

	// roundTrip is how long a client that was refused takes to call again: over the
	// loopback of a network it would be as much.
	roundTrip = 2 * time.Millisecond
)

func main() {
	length := flag.Duration("time", time.Minute, "length of the flood")
	only := flag.String("store", "", "bbolt or sqlite; both without it")
	flag.Parse()
	for _, name := range []string{"bbolt", "sqlite"} {
		if *only != "" && *only != name {
			continue
		}
		if err := run(name, *length); err != nil {
			log.Fatal(err)
		}
	}
}

// discard takes every message.
type discard struct{}

func (discard) Notify(context.Context, notify.Message) error { return nil }

// target is an engine over a file.
type target struct {
	*latchkey.Engine
	store store.Store
	path  string
}

func open(name, dir string) (*target, error) {
	t := &target{path: filepath.Join(dir, name+".db")}
	var err error
	if name == "bbolt" {
		t.store, err = bbolt.Open(t.path)
	} else {
		t.store, err = sqlite.Open(t.path)
	}
	if err != nil {
		return nil, err
	}
	t.Engine, err = latchkey.New(t.store, latchkey.Config{
		Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Notifier: discard{}, SMS: discard{}, Logger: slog.New(slog.DiscardHandler),
	})
	return t, err
}

func (t *target) close() error { return errors.Join(t.Close(), t.store.Close()) }

// size returns the bytes of the store's files.
func (t *target) size() (n int64) {
	paths, _ := filepath.Glob(t.path + "*")
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			n += info.Size()
		}
	}
	return n
}

// rows counts the rows of each table.
func (t *target) rows(ctx context.Context) (map[string]int, error) {
	counts := make(map[string]int)
	for _, table := range latchkey.Schema().Tables() {
		n, err := t.store.Count(ctx, store.Query{Index: table.Primary()})
		if err != nil {
			return nil, err
		}
		counts[table.Name()] = n
	}
	return counts, nil
}

func run(name string, length time.Duration) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "flood")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t, err := open(name, dir)
	if err != nil {
		return err
	}
	defer t.close()
	home := t.Guest(latchkey.Client{IP: netip.MustParseAddr("192.0.2.1")})
	if _, err := home.CreateAccount(ctx, latchkey.NewAccount{Email: email, Password: password}); err != nil {
		return err
	}
	user, err := t.Users().Create(ctx, latchkey.NewUser{})
	if err != nil {
		return err
	}
	session, err := t.Users().CreateSession(ctx, user.ID) // sign-ins do not end it
	if err != nil {
		return err
	}
	quiet := t.honest(ctx, home, session.Secret.Reveal(), length/6)
	before, err := t.rows(ctx)
	if err != nil {
		return err
	}
	bytes := t.size()
	flooding, stop := context.WithCancel(ctx)
	calls := t.flood(flooding)
	beside := t.honest(ctx, home, session.Secret.Reveal(), length)
	stop()
	tried, taken := calls()
	after, err := t.rows(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d calls of strangers in %v, of which %d were not refused\n", name, tried, length, taken)
	fmt.Printf("  bytes: %d, %.0f for a call\n", t.size()-bytes, float64(t.size()-bytes)/float64(max(tried, 1)))
	for _, table := range latchkey.Schema().Tables() {
		if more := after[table.Name()] - before[table.Name()]; more != 0 {
			fmt.Printf("  rows of %s: %d\n", table.Name(), more)
		}
	}
	fmt.Printf("  honest sign-in: before %v; beside the flood %v\n", &quiet.signIns, &beside.signIns)
	fmt.Printf("  session check: before %v; beside the flood %v\n", &quiet.checks, &beside.checks)
	return nil
}

// times are the times that calls took.
type times struct {
	waits   []time.Duration
	refused int
}

func (t *times) add(began time.Time, err error) {
	if err != nil {
		t.refused++
		return
	}
	t.waits = append(t.waits, time.Since(began))
}

func (t *times) String() string {
	if len(t.waits) == 0 {
		return fmt.Sprintf("none of %d", t.refused)
	}
	slices.Sort(t.waits)
	at := func(share int) time.Duration { return t.waits[(len(t.waits)-1)*share/100].Round(10 * time.Microsecond) }
	return fmt.Sprintf("median %v, 99 %% within %v, slowest %v, %d of %d refused", at(50), at(99), at(100), t.refused, t.refused+len(t.waits))
}

// measured is what an honest user sees.
type measured struct{ signIns, checks times }

// honest signs in once a second and checks a session 200 times a second.
func (t *target) honest(ctx context.Context, home *latchkey.Guest, secret string, length time.Duration) *measured {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	m := new(measured)
	// each measures from the planned time, so that a slow call does not hide those after it.
	each := func(pause time.Duration, call func(ctx context.Context) error, into *times) {
		for planned := time.Now(); ctx.Err() == nil; planned = planned.Add(pause) {
			select {
			case <-time.After(time.Until(planned)):
			case <-ctx.Done():
				return
			}
			into.add(planned, call(context.WithoutCancel(ctx)))
		}
	}
	var both sync.WaitGroup
	both.Go(func() {
		each(time.Second, func(ctx context.Context) error {
			_, err := home.CreateEmailPasswordSession(ctx, email, password)
			return err
		}, &m.signIns)
	})
	both.Go(func() {
		each(5*time.Millisecond, func(ctx context.Context) error {
			_, err := home.Authenticate(ctx, secret)
			return err
		}, &m.checks)
	})
	both.Wait()
	return m
}

func network(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// flood calls without a pause until the context ends. The function that it returns waits for
// the end and returns the numbers of calls, and of those that were not refused by a limit.
func (t *target) flood(ctx context.Context) func() (tried, taken int64) {
	var n, taken atomic.Int64
	var all sync.WaitGroup
	for i := range crowd + 1 {
		all.Go(func() {
			for ctx.Err() == nil {
				call := n.Add(1)
				ip := network(0xcb007101) // the one
				switch {
				case i > crowd/2:
					ip = network(0x64400000 | uint32(call)&0x3fffff)
				case i > 0: // the networks of one site
					ip = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 7, byte(call >> 8), byte(call)})
				}
				kind := call % 7
				if i%2 == 0 {
					kind = 2 + call%5 // nothing that waits for a hash
				}
				err := t.call(ctx, t.Guest(latchkey.Client{IP: ip}), kind, call)
				if errors.Is(err, latchkey.ErrRateLimitExceeded) || errors.Is(err, latchkey.ErrBusy) {
					time.Sleep(roundTrip)
				} else {
					taken.Add(1)
				}
			}
		})
	}
	return func() (int64, int64) {
		all.Wait()
		return n.Load(), taken.Load()
	}
}

// call is one call of a stranger.
func (t *target) call(ctx context.Context, g *latchkey.Guest, kind, n int64) (err error) {
	id := fmt.Sprintf("nobody%d", n)
	link := strings.Repeat(fmt.Sprintf("%016x", n), 4)
	switch kind {
	case 0:
		_, err = g.CreateEmailPasswordSession(ctx, id+"@example.org", "wrong horse")
	case 1:
		_, err = g.CreateEmailPasswordSession(ctx, email, "wrong horse")
	case 2:
		_, err = g.CreateSession(ctx, id, "000000")
	case 3:
		_, err = g.ConfirmRecovery(ctx, id, link, "another horse")
	case 4:
		_, err = g.ConfirmEmailVerification(ctx, id, link)
	case 5:
		_, err = g.CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{Email: id + "@example.org"})
	case 6:
		_, err = g.Authenticate(ctx, link)
	}
	return err
}
