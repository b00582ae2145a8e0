package latchkey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// InspectToken looks at the token in a link without using it, so that a page
// can say what the link is for, or that it has run out. A code cannot be looked
// at.
//
// Errors: [ErrArgumentInvalid]; [ErrInvalidToken].
func (g *Guest) InspectToken(ctx context.Context, userID, secret string) (*Token, error) {
	token, err := g.inspect(ctx, userID, secret)
	return token, outward("inspect token", err)
}

func (g *Guest) inspect(ctx context.Context, userID, secret string) (*Token, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	if err := checkRedeemed(userID, secret); err != nil {
		return nil, err
	}
	t, err := findLink(ctx, g.engine.store, g.engine.now(), anyPurpose, userID, secret)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, ErrInvalidToken
	}
	return shownToken(t, userID), nil
}

func checkRedeemed(userID, secret string) error {
	if err := canon.ID(userID); err != nil {
		return invalid("userId", err)
	}
	if secret == "" || len(secret) > maxSecret || !utf8.ValidString(secret) {
		return invalid("secret", fmt.Errorf("not 1 to %d bytes of UTF-8", maxSecret))
	}
	return nil
}

// CreateSession signs in whoever holds a link or a code: by magic URL, e-mail,
// SMS, or the host's own. userID is what the link carries, or the answer of the
// call that made the token; the user's own id serves too. The token is used up.
//
// Where nobody has the address yet, a user is made, with the id that was
// promised unless somebody has taken it since. A link or a code by e-mail
// verifies the address, one by SMS the number. Where a user has the address and
// none of their addresses is verified, what they have may have been planted by
// somebody who did not own it: the first proof takes away password, other address, sessions and
// tokens. Where that user has verified another address, or is blocked, whoever proves
// this one is another: they get an account of their own, and the address with it.
//
// Errors: [ErrArgumentInvalid]; [ErrInvalidToken] for a secret that is wrong,
// used, replaced, or has run out, and for an unknown user; [ErrUserBlocked], with
// the right secret only; a [*ThrottledError] after ten calls in an hour for the id
// from the client address, and after more than ten wrong codes in a row for the
// id, or the address that the code was sent to, as for passwords; [ErrUserCountExceeded]. Five wrong codes end
// every code of the user, and those that were sent to the same address.
func (g *Guest) CreateSession(ctx context.Context, userID, secret string) (*Session, error) {
	session, err := g.redeem(ctx, userID, secret, limitSession, true)
	return session, outward("create session", err)
}

// UpdateMagicURLSession is an older name of [Guest.CreateSession], with a limit
// of its own.
func (g *Guest) UpdateMagicURLSession(ctx context.Context, userID, secret string) (*Session, error) {
	session, err := g.redeem(ctx, userID, secret, limitMagicURLSession, true)
	return session, outward("update magic URL session", err)
}

// UpdatePhoneSession is an older name of [Guest.CreateSession], with a limit of
// its own, which a success does not begin anew.
func (g *Guest) UpdatePhoneSession(ctx context.Context, userID, secret string) (*Session, error) {
	session, err := g.redeem(ctx, userID, secret, limitPhoneSession, false)
	return session, outward("update phone session", err)
}

