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

// If any call of the store fails, the operation has either happened or not. Its error
// shows no secret, and the caller can try again.
func TestEveryOperationSurvivesAFaultOfAnyCall(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after its effect ", after), func(t *testing.T) {
			operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
				if _, twice := k.Raw.(storetest.Twice); twice { // it tries again, which hides the fault of a first run
					return
				}
				for n := 1; ; n++ {
					w := operations.NewWorld(k, true, op)
					k.Forget()
					before := k.Everything()
					reached := k.Failing(n, after)
					k.Logged.Take()
					err := op.Do(w)
					again := reached()
					if logged := k.Logged.Faults(); err != nil && (len(logged) != 1 || !strings.HasPrefix(logged[0], "ERROR ") || !strings.Contains(logged[0], kit.ErrDisk.Error())) {
						k.Errorf("call %d: the log has %q of %v", n, logged, err)
					}
					if again && err == nil && op.Name != "Guest.Authenticate" && op.Name != "Guest.AuthenticateProfile" {
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
