// Package operations has a table of every exported method of the handles, and the
// user that the methods work on. Its tests run over the table: each method in every
// state of a session, under faults of the store, a cancelled context and panics, and
// concurrently with every other method. The abuse cases use the table too.
package operations

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/permission"
)

// Operation is one call of an exported method.
type Operation struct {
	Name string // the name in reflection
	Do   func(w *World) error

	Quiet  bool // it changes nothing
	Free   bool // it needs no session
	Untold bool // it is logged, but has no event
	Many   bool // it takes more than one transaction
	Proofs bool // it needs a link or a code that proves an address
	Moved  bool // it needs a user who has changed the address by proof
	Bare   bool // it needs a user without recovery codes
	Open   bool // a session that owes a second factor may do it
	Acts   bool // it needs a user who may act for others
	Pushes bool // it needs a push target of the user's first session
	Teams  bool // it needs a team of the user
	Queued bool // it needs a message that the outbox has given up
	// Begun says that it needs sign-ins by a provider that have begun, and Linked an identity of
	// the user.
	Begun, Linked bool
	// Keyed says that it needs a passkey of the user, and answers of authenticators.
	Keyed bool
	// Invites says that it needs an invitation of the user to another one's team.
	Invites bool

	// Factors says which second factors the operation needs. "begun" is an
	// authenticator that is not confirmed. "fresh" adds recovery codes and an
	// answered challenge. "host" is a challenge for the factor of the host.
	Factors string
	// Anonymous is the operation's answer to an anonymous user.
	Anonymous error
	// Aged is the operation's answer to a session that signed in, and answered a
	// challenge, long ago.
	Aged error
}

const (
	scryptHash = "9c590c2c5811bd800bb0a945d46ec5cd07509ce6e362c3d7fbae9a65129a3fa3da9501ad60ed29ecaab41418bdee4301de973a0ae5e409af0798f3074423f5b7"
	signerKey  = "XyEKE9RcTDeLEsL/RjwPDBv/RqDl8fb3gpYEOQaPihbxf1ZAtSOHCjuAAa7Q3oHpCYhXSN9tizHgVOwn6krflQ=="
)

// hashed is a user with a hash of another system.
func hashed(hash string) latchkey.HashedUser {
	return latchkey.HashedUser{Email: "new@example.org", Hash: hidden.New(hash), Name: "New"}
}

