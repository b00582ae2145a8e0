package latchkey

import (
	"context"
	"encoding/json"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// accountRead runs fn with the user of an account that may act. It is one read, so fn
// reads nothing else by the id of the user.
func accountRead[T any](ctx context.Context, a *Account, fn func(c *call, user *record.User) (T, error)) (T, error) {
	var zero T
	c, err := a.beginFor()
	if err != nil {
		return zero, err
	}
	user, err := a.standing(ctx, c, c.store)
	if err != nil {
		return zero, err
	}
	return fn(c, user)
}

// accountReadThen runs fn and checks the account after it. While the account may act,
// the rows that fn has read by the user's id are the user's, and not those of the
// next owner of the id.
func accountReadThen[T any](ctx context.Context, c *call, a *Account, may func(*Account, context.Context, *call, store.Reader) error, fn func() (T, error)) (T, error) {
	var zero T
	result, err := fn()
	if err == nil || isAnswer(err) {
		if dead := may(a, ctx, c, c.store); dead != nil {
			err = dead
		}
	}
	if err != nil {
		return zero, err
	}
	return result, nil
}

// accountFn is a change of an account, with its user, in a transaction.
type accountFn[T any] func(ctx context.Context, tx *txn, user *record.User) (T, error)

// accountChange checks the session and runs fn in one transaction.
func accountChange[T any](ctx context.Context, a *Account, fn accountFn[T]) (T, error) {
	c, err := a.begin()
	if err != nil {
		var zero T
		return zero, err
	}
	return accountUpdate(ctx, c, a, (*Account).standing, fn)
}

// accountChangeLimited is accountChange for an operation that is limited by client
// address.
func accountChangeLimited[T any](ctx context.Context, a *Account, l limited, fn accountFn[T]) (T, error) {
	c, err := a.begin()
	if err == nil {
		err = c.limitClient(ctx, l)
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return accountUpdate(ctx, c, a, (*Account).standing, fn)
}

// accountUpdate is the transaction of a change.
func accountUpdate[T any](ctx context.Context, c *call, a *Account, may gate, fn accountFn[T]) (T, error) {
	return update(ctx, c, func(ctx context.Context, tx *txn) (T, error) {
		user, err := may(a, ctx, c, tx)
		if err != nil {
			var zero T
			return zero, err
		}
		return fn(ctx, tx, user)
	})
}

// accountChangeOften is accountChange for a change that an account may repeat at will.
func accountChangeOften[T any](ctx context.Context, a *Account, fn accountFn[T]) (T, error) {
	c, err := a.begin()
	if err == nil {
		err = c.limit(ctx, limitChanges, "user "+a.session.UserID)
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return accountUpdate(ctx, c, a, (*Account).standing, fn)
}

// edit changes the user of the account. An impersonator may call it too. refused is the error of
// the input, nil if the input is valid.
func (a *Account) edit(ctx context.Context, refused error, edit func(*record.User)) (*User, error) {
	c, err := a.beginFor()
	if err == nil {
		err = refused
	}
	if err == nil {
		err = c.limit(ctx, limitChanges, "user "+a.session.UserID)
	}
	if err != nil {
		return nil, err
	}
	return accountUpdate(ctx, c, a, (*Account).standing, func(ctx context.Context, tx *txn, user *record.User) (*User, error) {
		return tx.changeUser(ctx, user, func(user *record.User) error {
			edit(user)
			return nil
		})
	})
}

// User returns the account. It is one read of the store.
func (a *Account) User(ctx context.Context) (_ *User, err error) {
	defer a.home().operation(&ctx, "get account").end(&err)
	return accountRead(ctx, a, func(c *call, user *record.User) (*User, error) { return a.show(ctx, c, user) })
}

// show returns the user of the account as it is shown.
func (a *Account) show(ctx context.Context, c *call, user *record.User) (*User, error) {
	shown, err := c.show(ctx, user)
	if err == nil {
		shown.ImpersonatorUserID = a.ImpersonatorID()
	}
	return shown, err
}

// UpdateName changes the name: 1 to 128 characters.
func (a *Account) UpdateName(ctx context.Context, name string) (_ *User, err error) {
	defer a.home().operation(&ctx, "update name").end(&err)
	refused := checkName(name)
	if name == "" {
		refused = invalid("name", canon.ErrName)
	}
	return a.edit(ctx, refused, func(user *record.User) { user.Name = name })
}

// Prefs returns the preferences, a JSON object.
func (a *Account) Prefs(ctx context.Context) (_ json.RawMessage, err error) {
	defer a.home().operation(&ctx, "get prefs").end(&err)
	return accountRead(ctx, a, func(_ *call, user *record.User) (json.RawMessage, error) { return json.RawMessage(user.Prefs), nil })
}

// UpdatePrefs replaces all preferences. They are a JSON object of at most 65,535
// bytes without insignificant space, nested at most 64 deep, with each name once in
// its object, and without NUL.
//
// Errors:
//   - [ErrArgumentInvalid]: the preferences have another form.
func (a *Account) UpdatePrefs(ctx context.Context, prefs json.RawMessage) (_ *User, err error) {
	defer a.home().operation(&ctx, "update prefs").end(&err)
	text, refused := checkPrefs(prefs)
	return a.edit(ctx, refused, func(user *record.User) { user.Prefs = text })
}

// Logs returns the log of the account, newest first: the user's own changes, those of the server
// and of impersonators, and refused sign-ins. The host's staff, impersonators among them, are shown
// without their ids and addresses. The addresses and devices of guests are left out too, if they
// came by an address that the user had not proven, since it may be their own. It takes [Limit],
// [Offset], cursors, [query.Page] and [query.NoTotal].
func (a *Account) Logs(ctx context.Context, queries ...Query) (_ *LogList, err error) {
	defer a.home().operation(&ctx, "list logs").end(&err)
	c, err := a.beginFor()
	if err != nil {
		return nil, err
	}
	return accountReadThen(ctx, c, a, (*Account).mayAct, func() (*LogList, error) {
		user, err := a.user(ctx, c.store)
		if err != nil {
			return nil, err
		}
		return c.logs(ctx, user, queries, true)
	})
}

// CurrentSession is the id that stands for the session that makes the call.
const CurrentSession = "current"

// Sessions returns the live sessions of the user, oldest first.
func (a *Account) Sessions(ctx context.Context) (_ *SessionList, err error) {
	defer a.home().operation(&ctx, "list sessions").end(&err)
	c, err := a.beginFor()
	if err != nil {
		return nil, err
	}
	return accountReadThen(ctx, c, a, (*Account).mayAct, func() (*SessionList, error) {
		rows, err := c.liveSessions(ctx, c.store, a.UserID())
		if err != nil {
			return nil, err
		}
		return c.showSessions(rows, a.sessionID())
	})
}

// GetSession returns a live session of the user. [CurrentSession] is the one that makes
// the call.
//
// Errors:
//   - [ErrSessionNotFound]: also for another user's session.
func (a *Account) GetSession(ctx context.Context, id string) (_ *Session, err error) {
	defer a.home().operation(&ctx, "get session").end(&err)
	c, err := a.beginFor()
	if err != nil {
		return nil, err
	}
	return accountReadThen(ctx, c, a, (*Account).mayAct, func() (*Session, error) {
		row, err := a.ownSession(ctx, c, c.store, id)
		if err != nil {
			return nil, err
		}
		return a.showOwn(c, row)
	})
}

// sessionID returns the id of the user's session that makes the call, "" for a JWT and for
// a user who acts for another.
func (a *Account) sessionID() string {
	if a.jwt != nil || a.acting != nil {
		return ""
	}
	return a.session.ID
}

// ownSession returns a live session of the user.
func (a *Account) ownSession(ctx context.Context, c *call, r store.Reader, id string) (*record.Session, error) {
	if id == CurrentSession {
		id = a.sessionID()
		if id == "" {
			return nil, ErrSessionNotFound
		}
	}
	if err := checkSessionID(id); err != nil {
		return nil, err
	}
	return c.liveSession(ctx, r, a.UserID(), id)
}

// keepFull takes the session that makes the call to have proven a factor that it has just
// made, if it would owe one because of that.
func (a *Account) keepFull(ctx context.Context, tx *txn, factor string) error {
	s, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
	if err != nil || !tx.owes(checkOf(s)) {
		return err
	}
	addFactor(s, factor)
	tx.noteOwing(s)
	return record.Sessions.Replace(ctx, tx, s)
}

// checkSessionID refuses a text that cannot be the id of a session.
func checkSessionID(id string) error {
	if err := canon.ID(id); err != nil {
		return invalid("sessionId", err)
	}
	return nil
}

// showOwn returns a session of the user as it is shown.
func (a *Account) showOwn(c *call, row *record.Session) (*Session, error) {
	s, err := c.showSession(row)
	if err == nil {
		s.Current = s.ID == a.sessionID()
	}
	return s, err
}

// ExtendSession extends a live session of the user by the length that the policy gives a new
// one, or by that of Client.SessionLength with which it was made, counted from now.
// [CurrentSession] is the one that makes the call. The secret stays. A session that lasts
// longer keeps its end. If a provider has made the session, and Policy.KeepProviderTokens has
// kept a refresh token, the tokens are refreshed. Calls at once share one refresh. The session
// is extended whether the provider answers or not.
//
// Errors:
//   - [ErrSessionNotFound]: also for another user's session.
//   - [*ThrottledError]: after ten calls from a client address in an hour.
func (a *Account) ExtendSession(ctx context.Context, id string) (_ *Session, err error) {
	defer a.home().operation(&ctx, "update session").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	if err := c.limitClient(ctx, limitUpdateSession); err != nil {
		return nil, err
	}
	if err := a.mayAct(ctx, c, c.store); err != nil {
		return nil, err
	}
	read, err := a.ownSession(ctx, c, c.store, id)
	if err != nil {
		return nil, err
	}
	var renewed *renewal
	if read.Identity != "" {
		settled, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewLength)
		defer cancel()
		ctx = settled // a refresh token that was redeemed must be stored
		if renewed, err = c.renewTokens(ctx, read); err != nil {
			return nil, err
		}
		if err := c.update(ctx, func(ctx context.Context, tx *txn) error { return tx.keepRenewal(ctx, renewed) }); err != nil {
			return nil, err
		}
	}
	return accountUpdate(ctx, c, a, (*Account).standing, func(ctx context.Context, tx *txn, user *record.User) (*Session, error) {
		row, err := a.ownSession(ctx, tx.call, tx, id)
		if err != nil {
			return nil, err
		}
		if end := tx.policy.Sessions.end(row, tx.now); end.After(row.Expire) {
			row.Expire = end
		}
		row.Updated, row.Touched = tx.now, tx.now
		if err := record.Sessions.Replace(ctx, tx, row); err != nil {
			return nil, err
		}
		if err := tx.logSession(ctx, logSessionUpdate, user, row); err != nil {
			return nil, err
		}
		return a.showOwn(tx.call, row)
	})
}

// RotateSession gives the session that makes the call a new secret. The old one is refused from
// then on, for a minute with [ErrSessionRenewed]. A host calls it where the session may have
// been planted before its user came to own the account, and after every rise of privilege: for
// example when an anonymous account becomes a full one ([Account.CreateAccount],
// [Account.UpdateEmail]). Of two calls at once with one secret, one is refused.
//
// Errors:
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) RotateSession(ctx context.Context) (_ *Session, err error) {
	defer a.home().operation(&ctx, "rotate session").end(&err)
	secret := newSecret()
	return accountChangeOften(ctx, a, func(ctx context.Context, tx *txn, user *record.User) (*Session, error) {
		row, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
		if err != nil {
			return nil, err
		}
		if err := tx.renewSecret(ctx, row, sessionDigest(secret)); err != nil {
			return nil, err
		}
		if err := record.Sessions.Replace(ctx, tx, row); err != nil {
			return nil, err
		}
		if err := tx.logSession(ctx, logSessionUpdate, user, row); err != nil {
			return nil, err
		}
		shown, err := a.showOwn(tx.call, row)
		if err != nil {
			return nil, err
		}
		shown.Secret = secret
		return shown, nil
	})
}

// DeleteSession ends a live session of the user. [CurrentSession] is the one that makes
// the call.
//
// Errors:
//   - [ErrSessionNotFound]: also for another user's session.
//   - [*ThrottledError]: after 100 calls from a client address in an hour.
func (a *Account) DeleteSession(ctx context.Context, id string) (err error) {
	defer a.home().operation(&ctx, "delete session").end(&err)
	_, err = accountChangeLimited(ctx, a, limitDeleteSession, func(ctx context.Context, tx *txn, user *record.User) (none, error) {
		row, err := a.ownSession(ctx, tx.call, tx, id)
		if err != nil {
			return none{}, err
		}
		return none{}, tx.endSession(ctx, user, row)
	})
	return err
}

// DeleteSessions ends all sessions of the user, including the one that makes the
// call.
//
// Errors:
//   - [*ThrottledError]: after 100 calls from a client address in an hour.
func (a *Account) DeleteSessions(ctx context.Context) (err error) {
	defer a.home().operation(&ctx, "delete sessions").end(&err)
	_, err = accountChangeLimited(ctx, a, limitDeleteSessions, func(ctx context.Context, tx *txn, user *record.User) (none, error) {
		return none{}, tx.endSessions(ctx, user, "")
	})
	return err
}
