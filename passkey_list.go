package latchkey

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"example.com/latchkey/internal/record"
)

// PasskeyList is the list of a user's passkeys, which are at most ten.
type PasskeyList struct {
	Total    int        `json:"total"`
	Passkeys []*Passkey `json:"passkeys"`
}

// listPasskeys returns the passkeys of a user as they are shown.
func (c *call) listPasskeys(ctx context.Context, userID string) (*PasskeyList, error) {
	rows, err := passkeysOf(ctx, c.store, userID)
	if err != nil {
		return nil, err
	}
	list := &PasskeyList{Total: len(rows), Passkeys: make([]*Passkey, 0, len(rows))}
	for _, p := range rows {
		list.Passkeys = append(list.Passkeys, c.showPasskey(p))
	}
	return list, nil
}

// Passkeys returns the passkeys of the user, oldest first.
func (a *Account) Passkeys(ctx context.Context) (_ *PasskeyList, err error) {
	defer a.home().operation(&ctx, "list passkeys").end(&err)
	c, err := a.beginFor()
	if err != nil {
		return nil, err
	}
	return accountReadThen(ctx, c, a, (*Account).mayAct, func() (*PasskeyList, error) {
		user, err := a.user(ctx, c.store)
		if err != nil {
			return nil, err
		}
		return c.listPasskeys(ctx, user.ID)
	})
}

// PasskeySignals are what a page tells the browser now and then, such as on the page of the passkeys and after a change of the
// address: then the authenticators of the user offer no passkey that was deleted, and show the present name.
type PasskeySignals struct {
	// Accepted is for PublicKeyCredential.signalAllAcceptedCredentials, and Details for signalCurrentUserDetails. Both are null
	// for a user who never had a passkey.
	Accepted json.RawMessage `json:"accepted"`
	Details  json.RawMessage `json:"details"`
}

// PasskeySignals returns what the browser of the user may know of their passkeys.
//
// Errors:
//   - [ErrAuthMethodUnsupported]: the host has no passkeys (Config.Passkeys).
func (a *Account) PasskeySignals(ctx context.Context) (_ *PasskeySignals, err error) {
	defer a.home().operation(&ctx, "get passkey signals").end(&err)
	c, err := a.begin()
	if err != nil {
		return nil, err
	}
	return accountReadThen(ctx, c, a, (*Account).mayAct, func() (*PasskeySignals, error) {
		if err := c.noPasskeys(); err != nil {
			return nil, err
		}
		user, err := a.user(ctx, c.store)
		if err != nil {
			return nil, err
		}
		handle, err := handleOf(ctx, c.store, user.ID)
		if err != nil {
			return nil, err
		}
		if handle == nil {
			return &PasskeySignals{json.RawMessage("null"), json.RawMessage("null")}, nil
		}
		rows, err := passkeysOf(ctx, c.store, user.ID)
		if err != nil {
			return nil, err
		}
		ids, text := make([]string, 0, len(rows)), base64.RawURLEncoding
		for _, p := range rows {
			ids = append(ids, text.EncodeToString(p.Credential))
		}
		owner := ownerOf(user, handle)
		accepted, err := json.Marshal(map[string]any{"rpId": c.passkeys.RPID(), "userId": text.EncodeToString(handle), "allAcceptedCredentialIds": ids})
		if err != nil {
			return nil, err
		}
		details, err := json.Marshal(map[string]any{"rpId": c.passkeys.RPID(), "userId": text.EncodeToString(handle), "name": owner.Name, "displayName": owner.DisplayName})
		return &PasskeySignals{accepted, details}, err
	})
}

