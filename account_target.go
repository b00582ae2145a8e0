package latchkey

import (
	"context"
	"strings"

	"example.com/latchkey/internal/record"
)

// NewPushTarget is the input for a push target of an account.
type NewPushTarget struct {
	// ID is the id that the client wants, in the form of NewUser.UserID. "" means a fresh one.
	ID         string
	Identifier string // the token of the device, at most 255 characters
	ProviderID string // an id of the host's own, in the form of ID; may be ""
}

// CreatePushTarget records that messages to the user may be pushed to the device of the
// session that makes the call. The target has the name of the device, as the user agent
// tells it, and ends with the session. A user has at most 100 targets.
//
// Errors:
//   - [ErrArgumentInvalid]: also for a user with 100 targets.
//   - [ErrTargetAlreadyExists]: the id or the identifier is taken. The target of a session
//     that has ended gives way.
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) CreatePushTarget(ctx context.Context, n NewPushTarget) (_ *Target, err error) {
	defer a.home().operation(&ctx, "create push target").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	drawn, refused := NewTarget{ID: n.ID, ProviderType: TargetPush, Identifier: n.Identifier, ProviderID: n.ProviderID, Name: deviceName(c.client)}.record(c)
	return accountChangeOften(ctx, a, func(ctx context.Context, tx *txn, user *record.User) (*Target, error) {
		if refused != nil {
			return nil, refused
		}
		s, err := a.ownSession(ctx, tx.call, tx, CurrentSession)
		if err != nil {
			return nil, err
		}
		t := *drawn
		t.UserID, t.SessionID = user.ID, s.ID
		if !s.Targets {
			s.Targets = true
			if err := record.Sessions.Replace(ctx, tx, s); err != nil {
				return nil, err
			}
		}
		return tx.insertTarget(ctx, user, &t)
	})
}

// deviceName returns the brand and the model of a client's device.
func deviceName(c Client) string {
	d := c.device()
	return strings.TrimSpace(d.DeviceBrand + " " + d.DeviceModel)
}

// UpdatePushTarget gives a push target of the user another token, and the name of the device
// that makes the call. The target has not expired then, and still ends with the session that
// made it.
//
// Errors: those of [Account.CreatePushTarget], and:
//   - [ErrTargetNotFound]: also for a target of another user, and for one of another kind.
func (a *Account) UpdatePushTarget(ctx context.Context, id, identifier string) (_ *Target, err error) {
	defer a.home().operation(&ctx, "update push target").end(&err)
	return accountChangeOften(ctx, a, func(ctx context.Context, tx *txn, user *record.User) (*Target, error) {
		t, err := ownPushTarget(ctx, tx, user, id)
		if err != nil {
			return nil, err
		}
		if t.Identifier, err = checkIdentifier(TargetPush, identifier); err != nil {
			return nil, err
		}
		t.Expired, t.Name = false, deviceName(tx.client)
		return tx.replaceTarget(ctx, user, t)
	})
}

// DeletePushTarget deletes a push target of the user.
//
// Errors:
//   - [ErrTargetNotFound]: also for a target of another user, and for one of another kind.
func (a *Account) DeletePushTarget(ctx context.Context, id string) (err error) {
	defer a.home().operation(&ctx, "delete push target").end(&err)
	_, err = accountChangeOften(ctx, a, func(ctx context.Context, tx *txn, user *record.User) (none, error) {
		t, err := ownPushTarget(ctx, tx, user, id)
		if err != nil {
			return none{}, err
		}
		return none{}, tx.deleteTarget(ctx, user, t)
	})
	return err
}

// ownPushTarget returns a push target of a user, or ErrTargetNotFound.
func ownPushTarget(ctx context.Context, tx *txn, user *record.User, id string) (*record.Target, error) {
	t, err := ownTarget(ctx, tx, user, id)
	if err == nil && t.ProviderType != TargetPush {
		return nil, ErrTargetNotFound
	}
	return t, err
}
