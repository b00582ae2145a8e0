package latchkey

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/canon"
	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// User is a user as it is shown. It holds no secret and no hash.
type User struct {
	ID                string    `json:"$id"`
	CreatedAt         time.Time `json:"$createdAt"`
	UpdatedAt         time.Time `json:"$updatedAt"`
	Registration      time.Time `json:"registration"`
	AccessedAt        time.Time `json:"accessedAt"` // last seen, by a sign-in or a check; up to a day late
	Name              string    `json:"name"`
	Email             string    `json:"email"` // "" without one
	EmailVerification bool      `json:"emailVerification"`
	// EmailCanonical is the address of which Email is an alias, or Email itself; "" if there
	// is none, or nothing is known about it. EmailIsCanonical says that Email is no alias.
	// Both, and the three after them, are found when the user is shown, by package mailclass
	// or Config.AddressClassifier: they may change when its lists do.
	EmailCanonical   string `json:"emailCanonical"`
	EmailIsCanonical bool   `json:"emailIsCanonical"`
	// EmailIsFree, EmailIsDisposable and EmailIsCorporate are about the provider of the
	// address, as in mailclass.Class. All three are false if nothing is known.
	EmailIsFree       bool `json:"emailIsFree"`
	EmailIsDisposable bool `json:"emailIsDisposable"`
	EmailIsCorporate  bool `json:"emailIsCorporate"`

	Phone             string          `json:"phone"` // "" without one
	PhoneVerification bool            `json:"phoneVerification"`
	PasswordUpdate    time.Time       `json:"passwordUpdate,omitzero"` // zero when there never was a password
	Status            bool            `json:"status"`                  // false when blocked
	MFA               bool            `json:"mfa"`
	Labels            []string        `json:"labels"`
	Prefs             json.RawMessage `json:"prefs"` // an object
	Targets           []Target        `json:"targets"`
	Impersonator      bool            `json:"impersonator"` // may act for other users, see [Account.Impersonate]
	// ImpersonatorUserID is the user who acts for this one; "" unless an account of
	// [Account.Impersonate] shows it.
	ImpersonatorUserID string `json:"impersonatorUserId"`
}

// Target is an address at which a user gets messages.
type Target struct {
	ID           string    `json:"$id"`
	UserID       string    `json:"userId"`
	CreatedAt    time.Time `json:"$createdAt"`
	UpdatedAt    time.Time `json:"$updatedAt"`
	Name         string    `json:"name"`
	ProviderID   string    `json:"providerId"`   // "" without one
	ProviderType string    `json:"providerType"` // email, sms or push
	Identifier   string    `json:"identifier"`   // the address
	Expired      bool      `json:"expired"`
}

// clone returns a copy that shares nothing with the user.
func (u *User) clone() *User {
	c := *u
	c.Labels, c.Prefs, c.Targets = slices.Clone(u.Labels), slices.Clone(u.Prefs), slices.Clone(u.Targets)
	return &c
}

// getUser returns the row of a user, or ErrUserNotFound.
func getUser(ctx context.Context, r store.Reader, id string) (*record.User, error) {
	user, err := findUser(ctx, r, id)
	if user == nil && err == nil {
		err = ErrUserNotFound
	}
	return user, err
}

// findUser returns the row of a user, nil if absent.
func findUser(ctx context.Context, r store.Reader, id string) (*record.User, error) {
	return record.Users.Find(ctx, r, record.Users.Primary(), store.Text(id))
}

// showUser returns a user with their targets. It leaves out what is known about the address,
// because a host may have to be asked for that: see [Engine.describe].
func showUser(user *record.User) (*User, error) {
	u := &User{
		ID: user.ID, CreatedAt: user.Created, UpdatedAt: user.Updated, Registration: user.Registered, AccessedAt: user.Accessed,
		Name: user.Name, Email: user.Email, EmailVerification: user.EmailVerified,
		Phone: user.Phone, PhoneVerification: user.PhoneVerified,
		PasswordUpdate: user.PasswordUpdated, Status: !user.Blocked, MFA: user.MFA,
		Prefs: json.RawMessage(user.Prefs), Impersonator: user.Impersonator,
	}
	targets, err := record.TargetsOf(user)
	if err != nil {
		return nil, err
	}
	u.Targets = make([]Target, 0, len(targets))
	for _, t := range targets {
		u.Targets = append(u.Targets, *showTarget(t))
	}
	u.Labels, err = labelsOf(user)
	return u, err
}

// labelsOf returns the labels of a user.
func labelsOf(user *record.User) (labels []string, err error) {
	if user.Labels == "[]" { // mostly
		return []string{}, nil
	}
	err = json.Unmarshal([]byte(user.Labels), &labels)
	return labels, err
}

// showTarget returns a target as it is shown.
func showTarget(t *record.Target) *Target {
	return &Target{
		ID: t.ID, UserID: t.UserID, CreatedAt: t.Created, UpdatedAt: t.Updated, Name: t.Name,
		ProviderID: t.ProviderID, ProviderType: t.ProviderType, Identifier: t.Identifier, Expired: t.Expired,
	}
}

// anonymous reports whether a user has no way to sign in again.
func anonymous(user *record.User) bool {
	return user.Email == "" && user.Phone == "" && user.Password == nil && user.Providers == "" && user.Passkeys == "" && user.Undo.IsZero()
}

