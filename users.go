package latchkey

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/query"
	"example.com/latchkey/store"
)

// usersRead runs fn with a user.
func usersRead[T any](ctx context.Context, u *Users, id string, fn func(c *call, user *record.User) (T, error)) (T, error) {
	var zero T
	c, err := u.beginFor(id)
	if err != nil {
		return zero, err
	}
	user, err := getUser(ctx, c.store, id)
	if err != nil {
		return zero, err
	}
	return fn(c, user)
}

// usersChange runs fn with a user in one transaction.
func usersChange[T any](ctx context.Context, c *call, id string, fn accountFn[T]) (T, error) {
	return update(ctx, c, func(ctx context.Context, tx *txn) (T, error) {
		user, err := getUser(ctx, tx, id)
		if err != nil {
			var zero T
			return zero, err
		}
		return fn(ctx, tx, user)
	})
}

// change runs fn with a user in one transaction.
func (u *Users) change(ctx context.Context, id string, fn func(ctx context.Context, tx *txn, user *record.User) error) error {
	c, err := u.beginFor(id)
	if err != nil {
		return err
	}
	_, err = usersChange(ctx, c, id, func(ctx context.Context, tx *txn, user *record.User) (none, error) { return none{}, fn(ctx, tx, user) })
	return err
}

// edit changes a user. refused says why the input is not acceptable, nil if it is.
func (u *Users) edit(ctx context.Context, id string, refused error, edit func(*record.User) error) (*User, error) {
	c, err := u.beginFor(id)
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	return usersChange(ctx, c, id, func(ctx context.Context, tx *txn, user *record.User) (*User, error) {
		return tx.changeUser(ctx, user, edit)
	})
}

// Create makes a user with any of e-mail, phone and password, or without them.
// Neither address is verified. A target is made for each. A password must meet the
// rules for new ones.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address.
//   - [ErrPasswordPersonalData]
//   - [ErrUserAlreadyExists]: the id or an address is taken.
//   - [ErrBusy]
func (u *Users) Create(ctx context.Context, n NewUser) (_ *User, err error) {
	defer u.home().operation(&ctx, "create user").end(&err)
	c, err := u.begin()
	if err != nil {
		return nil, err
	}
	return c.createUser(ctx, n)
}

// Get returns a user. The targets are read after the rest.
func (u *Users) Get(ctx context.Context, id string) (_ *User, err error) {
	defer u.home().operation(&ctx, "get user").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (*User, error) { return c.show(ctx, user) })
}

// PasswordHash returns the hash of a user's password in PHC form, empty without a
// password, for hosts that move users elsewhere. No other answer holds it. Its
// bearer can guess at the password without asking the engine.
func (u *Users) PasswordHash(ctx context.Context, id string) (_ Secret, err error) {
	defer u.home().operation(&ctx, "get password hash").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (Secret, error) {
		if user.Password == nil {
			return Secret{}, nil
		}
		text, err := c.ring.Open(seal.PasswordHash, seal.PasswordPlace(user.ID), user.Password)
		if err != nil {
			return Secret{}, c.sealFault(ctx, sealedPassword, user.ID, err)
		}
		return hide(string(text)), nil
	})
}

// Delete deletes a user with everything of theirs, at once: sessions, targets,
// addresses. The log stays, under a key that no later user of the same id gets.
//
// Errors:
//   - [ErrUserNotFound]
//   - [ErrReferenced]: a foreign key of the host's refers to the user.
func (u *Users) Delete(ctx context.Context, id string) (err error) {
	defer u.home().operation(&ctx, "delete user").end(&err)
	return u.change(ctx, id, func(ctx context.Context, tx *txn, user *record.User) error {
		return tx.deleteUser(ctx, user)
	})
}

// UpdateName changes the name: at most 128 characters, or "".
func (u *Users) UpdateName(ctx context.Context, id, name string) (_ *User, err error) {
	defer u.home().operation(&ctx, "update name").end(&err)
	return u.edit(ctx, id, checkName(name), func(user *record.User) error {
		user.Name = name
		return nil
	})
}

