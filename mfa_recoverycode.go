package latchkey

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// MFARecoveryCodes are codes each of which serves once in the place of a second factor.
type MFARecoveryCodes struct {
	// Codes are the unused ones; nil for codes that are shown only once
	// (Policy.Factors.StrongRecoveryCodes).
	Codes []Secret `json:"-"`
	Left  int      `json:"left"` // the number of unused ones
}

// recoveryParts are the parts of the digest of a recovery code.
func recoveryParts(userID, code string) []string { return []string{"recovery/v1", userID, code} }

// recoveryCodesOf returns the unused codes of a user.
func recoveryCodesOf(ctx context.Context, r store.Reader, userID string) ([]*record.RecoveryCode, error) {
	return record.RecoveryCodes.List(ctx, r, record.ListRecoveryCodes(userID))
}

// claimRecoveryCode uses a code up.
func (tx *txn) claimRecoveryCode(ctx context.Context, user *record.User, code string) (bool, error) {
	rows, err := recoveryCodesOf(ctx, tx, user.ID)
	if err != nil {
		return false, err
	}
	parts := recoveryParts(user.ID, codes.PlainRecovery(code))
	var match *record.RecoveryCode
	var unknown error
	for _, row := range rows { // all of them, whichever matches
		right, err := compare(ctx, func() (bool, error) { return tx.isRecoveryCode(row, parts) })
		if right {
			match = row
		}
		unknown = cmp.Or(unknown, err)
	}
	if match == nil && unknown != nil {
		return false, tx.keyFault(unknown)
	}
	if match == nil {
		return false, nil
	}
	return true, record.RecoveryCodes.Delete(ctx, tx, store.Text(match.ID))
}

// isRecoveryCode compares a code with a row: a short one by its digest under a key that
// is not in the store, one that is too long to be guessed by its plain digest. Its error
// says that the engine lacks the key and cannot tell.
func (e *Engine) isRecoveryCode(row *record.RecoveryCode, parts []string) (bool, error) {
	if row.Sealed == nil {
		return subtle.ConstantTimeCompare(row.Digest, seal.PlainDigest(parts...)) == 1, nil
	}
	return e.ring.IsCode(row.Digest, parts...)
}

// setRecoveryCodes gives a user new codes. With replace it takes the place of the ones
// that the user must have; without it, the user must not have any.
func (tx *txn) setRecoveryCodes(ctx context.Context, user *record.User, replace bool) (*MFARecoveryCodes, error) {
	have, err := recoveryCodesOf(ctx, tx, user.ID)
	switch {
	case err != nil:
		return nil, err
	case !replace && len(have) > 0:
		return nil, ErrRecoveryCodesAlreadyExist
	case replace && len(have) == 0:
		return nil, ErrRecoveryCodesNotFound
	}
	if _, err := tx.DeleteRange(ctx, record.ListRecoveryCodes(user.ID)); err != nil {
		return nil, err
	}
	if err := tx.forgetFactorGuesses(ctx, user, FactorRecoveryCode); err != nil {
		return nil, err
	}
	drawn := codes.Recovery(tx.policy.Factors.StrongRecoveryCodes)
	shown := &MFARecoveryCodes{Left: len(drawn)}
	for _, code := range drawn {
		row := &record.RecoveryCode{ID: newID(), UserID: user.ID, Created: tx.now, Session: tx.session}
		parts := recoveryParts(user.ID, codes.PlainRecovery(code))
		if codes.IsShortRecovery(code) {
			row.Digest = tx.ring.DigestCode(parts...)
			row.Sealed = tx.ring.Seal(seal.RecoveryCode, seal.RecoveryCodePlace(row.ID, user.ID), []byte(code))
		} else {
			row.Digest = seal.PlainDigest(parts...)
		}
		if err := record.RecoveryCodes.Insert(ctx, tx, row); err != nil {
			return nil, err
		}
		shown.Codes = append(shown.Codes, hide(code))
	}
	if !user.RecoveryCodes {
		user.RecoveryCodes = true
		if err := tx.changeFacts(ctx, user); err != nil {
			return nil, err
		}
	}
	tx.noticeFactors(notify.RecoveryCodesMade, user)
	return shown, tx.logFactorsChanged(ctx, user)
}

