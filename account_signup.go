package latchkey

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/canon"
)

// NewAccount is the input of [Guest.CreateAccount].
//
// Printed, logged or encoded, it shows a mask for the password. Package encoding/gob
// refuses it. The fields are plain texts, as a person typed them in, so fmt prints it in
// clear where it cannot call Format: in an unexported field of another struct, behind a
// pointer to another struct that is printed with a verb for texts, and with %p and %w.
type NewAccount struct {
	// UserID is the id that the host wants: a-z, A-Z, 0-9, period, hyphen and
	// underscore, at most 36, the first a letter or digit. "" means a fresh one, a
	// UUID of version 7.
	UserID   string
	Email    string
	Password string // 8 to 256 characters unless the policy says otherwise, 1,024 bytes
	Name     string // at most 128 characters; may be ""
}

// Format prints the input with a mask for the password, for every verb.
func (n NewAccount) Format(f fmt.State, verb rune) { formatMasked(f, verb, n.masked()) }

// MarshalJSON encodes the input with a mask for the password.
func (n NewAccount) MarshalJSON() ([]byte, error) { return json.Marshal(n.masked()) }

// MarshalText encodes the input with a mask for the password, for XML and its like.
func (n NewAccount) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%+v", n.masked()), nil }

// LogValue logs the input with a mask for the password.
func (n NewAccount) LogValue() slog.Value { return slog.AnyValue(n.masked()) }

// GobEncode fails with [hidden.ErrNotEncoded].
func (n NewAccount) GobEncode() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// masked returns the input with masks, as a type without methods.
func (n NewAccount) masked() any {
	type plain NewAccount
	n.Password = masked(n.Password)
	return plain(n)
}

// CreateAccount makes a user with an e-mail address and a password. The address is
// kept in lower case and is not verified. An e-mail target is made for it. The call
// makes no session and sends nothing.
//
// A user should prove the address soon, by [Account.CreateEmailVerification]: as long as
// it is not proven, a stranger may have made the account, and the first sign-in by a link
// or a code to the address removes the password (see [Guest.CreateSession]).
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrEmailDisposable], [ErrEmailNotCanonical], [ErrEmailFree], [ErrEmailNotCorporate]:
//     Policy.Addresses refuses the address.
//   - [ErrPasswordPersonalData]
//   - [ErrUserAlreadyExists]: the id or the address is taken.
//   - [ErrUserCountExceeded]
//   - [ErrSignUpClosed]
//   - [ErrAuthMethodUnsupported]
//   - [*ThrottledError]: after ten calls from a client address in an hour.
//   - [ErrBusy]: too many passwords are being hashed.
func (g *Guest) CreateAccount(ctx context.Context, n NewAccount) (_ *User, err error) {
	defer g.home().operation(&ctx, "create account").end(&err)
	c, err := g.begin()
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(c.enabled(MethodEmailPassword), c.maySignUp()); err != nil {
		return nil, err
	}
	if err := c.limitClient(ctx, limitCreateAccount); err != nil {
		return nil, err
	}
	if n.Email == "" {
		return nil, invalid("email", canon.ErrEmail)
	}
	return c.createUser(ctx, NewUser{UserID: n.UserID, Email: n.Email, Password: n.Password, Name: n.Name})
}

// createUser makes a user. A password must meet the rules. Only the server may
// leave it out, and go beyond the limit of users.
func (c *call) createUser(ctx context.Context, n NewUser) (*User, error) {
	server := c.by.mode == modeServer
	drawn, err := n.record(c.now)
	if err != nil {
		return nil, err
	}
	if err := c.admitEmail(ctx, drawn.Email); err != nil {
		return nil, err
	}
	if n.Password != "" || !server {
		password, err := c.hashNew(ctx, drawn, n.Password)
		if err != nil {
			return nil, err
		}
		if err := password.set(&c.policy, drawn, c.now); err != nil {
			return nil, err
		}
	}
	return update(ctx, c, func(ctx context.Context, tx *txn) (*User, error) {
		if !server {
			if err := tx.checkUserLimit(ctx); err != nil {
				return nil, err
			}
		}
		user := *drawn
		return tx.insertUser(ctx, &user)
	})
}
