package latchkeyotel

import (
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// checks counts the checks of sessions. A counter of the SDK takes 120 ns, which is a fifth of a check
// in memory. So they are counted here, and the reader of the metrics asks for the sums.
type checks struct {
	shards []shard // of those that went well
	passed [2]metric.ObserveOption

	mu sync.Mutex
	// failed has the counts of the others. A new key makes a new map.
	failed atomic.Pointer[map[check]*count]
}

// check is the name and the outcome of a check.
type check struct{ name, outcome string }

type count struct {
	n     atomic.Int64
	attrs metric.ObserveOption
}

// shard is a count of each operation, in two lines of the cache: a processor fetches lines in pairs.
type shard struct {
	n [2]atomic.Int64
	_ [112]byte
}

// maxShards bounds the memory of the counts to 8 KiB.
const maxShards = 64

func newChecks() *checks {
	c := &checks{shards: make([]shard, min(4*runtime.GOMAXPROCS(0), maxShards))}
	c.failed.Store(new(map[check]*count))
	for i, name := range []string{checkSession, checkJWT} {
		c.passed[i] = metric.WithAttributeSet(operationSet(name, ""))
	}
	return c
}

// add counts a check.
func (c *checks) add(name, outcome string) {
	if outcome != "" {
		c.failure(check{name, outcome}).n.Add(1)
		return
	}
	i := 0
	if name == checkJWT {
		i = 1
	}
	c.near().n[i].Add(1)
}

// near returns the shard of a goroutine, so that processors seldom write to the same line of the
// cache. Two goroutines have different stacks, and the address of a variable there takes less time
// than a random number or a pool. It does not matter that a stack moves.
func (c *checks) near() *shard {
	var here byte
	const golden = 0x9E3779B9 // 2^32 / φ: spreads addresses that differ in few bits
	spread := uint32(uintptr(unsafe.Pointer(&here))>>11) * golden
	return &c.shards[uint64(spread)*uint64(len(c.shards))>>32]
}

// failure returns the count of a name and an outcome.
func (c *checks) failure(k check) *count {
	if have := (*c.failed.Load())[k]; have != nil {
		return have
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := *c.failed.Load()
	if have := all[k]; have != nil { // made meanwhile
		return have
	}
	larger := make(map[check]*count, len(all)+1)
	maps.Copy(larger, all)
	larger[k] = &count{attrs: metric.WithAttributeSet(operationSet(k.name, k.outcome))}
	c.failed.Store(&larger)
	return larger[k]
}

// report tells the sums.
func (c *checks) report(o metric.Observer, to metric.Int64Observable) {
	for i := range c.passed {
		sum := int64(0)
		for s := range c.shards {
			sum += c.shards[s].n[i].Load()
		}
		o.ObserveInt64(to, sum, c.passed[i])
	}
	for _, failed := range *c.failed.Load() {
		o.ObserveInt64(to, failed.n.Load(), failed.attrs)
	}
}

// operationSet returns the attributes of an operation.
func operationSet(name, outcome string) attribute.Set {
	return newSet(keyOperation.String(name), outcome)
}
