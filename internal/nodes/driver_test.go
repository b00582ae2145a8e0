// Package nodes tests the engine on several machines. The tests start four processes
// with an engine each, over one PostgreSQL, with clocks that differ by up to a minute and a
// half. They call the engines at random and at once, break a part of it meanwhile, and
// check that every caller was told the truth:
//
//   - A single-use thing has one effect, on however many nodes it is claimed.
//   - The counts of wrong answers hold over all nodes together.
//   - A revocation that a node has acknowledged holds on every other node at once.
//   - No address has two users, and no team has lost its owners.
//   - No acknowledged write is missing at the end. A call that ended in a fault has done
//     nothing. Only one with an unknown outcome may have happened or not.
//
// With an outbox they also kill processes over each store that outlives its process, one at a time or of four nodes, and check
// the deliveries:
//
//   - The messages and events of an acknowledged call are delivered or given up, unless their code has ended.
//   - A call that has failed, or that is not in the store, causes no delivery.
//   - A delivery comes again only if it has failed or its process was killed. The numbers of the
//     deliveries of a message rise.
//   - The events of a user come in the order of their calls, and so do the messages to an address.
//   - No code is sent after it has run out, or by a process that was started after the code was used or replaced.
//
// LATCHKEY_NODES multiplies the number of operations, for long runs.
package nodes

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
)

// The clocks of the nodes are ahead of the real time by these.
var clocks = []time.Duration{-45 * time.Second, -15 * time.Second, 15 * time.Second, 45 * time.Second}

// node is a place for a process, which may be killed and started again.
type node struct {
	*cluster
	settings settings

	mu  sync.Mutex
	now *running
}

// running is a process of a node.
type running struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	gone chan struct{} // closed when the process has ended and everything that it has said was read

	mu      sync.Mutex
	json    *json.Encoder
	last    int
	waiting map[int]chan answer
}

// cluster is the four nodes and what the test knows of them.
type cluster struct {
	*testing.T
	ctx      context.Context
	nodes    []*node
	faults   bool         // a call may fail
	troubled atomic.Int64 // calls that did
	calls    atomic.Int64
	total    int // stories

	mu    sync.Mutex
	mail  map[string]chan args
	facts []fact
}

// fact is something that must be so at the end, since a call has acknowledged it.
type fact struct {
	about string
	holds func(*latchkey.Engine) error
}

func (c *cluster) know(about string, holds func(*latchkey.Engine) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.facts = append(c.facts, fact{about, holds})
}

