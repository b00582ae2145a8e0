package latchkey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// ImpersonatedUser names the user for whom another one is to act, by exactly one field.
type ImpersonatedUser struct {
	UserID string
	Email  string
	Phone  string
}

// errOneName says why the name of a user is refused.
var errOneName = reason.New(reason.Conflict, "the user is named by one of id, e-mail address and phone number")

// Impersonate returns an account by which the caller acts for another user, whom they help
// or whose view they need to see. The server gives the right to it
// ([Users.UpdateImpersonator]) and takes it away at once. The account shows the other user,
// with the same roles: the right to impersonate is that to the roles of everybody.
//
// It may read what the user may read, and change the name and the preferences. It may
// change no factor, password, address, target or session, show no recovery code, and make no
// JWT: such a call is [ErrUserUnauthorized]. So is another Impersonate. The methods that are open
// return [ErrUserBlocked], [ErrPasswordResetRequired] and [ErrEmailVerificationRequired] as they
// would for the user.
//
// Every line of the log and every event of such a call has the mode impersonator and the id of
// the caller. The user's log also has the line user.impersonate, once an hour for
// each caller. The time at which the user was last seen stays as it is.
//
// Errors:
//   - [ErrUserUnauthorized]: the caller lacks the right.
//   - [ErrArgumentInvalid]
//   - [ErrUserNotFound]
//   - [*ThrottledError]: after 600 changes of the caller in an hour, counted with
//     [Account.UpdateName] and its like; only the calls that write the line count.
func (a *Account) Impersonate(ctx context.Context, who ImpersonatedUser) (_ *Account, err error) {
	defer a.home().operation(&ctx, "impersonate").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	actor, err := a.standing(ctx, c, c.store)
	switch {
	case err != nil:
		return nil, err
	case !actor.Impersonator:
		return nil, ErrUserUnauthorized
	}
	user, err := who.find(ctx, c.store)
	if err != nil {
		return nil, err
	}
	made := *a
	made.acting = &acting{user.ID, user.Key}
	c.by.mode = modeImpersonator
	line := c.impersonation(user)
	switch known, err := record.Logs.Find(ctx, c.store, record.Logs.Primary(), store.Text(line)); {
	case err != nil:
		return nil, err
	case known != nil:
		if err := made.mayAct(ctx, c, c.store); err != nil {
			return nil, err
		}
		return &made, nil
	}
	if err := c.limit(ctx, limitChanges, "user "+a.session.UserID); err != nil {
		return nil, err
	}
	return update(ctx, c, func(ctx context.Context, tx *txn) (*Account, error) {
		user, err := made.standing(ctx, c, tx)
		if err != nil {
			return nil, err
		}
		known, err := tx.has(ctx, record.Logs.Primary(), line)
		if err != nil || known {
			return &made, err
		}
		row := tx.logRow(logUserImpersonate, user.ID, user.Key)
		row.ID = line
		tx.event(user.ID, "impersonate", nil)
		return &made, record.Logs.Insert(ctx, tx, row)
	})
}

// impersonation returns the id of the line of the log that says, for this hour, that the
// caller acts for a user.
func (c *call) impersonation(user *record.User) string {
	sum := sha256.Sum256(fmt.Append(nil, logUserImpersonate, "\x00", user.Key, "\x00", c.by.id, "\x00", c.now.Unix()/3600))
	return hex.EncodeToString(sum[:16])
}

// find returns the user.
func (w ImpersonatedUser) find(ctx context.Context, r store.Reader) (*record.User, error) {
	index, key := record.Users.Primary(), w.UserID
	var err error
	switch w {
	case ImpersonatedUser{UserID: w.UserID}:
		err = checkUserID(w.UserID)
	case ImpersonatedUser{Email: w.Email}:
		index = byEmail.index
		key, err = checkEmail(w.Email)
	case ImpersonatedUser{Phone: w.Phone}:
		index = byPhone.index
		key, err = checkPhone(w.Phone)
	default:
		err = invalid("userId", errOneName)
	}
	if err != nil {
		return nil, err
	}
	user, err := record.Users.Find(ctx, r, index, store.Text(key))
	if err == nil && user == nil {
		err = ErrUserNotFound
	}
	return user, err
}
