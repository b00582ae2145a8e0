package latchkey

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/courier"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/redirect"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// request is somebody's wish for a link or code.
type request struct {
	kind    string
	method  Methods
	named   string // the method, for a person
	message notify.Kind
	channel notify.Channel
	off     error // what it is when the channel is off
	limit   limited
	byIP    bool // the limit is of the client address too
	logged  string

	userID, destination string
	phrase              bool
	life                time.Duration
	secret              string
	link                func(userID, expire string) string // nil for a code
}

// ask makes a token and sends it to the address that it is for, whoever has it:
// a user, somebody who will be one when it is redeemed, or a blocked user, who
// gets nothing. All of them cost the same and get the same answer.
func (g *Guest) ask(ctx context.Context, now time.Time, r request) (*Token, error) {
	e := g.engine
	if err := e.policy.enabled(g.client, r.method, r.named); err != nil {
		return nil, err
	}
	if !e.can(r.channel) {
		return nil, r.off
	}
	if err := e.limit(ctx, g.client, now, r.limit, r.destination); err != nil {
		return nil, err
	}
	if r.byIP {
		if err := e.limit(ctx, g.client, now, r.limit, g.client.network()); err != nil {
			return nil, err
		}
	}
	if err := e.limitMessage(ctx, g.client, now, r.channel, r.destination); err != nil {
		return nil, err
	}
	mock, mocked := e.mock(r.channel, r.destination)
	if mocked {
		r.secret = mock
	}
	asked := e.newToken(r.kind, r.destination, orFresh(r.userID), r.secret, now, r.life)
	instead := newID()
	subject := e.ring.Digest(failCode, r.destination)
	var n newToken
	var user *record.User
	var told string // the id in the answer
	err := e.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) (err error) {
		n = *asked
		if user, err = tx.holder(ctx, r.channel, r.destination); err != nil {
			return err
		}
		if told, err = tx.alias(ctx, &n, user, instead); err != nil {
			return err
		}
		userKey := hex.EncodeToString(subject)
		if user != nil {
			n.UserID, userKey = user.ID, user.Key
		}
		if err := tx.insertToken(ctx, &n); err != nil {
			return err
		}
		if n.kind.purpose == recovers && e.policy.DiscloseAccounts {
			tx.event(user.ID, "recovery."+n.ID+".create", shownToken(&n.Token, user.ID))
		}
		return record.Logs.Insert(ctx, tx, tx.row(r.logged, n.UserID, userKey))
	})
	if err != nil {
		return nil, err
	}
	shown := n.shown(g.client)
	shown.UserID = told
	if r.phrase {
		shown.Phrase = codes.Phrase()
	}
	nobody := n.kind.purpose == recovers && (user == nil || !mayRecover(user))
	e.courier.Deliver(e.delivery(ctx, g.client, r, &n, user, shown.Phrase, mocked || nobody))
	return shown, nil
}

func orFresh(id string) string {
	if id == "" {
		return newID()
	}
	return id
}

// alias settles the id with which a token is redeemed, and returns the one that
// the caller is told. A recovery is of a user who is there, and names nobody
// unless the policy does.
func (tx *txn) alias(ctx context.Context, n *newToken, user *record.User, instead string) (told string, err error) {
	disclose := tx.engine.policy.DiscloseAccounts
	if n.kind.purpose != recovers {
		if disclose {
			if err := tx.promised(ctx, &n.Token, user); err != nil {
				return "", err
			}
		}
		told = n.Alias
		return told, tx.freeAlias(ctx, &n.Token, user, instead)
	}
	if user != nil {
		n.Alias = user.ID
	}
	switch {
	case !disclose:
		return "", nil
	case user == nil:
		return "", ErrUserNotFound
	case user.Blocked:
		return "", ErrUserBlocked
	}
	return user.ID, nil
}

