package latchkey

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/redirect"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// Token is a short-lived secret for one purpose. There is at most one live token
// of a kind for a user and an address: a new one ends the one before.
type Token struct {
	ID        string
	CreatedAt time.Time
	// UserID is the id with which the secret is redeemed. It tells nothing
	// about whether there is such a user, unless the policy discloses accounts.
	UserID string
	Expire time.Time
	// Phrase is in the message too, if it was asked for: two words by which a
	// person knows that the message is about what they just did.
	Phrase string
	// Secret is set for the server alone: by [Users.CreateToken], and for a
	// [Client] that is the server's. Everybody else gets it by message.
	Secret Secret
}

// The kinds of tokens.
const (
	tokenMagicURL = "magic-url"
	tokenEmail    = "email"
	tokenPhone    = "phone"
	tokenCustom   = "custom"

	tokenEmailVerification = "email-verification"
	tokenPhoneVerification = "phone-verification"
	tokenRecovery          = "recovery"
)

// tokenKind is what differs between the kinds.
type tokenKind struct {
	name     string
	label    string // under which the secret of a link is digested, "" for a code
	purpose  purpose
	provider string // of the sessions that it makes
	factor   string
}

// tokenKinds has every kind. A secret of one kind never serves another: the
// kind is in its digest.
var tokenKinds = []tokenKind{
	{tokenMagicURL, "magic/v1", signsIn, "magic-url", factorEmail},
	{tokenEmail, "", signsIn, "token", factorEmail},
	{tokenPhone, "", signsIn, "phone", factorPhone},
	{tokenCustom, "", signsIn, "token", factorToken},
	{tokenEmailVerification, "verify/v1", verifiesEmail, "", ""},
	{tokenPhoneVerification, "", verifiesPhone, "", ""},
	{tokenRecovery, "recover/v1", recovers, "", ""},
}

func kindOf(t *record.Token) tokenKind {
	for _, k := range tokenKinds {
		if k.name == t.Kind {
			return k
		}
	}
	return tokenKind{name: t.Kind} // of a later version; it serves for nothing
}

// Limits of tokens.
const (
	otpDigits = 6
	// codeFailures is how many wrong codes void a live one.
	codeFailures = 5
	// longCode is how many characters make a custom token too long to be
	// guessed: 128 bits. Wrong codes do not void it.
	longCode  = 32
	maxSecret = 256 // bytes of a secret that is redeemed
	// aliasedCodes is how many codes, the newest, that were promised one id are
	// compared with a guess: who asks for many addresses under one id guesses
	// no faster.
	aliasedCodes = 3

	customLength, customLeast, customMost = 6, 4, 128 // characters
	customExpire                          = 15 * time.Minute
	customExpireLeast, customExpireMost   = time.Minute, year
)

// newToken is a token that is about to be made. What is random is drawn before
// the transaction.
type newToken struct {
	record.Token
	kind   tokenKind
	secret string
}

func (e *Engine) newToken(kind, destination, alias, secret string, now time.Time, life time.Duration) *newToken {
	n := &newToken{secret: secret, Token: record.Token{
		ID: newID(), Kind: kind, Slot: destination, Alias: alias, Destination: destination, Created: now, Expire: now.Add(life),
	}}
	if n.kind = kindOf(&n.Token); n.kind.label == "" {
		n.Length = int64(len(secret))
	}
	return n
}

// seal digests the secret: of a link under its label, of a code under a key that
// is not in the store.
func (n *newToken) seal(e *Engine) {
	if n.kind.label == "" {
		n.Digest = string(e.ring.DigestCode(codeParts(&n.Token, n.secret)...))
		return
	}
	sum, _ := Secret(n.secret).digest(n.kind.label)
	n.Digest = string(sum[:])
}

func codeParts(t *record.Token, code string) []string {
	return []string{"code/v1", t.Kind, t.ID, t.Slot, code}
}

// newOTP draws a code of six digits, each as likely as any other.
func newOTP() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // never: crypto/rand ends the program instead
	}
	return fmt.Sprintf("%0*d", otpDigits, n)
}

// insertToken is the one place where tokens are made. It ends the live one in
// the same place.
func (tx *txn) insertToken(ctx context.Context, n *newToken) error {
	if err := tx.endToken(ctx, n.Kind, n.Slot); err != nil {
		return err
	}
	n.seal(tx.engine)
	return record.Tokens.Insert(ctx, tx, &n.Token)
}

func (tx *txn) endToken(ctx context.Context, kind, slot string) error {
	t, err := record.Tokens.Get(ctx, tx, record.Tokens.Index("slot"), store.Text(kind), store.Text(slot))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return record.Tokens.Delete(ctx, tx, store.Text(t.ID))
}

// endTokens ends the open tokens of a user, and those that were sent to an
// address of theirs before anybody had it.
func (tx *txn) endTokens(ctx context.Context, user *record.User) error {
	tokens, err := tokensOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if err := record.Tokens.Delete(ctx, tx, store.Text(t.ID)); err != nil {
			return err
		}
	}
	if err := tx.endTokensTo(ctx, user.Email); err != nil {
		return err
	}
	return tx.endTokensTo(ctx, user.Phone)
}

