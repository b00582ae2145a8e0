package operations_test

import (
	"slices"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
)

// openToActing are the methods of an account that a user may also call for another one.
var openToActing = []string{
	"Account.User", "Account.Profile", "Account.Roles", "Account.Can", "Account.Prefs", "Account.Logs", "Account.Sessions", "Account.MFAFactors", "Account.Identities", "Account.Passkeys", "Account.GetIdentity",
	"Account.UpdateName", "Account.UpdatePrefs",
	"Teams.Get by a user", "Teams.List by a user", "Teams.Prefs by a user", "Teams.Logs by a user", "Teams.Memberships by a user", "Teams.GetMembership by a user",
}

// A user who acts for another can change no factor, password, address, target or session, and
// read no secret: a new method is refused unless it is in the list above.
func TestEveryMethodByAnImpersonator(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		if op.Free || op.Name == "Guest.Authenticate" || op.Name == "Guest.AuthenticateProfile" {
			return
		}
		w := operations.NewWorld(k, true, op)
		bob, err := k.Users().GetByEmail(k.Ctx, kit.Bob)
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateImpersonator(k.Ctx, bob.ID, true)))
		_, helper := k.SignIn(kit.Bob)
		for _, byJWT := range []bool{false, true} {
			if byJWT {
				helper, _ = k.ByJWT(bob.ID, "")
			}
			w.Account, err = helper.Impersonate(k.Ctx, latchkey.ImpersonatedUser{UserID: w.User.ID})
			k.Must(err)
			switch {
			case slices.Contains(openToActing, op.Name):
				k.Must(op.Do(w))
			case op.Name == "Account.GetSession": // the current one is not the user's
				k.Refuses(op.Name, latchkey.ErrSessionNotFound, func() error { return op.Do(w) })
			default:
				k.Refuses(op.Name, latchkey.ErrUserUnauthorized, func() error { return op.Do(w) })
			}
		}
	})
}
