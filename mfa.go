package latchkey

import (
	"context"
	"errors"
	"slices"
	"strings"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// MFAFactors are the factors that a user has.
type MFAFactors struct {
	TOTP         bool `json:"totp"`
	Email        bool `json:"email"`
	Phone        bool `json:"phone"`
	RecoveryCode bool `json:"recoveryCode"`
	Custom       bool `json:"custom"`
	Passkey      bool `json:"passkey"`
	// RecoveryCodesLeft is the number of unused recovery codes.
	RecoveryCodesLeft int `json:"recoveryCodesLeft"`
	// Helps are the factors of which a challenge helps the session that asks. For one that owes
	// a factor these are those that pay it: a factor that the session was made by counts once. For
	// one that owes none they are all that the user has, for a step-up. An account of
	// [Account.Impersonate], a JWT and the server's scope have no session, and so no factor helps.
	Helps FactorSet `json:"helps"`
	// Strong are those of Helps that also serve before a change of factors, such as [Account.DeletePasskey]: the authenticator, a
	// passkey and a recovery code, if the user has one of the first two, and otherwise all. It is empty for a session that owes a
	// factor.
	Strong FactorSet `json:"strong"`
	// PasswordHelps says that the user of a session that owes a factor would come in by signing in by
	// password instead, perhaps with a factor beside it, and ProviderHelps the same for a linked
	// provider. If no factor helps, the page says that.
	PasswordHelps bool `json:"passwordHelps"`
	ProviderHelps bool `json:"providerHelps"`
}

// FactorSet is a set of factors.
type FactorSet struct {
	TOTP         bool `json:"totp"`
	Email        bool `json:"email"`
	Phone        bool `json:"phone"`
	RecoveryCode bool `json:"recoveryCode"`
	Custom       bool `json:"custom"`
	Passkey      bool `json:"passkey"`
}

// has reports whether a factor is in the set.
func (s FactorSet) has(f Factor) bool {
	return f == FactorTOTP && s.TOTP || f == FactorEmail && s.Email || f == FactorPhone && s.Phone ||
		f == FactorRecoveryCode && s.RecoveryCode || f == FactorCustom && s.Custom || f == FactorPasskey && s.Passkey
}

// showFactors returns the factors of a user.
func (e *Engine) showFactors(ctx context.Context, r store.Reader, user *record.User) (MFAFactors, error) {
	left, err := recoveryCodesOf(ctx, r, user.ID)
	if err != nil {
		return MFAFactors{}, err
	}
	off := e.policy.Factors.off
	return MFAFactors{
		TOTP: user.TOTP && !off(FactorTOTP), Email: user.EmailVerified && !off(FactorEmail), Phone: user.PhoneVerified && !off(FactorPhone),
		RecoveryCode: len(left) > 0, RecoveryCodesLeft: len(left), Custom: e.hasCustom(), Passkey: user.Passkeys != "" && e.passkeys != nil,
	}, nil
}

// MFAFactors returns the factors of the user, and which of them help the session. A session that
// still owes one may ask too.
func (a *Account) MFAFactors(ctx context.Context) (_ MFAFactors, err error) {
	defer a.home().operation(&ctx, "list factors").end(&err)
	c, err := a.beginFor()
	if err != nil {
		return MFAFactors{}, err
	}
	return accountReadThen(ctx, c, a, (*Account).mayActOrOwe, func() (MFAFactors, error) {
		user, err := a.user(ctx, c.store)
		if err != nil {
			return MFAFactors{}, err
		}
		have, err := c.showFactors(ctx, c.store, user)
		if err != nil || a.sessionID() == "" {
			return have, err
		}
		s, err := a.ownSession(ctx, c, c.store, CurrentSession)
		if errors.Is(err, ErrSessionNotFound) {
			return MFAFactors{}, ErrUnauthorized
		}
		if err != nil {
			return MFAFactors{}, err
		}
		c.showHelp(&have, user, checkOf(s))
		return have, nil
	})
}

// showHelp adds which factors help a session of a user.
func (e *Engine) showHelp(have *MFAFactors, user *record.User, s *record.Check) {
	have.Helps = FactorSet{
		TOTP: have.TOTP, RecoveryCode: have.RecoveryCode, Custom: have.Custom, Passkey: have.Passkey,
		Email: have.Email && e.canSendTo(notify.Email, user.Email), Phone: have.Phone && e.canSendTo(notify.SMS, user.Phone),
	}
	if !e.owes(s) {
		have.Strong = have.Helps
		if e.hasStrong(user) {
			have.Strong.Email, have.Strong.Phone, have.Strong.Custom = false, false, false
		}
		return
	}
	can := have.Helps
	for f, has := range map[Factor]*bool{
		FactorTOTP: &have.Helps.TOTP, FactorEmail: &have.Helps.Email, FactorPhone: &have.Helps.Phone,
		FactorRecoveryCode: &have.Helps.RecoveryCode, FactorCustom: &have.Helps.Custom, FactorPasskey: &have.Helps.Passkey,
	} {
		*has = *has && e.pays(s, string(f))
	}
	canSignIn := e.policy.Disabled&MethodEmailPassword == 0
	have.PasswordHelps = canSignIn && hasWord(s.UserFactors, factorPassword) && !hasWord(s.Factors, factorPassword) && e.leadsOn(s, factorPassword, can)
	byProvider := factorOAuth2
	if e.policy.TrustProviderMFA {
		byProvider = trustedOAuth2
	}
	have.ProviderHelps = e.hasProvider(strings.Fields(s.UserFactors)) && !hasWord(s.Factors, factorOAuth2) && e.leadsOn(s, byProvider, can)
}

// leadsOn reports whether the user of a session would come in by another way: with nothing owed, or
// with a factor of theirs.
func (e *Engine) leadsOn(s *record.Check, proofs string, can FactorSet) bool {
	other := *s
	other.Factors = proofs
	return !e.owes(&other) || slices.ContainsFunc(allFactors, func(f Factor) bool { return can.has(f) && e.pays(&other, string(f)) })
}

// UpdateMFA switches multi-factor authentication on or off. While it is on, and the user has a
// factor that serves as a second one (a verified address or number, a confirmed authenticator),
// every session must prove two. When it is switched on, the proofs of other sessions beyond
// their first factor count no more: they are refused at once with a [*MoreFactorsError].
// Recovery codes that another session has made are void. The session that switches it on is
// assumed to have proven the user's factors, so that it is not locked out. The user gets a
// notice. Switching it off leaves the authenticator, which [Account.DeleteMFAAuthenticator]
// removes.
//
// Errors:
//   - [ErrChallengeRequired]: the session has neither signed in nor answered a challenge
//     within the window of the policy; or it switches MFA off, the user has an
//     authenticator, and the session has not answered a challenge by it, or by a recovery
//     code, within that window.
//   - [ErrMoreFactorsRequired]: the session would owe a factor at once, which no challenge
//     asks for: it was made by a link or a code or anonymously, and the other factor is the
//     password. The user gives it first ([Account.ConfirmPassword]).
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) UpdateMFA(ctx context.Context, on bool) (_ *User, err error) {
	defer a.home().operation(&ctx, "update MFA").end(&err)
	return changeFreshOften(ctx, a, freshUnlessOff, func(ctx context.Context, tx *txn, user *record.User, s *record.Session) (*User, error) {
		if user.MFA && !on {
			if err := tx.requireStrongest(user, s, freshUnlessOff); err != nil {
				return nil, err
			}
		}
		switchedOn := on && !user.MFA
		shown, err := tx.changeUser(ctx, user, func(u *record.User) error {
			u.MFA, u.MFADemanded = on, false
			return nil
		})
		if err != nil || !switchedOn {
			return shown, err
		}
		if s, err = a.ownSession(ctx, tx.call, tx, CurrentSession); err != nil {
			return nil, err
		}
		for _, f := range tx.secondFactors(strings.Fields(userFacts(user).factors)) {
			assume(s, f)
		}
		if tx.owes(checkOf(s)) { // the password, which no challenge asks for
			return nil, ErrMoreFactorsRequired
		}
		tx.noteOwing(s)
		return shown, record.Sessions.Replace(ctx, tx, s)
	})
}