// freeAlias gives a token another id than the one that was asked for, if that is
// somebody else's: nobody signs in under the name of another. The answer tells
// nothing of it; the link in the message has the right one.
func (tx *txn) freeAlias(ctx context.Context, n *record.Token, user *record.User, instead string) error {
	other, err := getUser(ctx, tx, n.Alias)
	if errors.Is(err, ErrUserNotFound) {
		return nil
	}
	if err == nil && (user == nil || other.ID != user.ID) {
		n.Alias = instead
	}
	return err
}

// promised lets a token name the user who has its address, or the id that a
// live token has promised to it.
func (tx *txn) promised(ctx context.Context, n *record.Token, user *record.User) error {
	if user != nil {
		n.Alias = user.ID
		return nil
	}
	for _, kind := range tokenKinds {
		if kind.purpose != signsIn {
			continue
		}
		t, err := record.Tokens.Get(ctx, tx, record.Tokens.Index("slot"), store.Text(kind.name), store.Text(n.Slot))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if t.Expire.After(tx.now) {
			n.Alias = t.Alias
			return nil
		}
	}
	return nil
}

// delivery is the message with a token in it, to whoever asked at a client.
func (e *Engine) delivery(ctx context.Context, c Client, r request, n *newToken, user *record.User, phrase string, null bool) courier.Delivery {
	m := notify.Message{
		ID: n.ID, Kind: r.message, Channel: r.channel, To: n.Destination, UserID: n.Alias, Secret: n.secret, Phrase: phrase,
		Time: n.Created, Expire: n.Expire, Client: e.told(ctx, c), Locale: c.Locale,
	}
	if user != nil {
		m.Name = user.Name
	}
	if r.link != nil {
		m.Link = r.link(n.Alias, wireTime(n.Expire))
	}
	// A blocked user whose address was never proven does not keep its owner out.
	return courier.Delivery{Message: m, Null: null || user != nil && user.Blocked && verified(user, r.channel)}
}

// wireTime is a time as the documented API writes it.
func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000-07:00") }

// NewMagicURLToken is what a magic link is made of.
type NewMagicURLToken struct {
	// UserID is the id of the user that is made at redemption, if nobody has
	// the address then; "" for a fresh one. It has the form of NewUser.UserID.
	UserID string
	Email  string
	// URL is where the link leads, on one of Config.RedirectHosts, at most
	// 2,048 bytes. Its path, query and fragment stay; userId, secret and expire
	// are added to the query. With "" the message has no link, and the host's
	// Notifier makes one of its UserID and Secret.
	URL    string
	Phrase bool // asks for Token.Phrase
}

// CreateMagicURLToken sends a link by which whoever reads the mail signs in:
// the page behind it calls [Guest.CreateSession] with the userId and the secret in
// it, when the person presses a button (programs follow links in mails;
// [Guest.InspectToken] looks at a link without using it). The link can be used
// once, for an hour unless the policy says otherwise; a new one ends it.
//
// Who has the address, whether anybody has, or is blocked, changes nothing in
// the answer: a user who does not exist is made when the link is used, and who
// is blocked gets no mail to an address that they have proven. See [Policy].DiscloseAccounts.
//
// Errors: [ErrArgumentInvalid]; [ErrSMTPDisabled]; [ErrAuthMethodUnsupported]; a
// [*ThrottledError] after 60 calls in an hour for the address or from the client
// address, or 60 messages of any kind to the address.
func (g *Guest) CreateMagicURLToken(ctx context.Context, n NewMagicURLToken) (*Token, error) {
	token, err := g.askMagicURL(ctx, n)
	return token, outward("create magic URL token", err)
}

func (g *Guest) askMagicURL(ctx context.Context, n NewMagicURLToken) (*Token, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	email, err := checkAsked(n.UserID, "email", n.Email, canon.Email)
	if err != nil {
		return nil, err
	}
	e, secret := g.engine, newSecret().Reveal()
	link, err := e.link(n.URL, secret)
	if err != nil {
		return nil, err
	}
	return g.ask(ctx, e.now(), request{
		kind: tokenMagicURL, method: MagicURL, named: "Magic URL", message: notify.MagicURL, channel: notify.Email, off: ErrSMTPDisabled,
		limit: limitMagicURLToken, byIP: true, logged: logTokenCreate,
		userID: n.UserID, destination: email, phrase: n.Phrase, life: e.policy.MagicURLLength, secret: secret, link: link,
	})
}

