package latchkey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// challengeOf is a challenge that is about to be made.
type challengeOf struct {
	factor  Factor
	channel notify.Channel // "" for none
	to      string
	code    string
	mocked  bool
}

// begin says what a challenge of a factor asks of a user, or why they cannot be
// asked.
func (e *Engine) begin(ctx context.Context, r store.Reader, user *record.User, factor Factor) (c challengeOf, err error) {
	c.factor = factor
	switch factor {
	case FactorTOTP:
		if !user.TOTP {
			err = ErrAuthenticatorNotFound
		}
	case FactorRecoveryCode:
		var codes []*record.RecoveryCode
		if codes, err = recoveryCodesOf(ctx, r, user.ID); err == nil && len(codes) == 0 {
			err = ErrRecoveryCodesNotFound
		}
	case FactorEmail, FactorPhone:
		off, missing, unproven := ErrSMTPDisabled, ErrEmailNotFound, ErrEmailNotVerified
		if c.channel = factor.channel(); factor == FactorPhone {
			off, missing, unproven = ErrPhoneDisabled, ErrPhoneNotFound, ErrPhoneNotVerified
		}
		c.to = address(user, c.channel)
		switch {
		case !e.can(c.channel):
			err = off
		case c.to == "":
			err = missing
		case !verified(user, c.channel):
			err = unproven
		}
	}
	return c, err
}

// CreateMFAChallenge asks for a second factor: [FactorEmail] and [FactorPhone] send
// a code of six digits to the verified address or number, [FactorTOTP] and
// [FactorRecoveryCode] send nothing. The challenge is of this session, lives 15
// minutes, and is answered with [Account.UpdateMFAChallenge]. A new one of the
// factor ends the one before; wrong answers are counted on. A session that owes a
// factor may ask.
//
// Errors: [ErrArgumentInvalid] for no factor; [ErrAuthMethodUnsupported] for one
// that is switched off; [ErrAuthenticatorNotFound], [ErrRecoveryCodesNotFound],
// [ErrEmailNotFound], [ErrEmailNotVerified], [ErrPhoneNotFound],
// [ErrPhoneNotVerified] for one that the user does not have; [ErrSMTPDisabled],
// [ErrPhoneDisabled]; [ErrSessionNotFound] for a JWT; a [*ThrottledError] after ten
// calls of the user in an hour (at a client from which they have proven a factor
// they are counted apart), or the messages that an address may have.
func (a *Account) CreateMFAChallenge(ctx context.Context, factor Factor) (*MFAChallenge, error) {
	if a == nil || a.engine == nil {
		return nil, ErrUnauthorized
	}
	challenge, err := a.askChallenge(ctx, factor)
	return challenge, outward("create challenge", err)
}

func (a *Account) askChallenge(ctx context.Context, factor Factor) (*MFAChallenge, error) {
	e := a.engine
	if err := e.open(); err != nil {
		return nil, err
	}
	now := e.now()
	if err := a.present(ctx, e.store, now); err != nil {
		return nil, err
	}
	if err := e.checkFactor(factor); err != nil {
		return nil, err
	}
	if a.jwt != nil {
		return nil, ErrSessionNotFound
	}
	user, err := a.user(ctx, e.store)
	if err != nil {
		return nil, err
	}
	drawn, err := e.begin(ctx, e.store, user, factor)
	if err != nil {
		return nil, err
	}
	guard, err := e.guard(ctx, e.store, now, failFactor+string(factor), user.Key, user, a.client)
	if err != nil {
		return nil, err
	}
	if err := e.limit(ctx, a.client, now, limitCreateChallenge, guard.key); err != nil {
		return nil, err
	}
	if drawn.channel != "" {
		if err := e.limitMessage(ctx, a.client, now, drawn.channel, drawn.to); err != nil {
			return nil, err
		}
		drawn.code = codes.OTP()
		if code, found := e.mock(drawn.channel, drawn.to); found {
			drawn.code, drawn.mocked = code, true
		}
	}
	row := record.Challenge{
		ID: newID(), UserID: user.ID, SessionID: a.session.ID, Factor: string(factor), Destination: drawn.to, Created: now, Expire: now.Add(challengeLength),
	}
	if drawn.code != "" {
		row.Digest = e.ring.DigestCode(challengeParts(&row, drawn.code)...)
	}
	shown := MFAChallenge{ID: row.ID, CreatedAt: row.Created, UserID: row.UserID, Expire: row.Expire}
	err = a.changeAt(ctx, now, a.present, func(ctx context.Context, tx *txn, is *record.User) error {
		user = is
		if still, err := e.begin(ctx, tx, user, factor); err != nil {
			return err
		} else if still.to != drawn.to {
			return ErrBusy // the address has changed since the messages to it were counted
		}
		if err := tx.endChallenge(ctx, row.SessionID, row.Factor); err != nil {
			return err
		}
		fresh := row
		if err := record.Challenges.Insert(ctx, tx, &fresh); err != nil {
			return err
		}
		told := shown
		tx.event(user.ID, "challenges."+row.ID+".create", &told)
		return tx.log(ctx, logChallengeCreate, user)
	})
	if err != nil {
		return nil, err
	}
	switch {
	case factor == FactorCustom:
		if err := e.beginCustom(ctx, row.UserID, row.ID); err != nil {
			return nil, err
		}
	case drawn.channel != "":
		e.courier.Deliver(courier.Delivery{Null: drawn.mocked, Message: notify.Message{
			ID: row.ID, Kind: notify.Challenge, Channel: drawn.channel, To: drawn.to, Name: user.Name, UserID: user.ID, Secret: drawn.code,
			Time: row.Created, Expire: row.Expire, Client: e.told(ctx, a.client), Locale: a.client.Locale,
		}})
	}
	return &shown, nil
}

