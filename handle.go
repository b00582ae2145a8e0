package latchkey

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/jws"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
)

// Guest is the handle of a client without a session.
type Guest struct {
	engine *Engine
	client Client
	server bool // the host's own server calls for the client
}

// Guest returns the handle of a client without a session. It reads nothing.
func (e *Engine) Guest(client Client) *Guest { return &Guest{engine: e, client: client.canonical()} }

// home returns the engine of a handle, nil without one.
func (g *Guest) home() *Engine {
	if g == nil {
		return nil
	}
	return g.engine
}

// begin starts an operation.
func (g *Guest) begin() (*call, error) {
	if err := g.open(); err != nil {
		return nil, err
	}
	c := g.call()
	return &c, c.checkSessionLength()
}

// checkSessionLength refuses a client whose sessions would live too long or too short.
func (c *call) checkSessionLength() error {
	if l := c.client.SessionLength; l != 0 && (l < time.Minute || l > c.policy.Sessions.Length) {
		return invalid("sessionLength", reason.New(reason.OutOfRange, "not a minute to %v", c.policy.Sessions.Length))
	}
	return nil
}

// open reports that the engine is closed, or that there is none.
func (g *Guest) open() error {
	if g == nil {
		return errNoEngine
	}
	return g.engine.open()
}

// call returns an operation of an open engine.
func (g *Guest) call() call {
	return call{g.engine, g.client, g.server, actor{mode: modeGuest}, g.engine.now(), "", nil}
}

// Account is the handle of a signed-in user, for their own account. Only
// [Guest.Authenticate] and [Guest.AuthenticateJWT] make one. The zero Account
// proves nothing: every method refuses it with [ErrUnauthorized]. Every method
// checks the session again, so a handle that is kept after the session has ended
// can do nothing. Besides their own errors all methods may return those of
// Authenticate.
type Account struct {
	engine *Engine
	client Client
	server bool // as of the guest
	// digest is that of the session's secret. It lies behind two pointers, because fmt
	// follows a single one to an array.
	digest  **[sha256.Size]byte
	jwt     *jws.Claims  // nil for an account of a session's secret
	session record.Check // as of Authenticate, without its digest
	acting  *acting      // nil for a user who acts for themselves
	// unproven says that the account is that of an [Unverified]: it may act before its e-mail
	// address is proven.
	unproven bool
}

// account returns an account that is not checked yet. It allocates once, because this runs
// on every request.
func (g *Guest) account(digest [sha256.Size]byte) *Account {
	made := &struct {
		Account
		sum    [sha256.Size]byte
		hidden *[sha256.Size]byte
	}{Account: Account{engine: g.engine, client: g.client, server: g.server}, sum: digest}
	made.hidden = &made.sum
	made.digest = &made.hidden
	return &made.Account
}

// home returns the engine of a handle, nil without one.
func (a *Account) home() *Engine {
	if a == nil {
		return nil
	}
	return a.engine
}

// acting is the user for whom another one acts, see [Account.Impersonate].
type acting struct {
	id  string
	key string // tells the user from a later one with the same id
}

// begin starts an operation that nobody may do for another user.
func (a *Account) begin() (*call, error) {
	c, err := a.beginFor()
	if err == nil && a.acting != nil {
		return nil, ErrUserUnauthorized
	}
	return c, err
}

// beginFor starts an operation that a user may also do for another one.
func (a *Account) beginFor() (*call, error) {
	if a == nil || a.engine == nil {
		return nil, ErrUnauthorized
	}
	if err := a.engine.open(); err != nil {
		return nil, err
	}
	by := actor{a.session.UserID, modeUser}
	if a.acting != nil {
		by.mode = modeImpersonator
	}
	return &call{a.engine, a.client, a.server, by, a.engine.now(), a.session.ID, nil}, nil
}

// Format prints the id of the user, and nothing that proves it.
func (a Account) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "latchkey.Account(%s)", a.UserID())
}

// UserID returns the id of the user, as of Authenticate; "" for a zero Account. For an
// account of [Account.Impersonate] it is the id of the user for whom another one acts.
func (a *Account) UserID() string {
	switch {
	case a == nil:
		return ""
	case a.acting != nil:
		return a.acting.id
	}
	return a.session.UserID
}

