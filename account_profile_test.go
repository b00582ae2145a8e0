package latchkey_test

import (
	"errors"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
)

// What a host asks on every request costs one read of the store, or two.
func TestTheProfileCostsOneRead(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		secret := session.Secret.Reveal()
		jwt, err := account.CreateJWT(k.Ctx, 0)
		k.Must(err)
		byJWT, err := k.Visitor.AuthenticateJWT(k.Ctx, jwt.Reveal())
		k.Must(err)
		for _, test := range []struct {
			what  string
			reads int64
			do    func() error
		}{
			{"Authenticate", 1, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, secret)) }},
			{"AuthenticateProfile", 1, func() error {
				_, profile, err := k.Visitor.AuthenticateProfile(k.Ctx, secret)
				return kit.Err(profile, err)
			}},
			{"User", 1, func() error { return kit.Err(account.User(k.Ctx)) }},
			{"Profile", 1, func() error { return kit.Err(account.Profile(k.Ctx)) }},
			{"Roles", 1, func() error { return kit.Err(account.Roles(k.Ctx)) }},
			{"Prefs", 1, func() error { return kit.Err(account.Prefs(k.Ctx)) }},
			{"User by a JWT", 1, func() error { return kit.Err(byJWT.User(k.Ctx)) }},
			{"Users.Get", 1, func() error { return kit.Err(k.Users().Get(k.Ctx, account.UserID())) }},
		} {
			k.Store.Reset()
			k.Must(test.do())
			if reads, updates := k.Store.Reads.Load(), k.Store.Updates.Load(); reads != test.reads || updates != 0 {
				k.Errorf("%s: %d reads and %d transactions", test.what, reads, updates)
			}
		}
	})
}

// The roles of a member of teams cost one read more, in however many teams the member is.
func TestTheRolesOfAMemberCostTwoReads(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		for range 10 {
			k.Must(kit.Err(account.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Bakers", Roles: []string{"editor"}})))
		}
		for what, do := range map[string]func() error{
			"AuthenticateProfile": func() error {
				_, profile, err := k.Visitor.AuthenticateProfile(k.Ctx, session.Secret.Reveal())
				return kit.Err(profile, err)
			},
			"Profile": func() error { return kit.Err(account.Profile(k.Ctx)) },
			"Roles":   func() error { return kit.Err(account.Roles(k.Ctx)) },
		} {
			k.Store.Reset()
			k.Must(do())
			if reads, updates := k.Store.Reads.Load(), k.Store.Updates.Load(); reads != 2 || updates != 0 {
				k.Errorf("%s: %d reads and %d transactions", what, reads, updates)
			}
		}
	})
}

func TestAuthenticateProfileIsAuthenticateAndProfile(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		k.Must(kit.Err(k.Users().UpdateLabels(k.Ctx, user.ID, []string{"vip"})))
		session, account := k.SignIn(kit.Ada)
		a, profile, err := k.Visitor.AuthenticateProfile(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		same, err := account.User(k.Ctx)
		k.Must(err)
		k.Same("user", profile.User, same)
		roles, err := account.Roles(k.Ctx)
		k.Must(err)
		k.Same("roles", profile.Roles, roles)
		if a.UserID() != user.ID || a.SessionID() != session.ID {
			k.Errorf("%v of %s", a, a.SessionID())
		}
		k.Must(kit.Err(a.UpdateName(k.Ctx, "Countess")))
		// A session that owes a factor gets the handle to pay.
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		a, profile, err = k.Visitor.AuthenticateProfile(k.Ctx, session.Secret.Reveal())
		var more *latchkey.MoreFactorsError
		if a != nil || profile != nil || !errors.As(err, &more) || more.Pending.UserID() != user.ID {
			k.Errorf("%v, %v, %v", a, profile, err)
		}
	})
}
