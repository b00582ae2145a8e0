package kit

import (
	"errors"

	"example.com/latchkey/store/storetest"
)

// ErrDisk is the fault of [Kit.Failing]. Its text holds a password, which no
// error of the engine may repeat.
var ErrDisk = errors.New("the disk with " + Password + " has a hole")

// Failing lets the n-th call of the store fail, before or after its effect.
func (k *Kit) Failing(n int, after bool) (reached func() bool) {
	calls := 0
	hook := k.Store.Hook
	k.Store.Hook = func(c storetest.Call) error {
		if c.Done == after {
			if calls++; calls == n {
				return ErrDisk
			}
		}
		return nil
	}
	return func() bool { k.Store.Hook = hook; return calls >= n }
}

// Interfere runs change once, between what an operation reads and the
// transaction in which it acts on that.
func (k *Kit) Interfere(change func()) {
	done := false
	hook := k.Store.Hook
	k.Store.Hook = func(c storetest.Call) error {
		if c.Name == "Commit" && !c.Done && !done {
			done = true
			change()
		}
		return hook(c)
	}
}
