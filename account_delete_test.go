package latchkey_test

import (
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// A user deletes their account, with everything in it, and is told at every proven address.
func TestDeleteRemovesTheAccountAndTellsTheUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		other, _ := k.SignIn(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		k.Must(account.Delete(k.Ctx))
		k.Refuses("another session", latchkey.ErrUnauthorized, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, other.Secret.Reveal())) })
		k.Refuses("again", latchkey.ErrUnauthorized, func() error { return account.Delete(k.Ctx) })
		k.Refuses("the user", latchkey.ErrUserNotFound, func() error { return kit.Err(k.Users().Get(k.Ctx, user.ID)) })
		if rows := k.Rows(); rows["users"]+rows["addresses"]+rows["targets"]+rows["words"]+rows["sessions"] != 0 {
			k.Errorf("left: %v", rows)
		}
		if got, want := k.Posted(k.Engine), []string{"account-deleted " + kit.Phone, "account-deleted " + kit.Ada}; !slices.Equal(got, want) {
			k.Errorf("%v, want %v", got, want)
		}
	})
}

// Deletion asks for a fresh session, and for the authenticator of a user who has one, whatever
// the policy says of enrolling.
func TestDeleteAsksForAFreshSession(t *testing.T) {
	for _, policy := range []latchkey.Policy{{}, {Factors: latchkey.FactorPolicy{EnrolWithoutStepUp: true}}} {
		kit.OnEveryStore(t, policy, func(k *kit.Kit) {
			user := k.SignUp(kit.Ada)
			session, account := k.SignIn(kit.Ada)
			byJWT, _ := k.ByJWT(user.ID, session.ID)
			k.Refuses("a JWT", latchkey.ErrSessionNotFound, func() error { return byJWT.Delete(k.Ctx) })
			k.Clock.Advance(31 * time.Minute)
			k.Refuses("an old session", latchkey.ErrChallengeRequired, func() error { return account.Delete(k.Ctx) })
			_, fresh := k.SignIn(kit.Ada)
			app := k.Confirmed(fresh, latchkey.NewMFAAuthenticator{})
			_, byPassword := k.SignIn(kit.Ada)
			k.Refuses("without the authenticator", latchkey.ErrChallengeRequired, func() error { return byPassword.Delete(k.Ctx) })
			k.Clock.Advance(30 * time.Second)
			answered, err := k.Answers(byPassword, latchkey.FactorTOTP, app.Code())
			k.Must(err)
			proven, err := k.Visitor.Authenticate(k.Ctx, answered.Secret.Reveal())
			k.Must(err)
			k.Must(proven.Delete(k.Ctx))
		})
	}
}
