package latchkey

import (
	"context"
	"errors"
	"time"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

// verification is the wish of a signed-in user to prove an address.
type verification struct {
	kind             string
	message          notify.Kind
	channel          notify.Channel
	off              *Error // what it is when the channel is off
	missing, already *Error
	limit            limited
	byIP             bool
	life             time.Duration
	secret           string
	link             func(userID, expire string) string // nil for a code
}

// check returns the address that is to be proven.
func (v *verification) check(user *record.User) (string, error) {
	to := address(user, v.channel)
	switch {
	case to == "":
		return "", v.missing
	case verified(user, v.channel):
		return "", v.already
	}
	return to, nil
}

// CreateEmailVerification sends a link to the user's e-mail address, by which
// whoever reads the mail proves it: the page behind it calls
// [Guest.UpdateEmailVerification] with the userId and the secret in it. The link
// can be used once, for seven days unless the policy says otherwise, while the
// address is the user's; a new one ends it. to is where the link leads, as
// NewMagicURLToken.URL.
//
// Errors: [ErrArgumentInvalid]; [ErrSMTPDisabled]; [ErrEmailNotFound];
// [ErrEmailAlreadyVerified]; a [*ThrottledError] after ten calls of the user in an
// hour, or the messages that an address or a client address may have.
func (a *Account) CreateEmailVerification(ctx context.Context, to string) (*Token, error) {
	token, err := a.askVerification(ctx, func(e *Engine) (verification, error) {
		secret := newSecret().Reveal()
		link, err := e.linkTo(to, secret)
		return verification{
			kind: tokenEmailVerification, message: notify.EmailVerification, channel: notify.Email, off: ErrSMTPDisabled,
			missing: ErrEmailNotFound, already: ErrEmailAlreadyVerified, limit: limitCreateEmailVerify,
			life: e.policy.EmailVerificationLength, secret: secret, link: link,
		}, err
	})
	return token, outward("create e-mail verification", err)
}

// CreatePhoneVerification sends a code of six digits to the user's phone, with
// which [Guest.UpdatePhoneVerification] proves the number. It can be used once, for
// 15 minutes unless the policy says otherwise, while the number is the user's;
// five wrong codes end it, a new one does too.
//
// Errors: [ErrPhoneDisabled]; [ErrAuthMethodUnsupported]; [ErrPhoneNotFound];
// [ErrPhoneAlreadyVerified]; a [*ThrottledError] after ten calls in an hour of the
// user, or from the client address, or the messages that a number, its country
// or a client address may have.
func (a *Account) CreatePhoneVerification(ctx context.Context) (*Token, error) {
	token, err := a.askVerification(ctx, func(e *Engine) (verification, error) {
		return verification{
			kind: tokenPhoneVerification, message: notify.PhoneVerification, channel: notify.SMS, off: ErrPhoneDisabled,
			missing: ErrPhoneNotFound, already: ErrPhoneAlreadyVerified, limit: limitCreatePhoneVerify, byIP: true,
			life: e.policy.OTPLength, secret: codes.OTP(),
		}, e.policy.enabled(a.client, Phone, "Phone")
	})
	return token, outward("create phone verification", err)
}

func (a *Account) askVerification(ctx context.Context, of func(*Engine) (verification, error)) (*Token, error) {
	if a == nil || a.engine == nil {
		return nil, ErrUnauthorized
	}
	e := a.engine
	if err := e.open(); err != nil {
		return nil, err
	}
	now := e.now()
	if err := a.live(ctx, e.store, now); err != nil {
		return nil, err
	}
	v, err := of(e)
	if err != nil {
		return nil, err
	}
	if !e.can(v.channel) {
		return nil, v.off
	}
	user, err := a.user(ctx, e.store)
	if err != nil {
		return nil, err
	}
	to, err := v.check(user)
	if err != nil {
		return nil, err
	}
	if err := e.limit(ctx, a.client, now, v.limit, "user "+user.ID); err != nil {
		return nil, err
	}
	if v.byIP {
		if err := e.limit(ctx, a.client, now, v.limit, a.client.network()); err != nil {
			return nil, err
		}
	}
	if err := e.limitMessage(ctx, a.client, now, v.channel, to); err != nil {
		return nil, err
	}
	mock, mocked := e.mock(v.channel, to)
	if mocked {
		v.secret = mock
	}
	drawn := e.newToken(v.kind, to, user.ID, v.secret, now, v.life)
	drawn.UserID = user.ID
	var n newToken
	err = e.update(ctx, now, a.actor(), func(ctx context.Context, tx *txn) error {
		n = *drawn
		if err := a.live(ctx, tx, now); err != nil {
			return err
		}
		if user, err = a.user(ctx, tx); err != nil {
			return err
		}
		if still, err := v.check(user); err != nil {
			return err
		} else if still != to {
			return ErrBusy // the address has changed since the messages to it were counted
		}
		if err := tx.insertToken(ctx, &n); err != nil {
			return err
		}
		tx.event(user.ID, "verification."+n.ID+".create", n.shown(Client{}))
		return tx.log(ctx, logVerificationCreate, user)
	})
	if err != nil {
		return nil, err
	}
	e.courier.Deliver(e.delivery(ctx, a.client, request{message: v.message, channel: v.channel, link: v.link}, &n, user, "", mocked))
	return n.shown(a.client), nil
}

// UpdateEmailVerification proves the address that a link of
// [Account.CreateEmailVerification] was sent to. Nobody needs to be signed in. What
// the user has stays as it is, unlike after the first sign-in by a link: who
// opens the link says that the account that the mail names is theirs.
//
// Errors: [ErrArgumentInvalid]; [ErrInvalidToken] for a secret that is wrong,
// used, replaced, or has run out, of another user or an address that is no longer
// theirs; [ErrUserNotFound] if the policy discloses accounts; [ErrUserBlocked],
// with the right secret only; a [*ThrottledError] after ten calls for the user id
// in an hour, and ten more with the right secret.
func (g *Guest) UpdateEmailVerification(ctx context.Context, userID, secret string) (*Token, error) {
	token, err := g.confirm(ctx, verifiesEmail, limitUpdateEmailVerify, userID, secret)
	return token, outward("update e-mail verification", err)
}

// UpdatePhoneVerification proves the number that a code of
// [Account.CreatePhoneVerification] was sent to. Nobody needs to be signed in.
//
// Errors: those of UpdateEmailVerification, where the limit is of the user id and
// the client address, and holds for the right code too; a [*ThrottledError] after more than ten wrong codes in a row for the
// number, as for [Guest.CreateSession].
func (g *Guest) UpdatePhoneVerification(ctx context.Context, userID, secret string) (*Token, error) {
	token, err := g.confirm(ctx, verifiesPhone, limitUpdatePhoneVerify, userID, secret)
	return token, outward("update phone verification", err)
}

func (g *Guest) confirm(ctx context.Context, p purpose, l limited, userID, secret string) (*Token, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	if err := checkRedeemed(userID, secret); err != nil {
		return nil, err
	}
	e, now := g.engine, g.engine.now()
	if err := g.limitConfirm(ctx, now, p, l, userID, secret); err != nil {
		return nil, err
	}
	channel := notify.Email
	if p == verifiesPhone {
		channel = notify.SMS
	}
	var shown *Token
	var refused error
	err := e.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) error {
		shown, refused = nil, nil
		t, err := tx.claim(ctx, g.client, p, userID, secret, &refused)
		if err != nil || refused != nil {
			return err
		}
		user, err := tx.owner(ctx, t, channel)
		if err != nil {
			return err
		}
		tx.by.become(user)
		if _, err := tx.changeUser(ctx, user, func(u *record.User) error {
			if channel == notify.SMS {
				u.PhoneVerified = true
			} else {
				u.EmailVerified = true
			}
			return nil
		}); err != nil {
			return err
		}
		shown = shownToken(t, user.ID)
		tx.event(user.ID, "verification."+t.ID+".update", shownToken(t, user.ID))
		return nil
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, g.unlessUnknown(ctx, userID, err)
	}
	return shown, nil
}