func challengeParts(c *record.Challenge, code string) []string {
	return []string{"challenge/v1", c.ID, c.UserID, c.SessionID, c.Destination, code}
}

func (tx *txn) endChallenge(ctx context.Context, sessionID, factor string) error {
	c, err := record.Challenges.Get(ctx, tx, record.Challenges.Index("session"), store.Text(sessionID), store.Text(factor))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return record.Challenges.Delete(ctx, tx, store.Text(c.ID))
}

// UpdateMFAChallenge answers a challenge of this session, which is used up by it.
// The session has proven the factor then, and is fresh for a step-up. It is returned
// with a new secret, and the old one is refused from then on, unless the policy
// keeps it (Policy.KeepSecretOnChallenge; then Session.Secret is ""). A factor that
// the session was made by counts once.
//
// Five wrong answers end the challenge, and those of a factor in a row are counted
// and slowed as wrong codes are, whatever challenges there were. A code of an
// authenticator is good for the step before and behind the present one too, and
// serves once; one that has not its number of digits is refused uncounted.
//
// Errors: [ErrArgumentInvalid]; [ErrInvalidToken] for a wrong answer, and for a
// challenge that is unknown, another session's, used, or has run out;
// [ErrAuthMethodUnsupported] for a factor that is switched off; [ErrSessionNotFound]
// for a JWT; a [*ThrottledError] after ten calls for the challenge in an hour, and
// while the factor is slowed.
func (a *Account) UpdateMFAChallenge(ctx context.Context, challengeID, otp string) (*Session, error) {
	if a == nil || a.engine == nil {
		return nil, ErrUnauthorized
	}
	session, err := a.answer(ctx, challengeID, otp)
	return session, outward("update challenge", err)
}

