package operations_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/store/storetest"
)

// If the caller's context is cancelled during any call of the store, the operation
// has either happened or not.
func TestEveryOperationSurvivesACancelledContextAtAnyCall(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		for n := 1; ; n++ {
			w := operations.NewWorld(k, true, op)
			k.Forget()
			before := k.Everything()
			ctx, cancel := context.WithCancel(k.Ctx)
			w.Ctx = ctx
			calls, hook := 0, k.Store.Hook
			k.Store.Hook = func(c storetest.Call) error {
				if calls++; calls == n {
					cancel()
				}
				return nil
			}
			err := op.Do(w)
			k.Store.Hook = hook
			cancel()
			w.Ctx = k.Ctx
			if err != nil && !errors.Is(err, context.Canceled) {
				k.Errorf("call %d: %v", n, err)
			}
			if broken := k.Broken(); broken != nil {
				k.Errorf("call %d: %v", n, broken)
			}
			if maps.EqualFunc(before, k.Everything(), slices.Equal[[]string]) {
				if err := op.Do(w); err != nil {
					k.Errorf("after call %d, again: %v", n, err)
				}
			} else if err != nil && !op.Many {
				k.Errorf("call %d: cancelled, and something has changed: %v", n, err)
			}
			k.DeleteAll()
			if calls < n {
				return
			}
		}
	})
}
