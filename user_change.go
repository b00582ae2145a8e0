package latchkey

import (
	"bytes"
	"context"
	"errors"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// noticeChange tells a user, where they were before it, of a change that somebody
// else would make in their place.
func (tx *txn) noticeChange(old, user *record.User) {
	if user.Email != old.Email {
		tx.notice(notify.EmailChanged, notify.Email, old)
	}
	if user.Phone != old.Phone && old.Phone != "" {
		tx.notice(notify.PhoneChanged, notify.SMS, old)
		tx.notice(notify.PhoneChanged, notify.Email, old)
	}
	if user.MFA != old.MFA || user.TOTP != old.TOTP {
		tx.noticeTo(notify.FactorsChanged, old)
	}
	if string(user.Password) != string(old.Password) {
		tx.noticeTo(notify.PasswordChanged, old)
	}
}

// tellMFA records a change of what a user keeps for a second factor.
func (tx *txn) tellMFA(ctx context.Context, user *record.User) error {
	shown, err := showUser(ctx, tx, user)
	if err != nil {
		return err
	}
	tx.event(user.ID, "update.mfa", shown)
	return tx.log(ctx, logUserUpdate, user)
}

// deleteFactors takes away what a user keeps for a second factor.
func (tx *txn) deleteFactors(ctx context.Context, user *record.User) error {
	for _, of := range []*store.Index{record.Authenticators.Index("user"), record.Challenges.Index("user"), record.RecoveryCodes.Index("user")} {
		if _, err := tx.DeleteRange(ctx, store.Query{Index: of, Equal: []store.Value{store.Text(user.ID)}, Limit: store.MaxLimit}); err != nil {
			return err
		}
	}
	return nil
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
	if err := words.Set(ctx, tx, "users", user.ID, userTexts(user)...); err != nil {
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
		if err := words.Set(ctx, tx, "users", user.ID, userTexts(user)...); err != nil {
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
	if err := words.Set(ctx, tx, "users", user.ID); err != nil {
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