// provenBeside reports whether a user has proven to be somebody beside having an address: by the
// other address, by an account at a provider, or by a former address that can be restored. Then
// the reader of the address may be another person.
func provenBeside(user *record.User, by *contact, now time.Time) bool {
	return by.other().verified(user) || user.Providers != "" || user.Undo.After(now)
}

// userTexts is the search text of a user.
func userTexts(u *record.User) []string {
	var labels []string
	_ = json.Unmarshal([]byte(u.Labels), &labels) // the row of a user is damaged otherwise, and cannot be shown
	return append([]string{u.ID, u.Email, u.Name, u.Phone}, labels...)
}

// NewUser is the input for a user.
//
// Printed, logged or encoded, it shows a mask for the password. Package encoding/gob
// refuses it. The fields are plain texts, as a person typed them in, so fmt prints it in
// clear where it cannot call Format: in an unexported field of another struct, behind a
// pointer to another struct that is printed with a verb for texts, and with %p and %w.
type NewUser struct {
	// UserID is the id that the host wants: a-z, A-Z, 0-9, period, hyphen and
	// underscore, at most 36, the first a letter or digit. "" means a fresh one, a
	// UUID of version 7.
	UserID string
	Email  string
	// Phone is a number with its country: +, then 7 to 15 digits.
	Phone    string
	Password string // 8 to 256 characters unless the policy says otherwise, 1,024 bytes
	Name     string // at most 128 characters; may be ""
}

// Format prints the input with a mask for the password, for every verb.
func (n NewUser) Format(f fmt.State, verb rune) { formatMasked(f, verb, n.masked()) }

// MarshalJSON encodes the input with a mask for the password.
func (n NewUser) MarshalJSON() ([]byte, error) { return json.Marshal(n.masked()) }

// MarshalText encodes the input with a mask for the password, for XML and its like.
func (n NewUser) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%+v", n.masked()), nil }

// LogValue logs the input with a mask for the password.
func (n NewUser) LogValue() slog.Value { return slog.AnyValue(n.masked()) }

// GobEncode fails with [hidden.ErrNotEncoded].
func (n NewUser) GobEncode() ([]byte, error) { return nil, hidden.ErrNotEncoded }

// masked returns the input with masks, as a type without methods.
func (n NewUser) masked() any {
	type plain NewUser
	n.Password = masked(n.Password)
	return plain(n)
}

// record checks the input and returns the row, without the password.
func (n NewUser) record(now time.Time) (user *record.User, err error) {
	if n.UserID == "" {
		n.UserID = newID()
	}
	user = newUser(n.UserID, now)
	if err := checkUserID(n.UserID); err != nil {
		return nil, err
	}
	if n.Email != "" {
		if user.Email, err = checkEmail(n.Email); err != nil {
			return nil, err
		}
	}
	if n.Phone != "" {
		if user.Phone, err = checkPhone(n.Phone); err != nil {
			return nil, err
		}
	}
	user.Name = n.Name
	return user, checkName(n.Name)
}

// newUser returns the row of a user without address, number and password.
func newUser(id string, now time.Time) *record.User {
	return &record.User{
		ID: id, Key: newID(), Created: now, Updated: now, Registered: now, Accessed: now,
		Labels: "[]", Prefs: "{}", Targets: "[]",
	}
}

// checkEmail returns an e-mail address in canonical form.
func checkEmail(email string) (string, error) {
	email, err := canon.Email(email)
	if err != nil {
		return "", invalid("email", err)
	}
	return email, nil
}

// errNoTexts says why a number is refused that is well formed.
var errNoTexts = reason.New(reason.NotAllowed, "no text messages are sent to numbers of this country or service")

// checkTextable returns a phone number, to which texts may be sent, in canonical form.
func (e *Engine) checkTextable(phone string) (string, error) {
	phone, err := checkPhone(phone)
	if err == nil && !e.canText(phone) {
		return "", invalid("phone", errNoTexts)
	}
	return phone, err
}

// checkPhone returns a phone number in canonical form.
func checkPhone(phone string) (string, error) {
	if err := canon.Phone(phone); err != nil {
		return "", invalid("phone", err)
	}
	return phone, nil
}

// checkName refuses a text that cannot be a name.
func checkName(name string) error {
	if err := canon.Name(name); err != nil {
		return invalid("name", err)
	}
	return nil
}

const maxPrefs = 65_535 // bytes of JSON

// checkPrefs returns preferences in their stored form.
func checkPrefs(prefs json.RawMessage) (string, error) {
	text, err := canon.Object(prefs, maxPrefs)
	if err != nil {
		return "", invalid("prefs", err)
	}
	return text, nil
}

// maxLabels is the largest number of labels of a user.
const maxLabels = 1_000

// checkLabels returns labels in their stored form, each once.
func checkLabels(labels []string) (string, error) {
	if len(labels) > maxLabels {
		return "", invalid("labels", reason.New(reason.TooMany, "more than 1,000"))
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

// unclaimed reports whether the address of a user was proven by a link that was opened
// without a session, and no one has shown the password since: the account may be a
// stranger's, who had the link sent. An account with MFA on is never taken so: the mailbox
// would take its second factor away.
func unclaimed(user *record.User) bool { return user.Unclaimed && !user.Blocked && !user.MFA }

// guarded reports whether an account asks for its authenticator.
func guarded(user *record.User) bool { return user.MFA && (user.TOTP || user.Passkeys != "") }
