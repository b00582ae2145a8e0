package kit

import (
	"errors"
	"fmt"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
)

// LimitedCalls has a call for each operation with a limit. However often a test makes
// it, the call succeeds or is refused by the operation's own rules, so that only a
// limit can stop it.
var LimitedCalls = map[string]func(k *Kit, c latchkey.Client) error{
	"createAccount": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).CreateAccount(k.Ctx, latchkey.NewAccount{Email: "no address"}))
	},
	"createEmailPasswordSession": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).CreateEmailPasswordSession(k.Ctx, "stranger@example.org", "wrong horse"))
	},
	"createIDTokenSession": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: hidden.New("unknown")}))
	},
	"createAnonymousSession": func(k *Kit, c latchkey.Client) error { return Err(k.Guest(c).CreateAnonymousSession(k.Ctx)) },
	"updateSession": func(k *Kit, c latchkey.Client) error {
		return Err(k.at(c).ExtendSession(k.Ctx, latchkey.CurrentSession))
	},
	"deleteSession": func(k *Kit, c latchkey.Client) error { return k.at(c).DeleteSession(k.Ctx, "another") },
	"deleteSessions": func(k *Kit, c latchkey.Client) error {
		account := k.at(c)
		k.Must(k.Users().DeleteSessions(k.Ctx, account.UserID()))
		return account.DeleteSessions(k.Ctx)
	},
	"createMagicURLToken": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: Ada}))
	},
	"createEmailToken": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: Ada}))
	},
	"createPhoneToken": func(k *Kit, c latchkey.Client) error { return Err(k.Guest(c).CreatePhoneToken(k.Ctx, "", Phone)) },
	"createOAuth2Session": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).StartOAuth2(k.Ctx, latchkey.OAuth2Request{Provider: "acme", RedirectURL: CallbackURL}))
	},
	"finishOAuth2Session": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).FinishOAuth2(k.Ctx, latchkey.OAuth2Callback{Provider: "acme"}))
	},
	"createPasskeySession": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).StartPasskeySession(k.Ctx, latchkey.PasskeyOffer{}))
	},
	"finishPasskeySession": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).FinishPasskeySession(k.Ctx, UnknownAnswer))
	},
	"createSession": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).CreateSession(k.Ctx, "ada", UnknownLink))
	},
	"createSessionByClient": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).CreateSession(k.Ctx, k.invented(), UnknownLink))
	},
	"failuresByClient": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).CreateEmailPasswordSession(k.Ctx, k.invented()+"@example.org", "wrong horse"))
	},
	"confirmByClient": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).ConfirmEmailVerification(k.Ctx, k.invented(), UnknownLink))
	},
	"changes":   func(k *Kit, c latchkey.Client) error { return Err(k.reachable(c).UpdateName(k.Ctx, "Ada")) },
	"createJWT": func(k *Kit, c latchkey.Client) error { return Err(k.reachable(c).CreateJWT(k.Ctx, 0)) },
	"createMembership": func(k *Kit, c latchkey.Client) error {
		teams := k.reachable(c).Teams()
		team, err := teams.Create(k.Ctx, latchkey.NewTeam{Name: "Bakers"})
		if err != nil {
			return err
		}
		return Err(teams.CreateMembership(k.Ctx, team.ID, latchkey.NewMembership{Email: k.invented() + "@example.org", URL: JoinURL}))
	},
	"createRecovery": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).CreateRecovery(k.Ctx, latchkey.NewRecovery{Email: Ada, URL: RecoverURL}))
	},
	"updateRecovery": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).ConfirmRecovery(k.Ctx, "ada", UnknownLink, Password))
	},
	"createEmailVerification": func(k *Kit, c latchkey.Client) error {
		return Err(k.reachable(c).CreateEmailVerification(k.Ctx, VerifyURL))
	},
	"updateEmailVerification": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).ConfirmEmailVerification(k.Ctx, "ada", UnknownLink))
	},
	"createPhoneVerification": func(k *Kit, c latchkey.Client) error { return Err(k.reachable(c).CreatePhoneVerification(k.Ctx)) },
	"updatePhoneVerification": func(k *Kit, c latchkey.Client) error {
		return Err(k.Guest(c).ConfirmPhoneVerification(k.Ctx, "ada", UnknownLink))
	},
	"createMFAChallenge": func(k *Kit, c latchkey.Client) error {
		return Err(k.reachable(c).CreateMFAChallenge(k.Ctx, latchkey.FactorRecoveryCode))
	},
	"updateMFAChallenge": func(k *Kit, c latchkey.Client) error {
		return Err(k.reachable(c).ConfirmMFAChallenge(k.Ctx, "unknown", "123456"))
	},
	"messages": func(k *Kit, c latchkey.Client) error {
		_, err := k.Guest(c).CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: Ada})
		if errors.Is(err, latchkey.ErrRateLimitExceeded) {
			return err
		}
		return nil
	},
	"updateEmail": func(k *Kit, c latchkey.Client) error {
		return Err(k.reachable(c).UpdateEmail(k.Ctx, "moved@example.org", Password))
	},
	"updatePhone": func(k *Kit, c latchkey.Client) error {
		return Err(k.reachable(c).UpdatePhone(k.Ctx, "+14155550199", Password))
	},
	"confirmPassword": func(k *Kit, c latchkey.Client) error {
		const id = "confirming"
		if err := Err(k.Users().Create(k.Ctx, latchkey.NewUser{UserID: id, Password: Password})); err != nil && err != latchkey.ErrUserAlreadyExists {
			return err
		}
		session, err := k.Users().CreateSession(k.Ctx, id)
		k.Must(err)
		account, err := k.Guest(c).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		return Err(account.ConfirmPassword(k.Ctx, "wrong horse"))
	},
	"updatePassword": func(k *Kit, c latchkey.Client) error {
		return Err(k.at(c).UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: Password, Old: ""}))
	},
}

// invented returns another id in each call. No user has it.
func (k *Kit) invented() string {
	k.ids++
	return fmt.Sprint("invented", k.ids)
}
