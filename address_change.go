package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/codes"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
)

// NewEmailChange is the input of [Account.CreateEmailChange].
type NewEmailChange struct {
	Email string // the new address
	// URL is the page that the link opens, as in NewMagicURLToken. With "" the message has no
	// link, and the host's Notifier makes one of its UserID and Secret.
	URL string
}

// CreateEmailChange sends a link to a new e-mail address, with which [Account.ConfirmEmailChange]
// makes it that of the account. Until then the account keeps its present address, and nothing
// changes. The link can be used once, for seven days unless the policy says otherwise
// (Policy.Messages.EmailVerificationLength). A new one ends it, and so does every other change of
// the address or of the password. password is that of the account; without one it is ignored.
// The session must be fresh where [Account.UpdateEmail] asks for that, and if the account has
// no password.
//
// An address that another user has and never proved is no obstacle: the link proves it, and takes
// it from that user.
//
// Errors: those of [Account.UpdateEmail] without [ErrLastFactor], whose calls count together with
// these, and
//   - [ErrEmailAlreadyVerified]: it is the address of the account.
//   - [ErrSMTPDisabled]
//   - [*ThrottledError]: also after the messages that an address or a client address may have.
func (a *Account) CreateEmailChange(ctx context.Context, n NewEmailChange, password string) (_ *Token, err error) {
	defer a.home().operation(&ctx, "create e-mail change").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	secret := newSecret().Reveal()
	link, err := c.linkMaker(n.URL, secret)
	if err != nil {
		return nil, err
	}
	if err := a.limitAddressChange(ctx, c, limitUpdateEmail); err != nil {
		return nil, err
	}
	address, err := checkEmail(n.Email)
	if err != nil {
		return nil, err
	}
	if err := a.admitChange(ctx, c, address); err != nil {
		return nil, err
	}
	return a.sendChange(ctx, c, c.newToken(kindEmailChange, address, a.session.UserID, secret), link, password)
}

// CreatePhoneChange sends a code of six digits to a new phone number, with which
// [Account.ConfirmPhoneChange] makes it that of the account. It can be used once, for 15 minutes
// unless the policy says otherwise. Five wrong codes end it. In everything else it is like
// [Account.CreateEmailChange].
//
// Errors: those of CreateEmailChange and [Account.UpdatePhone], with [ErrPhoneAlreadyVerified] and
// [ErrPhoneDisabled].
func (a *Account) CreatePhoneChange(ctx context.Context, phone, password string) (_ *Token, err error) {
	defer a.home().operation(&ctx, "create phone change").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := a.limitAddressChange(ctx, c, limitUpdatePhone); err != nil {
		return nil, err
	}
	if phone, err = c.checkTextable(phone); err != nil {
		return nil, err
	}
	return a.sendChange(ctx, c, c.newToken(kindPhoneChange, phone, a.session.UserID, codes.OTP()), nil, password)
}

// admitChange refuses a new address that the policy allows to no new user. The present one is not
// refused.
func (a *Account) admitChange(ctx context.Context, c *call, address string) error {
	user, err := a.standing(ctx, c, c.store)
	if err != nil || user.Email == address {
		return err
	}
	return c.admitEmail(ctx, address)
}

// sendChange makes the token of a change, if the password is right, and sends it to the new
// address.
func (a *Account) sendChange(ctx context.Context, c *call, drawn *newToken, link linkMaker, password string) (*Token, error) {
	by := drawn.kind.by
	if err := c.canAsk(drawn.kind); err != nil {
		return nil, err
	}
	if err := c.limitMessage(ctx, by.channel, drawn.Destination, noReserve()); err != nil {
		return nil, err
	}
	mock, mocked := c.mockCode(by.channel, drawn.Destination)
	if mocked {
		drawn.secret = mock
	}
	drawn.Slot, drawn.UserID = a.session.UserID, a.session.UserID
	_, err := a.changeWithPassword(ctx, c, passwordChange{
		current: password,
		check: func(user *record.User) error {
			if by.address(user) == drawn.Destination && by.verified(user) {
				return by.already
			}
			return nil
		},
		instead: func(ctx context.Context, tx *txn, user *record.User) error {
			if by.address(user) == drawn.Destination && by.verified(user) {
				return by.already
			}
			if _, err := tx.unprovenOwner(ctx, user, by, drawn.Destination); err != nil {
				return &refusal{err}
			}
			n := *drawn
			if err := tx.insertToken(ctx, &n); err != nil {
				return err
			}
			tx.sendToken(&n, c.tokenMessage(ctx, &n, nil, link), mocked) // a stranger may have the address: no words of the user's
			tx.event(user.ID, "changes."+n.ID+".create", n.show())
			return tx.log(ctx, logVerificationCreate, user)
		},
	})
	if err != nil {
		return nil, err
	}
	return c.showNewToken(drawn), nil
}

