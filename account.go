package latchkey

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// read runs fn and checks the session after it: while the session is alive, what
// fn has read by the user's id is the user's, and not of who got the id next.
func (a *Account) read(ctx context.Context, op string, fn func(r store.Reader, now time.Time) error) error {
	return a.readBy(ctx, op, a.live, fn)
}

// checked says why a session may not do something.
type checked func(ctx context.Context, r store.Reader, now time.Time) error

func (a *Account) readBy(ctx context.Context, op string, check checked, fn func(r store.Reader, now time.Time) error) error {
	if a == nil || a.engine == nil {
		return ErrUnauthorized
	}
	err := a.engine.open()
	if err == nil {
		now := a.engine.now()
		err = fn(a.engine.store, now)
		var own *Error
		if err == nil || errors.As(err, &own) {
			if dead := check(ctx, a.engine.store, now); dead != nil {
				err = dead
			}
		}
	}
	return outward(op, err)
}

// change checks the session and runs fn with its user, in one transaction. fn
// may run again.
func (a *Account) change(ctx context.Context, op string, fn func(ctx context.Context, tx *txn, user *record.User) error) error {
	return a.changeBy(ctx, op, nil, a.live, fn)
}

// limitedChange is change, for an operation that callers may not repeat at
// will.
func (a *Account) limitedChange(ctx context.Context, op string, l *limited, fn func(ctx context.Context, tx *txn, user *record.User) error) error {
	return a.changeBy(ctx, op, l, a.live, fn)
}

func (a *Account) changeBy(ctx context.Context, op string, l *limited, check checked, fn func(ctx context.Context, tx *txn, user *record.User) error) error {
	if a == nil || a.engine == nil {
		return ErrUnauthorized
	}
	err := a.engine.open()
	if err != nil {
		return err
	}
	now := a.engine.now()
	if l != nil {
		err = a.engine.limit(ctx, a.client, now, *l, a.client.network())
	}
	if err == nil {
		err = a.changeAt(ctx, now, check, fn)
	}
	return outward(op, err)
}

// changeAt is the transaction of a change, at the time of its operation.
func (a *Account) changeAt(ctx context.Context, now time.Time, check checked, fn func(ctx context.Context, tx *txn, user *record.User) error) error {
	return a.engine.update(ctx, now, a.actor(), func(ctx context.Context, tx *txn) error {
		if err := check(ctx, tx, now); err != nil {
			return err
		}
		user, err := a.user(ctx, tx)
		if err != nil {
			return err
		}
		return fn(ctx, tx, user)
	})
}

