package latchkey

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// InspectToken looks at the token of a link without using it, so that a page can say
// what the link is for, or that it has expired. A code cannot be looked at.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrInvalidToken]
func (g *Guest) InspectToken(ctx context.Context, userID, secret string) (_ *Token, err error) {
	defer g.home().operation(&ctx, "inspect token").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	l, err := checkRedeemed(userID, secret)
	if err != nil {
		return nil, err
	}
	t, err := c.findLink(ctx, c.store, l, anyPurpose...)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errWrongLink
	}
	return showToken(t, userID), nil
}

// checkRedeemed refuses texts that cannot be an id and a secret. It reads the secret as it
// was typed.
func checkRedeemed(userID, secret string) (link, error) {
	if err := checkUserID(userID); err != nil {
		return link{}, err
	}
	if secret == "" || len(secret) > maxSecret || !utf8.ValidString(secret) {
		return link{}, invalid("secret", reason.New(reason.OutOfRange, "not 1 to %d bytes of UTF-8", maxSecret))
	}
	return link{userID, secret, codes.Typed(secret)}, nil
}

// checkForm refuses a text that has the form of no code of a purpose. It is no guess, so it is
// not counted, and the right code may be given at once.
func (l link) checkForm(p *purpose) error {
	if !p.codes || l.isLink() || codes.IsOTP(l.code) || p == signsIn && isCustom(l.code) {
		return nil
	}
	return errNoCode
}

// checkLength refuses a text that is no six digits, unless a live token of the host's has its
// length. It is not counted as a wrong code, but as a call of the client.
func (c *call) checkLength(ctx context.Context, l link) error {
	if l.isLink() || codes.IsOTP(l.code) {
		return nil
	}
	live, err := c.codesOf(ctx, c.store, signsIn, l.userID)
	if err == nil && !slices.ContainsFunc(live, func(t *record.Token) bool { return t.Length == int64(len(l.of(t))) }) {
		err = l.wrong()
	}
	return err
}

// isCustom reports whether a text has the form of a token of the host's: hexadecimal digits.
func isCustom(text string) bool {
	return len(text) >= customLeast && len(text) <= customMost && strings.Trim(text, "0123456789abcdef") == ""
}

// CreateSession signs in the bearer of a link or a code: by magic URL, e-mail, SMS, or
// the host's own. userID is the one in the link, or in the answer of the call that
// made the token; the user's own id serves too. The token is used up.
//
// If no user has the address yet, one is made, with the id that was promised unless
// another user has taken it since. A link or a code by e-mail verifies the address, a
// code by SMS the number.
//
// If a user has the address and no address of theirs is verified, an attacker who did not
// own the address may have planted parts of the account. The first proof then removes
// password, other address, sessions and tokens, and the user sets a new password with
// [Account.UpdatePassword]. If that user has verified another address, or is blocked, the
// bearer is another person: they get an account of their own, and the address with it.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrInvalidToken]: the secret is wrong, was used, was replaced or has expired, or
//     the user is unknown. The message says whether it was a link or a code.
//   - [ErrUserBlocked]: only with the right secret.
//   - [*ThrottledError]: after ten calls in an hour for the id from the client address,
//     and, as for passwords, after more than ten wrong codes in a row for the id, or
//     for the address to which the code was sent; and, as for passwords, after 300 failed
//     sign-ins of any kind from the client address in an hour.
//   - [ErrUserCountExceeded]
//
// Five wrong codes end every code of the user, and those that were sent to the same
// address.
//
// White space, dashes and signs that are not shown may be anywhere in a code, and its digits
// may be those of any script. A text that is then not six digits, nor as long as an open
// token of [Users.CreateToken], is refused and not counted. The secret of a link, and a token
// of 32 characters or more, is compared as it is.
func (g *Guest) CreateSession(ctx context.Context, userID, secret string) (_ *Session, err error) {
	defer g.home().operation(&ctx, "create session").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	claim, err := checkRedeemed(userID, secret)
	if err != nil {
		return nil, err
	}
	if err := claim.checkForm(signsIn); err != nil {
		return nil, err
	}
	key := userID + "\n" + c.client.network()
	if err := c.limitClient(ctx, limitSessionByClient); err != nil {
		return nil, err
	}
	if err := c.checkLength(ctx, claim); err != nil {
		return nil, err
	}
	if err := c.limit(ctx, limitSession, key); err != nil {
		return nil, err
	}
	session, err := limitFailures(ctx, c, func() (*Session, error) { return c.redeem(ctx, claim) })
	if err != nil {
		return nil, err
	}
	c.unlimit(ctx, limitSession, key)
	return session, nil
}

