package latchkey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/seal"
	"example.com/latchkey/store"
)

// read runs fn with a user.
func (u *Users) read(ctx context.Context, op, id string, fn func(r store.Reader, user *record.User) error) error {
	err := u.open(id)
	if err == nil {
		var user *record.User
		if user, err = getUser(ctx, u.engine.store, id); err == nil {
			err = fn(u.engine.store, user)
		}
	}
	return outward(op, err)
}

// change runs fn with a user in one transaction. fn may run again.
func (u *Users) change(ctx context.Context, op, id string, fn func(ctx context.Context, tx *txn, user *record.User) error) error {
	err := u.open(id)
	if err == nil {
		err = u.engine.update(ctx, u.engine.now(), u.actor(), func(ctx context.Context, tx *txn) error {
			user, err := getUser(ctx, tx, id)
			if err != nil {
				return err
			}
			return fn(ctx, tx, user)
		})
	}
	return outward(op, err)
}

// edit changes a user. refused is why the input cannot be taken.
func (u *Users) edit(ctx context.Context, op, id string, refused error, edit func(*record.User) error) (shown *User, err error) {
	if err := u.open(id); err != nil {
		return nil, outward(op, err)
	}
	if refused != nil {
		return nil, refused
	}
	err = u.change(ctx, op, id, func(ctx context.Context, tx *txn, user *record.User) (err error) {
		shown, err = tx.changeUser(ctx, user, edit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// Create makes a user of any of e-mail, phone and password, or of none. Neither
// address is verified; a target is made for each. A password has to meet the
// rules for new ones.
//
// Errors: [ErrArgumentInvalid]; [ErrPasswordPersonalData];
// [ErrUserAlreadyExists] when the id or an address is taken; [ErrBusy].
func (u *Users) Create(ctx context.Context, n NewUser) (user *User, err error) {
	if u == nil {
		err = errNoEngine
	} else if err = u.engine.open(); err == nil {
		user, err = u.engine.createUser(ctx, u.engine.now(), u.actor(), n)
	}
	return user, outward("create user", err)
}

// Get returns a user. The targets are read after the rest.
func (u *Users) Get(ctx context.Context, id string) (shown *User, err error) {
	err = u.read(ctx, "get user", id, func(r store.Reader, user *record.User) (err error) {
		shown, err = showUser(ctx, r, user)
		return err
	})
	return shown, err
}

// PasswordHash returns the hash of a user's password in PHC form, "" if there
// is none: for hosts that move users elsewhere. It is in no other answer. Who has
// it can guess at the password without asking.
func (u *Users) PasswordHash(ctx context.Context, id string) (hash Secret, err error) {
	err = u.read(ctx, "get password hash", id, func(_ store.Reader, user *record.User) error {
		if user.Password == nil {
			return nil
		}
		text, err := u.engine.ring.Open(seal.PasswordHash, seal.PasswordPlace(user.ID), user.Password)
		hash = Secret(text)
		return err
	})
	return hash, err
}

// Delete deletes a user with everything of theirs, at once: sessions, targets,
// addresses. The log stays, under a key that no later user of the same id
// gets.
func (u *Users) Delete(ctx context.Context, id string) error {
	return u.change(ctx, "delete user", id, func(ctx context.Context, tx *txn, user *record.User) error {
		return tx.deleteUser(ctx, user)
	})
}

// UpdateName changes the name: at most 128 characters, or "".
func (u *Users) UpdateName(ctx context.Context, id, name string) (*User, error) {
	return u.edit(ctx, "update name", id, checkName(name), func(user *record.User) error {
		user.Name = name
		return nil
	})
}

// UpdateEmail changes the e-mail address, which is then not verified; "" takes
// it away. The old address is told. Errors: [ErrTargetAlreadyExists] or [ErrEmailAlreadyExists] when
// somebody else has it.
func (u *Users) UpdateEmail(ctx context.Context, id, email string) (*User, error) {
	var refused error
	if email != "" {
		var err error
		if email, err = canon.Email(email); err != nil {
			refused = invalid("email", err)
		}
	}
	return u.edit(ctx, "update email", id, refused, func(user *record.User) error {
		setEmail(user, email)
		return nil
	})
}

// UpdatePhone changes the phone number, which is then not verified; "" takes it
// away. The user is told, as by [Account.UpdatePhone]. Errors: [ErrTargetAlreadyExists] or [ErrPhoneAlreadyExists] when
// somebody else has it.
func (u *Users) UpdatePhone(ctx context.Context, id, phone string) (*User, error) {
	var refused error
	if phone != "" {
		if err := canon.Phone(phone); err != nil {
			refused = invalid("number", err)
		}
	}
	return u.edit(ctx, "update phone", id, refused, func(user *record.User) error {
		setPhone(user, phone)
		return nil
	})
}

// UpdatePassword sets the password, or takes it away: with "" the user cannot
// sign in by password until there is one again. All sessions of the user end,
// unless the policy keeps them, and wrong passwords that strangers have tried
// are forgotten. The user is told, as by [Account.UpdatePassword]. Taking away what is not there ends the sessions too.
//
// Errors: [ErrArgumentInvalid], [ErrPasswordPersonalData],
// [ErrPasswordRecentlyUsed] for a password against the rules; [ErrBusy].
func (u *Users) UpdatePassword(ctx context.Context, id, password string) (*User, error) {
	shown, err := settled(func() (*User, error) { return u.setPassword(ctx, id, password) })
	return shown, outward("update password", err)
}

func (u *Users) setPassword(ctx context.Context, id, password string) (shown *User, err error) {
	var read *record.User
	var fresh newPassword
	err = u.read(ctx, "update password", id, func(_ store.Reader, user *record.User) (err error) {
		if read = user; password != "" {
			fresh, err = u.engine.newPassword(ctx, user, password)
		} else {
			fresh = u.engine.noPassword(user)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = u.change(ctx, "update password", id, func(ctx context.Context, tx *txn, user *record.User) (err error) {
		shown = nil
		if _, err := unchanged(ctx, tx, read); err != nil {
			return err
		}
		if password == "" && user.Password == nil { // what else there is to sign in with ends
			if err := tx.endTokens(ctx, user); err != nil {
				return err
			}
			user.Epoch++
			if err := record.Users.Replace(ctx, tx, user); err != nil {
				return err
			}
		}
		shown, err = tx.changeUser(ctx, user, func(user *record.User) error {
			return fresh.set(&u.engine.policy, user, tx.now)
		})
		if err == nil && !u.engine.policy.KeepSessionsOnPasswordChange {
			err = tx.endSessions(ctx, user, "")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// UpdateStatus blocks a user with false and lets them in again with true. A
// blocked user's sessions stay, and are refused with [ErrUserBlocked] until
// then; so is signing in.
func (u *Users) UpdateStatus(ctx context.Context, id string, status bool) (*User, error) {
	return u.edit(ctx, "update status", id, nil, func(user *record.User) error {
		user.Blocked = !status
		return nil
	})
}

// UpdateEmailVerification says whether the e-mail address is verified. A user
// without one cannot be: [ErrEmailNotFound].
func (u *Users) UpdateEmailVerification(ctx context.Context, id string, verified bool) (*User, error) {
	return u.edit(ctx, "update verification", id, nil, func(user *record.User) error {
		if user.Email == "" && verified {
			return ErrEmailNotFound
		}
		user.EmailVerified = verified
		return nil
	})
}

// UpdatePhoneVerification says whether the phone number is verified. A user
// without one cannot be: [ErrPhoneNotFound].
func (u *Users) UpdatePhoneVerification(ctx context.Context, id string, verified bool) (*User, error) {
	return u.edit(ctx, "update verification", id, nil, func(user *record.User) error {
		if user.Phone == "" && verified {
			return ErrPhoneNotFound
		}
		user.PhoneVerified = verified
		return nil
	})
}

// maxLabels is how many labels a user may have.
const maxLabels = 1_000

// UpdateLabels replaces the labels: at most 1,000, each of 1 to 36 letters and
// digits of ASCII. What comes twice is taken once. Each label gives its user a
// role.
func (u *Users) UpdateLabels(ctx context.Context, id string, labels []string) (*User, error) {
	text, refused := checkLabels(labels)
	return u.edit(ctx, "update labels", id, refused, func(user *record.User) error {
		user.Labels = text
		return nil
	})
}

// checkLabels returns labels as they are stored.
func checkLabels(labels []string) (string, error) {
	if len(labels) > maxLabels {
		return "", invalid("labels", errors.New("more than 1,000"))
	}
	seen := make(map[string]bool)
	kept := make([]string, 0, len(labels))
	for _, label := range labels {
		if err := canon.Label(label); err != nil {
			return "", invalid("labels", err)
		}
		if !seen[label] {
			seen[label] = true
			kept = append(kept, label)
		}
	}
	text, err := json.Marshal(kept)
	return string(text), err
}

// Prefs returns the preferences of a user, a JSON object.
func (u *Users) Prefs(ctx context.Context, id string) (prefs json.RawMessage, err error) {
	err = u.read(ctx, "get prefs", id, func(_ store.Reader, user *record.User) error {
		prefs = json.RawMessage(user.Prefs)
		return nil
	})
	return prefs, err
}

// UpdatePrefs replaces all preferences of a user and returns them. They have
// the form that [Account.UpdatePrefs] asks for.
func (u *Users) UpdatePrefs(ctx context.Context, id string, prefs json.RawMessage) (json.RawMessage, error) {
	text, refused := checkPrefs(prefs)
	shown, err := u.edit(ctx, "update prefs", id, refused, func(user *record.User) error {
		user.Prefs = text
		return nil
	})
	if err != nil {
		return nil, err
	}
	return shown.Prefs, nil
}

// Sessions returns the live sessions of a user, oldest first.
func (u *Users) Sessions(ctx context.Context, id string) (list *SessionList, err error) {
	err = u.read(ctx, "list sessions", id, func(r store.Reader, user *record.User) (err error) {
		list, err = u.engine.sessionsOf(ctx, r, u.engine.now(), user.ID, "")
		return err
	})
	return list, err
}

// CreateSession signs a user in without any proof and returns the session with
// its secret. The limit of sessions holds. A blocked user is [ErrUserBlocked].
func (u *Users) CreateSession(ctx context.Context, id string) (*Session, error) {
	if err := u.open(id); err != nil {
		return nil, outward("create session", err)
	}
	in := u.engine.newSignIn(ctx, u.client, providerServer, "", factorServer)
	var made *record.Session
	err := u.change(ctx, "create session", id, func(ctx context.Context, tx *txn, user *record.User) (err error) {
		made = nil
		if user.Blocked {
			return ErrUserBlocked
		}
		made, err = tx.createSession(ctx, user, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	s, err := u.engine.session(in, made)
	if err != nil {
		return nil, outward("create session", err)
	}
	s.Current = false
	return s, nil
}

// DeleteSession ends a live session of a user. Errors: [ErrSessionNotFound],
// also for a session of somebody else.
func (u *Users) DeleteSession(ctx context.Context, id, sessionID string) error {
	return u.change(ctx, "delete session", id, func(ctx context.Context, tx *txn, user *record.User) error {
		if err := canon.ID(sessionID); err != nil {
			return invalid("sessionId", err)
		}
		row, err := u.engine.getSession(ctx, tx, tx.now, user.ID, sessionID)
		if err != nil {
			return err
		}
		return tx.endSession(ctx, user, row)
	})
}

// DeleteSessions ends all sessions of a user.
func (u *Users) DeleteSessions(ctx context.Context, id string) error {
	return u.change(ctx, "delete sessions", id, func(ctx context.Context, tx *txn, user *record.User) error {
		return tx.endSessions(ctx, user, "")
	})
}

// Logs returns what happened to a user, newest first. It takes [Limit] and
// [Offset].
func (u *Users) Logs(ctx context.Context, id string, queries ...Query) (list *LogList, err error) {
	err = u.read(ctx, "list logs", id, func(r store.Reader, user *record.User) (err error) {
		list, err = u.engine.logs(ctx, r, user, queries)
		return err
	})
	return list, err
}

// CreateJWT returns a JWT for a user, bound to a session of theirs: [Recent], or
// "", is the one that was made last among those that owe nothing. If there is none at all, the JWT is bound to
// the user alone: it ends with the next change of the password, recovery, block
// or first proof of an address, and is checked by one read of the user. length is
// as in [Account.CreateJWT].
//
// Errors: [ErrArgumentInvalid]; [ErrSessionNotFound] for a session that is not a
// live one of the user; [ErrUserBlocked]; [ErrPasswordResetRequired];
// [ErrMoreFactorsRequired] for a session that owes a second factor: other services
// could not see it.
func (u *Users) CreateJWT(ctx context.Context, id, sessionID string, length time.Duration) (token Secret, err error) {
	err = u.read(ctx, "create JWT", id, func(r store.Reader, user *record.User) error {
		e, now := u.engine, u.engine.now()
		expire, err := jwtExpire(now, length)
		if err != nil {
			return err
		}
		switch {
		case user.Blocked:
			return ErrUserBlocked
		case user.MustReset:
			return ErrPasswordResetRequired
		}
		c := jws.Claims{UserID: user.ID, IssuedAt: now, Expire: expire}
		session, err := e.sessionFor(ctx, r, now, user.ID, sessionID)
		switch {
		case err != nil:
			return err
		case session == nil:
			c.Epoch, c.Account = user.Epoch, accountOf(user)
		default:
			c.SessionID = session.ID
			if end := e.policy.last(factsIn(session)); end.Before(expire) {
				c.Expire = end
			}
			err = e.owed(factsIn(session), now)
		}
		if err != nil {
			return err
		}
		token, err = e.sign(c)
		return err
	})
	return token, err
}

// sessionFor returns the session that a server names, nil if it names the last
// one and there is none.
func (e *Engine) sessionFor(ctx context.Context, r store.Reader, now time.Time, userID, id string) (*record.Session, error) {
	if id != "" && id != Recent {
		if err := canon.ID(id); err != nil {
			return nil, invalid("sessionId", err)
		}
		return e.getSession(ctx, r, now, userID, id)
	}
	rows, err := listSessions(ctx, r, userID)
	if err != nil {
		return nil, err
	}
	var last *record.Session
	for i := range rows {
		s := rows[len(rows)-1-i]
		if !e.alive(s, now) {
			continue
		}
		if last == nil {
			last = s
		}
		if e.owed(factsIn(s), now) == nil {
			return s, nil
		}
	}
	return last, nil
}

// UpdateMFA switches multi-factor authentication of a user on or off, as
// [Account.UpdateMFA] does. All their sessions have to prove what they owe then.
func (u *Users) UpdateMFA(ctx context.Context, id string, on bool) (*User, error) {
	return u.edit(ctx, "update MFA", id, nil, func(user *record.User) error {
		user.MFA = on
		return nil
	})
}

// MFAFactors returns which factors a user has.
func (u *Users) MFAFactors(ctx context.Context, id string) (factors MFAFactors, err error) {
	err = u.read(ctx, "list factors", id, func(r store.Reader, user *record.User) (err error) {
		factors, err = u.engine.factorsOf(ctx, r, user)
		return err
	})
	return factors, err
}

// DeleteMFAAuthenticator takes the authenticator of a user away, for one who has
// lost it: make sure who asks. The user is told. Errors:
// [ErrAuthenticatorNotFound].
func (u *Users) DeleteMFAAuthenticator(ctx context.Context, id string) error {
	return u.change(ctx, "delete authenticator", id, func(ctx context.Context, tx *txn, user *record.User) error {
		return tx.deleteAuthenticator(ctx, user, "")
	})
}

// MFARecoveryCodes shows the recovery codes of a user, as
// [Account.MFARecoveryCodes] does. Errors: [ErrRecoveryCodesNotFound].
func (u *Users) MFARecoveryCodes(ctx context.Context, id string) (codes *MFARecoveryCodes, err error) {
	err = u.read(ctx, "get recovery codes", id, func(r store.Reader, user *record.User) (err error) {
		codes, err = u.engine.showRecoveryCodes(ctx, r, user.ID)
		return err
	})
	return codes, err
}

// CreateMFARecoveryCodes makes recovery codes for a user who has none left.
// Errors: [ErrRecoveryCodesAlreadyExist].
func (u *Users) CreateMFARecoveryCodes(ctx context.Context, id string) (*MFARecoveryCodes, error) {
	return u.recoveryCodes(ctx, "create recovery codes", id, (*txn).firstRecoveryCodes)
}

// UpdateMFARecoveryCodes replaces the recovery codes of a user. Errors:
// [ErrRecoveryCodesNotFound].
func (u *Users) UpdateMFARecoveryCodes(ctx context.Context, id string) (*MFARecoveryCodes, error) {
	return u.recoveryCodes(ctx, "update recovery codes", id, (*txn).againRecoveryCodes)
}

func (u *Users) recoveryCodes(ctx context.Context, op, id string, set func(*txn, context.Context, *record.User) (*MFARecoveryCodes, error)) (codes *MFARecoveryCodes, err error) {
	err = u.change(ctx, op, id, func(ctx context.Context, tx *txn, user *record.User) error {
		codes, err = set(tx, ctx, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
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