// MFAFactors is [Account.MFAFactors].
func (p *Pending) MFAFactors(ctx context.Context) (MFAFactors, error) {
	return p.handle().MFAFactors(ctx)
}

// CreateMFAChallenge is [Account.CreateMFAChallenge].
func (p *Pending) CreateMFAChallenge(ctx context.Context, factor Factor) (*MFAChallenge, error) {
	return p.handle().CreateMFAChallenge(ctx, factor)
}

// ConfirmMFAChallenge is [Account.ConfirmMFAChallenge].
func (p *Pending) ConfirmMFAChallenge(ctx context.Context, challengeID, otp string) (*Session, error) {
	return p.handle().ConfirmMFAChallenge(ctx, challengeID, otp)
}

// DeleteSession signs out.
func (p *Pending) DeleteSession(ctx context.Context) (err error) {
	defer p.home().operation(&ctx, "delete session").end(&err)
	return p.handle().signOut(ctx)
}

// signOut ends the session of a handle that may do little else.
func (a *Account) signOut(ctx context.Context) error {
	c, err := a.begin()
	if err != nil {
		return err
	}
	_, err = accountUpdate(ctx, c, a, (*Account).standingOrOwing, func(ctx context.Context, tx *txn, user *record.User) (none, error) {
		row, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
		if err != nil {
			return none{}, err
		}
		return none{}, tx.endSession(ctx, user, row)
	})
	return err
}
