package latchkey

import (
	"cmp"
	"context"

	"example.com/latchkey/internal/reason"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
)

// maxTargets is the greatest number of targets of a user.
const maxTargets = 100

// errTooManyTargets says why a target is refused.
var errTooManyTargets = reason.New(reason.TooMany, "the user has 100 targets")

// moveTarget makes the target of a user's address follow it: a new address makes
// one, a change moves it, no address deletes it. The caller stores the user.
func (tx *txn) moveTarget(ctx context.Context, by *contact, old, user *record.User) error {
	address := by.address(user)
	taken, err := findTarget(ctx, tx, by.target, address)
	if err != nil {
		return err
	}
	have, err := findTarget(ctx, tx, by.target, by.address(old))
	if err != nil {
		return err
	}
	if have != nil && have.UserID != user.ID {
		have = nil
	}
	switch {
	case taken != nil && taken.UserID != user.ID:
		return ErrTargetAlreadyExists
	case have != nil && (address == "" || taken != nil):
		err = record.Targets.Delete(ctx, tx, store.Text(have.ID))
	case have != nil:
		have.Identifier, have.Updated, have.Expired = address, tx.now, false
		err = record.Targets.Replace(ctx, tx, have)
	case taken != nil || address == "":
		return nil
	default:
		err = record.Targets.Insert(ctx, tx, &record.Target{
			ID: newID(), UserID: user.ID, Created: tx.now, Updated: tx.now, ProviderType: by.target, Identifier: address,
		})
	}
	if err != nil {
		return err
	}
	return tx.mirrorTargets(ctx, user)
}

// findTarget returns the target of an identifier, nil if absent.
func findTarget(ctx context.Context, r store.Reader, kind, identifier string) (*record.Target, error) {
	if identifier == "" {
		return nil, nil
	}
	return record.Targets.Find(ctx, r, record.Targets.Index("identifier"), store.Text(kind), store.Text(identifier))
}

// mirrorTargets puts the targets of a user into the user's row, with which they are shown.
// It follows each change of them. The caller stores the user.
func (tx *txn) mirrorTargets(ctx context.Context, user *record.User) error {
	targets, err := record.Targets.List(ctx, tx, record.ListTargets(user.ID))
	if err != nil {
		return err
	}
	user.Targets, err = record.EncodeTargets(targets)
	return err
}

// storeTargets is mirrorTargets for a change of targets alone.
func (tx *txn) storeTargets(ctx context.Context, user *record.User) error {
	if err := tx.mirrorTargets(ctx, user); err != nil {
		return err
	}
	return record.Users.Replace(ctx, tx, user)
}

// insertTarget stores a new target of a user.
func (tx *txn) insertTarget(ctx context.Context, user *record.User, t *record.Target) (*Target, error) {
	taken, err := tx.has(ctx, record.Targets.Primary(), t.ID)
	switch {
	case err != nil:
		return nil, err
	case taken:
		return nil, ErrTargetAlreadyExists
	}
	if err := tx.freeIdentifier(ctx, t); err != nil {
		return nil, err
	}
	n, err := tx.Count(ctx, store.Query{Index: record.Targets.Index("user"), Equal: []store.Value{store.Text(user.ID)}, Limit: maxTargets})
	switch {
	case err != nil:
		return nil, err
	case n >= maxTargets:
		return nil, invalid("targetId", errTooManyTargets)
	}
	if err := record.Targets.Insert(ctx, tx, t); err != nil {
		return nil, err
	}
	return tx.changedTarget(ctx, user, t, logTargetCreate)
}

// freeIdentifier refuses a target whose identifier another one has, or that is held for another
// user. A push target of a
// session that has ended is deleted: the same device belongs to another user now.
func (tx *txn) freeIdentifier(ctx context.Context, t *record.Target) error {
	for _, by := range []*contact{byEmail, byPhone} {
		if by.target != t.ProviderType {
			continue
		}
		if holder, err := tx.heldFor(ctx, tx, by, t.Identifier); err != nil || holder != "" && holder != t.UserID {
			return cmp.Or(err, error(ErrTargetAlreadyExists))
		}
	}
	have, err := findTarget(ctx, tx, t.ProviderType, t.Identifier)
	if err != nil || have == nil || have.ID == t.ID {
		return err
	}
	if have.SessionID == "" {
		return ErrTargetAlreadyExists
	}
	s, err := record.Sessions.Find(ctx, tx, record.Sessions.Primary(), store.Text(have.SessionID))
	switch {
	case err != nil:
		return err
	case s != nil && tx.alive(s):
		return ErrTargetAlreadyExists
	}
	owner, err := getUser(ctx, tx, have.UserID)
	if err != nil {
		return err
	}
	return tx.deleteTarget(ctx, owner, have)
}

// replaceTarget stores a changed target of a user.
func (tx *txn) replaceTarget(ctx context.Context, user *record.User, t *record.Target) (*Target, error) {
	if err := tx.freeIdentifier(ctx, t); err != nil {
		return nil, err
	}
	t.Updated = tx.now
	if err := record.Targets.Replace(ctx, tx, t); err != nil {
		return nil, err
	}
	return tx.changedTarget(ctx, user, t, logTargetUpdate)
}

// deleteTarget deletes a target of a user.
func (tx *txn) deleteTarget(ctx context.Context, user *record.User, t *record.Target) error {
	if err := record.Targets.Delete(ctx, tx, store.Text(t.ID)); err != nil {
		return err
	}
	_, err := tx.changedTarget(ctx, user, t, logTargetDelete)
	return err
}

// changedTarget follows a change of a target of a user, and returns it as it is shown.
func (tx *txn) changedTarget(ctx context.Context, user *record.User, t *record.Target, event string) (*Target, error) {
	if err := tx.storeTargets(ctx, user); err != nil {
		return nil, err
	}
	tx.targetEvent(t, event)
	return showTarget(t), tx.log(ctx, event, user)
}

// targetEvent gathers the event of a target, which has the last part of the log's name.
func (tx *txn) targetEvent(t *record.Target, event string) {
	tx.event(t.UserID, "targets."+t.ID+event[len("target"):], showTarget(t))
}

// deleteSessionTargets deletes the targets of all sessions.
func (tx *txn) deleteSessionTargets(ctx context.Context) error {
	q := store.Query{
		Index: record.Targets.Index("user"), Limit: batch, Where: []store.Filter{store.Where("session_id", store.OpIsNotNull)},
	}
	for targets, err := range record.Targets.Pages(ctx, tx, q) {
		if err != nil {
			return err
		}
		for _, t := range targets {
			user, err := getUser(ctx, tx, t.UserID)
			if err != nil {
				return err
			}
			if err := record.Targets.Delete(ctx, tx, store.Text(t.ID)); err != nil {
				return err
			}
			tx.targetEvent(t, logTargetDelete)
			if err := tx.storeTargets(ctx, user); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteTargetsOf deletes the push targets that belong to a session.
func (tx *txn) deleteTargetsOf(ctx context.Context, user *record.User, s *record.Session) error {
	targets, err := record.Targets.List(ctx, tx, record.ListTargets(user.ID))
	if err != nil {
		return err
	}
	for _, t := range targets {
		if t.SessionID != s.ID {
			continue
		}
		if err := record.Targets.Delete(ctx, tx, store.Text(t.ID)); err != nil {
			return err
		}
		tx.targetEvent(t, logTargetDelete)
	}
	return tx.storeTargets(ctx, user)
}
