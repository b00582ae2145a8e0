package nodes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/postgres"
	"example.com/latchkey/store/storetest"
)

// place is where the nodes find their database.
type place struct {
	address   string // of the nodes
	pooler    bool
	direct    func() string // the address of the server that has the database at the end
	breakings int           // how often breaks is called
	many      bool          // in a long run, more often
	breaks    func(c *cluster, r *rand.Rand)
}

// ways run a test directly and behind a pooler.
func ways(t *testing.T, test func(t *testing.T, pooled bool)) {
	t.Run("direct", func(t *testing.T) { test(t, false) })
	t.Run("pooler", func(t *testing.T) { test(t, true) })
}

// run drives four nodes in a place, and checks all that they were told.
func run(t *testing.T, p place) {
	t.Helper()
	s := settings{Address: p.address, Namespace: pgtest.Namespace(), Pooler: p.pooler, Key: latchkey.GenerateKey().Reveal()}
	c := newCluster(t, s, p.breaks != nil)
	began := time.Now()
	breakings, count := p.breakings, 2*len(stories)
	if p.pooler {
		count /= 2
	}
	if p.many {
		breakings = rounds(breakings)
	}
	c.drive(rounds(count), breakings, func(r *rand.Rand) { p.breaks(c, r) })
	t.Logf("%d calls, of which %d were disturbed, in %v", c.calls.Load(), c.troubled.Load(), time.Since(began).Round(time.Millisecond))
	if c.faults && !p.pooler && rounds(1) > 1 && c.troubled.Load() == 0 { // a short run may be lucky, and a pooler hides a restart
		t.Error("no call was disturbed")
	}
	if t.Failed() {
		return
	}
	s.Address, s.Pooler = p.direct(), false
	c.check(s)
}

// check compares the store with all that was acknowledged.
func (c *cluster) check(s settings) {
	c.Helper()
	rows, err := postgres.OpenWith(c.ctx, s.Address, postgres.Options{Namespace: s.Namespace})
	if err != nil {
		c.Fatal(err)
	}
	defer rows.Close()
	config, err := configOf(s, hashertest.New(c))
	if err != nil {
		c.Fatal(err)
	}
	engine, err := latchkey.New(rows, config)
	if err != nil {
		c.Fatal(err)
	}
	defer engine.Close()
	for _, f := range c.facts {
		if err := f.holds(engine); err != nil {
			c.Errorf("%s: %v", f.about, err)
		}
	}
	c.Logf("%d facts", len(c.facts))
	if len(c.facts) < c.total/8 {
		c.Error("too few facts to tell anything")
	}
	clock := authtest.NewClock()
	clock.Set(time.Now())
	k := &kit.Kit{T: c.T, Store: storetest.Count(rows), Clock: clock, Ctx: c.ctx}
	for _, rule := range k.Broken() {
		c.Error("broken: " + rule)
	}
	c.owned(rows)
	if err := rows.(store.Checker).Check(c.ctx); err != nil {
		c.Error(err)
	}
	c.endAll(engine)
}

// owned refuses a team that has members and no owner.
func (c *cluster) owned(rows store.Store) {
	members := make(map[string][2]int)
	for q := (store.Query{Index: record.Memberships.Primary(), Limit: store.MaxLimit}); ; {
		page, err := rows.List(c.ctx, q)
		if err != nil {
			c.Fatal(err)
		}
		for _, row := range page {
			m := record.Memberships.Record(row)
			n := members[m.TeamID]
			if m.Confirm {
				n[0]++
			}
			if m.Confirm && m.Owner {
				n[1]++
			}
			members[m.TeamID] = n
		}
		if len(page) < q.Limit {
			break
		}
		q.After = q.Index.Position(page[len(page)-1])
	}
	for team, n := range members {
		if n[0] > 0 && n[1] == 0 {
			c.Errorf("team %s has %d members and no owner", team, n[0])
		}
	}
}

// endAll ends every session on one node, and looks at some on all nodes.
func (c *cluster) endAll(engine *latchkey.Engine) {
	var sessions []string
	for range 3 {
		u, err := engine.Users().Create(c.ctx, latchkey.NewUser{})
		if err != nil {
			c.Fatal(err)
		}
		session, err := engine.Users().CreateSession(c.ctx, u.ID)
		if err != nil {
			c.Fatal(err)
		}
		sessions = append(sessions, session.Secret.Reveal())
	}
	c.faults = false
	for _, session := range sessions {
		c.everywhere("authenticate", args{"session": session})
	}
	c.nodes[0].call("endAll", nil)
	for _, session := range sessions {
		for _, a := range c.everywhere("authenticate", args{"session": session}, unauthorized) {
			if a.How == done {
				c.Error("a session is good after the end of all")
			}
		}
	}
}

