package latchkey_test

import (
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// RequireRecent measures the time since the sign-in. Its window comes from the host,
// or else from the policy.
func TestRequireRecentMeasuresTheTimeSinceTheSignIn(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Factors: latchkey.FactorPolicy{StepUpWindow: 10 * time.Minute}}, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for _, window := range []time.Duration{0, time.Minute} {
			k.Must(account.RequireRecent(k.Ctx, window))
		}
		k.Clock.Advance(5 * time.Minute)
		k.Must(account.RequireRecent(k.Ctx, 0))
		k.Must(account.RequireRecent(k.Ctx, time.Hour))
		k.Refuses("after five minutes, within one", latchkey.ErrChallengeRequired, func() error {
			return account.RequireRecent(k.Ctx, time.Minute)
		})
		k.Clock.Advance(6 * time.Minute)
		k.Must(account.RequireRecent(k.Ctx, time.Hour))
		k.Refuses("after eleven minutes, within the policy's ten", latchkey.ErrChallengeRequired, func() error {
			return account.RequireRecent(k.Ctx, 0)
		})
		_, account = k.SignIn(kit.Ada)
		k.Must(account.RequireRecent(k.Ctx, 0))
	})
}
