package latchkey

import (
	"context"

	"example.com/latchkey/internal/record"
	"example.com/latchkey/notify"
	"example.com/latchkey/query"
)

// IdentityList is a page of identities.
type IdentityList struct {
	Total      int         `json:"total"` // as of [UserList]
	Identities []*Identity `json:"identities"`
	Pages
}

// identityListing lists identities.
var identityListing = &listing[record.Identity]{
	name: "identities", rows: record.Identities,
	usual: order{attribute: attribute{column: "created", index: record.Identities.Index("created")}},
	attributes: map[string]attribute{
		query.ID:                    {column: "id", unique: record.Identities.Primary(), index: record.Identities.Primary()},
		query.CreatedAt:             {column: "created", index: record.Identities.Index("created")},
		query.UpdatedAt:             {column: "updated"},
		"userId":                    {column: "user_id"},
		"provider":                  {column: "provider"},
		"providerUid":               {column: "subject"},
		"providerEmail":             {column: "email"},
		"providerAccessTokenExpiry": {column: "expire"},
	},
}

// Identities returns a page of the identities of the user, oldest first. It takes the queries of
// [Users.Identities].
//
// Errors: those of [Users.List], without [ErrQueryTooCostly].
func (a *Account) Identities(ctx context.Context, queries ...Query) (_ *IdentityList, err error) {
	defer a.home().operation(&ctx, "list identities").end(&err)
	c, err := a.beginFor()
	if err != nil {
		return nil, err
	}
	return accountReadThen(ctx, c, a, (*Account).mayAct, func() (*IdentityList, error) {
		user, err := a.user(ctx, c.store)
		if err != nil {
			return nil, err
		}
		rows, err := identitiesOf(ctx, c.store, user.ID)
		if err != nil {
			return nil, err
		}
		return identityList(identityListing.listOf(c, user, queries, rows))
	})
}

// GetIdentity returns an identity of the user.
//
// Errors:
//   - [ErrIdentityNotFound]: also for another user's identity.
func (a *Account) GetIdentity(ctx context.Context, id string) (_ *Identity, err error) {
	defer a.home().operation(&ctx, "get identity").end(&err)
	c, err := a.beginFor()
	if err != nil {
		return nil, err
	}
	return accountReadThen(ctx, c, a, (*Account).mayAct, func() (*Identity, error) {
		return c.getIdentity(ctx, id, a.UserID())
	})
}

// Identities returns a page of the identities of all users, oldest first. It takes the queries of
// [Users.List], without Search, over $id, $createdAt, $updatedAt, userId, provider, providerUid,
// providerEmail and providerAccessTokenExpiry. $id and $createdAt have an index.
//
// Errors: those of [Users.List].
func (u *Users) Identities(ctx context.Context, queries ...Query) (_ *IdentityList, err error) {
	defer u.home().operation(&ctx, "list identities").end(&err)
	c, err := u.begin()
	if err != nil {
		return nil, err
	}
	r, err := identityListing.read(&c.policy, queries)
	if err != nil {
		return nil, err
	}
	return identityList(identityListing.list(ctx, c, r))
}

// GetIdentity returns an identity.
//
// Errors:
//   - [ErrIdentityNotFound]
func (u *Users) GetIdentity(ctx context.Context, id string) (_ *Identity, err error) {
	defer u.home().operation(&ctx, "get identity").end(&err)
	c, err := u.begin()
	if err != nil {
		return nil, err
	}
	return c.getIdentity(ctx, id, "")
}

// getIdentity returns an identity, of a user if their id is given.
func (c *call) getIdentity(ctx context.Context, id, userID string) (*Identity, error) {
	if err := checkIdentityID(id); err != nil {
		return nil, err
	}
	i, err := findIdentity(ctx, c.store, id)
	if err != nil {
		return nil, err
	}
	if i == nil || userID != "" && i.UserID != userID {
		return nil, ErrIdentityNotFound
	}
	return showIdentity(i), nil
}

