package latchkey_test

import (
	"errors"
	"slices"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/notify"
)

// Turning MFA on refuses the user's other sessions at once, but not the session that
// turned it on. Removing a factor lets the others in again.
func TestSwitchingMFAReachesEverySession(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		other, _ := k.SignIn(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		is := func(what string, want error) {
			k.Helper()
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, other.Secret.Reveal())); !errors.Is(err, want) || want == nil && err != nil {
				k.Errorf("%s: %v", what, err)
			}
		}
		is("off", nil)
		shown, err := account.UpdateMFA(k.Ctx, true)
		k.Must(err)
		if !shown.MFA {
			k.Errorf("%+v", shown)
		}
		is("on", latchkey.ErrMoreFactorsRequired)
		k.Must(kit.Err(account.User(k.Ctx)))
		session, err := account.GetSession(k.Ctx, latchkey.CurrentSession)
		k.Must(err)
		if !slices.Equal(session.Factors, []string{"password", "email", "phone"}) {
			k.Error(session.Factors)
		}
		// A session that owes a factor ends with it. The next one owes what there is then.
		again := func(what string, want error) {
			k.Helper()
			is(what, latchkey.ErrUnauthorized)
			other, err = k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
			k.Must(err)
			is(what+", signed in again", want)
		}
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, "")))
		again("a number less", latchkey.ErrMoreFactorsRequired)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, false)))
		again("no factor left", nil)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		is("one again", latchkey.ErrMoreFactorsRequired)
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, false)))
		again("off by the server", nil)
		var told []string
		for _, m := range k.Drained(k.Engine) {
			if m.Kind == notify.FactorsChanged {
				told = append(told, m.To)
			}
		}
		slices.Sort(told)
		if !slices.Equal(told, []string{kit.Phone, kit.Ada, kit.Ada}) {
			k.Errorf("told: %v", told)
		}
	})
}

// A session that switches MFA on and off while it owes no factor has not proven a
// factor for later.
func TestSwitchingMFAProvesNothingForLater(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.Proven()
		_, thief := k.SignIn(kit.Ada)
		k.Must(kit.Err(thief.UpdateMFA(k.Ctx, true)))
		k.Must(kit.Err(thief.UpdateMFA(k.Ctx, false)))
		_, owner := k.SignIn(kit.Ada)
		k.Must(kit.Err(owner.UpdateMFA(k.Ctx, true)))
		if err := kit.Err(thief.User(k.Ctx)); !errors.Is(err, latchkey.ErrMoreFactorsRequired) {
			k.Errorf("the thief's session: %v", err)
		}
	})
}

func TestDisabledFactorsAreNeitherAskedForNorOwed(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Factors: latchkey.FactorPolicy{Disabled: []latchkey.Factor{latchkey.FactorEmail, latchkey.FactorTOTP}}}, func(k *kit.Kit) {
		user := k.Proven()
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		_, pending := k.Owing(k.Visitor) // the factor is the phone number
		for _, off := range []latchkey.Factor{latchkey.FactorEmail, latchkey.FactorTOTP, latchkey.FactorCustom} {
			if err := kit.Err(pending.CreateMFAChallenge(k.Ctx, off)); err != latchkey.ErrAuthMethodUnsupported {
				k.Errorf("%s: %v", off, err)
			}
		}
		for _, none := range []latchkey.Factor{"", "TOTP", "recoverycode", "password"} {
			if err := kit.Err(pending.CreateMFAChallenge(k.Ctx, none)); !errors.Is(err, latchkey.ErrArgumentInvalid) {
				k.Errorf("%s: %v", none, err)
			}
		}
		if factors, err := pending.MFAFactors(k.Ctx); err != nil || factors != (latchkey.MFAFactors{Phone: true, Helps: latchkey.FactorSet{Phone: true}}) {
			k.Errorf("%+v, %v", factors, err)
		}
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, false)))
		k.SignIn(kit.Ada)
	})
}

// An engine with factors switched off does not prove those factors for another
// engine.
func TestFactorsThatAreOffAreNotProven(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.Proven()
		k.Must(kit.Err(k.Users().UpdateMFA(k.Ctx, user.ID, true)))
		off := k.Configured(func(c *latchkey.Config) {
			c.Policy.Factors.Disabled = []latchkey.Factor{latchkey.FactorEmail, latchkey.FactorPhone}
		})
		s, err := off.Guest(kit.Client).CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		a, err := off.Guest(kit.Client).Authenticate(k.Ctx, s.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(a.UpdateMFA(k.Ctx, true)))
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())); err == nil {
			k.Error("raised")
		}
	})
}
