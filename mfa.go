package latchkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// Factor is a proof of who somebody is, beside the first one of a sign-in.
type Factor string

// The factors.
const (
	FactorTOTP         Factor = "totp"         // a code of an authenticator app
	FactorEmail        Factor = "email"        // a code to a verified address
	FactorPhone        Factor = "phone"        // a code to a verified number
	FactorRecoveryCode Factor = "recoveryCode" // one of the codes that a user keeps for the worst case
	FactorCustom       Factor = "custom"       // the host's own, Config.CustomFactor
)

// CustomFactor is a second factor of the host's own: a push to its app, for
// example. It must be safe for concurrent use. It satisfies what is owed, and
// never causes a factor to be owed.
type CustomFactor interface {
	// Begin is called when a user has asked for a challenge, after it was stored.
	Begin(ctx context.Context, userID, challengeID string) error
	// Check reports whether an answer is right. It is called at most five times
	// for a challenge.
	Check(ctx context.Context, userID, challengeID, answer string) (bool, error)
}

// MFAFactors says which factors a user has.
type MFAFactors struct {
	TOTP, Email, Phone, RecoveryCode, Custom bool
	// RecoveryCodesLeft is how many recovery codes have not been used.
	RecoveryCodesLeft int
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

// MoreFactorsError is an [ErrMoreFactorsRequired] of a session that owes a second
// factor. Pending is what its user may do about it.
type MoreFactorsError struct{ Pending *Pending }

func (e *MoreFactorsError) Error() string { return ErrMoreFactorsRequired.Error() }

// Unwrap returns [ErrMoreFactorsRequired].
func (e *MoreFactorsError) Unwrap() error { return ErrMoreFactorsRequired }

// Pending is the handle of a session that owes a second factor: the user may ask
// which they have, ask for a challenge, answer it, and sign out, and nothing else.
// The zero Pending proves nothing.
type Pending struct{ account *Account }

// Format prints who it is of, and nothing that proves it.
func (p Pending) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "latchkey.Pending(%s)", p.handle().UserID())
}

func (p *Pending) handle() *Account {
	if p == nil {
		return nil
	}
	return p.account
}

// UserID returns the id of the user, as of Authenticate.
func (p *Pending) UserID() string { return p.handle().UserID() }

// SessionID returns the id of the session, as of Authenticate.
func (p *Pending) SessionID() string { return p.handle().SessionID() }

// MFAFactors is [Account.MFAFactors].
func (p *Pending) MFAFactors(ctx context.Context) (MFAFactors, error) {
	return p.handle().MFAFactors(ctx)
}

// CreateMFAChallenge is [Account.CreateMFAChallenge].
func (p *Pending) CreateMFAChallenge(ctx context.Context, factor Factor) (*MFAChallenge, error) {
	return p.handle().CreateMFAChallenge(ctx, factor)
}

// UpdateMFAChallenge is [Account.UpdateMFAChallenge].
func (p *Pending) UpdateMFAChallenge(ctx context.Context, challengeID, otp string) (*Session, error) {
	return p.handle().UpdateMFAChallenge(ctx, challengeID, otp)
}

// DeleteSession signs out.
func (p *Pending) DeleteSession(ctx context.Context) error {
	a := p.handle()
	return a.changeBy(ctx, "delete session", nil, a.present, func(ctx context.Context, tx *txn, user *record.User) error {
		row, err := a.own(ctx, tx, tx.now, Current)
		if err != nil {
			return err
		}
		return tx.endSession(ctx, user, row)
	})
}

// owed returns why a session may not act: what its user or it still owes. The
// row and the policy decide.
func (e *Engine) owed(s *record.Check, now time.Time) error {
	switch wait := e.policy.PendingLength; {
	case s.UserBlocked:
		return ErrUserBlocked
	case s.UserMustReset:
		return ErrPasswordResetRequired
	case !s.UserMFA || !e.owesFactor(strings.Fields(s.Factors), strings.Fields(s.UserFactors)):
		return nil
	case wait > 0 && now.Sub(s.Created) >= wait:
		return ErrUnauthorized
	}
	return ErrMoreFactorsRequired
}

