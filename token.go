package latchkey

import (
	"context"
	"errors"
	"slices"
	"time"

	"example.com/latchkey/internal/record"
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

// findLink returns the live token of a link that serves one of some purposes, nil
// for none.
func findLink(ctx context.Context, r store.Reader, now time.Time, purposes []purpose, userID, secret string) (*record.Token, error) {
	for _, kind := range tokenKinds {
		sum, ok := Secret(secret).digest(kind.label)
		if kind.label == "" || !ok || !serves(kind, purposes) {
			continue
		}
		t, err := record.Tokens.Get(ctx, r, record.Tokens.Index("digest"), store.Bytes(sum[:]))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil || !t.Expire.After(now) || t.UserID != userID && t.Alias != userID {
			return nil, err
		}
		return t, nil
	}
	return nil, nil
}

// channelOf is the way by which a token was sent.
func channelOf(t *record.Token) notify.Channel {
	if t.Kind == tokenPhone || t.Kind == tokenPhoneVerification {
		return notify.SMS
	}
	return notify.Email
}

func shownToken(t *record.Token, userID string) *Token {
	return &Token{ID: t.ID, CreatedAt: t.Created, UserID: userID, Expire: t.Expire}
}

// mayRecover reports whether the mailbox of a user's address may take the account
// over: not if somebody has proven to have it by other means.
func mayRecover(user *record.User) bool {
	return !user.Blocked && (user.EmailVerified || !user.PhoneVerified)
}
