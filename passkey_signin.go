package latchkey

import (
	"cmp"
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/ceremony"
	"example.com/latchkey/internal/record"
)

// PasskeyOffer asks for a sign-in by a passkey.
type PasskeyOffer struct {
	// Conditional offers the passkeys in the form of a page, beside saved passwords, as long as the page stands. The question is
	// good for five minutes all the same: the page asks for a new one before that, and ends the old offer first, because a
	// browser has one at a time.
	Conditional bool
}

// StartPasskeySession begins a sign-in by a passkey. It names no user: the browser shows the passkeys that it has for the
// service. The page passes the options to navigator.credentials.get, and the answer to [Guest.FinishPasskeySession] within five
// minutes. Nothing about any account is in the answer.
//
// A client address may have 40 unfinished ones, and a share of the addresses of which there are 1,024 has 100: one more ends the
// oldest of the address that has most. So all of them are at most 102,400 rows, each less than a KiB.
//
// Errors:
//   - [ErrAuthMethodUnsupported]: the host has no passkeys (Config.Passkeys), or the policy has switched MethodPasskey off.
//   - [*ThrottledError]: after 300 calls from a client address in an hour.
func (g *Guest) StartPasskeySession(ctx context.Context, o PasskeyOffer) (_ *PasskeyCeremony, err error) {
	defer g.home().operation(&ctx, "start passkey session").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	if err := c.maySignInByPasskey(); err != nil {
		return nil, err
	}
	if err := c.limitClient(ctx, limitStartPasskey); err != nil {
		return nil, err
	}
	asked, err := c.passkeys.Assert(ceremony.Assertion{Conditional: o.Conditional})
	if err != nil {
		return nil, err
	}
	n := newCeremony{id: newID(), kind: ceremonySignIn}
	return update(ctx, c, func(ctx context.Context, tx *txn) (*PasskeyCeremony, error) { return tx.beginCeremony(ctx, n, asked) })
}

// maySignInByPasskey refuses a sign-in by passkey that the host or the policy does not have.
func (c *call) maySignInByPasskey() error { return cmp.Or(c.noPasskeys(), c.enabled(MethodPasskey)) }

// FinishPasskeySession signs the user of a passkey in. The authenticator has verified its user, so the session has two factors: its
// Factors are passkey alone, and it owes none. A passkey that was made before MFA was switched on, in another session than the
// one that has done it, is one factor until a session of it has proven another one.
//
// The question is used up by its first answer, whatever that is worth. A passkey that the service does not know is an
// [*UnknownPasskeyError], of which the page tells the browser.
//
// Errors:
//   - [ErrArgumentInvalid]: the answer cannot be read.
//   - [ErrPasskeyRefused]: the question is unknown, of another ceremony, was answered or has expired; or the answer proves nothing:
//     it is of another page, names another user than that of the passkey, or the user was not verified.
//   - [ErrPasskeyUnknown]
//   - [ErrUserBlocked]: only with a right answer.
//   - [ErrAuthMethodUnsupported]
//   - [*ThrottledError]: after 300 calls from a client address in an hour. A signature cannot be guessed, so a passkey signs in also
//     while wrong passwords from the address are slowed.
func (g *Guest) FinishPasskeySession(ctx context.Context, answer []byte) (_ *Session, err error) {
	defer g.home().operation(&ctx, "finish passkey session").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	if err := c.maySignInByPasskey(); err != nil {
		return nil, err
	}
	said, err := c.passkeys.ReadAssertion(answer)
	if err != nil {
		return nil, malformedAnswer(err)
	}
	if err := c.limitClient(ctx, limitFinishPasskey); err != nil {
		return nil, err
	}
	return c.enterByPasskey(ctx, said)
}

// enterByPasskey answers a question and makes the session.
func (c *call) enterByPasskey(ctx context.Context, said *ceremony.Answer) (*Session, error) {
	kept, err := update(ctx, c, func(ctx context.Context, tx *txn) (*keptOfCeremony, error) {
		return tx.claimCeremony(ctx, ceremonySignIn, "", nil, said.Challenge)
	})
	if err != nil {
		return nil, err
	}
	p, got, err := c.comparePasskey(ctx, ceremonySignIn, kept, said, "")
	if err != nil {
		return nil, err
	}
	drawn := c.newSignIn(ctx, string(FactorPasskey), "", passkeyVerified)
	drawn.length = cmp.Or(drawn.length, time.Duration(kept.Length)*time.Second)
	return update(ctx, c, func(ctx context.Context, tx *txn) (*Session, error) {
		user, err := findUser(ctx, tx, p.UserID)
		if err != nil {
			return nil, err
		}
		if user == nil || p.Second || !got.Verified {
			return nil, tx.refuse(ctx, refused{logSessionRefuse, user, ErrPasskeyRefused})
		}
		if user.Blocked {
			return nil, tx.refuse(ctx, refused{logSessionRefuse, user, ErrUserBlocked})
		}
		used, err := tx.usePasskey(ctx, logSessionRefuse, user, p, got)
		if err != nil {
			return nil, err
		}
		if user.Unclaimed { // more is shown than the address
			user.Unclaimed = false
			if err := record.Users.Replace(ctx, tx, user); err != nil {
				return nil, err
			}
		}
		in := *drawn
		in.identity = used.ID
		if used.Single && user.MFA {
			in.factors = string(FactorPasskey)
		}
		return tx.createSession(ctx, user, &in)
	})
}

// comparePasskey compares an answer with the passkey that it names, which is one of a user if their id is given. It compares as
// much for an unknown passkey, and for one of another domain. The refusal is in the log.
func (c *call) comparePasskey(ctx context.Context, kind string, kept *keptOfCeremony, said *ceremony.Answer, userID string) (*record.Passkey, *ceremony.Asserted, error) {
	p, err := findPasskey(ctx, c.store, said.Credential)
	if err != nil {
		return nil, nil, err
	}
	unknown := p == nil
	foreign := !unknown && (userID != "" && p.UserID != userID || c.isElsewhere(p.RPID))
	owner := userID
	if !unknown && !foreign {
		owner = p.UserID
	}
	handle, err := handleOf(ctx, c.store, owner)
	if err != nil {
		return nil, nil, err
	}
	var got *ceremony.Asserted
	if unknown || foreign {
		c.passkeys.Decoy(kept.Asked, said)
		err = ceremony.ErrRefused
	} else {
		got, err = c.passkeys.Asserted(kept.Asked, said, credentialOf(p, handle))
	}
	switch {
	case err == nil:
		return p, got, nil
	case !errors.Is(err, ceremony.ErrRefused):
		return nil, nil, err
	}
	reason := ErrPasskeyRefused
	if unknown {
		reason = ErrPasskeyUnknown
	}
	err = c.update(ctx, func(ctx context.Context, tx *txn) error {
		user, err := findUser(ctx, tx, owner)
		if err != nil {
			return err
		}
		return tx.refuse(ctx, refused{refusalOf(kind), user, reason})
	})
	if unknown && errors.Is(err, ErrPasskeyUnknown) {
		err = c.unknownPasskey(said.Credential, ErrPasskeyUnknown)
	}
	return nil, nil, err
}