// Table has every exported method of the handles.
var Table = []Operation{
	{Name: "Guest.CreateAccount", Free: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreateAccount(w.Ctx, latchkey.NewAccount{Email: "new@example.org", Password: kit.Password, Name: "New"}))
	}},
	{Name: "Guest.CreateEmailPasswordSession", Free: true, Anonymous: latchkey.ErrInvalidCredentials, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreateEmailPasswordSession(w.Ctx, kit.Ada, kit.Password))
	}},
	{Name: "Guest.CreateAnonymousSession", Free: true, Do: func(w *World) error { return kit.Err(w.Visitor.CreateAnonymousSession(w.Ctx)) }},
	{Name: "Guest.Authenticate", Quiet: true, Do: func(w *World) error {
		if w.Account == nil {
			return kit.Err(w.Visitor.Authenticate(w.Ctx, ""))
		}
		return kit.Err(w.Visitor.Authenticate(w.Ctx, w.Secret.Reveal()))
	}},
	{Name: "Account.Delete", Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error { return w.Account.Delete(w.Ctx) }},
	{Name: "Users.Export", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Export(w.Ctx, w.User.ID)) }},
	{Name: "Account.RotateSession", Do: func(w *World) error { return kit.Err(w.Account.RotateSession(w.Ctx)) }},
	{Name: "Guest.CreateMagicURLToken", Free: true, Untold: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreateMagicURLToken(w.Ctx, latchkey.NewMagicURLToken{Email: kit.Ada, URL: "https://app.example.org/in", Phrase: true}))
	}},
	{Name: "Guest.CreateEmailToken", Free: true, Untold: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreateEmailToken(w.Ctx, latchkey.NewEmailToken{Email: kit.Ada}))
	}},
	{Name: "Guest.CreatePhoneToken", Free: true, Untold: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreatePhoneToken(w.Ctx, "", kit.Phone))
	}},
	{Name: "Guest.InspectToken", Free: true, Quiet: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.InspectToken(w.Ctx, w.Link.UserID, w.Link.Secret.Reveal()))
	}},
	{Name: "Guest.CreateSession", Free: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreateSession(w.Ctx, w.Custom.UserID, w.Custom.Secret.Reveal()))
	}},
	{Name: "Guest.CreateSession by link", Free: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreateSession(w.Ctx, w.Link.UserID, w.Link.Secret.Reveal()))
	}},
	{Name: "Guest.CreateSession by code", Free: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreateSession(w.Ctx, w.Code.UserID, w.Code.Secret.Reveal()))
	}},
	{Name: "Guest.AuthenticateJWT", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Visitor.AuthenticateJWT(w.Ctx, w.JWT.Reveal())) }},
	{Name: "Guest.CreateRecovery", Free: true, Untold: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreateRecovery(w.Ctx, latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL}))
	}},
	{Name: "Guest.ConfirmRecovery", Free: true, Proofs: true, Anonymous: latchkey.ErrInvalidToken, Do: func(w *World) error {
		return kit.Err(w.Visitor.ConfirmRecovery(w.Ctx, w.Recovery.UserID, w.Recovery.Secret.Reveal(), "another horse"))
	}},
	{Name: "Guest.ConfirmEmailVerification", Free: true, Proofs: true, Anonymous: latchkey.ErrInvalidToken, Do: func(w *World) error {
		return kit.Err(w.Visitor.ConfirmEmailVerification(w.Ctx, w.MailProof.UserID, w.MailProof.Secret.Reveal()))
	}},
	{Name: "Guest.ConfirmPhoneVerification", Free: true, Proofs: true, Anonymous: latchkey.ErrInvalidToken, Do: func(w *World) error {
		return kit.Err(w.Visitor.ConfirmPhoneVerification(w.Ctx, w.PhoneProof.UserID, w.PhoneProof.Secret.Reveal()))
	}},
	{Name: "Guest.Roles", Free: true, Quiet: true, Do: func(w *World) error { w.Visitor.Roles(); return nil }},
	{Name: "Guest.Can", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Visitor.Can(w.Ctx, permission.Read, permission.Set{})) }},

	{Name: "Account.ConfirmEmailVerification", Proofs: true, Anonymous: latchkey.ErrInvalidToken, Do: func(w *World) error {
		return kit.Err(w.Account.ConfirmEmailVerification(w.Ctx, w.MailProof.Secret.Reveal()))
	}},
	{Name: "Account.ConfirmPhoneVerification", Proofs: true, Anonymous: latchkey.ErrInvalidToken, Aged: latchkey.ErrInvalidToken, Do: func(w *World) error {
		return kit.Err(w.Account.ConfirmPhoneVerification(w.Ctx, w.PhoneProof.Secret.Reveal()))
	}},
	{Name: "Guest.AuthenticateProfile", Quiet: true, Do: func(w *World) error {
		secret := w.Secret.Reveal()
		if w.Account == nil {
			secret = ""
		}
		_, profile, err := w.Visitor.AuthenticateProfile(w.Ctx, secret)
		return kit.Err(profile, err)
	}},
	{Name: "Account.Profile", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.Profile(w.Ctx)) }},
	{Name: "Account.ImpersonatorID", Free: true, Quiet: true, Do: func(w *World) error { w.Account.ImpersonatorID(); return nil }},
	{Name: "Account.Impersonate", Acts: true, Do: func(w *World) error {
		return kit.Err(w.Account.Impersonate(w.Ctx, latchkey.ImpersonatedUser{Email: kit.Bob}))
	}},
	{Name: "Account.CreatePushTarget", Do: func(w *World) error {
		return kit.Err(w.Account.CreatePushTarget(w.Ctx, latchkey.NewPushTarget{Identifier: "another device"}))
	}},
	{Name: "Account.UpdatePushTarget", Pushes: true, Do: func(w *World) error {
		return kit.Err(w.Account.UpdatePushTarget(w.Ctx, w.Push, "the same device"))
	}},
	{Name: "Account.DeletePushTarget", Pushes: true, Do: func(w *World) error { return w.Account.DeletePushTarget(w.Ctx, w.Push) }},
	{Name: "Account.UserID", Free: true, Quiet: true, Do: func(w *World) error { w.Account.UserID(); return nil }},
	{Name: "Account.SessionID", Free: true, Quiet: true, Do: func(w *World) error { w.Account.SessionID(); return nil }},
	{Name: "Account.Format", Free: true, Quiet: true, Do: func(w *World) error { _ = fmt.Sprint(w.Account); return nil }},
	{Name: "Account.User", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.User(w.Ctx)) }},
	{Name: "Account.Roles", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.Roles(w.Ctx)) }},
	{Name: "Account.Can", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.Can(w.Ctx, permission.Read, permission.Set{})) }},
	{Name: "Account.Prefs", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.Prefs(w.Ctx)) }},
	{Name: "Account.Logs", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.Logs(w.Ctx)) }},
	{Name: "Guest.StartOAuth2", Free: true, Quiet: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.StartOAuth2(w.Ctx, latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL, Success: "https://app.example.org/in"}))
	}},
	{Name: "Account.StartOAuth2", Quiet: true, Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return kit.Err(w.Account.StartOAuth2(w.Ctx, latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL}))
	}},
	{Name: "Guest.FinishOAuth2", Free: true, Begun: true, Many: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.FinishOAuth2(w.Ctx, w.Back))
	}},
	{Name: "Guest.FinishOAuth2 with a token", Free: true, Begun: true, Many: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.FinishOAuth2(w.Ctx, w.BackWithToken))
	}},
	{Name: "Guest.PostOAuth2", Free: true, Begun: true, Quiet: true, Do: func(w *World) error {
		return w.Visitor.PostOAuth2(w.Ctx, "acme", w.Back.Parameters)
	}},
	{Name: "Guest.RedeemOAuth2Token", Free: true, Begun: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.RedeemOAuth2Token(w.Ctx, w.Handed.UserID, w.Handed.Secret.Reveal(), w.Binding.Reveal()))
	}},
	{Name: "Guest.CreateIDTokenSession", Free: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.CreateIDTokenSession(w.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: w.IDToken}))
	}},
	{Name: "Account.LinkIDToken", Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return kit.Err(w.Account.LinkIDToken(w.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: w.IDToken}))
	}},
	{Name: "Account.GetIdentity", Quiet: true, Linked: true, Anonymous: latchkey.ErrIdentityNotFound, Do: func(w *World) error {
		return kit.Err(w.Account.GetIdentity(w.Ctx, w.Identity))
	}},
	{Name: "Account.DeleteIdentity", Linked: true, Anonymous: latchkey.ErrIdentityNotFound, Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return w.Account.DeleteIdentity(w.Ctx, w.Identity)
	}},
	{Name: "Account.ProviderTokens", Quiet: true, Linked: true, Anonymous: latchkey.ErrIdentityNotFound, Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return kit.Err(w.Account.ProviderTokens(w.Ctx, w.Identity))
	}},
	{Name: "Users.GetIdentity", Free: true, Quiet: true, Linked: true, Anonymous: latchkey.ErrIdentityNotFound, Do: func(w *World) error {
		return kit.Err(w.Users().GetIdentity(w.Ctx, w.Identity))
	}},
	{Name: "Users.DeleteIdentity", Free: true, Linked: true, Anonymous: latchkey.ErrIdentityNotFound, Do: func(w *World) error {
		return w.Users().DeleteIdentity(w.Ctx, w.Identity)
	}},
	{Name: "Users.ProviderTokens", Free: true, Quiet: true, Linked: true, Anonymous: latchkey.ErrIdentityNotFound, Do: func(w *World) error {
		return kit.Err(w.Users().ProviderTokens(w.Ctx, w.Identity))
	}},
	{Name: "Guest.StartPasskeySession", Free: true, Quiet: true, Do: func(w *World) error {
		return kit.Err(w.Visitor.StartPasskeySession(w.Ctx, latchkey.PasskeyOffer{}))
	}},
	{Name: "Guest.FinishPasskeySession", Free: true, Keyed: true, Many: true, Anonymous: latchkey.ErrPasskeyRefused, Do: func(w *World) error {
		return kit.Err(w.Visitor.FinishPasskeySession(w.Ctx, w.Offer))
	}},
	{Name: "Account.StartPasskeyEnrolment", Quiet: true, Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return kit.Err(w.Account.StartPasskeyEnrolment(w.Ctx, latchkey.PasskeyEnrolment{}))
	}},
	{Name: "Account.FinishPasskeyEnrolment", Keyed: true, Many: true, Anonymous: latchkey.ErrPasskeyRefused, Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return kit.Err(w.Account.FinishPasskeyEnrolment(w.Ctx, w.Creation, "Telephone"))
	}},
	{Name: "Account.StartPasskeyChallenge", Keyed: true, Quiet: true, Open: true, Anonymous: latchkey.ErrPasskeyNotFound, Do: func(w *World) error {
		return kit.Err(w.Account.StartPasskeyChallenge(w.Ctx))
	}},
	{Name: "Account.FinishPasskeyChallenge", Keyed: true, Many: true, Open: true, Anonymous: latchkey.ErrPasskeyRefused, Aged: latchkey.ErrPasskeyRefused, Do: func(w *World) error {
		return kit.Err(w.Account.FinishPasskeyChallenge(w.Ctx, w.Answer))
	}},
	{Name: "Account.Passkeys", Quiet: true, Keyed: true, Do: func(w *World) error { return kit.Err(w.Account.Passkeys(w.Ctx)) }},
	{Name: "Account.PasskeySignals", Quiet: true, Keyed: true, Do: func(w *World) error { return kit.Err(w.Account.PasskeySignals(w.Ctx)) }},
	{Name: "Account.RenamePasskey", Keyed: true, Anonymous: latchkey.ErrPasskeyNotFound, Do: func(w *World) error {
		return kit.Err(w.Account.RenamePasskey(w.Ctx, w.Passkey, "Telephone"))
	}},
	{Name: "Account.DeletePasskey", Keyed: true, Factors: "fresh", Anonymous: latchkey.ErrPasskeyNotFound, Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return w.Account.DeletePasskey(w.Ctx, w.Passkey)
	}},
	{Name: "Users.Passkeys", Free: true, Quiet: true, Keyed: true, Do: func(w *World) error { return kit.Err(w.Users().Passkeys(w.Ctx, w.User.ID)) }},
	{Name: "Users.DeletePasskey", Free: true, Keyed: true, Anonymous: latchkey.ErrPasskeyNotFound, Do: func(w *World) error {
		return w.Users().DeletePasskey(w.Ctx, w.User.ID, w.Passkey)
	}},
	{Name: "Account.Identities", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.Identities(w.Ctx)) }},
	{Name: "Users.Identities", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Identities(w.Ctx)) }},
	{Name: "Account.Sessions", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.Sessions(w.Ctx)) }},
	{Name: "Account.GetSession", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.GetSession(w.Ctx, latchkey.CurrentSession)) }},
	{Name: "Account.UpdateName", Do: func(w *World) error { return kit.Err(w.Account.UpdateName(w.Ctx, "Countess")) }},
	{Name: "Account.UpdateEmail", Do: func(w *World) error {
		return kit.Err(w.Account.UpdateEmail(w.Ctx, "countess@example.org", kit.Password))
	}},
	{Name: "Account.UpdatePhone", Do: func(w *World) error { return kit.Err(w.Account.UpdatePhone(w.Ctx, kit.Phone, kit.Password)) }},
	{Name: "Account.ConfirmPassword", Anonymous: latchkey.ErrInvalidCredentials, Do: func(w *World) error {
		return kit.Err(w.Account.ConfirmPassword(w.Ctx, kit.Password))
	}},
	{Name: "Account.CreateEmailChange", Do: func(w *World) error {
		return kit.Err(w.Account.CreateEmailChange(w.Ctx, latchkey.NewEmailChange{Email: "countess@example.org", URL: kit.VerifyURL}, kit.Password))
	}},
	{Name: "Account.CreatePhoneChange", Do: func(w *World) error {
		return kit.Err(w.Account.CreatePhoneChange(w.Ctx, kit.Phone, kit.Password))
	}},
	{Name: "Account.ConfirmEmailChange", Proofs: true, Anonymous: latchkey.ErrInvalidToken, Do: func(w *World) error {
		return kit.Err(w.Account.ConfirmEmailChange(w.Ctx, w.MailChange.Secret.Reveal(), kit.UndoURL))
	}},
	{Name: "Account.ConfirmPhoneChange", Proofs: true, Anonymous: latchkey.ErrInvalidToken, Aged: latchkey.ErrInvalidToken, Do: func(w *World) error {
		return kit.Err(w.Account.ConfirmPhoneChange(w.Ctx, w.PhoneChange.Secret.Reveal(), kit.UndoURL))
	}},
	{Name: "Guest.RestoreAddress", Free: true, Moved: true, Anonymous: latchkey.ErrInvalidToken, Do: func(w *World) error {
		return kit.Err(w.Visitor.RestoreAddress(w.Ctx, w.User.ID, w.Undo.Reveal()))
	}},
	{Name: "Users.ReleaseAddresses", Free: true, Moved: true, Untold: true, Do: func(w *World) error {
		return w.Users().ReleaseAddresses(w.Ctx, w.User.ID)
	}},
	{Name: "Engine.Ping", Free: true, Quiet: true, Do: func(w *World) error { return w.Ping(w.Ctx) }},
	{Name: "Account.UpdatePassword", Do: func(w *World) error {
		return kit.Err(w.Account.UpdatePassword(w.Ctx, latchkey.PasswordUpdate{New: "another horse", Old: kit.Password}))
	}},
	{Name: "Account.CreateEmailVerification", Anonymous: latchkey.ErrEmailNotFound, Do: func(w *World) error {
		return kit.Err(w.Account.CreateEmailVerification(w.Ctx, kit.VerifyURL))
	}},
	{Name: "Account.CreatePhoneVerification", Proofs: true, Anonymous: latchkey.ErrPhoneNotFound, Do: func(w *World) error {
		return kit.Err(w.Account.CreatePhoneVerification(w.Ctx))
	}},
	{Name: "Account.CreateJWT", Quiet: true, Do: func(w *World) error { return kit.Err(w.Account.CreateJWT(w.Ctx, 0)) }},
	{Name: "Account.RequireRecent", Quiet: true, Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error { return w.Account.RequireRecent(w.Ctx, 0) }},
	{Name: "Account.UpdateMFA", Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error { return kit.Err(w.Account.UpdateMFA(w.Ctx, true)) }},
	{Name: "Account.MFAFactors", Quiet: true, Open: true, Do: func(w *World) error { return kit.Err(w.Account.MFAFactors(w.Ctx)) }},
	{Name: "Account.CreateMFAAuthenticator", Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return kit.Err(w.Account.CreateMFAAuthenticator(w.Ctx, latchkey.NewMFAAuthenticator{}))
	}},
	{Name: "Account.VerifyMFAAuthenticator", Factors: "begun", Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		code := "123456"
		if w.app != nil {
			code = w.app.Code()
		}
		return kit.Err(w.Account.VerifyMFAAuthenticator(w.Ctx, code))
	}},
	{Name: "Account.DeleteMFAAuthenticator", Factors: "fresh", Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return w.Account.DeleteMFAAuthenticator(w.Ctx)
	}},
	{Name: "Account.CreateMFAChallenge", Factors: "fresh", Open: true, Do: func(w *World) error {
		return kit.Err(w.Account.CreateMFAChallenge(w.Ctx, latchkey.FactorRecoveryCode))
	}},
	{Name: "Account.ConfirmMFAChallenge", Factors: "fresh", Open: true, Aged: latchkey.ErrInvalidToken, Do: func(w *World) error {
		return kit.Err(w.Account.ConfirmMFAChallenge(w.Ctx, w.challenge, w.codes[0].Reveal()))
	}},
	{Name: "Account.CreateMFARecoveryCodes", Bare: true, Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return kit.Err(w.Account.CreateMFARecoveryCodes(w.Ctx))
	}},
	{Name: "Account.MFARecoveryCodes", Factors: "fresh", Quiet: true, Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return kit.Err(w.Account.MFARecoveryCodes(w.Ctx))
	}},
	{Name: "Account.RegenerateMFARecoveryCodes", Factors: "fresh", Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error {
		return kit.Err(w.Account.RegenerateMFARecoveryCodes(w.Ctx))
	}},
	{Name: "Account.UpdatePrefs", Do: func(w *World) error { return kit.Err(w.Account.UpdatePrefs(w.Ctx, []byte(`{"a":1}`))) }},
	{Name: "Account.Block", Aged: latchkey.ErrChallengeRequired, Do: func(w *World) error { return kit.Err(w.Account.Block(w.Ctx)) }},
	{Name: "Account.ExtendSession", Do: func(w *World) error {
		w.Clock.Advance(time.Minute)
		return kit.Err(w.Account.ExtendSession(w.Ctx, latchkey.CurrentSession))
	}},
	{Name: "Account.DeleteSession", Do: func(w *World) error { return w.Account.DeleteSession(w.Ctx, latchkey.CurrentSession) }},
	{Name: "Account.DeleteSessions", Do: func(w *World) error { return w.Account.DeleteSessions(w.Ctx) }},
	{Name: "Account.CreateAccount", Do: func(w *World) error {
		err := kit.Err(w.Account.CreateAccount(w.Ctx, latchkey.NewAccount{Email: "full@example.org", Password: kit.Password}))
		if errors.Is(err, latchkey.ErrSessionAlreadyExists) && w.User.Email != "" {
			return nil // a full account is refused
		}
		return err
	}},

	{Name: "Users.At", Free: true, Quiet: true, Do: func(w *World) error { w.Users().At(kit.Client); return nil }},
	{Name: "Users.Guest", Free: true, Quiet: true, Do: func(w *World) error { w.Users().Guest(kit.Client); return nil }},
	{Name: "Users.Create", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().Create(w.Ctx, latchkey.NewUser{Email: "new@example.org", Phone: kit.Phone, Password: kit.Password}))
	}},

	{Name: "Users.CreateArgon2User", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreateArgon2User(w.Ctx, hashed("$argon2i$v=19$m=20,t=3,p=2$YXBwd3JpdGU$A/54i238ed09ZR4NwlACU5XnkjNBZU9QeOEuhjLiexI")))
	}},
	{Name: "Users.CreateBcryptUser", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreateBcryptUser(w.Ctx, hashed("$2a$05$IjrtSz6SN7UJ6Sh3l.b5jODEvEG2LMJTPAHIaLWRvlWx7if3VMkFO")))
	}},
	{Name: "Users.CreateMD5User", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreateMD5User(w.Ctx, hashed("144fa7eaa4904e8ee120651997f70dcc")))
	}},
	{Name: "Users.CreatePHPassUser", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreatePHPassUser(w.Ctx, hashed("$P$Br387rwferoKN7uwHZqNMu98q3U8RO.")))
	}},
	{Name: "Users.CreateSHAUser", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreateSHAUser(w.Ctx, hashed("31c315b0262695ce861bc17c63d2362684d5724c"), "sha1"))
	}},
	{Name: "Users.CreateScryptUser", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreateScryptUser(w.Ctx, hashed(scryptHash), foreign.ScryptOptions{Salt: "appwrite"}))
	}},
	{Name: "Users.CreateScryptModifiedUser", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreateScryptModifiedUser(w.Ctx, hashed(signerKey), foreign.ScryptModifiedOptions{Salt: "UxLMreBr6tYyjQ==", Separator: "Bw==", SignerKey: signerKey, MemoryCost: 4}))
	}},
	{Name: "Engine.Import", Free: true, Do: func(w *World) error {
		one := func(yield func(latchkey.Portable, error) bool) {
			yield(latchkey.Portable{User: &latchkey.PortableUser{
				Email: "new@example.org", Phone: kit.Phone, Password: hidden.New("$md5$144fa7eaa4904e8ee120651997f70dcc"),
				Authenticator: &latchkey.PortableAuthenticator{Seed: hidden.New("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")},
				Identities:    []latchkey.PortableIdentity{{Provider: "acme", Issuer: "https://acme.example.com", Subject: "imported"}},
			}}, nil)
		}
		var refused error
		done, err := w.Import(w.Ctx, one, latchkey.ImportOptions{OnResult: func(r latchkey.ImportResult) { refused = r.Err }})
		if err == nil && done.Created != 1 {
			err = refused
		}
		return err
	}},
	{Name: "Engine.Export", Free: true, Quiet: true, Many: true, Do: func(w *World) error {
		return w.Export(w.Ctx, latchkey.ExportOptions{Secrets: true}, func(latchkey.Portable) error { return nil })
	}},
	{Name: "Engine.Throttled", Free: true, Quiet: true, Do: func(w *World) error {
		return w.Throttled(w.Ctx, func(latchkey.Throttled) error { return nil })
	}},
	{Name: "Users.Throttled", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Throttled(w.Ctx, w.User.ID)) }},

	{Name: "Account.Teams", Free: true, Quiet: true, Do: func(w *World) error { w.Account.Teams(); return nil }},
	{Name: "Engine.Teams", Free: true, Quiet: true, Do: func(w *World) error { w.Engine.Teams(); return nil }},
	{Name: "Teams.At", Free: true, Quiet: true, Do: func(w *World) error { w.Engine.Teams().At(latchkey.Client{}); return nil }},
	{Name: "Users.Memberships", Free: true, Quiet: true, Teams: true, Do: func(w *World) error { return kit.Err(w.Users().Memberships(w.Ctx, w.User.ID)) }},
	{Name: "Teams.Create", Free: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().Create(w.Ctx, latchkey.NewTeam{Name: "Pupils"}))
	}},
	{Name: "Teams.Create by a user", Do: func(w *World) error {
		return kit.Err(w.Account.Teams().Create(w.Ctx, latchkey.NewTeam{Name: "Pupils"}))
	}},
	{Name: "Teams.Get", Free: true, Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().Get(w.Ctx, w.Team))
	}},
	{Name: "Teams.Get by a user", Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Account.Teams().Get(w.Ctx, w.Team))
	}},
	{Name: "Teams.List", Free: true, Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().List(w.Ctx))
	}},
	{Name: "Teams.List by a user", Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Account.Teams().List(w.Ctx))
	}},
	{Name: "Teams.UpdateName", Free: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().UpdateName(w.Ctx, w.Team, "Pupils"))
	}},
	{Name: "Teams.UpdateName by a user", Teams: true, Do: func(w *World) error {
		return kit.Err(w.Account.Teams().UpdateName(w.Ctx, w.Team, "Pupils"))
	}},
	{Name: "Teams.Prefs", Free: true, Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().Prefs(w.Ctx, w.Team))
	}},
	{Name: "Teams.Prefs by a user", Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Account.Teams().Prefs(w.Ctx, w.Team))
	}},
	{Name: "Teams.Logs", Free: true, Quiet: true, Teams: true, Do: func(w *World) error { return kit.Err(w.Engine.Teams().Logs(w.Ctx, w.Team)) }},
	{Name: "Teams.Logs by a user", Quiet: true, Teams: true, Do: func(w *World) error { return kit.Err(w.Account.Teams().Logs(w.Ctx, w.Team)) }},
	{Name: "Teams.UpdatePrefs", Free: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().UpdatePrefs(w.Ctx, w.Team, json.RawMessage(`{"theme":"dark"}`)))
	}},
	{Name: "Teams.UpdatePrefs by a user", Teams: true, Do: func(w *World) error {
		return kit.Err(w.Account.Teams().UpdatePrefs(w.Ctx, w.Team, json.RawMessage(`{"theme":"dark"}`)))
	}},
	{Name: "Teams.Delete", Free: true, Teams: true, Do: func(w *World) error {
		return w.Engine.Teams().Delete(w.Ctx, w.Team)
	}},
	{Name: "Teams.Delete by a user", Teams: true, Do: func(w *World) error {
		return w.Account.Teams().Delete(w.Ctx, w.Team)
	}},
	{Name: "Teams.CreateMembership", Free: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().CreateMembership(w.Ctx, w.Team, latchkey.NewMembership{Email: "new@example.org"}))
	}},
	{Name: "Teams.CreateMembership by a user", Teams: true, Do: func(w *World) error {
		return kit.Err(w.Account.Teams().CreateMembership(w.Ctx, w.Team, latchkey.NewMembership{Email: "new@example.org", URL: kit.JoinURL}))
	}},
	{Name: "Guest.AcceptInvitation", Free: true, Invites: true, Do: func(w *World) error { return kit.Err(w.Visitor.AcceptInvitation(w.Ctx, w.Invitation)) }},
	{Name: "Account.AcceptInvitation", Invites: true, Anonymous: latchkey.ErrTeamInviteMismatch, Do: func(w *World) error {
		return kit.Err(w.Account.AcceptInvitation(w.Ctx, w.Invitation))
	}},
	{Name: "Guest.DeclineInvitation", Free: true, Invites: true, Do: func(w *World) error { return w.Visitor.DeclineInvitation(w.Ctx, w.Invitation) }},
	{Name: "Teams.Memberships", Free: true, Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().Memberships(w.Ctx, w.Team))
	}},
	{Name: "Teams.Memberships by a user", Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Account.Teams().Memberships(w.Ctx, w.Team))
	}},
	{Name: "Teams.GetMembership", Free: true, Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().GetMembership(w.Ctx, w.Team, w.Member))
	}},
	{Name: "Teams.GetMembership by a user", Quiet: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Account.Teams().GetMembership(w.Ctx, w.Team, w.Member))
	}},
	{Name: "Teams.UpdateMembership", Free: true, Teams: true, Do: func(w *World) error {
		return kit.Err(w.Engine.Teams().UpdateMembership(w.Ctx, w.Team, w.Member, []string{"owner"}))
	}},
	{Name: "Teams.UpdateMembership by a user", Teams: true, Do: func(w *World) error {
		return kit.Err(w.Account.Teams().UpdateMembership(w.Ctx, w.Team, w.Member, []string{"owner"}))
	}},
	{Name: "Teams.DeleteMembership", Free: true, Teams: true, Do: func(w *World) error {
		return w.Engine.Teams().DeleteMembership(w.Ctx, w.Team, w.Member)
	}},
	{Name: "Teams.DeleteMembership by a user", Teams: true, Do: func(w *World) error {
		return w.Account.Teams().DeleteMembership(w.Ctx, w.Team, w.Member)
	}},

	{Name: "Users.Roles", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Roles(w.Ctx, w.User.ID)) }},
	{Name: "Users.Can", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Can(w.Ctx, permission.Read, permission.Set{})) }},
	{Name: "Users.GetMFAChallenge", Free: true, Quiet: true, Factors: "host", Do: func(w *World) error {
		return kit.Err(w.Host.GetMFAChallenge(w.Ctx, w.User.ID, w.Question))
	}},
	{Name: "Users.Get", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Get(w.Ctx, w.User.ID)) }},
	{Name: "Users.List", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().List(w.Ctx)) }},
	{Name: "Users.ExportTo", Free: true, Quiet: true, Do: func(w *World) error { return w.Users().ExportTo(w.Ctx, w.User.ID, io.Discard) }},
	{Name: "Users.GetByEmail", Free: true, Quiet: true, Anonymous: latchkey.ErrUserNotFound, Do: func(w *World) error {
		return kit.Err(w.Users().GetByEmail(w.Ctx, kit.Ada))
	}},
	{Name: "Users.GetByPhone", Free: true, Quiet: true, Proofs: true, Anonymous: latchkey.ErrUserNotFound, Do: func(w *World) error {
		return kit.Err(w.Users().GetByPhone(w.Ctx, kit.OwnPhone))
	}},
	{Name: "Users.PasswordHash", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().PasswordHash(w.Ctx, w.User.ID)) }},
	{Name: "Users.Delete", Free: true, Do: func(w *World) error { return w.Users().Delete(w.Ctx, w.User.ID) }},
	{Name: "Users.UpdateName", Free: true, Do: func(w *World) error { return kit.Err(w.Users().UpdateName(w.Ctx, w.User.ID, "Countess")) }},
	{Name: "Users.UpdateEmail", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().UpdateEmail(w.Ctx, w.User.ID, "countess@example.org"))
	}},
	{Name: "Users.UpdatePhone", Free: true, Do: func(w *World) error { return kit.Err(w.Users().UpdatePhone(w.Ctx, w.User.ID, kit.Phone)) }},
	{Name: "Users.UpdatePassword", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().UpdatePassword(w.Ctx, w.User.ID, "another horse"))
	}},
	{Name: "Users.UpdateStatus", Free: true, Do: func(w *World) error { return kit.Err(w.Users().UpdateStatus(w.Ctx, w.User.ID, false)) }},
	{Name: "Users.UpdateEmailVerification", Free: true, Anonymous: latchkey.ErrEmailNotFound, Do: func(w *World) error {
		return kit.Err(w.Users().UpdateEmailVerification(w.Ctx, w.User.ID, true))
	}},
	{Name: "Users.UpdatePhoneVerification", Free: true, Quiet: true, Do: func(w *World) error { // the number is unverified already
		return kit.Err(w.Users().UpdatePhoneVerification(w.Ctx, w.User.ID, false))
	}},
	{Name: "Users.UpdateLabels", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().UpdateLabels(w.Ctx, w.User.ID, []string{"vip"}))
	}},
	{Name: "Users.UpdateImpersonator", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().UpdateImpersonator(w.Ctx, w.User.ID, true))
	}},
	{Name: "Users.CreateTarget", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreateTarget(w.Ctx, w.User.ID, latchkey.NewTarget{ProviderType: latchkey.TargetPush, Identifier: "another device"}))
	}},
	{Name: "Users.GetTarget", Free: true, Quiet: true, Pushes: true, Do: func(w *World) error {
		return kit.Err(w.Users().GetTarget(w.Ctx, w.User.ID, w.Push))
	}},
	{Name: "Users.Targets", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Targets(w.Ctx, w.User.ID)) }},
	{Name: "Users.UpdateTarget", Free: true, Pushes: true, Do: func(w *World) error {
		return kit.Err(w.Users().UpdateTarget(w.Ctx, w.User.ID, w.Push, latchkey.TargetUpdate{Identifier: "the same device"}))
	}},
	{Name: "Users.DeleteTarget", Free: true, Pushes: true, Do: func(w *World) error { return w.Users().DeleteTarget(w.Ctx, w.User.ID, w.Push) }},
	{Name: "Users.Prefs", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Prefs(w.Ctx, w.User.ID)) }},
	{Name: "Users.UpdatePrefs", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().UpdatePrefs(w.Ctx, w.User.ID, []byte(`{"b":2}`)))
	}},
	{Name: "Users.Sessions", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Sessions(w.Ctx, w.User.ID)) }},
	{Name: "Users.CreateSession", Free: true, Do: func(w *World) error { return kit.Err(w.Users().CreateSession(w.Ctx, w.User.ID)) }},
	{Name: "Users.CreateToken", Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreateToken(w.Ctx, w.User.ID, 32, time.Hour))
	}},
	{Name: "Users.UpdateMFA", Free: true, Do: func(w *World) error { return kit.Err(w.Users().UpdateMFA(w.Ctx, w.User.ID, true)) }},
	{Name: "Users.MFAFactors", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().MFAFactors(w.Ctx, w.User.ID)) }},
	{Name: "Users.DeleteMFAAuthenticator", Free: true, Factors: "begun", Do: func(w *World) error {
		return w.Users().DeleteMFAAuthenticator(w.Ctx, w.User.ID)
	}},
	{Name: "Users.MFARecoveryCodes", Free: true, Factors: "fresh", Quiet: true, Do: func(w *World) error {
		return kit.Err(w.Users().MFARecoveryCodes(w.Ctx, w.User.ID))
	}},
	{Name: "Users.CreateMFARecoveryCodes", Bare: true, Free: true, Do: func(w *World) error {
		return kit.Err(w.Users().CreateMFARecoveryCodes(w.Ctx, w.User.ID))
	}},
	{Name: "Users.RegenerateMFARecoveryCodes", Free: true, Factors: "fresh", Do: func(w *World) error {
		return kit.Err(w.Users().RegenerateMFARecoveryCodes(w.Ctx, w.User.ID))
	}},
	{Name: "Users.CreateJWT", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().CreateJWT(w.Ctx, w.User.ID, "", 0)) }},
	{Name: "Users.DeleteSession", Free: true, Do: func(w *World) error { return w.Users().DeleteSession(w.Ctx, w.User.ID, w.Other.ID) }},
	{Name: "Users.DeleteSessions", Free: true, Do: func(w *World) error { return w.Users().DeleteSessions(w.Ctx, w.User.ID) }},
	{Name: "Users.Logs", Free: true, Quiet: true, Do: func(w *World) error { return kit.Err(w.Users().Logs(w.Ctx, w.User.ID)) }},

	{Name: "Engine.Guest", Free: true, Quiet: true, Do: func(w *World) error { w.Guest(kit.Client); return nil }},
	{Name: "Engine.Users", Free: true, Quiet: true, Do: func(w *World) error { w.Users(); return nil }},
	{Name: "Engine.KeySet", Free: true, Quiet: true, Do: func(w *World) error { w.KeySet(); return nil }},
	{Name: "Engine.Format", Free: true, Quiet: true, Do: func(w *World) error { _ = fmt.Sprint(w.Engine); return nil }},
	{Name: "Engine.Sweep", Free: true, Quiet: true, Many: true, Do: func(w *World) error { return kit.Err(w.Sweep(w.Ctx)) }},
	{Name: "Engine.Reseal", Free: true, Quiet: true, Many: true, Do: func(w *World) error { return kit.Err(w.Reseal(w.Ctx)) }},
	{Name: "Engine.EndAll", Free: true, Do: func(w *World) error { return w.EndAll(w.Ctx) }},
	{Name: "Engine.Undelivered", Free: true, Quiet: true, Queued: true, Do: func(w *World) error { return kit.Err(w.Engine.Undelivered(w.Ctx)) }},
	{Name: "Engine.Requeue", Free: true, Quiet: true, Queued: true, Do: func(w *World) error { return w.Requeue(w.Ctx, w.GivenUp) }},
	{Name: "Engine.Discard", Free: true, Quiet: true, Queued: true, Do: func(w *World) error { return w.Discard(w.Ctx, w.GivenUp) }},
	{Name: "Engine.Deliveries", Free: true, Quiet: true, Do: func(w *World) error { w.Deliveries(); return nil }},
	{Name: "Engine.CloseContext", Free: true, Quiet: true, Do: func(*World) error { return nil }},
	{Name: "Engine.Close", Free: true, Quiet: true, Do: func(*World) error { return nil }}, // each kit ends with Close
}

// OnEvery runs test for each operation of the table, each on a share of the stores
// (see [kit.OnAShare]).
func OnEvery(t *testing.T, test func(k *kit.Kit, op Operation)) {
	for _, op := range Table {
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			kit.OnAShare(t, kit.Documented, func(k *kit.Kit) { test(k, op) })
		})
	}
}
