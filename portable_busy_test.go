package latchkey_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/store/memory"
)

// An import that waits for a place in the queue of the hasher does not spin: that takes the
// processor from those who hold the places. The time of the bubble stands still while one spins.
func TestAnImportThatWaitsForTheHasherDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kit.New(t, memory.Open(), kit.Documented)
		h, err := hasher.New(hasher.Config{Slots: 1, Queue: 2, Wait: 10 * time.Second})
		k.Must(err)
		engine := k.Configured(func(c *latchkey.Config) { c.Hasher = h })
		release := make(chan struct{})
		for _, group := range []string{"one", "two", "three"} { // people, who hold the slot and fill the queue
			go func() { _ = h.For(group).Run(context.Background(), 0, func() { <-release }) }()
			synctest.Wait()
		}
		time.AfterFunc(1500*time.Millisecond, func() { close(release) })
		done, err := engine.Import(k.Ctx, the(person(latchkey.PortableUser{ID: "ada", Email: kit.Ada, Password: hidden.New("$md5$" + md5Hash)})), latchkey.ImportOptions{})
		k.Must(err)
		k.Same("made", done, latchkey.Imported{Created: 1})
	})
}
