package nodes

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	random "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/pgtest"
)

// posts are nodes with an outbox, and the calls that the test has made.
type posts struct {
	*cluster
	journal *journal
	path    string
	gates   []sync.RWMutex // of the nodes, each held while its process is replaced
	run     int            // the last process
	leap    time.Duration  // how far the clock of a process is ahead of that of the one before it

	stop  atomic.Bool
	acks  chan struct{}
	rolls atomic.Int64 // calls that were rolled back

	mu    sync.Mutex
	calls []*deed // by number, from 1
}

// deed is a call.
type deed struct {
	number int
	op     string
	by     *member
	how    outcome
	email  string // to which it sends a message; "" for none
	own    bool   // the address is that of the caller, so that later calls may end the link
	token  string // that was made
	used   string // the token that it uses
	name   int
}

// member is a user whose calls come one after the other.
type member struct {
	aUser
	name   int // the last one that was asked for
	proven bool
	gone   bool // deleted
	team   string
	links  []string // tokens that sign in
	proofs []string // tokens that verify
}

// newPosts starts nodes with an outbox.
func newPosts(t *testing.T, s settings, aheads ...time.Duration) *posts {
	t.Helper()
	p := &posts{path: filepath.Join(t.TempDir(), "journal"), acks: make(chan struct{}, 1<<16), calls: []*deed{nil}}
	s.Outbox.Journal, s.Outbox.Base, s.Key = p.path, time.Now(), latchkey.GenerateKey().Reveal()
	var err error
	if p.journal, err = openJournal(s.Outbox); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.journal.Close() })
	p.cluster = emptyCluster(t, true)
	ctx, cancel := context.WithTimeout(p.ctx, time.Duration(rounds(2))*time.Minute) // an outbox that is never empty does not end by itself
	t.Cleanup(cancel)
	p.ctx = ctx
	p.gates = make([]sync.RWMutex, len(aheads))
	for i, ahead := range aheads {
		s.Ahead = ahead
		p.nodes = append(p.nodes, &node{cluster: p.cluster, settings: s})
		p.start(i)
	}
	return p
}

// start starts the process of a node.
func (p *posts) start(i int) {
	n := p.nodes[i]
	p.run++
	o := *n.settings.Outbox
	o.Run = p.run
	n.settings.Outbox = &o
	p.note(entry{What: begins, Run: p.run})
	if err := n.start(); err != nil {
		p.Fatal(err)
	}
}

func (p *posts) note(e entry) {
	if err := p.journal.add(e); err != nil {
		p.Error(err)
	}
}

// do makes a call on a node for a member.
func (p *posts) do(r *random.Rand, d *deed, in args) answer {
	p.mu.Lock()
	d.number = len(p.calls)
	d.how = unknown
	p.calls = append(p.calls, d)
	p.mu.Unlock()
	in["mark"] = mark(d.number)
	if r.IntN(8) == 0 {
		in["fail"] = strconv.Itoa(1 + r.IntN(2))
	}
	i := r.IntN(len(p.nodes))
	p.gates[i].RLock() // not while the process is replaced
	n := p.nodes[i]
	p.gates[i].RUnlock()
	a := n.try(d.op, in)
	p.mu.Lock()
	d.how = a.How
	if a.How == done {
		d.token = a.Out["token"]
	}
	p.mu.Unlock()
	switch {
	case a.How == done:
		p.note(entry{What: acknowledged, Number: d.number})
		p.acks <- struct{}{}
	case a.How == fault && strings.Contains(a.Text, errRolledBack.Error()):
		p.rolls.Add(1)
	case a.How == fault:
		p.Errorf("%s: %s", d.op, a.Text)
	}
	return a
}

// work makes calls at random until the test stops.
func (p *posts) work(r *random.Rand) {
	var members []*member
	for !p.stop.Load() && !p.Failed() {
		if len(members) < 4 {
			if m := p.join(r); m != nil {
				members = append(members, m)
			}
			continue
		}
		m := members[r.IntN(len(members))]
		switch how := p.act(r, m); {
		case how == unknown, m.gone:
			// The effects of a call without an answer may come after the next call.
			members = slices.DeleteFunc(members, func(other *member) bool { return other == m })
		case how == refused && m.session != "" && r.IntN(2) == 0:
			m.session = "" // it may have ended
		}
	}
}

