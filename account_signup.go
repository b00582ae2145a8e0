package latchkey

import (
	"context"
	"time"

	"example.com/latchkey/internal/canon"
)

// NewAccount is what [Guest.CreateAccount] makes an account of.
type NewAccount struct {
	// UserID is the id that the host wants: a-z, A-Z, 0-9, period, hyphen and
	// underscore, at most 36, the first a letter or digit. "" means a fresh
	// one, a UUID of version 7.
	UserID   string
	Email    string
	Password Secret // 8 to 256 characters unless the policy says otherwise, 1,024 bytes
	Name     string // at most 128 characters; may be ""
}

// CreateAccount makes a user with an e-mail address and a password. The address
// is taken in lower case and is not verified; an e-mail target is made for it.
// No session is made and nothing is sent.
//
// Errors: [ErrArgumentInvalid]; [ErrPasswordPersonalData];
// [ErrUserAlreadyExists] when the id or the address is taken;
// [ErrUserCountExceeded]; [ErrAuthMethodUnsupported]; a [*ThrottledError] after
// ten calls from a client address in an hour; [ErrBusy] when too many passwords
// are being hashed.
func (g *Guest) CreateAccount(ctx context.Context, n NewAccount) (*User, error) {
	user, err := g.createAccount(ctx, n)
	return user, outward("create account", err)
}

func (g *Guest) createAccount(ctx context.Context, n NewAccount) (*User, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	e := g.engine
	if err := e.policy.enabled(g.client, EmailPassword, "Email and password"); err != nil {
		return nil, err
	}
	now := e.now()
	if err := e.limit(ctx, g.client, now, limitCreateAccount, g.client.network()); err != nil {
		return nil, err
	}
	if n.Email == "" {
		return nil, invalid("email", canon.ErrEmail)
	}
	return e.createUser(ctx, now, g.actor(), NewUser{UserID: n.UserID, Email: n.Email, Password: n.Password, Name: n.Name})
}

// createUser makes a user. A password that is given has to meet the rules; the
// server alone may leave it out, and go beyond the limit of users.
func (e *Engine) createUser(ctx context.Context, now time.Time, by actor, n NewUser) (*User, error) {
	server := by.mode == "server"
	user, err := n.row(now)
	if err != nil {
		return nil, err
	}
	if n.Password != "" || !server {
		password, err := e.newPassword(ctx, user, n.Password.Reveal())
		if err != nil {
			return nil, err
		}
		if err := password.set(&e.policy, user, now); err != nil {
			return nil, err
		}
	}
	var shown *User
	err = e.update(ctx, now, by, func(ctx context.Context, tx *txn) (err error) {
		shown = nil
		if !server {
			if err := tx.roomForUser(ctx); err != nil {
				return err
			}
		}
		shown, err = tx.insertUser(ctx, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	return shown, nil
}