// checkAsked checks an id that is asked for and returns an address in canonical
// form.
func checkAsked(userID, what, address string, canonical func(string) (string, error)) (string, error) {
	if userID != "" {
		if err := canon.ID(userID); err != nil {
			return "", invalid("userId", err)
		}
	}
	address, err := canonical(address)
	if err != nil {
		return "", invalid(what, err)
	}
	return address, nil
}

// linkTo is link, where there has to be one.
func (e *Engine) linkTo(to, secret string) (func(userID, expire string) string, error) {
	if to == "" {
		return nil, invalid("url", errors.New("it is missing"))
	}
	return e.link(to, secret)
}

// link returns what makes a link of a secret, nil for none.
func (e *Engine) link(to, secret string) (func(userID, expire string) string, error) {
	if to == "" {
		return nil, nil
	}
	u, err := e.redirects.Check(to)
	if err != nil {
		return nil, invalid("url", err)
	}
	return func(userID, expire string) string {
		return redirect.With(u, redirect.Param{Name: "userId", Value: userID}, redirect.Param{Name: "secret", Value: secret},
			redirect.Param{Name: "expire", Value: expire})
	}, nil
}

// NewEmailToken is what a code by e-mail is made of.
type NewEmailToken struct {
	UserID string // as in NewMagicURLToken
	Email  string
	Phrase bool
}

// CreateEmailToken sends a code of six digits by e-mail, with which
// [Guest.CreateSession] signs in. It can be used once, for 15 minutes unless the
// policy says otherwise; five wrong codes end it, a new one does too. For
// everything else it is like [Guest.CreateMagicURLToken], but for its limit: ten
// calls in an hour for the address.
func (g *Guest) CreateEmailToken(ctx context.Context, n NewEmailToken) (*Token, error) {
	token, err := g.askEmail(ctx, n)
	return token, outward("create e-mail token", err)
}

func (g *Guest) askEmail(ctx context.Context, n NewEmailToken) (*Token, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	email, err := checkAsked(n.UserID, "email", n.Email, canon.Email)
	if err != nil {
		return nil, err
	}
	return g.ask(ctx, g.engine.now(), request{
		kind: tokenEmail, method: EmailOTP, named: "Email OTP", message: notify.EmailOTP, channel: notify.Email, off: ErrSMTPDisabled,
		limit: limitEmailToken, logged: logTokenCreate, userID: n.UserID, destination: email, phrase: n.Phrase, life: g.engine.policy.OTPLength, secret: codes.OTP(),
	})
}

// CreatePhoneToken sends a code of six digits by SMS, with which
// [Guest.CreateSession] signs in. userID is as in [NewMagicURLToken]. It is like
// [Guest.CreateEmailToken]; its limit is ten calls in an hour for the number, and
// ten from the client address.
//
// Errors: those of CreateMagicURLToken, with [ErrPhoneDisabled] instead of
// ErrSMTPDisabled.
func (g *Guest) CreatePhoneToken(ctx context.Context, userID, phone string) (*Token, error) {
	token, err := g.askPhone(ctx, userID, phone)
	return token, outward("create phone token", err)
}

func (g *Guest) askPhone(ctx context.Context, userID, phone string) (*Token, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	phone, err := checkAsked(userID, "phone", phone, func(s string) (string, error) { return s, canon.Phone(s) })
	if err != nil {
		return nil, err
	}
	return g.ask(ctx, g.engine.now(), request{
		kind: tokenPhone, method: Phone, named: "Phone", message: notify.PhoneOTP, channel: notify.SMS, off: ErrPhoneDisabled,
		limit: limitPhoneToken, byIP: true, logged: logTokenCreate, userID: userID, destination: phone, life: g.engine.policy.OTPLength, secret: codes.OTP(),
	})
}
