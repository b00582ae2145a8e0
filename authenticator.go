package latchkey

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"image/png"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// totpPeriod is how long a code of an authenticator is shown.
const totpPeriod = 30

// seedText is how a seed is written.
var seedText = base32.StdEncoding.WithPadding(base32.NoPadding)

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

// QR returns a picture of the URI, for an app to scan: a PNG of size by size
// pixels, 64 to 2,048.
func (m *MFAAuthenticator) QR(size int) ([]byte, error) {
	if size < 64 || size > 2048 {
		return nil, errors.New("latchkey: a QR code is 64 to 2,048 pixels wide")
	}
	key, err := otp.NewKeyFromURL(m.URI.Reveal())
	if err != nil {
		return nil, errors.New("latchkey: not the URI of an authenticator")
	}
	picture, err := key.Image(size, size)
	if err != nil {
		return nil, errors.New("latchkey: the URI does not fit into a QR code of that size")
	}
	var b bytes.Buffer
	err = png.Encode(&b, picture)
	return b.Bytes(), err
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
			Seed: e.ring.Seal(seal.TOTP, seedPlace(id, user.ID), seed),
		}
		if err := record.Authenticators.Insert(ctx, tx, row); err != nil {
			return err
		}
		text := seedText.EncodeToString(seed)
		made = &MFAAuthenticator{Secret: Secret(text), URI: Secret(otpauth(e.app, labelOf(user), text, n))}
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

// otpauth is what an app scans.
func otpauth(issuer, label, secret string, n NewMFAAuthenticator) string {
	q := "algorithm=" + n.Algorithm + fmt.Sprintf("&digits=%d", n.Digits) + "&issuer=" + escaped(issuer) + fmt.Sprintf("&period=%d", totpPeriod) + "&secret=" + secret
	return "otpauth://totp/" + escaped(issuer) + ":" + escaped(label) + "?" + q
}

