package kit

import (
	"errors"
	"runtime"

	"example.com/latchkey/store/storetest"
)

// ErrDisk is the error of [Kit.Failing]. Its text holds a password: no error of the engine may
// repeat it. The log of the host has it, because a store knows no passwords.
var ErrDisk = errors.New("the disk with " + Password + " has a hole")

// Failing makes the n-th call of the store fail, before or after its effect. reached
// removes the fault and reports whether the n-th call was made.
func (k *Kit) Failing(n int, after bool) (reached func() bool) {
	for k.Deliveries().Waiting > 0 && k.Ctx.Err() == nil { // a message that has waited asks the store too
		runtime.Gosched()
	}
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

// Interfere runs change once: after the reads of an operation, and before the
// transaction in which the operation acts on them.
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

// At runs do, and change before the n-th call that do makes of the store outside a
// transaction.
func (k *Kit) At(n int, change, do func()) {
	calls, hook := 0, k.Store.Hook
	k.Store.Hook = func(c storetest.Call) error {
		if !c.Inside && !c.Done && c.Name != "Commit" {
			if calls++; calls == n {
				change()
			}
		}
		return hook(c)
	}
	do()
	k.Store.Hook = hook
}