// owesFactor reports whether one proof is not enough: if the user has a factor
// that serves as a second one, and can prove two at all.
func (e *Engine) owesFactor(proven, can []string) bool {
	second := slices.DeleteFunc(slices.Clone(can), func(f string) bool {
		return f == factorPassword || f == factRecovered || e.policy.factorOff(Factor(f))
	})
	byMail := func(f string) bool { return f == factorEmail }
	if slices.Contains(can, factRecovered) && slices.Contains(proven, factorPassword) && len(slices.DeleteFunc(slices.Clone(second), byMail)) > 0 {
		proven, second = slices.DeleteFunc(slices.Clone(proven), byMail), slices.DeleteFunc(second, byMail)
	}
	distinct := len(proven)
	for _, f := range second {
		if !slices.Contains(proven, f) {
			distinct++
		}
	}
	if slices.Contains(can, factorPassword) && !slices.Contains(proven, factorPassword) {
		distinct++
	}
	return len(proven) < 2 && len(second) > 0 && distinct >= 2
}

// stepUp is what an operation on factors asks for beyond a session.
type stepUp int

const (
	recently   stepUp = iota + 1 // signed in or challenged within the window
	challenged                   // challenged within the window
)

// fresh is the one place where a step-up is decided.
func (e *Engine) fresh(created, answered, now time.Time, need stepUp, within time.Duration) error {
	if need == recently && (e.policy.EnrolWithoutStepUp || now.Sub(created) <= within) || !answered.IsZero() && now.Sub(answered) <= within {
		return nil
	}
	return ErrChallengeRequired
}

// RequireRecent is for the host's own sensitive operations: it refuses, with
// [ErrChallengeRequired], a session whose user has neither signed in nor answered
// a challenge ([Account.UpdateMFAChallenge]) within so long. 0 means the window of
// the policy. A JWT is never recent: how old it is tells nothing.
func (a *Account) RequireRecent(ctx context.Context, within time.Duration) error {
	return a.read(ctx, "require recent", func(r store.Reader, now time.Time) error {
		var s record.Check
		if err := a.check(ctx, r, now, &s); err != nil {
			return err
		}
		e := a.engine
		if within == 0 {
			within = e.policy.StepUpWindow
		}
		if a.jwt != nil || now.Sub(s.Created) > within && (s.Challenged.IsZero() || now.Sub(s.Challenged) > within) {
			return ErrChallengeRequired
		}
		return nil
	})
}

// strongest reports whether a session has proven the strongest factor of its user:
// what takes that away asks for it, and not for a mailbox or a number.
func strongest(user *record.User, s *record.Session) bool {
	have := strings.Fields(s.Factors)
	return !user.TOTP || slices.Contains(have, string(FactorTOTP)) || slices.Contains(have, string(FactorRecoveryCode))
}

// secured changes what concerns factors, by a session that is fresh enough. A JWT
// has no session to be fresh.
func (a *Account) secured(ctx context.Context, op string, need stepUp, fn func(ctx context.Context, tx *txn, user *record.User, s *record.Session) error) error {
	return a.change(ctx, op, func(ctx context.Context, tx *txn, user *record.User) error {
		s, err := a.own(ctx, tx, tx.now, Current)
		if err != nil {
			return err
		}
		if err := tx.engine.fresh(s.Created, s.Challenged, tx.now, need, tx.engine.policy.StepUpWindow); err != nil {
			return err
		}
		if need == challenged && !strongest(user, s) {
			return ErrChallengeRequired
		}
		return fn(ctx, tx, user, s)
	})
}