// ImpersonatorID returns the id of the user who acts for the account's user; "" for an
// account that is the caller's own.
func (a *Account) ImpersonatorID() string {
	if a == nil || a.acting == nil {
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

// MoreFactorsError is an [ErrMoreFactorsRequired] of a session that owes a second
// factor. [Guest.Authenticate] returns one on each request of the session, until its user
// has answered a challenge with Pending.
type MoreFactorsError struct {
	Pending *Pending `json:"-"`
}

func (e *MoreFactorsError) Error() string { return ErrMoreFactorsRequired.Error() }

// Unwrap returns [ErrMoreFactorsRequired].
func (e *MoreFactorsError) Unwrap() error { return ErrMoreFactorsRequired }

// Pending is the handle of a session that owes a second factor: its user may list
// their factors, ask for a challenge, answer it, and sign out, and nothing else.
// The zero Pending proves nothing.
type Pending struct{ account *Account }

// UnverifiedEmailError is an [ErrEmailVerificationRequired] of a session whose user has not proven
// their e-mail address, where Policy.RequireVerifiedEmail asks for that. [Guest.Authenticate]
// returns one on each request of the session until then.
type UnverifiedEmailError struct {
	Unverified *Unverified `json:"-"`
}

func (e *UnverifiedEmailError) Error() string { return ErrEmailVerificationRequired.Error() }

// Unwrap returns [ErrEmailVerificationRequired].
func (e *UnverifiedEmailError) Unwrap() error { return ErrEmailVerificationRequired }

// Unverified is the handle of a session whose user must prove their e-mail address first: they
// may see the address, have the mail sent again, prove the address, correct it, and sign out, and
// nothing else. The zero Unverified proves nothing.
type Unverified struct{ account *Account }

// Format prints the id of the user, and nothing that proves it.
func (u Unverified) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "latchkey.Unverified(%s)", u.handle().UserID())
}

// handle returns the account, nil for a zero Unverified.
func (u *Unverified) handle() *Account {
	if u == nil {
		return nil
	}
	return u.account
}

// home returns the engine of a handle, nil without one.
func (u *Unverified) home() *Engine { return u.handle().home() }

// UserID returns the id of the user, as of Authenticate.
func (u *Unverified) UserID() string { return u.handle().UserID() }

// SessionID returns the id of the session, as of Authenticate.
func (u *Unverified) SessionID() string { return u.handle().SessionID() }

// lesserError gives the lesser handle of a session that may not act yet to the error that says
// so.
func (a *Account) lesserError(err error) error {
	switch {
	case errors.Is(err, ErrMoreFactorsRequired):
		return &MoreFactorsError{&Pending{a}}
	case errors.Is(err, ErrEmailVerificationRequired):
		lesser := *a
		lesser.unproven = true
		return &UnverifiedEmailError{&Unverified{&lesser}}
	}
	return err
}

// Format prints the id of the user, and nothing that proves it.
func (p Pending) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "latchkey.Pending(%s)", p.handle().UserID())
}

// handle returns the account, nil for a zero Pending.
func (p *Pending) handle() *Account {
	if p == nil {
		return nil
	}
	return p.account
}

// home returns the engine of a handle, nil without one.
func (p *Pending) home() *Engine { return p.handle().home() }

// UserID returns the id of the user, as of Authenticate.
func (p *Pending) UserID() string { return p.handle().UserID() }

// SessionID returns the id of the session, as of Authenticate.
func (p *Pending) SessionID() string { return p.handle().SessionID() }

// Users is the server's scope over all users. It asks for no session and no
// password: the host decides who reaches it. Every method answers
// [ErrUserNotFound] for an unknown user.
type Users struct {
	engine *Engine
	client Client
}

// Users returns the server's scope.
func (e *Engine) Users() *Users { return &Users{engine: e} }

// home returns the engine of a handle, nil without one.
func (u *Users) home() *Engine {
	if u == nil {
		return nil
	}
	return u.engine
}

// At returns the same scope with the client of the call, for the log and for the
// sessions that it makes. Users who list their own log do not see that client.
func (u *Users) At(client Client) *Users {
	if u == nil {
		return new(Users)
	}
	return &Users{u.engine, client.canonical()}
}

// Guest returns the handle of a call that the server makes for a client. Calls of it, and
// of the accounts that it authenticates, are not limited, may use the ways in that the
// policy switches off, and return the secrets of tokens ([Token].Secret). Wrong passwords
// are counted all the same.
func (u *Users) Guest(client Client) *Guest {
	if u == nil {
		return new(Guest)
	}
	return &Guest{u.engine, client.canonical(), true}
}

// begin starts an operation.
func (u *Users) begin() (*call, error) {
	if u == nil {
		return nil, errNoEngine
	}
	if err := u.engine.open(); err != nil {
		return nil, err
	}
	c := &call{u.engine, u.client, true, actor{mode: modeServer}, u.engine.now(), "", nil}
	return c, c.checkSessionLength()
}

// beginFor starts an operation on a user.
func (u *Users) beginFor(id string) (*call, error) {
	c, err := u.begin()
	if err == nil {
		err = checkUserID(id)
	}
	return c, err
}

// checkUserID refuses a text that cannot be the id of a user.
func checkUserID(id string) error {
	if err := canon.ID(id); err != nil {
		return invalid("userId", err)
	}
	return nil
}
