package latchkey

import (
	"crypto/sha256"
	"fmt"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/record"
)

// Account is the handle of a signed-in user, for what they may do to their own
// account. [Guest.Authenticate] and [Guest.AuthenticateJWT] are the only ways to
// one; the zero Account proves nothing, and every method refuses it with [ErrUnauthorized]. Every method
// checks the session again: a handle that is kept after the session has ended
// can do nothing. Beside their own errors all methods may answer with those of
// Authenticate.
type Account struct {
	engine  *Engine
	client  Client
	digest  [sha256.Size]byte
	jwt     *jws.Claims  // nil for an account that came by a session's secret
	session record.Check // as of Authenticate
}

// Format prints who it is of, and nothing that proves it.
func (a Account) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "latchkey.Account(%s)", a.session.UserID)
}

// UserID returns the id of the user, as of Authenticate; "" for a zero Account.
func (a *Account) UserID() string {
	if a == nil {
		return ""
	}
	return a.session.UserID
}

// SessionID returns the id of the session, as of Authenticate; "" for a zero
// Account.
func (a *Account) SessionID() string {
	if a == nil {
		return ""
	}
	return a.session.ID
}

// Guest is nobody yet, at one client: what needs no session.
type Guest struct {
	engine *Engine
	client Client
}

// Guest returns the handle of whoever is at a client. It reads nothing.
func (e *Engine) Guest(client Client) *Guest { return &Guest{e, client.canonical()} }

func (g *Guest) open() error {
	if g == nil {
		return errNoEngine
	}
	return g.engine.open()
}

func (g *Guest) actor() actor { return actor{"", "guest", g.client.silent()} }

func (a *Account) actor() actor { return actor{a.session.UserID, "user", a.client.silent()} }

func (u *Users) actor() actor { return actor{"", "server", u.client.silent()} }

// MoreFactorsError is an [ErrMoreFactorsRequired] of a session that owes a second
// factor. Pending is what its user may do about it.
type MoreFactorsError struct{ Pending *Pending }

func (e *MoreFactorsError) Error() string { return ErrMoreFactorsRequired.Error() }

// Unwrap returns [ErrMoreFactorsRequired].
func (e *MoreFactorsError) Unwrap() error { return ErrMoreFactorsRequired }

// Pending is the handle of a session that owes a second factor: the user may ask
// which they have, ask for a challenge, answer it, and sign out, and nothing else.
// The zero Pending proves nothing.
type Pending struct{ account *Account }

// Format prints who it is of, and nothing that proves it.
func (p Pending) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "latchkey.Pending(%s)", p.handle().UserID())
}

func (p *Pending) handle() *Account {
	if p == nil {
		return nil
	}
	return p.account
}

// UserID returns the id of the user, as of Authenticate.
func (p *Pending) UserID() string { return p.handle().UserID() }

// SessionID returns the id of the session, as of Authenticate.
func (p *Pending) SessionID() string { return p.handle().SessionID() }

// Users is the server's scope over all users. It asks for no session and no
// password: the host decides who reaches it. An unknown user is
// [ErrUserNotFound] to every method.
type Users struct {
	engine *Engine
	client Client
}

// Users returns the server's scope.
func (e *Engine) Users() *Users { return &Users{engine: e} }

// At returns the same scope with the client of the call, for the log and for
// the sessions that it makes. Who lists their own log does not see it.
func (u *Users) At(client Client) *Users {
	if u == nil {
		return new(Users)
	}
	return &Users{u.engine, client.canonical()}
}

func (u *Users) open(id string) error {
	if u == nil {
		return errNoEngine
	}
	if err := u.engine.open(); err != nil {
		return err
	}
	if err := canon.ID(id); err != nil {
		return invalid("userId", err)
	}
	return nil
}