// unprovenOwner returns the other user with an address, which that user has not proven, nil if there
// is no other user. It refuses an address that is another user's for good: proven by them or by an
// identity of theirs, held for them, or one of their targets.
func (tx *txn) unprovenOwner(ctx context.Context, user *record.User, by *contact, address string) (*record.User, error) {
	taken := ErrEmailAlreadyExists
	if by == byPhone {
		taken = ErrPhoneAlreadyExists
	}
	other, err := tx.userAt(ctx, tx, by, address)
	switch {
	case err != nil:
		return nil, err
	case other != nil && other.ID == user.ID:
		other = nil
	case other != nil && (hasProven(other, by) || unclaimed(other)):
		return nil, taken
	}
	var holder string
	if by == byEmail {
		holder, err = tx.addressHolder(ctx, address)
	} else {
		holder, err = tx.heldFor(ctx, tx, by, address)
	}
	if err != nil {
		return nil, err
	}
	mine := func(id string) bool { return id == user.ID || other != nil && id == other.ID }
	if holder != "" && !mine(holder) {
		return nil, taken
	}
	target, err := findTarget(ctx, tx, by.target, address)
	if err == nil && target != nil && !mine(target.UserID) {
		err = by.taken()
	}
	return other, err
}

// takeUnproven takes an address from another user that has not proven it. The caller gives it to the
// user that has.
func (tx *txn) takeUnproven(ctx context.Context, user *record.User, by *contact, address string) error {
	other, err := tx.unprovenOwner(ctx, user, by, address)
	if other == nil || err != nil {
		return err
	}
	_, err = tx.changeUser(ctx, other, func(u *record.User) error {
		by.set(u, "")
		return nil
	})
	return err
}

// ConfirmEmailChange makes the address to which a link of [Account.CreateEmailChange] was sent that
// of the account, verified, in a session of the user. The reader of a mail that went astray has no
// session, and so the account stays what it is.
//
// If the old address was verified, its owner can take it back for seven days: its notice has a link
// for [Guest.RestoreAddress], on the page undoURL, which is as NewMagicURLToken.URL. With "" the
// notice has no link, and the host's Notifier makes one of its UserID and Secret. Until then the
// address is held: no other user gets it, neither by signing up nor from the server, and nothing is
// sent to it. [Users.ReleaseAddresses] ends that, and so does every change of the address by the
// server. There is no link for an address that came to the account within the last seven days,
// unless it is the first that the account has proven, nor for one that the user had between two
// changes that lead back.
//
// Other sessions end as after [Account.UpdateEmail].
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrInvalidToken]: as of [Account.ConfirmEmailVerification], whose calls count together with
//     these; also after another change of the address or of the password.
//   - [ErrEmailAlreadyExists], [ErrTargetAlreadyExists]: another user has the address by now.
//   - [ErrSessionNotFound]: for a JWT.
//   - [*ThrottledError]
func (a *Account) ConfirmEmailChange(ctx context.Context, secret, undoURL string) (_ *User, err error) {
	defer a.home().operation(&ctx, "confirm e-mail change").end(&err)
	return a.confirmChange(ctx, changesEmail, secret, undoURL)
}

