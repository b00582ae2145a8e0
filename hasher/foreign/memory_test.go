package foreign_test

import (
	"encoding/hex"
	"runtime"
	"testing"

	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/hasher/hashertest"
)

// No hash takes much more memory than what the hasher counts for it. With a small N and a large r
// the lanes of scrypt take most of it.
func TestNoHashWithinTheBoundsTakesMoreThanItsMemory(t *testing.T) {
	g := hashertest.New(t).For("")
	o := foreign.ScryptOptions{Salt: "somesalt", N: 2, R: 1 << 13, P: 16, Length: 64}
	h, err := foreign.Scrypt(hex.EncodeToString(make([]byte, 64)), o)
	if err != nil {
		return
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := foreign.Verify(t.Context(), g, h, "appwrite"); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	counted := uint64(128*o.R*(o.N+o.P+2)) >> 20
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 2*counted { // the gate doubles what it counts
		t.Errorf("it takes %d MiB, and %d are counted", took, counted)
	}
	if _, err := foreign.Scrypt(hex.EncodeToString(make([]byte, 64)), foreign.ScryptOptions{Salt: "somesalt", N: 2, R: 1 << 20, P: 8}); err == nil {
		t.Error("a hash that takes 1 GiB for its lanes is within the bounds")
	}
}