// edit checks the session and changes its user. refused is why the input cannot
// be taken.
func (a *Account) edit(ctx context.Context, op string, refused error, edit func(*record.User)) (shown *User, err error) {
	if a == nil || a.engine == nil {
		return nil, ErrUnauthorized
	}
	if refused != nil {
		return nil, refused
	}
	err = a.change(ctx, op, func(ctx context.Context, tx *txn, user *record.User) (err error) {
		shown, err = tx.changeUser(ctx, user, func(user *record.User) error { edit(user); return nil })
		return err
	})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// User returns the account. Its targets are read after the rest of it.
func (a *Account) User(ctx context.Context) (shown *User, err error) {
	err = a.read(ctx, "get account", func(r store.Reader, _ time.Time) error {
		user, err := a.user(ctx, r)
		if err != nil {
			return err
		}
		shown, err = showUser(ctx, r, user)
		return err
	})
	return shown, err
}

// UpdateName changes the name: 1 to 128 characters.
func (a *Account) UpdateName(ctx context.Context, name string) (*User, error) {
	err := checkName(name)
	if name == "" {
		err = invalid("name", canon.ErrName)
	}
	return a.edit(ctx, "update name", err, func(user *record.User) { user.Name = name })
}

// UpdateEmail changes the e-mail address, which is then not verified. password
// is the one of the account. An account that has none, an anonymous one for
// example, gets it as its first: it must meet the rules for new passwords. No
// session ends. The old address is told; to the new one nothing is sent. The
// address that the account has already changes nothing.
//
// With MFA on, the session has to be fresh, as for [Account.UpdateMFA]; so it has for
// the changes of number and password.
//
// Who fears that the session of an anonymous account was planted signs in anew
// afterwards, with the password, and ends the old session.
//
// Errors: [ErrArgumentInvalid]; [ErrInvalidCredentials] for a wrong password,
// counted and slowed together with those of
// [Guest.CreateEmailPasswordSession]; [ErrTargetAlreadyExists] or
// [ErrEmailAlreadyExists] when somebody else has the address; [ErrBusy];
// [ErrChallengeRequired].
func (a *Account) UpdateEmail(ctx context.Context, email, password string) (*User, error) {
	var address string
	return a.reset(ctx, "update email", reset{
		current: password,
		fresh:   firstPassword(password),
		check: func(*record.User) (err error) {
			if address, err = canon.Email(email); err != nil {
				return invalid("email", err)
			}
			return checkPasswordForm(password, passwordMin)
		},
		edit: func(user *record.User) { setEmail(user, address) },
	})
}

// UpdatePhone changes the phone number, which is then not verified: +, the
// country and the number, 7 to 15 digits in all. It is else like
// [Account.UpdateEmail]. The old number is told if it was verified, and the e-mail
// address. A number that somebody else has is [ErrTargetAlreadyExists] or
// [ErrPhoneAlreadyExists].
func (a *Account) UpdatePhone(ctx context.Context, phone, password string) (*User, error) {
	return a.reset(ctx, "update phone", reset{
		current: password,
		fresh:   firstPassword(password),
		check: func(*record.User) error {
			if err := canon.Phone(phone); err != nil {
				return invalid("phone", err)
			}
			return checkPasswordForm(password, passwordMin)
		},
		edit: func(user *record.User) { setPhone(user, phone) },
	})
}

// firstPassword is set by a change that asks for the password of an account
// that has none.
func firstPassword(password string) func(has bool) string {
	return func(has bool) string {
		if has {
			return ""
		}
		return password
	}
}

// UpdatePassword sets the password. old is the one of the account; it is
// ignored if there is none. All other sessions of the user end, unless the
// policy keeps them. The user is told by mail, or by SMS to a verified number if
// there is no address.
//
// Errors: [ErrArgumentInvalid], [ErrPasswordPersonalData],
// [ErrPasswordRecentlyUsed] for a password against the rules;
// [ErrInvalidCredentials] for a wrong old one, counted and slowed together with
// those of [Guest.CreateEmailPasswordSession]; a [*ThrottledError] after ten
// calls from a client address in an hour; [ErrBusy]; [ErrChallengeRequired] as of
// UpdateEmail.
func (a *Account) UpdatePassword(ctx context.Context, password, old string) (*User, error) {
	return a.reset(ctx, "update password", reset{
		current: old,
		fresh:   func(bool) string { return password },
		check: func(user *record.User) error {
			if user.Password != nil {
				if err := checkPasswordForm(old, 0); err != nil {
					return err
				}
			}
			return a.engine.policy.checkStrength(password)
		},
		edit:      func(*record.User) {},
		endOthers: true,
		limit:     &limitUpdatePassword,
	})
}

// CreateAccount makes the anonymous account of the session a full one, with the
// same id: the address and the name are set, and the password, as
// [Account.UpdateEmail] does. The id in n must be "" or a valid one, and is not
// used. An empty name leaves the name as it is.
//
// Errors: those of UpdateEmail; [ErrSessionAlreadyExists] for an account that
// has an address, a number or a password; [ErrAuthMethodUnsupported]; a
// [*ThrottledError], counted with those of [Guest.CreateAccount].
func (a *Account) CreateAccount(ctx context.Context, n NewAccount) (*User, error) {
	var row *record.User
	return a.reset(ctx, "create account", reset{
		fresh: func(bool) string { return n.Password.Reveal() },
		check: func(user *record.User) (err error) {
			if err := a.engine.policy.enabled(a.client, EmailPassword, "Email and password"); err != nil {
				return err
			}
			if !anonymous(user) {
				return ErrSessionAlreadyExists
			}
			if n.Email == "" {
				return invalid("email", canon.ErrEmail)
			}
			row, err = NewUser{UserID: n.UserID, Email: n.Email, Name: n.Name}.row(user.Created)
			return err
		},
		edit: func(user *record.User) {
			setEmail(user, row.Email)
			if n.Name != "" {
				user.Name = n.Name
			}
		},
		limit: &limitCreateAccount,
	})
}

// UpdateStatus blocks the account that asks. Every session of the user is
// refused from then on with [ErrUserBlocked], and so is signing in. Only the
// server can undo it, with [Users.UpdateStatus].
func (a *Account) UpdateStatus(ctx context.Context) (*User, error) {
	return a.edit(ctx, "update status", nil, func(user *record.User) { user.Blocked = true })
}

// Prefs returns the preferences, a JSON object.
func (a *Account) Prefs(ctx context.Context) (prefs json.RawMessage, err error) {
	err = a.read(ctx, "get prefs", func(r store.Reader, _ time.Time) error {
		user, err := a.user(ctx, r)
		if err == nil {
			prefs = json.RawMessage(user.Prefs)
		}
		return err
	})
	return prefs, err
}

// UpdatePrefs replaces all preferences. They are a JSON object of at most
// 65,535 bytes without the space around its parts, nested at most 64 deep, each
// name once in its object, without NUL.
func (a *Account) UpdatePrefs(ctx context.Context, prefs json.RawMessage) (*User, error) {
	text, err := checkPrefs(prefs)
	return a.edit(ctx, "update prefs", err, func(user *record.User) { user.Prefs = text })
}

// Logs returns what happened to the account, newest first: what the user did,
// what the server did to it, and the sign-ins that were refused. Where the
// server's people are is not shown. It takes [Limit] and [Offset].
func (a *Account) Logs(ctx context.Context, queries ...Query) (list *LogList, err error) {
	err = a.read(ctx, "list logs", func(r store.Reader, _ time.Time) error {
		user, err := a.user(ctx, r)
		if err == nil {
			list, err = a.engine.logs(ctx, r, user, queries)
		}
		if err != nil {
			return err
		}
		for _, l := range list.Logs {
			if l.Mode == "server" { // where its people are is none of the user's
				l.IP, l.Device = "", Device{}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Current is the id that means the session that asks.
const Current = "current"

// Sessions returns the live sessions of the user, oldest first.
func (a *Account) Sessions(ctx context.Context) (list *SessionList, err error) {
	err = a.read(ctx, "list sessions", func(r store.Reader, now time.Time) error {
		list, err = a.engine.sessionsOf(ctx, r, now, a.session.UserID, a.current())
		return err
	})
	return list, err
}

// GetSession returns a live session of the user; [Current] is the one that
// asks. Another user's session is [ErrSessionNotFound], as is one that does not
// exist.
func (a *Account) GetSession(ctx context.Context, id string) (session *Session, err error) {
	err = a.read(ctx, "get session", func(r store.Reader, now time.Time) error {
		row, err := a.own(ctx, r, now, id)
		if err != nil {
			return err
		}
		session, err = a.shown(row)
		return err
	})
	return session, err
}

// current returns the id of the session that asks, "" for a JWT.
func (a *Account) current() string {
	if a.jwt != nil {
		return ""
	}
	return a.session.ID
}

// own returns a live session of the user.
func (a *Account) own(ctx context.Context, r store.Reader, now time.Time, id string) (*record.Session, error) {
	if id == Current {
		if id = a.current(); id == "" {
			return nil, ErrSessionNotFound
		}
	}
	if err := canon.ID(id); err != nil {
		return nil, invalid("sessionId", err)
	}
	return a.engine.getSession(ctx, r, now, a.session.UserID, id)
}

func (a *Account) shown(row *record.Session) (*Session, error) {
	s, err := a.engine.sessionOf(row)
	if err == nil {
		s.Current = s.ID == a.current()
	}
	return s, err
}

// UpdateSession extends a live session of the user by the length that the
// policy gives a new one, counted from now; [Current] is the one that asks. Its
// secret stays. A session that lasts longer keeps its end. Errors: [ErrSessionNotFound], also for another user's session; a
// [*ThrottledError] after ten calls from a client address in an hour.
func (a *Account) UpdateSession(ctx context.Context, id string) (session *Session, err error) {
	err = a.limitedChange(ctx, "update session", &limitUpdateSession, func(ctx context.Context, tx *txn, user *record.User) error {
		row, err := a.own(ctx, tx, tx.now, id)
		if err != nil {
			return err
		}
		if end := a.engine.policy.end(row, tx.now); end.After(row.Expire) {
			row.Expire = end
		}
		row.Updated, row.Touched = tx.now, tx.now
		if err := record.Sessions.Replace(ctx, tx, row); err != nil {
			return err
		}
		if session, err = a.shown(row); err != nil {
			return err
		}
		return tx.logSession(ctx, logSessionUpdate, "update", user, row)
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}

// DeleteSession ends a live session of the user; [Current] is the one that
// asks. Errors: [ErrSessionNotFound], also for another user's session; a
// [*ThrottledError] after 100 calls from a client address in an hour.
func (a *Account) DeleteSession(ctx context.Context, id string) error {
	return a.limitedChange(ctx, "delete session", &limitDeleteSession, func(ctx context.Context, tx *txn, user *record.User) error {
		row, err := a.own(ctx, tx, tx.now, id)
		if err != nil {
			return err
		}
		return tx.endSession(ctx, user, row)
	})
}

// DeleteSessions ends all sessions of the user, the one that asks too. Errors: a
// [*ThrottledError] after 100 calls from a client address in an hour.
func (a *Account) DeleteSessions(ctx context.Context) error {
	return a.limitedChange(ctx, "delete sessions", &limitDeleteSessions, func(ctx context.Context, tx *txn, user *record.User) error {
		return tx.endSessions(ctx, user, "")
	})
}