// UpdateEmail changes the e-mail address, which is then not verified; "" removes it.
// The old address gets a notice if it was verified.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address, and the user does not have it already.
//   - [ErrTargetAlreadyExists], [ErrEmailAlreadyExists]: another user has it.
func (u *Users) UpdateEmail(ctx context.Context, id, email string) (_ *User, err error) {
	defer u.home().operation(&ctx, "update email").end(&err)
	var refused error
	if email != "" {
		email, refused = checkEmail(email)
	}
	notAdmitted := u.engine.admitEmail(ctx, email)
	return u.edit(ctx, id, refused, func(user *record.User) error {
		if notAdmitted != nil && email != user.Email {
			return notAdmitted
		}
		byEmail.set(user, email)
		return nil
	})
}

// UpdatePhone changes the phone number, which is then not verified; "" removes it.
// The user gets the notices of [Account.UpdatePhone].
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrTargetAlreadyExists], [ErrPhoneAlreadyExists]: another user has it.
func (u *Users) UpdatePhone(ctx context.Context, id, phone string) (_ *User, err error) {
	defer u.home().operation(&ctx, "update phone").end(&err)
	var refused error
	if phone != "" {
		if err := canon.Phone(phone); err != nil {
			refused = invalid("number", err)
		}
	}
	return u.edit(ctx, id, refused, func(user *record.User) error {
		byPhone.set(user, phone)
		return nil
	})
}

// UpdatePassword sets the password. "" removes it: the user cannot sign in by
// password until there is one again. All sessions of the user end, unless the policy
// keeps them, and wrong passwords that strangers have tried are forgotten. The user
// gets the notice of [Account.UpdatePassword]. Removing the password of a user
// without one ends the sessions too.
//
// Errors:
//   - [ErrArgumentInvalid], [ErrPasswordPersonalData], [ErrPasswordRecentlyUsed]: the
//     password is against the rules.
//   - [ErrBusy]
func (u *Users) UpdatePassword(ctx context.Context, id, password string) (_ *User, err error) {
	defer u.home().operation(&ctx, "update password").end(&err)
	c, err := u.beginFor(id)
	if err != nil {
		return nil, err
	}
	return retryChanged(func() (*User, error) { return c.setPassword(ctx, id, password) })
}

// setPassword sets or removes the password of a user, once.
func (c *call) setPassword(ctx context.Context, id, password string) (*User, error) {
	read, err := getUser(ctx, c.store, id)
	if err != nil {
		return nil, err
	}
	fresh, err := c.noPassword(ctx, read)
	if err == nil && password != "" {
		fresh, err = c.hashNew(ctx, read, password)
	}
	if err != nil {
		return nil, err
	}
	return usersChange(ctx, c, id, func(ctx context.Context, tx *txn, user *record.User) (*User, error) {
		if _, err := unchanged(ctx, tx, read); err != nil {
			return nil, err
		}
		if password == "" && user.Password == nil { // no change follows, but the other ways in end
			if err := tx.endTokens(ctx, user); err != nil {
				return nil, err
			}
			user.Epoch++
			if err := record.Users.Replace(ctx, tx, user); err != nil {
				return nil, err
			}
		}
		shown, err := tx.changeUser(ctx, user, func(user *record.User) error {
			return fresh.set(&tx.policy, user, tx.now)
		})
		if err == nil && !tx.policy.Sessions.KeepOnPasswordChange {
			err = tx.endSessions(ctx, user, "")
		}
		return shown, err
	})
}

// UpdateStatus blocks a user with false and unblocks them with true. A blocked
// user's sessions stay, and are refused with [ErrUserBlocked] until then; so is
// signing in. With Policy.Sessions.EndOnBlock the sessions end, and so do links and codes.
func (u *Users) UpdateStatus(ctx context.Context, id string, status bool) (_ *User, err error) {
	defer u.home().operation(&ctx, "update status").end(&err)
	return u.edit(ctx, id, nil, func(user *record.User) error {
		user.Blocked = !status
		return nil
	})
}