// limitConfirm counts a call. The right secret of a link is counted by itself, when
// the id is used up: nobody guesses it, and strangers who count on an id must not
// keep its owner out. Codes are counted by client address too, for the same reason.
func (g *Guest) limitConfirm(ctx context.Context, now time.Time, p purpose, l limited, userID, secret string) error {
	key := userID
	if p.codes {
		key += "\n" + g.client.network() // what else bounds guesses knows the user
	}
	throttled := g.engine.limit(ctx, g.client, now, l, key)
	if throttled == nil || p.codes {
		return throttled
	}
	t, err := findLink(ctx, g.engine.store, now, []purpose{p}, userID, secret)
	if t == nil || err != nil {
		return throttled
	}
	l.guesses = false // nobody guesses a link
	return g.engine.limit(ctx, g.client, now, l, "link "+t.ID)
}

// owner returns the user of a token that proves an address, which has to be
// theirs still.
func (tx *txn) owner(ctx context.Context, t *record.Token, channel notify.Channel) (*record.User, error) {
	user, err := getUser(ctx, tx, t.UserID)
	if errors.Is(err, ErrUserNotFound) || err == nil && address(user, channel) != t.Destination {
		return nil, ErrInvalidToken
	}
	if err == nil && user.Blocked {
		return nil, ErrUserBlocked
	}
	return user, err
}

// unlessUnknown says, if the policy discloses it, that there is no user of an id
// that a wrong secret came with.
func (g *Guest) unlessUnknown(ctx context.Context, userID string, err error) error {
	if !g.engine.policy.DiscloseAccounts || !errors.Is(err, ErrInvalidToken) {
		return err
	}
	if _, unknown := getUser(ctx, g.engine.store, userID); errors.Is(unknown, ErrUserNotFound) {
		return unknown
	}
	return err
}