// join makes a user.
func (p *posts) join(r *random.Rand) *member {
	m := &member{aUser: aUser{email: anEmail(), password: "correct horse " + rand.Text()}}
	a := p.do(r, &deed{op: "signUp", by: m}, args{"email": m.email, "password": m.password})
	if a.How != done {
		return nil
	}
	m.id = a.Out["user"]
	return m
}

// act makes one call of a member.
func (p *posts) act(r *random.Rand, m *member) outcome {
	d := &deed{by: m}
	in := args{"session": m.session, "email": m.email}
	if m.session == "" {
		return p.enter(r, d, in)
	}
	switch r.IntN(16) {
	case 0, 1, 2, 3, 4:
		m.name++
		d.op, d.name, in["name"] = "setName", m.name, strconv.Itoa(m.name)
	case 5:
		d.op, d.email = "askLink", anEmail() // nothing ends this link
		in["email"] = d.email
	case 6:
		d.op, d.email, d.own = "recover", m.email, true
	case 7:
		d.op, d.email, d.own = "verify", m.email, true
		if m.proven {
			d.op = "askCode"
		}
	case 8:
		d.op, in["password"], in["old"] = "newPassword", "correct horse "+rand.Text(), m.password
	case 9:
		d.op, in["email"], in["password"] = "moveTo", anEmail(), m.password
	case 10, 11:
		d.op = "team"
		if m.team != "" {
			d.op, d.email, in["team"], in["email"] = "invite", anEmail(), m.team, ""
			in["email"] = d.email
		}
	case 12:
		d.op, in["password"] = "signUp", m.password // the address is taken
	case 13:
		if r.IntN(4) == 0 && m.team == "" {
			d.op = "deleteSelf"
			break
		}
		return p.enter(r, d, in)
	default:
		return p.enter(r, d, in)
	}
	a := p.do(r, d, in)
	if a.How != done {
		return a.How
	}
	switch d.op {
	case "verify":
		m.proofs = append(m.proofs, a.Out["token"])
	case "askCode":
		m.links = append(m.links, a.Out["token"])
	case "newPassword":
		m.password = in["password"]
	case "moveTo":
		m.email, m.proven = in["email"], false
	case "team":
		m.team = a.Out["team"]
	case "deleteSelf":
		m.gone = true
	}
	return a.How
}

// enter signs a member in, by a password, or by a link or a code that has come. It asks for
// one otherwise.
func (p *posts) enter(r *random.Rand, d *deed, in args) outcome {
	m := d.by
	for _, tokens := range []*[]string{&m.proofs, &m.links} {
		for i, token := range *tokens {
			mail, has := p.mailed(token)
			if !has {
				continue
			}
			*tokens = slices.Delete(*tokens, i, i+1)
			in["user"], in["secret"], d.op, d.used = mail["user"], mail["secret"], "claim", token
			if tokens == &m.proofs {
				d.op = "prove"
			}
			a := p.do(r, d, in)
			switch {
			case a.How != done:
			case d.op == "prove":
				m.proven = true
			default:
				if !m.proven {
					m.password = "" // the link has removed it
				}
				m.session, m.proven = a.Out["session"], true
			}
			return a.How
		}
	}
	if m.password != "" && r.IntN(3) > 0 {
		d.op, in["password"] = "signIn", m.password
	} else {
		d.op, d.email, d.own = []string{"askLink", "askCode"}[r.IntN(2)], m.email, true
	}
	a := p.do(r, d, in)
	if a.How == done && d.own {
		m.links = append(m.links, a.Out["token"])
	} else if a.How == done {
		m.session = a.Out["session"]
	}
	return a.How
}

