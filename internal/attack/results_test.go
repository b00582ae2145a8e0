package attack_test

import (
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
)

// The handle of a deleted user, whose id another user has now, reads nothing: neither
// with the error nor beside it: F-1. [kit.Err] panics on a result beside an error, in this
// test and in every other.
func TestF1AHandleReadsNothingBesideItsError(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		if op.Free {
			return
		}
		for name, end := range map[string]func(w *operations.World){
			"its id is another user's": func(w *operations.World) {
				w.Must(w.Users().Delete(w.Ctx, w.User.ID))
				w.Must(kit.Err(w.Users().Create(w.Ctx, latchkey.NewUser{UserID: w.User.ID, Email: "other@example.org", Name: "Another Person"})))
			},
			"blocked": func(w *operations.World) { w.Must(kit.Err(w.Users().UpdateStatus(w.Ctx, w.User.ID, false))) },
			"ended":   func(w *operations.World) { w.Must(w.Users().DeleteSessions(w.Ctx, w.User.ID)) },
		} {
			w := operations.NewWorld(k, true, op)
			end(w)
			if err := op.Do(w); err == nil {
				k.Errorf("%s: no error", name)
			}
			k.DeleteAll()
		}
	})
}
