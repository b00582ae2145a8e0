package latchkey

import (
	"context"
	"crypto/subtle"
	"time"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// MFARecoveryCodes are codes of which each serves once in the place of a second
// factor.
type MFARecoveryCodes struct {
	// Codes are those that have not been used; nil for codes that are not shown
	// again (Policy.StrongRecoveryCodes).
	Codes []Secret
	Left  int
}

func recoveryParts(userID, code string) []string { return []string{"recovery/v1", userID, code} }

// recoveryCodesOf returns the codes of a user that have not been used.
func recoveryCodesOf(ctx context.Context, r store.Reader, userID string) ([]*record.RecoveryCode, error) {
	return record.RecoveryCodes.List(ctx, r, store.Query{
		Index: record.RecoveryCodes.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit,
	})
}

// claimRecoveryCode uses a code up.
func (tx *txn) claimRecoveryCode(ctx context.Context, user *record.User, code string) (bool, error) {
	rows, err := recoveryCodesOf(ctx, tx, user.ID)
	if err != nil {
		return false, err
	}
	parts := recoveryParts(user.ID, codes.PlainRecovery(code))
	var match *record.RecoveryCode
	for _, row := range rows { // all of them, whichever matches
		if tx.engine.isRecoveryCode(row, parts) {
			match = row
		}
	}
	if match == nil {
		return false, nil
	}
	return true, record.RecoveryCodes.Delete(ctx, tx, store.Text(match.ID))
}

// isRecoveryCode compares: a code that is too long to be guessed by its digest, a
// short one by the digest under a key that is not in the store.
func (e *Engine) isRecoveryCode(row *record.RecoveryCode, parts []string) bool {
	if row.Sealed == nil {
		return subtle.ConstantTimeCompare(row.Digest, seal.PlainDigest(parts...)) == 1
	}
	return e.ring.IsCode(row.Digest, parts...)
}

// setRecoveryCodes gives a user new codes, and takes the old ones away.
func (tx *txn) setRecoveryCodes(ctx context.Context, user *record.User) (*MFARecoveryCodes, error) {
	drawn := codes.Recovery(tx.engine.policy.StrongRecoveryCodes)
	if _, err := tx.DeleteRange(ctx, store.Query{
		Index: record.RecoveryCodes.Index("user"), Equal: []store.Value{store.Text(user.ID)}, Limit: store.MaxLimit,
	}); err != nil {
		return nil, err
	}
	if err := tx.forgetGuesses(ctx, user, FactorRecoveryCode); err != nil {
		return nil, err
	}
	shown := &MFARecoveryCodes{Left: len(drawn)}
	for _, code := range drawn {
		row := &record.RecoveryCode{ID: newID(), UserID: user.ID, Created: tx.now}
		parts := recoveryParts(user.ID, codes.PlainRecovery(code))
		if codes.IsShortRecovery(code) {
			row.Digest = tx.engine.ring.DigestCode(parts...)
			row.Sealed = tx.engine.ring.Seal(seal.RecoveryCode, seal.RecoveryCodePlace(row.ID, user.ID), []byte(code))
		} else {
			row.Digest = seal.PlainDigest(parts...)
		}
		if err := record.RecoveryCodes.Insert(ctx, tx, row); err != nil {
			return nil, err
		}
		shown.Codes = append(shown.Codes, Secret(code))
	}
	tx.noticeTo(notify.FactorsChanged, user)
	return shown, tx.tellMFA(ctx, user)
}

// showRecoveryCodes returns the codes that are left.
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
			return nil, err
		}
		shown.Codes = append(shown.Codes, Secret(code))
	}
	return shown, nil
}

// firstRecoveryCodes and againRecoveryCodes give a user codes who has none, and
// replace those of one who has.
func (tx *txn) firstRecoveryCodes(ctx context.Context, user *record.User) (*MFARecoveryCodes, error) {
	have, err := recoveryCodesOf(ctx, tx, user.ID)
	if err != nil {
		return nil, err
	}
	if len(have) > 0 {
		return nil, ErrRecoveryCodesAlreadyExist
	}
	return tx.setRecoveryCodes(ctx, user)
}

func (tx *txn) againRecoveryCodes(ctx context.Context, user *record.User) (*MFARecoveryCodes, error) {
	have, err := recoveryCodesOf(ctx, tx, user.ID)
	if err != nil {
		return nil, err
	}
	if len(have) == 0 {
		return nil, ErrRecoveryCodesNotFound
	}
	return tx.setRecoveryCodes(ctx, user)
}

// CreateMFARecoveryCodes makes recovery codes for a user who has none left: six of
// ten hexadecimal digits, or ten of 24 signs under Policy.StrongRecoveryCodes. The
// user is told.
//
// Errors: [ErrRecoveryCodesAlreadyExist]; [ErrChallengeRequired] for a session that
// has neither signed in nor answered a challenge within the window of the policy;
// [ErrSessionNotFound] for a JWT.
func (a *Account) CreateMFARecoveryCodes(ctx context.Context) (*MFARecoveryCodes, error) {
	return a.recoveryCodes(ctx, "create recovery codes", recently, (*txn).firstRecoveryCodes)
}

// UpdateMFARecoveryCodes replaces all recovery codes. The user is told.
//
// Errors: [ErrChallengeRequired] as of DeleteMFAAuthenticator;
// [ErrRecoveryCodesNotFound]; [ErrSessionNotFound] for a JWT.
func (a *Account) UpdateMFARecoveryCodes(ctx context.Context) (*MFARecoveryCodes, error) {
	return a.recoveryCodes(ctx, "update recovery codes", challenged, (*txn).againRecoveryCodes)
}

func (a *Account) recoveryCodes(ctx context.Context, op string, need stepUp, set func(*txn, context.Context, *record.User) (*MFARecoveryCodes, error)) (codes *MFARecoveryCodes, err error) {
	err = a.secured(ctx, op, need, func(ctx context.Context, tx *txn, user *record.User, _ *record.Session) error {
		codes, err = set(tx, ctx, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// MFARecoveryCodes shows the recovery codes that have not been used, unless they
// are of a kind that is shown once. How many are left is in [Account.MFAFactors]
// too, without a challenge.
//
// Errors: those of [Account.UpdateMFARecoveryCodes].
func (a *Account) MFARecoveryCodes(ctx context.Context) (codes *MFARecoveryCodes, err error) {
	err = a.read(ctx, "get recovery codes", func(r store.Reader, now time.Time) error {
		s, err := a.own(ctx, r, now, Current)
		if err != nil {
			return err
		}
		if err := a.engine.fresh(s.Created, s.Challenged, now, challenged, a.engine.policy.StepUpWindow); err != nil {
			return err
		}
		user, err := a.user(ctx, r)
		if err != nil {
			return err
		}
		if !strongest(user, s) {
			return ErrChallengeRequired
		}
		codes, err = a.engine.showRecoveryCodes(ctx, r, a.session.UserID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}
