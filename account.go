package latchkey

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// User is one account, as it is shown. It holds no secret and no hash.
type User struct {
	ID                string
	CreatedAt         time.Time
	UpdatedAt         time.Time
	Registration      time.Time
	AccessedAt        time.Time // renewed now and then, not by every request
	Name              string
	Email             string // "" for none
	EmailVerification bool
	Phone             string // "" for none
	PhoneVerification bool
	PasswordUpdate    time.Time // zero when there never was a password
	Status            bool      // false when blocked
	MFA               bool
	Labels            []string
	Prefs             json.RawMessage // an object
	Targets           []Target
}

// Target is an address at which a user gets messages.
type Target struct {
	ID           string
	UserID       string
	CreatedAt    time.Time
	UpdatedAt    time.Time
	Name         string
	ProviderID   string // "" for none
	ProviderType string // email, sms or push
	Identifier   string // the address
	Expired      bool
}

func userOf(r *record.User, targets []*record.Target) (*User, error) {
	u := &User{
		ID: r.ID, CreatedAt: r.Created, UpdatedAt: r.Updated, Registration: r.Registered, AccessedAt: r.Accessed,
		Name: r.Name, Email: r.Email, EmailVerification: r.EmailVerified,
		Phone: r.Phone, PhoneVerification: r.PhoneVerified,
		PasswordUpdate: r.PasswordUpdated, Status: !r.Blocked, MFA: r.MFA,
		Prefs: json.RawMessage(r.Prefs), Targets: make([]Target, 0, len(targets)),
	}
	for _, t := range targets {
		u.Targets = append(u.Targets, Target{
			ID: t.ID, UserID: t.UserID, CreatedAt: t.Created, UpdatedAt: t.Updated, Name: t.Name,
			ProviderID: t.ProviderID, ProviderType: t.ProviderType, Identifier: t.Identifier, Expired: t.Expired,
		})
	}
	if err := json.Unmarshal([]byte(r.Labels), &u.Labels); err != nil {
		return nil, err
	}
	return u, nil
}

// newUser returns a user that has nothing yet.
func newUser(id string, now time.Time) *record.User {
	return &record.User{
		ID: id, Key: newID(), Created: now, Updated: now, Registered: now, Accessed: now,
		Labels: "[]", Prefs: "{}",
	}
}

// insertUser is the one place where users are made, with the address and the
// target of their e-mail.
func (g *Guest) insertUser(ctx context.Context, tx store.Tx, now time.Time, user *record.User) error {
	if user.Email != "" {
		if err := record.Addresses.Insert(ctx, tx, &record.Address{Address: user.Email, UserID: user.ID}); err != nil {
			return err
		}
	}
	if err := record.Users.Insert(ctx, tx, user); err != nil {
		return err
	}
	if user.Email != "" {
		if err := addTarget(ctx, tx, now, user.ID, "email", user.Email); err != nil {
			return err
		}
	}
	if err := setWords(ctx, tx, "users", user.ID, userTexts(user)...); err != nil {
		return err
	}
	return g.engine.log(ctx, tx, now, g.actor(), logUserCreate, "user/"+user.ID, user.Key)
}

// addTarget gives a user the target of an address, unless somebody has it.
func addTarget(ctx context.Context, tx store.Tx, now time.Time, userID, kind, identifier string) error {
	_, err := tx.Get(ctx, record.Targets.Index("identifier"), store.Text(kind), store.Text(identifier))
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return record.Targets.Insert(ctx, tx, &record.Target{
		ID: newID(), UserID: userID, Created: now, Updated: now, ProviderType: kind, Identifier: identifier,
	})
}

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
// Errors: [ErrArgumentInvalid]; [ErrUserAlreadyExists] when the id or the
// address is taken; [ErrBusy] when too many passwords are being hashed.
func (g *Guest) CreateAccount(ctx context.Context, n NewAccount) (*User, error) {
	user, err := g.createAccount(ctx, n)
	return user, outward("create account", err)
}

