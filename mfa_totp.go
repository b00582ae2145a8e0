package latchkey

import (
	"context"
	"crypto/rand"
	"errors"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// NewMFAAuthenticator says what codes an authenticator makes. The zero one is what
// every app knows: SHA-1, six digits, a seed of 160 bits.
type NewMFAAuthenticator struct {
	Type      Factor // FactorTOTP, or "" for it
	Algorithm string // SHA1, or SHA256 with a seed of 256 bits; "" means SHA1
	Digits    int    // 6 or 8; 0 means 6
}

// MFAAuthenticator is what an app has to know to make codes. It is shown once.
type MFAAuthenticator struct {
	Secret Secret // in base32
	URI    Secret // otpauth://totp/..., with the secret in it
}

// CreateMFAAuthenticator begins to enrol an authenticator app: it returns the seed,
// which the app scans. It counts for nothing until [Account.UpdateMFAAuthenticator]
// has seen a code of it; until then another call replaces it.
//
// Errors: [ErrArgumentInvalid]; [ErrAuthMethodUnsupported];
// [ErrAuthenticatorAlreadyVerified]; [ErrChallengeRequired] for a session that has
// neither signed in nor answered a challenge within the window of the policy;
// [ErrSessionNotFound] for a JWT.
func (a *Account) CreateMFAAuthenticator(ctx context.Context, n NewMFAAuthenticator) (*MFAAuthenticator, error) {
	if n.Algorithm == "" {
		n.Algorithm = "SHA1"
	}
	n.Digits = orDefault(n.Digits, 6)
	seed := make([]byte, 20)
	if n.Algorithm == "SHA256" {
		seed = make([]byte, 32)
	}
	_, _ = rand.Read(seed) // never fails
	id := newID()
	var made *MFAAuthenticator
	err := a.secured(ctx, "create authenticator", recently, func(ctx context.Context, tx *txn, user *record.User, _ *record.Session) error {
		e := tx.engine
		if err := n.check(e); err != nil {
			return err
		}
		old, err := authenticatorOf(ctx, tx, user.ID)
		switch {
		case err != nil:
			return err
		case old != nil && old.Verified:
			return ErrAuthenticatorAlreadyVerified
		case old != nil:
			if err := record.Authenticators.Delete(ctx, tx, store.Text(old.ID)); err != nil {
				return err
			}
		}
		row := &record.Authenticator{
			ID: id, UserID: user.ID, Kind: string(FactorTOTP), Algorithm: n.Algorithm, Digits: int64(n.Digits), Created: tx.now, Updated: tx.now,
			Seed: e.ring.Seal(seal.TOTP, seal.SeedPlace(id, user.ID), seed),
		}
		if err := record.Authenticators.Insert(ctx, tx, row); err != nil {
			return err
		}
		app := totpOf(row, seed)
		made = &MFAAuthenticator{Secret: Secret(app.Text()), URI: Secret(app.URI(e.app, labelOf(user)))}
		return tx.tellMFA(ctx, user)
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

func (n NewMFAAuthenticator) check(e *Engine) error {
	switch {
	case n.Type != "" && n.Type != FactorTOTP:
		return invalid("type", errors.New("not totp"))
	case n.Algorithm != "SHA1" && n.Algorithm != "SHA256":
		return invalid("algorithm", errors.New("not SHA1 or SHA256"))
	case n.Digits != 6 && n.Digits != 8:
		return invalid("digits", errors.New("not 6 or 8"))
	}
	return e.checkFactor(FactorTOTP)
}

// labelOf is what an app calls the account of a user.
func labelOf(user *record.User) string {
	for _, name := range []string{user.Email, user.Phone, user.Name} {
		if name != "" {
			return name
		}
	}
	return user.ID
}

// totpOf returns an authenticator with its seed, for making and comparing codes.
func totpOf(row *record.Authenticator, seed []byte) codes.TOTP {
	return codes.TOTP{Seed: seed, Algorithm: row.Algorithm, Digits: int(row.Digits)}
}

// authenticatorOf returns the authenticator of a user, nil for none.
func authenticatorOf(ctx context.Context, r store.Reader, userID string) (*record.Authenticator, error) {
	a, err := record.Authenticators.Get(ctx, r, record.Authenticators.Index("user"), store.Text(userID), store.Text(string(FactorTOTP)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return a, err
}

// UpdateMFAAuthenticator confirms the authenticator that is being enrolled, by a
// code of it: from then on it is a factor of the user, and this session has proven
// it. The user is told. Wrong codes are counted and slowed with those of
// challenges.
//
// Errors: [ErrAuthenticatorNotFound]; [ErrAuthenticatorAlreadyVerified];
// [ErrInvalidToken] for a wrong code; [ErrChallengeRequired] as of
// CreateMFAAuthenticator; [ErrSessionNotFound] for a JWT; a [*ThrottledError].
func (a *Account) UpdateMFAAuthenticator(ctx context.Context, otp string) (shown *User, err error) {
	var refused error
	err = a.secured(ctx, "update authenticator", recently, func(ctx context.Context, tx *txn, user *record.User, s *record.Session) error {
		shown, refused = nil, nil
		if err := tx.engine.checkFactor(FactorTOTP); err != nil {
			return err
		}
		row, err := authenticatorOf(ctx, tx, user.ID)
		switch {
		case err != nil:
			return err
		case row == nil:
			return ErrAuthenticatorNotFound
		case row.Verified:
			return ErrAuthenticatorAlreadyVerified
		}
		guard, err := tx.engine.guard(ctx, tx, tx.now, failFactor+string(FactorTOTP), user.Key, user, a.client)
		if err != nil {
			return err
		}
		if _, err := guard.wait(ctx, tx, tx.now); err != nil {
			return err
		}
		right, err := tx.claimTOTP(ctx, user, otp, false)
		if err != nil {
			return err
		}
		if !right {
			refused = ErrInvalidToken
			if err := guard.fail(ctx, tx); err != nil {
				return err
			}
			return tx.refuse(ctx, logChallengeRefuse, user, guard.subject, ErrInvalidToken)
		}
		if err := guard.pass(ctx, tx); err != nil {
			return err
		}
		addFactor(s, string(FactorTOTP))
		if err := record.Sessions.Replace(ctx, tx, s); err != nil {
			return err
		}
		shown, err = tx.changeUser(ctx, user, func(u *record.User) error { u.TOTP = true; return nil })
		return err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// claimTOTP compares a code with those of the steps before, now and after, and
// claims the step that it is of: each is accepted once, and none before one that
// was. A code that has not the number of digits is an error that counts nothing.
func (tx *txn) claimTOTP(ctx context.Context, user *record.User, code string, confirmed bool) (bool, error) {
	row, err := authenticatorOf(ctx, tx, user.ID)
	if err != nil {
		return false, err
	}
	if row == nil || row.Verified != confirmed {
		return false, ErrInvalidToken
	}
	if !totpOf(row, nil).IsCode(code) {
		return false, ErrInvalidToken
	}
	seed, err := tx.engine.ring.Open(seal.TOTP, seal.SeedPlace(row.ID, row.UserID), row.Seed)
	if err != nil {
		return false, err
	}
	matched := totpOf(row, seed).Match(code, tx.now)
	if matched <= row.Step {
		return false, nil
	}
	row.Step, row.Updated, row.Verified = matched, tx.now, true
	return true, record.Authenticators.Replace(ctx, tx, row)
}

// DeleteMFAAuthenticator takes the authenticator away, confirmed or not. The MFA
// switch stays as it is. The user is told.
//
// Errors: [ErrChallengeRequired] for a session that has not answered a challenge
// within the window of the policy, or not proven the authenticator, if it is
// confirmed, or a recovery code; [ErrAuthenticatorNotFound]; [ErrSessionNotFound] for
// a JWT.
func (a *Account) DeleteMFAAuthenticator(ctx context.Context) error {
	return a.secured(ctx, "delete authenticator", challenged, func(ctx context.Context, tx *txn, user *record.User, _ *record.Session) error {
		return tx.deleteAuthenticator(ctx, user, a.session.ID)
	})
}

// deleteAuthenticator takes an authenticator away, with what was guessed at it, and
// what other sessions have proven by it. kept is the session that does it, "" for
// none.
func (tx *txn) deleteAuthenticator(ctx context.Context, user *record.User, kept string) error {
	row, err := authenticatorOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	if row == nil {
		return ErrAuthenticatorNotFound
	}
	if err := record.Authenticators.Delete(ctx, tx, store.Text(row.ID)); err != nil {
		return err
	}
	if err := tx.forgetGuesses(ctx, user, FactorTOTP); err != nil {
		return err
	}
	isTOTP := func(_ *record.Session, f string) bool { return f == string(FactorTOTP) }
	if err := tx.dropFactors(ctx, user, kept, isTOTP); err != nil {
		return err
	}
	if user.TOTP {
		_, err = tx.changeUser(ctx, user, func(u *record.User) error { u.TOTP = false; return nil })
	} else {
		err = tx.log(ctx, logUserUpdate, user)
	}
	tx.event(user.ID, "delete.mfa", nil)
	return err
}
