//go:build unix

package latchkey_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
)

// processorTime returns the processor time that the process has used.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// An import that waits for a place in the queue of the hasher does not spin: that takes the
// processor from those who hold the places.
func TestAttack23AnImportThatWaitsForTheHasherDoesNotSpin(t *testing.T) {
	h, err := hasher.New(hasher.Config{Slots: 1, Queue: 2, Wait: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	k := kit.New(t, kit.Open(t, "memory"), kit.Documented)
	engine := k.Configured(func(c *latchkey.Config) { c.Hasher = h })
	for _, group := range []string{"one", "two", "three"} { // people, who hold the slot and fill the queue
		go func() {
			_ = h.For(group).Run(context.Background(), 0, func() { time.Sleep(1500 * time.Millisecond) })
		}()
		time.Sleep(20 * time.Millisecond)
	}
	before := processorTime(t)
	done, err := engine.Import(k.Ctx, the(person(latchkey.PortableUser{ID: "ada", Email: kit.Ada, Password: hidden.New("$md5$" + md5Hash)})), latchkey.ImportOptions{})
	used := processorTime(t) - before
	if err != nil || done.Created != 1 {
		t.Fatal(done, err)
	}
	if used > 500*time.Millisecond { // more than one argon2id hash of 19 MiB
		t.Errorf("the import has used %v of the processor to wait", used)
	}
}
