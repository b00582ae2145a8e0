package latchkey

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/internal/words"
	"example.com/latchkey/notify"
	"example.com/latchkey/store"
)

// checkUserLimit refuses a sign-up once there are as many users as the policy
// allows.
func (tx *txn) checkUserLimit(ctx context.Context) error {
	limit := tx.policy.UserLimit
	if limit == 0 {
		return nil
	}
	n, err := tx.Count(ctx, store.Query{Index: record.Users.Primary(), Limit: limit})
	if err == nil && n >= limit {
		err = ErrUserCountExceeded
	}
	return err
}

// userEvent gathers an event of a user whose payload is the user.
func (tx *txn) userEvent(name string, shown *User) { tx.event(shown.ID, name, shown.clone()) }

// changeUser is the one place where users change (a renewed hash and a last-seen
// time are no change). Every consequence of the difference between the two states
// follows here: tokens, addresses, targets, words, the facts in the sessions, the
// log, the events and the notices. Without a difference nothing follows.
func (tx *txn) changeUser(ctx context.Context, user *record.User, edit func(*record.User) error) (*User, error) {
	old := *user
	if err := edit(user); err != nil {
		return nil, err
	}
	changes := changesOf(&old, user)
	if len(changes) == 0 {
		if !reflect.DeepEqual(&old, user) { // what no one is told of
			if err := tx.changeFacts(ctx, user); err != nil {
				return nil, err
			}
		}
		return showUser(user)
	}
	if err := tx.keepsSecondFactor(&old, user); err != nil {
		return nil, err
	}
	user.Updated = tx.now
	for _, by := range []*contact{byEmail, byPhone} {
		if tx.by.mode == modeServer {
			by.noteProof(&old, user, time.Time{}) // its word counts at once
		} else {
			by.noteProof(&old, user, tx.now)
		}
	}
	newPassword := !bytes.Equal(user.Password, old.Password)
	if newPassword {
		user.PasswordEpoch++
	}
	if user.Blocked && !old.Blocked || newPassword {
		user.Epoch++
	}
	if err := tx.endTokensAfter(ctx, &old, user); err != nil {
		return nil, err
	}
	if err := tx.moveAddresses(ctx, &old, user); err != nil {
		return nil, err
	}
	if user.Email != old.Email && old.Email != "" {
		if err := tx.dropPending(ctx, user, old.Email); err != nil {
			return nil, err
		}
	}
	if err := tx.endInvitationsAfter(ctx, &old, user); err != nil {
		return nil, err
	}
	if user.Name != old.Name || user.Email != old.Email || user.Phone != old.Phone || user.Labels != old.Labels {
		if err := words.Set(ctx, tx, "users", user.ID, userTexts(user)...); err != nil {
			return nil, err
		}
	}
	if user.MFA != old.MFA || user.TOTP != old.TOTP || user.Email != old.Email || user.Phone != old.Phone || newPassword {
		// A session that owes a factor owes the one from before the change.
		if err := tx.endOwing(ctx, user); err != nil {
			return nil, err
		}
	}
	if userFacts(user) != userFacts(&old) {
		if err := tx.refreshSessions(ctx, user); err != nil {
			return nil, err
		}
	}
	if user.MFA != old.MFA {
		if err := tx.switchedMFA(ctx, user); err != nil {
			return nil, err
		}
	}
	if err := tx.endSessionsAfter(ctx, &old, user); err != nil {
		return nil, err
	}
	if user.Blocked && !old.Blocked {
		if err := tx.handOverTeams(ctx, user); err != nil {
			return nil, err
		}
	}
	if passwordSubject(user) != passwordSubject(&old) || newPassword {
		if err := tx.forgetPasswordGuesses(ctx, user); err != nil {
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
	shown, err := showUser(user)
	if err != nil {
		return nil, err
	}
	tx.noticeChange(&old, user)
	for _, change := range changes {
		tx.userEvent("update."+change, shown)
	}
	return shown, nil
}

// keepsSecondFactor refuses to a user with MFA on a change of an address that leaves no second
// factor: until the new address is proven, the password alone would make a full session.
func (tx *txn) keepsSecondFactor(old, user *record.User) error {
	own := tx.by.mode == modeUser && tx.by.id == user.ID
	if !own || !old.MFA || !user.MFA || user.Email == old.Email && user.Phone == old.Phone {
		return nil
	}
	second := func(u *record.User) int { return len(tx.secondFactors(strings.Fields(userFacts(u).factors))) }
	if second(old) > 0 && second(user) == 0 {
		return ErrLastFactor
	}
	return nil
}

// endSessionsAfter ends the sessions that a block, or a change of a proven address or of the
// authenticator, makes void. The session that makes the change stays.
func (tx *txn) endSessionsAfter(ctx context.Context, old, user *record.User) error {
	var lost []string // the proofs that only a former address gives
	proven := false
	for _, f := range []Factor{FactorEmail, FactorPhone} {
		if by := f.contact(); by.address(old) != "" && by.address(user) != by.address(old) {
			lost = append(lost, string(f))
			proven = proven || by.verified(old)
		}
	}
	policy := &tx.policy.Sessions
	switch {
	case policy.EndOnBlock && user.Blocked && !old.Blocked:
		return tx.endSessions(ctx, user, "")
	case old.MustReset && !user.MustReset: // one may have been made with the password that had to go
		return tx.endSessions(ctx, user, tx.session)
	case policy.EndOnChange && (proven || user.TOTP != old.TOTP):
		return tx.endSessions(ctx, user, tx.session)
	case len(lost) == 0:
		return nil
	}
	return tx.endSessionsIf(ctx, user, func(s *record.Session) bool {
		other := func(f string) bool { return !slices.Contains(lost, f) }
		return s.ID != tx.session && !slices.ContainsFunc(shown(s), other)
	})
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
		{"impersonator", user.Impersonator != old.Impersonator},
	} {
		if c.changed {
			changes = append(changes, c.name)
		}
	}
	return changes
}

// switchedMFA follows a change of the MFA switch. When it is switched on, the proofs of
// sessions beyond their first factor count no more, except for those of the session that does
// it. The recovery codes of other sessions are void, and so are identities that the mailbox has
// made: a thief may have prepared them while one proof was enough. When it is switched off,
// sessions lose the factors that they were assumed to have. If the server does that, wrong
// answers are forgotten, because the server starts over with a user who lost a factor.
func (tx *txn) switchedMFA(ctx context.Context, user *record.User) error {
	if user.MFA {
		kept := ""
		if tx.by.mode == modeUser {
			kept = tx.session
		}
		if err := tx.dropFactors(ctx, user, kept, func(*record.Session, string) bool { return true }); err != nil {
			return err
		}
		own := ""
		if s, err := record.Sessions.Find(ctx, tx, record.Sessions.Primary(), store.Text(kept)); err != nil {
			return err
		} else if s != nil {
			own = s.Identity
		}
		if err := tx.weighIdentities(ctx, user, own); err != nil {
			return err
		}
		if err := tx.weighPasskeys(ctx, user, kept, own); err != nil {
			return err
		}
		return tx.voidCodes(ctx, user, kept)
	}
	if err := tx.dropFactors(ctx, user, "", assumed); err != nil {
		return err
	}
	if tx.by.mode != modeServer {
		return nil
	}
	for _, f := range allFactors {
		if err := tx.forgetFactorGuesses(ctx, user, f); err != nil {
			return err
		}
	}
	return nil
}

// noticeChange tells a user of a change that an attacker could have made, at the
// addresses from before it: an address or a number that changes or is proven, a factor, a
// password.
func (tx *txn) noticeChange(old, user *record.User) {
	from := len(tx.notices)
	defer func() {
		for i, n := range tx.notices[from:] {
			tx.notices[from+i].HasPasskeys = user.Passkeys != "" && (n.Kind == notify.PasswordChanged || n.Change == notify.MFASwitchedOn)
		}
	}()
	for _, c := range []struct {
		by   *contact
		kind notify.Kind
	}{{byEmail, notify.EmailChanged}, {byPhone, notify.PhoneChanged}} {
		switch {
		case c.by.address(user) != c.by.address(old) && c.by.address(old) != "":
			tx.noticeTo(c.kind, old)
		case c.by.verified(user) && !c.by.verified(old) && c.by.other().verified(old) && tx.by.mode != modeServer:
			tx.notice(c.kind, c.by.other(), old) // a new way in
		}
	}
	switch {
	case user.TOTP && !old.TOTP:
		tx.noticeFactors(notify.AuthenticatorAdded, old)
	case old.TOTP && !user.TOTP:
		tx.noticeFactors(notify.AuthenticatorRemoved, old)
	}
	switch {
	case user.MFA && !old.MFA:
		tx.noticeFactors(notify.MFASwitchedOn, old)
	case old.MFA && !user.MFA:
		tx.noticeFactors(notify.MFASwitchedOff, old)
	}
	if !bytes.Equal(user.Password, old.Password) {
		tx.noticeTo(notify.PasswordChanged, old)
	}
}

// endTokensAfter ends the open tokens that a change makes void: all of them after
// a change of the password, and after a block that ends the sessions; those that were
// sent to a former address; and open changes of the address. A change by the server ends the links
// that restore a former address too.
func (tx *txn) endTokensAfter(ctx context.Context, old, user *record.User) error {
	if !bytes.Equal(user.Password, old.Password) || tx.policy.Sessions.EndOnBlock && user.Blocked && !old.Blocked {
		return tx.endTokens(ctx, old)
	}
	for _, by := range []*contact{byEmail, byPhone} {
		if by.address(user) == by.address(old) {
			continue
		}
		if err := tx.endTokensTo(ctx, by.address(old)); err != nil {
			return err
		}
		if err := tx.endToken(ctx, changeKind(by).name, user.ID); err != nil {
			return err
		}
		if tx.by.mode != modeServer {
			continue
		}
		// The server has decided whose address it is.
		if err := tx.endUndo(ctx, user, func(t *record.Token) bool { return kindOf(t).by == by }); err != nil {
			return err
		}
	}
	return nil
}

// checkAddresses refuses an address of a user that another one has.
func (tx *txn) checkAddresses(ctx context.Context, old, user *record.User) error {
	for _, by := range []*contact{byEmail, byPhone} {
		address := by.address(user)
		if address == by.address(old) || address == "" {
			continue
		}
		target, err := findTarget(ctx, tx, by.target, address)
		if err != nil {
			return err
		}
		held, err := tx.heldFor(ctx, tx, by, address)
		if err == nil && (target != nil && target.UserID != user.ID || held != "" && held != user.ID) {
			err = by.taken() // in both cases, so that no one learns which addresses are held
		}
		if err != nil {
			return err
		}
		if by == byPhone {
			if err := tx.checkNumber(ctx, user, address); err != nil {
				return err
			}
			continue
		}
		holder, err := tx.addressHolder(ctx, address)
		switch {
		case err != nil:
			return err
		case holder != "" && holder != user.ID:
			return ErrEmailAlreadyExists
		}
	}
	return nil
}

// checkNumber refuses a number for a user that another one has, or for whom it is held.
func (tx *txn) checkNumber(ctx context.Context, user *record.User, number string) error {
	taken, err := tx.has(ctx, byPhone.index, number)
	if err != nil {
		return err
	}
	holder, err := tx.heldFor(ctx, tx, byPhone, number)
	if err == nil && (taken || holder != "" && holder != user.ID) {
		err = ErrPhoneAlreadyExists
	}
	return err
}

// moveAddresses stores a user whose e-mail or phone may have changed, with the rows
// that follow them.
func (tx *txn) moveAddresses(ctx context.Context, old, user *record.User) error {
	if user.Email != old.Email {
		if err := tx.moveTarget(ctx, byEmail, old, user); err != nil {
			return err
		}
		if err := tx.takeAddress(ctx, user); err != nil {
			return err
		}
	}
	if user.Phone != old.Phone {
		if err := tx.moveTarget(ctx, byPhone, old, user); err != nil {
			return err
		}
		if err := tx.checkNumber(ctx, user, user.Phone); err != nil {
			return err
		}
	}
	if err := record.Users.Replace(ctx, tx, user); err != nil {
		return err
	}
	if user.Email != old.Email {
		return tx.releaseAddress(ctx, old.Email)
	}
	return nil
}

// takeAddress reserves the e-mail address of a user.
func (tx *txn) takeAddress(ctx context.Context, user *record.User) error {
	reserved, err := tx.reserveAddress(ctx, user, user.Email)
	if err == nil && !reserved {
		err = ErrEmailAlreadyExists
	}
	return err
}

// deleteUser is the one place where users are deleted, with everything of theirs
// but the log.
func (tx *txn) deleteUser(ctx context.Context, user *record.User) error {
	shown, err := showUser(user)
	if err != nil {
		return err
	}
	if err := tx.endSessions(ctx, user, ""); err != nil {
		return err
	}
	if err := tx.endTokens(ctx, user); err != nil {
		return err
	}
	if err := tx.endUndo(ctx, user, func(*record.Token) bool { return true }); err != nil {
		return err
	}
	if err := tx.deleteFactors(ctx, user); err != nil {
		return err
	}
	if err := tx.leaveTeams(ctx, user); err != nil {
		return err
	}
	if _, err := tx.DeleteRange(ctx, record.ListTargets(user.ID)); err != nil {
		return err
	}
	identities, err := identitiesOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, i := range identities {
		tx.revokeLater(i)
	}
	if _, err := tx.DeleteRange(ctx, record.ListIdentities(user.ID)); err != nil {
		return err
	}
	if err := words.Set(ctx, tx, "users", user.ID); err != nil {
		return err
	}
	if err := record.Users.Delete(ctx, tx, store.Text(user.ID)); err != nil {
		return err
	}
	if _, err := tx.DeleteRange(ctx, record.ListAddresses(user.ID)); err != nil {
		return err
	}
	if err := tx.forgetPasswordGuesses(ctx, user); err != nil {
		return err
	}
	if err := tx.keepDeleted(ctx, user.ID); err != nil {
		return err
	}
	tx.userEvent("delete", shown)
	return tx.log(ctx, logUserDelete, user)
}

// voidCodes deletes the recovery codes that other sessions have made than the one that is
// kept. Those of the server stay.
func (tx *txn) voidCodes(ctx context.Context, user *record.User, kept string) error {
	rows, err := record.RecoveryCodes.List(ctx, tx, record.ListRecoveryCodes(user.ID))
	if err != nil {
		return err
	}
	left := 0
	for _, row := range rows {
		if row.Session == "" || row.Session == kept {
			left++
			continue
		}
		if err := record.RecoveryCodes.Delete(ctx, tx, store.Text(row.ID)); err != nil {
			return err
		}
	}
	if user.RecoveryCodes == (left > 0) {
		return nil
	}
	user.RecoveryCodes = left > 0
	return tx.changeFacts(ctx, user)
}

// deleteFactors deletes a user's authenticators, challenges, recovery codes and passkeys.
func (tx *txn) deleteFactors(ctx context.Context, user *record.User) error {
	for _, index := range []*store.Index{record.Authenticators.Index("user"), record.Challenges.Index("user"), record.RecoveryCodes.Index("user"),
		record.Passkeys.Index("user"), record.Handles.Primary(), record.Ceremonies.Index("user")} {
		q := store.Query{Index: index, Equal: []store.Value{store.Text(user.ID)}, Limit: store.MaxLimit}
		if _, err := tx.DeleteRange(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// logFactorsChanged records a change of a user's second factors that is no change
// of the user.
func (tx *txn) logFactorsChanged(ctx context.Context, user *record.User) error {
	shown, err := showUser(user)
	if err != nil {
		return err
	}
	tx.userEvent("update.mfa", shown)
	return tx.log(ctx, logUserUpdate, user)
}