// at returns the address of a server, or of a pooler in front of it.
func at(t *testing.T, host string, pooled bool) string {
	if pooled {
		return pgtest.PoolerAt(t, host)
	}
	return fmt.Sprintf("postgres://latchkey@%s/postgres?sslmode=disable", host)
}

func TestFourNodes(t *testing.T) {
	ways(t, func(t *testing.T, pooled bool) {
		server := pgtest.Shared(t)
		run(t, place{address: at(t, server.Host(), pooled), pooler: pooled, direct: server.Address})
	})
}

// A node is killed and started again.
func TestFourNodesOfWhichOneIsKilled(t *testing.T) {
	ways(t, func(t *testing.T, pooled bool) {
		server := pgtest.Shared(t)
		run(t, place{
			address: at(t, server.Host(), pooled), pooler: pooled, direct: server.Address, breakings: 3, many: true,
			breaks: func(c *cluster, r *rand.Rand) {
				n := c.any(r)
				n.kill()
				if err := n.start(); err != nil {
					c.Error(err)
				}
			},
		})
	})
}

// proxied starts a proxy for one test.
func proxied(t *testing.T, host string) *pgtest.Proxy {
	t.Helper()
	p, err := pgtest.NewProxy(host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// Connections are cut at a commit, before the server sees it or when it has answered, and at other messages, and the server
// ends some. Behind a pooler, they are those of the nodes or those of the pooler.
func TestFourNodesWhoseCommitsAreCut(t *testing.T) {
	ways(t, func(t *testing.T, pooled bool) {
		server := pgtest.Shared(t)
		near := proxied(t, server.Host())
		cutters := []*pgtest.Proxy{near}
		if pooled {
			pooler := at(t, near.Host(), true)
			far := proxied(t, hostOf(t, pooler))
			cutters = append(cutters, far)
		}
		run(t, place{
			address: cutters[len(cutters)-1].Address(), pooler: pooled, direct: server.Address, breakings: 10, many: true,
			breaks: func(c *cluster, r *rand.Rand) {
				p := cutters[r.IntN(len(cutters))]
				switch r.IntN(5) {
				case 0:
					p.CutBefore()
				case 1:
					p.CutAfter()
				case 2:
					p.CutAt(1+r.IntN(40), 0)
				case 3:
					p.CutAt(0, 1+r.IntN(40))
				case 4:
					if err := terminate(c.ctx, server, c.nodes[0].settings.Namespace); err != nil {
						c.Error(err)
					}
				}
			},
		})
	})
}

// terminate ends two of the server's connections that have used a namespace.
func terminate(ctx context.Context, server *pgtest.Server, namespace string) error {
	conn, err := pgx.Connect(ctx, server.Address())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE pid <> pg_backend_pid() AND (query LIKE '%' || $1 || '%' OR query IN ('BEGIN', 'COMMIT')) ORDER BY random() LIMIT 2`, namespace)
	return err
}

// The server is restarted, as an upgrade does it or as in a crash.
func TestFourNodesWhoseServerRestarts(t *testing.T) {
	ways(t, func(t *testing.T, pooled bool) {
		pgtest.Shared(t)                         // skips the test without a server
		server, err := pgtest.Start("fsync=off") // the system lives on
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Stop)
		fast := false
		run(t, place{
			address: at(t, server.Host(), pooled), pooler: pooled, direct: server.Address, breakings: 2, many: true,
			breaks: func(c *cluster, r *rand.Rand) {
				server.Shutdown(fast)
				fast = !fast
				if err := server.Run(); err != nil {
					c.Error(err)
				}
			},
		})
	})
}

// The primary server dies, and its synchronous standby takes its place. An address of two hosts leads the nodes to it.
// Behind a pooler, the pooler is led there.
func TestFourNodesWhoseStandbyIsPromoted(t *testing.T) {
	ways(t, func(t *testing.T, pooled bool) {
		pgtest.Shared(t)
		primary, err := pgtest.Start("fsync=off")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(primary.Stop)
		standby, err := primary.Standby()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(standby.Stop)
		address := fmt.Sprintf("postgres://latchkey@%s,%s/postgres?sslmode=disable&target_session_attrs=read-write", primary.Host(), standby.Host())
		lead := func() {}
		if pooled {
			p := proxied(t, primary.Host())
			address, lead = pgtest.PoolerAt(t, p.Host()), func() { p.Lead(standby.Host()) }
		}
		run(t, place{
			address: address, pooler: pooled, direct: standby.Address, breakings: 1,
			breaks: func(c *cluster, _ *rand.Rand) {
				// Commits that wait for the standby are on the primary alone when it dies.
				standby.Pause()
				err := primary.Await("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
				primary.Kill()
				standby.Resume()
				if err := errors.Join(err, standby.Promote()); err != nil {
					c.Error(err)
				}
				lead()
			},
		})
	})
}

// hostOf returns the host and port of an address.
func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