// redeem makes the session of the bearer of a link or a code.
func (c *call) redeem(ctx context.Context, claim link) (*Session, error) {
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	drawn := c.newSignIn(ctx, "", "", "")
	fresh := newUser(newID(), c.now)
	return update(ctx, c, func(ctx context.Context, tx *txn) (*Session, error) {
		t, err := tx.claimToken(ctx, signsIn, claim)
		if err != nil {
			return nil, err
		}
		if kindOf(t) == kindOAuth2 {
			return tx.enterByHandOver(ctx, t, *drawn)
		}
		return tx.enterByToken(ctx, t, *fresh, *drawn)
	})
}

// claimToken deletes the token of a secret that serves a purpose, and returns it. A
// wrong code is counted. The error for a wrong secret commits.
func (tx *txn) claimToken(ctx context.Context, p *purpose, l link) (*record.Token, error) {
	t, err := tx.findLink(ctx, tx, l, p)
	if t == nil && err == nil {
		if p.codes {
			t, err = tx.matchCode(ctx, p, l)
		} else {
			err = tx.refuseLink(ctx, p, l.userID)
		}
	}
	if err != nil {
		return nil, err
	}
	return t, record.Tokens.Delete(ctx, tx, store.Text(t.ID))
}

// refuseLink refuses a secret that is not that of a link.
func (tx *txn) refuseLink(ctx context.Context, p *purpose, userID string) error {
	user, err := findUser(ctx, tx, userID)
	if err != nil {
		return err
	}
	return tx.refuse(ctx, refused{p.refuse, user, errWrongLink})
}

// codesOf returns the live codes of a purpose that may be redeemed under an id: those
// of the user, and those that were promised the id.
func (c *call) codesOf(ctx context.Context, r store.Reader, p *purpose, userID string) ([]*record.Token, error) {
	own, err := tokensOf(ctx, r, userID)
	if err != nil {
		return nil, err
	}
	aliased, err := record.Tokens.List(ctx, r, store.Query{
		Index: record.Tokens.Index("alias"), Equal: []store.Value{store.Text(userID)}, Descending: true, Limit: 10 * aliasedCodes,
	})
	if err != nil {
		return nil, err
	}
	isNoCode := func(t *record.Token) bool {
		kind := kindOf(t)
		return kind.purpose != p || kind.label != "" || !c.live(t.Created, t.Expire)
	}
	own = slices.DeleteFunc(own, isNoCode)
	aliased = slices.DeleteFunc(aliased, func(t *record.Token) bool {
		return isNoCode(t) || slices.ContainsFunc(own, func(o *record.Token) bool { return o.ID == t.ID })
	})
	return append(own, aliased[:min(len(aliased), aliasedCodes)]...), nil
}

// isCode reports whether a secret is the code of a token. Its error says that the engine
// lacks the key and cannot tell.
func (e *Engine) isCode(ctx context.Context, t *record.Token, l link) (bool, error) {
	return compare(ctx, func() (bool, error) { return e.ring.IsCode([]byte(t.Digest), codeParts(t, l.of(t))...) })
}

// matchCode returns the token of a code among those that may be redeemed under an id.
// The count of wrong codes survives new codes. While it is slowed, its codes are not
// compared. A token that is too long to be guessed is always compared.
func (tx *txn) matchCode(ctx context.Context, p *purpose, l link) (*record.Token, error) {
	live, err := tx.codesOf(ctx, tx, p, l.userID)
	if err != nil {
		return nil, err
	}
	var unknown error // the key of a code that was compared
	for _, t := range live {
		if t.Length < longCode {
			continue
		}
		right, err := tx.isCode(ctx, t, l)
		if right {
			return t, nil
		}
		unknown = cmp.Or(unknown, err)
	}
	user, err := findUser(ctx, tx, l.userID)
	if err != nil {
		return nil, err
	}
	all, err := tx.candidatesOf(ctx, l.userID, user, live)
	if err != nil {
		return nil, err
	}
	var match *candidates
	for _, some := range all { // all of them, whichever matches
		for _, t := range some.codes {
			right, err := tx.isCode(ctx, t, l)
			if right {
				match = some
				match.right = t
			}
			some.unknown = some.unknown || err != nil
			unknown = cmp.Or(unknown, err)
		}
	}
	if match != nil { // for the others it was a wrong one: otherwise a code of the attacker's own would pay for guesses
		others := slices.DeleteFunc(all, func(some *candidates) bool { return some == match })
		if err := tx.countWrongCode(ctx, l, others); err != nil {
			return nil, err
		}
		return match.right, match.forgetWrong(ctx, tx)
	}
	// A code of an unknown key may be right, so it is not counted as wrong. The others are.
	certain := slices.DeleteFunc(all, func(some *candidates) bool { return some.unknown })
	if err := tx.countWrongCode(ctx, l, certain); err != nil {
		return nil, err
	}
	if unknown != nil {
		return nil, &refusal{tx.keyFault(unknown)}
	}
	return nil, tx.refuse(ctx, refused{p.refuse, user, l.wrong()})
}