func (g *Guest) createAccount(ctx context.Context, n NewAccount) (*User, error) {
	e := g.engine
	if err := e.open(); err != nil {
		return nil, err
	}
	now := e.now()
	if n.UserID == "" {
		n.UserID = newID()
	}
	if err := canon.ID(n.UserID); err != nil {
		return nil, invalid("user id", err)
	}
	email, err := canon.Email(n.Email)
	if err != nil {
		return nil, invalid("email", err)
	}
	if err := canon.Name(n.Name); err != nil {
		return nil, invalid("name", err)
	}
	if err := e.policy.checkNewPassword(n.Password.Reveal()); err != nil {
		return nil, err
	}
	user := newUser(n.UserID, now)
	user.Email, user.Name, user.PasswordUpdated = email, n.Name, now
	if user.Password, err = e.hashPassword(ctx, user.ID, n.Password.Reveal()); err != nil {
		return nil, err
	}
	var targets []*record.Target
	err = e.update(ctx, func(ctx context.Context, tx store.Tx) error {
		targets = nil
		if err := free(ctx, tx, user); err != nil {
			return err
		}
		if err := g.insertUser(ctx, tx, now, user); err != nil {
			return err
		}
		targets, err = listTargets(ctx, tx, user.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return userOf(user, targets)
}

// free reports ErrUserAlreadyExists if the id or the address of a new user is
// taken.
func free(ctx context.Context, tx store.Tx, user *record.User) error {
	_, byID := tx.Get(ctx, record.Users.Primary(), store.Text(user.ID))
	_, byAddress := tx.Get(ctx, record.Addresses.Primary(), store.Text(user.Email))
	for _, err := range []error{byID, byAddress} {
		if err == nil {
			return ErrUserAlreadyExists
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

func listTargets(ctx context.Context, r store.Reader, userID string) ([]*record.Target, error) {
	return record.Targets.List(ctx, r, store.Query{
		Index: record.Targets.Index("user"), Equal: []store.Value{store.Text(userID)}, Limit: store.MaxLimit,
	})
}

// Account is the handle of a signed-in user, for what they may do to their own
// account. [Guest.Authenticate] is the only way to one; the zero Account proves
// nothing, and every method refuses it with [ErrUnauthorized]. Every method
// checks the session again: a handle that is kept after the session has ended
// can do nothing. Beside their own errors all methods may answer with those of
// Authenticate.
type Account struct {
	engine    *Engine
	client    Client
	digest    [sha256.Size]byte
	sessionID string
	userID    string
}

// UserID returns the id of the user, as of Authenticate; "" for a zero Account.
func (a *Account) UserID() string {
	if a == nil {
		return ""
	}
	return a.userID
}

// SessionID returns the id of the session, as of Authenticate; "" for a zero
// Account.
func (a *Account) SessionID() string {
	if a == nil {
		return ""
	}
	return a.sessionID
}

// read checks the session and runs fn after it.
func (a *Account) read(ctx context.Context, op string, fn func(r store.Reader, now time.Time) error) error {
	if a == nil || a.engine == nil {
		return ErrUnauthorized
	}
	err := a.engine.open()
	if err == nil {
		now := a.engine.now()
		if _, err = a.live(ctx, a.engine.store, now); err == nil {
			err = fn(a.engine.store, now)
		}
	}
	return outward(op, err)
}

// change checks the session and runs fn in one transaction. fn may run again.
func (a *Account) change(ctx context.Context, op string, fn func(ctx context.Context, tx store.Tx, now time.Time) error) error {
	if a == nil || a.engine == nil {
		return ErrUnauthorized
	}
	err := a.engine.open()
	if err == nil {
		now := a.engine.now()
		err = a.engine.update(ctx, func(ctx context.Context, tx store.Tx) error {
			if _, err := a.live(ctx, tx, now); err != nil {
				return err
			}
			return fn(ctx, tx, now)
		})
	}
	return outward(op, err)
}

// User returns the account.
func (a *Account) User(ctx context.Context) (user *User, err error) {
	err = a.read(ctx, "get account", func(r store.Reader, _ time.Time) error {
		row, err := a.user(ctx, r)
		if err != nil {
			return err
		}
		targets, err := listTargets(ctx, r, a.userID)
		if err != nil {
			return err
		}
		user, err = userOf(row, targets)
		return err
	})
	return user, err
}

func (a *Account) user(ctx context.Context, r store.Reader) (*record.User, error) {
	user, err := record.Users.Get(ctx, r, record.Users.Primary(), store.Text(a.userID))
	if errors.Is(err, store.ErrNotFound) {
		err = ErrUnauthorized // deleted since the session was read
	}
	return user, err
}

// SessionList is a list of sessions.
type SessionList struct {
	Total    int
	Sessions []*Session
}

// Current is the id that means the session that asks.
const Current = "current"

// Sessions returns the live sessions of the user, oldest first.
func (a *Account) Sessions(ctx context.Context) (list *SessionList, err error) {
	err = a.read(ctx, "list sessions", func(r store.Reader, now time.Time) error {
		rows, err := listSessions(ctx, r, a.userID)
		if err != nil {
			return err
		}
		list = &SessionList{Sessions: make([]*Session, 0, len(rows))}
		for _, row := range rows {
			if !row.Expire.After(now) {
				continue
			}
			s, err := sessionOf(row)
			if err != nil {
				return err
			}
			s.Current = s.ID == a.sessionID
			list.Sessions = append(list.Sessions, s)
		}
		list.Total = len(list.Sessions)
		return nil
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
		session, err = sessionOf(row)
		if err == nil {
			session.Current = session.ID == a.sessionID
		}
		return err
	})
	return session, err
}

// own returns a live session of the user.
func (a *Account) own(ctx context.Context, r store.Reader, now time.Time, id string) (*record.Session, error) {
	if id == Current {
		id = a.sessionID
	}
	if err := canon.ID(id); err != nil {
		return nil, invalid("session id", err)
	}
	row, err := record.Sessions.Get(ctx, r, record.Sessions.Primary(), store.Text(id))
	if errors.Is(err, store.ErrNotFound) || err == nil && (row.UserID != a.userID || !row.Expire.After(now)) {
		return nil, ErrSessionNotFound
	}
	return row, err
}

// DeleteSession ends a live session of the user; [Current] is the one that
// asks. Errors: [ErrSessionNotFound], also for another user's session.
func (a *Account) DeleteSession(ctx context.Context, id string) error {
	return a.change(ctx, "delete session", func(ctx context.Context, tx store.Tx, now time.Time) error {
		user, err := a.user(ctx, tx)
		if err != nil {
			return err
		}
		row, err := a.own(ctx, tx, now, id)
		if err != nil {
			return err
		}
		return a.engine.endSession(ctx, tx, now, a.actor(), row, user.Key)
	})
}

// DeleteSessions ends all sessions of the user, the one that asks too.
func (a *Account) DeleteSessions(ctx context.Context) error {
	return a.change(ctx, "delete sessions", func(ctx context.Context, tx store.Tx, now time.Time) error {
		user, err := a.user(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := listSessions(ctx, tx, a.userID)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := a.engine.endSession(ctx, tx, now, a.actor(), row, user.Key); err != nil {
				return err
			}
		}
		return nil
	})
}
