package latchkey

import (
	"context"
	"encoding/hex"
	"net/url"
	"time"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/redirect"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// linkMaker makes a link of the id and the end of its token.
type linkMaker func(userID, expire string) string

// tokenRequest is a guest's request for a link or a code.
type tokenRequest struct {
	kind                *tokenKind
	userID, destination string
	phrase              bool
	secret              string
	link                linkMaker // nil for a code
}

// sendToken makes a token and sends it to its address. The address may belong to a
// user, to a user who is made at redemption, or to a blocked user, who gets nothing.
// All of them cost the same and get the same answer.
func (c *call) sendToken(ctx context.Context, r tokenRequest) (*Token, error) {
	if err := c.canAsk(r.kind); err != nil {
		return nil, err
	}
	if err := c.limitToken(ctx, r.kind, r.destination, r.destination, c.reserveAt(r.kind.by, r.destination)); err != nil {
		return nil, err
	}
	if r.kind.purpose == signsIn && r.kind.by == byEmail {
		if err := c.admitToken(ctx, r.destination); err != nil {
			return nil, err
		}
	}
	mock, mocked := c.mockCode(r.kind.by.channel, r.destination)
	if mocked {
		r.secret = mock
	}
	drawn := r.userID == ""
	if drawn {
		r.userID = newID()
	}
	asked, instead := c.newToken(r.kind, r.destination, r.userID, r.secret), newID()
	asked.Drawn, asked.Admitted = drawn, c.server
	phrase := ""
	if r.phrase {
		phrase = codes.Phrase()
	}
	made, err := update(ctx, c, func(ctx context.Context, tx *txn) (*sentToken, error) {
		made, err := tx.makeToken(ctx, *asked, instead)
		if err != nil {
			return nil, err
		}
		user := made.user
		// An unverified address of a blocked user may belong to someone else, so the mail
		// is sent.
		blocked := user != nil && user.Blocked && r.kind.by.verified(user)
		cannot := r.kind.purpose == recovers && (user == nil || !mayRecover(user, c.now)) ||
			r.kind.purpose == signsIn && user == nil && (made.held || !made.Admitted && c.maySignUp() != nil)
		message := c.tokenMessage(ctx, &made.newToken, user, r.link)
		message.Phrase = phrase
		tx.sendToken(&made.newToken, message, mocked || blocked || cannot)
		return made, nil
	})
	if err != nil {
		return nil, err
	}
	shown := c.showNewToken(&made.newToken)
	shown.UserID, shown.Phrase = made.answer, phrase
	return shown, nil
}

// sendToken sends the message of a token. If another token takes its slot, or it is used, before
// the message is sent, the message is not sent.
func (tx *txn) sendToken(n *newToken, m notify.Message, null bool) {
	tx.send(letter{message: m, null: null, code: code{codeOfToken, []byte(n.ID)}})
}

// canAsk refuses tokens of a kind that is switched off, or has no notifier.
func (c *call) canAsk(kind *tokenKind) error {
	if err := c.enabled(kind.method); err != nil {
		return err
	}
	if !c.canSend(kind.by.channel) {
		return kind.by.off
	}
	return nil
}

// admitToken refuses a link or a code to an address that no new user may have, whether or
// not a user has it already. If the policy tells callers who has an account, such a user gets
// it.
func (c *call) admitToken(ctx context.Context, address string) error {
	refused := c.admitEmail(ctx, address)
	if refused == nil || !c.policy.DiscloseAccounts {
		return refused
	}
	user, err := c.userAt(ctx, c.store, byEmail, address)
	if user != nil || err != nil {
		return err
	}
	return refused
}

// reserveAt returns the reserve of the user who has proven an address, at a client that is
// known to them. It reads as much for an address that nobody has.
func (c *call) reserveAt(by *contact, address string) *reserve {
	return &reserve{rule: limitMessagesReserve, key: func(ctx context.Context) (own string, err error) {
		user, err := c.userAt(ctx, c.store, by, address)
		if err != nil {
			return "", err
		}
		for _, proof := range []string{codeBy(by), failPassword} {
			k, failed := c.knownAs(ctx, c.store, proof, user)
			if failed != nil {
				return "", failed
			}
			if k.is && by.verified(user) {
				own = k.key
			}
		}
		return own, nil
	}}
}

// limitToken counts a call and the message that it sends. key is the key of the
// kind's limit.
func (c *call) limitToken(ctx context.Context, kind *tokenKind, key, destination string, r *reserve) error {
	if kind.byClient {
		if err := c.limitClient(ctx, kind.ask); err != nil {
			return err
		}
	}
	if err := c.limitSender(ctx, kind.by.channel, destination); err != nil {
		return err
	}
	if err := c.limitShared(ctx, kind.ask, key, r); err != nil {
		return err
	}
	return c.limitRecipient(ctx, kind.by.channel, destination, r)
}

// sentToken is a token that was made, with its user, nil if absent, and the id in the
// answer to the caller.
type sentToken struct {
	newToken
	user   *record.User
	held   bool // the address is held for a former user
	answer string
}

// makeToken inserts a token for the user who has its address, if any. instead is the
// id that the token gets if the one that was asked for is taken.
func (tx *txn) makeToken(ctx context.Context, n newToken, instead string) (*sentToken, error) {
	user, err := tx.userAt(ctx, tx, n.kind.by, n.Destination)
	if err != nil {
		return nil, err
	}
	holder, err := tx.heldFor(ctx, tx, n.kind.by, n.Destination)
	if err != nil {
		return nil, err
	}
	if err := tx.inheritAdmission(ctx, &n.Token); err != nil {
		return nil, err
	}
	answer, err := tx.settleAlias(ctx, &n, user, instead)
	if err != nil {
		return nil, err
	}
	if user != nil {
		n.UserID = user.ID
	}
	if err := tx.insertToken(ctx, &n); err != nil {
		return nil, err
	}
	logged := logTokenCreate
	if n.kind.purpose == recovers {
		logged = logRecoveryCreate
		if tx.policy.DiscloseAccounts {
			tx.event(user.ID, "recovery."+n.ID+".create", showToken(&n.Token, user.ID))
		}
	}
	row := tx.logRow(logged, "", hex.EncodeToString(tx.ring.Digest(failCode, n.Destination)))
	if user != nil {
		row = tx.logOf(logged, user)
	}
	return &sentToken{n, user, holder != "", answer}, record.Logs.Insert(ctx, tx, row)
}

// inheritAdmission lets a user be made of a token as of the open one that it may take the place of: a
// client does not void what the server has asked for.
func (tx *txn) inheritAdmission(ctx context.Context, n *record.Token) error {
	for _, kind := range tokenKinds {
		if kind.purpose != signsIn || kind.by == nil {
			continue
		}
		t, err := findTokenAt(ctx, tx, kind.name, n.Slot)
		if err != nil {
			return err
		}
		n.Admitted = n.Admitted || t != nil && t.Admitted && tx.live(t.Created, t.Expire)
	}
	return nil
}

// userAt returns the user who has an address, nil if absent.
func (c *call) userAt(ctx context.Context, r store.Reader, by *contact, address string) (*record.User, error) {
	user, err := record.Users.Find(ctx, r, by.index, store.Text(address))
	if user == nil && err == nil {
		decoy := *c.decoy
		record.Users.Record(record.Users.Row(&decoy)) // a row is decoded in both cases
	}
	return user, err
}

// settleAlias settles the id with which a token is redeemed, and returns the one in
// the answer. A recovery belongs to an existing user, and its answer names no user
// unless the policy discloses accounts.
func (tx *txn) settleAlias(ctx context.Context, n *newToken, user *record.User, instead string) (answer string, err error) {
	disclose := tx.policy.DiscloseAccounts
	if n.kind.purpose != recovers {
		if disclose {
			if err := tx.keepPromisedID(ctx, &n.Token, user); err != nil {
				return "", err
			}
		}
		answer = n.Alias
		return answer, tx.avoidTakenID(ctx, &n.Token, user, instead)
	}
	n.Drawn = false
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

// avoidTakenID gives a token another id than the one that was asked for, if that id
// belongs to another user: no caller signs in under another user's id. The answer
// does not show it; the link in the message has the right id.
func (tx *txn) avoidTakenID(ctx context.Context, n *record.Token, user *record.User, instead string) error {
	other, err := findUser(ctx, tx, n.Alias)
	if other != nil && (user == nil || other.ID != user.ID) {
		n.Alias = instead
	}
	return err
}

// keepPromisedID gives a token the id of the user who has its address, or the id that
// a live token has promised to the address.
func (tx *txn) keepPromisedID(ctx context.Context, n *record.Token, user *record.User) error {
	if user != nil {
		n.Alias, n.Drawn = user.ID, false
		return nil
	}
	for _, kind := range tokenKinds {
		if kind.purpose != signsIn {
			continue
		}
		t, err := findTokenAt(ctx, tx, kind.name, n.Slot)
		if err != nil {
			return err
		}
		if t != nil && tx.live(t.Created, t.Expire) {
			n.Alias, n.Drawn = t.Alias, false
			return nil
		}
	}
	return nil
}

// tokenMessage returns the message with a token, for its user or, without one, for
// the address. An address that the user has not proven gets no words of theirs.
func (c *call) tokenMessage(ctx context.Context, n *newToken, user *record.User, link linkMaker) notify.Message {
	m := notify.Message{
		ID: n.ID, Kind: n.kind.message, Channel: n.kind.by.channel, To: n.Destination, UserID: n.Alias, Secret: hide(n.secret),
		Time: n.Created, Expire: n.Expire, Locale: c.client.Locale,
	}
	if user != nil && n.kind.by.verified(user) {
		m.Name, m.Client = user.Name, c.messageClient(ctx)
	} else { // an attacker may have chosen both address and words
		m.Client = c.strangeClient(ctx)
	}
	if link != nil {
		m.Link = hide(link(n.Alias, wireTime(n.Expire)))
	}
	return m
}

// wireTime returns a time in the form of the documented API.
func wireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000-07:00") }

// checkAskedID refuses a text that cannot be the id of a user; "" asks for a fresh
// one.
func checkAskedID(userID string) error {
	if userID == "" {
		return nil
	}
	return checkUserID(userID)
}

// linkMaker returns the maker of a link to an address, nil for "".
func (e *Engine) linkMaker(to, secret string) (linkMaker, error) {
	return e.linkMakerTo("url", to, secret)
}

// linkMakerTo is linkMaker for an argument of another name.
func (e *Engine) linkMakerTo(argument, to, secret string) (linkMaker, error) {
	if to == "" {
		return nil, nil
	}
	u, err := e.redirects.Check(to)
	if err != nil {
		return nil, invalid(argument, err)
	}
	return func(userID, expire string) string {
		return redirect.With(u, redirect.Param{Name: "userId", Value: userID}, redirect.Param{Name: "secret", Value: secret},
			redirect.Param{Name: "expire", Value: expire})
	}, nil
}

// checkURL refuses a missing page, and one to which links may not lead.
func (e *Engine) checkURL(to string) (*url.URL, error) {
	if to == "" {
		return nil, invalid("url", reason.New(reason.Missing, "it is missing"))
	}
	u, err := e.redirects.Check(to)
	if err != nil {
		return nil, invalid("url", err)
	}
	return u, nil
}

// requiredLinkMaker is linkMaker where the address may not be "".
func (e *Engine) requiredLinkMaker(to, secret string) (linkMaker, error) {
	if _, err := e.checkURL(to); err != nil {
		return nil, err
	}
	return e.linkMaker(to, secret)
}

// NewMagicURLToken is the input of [Guest.CreateMagicURLToken].
type NewMagicURLToken struct {
	// UserID is the id of the user who is made at redemption, if no user has the
	// address by then; "" for a fresh one. It has the form of NewUser.UserID.
	UserID string
	Email  string
	// URL is the page that the link opens, on one of Config.RedirectHosts, at most
	// 2,048 bytes. Its path, query and fragment stay; userId, secret and expire are
	// added to the query. With "" the message has no link, and the host's Notifier
	// makes one of its UserID and Secret.
	URL    string
	Phrase bool // asks for Token.Phrase
}

// CreateMagicURLToken sends a link that signs the reader of the mail in. The page of
// the link calls [Guest.CreateSession] with the userId and the secret from the link,
// when the person presses a button: programs follow links in mails, and
// [Guest.InspectToken] looks at a link without using it. The link can be used once,
// for an hour unless the policy says otherwise. A new one ends it.
//
// The first link to an address that its user has not proven removes the password of the
// account: see [Guest.CreateSession].
//
// The answer is the same whether the address belongs to a user, to nobody, or to a
// blocked user. A new user is made when the link is used. A blocked user gets no mail
// to an address that they have proven. See [Policy].DiscloseAccounts. Nothing is sent to an
// address that no user has while sign-up is closed (Policy.SignUp), or while the address is held
// for its former user ([Account.ConfirmEmailChange]).
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address.
//   - [ErrSMTPDisabled]
//   - [ErrAuthMethodUnsupported]
//   - [*ThrottledError]: after 60 calls in an hour for the address or from the client
//     address, or 60 messages of any kind to the address. At a client address from which
//     the user has signed in within 90 days, ten more go to the address if it is proven.
func (g *Guest) CreateMagicURLToken(ctx context.Context, n NewMagicURLToken) (_ *Token, err error) {
	defer g.home().operation(&ctx, "create magic URL token").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	if err := checkAskedID(n.UserID); err != nil {
		return nil, err
	}
	email, err := checkEmail(n.Email)
	if err != nil {
		return nil, err
	}
	secret := newSecret().Reveal()
	link, err := c.linkMaker(n.URL, secret)
	if err != nil {
		return nil, err
	}
	return c.sendToken(ctx, tokenRequest{
		kind: kindMagicURL, userID: n.UserID, destination: email, phrase: n.Phrase, secret: secret, link: link,
	})
}

// NewEmailToken is the input of [Guest.CreateEmailToken].
type NewEmailToken struct {
	UserID string // as in NewMagicURLToken
	Email  string
	Phrase bool
}

// CreateEmailToken sends a code of six digits by e-mail, with which
// [Guest.CreateSession] signs in. It can be used once, for 15 minutes unless the
// policy says otherwise. Five wrong codes end it, and so does a new one. In everything
// else it is like [Guest.CreateMagicURLToken].
//
// Errors: those of CreateMagicURLToken, with another limit:
//   - [*ThrottledError]: after ten calls in an hour for the address, or 60 messages of
//     any kind to it.
func (g *Guest) CreateEmailToken(ctx context.Context, n NewEmailToken) (_ *Token, err error) {
	defer g.home().operation(&ctx, "create e-mail token").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	if err := checkAskedID(n.UserID); err != nil {
		return nil, err
	}
	email, err := checkEmail(n.Email)
	if err != nil {
		return nil, err
	}
	return c.sendToken(ctx, tokenRequest{kind: kindEmail, userID: n.UserID, destination: email, phrase: n.Phrase, secret: codes.OTP()})
}

// CreatePhoneToken sends a code of six digits by SMS, with which
// [Guest.CreateSession] signs in. userID is as in [NewMagicURLToken]. It is like
// [Guest.CreateEmailToken]. Its limit is ten calls in an hour for the number, and ten
// from the client address.
//
// Errors: those of CreateMagicURLToken, with [ErrPhoneDisabled] instead of
// ErrSMTPDisabled. A number to which the policy sends no texts is an invalid one,
// whether a user has it or not.
func (g *Guest) CreatePhoneToken(ctx context.Context, userID, phone string) (_ *Token, err error) {
	defer g.home().operation(&ctx, "create phone token").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	if err := checkAskedID(userID); err != nil {
		return nil, err
	}
	if phone, err = c.checkTextable(phone); err != nil {
		return nil, err
	}
	return c.sendToken(ctx, tokenRequest{kind: kindPhone, userID: userID, destination: phone, secret: codes.OTP()})
}