// ConfirmPhoneChange is [Account.ConfirmEmailChange] for a code of [Account.CreatePhoneChange]. The
// link goes to the old number by SMS, so undoURL has at most 256 bytes.
//
// Errors: those of ConfirmEmailChange, and
//   - [ErrPhoneAlreadyExists] in the place of ErrEmailAlreadyExists.
//   - [*ThrottledError]: also after more than ten wrong codes in a row for the number, as for
//     [Guest.CreateSession].
func (a *Account) ConfirmPhoneChange(ctx context.Context, secret, undoURL string) (_ *User, err error) {
	defer a.home().operation(&ctx, "confirm phone change").end(&err)
	if len(undoURL) > maxTextURL {
		return nil, invalid("undoURL", errLongURL)
	}
	return a.confirmChange(ctx, changesPhone, secret, undoURL)
}

// confirmChange changes an address by a token of a purpose.
func (a *Account) confirmChange(ctx context.Context, p *purpose, secret, undoURL string) (*User, error) {
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	claim, err := checkRedeemed(a.session.UserID, secret)
	if err != nil {
		return nil, err
	}
	undoSecret := newSecret().Reveal()
	link, err := c.linkMakerTo("undoURL", undoURL, undoSecret)
	if err != nil {
		return nil, err
	}
	if err := a.mayAct(ctx, c, c.store); err != nil {
		return nil, err
	}
	if a.jwt != nil {
		return nil, ErrSessionNotFound
	}
	if err := claim.checkForm(p); err != nil {
		return nil, err
	}
	if err := c.limitConfirm(ctx, p, claim); err != nil {
		return nil, err
	}
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	undoID := newID()
	return accountUpdate(ctx, c, a, (*Account).standing, func(ctx context.Context, tx *txn, user *record.User) (*User, error) {
		t, err := tx.claimToken(ctx, p, claim)
		if err != nil {
			return nil, err
		}
		by := kindOf(t).by
		if t.UserID != user.ID {
			return nil, ErrInvalidToken
		}
		if err := tx.takeUnproven(ctx, user, by, t.Destination); err != nil {
			return nil, err
		}
		undo := tx.newToken(undoKind(by), by.address(user), user.ID, undoSecret)
		undo.ID, undo.UserID = undoID, user.ID
		kept, err := tx.keepUndo(ctx, user, undo, t.Destination)
		if err != nil {
			return nil, err
		}
		shown, err := tx.changeUser(ctx, user, func(u *record.User) error {
			by.set(u, t.Destination)
			provedBy(u, by)
			if kept && undo.Expire.After(u.Undo) {
				u.Undo = undo.Expire
			}
			return nil
		})
		if kept {
			tx.linkNotice(undo, link)
		}
		tx.event(user.ID, "changes."+t.ID+".update", showToken(t, user.ID))
		return shown, err
	})
}

// keepUndo makes the link that restores the address of a user before it changes to another one, and
// reports whether there is one: not for an address that the user has not proven for good, or that
// came lately. A change back to an address that is held for the user restores that, and makes the
// later links void.
func (tx *txn) keepUndo(ctx context.Context, user *record.User, undo *newToken, to string) (bool, error) {
	by := undo.kind.by
	back, err := findTokenAt(ctx, tx, undo.Kind, to)
	switch {
	case err != nil:
		return false, err
	case back != nil && tx.live(back.Created, back.Expire):
		return false, tx.endUndo(ctx, user, func(t *record.Token) bool { return t.Kind == back.Kind && later(t, back) })
	case by.address(user) == to, !hasProven(user, by), !tx.settled(user, by):
		return false, nil
	}
	if by.other().verified(user) && tx.settled(user, by.other()) {
		undo.Beside = by.other().address(user)
	}
	tokens, err := tokensOf(ctx, tx, user.ID)
	if err != nil {
		return false, err
	}
	for _, t := range tokens { // machines may differ about the time, and the earlier link wins
		if kindOf(t).purpose == restores && tx.live(t.Created, t.Expire) && !undo.Created.After(t.Created) {
			undo.Created = t.Created.Add(time.Microsecond)
		}
	}
	return true, tx.insertToken(ctx, undo)
}