// UpdateEmailVerification sets whether the e-mail address is verified.
//
// Errors:
//   - [ErrEmailNotFound]: the user has no address that could be verified.
func (u *Users) UpdateEmailVerification(ctx context.Context, id string, verified bool) (_ *User, err error) {
	defer u.home().operation(&ctx, "update verification").end(&err)
	return u.updateVerification(ctx, id, byEmail, verified)
}

// UpdatePhoneVerification sets whether the phone number is verified.
//
// Errors:
//   - [ErrPhoneNotFound]: the user has no number that could be verified.
func (u *Users) UpdatePhoneVerification(ctx context.Context, id string, verified bool) (_ *User, err error) {
	defer u.home().operation(&ctx, "update verification").end(&err)
	return u.updateVerification(ctx, id, byPhone, verified)
}

// updateVerification sets whether an address of a user is verified.
func (u *Users) updateVerification(ctx context.Context, id string, by *contact, verified bool) (*User, error) {
	return u.edit(ctx, id, nil, func(user *record.User) error {
		if by.address(user) == "" && verified {
			return by.missing
		}
		by.setVerified(user, verified)
		return nil
	})
}

// UpdateImpersonator sets whether the user may act for others ([Account.Impersonate]).
func (u *Users) UpdateImpersonator(ctx context.Context, id string, on bool) (_ *User, err error) {
	defer u.home().operation(&ctx, "update impersonator").end(&err)
	return u.edit(ctx, id, nil, func(user *record.User) error {
		user.Impersonator = on
		return nil
	})
}

// UpdateLabels replaces the labels: at most 1,000, each of 1 to 36 letters and
// digits of ASCII. A label that is given twice is kept once. Each label gives its
// user a role.
//
// Errors:
//   - [ErrArgumentInvalid]
func (u *Users) UpdateLabels(ctx context.Context, id string, labels []string) (_ *User, err error) {
	defer u.home().operation(&ctx, "update labels").end(&err)
	text, refused := checkLabels(labels)
	return u.edit(ctx, id, refused, func(user *record.User) error {
		user.Labels = text
		return nil
	})
}

// Prefs returns the preferences of a user, a JSON object.
func (u *Users) Prefs(ctx context.Context, id string) (_ json.RawMessage, err error) {
	defer u.home().operation(&ctx, "get prefs").end(&err)
	return usersRead(ctx, u, id, func(_ *call, user *record.User) (json.RawMessage, error) { return json.RawMessage(user.Prefs), nil })
}

// UpdatePrefs replaces all preferences of a user and returns them. They have the
// form of [Account.UpdatePrefs].
//
// Errors:
//   - [ErrArgumentInvalid]: the preferences have another form.
func (u *Users) UpdatePrefs(ctx context.Context, id string, prefs json.RawMessage) (_ json.RawMessage, err error) {
	defer u.home().operation(&ctx, "update prefs").end(&err)
	text, refused := checkPrefs(prefs)
	shown, err := u.edit(ctx, id, refused, func(user *record.User) error {
		user.Prefs = text
		return nil
	})
	if err != nil {
		return nil, err
	}
	return shown.Prefs, nil
}

// Sessions returns a page of the live sessions of a user, oldest first. It takes the queries of
// [Users.List], without Search, over $id, $createdAt, $updatedAt and provider.
//
// Errors: those of [Users.List], without [ErrQueryTooCostly].
func (u *Users) Sessions(ctx context.Context, id string, queries ...Query) (_ *SessionList, err error) {
	defer u.home().operation(&ctx, "list sessions").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (*SessionList, error) {
		rows, err := c.liveSessions(ctx, c.store, user.ID)
		if err != nil {
			return nil, err
		}
		found, err := sessionListing.listOf(c, user, queries, rows)
		if err != nil {
			return nil, err
		}
		list, err := c.showSessions(found.rows, "")
		if err != nil {
			return nil, err
		}
		list.Total, list.Pages = found.total, found.pages
		return list, nil
	})
}

