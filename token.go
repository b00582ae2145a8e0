package latchkey

import (
	"context"
	"slices"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// Token is a short-lived secret for one purpose. A user and an address have at most
// one live token of a kind: a new one ends the one before.
type Token struct {
	ID        string    `json:"$id"`
	CreatedAt time.Time `json:"$createdAt"`
	// UserID is the id with which the secret is redeemed. It does not tell whether
	// the user exists, unless the policy discloses accounts.
	UserID string    `json:"userId"`
	Expire time.Time `json:"expire"`
	// Phrase is set if it was asked for, and is in the message too: two English words by
	// which a person recognises the message to their own request.
	Phrase string `json:"phrase"`
	// Secret is set for the server, by [Users.CreateToken] and for a guest of [Users.Guest], and in
	// an [OAuth2Result]. All others get it by message.
	Secret Secret `json:"-"`
}

// purpose is the use of a token. Tokens of one purpose serve no other.
type purpose struct {
	refuse  string  // the log's name of a wrong secret
	codes   bool    // some of its tokens are short enough to be guessed
	confirm limited // of confirming; signing in has a limit of its own
}

var (
	signsIn       = &purpose{refuse: logSessionRefuse, codes: true}
	verifiesEmail = &purpose{refuse: logVerificationRefuse, confirm: limitUpdateEmailVerify}
	verifiesPhone = &purpose{refuse: logVerificationRefuse, codes: true, confirm: limitUpdatePhoneVerify}
	recovers      = &purpose{refuse: logRecoveryRefuse, confirm: limitUpdateRecovery}
	changesEmail  = &purpose{refuse: logVerificationRefuse, confirm: limitUpdateEmailVerify}
	changesPhone  = &purpose{refuse: logVerificationRefuse, codes: true, confirm: limitUpdatePhoneVerify}
	restores      = &purpose{refuse: logRecoveryRefuse, confirm: limitUpdateRecovery}
	invites       = &purpose{refuse: logMembershipRefuse}

	anyPurpose = []*purpose{signsIn, verifiesEmail, recovers, changesEmail, restores}
)

// tokenKind is everything that differs between the kinds of tokens.
type tokenKind struct {
	name    string
	label   string // under which the secret of a link is digested; "" for a code
	purpose *purpose
	by      *contact // nil for tokens that the host hands over

	provider, factor string // of the sessions that it makes

	method   Methods // that switches it off; 0 if it cannot be
	message  notify.Kind
	ask      limited // of asking, by destination or user
	byClient bool    // asking is limited by client address too
	life     func(*Policy) time.Duration
}

var (
	kindMagicURL = &tokenKind{
		name: "magic-url", label: "magic/v1", purpose: signsIn, by: byEmail, provider: "magic-url", factor: factorEmail,
		method: MethodMagicURL, message: notify.MagicURL, ask: limitMagicURLToken, byClient: true,
		life: func(p *Policy) time.Duration { return p.Messages.MagicURLLength },
	}
	kindEmail = &tokenKind{
		name: "email", purpose: signsIn, by: byEmail, provider: "token", factor: factorEmail,
		method: MethodEmailOTP, message: notify.EmailOTP, ask: limitEmailToken, life: otpLength,
	}
	kindPhone = &tokenKind{
		name: "phone", purpose: signsIn, by: byPhone, provider: "phone", factor: factorPhone,
		method: MethodPhone, message: notify.PhoneOTP, ask: limitPhoneToken, byClient: true, life: otpLength,
	}
	kindCustom = &tokenKind{
		name: "custom", purpose: signsIn, provider: "token", factor: factorToken,
		life: func(*Policy) time.Duration { return customExpire },
	}
	kindEmailVerification = &tokenKind{
		name: "email-verification", label: "verify/v1", purpose: verifiesEmail, by: byEmail,
		message: notify.EmailVerification, ask: limitCreateEmailVerify,
		life: func(p *Policy) time.Duration { return p.Messages.EmailVerificationLength },
	}
	kindPhoneVerification = &tokenKind{
		name: "phone-verification", purpose: verifiesPhone, by: byPhone,
		method: MethodPhone, message: notify.PhoneVerification, ask: limitCreatePhoneVerify, byClient: true, life: otpLength,
	}
	kindRecovery = &tokenKind{
		name: "recovery", label: "recover/v1", purpose: recovers, by: byEmail,
		message: notify.Recovery, ask: limitCreateRecovery, byClient: true,
		life: func(p *Policy) time.Duration { return p.Messages.RecoveryLength },
	}

	// A user has one open change of each address: its slot is the user.
	kindEmailChange = &tokenKind{
		name: "email-change", label: "change/v1", purpose: changesEmail, by: byEmail, message: notify.EmailChange,
		life: func(p *Policy) time.Duration { return p.Messages.EmailVerificationLength },
	}
	kindPhoneChange = &tokenKind{
		name: "phone-change", purpose: changesPhone, by: byPhone, method: MethodPhone, message: notify.PhoneChange, life: otpLength,
	}

	// Tokens of these kinds restore a former address, which is their slot: it is held for its user
	// as long as they live. No change of the password ends them, because a thief could make one.
	kindEmailUndo = &tokenKind{name: "email-undo", label: "undo-email/v1", purpose: restores, by: byEmail, life: undoLength}
	kindPhoneUndo = &tokenKind{name: "phone-undo", label: "undo-phone/v1", purpose: restores, by: byPhone, life: undoLength}

	// A token of this kind hands a sign-in by a provider over to the page that has begun it. Its
	// slot is the identity.
	kindOAuth2 = &tokenKind{name: "oauth2", label: "oauth2/v1", purpose: signsIn, life: func(*Policy) time.Duration { return handOverLength }}

	// Invitations are kept with the memberships that they may become, and not with the tokens.
	kindInvitation = &tokenKind{
		name: "invitation", label: "invite/v1", purpose: invites, by: byEmail, provider: providerEmail, factor: factorEmail,
		method: MethodInvitation, message: notify.Invitation, ask: limitCreateMembership, life: invitationLength,
	}
	kindPhoneInvitation = &tokenKind{
		name: "phone-invitation", label: "invite/v1", purpose: invites, by: byPhone, provider: "phone", factor: factorPhone,
		method: MethodInvitation, message: notify.Invitation, ask: limitCreateMembership, life: invitationLength,
	}

	// tokenKinds has every kind of token. A secret of one kind never serves another, because
	// the kind is in its digest.
	tokenKinds = []*tokenKind{
		kindMagicURL, kindEmail, kindPhone, kindCustom, kindEmailVerification, kindPhoneVerification, kindRecovery,
		kindOAuth2, kindEmailChange, kindPhoneChange, kindEmailUndo, kindPhoneUndo,
	}
)

func undoLength(*Policy) time.Duration { return 7 * day }

// undoKind returns the kind of the links that restore an address.
func undoKind(by *contact) *tokenKind {
	if by == byPhone {
		return kindPhoneUndo
	}
	return kindEmailUndo
}

// changeKind returns the kind of the tokens that change an address by proof.
func changeKind(by *contact) *tokenKind {
	if by == byPhone {
		return kindPhoneChange
	}
	return kindEmailChange
}

// heldFor returns the id of the user for whom a former address is held, "" if it is held for no
// user.
func (c *call) heldFor(ctx context.Context, r store.Reader, by *contact, address string) (string, error) {
	if by == nil || address == "" {
		return "", nil
	}
	t, err := findTokenAt(ctx, r, undoKind(by).name, address)
	if t == nil || err != nil || !c.live(t.Created, t.Expire) {
		return "", err
	}
	return t.UserID, nil
}

func otpLength(p *Policy) time.Duration { return p.Messages.OTPLength }

func invitationLength(p *Policy) time.Duration { return p.Messages.InvitationLength }

// kindOf returns the kind of a row. A kind of a later version serves no purpose.
func kindOf(t *record.Token) *tokenKind {
	for _, kinds := range [][]*tokenKind{tokenKinds, {kindInvitation, kindPhoneInvitation}} {
		for _, k := range kinds {
			if k.name == t.Kind {
				return k
			}
		}
	}
	return &tokenKind{name: t.Kind}
}

// Limits of tokens.
const (
	// codeFailures is the number of wrong codes that voids a live one.
	codeFailures = 5
	// longCode is the length at which a custom token is too long to be guessed: 128
	// bits. Wrong codes do not void it.
	longCode  = 32
	maxSecret = 256 // bytes of a secret that is redeemed
	// aliasedCodes is the number of codes, the newest, that were promised one id and
	// are compared with a guess: asking for many addresses under one id makes
	// guessing no faster.
	aliasedCodes = 3

	customLength, customLeast, customMost = 6, 4, 128 // characters
	customExpire                          = 15 * time.Minute
	handOverLength                        = time.Minute
	customExpireLeast, customExpireMost   = time.Minute, year
)

// newToken is a token that is about to be made. Its random parts are drawn before
// the transaction.
type newToken struct {
	record.Token
	kind   *tokenKind
	secret string
}

// newToken draws a token of a kind, for an address, that is redeemed under an id.
func (c *call) newToken(kind *tokenKind, destination, alias, secret string) *newToken {
	n := &newToken{secret: secret, kind: kind, Token: record.Token{
		ID: newID(), Kind: kind.name, Slot: destination, Alias: alias, Destination: destination,
		Created: c.now, Expire: c.now.Add(kind.life(&c.policy)),
	}}
	if kind.label == "" {
		n.Length = int64(len(secret))
	}
	return n
}

// seal digests the secret: that of a link under its label, a code under a key that is
// not in the store.
func (n *newToken) seal(e *Engine) {
	if n.kind.label == "" {
		n.Digest = string(e.ring.DigestCode(codeParts(&n.Token, n.secret)...))
		return
	}
	sum, _ := secretDigest(n.secret, n.kind.label)
	n.Digest = string(sum[:])
}

// codeParts are the parts of the digest of a code.
func codeParts(t *record.Token, code string) []string {
	return []string{"code/v1", t.Kind, t.ID, t.Slot, code}
}

// show returns the token without its secret.
func (n *newToken) show() *Token { return showToken(&n.Token, n.Alias) }

// showToken returns a token, for a caller who knows it under an id.
func showToken(t *record.Token, userID string) *Token {
	return &Token{ID: t.ID, CreatedAt: t.Created, UserID: userID, Expire: t.Expire}
}

// showNewToken returns a token that was made, to the server with its secret.
func (c *call) showNewToken(n *newToken) *Token {
	t := n.show()
	if c.server {
		t.Secret = hide(n.secret)
	}
	return t
}

// insertToken is the one place where tokens are made. It ends the live one in the
// same slot.
func (tx *txn) insertToken(ctx context.Context, n *newToken) error {
	if err := tx.endToken(ctx, n.Kind, n.Slot); err != nil {
		return err
	}
	n.seal(tx.Engine)
	return record.Tokens.Insert(ctx, tx, &n.Token)
}

// endToken ends the token in a slot, if there is one.
func (tx *txn) endToken(ctx context.Context, kind, slot string) error {
	t, err := findTokenAt(ctx, tx, kind, slot)
	if t == nil || err != nil {
		return err
	}
	return record.Tokens.Delete(ctx, tx, store.Text(t.ID))
}

// findTokenAt returns the token in a slot, nil if absent.
func findTokenAt(ctx context.Context, r store.Reader, kind, slot string) (*record.Token, error) {
	return record.Tokens.Find(ctx, r, record.Tokens.Index("slot"), store.Text(kind), store.Text(slot))
}

// endTokens ends the open tokens of a user, and those that were sent to their
// addresses before the user had them. Links that restore an address stay.
func (tx *txn) endTokens(ctx context.Context, user *record.User) error {
	tokens, err := tokensOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if kindOf(t).purpose == restores {
			continue
		}
		if err := record.Tokens.Delete(ctx, tx, store.Text(t.ID)); err != nil {
			return err
		}
	}
	if err := tx.endTokensTo(ctx, user.Email); err != nil {
		return err
	}
	return tx.endTokensTo(ctx, user.Phone)
}