// settled reports whether an address has been the user's, and proven, for as long as a link that
// restores one lives. A thief adds one of their own before they take the other. The first proof of
// an account is settled at once.
func (tx *txn) settled(user *record.User, by *contact) bool {
	since, other := *by.proven(user), *by.other().proven(user)
	switch {
	case since.IsZero(), !since.After(tx.now.Add(-undoLength(nil))):
		return true
	case user.Providers != "", user.Undo.After(tx.now):
		return false
	}
	return !by.other().verified(user) || !other.IsZero() && other.After(since)
}

// later reports whether a token was made after another one.
func later(t, than *record.Token) bool {
	if c := t.Created.Compare(than.Created); c != 0 {
		return c > 0
	}
	return t.ID > than.ID
}

// linkNotice puts the link that restores an address into its notice.
func (tx *txn) linkNotice(undo *newToken, link linkMaker) {
	for i := range tx.notices {
		n := &tx.notices[i]
		if n.To != undo.Destination || n.Kind != notify.EmailChanged && n.Kind != notify.PhoneChanged {
			continue
		}
		n.Secret, n.Expire = hide(undo.secret), undo.Expire
		if link != nil {
			n.Link = hide(link(undo.Alias, wireTime(undo.Expire)))
		}
	}
}

// RestoreAddress gives a user the address back that an [Account.ConfirmEmailChange] or
// [Account.ConfirmPhoneChange] has taken, by the link in the notice to it. It is for an account
// that was stolen. The page of the link calls it when the person presses a button, as for
// [Guest.CreateMagicURLToken]. The link can be used once, for seven days.
//
// Every session of the user ends, with all open links, codes and JWTs, and recovery codes that a
// session has made. Identities at providers and the other address of the user go if they came to
// the account since the change, or in the seven days before it. Links that restore a later address
// go too. Second factors stay, because a mailbox does not take them away: the authenticator, and
// while MFA is on without one, the other address, or if there is none the identities.
//
// The password must be set anew. For an e-mail address the answer is a token with the secret for
// [Guest.ConfirmRecovery], which the page calls with the new password; it lives as long as one of
// [Guest.CreateRecovery]. For a number it has no secret, and the user recovers by e-mail. Until
// then every session is refused with [ErrPasswordResetRequired]. If the user has no password, it
// has no secret either, and nothing is refused. The password of a user without a proven e-mail address
// is removed.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrInvalidToken]: the secret is wrong, was used, is void by a link for an earlier address,
//     or has expired.
//   - [ErrUserBlocked]: only with the right secret.
//   - [ErrEmailAlreadyExists], [ErrPhoneAlreadyExists], [ErrTargetAlreadyExists]: the address is
//     another user's target.
//   - [*ThrottledError]: as of [Guest.ConfirmRecovery], whose calls count together with these.
func (g *Guest) RestoreAddress(ctx context.Context, userID, secret string) (_ *Token, err error) {
	defer g.home().operation(&ctx, "restore address").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	claim, err := checkRedeemed(userID, secret)
	if err != nil {
		return nil, err
	}
	if err := c.limitConfirm(ctx, restores, claim); err != nil {
		return nil, err
	}
	ctx, cancel, err := settling(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	recovery := c.newToken(kindRecovery, "", userID, newSecret().Reveal())
	return update(ctx, c, func(ctx context.Context, tx *txn) (*Token, error) {
		t, err := tx.claimToken(ctx, restores, claim)
		if err != nil {
			return nil, err
		}
		user, err := getUser(ctx, tx, t.UserID)
		switch {
		case err != nil:
			return nil, err
		case user.Blocked:
			return nil, ErrUserBlocked
		}
		tx.by.become(user)
		if err := tx.restoreAddress(ctx, user, t); err != nil {
			return nil, err
		}
		tx.event(user.ID, "recovery."+t.ID+".update", showToken(t, user.ID))
		if err := tx.log(ctx, logRecoveryUpdate, user); err != nil {
			return nil, err
		}
		if kindOf(t).by != byEmail || !user.MustReset {
			return showToken(t, user.ID), nil
		}
		n := *recovery
		n.Slot, n.Destination, n.Alias, n.UserID = user.Email, user.Email, user.ID, user.ID
		if err := tx.insertToken(ctx, &n); err != nil {
			return nil, err
		}
		shown := n.show()
		shown.Secret = hide(n.secret)
		return shown, nil
	})
}

// restoreAddress gives a user the address of a link, and takes later additions from the account.
func (tx *txn) restoreAddress(ctx context.Context, user *record.User, t *record.Token) error {
	by := kindOf(t).by
	if err := tx.takeUnproven(ctx, user, by, t.Destination); err != nil {
		return err
	}
	if err := tx.endSessions(ctx, user, ""); err != nil {
		return err
	}
	if err := tx.endTokens(ctx, user); err != nil {
		return err
	}
	if err := tx.weighUndo(ctx, user, t); err != nil {
		return err
	}
	if err := tx.dropPasskeys(ctx, user, t.Created.Add(-undoLength(nil))); err != nil {
		return err
	}
	// MFA without an authenticator and a passkey: another address, or an account at a provider, may be the
	// only second factor beside the mailbox.
	other, only := by.other(), user.MFA && !user.TOTP && user.Passkeys == ""
	stays := other.address(user) == t.Beside || only
	if err := tx.dropLately(ctx, user, t, only && !(stays && other.verified(user))); err != nil {
		return err
	}
	if err := tx.voidCodes(ctx, user, ""); err != nil {
		return err
	}
	removed, err := tx.noPassword(ctx, user)
	if err != nil {
		return err
	}
	_, err = tx.changeUser(ctx, user, func(u *record.User) error {
		by.set(u, t.Destination)
		provedBy(u, by)
		if !stays {
			other.set(u, "")
		}
		u.Epoch++ // JWTs without a session, and clients from which a thief has signed in
		switch {
		case u.Password == nil:
		case u.EmailVerified:
			u.MustReset = true
		default:
			return removed.set(&tx.policy, u, tx.now)
		}
		return nil
	})
	return err
}

// weighUndo ends the other links of a user that are void once an address was restored: the later ones,
// except that for the address which the user had beside it. The remaining links restore the account
// with the address that was restored.
func (tx *txn) weighUndo(ctx context.Context, user *record.User, restored *record.Token) error {
	by := kindOf(restored).by
	beside := func(t *record.Token) bool { return kindOf(t).by == by.other() && t.Slot == restored.Beside }
	if err := tx.endUndo(ctx, user, func(t *record.Token) bool { return later(t, restored) && !beside(t) }); err != nil {
		return err
	}
	tokens, err := tokensOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if kindOf(t).purpose != restores || kindOf(t).by != by.other() {
			continue
		}
		t.Beside = restored.Destination
		if err := record.Tokens.Replace(ctx, tx, t); err != nil {
			return err
		}
	}
	return nil
}