// newCluster starts the nodes.
func newCluster(t *testing.T, s settings, faults bool) *cluster {
	t.Helper()
	c := emptyCluster(t, faults)
	for _, ahead := range clocks {
		s.Ahead = ahead
		n := &node{cluster: c, settings: s}
		c.nodes = append(c.nodes, n)
	}
	var group sync.WaitGroup
	for _, n := range c.nodes {
		group.Go(func() {
			if err := n.start(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return c
}

// emptyCluster makes a cluster without nodes. It stops those that it gets.
func emptyCluster(t *testing.T, faults bool) *cluster {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	c := &cluster{T: t, ctx: ctx, faults: faults, mail: make(map[string]chan args)}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
	})
	return c
}

// start starts the process of a node, and waits until it serves.
func (n *node) start() error {
	text, err := json.Marshal(n.settings)
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), settingsEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // the process ends with its standard input, so it does not outlive this one
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := &running{cmd: cmd, in: in, gone: make(chan struct{}), json: json.NewEncoder(in), waiting: make(map[int]chan answer)}
	lines := json.NewDecoder(bufio.NewReader(out))
	var first answer
	if err := lines.Decode(&first); err != nil {
		_ = cmd.Wait()
		return fmt.Errorf("a node does not start: %w", err)
	}
	go func() {
		defer close(r.gone)
		for {
			var a answer
			if err := lines.Decode(&a); err != nil {
				_ = cmd.Wait()
				return
			}
			if a.ID == 0 {
				n.box(a.Out["id"]) <- a.Out
				continue
			}
			r.mu.Lock()
			waiting := r.waiting[a.ID]
			delete(r.waiting, a.ID)
			r.mu.Unlock()
			waiting <- a
		}
	}()
	n.mu.Lock()
	n.now = r
	n.mu.Unlock()
	return nil
}

// kill ends the process of a node with SIGKILL.
func (n *node) kill() {
	r := n.process()
	_ = r.cmd.Process.Kill()
	<-r.gone
}

// stop ends the process of a node as its host would.
func (n *node) stop() {
	r := n.process()
	if r == nil {
		return
	}
	_ = r.in.Close()
	select {
	case <-r.gone:
	case <-n.ctx.Done():
		n.kill()
	}
}

func (n *node) process() *running {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

// try makes a call on a node. If the process ends before it answers, the outcome is unknown.
func (n *node) try(op string, in args) answer {
	n.calls.Add(1)
	r := n.process()
	reply := make(chan answer, 1)
	r.mu.Lock()
	r.last++
	id := r.last
	r.waiting[id] = reply
	_ = r.json.Encode(request{id, op, in}) // a process that cannot be written to has ended
	r.mu.Unlock()
	select {
	case a := <-reply:
		return a
	case <-r.gone:
		select {
		case a := <-reply:
			return a
		default:
			return answer{How: unknown, Text: "the node was killed"}
		}
	case <-n.ctx.Done():
		n.Errorf("%s: no answer", op)
		return answer{How: unknown, Text: "no answer"}
	}
}

// call is try, and reports an outcome that may not be. Types are the refusals that the rules allow.
func (n *node) call(op string, in args, types ...string) answer {
	a := n.try(op, in)
	switch {
	case a.How == done:
	case a.How == refused && slices.Contains(types, a.Type):
	case a.How == refused:
		n.Errorf("%s is refused: %s %s, want %v", op, a.Type, a.Text, types)
	case n.faults:
		n.troubled.Add(1)
	default:
		n.Errorf("%s: %s: %s", op, a.How, a.Text)
	}
	return a
}

// box returns the mailbox of the message of a token or an invitation.
func (c *cluster) box(id string) chan args {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mail[id] == nil {
		c.mail[id] = make(chan args, 8)
	}
	return c.mail[id]
}

// message waits for a message of a node. A node that was killed has lost it.
func (n *node) message(id string, from *running) (args, bool) {
	select {
	case m := <-n.box(id):
		return m, true
	case <-from.gone:
	case <-n.ctx.Done():
		n.Error("a message does not come")
	}
	return nil, false
}

// atOnce makes calls at once, and returns their answers in order.
func atOnce(calls ...func() answer) []answer {
	answers := make([]answer, len(calls))
	var group, ready sync.WaitGroup
	ready.Add(len(calls))
	for i, call := range calls {
		group.Go(func() {
			ready.Done()
			ready.Wait()
			answers[i] = call()
		})
	}
	group.Wait()
	return answers
}

// once checks the answers of calls of which one may succeed. It returns the winner, nil without one.
func (c *cluster) once(what string, answers []answer) *answer {
	n := make(map[outcome]int)
	var won *answer
	for i, a := range answers {
		n[a.How]++
		if a.How == done {
			won = &answers[i]
		}
	}
	switch {
	case n[done] > 1:
		c.Errorf("%s has succeeded %d times: %v", what, n[done], answers)
	case n[done] == 0 && n[unknown] == 0 && n[refused] > 0: // a fault has done nothing, so the others had the right of it
		c.Errorf("%s is refused to all: %v", what, answers)
	}
	return won
}

// everywhere makes a call on every node at once.
func (c *cluster) everywhere(op string, in args, types ...string) []answer {
	var calls []func() answer
	for _, n := range c.nodes {
		calls = append(calls, func() answer { return n.call(op, in, types...) })
	}
	return atOnce(calls...)
}

// any returns a node.
func (c *cluster) any(r *rand.Rand) *node { return c.nodes[r.IntN(len(c.nodes))] }

// others returns the nodes without one.
func (c *cluster) others(one *node) []*node {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *node) bool { return n == one })
}

// settle waits until every node serves again by itself.
func (c *cluster) settle() {
	for _, n := range c.nodes {
		for {
			a := n.try("ping", nil)
			if a.How == done {
				break
			}
			select {
			case <-c.ctx.Done():
				c.Errorf("a node does not go on: %s", a.Text)
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// rounds returns n times the number in LATCHKEY_NODES.
func rounds(n int) int {
	if many, err := strconv.Atoi(os.Getenv("LATCHKEY_NODES")); err == nil {
		return n * many
	}
	return n
}

// drive runs stories at random, eight at once. It calls breaks the given number of times, evenly between the stories,
// while the stories go on.
func (c *cluster) drive(count, breakings int, breaks func(r *rand.Rand)) {
	seed := rand.Uint64()
	c.Logf("seed %d", seed)
	names := slices.Sorted(maps.Keys(stories))
	c.total = count
	var next atomic.Int64
	begun := make(chan struct{}, count)
	var workers, breaker sync.WaitGroup
	for worker := range 8 {
		r := rand.New(rand.NewPCG(seed, uint64(worker)))
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= count || c.Failed() {
					return
				}
				begun <- struct{}{}
				name := names[(i+r.IntN(2))%len(names)]
				before := c.troubled.Load()
				stories[name](c, r)
				if c.troubled.Load() != before {
					c.settle()
				}
			}
		})
	}
	if breakings > 0 {
		r := rand.New(rand.NewPCG(seed, 99))
		breaker.Go(func() {
			for range breakings {
				for range count / (breakings + 1) {
					if _, more := <-begun; !more {
						return
					}
				}
				breaks(r)
			}
		})
	}
	workers.Wait()
	close(begun)
	breaker.Wait()
	c.settle()
}
