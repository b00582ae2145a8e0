package latchkey

import (
	"context"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// UpdateMFA switches multi-factor authentication of a user on or off, like
// [Account.UpdateMFA]. Then all their sessions must prove what they owe. Recovery codes that
// the user has made are void when it is switched on.
func (u *Users) UpdateMFA(ctx context.Context, id string, on bool) (_ *User, err error) {
	defer u.home().operation(&ctx, "update MFA").end(&err)
	return u.edit(ctx, id, nil, func(user *record.User) error {
		user.MFA, user.MFADemanded = on, on
		return nil
	})
}

// MFAFactors returns the factors of a user.
func (u *Users) MFAFactors(ctx context.Context, id string) (_ MFAFactors, err error) {
	defer u.home().operation(&ctx, "list factors").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (MFAFactors, error) { return c.showFactors(ctx, c.store, user) })
}

// DeleteMFAAuthenticator removes the authenticator of a user who has lost it. The
// host must make sure that the user asks. The user gets a notice.
//
// Errors:
//   - [ErrAuthenticatorNotFound]
func (u *Users) DeleteMFAAuthenticator(ctx context.Context, id string) (err error) {
	defer u.home().operation(&ctx, "delete authenticator").end(&err)
	return u.change(ctx, id, func(ctx context.Context, tx *txn, user *record.User) error {
		return tx.deleteAuthenticator(ctx, user, "")
	})
}

// MFARecoveryCodes shows the recovery codes of a user, like
// [Account.MFARecoveryCodes].
//
// Errors:
//   - [ErrRecoveryCodesNotFound]
func (u *Users) MFARecoveryCodes(ctx context.Context, id string) (_ *MFARecoveryCodes, err error) {
	defer u.home().operation(&ctx, "get recovery codes").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (*MFARecoveryCodes, error) {
		return c.showRecoveryCodes(ctx, c.store, user.ID)
	})
}

// CreateMFARecoveryCodes makes recovery codes for a user without any.
//
// Errors:
//   - [ErrRecoveryCodesAlreadyExist]
func (u *Users) CreateMFARecoveryCodes(ctx context.Context, id string) (_ *MFARecoveryCodes, err error) {
	defer u.home().operation(&ctx, "create recovery codes").end(&err)
	return u.setRecoveryCodes(ctx, id, false)
}

// RegenerateMFARecoveryCodes replaces the recovery codes of a user.
//
// Errors:
//   - [ErrRecoveryCodesNotFound]
func (u *Users) RegenerateMFARecoveryCodes(ctx context.Context, id string) (_ *MFARecoveryCodes, err error) {
	defer u.home().operation(&ctx, "update recovery codes").end(&err)
	return u.setRecoveryCodes(ctx, id, true)
}

// setRecoveryCodes gives a user recovery codes.
func (u *Users) setRecoveryCodes(ctx context.Context, id string, replace bool) (*MFARecoveryCodes, error) {
	c, err := u.beginFor(id)
	if err != nil {
		return nil, err
	}
	return usersChange(ctx, c, id, func(ctx context.Context, tx *txn, user *record.User) (*MFARecoveryCodes, error) {
		return tx.setRecoveryCodes(ctx, user, replace)
	})
}

// GetMFAChallenge returns a live challenge of a user for [FactorCustom] with its code, which
// the host brings to the user. The code is "" if the host makes the codes itself
// (Config.CustomFactor).
//
// Errors:
//   - [ErrInvalidToken]: the challenge is unknown, belongs to another user, is for another
//     factor, was used, or has expired.
func (u *Users) GetMFAChallenge(ctx context.Context, id, challengeID string) (_ *MFAChallenge, err error) {
	defer u.home().operation(&ctx, "get challenge").end(&err)
	if err := canon.ID(challengeID); err != nil {
		return nil, invalid("challengeId", err)
	}
	return usersRead(ctx, u, id, func(c *call, user *record.User) (*MFAChallenge, error) {
		row, err := record.Challenges.Find(ctx, c.store, record.Challenges.Primary(), store.Text(challengeID))
		if err != nil {
			return nil, err
		}
		if row == nil || row.UserID != user.ID || Factor(row.Factor) != FactorCustom || !c.live(row.Created, row.Expire) {
			return nil, ErrInvalidToken
		}
		challenge := showChallenge(row)
		challenge.Code, err = c.challengeCode(ctx, row)
		if err != nil {
			return nil, err
		}
		return challenge, nil
	})
}