// showRecoveryCodes returns the unused codes of a user.
func (e *Engine) showRecoveryCodes(ctx context.Context, r store.Reader, userID string) (*MFARecoveryCodes, error) {
	rows, err := recoveryCodesOf(ctx, r, userID)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, ErrRecoveryCodesNotFound
	}
	shown := &MFARecoveryCodes{Left: len(rows)}
	for _, row := range rows {
		if row.Sealed == nil {
			continue
		}
		code, err := e.ring.Open(seal.RecoveryCode, seal.RecoveryCodePlace(row.ID, row.UserID), row.Sealed)
		if err != nil {
			return nil, e.sealFault(ctx, sealedRecoveryCode, userID, err)
		}
		shown.Codes = append(shown.Codes, hide(string(code)))
	}
	return shown, nil
}

// CreateMFARecoveryCodes makes recovery codes for a user without any: six of ten
// hexadecimal digits, or ten of 24 base32 digits under Policy.Factors.StrongRecoveryCodes. The
// user gets a notice.
//
// Errors:
//   - [ErrRecoveryCodesAlreadyExist]
//   - [ErrChallengeRequired]: the session has neither signed in nor answered a challenge
//     within the window of the policy; or the user has an authenticator, and the session
//     has not answered a challenge by it, or confirmed it, within that window.
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) CreateMFARecoveryCodes(ctx context.Context) (_ *MFARecoveryCodes, err error) {
	defer a.home().operation(&ctx, "create recovery codes").end(&err)
	return a.setRecoveryCodes(ctx, freshUnlessOff, false)
}

// RegenerateMFARecoveryCodes replaces all recovery codes. The user gets a notice.
//
// Errors:
//   - [ErrChallengeRequired]: as of DeleteMFAAuthenticator.
//   - [ErrRecoveryCodesNotFound]
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) RegenerateMFARecoveryCodes(ctx context.Context) (_ *MFARecoveryCodes, err error) {
	defer a.home().operation(&ctx, "update recovery codes").end(&err)
	return a.setRecoveryCodes(ctx, freshChallenge, true)
}

// setRecoveryCodes gives the user recovery codes, if the session is fresh enough.
func (a *Account) setRecoveryCodes(ctx context.Context, need stepUp, replace bool) (*MFARecoveryCodes, error) {
	set := func(ctx context.Context, tx *txn, user *record.User, s *record.Session) (*MFARecoveryCodes, error) {
		if err := tx.requireStrongest(user, s, need); err != nil { // the codes stand in for the authenticator
			return nil, err
		}
		made, err := tx.setRecoveryCodes(ctx, user, replace)
		if err != nil {
			return nil, err
		}
		return made, a.keepFull(ctx, tx, string(FactorRecoveryCode))
	}
	return changeFreshOften(ctx, a, need, set)
}

// MFARecoveryCodes shows the unused recovery codes, unless they are of the kind that is
// shown only once. [Account.MFAFactors] has their number too, without a challenge.
//
// Errors: those of [Account.RegenerateMFARecoveryCodes].
func (a *Account) MFARecoveryCodes(ctx context.Context) (_ *MFARecoveryCodes, err error) {
	defer a.home().operation(&ctx, "get recovery codes").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	// The session is checked after the codes are read: they may be others than a moment before.
	shown, err := c.showRecoveryCodes(ctx, c.store, a.session.UserID)
	if err != nil && !errors.Is(err, ErrRecoveryCodesNotFound) {
		return nil, err
	}
	user, allowed := a.standing(ctx, c, c.store)
	if allowed != nil {
		return nil, allowed
	}
	s, allowed := a.ownSession(ctx, c, c.store, CurrentSession)
	if allowed == nil {
		allowed = c.requireFresh(checkOf(s), freshChallenge, c.policy.Factors.StepUpWindow)
	}
	if allowed == nil {
		allowed = c.requireStrongest(user, s, freshChallenge)
	}
	if err := cmp.Or(allowed, err); err != nil {
		return nil, err
	}
	return shown, nil
}
