package capacity

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// A host that shards keeps a map of slots: the digest of a key says the slot, and the map says the shard
// of the slot. A new shard takes slots over from the others.
const slots = 4096

// slotOf returns the slot of a key: a tenant, or an address.
func slotOf(key string) int {
	sum := sha256.Sum256([]byte(key))
	return int(binary.BigEndian.Uint64(sum[:8]) % slots)
}

// shardMap says which shard has a slot.
type shardMap [slots]int

// newMap deals the slots out.
func newMap(shards int) (m shardMap) {
	for slot := range m {
		m[slot] = slot % shards
	}
	return m
}

// grown returns the map with one more shard, which takes as many slots as each has then, from each of
// the others alike. moved is the number of these slots.
func (m shardMap) grown(shards int) (next shardMap, moved int) {
	next = m
	left := make([]int, shards)
	for _, s := range m {
		left[s]++
	}
	for slot, s := range m {
		if left[s] > slots/(shards+1) && moved < slots/(shards+1) {
			next[slot] = shards
			left[s]--
			moved++
		}
	}
	return next, moved
}

// spread returns the number of users on the fullest shard, as a multiple of the mean.
func spread(m shardMap, shards int, users [slots]float64) float64 {
	load, sum, most := make([]float64, shards), 0.0, 0.0
	for slot, n := range users {
		load[m[slot]] += n
		sum += n
	}
	for _, n := range load {
		most = max(most, n)
	}
	return most / (sum / float64(shards))
}

// population is the number of simulated users. LATCHKEY_USERS=100000000 takes some minutes.
func population() int {
	if n, err := strconv.Atoi(os.Getenv("LATCHKEY_USERS")); err == nil {
		return n
	}
	return 1_000_000
}

// The digest of the address deals users out evenly, whatever their domains. The domain of the address does
// not, and neither does the tenant, if the largest tenant is larger than the share of a shard.
func TestShardsOfASkewedPopulation(t *testing.T) {
	const shards = 16
	users := population()
	r := rand.New(rand.NewPCG(1, 2))
	domains := rand.NewZipf(r, 1.6, 1, 1_000_000) // the largest has nearly half of all
	tenants := rand.NewZipf(r, 1.1, 20, 200_000)  // the largest has a few in a hundred
	var byAddress, byDomain, byTenant [slots]float64
	largest := make(map[uint64]int)
	for i := range users {
		domain, tenant := fmt.Sprintf("d%d.example", domains.Uint64()), tenants.Uint64()
		byAddress[slotOf(fmt.Sprintf("person%d@%s", i, domain))]++
		byDomain[slotOf(domain)]++
		byTenant[slotOf(fmt.Sprint("tenant", tenant))]++
		largest[tenant]++
	}
	biggest := 0
	for _, n := range largest {
		biggest = max(biggest, n)
	}
	m := newMap(shards)
	address, domain, tenant := spread(m, shards, byAddress), spread(m, shards, byDomain), spread(m, shards, byTenant)
	t.Logf("%d users on %d shards; the fullest has %.3f of the mean by address, %.2f by domain, %.2f by tenant; the largest tenant has %.1f%% of all users",
		users, shards, address, domain, tenant, 100*float64(biggest)/float64(users))
	// A user is on a shard with the chance 1/16, so the load of a shard is binomial. The bound is five
	// deviations.
	bound := 1 + 5*math.Sqrt(shards/float64(users))
	if address > bound {
		t.Errorf("by address: %.4f of the mean, more than %.4f", address, bound)
	}
	if domain < 2 {
		t.Errorf("by domain: %.2f of the mean", domain)
	}
	if tenant < address {
		t.Errorf("by tenant: %.2f of the mean", tenant)
	}

	next, moved := m.grown(shards)
	usersMoved := 0.0
	for slot := range m {
		if next[slot] != m[slot] {
			if next[slot] != shards {
				t.Fatalf("slot %d moves between shards that were there", slot)
			}
			usersMoved += byAddress[slot]
		}
	}
	after := spread(next, shards+1, byAddress)
	t.Logf("a shard more: %d of %d slots move, with %.2f%% of the users; the fullest has %.3f of the mean", moved, slots, 100*usersMoved/float64(users), after)
	if share := usersMoved / float64(users) * (shards + 1); share < 0.95 || share > 1.05 {
		t.Errorf("a shard more moves %.3f of its share", share)
	}
	if after > 1.02*bound {
		t.Errorf("with a shard more: %.4f of the mean", after)
	}
}