// sessionListing lists the sessions of a user.
var sessionListing = &listing[record.Session]{
	name: "sessions", rows: record.Sessions,
	usual: order{attribute: attribute{column: "created"}},
	attributes: map[string]attribute{
		query.ID:        {column: "id"},
		query.CreatedAt: {column: "created"},
		query.UpdatedAt: {column: "updated"},
		"provider":      {column: "provider"},
	},
}

// CreateSession signs a user in without any proof and returns the session with its
// secret. The session limit holds.
//
// Errors:
//   - [ErrUserBlocked]
func (u *Users) CreateSession(ctx context.Context, id string) (_ *Session, err error) {
	defer u.home().operation(&ctx, "create user session").end(&err)
	c, err := u.beginFor(id)
	if err != nil {
		return nil, err
	}
	in := c.newSignIn(ctx, providerServer, "", factorServer)
	return usersChange(ctx, c, id, func(ctx context.Context, tx *txn, user *record.User) (*Session, error) {
		if user.Blocked {
			return nil, ErrUserBlocked
		}
		s, err := tx.createSession(ctx, user, in)
		if err != nil {
			return nil, err
		}
		s.Current = false
		return s, nil
	})
}

// DeleteSession ends a live session of a user.
//
// Errors:
//   - [ErrSessionNotFound]: also for another user's session.
func (u *Users) DeleteSession(ctx context.Context, id, sessionID string) (err error) {
	defer u.home().operation(&ctx, "delete session").end(&err)
	return u.change(ctx, id, func(ctx context.Context, tx *txn, user *record.User) error {
		if err := checkSessionID(sessionID); err != nil {
			return err
		}
		row, err := tx.liveSession(ctx, tx, user.ID, sessionID)
		if err != nil {
			return err
		}
		return tx.endSession(ctx, user, row)
	})
}

// DeleteSessions ends all sessions of a user.
func (u *Users) DeleteSessions(ctx context.Context, id string) (err error) {
	defer u.home().operation(&ctx, "delete sessions").end(&err)
	return u.change(ctx, id, func(ctx context.Context, tx *txn, user *record.User) error {
		return tx.endSessions(ctx, user, "")
	})
}

// Logs returns a page of the log of a user, newest first. It takes [Limit], [Offset], cursors,
// [query.Page] and [query.NoTotal].
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrQueryInvalid], [ErrCursorNotFound]
func (u *Users) Logs(ctx context.Context, id string, queries ...Query) (_ *LogList, err error) {
	defer u.home().operation(&ctx, "list logs").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (*LogList, error) { return c.logs(ctx, user, queries, false) })
}

// CreateToken makes a token for hosts with their own way to identify people: the
// host hands over the secret, and the client calls [Guest.CreateSession]. length is a
// number of lower-case hexadecimal digits, 4 to 128; 0 means 6. expire is a minute to
// 365 days; 0 means 15 minutes. A short token that lives long can be guessed: five
// wrong codes end every code of the user with fewer than 32 digits. A new token ends
// the one before.
//
// Errors:
//   - [ErrArgumentInvalid]
func (u *Users) CreateToken(ctx context.Context, id string, length int, expire time.Duration) (_ *Token, err error) {
	defer u.home().operation(&ctx, "create token").end(&err)
	c, err := u.beginFor(id)
	if err != nil {
		return nil, err
	}
	secret, life, err := drawCustom(length, expire)
	if err != nil {
		return nil, err
	}
	n := c.newToken(kindCustom, "", id, secret)
	n.Slot, n.UserID, n.Expire = id, id, c.now.Add(life)
	return usersChange(ctx, c, id, func(ctx context.Context, tx *txn, user *record.User) (*Token, error) {
		if err := tx.insertToken(ctx, n); err != nil {
			return nil, err
		}
		tx.event(user.ID, "tokens."+n.ID+".create", n.show())
		shown := n.show()
		shown.Secret = hide(n.secret)
		return shown, tx.log(ctx, logTokenCreate, user)
	})
}

