package latchkey_test

import (
	"errors"
	"fmt"
	"time"

	"example.com/latchkey"
)

// table has every exported method of the handles.
var table = []operation{
	{name: "Guest.CreateAccount", free: true, do: func(w *world) error {
		return ignore(w.guest.CreateAccount(w.ctx, latchkey.NewAccount{Email: "new@example.org", Password: password, Name: "New"}))
	}},
	{name: "Guest.CreateEmailPasswordSession", free: true, anonymous: latchkey.ErrInvalidCredentials, do: func(w *world) error {
		return ignore(w.guest.CreateEmailPasswordSession(w.ctx, ada, password))
	}},
	{name: "Guest.CreateAnonymousSession", free: true, do: func(w *world) error { return ignore(w.guest.CreateAnonymousSession(w.ctx)) }},
	{name: "Guest.Authenticate", quiet: true, do: func(w *world) error {
		if w.account == nil {
			return ignore(w.guest.Authenticate(w.ctx, ""))
		}
		return ignore(w.guest.Authenticate(w.ctx, w.secret))
	}},
	{name: "Guest.CreateMagicURLToken", free: true, untold: true, do: func(w *world) error {
		return ignore(w.guest.CreateMagicURLToken(w.ctx, latchkey.NewMagicURLToken{Email: ada, URL: "https://app.example.org/in", Phrase: true}))
	}},
	{name: "Guest.CreateEmailToken", free: true, untold: true, do: func(w *world) error {
		return ignore(w.guest.CreateEmailToken(w.ctx, latchkey.NewEmailToken{Email: ada}))
	}},
	{name: "Guest.CreatePhoneToken", free: true, untold: true, do: func(w *world) error {
		return ignore(w.guest.CreatePhoneToken(w.ctx, "", phone))
	}},
	{name: "Guest.InspectToken", free: true, quiet: true, do: func(w *world) error {
		return ignore(w.guest.InspectToken(w.ctx, w.link.UserID, w.link.Secret.Reveal()))
	}},
	{name: "Guest.CreateSession", free: true, do: func(w *world) error {
		return ignore(w.guest.CreateSession(w.ctx, w.custom.UserID, w.custom.Secret.Reveal()))
	}},
	{name: "Guest.UpdateMagicURLSession", free: true, do: func(w *world) error {
		return ignore(w.guest.UpdateMagicURLSession(w.ctx, w.link.UserID, w.link.Secret.Reveal()))
	}},
	{name: "Guest.UpdatePhoneSession", free: true, do: func(w *world) error {
		return ignore(w.guest.UpdatePhoneSession(w.ctx, w.code.UserID, w.code.Secret.Reveal()))
	}},
	{name: "Guest.AuthenticateJWT", free: true, quiet: true, do: func(w *world) error { return ignore(w.guest.AuthenticateJWT(w.ctx, w.jwt)) }},
	{name: "Guest.CreateRecovery", free: true, untold: true, do: func(w *world) error {
		return ignore(w.guest.CreateRecovery(w.ctx, latchkey.NewRecovery{Email: ada, URL: recoverURL}))
	}},
	{name: "Guest.UpdateRecovery", free: true, proofs: true, anonymous: latchkey.ErrInvalidToken, do: func(w *world) error {
		return ignore(w.guest.UpdateRecovery(w.ctx, w.recovery.UserID, w.recovery.Secret.Reveal(), "another horse"))
	}},
	{name: "Guest.UpdateEmailVerification", free: true, proofs: true, anonymous: latchkey.ErrInvalidToken, do: func(w *world) error {
		return ignore(w.guest.UpdateEmailVerification(w.ctx, w.mailProof.UserID, w.mailProof.Secret.Reveal()))
	}},
	{name: "Guest.UpdatePhoneVerification", free: true, proofs: true, anonymous: latchkey.ErrInvalidToken, do: func(w *world) error {
		return ignore(w.guest.UpdatePhoneVerification(w.ctx, w.phoneProof.UserID, w.phoneProof.Secret.Reveal()))
	}},
	{name: "Guest.Roles", free: true, quiet: true, do: func(w *world) error { w.guest.Roles(); return nil }},

	{name: "Account.UserID", free: true, quiet: true, do: func(w *world) error { w.account.UserID(); return nil }},
	{name: "Account.SessionID", free: true, quiet: true, do: func(w *world) error { w.account.SessionID(); return nil }},
	{name: "Account.Format", free: true, quiet: true, do: func(w *world) error { _ = fmt.Sprint(w.account); return nil }},
	{name: "Account.User", quiet: true, do: func(w *world) error { return ignore(w.account.User(w.ctx)) }},
	{name: "Account.Roles", quiet: true, do: func(w *world) error { return ignore(w.account.Roles(w.ctx)) }},
	{name: "Account.Prefs", quiet: true, do: func(w *world) error { return ignore(w.account.Prefs(w.ctx)) }},
	{name: "Account.Logs", quiet: true, do: func(w *world) error { return ignore(w.account.Logs(w.ctx)) }},
	{name: "Account.Sessions", quiet: true, do: func(w *world) error { return ignore(w.account.Sessions(w.ctx)) }},
	{name: "Account.GetSession", quiet: true, do: func(w *world) error { return ignore(w.account.GetSession(w.ctx, latchkey.Current)) }},
	{name: "Account.UpdateName", do: func(w *world) error { return ignore(w.account.UpdateName(w.ctx, "Countess")) }},
	{name: "Account.UpdateEmail", do: func(w *world) error { return ignore(w.account.UpdateEmail(w.ctx, "countess@example.org", password)) }},
	{name: "Account.UpdatePhone", do: func(w *world) error { return ignore(w.account.UpdatePhone(w.ctx, phone, password)) }},
	{name: "Account.UpdatePassword", do: func(w *world) error { return ignore(w.account.UpdatePassword(w.ctx, "another horse", password)) }},
	{name: "Account.CreateEmailVerification", anonymous: latchkey.ErrEmailNotFound, do: func(w *world) error {
		return ignore(w.account.CreateEmailVerification(w.ctx, verifyURL))
	}},
	{name: "Account.CreatePhoneVerification", proofs: true, anonymous: latchkey.ErrPhoneNotFound, do: func(w *world) error {
		return ignore(w.account.CreatePhoneVerification(w.ctx))
	}},
	{name: "Account.CreateJWT", quiet: true, do: func(w *world) error { return ignore(w.account.CreateJWT(w.ctx, 0)) }},
	{name: "Account.RequireRecent", quiet: true, aged: latchkey.ErrChallengeRequired, do: func(w *world) error { return w.account.RequireRecent(w.ctx, 0) }},
	{name: "Account.UpdateMFA", aged: latchkey.ErrChallengeRequired, do: func(w *world) error { return ignore(w.account.UpdateMFA(w.ctx, true)) }},
	{name: "Account.MFAFactors", quiet: true, open: true, do: func(w *world) error { return ignore(w.account.MFAFactors(w.ctx)) }},
	{name: "Account.CreateMFAAuthenticator", aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return ignore(w.account.CreateMFAAuthenticator(w.ctx, latchkey.NewMFAAuthenticator{}))
	}},
	{name: "Account.UpdateMFAAuthenticator", factors: "begun", aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		code := "123456"
		if w.app != nil {
			code = w.app.Code()
		}
		return ignore(w.account.UpdateMFAAuthenticator(w.ctx, code))
	}},
	{name: "Account.DeleteMFAAuthenticator", factors: "fresh", aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return w.account.DeleteMFAAuthenticator(w.ctx)
	}},
	{name: "Account.CreateMFAChallenge", factors: "fresh", open: true, do: func(w *world) error {
		return ignore(w.account.CreateMFAChallenge(w.ctx, latchkey.FactorRecoveryCode))
	}},
	{name: "Account.UpdateMFAChallenge", factors: "fresh", open: true, aged: latchkey.ErrInvalidToken, do: func(w *world) error {
		return ignore(w.account.UpdateMFAChallenge(w.ctx, w.challenge, w.codes[0].Reveal()))
	}},
	{name: "Account.CreateMFARecoveryCodes", bare: true, aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return ignore(w.account.CreateMFARecoveryCodes(w.ctx))
	}},
	{name: "Account.MFARecoveryCodes", factors: "fresh", quiet: true, aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return ignore(w.account.MFARecoveryCodes(w.ctx))
	}},
	{name: "Account.UpdateMFARecoveryCodes", factors: "fresh", aged: latchkey.ErrChallengeRequired, do: func(w *world) error {
		return ignore(w.account.UpdateMFARecoveryCodes(w.ctx))
	}},
	{name: "Account.UpdatePrefs", do: func(w *world) error { return ignore(w.account.UpdatePrefs(w.ctx, []byte(`{"a":1}`))) }},
	{name: "Account.UpdateStatus", do: func(w *world) error { return ignore(w.account.UpdateStatus(w.ctx)) }},
	{name: "Account.UpdateSession", do: func(w *world) error {
		w.clock.Advance(time.Minute)
		return ignore(w.account.UpdateSession(w.ctx, latchkey.Current))
	}},
	{name: "Account.DeleteSession", do: func(w *world) error { return w.account.DeleteSession(w.ctx, latchkey.Current) }},
	{name: "Account.DeleteSessions", do: func(w *world) error { return w.account.DeleteSessions(w.ctx) }},
	{name: "Account.CreateAccount", do: func(w *world) error {
		err := ignore(w.account.CreateAccount(w.ctx, latchkey.NewAccount{Email: "full@example.org", Password: password}))
		if errors.Is(err, latchkey.ErrSessionAlreadyExists) && w.user.Email != "" {
			return nil // the right answer to a full account
		}
		return err
	}},

	{name: "Users.At", free: true, quiet: true, do: func(w *world) error { w.Users().At(testClient); return nil }},
	{name: "Users.Create", free: true, do: func(w *world) error {
		return ignore(w.Users().Create(w.ctx, latchkey.NewUser{Email: "new@example.org", Phone: phone, Password: password}))
	}},
	{name: "Users.Get", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().Get(w.ctx, w.user.ID)) }},
	{name: "Users.PasswordHash", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().PasswordHash(w.ctx, w.user.ID)) }},
	{name: "Users.Delete", free: true, do: func(w *world) error { return w.Users().Delete(w.ctx, w.user.ID) }},
	{name: "Users.UpdateName", free: true, do: func(w *world) error { return ignore(w.Users().UpdateName(w.ctx, w.user.ID, "Countess")) }},
	{name: "Users.UpdateEmail", free: true, do: func(w *world) error {
		return ignore(w.Users().UpdateEmail(w.ctx, w.user.ID, "countess@example.org"))
	}},
	{name: "Users.UpdatePhone", free: true, do: func(w *world) error { return ignore(w.Users().UpdatePhone(w.ctx, w.user.ID, phone)) }},
	{name: "Users.UpdatePassword", free: true, do: func(w *world) error {
		return ignore(w.Users().UpdatePassword(w.ctx, w.user.ID, "another horse"))
	}},
	{name: "Users.UpdateStatus", free: true, do: func(w *world) error { return ignore(w.Users().UpdateStatus(w.ctx, w.user.ID, false)) }},
	{name: "Users.UpdateEmailVerification", free: true, anonymous: latchkey.ErrEmailNotFound, do: func(w *world) error {
		return ignore(w.Users().UpdateEmailVerification(w.ctx, w.user.ID, true))
	}},
	{name: "Users.UpdatePhoneVerification", free: true, quiet: true, do: func(w *world) error { // it is none
		return ignore(w.Users().UpdatePhoneVerification(w.ctx, w.user.ID, false))
	}},
	{name: "Users.UpdateLabels", free: true, do: func(w *world) error {
		return ignore(w.Users().UpdateLabels(w.ctx, w.user.ID, []string{"vip"}))
	}},
	{name: "Users.Prefs", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().Prefs(w.ctx, w.user.ID)) }},
	{name: "Users.UpdatePrefs", free: true, do: func(w *world) error {
		return ignore(w.Users().UpdatePrefs(w.ctx, w.user.ID, []byte(`{"b":2}`)))
	}},
	{name: "Users.Sessions", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().Sessions(w.ctx, w.user.ID)) }},
	{name: "Users.CreateSession", free: true, do: func(w *world) error { return ignore(w.Users().CreateSession(w.ctx, w.user.ID)) }},
	{name: "Users.CreateToken", free: true, do: func(w *world) error {
		return ignore(w.Users().CreateToken(w.ctx, w.user.ID, 32, time.Hour))
	}},
	{name: "Users.UpdateMFA", free: true, do: func(w *world) error { return ignore(w.Users().UpdateMFA(w.ctx, w.user.ID, true)) }},
	{name: "Users.MFAFactors", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().MFAFactors(w.ctx, w.user.ID)) }},
	{name: "Users.DeleteMFAAuthenticator", free: true, factors: "begun", do: func(w *world) error {
		return w.Users().DeleteMFAAuthenticator(w.ctx, w.user.ID)
	}},
	{name: "Users.MFARecoveryCodes", free: true, factors: "fresh", quiet: true, do: func(w *world) error {
		return ignore(w.Users().MFARecoveryCodes(w.ctx, w.user.ID))
	}},
	{name: "Users.CreateMFARecoveryCodes", bare: true, free: true, do: func(w *world) error {
		return ignore(w.Users().CreateMFARecoveryCodes(w.ctx, w.user.ID))
	}},
	{name: "Users.UpdateMFARecoveryCodes", free: true, factors: "fresh", do: func(w *world) error {
		return ignore(w.Users().UpdateMFARecoveryCodes(w.ctx, w.user.ID))
	}},
	{name: "Users.CreateJWT", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().CreateJWT(w.ctx, w.user.ID, "", 0)) }},
	{name: "Users.DeleteSession", free: true, do: func(w *world) error { return w.Users().DeleteSession(w.ctx, w.user.ID, w.other.ID) }},
	{name: "Users.DeleteSessions", free: true, do: func(w *world) error { return w.Users().DeleteSessions(w.ctx, w.user.ID) }},
	{name: "Users.Logs", free: true, quiet: true, do: func(w *world) error { return ignore(w.Users().Logs(w.ctx, w.user.ID)) }},

	{name: "Engine.Guest", free: true, quiet: true, do: func(w *world) error { w.Guest(testClient); return nil }},
	{name: "Engine.Users", free: true, quiet: true, do: func(w *world) error { w.Users(); return nil }},
	{name: "Engine.KeySet", free: true, quiet: true, do: func(w *world) error { w.KeySet(); return nil }},
	{name: "Engine.Sweep", free: true, quiet: true, many: true, do: func(w *world) error { return ignore(w.Sweep(w.ctx)) }},
	{name: "Engine.Reseal", free: true, quiet: true, many: true, do: func(w *world) error { return ignore(w.Reseal(w.ctx)) }},
	{name: "Engine.Deliveries", free: true, quiet: true, do: func(w *world) error { w.Deliveries(); return nil }},
	{name: "Engine.CloseContext", free: true, quiet: true, do: func(*world) error { return nil }},
	{name: "Engine.Close", free: true, quiet: true, do: func(*world) error { return nil }}, // each kit ends with it
}
