package latchkey

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// User is one account, as it is shown. It holds no secret and no hash.
type User struct {
	ID                string
	CreatedAt         time.Time
	UpdatedAt         time.Time
	Registration      time.Time
	AccessedAt        time.Time // last seen, by a sign-in or a check; at most a day behind
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

// The kinds of targets that follow a user's addresses.
const (
	targetEmail = "email"
	targetSMS   = "sms"
)

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
	return u, json.Unmarshal([]byte(r.Labels), &u.Labels)
}

func (u *User) clone() *User {
	c := *u
	c.Labels, c.Prefs, c.Targets = slices.Clone(u.Labels), slices.Clone(u.Prefs), slices.Clone(u.Targets)
	return &c
}

// getUser returns the row of a user, or ErrUserNotFound.
func getUser(ctx context.Context, r store.Reader, id string) (*record.User, error) {
	user, err := record.Users.Get(ctx, r, record.Users.Primary(), store.Text(id))
	if errors.Is(err, store.ErrNotFound) {
		err = ErrUserNotFound
	}
	return user, err
}

// showUser returns a user with their targets.
func showUser(ctx context.Context, r store.Reader, user *record.User) (*User, error) {
	targets, err := record.Targets.List(ctx, r, targetsOf(user))
	if err != nil {
		return nil, err
	}
	return userOf(user, targets)
}

func targetsOf(user *record.User) store.Query {
	return store.Query{
		Index: record.Targets.Index("user"), Equal: []store.Value{store.Text(user.ID)}, Limit: store.MaxLimit,
	}
}

// NewUser is what a user is made of.
type NewUser struct {
	// UserID is the id that the host wants: a-z, A-Z, 0-9, period, hyphen and
	// underscore, at most 36, the first a letter or digit. "" means a fresh
	// one, a UUID of version 7.
	UserID string
	Email  string
	// Phone is a number with its country: +, then 7 to 15 digits.
	Phone    string
	Password Secret // 8 to 256 characters unless the policy says otherwise, 1,024 bytes
	Name     string // at most 128 characters; may be ""
}

// row checks what a user is to be made of and returns the row without the
// password.
func (n NewUser) row(now time.Time) (user *record.User, err error) {
	if n.UserID == "" {
		n.UserID = newID()
	}
	user = newUser(n.UserID, now)
	if err := canon.ID(n.UserID); err != nil {
		return nil, invalid("userId", err)
	}
	if n.Email != "" {
		if user.Email, err = canon.Email(n.Email); err != nil {
			return nil, invalid("email", err)
		}
	}
	if n.Phone != "" {
		if err := canon.Phone(n.Phone); err != nil {
			return nil, invalid("phone", err)
		}
		user.Phone = n.Phone
	}
	user.Name = n.Name
	return user, checkName(n.Name)
}

// newUser returns a user that has nothing yet.
func newUser(id string, now time.Time) *record.User {
	return &record.User{
		ID: id, Key: newID(), Created: now, Updated: now, Registered: now, Accessed: now,
		Labels: "[]", Prefs: "{}",
	}
}

func checkName(name string) error {
	if err := canon.Name(name); err != nil {
		return invalid("name", err)
	}
	return nil
}

const maxPrefs = 65_535 // bytes of JSON

// checkPrefs returns preferences as they are stored.
func checkPrefs(prefs json.RawMessage) (string, error) {
	text, err := canon.Object(prefs, maxPrefs)
	if err != nil {
		return "", invalid("prefs", err)
	}
	return text, nil
}

// setEmail gives a user an address, or takes it away.
func setEmail(user *record.User, email string) {
	if user.Email != email {
		user.Email, user.EmailVerified = email, false
	}
}

// setPhone gives a user a number, or takes it away.
func setPhone(user *record.User, phone string) {
	if user.Phone != phone {
		user.Phone, user.PhoneVerified = phone, false
	}
}

// userTexts is the search text of a user. The labels are a list of words in
// JSON.
func userTexts(u *record.User) []string { return []string{u.ID, u.Email, u.Name, u.Phone, u.Labels} }

// anonymous reports whether a user has no way to sign in again.
func anonymous(user *record.User) bool {
	return user.Email == "" && user.Phone == "" && user.Password == nil
}

// verified reports whether a user has proven the address of a channel.
func verified(user *record.User, channel notify.Channel) bool {
	if channel == notify.SMS {
		return user.PhoneVerified
	}
	return user.EmailVerified
}

// address returns what a user gets messages of a channel at.
func address(user *record.User, channel notify.Channel) string {
	if channel == notify.SMS {
		return user.Phone
	}
	return user.Email
}
