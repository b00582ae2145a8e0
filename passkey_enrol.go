package latchkey

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"unicode/utf8"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

// PasskeyEnrolment asks for a new passkey. The zero value asks for one by which the user signs in.
type PasskeyEnrolment struct {
	// SecondFactor asks for a key that need not verify its user, such as a security key without a PIN. It is a second factor and
	// signs nobody in.
	SecondFactor bool
}

// StartPasskeyEnrolment begins to make a passkey of the user. The page passes the options to navigator.credentials.create, and the
// answer to [Account.FinishPasskeyEnrolment] in the same session, within five minutes. A session may have five questions to
// authenticators open; one more ends the oldest. The browser's InvalidStateError means that the authenticator has a passkey of
// the user already.
//
// Errors:
//   - [ErrAuthMethodUnsupported]: the host has no passkeys (Config.Passkeys).
//   - [ErrChallengeRequired]: the session has neither signed in nor answered a challenge within the window of the
//     policy; or the user has an authenticator or a passkey, and the session has not proven one of them, or
//     a recovery code, within that window. An anonymous account needs neither.
//   - [ErrSignUpClosed]: the account is anonymous, and no one may sign up.
//   - [ErrArgumentInvalid]: the user has ten passkeys; or the account is anonymous, and asks for a second factor.
//   - [ErrSessionNotFound]: for a JWT.
//   - [*ThrottledError]
func (a *Account) StartPasskeyEnrolment(ctx context.Context, e PasskeyEnrolment) (_ *PasskeyCeremony, err error) {
	defer a.home().operation(&ctx, "start passkey enrolment").end(&err)
	n := newCeremony{id: newID(), kind: ceremonyEnrol, session: a.SessionID(), second: e.SecondFactor}
	fresh := make([]byte, 64)
	_, _ = rand.Read(fresh) // never fails
	return accountChangeOften(ctx, a, func(ctx context.Context, tx *txn, user *record.User) (*PasskeyCeremony, error) {
		if _, err := a.mayEnrolPasskey(ctx, tx, user); err != nil {
			return nil, err
		}
		if n.second && anonymous(user) {
			return nil, errNoFirstFactor
		}
		rows, err := passkeysOf(ctx, tx, user.ID)
		if err != nil {
			return nil, err
		}
		if len(rows) >= maxPasskeys {
			return nil, errManyPasskeys
		}
		handle, err := handleOf(ctx, tx, user.ID)
		if err == nil && handle == nil {
			handle, err = fresh, record.Handles.Insert(ctx, tx, &record.Handle{UserID: user.ID, Handle: fresh})
		}
		if err != nil {
			return nil, err
		}
		asked, err := tx.passkeys.Enrol(ceremony.Enrolment{Owner: ownerOf(user, handle), Exclude: tx.credentialsOf(rows), Second: n.second})
		if err != nil {
			return nil, err
		}
		n.userID = user.ID
		return tx.beginCeremony(ctx, n, asked)
	})
}

// errNoFirstFactor refuses a second factor to an account that has no first one: it would have no way in.
var errNoFirstFactor = invalid("secondFactor", reason.New(reason.Conflict, "an anonymous account has no first factor"))

// errManyPasskeys refuses one passkey too many.
var errManyPasskeys = invalid("passkey", reason.New(reason.TooMany, "the user has %d passkeys", maxPasskeys))

// ownerOf returns a user as authenticators show them.
func ownerOf(user *record.User, handle []byte) ceremony.Owner {
	name := user.ID
	for _, text := range []string{user.Email, user.Phone, user.Name} {
		if text != "" {
			name = text
			break
		}
	}
	shown := user.Name
	if shown == "" {
		shown = name
	}
	return ceremony.Owner{Handle: handle, Name: cut(name, 64), DisplayName: cut(shown, 64)}
}