// dropLately deletes the identities of a user that came since the change that a link restores, or in
// the week before it. If they may be the only second factor they stay, and are one factor.
func (tx *txn) dropLately(ctx context.Context, user *record.User, restored *record.Token, stay bool) error {
	identities, err := identitiesOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, i := range identities {
		switch {
		case i.Created.Before(restored.Created.Add(-undoLength(nil))):
		case stay:
			i.Single = true
			err = record.Identities.Replace(ctx, tx, i)
		default:
			err = tx.dropIdentity(ctx, user, i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ReleaseAddresses frees the former addresses of a user that are held since an
// [Account.ConfirmEmailChange] or [Account.ConfirmPhoneChange], and makes the links void that restore
// them. It is for a user who has left an address that others read, and for an address that another
// user shall have at once.
func (u *Users) ReleaseAddresses(ctx context.Context, id string) (err error) {
	defer u.home().operation(&ctx, "release addresses").end(&err)
	return u.change(ctx, id, func(ctx context.Context, tx *txn, user *record.User) error {
		none := user.Undo.IsZero()
		if err := tx.endUndo(ctx, user, func(*record.Token) bool { return true }); err != nil || none {
			return err
		}
		if err := tx.changeFacts(ctx, user); err != nil {
			return err
		}
		return tx.log(ctx, logUserUpdate, user)
	})
}