// wrong returns the error for a text that is not one of the secrets that it could be. It depends
// on the text alone: it does not tell whether the host has made a token of that length.
func (l link) wrong() *Error {
	switch {
	case l.isLink():
		return errWrongLink
	case codes.IsOTP(l.code):
		return errWrongCode
	}
	return errOtherCode
}

// candidates are the codes that a text is compared with, under one count of wrong
// ones.
type candidates struct {
	guard
	codes []*record.Token
	right *record.Token
	slow  error // the guard refuses them; nil if it does not
	// unknown says that the engine lacks the key of one of them.
	unknown bool
}

// candidatesOf sorts codes by the identifier of their count. If all of them are slowed
// it returns that as its error; otherwise it leaves the slowed ones out. Without codes
// the id itself is counted. A code that was promised an id which only its asker knows is
// compared although strangers have slowed its address: five wrong answers end it, and a
// hundred in a row for the address end that.
func (tx *txn) candidatesOf(ctx context.Context, userID string, user *record.User, live []*record.Token) ([]*candidates, error) {
	var all []*candidates
	add := func(identifier string, owner *record.User, promised bool) (*candidates, error) {
		g, err := tx.guardFor(ctx, tx, failCode, identifier, owner)
		if err != nil {
			return nil, err
		}
		g.promised = promised
		for _, some := range all {
			if string(some.subject) == string(g.subject) && some.promised == promised {
				return some, nil
			}
		}
		err = g.check(ctx, tx)
		if slowed := (*ThrottledError)(nil); err != nil && !errors.As(err, &slowed) {
			return nil, err
		}
		all = append(all, &candidates{guard: g, slow: err})
		return all[len(all)-1], nil
	}
	for _, t := range live {
		identifier, owner, err := tx.countedUnder(ctx, t, userID, user)
		if err != nil {
			return nil, err
		}
		some, err := add(identifier, owner, t.Drawn && t.Alias == userID)
		if err != nil {
			return nil, err
		}
		some.codes = append(some.codes, t)
	}
	if len(live) == 0 {
		if _, err := add(codesOf(userID), user, false); err != nil {
			return nil, err
		}
	}
	open := slices.DeleteFunc(slices.Clone(all), func(some *candidates) bool { return some.slow != nil })
	if len(open) == 0 {
		return nil, all[len(all)-1].slow
	}
	return open, nil
}

// countedUnder returns the identifier under which wrong codes for a token are
// counted, and its owner. It is the destination for codes that were promised the id,
// and for addresses that no one has proven, which their user may have entered in order
// to guess at them. It is the id itself for other codes: a caller who guesses at an id
// must not learn, by being slowed, which address it has.
func (tx *txn) countedUnder(ctx context.Context, t *record.Token, userID string, user *record.User) (string, *record.User, error) {
	by := kindOf(t).by
	if by == nil {
		by = byEmail
	}
	proven := func(u *record.User) bool {
		return by.verified(u) && (t.Destination == "" || by.address(u) == t.Destination)
	}
	if t.Alias != userID || t.UserID == userID && user != nil && proven(user) {
		return codesOf(userID), user, nil
	}
	counted := cmp.Or(t.Destination, t.Slot)
	// A client known to the user of that id is not known to the address of another.
	if t.UserID == "" {
		_, err := findUser(ctx, tx, t.Alias) // a read, as for the address of a user
		return counted, nil, err
	}
	owner, err := getUser(ctx, tx, t.UserID)
	if err != nil {
		return "", nil, err
	}
	if t.Destination != "" && !proven(owner) {
		owner = nil // no client is known to an unproven address
	}
	return counted, owner, nil
}

