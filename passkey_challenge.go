package latchkey

import (
	"context"
	"errors"
	"slices"

	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/internal/record"
)

// StartPasskeyChallenge asks for one of the user's passkeys: as the factor that the session owes, or to make it fresh for a
// step-up. The page passes the options to navigator.credentials.get, and the answer to [Account.FinishPasskeyChallenge] in the same
// session, within five minutes. A session may have five questions to authenticators open; one more ends the oldest.
//
// Errors:
//   - [ErrAuthMethodUnsupported]: the host has no passkeys (Config.Passkeys).
//   - [ErrPasskeyNotFound]: the user has no passkey of the domain of Config.Passkeys.
//   - [ErrFactorDoesNotHelp]: the session owes a factor, and was made by a passkey.
//   - [ErrSessionNotFound]: for a JWT.
//   - [*ThrottledError]: as of [Account.CreateMFAChallenge].
func (a *Account) StartPasskeyChallenge(ctx context.Context) (_ *PasskeyCeremony, err error) {
	defer a.home().operation(&ctx, "start passkey challenge").end(&err)
	c, err := a.beginPasskeyChallenge(ctx)
	if err != nil {
		return nil, err
	}
	user, err := a.user(ctx, c.store)
	if err != nil {
		return nil, err
	}
	g, err := c.factorGuard(ctx, c.store, FactorPasskey, user)
	if err != nil {
		return nil, err
	}
	if err := c.limit(ctx, limitCreateChallenge, g.key); err != nil {
		return nil, err
	}
	id := newID()
	return accountUpdate(ctx, c, a, (*Account).standingOrOwing, func(ctx context.Context, tx *txn, user *record.User) (*PasskeyCeremony, error) {
		rows, err := passkeysOf(ctx, tx, user.ID)
		if err != nil {
			return nil, err
		}
		allowed := tx.credentialsOf(rows)
		if len(allowed) == 0 {
			return nil, ErrPasskeyNotFound
		}
		if err := a.mayHelp(ctx, tx.call, tx, FactorPasskey); err != nil {
			return nil, err
		}
		kind, err := a.challengeKind(ctx, tx)
		if err != nil {
			return nil, err
		}
		handle, err := handleOf(ctx, tx, user.ID)
		if err != nil {
			return nil, err
		}
		asked, err := tx.passkeys.Assert(ceremony.Assertion{Owner: handle, Allowed: allowed})
		if err != nil {
			return nil, err
		}
		return tx.beginCeremony(ctx, newCeremony{id: id, kind: kind, userID: user.ID, session: a.SessionID()}, asked)
	})
}

// beginPasskeyChallenge starts an operation of a session that may prove a passkey.
func (a *Account) beginPasskeyChallenge(ctx context.Context) (*call, error) {
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := a.mayActOrOwe(ctx, c, c.store); err != nil {
		return nil, err
	}
	if err := c.noPasskeys(); err != nil {
		return nil, err
	}
	if a.jwt != nil {
		return nil, ErrSessionNotFound
	}
	return c, nil
}

// challengeKind is the kind of ceremony that the session asks for.
func (a *Account) challengeKind(ctx context.Context, tx *txn) (string, error) {
	s, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
	if err != nil {
		return "", err
	}
	if tx.owes(checkOf(s)) {
		return ceremonyFactor, nil
	}
	return ceremonyStepUp, nil
}

// FinishPasskeyChallenge proves a passkey of the user. The session has proven the factor then, and is fresh for a step-up. It is
// returned with a new secret, as by [Account.ConfirmMFAChallenge]. Changes of factors ask for more: that the device has verified the
// user, unless the passkey is a second factor only. The question is used up by its first answer, whatever that is
// worth.
//
// Errors:
//   - [ErrArgumentInvalid]: the answer cannot be read.
//   - [ErrPasskeyRefused]: the question is unknown, of another session or ceremony, was answered or has expired; or the answer
//     proves nothing, or is by another user's passkey.
//   - [ErrPasskeyUnknown]: as an [*UnknownPasskeyError].
//   - [ErrAuthMethodUnsupported]
//   - [ErrSessionNotFound]: for a JWT.
//   - [*ThrottledError]: after ten calls of the session in an hour, after 300 failed sign-ins of any kind from the client address
//     in an hour, and while the factor is slowed.
func (a *Account) FinishPasskeyChallenge(ctx context.Context, answer []byte) (_ *Session, err error) {
	defer a.home().operation(&ctx, "finish passkey challenge").end(&err)
	c, err := a.beginPasskeyChallenge(ctx)
	if err != nil {
		return nil, err
	}
	said, err := c.passkeys.ReadAssertion(answer)
	if err != nil {
		return nil, malformedAnswer(err)
	}
	if err := c.limit(ctx, limitUpdateChallenge, a.session.ID+"\npasskey"); err != nil {
		return nil, err
	}
	return limitFailures(ctx, c, func() (*Session, error) { return a.answerByPasskey(ctx, c, said) })
}

// answerByPasskey compares an answer and records what it has proven.
func (a *Account) answerByPasskey(ctx context.Context, c *call, said *ceremony.Answer) (*Session, error) {
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	kept, err := accountUpdate(ctx, c, a, (*Account).standingOrOwing, func(ctx context.Context, tx *txn, user *record.User) (*keptOfCeremony, error) {
		kind, err := a.challengeKind(ctx, tx)
		if err != nil {
			return nil, err
		}
		g, err := tx.factorGuard(ctx, tx, FactorPasskey, user)
		if err != nil {
			return nil, err
		}
		if err := g.check(ctx, tx); err != nil {
			return nil, err
		}
		return tx.claimCeremony(ctx, kind, a.SessionID(), user, said.Challenge)
	})
	if err != nil {
		return nil, err
	}
	p, got, refusal := c.comparePasskey(ctx, ceremonyStepUp, kept, said, a.UserID())
	if _, wrong := errors.AsType[*Error](refusal); refusal != nil && !wrong {
		return nil, refusal
	}
	secret := newSecret()
	session, err := accountUpdate(ctx, c, a, (*Account).standingOrOwing, func(ctx context.Context, tx *txn, user *record.User) (*Session, error) {
		g, err := tx.factorGuard(ctx, tx, FactorPasskey, user)
		if err != nil {
			return nil, err
		}
		if refusal != nil {
			return nil, g.countWrong(ctx, tx)
		}
		s, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
		if err != nil {
			return nil, err
		}
		if _, err := tx.usePasskey(ctx, logChallengeRefuse, user, p, got); err != nil { // a copy that is refused has proven nothing
			return nil, err
		}
		if err := g.settle(ctx, tx, user, true, slices.Contains(shown(s), string(FactorPasskey)), ErrPasskeyRefused); err != nil {
			return nil, err
		}
		return a.provedFactor(ctx, tx, user, FactorPasskey, got.Verified || p.Second, secret)
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return nil, err
	}
	return session, nil
}

// StartPasskeyChallenge is [Account.StartPasskeyChallenge].
func (p *Pending) StartPasskeyChallenge(ctx context.Context) (*PasskeyCeremony, error) {
	return p.handle().StartPasskeyChallenge(ctx)
}

// FinishPasskeyChallenge is [Account.FinishPasskeyChallenge].
func (p *Pending) FinishPasskeyChallenge(ctx context.Context, answer []byte) (*Session, error) {
	return p.handle().FinishPasskeyChallenge(ctx, answer)
}
