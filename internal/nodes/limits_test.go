package nodes

import (
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/redistest"
)

// Ten accounts come from one client address in an hour, over all nodes together, although their clocks
// differ: by the table of the limiter, directly and behind a pooler, and by Redis.
func TestFourNodesShareTheirLimits(t *testing.T) {
	const most, throttled = 10, "general_rate_limit_exceeded" // see latchkey.DefaultLimits
	server := pgtest.Shared(t)
	for name, s := range map[string]settings{
		"stored": {Address: server.Address(), Limiter: "stored"},
		"pooler": {Address: pgtest.Pooler(t, server), Pooler: true, Limiter: "stored"},
		"redis":  {Address: server.Address(), Limiter: redistest.ForTest(t).Address()},
	} {
		t.Run(name, func(t *testing.T) {
			s.Namespace, s.Key = pgtest.Namespace(), latchkey.GenerateKey().Reveal()
			c := newCluster(t, s, false)
			var calls []func() answer
			for i := range 16 {
				calls = append(calls, func() answer {
					return c.nodes[i%len(c.nodes)].call("signUp", args{"email": anEmail(), "password": "correct horse", "ip": "192.0.2.77"}, throttled)
				})
			}
			made, late := 0, 0
			for _, a := range atOnce(calls...) {
				switch {
				case a.How == done:
					made++
				case a.Type == throttled:
					late++
				}
			}
			if made != most || late != len(calls)-most {
				t.Errorf("%d are made, %d are throttled", made, late)
			}
		})
	}
}
