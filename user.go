package latchkey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
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

// roomForUser reports that there are as many users as the policy allows to sign
// up.
func (tx *txn) roomForUser(ctx context.Context) error {
	limit := tx.engine.policy.UserLimit
	if limit == 0 {
		return nil
	}
	n, err := tx.Count(ctx, store.Query{Index: record.Users.Primary(), Limit: limit})
	if err == nil && n >= limit {
		err = ErrUserCountExceeded
	}
	return err
}

// insertUser is the one place where users are made, with the addresses and
// targets of their e-mail and phone.
func (tx *txn) insertUser(ctx context.Context, user *record.User) (*User, error) {
	for _, taken := range []struct {
		ix  *store.Index
		key string
	}{
		{record.Users.Primary(), user.ID}, {record.Addresses.Primary(), user.Email}, {record.Users.Index("phone"), user.Phone},
	} {
		if _, err := tx.Get(ctx, taken.ix, store.Text(taken.key)); err == nil {
			return nil, ErrUserAlreadyExists
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	if user.Email != "" {
		if err := record.Addresses.Insert(ctx, tx, &record.Address{Address: user.Email, UserID: user.ID}); err != nil {
			return nil, err
		}
		if err := tx.forgetFailures(ctx, user); err != nil {
			return nil, err
		}
	}
	if err := record.Users.Insert(ctx, tx, user); err != nil {
		return nil, err
	}
	for _, err := range []error{
		tx.moveTarget(ctx, user.ID, targetEmail, "", user.Email), tx.moveTarget(ctx, user.ID, targetSMS, "", user.Phone),
	} {
		if err != nil && !errors.Is(err, ErrTargetAlreadyExists) {
			return nil, err
		}
	}
	if err := setWords(ctx, tx, "users", user.ID, userTexts(user)...); err != nil {
		return nil, err
	}
	shown, err := showUser(ctx, tx, user)
	if err != nil {
		return nil, err
	}
	tx.event(user.ID, "create", shown)
	return shown, tx.log(ctx, logUserCreate, user)
}

// changeUser is the one place where what a user has is changed (a hash that is
// renewed and a last-seen time are no change). Whatever follows from the
// difference follows here: addresses, targets, words, the
// facts in the sessions, the log, the events and the notices. Without a difference nothing
// does.
func (tx *txn) changeUser(ctx context.Context, user *record.User, edit func(*record.User) error) (*User, error) {
	old := *user
	if err := edit(user); err != nil {
		return nil, err
	}
	changes := changesOf(&old, user)
	if len(changes) == 0 {
		return showUser(ctx, tx, user)
	}
	user.Updated = tx.now
	if user.Blocked && !old.Blocked || !bytes.Equal(user.Password, old.Password) {
		user.Epoch++
	}
	if err := tx.endTokensAfter(ctx, &old, user); err != nil {
		return nil, err
	}
	if err := tx.moveAddresses(ctx, &old, user); err != nil {
		return nil, err
	}
	if user.Name != old.Name || user.Email != old.Email || user.Phone != old.Phone || user.Labels != old.Labels {
		if err := setWords(ctx, tx, "users", user.ID, userTexts(user)...); err != nil {
			return nil, err
		}
	}
	if user.MFA != old.MFA {
		if err := tx.dropFactors(ctx, user, "", unproven); err != nil {
			return nil, err
		}
		for _, f := range []Factor{FactorTOTP, FactorEmail, FactorPhone, FactorRecoveryCode, FactorCustom} {
			if user.MFA || tx.by.mode != "server" { // who begins anew with somebody who has lost a factor
				break
			}
			if err := tx.forgetGuesses(ctx, user, f); err != nil {
				return nil, err
			}
		}
	}
	if factsOf(user) != factsOf(&old) {
		if err := tx.refreshSessions(ctx, user); err != nil {
			return nil, err
		}
	}
	if passwordSubject(user) != passwordSubject(&old) || !bytes.Equal(user.Password, old.Password) {
		if err := tx.forgetFailures(ctx, user); err != nil {
			return nil, err
		}
	}
	event := logUserUpdate
	if len(changes) == 1 && changes[0] == "verification" {
		event = logVerificationUpdate
	}
	if err := tx.log(ctx, event, user); err != nil {
		return nil, err
	}
	shown, err := showUser(ctx, tx, user)
	if err != nil {
		return nil, err
	}
	tx.noticeChange(&old, user)
	for _, change := range changes {
		tx.event(user.ID, "update."+change, shown)
	}
	return shown, nil
}

// endTokensAfter ends the open tokens that a change makes void: all of them after
// another password, those that were sent to an address that is no longer the
// user's.
func (tx *txn) endTokensAfter(ctx context.Context, old, user *record.User) error {
	if !bytes.Equal(user.Password, old.Password) {
		return tx.endTokens(ctx, old)
	}
	if user.Email != old.Email {
		if err := tx.endTokensTo(ctx, old.Email); err != nil {
			return err
		}
	}
	if user.Phone != old.Phone {
		return tx.endTokensTo(ctx, old.Phone)
	}
	return nil
}

// changesOf names the differences between two states of a user, as events do.
func changesOf(old, user *record.User) (changes []string) {
	for _, c := range []struct {
		name    string
		changed bool
	}{
		{"name", user.Name != old.Name},
		{"email", user.Email != old.Email},
		{"phone", user.Phone != old.Phone},
		{"password", !bytes.Equal(user.Password, old.Password)},
		{"status", user.Blocked != old.Blocked},
		{"labels", user.Labels != old.Labels},
		{"prefs", user.Prefs != old.Prefs},
		{"mfa", user.MFA != old.MFA || user.TOTP != old.TOTP},
		{"verification", user.Email == old.Email && user.EmailVerified != old.EmailVerified ||
			user.Phone == old.Phone && user.PhoneVerified != old.PhoneVerified},
	} {
		if c.changed {
			changes = append(changes, c.name)
		}
	}
	return changes
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

// moveAddresses stores a user whose e-mail or phone may have changed, with the
// rows that follow them.
func (tx *txn) moveAddresses(ctx context.Context, old, user *record.User) error {
	if user.Email != old.Email {
		if err := tx.moveTarget(ctx, user.ID, targetEmail, old.Email, user.Email); err != nil {
			return err
		}
		if err := tx.takeAddress(ctx, user); err != nil {
			return err
		}
	}
	if user.Phone != old.Phone {
		if err := tx.moveTarget(ctx, user.ID, targetSMS, old.Phone, user.Phone); err != nil {
			return err
		}
		if _, err := tx.Get(ctx, record.Users.Index("phone"), store.Text(user.Phone)); err == nil {
			return ErrPhoneAlreadyExists
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	if err := record.Users.Replace(ctx, tx, user); err != nil {
		return err
	}
	if user.Email != old.Email && old.Email != "" {
		return record.Addresses.Delete(ctx, tx, store.Text(old.Email))
	}
	return nil
}

// takeAddress makes the e-mail address of a user theirs.
func (tx *txn) takeAddress(ctx context.Context, user *record.User) error {
	if user.Email == "" {
		return nil
	}
	if _, err := tx.Get(ctx, record.Addresses.Primary(), store.Text(user.Email)); err == nil {
		return ErrEmailAlreadyExists
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return record.Addresses.Insert(ctx, tx, &record.Address{Address: user.Email, UserID: user.ID})
}

// moveTarget lets the target of a user's old address be that of the new one;
// "" is none. A target of the new address that is the user's own already stays,
// one of somebody else is ErrTargetAlreadyExists.
func (tx *txn) moveTarget(ctx context.Context, userID, kind, old, address string) error {
	have, err := getTarget(ctx, tx, kind, old)
	if err != nil {
		return err
	}
	taken, err := getTarget(ctx, tx, kind, address)
	if err != nil {
		return err
	}
	if have != nil && have.UserID != userID {
		have = nil
	}
	switch {
	case taken != nil && taken.UserID != userID:
		return ErrTargetAlreadyExists
	case have != nil && (address == "" || taken != nil):
		return record.Targets.Delete(ctx, tx, store.Text(have.ID))
	case have != nil:
		have.Identifier, have.Updated, have.Expired = address, tx.now, false
		return record.Targets.Replace(ctx, tx, have)
	case taken != nil || address == "":
		return nil
	}
	return record.Targets.Insert(ctx, tx, &record.Target{
		ID: newID(), UserID: userID, Created: tx.now, Updated: tx.now, ProviderType: kind, Identifier: address,
	})
}

// getTarget returns the target of an address, nil for none.
func getTarget(ctx context.Context, r store.Reader, kind, address string) (*record.Target, error) {
	if address == "" {
		return nil, nil
	}
	t, err := record.Targets.Get(ctx, r, record.Targets.Index("identifier"), store.Text(kind), store.Text(address))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return t, err
}

// deleteUser is the one place where a user goes, with everything of theirs but
// the log.
func (tx *txn) deleteUser(ctx context.Context, user *record.User) error {
	shown, err := showUser(ctx, tx, user)
	if err != nil {
		return err
	}
	if err := tx.endSessions(ctx, user, ""); err != nil {
		return err
	}
	if err := tx.endTokens(ctx, user); err != nil {
		return err
	}
	if err := tx.deleteFactors(ctx, user); err != nil {
		return err
	}
	if _, err := tx.DeleteRange(ctx, targetsOf(user)); err != nil {
		return err
	}
	if err := setWords(ctx, tx, "users", user.ID); err != nil {
		return err
	}
	if err := record.Users.Delete(ctx, tx, store.Text(user.ID)); err != nil {
		return err
	}
	if user.Email != "" {
		if err := record.Addresses.Delete(ctx, tx, store.Text(user.Email)); err != nil {
			return err
		}
	}
	if err := tx.forgetFailures(ctx, user); err != nil {
		return err
	}
	tx.event(user.ID, "delete", shown)
	return tx.log(ctx, logUserDelete, user)
}