func (g *Guest) redeem(ctx context.Context, userID, secret string, l limited, resets bool) (*Session, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	if err := checkRedeemed(userID, secret); err != nil {
		return nil, err
	}
	e, now := g.engine, g.engine.now()
	key := userID + "\n" + g.client.network()
	if err := e.limit(ctx, g.client, now, l, key); err != nil {
		return nil, err
	}
	drawn := e.newSignIn(ctx, g.client, "", "", "")
	fresh := newUser(newID(), now)
	var made *record.Session
	var refused error
	in := *drawn
	err := e.update(ctx, now, g.actor(), func(ctx context.Context, tx *txn) (err error) {
		made, refused, in = nil, nil, *drawn
		t, err := tx.claim(ctx, g.client, signsIn, userID, secret, &refused)
		if err != nil || refused != nil {
			return err
		}
		made, err = tx.enterByToken(ctx, t, *fresh, &in, &refused)
		return err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	if resets {
		e.unlimit(ctx, l, key)
	}
	return e.session(&in, made)
}

// claim takes the token of a secret that serves a purpose away and returns it. A
// wrong code is counted; that it is, is refused.
func (tx *txn) claim(ctx context.Context, c Client, p purpose, userID, secret string, refused *error) (*record.Token, error) {
	t, err := findLink(ctx, tx, tx.now, []purpose{p}, userID, secret)
	if t == nil && err == nil {
		if p.codes {
			t, err = tx.matchCode(ctx, c, p, userID, secret, refused)
		} else {
			err = tx.wrongLink(ctx, p, userID, refused)
		}
	}
	if t == nil || err != nil {
		return nil, err
	}
	return t, record.Tokens.Delete(ctx, tx, store.Text(t.ID))
}

// wrongLink refuses a secret that is no link's.
func (tx *txn) wrongLink(ctx context.Context, p purpose, userID string, refused *error) error {
	user, err := getUser(ctx, tx, userID)
	if errors.Is(err, ErrUserNotFound) {
		user, err = nil, nil
	}
	if err != nil {
		return err
	}
	*refused = ErrInvalidToken
	return tx.refuse(ctx, p.refuse, user, tx.engine.ring.Digest(failCode, "id "+userID), ErrInvalidToken)
}

// codesOf returns the live codes of a purpose that an id may use: those of the
// user and those that were promised it.
func (tx *txn) codesOf(ctx context.Context, p purpose, userID string) ([]*record.Token, error) {
	codes, err := tokensOf(ctx, tx, userID)
	if err != nil {
		return nil, err
	}
	aliased, err := record.Tokens.List(ctx, tx, store.Query{
		Index: record.Tokens.Index("alias"), Equal: []store.Value{store.Text(userID)}, Descending: true, Limit: 10 * aliasedCodes,
	})
	if err != nil {
		return nil, err
	}
	isNoCode := func(t *record.Token) bool {
		kind := kindOf(t)
		return kind.purpose != p || kind.label != "" || !t.Expire.After(tx.now)
	}
	codes = slices.DeleteFunc(codes, isNoCode)
	aliased = slices.DeleteFunc(aliased, func(t *record.Token) bool {
		return isNoCode(t) || slices.ContainsFunc(codes, func(c *record.Token) bool { return c.ID == t.ID })
	})
	return append(codes, aliased[:min(len(aliased), aliasedCodes)]...), nil
}

// matchCode compares a code with those that an id may sign in with. What wrong
// ones are counted under survives new codes; while it is slowed, its codes are
// not compared. A token that is too long to be guessed is compared whatever
// others guess.
func (tx *txn) matchCode(ctx context.Context, c Client, p purpose, userID, secret string, refused *error) (*record.Token, error) {
	codes, err := tx.codesOf(ctx, p, userID)
	if err != nil {
		return nil, err
	}
	for _, t := range codes {
		if t.Length >= longCode && tx.engine.ring.IsCode([]byte(t.Digest), codeParts(t, secret)...) {
			return t, nil
		}
	}
	user, err := getUser(ctx, tx, userID)
	if errors.Is(err, ErrUserNotFound) {
		user, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	guesses, slowed, err := tx.guesses(ctx, c, userID, user, codes)
	if err != nil {
		return nil, err
	}
	if len(guesses) == 0 {
		*refused = slowed
		return nil, nil
	}
	var match *guess
	for i, g := range guesses { // all of them, whichever matches
		for _, t := range g.codes {
			if tx.engine.ring.IsCode([]byte(t.Digest), codeParts(t, secret)...) {
				match = &guesses[i]
				match.right = t
			}
		}
	}
	if match != nil {
		return match.right, match.forgive(ctx, tx)
	}
	*refused = ErrInvalidToken
	return nil, tx.wrongCode(ctx, p, user, secret, guesses)
}

// guess is what one code is compared with, under one count of wrong ones.
type guess struct {
	guard
	codes []*record.Token
	right *record.Token
}

// guesses sorts codes by what wrong ones are counted under: where they were
// sent to, for those that were promised the id and for addresses that nobody has
// proven, which their user may have written down to guess at; the id itself for the
// others, and where there are none. Whoever guesses at an id must not learn, by
// being slowed, which address it has. Those that are slowed are left out; slowed is
// why, if all are.
func (tx *txn) guesses(ctx context.Context, c Client, userID string, user *record.User, codes []*record.Token) (out []guess, slowed *ThrottledError, err error) {
	bySubject := make(map[string]int)
	add := func(identifier string, holder *record.User, t *record.Token) error {
		g, err := tx.engine.guard(ctx, tx, tx.now, failCode, identifier, holder, c)
		if err != nil {
			return err
		}
		i, found := bySubject[string(g.subject)]
		if !found {
			if _, err := g.wait(ctx, tx, tx.now); err != nil {
				if errors.As(err, &slowed) {
					i, err = -1, nil
				}
				if err != nil {
					return err
				}
			} else {
				i = len(out)
				out = append(out, guess{guard: g})
			}
			bySubject[string(g.subject)] = i
		}
		if i >= 0 && t != nil {
			out[i].codes = append(out[i].codes, t)
		}
		return nil
	}
	for _, t := range codes {
		identifier, holder := "id "+userID, user
		if t.Alias == userID && (t.UserID != userID || user == nil || !verified(user, channelOf(t))) {
			// Who is known to the user of that id is not known to the address
			// of another.
			identifier, holder = t.Slot, nil
			if t.UserID != "" {
				if holder, err = getUser(ctx, tx, t.UserID); err != nil {
					return nil, nil, err
				}
				if t.Destination != "" && !verified(holder, channelOf(t)) {
					holder = nil // whoever wrote the address down has not proven it: nobody is known to it
				}
			}
		}
		if err := add(identifier, holder, t); err != nil {
			return nil, nil, err
		}
	}
	if len(codes) == 0 {
		err = add("id "+userID, user, nil)
	}
	return out, slowed, err
}

// wrongCode charges a wrong code to every live one that it could have been.
func (tx *txn) wrongCode(ctx context.Context, p purpose, user *record.User, secret string, guesses []guess) error {
	_, isLink := Secret(secret).digest("") // nobody guesses those
	for _, g := range guesses {
		for _, t := range g.codes {
			if t.Length != int64(len(secret)) || t.Length >= longCode {
				continue
			}
			t.Failures++
			err := error(nil)
			if t.Failures >= codeFailures {
				err = record.Tokens.Delete(ctx, tx, store.Text(t.ID))
			} else {
				err = record.Tokens.Replace(ctx, tx, t)
			}
			if err != nil {
				return err
			}
		}
		if !isLink {
			if err := g.fail(ctx, tx); err != nil {
				return err
			}
		}
	}
	return tx.refuse(ctx, p.refuse, user, guesses[0].subject, ErrInvalidToken)
}

// enterByToken makes the session of whoever held a token.
func (tx *txn) enterByToken(ctx context.Context, t *record.Token, fresh record.User, in *signIn, refused *error) (*record.Session, error) {
	kind := kindOf(t)
	in.provider, in.providerUID, in.factors = kind.provider, t.Destination, kind.factor
	user, err := tx.prover(ctx, t, fresh)
	if err != nil {
		return nil, err
	}
	if user.Blocked {
		*refused = ErrUserBlocked
		return nil, tx.refuse(ctx, logSessionRefuse, user, nil, ErrUserBlocked)
	}
	known, err := tx.engine.guard(ctx, tx, tx.now, failCode, t.Slot, user, tx.by.Client)
	if err != nil {
		return nil, err
	}
	if err := known.remember(ctx, tx); err != nil {
		return nil, err
	}
	return tx.createSession(ctx, user, in)
}

// prover returns whom a token proves: its user, or the one who has its address
// now, or one who is made of it.
func (tx *txn) prover(ctx context.Context, t *record.Token, fresh record.User) (*record.User, error) {
	if t.Destination == "" {
		return getUser(ctx, tx, t.UserID)
	}
	channel := channelOf(t)
	user, err := tx.holder(ctx, channel, t.Destination)
	if err != nil {
		return nil, err
	}
	if t.UserID != "" && (user == nil || user.ID != t.UserID) {
		return nil, ErrInvalidToken // the address has moved; its tokens went with it
	}
	if user != nil {
		if user, err = tx.proven(ctx, user, channel, nil); err != nil || user != nil {
			return user, err
		}
	}
	if err := tx.roomForUser(ctx); err != nil {
		return nil, err
	}
	if _, err := getUser(ctx, tx, t.Alias); errors.Is(err, ErrUserNotFound) {
		fresh.ID = t.Alias
	} else if err != nil {
		return nil, err
	}
	if channel == notify.SMS {
		fresh.Phone, fresh.PhoneVerified = t.Destination, true
	} else {
		fresh.Email, fresh.EmailVerified = t.Destination, true
	}
	_, err = tx.insertUser(ctx, &fresh)
	return &fresh, err
}

// proven notes that the holder of an address has proven it. It is the one place
// for the first proof of an account: whoever had the account without any may
// have planted what it has. It returns nil if the account is somebody else's, who
// has proven another address, or is blocked: then the address is taken from it.
// edit, if it is not nil, is what the user changes by it.
func (tx *txn) proven(ctx context.Context, user *record.User, channel notify.Channel, edit func(*record.User) error) (*record.User, error) {
	byMail, told := channel == notify.Email, len(tx.notices)
	switch {
	case verified(user, channel):
		if edit == nil {
			return user, nil
		}
		_, err := tx.changeUser(ctx, user, edit)
		return user, err
	case user.Blocked || user.EmailVerified || user.PhoneVerified:
		_, err := tx.changeUser(ctx, user, func(u *record.User) error {
			if byMail {
				setEmail(u, "")
			} else {
				setPhone(u, "")
			}
			return nil
		})
		tx.notices = tx.notices[:told]
		return nil, err
	}
	if err := tx.endSessions(ctx, user, ""); err != nil {
		return nil, err
	}
	if err := tx.endTokens(ctx, user); err != nil {
		return nil, err
	}
	if !user.MFA { // no mailbox skips a second factor, once one is owed
		if err := tx.deleteFactors(ctx, user); err != nil {
			return nil, err
		}
	}
	_, err := tx.changeUser(ctx, user, func(u *record.User) error {
		u.TOTP = u.TOTP && u.MFA
		u.Password, u.PasswordHistory, u.PasswordUpdated = nil, nil, time.Time{}
		u.Epoch++ // nor is any client known from which somebody else has signed in
		if byMail {
			setPhone(u, "")
			u.EmailVerified = true
		} else {
			setEmail(u, "")
			u.PhoneVerified = true
		}
		if edit != nil {
			return edit(u)
		}
		return nil
	})
	if edit == nil {
		tx.notices = tx.notices[:told] // who does this knows of it, and nobody else has proven anything
	}
	return user, err
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