// DeleteIdentity unlinks an identity of the user: the provider signs them in no more, and its
// address is free. The sessions that it has opened end, also the one that makes the call. The user
// gets a notice. The session must be fresh, as for [Account.UpdateMFA].
//
// If the engine has kept tokens of the identity (Policy.KeepProviderTokens) and the provider has a way
// to take them back (oauth.Revoker), it is asked to after the commit. The caller does not wait for it.
// It is tried once, and a failure is logged.
//
// Errors:
//   - [ErrIdentityNotFound]: also for another user's identity.
//   - [ErrLastWayIn]: the user has no other way to sign in: no identity of a provider of the
//     engine, no passkey, no password with an address, and no proven address or number to which the engine
//     sends links or codes that sign in.
//   - [ErrChallengeRequired]
//   - [ErrSessionNotFound]: for a JWT.
func (a *Account) DeleteIdentity(ctx context.Context, id string) (err error) {
	defer a.home().operation(&ctx, "delete identity").end(&err)
	if err := checkIdentityID(id); err != nil {
		return err
	}
	_, err = changeFresh(ctx, a, freshUnlessOff, func(ctx context.Context, tx *txn, user *record.User, _ *record.Session) (none, error) {
		i, err := findIdentity(ctx, tx, id)
		if err != nil {
			return none{}, err
		}
		if i == nil || i.UserID != user.ID {
			return none{}, ErrIdentityNotFound
		}
		return none{}, tx.unlink(ctx, user, i)
	})
	return err
}

// DeleteIdentity is [Account.DeleteIdentity] for any identity, by the server. It leaves the user a
// way in too: a user without one is deleted, or gets a password or an address first.
//
// Errors:
//   - [ErrIdentityNotFound]
//   - [ErrLastWayIn]
func (u *Users) DeleteIdentity(ctx context.Context, id string) (err error) {
	defer u.home().operation(&ctx, "delete identity").end(&err)
	c, err := u.begin()
	if err != nil {
		return err
	}
	if err := checkIdentityID(id); err != nil {
		return err
	}
	return c.update(ctx, func(ctx context.Context, tx *txn) error {
		i, err := findIdentity(ctx, tx, id)
		if err != nil {
			return err
		}
		if i == nil {
			return ErrIdentityNotFound
		}
		user, err := getUser(ctx, tx, i.UserID)
		if err != nil {
			return err
		}
		return tx.unlink(ctx, user, i)
	})
}

// unlink deletes an identity of a user who has another way in.
func (tx *txn) unlink(ctx context.Context, user *record.User, i *record.Identity) error {
	rows, err := identitiesOf(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	other, err := tx.signsInByPasskey(ctx, user, "")
	if err != nil {
		return err
	}
	other = other || tx.signsIn(user)
	for _, row := range rows {
		other = other || row.ID != i.ID && row.Pending == "" && tx.providerOf(row) != nil
	}
	if !other && i.Pending == "" {
		return ErrLastWayIn
	}
	tx.noticeTo(notify.IdentityChanged, user)
	tx.revokeLater(i)
	return tx.dropIdentity(ctx, user, i)
}

// signsIn reports whether a user can sign in without an identity and a passkey.
func (e *Engine) signsIn(user *record.User) bool {
	on := func(m Methods) bool { return e.policy.Disabled&m == 0 }
	return user.Password != nil && user.Email != "" && on(MethodEmailPassword) ||
		hasProven(user, byEmail) && e.canSend(byEmail.channel) && (on(MethodMagicURL) || on(MethodEmailOTP)) ||
		hasProven(user, byPhone) && e.canSendTo(byPhone.channel, user.Phone) && on(MethodPhone)
}

// identityList returns a page as it is shown.
func identityList(found *page[record.Identity], err error) (*IdentityList, error) {
	if err != nil {
		return nil, err
	}
	list := &IdentityList{Total: found.total, Identities: make([]*Identity, 0, len(found.rows)), Pages: found.pages}
	for _, row := range found.rows {
		list.Identities = append(list.Identities, showIdentity(row))
	}
	return list, nil
}