// escaped leaves no sign that parts a URI; some apps do not know + for a space.
func escaped(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// labelOf is what an app calls the account of a user.
func labelOf(user *record.User) string {
	for _, name := range []string{user.Email, user.Phone, user.Name} {
		if name != "" {
			return name
		}
	}
	return user.ID
}

// seedPlace is where the seed of an authenticator is sealed.
func seedPlace(id, userID string) seal.Place {
	return seal.Place{Table: "authenticators", Column: "seed", Record: id, Owner: userID}
}

// tellMFA records a change of what a user keeps for a second factor.
func (tx *txn) tellMFA(ctx context.Context, user *record.User) error {
	shown, err := showUser(ctx, tx, user)
	if err != nil {
		return err
	}
	tx.event(user.ID, "update.mfa", shown)
	return tx.log(ctx, logUserUpdate, user)
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
	if len(code) != int(row.Digits) || strings.Trim(code, "0123456789") != "" {
		return false, ErrInvalidToken
	}
	seed, err := tx.engine.ring.Open(seal.TOTP, seedPlace(row.ID, row.UserID), row.Seed)
	if err != nil {
		return false, err
	}
	matched, err := matchTOTP(row, seedText.EncodeToString(seed), code, tx.now)
	if err != nil || matched <= row.Step {
		return false, err
	}
	row.Step, row.Updated = matched, tx.now
	if !row.Verified {
		row.Verified = true
	}
	return true, record.Authenticators.Replace(ctx, tx, row)
}

// matchTOTP returns the latest step whose code it is, -1 for none.
func matchTOTP(row *record.Authenticator, secret, code string, now time.Time) (matched int64, err error) {
	options := hotp.ValidateOpts{Digits: otp.Digits(row.Digits), Algorithm: otp.AlgorithmSHA1}
	if row.Algorithm == "SHA256" {
		options.Algorithm = otp.AlgorithmSHA256
	}
	matched = -1
	for step := now.Unix()/totpPeriod - 1; step <= now.Unix()/totpPeriod+1; step++ { // all of them, whichever matches
		if step < 0 {
			continue
		}
		want, err := hotp.GenerateCodeCustom(secret, uint64(step), options)
		if err != nil {
			return -1, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			matched = step
		}
	}
	return matched, nil
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

// deleteFactors takes away what a user keeps for a second factor.
func (tx *txn) deleteFactors(ctx context.Context, user *record.User) error {
	for _, of := range []*store.Index{record.Authenticators.Index("user"), record.Challenges.Index("user"), record.RecoveryCodes.Index("user")} {
		if _, err := tx.DeleteRange(ctx, store.Query{Index: of, Equal: []store.Value{store.Text(user.ID)}, Limit: store.MaxLimit}); err != nil {
			return err
		}
	}
	return nil
}

// MFARecoveryCodes are codes of which each serves once in the place of a second
// factor.
type MFARecoveryCodes struct {
	// Codes are those that have not been used; nil for codes that are not shown
	// again (Policy.StrongRecoveryCodes).
	Codes []Secret
	Left  int
}

// How many recovery codes a user gets, and how long they are.
const (
	recoveryCodes, recoveryLength             = 6, 10  // hexadecimal digits
	strongRecoveryCodes, strongRecoveryLength = 10, 24 // of base32 as Crockford writes it
	crockford                                 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// newRecoveryCodes draws codes, as they are shown.
func newRecoveryCodes(strong bool) (codes []string) {
	if strong {
		random := make([]byte, strongRecoveryCodes*strongRecoveryLength)
		_, _ = rand.Read(random) // never fails
		for i := range random {
			random[i] = crockford[random[i]%byte(len(crockford))] // 256 is a multiple of 32
		}
		for i := 0; i < len(random); i += strongRecoveryLength {
			var groups []string
			for at := i; at < i+strongRecoveryLength; at += 4 {
				groups = append(groups, string(random[at:at+4]))
			}
			codes = append(codes, strings.Join(groups, "-"))
		}
		return codes
	}
	random := make([]byte, recoveryCodes*recoveryLength/2)
	_, _ = rand.Read(random) // never fails
	text := hex.EncodeToString(random)
	for i := 0; i < len(text); i += recoveryLength {
		codes = append(codes, text[i:i+recoveryLength])
	}
	return codes
}

// plainRecoveryCode is a code as it is digested, however somebody has typed it.
func plainRecoveryCode(code string) string {
	code = strings.NewReplacer("-", "", " ", "").Replace(code)
	if len(code) == recoveryLength {
		return strings.ToLower(code)
	}
	return strings.NewReplacer("I", "1", "L", "1", "O", "0").Replace(strings.ToUpper(code))
}

func recoveryParts(userID, code string) []string { return []string{"recovery/v1", userID, code} }

func codePlace(id, userID string) seal.Place {
	return seal.Place{Table: "recovery_codes", Column: "sealed", Record: id, Owner: userID}
}

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
	parts := recoveryParts(user.ID, plainRecoveryCode(code))
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
		return subtle.ConstantTimeCompare(row.Digest, plainDigest(parts)) == 1
	}
	return e.ring.IsCode(row.Digest, parts...)
}

// setRecoveryCodes gives a user new codes, and takes the old ones away.
func (tx *txn) setRecoveryCodes(ctx context.Context, user *record.User) (*MFARecoveryCodes, error) {
	codes := newRecoveryCodes(tx.engine.policy.StrongRecoveryCodes)
	if _, err := tx.DeleteRange(ctx, store.Query{
		Index: record.RecoveryCodes.Index("user"), Equal: []store.Value{store.Text(user.ID)}, Limit: store.MaxLimit,
	}); err != nil {
		return nil, err
	}
	if err := tx.forgetGuesses(ctx, user, FactorRecoveryCode); err != nil {
		return nil, err
	}
	shown := &MFARecoveryCodes{Left: len(codes)}
	for _, code := range codes {
		row := &record.RecoveryCode{ID: newID(), UserID: user.ID, Created: tx.now}
		parts := recoveryParts(user.ID, plainRecoveryCode(code))
		if len(code) == recoveryLength {
			row.Digest = tx.engine.ring.DigestCode(parts...)
			row.Sealed = tx.engine.ring.Seal(seal.RecoveryCode, codePlace(row.ID, user.ID), []byte(code))
		} else {
			row.Digest = plainDigest(parts)
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
		code, err := e.ring.Open(seal.RecoveryCode, codePlace(row.ID, row.UserID), row.Sealed)
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

// UpdateMFA switches multi-factor authentication of a user on or off, as
// [Account.UpdateMFA] does. All their sessions have to prove what they owe then.
func (u *Users) UpdateMFA(ctx context.Context, id string, on bool) (*User, error) {
	return u.edit(ctx, "update MFA", id, nil, func(user *record.User) error {
		user.MFA = on
		return nil
	})
}

// MFAFactors returns which factors a user has.
func (u *Users) MFAFactors(ctx context.Context, id string) (factors MFAFactors, err error) {
	err = u.read(ctx, "list factors", id, func(r store.Reader, user *record.User) (err error) {
		factors, err = u.engine.factorsOf(ctx, r, user)
		return err
	})
	return factors, err
}

// DeleteMFAAuthenticator takes the authenticator of a user away, for one who has
// lost it: make sure who asks. The user is told. Errors:
// [ErrAuthenticatorNotFound].
func (u *Users) DeleteMFAAuthenticator(ctx context.Context, id string) error {
	return u.change(ctx, "delete authenticator", id, func(ctx context.Context, tx *txn, user *record.User) error {
		return tx.deleteAuthenticator(ctx, user, "")
	})
}

// MFARecoveryCodes shows the recovery codes of a user, as
// [Account.MFARecoveryCodes] does. Errors: [ErrRecoveryCodesNotFound].
func (u *Users) MFARecoveryCodes(ctx context.Context, id string) (codes *MFARecoveryCodes, err error) {
	err = u.read(ctx, "get recovery codes", id, func(r store.Reader, user *record.User) (err error) {
		codes, err = u.engine.showRecoveryCodes(ctx, r, user.ID)
		return err
	})
	return codes, err
}

// CreateMFARecoveryCodes makes recovery codes for a user who has none left.
// Errors: [ErrRecoveryCodesAlreadyExist].
func (u *Users) CreateMFARecoveryCodes(ctx context.Context, id string) (*MFARecoveryCodes, error) {
	return u.recoveryCodes(ctx, "create recovery codes", id, (*txn).firstRecoveryCodes)
}

// UpdateMFARecoveryCodes replaces the recovery codes of a user. Errors:
// [ErrRecoveryCodesNotFound].
func (u *Users) UpdateMFARecoveryCodes(ctx context.Context, id string) (*MFARecoveryCodes, error) {
	return u.recoveryCodes(ctx, "update recovery codes", id, (*txn).againRecoveryCodes)
}

func (u *Users) recoveryCodes(ctx context.Context, op, id string, set func(*txn, context.Context, *record.User) (*MFARecoveryCodes, error)) (codes *MFARecoveryCodes, err error) {
	err = u.change(ctx, op, id, func(ctx context.Context, tx *txn, user *record.User) error {
		codes, err = set(tx, ctx, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}