// RenamePasskey changes the name of a passkey of the user: 1 to 64 characters.
//
// Errors:
//   - [ErrArgumentInvalid]
//   - [ErrPasskeyNotFound]: also for another user's passkey.
//   - [*ThrottledError]
func (a *Account) RenamePasskey(ctx context.Context, id, name string) (_ *Passkey, err error) {
	defer a.home().operation(&ctx, "rename passkey").end(&err)
	if err := checkPasskeyID(id); err != nil {
		return nil, err
	}
	if err := checkLabel(name); err != nil {
		return nil, err
	}
	return accountChangeOften(ctx, a, func(ctx context.Context, tx *txn, user *record.User) (*Passkey, error) {
		p, err := ownPasskey(ctx, tx, user.ID, id)
		if err != nil {
			return nil, err
		}
		p.Name, p.Updated = name, tx.now
		if err := record.Passkeys.Replace(ctx, tx, p); err != nil {
			return nil, err
		}
		tx.event(user.ID, "passkeys."+p.ID+".update", tx.showPasskey(p))
		return tx.showPasskey(p), tx.log(ctx, logPasskeyUpdate, user)
	})
}

// DeletePasskey deletes a passkey of the user. The sessions that it has opened end, also the one that makes the call. The user gets
// a notice. The authenticator still has the passkey, and offers it: [Account.PasskeySignals] has what the browser is told.
//
// Errors:
//   - [ErrPasskeyNotFound]: also for another user's passkey.
//   - [ErrLastWayIn]: the user has no other way to sign in, as of [Account.DeleteIdentity].
//   - [ErrChallengeRequired]: the session has not answered a challenge within the window of the policy by a passkey, by the
//     authenticator of the user or by a recovery code.
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) DeletePasskey(ctx context.Context, id string) (err error) {
	defer a.home().operation(&ctx, "delete passkey").end(&err)
	if err := checkPasskeyID(id); err != nil {
		return err
	}
	_, err = changeFresh(ctx, a, freshChallenge, func(ctx context.Context, tx *txn, user *record.User, _ *record.Session) (none, error) {
		p, err := ownPasskey(ctx, tx, user.ID, id)
		if err != nil {
			return none{}, err
		}
		if err := tx.keepsWayIn(ctx, user, p); err != nil {
			return none{}, err
		}
		return none{}, tx.dropPasskey(ctx, user, p, a.SessionID())
	})
	return err
}

// keepsWayIn refuses to delete the last way in of a user.
func (tx *txn) keepsWayIn(ctx context.Context, user *record.User, p *record.Passkey) error {
	if p.Second || tx.isElsewhere(p.RPID) || tx.signsIn(user) {
		return nil
	}
	if other, err := tx.signsInByPasskey(ctx, user, p.ID); other || err != nil {
		return err
	}
	identities, err := identitiesOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	for _, i := range identities {
		if i.Pending == "" && tx.providerOf(i) != nil {
			return nil
		}
	}
	return ErrLastWayIn
}

// Passkeys returns the passkeys of a user, oldest first.
//
// Errors:
//   - [ErrUserNotFound]
func (u *Users) Passkeys(ctx context.Context, userID string) (_ *PasskeyList, err error) {
	defer u.home().operation(&ctx, "list passkeys").end(&err)
	return usersRead(ctx, u, userID, func(c *call, user *record.User) (*PasskeyList, error) { return c.listPasskeys(ctx, user.ID) })
}

// DeletePasskey is [Account.DeletePasskey], by the server, for example for a user who has lost the device. It may be the last way
// in.
//
// Errors:
//   - [ErrUserNotFound]
//   - [ErrPasskeyNotFound]
func (u *Users) DeletePasskey(ctx context.Context, userID, id string) (err error) {
	defer u.home().operation(&ctx, "delete passkey").end(&err)
	if err := checkPasskeyID(id); err != nil {
		return err
	}
	c, err := u.beginFor(userID)
	if err != nil {
		return err
	}
	_, err = usersChange(ctx, c, userID, func(ctx context.Context, tx *txn, user *record.User) (none, error) {
		p, err := ownPasskey(ctx, tx, user.ID, id)
		if err != nil {
			return none{}, err
		}
		return none{}, tx.dropPasskey(ctx, user, p, "")
	})
	return err
}