// cut returns the start of a text, of at most n bytes of whole characters.
func cut(text string, n int) string {
	for len(text) > n {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// mayEnrolPasskey is the gate of a new passkey. It returns the session.
func (a *Account) mayEnrolPasskey(ctx context.Context, tx *txn, user *record.User) (*record.Session, error) {
	if err := tx.noPasskeys(); err != nil {
		return nil, err
	}
	s, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
	if err != nil {
		return nil, err
	}
	if anonymous(user) { // it becomes a full account
		return s, tx.maySignUp()
	}
	if err := tx.requireFresh(checkOf(s), freshUnlessOff, tx.policy.Factors.StepUpWindow); err != nil {
		return nil, err
	}
	return s, tx.requireStrongest(user, s, freshUnlessOff)
}

// FinishPasskeyEnrolment makes the passkey that an authenticator has answered with. name tells the user's passkeys apart: 1 to 64
// characters, or empty for that of the program that keeps it. From then on the user signs in by it
// ([Guest.StartPasskeySession]), or has it as a second factor. This session has proven it. An anonymous account becomes a full
// one, which a lost device may lose. The user gets a notice.
//
// The question is used up by its first answer, whatever that is worth. If a passkey was made and can be taken no more, the error is
// an [*UnknownPasskeyError], of which the page tells the browser. A refusal before that, for example of the name, leaves the question
// open: the page sends the same answer once more.
//
// Errors: those of [Account.StartPasskeyEnrolment], and
//   - [ErrArgumentInvalid]: the name, or the answer cannot be read.
//   - [ErrPasskeyRefused]: the question is unknown, of another session, was answered or has expired; or the answer proves
//     nothing: it is of another page, its key is none of EdDSA, ES256 or RSA with 2,048 to 4,096 bits, or the user was not
//     verified where that was asked for.
//   - [ErrPasskeyAlreadyExists]
func (a *Account) FinishPasskeyEnrolment(ctx context.Context, answer []byte, name string) (_ *Passkey, err error) {
	defer a.home().operation(&ctx, "finish passkey enrolment").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := checkLabel(name); err != nil && name != "" {
		return nil, err
	}
	if err := c.noPasskeys(); err != nil {
		return nil, err
	}
	said, err := c.passkeys.ReadEnrolment(answer)
	if err != nil {
		return nil, malformedAnswer(err)
	}
	kept, err := accountChangeOften(ctx, a, func(ctx context.Context, tx *txn, user *record.User) (*keptOfCeremony, error) {
		if _, err := a.mayEnrolPasskey(ctx, tx, user); err != nil {
			return nil, err
		}
		return tx.claimCeremony(ctx, ceremonyEnrol, a.SessionID(), user, said.Challenge)
	})
	var made *Passkey
	switch {
	case err == nil:
		made, err = a.takePasskey(ctx, kept, said, name)
	case !isLate(err): // the question is open, or another call answers it
		return nil, err
	}
	if _, refused := errors.AsType[*Error](err); !refused {
		return made, err
	}
	there, broken := findPasskey(ctx, c.store, said.Credential)
	if broken != nil || there != nil {
		return nil, err
	}
	return nil, c.unknownPasskey(said.Credential, err)
}

// isLate reports whether an error is that of an answer whose question has expired.
func isLate(err error) bool {
	e, is := errors.AsType[*Error](err)
	return is && e == errPasskeyLate
}

// takePasskey stores the passkey of an answer.
func (a *Account) takePasskey(ctx context.Context, kept *keptOfCeremony, said *ceremony.Answer, name string) (*Passkey, error) {
	made, err := a.engine.passkeys.Enrolled(kept.Asked, said)
	switch {
	case errors.Is(err, ceremony.ErrRefused):
		return nil, ErrPasskeyRefused
	case err != nil:
		return nil, err
	}
	id := newID()
	return accountChange(ctx, a, func(ctx context.Context, tx *txn, user *record.User) (*Passkey, error) {
		s, err := a.mayEnrolPasskey(ctx, tx, user)
		if err != nil {
			return nil, err
		}
		rows, err := passkeysOf(ctx, tx, user.ID)
		if err != nil {
			return nil, err
		}
		there, err := findPasskey(ctx, tx, made.ID)
		switch {
		case err != nil:
			return nil, err
		case there != nil: // whoever has it
			return nil, ErrPasskeyAlreadyExists
		case len(rows) >= maxPasskeys:
			return nil, errManyPasskeys
		}
		if name == "" {
			name = tx.nameOfPasskey(made.AAGUID)
		}
		p := &record.Passkey{
			ID: id, UserID: user.ID, Digest: record.CredentialDigest(made.ID), Credential: made.ID, Key: made.Key, RPID: tx.passkeys.RPID(), Name: name,
			AAGUID: made.AAGUID, Format: made.Format, Transports: strings.Join(made.Transports, " "), Created: tx.now, Updated: tx.now,
			Count: int64(made.Count), Eligible: made.Eligible, Synced: made.Synced, Second: kept.Second, Session: s.ID,
		}
		if err := record.Passkeys.Insert(ctx, tx, p); err != nil {
			return nil, err
		}
		addFactor(s, string(FactorPasskey))
		s.Assumed = withoutFactor(s.Assumed, string(FactorPasskey)) // the session has shown it now
		s.Strong = tx.now
		if err := record.Sessions.Replace(ctx, tx, s); err != nil {
			return nil, err
		}
		if err := tx.countPasskeys(ctx, user); err != nil {
			return nil, err
		}
		if tx.policy.Sessions.EndOnChange {
			if err := tx.endSessions(ctx, user, s.ID); err != nil {
				return nil, err
			}
		}
		tx.noticeFactors(notify.PasskeyAdded, user)
		tx.event(user.ID, "passkeys."+p.ID+".create", tx.showPasskey(p))
		return tx.showPasskey(p), tx.log(ctx, logPasskeyCreate, user)
	})
}

// checkLabel refuses a text that cannot be the name of a passkey.
func checkLabel(name string) error {
	err := canon.Name(name)
	switch {
	case utf8.RuneCountInString(name) > maxLabel:
		err = reason.New(reason.TooLong, "more than %d characters", maxLabel)
	case strings.TrimSpace(name) == "":
		err = reason.New(reason.Missing, "empty")
	}
	if err != nil {
		return invalid("name", err)
	}
	return nil
}
