package attack_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// AC-058: a user cannot prove an address by changing the account.
func TestAC058NobodyProvesAnAddressByChangingTheAccount(t *testing.T) {
	operations.OnEvery(t, func(k *kit.Kit, op operations.Operation) {
		if strings.HasPrefix(op.Name, "Users.") || strings.Contains(op.Name, "IDToken") || op.Name == "Guest.CreateSession by link" || op.Name == "Guest.CreateSession by code" {
			return // the server may say so, and a redeemed link or code or the word of a provider is a proof
		}
		for _, full := range []bool{true, false} {
			w := operations.NewWorld(k, full)
			_ = op.Do(w)
			rows, err := record.Users.List(k.Ctx, k.Store, store.Query{Index: record.Users.Primary(), Limit: 100})
			k.Must(err)
			for _, u := range rows {
				if u.EmailVerified || u.PhoneVerified {
					k.Errorf("%s proved an address", op.Name)
				}
			}
			k.DeleteAll()
		}
	})
}

// AC-061, AC-063: the first proof of a mailbox ends everything that an attacker may
// have planted in its account.
func TestAC061AndAC063FirstProofDropsWhatWasPlanted(t *testing.T) {
	for name, ask := range kit.Askers {
		t.Run(name, func(t *testing.T) {
			kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
				user := k.SignUp(kit.Ada) // an attacker without the mailbox
				session, account := k.SignIn(kit.Ada)
				k.Must(kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
				planted, err := k.Users().CreateToken(k.Ctx, user.ID, 32, time.Hour)
				k.Must(err)
				token, err := ask(k, k.Visitor, "")
				k.Must(err)
				to, dropped := kit.Ada, kit.Phone
				if name == "SMS code" {
					to, dropped = kit.Phone, kit.Ada
				}
				m := k.Mail(to)
				k.Forget()
				mine, err := k.Visitor.CreateSession(k.Ctx, token.UserID, m.Secret)
				k.Must(err)
				if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); err != latchkey.ErrUnauthorized {
					k.Errorf("the planted session: %v", err)
				}
				if err := kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)); err != latchkey.ErrInvalidCredentials {
					k.Errorf("the planted password: %v", err)
				}
				if err := kit.Err(k.Visitor.CreateSession(k.Ctx, user.ID, planted.Secret.Reveal())); !errors.Is(err, latchkey.ErrInvalidToken) {
					k.Errorf("the planted token: %v", err)
				}
				shown, err := k.Users().Get(k.Ctx, user.ID)
				k.Must(err)
				if mine.UserID != user.ID || shown.Email == dropped || shown.Phone == dropped || !shown.PasswordUpdate.IsZero() ||
					shown.EmailVerification == shown.PhoneVerification {
					k.Errorf("%+v", shown)
				}
			})
		})
	}
}

// AC-061: a recovery that is the first proof of a mailbox leaves nothing that an
// attacker planted. The password is the new one.
func TestAC061RecoveryIsAFirstProof(t *testing.T) {
	kit.OnEveryStore(t, latchkey.Policy{Sessions: latchkey.SessionPolicy{KeepOnPasswordChange: true}, Password: latchkey.PasswordPolicy{History: 3}}, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		_, planted := k.SignIn(kit.Ada)
		k.Must(kit.Err(planted.UpdatePhone(k.Ctx, kit.Phone, kit.Password)))
		m := k.Recovery()
		if err := kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, m.UserID, m.Secret, kit.Password)); err != latchkey.ErrPasswordRecentlyUsed {
			k.Errorf("the same password: %v", err)
		}
		k.Must(k.Recover(m))
		if err := kit.Err(planted.User(k.Ctx)); err != latchkey.ErrUnauthorized {
			k.Errorf("the planted session: %v", err)
		}
		shown, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if !shown.EmailVerification || shown.Phone != "" {
			k.Errorf("%+v", shown)
		}
		k.Must(kit.Err(k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.FreshPassword)))
	})
}

// AC-062: an account with another proven address is not handed over. A person who
// proves its unproven address gets a new account.
func TestAC062ProvenAccountIsNotHandedOver(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		code, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
		k.Must(err)
		session, err := k.Visitor.CreateSession(k.Ctx, code.UserID, k.Mail(kit.Phone).Secret)
		k.Must(err)
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.UpdateEmail(k.Ctx, kit.Ada, kit.Password)))
		link, err := k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada})
		k.Must(err)
		mine, err := k.Visitor.CreateSession(k.Ctx, link.UserID, k.Mail(kit.Ada).Secret)
		k.Must(err)
		if mine.UserID == session.UserID {
			k.Error("the account of another")
		}
		user, err := account.User(k.Ctx)
		k.Must(err)
		if user.Email != "" || user.Phone != kit.Phone || !user.PhoneVerification {
			k.Errorf("%+v", user)
		}
	})
}