// codesOf is the identifier under which wrong codes for an id are counted.
func codesOf(userID string) string { return "id " + userID }

// countWrongCode charges a wrong code to every live one that it could have been.
func (tx *txn) countWrongCode(ctx context.Context, l link, all []*candidates) error {
	for _, some := range all {
		for _, t := range some.codes {
			if t.Length != int64(len(l.code)) || t.Length >= longCode {
				continue
			}
			t.Failures++
			var err error
			if t.Failures >= codeFailures {
				err = record.Tokens.Delete(ctx, tx, store.Text(t.ID))
			} else {
				err = record.Tokens.Replace(ctx, tx, t)
			}
			if err != nil {
				return err
			}
		}
		if !l.isLink() { // links cannot be guessed
			if err := some.countWrong(ctx, tx); err != nil {
				return err
			}
		}
	}
	return nil
}

// enterByToken makes the session of a token's bearer.
func (tx *txn) enterByToken(ctx context.Context, t *record.Token, fresh record.User, in signIn) (*Session, error) {
	user, err := tx.userProvenBy(ctx, t, fresh)
	if err != nil {
		return nil, err
	}
	return tx.enterAs(ctx, t, user, in)
}

// enterAs makes the session of the user whom a token has proven.
func (tx *txn) enterAs(ctx context.Context, t *record.Token, user *record.User, in signIn) (*Session, error) {
	kind := kindOf(t)
	in.provider, in.providerUID, in.factors, in.silent = kind.provider, t.Destination, kind.factor, kind.purpose == invites
	if user.Blocked {
		return nil, tx.refuse(ctx, refused{logSessionRefuse, user, ErrUserBlocked})
	}
	g, err := tx.guardFor(ctx, tx, failCode, t.Slot, user)
	if err != nil {
		return nil, err
	}
	if err := g.rememberClient(ctx, tx); err != nil {
		return nil, err
	}
	if kind.by != nil {
		as, err := tx.knownAs(ctx, tx, codeBy(kind.by), user)
		if err != nil {
			return nil, err
		}
		if err := tx.rememberKnown(ctx, as); err != nil {
			return nil, err
		}
	}
	return tx.createSession(ctx, user, &in)
}

// userProvenBy returns the user whom a token proves: its own, the present owner of its
// address, or one who is made of the address.
func (tx *txn) userProvenBy(ctx context.Context, t *record.Token, fresh record.User) (*record.User, error) {
	if t.Destination == "" {
		return getUser(ctx, tx, t.UserID)
	}
	by := kindOf(t).by
	user, err := tx.userAt(ctx, tx, by, t.Destination)
	if err != nil {
		return nil, err
	}
	if t.UserID != "" && (user == nil || user.ID != t.UserID) {
		return nil, ErrInvalidToken // the address has moved; its tokens went with it
	}
	mayMake, err := tx.mayMakeUser(ctx, t)
	if err != nil {
		return nil, err
	}
	if user != nil {
		if _, another, err := tx.isAnothers(ctx, user, by, false); err != nil || another && !mayMake {
			return nil, cmp.Or(err, tx.refuseMaking(ctx, t))
		}
		if user, err = tx.proveAddress(ctx, user, by, nil); err != nil || user != nil {
			return user, err
		}
	}
	if !mayMake {
		return nil, tx.refuseMaking(ctx, t)
	}
	if err := tx.checkUserLimit(ctx); err != nil {
		return nil, err
	}
	taken, err := findUser(ctx, tx, t.Alias)
	if err != nil {
		return nil, err
	}
	kept, err := tx.isDeleted(ctx, t.Alias)
	if err != nil {
		return nil, err
	}
	if taken == nil && !kept {
		fresh.ID = t.Alias
	}
	by.set(&fresh, t.Destination)
	by.setVerified(&fresh, true)
	_, err = tx.insertUser(ctx, &fresh)
	return &fresh, err
}

// mayMakeUser reports whether a user may be made of a token: not while sign-up is closed, unless the
// server has made it, and not while its address is held for a former user. Invitations make users
// always.
func (tx *txn) mayMakeUser(ctx context.Context, t *record.Token) (bool, error) {
	kind := kindOf(t)
	if kind.purpose != invites && !t.Admitted && tx.maySignUp() != nil {
		return false, nil
	}
	holder, err := tx.heldFor(ctx, tx, kind.by, t.Destination)
	return holder == "", err
}

