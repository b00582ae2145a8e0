package latchkey

import (
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// CreateEmailVerification sends a link to the user's e-mail address, by which the
// reader of the mail proves it. The page of the link calls
// [Guest.ConfirmEmailVerification] with the userId and the secret from the link. The
// link can be used once, for seven days unless the policy says otherwise, while the
// address is the user's. A new one ends it. pageURL is the page that the link opens, in the
// form of NewMagicURLToken.URL.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrSMTPDisabled]
//   - [ErrEmailNotFound]
//   - [ErrEmailAlreadyVerified]
//   - [*ThrottledError]: after ten calls of the user in an hour, or after the messages
//     that an address or a client address may have.
func (a *Account) CreateEmailVerification(ctx context.Context, pageURL string) (_ *Token, err error) {
	defer a.home().operation(&ctx, "create e-mail verification").end(&err)
	return a.sendVerification(ctx, kindEmailVerification, newSecret().Reveal(), func(c *call, secret string) (linkMaker, error) {
		return c.requiredLinkMaker(pageURL, secret)
	})
}

// CreatePhoneVerification sends a code of six digits to the user's phone, with which
// [Guest.ConfirmPhoneVerification] proves the number. It can be used once, for 15
// minutes unless the policy says otherwise, while the number is the user's. Five wrong
// codes end it, and so does a new one.
//
// Errors:
//   - [ErrPhoneDisabled]: nothing can be sent, or the policy sends no texts to the number.
//   - [ErrAuthMethodUnsupported]
//   - [ErrPhoneNotFound]
//   - [ErrPhoneAlreadyVerified]
//   - [*ThrottledError]: after ten calls in an hour of the user, or from the client
//     address, or after the messages that a number, its country or a client address
//     may have.
func (a *Account) CreatePhoneVerification(ctx context.Context) (_ *Token, err error) {
	defer a.home().operation(&ctx, "create phone verification").end(&err)
	return a.sendVerification(ctx, kindPhoneVerification, codes.OTP(), nil)
}

// verificationLink returns the maker of the link of a secret.
type verificationLink func(c *call, secret string) (linkMaker, error)

// sendVerification makes a token that proves an address of the user, and sends it
// there. maker returns the maker of its link, nil for a code.
func (a *Account) sendVerification(ctx context.Context, kind *tokenKind, secret string, maker verificationLink) (*Token, error) {
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := a.mayAct(ctx, c, c.store); err != nil {
		return nil, err
	}
	var link linkMaker
	if maker != nil {
		if link, err = maker(c, secret); err != nil {
			return nil, err
		}
	}
	if err := c.canAsk(kind); err != nil {
		return nil, err
	}
	user, to, err := a.toVerify(ctx, c.store, kind.by)
	if err != nil {
		return nil, err
	}
	if !c.canSendTo(kind.by.channel, to) {
		return nil, kind.by.off
	}
	if err := c.limitToken(ctx, kind, "user "+user.ID, to, noReserve()); err != nil {
		return nil, err
	}
	mock, mocked := c.mockCode(kind.by.channel, to)
	if mocked {
		secret = mock
	}
	drawn := c.newToken(kind, to, user.ID, secret)
	drawn.UserID = user.ID
	err = c.update(ctx, func(ctx context.Context, tx *txn) error {
		if err := a.mayAct(ctx, c, tx); err != nil {
			return err
		}
		user, still, err := a.toVerify(ctx, tx, kind.by)
		if err != nil {
			return err
		}
		if still != to {
			return ErrBusy // the address has changed since the messages to it were counted
		}
		n := *drawn
		if err := tx.insertToken(ctx, &n); err != nil {
			return err
		}
		tx.sendToken(&n, c.tokenMessage(ctx, &n, user, link), mocked)
		tx.event(user.ID, "verification."+n.ID+".create", n.show())
		return tx.log(ctx, logVerificationCreate, user)
	})
	if err != nil {
		return nil, err
	}
	return c.showNewToken(drawn), nil
}

// toVerify returns the user and the address that is to be proven.
func (a *Account) toVerify(ctx context.Context, r store.Reader, by *contact) (*record.User, string, error) {
	user, err := a.user(ctx, r)
	switch {
	case err != nil:
		return nil, "", err
	case by.address(user) == "":
		return nil, "", by.missing
	case by.verified(user):
		return nil, "", by.already
	}
	return user, by.address(user), nil
}

// ConfirmEmailVerification proves the address to which a link of
// [Account.CreateEmailVerification] was sent. The caller needs no session. The account
// stays as it is, unlike after the first sign-in by a link: by opening the link the
// reader confirms that the account in the mail is theirs.
//
// A stranger may have made the account, and the reader may not have looked closely. So a
// later sign-in by mail or by SMS is still the first proof of the account, as in
// [Guest.CreateSession], unless the password has been shown meanwhile. A page that has a
// session of the user calls [Account.ConfirmEmailVerification] instead, and nothing of
// that follows.
//
// If the user has proven a phone number already, and the link is opened without a session, the
// account stays that of the number: a sign-in by mail takes the address from it, for an
// account of its own, unless the user has answered a challenge by mail meanwhile. The same
// holds for a number beside a proven address.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrInvalidToken]: the secret is wrong, was used, was replaced, has expired,
//     belongs to another user, or to an address that the user no longer has.
//   - [ErrUnauthorized]: the account has MFA and an authenticator on. Its links are
//     opened in a session. The link is used up.
//   - [ErrUserNotFound]: only if the policy discloses accounts.
//   - [ErrUserBlocked]: only with the right secret.
//   - [*ThrottledError]: after ten calls for the user id in an hour, and ten more with
//     the right secret.
func (g *Guest) ConfirmEmailVerification(ctx context.Context, userID, secret string) (_ *Token, err error) {
	defer g.home().operation(&ctx, "update e-mail verification").end(&err)
	return g.confirmAddress(ctx, verifiesEmail, userID, secret)
}

// ConfirmEmailVerification is [Guest.ConfirmEmailVerification] in the session of the user
// who had the link sent: it tells that the reader of the mail and the owner of the account
// are one person. A page of the link that has a session of the user calls this one. The
// link must be the user's own.
//
// Errors: those of Guest.ConfirmEmailVerification, and
//   - [ErrEmailAlreadyVerified], in the place of [ErrInvalidToken]: the address is verified,
//     for example by the same link a moment before.
func (a *Account) ConfirmEmailVerification(ctx context.Context, secret string) (_ *Token, err error) {
	defer a.home().operation(&ctx, "update e-mail verification").end(&err)
	return a.confirmAddress(ctx, verifiesEmail, secret)
}

// ConfirmPhoneVerification is [Guest.ConfirmPhoneVerification] in the session of the user
// who had the code sent, as for the e-mail address.
//
// Errors: those of Guest.ConfirmPhoneVerification, and [ErrPhoneAlreadyVerified].
func (a *Account) ConfirmPhoneVerification(ctx context.Context, secret string) (_ *Token, err error) {
	defer a.home().operation(&ctx, "update phone verification").end(&err)
	return a.confirmAddress(ctx, verifiesPhone, secret)
}

// confirmAddress proves an address of the user by a token of a purpose.
func (a *Account) confirmAddress(ctx context.Context, p *purpose, secret string) (*Token, error) {
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	claim, err := checkRedeemed(a.session.UserID, secret)
	if err != nil {
		return nil, err
	}
	if err := a.mayAct(ctx, c, c.store); err != nil {
		return nil, err
	}
	if err := claim.checkForm(p); err != nil {
		return nil, err
	}
	if err := c.limitConfirm(ctx, p, claim); err != nil {
		return nil, err
	}
	shown, err := c.redeemConfirmation(ctx, p, claim, a)
	if errors.Is(err, ErrInvalidToken) && a.jwt == nil { // the user may have pressed a link twice
		by := byEmail
		if p == verifiesPhone {
			by = byPhone
		}
		if user, failed := a.user(ctx, c.store); failed == nil && by.verified(user) {
			return nil, by.already
		}
	}
	return shown, err
}

// ConfirmPhoneVerification proves the number to which a code of
// [Account.CreatePhoneVerification] was sent. The caller needs no session. The code is read
// as by [Guest.CreateSession]: a text that is not six digits is not counted.
//
// Errors: those of ConfirmEmailVerification, where the limit is by user id and client
// address, and holds for the right code too, and
//   - [*ThrottledError]: after more than ten wrong codes in a row for the number, as
//     for [Guest.CreateSession].
func (g *Guest) ConfirmPhoneVerification(ctx context.Context, userID, secret string) (_ *Token, err error) {
	defer g.home().operation(&ctx, "update phone verification").end(&err)
	return g.confirmAddress(ctx, verifiesPhone, userID, secret)
}

// confirmAddress proves an address by a token of a purpose.
func (g *Guest) confirmAddress(ctx context.Context, p *purpose, userID, secret string) (*Token, error) {
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	claim, err := checkRedeemed(userID, secret)
	if err != nil {
		return nil, err
	}
	if err := claim.checkForm(p); err != nil {
		return nil, err
	}
	if err := c.limitConfirm(ctx, p, claim); err != nil {
		return nil, err
	}
	shown, err := c.redeemConfirmation(ctx, p, claim, nil)
	return shown, c.unlessUnknown(ctx, userID, err)
}

// redeemConfirmation is the transaction of a confirmation. account is that of the session
// that makes it, nil without one.
func (c *call) redeemConfirmation(ctx context.Context, p *purpose, claim link, account *Account) (*Token, error) {
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return update(ctx, c, func(ctx context.Context, tx *txn) (*Token, error) {
		if account != nil {
			if err := account.mayAct(ctx, c, tx); err != nil {
				return nil, err
			}
		}
		t, err := tx.claimToken(ctx, p, claim)
		if err != nil {
			return nil, err
		}
		user, err := tx.tokenOwner(ctx, t)
		if err != nil {
			return nil, err
		}
		if account == nil && guarded(user) {
			return nil, tx.refuse(ctx, refused{p.refuse, user, ErrUnauthorized})
		}
		tx.by.become(user)
		_, err = tx.changeUser(ctx, user, func(u *record.User) error {
			by := kindOf(t).by
			if account == nil || account.jwt != nil {
				openedLink(u, by, tx.now)
				return nil
			}
			provedBy(u, by)
			return nil
		})
		if err != nil {
			return nil, err
		}
		tx.event(user.ID, "verification."+t.ID+".update", showToken(t, user.ID))
		return showToken(t, user.ID), nil
	})
}

// openedLink proves an address of a user by a link whose reader may be another person than the
// owner of the account.
func openedLink(u *record.User, by *contact, now time.Time) {
	switch {
	case by.verified(u):
	case provenBeside(u, by, now) && !u.Unclaimed:
		u.Half = by.name
	case u.Password != nil:
		u.Unclaimed = true
	}
	by.setVerified(u, true)
}

// limitConfirm counts a call. The right secret of a link has a count of its own after
// the id's is used up: a link cannot be guessed, and strangers who use up the id's count
// must not keep the owner out. For the same reason codes are counted by client address
// too.
func (c *call) limitConfirm(ctx context.Context, p *purpose, l link) error {
	if err := c.limitClient(ctx, limitConfirmByClient); err != nil {
		return err
	}
	key := l.userID
	if p.codes {
		key += "\n" + c.client.network() // other bounds on guesses know the user
	}
	throttled := c.limit(ctx, p.confirm, key)
	if throttled == nil || p.codes {
		return throttled
	}
	t, err := c.findLink(ctx, c.store, l, p)
	if t == nil || err != nil {
		return throttled
	}
	if err := c.limit(ctx, p.confirm, "link "+t.ID); !errors.Is(err, ErrBusy) { // a link passes while the limiter fails
		return err
	}
	return nil
}

// tokenOwner returns the user of a token that proves an address, which must still be
// theirs.
func (tx *txn) tokenOwner(ctx context.Context, t *record.Token) (*record.User, error) {
	user, err := findUser(ctx, tx, t.UserID)
	switch {
	case err != nil:
		return nil, err
	case user == nil, kindOf(t).by.address(user) != t.Destination:
		return nil, ErrInvalidToken
	case user.Blocked:
		return nil, ErrUserBlocked
	}
	return user, nil
}

// unlessUnknown replaces the error of a wrong secret by ErrUserNotFound if the id
// belongs to no user and the policy discloses that.
func (c *call) unlessUnknown(ctx context.Context, userID string, err error) error {
	if !c.policy.DiscloseAccounts || !errors.Is(err, ErrInvalidToken) {
		return err
	}
	if user, failed := findUser(ctx, c.store, userID); user == nil && failed == nil {
		return ErrUserNotFound
	}
	return err
}