// AC-063: planted factors go with the first proof of the mailbox. A mailbox never replaces a
// factor that is owed: its reader gets an account of their own then.
func TestAC063PlantedFactorsGoWithTheFirstProof(t *testing.T) {
	for _, on := range []bool{false, true} {
		kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
			k.SignUp(kit.Ada)
			_, planter := k.SignIn(kit.Ada)
			k.Confirmed(planter, latchkey.NewMFAAuthenticator{})
			k.Must(kit.Err(planter.CreateMFARecoveryCodes(k.Ctx)))
			if on {
				k.Must(kit.Err(planter.UpdateMFA(k.Ctx, true)))
			}
			token, secret := k.AskCode(kit.Ada)
			mine, err := k.Visitor.CreateSession(k.Ctx, token.UserID, secret)
			k.Must(err)
			k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, mine.Secret.Reveal())))
			f, _ := k.Users().MFAFactors(k.Ctx, mine.UserID)
			if f.TOTP || f.RecoveryCode {
				k.Errorf("on %v: planted: %+v", on, f)
			}
			f, _ = k.Users().MFAFactors(k.Ctx, planter.UserID())
			if got := mine.UserID == planter.UserID(); got == on || f.TOTP != on {
				k.Errorf("on %v: the same account: %v; the planter has %+v", on, got, f)
			}
		})
	}
}

// AC-064: an unproven address does not recover an account whose user has proven a
// number.
func TestAC064UnprovenAddressDoesNotRecoverAProvenAccount(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp("mallory@example.org")
		k.Must(kit.Err(k.Users().UpdatePhone(k.Ctx, user.ID, kit.Phone)))
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		k.Must(kit.Err(k.Users().UpdateEmail(k.Ctx, user.ID, kit.Ada)))
		token, err := k.Users().Guest(latchkey.Client{}).CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL})
		k.Must(err)
		if err := kit.Err(k.Visitor.ConfirmRecovery(k.Ctx, user.ID, token.Secret.Reveal(), kit.FreshPassword)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Error(err)
		}
		for _, m := range k.Drained(k.Engine) {
			if m.To == kit.Ada {
				k.Errorf("%s is sent", m.Kind)
			}
		}
	})
}

// AC-117: an anonymous account cannot take another user's address, and does not prove
// the address that it sets.
func TestAC117ConversionTakesNobodysAddress(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		victim := k.SignUp(kit.Ada)
		_, somebody := k.Anonymous()
		k.Refuses("e-mail", latchkey.ErrTargetAlreadyExists, func() error { return kit.Err(somebody.UpdateEmail(k.Ctx, kit.Ada, kit.Password)) })
		k.Refuses("account", latchkey.ErrTargetAlreadyExists, func() error {
			return kit.Err(somebody.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password}))
		})
		user, err := somebody.UpdateEmail(k.Ctx, kit.Bob, kit.Password)
		k.Must(err)
		if user.EmailVerification || user.ID == victim.ID {
			k.Errorf("%+v", user)
		}
		session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Bob, kit.Password)
		k.Must(err)
		if session.Provider != "email" || session.Factors[0] != "password" {
			k.Errorf("signed in by %s with %v", session.Provider, session.Factors)
		}
	})
}

// AC-118: anonymous users are capped by client, and are swept when they have no live
// session.
func TestAC118AnonymousUsersAreCappedAndPurged(t *testing.T) {
	kit.OnEveryStore(t, latchkey.StrictPolicy(), func(k *kit.Kit) {
		k.Engine = k.LimitedEngine(nil)
		made := 0
		for n := range 200 {
			switch err := kit.Err(k.Guest(kit.At(fmt.Sprintf("2001:db8::%x", n+1))).CreateAnonymousSession(k.Ctx)); {
			case err == nil:
				made++
			case !errors.Is(err, latchkey.ErrRateLimitExceeded):
				k.Fatal(err)
			}
		}
		if made != 10 {
			k.Errorf("one network made %d", made)
		}
		k.Clock.Advance(180 * 24 * time.Hour)
		swept, err := k.Sweep(k.Ctx)
		k.Must(err)
		if swept.Users != 10 || k.Rows()["users"] != 0 {
			k.Errorf("swept %+v", swept)
		}
	})
}
