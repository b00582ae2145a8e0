package latchkey

import (
	"context"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// MFAChallenge is a pending question for a second factor.
type MFAChallenge struct {
	ID        string    `json:"$id"`
	CreatedAt time.Time `json:"$createdAt"`
	UserID    string    `json:"userId"`
	Expire    time.Time `json:"expire"`
	Code      Secret    `json:"-"` // only of [Users.GetMFAChallenge]
}

// Limits of challenges.
const (
	challengeLength   = 15 * time.Minute
	challengeFailures = 5 // wrong answers that void one
)

// canChallenge refuses a challenge for a factor that the user does not have, or that
// cannot be sent. It returns the address to which the code goes, "" without one.
func (e *Engine) canChallenge(ctx context.Context, r store.Reader, user *record.User, factor Factor) (to string, err error) {
	switch factor {
	case FactorTOTP:
		if !user.TOTP {
			return "", ErrAuthenticatorNotFound
		}
	case FactorRecoveryCode:
		left, err := recoveryCodesOf(ctx, r, user.ID)
		if err != nil {
			return "", err
		}
		if len(left) == 0 {
			return "", ErrRecoveryCodesNotFound
		}
	}
	by := factor.contact()
	switch {
	case by == nil:
		return "", nil
	case !e.canSend(by.channel):
		return "", by.off
	case by.address(user) == "":
		return "", by.missing
	case !by.verified(user):
		return "", by.unproven
	case !e.canSendTo(by.channel, by.address(user)):
		return "", by.off
	}
	return by.address(user), nil
}

// newChallenge is a challenge that is about to be made.
type newChallenge struct {
	row    record.Challenge
	factor Factor
	code   string // "" without one
	mocked bool
}

// showChallenge returns a challenge as it is shown, without its code.
func showChallenge(row *record.Challenge) *MFAChallenge {
	return &MFAChallenge{ID: row.ID, CreatedAt: row.Created, UserID: row.UserID, Expire: row.Expire}
}

// CreateMFAChallenge asks for a second factor. [FactorEmail] and [FactorPhone] send a code of
// six digits to the verified address or number, [FactorTOTP] and [FactorRecoveryCode] send
// nothing. The host brings a code of [FactorCustom]. The challenge belongs to this session,
// lives 15 minutes, and is answered with [Account.ConfirmMFAChallenge]. A new one of the factor
// ends the one before; the count of wrong answers goes on. A session that owes a factor may
// ask.
//
// Errors:
//   - [ErrArgumentInvalid]: the text is no factor.
//   - [ErrAuthMethodUnsupported]: the factor is switched off.
//   - [ErrAuthenticatorNotFound], [ErrRecoveryCodesNotFound], [ErrEmailNotFound],
//     [ErrEmailNotVerified], [ErrPhoneNotFound], [ErrPhoneNotVerified]: the user does
//     not have the factor.
//   - [ErrFactorDoesNotHelp]: the session owes a factor, and this one would not pay it: the
//     session was made by it, or by a link to the same mailbox. [Account.MFAFactors] tells which ones
//     help.
//   - [ErrSMTPDisabled], [ErrPhoneDisabled]: nothing can be sent there, or the policy
//     sends no texts to the number.
//   - [ErrSessionNotFound]: for a JWT.
//   - [*ThrottledError]: after ten calls of the user in an hour (at a client from which
//     they have proven a factor they are counted apart), or after the messages that an
//     address may have and ten more, which strangers cannot use up.
func (a *Account) CreateMFAChallenge(ctx context.Context, factor Factor) (_ *MFAChallenge, err error) {
	defer a.home().operation(&ctx, "create challenge").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := a.mayActOrOwe(ctx, c, c.store); err != nil {
		return nil, err
	}
	if err := c.checkFactor(factor); err != nil {
		return nil, err
	}
	if a.jwt != nil {
		return nil, ErrSessionNotFound
	}
	if err := a.mayHelp(ctx, c, c.store, factor); err != nil {
		return nil, err
	}
	drawn, err := a.drawChallenge(ctx, c, factor)
	if err != nil {
		return nil, err
	}
	_, err = accountUpdate(ctx, c, a, (*Account).standingOrOwing, func(ctx context.Context, tx *txn, user *record.User) (none, error) {
		if err := a.mayHelp(ctx, tx.call, tx, factor); err != nil {
			return none{}, err
		}
		return none{}, tx.insertChallenge(ctx, user, drawn)
	})
	if err != nil {
		return nil, err
	}
	if factor == FactorCustom && c.custom != nil {
		if err := c.beginCustom(ctx, drawn.row.UserID, drawn.row.ID); err != nil {
			return nil, err
		}
	}
	return showChallenge(&drawn.row), nil
}

// mayHelp refuses a challenge for a factor that would not pay what the session owes.
func (a *Account) mayHelp(ctx context.Context, c *call, r store.Reader, factor Factor) error {
	s, err := a.ownSession(ctx, c, r, CurrentSession)
	switch {
	case errors.Is(err, ErrSessionNotFound):
		return ErrUnauthorized
	case err != nil:
		return err
	case c.owes(checkOf(s)) && !c.pays(checkOf(s), string(factor)):
		return ErrFactorDoesNotHelp
	}
	return nil
}

// drawChallenge draws a challenge, and counts the call and the message.
func (a *Account) drawChallenge(ctx context.Context, c *call, factor Factor) (*newChallenge, error) {
	user, err := a.user(ctx, c.store)
	if err != nil {
		return nil, err
	}
	to, err := c.canChallenge(ctx, c.store, user, factor)
	if err != nil {
		return nil, err
	}
	g, err := c.factorGuard(ctx, c.store, factor, user)
	if err != nil {
		return nil, err
	}
	if err := c.limit(ctx, limitCreateChallenge, g.key); err != nil {
		return nil, err
	}
	n := &newChallenge{factor: factor, row: record.Challenge{
		ID: newID(), UserID: user.ID, SessionID: a.session.ID, Factor: string(factor), Destination: to,
		Created: c.now, Expire: c.now.Add(challengeLength),
	}}
	by := factor.contact()
	switch {
	case by != nil:
		if err := c.limitMessage(ctx, by.channel, to, reserveOf(g.key)); err != nil {
			return nil, err
		}
		n.code, n.mocked = c.mockCode(by.channel, to)
	case factor != FactorCustom || !c.customCodes:
		return n, nil
	}
	if !n.mocked {
		n.code = codes.OTP()
	}
	n.row.Digest = c.ring.DigestCode(challengeParts(&n.row, n.code)...)
	if by == nil {
		n.row.Sealed = c.ring.Seal(seal.Challenge, seal.ChallengePlace(n.row.ID, user.ID), []byte(n.code))
	}
	return n, nil
}

// challengeCode returns the code of a challenge that the host brings to the user, "" without
// one.
func (e *Engine) challengeCode(ctx context.Context, row *record.Challenge) (Secret, error) {
	if row.Sealed == nil {
		return Secret{}, nil
	}
	code, err := e.ring.Open(seal.Challenge, seal.ChallengePlace(row.ID, row.UserID), row.Sealed)
	if err != nil {
		return Secret{}, e.sealFault(ctx, sealedChallenge, row.UserID, err)
	}
	return hide(string(code)), nil
}

// insertChallenge is the one place where challenges are made. It ends the session's
// present one of the factor.
func (tx *txn) insertChallenge(ctx context.Context, user *record.User, n *newChallenge) error {
	to, err := tx.canChallenge(ctx, tx, user, n.factor)
	if err != nil {
		return err
	}
	if to != n.row.Destination {
		return ErrBusy // the address has changed since the messages to it were counted
	}
	old, err := record.Challenges.Find(ctx, tx, record.Challenges.Index("session"), store.Text(n.row.SessionID), store.Text(n.row.Factor))
	if err != nil {
		return err
	}
	if old != nil {
		if err := record.Challenges.Delete(ctx, tx, store.Text(old.ID)); err != nil {
			return err
		}
	}
	row := n.row
	if err := record.Challenges.Insert(ctx, tx, &row); err != nil {
		return err
	}
	if n.factor.contact() != nil {
		tx.send(letter{message: tx.challengeMessage(ctx, n, user), null: n.mocked, proven: true, code: code{codeOfChallenge, []byte(row.ID)}})
	}
	tx.event(user.ID, "challenges."+row.ID+".create", showChallenge(&n.row))
	return tx.log(ctx, logChallengeCreate, user)
}

// challengeMessage returns the message with the code of a challenge.
func (c *call) challengeMessage(ctx context.Context, n *newChallenge, user *record.User) notify.Message {
	return notify.Message{
		ID: n.row.ID, Kind: notify.Challenge, Channel: n.factor.contact().channel, To: n.row.Destination, Name: user.Name, UserID: user.ID,
		Secret: hide(n.code), Time: n.row.Created, Expire: n.row.Expire, Client: c.messageClient(ctx), Locale: c.client.Locale,
	}
}

// challengeParts are the parts of the digest of a challenge's code.
func challengeParts(row *record.Challenge, code string) []string {
	return []string{"challenge/v1", row.ID, row.UserID, row.SessionID, row.Destination, code}
}

// ConfirmMFAChallenge answers a challenge of this session. The challenge is used up. The
// session has proven the factor then, and is fresh for a step-up. It is returned with a
// new secret, and the old secret is refused from then on, for a minute with [ErrSessionRenewed],
// unless the policy keeps it (Policy.Factors.KeepSecretOnChallenge; then Session.Secret is empty,
// and the host leaves its cookie alone). A factor by which the
// session was made counts once.
//
// Five wrong answers end the challenge. Wrong answers for a factor in a row are counted
// and slowed like wrong codes, over all challenges. A code of an authenticator is good
// for the steps before and after the present one too, and serves once.
//
// White space, dashes and signs that are not shown may be anywhere in an answer, and its
// digits may be those of any script. In a recovery code case does not matter. A text that has
// not the form of the code that the challenge asks for is then refused and not counted. The
// host's own factor (Config.CustomFactor) gets the text as it is.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrInvalidToken]: the answer is wrong, or the challenge is unknown, belongs to
//     another session, was used, or has expired. The message names the kind of code.
//   - [ErrAuthMethodUnsupported]: the factor is switched off.
//   - [ErrSessionNotFound]: for a JWT.
//   - [*ThrottledError]: after ten calls for the challenge in an hour, after 300 failed
//     sign-ins of any kind from the client address in an hour, and while the factor is
//     slowed.
func (a *Account) ConfirmMFAChallenge(ctx context.Context, challengeID, otp string) (_ *Session, err error) {
	defer a.home().operation(&ctx, "update challenge").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := canon.ID(challengeID); err != nil {
		return nil, invalid("challengeId", err)
	}
	if otp == "" || len(otp) > maxSecret || !utf8.ValidString(otp) { // the host's factor may compare it
		return nil, invalid("otp", reason.New(reason.OutOfRange, "not 1 to %d bytes of UTF-8", maxSecret))
	}
	if err := a.mayActOrOwe(ctx, c, c.store); err != nil {
		return nil, err
	}
	if a.jwt != nil {
		return nil, ErrSessionNotFound
	}
	if err := a.checkAnswer(ctx, c, challengeID, otp); err != nil {
		return nil, err
	}
	if err := c.limit(ctx, limitUpdateChallenge, a.session.ID+"\n"+challengeID); err != nil {
		return nil, err
	}
	return limitFailures(ctx, c, func() (*Session, error) { return a.tryAnswer(ctx, c, challengeID, otp) })
}

// tryAnswer compares an answer with a challenge, and records what it has proven.
func (a *Account) tryAnswer(ctx context.Context, c *call, challengeID, otp string) (*Session, error) {
	byHost, err := a.checkCustom(ctx, c, challengeID, otp)
	if err != nil {
		return nil, err
	}
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	secret := newSecret()
	return accountUpdate(ctx, c, a, (*Account).standingOrOwing, func(ctx context.Context, tx *txn, user *record.User) (*Session, error) {
		row, err := a.challenge(ctx, tx.call, tx, challengeID)
		if err != nil {
			return nil, err
		}
		s, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
		if err != nil {
			return nil, err
		}
		if err := tx.answerChallenge(ctx, user, row, answer{otp, byHost, slices.Contains(shown(s), row.Factor)}); err != nil {
			return nil, err
		}
		factor := Factor(row.Factor)
		return a.provedFactor(ctx, tx, user, factor, factor == FactorTOTP || factor == FactorRecoveryCode, secret)
	})
}

// provedFactor records that the session has proven a factor, and gives it a new secret. strong says that it is the proof that
// changes of factors ask for.
func (a *Account) provedFactor(ctx context.Context, tx *txn, user *record.User, factor Factor, strong bool, secret Secret) (*Session, error) {
	row, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
	if err != nil {
		return nil, err
	}
	owed := tx.owes(checkOf(row))
	addFactor(row, string(factor))
	row.Assumed = withoutFactor(row.Assumed, string(factor))
	row.Challenged, row.Updated, row.Touched = tx.now, tx.now, tx.now
	if strong {
		row.Strong = tx.now
	}
	tx.noteOwing(row)
	if tx.policy.Factors.KeepSecretOnChallenge {
		secret = Secret{}
	} else if err := tx.renewSecret(ctx, row, sessionDigest(secret)); err != nil {
		return nil, err
	}
	if err := record.Sessions.Replace(ctx, tx, row); err != nil {
		return nil, err
	}
	if owed { // it takes its place among the full ones only now
		if err := tx.endOldest(ctx, user, row); err != nil {
			return nil, err
		}
	}
	if err := tx.factsAfter(ctx, user, row, factor); err != nil {
		return nil, err
	}
	if owed && row.Identity != "" && !tx.owes(checkOf(row)) {
		if err := tx.confirmIdentity(ctx, user, row, true); err != nil {
			return nil, err
		}
		if err := tx.confirmPasskey(ctx, user, row); err != nil {
			return nil, err
		}
	}
	told, err := tx.showSession(row)
	if err != nil {
		return nil, err
	}
	tx.event(user.ID, "sessions."+row.ID+".update", told)
	shown, err := tx.showSession(row)
	if err != nil {
		return nil, err
	}
	shown.Current, shown.Secret = true, secret
	return shown, tx.log(ctx, logChallengeUpdate, user)
}

// factsAfter changes the facts of a user that the proof of a factor changes: a user who has
// proven more than the mailbox knows the password that was set by mail, and the last
// recovery code may have been used.
func (tx *txn) factsAfter(ctx context.Context, user *record.User, s *record.Session, factor Factor) error {
	before, half := userFacts(user), user.Half
	if by := factor.contact(); by != nil && user.Half == by.name { // who has the session has the address too
		user.Half = ""
	}
	if factor != FactorEmail && provesPassword(user, s) {
		user.Recovered = false
	}
	if factor == FactorRecoveryCode {
		left, err := recoveryCodesOf(ctx, tx, user.ID)
		if err != nil {
			return err
		}
		user.RecoveryCodes = len(left) > 0
	}
	if userFacts(user) == before && user.Half == half {
		return nil
	}
	return tx.changeFacts(ctx, user)
}

// provesPassword reports whether a session was made with the present password. A
// session of another epoch has shown another one.
func provesPassword(user *record.User, s *record.Session) bool {
	return slices.Contains(shown(s), factorPassword) && s.PasswordEpoch == user.PasswordEpoch
}

// challenge returns a live challenge of the session.
func (a *Account) challenge(ctx context.Context, c *call, r store.Reader, id string) (*record.Challenge, error) {
	row, err := record.Challenges.Find(ctx, r, record.Challenges.Primary(), store.Text(id))
	if err != nil {
		return nil, err
	}
	if row == nil || row.SessionID != a.session.ID || row.UserID != a.session.UserID || !c.live(row.Created, row.Expire) {
		return nil, errNoChallenge
	}
	if err := c.checkFactor(Factor(row.Factor)); err != nil {
		return nil, ErrAuthMethodUnsupported
	}
	return row, nil
}

// checkAnswer refuses a text that has not the form of an answer to a challenge. It is no
// guess, so it is not counted. A challenge that cannot be answered is left to the transaction,
// which counts the call.
func (a *Account) checkAnswer(ctx context.Context, c *call, id, text string) error {
	row, err := a.challenge(ctx, c, c.store, id)
	if _, refused := errors.AsType[*Error](err); refused {
		return nil
	}
	if err != nil {
		return err
	}
	text = codes.Typed(text)
	switch factor := Factor(row.Factor); {
	case factor == FactorTOTP:
		app, err := findAuthenticator(ctx, c.store, row.UserID)
		if app == nil || err != nil {
			return err
		}
		return checkAppCode(app, text)
	case factor == FactorRecoveryCode && !codes.IsRecovery(codes.PlainRecovery(text)):
		return errNoRecovery
	case row.Digest != nil && !codes.IsOTP(text):
		return errNoCode
	}
	return nil
}

// wrongAnswer returns the error for a wrong answer to a challenge.
func wrongAnswer(row *record.Challenge) *Error {
	switch Factor(row.Factor) {
	case FactorTOTP:
		return errWrongAppCode
	case FactorRecoveryCode:
		return errWrongRecovery
	}
	return errWrongCode
}

// answer is an answer to a challenge. byHost is the verdict of the host about its own
// factor.
type answer struct {
	text   string
	byHost bool
	again  bool // the session has proven the factor before
}

// checkCustom lets the host compare an answer to a challenge of its own factor. The
// answer is counted before, so that only as many are compared at once. It reports false
// for factors of the engine.
func (a *Account) checkCustom(ctx context.Context, c *call, challengeID, text string) (right bool, err error) {
	if c.custom == nil {
		return false, nil
	}
	custom, err := accountUpdate(ctx, c, a, (*Account).standingOrOwing, func(ctx context.Context, tx *txn, user *record.User) (bool, error) {
		row, err := a.challenge(ctx, tx.call, tx, challengeID)
		if err != nil || Factor(row.Factor) != FactorCustom || row.Digest != nil {
			return false, err
		}
		if row.Failures >= challengeFailures {
			return false, errNoChallenge
		}
		g, err := tx.factorGuard(ctx, tx, FactorCustom, user)
		if err != nil {
			return false, err
		}
		if err := g.check(ctx, tx); err != nil {
			return false, err
		}
		row.Failures++
		return true, record.Challenges.Replace(ctx, tx, row)
	})
	if err != nil || !custom {
		return false, err
	}
	err = errCustom
	defer c.recovered(ctx, "CustomFactor")
	right, err = c.custom.Check(ctx, a.session.UserID, challengeID, text)
	return right, err
}

// errCustom is the error of a custom factor that panicked.
var errCustom = &loggedError{errors.New("latchkey: the custom factor panicked")}

// beginCustom tells the host of a challenge of its factor. A panic is a failure.
func (e *Engine) beginCustom(ctx context.Context, userID, challengeID string) (err error) {
	err = errCustom
	defer e.recovered(ctx, "CustomFactor")
	return e.custom.Begin(ctx, userID, challengeID)
}

// answerChallenge compares an answer with a challenge. It uses the challenge up, or
// counts the answer. The error for a wrong answer commits.
func (tx *txn) answerChallenge(ctx context.Context, user *record.User, row *record.Challenge, a answer) error {
	g, err := tx.factorGuard(ctx, tx, Factor(row.Factor), user)
	if err != nil {
		return err
	}
	if err := g.check(ctx, tx); err != nil {
		return err
	}
	right, err := tx.isAnswer(ctx, user, row, a)
	if err != nil {
		return err
	}
	if byHost := Factor(row.Factor) == FactorCustom && row.Digest == nil; !right && !byHost { // checkCustom has counted those
		row.Failures++
	}
	if right || row.Failures >= challengeFailures {
		err = record.Challenges.Delete(ctx, tx, store.Text(row.ID))
	} else {
		err = record.Challenges.Replace(ctx, tx, row)
	}
	if err != nil {
		return err
	}
	return g.settle(ctx, tx, user, right, a.again, wrongAnswer(row))
}

// isAnswer reports whether an answer to a challenge is right, and claims the code that
// it is.
func (tx *txn) isAnswer(ctx context.Context, user *record.User, row *record.Challenge, a answer) (bool, error) {
	factor := Factor(row.Factor)
	switch {
	case factor == FactorTOTP:
		return tx.claimTOTP(ctx, user, a.text, true)
	case factor == FactorRecoveryCode:
		return tx.claimRecoveryCode(ctx, user, a.text)
	case row.Digest == nil:
		return factor == FactorCustom && a.byHost, nil
	}
	right, err := compare(ctx, func() (bool, error) { return tx.ring.IsCode(row.Digest, challengeParts(row, codes.Typed(a.text))...) })
	if err != nil {
		return false, tx.keyFault(err)
	}
	if by := factor.contact(); by != nil {
		return right && by.address(user) == row.Destination && by.verified(user), nil
	}
	return right && factor == FactorCustom, nil
}
