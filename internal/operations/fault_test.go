package operations_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/store/storetest"
)

// Whatever call of the store fails, the operation has happened or has not, says
// nothing that it should not, and can be tried again.
func TestEveryOperationSurvivesAFaultOfAnyCall(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after its effect ", after), func(t *testing.T) {
			operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
				for n := 1; ; n++ {
					w := operations.NewWorld(k, true, op)
					k.Forget()
					before := k.Everything()
					reached := k.Failing(n, after)
					err := op.Do(w)
					again := reached()
					_, twice := k.Raw.(storetest.Twice) // where the first run may fail
					if again && err == nil && op.Name != "Guest.Authenticate" && !twice {
						k.Errorf("call %d fails and nobody says so", n)
					}
					if err != nil {
						if text := err.Error(); strings.Contains(text, kit.Password) || strings.Contains(text, "disk") || !errors.Is(err, kit.ErrDisk) {
							k.Errorf("call %d: %v", n, err)
						}
					}
					unchanged := maps.EqualFunc(before, k.Everything(), slices.Equal[[]string])
					told := k.Told.Take()
					if err != nil && len(told) != 0 && !op.Many {
						k.Errorf("call %d fails, and is told: %v", n, told)
					}
					if !unchanged && !after && err != nil && !op.Many {
						k.Errorf("call %d fails before its effect, and something has changed", n)
					}
					if broken := k.Broken(); broken != nil {
						k.Errorf("call %d: %v", n, broken)
					}
					if unchanged {
						if err := op.Do(w); err != nil {
							k.Errorf("after call %d, again: %v", n, err)
						}
					}
					k.DeleteAll()
					if !again {
						return
					}
				}
			})
		})
	}
}