// refuseMaking refuses a right link or code of which no user is made, in the words about a wrong one.
func (tx *txn) refuseMaking(ctx context.Context, t *record.Token) error {
	wrong := errWrongCode
	if kindOf(t).label != "" {
		wrong = errWrongLink
	}
	if kindOf(t).purpose == invites {
		wrong = ErrTeamInvalidSecret
	}
	return tx.refuse(ctx, refused{logSessionRefuse, nil, wrong})
}

// isAnothers reports whether the account that has an address is that of another person than the
// bearer of a token that was sent there: its user has proven another address, signs in by a
// provider, has an authenticator on that the bearer has not shown, or is blocked. recovering says
// that the bearer sets a new password. own says that an identity of the user proves the address.
func (tx *txn) isAnothers(ctx context.Context, user *record.User, by *contact, recovering bool) (own, another bool, err error) {
	proven := by.verified(user)
	own, err = tx.provenByIdentity(ctx, user, by)
	switch {
	case err != nil:
		return false, false, err
	case own && (user.Blocked || (!proven || user.Half == by.name) && (!recovering || !guarded(user))):
		return own, false, nil
	case proven:
		return own, user.Half == by.name, nil
	case recovering && guarded(user):
		return own, false, nil
	}
	return own, user.Blocked || provenBeside(user, by, tx.now) || guarded(user), nil
}

// proveAddress records that the bearer of a token has proven a user's address. It is the one
// place for the first proof of an account: an attacker who had the account before may have
// planted parts of it. It returns nil if the account is another person's; then it takes the
// address from that account. edit, unless it is nil, is a further change of the user.
func (tx *txn) proveAddress(ctx context.Context, user *record.User, by *contact, edit func(*record.User) error) (*record.User, error) {
	proven := by.verified(user)
	own, another, err := tx.isAnothers(ctx, user, by, edit != nil)
	if err != nil {
		return nil, err
	}
	switch {
	case another:
		_, err := tx.changeUser(ctx, user, func(u *record.User) error {
			by.set(u, "")
			return nil
		})
		return nil, err
	case own && user.Blocked:
		return user, nil
	case own && (!proven || user.Half == by.name) && (edit == nil || !guarded(user)): // by the same person
		_, err := tx.changeUser(ctx, user, func(u *record.User) error {
			provedBy(u, by)
			if edit != nil {
				return edit(u)
			}
			return nil
		})
		return user, err
	case proven && !unclaimed(user):
		if edit == nil {
			return user, nil
		}
		_, err := tx.changeUser(ctx, user, edit)
		return user, err
	case !proven && edit != nil && guarded(user):
		_, err := tx.changeUser(ctx, user, edit) // a new password opens the account to the factor alone, and proves nothing
		return user, err
	}
	if err := tx.endSessions(ctx, user, ""); err != nil {
		return nil, err
	}
	if err := tx.endTokens(ctx, user); err != nil {
		return nil, err
	}
	if err := tx.endUndo(ctx, user, func(*record.Token) bool { return true }); err != nil {
		return nil, err
	}
	if err := tx.dropPasskeys(ctx, user, time.Time{}); err != nil {
		return nil, err
	}
	if err := tx.deleteFactors(ctx, user); err != nil {
		return nil, err
	}
	if err := tx.dropIdentities(ctx, user); err != nil {
		return nil, err
	}
	for _, f := range allFactors {
		if err := tx.forgetFactorGuesses(ctx, user, f); err != nil {
			return nil, err
		}
	}
	_, err = tx.changeUser(ctx, user, func(u *record.User) error {
		u.TOTP, u.RecoveryCodes, u.Unclaimed, u.Passkeys = false, false, false, ""
		u.Password, u.PasswordHistory, u.PasswordUpdated, u.MustReset = nil, nil, time.Time{}, false
		u.MFA = u.MFA && u.MFADemanded // by the server, and not by a stranger
		u.Epoch++                      // clients from which an attacker has signed in are not known any more
		by.other().set(u, "")
		by.setVerified(u, true)
		if edit != nil {
			return edit(u)
		}
		return nil
	})
	return user, err
}

// provedBy proves an address of a user by the owner of the account: the reader of a link had it
// sent, or a provider says that it is that of the person who links it. It says nothing of the
// other address.
func provedBy(u *record.User, by *contact) {
	u.Unclaimed = u.Unclaimed && by.other().verified(u)
	if u.Half == by.name {
		u.Half = ""
	}
	by.setVerified(u, true)
}