// mailed returns the message of a token, if it has come.
func (p *posts) mailed(token string) (args, bool) {
	select {
	case mail := <-p.box(token):
		return mail, true
	default:
		return nil, false
	}
}

// kills lets members make calls, and meanwhile kills nodes and starts them again. Each time some
// calls are acknowledged before, at most the given number.
func (p *posts) kills(kills, calls int) {
	seed := random.Uint64()
	p.Logf("seed %d", seed)
	var workers sync.WaitGroup
	for worker := range 4 {
		r := random.New(random.NewPCG(seed, uint64(worker)))
		workers.Go(func() { p.work(r) })
	}
	defer workers.Wait()
	defer p.stop.Store(true)
	r := random.New(random.NewPCG(seed, 99))
	for range kills {
		for range 1 + r.IntN(calls) {
			select {
			case <-p.acks:
			case <-p.ctx.Done():
				p.Fatal("no call is acknowledged")
			}
		}
		linger(1 << 12)
		p.replace(r.IntN(len(p.nodes)))
		for range len(p.acks) {
			<-p.acks
		}
	}
}

// replace kills the process of a node, and starts another one.
func (p *posts) replace(i int) {
	p.gates[i].Lock()
	defer p.gates[i].Unlock()
	n := p.nodes[i]
	p.note(entry{What: killed, Run: n.settings.Outbox.Run})
	n.kill()
	n.settings.Ahead += p.leap
	p.start(i)
}

// empty lets processes deliver the rows that are left, without failures. Each process has a clock that is
// further ahead, because deliveries that have failed wait for up to an hour.
func (p *posts) empty() {
	for _, n := range p.nodes {
		n.stop()
	}
	n := p.nodes[0]
	for _, other := range p.nodes {
		n.settings.Ahead = max(n.settings.Ahead, other.settings.Ahead)
	}
	n.settings.Outbox.Clean = true
	for range 8 {
		n.settings.Ahead += n.settings.Outbox.Step + time.Minute
		p.start(0)
		waits := ""
		for moves := ""; moves != "0"; {
			a := n.call("waiting", args{})
			if waits, moves = a.Out["waits"], a.Out["moves"]; a.How != done {
				p.Fatal("the outbox is not read: " + a.Text)
			}
			select {
			case <-p.ctx.Done():
				p.Fatal("the outbox does not move: " + waits + " wait")
			case <-time.After(10 * time.Millisecond):
			}
		}
		n.stop()
		if waits == "0" {
			return
		}
	}
	p.Fatal("the outbox is never empty")
}

// entries returns the journal.
func (p *posts) entries() (all []entry) {
	file, err := os.Open(p.path)
	if err != nil {
		p.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			p.Fatalf("line %q: %v", lines.Text(), err)
		}
		all = append(all, e)
	}
	return all
}

// A process is killed 50 times, and the next one delivers the rows that it has left.
func TestKillWhileDelivering(t *testing.T) {
	for _, backend := range []string{"bbolt", "sqlite", "postgres"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			s := settings{Backend: backend, Dir: t.TempDir(), Outbox: &outbox{Rate: 1, Step: time.Minute}}
			if backend == "postgres" {
				s.Backend, s.Address, s.Namespace = "", pgtest.Shared(t).Address(), pgtest.Namespace()
			}
			p := newPosts(t, s, 0)
			p.leap = s.Outbox.Step + 31*time.Second
			p.kills(rounds(50), 24)
			p.empty()
			p.check()
		})
	}
}

// Four nodes deliver at once, and one after the other is killed and started again. Their clocks run twenty
// times as fast, so that the living ones take the rows of the dead ones over within the test.
func TestFourNodesOfWhichSomeAreKilledDeliverAll(t *testing.T) {
	t.Parallel()
	s := settings{Address: pgtest.Shared(t).Address(), Namespace: pgtest.Namespace(), Outbox: &outbox{Rate: 20, Step: 3 * time.Minute}}
	p := newPosts(t, s, clocks...)
	p.kills(rounds(50), 40)
	p.empty()
	p.check()
}