// UpdateMFA switches multi-factor authentication on or off. While it is on, and the
// user has a factor that serves as a second one (a verified address or number, a
// confirmed authenticator), every session has to prove two: other sessions that
// have proven one are refused at once with a [*MoreFactorsError]. The session that
// switches it on is taken to have proven what its user has, so that it is not
// locked out. The user is told.
//
// Errors: [ErrChallengeRequired] for a session that has neither signed in nor
// answered a challenge within the window of the policy, and for one that switches it
// off without having proven the authenticator, or a recovery code, of a user who has
// one; [ErrSessionNotFound] for a JWT.
func (a *Account) UpdateMFA(ctx context.Context, on bool) (shown *User, err error) {
	err = a.secured(ctx, "update MFA", recently, func(ctx context.Context, tx *txn, user *record.User, s *record.Session) error {
		shown = nil
		if user.MFA && !on && !strongest(user, s) {
			return ErrChallengeRequired
		}
		switched := on && !user.MFA
		if shown, err = tx.changeUser(ctx, user, func(u *record.User) error { u.MFA = on; return nil }); err != nil || !switched {
			return err
		}
		if s, err = a.own(ctx, tx, tx.now, Current); err != nil {
			return err
		}
		for _, f := range tx.engine.secondFactors(user) {
			addFactor(s, f)
		}
		return record.Sessions.Replace(ctx, tx, s)
	})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// secondFactors are the factors of a user that serve as a second one.
func (e *Engine) secondFactors(user *record.User) []string {
	return slices.DeleteFunc(strings.Fields(factsOf(user).factors), func(f string) bool {
		return f == factorPassword || f == factRecovered || e.policy.factorOff(Factor(f))
	})
}

// dropFactors takes from the sessions of a user what they are taken to have proven
// by a switch, or by an authenticator that is gone, but for the first factor and
// what a challenge has shown. kept is a session that is left as it is.
func (tx *txn) dropFactors(ctx context.Context, user *record.User, kept string, drop func(s *record.Session, factor string) bool) error {
	rows, err := listSessions(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, s := range rows {
		have := strings.Fields(s.Factors)
		if s.ID == kept || len(have) < 2 {
			continue
		}
		left := append(have[:1:1], slices.DeleteFunc(slices.Clone(have[1:]), func(f string) bool { return drop(s, f) })...)
		if len(left) == len(have) {
			continue
		}
		s.Factors = strings.Join(left, " ")
		if err := record.Sessions.Replace(ctx, tx, s); err != nil {
			return err
		}
	}
	return nil
}

// unproven is what a session has by a switch, and not by a challenge.
func unproven(s *record.Session, factor string) bool {
	return s.Challenged.IsZero() && slices.Contains([]string{string(FactorTOTP), factorEmail, factorPhone}, factor)
}

// addFactor notes that a session has proven a factor. One counts once.
func addFactor(s *record.Session, factor string) {
	if have := strings.Fields(s.Factors); !slices.Contains(have, factor) {
		s.Factors = strings.Join(append(have, factor), " ")
	}
}

// MFAFactors returns which factors the user has. A session that owes one may ask.
func (a *Account) MFAFactors(ctx context.Context) (factors MFAFactors, err error) {
	err = a.readBy(ctx, "list factors", a.present, func(r store.Reader, _ time.Time) error {
		user, err := a.user(ctx, r)
		if err != nil {
			return err
		}
		factors, err = a.engine.factorsOf(ctx, r, user)
		return err
	})
	if err != nil {
		return MFAFactors{}, err
	}
	return factors, nil
}

func (e *Engine) factorsOf(ctx context.Context, r store.Reader, user *record.User) (MFAFactors, error) {
	codes, err := recoveryCodesOf(ctx, r, user.ID)
	off := e.policy.factorOff
	return MFAFactors{
		TOTP: user.TOTP && !off(FactorTOTP), Email: user.EmailVerified && !off(FactorEmail), Phone: user.PhoneVerified && !off(FactorPhone),
		RecoveryCode: len(codes) > 0, RecoveryCodesLeft: len(codes), Custom: e.custom != nil,
	}, err
}

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
		if c.channel = notify.Email; factor == FactorPhone {
			c.channel, off, missing, unproven = notify.SMS, ErrPhoneDisabled, ErrPhoneNotFound, ErrPhoneNotVerified
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

// checkFactor refuses what is no factor, and what is switched off.
func (e *Engine) checkFactor(factor Factor) error {
	switch factor {
	case FactorTOTP, FactorEmail, FactorPhone, FactorRecoveryCode, FactorCustom:
	default:
		return invalid("factor", errors.New("not totp, email, phone, recoveryCode or custom"))
	}
	if e.policy.factorOff(factor) || factor == FactorCustom && e.custom == nil {
		return ErrAuthMethodUnsupported
	}
	return nil
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
		drawn.code = newOTP()
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
		e.courier.deliver(delivery{null: drawn.mocked, message: notify.Message{
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
		channel := notify.Email
		if factor == FactorPhone {
			channel = notify.SMS
		}
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