// drawCustom draws the secret of a custom token, and returns its life.
func drawCustom(length int, expire time.Duration) (secret string, life time.Duration, err error) {
	length, expire = cmp.Or(length, customLength), cmp.Or(expire, customExpire)
	if length < customLeast || length > customMost {
		return "", 0, invalid("length", reason.New(reason.OutOfRange, "not %d to %d", customLeast, customMost))
	}
	if expire < customExpireLeast || expire > customExpireMost {
		return "", 0, invalid("expire", reason.New(reason.OutOfRange, "not %v to %v", customExpireLeast, customExpireMost))
	}
	random := newSecret().Reveal() + newSecret().Reveal()
	return random[:length], expire, nil
}

// RecentSession is the newest session of a user, for [Users.CreateJWT].
const RecentSession = "recent"

// CreateJWT returns a JWT for a user, bound to a session of theirs: [RecentSession], or "",
// is the newest among those that owe nothing. If the user has no session, the JWT is
// bound to the user alone: it ends with the next change of the password, recovery,
// block or first proof of an address, and is checked by one read of the user. length
// is as in [Account.CreateJWT].
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrSessionNotFound]: the session is not a live one of the user.
//   - [ErrUserBlocked]
//   - [ErrPasswordResetRequired]
//   - [ErrMoreFactorsRequired]: the session owes a second factor, which other services
//     could not see.
func (u *Users) CreateJWT(ctx context.Context, id, sessionID string, length time.Duration) (_ Secret, err error) {
	defer u.home().operation(&ctx, "create JWT").end(&err)
	return usersRead(ctx, u, id, func(c *call, user *record.User) (Secret, error) {
		expire, err := jwtExpire(c.now, length)
		if err != nil {
			return Secret{}, err
		}
		switch {
		case user.Blocked:
			return Secret{}, ErrUserBlocked
		case user.MustReset:
			return Secret{}, ErrPasswordResetRequired
		}
		claims := jws.Claims{UserID: user.ID, IssuedAt: c.now, Expire: expire}
		session, err := c.sessionForJWT(ctx, c.store, user.ID, sessionID)
		switch {
		case err != nil:
			return Secret{}, err
		case session == nil:
			claims.Epoch, claims.Account = user.Epoch, accountOf(user)
			if claims.Store, err = storeEpoch(ctx, c.store); err != nil {
				return Secret{}, err
			}
			return c.sign(claims)
		}
		check := checkOf(session)
		claims.SessionID, claims.Epoch, claims.Secret = session.ID, check.UserPasswordEpoch, secretName(session.Digest)
		if end := c.policy.Sessions.last(check); end.Before(expire) {
			claims.Expire = end
		}
		if err := c.mayAct(check, c.now); err != nil {
			return Secret{}, err
		}
		return c.sign(claims)
	})
}

// sessionForJWT returns the session that the server names, nil if it names the
// newest one and the user has no session.
func (c *call) sessionForJWT(ctx context.Context, r store.Reader, userID, id string) (*record.Session, error) {
	if id != "" && id != RecentSession {
		if err := checkSessionID(id); err != nil {
			return nil, err
		}
		return c.liveSession(ctx, r, userID, id)
	}
	rows, err := sessionRows(ctx, r, userID)
	if err != nil {
		return nil, err
	}
	var newest *record.Session
	for i := range rows {
		s := rows[len(rows)-1-i]
		if !c.alive(s) {
			continue
		}
		if newest == nil {
			newest = s
		}
		if c.mayAct(checkOf(s), c.now) == nil {
			return s, nil
		}
	}
	return newest, nil
}