func (a *Account) answer(ctx context.Context, challengeID, otp string) (*Session, error) {
	e := a.engine
	if err := e.open(); err != nil {
		return nil, err
	}
	if err := canon.ID(challengeID); err != nil {
		return nil, invalid("challengeId", err)
	}
	if otp == "" || len(otp) > maxSecret {
		return nil, invalid("otp", fmt.Errorf("not 1 to %d bytes", maxSecret))
	}
	now := e.now()
	if err := a.present(ctx, e.store, now); err != nil {
		return nil, err
	}
	if a.jwt != nil {
		return nil, ErrSessionNotFound
	}
	if err := e.limit(ctx, a.client, now, limitUpdateChallenge, a.session.ID+"\n"+challengeID); err != nil {
		return nil, err
	}
	right, err := a.askHost(ctx, now, challengeID, otp)
	if err != nil {
		return nil, err
	}
	secret := newSecret()
	digest, _ := secret.digest(sessionLabel)
	var row *record.Session
	var refused error
	err = a.changeAt(ctx, now, a.present, func(ctx context.Context, tx *txn, user *record.User) error {
		row, refused = nil, nil
		c, err := tx.challenge(ctx, a.session.ID, user.ID, challengeID)
		if err != nil {
			return err
		}
		if err := tx.try(ctx, a.client, user, c, otp, right, &refused); err != nil || refused != nil {
			return err
		}
		if row, err = a.own(ctx, tx, tx.now, Current); err != nil {
			return err
		}
		addFactor(row, c.Factor)
		row.Challenged, row.Updated, row.Touched = tx.now, tx.now, tx.now
		if !e.policy.KeepSecretOnChallenge {
			row.Digest = string(digest[:])
		}
		if err := record.Sessions.Replace(ctx, tx, row); err != nil {
			return err
		}
		if user.Recovered && Factor(c.Factor) != FactorEmail { // more than the mailbox
			user.Recovered = false
			if err := record.Users.Replace(ctx, tx, user); err != nil {
				return err
			}
			if err := tx.refreshSessions(ctx, user); err != nil {
				return err
			}
		}
		shown, err := e.sessionOf(row)
		if err != nil {
			return err
		}
		tx.event(user.ID, "sessions."+row.ID+".update", shown)
		return tx.log(ctx, logChallengeUpdate, user)
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	s, err := e.sessionOf(row)
	if err != nil {
		return nil, err
	}
	if s.Current = true; !e.policy.KeepSecretOnChallenge {
		s.Secret = secret
	}
	return s, nil
}

// challenge returns a live challenge of a session.
func (tx *txn) challenge(ctx context.Context, sessionID, userID, id string) (*record.Challenge, error) {
	c, err := record.Challenges.Get(ctx, tx, record.Challenges.Primary(), store.Text(id))
	if errors.Is(err, store.ErrNotFound) || err == nil && (c.SessionID != sessionID || c.UserID != userID || !c.Expire.After(tx.now)) {
		return nil, ErrInvalidToken
	}
	if err != nil {
		return nil, err
	}
	if err := tx.engine.checkFactor(Factor(c.Factor)); err != nil {
		return nil, ErrAuthMethodUnsupported
	}
	return c, nil
}

// askHost lets the host compare an answer to a challenge of its own factor. The
// answer is counted before: so many at once are not compared. nil is that it is a
// factor of the engine's.
func (a *Account) askHost(ctx context.Context, now time.Time, challengeID, answer string) (right *bool, err error) {
	e := a.engine
	if e.custom == nil {
		return nil, nil
	}
	custom := false
	err = a.changeAt(ctx, now, a.present, func(ctx context.Context, tx *txn, user *record.User) error {
		custom = false
		c, err := tx.challenge(ctx, a.session.ID, user.ID, challengeID)
		if err != nil || Factor(c.Factor) != FactorCustom {
			return err
		}
		if c.Failures >= challengeFailures {
			return ErrInvalidToken
		}
		guard, err := e.guard(ctx, tx, tx.now, failFactor+c.Factor, user.Key, user, a.client)
		if err != nil {
			return err
		}
		if _, err := guard.wait(ctx, tx, tx.now); err != nil {
			return err
		}
		custom = true
		c.Failures++
		return record.Challenges.Replace(ctx, tx, c)
	})
	if err != nil || !custom {
		return nil, err
	}
	var is bool
	err = errCustom
	defer e.recovered(ctx, "CustomFactor")
	is, err = e.custom.Check(ctx, a.session.UserID, challengeID, answer)
	return &is, err
}

var errCustom = errors.New("latchkey: the custom factor panicked")

// beginCustom tells the host of a challenge of its factor. A panic is a failure.
func (e *Engine) beginCustom(ctx context.Context, userID, challengeID string) (err error) {
	err = errCustom
	defer e.recovered(ctx, "CustomFactor")
	return e.custom.Begin(ctx, userID, challengeID)
}

// try compares an answer with a challenge, and uses that up or counts the answer.
func (tx *txn) try(ctx context.Context, client Client, user *record.User, c *record.Challenge, answer string, byHost *bool, refused *error) error {
	factor := Factor(c.Factor)
	guard, err := tx.engine.guard(ctx, tx, tx.now, failFactor+c.Factor, user.Key, user, client)
	if err != nil {
		return err
	}
	if _, err := guard.wait(ctx, tx, tx.now); err != nil {
		return err
	}
	right := false
	switch factor {
	case FactorTOTP:
		right, err = tx.claimTOTP(ctx, user, answer, true)
	case FactorRecoveryCode:
		right, err = tx.claimRecoveryCode(ctx, user, answer)
	case FactorEmail, FactorPhone:
		channel := factor.channel()
		right = tx.engine.ring.IsCode(c.Digest, challengeParts(c, answer)...) && address(user, channel) == c.Destination && verified(user, channel)
	case FactorCustom:
		right = byHost != nil && *byHost
	}
	if err != nil {
		return err
	}
	if right {
		if err := guard.pass(ctx, tx); err != nil {
			return err
		}
		return record.Challenges.Delete(ctx, tx, store.Text(c.ID))
	}
	*refused = ErrInvalidToken
	if factor != FactorCustom {
		c.Failures++
	}
	if c.Failures >= challengeFailures {
		err = record.Challenges.Delete(ctx, tx, store.Text(c.ID))
	} else {
		err = record.Challenges.Replace(ctx, tx, c)
	}
	if err != nil {
		return err
	}
	if err := guard.fail(ctx, tx); err != nil {
		return err
	}
	return tx.refuse(ctx, logChallengeRefuse, user, guard.subject, ErrInvalidToken)
}

// MFAChallenge is the question for a second factor.
type MFAChallenge struct {
	ID        string
	CreatedAt time.Time
	UserID    string
	Expire    time.Time
}

// Limits of second factors.
const (
	challengeLength   = 15 * time.Minute
	challengeFailures = 5 // that void one
)