// endTokensTo ends the open tokens that were sent to an address, except for links that restore it.
func (tx *txn) endTokensTo(ctx context.Context, destination string) error {
	if destination == "" {
		return nil
	}
	for _, kind := range tokenKinds {
		if kind.purpose == restores {
			continue
		}
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

// link is a secret with the id under which it is redeemed. code is the secret as the
// person who has typed it means it.
type link struct{ userID, secret, code string }

// isLink reports whether the text has the form of the secret of a link, except for white space that
// was copied with it.
func (l link) isLink() bool {
	_, is := secretDigest(l.code, "")
	return is
}

// of returns the text to compare with a code. A long one is not typed, and so it is compared
// as it is, like the secret of a link.
func (l link) of(t *record.Token) string {
	if t.Length >= longCode {
		return l.secret
	}
	return l.code
}

// findLink returns the live token of a link that serves one of some purposes, nil
// absent.
func (c *call) findLink(ctx context.Context, r store.Reader, l link, purposes ...*purpose) (*record.Token, error) {
	for _, kind := range tokenKinds {
		sum, ok := secretDigest(l.secret, kind.label)
		if kind.label == "" || !ok || !slices.Contains(purposes, kind.purpose) {
			continue
		}
		t, err := record.Tokens.Find(ctx, r, record.Tokens.Index("digest"), store.Bytes(sum[:]))
		if t == nil && err == nil {
			continue
		}
		if err != nil || !c.live(t.Created, t.Expire) || t.UserID != l.userID && t.Alias != l.userID {
			return nil, err
		}
		return t, nil
	}
	return nil, nil
}

// mayRecover reports whether the mailbox of a user's address may set a new password: not if
// the user is blocked, or has proven to be somebody
// and never the address.
func mayRecover(user *record.User, now time.Time) bool {
	return !user.Blocked && user.Half != byEmail.name && (user.EmailVerified || !provenBeside(user, byEmail, now))
}

// endUndo ends the links that restore an address of a user, as far as end selects them. The caller
// stores the user.
func (tx *txn) endUndo(ctx context.Context, user *record.User, end func(t *record.Token) bool) error {
	tokens, err := tokensOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	user.Undo = time.Time{}
	for _, t := range tokens {
		switch {
		case kindOf(t).purpose != restores:
		case end(t):
			if err := record.Tokens.Delete(ctx, tx, store.Text(t.ID)); err != nil {
				return err
			}
		case t.Expire.After(user.Undo):
			user.Undo = t.Expire
		}
	}
	return nil
}

// endEveryUndo ends the links that restore an address, of every user.
func (tx *txn) endEveryUndo(ctx context.Context) error {
	for _, kind := range []*tokenKind{kindEmailUndo, kindPhoneUndo} {
		q := store.Query{Index: record.Tokens.Index("slot"), Equal: []store.Value{store.Text(kind.name)}, Limit: store.MaxLimit}
		for more := true; more; {
			tokens, err := record.Tokens.List(ctx, tx, q)
			if err != nil {
				return err
			}
			for _, t := range tokens {
				user, err := record.Users.Find(ctx, tx, record.Users.Primary(), store.Text(t.UserID))
				if err == nil && user != nil {
					user.Undo = time.Time{}
					err = record.Users.Replace(ctx, tx, user)
				}
				if err != nil {
					return err
				}
			}
			if _, err := tx.DeleteRange(ctx, q); err != nil {
				return err
			}
			more = len(tokens) == store.MaxLimit
		}
	}
	return nil
}
