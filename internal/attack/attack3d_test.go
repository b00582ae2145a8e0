package attack_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A session that has removed its authenticator with MFA on is only taken to have proven one. When
// it confirms the next one it has proven that, and keeps the proof when the server switches MFA off.
func TestAttack3AConfirmedAuthenticatorIsAProofAlsoIfAFormerOneWasAssumed(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		owner, app := withTOTP(k)
		owner = shows(k, owner, latchkey.FactorTOTP, app.Code())
		k.Must(owner.DeleteMFAAuthenticator(k.Ctx))
		k.Clock.Advance(30 * time.Second)
		k.Confirmed(owner, latchkey.NewMFAAuthenticator{})
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, owner.UserID(), false)))
		session, err := owner.GetSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		if got := fmt.Sprint(session.Factors); got != "[password totp]" {
			k.Errorf("%s, want [password totp]", got)
		}
	})
}