// endTokensTo ends the open tokens that were sent to an address.
func (tx *txn) endTokensTo(ctx context.Context, destination string) error {
	if destination == "" {
		return nil
	}
	for _, kind := range tokenKinds {
		if err := tx.endToken(ctx, kind.name, destination); err != nil {
			return err
		}
	}
	return nil
}

// tokensOf returns the tokens of a user. There is one of a kind and address.
func tokensOf(ctx context.Context, r store.Reader, userID string) ([]*record.Token, error) {
	return record.Tokens.List(ctx, r, store.Query{
		Index: record.Tokens.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit,
	})
}

func (n *newToken) shown(c Client) *Token {
	t := &Token{ID: n.ID, CreatedAt: n.Created, UserID: n.Alias, Expire: n.Expire}
	if c.Server {
		t.Secret = Secret(n.secret)
	}
	return t
}

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
		shown.Phrase = newPhrase()
	}
	nobody := n.kind.purpose == recovers && (user == nil || !mayRecover(user))
	e.courier.deliver(e.delivery(ctx, g.client, r, &n, user, shown.Phrase, mocked || nobody))
	return shown, nil
}

func orFresh(id string) string {
	if id == "" {
		return newID()
	}
	return id
}

// holder returns the user who has an address, nil for nobody.
func (tx *txn) holder(ctx context.Context, channel notify.Channel, address string) (*record.User, error) {
	ix := record.Users.Index("email")
	if channel == notify.SMS {
		ix = record.Users.Index("phone")
	}
	user, err := record.Users.Get(ctx, tx, ix, store.Text(address))
	if errors.Is(err, store.ErrNotFound) {
		nobody := *tx.engine.nobody
		record.Users.Record(record.Users.Row(&nobody)) // a row is read for everybody
		return nil, nil
	}
	return user, err
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
func (e *Engine) delivery(ctx context.Context, c Client, r request, n *newToken, user *record.User, phrase string, null bool) delivery {
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
	return delivery{message: m, null: null || user != nil && user.Blocked && verified(user, r.channel)}
}

// verified reports whether a user has proven the address of a channel.
func verified(user *record.User, channel notify.Channel) bool {
	if channel == notify.SMS {
		return user.PhoneVerified
	}
	return user.EmailVerified
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
		limit: limitEmailToken, logged: logTokenCreate, userID: n.UserID, destination: email, phrase: n.Phrase, life: g.engine.policy.OTPLength, secret: newOTP(),
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
		limit: limitPhoneToken, byIP: true, logged: logTokenCreate, userID: userID, destination: phone, life: g.engine.policy.OTPLength, secret: newOTP(),
	})
}

// CreateToken makes a token with which the host's own way to know people signs
// a user in: it hands over the secret, the client calls [Guest.CreateSession].
// length is of lower-case hexadecimal digits, 4 to 128; 0 means 6. expire is a
// minute to 365 days; 0 means 15 minutes. A short token that lives long can be
// guessed: five wrong codes end every code of the user of fewer than 32 digits. A
// new token ends the one before.
//
// Errors: [ErrArgumentInvalid].
func (u *Users) CreateToken(ctx context.Context, id string, length int, expire time.Duration) (shown *Token, err error) {
	if err := u.open(id); err != nil {
		return nil, outward("create token", err)
	}
	length, expire = orDefault(length, customLength), orDefault(expire, customExpire)
	if length < customLeast || length > customMost {
		return nil, invalid("length", fmt.Errorf("not %d to %d", customLeast, customMost))
	}
	if expire < customExpireLeast || expire > customExpireMost {
		return nil, invalid("expire", fmt.Errorf("not %v to %v", customExpireLeast, customExpireMost))
	}
	random := newSecret().Reveal() + newSecret().Reveal()
	n := u.engine.newToken(tokenCustom, "", id, random[:length], u.engine.now(), expire)
	n.Slot, n.UserID = id, id
	err = u.change(ctx, "create token", id, func(ctx context.Context, tx *txn, user *record.User) error {
		if err := tx.insertToken(ctx, n); err != nil {
			return err
		}
		shown = n.shown(Client{})
		tx.event(user.ID, "tokens."+n.ID+".create", n.shown(Client{}))
		return tx.log(ctx, logTokenCreate, user)
	})
	if err != nil {
		return nil, err
	}
	shown.Secret = Secret(n.secret)
	return shown, nil
}

// purpose is what a token serves for.
type purpose struct {
	name   string
	refuse string // the log's name of a wrong secret
	codes  bool   // there are tokens that are short enough to be guessed
}

var (
	signsIn       = purpose{"sign in", logSessionRefuse, true}
	verifiesEmail = purpose{"verify e-mail", logVerificationRefuse, false}
	verifiesPhone = purpose{"verify phone", logVerificationRefuse, true}
	recovers      = purpose{"recover", logRecoveryRefuse, false}

	anyPurpose = []purpose{signsIn, verifiesEmail, recovers}
)

func serves(kind tokenKind, purposes []purpose) bool { return slices.Contains(purposes, kind.purpose) }
